"""A model is evaluated on labelled chips, with a report.

Two things make such numbers wrong, and are checked here: chips that the model was trained on, and class folders in
another order than the outputs of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.datasets.image_files import has_masks
from landmap_models.datasets.images import LabelledImages, open_images
from landmap_models.datasets.labelled import LabelledChips, left_out, loose_classes, match_labels, read_chips
from landmap_models.errors import DatasetError, ModelError
from landmap_models.evaluation.leakage import (
    Learnt,
    Part,
    cautions,
    known_again,
    leakage,
    parts_of,
    read_split,
    recorded,
)
from landmap_models.evaluation.pixels import PixelFindings, find
from landmap_models.evaluation.report import ChipFindings, check_output, write_report
from landmap_models.inference.classifier import Classifier, check_answers
from landmap_models.inference.loading import load_model
from landmap_models.inference.tensorflow import quietly
from landmap_models.metrics import metrics
from landmap_models.model_file.archive import SPLIT_MEMBER, read_card, weights_sha256
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.sentinel2 import TRUE_COLOR

Progress = Callable[[int, int], None]
"""A function that is called with the number of chips that are done and of all chips."""

BATCH = 256
"""Number of chips that are predicted at once."""
GALLERY = 48
"""Most chips in the gallery."""
METHOD = (
    "Intervals: percentiles of {resamples:,} bootstrap resamples of the chips; Wilson's for the share of chips that "
    "are right; for the calibration error, percentiles shifted by the bootstrap's own bias. They tell how much the "
    "numbers hang on which chips were drawn, not what another place or season would give."
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of an evaluation."""

    metrics: Mapping[str, Any]
    """Content of `metrics.json`: `value`, `low` and `high` of each metric, `per_class`, `confusion`, `warnings`."""
    files: tuple[Path, ...]
    """Files that were written."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of what makes the numbers look better, or more certain, than they are."""
        return tuple(self.metrics["warnings"])


