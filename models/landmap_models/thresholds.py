"""From which probability on a class counts as there, where a chip may have several."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST = 5
"""Chips of a class, below which its threshold stays at one half: the best of so few would be chance."""


def fit_thresholds(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[float, ...]:
    """For each class the threshold of the highest F1.

    Args:
        probabilities: `(n, classes)`, of chips that the network was not trained on.
        labels: Multi-hot, `(n, classes)`.

    Returns:
        One number a class, halfway between the two probabilities that it parts.
    """
    return tuple(_best(p, y) for p, y in zip(probabilities.T.astype(float), labels.T, strict=True))


def _best(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    from sklearn.metrics import precision_recall_curve

    if not FEWEST <= labels.sum() <= len(labels) - FEWEST:
        return 0.5
    precision, recall, limits = precision_recall_curve(labels, probabilities)
    scores = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    at = limits[scores[:-1].argmax()]
    below = probabilities[probabilities < at]
    middle = (at + below.max()) / 2 if len(below) else at
    return float(np.clip(middle, 0.01, 0.99).round(4))
