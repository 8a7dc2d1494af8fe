"""What every architecture begins and ends with: reflectance in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers

Tensor = Any

OUTPUT = "probabilities"
"""Name of the last layer of every network."""
HEAD_PREFIX = "head_"
"""Names of all other layers that are trained anew for other classes or bands begin with it."""


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """What goes in and what comes out."""

    num_classes: int
    """Length of the output."""
    num_bands: int = 3
    """Bands of a chip."""
    chip_size: int = 64
    """Height and width of a chip in pixels."""
    reflectance_max: float = 0.275
    """Reflectance that saturates: the input is clipped to [0, reflectance_max] inside the network."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """softmax: one class a chip. sigmoid: each class for itself (multi-label)."""


def reflectance_input(shape: NetworkShape) -> tuple[Tensor, Tensor]:
    """The input layer, and its values clipped and scaled to [0, 1].

    Input shape: `(n, chip_size, chip_size, num_bands)`, reflectance (0.1 is 10 %).
    """
    inputs = keras.Input((shape.chip_size, shape.chip_size, shape.num_bands), name="reflectance")
    x = layers.Rescaling(1.0 / shape.reflectance_max, name="scale")(inputs)
    return inputs, layers.ReLU(max_value=1.0, name="clip")(x)


def head(x: Tensor, shape: NetworkShape, *, dense: int | None = None, dropout: float = 0.0) -> Tensor:
    """A dense layer and dropout (Srivastava et al. 2014) if asked for, and the last layer.

    Input shape: `(n, features)`. Output shape: `(n, num_classes)`.
    """
    if dense is not None:
        x = layers.Dense(dense, activation="relu", name=f"{HEAD_PREFIX}dense")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{HEAD_PREFIX}dropout")(x)
    return probabilities(x, shape)


def probabilities(x: Tensor, shape: NetworkShape) -> Tensor:
    """The last layer, on features `(n, features)`. Output shape: `(n, num_classes)`."""
    # It stays float32 under mixed precision: bfloat16 has three digits.
    return layers.Dense(shape.num_classes, activation=shape.activation, dtype="float32", name=OUTPUT)(x)


def is_head(layer: Any) -> bool:
    """Whether a layer is part of what is trained anew for other classes or bands, not of the base in between."""
    return bool(layer.name == OUTPUT or layer.name.startswith(HEAD_PREFIX))
