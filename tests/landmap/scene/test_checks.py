"""Where a scene lies and how large its pixels are: what is accepted, warned of, refused, and forced."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Geod, Proj, Transformer
from rasterio.control import GroundControlPoint

import landmap
from landmap.errors import GeoreferenceError
from landmap.geo.areas import pixel_hectares
from landmap.geo.geobox import ground_pixel_size, misplaced, north, pixel_sides
from landmap.scene.checks import check_georeference
from landmap.scene.scene import Scene, open_scene
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

# rasterio warns of files without a georeference; landmap has its own words for it.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

FEET = "EPSG:2264"  # North Carolina in US survey feet
FOOT = 1200 / 3937
LOCAL = 'LOCAL_CS["a building site",UNIT["metre",1]]'
UTM = "EPSG:32633"
MERCATOR = "EPSG:3857"
WGS84 = "EPSG:4326"


def at(x: float, y: float, size: float, down: float | None = None) -> Affine:
    """North-up pixels of `size` CRS units around (x, y)."""
    return Affine(size, 0, x, 0, -(down or size), y)


@pytest.fixture
def scene_at(write_scene: Callable[..., Path]) -> Callable[..., Scene]:
    """A function that opens a small scene with the given CRS and transform."""

    def make(crs: str | None, transform: Affine | None, **profile: Any) -> Scene:
        path = write_scene(np.full((3, 64, 80), 900, "uint16"), crs=crs, transform=transform, **profile)
        return open_scene(path, card=FAKE_CARD)

    return make


SceneAt = Callable[..., Scene]
METRE = 1 / 111_320  # degrees, at the equator


@pytest.mark.parametrize(
    ("crs", "transform", "why"),
    [
        (UTM, at(500_000, 5_000_000, 10), "Sentinel-2's own"),
        (UTM, Affine(10, 0, 500_000, 0, 10, 5_000_000), "south-up"),
        (UTM, at(500_000, 5_000_000, 10) @ Affine.rotation(30), "rotated"),
        (UTM, at(500_000, 5_000_000, 11), "a little larger"),
        (WGS84, at(11, 0.1, 10 * METRE), "degrees at the equator"),
        (WGS84, at(11, 60, 20 * METRE, 10 * METRE), "degrees in the north, square on the ground"),
        (FEET, at(2_000_000, 700_000, 10 / FOOT), "feet"),
        (MERCATOR, at(1_000_000, 0, 10), "Web Mercator at the equator is true"),
        (MERCATOR, at(1_000_000, 8_000_000, 20), "20 m of Web Mercator are 10.5 m at 58° N"),
        (f"{UTM}+5773", at(500_000, 5_000_000, 10), "with heights"),
        ("EPSG:3035", at(4_321_000, 3_210_000, 10), "Europe's equal-area projection"),
    ],
)
def test_accepted_without_a_word(scene_at: SceneAt, crs: str, transform: Affine, why: str) -> None:
    assert check_georeference(scene_at(crs, transform), FAKE_CARD, force=False) == [], why


@pytest.mark.parametrize(
    ("crs", "transform", "message", "why"),
    [
        (None, at(500_000, 5_000_000, 10), "expected a coordinate reference system", "no CRS"),
        (None, None, "expected a coordinate reference system", "nothing at all"),
        (UTM, None, "expected a geotransform, found none", "a CRS alone"),
        (LOCAL, at(500, 500, 10), "expected a place on the Earth", "a CRS of nowhere"),
        ("EPSG:4978", at(500, 500, 10), "expected a place on the Earth", "a CRS of the whole globe in metres"),
        (UTM, at(1e9, 1e9, 10), "expected a place on the Earth", "coordinates beyond the projection"),
        (WGS84, at(11, 5_000_000, 10 * METRE), "expected a place on the Earth", "metres called degrees"),
        (UTM, Affine(10, 0, 500_000, 0, 0, 5_000_000), "pixels without area", "a row is nowhere"),
        (UTM, at(500_000, 5_000_000, 20), "its pixels are 20 m, 2 times those", "20 m bands"),
        (UTM, at(500_000, 5_000_000, 120), "its pixels are 120 m, 12 times those", "an overview"),
        (UTM, at(500_000, 5_000_000, 3), "its pixels are 3 m, 1/3.33 of those", "another satellite"),
        (WGS84, at(-180, 90, 0.5), "times those", "the globe in half degrees"),
        (FEET, at(2_000_000, 700_000, 10), "its pixels are 3.05 m, 1/3.28 of those", "10 feet are not 10 m"),
        (MERCATOR, at(1_000_000, 0, 20), "its pixels are 20 m, 2 times those", "Web Mercator, where it is true"),
        (MERCATOR, at(1_000_000, 8_000_000, 9), "its pixels are 4.76 m, 1/2.1 of those", "and where it isn't"),
        (UTM, at(500_000, 5_000_000, 5, 20), "its pixels are 5 x 20 m, 2 times those", "of the right area"),
        (
            UTM,
            at(500_000, 5_000_000, 20) @ Affine.rotation(45),
            "its pixels are 20 m, 2 times those",
            "rotation does not shrink",
        ),
    ],
)
def test_refused_with_the_reason_unless_forced(
    scene_at: SceneAt, crs: str | None, transform: Affine | None, message: str, why: str
) -> None:
    scene = scene_at(crs, transform)
    with pytest.raises(GeoreferenceError) as caught:
        check_georeference(scene, FAKE_CARD, force=False)
    text = str(caught.value)
    assert text.startswith(f"{scene.source.path}: "), why
    assert message in text
    assert text.endswith("or go on with --force")
    assert len(text.splitlines()) == 1
    assert "nan" not in text
    (warning,) = check_georeference(scene, FAKE_CARD, force=True)
    assert message in warning
    assert "--force" not in warning


def test_half_a_degree_is_told_in_metres(scene_at: SceneAt) -> None:
    # The middle of 64 rows of half a degree down from 90° N lies at 74° N.
    west, east, south, north = 0, 0.5, 73.75, 74.25
    geod = Geod(ellps="WGS84")
    across = geod.line_length([west, east], [(south + north) / 2] * 2)
    down = geod.line_length([west, west], [south, north])
    with pytest.raises(GeoreferenceError) as caught:
        check_georeference(scene_at(WGS84, at(-180, 90, 0.5)), FAKE_CARD, force=False)
    assert f"its pixels are {across:.3g} x {down:.3g} m, " in str(caught.value)


def test_control_points_are_no_geotransform(scene_at: SceneAt, write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, 64, 80), 900, "uint16"), crs=None, transform=None)
    corners = [(0, 0), (0, 80), (64, 0), (64, 80)]
    points = [GroundControlPoint(row, col, 500_000 + 10 * col, 5_000_000 - 10 * row) for row, col in corners]
    with rasterio.open(path, "r+") as file:
        file.gcps = points, UTM
    scene = open_scene(path, card=FAKE_CARD)
    with pytest.raises(GeoreferenceError, match=r"expected a (coordinate reference system|geotransform)"):
        check_georeference(scene, FAKE_CARD, force=False)
    assert pixel_hectares(scene.geobox) is None


@pytest.mark.parametrize(("size", "accepted"), [(15, True), (15.05, False), (5, True), (4.98, False), (10, True)])
@pytest.mark.parametrize("easting", [500_000, 300_000, 180_000])
def test_half_and_one_and_a_half_times_are_the_limits(
    scene_at: SceneAt, size: float, accepted: bool, easting: float
) -> None:
    scene = scene_at(UTM, at(easting, 5_000_000, size))
    if accepted:
        check_georeference(scene, FAKE_CARD, force=False)
    else:
        with pytest.raises(GeoreferenceError, match="a class would mean something else"):
            check_georeference(scene, FAKE_CARD, force=False)


@pytest.mark.parametrize(
    ("crs", "transform", "size", "why"),
    [
        (MERCATOR, at(200_000, 6_600_000, 10), "6.32 x 6.31", "51° N"),
        (MERCATOR, at(200_000, 8_400_000, 10), "5.01 x 5", "60° N: half"),
        (UTM, at(500_000, 5_000_000, 13), "13 x 13", "allowed, but told"),
        (UTM, at(500_000, 5_000_000, 7), "7 x 7", "allowed, but told"),
        (WGS84, at(11, 60, 10 * METRE), "5.01 x 10", "degrees at 60° N: half as wide as high"),
        (UTM, at(500_000, 5_000_000, 7, 14), "7 x 14", "the area is about right, the shape is not"),
    ],
)
def test_size_on_the_ground_is_warned_of(scene_at: SceneAt, crs: str, transform: Affine, size: str, why: str) -> None:
    (text,) = check_georeference(scene_at(crs, transform), FAKE_CARD, force=False)
    assert text.startswith(f"a pixel is {size} m on the ground"), why
    assert "warp the scene to UTM" in text


def test_a_tenth_more_or_less_on_the_ground_is_not_worth_a_word(scene_at: SceneAt) -> None:
    for transform in (at(11, 30, 10 * METRE), at(11, 45, 14 * METRE, 11 * METRE)):
        assert check_georeference(scene_at(WGS84, transform), FAKE_CARD, force=False) == []


def test_sizes_in_metres(scene_at: SceneAt) -> None:
    assert pixel_sides(scene_at(UTM, at(500_000, 5_000_000, 10)).geobox) == (10, 10)
    assert pixel_sides(scene_at(UTM, at(500_000, 5_000_000, 5, 20)).geobox) == pytest.approx((5, 20))
    assert pixel_sides(scene_at(UTM, at(500_000, 5_000_000, 10) @ Affine.rotation(17)).geobox) == pytest.approx(
        (10, 10)
    )
    assert pixel_sides(scene_at(FEET, at(2_000_000, 700_000, 30)).geobox) == pytest.approx((30 * FOOT,) * 2)
    assert pixel_sides(scene_at(MERCATOR, at(0, 8_400_000, 10)).geobox) == (10, 10)
    assert ground_pixel_size(scene_at(MERCATOR, at(0, 8_400_000, 10)).geobox) == pytest.approx(5.02, abs=0.05)
    assert ground_pixel_size(scene_at(UTM, at(500_000, 5_000_000, 10)).geobox) == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "transform", "hectares", "tolerance", "why"),
    [
        (UTM, at(500_000, 5_000_000, 10), 0.01, 0, "exactly, not 0.04 % off in the middle of the zone"),
        (UTM, at(170_000, 5_000_000, 10), 0.01, 0, "exactly, at the zone's edge"),
        (UTM, Affine(10, 0, 500_000, 0, 10, 5_000_000), 0.01, 0, "south-up"),
        (FEET, at(2_000_000, 700_000, 10 / FOOT), 0.01, 1e-9, "feet"),
        # The scale of Web Mercator at latitude p is 1 / cos p, nearly: area shrinks by its square.
        (MERCATOR, at(200_000, 6_446_275, 10), 0.01 * math.cos(math.radians(50)) ** 2, 1e-4, "the ground's at 50° N"),
        (WGS84, at(11, 0.0, 0.001), 0.001**2 * 111.320 * 110.574 * 100, 1e-3, "a thousandth of a degree"),
    ],
)
def test_hectares(scene_at: SceneAt, crs: str, transform: Affine, hectares: float, tolerance: float, why: str) -> None:
    found = pixel_hectares(scene_at(crs, transform).geobox)
    assert found is not None
    assert abs(found - hectares) <= tolerance, why


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (None, at(500_000, 5_000_000, 10)),
        (UTM, None),
        (LOCAL, at(500, 500, 10)),
        (UTM, at(1e9, 1e9, 10)),
        (UTM, Affine(10, 0, 500_000, 0, 0, 5_000_000)),
    ],
)
def test_no_hectares_without_a_place_and_force_still_makes_a_map(
    scene_at: SceneAt, tmp_path: Path, crs: str | None, transform: Affine | None
) -> None:
    scene = scene_at(crs, transform)
    assert pixel_hectares(scene.geobox) is None
    result = landmap.classify(scene.source.path, tmp_path / "cover.tif", force=True, classifier=ConstantClassifier(3))
    assert misplaced(result.plan.scene.geobox)
    assert all(share.hectares is None for share in result.classes)
    with rasterio.open(tmp_path / "cover.tif") as cover:
        assert cover.shape == (64, 80)
        assert cover.transform == scene.geobox.transform
        assert (cover.read(1) == 3).all()


@pytest.mark.parametrize(
    ("transform", "up"),
    [
        (at(500_000, 5_000_000, 10), (0, -1)),
        (Affine(10, 0, 500_000, 0, 10, 5_000_000), (0, 1)),
        (Affine(0, 10, 500_000, 10, 0, 5_000_000), (1, 0)),
        (at(500_000, 5_000_000, 10) @ Affine.rotation(30), (-0.5, -math.sqrt(0.75))),
    ],
    ids=["north up", "south up", "transposed", "rotated"],
)
def test_north_is_where_the_meridian_goes(transform: Affine, up: tuple[float, float], scene_at: SceneAt) -> None:
    """On the zone's central meridian grid north is true north."""
    assert north(scene_at(UTM, transform).geobox) == pytest.approx(up, abs=1e-3)


@pytest.mark.parametrize(
    ("crs", "x", "y"), [(UTM, 800_000, 6_500_000), (UTM, 200_000, 5_000_000), ("EPSG:3413", -400_000, -1_500_000)]
)
def test_north_is_true_north_not_the_grids(crs: str, x: float, y: float, scene_at: SceneAt) -> None:
    """PROJ's own convergence is the oracle: two degrees in UTM, tens in a polar projection."""
    scene = scene_at(crs, at(x, y, 10))
    lon, lat = Transformer.from_crs(crs, WGS84, always_xy=True).transform(x + 400, y - 320)
    convergence = math.radians(Proj(crs).get_factors(lon, lat).meridian_convergence)
    assert abs(math.degrees(convergence)) > 2
    assert north(scene.geobox) == pytest.approx((-math.sin(convergence), -math.cos(convergence)), abs=1e-3)


def test_no_place_has_no_north(scene_at: SceneAt) -> None:
    assert north(scene_at(None, at(0, 0, 10)).geobox) is None
    assert north(scene_at(LOCAL, at(0, 0, 10)).geobox) is None
