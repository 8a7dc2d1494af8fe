"""The command line, as a user types it: in a process of its own where streams and exit codes matter."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

from landmap.cli import SECTIONS, cli
from landmap.errors import SettingsError
from landmap.settings import Settings
from landmap_models.datasets.chips import open_chips
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import packaged_models
from landmap_models.training.settings import TrainSettings

needs_model = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")


def landmap(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from landmap.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    values = ordinary(150, 210)
    values[:, :20, :30] = 0
    return write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"})


@needs_model
def test_classify_writes_the_map_and_says_what_it_covers(scene: Path, tmp_path: Path) -> None:
    done = landmap("classify", scene, "-o", tmp_path / "cover.tif", "--confidence", tmp_path / "conf.tif")
    assert done.returncode == 0
    assert done.stderr == "", "no warning is due, and no bar where stderr is not a terminal"
    for text in (
        "hectares",
        "Mpx/s",
        "chips/s",
        "1.9 % nodata",
        str(tmp_path / "cover.tif"),
        str(tmp_path / "conf.tif"),
    ):
        assert text in done.stdout
    with rasterio.open(tmp_path / "cover.tif") as file:
        classes = file.read(1)
    assert (classes[:20, :30] == 255).all()
    assert (classes != 255).sum() == 150 * 210 - 600


@needs_model
def test_quiet_is_quiet(scene: Path, tmp_path: Path) -> None:
    done = landmap("classify", scene, "-o", tmp_path / "cover.tif", "--quiet", "--stride", "64")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_model
def test_an_error_is_one_line_and_exit_status_1(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "cover.tif").write_text("precious")
    done = landmap("classify", scene, "-o", tmp_path / "cover.tif")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("landmap: error: ")
    assert done.stderr.count("\n") == 1
    assert "--overwrite" in done.stderr
    assert (tmp_path / "cover.tif").read_text() == "precious"


@needs_model
@pytest.mark.parametrize("options", [("--bands", "3,2"), ("--scale", "nan")])
def test_a_setting_that_can_not_be_meant_is_exit_status_2(options: tuple[str, str], scene: Path) -> None:
    done = landmap("plan", scene, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("landmap: error: ")
    assert done.stderr.count("\n") == 1


def test_a_file_used_as_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for name in ("a", "b"):
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (64, 64)).save(tmp_path / "chips" / name / f"{i}.png")
    done = landmap("train", tmp_path / "chips", "-o", tmp_path / "file" / "x.keras")
    assert done.returncode == 1
    assert done.stderr.startswith("landmap: error: ")
    assert "expected a file in a folder that exists" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_model
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_behind_stdout_is_one_line(options: tuple[str, ...], scene: Path) -> None:
    command = [sys.executable, "-c", "from landmap.cli import main; main()", "plan", str(scene), *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr == "landmap: error: [Errno 28] No space left on device\n"


@needs_model
def test_a_reader_that_goes_away_is_no_error(scene: Path) -> None:
    command = [sys.executable, "-c", "from landmap.cli import main; main()", "plan", str(scene)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=300), errors) == (1, "")


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    done = landmap("models", "show", tmp_path / "none.keras", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ModelError" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", "scene.tif"),
        ("classify", "scene.tif", "-o", "out.tif", "--stride", "7"),
        ("classify", "scene.tif", "-o", "out.tif", "--offset", "some"),
        ("classify", "scene.tif", "-o", "out.tif", "--scale", "percent"),
        ("unknown",),
    ],
)
def test_wrong_usage_is_exit_status_2(arguments: tuple[str, ...]) -> None:
    done = landmap(*arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr


@needs_model
def test_plan_prints_what_was_decided(scene: Path) -> None:
    text = CliRunner().invoke(cli, ["plan", str(scene)]).output
    for part in ("150 rows x 210 columns", "B04 is band 1", "L1C (the file's tag PROCESSING_LEVEL)", "stride of 8 px"):
        assert part in text
    made = json.loads(CliRunner().invoke(cli, ["plan", str(scene), "--json", "--stride", "64"]).stdout)
    assert made["grid"] == {
        "chip_size": 64,
        "stride": 64,
        "windows": 12,
        "cells": [3, 4],
        "method": "chip by chip: windows do not overlap",
    }
    assert made["scene"]["bands"] == {"B04": 1, "B03": 2, "B02": 3}
    assert made["radiometry"]["origins"]["offset"] == "the file's tag RADIO_ADD_OFFSET"
    assert made["warnings"] == []


@needs_model
def test_models_lists_and_shows(tmp_path: Path) -> None:
    listed = CliRunner().invoke(cli, ["models"]).output
    assert "compact-eurosat-rgb" in listed
    assert "(default)" in listed
    shown = CliRunner().invoke(cli, ["models", "show", "default"]).output
    assert "64x64 px chips of B04, B03, B02, 10 m, L1C" in shown
    assert "accuracy 9" in shown
    card = json.loads(CliRunner().invoke(cli, ["models", "show", "compact-eurosat-rgb", "--json"]).output)
    assert card["weights_sha256"] in shown


@needs_model
def test_describe_gives_a_model_its_card(tmp_path: Path) -> None:
    from landmap_models.model_file.archive import CARD_MEMBER, read_card

    (packaged,) = packaged_models().values()

    bare = tmp_path / "bare.keras"
    with zipfile.ZipFile(packaged) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():
            if name != CARD_MEMBER:
                new.writestr(name, old.read(name))
    refused = CliRunner().invoke(cli, ["models", "show", str(bare)])
    assert "landmap models describe" in str(refused.exception)
    (tmp_path / "card.json").write_text(read_card(packaged).to_json())
    done = CliRunner().invoke(cli, ["models", "describe", str(bare), "--card", str(tmp_path / "card.json")])
    assert done.exit_code == 0
    assert read_card(bare) == read_card(packaged)


@needs_model
def test_describe_says_what_is_missing_and_what_does_not_go_together(tmp_path: Path) -> None:
    (packaged,) = packaged_models().values()
    bare = tmp_path / "my bare.keras"
    bare.write_bytes(packaged.read_bytes())
    refused = CliRunner().invoke(cli, ["models", "describe", str(bare), "-o", str(tmp_path / "new.keras")])
    assert "--bands" in str(refused.exception)
    told = ["--bands", "B04,B03,B02", "--card", "card.json"]
    mixed = CliRunner().invoke(cli, ["models", "describe", str(bare), *told])
    assert (mixed.exit_code, "leave out --bands" in mixed.output) == (2, True)
    names = ",".join(read_names(packaged))
    told = ["--bands", "B04,B03,B02", "--classes", names, "--level", "L1C", "--template", "default"]
    done = CliRunner().invoke(cli, ["models", "describe", str(bare), *told, "-o", str(tmp_path / "new one.keras")])
    assert done.exit_code == 0, done.exception
    assert done.output.startswith("new one 1\n")
    assert "not recorded" in done.output
    missing = CliRunner().invoke(cli, ["classify", "scene.tif", "-o", "x.tif", "--model", str(tmp_path / "no.keras")])
    assert "no.keras: no such file, but my bare.keras, new one.keras" in str(missing.exception)


def read_names(path: Path) -> tuple[str, ...]:
    from landmap_models.model_file.archive import read_card

    return read_card(path).legend.names


def test_a_class_of_one_chip_is_named_before_any_is_opened(tmp_path: Path) -> None:
    """The chips are no pictures: nothing was decoded. Without that class, that is what is told."""
    for name, n in (("Forest", 4), ("Highway", 1), ("River", 4)):
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(n):
            (tmp_path / "chips" / name / f"{i}.jpg").touch()
    command = ["train", str(tmp_path / "chips"), "-o", str(tmp_path / "t.keras")]
    refused = CliRunner().invoke(cli, command)
    assert re.search(r"at least 3 chips of each class.*too few of Highway \(1\)\. Add", str(refused.exception))
    (tmp_path / "chips/Highway").rename(tmp_path / "Highway")
    assert "8 of 8 files can't be used" in str(CliRunner().invoke(cli, command).exception)


def test_example_writes_a_scene_and_its_truth(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["example", str(tmp_path / "s.tif"), "--size", "128", "--seed", "2"])
    assert done.output.split() == [str(tmp_path / "s.tif"), str(tmp_path / "s_truth.tif")]
    with rasterio.open(tmp_path / "s.tif") as file:
        assert file.shape == (128, 128)


@needs_model
def test_quicklook_draws_a_picture(scene: Path, tmp_path: Path) -> None:
    cover, picture = tmp_path / "cover.tif", tmp_path / "map.png"
    assert CliRunner().invoke(cli, ["classify", str(scene), "-o", str(cover), "--stride", "64"]).exit_code == 0
    assert CliRunner().invoke(cli, ["quicklook", str(scene), str(cover), "-o", str(picture)]).exit_code == 0
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[1] > pixels.shape[0]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500, "a true-colour half and a legend"
    again = CliRunner().invoke(cli, ["quicklook", str(scene), str(cover), "-o", str(picture)])
    assert "exists already" in str(again.exception)


def test_help_and_version() -> None:
    assert "classify" in CliRunner().invoke(cli, ["--help"]).output
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("landmap 0.")
    for name, command in cli.commands.items():
        assert command.help, name


@needs_model
def _heed() -> None:
    """In the new process: heed a closed terminal, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_terminated_run_leaves_what_is_finished(
    number: int, write_scene: Callable[..., Path], tmp_path: Path
) -> None:
    """A real process, stopped by a real signal while it predicts."""
    rng = np.random.default_rng(0)
    scene = write_scene(rng.integers(300, 2000, (3, 1500, 1500), dtype=np.uint16))
    command = [sys.executable, "-c", "from landmap.cli import main; main()", "classify", str(scene)]
    options = ["-o", str(tmp_path / "cover.tif"), "--stride", "8", "--chunk", "128", "--quiet"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, preexec_fn=_heed)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("cover.tif.landmap/chunk-*.z")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "landmap: interrupted"
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "cover.tif.landmap"}
    assert {p.suffix for p in (tmp_path / "cover.tif.landmap").iterdir()} == {".json", ".z"}


