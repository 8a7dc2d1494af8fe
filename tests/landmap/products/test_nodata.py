"""Which pixels have data: each band's own nodata, masks, alpha, and constants that no reflectance can be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.enums
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landmap
from landmap.errors import LandmapWarning
from landmap.geo.geobox import GeoBox
from landmap.products.nodata import Nodata, has_data
from landmap.scene.scene import Scene, open_scene
from landmap.scene.subset import warped
from landmap.scene.warp import Warp
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier, ConstantClassifier
from landmap_models.model_file.packaged import find_model

WriteScene = Callable[..., Path]
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
COARSE = UTM @ Affine.scale(2)
HEIGHT, WIDTH = 60, 100
BORDER = 24
NAMES = ("B04", "B03", "B02")
ALL_NAMES = (*NAMES, "B08")


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L2A", "offset": 0} | choices), card=FAKE_CARD)


def pixels_of(scene: Scene) -> Any:
    return scene.read(Window(0, 0, *scene.geobox.shape))


def land(dtype: str = "uint16", bands: int = 3) -> npt.NDArray[Any]:
    """Pixels that differ in every band, as DN or as reflectance in floats."""
    values = np.random.default_rng(3).integers(300, 3000, (bands, HEIGHT, WIDTH))
    return (values * (1e-4 if dtype.startswith("float") else 1)).astype(dtype)


def bordered(fill: float, dtype: str = "uint16", bands: int = 3) -> npt.NDArray[Any]:
    values = land(dtype, bands)
    values[:, :, :BORDER] = fill
    return values


INSIDE = np.broadcast_to(np.arange(WIDTH) >= BORDER, (HEIGHT, WIDTH))


# --- each band its own


def write_bands(folder: Path, values: npt.NDArray[Any], tags: Any, transform: Affine = UTM) -> Path:
    """A folder with a file a band, each with a nodata value of its own."""
    folder.mkdir()
    names = ALL_NAMES[: len(values)]
    for name, band, nodata in zip(names, values, tags, strict=True):
        shape: Any = {"count": 1, "height": HEIGHT, "width": WIDTH, "dtype": values.dtype, "nodata": nodata}
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", crs="EPSG:32633", transform=transform, **shape
        ) as file:
            file.write(band, 1)
    return folder


KINDS: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "the first declares none": ("uint16", (None, 0, 0)),
    "the first alone declares": ("uint16", (0, None, None)),
    "0 and 65535": ("uint16", (0, 65535, 65535)),
    "65535, none and 7": ("uint16", (65535, None, 7)),
    "-9999, 0 and none": ("int16", (-9999, 0, None)),
    "NaN and -1": ("float32", (np.nan, -1, np.nan)),
    "the least float, and less exactly": ("float32", (-3.4028234663852886e38, -3.4e38, None)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warp", [False, True])
def test_each_band_has_its_own_nodata_warped_or_not(kind: str, warp: bool, tmp_path: Path) -> None:
    dtype, tags = KINDS[kind]
    values, transform = land(dtype), COARSE if warp else UTM
    for band, nodata in zip(values, tags, strict=True):
        band[:, :BORDER] = 0 if nodata is None else nodata
    found = pixels_of(opened(write_bands(tmp_path / "set", values, tags, transform), warp="auto" if warp else None))
    zeros = np.where(INSIDE, land(dtype), 0).astype(dtype)
    same = pixels_of(opened(write_bands(tmp_path / "ref", zeros, (0, 0, 0), transform), warp="auto" if warp else None))
    np.testing.assert_array_equal(found.valid, same.valid)
    np.testing.assert_array_equal(found.values[found.valid], same.values[same.valid])
    share = found.valid.mean()
    assert abs(share - INSIDE.mean()) < 0.02


FILLS = st.sampled_from([None, 0, 7, 65535])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=st.tuples(FILLS, FILLS, FILLS), seed=st.integers(0, 2**16))
def test_a_shift_by_whole_pixels_changes_no_pixel(
    tags: tuple[float | None, ...], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Warped onto its own pixels a scene is what it is unwarped: the same are valid, with the same values."""
    rng, values = np.random.default_rng(seed), land()
    for band, nodata in zip(values, tags, strict=True):
        band[rng.random(band.shape) < 0.1] = 0
        if nodata is not None:
            band[rng.random(band.shape) < 0.1] = nodata
    values[:, rng.random((HEIGHT, WIDTH)) < 0.1] = 0
    scene = opened(write_bands(tmp_path_factory.mktemp("t") / "set", values, tags))
    grid = GeoBox(HEIGHT + 9, WIDTH + 9, UTM @ Affine.translation(-5, -3), scene.geobox.crs)
    there = warped(scene.source, Warp(grid, "bilinear"))
    plain, valid = scene.source.read(Window(0, 0, HEIGHT, WIDTH))
    found, found_valid = there.read(Window(0, 0, grid.height, grid.width))
    expected = np.zeros((grid.height, grid.width), bool)
    expected[3 : 3 + HEIGHT, 5 : 5 + WIDTH] = valid
    np.testing.assert_array_equal(found_valid, expected)
    np.testing.assert_array_equal(found[expected], plain[valid])


