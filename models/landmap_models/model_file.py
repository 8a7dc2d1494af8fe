"""A model card inside a `.keras` file: read, checked against the model, and written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from landmap_models.card import ModelCard
from landmap_models.errors import CardError, ModelError
from landmap_models.nir import NirPrior

CARD_MEMBER = "landmap.json"
SPLIT_MEMBER = "landmap_split.csv"
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"


def weights_sha256(path: str | Path) -> str:
    """sha256 of the weights in a `.keras` file, as hexadecimal text.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
    """
    with _open_archive(Path(path)) as archive, archive.open(WEIGHTS_MEMBER) as weights:
        return hashlib.file_digest(cast(Any, weights), "sha256").hexdigest()


def read_config(path: str | Path) -> dict[str, Any]:
    """The configuration by which Keras builds the model of a `.keras` file.

    Raises:
        ModelError: The file is not a `.keras` file, damaged, or its config.json is not a JSON object.
    """
    with _open_archive(Path(path)) as archive:
        try:
            config = json.loads(archive.read(CONFIG_MEMBER).decode())
        except (KeyError, ValueError, RecursionError) as error:
            raise ModelError(f"{path}: expected a .keras file with a readable {CONFIG_MEMBER} inside") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: expected a JSON object in {CONFIG_MEMBER}. Received: {type(config).__name__}")
    return config


def read_card(path: str | Path) -> ModelCard:
    """The card inside a `.keras` file, checked against its weights.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: It holds no card, or its weights are not those of the card.
    """
    path = Path(path)
    with _open_archive(path) as archive:
        try:
            text = archive.read(CARD_MEMBER).decode()
        except KeyError as error:
            raise CardError(
                f"{path}: expected a model card inside ({CARD_MEMBER}), found none. Without it the bands, level and "
                f"classes are unknown. Add one: landmap models describe {path} --card card.json"
            ) from error
        except UnicodeDecodeError as error:
            raise CardError(
                f"{path}: expected the model card ({CARD_MEMBER}) in UTF-8: {error}. "
                f"Describe the file anew: landmap models describe {path} --card card.json"
            ) from error
    card = ModelCard.from_json(text, origin=str(path))
    if card.weights_sha256 != weights_sha256(path):
        raise CardError(
            f"{path}: the weights are not those that the card describes (sha256 differs). "
            f"Describe the file anew: landmap models describe {path} --card card.json"
        )
    return card


def write_card(path: str | Path, card: ModelCard, extra: Mapping[str, str] | None = None) -> ModelCard:
    """Put a card into a `.keras` file, in place of one that is there. The file is replaced atomically.

    Args:
        path: The model.
        card: Its `weights_sha256` is set to that of the file.
        extra: More text members by name, such as the split.

    Returns:
        The card as written.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: The card's chip size, bands or classes are not those of the model.
    """
    path = Path(path)
    _check_against_config(path, card)
    card = dataclasses.replace(card, weights_sha256=weights_sha256(path))
    members = {CARD_MEMBER: card.to_json()} | dict(extra or {})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _open_archive(path) as old, zipfile.ZipFile(temporary, "w") as new:
            for info in old.infolist():
                if info.filename not in members:
                    with old.open(info) as source, new.open(info, "w") as target:
                        shutil.copyfileobj(source, target)
            for name, text in members.items():
                new.writestr(name, text, compress_type=zipfile.ZIP_DEFLATED)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return card


def attach_nir_prior(path: str | Path, prior: NirPrior | None) -> ModelCard:
    """Give a model a near-infrared prior, in place of one that it has; its weights stay as they are.

    Args:
        path: The model, with its card.
        prior: Of its classes; None takes the prior away.

    Returns:
        The card as written.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: It holds no card, or the prior does not fit it.
    """
    card = dataclasses.replace(read_card(path), nir=prior)
    try:
        card.check()
    except ValueError as error:
        raise CardError(f"{path}: the near-infrared prior is not usable: {error}") from error
    return write_card(path, card)


def _check_against_config(path: Path, card: ModelCard) -> None:
    """Compare what the configuration shows without Keras; `KerasClassifier` compares the model itself."""
    config = read_config(path)
    shape, classes = _input_shape(config), _output_classes(config)
    wanted = [card.chip_size, card.chip_size, len(card.bands)]
    if shape is not None and shape[1:] != wanted:
        raise CardError(
            f"{path}: the card says chips of {wanted} (height, width, bands). The model takes {shape[1:]}. "
            "Correct chip_size or bands of the card"
        )
    if classes is not None and classes != len(card.legend):
        raise CardError(
            f"{path}: the card says {len(card.legend)} classes. The model has {classes}. Correct the card's legend"
        )


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Layers of a model's configuration that have one themselves; none where it is built in another way."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list):
        return []
    return [layer for layer in layers if isinstance(layer, dict) and isinstance(layer.get("config"), dict)]


def _input_shape(config: dict[str, Any]) -> list[Any] | None:
    """`[batch, height, width, bands]` of the first input layer, None where it is not told."""
    for layer in _layers(config):
        if layer.get("class_name") == "InputLayer":
            shape = layer["config"].get("batch_shape")
            return shape if isinstance(shape, list) else None
    return None


def _output_classes(config: dict[str, Any]) -> int | None:
    """Units of the output layer, None where that is not a dense one."""
    layers = _layers(config)
    outputs = config["config"].get("output_layers") if layers else None
    while isinstance(outputs, list) and outputs:  # ["dense", 0, 0], or a list of one such
        outputs = outputs[0]
    found = [layer for layer in layers if layer.get("name") == outputs] if isinstance(outputs, str) else layers[-1:]
    if not found or found[0].get("class_name") != "Dense":
        return None
    units = found[0]["config"].get("units")
    return units if isinstance(units, int) else None


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A `.keras` file opened for reading; damage found while it is open becomes a ModelError."""
    if not path.is_file():
        raise ModelError(f"{path}: no such model file. `landmap models` lists the packaged models")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: expected a .keras file (Keras 3); this is not one") from error
    with archive:
        if WEIGHTS_MEMBER not in archive.namelist():
            raise ModelError(f"{path}: expected a .keras file with {WEIGHTS_MEMBER} inside; this zip file has none")
        try:
            yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: locked or unknown
            raise ModelError(f"{path}: expected a whole .keras file, found damage: {error}. Get it anew") from error
