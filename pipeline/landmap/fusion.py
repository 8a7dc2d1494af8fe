"""Probabilities of several dates become one map. NumPy only.

By default dates are fused as a logarithmic opinion pool: the mean of the logarithms of their probabilities, weighted by
date, and normalised to 1 (C. Genest and J. V. Zidek, "Combining probability distributions: a critique and an annotated
bibliography", Statistical Science 1(1), 1986). A class that one date excludes is then hardly chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from landmap.errors import SettingsError
from landmap_models.arrays import Bools, Bytes, Floats
from landmap_models.legend import NODATA, UNKNOWN_ID

How = Literal["mean", "median", "majority"]
"""How dates are fused; see `fuse`."""
HOW: tuple[How, ...] = get_args(How)
"""The possible ways, the default first."""
TEXTS: dict[How, str] = {
    "mean": "weighted mean of log-probabilities",
    "median": "weighted median of probabilities",
    "majority": "weighted majority of classes",
}
"""Each way in words."""
MOST_DATES = 254
"""Most dates that are fused: their number is written as a byte."""
LEAST_PERCENT = 0.5
"""Probability in percent of a class that has 0: as percents are whole, it may be up to this."""
STRIP_BYTES = 32 * 2**20
"""Memory in bytes that the probabilities of a strip need, which are fused at once."""


@dataclass(frozen=True, slots=True)
class Fused:
    """One map of several dates, each array of shape `(height, width)` where nothing else is said."""

    classes: Bytes
    """Class ids; 254 where the class is "Unknown", 255 where no date has data."""
    confidence: Bytes
    """Probability of the pixel's class in percent; of a majority its share of votes. 255 where no date has data."""
    count: Bytes
    """Number of dates that count: those with data and a weight above 0."""
    disagreement: Bytes
    """Share in percent of these dates, by weight, whose own class is another one; 255 where no date has data."""
    probabilities: Bytes
    """Probability of every class in percent, or its share of votes, `(classes, height, width)`; 255 likewise."""


def check_weights(weights: Sequence[float] | None, dates: int) -> Floats:
    """The weight of each date, `(dates,)`, float32.

    Args:
        weights: Numbers from 0, one a date; None: all dates count alike.
        dates: Number of dates.

    Raises:
        SettingsError: There is another number of weights than of dates, one is no such number, or none is above 0.
    """
    if not 1 <= dates <= MOST_DATES:
        raise SettingsError(f"dates: expected 1 to {MOST_DATES}. Received: {dates}. Give fewer at once")
    if weights is None:
        return np.ones(dates, np.float32)
    found = np.asarray(weights, np.float32)
    if found.shape != (dates,) or not np.isfinite(found).all() or (found < 0).any() or not (found > 0).any():
        raise SettingsError(
            f"weights: expected a number from 0 for each of {dates} dates, one of them above 0. Received: "
            f"{', '.join(f'{number:g}' for number in found.ravel()[:10])}"
        )
    return found


