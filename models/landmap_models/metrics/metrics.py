"""Metrics of predictions with 95 % intervals, from labels and probabilities alone.

`table` lists the metrics. One that is not defined, such as the recall of a class without chips, is None.

Arrays have these shapes: n chips, c classes, b resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bools, Doubles, Floats, Indices
from landmap_models.metrics.table import BINS, Metric, Sample, confidence_bins, metrics_for
from landmap_models.metrics.weighted import (
    Counts,
    average_precision,
    by_class,
    one_hot,
    ratio,
    resample_weights,
    roc_auc,
)

Entry = dict[str, float | None]
"""`value`, `low` and `high`: a metric with its 95 % interval; None where it is not defined."""

RESAMPLES = 1000
"""Resamples of the bootstrap behind the intervals."""
DECIMALS = 4
"""Decimals of every number that is recorded."""


def measure(
    labels: npt.NDArray[Any], probabilities: Floats, names: tuple[str, ...], thresholds: npt.ArrayLike | None = None
) -> dict[str, Any]:
    """What a model card records of predictions: the metrics that the table marks, classes and confusion.

    Args:
        labels: True class ids `(n,)`, or, for a multi-label model, 1 where a chip is of a class and 0 where not,
            `(n, c)`.
        probabilities: Predictions, `(n, c)`.
        names: Class names by id.
        thresholds: Of a multi-label model: one for each class, `(c,)`; None is one half.
    """
    single = labels.ndim == 1
    if single:
        found = single_label(labels, probabilities, names)
    else:
        found = multi_label(labels, probabilities, names, thresholds=0.5 if thresholds is None else thresholds)
    chosen = [metric.name for metric in metrics_for(single_label=single) if metric.on_card]
    return {name: found[name] for name in ("n", *chosen, "per_class", "confusion")}


def single_label(
    labels: Indices,
    probabilities: Floats,
    names: tuple[str, ...],
    *,
    beta: float = 2.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of predictions of one class a chip, the one of highest probability.

    Averages over classes leave out classes without chips. Intervals are percentiles of the bootstrap (Efron 1979),
    unless the table of the metric says otherwise.

    Args:
        labels: True class ids, `(n,)`.
        probabilities: Predictions, `(n, c)`.
        names: Class names in the order of their ids.
        beta: How much more recall counts than precision in F-beta (van Rijsbergen 1979).
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the resamples: equal seeds give equal intervals.

    Returns:
        A mapping that JSON can hold: `n`; `value`, `low` and `high` of each metric of `table.single_label_metrics`;
        `per_class` precision, recall, F1 and support; `confusion` with rows true, columns predicted.

    Raises:
        ValueError: Shapes don't fit, there is no chip, a label is no class id, or a probability is not finite.
    """
    _check(labels, probabilities, names, (len(labels),))
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(f"Expected labels from 0 to {len(names) - 1}. Received: {labels.min()} to {labels.max()}")
    chosen = probabilities.argmax(axis=1)
    true, predicted = one_hot(labels, len(names)), one_hot(chosen, len(names))
    scores = probabilities.astype(np.float64)
    cells = np.bincount(labels * len(names) + chosen, minlength=len(names) ** 2)
    return {
        "n": len(labels),
        **_entries(metrics_for(single_label=True, beta=beta), (true, predicted, scores), resamples, seed),
        "per_class": _per_class(Counts.of(true, predicted, np.ones((1, len(labels)))), names),
        "confusion": cells.reshape(len(names), -1).tolist(),
    }


