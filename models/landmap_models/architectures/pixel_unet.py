"""`pixel-unet`: classes of pixels of 10 m, from any subset of a list of bands.

A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597). Nearly all of its work is done at 20, 40 and 80 m, where a
channel costs a quarter, a sixteenth and a sixty-fourth of what it costs at 10 m; one 3x3 convolution of the bands at
10 m and a transposed convolution, which gives each of the four pixels its own weights, bring the detail back.

Flags in the input tell the network which bands are there. A missing band counts as its middle reflectance, and the
flags shift the outputs of the first layer; `for_bands` makes a network for one subset of the bands without flags, with
the same outputs.

Windows begin and end at multiples of `STEP` pixels of the scene. Outputs further than `MARGIN` pixels from the edge of
a window do not depend on what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.model_file.pixels import DETAIL, HALVING, KNOWN, SCALE, THERE

Tensor = Any

STEP = 8
"""Pixels of which sides and offsets of windows are multiples, so that all windows are halved in the same phase."""
MARGIN = 32
"""Pixels from the edge of a window within which outputs may depend on the padding."""
WIDTHS = (40, 80, 96)
"""Channels at 20, 40 and 80 m."""
FINE = 16
"""Channels at 10 m."""
CONTRAST = 4.0
"""Range of a scaled band: its middle reflectance becomes 0, darkest and brightest minus and plus half of this."""
MOMENTUM = 0.97
"""Momentum of the statistics of batch normalisation."""


def build(
    middle: Sequence[float],
    classes: int,
    size: tuple[int | None, int | None] = (None, None),
    widths: Sequence[int] = WIDTHS,
    fine: int = FINE,
) -> keras.Model:
    """Build the network with flags of the bands that are there.

    Input shape: reflectance `(n, height, width, bands)`, and `(n, bands)`: 1 for a band that is there, 0 for one that
    is not, whose values then do not matter. Output shape: logits `(n, height, width, classes)`.

    Args:
        middle: Middle reflectance of each band, in the order of the input.
        classes: Number of classes.
        size: Height and width of a window in pixels, multiples of `STEP`; None if they vary.
        widths: Channels at 20, 40 and 80 m.
        fine: Channels at 10 m.
    """
    bands = len(middle)
    pixels, there = keras.Input((*size, bands), name="reflectance"), keras.Input((bands,), name=THERE)
    x = layers.Multiply(name="mask")([_scaled(pixels, middle), layers.Reshape((1, 1, bands), name="flags")(there)])
    shift = layers.Dense(widths[0], use_bias=False, name=KNOWN)(there)
    shift = layers.Reshape((1, 1, widths[0]), name="shift")(shift)
    halved = layers.Conv2D(widths[0], 4, strides=2, padding="same", use_bias=False, name=HALVING)(x)
    halved = layers.Add(name="shifted")([halved, shift])
    return keras.Model([pixels, there], _answers(x, halved, classes, widths, fine), name="pixel-unet")


def for_bands(model: keras.Model, there: Sequence[bool], size: tuple[int | None, int | None]) -> keras.Model:
    """Make the same network for one subset of its bands, without flags.

    Args:
        model: Network that `build` made, trained or not.
        there: For each of its bands whether it is there.
        size: Height and width of a window in pixels, multiples of `STEP`; None if they vary.

    Returns:
        A network of reflectance `(n, height, width, bands that are there)` with the outputs of `model`.

    Raises:
        ModelError: No band is there, or the number of flags is not that of the bands of `model`.
    """
    flags = np.asarray(there, bool)
    scale = np.asarray(model.get_layer(SCALE).scale, np.float64)
    if len(flags) != len(scale) or not flags.any():
        raise ModelError(f"Expected {len(scale)} flags, of which at least one is set. Received: {list(there)}")
    widths = [model.get_layer(name).filters for name in (HALVING, "into40", "into80")]
    pixels = keras.Input((*size, int(flags.sum())), name="reflectance")
    x = _scaled(pixels, 1 / scale[flags])
    halved = layers.Conv2D(widths[0], 4, strides=2, padding="same", name=HALVING)(x)
    fine, classes = model.get_layer(DETAIL).filters, model.get_layer("logits").filters
    fewer = keras.Model(pixels, _answers(x, halved, classes, widths, fine), name=model.name)
    for layer in fewer.layers:
        layer.set_weights(_weights(model, layer.name, flags))
    return fewer


def _weights(model: keras.Model, name: str, flags: npt.NDArray[np.bool_]) -> list[Floats]:
    """Weights of a layer for the bands that are there."""
    if name == "reflectance":
        return []
    found: list[Floats] = model.get_layer(name).get_weights()
    if name in (HALVING, DETAIL):
        found[0] = found[0][:, :, flags]
    if name == HALVING:
        (known,) = model.get_layer(KNOWN).get_weights()
        found.append(flags.astype(np.float32) @ known)
    return found


def _scaled(pixels: Tensor, middle: Sequence[float] | npt.NDArray[np.float64]) -> Tensor:
    """Reflectance r of each band as r / (r + middle), around 0: dark and bright land get their share of the range."""
    x = layers.Rescaling([float(1 / value) for value in middle], name=SCALE)(pixels)
    x = layers.Activation("softsign", name="squeeze")(x)
    return layers.Rescaling(CONTRAST, offset=-CONTRAST / 2, name="center")(x)


def _answers(x: Tensor, halved: Tensor, classes: int, widths: Sequence[int], fine: int) -> Tensor:
    """From the bands at 10 m, and the first layer's answers at 20 m before their normalisation."""
    first, second, third = widths
    at20 = _residual(_rectified(halved, HALVING), first, "down20")
    at40 = _residual(_conv(at20, second, 2, "into40", strides=2), second, "down40")
    at80 = _residual(_conv(at40, third, 2, "into80", strides=2), third, "at80")
    at80 = _conv(at80, third, 1, "mixed80")
    at40 = _residual(layers.Add(name="joined40")([at40, _doubled(at80, second, "from80")]), second, "up40")
    at20 = _residual(layers.Add(name="joined20")([at20, _doubled(at40, first, "from40")]), first, "up20")
    detail = layers.Conv2D(fine, 3, padding="same", use_bias=False, name=DETAIL)(x)
    at10 = layers.ReLU(name="fine")(layers.Add(name="joined10")([_doubled(at20, fine, "from20"), detail]))
    # They stay float32 under mixed precision: bfloat16 has three digits.
    return layers.Conv2D(classes, 1, dtype="float32", name="logits")(at10)


def _conv(x: Tensor, filters: int, size: int, name: str, strides: int = 1) -> Tensor:
    conv = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )
    return _rectified(conv(x), name)


def _rectified(x: Tensor, name: str) -> Tensor:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x))


def _residual(x: Tensor, filters: int, name: str) -> Tensor:
    return layers.Add(name=f"{name}_sum")([x, _conv(x, filters, 3, name)])


def _doubled(x: Tensor, filters: int, name: str) -> Tensor:
    return layers.Conv2DTranspose(filters, 2, strides=2, name=name)(x)
