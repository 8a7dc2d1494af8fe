"""What a pretrained base sees is what it was trained on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from landmap_models.architectures.application_table import APPLICATIONS
from landmap_models.architectures.picture import IMAGENET_MEAN, IMAGENET_STD, input_size, picture
from landmap_models.architectures.shape import NetworkShape, is_head, reflectance_input

VALUES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
REFLECTANCE = VALUES * np.float32(0.275 / 255)


def pictures(chips: Any, size: int, preprocess: Any, *, pretrained: bool = True) -> Any:
    """Chips as they leave the layers in front of a base."""
    inputs, x = reflectance_input(NetworkShape(2, num_bands=chips.shape[-1], chip_size=chips.shape[1]))
    return keras.Model(inputs, picture(x, size, preprocess, pretrained=pretrained)).predict(chips, verbose=0)


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_layers_do_what_preprocess_input_does(application: Any) -> None:
    if application.include_preprocessing is False:
        wanted: Any = (VALUES / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    else:
        wanted = getattr(keras.applications, application.module).preprocess_input(VALUES.copy())
    np.testing.assert_allclose(pictures(REFLECTANCE, 16, application.preprocess), wanted, atol=2e-4)


def test_convnext_prepares_pictures_as_torch_does() -> None:
    """Keras keeps that in a layer of the network itself, which we leave out."""
    made = keras.layers.Normalization(
        mean=[255 * mean for mean in IMAGENET_MEAN], variance=[(255 * std) ** 2 for std in IMAGENET_STD]
    )
    np.testing.assert_allclose(pictures(REFLECTANCE, 16, "torch"), np.asarray(made(VALUES)), atol=1e-5)
    assert keras.applications.convnext.preprocess_input(VALUES) is VALUES


def test_lite_is_127_and_128() -> None:
    np.testing.assert_allclose(pictures(REFLECTANCE, 16, "lite"), (VALUES - 127) / 128, atol=1e-5)


@pytest.mark.parametrize("size", [32, 24])
def test_chips_are_enlarged_bilinearly(size: int) -> None:
    from PIL import Image

    wanted = [
        np.stack(
            [Image.fromarray(chip[..., band]).resize((size, size), Image.Resampling.BILINEAR) for band in range(3)]
        )
        for chip in VALUES
    ]
    found = pictures(REFLECTANCE, size, "raw")
    np.testing.assert_allclose(found, np.stack(wanted).transpose(0, 2, 3, 1), atol=1e-3)


def test_other_bands_reach_a_pretrained_base_as_their_mean_and_learn_with_the_head() -> None:
    chips = np.random.default_rng(1).random((2, 8, 8, 5), dtype=np.float32) * 0.275
    inputs, x = reflectance_input(NetworkShape(2, num_bands=5, chip_size=8))
    network = keras.Model(inputs, picture(x, 8, "raw", pretrained=True))
    wanted = np.repeat(chips.mean(axis=-1, keepdims=True) / 0.275 * 255, 3, axis=-1)
    np.testing.assert_allclose(network.predict(chips, verbose=0), wanted, rtol=1e-4)
    assert [layer.name for layer in network.layers if layer.weights and is_head(layer)] == ["head_bands"]


@pytest.mark.parametrize(
    ("preprocess", "low", "high"), [("caffe", -1, 1), ("torch", -1, 1), ("tf", -1, 1), ("raw", 0, 255)]
)
def test_other_bands_reach_an_untrained_base_as_they_are(preprocess: str, low: float, high: float) -> None:
    chips = np.stack([np.zeros((8, 8, 5)), np.full((8, 8, 5), 0.275)]).astype(np.float32)
    found = pictures(chips, 8, preprocess, pretrained=False)
    assert found.shape == (2, 8, 8, 5)
    np.testing.assert_allclose(found[:, 0, 0, 0], [low, high], rtol=1e-6)


@pytest.mark.parametrize(("chip", "minimum", "wanted"), [(64, 32, 64), (64, 64, 64), (64, 71, 128), (32, 75, 96)])
def test_chips_grow_to_the_next_whole_multiple(chip: int, minimum: int, wanted: int) -> None:
    assert input_size("any", None, NetworkShape(2, chip_size=chip), minimum) == wanted
