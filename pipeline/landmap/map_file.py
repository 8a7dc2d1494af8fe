"""Maps that are read again: rasters of class ids, strip by strip, on their own grid or warped onto another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from landmap.areas import PixelAreas, pixel_areas
from landmap.attempts import first_cause, opened, unreadable
from landmap.errors import GeoreferenceError, SceneError
from landmap.ground import Grounded, RasterGrid, raster_grid
from landmap.longitudes import unbroken
from landmap.map_legend import class_ids, legend_or_refuse, own_legend
from landmap.mosaic import NODATA
from landmap.raster import LEGEND_TAG
from landmap_models.legend import UNKNOWN_ID, LandClass

STRIP = 512
"""Rows that are read at once; the height of the largest blocks that landmap writes."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MapFile:
    """A raster of class ids in one band. Holds no open file."""

    path: str
    """Anything that GDAL opens as one raster."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    transform: Affine
    """From (column, row) to CRS coordinates."""
    crs: str | None
    """Coordinate reference system as WKT; None where the file has none."""
    classes: tuple[LandClass, ...]
    """What the ids mean, without "Unknown"; empty where the file does not say."""

    @property
    def ids(self) -> list[int]:
        """Class ids, ascending."""
        return [c.id for c in self.classes]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, by ascending id."""
        return tuple(c.name for c in self.classes)

    def areas(self) -> PixelAreas:
        """Areas of its pixels.

        Raises:
            GeoreferenceError: It has no place on the ground.
        """
        found = pixel_areas(self)
        if found is None:
            raise GeoreferenceError(
                f"{self.path}: expected a map with a place on the ground, as areas and places are asked for; it has no "
                "CRS or geotransform. Classify a scene that has"
            )
        return found

    def strips(self, onto: Grounded | None = None) -> Iterator[tuple[int, Bytes]]:
        """Class ids of all columns and a few rows at a time, from the top.

        Args:
            onto: Grid on which they are wanted; taken from the nearest pixel. None: the map's own.

        Returns:
            First row and ids `(rows, columns)`; 255 where there is no data.

        Raises:
            SceneError: The file can't be read, or holds something else.
        """
        grid = onto or self
        for row in range(0, grid.height, STRIP):
            yield row, self._read(RasterWindow(0, row, grid.width, min(STRIP, grid.height - row)), onto)

    def _read(self, place: RasterWindow, onto: Grounded | None) -> Bytes:
        # Opened for each strip: rasterio's environments end in the order of a stack, and two maps are read in turn.
        with opened(self.path) as file, _on_grid(file, onto) as warped:
            try:
                values, seen = warped.read(1, window=place), warped.read_masks(1, window=place) > 0
            except RasterioError as error:
                raise unreadable(self.path, error, f" ({place})") from error
        return class_ids(self.path, values, seen)


def open_map(path: str | os.PathLike[str]) -> MapFile:
    """Read the header of any raster of one band.

    Raises:
        SceneError: It can't be opened, or has more bands.
    """
    path = os.fspath(path)
    with opened(path) as file:
        if file.count != 1:
            raise SceneError(f"{path}: expected one band of class ids. Found {file.count} bands")
        # Names that other programs gave a reference may be written otherwise: its ids are then taken to be the map's.
        return _map(path, file, own_legend(file) if LEGEND_TAG in file.tags() else ())


def open_cover_map(path: str | os.PathLike[str], legend: str | os.PathLike[str] | None = None) -> MapFile:
    """Read the header of a cover, or of any raster of class ids.

    Args:
        path: A raster of one band.
        legend: A file that says what the ids mean, see `map_legend.read_legend`; None: the raster itself.

    Raises:
        SceneError: It can't be opened, or nothing says what its ids mean.
    """
    path = os.fspath(path)
    with opened(path) as file:
        return _map(path, file, legend_or_refuse(file, legend))


def _map(path: str, file: Any, legend: Iterable[LandClass]) -> MapFile:
    crs = file.crs.to_wkt() if file.crs else None
    classes = tuple(c for c in legend if c.id != UNKNOWN_ID)
    return MapFile(path, file.height, file.width, file.transform, crs, classes)


def grid_difference(one: Grounded, other: Grounded) -> str:
    """How two grids differ, in words; empty where they are the same."""
    differences = []
    crs = [CRS.from_wkt(grid.crs) if grid.crs else None for grid in (one, other)]
    if crs[0] != crs[1]:
        differences.append(f"CRS {_crs_name(crs[0])} and {_crs_name(crs[1])}")
    if (one.height, one.width) != (other.height, other.width):
        differences.append(f"{one.height}x{one.width} and {other.height}x{other.width} pixels")
    # A thousandth of a pixel is rounding, not another grid; in degrees a pixel is small.
    scale = max(abs(one.transform.a), abs(one.transform.b))
    if any(abs(a - b) > 1e-3 * scale for a, b in zip(one.transform[:6], other.transform[:6], strict=True)):
        differences.append(f"geotransform {_numbers(one)} and {_numbers(other)}")
    return "; ".join(differences)


def _crs_name(crs: CRS | None) -> str:
    if crs is None:
        return "none"
    return str(crs.to_string()) if len(crs.to_string()) < 20 else str(crs.to_wkt()).split('"')[1]


def _numbers(grid: Grounded) -> str:
    return ", ".join(f"{number:.10g}" for number in grid.transform[:6])


@contextmanager
def _on_grid(file: Any, onto: Grounded | None) -> Iterator[Any]:
    """The open file, or a view of it on another grid, nodata beyond its border."""
    if onto is None:
        yield file
        return
    # Without nodata, what lies beyond the border would be 0, a class like any other.
    nodata = NODATA if file.nodata is None else file.nodata
    own = raster_grid(file)
    moved = unbroken(own)
    source = {} if moved is own else {"src_crs": CRS.from_wkt(moved.crs), "src_transform": moved.transform}
    grid = unbroken(RasterGrid(onto.height, onto.width, onto.transform, onto.crs))
    try:
        with WarpedVRT(
            file,
            crs=CRS.from_wkt(grid.crs) if grid.crs else None,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.nearest,
            nodata=nodata,
            **source,
        ) as warped:
            yield warped
    except (CRSError, CPLE_BaseError) as error:  # rasterio lets some of GDAL's own through
        raise GeoreferenceError(f"{file.name}: can't be warped: {first_cause(error)}") from error
