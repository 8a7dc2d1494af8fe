"""Polygons in any CRS, transformed to that of a raster, also where they are cut or torn at 180°."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.geo.geobox import GeoBox, crs_name
from landmap.geo.longitudes import (
    ROUNDING,
    Box,
    along_edges,
    boxes_in,
    coordinates,
    degrees,
    outline,
    over_seam,
    pole,
    seam,
    transformed,
    turn,
    turns,
)
from landmap_models.arrays import Doubles

Shapes = npt.NDArray[Any]
"""Shapely's geometries `(n,)`."""

MARGIN = 0.1
"""Width of the frame around a raster in which polygons are kept, as a share of its longer side."""
EDGE = 10
"""Each part of a raster's outline (see `along_edges`) is cut into as many again before edges are transformed: a 200th
of its side, which keeps edges within a pixel."""
MOST_MESSAGES = 3
"""Most messages about edges that could mean two areas."""
DIGITS = 7
"""Decimals of degrees: a centimetre."""
AT_SEAM = 3e-8
"""Share of a turn, a metre at the equator, within which an edge that ends close to 180° is taken to end there."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """Polygons in the CRS of a raster."""

    shapes: Shapes
    """MultiPolygons `(n,)` in the order of the input; empty where nothing of a polygon lies around the raster."""
    joined: bool
    """Whether parts on both sides of 180°, or of another seam of their CRS, were put together."""
    warnings: tuple[str, ...]
    """How edges were read that could mean two areas."""


def outlines(shapes: Shapes, crs: str, geobox: GeoBox) -> Outlines:
    """Transform polygons to the CRS of a raster.

    Only parts around the raster are kept, as parts far off may have no place in its CRS. Edges are straight in the CRS
    of the polygons. In degrees a polygon may be shifted by whole turns, and lie in parts on both sides of 180°.

    Args:
        shapes: Shapely polygons and multi-polygons `(n,)`, valid or not.
        crs: CRS of the polygons as WKT.
        geobox: Where the raster lies; it has a CRS.

    Raises:
        RuntimeError: pyproj knows no way from the one CRS to the other.
    """
    import shapely

    frames = [_grown(box, crs) for box in boxes_in(geobox.bounds, geobox.crs or "", crs)]
    found, warnings = _joined_at_seam(shapes, crs, frames)
    around = _around(shapely.make_valid(found), crs, frames)
    if not _same(crs, geobox.crs):
        around = shapely.segmentize(around, _spacing(geobox, crs))
    placed = shapely.transform(around, lambda points: _placed(points, crs, geobox))
    lost = ~np.isfinite(shapely.bounds(placed)).all(axis=1) & ~shapely.is_empty(placed)
    if lost.any():
        warnings = (
            *warnings,
            f"{lost.sum()} polygons have corners that are nowhere in {crs_name(geobox.crs or '')}: left out",
        )
        placed[lost] = shapely.MultiPolygon()
    kept = [_polygonal(shape) for shape in shapely.make_valid(placed)]
    return Outlines(np.array(kept, object), any(over_seam(box, crs) for box in frames), warnings)


def _placed(points: Doubles, crs: str, geobox: GeoBox) -> Doubles:
    """Corners in the CRS of a raster; those off the edge of their CRS by rounding are moved onto it."""
    found = np.stack(coordinates(points[:, 0], points[:, 1], crs, geobox), axis=1)
    off = ~np.isfinite(found).all(axis=1)
    x, y = (points[off] * (1 - ROUNDING)).T
    found[off] = np.stack(coordinates(x, y, crs, geobox), axis=1)
    return found


def _grown(box: Box, crs: str) -> Box:
    """Add a margin to a box; not in longitude if it has all of them, around a pole."""
    west, south, east, north = box
    aside = above = MARGIN * max(east - west, north - south)
    if east - west >= (turn(crs) or math.inf) * (1 - ROUNDING):
        aside = 0
    return west - aside, south - above, east + aside, north + above


def _same(crs: str, other: str | None) -> bool:
    from pyproj import CRS

    return crs == other or CRS.from_wkt(crs) == CRS.from_wkt(other or "")


def _spacing(geobox: GeoBox, crs: str) -> float:
    """Length of 1/200 of a raster's longer side in another CRS, by most of its border, as some may be torn or tiny."""
    x, y = outline(geobox.bounds, geobox.crs or "", crs)
    return float(np.quantile(np.hypot(np.diff(x), np.diff(y)), 0.7)) / EDGE


def _around(shapes: Shapes, crs: str, frames: list[Box]) -> Shapes:
    """Cut polygons to frames after moving them there by whole turns; parts on both sides of 180° become one."""
    import shapely

    found = np.full(len(shapes), shapely.MultiPolygon(), object)
    everything = shapely.total_bounds(shapes)
    if not np.isfinite(everything).all():  # they are all empty
        return found
    for frame in frames:
        for east in turns(tuple(everything), frame, crs):
            part = shapely.intersection(_moved(shapes, east, crs, frame), shapely.box(*frame))
            some = ~shapely.is_empty(part)
            found[some] = shapely.union(found[some], part[some])
    return found


