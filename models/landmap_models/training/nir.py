"""A `NirPrior` is fitted on labelled chips with near infrared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import AnyFloats, Bools, Doubles
from landmap_models.errors import DatasetError
from landmap_models.model_file.nir import CELL, EUROSAT_ROLES, CellStatistics, NirPrior, Pair, Roles, cell_statistics

Ints = npt.NDArray[np.integer]

WET = 0.5
"""Share of water-like pixels from which a cell counts as water."""
SEALED = 0.35
"""NDVI below which a cell counts as road where a road class is fitted."""
SHRINKAGE = 0.3
"""Share of the pooled covariance in that of a class, whose cells are many, but of few chips."""
RIDGE = 1e-3
"""Share of the pooled variances that is added to every class's, so that no class is a line."""
MIN_CELLS = 30
"""Number of cells of its own kind that a class needs to be fitted."""


def fit_nir_prior(
    spectrum: AnyFloats, labels: Ints, classes: int, *, roles: Roles = EUROSAT_ROLES, origin: str = ""
) -> NirPrior:
    """Fit a prior on the cells of labelled chips.

    A chip of a river contains its banks, too, and one of a highway the fields beside it: only cells that are water
    count for water classes, only those without much vegetation for roads, and only those that are not water for the
    others.

    Args:
        spectrum: Reflectance of red, green and near infrared of L1C chips, `(n, height, width, 3)`, NaN where a pixel
            is not to be used; height and width are multiples of 8.
        labels: Class ids of the chips, `(n,)`.
        classes: Number of classes of the legend.
        roles: Classes that are water, roads and open land.
        origin: Description of the chips for the card.

    Raises:
        DatasetError: A class has too few cells of its own kind.
    """
    cells = cell_statistics(spectrum)
    kinds = np.broadcast_to(np.asarray(labels)[:, None, None], cells.ndvi.shape)
    own = _own_cells(cells, kinds, roles)
    points = [np.stack([cells.ndvi[own & (kinds == i)], cells.log_nir[own & (kinds == i)]]) for i in range(classes)]
    for i, found in enumerate(points):
        if found.shape[1] < MIN_CELLS:
            raise DatasetError(
                f"class {i}: expected at least {MIN_CELLS} cells of {CELL}x{CELL} px of its own kind. "
                f"Received: {found.shape[1]}. Give more chips with near infrared"
            )
    prior = NirPrior(_means(points), _covariances(points), roles, origin=origin)
    prior.check(classes)
    return prior


def _own_cells(cells: CellStatistics, kinds: Ints, roles: Roles) -> Bools:
    """Mask of the cells that hold the class of their chip."""
    wet = cells.water >= WET
    own = np.where(np.isin(kinds, roles.water), wet, ~wet)
    own &= ~np.isin(kinds, roles.road) | (cells.ndvi < SEALED)
    return np.asarray(own & (cells.seen == 1) & (cells.share == 1))


def _means(points: list[Doubles]) -> tuple[Pair, ...]:
    return tuple((float(p[0].mean()), float(p[1].mean())) for p in points)


def _covariances(points: list[Doubles]) -> tuple[tuple[Pair, Pair], ...]:
    own = [np.cov(p) for p in points]
    weights = np.array([p.shape[1] - 1.0 for p in points])
    pooled = sum(w * c for w, c in zip(weights, own, strict=True)) / weights.sum()
    found = []
    for matrix in own:
        shrunk = (1 - SHRINKAGE) * matrix + SHRINKAGE * pooled + RIDGE * np.diag(np.diag(pooled))
        a, b, c = float(shrunk[0, 0]), float(shrunk[0, 1]), float(shrunk[1, 1])
        found.append(((a, b), (b, c)))
    return tuple(found)
