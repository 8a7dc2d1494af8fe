"""A dense network answers for every window as the chip classifier does for the chip cut there, or says why it can't."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from landmap_models.architectures import ArchitectureOptions, build
from landmap_models.architectures.shape import NetworkShape
from landmap_models.errors import ModelError
from landmap_models.inference.dense import Dense, analyse, dense_model
from landmap_models.model_file.archive import read_config
from landmap_models.model_file.packaged import find_model

Tensor = Any
Floats = npt.NDArray[np.float32]


def run(model: Any, values: Floats) -> Floats:
    return np.asarray(keras.ops.convert_to_numpy(model(values, training=False)), np.float32)


def config_of(model: Any) -> Any:
    """As in the file that `model.save` writes."""
    return keras.saving.serialize_keras_object(model)


def scene(height: int, width: int, bands: int, seed: int = 0) -> Floats:
    """Noise on fields of 4x4 px: windows differ in the large as well as in detail."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(0, 2, (height // 4 + 1, width // 4 + 1, bands)).repeat(4, 0).repeat(4, 1)
    return (fields[:height, :width] + rng.normal(0, 1, (height, width, bands))).astype(np.float32)


def windows(scene: Floats, chip: int, stride: int) -> tuple[int, int, Floats]:
    """Rows, columns and chips of a scene `(height, width, bands)`."""
    rows, cols = ((side - chip) // stride + 1 for side in scene.shape[:2])
    corners = [(row * stride, col * stride) for row in range(rows) for col in range(cols)]
    return rows, cols, np.stack([scene[top : top + chip, left : left + chip] for top, left in corners])


def assert_dense(model: Any, stride: int, places: tuple[int, int] = (2, 3)) -> Any:
    """The dense network, after comparing it with the classifier at all windows of a rectangle."""
    chip, bands = model.input_shape[1], model.input_shape[-1]
    height, width = (chip + stride * (number - 1) for number in places)
    scenes = np.stack([scene(height, width, bands, seed) for seed in range(2)])
    dense = dense_model(model, stride)
    answers = run(dense, scenes)
    for values, answer in zip(scenes, answers, strict=True):
        rows, cols, chips = windows(values, chip, stride)
        assert (rows, cols) == places
        np.testing.assert_allclose(answer, run(model, chips).reshape(rows, cols, -1), atol=1e-5)
    return dense


def shaken(model: Any) -> Any:
    """The model with weights that are the same in every run, and nowhere neutral: statistics, biases, slopes."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            if "kernel" in variable.name:
                fan_in = math.prod(variable.shape[: 2 if variable.name == "depthwise_kernel" else -1])
                variable.assign(rng.normal(0, 1.5 / math.sqrt(fan_in), variable.shape))
            elif variable.name != "count":
                variable.assign(rng.uniform(0.3, 1.5, variable.shape))
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


@dataclass
class Sketch:
    """A network being drawn, with what the test itself knows of its strides."""

    draw: Callable[[Any], Any]
    x: Tensor
    strides: list[int] = field(default_factory=lambda: [1, 1])

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.number(low, high), self.number(low, high)

    def step(self, name: str) -> None:
        if min(self.x.shape[1:3]) >= 7 or name in CALM:
            getattr(self, name)()

    def moved(self, layer: Any, rows: int = 1, cols: int = 1) -> None:
        self.x, self.strides = layer(self.x), [self.strides[0] * rows, self.strides[1] * cols]

    def conv(self) -> None:
        moves = self.pair(1, 2)
        groups = 2 if self.x.shape[-1] % 2 == 0 and self.draw(st.booleans()) else 1
        bias = self.draw(st.booleans())
        self.moved(layers.Conv2D(4, self.pair(1, 4), moves, groups=groups, use_bias=bias, activation="relu"), *moves)

    def dilated(self) -> None:
        self.moved(layers.Conv2D(3, (2, 3), dilation_rate=self.pair(1, 2)))

    def depthwise(self) -> None:
        move = self.number(1, 2)
        self.moved(layers.DepthwiseConv2D(self.pair(1, 3), move, depth_multiplier=self.number(1, 2)), move, move)

    def separable(self) -> None:
        move = self.number(1, 2)
        self.moved(layers.SeparableConv2D(4, self.number(1, 3), move, activation="tanh"), move, move)

    def pool(self) -> None:
        kind = self.draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
        moves = self.pair(1, 2)
        self.moved(kind(self.pair(1, 3), moves), *moves)

    def residual(self) -> None:
        """Two convolutions, and a shortcut that is cropped otherwise on each side but to the same size."""
        merge = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
        before = self.pair(0, 3)
        shortcut = layers.Cropping2D([(n, 3 - n) for n in before])(self.x)
        shortcut = layers.Conv2D(4, 1, padding="same")(shortcut)
        y = layers.BatchNormalization()(layers.Conv2D(4, 3)(layers.Conv2D(4, 2)(self.x)))
        self.x = self.draw(st.sampled_from(merge))()([y, shortcut])

    def branches(self) -> None:
        """Two ways of one stride and size, side by side."""
        one = layers.MaxPooling2D(2)(self.x)
        other = layers.Cropping2D(((0, 0), (0, 0)))(layers.Conv2D(2, 2, 2)(self.x))
        self.x, self.strides = layers.Concatenate()([one, other]), [2 * n for n in self.strides]

    def calm(self) -> None:
        """A layer of single positions."""
        channels = self.x.shape[-1]
        self.x = self.draw(
            st.sampled_from(
                [
                    layers.BatchNormalization(),
                    layers.BatchNormalization(axis=3, scale=False),
                    layers.LayerNormalization(),
                    layers.Normalization(),
                    layers.Normalization(axis=None, mean=0.4, variance=2.0),
                    layers.Rescaling([0.5 + n for n in range(channels)], offset=-0.2),
                    layers.PReLU(shared_axes=[1, 2]),
                    layers.LeakyReLU(),
                    layers.ReLU(max_value=1.0),
                    layers.ELU(),
                    layers.Activation("gelu"),
                    layers.Softmax(axis=3),
                    layers.Dropout(0.5, noise_shape=(None, 1, 1, channels)),
                    layers.SpatialDropout2D(0.5),
                    layers.GaussianNoise(1.0),
                    layers.Dense(3, activation="sigmoid"),
                    layers.Conv2D(3, 1, padding="same"),
                ]
            )
        )(self.x)

    def head(self) -> Tensor:
        """From the last picture to vectors."""
        average = layers.GlobalAveragePooling2D()
        kind = self.draw(st.sampled_from(["average", "max", "both", "flatten"]))
        if kind == "flatten":
            y = layers.Flatten()(self.x)
            y = layers.ReLU()(layers.Dropout(0.3)(layers.Flatten()(y)))
            return layers.Dense(5, activation="elu", use_bias=self.draw(st.booleans()))(y)
        if kind == "both":
            return layers.Concatenate(axis=1)([average(self.x), layers.GlobalMaxPooling2D()(self.x)])
        return (average if kind == "average" else layers.GlobalMaxPooling2D())(self.x)

    def tail(self, y: Tensor) -> Tensor:
        """From vectors to vectors."""
        vector = [layers.BatchNormalization(axis=1), layers.LayerNormalization(), layers.PReLU(), layers.Flatten()]
        vector += [layers.Dense(6, activation="relu"), layers.Dropout(0.2), layers.Softmax(axis=1)]
        for layer in self.draw(st.lists(st.sampled_from(vector), max_size=3, unique=True)):
            y = layer(y)
        return y


CALM = ("calm",)
STEPS = ("conv", "dilated", "depthwise", "separable", "pool", "residual", "branches", "calm", "calm", "calm")


def random_network(draw: Callable[[Any], Any]) -> tuple[Any, int]:
    """A network without padding, and its total stride."""
    inputs = keras.Input((chip := draw(st.integers(16, 32)), chip, draw(st.integers(2, 3))))
    sketch = Sketch(draw, inputs)
    for name in draw(st.lists(st.sampled_from(STEPS), max_size=7)):
        sketch.step(name)
    outputs = layers.Dense(3, activation="softmax")(sketch.tail(sketch.head()))
    return shaken(keras.Model(inputs, outputs)), math.lcm(*sketch.strides)


@settings(max_examples=30)
@given(data=st.data())
def test_every_window_is_answered_as_its_chip(data: st.DataObject) -> None:
    model, total = random_network(data.draw)
    stride = total * data.draw(st.integers(1, 2))
    found = analyse(config_of(model), model.input_shape[1], stride)
    assert isinstance(found, Dense), found
    assert found.total_stride == total
    assert_dense(model, stride, data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))))


def chip(size: int = 16, bands: int = 3) -> Tensor:
    return keras.Input((size, size, bands), name="chip")


def classified(x: Tensor) -> Tensor:
    return layers.Dense(3, activation="softmax", name="classes")(x)


def pooled(x: Tensor) -> Tensor:
    return classified(layers.GlobalAveragePooling2D()(x))


def network(inputs: Tensor, outputs: Tensor) -> Any:
    return shaken(keras.Model(inputs, outputs, name="network"))


def why(model: Any, stride: int = 8) -> str:
    """Why it can't be dense, in the words of the plan and of the error."""
    config = config_of(model)
    reason = analyse(config, model.input_shape[1], stride)
    assert isinstance(reason, str), reason
    with pytest.raises(ModelError) as error:
        dense_model(model, stride)
    assert str(error.value) == f"{model.name}: expected a model that can run over a whole rectangle; {reason}"
    return reason


# What is accepted.


def test_all_layers_of_single_positions() -> None:
    inputs = x = chip(bands=4)
    for layer in (
        layers.Rescaling(np.array([1.0, 2.0, 0.5, 3.0]), offset=[0.1, 0.2, 0.3, 0.4]),
        layers.Normalization(),
        layers.Normalization(axis=None, mean=0.3, variance=2.0),
        layers.BatchNormalization(axis=3),
        layers.Identity(),
        layers.Dropout(0.2),
        layers.SpatialDropout2D(0.2),
        layers.AlphaDropout(0.2),
        layers.GaussianNoise(0.2),
        layers.GaussianDropout(0.2),
        layers.LeakyReLU(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.PReLU(shared_axes=[1, 2, 3]),
        layers.ELU(),
        layers.Activation("swish"),
        layers.Dense(5),
        layers.LayerNormalization(axis=3),
        layers.Softmax(),
        layers.Conv2D(4, 1, padding="same", activation="log_softmax"),
        layers.ReLU(max_value=1.5),
    ):
        x = layer(x)
    assert_dense(network(inputs, pooled(x)), 1)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_ways_that_meet_again(name: str) -> None:
    """The shortcut is cropped to the size of the other way, but not to its centre."""
    inputs = chip()
    one = layers.Conv2D(4, 3, strides=2)(layers.Conv2D(4, 3)(inputs))
    other = layers.Conv2D(4, 1)(layers.MaxPooling2D(2)(layers.Cropping2D(((4, 0), (1, 3)))(inputs)))
    assert_dense(network(inputs, pooled(getattr(layers, name)()([one, other]))), 4)


def test_one_channel_is_spread_over_many() -> None:
    inputs = chip()
    gate = layers.Conv2D(1, 1, activation="sigmoid")(inputs)
    assert_dense(network(inputs, pooled(layers.Multiply()([gate, layers.Conv2D(6, 1)(inputs)]))), 2)


@pytest.mark.parametrize("size", [16, 17])
def test_padding_that_adds_nothing(size: int) -> None:
    """A 1x1 kernel is never padded, and 2x2 at every second position only where a chip's size is odd."""
    inputs = chip(size)
    x = layers.Conv2D(4, 1, strides=3, padding="same")(inputs)
    assert_dense(network(inputs, pooled(x)), 3)
    model = network(inputs, pooled(layers.MaxPooling2D(2, padding="same", name="pool")(inputs)))
    if size == 16:
        assert_dense(model, 2)
    else:
        assert why(model, 2) == "its layer pool is padded ('same')"


def test_pixels_that_a_chip_leaves_over_change_nothing() -> None:
    """At strides 2 and 3, 31 pixels leave one over at each layer, and a rectangle's do as well."""
    inputs = chip(31)
    x = layers.MaxPooling2D(3)(layers.Conv2D(4, 4, strides=2)(inputs))
    assert x.shape[1:3] == (4, 4)
    assert_dense(
        network(
            inputs,
            pooled(layers.Add()([x, layers.AveragePooling2D(6)(layers.Conv2D(4, 1)(layers.Cropping2D(3)(inputs)))])),
        ),
        6,
    )


def test_rows_and_columns_may_have_strides_of_their_own() -> None:
    inputs = chip(24)
    x = layers.AveragePooling2D((3, 1))(layers.Conv2D(4, 3, strides=(1, 2))(inputs))
    model = network(inputs, pooled(x))
    assert_dense(model, 6)
    found = analyse(config_of(model), 24, 6)
    assert isinstance(found, Dense)
    assert found.total_stride == 6
    assert why(model, 4) == "its total stride of 6 px does not divide the stride of 4 px"


@pytest.mark.parametrize("twice", [False, True])
def test_a_flattened_picture_goes_into_a_dense_layer(twice: bool) -> None:
    inputs = chip(18)
    x = layers.Conv2D(4, (3, 5), strides=2)(inputs)
    assert x.shape[1:3] == (8, 7)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.ReLU()(layers.Flatten()(x) if twice else x)
    model = network(inputs, classified(layers.Dense(6, activation="tanh", use_bias=False)(x)))
    assert_dense(model, 4)
    assert_dense(model, 2, (3, 1))
    assert why(model, 3) == "its total stride of 2 px does not divide the stride of 3 px"


def test_a_picture_of_one_position_is_flattened_to_a_vector() -> None:
    inputs = chip()
    x = layers.Conv2D(4, 16)(inputs)
    x = layers.BatchNormalization(axis=1)(layers.Flatten()(x))
    assert_dense(network(inputs, layers.Softmax()(x)), 3)


def test_pools_of_several_strides() -> None:
    inputs = chip()
    fine = layers.Conv2D(4, 3, strides=2)(inputs)
    coarse = layers.Conv2D(4, 3, strides=3)(fine)
    vectors = layers.GlobalMaxPooling2D()(fine), layers.GlobalAveragePooling2D()(coarse)
    model = network(inputs, classified(layers.Concatenate(axis=1)(vectors)))
    assert_dense(model, 6)
    assert analyse(config_of(model), 16, 6) == Dense(6, 3 + 4 / 4, 3 + 4 / 4)


def test_layers_of_vectors() -> None:
    inputs = chip()
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    for layer in (
        layers.PReLU(),
        layers.PReLU(shared_axes=[1]),
        layers.Flatten(),
        layers.LayerNormalization(axis=1),
        layers.BatchNormalization(axis=1),
        layers.Normalization(axis=1),
        layers.Dense(5, activation="relu"),
        layers.Softmax(axis=1),
    ):
        x = layer(x)
    y = layers.Dense(5)(x)
    assert_dense(network(inputs, classified(layers.Add()([x, y]))), 1)


def test_a_sequential_model() -> None:
    model = keras.Sequential(
        [
            keras.Input((16, 16, 2)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name="network",
    )
    assert_dense(shaken(model), 4)
    assert why(model, 5) == "its total stride of 2 px does not divide the stride of 5 px"


@pytest.mark.parametrize("ends", [list, dict])
def test_one_input_and_output_in_a_list_or_dict(ends: type) -> None:
    inputs = chip()
    outputs = pooled(layers.Conv2D(4, 3)(inputs))
    model = keras.Model([inputs], [outputs]) if ends is list else keras.Model({"chip": inputs}, {"classes": outputs})
    values = scene(20, 18, 3)[None]
    plain = keras.Model(inputs, outputs)
    np.testing.assert_array_equal(run(dense_model(model, 2), values), run(dense_model(plain, 2), values))


def test_compact_is_dense_at_its_stride_of_eight() -> None:
    model = shaken(build("compact", NetworkShape(3), ArchitectureOptions(filters=(4, 4, 6, 8))))
    found = analyse(config_of(model), 64, 8)
    assert isinstance(found, Dense)
    assert found.total_stride == 8
    assert_dense(model, 8)


def test_a_plain_network_that_flattens_is_dense() -> None:
    assert_dense(shaken(build("cnn", NetworkShape(3), ArchitectureOptions(filters=(4, 6, 8)))), 16)


def test_the_default_model_is_dense_at_strides_of_eight_and_its_multiples() -> None:
    config = read_config(find_model("default"))
    for stride in (8, 16, 32, 64):
        found = analyse(config, 64, stride)
        assert isinstance(found, Dense)
        assert found.total_stride == 8
    assert analyse(config, 64, 4) == "its total stride of 8 px does not divide the stride of 4 px"


def test_the_default_model_answers_alike() -> None:
    from landmap_models.inference.loading import load_model

    model = load_model(find_model("default"))
    values = (0.1 + 0.03 * scene(88, 80, 3)).clip(0, 1)
    rows, cols, chips = windows(values, 64, 8)
    wanted = run(model, chips).reshape(rows, cols, -1)
    assert np.ptp(wanted, axis=(0, 1)).max() > 0.01
    np.testing.assert_allclose(run(dense_model(model, 8), values[None])[0], wanted, atol=1e-5)


# What the dense network is.


def test_it_takes_any_rectangle_and_shares_nothing_with_the_classifier() -> None:
    inputs = chip()
    model = network(inputs, pooled(layers.Conv2D(4, 3, name="conv")(inputs)))
    dense = assert_dense(model, 4)
    assert dense.input_shape == (None, None, None, 3)
    assert [layer.name for layer in dense.layers] == [layer.name for layer in model.layers]
    assert not {id(layer) for layer in dense.layers} & {id(layer) for layer in model.layers}
    before = run(model, scene(16, 16, 3)[None])
    for layer in dense.layers:
        layer.set_weights([0 * array for array in layer.get_weights()])
    np.testing.assert_array_equal(run(model, scene(16, 16, 3)[None]), before)


def test_it_keeps_the_dtype_policies() -> None:
    inputs = chip()
    x = layers.ReLU(dtype="mixed_bfloat16")(layers.Conv2D(4, 3, dtype="mixed_bfloat16")(inputs))
    x = layers.Dense(4, dtype="mixed_bfloat16", name="hidden")(layers.GlobalMaxPooling2D(dtype="mixed_bfloat16")(x))
    model = network(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))
    dense = dense_model(model, 2)
    assert [layer.dtype_policy.name for layer in dense.layers] == [layer.dtype_policy.name for layer in model.layers]
    values = scene(18, 20, 3)
    rows, cols, chips = windows(values, 16, 2)
    np.testing.assert_allclose(run(dense, values[None])[0], run(model, chips).reshape(rows, cols, -1), atol=0.03)


def test_it_can_be_built_from_its_own_configuration() -> None:
    inputs = chip()
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.Normalization()(inputs)))
    dense = dense_model(network(inputs, classified(x)), 2)
    again = keras.Model.from_config(dense.get_config())
    assert [array.shape for array in again.get_weights()] == [array.shape for array in dense.get_weights()]


def test_floats_per_pixel_by_hand() -> None:
    inputs = chip(16, 2)
    x = layers.Conv2D(12, 3, strides=2)(inputs)  # takes 2, gives 12 / 4
    x = layers.Conv2D(8, 3, strides=(2, 1))(x)  # takes 3, gives 8 / 8
    y = layers.Conv2D(8, 1)(x)  # takes 1, gives 1
    z = layers.Add()([x, y])  # takes 2, gives 1
    assert analyse(config_of(keras.Model(inputs, pooled(z))), 16, 4) == Dense(4, 5.0, 5.0)
    wide = layers.Conv2D(24, 1)(z)  # takes 1, gives 3
    wide = layers.Add()([wide, wide, layers.ReLU()(wide)])  # takes 9, gives 3
    assert analyse(config_of(keras.Model(inputs, pooled(wide))), 16, 4) == Dense(4, 12.0, 5.0)


def test_bytes_of_the_largest_layer_by_hand() -> None:
    late, early = Dense(8, 48.0, 15.0), Dense(8, 48.0, 27.0)
    assert [late.bytes_per_pixel(size) for size in (4, 2)] == [4 * 48, 2 * 48]
    assert [early.bytes_per_pixel(size) for size in (4, 2)] == [4 * 48, (4 + 2) * 27], "float32, and a copy"


def test_channels_by_hand() -> None:
    def floats(x: Tensor) -> float:
        found = analyse(config_of(keras.Model(inputs, pooled(x))), 16, 8)  # so sparse that vectors count for little
        assert isinstance(found, Dense)
        return found.floats_per_pixel

    inputs = chip(16, 2)
    one, six = layers.Conv2D(1, 1)(inputs), layers.Conv2D(6, 1)(inputs)
    assert floats(layers.Multiply()([one, six])) == (1 + 6) + 6
    assert floats(layers.Concatenate()([one, six])) == (1 + 6) + 7
    assert floats(layers.DepthwiseConv2D(3, depth_multiplier=8)(inputs)) == 2 + 16
    assert floats(layers.SeparableConv2D(5, 3, depth_multiplier=8)(inputs)) == 2 + 5
    assert floats(layers.Dense(9)(inputs)) == 2 + 9


# What is refused.


def same(x: Tensor) -> Tensor:
    return layers.Conv2D(4, 3, padding="same", name="conv1")(layers.Conv2D(4, 1, padding="same")(x))


def squeezed(x: Tensor) -> Tensor:
    gate = layers.Dense(3, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return layers.Multiply(name="scale")([x, gate])


def nested(x: Tensor) -> Tensor:
    inner = chip()
    return keras.Model(inner, layers.Conv2D(4, 3)(inner), name="efficientnet")(x)


def nested_sequential(x: Tensor) -> Tensor:
    return keras.Sequential([layers.Conv2D(4, 3)], name="stem")(x)


def shared(x: Tensor) -> Tensor:
    conv = layers.Conv2D(3, 1, name="twin")
    return conv(conv(x))


def two_strides(x: Tensor) -> Tensor:
    return layers.Add(name="sum")([layers.MaxPooling2D(2)(x), layers.MaxPooling2D(9, strides=1)(x)])


def position_and_picture(x: Tensor) -> Tensor:
    return layers.Add(name="sum")([layers.Conv2D(3, 16)(x), x])


def position_and_vector(x: Tensor) -> Tensor:
    return layers.Add(name="sum")([layers.Conv2D(3, 16, strides=8)(x), layers.GlobalAveragePooling2D()(x)])


def channels_first(x: Tensor) -> Tensor:
    return layers.Cropping2D(((0, 0), (2, 0)), data_format="channels_first", name="red")(x)


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "padded": (same, "its layer conv1 is padded ('same')"),
    "padded pool": (layers.AveragePooling2D(3, 1, "same", name="pool"), "its layer pool is padded ('same')"),
    "zeros": (
        layers.ZeroPadding2D(name="zeros"),
        "its layer zeros is of class ZeroPadding2D, which is not known to treat all positions alike",
    ),
    "enlarged": (
        layers.UpSampling2D(name="up"),
        "its layer up is of class UpSampling2D, which is not known to treat all positions alike",
    ),
    "group norm": (
        layers.GroupNormalization(1, name="group"),
        "its layer group is of class GroupNormalization, which is not known to treat all positions alike",
    ),
    "operation": (
        lambda x: x + 1.0,
        "its layer add is of class keras.src.ops.numpy.Add, which is not known to treat all positions alike",
    ),
    "squeeze and excite": (squeezed, "its layer scale mixes 16x16 positions 1x1 px apart with a vector for each chip"),
    "two strides": (two_strides, "its layer sum mixes 8x8 positions 2x2 px apart with 8x8 positions 1x1 px apart"),
    "two sizes": (
        position_and_picture,
        "its layer sum mixes 1x1 positions 1x1 px apart with 16x16 positions 1x1 px apart",
    ),
    "a position and a vector": (
        position_and_vector,
        "its layer sum mixes 1x1 positions 8x8 px apart with a vector for each chip",
    ),
    "model": (nested, "holds the model 'efficientnet' inside"),
    "sequential": (nested_sequential, "holds the model 'stem' inside"),
    "shared": (shared, "its layer twin is shared: called 2 times"),
    "channels first": (channels_first, "its layer red takes channels before height and width"),
    "norm of rows": (layers.BatchNormalization(axis=1, name="norm"), "its layer norm works along axis 1"),
    "norm of pictures": (
        layers.LayerNormalization(axis=(1, 2, 3), name="norm"),
        "its layer norm works along axis [1, 2, 3]",
    ),
    "means of pixels": (layers.Normalization(axis=(1, 2, 3), name="norm"), "its layer norm works along axis (1, 2, 3)"),
    "softmax of columns": (layers.Softmax(axis=2, name="soft"), "its layer soft works along axis 2, not along the"),
    "side by side": (lambda x: layers.Concatenate(axis=2, name="side")([x, x]), "its layer side works along axis 2"),
    "slopes": (layers.PReLU(name="slopes"), "its layer slopes has a parameter of its own for each position"),
    "scales": (
        layers.Rescaling(np.ones((16, 16, 1)), name="vignette"),
        "its layer vignette has a scale or offset of its own for each position",
    ),
    "gated": (
        layers.Conv2D(4, 3, activation="glu", name="gated"),
        "its layer gated has an activation that is not known to be one of single values",
    ),
    "layer as activation": (
        layers.Conv2D(4, 3, activation=layers.Softmax(axis=1), name="odd"),
        "its layer odd has an activation that is not known to be one of single values",
    ),
    "norm of the batch": (lambda x: layers.BatchNormalization(name="norm")(x, training=True), "norm is called with tr"),
    "one position": (
        lambda x: layers.Conv2D(4, 1)(layers.GlobalMaxPooling2D(keepdims=True, name="squeeze")(x)),
        "its layer squeeze makes a picture of one position (keepdims)",
    ),
    "stride": (layers.MaxPooling2D(16), "its total stride of 16 px does not divide the stride of 8 px"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    layer, words = REFUSED[name]
    keras.backend.clear_session()  # names begin anew
    inputs = chip()
    assert words in why(network(inputs, pooled(layer(inputs))))


def test_the_first_layer_in_the_way_is_named() -> None:
    inputs = chip()
    x = layers.Conv2D(3, 3, padding="same", name="second")(layers.ZeroPadding2D(name="first")(inputs))
    assert "first" in why(network(inputs, pooled(layers.Conv2D(3, 3, padding="same", name="third")(x))))


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNormalization(name="odd"),
        layers.Activation("softmax", name="odd"),
        layers.Rescaling(2.0, name="odd"),
    ],
    ids=["norm", "softmax", "rescaling"],
)
def test_a_flattened_picture_goes_nowhere_else(layer: Any) -> None:
    inputs = chip()
    x = layers.Flatten()(layers.Conv2D(2, 3)(inputs))
    assert why(network(inputs, classified(layer(x)))) == (
        "its layer odd takes a flattened picture, and is not a dense layer"
    )


def test_an_output_that_is_no_vector_is_refused() -> None:
    inputs = chip()
    x = layers.Conv2D(2, 3, name="map")(inputs)
    assert why(network(inputs, x)) == "its output, of layer map, is a picture"
    assert why(network(inputs, layers.Flatten(name="flat")(x))) == "its output, of layer flat, is a picture"


def test_several_inputs_or_outputs_are_refused() -> None:
    inputs, other = chip(), keras.Input((16, 16, 3))
    x = pooled(layers.Conv2D(2, 3)(inputs))
    assert analyse(config_of(keras.Model(inputs, [x, layers.ReLU()(x)])), 16, 8) == "has 2 outputs"
    assert analyse(config_of(keras.Model([inputs, other], pooled(layers.Add()([inputs, other])))), 16, 8) == (
        "has 2 inputs"
    )


@pytest.mark.parametrize("shape", [(16, 32, 3), (None, None, 3), (16, 3)])
def test_an_input_that_is_no_chip_is_refused(shape: tuple[int | None, ...]) -> None:
    inputs = keras.Input(shape)
    x = layers.Dense(3)(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x) if len(shape) == 3 else x, name="network")
    with pytest.raises(ModelError, match=r"its input of shape \(.*\) is not a chip of (16x16 px|a fixed size)"):
        dense_model(model, 8)
    assert analyse(config_of(model), 16, 8) == f"its input of shape {shape} is not a chip of 16x16 px"


