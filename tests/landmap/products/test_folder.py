"""Folders with a file for each band, as catalogues deliver them: found by name, read as written, refused when mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

import landmap
from landmap.errors import BandError, GeoreferenceError, SceneError
from landmap.inference.plan import make_plan
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

# rasterio warns of files without a georeference; landmap has its own words for it.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

WriteBand = Callable[..., Path]
HEIGHT, WIDTH = 130, 90
ALL = Window(0, 0, HEIGHT, WIDTH)
NAMES = ("B04", "B03", "B02")


def values(name: str, times: int = 1, dtype: str = "uint16") -> npt.NDArray[Any]:
    """Different numbers in each band; a hole was not seen."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    drawn = rng.integers(300, 3000, (HEIGHT // times, WIDTH // times)).astype(dtype)
    drawn[: 20 // times, : 30 // times] = 0
    return drawn


SEEN = values("B04") > 0


@pytest.fixture
def folder(tmp_path: Path, write_band: WriteBand) -> Path:
    for name in NAMES:
        write_band(tmp_path / f"set/{name}.tif", values(name))
    return tmp_path / "set"


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L2A", "offset": 0} | choices), card=FAKE_CARD)


def check(scene: Scene, offset: float = 0) -> None:
    pixels = scene.read(ALL)
    np.testing.assert_array_equal(pixels.valid, SEEN)
    stored = np.stack([values(name).astype(float) for name in NAMES], axis=-1)
    np.testing.assert_allclose(pixels.values[SEEN], (stored[SEEN] + offset) / 10_000, atol=1e-6)


@pytest.mark.parametrize(
    "pattern",
    [
        "{}.tif",
        "{}.TIF",
        "{}.jp2",
        "T33TWM_20230813T100559_{}_10m.jp2",
        "S2B_33TWM_20230813_0_L2A_{}.tif",
        "R10m/x_{}.jp2",
    ],
)
def test_bands_are_found_by_name(pattern: str, tmp_path: Path, write_band: WriteBand) -> None:
    for name in NAMES:
        write_band(tmp_path / "set" / pattern.format(name), values(name))
    (tmp_path / "set/notes.txt").write_text("B04")
    check(opened(tmp_path / "set"))


def test_common_names_and_a_zip(tmp_path: Path, write_band: WriteBand) -> None:
    for color, name in zip(("red", "green", "blue"), NAMES, strict=True):
        write_band(tmp_path / f"set/{color}.tif", values(name))
    check(opened(tmp_path / "set"))
    check(opened(Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set"))))


def test_what_files_say_of_themselves_is_kept(tmp_path: Path, write_band: WriteBand) -> None:
    for name in NAMES:
        tags = {"BOA_ADD_OFFSET": "-1000", "PROCESSING_LEVEL": "Level-2A", "BAND": name}
        write_band(tmp_path / f"set/{name}.tif", values(name), tags=tags, nodata=0)
    radiometry = open_scene(tmp_path / "set", card=FAKE_CARD).radiometry
    assert radiometry.offset == (-1000, -1000, -1000)
    assert radiometry.origins["level"] == "the file's tag PROCESSING_LEVEL"
    check(open_scene(tmp_path / "set", card=FAKE_CARD), offset=-1000)


def test_band_scales_and_offsets_of_the_files_count(folder: Path) -> None:
    for name in NAMES:
        with rasterio.open(folder / f"{name}.tif", "r+") as file:
            file.scales, file.offsets = [1e-4], [-0.1]
    assert opened(folder, offset="auto").radiometry.offset == pytest.approx((-1000, -1000, -1000))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_nodata_value_a_mask_and_neither(dtype: str, tmp_path: Path, write_band: WriteBand) -> None:
    """Each band has its own way to say what was not seen; a pixel is valid where all have data."""
    holes = {name: np.zeros((HEIGHT, WIDTH), bool) for name in NAMES}
    for i, name in enumerate(NAMES):
        holes[name][40:60, 10 + 20 * i : 20 + 20 * i] = True
        written = np.where(holes[name], 9 if name == "B04" else 700, values(name, dtype=dtype).clip(min=300))
        scaled = written.astype(dtype) / (10_000 if dtype == "float32" else 1)
        nodata = {"nodata": scaled[50, 15]} if name == "B04" else {}
        write_band(tmp_path / f"set/{name}.tif", scaled.astype(dtype), **nodata)
        if name == "B03":
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "set/B03.tif", "r+") as file:
                file.write_mask(~holes[name])
    pixels = opened(tmp_path / "set").read(ALL)
    np.testing.assert_array_equal(pixels.valid, ~(holes["B04"] | holes["B03"]))


def test_bands_of_other_resolutions_come_onto_the_finest_grid(tmp_path: Path, write_band: WriteBand) -> None:
    write_band(tmp_path / "set/B04.tif", values("B04"))
    for name in ("B03", "B02"):
        write_band(tmp_path / f"set/{name}.tif", np.full((HEIGHT // 2, WIDTH // 2), 2000, np.uint16), 20)
    scene = opened(tmp_path / "set")
    assert (scene.geobox.height, scene.geobox.width, scene.geobox.transform.a) == (HEIGHT, WIDTH, 10)
    np.testing.assert_allclose(scene.read(ALL).values[..., 1:], 0.2, atol=1e-7)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_undeclared_fill_is_not_mixed_into_interpolated_bands(
    dtype: str, tmp_path: Path, write_band: WriteBand
) -> None:
    """Bilinear interpolation of a coarser band leaves -9999 out, though no tag says so, as it leaves 0 out."""
    one = 1e-4 if dtype == "float32" else 1
    for folder, fill in (("silent", -9999), ("zeros", 0)):
        for name in NAMES:
            step = 1 if name == "B04" else 2
            band = (values(name, step).astype(np.float64) * one).astype(dtype)
            band[:, : 30 // step] = fill
            write_band(tmp_path / folder / f"{name}.tif", band, 10 * step, **({"nodata": 0} if fill == 0 else {}))
    silent, zeros = (opened(tmp_path / folder).read(ALL) for folder in ("silent", "zeros"))
    assert not silent.valid[:, :28].any()
    assert silent.valid[:, 34:].all()
    both = silent.valid & zeros.valid
    np.testing.assert_allclose(silent.values[both], zeros.values[both], rtol=1e-6)


def test_of_several_resolutions_the_models_own_is_read(folder: Path, write_band: WriteBand) -> None:
    for name in NAMES:
        (folder / f"{name}.tif").rename(folder / f"{name}_10m.tif")
        write_band(folder / f"{name}_20m.tif", values(name, 2), 20)
    check(opened(folder))
    coarse = open_scene(folder, Settings(level="L2A"), card=replace(FAKE_CARD, resolution=20.0))
    assert coarse.geobox.transform.a == 20


def test_the_level_follows_from_names_or_a_scene_classification(folder: Path, write_band: WriteBand) -> None:
    write_band(folder / "SCL.tif", np.ones((HEIGHT // 2, WIDTH // 2), np.uint8), 20)
    scene = opened(folder, level="auto")
    assert (scene.radiometry.level, scene.radiometry.origins["level"][:24]) == ("L2A", "the scene classification")
    assert scene.product
    assert [band.label for band in scene.product.scl] == ["SCL.tif"]


def item(**properties: Any) -> dict[str, Any]:
    """As public catalogues write them, with addresses of assets that are not followed."""
    assets = {
        name: {
            "href": f"https://example.com/{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "eo:bands": [{"name": name}],
            "proj:shape": [HEIGHT * 2, WIDTH * 2],
            "proj:transform": [5, 0, 400_000, 0, -5, 5_200_000],
            "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
        }
        for name in NAMES
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.0.0/schema.json",
            "https://stac-extensions.github.io/projection/v1.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": "S2B_33TWM_20230813_0_L2A",
        "geometry": None,
        "properties": {"datetime": "2023-08-13T10:07:53Z", "proj:epsg": 32632, **properties},
        "links": [],
        "assets": assets,
    }


def test_an_item_beside_the_bands_says_what_they_do_not(folder: Path) -> None:
    (folder / "item.json").write_text(json.dumps(item()))
    (folder / "tileInfo.json").write_text("[1, 2]")
    scene = open_scene(folder, card=FAKE_CARD)
    assert scene.radiometry.origins["level"] == "the STAC item's id, S2B_33TWM_20230813_0_L2A"
    assert scene.radiometry.origins["offset"] == "the STAC item's raster:offset"
    assert scene.geobox.transform.a == 10, "the files' own place counts"
    check(scene, offset=-1000)


def test_files_without_a_place_get_the_items(tmp_path: Path, write_band: WriteBand) -> None:
    for name in NAMES:
        write_band(tmp_path / f"set/{name}.tif", values(name), crs=None, transform=Affine.identity())
    with pytest.raises(GeoreferenceError, match="expected a coordinate reference system"):
        make_plan(tmp_path / "set", card=FAKE_CARD)
    (tmp_path / "set/item.json").write_text(json.dumps(item()))
    scene = open_scene(tmp_path / "set", card=FAKE_CARD)
    assert scene.geobox.transform == Affine(10, 0, 400_000, 0, -10, 5_200_000), "at the file's own resolution"
    assert rasterio.CRS.from_wkt(scene.geobox.crs).to_epsg() == 32632


def test_the_names_of_the_files_are_in_plan_and_tags(folder: Path, tmp_path: Path) -> None:
    names = [f"{name}.tif" for name in NAMES]
    result = landmap.classify(folder, tmp_path / "a.tif", classifier=ConstantClassifier(), level="L1C")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert json.loads(file.tags()["LANDMAP_FILES"]) == names
    assert result.plan.to_dict()["scene"]["files"] == names


def test_the_files_of_a_vrt_are_named(folder: Path, tmp_path: Path, write_scene: WriteBand) -> None:
    write_scene(np.stack([values(name) for name in NAMES]), "part.tif")
    rasterio.shutil.copy(tmp_path / "part.tif", tmp_path / "all.vrt", driver="VRT")
    plan = make_plan(tmp_path / "all.vrt", card=FAKE_CARD)
    assert plan.to_dict()["scene"]["files"] == ["all.vrt", "part.tif"]
    assert make_plan(tmp_path / "part.tif", card=FAKE_CARD).to_dict()["scene"]["files"] == ["part.tif"]


# --- refusals


def refusal(path: Path, kind: type[SceneError] = SceneError) -> str:
    with pytest.raises(kind) as caught:
        make_plan(path, card=FAKE_CARD)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_missing_band_is_named(folder: Path) -> None:
    (folder / "B02.tif").unlink()
    assert refusal(folder, BandError) == (
        "expected a file of band B02, which the model needs. There: B03, B04 (2 band files)"
    )


def test_two_files_of_a_band_are_named(folder: Path, write_band: WriteBand) -> None:
    write_band(folder / "B04_new.tif", values("B04"))
    assert refusal(folder, BandError) == (
        "expected one file of band B04. Received: B04.tif, B04_new.tif. Move the others away"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("T33TWM_20230813_{}", "T33TWM_20230901_{}"),
        ("33TWM_{}_2023-08-13", "33TWM_{}_2023-08-14"),
        ("33TWM_{}_2023_08_13", "33TWM_{}_2023_08_31"),
        ("S2_2023225_{}", "S2_2023226_{}"),
        ("{}_13Aug2023", "{}_23Aug2023"),
        ("T33UUP_20230813T100559_{}", "T33UUQ_20230813T100559_{}"),
        ("S2A_20230813_{}", "S2B_20230813_{}"),
        ("x_L1C_{}", "x_L2A_{}"),
        ("{}", "{}_2023-08-13"),
    ],
)
def test_bands_of_two_scenes_are_no_scene(one: str, other: str, tmp_path: Path, write_band: WriteBand) -> None:
    for name, pattern in zip(NAMES, (one, one, other), strict=True):
        write_band(tmp_path / "set" / f"{pattern.format(name)}.tif", values(name))
    found = refusal(tmp_path / "set")
    assert found.startswith("expected the bands of one scene. Received: ")
    assert found.endswith("Give each scene a folder of its own")
    files = [f"{pattern.format(name)}.tif" for name in NAMES for pattern in {one, other}]
    assert sum(file in found for file in files) == 2, "both are named"


def test_a_scene_classification_or_an_item_of_another_date(folder: Path, write_band: WriteBand) -> None:
    for name in NAMES:
        (folder / f"{name}.tif").rename(folder / f"T33TWM_20230813T100559_{name}.tif")
    check(opened(folder))
    write_band(folder / "SCL.tif", np.ones((HEIGHT // 2, WIDTH // 2), np.uint8), 20)
    (folder / "item.json").write_text(json.dumps(item() | {"id": "S2B_33TWM_20230813_0_L2A"}))
    assert opened(folder).product, "less is said of them, and nothing else"
    (folder / "item.json").write_text(json.dumps(item() | {"id": "S2B_33TWM_20230814_0_L2A"}))
    assert "differ in date (2023-08-13 and 2023-08-14)" in refusal(folder)
    (folder / "item.json").unlink()
    (folder / "SCL.tif").rename(folder / "SCL_2023-08-14.tif")
    assert "differ in date" in refusal(folder)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"crs": "EPSG:32632"}, "Received: EPSG:32633 and EPSG:32632 in band B03, B03.tif, and band B04, B04.tif"),
        ({"transform": Affine(10, 0, 500_006, 0, -10, 5_000_000)}, "expected bands of the same extent"),
        ({"transform": Affine(11, 0, 500_000, 0, -10, 5_000_000)}, "expected bands of the same extent"),
        ({"transform": Affine(10, 1, 500_000, 1, -10, 5_000_000)}, "expected bands of the same extent"),
    ],
)
def test_bands_that_lie_elsewhere(place: dict[str, Any], words: str, folder: Path, write_band: WriteBand) -> None:
    write_band(folder / "B04.tif", values("B04"), **place)
    assert words in refusal(folder)


def test_less_than_half_a_pixel_is_no_matter(folder: Path, write_band: WriteBand) -> None:
    write_band(folder / "B03.tif", values("B03"), transform=Affine(10, 0, 500_004, 0, -10, 5_000_000))
    check(opened(folder))


def test_a_file_of_several_bands(folder: Path, write_band: WriteBand) -> None:
    with rasterio.open(folder / "B03.tif") as file:
        profile = file.profile | {"count": 2}
    with rasterio.open(folder / "B03.tif", "w", **profile) as file:
        file.write(np.stack([values("B03")] * 2))
    assert refusal(folder) == "band B03, B03.tif: expected a file of one band. Received: 2 bands"


def test_two_items(folder: Path) -> None:
    for name in ("a.json", "b.json"):
        (folder / name).write_text(json.dumps(item()))
    assert "expected one STAC Item beside the bands. Received: a.json, b.json" in refusal(folder)


def test_broken_json(folder: Path) -> None:
    (folder / "a.json").write_text("{")
    assert refusal(folder).startswith("a.json: expected JSON, such as a STAC Item")


@pytest.mark.real
def test_the_real_folder(shared: Path) -> None:
    """33TWM: its item says both that the offset has been applied and that it is -0.1. The pixels say it has."""
    path = shared / "scenes/33TWM"
    assert "its pixels are 120 m" in refusal(path, GeoreferenceError)
    plan = make_plan(path, card=FAKE_CARD, force=True)
    assert plan.scene.radiometry.offset == (0, 0, 0)
    assert plan.scene.geobox.transform == Affine(120, 0, 499_980, 0, -120, 5_200_020)
    assert "the metadata contradict themselves" in " ".join(plan.warnings)
    assert "with the other, dark pixels would have a reflectance of -0.09" in " ".join(plan.warnings)
