"""STAC Items of both versions, of the kinds that public catalogues have: as a file, and behind a URL."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import landmap
from landmap.errors import BandError, OutputError, SceneError
from landmap.inference.plan import make_plan
from landmap.products import find_product
from landmap.products.product import Product
from landmap.scene.scene import open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

WriteBand = Callable[..., Path]
HEIGHT, WIDTH = 70, 90
NAMES = ("B04", "B03", "B02")
COLORS = {"B04": "red", "B03": "green", "B02": "blue"}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = ["eo/v1.0.0", "projection/v1.0.0", "raster/v1.1.0"]


def values(name: str) -> npt.NDArray[np.uint16]:
    """Digital numbers with an offset of 1000 in them."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    drawn = rng.integers(1050, 4000, (HEIGHT, WIDTH), dtype=np.uint16)
    drawn[:9, :5] = 0
    return drawn


def item(assets: dict[str, Any], version: str = "1.0.0", **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in EXTENSIONS],
        "id": "S2B_33TWM_20230813_0_L2A",
        "geometry": None,
        "properties": {"datetime": "2023-08-13T10:07:53Z", **properties},
        "links": [],
        "assets": assets,
    }


def earth_search(**band: Any) -> dict[str, Any]:
    """Named by colour; JP2 of the same bands and a picture beside them."""
    raster = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1} | band]}
    jp2 = {
        f"{color}-jp2": {"href": f"s3://b/{name}.jp2", "type": "image/jp2", "gsd": 10, "eo:bands": [{"name": color}]}
        for name, color in COLORS.items()
    }
    cogs = {
        color: {"href": f"./{name}.tif", "type": COG, "gsd": 10, "eo:bands": [{"name": color}], **raster}
        for name, color in COLORS.items()
    }
    picture = {"href": "TCI.tif", "type": COG, "roles": ["visual"], "eo:bands": [{"name": c} for c in COLORS.values()]}
    scl = {"href": "SCL.tif", "type": COG, "gsd": 20, "raster:bands": [{"nodata": 0}]}
    return {**jp2, "visual": picture, "scl": scl, **cogs}


def planetary_computer() -> dict[str, Any]:
    """Named by band, and not a word on scale and offset."""
    return {
        name: {
            "href": f"{name}.tif?st=2023&sig=secret",
            "type": COG,
            "gsd": 10,
            "roles": ["data"],
            "eo:bands": [{"name": name, "common_name": COLORS[name]}],
        }
        for name in NAMES
    }


def copernicus() -> dict[str, Any]:
    """STAC 1.1: common metadata of bands, several resolutions."""
    return {
        f"{name}_{metres}m": {
            "href": f"{name}.tif" if metres == 10 else f"{name}_{metres}m.tif",
            "type": COG,
            "bands": [{"name": name, "eo:common_name": COLORS[name]}],
            "raster:scale": 0.0001,
            "raster:offset": -0.1,
            "nodata": 0,
        }
        for name in NAMES
        for metres in (20, 10, 60)
    }


@pytest.fixture
def folder(tmp_path: Path, write_band: WriteBand) -> Path:
    for name in NAMES:
        write_band(tmp_path / f"{name}.tif", values(name))
    return tmp_path


def write(folder: Path, content: object) -> Path:
    path = folder / "item.json"
    path.write_text(json.dumps(content))
    return path


def check(path: Path | str, offset: float) -> None:
    pixels = open_scene(path, Settings(level="L2A"), card=FAKE_CARD).read(Window(0, 0, HEIGHT, WIDTH))
    stored = np.stack([values(name).astype(float) for name in NAMES], axis=-1)
    seen = stored[..., 0] > 0
    np.testing.assert_array_equal(pixels.valid, seen)
    np.testing.assert_allclose(pixels.values[seen], (stored[seen] + offset) / 10_000, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "offset", "why"),
    [
        (item(earth_search()), -1000, "colours, and JP2 that are not there"),
        (item(earth_search(offset=0)), 0, "none, said explicitly"),
        (item(copernicus(), "1.1.0"), -1000, "STAC 1.1, three resolutions of which one is there"),
    ],
)
def test_pixels_are_read_as_the_item_says(content: dict[str, Any], offset: float, why: str, folder: Path) -> None:
    check(write(folder, content), offset)


