"""Scenes against a plain rasterio read of files made here: values, validity, and what is refused."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterWindow

from landmap.errors import BandError, SceneError
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

# rasterio warns of files without a georeference; landmap has its own words for it, later (georeference.py).
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NodataShadowWarning"),
]

WriteScene = Callable[..., Path]
HEIGHT, WIDTH = 150, 210
ALL = Window(0, 0, HEIGHT, WIDTH)
WINDOWS = [
    (ALL, "everything"),
    (Window(0, 0, 1, 1), "one pixel"),
    (Window(149, 209, 1, 1), "the last pixel"),
    (Window(60, 100, 70, 64), "across blocks"),
    (Window(0, 17, 150, 1), "a column"),
    (Window(77, 0, 1, 210), "a row"),
]
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}
ONE_LINE = "[^\n]*"


def distinct(dtype: str = "uint16", count: int = 3, low: int = 1) -> npt.NDArray[Any]:
    """A different value for every pixel of a band, `(count, 150, 210)`; bands differ, too."""
    numbers = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) + low
    bands = np.stack([numbers + 100 * i for i in range(count)])
    return {"uint8": lambda: bands % 251 + 1, "float32": lambda: bands / 40_000, "float64": lambda: bands / 40_000}.get(
        dtype, lambda: bands
    )().astype(dtype)


def opened(path: Path | str, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=FAKE_CARD)


def plain_read(path: Path | str, indexes: tuple[int, ...], window: Window) -> npt.NDArray[Any]:
    """`(height, width, bands)` as rasterio gives it."""
    place = RasterWindow(window.col_off, window.row_off, window.width, window.height)
    with rasterio.open(path) as file:
        return np.moveaxis(file.read(list(indexes), window=place), 0, -1)


def cut(mask: npt.NDArray[np.bool_], window: Window) -> npt.NDArray[np.bool_]:
    rows = slice(window.row_off, window.row_off + window.height)
    return mask[rows, window.col_off : window.col_off + window.width]


@pytest.mark.parametrize(
    ("dtype", "scale", "profile", "why"),
    [
        ("uint16", 1e-4, {}, "striped"),
        ("uint16", 1e-4, TILED, "tiled"),
        ("uint16", 1e-4, TILED | {"compress": "deflate", "predictor": 2}, "compressed"),
        ("uint16", 1e-4, {"interleave": "pixel"}, "bands pixel by pixel"),
        ("uint16", 1e-4, {"blockysize": 17}, "strips that do not divide the height"),
        ("int16", 1e-4, {}, "signed"),
        ("uint8", 0.275 / 255, {}, "a picture"),
        ("float32", 1.0, {}, "reflectance"),
        ("float64", 1.0, {}, "reflectance in full precision"),
    ],
)
def test_read_is_a_plain_read_times_the_radiometry(
    write_scene: WriteScene, dtype: str, scale: float, profile: dict[str, Any], why: str
) -> None:
    values = distinct(dtype)
    path = write_scene(values, **profile)
    scene = opened(path, bands="3,1,2")
    assert scene.geobox.shape == (HEIGHT, WIDTH)
    assert scene.source.band_indexes == (3, 1, 2)
    for window, where in WINDOWS:
        pixels = scene.read(window)
        assert pixels.values.dtype == np.float32
        assert pixels.values.shape == (window.height, window.width, 3)
        expected = plain_read(path, (3, 1, 2), window) * scale
        np.testing.assert_allclose(pixels.values, expected, rtol=1e-6, err_msg=f"{why}, {where}")
        assert pixels.valid.all()
    whole = scene.read(ALL).values
    np.testing.assert_allclose(whole, np.moveaxis(values[[2, 0, 1]], 0, -1) * scale, rtol=1e-6)


def test_read_applies_offset_scale_and_haze_band_by_band(write_scene: WriteScene) -> None:
    path = write_scene(distinct() + 2000)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 2e-4, 1e-4), (-0.1, -0.1, 0.0)
    scene = open_scene(path, Settings(level="L1C"), card=FAKE_CARD)
    assert scene.radiometry.offset == pytest.approx((-1000, -500, 0))
    stored = plain_read(path, (1, 2, 3), ALL)
    expected = stored * np.array([1e-4, 2e-4, 1e-4]) + np.array([-0.1, -0.1, 0.0])
    np.testing.assert_allclose(scene.read(ALL).values, expected, atol=1e-6)


# --- validity


def holes() -> npt.NDArray[np.bool_]:
    """True where there is data: a wedge, a hole and single pixels have none."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    mask = (rows + cols > 40) & ~((rows > 90) & (rows < 100) & (cols > 50) & (cols < 130))
    mask[-1, -1] = mask[75, 0] = False
    return mask


