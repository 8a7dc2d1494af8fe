"""A model file run by OpenVINO, which starts in a tenth of the time that TensorFlow takes, on processors.

The graph is built from what the file holds, configuration and weights, and neither Keras nor TensorFlow is imported. It
knows the layers of the packaged networks and their like; `obstacle` names the first one that it doesn't. Everything is
computed in float32. A window has the same result to the last bit wherever a chunk holds it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.dense import dense_layers
from landmap_models.inference.fold_norm import Entry, references
from landmap_models.inference.once import loaded_once
from landmap_models.inference.pixel_network import BINOMIAL
from landmap_models.model_file.archive import CONFIG_MEMBER, WEIGHTS_MEMBER, read_card, read_config, read_further
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.pixels import DETAIL, HALVING, KNOWN, SCALE, THERE, PixelPart

GRAPHS_KEPT = 4
"""Of a classifier, one for each shape."""
Node = Any
"""What a layer gives in OpenVINO's graph, `(n, channels, height, width)`."""
Weights = dict[str, list[Floats]]
"""The arrays of each layer that has some, by its name, in Keras's order."""
STORED = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Conv2DTranspose": "conv2d_transpose",
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
}
"""Layers that have weights, and the name by which Keras stores each; the second of a kind gets `_1`, and so on."""


