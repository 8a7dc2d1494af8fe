"""Probabilities of windows become probabilities of cells, then classes. NumPy only.

The probabilities of a cell are the mean of those of all windows that cover it, weighted by the windows' valid share: a
window that sees little says little. The sums run in a fixed order, so that a cell's result does not depend on the
chunk that computes it, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap.tiling import Chunk, Grid, Span
from landmap_models.arrays import Bools, Bytes, Floats
from landmap_models.legend import NODATA


@dataclass(frozen=True, slots=True)
class ChunkCover:
    """What a chunk contributes to the cover, on the pixels that it owns."""

    classes: Bytes
    """Class ids, `(height, width)`; 254 where the class is not told, 255 where there is no data."""
    confidence: Bytes
    """Probability of the most probable class in percent, `(height, width)`; 255 where there is no data."""
    probabilities: Bytes | None
    """Probability of each class in percent, `(classes, height, width)`; None unless asked for."""
    left_out: tuple[int, ...] = ()
    """Pixels without a class by the number of the reason; see `left_out.count_reasons`."""


def cell_probabilities(windows: Floats, weights: Floats, grid: Grid, chunk: Chunk) -> Floats:
    """Blend the windows of a chunk into the cells whose probabilities it needs.

    Args:
        windows: Probabilities of the chunk's windows, `(window rows, window cols, classes)`.
        weights: Valid share of the windows, `(window rows, window cols)`.
        grid: Of the scene.
        chunk: Which cells and windows.

    Returns:
        `(cell rows, cell cols, classes)`, zero where no covering window has weight.
    """
    weighted = np.concatenate([windows * weights[..., None], weights[..., None]], axis=-1)
    down = _sum_over_windows(weighted, chunk.blended_rows, chunk.window_rows, grid.reach)
    both = _sum_over_windows(down.swapaxes(0, 1), chunk.blended_cols, chunk.window_cols, grid.reach).swapaxes(0, 1)
    total = both[..., -1:]
    return np.divide(both[..., :-1], total, out=np.zeros_like(both[..., :-1]), where=total > 0)


def _sum_over_windows(values: Floats, cells: Span, windows: Span, reach: int) -> Floats:
    """For each cell along the first axis, the sum over the windows that cover it, in ascending order of windows."""
    total = np.zeros((len(cells), *values.shape[1:]), np.float32)
    for back in range(reach - 1, -1, -1):
        # Cell c is covered by window c - back, if there is such a window.
        start = max(cells.start, windows.start + back)
        stop = min(cells.stop, windows.stop + back)
        if start < stop:
            total[start - cells.start : stop - cells.start] += values[
                start - back - windows.start : stop - back - windows.start
            ]
    return total


def cover(probabilities: Floats, valid: Bools, stride: int, *, keep_probabilities: bool = False) -> ChunkCover:
    """Classes and confidence of a chunk's own pixels.

    Args:
        probabilities: Of the chunk's cells, `(cell rows, cell cols, classes)`.
        valid: Of the chunk's own pixels, `(height, width)`.
        stride: Pixels in a cell.
        keep_probabilities: Also return those of every class.

    The class is the most probable one, the lowest id where two are equal.
    """
    percent = np.rint(probabilities * 100).astype(np.uint8)
    return ChunkCover(
        classes=_to_pixels(probabilities.argmax(axis=-1).astype(np.uint8), valid, stride),
        confidence=_to_pixels(percent.max(axis=-1), valid, stride),
        probabilities=np.stack([_to_pixels(p, valid, stride) for p in np.moveaxis(percent, -1, 0)])
        if keep_probabilities
        else None,
    )


def smooth_cover(
    probabilities: Floats, before: tuple[int, int], valid: Bools, side: int, *, keep_probabilities: bool = False
) -> ChunkCover:
    """As `cover`, from probabilities of pixels: bilinear between the centres of cells, as they are beyond the last.

    Cells without probabilities have no say.

    Args:
        probabilities: Of the chunk's cells and their neighbours, `(cell rows, cell cols, classes)`.
        before: Rows and columns of these cells above and left of those that the chunk owns.
        valid: Of the chunk's own pixels, `(height, width)`.
        side: Pixels along a cell's side.
        keep_probabilities: Also return those of every class.
    """
    height, width = valid.shape
    (above, below, down), (left, right, across) = (
        _neighbours(length, first, side, cells)
        for length, first, cells in zip(valid.shape, before, probabilities.shape[:2], strict=True)
    )
    layers = np.full((probabilities.shape[-1] if keep_probabilities else 0, height, width), NODATA, np.uint8)
    classes, confidence = np.full(valid.shape, NODATA, np.uint8), np.full(valid.shape, NODATA, np.uint8)
    for start in range(0, height, side):  # a strip at a time: all classes of all pixels would be a lot of memory
        strip = slice(start, min(start + side, height))
        rows = _mixed(probabilities[above[strip]], probabilities[below[strip]], down[strip, None, None])
        pixels = _mixed(rows[:, left], rows[:, right], across[:, None])
        total = pixels.sum(axis=-1, keepdims=True)
        percent = np.rint(100 * pixels / np.where(total > 0, total, 1)).astype(np.uint8)
        classes[strip], confidence[strip] = pixels.argmax(axis=-1), percent.max(axis=-1)
        if keep_probabilities:
            layers[:, strip] = np.moveaxis(percent, -1, 0)
    for array in (classes, confidence, *layers):
        array[~valid] = NODATA
    return ChunkCover(classes, confidence, layers if keep_probabilities else None)


def _neighbours(
    length: int, before: int, side: int, cells: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """For pixels along an axis: the cells whose centres lie before and after theirs, and how far they are between."""
    # In units of half a pixel, so that a pixel's share is the same number whatever chunk it is in.
    place = 2 * np.arange(length) + 1 - side
    first = place // (2 * side)
    share = ((place - 2 * side * first) / (2 * side)).astype(np.float32)
    return (first + before).clip(0, cells - 1), (first + before + 1).clip(0, cells - 1), share


def _mixed(one: Floats, other: Floats, share: Floats) -> Floats:
    return one * (1 - share) + other * share


def _to_pixels(cells: Bytes, valid: Bools, stride: int) -> Bytes:
    height, width = valid.shape
    pixels = cells.repeat(stride, axis=0)[:height].repeat(stride, axis=1)[:, :width]
    return np.where(valid, pixels, np.uint8(NODATA))


def empty_cover(valid: Bools, num_classes: int, *, keep_probabilities: bool = False) -> ChunkCover:
    """The cover of a chunk without any valid pixel, of the shape of `valid`."""
    nothing = np.full(valid.shape, NODATA, np.uint8)
    layers = np.full((num_classes, *valid.shape), NODATA, np.uint8) if keep_probabilities else None
    return ChunkCover(nothing, nothing, layers)
