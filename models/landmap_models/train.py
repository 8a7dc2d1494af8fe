"""Train a chip classifier from labelled chips and write it as a model file with its card inside."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from landmap_models import augment
from landmap_models.architectures import compact
from landmap_models.card import SPLIT_MEMBER, BandProfile, Level, ModelCard, write_card
from landmap_models.datasets import (
    EIGHT_BIT_REFLECTANCE,
    ChipBatches,
    ChipFolder,
    open_chips,
    to_reflectance,
)
from landmap_models.errors import DatasetError, ModelError
from landmap_models.legend import legend_for
from landmap_models.metrics import measure
from landmap_models.splits import Split, read_coordinates, spatial_split, stratified_split

BANDS = ("B04", "B03", "B02")
"""What the three channels of EuroSAT's JPEG chips are."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train."""

    name: str = "compact"
    """Name on the card."""
    description: str = "The class of 64x64 px chips in true colour."
    """What the card says the model is for, and what it is bad at."""
    level: Level = "L1C"
    """Product level of the chips."""
    epochs: int = 64
    """Passes over the training part."""
    batch_size: int = 128
    """Chips a step."""
    learning_rate: float = 2e-3
    """Peak of the cosine schedule, after a warm-up of two epochs."""
    weight_decay: float = 0.05
    """Of AdamW."""
    label_smoothing: float = 0.05
    """Share of each label spread over all classes."""
    ema_momentum: float = 0.998
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 1
    """Of the split, the initial weights and the augmentation."""
    coordinates: str | None = None
    """CSV file with file, latitude, longitude: the split is spatial then, and stratified at random without."""
    block_km: float = 50.0
    """Side of the blocks of a spatial split in kilometres."""
    validation: float = 0.1
    """Share of the validation part."""
    test: float = 0.1
    """Share of the test part."""
    precision: str = "mixed_bfloat16"
    """Keras dtype policy while training; the written model is float32."""


def train(data: str | Path, output: str | Path, settings: TrainSettings, *, overwrite: bool = False) -> ModelCard:
    """Train the `compact` architecture and write `output`.

    A killed training that is started again with the same arguments continues after its last whole epoch; its state is
    kept in the folder `<output>.training` until the model is written.

    Args:
        data: Folder or zip file with one folder per class of 8-bit RGB chips.
        output: The `.keras` file to write.
        settings: How to train.
        overwrite: Replace an existing file.

    Returns:
        The model's card, with metrics on the test part.

    Raises:
        DatasetError: The data can't be read or split.
        ModelError: The output exists or is not named `*.keras`, or a training with other arguments was not finished.
    """
    output = Path(output)
    if output.suffix != ".keras":
        raise ModelError(f"{output}: expected a file name that ends in .keras")
    if output.exists() and not overwrite:
        raise ModelError(f"{output}: exists already. Choose another name or give --overwrite")
    split = _split(open_chips(data), settings)
    state = _open_state(output.with_name(output.name + ".training"), split, settings)
    trained, log = _fit(split, settings, state)
    model = _in_float32(trained, split)
    card = _describe(model, split, settings, log)
    finished = state / "finished.keras"
    model.save(finished)
    card = write_card(finished, card, {SPLIT_MEMBER: _split_table(split)})
    finished.replace(output)
    shutil.rmtree(state)
    return card


def _split(chips: ChipFolder, settings: TrainSettings) -> Split:
    shares = settings.seed, settings.validation, settings.test
    if settings.coordinates is None:
        return stratified_split(chips, *shares)
    return spatial_split(chips, read_coordinates(settings.coordinates, chips), *shares, settings.block_km)


def _split_name(settings: TrainSettings) -> str:
    return f"spatial, blocks of {settings.block_km:g} km" if settings.coordinates else "stratified, random"


def _open_state(state: Path, split: Split, settings: TrainSettings) -> Path:
    """The folder of an unfinished training, which must be of the same data and settings, or a new one."""
    wanted = json.dumps(dataclasses.asdict(settings) | {"train": split.train.fingerprint()}, indent=1)
    record = state / "training.json"
    if record.is_file() and record.read_text() != wanted:
        raise ModelError(
            f"{state}: holds an unfinished training with other data or settings. Remove it, or give the same arguments"
        )
    state.mkdir(parents=True, exist_ok=True)
    record.write_text(wanted)
    return state


