"""From the pixels of a chunk to its part of the cover: probabilities of windows, of cells, then classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from landmap.crosswalk import Recode
from landmap.inference.detail import DetailSettings, PixelClassifier, part_of, pixel_factors
from landmap.inference.methods import ChipByChip, EachPixel, Method
from landmap.inference.stitch import ChunkCover, cell_probabilities, cover, empty_cover, smooth_cover
from landmap.left_out import count_reasons
from landmap.pixels import Pixels, extend, fill_nodata, valid_share
from landmap.tiling import Chunk, Grid, Window
from landmap_models.arrays import Bools, Floats
from landmap_models.inference.classifier import Classifier
from landmap_models.legend import UNKNOWN_ID
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.nir import CELL, NirPrior, cell_statistics


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """How chunks are predicted; the same for all chunks of a scene."""

    method: Method = ChipByChip()  # noqa: RUF009 # it is frozen
    """How the probabilities of windows are computed."""
    batch_size: int = 256
    """Number of chips that are predicted at once, where they are predicted one by one."""
    tile: tuple[int, int] | None = None
    """Height and width in pixels of the largest chunk with all its windows, to which the others are filled up, if the
    method takes a chunk in one pass; None otherwise."""
    smooth: bool = False
    """Take the class of a pixel from probabilities that are interpolated between the centres of cells."""
    keep_probabilities: bool = False
    """Return the probabilities of every class, too."""
    unknown_below: int | None = None
    """Confidence in percent below which a pixel is "Unknown"; None: no pixel is."""
    recode: Recode | None = None
    """How the model's classes become those of the map's legend; None where they stay."""
    detail: DetailSettings | None = None
    """How the model's network for pixels is run; None where classes are those of cells."""


