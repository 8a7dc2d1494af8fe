"""Networks built for OpenVINO answer as Keras does, and without it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.errors import ModelError
from landmap_models.inference.engines import InferenceEngine, openvino_engine
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.inference.openvino import installed, load_openvino_classifier, obstacle
from landmap_models.model_file.archive import read_config, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model, packaged_models

needs_openvino = pytest.mark.skipif(installed() is None, reason="OpenVINO is not installed")
needs_model = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")


def values(height: int, width: int, bands: int = 3) -> Any:
    """Reflectance that varies from pixel to pixel and from place to place."""
    rows, cols = np.mgrid[:height, :width][..., None]
    waves = 0.1 + 0.08 * np.sin(rows / 17 + np.arange(bands)) * np.cos(cols / 23)
    return (waves + np.random.default_rng(0).normal(0, 0.02, waves.shape)).clip(0, 1).astype(np.float32)


@pytest.fixture
def mixed(tmp_path: Path, small_card: ModelCard) -> Path:
    """A model of nearly all layers that are known, some of one class in an order that is not that of their names."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    given = keras.Input((64, 64, 3))
    x = layers.Rescaling([3.0, 4.0, 5.0], offset=-0.2)(given)
    x = layers.Conv2D(8, 5, strides=2, use_bias=False, name="z")(x)
    x = layers.ReLU(max_value=6)(layers.BatchNormalization(name="n2")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="d")(x)
    x = layers.Activation("silu")(layers.BatchNormalization(center=False, scale=False, name="n1")(x))
    left = layers.Conv2D(16, 3, dilation_rate=2, activation="tanh", name="b")(x)
    right = layers.Cropping2D(((2, 2), (1, 3)))(layers.Conv2D(16, 1, name="a")(x))
    x = layers.Concatenate()([layers.Maximum()([left, right]), layers.Subtract()([left, right])])
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.Conv2D(12, 3, activation="sigmoid", name="c")(layers.Dropout(0.5)(x))
    x = layers.Dense(10, activation="relu", name="e")(layers.Flatten()(x))
    model = keras.Model(given, layers.Dense(3, activation="softmax", name="f")(x))
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
    model.save(tmp_path / "mixed.keras")
    write_card(tmp_path / "mixed.keras", dataclasses.replace(small_card, name="mixed"))
    return tmp_path / "mixed.keras"


@needs_openvino
def test_it_answers_as_keras_does(mixed: Path, small_model: Path) -> None:
    for path in (mixed, small_model):
        assert obstacle(read_config(path)) is None
        ours, theirs = load_openvino_classifier(path, batch_size=16), load_classifier(path, batch_size=16)
        chips = np.stack([values(64 + i, 64)[i:] * np.float32(i / 6) for i in range(19)])
        expected = theirs.predict(chips)
        assert np.ptp(expected, axis=0).max() > 1e-3  # chips that differ
        np.testing.assert_allclose(ours.predict(chips), expected, atol=1e-5)
        rectangle = values(64 + 5 * 8, 64 + 9 * 8)
        np.testing.assert_allclose(ours.predict_windows(rectangle, 8), theirs.predict_windows(rectangle, 8), atol=1e-5)
        whole = ours.predict_windows(rectangle, 8)
        assert ours.predict_windows(rectangle[8:80, 24:128], 8).tobytes() == whole[1:3, 3:9].tobytes()
    assert ours.predict(chips[:0]).shape == (0, 3)


@needs_openvino
@needs_model
def test_the_packaged_networks_answer_as_in_keras() -> None:
    path = find_model("default")
    ours, theirs = load_openvino_classifier(path), load_classifier(path)
    rectangle = values(264, 200)
    given, expected = ours.predict_windows(rectangle, 8), theirs.predict_windows(rectangle, 8)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert (given.argmax(axis=-1) == expected.argmax(axis=-1)).mean() >= 0.999
    part = theirs.card.pixels
    assert part is not None
    for bands in (part.bands, ("B02", "B03", "B04", "B08"), ("B02", "B03", "B04")):
        there = values(128, 96, len(bands))
        np.testing.assert_allclose(ours.pixel_factors(there, bands), theirs.pixel_factors(there, bands), atol=1e-5)


