"""Whether a card belongs to a model: input, classes and weights of both are compared without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLAIMS = ("metrics", "training", "nir")
"""Entries of a card that hold for one set of weights only."""
INSTEAD = (
    "Take only what it says of input and classes: give it as --template in place of --card, with --name; with --chips "
    "the model is measured"
)


def card_misfits(content: Mapping[str, Any], config: dict[str, Any], digest: str) -> list[str]:
    """Find what a card states and a model contradicts, each as a sentence, by the configuration of the model.

    `keras_classifier.check_form` checks the loaded model.

    Args:
        content: Entries of the card, which may have faults: missing ones are not compared.
        config: Configuration of the model, as `archive.read_config` reads it.
        digest: sha256 of the weights of the model.
    """
    found = _foreign_claims(content, digest)
    shape, classes = _input_shape(config), _output_classes(config)
    bands, legend = (content.get(name) if isinstance(content.get(name), list) else None for name in ("bands", "legend"))
    wanted = [content.get("chip_size"), content.get("chip_size"), len(bands or ())]
    if content.get("answers") == "pixel":  # of any size: what it is given is chosen for the scene
        further = content.get("optional") or ()
        wanted = [*(shape or [None] * 4)[1:3], len(bands or ()) + len(further)]
    if bands is not None and shape is not None and shape[1:] != wanted:
        found.append(
            f"the card says chips of {wanted} (height, width, bands). The model takes {shape[1:]}. Correct chip_size "
            "or bands of the card"
        )
    if legend is not None and classes is not None and classes != len(legend):
        found.append(f"the card says {len(legend)} classes. The model has {classes}. Correct the card's legend")
    return found


def unbound_claims(content: Mapping[str, Any]) -> list[str]:
    """Faults of a card that claims something of weights that it does not name: it may not hold for this model."""
    claims = [name for name in CLAIMS if content.get(name)]
    if content.get("weights_sha256") or not claims:
        return []
    return [f"the card has {', '.join(claims)}, and does not say of which weights (weights_sha256). {INSTEAD}"]


def _foreign_claims(content: Mapping[str, Any], digest: str) -> list[str]:
    """The fault of a card whose name, metrics, training and prior are those of other weights."""
    described = content.get("weights_sha256")
    if not described or described == digest:
        return []
    claims = ("name", *(name for name in CLAIMS if content.get(name)))
    return [
        f"the card describes other weights (sha256 {str(described)[:12]}…) than the file has ({digest[:12]}…): its "
        f"{', '.join(claims)} are not this model's. {INSTEAD}"
    ]


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers in the configuration of a model; none where the model is not a functional or sequential one."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list):
        return []
    return [layer for layer in layers if isinstance(layer, dict) and isinstance(layer.get("config"), dict)]


def _input_shape(config: dict[str, Any]) -> list[Any] | None:
    """Shape `[batch, height, width, bands]` of the first input of pixels; None where the configuration lacks it."""
    inputs = [layer for layer in _layers(config) if layer.get("class_name") == "InputLayer"]
    shapes = [layer["config"].get("batch_shape") for layer in inputs]
    found = [shape for shape in shapes if isinstance(shape, list)]
    return next((shape for shape in found if len(shape) == 4), found[0] if found else None)


def _output_classes(config: dict[str, Any]) -> int | None:
    """Number of units of the output layer; None where that is no dense layer."""
    layers = _layers(config)
    outputs = config["config"].get("output_layers") if layers else None
    while isinstance(outputs, list) and outputs:  # ["dense", 0, 0], or a list of one such
        outputs = outputs[0]
    found = [layer for layer in layers if layer.get("name") == outputs] if isinstance(outputs, str) else layers[-1:]
    if not found or found[0].get("class_name") != "Dense":
        return None
    units = found[0]["config"].get("units")
    return units if isinstance(units, int) else None
