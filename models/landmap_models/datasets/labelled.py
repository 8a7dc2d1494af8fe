"""Labelled chips as a model sees them: their labels in its order of classes, their pixels in its size."""

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
"""Chips of a class below which its numbers are called loose."""


class LabelledChips(Protocol):
    """What an evaluation needs of a data set; `datasets.ChipFolder` is one."""

    @property
    def root(self) -> Path:
        """Where it lies."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the chips, `(n,)`."""

    @property
    def labels(self) -> Sequence[Any]:
        """For each chip the id of its class, or, where chips may have several classes, a tuple of ids."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by id; their order need not be the model's."""

    def subset(self, indices: npt.NDArray[np.intp]) -> LabelledChips:
        """The chips at these positions, in this order."""

    def reflectance(self) -> Floats:
        """All chips, `(n, height, width, bands)`."""


def match_labels(chips: LabelledChips, card: ModelCard) -> npt.NDArray[np.intp]:
    """Labels as the model counts its classes: ids `(n,)`, or 0 and 1 `(n, classes)` for a multi-label model.

    Raises:
        DatasetError: The model doesn't know a class, or chips have several and the model one.
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
    """Reflectance `(n, chip_size, chip_size, bands)`.

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
    """Warnings about classes with few chips, or none."""
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    few = [f"{name} {count}" for name, count in zip(names, counts, strict=True) if 0 < count < FEW]
    none = [name for name, count in zip(names, counts, strict=True) if not count]
    told = [f"Fewer than {FEW} chips of {', '.join(few)}: the numbers of these classes are loose."] if few else []
    return told + ([f"No chips of {', '.join(none)}: averages leave these classes out."] if none else [])


def left_out(chips: LabelledChips) -> list[str]:
    """What to say where files of a data set were skipped."""
    skipped: Sequence[str] = getattr(chips, "skipped", ())
    return [f"{len(skipped):,} files were left out: {'; '.join(skipped[:3])}"] if skipped else []