def test_a_quantised_layer_is_refused() -> None:
    inputs = chip()
    model = network(inputs, pooled(layers.Conv2D(4, 3)(inputs)))
    model.get_layer("classes").quantize("int8")
    assert why(model) == "its layer classes is quantised or adapted (LoRA)"
    adapted = network(inputs, pooled(layers.Conv2D(4, 3)(inputs)))
    adapted.get_layer("classes").enable_lora(2)
    assert why(adapted) == "its layer classes is quantised or adapted (LoRA)"


def test_a_model_of_code_is_refused() -> None:
    class Coded(keras.Model):
        def call(self, x: Tensor) -> Tensor:
            return x

    assert analyse({"class_name": "Coded", "config": {}}, 16, 8) == "is built by code of its own, Coded"
    with pytest.raises(ModelError, match=r"expected a built model, made of layers\. Received: Coded"):
        dense_model(Coded(name="coded"), 8)
    with pytest.raises(ModelError, match=r"expected a built model, made of layers\. Received: Sequential"):
        dense_model(keras.Sequential([layers.Dense(3)]), 8)


def broken(key: str, value: Any) -> Any:
    config = json.loads(json.dumps(config_of(keras.Model(x := chip(), pooled(layers.Conv2D(4, 3)(x))))))
    config["config"]["layers"][1]["config"][key] = value
    return config


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Functional", "config": {}},
        {"class_name": "Functional", "config": {"layers": [None]}},
        {},
        broken("strides", "wide"),
        broken("kernel_size", None),
    ],
)
def test_a_damaged_configuration_is_refused(config: Any) -> None:
    assert analyse(config, 16, 8) == "its configuration is not one that Keras 3 writes"


