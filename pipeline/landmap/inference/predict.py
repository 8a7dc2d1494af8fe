"""Pixels of a chunk become probabilities of its windows, and those its part of the cover."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from landmap.inference.stitch import ChunkCover, cell_probabilities, cover, empty_cover, smooth_cover
from landmap.left_out import count_reasons
from landmap.pixels import Pixels, chip_views, extend, fill_nodata, valid_share
from landmap.tiling import Chunk, Grid, Window
from landmap_models.arrays import Bools, Floats
from landmap_models.inference.classifier import Classifier, WindowClassifier, check_answers
from landmap_models.legend import UNKNOWN_ID
from landmap_models.model_file.nir import CELL, NirPrior, cell_statistics


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """How chunks are predicted; the same for all of a scene."""

    batch_size: int = 256
    """Chips copied and predicted at once, where they are predicted one by one."""
    tile: tuple[int, int] | None = None
    """Rows and columns of pixels that are predicted in one pass: those of the largest chunk with all its windows. None:
    chip by chip."""
    smooth: bool = False
    """Take the class of a pixel from probabilities that are interpolated between the centres of cells."""
    keep_probabilities: bool = False
    """Also return those of every class."""
    unknown_below: int | None = None
    """Percent of confidence below which a pixel is "Unknown"."""


def predict_windows(values: Floats, weights: Floats, classifier: Classifier, stride: int, how: ChunkSettings) -> Floats:
    """Probabilities of every window of a chunk that has weight.

    Args:
        values: Reflectance, `(height, width, bands)`, without gaps.
        weights: Valid share of the windows, `(rows, cols)`; windows of weight 0 count for nothing.
        classifier: Which model; a `WindowClassifier` where `how` has a tile.
        stride: Pixels between windows.
        how: `batch_size` or `tile` is used.

    Returns:
        `(rows, cols, classes)`; zero for windows of weight 0.

    Raises:
        ModelError: The model's answers are not probabilities, or not one row a chip.
    """
    if how.tile is not None:
        return _all_at_once(values, weights, cast(WindowClassifier, classifier), stride, how.tile)
    chips = chip_views(values, classifier.card.chip_size, stride)
    out = np.zeros((*weights.shape, len(classifier.card.legend)), np.float32)
    rows, cols = np.nonzero(weights)
    for start in range(0, len(rows), how.batch_size):
        place = rows[start : start + how.batch_size], cols[start : start + how.batch_size]
        answers = classifier.predict(np.ascontiguousarray(chips[place]))
        check_answers(answers, len(place[0]), classifier.card)
        out[place] = answers
    return out


def _all_at_once(
    values: Floats, weights: Floats, classifier: WindowClassifier, stride: int, tile: tuple[int, int]
) -> Floats:
    """Every window in one pass over a tile of the same shape for all chunks, which a smaller chunk does not fill."""
    whole = np.zeros((*tile, values.shape[-1]), np.float32)
    whole[: values.shape[0], : values.shape[1]] = values
    rows, cols = weights.shape
    answers = classifier.predict_windows(whole, stride)[:rows, :cols]
    check_answers(answers.reshape(rows * cols, -1), rows * cols, classifier.card)
    return np.where(weights[..., None] > 0, answers, np.float32(0))


def cover_chunk(
    pixels: Pixels | None, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> ChunkCover:
    """The whole way of a chunk, from the pixels it read to its part of the cover.

    Where the pixels come with near infrared, and the model with a prior for it, the blended probabilities of each cell
    are weighed by what near infrared says of that cell.

    Args:
        pixels: Of `grid.read_window(chunk)`; None where it is known that nothing gets a class, and then it is not
            counted why.
        grid: Of the scene.
        chunk: Which one.
        classifier: Which model.
        how: The same for all chunks of the scene.
    """
    window = grid.owned_window(chunk)
    if pixels is None:
        return _empty(np.zeros(window.shape, np.bool_), classifier, how)
    place = _within(window, grid.read_window(chunk))
    owned, left_out = pixels.mapped[place], () if pixels.why is None else count_reasons(pixels.why[place])
    if not owned.any():
        return replace(_empty(owned, classifier, how), left_out=left_out)
    return replace(_covered(pixels, owned, grid, chunk, classifier, how), left_out=left_out)


def _empty(owned: Bools, classifier: Classifier, how: ChunkSettings) -> ChunkCover:
    return empty_cover(owned, len(classifier.card.legend), keep_probabilities=how.keep_probabilities)


def _covered(
    pixels: Pixels, owned: Bools, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> ChunkCover:
    """Classes and confidence of the pixels that a chunk owns, of which at least one gets a class."""
    probabilities, side = _cells(pixels, grid, chunk, classifier, how)
    if how.smooth:
        around, window = grid.blended_window(chunk), grid.owned_window(chunk)
        before = (window.row_off - around.row_off) // side, (window.col_off - around.col_off) // side
        found = smooth_cover(probabilities, before, owned, side, keep_probabilities=how.keep_probabilities)
    else:
        found = cover(probabilities, owned, side, keep_probabilities=how.keep_probabilities)
    return found if how.unknown_below is None else _with_unknown(found, how.unknown_below)


def _with_unknown(found: ChunkCover, percent: int) -> ChunkCover:
    """The cover with class 254 wherever the confidence, in whole percent as it is written, is below a threshold."""
    doubtful = found.confidence < percent  # NODATA is above 100
    return replace(found, classes=np.where(doubtful, np.uint8(UNKNOWN_ID), found.classes))


def _cells(pixels: Pixels, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings) -> tuple[Floats, int]:
    """Probabilities of the cells that a chunk needs, and the pixels along their side."""
    windows, weights = chunk_windows(pixels, grid, chunk, classifier, how)
    probabilities = cell_probabilities(windows, weights, grid, chunk)
    if classifier.card.nir is None or pixels.spectrum is None:
        return probabilities, grid.stride
    place = _within(grid.blended_window(chunk), grid.read_window(chunk))
    spectrum = np.where(pixels.valid[..., None], pixels.spectrum, np.nan)[place]
    return weigh_by_nir(probabilities, spectrum, grid.stride, classifier.card.nir)


def chunk_windows(
    pixels: Pixels, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> tuple[Floats, Floats]:
    """Probabilities of a chunk's windows, `(rows, cols, classes)`, and their valid shares, `(rows, cols)`."""
    filled = fill_nodata(pixels, np.array([b.mean for b in classifier.card.bands], np.float32))
    complete = extend(filled, grid.read_window(chunk), grid.padded_window(chunk), grid.height, grid.width)
    weights = valid_share(complete.valid, grid.chip_size, grid.stride)
    return predict_windows(complete.values, weights, classifier, grid.stride, how), weights


def weigh_by_nir(probabilities: Floats, spectrum: Floats, stride: int, prior: NirPrior) -> tuple[Floats, int]:
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


def _within(window: Window, read: Window) -> tuple[slice, slice]:
    """Where the pixels of a window lie among those that were read."""
    row, col = window.row_off - read.row_off, window.col_off - read.col_off
    return slice(row, row + window.height), slice(col, col + window.width)
