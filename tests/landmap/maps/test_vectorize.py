"""Covers become polygons: every pixel once, borders shared, whatever the strips they were read in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import Transformer
from rasterio.features import rasterize
from scipy import ndimage

import landmap
from landmap.errors import OutputError, SceneError, SettingsError
from landmap.io.qgis import vector_qml
from landmap.maps.cover import read_cover
from landmap.maps.polygons import open_placeless, polygons, write_numbers
from landmap.maps.regions import find_regions
from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.legend import EUROSAT, NODATA

Bytes = npt.NDArray[np.uint8]
WriteCover = Callable[..., Path]
SMALL = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 3, 7, NODATA]))
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write_cover(write_scene: Callable[..., Path]) -> WriteCover:
    """A function that writes class ids, or percent for `layer="confidence"`, as `classify` would."""

    def write(values: Bytes, name: str = "cover.tif", layer: str = "classes", **profile: Any) -> Path:
        tags = {LAYER_TAG: layer, LEGEND_TAG: legend_tag(EUROSAT), CELL_TAG: "8"}
        layers = values if values.ndim == 3 else values[None]
        return write_scene(layers, name, nodata=NODATA, tags=tags, bands=("x",) * len(layers), **profile)

    return write


def land(height: int, width: int, seed: int = 0) -> Bytes:
    """Class ids in fields, with a corner of nodata."""
    rng = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(rng.random((height, width)), 3) for _ in range(10)]).argmax(axis=0)
    fields[: height // 4, : width // 5] = NODATA
    return fields.astype(np.uint8)


def percent(classes: Bytes, seed: int = 1) -> Bytes:
    values = np.random.default_rng(seed).integers(0, 101, classes.shape)
    return np.where(classes == NODATA, NODATA, values).astype(np.uint8)


def labelled(classes: Bytes) -> npt.NDArray[np.int64]:
    """Numbers of regions from 1 in the order of their first pixel, 0 for nodata; by SciPy, class by class."""
    found = np.zeros(classes.shape, np.int64)
    for c in set(classes.ravel().tolist()) - {NODATA}:
        part, _ = ndimage.label(classes == c)
        found += np.where(part, part + found.max(), 0)
    numbers = [n for n in dict.fromkeys(found.ravel().tolist()) if n]
    new = dict(zip(numbers, range(1, len(numbers) + 1), strict=True)) | {0: 0}
    return np.vectorize(new.__getitem__, otypes=[np.int64])(found)


@few
@given(classes=SMALL, rows=st.integers(1, 15))
def test_regions_are_those_of_scipy_whatever_the_strips(
    classes: Bytes, rows: int, write_cover: WriteCover, tmp_path: Path
) -> None:
    cover = read_cover(write_cover(classes))
    confidence = percent(classes)
    path = write_cover(confidence, "confidence.tif", "confidence")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landmap.maps.cover.STRIP_ROWS", rows)
        regions = find_regions(cover, path)
        write_numbers(cover, regions, tmp_path / "numbers.tif")
    expected = labelled(classes)
    with open_placeless(tmp_path / "numbers.tif") as file:
        np.testing.assert_array_equal(file.read(1), expected)
    index = np.arange(1, expected.max() + 1)
    np.testing.assert_array_equal(regions.pixels, [(expected == i).sum() for i in index])
    np.testing.assert_array_equal(regions.class_id, [classes[expected == i][0] for i in index])
    np.testing.assert_allclose(regions.confidence, [confidence[expected == i].mean() for i in index])
    np.testing.assert_allclose(regions.hectares, regions.pixels * 0.01)


@few
@given(classes=SMALL, rows=st.integers(1, 15))
def test_polygons_are_their_pixels_and_fit_together(
    classes: Bytes, rows: int, write_cover: WriteCover, tmp_path: Path
) -> None:
    cover = read_cover(write_cover(classes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landmap.maps.cover.STRIP_ROWS", rows)
        patch.setattr("landmap.maps.polygons.BATCH_VERTICES", 30)
        regions = find_regions(cover)
        forks = write_numbers(cover, regions, tmp_path / "numbers.tif")
        drawn = list(polygons(tmp_path / "numbers.tif", forks))
    geometry = np.concatenate([np.empty(0, object), *(batch.geometry for batch in drawn)])
    number = np.concatenate([np.empty(0, int), *(batch.number for batch in drawn)])
    assert sorted(number.tolist()) == list(range(1, len(regions) + 1)), "one polygon a region"
    assert shapely.is_valid(geometry).all()
    assert shapely.coverage_is_valid(geometry), "no gap, no overlap, and the same vertices on both sides of a border"
    np.testing.assert_array_equal(shapely.area(geometry), regions.pixels[number - 1])
    if len(number):
        pairs = zip(geometry, number.tolist(), strict=True)
        np.testing.assert_array_equal(rasterize(pairs, classes.shape, dtype="int32"), labelled(classes))


@few
@given(classes=SMALL, rows=st.integers(1, 15), minimum=st.integers(2, 30))
def test_small_regions_find_a_host(
    classes: Bytes, rows: int, minimum: int, write_cover: WriteCover, tmp_path: Path
) -> None:
    """What is left is small only as an island in nodata, and no two neighbours have one class."""
    cover = read_cover(write_cover(classes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landmap.maps.cover.STRIP_ROWS", rows)
        regions = find_regions(cover, min_hectares=minimum * 0.01 - 1e-9)
        write_numbers(cover, regions, tmp_path / "numbers.tif")
    with open_placeless(tmp_path / "numbers.tif") as file:
        numbers = file.read(1)
    np.testing.assert_array_equal(numbers == 0, classes == NODATA)
    assert regions.pixels.sum() == (classes != NODATA).sum()
    joined = np.append(regions.class_id, NODATA)[numbers.astype(int) - 1].astype(np.uint8)
    np.testing.assert_array_equal(labelled(joined), numbers)
    islands = ndimage.label(classes != NODATA)[0]
    for i in np.flatnonzero(regions.pixels < minimum) + 1:
        (island,) = set(islands[numbers == i].tolist())
        np.testing.assert_array_equal(numbers == i, islands == island)


def test_the_longest_border_decides_and_metres_count(write_cover: WriteCover) -> None:
    classes = np.array([[1, 1, 1], [2, 5, 5], [3, 3, 3]], np.uint8)
    square = find_regions(read_cover(write_cover(classes)), min_hectares=0.0101)
    assert square.class_id.tolist() == [1, 5, 3], "class 2 has three sides of 10 m: the largest neighbour takes it"
    flat = Affine(20, 0, 500_000, 0, -10, 5_000_000)
    wide = find_regions(read_cover(write_cover(classes, "wide.tif", transform=flat)), min_hectares=0.021)
    assert wide.class_id.tolist() == [1, 5, 3]
    assert wide.pixels.tolist() == [4, 2, 3], "of 20 m above and below and 10 m beside, the first above"


@pytest.fixture
def cover(write_cover: WriteCover) -> Path:
    classes = land(90, 120)
    write_cover(percent(classes), "confidence.tif", "confidence")
    return write_cover(classes)


def test_a_geopackage_has_it_all(cover: Path, tmp_path: Path) -> None:
    count = landmap.vectorize(cover, tmp_path / "cover.gpkg", confidence=tmp_path / "confidence.tif")
    frame = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover")
    with rasterio.open(cover) as file, rasterio.open(tmp_path / "confidence.tif") as other:
        classes, confidence = file.read(1), other.read(1)
        shape = {"out_shape": file.shape, "transform": file.transform, "fill": NODATA, "dtype": "uint8"}
    assert len(frame) == count == labelled(classes).max()
    assert list(frame.columns) == ["class_id", "name", "hectares", "mean_confidence", "geometry"]
    assert frame.crs.to_epsg() == 32633
    assert frame.area.sum() == pytest.approx((classes != NODATA).sum() * 100, rel=1e-9)
    np.testing.assert_allclose(frame.area, frame.hectares * 10_000)
    np.testing.assert_array_equal(rasterize(zip(frame.geometry, frame.class_id, strict=True), **shape), classes)
    assert frame.name.tolist() == [EUROSAT.names[i] for i in frame.class_id]
    weighted = (frame.mean_confidence * frame.hectares).groupby(frame.class_id).sum() * 100
    for c, total in weighted.items():
        assert total == pytest.approx(confidence[classes == c].sum())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["confidence.tif", "cover.gpkg", "cover.tif"]


def test_qgis_finds_the_style(cover: Path, tmp_path: Path) -> None:
    landmap.vectorize(cover, tmp_path / "cover.gpkg")
    with sqlite3.connect(tmp_path / "cover.gpkg") as base:
        (row,) = base.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        geometry = base.execute("SELECT column_name FROM gpkg_geometry_columns WHERE table_name = 'cover'").fetchone()
        kind = base.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'").fetchone()
    base.close()
    assert row[:3] == ("cover", *geometry, 1)
    assert kind == ("attributes",)
    assert row[3] == vector_qml(EUROSAT)
    root = ElementTree.fromstring(row[3])
    colours = {s.get("name"): s.find("layer/Option/Option[@name='color']") for s in root.iter("symbol")}
    for category, c in zip(root.iter("category"), EUROSAT, strict=True):
        assert (category.get("value"), category.get("label")) == (str(c.id), c.name)
        colour = colours[category.get("symbol")]
        assert colour is not None
        assert colour.get("value") == ",".join(map(str, (*c.rgb, 255)))
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == "class_id"


def test_geojson_is_in_longitude_and_latitude(cover: Path, tmp_path: Path) -> None:
    """RFC 7946: no CRS named, outer rings counterclockwise."""
    landmap.vectorize(cover, tmp_path / "cover.gpkg")
    landmap.vectorize(cover, tmp_path / "cover.geojson")
    written = json.loads((tmp_path / "cover.geojson").read_text())
    assert "crs" not in written
    assert written["features"][0]["properties"]["mean_confidence"] is None
    found = shapely.from_geojson([json.dumps(f["geometry"]) for f in written["features"]])
    assert shapely.is_ccw(shapely.get_exterior_ring(found)).all()
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    frame = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover")
    expected = shapely.transform(frame.geometry.to_numpy(), lambda p: np.stack(to_degrees.transform(*p.T), axis=1))
    assert shapely.equals_exact(shapely.normalize(found), shapely.normalize(expected), 1e-7).all()
    assert shapely.coverage_is_valid(found), "no seam opens in another projection"


def test_geoparquet_says_where_it_lies(cover: Path, tmp_path: Path) -> None:
    landmap.vectorize(cover, tmp_path / "cover.gpkg")
    landmap.vectorize(cover, tmp_path / "cover.parquet")
    frame = geopandas.read_parquet(tmp_path / "cover.parquet")
    assert frame.crs.to_epsg() == 32633
    other = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover")
    assert shapely.equals_exact(frame.geometry.to_numpy(), other.geometry.to_numpy()).all()
    part = geopandas.read_parquet(tmp_path / "cover.parquet", bbox=(500_000, 4_999_900, 500_300, 5_000_000))
    assert 0 < len(part) < len(frame)


def test_parquet_without_pyarrow_names_the_extra(cover: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(OutputError, match=r"pip install 'landmap\[parquet\]'"):
        landmap.vectorize(cover, tmp_path / "cover.parquet")


@pytest.mark.parametrize("group", [10**9, 100])
def test_simplified_borders_stay_shared(
    group: int, cover: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landmap.maps.polygons.BATCH_VERTICES", 100)
    monkeypatch.setattr("landmap.maps.polygons.GROUP_VERTICES", group)
    landmap.vectorize(cover, tmp_path / "all.parquet")
    landmap.vectorize(cover, tmp_path / "simple.parquet", simplify=20)
    before, after = (geopandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("all", "simple"))
    assert after.count_coordinates().sum() < (0.8 if group > 100 else 1) * before.count_coordinates().sum()
    assert after.is_valid.all()
    assert shapely.coverage_is_valid(after.geometry.to_numpy())
    assert after.area.sum() == pytest.approx(before.area.sum(), rel=1e-9)
    assert shapely.area(after.union_all() ^ before.union_all()) == pytest.approx(0, abs=1e-3), "the outer border stays"
    np.testing.assert_array_equal(after.hectares, before.hectares)


def test_min_area_leaves_none_smaller_and_loses_nothing(cover: Path, tmp_path: Path) -> None:
    landmap.vectorize(cover, tmp_path / "all.parquet")
    landmap.vectorize(cover, tmp_path / "large.parquet", min_area=0.5)
    before, after = (geopandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("all", "large"))
    assert before.hectares.min() < 0.5 <= after.hectares.min()
    assert after.hectares.sum() == pytest.approx(before.hectares.sum(), rel=1e-9)


@pytest.mark.parametrize(
    "transform", [Affine(8, 3, 500_000, 3, -8, 5_000_000), Affine(10, 0, 500_000, 0, 10, 4_900_000)]
)
def test_rotated_and_south_up_covers_lie_where_they_are(
    transform: Affine, write_cover: WriteCover, tmp_path: Path
) -> None:
    classes = land(30, 40)
    landmap.vectorize(write_cover(classes, transform=transform), tmp_path / "cover.gpkg")
    frame = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover")
    pairs = zip(frame.geometry, frame.class_id, strict=True)
    np.testing.assert_array_equal(rasterize(pairs, classes.shape, NODATA, transform=transform, dtype="uint8"), classes)


def test_cells_have_probabilities(write_cover: WriteCover, tmp_path: Path) -> None:
    classes = land(50, 61)
    layers = np.random.default_rng(3).integers(0, 101, (10, 50, 61)).astype(np.uint8)
    layers[:, classes == NODATA] = NODATA
    path = write_cover(layers, "probabilities.tif", "probabilities")
    landmap.vectorize(write_cover(classes), tmp_path / "cover.gpkg", probabilities=path, cells=True)
    assert set(pyogrio.list_layers(tmp_path / "cover.gpkg")[:, 0]) == {"cover", "cells", "layer_styles"}
    frame = geopandas.read_file(tmp_path / "cover.gpkg", layer="cells")
    frame.index = frame.bounds[["minx", "maxy"]].apply(tuple, axis=1)
    for row in range(0, 50, 8):
        for col in range(0, 61, 8):
            place, corner = np.s_[row : row + 8, col : col + 8], (500_000.0 + 10 * col, 5_000_000.0 - 10 * row)
            valid = classes[place] != NODATA
            assert (corner in frame.index) == bool(valid.any())
            if valid.any():
                cell = frame.loc[[corner]].iloc[0]
                assert cell.geometry.area == valid.size * 100
                assert cell.class_id == np.bincount(classes[place][valid]).argmax()
                means = [layer[place][valid].mean() for layer in layers]
                np.testing.assert_allclose([cell[f"p_{name}"] for name in EUROSAT.names], means, rtol=1e-6)


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "parquet"])
def test_a_cover_without_data_has_no_polygons(ending: str, write_cover: WriteCover, tmp_path: Path) -> None:
    path = write_cover(np.full((9, 11), NODATA, np.uint8))
    assert landmap.vectorize(path, tmp_path / f"cover.{ending}") == 0
    if ending == "parquet":
        assert len(geopandas.read_parquet(tmp_path / "cover.parquet")) == 0
    else:
        assert pyogrio.read_info(tmp_path / f"cover.{ending}", layer=0)["features"] == 0


@pytest.mark.parametrize(
    ("output", "choices", "error", "words"),
    [
        ("cover.shp", {}, OutputError, r"ends in \.gpkg"),
        ("cover.gpkg", {"cells": True}, SettingsError, "--probabilities"),
        ("cover.geojson", {"cells": True, "probabilities": "p.tif"}, SettingsError, "GeoPackage"),
        ("cover.gpkg", {"min_area": -1}, SettingsError, "hectares"),
        ("cover.gpkg", {"simplify": float("nan")}, SettingsError, "metres"),
        ("cover.gpkg", {"confidence": "cover.tif"}, SceneError, "expected a raster of confidence"),
        ("none/cover.gpkg", {}, OutputError, "folder that exists"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    output: str, choices: dict[str, Any], error: type[Exception], words: str, cover: Path, tmp_path: Path
) -> None:
    given = {k: tmp_path / v if isinstance(v, str) else v for k, v in choices.items()}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=words):
        landmap.vectorize(cover, tmp_path / output, **given)
    assert sorted(tmp_path.iterdir()) == before


def test_other_rasters_are_refused(cover: Path, write_cover: WriteCover, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="expected a cover written by landmap"):
        landmap.vectorize(tmp_path / "confidence.tif", tmp_path / "cover.gpkg")
    other = write_cover(percent(land(91, 120)), "other.tif", "confidence")
    with pytest.raises(SceneError, match="on the grid of"):
        landmap.vectorize(cover, tmp_path / "cover.gpkg", confidence=other)


def test_noise_is_refused(cover: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap.maps.regions.MAX_REGIONS", 5)
    with pytest.raises(OutputError, match="more than 5 polygons"):
        landmap.vectorize(cover, tmp_path / "cover.gpkg")


def test_nothing_is_overwritten_unasked(cover: Path, tmp_path: Path) -> None:
    (tmp_path / "cover.gpkg-wal").write_text("stale")
    with pytest.raises(OutputError, match=r"cover\.gpkg-wal: exists already"):
        landmap.vectorize(cover, tmp_path / "cover.gpkg")
    landmap.vectorize(cover, tmp_path / "cover.gpkg", overwrite=True)
    assert not (tmp_path / "cover.gpkg-wal").exists(), "SQLite would play it into the new file"


def test_a_cover_without_a_place_has_polygons_but_no_hectares(write_cover: WriteCover, tmp_path: Path) -> None:
    classes = land(30, 40)
    path = write_cover(classes, crs=None)
    landmap.vectorize(path, tmp_path / "cover.gpkg")
    frame = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover")
    assert frame.hectares.isna().all()
    assert frame.area.sum() == (classes != NODATA).sum() * 100
    with pytest.raises(OutputError, match="CRS"):
        landmap.vectorize(path, tmp_path / "cover.geojson")
