"""How much of each class a cover holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.geo.areas import PixelAreas
from landmap.tiling import Window
from landmap_models.arrays import Doubles, Ints
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import NODATA, LandClass


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class in one cover, or in one zone of it."""

    id: int
    """Class id."""
    name: str
    """Class name."""
    pixels: float
    """Number of pixels: whole ones, unless the border of a zone cuts some."""
    share: float
    """Of the valid pixels, 0 to 1; 0 where none is valid."""
    hectares: float | None
    """Area on the ground; None without a CRS."""
    mean_confidence: float | None = None
    """Mean of the class's confidence over these pixels, in percent; None where it is not known or there are none."""


def class_shares(
    legend: Sequence[LandClass], pixels: Sequence[float], hectares: Doubles | None, percent: npt.NDArray[Any] | None
) -> tuple[ClassShare, ...]:
    """Share of every class of the legend, in its order.

    Args:
        legend: Names of the ids.
        pixels: By class id.
        hectares: The same in hectares; None without a CRS.
        percent: Sum of the pixels' confidence by class id; None without confidence.
    """
    valid = sum(pixels[:NODATA])
    return tuple(
        ClassShare(
            id=c.id,
            name=c.name,
            pixels=pixels[c.id],
            share=float(pixels[c.id] / valid) if valid else 0.0,
            hectares=None if hectares is None else float(hectares[c.id]),
            mean_confidence=None if percent is None or not pixels[c.id] else float(percent[c.id] / pixels[c.id]),
        )
        for c in legend
    )


class ClassCounter:
    """Counts pixels by class, rectangle by rectangle."""

    def __init__(self, areas: PixelAreas | None) -> None:
        """Start from nothing.

        Args:
            areas: Of the pixels of the raster that is counted; None where it has no place on the ground.
        """
        self._counts = np.zeros(256, np.int64)
        self._areas, self._units = areas, np.zeros(256, np.int64)
        self._percent: Ints | None = None

    def add(
        self, window: Window, classes: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8] | None = None
    ) -> None:
        """Count the pixels of a rectangle; each call with confidence, or none.

        All sums are of whole numbers, and so the same in whatever order rectangles come.

        Args:
            window: Where it lies.
            classes: Class ids `(height, width)`.
            confidence: Of the class, in percent `(height, width)`.
        """
        self._counts += np.bincount(classes.ravel(), minlength=256)
        if confidence is not None:
            summed = weighted_counts(classes, confidence)
            self._percent = summed if self._percent is None else self._percent + summed
        if self._areas:
            self._units += weighted_counts(classes, self._areas.of(window))

    @property
    def pixels(self) -> Ints:
        """Pixels by class id so far, `(256,)`; nodata is 255."""
        return self._counts

    @property
    def hectares(self) -> Doubles | None:
        """Their area, `(256,)`; None where the raster has no place on the ground."""
        return self._areas.hectares(self._units) if self._areas else None

    @property
    def nodata(self) -> int:
        """Pixels without data so far."""
        return int(self._counts[NODATA])

    def shares(self, legend: Sequence[LandClass]) -> tuple[ClassShare, ...]:
        """Share of every class of the legend, in its order."""
        pixels: list[Any] = self._counts.tolist()
        return class_shares(legend, pixels, self.hectares, self._percent)


def count_raster(path: Path, areas: PixelAreas | None) -> ClassCounter:
    """The classes of a raster that is written, block by block."""
    counter = ClassCounter(areas)
    with open_dataset(path) as file:
        for _, block in file.block_windows(1):
            window = Window(block.row_off, block.col_off, block.height, block.width)
            counter.add(window, file.read(1, window=block))
    return counter


def weighted_counts(values: npt.NDArray[np.uint8], weights: npt.NDArray[Any]) -> Ints:
    """Sum of whole weights over the pixels of each value, `(256,)`; exact up to 2^53."""
    return np.bincount(values.ravel(), weights.ravel(), minlength=256).astype(np.int64)
