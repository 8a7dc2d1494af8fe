"""Real trainings on images with masks, small enough to wait for, and their evaluation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from landmap_models.datasets.images import open_images
from landmap_models.errors import DatasetError, ModelError
from landmap_models.evaluation.evaluate import evaluate
from landmap_models.inference.loading import load_model
from landmap_models.inference.whole_images import WholeImages
from landmap_models.model_file.archive import read_card
from landmap_models.training import checkpoints
from landmap_models.training.settings import TrainSettings
from landmap_models.training.train import make_split, open_data, show_batch, train

BANDS = ("B04", "B08", "B02")
QUICK = TrainSettings(
    name="quick",
    architecture="pixel-field",
    filters=(6, 6),
    epochs=6,
    batch_size=4,
    learning_rate=0.03,
    warmup_epochs=0,
    ema_momentum=0,
    validation=0.2,
    test=0.2,
    precision="float32",
    augment=("d4", "jitter"),
    optional_bands=("B08",),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images of 32x32 px whose three classes differ in every band, labelled here and there with ids 10, 20, 40."""
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 3, (20, 4, 4)), np.ones((8, 8), int))
    values = np.array([[800, 3000, 600], [300, 2500, 300], [300, 200, 900]])[classes]
    masks = np.where(rng.random(classes.shape) < 0.5, np.array([10, 20, 40])[classes], -1)
    path = tmp_path_factory.mktemp("pixels") / "data.npz"
    images = (values + rng.normal(0, 60, values.shape)).clip(1).astype(np.uint16)
    np.savez(path, images=images, masks=masks, bands=BANDS, classes=["10=field", "20=wood", "40=lake"])
    return path


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    path = data.with_name("quick.keras")
    train(data, path, QUICK, verbose=0)
    return path


def test_a_training_learns_and_its_card_says_what_it_is(data: Path, model: Path) -> None:
    card = read_card(model)
    assert (card.answers, card.margin, card.step, card.chip_size) == ("pixel", 3, 1, 32)
    assert (card.band_names, card.optional_bands) == (("B04", "B02"), ("B08",))
    assert card.legend.names == ("field", "wood", "lake")
    assert card.training["mask_ids"] == {"field": 10, "wood": 20, "lake": 40}
    assert card.metrics["accuracy"]["value"] > 0.9
    assert [row["epoch"] for row in card.training["log"]] == list(range(6))
    assert card.training["log"][-1]["val_accuracy"] > 0.9, "unlabelled pixels are neither right nor wrong"
    assert model.with_suffix(".history.csv").exists()
    assert not list(model.parent.glob("*.training"))


