"""Scenes on other grids, brought to UTM and the model's pixels."""

from __future__ import annotations

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
from rasterio.control import GroundControlPoint

import landmap
from landmap.cli import cli
from landmap.errors import GeoreferenceError
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NodataShadowWarning"),
]

WriteScene = Callable[..., Path]
DEGREES = Affine(0.00011, 0, 14.2, 0, -0.00009, 47.1)
MERCATOR = Affine(14, 0, 1_580_000, 0, -14, 5_960_000)
UTM20 = Affine(20, 0, 500_003, 0, -20, 5_000_009)
UTM5 = Affine(5, 0, 500_003, 0, -5, 5_000_009)
WGS84, WEB = "EPSG:4326", "EPSG:3857"
HEIGHT, WIDTH = 170, 230


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0, "warp": "auto"} | choices), card=FAKE_CARD)


def everything(scene: Scene) -> Window:
    return Window(0, 0, *scene.geobox.shape)


def source_places(scene: Scene, crs: str, transform: Affine) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Column and row in the file of the middle of each of a scene's pixels, by pyproj."""
    rows, cols = np.mgrid[: scene.geobox.height, : scene.geobox.width] + 0.5
    x, y = scene.geobox.transform @ (cols, rows)
    there = Transformer.from_crs(scene.geobox.crs, crs, always_xy=True).transform(x.ravel(), y.ravel())
    col, row = ~transform @ there
    return np.asarray(col).reshape(rows.shape), np.asarray(row).reshape(rows.shape)


def plane(height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.float32]:
    """Values that grow evenly along rows and columns: bilinear interpolation is exact on them."""
    rows, cols = np.mgrid[:height, :width] + 0.5
    return np.stack([0.05 + rows * 2e-4 + cols * 5e-4, 0.3 - rows * 3e-4, 0.02 + cols * 7e-4]).astype(np.float32)


@pytest.mark.parametrize(
    ("crs", "transform", "target"),
    [
        (WGS84, DEGREES, 32633),
        (WEB, MERCATOR, 32633),
        ("EPSG:32632", UTM20, 32632),
        (WGS84, Affine(0.0001, 0, -70, 0, -0.00009, -33), 32719),
        ("EPSG:32633", UTM20 @ Affine.rotation(30) @ Affine.scale(0.8), 32633),
        ("EPSG:2264", Affine(45, 0, 1_500_000, 0, -45, 600_000), 32617),
    ],
)
def test_values_are_those_of_the_place(crs: str, transform: Affine, target: int, write_scene: WriteScene) -> None:
    scene = opened(write_scene(plane(), crs=crs, transform=transform))
    assert rasterio.CRS.from_wkt(scene.geobox.crs).to_epsg() == target
    assert (scene.geobox.transform.a, scene.geobox.transform.e) == (10, -10)
    assert (scene.geobox.transform.c % 10, scene.geobox.transform.f % 10) == (0, 0)
    pixels = scene.read(everything(scene))
    col, row = source_places(scene, crs, transform)
    assert col.min() < 1
    assert row.min() < 1
    assert col.max() > WIDTH - 1
    assert row.max() > HEIGHT - 1
    # As far as the middles of the outermost pixels nothing is extrapolated.
    within = (col > 0.6) & (col < WIDTH - 0.6) & (row > 0.6) & (row < HEIGHT - 0.6)
    expected = np.stack([0.05 + row * 2e-4 + col * 5e-4, 0.3 - row * 3e-4, 0.02 + col * 7e-4], axis=-1)
    assert pixels.valid[within].all()
    np.testing.assert_allclose(pixels.values[within], expected[within], atol=8e-5)  # a tenth of a pixel's step
    outside = (col < -0.6) | (col > WIDTH + 0.6) | (row < -0.6) | (row > HEIGHT + 0.6)
    assert not pixels.valid[outside].any()


# --- what was not seen is not mixed in


def seen() -> npt.NDArray[np.bool_]:
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    mask = (rows + cols > 60) & ~((rows > 90) & (rows < 110) & (cols > 50) & (cols < 130))
    mask[150, 200] = False
    return mask