# --- a mask beside a nodata value, and what is declared in vain


def test_a_mask_and_a_nodata_value_both_count(write_scene: WriteScene) -> None:
    values = land()
    values[:, :5] = 65535
    path = write_scene(values, nodata=65535)
    with rasterio.open(path, "r+") as file:
        file.write_mask(INSIDE)
    expected = INSIDE.copy()
    expected[:5] = False
    np.testing.assert_array_equal(pixels_of(opened(path)).valid, expected)


def test_a_value_that_the_type_can_not_hold_declares_nothing(tmp_path: Path) -> None:
    """GDAL takes -9999 as nodata of whole numbers without a sign; 0 in every band is then no data, as without."""
    folder = write_bands(tmp_path / "set", bordered(0), (None, None, None))
    band = (
        '<VRTRasterBand dataType="UInt16" band="{i}"><Description>{name}</Description><NoDataValue>-9999</NoDataValue>'
    )
    bands = "".join(
        band.format(i=i, name=name)
        + f"<SimpleSource><SourceFilename>{folder / name}.tif</SourceFilename></SimpleSource>"
        "</VRTRasterBand>"
        for i, name in enumerate(NAMES, start=1)
    )
    (tmp_path / "scene.vrt").write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    scene = opened(tmp_path / "scene.vrt")
    assert scene.source.nodata_rule.startswith("0 in every band (the file declares none)")
    np.testing.assert_array_equal(pixels_of(scene).valid, INSIDE)


# --- the edge of zeros


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_zeros_beside_next_to_nothing_are_the_edge_and_dark_water_is_not(
    nodata: float | None, dtype: str, write_scene: WriteScene
) -> None:
    one = 1e-4 if dtype == "float32" else 1
    values = bordered(0, dtype)
    edge = np.array([(0, 0, 1), (0, 1, 0), (1, 0, 1), (5, 2, 0)], dtype) * np.dtype(dtype).type(one)
    water = np.array([(1, 1, 1), (0, 3, 20), (0, 0, 30), (0, 2, 6)], dtype) * np.dtype(dtype).type(one)
    values[:, :4, BORDER] = edge.T
    values[:, 10:14, 90] = water.T
    expected = INSIDE.copy()
    expected[:4, BORDER] = nodata is None  # where nothing is declared, nothing but 0 in every band is no data
    path = write_scene(values, nodata=nodata)
    np.testing.assert_array_equal(pixels_of(opened(path, scale="auto")).valid, expected)


def test_a_picture_has_an_edge_where_0_is_declared(write_scene: WriteScene) -> None:
    values = np.full((3, HEIGHT, WIDTH), 90, np.uint8)
    values[:, 5, 5] = (0, 0, 1)
    assert pixels_of(opened(write_scene(values, "a.tif"))).valid.all()
    assert not pixels_of(opened(write_scene(values, "b.tif", nodata=0))).valid[5, 5]


# --- what no reflectance can be


