"""How the probabilities of a chunk's windows are computed: all that differs between kinds of models.

A new kind is a class with the members of `Method`, and a line in `choose_method`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from landmap.pixels import chip_views
from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier, WindowClassifier, check_answers
from landmap_models.inference.dense import Dense, analyse
from landmap_models.model_file.card import ModelCard

CHIPS_PER_SECOND_AND_CORE = 800
"""Rough rate of the packaged model chip by chip."""
PIXELS_PER_SECOND_AND_CORE = 1_500_000
"""Rough rate of the packaged model in one pass."""
ACTIVATIONS = 2.4
"""Inputs and outputs of a network's largest layer that TensorFlow holds at the same time; fitted to the memory of whole
runs of the packaged network."""


class Method(Protocol):
    """How a model answers for all windows of a chunk."""

    @property
    def text(self) -> str:
        """The method, and what it was chosen for, in words."""

    @property
    def in_one_pass(self) -> bool:
        """Whether the network takes a chunk with all its windows at once, as a rectangle of one shape for all chunks.

        Chunks are then as large as memory allows; otherwise they are whole blocks of the file.
        """

    def bytes_per_pixel(self, itemsize: int) -> float:
        """Bytes that the network needs while predicting, for each pixel of a chunk with its windows.

        Args:
            itemsize: Bytes of a number in the precision that is computed in.
        """

    def seconds(self, windows: float, pixels: float) -> float:
        """Rough time of prediction on one core.

        Args:
            windows: Number of windows.
            pixels: Number of pixels that the network takes, all chunks together.
        """

    def predict(
        self,
        values: Floats,
        weights: Floats,
        classifier: Classifier,
        stride: int,
        *,
        batch_size: int,
        tile: tuple[int, int] | None,
    ) -> Floats:
        """Probabilities of every window of a chunk that has weight.

        Args:
            values: Reflectance `(height, width, bands)`, without gaps.
            weights: Valid share of each window, `(rows, cols)`. Windows of weight 0 need no answer.
            classifier: The model that predicts, as the plan names it or as it was passed in.
            stride: Pixels between windows.
            batch_size: Number of chips that are predicted at once, where they are predicted one by one.
            tile: Height and width in pixels of the rectangle that all chunks are filled up to, where the method takes a
                chunk in one pass; None otherwise.

        Returns:
            `(rows, cols, classes)`; zero for windows of weight 0.

        Raises:
            ModelError: The model's answers are no probabilities, or of another shape.
        """


@dataclass(frozen=True, slots=True)
class ChipByChip:
    """Each window is cut out and predicted as a chip of its own."""

    reason: str = "the classifier is no file of a Keras model"
    """Why the model can't take a chunk in one pass, or need not."""
    in_one_pass = False

    @property
    def text(self) -> str:
        """See `Method`."""
        return f"chip by chip: {self.reason}"

    def bytes_per_pixel(self, itemsize: int) -> float:
        """See `Method`: a batch of chips is small beside the pixels of a chunk."""
        return 0

    def seconds(self, windows: float, pixels: float) -> float:
        """See `Method`."""
        return windows / CHIPS_PER_SECOND_AND_CORE

    def predict(
        self,
        values: Floats,
        weights: Floats,
        classifier: Classifier,
        stride: int,
        *,
        batch_size: int,
        tile: tuple[int, int] | None,
    ) -> Floats:
        """See `Method`."""
        chips = chip_views(values, classifier.card.chip_size, stride)
        out = np.zeros((*weights.shape, len(classifier.card.legend)), np.float32)
        rows, cols = np.nonzero(weights)
        for start in range(0, len(rows), batch_size):
            place = rows[start : start + batch_size], cols[start : start + batch_size]
            answers = classifier.predict(np.ascontiguousarray(chips[place]))
            check_answers(answers, len(place[0]), classifier.card)
            out[place] = answers
        return out


@dataclass(frozen=True, slots=True)
class DenseInOnePass:
    """A network without padding answers for all windows of a chunk in one pass, exactly as for each chip."""

    network: Dense
    """What the dense network is like."""
    in_one_pass = True
    text = "dense: every window of a chunk in one pass"

    def bytes_per_pixel(self, itemsize: int) -> float:
        """See `Method`."""
        return ACTIVATIONS * self.network.bytes_per_pixel(itemsize)

    def seconds(self, windows: float, pixels: float) -> float:
        """See `Method`."""
        return pixels / PIXELS_PER_SECOND_AND_CORE

    def predict(
        self,
        values: Floats,
        weights: Floats,
        classifier: Classifier,
        stride: int,
        *,
        batch_size: int,
        tile: tuple[int, int] | None,
    ) -> Floats:
        """See `Method`. The classifier is a `WindowClassifier`."""
        assert tile is not None
        whole = np.zeros((*tile, values.shape[-1]), np.float32)
        whole[: values.shape[0], : values.shape[1]] = values
        rows, cols = weights.shape
        answers = cast(WindowClassifier, classifier).predict_windows(whole, stride)[:rows, :cols]
        check_answers(answers.reshape(rows * cols, -1), rows * cols, classifier.card)
        return np.where(weights[..., None] > 0, answers, np.float32(0))


def choose_method(config: Mapping[str, Any] | None, card: ModelCard, stride: int) -> Method:
    """The fastest method that gives the model's own answers.

    Args:
        config: The Keras model's configuration (`read_config`); None for a classifier that is no file.
        card: The model's card.
        stride: Pixels between windows.
    """
    if config is None:
        return ChipByChip()
    if stride >= card.chip_size:
        return ChipByChip("windows do not overlap")
    network = analyse(config, card.chip_size, stride)
    return ChipByChip(network) if isinstance(network, str) else DenseInOnePass(network)


def check_task(card: ModelCard) -> None:
    """Refuse a model whose answers make no map.

    Raises:
        ModelError: The model gives a chip several classes.
    """
    if not card.single_label:
        raise ModelError(
            f"{card.name}: expected a single-label model, as a pixel of a map has one class. Received: {card.task}. "
            "Such a model tells which classes are in a chip: landmap evaluate measures it"
        )