def write_kind(kind: str, write_scene: WriteScene, place: dict[str, Any]) -> Path:
    """A scene of 1000 (0.1) wherever it was seen, which tells that in one of the ways there are."""
    values = np.full((3, HEIGHT, WIDTH), 1000, np.uint16)
    if kind == "zero":
        return write_scene(np.where(seen(), values, 0).astype(np.uint16), **place)
    if kind == "zero, with more bands":
        more = np.concatenate([np.where(seen(), values, 0), np.where(seen(), 7, 0)[None]]).astype(np.uint16)
        return write_scene(more, bands=("B04", "B03", "B02", "SCL"), **place)
    if kind == "nodata":
        return write_scene(np.where(seen(), values, 65535).astype(np.uint16), nodata=65535, **place)
    if kind == "nodata in one band":
        values[1] = np.where(seen(), 1000, 65535)
        return write_scene(values, nodata=65535, **place)
    if kind == "NaN":
        return write_scene(np.where(seen(), values / 10_000, np.nan).astype(np.float32), nodata=np.nan, **place)
    hidden = np.where(seen(), values, 30_000).astype(np.uint16)
    if kind == "alpha":
        alpha = np.where(seen(), 65535, 0)[None].astype(np.uint16)
        names = ("B04", "B03", "B02", "")
        return write_scene(np.concatenate([hidden, alpha]), bands=names, photometric="RGB", alpha="YES", **place)
    path = write_scene(hidden, **place)
    with rasterio.open(path, "r+") as file:
        file.write_mask(seen())
    return path


KINDS = ("zero", "zero, with more bands", "nodata", "nodata in one band", "NaN", "alpha", "mask")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("crs", "transform"),
    [(WGS84, DEGREES), (WEB, MERCATOR @ Affine.scale(0.5)), ("EPSG:32633", UTM5 @ Affine.scale(0.8))],
)
def test_no_valid_pixel_has_a_dark_or_bright_border(
    kind: str, crs: str, transform: Affine, write_scene: WriteScene
) -> None:
    scene = opened(write_kind(kind, write_scene, {"crs": crs, "transform": transform}))
    pixels = scene.read(everything(scene))
    col, row = source_places(scene, crs, transform)
    np.testing.assert_allclose(pixels.values[pixels.valid], 0.1, atol=1e-6)
    # A pixel is valid where it lies well among seen ones, and not where it lies well among unseen ones.
    reach = np.ceil(10 / abs(transform.a) / 2 if crs != WGS84 else 1).astype(int) + 1
    grown = [np.roll(seen(), (i, j), (0, 1)) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    all_seen, none_seen = np.all(grown, axis=0), ~np.any(grown, axis=0)
    within = (col > reach) & (col < WIDTH - reach) & (row > reach) & (row < HEIGHT - reach)
    place = row[within].astype(int), col[within].astype(int)
    assert pixels.valid[within][all_seen[place]].all()
    assert not pixels.valid[within][none_seen[place]].any()
    assert none_seen[place].any()
    assert all_seen[place].mean() > 0.5


def test_smaller_pixels_are_averaged(write_scene: WriteScene) -> None:
    """Of a chequered scene nothing but the mean is left, where bilinear would take one or the other."""
    rows, cols = np.mgrid[:200, :220]
    values = np.where((rows + cols) % 2, 500, 1500).astype(np.uint16)
    path = write_scene(np.stack([values] * 3), transform=Affine(2.5, 0, 500_000, 0, -2.5, 5_000_000), nodata=0)
    scene = opened(path)
    assert scene.warp_text.endswith("to EPSG:32633, 10 m, average")
    assert scene.geobox.shape == (50, 55)
    np.testing.assert_allclose(scene.read(everything(scene)).values, 0.1, atol=1e-6)


def test_what_the_file_says_of_its_values_is_kept(write_scene: WriteScene) -> None:
    values = np.full((4, HEIGHT, WIDTH), 3000, np.uint16)
    tags = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "-1000"}
    names = ("B08", "B02", "B03", "B04")
    path = write_scene(values, crs=WGS84, transform=DEGREES, bands=names, tags=tags, nodata=0)
    scene = open_scene(path, Settings(warp="auto"))
    assert (scene.radiometry.level, scene.radiometry.offset) == ("L1C", (-1000,) * 3)
    assert scene.source.band_indexes == (4, 3, 2)
    pixels = scene.read(everything(scene))
    np.testing.assert_allclose(pixels.values[pixels.valid], 0.2, atol=1e-6)
    assert pixels.spectrum is not None
    np.testing.assert_allclose(pixels.spectrum[pixels.valid], 0.2, atol=1e-6)


