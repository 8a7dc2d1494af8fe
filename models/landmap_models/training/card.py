"""The card of a trained model: data, settings, log and metrics of the training."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from landmap_models.datasets.chips import ChipFolder
from landmap_models.datasets.coordinates import read_coordinates
from landmap_models.datasets.ground import Ground, grounds_at
from landmap_models.datasets.splits import Split
from landmap_models.legend import legend_for
from landmap_models.metrics.metrics import measure
from landmap_models.model_file.archive import SPLIT_MEMBER, read_card
from landmap_models.model_file.card import BandProfile, ModelCard, task_of
from landmap_models.model_file.packaged import find_model
from landmap_models.training.checkpoints import LogRow
from landmap_models.training.settings import TrainSettings

PROFILE_CHIPS = 2000
"""Number of chips, evenly spread over the training part, from which the band profiles are computed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of a training."""

    test: npt.NDArray[np.float32]
    """Probabilities predicted for the test part, `(n, classes)`."""
    log: Sequence[LogRow]
    """Losses and metrics, one row an epoch."""
    augmentation: str
    """Augmentations with their settings, in words."""
    temperature: float
    """Temperature by which the logits were divided."""
    thresholds: tuple[float, ...] | None
    """Threshold of each class for a multi-label model; None otherwise."""


def make_card(model: keras.Model, split: Split, settings: TrainSettings, outcome: Outcome) -> ModelCard:
    """Make the card of a trained network."""
    chips, backend = split.test, keras.backend.backend()
    return ModelCard(
        name=settings.name,
        version="1",
        description=f"{settings.description} Architecture {model.name}, {model.count_params():,} parameters.",
        bands=band_profiles(split.train),
        chip_size=model.input_shape[1],
        resolution=10.0,
        levels=(settings.level,),
        reflectance_range=_range(chips, settings),
        legend=legend_for(chips.class_names),
        licence=settings.licence,
        task=task_of(multi_label=chips.multi_label),
        thresholds=outcome.thresholds,
        training=_training(split, settings, outcome),
        metrics={"split": f"test ({_method(split, settings)})"} | _measured(chips, outcome),
        versions={"keras": keras.__version__, backend: import_module(backend).__version__},
    )


def _range(chips: ChipFolder, settings: TrainSettings) -> tuple[float, float]:
    """The range of reflectance to which the network clips: that of its first training, if it is fine-tuned."""
    if settings.start_from is not None:
        return read_card(find_model(settings.start_from)).reflectance_range
    return 0.0, chips.reflectance_max


def _measured(chips: ChipFolder, outcome: Outcome) -> dict[str, Any]:
    labels = chips.targets() if chips.multi_label else np.asarray(chips.labels)
    return measure(labels, outcome.test, chips.class_names, outcome.thresholds)


def _training(split: Split, settings: TrainSettings, outcome: Outcome) -> dict[str, Any]:
    return {
        "data": split.train.root.name,
        "skipped": len(split.train.skipped),
        "augmentation": outcome.augmentation,
        "split": {
            "method": _method(split, settings),
            "seed": settings.seed,
            "parts": {n: {"chips": len(p), "sha256": p.fingerprint()} for n, p in split.parts().items()},
            "member": SPLIT_MEMBER,
            "warnings": list(split.warnings),
        },
        "settings": settings.to_content(),
        "temperature": round(outcome.temperature, 4),
        "log": list(outcome.log),
    }


def _method(split: Split, settings: TrainSettings) -> str:
    if split.train.parts is not None:
        return "as the data set comes"
    if settings.split == "spatial":
        return f"spatial, blocks of {settings.block_km:g} km, {settings.buffer:g} chips between parts"
    return "stratified, random"


def band_profiles(chips: ChipFolder) -> tuple[BandProfile, ...]:
    """Compute percentiles and mean of the reflectance of chips in each band."""
    chosen = np.unique(np.linspace(0, len(chips) - 1, PROFILE_CHIPS).astype(np.intp))
    values = chips.subset(chosen).reflectance()
    return tuple(_profile(name, values[..., place]) for place, name in enumerate(chips.bands))


def _profile(name: str, values: npt.NDArray[np.float32]) -> BandProfile:
    low, median, high = np.percentile(values, (1, 50, 99)).round(4).tolist()
    return BandProfile(name, low, median, high, round(float(values.mean(dtype=np.float64)), 4))


def split_table(split: Split, settings: TrainSettings) -> str:
    """Write part, digest of the pixels and ground of each chip as CSV text, by which an evaluation recognises them."""
    columns = "file,split,pixels,crs,x,y,width,height"
    rows = sorted(row for name, part in split.parts().items() for row in _rows(name, part, settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns.split(","), *rows])
    return text.getvalue()


def _rows(name: str, part: ChipFolder, settings: TrainSettings) -> list[list[str]]:
    grounds: Sequence[Ground | None] = part.grounds or [None] * len(part)
    if settings.coordinates is not None:
        grounds = grounds_at(read_coordinates(settings.coordinates, part), part.shape)
    digests = part.digests or [""] * len(part)
    return [
        [file, name, digest, *(map(str, dataclasses.astuple(ground)) if ground else [""] * 5)]
        for file, digest, ground in zip(part.files, digests, grounds, strict=True)
    ]
