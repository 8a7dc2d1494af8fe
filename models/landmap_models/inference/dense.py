"""A chip classifier run over a whole rectangle of a scene at once: whether it can be, and the network that does it.

A layer without padding that treats all positions alike gives the same values wherever a chip is cut around them: what
it gives for a chip is part of what it gives for the rectangle, if the chip lies at a multiple of the layer's stride. So
a global pooling becomes a pooling of a chip's extent, a dense layer a convolution (Long et al. 2015, arXiv 1411.4038),
and nothing is approximated. A rectangle that is longer than a chip by a multiple of every stride gives each layer just
so many positions more: what fits together in a chip does so in the rectangle.

Padding tells a layer where the chip's edge lies; a pooled value that goes back into a picture changes the picture from
chip to chip. A network with either has other values in every chip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from landmap_models.errors import ModelError
from landmap_models.inference.fold_norm import Entry, as_functional, references, weights_by_layer, with_weights

if TYPE_CHECKING:
    import keras

Pair = tuple[int, int]
ACTIVATIONS = (
    {"linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "swish", "mish", "sigmoid", "tanh"}
    | {"exponential", "softplus", "softsign", "squareplus", "sparse_plus", "log_sigmoid", "tanh_shrink"}
    | {"hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "softmax", "log_softmax"}
)
"""Functions of single values, and the last two, of the channels."""
ELEMENTWISE = (
    *("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianNoise", "GaussianDropout", "Identity"),
    *("ReLU", "LeakyReLU", "ELU", "Activation"),
)
"""Layers of single values, and those that do nothing at inference."""

WEIGHTED = (
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "PReLU"),
    *("BatchNormalization", "LayerNormalization", "Normalization"),
)
"""Layers that have weights."""


@dataclass(frozen=True, slots=True)
class Dense:
    """What a dense network would be."""

    total_stride: int
    """Pixels between positions of the last spatial layer before the global pooling; divides the stride."""
    floats_per_pixel: float
    """The largest sum of what one layer takes and gives, in numbers per pixel of the input."""
    exact_floats_per_pixel: float
    """The same of the layers up to the first with weights, which stay float32 (`layout.exact_layers`)."""

    def bytes_per_pixel(self, itemsize: int) -> float:
        """Of the largest layer, per pixel of the input.

        Args:
            itemsize: Bytes of a number in the precision computed in. What float32 layers give is there in both.
        """
        exact = 4 if itemsize == 4 else 4 + itemsize
        return max(self.floats_per_pixel * itemsize, self.exact_floats_per_pixel * exact)


def analyse(config: Mapping[str, Any], chip_size: int, stride: int) -> Dense | str:
    """Tell whether a model can answer for all windows of a rectangle at once, exactly as for each. Needs no Keras.

    Args:
        config: The model's, as in a `.keras` file (`model_file.read_config`).
        chip_size: Height and width of a chip in pixels.
        stride: Pixels between windows.

    Returns:
        What the dense network would be, or one line on what is in the way: the first such layer, and what about it.
    """
    try:
        steps = list(_follow(config, chip_size, stride))
    except _NotDenseError as reason:
        return str(reason)
    except (LookupError, TypeError, ValueError, AttributeError):
        return "its configuration is not one that Keras 3 writes"
    pooled = [step.inputs[0] for step in steps if step.output.flat and not step.inputs[0].flat]
    floats = [sum(values.floats for values in (*step.inputs, step.output)) for step in steps]
    first = next((place for place, step in enumerate(steps) if step.layer.kind in WEIGHTED), len(steps) - 1)
    stride = math.lcm(*(pixels for values in pooled for pixels in values.stride))
    return Dense(stride, max(floats), max(floats[: first + 1]))


def dense_model(model: keras.Model, stride: int) -> keras.Model:
    """A network that gives a chip classifier's answers for all windows of a rectangle.

    Input shape: `(n, height, width, bands)`, each side a chip's plus any multiple of the stride.
    Output shape: `(n, rows, cols, classes)`; `[:, row, col]` is the answer for the chip cut at pixel
    `(row * stride, col * stride)`.

    It shares no layers with `model`, and has its names and dtype policies.

    Raises:
        ModelError: It can't be done without approximation; says why in the words of `analyse`.
    """
    import keras

    functional = as_functional(model)
    config = keras.saving.serialize_keras_object(functional)
    layers = dense_layers(config, functional.inputs[0].shape[1] or 0, stride)
    return with_weights(config["config"] | {"layers": layers}, weights_by_layer(functional))


def dense_layers(config: Mapping[str, Any], chip_size: int, stride: int) -> list[Entry]:
    """The layers of `dense_model` as entries of its configuration. Needs no Keras.

    Args:
        config: The chip classifier's, as in a `.keras` file.
        chip_size: Height and width of a chip in pixels.
        stride: Pixels between windows.

    Raises:
        ModelError: It can't be done without approximation; says why in the words of `analyse`.
    """
    reason = analyse(config, chip_size, stride)
    if isinstance(reason, str):
        name = config["config"].get("name", "the model")
        raise ModelError(f"{name}: expected a model that can run over a whole rectangle; {reason}")
    return [_rewritten(step) for step in _follow(config, chip_size, stride)]


class _NotDenseError(Exception):
    """Why a model can't be dense."""