def test_scores_are_those_of_scikit_learn_on_the_test_part(data: Path, model: Path, tmp_path: Path) -> None:
    """The network is run by hand, on each image by itself."""
    found = evaluate(model, data, tmp_path / "report", part="test", resamples=20)
    test = make_split(open_data(data, QUICK), QUICK).test
    network, true, predicted = WholeImages(load_model(model), 3, 1), [], []
    for place in range(len(test)):
        values, labels = test.read(place)
        known = labels.any(axis=-1)
        true.append(labels.argmax(axis=-1)[known])
        predicted.append(network.predict(values[None])[0].argmax(axis=-1)[known])
    expected = jaccard_score(np.concatenate(true), np.concatenate(predicted), average="macro")
    assert found.metrics["mean_iou"]["value"] == pytest.approx(expected, abs=1e-4)
    assert read_card(model).metrics["mean_iou"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found.metrics["pixels"] == len(np.concatenate(true))
    assert {path.name for path in found.files} >= {"metrics.json", "gallery.png", "reliability.png", "report.html"}
    assert json.loads((tmp_path / "report/metrics.json").read_text()) == found.metrics
    page = (tmp_path / "report/report.html").read_text()
    assert "Mean IoU" in page
    assert f"{len(test)} images with" in page


def test_evaluation_warns_of_what_was_learnt(data: Path, model: Path, tmp_path: Path) -> None:
    found = evaluate(model, data, tmp_path / "report", resamples=5)
    assert any("training part" in warning for warning in found.warnings)


def test_masks_with_other_ids_are_matched_by_name(data: Path, model: Path, tmp_path: Path) -> None:
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    other = {10: 3, 20: 1, 40: 2, -1: -1}
    arrays["masks"] = np.vectorize(other.__getitem__)(arrays["masks"])
    arrays["classes"] = ["1=wood", "2=lake", "3=field"]
    np.savez(tmp_path / "other.npz", **arrays)
    same = [evaluate(model, d, tmp_path / d.stem, resamples=5).metrics for d in (data, tmp_path / "other.npz")]
    assert same[0]["confusion"] == same[1]["confusion"]
    arrays["classes"] = ["1=wood", "2=lake", "3=glacier"]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(DatasetError, match="doesn't know the class glacier"):
        evaluate(model, tmp_path / "other.npz", tmp_path / "no", resamples=5)


class _KilledError(Exception):
    """Stands in for the end of the process."""


def test_a_killed_training_ends_where_an_uninterrupted_one_does(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = tmp_path / "killed.keras", checkpoints.Checkpoints.on_epoch_begin

    def kill(self: Any, epoch: int, logs: object = None) -> None:
        if epoch == 3:
            raise _KilledError
        whole(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_epoch_begin", kill)
        with pytest.raises(_KilledError):
            train(data, path, QUICK, verbose=0)
    with pytest.raises(ModelError, match="Give --resume"):
        train(data, path, QUICK, verbose=0)
    card = train(data, path, QUICK, resume=True, verbose=0)
    assert [row["val_loss"] for row in card.training["log"]] == [
        row["val_loss"] for row in read_card(model).training["log"]
    ]
    assert all(map(np.array_equal, load_model(path).get_weights(), load_model(model).get_weights()))


def test_a_training_goes_on_from_a_model_of_pixels(data: Path, model: Path, chip_zip: Path, tmp_path: Path) -> None:
    fields = {name: getattr(TrainSettings(), name) for name in ("architecture", "filters")}
    settings = dataclasses.replace(QUICK, **fields, start_from=str(model), epochs=1, learning_rate=1e-9)
    card = train(data, tmp_path / "more.keras", settings, verbose=0)
    assert (card.margin, card.metrics["accuracy"]["value"] > 0.9) == (3, True)
    with pytest.raises(ModelError, match=r"expected a model of pixels\. Received: one of pixels, with optional bands"):
        train(data, tmp_path / "no.keras", dataclasses.replace(settings, optional_bands=()), verbose=0)
    with pytest.raises(ModelError, match="expected a model of chips"):
        train(chip_zip, tmp_path / "no.keras", dataclasses.replace(settings, optional_bands=()), verbose=0)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"architecture": "cnn"}, ModelError, "architecture for images with masks: pixel-field, pixel-unet"),
        ({"teacher": "default"}, ModelError, "Give a teacher's probabilities as masks"),
        ({"optional_bands": ("B11",)}, DatasetError, "optional_bands: expected some of B04, B08, B02"),
        ({"optional_bands": BANDS}, DatasetError, "and not all"),
        ({"augment": ("mixup",)}, DatasetError, "mixup"),
        ({"limit": 5}, DatasetError, "limit"),
    ],
)
def test_what_trainings_on_masks_do_not_have_is_refused(
    data: Path, tmp_path: Path, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train(data, tmp_path / "no.keras", dataclasses.replace(QUICK, **change), verbose=0)
    assert not list(tmp_path.iterdir())


def test_models_and_data_of_the_other_kind_are_refused(
    data: Path, model: Path, small_model: Path, chip_zip: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="expected chips with one label each"):
        evaluate(small_model, data, tmp_path / "no")
    with pytest.raises(DatasetError, match="expected images with masks"):
        evaluate(model, chip_zip, tmp_path / "no")


def test_a_batch_is_drawn_with_its_masks(data: Path, tmp_path: Path) -> None:
    show_batch(open_images(data), tmp_path / "batch.png", QUICK)
    assert (tmp_path / "batch.png").stat().st_size > 2000


def test_classes_that_are_rare_count_as_much(data: Path, tmp_path: Path) -> None:
    """Soft labels, the other architecture and rounded weights, for one epoch."""
    with np.load(data) as file:
        soft = np.eye(3, dtype=np.float32)[np.searchsorted([10, 20, 40], file["masks"].clip(10))] * 0.8 + 0.2 / 3
        np.savez(tmp_path / "soft.npz", images=file["images"], masks=soft, bands=BANDS, classes=["a", "b", "c"])
    changes = {"architecture": "pixel-unet", "filters": (4, 4, 4, 4), "epochs": 1, "class_weights": "balanced"}
    settings = dataclasses.replace(QUICK, **changes, optional_bands=(), round_weights=True, precision="mixed_bfloat16")
    card = train(tmp_path / "soft.npz", tmp_path / "soft.keras", settings, verbose=0)
    assert (card.margin, card.step, card.training["mask_ids"]) == (32, 8, None)
    assert not any(
        "BatchNormalization" in type(layer).__name__
        for layer in load_model(tmp_path / "soft.keras").layers
        if "into" in layer.name
    )
