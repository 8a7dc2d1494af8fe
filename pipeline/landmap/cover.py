"""What the header of a cover says, and the rasters on its grid, read in strips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterWindow

from landmap.attempts import first_cause
from landmap.errors import SceneError
from landmap.grid import Window
from landmap.left_out import LEFT_OUT_TAG
from landmap.map_legend import class_ids, legend_or_refuse
from landmap.mosaic import NODATA
from landmap.raster import CELL_TAG, LAYER_TAG, STRIDE_TAG
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset
from landmap_models.legend import LandClass

STRIP_ROWS = 512
"""Rows that are read at once: whole blocks of the files that landmap writes."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A land-cover raster and what is written in its header; holds no file open."""

    path: str
    """Where it lies."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    transform: Affine
    """From (column, row) to the coordinates of the CRS."""
    crs: str | None
    """As WKT."""
    legend: tuple[LandClass, ...]
    """Names and colours of the class ids."""
    cell: int
    """Pixels along a cell, the smallest square with probabilities of its own."""
    left_out_tag: str | None = None
    """What its tag says of the pixels without a class; see `left_out.parse_left_out`."""

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """Class names by id, `(256,)`; empty where the legend has none."""
        found = np.full(256, "", object)
        for c in self.legend:
            found[c.id] = c.name
        return found

    def strips(self, multiple: int = 1) -> Iterator[Window]:
        """Rectangles as wide as the cover, from the top; the last may be lower.

        Args:
            multiple: Their height is one of this number.
        """
        rows = max(1, STRIP_ROWS // multiple) * multiple
        for row in range(0, self.height, rows):
            yield Window(row, 0, min(rows, self.height - row), self.width)


def read_cover(path: str | os.PathLike[str], legend: str | os.PathLike[str] | None = None) -> Cover:
    """Read the header of a cover, or of any raster of class ids.

    Args:
        path: A raster of one band.
        legend: A file that says what the ids mean, see `map_legend.read_legend`; None: the raster itself.

    Raises:
        SceneError: It can't be opened, or nothing says what its ids mean.
    """
    with open_raster(path) as file:
        tags = file.tags()
        return Cover(
            path=os.fspath(path),
            height=file.height,
            width=file.width,
            transform=file.transform,
            crs=file.crs.to_wkt() if file.crs else None,
            legend=legend_or_refuse(file, legend),
            cell=_cell(tags, path),
            left_out_tag=tags.get(LEFT_OUT_TAG),
        )


def _cell(tags: Mapping[str, str], path: str | os.PathLike[str]) -> int:
    text = tags.get(CELL_TAG, tags.get(STRIDE_TAG, "1"))
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise SceneError(
            f"{path}: expected pixels along a cell as its tag {CELL_TAG} or {STRIDE_TAG}. Received: {text!r}"
        )
    return int(text)


@contextmanager
def open_raster(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a raster for reading.

    Raises:
        SceneError: It can't be opened or read.
    """
    try:
        with open_dataset(path) as file:
            yield file
    except READ_ERRORS as error:
        raise SceneError(f"{path}: can't be read: {first_cause(error)}") from error


@contextmanager
def open_companion(path: str | os.PathLike[str] | None, cover: Cover, layer: str) -> Iterator[Any]:
    """Open another raster of the run that wrote a cover, for reading.

    Args:
        path: None opens nothing.
        cover: Whose grid it must have.
        layer: What it must hold: "confidence" or "probabilities".

    Raises:
        SceneError: It can't be opened, holds something else, or lies on another grid.
    """
    if path is None:
        yield None
        return
    with open_raster(path) as file:
        if file.tags().get(LAYER_TAG) != layer:
            raise SceneError(f"{path}: expected a raster of {layer} that landmap wrote (its tag {LAYER_TAG} says so)")
        if file.shape != (cover.height, cover.width) or not file.transform.almost_equals(cover.transform):
            raise SceneError(
                f"{path}: expected a raster on the grid of {cover.path}. It lies elsewhere, or has another shape"
            )
        yield file


def read_classes(file: Any, window: Window, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Class ids of a rectangle of an open cover, `(height, width)`; 255 where it has no data, whatever its nodata is.

    Args:
        file: Of integers, or of whole numbers.
        window: The rectangle that is read, in pixels of the raster.
        shape: Rows and columns that are wanted of it, from the nearest pixels; None: all.

    Raises:
        SceneError: A value is no class id.
    """
    how: dict[str, Any] = {"window": raster_window(window)}
    if shape is not None:
        how |= {"out_shape": shape, "resampling": Resampling.nearest}
    values = file.read(1, **how)
    if file.nodata == NODATA and values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    return class_ids(file.name, values, file.read_masks(1, **how) > 0)


def read(file: Any, window: Window) -> npt.NDArray[np.uint8]:
    """The first band of a rectangle, `(height, width)`."""
    return np.asarray(file.read(1, window=raster_window(window)), np.uint8)


def raster_window(window: Window) -> RasterWindow:
    """The same rectangle as rasterio's own."""
    return RasterWindow(window.col_off, window.row_off, window.width, window.height)
