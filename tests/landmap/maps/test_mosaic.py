"""Covers of neighbouring places become one map: by pyproj's, rasterio's and numpy's own arithmetic."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from pyproj import Transformer
from rasterio.merge import merge
from rio_cogeo import cog_validate

import landmap
import landmap.maps.mosaic
from landmap.cli import cli
from landmap.crosswalk import PRODUCTS
from landmap.errors import GeoreferenceError, LandmapError, OutputError, SceneError, SettingsError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps.mosaic import mosaic
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN, UNKNOWN_ID

Values = npt.NDArray[np.uint8]
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def write(
    path: Path, values: Values, transform: Affine = UTM, epsg: int = 32633, layer: str = "classes", **more: str
) -> Path:
    """Write a raster as a run does: a cover, or its confidence."""
    place = GeoBox(*values.shape, transform, rasterio.CRS.from_epsg(epsg).to_wkt())
    shown = (*EUROSAT, UNKNOWN) if layer == "classes" else None
    tags = {LAYER_TAG: layer, LEGEND_TAG: legend_tag((*EUROSAT, UNKNOWN))} | more
    with RasterWriter(path, place, Layers(("class",), tags, shown)) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=False)
    return path


def read(path: Path) -> Values:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def classes(rng: np.random.Generator, height: int, width: int) -> Values:
    """Random classes in squares of 4 pixels, with Unknown, and nodata in a corner."""
    coarse = rng.choice(np.array([*range(10), UNKNOWN_ID], np.uint8), (-(-height // 4), -(-width // 4)))
    found = coarse.repeat(4, 0).repeat(4, 1)[:height, :width]
    found[: height // 3, : width // 3] = NODATA
    return found


def places(file: Any, epsg: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coordinates in another CRS of the centres of a raster's pixels."""
    cols, rows = np.meshgrid(np.arange(file.width) + 0.5, np.arange(file.height) + 0.5)
    t = file.transform
    x, y = t.c + t.a * cols + t.b * rows, t.f + t.d * cols + t.e * rows
    return Transformer.from_crs(file.crs, epsg, always_xy=True).transform(x, y)


def nearest(cover: Path, file: Any) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Values of a cover at the centres of a raster's pixels, and where they lie within 0.02 pixels of a border."""
    with rasterio.open(cover) as own:
        x, y = places(file, own.crs.to_epsg())
        cols, rows = ~own.transform @ (x, y)
        values = own.read(1)
    inside = (rows >= 0) & (cols >= 0) & (rows < values.shape[0]) & (cols < values.shape[1])
    found = np.full(rows.shape, NODATA, np.uint8)
    found[inside] = values[rows[inside].astype(int), cols[inside].astype(int)]
    close = (np.abs(rows - np.round(rows)) < 0.02) | (np.abs(cols - np.round(cols)) < 0.02)
    return found, close


@pytest.fixture
def zones(tmp_path: Path) -> list[Path]:
    """Covers on both sides of 12° east at 48° north, in the UTM zones 32 and 33, that overlap; and a third, north."""
    rng = np.random.default_rng(1)
    west = Transformer.from_crs(4326, 32632, always_xy=True).transform(11.99, 48.0)
    east = Transformer.from_crs(4326, 32633, always_xy=True).transform(11.99, 48.0)
    corners = [tuple(round(value, -1) for value in corner) for corner in (west, east)]
    return [
        write(tmp_path / "a.tif", classes(rng, 230, 210), Affine(10, 0, corners[0][0], 0, -10, corners[0][1]), 32632),
        write(tmp_path / "b.tif", classes(rng, 190, 260), Affine(10, 0, corners[1][0] + 900, 0, -10, corners[1][1])),
        write(tmp_path / "c.tif", classes(rng, 90, 100), Affine(10, 0, corners[1][0], 0, -10, corners[1][1] + 1200)),
    ]


