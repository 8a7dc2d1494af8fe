"""The card of a network that was trained elsewhere, from entries that the user gives and from measurements.

Bands, classes and level are given, or taken from the card of a similar model (a template). The shape of the input and
the numbers that it takes are read from the network. Percentiles of the bands and, where chips are labelled, metrics are
measured on chips. Other entries are left out: no training, no near-infrared prior.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.datasets.chips import ChipFolder
from landmap_models.datasets.labelled import loose_classes, match_labels, read_chips
from landmap_models.errors import CardError
from landmap_models.evaluation.explanations import fit_warnings, guess_warning
from landmap_models.inference.classifier import are_probabilities, check_answers, noise_chips
from landmap_models.inference.input_scale import INPUTS, adapted, scaled_input
from landmap_models.inference.keras_classifier import check_form
from landmap_models.legend import legend_for
from landmap_models.metrics.metrics import measure
from landmap_models.model_file.card import ModelCard, content_faults, task_of
from landmap_models.sentinel2 import band_name
from landmap_models.training.card import band_profiles

TRIED = 300
"""Most chips on which other bands, numbers and orders of classes are tried."""
RESOLUTION = 10.0
"""Metres a pixel where none is given, those of Sentinel-2's finest bands."""


@dataclass(frozen=True, slots=True)
class Given:
    """Entries that the user gives for a network; None where one is not given."""

    name: str
    """Name of the model."""
    bands: tuple[str, ...] | None = None
    """Sentinel-2 names of the bands, in the order of the input."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the outputs."""
    colors: tuple[str, ...] | None = None
    """Colours of the classes, as #rrggbb."""
    levels: tuple[str, ...] | None = None
    """Product levels of the training: L1C, L2A, or both."""
    version: str | None = None
    """Version of the model."""
    description: str | None = None
    """What the model maps, and where it is weak."""
    licence: str | None = None
    """Licence of the weights, as an SPDX identifier."""
    resolution: float | None = None
    """Ground sampling distance of the training, in metres."""
    input: str | None = None
    """Name of the numbers that the network takes, one of `input_scale.INPUTS`."""
    softmax: bool = False
    """Whether the network outputs logits, so that a softmax is added."""


@dataclass(frozen=True, slots=True)
class Described:
    """A network with its card, as it will be written."""

    model: Any
    """A `keras.Model` from reflectance to probabilities; the given one where nothing had to be added."""
    card: ModelCard
    """Its card."""
    warnings: tuple[str, ...]
    """Warnings of what was assumed, and of what contradicts the chips."""


OpenChips = Callable[[tuple[str, ...]], ChipFolder]
"""A function that opens chips with the bands of these names."""


def make_card(model: Any, given: Given, template: ModelCard | None, chips: OpenChips | None, where: str) -> Described:
    """Describe a network.

    Args:
        model: A loaded `keras.Model`.
        given: Entries that the user gives.
        template: Card whose input and classes are used where none are given; its entries about its own weights (name,
            metrics, training, near-infrared prior) are not. None: no template.
        chips: Function that opens chips to measure on; chips without classes (`class_names` is empty) give percentiles
            of the bands only. None: nothing is measured.
        where: Name of the file of the model, for messages.

    Raises:
        ModelError: Maps can't be drawn with such a network, or it does not predict probabilities.
        CardError: An entry is neither given nor measured, or contradicts the network; the message names all.
        DatasetError: The chips don't fit the network.
    """
    size, bands, classes = check_form(model, where)
    content, sources = _entries(given, template)
    content |= {"chip_size": size, "description": given.description or _description(model)}
    faults = _missing(content, measured=chips is not None) + _misfits(content, given, bands, classes)
    if faults := faults + _early_faults(content):
        raise CardError(f"{where}: {'; '.join(faults)}")
    folder = chips(tuple(band["name"] for band in content["bands"])) if chips is not None else None
    if folder is not None:
        content["bands"] = [dataclasses.asdict(profile) for profile in band_profiles(folder)]
        sources["band ranges"] = f"measured on {_some(folder)}"
    number, warnings = _number(model, given, [band["mean"] for band in content["bands"]], sources)
    made = adapted(model, INPUTS[number], softmax=given.softmax) if _differs(number, given) else model
    content["task"] = task_of(multi_label=_is_multi_label(made))
    content["reflectance_range"] = _reflectance_range(number, folder, template)
    if faults := content_faults(content):
        raise CardError(f"{where}: {'; '.join(faults)}")
    card = ModelCard.from_content(content)
    if given.softmax:
        _refuse_second_softmax(model, card, folder, number, where)
    card, found = _tried(model, made, card, folder, number)
    sources["metrics"] = f"measured on {_some(folder)}" if card.metrics and folder is not None else "not measured"
    return Described(made, dataclasses.replace(card, training={"described": sources}), (*warnings, *found))


def _description(model: Any) -> str:
    return f"What it is for is not stated. {model.count_params():,} parameters."


