"""The packaged architecture: unpadded, stride 8, self-contained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from landmap_models.architectures import ArchitectureOptions, compact
from landmap_models.architectures.shape import NetworkShape
from landmap_models.errors import ModelError

SHAPE = NetworkShape(10)
DEFAULT = ArchitectureOptions()
SLIM = ArchitectureOptions(filters=(8, 8, 8, 8))


@pytest.fixture(scope="module")
def model() -> Any:
    return compact.build(SHAPE, DEFAULT)


def test_no_spatial_layer_is_padded(model: Any) -> None:
    spatial = [layer for layer in model.layers if hasattr(layer, "padding")]
    assert len(spatial) >= 6
    assert {layer.padding for layer in spatial} == {"valid"}


def test_total_stride_is_eight(model: Any) -> None:
    """Shifting the input by eight pixels shifts what the global average sees by one position, exactly."""
    import keras

    wide = compact.build(dataclasses.replace(SHAPE, chip_size=72), DEFAULT)
    wide.set_weights(model.get_weights())
    scene = np.random.default_rng(0).random((1, 72, 72, 3), dtype=np.float32) * 0.3
    whole = keras.Model(wide.inputs, wide.get_layer("features").input).predict(scene, verbose=0)
    part = keras.Model(model.inputs, model.get_layer("features").input).predict(scene[:, 8:, 8:], verbose=0)
    assert whole.shape[1:3] == (3, 3)
    assert part.shape[1:3] == (2, 2)
    np.testing.assert_allclose(whole[:, 1:, 1:], part, atol=1e-5)


def test_it_fits_the_repository(model: Any) -> None:
    assert model.count_params() * 4 < 6e6


def test_the_smallest_chip_is_the_smallest() -> None:
    smallest = dataclasses.replace(SHAPE, chip_size=compact.SMALLEST)
    assert compact.build(smallest, SLIM).get_layer("features").input.shape[1:3] == (1, 1)
    with pytest.raises(ModelError, match=r"at least 52 px\. Received: 51 px"):
        compact.build(dataclasses.replace(SHAPE, chip_size=51), SLIM)


def test_it_has_four_widths() -> None:
    with pytest.raises(ModelError, match=r"expected 4 numbers of --filters.*Received: \(8, 8\)"):
        compact.build(SHAPE, ArchitectureOptions(filters=(8, 8)))


def test_probabilities_sum_to_one(model: Any) -> None:
    probabilities = model.predict(np.full((3, 64, 64, 3), 0.1, np.float32), verbose=0)
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
