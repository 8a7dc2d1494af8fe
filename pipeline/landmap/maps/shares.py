"""Pixels, area and mean confidence of each class are counted, and given as shares of a map."""

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
    """The share of one class in a cover, or in one zone of it."""

    id: int
    """Class id."""
    name: str
    """Class name."""
    pixels: float
    """Number of pixels; not a whole number where the border of a zone cuts pixels."""
    share: float
    """Share of the valid pixels, 0 to 1; 0 where none is valid."""
    hectares: float | None
    """Area on the ground in hectares; None where the map has no place on the ground."""
    mean_confidence: float | None = None
    """Mean confidence over these pixels in percent; None where it is not known or there are no pixels."""


def class_shares(
    legend: Sequence[LandClass], pixels: Sequence[float], hectares: Doubles | None, percent: npt.NDArray[Any] | None
) -> tuple[ClassShare, ...]:
    """Return the share of every class of a legend, in its order.

    Args:
        legend: The classes of the map, in the order of their ids.
        pixels: Number of pixels by class id.
        hectares: Area in hectares by class id; None where the map has no place on the ground.
        percent: Sum of the pixels' confidence in percent by class id; None without confidence.
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
    """Counts pixels, area and confidence by class, window by window."""

    def __init__(self, areas: PixelAreas | None) -> None:
        """Start with counts of 0.

        Args:
            areas: Areas of the raster's pixels; None where it has no place on the ground.
        """
        self._counts = np.zeros(256, np.int64)
        self._areas, self._units = areas, np.zeros(256, np.int64)
        self._percent: Ints | None = None

    def add(
        self, window: Window, classes: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8] | None = None
    ) -> None:
        """Count the pixels of a window. Either all calls have a confidence, or none has.

        All sums are of whole numbers, and therefore the same in whatever order windows come.

        Args:
            window: The rectangle in pixels of the raster.
            classes: Class ids `(height, width)`.
            confidence: Probability of the class in percent `(height, width)`; None where it is not known.
        """
        self._counts += np.bincount(classes.ravel(), minlength=256)
        if confidence is not None:
            summed = weighted_counts(classes, confidence)
            self._percent = summed if self._percent is None else self._percent + summed
        if self._areas:
            self._units += weighted_counts(classes, self._areas.of(window))

    @property
    def pixels(self) -> Ints:
        """Number of pixels by class id, `(256,)`; nodata is 255."""
        return self._counts

    @property
    def hectares(self) -> Doubles | None:
        """Area in hectares by class id, `(256,)`; None where the raster has no place on the ground."""
        return self._areas.hectares(self._units) if self._areas else None

    @property
    def nodata(self) -> int:
        """Number of pixels without data."""
        return int(self._counts[NODATA])

    def shares(self, legend: Sequence[LandClass]) -> tuple[ClassShare, ...]:
        """Return the share of every class of a legend, in its order."""
        pixels: list[Any] = self._counts.tolist()
        return class_shares(legend, pixels, self.hectares, self._percent)


def count_raster(path: Path, areas: PixelAreas | None) -> ClassCounter:
    """Count the classes of a finished raster, block by block.

    Args:
        path: A raster that `RasterWriter` wrote; it may have a temporary name.
        areas: Areas of its pixels; None where it has no place on the ground.
    """
    counter = ClassCounter(areas)
    with open_dataset(path) as file:
        for _, block in file.block_windows(1):
            window = Window(block.row_off, block.col_off, block.height, block.width)
            counter.add(window, file.read(1, window=block))
    return counter


def weighted_counts(values: npt.NDArray[np.uint8], weights: npt.NDArray[Any]) -> Ints:
    """Sum whole weights over the pixels of each value; exact up to 2^53.

    Args:
        values: Values `(height, width)`.
        weights: Whole numbers `(height, width)`.

    Returns:
        The sums by value, `(256,)`.
    """
    return np.bincount(values.ravel(), weights.ravel(), minlength=256).astype(np.int64)
