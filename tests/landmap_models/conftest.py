"""Small chips and small models."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.card import ModelCard

NAMES = ("bright", "dark", "striped")


@pytest.fixture(scope="session")
def chip_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 JPEG chips of 64x64 px in three classes that differ plainly."""
    path = tmp_path_factory.mktemp("chips") / "chips.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for label, name in enumerate(NAMES):
            for i in range(30):
                chip = rng.normal((190, 50, 120)[label], 8, (64, 64, 3))
                if name == "striped":
                    chip += 60 * np.sign(np.sin(np.arange(64) + i))[None, :, None]
                with archive.open(f"data/{name}/{name}_{i}.jpg", "w") as file:
                    Image.fromarray(chip.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=95)
    return path


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.keras` file of the compact architecture with random weights, three classes, without a card."""
    from landmap_models.architectures import compact
    from landmap_models.architectures.options import ArchitectureOptions
    from landmap_models.inference.tensorflow import quietly

    with quietly():
        import keras

        from landmap_models.architectures.shape import NetworkShape
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "plain.keras"
    compact.build(NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8))).save(path)
    return path


@pytest.fixture
def small_card() -> ModelCard:
    """A card that fits `plain_model`."""
    return dataclasses.replace(FAKE_CARD, name="small", legend=legend_for(NAMES), levels=("L1C",))


@pytest.fixture
def small_model(plain_model: Path, small_card: ModelCard, tmp_path: Path) -> Path:
    """`plain_model` with its card."""
    path = tmp_path / "small.keras"
    path.write_bytes(plain_model.read_bytes())
    write_card(path, small_card)
    return path


@pytest.fixture(scope="session")
def judge() -> Callable[..., Any]:
    """A function that builds a network which tells the classes of `chip_zip` by their brightness, without training."""

    def build(
        classes: tuple[str, ...] = NAMES, scale: float | None = 1 / 255, activation: str | None = "softmax"
    ) -> Any:
        import keras

        inputs = keras.Input((64, 64, 3))
        x = keras.layers.Rescaling(scale)(inputs) if scale else inputs
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(1, 1, name="grey")(x))
        model = keras.Model(inputs, keras.layers.Dense(len(classes), activation=activation, name="classes")(x))
        means = np.array([{"bright": 190, "dark": 50, "striped": 120}[name] / 255 for name in classes])
        model.get_layer("grey").set_weights([np.full((1, 1, 3, 1), 1 / 3, np.float32), np.zeros(1, np.float32)])
        model.get_layer("classes").set_weights([80 * means[None], -40 * means**2])
        return model

    return build


@pytest.fixture
def keras() -> Any:
    """Keras, which ships no types."""
    import keras

    return keras