def fuse(
    classes: Bytes,
    probabilities: Bytes,
    weights: Floats,
    ids: Sequence[int],
    how: How = "mean",
    *,
    unknown_below: int | None = None,
) -> Fused:
    """Fuse the maps of several dates, pixel by pixel.

    A date counts where it has data and its weight is above 0. Where a single one counts, its class stays, and its
    percentages but for the majority, whose votes are then 100 %. Of equally probable classes the first one is chosen;
    of equally many votes the one whose mean probability is larger.

    Args:
        classes: Class ids of each date, `(dates, height, width)`; 254 for "Unknown", 255 where it has no data.
        probabilities: Probability of each class in percent, `(classes, dates, height, width)`; 255 without data.
        weights: Weight of each date, `(dates,)`; see `check_weights`.
        ids: Id of each class, in their order along the first axis of `probabilities`.
        how: "mean" takes the weighted mean of log-probabilities, "median" the weighted median of each class's
            probability, and "majority" the class that most dates have; shares add up to 1 in each.
        unknown_below: Confidence in percent below which a pixel is "Unknown"; None: no pixel is.
    """
    shape, count = classes.shape[1:], len(ids)
    layers = np.empty((4 + count, *shape), np.uint8)
    rows = max(1, STRIP_BYTES // (4 * classes.shape[0] * count * max(1, shape[1])))
    for start in range(0, shape[0], rows):
        strip = slice(start, start + rows)
        layers[:, strip] = _strip(classes[:, strip], probabilities[:, :, strip], weights, ids, how)
    if unknown_below is not None:
        layers[0][layers[1] < unknown_below] = UNKNOWN_ID  # NODATA is above 100
    return Fused(layers[0], layers[1], layers[2], layers[3], layers[4:])


def _strip(classes: Bytes, percents: Bytes, weights: Floats, ids: Sequence[int], how: How) -> Bytes:
    """The layers of some rows: class, confidence, count, disagreement, and the percentage of each class."""
    seen = (classes != NODATA) & (weights > 0)[:, None, None]
    weighted = np.where(seen, weights[:, None, None], np.float32(0))
    own = _own_places(classes, percents, ids)
    total, count = _sum(weighted), seen.sum(axis=0, dtype=np.uint8)
    scores = {"mean": _log_mean, "median": _median, "majority": _votes}[how](percents, own, weighted, total)
    best = _best(scores, percents, weighted) if how == "majority" else scores.argmax(axis=0)
    single = count == 1
    if how != "majority":
        only = seen.argmax(axis=0)
        best = np.where(single, np.take_along_axis(own, only[None], 0)[0], best)
        alone = np.take_along_axis(percents, only[None, None], 1)[:, 0]
        scores = np.where(single, alone.astype(np.float32) / 100, scores)
    differs = _sum(np.where(own != best, weighted, np.float32(0)))
    layers = [
        np.asarray(ids, np.uint8)[best],
        _percent(np.take_along_axis(scores, best[None], 0)[0]),
        count,
        _percent(_share(differs, total)),
        *map(_percent, scores),
    ]
    for layer in (*layers[:2], *layers[3:]):
        layer[count == 0] = NODATA
    return np.stack(layers)


def _own_places(classes: Bytes, percents: Bytes, ids: Sequence[int]) -> npt.NDArray[np.intp]:
    """Place among all classes of each date's own one; of "Unknown" that of the most probable one."""
    table = np.zeros(256, np.intp)
    table[list(ids)] = np.arange(len(ids))
    known: Bools = np.zeros(256, np.bool_)
    known[list(ids)] = True
    return np.where(known[classes], table[classes], percents.argmax(axis=0))


def _sum(values: Floats) -> Floats:
    """Sum over dates, always in the same order, so that a pixel does not depend on those beside it."""
    total = np.zeros(values.shape[1:], np.float32)
    for value in values:
        total += value
    return total


def _share(parts: Floats, total: Floats) -> Floats:
    """Parts of a total, 0 where that is 0."""
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


def _normalised(scores: Floats) -> Floats:
    """Scores of classes, `(classes, height, width)`, as shares of their sum."""
    total = _sum(scores)
    return _share(scores, total)


def _log_mean(percents: Bytes, own: npt.NDArray[np.intp], weighted: Floats, total: Floats) -> Floats:
    """Weighted mean of the logarithms, as probabilities."""
    table = np.log(np.maximum(np.arange(256), LEAST_PERCENT) / 100).astype(np.float32)
    share = _share(weighted, total)
    mean = np.stack([_sum(table[of_class] * share) for of_class in percents])
    return _normalised(np.exp(mean - mean.max(axis=0)))


def _median(percents: Bytes, own: npt.NDArray[np.intp], weighted: Floats, total: Floats) -> Floats:
    """Weighted median of each class: half of the weight lies below it, and half above."""
    return _normalised(np.stack([_median_of(of_class, weighted, total) for of_class in percents]))


def _median_of(values: Bytes, weighted: Floats, total: Floats) -> Floats:
    order = values.argsort(axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, 0).astype(np.float32)
    below = np.take_along_axis(weighted, order, 0).cumsum(axis=0)
    half = total / 2
    low, high = ((passed).argmax(axis=0)[None] for passed in (below >= half, below > half))
    middle: Floats = (np.take_along_axis(ordered, low, 0)[0] + np.take_along_axis(ordered, high, 0)[0]) / 200
    return middle


def _votes(percents: Bytes, own: npt.NDArray[np.intp], weighted: Floats, total: Floats) -> Floats:
    """Share of votes of each class."""
    votes = np.stack([_sum(np.where(own == place, weighted, np.float32(0))) for place in range(len(percents))])
    return _share(votes, total)


def _best(votes: Floats, percents: Bytes, weighted: Floats) -> npt.NDArray[np.intp]:
    """Place of the class with the most votes, of equal ones with the larger sum of probabilities."""
    sums = np.stack([_sum(of_class * weighted) for of_class in percents])
    tied = votes >= votes.max(axis=0) * np.float32(1 - 1e-6)
    best: npt.NDArray[np.intp] = np.where(tied, sums, np.float32(-1)).argmax(axis=0)
    return best


def _percent(shares: Floats) -> Bytes:
    return np.rint(shares * 100).astype(np.uint8)
