"""What the pipeline needs of a model, and a fake for tests and dry runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from landmap_models.card import BandProfile, ModelCard
from landmap_models.legend import EUROSAT

Floats = npt.NDArray[np.float32]


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
