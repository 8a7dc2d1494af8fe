"""A Keras network as a frozen TensorFlow graph of one fixed input shape, on the device chosen.

What a training needs is gone: batch normalisation is folded into the layers before it, and weights are constants, so
that TensorFlow fuses what it can and lays weights out as its kernels want them, once. A graph has one input shape:
nothing is traced twice, and the same kernels run for every chunk, so that a window has the same result to the last bit
wherever a chunk holds it.

On the processor TensorFlow's C library runs the graph (`session`), which can be kept for the next process (`graphs`).
Its optimiser and its kernels are those of the function that runs elsewhere, and give the same bytes.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.graphs import Graphs
from landmap_models.inference.session import Graph, Session, c_library, package_folder

os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@contextmanager
def quietly() -> Iterator[None]:
    """Hold back what C++ code writes to stderr while TensorFlow is imported, finds its devices, or freezes a graph.

    TensorFlow 2.21 logs there before its own log level applies ("Could not find cuda drivers" on every machine without
    a GPU), and a user would take that for errors of his map. If that fails, everything is shown.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile: an import makes many objects, and hardly one that can go."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


Precision = Literal["float32", "bfloat16", "float16", "bfloat16-chips", "float16-chips"]
"""Number format in which networks compute; "-chips": only the one for chips, and the one for pixels in float32."""
POLICIES: dict[Precision, str] = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
    "bfloat16-chips": "mixed_bfloat16",
    "float16-chips": "mixed_float16",
}
"""Keras's dtype policies: all but float32 convert float32 weights where they are used."""
CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""Words by which Linux names instructions for bfloat16, of x86 and Arm,"""
CPU_INFO = Path("/proc/cpuinfo")
"""in this file."""


Shape = tuple[int | None, ...]
CPU = "/CPU:0"
"""TensorFlow's name of the processor."""
GPU_FILES = ("nvidia*", "nvhost*", "dxg", "kfd")
"""Files in /dev of which a driver of a GPU makes at least one: of Nvidia, of Nvidia's boards, of Windows, of AMD."""


def frozen_network(
    prepare: Callable[[Shape], Any], shape: tuple[int, ...], device: str, graphs: Graphs, name: str, *, any_size: bool
) -> Callable[[Floats], Floats]:
    """A network that answers to arrays of one shape, and may be called from several threads.

    Args:
        prepare: Makes the `keras.Model`, for inputs of a shape; it is called where no graph is kept.
        shape: Of the input, the batch included.
        device: TensorFlow's name of one of `devices()`.
        graphs: Where graphs of this model are kept.
        name: What tells this graph from the others, but for its shape if it is for any size.
        any_size: Whether height and width are left open in the graph that is kept.
    """
    if device != CPU or c_library() is None:
        return FrozenNetwork(prepare(shape), shape, device)
    open_shape = (shape[0], None, None, *shape[3:]) if any_size else shape
    return Session(graphs.get(name, lambda: _graph_of(_freeze(prepare(open_shape), open_shape, device))), shape)


class FrozenNetwork:
    """Answers to arrays of one shape, by a function of TensorFlow's. May be called from several threads."""

    def __init__(self, network: Any, shape: tuple[int, ...], device: str) -> None:
        """Trace and freeze a network.

        Args:
            network: A `keras.Model` on TensorFlow, built anew for this; its layers are not shared.
            shape: Of its input, the batch included.
            device: TensorFlow's name of one of `devices()`.
        """
        self.shape, self._device = shape, device
        self._tf = tensorflow()
        self._run = _freeze(network, shape, device)

    def __call__(self, values: Floats) -> Floats:
        """The network's output for `values` of the fixed shape, float32.

        Raises:
            ValueError: They have another shape.
        """
        if values.shape != self.shape:
            raise ValueError(f"Expected values of shape {self.shape}. Received: {values.shape}")
        with self._tf.device(self._device):
            (answer,) = self._run(self._tf.constant(values))
        answers: Floats = answer.numpy()
        return answers


def _freeze(network: Any, shape: Shape, device: str) -> Any:
    """The network as a concrete function whose weights are constants."""
    tf = tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with quietly(), tf.device(device):
        traced = tf.function(lambda values: network(values, training=False)).get_concrete_function(
            tf.TensorSpec(shape, tf.float32)
        )
        return convert_variables_to_constants_v2(traced)


def _graph_of(function: Any) -> Graph:
    (given,), (answer,) = function.inputs, function.outputs
    return Graph(function.graph.as_graph_def().SerializeToString(), given.op.name, answer.op.name)


@lru_cache(maxsize=1)
def tensorflow() -> Any:
    """TensorFlow, imported and with its devices found.

    GPUs give memory as it is needed: other processes, and Dask's other workers, may want some, too.
    """
    with quietly(), _without_collections():
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.list_logical_devices()
    return tf


def protobuf(name: str) -> Any:
    """A module of TensorFlow's messages, such as "protobuf.saved_model_pb2", by which its own files are read."""
    tensorflow()  # quietly
    return import_module(f"tensorflow.core.{name}")


def find_device(wanted: str) -> str:
    """TensorFlow's name of the device to compute on, such as `/CPU:0`.

    Args:
        wanted: "auto": the first GPU, or the processor where there is none. "cpu", or "gpu:N" counted from 0.

    Raises:
        ModelError: There is no such device.
    """
    if wanted == "cpu" or (wanted == "auto" and not may_have_gpu()):
        return CPU
    gpus = [device.name for device in tensorflow().config.list_logical_devices("GPU")]
    if wanted == "auto" and not gpus:
        return CPU
    number = 0 if wanted == "auto" else int(wanted.removeprefix("gpu:"))
    if number >= len(gpus):
        raise ModelError(
            f"device {wanted}: TensorFlow finds {len(gpus)} GPUs here. Give --device cpu, or install landmap[gpu] and "
            "a driver"
        )
    return f"/GPU:{number}"


def may_have_gpu() -> bool:
    """Whether TensorFlow must be asked, which takes seconds: there is a driver, or TensorFlow has a plug-in."""
    folder = package_folder()
    plugins = folder.parent / "tensorflow-plugins" if folder else Path()
    return sys.platform != "linux" or plugins.is_dir() or any(any(Path("/dev").glob(name)) for name in GPU_FILES)


def fast_precision(device: str) -> Precision:
    """What computes fastest on a device: float16 on GPUs, bfloat16 on processors with instructions for it."""
    if device.startswith("/GPU"):
        return "float16"
    return "bfloat16" if _has_bfloat16() else "float32"


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    """Whether the processor says so; where it can't be asked (Linux only), float32 is never wrong."""
    try:
        words = re.split(r"\s+", CPU_INFO.read_text())
    except OSError:
        return False
    return not set(words).isdisjoint(CPU_FLAGS)
