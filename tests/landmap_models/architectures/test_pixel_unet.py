from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from landmap_models.architectures.pixel_unet import MARGIN, STEP, for_bands, with_flags
from landmap_models.errors import ModelError

MIDDLE = (0.1, 0.1, 0.08, 0.25, 0.2)
SIDE = 3 * MARGIN


@pytest.fixture(scope="module")
def network() -> Any:
    """Small, with statistics of normalisation that are not those of an untrained network."""
    model = with_flags(MIDDLE, 4, widths=(6, 8, 10), fine=5)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.5, w.shape) * np.sign(w + 1e-9) for w in model.get_weights()])
    return model


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(1).uniform(0, 0.5, (1, SIDE, SIDE, len(MIDDLE))).astype(np.float32)


def answers(network: Any, pixels: Any, there: Any) -> Any:
    return np.asarray(network([pixels, np.array([there], np.float32)], training=False))


def test_a_band_that_is_not_there_does_not_matter(network: Any, pixels: Any) -> None:
    there = [1, 1, 1, 0, 1]
    other = pixels.copy()
    other[..., 3] = 0.9
    assert np.array_equal(answers(network, pixels, there), answers(network, other, there))
    assert not np.allclose(answers(network, pixels, there), answers(network, pixels, [1] * 5))


@pytest.mark.parametrize("there", [(1, 1, 1, 0, 0), (1, 1, 1, 1, 1), (0, 1, 0, 0, 1)])
def test_a_network_for_one_set_of_bands_answers_alike(network: Any, pixels: Any, there: tuple[int, ...]) -> None:
    flags = np.array(there, bool)
    fewer = for_bands(network, flags, (SIDE, SIDE))
    assert fewer.input_shape == (None, SIDE, SIDE, flags.sum())
    wanted = answers(network, pixels, there)
    np.testing.assert_allclose(fewer(pixels[..., flags], training=False), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("there", [(True, True), (False,) * 5])
def test_no_network_for_bands_it_does_not_know(network: Any, there: tuple[bool, ...]) -> None:
    with pytest.raises(ModelError, match="flags"):
        for_bands(network, there, (SIDE, SIDE))


def test_what_lies_beyond_the_margin_does_not_matter(network: Any, pixels: Any) -> None:
    inner = np.s_[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    wide = np.pad(pixels, ((0, 0), (STEP, 2 * STEP), (3 * STEP, STEP), (0, 0)), constant_values=0.7)
    there = [1] * 5
    cut = answers(network, wide, there)[:, STEP : STEP + SIDE, 3 * STEP : 3 * STEP + SIDE]
    np.testing.assert_allclose(cut[inner], answers(network, pixels, there)[inner], rtol=1e-4, atol=1e-4)


def test_the_field_is_used(network: Any, pixels: Any) -> None:
    """A margin is no margin of safety: what lies half of it away does matter."""
    other = pixels.copy()
    other[:, :, : SIDE // 2 - MARGIN // 2] = 0.7
    middle = np.s_[:, SIDE // 2, SIDE // 2]
    there = [1] * 5
    assert not np.allclose(answers(network, other, there)[middle], answers(network, pixels, there)[middle], atol=1e-6)
