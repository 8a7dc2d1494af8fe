"""Polygons in any CRS, brought to that of a grid: what lies around it, also where that is cut or torn at 180°."""

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
"""How far beyond a grid polygons are kept, in parts of its longer side."""
EDGE = 10
"""An edge that is brought to another CRS is cut into parts of a 200th of the grid's: within a pixel of where it is."""
SAID = 3
"""Borders that could mean two areas of which it is told how they were read."""
DIGITS = 7
"""Of degrees: a centimetre."""
AT_SEAM = 3e-8
"""Share of a turn, a metre at the equator: what ends so close to 180° is taken to end there."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """Polygons in the CRS of a grid."""

    shapes: Shapes
    """MultiPolygons `(n,)`, in the order in which they were given; empty where nothing of one lies around the grid."""
    joined: bool
    """Whether they were put together of parts on both sides of 180°, or where else their CRS ends."""
    says: tuple[str, ...]
    """How borders were read that could mean two areas, in words."""


def outlines(shapes: Shapes, crs: str, geobox: GeoBox) -> Outlines:
    """Bring polygons to the CRS of a grid.

    Only what lies around the grid is kept, as what lies far off may have no place in its CRS. Edges follow the CRS in
    which they are given. In degrees a polygon may lie anywhere by whole turns, and in parts on both sides of 180°.

    Args:
        shapes: Shapely's polygons and multi-polygons `(n,)`, valid or not.
        crs: Theirs, as WKT.
        geobox: One with a CRS.

    Raises:
        RuntimeError: pyproj knows no way from the one CRS to the other.
    """
    import shapely

    frames = [_grown(box, crs) for box in boxes_in(geobox.bounds, geobox.crs or "", crs)]
    found, says = _uncut(shapes, crs, frames)
    around = _around(shapely.make_valid(found), crs, frames)
    if not _same(crs, geobox.crs):
        around = shapely.segmentize(around, _spacing(geobox, crs))
    placed = shapely.transform(around, lambda points: _placed(points, crs, geobox))
    lost = ~np.isfinite(shapely.bounds(placed)).all(axis=1) & ~shapely.is_empty(placed)
    if lost.any():
        says = (*says, f"{lost.sum()} polygons have corners that are nowhere in {crs_name(geobox.crs or '')}: left out")
        placed[lost] = shapely.MultiPolygon()
    kept = [_polygonal(shape) for shape in shapely.make_valid(placed)]
    return Outlines(np.array(kept, object), any(over_seam(box, crs) for box in frames), says)


def _placed(points: Doubles, crs: str, geobox: GeoBox) -> Doubles:
    """Corners in the CRS of a grid; those that are off the edge of their CRS by rounding are taken to lie on it."""
    found = np.stack(coordinates(points[:, 0], points[:, 1], crs, geobox), axis=1)
    off = ~np.isfinite(found).all(axis=1)
    x, y = (points[off] * (1 - ROUNDING)).T
    found[off] = np.stack(coordinates(x, y, crs, geobox), axis=1)
    return found


def _grown(box: Box, crs: str) -> Box:
    """A box with a margin; not one of longitudes where it already has them all, around a pole."""
    west, south, east, north = box
    aside = above = MARGIN * max(east - west, north - south)
    if east - west >= (turn(crs) or math.inf) * (1 - ROUNDING):
        aside = 0
    return west - aside, south - above, east + aside, north + above


def _same(crs: str, other: str | None) -> bool:
    from pyproj import CRS

    return crs == other or CRS.from_wkt(crs) == CRS.from_wkt(other or "")


def _spacing(geobox: GeoBox, crs: str) -> float:
    """A 200th of the longer side of a grid in another CRS, by most of its border: some of it may be torn or tiny."""
    x, y = outline(geobox.bounds, geobox.crs or "", crs)
    return float(np.quantile(np.hypot(np.diff(x), np.diff(y)), 0.7)) / EDGE


def _around(shapes: Shapes, crs: str, frames: list[Box]) -> Shapes:
    """What of polygons lies in frames, moved there by whole turns; parts on both sides of 180° become one."""
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
    """Polygons moved to the east. Where the seam lies in the frame, what ends close to it does so exactly."""
    import shapely

    edge, whole = seam(crs), turn(crs)
    if edge is None or whole is None or not (east or over_seam(frame, crs)):
        return shapes

    def move(points: Doubles) -> Doubles:
        x, ends = points[:, 0], edge + whole * np.round((points[:, 0] - edge) / whole)
        return np.stack([np.where(np.abs(x - ends) < AT_SEAM * whole, ends, x) + east, points[:, 1]], axis=1)

    return np.asarray(shapely.transform(shapes, move))


def _polygonal(shape: Any) -> Any:
    """The polygons of any geometry, without points and lines, at which it only touched something."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and not part.is_empty])


