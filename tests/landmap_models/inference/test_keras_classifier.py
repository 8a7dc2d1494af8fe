"""Keras models behind the seam."""

from __future__ import annotations

import dataclasses
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.errors import CardError, ModelError, UnsafeModelError
from landmap_models.inference.classifier import Classifier, ConstantClassifier
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.inference.loading import load_model
from landmap_models.inference.session import Session, c_library
from landmap_models.inference.tensorflow import FrozenNetwork
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import packaged_models


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


def test_one_graph_runs_at_a_time(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph uses all cores: threads that call it side by side would only use more memory."""
    kind: Any = Session if c_library() else FrozenNetwork
    classifier, original, running, calls = load_classifier(small_model), kind.__call__, 0, 0

    def call(network: Any, values: Any) -> Any:
        nonlocal running, calls
        running += 1
        calls += 1
        time.sleep(0.01)
        assert running == 1
        answers = original(network, values)
        running -= 1
        return answers

    monkeypatch.setattr(kind, "__call__", call)
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(classifier.predict, [chips(3)] * 8))) == 8
    assert calls == 8


def test_no_chips_no_probabilities(small_model: Path) -> None:
    assert load_classifier(small_model, batch_size=16).predict(chips(1)[:0]).shape == (0, 3)


def test_a_model_is_loaded_once(small_model: Path) -> None:
    assert load_classifier(small_model, batch_size=16) is load_classifier(small_model, batch_size=16)


def test_other_weights_than_planned_are_refused(small_model: Path) -> None:
    with pytest.raises(ModelError, match="has changed"):
        load_classifier(small_model, "0" * 64)


def test_a_card_of_other_shape_is_refused(small_model: Path, small_card: ModelCard) -> None:
    model = load_model(small_model)
    with pytest.raises(CardError, match="the card says input and output are chips of 64x64 px, 2 bands"):
        KerasClassifier(model, dataclasses.replace(small_card, bands=small_card.bands[:2]))


def test_a_lambda_layer_is_refused(small_card: ModelCard, keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "lambda.keras"
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Lambda(lambda x: x * 2)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)).save(path)
    write_card(path, small_card)
    with pytest.raises(UnsafeModelError, match="Lambda layer"):
        load_classifier(path)


def first_layer_as(path: Path, **entries: object) -> None:
    """Change the second layer's entry in config.json, written as an attacker would: without a telling letter."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1].update(entries)
    members["config.json"] = json.dumps(config).replace("Lambda", "\\u004cambda").encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"class_name": "Lambda", "registered_name": None}, "Lambda layer"),
        ({"config": {"layer": {"a": [{"class_name": "Lambda"}]}}}, "Lambda layer"),
        ({"class_name": "__lambda__"}, "Lambda layer"),
        ({"module": "os", "class_name": "system"}, "of module 'os'"),
        ({"module": "keras_evil.layers"}, "of module 'keras_evil.layers'"),
        ({"module": None, "class_name": "Evil", "registered_name": "Custom>Evil"}, "registered as 'Custom>Evil'"),
        ({"registered_name": "Custom>Evil"}, "registered as 'Custom>Evil'"),
        ({"config": {"activation": {"class_name": "function", "module": "builtins", "config": "e"}}}, "'builtins'"),
    ],
)
def test_code_is_refused_however_it_is_written(entries: dict[str, object], message: str, small_model: Path) -> None:
    first_layer_as(small_model, **entries)
    with pytest.raises(UnsafeModelError, match=message):
        load_model(small_model)


def test_what_is_only_called_lambda_is_loaded(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "named.keras"
    inputs = keras.Input((64, 64, 3), name="Lambda")
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(path)
    assert load_model(path).output_shape == (None, 3)


def test_a_compiled_model_is_loaded(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "compiled.keras"
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])

    def own_loss(true: Any, predicted: Any) -> Any:
        return predicted - true

    model.compile("adamw", own_loss, metrics=["accuracy"])
    model.save(path)
    assert load_model(path).output_shape == (None, 3)


@pytest.mark.parametrize("path", packaged_models().values(), ids=packaged_models())
def test_packaged_models_are_loaded(path: Path) -> None:
    assert load_classifier(path).card.bands


def test_a_broken_model_is_one_line(small_model: Path, small_card: ModelCard, tmp_path: Path) -> None:
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


def test_all_windows_at_once_are_the_chips_one_by_one(small_model: Path) -> None:
    classifier = load_classifier(small_model, batch_size=16)
    values = np.random.default_rng(1).random((64 + 3 * 16, 64 + 5 * 16, 3), dtype=np.float32) * 0.3
    views = np.lib.stride_tricks.sliding_window_view(values, (64, 64), axis=(0, 1))[::16, ::16].transpose(0, 1, 3, 4, 2)
    found = classifier.predict_windows(values, 16)
    assert found.shape == (4, 6, 3)
    np.testing.assert_allclose(found, classifier.predict(views.reshape(-1, 64, 64, 3)).reshape(4, 6, 3), atol=1e-5)


def test_the_place_of_a_window_in_a_rectangle_changes_no_bit(small_model: Path) -> None:
    classifier = load_classifier(small_model)
    values = np.random.default_rng(2).random((640, 704, 3), dtype=np.float32) * 0.3
    whole, part = (classifier.predict_windows(v, 8) for v in (values, values[64 : 64 + 512, 128 : 128 + 512]))
    assert part.tobytes() == whole[8 : 8 + 57, 16 : 16 + 57].tobytes()


def test_reduced_precision_is_another_graph_and_nearly_the_same(small_model: Path) -> None:
    exact, reduced = (load_classifier(small_model, batch_size=16, precision=p) for p in ("float32", "bfloat16"))
    difference = np.abs(exact.predict(chips(20)) - reduced.predict(chips(20)))
    assert 0 < difference.max() < 0.05


def test_graphs_of_many_shapes_are_not_all_kept(small_model: Path) -> None:
    classifier = KerasClassifier(load_model(small_model), load_classifier(small_model).card)
    for cells in range(7):
        classifier.predict_windows(np.zeros((64 + 8 * cells, 64, 3), np.float32), 8)
    assert len(classifier._frozen) <= 4


def test_a_model_that_pads_is_not_dense(small_card: ModelCard, keras: Any) -> None:
    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            keras.layers.Conv2D(4, 3, padding="same", name="padded"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    classifier = KerasClassifier(model, small_card, batch_size=4)
    assert classifier.predict(chips(5)).shape == (5, 3)
    with pytest.raises(ModelError, match="its layer padded is padded"):
        classifier.predict_windows(np.zeros((72, 64, 3), np.float32), 8)


def test_a_gpu_that_is_not_there_is_told(small_model: Path) -> None:
    with pytest.raises(ModelError, match="--device cpu"):
        load_classifier(small_model, device="gpu:99")


def test_a_file_with_another_card_beside_the_same_weights_is_loaded_anew(small_model: Path) -> None:
    before = load_classifier(small_model)
    assert load_classifier(small_model) is before
    card = write_card(small_model, dataclasses.replace(before.card, version="another"))
    assert card.weights_sha256 == before.card.weights_sha256
    assert load_classifier(small_model, card.weights_sha256).card.version == "another"
    assert load_classifier(small_model).card.version == "another"
