"""Pixels of a chunk become chips. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap.left_out import Reasons
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Pixels:
    """A rectangle of a scene."""

    values: Floats
    """Reflectance, `(height, width, bands)`, bands in the model's order. Meaningless where not valid."""
    valid: Bools
    """True where every band of the model has data, `(height, width)`."""
    spectrum: Floats | None = None
    """Reflectance of red, green and near infrared, `(height, width, 3)`, for the model's near-infrared prior and at its
    level; NaN in near infrared where that has no data. None where the prior is not used."""
    inside: Bools | None = None
    """True where a class is wanted, `(height, width)`; windows see what lies outside all the same. None: everywhere."""
    why: Reasons | None = None
    """Why pixels get no class, by number; None where nobody asked."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[:2] != self.valid.shape:
            raise ValueError(f"Expected values (h, w, bands) and valid (h, w): {self.values.shape}, {self.valid.shape}")
        if self.spectrum is not None and self.spectrum.shape != (*self.valid.shape, 3):
            raise ValueError(f"Expected a spectrum (h, w, 3). Received: {self.spectrum.shape}")

    @property
    def mapped(self) -> Bools:
        """Where the cover gets a class, `(height, width)`."""
        return self.valid if self.inside is None else self.valid & self.inside


def fill_nodata(pixels: Pixels, fill: Floats) -> Pixels:
    """Give the pixels without data the value `fill`, `(bands,)`; `valid` stays as it is, the spectrum is dropped."""
    if pixels.valid.all():
        return Pixels(pixels.values, pixels.valid)
    return Pixels(np.where(pixels.valid[..., None], pixels.values, fill), pixels.valid)


def reflect(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Positions from start to stop, where those at or beyond `size` are mirrored at the last pixel, as often as needed.

    `reflect(2, 8, 5)` is 2, 3, 4, 3, 2, 1: the last pixel itself is not repeated (NumPy's "reflect").
    """
    if size == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (size - 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position)


def extend(pixels: Pixels, read: Window, wanted: Window, height: int, width: int) -> Pixels:
    """Continue pixels beyond the right and lower edge of their scene by reflection; what is added is not valid.

    The spectrum is dropped: it is used for a scene's own cells only.

    Args:
        pixels: Of `read`.
        read: Where they lie in the scene.
        wanted: Which pixels are wanted; may reach beyond the scene.
        height: Rows of the scene.
        width: Columns of the scene.
    """
    if read == wanted:
        return Pixels(pixels.values, pixels.valid)
    row_stop, col_stop = wanted.row_off + wanted.height, wanted.col_off + wanted.width
    rows = reflect(wanted.row_off, row_stop, height) - read.row_off
    cols = reflect(wanted.col_off, col_stop, width) - read.col_off
    valid = pixels.valid[rows][:, cols]
    valid[height - wanted.row_off :] = False
    valid[:, width - wanted.col_off :] = False
    return Pixels(pixels.values[rows][:, cols], valid)


def chip_views(values: Floats, chip_size: int, stride: int) -> Floats:
    """Every chip of a chunk as a view, `(rows, cols, chip_size, chip_size, bands)`; nothing is copied."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (chip_size, chip_size), axis=(0, 1))
    return windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)


def valid_share(valid: Bools, chip_size: int, stride: int) -> Floats:
    """Share of usable pixels in every window of a chunk, `(rows, cols)`, 0 to 1.

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
