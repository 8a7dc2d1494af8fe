"""The card of a trained model: data, settings, log and metrics of the training."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from landmap_models.datasets.chips import ChipFolder
from landmap_models.datasets.coordinates import read_coordinates
from landmap_models.datasets.ground import Ground, grounds_at
from landmap_models.datasets.images import LabelledImages
from landmap_models.datasets.split_leaks import LabelledData
from landmap_models.datasets.splits import Split
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import SPLIT_MEMBER, read_card
from landmap_models.model_file.card import BandProfile, ModelCard, task_of
from landmap_models.model_file.packaged import find_model
from landmap_models.training.checkpoints import LogRow
from landmap_models.training.pixels import reach, window_of
from landmap_models.training.settings import TrainSettings

PROFILE_CHIPS = 2000
"""Number of chips, evenly spread over the training part, from which the band profiles are computed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of a training."""

    metrics: Mapping[str, Any]
    """Metrics of the predictions for the test part, as cards record them."""
    log: Sequence[LogRow]
    """Losses and metrics, one row an epoch."""
    augmentation: str
    """Augmentations with their settings, in words."""
    temperature: float
    """Temperature by which the logits were divided."""
    thresholds: tuple[float, ...] | None
    """Threshold of each class for a multi-label model; None otherwise."""


def make_card(model: keras.Model, split: Split[Any], settings: TrainSettings, outcome: Outcome) -> ModelCard:
    """Make the card of a trained network."""
    data, backend = split.test, keras.backend.backend()
    entries = _of_pixels(split, settings) if isinstance(data, LabelledImages) else _of_chips(model, split, settings)
    return ModelCard(
        name=settings.name,
        version="1",
        resolution=10.0,
        levels=(settings.level,),
        reflectance_range=_range(data, settings),
        legend=legend_for(data.class_names),
        licence=settings.licence,
        thresholds=outcome.thresholds,
        training=_training(split, settings, outcome),
        metrics={"split": f"test ({_method(split, settings)})"} | dict(outcome.metrics),
        versions={"keras": keras.__version__, backend: import_module(backend).__version__},
        **entries | {"description": f"{entries['description']} {_network(model)}"},
    )


def _network(model: keras.Model) -> str:
    return f"Architecture {model.name}, {model.count_params():,} parameters."


def _of_chips(model: keras.Model, split: Split[ChipFolder], settings: TrainSettings) -> dict[str, Any]:
    """Entries of the card of a model that answers for chips."""
    return {
        "description": settings.description or "The class of 64x64 px chips.",
        "bands": band_profiles(split.train),
        "chip_size": model.input_shape[1],
        "task": task_of(multi_label=split.train.multi_label),
    }


def _of_pixels(split: Split[LabelledImages], settings: TrainSettings) -> dict[str, Any]:
    """Entries of the card of a model that answers for each pixel."""
    images = split.train
    profiles = band_profiles_of(images.sample(settings.seed), images.bands)
    needed = len(images.bands) - len(settings.optional_bands)
    margin, step = reach(settings)
    return {
        "description": settings.description or "The class of each pixel of 10 m.",
        "bands": profiles[:needed],
        "optional": profiles[needed:],
        "chip_size": window_of(images, settings),
        "answers": "pixel",
        "margin": margin,
        "step": step,
    }


def _range(data: ChipFolder | LabelledImages, settings: TrainSettings) -> tuple[float, float]:
    """The range of reflectance to which the network clips: that of its first training, if it is fine-tuned."""
    if settings.start_from is not None:
        return read_card(find_model(settings.start_from)).reflectance_range
    return 0.0, data.reflectance_max


def _training(split: Split[Any], settings: TrainSettings, outcome: Outcome) -> dict[str, Any]:
    return {
        "data": split.train.root.name,
        **({"mask_ids": _mask_ids(split.train)} if isinstance(split.train, LabelledImages) else {}),
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


def _mask_ids(images: LabelledImages) -> dict[str, int] | None:
    """Ids of the classes in masks, by name; None where masks hold probabilities."""
    return None if images.ids is None else dict(zip(images.class_names, images.ids, strict=True))


def _method(split: Split[Any], settings: TrainSettings) -> str:
    if split.train.parts is not None:
        return "as the data set comes"
    if settings.split == "spatial":
        return f"spatial, blocks of {settings.block_km:g} km, {settings.buffer:g} chips between parts"
    return "stratified, random"


def band_profiles(chips: ChipFolder) -> tuple[BandProfile, ...]:
    """Compute percentiles and mean of the reflectance of chips in each band."""
    chosen = np.unique(np.linspace(0, len(chips) - 1, PROFILE_CHIPS).astype(np.intp))
    return band_profiles_of(chips.subset(chosen).reflectance(), chips.bands)


def band_profiles_of(values: npt.NDArray[np.float32], bands: Sequence[str]) -> tuple[BandProfile, ...]:
    """Compute percentiles and mean of reflectance `(..., bands)` in each band."""
    return tuple(_profile(name, values[..., place]) for place, name in enumerate(bands))


def _profile(name: str, values: npt.NDArray[np.float32]) -> BandProfile:
    low, median, high = np.percentile(values, (1, 50, 99)).round(4).tolist()
    return BandProfile(name, low, median, high, round(float(values.mean(dtype=np.float64)), 4))


def split_table(split: Split[Any], settings: TrainSettings) -> str:
    """Write part, digest of the pixels and ground of each chip as CSV text, by which an evaluation recognises them."""
    columns = "file,split,pixels,crs,x,y,width,height"
    rows = sorted(row for name, part in split.parts().items() for row in _rows(name, part, settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns.split(","), *rows])
    return text.getvalue()


def _rows(name: str, part: LabelledData, settings: TrainSettings) -> list[list[str]]:
    grounds: Sequence[Ground | None] = part.grounds or [None] * len(part)
    if settings.coordinates is not None:
        grounds = grounds_at(read_coordinates(settings.coordinates, part), part.shape)
    digests = part.digests or [""] * len(part)
    return [
        [file, name, digest, *(map(str, dataclasses.astuple(ground)) if ground else [""] * 5)]
        for file, digest, ground in zip(part.files, digests, grounds, strict=True)
    ]
