"""How much of each class a cover holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from landmap.mosaic import NODATA
from landmap_models.legend import LandClass


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class in one cover."""

    id: int
    """Class id."""
    name: str
    """Class name."""
    pixels: int
    """Number of pixels."""
    share: float
    """Of the valid pixels, 0 to 1; 0 where none is valid."""
    hectares: float | None
    """Area on the ground; None without a CRS."""


class ClassCounter:
    """Counts pixels by class, chunk by chunk."""

    def __init__(self) -> None:
        """Start from nothing."""
        self._counts = np.zeros(256, np.int64)

    def add(self, classes: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of a rectangle of class ids."""
        self._counts += np.bincount(classes.ravel(), minlength=256)

    @property
    def nodata(self) -> int:
        """Pixels without data so far."""
        return int(self._counts[NODATA])

    def shares(self, legend: Iterable[LandClass], hectares: float | None) -> tuple[ClassShare, ...]:
        """Share of every class, in their order.

        Args:
            legend: What the map may show.
            hectares: Area of a pixel.
        """
        valid = int(self._counts[:NODATA].sum())
        return tuple(
            ClassShare(
                id=c.id,
                name=c.name,
                pixels=int(self._counts[c.id]),
                share=float(self._counts[c.id] / valid) if valid else 0.0,
                hectares=None if hectares is None else float(self._counts[c.id] * hectares),
            )
            for c in legend
        )


def count_raster(path: Path) -> ClassCounter:
    """The classes of a raster that is written, block by block."""
    counter = ClassCounter()
    with rasterio.open(path) as file:
        for _, window in file.block_windows(1):
            counter.add(file.read(1, window=window))
    return counter
