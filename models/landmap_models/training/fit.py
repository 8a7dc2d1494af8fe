"""Fit a network in one phase or two, with checkpoints from which a killed training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import keras

from landmap_models.architectures.shape import OUTPUT, is_head
from landmap_models.datasets.chips import ChipBatches
from landmap_models.errors import ModelError
from landmap_models.training.checkpoints import Checkpoints, LogRow
from landmap_models.training.settings import TrainSettings

PLATEAU_EPOCHS, PLATEAU_FACTOR, PLATEAU_DELTA = 3, 0.2, 1e-4
"""Epochs in vain after which the rate falls, to which part, and by how much less a loss is lower."""
LONGEST_AVERAGE = 0.1
"""Share of a phase's steps that the average of the weights spans at most: a longer one would still be the beginning."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training with one optimiser and one set of layers that learn."""

    name: str
    epochs: int
    learning_rate: float
    unfreeze: int | Literal["all"]
    """How many of the base's last layers learn; the head always does."""


def phases(settings: TrainSettings) -> list[Phase]:
    """The head on a frozen base, if asked for; then as much of the network as asked for."""
    head = Phase("head", settings.head_epochs, settings.head_learning_rate, 0)
    rest = Phase(
        "fine-tune" if settings.head_epochs else "train", settings.epochs, settings.learning_rate, settings.unfreeze
    )
    return [phase for phase in (head, rest) if phase.epochs]


def fit(
    model: keras.Model,
    batches: ChipBatches,
    validation: ChipBatches,
    settings: TrainSettings,
    state: Path,
    *,
    tensorboard: Path | None = None,
    verbose: int = 2,
) -> list[LogRow]:
    """Train `model` in place through all phases.

    Args:
        model: The network, with the head as `architectures.shape.is_head` says.
        batches: The training part.
        validation: The validation part.
        settings: How to train.
        state: Folder of checkpoints. What it already holds is not done again.
        tensorboard: Folder for TensorBoard's logs.
        verbose: Of Keras.

    Returns:
        One row of losses and metrics an epoch, counted through all phases.

    Raises:
        ModelError: The loss is no number any more.
    """
    log: list[LogRow] = []
    for number, phase in enumerate(phases(settings)):
        kept = Checkpoints(state / f"{number}-{phase.name}", settings.patience)
        choose_trainable(model, phase.unfreeze, frozen_norm=settings.norm_is_frozen)
        _compile(model, settings, phase, len(batches))
        done = kept.restore(model, len(batches))
        if done < phase.epochs and not kept.in_vain:
            first = sum(p.epochs for p in phases(settings)[:number])
            begin = _epoch_start(model, batches, settings, phase, kept, first)
            callbacks = _callbacks(model, kept, begin, tensorboard and tensorboard / phase.name)
            _run(model, batches, validation, (done, phase.epochs), callbacks, verbose)
        else:
            model.optimizer.finalize_variable_values(model.trainable_variables)  # the average, as `fit` does at its end
        if settings.patience:
            kept.load_best(model)
        log += [{"phase": phase.name} | _rounded(row) for row in kept.log]
    return [{"epoch": epoch} | row for epoch, row in enumerate(log)]


def _run(
    model: keras.Model,
    batches: ChipBatches,
    validation: ChipBatches,
    epochs: tuple[int, int],
    callbacks: Sequence[Any],
    verbose: int,
) -> None:
    model.fit(
        batches,
        validation_data=validation,
        initial_epoch=epochs[0],
        epochs=epochs[1],
        shuffle=False,  # the batches are in their epoch's own order, whatever the number of workers
        callbacks=callbacks,
        verbose=verbose,
    )


def _rounded(row: LogRow) -> LogRow:
    """Four decimals, or four digits of what is small, such as a learning rate."""
    return {name: round(value, 4) if abs(value) >= 1 else float(f"{value:.4g}") for name, value in row.items()}