def test_offset_and_scale_come_from_the_band_in_stac_1_1(folder: Path) -> None:
    assets = copernicus()
    for number, name in enumerate(NAMES):
        asset = assets[f"{name}_10m"]
        asset["bands"][0] |= {"raster:scale": 0.0001, "raster:offset": -0.1 * (number + 1)}
    radiometry = open_scene(write(folder, item(assets, "1.1.0")), card=FAKE_CARD).radiometry
    assert radiometry.offset == pytest.approx((-1000, -2000, -3000))
    assert radiometry.origins["offset"] == "the STAC item's raster:offset"


@pytest.mark.parametrize(
    ("properties", "collection", "identity", "level", "origin"),
    [
        ({"processing:level": "L1C"}, None, "a", "L1C", "processing:level"),
        ({"processing:level": "L2", "product:type": "S2MSI2A"}, None, "a", "L2A", "product:type"),
        ({"s2:product_type": "S2MSI1C"}, None, "a", "L1C", "s2:product_type"),
        ({}, "sentinel-2-l2a", "a", "L2A", "collection, sentinel-2-l2a"),
        ({}, None, "S2B_33TWM_20230813_0_L1C", "L1C", "id, S2B_33TWM_20230813_0_L1C"),
    ],
)
def test_level(
    properties: dict[str, str], collection: str | None, identity: str, level: str, origin: str, folder: Path
) -> None:
    content = item(earth_search(), **properties) | {"id": identity} | ({"collection": collection} if collection else {})
    radiometry = open_scene(write(folder, content), card=FAKE_CARD).radiometry
    assert (radiometry.level, radiometry.origins["level"]) == (level, f"the STAC item's {origin}")


def test_an_item_that_contradicts_itself_is_settled_by_the_pixels(folder: Path, write_band: WriteBand) -> None:
    """Earth Search says of its GeoTIFF that the offset has been applied, and yet gives one."""
    path = write(folder, item(earth_search(), **{"earthsearch:boa_offset_applied": True}))
    plan = make_plan(path, card=FAKE_CARD)
    assert plan.scene.radiometry.offset == (0, 0, 0)
    text = " ".join(plan.warnings)
    assert "the pixels do not decide it. If it is the other: --offset -1000" in text
    assert "looks like an offset of +1000 was left in (--offset -1000)" in text, "these pixels have it"
    assert "contradict" not in " ".join(make_plan(path, card=FAKE_CARD, offset=-1000).warnings)
    for name in NAMES:
        write_band(folder / f"{name}.tif", np.maximum(values(name), 1000) - 990)
    text = " ".join(make_plan(path, card=FAKE_CARD).warnings)
    assert "with the other, dark pixels would have a reflectance of -0." in text


def test_an_offset_that_is_not_named_is_assumed_aloud(folder: Path) -> None:
    assets = planetary_computer()
    for asset in assets.values():
        asset["href"] = asset["href"].split("?")[0]
    plan = make_plan(write(folder, item(assets, **{"s2:processing_baseline": "05.09"})), card=FAKE_CARD)
    assert "--offset 0, as the STAC item names none, though its baseline 05.09 has one" in plan.warnings[0]


def product(path: Path | str) -> Product:
    found = find_product(str(path))
    assert found
    return found


def test_addresses_are_those_that_gdal_reads_in_parts(folder: Path) -> None:
    assets = planetary_computer()
    for name, address in zip(NAMES, ("https://a.b/", "s3://bucket/", f"file://{folder}/"), strict=True):
        assets[name]["href"] = address + assets[name]["href"]
    found = {band.name: band.file for band in product(write(folder, item(assets))).bands}
    assert found["B04"] == "/vsicurl/https://a.b/B04.tif?st=2023&sig=secret"
    assert found["B03"] == "/vsis3/bucket/B03.tif?st=2023&sig=secret"
    assert found["B02"] == f"{folder}/B02.tif?st=2023&sig=secret"