def test_windows_change_nothing(write_scene: WriteScene, ordinary: Callable[..., Any]) -> None:
    """Also where they cross the blocks that GDAL warps at once, and their neighbours'."""
    scene = opened(write_scene(ordinary(500, 900), crs=WGS84, transform=DEGREES, nodata=0))
    assert scene.geobox.width > 600
    assert scene.geobox.height > 300
    whole = scene.read(everything(scene))
    rng = np.random.default_rng(0)
    for _ in range(8):
        row, col = int(rng.integers(scene.geobox.height - 5)), int(rng.integers(scene.geobox.width - 5))
        height, width = int(rng.integers(1, scene.geobox.height - row)), int(rng.integers(1, scene.geobox.width - col))
        part = scene.read(Window(row, col, height, width))
        rows, cols = slice(row, row + height), slice(col, col + width)
        np.testing.assert_array_equal(part.values, whole.values[rows, cols])
        np.testing.assert_array_equal(part.valid, whole.valid[rows, cols])


def test_a_classification_is_not_interpolated(write_scene: WriteScene) -> None:
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    scl = np.where((rows // 11 + cols // 13) % 2, 4, 9)  # between them lie water and thin cloud
    values = np.stack([np.full((HEIGHT, WIDTH), 900)] * 3 + [scl]).astype(np.uint16)
    path = write_scene(values, crs=WGS84, transform=DEGREES, bands=("B04", "B03", "B02", "SCL"), nodata=0)
    scene = opened(path, mask_classes="cloud_high")
    col, row = source_places(scene, WGS84, DEGREES)
    sure = (np.abs(col - np.rint(col)) > 0.05) & (np.abs(row - np.rint(row)) > 0.05)
    sure &= (col > 1) & (col < WIDTH - 1) & (row > 1) & (row < HEIGHT - 1)
    found = scene.read(everything(scene)).mapped
    np.testing.assert_array_equal(found[sure], (scl[row[sure].astype(int), col[sure].astype(int)] == 4))
    within = (col > 1) & (col < WIDTH - 1) & (row > 1) & (row < HEIGHT - 1)
    half = opened(path, mask_classes="water,cloud_medium,vegetation").read(everything(scene)).mapped
    np.testing.assert_array_equal(half[within], ~found[within])


# --- whether it is done


def test_a_scene_on_a_good_grid_stays_as_it_is(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(plane())
    scene = opened(path)
    assert scene.source.warp is None
    assert scene.warp_text == "not needed: EPSG:32633, 10 x 10 m on the ground"
    for name, choice in (("a.tif", {"warp": "auto"}), ("b.tif", {})):
        landmap.classify(path, tmp_path / name, classifier=ConstantClassifier(), level="L1C", **choice)
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as other:
        assert one.profile == other.profile
        np.testing.assert_array_equal(one.read(), other.read())


def test_without_it_the_way_out_is_named(write_scene: WriteScene) -> None:
    with pytest.raises(GeoreferenceError, match=r"its pixels are 20 m, .* Resample it \(--warp auto\)"):
        landmap.plan(write_scene(plane(), transform=UTM20), card=FAKE_CARD)
    fine = write_scene(plane(), crs=WEB, transform=MERCATOR @ Affine.scale(0.72))
    made = landmap.plan(fine, card=FAKE_CARD)
    assert any("(--warp auto) for a better map" in text for text in made.warnings)
    with pytest.raises(GeoreferenceError, match=r"Take a scene of finer pixels"):
        landmap.plan(write_scene(plane(), transform=UTM20 @ Affine.scale(6)), card=FAKE_CARD)


def test_detail_that_is_not_there_is_not_promised(write_scene: WriteScene) -> None:
    made = landmap.plan(write_scene(plane(), transform=UTM20), card=FAKE_CARD, warp="auto")
    assert any("its pixels of 20 m are interpolated to the model's 10 m" in text for text in made.warnings)
    with pytest.raises(GeoreferenceError, match="about 40 m, 4 times the model's 10 m: expected at most 3 times"):
        landmap.plan(write_scene(plane(), transform=UTM20 @ Affine.scale(2)), card=FAKE_CARD, warp="auto")


@pytest.mark.parametrize(("across", "down"), [(10, 40), (60, 10), (2, 33)])
def test_enlargement_is_judged_by_the_longer_side(across: float, down: float, write_scene: WriteScene) -> None:
    """By its area a pixel of 10 x 40 m is one of 20 m, and yet shows nothing smaller than 40 m."""
    path = write_scene(plane(), transform=Affine(across, 0, 500_000, 0, -down, 5_000_000))
    times = f"{max(across, down) / 10:.3g}"
    with pytest.raises(GeoreferenceError, match=f"{across} x {down} m, the longer side {times} times the model's 10 m"):
        landmap.plan(path, card=FAKE_CARD, warp="auto")
    with pytest.raises(GeoreferenceError, match="Take a scene of finer pixels"):
        landmap.plan(path, card=FAKE_CARD)


def test_pixels_longer_than_wide_are_told_by_both_sides(write_scene: WriteScene) -> None:
    """By its area a pixel of 4 x 30 m is one of 11 m, of which nothing would be said."""
    path = write_scene(plane(), transform=Affine(4, 0, 500_000, 0, -30, 5_000_000))
    made = landmap.plan(path, card=FAKE_CARD, warp="auto")
    assert any("its pixels of 4 x 30 m are interpolated to the model's 10 m" in text for text in made.warnings)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"crs": None}, "can't be warped: expected a coordinate reference system"),
        ({"transform": Affine.identity()}, "can't be warped: expected a geotransform"),
        ({"crs": WGS84, "transform": Affine(0.001, 0, 20, 0, -0.00009, 88)}, "in one of UTM's zones"),
    ],
)
def test_what_can_not_be_warped(place: dict[str, Any], words: str, write_scene: WriteScene) -> None:
    with pytest.raises(GeoreferenceError, match=words):
        opened(write_scene(plane(), **place))