def choose_trainable(model: keras.Model, unfreeze: int | Literal["all"], *, frozen_norm: bool) -> None:
    """Let the head learn, and the last `unfreeze` layers of the base.

    Args:
        model: Any network; layers of a base that is one layer itself are frozen or not as a whole.
        unfreeze: Number of layers that have weights, from the output backwards, or "all".
        frozen_norm: Keep batch normalisation of the base in inference mode, whose statistics a few small batches spoil.
    """
    base = [layer for layer in model.layers if layer.weights and not is_head(layer)]
    first = 0 if unfreeze == "all" else max(0, len(base) - unfreeze)
    for place, layer in enumerate(base):
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = place >= first and not (norm and frozen_norm)


def _compile(model: keras.Model, settings: TrainSettings, phase: Phase, steps: int) -> None:
    multi_label = model.get_layer(OUTPUT).activation is keras.activations.sigmoid
    loss = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    model.compile(
        _optimizer(settings, _rate(settings, phase, steps), average_momentum(settings, phase.epochs * steps)),
        loss(label_smoothing=settings.label_smoothing),
        metrics=["binary_accuracy" if multi_label else "accuracy"],
    )


def _rate(settings: TrainSettings, phase: Phase, steps: int) -> Any:
    total, peak = phase.epochs * steps, float(phase.learning_rate)
    if settings.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(peak, total, 0.01)
    if settings.schedule != "cosine":
        return peak
    warmup = min(round(settings.warmup_epochs * steps), total // 2)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else peak,
        decay_steps=max(1, total - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def average_momentum(settings: TrainSettings, steps: int) -> float:
    """Momentum of the average of the weights in a phase of so many steps; 0: no average."""
    return max(0.0, min(settings.ema_momentum, 1 - 1 / (LONGEST_AVERAGE * steps)))


def _optimizer(settings: TrainSettings, rate: Any, momentum: float) -> Any:
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": momentum} if momentum else {}
    match settings.optimizer:
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, **average)
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **average)
        case name:
            return {
                "adam": keras.optimizers.Adam,
                "adagrad": keras.optimizers.Adagrad,
                "rmsprop": keras.optimizers.RMSprop,
            }[name](rate, **average)


def plateau_rate(peak: float, losses: Sequence[float]) -> float:
    """The learning rate after epochs of these validation losses: a fifth for every three epochs in vain.

    Keras's own callback counts in memory, and forgets when a training is killed.
    """
    rate, lowest, waited = peak, math.inf, 0
    for loss in losses:
        waited = 0 if loss < lowest - PLATEAU_DELTA else waited + 1
        lowest = loss if not waited else lowest
        if waited == PLATEAU_EPOCHS:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate


def _epoch_start(
    model: keras.Model, batches: ChipBatches, settings: TrainSettings, phase: Phase, kept: Checkpoints, first: int
) -> Callable[[int, Any], None]:
    """What an epoch begins with: all that is random in it, and its rate, follow from its number and the log."""

    def begin(epoch: int, logs: object = None) -> None:
        batches.start_epoch(first + epoch)
        for place, layer in enumerate(model.layers):
            seeds = getattr(layer, "seed_generator", None)  # of dropout; no part of a checkpoint
            if seeds is not None:
                seeds.state.assign([(settings.seed + 7919 * place) % 2**32, first + epoch])
        if settings.schedule == "plateau":
            model.optimizer.learning_rate = plateau_rate(phase.learning_rate, kept.losses)

    return begin


def _callbacks(
    model: keras.Model, kept: Checkpoints, begin: Callable[[int, Any], None], tensorboard: Path | None
) -> list[Any]:
    chosen: list[Any] = [keras.callbacks.LambdaCallback(on_epoch_begin=begin), kept]
    if model.optimizer.use_ema:
        chosen.append(keras.callbacks.SwapEMAWeights())
    if tensorboard is not None:
        chosen.append(keras.callbacks.TensorBoard(str(tensorboard), write_graph=False))
    return chosen


def check_tensorboard() -> None:
    """Look for what logs for TensorBoard need.

    Raises:
        ModelError: It is not installed.
    """
    for name in ("tensorflow", "tensorboard"):
        if find_spec(name) is None:
            raise ModelError(f"Logs for TensorBoard need {name}, which is not installed: pip install {name}")
