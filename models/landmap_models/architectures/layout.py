"""Networks are rebuilt from their configuration: in another precision, or without models inside."""

from __future__ import annotations

import copy
from typing import Any

import keras

Tensor = Any


def rebuilt(config: dict[str, Any], weights: list[Any]) -> keras.Model:
    """Build a network of a configuration and weights (`Model.get_config`, `Model.get_weights`)."""
    made: Any = keras.Model.from_config(config)
    made.set_weights(weights)
    for layer in made.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its weights
    return made


def in_precision(
    model: keras.Model, precision: str, *, exact_input: bool = False, exact_output: bool = False
) -> keras.Model:
    """Copy a network so that its layers compute in another dtype policy; the last layer stays float32.

    Args:
        model: A functional network without models inside it.
        precision: Name of a Keras dtype policy, such as "mixed_bfloat16".
        exact_input: Whether the layers up to the first with weights stay float32, too. Water and woods differ by a few
            thousandths in reflectance, which eight bits of mantissa lose where pixels are centred on zero.
        exact_output: Whether the last layer with weights and all behind it stay float32, too.
    """
    config = copy.deepcopy(model.get_config())
    exact = exact_layers(model) if exact_input else {model.layers[-1].name}
    if exact_output:
        last = max(place for place, layer in enumerate(model.layers) if layer.weights)
        exact |= {layer.name for layer in model.layers[last:]}
    for layer in config["layers"]:
        # Bare operations, such as a sum written with +, have no dtype of their own.
        if layer["class_name"] != "InputLayer" and "dtype" in layer["config"] and layer["config"]["name"] not in exact:
            layer["config"]["dtype"] = precision
    return rebuilt(config, model.get_weights())


def exact_layers(model: keras.Model) -> set[str]:
    """Names of the layers that inference computes in float32: those up to the first with weights, and the last."""
    first = next(place for place, layer in enumerate(model.layers) if layer.weights)
    return {layer.name for layer in model.layers[: first + 1]} | {model.layers[-1].name}


def laid_out(model: keras.Model) -> keras.Model:
    """Rebuild a network with the layers of models inside it (ConvNeXt has some) among its own.

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
