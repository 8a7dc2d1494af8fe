"""Polygons at 180° are brought to a grid there as the same are at 12°, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely import affinity

import landmap
from landmap.errors import SceneError
from landmap.geo.geobox import GeoBox
from landmap.scene.aoi import read_area
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

Bools = npt.NDArray[np.bool_]
HEIGHT, WIDTH = 120, 160
ALL = Window(0, 0, HEIGHT, WIDTH)
HOME, AWAY = "EPSG:32733", "EPSG:32701"
"""12° E lies in zone 33 where 180° lies in zone 1: a scene has the same coordinates in both."""
SHIFT = 168
PLACE = Affine(10, 0, 180_300, 0, -10, 8_119_000)
FORMS = ("cut", "east", "west", "jump")
MERCATOR = 20_037_508.342789244


def grid(crs: str, place: Affine = PLACE) -> GeoBox:
    return GeoBox(HEIGHT, WIDTH, place, CRS.from_user_input(crs).to_wkt())


def moved(shape: Any, form: str) -> Any:
    """A shape around 12° E, brought to 180° in one of the ways in which people write that."""
    east = affinity.translate(shape, SHIFT)
    if form == "east":
        return east
    if form == "west":
        return affinity.translate(east, -360)
    if form == "cut":
        parts = [east & shapely.box(0, -90, 180, 90), affinity.translate(east & shapely.box(180, -90, 360, 90), -360)]
        polygons = [p for part in parts for p in shapely.get_parts(part) if p.geom_type == "Polygon"]
        return shapely.MultiPolygon(polygons)
    return shapely.transform(east, lambda points: np.where(points > 180, points - [360, 0], points))


def write(path: Path, *shapes: Any, crs: Any = 4326, **columns: Any) -> Path:
    path.unlink(missing_ok=True)
    geopandas.GeoDataFrame({"id": range(len(shapes))} | columns, geometry=list(shapes), crs=crs).to_file(path)
    return path


def in_degrees(crs: str = HOME, place: Affine = PLACE) -> tuple[float, float, float, float]:
    return Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*grid(crs, place).bounds)


def triangle(corners: list[tuple[float, float]]) -> Any:
    """A triangle with corners in parts of the scene's box in degrees, at 12°."""
    west, south, east, top = in_degrees()
    return shapely.Polygon([(west + (east - west) * x, south + (top - south) * y) for x, y in corners])


