"""A Keras model as a `Classifier`: the only place that runs TensorFlow for inference."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import CardError, ModelError
from landmap_models.inference.graphs import Graphs, graphs_of
from landmap_models.inference.loading import load_model
from landmap_models.inference.once import loaded_once
from landmap_models.inference.pixel_network import PixelNetwork, load_pixel_network
from landmap_models.inference.tensorflow import CPU, POLICIES, Precision, find_device, frozen_network
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard

GRAPHS_KEPT = 4
"""Of a classifier; each holds the weights once more."""


class KerasClassifier:
    """Runs a Keras model on chips, or on every window of a rectangle at once, by graphs of one fixed input shape each.

    Every batch has `batch_size` chips, the last one filled up: nothing is traced twice, and a chip's result is the
    same to the last bit whatever chips it is predicted with, because the same kernels run.
    """

    def __init__(
        self,
        model: Any,
        card: ModelCard,
        batch_size: int = 256,
        precision: Precision = "float32",
        device: str = "auto",
        path: str | Path | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        """Wrap a `keras.Model`.

        Args:
            model: With the input and output that the card says; None: it is loaded from `path` where `graphs` lack one.
            card: The card of the model.
            batch_size: Chips predicted at once.
            precision: In which all layers compute but those up to the first with weights, and the last; these stay
                float32 (`layout.exact_layers`).
            device: "auto", "cpu" or "gpu:N"; see `tensorflow.find_device`.
            path: The model's file, from which its network for pixels is loaded when it is first asked; None where the
                card tells of none.
            graphs: Frozen graphs of that file; None: they are kept in memory.

        Raises:
            CardError: The model's input or output is not what the card says.
            ModelError: There is no such device.
        """
        if model is not None:
            _check_shapes(model, card)
        self.card = card
        self.batch_size = batch_size
        self.precision = precision
        self.device = find_device(device)
        self._loaded, self._path = model, path
        self._graphs = graphs or Graphs()
        self._pixel_networks: dict[tuple[str, ...], PixelNetwork] = {}
        self._networks: dict[int | None, Any] = {}
        self._frozen: dict[tuple[int, ...], Callable[[Floats], Floats]] = {}
        self._lock = Lock()
        self._running = Lock()

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self._model.count_params())

    @property
    def _model(self) -> Any:
        if self._loaded is None:
            assert self._path is not None  # for lack of a model
            self._loaded = _load(self._path, self.card.weights_sha256)
        return self._loaded

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance."""
        shape = self.batch_size, self.card.chip_size, self.card.chip_size, len(self.card.bands)
        run = self._network(shape)
        out = np.empty((len(chips), len(self.card.legend)), np.float32)
        for start in range(0, len(chips), self.batch_size):
            batch = chips[start : start + self.batch_size]
            full = np.zeros(shape, np.float32)
            full[: len(batch)] = batch
            out[start : start + len(batch)] = self._run(run, full)[: len(batch)]
        return out

    def predict_windows(self, values: Floats, stride: int) -> Floats:
        """Probabilities of every window of a rectangle, in one pass.

        Args:
            values: Reflectance, `(height, width, bands)`; each side is the chip size and a multiple of the stride. For
                each new shape a graph is made, which takes about as long as to run it.
            stride: Pixels between windows.

        Returns:
            `(rows, cols, classes)`, as `predict` would answer to the chips cut there, but for the rounding.

        Raises:
            ModelError: The network can't run like that; see `dense`.
        """
        answers: Floats = self._run(self._network((1, *values.shape), stride), values[None])[0]
        return answers

    def pixel_factors(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """What the network for pixels says of each class of the legend, `(classes, height, width)`; see `PixelPart`.

        It computes in the classifier's precision, or in float32 if that is for chips only.

        Args:
            values: Reflectance of these bands, `(height, width, bands)`; each side is a multiple of the part's step.
                For each new shape a graph is made, which takes about a second.
            bands: Names of the bands that are there, in the order of the card's `pixels.bands`.

        Raises:
            ModelError: The model has no such network.
        """
        part = self.card.pixels
        if part is None or self._path is None:
            raise ModelError(f"{self.card.name}: expected a model with a network for pixels. This one has none")
        with self._lock:
            if bands not in self._pixel_networks:
                load = partial(load_pixel_network, self._path, part)
                there = part.flags(bands)
                precision: Precision = "float32" if self.precision.endswith("-chips") else self.precision
                self._pixel_networks[bands] = PixelNetwork(load, part, there, precision, self.device, self._graphs)
            network = self._pixel_networks[bands]
        return self._run(network.factors, values)

    def _run(self, network: Callable[[Floats], Floats], values: Floats) -> Floats:
        """Answers of a graph: one at a time, as each uses all cores; other threads read, blend and write meanwhile."""
        with self._running:
            return network(values)

    def _network(self, shape: tuple[int, ...], stride: int | None = None) -> Callable[[Floats], Floats]:
        """The graph for this shape; the last few are kept."""
        with self._lock:
            key = (*shape, stride or 0)
            if key not in self._frozen:
                while len(self._frozen) >= GRAPHS_KEPT:
                    del self._frozen[next(iter(self._frozen))]
                name = f"chips-{shape[0]}" if stride is None else f"windows-{stride}"
                self._frozen[key] = frozen_network(
                    lambda _: self._prepared(stride),
                    shape,
                    self.device,
                    self._graphs,
                    f"{name}-{self.precision}",
                    any_size=stride is not None,
                )
            return self._frozen[key]

    def _prepared(self, stride: int | None) -> Any:
        """A copy of the network as inference wants it; made for windows if there is a stride."""
        if stride not in self._networks:
            self._networks[stride] = self._prepare(stride)
        return self._networks[stride]

    def _prepare(self, stride: int | None) -> Any:
        model = self._model  # first: it is loaded quietly
        from landmap_models.architectures.layout import in_precision
        from landmap_models.inference.dense import dense_model
        from landmap_models.inference.fold_norm import fold_norm

        network = fold_norm(model)
        if stride is not None:
            network = dense_model(network, stride)
        if self.precision == "float32":
            return network
        return in_precision(network, POLICIES[self.precision], exact_input=True)


def _check_shapes(model: Any, card: ModelCard) -> None:
    size, bands, classes = check_form(model, card.name)
    wanted, got = (card.chip_size, len(card.bands), len(card.legend)), (size, bands, classes)
    if got != wanted:
        names = "chips of {0}x{0} px, {1} bands, {2} classes"
        raise CardError(
            f"{card.name}: the card says input and output are {names.format(*wanted)}. The model has "
            f"{names.format(*got)}. Correct the card"
        )


def check_form(model: Any, name: str) -> tuple[int, int, int]:
    """Chip size, number of bands and number of classes of a model that maps can be drawn with.

    Args:
        model: A loaded `keras.Model`.
        name: The model's, for errors.

    Raises:
        ModelError: It has several inputs or outputs, takes chips of any size or that are not square, or answers with
            something else than one row a chip.
    """
    given, answered = _shapes(model, "inputs"), _shapes(model, "outputs")
    if len(given) != 1 or len(answered) != 1:
        raise ModelError(
            f"{name}: expected a model of one input and one output. Received: {len(given)} inputs {given} and "
            f"{len(answered)} outputs {answered}. Save the part from one to the other: keras.Model(input, output)"
        )
    (shape,), (answer,) = given, answered
    if len(shape) != 4 or None in shape[1:] or shape[1] != shape[2]:
        raise ModelError(
            f"{name}: expected chips as input, (height, width, bands) of a fixed square size with the bands last. "
            f"Received: {shape[1:]}. Build the model for one size: keras.Input((64, 64, bands))"
        )
    if len(answer) != 2 or answer[1] is None:
        per_pixel = " Pixel by pixel is another kind of model." if len(answer) == 4 else ""
        raise ModelError(
            f"{name}: expected one row of probabilities a chip as output, (classes,). Received: {answer[1:]}."
            f"{per_pixel} End the model with a global pooling and a dense layer of one unit a class"
        )
    return int(shape[1]), int(shape[3]), int(answer[1])


def _shapes(model: Any, name: str) -> list[tuple[Any, ...]]:
    """Shapes of all inputs or outputs; none where the model was never built."""
    try:
        return [tuple(tensor.shape) for tensor in getattr(model, name)]
    except (AttributeError, TypeError, ValueError):
        return []


@loaded_once(most=4)
def load_classifier(
    path: str | Path,
    sha256: str | None = None,
    batch_size: int = 256,
    precision: Precision = "float32",
    device: str = "auto",
) -> KerasClassifier:
    """Load a model file; the same one is loaded once a process, and anew where it was replaced.

    Args:
        path: A `.keras` file with a card.
        sha256: Of the weights, if they must be the ones that a plan was made with.
        batch_size: Chips predicted at once.
        precision: Number format in which the layers compute; see `KerasClassifier`.
        device: "auto", "cpu" or "gpu:N"; see `KerasClassifier`.

    Raises:
        ModelError: It can't be read, its weights are others, or there is no such device.
        CardError: The card is missing or wrong.
        UnsafeModelError: It holds code.
    """
    card, graphs = _card(path, sha256), graphs_of(path)
    if card.per_pixel:
        raise ModelError(f"{path}: expected a model of chips. {card.name} answers for each pixel: landmap classify")
    checked = find_device(device) == CPU and graphs.any_stored
    model = None if checked else _load(path, card.weights_sha256)
    return KerasClassifier(model, card, batch_size, precision, device, path, graphs)


@lru_cache(maxsize=2)
def _load(path: str | Path, sha256: str) -> Any:
    """The model of a file, once for all precisions: a classifier changes nothing in it."""
    card, model = _card(path, sha256), load_model(path)
    _check_shapes(model, card)
    return model


def _card(path: str | Path, sha256: str | None) -> ModelCard:
    """The card of a file, whose weights are those that are expected."""
    card = read_card(path)
    if sha256 is not None and card.weights_sha256 != sha256:
        raise ModelError(
            f"{path}: expected weights {sha256[:12]}…. Received: {card.weights_sha256[:12]}…. It has changed"
        )
    return card
