"""The arithmetic of metrics of weighted chips.

All chips with weight one give a metric's value; a bootstrap resample (Efron 1979) is a row of weights, the number of
times that each chip was drawn. So 1,000 resamples are a few matrix products, and the value and its interval come from
the same line of code. A metric that is not defined, such as the recall of a class without chips, is NaN.

Arrays have these shapes: n chips, c classes, b resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from landmap_models.arrays import Bools, Doubles, Indices

_BLOCK = 1_000_000
"""Most weights in memory at once, so that memory does not grow with the number of resamples."""


def resample_weights(n: int, resamples: int, seed: int) -> Iterator[Doubles]:
    """Draw resamples of n out of n chips; yield how often each chip is drawn, in blocks `(b, n)`."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        drawn = rng.integers(0, n, (min(block, resamples - start), n))
        drawn += n * np.arange(len(drawn))[:, None]
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def one_hot(ids: Indices, count: int) -> Doubles:
    """Indicators of ids: 1 at each id and 0 elsewhere, `(n, count)`."""
    return np.asarray(np.eye(count)[ids])


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of chips of each class in each resample, on which metrics of predicted classes depend."""

    hits: Doubles
    """Chips that are of the class and predicted to be, `(b, c)`."""
    support: Doubles
    """Chips that are of the class, `(b, c)`."""
    predicted: Doubles
    """Chips that are predicted to be of the class, `(b, c)`."""
    chips: Doubles
    """All chips, `(b,)`."""

    @classmethod
    def of(cls, true: Doubles, predicted: Doubles, weights: Doubles) -> Counts:
        """Count indicators `(n, c)` with weights `(b, n)`."""
        return cls(weights @ (true * predicted), weights @ true, weights @ predicted, weights.sum(axis=1))

    def precision(self) -> Doubles:
        """Share of the predicted chips that are true, `(b, c)`: 0 where none is predicted, NaN without true ones."""
        return np.where(self.support > 0, ratio(self.hits, np.maximum(self.predicted, 1)), np.nan)

    def recall(self) -> Doubles:
        """Share of the true chips that are predicted, `(b, c)`; NaN without true ones."""
        return ratio(self.hits, self.support)

    def f(self, beta: float) -> Doubles:
        """Weighted harmonic mean of precision and recall, `(b, c)`; NaN without true chips."""
        both = (1 + beta**2) * self.hits / np.maximum(beta**2 * self.support + self.predicted, 1)
        return np.where(self.support > 0, both, np.nan)

    def iou(self) -> Doubles:
        """Intersection over union (Jaccard index), `(b, c)`: NaN without true chips."""
        union = self.support + self.predicted - self.hits
        return np.where(self.support > 0, ratio(self.hits, np.maximum(union, 1)), np.nan)

    def pooled(self) -> Counts:
        """Counts of all classes together, as of one class, `(b, 1)`."""
        hits, support, predicted = (x.sum(axis=1, keepdims=True) for x in (self.hits, self.support, self.predicted))
        return Counts(hits, support, predicted, self.chips)

    def kappa(self) -> Doubles:
        """Agreement beyond chance (Cohen 1960), NaN where chance alone agrees everywhere, `(b,)`."""
        chance = (self.support * self.predicted).sum(axis=1) / self.chips**2
        return ratio(self.hits.sum(axis=1) / self.chips - chance, 1 - chance)

    def matthews(self) -> Doubles:
        """Correlation of true and predicted classes (Gorodkin 2004), `(b,)`.

        It is NaN where only one class is true, and 0 where only one is predicted.
        """
        joint = self.hits.sum(axis=1) * self.chips - (self.support * self.predicted).sum(axis=1)
        of_true = self.chips**2 - (self.support**2).sum(axis=1)
        of_predicted = self.chips**2 - (self.predicted**2).sum(axis=1)
        return np.where(of_true > 0, joint / np.sqrt(np.maximum(of_true * of_predicted, 1)), np.nan)

    def two_by_two(self) -> list[list[list[int]]]:
        """For each class `[[true negatives, false positives], [false negatives, true positives]]`, first resample."""
        hits, support, predicted = self.hits[0], self.support[0], self.predicted[0]
        cells = np.stack([self.chips[0] - support - predicted + hits, predicted - hits, support - hits, hits], axis=1)
        return cast(list[list[list[int]]], cells.astype(int).reshape(-1, 2, 2).tolist())


def roc_auc(positive: Bools, scores: Doubles, weights: Doubles) -> Doubles:
    """Chance that a positive chip scores above a negative one, ties counting half (Hanley and McNeil 1982).

    Args:
        positive: Whether each chip is positive, `(n,)`.
        scores: Score of each chip, `(n,)`.
        weights: How often each chip was drawn in each resample, `(b, n)`.

    Returns:
        The area of each resample, `(b,)`; NaN without positives or without negatives.
    """
    of_positive, of_negative = _ascending(positive, scores, weights)
    below = np.cumsum(of_negative, axis=1) - of_negative / 2
    pairs = of_positive.sum(axis=1) * of_negative.sum(axis=1)
    return ratio((of_positive * below).sum(axis=1), pairs)


def average_precision(positive: Bools, scores: Doubles, weights: Doubles) -> Doubles:
    """Precision at each step of recall, averaged over the steps, without interpolation.

    Arguments and shapes are those of `roc_auc`; it is NaN without positives.
    """
    of_positive, of_negative = (x[:, ::-1] for x in _ascending(positive, scores, weights))
    found = np.cumsum(of_positive, axis=1)
    precision = found / np.maximum(found + np.cumsum(of_negative, axis=1), 1)
    return ratio((of_positive * precision).sum(axis=1), of_positive.sum(axis=1))


def _ascending(positive: Bools, scores: Doubles, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Weights of positive and of negative chips by distinct score, ascending, each `(b, distinct scores)`."""
    order = np.argsort(scores)
    ranked, ordered = scores[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])
    of_positive = np.add.reduceat(ordered * positive[order], starts, axis=1)
    return of_positive, np.add.reduceat(ordered, starts, axis=1) - of_positive


def by_class(
    metric: Callable[[Bools, Doubles, Doubles], Doubles], true: Doubles, scores: Doubles, weights: Doubles
) -> Doubles:
    """Compute a metric of each class against the rest, `(b, c)`; it is NaN for classes without chips."""
    empty = np.full(len(weights), np.nan)
    columns = [
        metric(of_class > 0, score, weights) if of_class.any() else empty
        for of_class, score in zip(true.T, scores.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def ratio(part: Doubles, whole: Doubles) -> Doubles:
    """Divide; the result is NaN where the whole is 0."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    out = np.full(shape, np.nan)
    np.divide(part, whole, out=out, where=whole != 0)
    return out


def mean_defined(values: Doubles, weights: Doubles | None = None) -> Doubles:
    """Average values `(b, c)` over the classes where they are not NaN, `(b,)`; weights `(b, c)` count alike if None."""
    shares = np.isfinite(values) * (1.0 if weights is None else weights)
    return ratio((np.nan_to_num(values) * shares).sum(axis=1), shares.sum(axis=1))
