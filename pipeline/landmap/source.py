"""A raster file and the bands of it that are wanted: values as they are in the file, and which pixels are valid.

A `Source` is a small picklable value. It holds no open file: each read opens the file, or finds it still open (see
`open_files`), so that it can be sent to any thread or process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import product
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from landmap.attempts import look, unreadable
from landmap.chips import Bools, finite
from landmap.errors import ReadError
from landmap.grid import Window
from landmap.remote import is_afresh, is_remote, shown
from landmap.warp import Warp, read_warped

# A missing georeference is an error of ours with better words (georeference.py), not a warning of rasterio's.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# A nodata value that hides an alpha band is dealt with in `_has_data`.
warnings.filterwarnings("ignore", category=NodataShadowWarning)

Found = TypeVar("Found")

SAMPLE_PLACES = 5
"""A sample is read at this many places along each axis,"""
SAMPLE_SIZE = 64
"""each of this many pixels in height and width."""


@dataclass(frozen=True, slots=True)
class Source:
    """A raster file, and where in it the bands lie that a model needs."""

    path: str = field(repr=False)
    """What the user gave: file, URL, GDAL /vsi path, or a product of many files; with what grants access to it:
    `shown_path` is for words."""
    opens: str = field(repr=False)
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
    plain: Source | None = field(default=None, kw_only=True)
    """The same bands as they lie in the file, where they are seen otherwise."""

    @property
    def shown_path(self) -> str:
        """The path without secrets, as it may be printed and stored."""
        return shown(self.path)

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
            ReadError: The file can't be opened.
        """
        if self.warp is not None:
            return False

        def no_block(file: Any) -> bool:
            # Where zeros may be data, a block that was left out may be, too.
            if file.driver not in ("GTiff", "COG") or not (self.zero_is_nodata or file.nodata is not None):
                return False
            return all(_absences(file, self, self.place(window)))

        return self.look(no_block, window)

    def read_values(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[npt.NDArray[Any], Bools]:
        """Values as they are in the file `(height, width, bands)`, and validity `(height, width)`.

        A pixel is valid where every band has data: it is finite, and no nodata value, mask or alpha says otherwise. In
        a file of several bands that declares none of these it is not 0 in all of them, Sentinel-2's code for unseen.

        Args:
            window: Inside the scene.
            shape: Rows and columns wanted, if not all: every so many pixels are taken then.

        Raises:
            ReadError: The file can't be read there.
        """
        return self.look(lambda file: read_pixels(file, self, window, shape), window)

    def look(self, find: Callable[[Any], Found], window: Window | None = None) -> Found:
        """What a function finds in the open file, as it is seen on the source's grid.

        Args:
            find: Given that file.
            window: What of the source is looked at, if not all over.

        Raises:
            ReadError: It can't be read at any attempt, or it is not certain what is there.
        """

        def see(file: Any) -> Found:
            _check_same(file, self.plain or self)
            if window is not None:
                _check_blocks(file, self, window)
            with self.warp.over(file) if self.warp else nullcontext(file) as seen:
                return find(seen)

        return look(self.opens, see, self.path, f" ({window})" if window else "")

    def place(self, window: Window) -> RasterWindow:
        """A rectangle of the source in what is opened."""
        row, col = self.corner
        return RasterWindow(col + window.col_off, row + window.row_off, window.width, window.height)


def source_of(file: Any, path: str, opens: str, names: tuple[str, ...], indexes: tuple[int, ...]) -> Source:
    """Some bands of an open file as it is.

    Args:
        file: The open file.
        path: What the user gave.
        opens: What GDAL opens for it.
        names: Of the bands.
        indexes: Their numbers in the file, from 1.
    """
    return Source(
        path=path,
        opens=opens,
        height=file.height,
        width=file.width,
        transform=file.transform,
        crs=file.crs.to_wkt() if file.crs else None,
        band_names=names,
        band_indexes=indexes,
        block_shape=file.block_shapes[indexes[0] - 1],
        dtype=file.dtypes[indexes[0] - 1],
        masked=is_masked(file, indexes),
    )


def read_pixels(
    file: Any, source: Source, window: Window, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """`Source.read_values` of an open file, at one attempt.

    Raises:
        RasterioError: It can't be read there.
        ReadError: It is not certain what is there.
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


def is_masked(file: Any, indexes: tuple[int, ...]) -> bool:
    """Whether a file has a nodata value, a mask or an alpha band for bands."""
    return any(MaskFlags.all_valid not in file.mask_flag_enums[i - 1] for i in indexes)


def _check_same(file: Any, source: Source) -> None:
    """Refuse a file that is no longer what was planned with: changed, or without the part that says what is nodata.

    A sidecar that a server did not deliver for once is to GDAL one that is not there.
    """
    shape, masked = (file.height, file.width), is_masked(file, source.band_indexes)
    if shape != (source.height, source.width) or masked != source.masked:
        raise ReadError(f"{source.shown_path}: can't be read as a raster: it has changed since it was planned with")


def _absences(file: Any, source: Source, place: RasterWindow) -> Iterator[bool]:
    """Whether a GeoTIFF leaves a block out, for each block of a rectangle of it and each band."""
    rows, cols = source.block_shape
    places = product(
        source.band_indexes,
        range(place.row_off // rows, -(-(place.row_off + place.height) // rows)),
        range(place.col_off // cols, -(-(place.col_off + place.width) // cols)),
    )
    return (file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=i) is None for i, y, x in places)


def _check_blocks(file: Any, source: Source, window: Window) -> None:
    """Believe that a remote GeoTIFF leaves blocks out only on a look that relies on nothing remembered.

    Where a broken connection cut its table of blocks short, GDAL takes those it does not know for blocks of nodata.
    """
    unsure = is_remote(source.opens) and not is_afresh() and file.driver in ("GTiff", "COG")
    if not unsure:
        return
    plain, place = source.plain or source, source.place(window)
    if source.warp is not None:  # what is read of it for the window GDAL knows
        place = RasterWindow(0, 0, plain.width, plain.height)
    if any(_absences(file, plain, place)):
        raise ReadError(f"{source.shown_path}: can't be read as a raster: blocks are missing ({window})")


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
        ReadError: The file can't be read there.
    """
    windows = [
        Window(row, col, min(SAMPLE_SIZE, source.height - row), min(SAMPLE_SIZE, source.width - col))
        for row in _places(source.height)
        for col in _places(source.width)
    ]
    found = source.look(lambda file: np.concatenate([_sampled(file, source, window) for window in windows]))
    seen = (found != 0).any(axis=-1)
    return {"sample": found[seen], "blank": float(1 - seen.mean()) if len(seen) else 0.0}


def _sampled(file: Any, source: Source, window: Window) -> npt.NDArray[np.float32]:
    _check_blocks(file, source, window)
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
    """Name of a file or address, without its folder and what grants access to it."""
    return PurePath(shown(path)).name
