"""A network without the normalisations that a layer before takes in answers as before."""

from __future__ import annotations

import math
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
from landmap_models.inference.dense import dense_model
from landmap_models.inference.fold_norm import fold_norm

Tensor = Any
Floats = npt.NDArray[np.float32]
CHIPS = (
    np.random.default_rng(0).normal(np.array([-4, -1, 1, 4])[:, None, None, None], 1, (4, 8, 8, 3)).astype(np.float32)
)


def run(model: Any, chips: Floats = CHIPS) -> Any:
    answer = model(chips, training=False)
    return [np.asarray(a, np.float32) for a in answer] if isinstance(answer, list) else np.asarray(answer, np.float32)


def shaken(model: Any) -> Any:
    """The model with weights that are the same in every run, and nowhere neutral: statistics, factors, biases."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            if "kernel" in variable.name:
                fan_in = math.prod(variable.shape[: 2 if isinstance(layer, layers.DepthwiseConv2D) else -1])
                variable.assign(rng.normal(0, 0.7 / math.sqrt(fan_in), variable.shape))
            else:
                variable.assign(rng.uniform(0.2, 2.0, variable.shape))
    return model


def norms(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def chip() -> Tensor:
    return keras.Input((8, 8, 3), name="chip")


def network(inputs: Tensor, x: Tensor) -> Any:
    x = layers.Dense(3, activation="softmax", name="classes")(layers.GlobalAveragePooling2D(name="mean")(x))
    return shaken(keras.Model(inputs, x, name="network"))


def assert_folded(model: Any, left: tuple[str, ...] = ()) -> Any:
    """The folded network, after comparing it with the model; `left` are the normalisations that stay."""
    before, weights = run(model), model.get_weights()
    folded = fold_norm(model)
    assert norms(folded) == list(left)
    assert folded.name == model.name
    np.testing.assert_allclose(run(folded), before, rtol=1e-5)
    assert np.ptp(before, axis=0).max() > 0.01  # they differ at all
    for found, wanted in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, wanted)
    return folded


@settings(max_examples=20)
@given(data=st.data())
def test_every_kind_takes_its_normalisation_in(data: st.DataObject) -> None:
    inputs = x = chip()
    count = data.draw(st.integers(1, 3))
    for number in range(count):
        x = data.draw(
            st.sampled_from(
                [
                    layers.Conv2D(4, 2, use_bias=data.draw(st.booleans()), name=f"linear{number}"),
                    layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=data.draw(st.booleans())),
                    layers.Dense(5, use_bias=data.draw(st.booleans())),
                ]
            )
        )(x)
        x = layers.BatchNormalization(
            axis=data.draw(st.sampled_from([-1, 3])),
            scale=data.draw(st.booleans()),
            center=data.draw(st.booleans()),
            epsilon=data.draw(st.sampled_from([1e-3, 0.5])),
        )(x)
        x = layers.LeakyReLU()(x)
    model = network(inputs, x)
    folded = fold_norm(model)
    assert norms(folded) == []
    np.testing.assert_allclose(run(folded), run(model), rtol=1e-5)


def test_the_arithmetic_is_in_double_precision() -> None:
    inputs = chip()
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="linear")(inputs)
    model = network(inputs, layers.BatchNormalization(name="norm", epsilon=0.1)(x))
    (kernel,) = model.get_layer("linear").get_weights()
    gamma, beta, mean, variance = (a.astype(np.float64) for a in model.get_layer("norm").get_weights())
    found_kernel, found_bias = assert_folded(model).get_layer("linear").get_weights()
    for channel in range(3):
        for copy in range(2):
            n = 2 * channel + copy
            factor = gamma[n] / np.sqrt(variance[n] + 0.1)
            wanted = (kernel[..., channel, copy].astype(np.float64) * factor).astype(np.float32)
            np.testing.assert_allclose(found_kernel[..., channel, copy], wanted, rtol=1e-7)
            np.testing.assert_allclose(found_bias[n], np.float32(beta[n] - mean[n] * factor), rtol=1e-7)
    assert found_kernel.dtype == found_bias.dtype == np.float32


def test_grouped_convolutions_and_vectors() -> None:
    inputs = chip()
    x = layers.Conv2D(6, 3, groups=3, activation="linear")(inputs)
    x = layers.GlobalMaxPooling2D()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization(axis=1)(layers.Dense(4)(x))
    assert_folded(shaken(keras.Model(inputs, layers.Dense(3, activation="softmax")(x))))


def test_compact_keeps_its_names_and_all_else() -> None:
    model = shaken(build("compact", NetworkShape(3), ArchitectureOptions(filters=(4, 4, 6, 8))))
    folded = fold_norm(model)
    assert len(norms(model)) == 10
    assert norms(folded) == []
    assert [layer.name for layer in folded.layers] == [
        layer.name for layer in model.layers if not isinstance(layer, layers.BatchNormalization)
    ]
    for found, wanted in zip(
        folded.get_layer("probabilities").get_weights(), model.get_layer("probabilities").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    chips = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32) * 0.3
    np.testing.assert_allclose(run(folded, chips), run(model, chips), rtol=1e-5)


def test_dense_and_folded_in_either_order() -> None:
    inputs = chip()
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False, strides=2)(inputs)))
    x = layers.BatchNormalization()(layers.Dense(5)(layers.Flatten()(x)))
    model = shaken(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)))
    scene = np.random.default_rng(0).normal(0, 1, (1, 12, 10, 3)).astype(np.float32)
    wanted = run(dense_model(model, 2), scene)
    for found in (fold_norm(dense_model(model, 2)), dense_model(fold_norm(model), 2)):
        assert norms(found) == []
        np.testing.assert_allclose(run(found, scene), wanted, rtol=1e-5)


# What stays.


def active(x: Tensor) -> Tensor:
    return layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, activation="relu")(x))


def separable(x: Tensor) -> Tensor:
    return layers.BatchNormalization(name="norm")(layers.SeparableConv2D(4, 3)(x))


def branched(x: Tensor) -> Tensor:
    y = layers.Conv2D(4, 3)(x)
    return layers.Add()([layers.BatchNormalization(name="norm")(y), y])


def twin_norms(x: Tensor) -> Tensor:
    y = layers.Conv2D(4, 3)(x)
    return layers.Add()([layers.BatchNormalization(name="norm")(y), layers.BatchNormalization(name="other")(y)])


def shared_conv(x: Tensor) -> Tensor:
    conv = layers.Conv2D(3, 3)
    return layers.BatchNormalization(name="norm")(conv(conv(x)))


def shared_norm(x: Tensor) -> Tensor:
    norm = layers.BatchNormalization(name="norm")
    return norm(layers.Conv2D(4, 3)(norm(layers.Conv2D(4, 3)(x))))


def of_rows(x: Tensor) -> Tensor:
    return layers.BatchNormalization(axis=1, name="norm")(layers.Conv2D(4, 3)(x))


def of_the_batch(x: Tensor) -> Tensor:
    return layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3)(x), training=True)


def first(x: Tensor) -> Tensor:
    return layers.Conv2D(4, 3)(layers.BatchNormalization(name="norm")(x))


def other_dtype(x: Tensor) -> Tensor:
    return layers.BatchNormalization(name="norm", dtype="float32")(layers.Conv2D(4, 3, dtype="mixed_bfloat16")(x))


def added(x: Tensor) -> Tensor:
    return layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3)(x) + 0.5)


def chain(x: Tensor) -> Tensor:
    x = layers.BatchNormalization(name="folded")(layers.Conv2D(4, 3)(x))
    return layers.BatchNormalization(name="norm")(x)


OTHERS = [
    active,
    separable,
    branched,
    shared_conv,
    shared_norm,
    of_rows,
    of_the_batch,
    first,
    other_dtype,
    added,
    chain,
]


@pytest.mark.parametrize("layer", OTHERS, ids=lambda layer: layer.__name__)
def test_other_normalisations_stay(layer: Any) -> None:
    inputs = chip()
    assert_folded(network(inputs, layer(inputs)), left=("norm",))


def test_two_normalisations_of_one_layer_stay() -> None:
    inputs = chip()
    assert_folded(network(inputs, twin_norms(inputs)), left=("norm", "other"))


def test_the_normalisation_of_an_adapted_layer_stays() -> None:
    inputs = chip()
    conv = layers.Conv2D(4, 3)
    x = layers.BatchNormalization(name="norm")(conv(inputs))
    conv.enable_lora(2)
    assert_folded(network(inputs, x), left=("norm",))


def test_a_layer_that_is_an_output_itself_keeps_its_values() -> None:
    inputs = chip()
    linear = layers.Conv2D(4, 8)(inputs)
    model = shaken(keras.Model(inputs, [linear, layers.BatchNormalization(name="norm")(linear)]))
    folded = fold_norm(model)
    assert norms(folded) == ["norm"]
    for found, wanted in zip(run(folded), run(model), strict=True):
        np.testing.assert_array_equal(found, wanted)


# Of what it is made.


def test_a_normalisation_may_be_the_output_and_feed_several_layers() -> None:
    inputs = chip()
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, name="linear")(inputs))
    y = layers.ReLU()(layers.Add()([x, layers.ReLU()(x)]))
    model = shaken(keras.Model(inputs, [x, y]))
    folded = fold_norm(model)
    assert norms(folded) == []
    for found, wanted in zip(run(folded), run(model), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_sequential_model() -> None:
    model = keras.Sequential(
        [
            chip(),
            layers.Conv2D(4, 3, use_bias=False, name="linear"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="stack",
    )
    assert_folded(shaken(model))


def test_models_inside_stay_as_they_are() -> None:
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [chip(), layers.Normalization(), layers.Conv2D(3, 1), layers.BatchNormalization()], name="inner"
    )
    inner.layers[0].adapt(2 * CHIPS + 1)
    inputs = chip()
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(inner(inputs)))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    folded = assert_folded(keras.Model(inputs, outputs, name="outer"))
    assert norms(folded.get_layer("inner")) == norms(inner) != []


def test_a_reduced_precision_stays_and_weights_are_float32() -> None:
    inputs = chip()
    x = layers.Conv2D(4, 3, dtype="mixed_bfloat16", name="linear")(inputs)
    model = network(inputs, layers.BatchNormalization(dtype="mixed_bfloat16")(x))
    folded = fold_norm(model)
    assert norms(folded) == []
    assert folded.get_layer("linear").dtype_policy.name == "mixed_bfloat16"
    assert {variable.dtype for variable in folded.get_layer("linear").weights} == {"float32"}
    np.testing.assert_allclose(run(folded), run(model), atol=0.03)


def test_a_model_that_was_never_built_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected a built model, made of layers\. Received: Sequential"):
        fold_norm(keras.Sequential([layers.Dense(3)]))
