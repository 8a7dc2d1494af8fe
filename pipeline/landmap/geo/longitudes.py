"""Coordinates and boxes in another CRS, also where x goes round the Earth and jumps, at 180° in most CRSs.

180.1°, -179.9° and 540.1° are one meridian. Here longitudes (and eastings of cylindrical projections such as Web
Mercator, which jump likewise) are continuous: a box's east is never less than its west, but may lie beyond 180°. Before
places are compared, they are moved by whole turns to lie close together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from landmap.geo.geobox import GeoBox
from landmap_models.arrays import Doubles

Box = tuple[float, float, float, float]
"""West, south, east and north; west is less than east, which may lie beyond the range of the CRS."""

STEPS = 20
"""Number of parts into which each edge of a box is cut, as a straight line is bent in another CRS."""
NATURAL = "Longitude of natural origin"
"""PROJ's name of the middle of a cylindrical projection."""
ROUNDING = 1e-9
"""Share of a turn by which coordinates may be off."""


@lru_cache(maxsize=64)
def turn(crs: str | None) -> float | None:
    """Length of x once round the Earth: 360 in degrees, 40,075,017 in Web Mercator.

    Args:
        crs: Coordinate reference system as WKT, or None.

    Returns:
        A length in the CRS's unit. None where x does not go round, as in UTM, or there is no CRS.
    """
    from pyproj import CRS, Transformer

    if crs is None:
        return None
    known = CRS.from_wkt(crs)
    if known.is_geographic:
        return round(2 * math.pi / known.axis_info[0].unit_conversion_factor, 9)
    if not known.is_projected or known.geodetic_crs is None:
        return None
    project = Transformer.from_crs(known.geodetic_crs, known, always_xy=True).transform
    eighths = np.arange(-180.0, 180.0, 45.0)
    lines = [np.asarray(project(eighths, np.full(8, latitude))) for latitude in (0.0, 50.0)]
    return _period(*lines) if np.isfinite(lines).all() else None


def _period(equator: Doubles, parallel: Doubles) -> float | None:
    """Length of a turn if two parallels, x and y at each eighth of them `(2, 8)`, are of a cylindrical projection."""
    whole = 8 * float(np.median(np.diff(equator[0])))
    if not whole > 0:
        return None
    steps = np.diff(equator[0], append=equator[0][0])  # seven of an eighth, and one of an eighth less a whole
    odd = steps - whole * np.round(steps / whole - 1 / 8) - whole / 8
    slanting = equator[0] - parallel[0]
    bent = [np.ptp(line[1]) for line in (equator, parallel)]
    return whole if np.abs([*odd, *slanting, *bent]).max() < 1e-6 * whole else None


@lru_cache(maxsize=64)
def seam(crs: str | None) -> float | None:
    """The x at which a CRS ends in the east, and jumps by a `turn`: 180 in degrees; None where it does not."""
    from pyproj import CRS

    whole = turn(crs)
    if whole is None or crs is None:
        return None
    operation = CRS.from_wkt(crs).coordinate_operation
    params = operation.params if operation else []
    return whole / 2 + sum(float(p.value) for p in params if p.name == "False easting")


def over_seam(box: Box, crs: str | None) -> bool:
    """Whether a box leaves the range of x of its CRS, such as -180 to 180°."""
    edge, whole = seam(crs), turn(crs)
    if edge is None or whole is None:
        return False
    slack = ROUNDING * whole
    return box[0] < edge - whole - slack or box[2] > edge + slack


def near(x: Any, middle: float, crs: str | None) -> Doubles:
    """Move x coordinates by whole turns to within half a turn of the middle; in a CRS without turns they stay."""
    x, whole = np.asarray(x, np.float64), turn(crs)
    if whole is None:
        return np.asarray(x)
    off = np.where(np.isfinite(x), x - middle, 0)
    return np.asarray(np.where(np.abs(off) > whole / 2, x - whole * np.round(off / whole), x))


def coordinates(x: Any, y: Any, crs: str, geobox: GeoBox) -> tuple[Doubles, Doubles]:
    """Transform points to the CRS of a raster, to that side of 180° on which the raster lies.

    Args:
        x: Coordinates of the points to the east.
        y: Coordinates of the points to the north.
        crs: CRS of the points as WKT.
        geobox: Where the raster lies; it has a CRS.

    Returns:
        x and y; infinite where the raster's CRS has no place for a point.

    Raises:
        RuntimeError: pyproj knows no way from the one CRS to the other.
    """
    x, y = transformed(x, y, crs, geobox.crs or "")
    west, _, east, _ = geobox.bounds
    return near(x, (west + east) / 2, geobox.crs), y


