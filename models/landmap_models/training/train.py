"""A chip classifier is trained on labelled chips and written as a model file with its card inside."""

from __future__ import annotations

import csv
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from landmap_models import augment
from landmap_models.architectures.layout import in_precision
from landmap_models.architectures.shape import NetworkShape
from landmap_models.datasets.chips import ChipBatches, ChipFolder, open_chips
from landmap_models.datasets.coordinates import read_coordinates
from landmap_models.datasets.files import read_paths
from landmap_models.datasets.image_files import has_masks
from landmap_models.datasets.images import LabelledImages, open_images
from landmap_models.datasets.picture import batch_picture
from landmap_models.datasets.splits import Data, Split, given_split, spatial_split, stratified_split
from landmap_models.errors import DatasetError, ReportError
from landmap_models.metrics.metrics import measure
from landmap_models.model_file.archive import SPLIT_MEMBER, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.publish import first_same, published, put_in_place
from landmap_models.training.calibration import fit_temperature, fit_thresholds, fold_temperature, logits_of
from landmap_models.training.card import Outcome, make_card, split_table
from landmap_models.training.checkpoints import LogRow
from landmap_models.training.distillation import PatientTeacher, check_teacher, soft_labels
from landmap_models.training.fit import Batches, check_tensorboard, fit
from landmap_models.training.network import make_network, rounded, unrolled
from landmap_models.training.pixels import calibrated, measured, network_shape, pixel_batches, prepared
from landmap_models.training.settings import TrainSettings
from landmap_models.training.state import (
    check_folder,
    check_output,
    folder_of,
    history_path,
    open_folder,
    record_of,
)

Labelled = ChipFolder | LabelledImages
"""Data of a training."""
PREDICT_BATCH = 256
"""Number of chips that are predicted at once."""


def open_data(data: str | Path, settings: TrainSettings) -> Labelled:
    """Open the chips, or the images with masks, that a training uses.

    Args:
        data: Labelled chips, see `open_chips`, or images with masks, see `open_images`.
        settings: Settings of the training: bands, limit and seed.

    Raises:
        DatasetError: The chips can't be read, or are fewer than `settings.limit`.
    """
    how: dict[str, Any] = {name: getattr(settings, name) for name in ("bands", "file_bands", "skip_bad")}
    if has_masks(Path(data)):
        return _limited(open_images(data, classes=settings.classes, ignore=settings.ignore, **how), settings)
    return _limited(open_chips(data, **how), settings)


def _limited(chips: Data, settings: TrainSettings) -> Data:
    """As many chips as the settings want."""
    if settings.limit is None or settings.limit == len(chips):
        return chips
    if settings.limit > len(chips):
        raise DatasetError(f"{chips.root}: expected {settings.limit:,} chips (limit) or more. Received: {len(chips):,}")
    if chips.multi_label or chips.parts:
        kind = "chips of several classes" if chips.multi_label else "chips that come divided into parts"
        raise DatasetError(f"{chips.root}: expected undivided chips of one class each for a limit. Received: {kind}")
    from sklearn.model_selection import StratifiedShuffleSplit

    draw = StratifiedShuffleSplit(1, train_size=settings.limit, random_state=settings.seed)
    try:
        chosen, _ = next(draw.split(np.zeros(len(chips)), np.asarray(chips.labels)))
    except ValueError as error:
        raise DatasetError(f"{chips.root}: {settings.limit} chips can't be drawn class by class: {error}") from error
    return chips.subset(np.sort(chosen))