NO_NODATA = "0 in every band (the file declares none)"


def declared(values: npt.NDArray[Any], nodata: float) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    return np.where(holes(), values, nodata).astype(values.dtype), {"nodata": nodata}


@pytest.mark.parametrize(
    ("values", "profile", "rule", "why"),
    [
        (*declared(distinct("uint16"), 0), "the file's nodata", "0, declared"),
        (*declared(distinct("uint16"), 65535), "the file's nodata", "65535, declared"),
        (*declared(distinct("int16"), -999), "the file's nodata", "negative"),
        (*declared(distinct("uint8"), 255), "the file's nodata", "255 of 8 bits"),
        (*declared(distinct("float32"), -9999), "the file's nodata", "a number in floats"),
        (*declared(distinct("float32"), np.nan), "the file's nodata", "NaN, declared"),
        (
            declared(distinct("float32"), np.nan)[0],
            {},
            NO_NODATA,
            "NaN, undeclared",
        ),
        (
            declared(distinct("float32"), np.inf)[0],
            {},
            NO_NODATA,
            "infinity is no reflectance",
        ),
        (declared(distinct("uint16"), 0)[0], {}, "0 in every band", "undeclared zeros of 16 bits"),
        (declared(distinct("int16"), 0)[0], {}, "0 in every band", "undeclared zeros of 16 bits, signed"),
        (declared(distinct("int32"), 0)[0], {}, "0 in every band", "undeclared zeros of 32 bits"),
        (declared(distinct("uint8"), 0)[0], {}, "0 in every band", "undeclared zeros of a true-colour picture"),
        (declared(distinct("float32"), 0)[0], {}, "0 in every band", "undeclared zeros of floats"),
    ],
)
def test_valid_is_true_exactly_where_there_is_data(
    write_scene: WriteScene, values: npt.NDArray[Any], profile: dict[str, Any], rule: str, why: str
) -> None:
    scene = opened(write_scene(values, **profile))
    assert scene.source.nodata_rule.startswith(rule), why
    for window, where in WINDOWS:
        pixels = scene.read(window)
        np.testing.assert_array_equal(pixels.valid, cut(holes(), window), err_msg=f"{why}, {where}")
        assert np.isfinite(pixels.values[pixels.valid]).all()


def test_zeros_are_data_where_another_value_is_declared_and_that_is_said(write_scene: WriteScene) -> None:
    values = np.where(holes(), distinct("uint16"), 0).astype("uint16")
    scene = opened(write_scene(values, nodata=65535))
    assert scene.read(ALL).valid.all()
    assert any("0 in every band, and the file declares another nodata" in w for w in scene.radiometry.warnings)


def test_zeros_do_not_decide_the_level(write_scene: WriteScene, ordinary: Any) -> None:
    """A strip of fill in an L1C scene looks like the dark blue of a corrected one."""
    values = ordinary(150, 210)
    values[:, :, :40] = 0
    scene = opened(write_scene(values, nodata=65535), level="auto")
    assert scene.radiometry.level == "L1C"
    assert "% of the sampled pixels are 0 in every band, and the file declares another nodata" in " ".join(
        scene.radiometry.warnings
    )


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_zero_in_one_band_of_three_is_dark(write_scene: WriteScene, nodata: float | None) -> None:
    values = distinct()
    values[1, 5, 7] = 0
    assert opened(write_scene(values, nodata=nodata)).read(ALL).valid.all()


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_zero_that_the_offset_leaves_below_black_is_no_data(write_scene: WriteScene, nodata: float | None) -> None:
    """With an offset of -1000 a dark pixel holds 1000, and 0 stands for what was not seen, in one band as in all."""
    values = distinct()
    values[1, 5, 7] = 0
    valid = opened(write_scene(values, nodata=nodata), offset=-1000).read(ALL).valid
    assert np.argwhere(~valid).tolist() == [[5, 7]]