def test_bands_scl_and_what_it_is(folder: Path) -> None:
    found = product(write(folder, item(earth_search(), **{"s2:processing_baseline": "05.09"})))
    assert found.text == (
        "STAC item S2B_33TWM_20230813_0_L2A, L2A, baseline 05.09, sensed 2023-08-13 10:07 UTC, 3 band files"
    )
    assert [(band.name, band.label) for band in found.scl] == [("SCL", "SCL.tif")]
    assert {band.label for band in found.bands} == {"B04.tif", "B03.tif", "B02.tif"}, "GeoTIFF before JP2"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_an_item_behind_a_url(server: str, folder: Path) -> None:
    """The bands are on the disk here: GDAL's own requests would wait for a server in the same process."""
    assets = earth_search()
    assets["red"]["href"], assets["green"]["href"] = f"file://{folder}/B04.tif", f"file://{folder}/B03.tif"
    write(folder, item(assets))
    found = {band.name: band.file for band in product(f"{server}/item.json").bands}
    assert found["B02"] == f"/vsicurl/{server}/B02.tif", "relative to the item"
    assets["blue"]["href"] = f"file://{folder}/B02.tif"
    write(folder, item(assets))
    check(f"{server}/item.json", -1000)
    with pytest.raises(SceneError, match=r"nothing\.json: can't be read: File not found"):
        find_product(f"{server}/nothing.json")
    (folder / "page.json").write_text("<html>")
    with pytest.raises(SceneError, match=r"page\.json: expected JSON, such as a STAC Item"):
        find_product(f"{server}/page.json")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(SceneError, match=r"can't be read: .*refused"):
        find_product("http://127.0.0.1:9/item.json")


def test_an_asset_that_names_several_bands(tmp_path: Path, write_scene: Callable[..., Path]) -> None:
    """Its bands are in another order than the model's, without descriptions in the file."""
    write_scene(np.stack([values(name) for name in reversed(NAMES)]), "all.tif", bands=("", "", ""))
    bands = [{"name": name, "common_name": COLORS[name]} for name in reversed(NAMES)]
    raster = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
    path = write(tmp_path, item({"data": {"href": "all.tif", "type": COG, "eo:bands": bands, "raster:bands": raster}}))
    check(path, -1000)
    assert make_plan(path, card=FAKE_CARD).to_dict()["scene"]["files"] == ["all.tif"]


def test_an_asset_that_does_not_name_its_bands_is_to_be_given_by_itself(
    tmp_path: Path, write_scene: Callable[..., Path]
) -> None:
    write_scene(np.stack([values(name) for name in NAMES]), "all.tif")
    path = write(tmp_path, item({"data": {"href": "all.tif", "roles": ["data"]}}))
    with pytest.raises(SceneError, match=r"Received: data\. Give the raster itself, such as (\S+)$") as caught:
        make_plan(path, card=FAKE_CARD)
    check(str(caught.value).rpartition(" ")[2], 0)


# --- refusals


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            lambda found: found | {"type": "Collection"},
            SceneError,
            "expected a STAC Item, which is one scene. Received: a",
        ),
        (lambda found: found | {"assets": []}, SceneError, "expected a STAC Item; it can't be understood"),
        (
            lambda found: found | {"assets": {}},
            BandError,
            "expected a file of band B04, which the model needs.",
        ),
        (lambda found: found | {"properties": None}, SceneError, "expected a STAC Item; it can't be understood"),
        (
            lambda _: item(earth_search(scale="many")),
            SceneError,
            "expected a number as scale. Received: 'many'",
        ),
        (
            lambda _: item({"B04": {"href": "a.tif", "bands": ["B04"]}}),
            SceneError,
            "asset B04: expected what STAC says",
        ),
        (lambda _: item(earth_search(scale=-1)), SceneError, "expected positive numbers as its scales"),
    ],
)
def test_what_can_not_be_understood(
    change: Callable[[dict[str, Any]], Any], kind: type[SceneError], words: str, folder: Path
) -> None:
    path = write(folder, change(item(earth_search())))
    with pytest.raises(kind) as caught:
        make_plan(path, card=FAKE_CARD)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_other_json_is_left_to_gdal(folder: Path) -> None:
    assert find_product(str(write(folder, {"type": "FeatureCollection", "features": []}))) is None


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    path = write(folder, item(earth_search()))
    (folder / "B03.tif").unlink()
    with pytest.raises(SceneError, match=r"item\.json: band B03, B03\.tif: can't be read as a raster"):
        make_plan(path, card=FAKE_CARD)


def test_no_output_destroys_the_item_or_its_files(folder: Path) -> None:
    path = write(folder, item(earth_search()))
    for file in (path, folder / "B02.tif"):
        with pytest.raises(OutputError, match="is the scene itself, or a file that it is read from"):
            landmap.classify(path, file, classifier=ConstantClassifier(), overwrite=True)
