"""A raster file and the bands of it that are wanted: values as they are in the file, and which pixels are valid.

A `Source` is a small picklable value. It holds no open file: each read opens the file anew, so that it can be sent to
any thread or process.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import product
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from landmap.chips import Bools, finite
from landmap.errors import SceneError
from landmap.grid import Window
from landmap.warp import Warp, read_warped

# A missing georeference is an error of ours with better words (georeference.py), not a warning of rasterio's.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# A nodata value that hides an alpha band is dealt with in `_has_data`.
warnings.filterwarnings("ignore", category=NodataShadowWarning)

SAMPLE_PLACES = 5
"""A sample is read at this many places along each axis,"""
SAMPLE_SIZE = 64
"""each of this many pixels in height and width."""


@dataclass(frozen=True, slots=True)
class Source:
    """A raster file, and where in it the bands lie that a model needs."""

    path: str
    """What the user gave: file, URL, GDAL /vsi path, or a product of many files."""
    opens: str
    """What GDAL opens for it: the path, or the text of a VRT over a product's files."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    transform: Affine
    """From (column, row) to CRS coordinates."""
    crs: str | None
    """Coordinate reference system as WKT; None where the file has none."""
    band_names: tuple[str, ...]
    """Sentinel-2 names, in the model's order."""
    band_indexes: tuple[int, ...]
    """Their numbers in the file, from 1."""
    block_shape: tuple[int, int]
    """Rows and columns that the file stores together."""
    dtype: str
    """NumPy name of the file's data type."""
    masked: bool
    """The file has a nodata value, a mask or an alpha band for these bands."""
    warp: Warp | None = field(default=None, kw_only=True)
    """How it is brought to another grid when it is read; None: it is read as it is."""
    corner: tuple[int, int] = field(default=(0, 0), kw_only=True)
    """Row and column of its first pixel in what is opened, of which it may be a part."""

    @property
    def nodata_rule(self) -> str:
        """Which pixels have no data, in words."""
        blank = self.warp is not None and self.warp.blank == 0
        rules = ["the file's nodata value, mask or alpha"] if self.masked and not blank else []
        if self.zero_is_nodata or blank:
            rules.append("0 in every band (the file declares none)")
        if self.dtype.startswith("float"):
            rules.append("NaN")
        return " and ".join(rules) or "none"

    @property
    def zero_is_nodata(self) -> bool:
        """No nodata is declared: 0 in every band stands for it, as in Sentinel-2 products. One band alone may be 0."""
        return not self.masked and len(self.band_indexes) > 1

    def is_empty(self, window: Window) -> bool:
        """Whether the file stores no block of a rectangle, so that all of it is nodata and need not be read.

        A sparse GeoTIFF leaves blocks out that hold nothing but nodata; other files are never found empty.

        Raises:
            SceneError: The file can't be opened.
        """
        with self.opened() as file:
            # Where zeros may be data, a block that was left out may be, too.
            if file.driver not in ("GTiff", "COG") or not (self.zero_is_nodata or file.nodata is not None):
                return False
            (rows, cols), place = self.block_shape, self.place(window)
            places = product(
                self.band_indexes,
                range(place.row_off // rows, -(-(place.row_off + place.height) // rows)),
                range(place.col_off // cols, -(-(place.col_off + place.width) // cols)),
            )
            return all(file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=i) is None for i, y, x in places)

    def read_values(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[npt.NDArray[Any], Bools]:
        """Values as they are in the file `(height, width, bands)`, and validity `(height, width)`.

        A pixel is valid where every band has data: it is finite, and no nodata value, mask or alpha says otherwise. In
        a file of several bands that declares none of these it is not 0 in all of them, Sentinel-2's code for unseen.

        Args:
            window: Inside the scene.
            shape: Rows and columns wanted, if not all: every so many pixels are taken then.

        Raises:
            SceneError: The file can't be read there.
        """
        try:
            with self.opened() as file:
                return read_pixels(file, self, window, shape)
        except SceneError as error:
            raise SceneError(f"{error} ({window})") from error

    def opened(self) -> AbstractContextManager[Any]:
        """The open file, on the grid that it is brought to."""
        return opened(self.opens, self.path, self.warp)

    def place(self, window: Window) -> RasterWindow:
        """A rectangle of the source in what is opened."""
        row, col = self.corner
        return RasterWindow(col + window.col_off, row + window.row_off, window.width, window.height)


@contextmanager
def opened(path: str, name: str = "", warp: Warp | None = None) -> Iterator[Any]:
    """The open file, brought to another grid if so; GDAL's words in one line where that fails.

    Args:
        path: What GDAL opens.
        name: What it is called in messages, if not that.
        warp: To which grid, and how.

    The folder is not listed, which is slow for a URL. Sidecars (a mask, a world file, `.aux.xml`) are looked for by
    name all the same ("TRUE", not "EMPTY_DIR"): without its mask, a scene's nodata would be classified.
    """
    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"),
            rasterio.open(path) as file,
            warp.over(file) if warp else nullcontext(file) as seen,
        ):
            yield seen
    except RasterioError as error:
        raise unreadable(name or path, error) from error


def unreadable(path: str, error: RasterioError, where: str = "") -> SceneError:
    """The error that says why GDAL can't read a file, in one line."""
    return SceneError(f"{path}: can't be read as a raster: {first_cause(error)}{where}")


def first_cause(error: BaseException) -> str:
    """What went wrong at first, in one line: rasterio's own words are often "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def read_pixels(
    file: Any, source: Source, window: Window, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """`Source.read_values` of an open file.

    Raises:
        RasterioError: It can't be read there.
    """
    place = source.place(window)
    if source.warp is not None:
        return read_warped(file, source.band_indexes, place, shape)
    values = np.moveaxis(file.read(source.band_indexes, window=place, out_shape=shape), 0, -1)
    valid = finite(values)
    if source.masked:
        valid &= _has_data(file, source.band_indexes, place, shape)
    elif source.zero_is_nodata:
        valid &= (values != 0).any(axis=-1)
    return values, valid


def _has_data(file: Any, indexes: tuple[int, ...], place: RasterWindow, shape: tuple[int, int] | None) -> Bools:
    """Where no nodata value, mask or alpha says otherwise, `(height, width)`.

    GDAL leaves an alpha band out of account where there is a nodata value, too; here both count.
    """
    valid: Bools = (file.read_masks(indexes, window=place, out_shape=shape) > 0).all(axis=0)
    for index, color in zip(file.indexes, file.colorinterp, strict=True):
        if color is ColorInterp.alpha:
            valid &= file.read(index, window=place, out_shape=shape) > 0
    return valid


def sample(source: Source) -> dict[str, Any]:
    """Values of valid pixels at 25 places spread evenly, as they are in the file, for `Evidence`.

    Pixels that are 0 in every band, though declared valid, are counted apart: as values they would mislead.

    Returns:
        `sample`, `(n, bands)` float32, and `blank`, their share that is 0 in every band and was left out, 0 to 1.

    Raises:
        SceneError: The file can't be read there.
    """
    windows = [
        Window(row, col, min(SAMPLE_SIZE, source.height - row), min(SAMPLE_SIZE, source.width - col))
        for row in _places(source.height)
        for col in _places(source.width)
    ]
    with source.opened() as file:
        found = np.concatenate([_sampled(file, source, window) for window in windows])
    seen = (found != 0).any(axis=-1)
    return {"sample": found[seen], "blank": float(1 - seen.mean()) if len(seen) else 0.0}


def _sampled(file: Any, source: Source, window: Window) -> npt.NDArray[np.float32]:
    try:
        values, valid = read_pixels(file, source, window)
    except RasterioError as error:
        raise unreadable(source.path, error, f" ({window})") from error
    return values[valid].astype(np.float32)


def _places(length: int) -> list[int]:
    """Where samples start along an axis."""
    last = max(0, length - SAMPLE_SIZE)
    return sorted({round(last * i / (SAMPLE_PLACES - 1)) for i in range(SAMPLE_PLACES)})


def name_of(path: str) -> str:
    """A file's or URL's name without folder, password or signature."""
    return PurePath(public(path)).name


def public(scene: str) -> str:
    """A scene's path or URL without passwords and signatures, fit to be shown and kept."""
    if "://" not in scene:
        return scene
    return re.sub(r"(://)[^/@]*@", r"\1", scene).split("?")[0]
