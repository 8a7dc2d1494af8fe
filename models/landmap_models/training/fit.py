"""A network is trained in one phase or two, with checkpoints from which a killed training resumes."""

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
from landmap_models.datasets.windows import PixelBatches
from landmap_models.errors import ModelError
from landmap_models.training.checkpoints import Checkpoints, LogRow
from landmap_models.training.settings import TrainSettings

Batches = ChipBatches | PixelBatches
PLATEAU_EPOCHS, PLATEAU_FACTOR, PLATEAU_DELTA = 3, 0.2, 1e-4
"""Epochs without a lower loss after which the rate falls, factor by which it does, and least decrease of the loss."""
LONGEST_AVERAGE = 0.1
"""Largest share of the steps of a phase over which weights are averaged: a longer average would lag behind."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a training with one optimiser and one set of trainable layers."""

    name: str
    epochs: int
    learning_rate: float
    unfreeze: int | Literal["all"]
    """Number of the last layers of the base that are trained, or "all"; the head always is."""


def phases(settings: TrainSettings) -> list[Phase]:
    """The phases of a training: the head on a frozen base, if there are such epochs; then more of the network."""
    head = Phase("head", settings.head_epochs, settings.head_learning_rate, 0)
    rest = Phase(
        "fine-tune" if settings.head_epochs else "train", settings.epochs, settings.learning_rate, settings.unfreeze
    )
    return [phase for phase in (head, rest) if phase.epochs]


def fit(
    model: keras.Model,
    batches: Batches,
    validation: Batches,
    settings: TrainSettings,
    state: Path,
    *,
    tensorboard: Path | None = None,
    verbose: int = 2,
) -> list[LogRow]:
    """Train `model` in place through all phases.

    Args:
        model: Network whose head is found by `architectures.shape.is_head`.
        batches: Batches of the training part.
        validation: Batches of the validation part.
        settings: Settings of the training.
        state: Folder of the checkpoints; epochs that it holds are not repeated.
        tensorboard: Folder for TensorBoard's logs; None: no logs.
        verbose: Output of Keras: 0 nothing, 1 a progress bar, 2 a line an epoch.

    Returns:
        Losses and metrics, one row an epoch, with epochs counted through all phases.

    Raises:
        ModelError: The loss is not finite.
    """
    log: list[LogRow] = []
    for number, phase in enumerate(phases(settings)):
        kept = Checkpoints(state / f"{number}-{phase.name}", settings.patience)
        choose_trainable(model, phase.unfreeze, frozen_norm=settings.norm_is_frozen)
        compile_for(model, settings, phase, len(batches))
        done = kept.restore(model, len(batches))
        if done < phase.epochs and not kept.is_stalled:
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
    batches: Batches,
    validation: Batches,
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
    """Round to four decimals, or to four digits below 1, such as a learning rate."""
    return {name: round(value, 4) if abs(value) >= 1 else float(f"{value:.4g}") for name, value in row.items()}


def choose_trainable(model: keras.Model, unfreeze: int | Literal["all"], *, frozen_norm: bool) -> None:
    """Make the head and the last layers of the base trainable, and freeze the others.

    Args:
        model: Network; a base that is a single layer is frozen as a whole, or not at all.
        unfreeze: Number of layers with weights, from the output backwards, or "all".
        frozen_norm: Whether batch normalisation of the base stays in inference mode: a few small batches spoil its
            statistics.
    """
    base = [layer for layer in model.layers if layer.weights and not is_head(layer)]
    first = 0 if unfreeze == "all" else max(0, len(base) - unfreeze)
    for place, layer in enumerate(base):
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = place >= first and not (norm and frozen_norm)


def compile_for(model: keras.Model, settings: TrainSettings, phase: Phase, steps: int) -> None:
    """Compile a network for a phase: its loss, its optimiser, and the schedule of its learning rate.

    Args:
        model: Network, whose last activation chooses the loss.
        settings: Settings of the training.
        phase: Number of epochs and highest learning rate.
        steps: Number of batches in an epoch.
    """
    multi_label = model.get_layer(OUTPUT).activation is keras.activations.sigmoid
    loss = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    metrics = ["binary_accuracy" if multi_label else "accuracy"]
    per_pixel = len(model.output_shape) == 4  # weights of pixels without a label are 0, and metrics know it
    model.compile(
        _optimizer(settings, _rate(settings, phase, steps), average_momentum(settings, phase.epochs * steps)),
        loss(label_smoothing=settings.label_smoothing),
        metrics=None if per_pixel else metrics,
        weighted_metrics=metrics if per_pixel else None,
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
    """Compute the momentum of the average of the weights in a phase of so many steps; 0: no average."""
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
    """Compute the learning rate after epochs of these validation losses: a fifth after every three without a lower one.

    The callback of Keras counts in memory, and loses its count when a training is killed.

    Args:
        peak: Learning rate of the first epoch.
        losses: Validation loss of each epoch so far.
    """
    rate, lowest, waited = peak, math.inf, 0
    for loss in losses:
        waited = 0 if loss < lowest - PLATEAU_DELTA else waited + 1
        lowest = loss if not waited else lowest
        if waited == PLATEAU_EPOCHS:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate


def _epoch_start(
    model: keras.Model, batches: Batches, settings: TrainSettings, phase: Phase, kept: Checkpoints, first: int
) -> Callable[[int, Any], None]:
    """A callback that sets all that is random in an epoch, and its rate, from its number and the log."""

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
    """Check that logs for TensorBoard can be written.

    Raises:
        ModelError: TensorFlow or TensorBoard is not installed.
    """
    for name in ("tensorflow", "tensorboard"):
        if find_spec(name) is None:
            raise ModelError(f"Logs for TensorBoard need {name}, which is not installed: pip install {name}")
