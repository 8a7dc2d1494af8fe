"""Batch normalisation folded into the layer before it; and what rebuilds a network from an edited configuration.

At inference a batch normalisation is a factor and an offset for each channel. A linear layer before it takes them into
its kernel and bias (Jacob et al. 2018, arXiv 1712.05877, section 3.2): one pass over the values less, nothing
approximated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landmap_models.errors import ModelError

if TYPE_CHECKING:
    import keras

Entry = dict[str, Any]
"""A layer in a model's configuration."""
LINEAR = ("Conv2D", "DepthwiseConv2D", "Dense")
"""Layers that take a normalisation in."""


def fold_norm(model: keras.Model) -> keras.Model:
    """A copy of the network for inference, without the batch normalisations that a layer before takes in.

    Those are the ones that directly follow a layer of `LINEAR` without an activation, whose values go nowhere else and
    whose dtype policy is the same. All other layers stay as they are, and all names. The copy of a Sequential model is
    a functional one.

    Raises:
        ModelError: The model was never built, or not from layers.
    """
    functional = as_functional(model)
    config, weights = functional.get_config(), weights_by_layer(functional)
    for linear, norm in _pairs(config):
        weights[linear["name"]] = _folded(functional.get_layer(linear["name"]), functional.get_layer(norm["name"]))
        linear["config"]["use_bias"] = True
        config["layers"] = [entry for entry in config["layers"] if entry is not norm]
        for reference in list(references(config, {norm["name"]})):
            reference[0] = linear["name"]
    return with_weights(config, weights)


def _pairs(config: Entry) -> list[tuple[Entry, Entry]]:
    """Layers that take in a normalisation, each with that one."""
    entries = {entry["name"]: entry for entry in config["layers"]}
    uses = Counter(reference[0] for reference in references(config, entries))
    pairs = []
    for norm in config["layers"]:
        sources = [reference[0] for reference in references(norm["inbound_nodes"], entries)]
        if len(sources) == 1 and uses[sources[0]] == 1 and _fits(entries[sources[0]], norm):
            pairs.append((entries[sources[0]], norm))
    return pairs


def _fits(linear: Entry, norm: Entry) -> bool:
    if linear["class_name"] not in LINEAR or norm["class_name"] != "BatchNormalization":
        return False
    built_in = linear["module"] == norm["module"] == "keras.layers"
    config, dtype = linear["config"], linear["config"]["dtype"]
    plain = config["activation"] == "linear" and config.get("data_format") != "channels_first"
    adapted = "lora_rank" in config or "Quantized" in str(dtype)  # the kernel is not all that counts
    same = dtype == norm["config"]["dtype"]
    return built_in and plain and not adapted and same and _is_per_channel(norm)


def _is_per_channel(norm: Entry) -> bool:
    """Whether it normalises the last axis, with the statistics that it has learnt."""
    (node,) = norm["inbound_nodes"]
    axis, rank = norm["config"]["axis"], len(norm["build_config"]["input_shape"])
    return axis in (-1, rank - 1, [-1], [rank - 1]) and not node["kwargs"].get("training")


def _folded(linear: Any, norm: Any) -> list[npt.NDArray[np.float32]]:
    """Kernel and bias of the two layers in one."""
    kernel, *bias = _in_double(linear).values()
    learnt = _in_double(norm)
    gain = learnt.get("gamma", 1.0) / np.sqrt(learnt["moving_variance"] + norm.epsilon)
    offset = learnt.get("beta", 0.0) + gain * (sum(bias) - learnt["moving_mean"])
    if type(linear).__name__ == "DepthwiseConv2D":  # kernel (height, width, channels, multiplier)
        gain = gain.reshape(kernel.shape[2:])
    return [(kernel * gain).astype(np.float32), offset.astype(np.float32)]


def _in_double(layer: Any) -> dict[str, npt.NDArray[np.float64]]:
    names = [variable.name for variable in layer.weights]
    return {name: array.astype(np.float64) for name, array in zip(names, layer.get_weights(), strict=True)}


def references(node: Any, names: Collection[str]) -> Iterator[list[Any]]:
    """`[layer, node, tensor]`: every place of a configuration that names what one of these layers gives."""
    if isinstance(node, list) and len(node) == 3 and isinstance(node[0], str) and node[0] in names:
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from references(value, names)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from references(value, names)


def as_functional(model: keras.Model) -> keras.Model:
    """The model itself, or for a Sequential one the functional model of the same layers.

    Raises:
        ModelError: It was never built, or not from layers.
    """
    import keras

    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if type(model).__name__ != "Functional":
        raise ModelError(f"{model.name}: expected a built model, made of layers. Received: {type(model).__name__}")
    return model


def weights_by_layer(model: keras.Model) -> dict[str, list[Any]]:
    """The arrays of each layer, by its name."""
    return {layer.name: layer.get_weights() for layer in model.layers}


def with_weights(config: Entry, weights: Mapping[str, list[Any]]) -> keras.Model:
    """A new functional model.

    Args:
        config: As `Model.get_config` gives it. A single input or output in a list or dict becomes a plain one.
        weights: The arrays of each layer, by its name; they take the shapes of the new layer's.
    """
    import keras

    names = {entry["name"] for entry in config["layers"]}
    for ends in ("input_layers", "output_layers"):
        found = list(references(config[ends], names))
        config = config | ({ends: found[0]} if len(found) == 1 else {})
    made: Any = keras.Model.from_config(config)
    for layer in made.layers:
        arrays = zip(weights[layer.name], layer.weights, strict=True)
        layer.set_weights([array.reshape(variable.shape) for array, variable in arrays])
    _finalize(made)
    return made


def _finalize(layer: Any) -> None:
    """Normalization computes with copies of its weights."""
    for inner in getattr(layer, "layers", ()):
        _finalize(inner)
    if type(layer).__name__ == "Normalization":
        layer.finalize_state()
