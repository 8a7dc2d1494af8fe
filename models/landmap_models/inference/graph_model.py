"""A TensorFlow graph inside a model file: its operations are checked, then it runs like any other network.

A graph is a program. One is run only if each of its operations, also inside the functions that it calls, is on a list
of those that compute tensors from tensors and do nothing else: no files, no network, no Python, no state, no chance.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import CardError, ModelError, UnsafeModelError
from landmap_models.inference.classifier import check_answers, noise_chips
from landmap_models.inference.once import loaded_once
from landmap_models.inference.per_pixel import Program, check_margin, check_pixel_answers
from landmap_models.inference.tensorflow import FrozenNetwork, find_device, tensorflow
from landmap_models.model_file.archive import GRAPH_MEMBER, is_graph, read_card
from landmap_models.model_file.card import ModelCard

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
"""Operations that call a function of the graph; its operations are checked, too."""
_PURE = """
Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh Cast Ceil ClipByValue Cos Cosh Div DivNoNan Elu Equal Erf
Erfc Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Inv IsFinite IsInf IsNan LeakyRelu Less LessEqual Log
Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod Mul MulNoNan Neg NotEqual Pow RealDiv Reciprocal Relu
Relu6 Rint Round Rsqrt Select SelectV2 Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference
Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddV1 Conv2D Conv2DBackpropInput DepthwiseConv2dNative
Dilation2D Einsum FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN LogSoftmax MatMul MaxPool MaxPoolV2 Softmax
All Any ArgMax ArgMin Cumprod Cumsum L2Loss Max Mean Min Prod Sum TopK TopKV2
BatchToSpaceND BroadcastArgs BroadcastTo Concat ConcatOffset ConcatV2 DepthToSpace EnsureShape ExpandDims Fill
Gather GatherNd GatherV2 InvertPermutation MirrorPad OneHot OnesLike Pack Pad PadV2 Range Rank ResizeArea
ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reshape Reverse ReverseV2 ScaleAndTranslate Shape ShapeN Size
Slice SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Tile Transpose Unpack ZerosLike
Const Identity IdentityN NoOp Placeholder PreventGradient StopGradient
"""
PURE = frozenset(_PURE.split())
"""Operations that compute tensors from tensors and do nothing else."""
INPUT, FLAGS, OUTPUT = "landmap_input", "landmap_flags", "landmap_output"
"""Names of the placeholders and of the result in the graphs that landmap writes."""


def check_operations(graph: Any, where: str) -> None:
    """Refuse a graph with an operation that is not known to be pure.

    Args:
        graph: A `GraphDef` with its library of functions, all of which are checked.
        where: The file, for the message.

    Raises:
        UnsafeModelError: There is one; the message names all of them.
    """
    functions = {function.signature.name: function for function in graph.library.function}
    foreign = sorted({node.op for node in _nodes(graph) if node.op not in PURE and node.op not in CALLS})
    if foreign:
        raise UnsafeModelError(
            f"{where}: expected operations that compute and do nothing else. Received: {', '.join(foreign)}, which may "
            "touch files, network or Python, keep state, or draw numbers by chance. Export the network for inference "
            "alone, without such steps"
        )
    missing = {node.attr["f"].func.name for node in _nodes(graph) if node.op in CALLS} - functions.keys()
    if missing:
        raise UnsafeModelError(f"{where}: calls functions that it does not hold: {', '.join(sorted(missing))}")


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


class GraphModel:
    """A checked graph as a `Classifier`, and as a `PerPixelClassifier` where its card says so; in float32.

    May be called from several threads, which take turns.
    """

    precision = "float32"

    def __init__(self, graph: bytes, card: ModelCard, batch_size: int = 256, device: str = "auto") -> None:
        """Check a graph, its form, and whether the margin of its card is wide enough.

        Args:
            graph: A serialised `GraphDef` with the names `INPUT` and `OUTPUT`, and `FLAGS` where bands may be missing.
            card: The card of the model.
            batch_size: Chips predicted at once.
            device: "auto", "cpu" or "gpu:N"; see `tensorflow.find_device`.

        Raises:
            UnsafeModelError: It has operations that may do more than compute.
            CardError: Its input or output is not what the card says, or its margin is too small.
            ModelError: It is damaged, or there is no such device.
        """
        tf = tensorflow()
        self.card, self.device, self._batch_size = card, find_device(device), batch_size
        self._graph = tf.compat.v1.GraphDef()
        try:
            self._graph.ParseFromString(graph)
        except Exception as error:  # protobuf's own kinds
            raise ModelError(f"{card.name}: its graph is damaged: {error}") from error
        check_operations(self._graph, card.name)
        self._frozen: FrozenNetwork | None = None
        self._frozen_for: tuple[Any, ...] = ()
        self._lock = Lock()
        if card.per_pixel and card.margin is not None:
            check_margin(lambda values: self.predict_pixels(values, card.input_names), card)

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance."""
        card, out = self.card, np.empty((len(chips), len(self.card.legend)), np.float32)
        if card.per_pixel:
            raise ModelError(f"{card.name}: expected a model of chips. This one answers for each pixel")
        shape = self._batch_size, card.chip_size, card.chip_size, len(card.bands)
        for start in range(0, len(chips), self._batch_size):
            batch = chips[start : start + self._batch_size]
            full = np.zeros(shape, np.float32)
            full[: len(batch)] = batch
            out[start : start + len(batch)] = self._run(full, card.band_names)[: len(batch)]
        return out

    def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """Probabilities of pixels; see `PerPixelClassifier`."""
        answers: Floats = self._run(values[None], bands)[0]
        return answers

    def _run(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        with self._lock:
            if self._frozen is None or self._frozen_for != (values.shape, bands):
                self._frozen = self._freeze(values.shape, bands)
                self._frozen_for = values.shape, bands
            return self._frozen(values)

    def _freeze(self, shape: tuple[int, ...], bands: tuple[str, ...]) -> FrozenNetwork:
        try:
            frozen = FrozenNetwork(Program(self._imported, self.card, bands), shape, self.device)
        except Exception as error:  # TensorFlow raises errors of its own for shapes that do not fit
            raise CardError(
                f"{self.card.name}: its graph can't be run on the card's input of shape {shape}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
        return frozen

    def _imported(self, values: Any, training: bool = False) -> Any:
        names = (INPUT, FLAGS) if isinstance(values, list) else (INPUT,)
        given = dict(zip(names, values if isinstance(values, list) else [values], strict=True))
        (answer,) = tensorflow().import_graph_def(self._graph, given, [f"{OUTPUT}:0"], name="")
        return answer


def check_form(model: GraphModel) -> None:
    """Try a graph on noise, and refuse answers that are no probabilities, or of another shape than its card says.

    Raises:
        CardError: It can't be run on what the card says.
        ModelError: Its answers are no probabilities of the card's classes.
    """
    if model.card.per_pixel:
        check_pixel_answers(model)
    else:
        check_answers(model.predict(noise_chips(model.card, 1)), 1, model.card)


@loaded_once(most=2)
def load_graph_model(
    path: str | Path, sha256: str | None = None, batch_size: int = 256, device: str = "auto"
) -> GraphModel:
    """Load a model file that holds a graph; the same one is loaded once a process, and anew where it was replaced.

    Args:
        path: The model file.
        sha256: Of the graph, if it must be the one that a plan was made with.
        batch_size: Chips predicted at once.
        device: "auto", "cpu" or "gpu:N"; see `GraphModel`.

    Raises:
        ModelError: It can't be read, has changed, or there is no such device.
        CardError: The card is missing or wrong.
        UnsafeModelError: The graph may do more than compute.
    """
    card = read_card(path)
    if sha256 is not None and card.weights_sha256 != sha256:
        raise ModelError(f"{path}: expected the graph {sha256[:12]}…. Received: {card.weights_sha256[:12]}…")
    if not is_graph(path):
        raise ModelError(f"{path}: expected a model file with a graph inside ({GRAPH_MEMBER})")
    with zipfile.ZipFile(path) as archive:
        return GraphModel(archive.read(GRAPH_MEMBER), card, batch_size, device)
