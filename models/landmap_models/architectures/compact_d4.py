"""`compact-d4`: a small residual chip classifier that answers the same however a chip is turned or mirrored.

As `compact` it has no padding and a total stride of 8, so that it runs over a whole scene at once. Its convolutions
share kernels among the eight symmetries of the square: see `d4_layers`. Before the first stride lies a layer at full
resolution, for the texture of orchards and vineyards.

A chip of 64 px loses no row or column to a stride, hence each symmetry is kept exactly (56, 72, 80 px and so on, too).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from landmap_models.architectures.d4_layers import D4Conv2D, D4Lift, D4Pool, ScaledConv2D
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.shape import NetworkShape, head, reflectance_input
from landmap_models.errors import ModelError

Tensor = Any

OPTIONS = ("filters", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""
FIELDS = (3, 6, 8, 16, 48)
"""Fields of eight channels each, by layer: at full resolution, at strides 2, 2 and 4, and at 8."""
FEATURES = (512, 256)
"""Channels at stride 8 that no symmetry changes."""
SMALLEST = 56
"""Height and width in pixels of a chip that leaves one position before the global average."""


def _residual(x: Tensor, fields: int) -> Tensor:
    """Two unpadded 3x3 convolutions, and a shortcut that is cropped by the same two pixels on each side."""
    shortcut = D4Conv2D(fields)(layers.Cropping2D(2)(x))
    x = D4Conv2D(fields, 3)(D4Conv2D(fields, 3, activation="relu")(x))
    return layers.ReLU()(layers.Add()([x, shortcut]))


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network; 64 pixels leave 2x2 positions before the global average.

    Options: `filters` are the fields, of eight channels each, as in `FIELDS`; `dropout` (0.1).

    Raises:
        ModelError: Chips are too small, or there are not five numbers of fields.
    """
    fields = options.filters or FIELDS
    if len(fields) != len(FIELDS):
        raise ModelError(
            f"compact-d4: expected {len(FIELDS)} numbers of --filters, such as {FIELDS}. Received: {fields}"
        )
    if shape.chip_size < SMALLEST:
        raise ModelError(f"compact-d4: expected chips of at least {SMALLEST} px. Received: {shape.chip_size} px")
    full, stem, first, second, third = fields
    inputs, x = reflectance_input(shape)
    x = layers.Rescaling(6.0, offset=-2.0, name="center")(x)  # chips then have a mean near 0 and a deviation near 1
    x = D4Conv2D(stem, 4, strides=2, activation="relu")(D4Lift(full, 3, activation="relu")(x))
    x = layers.MaxPooling2D(2)(_residual(x, first))
    x = layers.MaxPooling2D(3, strides=2)(_residual(x, second))
    x = D4Conv2D(third, 3, activation="relu")(x)
    invariant, last = FEATURES
    x = ScaledConv2D(last, activation="relu")(D4Pool(invariant, activation="relu")(x))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = head(x, shape, dropout=0.1 if options.dropout is None else options.dropout)
    return keras.Model(inputs, x, name="compact-d4")