def _differs(number: str, given: Given) -> bool:
    return number != "reflectance" or given.softmax


def _early_faults(content: Mapping[str, Any]) -> list[str]:
    """Faults of the entries before anything is measured, with placeholders for measured numbers."""
    whole = {"legend": [], "levels": [], **content, "reflectance_range": (0.0, 1.0)}
    whole["bands"] = [dict.fromkeys(("p01", "median", "p99", "mean"), 0.0) | band for band in content.get("bands", ())]
    faults = content_faults(whole)
    return [fault for fault in faults if not any(fault.startswith(text) for text in _absent(content))]


def _absent(content: Mapping[str, Any]) -> list[str]:
    """Beginnings of the faults of absent entries, which `_missing` names in better words."""
    texts = {"bands": ("Expected bands as",), "legend": ("Expected at least two",), "levels": ("Expected levels",)}
    return [text for name, beginnings in texts.items() if name not in content for text in beginnings]


def _entries(given: Given, template: ModelCard | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Entries of the card that are given or taken from a template, and the source of each."""
    content: dict[str, Any] = {"name": given.name, "version": given.version or "1"}
    content["licence"] = given.licence or "not stated"
    taken: Mapping[str, Any] = {}
    if template is not None:
        legend = [dataclasses.asdict(entry) for entry in template.legend]
        bands = [dataclasses.asdict(band) for band in template.bands]
        taken = {"legend": legend, "bands": bands, "levels": template.levels, "resolution": template.resolution}
    own = {
        "legend": _legend(given, template),
        "bands": _bands(given, template),
        "levels": given.levels,
        "resolution": given.resolution,
    }
    stated = {name: value for name, value in own.items() if value is not None}
    content |= {"resolution": RESOLUTION} | dict(taken) | stated
    origin = f"template {template.name}" if template is not None else "assumed"
    words = {"legend": "classes", "levels": "level"}
    names = ("bands", "legend", "levels", "resolution")
    sources = {words.get(n, n): "told" if n in stated else origin for n in names if n in content}
    return content, sources | ({"band ranges": origin} if template is not None else {}) | {"chip size": "the network's"}


def _bands(given: Given, template: ModelCard | None) -> list[dict[str, Any]] | None:
    """Bands by the given names, with percentiles of the template where it has the band."""
    if given.bands is None:
        return None
    profiles = {band.name: dataclasses.asdict(band) for band in template.bands} if template is not None else {}
    names = [band_name(name) or name for name in given.bands]
    return [profiles.get(name, {"name": name}) for name in names]


def _legend(given: Given, template: ModelCard | None) -> list[dict[str, Any]] | None:
    """Classes by the given names, with the given colours or those of landmap."""
    names = given.classes or (template.legend.names if template is not None and given.colors else None)
    if names is None:
        return None
    usual = {entry.name: entry.color for entry in legend_for(tuple(dict.fromkeys(names)))}
    colors = given.colors if given.colors and len(given.colors) == len(names) else [usual[name] for name in names]
    return [{"id": i, "name": name, "color": color} for i, (name, color) in enumerate(zip(names, colors, strict=True))]


def _missing(content: Mapping[str, Any], *, measured: bool) -> list[str]:
    """Messages about entries that are neither given nor measured, with the options that give them."""
    found = []
    if "bands" not in content:
        found.append("nothing says which bands it takes: --bands B04,B03,B02, in input order")
    elif not measured and any("mean" not in band for band in content["bands"]):
        found.append(
            "nothing says what its bands look like (percentiles and mean of the reflectance, by which scenes are "
            "judged and gaps are filled): --chips CHIPS, some like those it was trained on, labelled or not; or "
            "--template MODEL, to take those of a like model"
        )
    if "legend" not in content:
        found.append("nothing says its classes: --classes A,B,…, in the order of its outputs")
    if "levels" not in content:
        found.append("nothing says the product level that it was trained on: --level L1C or --level L2A")
    return found


def _misfits(content: Mapping[str, Any], given: Given, bands: int, classes: int) -> list[str]:
    """Messages about entries that contradict the network or each other."""
    found = []
    if "bands" in content and len(content["bands"]) != bands:
        names = ", ".join(str(band["name"]) for band in content["bands"])
        found.append(f"the model takes {bands} bands. Received {len(content['bands'])}: {names}. Correct --bands")
    if "legend" in content and len(content["legend"]) != classes:
        names = ", ".join(entry["name"] for entry in content["legend"])
        found.append(f"the model has {classes} outputs. Received {len(content['legend'])}: {names}. Correct --classes")
    if given.colors is not None and len(given.colors) != len(content.get("legend", given.colors)):
        found.append(f"expected a colour a class. Received {len(given.colors)} colours. Correct --colors")
    return found


def _number(model: Any, given: Given, means: Sequence[float], sources: dict[str, str]) -> tuple[str, list[str]]:
    """The numbers that a network takes, with warnings of what is assumed."""
    found = scaled_input(model, means)
    by_network = f"{found[0]} by its layer {found[1]}" if found else None
    if given.input is not None:
        sources["input"] = f"{given.input}, told"
        contrary = found is not None and found[0] != given.input
        return given.input, [f"the network looks made for {by_network}; --input {given.input} counts"] * contrary
    if found is not None:
        sources["input"] = by_network or ""
        return found[0], []
    sources["input"] = "reflectance, assumed"
    others = ", ".join(name for name in INPUTS if name != "reflectance")
    return "reflectance", [
        "nothing in the network says which numbers it takes; reflectance is assumed (10 % is 0.1). Where it was "
        f"trained on others, say which: --input {others}"
    ]


def _is_multi_label(model: Any) -> bool:
    """Whether a network ends in a sigmoid, which gives each class a probability of its own."""
    activation = getattr(model.layers[-1], "activation", None)
    return getattr(activation, "__name__", "") == "sigmoid"


def _reflectance_range(number: str, chips: ChipFolder | None, template: ModelCard | None) -> tuple[float, float]:
    """Range of reflectance: that of 8 bits for a network of bytes, else that of the chips or the template."""
    if number.startswith("8bit"):
        return 0.0, 255 / INPUTS["8bit"]
    if chips is not None:
        return 0.0, chips.reflectance_max
    return template.reflectance_range if template is not None else (0.0, 1.0)


def _tried(
    model: Any, made: Any, card: ModelCard, chips: ChipFolder | None, number: str
) -> tuple[ModelCard, list[str]]:
    """Check that the network predicts probabilities; the card, with metrics where chips are labelled, and warnings."""
    if chips is None:
        _predict(made, noise_chips(card), card)
    elif not chips.class_names:
        _predict(made, read_chips(_some_of(chips), card), card)
    else:
        return _measured(model, made, card, chips, number)
    return card, []


def _refuse_second_softmax(model: Any, card: ModelCard, chips: ChipFolder | None, number: str, where: str) -> None:
    """Refuse a second softmax, which would make probabilities nearly equal and confidence meaningless."""
    values = noise_chips(card) if chips is None else read_chips(_some_of(chips), card)
    scaled = values * np.float32(INPUTS[number])
    answers: Floats = np.asarray(model.predict(scaled, verbose=0, batch_size=64), np.float32)
    if are_probabilities(answers) or _is_multi_label(model):
        raise CardError(
            f"{where}: expected logits for --softmax. Received: probabilities already, from {answers.min():.3g} to "
            f"{answers.max():.3g}. Leave out --softmax"
        )


def _predict(model: Any, values: Floats, card: ModelCard) -> Floats:
    answers: Floats = np.asarray(model.predict(values, verbose=0, batch_size=64), np.float32)
    check_answers(answers, len(values), card)
    return answers


def _some_of(chips: ChipFolder) -> ChipFolder:
    return chips.subset(np.unique(np.linspace(0, len(chips) - 1, TRIED).astype(np.intp)))


def _measured(model: Any, made: Any, card: ModelCard, chips: ChipFolder, number: str) -> tuple[ModelCard, list[str]]:
    """The card with metrics on labelled chips, and warnings of what contradicts these chips."""
    labels, names = match_labels(chips, card), card.legend.names
    answers = np.concatenate([_predict(made, read_chips(chips.subset(p), card), card) for p in _parts(len(chips))])
    several = labels.ndim == 2
    measured = measure(labels, answers, names)
    split = f"all chips of {chips.root.name}, some of which it may have been trained on"
    outputs = answers.argmax(axis=1)
    against = _one_label(chips) if several else _fit_warnings(model, card, chips, number, outputs)
    return dataclasses.replace(card, metrics={"split": split} | measured), loose_classes(labels, names) + against


def _one_label(chips: ChipFolder) -> list[str]:
    """Warn of a network that predicts each class by itself, where every chip has one class."""
    if chips.multi_label:
        return []
    return [
        "the network ends in a sigmoid, so that it is described as a multi-label model, and every chip has one label: "
        "`landmap classify` refuses multi-label models. For maps, end it with a softmax, by Python: "
        "model.layers[-1].activation = keras.activations.softmax; model.save('softmax.keras'), and describe that file"
    ]


def _parts(n: int) -> list[npt.NDArray[np.intp]]:
    return np.array_split(np.arange(n), -(-n // 256))


def _fit_warnings(
    model: Any, card: ModelCard, chips: ChipFolder, number: str, outputs: npt.NDArray[np.intp]
) -> list[str]:
    """Warnings of given entries that contradict labelled chips."""
    guessing, some = guess_warning(outputs, match_labels(chips, card)), _some_of(chips)
    return fit_warnings(model, card, number, read_chips(some, card), match_labels(some, card), guessing)


def _some(chips: ChipFolder) -> str:
    return f"{len(chips):,} chips of {chips.root.name}"
