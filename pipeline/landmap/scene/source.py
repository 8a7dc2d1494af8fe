"""A raster file and the bands of it that are wanted: values as they are in the file, and which pixels are valid.

A `Source` is a small picklable value. It holds no open file: each read opens the file, or finds it still open (see
`open_files`), so that it can be sent to any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from landmap.errors import ReadError
from landmap.geo.geobox import GeoBox, geobox_of
from landmap.io.reading import read_error, read_with_retries
from landmap.io.remote import is_remote, is_uncached, redacted
from landmap.products.nodata import Fills, Nodata, has_data, nodata_of, says_so
from landmap.scene.warp import Warp, read_warped
from landmap.tiling import Window
from landmap_models.arrays import Bools

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Source:
    """A raster file, and where in it the bands lie that a model needs."""

    path: str = field(repr=False)
    """What the user gave: file, URL, GDAL /vsi path, or a product of many files; with what grants access to it:
    `shown_path` is for words."""
    opens: str = field(repr=False)
    """What GDAL opens for it: the path, or the text of a VRT over a product's files."""
    geobox: GeoBox
    """Where its pixels lie."""
    band_names: tuple[str, ...]
    """Sentinel-2 names, in the model's order."""
    band_indexes: tuple[int, ...]
    """Their numbers in the file, from 1."""
    block_shape: tuple[int, int]
    """Rows and columns that the file stores together."""
    dtype: str
    """NumPy name of the file's data type."""
    nodata: Nodata
    """What says that pixels of these bands have no data."""
    warp: Warp | None = field(default=None, kw_only=True)
    """How it is brought to another grid when it is read; None: it is read as it is."""
    corner: tuple[int, int] = field(default=(0, 0), kw_only=True)
    """Row and column of its first pixel in what is opened, of which it may be a part."""
    plain: Source | None = field(default=None, kw_only=True)
    """The same bands as they lie in the file, where they are seen otherwise."""

    @property
    def shown_path(self) -> str:
        """The path without secrets, as it may be printed and stored."""
        return redacted(self.path)

    @property
    def nodata_rule(self) -> str:
        """Which pixels have no data, in words."""
        return self.nodata.says(self.band_names, self.dtype)

    def is_empty(self, window: Window) -> bool:
        """Whether the file stores no block of a rectangle, so that all of it is nodata and need not be read.

        A sparse GeoTIFF leaves blocks out that hold nothing but nodata; other files are never found empty.

        Raises:
            ReadError: The file can't be opened.
        """
        if self.warp is not None:
            return False

        def no_block(file: Any) -> bool:
            if file.driver not in ("GTiff", "COG"):
                return False
            # GDAL reads the nodata value there, or 0, which may be data.
            stored = np.array([value or 0 for value in self.nodata.values], self.dtype)
            return not has_data(stored[:, None, None], self.nodata).any() and all(
                _absences(file, self, self.place(window))
            )

        return self.look(no_block, window)

    def read_values(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[npt.NDArray[Any], Bools]:
        """Values as they are in the file `(height, width, bands)`, and validity `(height, width)`.

        A pixel is valid where every band has data, by the rule of `landmap.products.nodata`.

        Args:
            window: Inside the scene.
            shape: Rows and columns wanted, if not all: every so many pixels are taken then.

        Raises:
            ReadError: The file can't be read there.
        """
        return self.look(lambda file: read_pixels(file, self, window, shape), window)

    def look(self, find: Callable[[Any], Found], window: Window | None = None) -> Found:
        """What a function finds in the open file.

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
            return find(file)

        return read_with_retries(self.opens, see, self.path, f" ({window})" if window else "")

    def place(self, window: Window) -> RasterWindow:
        """A rectangle of the source in what is opened."""
        row, col = self.corner
        return RasterWindow(col + window.col_off, row + window.row_off, window.width, window.height)


def source_of(
    file: Any,
    path: str,
    opens: str,
    names: tuple[str, ...],
    indexes: tuple[int, ...],
    named: Collection[int] = (),
    *,
    is_reflectance: bool = True,
) -> Source:
    """Some bands of an open file as it is.

    Args:
        file: The open file.
        path: What the user gave.
        opens: What GDAL opens for it.
        names: Of the bands.
        indexes: Their numbers in the file, from 1.
        named: Numbers of all bands of the file that are known by a name.
        is_reflectance: Whether the bands hold reflectance, or else numbers of classes, or yes and no.
    """
    return Source(
        path=path,
        opens=opens,
        geobox=geobox_of(file),
        band_names=names,
        band_indexes=indexes,
        block_shape=file.block_shapes[indexes[0] - 1],
        dtype=file.dtypes[indexes[0] - 1],
        nodata=nodata_of(file, indexes, named, is_reflectance=is_reflectance),
    )


def read_pixels(
    file: Any, source: Source, window: Window, shape: tuple[int, int] | None = None, fills: Fills | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """`Source.read_values` of an open file, at one attempt.

    Args:
        file: The open file.
        source: What is read of it.
        window: Inside the source.
        shape: As in `Source.read_values`.
        fills: Counts constants that the file does not declare as nodata, in what is read of the file.

    Raises:
        RasterioError: It can't be read there.
        ReadError: It is not certain what is there.
    """

    def read(place: RasterWindow, shape: tuple[int, int] | None) -> tuple[npt.NDArray[Any], Bools]:
        values = file.read(source.band_indexes, window=place, out_shape=shape and (len(source.band_indexes), *shape))
        shown = _shown(file, source.nodata, place, values.shape[1:])
        if fills is not None:
            fills.look(values, source.nodata, shown)
        return np.moveaxis(values, 0, -1), has_data(values, source.nodata) & shown

    place = source.place(window)
    if source.warp is None:
        return read(place, shape)
    return read_warped(read, (source.plain or source).geobox, source.warp, place, shape)


def _shown(file: Any, nodata: Nodata, place: RasterWindow, shape: tuple[int, ...]) -> Bools:
    """Which pixels of a rectangle of a file no mask and no alpha band hides, `(height, width)`."""
    found: Bools = np.ones(shape, np.bool_)
    if nodata.masks:
        masks = file.read_masks(nodata.masks, window=place, out_shape=(len(nodata.masks), *shape))
        found &= (masks > 0).all(axis=0)
    if nodata.alphas:
        alphas = file.read(nodata.alphas, window=place, out_shape=(len(nodata.alphas), *shape))
        found &= (alphas > 0).all(axis=0)
    return found


def _check_same(file: Any, source: Source) -> None:
    """Refuse a file that is no longer what was planned with: changed, or without the part that says what is nodata.

    A sidecar that a server did not deliver for once is to GDAL one that is not there.
    """
    same = (file.height, file.width) == source.geobox.shape
    if not (same and says_so(file, source.band_indexes, source.nodata)):
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
    unsure = is_remote(source.opens) and not is_uncached() and file.driver in ("GTiff", "COG")
    if not unsure:
        return
    plain, place = source.plain or source, source.place(window)
    if source.warp is not None:  # what is read of it for the window GDAL knows
        place = RasterWindow(0, 0, plain.geobox.width, plain.geobox.height)
    if any(_absences(file, plain, place)):
        raise ReadError(f"{source.shown_path}: can't be read as a raster: blocks are missing ({window})")


def read_place(file: Any, source: Source, window: Window, fills: Fills) -> tuple[npt.NDArray[Any], Bools]:
    """`Source.read_values` of an open file, for one of many windows that are read while it is open.

    Args:
        file: The open file.
        source: What is read of it.
        window: Inside the source.
        fills: Counts constants that the file does not declare as nodata.

    Raises:
        ReadError: It can't be read there, or it is not certain what is there.
    """
    _check_blocks(file, source, window)
    try:
        return read_pixels(file, source, window, fills=fills)
    except RasterioError as error:
        raise read_error(source.path, error, f" ({window})") from error
