"""The answer for single chips: the average of all networks for chips that a model file holds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import CardError, ModelError
from landmap_models.inference.classifier import Classifier
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.inference.loading import load_further
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.chips import ChipPart

FURTHER_BATCH = 32
"""Chips that a further network is given at once: it is slow, and batches are filled up."""


class ChipAverage:
    """A `Classifier` that averages the probabilities of two; see `landmap_models.model_file.chips`."""

    def __init__(self, first: Classifier, further: Classifier, weight: float) -> None:
        """Keep both classifiers.

        Args:
            first: The network that maps are made with.
            further: The further network, of the same bands and classes.
            weight: Share of the further network's probabilities, 0 to 1.
        """
        self._first, self._further, self._weight = first, further, np.float32(weight)

    @property
    def card(self) -> ModelCard:
        """That of the model file."""
        return self._first.card

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance."""
        first, further = self._first.predict(chips), self._further.predict(chips)
        return first * (1 - self._weight) + further * self._weight


def load_chip_classifier(path: str | Path, sha256: str | None = None, batch_size: int = 256) -> Classifier:
    """Load all that a model file has to say of single chips.

    Args:
        path: A `.keras` file with a card.
        sha256: Of the weights, if they must be certain ones.
        batch_size: Chips predicted at once.

    Raises:
        ModelError: It can't be read, its weights are others, or a network is not the one that the card describes.
        CardError: The card is missing or wrong.
        UnsafeModelError: It holds code.
    """
    first = load_classifier(path, sha256, batch_size)
    part = first.card.chips
    if part is None:
        return first
    model = _load_further(path, part)
    try:
        further = KerasClassifier(model, first.card, min(batch_size, FURTHER_BATCH))
    except (CardError, ModelError) as error:
        raise ModelError(f"{path}: the further network for chips: {error}") from error
    return ChipAverage(first, further, part.weight)


@lru_cache(maxsize=2)
def _load_further(path: str | Path, part: ChipPart) -> Any:
    return load_further(path, part)
