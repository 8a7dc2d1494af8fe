"""A prior for cells of a map from near infrared, for models of true colour.

In true colour a dark green field looks like deep water, and a window that touches a river is River as a whole. Near
infrared decides both: water is darker in it than in green, plants are many times brighter. The window gives the classes
of the surroundings, and the cell decides which of them lies here:

    p(class | cell) ~ (blended windows + what surrounds a part class) * p(NDVI, log NIR | class)^weight * water factor

The likelihoods are Student's t, fitted per class on cells of labelled chips that hold B08; covariances are shrunk
towards the pooled one (Friedman 1989, doi 10.1080/01621459.1989.10478752). Some hundred chips of a few places are
little evidence: heavy tails and the exponent `weight` keep it from overruling a model that is sure.

Every statistic is a mean over pixels, so that cells of any size can be made of smaller ones.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import AnyFloats, Doubles
from landmap_models.sentinel2 import LEVELS, Level

Pair = tuple[float, float]

CELL = 8
"""Pixels along the side of the cells that the likelihoods are fitted on."""
MIN_SHARE = 0.25
"""A cell of which a smaller share of pixels has near infrared keeps the probabilities of the model."""
WATER_FLOOR = 0.02
"""Least factor of the water classes in a cell without water, and of the other classes in a cell full of water."""
GLINT = 0.2
"""Near-infrared reflectance above which nothing counts as water: clouds and roofs may be as bright as in green."""
DARKEST = 0.01
"""Smallest reflectance: lower values are raised to it, so that logarithms and ratios stay finite."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Classes of a legend by what near infrared can decide about them."""

    water: tuple[int, ...]
    """Ids of classes whose cells hold open water."""
    road: tuple[int, ...]
    """Ids of classes named for a strip of sealed ground, with other land on both sides."""
    open_land: tuple[int, ...]
    """Ids of classes that may lie beside water and roads: fields, grass, woods."""


EUROSAT_ROLES = Roles(water=(8, 9), road=(3,), open_land=(0, 1, 2, 5, 6))
"""River and SeaLake; Highway; AnnualCrop, Forest, HerbaceousVegetation, Pasture and PermanentCrop."""


@dataclass(frozen=True, slots=True)
class CellStatistics:
    """Statistics of near infrared in cells; every field has the shape of the cells, such as `(rows, cols)`."""

    ndvi: Doubles
    """Mean of (NIR - red) / (NIR + red)."""
    log_nir: Doubles
    """Mean of the natural logarithm of NIR reflectance."""
    water: Doubles
    """Share of water-like pixels, 0 to 1: NDWI above 0 (McFeeters 1996), and not bright."""
    seen: Doubles
    """Share of the cell's pixels that have red and green, 0 to 1."""
    share: Doubles
    """Share of these that have near infrared, too, 0 to 1; they alone count in the first three fields, which are 0
    without any."""


def cell_statistics(spectrum: AnyFloats, cell: int = CELL) -> CellStatistics:
    """Compute the statistics of square cells.

    Args:
        spectrum: Reflectance of red, green and near infrared, `(..., height, width, 3)`; NaN where a pixel has no
            data. Height and width are multiples of `cell`.
        cell: Pixels along a cell's side.

    Returns:
        Statistics of shape `(..., height / cell, width / cell)`.
    """
    seen = np.isfinite(spectrum[..., :2]).all(axis=-1)
    usable = seen & np.isfinite(spectrum[..., 2])
    red, green, nir = np.moveaxis(np.where(usable[..., None], spectrum, 1).astype(np.float64), -1, 0)
    floored = np.maximum(nir, DARKEST)
    ndvi = (floored - red) / (floored + np.maximum(red, DARKEST))
    water = (nir < green) & (nir < GLINT)
    whole, count = (_sums(np.asarray(mask, np.float64), cell) for mask in (seen, usable))
    ndvi, log_nir, wet = (
        _sums(np.asarray(usable * values), cell) / np.maximum(count, 1)
        for values in (ndvi.clip(-1, 1), np.log(floored), water)
    )
    return CellStatistics(ndvi, log_nir, wet, whole / cell**2, count / np.maximum(whole, 1))


