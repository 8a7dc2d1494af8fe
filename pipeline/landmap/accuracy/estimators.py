"""Accuracies of a map and areas of its classes are estimated from a stratified sample. NumPy only.

The estimators of Olofsson, Foody, Herold, Stehman, Woodcock and Wulder (2014): Good practices for estimating area and
assessing accuracy of land change. Remote Sensing of Environment 148, 42-57, doi:10.1016/j.rse.2014.02.015. The
numbers of their equations are given. Strata are the mapped classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bools, Doubles, Ints

Z = 1.96
"""Number of standard errors on either side of an estimate that make a 95 % interval, as in the paper.

A normal distribution is assumed: where few samples show a rare error, the interval is somewhat too narrow.
"""


@dataclass(frozen=True, slots=True)
class Estimated:
    """Values and their standard errors, of one shape; NaN where they are not defined."""

    values: Doubles
    """Estimates."""
    errors: Doubles
    """Standard errors, of the same shape."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """A sample drawn at random within each of q mapped classes, and what it says of the map and of the land."""

    mapped: Doubles
    """Mapped area of each class, `(q,)`, in any unit."""
    places: Doubles
    """Number of samples in each mapped class, `(q,)`."""
    rates: Doubles
    """Share of a mapped class's samples (row) that are of a reference class (column), `(q, q)`; rows sum to 1."""
    spread: Doubles
    """Variance of each rate, `(q, q)`; NaN where it is not defined."""

    @property
    def weights(self) -> Doubles:
        """Share of each mapped class in the area, `(q,)`."""
        return np.asarray(self.mapped / self.mapped.sum())

    @property
    def proportions(self) -> Doubles:
        """Share of the area by mapped class (row) and true class (column), `(q, q)`; sums to 1. Equation (4)."""
        return self.weights[:, None] * self.rates

    @property
    def overall(self) -> Estimated:
        """Overall accuracy: share of the area that is mapped right, `()`. Equations (1) and (5)."""
        variance = (self.weights**2 * np.diagonal(self.spread)).sum()
        return Estimated(np.diagonal(self.proportions).sum(), np.sqrt(variance))

    @property
    def users(self) -> Estimated:
        """User's accuracy: of the area mapped as a class, the share of that class, `(q,)`. Equations (2) and (6)."""
        values = np.where(self.places > 0, np.diagonal(self.rates), np.nan)
        return Estimated(values, np.where(self.places > 1, np.sqrt(np.diagonal(self.spread)), np.nan))

    @property
    def producers(self) -> Estimated:
        """Producer's accuracy: of the true area of a class, the share mapped so, `(q,)`. Equations (3) and (7)."""
        true = self.proportions.sum(axis=0)
        values = _divided(np.diagonal(self.proportions), true, np.full_like(true, np.nan))
        return Estimated(values, _producers_errors(values, true, self.weights, self.spread))

    @property
    def areas(self) -> Estimated:
        """True area of each class, `(q,)`, in the unit of the mapped areas. Equations (9) to (11)."""
        total, variances = self.mapped.sum(), (self.weights[:, None] ** 2 * self.spread).sum(axis=0)
        return Estimated(total * self.proportions.sum(axis=0), total * np.sqrt(variances))


