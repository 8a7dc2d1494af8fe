"""Keras models behind the seam."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.card import ModelCard, write_card
from landmap_models.classifier import Classifier, ConstantClassifier
from landmap_models.errors import CardError, ModelError, UnsafeModelError
from landmap_models.keras_classifier import load_classifier, load_model


def chips(n: int) -> Any:
    return np.random.default_rng(n).random((n, 64, 64, 3), dtype=np.float32) * 0.3


def test_it_predicts_what_keras_predicts(small_model: Path) -> None:
    classifier: Classifier = load_classifier(small_model, batch_size=16)
    expected = load_model(small_model).predict(chips(37), verbose=0)
    np.testing.assert_allclose(classifier.predict(chips(37)), expected, atol=1e-5)


def test_company_changes_no_bit_of_a_chip(small_model: Path) -> None:
    classifier = load_classifier(small_model, batch_size=16)
    many = chips(40)
    together = classifier.predict(many)
    for i in (0, 15, 16, 39):
        assert classifier.predict(many[i : i + 1]).tobytes() == together[i : i + 1].tobytes()
    assert classifier.predict(many[::-1])[::-1].tobytes() == together.tobytes()


def test_no_chips_no_probabilities(small_model: Path) -> None:
    assert load_classifier(small_model, batch_size=16).predict(chips(1)[:0]).shape == (0, 3)


def test_a_model_is_loaded_once(small_model: Path) -> None:
    assert load_classifier(small_model, batch_size=16) is load_classifier(small_model, batch_size=16)


def test_other_weights_than_planned_are_refused(small_model: Path) -> None:
    with pytest.raises(ModelError, match="has changed"):
        load_classifier(small_model, "0" * 64)


def test_a_card_of_other_shape_is_refused(small_model: Path, small_card: ModelCard) -> None:
    write_card(small_model, dataclasses.replace(small_card, bands=small_card.bands[:2]))
    with pytest.raises(CardError, match="the card says input and output"):
        load_classifier(small_model)


def test_a_lambda_layer_is_refused(small_card: ModelCard, keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "lambda.keras"
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Lambda(lambda x: x * 2)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)).save(path)
    write_card(path, small_card)
    with pytest.raises(UnsafeModelError, match="Lambda layer"):
        load_classifier(path)


def test_a_broken_model_is_one_line(small_model: Path, small_card: ModelCard, tmp_path: Path) -> None:
    import zipfile

    broken = tmp_path / "broken.keras"
    with zipfile.ZipFile(small_model) as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"garbage" if name == "model.weights.h5" else old.read(name))
    write_card(broken, small_card)
    with pytest.raises(ModelError, match="Keras can't load it") as caught:
        load_classifier(broken)
    assert "\n" not in str(caught.value)


def test_the_fake_is_a_classifier() -> None:
    fake: Classifier = ConstantClassifier(2)
    np.testing.assert_array_equal(fake.predict(chips(2)).argmax(axis=1), [2, 2])