def test_nan_is_no_data_beside_a_declared_value(write_scene: WriteScene) -> None:
    values = np.where(holes(), distinct("float32"), -9999).astype("float32")
    values[0, 120, 200] = np.nan
    valid = opened(write_scene(values, nodata=-9999)).read(ALL).valid
    assert not valid[120, 200]
    assert (~valid).sum() == (~holes()).sum() + 1


def test_bands_that_are_not_used_do_not_matter(write_scene: WriteScene) -> None:
    values = distinct(count=4)
    values[3] = 0
    path = write_scene(values, nodata=0, bands=("B04", "B03", "B02", "B08"))
    assert opened(path).read(ALL).valid.all()


@pytest.mark.parametrize("internal", [True, False])
def test_mask_band(write_scene: WriteScene, internal: bool) -> None:
    path = write_scene(distinct("uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as file:
        file.write_mask(holes())
    assert path.with_name("scene.tif.msk").exists() == (not internal)
    scene = opened(path)
    assert scene.source.nodata.masks
    np.testing.assert_array_equal(scene.read(ALL).valid, holes())


def test_mask_band_of_16_bits_makes_zeros_data(write_scene: WriteScene) -> None:
    values = distinct()
    values[:, 75, 100] = 0
    path = write_scene(values)
    with rasterio.open(path, "r+") as file:
        file.write_mask(holes())
    np.testing.assert_array_equal(opened(path).read(ALL).valid, holes())


@pytest.mark.parametrize("extra", [{}, {"nodata": 7}])
def test_alpha_band(write_scene: WriteScene, extra: dict[str, Any]) -> None:
    values = distinct("uint8", count=4)
    values[3] = np.where(holes(), 255, 0)
    path = write_scene(values, photometric="rgb", alpha="yes", bands=("",) * 4, **extra)
    scene = opened(path)
    assert scene.source.band_indexes == (1, 2, 3)
    expected = holes() & (values[:3] != extra["nodata"]).all(axis=0) if extra else holes()
    np.testing.assert_array_equal(scene.read(ALL).valid, expected)


def test_all_nodata(write_scene: WriteScene) -> None:
    scene = opened(write_scene(np.zeros((3, HEIGHT, WIDTH), "uint16"), nodata=0))
    assert not scene.read(ALL).valid.any()


# --- kinds of files


def test_south_up(write_scene: WriteScene) -> None:
    transform = Affine(10, 0, 500_000, 0, 10, 5_000_000)
    path = write_scene(distinct(), transform=transform)
    scene = opened(path)
    assert scene.geobox.transform == transform
    np.testing.assert_allclose(scene.read(ALL).values, plain_read(path, (1, 2, 3), ALL) * 1e-4, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (63, 65), (130, 3)])
def test_small_and_odd_shapes(write_scene: WriteScene, shape: tuple[int, int]) -> None:
    values = np.arange(3 * shape[0] * shape[1]).reshape(3, *shape).astype("uint16") + 1
    pixels = opened(write_scene(values)).read(Window(0, 0, *shape))
    np.testing.assert_allclose(pixels.values, np.moveaxis(values, 0, -1) * 1e-4, rtol=1e-6)
    assert pixels.valid.all()


VRT = """<VRTDataset rasterXSize="210" rasterYSize="150"><SRS>EPSG:32633</SRS>
<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>{bands}</VRTDataset>"""
VRT_BAND = """<VRTRasterBand dataType="{dtype}" band="{band}"><Description>{name}</Description>{more}<SimpleSource>
<SourceFilename relativeToVRT="1">{file}</SourceFilename><SourceBand>{source}</SourceBand></SimpleSource>
</VRTRasterBand>"""


def write_vrt(folder: Path, *bands: tuple[str, str, int, str], more: str = "") -> Path:
    """A VRT of bands (data type, name, band of the file, file)."""
    texts = [
        VRT_BAND.format(dtype=dtype, band=i, name=name, source=source, file=file, more=more)
        for i, (dtype, name, source, file) in enumerate(bands, start=1)
    ]
    path = folder / "scene.vrt"
    path.write_text(VRT.format(bands="".join(texts)))
    return path


def test_vrt_of_one_file_a_band(write_scene: WriteScene, tmp_path: Path) -> None:
    values = distinct()
    for i, name in enumerate(("B02", "B03", "B04")):
        write_scene(values[i : i + 1], f"{name}.tif", bands=("",))
    path = write_vrt(tmp_path, *[("UInt16", f"T33_{name}_10m", 1, f"{name}.tif") for name in ("B02", "B03", "B04")])
    scene = opened(path)
    assert scene.source.band_indexes == (3, 2, 1)
    np.testing.assert_allclose(scene.read(ALL).values, np.moveaxis(values[::-1], 0, -1) * 1e-4, rtol=1e-6)


def test_bands_of_different_types_are_refused(write_scene: WriteScene, tmp_path: Path) -> None:
    write_scene(distinct())
    path = write_vrt(
        tmp_path,
        ("UInt16", "B04", 1, "scene.tif"),
        ("UInt16", "B03", 2, "scene.tif"),
        ("Float32", "B02", 3, "scene.tif"),
        ("Byte", "SCL", 3, "scene.tif"),
    )
    with pytest.raises(
        SceneError, match=r"expected the same data type in every band\. Received: uint16, uint16, float32"
    ):
        opened(path)


def test_a_band_of_another_type_that_is_not_used_does_not_matter(write_scene: WriteScene, tmp_path: Path) -> None:
    write_scene(distinct())
    bands = [("UInt16", name, i, "scene.tif") for i, name in enumerate(("B04", "B03", "B02"), start=1)]
    scene = opened(write_vrt(tmp_path, *bands, ("Byte", "SCL", 3, "scene.tif")))
    assert scene.source.dtype == "uint16"
    assert scene.read(ALL).valid.all()


def test_nodata_of_a_single_band_counts(write_scene: WriteScene, tmp_path: Path) -> None:
    values = np.where(holes(), distinct(), 7).astype("uint16")
    write_scene(values)
    bands = [("UInt16", name, i, "scene.tif") for i, name in enumerate(("B04", "B03", "B02"), start=1)]
    path = write_vrt(tmp_path, *bands)
    text = path.read_text()
    path.write_text(
        text.replace("<Description>B03</Description>", "<Description>B03</Description><NoDataValue>7</NoDataValue>")
    )
    np.testing.assert_array_equal(opened(path).read(ALL).valid, holes() & (values[1] != 7))
    path.write_text(text)
    assert opened(path).read(ALL).valid.all(), "7 is a value like any other where nothing is declared"


def test_inside_a_zip_file(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(distinct(), "kempen_L2A.tif")
    with zipfile.ZipFile(tmp_path / "all_L1C.zip", "w") as archive:
        archive.write(path, "folder/kempen_L2A.tif")
    scene = opened(f"/vsizip/{tmp_path}/all_L1C.zip/folder/kempen_L2A.tif", level="auto")
    np.testing.assert_allclose(scene.read(ALL).values, opened(path).read(ALL).values)
    assert scene.radiometry.level == "L2A", "by the file's own name"


def test_in_memory(write_scene: WriteScene) -> None:
    path = write_scene(distinct())
    with MemoryFile(path.read_bytes()) as memory:
        scene = opened(memory.name)
        np.testing.assert_allclose(scene.read(ALL).values, opened(path).read(ALL).values)


def test_sidecars_are_read(write_scene: WriteScene) -> None:
    path = write_scene(distinct(), bands=("", "", ""), transform=None)
    names = [
        f'<PAMRasterBand band="{i}"><Description>{name}</Description></PAMRasterBand>'
        for i, name in enumerate(("B04", "B03", "B02"), start=1)
    ]
    path.with_name("scene.tif.aux.xml").write_text(f"<PAMDataset>{''.join(names)}</PAMDataset>")
    path.with_suffix(".tfw").write_text("10\n0\n0\n-10\n400005\n4999995\n")
    scene = opened(path)
    assert scene.source.band_indexes == (1, 2, 3)
    assert scene.geobox.transform == Affine(10, 0, 400_000, 0, -10, 5_000_000), (
        "a world file names the middle of a pixel"
    )


# --- what the file says


def test_tags_and_scl_reach_the_radiometry(write_scene: WriteScene) -> None:
    tagged = write_scene(distinct() % 2000 + 1500, tags={"processing_level": "Level-2A", "BOA_ADD_OFFSET": "-1000"})
    made = open_scene(tagged, card=FAKE_CARD).radiometry
    assert (made.level, made.offset, made.warnings) == ("L2A", (-1000.0,) * 3, ())
    for name in ("SCL", "scl", "SCL_20m", "SCL, Scene Classification"):
        beside = write_scene(distinct(count=4) + 600, "beside.tif", bands=("B04", "B03", "B02", name))
        made = open_scene(beside, card=FAKE_CARD).radiometry
        assert made.level == "L2A"
        assert "SCL" in made.origins["level"], name
    other = write_scene(distinct(count=4) + 600, "other.tif", bands=("B04", "B03", "B02", "sclera"))
    assert "SCL" not in open_scene(other, card=FAKE_CARD).radiometry.origins["level"]


def test_sample_is_of_valid_pixels_from_the_whole_scene(write_scene: WriteScene) -> None:
    values = np.full((3, 400, 500), 20_000, "uint16")
    values[:, :, :250] = 0
    values[:, 350:, 450:] = 300
    made = open_scene(write_scene(values, nodata=0), card=FAKE_CARD).radiometry
    assert made.origins["level"].startswith("assumed: L2A, as the darkest B02 is 0.030"), "the last corner is in it"


def test_a_scene_is_a_small_value_that_survives_pickling(write_scene: WriteScene) -> None:
    scene = opened(write_scene(distinct(), nodata=5), level="auto", offset="auto")
    packed = pickle.dumps(scene)
    assert len(packed) < 10_000
    again = pickle.loads(packed)
    assert again == scene
    for found, expected in zip(
        (again.read(ALL).values, again.read(ALL).valid), (scene.read(ALL).values, scene.read(ALL).valid), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_path_may_be_a_path_or_text(write_scene: WriteScene) -> None:
    path = write_scene(distinct())
    assert open_scene(path, card=FAKE_CARD) == open_scene(str(path), card=FAKE_CARD)


# --- refusals


def refusal(path: Path | str, **choices: Any) -> SceneError:
    with pytest.raises(SceneError) as caught:
        opened(path, **choices)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert len(text.splitlines()) == 1
    return caught.value


def test_complex_numbers_are_refused(write_scene: WriteScene) -> None:
    path = write_scene(distinct().astype("complex64"))
    assert "expected optical bands. Received complex numbers (complex64)" in str(refusal(path))
    assert "complex numbers" in str(refusal(path, bands="1,2,3"))


@pytest.mark.parametrize("bands", [None, "1,2,3"])
def test_a_palette_is_refused_even_where_the_user_names_bands(
    write_scene: WriteScene, tmp_path: Path, bands: str | None
) -> None:
    path = write_scene(distinct("uint8", count=1), "map.tif", bands=("",))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0, 255)})
    more = "<ColorInterp>Palette</ColorInterp>"
    stack = write_vrt(tmp_path, *[("Byte", name, 1, "map.tif") for name in ("B04", "B03", "B02")], more=more)
    assert isinstance(refusal(stack, bands=bands), BandError)
    assert "palette of colours" in str(refusal(stack, bands=bands))
    if bands is None:
        assert "palette of colours" in str(refusal(path))