@needs_openvino
@needs_model
def test_a_window_and_a_pixel_have_the_same_bits_in_rectangles_of_any_shape() -> None:
    classifier = load_openvino_classifier(find_model("default"))
    whole = values(680, 520, 4)
    windows = classifier.predict_windows(whole[..., :3], 8)
    bands = ("B02", "B03", "B04", "B08")
    pixels = classifier.pixel_factors(whole, bands)
    for row, col, height, width in ((0, 0, 64, 64), (8, 16, 72, 200), (160, 80, 264, 264), (40, 0, 520, 512)):
        inside = slice(row, row + height), slice(col, col + width)
        part = classifier.predict_windows(whole[inside][..., :3], 8)
        assert part.tobytes() == windows[row // 8 :, col // 8 :][: part.shape[0], : part.shape[1]].tobytes()
        part = classifier.pixel_factors(whole[inside], bands)
        margin = slice(32, -32)
        assert part[:, margin, margin].tobytes() == pixels[:, *inside][:, margin, margin].tobytes()


@needs_openvino
@needs_model
def test_neither_keras_nor_tensorflow_is_imported() -> None:
    code = (
        "import sys, numpy\n"
        "from landmap_models.inference.engines import openvino_engine\n"
        "from landmap_models.model_file.archive import read_card, read_config\n"
        "from landmap_models.model_file.packaged import find_model\n"
        "path = find_model('default')\n"
        "engine = openvino_engine(read_config(path))\n"
        "model = engine.load(path, read_card(path).weights_sha256, 4, 'float32', 'auto')\n"
        "model.predict(numpy.zeros((1, 64, 64, 3)))\n"
        "model.pixel_factors(numpy.zeros((64, 64, 3)), ('B02', 'B03', 'B04'))\n"
        "print(sorted({'keras', 'tensorflow'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def with_layer(make: Callable[[Any], Any]) -> dict[str, Any]:
    """The configuration of a small model with a layer in its middle."""
    import keras

    given = keras.Input((64, 64, 3))
    answers = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(make(keras.layers)(given)))
    config: dict[str, Any] = keras.saving.serialize_keras_object(keras.Model(given, answers))
    return config


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda layers: layers.SeparableConv2D(4, 3, name="odd"), "its layer odd is of class SeparableConv2D"),
        (lambda layers: layers.Conv2D(6, 3, groups=3, name="odd"), "its layer odd has groups of channels"),
        (lambda layers: layers.Conv2D(6, 3, activation="mish", name="odd"), "its layer odd has the activation mish"),
        (lambda layers: layers.ReLU(negative_slope=0.1, name="odd"), "its layer odd has a slope or a threshold"),
        (lambda layers: layers.Conv2D(6, 3, dtype="mixed_bfloat16", name="odd"), "its layer odd is not of float32"),
        (lambda layers: layers.Conv2D(6, 3), None),
    ],
)
def test_the_first_layer_that_is_not_known_is_named(make: Callable[[Any], Any], reason: str | None) -> None:
    assert obstacle(with_layer(make)) == reason


def test_a_model_that_it_can_not_run_or_a_machine_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import landmap_models.inference.openvino as module

    config = with_layer(lambda layers: layers.SeparableConv2D(4, 3, name="odd"))
    monkeypatch.setattr(module, "installed", lambda: "2026.1")
    assert openvino_engine(config) == "OpenVINO can't run the model: its layer odd is of class SeparableConv2D"
    assert openvino_engine(with_layer(lambda layers: layers.ReLU())) == InferenceEngine("openvino", "2026.1")
    monkeypatch.setattr(module, "installed", lambda: None)
    assert "is not installed" in str(openvino_engine(config))
    with pytest.raises(ModelError, match=r"expected OpenVINO 2026\.1, which the plan was made with\. Received: none"):
        InferenceEngine("openvino", "2026.1").load("a.keras", "", 1, "float32", "auto")


@needs_openvino
def test_other_weights_than_planned_and_files_without_some_are_refused(small_model: Path) -> None:
    with pytest.raises(ModelError, match="has changed"):
        load_openvino_classifier(small_model, "0" * 64)
    with pytest.raises(ModelError, match="expected a model with a network for pixels"):
        load_openvino_classifier(small_model).pixel_factors(values(64, 64), ("B02", "B03", "B04"))
