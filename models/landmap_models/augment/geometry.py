"""Random changes of where the pixels of a chip lie.

Mirroring and quarter turns move every pixel onto another. Rotation, shift, zoom and shear are one resampling of the
chip, since two in a row would blur it twice: bilinear, and mirrored at the border (the last pixel is not repeated), so
that no corner turns black. The pipeline continues scenes beyond their edge in the same way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Doubles, Floats


def flips(chips: Floats, rng: np.random.Generator) -> Floats:
    """Mirror each chip upside down, left to right, both or not at all, equally likely.

    Args:
        chips: Any values, `(n, height, width, bands)`.
        rng: Source of randomness.
    """
    out = chips.copy()
    for axis in (1, 2):
        flipped = rng.random(len(out)) < 0.5
        out[flipped] = np.flip(out[flipped], axis=axis)
    return out


def quarter_turns(chips: Floats, rng: np.random.Generator) -> Floats:
    """Turn each chip by 0, 90, 180 or 270 degrees, equally likely.

    Args:
        chips: Any values, `(n, size, size, bands)`: chips must be square.
        rng: Source of randomness.
    """
    out = chips.copy()
    turns = rng.integers(0, 4, len(out))
    for k in (1, 2, 3):
        out[turns == k] = np.rot90(out[turns == k], k, axes=(1, 2))
    return out


def d4(chips: Floats, rng: np.random.Generator) -> Floats:
    """Turn and mirror each chip by one of the eight symmetries of the square, equally likely.

    Args:
        chips: Any values, `(n, size, size, bands)`: chips must be square.
        rng: Source of randomness.
    """
    out = flips(chips, rng)
    transposed = rng.random(len(out)) < 0.5
    out[transposed] = out[transposed].swapaxes(1, 2)
    return out


LIMITS = {"rotation": 180.0, "shift": 0.125, "zoom": 0.15, "shear": 10.0}
"""Limits of the augmentations by name, as arguments of `affine`: a zoom of 0.15 turns 10 m into 8.7 to 11.5 m."""


def affine(
    chips: Floats,
    rng: np.random.Generator,
    rotation: float = 0.0,
    shift: float = 0.0,
    zoom: float = 0.0,
    shear: float = 0.0,
    share: float = 0.5,
) -> Floats:
    """Rotate, shift, zoom and shear some of the chips about their centre, at random within limits.

    A resampled chip is a little less sharp than the scenes that a model will map, so not all chips are changed.

    Args:
        chips: Any values, `(n, height, width, bands)`, of at least 2x2 pixels.
        rng: Source of randomness.
        rotation: Largest angle in degrees, either way.
        shift: Largest shift along each axis, either way, as a part of the chip's height and width.
        zoom: Largest magnification less one: 0.25 lets things be drawn 1.25 times as large, or 1.25 times as small.
        shear: Largest angle in degrees, either way.
        share: Part of the chips that are changed.
    """
    n, (height, width) = len(chips), chips.shape[1:3]
    chosen = np.flatnonzero(rng.random(n) < share)
    angles = rng.uniform(-rotation, rotation, n)
    shifts = rng.uniform(-shift, shift, (n, 2)) * (height, width)
    zooms = np.exp(rng.uniform(-1, 1, n) * np.log1p(zoom))
    shears = rng.uniform(-shear, shear, n)
    out = chips.copy()
    for i in chosen:
        out[i] = resample(chips[i], sampling_matrix(angles[i], zooms[i], shears[i]), shifts[i])
    return out


def sampling_matrix(rotation: float = 0.0, zoom: float = 1.0, shear: float = 0.0) -> Doubles:
    """Compute the 2x2 matrix from output to input `(row, column)`, counted from the centre of the chip.

    Args:
        rotation: Degrees counter-clockwise; 90 turns the chip as `numpy.rot90` does.
        zoom: Magnification; 2 keeps the middle quarter of the chip.
        shear: Degrees by which vertical lines lean, before the rotation.
    """
    turn, lean = np.radians(rotation), np.tan(np.radians(shear))
    unturned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix: Doubles = np.array([[1.0, 0.0], [lean, 1.0]]) @ unturned / zoom
    return matrix


def resample(chip: Floats, matrix: Doubles, shift: npt.ArrayLike = (0.0, 0.0)) -> Floats:
    """Resample a chip by a matrix, then shift it.

    It is written in NumPy and takes chip by chip, since that is fastest: 128 chips of 64x64x3 take 27 ms,
    `scipy.ndimage.affine_transform` band by band 45, the whole batch in one indexing 45 (it leaves the cache),
    `map_coordinates` 90; with 12 bands it is 45, 170, 95 and 530 ms.

    Args:
        chip: Any values, `(height, width, bands)`, of at least 2x2 pixels.
        matrix: Matrix from output to input, as `sampling_matrix` computes it.
        shift: Rows and columns by which the chip moves down and right.
    """
    height, width, bands = chip.shape
    center = (np.array((height, width)) - 1) / 2
    offset = center - matrix @ (center + np.asarray(shift))
    (a, b), (c, d) = matrix.astype(np.float32)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    top, down = _cell(a * rows + b * columns + np.float32(offset[0]), height)
    left, right = _cell(c * rows + d * columns + np.float32(offset[1]), width)
    pixels, first = chip.reshape(-1, bands), top * width + left
    upper = _between(pixels.take(first, axis=0), pixels.take(first + 1, axis=0), right)
    lower = _between(pixels.take(first + width, axis=0), pixels.take(first + width + 1, axis=0), right)
    return _between(upper, lower, down)


def _cell(position: Floats, size: int) -> tuple[npt.NDArray[np.int32], Floats]:
    """The pixel before each position along an axis, mirrored into the chip, and the distance from it, 0 to 1."""
    last = np.float32(size - 1)
    inside = last - np.abs(last - np.remainder(position, 2 * last))
    before = np.minimum(inside.astype(np.int32), size - 2)
    return before, (inside - before).astype(np.float32)[..., None]


def _between(first: Floats, second: Floats, part: Floats) -> Floats:
    mixed: Floats = first * (1 - part) + second * part  # exact at both ends, so that the identity changes nothing
    return mixed
