"""What a training starts from, in which precision it computes, and what it writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from landmap_models.architectures import ArchitectureOptions, build
from landmap_models.architectures.layout import exact_layers, in_precision
from landmap_models.architectures.shape import OUTPUT, NetworkShape
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.packaged import find_model
from landmap_models.training.fit import choose_trainable
from landmap_models.training.network import make_network, rounded
from landmap_models.training.settings import TrainSettings

BANDS, NAMES = ("B04", "B03", "B02"), ("bright", "dark", "striped")
CHIPS = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32) * 0.3


def run(network: Any) -> Any:
    return np.asarray(network(CHIPS, training=False), np.float32)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model file with a card, three classes."""
    path = tmp_path_factory.mktemp("start") / "start.keras"
    build("compact", NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8))).save(path)
    write_card(path, dataclasses.replace(FAKE_CARD, name="start", legend=legend_for(NAMES)))
    return path


def test_settings_reach_the_architecture() -> None:
    settings = TrainSettings(architecture="cnn", filters=(4,), pool=2, dense=6, dropout=0.3)
    network = make_network(NetworkShape(3), settings, BANDS, NAMES)
    assert network.name == "cnn"
    assert network.get_layer("head_dense").units == 6


def test_the_same_classes_keep_their_head(start: Path) -> None:
    from landmap_models.inference.loading import load_model

    network = make_network(NetworkShape(3), TrainSettings(start_from=str(start)), BANDS, NAMES)
    np.testing.assert_array_equal(run(network), run(load_model(start)))


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "b", "c", "d", "e")])
def test_other_classes_get_a_new_head_on_the_same_base(names: tuple[str, ...], start: Path) -> None:
    from landmap_models.inference.loading import load_model

    network = make_network(NetworkShape(len(names)), TrainSettings(start_from=str(start)), BANDS, names)
    old = load_model(start)
    assert network.output_shape == (None, len(names))
    assert network.layers[-1].name == OUTPUT
    for layer, before in zip(network.layers[:-1], old.layers[:-1], strict=True):
        for found, wanted in zip(layer.get_weights(), before.get_weights(), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(network.layers[-1].get_weights()[0][:, :3], old.layers[-1].get_weights()[0])


def test_a_packaged_model_starts_a_training_of_other_classes(tmp_path: Path) -> None:
    network = make_network(NetworkShape(2), TrainSettings(start_from="default"), BANDS, ("city", "land"))
    network.save(tmp_path / "network.keras")
    assert find_model("default").is_file()
    assert run(keras.models.load_model(tmp_path / "network.keras", compile=False)).shape == (2, 2)


def test_many_labels_a_chip_need_a_new_head_for_the_same_classes(start: Path) -> None:
    shape = NetworkShape(3, activation="sigmoid")
    network = make_network(shape, TrainSettings(start_from=str(start)), BANDS, NAMES)
    assert network.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("bands", "chip_size", "message"),
    [
        (("B08", "B03", "B02"), 64, r"expected a model of bands .*B08.*Received: .*B04"),
        (BANDS, 72, "chips of 72 px. Received: .* 64 px"),
    ],
)
def test_a_model_of_other_chips_is_refused(bands: tuple[str, ...], chip_size: int, message: str, start: Path) -> None:
    with pytest.raises(ModelError, match=message):
        make_network(NetworkShape(3, 3, chip_size), TrainSettings(start_from=str(start)), bands, NAMES)


def test_a_model_without_our_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.keras"
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="classes")(x)).save(path)
    write_card(path, dataclasses.replace(FAKE_CARD, name="foreign"))
    with pytest.raises(ModelError, match=r"expected a last layer named 'probabilities'.*Received: 'classes'"):
        make_network(NetworkShape(3), TrainSettings(start_from=str(path)), BANDS, NAMES)


# precision


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("compact", {"filters": (8, 8, 8, 8)}),
        ("cnn", {}),
        ("vgg16", {"dense": 8}),  # its bands are turned round
        ("mobilenetv2", {"input_size": 96}),  # Resizing
        ("efficientnet-lite0", {}),  # UpSampling2D
    ],
)
def test_every_family_computes_in_bfloat16(name: str, options: dict[str, Any]) -> None:
    network = build(name, NetworkShape(3), ArchitectureOptions(**options))
    mixed = in_precision(network, "mixed_bfloat16")
    for found, wanted in zip(mixed.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    policies = {layer.name: layer.dtype_policy.name for layer in mixed.layers}
    assert policies.pop(OUTPUT) == policies.pop("reflectance") == "float32"
    assert set(policies.values()) == {"mixed_bfloat16"}
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert mixed(CHIPS).dtype == "float32"
    np.testing.assert_allclose(run(mixed), run(network), atol=0.05)


def test_a_normalisation_keeps_what_it_knows() -> None:
    """It computes with copies of its weights, which setting weights leaves as they were."""
    inputs = keras.Input((64, 64, 3))
    normalized = keras.layers.Normalization(name="normalization")
    x = keras.layers.GlobalAveragePooling2D()(normalized(inputs))
    network = keras.Model(inputs, keras.layers.Dense(3, name=OUTPUT)(x))
    normalized.set_weights([np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.array(0)])
    normalized.finalize_state()
    np.testing.assert_allclose(run(in_precision(network, "float32")), run(network), atol=1e-6)


def test_frozen_layers_do_not_change_the_order_of_weights() -> None:
    """A training ends with `model.set_weights(learner.get_weights())`."""
    network = build("mobilenetv2", NetworkShape(3))
    learner = in_precision(network, "mixed_bfloat16")
    choose_trainable(learner, 3, frozen_norm=True)
    for found, wanted in zip(learner.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_rounding_is_small_and_leaves_bfloat16_nothing_to_round() -> None:
    network = build("compact", NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8)))
    chips = np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32) * 0.3
    made = rounded(network)
    change = np.abs(np.asarray(made(chips)) - np.asarray(network(chips, training=False)))
    assert 0 < change.max() < 0.02
    exact = exact_layers(made)
    assert exact >= {"reflectance", "clip", "probabilities"}
    inner = [weight for layer in made.layers if layer.name not in exact for weight in layer.get_weights()]
    assert inner
    assert not any((weight.view(np.uint32) & 0xFFFF).any() for weight in inner), "16 bits of 32 are enough"
    reduced = in_precision(made, "mixed_bfloat16", exact_input=True)
    assert [layer.dtype_policy.name for layer in reduced.layers if layer.name in exact] == ["float32"] * len(exact)


def test_rounding_twice_changes_nothing_more() -> None:
    network = rounded(build("compact", NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8))))
    for one, other in zip(network.get_weights(), rounded(network).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
