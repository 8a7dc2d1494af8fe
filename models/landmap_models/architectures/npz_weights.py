"""Weights from a NumPy archive, each by the name of its layer; whatever doesn't fit is refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.errors import ModelError

Arrays = dict[str, npt.NDArray[np.floating[Any]]]
Names = Callable[[Any], list[str]]
"""From a layer to the names of its weights in the archive, in the order of `layer.weights`."""


def read_arrays(path: str | Path) -> Arrays:
    """All arrays of an archive (.npz).

    Raises:
        ModelError: It is not there, or not an archive of plain arrays.
    """
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: expected a NumPy archive (.npz) of weights. There is no such file, or it is no archive"
        )
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: expected a NumPy archive (.npz) of plain arrays. {error}") from error


def fill(layers: Iterable[Any], names: Names, arrays: Arrays, path: str | Path) -> None:
    """Set the weights of all `layers` from `arrays`.

    Args:
        layers: Built Keras layers.
        names: The names of a layer's weights among `arrays`.
        arrays: In Keras's layouts.
        path: Where they come from, for messages.

    Raises:
        ModelError: An array is missing, of another shape than its layer's weight, or left over.
    """
    taken: set[str] = set()
    for layer in layers:
        wanted = dict(zip(names(layer), layer.weights, strict=True))
        layer.set_weights([_fitting(arrays, name, tuple(weight.shape), path) for name, weight in wanted.items()])
        taken.update(wanted)
    if left := sorted(arrays.keys() - taken):
        raise ModelError(f"{path}: holds {len(left)} arrays that no layer takes, such as {', '.join(left[:3])}")


def _fitting(arrays: Arrays, name: str, shape: tuple[int, ...], path: str | Path) -> npt.NDArray[np.floating[Any]]:
    if name not in arrays:
        raise ModelError(f"{path}: expected an array {name} of shape {shape}. It is missing")
    if arrays[name].shape != shape:
        raise ModelError(f"{path}: expected {name} of shape {shape}. Received: {arrays[name].shape}")
    return arrays[name]
