"""Single chips are answered by all networks for chips in a model file; maps by the first one alone."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landmap_models import evaluate
from landmap_models.errors import CardError, ModelError
from landmap_models.evaluation.predict import predict_chips
from landmap_models.inference.chip_average import load_chip_classifier
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.model_file.archive import CHIPS_MEMBER, attach_network, read_card, write_card
from landmap_models.model_file.card import ModelCard, describe
from landmap_models.model_file.chips import ChipPart

CHIPS = np.random.default_rng(0).random((5, 64, 64, 3), np.float32) * 0.3


@pytest.fixture
def further(plain_model: Path, tmp_path: Path) -> Path:
    """Another network of the same shape."""
    import keras

    model = keras.models.load_model(plain_model)
    model.set_weights([-weight if weight.ndim > 1 else weight for weight in model.get_weights()])
    path = tmp_path / "further.keras"
    model.save(path)
    return path


@pytest.fixture
def model(small_model: Path, further: Path) -> Path:
    """A model file with two networks for chips."""
    attach_network(small_model, further, ChipPart(0.75, "", "random numbers"))
    return small_model


def test_chips_get_the_weighted_mean_and_maps_the_first_network(model: Path, plain_model: Path, further: Path) -> None:
    import keras

    one, other = (np.asarray(keras.models.load_model(path)(CHIPS, training=False)) for path in (plain_model, further))
    assert abs(one - other).max() > 0.01
    np.testing.assert_allclose(load_classifier(model).predict(CHIPS), one, atol=1e-5)
    np.testing.assert_allclose(load_chip_classifier(model).predict(CHIPS), 0.25 * one + 0.75 * other, atol=1e-5)


def test_images_and_evaluations_ask_both(model: Path, chip_zip: Path, tmp_path: Path) -> None:
    path = tmp_path / "chip.png"
    Image.fromarray((CHIPS[0] * 800).astype(np.uint8)).save(path)
    (found,) = predict_chips([path], model)
    (first,) = predict_chips([path], _without(model))
    assert abs(found.probability - first.probability) > 1e-4
    both, alone = (evaluate(m, chip_zip, tmp_path / name) for m, name in ((model, "a"), (_without(model), "b")))
    assert both.metrics != alone.metrics


def _without(model: Path) -> Path:
    alone = model.with_name("alone.keras")
    write_card(model, dataclasses.replace(read_card(model), chips=None), output=alone)
    return alone


def test_a_card_without_the_entry_takes_the_network_away(model: Path, small_card: ModelCard) -> None:
    assert "share of 0.75: random numbers" in describe(read_card(model))
    write_card(model, small_card)
    with zipfile.ZipFile(model) as archive:
        assert CHIPS_MEMBER not in archive.namelist()
    assert isinstance(load_chip_classifier(model), KerasClassifier)


def test_another_network_than_the_card_says_is_refused(model: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.keras"
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\0" if name == CHIPS_MEMBER else b""))
    with pytest.raises(ModelError, match=r"landmap_chips\.keras inside is not the network .*sha256 differs"):
        load_chip_classifier(changed)


def test_a_network_of_another_form_is_refused(small_model: Path, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "wide.keras"
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]).save(path)
    attach_network(small_model, path, ChipPart(0.5, ""))
    with pytest.raises(ModelError, match=r"further network for chips: .*64x64.*32x32"):
        load_chip_classifier(small_model)


@pytest.mark.parametrize("weight", [0, 1.5, "half", True])
def test_shares_that_can_not_be_meant_are_refused(weight: Any, small_model: Path, further: Path) -> None:
    with pytest.raises(CardError, match="weight of chips above 0 and at most 1"):
        attach_network(small_model, further, ChipPart(weight, ""))
