"""Calibration on chips of the validation part: temperature of the probabilities, and thresholds of classes.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599) divides the logits by one number. No predicted class changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.architectures.shape import OUTPUT
from landmap_models.arrays import AnyFloats

RANGE = (0.1, 10.0)
"""Lowest and highest temperature."""


def fit_temperature(logits: AnyFloats, labels: AnyFloats, *, multi_label: bool = False) -> float:
    """Find the temperature of the lowest log loss.

    A standard normal prior of its logarithm counts about as much as one chip: all chips of a small set may be right,
    and the loss alone would then be lowest for certainty.

    Args:
        logits: Input of the activation of the last layer, `(n, classes)`.
        labels: One-hot or multi-hot labels, `(n, classes)`.
        multi_label: Whether each class has a probability by itself (sigmoid), and not all together (softmax).
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
    """Compute logits that give these probabilities, `(n, classes)`; for softmax up to a constant of each chip."""
    inside = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    logits: AnyFloats = np.log(inside) - (np.log1p(-inside) if multi_label else 0)
    return logits


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide the weights of the last layer by the temperature: the network then predicts calibrated probabilities."""
    layer = model.get_layer(OUTPUT)
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])


FEWEST = 5
"""Number of chips of a class below which its threshold stays at one half."""


def fit_thresholds(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[float, ...]:
    """Find the threshold of the highest F1 of each class.

    Args:
        probabilities: Probabilities `(n, classes)` of chips that the network was not trained on.
        labels: Multi-hot labels, `(n, classes)`.

    Returns:
        The threshold of each class, halfway between the two probabilities that it separates.
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