@needs_model
def test_a_run_that_starts_is_ended_without_a_trace(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    """Before its first chunk there is nothing to keep."""
    rng = np.random.default_rng(0)
    scene = write_scene(rng.integers(300, 2000, (3, 1500, 1500), dtype=np.uint16))
    command = [sys.executable, "-c", "from landmap.cli import main; main()", "classify", str(scene)]
    options = ["-o", str(tmp_path / "cover.tif"), "--stride", "8", "--quiet"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".cover.tif.landmap-????????")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "landmap: interrupted"
    assert [p.name for p in tmp_path.iterdir()] == ["scene.tif"]


@needs_model
def test_a_killed_run_goes_on_and_says_so(write_scene: Callable[..., Path], ordinary: Any, tmp_path: Path) -> None:
    scene = write_scene(ordinary(300, 320), tags={"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"})
    options = ["classify", str(scene), "-o", str(tmp_path / "cover.tif"), "--stride", "64", "--chunk", "64"]
    options += ["--batch-size", "4"]
    process = subprocess.Popen([sys.executable, "-c", "from landmap.cli import main; main()", *options])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("cover.tif.landmap/chunk-*.z")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    journal = tmp_path / "cover.tif.landmap"
    kept = len(list(journal.glob("chunk-*.z")))
    assert not (tmp_path / "cover.tif").exists()
    shutil.copytree(journal, tmp_path / "copy")
    done = CliRunner().invoke(cli, options)
    assert (done.exit_code, done.stderr) == (0, f"landmap: reusing {kept} of 25 chunks\n")
    assert not journal.exists()
    shutil.copytree(tmp_path / "copy", journal)
    fresh = CliRunner().invoke(cli, [*options, "--quiet", "--smooth", "--overwrite"])
    reason = "the unfinished run of cover.tif was made with other settings (smooth): starting over"
    assert (fresh.exit_code, fresh.stdout, fresh.stderr) == (0, "", f"landmap: warning: {reason}\n")
    shutil.copytree(tmp_path / "copy", journal)
    fresh = CliRunner().invoke(cli, [*options, "--no-resume", "--overwrite"])
    assert (fresh.exit_code, fresh.stderr) == (0, "")


@needs_model
def test_evaluate_measures_and_warns_of_what_the_model_knew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("Forest", "SeaLake"):
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(4):
            chip = rng.integers(30, 90, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(chip).save(tmp_path / "chips" / name / f"{name}_{i}.png")
    done = CliRunner().invoke(cli, ["evaluate", "default", str(tmp_path / "chips"), "-o", str(tmp_path / "report")])
    assert done.exit_code == 0
    assert "accuracy" in done.output
    assert "8 chips" in done.output
    assert "Fewer than 30 chips of Forest 4, SeaLake 4" in done.stderr
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["n"] == 8
    assert (tmp_path / "report" / "report.html").exists()


# Commands about models: what reaches the library, and what is printed of its answer.


@pytest.fixture
def chip_folder(tmp_path: Path) -> Path:
    """20 chips in two classes."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("dark", "light")):
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(10):
            chip = rng.integers(20 + 150 * k, 70 + 150 * k, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(chip).save(tmp_path / "chips" / name / f"{name}_{i}.png")
    return tmp_path / "chips"


TINY = ("--arch", "cnn", "--filters", "2", "--dense", "4", "--epochs", "1", "--precision", "float32")


def test_train_and_predict_in_a_row(chip_folder: Path, tmp_path: Path) -> None:
    """Each in a process of its own, as a user types them."""
    model = tmp_path / "m.keras"
    trained = landmap("train", chip_folder, "-o", model, *TINY, "--show-batch", tmp_path / "batch.png")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines()[0] == str(tmp_path / "batch.png")
    assert "val_loss" in trained.stdout
    assert {"dark", "light"} <= set(re.findall(r"\w+", trained.stdout))
    assert trained.stderr == ""
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"chips", "m.keras", "m.history.csv", "batch.png"}
    predicted = landmap("predict", chip_folder / "dark" / "dark_1.png", "--model", model, "--json")
    (answer,) = json.loads(predicted.stdout)
    assert answer["label"] in ("dark", "light")
    assert answer["probability"] == max(answer["probabilities"].values())
    again = landmap("train", chip_folder, "-o", model, *TINY)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


OPTIONS: tuple[tuple[str, str, object], ...] = (
    ("--name", "n", "n"),
    ("--description", "d", "d"),
    ("--level", "L2A", "L2A"),
    ("--licence", "MIT", "MIT"),
    ("--arch", "cnn", "cnn"),
    ("--weights", "w.npz", "w.npz"),
    ("--filters", "16,8", (16, 8)),
    ("--pool", "4", 4),
    ("--dense", "32", 32),
    ("--dropout", "0.2", 0.2),
    ("--input-size", "96", 96),
    ("--epochs", "7", 7),
    ("--head-epochs", "3", 3),
    ("--head-learning-rate", "0.5", 0.5),
    ("--unfreeze", "12", 12),
    ("--batch-size", "9", 9),
    ("--optimizer", "sgd", "sgd"),
    ("--learning-rate", "0.25", 0.25),
    ("--schedule", "plateau", "plateau"),
    ("--warmup-epochs", "1.5", 1.5),
    ("--weight-decay", "0.1", 0.1),
    ("--label-smoothing", "0.2", 0.2),
    ("--ema", "0.5", 0.5),
    ("--class-weights", "balanced", "balanced"),
    ("--patience", "4", 4),
    ("--precision", "float32", "float32"),
    ("--teacher", "t.keras", "t.keras"),
    ("--teacher-share", "0.3", 0.3),
    ("--teacher-temperature", "3", 3.0),
    ("--teacher-views", "3", 3),
    ("--augment", "d4, haze", ("d4", "haze")),
    ("--seed", "8", 8),
    ("--split", "spatial", "spatial"),
    ("--coordinates", "c.csv", "c.csv"),
    ("--block-km", "5", 5.0),
    ("--buffer", "2", 2.0),
    ("--limit", "40", 40),
    ("--bands", "B04,B08", ("B04", "B08")),
    ("--file-bands", "B08,B04", ("B08", "B04")),
    ("--classes", "3=a,5=b", ("3=a", "5=b")),
    ("--ignore", "7,9", (7, 9)),
    ("--optional-bands", "B08", ("B08",)),
    ("--window", "96", 96),
    ("--validation", "0.2", 0.2),
    ("--test", "0.3", 0.3),
)
FIELDS = {"arch": "architecture", "ema": "ema_momentum"}


def test_every_option_reaches_the_training(chip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landmap_models.training import train as training

    seen: list[Any] = []

    def stop(chips: object, output: Path, settings: object, **how: object) -> None:
        seen.extend((output, settings, how))
        raise SystemExit

    monkeypatch.setattr(training, "open_data", lambda data, settings: open_chips(data))
    monkeypatch.setattr(training, "train", stop)
    typed = [text for option, value, _ in OPTIONS for text in (option, value)]
    flags = [
        "--skip-bad",
        "--no-frozen-norm",
        "--no-calibration",
        "--round-weights",
        "--allow-overlap",
        "--resume",
        "--overwrite",
        "--workers",
        "3",
        "--tensorboard",
        "logs",
    ]
    CliRunner().invoke(cli, ["train", str(chip_folder), "-o", str(tmp_path / "m.keras"), *typed, *flags])
    output, settings, how = seen
    assert output == tmp_path / "m.keras"
    for option, _, value in OPTIONS:
        name = option[2:].replace("-", "_")
        assert getattr(settings, FIELDS.get(name, name)) == value, option
    assert (settings.skip_bad, settings.calibrate, settings.frozen_norm) == (True, False, False)
    assert settings.round_weights
    assert settings.allow_overlap
    assert (how["resume"], how["overwrite"], how["workers"], how["tensorboard"]) == (True, True, 3, Path("logs"))
    fields = {f.name for f in dataclasses.fields(settings)}
    flagged = {"skip_bad", "calibrate", "round_weights", "allow_overlap", "start_from", "frozen_norm"}
    told = {FIELDS.get(o[2:], o[2:].replace("-", "_")) for o, _, _ in OPTIONS} | flagged
    assert fields == told


def test_a_scene_with_labels_is_trained_on_and_measured(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    """Its level goes onto the card; without a choice the architecture is one of pixels."""
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(1, 3, (20, 22)), np.ones((8, 8), int)).astype(np.uint8)
    values = (np.array([[0], [300], [900]])[ids][..., 0] + rng.integers(400, 500, (3, *ids.shape))).astype(np.uint16)
    scene = write_scene(values, tags={"PROCESSING_LEVEL": "Level-2A"})
    labels = write_scene(ids[None], "labels.tif", nodata=0, bands=("",))
    model, report = tmp_path / "m.keras", tmp_path / "report"
    typed = ["--labels", str(labels), "--classes", "1=dark,2=bright", "--bands", "B04,B03", "--epochs", "1"]
    quick = [
        "--arch",
        "pixel-field",
        "--filters",
        "4,4",
        "--batch-size",
        "8",
        "--test",
        "0.2",
        "--precision",
        "float32",
    ]
    done = CliRunner().invoke(cli, ["train", str(scene), "-o", str(model), *typed, *quick])
    assert done.exit_code == 0, done.output
    card = read_card(model)
    assert (card.answers, card.levels, card.band_names) == ("pixel", ("L2A",), ("B04", "B03"))
    told = CliRunner().invoke(cli, ["evaluate", str(model), str(scene), "--labels", str(labels), "-o", str(report)])
    assert told.exit_code == 0, told.output
    assert "labelled pixels" in told.output
    refused = CliRunner().invoke(cli, ["train", str(scene), "-o", str(tmp_path / "n.keras"), *typed[:4]])
    assert refused.exit_code != 0
    assert "--bands: expected the bands of the scene" in str(refused.exception or refused.output)


@needs_model
def test_drawn_labels_become_a_model_and_a_map(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    """Squares of two colours are drawn upon; the map has the drawn class at each of them."""
    import geopandas
    import shapely

    rng = np.random.default_rng(0)
    dark = np.kron(np.indices((4, 5)).sum(axis=0) % 2, np.ones((80, 80), int))
    values = (600 + 1400 * dark + rng.integers(0, 60, (3, *dark.shape))).astype(np.uint16)
    scene = write_scene(values, tags={"PROCESSING_LEVEL": "Level-2A"})
    with rasterio.open(scene) as file:
        corners = [(40 + 80 * col, 40 + 80 * row) for row in range(4) for col in range(5)]
        shapes = [shapely.Point(file.transform @ corner).buffer(90) for corner in corners]
        crs = file.crs
    names = ["bright" if dark[row, col] else "dark" for col, row in corners]
    labels, model, cover = tmp_path / "drawn.gpkg", tmp_path / "m.keras", tmp_path / "cover.tif"
    geopandas.GeoDataFrame({"kind": names}, geometry=shapes, crs=crs).to_crs("EPSG:4326").to_file(labels)
    typed = ["train", str(scene), "--labels", str(labels), "-o", str(model), "--label-column", "kind"]
    done = CliRunner().invoke(cli, typed)
    assert done.exit_code == 0, done.output
    assert "random forest" in done.output
    assert "labels: bright 10, dark 10" in done.output
    drawn = CliRunner().invoke(cli, ["classify", str(scene), "--model", str(model), "-o", str(cover)])
    assert drawn.exit_code == 0, drawn.output
    with rasterio.open(cover) as file:
        found = file.read(1)
    assert [("bright", "dark")[found[row, col]] for col, row in corners] == names
    idle = CliRunner().invoke(cli, [*typed, "--overwrite", "--epochs", "3"])
    assert idle.exit_code == 2
    assert "--epochs: not used where one layer is learnt" in idle.output
    again = ["train", str(scene), "--from", str(model), "--label-column", "kind", "-o", str(tmp_path / "again.keras")]
    more = tmp_path / "next.gpkg"
    elsewhere = [shapely.transform(shape, lambda xy: xy + np.array([250, 0])) for shape in shapes[:2]]
    geopandas.GeoDataFrame({"kind": ["dark", None]}, geometry=elsewhere, crs=crs).to_file(more)
    alone = CliRunner().invoke(cli, [*again, "--labels", str(more)])
    assert alone.exit_code == 2
    assert "it has learnt from drawn.gpkg, too" in " ".join(alone.output.split())
    both = CliRunner().invoke(cli, [*again, "--labels", str(labels), "--labels", str(more)])
    assert both.exit_code == 0, both.output
    assert "labels: bright 10, dark 11" in both.output
    assert "Left out, next.gpkg: no class: 2" in both.output
    assert read_card(tmp_path / "again.keras").training["features_of"] == "default"


def test_a_network_is_trained_on_drawn_labels_of_two_scenes(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    import geopandas
    import shapely

    rng = np.random.default_rng(0)
    dark = np.kron(np.indices((3, 4)).sum(axis=0) % 2, np.ones((40, 40), int))
    scenes = []
    for date in ("spring", "autumn"):
        values = (600 + 1400 * dark + rng.integers(0, 60, (3, *dark.shape))).astype(np.uint16)
        scenes.append(str(write_scene(values, f"{date}.tif", tags={"PROCESSING_LEVEL": "Level-2A"})))
    with rasterio.open(scenes[0]) as file:
        corners = [(20 + 40 * col, 20 + 40 * row) for row in range(3) for col in range(4)]
        shapes, crs = [shapely.Point(file.transform @ corner) for corner in corners], file.crs
    names = ["bright" if dark[row, col] else "dark" for col, row in corners]
    labels, model = tmp_path / "drawn.gpkg", tmp_path / "m.keras"
    geopandas.GeoDataFrame({"class": names}, geometry=shapes, crs=crs).to_file(labels)
    quick = ["--arch", "pixel-field", "--filters", "4,4", "--epochs", "1", "--precision", "float32"]
    more = ["--label-buffer", "40", "--bands", "B04,B03", "--window", "32", "--validation", "0.2", "--test", "0.2"]
    done = CliRunner().invoke(cli, ["train", *scenes, "--labels", str(labels), "-o", str(model), *quick, *more])
    assert done.exit_code == 0, done.output
    card = read_card(model)
    assert (card.answers, card.band_names, card.levels) == ("pixel", ("B04", "B03"), ("L2A",))
    parts = card.training["split"]["parts"]
    assert sum(part["chips"] for part in parts.values()) == 24, "each place on both dates"
    refused = CliRunner().invoke(cli, ["train", *scenes, "-o", str(model)])
    assert refused.exit_code == 2
    assert "only drawn labels" in refused.output


def test_what_is_not_typed_depends_on_what_is_begun_with(
    chip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landmap_models.training import train as training

    seen: list[Any] = []
    monkeypatch.setattr(training, "train", lambda chips, output, settings, **how: seen.append(settings))
    for options in ((), ("--from", "default"), ("--from", "default", "--epochs", "3")):
        CliRunner().invoke(cli, ["train", str(chip_folder), "-o", str(tmp_path / "fields.keras"), *options])
    assert [(s.epochs, s.head_epochs, s.learning_rate) for s in seen] == [(64, 0, 2e-3), (10, 2, 2e-4), (3, 2, 2e-4)]
    assert [s.start_from for s in seen] == [None, "default", "default"]
    assert seen[0] == TrainSettings(name="fields")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "data", "-o", "m.keras", "--learning-rate", "-1"), "learning_rate: expected a number above 0"),
        (("train", "data", "-o", "m.keras", "--dropout", "1"), "--dropout: expected a share"),
        (("train", "data", "-o", "m.keras", "--unfreeze", "-2"), "unfreeze: expected a whole number from 0 on"),
        (("train", "data", "-o", "m.keras", "--from", "default", "--dense", "3"), "brings its own network"),
        (("train", "data", "-o", "m.keras", "--unfreeze", "some"), "expected all|N"),
        (("train", "data", "-o", "m.keras", "--filters", "a"), "expected N,N,…"),
        (("train", "data", "-o", "m.keras", "--precision", "float16"), "--precision"),
        (("train", "data", "-o", "m.keras", "--arch", "resnet"), "--arch"),
        (("train", "data"), "'--show-batch'"),
        (("compare", "data", "-o", "out", "--networks", "no.yaml"), "no.yaml: can't be read"),
        (("compare", "data", "-o", "out"), "'--arch' or '--networks'"),
        (("compare", "data", "-o", "out", "--arch", ""), "Expected some networks"),
        (("predict",), "IMAGES"),
    ],
)
def test_mistakes_in_the_line_are_exit_status_2(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, list(arguments))
    shown = done.output + str(done.exception)
    assert words in shown
    assert isinstance(done.exception, SettingsError) or done.exit_code == 2


def test_compare_prints_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landmap_models.evaluation import compare as module

    metrics = {
        "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
        "macro_f1": {"value": None, "low": None, "high": None},
    }
    seen: list[Any] = []

    def compare(data: Path, networks: Any, output: Path, *, begin: Any, **how: Any) -> module.Comparison:
        seen.extend((networks, how))
        for name in networks:
            begin(name)
        rows = tuple(module.Row(name, metrics, 1234, 0.5, 999.4, 1.25) for name in networks)
        return module.Comparison(rows, output, ("loose",))

    monkeypatch.setattr(module, "compare", compare)
    (tmp_path / "networks.yaml").write_text("- {name: small, architecture: cnn, filters: [2]}")
    line = ["compare", "data", "--arch", "compact", "-o", str(tmp_path / "out"), "--epochs", "2"]
    line += ["--networks", str(tmp_path / "networks.yaml")]
    done = CliRunner().invoke(cli, [*line, "--workers", "3", "--overwrite"])
    assert done.exit_code == 0, done.output
    networks, how = seen
    assert [s.epochs for s in networks.values()] == [2, 2]
    assert (how["workers"], how["overwrite"]) == (3, True)
    assert done.stdout.split("network")[0].split() == ["compact", "small"]
    assert "0.9000" in done.stdout
    assert "1,234" in done.stdout
    assert "999" in done.stdout
    assert str(tmp_path / "out") in done.stdout
    assert "warning: loose" in done.stderr


@needs_model
def test_predict_prints_a_table_and_writes_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(2):
        Image.fromarray(rng.integers(30, 90, (64, 64, 3)).astype(np.uint8)).save(tmp_path / f"chip_{i}.jpg")
    images = [str(tmp_path / f"chip_{i}.jpg") for i in range(2)]
    done = CliRunner().invoke(cli, ["predict", *images, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    assert len(lines) == 5
    assert lines[1].endswith("%")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["chip_0.png", "chip_1.png"]
    large = Image.new("RGB", (100, 100))
    large.save(tmp_path / "scene.png")
    refused = landmap("predict", tmp_path / "scene.png")
    assert refused.returncode == 1
    assert "A scene is for landmap classify" in refused.stderr


def test_the_options_of_a_training_are_in_sections() -> None:
    text = CliRunner().invoke(cli, ["train", "--help"]).output
    titles = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Data", "Split", "Network", "Training", "Teacher", "Model card", "Options", "Example"]
    command = cli.commands["train"]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[-1] in text
    assert "64; 10 where --weights or --from is given" in " ".join(text.split())


def test_classify_has_an_option_for_each_setting_and_an_example() -> None:
    command = cli.commands["classify"]
    assert {field.name for field in dataclasses.fields(Settings)} <= {p.name for p in command.params}
    text = CliRunner().invoke(cli, ["classify", "--help"]).output
    titles = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    reading = "Outputs", "Polygons", "Table of areas", "Reading the scene", "Area", "Computing"
    assert titles == [*reading, "Options", "Example"]


def every_command(group: click.Group) -> list[click.Command]:
    found: list[click.Command] = []
    for command in group.commands.values():
        found += every_command(command) if isinstance(command, click.Group) else [command]
    return found


def test_every_option_is_explained_by_a_sentence() -> None:
    for command in every_command(cli):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                text = (parameter.help or "").split("  [")[0]
                assert text.endswith("."), f"{command.name} {parameter.opts}: {text}"
                assert len(text.split()) > 3, f"{command.name} {parameter.opts}: {text}"
    assert {name for names in SECTIONS.values() for name in names} == set(cli.commands)


@needs_model
def test_warnings_of_the_library_are_printed_once(
    write_scene: Callable[..., Path], ordinary: Any, tmp_path: Path
) -> None:
    scene = write_scene(ordinary(70, 80), nodata=0)
    done = landmap("classify", scene, "-o", tmp_path / "cover.tif", "--stride", "64", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("landmap: warning: assumed, since the file does not say")
    planned = landmap("plan", scene)
    assert planned.stderr == done.stderr


def test_models_of_others_are_fetched_and_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landmap_models.foreign import dynamic_world, saved_model
    from landmap_models.inference.classifier import FAKE_CARD

    asked: list[tuple[Any, ...]] = []

    def told(*arguments: Any, **options: Any) -> Path:
        asked.append((*arguments, options))
        return tmp_path / "made.keras"

    monkeypatch.setattr(dynamic_world, "fetch", told)
    monkeypatch.setattr(saved_model, "import_saved_model", told)
    card = tmp_path / "card.json"
    card.write_text(FAKE_CARD.to_json())
    done = CliRunner().invoke(cli, ["models", "fetch", "dynamic-world", "--from", str(tmp_path)])
    assert done.output.startswith(str(tmp_path / "made.keras"))
    assert "National Geographic" in done.output
    done = CliRunner().invoke(cli, ["models", "import", str(tmp_path), "--card", str(card), "--softmax"])
    assert done.output.strip() == str(tmp_path / "made.keras")
    options = {"signature": "serving_default", "softmax": True, "output": None, "overwrite": False}
    assert asked == [(tmp_path, {"overwrite": False}), (tmp_path, FAKE_CARD, options)]
    refused = CliRunner().invoke(cli, ["models", "import", str(tmp_path), "--card", str(tmp_path / "none.json")])
    assert "can't be read as text" in str(refused.exception)