@pytest.mark.parametrize(
    ("crs", "resolution"), [(None, None), ("EPSG:32632", None), ("EPSG:3035", 10.0), ("EPSG:4326", None), (None, 7.0)]
)
def test_each_pixel_is_the_nearest_of_the_first_cover_that_has_a_class(
    crs: str | None, resolution: float | None, zones: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "map.tif"
    found = mosaic(zones, output, crs=crs, resolution=resolution)
    with rasterio.open(output) as file:
        values = file.read(1)
        assert file.crs.to_epsg() == int((crs or "EPSG:32633").removeprefix("EPSG:"))
        several = [nearest(path, file) for path in zones]
        for path in zones:  # no corner of a cover is beyond the map
            with rasterio.open(path) as own:
                x, y = places(own, file.crs.to_epsg())
                cols, rows = ~file.transform @ (x, y)
                assert min(rows.min(), cols.min()) >= 0
                assert (rows.max() < file.height, cols.max() < file.width) == (True, True)
    expected = np.full(values.shape, NODATA, np.uint8)
    close = np.zeros(values.shape, bool)
    for accept in (range(10), (UNKNOWN_ID,)):
        for one, _ in several:
            expected = np.where((expected == NODATA) & np.isin(one, accept), one, expected)
    for _, near in several:
        close |= near
    np.testing.assert_array_equal(values[~close], expected[~close])
    # A pixel whose centre lies in any valid pixel is valid, but for the thousandth part of a border.
    lost = (expected != NODATA) & (values == NODATA)
    assert (lost & ~close).sum() == 0
    assert lost.sum() <= 0.002 * lost.size
    assert found.pixels is not None
    assert sum(found.pixels) == (values != NODATA).sum()
    assert any("nearest of their pixels" in text for text in found.warnings)


def test_covers_on_one_grid_are_put_together_as_by_rasterio(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    steps = {"a": (0, 0), "b": (30, 50), "c": (-40, 20), "d": (900, 900)}  # the last one touches none
    paths = []
    for name, (down, right) in steps.items():
        values = classes(rng, 130, 90)
        values[values == UNKNOWN_ID] = 3
        paths.append(write(tmp_path / f"{name}.tif", values, UTM @ Affine.translation(right, down)))
    output = tmp_path / "map.tif"
    found = mosaic(paths, output)
    expected, transform = merge([str(path) for path in paths], method="first")
    np.testing.assert_array_equal(read(output), expected[0])
    with rasterio.open(output) as file:
        assert file.transform == transform
        assert file.nodata == NODATA
        assert file.tags()[LAYER_TAG] == "classes"
        assert file.tags()["LANDMAP_COVERS"] == "a.tif, b.tif, c.tif, d.tif"
        assert file.colormap(1)[1][:3] == EUROSAT.classes[1].rgb
        assert file.overviews(1)
    assert cog_validate(output, strict=True)[0]
    assert found.warnings == ()
    assert {"map.tif.aux.xml", "map.qml"} <= {p.name for p in tmp_path.iterdir()}


def test_the_surest_cover_decides_pixel_by_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    covers, percents = ([], [])
    for name, shift in (("a", 0), ("b", 20), ("c", 35)):
        place = UTM @ Affine.translation(shift, shift)
        values = classes(rng, 100, 100)
        percent = np.where(values == NODATA, NODATA, rng.integers(0, 101, values.shape)).astype(np.uint8)
        write(tmp_path / f"{name}.tif", values, place)
        write(tmp_path / f"{name}_confidence.tif", percent, place, layer="confidence")
        padded = [np.pad(v, ((shift, 35 - shift),) * 2, constant_values=NODATA) for v in (values, percent)]
        covers.append(padded[0])
        percents.append(padded[1])
    mosaic([tmp_path / f"{name}.tif" for name in "abc"], tmp_path / "map.tif", by="confidence")
    stack, percent = np.array(covers), np.array(percents).astype(int)
    rank = np.where(stack == NODATA, -2, np.where(stack == UNKNOWN_ID, -1, percent))
    expected = np.take_along_axis(stack, rank.argmax(0)[None], 0)[0]
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), expected)
    given = [str(tmp_path / f"{name}.tif") for name in "abc"]
    sure = [word for name in "abc" for word in ("--confidence", str(tmp_path / f"{name}_confidence.tif"))]
    line = ["mosaic", *given, "-o", str(tmp_path / "again.tif"), "--by", "confidence", *sure]
    assert "3 covers" in CliRunner().invoke(cli, line, catch_exceptions=False).output
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "map.tif").read_bytes()
    (tmp_path / "b_confidence.tif").unlink()
    with pytest.raises(SceneError, match=r"b\.tif: expected its confidence beside it, b_confidence\.tif"):
        mosaic([tmp_path / f"{name}.tif" for name in "abc"], tmp_path / "other.tif", by="confidence")


def test_the_latest_cover_decides(tmp_path: Path) -> None:
    """By the Item beside it, the scene's name in its tag, or its own name."""
    ones = np.ones((8, 8), np.uint8)
    tag = {"LANDMAP_SCENE": "S2A_MSIL2A_20230813T100601_N0509_R022_T33TVN_20230813T163055.SAFE"}
    paths = [
        write(tmp_path / "tagged.tif", ones, **tag),
        write(tmp_path / "T33TVN_20240102T100601_map.tif", 2 * ones),
        write(tmp_path / "item.tif", 3 * ones, UTM @ Affine.translation(2, 0)),
    ]
    (tmp_path / "item.json").write_text(json.dumps({"properties": {"datetime": "2023-09-01T00:00:00Z"}}))
    found = mosaic(paths, tmp_path / "map.tif", by="date")
    assert [Path(name).name for name in found.covers] == [p.name for p in (paths[1], paths[2], paths[0])]
    np.testing.assert_array_equal(read(tmp_path / "map.tif")[0], [2] * 8 + [3] * 2)
    (tmp_path / "item.json").unlink()
    with pytest.raises(SceneError, match=r"item\.tif: expected the date of its scene"):
        mosaic(paths, tmp_path / "other.tif", by="date")