def train(
    data: str | Path | Labelled,
    output: str | Path,
    settings: TrainSettings,
    *,
    overwrite: bool = False,
    resume: bool = False,
    workers: int = 1,
    tensorboard: Path | None = None,
    verbose: int = 2,
    warn: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=3),
) -> ModelCard:
    """Train a network; write `output`, and beside it `<name>.history.csv`, one row of losses and metrics an epoch.

    A training keeps its state in the folder `<output>.training` until the model is written. A killed one that is
    started again with the same arguments and `resume` continues after its last whole epoch.

    Args:
        data: Labelled chips, see `open_chips`, or images with masks, see `open_images`.
        output: The `.keras` file to write.
        settings: Settings of the training.
        overwrite: Whether an existing model may be replaced.
        resume: Whether to resume an unfinished training.
        workers: Number of threads that load chips.
        tensorboard: Folder for TensorBoard's logs; None: no logs.
        verbose: Output of Keras: 0 nothing, 1 a progress bar, 2 a line an epoch.
        warn: Function that is called with each warning about the split, before the training.

    Returns:
        The card of the model, with metrics on the test part.

    Raises:
        DatasetError: The data can't be read or split, or an augmentation is unknown.
        ModelError: The output exists or is not named `*.keras`, the network can't be built, or a training with other
            arguments was not finished.
    """
    output = Path(output)
    root = data if isinstance(data, str | Path) else data.root
    check_output(output, root, settings.start_from, settings.teacher, overwrite=overwrite, resume=resume)
    split: Split[Any] = make_split(open_data(data, settings) if isinstance(data, str | Path) else data, settings)
    for text in split.warnings:
        warn(text)
    augmentation = _augmentation(split.train, settings)
    state, record = folder_of(output), record_of(split, settings)
    check_folder(state, record, resume=resume)
    if tensorboard is not None:
        check_tensorboard()
    model = check_network(split, settings)
    open_folder(state, record)
    learner = in_precision(model, settings.precision)
    training = _training_batches(split, settings, workers, augmentation, state)
    of_part = pixel_batches if isinstance(split.train, LabelledImages) else _batches
    validation = of_part(split.validation, split, settings, workers)
    log = fit(learner, training, validation, settings, state, tensorboard=tensorboard, verbose=verbose)
    model.set_weights(learner.get_weights())  # float32 again: inference chooses its own precision
    model = unrolled(model)
    if settings.round_weights:
        model = rounded(model)
    card = make_card(model, split, settings, _measured(model, split, settings, log, str(augmentation)))
    return _write(output, model, card, split_table(split, settings), state)


def check_network(split: Split[Any], settings: TrainSettings) -> keras.Model:
    """Build the network that a training starts from, and check that it and its teacher fit the chips.

    Raises:
        DatasetError: The chips are not square.
        ModelError: The network can't be built, or its teacher does not fit the chips.
    """
    if settings.teacher is not None:
        check_teacher(settings.teacher, split.train)
    keras.utils.set_random_seed(settings.seed)
    per_pixel = isinstance(split.train, LabelledImages)
    shape = network_shape(split.train, settings) if per_pixel else _shape(split.train)
    return make_network(shape, settings, split.train.bands, split.train.class_names)


def make_split(data: Data, settings: TrainSettings) -> Split[Data]:
    """Split chips or images into training, validation and test part, as the data come or else by the settings.

    Raises:
        DatasetError: The chips can't be split like that.
    """
    chips = cast(Data, prepared(data, settings)) if isinstance(data, LabelledImages) else data
    shares = settings.seed, settings.validation, settings.test
    places = read_coordinates(settings.coordinates, chips) if settings.coordinates else None
    if chips.parts is not None:
        return given_split(chips, settings.seed, settings.validation, places)
    if settings.split == "stratified":
        everywhere = not isinstance(chips, LabelledImages)
        return stratified_split(chips, *shares, places, allow_overlap=settings.allow_overlap, everywhere=everywhere)
    return spatial_split(chips, places, *shares, settings.block_km, settings.buffer)


def _augmentation(chips: Labelled, settings: TrainSettings) -> augment.Augmentation:
    per_pixel = isinstance(chips, LabelledImages)
    several = chips.multi_label and not per_pixel
    return augment.compose(settings.augment, band_names=chips.bands, multi_label=several, per_pixel=per_pixel)


def show_batch(chips: Labelled, path: Path, settings: TrainSettings, *, overwrite: bool = False) -> None:
    """Draw the first batch of a training as the network receives it.

    Args:
        chips: Labelled chips, of which the first batch is drawn.
        path: The PNG file to write.
        settings: Settings of the training.
        overwrite: Whether an existing file may be replaced.

    Raises:
        DatasetError: The chips can't be split, or an augmentation is unknown.
        ReportError: The file exists or can't be written.
    """
    if first_same([path], read_paths(chips.root, chips.files)):
        raise ReportError(f"{path}: is one of the chips, or the list of them. Choose another name")
    if path.exists() and not overwrite:
        raise ReportError(f"{path}: exists already. Choose another name or give --overwrite")
    split: Split[Any] = make_split(chips, settings)
    part = split.train
    of_part = pixel_batches if isinstance(part, LabelledImages) else _batches
    values, labels = of_part(part, split, settings, 1, _augmentation(part, settings))[0][:2]
    values = values[0] if isinstance(values, tuple) else values
    batch_picture(values, labels, part.class_names, path, part.bands)


