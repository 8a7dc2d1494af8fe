"""How well classes of pixels fit a reference, by groups of classes: water, forest, built, open land."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

GROUPS = ("water", "forest", "built", "open")
OF_PIXEL_CLASS = np.array([0, 1, 3, 3, 3, 3, 2, 3, 3])
"""Group of each of Dynamic World's classes."""
OF_CHIP_CLASS = np.array([3, 1, 3, 2, 2, 3, 3, 2, 0, 0])
"""Group of each of EuroSAT's classes."""


def crosstab(reference: npt.NDArray[Any], mapped: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many pixels of each group (rows) are mapped as which (columns), `(4, 4)`."""
    counts = np.bincount(
        (reference.ravel() * len(GROUPS) + mapped.ravel()).astype(np.int64), minlength=len(GROUPS) ** 2
    )
    return counts.reshape(len(GROUPS), len(GROUPS))


def ious(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Intersection over union of each group, `(4,)`."""
    right = np.diag(counts)
    return right / np.maximum(counts.sum(axis=0) + counts.sum(axis=1) - right, 1)


def agreement(counts: npt.NDArray[np.int64]) -> float:
    """Share of pixels in the same group."""
    return float(np.diag(counts).sum() / counts.sum())


def interval(tables: npt.NDArray[np.int64], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean IoU when chips are drawn again.

    Args:
        tables: Of each chip, `(n, 4, 4)`.
        seed: Of the draws.
        draws: Number of draws with replacement.
    """
    rng = np.random.default_rng(seed)
    found = [ious(tables[rng.integers(len(tables), size=len(tables))].sum(axis=0)).mean() for _ in range(draws)]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))
