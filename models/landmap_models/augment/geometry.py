"""Random changes of where a chip's pixels lie that move every pixel onto another: mirroring and quarter turns."""

from __future__ import annotations

import numpy as np

from landmap_models.arrays import Floats


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
    """Turn and mirror each chip by one of the eight symmetries of the square: seen from above, all are equally likely.

    Args:
        chips: Any values, `(n, size, size, bands)`: chips must be square.
        rng: Source of randomness.
    """
    out = flips(chips, rng)
    transposed = rng.random(len(out)) < 0.5
    out[transposed] = out[transposed].swapaxes(1, 2)
    return out
