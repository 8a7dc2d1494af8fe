"""Keras networks that answer for each pixel: their form, their margin, and what they are given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.errors import CardError, ModelError
from landmap_models.evaluation.describe import put_card
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.inference.loading import load_model
from landmap_models.inference.per_pixel import KerasPixelModel, load_pixel_model
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.card import BandProfile
from landmap_models.model_file.transform import LogSigmoid

Floats = npt.NDArray[np.float32]
RGB = ("B04", "B03", "B02")
FURTHER = tuple(BandProfile(name, 0.1, 0.2, 0.4, 0.25) for name in ("B08", "B11"))
CARD = dataclasses.replace(
    FAKE_CARD, name="net", answers="pixel", margin=4, step=2, chip_size=32, legend=legend_for(("a", "b", "c"))
)


def network(
    seed: int = 0, kernel: int = 3, *, halved: bool = True, size: int | None = None, pooled: bool = False
) -> Any:
    """A small network with random weights; its answers depend on what lies within `reach(kernel, halved)`."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3), name="pixels")
    x = layers.Conv2D(6, kernel, padding="same", activation="relu", kernel_initializer="he_normal")(inputs)
    x = layers.BatchNormalization()(x)
    if halved:
        y = layers.Conv2D(8, 2, strides=2, padding="same", activation="relu")(x)
        y = layers.DepthwiseConv2D(3, padding="same")(y)
        x = layers.Concatenate()([x, layers.Conv2DTranspose(4, 2, strides=2)(y)])
    if pooled:
        x = layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])
    x = layers.Rescaling(8.0)(x)
    return keras.Model(inputs, layers.Conv2D(3, 1, activation="softmax")(x), name="net")


def reach(kernel: int, *, halved: bool) -> int:
    """Worked out by hand: half a kernel, and a position of 2 px beside that of a pixel."""
    return kernel // 2 + (2 if halved else 0)


def noise(height: int, width: int, bands: int = 3, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((height, width, bands), np.float32) * 0.3


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("halved", [True, False])
def test_a_margin_as_wide_as_the_field_is_accepted_and_one_step_less_is_refused(kernel: int, halved: bool) -> None:
    step = 2 if halved else 1
    margin = -(-reach(kernel, halved=halved) // step) * step
    model = network(0, kernel, halved=halved)
    card = dataclasses.replace(CARD, margin=margin, step=step)
    found = KerasPixelModel(model, card).predict_pixels(noise(40, 48), RGB)
    np.testing.assert_allclose(found, model(noise(40, 48)[None])[0], atol=1e-5)
    if margin:
        with pytest.raises(CardError, match=rf"margin of {margin - step} px. They differ by up to"):
            KerasPixelModel(model, dataclasses.replace(card, margin=margin - step))


def test_a_network_that_looks_at_all_of_its_window_has_no_finite_margin() -> None:
    model = network(pooled=True)
    with pytest.raises(CardError, match="or null where none is wide enough"):
        KerasPixelModel(model, CARD)
    answers = KerasPixelModel(model, dataclasses.replace(CARD, margin=None)).predict_pixels(noise(32, 32), RGB)
    assert answers.shape == (32, 32, 3)


def test_a_network_saved_for_one_size_is_built_anew_for_others() -> None:
    model = network(size=32)
    found = KerasPixelModel(model, CARD).predict_pixels(noise(20, 24), RGB)
    np.testing.assert_allclose(found, network()(noise(20, 24)[None])[0], atol=1e-5)


def test_a_network_that_can_not_be_built_for_other_sizes_says_so() -> None:
    import keras

    inputs = keras.Input((32, 32, 3))
    flat = keras.layers.Dense(32 * 32 * 3)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Reshape((32, 32, 3))(flat))
    with pytest.raises(ModelError, match="can't be built for"):
        KerasPixelModel(model, CARD)


@pytest.mark.parametrize(
    "change",
    [{"legend": legend_for(("a", "b"))}, {"bands": CARD.bands[:2]}, {"optional": FURTHER}],
    ids=["classes", "bands", "flags"],
)
def test_a_network_of_another_form_than_its_card_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"the card says that the model takes pixels .* Correct the card"):
        KerasPixelModel(network(), dataclasses.replace(CARD, **change))


def test_the_network_is_told_which_bands_are_there() -> None:
    """It answers with what it was given, so that each number can be found again."""
    import keras
    from keras import layers

    pixels, there = keras.Input((None, None, 5)), keras.Input((5,))
    flags = layers.Reshape((1, 1, 5))(there)
    total = layers.Add()([pixels, layers.Rescaling(10.0)(flags)])
    model = keras.Model([pixels, there], layers.Softmax()(total))
    card = dataclasses.replace(CARD, margin=0, step=1, optional=FURTHER, legend=legend_for(tuple("abcde")))
    values = noise(8, 8, 4)
    found = KerasPixelModel(model, card).predict_pixels(values, (*RGB, "B11"))
    scores = np.zeros((8, 8, 5))
    scores[..., [0, 1, 2, 4]] = values + 10.0
    wanted = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_transform_of_the_card_is_applied() -> None:
    transform = LogSigmoid((1.7, 1.8, 1.9), (2.0, 2.1, 2.2))
    model, values = network(), noise(24, 24) - 0.02
    found = KerasPixelModel(model, dataclasses.replace(CARD, transform=transform)).predict_pixels(values, RGB)
    np.testing.assert_allclose(found, model(transform.apply(values)[None])[0], atol=1e-5)


def test_reduced_precision_is_close_and_not_the_same() -> None:
    model, values = network(), noise(32, 32)
    exact, reduced = (KerasPixelModel(model, CARD, p).predict_pixels(values, RGB) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - reduced).max() < 0.05
    np.testing.assert_allclose(reduced.sum(axis=-1), 1, atol=1e-5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.keras"
    network().save(path)
    write_card(path, CARD)
    return path


def test_a_file_is_loaded_once_and_refused_where_it_changed(file: Path) -> None:
    found = load_pixel_model(file)
    assert found is load_pixel_model(file)
    np.testing.assert_allclose(
        found.predict_pixels(noise(16, 16), RGB), load_model(file)(noise(16, 16)[None])[0], atol=1e-5
    )
    with pytest.raises(ModelError, match="It has changed"):
        load_pixel_model(file, "0" * 64)


def test_what_wants_chips_refuses_it(file: Path) -> None:
    with pytest.raises(ModelError, match="answers for each pixel"):
        load_classifier(file)
    with pytest.raises(ModelError, match="answers for each pixel"):
        load_pixel_model(file).predict(noise(32, 32)[None])


def test_a_card_is_put_into_a_network_of_pixels_once_it_was_tried(tmp_path: Path) -> None:
    path, text = tmp_path / "net.keras", tmp_path / "card.json"
    network().save(path)
    text.write_text(CARD.to_json())
    assert put_card(path, text, output=tmp_path / "told.keras").per_pixel
    assert load_pixel_model(tmp_path / "told.keras").card.margin == 4
    text.write_text(dataclasses.replace(CARD, margin=0).to_json())
    with pytest.raises(CardError, match="Give a wider margin"):
        put_card(path, text, output=tmp_path / "narrow.keras")
    text.write_text(dataclasses.replace(CARD, answers="chip", margin=None, step=1).to_json())
    with pytest.raises(ModelError, match="expected chips as input"):
        put_card(path, text, output=tmp_path / "chip.keras")
    assert sorted(file.name for file in tmp_path.glob("*.keras")) == ["net.keras", "told.keras"]
