"""Metrics of classes of pixels, with 95 % intervals by image.

Pixels of an image are no independent draws, so the bootstrap draws images: all that metrics need of an image is summed
up in a `Tally`, and a resample is a weighted sum of tallies.

Arrays have these shapes: n images, c classes, b resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bools, Doubles, Floats, Indices, Ints
from landmap_models.metrics.metrics import DECIMALS, RESAMPLES, Entry, entry_of, rounded
from landmap_models.metrics.table import BINS, Metric, confidence_bins
from landmap_models.metrics.weighted import Counts, mean_defined, ratio, resample_weights

NEAR = (1, 2)
"""Distances from a border between classes within which accuracy is measured by itself, in pixels."""
ZONES = (*(f"within_{distance}_px" for distance in NEAR), "away")
"""Zones of a `Tally`: the first ones hold one another, the last is the rest."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What metrics need of the labelled pixels of one image."""

    confusion: Ints
    """Pixels by true (rows) and predicted class, `(c, c)`."""
    zones: Ints
    """Pixels, and right ones, in each of `ZONES`, `(3, 2)`."""
    bins: Doubles
    """Pixels, sum of confidences, and right ones in each bin of confidence, `(15, 3)`."""
    surprise: float
    """Sum of -ln of the probability of the true class."""

    @property
    def pixels(self) -> int:
        """Number of labelled pixels."""
        return int(self.confusion.sum())


def tally(labels: Indices, probabilities: Floats) -> Tally:
    """Sum up the predictions for one image.

    Args:
        labels: True class id of each pixel, -1 where there is none, `(height, width)`.
        probabilities: Predictions, `(height, width, c)`.
    """
    classes, known = probabilities.shape[-1], labels >= 0
    true, scores = labels[known], probabilities[known].astype(np.float64)
    predicted = scores.argmax(axis=-1)
    right, confidence = predicted == true, scores.max(axis=-1)
    confusion = np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
    near = [near_border(labels, distance)[known] for distance in NEAR]
    zones = np.array([(int(zone.sum()), int(right[zone].sum())) for zone in (*near, ~near[-1])], np.int64)
    number = confidence_bins(confidence)
    of_each = np.ones(len(true)), confidence, right.astype(np.float64)
    bins: Doubles = np.stack([np.bincount(number, weights, BINS) for weights in of_each], axis=1).astype(np.float64)
    inside = np.clip(scores[np.arange(len(true)), true], np.finfo(np.float32).eps, 1)
    return Tally(confusion.astype(np.int64), zones, bins, float(-np.log(inside).sum()))


