"""Covers of neighbouring places become one map: where they overlap a rule decides, and no pixel is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from landmap.errors import SceneError, SettingsError
from landmap.geo.common_grid import Placed, common_grid, intersection
from landmap.geo.geobox import GeoBox, crs_name
from landmap.io.cog import RASTER_ENDINGS, Layers, RasterWriter, check_raster
from landmap.io.publish import check_ending, locked, publish
from landmap.io.reading import CACHE_BYTES, open_raster
from landmap.maps.cover import VALUES, Cover
from landmap.maps.legend import check_ids
from landmap.maps.mosaic_vrt import stage_vrt
from landmap.maps.several import check_whole, confidences_of, open_covers, read_confidence, time_of
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, MOSAIC_TAG, RECODED_TAG, RULES, Rule, legend_tag, tag_content
from landmap.products.files import check_outputs
from landmap.tiling import Window
from landmap_models.arrays import Bytes, Ints
from landmap_models.legend import NODATA, UNKNOWN, UNKNOWN_ID, LandClass

BLOCK = 3072
"""Rows and columns that are in memory at once: a multiple of each block size of a GeoTIFF that landmap writes."""
MOST_PIXELS = 2**37
"""Pixels of the largest map in one file, about the land of 1,100 full scenes."""
TOLERANCE = 0.01
"""Error in pixels with which GDAL may approximate where a pixel of another CRS lies."""
KEPT_TAGS = (
    "LANDMAP_MODEL",
    "LANDMAP_MODEL_SHA256",
    "LANDMAP_PRECISION",
    "LANDMAP_NODATA",
    "LANDMAP_CLOUDS",
    "LANDMAP_NIR",
    RECODED_TAG,
)
"""Tags that the mosaic has, too, where all covers have the same."""
Progress = Callable[[int, int], None]
"""Called after each block with the number of blocks that are finished and of all."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """What came of a mosaic."""

    path: Path
    """The map that was written."""
    geobox: GeoBox
    """Place of its pixels."""
    covers: tuple[str, ...]
    """Paths of the covers; where several have a class and the rule does not decide, the first of them does."""
    by: Rule
    """The rule of overlaps."""
    pixels: tuple[int, ...] | None
    """Number of pixels that each cover gave; None for a VRT, whose pixels were not read."""
    warnings: tuple[str, ...]
    """What the user should know of the map."""

    def __str__(self) -> str:
        """The result as `landmap mosaic` prints it."""
        height, width = self.geobox.shape
        share = "" if self.pixels is None else f", {100 * sum(self.pixels) / (height * width):.1f} % with data"
        place = crs_name(self.geobox.crs or "")
        return f"{len(self.covers)} covers in {place}: {height:,} rows x {width:,} columns{share}\n{self.path}"


@dataclass(frozen=True, slots=True)
class _Source:
    """A cover and where it lies on the mosaic's grid."""

    cover: Cover
    confidence: Cover | None
    placed: Placed

    def read(self, raster: Cover, window: Window, grid: GeoBox) -> Bytes:
        """Read a window of the mosaic's grid from the cover or its confidence; 255 where that has no data."""
        if not self.placed.same_pixels:
            return raster.read(window, grid, tolerance=TOLERANCE)
        own, found = self.placed.windows[0], np.full(window.shape, NODATA, np.uint8)
        part = intersection(own, window)
        if part is not None:
            rows, cols = part.row_off - window.row_off, part.col_off - window.col_off
            inside = Window(part.row_off - own.row_off, part.col_off - own.col_off, part.height, part.width)
            found[rows : rows + part.height, cols : cols + part.width] = raster.read(inside)
        return found