def _uncut(shapes: Shapes, crs: str, frames: list[Box]) -> tuple[Shapes, tuple[str, ...]]:
    """Polygons whose borders go on beyond 180°, where these jump from one end of their CRS to the other instead.

    RFC 7946 wants them cut there; a border from 179 to -179° may then also mean the long way round, and does where only
    that comes near the frames. What goes all the way round, from -180 to 180°, is no jump.

    Returns:
        Polygons, and how such borders were read, in words.
    """
    import shapely

    whole = turn(crs)
    if whole is None:
        return shapes, ()
    found, says = shapes.copy(), dict[str, None]()
    west, _, east, _ = shapely.bounds(shapes).T
    for i in np.flatnonzero(east - west > whole / 2):
        parts = [_read(part, crs, whole, frames) for part in shapely.get_parts(shapes[i])]
        if any(words for _, words in parts):
            found[i] = shapely.union_all([part for part, _ in parts])
            says |= {words: None for _, words in parts if words}
    return found, tuple(says)[:SAID]


def _read(polygon: Any, crs: str, whole: float, frames: list[Box]) -> tuple[Any, str]:
    """A polygon as it is meant, and why, in words; "" where there is no doubt."""
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
    """Which edges of a ring `(n, 2)` are longer than half a turn, but no whole turn, `(n - 1,)`."""
    length = np.abs(np.diff(ring[:, 0]))
    return np.asarray((length > whole / 2) & (length < whole * (1 - ROUNDING)))


def _short_way(rings: list[Doubles], whole: float, pole: float) -> Any:
    """The polygon of an outer ring and of holes whose jumps lead on in the same direction."""
    import shapely
    from shapely import affinity

    outer, *holes = [shapely.make_valid(shapely.Polygon(_led_on(ring, whole, pole))) for ring in rings]
    west, _, east, _ = outer.bounds
    for hole in holes:
        left, _, right, _ = hole.bounds
        off = whole * round((west + east - left - right) / 2 / whole)
        outer = outer - affinity.translate(hole, off)
    return outer


def _led_on(ring: Doubles, whole: float, pole: float) -> Doubles:
    """A ring without jumps; if it then does not close, it goes round a pole and is closed along that."""
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
    """The border of a grid in degrees (WGS84), cut at 180° as RFC 7946 wants it; a pole lies inside where it should.

    Args:
        geobox: One with a CRS.

    Returns:
        Shapely's polygon, or where it is cut a multi-polygon. None where some of the border is nowhere on the Earth.
    """
    import shapely

    col, row = along_edges()
    corners = geobox.transform @ np.array([col * geobox.width, row * geobox.height])
    x, y = transformed(corners[0], corners[1], geobox.crs or "", degrees())
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    ring = _led_on(np.stack([x, y], axis=1).round(DIGITS), 360, 90)
    return _cut(shapely.make_valid(shapely.Polygon(ring)))


def _cut(polygon: Any) -> Any:
    """A polygon in degrees, whose parts beyond 180° are moved to where they are within -180 to 180°."""
    import shapely
    from shapely import affinity

    if not over_seam(polygon.bounds, degrees()):
        return polygon
    earth = shapely.box(-180, -90, 180, 90)
    moved = [affinity.translate(polygon, east) for east in turns(polygon.bounds, earth.bounds, degrees())]
    return _polygonal(shapely.union_all([_polygonal(shapely.intersection(part, earth)) for part in moved]))
