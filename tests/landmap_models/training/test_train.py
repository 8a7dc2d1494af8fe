"""Real trainings, small enough to wait for, from files to a model file."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image

from landmap_models.architectures.layout import exact_layers
from landmap_models.datasets.chips import open_chips
from landmap_models.datasets.splits import stratified_split
from landmap_models.errors import DatasetError, LandmapError, ModelError, ReportError
from landmap_models.evaluation.evaluate import evaluate
from landmap_models.evaluation.predict import predict_chips
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.inference.loading import load_model
from landmap_models.metrics.metrics import wilson_interval
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard
from landmap_models.sentinel2 import EUROSAT_ORDER
from landmap_models.training import train as module
from landmap_models.training.settings import TrainSettings
from landmap_models.training.train import open_data, show_batch, train

QUICK = TrainSettings(
    name="quick",
    architecture="cnn",
    filters=(4,),
    dense=8,
    epochs=1,
    batch_size=16,
    learning_rate=0.02,
    ema_momentum=0.8,
    precision="float32",
)


def weights_of(path: Path) -> list[npt.NDArray[np.float32]]:
    """Of a model file, in order."""
    import keras

    weights: list[npt.NDArray[np.float32]] = keras.models.load_model(path, compile=False).get_weights()
    return weights


def unfinished(*args: object, **options: object) -> None:
    """Stands in for what comes next."""
    raise RuntimeError("no further than here")


@pytest.fixture
def not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training ends, as if it were killed, where it would fit."""
    monkeypatch.setattr(module, "fit", unfinished)


# What comes of it.


def test_a_training_learns_and_its_card_tells_the_truth(chip_zip: Path, tmp_path: Path) -> None:
    path = tmp_path / "quick.keras"
    settings = dataclasses.replace(QUICK, epochs=8)
    card = train(chip_zip, path, settings)
    assert card == read_card(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["quick.history.csv", "quick.keras"]
    assert card.training["settings"] == settings.to_content()
    assert [row["epoch"] for row in card.training["log"]] == list(range(8))
    assert card.training["split"]["parts"]["train"]["chips"] == 72
    assert "haze" in card.training["augmentation"]
    test = stratified_split(open_chips(chip_zip), settings.seed).test
    predicted = load_classifier(path).predict(test.reflectance()).argmax(axis=1)
    correct = int((predicted == np.asarray(test.labels)).sum())
    assert card.metrics["accuracy"] == wilson_interval(correct, 9)
    assert correct >= 6, "three classes that a child tells apart"
    with (tmp_path / "quick.history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [row["val_loss"] for row in card.training["log"]]
    assert set(rows[0]) >= {"epoch", "phase", "loss", "accuracy", "val_accuracy", "learning_rate", "seconds"}


def test_the_written_model_has_no_trace_of_its_training_precision(chip_zip: Path, tmp_path: Path, keras: Any) -> None:
    path = tmp_path / "mixed.keras"
    train(chip_zip, path, dataclasses.replace(QUICK, precision="mixed_bfloat16"))
    assert {layer.dtype_policy.name for layer in keras.models.load_model(path).layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_a_killed_training_ends_where_an_uninterrupted_one_does(chip_zip: Path, tmp_path: Path) -> None:
    """A real process, killed in the middle of the third of its second phase's epochs, and gone on with.

    One processor's threads add up in one order here: equal to the last bit. On others a tolerance may be due.
    """
    path, whole = tmp_path / "killed.keras", tmp_path / "whole.keras"
    settings = dataclasses.replace(QUICK, dropout=0.3, head_epochs=1, epochs=4, patience=3)
    code = f"from landmap_models.training.train import *; train({str(chip_zip)!r}, {str(path)!r}, {settings!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 3/4"):
            break
    process.kill()
    process.communicate()
    assert not path.exists()
    with pytest.raises(ModelError, match="unfinished training with other data or settings"):
        train(chip_zip, path, dataclasses.replace(settings, seed=9), resume=True)
    with pytest.raises(ModelError, match="Give --resume"):
        train(chip_zip, path, settings)
    card = train(chip_zip, path, settings, resume=True)
    uninterrupted = train(chip_zip, whole, settings)
    rows, expected = ([r["val_loss"] for r in c.training["log"]] for c in (card, uninterrupted))
    assert rows == expected
    assert len(rows) == 5
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(path), weights_of(whole), strict=True))
    assert not list(tmp_path.glob("*.training"))


