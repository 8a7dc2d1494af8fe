"""Random changes of labelled chips, a batch at a time: chips `(n, height, width, bands)`, labels `(n, classes)`."""

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


def haze(chips: Floats, rng: np.random.Generator, strength: float = 0.35, share: float = 0.5) -> Floats:
    """Let the air be clearer or hazier, in some of the chips.

    Haze is an affine change of each band, with bands tied together: a gain below one and a bias, both strongest in the
    blue. Here a random part of the way between the bottom and the top of a typical European atmosphere.

    Args:
        chips: Reflectance of B04, B03, B02 at the top of the atmosphere.
        rng: Source of randomness.
        strength: Largest part of the whole atmosphere that is added or taken away.
        share: Part of the chips that are changed.
    """
    part = rng.uniform(-strength, strength, (len(chips), 1, 1, 1)) * (rng.random((len(chips), 1, 1, 1)) < share)
    gain = 1 - part * np.array([0.12, 0.14, 0.16])
    bias = part * np.array([0.025, 0.045, 0.075])
    hazy: Floats = np.maximum(chips * gain.astype(np.float32) + bias.astype(np.float32), 0)
    return hazy


def straddle(chips: Floats, labels: Floats, rng: np.random.Generator, share: float = 0.25) -> tuple[Floats, Floats]:
    """Cut some windows across the corner of four chips, with the label shared by area.

    A window that slides over a scene lies across borders more often than not. Chips must be square.

    Args:
        chips: Any values.
        labels: Class probabilities.
        rng: Source of randomness.
        share: Part of the chips that are replaced by straddling windows.
    """
    size = chips.shape[1]
    out, out_labels = chips.copy(), labels.copy()
    for i in np.flatnonzero(rng.random(len(chips)) < share):
        row, col = rng.integers(0, size, 2)
        four = [i, *rng.integers(0, len(chips), 3)]
        rows, cols = (slice(0, row), slice(row, size)), (slice(0, col), slice(col, size))
        out_labels[i] = 0
        for k, j in enumerate(four):
            place = rows[k // 2], cols[k % 2]
            out[i][place] = np.roll(chips[j], (row, col), axis=(0, 1))[place]
            area = (row if k < 2 else size - row) * (col if k % 2 == 0 else size - col)
            out_labels[i] += labels[j] * np.float32(area / size**2)
    return out, out_labels


def standard(chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """`d4`, `haze`, `radiometric_jitter`, then `straddle`."""
    return straddle(radiometric_jitter(haze(d4(chips, rng), rng), rng), labels, rng)
