"""Connected pixels of one class: found in strips, held together across them, small ones joined to a neighbour.

Everything is counted in whole pixels, so that nothing is lost or counted twice, and in strips, so that memory grows
with the number of regions and not with the scene. Pixels are connected along their sides, not across corners.

A *part* is what a region looks like within one strip. Parts are numbered from the top, and so are the regions made of
them: the cut into strips leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.mosaic import NODATA

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


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

    def sums(self, values: npt.NDArray[Any] | None = None) -> Floats:
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
    length: Floats
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


def sum_borders(one: npt.NDArray[Any], other: npt.NDArray[Any], length: Floats) -> Borders:
    """Bring together the lengths of each pair, whichever way round it stands."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    pairs, inverse = np.unique(low << 32 | high, return_inverse=True)
    summed = np.asarray(np.bincount(inverse, length, minlength=len(pairs)), np.float64)
    return Borders(pairs >> 32, pairs & (2**32 - 1), summed)
