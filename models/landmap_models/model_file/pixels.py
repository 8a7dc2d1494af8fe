"""The second network of a model that maps pixels: what it is told, and how its answers meet those of chips.

A chip classifier says what kind of land surrounds a place (a field or a pasture, homes or industry), a network that
answers for each pixel says what lies just there (water, trees, buildings). Together:

    p(class | pixel) ~ (chip probability + floor)^chip_exponent * (sum over pixel classes of fit * p)^pixel_exponent

The chip factor is bilinear between the centres of cells; a class of pixels that does not fit a class of chips still
counts a little, so that neither network can forbid what the other is sure of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmap_models.arrays import Floats

THERE, HALVING, KNOWN, DETAIL, SCALE = "there", "halving", "known", "detail", "scale"
"""Names of the network's layers that depend on which bands there are; the first is the input that says so."""


@dataclass(frozen=True, slots=True)
class PixelPart:
    """The second network, which lies in the same model file, and the rule by which both make one map."""

    bands: tuple[str, ...]
    """Sentinel-2 names of the bands that it takes, in its order; those of the chip classifier are among them, and only
    those must be there."""
    middle: tuple[float, ...]
    """Reflectance that stands in for pixels without data, one value a band."""
    classes: tuple[str, ...]
    """Names of its own classes, in the order of its answers."""
    fits: tuple[tuple[float, ...], ...]
    """How well each of its classes fits each class of the legend, 0 to 1: a row for each class of the legend."""
    margin: int
    """Pixels from the edge of what it is given within which its answers depend on what lies beyond."""
    step: int
    """Pixels: what it is given starts and ends at multiples of this, counted from the scene's corner."""
    chip_exponent: float
    """Of the chip factor, above 0; larger values give the neighbourhood more say."""
    pixel_exponent: float
    """Of the pixel factor, above 0; larger values give the spot more say."""
    floor: float
    """Added to the probabilities of chips, above 0: what a chip classifier rules out can still be mapped."""
    sha256: str
    """sha256 of the network's file inside the model file, as hexadecimal text."""
    origin: str = ""
    """Data that the network learned from, with their owners' names."""

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> PixelPart:
        """Read a card's entry `pixels`.

        Raises:
            TypeError: An entry has another kind of value, or one is missing or unknown.
        """
        lists = {name: tuple(content[name]) for name in ("bands", "middle", "classes")}
        return cls(**{**content, **lists, "fits": tuple(tuple(row) for row in content["fits"])})

    def flags(self, available: Sequence[str]) -> tuple[bool, ...]:
        """Which of its bands are among those that a scene has, one flag a band."""
        return tuple(name in available for name in self.bands)

    def chip_factor(self, probabilities: Floats) -> Floats:
        """The chip factor of probabilities `(..., classes)`; zero where all of them are zero: nothing is known there.

        Returns:
            float32 of the same shape.
        """
        known = probabilities.sum(axis=-1, keepdims=True) > 0
        factor = (probabilities + np.float32(self.floor)) ** np.float32(self.chip_exponent)
        return np.where(known, factor, np.float32(0))

    def check(self, bands: Sequence[str], classes: int) -> None:
        """Raise ValueError where values can't be meant.

        Args:
            bands: Names of the bands that the chip classifier takes.
            classes: Number of classes in the card's legend.
        """
        if missing := set(bands) - set(self.bands):
            raise ValueError(f"Expected the model's own bands among those of pixels. Missing: {sorted(missing)}")
        if len(self.middle) != len(self.bands) or not all(0 < value < 2 for value in self.middle):
            raise ValueError(f"Expected a middle reflectance of each band of pixels. Received: {self.middle}")
        if len(self.fits) != classes or {len(row) for row in self.fits} != {len(self.classes)}:
            raise ValueError(f"Expected fits of pixels as {classes} rows of {len(self.classes)} numbers")
        if not all(0 < value <= 1 for row in self.fits for value in row):
            raise ValueError("Expected fits of pixels above 0 and at most 1")
        if not min(self.chip_exponent, self.pixel_exponent, self.floor) > 0:
            raise ValueError("Expected chip_exponent, pixel_exponent and floor of pixels above 0")
        if self.step < 1 or self.margin < 0 or self.margin % self.step:
            raise ValueError(f"Expected a margin of pixels in whole steps. Received: {self.margin}, {self.step}")
