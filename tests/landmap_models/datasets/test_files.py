"""Files of chips to arrays, each format with the values that it was written with."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from landmap_models.datasets.files import decode
from landmap_models.datasets.ground import Ground, middles
from landmap_models.errors import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 60_000, (6, 5, 3)).astype(np.uint16)
"""Height, width and bands differ; most values need 16 bits."""


def tif(values: npt.NDArray[Any], driver: str = "GTiff", **options: Any) -> bytes:
    """The content of a file of values `(height, width, bands)`."""
    descriptions, colors, mask = (options.pop(key, None) for key in ("descriptions", "colors", "mask"))
    scales, offsets = options.pop("scales", None), options.pop("offsets", None)
    height, width, count = values.shape
    with MemoryFile() as memory:
        with memory.open(driver=driver, height=height, width=width, count=count, dtype=values.dtype, **options) as file:
            if colors:
                file.colorinterp = colors
            file.write(np.moveaxis(values, -1, 0))
            if descriptions:
                file.descriptions = descriptions
            if scales:
                file.scales, file.offsets = scales, offsets
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.read())


def picture(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def deep_png(values: npt.NDArray[np.uint16]) -> bytes:
    """A 16-bit RGB PNG, put together by hand: no library that is tested here wrote it."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_png_of_16_bits_keeps_them() -> None:
    content = deep_png(DEEP)
    chip = decode(content, "a/1.png")
    assert chip.values.dtype == np.uint16
    np.testing.assert_array_equal(chip.values, DEEP)
    with Image.open(io.BytesIO(content)) as image:
        assert np.asarray(image).dtype == np.uint8, "Pillow reads them now: the detour by GDAL is not needed any more"