@dataclass(frozen=True, slots=True)
class _Values:
    """What a layer takes or gives."""

    size: Pair
    """Rows and columns of positions in one chip."""
    stride: Pair
    """Pixels of the scene from one position to the next."""
    channels: int
    flat: bool = False
    """A vector: one for each window, or, of more than one position, unrolled on its way into a dense layer."""

    def __str__(self) -> str:
        size, stride = ("x".join(map(str, pair)) for pair in (self.size, self.stride))
        return "a vector for each chip" if self.flat else f"{size} positions {stride} px apart"

    @property
    def floats(self) -> float:
        """Numbers per pixel of the input."""
        return self.channels / math.prod(self.stride)

    @property
    def unrolled(self) -> bool:
        return self.flat and self.size != (1, 1)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a rule looks at."""

    entry: Mapping[str, Any]
    chip_size: int
    stride: int
    """Pixels between windows."""

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.entry["config"])

    @property
    def name(self) -> str:
        return str(self.config["name"])

    @property
    def kind(self) -> str:
        return str(self.entry["class_name"])

    def refused(self, reason: str) -> _NotDenseError:
        return _NotDenseError(f"its layer {self.name} {reason}")


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer with what it takes and gives."""

    layer: _Layer
    inputs: tuple[_Values, ...]
    output: _Values


def _follow(config: Mapping[str, Any], chip_size: int, stride: int) -> Iterator[_Step]:
    """The layers from the input on."""
    if config["class_name"] not in ("Functional", "Sequential"):
        raise _NotDenseError(f"is built by code of its own, {config['class_name']}")
    inputs = sum(entry["class_name"] == "InputLayer" for entry in config["config"]["layers"])
    if inputs != 1:
        raise _NotDenseError(f"has {inputs} inputs")
    given: dict[str, _Values] = {}
    for entry in config["config"]["layers"]:
        step = _step(_Layer(entry, chip_size, stride), given)
        given[step.layer.name] = step.output
        yield step
    _check_output(config["config"], given)


def _step(layer: _Layer, given: Mapping[str, _Values]) -> _Step:
    _check_layer(layer)
    inputs = tuple(given[name] for name in _sources(layer, given))
    if any(values.unrolled for values in inputs) and layer.kind not in (*ELEMENTWISE, "Flatten", "Dense"):
        raise layer.refused("takes a flattened picture, and is not a dense layer")
    return _Step(layer, inputs, _RULES[layer.kind](layer, *inputs))


