"""The first and the last layers of every architecture: reflectance in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers

Tensor = Any

OUTPUT = "probabilities"
"""Name of the last layer of every network."""
HEAD_PREFIX = "head_"
"""Beginning of the names of the other layers that are replaced for other classes or bands."""


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Shape of the input and of the output of a network."""

    num_classes: int
    """Number of classes, the length of the output."""
    num_bands: int = 3
    """Number of bands of a chip."""
    chip_size: int = 64
    """Height and width of a chip in pixels."""
    reflectance_max: float = 0.275
    """Highest reflectance that the network distinguishes: it clips its input to [0, reflectance_max]."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """Activation of the last layer. softmax: one class a chip. sigmoid: each class by itself (multi-label)."""
    middle: tuple[float, ...] = ()
    """Middle reflectance of each band, for a network that answers for each pixel; empty for one of chips."""
    flags: bool = False
    """Whether a network that answers for each pixel is told which bands are there, by a second input `(n, bands)`."""


def reflectance_input(shape: NetworkShape) -> tuple[Tensor, Tensor]:
    """Make the input layer, and layers that clip and scale its values to [0, 1].

    Input shape: `(n, chip_size, chip_size, num_bands)`, reflectance (0.1 is 10 %).
    """
    inputs = keras.Input((shape.chip_size, shape.chip_size, shape.num_bands), name="reflectance")
    x = layers.Rescaling(1.0 / shape.reflectance_max, name="scale")(inputs)
    return inputs, layers.ReLU(max_value=1.0, name="clip")(x)


def head(x: Tensor, shape: NetworkShape, *, dense: int | None = None, dropout: float = 0.0) -> Tensor:
    """Add the head: a dense layer and dropout (Srivastava et al. 2014) if asked for, and the last layer.

    Input shape: `(n, features)`. Output shape: `(n, num_classes)`.

    Args:
        x: Features of the base.
        shape: Number of classes and activation.
        dense: Number of units of the dense layer; None: no such layer.
        dropout: Share of features dropped before the last layer; 0: no dropout.
    """
    if dense is not None:
        x = layers.Dense(dense, activation="relu", name=f"{HEAD_PREFIX}dense")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{HEAD_PREFIX}dropout")(x)
    return probabilities(x, shape)


def probabilities(x: Tensor, shape: NetworkShape) -> Tensor:
    """Add the last layer to features `(..., features)`. Output shape: `(..., num_classes)`."""
    # It stays float32 under mixed precision: bfloat16 has three digits.
    return layers.Dense(shape.num_classes, activation=shape.activation, dtype="float32", name=OUTPUT)(x)


def is_head(layer: Any) -> bool:
    """Whether a layer belongs to the head, which is replaced for other classes or bands, and not to the base."""
    return bool(layer.name == OUTPUT or layer.name.startswith(HEAD_PREFIX))