def _moved(shapes: Shapes, east: float, crs: str, frame: Box) -> Shapes:
    """Move polygons to the east. If the seam lies in the frame, edges that end close to it end on it."""
    import shapely

    edge, whole = seam(crs), turn(crs)
    if edge is None or whole is None or not (east or over_seam(frame, crs)):
        return shapes

    def move(points: Doubles) -> Doubles:
        x, ends = points[:, 0], edge + whole * np.round((points[:, 0] - edge) / whole)
        return np.stack([np.where(np.abs(x - ends) < AT_SEAM * whole, ends, x) + east, points[:, 1]], axis=1)

    return np.asarray(shapely.transform(shapes, move))


def _polygonal(shape: Any) -> Any:
    """The polygons of a geometry, without the points and lines in which it only touches another."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and not part.is_empty])


def _joined_at_seam(shapes: Shapes, crs: str, frames: list[Box]) -> tuple[Shapes, tuple[str, ...]]:
    """Make polygons continuous beyond 180° whose edges jump from one end of their CRS to the other there.

    RFC 7946 wants polygons cut there. An edge from 179 to -179° may also mean the long way round, and does if only that
    comes near the frames. An edge all the way round, from -180 to 180°, is no jump.

    Returns:
        Polygons, and messages that say how such edges were read.
    """
    import shapely

    whole = turn(crs)
    if whole is None:
        return shapes, ()
    found, warnings = shapes.copy(), dict[str, None]()
    west, _, east, _ = shapely.bounds(shapes).T
    for i in np.flatnonzero(east - west > whole / 2):
        parts = [_read(part, crs, whole, frames) for part in shapely.get_parts(shapes[i])]
        if any(words for _, words in parts):
            found[i] = shapely.union_all([part for part, _ in parts])
            warnings |= {words: None for _, words in parts if words}
    return found, tuple(warnings)[:MOST_MESSAGES]


def _read(polygon: Any, crs: str, whole: float, frames: list[Box]) -> tuple[Any, str]:
    """A polygon as it is meant, and a message that says why; empty if it has one meaning only."""
    import shapely

    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]
    jumps = [(ring[i], ring[i + 1]) for ring in rings for i in np.flatnonzero(_jumps(ring, whole))]
    long = shapely.make_valid(polygon)
    if not jumps:
        return long, ""
    short = _short_way(rings, whole, pole(crs))
    (start, _), (end, _) = jumps[0]
    taken = f"a border between {min(start, end):.10g} and {max(start, end):.10g} is taken"
    if _comes_near(long, crs, frames) and not _comes_near(short, crs, frames):
        return long, f"{taken} the long way round"
    return short, f"{taken} the short way, over {seam(crs):.10g}"


def _jumps(ring: Doubles, whole: float) -> npt.NDArray[np.bool_]:
    """Mask of the edges of a ring `(n, 2)` that are longer than half a turn but no whole turn, `(n - 1,)`."""
    length = np.abs(np.diff(ring[:, 0]))
    return np.asarray((length > whole / 2) & (length < whole * (1 - ROUNDING)))


def _short_way(rings: list[Doubles], whole: float, pole: float) -> Any:
    """The polygon of an outer ring and holes, with edges that jump made continuous."""
    import shapely
    from shapely import affinity

    outer, *holes = [shapely.make_valid(shapely.Polygon(_continuous_ring(ring, whole, pole))) for ring in rings]
    west, _, east, _ = outer.bounds
    for hole in holes:
        left, _, right, _ = hole.bounds
        off = whole * round((west + east - left - right) / 2 / whole)
        outer = outer - affinity.translate(hole, off)
    return outer


def _continuous_ring(ring: Doubles, whole: float, pole: float) -> Doubles:
    """Make a ring continuous; if it then does not close, it goes round a pole and is closed along that."""
    x, y = ring.T
    turned = np.round(np.diff(x) / whole) * _jumps(ring, whole)
    x = x - whole * np.append(0, np.cumsum(turned))
    if abs(x[-1] - x[0]) > whole / 2:
        x, y = np.append(x, [x[-1], x[0]]), np.append(y, np.full(2, math.copysign(pole, y.mean())))
    return np.stack([x, y], axis=1)


def _comes_near(shape: Any, crs: str, frames: list[Box]) -> bool:
    import shapely

    return any(
        shapely.intersects(shape, shapely.box(west - east, south, right - east, north))
        for west, south, right, north in frames
        for east in turns(shape.bounds, (west, south, right, north), crs)
    )


def degrees_outline(geobox: GeoBox) -> Any | None:
    """The border of a raster in degrees (WGS84), cut at 180° as RFC 7946 wants it, also around a pole.

    Args:
        geobox: Where the raster lies; it has a CRS.

    Returns:
        A Shapely polygon, or a multi-polygon if it is cut. None where some of the border is nowhere on the Earth.
    """
    import shapely

    col, row = along_edges()
    corners = geobox.transform @ np.array([col * geobox.width, row * geobox.height])
    x, y = transformed(corners[0], corners[1], geobox.crs or "", degrees())
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    ring = _continuous_ring(np.stack([x, y], axis=1).round(DIGITS), 360, 90)
    return _cut(shapely.make_valid(shapely.Polygon(ring)))


def _cut(polygon: Any) -> Any:
    """Cut a polygon in degrees at 180° and move the parts beyond into -180 to 180°."""
    import shapely
    from shapely import affinity

    if not over_seam(polygon.bounds, degrees()):
        return polygon
    earth = shapely.box(-180, -90, 180, 90)
    moved = [affinity.translate(polygon, east) for east in turns(polygon.bounds, earth.bounds, degrees())]
    return _polygonal(shapely.union_all([_polygonal(shapely.intersection(part, earth)) for part in moved]))
