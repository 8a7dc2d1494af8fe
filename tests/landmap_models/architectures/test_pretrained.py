"""Weights of `keras.applications`: all of them land in their layers, or a name says which doesn't."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from landmap_models.architectures import ArchitectureOptions, build
from landmap_models.architectures.application_table import APPLICATIONS
from landmap_models.architectures.picture import IMAGENET_MEAN, IMAGENET_STD
from landmap_models.architectures.pretrained import AFTER_CUT, MOBILENET_CUT, _divide_by_std
from landmap_models.architectures.shape import NetworkShape
from landmap_models.errors import ModelError

SIZE = 32
SHAPE = NetworkShape(3, chip_size=SIZE)
VALUES = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)


def application(name: str, **keywords: Any) -> Any:
    """The application as Keras makes it, with random weights that are not those of a new network."""
    function = getattr(keras.applications, APPLICATIONS[name].function)
    made = function(include_top=False, weights=None, input_tensor=keras.Input((SIZE, SIZE, 3)), **keywords)
    rng = np.random.default_rng(1)
    made.set_weights([w * rng.uniform(0.8, 1.2, w.shape) + rng.uniform(0, 0.02, w.shape) for w in made.get_weights()])
    return made


def save_as_keras_2(model: Any, path: Path) -> None:
    """In the layout of the files that Keras downloads."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        file.attrs["layer_names"] = [layer.name for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, values in zip(names, layer.get_weights(), strict=True):
                group[name] = values


def run(network: Any, pictures: Any) -> Any:
    """What a network computes; `predict` would compile it first, which takes longer than two pictures do."""
    inputs = keras.tree.map_structure(lambda _: pictures, network.input)  # some keep their one input in a list
    return np.asarray(network(inputs, training=False))


def features(network: Any, values: Any = VALUES) -> Any:
    """What a network computes before its head, of 8-bit values."""
    cut = keras.Model(network.input, network.get_layer("features").output)
    return run(cut, values * np.float32(0.275 / 255))


@pytest.fixture(scope="module")
def mobilenet() -> Any:
    return application("mobilenet")


@pytest.mark.parametrize("name", ["weights.weights.h5", "weights.h5"])
def test_a_network_computes_what_its_application_does(name: str, mobilenet: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    save_as_keras_2(mobilenet, path) if name == "weights.h5" else mobilenet.save_weights(path)
    network = build("mobilenet", SHAPE, ArchitectureOptions(weights=str(path)))
    wanted = run(mobilenet, keras.applications.mobilenet.preprocess_input(VALUES.copy()))
    np.testing.assert_allclose(features(network), wanted.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)


def test_weights_reach_a_base_behind_other_bands(mobilenet: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    save_as_keras_2(mobilenet, path)
    network = build("mobilenet", NetworkShape(3, 5, SIZE), ArchitectureOptions(weights=str(path)))
    np.testing.assert_array_equal(network.get_layer("conv1").get_weights(), mobilenet.get_layer("conv1").get_weights())
    grey = np.repeat(VALUES[..., :1], 3, axis=-1)
    wanted = run(mobilenet, keras.applications.mobilenet.preprocess_input(grey))
    found = features(network, np.repeat(VALUES[..., :1], 5, axis=-1))
    np.testing.assert_allclose(found, wanted.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", ["weights.h5", "weights.weights.h5"])
def test_other_weights_are_refused_by_name(layout: str, mobilenet: Any, tmp_path: Path) -> None:
    x = mobilenet.output
    more = keras.Model(mobilenet.input, keras.layers.Conv2D(2, 1, name="one_more")(x))
    less = keras.Model(mobilenet.input, mobilenet.get_layer("conv_pw_13").output)
    for wrong, message in ((more, "left over: one_more; missing: none"), (less, "missing: conv_pw_13_bn")):
        save_as_keras_2(wrong, tmp_path / layout) if layout == "weights.h5" else wrong.save_weights(tmp_path / layout)
        with pytest.raises(ModelError, match=message):
            build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / layout)))


@pytest.mark.parametrize("layout", ["weights.h5", "weights.weights.h5"])
def test_weights_of_another_shape_are_refused_by_name(layout: str, tmp_path: Path) -> None:
    slim = application("mobilenet", alpha=0.5)
    save_as_keras_2(slim, tmp_path / layout) if layout == "weights.h5" else slim.save_weights(tmp_path / layout)
    with pytest.raises(ModelError, match=r"holds other weights than those of mobilenet.*conv1"):
        build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / layout)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.h5", None, "no such file"),
        ("model.keras", b"", "A whole model .* is for --start-from"),
        ("broken.h5", b"not HDF5", "expected a file of Keras weights"),
        ("broken.npz", b"no archive", "expected a NumPy archive"),
    ],
)
def test_files_of_other_kinds_are_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / name)))


# MobileNet from an archive of arrays


def arrays_of(model: Any) -> dict[str, Any]:
    """By the names that MobileNet's weights have in TensorFlow.js."""
    names = {
        (
            layer.name,
            w.name,
        ): f"{layer.name}__{'depthwise_' if type(layer).__name__ == 'DepthwiseConv2D' else ''}{w.name}"
        for layer in model.layers
        for w in layer.weights
    }
    return {names[layer.name, w.name]: np.asarray(w.numpy()) for layer in model.layers for w in layer.weights}


