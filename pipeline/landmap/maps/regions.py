"""The connected regions of a cover are found, with area and mean confidence.

A cover is read in strips. Each strip falls into parts, connected along sides of pixels; parts that touch across a cut
between strips are of one region.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import OutputError
from landmap.geo.areas import PixelAreas, pixel_areas
from landmap.geo.geobox import ground_pixel_sides
from landmap.maps.cover import Cover, side_raster
from landmap.maps.legend import check_ids
from landmap.maps.small_regions import Borders, absorb
from landmap.tiling import Window
from landmap_models.arrays import Doubles, Ints
from landmap_models.legend import NODATA


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip of a cover, cut into runs (equal pixels beside each other in a row) and parts (connected runs)."""

    classes: npt.NDArray[np.uint8]
    """Class ids `(height, width)`."""
    run: npt.NDArray[np.int32]
    """Number of the run of each pixel, from 0, row by row, `(height, width)`."""
    part: npt.NDArray[np.int32]
    """Number of the part of each run, from 0, `(runs,)`."""
    start: Ints
    """First pixel of each run, counted row by row, `(runs,)`."""

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return int(self.part.max()) + 1

    @property
    def pixel_parts(self) -> npt.NDArray[np.int32]:
        """Number of the part of each pixel, `(height, width)`."""
        return self.part[self.run]

    def part_classes(self) -> npt.NDArray[np.uint8]:
        """Return the class id of each part, `(parts,)`."""
        found = np.empty(self.num_parts, np.uint8)
        found[self.part] = self.classes.ravel()[self.start]
        return found

    def sums(self, values: npt.NDArray[Any] | None = None) -> Doubles:
        """Sum values over the pixels of each part, `(parts,)`.

        Args:
            values: Whole numbers `(height, width)`; None counts the pixels.
        """
        if values is None:
            of_run = np.diff(self.start, append=self.classes.size).astype(np.float64)
        else:
            of_run = np.add.reduceat(values.ravel(), self.start, dtype=np.int64).astype(np.float64)
        return np.asarray(np.bincount(self.part, of_run, minlength=self.num_parts), np.float64)


def cut_strip(classes: npt.NDArray[np.uint8]) -> Strip:
    """Find the runs and parts of a strip, given its class ids `(height, width)`; nodata forms parts like any class."""
    starts = np.ones(classes.shape, np.bool_)
    starts[:, 1:] = classes[:, 1:] != classes[:, :-1]
    run = np.cumsum(starts.ravel(), dtype=np.int32).reshape(classes.shape) - 1
    # Where neither run begins, the pair is that of the pixels to the left.
    touch = (classes[1:] == classes[:-1]) & (starts[1:] | starts[:-1])
    start = np.flatnonzero(starts)
    part = components(len(start), run[:-1][touch], run[1:][touch])
    return Strip(classes, run, part, start)


def components(count: int, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Find the connected components of a graph.

    Args:
        count: Number of nodes.
        one: One node of each edge, `(edges,)`.
        other: The other node, `(edges,)`.

    Returns:
        Number of the component of each node, `(count,)`, from 0 in the order of their first nodes.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    found = connected_components(pairs, directed=False)[1]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int32)[inverse]


def border_pairs(
    numbers: npt.NDArray[Any], classes: npt.NDArray[np.uint8], sides: tuple[float, float]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], float]]:
    """Find the sides of pixels at which two classes meet; nodata is no class.

    Args:
        numbers: Number of the part or region of each pixel, `(height, width)`.
        classes: Class ids `(height, width)`.
        sides: Width and height of a pixel, in any unit.

    Yields:
        The numbers on both sides, each `(sides,)`, and the length of one side: first for horizontal sides, then for
        vertical ones.
    """
    for first, second, side in (
        (np.s_[:-1, :], np.s_[1:, :], sides[0]),
        (np.s_[:, :-1], np.s_[:, 1:], sides[1]),
    ):
        border = (classes[first] != classes[second]) & (classes[first] != NODATA) & (classes[second] != NODATA)
        yield numbers[first][border], numbers[second][border], side


