"""Canvases for the pixel network: land put together at random, and what Dynamic World says of it.

219 chips are few, but the teacher answers to any picture. So pieces of chips and patches are enlarged, varied in
colour, laid side by side, blended, and pasted into each other along borders of any form; the teacher is asked about the
result. A student learns the teacher's function in this way, and not only its answers to a few places (Beyer et al.
2022, arXiv 2106.05237).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pixel_data import BANDS, Floats, Labelled, teach
from scipy import ndimage

SIDE = 256
"""Height and width of a canvas in pixels."""
TILE = 64
PATCH_SHARE = 0.4
"""Share of tiles that are made of WorldCover's patches; the others are of 13-band chips."""
BLENDED, PASTED = 0.25, 0.5
"""Shares of canvases of which a part is mixed with, or replaced by, a part of another one."""
COUNT = 400
"""Canvases: 26 Mpx of land."""

Flags = npt.NDArray[np.bool_]


def canvases(
    chips: Labelled, patches: Labelled, teacher: Path, count: int = COUNT, seed: int = 3
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """Make the canvases.

    Args:
        chips: 13-band chips that may be trained on.
        patches: WorldCover's patches that may be trained on.
        teacher: Folder of Dynamic World's SavedModel.
        count: Number of canvases.
        seed: Of everything that is random.

    Returns:
        Reflectance `(count, 256, 256, 10)`, and 255 times the teacher's probabilities, `(count, 256, 256, 9)`.
    """
    rng = np.random.default_rng(seed)
    pictures = np.empty((count, SIDE, SIDE, len(BANDS)), np.float16)
    for i in range(count):
        canvas = _canvas(chips.pictures, patches.pictures, rng)
        if rng.random() < PASTED:
            canvas = np.where(_blob(rng)[..., None], _canvas(chips.pictures, patches.pictures, rng), canvas)
        if rng.random() < BLENDED:
            share = rng.uniform(0.2, 0.5) * _blob(rng)[..., None]
            canvas = canvas * (1 - share) + share * _canvas(chips.pictures, patches.pictures, rng)
        pictures[i] = canvas
    parts = [teach(teacher, part.astype(np.float32)) for part in np.array_split(pictures, max(1, count // 16))]
    return pictures, np.concatenate([np.round(255 * part).astype(np.uint8) for part in parts])


def _canvas(chips: Floats, patches: Floats, rng: np.random.Generator) -> Floats:
    """Sixteen tiles; where four neighbours are the same chip mirrored, land of one kind is wider."""
    canvas = np.empty((SIDE, SIDE, len(BANDS)), np.float32)
    for row in range(0, SIDE, 2 * TILE):
        for col in range(0, SIDE, 2 * TILE):
            canvas[row : row + 2 * TILE, col : col + 2 * TILE] = _quarter(chips, patches, rng)
    return canvas


def _quarter(chips: Floats, patches: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.4:
        wide = np.pad(_tile(chips, patches, rng), ((TILE // 2, TILE // 2),) * 2 + ((0, 0),), "symmetric")
        return np.roll(wide, rng.integers(2 * TILE, size=2), axis=(0, 1))
    rows = [np.concatenate([_tile(chips, patches, rng) for _ in range(2)], axis=1) for _ in range(2)]
    return np.concatenate(rows)


def _tile(chips: Floats, patches: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < PATCH_SHARE:
        tile = _of_patches(patches, rng)
    else:
        tile = _enlarged(chips[rng.integers(len(chips))], TILE, rng.choice([1.0, 1.0, 1.0, 1.5, 2.0]), rng)
    tile = np.rot90(tile[:, ::-1] if rng.random() < 0.5 else tile, rng.integers(4))
    gains = rng.normal(1, 0.1) * rng.normal(1, 0.03, tile.shape[-1])
    varied: Floats = np.maximum(tile * gains.clip(0.6, 1.5), 0).astype(np.float32)
    return varied


def _of_patches(patches: Floats, rng: np.random.Generator) -> Floats:
    """Patches as they are, side by side, or few of them enlarged."""
    side = rng.choice([16, 32, 32, 64])
    count = TILE // side
    rows = []
    for _ in range(count):
        chosen = patches[rng.integers(len(patches), size=count)]
        rows.append(np.concatenate([_enlarged(patch, side, side / 16, rng) for patch in chosen], axis=1))
    return np.concatenate(rows)


def _enlarged(picture: Floats, side: int, factor: float, rng: np.random.Generator) -> Floats:
    """A piece of the picture of `side` pixels after it was enlarged."""
    if factor == 1:
        return picture
    larger = ndimage.zoom(picture, (factor, factor, 1), order=1)
    row, col = rng.integers(larger.shape[0] - side + 1), rng.integers(larger.shape[1] - side + 1)
    piece: Floats = larger[row : row + side, col : col + side]
    return piece


def _blob(rng: np.random.Generator) -> Flags:
    """Ground of any form on about half of the canvas: smoothed noise above its middle."""
    noise = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(4, 24), mode="wrap")
    blob: Flags = noise > np.quantile(noise, rng.uniform(0.3, 0.7))
    return blob
