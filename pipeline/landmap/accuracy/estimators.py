"""How accurate a map is, and how much of each class there is: estimates from a stratified sample. NumPy only.

The estimators of Olofsson, Foody, Herold, Stehman, Woodcock and Wulder (2014): Good practices for estimating area and
assessing accuracy of land change. Remote Sensing of Environment 148, 42-57, doi:10.1016/j.rse.2014.02.015. The
numbers of their equations are given. Strata are the mapped classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Doubles

Z = 1.96
"""Standard errors on either side of an estimate that make a 95 % interval, as in the paper.

A normal distribution is taken for granted: where few samples show a rare error, the interval is somewhat too narrow.
"""


@dataclass(frozen=True, slots=True)
class Estimated:
    """Values and their standard errors, of one shape; NaN where they are not defined."""

    values: Doubles
    errors: Doubles


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a sample says of a map and of the land, for q classes."""

    proportions: Doubles
    """Share of the area by mapped class (row) and true class (column), `(q, q)`; sums to 1."""
    overall: Estimated
    """Share of the area that is mapped right, `()`."""
    users: Estimated
    """Of the area mapped as a class, the share that is of that class, `(q,)`."""
    producers: Estimated
    """Of the true area of a class, the share that is mapped so, `(q,)`."""
    areas: Estimated
    """True area of each class, `(q,)`, in the unit of the mapped areas."""


def stratified(counts: npt.NDArray[np.number], mapped: Doubles, *, independent: bool = True) -> Estimates:
    """Estimates from samples drawn at random within each mapped class.

    Args:
        counts: Samples by mapped class (row) and reference class (column), `(q, q)`; or areas, where all is known.
        mapped: Mapped area of each class, `(q,)`, in any unit.
        independent: The samples were drawn one by one; otherwise no standard error is defined.

    A class that is mapped needs a sample, or all that depends on it is NaN; for standard errors it needs two.
    """
    n = counts.sum(axis=1)
    weights = mapped / mapped.sum()
    # Classes that are not mapped have no samples and no weight: 0, not NaN, is what they add.
    rates = _divided(counts, n[:, None], np.where(mapped > 0, np.nan, 0.0)[:, None])
    spread = _divided(rates * (1 - rates), n[:, None] - 1, np.where(mapped > 0, np.nan, 0.0)[:, None])
    if not independent:
        spread = np.full_like(spread, np.nan)
    proportions = weights[:, None] * rates  # (4)
    true = proportions.sum(axis=0)  # (9)
    right = np.diagonal(proportions)
    users = np.where(n > 0, np.diagonal(rates), np.nan)  # (2)
    producers = _divided(right, true, np.full_like(true, np.nan))  # (3)
    return Estimates(
        proportions=proportions,
        overall=Estimated(right.sum(), np.sqrt((weights**2 * np.diagonal(spread)).sum())),  # (1), (5)
        users=Estimated(users, np.where(n > 1, np.sqrt(np.diagonal(spread)), np.nan)),  # (6)
        producers=Estimated(producers, _producers_errors(producers, true, weights, spread)),
        areas=Estimated(mapped.sum() * true, mapped.sum() * np.sqrt((weights[:, None] ** 2 * spread).sum(axis=0))),
    )  # the last: (10), (11)


def _producers_errors(producers: Doubles, true: Doubles, weights: Doubles, spread: Doubles) -> Doubles:
    """Equation (7), with shares of the area in place of numbers of pixels."""
    variances = weights[:, None] ** 2 * spread
    own = np.diagonal(variances)
    others = variances.sum(axis=0) - own
    errors: Doubles = np.sqrt((1 - producers) ** 2 * own + producers**2 * others)
    return _divided(errors, true, np.full_like(true, np.nan))


def _divided(above: npt.NDArray[np.number], below: npt.NDArray[np.number], otherwise: Doubles) -> Doubles:
    """A quotient, and another value where there is nothing to divide by."""
    out = np.broadcast_to(otherwise, np.broadcast_shapes(above.shape, below.shape)).copy()
    np.divide(above, below, out=out, where=below > 0)
    return out
