"""A training on images with masks: what differs from one on chips with one label each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from landmap_models import architectures, augment
from landmap_models.architectures.shape import NetworkShape
from landmap_models.arrays import Floats
from landmap_models.datasets.images import PRESENCE, LabelledImages
from landmap_models.datasets.splits import Split
from landmap_models.datasets.windows import PixelBatches
from landmap_models.errors import DatasetError, ModelError
from landmap_models.inference.whole_images import WholeImages, batches_of
from landmap_models.metrics.pixels import PIXEL_METRICS, Tally, labels_of, measure_pixels, tally
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import find_model
from landmap_models.training.calibration import fit_temperature, fold_temperature, logits_of
from landmap_models.training.settings import TrainSettings

CALIBRATED = 100_000
"""About so many labelled pixels of the validation part the temperature is fitted on, as many of each image."""
LEAST_MIDDLE = 1e-3
"""Least middle reflectance of a band, by which networks divide."""


def prepared(images: LabelledImages, settings: TrainSettings) -> LabelledImages:
    """Order the bands of images as the network takes them: those that a scene may lack come last.

    Raises:
        DatasetError: An optional band is not there, or all are optional.
        ModelError: The settings ask for what trainings on masks do not have.
    """
    unknown = [name for name in settings.optional_bands if name not in images.bands]
    needed = [name for name in images.bands if name not in settings.optional_bands]
    if unknown or not needed:
        raise DatasetError(
            f"optional_bands: expected some of {', '.join(images.bands)}, and not all. Received: "
            f"{', '.join(settings.optional_bands)}"
        )
    if settings.teacher is not None:
        raise ModelError("teacher: expected chips with one label each. Give a teacher's probabilities as masks")
    order = (*needed, *(name for name in images.bands if name in settings.optional_bands))
    places = tuple(images.places[images.bands.index(name)] for name in order)
    return replace(images, bands=order, places=places)


def reach(settings: TrainSettings) -> tuple[int, int]:
    """Margin and step of the network that is trained, in pixels.

    Raises:
        ModelError: The architecture, or the model to start from, answers for chips, or has no finite margin.
    """
    if settings.start_from is None:
        architectures.check_kind(settings.architecture, per_pixel=True)
        return architectures.reach(settings.architecture, settings.options)
    card = read_card(find_model(settings.start_from))
    if not card.per_pixel or card.margin is None or card.transform is not None:
        raise ModelError(
            f"{settings.start_from}: expected a model that answers for each pixel by its surroundings, as landmap "
            "trains them"
        )
    return card.margin, card.step


def window_of(images: LabelledImages, settings: TrainSettings) -> int:
    """Side of the windows that are trained on, in pixels: not larger than the largest image needs."""
    largest = max(max(size) for size in images.sizes)
    return min(settings.window, -(-largest // PRESENCE) * PRESENCE)


def network_shape(images: LabelledImages, settings: TrainSettings) -> NetworkShape:
    """The shape of the network, with the middle reflectance of each band of the training part."""
    middle = np.maximum(np.median(images.sample(settings.seed), axis=0), LEAST_MIDDLE).round(4)
    return NetworkShape(
        len(images.class_names),
        len(images.bands),
        window_of(images, settings),
        images.reflectance_max,
        middle=tuple(middle.tolist()),
        flags=bool(settings.optional_bands),
    )


def pixel_batches(
    images: LabelledImages,
    split: Split[LabelledImages],
    settings: TrainSettings,
    workers: int,
    augmentation: augment.Augmentation | None = None,
) -> PixelBatches:
    """Batches of a part, shuffled if they are augmented; classes are weighted by their pixels in the training part."""
    counts = np.maximum(split.train.pixel_counts(), 1)
    balanced = counts.sum() / (len(counts) * counts)
    return PixelBatches(
        images,
        window_of(split.train, settings),
        settings.batch_size,
        augmentation,
        settings.seed if augmentation else None,
        optional=settings.optional_bands or None,
        class_weights=balanced.tolist() if settings.class_weights == "balanced" else None,
        workers=workers,
    )


def predictions(images: LabelledImages, network: WholeImages) -> Iterator[tuple[int, Floats, Floats, Floats]]:
    """Yield for each image its place, reflectance, labels and predicted probabilities `(height, width, …)`."""
    for group in batches_of(images.sizes):
        values, labels = zip(*(images.read(place) for place in group), strict=True)
        answers = network.predict(np.stack(values))
        yield from zip(group, values, labels, answers, strict=True)


def calibrated(model: keras.Model, images: LabelledImages, settings: TrainSettings) -> float:
    """Fold a temperature into the last layer, fitted on the labelled pixels of the validation part; return it."""
    rng, each = np.random.default_rng(settings.seed), -(-CALIBRATED // len(images))
    probabilities, labels = [], []
    for _, _, wanted, answers in predictions(images, WholeImages(model, *reach(settings))):
        known = np.flatnonzero(wanted.any(axis=-1))
        chosen = rng.permutation(known)[:each]
        probabilities.append(answers.reshape(-1, answers.shape[-1])[chosen])
        labels.append(wanted.reshape(-1, wanted.shape[-1])[chosen])
    temperature = fit_temperature(logits_of(np.concatenate(probabilities)), np.concatenate(labels))
    fold_temperature(model, temperature)
    return temperature


def tallies(images: LabelledImages, network: WholeImages) -> Iterator[Tally]:
    """Yield the sums of each image of which metrics are made."""
    for _, _, labels, answers in predictions(images, network):
        yield tally(labels_of(labels), answers)


def measured(model: keras.Model, images: LabelledImages, settings: TrainSettings) -> dict[str, Any]:
    """What a model card records of the predictions for the test part."""
    network = WholeImages(model, *reach(settings))
    found = measure_pixels(list(tallies(images, network)), images.class_names)
    chosen = [metric.name for metric in PIXEL_METRICS if metric.on_card]
    return {name: found[name] for name in ("n", "pixels", *chosen, "per_class", "confusion")}
