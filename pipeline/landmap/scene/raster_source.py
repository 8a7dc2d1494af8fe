"""Bands of a raster file, read by GDAL: values as they are in the file, and which pixels are valid."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from landmap.errors import ReadError
from landmap.geo.geobox import geobox_of
from landmap.io.reading import read_error, read_with_retries
from landmap.io.remote import is_remote, is_uncached
from landmap.products.nodata import Fills, Nodata, declares_same, has_data, nodata_of
from landmap.scene.source import Source, Values
from landmap.scene.warp import read_warped
from landmap.tiling import Window
from landmap_models.arrays import Bools

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class RasterSource(Source):
    """Bands of a raster file, read by GDAL. Each read opens the file, or finds it open (see `landmap.io.reading`)."""

    original: RasterSource | None = field(default=None, kw_only=True)
    """The same bands on the file's own grid, where this source is warped or a subset; None where it is neither."""

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        """See `Source.read`.

        Raises:
            ReadError: The file can't be read there.
        """
        return self._with_file(lambda file: _read_window(file, self, window, shape), window)

    def read_many(self, windows: Sequence[Window], fills: Fills) -> tuple[list[Values], Fills]:
        """See `Source.read_many`. The file is opened once.

        Raises:
            ReadError: The file can't be read in a window, or it is not certain what is there.
        """

        def read_all(file: Any) -> tuple[list[Values], Fills]:
            counted = deepcopy(fills)  # a retry starts to count again
            return [_read_checked(file, self, window, counted) for window in windows], counted

        return self._with_file(read_all)

    def read_overview(self, shape: tuple[int, int]) -> Values | None:
        """See `Source.read_overview`.

        Raises:
            ReadError: The file can't be read.
        """

        def read_coarse(file: Any) -> Values | None:
            if not file.overviews(self.band_indexes[0]):
                return None
            return _read_window(file, self, Window(0, 0, *self.geobox.shape), shape)

        return self._with_file(read_coarse)

    def is_empty(self, window: Window) -> bool:
        """Tell whether the file stores no block of a window: a sparse GeoTIFF leaves out blocks of nothing but nodata.

        Other files are never found empty.

        Raises:
            ReadError: The file can't be opened.
        """
        if self.warp is not None:
            return False

        def has_no_block(file: Any) -> bool:
            if file.driver not in ("GTiff", "COG"):
                return False
            # GDAL reads the nodata value there, or 0, which may be data.
            stored = np.array([value or 0 for value in self.nodata.values], self.dtype)
            return not has_data(stored[:, None, None], self.nodata).any() and all(
                _missing_blocks(file, self, self._window_in_file(window))
            )

        return self._with_file(has_no_block, window)

    def _with_file(self, use: Callable[[Any], Found], window: Window | None = None) -> Found:
        """Open the file, check that it is the one that was planned with, and call a function with it; retry if needed.

        Args:
            use: A function of the open file.
            window: The window that it reads; None if it reads in several places.

        Raises:
            ReadError: The file can't be read at any attempt, or it is not certain what is there.
        """

        def checked(file: Any) -> Found:
            _check_same(file, self.original or self)
            if window is not None:
                _check_blocks(file, self, window)
            return use(file)

        return read_with_retries(self.opens, checked, self.path, f" ({window})" if window else "")

    def _window_in_file(self, window: Window) -> RasterWindow:
        row, col = self.corner
        return RasterWindow(col + window.col_off, row + window.row_off, window.width, window.height)


def raster_source(
    file: Any,
    path: str,
    opens: str,
    names: tuple[str, ...],
    indexes: tuple[int, ...],
    named: Collection[int] = (),
    *,
    is_reflectance: bool = True,
) -> RasterSource:
    """Describe some bands of an open file on the file's own grid.

    Args:
        file: The open rasterio dataset.
        path: What the user gave.
        opens: What GDAL opens for it.
        names: Names of the bands.
        indexes: Numbers of the bands in the file, from 1.
        named: Numbers of all bands of the file that are known by a name, those wanted and others.
        is_reflectance: Whether the bands hold reflectance; else they hold class numbers or flags.
    """
    return RasterSource(
        path=path,
        opens=opens,
        geobox=geobox_of(file),
        band_names=names,
        band_indexes=indexes,
        block_shape=file.block_shapes[indexes[0] - 1],
        dtype=file.dtypes[indexes[0] - 1],
        nodata=nodata_of(file, indexes, named, is_reflectance=is_reflectance),
    )