def _check_layer(layer: _Layer) -> None:
    """Refuse what no rule looks at."""
    config, name = layer.config, f"{layer.entry['module']}.{layer.kind}".removeprefix("keras.layers.")
    if layer.kind in ("Functional", "Sequential", "Model"):
        raise _NotDenseError(f"holds the model {layer.name!r} inside")
    if name not in _RULES:
        raise layer.refused(f"is of class {name}, which is not known to treat all positions alike")
    if config.get("data_format") == "channels_first":
        raise layer.refused("takes channels before height and width")
    if "lora_rank" in config or "Quantized" in str(config.get("dtype")):
        raise layer.refused("is quantised or adapted (LoRA)")
    if str(config.get("activation") or "linear") not in ACTIVATIONS:
        raise layer.refused("has an activation that is not known to be one of single values")


def _sources(layer: _Layer, given: Mapping[str, _Values]) -> list[str]:
    """Names of the layers that a layer takes values from."""
    if "inbound_nodes" not in layer.entry:  # in a Sequential model
        return list(given)[-1:]
    nodes = layer.entry["inbound_nodes"]
    if len(nodes) > 1:
        raise layer.refused(f"is shared: called {len(nodes)} times")
    for node in nodes:
        for key, value in node["kwargs"].items():
            if value is not None and value is not False:
                raise layer.refused(f"is called with {key}")
    return [name for name, _, _ in references(nodes, given)]


def _check_output(config: Mapping[str, Any], given: Mapping[str, _Values]) -> None:
    """Refuse several, and what is not one vector for each chip."""
    names = list(given)[-1:]  # of a Sequential model
    if "output_layers" in config:
        names = [name for name, _, _ in references(config["output_layers"], given)]
    if len(names) != 1:
        raise _NotDenseError(f"has {len(names)} outputs")
    if not given[names[0]].flat or given[names[0]].unrolled:
        raise _NotDenseError(f"its output, of layer {names[0]}, is a picture")


def _input(layer: _Layer) -> _Values:
    shape, size = layer.config["batch_shape"], layer.chip_size
    if len(shape) != 4 or tuple(shape[1:3]) != (size, size):
        wanted = f"{size}x{size} px" if size else "a fixed size"
        raise _NotDenseError(f"its input of shape {tuple(shape[1:])} is not a chip of {wanted}")
    return _Values((size, size), (1, 1), shape[3])


