"""Google's Dynamic World from plain Keras layers; `landmap_models.foreign.dynamic_world` fills in its weights.

Dynamic World (Brown et al. 2022, 10.1038/s41597-022-01307-4; github.com/google/dynamicworld, Apache-2.0, whose NOTICE
must be carried) predicts one of nine kinds of cover for each pixel of a Level-1C scene.

Layers are named after the variables of the SavedModel, so that one table maps the weights to the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from landmap_models.errors import ModelError
from landmap_models.model_file.transform import LogSigmoid

Tensor = Any

CLASSES = (
    "water",
    "trees",
    "grass",
    "flooded_vegetation",
    "crops",
    "shrub_and_scrub",
    "built",
    "bare",
    "snow_and_ice",
)
"""Names of the outputs in order."""
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
"""Bands of the input in order; those of 20 m are interpolated to 10 m."""
MARGIN, STEP = 24, 2
"""Pixels from the edge of a window within which outputs depend on the padding, and of which sides and offsets of
windows are multiples."""
_LOW = (
    1.7417268007636313,
    1.7261204997060209,
    1.6798346251414997,
    1.7734969472909623,
    2.289154079164943,
    2.382939712192371,
    2.3828939530384052,
    2.1952484264967844,
    1.554812948247501,
)
_WIDTH = (
    2.023298706048351,
    2.038905204308012,
    2.179592821212937,
    2.2890068333026603,
    2.6171674549378166,
    2.773418590375327,
    2.7578332604178284,
    2.789092484314204,
    2.4140534947492487,
)
TRANSFORM = LogSigmoid(_LOW, _WIDTH)
"""What is done to reflectance before, a value a band."""
HALVING = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
"""Weights of an anti-aliased bilinear halving along one axis."""
VARIABLES = (
    "conv2d",
    "batch_normalization",
    "conv2d_2",
    "batch_normalization_3",
    "depthwise_conv2d_1",
    "batch_normalization_4",
    "conv2d_3",
    "batch_normalization_5",
    "depthwise_conv2d_2",
    "batch_normalization_6",
    "conv2d_4",
    "batch_normalization_7",
    "depthwise_conv2d_3",
    "conv2d_5",
    "batch_normalization_8",
    "batch_normalization_9",
    "conv2d_6",
    "batch_normalization_10",
    "depthwise_conv2d_4",
    "batch_normalization_11",
    "conv2d_7",
    "batch_normalization_12",
    "depthwise_conv2d_5",
    "batch_normalization_13",
    "conv2d_8",
    "batch_normalization_14",
    "conv2d_1",
    "batch_normalization_1",
    "depthwise_conv2d_6",
    "conv2d_9",
    "batch_normalization_15",
    "batch_normalization_16",
    "depthwise_conv2d",
    "batch_normalization_2",
    "conv2d_10",
    "batch_normalization_17",
    "depthwise_conv2d_7",
    "batch_normalization_18",
    "conv2d_11",
    "batch_normalization_19",
    "depthwise_conv2d_8",
    "batch_normalization_20",
    "conv2d_12",
    "batch_normalization_21",
    "depthwise_conv2d_9",
    "conv2d_13",
    "batch_normalization_22",
    "batch_normalization_23",
    "conv2d_14",
)
"""Layers in the order of their variables in the checkpoint: kernel and bias, or gamma, beta, mean and variance."""


def build(height: int, width: int) -> keras.Model:
    """Build the network from normalised bands `(n, height, width, 9)` to logits `(n, height, width, 9)`.

    Raises:
        ModelError: A side is odd: pixels would be halved in another phase than Google's.
    """
    if height % 2 or width % 2:
        raise ModelError(f"Dynamic World: expected windows of even sides. Received: {height}x{width} px")
    inputs = keras.Input((height, width, len(BANDS)), name="normalised")
    x = _mish(_norm(_conv(inputs, 64, "", 3), ""))
    half = _halved(x)
    x = _residual(half, 96, convs=(2, 3, 4), depthwise=(1, 2, 3), norms=(3, 4, 5, 6, 7, 8), shortcut=(5, 9))
    x = _residual(x, 144, convs=(6, 7, 8), depthwise=(4, 5, 6), norms=(10, 11, 12, 13, 14, 15), shortcut=(9, 16))
    skip = _mish(_norm(_conv(half, 48, "_1"), "_1"))
    skip = _mish(_norm(_depthwise(skip, ""), "_2"))
    x = layers.Concatenate()([x, skip])
    x = _residual(x, 144, convs=(10, 11, 12), depthwise=(7, 8, 9), norms=(17, 18, 19, 20, 21, 22), shortcut=(13, 23))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.UnitNormalization()(x)
    model = keras.Model(inputs, _conv(x, len(CLASSES), "_14"), name="dynamic-world")
    across = np.outer(HALVING, HALVING).astype(np.float32)
    model.get_layer("halved").set_weights([np.repeat(across[..., None, None], 64, axis=2)])
    return model


def _residual(
    x: Tensor, width: int, convs: Sequence[int], depthwise: Sequence[int], norms: Sequence[int], shortcut: Sequence[int]
) -> Tensor:
    """Three pairs of 1x1 and depthwise 3x3 convolutions beside a 1x1 convolution; numbers are those of layers."""
    y = x
    for i in range(3):
        y = _mish(_norm(_conv(y, width, f"_{convs[i]}"), f"_{norms[2 * i]}"))
        y = _mish(_norm(_depthwise(y, f"_{depthwise[i]}"), f"_{norms[2 * i + 1]}"))
    return layers.Add()([y, _mish(_norm(_conv(x, width, f"_{shortcut[0]}"), f"_{shortcut[1]}"))])


def _conv(x: Tensor, filters: int, number: str, size: int = 1) -> Tensor:
    return layers.Conv2D(filters, size, padding="same", name=f"conv2d{number}")(x)


def _depthwise(x: Tensor, number: str) -> Tensor:
    return layers.DepthwiseConv2D(3, padding="same", name=f"depthwise_conv2d{number}")(x)


def _norm(x: Tensor, number: str) -> Tensor:
    return layers.BatchNormalization(name=f"batch_normalization{number}")(x)


def _mish(x: Tensor) -> Tensor:
    return layers.Activation("mish")(x)


def _halved(x: Tensor) -> Tensor:
    """Halve the size without aliasing: a fixed convolution for the triangle filter of Google's resizing."""
    halving = layers.DepthwiseConv2D(4, strides=2, padding="same", use_bias=False, trainable=False, name="halved")
    return halving(x)
