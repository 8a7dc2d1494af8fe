"""Confusion matrices are counted: how often each class of a map meets each class of its reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landmap.accuracy.reference import NO_CLASS, Points, Polygons, Raster
from landmap.errors import ReferenceDataError
from landmap.geo.areas import PixelAreas
from landmap.maps.cover import VALUES, Cover
from landmap.maps.legend import check_ids
from landmap.maps.shares import ClassCounter
from landmap.tiling import Window
from landmap_models.arrays import Bytes, Doubles, Ints
from landmap_models.legend import UNKNOWN, UNKNOWN_ID


@dataclass(frozen=True, slots=True)
class OfStrata:
    """m points that were drawn in strata which are not the classes of the map."""

    strata: Ints
    """Stratum of each point, `(m,)`, from 0."""
    pixels: Doubles
    """Number of pixels of each stratum."""
    mapped: Ints
    """Value of the map at each point, `(m,)`."""
    reference: Ints
    """Id of the reference class of each point, `(m,)`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of reference places; rows and columns are class ids, 254 (Unknown) and 255 (nodata)."""

    pairs: Ints
    """Number of places by value of the map (row) and of the reference (column), `(256, 256)`."""
    mapped: Doubles
    """Area of the map in hectares by value, `(256,)`."""
    pair_hectares: Doubles | None = None
    """Area in hectares of each pair, `(256, 256)`, where places are pixels; None where they are points."""
    outside: int = 0
    """Number of points, or whole polygons, outside the map."""
    hint: str = ""
    """Why they may lie there, in words; "" where no reason is found."""
    places: str = ""
    """How coordinates of points were read, in words; "" where the reference has a CRS itself."""
    without_class: int = 0
    """Number of points or polygons without a class."""
    two_classes: int = 0
    """Number of pixels in polygons of different classes."""
    same_pixel: int = 0
    """Number of points in a pixel in which another point lies."""
    of_strata: OfStrata | None = None
    """The points one by one, where they were drawn in other strata than the map's classes."""


def tally_points(cover: Cover, points: Points) -> Tally:
    """Count points by the pixel in which they lie, and the pixels of the whole map.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        points: Reference points with their classes.

    Raises:
        GeoreferenceError: The map has no place on the ground.
        SceneError: The map can't be read, or has other ids than its legend.
    """
    inside = (
        (points.rows >= 0)
        & (points.rows < cover.geobox.height)
        & (points.cols >= 0)
        & (points.cols < cover.geobox.width)
    )
    use = np.flatnonzero(inside & (points.ids != NO_CLASS))
    use = use[np.argsort(points.rows[use], kind="stable")]
    rows, cols, ids = points.rows[use], points.cols[use], points.ids[use]
    pairs, counter = np.zeros((VALUES, VALUES), np.int64), ClassCounter(cover.areas())
    met = np.empty(len(use), np.int64)
    for window, values in cover.strips():
        top = window.row_off
        counter.add(window, values)
        here = slice(*np.searchsorted(rows, (top, top + window.height)))
        met[here] = values[rows[here] - top, cols[here]]
        np.add.at(pairs, (met[here], ids[here]), 1)
    _check_map(counter.pixels, cover)
    mapped = counter.hectares
    return Tally(
        pairs,
        np.zeros(VALUES) if mapped is None else mapped,
        outside=int((~inside).sum()),
        hint=points.hint,
        places=points.places,
        without_class=int((inside & (points.ids == NO_CLASS)).sum()),
        same_pixel=len(use) - len(np.unique(rows * cover.geobox.width + cols)),
        of_strata=_of_strata(cover, points, use, met),
    )


def _of_strata(cover: Cover, points: Points, use: Ints, met: Ints) -> OfStrata | None:
    """The points that are used, on a class of the map; None where their strata are the classes of the map.

    Args:
        cover: The map at whose classes the points are compared.
        points: All points of the reference file.
        use: Places of those that are used in `points`.
        met: Value of the map at each of these.
    """
    if points.drawn is None:
        return None
    strata, names = points.drawn.strata[use], np.array(points.drawn.names, object)
    known = np.isin(met, cover.ids)
    if (cover.names_by_id[met[known]] == names[strata[known]]).all():
        return None
    return OfStrata(strata[known], points.drawn.pixels, met[known], points.ids[use][known])


