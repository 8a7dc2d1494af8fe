"""Regions of a cover become polygons that fit together without gaps, in pixel coordinates (column, row)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import shapes

from landmap.maps.cover import Cover, raster_window
from landmap.maps.regions import Regions, cut_strips
from landmap_models.arrays import Doubles, Ints
from landmap_models.gdal_dataset import open_dataset

BATCH_VERTICES = 500_000
"""A batch of polygons ends when it has so many vertices."""
GROUP_VERTICES = 6_000_000
"""A group of polygons that are simplified at once ends when it has so many vertices, of some 150 bytes each."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """Some of the polygons of a cover."""

    number: Ints
    """Number of the region of each polygon, from 1, `(n,)`."""
    geometry: npt.NDArray[Any]
    """Shapely's polygons `(n,)`."""


@dataclass(frozen=True, slots=True)
class Rings:
    """Polygons as ragged arrays, as Shapely takes them."""

    vertices: Doubles
    """Column and row of each vertex, `(n, 2)`; the first vertex of a ring is also its last."""
    ring_start: Ints
    """Index of the first vertex of each ring, then the number of vertices, `(rings + 1,)`."""
    polygon_start: Ints
    """Index of the first ring of each polygon, then the number of rings, `(polygons + 1,)`."""


def polygons(numbers: Path, forks: Ints) -> Iterator[Polygons]:
    """Draw the regions in a raster of their numbers as polygons: one for each region, with holes.

    GDAL reads the raster line by line and keeps only vertices. It gives a polygon vertices where it turns; here those
    are added where its neighbours turn, so that a border has the same vertices on both sides, and no gap opens when it
    is reprojected or simplified.

    Args:
        numbers: The raster that `write_numbers` wrote.
        forks: The corners that `write_numbers` returned.
    """
    with open_placeless(numbers) as file:
        across = file.width + 1
        by_column = np.sort(forks % across * (file.height + 1) + forks // across)
        for number, rings in _batches(file):
            yield Polygons(number, _polygons(_with_forks(rings, forks, across, by_column, file.height + 1)))


def _batches(file: Any) -> Iterator[tuple[Ints, Rings]]:
    number: list[int] = []
    vertices: list[tuple[float, float]] = []
    ring_start, polygon_start = [0], [0]
    for geometry, value in shapes(rasterio.band(file, 1)):
        if not value:
            continue
        for ring in geometry["coordinates"]:
            vertices.extend(ring)
            ring_start.append(len(vertices))
        polygon_start.append(len(ring_start) - 1)
        number.append(int(value))
        if len(vertices) >= BATCH_VERTICES:
            yield np.array(number), Rings(np.array(vertices), np.array(ring_start), np.array(polygon_start))
            number, vertices, ring_start, polygon_start = [], [], [0], [0]
    if number:
        yield np.array(number), Rings(np.array(vertices), np.array(ring_start), np.array(polygon_start))


def _with_forks(rings: Rings, by_row: Ints, across: int, by_column: Ints, down: int) -> Rings:
    """Add the forks that lie on the sides of polygons as vertices.

    Args:
        rings: Polygons of which all sides are horizontal or vertical.
        by_row: Forks as row * across + column, ascending.
        across: Number of columns of corners.
        by_column: Forks as column * down + row, ascending.
        down: Number of rows of corners.
    """
    corners = np.rint(rings.vertices).astype(np.int64)
    begin, end = corners[:-1], corners[1:]
    level = begin[:, 1] == end[:, 1]
    line = np.where(level, begin[:, 1] * across, begin[:, 0] * down)
    low = line + np.where(level, np.minimum(begin, end)[:, 0], np.minimum(begin, end)[:, 1])
    high = line + np.where(level, np.maximum(begin, end)[:, 0], np.maximum(begin, end)[:, 1])
    first = np.where(level, np.searchsorted(by_row, low, "right"), np.searchsorted(by_column, low, "right"))
    last = np.where(level, np.searchsorted(by_row, high), np.searchsorted(by_column, high))
    count = np.maximum(last - first, 0)
    count[rings.ring_start[1:-1] - 1] = 0  # from one ring to the next there is no side
    place = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
    forward = (end - begin).sum(axis=1) > 0
    index = np.where(forward[place], first[place] + step, last[place] - 1 - step)
    added = np.where(
        level[place, None],
        np.stack([_at(by_row, index) % across, _at(by_row, index) // across], axis=1),
        np.stack([_at(by_column, index) // down, _at(by_column, index) % down], axis=1),
    )
    vertices = np.insert(corners, place + 1, added, axis=0)
    moved = np.concatenate([[0], np.cumsum(count), [count.sum()]])
    return Rings(vertices.astype(np.float64), rings.ring_start + moved[rings.ring_start], rings.polygon_start)


def _at(values: Ints, index: Ints) -> Ints:
    """Return values by index; an index beyond the end gives the last value, which the caller does not use."""
    return values[np.minimum(index, len(values) - 1)] if len(values) else index


def _polygons(rings: Rings) -> npt.NDArray[Any]:
    import shapely

    found = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, rings.vertices, (rings.ring_start, rings.polygon_start)
    )
    return np.asarray(found)


def simplify(drawn: Iterable[Polygons], tolerance: float, sides: tuple[float, float]) -> Iterator[Polygons]:
    """Simplify polygons so that they still fit together and keep the outer border of the cover.

    GEOS's coverage simplification, after Visvalingam and Whyatt, simplifies border by border: what one polygon loses
    its neighbour gains. That takes all polygons at once. Where they have more vertices than fit into memory they are
    simplified in groups, and borders between two groups stay as they are.

    Args:
        drawn: Polygons of a cover, in pixel coordinates.
        tolerance: About the square root of the area that may be cut off a border at each vertex, in metres.
        sides: Width and height of a pixel in metres.
    """
    for group in _groups(drawn):
        yield Polygons(group.number, _simplified(group.geometry, tolerance, sides))


def _groups(drawn: Iterable[Polygons]) -> Iterator[Polygons]:
    import shapely

    group: list[Polygons] = []
    vertices = 0
    for polygons in drawn:
        group.append(polygons)
        vertices += int(shapely.get_num_coordinates(polygons.geometry).sum())
        if vertices >= GROUP_VERTICES:
            yield _together(group)
            group, vertices = [], 0
    if group:
        yield _together(group)


def _together(group: Sequence[Polygons]) -> Polygons:
    return Polygons(np.concatenate([p.number for p in group]), np.concatenate([p.geometry for p in group]))


def _simplified(geometry: npt.NDArray[Any], tolerance: float, sides: tuple[float, float]) -> npt.NDArray[Any]:
    import shapely

    in_metres = shapely.transform(geometry, lambda corners: corners * sides)
    simple = shapely.coverage_simplify(in_metres, tolerance, simplify_boundary=False)
    return np.asarray(shapely.transform(simple, lambda corners: corners / sides))


def write_numbers(cover: Cover, regions: Regions, path: Path) -> Ints:
    """Write the number of each pixel's region, 0 for nodata, as an int32 GeoTIFF without a place on the ground.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        regions: The regions of that cover, with their numbers.
        path: The file to write.

    Returns:
        Corners of pixels where three borders meet, as row * (width + 1) + column, ascending: there, and only there,
        one of the polygons goes straight on where its neighbours turn.
    """
    profile = {"driver": "GTiff", "dtype": "int32", "count": 1, "compress": "DEFLATE", "zlevel": 1, "predictor": 2}
    shape = {"height": cover.geobox.height, "width": cover.geobox.width, "blockysize": 16, "bigtiff": "IF_SAFER"}
    corners, first, above = [np.empty(0, np.int64)], 0, None
    with open_placeless(path, "w", **profile, **shape) as file:
        for strip, window in cut_strips(cover):
            last = first + strip.num_parts
            numbers = regions.of_part[first:last][strip.part].astype(np.int32)[strip.run]
            file.write(numbers, 1, window=raster_window(window))
            rows = numbers if above is None else np.concatenate([above, numbers])
            corners.append(_forks(rows) + (window.row_off - (above is not None)) * (cover.geobox.width + 1))
            first, above = last, numbers[-1:].copy()
    return np.concatenate(corners)


@contextmanager
def open_placeless(path: Path, mode: str = "r", **profile: Any) -> Iterator[Any]:
    """Open a raster without a place on the ground, so that its coordinates are columns and rows."""
    with open_dataset(path, mode, **profile) as file:
        yield file


def _forks(numbers: npt.NDArray[np.int32]) -> Ints:
    """Find the corners inside a rectangle where exactly three borders meet, as row * (width + 1) + column."""
    beside = numbers[:, 1:] != numbers[:, :-1]
    below = numbers[1:] != numbers[:-1]
    arms = beside[1:].astype(np.int8) + beside[:-1] + below[:, 1:] + below[:, :-1]
    row, col = np.nonzero(arms == 3)
    return np.asarray((row + 1) * (numbers.shape[1] + 1) + col + 1, np.int64)
