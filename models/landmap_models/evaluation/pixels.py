"""A model that answers for each pixel is evaluated on images with masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bytes, Indices
from landmap_models.datasets.images import LabelledImages
from landmap_models.datasets.picture import true_color
from landmap_models.errors import DatasetError, ModelError
from landmap_models.evaluation import figures
from landmap_models.inference.whole_images import WholeImages
from landmap_models.metrics.pixels import PIXEL_METRICS, Tally, labels_of, measure_pixels, tally
from landmap_models.metrics.table import Metric
from landmap_models.model_file.card import ModelCard

GALLERY = 12
"""Most images in the gallery."""
SHOWN = 256
"""Most rows and columns of an image in the gallery."""
FEW = 10
"""Number of images with a class below which a warning calls its numbers uncertain."""
METHOD = (
    "Intervals: percentiles of {resamples:,} bootstrap resamples of the images, never of their pixels, which are no "
    "independent draws; for the calibration error shifted by the bootstrap's own bias. They tell how much the numbers "
    "hang on which images were drawn, not what another place or season would give."
)


@dataclass(frozen=True, slots=True)
class PixelFindings:
    """Content of the report on a model of pixels; see `report.Findings`."""

    card: ModelCard
    """Card of the model."""
    metrics: dict[str, Any]
    """Content of `metrics.json`."""
    files: tuple[str, ...]
    """Names of the images, `(n,)`."""
    tallies: tuple[Tally, ...]
    """Sums of each image."""
    triples: tuple[tuple[Bytes, Indices, Indices], ...]
    """Picture `(height, width, 3)`, true and predicted classes `(height, width)` of the images of the gallery."""
    shown: tuple[int, ...]
    """Indices of the images of the gallery, in its order."""

    @property
    def table(self) -> Sequence[Metric]:
        """The metrics."""
        return PIXEL_METRICS

    @property
    def headline(self) -> str:
        """What was evaluated, in words."""
        part = f", the model's {self.metrics['part']} part" if self.metrics["part"] else ""
        zones = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.metrics["zones"].items())
        labelled = f"{len(self.files):,} images with {self.metrics['pixels']:,} labelled pixels{part}"
        return f"{labelled}; by distance from a border between classes: {zones}."

    @property
    def gallery_text(self) -> str:
        """What the gallery shows, in words."""
        return (
            "Each image, its mask and the model's answer; the images with the lowest accuracy first. "
            f"{len(self.shown)} of {len(self.files):,} images, black where there is no label."
        )

    def predictions(self) -> tuple[list[str], Iterator[Sequence[Any]]]:
        """Header and rows of `predictions.csv`."""
        return ["file", "pixels", "accuracy", "mean_iou"], (
            [name, t.pixels, f"{_accuracy(t):.4f}", f"{_mean_iou(t):.4f}"]
            for name, t in zip(self.files, self.tallies, strict=True)
        )

    def draw(self, folder: Path) -> None:
        """Draw confusion and gallery into a folder."""
        figures.draw_confusion(folder / "confusion.png", self.metrics["confusion"], self.card.legend.names)
        captions = [f"{self.files[i]}: {100 * _accuracy(self.tallies[i]):.0f} % right" for i in self.shown]
        figures.draw_masks(folder / "gallery.png", self.triples, captions, self.card.legend)


def _accuracy(found: Tally) -> float:
    return float(np.trace(found.confusion) / max(found.pixels, 1))


def _mean_iou(found: Tally) -> float:
    hits, true, predicted = np.diag(found.confusion), found.confusion.sum(axis=1), found.confusion.sum(axis=0)
    there = true > 0
    return float((hits / np.maximum(true + predicted - hits, 1))[there].mean()) if there.any() else 0.0


def network_of(model: Any, card: ModelCard) -> WholeImages:
    """What runs a loaded network on whole images.

    Raises:
        ModelError: Its margin is not finite, or its input is a transform of reflectance.
    """
    if card.margin is None or card.transform is not None:
        raise ModelError(
            f"{card.name}: expected a model of pixels with a finite margin that takes reflectance. Received: one "
            f"{'without a margin' if card.margin is None else 'of transformed values'}"
        )
    return WholeImages(model, card.margin, card.step)


def find(
    images: LabelledImages,
    model: Any,
    card: ModelCard,
    *,
    warnings: list[str],
    resamples: int,
    origin: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> PixelFindings:
    """Predict images, and compare predictions with masks.

    Args:
        images: Images with masks, in the order of the model's bands.
        model: The loaded network.
        card: The card of the network, with its bands and classes.
        warnings: Warnings about the choice of images, to which those about classes are added.
        resamples: Number of resamples of the bootstrap.
        origin: Entries of `metrics.json` on model and data.
        progress: Function that is called with the number of images that are done and of all; None: none.

    Raises:
        DatasetError: The model does not know a class of the masks.
        ModelError: The model's margin is not finite, or its input is a transform of reflectance.
    """
    network, places = network_of(model, card), _places(images, card)
    found: list[Tally] = []
    for labels, answers, _ in _compared(images, network, places):
        found.append(tally(labels, answers))
        if progress:
            progress(len(found), len(images))
    measured = measure_pixels(found, card.legend.names, resamples=resamples)
    method = {"resamples": resamples, "seed": 0, "intervals": METHOD.format(resamples=resamples)}
    shown = np.argsort([_accuracy(t) for t in found], kind="stable")[:GALLERY]
    warnings = [*warnings, *images.notes, *_loose(images, card)]
    return PixelFindings(
        card,
        origin | {"task": "pixels"} | measured | {"method": method, "warnings": warnings},
        images.files,
        tuple(found),
        tuple(_triple(*each, card) for each in _compared(images.subset(shown), network, places)),
        tuple(shown.tolist()),
    )


def _places(images: LabelledImages, card: ModelCard) -> npt.NDArray[np.intp]:
    """Class id of the model of each class of the masks."""
    names = card.legend.names
    unknown = [name for name in images.class_names if name not in names]
    if unknown:
        plural = "es" * (len(unknown) > 1)
        raise DatasetError(
            f"{images.root}: the model doesn't know the class{plural} {', '.join(unknown)}. Expected "
            f"classes out of: {', '.join(names)}. Name them so with --classes, or leave them out with --ignore"
        )
    return np.array([names.index(name) for name in images.class_names])


def _compared(
    images: LabelledImages, network: WholeImages, places: npt.NDArray[np.intp]
) -> Iterator[tuple[Indices, Any, Any]]:
    """True class ids of the model `(height, width)`, probabilities and reflectance of each image."""
    from landmap_models.training.pixels import predictions

    for _, values, labels, answers in predictions(images, network):
        ids = labels_of(labels)
        yield np.where(ids < 0, -1, places[ids]), answers, values


def _triple(labels: Indices, answers: Any, values: Any, card: ModelCard) -> tuple[Bytes, Indices, Indices]:
    rows, cols = (slice(max(0, (side - SHOWN) // 2), max(0, (side - SHOWN) // 2) + SHOWN) for side in labels.shape)
    picture = true_color(values[None, rows, cols], card.input_names)[0]
    return picture, labels[rows, cols], answers[rows, cols].argmax(axis=-1)


def _loose(images: LabelledImages, card: ModelCard) -> list[str]:
    """Warn of classes in few images or none."""
    counts = images.counts()
    few = [f"{name} {n}" for name, n in counts.items() if 0 < n < FEW]
    none = [name for name in card.legend.names if not counts.get(name)]
    found = [f"Fewer than {FEW} images hold {', '.join(few)}: the numbers of these classes are loose."] if few else []
    return found + ([f"No pixel of {', '.join(none)}: averages leave these classes out."] if none else [])
