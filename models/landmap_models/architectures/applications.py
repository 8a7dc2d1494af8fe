"""The networks of `keras.applications` as chip classifiers, laid out flat: every layer is a layer of the model.

`application_table` names the publication of each, `pretrained` loads the weights that they can start from.
"""

from __future__ import annotations

import keras
from keras import layers

from landmap_models.architectures.application_table import Application
from landmap_models.architectures.layout import laid_out
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.picture import input_size, picture
from landmap_models.architectures.pretrained import base_features
from landmap_models.architectures.shape import NetworkShape, head, reflectance_input

OPTIONS = ("weights", "input_size", "dense", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""


def build(application: Application, shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build a network: its base, the average over all positions, and a head.

    Chips smaller than the smallest picture that the application takes are enlarged inside, to the next whole multiple
    of their size.

    Options: `weights` is "none", "imagenet" or a file (see `pretrained.base_features`); `input_size` (px); `dense`
    (units of a layer before the last one; none); `dropout` (0.2).

    Raises:
        ModelError: The weights can't be had or don't fit, or the input size is too small.
    """
    inputs, x = reflectance_input(shape)
    size = input_size(application.name, options.input_size, shape, application.minimum)
    x = picture(x, size, application.preprocess, pretrained=options.pretrained)
    x = base_features(application, x, options.weights)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = head(x, shape, dense=options.dense, dropout=0.2 if options.dropout is None else options.dropout)
    return laid_out(keras.Model(inputs, x, name=application.name))