def test_blocks_leave_no_trace(zones: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic(zones, tmp_path / "whole.tif", crs="EPSG:3035")
    monkeypatch.setattr(landmap.maps.mosaic, "BLOCK", 64)
    done: list[tuple[int, int]] = []
    mosaic(zones, tmp_path / "blocks.tif", crs="EPSG:3035", progress=lambda *counts: done.append(counts))
    np.testing.assert_array_equal(read(tmp_path / "whole.tif"), read(tmp_path / "blocks.tif"))
    assert done[-1][0] == done[-1][1] == len(done) > 10


def test_a_vrt_shows_the_same_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    (tmp_path / "covers").mkdir()
    for name, shift in (("a", 0), ("b", 400), ("c", 700)):
        values = classes(rng, 700, 650)
        values[values == UNKNOWN_ID] = 4
        write(tmp_path / "covers" / f"{name}.tif", values, UTM @ Affine.translation(shift, shift))
    mosaic([tmp_path / "covers"], tmp_path / "map.tif")
    found = mosaic([tmp_path / "covers"], tmp_path / "view.vrt", vrt=True)
    assert found.pixels is None
    np.testing.assert_array_equal(read(tmp_path / "view.vrt"), read(tmp_path / "map.tif"))
    with rasterio.open(tmp_path / "view.vrt") as vrt, rasterio.open(tmp_path / "map.tif") as tif:
        assert vrt.transform == tif.transform
        assert vrt.colormap(1) == tif.colormap(1) | {i: vrt.colormap(1)[i] for i in range(10, 254)}
        assert vrt.overviews(1)
    tables = []
    for name in ("map.tif", "view.vrt"):
        landmap.summarize(tmp_path / name, tmp_path / "areas.csv", overwrite=True)
        tables.append((tmp_path / "areas.csv").read_text())
    assert tables[0] == tables[1]
    (tmp_path / "elsewhere").mkdir()
    for name in ("covers", "view.vrt", "view.qml"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    np.testing.assert_array_equal(read(tmp_path / "elsewhere/view.vrt"), read(tmp_path / "map.tif"))


def test_covers_on_both_sides_of_180_degrees_lie_side_by_side(tmp_path: Path) -> None:
    near = Affine(0.001, 0, 179.95, 0, -0.001, -17), Affine(0.001, 0, -180, 0, -0.001, -17)
    paths = [
        write(tmp_path / f"{i}.tif", np.full((20, 50), i + 1, np.uint8), place, 4326) for i, place in enumerate(near)
    ]
    mosaic(paths, tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), np.repeat([[1] * 50 + [2] * 50], 20, 0))
    mosaic(paths, tmp_path / "utm.tif", crs="EPSG:32701", resolution=100)
    found = read(tmp_path / "utm.tif")
    middle = found[found.shape[0] // 2]
    assert middle.size < 120
    assert (np.diff(np.flatnonzero(middle != NODATA)) == 1).all()
    assert set(middle.tolist()) == {1, 2, NODATA}


def test_every_command_takes_the_map(
    zones: list[Path], tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    output = tmp_path / "map.tif"
    mosaic(zones, output)
    with rasterio.open(output) as file:
        values, place = file.read(1), {"transform": file.transform, "crs": file.crs}
    scene = write_scene(ordinary(*values.shape), "scene.tif", **place)
    lines = [
        f"summarize {output} -o {tmp_path}/s.csv",
        f"vectorize {output} -o {tmp_path}/v.gpkg",
        f"compare-maps {output} {output} -o {tmp_path}/change.tif",
        f"assess {output} {output} -o {tmp_path}/a.json",
        f"quicklook {scene} {output} -o {tmp_path}/q.png",
        f"report {scene} {output} -o {tmp_path}/r.html",
    ]
    for line in lines:
        done = CliRunner().invoke(cli, line.split(), catch_exceptions=False)
        assert done.exit_code == 0, line
    assert json.loads((tmp_path / "a.json").read_text())["overall_accuracy"]["value"] == 1
    page = (tmp_path / "r.html").read_text()
    assert "a.tif, b.tif, c.tif" in page
    assert landmap.open_cover(output).shape == values.shape


def test_maps_of_other_legends_are_refused_or_recoded(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    own = rng.integers(0, 10, (40, 40)).astype(np.uint8)
    write(tmp_path / "own.tif", own)
    codes = np.array([c.id for c in PRODUCTS["worldcover"].classes], np.uint8)
    theirs = rng.choice(codes, (40, 40))
    with rasterio.open(
        tmp_path / "theirs.tif",
        "w",
        driver="GTiff",
        height=40,
        width=40,
        count=1,
        dtype="uint8",
        crs="EPSG:32633",
        transform=UTM @ Affine.translation(40, 0),
        nodata=0,
    ) as file:
        file.write(theirs, 1)
        file.update_tags(**{LEGEND_TAG: legend_tag(PRODUCTS["worldcover"].classes)})
    paths = [tmp_path / "own.tif", tmp_path / "theirs.tif"]
    with pytest.raises(
        SceneError, match=r"covers of the same classes.*0 AnnualCrop.*10 Tree cover.*--legend worldcover"
    ):
        mosaic(paths, tmp_path / "map.tif")
    mosaic(paths, tmp_path / "map.tif", legend="worldcover")
    # AnnualCrop, Forest, HerbaceousVegetation, Highway, Industrial, Pasture, PermanentCrop, Residential, River, SeaLake
    table = np.array([40, 10, 30, 50, 50, 30, 40, 50, 80, 80], np.uint8)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), np.hstack([table[own], theirs]))
    with rasterio.open(tmp_path / "map.tif") as file:
        assert json.loads(file.tags()[LEGEND_TAG])["10"] == "Tree cover"
    with pytest.raises(SettingsError, match=r"covers are recoded to worldcover: leave out --vrt"):
        mosaic(paths, tmp_path / "view.vrt", legend="worldcover", vrt=True)


def _without_crs(folder: Path) -> list[Path]:
    with rasterio.open(folder / "a.tif") as file:
        profile, values = file.profile | {"driver": "GTiff", "crs": None}, file.read(1)
        tags = file.tags()
    with rasterio.open(folder / "bare.tif", "w", **profile) as file:
        file.write(values, 1)
        file.update_tags(**tags)
    return [folder / "a.tif", folder / "bare.tif"]


def _cut_short(folder: Path) -> list[Path]:
    whole = (folder / "b.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) * 3 // 4])
    return [folder / "a.tif", folder / "cut.tif"]


def _damaged(folder: Path) -> list[Path]:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "a.tif").rename(inside / "a.tif")
    (inside / "b.TIFF").write_bytes((folder / "b.tif").read_bytes()[:10])
    return [inside]


def _strange_ids(folder: Path) -> list[Path]:
    return [write(folder / "strange.tif", np.full((9, 9), 77, np.uint8))]


@pytest.mark.parametrize(
    ("covers", "options", "error", "message"),
    [
        (lambda f: [], {}, SettingsError, "at least one cover"),
        (lambda f: [f / "a.tif", f / "none.tif"], {}, SceneError, r"none\.tif: can't be read"),
        (_without_crs, {}, GeoreferenceError, r"bare\.tif: expected a coordinate reference system"),
        (_cut_short, {}, SceneError, r"cut\.tif: can't be read"),
        (_strange_ids, {}, SceneError, "77"),
        (_damaged, {}, SceneError, r"b\.TIFF: can't be read.* It may be a cover: take it out of"),
        (lambda f: [f / "a.tif"], {"crs": "nowhere"}, SettingsError, "a CRS such as EPSG:3035"),
        (lambda f: [f / "a.tif"], {"resolution": 0.0}, SettingsError, "resolution above 0"),
        (lambda f: [f / "a.tif"], {"resolution": 1e-3}, SettingsError, "billion pixels"),
        (lambda f: [f / "a.tif", f / "b.tif"], {"vrt": True}, SettingsError, r"a\.tif lies on another grid"),
        (lambda f: [f / "a.tif"], {"by": "confidence"}, SceneError, "expected its confidence beside it"),
        (
            lambda f: [f / "a.tif"],
            {"by": "confidence", "confidence": [Path("a"), Path("b")]},
            SettingsError,
            "each of 1 covers",
        ),
        (lambda f: [f], {}, OutputError, "is the scene itself"),
        (lambda f: [f / "empty"], {}, SceneError, "expected a folder with covers"),
    ],
)
def test_what_makes_no_map_is_one_error_and_nothing_is_lost(
    covers: Callable[[Path], list[Path]],
    options: dict[str, Any],
    error: type[LandmapError],
    message: str,
    zones: list[Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    given = covers(tmp_path)
    name = "view.vrt" if options.get("vrt") else "b.tif" if error is OutputError else "map.tif"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(error, match=message) as caught:
        mosaic(given, tmp_path / name, overwrite=True, **options)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
