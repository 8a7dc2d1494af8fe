"""A scene that is moved to 180° gives the same as at 12°: parts, masks, warps, zones, references, footprints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from rasterio.control import GroundControlPoint
from shapely import affinity

import landmap
from landmap.accuracy.assess import assess
from landmap.accuracy.change import compare_maps
from landmap.batch.stac import bounds as item_bounds
from landmap.batch.stac import footprint
from landmap.errors import GeoreferenceError, SceneError, SettingsError
from landmap.geo.geobox import GeoBox, north
from landmap.geo.longitudes import as_written, boxes_in, degrees, near, seam, span, turn, unbroken
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier

WriteScene = Callable[..., Path]
HEIGHT, WIDTH = 120, 160
HOME, AWAY = "EPSG:32733", "EPSG:32701"
"""12° E lies in zone 33 where 180° lies in zone 1: a scene has the same coordinates in both."""
SHIFT = 168
PLACE = Affine(10, 0, 180_300, 0, -10, 8_119_000)
PIXEL = 1 / 11_132
DEGREES = Affine(PIXEL, 0, 12.001 - 80 * PIXEL, 0, -PIXEL, -17 + 60 * PIXEL)
"""A scene in degrees that crosses 12° E, with its middle in zone 33."""
HOW: dict[str, Any] = {"level": "L1C", "offset": 0, "stride": 32}


def east(place: Affine, by: float) -> Affine:
    return Affine.translation(by, 0) @ place


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=FAKE_CARD)


def wkt(crs: Any) -> str:
    return str(CRS.from_user_input(crs).to_wkt())


def everything(scene: Scene) -> Window:
    return Window(0, 0, *scene.geobox.shape)


@pytest.fixture
def pair(write_scene: WriteScene, ordinary: Callable[..., Any]) -> tuple[Path, Path]:
    """One scene at 12° E and at 180°."""
    values = ordinary(HEIGHT, WIDTH)
    return tuple(write_scene(values, f"{crs[5:]}.tif", crs=crs, transform=PLACE) for crs in (HOME, AWAY))  # type: ignore[return-value]


# --- arithmetic


@pytest.mark.parametrize(
    ("crs", "whole", "end"),
    [
        (4326, 360, 180),
        ("EPSG:4902", 400, 200),
        (3857, 40_075_016.6856, 20_037_508.3428),
        (3832, 40_075_016.6856, 20_037_508.3428),
        ("+proj=merc +x_0=1000000 +lon_0=20", 40_075_016.6856, 21_037_508.3428),
        (32701, None, None),
        (3413, None, None),
        ("ESRI:54009", None, None),
    ],
)
def test_where_x_goes_round(crs: Any, whole: float | None, end: float | None) -> None:
    assert turn(wkt(crs)) == pytest.approx(whole)
    assert seam(wkt(crs)) == pytest.approx(end)


@given(st.floats(-1000, 1000), st.floats(-400, 400))
def test_near_is_the_same_meridian_within_half_a_turn(x: float, middle: float) -> None:
    found = float(near(x, middle, degrees()))
    assert abs(found - middle) <= 180 + 1e-9
    assert abs((found - x + 180) % 360 - 180) < 1e-9


@given(st.floats(-180, 180), st.floats(0.001, 300))
def test_a_box_is_written_as_people_do(west: float, width: float) -> None:
    left, _, right, _ = as_written((west, 0, west + width, 1), degrees())
    assert -180 <= left <= 180
    assert -180 <= right <= 180
    assert (right - left) % 360 == pytest.approx(width)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(-179, 179), st.integers(1, 40)), min_size=1, max_size=5))
def test_the_smallest_box_around_boxes(spans: list[tuple[int, int]]) -> None:
    """Degree by degree: what it leaves out is the longest stretch that lies in none of them."""
    boxes = [(w, 0, w + width if w + width <= 180 else w + width - 360, 1) for w, width in spans]
    covered = {degree % 360 for w, width in spans for degree in range(w, w + width)}
    letters = "".join("x" if degree in covered else "." for degree in range(360)) * 2
    west, east = span(boxes)
    inside = {degree % 360 for degree in range(int(west), int(east if west < east else east + 360))}
    assert covered <= inside
    assert 360 - len(inside) == max(len(gap) for gap in letters.split("x"))


def test_a_scene_around_a_pole_has_all_longitudes() -> None:
    (box,) = boxes_in((-1e5, -2e5, 3e5, 1e5), wkt(3413), degrees())
    assert box[2] - box[0] == 360
    assert box[1] < 88.3
    assert box[3] == 90
    (box,) = boxes_in((-1e5, -2e5, 3e5, 1e5), wkt(3031), degrees())
    assert box[1] == -90


# --- a part of a scene


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360, None])
def test_a_box_in_degrees_is_the_same_there(shift: float | None, pair: tuple[Path, Path]) -> None:
    """Beyond 180°, before -180°, and as RFC 7946 writes it."""
    west, south, right, top = 11.998, -16.998, 12.004, -16.993
    home = opened(pair[0], bbox=(west, south, right, top), bbox_crs="EPSG:4326")
    ends = (west + SHIFT, right + SHIFT - 360) if shift is None else (west + shift, right + shift)
    away = opened(pair[1], bbox=(ends[0], south, ends[1], top), bbox_crs="EPSG:4326")
    assert 40 < home.geobox.width < WIDTH
    assert (home.source.corner, home.geobox.height, home.geobox.width) == (
        away.source.corner,
        away.geobox.height,
        away.geobox.width,
    )


@pytest.mark.parametrize("at", [SHIFT, SHIFT - 360])
@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360, None])
def test_a_box_in_the_degrees_of_the_scene(at: float, shift: float | None, write_scene: WriteScene) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16), crs="EPSG:4326", transform=east(DEGREES, at))
    west, top = DEGREES @ (30, 20)
    right, south = DEGREES @ (140, 90)
    ends = (west + SHIFT, right + SHIFT - 360) if shift is None else (west + shift, right + shift)
    scene = opened(path, bbox=(ends[0], south, ends[1], top))
    assert (scene.source.corner, scene.geobox.height, scene.geobox.width) == ((20, 30), 70, 110)


@pytest.mark.parametrize("box", [(-180, -90, 180, 90), (170, -60, -170, 60), (0, -80, 360, 80), (10, -60, -10, 60)])
def test_a_box_around_the_scene_is_all_of_it(box: tuple[float, ...], pair: tuple[Path, Path]) -> None:
    scene = opened(pair[1], bbox=box, bbox_crs="EPSG:4326")
    assert (scene.source.corner, scene.geobox.height, scene.geobox.width) == ((0, 0), HEIGHT, WIDTH)


def test_boxes_that_are_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(
        SettingsError, match=r"expected west, south, east and north\. Received: \(182000\.0, 0\.0, 181000"
    ):
        opened(pair[1], bbox=(182_000, 0, 181_000, 8_119_000))
    with pytest.raises(
        SceneError, match=r"touches the scene, which lies at .* Received: 179\.9 to -179\.9, 16 to 17 in"
    ):
        opened(pair[1], bbox=(179.9, 16, -179.9, 17), bbox_crs="EPSG:4326")
    with pytest.raises(SceneError, match="touches the scene"):
        opened(pair[0], bbox=(179.9, -17.1, -179.9, -16.9), bbox_crs="EPSG:4326")


# --- other rasters on the scene


@pytest.mark.parametrize("at", [0, -360])
@pytest.mark.parametrize("kind", ["mask", "scl"])
def test_a_mask_in_degrees_is_the_same_there(
    kind: str, at: float, pair: tuple[Path, Path], write_scene: WriteScene
) -> None:
    values = np.random.default_rng(1).integers(0, 2, (1, HEIGHT, WIDTH), np.uint8) * 4
    found = []
    for scene, shift in zip(pair, (0, SHIFT + at), strict=True):
        mask = write_scene(values, "mask.tif", crs="EPSG:4326", transform=east(DEGREES, shift), bands=("m",))
        found.append(opened(scene, **{kind: mask}).read(Window(0, 0, HEIGHT, WIDTH)).valid)
    assert 0.2 < found[0].mean() < 0.6
    assert (found[0] != found[1]).mean() < 1e-3  # GDAL is exact to a hundredth of a pixel


@pytest.mark.parametrize("scene_at", [SHIFT, SHIFT - 360])
@pytest.mark.parametrize("mask_at", ["east", "west", "world", "world 0 to 360"])
def test_a_mask_in_the_degrees_of_the_scene(scene_at: float, mask_at: str, write_scene: WriteScene) -> None:
    """The scene may be written beyond 180° and the mask before -180°, or the mask be one of the whole Earth."""
    values = np.full((3, HEIGHT, WIDTH), 900, np.uint16)
    place = Affine(0.01, 0, 179.5, 0, -0.01, -16.5)
    scene = write_scene(values, "scene.tif", crs="EPSG:4326", transform=east(place, scene_at - SHIFT))
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    expected = ((rows // 10 + cols // 10) % 2).astype(np.uint8)
    if mask_at.startswith("world"):
        start = 0 if "360" in mask_at else -180
        whole = np.zeros((1, HEIGHT, 36_000), np.uint8)
        whole[0][:, (np.arange(WIDTH) + 17_950 - start * 100) % 36_000] = expected
        mask = write_scene(whole, "mask.tif", crs="EPSG:4326", transform=Affine(0.01, 0, start, 0, -0.01, -16.5))
    else:
        shift = 0 if mask_at == "east" else -360
        mask = write_scene(expected[None], "mask.tif", crs="EPSG:4326", transform=east(place, shift))
    valid = opened(scene, mask=mask, force=True).read(Window(0, 0, HEIGHT, WIDTH)).valid
    np.testing.assert_array_equal(valid, expected == 1)


def test_a_mask_elsewhere_is_still_refused(pair: tuple[Path, Path], write_scene: WriteScene) -> None:
    mask = write_scene(np.ones((1, 9, 9), np.uint8), "m.tif", crs="EPSG:4326", transform=east(DEGREES, SHIFT + 3))
    with pytest.raises(SceneError, match=r"touches the scene, .* Received: one that lies at 182\.99"):
        opened(pair[1], mask=mask)


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360])
def test_a_scene_in_degrees_is_warped_whole(
    shift: float, write_scene: WriteScene, ordinary: Callable[..., Any]
) -> None:
    values = ordinary(HEIGHT, WIDTH)
    scenes = [
        opened(write_scene(values, f"{at}.tif", crs="EPSG:4326", transform=east(DEGREES, at)), warp="auto")
        for at in (0, shift)
    ]
    home, away = (scene.read(everything(scene)) for scene in scenes)
    assert (scenes[0].geobox.transform, scenes[0].geobox.shape) == (scenes[1].geobox.transform, scenes[1].geobox.shape)
    assert home.valid.mean() > 0.9
    np.testing.assert_array_equal(home.valid, away.valid)
    np.testing.assert_allclose(home.values, away.values, atol=1e-4)


@pytest.mark.parametrize("side", [1, -1])
def test_a_scene_in_web_mercator_is_warped_whole(
    side: int, write_scene: WriteScene, ordinary: Callable[..., Any]
) -> None:
    values = ordinary(HEIGHT, WIDTH)
    middle = side * 20_037_508.342789244
    pixel = 10.456
    found = []
    for x in (middle, middle - side * 20_037_508.342789244 * 168 / 180):
        place = Affine(pixel, 0, x - 80 * pixel + 2000, 0, -pixel, -1_920_000)
        scene = opened(write_scene(values, "s.tif", crs="EPSG:3857", transform=place), warp="auto")
        found.append(scene.read(everything(scene)))
        assert found[-1].valid.mean() > 0.9
    if side > 0:
        np.testing.assert_array_equal(found[0].valid, found[1].valid)
        np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-4)
    assert 0.5 < scene.geobox.height * scene.geobox.width / (HEIGHT * WIDTH) < 1.5


# --- finished maps


def maps(pair: tuple[Path, Path], folder: Path, sensitive: Classifier) -> list[Path]:
    found = []
    for scene in pair:
        landmap.classify(scene, folder / f"cover_{scene.name}", classifier=sensitive, **HOW)
        found.append(folder / f"cover_{scene.name}")
    return found


@pytest.fixture
def covers(pair: tuple[Path, Path], tmp_path: Path, sensitive: Classifier) -> list[Path]:
    return maps(pair, tmp_path, sensitive)


def test_zones_have_the_same_areas_there(covers: list[Path], tmp_path: Path) -> None:
    zone = shapely.Polygon([(11.99, -17.002), (12.01, -16.998), (12.002, -16.99)])
    tables = []
    for cover, shift, cut in (
        (covers[0], 0, False),
        (covers[1], SHIFT, False),
        (covers[1], SHIFT - 360, False),
        (covers[1], SHIFT, True),
    ):
        shape = affinity.translate(zone, shift)
        if cut:
            west, right = (shape & shapely.box(179, -18, 180, -16)), (shape & shapely.box(180, -18, 181, -16))
            shape = shapely.MultiPolygon([west, affinity.translate(right, -360)])
        zones = tmp_path / "zones.gpkg"
        zones.unlink(missing_ok=True)
        geopandas.GeoDataFrame({"id": [7]}, geometry=[shape], crs=4326).to_file(zones)
        tables.append(landmap.summarize(cover, tmp_path / "t.csv", zones=zones, zone_id="id", overwrite=True))
    assert sum(row["hectares"] for row in tables[0]) > 30
    for table in tables[1:]:
        assert [row["zone"] for row in table] == [7] * len(table)
        for key in ("pixels", "hectares", "share"):
            np.testing.assert_allclose(
                [row[key] for row in table], [row[key] for row in tables[0]], rtol=1e-6, atol=1e-6
            )


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360])
@pytest.mark.parametrize("kind", ["csv", "points", "polygons"])
def test_a_reference_is_the_same_there(kind: str, shift: float, covers: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(11.996, 12.006, 300), rng.uniform(-16.998, -16.99, 300)
    found = []
    for cover, at in zip(covers, (0.0, shift), strict=True):
        path = tmp_path / ("ref.csv" if kind == "csv" else "ref.gpkg")
        path.unlink(missing_ok=True)
        if kind == "csv":
            lines = [f"{x + at:.9f},{y:.9f},{i % 10}" for i, (x, y) in enumerate(zip(lon, lat, strict=True))]
            path.write_text("\n".join(["lon,lat,class", *lines]))
        else:
            points = shapely.points(lon + at, lat)
            shapes = points if kind == "points" else shapely.box(lon + at, lat, lon + at + 0.0003, lat + 0.0003)
            geopandas.GeoDataFrame({"class": np.arange(300) % 10}, geometry=shapes, crs=4326).to_file(path)
        found.append(np.array(assess(cover, path).confusion))
    assert found[0].sum() > 150
    # A polygon that ends within a metre of 180 degrees is taken to end there.
    assert np.abs(found[0] - found[1]).sum() <= (4 if kind == "polygons" else 0)


def test_a_reference_at_the_other_side_of_a_map_in_degrees(
    tmp_path: Path, write_scene: WriteScene, sensitive: Classifier, ordinary: Callable[..., Any]
) -> None:
    """The map is written beyond 180°, and the places before -180°."""
    scene = write_scene(ordinary(HEIGHT, WIDTH), crs="EPSG:4326", transform=east(DEGREES, SHIFT))
    cover = tmp_path / "cover.tif"
    landmap.classify(scene, cover, classifier=sensitive, force=True, **HOW)
    rows, cols = np.mgrid[5:HEIGHT:20, 5:WIDTH:20]
    lon, lat = east(DEGREES, SHIFT - 360) @ np.stack([cols.ravel() + 0.5, rows.ravel() + 0.5])
    with rasterio.open(cover) as file:
        truth = file.read(1)[rows.ravel(), cols.ravel()]
    csv = tmp_path / "ref.csv"
    csv.write_text("\n".join(["lon,lat,class", *(f"{x},{y},{c}" for x, y, c in zip(lon, lat, truth, strict=True))]))
    found = assess(cover, csv)
    assert np.trace(found.confusion) == np.sum(found.confusion) == len(truth)


@pytest.mark.parametrize(("one", "other"), [(SHIFT, SHIFT - 360), (SHIFT - 360, SHIFT)])
def test_maps_in_degrees_that_are_written_otherwise_are_the_same(
    one: float,
    other: float,
    tmp_path: Path,
    write_scene: WriteScene,
    sensitive: Classifier,
    ordinary: Callable[..., Any],
) -> None:
    covers = []
    for at in (one, other):
        scene = write_scene(ordinary(HEIGHT, WIDTH), f"s{at}.tif", crs="EPSG:4326", transform=east(DEGREES, at))
        covers.append(tmp_path / f"cover{at}.tif")
        landmap.classify(scene, covers[-1], classifier=sensitive, force=True, **HOW)
    with pytest.raises(GeoreferenceError, match="--warp"):
        compare_maps(*covers)
    found = compare_maps(*covers, warp=True)
    assert (found.changed, found.nodata_pixels, found.total) == (0, 0, HEIGHT * WIDTH)
    assert assess(covers[0], covers[1], warp=True).overall.value == pytest.approx(1)


def test_a_map_of_the_whole_earth_as_reference(covers: list[Path], tmp_path: Path, write_scene: WriteScene) -> None:
    """Its two ends meet in the map."""
    lines = (np.arange(3600) // 2 % 5).astype(np.uint8)
    world = write_scene(np.tile(lines, (1, 20, 1)), crs="EPSG:4326", transform=Affine(0.1, 0, -180, 0, -0.1, -16))
    found = np.array(assess(covers[1], world, warp=True).confusion)
    assert found.sum() == HEIGHT * WIDTH
    assert found[:, 0].sum() > 1000  # from -180 degrees on
    assert found[:, 4].sum() > 1000  # up to 180 degrees


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360])
def test_polygons_in_geojson_are_cut(
    shift: float, tmp_path: Path, write_scene: WriteScene, ordinary: Callable[..., Any], sensitive: Classifier
) -> None:
    scene = write_scene(ordinary(HEIGHT, WIDTH), crs="EPSG:4326", transform=east(DEGREES, shift))
    landmap.classify(scene, tmp_path / "c.tif", classifier=sensitive, force=True, **HOW)
    landmap.vectorize(tmp_path / "c.tif", tmp_path / "c.geojson")
    shapes = geopandas.read_file(tmp_path / "c.geojson").geometry
    assert shapes.total_bounds[[0, 2]].tolist() == [-180, 180]
    assert not shapely.intersects(shapes, shapely.box(-179.9, -90, 179.9, 90)).any()
    whole = HEIGHT * WIDTH * PIXEL**2
    assert shapely.area(shapes.to_numpy()).sum() == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 360])
def test_control_points_on_both_sides(shift: float, tmp_path: Path) -> None:
    corners = [(row, col) for row in (0, HEIGHT / 2, HEIGHT) for col in (0, WIDTH / 2, WIDTH)]
    places = [DEGREES @ (col, row) for row, col in corners]
    points = [
        GroundControlPoint(row, col, (x + SHIFT + 180) % 360 - 180 if shift > 0 else x + shift, y)
        for (row, col), (x, y) in zip(corners, places, strict=True)
    ]
    profile: dict[str, Any] = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint16"}
    with rasterio.open(tmp_path / "p.tif", "w", gcps=points, crs="EPSG:4326", **profile) as file:
        file.write(np.full((3, HEIGHT, WIDTH), 900, np.uint16))
        file.descriptions = ("B04", "B03", "B02")
    scene = opened(tmp_path / "p.tif", warp="auto")
    assert scene.read(everything(scene)).valid.mean() > 0.9


# --- footprints, arrows


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        (AWAY, PLACE),
        ("EPSG:4326", east(DEGREES, SHIFT)),
        ("EPSG:4326", east(DEGREES, SHIFT - 360)),
        ("EPSG:3857", Affine(10.4, 0, 20_037_508 - 500, 0, -10.4, -1_920_000)),
        ("EPSG:3832", Affine(10.4, 0, 3_339_584 - 500, 0, -10.4, -1_908_000)),
    ],
)
def test_a_footprint_is_in_two_parts(crs: str, place: Affine, pair: tuple[Path, Path]) -> None:
    geobox = dataclasses.replace(opened(pair[0]).geobox, crs=wkt(crs), transform=place)
    geometry = footprint(geobox)
    assert geometry is not None
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    west, east_part = sorted(shape.geoms, key=lambda part: part.bounds[0], reverse=True)
    assert west.bounds[2] == 180
    assert east_part.bounds[0] == -180
    left, _, right, _ = item_bounds(geometry)
    assert 179 < left < 180
    assert -180 < right < -179
    size = sum(abs(Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in shape.geoms)
    assert size == pytest.approx(HEIGHT * WIDTH * 100, rel=0.05)


def test_a_footprint_around_a_pole(pair: tuple[Path, Path]) -> None:
    geobox = dataclasses.replace(opened(pair[0]).geobox, crs=wkt(3031), transform=Affine(10, 0, -700, 0, -10, 600))
    geometry = footprint(geobox)
    assert geometry is not None
    west, south, right, top = item_bounds(geometry)
    assert (west, south, right) == (-180, -90, 180)
    assert -90 < top < -89.99
    assert shapely.geometry.shape(geometry).contains(shapely.Point(77, -89.9999))


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox(100, 100, Affine(10.4, 0, 20_037_508 + 500, 0, -10.4, -1_920_000), wkt(3857)),
        GeoBox(100, 100, east(DEGREES, SHIFT), degrees()),
        GeoBox(100, 100, east(DEGREES, SHIFT - 360), degrees()),
    ],
)
def test_north_is_up_there_too(grid: GeoBox) -> None:
    assert north(grid) == pytest.approx((0, -1), abs=1e-6)


@pytest.mark.parametrize(
    "crs", [4326, 4269, 4720, 3857, 3832, "EPSG:4326+3855", "+proj=longlat +ellps=clrk66 +towgs84=1,2,3"]
)
@pytest.mark.parametrize("side", [1, -1])
def test_an_unbroken_grid_lies_where_it_did(crs: Any, side: int) -> None:
    """GDAL's own way back to degrees, which is what counts."""
    from rasterio.warp import transform

    known = rasterio.CRS.from_user_input(crs).to_wkt()
    whole, end = turn(known), seam(known)
    assert whole
    assert end
    pixel = whole / 360 / 10_000
    middle = end if side > 0 else end - whole
    grid = GeoBox(100, 200, Affine(pixel, 0, middle - 70 * pixel, 0, -pixel, -17 * whole / 360), known)
    found = unbroken(grid)
    assert found != grid
    assert found.bounds[0] == pytest.approx(-100 * pixel, abs=pixel * 1e-3)
    cols, rows = np.array([0, 60, 70.5, 200.0]), np.full(4, 50.0)
    there = Transformer.from_crs(known, 4326, always_xy=True).transform(*(grid.transform @ np.stack([cols, rows])))
    places = found.transform @ np.stack([cols, rows])
    here = transform(rasterio.CRS.from_wkt(found.crs), "EPSG:4326", *map(list, places))
    np.testing.assert_allclose((np.asarray(here[0]) - there[0] + 180) % 360 - 180, 0, atol=1e-8)
    np.testing.assert_allclose(here[1], there[1], atol=1e-8)
