"""The first layers of networks that answer for each pixel: bands scaled, and flags of the bands that are there.

Flags in the input tell a network which bands are there. A missing band counts as its middle reflectance, and the flags
shift the outputs of the first convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from landmap_models.model_file.pixels import KNOWN, SCALE, THERE

Tensor = Any

CONTRAST = 4.0
"""Range of a scaled band: its middle reflectance becomes 0, darkest and brightest minus and plus half of this."""


def pixel_input(middle: Sequence[float], size: tuple[int | None, int | None], *, flags: bool) -> tuple[Any, Tensor]:
    """Make the input layers, and those that scale reflectance and mask missing bands.

    Args:
        middle: Middle reflectance of each band, in the order of the input.
        size: Height and width of a window in pixels; None if they vary.
        flags: Whether there is a second input, `(n, bands)`: 1 for a band that is there, 0 for one that is not.

    Returns:
        The input or the two inputs in a list, and the scaled bands `(n, height, width, bands)`.
    """
    bands = len(middle)
    pixels = keras.Input((*size, bands), name="reflectance")
    if not flags:
        return [pixels], scaled(pixels, middle)
    there = keras.Input((bands,), name=THERE)
    x = layers.Multiply(name="mask")([scaled(pixels, middle), layers.Reshape((1, 1, bands), name="flags")(there)])
    return [pixels, there], x


def shifted(x: Tensor, inputs: Sequence[Tensor], filters: int) -> Tensor:
    """Shift outputs of the first convolution, before their normalisation, by what the flags say, if there are any."""
    if len(inputs) == 1:
        return x
    shift = layers.Dense(filters, use_bias=False, name=KNOWN)(inputs[1])
    return layers.Add(name="shifted")([x, layers.Reshape((1, 1, filters), name="shift")(shift)])


def scaled(pixels: Tensor, middle: Sequence[float] | npt.NDArray[np.float64]) -> Tensor:
    """Reflectance r of each band as r / (r + middle), around 0: dark and bright land get their share of the range."""
    x = layers.Rescaling([float(1 / value) for value in middle], name=SCALE)(pixels)
    x = layers.Activation("softsign", name="squeeze")(x)
    return layers.Rescaling(CONTRAST, offset=-CONTRAST / 2, name="center")(x)
