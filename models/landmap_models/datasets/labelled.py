"""Labelled chips in the terms of a model: labels in its order of classes, pixels in its bands and size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.errors import DatasetError
from landmap_models.model_file.card import ModelCard

FEW = 30
"""Number of chips of a class below which a warning calls its numbers uncertain."""


class LabelledChips(Protocol):
    """A data set that can be evaluated, such as a `datasets.chips.ChipFolder`."""

    @property
    def root(self) -> Path:
        """The folder, zip file or CSV file."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the chips, `(n,)`."""

    @property
    def labels(self) -> Sequence[Any]:
        """Id of the class of each chip, or, where chips may have several classes, a tuple of ids."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of their ids, which need not be that of the model."""

    def subset(self, indices: npt.NDArray[np.intp]) -> LabelledChips:
        """The chips at these positions, in this order."""

    def reflectance(self) -> Floats:
        """Read all chips as reflectance, `(n, height, width, bands)`."""


def match_labels(chips: LabelledChips, card: ModelCard) -> npt.NDArray[np.intp]:
    """Convert labels to the class ids of a model, by the names of the classes.

    Returns:
        Ids `(n,)`; for a multi-label model 0 and 1, `(n, classes)`.

    Raises:
        DatasetError: The model lacks a class, or chips have several classes and the model predicts one.
    """
    legend = card.legend
    unknown = [name for name in chips.class_names if name not in legend.names]
    if unknown:
        raise DatasetError(
            f"{chips.root}: the model doesn't know the class{'es' * (len(unknown) > 1)} {', '.join(unknown)}. Expected "
            f"classes out of: {', '.join(legend.names)}. Received: {', '.join(chips.class_names)}. Rename the folders"
        )
    ids = np.array([legend.names.index(name) for name in chips.class_names])
    several = np.ndim(chips.labels[0]) > 0
    if not card.single_label:
        flags = np.zeros((len(chips.files), len(legend)), np.intp)
        for row, label in zip(flags, chips.labels, strict=True):
            row[ids[np.atleast_1d(label)]] = 1
        return flags
    if several:
        raise DatasetError(
            f"{chips.root}: expected one class a chip, as {card.name} knows. Received: several classes a chip. "
            "Evaluate a multi-label model on them"
        )
    return ids[np.asarray(chips.labels, np.intp)]


def read_chips(chips: LabelledChips, card: ModelCard) -> Floats:
    """Read chips as a model takes them: reflectance `(n, chip_size, chip_size, bands)`.

    Raises:
        DatasetError: The chips are of another size, or have other bands.
    """
    values = chips.reflectance()
    wanted = (card.chip_size, card.chip_size, len(card.bands))
    if values.shape[1:] != wanted:
        raise DatasetError(
            f"{chips.root}: {card.name} expects chips of (height, width, bands) {wanted}, bands "
            f"{', '.join(card.band_names)}. Received: {values.shape[1:]} in {chips.files[0]}"
        )
    return values


def loose_classes(labels: npt.NDArray[np.intp], names: tuple[str, ...]) -> list[str]:
    """Warn of classes with few chips or none.

    Args:
        labels: Class ids `(n,)`, or 0 and 1 `(n, classes)`.
        names: Class names in the order of their ids.
    """
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    few = [f"{name} {count}" for name, count in zip(names, counts, strict=True) if 0 < count < FEW]
    none = [name for name, count in zip(names, counts, strict=True) if not count]
    found = [f"Fewer than {FEW} chips of {', '.join(few)}: the numbers of these classes are loose."] if few else []
    return found + ([f"No chips of {', '.join(none)}: averages leave these classes out."] if none else [])


def left_out(chips: LabelledChips) -> list[str]:
    """Warn of files of a data set that were left out."""
    skipped: Sequence[str] = getattr(chips, "skipped", ())
    return [f"{len(skipped):,} files were left out: {'; '.join(skipped[:3])}"] if skipped else []
