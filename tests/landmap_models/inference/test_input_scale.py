"""The numbers that a network takes, read off its first layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from landmap_models.inference.input_scale import INPUTS, adapted, scaled_input

MEANS = (0.1, 0.1, 0.12)


@pytest.mark.parametrize(
    ("scale", "offset", "number"),
    [
        (1 / 255, 0, "8bit"),
        (1 / 127.5, -1, "8bit"),
        (1 / 0.275, 0, "reflectance"),
        (1.0, 0, "reflectance"),
        (1 / 10_000, 0, "dn"),
        (1 / 3000, 0, "dn"),
        (255.0, 0, None),
        (-1.0, 1, None),
    ],
)
def test_a_scaling_tells_the_numbers(scale: float, offset: float, number: str | None, keras: Any) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(scale, offset, name="first")])
    assert scaled_input(model, MEANS) == (None if number is None else (number, "first"))


@pytest.mark.parametrize(("factor", "number"), [(1, "reflectance"), (927, "8bit"), (3.6, "8bit/255"), (9000, "dn")])
def test_the_mean_that_is_subtracted_tells_them(factor: float, number: str, keras: Any) -> None:
    mean = [factor * m for m in MEANS]
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Normalization(mean=mean, variance=mean, name="n")])
    assert scaled_input(keras.Sequential([keras.Input((8, 8, 3)), model]), MEANS) == (number, "n")


def test_other_layers_tell_nothing(judge: Callable[..., Any]) -> None:
    assert scaled_input(judge(scale=None), MEANS) is None


def test_a_network_of_bytes_and_logits_is_made_one_of_reflectance_and_probabilities(keras: Any) -> None:
    """With a branch that takes the input twice; the oracle is the network itself, given bytes."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()([x, inputs]))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    values = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32) * 0.3
    made = adapted(model, INPUTS["8bit"], softmax=True)
    logits = model.predict(values * np.float32(255 / 0.275), verbose=0)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(made.predict(values, verbose=0), expected, atol=1e-5)
    assert not any(isinstance(layer, keras.Model) for layer in made.layers), "nothing nested: it may run dense"