def boxes_in(box: Box, source: str, target: str) -> list[Box]:
    """The smallest boxes around a box in another CRS.

    Args:
        box: A box in the source CRS.
        source: CRS of the box as WKT.
        target: The other CRS as WKT.

    Returns:
        One box, as a rule. Two boxes where the other CRS is torn in the middle of the box and does not go on in a
        straight line beyond the tear. No box where the other CRS has no place for it.

    Raises:
        RuntimeError: pyproj knows no way from the one CRS to the other.
    """
    if source == target:
        return [box]
    x, y = outline(box, source, target)
    if not len(x):
        return []
    whole = turn(target)
    if whole is None:
        return [_around(x[part], y[part]) for part in _torn(x)]
    x = np.unwrap(x, period=whole)
    if abs(x[-1] - x[0]) > whole / 2:  # the outline goes round a pole
        return [_with_pole(x, y, whole, target)]
    return [_around(x, y)]


def outline(box: Box, source: str, target: str) -> tuple[Doubles, Doubles]:
    """Points along the border of a box in another CRS, closed; without those for which it has no place."""
    west, south, east, north = box
    right, up = along_edges()
    x, y = transformed(west + (east - west) * right, south + (north - south) * up, source, target)
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]


def along_edges() -> tuple[Doubles, Doubles]:
    """Points along the edges of the unit square from its origin and back, as x and y."""
    along, zero, one = np.arange(STEPS) / STEPS, np.zeros(STEPS), np.ones(STEPS)
    return np.concatenate([along, one, 1 - along, zero, [0]]), np.concatenate([zero, along, one, 1 - along, [0]])


@lru_cache(maxsize=1)
def degrees() -> str:
    """The CRS of longitude and latitude (WGS84), as WKT."""
    from pyproj import CRS

    return str(CRS.from_epsg(4326).to_wkt())


def transformed(x: Any, y: Any, source: str, target: str) -> tuple[Doubles, Doubles]:
    """Points in another CRS as PROJ gives them, on either side of the seam; infinite where it has no place for them.

    Raises:
        RuntimeError: pyproj knows no way from the one CRS to the other.
    """
    from pyproj import Transformer

    found = Transformer.from_crs(source, target, always_xy=True).transform(np.asarray(x), np.asarray(y))
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)


def _around(x: Doubles, y: Doubles) -> Box:
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _torn(x: Doubles) -> list[npt.NDArray[np.bool_]]:
    """Masks of the points on each side of a tear. Without a tear no two neighbours are half the whole apart."""
    places = np.sort(x)
    gaps = np.diff(places, append=places[-1])
    widest = int(gaps.argmax())
    if gaps[widest] <= (places[-1] - places[0]) / 2:
        return [np.ones(len(x), np.bool_)]
    return [x <= places[widest], x > places[widest]]


def _with_pole(x: Doubles, y: Doubles, whole: float, crs: str) -> Box:
    """The box of all longitudes between an outline and the pole that it goes round."""
    end = pole(crs)
    south, north = (float(y.min()), end) if y.mean() > 0 else (-end, float(y.max()))
    return float(x.min()), south, float(x.min()) + whole, north


def pole(crs: str) -> float:
    """The y of the North Pole in a CRS that has a `turn`; a large number where it is infinite."""
    from pyproj import CRS

    whole = turn(crs) or math.inf
    return whole / 4 if CRS.from_wkt(crs).is_geographic else whole


def turns(box: Box, other: Box, crs: str | None) -> list[float]:
    """Distances to the east, by whole turns of the CRS, that move a box to touch another; none where none does."""
    west, south, east, north = box
    left, bottom, right, top = other
    if south > top or north < bottom:
        return []
    whole = turn(crs)
    if whole is None:
        return [0.0] if west <= right and east >= left else []
    slack = ROUNDING * whole
    first, last = math.ceil((left - east - slack) / whole), math.floor((right - west + slack) / whole)
    return [number * whole for number in range(first, last + 1)]