def _read_window(
    file: Any, source: RasterSource, window: Window, shape: tuple[int, int] | None = None, fills: Fills | None = None
) -> Values:
    """`Source.read` of an open file, without retries.

    Args:
        file: The open rasterio dataset.
        source: The bands and the grid that are read.
        window: A rectangle inside the source.
        shape: As in `Source.read`.
        fills: Counts constants that the file does not declare as nodata, in what is read; None to count nothing.

    Raises:
        RasterioError: The window can't be read.
        ReadError: It is not certain what is there.
    """

    def read(place: RasterWindow, shape: tuple[int, int] | None) -> Values:
        values = file.read(source.band_indexes, window=place, out_shape=shape and (len(source.band_indexes), *shape))
        unmasked = _unmasked(file, source.nodata, place, values.shape[1:])
        if fills is not None:
            fills.count(values, source.nodata, unmasked)
        return np.moveaxis(values, 0, -1), has_data(values, source.nodata) & unmasked

    place = source._window_in_file(window)
    if source.warp is None:
        return read(place, shape)
    return read_warped(read, (source.original or source).geobox, source.warp, place, shape)


def _read_checked(file: Any, source: RasterSource, window: Window, fills: Fills) -> Values:
    """As `_read_window`, for one of many windows that are read while the file is open.

    Raises:
        ReadError: The window can't be read, or it is not certain what is there.
    """
    _check_blocks(file, source, window)
    try:
        return _read_window(file, source, window, fills=fills)
    except RasterioError as error:
        raise read_error(source.path, error, f" ({window})") from error


def _unmasked(file: Any, nodata: Nodata, place: RasterWindow, shape: tuple[int, ...]) -> Bools:
    """Pixels of a window of a file that are valid by its masks and alpha bands, `(height, width)`."""
    found: Bools = np.ones(shape, np.bool_)
    if nodata.masks:
        masks = file.read_masks(nodata.masks, window=place, out_shape=(len(nodata.masks), *shape))
        found &= (masks > 0).all(axis=0)
    if nodata.alphas:
        alphas = file.read(nodata.alphas, window=place, out_shape=(len(nodata.alphas), *shape))
        found &= (alphas > 0).all(axis=0)
    return found


def _check_same(file: Any, source: RasterSource) -> None:
    """Refuse a file that has changed since the plan was made, or of which the part is missing that declares nodata.

    If a server fails to deliver a sidecar file once, GDAL takes it for one that does not exist.
    """
    same = (file.height, file.width) == source.geobox.shape
    if not (same and declares_same(file, source.band_indexes, source.nodata)):
        raise ReadError(f"{source.redacted_path}: can't be read as a raster: it has changed since it was planned with")


def _missing_blocks(file: Any, source: RasterSource, place: RasterWindow) -> Iterator[bool]:
    """Whether a GeoTIFF leaves a block out, for each block of a window of it and each band."""
    rows, cols = source.block_shape
    places = product(
        source.band_indexes,
        range(place.row_off // rows, -(-(place.row_off + place.height) // rows)),
        range(place.col_off // cols, -(-(place.col_off + place.width) // cols)),
    )
    return (file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=i) is None for i, y, x in places)


def _check_blocks(file: Any, source: RasterSource, window: Window) -> None:
    """Accept that a remote GeoTIFF leaves blocks out only when it was read past GDAL's caches.

    If a broken connection cuts the file's table of blocks short, GDAL takes the unknown blocks for blocks of nodata.
    """
    unsure = is_remote(source.opens) and not is_uncached() and file.driver in ("GTiff", "COG")
    if not unsure:
        return
    original, place = source.original or source, source._window_in_file(window)
    if source.warp is not None:  # what is read of it for the window GDAL knows
        place = RasterWindow(0, 0, original.geobox.width, original.geobox.height)
    if any(_missing_blocks(file, original, place)):
        raise ReadError(f"{source.redacted_path}: can't be read as a raster: blocks are missing ({window})")
