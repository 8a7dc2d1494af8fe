"""Pixels of a chunk become probabilities of its windows, and those its part of the cover."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landmap.chips import Pixels, chip_views, extend, fill_nodata, valid_share
from landmap.grid import Chunk, Grid, Window
from landmap.mosaic import ChunkCover, cell_probabilities, cover, empty_cover
from landmap_models.card import ModelCard
from landmap_models.classifier import Classifier
from landmap_models.errors import ModelError

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

    Args:
        pixels: Of `grid.read_window(chunk)`.
        grid: Of the scene.
        chunk: Which one.
        classifier: Which model.
        batch_size: Chips predicted at once.
        keep_probabilities: Also return those of every class.
    """
    owned = _owned_valid(pixels, grid, chunk)
    if not owned.any():
        return empty_cover(owned, len(classifier.card.legend), keep_probabilities=keep_probabilities)
    padded = grid.padded_window(chunk)
    filled = fill_nodata(pixels, np.array([b.mean for b in classifier.card.bands], np.float32))
    complete = extend(filled, grid.read_window(chunk), padded, grid.height, grid.width)
    weights = valid_share(complete.valid, grid.chip_size, grid.stride)
    windows = predict_windows(complete.values, weights, classifier, grid.stride, batch_size)
    probabilities = cell_probabilities(windows, weights, grid, chunk)
    return cover(probabilities, owned, grid.stride, keep_probabilities=keep_probabilities)


def _owned_valid(pixels: Pixels, grid: Grid, chunk: Chunk) -> npt.NDArray[np.bool_]:
    """Validity of the pixels that the chunk writes, out of those that it read."""
    owned: Window = grid.owned_window(chunk)
    read = grid.read_window(chunk)
    row, col = owned.row_off - read.row_off, owned.col_off - read.col_off
    return pixels.valid[row : row + owned.height, col : col + owned.width]
