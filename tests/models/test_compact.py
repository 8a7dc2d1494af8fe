"""The packaged architecture: unpadded, stride 8, self-contained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from landmap_models.architectures import compact


@pytest.fixture(scope="module")
def model() -> Any:
    return compact.build(10)


def test_no_spatial_layer_is_padded(model: Any) -> None:
    spatial = [layer for layer in model.layers if hasattr(layer, "padding")]
    assert len(spatial) >= 6
    assert {layer.padding for layer in spatial} == {"valid"}


def test_total_stride_is_eight(model: Any) -> None:
    """Shifting the input by eight pixels shifts what the global average sees by one position, exactly."""
    import keras

    pooling = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    weights = model.get_weights()
    wide = compact.build(10, chip_size=72)
    wide.set_weights(weights)
    wide_pooling = next(layer for layer in wide.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    scene = np.random.default_rng(0).random((1, 72, 72, 3), dtype=np.float32) * 0.3
    whole = keras.Model(wide.inputs, wide_pooling.input).predict(scene, verbose=0)
    part = keras.Model(model.inputs, pooling.input).predict(scene[:, 8:, 8:], verbose=0)
    assert whole.shape[1:3] == (3, 3)
    assert part.shape[1:3] == (2, 2)
    np.testing.assert_allclose(whole[:, 1:, 1:], part, atol=1e-5)


def test_it_fits_the_repository(model: Any) -> None:
    assert model.count_params() * 4 < 6e6


def test_reflectance_is_clipped_inside(model: Any) -> None:
    chips = np.random.default_rng(1).random((2, 64, 64, 3), dtype=np.float32) * 0.5
    clipped = np.clip(chips, 0, 0.275)
    np.testing.assert_array_equal(model.predict(chips, verbose=0), model.predict(clipped, verbose=0))


def test_probabilities_sum_to_one(model: Any) -> None:
    probabilities = model.predict(np.full((3, 64, 64, 3), 0.1, np.float32), verbose=0)
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
