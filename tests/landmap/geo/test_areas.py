"""Areas: those of the ellipsoid by pyproj's geodesics, and the same in all that one run or command says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer

import landmap
from landmap.accuracy.assess import assess
from landmap.accuracy.change import compare_maps
from landmap.geo.areas import PixelAreas, pixel_areas
from landmap.geo.geobox import GeoBox
from landmap.maps.shares import ClassCounter
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.report.page import write_report
from landmap.run.classify import classify
from landmap.run.outputs import Derived
from landmap.tiling import Window
from landmap_models.inference.classifier import Classifier
from landmap_models.legend import EUROSAT

PLACES = {
    "degrees at 60° N": ("EPSG:4326", Affine(0.0025, 0, 13, 0, -0.0025, 60.5), 1e-6),
    "degrees over 180°": ("EPSG:4326", Affine(0.0025, 0, 179.6, 0, -0.0025, -16.2), 1e-6),
    "degrees at a pole": ("EPSG:4326", Affine(0.5, 0, -180, 0, -0.01, 90), 1e-4),
    "degrees, south-up and turned": (
        "EPSG:4326",
        Affine.translation(13, 60) @ Affine.rotation(30) @ Affine.scale(0.002, 0.002),
        1e-6,
    ),
    "grads": ("EPSG:4807", Affine(0.002, 0, 2, 0, -0.002, 54), 1e-6),
    "Web Mercator": ("EPSG:3857", Affine(300, 0, 1_500_000, 0, -300, 8_400_000), 1e-6),
    "polar stereographic over the pole": ("EPSG:3413", Affine(1000, 0, -80_000, 0, -1000, 60_000), 1e-6),
    "a zone of UTM far to the east": ("EPSG:32633", Affine(500, 0, 1_200_000, 0, -500, 6_700_000), 1e-6),
    "UTM at a zone's edge": ("EPSG:32633", Affine(10, 0, 166_000, 0, -10, 100_000), 2.1e-3),
    "UTM in mid-zone": ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_000_000), 9e-4),
    "equal areas": ("EPSG:3035", Affine(10, 0, 4_300_000, 0, -10, 3_000_000), 1e-6),
    "US feet": ("EPSG:2263", Affine(30, 0, 1_000_000, 0, -30, 200_000), 1e-4),
}
"""CRS, geotransform, and how far from the ground areas may be: in a projection true to it, as far as that is."""
SHAPE = 150, 200


def grid_of(crs: str, transform: Affine, shape: tuple[int, int] = SHAPE) -> GeoBox:
    return GeoBox(*shape, transform, CRS(crs).to_wkt())


def geodesic_hectares(grid: GeoBox, window: Window) -> float:
    """The oracle: a rectangle's outline, with a point at each corner of a pixel and between, as a geodesic polygon."""
    top, left, bottom, right = (
        window.row_off,
        window.col_off,
        window.row_off + window.height,
        window.col_off + window.width,
    )
    rows, cols = (np.arange(first, last, 0.25) for first, last in ((top, bottom), (left, right)))
    ring = [*((left, r) for r in rows), *((c, bottom) for c in cols)]
    ring += [*((right, top + bottom - r) for r in rows), *((left + right - c, top) for c in cols)]
    x, y = zip(*(grid.transform @ point for point in ring), strict=True)
    crs = CRS.from_wkt(grid.crs or "")
    degrees = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    lon, lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(x, y)
    area, _ = crs.get_geod().polygon_area_perimeter(np.array(lon) * degrees, np.array(lat) * degrees)
    return abs(area) / 10_000


def hectares_of(areas: PixelAreas, window: Window) -> float:
    return float(areas.hectares(areas.of(window)).sum())


@pytest.mark.parametrize(("crs", "transform", "tolerance"), PLACES.values(), ids=PLACES)
def test_areas_are_those_of_the_ellipsoid(crs: str, transform: Affine, tolerance: float) -> None:
    grid = grid_of(crs, transform)
    areas = pixel_areas(grid)
    assert areas is not None
    for window in (
        Window(0, 0, 10, 10),
        Window(140, 190, 10, 10),
        Window(70, 3, 5, 40),
        Window(0, 100, 1, 1),
        Window(149, 199, 1, 1),
    ):
        assert hectares_of(areas, window) == pytest.approx(geodesic_hectares(grid, window), rel=tolerance)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3), (5000, 1)])
def test_any_shape_has_areas(shape: tuple[int, int]) -> None:
    grid = grid_of("EPSG:4326", Affine(0.0002, 0, 13, 0, -0.0002, 60.5), shape)
    areas = pixel_areas(grid)
    assert areas is not None
    last = Window(shape[0] - 1, shape[1] - 1, 1, 1)
    assert areas.of(Window(0, 0, *shape)).shape == shape
    assert hectares_of(areas, last) == pytest.approx(geodesic_hectares(grid, last), rel=1e-6)


def test_in_a_projection_true_to_the_ground_pixels_have_its_own_area_exactly() -> None:
    areas = pixel_areas(grid_of("EPSG:32633", Affine(10, 0, 200_000, 0, -10, 5_000_000), (10980, 10980)))
    assert areas is not None
    assert areas.hectares(areas.of(Window(0, 0, 2, 2))).tolist() == [[0.01, 0.01], [0.01, 0.01]]