def _moved(layer: _Layer, x: _Values) -> _Values:
    """A convolution or a pooling."""
    config = layer.config
    kernel, moves = _pair(config.get("kernel_size", config.get("pool_size"))), _pair(config["strides"])
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, _pair(config.get("dilation_rate", 1)), strict=True)]
    rows, cols = ((n - e) // m + 1 for n, e, m in zip(x.size, extent, moves, strict=True))
    padded = tuple((n - 1) // m + 1 for n, m in zip(x.size, moves, strict=True))
    if config["padding"] != "valid" and padded != (rows, cols):  # a 1x1 kernel, for one, needs no padding
        raise layer.refused(f"is padded ({config['padding']!r})")
    if min(rows, cols) < 1:
        raise layer.refused("is wider than what is left of a chip")
    channels = config.get("filters") or x.channels * config.get("depth_multiplier", 1)
    return _Values((rows, cols), (x.stride[0] * moves[0], x.stride[1] * moves[1]), channels)


def _cropped(layer: _Layer, x: _Values) -> _Values:
    rows, cols = (n - before - after for n, (before, after) in zip(x.size, layer.config["cropping"], strict=True))
    return replace(x, size=(rows, cols))


def _same(layer: _Layer, x: _Values) -> _Values:
    if x.unrolled and "softmax" in str(layer.config.get("activation")):
        raise layer.refused("takes a flattened picture, and is not a dense layer")
    return x


def _rescaled(layer: _Layer, x: _Values) -> _Values:
    for factor in (layer.config["scale"], layer.config["offset"]):
        values = factor["config"]["value"] if isinstance(factor, Mapping) else factor
        if isinstance(values, list | tuple) and any(isinstance(value, list | tuple) for value in values):
            raise layer.refused("has a scale or offset of its own for each position")
    return x


def _on_channels(layer: _Layer, x: _Values) -> _Values:
    axis, rank = layer.config["axis"], 2 if x.flat else 4
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    if any(one % rank != rank - 1 for one in axes):
        raise layer.refused(f"works along axis {axis}, not along the channels")
    return x


def _prelu(layer: _Layer, x: _Values) -> _Values:
    if not x.flat and not {1, 2} <= set(layer.config["shared_axes"] or ()):
        raise layer.refused("has a parameter of its own for each position (shared_axes)")
    return x


def _merged(layer: _Layer, x: _Values, *others: _Values) -> _Values:
    for other in others:
        if (other.size, other.stride, other.flat) != (x.size, x.stride, x.flat):
            raise layer.refused(f"mixes {x} with {other}")
    return replace(x, channels=max(values.channels for values in (x, *others)))


def _concatenated(layer: _Layer, *xs: _Values) -> _Values:
    _on_channels(layer, xs[0])
    return replace(_merged(layer, *xs), channels=sum(x.channels for x in xs))


def _pooled(layer: _Layer, x: _Values) -> _Values:
    if layer.config["keepdims"]:
        raise layer.refused("makes a picture of one position (keepdims)")
    return _vector(layer, x)


def _flattened(layer: _Layer, x: _Values) -> _Values:
    if x.flat:
        return x
    vector = _vector(layer, x)
    return vector if x.size == (1, 1) else replace(x, flat=True)


def _vector(layer: _Layer, x: _Values) -> _Values:
    """One for each window."""
    total = math.lcm(*x.stride)
    if layer.stride % total:
        raise _NotDenseError(f"its total stride of {total} px does not divide the stride of {layer.stride} px")
    return _Values((1, 1), (layer.stride, layer.stride), x.channels, flat=True)


def _dense(layer: _Layer, x: _Values) -> _Values:
    return replace(_vector(layer, x) if x.unrolled else x, channels=layer.config["units"])


def _pair(value: Any) -> Pair:
    rows, cols = (value, value) if isinstance(value, int) else value
    return rows, cols


_RULES: dict[str, Callable[..., _Values]] = {
    "InputLayer": _input,
    "Rescaling": _rescaled,
    "Cropping2D": _cropped,
    "PReLU": _prelu,
    "Concatenate": _concatenated,
    "Flatten": _flattened,
    "Dense": _dense,
    **dict.fromkeys(ELEMENTWISE, _same),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D"), _moved),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "Normalization", "Softmax"), _on_channels),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merged),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), _pooled),
}
"""What each class of layers makes of what it takes."""


def _rewritten(step: _Step) -> Entry:
    """The layer's entry in the dense network's configuration."""
    config, kind = step.layer.config, step.layer.kind
    if kind == "InputLayer":
        config["batch_shape"] = [None, None, None, step.output.channels]
    elif config.get("axis"):
        config["axis"] = -1
    elif kind == "PReLU" and step.output.flat:
        config["shared_axes"] = [1, 2, *(axis + 2 for axis in config["shared_axes"] or ())]
    elif kind in _POOLINGS:
        kind, config = _POOLINGS[kind], _sliding(step, "pool_size")
    elif kind == "Dense":
        given = {key: config[key] for key in ("activation", "use_bias")}
        kind, config = "Conv2D", _sliding(step, "kernel_size") | given | {"filters": config["units"]}
    rest = {key: value for key, value in step.layer.entry.items() if key != "build_config"}
    return rest | {"class_name": kind, "config": config}


_POOLINGS = {
    "GlobalAveragePooling2D": "AveragePooling2D",
    "GlobalMaxPooling2D": "MaxPooling2D",
    "Flatten": "MaxPooling2D",
}
"""What they become; a Flatten picks the windows' positions out."""


def _sliding(step: _Step, extent: str) -> dict[str, Any]:
    """The configuration of a convolution or pooling over a chip's extent, from window to window."""
    (x,), given = step.inputs, step.layer.config
    moves = [b // a for a, b in zip(x.stride, step.output.stride, strict=True)]
    whole = step.output.flat and not step.output.unrolled
    config = {"strides": moves, "padding": "valid", "data_format": "channels_last"}
    return {key: given[key] for key in ("name", "trainable", "dtype")} | config | {extent: x.size if whole else (1, 1)}
