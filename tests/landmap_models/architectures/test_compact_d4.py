"""The same answer for a chip however it is turned, and a file of Keras's own layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.architectures import ArchitectureOptions, compact_d4
from landmap_models.architectures.d4_layers import ScaledConv2D
from landmap_models.architectures.layout import in_precision
from landmap_models.architectures.shape import NetworkShape
from landmap_models.errors import ModelError
from landmap_models.inference.dense import dense_model
from landmap_models.inference.loading import load_model
from landmap_models.training.network import rounded, unrolled

Floats = npt.NDArray[np.float32]
SHAPE = NetworkShape(10)
SLIM = ArchitectureOptions(filters=(1, 2, 2, 2, 3))


def shaken(model: Any) -> Any:
    """With gains and offsets that are not ones and zeros, as after a training."""
    rng = np.random.default_rng(5)
    model.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(2)
    return shaken(compact_d4.build(SHAPE, SLIM))


@pytest.fixture(scope="module")
def chips() -> Floats:
    return np.random.default_rng(0).random((3, 64, 64, 3), dtype=np.float32) * 0.3


def run(network: Any, values: Floats) -> Floats:
    return np.asarray(network(values, training=False))


def test_a_turned_or_mirrored_chip_has_the_same_answer(model: Any, chips: Floats) -> None:
    answers = run(model, chips)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    for mirrored in (chips, chips[:, :, ::-1]):
        for turns in range(4):
            np.testing.assert_allclose(run(model, np.rot90(mirrored, turns, axes=(1, 2)).copy()), answers, atol=1e-5)


def test_written_out_it_answers_the_same_with_keras_own_layers(model: Any, chips: Floats, tmp_path: Path) -> None:
    plain = unrolled(model)
    np.testing.assert_allclose(run(plain, chips), run(model, chips), atol=1e-6)
    assert not [layer for layer in plain.layers if isinstance(layer, ScaledConv2D)]
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers]
    plain.save(tmp_path / "plain.keras")
    np.testing.assert_array_equal(run(load_model(tmp_path / "plain.keras"), chips), run(plain, chips))


def test_nothing_is_written_out_twice(model: Any) -> None:
    plain = unrolled(model)
    assert unrolled(plain) is plain


def test_rounded_it_is_still_symmetric(model: Any, chips: Floats) -> None:
    """Kernels are written out before they are rounded: all eight are rounded alike."""
    network = rounded(unrolled(model))
    answers = run(network, chips)
    assert np.abs(answers - run(model, chips)).max() > 0
    np.testing.assert_allclose(run(network, np.rot90(chips, 1, axes=(1, 2)).copy()), answers, atol=1e-5)


def test_it_trains_in_bfloat16(model: Any, chips: Floats) -> None:
    learner = in_precision(model, "mixed_bfloat16")
    np.testing.assert_allclose(run(learner, chips), run(model, chips), atol=0.05)
    learner.compile("adam", "categorical_crossentropy")
    before = [weight.copy() for weight in learner.get_weights()]
    learner.train_on_batch(chips, np.eye(10, dtype=np.float32)[:3])
    changed = [not np.array_equal(one, two) for one, two in zip(before, learner.get_weights(), strict=True)]
    assert all(changed)


def test_it_is_dense_at_its_stride_of_eight(model: Any) -> None:
    plain = unrolled(model)
    scene = np.random.default_rng(1).random((1, 80, 88, 3), dtype=np.float32) * 0.3
    answers = run(dense_model(plain, 8), scene)
    assert answers.shape == (1, 3, 4, 10)
    for row in range(3):
        for col in range(4):
            chip = scene[:, row * 8 : row * 8 + 64, col * 8 : col * 8 + 64]
            np.testing.assert_allclose(answers[:, row, col], run(plain, chip), atol=1e-5)


def test_it_is_small_enough_to_be_packaged() -> None:
    assert unrolled(compact_d4.build(SHAPE, ArchitectureOptions())).count_params() * 4 < 6e6


def test_the_smallest_chip_is_the_smallest() -> None:
    smallest = dataclasses.replace(SHAPE, chip_size=compact_d4.SMALLEST)
    assert compact_d4.build(smallest, SLIM).get_layer("features").input.shape[1:3] == (1, 1)
    with pytest.raises(ModelError, match=r"at least 56 px\. Received: 55 px"):
        compact_d4.build(dataclasses.replace(SHAPE, chip_size=55), SLIM)


def test_it_has_five_numbers_of_fields() -> None:
    with pytest.raises(ModelError, match=r"expected 5 numbers of --filters.*Received: \(8, 8\)"):
        compact_d4.build(SHAPE, ArchitectureOptions(filters=(8, 8)))
