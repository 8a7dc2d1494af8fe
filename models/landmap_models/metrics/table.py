"""The metrics of an evaluation: a new one is one entry here.

`metrics.json`, the report, the command line, model cards and comparisons show what these tables list, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from landmap_models.arrays import Bools, Doubles, Indices
from landmap_models.metrics.weighted import (
    Counts,
    average_precision,
    by_class,
    mean_defined,
    one_hot,
    ratio,
    roc_auc,
)

BINS = 15
"""Bins of confidence, of equal width, as in Guo et al. 2017."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Predictions of n chips, compared with their labels, and how often each chip counts."""

    true: Doubles
    """1 where a chip is of a class, else 0, `(n, c)`."""
    predicted: Doubles
    """1 where a chip is predicted to be of a class, else 0, `(n, c)`."""
    scores: Doubles
    """Probabilities, `(n, c)`."""
    weights: Doubles
    """How often each chip was drawn in each resample, `(b, n)`."""
    counts: Counts
    """Chips of each class, true and predicted, in each resample."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that says how good predictions are, with its 95 % interval."""

    name: str
    """Its name in `metrics.json`."""
    meaning: str
    """What it is, for people who read the report."""
    compute: Callable[[Any], Doubles]
    """The metric of each resample, `(b,)`, of a `Sample` or of what the table's module has in its place; NaN where it
    is not defined."""
    on_card: bool = False
    """Whether model cards record it."""
    compared: bool = False
    """Whether the table of `landmap compare` shows it."""
    wilson: bool = False
    """Whether it is the share of chips that are right, which has Wilson's interval (Wilson 1927)."""
    recentred: bool = False
    """Whether the interval is shifted by the bootstrap's own bias: a sum of absolute values only grows in resamples."""


def single_label_metrics(beta: float) -> tuple[Metric, ...]:
    """Metrics of models of one class a chip.

    Args:
        beta: How much more recall counts than precision in F-beta (van Rijsbergen 1979).
    """
    return (
        Metric("accuracy", "share of chips whose class is right", _accuracy, on_card=True, compared=True, wilson=True),
        Metric(
            "balanced_accuracy",
            "share that is right, each class counting the same",
            lambda sample: mean_defined(sample.counts.recall()),
            compared=True,
        ),
        *_averages(("macro", "weighted"), beta),
        # Cohen 1960; Gorodkin 2004
        Metric("cohen_kappa", "agreement beyond chance; 1 is best, 0 is chance", lambda s: s.counts.kappa()),
        Metric("matthews", "correlation of true and predicted; 1 is best, 0 is chance", lambda s: s.counts.matthews()),
        ROC_AUC,
        Metric("log_loss", "surprise at the true class in nats; 0 is best", _log_loss),
        # Guo et al. 2017, arXiv 1706.04599
        Metric(
            "expected_calibration_error",
            "mean distance of confidence from accuracy; 0 is best",
            _calibration_error,
            on_card=True,
            compared=True,
            recentred=True,
        ),
    )


def multi_label_metrics(beta: float) -> tuple[Metric, ...]:
    """Metrics of models of any number of classes a chip.

    Args:
        beta: How much more recall counts than precision in F-beta.
    """
    return (
        Metric(
            "subset_accuracy",
            "share of chips of which all classes are right",
            lambda sample: sample.weights @ (sample.true == sample.predicted).all(axis=1) / sample.counts.chips,
            on_card=True,
            compared=True,
            wilson=True,
        ),
        Metric(
            "hamming_loss",
            "share of wrong decisions; 0 is best",
            lambda sample: sample.weights @ (sample.true != sample.predicted).mean(axis=1) / sample.counts.chips,
        ),
        *_averages(("micro", "macro", "weighted"), beta),
        ROC_AUC,
        Metric(
            "average_precision",
            "area under precision and recall",
            lambda sample: mean_defined(by_class(average_precision, sample.true, sample.scores, sample.weights)),
            on_card=True,
            compared=True,
        ),
    )


ROC_AUC = Metric(
    "roc_auc",
    "chance that a chip of a class scores above one of another; 0.5 is chance",
    lambda sample: mean_defined(by_class(roc_auc, sample.true, sample.scores, sample.weights)),
)
"""One class against the rest, mean over classes (Hanley and McNeil 1982)."""

_KINDS = {
    "micro": "all classes' chips together",
    "macro": "mean over classes",
    "weighted": "mean over classes, weighted by their chips",
}
"""Averages over classes, and what they mean."""


def _averages(kinds: tuple[str, ...], beta: float) -> Iterator[Metric]:
    """Averages over classes of precision, recall, F1 and F-beta."""
    scores: dict[str, tuple[str, Callable[[Counts], Doubles]]] = {
        "precision": ("share of the predicted that is true", Counts.precision),
        "recall": ("share of the true that is found", Counts.recall),
        "f1": ("harmonic mean of precision and recall", lambda counts: counts.f(1)),
    }
    name = f"f{beta:g}"
    scores.setdefault(name, (f"like F1, recall counting {beta:g} times as much", lambda counts: counts.f(beta)))
    for kind in kinds:
        for score, (meaning, of) in scores.items():
            yield Metric(
                f"{kind}_{score}",
                f"{meaning}, {_KINDS[kind]}",
                partial(_average, kind=kind, of=of),
                on_card=(kind, score) == ("macro", "f1"),
                compared=(kind, score) in (("micro", "f1"), ("macro", "f1"), ("weighted", name)),
            )


def _average(sample: Sample, *, kind: str, of: Callable[[Counts], Doubles]) -> Doubles:
    counts = sample.counts
    if kind == "micro":
        return mean_defined(of(counts.pooled()))
    return mean_defined(of(counts), counts.support if kind == "weighted" else None)


def _accuracy(sample: Sample) -> Doubles:
    return ratio(sample.counts.hits.sum(axis=1), sample.counts.chips)


def _log_loss(sample: Sample) -> Doubles:
    """Probabilities are kept from 0, whose logarithm is not finite, by the precision of float32, as in scikit-learn."""
    inside = np.clip(sample.scores, np.finfo(np.float32).eps, 1)
    losses = -np.log(inside[np.arange(len(inside)), sample.true.argmax(axis=1)])
    return np.asarray(sample.weights @ losses / sample.counts.chips)


def _calibration_error(sample: Sample) -> Doubles:
    right = sample.true.argmax(axis=1) == sample.predicted.argmax(axis=1)
    gaps = calibration_gaps(sample.scores.max(axis=1), right)
    return np.asarray(np.abs(sample.weights @ gaps).sum(axis=1) / sample.counts.chips)


def confidence_bins(confidence: Doubles) -> Indices:
    """The bin of each confidence: bin i holds i / 15 < confidence <= (i + 1) / 15; the first holds 0, too."""
    return np.asarray(np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1), np.intp)


def calibration_gaps(confidence: Doubles, right: Bools) -> Doubles:
    """Right (1) or not (0), less confidence, in the column of the chip's bin, `(n, 15)`."""
    return one_hot(confidence_bins(confidence), BINS) * (right - confidence)[:, None]


def metrics_for(*, single_label: bool, beta: float = 2.0) -> tuple[Metric, ...]:
    """The metrics of models of one class a chip, or of any number of classes; beta as in these."""
    return single_label_metrics(beta) if single_label else multi_label_metrics(beta)
