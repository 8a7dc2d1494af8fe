"""Finished maps are read: rasters of class ids, strip by strip, in their own pixels or warped to another geobox."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
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
from landmap.io.reading import first_cause, open_raster
from landmap.maps.legend import class_ids, legend_or_refuse
from landmap.maps.raster_legend import own_legend
from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, STRIDE_TAG, class_names
from landmap.tiling import Window
from landmap_models.arrays import Bytes
from landmap_models.legend import NODATA, UNKNOWN, UNKNOWN_ID, LandClass

if TYPE_CHECKING:
    import xarray

VALUES = 256
"""Number of values of a byte."""
STRIP_ROWS = 512
"""Rows of a strip, which is read at once: whole blocks of the files that landmap writes."""
TOLERANCE = 0.125
"""Error in pixels with which GDAL approximates where a pixel lies, unless another is asked for: its own default."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A raster of class ids in one band, and what its header says. It holds no open file."""

    path: str
    """Name of the file, or anything else that GDAL opens as one raster."""
    geobox: GeoBox
    """Place of its pixels."""
    legend: tuple[LandClass, ...]
    """Classes by ascending id, "Unknown" among them where the map may have it; empty where no legend is known."""
    cell: int = 1
    """Pixels along a cell, the smallest square that has probabilities of its own."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file."""
    own: tuple[LandClass, ...] = ()
    """The file's own classes where it is read in others, see `recoded`; empty where `legend` has them."""
    becomes: Mapping[int, int] = field(default_factory=dict)
    """Id in `legend` of each of these classes, by their own id."""

    def recoded(self, classes: tuple[LandClass, ...], becomes: Mapping[int, int]) -> Cover:
        """Return the map as it is read with other classes.

        Args:
            classes: The other classes, by ascending id, without "Unknown".
            becomes: The new id of each of the map's classes, by its own id.
        """
        unknown = tuple(c for c in self.legend if c.id == UNKNOWN_ID)
        return replace(self, legend=(*classes, *unknown), own=(*self.classes, UNKNOWN), becomes=becomes)

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """Classes by ascending id, without "Unknown"."""
        return tuple(c for c in self.legend if c.id != UNKNOWN_ID)

    @property
    def ids(self) -> list[int]:
        """Ids of `classes`."""
        return [c.id for c in self.classes]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of `classes`."""
        return tuple(c.name for c in self.classes)

    @property
    def names_by_id(self) -> npt.NDArray[np.object_]:
        """Class names, `(256,)`; the name is empty where the legend has no such id."""
        found = np.full(256, "", object)
        for c in self.legend:
            found[c.id] = c.name
        return found

    def areas(self) -> PixelAreas:
        """Return the areas of its pixels on the ground.

        Raises:
            GeoreferenceError: The map has no place on the ground.
        """
        found = pixel_areas(self.geobox)
        if found is None:
            raise GeoreferenceError(
                f"{self.path}: expected a map with a place on the ground, as areas and places are asked for; it has no "
                "CRS or geotransform. Classify a scene that has"
            )
        return found

    def windows(self, multiple: int = 1) -> Iterator[Window]:
        """Cut the map into strips: windows over all its columns, from the top; the last one may be lower.

        Args:
            multiple: Number of rows of which the height of a strip is a multiple, such as those of a cell.
        """
        rows = max(1, STRIP_ROWS // multiple) * multiple
        for row in range(0, self.geobox.height, rows):
            yield Window(row, 0, min(rows, self.geobox.height - row), self.geobox.width)

    def strips(self, multiple: int = 1) -> Iterator[tuple[Window, Bytes]]:
        """Read the map strip by strip.

        The file is opened for each strip, so that several maps can be read in turn: rasterio's environments end in the
        order of a stack.

        Args:
            multiple: Number of rows of which the height of a strip is a multiple.

        Yields:
            The strip's window, and class ids `(height, width)`; 255 where the map has no data.

        Raises:
            SceneError: The file can't be read, or holds something else than class ids.
        """
        for window in self.windows(multiple):
            yield window, self.read(window)

    def read(self, window: Window, onto: GeoBox | None = None, *, tolerance: float = TOLERANCE) -> Bytes:
        """Read class ids `(height, width)` of a window; 255 where the map has no data.

        Args:
            window: The rectangle in pixels of the map, or of `onto`.
            onto: Geobox to whose pixels the map's nearest ones are brought; None reads the map's own pixels.
            tolerance: Error in pixels with which GDAL may approximate where a pixel of another geobox lies.

        Raises:
            SceneError: The file can't be read, or holds something else than class ids.
            GeoreferenceError: The map can't be brought to the CRS of `onto`.
        """
        with open_raster(self.path, where=f" ({window})") as file, _on_geobox(file, onto, tolerance) as warped:
            found = read_classes(warped, self.path, window)
        if not self.own:
            return found
        if strange := set(np.unique(found).tolist()) - {*(c.id for c in self.own), NODATA}:
            known = ", ".join(f"{c.id} {c.name}" for c in self.own)
            raise SceneError(
                f"{self.path}: expected only ids of the legend ({known}) or nodata. Found {min(strange)} ({window}): "
                "give the legend that it has, or say which is nodata (gdal_edit -a_nodata)"
            )
        table = np.arange(VALUES, dtype=np.uint8)
        table[list(self.becomes)] = list(self.becomes.values())
        return table[found]


def read_cover(path: str | os.PathLike[str], legend: str | os.PathLike[str] | None = None) -> Cover:
    """Read the header of a cover, or of any raster of class ids.

    Args:
        path: A raster of one band.
        legend: A file that says what the ids mean, see `landmap.maps.legend.read_legend`; None reads the raster itself.

    Raises:
        SceneError: The raster can't be opened, or nothing says what its ids mean.
    """
    with open_raster(path) as file:
        return _cover(path, file, legend_or_refuse(file, legend))


def read_reference_map(path: str | os.PathLike[str]) -> Cover:
    """Read the header of any raster of one band of class ids; its legend is empty unless landmap wrote it.

    Names that another program gave may be spelt otherwise than the map's with which it is compared: its ids are then
    taken to be the map's.

    Raises:
        SceneError: The raster can't be opened, or has several bands.
    """
    with open_raster(path) as file:
        if file.count != 1:
            raise SceneError(f"{path}: expected one band of class ids. Found {file.count} bands")
        return _cover(path, file, own_legend(file) if LEGEND_TAG in file.tags() else ())


def _cover(path: str | os.PathLike[str], file: Any, legend: tuple[LandClass, ...]) -> Cover:
    return Cover(os.fspath(path), geobox_of(file), legend, _cell(file.tags(), path), file.tags())


def _cell(tags: Mapping[str, str], path: str | os.PathLike[str]) -> int:
    text = tags.get(CELL_TAG, tags.get(STRIDE_TAG, "1"))
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise SceneError(
            f"{path}: expected pixels along a cell as its tag {CELL_TAG} or {STRIDE_TAG}. Received: {text!r}"
        )
    return int(text)


@dataclass(frozen=True, slots=True)
class SideRaster:
    """Another raster of the run that wrote a cover, with the same geobox: confidence or probabilities."""

    path: str
    """Name of the file."""
    bands: int
    """Number of bands."""

    def read(self, window: Window) -> Bytes:
        """Read percentages `(bands, height, width)` of a window.

        Raises:
            SceneError: The file can't be read.
        """
        with open_raster(self.path) as file:
            return np.asarray(file.read(window=raster_window(window)), np.uint8)


def side_raster(path: str | os.PathLike[str] | None, cover: Cover, layer: str) -> SideRaster | None:
    """Read the header of another raster of the run that wrote a cover.

    Args:
        path: The raster; None where there is none, for which None is returned.
        cover: The cover, whose geobox it must have.
        layer: What it must hold: "confidence" or "probabilities".

    Raises:
        SceneError: The raster can't be opened, holds something else, or lies elsewhere.
    """
    if path is None:
        return None
    with open_raster(path) as file:
        if file.tags().get(LAYER_TAG) != layer:
            raise SceneError(f"{path}: expected a raster of {layer} that landmap wrote (its tag {LAYER_TAG} says so)")
        if file.shape != cover.geobox.shape or not file.transform.almost_equals(cover.geobox.transform):
            raise SceneError(
                f"{path}: expected a raster on the grid of {cover.path}. It lies elsewhere, or has another shape"
            )
        return SideRaster(os.fspath(path), file.count)


def read_classes(
    file: Any, path: str | os.PathLike[str], window: Window, shape: tuple[int, int] | None = None
) -> Bytes:
    """Read class ids `(height, width)` of a window; 255 where there is no data, whatever the file's nodata is.

    Args:
        file: Open rasterio dataset of whole numbers, of any type.
        path: Its name, for the error.
        window: The rectangle in pixels of the raster.
        shape: Rows and columns to which it is thinned, by the nearest pixels; None takes all.

    Raises:
        SceneError: A value is no class id.
    """
    how: dict[str, Any] = {"window": raster_window(window)}
    if shape is not None:
        how |= {"out_shape": shape, "resampling": Resampling.nearest}
    values = file.read(1, **how)
    if file.nodata == NODATA and values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    return class_ids(os.fspath(path), values, file.read_masks(1, **how) > 0)


def raster_window(window: Window) -> RasterWindow:
    """Return a window as rasterio's own class."""
    return RasterWindow(window.col_off, window.row_off, window.width, window.height)