def sum_borders(one: npt.NDArray[Any], other: npt.NDArray[Any], length: Doubles) -> Borders:
    """Sum the lengths of borders by pairs of neighbours, in whichever order a pair is given; all are `(n,)`."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    pairs, inverse = np.unique(low << 32 | high, return_inverse=True)
    summed = np.asarray(np.bincount(inverse, length, minlength=len(pairs)), np.float64)
    return Borders(pairs >> 32, pairs & (2**32 - 1), summed)


MAX_REGIONS = 2_000_000
"""Largest number of regions that are drawn: each takes about a kilobyte of memory. A full scene in cells of 8 px has a
tenth of them."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The n regions of a cover, from the top; region i has the number i + 1, as 0 stands for nodata."""

    class_id: npt.NDArray[np.uint8]
    """Class ids `(n,)`."""
    pixels: Ints
    """Number of pixels `(n,)`."""
    hectares: Doubles
    """Area on the ground in hectares `(n,)`; NaN where the cover has no place on the ground."""
    confidence: Doubles
    """Mean confidence in percent `(n,)`; NaN where it is not known."""
    of_part: Ints
    """Number of the region of each part of each strip, `(parts,)`; 0 for nodata."""

    def __len__(self) -> int:
        return len(self.class_id)


def find_regions(cover: Cover, confidence: Path | None = None, min_hectares: float = 0.0) -> Regions:
    """Find the connected regions of a cover.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        confidence: Raster of confidence from the run that wrote the cover; None where there is none.
        min_hectares: Area in hectares below which a region is joined to the neighbour with which it shares the longest
            border; its pixels keep their own confidence.

    Raises:
        SceneError: A raster can't be read, or the two don't belong together.
        OutputError: There are more than `MAX_REGIONS` regions.
    """
    parts = _Parts(pixel_areas(cover.geobox), _border_sides(cover) if min_hectares else None)
    percent = side_raster(confidence, cover, "confidence")
    for strip, window in cut_strips(cover):
        parts.add(strip, percent.read(window)[0] if percent else None, window)
    check_ids(cover.path, cover.legend, parts.pixels_by_class())
    return _Table.of(parts).regions(parts, min_hectares)


def cut_strips(cover: Cover) -> Iterator[tuple[Strip, Window]]:
    """Read a cover strip by strip and find the parts of each; yields each strip and its window."""
    for window, classes in cover.strips():
        yield cut_strip(classes), window


def _border_sides(cover: Cover) -> tuple[float, float]:
    """Return width and height of a pixel in metres, to compare borders; 1 and 1 where the cover has no place."""
    sides = ground_pixel_sides(cover.geobox) if cover.geobox.crs else (1.0, 1.0)
    return sides if np.isfinite(sides).all() else (1.0, 1.0)


def _check_number(count: int) -> None:
    if count > MAX_REGIONS:
        raise OutputError(
            f"the cover falls into more than {MAX_REGIONS:,} polygons, too many to be drawn: expected fields, not "
            "noise. Classify with --detail chip, or at a larger --stride"
        )