def evaluate(
    model: str | Path | Classifier,
    data: str | Path | LabelledChips | LabelledImages,
    output: str | Path,
    *,
    part: Part | None = None,
    overwrite: bool = False,
    beta: float = 2.0,
    resamples: int = metrics.RESAMPLES,
    file_bands: Sequence[str] | None = None,
    skip_bad: bool = False,
    classes: Sequence[str] | None = None,
    ignore: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Predict labelled chips, or images with masks, compare predictions with labels, and write a report.

    Args:
        model: Packaged name, `.keras` file, or a classifier.
        data: Labelled chips, see `open_chips`, or, for a model that answers for each pixel, images with masks, see
            `open_images`; or opened ones. Classes and bands are matched by name.
        output: The folder to write; see `report.FILES`.
        part: Part of the split in the model file, "train", "validation" or "test", whose chips are used; None: all
            chips.
        overwrite: Whether an existing report may be replaced.
        beta: How much more recall counts than precision in F-beta.
        resamples: Number of resamples of the bootstrap behind the intervals.
        file_bands: Names of the bands of the files, in order; None: the files name them.
        skip_bad: Whether files that can't be used are left out.
        classes: Names of the classes in masks, as in `open_images`; None: the data or the model's training name them.
        ignore: Ids in masks that are no label, besides those of the training; None: only those.
        progress: Function that is called after each batch; None: none.

    Raises:
        ModelError: The model can't be read, records no such part, or does not predict probabilities.
        DatasetError: The chips can't be read, don't fit the model, or none belongs to the part.
        ReportError: The folder exists already or can't be written. Nothing is left behind then.
    """
    output = Path(output)
    check_output(output, overwrite=overwrite)
    how: dict[str, Any] = {"file_bands": file_bands, "skip_bad": skip_bad}
    findings: ChipFindings | PixelFindings
    if isinstance(model, str | Path) and _of_images(data) and read_card(find_model(model)).per_pixel:
        images = how | {"classes": classes, "ignore": ignore}
        findings = _of_pixels(find_model(model), data, part, resamples, progress, **images)
    else:
        findings = _of_chips(model, data, part, beta, resamples, progress, **how)
    return Evaluation(findings.metrics, write_report(output, findings, overwrite=overwrite))


def _of_images(data: object) -> bool:
    """Whether data may be images with masks: other than chips that were opened."""
    return isinstance(data, str | Path | LabelledImages)


def _of_chips(
    model: str | Path | Classifier,
    data: str | Path | LabelledChips | LabelledImages,
    part: Part | None,
    beta: float,
    resamples: int,
    progress: Progress | None,
    **how: Any,
) -> ChipFindings:
    """Evaluate a model of chips."""
    classifier, split, learnt = _open_model(model)
    card = classifier.card
    if isinstance(data, str | Path) and has_masks(Path(data)):
        raise DatasetError(
            f"{data}: expected chips with one label each, as {card.name} answers for chips. Received: masks"
        )
    chips, warnings = _chosen(_open_chips(cast(Any, data), card, **how), card, split, learnt, part)
    labels = match_labels(chips, card)
    warnings += loose_classes(labels, card.legend.names)
    found = _compare(labels, _predict(classifier, chips, progress), card, beta, resamples)
    shown = gallery_order(found.right, found.probability)[:GALLERY]
    return ChipFindings(
        card=card,
        metrics=_origin(card, chips, part) | found.measured | {"warnings": warnings},
        files=chips.files,
        true=found.true,
        predicted=found.predicted,
        probability=found.probability,
        right=found.right,
        shown=shown,
        pictures=true_color(read_chips(chips.subset(shown), card), card),
    )


def _of_pixels(
    path: Path,
    data: Any,
    part: Part | None,
    resamples: int,
    progress: Progress | None,
    *,
    classes: Sequence[str] | None,
    ignore: Sequence[int] | None,
    **how: Any,
) -> PixelFindings:
    """Evaluate a model that answers for each pixel."""
    card, (split, learnt) = read_card(path), read_split(path)
    images, warnings = _chosen(_open_images(data, card, classes, ignore, **how), card, split, learnt, part)
    return find(
        images,
        load_model(path),
        card,
        warnings=warnings,
        resamples=resamples,
        origin=_origin(card, images, part),
        progress=progress,
    )


def _chosen(
    data: Any, card: ModelCard, split: Mapping[str, str], learnt: Learnt, part: Part | None
) -> tuple[Any, list[str]]:
    """The chips or images of a part, or all, with warnings of what makes numbers on them wrong."""
    chosen, warnings = _select(data, split, part)
    warnings += left_out(chosen)
    if part != "train":
        warnings += known_again(chosen, parts_of(chosen.files, split), learnt)
    if part in ("test", "validation"):
        warnings += recorded(card)
    return chosen, warnings


def _open_images(
    data: Any, card: ModelCard, classes: Sequence[str] | None, ignore: Sequence[int] | None, **how: Any
) -> LabelledImages:
    """Open images with the bands of a model, in its order; masks mean what they meant in its training."""
    if isinstance(data, LabelledImages):
        return data
    if not has_masks(Path(data)):
        raise DatasetError(
            f"{data}: expected images with masks, as {card.name} answers for each pixel: an NPZ file, or folders "
            "images and masks. Received: something else"
        )
    names, ignored = usual_classes(card)
    ignore = (*(ignore or ()), *ignored)
    return open_images(data, classes=classes, usual_classes=names, ignore=ignore, bands=card.input_names, **how)


def usual_classes(card: ModelCard) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the classes in masks, and ids that are no label, as in the training of a model of pixels."""
    ids = card.training.get("mask_ids")
    names = card.legend.names if ids is None else tuple(f"{number}={name}" for name, number in ids.items())
    return names, tuple(card.training.get("settings", {}).get("ignore", ()))


def _origin(card: ModelCard, chips: Any, part: Part | None) -> dict[str, Any]:
    model = {"name": card.name, "version": card.version, "weights_sha256": card.weights_sha256}
    return {"model": model, "data": chips.root.name, "part": part}


@dataclass(frozen=True, slots=True)
class _Found:
    """Predictions compared with labels; the fields are those of `report.Findings`."""

    measured: dict[str, Any]
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: Floats
    right: npt.NDArray[np.bool_]


def _compare(
    labels: npt.NDArray[np.intp], probabilities: Floats, card: ModelCard, beta: float, resamples: int
) -> _Found:
    method = {"beta": beta, "resamples": resamples, "seed": 0, "intervals": METHOD.format(resamples=resamples)}
    compare = _one if card.single_label else _several
    found = compare(labels, probabilities, card, beta, resamples)
    return replace(found, measured={"task": card.task} | found.measured | {"method": method})


def _one(labels: npt.NDArray[np.intp], probabilities: Floats, card: ModelCard, beta: float, resamples: int) -> _Found:
    names = card.legend.names
    chosen, probability = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = chosen == labels
    measured = metrics.single_label(labels, probabilities, names, beta=beta, resamples=resamples)
    return _Found(
        measured | {"reliability": metrics.reliability(probability, right)},
        tuple(names[i] for i in labels),
        tuple(names[i] for i in chosen),
        probability,
        right,
    )


def _several(
    labels: npt.NDArray[np.intp], probabilities: Floats, card: ModelCard, beta: float, resamples: int
) -> _Found:
    """Compare predictions of several classes; the probability of a chip is that of its least certain decision."""
    names = card.legend.names
    thresholds = np.asarray(card.thresholds or 0.5)
    chosen = probabilities >= thresholds
    measured = metrics.multi_label(labels, probabilities, names, thresholds=thresholds, beta=beta, resamples=resamples)
    return _Found(
        measured | {"reliability": metrics.reliability(probabilities.ravel(), labels.ravel() > 0)},
        tuple(_joined(row, names) for row in labels),
        tuple(_joined(row, names) for row in chosen),
        np.where(chosen, probabilities, 1 - probabilities).min(axis=1),
        (chosen == labels).all(axis=1),
    )


def _joined(flags: npt.NDArray[Any], names: tuple[str, ...]) -> str:
    return ";".join(name for name, flag in zip(names, flags, strict=True) if flag)


def _open_model(model: str | Path | Classifier) -> tuple[Classifier, dict[str, str], Learnt]:
    """Load a classifier, with the part of each chip of its training data and what it has learnt, if recorded."""
    if not isinstance(model, str | Path):
        return model, {}, Learnt()
    from landmap_models.inference.chip_average import load_chip_classifier

    path = find_model(model)
    return load_chip_classifier(path, weights_sha256(path)), *read_split(path)


def _open_chips(
    data: str | Path | LabelledChips, card: ModelCard, *, file_bands: Sequence[str] | None, skip_bad: bool
) -> LabelledChips:
    if not isinstance(data, str | Path):
        return data
    with quietly():
        from landmap_models.datasets.chips import open_chips
    return open_chips(data, bands=card.band_names, file_bands=file_bands, skip_bad=skip_bad)


def _select(chips: LabelledChips, split: Mapping[str, str], part: Part | None) -> tuple[LabelledChips, list[str]]:
    """Choose the chips of a part, or all, with warnings about that choice."""
    parts = parts_of(chips.files, split)
    if part is None:
        return chips, leakage(parts, split)
    if not split:
        raise ModelError(f"The model records no split (member {SPLIT_MEMBER}): evaluate all chips, without a part")
    chosen = np.flatnonzero(np.array(parts) == part)
    if not chosen.size:
        raise DatasetError(
            f"{chips.root}: holds none of the chips of the model's {part} part. Expected names such as "
            f"{next(iter(split))}. Received: {chips.files[0]}. Give the data that the model was trained with"
        )
    return chips.subset(chosen), cautions(part, len(chosen), list(split.values()).count(part), chips.root.name)


def _predict(classifier: Classifier, chips: LabelledChips, progress: Progress | None) -> Floats:
    """Predict probabilities `(n, classes)`, with one batch of chips in memory at a time."""
    n, card = len(chips.files), classifier.card
    out = np.empty((n, len(card.legend)), np.float32)
    for start in range(0, n, BATCH):
        chosen = np.arange(start, min(start + BATCH, n))
        predicted = classifier.predict(read_chips(chips.subset(chosen), card))
        check_answers(predicted, len(chosen), card)
        out[chosen] = predicted
        if progress:
            progress(len(chosen) + start, n)
    return out


def gallery_order(right: npt.NDArray[np.bool_], probability: Floats) -> npt.NDArray[np.intp]:
    """Order chips for the gallery: mistakes from the most confident on, then right ones from the least confident on.

    Args:
        right: Whether each prediction is true, `(n,)`.
        probability: Probability of each predicted class, `(n,)`.
    """
    return np.lexsort((np.where(right, probability, -probability), right))


def true_color(chips: Floats, card: ModelCard) -> npt.NDArray[np.uint8]:
    """Convert chips to 8-bit red, green and blue, or to their first band in grey if the model lacks one of these.

    White is the 99th percentile of the brightest band in training, since land is dark in the range of 16 bits.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        card: Card of the model.
    """
    wanted = [card.band_names.index(b) if b in card.band_names else None for b in TRUE_COLOR]
    order = [0, 0, 0] if None in wanted else cast(list[int], wanted)
    low, high = card.reflectance_range
    white = min(high, max(max(card.bands[i].p99 for i in order), low + 1e-6))
    scaled = ((chips[..., order] - low) / (white - low)).clip(0, 1)
    return cast(npt.NDArray[np.uint8], (255 * scaled**0.8).astype(np.uint8))
