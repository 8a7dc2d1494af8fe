"""Drawn labels are read and checked one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from landmap.errors import LandmapError
from landmap.scene.vector_labels import read_labels, without_overlaps

CRS = "EPSG:32633"
WKT = geopandas.GeoSeries([], crs=CRS).crs.to_wkt()


def square(x: float, y: float, side: float = 100) -> Any:
    return shapely.box(x, y, x + side, y + side)


def write(path: Path, rows: list[tuple[str | None, Any]], crs: str | None = CRS, **columns: Any) -> Path:
    names, shapes = zip(*rows, strict=True)
    geopandas.GeoDataFrame({"class": names, **columns}, geometry=list(shapes), crs=crs).to_file(path)
    return path


TWISTED = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("lake", None, "no geometry"),
        ("lake", shapely.Polygon(), "no geometry"),
        (None, square(0, 0), "no class"),
        ("  ", square(0, 0), "no class"),
        ("lake", TWISTED, "invalid geometry"),
        ("Lake", square(0, 0), "the class 'Lake', which others spell 'lake'"),
        ("läke", square(0, 0), "the class 'läke', which others spell 'lake'"),
    ],
)
def test_what_cannot_be_used_is_listed_with_its_id(tmp_path: Path, name: str, shape: Any, reason: str) -> None:
    rows = [("lake", square(1000, 0)), ("lake", square(2000, 0)), ("wood", square(3000, 0)), (name, shape)]
    found = read_labels(write(tmp_path / "drawn.gpkg", rows, id=[7, 8, 9, 44]), crs=WKT)
    (text,) = found.unusable
    assert text.startswith(reason)
    assert text.endswith(": 44")
    assert found.ids == ("7", "8", "9")
    assert found.counts() == {"lake": 2, "wood": 1}


def test_parts_heights_blanks_and_another_crs_are_no_obstacle(tmp_path: Path) -> None:
    deep = shapely.force_3d(shapely.MultiPolygon([square(500_000, 5_000_000), square(501_000, 5_000_000)]), 7.0)
    rows = [(" wood  land ", deep), ("lake", square(502_000, 5_000_000))]
    frame = geopandas.GeoDataFrame({"class": [r[0] for r in rows]}, geometry=[r[1] for r in rows], crs=CRS)
    frame.to_crs("EPSG:4326").to_file(tmp_path / "drawn.geojson")
    found = read_labels(tmp_path / "drawn.geojson", crs=WKT)
    assert (found.class_names, found.ids) == (("lake", "wood land"), ("1", "1", "2"))
    assert not shapely.has_z(found.shapes).any()
    np.testing.assert_allclose(shapely.area(found.shapes), 10_000, rtol=1e-3)
    assert found.counts() == {"lake": 1, "wood land": 1}, "parts of one feature count once"


def test_lines_and_points_get_a_width_in_metres(tmp_path: Path) -> None:
    rows = [
        ("road", shapely.LineString([(0, 0), (1000, 0)])),
        ("tree", shapely.Point(0, 500)),
        ("lake", square(0, 900)),
    ]
    found = read_labels(write(tmp_path / "drawn.gpkg", rows), crs=WKT, buffer=10)
    np.testing.assert_allclose(shapely.area(found.shapes), [20_000 + np.pi * 100, np.pi * 100, 10_000], rtol=0.01)
    assert shapely.area(read_labels(tmp_path / "drawn.gpkg", crs=WKT).shapes).tolist() == [0, 0, 10_000]


def test_overlaps_of_two_classes_are_left_out(tmp_path: Path) -> None:
    """Half of a square is too much, a twentieth is not; a point inside another class is wrong, too."""
    rows = [
        ("lake", square(0, 0)),
        ("wood", square(50, 0)),
        ("lake", square(1000, 0)),
        ("wood", square(1095, 0)),
        ("lake", square(2000, 0)),
        ("lake", square(2050, 0)),
        ("wood", shapely.Point(2010, 50)),
    ]
    found = without_overlaps(read_labels(write(tmp_path / "drawn.gpkg", rows), crs=WKT))
    assert found.ids == ("3", "4", "5", "6")
    assert found.unusable == ("overlap with another class: 1, 2, 7",)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(
    ("columns", "crs", "message"),
    [
        ({"column": "kind"}, CRS, "expected a column kind. Its columns: class, n. Name one: --label-column"),
        ({}, None, "expected a coordinate reference system"),
        ({"scene_column": "date"}, CRS, "expected a column date.*--scene-column"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, columns: dict[str, str], crs: str | None, message: str) -> None:
    path = write(tmp_path / "drawn.gpkg", [("lake", square(0, 0))], crs, n=[1])
    with pytest.raises(LandmapError, match=message):
        read_labels(path, **columns, crs=WKT)


def test_a_file_without_usable_labels_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "drawn.gpkg", [("lake", TWISTED), (None, square(0, 0))])
    with pytest.raises(LandmapError, match=r"none that can be used \(no class: 2; invalid geometry.*: 1\)"):
        read_labels(path, crs=WKT)


def test_too_many_points_are_labels_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap.scene.vector_labels.MOST", 3)
    path = write(tmp_path / "drawn.gpkg", [("lake", shapely.MultiPoint([(0, i) for i in range(4)]))])
    with pytest.raises(LandmapError, match=r"expected up to 3 polygons, lines or points. Received: 4.*gdal_rasterize"):
        read_labels(path, crs=WKT)


def test_several_files_count_as_one(tmp_path: Path) -> None:
    """One in degrees, with classes that are filled in for some places only; a conflict is found across the files."""
    rows = [("lake", square(500_000, 5_000_000)), ("lake", square(501_000, 5_000_000))]
    first = write(tmp_path / "drawn.gpkg", [*rows, ("wood", square(502_000, 5_000_000))], id=[7, 8, 9])
    more = [("Lake", square(503_000, 5_000_000)), (None, square(504_000, 5_000_000))]
    more += [("wood", square(500_010, 5_000_000)), ("bog", square(505_000, 5_000_000))]
    frame = geopandas.GeoDataFrame({"class": [r[0] for r in more]}, geometry=[r[1] for r in more], crs=CRS)
    frame.to_crs("EPSG:4326").to_file(tmp_path / "next.gpkg")
    found = without_overlaps(read_labels([first, tmp_path / "next.gpkg"], crs=WKT))
    assert found.ids == ("drawn.gpkg: 8", "drawn.gpkg: 9", "next.gpkg: 4")
    assert found.class_names == ("bog", "lake", "wood")
    assert found.classes.tolist() == [1, 2, 0]
    np.testing.assert_allclose(shapely.area(found.shapes), 10_000, rtol=1e-3)
    assert found.unusable == (
        "next.gpkg: no class: 2",
        "the class 'Lake', which others spell 'lake'; write them alike: next.gpkg: 1",
        "overlap with another class: drawn.gpkg: 7, next.gpkg: 3",
    )


def test_a_file_of_places_that_nobody_filled_in_is_listed(tmp_path: Path) -> None:
    first = write(tmp_path / "drawn.gpkg", [("lake", square(0, 0))])
    empty = write(tmp_path / "next.gpkg", [(None, square(1000, 0)), (None, square(2000, 0))])
    found = read_labels([first, empty], crs=WKT)
    assert (len(found), found.unusable) == (1, ("next.gpkg: no class: 1, 2",))
