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

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.shape import NetworkShape, head, reflectance_input
from landmap_models.errors import ModelError

Tensor = Any

OPTIONS = ("filters", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""
WIDTHS = (48, 64, 128, 256)
"""Channels of the stem and at strides 2, 4 and 8."""
SMALLEST = 52
"""Height and width in pixels of a chip that leaves one position before the global average."""


def _conv(x: Tensor, filters: int, kernel: int, strides: int = 1, *, relu: bool = True) -> Tensor:
    x = layers.Conv2D(filters, kernel, strides=strides, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.ReLU()(x) if relu else x


def _residual(x: Tensor, filters: int) -> Tensor:
    """Two unpadded 3x3 convolutions, and a shortcut that is cropped by the same two pixels on each side."""
    shortcut = _conv(layers.Cropping2D(2)(x), filters, 1, relu=False)
    x = _conv(_conv(x, filters, 3), filters, 3, relu=False)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _pointwise(x: Tensor, expansion: int) -> Tensor:
    """Two 1x1 convolutions around a wider layer, which add capacity and no receptive field."""
    filters = x.shape[-1]
    y = _conv(_conv(x, filters * expansion, 1), filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network; 64 pixels leave 2x2 positions before the global average.

    Options: `filters` are the channels of the stem and at strides 2, 4 and 8; `dropout` (0.3).

    Raises:
        ModelError: Chips are too small, or there are not four numbers of filters.
    """
    filters = options.filters or WIDTHS
    if len(filters) != len(WIDTHS):
        raise ModelError(f"compact: expected {len(WIDTHS)} numbers of --filters, such as {WIDTHS}. Received: {filters}")
    if shape.chip_size < SMALLEST:
        raise ModelError(f"compact: expected chips of at least {SMALLEST} px. Received: {shape.chip_size} px")
    stem, first, second, third = filters
    inputs, x = reflectance_input(shape)
    x = layers.Rescaling(2.0, offset=-1.0, name="center")(x)
    x = _conv(x, stem, 6, strides=2)
    x = layers.MaxPooling2D(2)(_residual(x, first))
    x = layers.MaxPooling2D(2)(_residual(x, second))
    x = _pointwise(_conv(x, third, 3), expansion=2)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = head(x, shape, dropout=0.3 if options.dropout is None else options.dropout)
    return keras.Model(inputs, x, name="compact")