def test_a_whole_archive_fills_the_whole_mobilenet(mobilenet: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", **arrays_of(mobilenet))
    network = build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / "whole.npz")))
    wanted = run(mobilenet, VALUES / 127.5 - 1)
    np.testing.assert_allclose(features(network), wanted.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)


def test_without_its_last_kernel_mobilenet_ends_before_it(
    mobilenet: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = arrays_of(mobilenet) | {"conv_preds__bias": np.zeros(1000)}
    del arrays[f"{AFTER_CUT[0]}__kernel"]
    np.savez(tmp_path / "cut.npz", **arrays)
    with caplog.at_level(logging.WARNING):
        network = build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / "cut.npz")))
    assert f"lacks conv_pw_13/kernel: MobileNet ends at its layer {MOBILENET_CUT}" in caplog.text
    cut = keras.Model(mobilenet.input, mobilenet.get_layer(MOBILENET_CUT).output)
    wanted = run(cut, VALUES / 127.5 - 1)
    np.testing.assert_allclose(features(network), wanted.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1__kernel": None}, "expected an array conv1__kernel of shape .* It is missing"),
        ({"conv1__kernel": np.zeros((3, 3, 3, 16))}, "conv1__kernel of shape .*32.*Received: .*16"),
        ({"fc__kernel": np.zeros(1)}, "no layer takes, such as fc__kernel"),
    ],
)
def test_an_archive_must_fit(change: dict[str, Any], message: str, mobilenet: Any, tmp_path: Path) -> None:
    arrays = {name: array for name, array in (arrays_of(mobilenet) | change).items() if array is not None}
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(ModelError, match=message):
        build("mobilenet", SHAPE, ArchitectureOptions(weights=str(tmp_path / "wrong.npz")))


@pytest.mark.real
def test_the_real_archive_of_mobilenet(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v1_1.0_224_tfjs_without_conv_pw_13.npz"
    network = build("mobilenet", SHAPE, ArchitectureOptions(weights=str(path)))
    with np.load(path) as archive:
        kernel = network.get_layer("conv_pw_12").get_weights()[0]
        np.testing.assert_array_equal(kernel, archive["conv_pw_12__kernel"])
        assert len(archive.files) - sum(name.startswith(AFTER_CUT) for name in archive.files) == sum(
            len(layer.weights) for layer in network.layers if layer.name.startswith("conv")
        )


# Keras's own download


@pytest.fixture
def download(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts another in the place of Keras's download."""
    return lambda get: monkeypatch.setattr(sys.modules[keras.utils.get_file.__module__], "get_file", get)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenetv2", "efficientnetb0", "vgg16"])
def test_without_network_the_error_says_what_to_do(name: str, download: Any, monkeypatch: Any) -> None:
    asked = []

    def fail(fname: str, *_: Any, **__: Any) -> str:
        asked.append(fname)
        raise Exception("URL fetch failure on https://…:\nName or service not known")  # as Keras does

    download(fail)
    monkeypatch.setenv("KERAS_HOME", "/cache")
    with pytest.raises(ModelError) as caught:
        build(name, SHAPE, ArchitectureOptions(weights="imagenet"))
    assert str(caught.value) == (
        f"{name}: Keras can't download its ImageNet weights (URL fetch failure on https://…: Name or service not "
        f"known). Give --weights FILE, or copy the file to {Path('/cache/models') / asked[0]}"
    )


@pytest.mark.parametrize("source", ["imagenet", "file"])
def test_efficientnet_divides_by_the_deviation_whoever_loads_it(source: str, download: Any, tmp_path: Path) -> None:
    """Keras adds a layer for that with its own download only; a file needs it as much."""
    published = application("efficientnetb0")
    normalization = next(layer for layer in published.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_STD), np.array(0)])
    path = tmp_path / "efficientnetb0_notop.h5"
    save_as_keras_2(published, path)
    download(lambda *_, **__: str(path))
    weights = source if source == "imagenet" else str(path)
    network = build("efficientnetb0", SHAPE, ArchitectureOptions(weights=weights))
    reference = keras.applications.EfficientNetB0(include_top=False, input_tensor=keras.Input((SIZE, SIZE, 3)))
    wanted = run(reference, VALUES).mean(axis=(1, 2))
    np.testing.assert_allclose(features(network), wanted, rtol=1e-3, atol=1e-4)


def test_a_variance_that_is_one_stays() -> None:
    inputs = keras.Input((4, 4, 3))
    layer = keras.layers.Normalization()
    base = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.zeros(3), np.array([0.5, 1.0, 2.0]), np.array(0)])
    _divide_by_std(base)
    np.testing.assert_array_equal(layer.get_weights()[1], [0.5, 1.0, 2.0])


def test_mobilenets_download_is_for_any_size(mobilenet: Any, download: Any, tmp_path: Path) -> None:
    """Without Keras's warning that there are no weights for pictures of this size."""
    path = tmp_path / APPLICATIONS["mobilenet"].cached
    save_as_keras_2(mobilenet, path)
    download(lambda *_, **__: str(path))
    network = build("mobilenet", SHAPE, ArchitectureOptions(weights="imagenet"))
    np.testing.assert_array_equal(network.get_layer("conv1").get_weights(), mobilenet.get_layer("conv1").get_weights())
