"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): probabilities that mean what they say.

A network's logits are divided by one number, fitted on chips that it was not trained on. No class changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.architectures.shape import OUTPUT
from landmap_models.arrays import AnyFloats

RANGE = (0.1, 10.0)
"""Temperatures that are looked at."""


def fit_temperature(logits: AnyFloats, labels: AnyFloats, *, multi_label: bool = False) -> float:
    """The temperature of the lowest log loss.

    A standard normal prior of its logarithm counts as much as one chip or so: the few chips of a small set may all be
    right, and the loss alone would then ask for certainty.

    Args:
        logits: `(n, classes)`, what the last layer's activation is applied to.
        labels: One-hot or multi-hot, `(n, classes)`.
        multi_label: Each class for itself (sigmoid), not one class of all (softmax).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_expit, log_softmax

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        prior = log_temperature**2 / 2
        if multi_label:
            return float(prior - (labels * log_expit(scaled) + (1 - labels) * log_expit(-scaled)).sum())
        return float(prior - (labels * log_softmax(scaled, axis=1)).sum())

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return float(np.exp(found.x))


def logits_of(probabilities: AnyFloats, *, multi_label: bool = False) -> AnyFloats:
    """Logits that give these probabilities, up to a constant a chip that softmax does not see."""
    inside = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    logits: AnyFloats = np.log(inside) - (np.log1p(-inside) if multi_label else 0)
    return logits


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide the last layer's weights by the temperature: the network then gives calibrated probabilities itself."""
    layer = model.get_layer(OUTPUT)
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])


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