def sure(shape: Any) -> Bools:
    """Pixels at home whose middle is not on the border of a shape in degrees."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    points = shapely.points(
        *Transformer.from_crs(HOME, 4326, always_xy=True).transform(*(PLACE @ np.stack((cols, rows))))
    )
    return np.asarray(shapely.distance(shape.boundary, points) > 1e-7)


CORNER = st.tuples(st.floats(-0.3, 1.3), st.floats(-0.3, 1.3))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corners=st.lists(CORNER, min_size=3, max_size=3), form=st.sampled_from(FORMS))
def test_an_area_is_the_same_there(corners: list[tuple[float, float]], form: str, tmp_path: Path) -> None:
    shape = triangle(corners)
    if shape.area < 1e-6:
        return
    found = []
    for crs, written in ((HOME, shape), (AWAY, moved(shape, form))):
        path = str(write(tmp_path / "a.gpkg", written))
        try:
            found.append(read_area(path, grid(crs), "scene.tif").usable(ALL))
        except SceneError:
            found.append(np.zeros(ALL.shape, np.bool_))
    np.testing.assert_array_equal(found[0] & sure(shape), found[1] & sure(shape))


def test_no_line_of_pixels_is_lost_where_parts_meet(tmp_path: Path) -> None:
    """As one shape, as two, and by a tool that ends a metre before 180°."""
    country = moved(shapely.box(9, -18, 14, -16), "cut")
    west, east = country.geoms
    short = shapely.box(177, -18, 179.99999, -16), shapely.box(-179.99999, -18, -178, -16)
    for shapes in ((country,), (west, east), short, (shapely.MultiPolygon(short),)):
        for shift in np.arange(0, 10, 0.625):
            place = Affine.translation(shift, 0) @ PLACE
            path = write(tmp_path / "a.gpkg", *shapes)
            assert read_area(str(path), grid(AWAY, place), "scene.tif").usable(ALL).all()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            moved(shapely.box(11.9, -17.1, 12.1, -16.9), "jump"),
            "a border between -179.9 and 179.9 is taken the short way, over 180",
        ),
        (shapely.box(-180, -90, 180, 90), ""),
        (shapely.box(0, -90, 360, 90), ""),
        (shapely.box(-170.0, -80, 190.0, 80), ""),
        (shapely.box(177, -20, 185, 20), ""),
    ],
)
def test_the_scene_is_inside(shape: Any, words: str, tmp_path: Path) -> None:
    area = read_area(str(write(tmp_path / "a.gpkg", shape)), grid(AWAY), "scene.tif")
    assert area.usable(ALL).all()
    assert words in "".join(area.warnings)
    assert len(area.warnings) == bool(words)


def test_a_belt_around_the_earth_is_one_elsewhere(tmp_path: Path) -> None:
    """From -170 to 170°, without the Pacific: so far from 180° nothing else can be meant. It is said, though."""
    path = str(write(tmp_path / "a.gpkg", shapely.box(-170, -60, 170, 60)))
    area = read_area(path, grid(HOME), "scene.tif")
    assert area.usable(ALL).all()
    assert "the long way round" in area.warnings[0]


@pytest.mark.parametrize("shape", [shapely.box(14, -18, 16, -16), moved(shapely.box(12.1, -18, 13, -16), "east")])
def test_what_lies_elsewhere_is_still_refused(shape: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", shape)
    with pytest.raises(SceneError, match=r"It lies at 1.* to 1.*, the scene at 179\.9\d* to -179\.9\d*, -17"):
        read_area(str(path), grid(AWAY), "scene.tif")


@pytest.mark.parametrize(
    ("crs", "at"),
    [
        ("EPSG:3857", MERCATOR),
        ("EPSG:3857", -MERCATOR),
        ("EPSG:3832", MERCATOR / 6),
        ("EPSG:32760", None),
        ("ESRI:54009", None),
        ("EPSG:2193", None),
    ],
)
def test_areas_in_other_projections(crs: str, at: float | None, tmp_path: Path) -> None:
    """A box around the scene, beyond the edge of a projection's world where it has one, or in parts on both sides."""
    west, south, east, top = grid(AWAY).bounds
    if at is None:
        line = shapely.segmentize(shapely.box(west - 500, south + 300, east + 500, top - 300), 50)
        halves = [shapely.transform(line, Transformer.from_crs(AWAY, crs, always_xy=True).transform, interleaved=False)]
        if crs == "ESRI:54009":
            parts = [moved(shapely.box(11.9, -17, 12.1, -16.99), "cut").segmentize(0.0001)]
            halves = list(geopandas.GeoSeries(parts, crs=4326).explode().to_crs(crs))
    else:
        _, south, _, top = Transformer.from_crs(AWAY, crs, always_xy=True).transform_bounds(*grid(AWAY).bounds)
        halves = [shapely.box(at - 500, south + 300, at + 500, top - 300)]
    area = read_area(str(write(tmp_path / "a.gpkg", *halves, crs=crs)), grid(AWAY), "scene.tif")
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = Transformer.from_crs(AWAY, crs, always_xy=True).transform(*(PLACE @ np.stack((cols, rows))))
    if at is not None:
        x = at + (x - at + MERCATOR) % (2 * MERCATOR) - MERCATOR
    points = shapely.points(x, y)
    expected = shapely.contains(shapely.union_all(halves), points)
    assert 0.1 < expected.mean() < 0.95
    assert (area.usable(ALL) != expected).mean() < 0.001


def test_around_a_pole(tmp_path: Path) -> None:
    """A ring of longitudes around it has the pole inside, and a line along 180° does not cut what is drawn across."""
    polar = GeoBox(HEIGHT, WIDTH, Affine(10, 0, -800, 0, -10, 600), CRS.from_epsg(3413).to_wkt())
    ring = shapely.Polygon([(lon, 89.995) for lon in range(-150, 181, 30)])
    area = read_area(str(write(tmp_path / "a.gpkg", ring)), polar, "scene.tif")
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = polar.transform @ np.stack((cols, rows))
    _, latitude = Transformer.from_crs(3413, 4326, always_xy=True).transform(x, y)
    inside = area.usable(ALL)
    assert inside[latitude > 89.9951].all()
    assert not inside[latitude < 89.9949].any()
    east = shapely.box(0, 89, 180, 90), shapely.box(-180, 89, 0, 90)
    assert read_area(str(write(tmp_path / "a.gpkg", *east)), polar, "scene.tif").usable(ALL).all()


def test_the_plan_warns_of_a_doubtful_border(
    tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    scene = write_scene(ordinary(HEIGHT, WIDTH), crs=AWAY, transform=PLACE)
    path = write(tmp_path / "a.gpkg", moved(shapely.box(11.9, -17.1, 12.1, -16.9), "jump"))
    plan = landmap.plan(scene, card=FAKE_CARD, level="L1C", offset=0, aoi=path)
    assert any("a.gpkg: a border between -179.9 and 179.9" in warning for warning in plan.warnings)
