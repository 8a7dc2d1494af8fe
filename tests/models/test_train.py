"""A real training, small enough to wait for."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.card import read_card
from landmap_models.datasets import open_chips, to_reflectance
from landmap_models.errors import DatasetError, ModelError
from landmap_models.keras_classifier import load_classifier
from landmap_models.metrics import measure, wilson_interval
from landmap_models.splits import stratified_split
from landmap_models.train import TrainSettings, _open_state, train

QUICK = TrainSettings(name="quick", epochs=3, batch_size=16, ema_momentum=0.8, precision="float32")


def test_a_training_learns_and_its_card_tells_the_truth(chip_zip: Path, tmp_path: Path) -> None:
    path = tmp_path / "quick.keras"
    settings = dataclasses.replace(QUICK, epochs=8)
    card = train(chip_zip, path, settings)
    assert card == read_card(path)
    assert [p.name for p in tmp_path.iterdir()] == ["quick.keras"]
    assert card.training["settings"] == dataclasses.asdict(settings)
    assert [row["epoch"] for row in card.training["log"]] == list(range(8))
    assert card.training["split"]["parts"]["train"]["chips"] == 72
    test = stratified_split(open_chips(chip_zip), settings.seed).test
    predicted = load_classifier(path).predict(to_reflectance(test.read())).argmax(axis=1)
    correct = int((predicted == np.asarray(test.labels)).sum())
    assert card.metrics["accuracy"] == wilson_interval(correct, 9)
    assert correct >= 6, "three classes that a child tells apart"


def test_the_written_model_has_no_trace_of_its_training_precision(chip_zip: Path, tmp_path: Path, keras: Any) -> None:
    path = tmp_path / "mixed.keras"
    train(chip_zip, path, dataclasses.replace(QUICK, epochs=1, precision="mixed_bfloat16"))
    assert {layer.dtype_policy.name for layer in keras.models.load_model(path).layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", ["model.h5", "there.keras"])
def test_outputs_are_checked_before_the_work(name: str, chip_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "there.keras").write_text("precious")
    with pytest.raises(ModelError, match=r"ends in .keras|exists already"):
        train(chip_zip, tmp_path / name, QUICK)


def test_chips_must_be_square(tmp_path: Path) -> None:
    from PIL import Image

    for name in "ab":
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(tmp_path / "chips" / name / f"{i}.png")
    with pytest.raises(DatasetError, match="expected square chips"):
        train(tmp_path / "chips", tmp_path / "model.keras", QUICK)


def test_measures_against_counting_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 1, 0]]
    found = measure(labels, probabilities, ("a", "b", "c"))
    assert found["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["accuracy"]["low"] < 4 / 6 < found["accuracy"]["high"]
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found["per_class"]["b"] == {"precision": 0.6667, "recall": 1.0, "f1": 0.8, "support": 2}
    assert found["per_class"]["c"]["recall"] == 0
    assert found["macro_f1"]["value"] == pytest.approx((2 / 3 + 0.8 + 0) / 3, abs=1e-4)


def test_wilsons_interval_against_the_formula() -> None:
    n, p, z = 2160, 2074 / 2160, 1.959964
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = wilson_interval(2074, 2160)
    assert (found["low"], found["high"]) == pytest.approx((center - half, center + half), abs=1e-4)


def test_a_killed_training_goes_on_after_its_last_epoch(chip_zip: Path, tmp_path: Path) -> None:
    """A real process, killed in the middle of its third epoch; the second start finishes it."""
    path, settings = tmp_path / "model.keras", dataclasses.replace(QUICK, epochs=5)
    code = f"from landmap_models.train import *; train({str(chip_zip)!r}, {str(path)!r}, {settings!r})"
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 3/5"):
            break
    process.kill()
    process.communicate()
    assert not path.exists()
    with pytest.raises(ModelError, match="unfinished training with other data or settings"):
        train(chip_zip, path, dataclasses.replace(settings, seed=9))
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Epoch 1/5" not in again.stdout
    assert "Epoch 2/5" not in again.stdout
    assert "Epoch 5/5" in again.stdout
    assert [row["epoch"] for row in read_card(path).training["log"]] == [0, 1, 2, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]


def test_a_training_of_changed_pixels_is_not_continued(chip_zip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chips.zip"
    copy.write_bytes(chip_zip.read_bytes())
    state = tmp_path / "model.keras.training"
    split = stratified_split(open_chips(copy), QUICK.seed)
    _open_state(state, split, QUICK)
    _open_state(state, split, QUICK)
    with zipfile.ZipFile(chip_zip) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(old.namelist()[0]))
    with pytest.raises(ModelError, match="unfinished training with other data"):
        _open_state(state, stratified_split(open_chips(copy), QUICK.seed), QUICK)
