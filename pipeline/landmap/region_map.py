"""A cover → its regions with area and mean confidence, and a raster of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.areas import PixelAreas, pixel_areas
from landmap.cover import Cover, open_companion, open_raster, raster_window, read, read_classes
from landmap.errors import OutputError
from landmap.grid import Window
from landmap.ground import ground_pixel_sides
from landmap.map_legend import check_ids
from landmap.mosaic import NODATA
from landmap.regions import Floats, Ints, Strip, border_pairs, components, cut_strip, sum_borders
from landmap.small_regions import absorb
from landmap_models.gdal_dataset import open_dataset

MAX_REGIONS = 2_000_000
"""About a kilobyte each is needed until all are drawn. A full scene in cells of 8 px has a tenth of that."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a cover, from the top; region i has the number i + 1, as 0 stands for nodata."""

    class_id: npt.NDArray[np.uint8]
    """Class ids `(n,)`."""
    pixels: Ints
    """Number of pixels `(n,)`."""
    hectares: Floats
    """Area on the ground `(n,)`; NaN without a CRS."""
    confidence: Floats
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
    parts = _Parts(pixel_areas(cover), _border_sides(cover) if min_hectares else None)
    with open_companion(confidence, cover, "confidence") as percent:
        for strip, window in _strips(cover):
            parts.add(strip, read(percent, window) if percent else None, window)
    check_ids(cover.path, cover.legend, parts.pixels_by_class())
    return _Table.of(parts).regions(parts, min_hectares)


def _strips(cover: Cover) -> Iterator[tuple[Strip, Any]]:
    with open_raster(cover.path) as file:
        for window in cover.strips():
            yield cut_strip(read_classes(file, window)), window


def _border_sides(cover: Cover) -> tuple[float, float]:
    """Width and height of a pixel in metres, for comparing borders; pixels count where there are no metres."""
    sides = ground_pixel_sides(cover) if cover.crs else (1.0, 1.0)
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
    pixels: list[Floats] = field(default_factory=list)
    hectares: list[Floats] = field(default_factory=list)
    percent: list[Floats] = field(default_factory=list)
    seams: list[tuple[Ints, Ints]] = field(default_factory=list)
    """Parts of one region on both sides of a cut."""
    borders: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
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
    def _sum(number: Ints, values: list[Floats]) -> Floats:
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
    shape = {"height": cover.height, "width": cover.width, "blockysize": 16, "bigtiff": "IF_SAFER"}
    corners, first, above = [np.empty(0, np.int64)], 0, None
    with open_placeless(path, "w", **profile, **shape) as file:
        for strip, window in _strips(cover):
            last = first + strip.num_parts
            numbers = regions.of_part[first:last][strip.part].astype(np.int32)[strip.run]
            file.write(numbers, 1, window=raster_window(window))
            rows = numbers if above is None else np.concatenate([above, numbers])
            corners.append(_forks(rows) + (window.row_off - (above is not None)) * (cover.width + 1))
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
