"""Weights that bfloat16 holds exactly, so that computing in it does not also change the network.

Of what a network loses in bfloat16 about half is lost where its weights are rounded (measured on `compact`). A network
whose weights are so rounded once and for all is judged, calibrated and used with these, in every precision.
"""

from __future__ import annotations

import keras
import numpy as np

from landmap_models.architectures.layout import exact_layers, rebuilt
from landmap_models.fold_norm import fold_norm


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
