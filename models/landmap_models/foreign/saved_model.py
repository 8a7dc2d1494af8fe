"""A TensorFlow SavedModel becomes a model file, if its program does nothing but compute.

The program is read and not run: of it only the function of the signature is kept, with the functions that this calls,
and only if all of their operations are on a list of pure ones (`landmap_models.inference.graph_model`). Its variables
are read from the checkpoint beside it and become constants; the operations by which TensorFlow would restore and save
them are left out, like everything else that the function does not call.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from landmap_models.errors import ModelError
from landmap_models.inference.graph_model import (
    CALLS,
    FLAGS,
    INPUT,
    OUTPUT,
    GraphModel,
    check_form,
    check_operations,
)
from landmap_models.inference.tensorflow import protobuf, tensorflow
from landmap_models.model_file.archive import write_graph
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import user_folder

Array = npt.NDArray[Any]
IGNORED = ("DisableCopyOnRead",)
"""Operations about variables without a result, which mean nothing once these are constants."""
RESTORED = "VARIABLE_VALUE"
"""Name by which checkpoints know a variable's value."""


def import_saved_model(
    folder: str | Path,
    card: ModelCard,
    *,
    signature: str = "serving_default",
    softmax: bool = False,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a SavedModel as a model file.

    Args:
        folder: Folder of the SavedModel, with `saved_model.pb` and `variables/`.
        card: What the model takes and answers; its `weights_sha256` is set.
        signature: Name of the signature whose function is taken.
        softmax: Whether it answers with logits, and a softmax is added.
        output: The file to write; None: the user's folder of models, by the card's name.
        overwrite: Replace the file if it is there.

    Returns:
        The model file.

    Raises:
        UnsafeModelError: An operation may do more than compute; the message names all of them.
        ModelError: There is no such SavedModel or signature, it needs what is not supported, or the file is there.
        CardError: Input or output are not what the card says, or its margin is too small.
    """
    path = Path(output) if output is not None else user_folder() / f"{_file_name(card.name)}.keras"
    if path.exists() and not overwrite:
        raise ModelError(f"{path}: is there already. Replace it with --overwrite, or choose another name with -o")
    graph = _frozen(Path(folder), signature, with_flags=bool(card.optional), softmax=softmax)
    check_form(GraphModel(graph, card))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(path, graph, card)
    return path


def _file_name(name: str) -> str:
    if name.startswith(".") or any(sign in name for sign in "/\\:"):
        raise ModelError(f"{name!r}: expected a name that a file can have. Change the card's name, or give -o FILE")
    return name


@dataclass(frozen=True, slots=True)
class _Called:
    """What a signature calls."""

    function: str
    """Name of the function."""
    inputs: tuple[str, ...]
    """Names of the signature's own inputs, in the order of the function's arguments."""
    result: int
    """Which of the function's results is the signature's output."""


def _frozen(folder: Path, signature: str, *, with_flags: bool, softmax: bool) -> bytes:
    """The graph of a signature, checked, with constants for variables."""
    graph = _meta_graph(folder)
    if graph.asset_file_def:
        raise ModelError(f"{folder}: expected a SavedModel without asset files (tables, vocabularies): it has some")
    called = _called(graph, signature, folder)
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    kept = _reached(functions, called.function, folder)
    checked = tensorflow().compat.v1.GraphDef()
    checked.library.function.extend(_without_reading(function) for function in kept.values())
    check_operations(checked, str(folder))
    values = _captured(graph, called, folder)
    return _assembled(kept, called, values, folder, with_flags=with_flags, softmax=softmax)


def _meta_graph(folder: Path) -> Any:
    """The part of a SavedModel that is for serving."""
    saved_model_pb2 = protobuf("protobuf.saved_model_pb2")
    file = folder / "saved_model.pb"
    found = saved_model_pb2.SavedModel()
    try:
        found.ParseFromString(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file}: can't be read ({error.strerror}). Expected the folder of a SavedModel") from error
    except Exception as error:  # protobuf's own kinds
        raise ModelError(f"{file}: expected a SavedModel: {error}") from error
    for graph in found.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return graph
    raise ModelError(f"{folder}: expected a SavedModel with a graph for serving (tag 'serve')")


def _called(graph: Any, signature: str, folder: Path) -> _Called:
    """The function of a signature of one output."""
    names = [name for name in graph.signature_def if not name.startswith("__")]
    if signature not in names:
        raise ModelError(f"{folder}: there is no signature {signature!r}. There are: {', '.join(sorted(names))}")
    described = graph.signature_def[signature]
    if len(described.outputs) != 1:
        raise ModelError(f"{folder}: expected one output. Received: {', '.join(sorted(described.outputs))}")
    (answer,) = described.outputs.values()
    name, _, place = answer.name.partition(":")
    nodes = {node.name: node for node in graph.graph_def.node}
    node = nodes.get(name)
    if node is None or node.op not in CALLS:
        raise ModelError(f"{folder}: expected a SavedModel that TensorFlow 2 wrote, whose signatures call functions")
    own = {tensor.name.partition(":")[0] for tensor in described.inputs.values()}
    given = [text.partition(":")[0] for text in node.input if not text.startswith("^")]
    inputs = tuple(text for text in given if text in own)
    if given[: len(inputs)] != list(inputs) or len(inputs) != len(own):
        raise ModelError(f"{folder}: expected a function that takes the signature's inputs first, then its variables")
    return _Called(node.attr["f"].func.name, inputs, int(place or 0))


def _reached(functions: Mapping[str, Any], first: str, folder: Path) -> dict[str, Any]:
    """The functions that one calls, itself and those that these call included."""
    found: dict[str, Any] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in functions:
            raise ModelError(f"{folder}: calls a function {name!r} that it does not hold")
        found[name] = functions[name]
        waiting += [node.attr["f"].func.name for node in functions[name].node_def if node.op in CALLS]
    return found


def _without_reading(function: Any) -> Any:
    """A copy of a function without the operations that read variables, for which constants will stand."""
    made = copy.deepcopy(function)
    del made.node_def[:]
    made.node_def.extend(n for n in function.node_def if n.op not in ("ReadVariableOp", *IGNORED))
    return made


def _captured(graph: Any, called: _Called, folder: Path) -> list[Array]:
    """Values of the variables that a function takes behind the signature's inputs, in order."""
    objects = graph.object_graph_def
    if called.function not in objects.concrete_functions:
        raise ModelError(f"{folder}: expected to find the variables of {called.function}. Export it with TensorFlow 2")
    checkpoint, keys = _checkpoint(folder, objects)
    values = []
    for number in objects.concrete_functions[called.function].bound_inputs:
        if objects.nodes[number].WhichOneof("kind") != "variable" or number not in keys:
            raise ModelError(
                f"{folder}: expected that its function takes variables only, of which the values are there"
            )
        values.append(checkpoint.get_tensor(keys[number]))
    if any(value.dtype.kind not in "fiub" for value in values):
        raise ModelError(f"{folder}: expected variables that hold numbers")
    return values


def _checkpoint(folder: Path, objects: Any) -> tuple[Any, dict[int, str]]:
    """The checkpoint, and the key there of each variable by its number among the SavedModel's objects.

    Both list objects with their children by name; what has the same path of names from the root is the same object.
    """
    stored = protobuf("protobuf.trackable_object_graph_pb2").TrackableObjectGraph()
    try:
        checkpoint = tensorflow().train.load_checkpoint(str(folder / "variables" / "variables"))
        stored.ParseFromString(checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except Exception as error:  # TensorFlow raises errors of its own for files it can't read
        raise ModelError(f"{folder}: can't read its variables: {' '.join(str(error).split())[:200]}") from error
    keys, seen, waiting = dict[int, str](), set[int](), [(0, 0)]
    while waiting:
        number, other = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        for attribute in stored.nodes[other].attributes:
            if attribute.name == RESTORED:
                keys[number] = attribute.checkpoint_key
        there = {child.local_name: child.node_id for child in stored.nodes[other].children}
        waiting += [(c.node_id, there[c.local_name]) for c in objects.nodes[number].children if c.local_name in there]
    return checkpoint, keys


def _assembled(
    functions: Mapping[str, Any],
    called: _Called,
    values: Sequence[Array],
    folder: Path,
    *,
    with_flags: bool,
    softmax: bool,
) -> bytes:
    """A graph that calls a function with constants for its variables."""
    tf = tensorflow()
    types_pb2 = protobuf("framework.types_pb2")
    wanted = [INPUT, FLAGS] if with_flags else [INPUT]
    if len(called.inputs) != len(wanted):
        raise ModelError(f"{folder}: expected {len(wanted)} inputs. Received: {', '.join(called.inputs)}")
    arguments = functions[called.function].signature.input_arg
    if any(arguments[i].type != types_pb2.DT_FLOAT for i in range(len(wanted))):
        raise ModelError(f"{folder}: expected inputs of 32-bit floats")
    if len(arguments) != len(wanted) + len(values):
        raise ModelError(f"{folder}: its function takes {len(arguments)} values, of which {len(values)} are variables")
    graph = tf.compat.v1.GraphDef()
    for name in wanted:
        node = graph.node.add(name=name, op="Placeholder")
        node.attr["dtype"].type = types_pb2.DT_FLOAT
        node.attr["shape"].shape.unknown_rank = True
    for place, value in enumerate(values):
        node = graph.node.add(name=f"variable_{place}", op="Const")
        node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    types = [argument.type for argument in arguments[: len(wanted)]]
    types += [tf.as_dtype(value.dtype).as_datatype_enum for value in values]
    names = _Specialised(functions)
    call = graph.node.add(name="call", op="PartitionedCall")
    call.input.extend([*wanted, *(f"variable_{place}" for place in range(len(values)))])
    _set_call(call, names.of(called.function, tuple(types)), types, functions[called.function])
    last = graph.node.add(name=OUTPUT, op="Softmax" if softmax else "Identity", input=[f"call:{called.result}"])
    last.attr["T"].type = functions[called.function].signature.output_arg[called.result].type
    graph.library.function.extend(names.made.values())
    graph.versions.producer = tf.compat.v1.get_default_graph().as_graph_def().versions.producer
    check_operations(graph, str(folder))
    return bytes(graph.SerializeToString(deterministic=True))


def _set_call(node: Any, name: str, types: Sequence[int], function: Any) -> None:
    """Let a node call a function with arguments of these types."""
    node.op = "PartitionedCall"
    node.attr["f"].func.Clear()
    node.attr["f"].func.name = name
    node.attr["Tin"].list.Clear()
    node.attr["Tin"].list.type.extend(types)
    node.attr["Tout"].list.Clear()
    node.attr["Tout"].list.type.extend(result.type for result in function.signature.output_arg)


class _Specialised:
    """Copies of functions that take the values of variables in place of the variables."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._names: dict[tuple[str, tuple[int, ...]], str] = {}
        self.made: dict[str, Any] = {}
        """The copies by name."""

    def of(self, name: str, types: tuple[int, ...]) -> str:
        """The name of the copy that takes arguments of these types; it is made where there is none yet."""
        if (name, types) not in self._names:
            made = self._names[name, types] = f"landmap_function_{len(self._names)}"
            self.made[made] = self._copy(self._functions[name], made, types)
        return self._names[name, types]

    def _copy(self, function: Any, name: str, types: tuple[int, ...]) -> Any:
        made = type(function)()
        made.signature.name = name
        made.signature.input_arg.extend(function.signature.input_arg)
        made.signature.output_arg.extend(function.signature.output_arg)
        known = {}
        for argument, kind in zip(made.signature.input_arg, types, strict=True):
            argument.type = kind
            del argument.handle_data[:]
            known[argument.name] = kind
        read = {node.name for node in function.node_def if node.op == "ReadVariableOp"}
        gone = {node.name for node in function.node_def if node.op in IGNORED}
        for node in function.node_def:
            if node.op not in IGNORED:
                made.node_def.append(self._node(node, known, read, gone))
        for result, source in function.ret.items():
            made.ret[result] = _renamed(source, read)
        return made

    def _node(self, node: Any, known: Mapping[str, int], read: set[str], gone: set[str]) -> Any:
        made = type(node)(name=node.name, op=node.op)
        made.input.extend(_renamed(text, read) for text in node.input if text.lstrip("^") not in gone)
        for key, value in node.attr.items():
            if not key.startswith("_"):  # notes to TensorFlow about places and shapes, which no longer hold
                made.attr[key].CopyFrom(value)
        if node.op == "ReadVariableOp":
            made.op = "Identity"
            made.attr.clear()
            made.attr["T"].type = known.get(node.input[0], node.attr["dtype"].type)
        elif node.op in CALLS:
            called = node.attr["f"].func.name
            given = [text for text in node.input if not text.startswith("^")]
            types = [known.get(text, kind) for text, kind in zip(given, node.attr["Tin"].list.type, strict=True)]
            made.attr.clear()
            _set_call(made, self.of(called, tuple(types)), types, self._functions[called])
        return made


def _renamed(text: str, read: set[str]) -> str:
    """A reference to a result of a node, where nodes that read variables became others with another name for theirs."""
    name, _, rest = text.partition(":")
    return f"{name}:output:0" if name in read and rest else text
