"""The network that a training starts from: built anew, or a model file's, with a new head if its classes are others."""

from __future__ import annotations

import keras

from landmap_models import architectures
from landmap_models.architectures.shape import OUTPUT, NetworkShape, probabilities
from landmap_models.errors import ModelError
from landmap_models.inference.keras_classifier import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import find_model
from landmap_models.training.settings import TrainSettings


def make_network(
    shape: NetworkShape, settings: TrainSettings, bands: tuple[str, ...], class_names: tuple[str, ...]
) -> keras.Model:
    """The untrained, or partly trained, network in float32.

    Raises:
        ModelError: The architecture, its options, its weights or the model to start from don't fit the chips.
    """
    if settings.start_from is not None:
        return _from_model(settings.start_from, shape, bands, class_names)
    return architectures.build(settings.architecture, shape, settings.options)


def _from_model(name: str, shape: NetworkShape, bands: tuple[str, ...], class_names: tuple[str, ...]) -> keras.Model:
    path = find_model(name)
    card, model = read_card(path), load_model(path)
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