WARPED = {-9999, -1000, 65_535, 9.96921e36}
"""Fills that are tried in a scene that is warped, too."""


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        (-9999, "int16"),
        (-10_000, "int16"),
        (-32_768, "int16"),
        (-999, "int16"),
        (-1000, "int16"),
        (32_767, "int16"),
        (65_535, "uint16"),
        (55_537, "uint16"),  # -9999 without a sign
        (64_536, "uint16"),  # an offset taken off 0, without a sign
        (-99_999, "int32"),
        (2**31 - 1, "int32"),
        (-9999, "float32"),
        (-0.9999, "float32"),
        (-0.1, "float32"),
        (-1, "float32"),
        (-999, "float32"),
        (6.5535, "float32"),
        (65_535, "float32"),
        (1e20, "float32"),
        (9.96921e36, "float32"),
        (-3.4028234663852886e38, "float32"),
        (-3.4028234663852886e38, "float64"),
        (-np.inf, "float32"),
    ],
)
def test_undeclared_fill_is_as_declared(fill: float, dtype: str, write_scene: WriteScene) -> None:
    values = bordered(fill, dtype)
    warp, transform = ("auto", COARSE) if fill in WARPED else (None, UTM)
    silent = opened(write_scene(values, "silent.tif", transform=transform), warp=warp)
    told = opened(write_scene(values, "told.tif", nodata=values[0, 0, 0], transform=transform), warp=warp)
    found, expected = pixels_of(silent), pixels_of(told)
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.values[found.valid], expected.values[expected.valid])
    assert abs(found.valid.mean() - INSIDE.mean()) < 0.02
    assert any("is left out as nodata" in text and f"{values[0, 0, 0]:.7g} (" in text for text in silent.warnings)
    assert silent.radiometry.warnings == told.radiometry.warnings
    assert not told.warnings


def test_fill_of_one_band_and_saturation_of_one_band(write_scene: WriteScene) -> None:
    values = land("int16")
    values[1, 5, 5] = -9999
    values[1, 6, 6] = 32_767
    values[1, 7, 7] = -999  # clipped to 1 before an offset of 1000 was taken off
    assert np.argwhere(~pixels_of(opened(write_scene(values))).valid).tolist() == [[5, 5]]


def test_fill_decides_nothing_and_its_share_is_told(write_scene: WriteScene, ordinary: Any) -> None:
    values = ordinary(150, 210).astype(np.int16)
    clean = opened(write_scene(values, "clean.tif"), level="auto")
    values[:, :, :40] = -9999
    scene = opened(write_scene(values), level="auto")
    assert scene.radiometry.level == clean.radiometry.level == "L1C"
    assert scene.radiometry.warnings == clean.radiometry.warnings
    (told,) = scene.warnings
    assert "-9999 (" in told
    assert abs(float(told.split("-9999 (")[1].split(" %")[0]) - 100 * 40 / 210) < 8
    assert any("-9999" in text for text in landmap.plan(scene.source.path, card=FAKE_CARD).warnings)


def test_sound_scenes_are_not_warned_of(write_scene: WriteScene) -> None:
    for dtype in ("uint8", "uint16", "int16", "float32"):
        values = land(dtype)
        assert opened(write_scene(values, f"{dtype}.tif")).warnings == ()


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    declared=st.sampled_from([None, 0.0, 7.0]),
    seed=st.integers(0, 2**16),
)
def test_validity_is_that_of_each_pixel_by_itself(dtype: str, declared: float | None, seed: int) -> None:
    """So that it can't depend on how a scene is cut; against the rule as one would write it down for one pixel."""
    rng = np.random.default_rng(seed)
    choice = np.array([0, 1, 5, 7, 500, 501, -9999, -999, -5, 32767, 65535, np.nan, 1e20])
    kept = choice if dtype == "float32" else choice[np.isfinite(choice) & (choice < 1e9)]
    if dtype != "float32":
        kept = kept[(kept >= np.iinfo(dtype).min) & (kept <= np.iinfo(dtype).max)]
    values = rng.choice(kept, (3, 13, 11)).astype(dtype)
    nodata = Nodata((declared,) * 3, has_zeros=not declared)
    found = has_data(values, nodata)
    for row, col in np.ndindex(found.shape):
        assert found[row, col] == by_hand(values[:, row, col].tolist(), declared, dtype), values[:, row, col]


