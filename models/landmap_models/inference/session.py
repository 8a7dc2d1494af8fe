"""A frozen graph, run by TensorFlow's C library alone: no `import tensorflow`, which takes seconds.

The library comes with TensorFlow's package; its functions (tensorflow/c/c_api.h) are those that TensorFlow keeps stable
for other languages. The same optimiser and the same kernels run as by a `tf.function`, and give the same bytes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from landmap_models.arrays import Floats

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded: its start-up notes are not ours

NAME = "libtensorflow_cc.so.2"
"""The library's file in the folder of the package. Elsewhere than on Linux it is called otherwise, or isn't there."""
FLOAT = 1
"""TensorFlow's number for float32."""
WITHOUT_GPU = b"\x0a\x07\x0a\x03GPU\x10\x00"
"""A ConfigProto with `device_count: {"GPU": 0}`: a session would take a GPU's memory otherwise."""
NOTE = re.compile(
    rb"[IWEF]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] |WARNING: All log messages before"
)
"""How a line of TensorFlow's log begins."""

_lock = threading.RLock()
_Pointer, _Text = ctypes.c_void_p, ctypes.c_char_p


class _Output(ctypes.Structure):
    """One of the outputs of an operation, `TF_Output`."""

    _fields_ = (("operation", _Pointer), ("index", ctypes.c_int))


_Sizes, _Outputs, _Pointers = (ctypes.POINTER(kind) for kind in (ctypes.c_int64, _Output, _Pointer))
_RUN = (_Pointer, _Pointer, _Outputs, _Pointers, ctypes.c_int, _Outputs, _Pointers, ctypes.c_int)
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "TF_Version": (_Text,),
    "TF_NewStatus": (_Pointer,),
    "TF_DeleteStatus": (None, _Pointer),
    "TF_GetCode": (ctypes.c_int, _Pointer),
    "TF_Message": (_Text, _Pointer),
    "TF_NewGraph": (_Pointer,),
    "TF_DeleteGraph": (None, _Pointer),
    "TF_NewOperation": (_Pointer, _Pointer, _Text, _Text),
    "TF_SetAttrType": (None, _Pointer, _Text, ctypes.c_int),
    "TF_SetAttrShape": (None, _Pointer, _Text, _Sizes, ctypes.c_int),
    "TF_AddInput": (None, _Pointer, _Output),
    "TF_FinishOperation": (_Pointer, _Pointer, _Pointer),
    "TF_NewBufferFromString": (_Pointer, _Text, ctypes.c_size_t),
    "TF_DeleteBuffer": (None, _Pointer),
    "TF_NewImportGraphDefOptions": (_Pointer,),
    "TF_DeleteImportGraphDefOptions": (None, _Pointer),
    "TF_ImportGraphDefOptionsAddInputMapping": (None, _Pointer, _Text, ctypes.c_int, _Output),
    "TF_GraphImportGraphDef": (None, _Pointer, _Pointer, _Pointer, _Pointer),
    "TF_GraphOperationByName": (_Pointer, _Pointer, _Text),
    "TF_NewSessionOptions": (_Pointer,),
    "TF_SetConfig": (None, _Pointer, _Text, ctypes.c_size_t, _Pointer),
    "TF_DeleteSessionOptions": (None, _Pointer),
    "TF_NewSession": (_Pointer, _Pointer, _Pointer, _Pointer),
    "TF_DeleteSession": (None, _Pointer, _Pointer),
    "TF_SessionRun": (None, *_RUN, _Pointers, ctypes.c_int, _Pointer, _Pointer),
    "TF_AllocateTensor": (_Pointer, ctypes.c_int, _Sizes, ctypes.c_int, ctypes.c_size_t),
    "TF_DeleteTensor": (None, _Pointer),
    "TF_TensorData": (_Pointer, _Pointer),
    "TF_NumDims": (ctypes.c_int, _Pointer),
    "TF_Dim": (ctypes.c_int64, _Pointer, ctypes.c_int),
}
"""The functions that are used: what each returns, and what it takes."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A network whose weights are constants."""

    content: bytes
    """A serialised `GraphDef`."""
    input: str
    """Name of the operation that is the input."""
    output: str
    """Name of the operation whose first output is the answer."""


def c_library() -> Any:
    """TensorFlow's C library, loaded; None where there is none, as elsewhere than on Linux."""
    with _lock:
        return _load()


def load_in_background() -> None:
    """Load the library in a thread, which takes half a second in which Python can go on.

    Where OpenVINO is installed nothing is loaded, as that may be what computes.
    """
    if importlib.util.find_spec("openvino") is not None:
        return
    threading.Thread(target=c_library, daemon=True).start()


def package_folder() -> Path | None:
    """The folder of TensorFlow's package, which is not imported; None where it isn't installed."""
    try:
        found = importlib.util.find_spec("tensorflow")
    except ValueError:  # something else than a module of this name was imported
        return None
    return Path(found.origin).parent if found and found.origin else None


@lru_cache(maxsize=1)
def _load() -> Any:
    folder = package_folder()
    if sys.platform != "linux" or folder is None or not (folder / NAME).is_file():
        return None
    try:
        with notes_held():
            found = ctypes.CDLL(str(folder / NAME))
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return found


@contextmanager
def notes_held() -> Iterator[None]:
    """Hold back TensorFlow's notes, which it writes before its own log level applies.

    Only what C code writes to its `stderr` is held, so that Python's threads may print meanwhile; what is not of
    TensorFlow's log is written afterwards. This is for Linux with the GNU C library, which TensorFlow's package needs.
    """
    c = ctypes.CDLL(None)
    own, stream = _stand_in(), _Pointer.in_dll(c, "stderr")
    file = c.fileno(own)
    with _lock, tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), file)
        kept, stream.value = stream.value, own.value
        try:
            yield
        finally:
            stream.value = kept
            os.dup2(2, file)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not NOTE.match(line)))


