"""One layer on the features of the packaged network is learnt from drawn labels, and scored by place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from landmap_models.architectures.pixel_unet import MARGIN
from landmap_models.datasets.image_files import UNLABELLED, ImageForm
from landmap_models.datasets.images import LabelledImages, labelled_images
from landmap_models.errors import DatasetError, ModelError
from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import packaged_models
from landmap_models.training.drawn import EACH, STRENGTH, feature_network, learnt_pixels, train_drawn
from landmap_models.training.settings import TrainSettings

pytestmark = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
BANDS = ("B02", "B03", "B04")
SIDE = 48
SETTINGS = TrainSettings(name="mine", level="L2A", seed=3)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap_models.training.drawn.TREES", 10)


@dataclass(frozen=True)
class Fields:
    """Places of one colour each, with a square of labels in the middle."""

    colours: np.ndarray[Any, Any]
    """`(places, bands)`"""
    classes: tuple[int, ...]
    names: tuple[str, ...] = ("wood", "lake")
    half: int = 8
    dates: int = 1

    def forms(self) -> tuple[list[ImageForm], dict[str, str]]:
        names = [f"{date}-{i}" for date in range(self.dates) for i in range(len(self.classes))]
        return [ImageForm(name, SIDE, SIDE, BANDS, 1.0, None, self.names) for name in names], {}

    def read(self, name: str, window: tuple[int, int, int, int]) -> Any:
        place, (row, col, height, width) = self.place_of(name), window
        noise = np.random.default_rng(place).normal(0, 0.003, (SIDE, SIDE, 3)) + self.colours[place]
        here = np.s_[row : row + height, col : col + width]
        numbers = self.shape_numbers(name, window)
        labels = np.where(numbers >= 0, self.classes[place], UNLABELLED)
        return noise[here].astype(np.float32), np.ones((height, width), bool), labels

    def shape_numbers(self, name: str, window: tuple[int, int, int, int]) -> Any:
        row, col, height, width = window
        found = np.full((SIDE, SIDE), UNLABELLED)
        middle = slice(SIDE // 2 - self.half, SIDE // 2 + self.half)
        found[middle, middle] = self.place_of(name)
        return found[row : row + height, col : col + width]

    def place_of(self, name: str) -> int:
        return int(name.split("-")[1])


def images_of(source: Fields) -> LabelledImages:
    return labelled_images(Path("drawn.gpkg"), source, bands=BANDS)


def colours_of(classes: tuple[int, ...], contrast: float = 0.1) -> Any:
    rng = np.random.default_rng(5)
    return 0.05 + 0.02 * rng.random((len(classes), 3)) + contrast * np.array(classes)[:, None] * [1, 0.5, 0.2]


@pytest.mark.parametrize("classes", [(0, 1) * 4, (0, 1, 2) * 4], ids=["two", "three"])
def test_the_model_computes_what_the_regression_learnt(tmp_path: Path, classes: tuple[int, ...]) -> None:
    names = ("wood", "lake", "road")[: max(classes) + 1]
    images = images_of(Fields(colours_of(classes), classes, names))
    card, scores = train_drawn(images, tmp_path / "mine.keras", SETTINGS)
    base = feature_network("default", BANDS)
    learnt = learnt_pixels(images, base, SETTINGS.seed)
    scaler = StandardScaler().fit(learnt.features)
    regression = LogisticRegression(C=STRENGTH, max_iter=1000)
    regression.fit(scaler.transform(learnt.features), learnt.classes, sample_weight=learnt.weights())
    values, _ = images.read(0)
    features = np.asarray(base(values[None]))[0].reshape(SIDE * SIDE, -1)
    logits = regression.decision_function(scaler.transform(features))
    logits = np.stack([np.zeros_like(logits), logits], axis=1) if logits.ndim == 1 else logits
    wanted = softmax(logits / card.training["temperature"], axis=1)
    found = np.asarray(load_model(tmp_path / "mine.keras")(values[None]))[0].reshape(SIDE * SIDE, -1)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert scores.network > 0.85
    assert (card.answers, card.margin, card.step, card.levels) == ("pixel", MARGIN, 8, ("L2A",))
    assert card == read_card(tmp_path / "mine.keras")
    assert card.training["labels"] == {name: classes.count(i) for i, name in enumerate(names)}
    assert card.training["hectares"] == pytest.approx(len(classes) * 256 / 100, abs=0.05)
    assert card.metrics["n"] == len(classes)


def test_of_each_shape_some_pixels_are_learnt_and_all_classes_weigh_alike() -> None:
    classes = (0, 0, 0, 1)
    learnt = learnt_pixels(images_of(Fields(colours_of(classes), classes)), feature_network("default", BANDS))
    assert np.bincount(learnt.shapes).tolist() == [EACH] * 4
    sums = np.bincount(learnt.classes, learnt.weights())
    assert sums[0] == pytest.approx(sums[1])
    assert learnt.weights().mean() == pytest.approx(1)


def test_classes_by_lot_are_known_by_pixel_and_guessed_by_place(tmp_path: Path) -> None:
    """Each place has a colour of its own that says nothing of its class: only a split by place finds that out."""
    rng = np.random.default_rng(0)
    classes = tuple(rng.permutation([0, 1] * 8).tolist())
    images = images_of(Fields(rng.uniform(0.03, 0.3, (16, 3)), classes))
    card, scores = train_drawn(images, tmp_path / "mine.keras", SETTINGS)
    assert scores.by_pixel > scores.network + 0.1
    assert scores.network < 0.75
    assert any(text.startswith("Split by pixel, the score would be") for text in scores.warnings)
    low, high = (card.metrics["accuracy"][key] for key in ("low", "high"))
    assert high - low > 0.2, "an interval of 16 places is wide, however many pixels they have"


def test_features_depend_on_nothing_beyond_the_margin() -> None:
    network = feature_network("default", BANDS)
    values = np.random.default_rng(0).uniform(0, 0.3, (1, 96, 96, 3)).astype(np.float32)
    other = values.copy()
    other[:, : 48 - MARGIN] = 0.9
    one, two = (np.asarray(network(each)) for each in (values, other))
    np.testing.assert_array_equal(one[:, 48:], two[:, 48:])
    assert (one[:, :16] != two[:, :16]).any()


def test_few_labels_are_named_and_places_of_two_dates_count_once(tmp_path: Path) -> None:
    classes = (0,) * 6 + (1,) * 2
    images = images_of(Fields(colours_of(classes), classes, dates=2))
    assert len(images) == 16
    card, scores = train_drawn(images, tmp_path / "mine.keras", SETTINGS)
    assert (card.metrics["n"], card.training["hectares"]) == (8, pytest.approx(8 * 2.56, abs=0.05))
    assert any(text.startswith("Fewer than 5 labels of lake 2:") for text in scores.warnings)


def test_a_class_of_one_place_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    classes = (0, 0, 0, 1)
    with pytest.raises(DatasetError, match=r"in two places or more.*Received: one place of lake"):
        train_drawn(images_of(Fields(colours_of(classes), classes)), tmp_path / "mine.keras", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_bands_that_the_features_do_not_take_are_refused() -> None:
    with pytest.raises(ModelError, match=r"in this order. Received: B04, B03"):
        feature_network("default", ("B04", "B03"))
