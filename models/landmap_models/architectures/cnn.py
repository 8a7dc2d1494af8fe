"""`cnn`: the small network that exercises on EuroSAT begin with: some convolutions, one pooling, one dense layer.

After LeCun et al. 1998 ("Gradient-based learning applied to document recognition"), with ReLU and dropout. By default
two convolutions of 16 and 8 filters, a pooling of 8x8 px and 32 dense units.

There is one pooling, after the last convolution: `--pool 8` after each of two convolutions would leave one position of
a 64 px chip, or none, and with 8 filters only eight numbers from which to distinguish the classes.
"""

from __future__ import annotations

import keras
from keras import layers

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.shape import NetworkShape, head, reflectance_input
from landmap_models.errors import ModelError

OPTIONS = ("filters", "pool", "dense", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""
FILTERS, POOL, DENSE = (16, 8), 8, 32
"""Default options: filters of each convolution, pixels of the pooling, units of the dense layer."""


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network: unpadded 3x3 convolutions, max pooling, flattened, dense, dropout, probabilities.

    Options: `filters` of each convolution, `pool` (px, window and stride), `dense` (units), `dropout` (0).

    Raises:
        ModelError: Chips are too small for so many convolutions and such a pooling.
    """
    filters, pool = options.filters or FILTERS, options.pool or POOL
    smallest = 2 * len(filters) + pool
    if shape.chip_size < smallest:
        raise ModelError(
            f"cnn: expected chips of at least {smallest} px for {len(filters)} unpadded convolutions and a pooling of "
            f"{pool} px. Received: {shape.chip_size} px. Give fewer --filters or a smaller --pool"
        )
    inputs, x = reflectance_input(shape)
    for number, count in enumerate(filters, 1):
        x = layers.Conv2D(count, 3, activation="relu", name=f"conv_{number}")(x)
    x = layers.Flatten(name="features")(layers.MaxPooling2D(pool, name="pool")(x))
    x = head(x, shape, dense=options.dense or DENSE, dropout=options.dropout or 0.0)
    return keras.Model(inputs, x, name="cnn")
