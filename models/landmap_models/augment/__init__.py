"""Random changes of labelled chips, a batch at a time: chips `(n, height, width, bands)`, labels `(n, classes)`.

`compose` combines them by name. Each is a function of a batch and a `numpy.random.Generator`, and does not change its
input.
"""

from __future__ import annotations

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.augment.compose import AUGMENTATIONS, GROUPS, Augment, Augmentation, compose
from landmap_models.augment.geometry import affine, d4, flips, quarter_turns, resample, sampling_matrix
from landmap_models.augment.mixing import mixup, straddle
from landmap_models.augment.radiometry import atmosphere, brightness, contrast, haze, radiometric_jitter

__all__ = [
    "AUGMENTATIONS",
    "GROUPS",
    "Augment",
    "Augmentation",
    "affine",
    "atmosphere",
    "brightness",
    "compose",
    "contrast",
    "d4",
    "flips",
    "haze",
    "mixup",
    "quarter_turns",
    "radiometric_jitter",
    "resample",
    "sampling_matrix",
    "standard",
    "straddle",
]


def standard(chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Apply `d4`, `haze`, `radiometric_jitter` and `straddle`, in this order."""
    return straddle(radiometric_jitter(haze(d4(chips, rng), rng), rng), labels, rng)
