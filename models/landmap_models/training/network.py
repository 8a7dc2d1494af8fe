"""The network of a training: the one that it starts from, and the one that is written at its end.

It starts from a new network, or from that of a model file, with a new head if the classes are others. It is written
with Keras's own layers only, so that a model file needs no code of ours: `D4Conv2D` and its like compute a plain
convolution whose kernel repeats a smaller one, and nothing is approximated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from landmap_models import architectures
from landmap_models.architectures.d4_layers import ScaledConv2D
from landmap_models.architectures.layout import exact_layers, rebuilt
from landmap_models.architectures.shape import OUTPUT, NetworkShape, probabilities
from landmap_models.errors import ModelError
from landmap_models.inference.fold_norm import fold_norm, weights_by_layer, with_weights
from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import find_model
from landmap_models.training.settings import TrainSettings


def make_network(
    shape: NetworkShape, settings: TrainSettings, bands: tuple[str, ...], class_names: tuple[str, ...]
) -> keras.Model:
    """Build the network that a training starts from, in float32.

    Args:
        shape: Number of classes and bands, size of the chips and activation.
        settings: Settings of the training.
        bands: Names of the bands of the chips, in order.
        class_names: Names of the classes of the chips, in order.

    Raises:
        ModelError: The architecture, its options, its weights or the model to start from don't fit the chips.
    """
    if settings.start_from is not None:
        return _from_model(settings.start_from, shape, bands, class_names)
    return architectures.build(settings.architecture, shape, settings.options)


def _from_model(name: str, shape: NetworkShape, bands: tuple[str, ...], class_names: tuple[str, ...]) -> keras.Model:
    path = find_model(name)
    card, model = read_card(path), load_model(path)
    kinds = {True: "of pixels", False: "of chips"}
    optional = {True: ", with optional bands", False: ""}
    wanted, found = (bool(shape.middle), shape.flags), (card.per_pixel, bool(card.optional))
    if wanted != found:
        texts = [kinds[per_pixel] + optional[flags] for per_pixel, flags in (wanted, found)]
        raise ModelError(f"{path}: expected a model {texts[0]}. Received: one {texts[1]}")
    if card.per_pixel:
        card = replace(card, bands=(*card.bands, *card.optional), chip_size=shape.chip_size)
    if (card.band_names, card.chip_size) != (bands, shape.chip_size):
        raise ModelError(
            f"{path}: expected a model of bands {bands} and chips of {shape.chip_size} px. "
            f"Received: {card.band_names} and {card.chip_size} px"
        )
    if model.layers[-1].name != OUTPUT:
        raise ModelError(
            f"{path}: expected a last layer named {OUTPUT!r}, as landmap trains them. "
            f"Received: {model.layers[-1].name!r}"
        )
    if card.legend.names == class_names and model.layers[-1].activation.__name__ == shape.activation:
        return model
    return keras.Model(model.input, probabilities(model.layers[-1].input, shape), name=model.name)


def unrolled(model: keras.Model) -> keras.Model:
    """Write a network out with Keras's own layers only; a network that has no others is returned as it is."""
    ours = {layer.name: layer for layer in model.layers if isinstance(layer, ScaledConv2D)}
    if not ours:
        return model
    config, weights = model.get_config(), weights_by_layer(model)
    for entry in config["layers"]:
        if entry["name"] in ours:
            layer = ours[entry["name"]]
            kernel, bias = (np.asarray(array) for array in layer.written_out())
            weights[layer.name] = [kernel, bias]
            entry |= {
                "module": "keras.layers",
                "class_name": "Conv2D",
                "registered_name": None,
                "config": _plain(layer, bias),
            }
            entry.pop("build_config", None)
    return with_weights(config, weights)


def _plain(layer: ScaledConv2D, bias: Any) -> dict[str, Any]:
    given = layer.get_config()
    kept = {key: given[key] for key in ("name", "trainable", "dtype", "kernel_size", "strides", "activation")}
    return kept | {"filters": len(bias), "padding": "valid"}


def rounded(model: keras.Model) -> keras.Model:
    """Copy a network for inference, with batch normalisation folded and weights rounded to eight bits of mantissa.

    Weights of layers that inference computes in float32 are not rounded; see `layout.exact_layers`.
    """
    folded = fold_norm(model)
    exact = exact_layers(folded)
    weights = [
        weight if layer.name in exact else np.asarray(keras.ops.cast(keras.ops.cast(weight, "bfloat16"), "float32"))
        for layer in folded.layers
        for weight in layer.get_weights()
    ]
    return rebuilt(folded.get_config(), weights)
