"""Rasters on a scene's grid, written chunk by chunk into cloud-optimised GeoTIFFs, all or nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.features import sieve as gdal_sieve
from rasterio.windows import Window as RasterWindow

from landmap.errors import OutputError
from landmap.geo.geobox import GeoBox
from landmap.io.publish import Staged, check_ending, make_folder
from landmap.io.qgis import class_style
from landmap.io.reading import first_cause
from landmap.tiling import Window
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import NODATA, LandClass, Legend

BLOCK_SIZES = (512, 256, 384)
"""Height and width of the blocks inside the written files in pixels, most wanted first."""
FULL = 2**20
"""Free bytes of a disk below which a failed write is due to a full disk."""


@dataclass(frozen=True, slots=True)
class RasterFormat:
    """A format in which GDAL stores a finished raster."""

    name: str
    """Name of the format in messages."""
    endings: tuple[str, ...]
    """Endings of its files, in small letters, the usual one first."""
    media_type: str
    """Media type of its files in a STAC Item."""
    driver: str
    """Name of GDAL's driver, which must be able to copy a GeoTIFF."""
    options: Callable[[int, str], dict[str, Any]]
    """Returns the driver's creation options, given the block size in pixels and GDAL's resampling for overviews."""


def cog_options(block: int, overviews: str) -> dict[str, Any]:
    """Return the profile of a cloud-optimised GeoTIFF: creation options of GDAL's driver COG.

    Args:
        block: Height and width of a block in pixels.
        overviews: GDAL's resampling for the overviews.
    """
    return {
        "compress": "DEFLATE",
        "level": 6,
        "num_threads": "ALL_CPUS",  # all else is done by now
        "blocksize": block,
        "overview_resampling": overviews,
        "bigtiff": "IF_SAFER",
    }


FORMATS = (
    RasterFormat(
        "GeoTIFF",
        (".tif", ".tiff"),
        "image/tiff; application=geotiff; profile=cloud-optimized",
        "COG",
        cog_options,
    ),
)
"""Formats of output rasters. The ending of an output's name chooses; a name without an ending gets the first format."""
RASTER_ENDINGS = tuple(ending for known in FORMATS for ending in known.endings)
"""Endings of the names of output rasters, in small letters."""
OTHERWISE = {
    ".png": "a picture of the map is drawn by --quicklook",
    ".html": "a page about the map is written by --report",
    ".gpkg": "polygons are written by --vector or landmap vectorize",
    ".geojson": "polygons are written by --vector or landmap vectorize",
    ".shp": "polygons are written by --vector or landmap vectorize, as .gpkg, which Shapefile's readers read, too",
    ".csv": "a table of areas is written by --summary or landmap summarize",
    ".jp2": "convert the GeoTIFF with gdal_translate",
}
"""Advice for users who want another format, by ending."""


def check_raster(path: Path) -> None:
    """Refuse the name of an output raster whose ending is that of another format.

    Args:
        path: The output's name; it may have no ending.

    Raises:
        OutputError: No output raster has this ending.
    """
    check_ending(path, RASTER_ENDINGS, FORMATS[0].name, OTHERWISE)


def raster_format(path: Path) -> RasterFormat:
    """Return the format that the ending of an output's name chooses."""
    return next((known for known in FORMATS if path.suffix.lower() in known.endings), FORMATS[0])


@dataclass(frozen=True, slots=True)
class Layers:
    """What the bands of a raster hold, and how it is stored."""

    descriptions: tuple[str, ...]
    """Names of the bands, in their order."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file."""
    legend: Legend | tuple[LandClass, ...] | None = None
    """Classes with their colours, where the values are class ids; None where they are others."""
    overviews: str = "NEAREST"
    """GDAL's resampling for the overviews."""
    sieve: int | None = None
    """Pixels of the smallest connected region that is kept, see `sieve`; None keeps all."""
    style: bytes | None = None
    """Style for QGIS (QML); None makes one of the legend, if there is a legend."""


