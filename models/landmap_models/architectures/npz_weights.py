"""Weights are read from a NumPy archive by the names of their layers; what does not fit is refused by name."""

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
"""A function from a layer to the names of its weights in the archive, in the order of `layer.weights`."""


def read_arrays(path: str | Path) -> Arrays:
    """Read all arrays of an archive (.npz), by name.

    Raises:
        ModelError: There is no such file, or it is no archive of arrays of numbers.
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
        layers: Keras layers that are built.
        names: Function that gives the names of the weights of a layer among `arrays`.
        arrays: Weights by name, in the layouts of Keras.
        path: The archive, for messages.

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
