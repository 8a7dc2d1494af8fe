"""Maps and references in different legends are compared in the classes that both can be merged into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from shapely.geometry import Point, box

from landmap.accuracy.assess import assess
from landmap.accuracy.change import compare_maps
from landmap.cli import cli
from landmap.crosswalk import PRODUCTS
from landmap.errors import ReferenceDataError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps.cover import read_cover
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.legend import EUROSAT, NODATA, LandClass

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHAPE = 530, 60
TRUE = {0: 40, 1: 10, 2: 30, 3: 50, 4: 50, 5: 30, 6: 40, 7: 50, 8: 80, 9: 80}
"""WorldCover's code of each class."""
SAME = {20: 30}
"""Codes that count as another: EuroSAT's herbaceous vegetation has shrubs in it."""
Bytes = npt.NDArray[np.uint8]


def write_cover(path: Path, values: Bytes, classes: tuple[LandClass, ...] = tuple(EUROSAT)) -> Path:
    place = GeoBox(*values.shape, UTM, rasterio.CRS.from_epsg(32633).to_wkt())
    tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag(classes)}
    with RasterWriter(path, place, Layers(("class",), tags, classes)) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=True)
    return path


def write_other(path: Path, values: Bytes, nodata: int, palette: str = "") -> Path:
    """A raster as others write them."""
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=UTM, nodata=nodata, **profile) as file:
        file.write(values, 1)
        if palette:
            file.write_colormap(1, {c.id: (*c.rgb, 255) for c in PRODUCTS[palette].classes})
    return path


@pytest.fixture
def land(tmp_path: Path) -> tuple[Bytes, Bytes]:
    """`cover.tif` in EuroSAT's classes and `worldcover.tif`, and their values: WorldCover is right at three of four."""
    rng = np.random.default_rng(1)
    cover = rng.integers(0, 10, SHAPE).astype(np.uint8)
    right = np.vectorize(TRUE.get)(cover)
    right = np.where((right == 30) & (rng.random(SHAPE) < 0.3), 20, right)
    other = np.where(rng.random(SHAPE) < 0.25, rng.choice([10, 20, 40, 60, 80, 0], SHAPE), right).astype(np.uint8)
    cover[:20, :10] = NODATA
    write_cover(tmp_path / "cover.tif", cover)
    write_other(tmp_path / "worldcover.tif", other, 0)
    return cover, other


def share_alike(cover: Bytes, other: Bytes) -> float:
    """The oracle: of the pixels with a class in both, how many are of the same land."""
    both = (cover != NODATA) & (other != 0)
    mine = np.vectorize(TRUE.get)(cover[both])
    return float((np.vectorize(lambda code: SAME.get(code, code))(other[both]) == mine).mean())


