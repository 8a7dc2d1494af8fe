"""How much of each class a cover holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from landmap.mosaic import NODATA
from landmap_models.legend import LandClass

Floats = npt.NDArray[np.float64]


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
    legend: Sequence[LandClass], pixels: Sequence[float], hectares: Floats | None, percent: Floats | None
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

    def __init__(self) -> None:
        """Start from nothing."""
        self._counts = np.zeros(256, np.int64)
        self._percent: Floats | None = None
        self._hectares: Floats | None = None

    def add(
        self,
        classes: npt.NDArray[np.uint8],
        confidence: npt.NDArray[np.uint8] | None = None,
        row_hectares: Floats | None = None,
    ) -> None:
        """Count the pixels of a rectangle; each call with the same of the optional values.

        Args:
            classes: Class ids `(height, width)`.
            confidence: Of the class, in percent `(height, width)`.
            row_hectares: Area of a pixel of each row `(height,)`.
        """
        rows = np.arange(classes.shape[0], dtype=np.int32)[:, None] * 256
        of_row = np.bincount((rows + classes).ravel(), minlength=rows.size * 256).reshape(-1, 256)
        self._counts += of_row.sum(axis=0)
        if confidence is not None:
            self._percent = _plus(self._percent, _sum(classes, confidence))
        if row_hectares is not None:
            self._hectares = _plus(self._hectares, np.asarray(row_hectares @ of_row, np.float64))

    @property
    def nodata(self) -> int:
        """Pixels without data so far."""
        return int(self._counts[NODATA])

    def shares(self, legend: Sequence[LandClass], hectares: float | None = None) -> tuple[ClassShare, ...]:
        """Share of every class of the legend, in its order.

        Args:
            legend: Names of the ids.
            hectares: Area of a pixel, where it is the same everywhere; otherwise what `row_hectares` came to.
        """
        areas = self._hectares if hectares is None else np.asarray(self._counts * hectares, np.float64)
        pixels: list[Any] = self._counts.tolist()
        return class_shares(legend, pixels, areas, self._percent)


def count_raster(path: Path) -> ClassCounter:
    """The classes of a raster that is written, block by block."""
    counter = ClassCounter()
    with rasterio.open(path) as file:
        for _, window in file.block_windows(1):
            counter.add(file.read(1, window=window))
    return counter


def _sum(classes: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8]) -> Floats:
    return np.asarray(np.bincount(classes.ravel(), values.ravel(), minlength=256), np.float64)


def _plus(so_far: Floats | None, more: Floats) -> Floats:
    return more if so_far is None else so_far + more