# What may be begun with.


def test_other_classes_get_a_new_head_on_the_same_base(chip_zip: Path, small_model: Path, tmp_path: Path) -> None:
    """Fine-tuned for an epoch with a frozen base: that is the old one's, weight for weight."""
    renamed = tmp_path / "renamed"
    for place, name in enumerate(("north", "south")):
        (renamed / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.random.default_rng((place, i)).integers(60, 200, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(renamed / name / f"{i}.png")
    settings = TrainSettings(start_from=str(small_model), epochs=0, head_epochs=1, batch_size=16, precision="float32")
    card = train(renamed, tmp_path / "tuned.keras", settings)
    assert card.legend.names == ("north", "south")
    assert card.reflectance_range == read_card(small_model).reflectance_range, "the network clips as before"
    assert card.licence == "not stated"
    old, new = weights_of(small_model), weights_of(tmp_path / "tuned.keras")
    assert len(old) == len(new)
    assert all(np.array_equal(a, b) for a, b in zip(old[:-2], new[:-2], strict=True))
    assert new[-1].shape == (2,)


def test_a_model_of_other_bands_is_no_beginning(
    chip_zip: Path, small_model: Path, tmp_path: Path, not_fitted: None
) -> None:
    settings = TrainSettings(start_from=str(small_model), bands=("B03", "B02"))
    with pytest.raises(ModelError, match="B03"):
        train(chip_zip, tmp_path / "m.keras", settings)
    assert not list(tmp_path.glob("*.training"))


def test_a_teacher_is_asked_once(chip_zip: Path, small_model: Path, tmp_path: Path, not_fitted: None) -> None:
    """Its labels are kept with the state; a resumed training reads them, whatever else happens."""
    settings = dataclasses.replace(QUICK, teacher=str(small_model), teacher_share=0.5)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no further"):
            train(chip_zip, tmp_path / "m.keras", settings, resume=True)
        kept = tmp_path / "m.keras.training" / "teacher.npy"
        labels = np.load(kept)
        np.save(kept, labels + 1)
    assert np.load(kept).max() == pytest.approx(labels.max() + 1)
    assert labels.min() > 1
    assert labels.sum(axis=1) == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize(("architecture", "filters"), [("compact", (4, 4, 4, 4)), ("compact-d4", (1, 1, 1, 1, 2))])
def test_rounded_weights_are_those_that_are_judged(
    architecture: str, filters: tuple[int, ...], chip_zip: Path, tmp_path: Path
) -> None:
    """Normalisation is folded by then, and kernels for eight symmetries are written out."""
    path = tmp_path / "m.keras"
    network: dict[str, Any] = {"architecture": architecture, "filters": filters, "dense": None}
    card = train(chip_zip, path, dataclasses.replace(QUICK, round_weights=True, **network))
    model = load_model(path)
    assert not any("BatchNormalization" in type(layer).__name__ for layer in model.layers)
    assert f"{model.count_params():,} parameters" in card.description
    inner = [layer for layer in model.layers if layer.weights and layer.name not in exact_layers(model)]
    assert len(inner) > 5
    assert not any((layer.get_weights()[0].view(np.uint32) & 0xFFFF).any() for layer in inner)


def test_a_teacher_of_augmented_views(chip_zip: Path, small_model: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(QUICK, teacher=str(small_model), teacher_views=1, augment=("d4", "straddle"))
    card = train(chip_zip, tmp_path / "m.keras", settings)
    assert card.training["settings"]["teacher_views"] == 1
    assert not list(tmp_path.glob("*.training"))


# Chips of other kinds.


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 GeoTIFF chips of 13 bands of 16 bits as EuroSAT has them: only B8A, the last, tells the classes apart."""
    root, rng = tmp_path_factory.mktemp("rasters"), np.random.default_rng(0)
    for k, name in enumerate(("leaf", "soil")):
        (root / name).mkdir()
        for i in range(12):
            values = rng.integers(500, 1500, (13, 32, 32)).astype(np.uint16)
            values[12] = rng.normal(1500 + 3000 * k, 100, (32, 32))
            place = {"crs": "EPSG:32633", "transform": Affine.scale(10, -10)}
            profile = {"driver": "GTiff", "count": 13, "height": 32, "width": 32, "dtype": "uint16"}
            with rasterio.open(root / name / f"{i}.tif", "w", **profile, **place) as file:
                file.write(values)
    return root


def test_thirteen_bands_of_16_bits_train_and_are_evaluated(rasters: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    settings = dataclasses.replace(QUICK, epochs=20, batch_size=4, augment=("d4",), test=0.25)
    card = train(rasters, path, settings)
    assert card.band_names == EUROSAT_ORDER
    assert card.reflectance_range == (0.0, 1.0)
    assert 0.1 < card.bands[12].p01 < 0.2 < 0.4 < card.bands[12].p99 < 0.5
    assert card.metrics["accuracy"]["value"] == 1
    found = evaluate(path, rasters, tmp_path / "report", part="test", resamples=10)
    assert found.metrics["accuracy"]["value"] == 1
    (prediction,) = predict_chips([rasters / "soil" / "3.tif"], path, tmp_path / "pictures")
    assert prediction.label == "soil"
    assert prediction.picture
    assert prediction.picture.exists()


def test_chosen_bands_are_read_in_that_order(rasters: Path) -> None:
    chips = open_data(rasters, dataclasses.replace(QUICK, bands=("B8A", "B02")))
    assert chips.bands == ("B8A", "B02")
    assert chips.reflectance()[-1, :, :, 0].mean() == pytest.approx(0.45, abs=0.01)


VOC = "<annotation><filename>{name}.jpg</filename>{objects}</annotation>"


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 chips in Pascal VOC's layout: of a bright upper and a striped lower half, each there or not, one at least."""
    root, rng = tmp_path_factory.mktemp("voc"), np.random.default_rng(0)
    (root / "Annotations").mkdir()
    (root / "JPEGImages").mkdir()
    for i in range(80):
        there = [name for name, bit in (("bright", 1), ("striped", 2)) if (i % 3 + 1) & bit]
        chip = rng.normal(60, 10, (32, 32, 3))
        chip[:16] += 150 * ("bright" in there)
        chip[16:, ::4] += 180 * ("striped" in there)
        Image.fromarray(chip.clip(0, 255).astype(np.uint8)).save(root / "JPEGImages" / f"{i}.jpg", quality=95)
        objects = "".join(f"<object><name>{name}</name></object>" for name in there)
        (root / "Annotations" / f"{i}.xml").write_text(VOC.format(name=i, objects=objects))
    return root


def test_several_classes_a_chip_from_files_to_labels(voc: Path, tmp_path: Path) -> None:
    """Trained, evaluated and predicted with thresholds for each class."""
    path = tmp_path / "several.keras"
    settings = dataclasses.replace(QUICK, epochs=12, batch_size=8, augment=("flips",), validation=0.3, test=0.2)
    card = train(voc, path, settings)
    assert card.task == "multi-label"
    assert card.legend.names == ("bright", "striped")
    assert card.thresholds is not None
    assert len(card.thresholds) == 2
    assert card.metrics["macro_f1"]["value"] > 0.8
    found = evaluate(path, voc, tmp_path / "report", part="test", resamples=10)
    assert found.metrics["task"] == "multi-label"
    assert found.metrics["macro_f1"]["value"] == pytest.approx(card.metrics["macro_f1"]["value"], abs=1e-4)
    images = [voc / "JPEGImages" / f"{i}.jpg" for i in range(30)]
    true = ["bright", "striped", "bright;striped"] * 10
    right = [p.label == label for p, label in zip(predict_chips(images, path), true, strict=True)]
    assert sum(right) >= 24


# Chips that are known again.


def placed(root: Path, step: int) -> Path:
    """Chips of 32 px at 10 m in a row of 40, so many metres apart; their class is told by their brightness."""
    for i in range(40):
        path = root / ("leaf", "soil")[i % 2] / f"{i:02d}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(500 + 1000 * (i % 2), 1500 + 1000 * (i % 2), (13, 32, 32))
        place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 400_000 + step * i, 0, -10, 5_000_000)}
        with rasterio.open(path, "w", driver="GTiff", count=13, height=32, width=32, dtype="uint16", **place) as file:
            file.write(values.astype(np.uint16))
    return root


def test_overlap_is_refused_or_told_by_training_card_and_evaluation(tmp_path: Path) -> None:
    data, path = placed(tmp_path / "data", 160), tmp_path / "m.keras"
    with pytest.raises(DatasetError, match=r"share ground with chips of the training part.*--allow-overlap"):
        train(data, path, QUICK)
    told: list[str] = []
    card = train(data, path, dataclasses.replace(QUICK, allow_overlap=True), warn=told.append)
    assert "test chips share ground" in told[0]
    assert card.training["split"]["warnings"] == told
    found = evaluate(path, data, tmp_path / "report", part="test", resamples=5)
    assert told[0] in found.warnings
    assert any("4 of these 4 chips share ground with chips of the model's training part" in w for w in found.warnings)


def test_an_evaluation_knows_chips_of_the_training_part_by_their_ground_and_pixels(tmp_path: Path) -> None:
    """Under other names; chips of other land are new."""
    data, path = placed(tmp_path / "data", 320), tmp_path / "m.keras"
    train(data, path, QUICK)
    others = {name: placed(tmp_path / name, 320) for name in ("shifted", "same", "far")}
    for name, east in (("shifted", 100), ("same", 0), ("far", 50_000)):
        for file in sorted(others[name].rglob("*.tif")):
            with rasterio.open(file, "r+") as chip:
                chip.transform = Affine.translation(east, 0) @ chip.transform
                if name != "same":
                    chip.write(chip.read() + np.uint16(1))
            file.rename(file.with_name(f"new_{file.name}"))
    said = {
        name: " ".join(evaluate(path, root, tmp_path / f"report-{name}", resamples=5).warnings)
        for name, root in others.items()
    }
    assert "32 of these 40 chips have the very pixels" in said["same"]
    assert "of these 40 chips share ground" in said["shifted"]
    assert "training part" not in said["far"]


# What is refused before anything is written.


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"augment": ("blur",)}, DatasetError),
        ({"augment": ("none", "d4")}, DatasetError),
        ({"filters": (4,) * 40}, ModelError),
        ({"input_size": 96}, ModelError),
        ({"teacher": "nobody.keras"}, ModelError),
        ({"start_from": "nobody.keras", "filters": None, "dense": None}, ModelError),
        ({"validation": 0.01}, DatasetError),
        ({"split": "spatial"}, DatasetError),
        ({"bands": ("B04", "B08")}, DatasetError),
    ],
    ids=lambda x: str(x)[:30],
)
def test_what_can_not_be_trained_leaves_nothing(
    changes: dict[str, Any], error: type[LandmapError], chip_zip: Path, tmp_path: Path, not_fitted: None
) -> None:
    with pytest.raises(error):
        train(chip_zip, tmp_path / "m.keras", dataclasses.replace(QUICK, **changes))
    assert not list(tmp_path.iterdir())


