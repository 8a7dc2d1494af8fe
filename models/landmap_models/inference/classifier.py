"""What the pipeline needs of a model, and a fake for tests and dry runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.legend import EUROSAT
from landmap_models.model_file.card import BandProfile, ModelCard

RANGE_TOLERANCE = 1e-3
"""How far a probability may lie outside 0 to 1: what half precision loses."""
SUM_TOLERANCE = 1e-2
"""How far the probabilities of a chip may be from summing to 1."""


class Classifier(Protocol):
    """Tells the class of chips."""

    @property
    def card(self) -> ModelCard:
        """What the classifier wants and means."""

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance.

        The result for a chip depends on nothing but that chip. May be called from several threads.
        """


class WindowClassifier(Classifier, Protocol):
    """Also tells the classes of all windows of a rectangle at once."""

    def predict_windows(self, values: Floats, stride: int) -> Floats:
        """Probabilities `(rows, cols, classes)` of the windows of `values`, `(height, width, bands)` in reflectance.

        The result for a window depends on nothing but that window, and is what `predict` says of its chip, but for
        the rounding.
        """


class PerPixelClassifier(Classifier, Protocol):
    """Answers for each pixel; its card says so (`answers`), and how far its answers reach (`margin`, `step`)."""

    def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """Probabilities `(height, width, classes)` of the pixels of `values`, `(height, width, bands)` in reflectance.

        Args:
            values: Reflectance without gaps; each side is a multiple of the card's step.
            bands: Names of the bands that are there, in the order of the card's `input_names`.
        """


FAKE_CARD = ModelCard(
    name="constant",
    version="1",
    description="Answers the same for every chip.",
    bands=tuple(BandProfile(name, 0.03, 0.09, 0.27, 0.1) for name in ("B04", "B03", "B02")),
    chip_size=64,
    resolution=10.0,
    levels=("L1C", "L2A"),
    reflectance_range=(0.0, 0.275),
    legend=EUROSAT,
    licence="Apache-2.0",
)


@dataclass(frozen=True, slots=True)
class ConstantClassifier:
    """Gives every chip the same class with certainty: the fake behind the `Classifier` seam."""

    class_id: int = 0
    """The answer."""
    card: ModelCard = FAKE_CARD
    """By default for 64 px chips of B04, B03, B02 with EuroSAT's classes, of either product level."""

    def predict(self, chips: Floats) -> Floats:
        """One for the class, zero for the others, `(n, classes)`."""
        return np.tile(np.eye(len(self.card.legend), dtype=np.float32)[self.class_id], (len(chips), 1))


def check_answers(answers: Floats, chips: int, card: ModelCard) -> None:
    """Refuse what would make nonsense of maps and scores: NaN is class 0 to argmax, one row is broadcast to many chips.

    Args:
        answers: What a model said, `(chips, classes)`.
        chips: How many it was asked about.
        card: The model's. Of several classes a chip, each has a probability of its own.

    Raises:
        ModelError: These are no probabilities, or not one row a chip.
    """
    wanted = chips, len(card.legend)
    if np.shape(answers) != wanted:
        raise ModelError(
            f"{card.name}: expected probabilities of shape {wanted} (chips, classes). Received: {np.shape(answers)}. "
            "End the model with a softmax over the classes, one row a chip"
        )
    if not chips:
        return
    low, high = float(np.min(answers)), float(np.max(answers))
    sums = np.sum(answers, axis=1, dtype=np.float64)
    if not (_inside(answers) and (not card.single_label or _adds_up(answers))):
        finite = "" if np.isfinite(sums).all() else f" {int((~np.isfinite(sums)).sum())} of {chips} chips not finite."
        raise ModelError(
            f"{card.name}: expected probabilities from 0 to 1 that sum to 1 for each chip. Received: values "
            f"from {low:g} to {high:g}, sums from {sums.min():g} to {sums.max():g}.{finite} End the model with a "
            "softmax; where it gives the logits of one, `landmap models describe FILE --softmax` does so"
        )


def are_probabilities(answers: Floats) -> bool:
    """Whether answers `(chips, classes)` lie from 0 to 1 and sum to 1 for each chip; NaN does not."""
    return _inside(answers) and _adds_up(answers)


def _inside(answers: Floats) -> bool:
    return bool(((answers >= -RANGE_TOLERANCE) & (answers <= 1 + RANGE_TOLERANCE)).all())


def _adds_up(answers: Floats) -> bool:
    return bool((np.abs(np.sum(answers, axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE).all())


def noise_chips(card: ModelCard, n: int = 8) -> Floats:
    """Chips to try a model on where there are none: noise between the percentiles of its bands.

    Args:
        card: The card of the model.
        n: Number of chips that are drawn.

    Returns:
        Reflectance `(n, chip_size, chip_size, bands)`, the same at each call.
    """
    low, high = ([getattr(band, end) for band in card.bands] for end in ("p01", "p99"))
    shape = n, card.chip_size, card.chip_size, len(card.bands)
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
