"""What is given in place of a `.keras` file, and the lines that convert it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.errors import ModelError
from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import weights_sha256
from landmap_models.model_file.foreign_models import HDF5
from landmap_models.model_file.packaged import find_model


def refusal(path: Path) -> str:
    """What is said where the model is looked for and read."""
    with pytest.raises(ModelError) as caught:
        weights_sha256(find_model(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def obey(text: str, folder: Path) -> None:
    """Run the lines of Python in an error, as a shell does."""
    lines = re.findall(r"python -c '[^']*'", text)
    assert lines
    for line in lines:
        _, *arguments = shlex.split(line)
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)


def torch_file() -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite file"),
        ("m.onnx", b"\x08\x08\x12\x07pytorch", "an ONNX file"),
        ("m.pt", torch_file(), "a file of PyTorch's"),
        ("renamed.keras", torch_file(), "a file of PyTorch's"),
        ("renamed.keras", b"\x08\x07\x12\x09tf2onnx", "an ONNX file"),
        ("weights.h5", HDF5 + b"layers", "weights without the network.*load_weights"),
        ("m.keras", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull --include m.keras"),
        ("m.keras", b"", "an empty file"),
        ("scene.tif", b"II*\0", "another file"),
    ],
)
def test_each_kind_is_named(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert re.search(rf"{name}: expected a .keras file.*{words}", refusal(tmp_path / name))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.keras").touch()
    assert re.search(
        r"other\.keras: no such file, but mine\.keras\. Packaged models", refusal(tmp_path / "other.keras")
    )


@pytest.mark.parametrize("name", ["old model.h5", "misnamed.keras"])
def test_older_keras_files_are_converted_by_the_line_that_is_told(
    name: str, judge: Callable[..., Any], tmp_path: Path
) -> None:
    network = judge()
    network.save(tmp_path / "old.h5")
    (tmp_path / "old.h5").rename(tmp_path / name)
    obey(refusal(tmp_path / name), tmp_path)
    (made,) = (path for path in tmp_path.glob("*.keras") if path.name != name)
    for one, other in zip(load_model(made).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_folders_are_told_apart(judge: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "this is a folder" in refusal(tmp_path / "empty")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert "graph without Keras's layers" in refusal(tmp_path / "saved")
    (tmp_path / "saved" / "keras_metadata.pb").touch()
    assert re.search(r"pip install tf_keras, then python -c 'import tf_keras;.*\.h5", refusal(tmp_path / "saved"))
    judge().save(tmp_path / "m.keras")
    zipfile.ZipFile(tmp_path / "m.keras").extractall(tmp_path / "unpacked m")
    (tmp_path / "m.keras").unlink()
    obey(refusal(tmp_path / "unpacked m"), tmp_path)
    assert load_model(tmp_path / "model.keras").output_shape == (None, 3)
