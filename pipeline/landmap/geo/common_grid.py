"""One grid for rasters of neighbouring places, which may lie in several CRSs and on both sides of 180 degrees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import calculate_default_transform

from landmap.errors import GeoreferenceError, SettingsError
from landmap.geo.geobox import GeoBox, crs_name, pixel_sides
from landmap.geo.longitudes import ROUNDING, Box, boxes_in, span, turn, unbroken
from landmap.tiling import Window

SAME = 1e-3
"""Share of a pixel by which two grids may differ that are the same: that is rounding."""
EDGE = 1
"""Pixels around a raster from another CRS: its border is bent there, and its box is found from points of it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a raster lies on the common grid."""

    windows: tuple[Window, ...]
    """Windows of the grid that hold all its pixels: one, or two where its place is torn in the grid's CRS."""
    same_pixels: bool
    """Whether its pixels are pixels of the grid; the window is then exactly the raster."""

    def touches(self, window: Window) -> bool:
        """Whether the raster may have pixels in a window of the grid."""
        return any(intersection(own, window) is not None for own in self.windows)


def intersection(one: Window, other: Window) -> Window | None:
    """The window that two windows share; None where they share none."""
    top, left = max(one.row_off, other.row_off), max(one.col_off, other.col_off)
    bottom = min(one.row_off + one.height, other.row_off + other.height)
    right = min(one.col_off + one.width, other.col_off + other.width)
    return Window(top, left, bottom - top, right - left) if top < bottom and left < right else None


def common_grid(
    geoboxes: Sequence[GeoBox], crs: str | None = None, resolution: float | None = None
) -> tuple[GeoBox, list[Placed]]:
    """Find a north-up grid around rasters.

    Where one of them is north-up in the grid's CRS and no other resolution is asked for, the grid has the pixels of the
    first such raster; else its lines are at multiples of its pixel size.

    Args:
        geoboxes: Where the rasters lie; each has a place on the ground.
        crs: CRS of the grid, as rasterio reads it, such as "EPSG:3035"; None takes the one in which most pixels are.
        resolution: Pixel size in units of the CRS; None takes that of the first raster.

    Returns:
        The grid, and for each raster where it lies on it.

    Raises:
        SettingsError: The CRS can't be read, or the resolution is not above 0.
        GeoreferenceError: The CRS has no place for one of the rasters.
    """
    if resolution is not None and not (0 < resolution < math.inf):
        raise SettingsError(f"Expected a resolution above 0, in units of the CRS. Received: {resolution}")
    target = _most_frequent(geoboxes) if crs is None else _parsed(crs)
    boxes = _side_by_side([_boxes(geobox, target) for geobox in geoboxes], target)
    own = [_is_in(geobox, target) for geobox in geoboxes]
    anchor = next((g for g, mine in zip(geoboxes, own, strict=True) if mine and _is_north_up(g)), None)
    if anchor is not None and resolution in (None, anchor.transform.a):
        size, origin = (anchor.transform.a, -anchor.transform.e), (anchor.transform.c, anchor.transform.f)
    else:
        side = resolution if resolution is not None else _pixel_size(geoboxes[0], target)
        size, origin = (side, side), (0.0, 0.0)
    spans = [
        [_pixels(box, size, origin, 0 if mine else EDGE) for box in found]
        for found, mine in zip(boxes, own, strict=True)
    ]
    every = [span_ for found in spans for span_ in found]
    top, left = min(s[0] for s in every), min(s[1] for s in every)
    bottom, right = max(s[2] for s in every), max(s[3] for s in every)
    transform = Affine(size[0], 0, origin[0] + left * size[0], 0, -size[1], origin[1] - top * size[1])
    grid = GeoBox(bottom - top, right - left, transform, target.to_wkt())
    placed = []
    for geobox, mine, found in zip(geoboxes, own, spans, strict=True):
        windows = tuple(Window(s[0] - top, s[1] - left, s[2] - s[0], s[3] - s[1]) for s in found)
        placed.append(Placed(windows, mine and _same_pixels(geobox, size, origin, windows)))
    return grid, placed