def by_hand(pixel: list[float], declared: float | None, dtype: str) -> bool:
    if not all(np.isfinite(v) and abs(v) < 1e10 for v in pixel) or (declared and declared in pixel):
        return False
    one = {"float32": 0.00050001, "uint8": 1}.get(dtype, 5) if declared is not None else 0
    if not declared and 0 in pixel and all(0 <= v <= one for v in pixel):
        return False
    if dtype == "uint8":
        return True
    alike = len(set(pixel)) == 1 and (pixel[0] in (32767, 65535) or pixel[0] <= (-0.09 if dtype == "float32" else -900))
    return not alike and min(pixel) >= -2000


def test_maps_are_the_same_however_they_are_cut(write_scene: WriteScene, tmp_path: Path, sensitive: Classifier) -> None:
    values = bordered(-9999, "int16")
    values[:, 30:40, 70:90] = 0
    path, covers = write_scene(values, transform=COARSE), []
    for chunk in (64, 128, 1024):
        landmap.classify(path, tmp_path / f"{chunk}.tif", classifier=sensitive, warp="auto", chunk=chunk, level="L1C")
        with rasterio.open(tmp_path / f"{chunk}.tif") as file:
            covers.append(file.read(1))
    np.testing.assert_array_equal(covers[0], covers[1])
    np.testing.assert_array_equal(covers[0], covers[2])
    assert 0.2 < (covers[0] == 255).mean() < 0.35


@pytest.mark.parametrize("nodata", [None, 0, -9999])
def test_blocks_that_are_left_out_are_empty_by_the_same_rule(nodata: float | None, write_scene: WriteScene) -> None:
    values = np.full((3, 128, 128), nodata or 0, np.int16)
    values[:, :64, :64] = 500
    blocks: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": True}
    scene = opened(write_scene(values, nodata=nodata, **blocks))
    for row, col in ((0, 0), (64, 0), (64, 64)):
        window = Window(row, col, 64, 64)
        assert scene.is_empty(window) == ((row, col) != (0, 0))
        assert scene.read(window).valid.any() == ((row, col) == (0, 0))


