"""How good a classifier is on labelled chips."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def measure(
    labels: npt.NDArray[np.intp], probabilities: npt.NDArray[np.float32], names: tuple[str, ...]
) -> dict[str, Any]:
    """Metrics of single-label predictions.

    Args:
        labels: True class ids, `(n,)`.
        probabilities: Predictions, `(n, classes)`.
        names: Class names by id.

    Returns:
        A JSON-able mapping: `n`; `accuracy` and `macro_f1` with `value`, `low`, `high` (95 %; Wilson's interval for
        accuracy, percentile bootstrap of 1,000 resamples for F1); `per_class` precision, recall, F1 and support;
        `confusion` with rows true, columns predicted.
    """
    from sklearn.metrics import classification_report, confusion_matrix

    ids = np.arange(len(names))
    predicted = probabilities.argmax(axis=1)
    report = classification_report(
        labels, predicted, labels=ids, target_names=names, output_dict=True, zero_division=0.0
    )
    return {
        "n": len(labels),
        "accuracy": wilson_interval(int((predicted == labels).sum()), len(labels)),
        "macro_f1": _bootstrap_f1(labels, predicted, ids),
        "per_class": {
            name: {
                "precision": round(report[name]["precision"], 4),
                "recall": round(report[name]["recall"], 4),
                "f1": round(report[name]["f1-score"], 4),
                "support": int(report[name]["support"]),
            }
            for name in names
        },
        "confusion": confusion_matrix(labels, predicted, labels=ids).tolist(),
    }


def wilson_interval(correct: int, n: int) -> dict[str, float]:
    """A proportion with Wilson's 95 % score interval (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return {
        "value": round(correct / n, 4),
        "low": round(float(interval.low), 4),
        "high": round(float(interval.high), 4),
    }


def _bootstrap_f1(
    labels: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], ids: npt.NDArray[np.intp], resamples: int = 1000
) -> dict[str, float]:
    from sklearn.metrics import f1_score

    def macro(chosen: npt.NDArray[np.intp] | slice) -> float:
        return float(f1_score(labels[chosen], predicted[chosen], labels=ids, average="macro", zero_division=0.0))

    rng = np.random.default_rng(0)
    scores = [macro(rng.integers(0, len(labels), len(labels))) for _ in range(resamples)]
    low, high = np.percentile(scores, (2.5, 97.5))
    return {"value": round(macro(slice(None)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