def installed() -> str | None:
    """The version of OpenVINO that is installed; None where there is none. It is not imported."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


def obstacle(config: Mapping[str, Any]) -> str | None:
    """The first layer that can't be built, and why; None where all can. OpenVINO is not imported.

    Args:
        config: A model's, as in a `.keras` file, that `dense.analyse` accepts.
    """
    layers = config["config"]["layers"]
    for entry in layers:
        if reason := _obstacle(entry):
            return f"its layer {entry['config']['name']} {reason}"
    last = layers[-1]["config"]["name"]
    answers = [name for name, _, _ in references(config["config"].get("output_layers", [[last, 0, 0]]), {last})]
    return None if answers else "its answers are not those of its last layer"


def _obstacle(entry: Entry) -> str | None:
    kind, config = entry["class_name"], entry["config"]
    if kind not in _RULES and kind not in _BECOMING:
        return f"is of class {kind}"
    if (config.get("activation") or "linear") not in _ACTIVATIONS:
        return f"has the activation {config['activation']}"
    if kind == "ReLU" and (config["negative_slope"] or config["threshold"]):
        return "has a slope or a threshold"
    if config.get("groups", 1) != 1:
        return "has groups of channels"
    policy = config.get("dtype", "float32")
    if (policy["config"].get("name") if isinstance(policy, Mapping) else policy) != "float32":
        return "is not of float32"
    return None


class OpenVinoClassifier:
    """A `WindowClassifier` of a model file, also with a network for pixels. May be called from several threads."""

    precision = "float32"

    def __init__(self, path: str | Path, card: ModelCard, batch_size: int = 256) -> None:
        """Read the chip network's configuration and weights; graphs are made when a shape is first asked for.

        Args:
            path: The model's file.
            card: The card inside the file.
            batch_size: Chips predicted at once.

        Raises:
            ModelError: OpenVINO is not installed, or a file is damaged.
        """
        self.card, self.batch_size = card, batch_size
        self.device = f"OpenVINO {installed()} CPU"
        self._path, self._config = path, read_config(path)
        with zipfile.ZipFile(path) as archive:
            self._weights = _read_weights(archive, self._config["config"]["layers"])
        self._graphs: dict[tuple[Any, ...], Callable[[Floats], Floats]] = {}
        self._lock = Lock()

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance."""
        shape = self.batch_size, self.card.chip_size, self.card.chip_size, len(self.card.bands)
        out = np.empty((len(chips), len(self.card.legend)), np.float32)
        for start in range(0, len(chips), self.batch_size):
            batch = chips[start : start + self.batch_size]
            full = np.zeros(shape, np.float32)
            full[: len(batch)] = batch
            out[start : start + len(batch)] = self._windows(full, self.card.chip_size)[: len(batch), :, 0, 0]
        return out

    def predict_windows(self, values: Floats, stride: int) -> Floats:
        """Probabilities of every window of a rectangle, in one pass, `(rows, cols, classes)`.

        Args:
            values: Reflectance, `(height, width, bands)`; each side is the chip size and a multiple of the stride.
            stride: Pixels between windows.

        Raises:
            ModelError: The network can't run like that; see `dense`.
        """
        return np.moveaxis(self._windows(values[None], stride)[0], 0, -1)

    def pixel_factors(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """The pixel factor of each class of the legend, `(classes, height, width)`; see `PixelPart`.

        Args:
            values: Reflectance of these bands, `(height, width, bands)`; each side is a multiple of the part's step.
            bands: Names of the bands that are there, in the order of the card's `pixels.bands`.

        Raises:
            ModelError: The model has no such network.
        """
        part = self.card.pixels
        if part is None:
            raise ModelError(f"{self.card.name}: expected a model with a network for pixels. This one has none")
        key = bands, (1, *values.shape)
        answers: Floats = self._run(key, values[None], lambda: self._pixel_layers(part, bands))[0]
        return answers

    def _windows(self, values: Floats, stride: int) -> Floats:
        def layers() -> tuple[list[Entry], Weights]:
            return dense_layers(self._config, self.card.chip_size, stride), self._weights

        return self._run((stride, values.shape), values, layers)

    def _run(self, key: tuple[Any, ...], values: Floats, layers: Callable[[], tuple[list[Entry], Weights]]) -> Floats:
        """Run the graph of these layers and this shape; the last few are kept."""
        with self._lock:
            if key not in self._graphs:
                while len(self._graphs) >= GRAPHS_KEPT:
                    del self._graphs[next(iter(self._graphs))]
                self._graphs[key] = _compiled(*layers(), values.shape)
            return self._graphs[key](values)

    def _pixel_layers(self, part: PixelPart, bands: tuple[str, ...]) -> tuple[list[Entry], Weights]:
        """Layers that give factors for some of the bands, as `PixelNetwork` does it."""
        with zipfile.ZipFile(io.BytesIO(read_further(self._path, part))) as archive:
            layers: list[Entry] = json.loads(archive.read(CONFIG_MEMBER))["config"]["layers"]
            weights = _read_weights(archive, layers)
        flags = np.array(part.flags(bands))
        (known,) = weights.pop(KNOWN)
        weights[HALVING] = [weights[HALVING][0][:, :, flags], flags.astype(np.float32) @ known]
        weights[DETAIL][0] = weights[DETAIL][0][:, :, flags]
        for layer in layers:
            if layer["config"]["name"] == SCALE:
                layer["config"]["scale"] = [float(value) for value in np.array(layer["config"]["scale"])[flags]]
        kept = [layer for layer in layers if layer["config"]["name"] != THERE]
        kernel = np.repeat(np.outer(BINOMIAL, BINOMIAL)[..., None, None], len(part.classes), axis=2)
        weights |= {"mean": [kernel.astype(np.float32)], "fits": [np.array(part.fits, np.float32).T[None, None]]}
        convolution = {"strides": 1, "padding": "same"}
        return [
            *kept,
            {"class_name": "Softmax", "config": {"name": "probabilities"}},
            {"class_name": "DepthwiseConv2D", "config": {"name": "mean", "kernel_size": 3, **convolution}},
            {"class_name": "Conv2D", "config": {"name": "fits", "kernel_size": 1, **convolution}},
            {"class_name": "Power", "config": {"name": "power", "exponent": part.pixel_exponent}},
        ], weights


def _read_weights(archive: zipfile.ZipFile, layers: Sequence[Entry]) -> Weights:
    """The weights of a model's layers, in the order of its configuration, in which they are stored."""
    import h5py

    found: Weights = {}
    number: Counter[str] = Counter()
    with h5py.File(io.BytesIO(archive.read(WEIGHTS_MEMBER))) as file:
        for layer in layers:
            if (stored := STORED.get(layer["class_name"])) is None:
                continue
            name = f"layers/{stored}{f'_{number[stored]}' if number[stored] else ''}/vars"
            number[stored] += 1
            if name not in file:
                raise ModelError(f"{archive.filename}: expected weights {name} of its layer {layer['config']['name']}")
            found[layer["config"]["name"]] = [file[name][str(place)][...] for place in range(len(file[name]))]
    return found


def _compiled(layers: Sequence[Entry], weights: Weights, shape: tuple[int, ...]) -> Callable[[Floats], Floats]:
    """A function from values of one shape `(n, height, width, bands)` to the last layer's `(n, classes, …)`."""
    import openvino
    from openvino import opset13

    given = opset13.parameter(shape, np.float32)
    nodes: dict[str, Node] = {}
    for layer in layers:
        name, inputs = layer["config"]["name"], _inputs(layer, nodes)
        if layer["class_name"] == "InputLayer":
            nodes[name] = opset13.transpose(given, [0, 3, 1, 2])
        elif inputs:  # a layer without is one of flags, and its part is in the weights already
            node = _RULES[layer["class_name"]](opset13, layer["config"], weights.get(name, []), *inputs)
            nodes[name] = _ACTIVATIONS[layer["config"].get("activation") or "linear"](opset13, node)
    last = list(nodes.values())[-1]
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(openvino.Model([last], [given]), "CPU", hints)

    def run(values: Floats) -> Floats:
        answers: Floats = model(np.ascontiguousarray(values, np.float32))[0]
        return answers

    return run


def _inputs(layer: Entry, nodes: Mapping[str, Node]) -> list[Node]:
    """What a layer takes of what is there: in a Sequential model what the layer before gives."""
    if "inbound_nodes" not in layer:
        return list(nodes.values())[-1:]
    return [nodes[name] for name, _, _ in references(layer["inbound_nodes"], nodes)]


def _convolved(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    kernel, *bias = weights
    kernel = kernel.reshape(*_pair(config["kernel_size"]), -1, kernel.shape[-1])  # a dense layer's has no extent
    made = ops.convolution(x, _ascontiguous(kernel.transpose(3, 2, 0, 1)), *_placing(config))
    return _with_bias(ops, made, bias)


def _convolved_by_channel(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    kernel, *bias = weights
    made = ops.group_convolution(x, _ascontiguous(kernel.transpose(2, 3, 0, 1)[:, :, None]), *_placing(config))
    return _with_bias(ops, made, bias)


def _placing(config: Entry) -> tuple[Any, ...]:
    """Strides, padding and dilation in the order of OpenVINO's arguments."""
    padding = "same_upper" if config["padding"] == "same" else "valid"
    return _pair(config["strides"]), [0, 0], [0, 0], _pair(config.get("dilation_rate", 1)), padding


def _enlarged(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    """A transposed convolution without overlap: its kernel is as large as its strides."""
    kernel, *bias = weights
    made = ops.convolution_backprop_data(x, _ascontiguous(kernel.transpose(3, 2, 0, 1)), _pair(config["strides"]))
    return _with_bias(ops, made, bias)


def _with_bias(ops: Any, x: Node, bias: list[Floats]) -> Node:
    return ops.add(x, bias[0].reshape(1, -1, 1, 1)) if bias else x


def _normalised(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    *learnt, mean, variance = (array.astype(np.float64) for array in weights)
    gain = 1 / np.sqrt(variance + config["epsilon"])
    if config["scale"]:
        gain = gain * learnt.pop(0)
    offset = sum(learnt) - gain * mean
    return _times_plus(ops, x, gain, offset)


def _rescaled(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    return _times_plus(ops, x, *(_numbers(config[name]) for name in ("scale", "offset")))


def _numbers(factor: Any) -> Floats:
    return np.asarray(factor["config"]["value"] if isinstance(factor, Mapping) else factor)


def _times_plus(ops: Any, x: Node, gain: Any, offset: Any) -> Node:
    """Values times a gain plus an offset, each one number or one a channel."""
    gain, offset = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) for values in (gain, offset))
    return ops.add(ops.multiply(x, gain), offset)


def _cropped(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    (above, below), (left, right) = config["cropping"]
    stop = [-after or np.iinfo(np.int32).max for after in (below, right)]
    return ops.slice(x, np.array([above, left]), np.array(stop), np.array([1, 1]), np.array([2, 3]))


def _largest(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    strides, before, after, dilation, padding = _placing(config)
    return ops.max_pool(x, strides, dilation, before, after, _pair(config["pool_size"]), "floor", padding).output(0)


def _averaged(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    strides, before, after, _, padding = _placing(config)
    return ops.avg_pool(x, strides, before, after, _pair(config["pool_size"]), True, "floor", padding)


def _clipped(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    top = config["max_value"]
    return ops.relu(x) if top is None else ops.clamp(x, 0.0, top)


def _unchanged(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    return x


def _softmax(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    return _shares(ops, x)


def _shares(ops: Any, x: Node) -> Node:
    """Softmax with the channels last: along another axis, OpenVINO rounds otherwise at the end of a row."""
    return ops.transpose(ops.softmax(ops.transpose(x, [0, 2, 3, 1]), 3), [0, 3, 1, 2])


def _raised(ops: Any, config: Entry, weights: list[Floats], x: Node) -> Node:
    return ops.power(x, np.float32(config["exponent"]))


def _merged(operation: str) -> Callable[..., Node]:
    """A rule for layers of several inputs; of a single one nothing is left to merge."""

    def merge(ops: Any, config: Entry, weights: list[Floats], x: Node, *others: Node) -> Node:
        for other in others:
            x = getattr(ops, operation)(x, other)
        return x

    return merge


def _joined(ops: Any, config: Entry, weights: list[Floats], *xs: Node) -> Node:
    return ops.concat(list(xs), 1)


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _ascontiguous(array: Floats) -> Floats:
    return np.ascontiguousarray(array, np.float32)


_RULES: dict[str, Callable[..., Node]] = {
    "InputLayer": _unchanged,
    "Rescaling": _rescaled,
    "Cropping2D": _cropped,
    "Conv2D": _convolved,
    "DepthwiseConv2D": _convolved_by_channel,
    "Conv2DTranspose": _enlarged,
    "BatchNormalization": _normalised,
    "ReLU": _clipped,
    "Activation": _unchanged,
    "Softmax": _softmax,
    "MaxPooling2D": _largest,
    "AveragePooling2D": _averaged,
    "Concatenate": _joined,
    "Power": _raised,
    **{name: _merged(name.lower()) for name in ("Add", "Subtract", "Multiply", "Maximum", "Minimum")},
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity"), _unchanged),
}
"""What makes each class of layers of what it takes; its activation follows."""
_BECOMING = ("Dense", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D")
"""Layers of chip classifiers that `dense_layers` puts others in place of."""
_ACTIVATIONS: dict[str, Callable[[Any, Node], Node]] = {
    "linear": lambda ops, x: x,
    "relu": lambda ops, x: ops.relu(x),
    "sigmoid": lambda ops, x: ops.sigmoid(x),
    "tanh": lambda ops, x: ops.tanh(x),
    "silu": lambda ops, x: ops.swish(x),
    "swish": lambda ops, x: ops.swish(x),
    "softsign": lambda ops, x: ops.softsign(x),
    "softmax": _shares,
}


@loaded_once(most=4)
def load_openvino_classifier(path: str | Path, sha256: str | None = None, batch_size: int = 256) -> OpenVinoClassifier:
    """Load a model file; the same one is loaded once a process, and anew where it was replaced.

    Args:
        path: A `.keras` file with a card.
        sha256: Of the weights, if they must be the ones that a plan was made with; None takes any.
        batch_size: Chips predicted at once.

    Raises:
        ModelError: It can't be read, or its weights are others.
        CardError: The card is missing or wrong.
    """
    card = read_card(path)
    if sha256 is not None and card.weights_sha256 != sha256:
        raise ModelError(
            f"{path}: expected weights {sha256[:12]}…. Received: {card.weights_sha256[:12]}…. It has changed"
        )
    return OpenVinoClassifier(path, card, batch_size)