@pytest.fixture
def write_points(tmp_path: Path) -> Callable[[float], Path]:
    """A function that writes a scene with control points, one of which is so many pixels off."""

    def write(off: float) -> Path:
        corners = [(row, col) for row in (0, HEIGHT / 2, HEIGHT) for col in (0, WIDTH / 2, WIDTH)]
        points = [GroundControlPoint(row, col, *(DEGREES @ (col, row))) for row, col in corners]
        points[4].x += off * DEGREES.a
        profile: dict[str, Any] = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "nodata": -1}
        with rasterio.open(tmp_path / "points.tif", "w", gcps=points, crs=WGS84, dtype="float32", **profile) as file:
            file.write(plane())
            file.descriptions = ("B04", "B03", "B02")
        return tmp_path / "points.tif"

    return write


def test_control_points_become_a_grid(write_points: Callable[[float], Path]) -> None:
    path = write_points(0)
    with pytest.raises(GeoreferenceError, match="--warp auto where it has control points"):
        landmap.plan(path, card=FAKE_CARD)
    scene = opened(path)
    assert scene.warp_text.startswith("from control points in EPSG:4326, 8.")
    col, row = source_places(scene, WGS84, DEGREES)
    within = (col > 1) & (col < WIDTH - 1) & (row > 1) & (row < HEIGHT - 1)
    np.testing.assert_allclose(scene.read(everything(scene)).values[within][:, 1], 0.3 - row[within] * 3e-4, atol=8e-5)


def test_control_points_on_no_grid_are_refused(write_points: Callable[[float], Path]) -> None:
    with pytest.raises(GeoreferenceError, match=r"some that are 1\.8 pixels off the best one"):
        opened(write_points(2))


def test_plan_and_cover_say_so(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(plane(), crs=WEB, transform=MERCATOR)
    done = CliRunner().invoke(cli, ["plan", str(path), "--warp", "auto", "--level", "L1C"])
    words = "from EPSG:3857, 9.55 x 9.52 m on the ground to EPSG:32633, 10 m, bilinear"
    assert done.exit_code == 0, done.output
    assert f"warp     {words}" in done.output
    landmap.classify(path, tmp_path / "cover.tif", classifier=ConstantClassifier(3), warp="auto", level="L1C")
    with rasterio.open(tmp_path / "cover.tif") as file:
        assert file.tags()["LANDMAP_WARP"] == words
        assert (file.crs.to_epsg(), file.res) == (32633, (10, 10))
        assert (file.read(1) == 3).mean() > 0.9
