"""Pixels of a chunk become probabilities of its windows, and those its part of the cover."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from landmap.chips import Pixels, chip_views, extend, fill_nodata, valid_share
from landmap.grid import Chunk, Grid
from landmap.mosaic import ChunkCover, cell_probabilities, cover, empty_cover
from landmap_models.card import ModelCard
from landmap_models.classifier import Classifier
from landmap_models.errors import ModelError
from landmap_models.nir import CELL, NirPrior, cell_statistics

Floats = npt.NDArray[np.float32]

RANGE_TOLERANCE = 1e-3
"""How far a probability may lie outside 0 to 1: what half precision loses."""
SUM_TOLERANCE = 1e-2
"""How far the probabilities of a chip may be from summing to 1."""


def predict_windows(values: Floats, weights: Floats, classifier: Classifier, stride: int, batch_size: int) -> Floats:
    """Probabilities of every window of a chunk that has weight.

    Args:
        values: Reflectance, `(height, width, bands)`, without gaps.
        weights: Valid share of the windows, `(rows, cols)`; windows of weight 0 are not predicted.
        classifier: Which model.
        stride: Pixels between windows.
        batch_size: Chips copied out of `values` at once.

    Returns:
        `(rows, cols, classes)`; zero where not predicted.

    Raises:
        ModelError: The model's answers are not probabilities, or not one row a chip.
    """
    chips = chip_views(values, classifier.card.chip_size, stride)
    out = np.zeros((*weights.shape, len(classifier.card.legend)), np.float32)
    rows, cols = np.nonzero(weights)
    for start in range(0, len(rows), batch_size):
        place = rows[start : start + batch_size], cols[start : start + batch_size]
        answers = classifier.predict(np.ascontiguousarray(chips[place]))
        _check_answers(answers, len(place[0]), classifier.card)
        out[place] = answers
    return out


def _check_answers(answers: Floats, chips: int, card: ModelCard) -> None:
    """Refuse what would make a map of nonsense: NaN is class 0 to argmax, and one row is broadcast to many chips."""
    wanted = chips, len(card.legend)
    if np.shape(answers) != wanted:
        raise ModelError(
            f"{card.name}: expected probabilities of shape {wanted} (chips, classes). Received: {np.shape(answers)}. "
            "End the model with a softmax over the classes, one row a chip"
        )
    low, high = float(np.min(answers)), float(np.max(answers))
    sums = np.sum(answers, axis=1, dtype=np.float64)
    # Written so that NaN fails.
    inside = low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE
    if not (inside and bool(np.all(np.abs(sums - 1) <= SUM_TOLERANCE))):
        raise ModelError(
            f"{card.name}: expected probabilities from 0 to 1 that sum to 1 for each chip. Received: values from "
            f"{low:g} to {high:g}, sums from {sums.min():g} to {sums.max():g}. End the model with a softmax"
        )


def cover_chunk(
    pixels: Pixels, grid: Grid, chunk: Chunk, classifier: Classifier, batch_size: int, *, keep_probabilities: bool
) -> ChunkCover:
    """The whole way of a chunk, from the pixels it read to its part of the cover.

    Where the pixels come with near infrared, and the model with a prior for it, the blended probabilities of each cell
    are weighed by what near infrared says of that cell.

    Args:
        pixels: Of `grid.read_window(chunk)`.
        grid: Of the scene.
        chunk: Which one.
        classifier: Which model.
        batch_size: Chips predicted at once.
        keep_probabilities: Also return those of every class.
    """
    owned = pixels.valid[_owned(grid, chunk)]
    if not owned.any():
        return empty_cover(owned, len(classifier.card.legend), keep_probabilities=keep_probabilities)
    padded = grid.padded_window(chunk)
    filled = fill_nodata(pixels, np.array([b.mean for b in classifier.card.bands], np.float32))
    complete = extend(filled, grid.read_window(chunk), padded, grid.height, grid.width)
    weights = valid_share(complete.valid, grid.chip_size, grid.stride)
    windows = predict_windows(complete.values, weights, classifier, grid.stride, batch_size)
    probabilities, side = cell_probabilities(windows, weights, grid, chunk), grid.stride
    if classifier.card.nir is not None and pixels.spectrum is not None:
        spectrum = np.where(pixels.valid[..., None], pixels.spectrum, np.nan)[_owned(grid, chunk)]
        probabilities, side = weigh_by_infrared(probabilities, spectrum, grid.stride, classifier.card.nir)
    return cover(probabilities, owned, side, keep_probabilities=keep_probabilities)


def weigh_by_infrared(probabilities: Floats, spectrum: Floats, stride: int, prior: NirPrior) -> tuple[Floats, int]:
    """Probabilities of cells in the light of near infrared.

    It is looked at in cells of the size that the prior was fitted on, so that a cover may be finer than its stride.

    Args:
        probabilities: Blended from windows, `(rows, cols, classes)`.
        spectrum: Reflectance of red, green and near infrared of the cells' pixels, `(height, width, 3)`; NaN where a
            pixel has none. May end within the last row and column of cells.
        stride: Pixels along a cell's side.
        prior: The model's.

    Returns:
        Probabilities of these finer cells, `(rows, cols, classes)`, and the pixels along their side.
    """
    side = math.gcd(stride, CELL)
    parts = stride // side
    fine = probabilities.repeat(parts, axis=0).repeat(parts, axis=1)
    whole = np.full((fine.shape[0] * side, fine.shape[1] * side, 3), np.nan, np.float32)
    whole[: spectrum.shape[0], : spectrum.shape[1]] = spectrum
    return prior.update(fine, cell_statistics(whole, side)), side


def _owned(grid: Grid, chunk: Chunk) -> tuple[slice, slice]:
    """Where the pixels that the chunk writes lie among those that it read."""
    owned, read = grid.owned_window(chunk), grid.read_window(chunk)
    row, col = owned.row_off - read.row_off, owned.col_off - read.col_off
    return slice(row, row + owned.height), slice(col, col + owned.width)