def multi_label(
    labels: npt.NDArray[Any],
    probabilities: Floats,
    names: tuple[str, ...],
    *,
    thresholds: npt.ArrayLike = 0.5,
    beta: float = 2.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of predictions of any number of classes a chip: those whose probability reaches their threshold.

    Averages over classes leave out classes without chips.

    Args:
        labels: 1 where the chip is of the class, 0 where not, `(n, c)`.
        probabilities: Predictions, `(n, c)`; rows need not add up to 1.
        names: Class names in the order of their ids.
        thresholds: Probability from which a class counts as predicted: one for all classes, or `(c,)`.
        beta: How much more recall counts than precision in F-beta.
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the resamples: equal seeds give equal intervals.

    Returns:
        A mapping that JSON can hold: `n`; `value`, `low` and `high` of each metric of `table.multi_label_metrics`;
        `per_class` precision, recall, F1, ROC AUC, average precision, threshold and support; `confusion` by class,
        `[[true negatives, false positives], [false negatives, true positives]]`.

    Raises:
        ValueError: Shapes don't fit, there is no chip, a label is neither 0 nor 1, or a probability is not finite.
    """
    _check(labels, probabilities, names, (len(labels), len(names)))
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("Expected labels of 0 and 1")
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (len(names),))
    scores = probabilities.astype(np.float64)
    true, predicted = labels.astype(np.float64), (scores >= limits).astype(np.float64)
    everything = np.ones((1, len(labels)))
    counts = Counts.of(true, predicted, everything)
    ranks = {
        "roc_auc": by_class(roc_auc, true, scores, everything),
        "average_precision": by_class(average_precision, true, scores, everything),
        "threshold": limits[None],
    }
    return {
        "n": len(labels),
        **_entries(metrics_for(single_label=False, beta=beta), (true, predicted, scores), resamples, seed),
        "per_class": _per_class(counts, names, ranks),
        "confusion": counts.two_by_two(),
    }


def reliability(confidence: npt.NDArray[Any], right: Bools) -> list[dict[str, float | int | None]]:
    """Compare accuracy and confidence in bins of confidence, from the least to the most confident.

    Args:
        confidence: Probability of the predicted class, `(n,)`.
        right: Whether the predicted class is true, `(n,)`.

    Returns:
        For each of the 15 bins `low` < confidence <= `high`: the number of `chips`, and their mean `confidence` and
        `accuracy` (None in an empty bin).
    """
    places = one_hot(confidence_bins(confidence.astype(np.float64)), BINS)
    chips = places.sum(axis=0)
    means = ratio(confidence.astype(np.float64) @ places, chips), ratio(right.astype(np.float64) @ places, chips)
    return [
        {
            "low": round(i / BINS, DECIMALS),
            "high": round((i + 1) / BINS, DECIMALS),
            "chips": int(chips[i]),
            "confidence": rounded(means[0][i]),
            "accuracy": rounded(means[1][i]),
        }
        for i in range(BINS)
    ]


def wilson_interval(correct: int, n: int) -> Entry:
    """Compute a proportion with Wilson's 95 % score interval (Wilson 1927).

    Args:
        correct: Number of chips that are right.
        n: Number of all chips.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return {"value": rounded(correct / n), "low": rounded(interval.low), "high": rounded(interval.high)}


def _entries(
    table: tuple[Metric, ...], arrays: tuple[Doubles, Doubles, Doubles], resamples: int, seed: int
) -> dict[str, Entry]:
    """Each metric of a table with its interval, by name.

    Args:
        table: The table of metrics, by name.
        arrays: True and predicted classes, and probabilities, each `(n, c)`; see `Sample`.
        resamples: Resamples of the bootstrap.
        seed: Equal seeds give equal intervals.
    """
    n = len(arrays[0])
    values = _computed(table, arrays, np.ones((1, n)))
    drawn = [_computed(table, arrays, weights) for weights in resample_weights(n, resamples, seed)]
    found = {}
    for metric in table:
        value = float(values[metric.name][0])
        if metric.wilson:
            found[metric.name] = wilson_interval(round(value * n), n)
        else:
            of_resamples = np.concatenate([d[metric.name] for d in drawn])
            found[metric.name] = entry_of(value, of_resamples, recentre=metric.recentred)
    return found


def _computed(
    table: tuple[Metric, ...], arrays: tuple[Doubles, Doubles, Doubles], weights: Doubles
) -> dict[str, Doubles]:
    true, predicted, scores = arrays
    sample = Sample(true, predicted, scores, weights, Counts.of(true, predicted, weights))
    return {metric.name: metric.compute(sample) for metric in table}


def entry_of(value: float, drawn: Doubles, *, recentre: bool) -> Entry:
    """A metric with its interval.

    Args:
        value: Value of the whole data; NaN where it is not defined.
        drawn: Values of the resamples.
        recentre: Whether the interval is shifted by the bootstrap's own bias.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not drawn.size:
        return {"value": rounded(value), "low": None, "high": None}
    if recentre:
        drawn = np.maximum(drawn - drawn.mean() + value, 0)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _per_class(
    counts: Counts, names: tuple[str, ...], more: dict[str, Doubles] | None = None
) -> dict[str, dict[str, float | int | None]]:
    columns = {"precision": counts.precision(), "recall": counts.recall(), "f1": counts.f(1)} | (more or {})
    return {
        name: {key: rounded(column[0, i]) for key, column in columns.items()} | {"support": int(counts.support[0, i])}
        for i, name in enumerate(names)
    }


def _check(labels: npt.NDArray[Any], probabilities: Floats, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    if not len(labels):
        raise ValueError("Expected at least one chip. Received none")
    wanted = shape, (len(labels), len(names))
    if (labels.shape, probabilities.shape) != wanted:
        raise ValueError(
            f"Expected labels and probabilities of shape {wanted}. Received: {labels.shape, probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("Expected finite probabilities")


def rounded(value: float) -> float | None:
    """Round to four decimals, without a minus before zero; None stands for NaN, which JSON lacks."""
    return round(float(value), DECIMALS) + 0.0 if np.isfinite(value) else None