def _build(split: Split) -> keras.Model:
    chips = split.train
    height, width, bands = chips.subset(np.arange(1)).read().shape[1:]
    if height != width:
        raise DatasetError(f"{chips.root}: expected square chips. Received: {height}x{width} pixels")
    return compact.build(len(chips.class_names), bands, chip_size=height, reflectance_max=EIGHT_BIT_REFLECTANCE)


def _fit(split: Split, settings: TrainSettings, state: Path) -> tuple[keras.Model, list[dict[str, Any]]]:
    keras.utils.set_random_seed(settings.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)
    try:
        model = _build(split)
    finally:
        keras.config.set_dtype_policy(before)
    batches = ChipBatches(split.train, settings.batch_size, augment.standard, settings.seed)
    steps = len(batches)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                decay_steps=max(1, (settings.epochs - 2) * steps),
                warmup_target=settings.learning_rate,
                warmup_steps=min(2, settings.epochs) * steps,
            ),
            weight_decay=settings.weight_decay,
            use_ema=True,
            ema_momentum=settings.ema_momentum,
        ),
        keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=["accuracy"],
    )
    log_file = state / "history.csv"
    model.fit(
        batches,
        validation_data=ChipBatches(split.validation, settings.batch_size),
        epochs=settings.epochs,
        verbose=2,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch)),
            keras.callbacks.SwapEMAWeights(),
            # Logged before it is saved: a kill between the two repeats an epoch, and its later row counts.
            keras.callbacks.CSVLogger(log_file, append=True),
            keras.callbacks.BackupAndRestore(state / "backup"),
        ],
    )
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return model, _read_log(log_file)


def _read_log(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    return [
        {"epoch": epoch} | {key: round(float(value), 4) for key, value in row.items() if key != "epoch"}
        for epoch, row in sorted(rows.items())
    ]


def _in_float32(trained: keras.Model, split: Split) -> keras.Model:
    """The same network without the precision it was trained in: inference chooses its own."""
    model = _build(split)
    model.set_weights(trained.get_weights())
    return model


def _describe(model: keras.Model, split: Split, settings: TrainSettings, log: list[dict[str, Any]]) -> ModelCard:
    test = split.test
    probabilities = model.predict(ChipBatches(test, 256), verbose=0)
    return ModelCard(
        name=settings.name,
        version="1",
        description=f"{settings.description} Architecture {model.name}, {model.count_params():,} parameters.",
        bands=_profiles(split.train),
        chip_size=model.input_shape[1],
        resolution=10.0,
        levels=(settings.level,),
        reflectance_range=(0.0, EIGHT_BIT_REFLECTANCE),
        legend=legend_for(test.class_names),
        licence="Apache-2.0",
        training={
            "data": test.root.name,
            "augmentation": augment.standard.__doc__,
            "split": {
                "method": _split_name(settings),
                "seed": settings.seed,
                "parts": {n: {"chips": len(p), "sha256": p.fingerprint()} for n, p in split.parts().items()},
                "member": SPLIT_MEMBER,
            },
            "settings": dataclasses.asdict(settings),
            "log": log,
        },
        metrics={"split": f"test ({_split_name(settings)})"}
        | measure(np.asarray(test.labels), probabilities, test.class_names),
        versions={"keras": version("keras"), keras.backend.backend(): version(keras.backend.backend())},
    )


def _profiles(chips: ChipFolder, sample: int = 2000) -> tuple[BandProfile, ...]:
    """Statistics of evenly spread training chips."""
    chosen = np.unique(np.linspace(0, len(chips) - 1, sample).astype(np.intp))
    values = to_reflectance(chips.subset(chosen).read()).reshape(-1, len(BANDS))
    percentiles = np.percentile(values, (1, 50, 99), axis=0)
    numbers = np.vstack([percentiles, values.mean(axis=0)]).round(4).T.tolist()
    return tuple(BandProfile(name, *row) for name, row in zip(BANDS, numbers, strict=True))


def _split_table(split: Split) -> str:
    rows = sorted((file, name) for name, part in split.parts().items() for file in part.files)
    return "file,split\n" + "".join(f"{file},{name}\n" for file, name in rows)
