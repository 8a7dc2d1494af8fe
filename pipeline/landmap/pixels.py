"""Pixels of a scene, and how the pixels of a chunk are padded and cut into chips. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.left_out import Reasons
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels of a window of a scene."""

    values: Floats
    """Reflectance, `(height, width, bands)`, bands in the model's order. Undefined where not valid."""
    valid: Bools
    """True where every band of the model has data, `(height, width)`."""
    spectrum: Floats | None = None
    """Reflectance of red, green and near infrared, `(height, width, 3)`, at the level of the model's NIR prior; NaN in
    near infrared where that has no data. None where the prior is not used."""
    inside: Bools | None = None
    """True where a class is wanted, `(height, width)`; windows of the model see the pixels outside, too. None for
    all."""
    reason_numbers: Reasons | None = None
    """Number of the reason why a pixel gets no class, `(height, width)`; None where reasons are not counted."""
    further: Floats | None = None
    """Reflectance of further bands for a model's pixel network, `(height, width, bands)`; NaN where one of them has no
    data. None where there are none."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[:2] != self.valid.shape:
            raise ValueError(f"Expected values (h, w, bands) and valid (h, w): {self.values.shape}, {self.valid.shape}")
        if self.spectrum is not None and self.spectrum.shape != (*self.valid.shape, 3):
            raise ValueError(f"Expected a spectrum (h, w, 3). Received: {self.spectrum.shape}")

    @property
    def mapped(self) -> Bools:
        """True where the map gets a class, `(height, width)`."""
        return self.valid if self.inside is None else self.valid & self.inside


def fill_nodata(pixels: Pixels, fill: Floats) -> Pixels:
    """Replace the values of pixels without data by `fill`, `(bands,)`; `valid` stays, the spectrum is dropped."""
    if pixels.valid.all():
        return Pixels(pixels.values, pixels.valid)
    return Pixels(np.where(pixels.valid[..., None], pixels.values, fill), pixels.valid)


def reflect(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Indexes from start to stop, mirrored at the first and the last pixel as often as needed to be below `size`.

    `reflect(2, 8, 5)` is 2, 3, 4, 3, 2, 1: the last pixel itself is not repeated (NumPy's "reflect").
    """
    if size == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (size - 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position)


def take(array: npt.NDArray[Any], rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """The given rows and columns of an array, `(rows, cols, ...)`; a view where they are consecutive."""
    for axis, places in enumerate((rows, cols)):
        if (np.diff(places) == 1).all():
            array = array[(slice(None),) * axis + (slice(places[0], places[-1] + 1),)]
        else:
            array = array.take(places, axis=axis)
    return array


def extend(pixels: Pixels, read: Window, wanted: Window, height: int, width: int) -> Pixels:
    """Pad pixels beyond the edges of their scene by reflection; padding is not valid.

    The spectrum is dropped, as it is used for cells inside the scene only.

    Args:
        pixels: The pixels of the window `read`.
        read: The window that was read, inside the scene.
        wanted: The window that is wanted, which may reach beyond the scene.
        height: Number of rows of the scene.
        width: Number of columns of the scene.
    """
    if read == wanted:
        return Pixels(pixels.values, pixels.valid)
    row_stop, col_stop = wanted.row_off + wanted.height, wanted.col_off + wanted.width
    rows = reflect(wanted.row_off, row_stop, height) - read.row_off
    cols = reflect(wanted.col_off, col_stop, width) - read.col_off
    valid = take(pixels.valid, rows, cols).copy()
    valid[height - wanted.row_off :] = valid[: max(0, -wanted.row_off)] = False
    valid[:, width - wanted.col_off :] = valid[:, : max(0, -wanted.col_off)] = False
    return Pixels(take(pixels.values, rows, cols), valid)


def chip_views(values: Floats, chip_size: int, stride: int) -> Floats:
    """Every chip of a chunk, `(rows, cols, chip_size, chip_size, bands)`, as a view: nothing is copied."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (chip_size, chip_size), axis=(0, 1))
    return windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)


def valid_share(valid: Bools, chip_size: int, stride: int) -> Floats:
    """Share of valid pixels in every window of a chunk, `(rows, cols)`, 0 to 1.

    Height and width of `valid` are multiples of `stride`.
    """
    rows, cols = valid.shape[0] // stride, valid.shape[1] // stride
    reach = chip_size // stride
    if valid.all():
        return np.ones((rows - reach + 1, cols - reach + 1), np.float32)
    cells = valid.reshape(rows, stride, cols, stride).sum(axis=(1, 3), dtype=np.int64)
    counts = np.zeros((rows + 1, cols + 1), np.int64)
    counts[1:, 1:] = cells.cumsum(axis=0).cumsum(axis=1)
    inside = counts[reach:, reach:] - counts[:-reach, reach:] - counts[reach:, :-reach] + counts[:-reach, :-reach]
    return (inside / chip_size**2).astype(np.float32)
