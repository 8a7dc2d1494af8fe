"""`pixel-unet`: classes of pixels of 10 m, from any subset of a list of bands.

A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597). Nearly all of its work is done at 20, 40 and 80 m, where a
channel costs a quarter, a sixteenth and a sixty-fourth of what it costs at 10 m; one 3x3 convolution of the bands at
10 m and a transposed convolution, which gives each of the four pixels its own weights, bring the detail back.

`with_flags` makes the network that is told which bands are there (`pixel_input`), and `for_bands` of it a network for
one subset of the bands without flags, with the same outputs: these are the second network of a packaged model. `build`
makes the architecture of a training, whose outputs are probabilities.

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

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.architectures.pixel_input import pixel_input, scaled, shifted
from landmap_models.architectures.shape import NetworkShape, probabilities
from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.model_file.pixels import DETAIL, HALVING, KNOWN, SCALE

Tensor = Any

ANSWERS = "pixel"
OPTIONS = ("filters",)
"""Fields of `ArchitectureOptions` that the network reads."""
STEP = 8
"""Pixels of which sides and offsets of windows are multiples, so that all windows are halved in the same phase."""
MARGIN = 32
"""Pixels from the edge of a window within which outputs may depend on the padding."""
WIDTHS = (40, 80, 96)
"""Channels at 20, 40 and 80 m."""
FINE = 16
"""Channels at 10 m."""
MEAN, BINOMIAL = "mean", (0.25, 0.5, 0.25)
"""Name of the last convolution of a training, and the weights along rows and columns from which it starts: the doubling
before it gives each pixel of a square its own weights, a checkerboard before they are learnt, of which these leave
nothing."""
MOMENTUM = 0.97
"""Momentum of the statistics of batch normalisation."""


def margin(options: ArchitectureOptions) -> int:
    """Pixels from the edge of a window within which answers may depend on the padding, whatever the options are."""
    return MARGIN


def build(shape: NetworkShape, options: ArchitectureOptions) -> keras.Model:
    """Build the network of a training; see `architectures`.

    Options: `filters` at 10, 20, 40 and 80 m.

    Raises:
        ModelError: There are not four numbers of filters.
    """
    chosen = options.filters or (FINE, *WIDTHS)
    if len(chosen) != 1 + len(WIDTHS):
        raise ModelError(f"pixel-unet: expected four --filters, at 10, 20, 40 and 80 m. Received: {chosen}")
    fine, *widths = chosen
    inputs, x = pixel_input(shape.middle, (None, None), flags=shape.flags)
    mean = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=MEAN)
    features = mean(_features(x, _halved(x, inputs, widths[0]), widths, fine))
    mean.set_weights([np.repeat(np.outer(BINOMIAL, BINOMIAL)[..., None, None], fine, axis=2)])
    answers = probabilities(layers.Identity(name="features")(features), shape)
    return keras.Model(inputs if shape.flags else inputs[0], answers, name="pixel-unet")


def with_flags(
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
    inputs, x = pixel_input(middle, size, flags=True)
    features = _features(x, _halved(x, inputs, widths[0]), widths, fine)
    return keras.Model(inputs, _logits(features, classes), name="pixel-unet")


def _halved(x: Tensor, inputs: Sequence[Tensor], filters: int) -> Tensor:
    halving = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False, name=HALVING)
    return shifted(halving(x), inputs, filters)


def for_bands(model: keras.Model, there: Sequence[bool], size: tuple[int | None, int | None]) -> keras.Model:
    """Make the same network for one subset of its bands, without flags.

    Args:
        model: Network that `with_flags` made, trained or not.
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
    x = scaled(pixels, 1 / scale[flags])
    halved = layers.Conv2D(widths[0], 4, strides=2, padding="same", name=HALVING)(x)
    fine, classes = model.get_layer(DETAIL).filters, model.get_layer("logits").filters
    fewer = keras.Model(pixels, _logits(_features(x, halved, widths, fine), classes), name=model.name)
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


def _features(x: Tensor, halved: Tensor, widths: Sequence[int], fine: int) -> Tensor:
    """From the bands at 10 m, and the first layer's answers at 20 m before their normalisation."""
    first, second, third = widths
    at20 = _residual(_rectified(halved, HALVING), first, "down20")
    at40 = _residual(_conv(at20, second, 2, "into40", strides=2), second, "down40")
    at80 = _residual(_conv(at40, third, 2, "into80", strides=2), third, "at80")
    at80 = _conv(at80, third, 1, "mixed80")
    at40 = _residual(layers.Add(name="joined40")([at40, _doubled(at80, second, "from80")]), second, "up40")
    at20 = _residual(layers.Add(name="joined20")([at20, _doubled(at40, first, "from40")]), first, "up20")
    detail = layers.Conv2D(fine, 3, padding="same", use_bias=False, name=DETAIL)(x)
    return layers.ReLU(name="fine")(layers.Add(name="joined10")([_doubled(at20, fine, "from20"), detail]))


def _logits(features: Tensor, classes: int) -> Tensor:
    # They stay float32 under mixed precision: bfloat16 has three digits.
    return layers.Conv2D(classes, 1, dtype="float32", name="logits")(features)


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