def open_cover(
    path: str | os.PathLike[str], *, chunks: int | Mapping[str, int] | Literal["auto"] | None = None
) -> xarray.DataArray:
    """Open a cover as `xarray.DataArray` `(y, x)`, uint8, lazily, by rioxarray's conventions.

    CRS and transform are in `.rio`, nodata (255) in `.rio.nodata`. `attrs` has `class_names`, and CF's `flag_values`
    (their ids) and `flag_meanings`, and `flag_colors`.

    Args:
        path: A cover that landmap wrote.
        chunks: Pixels along the sides of the chunks of a Dask array, as rioxarray takes them; None: pixels are read
            when they are used, without Dask.

    Raises:
        SceneError: The file can't be opened, or is no cover that landmap wrote.
    """
    import rioxarray

    try:
        data = rioxarray.open_rasterio(os.fspath(path), masked=False, chunks=chunks)
    except (RasterioError, ValueError) as error:
        raise SceneError(f"{path}: can't be read as a raster: {error}") from error
    class_names(data.attrs, path)
    data.attrs |= flags(read_cover(path).legend)
    data.name = "cover"
    return cast("xarray.DataArray", data.squeeze("band", drop=True))


def flags(legend: Iterable[LandClass]) -> dict[str, Any]:
    """Attributes of an array of class ids: CF's `flag_values` and `flag_meanings`, names as they are, and colours."""
    classes = tuple(legend)
    return {
        "class_names": tuple(c.name for c in classes),
        "flag_values": tuple(c.id for c in classes),
        "flag_meanings": " ".join(c.name.replace(" ", "_") for c in classes),
        "flag_colors": " ".join(c.color for c in classes),
    }


def geobox_difference(one: GeoBox, other: GeoBox) -> str:
    """Say how two geoboxes differ; "" where they are the same, but for a thousandth of a pixel."""
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
def _on_geobox(file: Any, onto: GeoBox | None, tolerance: float) -> Iterator[Any]:
    """Give the open file, or a view of it on another geobox, nodata beyond its border."""
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
            tolerance=tolerance,
            **source,
        ) as warped:
            yield warped
    except (CRSError, CPLE_BaseError) as error:  # rasterio lets some of GDAL's own through
        raise GeoreferenceError(f"{file.name}: can't be warped: {first_cause(error)}") from error
