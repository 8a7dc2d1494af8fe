"""Random changes of the reflectance of chips: light, contrast, calibration, air. The result is never below 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.errors import DatasetError
from landmap_models.sentinel2 import TRUE_COLOR

ATMOSPHERE = {"B02": (0.16, 0.075), "B03": (0.14, 0.045), "B04": (0.12, 0.025), "B08": (0.10, 0.010)}
"""Loss and bias of top-of-atmosphere = (1 - loss) * bottom-of-atmosphere + bias, for a typical European haze.

Measured on the same pixels before and after atmospheric correction, and rounded."""

WAVELENGTHS = {
    "B01": 443,
    "B02": 492,
    "B03": 560,
    "B04": 665,
    "B05": 704,
    "B06": 740,
    "B07": 783,
    "B08": 833,
    "B8A": 865,
    "B09": 945,
    "B10": 1375,
    "B11": 1610,
    "B12": 2190,
}
"""Centre of each band of Sentinel-2 in nanometres."""


def brightness(chips: Floats, rng: np.random.Generator, strength: float = 0.2) -> Floats:
    """Scale each chip, all bands alike, by a factor around 1: a higher or lower sun.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        rng: Source of randomness.
        strength: Largest distance of the factor from 1, at most 1.
    """
    return chips * _factors(len(chips), strength, rng)


def contrast(chips: Floats, rng: np.random.Generator, strength: float = 0.2) -> Floats:
    """Scale the deviation of pixels from the mean of their chip by a factor around 1; the mean of each band stays.

    Only where a pixel would become negative, and becomes 0, does the mean rise a little.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        rng: Source of randomness.
        strength: Largest distance of the factor from 1, at most 1.
    """
    mean = chips.mean(axis=(1, 2), keepdims=True)
    changed: Floats = np.maximum(mean + (chips - mean) * _factors(len(chips), strength, rng), 0)
    return changed


def _factors(n: int, strength: float, rng: np.random.Generator) -> Floats:
    return rng.uniform(1 - strength, 1 + strength, (n, 1, 1, 1)).astype(np.float32)


def radiometric_jitter(
    chips: Floats,
    rng: np.random.Generator,
    common_gain: float = 0.08,
    band_gain: float = 0.025,
    offset: float = 0.003,
) -> Floats:
    """Vary the radiometry of each chip as sun, haze and viewing angle do.

    Each band is scaled by a gain common to the bands of the chip and by one of its own, and shifted.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        rng: Source of randomness.
        common_gain: Standard deviation of the gain that all bands of a chip share.
        band_gain: Standard deviation of each band's own gain.
        offset: Standard deviation of each band's shift, in reflectance.
    """
    n, _, _, bands = chips.shape
    gain = 1 + rng.normal(0, common_gain, (n, 1, 1, 1)) + rng.normal(0, band_gain, (n, 1, 1, bands))
    shift = rng.normal(0, offset, (n, 1, 1, bands))
    return np.maximum(chips * gain.astype(np.float32) + shift.astype(np.float32), 0)


def haze(
    chips: Floats,
    rng: np.random.Generator,
    strength: float = 0.35,
    share: float = 0.5,
    bands: Sequence[str] = TRUE_COLOR,
) -> Floats:
    """Make the air clearer or hazier in some of the chips, part of the way between two product levels.

    Haze is an affine change of each band, with bands tied together: a gain below one and a bias, both strongest in the
    blue: a random part of the difference between the bottom and the top of a typical European atmosphere.

    Args:
        chips: Reflectance, `(n, height, width, bands)`, at the top or the bottom of the atmosphere.
        rng: Source of randomness.
        strength: Largest part of the whole atmosphere that is added or taken away.
        share: Part of the chips that are changed.
        bands: Names of the chips' bands in order.

    Raises:
        DatasetError: A name is that of no band of Sentinel-2, or the chips have another number of bands.
    """
    if len(bands) != chips.shape[-1]:
        raise DatasetError(
            f"Expected chips with the bands {', '.join(bands)}. Received: {chips.shape[-1]} bands; name those"
        )
    loss, full_bias = atmosphere(bands)
    part = rng.uniform(-strength, strength, (len(chips), 1, 1, 1)) * (rng.random((len(chips), 1, 1, 1)) < share)
    gain = 1 - part * loss
    bias = part * full_bias
    hazy: Floats = np.maximum(chips * gain.astype(np.float32) + bias.astype(np.float32), 0)
    return hazy


def atmosphere(bands: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute loss and bias of a typical European haze: `toa = (1 - loss) * boa + bias`.

    Measured for B02, B03, B04 and B08 (`ATMOSPHERE`). The others follow the blue: the bias, which is light that the air
    scatters, falls with the fourth power of the wavelength (Rayleigh); the loss, which is mostly aerosol's, with the
    first. Both laws meet the measured bands within 0.006.

    Args:
        bands: Sentinel-2 names of the bands.

    Returns:
        Loss (a share) and bias (reflectance) of each band, each `(bands,)`.

    Raises:
        DatasetError: A name is that of no band of Sentinel-2.
    """
    unknown = [name for name in bands if name not in WAVELENGTHS]
    if unknown:
        raise DatasetError(
            f"Expected names of Sentinel-2 bands for the augmentation haze ({', '.join(WAVELENGTHS)}). "
            f"Received: {', '.join(unknown)}. Rename the bands or leave haze out"
        )
    pairs = np.array([ATMOSPHERE.get(name) or _far_from_blue(WAVELENGTHS["B02"] / WAVELENGTHS[name]) for name in bands])
    return pairs[:, 0], pairs[:, 1]


def _far_from_blue(ratio: float) -> tuple[float, float]:
    loss, bias = ATMOSPHERE["B02"]
    return loss * ratio, bias * ratio**4