@dataclass(slots=True)
class _Parts:
    """Sums over the parts of all strips so far, and which parts touch."""

    areas: PixelAreas | None
    """Areas of the cover's pixels; None where it has no place on the ground."""
    border_sides: tuple[float, float] | None
    """Width and height of a pixel; None where borders are not wanted."""
    count: int = 0
    class_id: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    pixels: list[Doubles] = field(default_factory=list)
    hectares: list[Doubles] = field(default_factory=list)
    percent: list[Doubles] = field(default_factory=list)
    seams: list[tuple[Ints, Ints]] = field(default_factory=list)
    """Pairs of parts of one class that touch across a cut between strips."""
    borders: list[tuple[Ints, Ints, Doubles]] = field(default_factory=list)
    _above: tuple[npt.NDArray[np.uint8], Ints] | None = None
    """Classes and parts of the last row of the strip above, each `(1, width)`."""

    def add(self, strip: Strip, percent: npt.NDArray[np.uint8] | None, window: Window) -> None:
        """Add the next strip."""
        self.class_id.append(strip.part_classes())
        self.pixels.append(strip.sums())
        if self.areas:
            self.hectares.append(self.areas.hectares(strip.sums(self.areas.of(window))))
        if percent is not None:
            self.percent.append(strip.sums(percent))
        self._add_neighbours(strip.classes, strip.pixel_parts.astype(np.int64) + self.count)
        self.count += strip.num_parts
        _check_number(self.count // 2)  # parts are more than regions, but not many times as many

    def pixels_by_class(self) -> Ints:
        """Return the number of pixels by class id, `(256,)`."""
        ids = np.concatenate([np.empty(0, np.uint8), *self.class_id])
        pixels = np.concatenate([np.empty(0), *self.pixels])
        return np.bincount(ids, pixels, minlength=256).astype(np.int64)

    def _add_neighbours(self, classes: npt.NDArray[np.uint8], numbers: Ints) -> None:
        if self._above is not None:
            above, numbers_above = self._above
            same = above[0] == classes[0]
            pairs = np.unique(np.stack([numbers_above[0][same], numbers[0][same]]), axis=1)
            self.seams.append((pairs[0], pairs[1]))
            if self.border_sides:
                meeting = np.concatenate([above, classes[:1]]), np.concatenate([numbers_above, numbers[:1]])
                one, other, side = next(border_pairs(meeting[1], meeting[0], self.border_sides))
                self._add_borders([(one, other, side)])
        if self.border_sides:
            self._add_borders(list(border_pairs(numbers, classes, self.border_sides)))
        self._above = classes[-1:].copy(), numbers[-1:].copy()

    def _add_borders(self, found: list[tuple[Ints, Ints, float]]) -> None:
        lengths = [np.full(len(one), side) for one, _, side in found]
        one, other = (np.concatenate([pair[i] for pair in found]) for i in (0, 1))
        summed = sum_borders(one, other, np.concatenate(lengths))
        self.borders.append((summed.one, summed.other, summed.length))


@dataclass(frozen=True, slots=True)
class _Table:
    """The parts of one cover and the connected regions that they form, nodata among them."""

    part_class: npt.NDArray[np.uint8]
    region: npt.NDArray[np.int32]
    """Number of the region of each part, from 0."""

    @classmethod
    def of(cls, parts: _Parts) -> _Table:
        one, other = (np.concatenate([np.empty(0, np.int64), *(pair[i] for pair in parts.seams)]) for i in (0, 1))
        region = components(parts.count, one, other)
        _check_number(int(region.max()) + 1)
        return cls(np.concatenate(parts.class_id), region)

    def regions(self, parts: _Parts, min_hectares: float) -> Regions:
        class_id = np.zeros(int(self.region.max()) + 1, np.int64)
        class_id[self.region] = self.part_class
        region = self.region.astype(np.int64)
        if min_hectares:
            area = np.where(class_id == NODATA, np.inf, self._sum(region, parts.hectares))
            one, other, length = (np.concatenate([pairs[i] for pairs in parts.borders]) for i in range(3))
            borders = sum_borders(region[one], region[other], length)
            into, class_id = absorb(class_id, area, borders, min_hectares)
            region = into[region]
        # Numbers from 1 in the order of the first pixel, 0 for nodata.
        kept = np.unique(region[class_id[region] != NODATA])
        number = np.zeros(len(class_id), np.int64)
        number[kept] = np.arange(1, len(kept) + 1)
        of_part = number[region]
        pixels = self._sum(of_part, parts.pixels)[1:]
        return Regions(
            class_id=class_id[kept].astype(np.uint8),
            pixels=pixels.astype(np.int64),
            hectares=self._sum(of_part, parts.hectares)[1:],
            confidence=self._sum(of_part, parts.percent)[1:] / pixels,
            of_part=of_part,
        )

    @staticmethod
    def _sum(number: Ints, values: list[Doubles]) -> Doubles:
        """Sum values of parts by region; NaN where there are no values."""
        count = int(number.max()) + 1
        if not values:
            return np.full(count, np.nan)
        return np.asarray(np.bincount(number, np.concatenate(values), minlength=count), np.float64)
