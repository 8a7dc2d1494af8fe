"""`vgg16-scratch`: VGG16 as published, from random weights: 13 convolutions of 3x3 and two dense layers of 4096 units.

Simonyan and Zisserman 2015 (arXiv 1409.1556), configuration D with their dropout of one half. Unlike theirs, the
weights begin as He et al. 2015 (arXiv 1502.01852) draw them: so deep a network without normalisation hardly starts to
learn otherwise. For their ImageNet weights there is `vgg16`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.shape import HEAD_PREFIX, NetworkShape, probabilities, reflectance_input
from landmap_models.errors import ModelError

Tensor = Any

OPTIONS = ("dense", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and their filters before each of the five poolings."""
DENSE, DROPOUT = 4096, 0.5
"""Default options: units of both dense layers, and share dropped after each."""
STRIDE = 2 ** len(BLOCKS)
"""Pixels of the chip that one position of the features stands for, along each axis."""


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network; 64 px chips leave 2x2x512 features.

    Options: `dense` (units of both dense layers), `dropout` (after each of them).

    Raises:
        ModelError: Chips are too small for five poolings.
    """
    if shape.chip_size < STRIDE:
        raise ModelError(f"vgg16-scratch: expected chips of at least {STRIDE} px. Received: {shape.chip_size} px")
    inputs, x = reflectance_input(shape)
    x = layers.Rescaling(2.0, offset=-1.0, name="center")(x)
    for number, (convolutions, filters) in enumerate(BLOCKS, 1):
        x = _block(x, f"block{number}", convolutions, filters)
    x = layers.Flatten(name="features")(x)
    for number in (1, 2):
        x = layers.Dense(options.dense or DENSE, "relu", kernel_initializer="he_normal", name=_name("dense", number))(x)
        x = layers.Dropout(DROPOUT if options.dropout is None else options.dropout, name=_name("dropout", number))(x)
    return keras.Model(inputs, probabilities(x, shape), name="vgg16-scratch")


def _name(kind: str, number: int) -> str:
    return f"{HEAD_PREFIX}{kind}_{number}"


def _block(x: Tensor, prefix: str, convolutions: int, filters: int) -> Tensor:
    for number in range(1, convolutions + 1):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{prefix}_conv{number}",
        )(x)
    return layers.MaxPooling2D(2, name=f"{prefix}_pool")(x)