def mosaic(
    covers: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    by: Rule = "first",
    confidence: Sequence[str | os.PathLike[str]] | None = None,
    crs: str | None = None,
    resolution: float | None = None,
    legend: str | os.PathLike[str] | None = None,
    vrt: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Mosaic:
    """Write covers of neighbouring places, in any CRSs, as one map.

    Each pixel has the class of the nearest pixel of one cover. A class goes before "Unknown", and that before no data,
    whatever the rule; so a place that any cover maps is mapped. Covers need not overlap.

    Args:
        covers: Covers, or folders that stand for all covers in them and below, by name.
        output: File for the map (GeoTIFF, or VRT with `vrt`).
        by: "first" takes the first cover in the order given; "confidence" the one with the highest confidence in the
            pixel; "date" the one whose scene was taken last. Of equals, the first in the order given.
        confidence: Rasters of confidence for the covers, in their order, for "confidence"; None takes those beside
            them, `<cover>_confidence.tif`, as a batch names them.
        crs: CRS of the map, such as "EPSG:3035"; None takes the one in which most pixels are.
        resolution: Pixel size in units of the CRS; None takes that of the first cover, and its pixels if they can stay.
        legend: Name of a product's legend, into which all covers are recoded; or a file with the meaning of the ids of
            covers that don't say it themselves. None: all covers say it, and say the same.
        vrt: Whether a VRT that names the covers is written in place of pixels. All covers must lie on one grid.
        overwrite: Whether a file that exists is replaced.
        progress: Called after each block of 3,072 x 3,072 pixels; None: nothing is.

    Raises:
        SettingsError: There is no cover, or an option does not fit.
        SceneError: A cover can't be read, is damaged, or has other classes than the first; or a confidence or date is
            missing that the rule needs.
        GeoreferenceError: A cover has no place on the ground, or the CRS has none for it.
        OutputError: The output exists, is one of the covers, or can't be written.
    """
    path, paths = Path(output), _listed(covers)
    if by not in RULES:
        raise SettingsError(f"Expected one of the rules {', '.join(RULES)}. Received: {by}")
    beside = confidences_of(paths, confidence) if by == "confidence" else [None] * len(paths)
    check_mosaic(path, *paths, *beside, legend, vrt=vrt, overwrite=overwrite)
    opened, recoded = open_covers(paths, legend)
    times = [_needed_time(cover) for cover in opened] if by == "date" else None
    grid, placed = common_grid([cover.geobox for cover in opened], crs, resolution)
    sources = [
        _Source(cover, read_confidence(file, cover), where)
        for cover, file, where in zip(opened, beside, placed, strict=True)
    ]
    if times is not None:  # the sort is stable: of one date the first stays the first
        sources = [sources[i] for i in sorted(range(len(sources)), key=lambda i: times[i], reverse=True)]
    check_whole(opened)
    layers = Layers(("class",), _tags(sources, by, recoded), _union(opened))
    with locked([path]), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        if vrt:
            _check_vrt(sources, by, legend)
            with stage_vrt(path, grid, layers, [(s.cover.path, s.placed.windows[0]) for s in sources]) as staged:
                publish([staged], overwrite=overwrite)
            pixels = None
        else:
            pixels = _write(path, grid, layers, sources, overwrite=overwrite, progress=progress)
    names = tuple(source.cover.path for source in sources)
    return Mosaic(path, grid, names, by, pixels, tuple(_warnings(sources, grid, by, vrt=vrt)))


def check_mosaic(
    path: Path, *inputs: str | os.PathLike[str] | None, vrt: bool = False, overwrite: bool = False
) -> None:
    """Refuse the output of a mosaic, before any work.

    Args:
        path: The output's name.
        *inputs: Everything that is read; None are ignored.
        vrt: Whether it is a VRT.
        overwrite: Whether a file that exists is replaced.

    Raises:
        OutputError: The output exists, is one of the inputs, or is named as another format.
    """
    check_outputs([path], *inputs, overwrite=overwrite)
    if vrt:
        check_ending(path, (".vrt",), "VRT", {".tif": "leave out --vrt to write pixels"})
    else:
        check_raster(path)


def _listed(covers: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Paths of covers, with those that lie in folders."""
    found: list[str] = []
    for given in covers:
        path = os.fspath(given)
        inside = _in_folder(Path(path)) if Path(path).is_dir() else [path]
        if not inside:
            raise SceneError(f"{path}: expected a folder with covers that landmap wrote. Found none in it")
        found += inside
    if not found:
        raise SettingsError("Expected at least one cover for a mosaic. Received none")
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[str]:
    """Paths of the covers of single scenes in a folder and below; hidden folders are of runs at work.

    Raises:
        SceneError: A raster there can't be read: it may be a cover, and the map would have a hole.
    """
    found = []
    for path in sorted(file for file in folder.rglob("*") if file.suffix.lower() in RASTER_ENDINGS):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            with open_raster(path) as file:
                tags = file.tags()
        except SceneError as error:
            raise SceneError(f"{error}. It may be a cover: take it out of {folder}, or name the covers") from error
        if tags.get(LAYER_TAG) == "classes" and MOSAIC_TAG not in tags:
            found.append(os.fspath(path))
    return found


def _needed_time(cover: Cover) -> datetime:
    when = time_of(cover)
    if when is None:
        raise SceneError(
            f"{cover.path}: expected the date of its scene for the rule date: in the STAC Item beside it, in "
            "the scene's name in its tag LANDMAP_SCENE, or in its own name as Sentinel-2's products have it. Found "
            "none: choose another rule"
        )
    return when


def _union(covers: Iterable[Cover]) -> tuple[LandClass, ...]:
    """The classes that any of the covers may have, by ascending id; the colour is that of the first."""
    found: dict[int, LandClass] = {}
    for cover in covers:
        for c in cover.legend:
            found.setdefault(c.id, c)
    return tuple(found[i] for i in sorted(found))


def _tags(sources: Sequence[_Source], by: Rule, recoded: bool) -> dict[str, str]:
    """Tags of the mosaic: how it was made, and what all covers have in common."""
    first, covers = sources[0].cover.tags, [source.cover for source in sources]
    same = {tag: first[tag] for tag in KEPT_TAGS if tag in first and all(c.tags.get(tag) == first[tag] for c in covers)}
    warnings = [text for c in covers for text in tag_content(c.tags, "LANDMAP_WARNINGS", list[Any](), c.path)]
    legend = _union(covers)
    if recoded:
        same[RECODED_TAG] = f"by landmap mosaic, to {', '.join(c.name for c in legend if c.id != UNKNOWN_ID)}"
    return same | {
        LAYER_TAG: "classes",
        LEGEND_TAG: legend_tag(legend),
        MOSAIC_TAG: by,
        "LANDMAP_VERSION": version("landmap"),
        "LANDMAP_COVERS": ", ".join(Path(c.path).name for c in covers),
        "LANDMAP_WARNINGS": json.dumps(list(dict.fromkeys(warnings))),
    }


def _check_vrt(sources: Sequence[_Source], by: Rule, legend: str | os.PathLike[str] | None) -> None:
    """Refuse a VRT that could not show the same map."""
    warped = next((source.cover for source in sources if not source.placed.same_pixels), None)
    why = ""
    if by == "confidence":
        why = "confidences decide pixel by pixel"
    elif any(source.cover.own for source in sources):
        why = f"covers are recoded to {legend}"
    elif warped is not None:
        why = f"{warped.path} lies on another grid than the map"
    if why:
        raise SettingsError(f"Expected covers that a VRT can show as they are. But {why}: leave out --vrt")


def _warnings(sources: Sequence[_Source], grid: GeoBox, by: Rule, *, vrt: bool) -> Iterator[str]:
    warped = [source.cover for source in sources if not source.placed.same_pixels]
    if warped:
        yield (
            f"{len(warped)} of {len(sources)} covers lie on another grid than the map in {crs_name(grid.crs or '')}: "
            f"the nearest of their pixels are taken, such as of {Path(warped[0].path).name}"
        )
    models = sorted({source.cover.tags.get("LANDMAP_MODEL_SHA256", "") for source in sources})
    if len(models) > 1:
        yield f"the covers were made by {len(models)} models: at their borders classes may differ for that alone"
    if vrt and len(sources) > 1 and any(c.id == UNKNOWN_ID for source in sources for c in source.cover.legend):
        yield f"in a VRT, Unknown of a cover hides classes of those below it (rule {by})"


def _write(
    path: Path,
    grid: GeoBox,
    layers: Layers,
    sources: Sequence[_Source],
    *,
    overwrite: bool,
    progress: Progress | None,
) -> tuple[int, ...]:
    """Write the map block by block; return the number of pixels that each cover gave."""
    if grid.height * grid.width > MOST_PIXELS:
        raise SettingsError(
            f"Expected a map of at most {MOST_PIXELS / 1e9:.0f} billion pixels in one file. Received covers that need "
            f"{grid.height:,} x {grid.width:,}: give a larger --resolution, fewer covers, or --vrt"
        )
    counts = np.zeros((len(sources), VALUES), np.int64)
    blocks = list(_blocks(grid))
    with RasterWriter(path, grid, layers) as writer:
        for done, window in enumerate(blocks, 1):
            values = _block(sources, window, grid, counts)
            if values is not None:
                writer.write(window, values)
            if progress:
                progress(done, len(blocks))
        for source, row in zip(sources, counts, strict=True):
            check_ids(source.cover.path, (*source.cover.legend, UNKNOWN), row)
        publish([writer.finish()], overwrite=overwrite)
    return tuple(counts[:, :NODATA].sum(axis=1).tolist())


def _blocks(grid: GeoBox) -> Iterator[Window]:
    for row in range(0, grid.height, BLOCK):
        for col in range(0, grid.width, BLOCK):
            yield Window(row, col, min(BLOCK, grid.height - row), min(BLOCK, grid.width - col))


def _block(sources: Sequence[_Source], window: Window, grid: GeoBox, counts: Ints) -> Bytes | None:
    """Class ids of a window; None where no cover has a pixel. The pixels that each cover gave are counted by id.

    The rank of a pixel is 0 without data, 1 for Unknown, and above for a class: by its confidence where that decides.
    """
    here = [(i, source) for i, source in enumerate(sources) if source.placed.touches(window)]
    if not here:
        return None
    best, ranks = np.full(window.shape, NODATA, np.uint8), np.zeros(window.shape, np.uint8)
    origin = np.full(window.shape, len(sources), np.min_scalar_type(len(sources)))
    for i, source in here:
        values = source.read(source.cover, window, grid)
        rank = np.full(window.shape, 2, np.uint8)
        if source.confidence is not None:
            percent = source.read(source.confidence, window, grid)
            rank += np.where(percent <= 100, percent, 0)
        rank[values == UNKNOWN_ID] = 1
        rank[values == NODATA] = 0
        better = rank > ranks
        best[better], ranks[better], origin[better] = values[better], rank[better], i
        if source.confidence is None and ranks.min() == 2:
            break  # what is below is hidden
    for i, _ in here:
        counts[i] += np.bincount(best[origin == i], minlength=VALUES)
    return best