def cover_chunk(
    pixels: Pixels | None, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> ChunkCover:
    """A chunk's part of the cover.

    If the pixels have near infrared and the model has a prior for it, the prior updates the blended probabilities of
    each cell.

    Args:
        pixels: The pixels of `grid.read_window(chunk)`; None if it is known that none of them gets a class. The reasons
            are not counted then.
        grid: Windows and cells of the scene.
        chunk: The chunk, whose cells and windows are those of the grid.
        classifier: The model that predicts, as the plan names it or as it was passed in.
        how: How chunks are predicted; the same for all chunks of the scene.

    Raises:
        ModelError: The model's answers are no probabilities, or of another shape.
    """
    window = grid.owned_window(chunk)
    if pixels is None:
        return _empty(np.zeros(window.shape, np.bool_), classifier, how)
    place = _within(window, grid.read_window(chunk))
    owned, left_out = (
        pixels.mapped[place],
        () if pixels.reason_numbers is None else count_reasons(pixels.reason_numbers[place]),
    )
    if not owned.any():
        return replace(_empty(owned, classifier, how), left_out=left_out)
    return replace(_covered(pixels, owned, grid, chunk, classifier, how), left_out=left_out)


def _empty(owned: Bools, classifier: Classifier, how: ChunkSettings) -> ChunkCover:
    classes = classifier.card.legend if how.recode is None else how.recode.classes
    return empty_cover(owned, len(classes), keep_probabilities=how.keep_probabilities)


def _covered(
    pixels: Pixels, owned: Bools, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> ChunkCover:
    """The part of the cover of a chunk that has at least one pixel with a class."""
    probabilities, side = _cells(pixels, grid, chunk, classifier, how)
    around, window = grid.blended_window(chunk), grid.owned_window(chunk)
    before = (window.row_off - around.row_off) // side, (window.col_off - around.col_off) // side
    recode, keep = how.recode, how.keep_probabilities
    if how.detail is not None:
        factors = pixel_factors(pixels, grid, chunk, cast(PixelClassifier, classifier), how.detail)
        chips = part_of(classifier.card).chip_factor(probabilities)
        found = smooth_cover(chips, before, owned, side, factors=factors, recode=recode, keep_probabilities=keep)
    elif how.smooth:
        found = smooth_cover(probabilities, before, owned, side, recode=recode, keep_probabilities=keep)
    else:
        found = cover(probabilities, owned, side, recode=recode, keep_probabilities=keep)
    return found if how.unknown_below is None else _with_unknown(found, how.unknown_below)


def _with_unknown(found: ChunkCover, percent: int) -> ChunkCover:
    """The cover with class 254 where the confidence, in whole percent as it is written, is below a threshold."""
    doubtful = found.confidence < percent  # NODATA is above 100
    return replace(found, classes=np.where(doubtful, np.uint8(UNKNOWN_ID), found.classes))


def _cells(pixels: Pixels, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings) -> tuple[Floats, int]:
    """Probabilities of the cells that a chunk needs, `(rows, cols, classes)`, and the side of a cell in pixels."""
    windows, weights = chunk_windows(pixels, grid, chunk, classifier, how)
    if how.method.per_pixel:
        return windows, 1
    probabilities = cell_probabilities(windows, weights, grid, chunk)
    if classifier.card.nir is None or pixels.spectrum is None:
        return probabilities, grid.stride
    place = _within(grid.blended_window(chunk), grid.read_window(chunk))
    spectrum = np.where(pixels.valid[..., None], pixels.spectrum, np.nan)[place]
    return weigh_by_nir(probabilities, spectrum, grid.stride, classifier.card.nir)


def chunk_windows(
    pixels: Pixels, grid: Grid, chunk: Chunk, classifier: Classifier, how: ChunkSettings
) -> tuple[Floats, Floats]:
    """Probabilities of a chunk's windows, `(rows, cols, classes)`, and their valid shares, `(rows, cols)`.

    Of a method for single pixels, those of the pixels that the chunk owns, and 1 where these are valid.

    Args:
        pixels: The pixels of `grid.read_window(chunk)`.
        grid: Windows and cells of the scene.
        chunk: The chunk, whose cells and windows are those of the grid.
        classifier: The model that predicts, as the plan names it or as it was passed in.
        how: How chunks are predicted.
    """
    filled = _band_stack(pixels, classifier.card, how)
    padded = grid.padded_window(chunk)
    complete = extend(filled, grid.read_window(chunk), padded, grid.height, grid.width)
    inner = slice(grid.margin, -grid.margin or None)
    weights = valid_share(complete.valid[inner, inner], grid.chip_size, grid.stride)
    tile, size = how.tile, how.batch_size
    windows = how.method.predict(complete.values, weights, classifier, grid.stride, batch_size=size, tile=tile)
    if not how.method.per_pixel:
        return windows, weights
    owned = grid.owned_window(chunk)
    row, col = owned.row_off - padded.row_off - grid.margin, owned.col_off - padded.col_off - grid.margin
    own = windows[row : row + owned.height, col : col + owned.width]
    return own, pixels.valid[_within(owned, grid.read_window(chunk))].astype(np.float32)


def _band_stack(pixels: Pixels, card: ModelCard, how: ChunkSettings) -> Pixels:
    """The pixels of all bands that the model is given, without gaps: a band's mean fills them."""
    filled = fill_nodata(pixels, np.array([b.mean for b in card.bands], np.float32))
    if pixels.further is None or not isinstance(how.method, EachPixel):
        return filled
    means = {band.name: np.float32(band.mean) for band in card.optional}
    beside = [name for name in how.method.bands if name in means]
    fill = np.array([means[name] for name in beside], np.float32)
    further = np.where(np.isfinite(pixels.further) & pixels.valid[..., None], pixels.further, fill)
    return Pixels(np.concatenate([filled.values, further], axis=-1), pixels.valid)


def weigh_by_nir(probabilities: Floats, spectrum: Floats, stride: int, prior: NirPrior) -> tuple[Floats, int]:
    """Update the probabilities of cells by near infrared.

    The update is made in cells of the size that the prior was fitted on, so that a cover may be finer than its stride.

    Args:
        probabilities: Probabilities that were blended from windows, `(rows, cols, classes)`.
        spectrum: Reflectance of red, green and near infrared of the cells' pixels, `(height, width, 3)`; NaN where a
            pixel has none. It may end within the last row and column of cells.
        stride: Side of a cell in pixels.
        prior: The model's prior for near infrared.

    Returns:
        Probabilities of the finer cells, `(rows, cols, classes)`, and the side of such a cell in pixels.
    """
    side = math.gcd(stride, CELL)
    parts = stride // side
    fine = probabilities.repeat(parts, axis=0).repeat(parts, axis=1)
    whole = np.full((fine.shape[0] * side, fine.shape[1] * side, 3), np.nan, np.float32)
    whole[: spectrum.shape[0], : spectrum.shape[1]] = spectrum
    return prior.update(fine, cell_statistics(whole, side)), side


def _within(window: Window, read: Window) -> tuple[slice, slice]:
    """Rows and columns of a window in the array of the window that was read."""
    row, col = window.row_off - read.row_off, window.col_off - read.col_off
    return slice(row, row + window.height), slice(col, col + window.width)
