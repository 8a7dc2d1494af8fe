"""Model files of other formats are recognised, with advice on how to convert them to a `.keras` file.

Files are recognised by their content, since people rename them; ONNX, which has no signature, by its name.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""
LFS = b"version https://git-lfs"
"""The first bytes of the pointer that Git LFS leaves where a file was not fetched."""
MODEL_CONFIG = b"model_config"
"""Name of the HDF5 attribute that holds the layers of a network; files of weights alone lack it."""

TORCH = (
    "a file of PyTorch's, which Keras can't read. Build the same network in Keras, copy its weights layer by layer "
    "(layer.set_weights; a convolution's kernel as weight.permute(2, 3, 1, 0)) and save it as a .keras file"
)
TFLITE = (
    "a TensorFlow Lite file, which can't be turned back into layers. Take the Keras model that it was made from: "
    "model.save('model.keras')"
)
ONNX = (
    "an ONNX file, a graph that Keras can't read as layers. Where the network came from Keras, save it there: "
    "model.save('model.keras'). Else build it in Keras and copy its weights: "
    "onnx.numpy_helper.to_array(w) for w in onnx.load(file).graph.initializer"
)


def quoted(path: str | Path) -> str:
    """Quote a path for a shell where that is needed."""
    return shlex.quote(str(path))


def foreign_model(path: Path) -> str:
    """Describe a file or folder that is no `.keras` file, with advice.

    Args:
        path: A file or folder that exists and is no zip file with Keras 3's members inside.

    Returns:
        The end of a sentence that begins with "FILE: expected a .keras file; this is".
    """
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(HDF5):
        return _hdf5(path)
    if head.startswith(LFS):
        return f"what Git LFS leaves in place of a file. Fetch it: git lfs pull --include {quoted(path.name)}"
    if head[4:8] == b"TFL3":
        return TFLITE
    if _is_torch(path):
        return TORCH
    if path.suffix.lower() == ".onnx" or b"onnx" in head.lower():
        return ONNX
    return "another file" if head else "an empty file. Get it anew"


def _hdf5(path: Path) -> str:
    if MODEL_CONFIG in path.read_bytes():
        return "an HDF5 file of Keras's older format. Convert it, where you trust its origin: " + shlex.join(
            ["python", "-c", _conversion("keras", path, _keras_name(path))]
        )
    return (
        "an HDF5 file of weights without the network. Build the network in Python as it was when they were saved, then "
        f"model.load_weights({_text(path)}) and model.save('model.keras')"
    )


def _keras_name(path: Path) -> Path:
    """A name for the converted file beside the given one, which may have the ending `.keras` already."""
    name = path.with_suffix(".keras")
    return name if name != path else path.with_name(f"{path.stem}-converted.keras")


def _conversion(module: str, path: Path, output: Path) -> str:
    """Python code that writes a model in another format."""
    if path.is_file() and path.suffix.lower() not in (".h5", ".hdf5"):  # Keras knows the format by the name
        copy = f"{path}.h5"
        return f"import shutil; shutil.copy({_text(path)}, {_text(copy)}); " + _conversion(module, Path(copy), output)
    return f"import {module}; {module}.models.load_model({_text(path)}, compile=False).save({_text(output)})"


def _text(path: str | Path) -> str:
    """A path as a Python string in double quotes, so that a shell can hold it in single ones."""
    return json.dumps(str(path), ensure_ascii=False)


def _is_torch(path: Path) -> bool:
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".safetensors"):
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def _folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        packed = f'shutil.make_archive("unpacked", "zip", {_text(path)})'
        code = f'import os, shutil; os.rename({packed}, "model.keras")'
        return f"an unpacked one, a folder. Pack it: {shlex.join(['python', '-c', code])}"
    if any(path.glob("*.index")):
        return (
            "a folder of TensorFlow's checkpoints, weights without the network. Build the network in Python, "
            "model.load_weights(…) and model.save('model.keras')"
        )
    return "a folder"


def _saved_model(path: Path) -> str:
    """Advice for a SavedModel: Keras 2 stored its layers beside the graph; an export of Keras 3 has the graph alone."""
    if not (path / "keras_metadata.pb").is_file():
        return (
            "a TensorFlow SavedModel, a graph without Keras's layers, which nothing turns back into them. Save the "
            "model where it was made: model.save('model.keras'); or import the graph, to draw maps with: "
            f"landmap models import {quoted(path)} --card card.json"
        )
    name = path.resolve().name
    return (
        "a TensorFlow SavedModel of Keras 2. Convert it, where you trust its origin: pip install tf_keras, then "
        + shlex.join(["python", "-c", _conversion("tf_keras", path, Path(f"{name}.h5"))])
        + " and "
        + shlex.join(["python", "-c", _conversion("keras", Path(f"{name}.h5"), Path(f"{name}.keras"))])
    )
