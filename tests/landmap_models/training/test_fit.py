"""Real fits of tiny networks on tiny chips: interrupted ones must end where uninterrupted ones do."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landmap_models.architectures import build
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.shape import NetworkShape, probabilities
from landmap_models.datasets.chips import ChipBatches, ChipFolder, open_chips
from landmap_models.errors import ModelError
from landmap_models.training import fit as module
from landmap_models.training.checkpoints import HISTORY, LAST
from landmap_models.training.fit import average_momentum, check_tensorboard, choose_trainable, fit, phases, plateau_rate
from landmap_models.training.settings import OPTIMIZERS, TrainSettings

SHAPE = NetworkShape(3, chip_size=16)
QUICK = TrainSettings(
    architecture="cnn", epochs=4, batch_size=8, ema_momentum=0.8, precision="float32", learning_rate=0.02
)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipFolder:
    """36 chips of 16x16 px in three classes that overlap."""
    path, rng = tmp_path_factory.mktemp("tiny") / "tiny.zip", np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(("a", "b", "c")):
            for i in range(12):
                picture = rng.normal(90 + 25 * k, 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                held = io.BytesIO()
                Image.fromarray(picture).save(held, "PNG")
                archive.writestr(f"{name}/{i}.png", held.getvalue())
    return open_chips(path)


class InterruptionError(Exception):
    """Stands for a kill."""


@dataclasses.dataclass
class Interrupt:
    """An augmentation that changes every chip at random, and breaks off at its nth batch."""

    at: int | None = None
    seen: int = 0

    def __call__(self, values: Any, labels: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        self.seen += 1
        if self.seen == self.at:
            raise InterruptionError
        return values * rng.uniform(0.9, 1.1, (len(values), 1, 1, 1)).astype(np.float32), labels


Fitted = tuple[Any, list[dict[str, Any]]]
Run = Callable[..., Fitted]


@pytest.fixture
def run(chips: ChipFolder, tmp_path: Path, keras: Any) -> Run:
    """A function that builds a network and fits it; breaks off at a batch if told to."""

    def run(
        settings: TrainSettings, state: str = "state", at: int | None = None, workers: int = 1, **options: Any
    ) -> Fitted:
        folder = tmp_path / state
        folder.mkdir(exist_ok=True)
        keras.utils.set_random_seed(settings.seed)
        model = build("cnn", SHAPE, ArchitectureOptions(**({"filters": (4,), "dense": 8} | options)))
        batches = ChipBatches(chips, settings.batch_size, Interrupt(at), settings.seed, workers=workers)
        return model, fit(model, batches, ChipBatches(chips, 16), settings, folder, verbose=0)

    return run


def same(one: Fitted, other: Fitted) -> bool:
    """Whether weights and log are equal to the last bit, but for the time it took."""
    logs = [[{k: v for k, v in row.items() if k != "seconds"} for row in log] for _, log in (one, other)]
    weights = zip(one[0].get_weights(), other[0].get_weights(), strict=True)
    return logs[0] == logs[1] and all(np.array_equal(a, b) for a, b in weights)


VARIANTS = {
    "falling rate, early stopping": (
        dataclasses.replace(QUICK, schedule="plateau", patience=7, epochs=8, learning_rate=1e-5, optimizer="sgd"),
        33,
    ),
    "in the head's epochs": (dataclasses.replace(QUICK, head_epochs=2, epochs=1), 8),
    "in the epochs after": (dataclasses.replace(QUICK, head_epochs=3, epochs=2), 23),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_an_interrupted_fit_ends_where_an_uninterrupted_one_does(name: str, run: Run) -> None:
    """To the last bit: two optimisers, averaged weights, dropout, augmentation, a rate that falls by the log."""
    settings, at = VARIANTS[name]
    whole = run(settings, "whole", dropout=0.5)
    if settings.schedule == "plateau":
        assert [row["learning_rate"] for row in whole[1][2:6]] == [1e-5, 1e-5, 2e-6, 2e-6], "steps too small to help"
    with pytest.raises(Exception, match="InterruptionError"):
        run(settings, "broken", at, dropout=0.5)
    assert same(run(settings, "broken", dropout=0.5), whole)


def test_what_a_kill_left_half_done_is_not_believed(run: Run, tmp_path: Path) -> None:
    """A log and best weights of an epoch whose state was never saved, and a file that was being written."""
    settings = dataclasses.replace(QUICK, patience=9)
    whole = run(settings, "whole")
    with pytest.raises(Exception, match="InterruptionError"):
        run(settings, "broken", 13)
    folder = tmp_path / "broken" / "0-train"
    rows = json.loads((folder / HISTORY).read_text())
    assert len(rows) == 2
    (folder / HISTORY).write_text(json.dumps([*rows, rows[0] | {"val_loss": 0.0}]))
    (folder / "best-2.weights.h5").write_bytes((folder / LAST).read_bytes())
    (folder / f".1.{LAST}").write_text("half")
    assert same(run(settings, "broken"), whole)


def test_the_best_weights_are_kept_and_waiting_ends(run: Run, chips: ChipFolder) -> None:
    """At a rate that spoils the network, its best epoch is not its last; the loss is that of the averaged weights."""
    settings = dataclasses.replace(QUICK, epochs=30, patience=2, learning_rate=0.15, schedule="constant")
    model, log = run(settings)
    losses = [row["val_loss"] for row in log]
    assert losses.index(min(losses)) == len(losses) - 3
    assert len(losses) < 30
    found = model.evaluate(ChipBatches(chips, 16), verbose=0)[0]
    assert found == pytest.approx(min(losses), rel=1e-3)
    again, same_log = run(settings)
    assert same((again, same_log), (model, log)), "a training that had stopped is not gone on with"


def test_without_patience_the_average_of_the_last_epoch_is_kept(run: Run, chips: ChipFolder) -> None:
    model, log = run(QUICK)
    assert [row["epoch"] for row in log] == [0, 1, 2, 3]
    assert model.evaluate(ChipBatches(chips, 16), verbose=0)[0] == pytest.approx(log[-1]["val_loss"], rel=1e-3)
    assert not same(run(dataclasses.replace(QUICK, seed=2), "other"), (model, log)), "or `same` would prove nothing"


def test_no_epoch_has_the_batches_of_another(run: Run, chips: ChipFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both phases count on: what the second learns from is not what the first did. Nothing is drawn ahead of time."""
    seen: list[tuple[int, int]] = []
    get = ChipBatches.__getitem__

    def record(batches: ChipBatches, index: int) -> Any:
        if batches.augment is not None:
            seen.append((batches.epoch, index))
        return get(batches, index)

    monkeypatch.setattr(ChipBatches, "__getitem__", record)
    settings = dataclasses.replace(QUICK, head_epochs=2, epochs=2, head_learning_rate=3e-5, schedule="constant")
    _, log = run(settings, workers=2)
    assert sorted(set(seen)) == [(epoch, index) for epoch in range(4) for index in range(5)]
    assert [row["epoch"] for row in log] == [0, 1, 2, 3]
    assert [row["phase"] for row in log] == ["head", "head", "fine-tune", "fine-tune"]
    assert [row["learning_rate"] for row in log] == [3e-5, 3e-5, 0.02, 0.02]
    assert all(row["seconds"] > 0 for row in log)


