"""A network of symmetric convolutions written out as plain ones, for files that need no code of ours.

Nothing is approximated: `D4Conv2D` and its like compute a plain convolution whose kernel repeats a smaller one.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from landmap_models.architectures.d4_layers import ScaledConv2D
from landmap_models.architectures.layout import exact_layers, rebuilt
from landmap_models.inference.fold_norm import fold_norm, weights_by_layer, with_weights


def unrolled(model: keras.Model) -> keras.Model:
    """A copy of a network with Keras's own layers only; the model itself where it has no others of ours."""
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
    """A copy of a network for inference: normalisation folded, weights rounded to eight bits of mantissa.

    The layers that inference leaves in float32 keep theirs; see `layout.exact_layers`.
    """
    folded = fold_norm(model)
    exact = exact_layers(folded)
    weights = [
        weight if layer.name in exact else np.asarray(keras.ops.cast(keras.ops.cast(weight, "bfloat16"), "float32"))
        for layer in folded.layers
        for weight in layer.get_weights()
    ]
    return rebuilt(folded.get_config(), weights)