@given(
    place=st.sampled_from(["degrees at 60° N", "degrees, south-up and turned", "Web Mercator", "UTM in mid-zone"]),
    order=st.permutations(range(12)),
    seed=st.integers(0, 99),
)
def test_the_order_of_rectangles_changes_no_digit(place: str, order: list[int], seed: int) -> None:
    crs, transform, _ = PLACES[place]
    areas = pixel_areas(grid_of(crs, transform))
    classes = np.random.default_rng(seed).integers(0, 10, SHAPE).astype(np.uint8)
    once, bit_by_bit = ClassCounter(areas), ClassCounter(areas)
    once.add(Window(0, 0, *SHAPE), classes, classes)
    windows = [Window(row, col, 50, 50) for row in (0, 50, 100) for col in (0, 50, 100, 150)]
    for window in (windows[i] for i in order):
        here = classes[window.row_off :, window.col_off :][:50, :50]
        bit_by_bit.add(window, here, here)
    assert once.shares(EUROSAT) == bit_by_bit.shares(EUROSAT)


@pytest.mark.parametrize("place", ["degrees at 60° N", "Web Mercator", "UTM in mid-zone", "equal areas"])
def test_all_that_a_run_says_of_an_area_agrees(
    write_scene: Callable[..., Path],
    ordinary: Callable[..., npt.NDArray[np.uint16]],
    sensitive: Classifier,
    tmp_path: Path,
    place: str,
) -> None:
    """Result, table, polygons, zones, page, assess and compare-maps, and the geodesic areas of the same pixels."""
    crs, transform, tolerance = PLACES[place]
    scene, cover = write_scene(ordinary(300, 200), crs=crs, transform=transform), tmp_path / "cover.tif"
    derived = Derived(vector=tmp_path / "cover.gpkg", summary=tmp_path / "areas.csv")
    result = classify(
        scene, cover, derived=derived, report=tmp_path / "page.html", classifier=sensitive, force=True, chunk=128
    )
    expected = {c.name: c.hectares for c in result.classes if c.pixels}
    assert len(expected) > 3

    with rasterio.open(cover) as file:
        classes = file.read(1)
    grid = GeoBox(300, 200, transform, CRS(crs).to_wkt())
    one = max(result.classes, key=lambda c: c.pixels)
    geodesic = sum(_runs(grid, classes == one.id))
    assert one.hectares == pytest.approx(geodesic, rel=tolerance)

    table = pd.read_csv(tmp_path / "areas.csv").set_index("name").hectares
    assert table[table > 0].to_dict() == expected
    polygons = geopandas.read_file(tmp_path / "cover.gpkg", layer="cover").groupby("name").hectares.sum()
    assert polygons.to_dict() == pytest.approx(expected, rel=1e-9)
    page = (tmp_path / "page.html").read_text()
    for hectares in expected.values():
        assert f"{hectares:,.{0 if hectares >= 100 else 1}f}" in page
    write_report(scene, cover, tmp_path / "again.html", landmap.Settings(force=True))
    assert f"{one.hectares:,.0f}" in (tmp_path / "again.html").read_text()

    frame = geopandas.GeoDataFrame({"name": ["all"]}, geometry=[_outline(grid)], crs=crs)
    frame.to_file(tmp_path / "zones.gpkg")
    zones = landmap.summarize(cover, tmp_path / "zones.csv", zones=tmp_path / "zones.gpkg", zone_id="name")
    assert {r["name"]: r["hectares"] for r in zones if r["pixels"]} == pytest.approx(expected, rel=1e-6)

    census = assess(cover, cover)
    assert {c.name: c.mapped_hectares for c in census.classes if c.samples} == pytest.approx(expected, rel=1e-12)
    assert {c.name: c.hectares.value for c in census.classes if c.samples} == pytest.approx(expected, rel=1e-12)
    change = compare_maps(cover, cover)
    assert {c.name: change.hectares()[c.id][c.id] for c in result.classes if c.pixels} == expected


def _runs(grid: GeoBox, mask: npt.NDArray[np.bool_]) -> list[float]:
    """Geodesic areas of a mask's pixels, for each row as many as one of them."""
    return [
        geodesic_hectares(grid, Window(row, int(np.flatnonzero(here)[0]), 1, 1)) * here.sum()
        for row, here in enumerate(mask)
        if here.any()
    ]


def _outline(grid: GeoBox) -> shapely.Polygon:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def test_a_sample_weighs_strata_by_their_area_on_the_ground(tmp_path: Path) -> None:
    """In degrees rows differ: a class in the south has more ground than one of as many pixels in the north."""
    values = np.zeros((400, 50), np.uint8)
    values[200:] = 1
    profile = {"crs": "EPSG:4326", "transform": Affine(0.0025, 0, 13, 0, -0.0025, 60.5)}
    shape = {"height": 400, "width": 50, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(tmp_path / "cover.tif", "w", driver="GTiff", **profile, **shape) as file:
        file.write(values, 1)
        file.write_colormap(1, {c.id: (*c.rgb, 255) for c in EUROSAT})
        file.update_tags(**{LAYER_TAG: "classes", LEGEND_TAG: legend_tag(EUROSAT)})
    rows = [f"{13 + 0.0025 * (i + 0.5)},{lat},{c}" for i in range(40) for lat, c in ((60.3, 0), (59.7, 1))]
    (tmp_path / "points.csv").write_text("\n".join(["lon,lat,class", *rows]))
    found = assess(tmp_path / "cover.tif", tmp_path / "points.csv")
    grid = grid_of("EPSG:4326", profile["transform"], (400, 50))
    north, south = (geodesic_hectares(grid, Window(row, 0, 200, 50)) for row in (0, 200))
    assert south / north > 1.015
    assert [c.mapped_hectares for c in found.classes[:2]] == pytest.approx([north, south], rel=1e-5)
    assert [c.hectares.value for c in found.classes[:2]] == pytest.approx([north, south], rel=1e-5)
    assert json.loads(json.dumps(found.to_dict()))["hectares"] == pytest.approx(north + south, rel=1e-5)
