"""A cover → its regions with area and mean confidence, and a raster of their numbers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import OutputError
from landmap.geo.areas import PixelAreas, pixel_areas
from landmap.geo.geobox import ground_pixel_sides
from landmap.maps.cover import Cover, raster_window, side_raster
from landmap.maps.legend import check_ids
from landmap.tiling import Window
from landmap_models.arrays import Doubles, Ints
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import NODATA


@dataclass(frozen=True, slots=True)
class Strip:
    """A rectangle of class ids as wide as the cover, cut into runs: equal pixels beside each other in a row."""

    classes: npt.NDArray[np.uint8]
    """Class ids `(height, width)`."""
    run: npt.NDArray[np.int32]
    """Number of the run that a pixel is in, row by row, `(height, width)`."""
    part: npt.NDArray[np.int32]
    """Number of the part that a run belongs to, from 0, `(runs,)`."""
    start: Ints
    """First pixel of a run, counted row by row, `(runs,)`."""

    @property
    def num_parts(self) -> int:
        """How many parts there are."""
        return int(self.part.max()) + 1

    @property
    def pixel_parts(self) -> npt.NDArray[np.int32]:
        """Number of the part of each pixel, `(height, width)`."""
        return self.part[self.run]

    def part_classes(self) -> npt.NDArray[np.uint8]:
        """Class id of each part."""
        found = np.empty(self.num_parts, np.uint8)
        found[self.part] = self.classes.ravel()[self.start]
        return found

    def sums(self, values: npt.NDArray[Any] | None = None) -> Doubles:
        """Sum over each part's pixels.

        Args:
            values: Whole numbers `(height, width)`; None counts the pixels.
        """
        if values is None:
            of_run = np.diff(self.start, append=self.classes.size).astype(np.float64)
        else:
            of_run = np.add.reduceat(values.ravel(), self.start, dtype=np.int64).astype(np.float64)
        return np.asarray(np.bincount(self.part, of_run, minlength=self.num_parts), np.float64)


def cut_strip(classes: npt.NDArray[np.uint8]) -> Strip:
    """Find the parts of a strip of class ids `(height, width)`; nodata forms parts like any class."""
    starts = np.ones(classes.shape, np.bool_)
    starts[:, 1:] = classes[:, 1:] != classes[:, :-1]
    run = np.cumsum(starts.ravel(), dtype=np.int32).reshape(classes.shape) - 1
    # Where neither run begins, the pair is that of the pixels to the left.
    touch = (classes[1:] == classes[:-1]) & (starts[1:] | starts[:-1])
    start = np.flatnonzero(starts)
    part = components(len(start), run[:-1][touch], run[1:][touch])
    return Strip(classes, run, part, start)


def components(count: int, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Number of the group, from 0, of each of `count` things, of which some pairs belong together.

    Groups are numbered in the order of their first member.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    found = connected_components(pairs, directed=False)[1]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int32)[inverse]


@dataclass(frozen=True, slots=True)
class Borders:
    """Sides that different classes share. Pairs of neighbours, each once."""

    one: Ints
    """The neighbour with the lower number."""
    other: Ints
    """The one with the higher number."""
    length: Doubles
    """In metres, or whatever the sides of pixels are given in."""


def border_pairs(
    numbers: npt.NDArray[Any], classes: npt.NDArray[np.uint8], sides: tuple[float, float]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], float]]:
    """Numbers on both sides of borders between classes, and the length of each: of a pixel's width, or height.

    Args:
        numbers: Of parts or regions, `(height, width)`.
        classes: Class ids `(height, width)`.
        sides: Width and height of a pixel.
    """
    for first, second, side in (
        (np.s_[:-1, :], np.s_[1:, :], sides[0]),
        (np.s_[:, :-1], np.s_[:, 1:], sides[1]),
    ):
        border = (classes[first] != classes[second]) & (classes[first] != NODATA) & (classes[second] != NODATA)
        yield numbers[first][border], numbers[second][border], side


def sum_borders(one: npt.NDArray[Any], other: npt.NDArray[Any], length: Doubles) -> Borders:
    """Bring together the lengths of each pair, whichever way round it stands."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    pairs, inverse = np.unique(low << 32 | high, return_inverse=True)
    summed = np.asarray(np.bincount(inverse, length, minlength=len(pairs)), np.float64)
    return Borders(pairs >> 32, pairs & (2**32 - 1), summed)


