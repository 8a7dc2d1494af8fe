"""A Keras model as a `Classifier`: the only place that runs TensorFlow for inference."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.card import ModelCard
from landmap_models.errors import CardError, ModelError, UnsafeModelError
from landmap_models.model_file import read_card, read_config
from landmap_models.quiet import quiet_start

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported: its start-up notes are not ours
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

Floats = npt.NDArray[np.float32]


class KerasClassifier:
    """Runs a Keras model on batches of one fixed size.

    Every batch has `batch_size` chips, the last one filled up: the graph is traced once, and a chip's result is the
    same to the last bit whatever chips it is predicted with, because the same kernels run.
    """

    def __init__(self, model: Any, card: ModelCard, batch_size: int = 256) -> None:
        """Wrap a loaded `keras.Model`.

        Raises:
            CardError: The model's input or output is not what the card says.
        """
        tf = _tensorflow()
        _check_shapes(model, card)
        self.card = card
        self.batch_size = batch_size
        self.parameters = int(model.count_params())
        shape = (batch_size, card.chip_size, card.chip_size, len(card.bands))
        self._run = tf.function(
            lambda chips: model(chips, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)]
        ).get_concrete_function()
        self._tensor = tf.constant

    def predict(self, chips: Floats) -> Floats:
        """Probabilities `(n, classes)` of chips `(n, chip_size, chip_size, bands)` in reflectance."""
        out = np.empty((len(chips), len(self.card.legend)), np.float32)
        for start in range(0, len(chips), self.batch_size):
            batch = chips[start : start + self.batch_size]
            full = np.zeros((self.batch_size, *chips.shape[1:]), np.float32)
            full[: len(batch)] = batch
            out[start : start + len(batch)] = self._run(self._tensor(full)).numpy()[: len(batch)]
        return out


@lru_cache(maxsize=1)
def _tensorflow() -> Any:
    """TensorFlow, imported and with its devices found."""
    with quiet_start():
        import tensorflow

        tensorflow.config.list_logical_devices()
    return tensorflow


def _check_shapes(model: Any, card: ModelCard) -> None:
    wanted = (None, card.chip_size, card.chip_size, len(card.bands)), (None, len(card.legend))
    got = tuple(model.input_shape), tuple(model.output_shape)
    if got != wanted:
        raise CardError(f"{card.name}: the card says input and output {wanted}. The model has {got}")


@lru_cache(maxsize=2)
def load_classifier(path: str | Path, sha256: str | None = None, batch_size: int = 256) -> KerasClassifier:
    """Load a model file; the same one is loaded once a process.

    Args:
        path: A `.keras` file with a card.
        sha256: Of the weights, if they must be the ones that a plan was made with.
        batch_size: Chips predicted at once.

    Raises:
        ModelError: It can't be read, or its weights are others.
        CardError: The card is missing or wrong.
        UnsafeModelError: It holds code.
    """
    card = read_card(path)
    if sha256 is not None and card.weights_sha256 != sha256:
        raise ModelError(
            f"{path}: expected weights {sha256[:12]}…. Received: {card.weights_sha256[:12]}…. It has changed"
        )
    return KerasClassifier(load_model(path), card, batch_size)


def load_model(path: str | Path) -> Any:
    """The `keras.Model` in a file, loaded in safe mode.

    Raises:
        UnsafeModelError: It holds a Lambda layer, or anything that is not Keras's own.
        ModelError: Keras can't read it.
    """
    _refuse_code(Path(path))
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        _tensorflow()  # quietly
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises ValueError, TypeError, KeyError and more for files it can't read
        raise ModelError(f"{path}: Keras can't load it: {' '.join(str(error).split())[:300]}") from error


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
