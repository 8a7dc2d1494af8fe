"""Files of chips are decoded to arrays: JPEG and PNG of 8 bits by Pillow, GeoTIFF and PNG of 16 bits by GDAL.

Values are whole numbers of 8 or 16 bits, as in the file. A chip with pixels that the file marks as missing (nodata in
every band, transparent, masked) is refused: their values would be learnt as land.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import MemoryFile

from landmap_models.datasets.ground import Ground, crs_name
from landmap_models.errors import ZIP_DAMAGE, DatasetError
from landmap_models.gdal_dataset import READ_ERRORS, ungeoreferenced_allowed
from landmap_models.sentinel2 import BandNames, described_bands

RASTER_SUFFIXES = {".tif", ".tiff"}
CHIP_SUFFIXES = {".jpg", ".jpeg", ".png"} | RASTER_SUFFIXES
"""Suffixes of chips in small letters; files of other suffixes are ignored."""
EIGHT_BIT_MODES = {"RGB", "RGBA", "L", "P"}
"""Pillow's names of modes with 8 bits a channel."""
WHOLE_NUMBERS = {"uint8", "uint16", "int16"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PICTURE_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""Errors that Pillow raises for damaged files."""

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ChipFile:
    """A decoded chip."""

    values: Values
    """Values `(height, width, bands)` as uint8, uint16 or int16."""
    names: BandNames | None
    """Names of the bands by the descriptions in the file; None without any."""
    ground: Ground | None = None
    """Ground that the chip covers; None without a georeference."""


def is_raster(name: str) -> bool:
    """Whether the name is that of a GeoTIFF."""
    return PurePosixPath(name).suffix.lower() in RASTER_SUFFIXES


def decode(content: bytes, name: str, bands: int | None = None) -> ChipFile:
    """Decode a JPEG, PNG or GeoTIFF.

    An alpha channel is no band, unless `bands` counts it: some programs store a fourth band as one. A grey picture of 8
    bits becomes red, green and blue, unless `bands` is 1.

    Args:
        content: Bytes of the whole file.
        name: Name of the file, whose suffix is its format.
        bands: Number of bands that the user names; None: that of the file.

    Raises:
        DatasetError: The file can't be decoded, has numbers of other than 8 or 16 bits, or has missing pixels.
    """
    if is_raster(name):
        return _decode_raster(content, name, "GTiff", bands)
    # Pillow reads 16-bit RGB as 8 bits without a word. The 25th byte of a PNG is its bit depth.
    if content.startswith(PNG_SIGNATURE) and content[24:25] == b"\x10":
        return _decode_raster(content, name, "PNG", bands)
    return ChipFile(_decode_picture(content, name, bands), None)


def _decode_picture(content: bytes, name: str, bands: int | None) -> Values:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            image.load()
            if image.mode not in EIGHT_BIT_MODES:
                raise DatasetError(
                    f"{name}: expected 8 bits a channel (RGB or grey). Received: an image of Pillow's mode "
                    f"{image.mode}. Convert it to RGB first"
                )
            if image.mode == "L" and bands == 1:
                return np.asarray(image)[..., np.newaxis]
            if image.mode != "RGBA" and "transparency" not in image.info:
                return np.asarray(image.convert("RGB"))
            values = np.asarray(image.convert("RGBA"))
    except PICTURE_ERRORS as error:
        raise DatasetError(f"{name}: not a readable image ({error})") from error
    if bands == 4:
        return values
    _refuse_missing(values[..., 3] == 0, name)
    return values[..., :3]


def _decode_raster(content: bytes, name: str, driver: str, bands: int | None) -> ChipFile:
    if not content:
        raise DatasetError(f"{name}: not a readable image (it is empty)")
    try:
        with _opened(content, driver) as file:
            check_numbers(file, name)
            alpha = _alpha(file, bands)
            kept = [i for i in file.indexes if i != alpha]
            values = np.ascontiguousarray(np.moveaxis(file.read(kept), 0, -1))
            _refuse_missing(_missing(file, values, alpha), name)
            return ChipFile(values, described_bands([file.descriptions[i - 1] for i in kept]), ground_of(file))
    except READ_ERRORS as error:
        raise DatasetError(f"{name}: not a readable image ({_one_line(error)})") from error


@contextmanager
def _opened(content: bytes, driver: str) -> Iterator[Any]:
    """Open the file, which need not have a georeference."""
    with MemoryFile(content) as memory:
        with ungeoreferenced_allowed():
            file = memory.open(driver=driver)
        with file:
            yield file


def ground_of(file: Any) -> Ground | None:
    """The ground that a file covers; None where it has no georeference, or an impossible one."""
    a, b, c, d, e, f = tuple(file.transform)[:6]
    if file.crs is None or file.transform.is_identity or not np.isfinite([a, b, c, d, e, f]).all():
        return None
    x, y = file.transform @ (file.width / 2, file.height / 2)
    width, height = (abs(file.width * row) + abs(file.height * col) for row, col in ((a, b), (d, e)))
    return Ground(crs_name(file.crs.wkt), float(x), float(y), width, height)


def check_numbers(file: Any, name: str) -> None:
    """Refuse numbers that are neither reflectance times 10,000 nor of 8 bits."""
    if not set(file.dtypes) <= WHOLE_NUMBERS or len(set(file.dtypes)) > 1:
        raise DatasetError(
            f"{name}: expected whole numbers of 8 or 16 bits. Received: {', '.join(sorted(set(file.dtypes)))}. Write "
            "reflectance times 10,000 as uint16"
        )
    if ColorInterp.palette in file.colorinterp:
        raise DatasetError(f"{name}: expected bands. Received: a palette. Convert it to RGB first")
    scales, offsets = set(file.scales), set(file.offsets)
    if not scales <= {1.0, 0.0001} or offsets != {0.0}:
        raise DatasetError(
            f"{name}: expected reflectance times 10,000. Received: numbers of scale {_joined(scales)} and offset "
            f"{_joined(offsets)}. Write them without"
        )


def _alpha(file: Any, bands: int | None) -> int | None:
    """The number of the alpha band. GDAL calls the fourth of four 8-bit bands alpha unless told otherwise."""
    if file.count in (1, bands) or ColorInterp.alpha not in file.colorinterp:
        return None
    place = file.colorinterp.index(ColorInterp.alpha)
    named = described_bands(file.descriptions)
    return None if named and named[place] else place + 1


def _missing(file: Any, values: Values, alpha: int | None) -> npt.NDArray[np.bool_]:
    missing = np.zeros(values.shape[:2], bool)
    if file.nodata is not None:
        missing |= (values == file.nodata).all(axis=-1)
    if alpha:
        missing |= file.read(alpha) == 0
    elif file.mask_flag_enums[0] == [MaskFlags.per_dataset]:
        missing |= file.read_masks(1) == 0
    return missing


def _refuse_missing(missing: npt.NDArray[np.bool_], name: str) -> None:
    if missing.any():
        raise DatasetError(
            f"{name}: expected a chip without gaps. Received: {int(missing.sum())} of {missing.size} pixels without "
            "data (nodata or transparent)"
        )


def _joined(numbers: set[float]) -> str:
    return " and ".join(f"{n:g}" for n in sorted(numbers))


def _one_line(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split())


_kept = threading.local()


def file_names(root: Path) -> list[str]:
    """List the names of all files below a folder or in a zip file, with "/" between parts; hidden files are left out.

    Raises:
        DatasetError: `root` is neither, or is damaged.
    """
    if root.is_dir():
        return _visible(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    if zipfile.is_zipfile(root):
        try:
            with zipfile.ZipFile(root) as archive:
                return _visible(name for name in archive.namelist() if not name.endswith("/"))
        except (*ZIP_DAMAGE, OSError) as error:
            raise DatasetError(f"{root}: expected a whole zip file, found damage: {error}. Get it anew") from error
    raise DatasetError(
        f"{root}: expected a folder or a zip file of chips, one folder per class, a Pascal VOC folder, or a CSV file "
        f"with the columns file and label. Received: {'another file' if root.exists() else 'nothing is there'}"
    )


def folder_names(root: Path) -> list[str]:
    """List the names of all folders below a folder or in a zip file; hidden ones are left out."""
    if root.is_dir():
        return _visible(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_dir())
    with zipfile.ZipFile(root) as archive:
        names = archive.namelist()
    found = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    found |= {name.rstrip("/") for name in names if name.endswith("/")}
    return _visible(sorted(found - {"."}))


def read_file(root: Path, name: str) -> bytes:
    """Read one file. Threads and processes may call this at the same time.

    Raises:
        DatasetError: The file can't be read.
    """
    folder = _folder(root)
    try:
        return (folder / name).read_bytes() if folder else _archive(root).read(name)
    except (*ZIP_DAMAGE, OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{name}: can't be read ({error})") from error


def read_paths(root: Path, names: Sequence[str]) -> list[Path]:
    """The files on the disk from which chips are read: their own files or the zip file, and the CSV file if any."""
    folder = _folder(root)
    own = [] if folder is None else [folder / name for name in names]
    return own if root.is_dir() else [root, *own]


def identities(root: Path, names: Sequence[str]) -> list[str]:
    """Texts that identify files without reading their pixels: name, size and, in a zip file, the CRC."""
    folder = _folder(root)
    if folder:
        return [f"{name} {(folder / name).stat().st_size}" for name in names]
    with zipfile.ZipFile(root) as archive:
        found = map(archive.getinfo, names)
        return [f"{info.filename} {info.file_size} {info.CRC:08x}" for info in found]


def _visible(names: Iterable[str]) -> list[str]:
    """The names without files that file managers create: .DS_Store, __MACOSX/._chip.jpg."""
    return [n for n in names if not any(p.startswith(".") or p == "__MACOSX" for p in n.split("/"))]


def _folder(root: Path) -> Path | None:
    """The folder to which names are relative; None for a zip file."""
    if root.suffix.lower() == ".csv":
        return root.parent
    return root if root.is_dir() else None


def _archive(path: Path) -> zipfile.ZipFile:
    """An open zip file, which is kept: reading its directory takes longer than reading a batch from it.

    Each thread has its own, and a forked process opens it again, since processes that share a handle share the position
    in the file. A file that was replaced is opened again.
    """
    stat = path.stat()
    key = os.getpid(), path, stat.st_mtime_ns, stat.st_size
    if getattr(_kept, "key", None) != key:
        _kept.archive, _kept.key = zipfile.ZipFile(path), key
    archive: zipfile.ZipFile = _kept.archive
    return archive
