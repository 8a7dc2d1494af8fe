"""The training of the pixel network: its loss, its averaged weights, and answers for chips that have one label."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from pixel_batches import BAND_SETS, COLOUR_LIMIT, RGB, Part, PixelBatches
from pixel_data import BANDS, CLASSES, TRUE_COLOR, Floats, Labelled, softmax
from pixel_scores import OF_PIXEL_CLASS, agreement, crosstab, ious

EMA_MOMENTUM = 0.995
"""Of the running average of the weights, which is what is kept."""
SHARPENED = 1.5
"""Exponent of the answers that are given to true-colour chips."""
ROUNDS = 8
"""Of fitting these answers to the composition of the chip's class."""
LEAST_SHARE = 0.002
"""Share that a class of pixels has at least in every class of chips."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the training."""

    epochs: int
    """After each the network is looked at and kept."""
    steps: int
    """Batches an epoch."""
    learning_rate: float
    """Largest; it rises over the first twentieth and falls to nearly nothing by a cosine."""
    counts: tuple[int, ...]
    """13-band chips, squares of patches, true-colour chips, and pieces of canvases in a batch."""
    seed: int
    """Of everything that is random."""


class AveragedWeights(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
    """The running average of the weights, which is looked at and kept, with all that a killed training needs."""

    def __init__(self, held: Labelled, log: Path, state: Path) -> None:
        """Prepare.

        Args:
            held: Chips that are held out.
            log: CSV file, to which a line an epoch is added.
            state: NPZ file, replaced after each epoch: weights, their average, and what the optimiser remembers.
        """
        super().__init__()
        self.held, self.log, self.state = held, log, state
        self.average: list[npt.NDArray[Any]] = []
        self.step = 0

    def restore(self, model: keras.Model) -> int:
        """Take a killed training up where its last epoch ended.

        Args:
            model: Compiled, as it was when that training began.

        Returns:
            The number of epochs that it had finished; 0 without a state.
        """
        model.optimizer.build(model.trainable_variables)
        if not self.state.exists():
            self.average = [np.array(weight) for weight in model.get_weights()]
            self.log.unlink(missing_ok=True)
            return 0
        with np.load(self.state) as file:
            model.set_weights(_listed(file, "weight"))
            self.average = _listed(file, "average")
            for variable, value in zip(model.optimizer.variables, _listed(file, "optimizer"), strict=True):
                variable.assign(value)
            self.step = int(file["step"])
            return int(file["epochs"])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Average; a young average forgets faster."""
        self.step += 1
        momentum = min(EMA_MOMENTUM, self.step / (self.step + 9))
        for old, new in zip(self.average, self.model.get_weights(), strict=True):
            old += (1 - momentum) * (new - old)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the average, and keep everything."""
        own = self.model.get_weights()
        self.model.set_weights(self.average)
        row = {"epoch": epoch + 1, "loss": round((logs or {}).get("loss", 0.0), 4)} | look_at(self.model, self.held)
        self.model.set_weights(own)
        unfinished = self.state.with_suffix(".unfinished.npz")
        optimizer = [np.asarray(keras.ops.convert_to_numpy(v)) for v in self.model.optimizer.variables]
        numbers = {"epochs": epoch + 1, "step": self.step}
        arrays = _named("weight", own) | _named("average", self.average) | _named("optimizer", optimizer)
        np.savez(unfinished, **numbers, **arrays)
        unfinished.replace(self.state)
        _add_line(self.log, row)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """The average is what comes out."""
        self.model.set_weights(self.average)


def _named(prefix: str, values: list[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {f"{prefix}{i}": value for i, value in enumerate(values)}


def _listed(file: Any, prefix: str) -> list[npt.NDArray[Any]]:
    count = sum(name.startswith(prefix) for name in file.files)
    return [file[f"{prefix}{i}"] for i in range(count)]


def fit(model: keras.Model, batches: PixelBatches, stage: Stage, held: Labelled, folder: Path, name: str) -> None:
    """Train a network by one stage; `folder` gets `<name>.keras` and `<name>.csv`."""
    total = stage.epochs * stage.steps
    warmup = total // 20
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, total - warmup, alpha=0.01, warmup_target=stage.learning_rate, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    state = folder / f"{name}.state.npz"
    average = AveragedWeights(held, folder / f"{name}.csv", state)
    batches.epoch = done = average.restore(model)
    model.fit(batches, epochs=stage.epochs, initial_epoch=done, callbacks=[average], verbose=2)
    unfinished = folder / f"{name}.unfinished.keras"
    model.save(unfinished)
    unfinished.replace(folder / f"{name}.keras")
    state.unlink()


def look_at(model: keras.Model, held: Labelled) -> dict[str, float]:
    """Mean IoU by group and agreement with the answers, for each set of bands."""
    reference = OF_PIXEL_CLASS[held.answers.argmax(axis=-1)]
    found: dict[str, float] = {}
    for name, flags in BAND_SETS.items():
        counts = crosstab(reference, OF_PIXEL_CLASS[predict(model, held.pictures, flags).argmax(axis=-1)])
        found |= {f"{name}_iou": float(ious(counts).mean()), f"{name}_agreement": agreement(counts)}
    return {key: round(value, 4) for key, value in found.items()}


def predict(model: keras.Model, pictures: Floats, flags: npt.NDArray[np.bool_]) -> Floats:
    """Probabilities `(n, height, width, 9)` of pictures with these bands."""
    there = np.repeat(flags[None].astype(np.float32), len(pictures), axis=0)
    answers: Floats = softmax(model.predict([pictures, there], batch_size=32, verbose=0))
    return answers


def compositions(taught: Labelled) -> Floats:
    """Share of each class of pixels in each class of chips, `(10, 9)`, as the teacher sees what is not held out."""
    shares = [taught.answers[(taught.kinds == kind) & ~taught.held].mean(axis=(0, 1, 2)) for kind in range(10)]
    raised = np.maximum(np.stack(shares), LEAST_SHARE)
    found: Floats = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def weak_answers(
    model: keras.Model, colours: npt.NDArray[np.uint8], kinds: npt.NDArray[np.int64], shares: Floats
) -> npt.NDArray[np.uint8]:
    """What the network says of true-colour chips, weighed so that each class of chips has its composition.

    Args:
        model: Trained on the other sources.
        colours: `(n, 64, 64, 3)`: red, green, blue.
        kinds: Class of each chip, `(n,)`.
        shares: Share of each class of pixels by class of chips, as `compositions` returns it.

    Returns:
        255 times the probabilities, sharpened, `(n, 64, 64, 9)`.
    """
    answers = np.empty((*colours.shape[:3], len(CLASSES)), np.uint8)
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        probabilities = np.concatenate([_of_colour(model, colours[part]) for part in np.array_split(members, 8)])
        weights = np.ones(len(CLASSES), np.float32)
        for _ in range(ROUNDS):
            sample = probabilities[:, ::4, ::4] * weights
            sample /= sample.sum(axis=-1, keepdims=True)
            weights *= np.clip(shares[kind] / np.maximum(sample.mean(axis=(0, 1, 2)), 1e-6), 0.2, 5.0)
        weights = np.clip(weights, 0.02, 50)
        sharp = (probabilities * weights) ** SHARPENED
        answers[members] = np.round(255 * sharp / sharp.sum(axis=-1, keepdims=True))
    return answers


def _of_colour(model: keras.Model, colours: npt.NDArray[np.uint8]) -> Floats:
    pictures = np.full((*colours.shape[:3], len(BANDS)), 0.1, np.float32)
    pictures[..., [BANDS.index(name) for name in TRUE_COLOR]] = colours.astype(np.float32) * (COLOUR_LIMIT / 255)
    return predict(model, pictures, RGB)


def part_of(labelled: Labelled) -> Part:
    """What may be trained on."""
    return Part(labelled.pictures[~labelled.held], labelled.answers[~labelled.held])


def _add_line(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
