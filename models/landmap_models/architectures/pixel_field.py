"""`pixel-field`: classes of pixels from a small field around each, at full resolution and at little cost.

A 3x3 convolution of the bands, then residual blocks of a channel-wise 5x5 and a 1x1 convolution (separable
convolutions, Chollet 2017, arXiv 1610.02357). Five layers see 19x19 px and cost about 10,000 multiplications a pixel of
ten bands. Few weights and a short reach: for few or scattered labels, and classes that spectra tell apart.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.pixel_input import pixel_input, shifted
from landmap_models.architectures.shape import NetworkShape, probabilities

Tensor = Any

ANSWERS = "pixel"
OPTIONS = ("filters",)
"""Fields of `ArchitectureOptions` that the network reads."""
STEP = 1
"""Pixels of which sides and offsets of windows are multiples."""
FILTERS = (32, 32, 32, 32, 32)
"""Channels of the first convolution and of each block."""
MOMENTUM = 0.97
"""Momentum of the statistics of batch normalisation."""


def margin(options: ArchitectureOptions) -> int:
    """Pixels from the edge of a window within which answers may depend on the padding."""
    return 1 + 2 * (len(options.filters or FILTERS) - 1)


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network; see `architectures`.

    Options: `filters` of the first convolution and of each block.
    """
    first, *blocks = options.filters or FILTERS
    inputs, x = pixel_input(shape.middle, (None, None), flags=shape.flags)
    x = layers.Conv2D(first, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name="near")(x)
    x = _rectified(shifted(x, inputs, first), "near")
    for number, filters in enumerate(blocks, 1):
        y = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name=f"block{number}_around")(x)
        y = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"block{number}")(y)
        y = _rectified(y, f"block{number}")
        x = layers.Add(name=f"block{number}_sum")([x, y]) if x.shape[-1] == filters else y
    x = layers.Identity(name="features")(x)
    return keras.Model(inputs if shape.flags else inputs[0], probabilities(x, shape), name="pixel-field")


def _rectified(x: Tensor, name: str) -> Tensor:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x))