@lru_cache(maxsize=1)
def _stand_in() -> Any:
    """A stream of C's that stands for its `stderr`. It is never closed: a library may remember it for ever."""
    c = ctypes.CDLL(None)
    c.fdopen.restype = _Pointer
    stream = _Pointer(c.fdopen(os.dup(2), b"w"))
    unbuffered = 2  # _IONBF
    c.setvbuf(stream, None, unbuffered, ctypes.c_size_t(0))
    return stream


class Session:
    """Runs a frozen graph on the processor, for arrays of one shape. May be called from several threads."""

    def __init__(self, graph: Graph, shape: tuple[int, ...]) -> None:
        """Take in a graph.

        Args:
            graph: The graph; TensorFlow optimises it when it first runs.
            shape: Of its input, the batch included, of which the optimiser may make use.

        Raises:
            RuntimeError: TensorFlow can't take it.
        """
        self.shape = shape
        self._c = c = c_library()
        made = c.TF_NewGraph()
        fed = self._operation(made, b"Placeholder", b"landmap/fed", b"dtype")
        # The optimiser takes a fed value's shape for unknown, whatever its placeholder says, and this one's for known.
        shaped = self._operation(made, b"EnsureShape", b"landmap/shaped", b"T", fed)
        self._import(made, graph, shaped)
        self._fed = (_Output * 1)(_Output(fed, 0))
        self._wanted = (_Output * 1)(_Output(c.TF_GraphOperationByName(made, graph.output.encode()), 0))
        self._session = self._open(made)
        weakref.finalize(self, _delete, c, self._session, made).atexit = False  # the process's memory goes as a whole

    def __call__(self, values: Floats) -> Floats:
        """The network's output for `values` of the fixed shape, float32.

        Raises:
            ValueError: They have another shape.
            RuntimeError: TensorFlow fails, as where memory runs out.
        """
        if values.shape != self.shape:
            raise ValueError(f"Expected values of shape {self.shape}. Received: {values.shape}")
        given, got = (_Pointer * 1)(self._tensor(values)), (_Pointer * 1)()
        try:
            with _status(self._c) as status:
                none = None, 0, None
                self._c.TF_SessionRun(self._session, None, self._fed, given, 1, self._wanted, got, 1, *none, status)
            return self._array(got[0])
        finally:
            for tensor in (given[0], got[0]):
                if tensor:
                    self._c.TF_DeleteTensor(tensor)

    def _operation(self, graph: int, kind: bytes, name: bytes, type_name: bytes, source: int | None = None) -> int:
        """Add an operation of one float32 output of the session's shape."""
        description = self._c.TF_NewOperation(graph, kind, name)
        if source is not None:
            self._c.TF_AddInput(description, _Output(source, 0))
        self._c.TF_SetAttrType(description, type_name, FLOAT)
        self._c.TF_SetAttrShape(description, b"shape", self._sizes, len(self.shape))
        with _status(self._c) as status:
            return int(self._c.TF_FinishOperation(description, status))

    def _import(self, made: int, graph: Graph, source: int) -> None:
        options = self._c.TF_NewImportGraphDefOptions()
        self._c.TF_ImportGraphDefOptionsAddInputMapping(options, graph.input.encode(), 0, _Output(source, 0))
        buffer = self._c.TF_NewBufferFromString(graph.content, len(graph.content))
        try:
            with _status(self._c) as status:
                self._c.TF_GraphImportGraphDef(made, buffer, options, status)
        finally:
            self._c.TF_DeleteBuffer(buffer)
            self._c.TF_DeleteImportGraphDefOptions(options)

    def _open(self, made: int) -> int:
        options = self._c.TF_NewSessionOptions()
        try:
            with _status(self._c) as status:
                self._c.TF_SetConfig(options, WITHOUT_GPU, len(WITHOUT_GPU), status)
            with notes_held(), _status(self._c) as status:
                return int(self._c.TF_NewSession(made, options, status))
        finally:
            self._c.TF_DeleteSessionOptions(options)

    @property
    def _sizes(self) -> Any:
        return (ctypes.c_int64 * len(self.shape))(*self.shape)

    def _tensor(self, values: Floats) -> int:
        given = np.ascontiguousarray(values, np.float32)
        made = self._c.TF_AllocateTensor(FLOAT, self._sizes, len(self.shape), given.nbytes)
        ctypes.memmove(self._c.TF_TensorData(made), given.ctypes.data, given.nbytes)
        return int(made)

    def _array(self, tensor: int | None) -> Floats:
        shape = [self._c.TF_Dim(tensor, axis) for axis in range(self._c.TF_NumDims(tensor))]
        found = np.empty(shape, np.float32)
        ctypes.memmove(found.ctypes.data, self._c.TF_TensorData(tensor), found.nbytes)
        return found


@contextmanager
def _status(c: Any) -> Iterator[int]:
    """A status that functions write their error to, which is raised at the end."""
    made = c.TF_NewStatus()
    try:
        yield made
        if c.TF_GetCode(made):
            raise RuntimeError(f"TensorFlow: {c.TF_Message(made).decode(errors='replace')}")
    finally:
        c.TF_DeleteStatus(made)


def _delete(c: Any, session: int, graph: int) -> None:
    status = c.TF_NewStatus()
    c.TF_DeleteSession(session, status)
    c.TF_DeleteStatus(status)
    c.TF_DeleteGraph(graph)
