"""Small regions of a map are joined to their neighbours."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Doubles, Ints


@dataclass(frozen=True, slots=True)
class Borders:
    """Sides that different classes share. Pairs of neighbours, each once."""

    one: Ints
    """The neighbour with the lower number."""
    other: Ints
    """The one with the higher number."""
    length: Doubles
    """In metres, or whatever the sides of pixels are given in."""


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