def _sums(values: Doubles, cell: int) -> Doubles:
    """Sums over cells, in a fixed order, rows first: that of NumPy's reductions depends on the shape."""
    rows = np.zeros((*values.shape[:-2], values.shape[-2] // cell, values.shape[-1]))
    for row in range(cell):
        rows += values[..., row::cell, :]
    total = np.zeros((*rows.shape[:-1], rows.shape[-1] // cell))
    for col in range(cell):
        total += rows[..., col::cell]
    return total


@dataclass(frozen=True, slots=True)
class NirPrior:
    """Likelihoods of a cell's near infrared by class, and what lies beside the classes that name a part of a window."""

    means: tuple[Pair, ...]
    """Per class, the centre of (mean NDVI, mean log NIR)."""
    covariances: tuple[tuple[Pair, Pair], ...]
    """Per class, the 2x2 scale matrix of Student's t."""
    roles: Roles
    """Classes that are water, roads or open land."""
    weight: float = 0.2
    """Exponent of the likelihood, 0 to 1: neighbouring pixels depend on each other, and near infrared on true colour.

    Chosen on two dates of one farmland scene; from 0.15 to 0.35 they agreed with a hand-drawn reference alike.
    """
    freedom: float = 4.0
    """Degrees of freedom of Student's t: the fewer, the heavier the tails."""
    level: Level = "L1C"
    """Product level of the chips that the prior was fitted on."""
    origin: str = ""
    """The chips that the prior was fitted on, in words."""

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> NirPrior:
        """Make a prior of the entries of a card, without checking its values.

        Raises:
            TypeError, ValueError, KeyError: An entry is missing, unknown or of another kind.
        """
        roles = Roles(**{name: tuple(ids) for name, ids in dict(content["roles"]).items()})
        means = tuple((x, y) for x, y in content["means"])
        covariances = tuple(((a, b), (c, d)) for (a, b), (c, d) in content["covariances"])
        return cls(**dict(content) | {"roles": roles, "means": means, "covariances": covariances})

    def log_likelihood(self, ndvi: Doubles, log_nir: Doubles) -> Doubles:
        """Logarithm of the density of statistics of cells in each class, `(..., classes)`, before `weight`."""
        out = np.empty((*ndvi.shape, len(self.means)))
        for i, (mean, ((a, b), (_, c))) in enumerate(zip(self.means, self.covariances, strict=True)):
            # Written out, since the rounding of a matrix product depends on the shape of the arrays.
            one, other = ndvi - mean[0], log_nir - mean[1]
            determinant = a * c - b * b
            distance = (c * one * one - 2 * b * one * other + a * other * other) / determinant
            out[..., i] = -0.5 * (
                math.log(determinant) + (self.freedom + 2) * np.log1p(np.maximum(distance, 0) / self.freedom)
            )
        return out - math.log(2 * math.pi)

    def update(self, probabilities: AnyFloats, cells: CellStatistics) -> npt.NDArray[np.float32]:
        """Update the probabilities of cells by their near infrared.

        A cell with too little near infrared, or without probabilities, stays as it was. A class of probability 0 keeps
        it, so that a model that is certain of a class is never overruled.

        Args:
            probabilities: Probabilities blended from windows, `(rows, cols, classes)`; those of a cell sum to 1, or
                to 0 where no window lies.
            cells: Statistics of the same cells, `(rows, cols)`.

        Returns:
            Updated probabilities, `(rows, cols, classes)`.
        """
        likelihood = self.weight * self.log_likelihood(cells.ndvi, cells.log_nir)
        likelihood += self._water_factors(cells.water)
        likelihood -= likelihood.max(axis=-1, keepdims=True)
        posterior = self._with_surroundings(probabilities) * np.exp(likelihood)
        total = _class_sum(posterior)
        known = (cells.share >= MIN_SHARE) & (total > 0)
        scaled = posterior / np.where(total > 0, total, 1)[..., None]
        return np.where(known[..., None], scaled, probabilities).astype(np.float32)

    def _water_factors(self, water: Doubles) -> Doubles:
        """Logarithms of the factors of all classes, `(..., classes)`, by the share of water in a cell."""
        wet, dry = (np.log(np.maximum(share, WATER_FLOOR)) for share in (water, 1 - water))
        return np.stack([wet if i in self.roles.water else dry for i in range(len(self.means))], axis=-1)

    def _with_surroundings(self, probabilities: AnyFloats) -> Doubles:
        """Add open land beside water and roads: a window of these classes does not tell what lies around them."""
        out = probabilities.astype(np.float64)
        beside = _class_sum(out[..., list(self.roles.water + self.roles.road)])
        out[..., list(self.roles.open_land)] += (beside / max(1, len(self.roles.open_land)))[..., None]
        return out

    def check(self, classes: int) -> None:
        """Check the values.

        Args:
            classes: Number of classes of the model.

        Raises:
            ValueError: A value can't be meant for a model of so many classes.
        """
        if len(self.means) != classes or len(self.covariances) != classes:
            raise ValueError(
                f"Expected nir means and covariances of {classes} classes. Received: {len(self.means)} and "
                f"{len(self.covariances)}"
            )
        for i, (mean, matrix) in enumerate(zip(self.means, self.covariances, strict=True)):
            _check_class(i, mean, matrix)
        _check_roles(self.roles, classes)
        if not (_is_finite(self.weight) and 0 <= self.weight <= 1 and _is_finite(self.freedom) and self.freedom > 0):
            raise ValueError(
                f"Expected a nir weight from 0 to 1 and positive freedom. Received: {self.weight!r}, {self.freedom!r}"
            )
        if self.level not in LEVELS or not isinstance(self.origin, str):
            raise ValueError(f"Expected a nir level L1C or L2A, and its origin as text. Received: {self.level!r}")


def _class_sum(values: Doubles) -> Doubles:
    """Sum along the last axis, added class by class in a fixed order."""
    total = np.zeros(values.shape[:-1])
    for i in range(values.shape[-1]):
        total += values[..., i]
    return total


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check_class(index: int, mean: Sequence[float], matrix: Sequence[Sequence[float]]) -> None:
    numbers = [*mean, *(number for row in matrix for number in row)]
    if len(mean) != 2 or [len(row) for row in matrix] != [2, 2] or not all(map(_is_finite, numbers)):
        raise ValueError(f"Expected two finite nir means and a 2x2 covariance of class {index}. Received: {numbers}")
    (a, b), (c, d) = matrix
    if not (b == c and a > 0 and d > 0 and a * d - b * c > 0):
        raise ValueError(f"Expected a positive definite nir covariance of class {index}. Received: {matrix}")


def _check_roles(roles: Roles, classes: int) -> None:
    ids = roles.water + roles.road + roles.open_land
    if any(isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < classes for i in ids):
        raise ValueError(f"Expected nir roles as class ids from 0 to {classes - 1}. Received: {ids}")
    if len(set(ids)) != len(ids) or not roles.water or not roles.open_land:
        raise ValueError(f"Expected water and open land among the nir roles, each class once. Received: {ids}")