def absorb(class_id: npt.NDArray[Any], area: Doubles, borders: Borders, minimum: float) -> tuple[Ints, Ints]:
    """Join small regions to neighbours until none is left that has one.

    The smallest goes first. Of neighbours with equally long borders the larger one takes it, and of equally large ones
    the first. What a region becomes part of may be small still and goes on; regions of one class that meet become one.

    Args:
        class_id: Of each region, `(n,)`.
        area: Of each region; of one that must stay, such as nodata, infinite.
        borders: Between regions of different classes.
        minimum: A region with less area is small.

    Returns:
        For each region the one that it is part of in the end (its own number, where it stays), and the class of each.
    """
    return _Absorption(class_id, area, borders, minimum).run()


class _Absorption:
    """The neighbourhood while it changes."""

    def __init__(self, class_id: npt.NDArray[Any], area: Doubles, borders: Borders, minimum: float) -> None:
        self.class_id, self.area, self.minimum = class_id.tolist(), area.tolist(), minimum
        self.into = list(range(len(area)))
        self.neighbours: dict[int, dict[int, float]] = {}
        near = (area[borders.one] < minimum) | (area[borders.other] < minimum)  # large ones never join each other
        for one, other, length in zip(
            borders.one[near].tolist(), borders.other[near].tolist(), borders.length[near].tolist(), strict=True
        ):
            self.neighbours.setdefault(one, {})[other] = length
            self.neighbours.setdefault(other, {})[one] = length

    def run(self) -> tuple[Ints, Ints]:
        queue = [(size, i) for i, size in enumerate(self.area) if size < self.minimum]
        heapq.heapify(queue)
        while queue:
            size, i = heapq.heappop(queue)
            if self.into[i] != i or self.area[i] != size or not self.neighbours.get(i):
                continue  # joined or grown meanwhile, or an island in nodata
            host = self._host(i)
            meeting = [j for j in self.neighbours[i] if j != host and self.class_id[j] == self.class_id[host]]
            self._join(i, host)
            for j in meeting:
                host = self._join_larger(j, host)
            if self.area[host] < self.minimum:
                heapq.heappush(queue, (self.area[host], host))
        roots = np.array([self._root(i) for i in range(len(self.into))], np.int64)
        return roots, np.array(self.class_id, np.int64)[roots]

    def _host(self, i: int) -> int:
        return max(self.neighbours[i], key=lambda j: (self.neighbours[i][j], self.area[j], -j))

    def _join_larger(self, one: int, other: int) -> int:
        """Join two of one class; the one with fewer neighbours moves, for that is less work."""
        if len(self.neighbours[one]) > len(self.neighbours[other]):
            one, other = other, one
        self._join(one, other)
        return other

    def _join(self, i: int, host: int) -> None:
        hosts = self.neighbours[host]
        for j, length in self.neighbours.pop(i).items():
            del self.neighbours[j][i]
            if j != host:
                hosts[j] = self.neighbours[j][host] = hosts.get(j, 0.0) + length
        self.area[host] += self.area[i]
        self.into[i] = host

    def _root(self, i: int) -> int:
        while self.into[i] != i:
            self.into[i] = self.into[self.into[i]]  # so that the way is shorter next time
            i = self.into[i]
        return i


MAX_REGIONS = 2_000_000
"""About a kilobyte each is needed until all are drawn. A full scene in cells of 8 px has a tenth of that."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a cover, from the top; region i has the number i + 1, as 0 stands for nodata."""

    class_id: npt.NDArray[np.uint8]
    """Class ids `(n,)`."""
    pixels: Ints
    """Number of pixels `(n,)`."""
    hectares: Doubles
    """Area on the ground `(n,)`; NaN without a CRS."""
    confidence: Doubles
    """Mean confidence in percent `(n,)`; NaN where there is none."""
    of_part: Ints
    """Number of the region of each part of each strip, `(parts,)`."""

    def __len__(self) -> int:
        return len(self.class_id)


def find_regions(cover: Cover, confidence: Path | None = None, min_hectares: float = 0.0) -> Regions:
    """Find the connected regions of a cover.

    Args:
        cover: Whose.
        confidence: Raster of the run that wrote it.
        min_hectares: Smaller regions go to the neighbour with which they share the longest border; their pixels count
            for it then, with their own confidence.

    Raises:
        SceneError: A raster can't be read, or they don't belong together.
        OutputError: There are too many regions.
    """
    parts = _Parts(pixel_areas(cover.geobox), _border_sides(cover) if min_hectares else None)
    percent = side_raster(confidence, cover, "confidence")
    for strip, window in _strips(cover):
        parts.add(strip, percent.read(window)[0] if percent else None, window)
    check_ids(cover.path, cover.legend, parts.pixels_by_class())
    return _Table.of(parts).regions(parts, min_hectares)