def test_missing_tensorboard_leaves_nothing(
    chip_zip: Path, tmp_path: Path, not_fitted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landmap_models.training.fit.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="TensorBoard"):
        train(chip_zip, tmp_path / "m.keras", QUICK, tensorboard=tmp_path / "logs")
    assert not list(tmp_path.iterdir())


def test_outputs_are_checked_before_the_chips_are_read(tmp_path: Path) -> None:
    (tmp_path / "there.keras").write_text("precious")
    with pytest.raises(ModelError, match="exists already"):
        train(tmp_path / "no-such-folder", tmp_path / "there.keras", QUICK)


def test_chips_must_be_square(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "chips" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.full((64, 80, 3), 10 * i + ord(name), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "chips" / name / f"{i}.png")
    with pytest.raises(DatasetError, match="expected square chips"):
        train(tmp_path / "chips", tmp_path / "model.keras", QUICK)


# Parts of it.


def test_a_limit_draws_class_by_class(chip_zip: Path, voc: Path) -> None:
    def counts(limit: int) -> list[int]:
        return list(open_data(chip_zip, dataclasses.replace(QUICK, limit=limit)).counts().values())

    assert counts(30) == [10, 10, 10]
    assert counts(90) == [30, 30, 30]
    with pytest.raises(DatasetError, match=r"expected 91 chips \(limit\) or more. Received: 90"):
        counts(91)
    with pytest.raises(DatasetError, match="can't be drawn class by class"):
        counts(2)
    with pytest.raises(DatasetError, match=r"for a limit\. Received: chips of several classes"):
        open_data(voc, dataclasses.replace(QUICK, limit=20))


def test_balanced_classes_count_the_same_in_both_parts(
    chip_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 chips of one class and 30 of the others: weights by the training part, 1 on average over its chips."""
    seen: list[Any] = []
    monkeypatch.setattr(module, "fit", lambda model, *batches, **how: (seen.extend(batches), unfinished()))
    chips = open_chips(chip_zip)
    few = chips.subset(np.array([i for i, label in enumerate(chips.labels) if label != 0 or i % 3 == 0]))
    settings = dataclasses.replace(QUICK, class_weights="balanced", augment=("none",))
    with pytest.raises(RuntimeError, match="no further"):
        train(few, tmp_path / "m.keras", settings)
    training, validation = seen[:2]
    counts = np.array(list(training.chips.counts().values()))
    for batches in (training, validation):
        _, labels, weights = batches[0]
        assert weights == pytest.approx((counts.sum() / 3 / counts)[labels.argmax(axis=1)])
    assert np.concatenate([training[i][2] for i in range(len(training))]).mean() == pytest.approx(1)


def test_a_batch_can_be_looked_at(chip_zip: Path, tmp_path: Path) -> None:
    chips, path = open_chips(chip_zip), tmp_path / "batch.png"
    show_batch(chips, path, QUICK)
    with Image.open(path) as picture:
        assert min(picture.size) > 200
    with pytest.raises(ReportError, match="exists already"):
        show_batch(chips, path, QUICK)
    show_batch(chips, path, QUICK, overwrite=True)


def test_probabilities_are_calibrated_on_the_validation_part(
    chip_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temperature of 4 is what the last layer's weights are divided by; without calibration it is 1."""
    seen: list[Any] = []
    monkeypatch.setattr(module, "fit_temperature", lambda logits, labels, **how: seen.append(labels) or 4.0)
    last = []
    for calibrate, temperature in ((True, 4), (False, 1)):
        path = tmp_path / f"{temperature}.keras"
        card = train(chip_zip, path, dataclasses.replace(QUICK, calibrate=calibrate), verbose=0)
        assert card.training["temperature"] == temperature
        last.append(load_model(path).get_weights()[-2])
    assert last[0] == pytest.approx(last[1] / 4, abs=1e-6)
    validation = stratified_split(open_chips(chip_zip), QUICK.seed).validation
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], validation.targets())