@pytest.mark.parametrize("given", ["worldcover", None])
def test_a_cover_against_worldcover(given: str | None, land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    found = assess(tmp_path / "cover.tif", tmp_path / "worldcover.tif", reference_legend=given)
    assert found.overall.value == pytest.approx(share_alike(*land), abs=2e-3), "pixels are of nearly one area"
    assert any("is itself a map (ESA WorldCover: right on 74.4 %" in text for text in found.warnings)
    assert any("the map can't have Bare / sparse vegetation" in text for text in found.warnings)
    assert any("by its ids" in text for text in found.warnings) == (given is None)
    by_name = {c.name: c for c in found.classes}
    assert by_name["Bare / sparse vegetation"].producers.value == 0
    assert by_name["Bare / sparse vegetation"].hectares.value > 0
    table = found.to_dict()["crosswalk"]
    assert (table["cover"], table["reference"]) == ("EuroSAT", "ESA WorldCover")
    assert {"id": 40, "name": "Cropland", "cover": ["AnnualCrop", "PermanentCrop"], "reference": ["Cropland"]} in table[
        "classes"
    ]


def test_the_recoded_cover_is_worth_the_same(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    codes = np.vectorize(lambda value: TRUE.get(value, value), otypes=[np.uint8])(land[0])
    classes = tuple(c for c in PRODUCTS["worldcover"].classes if c.id in TRUE.values())
    recoded = write_cover(tmp_path / "recoded.tif", codes, classes)
    one, other = (assess(path, tmp_path / "worldcover.tif") for path in (tmp_path / "cover.tif", recoded))
    assert one.overall == other.overall
    assert one.confusion == other.confusion
    alike = assess(tmp_path / "cover.tif", recoded)
    assert alike.overall.value == 1
    assert not any("itself a map" in text for text in alike.warnings)


def test_it_is_recognised_by_its_palette(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    to_dynamic = np.zeros(256, np.uint8)
    to_dynamic[[10, 20, 30, 40, 50, 60, 80, 0]] = 1, 5, 2, 4, 6, 7, 0, 255
    path = write_other(tmp_path / "dw.tif", to_dynamic[land[1]], 255, "dynamicworld")
    found = assess(tmp_path / "cover.tif", path)
    assert found.overall.value == pytest.approx(share_alike(*land), abs=2e-3)
    assert found.warnings[0] == "dw.tif is taken to have the classes of Dynamic World, by its palette"
    sampled = assess(tmp_path / "cover.tif", path, sample=40)
    assert sampled.samples == 5 * 40
    assert sampled.overall.interval is not None


def test_ids_that_may_be_anybodys_stay_the_maps(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    path = write_other(tmp_path / "truth.tif", np.where(land[0] == NODATA, 0, land[0] % 9), 255)
    found = assess(tmp_path / "cover.tif", path)
    assert found.common is None
    assert "crosswalk" not in found.to_dict()
    assert [c.name for c in found.classes] == list(EUROSAT.names)


@pytest.mark.parametrize("values", [("10", "20", "80"), ("Tree cover", "Shrubland", "Permanent water bodies")])
@pytest.mark.parametrize("ending", ["csv", "gpkg"])
def test_points_with_codes_or_names(values: tuple[str, ...], ending: str, tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", np.repeat(np.array([[1, 2, 8, 9]], np.uint8), 4, axis=0))
    places = [(row, col) for row in range(4) for col in range(4)]
    classes = [values[min(col, 2)] if row else values[0] for row, col in places]
    spots = [UTM @ (col + 0.5, row + 0.5) for row, col in places]
    path = tmp_path / f"points.{ending}"
    if ending == "csv":
        rows = [f"{x},{y},{name}" for (x, y), name in zip(spots, classes, strict=True)]
        path.write_text("\n".join(["x,y,class", *rows]) + "\n")
    else:
        geopandas.GeoDataFrame({"class": classes}, geometry=[Point(*s) for s in spots], crs=32633).to_file(path)
    found = assess(cover, path)
    assert (found.samples, found.overall.value) == (16, pytest.approx(13 / 16))
    assert any("by its column class" in text for text in found.warnings)
    assert any("if the classes of points" in text for text in found.warnings)


def test_polygons_of_a_product(tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", np.repeat(np.array([[1, 2, 8, 9]], np.uint8), 4, axis=0))
    (west, north), (east, south) = UTM @ (0, 0), UTM @ (2, 4)
    shapes = geopandas.GeoDataFrame({"class": ["built", "shrub_and_scrub"]}, geometry=[
        box(west, south, west + 10, north), box(west + 10, south, east, north)
    ], crs=32633)  # fmt: skip
    shapes.to_file(tmp_path / "p.gpkg")
    found = assess(cover, tmp_path / "p.gpkg")
    assert found.samples == 8
    assert found.overall.value == pytest.approx(0.5)


def test_what_can_not_be_compared_is_refused(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    own = write_cover(tmp_path / "own.tif", np.zeros((4, 4), np.uint8), (LandClass(0, "Volcano", "#ff0000"),))
    with pytest.raises(ReferenceDataError, match="expected classes of EuroSAT or of ESA WorldCover"):
        assess(own, tmp_path / "worldcover.tif", reference_legend="worldcover", warp=True)
    (tmp_path / "points.csv").write_text("x,y,class\n500005,4999995,Volcano\n")
    with pytest.raises(ReferenceDataError, match="expected classes of the map"):
        assess(tmp_path / "cover.tif", tmp_path / "points.csv")
    strange = write_other(tmp_path / "strange.tif", np.full(SHAPE, 15, np.uint8), 0)
    with pytest.raises(SceneError, match=r"expected only ids of the legend .* Found 15 "):
        assess(tmp_path / "cover.tif", strange, reference_legend="worldcover")


@pytest.mark.parametrize("turned", [False, True])
def test_maps_of_two_legends(turned: bool, land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    files: list[Any] = [tmp_path / "cover.tif", tmp_path / "worldcover.tif"]
    found = compare_maps(*(reversed(files) if turned else files), tmp_path / "change.tif")
    assert found.changed_share == pytest.approx(1 - share_alike(*land), abs=2e-3)
    assert "Shrubland / Grassland" in found.names, "in the names of the legend that has fewer"
    assert found.warnings[0] == "worldcover.tif is taken to have the classes of ESA WorldCover, by its ids"
    assert found.to_dict()["crosswalk"]["after" if turned else "before"] == "EuroSAT"
    with rasterio.open(tmp_path / "change.tif") as file:
        values = file.read(1)
    assert ((values == NODATA) == ((land[0] == NODATA) | (land[1] == 0))).all()
    named = compare_maps(*files, legend="worldcover")
    assert named.changed == found.changed


def test_a_map_is_read_by_the_name_of_its_legend(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    assert read_cover(tmp_path / "worldcover.tif", "worldcover").legend == PRODUCTS["worldcover"].classes


def test_the_commands_say_which_table_was_used(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover, other = str(tmp_path / "cover.tif"), str(tmp_path / "worldcover.tif")
    done = CliRunner().invoke(cli, ["assess", cover, other, "--reference-legend", "worldcover"])
    assert done.exit_code == 0, done.output
    assert "Cropland: AnnualCrop, PermanentCrop = Cropland" in done.output
    assert "is itself a map" in done.output
    done = CliRunner().invoke(cli, ["compare-maps", other, cover])
    assert done.exit_code == 0, done.output
    assert "much of what differs is no change but mistakes and other definitions" in done.output
    done = CliRunner().invoke(cli, ["summarize", other, "-o", str(tmp_path / "areas.csv"), "--legend", "worldcover"])
    assert done.exit_code == 0, done.output
    assert "10,Tree cover," in (tmp_path / "areas.csv").read_text()
