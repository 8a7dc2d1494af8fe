"""Maps that are read again: rasters of class ids, strip by strip, on their own grid or warped onto another."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from landmap.errors import GeoreferenceError, SceneError
from landmap.geo.areas import PixelAreas, pixel_areas
from landmap.geo.geobox import GeoBox, geobox_of
from landmap.geo.longitudes import unbroken
from landmap.io.reading import first_cause, opened, read_error
from landmap.left_out import LEFT_OUT_TAG
from landmap.maps.legend import class_ids, legend_or_refuse, own_legend
from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, STRIDE_TAG, class_names
from landmap.tiling import Window
from landmap_models.arrays import Bytes
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset
from landmap_models.legend import NODATA, UNKNOWN_ID, LandClass

if TYPE_CHECKING:
    import xarray

STRIP = 512
"""Rows that are read at once; the height of the largest blocks that landmap writes."""


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
    def geobox(self) -> GeoBox:
        """Where its pixels lie."""
        return GeoBox(self.height, self.width, self.transform, self.crs)

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
        found = pixel_areas(self.geobox)
        if found is None:
            raise GeoreferenceError(
                f"{self.path}: expected a map with a place on the ground, as areas and places are asked for; it has no "
                "CRS or geotransform. Classify a scene that has"
            )
        return found

    def strips(self, onto: GeoBox | None = None) -> Iterator[tuple[int, Bytes]]:
        """Class ids of all columns and a few rows at a time, from the top.

        Args:
            onto: Grid on which they are wanted; taken from the nearest pixel. None: the map's own.

        Returns:
            First row and ids `(rows, columns)`; 255 where there is no data.

        Raises:
            SceneError: The file can't be read, or holds something else.
        """
        grid = onto or self.geobox
        for row in range(0, grid.height, STRIP):
            yield row, self._read(RasterWindow(0, row, grid.width, min(STRIP, grid.height - row)), onto)

    def _read(self, place: RasterWindow, onto: GeoBox | None) -> Bytes:
        # Opened for each strip: rasterio's environments end in the order of a stack, and two maps are read in turn.
        with opened(self.path) as file, _on_grid(file, onto) as warped:
            try:
                values, seen = warped.read(1, window=place), warped.read_masks(1, window=place) > 0
            except RasterioError as error:
                raise read_error(self.path, error, f" ({place})") from error
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


def grid_difference(one: GeoBox, other: GeoBox) -> str:
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


def _numbers(grid: GeoBox) -> str:
    return ", ".join(f"{number:.10g}" for number in grid.transform[:6])


@contextmanager
def _on_grid(file: Any, onto: GeoBox | None) -> Iterator[Any]:
    """The open file, or a view of it on another grid, nodata beyond its border."""
    if onto is None:
        yield file
        return
    # Without nodata, what lies beyond the border would be 0, a class like any other.
    nodata = NODATA if file.nodata is None else file.nodata
    own = geobox_of(file)
    moved = unbroken(own)
    source = {} if moved is own else {"src_crs": CRS.from_wkt(moved.crs), "src_transform": moved.transform}
    grid = unbroken(onto)
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
    def geobox(self) -> GeoBox:
        """Where its pixels lie."""
        return GeoBox(self.height, self.width, self.transform, self.crs)

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


def open_cover(path: str | os.PathLike[str]) -> xarray.DataArray:
    """Open a cover as `xarray.DataArray` `(y, x)`, uint8, lazily, after rioxarray's conventions.

    The CRS and transform are in `.rio`; nodata (255) in `.rio.nodata`. `attrs` has `class_names` and CF's
    `flag_values` (their ids) and `flag_meanings`.

    Raises:
        SceneError: It can't be opened, or is no cover that landmap wrote.
    """
    import rioxarray

    try:
        data = rioxarray.open_rasterio(os.fspath(path), masked=False)
    except (RasterioError, ValueError) as error:
        raise SceneError(f"{path}: can't be read as a raster: {error}") from error
    names = class_names(data.attrs, path)
    data.attrs["class_names"] = tuple(names.values())
    data.attrs["flag_values"] = tuple(int(i) for i in names)
    data.attrs["flag_meanings"] = " ".join(name.replace(" ", "_") for name in names.values())
    data.name = "cover"
    return cast("xarray.DataArray", data.squeeze("band", drop=True))
