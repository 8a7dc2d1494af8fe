"""The ground that chips cover, and the chips of two sets that share ground or lie close together.

Chips that were cut with overlap, or on several dates of one place, test a model on what it has learnt. Rectangles are
compared in their own coordinate reference system, so that chips that only touch share nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.warp import transform

from landmap_models.arrays import Bools, Doubles

DEGREES = "EPSG:4326"
TOLERANCE = 1 / 64
"""Share of the side of a chip by which chips may overlap and count as apart: 1 px of 64, as coordinates are rounded."""
NEAR_DEGREES = 1.0
"""Degrees of longitude around a set of chips within which other chips are compared with it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The rectangle that a chip covers."""

    crs: str
    """Coordinate reference system, as "EPSG:32633" or WKT."""
    x: float
    """Easting or longitude of its middle, in units of the CRS."""
    y: float
    """Northing or latitude of its middle, in units of the CRS."""
    width: float
    """Extent along x, in units of the CRS."""
    height: float
    """Extent along y, in units of the CRS."""


def grounds_at(coordinates: Doubles, shape: tuple[int, int], resolution: float = 10.0) -> tuple[Ground, ...]:
    """Compute the ground of chips of which only the middle is known, in the UTM zone of each.

    Args:
        coordinates: Latitude and longitude of the middle of each chip in degrees, `(n, 2)`.
        shape: Height and width of a chip in pixels.
        resolution: Size of a pixel in metres.
    """
    crs = utm_zones(coordinates)
    height, width = (pixels * resolution for pixels in shape)
    places = np.zeros_like(coordinates)
    for name in np.unique(crs):
        here = crs == name
        places[here] = _moved(coordinates[here][:, ::-1], DEGREES, str(name))
    return tuple(Ground(str(c), float(x), float(y), width, height) for c, (x, y) in zip(crs, places, strict=True))


def usable_grounds(grounds: Sequence[Ground | None]) -> tuple[Ground, ...]:
    """The ground of each chip; empty where a chip has none, or where all have the same (it was not set when cut)."""
    known = tuple(ground for ground in grounds if ground is not None)
    if len(known) < len(grounds) or len(set(known)) < 2:
        return ()
    return known


def utm_zones(coordinates: Doubles) -> npt.NDArray[np.str_]:
    """The UTM zone of each place, such as "EPSG:32633", `(n,)`.

    Args:
        coordinates: Latitude and longitude of the places in degrees, `(n, 2)`.
    """
    zone = (np.floor((coordinates[:, 1] + 180) / 6).astype(int) % 60) + 1
    codes = np.where(coordinates[:, 0] >= 0, 32600, 32700) + zone
    return np.array([f"EPSG:{code}" for code in codes])


def middles(grounds: Sequence[Ground]) -> Doubles:
    """Latitude and longitude of the middle of each chip in degrees, `(n, 2)`."""
    found = np.empty((len(grounds), 2))
    crs = np.array([ground.crs for ground in grounds])
    places = np.array([(ground.x, ground.y) for ground in grounds])
    for name in np.unique(crs):
        here = crs == name
        found[here] = _moved(places[here], str(name), DEGREES)[:, ::-1]
    return found


def close_to(some: Sequence[Ground], others: Sequence[Ground], gap: float = 0.0) -> Bools:
    """Find the chips that share ground with any of others, or lie nearer to one than a gap.

    Args:
        some: Ground of n chips.
        others: Ground of the chips that they are compared with.
        gap: Distance that must lie between two chips, in sides of a chip; 0: chips that touch are apart.

    Returns:
        True for each of `some` that is close to one of `others`, `(n,)`.
    """
    found = np.zeros(len(some), bool)
    if not len(some) or not len(others):
        return found
    one, other = _Squares.of(some), _Squares.of(others)
    for here in one.groups():
        for there in other.groups():
            found[here] |= _close(one.subset(here), other.subset(there), 1 + gap - TOLERANCE)
    return found


@dataclass(frozen=True, slots=True)
class _Squares:
    """Rectangles as arrays; those in degrees are turned into metres of their UTM zone."""

    crs: npt.NDArray[np.str_]
    place: Doubles
    """Middle of each rectangle, `(n, 2)`: x and y."""
    size: Doubles
    """Width and height of each rectangle, `(n, 2)`."""
    degrees: Doubles
    """Middle of each rectangle, `(n, 2)`: latitude and longitude in degrees."""

    @classmethod
    def of(cls, grounds: Sequence[Ground]) -> _Squares:
        degrees = middles(grounds)
        crs = np.array([ground.crs for ground in grounds])
        place = np.array([(ground.x, ground.y) for ground in grounds])
        size = np.array([(ground.width, ground.height) for ground in grounds])
        geographic = np.array([_is_geographic(name) for name in crs])
        if geographic.any():
            metres = 111_195.0 * np.stack([np.cos(np.radians(degrees[:, 0])), np.ones(len(degrees))], axis=1)
            zones = utm_zones(degrees)
            crs = np.where(geographic, zones, crs)
            size = np.where(geographic[:, None], size * metres, size)
            for name in np.unique(zones[geographic]):
                here = geographic & (zones == name)
                place[here] = _moved(degrees[here][:, ::-1], DEGREES, str(name))
        return cls(crs, place, size, degrees)

    def groups(self) -> list[npt.NDArray[np.intp]]:
        """Indices of the rectangles of one CRS and about one size, for each such group."""
        steps = np.round(10 * np.log2(self.size)).astype(int)
        keys = [f"{crs} {w} {h}" for crs, (w, h) in zip(self.crs, steps, strict=True)]
        _, number = np.unique(keys, return_inverse=True)
        return [np.flatnonzero(number == i) for i in range(number.max() + 1)]

    def subset(self, index: npt.NDArray[np.intp]) -> _Squares:
        return _Squares(self.crs[index], self.place[index], self.size[index], self.degrees[index])


def _close(one: _Squares, other: _Squares, limit: float) -> Bools:
    """Find those of a group within a distance of another group.

    The distance is that of the middles along the axis where it is larger, in sides of a chip.
    """
    from scipy.spatial import cKDTree

    crs, west_to_east = str(one.crs[0]), one.degrees[:, 1]
    middle = west_to_east[0]
    span = np.abs((west_to_east - middle + 180) % 360 - 180).max() + NEAR_DEGREES
    near = np.abs((other.degrees[:, 1] - middle + 180) % 360 - 180) <= span
    places = other.place[near]
    if crs != other.crs[0]:
        places = _moved(places, str(other.crs[0]), crs)
    places = places[np.isfinite(places).all(axis=1)]
    there = np.isfinite(one.place).all(axis=1)
    found = np.zeros(len(one.place), bool)
    if len(places) and there.any():
        side = (np.median(one.size, axis=0) + np.median(other.size, axis=0)) / 2
        distance, _ = cKDTree(places / side).query(one.place[there] / side, p=np.inf, distance_upper_bound=limit)
        found[there] = np.isfinite(distance)
    return found


def _moved(places: Doubles, crs: str, to: str) -> Doubles:
    """Transform places `(n, 2)`, x and y, to another CRS."""
    return np.stack(transform(_crs(crs), _crs(to), *places.T.tolist()), axis=1)


@lru_cache(maxsize=256)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


@lru_cache(maxsize=256)
def _is_geographic(text: str) -> bool:
    return bool(_crs(text).is_geographic)


@lru_cache(maxsize=256)
def crs_name(wkt: str) -> str:
    """The name of a CRS: "EPSG:32633" where it has such a number, else its WKT."""
    code: Any = CRS.from_wkt(wkt).to_epsg()
    return f"EPSG:{code}" if code else wkt
