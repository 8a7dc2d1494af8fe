"""A network that answers for each pixel by itself, frozen for one set of bands and one shape.

The network is given whatever size is asked for: its layers are rebuilt for that size, as some of Keras's can't work
without knowing it. How far its answers reach is on its card, and tried when it is loaded, as a margin that is too small
would show as seams in every map.
"""

from __future__ import annotations

import copy
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import CardError, ModelError
from landmap_models.inference.classifier import PerPixelClassifier, check_answers
from landmap_models.inference.fold_norm import fold_norm
from landmap_models.inference.loading import load_model
from landmap_models.inference.once import loaded_once
from landmap_models.inference.tensorflow import POLICIES, FrozenNetwork, Precision, find_device, tensorflow
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.transform import DN, LOG_STEP, SHIFT, SLOPE

INNER = 32
"""Pixels along the side of the square whose answers must not depend on what lies beyond the margin, at least."""
TOLERANCE = 1e-3
"""How much of a probability may depend on it: rounding, and influence that no map shows."""


class KerasPixelModel:
    """A Keras network as a `PerPixelClassifier`. May be called from several threads, which take turns."""

    def __init__(self, model: Any, card: ModelCard, precision: Precision = "float32", device: str = "auto") -> None:
        """Wrap a loaded `keras.Model`, and try whether the margin of its card is wide enough.

        Args:
            model: With the input and output that the card says.
            card: The card of a model that answers for each pixel.
            precision: In which all layers compute but those up to the first with weights, and from the last with
                weights on; these stay float32.
            device: "auto", "cpu" or "gpu:N"; see `tensorflow.find_device`.

        Raises:
            CardError: The model's input or output is not what the card says, or its margin is too small.
            ModelError: There is no such device.
        """
        self.card, self.precision, self.device = card, precision, find_device(device)
        self._model, self._lock = fold_norm(model), Lock()
        self._frozen: FrozenNetwork | None = None
        self._frozen_for: tuple[Any, ...] = ()
        check_pixel_form(model, card)
        if card.margin is not None:
            check_margin(self._answer, card)

    def predict(self, chips: Floats) -> Floats:
        """Refuse chips.

        Raises:
            ModelError: The model answers for each pixel: in every case.
        """
        raise ModelError(f"{self.card.name}: expected a model of chips. This one answers for each pixel")

    def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """Probabilities of pixels; see `PerPixelClassifier`. For each new shape a graph is made: that takes seconds."""
        with self._lock:
            if self._frozen is None or self._frozen_for != (values.shape, bands):
                program = Program(self._network(values.shape[:2], self.precision), self.card, bands)
                self._frozen = FrozenNetwork(program, (1, *values.shape), self.device)
                self._frozen_for = values.shape, bands
            answers: Floats = self._frozen(values[None])[0]
        return answers

    def _answer(self, values: Floats) -> Floats:
        """Probabilities of pixels of all bands, in float32, without a graph."""
        program = Program(self._network(values.shape[:2], "float32"), self.card, self.card.input_names)
        with tensorflow().device(self.device):
            answers: Floats = program(tensorflow().constant(values[None]))[0].numpy()
        return answers

    def _network(self, size: tuple[int, int], precision: Precision) -> Any:
        """The network for windows of a size, in a precision."""
        from landmap_models.architectures.layout import in_precision, rebuilt

        config = copy.deepcopy(self._model.get_config())
        for layer in config["layers"]:
            if layer["class_name"] == "InputLayer" and len(layer["config"]["batch_shape"]) == 4:
                layer["config"]["batch_shape"] = [None, *size, layer["config"]["batch_shape"][3]]
        try:
            network = rebuilt(config, self._model.get_weights())
        except Exception as error:  # Keras raises ValueError and more for layers that want another size
            raise ModelError(
                f"{self.card.name}: its layers can't be built for {size[0]}x{size[1]} px: "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
        if precision == "float32":
            return network
        return in_precision(network, POLICIES[precision], exact_input=True, exact_output=True)


class Program:
    """From reflectance of the bands that are there to probabilities: the transform, the network, its flags."""

    def __init__(self, network: Any, card: ModelCard, bands: tuple[str, ...]) -> None:
        """Keep what is asked.

        Args:
            network: Called with values of all bands, or with a list of these and flags, and whether it is a training.
            card: The card of the model.
            bands: Names of the bands that are there, in the order of the card's `input_names`.
        """
        self._network, self._card, self._bands = network, card, bands

    def __call__(self, values: Any, training: bool = False) -> Any:
        """Probabilities of a batch of windows or chips, as TensorFlow's tensors."""
        tf, card = tensorflow(), self._card
        if card.optional:
            nothing = tf.zeros_like(values[..., :1])
            layers = {name: values[..., place : place + 1] for place, name in enumerate(self._bands)}
            values = tf.concat([layers.get(name, nothing) for name in card.input_names], axis=-1)
        if card.transform is not None:
            logs = tf.math.log1p(tf.maximum(values, 0.0) * np.float32(DN * LOG_STEP))
            scale, low = SLOPE / np.array(card.transform.width), np.array(card.transform.low)
            values = tf.sigmoid(logs * scale.astype(np.float32) + (SHIFT - scale * low).astype(np.float32))
        if not card.optional:
            return self._network(values, training=training)
        flags = np.array([[name in self._bands for name in card.input_names]], np.float32)
        return self._network([values, tf.constant(flags)], training=training)


def check_pixel_form(model: Any, card: ModelCard) -> None:
    """Refuse a model whose input or output is not what its card says.

    Args:
        model: A loaded `keras.Model`.
        card: The card of a model that answers for each pixel.

    Raises:
        CardError: It has other inputs or outputs.
    """
    bands, classes = len(card.input_names), len(card.legend)
    wanted = [(4, bands), *([(2, bands)] if card.optional else [])]
    given = [(len(tensor.shape), tensor.shape[-1]) for tensor in model.inputs]
    answered = [(len(tensor.shape), tensor.shape[-1]) for tensor in model.outputs]
    if (given, answered) != (wanted, [(4, classes)]):
        told = f"pixels (n, height, width, {bands}){f' and flags (n, {bands})' if card.optional else ''}"
        raise CardError(
            f"{card.name}: the card says that the model takes {told} and answers (n, height, width, {classes}). It "
            f"takes {[tuple(t.shape) for t in model.inputs]} and answers {[tuple(t.shape) for t in model.outputs]}. "
            "Correct the card"
        )


def check_margin(answer: Any, card: ModelCard) -> None:
    """Refuse a card whose margin is smaller than what the network's answers depend on.

    The network is given noise, and a part of the same noise: what it answers for the middle must not differ.

    Args:
        answer: Returns probabilities `(height, width, classes)` of reflectance `(height, width, bands)` of all bands.
        card: The card of a model that answers for each pixel, of a finite margin.

    Raises:
        CardError: An answer of the middle differs between the two.
    """
    margin, step = card.margin or 0, card.step
    inner, beyond = (-(-least // step) * step for least in (INNER, max(margin, INNER)))
    low, high = ([getattr(band, end) for band in (*card.bands, *card.optional)] for end in ("p01", "p99"))
    side = inner + 2 * margin + 2 * beyond
    noise = np.random.default_rng(0).uniform(low, high, (side, side, len(low))).astype(np.float32)
    near = answer(np.ascontiguousarray(noise[beyond : side - beyond, beyond : side - beyond]))
    far = answer(noise)[beyond : side - beyond, beyond : side - beyond]
    own = slice(margin, margin + inner)
    difference = float(np.abs(near[own, own] - far[own, own]).max())
    if not difference <= TOLERANCE:
        raise CardError(
            f"{card.name}: expected answers that do not depend on what lies beyond the card's margin of {margin} px. "
            f"They differ by up to {difference:.2g}. Give a wider margin (and the step, if it halves pixels), or null "
            "where none is wide enough"
        )


def check_pixel_answers(model: PerPixelClassifier) -> None:
    """Try a model on noise, and refuse answers that are no probabilities, or of another shape than its card says.

    Raises:
        CardError: They have another shape.
        ModelError: They are no probabilities.
    """
    card = model.card
    low, high = ([getattr(band, end) for band in (*card.bands, *card.optional)] for end in ("p01", "p99"))
    side = -(-64 // card.step) * card.step if card.margin is not None else card.chip_size
    noise = np.random.default_rng(0).uniform(low, high, (side, side, len(low))).astype(np.float32)
    answers, wanted = model.predict_pixels(noise, card.input_names), (side, side, len(card.legend))
    if answers.shape != wanted:
        raise CardError(
            f"{card.name}: expected answers of shape {wanted} for {side}x{side} px. Received: {answers.shape}. "
            "Correct the card"
        )
    check_answers(answers.reshape(side * side, -1), side * side, card)


@loaded_once(most=4)
def load_pixel_model(
    path: str | Path, sha256: str | None = None, precision: Precision = "float32", device: str = "auto"
) -> KerasPixelModel:
    """Load a model file that answers for each pixel: once a process, and anew where it was replaced.

    Args:
        path: A `.keras` file with a card that says so.
        sha256: Of the weights, if they must be the ones that a plan was made with.
        precision: Number format in which the layers compute; see `KerasPixelModel`.
        device: "auto", "cpu" or "gpu:N"; see `KerasPixelModel`.

    Raises:
        ModelError: It can't be read, its weights are others, or there is no such device.
        CardError: The card is missing or wrong.
        UnsafeModelError: It holds code.
    """
    card = read_card(path)
    if sha256 is not None and card.weights_sha256 != sha256:
        raise ModelError(
            f"{path}: expected weights {sha256[:12]}…. Received: {card.weights_sha256[:12]}…. It has changed"
        )
    return KerasPixelModel(load_model(path), card, precision, device)
