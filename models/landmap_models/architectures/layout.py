"""A network rebuilt from its configuration: with other settings, or with nothing nested."""

from __future__ import annotations

from typing import Any

import keras

Tensor = Any


def rebuilt(config: dict[str, Any], weights: list[Any]) -> keras.Model:
    """A network of this configuration and these weights (`Model.get_config`, `Model.get_weights`)."""
    made: Any = keras.Model.from_config(config)
    made.set_weights(weights)
    for layer in made.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its weights
    return made


def laid_out(model: keras.Model) -> keras.Model:
    """The same network with the layers of models inside it (ConvNeXt has some) among its own.

    `--unfreeze 3` means three layers then, and a dtype policy reaches every layer.
    """
    if not any(isinstance(layer, keras.Sequential) for layer in model.layers):
        return model
    flat = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=_call_flat)
    # That shares layers with `model`, whose graph they remember as their first.
    return rebuilt(flat.get_config(), flat.get_weights())


def _call_flat(layer: Any, *inputs: Tensor, **keywords: Any) -> Tensor:
    if not isinstance(layer, keras.Sequential):
        return layer(*inputs, **keywords)
    (x,) = inputs
    for inner in layer.layers:
        x = inner(x)
    return x
