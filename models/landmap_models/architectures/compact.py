"""`compact`: a small residual chip classifier without padding, total stride 8.

Every spatial layer is unpadded ("valid"), and the receptive field ends in a global average, so that the network can be
run over a whole scene at once: its outputs at every eighth pixel are then exactly those of the chips cut there.
Padding would tell a convolution where the chip's edge lies, and break that. Residual shortcuts are cropped to match.

Blocks after He et al. 2016 (arXiv 1512.03385); the wide part sits at stride 8, where a channel costs 1/64 of what it
costs at full resolution.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

Tensor = Any


def _conv(x: Tensor, filters: int, kernel: int, strides: int = 1, *, relu: bool = True) -> Tensor:
    x = layers.Conv2D(filters, kernel, strides=strides, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.ReLU()(x) if relu else x


def _residual(x: Tensor, filters: int) -> Tensor:
    """Two unpadded 3x3 convolutions; the shortcut loses the same two pixels on each side."""
    shortcut = _conv(layers.Cropping2D(2)(x), filters, 1, relu=False)
    x = _conv(_conv(x, filters, 3), filters, 3, relu=False)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _pointwise(x: Tensor, expansion: int) -> Tensor:
    """Two 1x1 convolutions around a wider layer: capacity without reach."""
    filters = x.shape[-1]
    y = _conv(_conv(x, filters * expansion, 1), filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))


def build(
    num_classes: int,
    num_bands: int = 3,
    chip_size: int = 64,
    reflectance_max: float = 0.275,
    widths: tuple[int, int, int, int] = (48, 64, 128, 256),
    dropout: float = 0.3,
) -> keras.Model:
    """Build the network.

    Args:
        num_classes: Length of the output.
        num_bands: Number of input bands.
        chip_size: Height and width of a chip in pixels; 64 leaves 2x2 positions before the global average.
        reflectance_max: Reflectance that saturates; the input is clipped to [0, reflectance_max] and scaled inside.
        widths: Channels of the stem and at strides 2, 4 and 8.
        dropout: Share of features dropped before the last layer while training.

    Input shape: `(n, chip_size, chip_size, num_bands)`, reflectance (0.1 is 10 %).
    Output shape: `(n, num_classes)`, probabilities.
    """
    stem, first, second, third = widths
    inputs = keras.Input((chip_size, chip_size, num_bands), name="reflectance")
    x = layers.Rescaling(1.0 / reflectance_max)(inputs)
    x = layers.ReLU(max_value=1.0, name="clip")(x)
    x = layers.Rescaling(2.0, offset=-1.0)(x)
    x = _conv(x, stem, 6, strides=2)
    x = layers.MaxPooling2D(2)(_residual(x, first))
    x = layers.MaxPooling2D(2)(_residual(x, second))
    x = _pointwise(_conv(x, third, 3), expansion=2)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    # Probabilities stay float32 under mixed precision: bfloat16 has three digits.
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="compact")
