"""Which numbers a network takes that was trained elsewhere, and what makes one of it that takes reflectance.

landmap gives every network reflectance (0.1 is 10 %). One that was trained on the bytes of pictures would see black.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from landmap_models.inference.fold_norm import as_functional, weights_by_layer, with_weights

EIGHT_BIT_REFLECTANCE = 0.275
"""Reflectance that EuroSAT's JPEG chips code as 255: the digital numbers 0 to 2750, stretched to 8 bits."""
INPUTS: Mapping[str, float] = {
    "reflectance": 1.0,
    "dn": 10_000.0,
    "8bit": 255 / EIGHT_BIT_REFLECTANCE,
    "8bit/255": 1 / EIGHT_BIT_REFLECTANCE,
}
"""By what reflectance is multiplied to get the numbers that a network may take."""
HIGHEST = {"reflectance": (0.05, 3.0), "8bit": (200.0, 300.0), "dn": (1_000.0, 70_000.0)}
"""Between what the number lies that a network scales to 1, by the numbers that it takes."""
NEAR = 2.0
"""Factor within which the mean that a network subtracts is that of the chips."""


def scaled_input(model: Any, means: Any) -> tuple[str, str] | None:
    """The numbers that a network takes, by its first layer, and that layer's name; None where no layer says so.

    Args:
        model: A loaded `keras.Model` of one input.
        means: Mean reflectance of each band, `(bands,)`, beside which the means are held that a network subtracts.
    """
    layer = _first_layer(model)
    kind = type(layer).__name__
    if kind == "Rescaling":
        found = _by_rescaling(layer)
    elif kind in ("Normalization", "BatchNormalization"):
        found = _by_means(layer, np.asarray(means, np.float64))
    else:
        return None
    return (found, str(layer.name)) if found else None


def _first_layer(model: Any) -> Any:
    """The first layer that does something, inside the models that begin a model."""
    import keras

    while isinstance(model, keras.Model):
        inner = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
        if not inner:
            return None
        model = inner[0]
    return model


def _by_rescaling(layer: Any) -> str | None:
    """A network scales what it takes to 0 to 1, or, with an offset below zero, to -1 to 1."""
    scale, offset = float(np.mean(layer.scale)), float(np.mean(layer.offset))
    if scale <= 0:
        return None
    highest = (1 - offset) / scale
    return next((name for name, (low, high) in HIGHEST.items() if low <= highest <= high), None)


def _by_means(layer: Any, means: Any) -> str | None:
    own = layer.mean if type(layer).__name__ == "Normalization" else layer.moving_mean
    middle = float(np.mean(np.asarray(own, np.float64)))
    if middle <= 0 or not means.size or means.mean() <= 0:
        return None
    apart = {name: abs(math.log(middle / (factor * means.mean()))) for name, factor in INPUTS.items()}
    name = min(apart, key=apart.__getitem__)
    return name if apart[name] <= math.log(NEAR) else None


def adapted(model: Any, factor: float, *, softmax: bool) -> Any:
    """The network with reflectance as its input and probabilities as its output; its weights are the same.

    Args:
        model: A loaded `keras.Model` of one input and one output.
        factor: By what reflectance is multiplied before it.
        softmax: Whether a softmax follows.

    Raises:
        ModelError: The model is not made of layers.
    """
    import keras

    made = as_functional(model)
    if factor != 1:
        made = _with_factor(made, factor)
    if not softmax:
        return made
    answers = keras.layers.Activation("softmax", dtype="float32", name="softmax_of_logits")(made.outputs[0])
    return keras.Model(made.inputs[0], answers, name=model.name)


def _with_factor(model: Any, factor: float) -> Any:
    """A scaling takes the name of the input, so that whatever took that takes the scaled one; nothing gets nested."""
    import keras

    config, old = model.get_config(), model.inputs[0]
    (place,) = [i for i, entry in enumerate(config["layers"]) if entry["class_name"] == "InputLayer"]
    name = config["layers"][place]["name"]
    inputs = keras.Input(old.shape[1:], name=f"{name}_in_reflectance")
    before = keras.Model(inputs, keras.layers.Rescaling(factor, name=name)(inputs)).get_config()
    config["layers"][place : place + 1] = before["layers"]
    config["input_layers"] = before["input_layers"]
    return with_weights(config, {inputs.name: [], name: []} | weights_by_layer(model))
