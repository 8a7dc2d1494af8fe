"""What is done to reflectance before a network gets it, where the network does not scale its input itself.

Of a fixed list, so that a card is data and no program: reflectance as it is, or `LogSigmoid`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmap_models.arrays import Floats

DN = 10_000.0
"""Digital numbers in a reflectance of 1."""
LOG_STEP = 0.005
"""By what digital numbers are multiplied before 1 is added and the logarithm taken,"""
SLOPE, SHIFT = 5.0, -1.0
"""and slope and shift of what the sigmoid is taken of. The numbers are Dynamic World's (Brown et al. 2022)."""


@dataclass(frozen=True, slots=True)
class LogSigmoid:
    """sigmoid(5 (ln(0.005 DN + 1) - low) / width - 1), with DN = 10000 reflectance: from 0 to 1, and hardly ever full.

    Source: Brown et al. 2022, 10.1038/s41597-022-01307-4.
    """

    low: tuple[float, ...]
    """Logarithm that becomes 0 before the sigmoid, one value for each input band."""
    width: tuple[float, ...]
    """Width of the logarithms that becomes 1 before the sigmoid, one value above 0 for each input band."""
    name: str = "log-sigmoid"
    """Name of the transform on a card."""

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> LogSigmoid:
        """Read a card's entry `transform`.

        Raises:
            TypeError: An entry is missing, unknown, or no list of numbers.
        """
        return cls(**{**content, "low": tuple(content["low"]), "width": tuple(content["width"])})

    def check(self, bands: int) -> None:
        """Raise ValueError where values can't be meant.

        Args:
            bands: Number of input bands of the model.
        """
        if self.name != "log-sigmoid":
            raise ValueError(f"Expected the transform 'log-sigmoid', or none for reflectance. Received: {self.name!r}")
        if {len(self.low), len(self.width)} != {bands}:
            raise ValueError(f"Expected low and width of the transform for each of {bands} bands")
        if not all(map(math.isfinite, (*self.low, *self.width))) or min(self.width) <= 0:
            raise ValueError("Expected finite numbers as low of the transform, and positive ones as width")

    def apply(self, reflectance: Floats) -> Floats:
        """Transform reflectance `(..., bands)`; what is below 0 counts as 0. `(..., bands)`, from 0 to 1."""
        logs = np.log(np.maximum(np.asarray(reflectance, np.float64), 0) * (DN * LOG_STEP) + 1)
        scaled = SLOPE * (logs - self.low) / self.width + SHIFT
        values: Floats = (1 / (1 + np.exp(-scaled))).astype(np.float32)
        return values
