"""A chip classifier is trained on labelled chips and written as a model file with its card inside."""

from __future__ import annotations

import csv
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from landmap_models import augment
from landmap_models.architectures.layout import in_precision
from landmap_models.architectures.shape import NetworkShape
from landmap_models.datasets.chips import ChipBatches, ChipFolder, open_chips
from landmap_models.datasets.coordinates import read_coordinates
from landmap_models.datasets.files import read_paths
from landmap_models.datasets.picture import batch_picture
from landmap_models.datasets.splits import Split, given_split, spatial_split, stratified_split
from landmap_models.errors import DatasetError, ReportError
from landmap_models.model_file.archive import SPLIT_MEMBER, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.publish import first_same, published, put_in_place
from landmap_models.training.calibration import fit_temperature, fit_thresholds, fold_temperature, logits_of
from landmap_models.training.card import Outcome, make_card, split_table
from landmap_models.training.checkpoints import LogRow
from landmap_models.training.distillation import PatientTeacher, check_teacher, soft_labels
from landmap_models.training.fit import check_tensorboard, fit
from landmap_models.training.network import make_network, rounded, unrolled
from landmap_models.training.settings import TrainSettings
from landmap_models.training.state import (
    check_folder,
    check_output,
    folder_of,
    history_path,
    open_folder,
    record_of,
)

PREDICT_BATCH = 256
"""Number of chips that are predicted at once."""


def open_data(data: str | Path, settings: TrainSettings) -> ChipFolder:
    """Open the chips that a training uses.

    Args:
        data: Labelled chips; see `open_chips`.
        settings: Settings of the training: bands, limit and seed.

    Raises:
        DatasetError: The chips can't be read, or are fewer than `settings.limit`.
    """
    chips = open_chips(data, bands=settings.bands, file_bands=settings.file_bands, skip_bad=settings.skip_bad)
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
    data: str | Path | ChipFolder,
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
        data: Labelled chips; see `open_chips`.
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
    split = make_split(open_data(data, settings) if isinstance(data, str | Path) else data, settings)
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
    validation = _batches(split.validation, split, settings, workers)
    log = fit(learner, training, validation, settings, state, tensorboard=tensorboard, verbose=verbose)
    model.set_weights(learner.get_weights())  # float32 again: inference chooses its own precision
    model = unrolled(model)
    if settings.round_weights:
        model = rounded(model)
    card = make_card(model, split, settings, _measured(model, split, settings, log, str(augmentation)))
    return _write(output, model, card, split_table(split, settings), state)


def check_network(split: Split, settings: TrainSettings) -> keras.Model:
    """Build the network that a training starts from, and check that it and its teacher fit the chips.

    Raises:
        DatasetError: The chips are not square.
        ModelError: The network can't be built, or its teacher does not fit the chips.
    """
    if settings.teacher is not None:
        check_teacher(settings.teacher, split.train)
    keras.utils.set_random_seed(settings.seed)
    return make_network(_shape(split.train), settings, split.train.bands, split.train.class_names)


def make_split(chips: ChipFolder, settings: TrainSettings) -> Split:
    """Split chips into training, validation and test part, as the data come or else by the settings.

    Raises:
        DatasetError: The chips can't be split like that.
    """
    shares = settings.seed, settings.validation, settings.test
    places = read_coordinates(settings.coordinates, chips) if settings.coordinates else None
    if chips.parts is not None:
        return given_split(chips, settings.seed, settings.validation, places)
    if settings.split == "stratified":
        return stratified_split(chips, *shares, places, allow_overlap=settings.allow_overlap)
    return spatial_split(chips, places, *shares, settings.block_km, settings.buffer)


def _augmentation(chips: ChipFolder, settings: TrainSettings) -> augment.Augmentation:
    return augment.compose(settings.augment, band_names=chips.bands, multi_label=chips.multi_label)


def show_batch(chips: ChipFolder, path: Path, settings: TrainSettings, *, overwrite: bool = False) -> None:
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
    split = make_split(chips, settings)
    part = split.train
    batches = _batches(part, split, settings, 1, _augmentation(part, settings))
    values, labels = batches[0][:2]
    batch_picture(values, labels, part.class_names, path, part.bands)


def _shape(chips: ChipFolder) -> NetworkShape:
    height, width, bands = chips.subset(np.arange(1)).reflectance().shape[1:]
    if height != width:
        raise DatasetError(f"{chips.root}: expected square chips. Received: {height}x{width} pixels")
    activation: Any = "sigmoid" if chips.multi_label else "softmax"
    return NetworkShape(len(chips.class_names), bands, height, chips.reflectance_max, activation)


def _batches(
    chips: ChipFolder,
    split: Split,
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
    split: Split, settings: TrainSettings, workers: int, augmentation: augment.Augmentation, state: Path
) -> ChipBatches:
    """Batches of the training part, with labels of a teacher if there is one."""
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


def _teacher_labels(split: Split, settings: TrainSettings, state: Path) -> Any:
    if settings.teacher is None:
        return None
    kept = state / "teacher.npy"
    if not kept.exists():
        labels = soft_labels(settings.teacher, split.train, settings.teacher_share, settings.teacher_temperature)
        with published(kept) as new:
            np.save(new, labels)
    return np.load(kept)


def _measured(
    model: keras.Model, split: Split, settings: TrainSettings, log: Sequence[LogRow], augmentation: str
) -> Outcome:
    """Calibrate a trained network on the validation part, then predict the test part."""
    several, temperature, thresholds = split.train.multi_label, 1.0, None
    labels, found = split.validation.targets(), _predict(model, split.validation)
    if settings.calibrate:
        temperature = fit_temperature(logits_of(found, multi_label=several), labels, multi_label=several)
        fold_temperature(model, temperature)
    if several:
        thresholds = fit_thresholds(_predict(model, split.validation), labels)
    return Outcome(_predict(model, split.test), log, augmentation, temperature, thresholds)


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
