"""The subset of a scene that is mapped: warped to another grid if asked for, and then cut out by a window or a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError

from landmap.errors import SceneError, SettingsError
from landmap.geo.geobox import GeoBox, bounds_text, geobox_of, place_text
from landmap.geo.longitudes import Box, boxes_in, continuous, turns
from landmap.scene.raster_source import RasterSource
from landmap.scene.warp import BLOCK_SHAPE, Warp, find_warp
from landmap.settings import AreaSettings
from landmap.tiling import Window
from landmap_models.model_file.card import ModelCard

SLACK = 1e-6
"""Distance in pixels within which a corner counts as lying on a pixel's border."""


@dataclass(frozen=True, slots=True)
class Subset:
    """The grid on which a scene is read, and the part of it."""

    warp: Warp | None = None
    """How the scene is warped to another grid; None if it stays on its own."""
    warp_text: str = ""
    """From which grid to which it is warped, or why it is not, as a text; empty if no warp was asked for."""
    window: Window | None = None
    """The part that is read, in pixels of that grid; None for the whole."""

    def apply(self, source: RasterSource, *, nearest: bool = False) -> RasterSource:
        """Restrict bands on the scene's own grid to this subset.

        Args:
            source: Bands of the whole scene on its own grid.
            nearest: Warp by the nearest pixel, as class numbers can't be averaged.
        """
        found = source
        if self.warp is not None:
            found = warped(found, replace(self.warp, resampling="nearest", scale=1.0) if nearest else self.warp)
        if self.window is not None:
            corner = self.window.row_off, self.window.col_off
            found = replace(found, geobox=found.geobox.crop(self.window), corner=corner, original=source)
        return found


def find_subset(file: Any, path: str, card: ModelCard, settings: AreaSettings) -> Subset:
    """The subset of a scene that the settings ask for.

    Args:
        file: The scene as an open rasterio dataset.
        path: Name of the scene for messages.
        card: Card of the model; a warp aims at its pixel size.
        settings: `warp`, `window`, `bbox` and `bbox_crs` are used.

    Raises:
        GeoreferenceError: The scene can't be warped.
        SceneError: The part does not lie in the scene.
        SettingsError: `bbox_crs` is no CRS.
    """
    warp, text = find_warp(file, path, card) if settings.warp else (None, "")
    return Subset(warp, text, find_window(warp.geobox if warp else geobox_of(file), path, settings))


def warped(source: RasterSource, warp: Warp) -> RasterSource:
    """Bands on their own grid, as a source that warps them to another grid when it is read."""
    rows, cols = (min(pair) for pair in zip(BLOCK_SHAPE, warp.geobox.shape, strict=True))
    return replace(source, geobox=warp.geobox, block_shape=(rows, cols), warp=warp, original=source)


def find_window(geobox: GeoBox, path: str, settings: AreaSettings) -> Window | None:
    """The part of a scene that the settings ask for, in pixels; None if they ask for none.

    Args:
        geobox: Where the scene lies, warped if it is.
        path: Name of the scene for messages.
        settings: `window`, `bbox` and `bbox_crs` are used.

    Raises:
        SceneError: The part does not lie in the scene.
        SettingsError: `bbox_crs` is no CRS.
    """
    if settings.bbox is not None:
        return _around(settings.bbox, settings.bbox_crs, geobox, path)
    if settings.window is None:
        return None
    col, row, width, height = settings.window
    if col + width > geobox.width or row + height > geobox.height:
        raise SceneError(
            f"{path}: expected a window inside the scene, which has {geobox.width} columns and {geobox.height} rows. "
            f"Received: columns {col} to {col + width}, rows {row} to {row + height}"
        )
    return Window(row, col, height, width)


def _around(bbox: Sequence[float], bbox_crs: str | None, geobox: GeoBox, path: str) -> Window:
    """The smallest window around a box, cut at the scene's edge."""
    boxes = _in_scene(bbox, bbox_crs, geobox, path)
    corners = [~geobox.transform @ (box[i], box[j]) for box in boxes for i in (0, 2) for j in (1, 3)]
    cols, rows = ([corner[i] for corner in corners] or [math.inf] for i in (0, 1))
    left, top = (max(0.0, min(places) + SLACK) for places in (cols, rows))
    right, bottom = min(geobox.width, max(cols) - SLACK), min(geobox.height, max(rows) - SLACK)
    if not (left < right and top < bottom):
        there = f"{bounds_text(*bbox)}{f' in {bbox_crs}' if bbox_crs else ''}"
        raise SceneError(
            f"{path}: expected a bbox that touches the scene, which {place_text(geobox)}. Received: {there}"
        )
    first_row, first_col = math.floor(top), math.floor(left)
    return Window(first_row, first_col, math.ceil(bottom) - first_row, math.ceil(right) - first_col)


def _in_scene(bbox: Sequence[float], crs: str | None, geobox: GeoBox, path: str) -> list[Box]:
    """The parts of a box around the scene, as boxes in the scene's CRS; in degrees there may be several."""
    there, own = _wkt(crs) or geobox.crs, geobox.crs
    box = continuous(bbox, there)
    if box is None:
        raise SettingsError(f"bbox: expected west, south, east and north. Received: {bbox!r}")
    if there is None or own is None:
        if crs is None:
            return [box]
        raise SceneError(f"{path}: expected a scene with a CRS, to place a bbox in {crs}: leave out --bbox-crs")
    try:
        parts = [part for frame in boxes_in(geobox.bounds, own, there) for part in _parts(box, frame, there)]
        found = [placed for part in parts for placed in boxes_in(part, there, own)]
    except RuntimeError as error:  # pyproj's own
        raise SceneError(f"{path}: a bbox in {crs} can't be placed: {error}") from error
    return [_moved(placed, east) for placed in found for east in turns(placed, geobox.bounds, own)]


def _wkt(crs: str | None) -> str | None:
    try:
        return CRS.from_user_input(crs).to_wkt() if crs is not None else None
    except CRSError as error:
        raise SettingsError(f"bbox_crs: expected a CRS, such as EPSG:4326. Received: {crs!r}") from error


def _parts(box: Box, frame: Box, crs: str) -> list[Box]:
    """Move a box by whole turns to a frame around the scene, and cut it at a frame's length around that."""
    west, south, east, north = frame
    margin = max(east - west, north - south)
    moved = [_moved(box, turn) for turn in turns(box, frame, crs)]
    return [
        (
            max(box[0], west - margin),
            max(box[1], south - margin),
            min(box[2], east + margin),
            min(box[3], north + margin),
        )
        for box in moved
    ]


def _moved(box: Box, east: float) -> Box:
    return box[0] + east, box[1], box[2] + east, box[3]
