"""Rasters on a scene's grid, written chunk by chunk into cloud-optimised GeoTIFFs, all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast
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

from landmap.errors import OutputError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.io.publish import Staged, make_folder
from landmap.io.qgis import class_style
from landmap.io.reading import first_cause
from landmap.tiling import Window
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import NODATA, LandClass, Legend

if TYPE_CHECKING:
    import xarray


def sieve(path: Path, pixels: int) -> None:
    """Merge connected regions of fewer pixels into their largest neighbour, in place.

    Pixels are connected along their sides. Pixels without data stay so and take no region in, so a small region
    without any other neighbour stays, too. The whole raster is looked at at once, so no border between chunks shows.

    Args:
        path: A raster of one band, uint8, nodata 255. Needs a byte of memory a pixel, and for a while a file beside it.
        pixels: Pixels of the smallest region that is kept.
    """
    seen = path.with_name(path.name + ".seen")
    try:
        with open_dataset(path, "r+") as file:
            pixels = min(pixels, file.height * file.width - 1)  # GDAL takes no more; a region of all has no neighbour
            if pixels < 2:
                return
            _write_seen(file, seen)
            with open_dataset(seen) as mask:
                # Bands, not arrays: each would be 120 MB of a full scene. rasterio can't write into one, though.
                merged = gdal_sieve(rasterio.band(file, 1), pixels, mask=rasterio.band(mask, 1), connectivity=4)
            for _, window in file.block_windows(1):  # all at once would be copied
                file.write(merged[window.toslices()], 1, window=window)
    finally:
        seen.unlink(missing_ok=True)


def _write_seen(file: Any, path: Path) -> None:
    """Write 1 where a raster has data, and 0 where it has none."""
    with open_dataset(path, "w", **file.profile | {"driver": "GTiff", "nodata": None}) as mask:
        for _, window in file.block_windows(1):
            mask.write((file.read(1, window=window) != NODATA).astype(np.uint8), 1, window=window)


BLOCK_SIZES = (512, 256, 384)
"""Height and width of the blocks inside the written files, most wanted first."""
FULL = 2**20
"""A disk with fewer free bytes is what made writing fail."""
Content = TypeVar("Content", dict[str, Any], list[Any])

LEGEND_TAG = "LANDMAP_LEGEND"
LAYER_TAG = "LANDMAP_LAYER"
STRIDE_TAG = "LANDMAP_STRIDE"
CELL_TAG = "LANDMAP_CELL"


@dataclass(frozen=True, slots=True)
class Layers:
    """What a raster holds."""

    descriptions: tuple[str, ...]
    """One name a band."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file."""
    legend: Legend | tuple[LandClass, ...] | None = None
    """Palette and class names, where the values are class ids."""
    overviews: str = "NEAREST"
    """GDAL's resampling for overviews."""
    sieve: int | None = None
    """Connected regions of fewer pixels are merged into a neighbour, once all is written."""
    style: bytes | None = None
    """QML for QGIS; None: by the legend, if there is one."""


class RasterWriter:
    """Writes one uint8 raster on the grid of a scene or of another raster, nodata 255.

    Rectangles go into a file in a temporary folder beside the target; `finish` makes the cloud-optimised GeoTIFF, and
    `outputs.publish` moves it to its name. Leaving the context removes the folder. Any thread may write.
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
        self._work, self._done = self._folder / "part.tif", self._folder / "cog.tif"
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
        """Write a rectangle.

        Args:
            window: Where.
            values: `(height, width)`, or `(bands, height, width)`.

        Raises:
            OutputError: The disk is full, or the like; or the file is closed, because the run has ended.
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
            tags: What is known only now, in addition to those of the layers.

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
        rasterio.shutil.copy(
            self._work,
            self._done,
            driver="COG",
            compress="DEFLATE",
            level=6,
            num_threads="ALL_CPUS",  # all else is done by now
            blocksize=self._block,
            overview_resampling=self._layers.overviews,
            bigtiff="IF_SAFER",
        )
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
        """What went wrong at first. Of a full disk GDAL says "Write error at scanline 0"."""
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


def class_names(tags: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, str]:
    """Class names by id, out of the tags of a cover.

    Args:
        tags: Of the file.
        path: Its name, for the error.

    Raises:
        SceneError: They are not those of a cover that landmap wrote.
    """
    if tags.get(LAYER_TAG) != "classes" or LEGEND_TAG not in tags:
        raise SceneError(f"{path}: expected a cover written by landmap (its tag {LAYER_TAG} says classes)")
    return {i: str(name) for i, name in tag_content(tags, LEGEND_TAG, dict[str, Any](), path).items() if i.isdecimal()}


def tag_content(tags: Mapping[str, str], name: str, otherwise: Content, path: str | os.PathLike[str]) -> Content:
    """What a tag of a cover holds as JSON.

    Args:
        tags: Of the file.
        name: Of the tag.
        otherwise: What is returned where there is no such tag; it must be of this kind, a dict or a list.
        path: The file's name, for the error.

    Raises:
        SceneError: The tag is damaged, or another program's.
    """
    if name not in tags:
        return otherwise
    try:
        found = json.loads(tags[name])
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{path}: expected JSON as its tag {name}: {error}. Classify the scene again") from error
    if not isinstance(found, type(otherwise)):
        kind = "an object" if isinstance(otherwise, dict) else "a list"
        raise SceneError(f"{path}: expected {kind} as its tag {name}. Received: {tags[name][:40]}")
    return found


def legend_tag(legend: Iterable[LandClass]) -> str:
    """Class names by id as the JSON text of the tag LANDMAP_LEGEND."""
    return json.dumps({str(c.id): c.name for c in legend})


def _colormap(legend: Iterable[LandClass]) -> dict[int, tuple[int, int, int, int]]:
    return {c.id: (*c.rgb, 255) for c in legend} | {NODATA: (0, 0, 0, 0)}


def _block_size(width: int) -> int:
    """The first block size that is not just the width of the raster or of one of its overviews.

    GDAL reports a raster exactly one block wide as striped, and validators then reject it as not cloud-optimised.
    """
    widths = {-(-width // 2**level) for level in range(20)}
    return next(size for size in BLOCK_SIZES if size not in widths)


def _attribute_table(legend: Iterable[LandClass]) -> bytes:
    """GDAL's sidecar with category names and a raster attribute table; rasterio has no call for either."""
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