def test_a_failure_at_the_end_loses_no_epoch(chip_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half written is left beside the state, and the next start has no epoch to do."""
    path = tmp_path / "m.keras"
    with monkeypatch.context() as broken:
        broken.setattr(module, "write_card", unfinished)
        with pytest.raises(RuntimeError, match="no further"):
            train(chip_zip, path, QUICK)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras.training"]
    monkeypatch.setattr("keras.Model.fit", unfinished)
    card = train(chip_zip, path, QUICK, resume=True)
    assert [row["epoch"] for row in card.training["log"]] == [0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.history.csv", "m.keras"]


def test_the_card_is_json_with_versions(chip_zip: Path) -> None:
    from landmap_models.training.card import Outcome, make_card

    split = stratified_split(open_chips(chip_zip), 1)
    model = module.check_network(split, QUICK)
    measured = {"n": 9, "accuracy": {"value": 1.0, "low": 0.7, "high": 1.0}}
    card = make_card(model, split, QUICK, Outcome(measured, [], "none", 1.0, None))
    card.check()
    assert card.metrics == measured | {"split": card.metrics["split"]}
    assert set(card.versions) == {"keras", "tensorflow"}
    assert ModelCard.from_json(card.to_json()) == card
    assert json.loads(card.to_json())["training"]["settings"]["filters"] == [4]


def test_only_inference_knows_tensorflow() -> None:
    """All else is Keras's own, so that another backend trains, too."""
    package = Path(module.__file__).parents[1]
    pattern = re.compile(r"^\s*(import|from) tensorflow\b", re.MULTILINE)
    users = {path.stem for path in package.rglob("*.py") if pattern.search(path.read_text())}
    assert users == {"tensorflow"}, "the graphs behind `keras_classifier`"
