"""Small regions of a map are joined to their neighbours, the smallest first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Doubles, Ints


@dataclass(frozen=True, slots=True)
class Borders:
    """Borders between regions of different classes; each pair of neighbours occurs once."""

    one: Ints
    """Number of the neighbour with the lower number, `(pairs,)`."""
    other: Ints
    """Number of the other neighbour, `(pairs,)`."""
    length: Doubles
    """Length of their border, `(pairs,)`, in metres or in whatever unit the sides of pixels have."""


def absorb(class_id: npt.NDArray[Any], area: Doubles, borders: Borders, minimum: float) -> tuple[Ints, Ints]:
    """Join small regions to neighbours until no small region with a neighbour is left.

    The smallest region is joined first, to the neighbour with the longest border; of neighbours with equally long
    borders to the larger one, and of equally large ones to the first. The joined region may still be small, and is then
    joined further. Regions of one class that meet become one.

    Args:
        class_id: Class id of each region, `(n,)`.
        area: Area of each region, `(n,)`; infinite for one that must stay, such as nodata.
        borders: Borders between regions of different classes.
        minimum: Area below which a region is small, in the unit of `area`.

    Returns:
        Number of the region of which each region is part in the end (its own number where it stays), and the class of
        each, both `(n,)`.
    """
    return _Absorption(class_id, area, borders, minimum).run()


class _Absorption:
    """Regions and their neighbours while they are joined."""

    def __init__(self, class_id: npt.NDArray[Any], area: Doubles, borders: Borders, minimum: float) -> None:
        self.class_id, self.area, self.minimum = class_id.tolist(), area.tolist(), minimum
        self.into = list(range(len(area)))
        self.neighbours: dict[int, dict[int, float]] = {}
        near = (area[borders.one] < minimum) | (area[borders.other] < minimum)  # large ones are never joined
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
        """Join two regions of one class; the one with fewer neighbours is moved, which is less work."""
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
            self.into[i] = self.into[self.into[i]]  # so that the path is shorter next time
            i = self.into[i]
        return i