def tally_areas(cover: Cover, reference: Polygons | Raster) -> Tally:
    """Count every pixel for which there is a reference, and the pixels of the whole map.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        reference: Reference polygons, or a raster.

    Raises:
        ReferenceDataError: The reference has ids that the map has not.
    """
    found = PairCounter(cover.areas())
    for window, values, truth in _both(cover, reference):
        found.add(window, values, truth)
    _check_map(found.pixels.sum(axis=1), cover)
    _check_reference(found.pixels, cover)
    mapped = found.hectares.sum(axis=1)
    if not isinstance(reference, Polygons):
        return Tally(found.pixels, mapped, found.hectares)
    return Tally(
        found.pixels,
        mapped,
        found.hectares,
        outside=reference.outside,
        without_class=reference.without_class,
        two_classes=int(found.pixels[:, UNKNOWN_ID].sum()),
    )


def tally_sample(cover: Cover, reference: Raster, size: int, seed: int) -> Tally:
    """Draw pixels at random within each mapped class, and count those.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        reference: A raster of true classes.
        size: Number of pixels to draw in each class; all where a class has fewer. Only pixels that have a class in both
            rasters are drawn.
        seed: Seed of the random numbers; equal seeds draw equal pixels.
    """
    whole = tally_areas(cover, reference)
    square = np.ix_(cover.ids, cover.ids)
    known = np.isin(np.arange(VALUES), cover.ids)
    population = whole.pairs[square].sum(axis=1)
    rng = np.random.default_rng(seed)
    wanted = [np.sort(rng.choice(n, min(size, n), replace=False, shuffle=False)) for n in population]
    pairs, passed = np.zeros((VALUES, VALUES), np.int64), np.zeros(len(wanted), np.int64)
    for _, values, truth in _both(cover, reference):
        for i, class_id in enumerate(cover.ids):
            # What is drawn are ranks among the pixels of the class, counted row by row from the top.
            candidates = truth[(values == class_id) & known[truth]]
            first, last = np.searchsorted(wanted[i], (passed[i], passed[i] + len(candidates)))
            pairs[class_id] += np.bincount(candidates[wanted[i][first:last] - passed[i]], minlength=VALUES)
            passed[i] += len(candidates)
    mapped = whole.mapped.copy()
    if whole.pair_hectares is not None:
        mapped[cover.ids] = whole.pair_hectares[square].sum(axis=1)
    return Tally(pairs, mapped)


class PairCounter:
    """Counts how often each value of one raster meets each value of another with the same geobox, and their area."""

    def __init__(self, areas: PixelAreas) -> None:
        """Start with counts of 0.

        Args:
            areas: Areas of the pixels.
        """
        self._areas = areas
        self.pixels: Ints = np.zeros((VALUES, VALUES), np.int64)
        """Number of pixels by value of the one raster (row) and of the other (column), `(256, 256)`."""
        self._units: Ints = np.zeros((VALUES, VALUES), np.int64)

    def add(self, window: Window, one: Bytes, other: Bytes) -> None:
        """Count the pixels of a window, given the values of both rasters, each `(height, width)`."""
        both = (one.astype(np.uint16) * VALUES + other).ravel()
        weights = self._areas.of(window).ravel()
        self.pixels += np.bincount(both, minlength=VALUES**2).reshape(VALUES, VALUES)
        self._units += np.bincount(both, weights, VALUES**2).astype(np.int64).reshape(VALUES, VALUES)

    @property
    def hectares(self) -> Doubles:
        """Area of each pair in hectares, `(256, 256)`, as `pixels`."""
        return self._areas.hectares(self._units)


def _both(cover: Cover, reference: Polygons | Raster) -> Iterator[tuple[Window, Bytes, Bytes]]:
    for (window, values), truth in zip(cover.strips(), reference.strips(cover), strict=True):
        yield window, values, truth


def _check_map(pixels: Ints, cover: Cover) -> None:
    check_ids(cover.path, (*cover.classes, UNKNOWN), pixels)


def _check_reference(pairs: Ints, cover: Cover) -> None:
    found = np.flatnonzero(pairs[:, :UNKNOWN_ID].any(axis=0)).tolist()
    ids = cover.ids
    if strange := [str(i) for i in found if i not in ids]:
        whole = ids == list(range(len(ids)))
        known = f"0 to {ids[-1]}" if whole else ", ".join(map(str, ids))
        raise ReferenceDataError(
            f"Expected class ids of the map, {known}, or nodata, in the reference raster. Found {', '.join(strange)}"
        )
