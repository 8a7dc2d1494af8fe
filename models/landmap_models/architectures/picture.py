"""Reflectance becomes the picture that a network trained on ImageNet expects: three bands, large enough, preprocessed.

All of it is done by built-in layers of the network, so that a model file needs no other code.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import layers

from landmap_models.architectures.shape import HEAD_PREFIX, NetworkShape
from landmap_models.errors import ModelError

Tensor = Any
Preprocess = Literal["tf", "torch", "caffe", "raw", "lite"]
"""Preprocessing of 8-bit values v. tf: v / 127.5 - 1. torch: v / 255, then ImageNet's mean and standard deviation.
caffe: blue, green, red, less ImageNet's mean. raw: none. lite: (v - 127) / 128."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in ImageNet, for values in [0, 1]."""
CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Mean of blue, green and red in ImageNet, for values in [0, 255]."""
_LINEAR: dict[str, tuple[Any, Any]] = {
    "tf": (2.0, -1.0),
    "torch": (
        [1 / std for std in IMAGENET_STD],
        [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)],
    ),
    "caffe": (255.0, [-mean for mean in CAFFE_MEAN]),
    "raw": (255.0, 0.0),
    "lite": (255 / 128, -127 / 128),
}
"""Scale and offset of each preprocessing, for values in [0, 1]."""


def input_size(name: str, chosen: int | None, shape: NetworkShape, minimum: int) -> int:
    """Choose height and width in pixels that chips are resized to.

    Args:
        name: Name of the architecture, for the message.
        chosen: Size that the user asks for; None: the smallest whole multiple of the chip size that is large enough.
        shape: Number of bands and size of the chips.
        minimum: Smallest picture that the architecture takes.

    Raises:
        ModelError: `chosen` is too small for the architecture, or smaller than the chips.
    """
    if chosen is None:
        return shape.chip_size * -(-minimum // shape.chip_size)
    if chosen < max(minimum, shape.chip_size):
        raise ModelError(
            f"{name}: expected --input-size of at least {max(minimum, shape.chip_size)} px "
            f"(chips have {shape.chip_size}, the architecture needs {minimum}). Received: {chosen}"
        )
    return chosen


def picture(x: Tensor, size: int, preprocess: Preprocess, *, pretrained: bool) -> Tensor:
    """Add the layers that preprocess chips for a base.

    A pretrained base knows three bands only. Others reach it through `head_bands`, a 1x1 convolution that learns with
    the head, and begins as the mean of all bands: the base sees a plausible grey picture from the first step. A base
    that starts anew takes all bands as they are, scaled to [-1, 1] where its way would be one for red, green and blue.

    Input shape: `(n, height, width, bands)` in [0, 1]; with three bands: red, green, blue.
    Output shape: `(n, size, size, 3)`, or `(n, size, size, bands)` for a base that starts anew.
    """
    bands = x.shape[-1]
    if bands != 3 and pretrained:
        mean = keras.initializers.Constant(1 / bands)
        x = layers.Conv2D(3, 1, kernel_initializer=mean, name=f"{HEAD_PREFIX}bands")(x)
    elif bands != 3 and preprocess in ("torch", "caffe"):
        preprocess = "tf"
    x = _resized(x, size)
    if preprocess == "caffe":
        x = _reversed(x)
    scale, offset = _LINEAR[preprocess]
    return layers.Rescaling(scale, offset=offset, name="preprocess")(x)


def _resized(x: Tensor, size: int) -> Tensor:
    """Resize bilinearly, by a whole factor where that is possible: such a layer runs on other sizes of chips, too."""
    if size == x.shape[1]:
        return x
    if size % x.shape[1] == 0:
        return layers.UpSampling2D(size // x.shape[1], interpolation="bilinear", name="enlarge")(x)
    return layers.Resizing(size, size, interpolation="bilinear", name="enlarge")(x)


def _reversed(x: Tensor) -> Tensor:
    """Turn red, green, blue into blue, green, red."""
    # A cropping that takes bands for columns cuts single bands out, without weights that a training could change.
    single = [
        layers.Cropping2D(((0, 0), (band, 2 - band)), data_format="channels_first", name=name)(x)
        for band, name in ((2, "blue"), (1, "green"), (0, "red"))
    ]
    return layers.Concatenate(name="blue_green_red")(single)