def _parsed(crs: str) -> CRS:
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise SettingsError(f"Expected a CRS such as EPSG:3035. Received: {crs}") from error


def _most_frequent(geoboxes: Sequence[GeoBox]) -> CRS:
    """The CRS in which most pixels are; of several the one that comes first."""
    counts: Counter[str] = Counter()
    for geobox in geoboxes:
        counts[geobox.crs or ""] += geobox.height * geobox.width
    return CRS.from_wkt(counts.most_common(1)[0][0])


def _is_in(geobox: GeoBox, target: CRS) -> bool:
    return bool(CRS.from_wkt(geobox.crs) == target)


def _is_north_up(geobox: GeoBox) -> bool:
    t = geobox.transform
    return t.b == t.d == 0 and t.a > 0 > t.e


def _boxes(geobox: GeoBox, target: CRS) -> list[Box]:
    """The boxes around a raster in the grid's CRS."""
    if _is_in(geobox, target):
        return [geobox.bounds]
    try:
        boxes = boxes_in(geobox.bounds, geobox.crs or "", target.to_wkt())
    except RuntimeError:  # pyproj's own
        boxes = []
    if not boxes or not all(math.isfinite(number) for box in boxes for number in box):
        raise GeoreferenceError(
            f"Expected a CRS that has a place for all maps. {crs_name(target.to_wkt())} has none for the one in "
            f"{crs_name(geobox.crs or '')}: choose another with --crs"
        )
    return boxes


def _side_by_side(boxes: list[list[Box]], target: CRS) -> list[list[Box]]:
    """Move boxes by whole turns, so that those on both sides of 180 degrees lie side by side."""
    whole = turn(target.to_wkt())
    if whole is None:
        return boxes
    flat = [(360 * b[0] / whole, 0.0, 360 * b[2] / whole, 0.0) for found in boxes for b in found]
    west = span(flat)[0] * whole / 360
    moved = []
    for found in boxes:
        turns = [whole * math.ceil((west - b[0]) / whole - ROUNDING) for b in found]
        moved.append([(b[0] + x, b[1], b[2] + x, b[3]) for b, x in zip(found, turns, strict=True)])
    return moved


def _pixel_size(geobox: GeoBox, target: CRS) -> float:
    """Pixel size of a raster in units of another CRS: the same length where both are projected."""
    if target.is_projected and CRS.from_wkt(geobox.crs).is_projected:
        return round(min(pixel_sides(geobox)) / float(target.linear_units_factor[1]), 9)
    moved = unbroken(geobox)
    size = (geobox.width, geobox.height)
    found, _, _ = calculate_default_transform(CRS.from_wkt(moved.crs), target, *size, *moved.bounds)
    return float(found.a)


def _pixels(box: Box, size: tuple[float, float], origin: tuple[float, float], edge: int) -> tuple[int, int, int, int]:
    """First row and column of the grid that a box touches, and those after the last; the origin is pixel 0, 0."""
    west, south, east, north = box
    left, right = (west - origin[0]) / size[0], (east - origin[0]) / size[0]
    top, bottom = (origin[1] - north) / size[1], (origin[1] - south) / size[1]
    return (
        math.floor(top + SAME) - edge,
        math.floor(left + SAME) - edge,
        math.ceil(bottom - SAME) + edge,
        math.ceil(right - SAME) + edge,
    )


def _same_pixels(
    geobox: GeoBox, size: tuple[float, float], origin: tuple[float, float], windows: Sequence[Window]
) -> bool:
    t = geobox.transform
    if not _is_north_up(geobox) or len(windows) > 1 or windows[0].shape != geobox.shape:
        return False
    off = (t.c - origin[0]) / size[0], (t.f - origin[1]) / size[1]
    ends = abs(t.a / size[0] - 1) * geobox.width, abs(-t.e / size[1] - 1) * geobox.height
    return all(abs(x - round(x)) < SAME for x in off) and max(ends) < SAME