def touch(geobox: GeoBox, other: GeoBox) -> bool:
    """Whether two rasters with a CRS touch, by boxes around them.

    False where pyproj knows no way from the one CRS to the other.
    """
    crs, others = geobox.crs or "", other.crs or ""
    try:
        return any(turns(geobox.bounds, box, crs) for box in boxes_in(other.bounds, others, crs))
    except RuntimeError:  # pyproj's own
        return False


def continuous(box: Sequence[float], crs: str | None) -> Box | None:
    """Make a box continuous that is written with west more than east, as 180° lies between (RFC 7946).

    Returns:
        The box with an east beyond 180°, if so. None if it is no box in its CRS.
    """
    west, south, east, north = box
    if west > east:
        east += turn(crs) or 0.0
    return (west, south, east, north) if west < east and south < north else None


def as_written(box: Box, crs: str | None) -> Box:
    """Write a box in the range of its CRS, with west more than east where 180° lies between (RFC 7946)."""
    edge, whole = seam(crs), turn(crs)
    if edge is None or whole is None or not over_seam(box, crs):
        return box
    west, south, east, north = box
    if east - west >= whole * (1 - ROUNDING):
        return edge - whole, south, edge, north
    west, east = (x - whole * math.ceil((x - edge) / whole) for x in (west, east))
    return west, south, east, north


def unbroken(geobox: GeoBox) -> GeoBox:
    """Turn the CRS of a raster that goes over its seam, so that the seam lies on the far side of the Earth.

    GDAL moves coordinates into the CRS's range before it looks them up, and misses what lies beyond. Rasters within
    that range, and those whose CRS has none, are returned unchanged.
    """
    from pyproj import CRS

    edge, whole, box = seam(geobox.crs), turn(geobox.crs), geobox.bounds
    if edge is None or whole is None or geobox.crs is None or not over_seam(box, geobox.crs):
        return geobox
    east = (box[0] + box[2]) / 2 - (edge - whole / 2)
    crs = _shifted_crs(CRS.from_wkt(geobox.crs), math.remainder(360 * east / whole, 360))
    if crs is None:
        return geobox
    return GeoBox(geobox.height, geobox.width, Affine.translation(-east, 0) @ geobox.transform, crs.to_wkt())


def _shifted_crs(crs: Any, degrees: float) -> Any | None:
    """Move the middle of a CRS to the east; None for kinds without a middle. A vertical part is dropped."""
    from pyproj import CRS
    from pyproj.crs import BoundCRS

    if crs.is_compound:
        return _shifted_crs(crs.sub_crs_list[0], degrees)
    if crs.is_bound:
        inner = _shifted_crs(crs.source_crs, degrees)
        return inner and BoundCRS(inner, crs.target_crs, crs.coordinate_operation)
    fields = crs.to_json_dict()
    fields.pop("id", None)
    fields["name"] += ", turned"
    if fields["type"] == "GeographicCRS":
        fields.pop("datum_ensemble", None)
        return CRS.from_json_dict(fields | {"datum": _shifted_datum(crs, degrees)})
    if fields["type"] != "ProjectedCRS":
        return None
    fields["conversion"].pop("id", None)
    for param in fields["conversion"]["parameters"]:
        param["value"] += degrees if param["name"] == NATURAL else 0
    return CRS.from_json_dict(fields)


def _shifted_datum(crs: Any, degrees: float) -> dict[str, Any]:
    """The datum of a CRS with another prime meridian, as PROJJSON."""
    fields, meridian = crs.datum.to_json_dict(), crs.prime_meridian
    was = math.degrees(meridian.longitude * meridian.unit_conversion_factor)
    kept = {key: fields[key] for key in ("ellipsoid", "id") if key in fields}  # by its number PROJ finds ways to others
    return kept | {
        "type": "GeodeticReferenceFrame",
        "name": fields["name"].removesuffix(" ensemble"),
        "prime_meridian": {"name": "turned", "longitude": was + degrees},
    }


def span(boxes: Sequence[Sequence[float]]) -> tuple[float, float]:
    """West and east in degrees of the smallest box around others; west is more than east if 180° lies between."""
    spans = sorted((west, east if west <= east else east + 360) for west, _, east, _ in boxes)
    reached = max(east for _, east in spans) - 360
    gaps = []
    for west, east in spans:
        gaps.append((west - reached, west, reached))
        reached = max(reached, east)
    widest, west, east = max(gaps, key=lambda gap: gap[0])
    if widest <= 0:
        return -180.0, 180.0
    return west, round(east + 360 if east < -180 else east, 9)