def _shape(chips: ChipFolder) -> NetworkShape:
    height, width, bands = chips.subset(np.arange(1)).reflectance().shape[1:]
    if height != width:
        raise DatasetError(f"{chips.root}: expected square chips. Received: {height}x{width} pixels")
    activation: Any = "sigmoid" if chips.multi_label else "softmax"
    return NetworkShape(len(chips.class_names), bands, height, chips.reflectance_max, activation)


def _batches(
    chips: ChipFolder,
    split: Split[ChipFolder],
    settings: TrainSettings,
    workers: int,
    augmentation: augment.Augmentation | None = None,
    labels: Any = None,
    lessons: PatientTeacher | None = None,
) -> ChipBatches:
    """Batches of a part, shuffled if they are augmented; classes are weighted by their counts in the training part."""
    return ChipBatches(
        chips,
        settings.batch_size,
        augmentation,
        settings.seed if augmentation else None,
        labels=labels,
        lessons=lessons,
        class_weights=_class_weights(split.train) if settings.class_weights == "balanced" else None,
        workers=workers,
    )


def _class_weights(chips: ChipFolder) -> list[float]:
    """Weights of classes, inverse to their number of chips; their mean over the chips is 1."""
    counts = np.array(list(chips.counts().values()))
    return list(counts.sum() / (len(counts) * np.maximum(counts, 1)))


def _training_batches(
    split: Split[Any], settings: TrainSettings, workers: int, augmentation: augment.Augmentation, state: Path
) -> Batches:
    """Batches of the training part, with labels of a teacher if there is one."""
    if isinstance(split.train, LabelledImages):
        return pixel_batches(split.train, split, settings, workers, augmentation)
    if settings.teacher is None or not settings.teacher_views:
        return _batches(split.train, split, settings, workers, augmentation, _teacher_labels(split, settings, state))
    before, straddle = augmentation.split_at("straddle")
    augmented = _batches(split.train, split, settings, 1, before)
    lessons = PatientTeacher(
        settings.teacher,
        augmented,
        straddle,
        state,
        settings.teacher_views,
        share=settings.teacher_share,
        temperature=settings.teacher_temperature,
    )
    return _batches(split.train, split, settings, workers, before, lessons=lessons)


def _teacher_labels(split: Split[ChipFolder], settings: TrainSettings, state: Path) -> Any:
    if settings.teacher is None:
        return None
    kept = state / "teacher.npy"
    if not kept.exists():
        labels = soft_labels(settings.teacher, split.train, settings.teacher_share, settings.teacher_temperature)
        with published(kept) as new:
            np.save(new, labels)
    return np.load(kept)


def _measured(
    model: keras.Model, split: Split[Any], settings: TrainSettings, log: Sequence[LogRow], augmentation: str
) -> Outcome:
    """Calibrate a trained network on the validation part, then predict the test part."""
    if isinstance(split.train, LabelledImages):
        temperature = calibrated(model, split.validation, settings) if settings.calibrate else 1.0
        return Outcome(measured(model, split.test, settings), log, augmentation, temperature, None)
    several, temperature, thresholds = split.train.multi_label, 1.0, None
    labels, found = split.validation.targets(), _predict(model, split.validation)
    if settings.calibrate:
        temperature = fit_temperature(logits_of(found, multi_label=several), labels, multi_label=several)
        fold_temperature(model, temperature)
    if several:
        thresholds = fit_thresholds(_predict(model, split.validation), labels)
    wanted = split.test.targets() if several else np.asarray(split.test.labels)
    metrics = measure(wanted, _predict(model, split.test), split.test.class_names, thresholds)
    return Outcome(metrics, log, augmentation, temperature, thresholds)


def _predict(model: keras.Model, chips: ChipFolder) -> Any:
    return model.predict(ChipBatches(chips, PREDICT_BATCH), verbose=0)


def _write(output: Path, model: keras.Model, card: ModelCard, table: str, state: Path) -> ModelCard:
    """Write history and model; the model comes last, so that a model is always complete."""
    finished, log = state / "finished.keras", card.training["log"]
    model.save(finished)
    card = write_card(finished, card, {SPLIT_MEMBER: table})
    with published(history_path(output)) as history, history.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in log for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
    put_in_place(finished, output)
    shutil.rmtree(state)
    return card