def test_several_rasters_in_one_file_are_refused_by_name(write_scene: WriteScene, tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    profile = {"driver": "GPKG", "width": 64, "height": 64, "count": 3, "dtype": "uint8", "crs": "EPSG:3857"}
    for name, more in (("first", {}), ("second", {"APPEND_SUBDATASET": "YES"})):
        transform = Affine(10, 0, 0, 0, -10, 0)
        with rasterio.open(path, "w", transform=transform, RASTER_TABLE=name, **profile | more) as file:
            file.write(np.full((3, 64, 64), 9, "uint8"))
    text = str(refusal(path))
    assert "expected one raster. It holds several" in text
    assert f"GPKG:{path}:first" in text
    assert f"GPKG:{path}:second" in text
    assert opened(f"GPKG:{path}:second").read(Window(0, 0, 64, 64)).valid.all(), "one of them works, as advised"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.tif", None, "is not there"),
        ("empty.tif", b"", "empty"),
        ("text.tif", b"not a raster\n" * 10, "text"),
        ("half.tif", b"II*\x00\x08\x00\x00\x00", "a header alone"),
    ],
)
def test_what_is_no_raster_is_refused(tmp_path: Path, name: str, content: bytes | None, why: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    error = refusal(path)
    assert "can't be read as a raster: " in str(error), why
    assert error.__cause__ is not None


def test_a_folder_without_bands_is_refused(tmp_path: Path) -> None:
    assert "expected a raster, a .SAFE product" in str(refusal(tmp_path))


@pytest.fixture
def complete(write_scene: WriteScene) -> Path:
    """A cloud-optimised file (its directory comes first), 700x600 px in compressed tiles of 128x128."""
    noise = np.random.default_rng(3).integers(300, 3000, (3, 700, 600)).astype("uint16")
    path = write_scene(noise, "original.tif").with_name("download.tif")
    rasterio.shutil.copy(path.with_name("original.tif"), path, driver="COG", blocksize=128, compress="deflate")
    return path


def truncate(path: Path) -> None:
    """As if the download had broken off in the middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_truncated_file_is_told_of_with_its_window_and_gdals_reason(complete: Path) -> None:
    assert opened(complete).read(Window(0, 0, 700, 600)).valid.all()
    truncate(complete)
    text = str(refusal(complete))
    assert "can't be read as a raster" in text
    assert "(rows " in text
    assert ", columns " in text
    assert "See previous exception" not in text, "GDAL's own reason is what helps"
    assert "TIFF" in text


def test_a_file_that_breaks_after_it_was_opened_names_the_window(complete: Path) -> None:
    scene = opened(complete)
    truncate(complete)
    assert scene.read(Window(0, 0, 64, 64)).valid.all(), "what is there is read"
    with pytest.raises(SceneError, match=rf"{complete}: {ONE_LINE} \(rows 640-699, columns 500-599\) \(3 attempts\)$"):
        scene.read(Window(640, 500, 60, 100))
    complete.unlink()
    with pytest.raises(SceneError, match=rf"{complete}: {ONE_LINE} \(rows 0-63, columns 0-63\)$"):
        scene.read(Window(0, 0, 64, 64))


def test_bands_of_two_dates_in_one_file(write_scene: WriteScene) -> None:
    """As a stack of SNAP has them; what the error advises gives the scene of one date."""
    names = ("B4_13Aug2023", "B3_13Aug2023", "B2_23Aug2023")
    path = write_scene(distinct(count=3), bands=names)
    with pytest.raises(SceneError, match=r"B4_13Aug2023 and B2_23Aug2023.*--bands B04=N,B03=N,B02=N"):
        opened(path)
    assert opened(path, bands="B04=1,B03=2,B02=3").source.band_indexes == (1, 2, 3)


def test_snaps_angles_are_no_bands_and_its_classification_is_one(write_scene: WriteScene) -> None:
    names = ("B4", "B3", "B2", "view_zenith_B4", "quality_scene_classification")
    values = distinct(count=5)
    values[4] = 4
    values[4, :30] = 9
    path = write_scene(values, bands=names)
    assert opened(path).source.band_indexes == (1, 2, 3)
    valid = opened(path, scl="auto").read(ALL).valid
    assert not valid[:30].any()
    assert valid[30:].all()