def test_a_loss_that_is_no_number_ends_the_training(run: Run, tmp_path: Path) -> None:
    settings = dataclasses.replace(QUICK, optimizer="sgd", learning_rate=1e30, ema_momentum=0.0, schedule="constant")
    with pytest.raises(ModelError, match=r"Epoch 1: expected a finite loss. Received: nan.* lower learning rate"):
        run(settings)
    assert not list(tmp_path.rglob("*.h5"))


# What is put together for a fit.


def test_the_frozen_layers_are_those_asked_for() -> None:
    model = build("compact", NetworkShape(3), ArchitectureOptions(filters=(2, 2, 2, 2)))
    base = [layer for layer in model.layers if layer.weights][:-1]

    def learning() -> list[bool]:
        return [bool(layer.trainable_weights) for layer in base]

    choose_trainable(model, 0, frozen_norm=True)
    assert not any(learning())
    assert model.layers[-1].trainable
    choose_trainable(model, 3, frozen_norm=False)
    assert learning() == [False] * (len(base) - 3) + [True] * 3
    choose_trainable(model, "all", frozen_norm=False)
    assert all(learning())
    choose_trainable(model, 10_000, frozen_norm=True)
    assert learning() == ["normalization" not in layer.name for layer in base]


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norms_run_as_in_inference(frozen: bool, chips: ChipFolder, tmp_path: Path, keras: Any) -> None:
    """Their statistics stay, and so does what they make of a batch."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(name="norm")(inputs))
    model = keras.Model(inputs, probabilities(x, SHAPE))
    before = [w.copy() for w in model.get_layer("norm").get_weights()]
    settings = dataclasses.replace(QUICK, epochs=1, frozen_norm=frozen)
    fit(model, ChipBatches(chips, 8, seed=1), ChipBatches(chips, 16), settings, tmp_path, verbose=0)
    after = model.get_layer("norm").get_weights()
    assert all(np.array_equal(a, b) == frozen for a, b in zip(before, after, strict=True))


def test_phases_are_those_with_epochs() -> None:
    def names(head_epochs: int, epochs: int) -> list[tuple[str, Any]]:
        settings = dataclasses.replace(QUICK, head_epochs=head_epochs, epochs=epochs, unfreeze=7)
        return [(phase.name, phase.unfreeze) for phase in phases(settings)]

    assert names(0, 1) == [("train", 7)]
    assert names(2, 1) == [("head", 0), ("fine-tune", 7)]
    assert names(2, 0) == [("head", 0)]


@pytest.mark.parametrize(
    ("losses", "rate"),
    [
        ([], 1.0),
        ([3, 2, 1], 1.0),
        ([1, 2, 3, 4], 0.2),
        ([1, 2, 3, 0.5, 1, 2], 1.0),
        ([1, 1, 1, 1, 1, 1, 1], 0.04),
        ([1, 0.99998, 0.99996, 0.99994], 0.2),  # not lower by a ten-thousandth
    ],
)
def test_the_rate_falls_after_three_epochs_in_vain(losses: list[float], rate: float) -> None:
    assert plateau_rate(1.0, losses) == pytest.approx(rate)


def compiled(settings: TrainSettings) -> Any:
    """The optimizer of ten epochs of 100 steps at a rate of 0.1."""
    model = build("cnn", SHAPE, ArchitectureOptions(filters=(4,), dense=8))
    module.compile_for(model, settings, module.Phase("train", 10, 0.1, "all"), 100)
    return model.optimizer


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 2, [0.1, 0.1, 0.1]),
        ("exponential", 2, [0.1, 0.01, 0.001]),
        ("cosine", 0, [0.1, 0.05, 0.0]),
        ("cosine", 99, [0.0, 0.1, 0.0]),  # a warm-up takes half of the steps at most
    ],
)
def test_schedules_at_begin_middle_and_end(schedule: Any, warmup: float, rates: list[float]) -> None:
    settings = dataclasses.replace(QUICK, schedule=schedule, warmup_epochs=warmup)
    optimizer, found = compiled(settings), []
    for step in (0, 500, 1000):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    assert found == pytest.approx(rates, abs=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_those_named(name: Any) -> None:
    found = compiled(dataclasses.replace(QUICK, optimizer=name, weight_decay=0.3, ema_momentum=0.8))
    assert type(found).__name__.lower() == name
    assert (found.use_ema, found.ema_momentum) == (True, 0.8)
    assert found.weight_decay == (0.3 if name == "adamw" else None)
    assert not compiled(dataclasses.replace(QUICK, optimizer=name, ema_momentum=0.0)).use_ema


@pytest.mark.parametrize(
    ("momentum", "steps", "used"),
    [(0.998, 8640, 0.998), (0.998, 500, 0.98), (0.9, 500, 0.9), (0.998, 20, 0.5), (0.998, 9, 0.0), (0.0, 500, 0.0)],
)
def test_the_average_is_never_that_of_the_beginning(momentum: float, steps: int, used: float) -> None:
    """A momentum of 0.998 would keep 98 % of the first weights after nine steps."""
    settings = dataclasses.replace(QUICK, ema_momentum=momentum)
    assert average_momentum(settings, steps) == pytest.approx(used)


def test_missing_tensorboard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "tensorboard" else name)
    with pytest.raises(ModelError, match="need tensorboard, which is not installed: pip install tensorboard"):
        check_tensorboard()
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    check_tensorboard()