def test_a_kernel_wider_than_the_chip_is_refused() -> None:
    assert "is wider than what is left of a chip" in str(analyse(broken("kernel_size", [17, 3]), 16, 8))


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("mobilenet", "its layer conv1 is padded ('same')"),
        ("mobilenetv2", "its layer Conv1 is padded ('same')"),
    ],
)
def test_architectures_that_pad_are_refused(architecture: str, words: str) -> None:
    assert words in why(build(architecture, NetworkShape(3)))


# Where it is read from.


@pytest.mark.parametrize("sequential", [False, True])
def test_a_file_says_the_same_as_the_model(sequential: bool, tmp_path: Path) -> None:
    inputs = chip()
    x = layers.Concatenate()((layers.Rescaling(np.ones(3))(inputs), layers.Normalization()(inputs)))
    model: Any = network(inputs, pooled(layers.Conv2D(4, 3, strides=2)(x)))
    if sequential:
        model = keras.Sequential([chip(), layers.Conv2D(4, 3, strides=2), layers.Flatten(), layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    config = read_config(tmp_path / "model.keras")
    found = analyse(config, 16, 4)
    assert isinstance(found, Dense), found
    assert found == analyse(config_of(model), 16, 4)
    assert analyse(config, 16, 3) == analyse(config_of(model), 16, 3)
    assert analyse(config, 32, 4) == "its input of shape (16, 16, 3) is not a chip of 32x32 px"


def test_analysing_a_file_needs_no_keras() -> None:
    code = (
        "import sys; from landmap_models.inference.dense import Dense, analyse;"
        "from landmap_models.model_file.archive import read_config;"
        "from landmap_models.model_file.packaged import find_model;"
        "assert isinstance(analyse(read_config(find_model('default')), 64, 8), Dense);"
        "print({'keras', 'tensorflow', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
