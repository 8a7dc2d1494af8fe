"""Convolutions that know the symmetries of the square, by definition: turn what goes in, see what comes out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.architectures.d4_layers import ORDER, D4Conv2D, D4Lift, D4Pool, ScaledConv2D

Floats = npt.NDArray[np.float32]
FIELDS = 3


def turned(pictures: Floats, symmetry: int) -> Floats:
    """`(n, size, size, channels)` mirrored left to right from 4 on, then turned by quarters."""
    mirrored = pictures[:, :, ::-1] if symmetry >= 4 else pictures
    return np.rot90(mirrored, symmetry % 4, axes=(1, 2)).copy()


def product(first: int, then: int) -> int:
    """The symmetry that one followed by another is, found by looking."""
    marked = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    both = turned(turned(marked, first), then)
    return next(g for g in range(ORDER) if np.array_equal(turned(marked, g), both))


def turned_fields(maps: Floats, symmetry: int) -> Floats:
    """Maps turned, and each field's eight moved to where the symmetry takes them."""
    split = turned(maps, symmetry).reshape(*maps.shape[:3], ORDER, -1)
    out = np.empty_like(split)
    for g in range(ORDER):
        out[..., product(g, symmetry), :] = split[..., g, :]
    return out.reshape(maps.shape)


def run(layer: Any, values: Floats) -> Floats:
    return np.asarray(layer(values))


def made(kind: type[ScaledConv2D], channels: int, *arguments: int) -> Any:
    keras.utils.set_random_seed(3)
    layer = kind(*arguments, activation="relu")
    layer.build((None, None, None, channels))
    rng = np.random.default_rng(0)
    layer.gain.assign(rng.uniform(0.5, 2, layer.gain.shape))
    layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return layer


@pytest.fixture(scope="module")
def fields() -> Floats:
    return np.random.default_rng(1).random((2, 12, 12, ORDER * FIELDS), dtype=np.float32)


def test_turned_fields_are_a_group_action(fields: Floats) -> None:
    """The oracle itself: one turn after another is their product."""
    for first, then in ((1, 1), (1, 4), (4, 1), (6, 3), (7, 5)):
        both = turned_fields(turned_fields(fields, first), then)
        np.testing.assert_array_equal(both, turned_fields(fields, product(first, then)))


@pytest.mark.parametrize("symmetry", range(ORDER))
@pytest.mark.parametrize(("size", "strides"), [(1, 1), (3, 1), (4, 2)])
def test_fields_of_a_turned_picture_are_turned(size: int, strides: int, symmetry: int, fields: Floats) -> None:
    picture = fields[..., :FIELDS]
    lift, conv = made(D4Lift, FIELDS, 2, size, strides), made(D4Conv2D, ORDER * FIELDS, 2, size, strides)
    expected = turned_fields(run(lift, picture), symmetry)
    np.testing.assert_allclose(run(lift, turned(picture, symmetry)), expected, atol=1e-5)
    expected = turned_fields(run(conv, fields), symmetry)
    np.testing.assert_allclose(run(conv, turned_fields(fields, symmetry)), expected, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("symmetry", range(1, ORDER))
def test_pooled_features_only_turn(symmetry: int, fields: Floats) -> None:
    pool = made(D4Pool, ORDER * FIELDS, 5)
    expected = turned(run(pool, fields), symmetry)
    np.testing.assert_allclose(run(pool, turned_fields(fields, symmetry)), expected, atol=1e-5)
    assert not np.allclose(run(pool, fields), expected, atol=1e-3)


def test_signals_keep_their_variance() -> None:
    """Through ten layers of rectified noise; without the scaling it grows or dies out within a few."""
    keras.utils.set_random_seed(0)
    values: Any = np.maximum(np.random.default_rng(0).normal(size=(4, 24, 24, 64)), 0).astype(np.float32)
    for _ in range(10):
        values = np.asarray(ScaledConv2D(64, 3)(values))
        assert 0.7 < values.std() < 1.4
        values = np.maximum(values, 0)


def test_land_that_is_brighter_gives_other_fields() -> None:
    """The first kernels must keep their mean: how bright land is says what it is."""
    lift = made(D4Lift, 3, 4, 3)
    dark, bright = (run(lift, np.full((1, 8, 8, 3), value, np.float32)) for value in (0.1, 0.9))
    assert np.abs(bright - dark).max() > 0.1


@pytest.mark.parametrize("kind", [ScaledConv2D, D4Lift, D4Conv2D, D4Pool])
def test_a_layer_is_rebuilt_from_its_configuration(kind: type[ScaledConv2D], fields: Floats) -> None:
    layer = made(kind, ORDER * FIELDS, 2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(run(again, fields), run(layer, fields))