def _strips(cover: Cover) -> Iterator[tuple[Strip, Any]]:
    for window, classes in cover.strips():
        yield cut_strip(classes), window


def _border_sides(cover: Cover) -> tuple[float, float]:
    """Width and height of a pixel in metres, for comparing borders; pixels count where there are no metres."""
    sides = ground_pixel_sides(cover.geobox) if cover.geobox.crs else (1.0, 1.0)
    return sides if np.isfinite(sides).all() else (1.0, 1.0)


def _check_number(count: int) -> None:
    if count > MAX_REGIONS:
        raise OutputError(
            f"the cover falls into more than {MAX_REGIONS:,} polygons, too many to be drawn: expected fields, not "
            "noise. Classify without --smooth, or at a larger --stride"
        )


@dataclass(slots=True)
class _Parts:
    """Sums of parts, strip by strip, and how they lie to each other."""

    areas: PixelAreas | None
    """Of the cover's pixels; None without a place on the ground."""
    border_sides: tuple[float, float] | None
    """None where borders are not wanted."""
    count: int = 0
    class_id: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    pixels: list[Doubles] = field(default_factory=list)
    hectares: list[Doubles] = field(default_factory=list)
    percent: list[Doubles] = field(default_factory=list)
    seams: list[tuple[Ints, Ints]] = field(default_factory=list)
    """Parts of one region on both sides of a cut."""
    borders: list[tuple[Ints, Ints, Doubles]] = field(default_factory=list)
    _above: tuple[npt.NDArray[np.uint8], Ints] | None = None
    """Classes and parts of the row above, each `(1, width)`."""

    def add(self, strip: Strip, percent: npt.NDArray[np.uint8] | None, window: Window) -> None:
        """Take in the next strip."""
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
        """Number of pixels by class id, `(256,)`."""
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
    """The parts of one cover and the connected regions they form, from 0, nodata among them."""

    part_class: npt.NDArray[np.uint8]
    region: npt.NDArray[np.int32]
    """Of each part."""

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
        """Sum of the parts of each region; NaN where there is nothing to sum."""
        count = int(number.max()) + 1
        if not values:
            return np.full(count, np.nan)
        return np.asarray(np.bincount(number, np.concatenate(values), minlength=count), np.float64)


def write_numbers(cover: Cover, regions: Regions, path: Path) -> Ints:
    """Write the number of each pixel's region, 0 for nodata, as an int32 GeoTIFF without a place on the ground.

    Returns:
        Corners of pixels where three borders meet, as row * (width + 1) + column, ascending: there, and only there,
        one of the polygons goes straight on where its neighbours turn.
    """
    profile = {"driver": "GTiff", "dtype": "int32", "count": 1, "compress": "DEFLATE", "zlevel": 1, "predictor": 2}
    shape = {"height": cover.geobox.height, "width": cover.geobox.width, "blockysize": 16, "bigtiff": "IF_SAFER"}
    corners, first, above = [np.empty(0, np.int64)], 0, None
    with open_placeless(path, "w", **profile, **shape) as file:
        for strip, window in _strips(cover):
            last = first + strip.num_parts
            numbers = regions.of_part[first:last][strip.part].astype(np.int32)[strip.run]
            file.write(numbers, 1, window=raster_window(window))
            rows = numbers if above is None else np.concatenate([above, numbers])
            corners.append(_forks(rows) + (window.row_off - (above is not None)) * (cover.geobox.width + 1))
            first, above = last, numbers[-1:].copy()
    return np.concatenate(corners)


@contextmanager
def open_placeless(path: Path, mode: str = "r", **profile: Any) -> Iterator[Any]:
    """Open a raster that lies nowhere on purpose, so that its coordinates are columns and rows."""
    with open_dataset(path, mode, **profile) as file:
        yield file


def _forks(numbers: npt.NDArray[np.int32]) -> Ints:
    """Corners inside a rectangle where exactly three borders meet, as row * (width + 1) + column."""
    beside = numbers[:, 1:] != numbers[:, :-1]
    below = numbers[1:] != numbers[:-1]
    arms = beside[1:].astype(np.int8) + beside[:-1] + below[:, 1:] + below[:, :-1]
    row, col = np.nonzero(arms == 3)
    return np.asarray((row + 1) * (numbers.shape[1] + 1) + col + 1, np.int64)
