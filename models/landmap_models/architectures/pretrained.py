"""The base of a network of `keras.applications`, with the weights that were chosen."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from landmap_models.architectures.application_table import Application
from landmap_models.architectures.npz_weights import fill, read_arrays
from landmap_models.architectures.picture import IMAGENET_STD
from landmap_models.errors import ModelError

Tensor = Any

_LOG = logging.getLogger(__name__)

MOBILENET_CUT = "conv_pw_12_relu"
"""Layer at which MobileNet ends if its weights lack the kernel of the convolution after it, `conv_pw_13`."""
AFTER_CUT = ("conv_pw_13", "conv_dw_13", "conv_preds")
"""Beginnings of the names of MobileNet's layers after that."""


def base_features(application: Application, picture: Tensor, weights: str) -> Tensor:
    """Build the convolutional part of an application on preprocessed pictures.

    Args:
        application: Network of `keras.applications`.
        picture: Pictures `(n, height, width, bands)`, as `picture.picture` preprocesses them.
        weights: "none": random. "imagenet": those that Keras downloads into its cache. Else a file: `.h5` or
            `.weights.h5` of the application without its thousand classes, or, for MobileNet, `.npz` with Keras's names,
            "/" written "__". Where such an archive lacks `conv_pw_13__kernel`, the base is cut at `MOBILENET_CUT`.

    Returns:
        Features of shape `(n, rows, columns, channels)`.

    Raises:
        ModelError: The download fails; there is no such file, or it is of another kind or holds other weights.
    """
    made = _made(application, picture, None)
    if weights == "none":
        return made.output
    if application.name == "mobilenet" and weights.endswith(".npz"):
        return _mobilenet_from_npz(made, picture, Path(weights))
    # What stands in front may have weights, too (`head_bands`), which no file of the application knows.
    base = keras.Model(picture, made.output, name=application.name)
    if weights == "imagenet":
        base.set_weights(_downloaded(application, picture.shape[1:]).get_weights())
    else:
        _from_h5(base, Path(weights))
    if application.divides_by_root:
        _divide_by_std(base)
    return made.output


def _made(application: Application, picture: Tensor, weights: str | None) -> keras.Model:
    function = getattr(keras.applications, application.function)
    # An input tensor, not a shape: with ImageNet's weights some refuse all shapes but ImageNet's.
    return function(include_top=False, weights=weights, input_tensor=picture, **application.arguments())


def _downloaded(application: Application, input_shape: tuple[int, int, int]) -> keras.Model:
    try:
        with warnings.catch_warnings():
            # MobileNet has weights for four sizes of pictures; those for 224 px are meant, whatever the size.
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            return _made(application, keras.Input(input_shape), "imagenet")
    except Exception as error:  # Keras raises a bare Exception where there is no network
        cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / application.cached
        raise ModelError(
            f"{application.name}: Keras can't download its ImageNet weights ({_line(error)}). Give --weights FILE, "
            f"or copy the file to {cache}"
        ) from error


def _from_h5(base: keras.Model, path: Path) -> None:
    _check_name(base.name, path)
    try:
        held = _held_arrays(path)
    except OSError as error:
        raise ModelError(f"{path}: expected a file of Keras weights (HDF5). {_line(error)}") from error
    if len(held) != len(base.weights):
        layers = {layer.name for layer in base.layers if layer.weights}
        raise ModelError(
            f"{path}: expected the {len(base.weights)} arrays of {base.name} without its thousand classes. "
            f"Received: {len(held)}; {_some('left over', set(held) - layers)}; {_some('missing', layers - set(held))}"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is an error here
            base.load_weights(path)
    except Exception as error:  # Keras raises ValueError, KeyError and more
        raise ModelError(f"{path}: holds other weights than those of {base.name}. {_line(error)}") from error


def _check_name(architecture: str, path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: no such file. Expected --weights imagenet, none or a file of weights")
    if path.suffix not in (".h5", ".hdf5"):
        kinds = ".h5, .weights.h5" + (" or .npz" if architecture == "mobilenet" else "")
        raise ModelError(
            f"{path}: expected weights of {architecture} as {kinds}. Received: {path.suffix or 'no suffix'}. "
            "A whole model (.keras) is for --start-from"
        )


def _held_arrays(path: Path) -> list[str]:
    """The name of the layer of each array of weights in a file of Keras 2 or 3."""
    layers: list[str] = []

    def visit(name: str, held: Any) -> None:
        # States of optimizers and of random numbers are no weights.
        if isinstance(held, h5py.Dataset) and not name.startswith("optimizer") and "seed_generator" not in name:
            layers.append(str(held.parent.attrs.get("name", name.split("/")[0])))

    with h5py.File(path) as file:
        file.visititems(visit)
    return layers


def _some(what: str, names: set[str]) -> str:
    return f"{what}: {', '.join(sorted(names)[:3]) or 'none'}{', …' if len(names) > 3 else ''}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _divide_by_std(base: keras.Model) -> None:
    """Let EfficientNetB0 divide by ImageNet's standard deviation, not by its square root.

    The published weights hold the deviation where a variance belongs (TensorFlow's issue 49930). Keras makes up for
    that with a layer that it adds with its own download only. Weights with another variance were trained with that.
    """
    layer = next(layer for layer in base.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, *count = layer.get_weights()
    if np.allclose(variance, IMAGENET_STD, atol=1e-3):
        layer.set_weights([mean, np.square(variance), *count])
        layer.finalize_state()  # it computes with copies


def _mobilenet_from_npz(made: keras.Model, picture: Tensor, path: Path) -> Tensor:
    """Load MobileNet's weights by name; the network ends before a kernel that the archive lacks."""
    arrays, features = read_arrays(path), made.output
    is_cut = f"{AFTER_CUT[0]}__kernel" not in arrays
    if is_cut:
        arrays = {name: array for name, array in arrays.items() if not name.startswith(AFTER_CUT)}
        features = made.get_layer(MOBILENET_CUT).output
    fill([layer for layer in keras.Model(picture, features).layers if layer.weights], _npz_names, arrays, path)
    if is_cut:
        _LOG.warning("%s lacks %s/kernel: MobileNet ends at its layer %s", path, AFTER_CUT[0], MOBILENET_CUT)
    return features


def _npz_names(layer: Any) -> list[str]:
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)  # whose kernel had a name of its own in Keras 2
    return [f"{layer.name}__{'depthwise_' if depthwise else ''}{weight.name}" for weight in layer.weights]
