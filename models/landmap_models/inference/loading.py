"""A Keras model in a file is loaded, if it is nothing but Keras's own layers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from landmap_models.errors import ModelError, UnsafeModelError
from landmap_models.inference.tensorflow import tensorflow
from landmap_models.model_file.archive import is_graph, read_config, read_further
from landmap_models.model_file.chips import ChipPart
from landmap_models.model_file.pixels import PixelPart


def load_model(path: str | Path) -> Any:
    """The `keras.Model` in a file, loaded in safe mode.

    Raises:
        UnsafeModelError: It holds a Lambda layer, or anything that is not Keras's own.
        ModelError: Keras can't read it.
    """
    if is_graph(path):
        raise ModelError(f"{path}: expected a Keras model. This one is an imported TensorFlow graph, for maps alone")
    _refuse_code(Path(path))
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        tensorflow()  # quietly
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises ValueError, TypeError, KeyError and more for files it can't read
        raise ModelError(f"{path}: Keras can't load it: {' '.join(str(error).split())[:300]}") from error


def load_further(path: str | Path, part: PixelPart | ChipPart) -> Any:
    """A further `keras.Model` inside a model file, loaded in safe mode.

    Args:
        path: The model file.
        part: What its card says of the network.

    Raises:
        ModelError: The file holds no such network, another one than its card says, or Keras can't read it.
        UnsafeModelError: It holds code.
    """
    content = read_further(path, part)
    with tempfile.TemporaryDirectory(prefix="landmap-") as folder:  # Keras reads files only
        file = Path(folder, "further.keras")
        file.write_bytes(content)
        return load_model(file)


def _refuse_code(path: Path) -> None:
    """Look at the configuration before Keras does.

    Safe mode allows a Lambda layer of a known function, and imports the modules that the configuration names.
    """
    # Keras itself drops the outermost compile_config when it loads with compile=False: a loss of one's own is no harm.
    waiting: list[Any] = [read_config(path) | {"compile_config": None}]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            _refuse_object(path, node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _refuse_object(path: Path, node: dict[str, Any]) -> None:
    if "class_name" not in node:
        return
    kind, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    if kind in ("Lambda", "__lambda__"):
        raise UnsafeModelError(
            f"{path}: holds a Lambda layer, which is code that would run on loading. Replace it by built-in layers"
        )
    of_keras = module is None or f"{module}.".startswith("keras.")
    if not of_keras or registered not in (None, kind):  # Keras registers its own by their plain names
        raise UnsafeModelError(
            f"{path}: expected Keras's own layers only. Received: {kind!r} of module {module!r}, registered as "
            f"{registered!r}, which is code of its own. Replace it by built-in layers"
        )