def near_border(labels: Indices, distance: int) -> Bools:
    """Find pixels that have another class within a distance, along rows, columns and diagonals alike.

    Args:
        labels: Class ids, -1 where there is none, `(height, width)`. A pixel without a label makes no border.
        distance: Distance in pixels; 1 are the eight neighbours.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    side = 2 * distance + 1
    highest = maximum_filter(labels, side, mode="nearest")
    lowest = minimum_filter(np.where(labels < 0, labels.max(), labels), side, mode="nearest")
    found: Bools = (labels >= 0) & (highest != lowest)
    return found


@dataclass(frozen=True, slots=True)
class _Sums:
    """Tallies of all images, summed with weights."""

    counts: Counts
    zones: Doubles
    """`(b, 3, 2)`"""
    bins: Doubles
    """`(b, 15, 3)`"""
    surprise: Doubles
    """`(b,)`"""


def _summed(tallies: Sequence[Tally], weights: Doubles) -> _Sums:
    confusion = np.stack([t.confusion for t in tallies]).astype(np.float64)
    hits, support, predicted = (
        weights @ part
        for part in (np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1))
    )
    zones, bins = (
        np.tensordot(weights, np.stack([getattr(t, name) for t in tallies]).astype(np.float64), 1)
        for name in ("zones", "bins")
    )
    surprise = weights @ np.array([t.surprise for t in tallies])
    return _Sums(Counts(hits, support, predicted, support.sum(axis=1)), zones, bins, surprise)


def _zone(place: int) -> Callable[[_Sums], Doubles]:
    return lambda sums: ratio(sums.zones[:, place, 1], sums.zones[:, place, 0])


def _calibration_error(sums: _Sums) -> Doubles:
    return ratio(np.abs(sums.bins[:, :, 2] - sums.bins[:, :, 1]).sum(axis=1), sums.counts.chips)


PIXEL_METRICS = (
    Metric(
        "mean_iou", "intersection over union, mean over classes", lambda s: mean_defined(s.counts.iou()), on_card=True
    ),
    Metric(
        "accuracy",
        "share of pixels whose class is right",
        lambda s: ratio(s.counts.hits.sum(axis=1), s.counts.chips),
        on_card=True,
    ),
    Metric(
        "balanced_accuracy",
        "share that is right, each class counting the same",
        lambda s: mean_defined(s.counts.recall()),
    ),
    Metric(
        "macro_f1",
        "harmonic mean of precision and recall, mean over classes",
        lambda s: mean_defined(s.counts.f(1)),
        on_card=True,
    ),
    Metric("cohen_kappa", "agreement beyond chance; 1 is best, 0 is chance", lambda s: s.counts.kappa()),
    Metric("accuracy_within_1_px", "share that is right of pixels that touch another class", _zone(0)),
    Metric("accuracy_within_2_px", "share that is right within two pixels of another class", _zone(1)),
    Metric("accuracy_away", "share that is right of all other pixels", _zone(2)),
    Metric("log_loss", "surprise at the true class in nats; 0 is best", lambda s: ratio(s.surprise, s.counts.chips)),
    # Guo et al. 2017, arXiv 1706.04599
    Metric(
        "expected_calibration_error",
        "mean distance of confidence from accuracy; 0 is best",
        _calibration_error,
        on_card=True,
        recentred=True,
    ),
)
"""Metrics of models that answer for each pixel."""


def measure_pixels(
    tallies: Sequence[Tally], names: tuple[str, ...], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Compute all metrics of predicted pixels.

    Averages over classes leave out classes without pixels. Intervals are percentiles of the bootstrap of images (Efron
    1979).

    Args:
        tallies: One for each image.
        names: Class names in the order of their ids.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        A mapping that JSON can hold: `n` images and `pixels`; `value`, `low` and `high` of each of `PIXEL_METRICS`;
        `per_class` IoU with its interval, precision, recall, F1 and support; `confusion` of pixels with rows true,
        columns predicted; `reliability` in bins of confidence with intervals of the accuracy; `zones` with the number
        of pixels in each.

    Raises:
        ValueError: There is no labelled pixel.
    """
    if not sum(t.pixels for t in tallies):
        raise ValueError("Expected a labelled pixel. Received none")
    n = len(tallies)
    whole = _summed(tallies, np.ones((1, n)))
    drawn = [_summed(tallies, weights) for weights in resample_weights(n, resamples, seed)]
    entries: dict[str, Entry] = {
        metric.name: entry_of(
            float(metric.compute(whole)[0]),
            np.concatenate([metric.compute(sums) for sums in drawn]),
            recentre=metric.recentred,
        )
        for metric in PIXEL_METRICS
    }
    return {
        "n": n,
        "pixels": sum(t.pixels for t in tallies),
        **entries,
        "per_class": _per_class(whole, drawn, names),
        "confusion": sum((t.confusion for t in tallies), np.zeros((len(names), len(names)), np.int64)).tolist(),
        "reliability": _reliability(whole, drawn),
        "zones": {zone: int(count) for zone, count in zip(ZONES, whole.zones[0, :, 0], strict=True)},
    }


def _per_class(whole: _Sums, drawn: Sequence[_Sums], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    ious = np.concatenate([sums.counts.iou() for sums in drawn])
    counts = whole.counts
    found = {}
    for i, name in enumerate(names):
        iou = entry_of(float(counts.iou()[0, i]), ious[:, i], recentre=False)
        columns = {"precision": counts.precision(), "recall": counts.recall(), "f1": counts.f(1)}
        found[name] = {
            "iou": iou["value"],
            "iou_low": iou["low"],
            "iou_high": iou["high"],
            **{key: rounded(column[0, i]) for key, column in columns.items()},
            "support": int(counts.support[0, i]),
        }
    return found


def _reliability(whole: _Sums, drawn: Sequence[_Sums]) -> list[dict[str, float | int | None]]:
    """As `metrics.reliability`, of pixels, with the interval of each bin's accuracy."""
    bins = whole.bins[0]
    of_resamples = np.concatenate([ratio(sums.bins[:, :, 2], sums.bins[:, :, 0]) for sums in drawn])
    means = ratio(bins[:, 1], bins[:, 0]), ratio(bins[:, 2], bins[:, 0])
    found: list[dict[str, float | int | None]] = []
    for i in range(BINS):
        accuracy = entry_of(float(means[1][i]), of_resamples[:, i], recentre=False)
        found.append(
            {
                "low": round(i / BINS, DECIMALS),
                "high": round((i + 1) / BINS, DECIMALS),
                "chips": int(bins[i, 0]),
                "confidence": rounded(means[0][i]),
                "accuracy": accuracy["value"],
                "accuracy_low": accuracy["low"],
                "accuracy_high": accuracy["high"],
            }
        )
    return found


def labels_of(probabilities: npt.NDArray[Any]) -> Indices:
    """The likeliest class of each pixel, -1 where all are 0, `(height, width)`, of labels `(height, width, c)`."""
    return np.where(probabilities.any(axis=-1), probabilities.argmax(axis=-1), -1)
