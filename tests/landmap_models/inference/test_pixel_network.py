"""The network for pixels inside a model file: its answers, what they depend on, and files that hold another one."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.errors import CardError, ModelError
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.model_file.archive import PIXELS_MEMBER, attach_network, read_card, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.pixels import PixelPart

BANDS = ("B02", "B03", "B04", "B08")
RGB = BANDS[:3]
PART = PixelPart(
    bands=BANDS,
    middle=(0.1, 0.1, 0.08, 0.25),
    classes=("wet", "dry"),
    fits=((1.0, 0.1), (0.1, 1.0), (0.5, 0.5)),
    margin=32,
    step=8,
    chip_exponent=0.5,
    pixel_exponent=1.5,
    floor=0.01,
    sha256="",
    origin="random numbers",
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for pixels with random weights."""
    import keras

    from landmap_models.architectures import pixel_unet

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("pixels") / "pixels.keras"
    pixel_unet.with_flags(PART.middle, 2, widths=(6, 8, 10), fine=5).save(path)
    return path


@pytest.fixture
def model(plain_model: Path, small_card: ModelCard, network: Path, tmp_path: Path) -> Path:
    """A model file with both networks."""
    path = Path(shutil.copy(plain_model, tmp_path / "both.keras"))
    write_card(path, small_card)
    attach_network(path, network, PART)
    return path


def pixels(height: int, width: int, bands: int) -> Any:
    return np.random.default_rng(0).uniform(0, 0.5, (height, width, bands)).astype(np.float32)


def test_the_card_tells_of_the_network_and_is_read_again(model: Path) -> None:
    part = read_card(model).pixels
    assert part is not None
    assert dataclasses.replace(part, sha256="") == PART
    assert len(part.sha256) == 64
    with zipfile.ZipFile(model) as archive:
        assert PIXELS_MEMBER in archive.namelist()


def test_factors_are_the_networks_probabilities_by_the_rule(model: Path, network: Path) -> None:
    import keras

    values = pixels(64, 96, 3)
    found = load_classifier(model).pixel_factors(values, RGB)
    full = np.concatenate([values, np.zeros((64, 96, 1), np.float32)], axis=-1)
    logits = keras.models.load_model(network)([full[None], np.array([[1, 1, 1, 0]], np.float32)], training=False)
    p = np.asarray(keras.ops.softmax(logits))[0].astype(np.float64)
    for axis in (0, 1):  # probabilities are averaged over neighbours, 1 2 1
        before, after = np.roll(p, 1, axis), np.roll(p, -1, axis)
        p = before / 4 + p / 2 + after / 4
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(
        np.moveaxis(found, 0, -1)[inner], ((p @ np.array(PART.fits).T) ** 1.5)[inner], rtol=1e-4, atol=1e-6
    )


def test_factors_do_not_depend_on_what_lies_beyond_the_margin(model: Path) -> None:
    """To the last bit, as maps must not depend on how they were cut."""
    classifier, side, margin = load_classifier(model), 512, PART.margin
    wide = pixels(side + 64, side + 128, 4)
    one = classifier.pixel_factors(wide[:side, :side], BANDS)
    other = classifier.pixel_factors(wide[64:, 128:], BANDS)
    np.testing.assert_array_equal(
        one[:, 64 + margin : -margin, 128 + margin : -margin], other[:, margin : -64 - margin, margin : -128 - margin]
    )


def test_another_card_takes_the_network_away(model: Path, small_card: ModelCard) -> None:
    write_card(model, small_card)
    with zipfile.ZipFile(model) as archive:
        assert PIXELS_MEMBER not in archive.namelist()
    with pytest.raises(ModelError, match="network for pixels"):
        load_classifier(model).pixel_factors(pixels(64, 64, 3), RGB)


def test_another_network_than_the_card_says_is_refused(model: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.keras"
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\0" if name == PIXELS_MEMBER else b""))
    with pytest.raises(ModelError, match="sha256 differs"):
        load_classifier(changed).pixel_factors(pixels(64, 64, 3), RGB)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bands": ("B02", "B03", "B08", "B11")}, "Missing: \\['B04'\\]"),
        ({"middle": (0.1,)}, "middle reflectance"),
        ({"fits": ((1.0, 0.1),)}, "3 rows of 2"),
        ({"fits": ((1.0, 0.1), (0.0, 1.0), (0.5, 0.5))}, "above 0"),
        ({"floor": 0.0}, "above 0"),
        ({"margin": 30}, "whole steps"),
    ],
)
def test_a_part_that_can_not_be_meant_is_refused(
    model: Path, network: Path, change: dict[str, Any], words: str
) -> None:
    before = model.read_bytes()
    with pytest.raises(CardError, match=words):
        attach_network(model, network, dataclasses.replace(PART, **change))
    assert model.read_bytes() == before
