"""Bands of masks on a scene's grid: each pixel of the scene gets the value of the mask's pixel at its middle.

If the axes of both grids are parallel, as of masks of 60 m beside bands of 10 m, the value is looked up by row and
column, as a warp would take far longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from landmap.geo.geobox import GeoBox
from landmap.geo.longitudes import coordinates, near
from landmap.scene.raster_source import RasterSource
from landmap.tiling import Window
from landmap_models.arrays import Bools, Ints

THIN = 512
"""Most rows and columns of the thinned mask by which shares of a scene are estimated."""
STRIP = 1024
"""Number of rows of a mask that are read at once."""
SLACK = 1e-6
"""Distance in pixels within which a pixel's middle counts as lying on a border, and so in the next pixel."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A band of a mask."""

    source: RasterSource
    """Reads it, on the scene's grid, or on its own grid if the axes are parallel to the scene's."""
    geobox: GeoBox
    """Where the scene lies."""

    def read(self, window: Window) -> tuple[npt.NDArray[Any], Bools]:
        """Read a window of the scene: values and validity, both `(height, width)`.

        Raises:
            ReadError: The file can't be read there.
        """
        if self.source.geobox == self.geobox:
            values, valid = self.source.read(window)
            return values[..., 0], valid
        rows, cols = (np.arange(start, start + length) for start, length in _spans(window))
        return _at(self.source, *_rows_and_cols(self.source.geobox, self.geobox, rows, cols))

    def read_thinned(self, thin: Thin) -> tuple[npt.NDArray[Any], Bools]:
        """Read every n-th pixel of the whole scene: values and validity, both `thin.shape`.

        The mask is read at full resolution: overviews, and the coarser levels of JPEG 2000 above all, hold averages of
        class numbers, which are none.

        Raises:
            ReadError: The file can't be read.
        """
        base, step = self.source.original or self.source, thin.step
        rows, cols = np.arange(0, self.geobox.height, step), np.arange(0, self.geobox.width, step)
        if are_parallel(base.geobox, self.geobox):
            return _strips(base, *_rows_and_cols(base.geobox, self.geobox, rows, cols))
        if base.geobox.crs is None or (self.source.warp is not None and self.source.warp.source is not None):
            return _strips(self.source, rows, cols)
        return _scattered(base, *_pixels_of(base.geobox, self.geobox, rows, cols))


@dataclass(frozen=True, slots=True)
class Thin:
    """Every n-th pixel of a whole scene."""

    window: Window
    """The whole scene."""
    step: int
    """Number n of rows, and of columns, for which each pixel stands."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of these pixels."""
        return math.ceil(self.window.height / self.step), math.ceil(self.window.width / self.step)


def thinned(geobox: GeoBox) -> Thin:
    """The thinning of a scene to at most `THIN` rows and columns."""
    return Thin(Window(0, 0, geobox.height, geobox.width), math.ceil(max(geobox.height, geobox.width) / THIN))


def read_layers(layers: Sequence[Layer], window: Window) -> tuple[npt.NDArray[Any], Bools]:
    """Read a window of all bands of a mask: values `(height, width, bands)` and where all bands are valid."""
    values, valid = zip(*(layer.read(window) for layer in layers), strict=True)
    return np.stack(values, axis=-1), np.logical_and.reduce(valid)


def thinned_layers(layers: Sequence[Layer]) -> tuple[npt.NDArray[Any], Bools, int]:
    """Read every n-th pixel of all bands of a mask: values, where all bands are valid, and n."""
    thin = thinned(layers[0].geobox)
    values, valid = zip(*(layer.read_thinned(thin) for layer in layers), strict=True)
    return np.stack(values, axis=-1), np.logical_and.reduce(valid), thin.step


def are_parallel(one: GeoBox, other: GeoBox) -> bool:
    """Whether two rasters have one CRS, and rows and columns along its axes."""
    same = one.crs == other.crs or (
        one.crs is not None and other.crs is not None and CRS.from_wkt(one.crs) == CRS.from_wkt(other.crs)
    )
    return same and not any((one.transform.b, one.transform.d, other.transform.b, other.transform.d))


def _spans(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row_off, window.height), (window.col_off, window.width)


def _rows_and_cols(base: GeoBox, geobox: GeoBox, rows: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Rows and columns of a raster at the middles of the rows and columns of another one with parallel axes."""
    here, there = geobox.transform, base.transform
    down = (here.f + here.e * (rows + 0.5) - there.f) / there.e
    across = (near(here.c + here.a * (cols + 0.5), _middle(base), base.crs) - there.c) / there.a
    return np.floor(down + SLACK).astype(np.int64), np.floor(across + SLACK).astype(np.int64)


def _middle(base: GeoBox) -> float:
    west, _, east, _ = base.bounds
    return (west + east) / 2


def _at(source: RasterSource, rows: Ints, cols: Ints) -> tuple[npt.NDArray[Any], Bools]:
    """Values and validity at rows and columns of a raster, `(rows, cols)`; not valid beyond its edge."""
    shape = len(rows), len(cols)
    inside = [_within(rows, source.geobox.height), _within(cols, source.geobox.width)]
    if not inside[0].any() or not inside[1].any():
        return np.zeros(shape, source.dtype), np.zeros(shape, np.bool_)
    top, left = rows[inside[0]].min(), cols[inside[1]].min()
    height, width = rows[inside[0]].max() + 1 - top, cols[inside[1]].max() + 1 - left
    values, valid = source.read(Window(int(top), int(left), int(height), int(width)))
    place = np.ix_((rows - top).clip(0, height - 1), (cols - left).clip(0, width - 1))
    return values[..., 0][place], valid[place] & np.outer(*inside)


def _within(places: Ints, length: int) -> Bools:
    return np.asarray((places >= 0) & (places < length), np.bool_)


def _strips(source: RasterSource, rows: Ints, cols: Ints) -> tuple[npt.NDArray[Any], Bools]:
    """As `_at`, reading a few rows of the raster at a time."""
    strips = rows // STRIP
    parts = [_at(source, rows[strips == strip], cols) for strip in dict.fromkeys(strips.tolist())]
    values, valid = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(valid)


def _pixels_of(base: GeoBox, geobox: GeoBox, rows: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Row and column in a raster, both `(rows, cols)`, at the middle of each pixel of a raster in another CRS."""
    across, down = np.meshgrid(cols + 0.5, rows + 0.5)
    x, y = geobox.transform @ (across.ravel(), down.ravel())
    col, row = ~base.transform @ coordinates(x, y, geobox.crs or "", base)
    found = [np.where(np.isfinite(place), place, -1) for place in (row, col)]
    return tuple(np.floor(place + SLACK).astype(np.int64).reshape(across.shape) for place in found)  # type: ignore[return-value]


def _scattered(base: RasterSource, rows: Ints, cols: Ints) -> tuple[npt.NDArray[Any], Bools]:
    """Values and validity at any pixels of a raster, reading a few rows at a time; not valid beyond its edge."""
    values, valid = np.zeros(rows.shape, base.dtype), np.zeros(rows.shape, np.bool_)
    inside = _within(rows, base.geobox.height) & _within(cols, base.geobox.width)
    for strip in np.unique(rows[inside] // STRIP).tolist():
        here = inside & (rows // STRIP == strip)
        top, left = int(rows[here].min()), int(cols[here].min())
        window = Window(top, left, int(rows[here].max()) + 1 - top, int(cols[here].max()) + 1 - left)
        found, known = base.read(window)
        values[here], valid[here] = (
            found[rows[here] - top, cols[here] - left, 0],
            known[rows[here] - top, cols[here] - left],
        )
    return values, valid
