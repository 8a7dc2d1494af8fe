"""Random changes of chips that leave their class as it is. NumPy only, whole batches `(n, height, width, bands)`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def d4(chips: Floats, rng: np.random.Generator) -> Floats:
    """Turn and mirror each chip by one of the eight symmetries of the square: seen from above, all are equally likely.

    Chips must be square.
    """
    out = chips.copy()
    for axis in (1, 2):
        flipped = rng.random(len(out)) < 0.5
        out[flipped] = np.flip(out[flipped], axis=axis)
    transposed = rng.random(len(out)) < 0.5
    out[transposed] = out[transposed].swapaxes(1, 2)
    return out


def radiometric_jitter(
    chips: Floats,
    rng: np.random.Generator,
    common_gain: float = 0.08,
    band_gain: float = 0.04,
    offset: float = 0.006,
) -> Floats:
    """Vary each chip's radiometry as sun, haze and view do.

    Each band of each chip is scaled by a gain common to its bands and one of its own, and shifted.

    Args:
        chips: Reflectance.
        rng: Source of randomness.
        common_gain: Standard deviation of the gain that all bands of a chip share.
        band_gain: Standard deviation of each band's own gain.
        offset: Standard deviation of each band's shift, in reflectance.
    """
    n, _, _, bands = chips.shape
    gain = 1 + rng.normal(0, common_gain, (n, 1, 1, 1)) + rng.normal(0, band_gain, (n, 1, 1, bands))
    shift = rng.normal(0, offset, (n, 1, 1, bands))
    return np.maximum(chips * gain.astype(np.float32) + shift.astype(np.float32), 0)


def standard(chips: Floats, rng: np.random.Generator) -> Floats:
    """What the packaged model was trained with: `d4`, then `radiometric_jitter`."""
    return radiometric_jitter(d4(chips, rng), rng)
