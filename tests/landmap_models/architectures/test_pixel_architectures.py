"""Every architecture of pixels keeps the contract: any size, probabilities, a margin that is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from landmap_models.architectures import OF_PIXELS, ArchitectureOptions, build, reach
from landmap_models.architectures.shape import OUTPUT, NetworkShape
from landmap_models.errors import ModelError
from landmap_models.inference.loading import load_model
from landmap_models.inference.whole_images import WholeImages, batches_of

SLIM = {"pixel-field": ArchitectureOptions(filters=(6, 6, 8)), "pixel-unet": ArchitectureOptions(filters=(5, 6, 8, 10))}
MIDDLE = (0.1, 0.08, 0.25)


def network_of(name: str, *, flags: bool = False) -> Any:
    keras.utils.set_random_seed(3)
    model = build(name, NetworkShape(4, 3, middle=MIDDLE, flags=flags), SLIM[name])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.5, w.shape) * np.sign(w + 1e-9) for w in model.get_weights()])
    return model


def pixels(height: int, width: int, n: int = 1) -> Any:
    return np.random.default_rng(1).uniform(0, 0.5, (n, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("name", OF_PIXELS)
def test_a_network_answers_for_each_pixel_with_probabilities(name: str, tmp_path: Path) -> None:
    model = network_of(name)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    for size in ((16, 24), (40, 32)):
        answers = np.asarray(loaded(pixels(*size), training=False))
        assert answers.shape == (1, *size, 4)
        np.testing.assert_allclose(answers.sum(axis=-1), 1, atol=1e-5)
    assert loaded.layers[-1].name == OUTPUT


@pytest.mark.parametrize("name", OF_PIXELS)
def test_the_margin_is_one_and_no_larger_than_needed(name: str) -> None:
    """Brute force: a pixel is changed, and answers change within the margin only, out to its last steps."""
    model, (margin, step) = network_of(name), reach(name, SLIM[name])
    assert margin % step == 0
    side = 4 * margin + 16 * step
    side -= side % (2 * step)
    values, middle = pixels(side, side), side // 2
    other = values.copy()
    other[0, middle : middle + step, middle : middle + step] = 0.9
    first, second = (np.asarray(model(v, training=False)) for v in (values, other))
    rows = np.flatnonzero(np.abs(first - second).max(axis=(0, 2, 3)) > 1e-7)
    assert rows.min() >= middle - margin
    assert rows.max() < middle + step + margin
    if step == 1:
        assert (rows.min(), rows.max()) == (middle - margin, middle + margin)


@pytest.mark.parametrize("name", OF_PIXELS)
def test_bands_that_are_not_there_do_not_matter(name: str) -> None:
    model, values = network_of(name, flags=True), pixels(16, 16)
    other = values.copy()
    other[..., 2] = 0.9
    there = np.array([[1, 1, 0]], np.float32)
    lacking, again, all_there = (
        np.asarray(model([v, t], training=False)) for v, t in ((values, there), (other, there), (values, 0 * there + 1))
    )
    np.testing.assert_array_equal(lacking, again)
    assert not np.allclose(lacking, all_there, atol=1e-4)


def test_an_untrained_unet_draws_no_checkerboard() -> None:
    """Where land is the same all over, so are the answers, whatever weights the four pixels of a square have."""
    keras.utils.set_random_seed(1)
    model = build("pixel-unet", NetworkShape(4, 3, middle=MIDDLE), SLIM["pixel-unet"])
    same = np.full((1, 96, 96, 3), 0.2, np.float32)
    apart = {}
    for name in ("fine", "mean"):
        values = np.asarray(keras.Model(model.input, model.get_layer(name).output)(same))[0, 32:64, 32:64]
        apart[name] = np.ptp(values.reshape(16, 2, 16, 2, -1).mean(axis=(0, 2)), axis=(0, 1)).max()
    assert apart["fine"] > 1e-3
    assert apart["mean"] < 1e-5


def test_the_default_field_is_small_and_cheap() -> None:
    margin, _ = reach("pixel-field", ArchitectureOptions())
    assert 15 <= 2 * margin + 1 <= 30
    model = build("pixel-field", NetworkShape(9, 10, middle=(0.1,) * 10))
    assert model.count_params() < 15_000


def test_networks_of_the_other_kind_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"architecture for images with masks: pixel-field, pixel-unet\. Received: 'cnn'"
    ):
        build("cnn", NetworkShape(4, 3, middle=MIDDLE))
    with pytest.raises(ModelError, match=r"architecture for chips with one label each: cnn.*Received: 'pixel-unet'"):
        build("pixel-unet", NetworkShape(4))
    with pytest.raises(ModelError, match="four --filters"):
        build("pixel-unet", NetworkShape(4, 3, middle=MIDDLE), ArchitectureOptions(filters=(4, 4)))


@pytest.mark.parametrize("name", OF_PIXELS)
def test_an_image_in_tiles_is_the_image_in_one_piece(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (margin, step) = network_of(name), reach(name, SLIM[name])
    values = pixels(70, 106, 2)
    network = WholeImages(model, margin, step)
    whole = network.predict(values)
    monkeypatch.setattr("landmap_models.inference.whole_images.TILE", 32)
    np.testing.assert_allclose(network.predict(values), whole, atol=2e-6)
    padded = np.pad(values, ((0, 0), (margin, margin + 2), (margin, margin + 6), (0, 0)), "reflect")
    expected = np.asarray(model(padded, training=False))[:, margin : margin + 70, margin : margin + 106]
    np.testing.assert_allclose(whole, expected, atol=2e-6)


def test_images_of_one_size_are_predicted_together() -> None:
    sizes = ((4, 4), (4, 4), (4, 4), (6, 4), (4, 4))
    assert list(batches_of(sizes, pixels=32)) == [[0, 1], [2], [3], [4]]
