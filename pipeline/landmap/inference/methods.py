"""How the probabilities of a chunk's windows are computed: all that differs between kinds of models.

A new kind is a class with the members of `Method`, and a line in `choose_method`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from landmap.pixels import chip_views
from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier, PerPixelClassifier, WindowClassifier, check_answers
from landmap_models.inference.dense import Dense, analyse
from landmap_models.model_file.card import ModelCard

CHIPS_PER_SECOND_AND_CORE = 800
"""Rough rate of the packaged model chip by chip."""
PIXELS_PER_SECOND_AND_CORE = 1_500_000
"""Rough rate of the packaged model in one pass."""
PER_PIXEL_AND_CORE = 300_000
"""Rough rate, in pixels a second, of networks that answer for each pixel: that of Dynamic World."""
LONGEST = 512
"""Most pixels along the side of a window of a model that answers for each pixel, without its margin."""
FLOATS_PER_PIXEL = 700
"""Numbers that TensorFlow holds at the same time for each pixel of such a window; measured with Dynamic World."""
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

    @property
    def per_pixel(self) -> bool:
        """Whether answers are those of single pixels and not of windows."""

    def window_bytes(self, itemsize: int) -> int:
        """Bytes that the network needs for a window, where it takes windows of pixels one by one; otherwise 0.

        Args:
            itemsize: Bytes of a number in the precision that is computed in.
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
            `(rows, cols, classes)`; zero for windows of weight 0. Of a method that is `per_pixel`, those of the pixels
            that the windows cover without their margin, `(height, width, classes)`; zero where no window has weight.

        Raises:
            ModelError: The model's answers are no probabilities, or of another shape.
        """


@dataclass(frozen=True, slots=True)
class ChipByChip:
    """Each window is cut out and predicted as a chip of its own."""

    reason: str = "the classifier is no file of a Keras model"
    """Why the model can't take a chunk in one pass, or need not."""
    in_one_pass = False
    per_pixel = False

    @property
    def text(self) -> str:
        """See `Method`."""
        return f"chip by chip: {self.reason}"

    def window_bytes(self, itemsize: int) -> int:
        """See `Method`."""
        return 0

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
    per_pixel = False
    text = "dense: every window of a chunk in one pass"

    def window_bytes(self, itemsize: int) -> int:
        """See `Method`."""
        return 0

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


@dataclass(frozen=True, slots=True)
class EachPixel:
    """A model answers for each pixel of windows that lie at the same places of the scene however that is cut.

    So a pixel is always computed from the same numbers by the same kernels, and its answer is the same to the last bit
    in any chunk, also in a reduced precision. With a finite margin windows lie side by side, and of each window only
    what is further from its edge than the margin is used. Otherwise they overlap by half and are blended, with weights
    that fall from a window's middle to its edge.
    """

    size: int
    """Height and width of a window in pixels, without its margin."""
    margin: int | None
    """Pixels around a window that the network is given, too; None: windows overlap by half."""
    bands: tuple[str, ...]
    """Names of the bands that the scene has, in the order of the model's input."""
    in_one_pass = False
    per_pixel = True

    @property
    def stride(self) -> int:
        """Pixels between windows."""
        return self.size if self.margin is not None else self.size // 2

    @property
    def given(self) -> int:
        """Height and width in pixels of what the network is given."""
        return self.size + 2 * (self.margin or 0)

    @property
    def text(self) -> str:
        """See `Method`."""
        how = "overlap by half and are blended" if self.margin is None else f"get {self.margin} px around them"
        return f"each pixel from {', '.join(self.bands)}, in windows of {self.size} px that {how}"

    def window_bytes(self, itemsize: int) -> int:
        """See `Method`."""
        return FLOATS_PER_PIXEL * itemsize * self.given**2

    def bytes_per_pixel(self, itemsize: int) -> float:
        """See `Method`: probabilities are counted by the plan."""
        return 0

    def seconds(self, windows: float, pixels: float) -> float:
        """See `Method`."""
        return windows * self.given**2 / PER_PIXEL_AND_CORE

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
        """See `Method`. The classifier is a `PerPixelClassifier`."""
        rows, cols = ((n - 1) * stride + self.size for n in weights.shape)
        total = np.zeros((rows, cols, len(classifier.card.legend)), np.float32)
        share = np.zeros((rows, cols, 1), np.float32)
        taper = None if self.margin is not None else _taper(self.size)
        for row, col in np.argwhere(weights) * stride:  # in one order, so that sums are the same in any chunk
            own = np.s_[row : row + self.size, col : col + self.size]
            answers = self._window(values[row : row + self.given, col : col + self.given], classifier)
            if taper is None:
                total[own] = answers
            else:
                total[own] += answers * taper
                share[own] += taper
        return total if taper is None else np.divide(total, share, out=total, where=share > 0)

    def _window(self, values: Floats, classifier: Classifier) -> Floats:
        """Probabilities of a window's pixels without its margin, `(size, size, classes)`."""
        model, inner = cast(PerPixelClassifier, classifier), slice(self.margin or 0, (self.margin or 0) + self.size)
        answers = model.predict_pixels(np.ascontiguousarray(values), self.bands)[inner, inner]
        check_answers(answers.reshape(-1, answers.shape[-1]), self.size**2, model.card)
        return answers


def _taper(size: int) -> Floats:
    """Weights of a window's pixels, `(size, size, 1)`: those of windows that overlap by half add up to 1."""
    along = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(along, along).astype(np.float32)[..., None]


def each_pixel(card: ModelCard, available: Collection[str], height: int, width: int) -> EachPixel:
    """The method of a model that answers for each pixel.

    The side of its windows depends on the scene alone, so that the map does not depend on chunks and memory.

    Args:
        card: The model's card.
        available: Names of the bands that the scene has.
        height: Rows of the scene.
        width: Columns of the scene.
    """
    bands = tuple(name for name in card.input_names if name in available)
    if card.margin is None:
        return EachPixel(card.chip_size, None, bands)
    step, margin = card.step, card.margin
    longest = -(-max(height, width) // step) * step
    sides = [longest] if longest <= LONGEST else [*range(LONGEST // step * step, LONGEST * 3 // 4, -step), step]
    # Of sides of like length, that of which the scene is filled with the least left over.
    best = min(
        sides, key=lambda side: math.prod(-(-length // side) * (side + 2 * margin) for length in (height, width))
    )
    return EachPixel(best, margin, bands)


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
