from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from landmap_models.errors import ModelError
from landmap_models.training import dynamic_world

SAVED_MODEL = Path(os.environ.get("LANDMAP_SHARED", "")) / "data/weights/dynamicworld/forward"


def test_normalised_values_by_hand() -> None:
    """The logarithm of B02's 1000 is ln(6)."""
    found = dynamic_world.normalise(np.full((1, 9), 1000))
    by_hand = 1 / (1 + np.exp(1 - 5 * (np.log(6) - 1.7417268007636313) / 2.023298706048351))
    assert found[0, 0] == pytest.approx(by_hand, abs=1e-7)
    assert found.dtype == np.float32


def test_normalised_values_grow_with_the_numbers() -> None:
    numbers = np.repeat(np.arange(0, 10_000, 100)[:, None], 9, axis=1)
    assert (np.diff(dynamic_world.normalise(numbers), axis=0) > 0).all()


def test_odd_windows_are_refused() -> None:
    with pytest.raises(ModelError, match="even"):
        dynamic_world.build(64, 63)


def test_a_checkerboard_is_halved_to_its_mean() -> None:
    model = dynamic_world.build(16, 16)
    kernel = model.get_layer("halved").get_weights()[0]
    assert kernel.shape == (4, 4, 64, 1)
    np.testing.assert_allclose(kernel.sum(axis=(0, 1)), 1, rtol=1e-6)
    np.testing.assert_allclose(kernel[0, 0], 1 / 64)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint"):
        dynamic_world.read_variables(tmp_path)


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    holder = tf.Module()
    holder.variables_list = [tf.Variable([1.0]), tf.Variable([2.0])]
    tf.saved_model.save(holder, str(tmp_path))
    with pytest.raises(ModelError, match="146 variables"):
        dynamic_world.read_variables(tmp_path)


@pytest.mark.real
@pytest.mark.skipif(not SAVED_MODEL.exists(), reason="LANDMAP_SHARED has no Dynamic World")
def test_logits_are_those_of_the_saved_model() -> None:
    import tensorflow as tf

    height, width, margin = 80, 96, dynamic_world.MARGIN
    numbers = np.random.default_rng(0).gamma(2, 900, (1, height, width, 9))
    values = dynamic_world.normalise(numbers)
    original = tf.saved_model.load(str(SAVED_MODEL)).signatures["serving_default"]
    (wanted,) = (answer.numpy() for answer in original(tf.constant(values)).values())
    found = np.asarray(dynamic_world.load(SAVED_MODEL, height, width)(values))
    inner = np.s_[:, margin:-margin, margin:-margin]
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-5)
