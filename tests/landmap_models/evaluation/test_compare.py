"""Two tiny networks, trained and put side by side."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from landmap_models.errors import ModelError, ReportError
from landmap_models.evaluation import compare as module
from landmap_models.evaluation.compare import Comparison, compare
from landmap_models.training.settings import TrainSettings

BUDGET: dict[str, Any] = {"epochs": 1, "batch_size": 16, "precision": "float32", "ema_momentum": 0.0}


def networks(**changes: Any) -> dict[str, TrainSettings]:
    """Two tiny networks."""
    given = {"architecture": "cnn"} | BUDGET | changes
    small = TrainSettings(name="small", filters=(2,), dense=4, **given)
    return {"small": small, "wide": TrainSettings(name="wide", filters=(4, 4), dense=8, dropout=0.1, **given)}


@pytest.fixture(scope="module")
def done(chip_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path, list[str]]:
    """A comparison that was stopped before its second network and started again; and the trainings, in order."""
    output, trained = tmp_path_factory.mktemp("comparison") / "out", []
    train = module.train

    def stopped(*args: Any, **options: Any) -> Any:
        trained.append(args[2].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            compare(chip_zip, networks(), output, verbose=0)
        assert not output.exists()
        begun: list[str] = []
        found = compare(chip_zip, networks(), output, verbose=0, begin=begun.append)
    assert begun == ["small", "wide"]
    return found, output, trained


def test_what_was_finished_is_not_done_again(done: tuple[Comparison, Path, list[str]]) -> None:
    assert done[2] == ["small", "wide", "wide"]
    assert [p.name for p in done[1].parent.iterdir()] == ["out"]


def test_the_table_says_what_each_came_to(done: tuple[Comparison, Path, list[str]]) -> None:
    found, output, _ = done
    assert [row.name for row in found.rows] == ["small", "wide"]
    assert found.rows[0].parameters == (3 * 3 * 3 * 2 + 2) + (7 * 7 * 2 * 4 + 4) + (4 * 3 + 3)
    with (output / "comparison.csv").open() as file:
        table = list(csv.DictReader(file))
    for row, line in zip(found.rows, table, strict=True):
        assert line["network"] == row.name
        assert int(line["parameters"]) == row.parameters
        report = json.loads((output / row.name / "metrics.json").read_text())
        assert float(line["macro_f1"]) == report["macro_f1"]["value"] == row.metrics["macro_f1"]["value"]
        assert report["part"] == "test"
        assert row.megabytes == pytest.approx((output / f"{row.name}.keras").stat().st_size / 1e6)
        assert row.chips_per_second > 10
        assert 0 < row.minutes < 5
        assert (output / f"{row.name}.history.csv").exists()


def test_there_is_a_picture(done: tuple[Comparison, Path, list[str]]) -> None:
    with Image.open(done[1] / "comparison.png") as picture:
        assert min(picture.size) > 300


def test_nothing_is_replaced_unasked(done: tuple[Comparison, Path, list[str]], chip_zip: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"exists already.*--overwrite"):
        compare(chip_zip, networks(), done[1])
    (tmp_path / "thesis").mkdir()
    with pytest.raises(ReportError, match="is no comparison"):
        compare(chip_zip, networks(), tmp_path / "thesis", overwrite=True)
    with pytest.raises(ReportError, match="in a folder that exists"):
        compare(chip_zip, networks(), tmp_path / "no" / "out")


def test_all_networks_are_built_before_the_first_is_trained(
    chip_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train", lambda *args, **options: pytest.fail("a training began"))
    larger = TrainSettings(name="larger", architecture="cnn", input_size=96, **BUDGET)
    with pytest.raises(ModelError, match="larger: cnn has no option --input-size"):
        compare(chip_zip, networks() | {"larger": larger}, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_networks_are_compared_on_the_same_chips(chip_zip: Path, tmp_path: Path) -> None:
    other = TrainSettings(name="other", architecture="cnn", seed=2, **BUDGET)
    with pytest.raises(ModelError, match=r"other: seed: expected 1 as for small.*Received: 2"):
        compare(chip_zip, networks() | {"other": other}, tmp_path / "out")


def test_another_comparison_is_not_gone_on_with(
    chip_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        compare(chip_zip, networks(), tmp_path / "out")
    with pytest.raises(ModelError, match="unfinished comparison of other networks, data or settings"):
        compare(chip_zip, networks(epochs=2), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        compare(chip_zip, networks(), tmp_path / "out")