class RasterWriter:
    """Writes one uint8 raster with the geobox of a scene or of another raster, nodata 255.

    Windows go into a file in a temporary folder beside the output; `finish` makes the cloud-optimised GeoTIFF, and
    `publish` gives it its name. Leaving the context removes the folder. Any thread may write.
    """

    def __init__(self, path: Path, scene: GeoBox, layers: Layers) -> None:
        """Create the temporary folder and file.

        Raises:
            OutputError: The folder is not there or not writable.
        """
        self.path = path
        self._layers = layers
        self._block = _block_size(scene.width)
        # Dask's threads go on for a while after an interrupt; GDAL crashes when a file is closed during a write.
        self._lock = threading.Lock()
        self._folder = self._attempt(lambda: make_folder(path))
        self._work, self._done = self._folder / "part.tif", self._folder / f"finished{path.suffix}"
        try:
            self._file = self._attempt(lambda: self._create(scene))
        except BaseException:
            self._remove()
            raise

    def _create(self, scene: GeoBox) -> Any:
        file = open_dataset(
            self._work,
            "w",
            driver="GTiff",
            height=scene.height,
            width=scene.width,
            count=len(self._layers.descriptions),
            dtype="uint8",
            crs=CRS.from_wkt(scene.crs) if scene.crs else None,
            transform=scene.transform,
            nodata=NODATA,
            tiled=True,
            blockxsize=self._block,
            blockysize=self._block,
            compress="DEFLATE",
            zlevel=1,
            interleave="band",
            photometric="MINISBLACK",
            bigtiff="IF_SAFER",
        )
        file.descriptions = self._layers.descriptions
        file.update_tags(**self._layers.tags)
        if self._layers.legend:
            file.colorinterp = (ColorInterp.palette,)
            file.write_colormap(1, _colormap(self._layers.legend))
        return file

    def write(self, window: Window, values: npt.NDArray[np.uint8]) -> None:
        """Write a window.

        Args:
            window: The rectangle in pixels of the raster.
            values: Values of one band `(height, width)`, or of all `(bands, height, width)`.

        Raises:
            OutputError: The disk is full, or the like; or the file is closed, as the run has ended.
        """
        place = RasterWindow(window.col_off, window.row_off, window.width, window.height)
        layers = values if values.ndim == 3 else values[None]
        with self._lock:
            if self._file.closed:
                raise OutputError(f"{self.path}: can't be written: the run has ended")
            self._attempt(lambda: self._file.write(layers, window=place))

    def finish(self, tags: Mapping[str, str] | None = None) -> Staged:
        """Make the cloud-optimised GeoTIFF and its sidecars, still under temporary names.

        Args:
            tags: Tags that are known only now, in addition to those of the layers; None adds none.

        Raises:
            OutputError: The disk is full, or the like.
        """
        with self._lock:
            self._attempt(lambda: self._close(tags or {}))
        if self._layers.sieve is not None:
            pixels = self._layers.sieve
            self._attempt(lambda: sieve(self._work, pixels))
        return cast(Staged, self._attempt(self._optimise))

    def _close(self, tags: Mapping[str, str]) -> None:
        if tags:
            self._file.update_tags(**tags)
        self._file.close()

    def _optimise(self) -> Staged:
        made = raster_format(self.path)
        options = made.options(self._block, self._layers.overviews)
        rasterio.shutil.copy(self._work, self._done, driver=made.driver, **options)
        self._work.unlink()
        aux, style = self._done.with_name(self._done.name + ".aux.xml"), self._done.with_suffix(".qml")
        legend, qml = self._layers.legend, self._layers.style
        if legend:
            aux.write_bytes(_attribute_table(legend))
            qml = qml or class_style(legend)
        if qml:
            style.write_bytes(qml)
        return Staged(self.path, self._done, aux if legend else None, style if qml else None)

    def _attempt(self, step: Any) -> Any:
        try:
            return step()
        except (RasterioError, CPLE_BaseError, OSError) as error:  # rasterio lets some of GDAL's own through
            raise OutputError(f"{self.path}: can't be written: {self._reason(error)}") from error

    def _reason(self, error: BaseException) -> str:
        """Return the first cause of an error; on a full disk GDAL's own message is "Write error at scanline 0"."""
        words = first_cause(error)
        with suppress(OSError):
            if shutil.disk_usage(self.path.parent).free < FULL and "No space left" not in words:
                return f"No space left on device ({words})"
        return words

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._lock, suppress(RasterioError, CPLE_BaseError, OSError):  # what is thrown away need not be whole
                self._file.close()
        finally:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _colormap(legend: Iterable[LandClass]) -> dict[int, tuple[int, int, int, int]]:
    return {c.id: (*c.rgb, 255) for c in legend} | {NODATA: (0, 0, 0, 0)}


def _block_size(width: int) -> int:
    """Return the first block size that is not the width of the raster or of one of its overviews.

    GDAL reports a raster that is exactly one block wide as striped, and validators then reject it as not
    cloud-optimised.
    """
    widths = {-(-width // 2**level) for level in range(20)}
    return next(size for size in BLOCK_SIZES if size not in widths)


def _attribute_table(legend: Iterable[LandClass]) -> bytes:
    """Return GDAL's sidecar with category names and a raster attribute table; rasterio writes neither."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    by_id = {c.id: c.name for c in legend}
    for i in range(max(by_id) + 1):  # GDAL counts them from 0
        ElementTree.SubElement(names, "Category").text = by_id.get(i, "")
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # Type 0 is integer, 2 is text; usage 5 is MinMax, 2 the class name, 6 to 8 red, green and blue.
    columns = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    for i, (name, kind, usage) in enumerate(columns):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(i))
        for key, value in (("Name", name), ("Type", kind), ("Usage", usage)):
            ElementTree.SubElement(column, key).text = str(value)
    for index, c in enumerate(legend):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for value in (c.id, c.name, *c.rgb):
            ElementTree.SubElement(row, "F").text = str(value)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def sieve(path: Path, pixels: int) -> None:
    """Merge connected regions of fewer pixels into their largest neighbour, in place.

    Pixels are connected along their sides. Pixels without data stay so and take no region in, so a small region
    without any other neighbour stays, too. The whole raster is read at once, so that borders of chunks leave no trace;
    that takes a byte of memory a pixel, and for a while a file beside the raster.

    Args:
        path: A raster of one band, uint8, nodata 255.
        pixels: Number of pixels of the smallest region that is kept.
    """
    valid = path.with_name(path.name + ".valid")
    try:
        with open_dataset(path, "r+") as file:
            pixels = min(pixels, file.height * file.width - 1)  # GDAL takes no more; a region of all has no neighbour
            if pixels < 2:
                return
            _write_valid(file, valid)
            with open_dataset(valid) as mask:
                # Bands, not arrays: each would be 120 MB of a full scene. rasterio can't write into one, though.
                merged = gdal_sieve(rasterio.band(file, 1), pixels, mask=rasterio.band(mask, 1), connectivity=4)
            for _, window in file.block_windows(1):  # all at once would be copied
                file.write(merged[window.toslices()], 1, window=window)
    finally:
        valid.unlink(missing_ok=True)


def _write_valid(file: Any, path: Path) -> None:
    """Write 1 where a raster has data, and 0 where it has none."""
    with open_dataset(path, "w", **file.profile | {"driver": "GTiff", "nodata": None}) as mask:
        for _, window in file.block_windows(1):
            mask.write((file.read(1, window=window) != NODATA).astype(np.uint8), 1, window=window)
