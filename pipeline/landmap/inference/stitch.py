"""Probabilities of windows become probabilities of cells, then classes. NumPy only.

The probabilities of a cell are the mean of those of all windows that cover it, weighted by the windows' valid share, so
that a window with few valid pixels counts little. The sums run in a fixed order, so that a cell's result does not
depend on the chunk that computes it, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.crosswalk import Recode
from landmap.tiling import Chunk, Grid, Span
from landmap_models.arrays import Bools, Bytes, Floats
from landmap_models.legend import NODATA


@dataclass(frozen=True, slots=True)
class ChunkCover:
    """A chunk's part of the cover: the pixels that it owns."""

    classes: Bytes
    """Class ids of the map's legend, `(height, width)`; 254 where the class is "Unknown", 255 without data."""
    confidence: Bytes
    """Probability of the pixel's class in percent, `(height, width)`; 255 where there is no data."""
    probabilities: Bytes | None
    """Probability of each class of the map's legend in percent, `(classes, height, width)`; None if it is not kept."""
    left_out: tuple[int, ...] = ()
    """Number of pixels without a class for each reason; see `left_out.count_reasons`."""


def cell_probabilities(windows: Floats, weights: Floats, grid: Grid, chunk: Chunk) -> Floats:
    """Blend the windows of a chunk into the cells whose probabilities it needs.

    Args:
        windows: Probabilities of the chunk's windows, `(window rows, window cols, classes)`.
        weights: Valid share of the windows, from 0 to 1, `(window rows, window cols)`.
        grid: Windows and cells of the scene.
        chunk: The chunk, whose cells and windows are those of the grid.

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


def cover(
    probabilities: Floats,
    valid: Bools,
    stride: int,
    *,
    recode: Recode | None = None,
    keep_probabilities: bool = False,
) -> ChunkCover:
    """Classes and confidence of a chunk's own pixels. Each pixel has those of its cell.

    The class is the most probable one of the model, and the lowest id where two are equally probable.

    Args:
        probabilities: Probabilities of the chunk's cells, `(cell rows, cell cols, classes)`.
        valid: True for each of the chunk's own pixels that gets a class, `(height, width)`.
        stride: Side of a cell in pixels.
        recode: How the model's classes become those of the map's legend, as `_recoded` does; None where they stay.
        keep_probabilities: Return the probabilities of every class, too.
    """
    scores = np.moveaxis(probabilities, -1, 0)
    classes, best = scores.argmax(axis=0).astype(np.uint8), scores.max(axis=0)
    if recode is not None:
        classes, best, scores = _recoded(classes, scores, recode)
    return ChunkCover(
        classes=_to_pixels(classes, valid, stride),
        confidence=_to_pixels(np.rint(best * 100).astype(np.uint8), valid, stride),
        probabilities=np.stack([_to_pixels(np.rint(p * 100).astype(np.uint8), valid, stride) for p in scores])
        if keep_probabilities
        else None,
    )


def smooth_cover(
    probabilities: Floats,
    before: tuple[int, int],
    valid: Bools,
    side: int,
    *,
    factors: Floats | None = None,
    recode: Recode | None = None,
    keep_probabilities: bool = False,
) -> ChunkCover:
    """Classes and confidence of a chunk's own pixels, interpolated bilinearly between the centres of cells.

    Beyond the centres of the outermost cells probabilities are those of the cell. Cells without probabilities do not
    count. The class is the most probable one of the model, and the lowest id where two are equally probable.

    Args:
        probabilities: Probabilities, or factors of them, of the chunk's cells and their neighbours,
            `(cell rows, cell cols, classes)`.
        before: Number of these cells above and left of those that the chunk owns, `(rows, cols)`.
        valid: True for each of the chunk's own pixels that gets a class, `(height, width)`.
        side: Side of a cell in pixels.
        factors: What the interpolated probabilities of each pixel are multiplied by, `(classes, height, width)`; None
            for nothing.
        recode: How the model's classes become those of the map's legend, as `_recoded` does; None where they stay.
        keep_probabilities: Return the probabilities of every class, too.
    """
    rows, cols = (
        _neighbours(length, first, side, cells)
        for length, first, cells in zip(valid.shape, before, probabilities.shape[:2], strict=True)
    )
    by_class = np.ascontiguousarray(np.moveaxis(probabilities, -1, 0))
    count = len(by_class) if recode is None else len(recode.classes)
    layers = np.full((count if keep_probabilities else 0, *valid.shape), NODATA, np.uint8)
    classes, confidence = np.empty(valid.shape, np.uint8), np.empty(valid.shape, np.uint8)
    for start in range(0, valid.shape[0], side):  # a strip at a time, which stays in the processor's cache
        strip = slice(start, min(start + side, valid.shape[0]))
        scores = _between(_between(by_class, [part[strip] for part in rows], axis=1), cols, axis=2)
        if factors is not None:
            scores *= factors[:, strip]
        total = scores.sum(axis=0)
        classes[strip], best = _largest(scores)
        if recode is not None:
            classes[strip], best, scores = _recoded(classes[strip], scores, recode)
        percents = 100 / np.where(total > 0, total, np.float32(1))
        confidence[strip] = np.rint(best * percents)
        if keep_probabilities:
            layers[:, strip] = np.rint(scores * percents)
    for array in (classes, confidence, *layers):
        array[~valid] = NODATA
    return ChunkCover(classes, confidence, layers if keep_probabilities else None)


def _largest(scores: Floats) -> tuple[Bytes, Floats]:
    """The first class of the largest score of each pixel, and that score; scores are `(classes, height, width)`."""
    classes, best = np.zeros(scores.shape[1:], np.uint8), scores[0].copy()
    for number, layer in enumerate(scores[1:], start=1):
        # an assignment to chosen pixels would cost four times as much
        np.maximum(classes, (layer > best).view(np.uint8) * np.uint8(number), out=classes)
        np.maximum(best, layer, out=best)
    return classes, best


def _recoded(classes: Bytes, scores: Floats, recode: Recode) -> tuple[Bytes, Floats, Floats]:
    """What the classes of pixels become in another legend, as if a finished map were recoded.

    The score of a new class is the sum of those of all classes that become it, always added in the same order, so that
    it does not depend on the chunk.

    Args:
        classes: The model's class of each pixel, `(height, width)`.
        scores: Scores of the model's classes, `(classes, height, width)`.
        recode: How the model's classes become those of the map's legend.

    Returns:
        The new class ids, `(height, width)`; their scores, of the same shape; and those of all classes of the new
        legend, `(new classes, height, width)`.
    """
    sums = np.zeros((len(recode.classes), *scores.shape[1:]), np.float32)
    for old, new in enumerate(recode.places):
        sums[new] += scores[old]
    places = np.array(recode.places, np.uint8)[classes]
    ids = np.array([c.id for c in recode.classes], np.uint8)
    return ids[places], np.take_along_axis(sums, places[None].astype(np.intp), axis=0)[0], sums


def _neighbours(
    length: int, before: int, side: int, cells: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """For each pixel along an axis the cells with centres before and after it, and the weight of the latter, 0 to 1.

    Args:
        length: Number of pixels that the chunk owns along this axis.
        before: Number of cells before those that the chunk owns.
        side: Side of a cell in pixels.
        cells: Number of all cells along this axis.
    """
    # In units of half a pixel, so that a pixel's share is the same number whatever chunk it is in.
    place = 2 * np.arange(length) + 1 - side
    first = place // (2 * side)
    share = ((place - 2 * side * first) / (2 * side)).astype(np.float32)
    return (first + before).clip(0, cells - 1), (first + before + 1).clip(0, cells - 1), share


def _between(values: Floats, places: Sequence[npt.NDArray[Any]], axis: int) -> Floats:
    """Values along an axis between those of neighbours, as `_neighbours` says."""
    one, other, share = places
    across = share.reshape(-1, *[1] * (values.ndim - 1 - axis))
    shape = (*values.shape[:axis], len(share), *values.shape[axis + 1 :])
    found, second = np.empty(shape, np.float32), np.empty(shape, np.float32)
    values.take(one, axis=axis, out=found, mode="clip")  # the default mode checks first, which takes twice the time
    values.take(other, axis=axis, out=second, mode="clip")
    found *= 1 - across
    second *= across
    found += second
    return found


def _to_pixels(cells: Bytes, valid: Bools, stride: int) -> Bytes:
    height, width = valid.shape
    pixels = cells.repeat(stride, axis=0)[:height].repeat(stride, axis=1)[:, :width]
    return np.where(valid, pixels, np.uint8(NODATA))


def empty_cover(valid: Bools, num_classes: int, *, keep_probabilities: bool = False) -> ChunkCover:
    """The part of the cover of a chunk without any valid pixel.

    Args:
        valid: An array of the shape of the result, `(height, width)`.
        num_classes: Number of classes of the map's legend.
        keep_probabilities: Return the probabilities of every class, too.
    """
    nothing = np.full(valid.shape, NODATA, np.uint8)
    layers = np.full((num_classes, *valid.shape), NODATA, np.uint8) if keep_probabilities else None
    return ChunkCover(nothing, nothing, layers)