def test_a_grey_png_of_16_bits_keeps_them() -> None:
    chip = decode(picture(Image.fromarray(DEEP[..., 0])), "1.png")
    np.testing.assert_array_equal(chip.values, DEEP[..., :1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("count", [1, 3, 4, 13])
def test_a_geotiff_is_read_as_written(dtype: str, count: int) -> None:
    values = RNG.integers(0, 120, (6, 5, count)).astype(dtype)
    chip = decode(tif(values, photometric="MINISBLACK"), "1.TIF")
    assert chip.values.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(chip.values, values)
    assert chip.names is None


def test_descriptions_name_bands() -> None:
    assert decode(tif(DEEP, descriptions=("B8A", "B04", "x")), "1.tif").names == ("B8A", "B04", None)


def test_an_alpha_band_is_none() -> None:
    values = np.full((6, 5, 4), 255, np.uint8)
    content = tif(values)  # GDAL calls the fourth of four bytes alpha by itself
    with MemoryFile(content) as memory, memory.open() as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    assert decode(content, "1.tif").values.shape == (6, 5, 3)
    assert decode(picture(Image.fromarray(values)), "1.png").values.shape == (6, 5, 3)


def test_what_looks_like_alpha_is_a_band_if_its_name_or_the_user_says_so() -> None:
    values = RNG.integers(0, 255, (6, 5, 4)).astype(np.uint8)
    values[0, 0, 3] = 0
    for chip in (
        decode(tif(values), "1.tif", 4),
        decode(tif(values, descriptions=("B04", "B03", "B02", "B08")), "1.tif"),
        decode(picture(Image.fromarray(values)), "1.png", 4),
    ):
        np.testing.assert_array_equal(chip.values, values)


def test_grey_is_red_green_and_blue_unless_told_otherwise() -> None:
    grey = RNG.integers(0, 255, (6, 5)).astype(np.uint8)
    content = picture(Image.fromarray(grey))
    np.testing.assert_array_equal(decode(content, "1.png").values, np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(decode(content, "1.png", 1).values, grey[..., None])


def with_gap(kind: str) -> tuple[bytes, str]:
    values = np.full((4, 5, 4), 200, np.uint8)
    values[1, 2] = 0
    colors = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return {
        "nodata": lambda: (tif(values[..., :3], nodata=0), "1.tif"),
        "alpha": lambda: (tif(values, colors=colors), "1.tif"),
        "mask": lambda: (tif(values[..., :3], mask=values[..., 3] > 0), "1.tif"),
        "transparent": lambda: (picture(Image.fromarray(values)), "1.png"),
        "palette": lambda: (picture(Image.fromarray(values[..., 0], "P"), transparency=0), "1.png"),
    }[kind]()


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask", "transparent", "palette"])
def test_gaps_are_refused(kind: str) -> None:
    content, name = with_gap(kind)
    with pytest.raises(DatasetError, match=r"chip without gaps\. Received: 1 of 20 pixels without data"):
        decode(content, name)


def test_nodata_in_one_band_is_a_value() -> None:
    """B10 sees next to nothing: its zeros are measured."""
    values = DEEP + np.uint16(1)
    values[2, 2, 0] = 0
    np.testing.assert_array_equal(decode(tif(values, nodata=0), "1.tif").values, values)


REFUSED = [
    (lambda: tif(DEEP.astype(np.float32)), "1.tif", r"whole numbers of 8 or 16 bits\. Received: float32\. Write refl"),
    (lambda: tif(DEEP.astype(np.int32)), "1.tif", "Received: int32"),
    (lambda: tif(DEEP, scales=(0.0001,) * 3, offsets=(-0.1,) * 3), "1.tif", r"scale 0\.0001 and offset -0\.1"),
    (lambda: tif(DEEP, scales=(0.5,) * 3, offsets=(0.0,) * 3), "1.tif", r"scale 0\.5"),
    (lambda: tif(DEEP[..., :1].astype(np.uint8), colors=[ColorInterp.palette]), "1.tif", "Received: a palette"),
    (lambda: tif(DEEP)[:-60], "1.tif", "1.tif: not a readable image"),
    (lambda: tif(DEEP, driver="PNG"), "1.tif", "not a readable image"),
    (lambda: b"", "1.tif", "it is empty"),
    (lambda: b"", "1.jpg", "not a readable image"),
    (lambda: b"<VRTDataset/>", "1.tif", "not a readable image"),
    (lambda: deep_png(DEEP)[:-40], "1.png", "not a readable image"),
    (lambda: picture(Image.new("RGB", (64, 64)), "TIFF"), "1.jpg", "not a readable image"),
    (lambda: picture(Image.effect_noise((64, 64), 50), "JPEG")[:-200], "1.jpg", "not a readable image"),
    (lambda: picture(Image.effect_noise((64, 64), 50))[:-200], "1.png", "not a readable image"),
    (lambda: picture(Image.new("CMYK", (8, 8)), "JPEG"), "1.jpg", "Pillow's mode CMYK"),
    (lambda: picture(Image.new("LA", (8, 8))), "1.png", "Pillow's mode LA"),
]


@pytest.mark.parametrize(("make", "name", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_can_not_be_used_is_refused(make: Any, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        decode(make(), name)
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


def test_numbers_that_say_their_scale_are_read() -> None:
    content = tif(DEEP, scales=(0.0001,) * 3, offsets=(0.0,) * 3)
    np.testing.assert_array_equal(decode(content, "1.tif").values, DEEP)


def test_a_chip_knows_the_ground_that_it_covers() -> None:
    """At the central meridian of UTM zone 33, 15 degrees east, on the equator."""
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000 - 25, 0, -10, 30)}
    ground = decode(tif(DEEP, **place), "1.tif").ground
    assert ground == Ground("EPSG:32633", 500_000, 0, 10 * DEEP.shape[1], 10 * DEEP.shape[0])
    assert middles([ground])[0] == pytest.approx((0, 15), abs=1e-9)


def test_chips_that_do_not_know_their_place_have_none() -> None:
    assert decode(tif(DEEP), "1.tif").ground is None


def test_rasterio_is_what_wrote_these() -> None:
    """A guard of this file: `tif` writes what rasterio reads back."""
    with MemoryFile(tif(DEEP)) as memory, rasterio.open(memory) as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), DEEP)