def test_a_run_changes_no_filter_of_warnings(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(land(), crs=None)  # rasterio warns of each such file that is opened or written
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", LandmapWarning)  # of the scene without a CRS
        before = list(warnings.filters)
        landmap.classify(path, tmp_path / "c.tif", classifier=ConstantClassifier(2), force=True, sieve=4, threads=2)
        assert list(warnings.filters) == before


# --- a described band is no alpha


def write_eight_bit(write_scene: WriteScene, names: tuple[str, ...], name: str = "rgbn.tif") -> Path:
    """Four bands of 8 bits, of which GDAL calls the fourth alpha; it is 0 over water."""
    values = np.random.default_rng(1).integers(20, 200, (4, HEIGHT, WIDTH)).astype(np.uint8)
    values[3, 20:40, 20:60] = 0
    path = write_scene(values, name, bands=names)
    with rasterio.open(path) as file:
        assert file.colorinterp[3].name == "alpha"
    return path


@pytest.mark.parametrize("name", ["B08", "nir", "dry matter"])
def test_a_described_band_is_no_alpha(name: str, write_scene: WriteScene) -> None:
    scene = opened(write_eight_bit(write_scene, (*NAMES, name)))
    assert pixels_of(scene).valid.all()
    assert scene.warnings == ()


def test_an_alpha_that_looks_like_a_band_is_told_and_the_hint_helps(write_scene: WriteScene) -> None:
    from landmap_models.model_file.archive import read_card

    card = read_card(find_model("default"))
    path = write_eight_bit(write_scene, ("",) * 4)
    scene = open_scene(path, card=card)
    assert (~pixels_of(scene).valid).sum() == 20 * 40
    (told,) = scene.warnings
    assert told.startswith("band 4 is taken as alpha, as its colour or its description says")
    given_bands = told.split("--bands ")[1]
    assert given_bands == "B04=1,B03=2,B02=3,B08=4"
    obeyed = open_scene(path, Settings(bands=given_bands), card=card)
    assert pixels_of(obeyed).valid.all()
    assert not any("alpha" in text for text in obeyed.warnings)


def test_a_model_without_near_infrared_gets_another_hint(write_scene: WriteScene) -> None:
    path = write_eight_bit(write_scene, ("",) * 4)
    (told,) = opened(path).warnings
    assert "gdal_edit.py -colorinterp_4 undefined" in told
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (*file.colorinterp[:3], rasterio.enums.ColorInterp.undefined)
        file.descriptions = (*NAMES, "")
    scene = opened(path)
    assert pixels_of(scene).valid.all()
    assert scene.warnings == ()


def test_an_alpha_band_is_no_doubt(write_scene: WriteScene) -> None:
    values = land("uint8", bands=4)
    values[3] = np.where(INSIDE, 255, 0)
    values[3, 40:44] = 128  # a soft edge
    for names in (("",) * 4, ("B04", "B03", "B02", "Alpha")):
        scene = opened(write_scene(values, bands=names, photometric="rgb", alpha="yes"))
        assert scene.warnings == ()
        np.testing.assert_array_equal(pixels_of(scene).valid, INSIDE | (values[3] == 128))


@pytest.mark.parametrize("name", ["alpha", "dataMask"])
@pytest.mark.parametrize(("dtype", "shown"), [("uint16", 65_535), ("uint16", 1), ("float32", 1)])
def test_a_band_that_is_described_as_alpha_is_one_whatever_its_colour(
    name: str, dtype: str, shown: int, write_scene: WriteScene
) -> None:
    values = land(dtype, bands=4)
    values[3] = np.where(INSIDE, shown, 0)
    path = write_scene(values, bands=(*NAMES, name))
    with rasterio.open(path) as file:
        assert file.colorinterp[3].name == "undefined"
    scene = opened(path)
    np.testing.assert_array_equal(pixels_of(scene).valid, INSIDE)
    assert "alpha (band 4)" in scene.source.nodata_rule
    assert scene.warnings == ()


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [(65_534, "uint16"), (20_000, "uint16"), (1, "uint16"), (-1, "int16"), (0.9999, "float32"), (255, "uint8")],
)
def test_a_constant_that_may_be_fill_is_told_and_the_hint_helps(
    fill: float, dtype: str, write_scene: WriteScene, ordinary: Any
) -> None:
    values = ordinary(HEIGHT, WIDTH)
    values = (values / 30 if dtype == "uint8" else values / 10_000 if dtype == "float32" else values).astype(dtype)
    assert opened(write_scene(values, "sound.tif")).warnings == ()
    values[:, :, :BORDER] = fill
    path = write_scene(values)
    scene = opened(path)
    assert pixels_of(scene).valid.all()
    (told,) = scene.warnings
    assert f"have the value {fill} in every band" in told
    with rasterio.open(path, "r+") as file:
        file.nodata = float(told.split("gdal_edit -a_nodata ")[1].rstrip(")"))
    obeyed = opened(path)
    assert obeyed.warnings == ()
    assert (~pixels_of(obeyed).valid).sum() == HEIGHT * BORDER


def test_a_constant_beside_another_nodata_is_left_out_by_a_mask(write_scene: WriteScene, ordinary: Any) -> None:
    values = ordinary(HEIGHT, WIDTH)
    values[:, :, :BORDER] = 20_000
    path = write_scene(values, nodata=0)
    (told,) = opened(path).warnings
    assert told.endswith("(--mask SCENE --mask-values 20000)")
    obeyed = opened(path, mask=path, mask_values="20000")
    assert obeyed.warnings == ()
    assert (~pixels_of(obeyed).valid).sum() == HEIGHT * BORDER


def test_grey_pixels_of_few_different_numbers_are_no_fill(write_scene: WriteScene) -> None:
    values = np.random.default_rng(0).integers(7, 10, (3, HEIGHT, WIDTH)).astype(np.uint8)
    assert not any("in every band" in text for text in opened(write_scene(values)).warnings)