@dataclass(frozen=True, slots=True)
class StrataEstimates:
    """A sample drawn at random within strata that are not the classes of the map, and what it says of map and land.

    Every number is a ratio of two means over the area, of marks of 0 and 1 that each sample has. The estimators of
    Stehman (2014): Estimating area and map accuracy for stratified random sampling when the strata are different from
    the map classes. International Journal of Remote Sensing 35, 4923-4939, doi:10.1080/01431161.2014.930207, without
    the correction for a finite population.
    """

    strata: Ints
    """Stratum of each sample, `(m,)`, from 0."""
    weights: Doubles
    """Share of each stratum in the area."""
    mapped: Bools
    """Whether each sample is mapped as each class, `(m, q)`."""
    true: Bools
    """Whether each sample is of each class, `(m, q)`."""
    area: float
    """The whole area, in any unit."""

    @property
    def overall(self) -> Estimated:
        """Overall accuracy, `()`. Equations (12) and (25)."""
        right = np.asarray((self.mapped & self.true).any(axis=1))[:, None]
        found = self._ratio(right, np.ones_like(right))
        return Estimated(found.values[0], found.errors[0])

    @property
    def users(self) -> Estimated:
        """User's accuracy, `(q,)`. Equations (18), (19) and (28)."""
        return self._ratio(self.mapped & self.true, self.mapped)

    @property
    def producers(self) -> Estimated:
        """Producer's accuracy, `(q,)`. Equations (22), (23) and (28)."""
        return self._ratio(self.mapped & self.true, self.true)

    @property
    def areas(self) -> Estimated:
        """True area of each class, `(q,)`, in the unit of `area`. Equations (14) and (25)."""
        found = self._ratio(self.true, np.ones_like(self.true))
        return Estimated(self.area * found.values, self.area * found.errors)

    def _ratio(self, above: Bools, below: Bools) -> Estimated:
        """Ratio of the means of two marks, each `(m, k)`, and its standard error; NaN where it is not defined."""
        over = self._means(below.astype(np.float64))
        ratio = _divided(self._means(above.astype(np.float64)), over, np.full_like(over, np.nan))
        # The variance of a ratio is that of what is left of one mark without its share of the other.
        left = above - ratio * below
        n = np.bincount(self.strata, minlength=len(self.weights)).astype(np.float64)[:, None]
        spread = self._sums(left**2) - _divided(self._sums(left) ** 2, n, np.zeros_like(n))
        variances = _divided(spread, n * (n - 1), np.full_like(n, np.nan))
        errors = np.sqrt((self.weights[:, None] ** 2 * np.maximum(variances, 0)).sum(axis=0))
        return Estimated(ratio, _divided(errors, over, np.full_like(over, np.nan)))

    def _means(self, marks: Doubles) -> Doubles:
        """Means over the area, `(k,)`, of numbers of the samples, `(m, k)`."""
        n = np.bincount(self.strata, minlength=len(self.weights)).astype(np.float64)[:, None]
        means = _divided(self._sums(marks), n, np.full_like(n, np.nan))
        return np.asarray((self.weights[:, None] * means).sum(axis=0))

    def _sums(self, numbers: Doubles) -> Doubles:
        """Sums over each stratum, `(strata, k)`, of numbers of the samples, `(m, k)`."""
        found = np.zeros((len(self.weights), numbers.shape[1]))
        np.add.at(found, self.strata, numbers)
        return found


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that an assessment estimates, and its names."""

    key: str
    """Name in reports (JSON) and tables (CSV)."""
    title: str
    """Name for people."""
    estimate: Callable[[Estimates | StrataEstimates], Estimated]
    """Returns its values and standard errors, given the sample."""
    in_hectares: bool = False
    """Whether it is an area in hectares; otherwise it is a share, 0 to 1."""


MAP_METRICS = (Metric("overall_accuracy", "overall accuracy", lambda sample: sample.overall),)
"""Metrics of the whole map, each one number. To add one, add a property to both kinds of estimates and a line here."""
CLASS_METRICS = (
    Metric("users_accuracy", "user's accuracy", lambda sample: sample.users),
    Metric("producers_accuracy", "producer's accuracy", lambda sample: sample.producers),
    Metric("area_hectares", "estimated ha", lambda sample: sample.areas, in_hectares=True),
)
"""Metrics of each class, `(q,)`; reports, tables and the command line show them in this order."""


def stratified(counts: npt.NDArray[np.number], mapped: Doubles, *, independent: bool = True) -> Estimates:
    """Estimate accuracies and areas from samples drawn at random within each mapped class.

    A class that is mapped needs a sample, or all that depends on it is NaN; for standard errors it needs two.

    Args:
        counts: Samples by mapped class (row) and reference class (column), `(q, q)`; or areas, where all is known.
        mapped: Mapped area of each class, `(q,)`, in any unit.
        independent: Whether the samples were drawn one by one; otherwise no standard error is defined.
    """
    n = counts.sum(axis=1)
    # Classes that are not mapped have no samples and no weight: 0, not NaN, is what they add.
    missing = np.where(mapped > 0, np.nan, 0.0)[:, None]
    rates = _divided(counts, n[:, None], missing)
    spread = _divided(rates * (1 - rates), n[:, None] - 1, missing)
    return Estimates(mapped, n, rates, spread if independent else np.full_like(spread, np.nan))


def _producers_errors(producers: Doubles, true: Doubles, weights: Doubles, spread: Doubles) -> Doubles:
    """Compute the standard errors of producer's accuracies: equation (7), with shares of the area, `(q,)`."""
    variances = weights[:, None] ** 2 * spread
    own = np.diagonal(variances)
    others = variances.sum(axis=0) - own
    errors: Doubles = np.sqrt((1 - producers) ** 2 * own + producers**2 * others)
    return _divided(errors, true, np.full_like(true, np.nan))


def _divided(above: npt.NDArray[np.number], below: npt.NDArray[np.number], otherwise: Doubles) -> Doubles:
    """Divide two arrays; where the divisor is 0, the result is that of `otherwise`."""
    out = np.broadcast_to(otherwise, np.broadcast_shapes(above.shape, below.shape)).copy()
    np.divide(above, below, out=out, where=below > 0)
    return out
