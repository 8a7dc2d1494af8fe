"""The model card: what a model says of itself, kept inside its `.keras` file.

A `.keras` file is a zip; the card is one more member of it, `landmap.json`, which Keras ignores. So a model is one file
that can be mailed, and that knows which bands, which product level and which classes it was trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from landmap_models.errors import CardError, ModelError
from landmap_models.legend import LandClass, Legend

CARD_MEMBER = "landmap.json"
SPLIT_MEMBER = "landmap_split.csv"
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"
SCHEMA = 1

SENTINEL_BAND = re.compile("B(0[1-9]|1[0-2]|8A)")
"""Names of Sentinel-2's bands."""

Level = Literal["L1C", "L2A"]


@dataclass(frozen=True, slots=True)
class BandProfile:
    """One input band and what the training chips looked like in it. Values are reflectance."""

    name: str
    """Sentinel-2 name, such as "B04"."""
    p01: float
    """1st percentile."""
    median: float
    """50th percentile."""
    p99: float
    """99th percentile."""
    mean: float
    """Mean; stands in for pixels without data inside a window, as the least surprising value."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, what it wants and how good it is."""

    name: str
    """Short name, such as "compact-eurosat-rgb"."""
    version: str
    """Version of the model, not of landmap."""
    description: str
    """What it maps, and what it is bad at."""
    bands: tuple[BandProfile, ...]
    """Input bands in input order."""
    chip_size: int
    """Height and width of a chip in pixels."""
    resolution: float
    """Ground sampling distance it was trained at, in metres."""
    levels: tuple[Level, ...]
    """Product levels it was trained on."""
    reflectance_range: tuple[float, float]
    """Reflectances between which it tells values apart; the model itself clips and scales."""
    legend: Legend
    """Classes in output order."""
    licence: str
    """SPDX identifier of the weights' licence."""
    weights_sha256: str = ""
    """sha256 of the member model.weights.h5; filled in when the card is written."""
    task: Literal["single-label"] = "single-label"
    """One class a chip."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, split, seed, settings and log of the training."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measured quality: split, number of chips, and per metric its value and 95 % interval."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Keras and its backend that wrote the file."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the input bands in input order."""
        return tuple(b.name for b in self.bands)

    def to_json(self) -> str:
        """The card as JSON text."""
        content = {"schema": SCHEMA} | dataclasses.asdict(self)
        content["legend"] = [dataclasses.asdict(c) for c in self.legend]
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, text: str, origin: str = "card") -> ModelCard:
        """Read a card.

        Args:
            text: JSON as `to_json` writes it.
            origin: File name for messages.

        Raises:
            CardError: Not JSON, of another schema, or an entry is missing, unknown or of the wrong kind.
        """
        try:
            content = json.loads(text)
            schema = content.pop("schema")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CardError(f"{origin}: expected a JSON object with an entry 'schema'") from error
        if schema != SCHEMA:
            raise CardError(f"{origin}: expected a card of schema {SCHEMA}. Received: {schema}. Update landmap")
        try:
            card = cls(
                **content
                | {
                    "bands": tuple(BandProfile(**b) for b in content["bands"]),
                    "legend": Legend(tuple(LandClass(**c) for c in content["legend"])),
                    "levels": tuple(content["levels"]),
                    "reflectance_range": tuple(content["reflectance_range"]),
                }
            )
            card.check()
        except KeyError as error:
            raise CardError(f"{origin}: the model card lacks the entry {error}") from error
        except (TypeError, ValueError) as error:
            raise CardError(f"{origin}: the model card is not usable: {error}") from error
        return card

    def check(self) -> None:
        """Raise ValueError where values can't be meant."""
        if self.task != "single-label":
            raise ValueError(f"Expected the task 'single-label'. Received: {self.task!r}")
        _check_texts(self)
        _check_bands(self.bands)
        _check_legend(self.legend)
        if not self.levels or any(level not in ("L1C", "L2A") for level in self.levels):
            raise ValueError(f"Expected levels out of L1C and L2A. Received: {self.levels}")
        if not isinstance(self.chip_size, int) or isinstance(self.chip_size, bool) or self.chip_size < 1:
            raise ValueError(f"Expected a positive chip size in whole pixels. Received: {self.chip_size!r}")
        if not is_number(self.resolution) or self.resolution <= 0:
            raise ValueError(f"Expected a positive resolution in metres. Received: {self.resolution!r}")
        ends = self.reflectance_range
        if len(ends) != 2 or not all(map(is_number, ends)) or not ends[0] < ends[1]:
            raise ValueError(f"Expected reflectance_range as two numbers low < high. Received: {ends}")
        for name in ("training", "metrics", "versions"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"Expected {name} as names with values. Received: {getattr(self, name)!r}")


def is_number(value: object) -> bool:
    """Whether a value of a card is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN too, and for whole numbers that no float can hold


def _check_texts(card: ModelCard) -> None:
    for name in ("name", "version", "description", "licence"):
        value = getattr(card, name)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"Expected {name} as a text that is not empty. Received: {value!r}")
    if not _is_line(card.name):
        raise ValueError(f"Expected a name on one line. Received: {card.name!r}")
    if not isinstance(card.weights_sha256, str):
        raise ValueError(f"Expected weights_sha256 as a text. Received: {card.weights_sha256!r}")


def _check_bands(bands: tuple[BandProfile, ...]) -> None:
    names = [band.name for band in bands]
    for band in bands:
        if not isinstance(band.name, str) or not SENTINEL_BAND.fullmatch(band.name):
            raise ValueError(f"Expected Sentinel-2 band names such as B02 or B8A. Received: {band.name!r}")
        numbers = band.p01, band.median, band.p99, band.mean
        if not all(map(is_number, numbers)):
            raise ValueError(f"Expected finite p01, median, p99 and mean of band {band.name}. Received: {numbers}")
        if not band.p01 <= band.median <= band.p99:
            raise ValueError(f"Expected p01 <= median <= p99 of band {band.name}. Received: {numbers[:3]}")
    if not names or len(set(names)) != len(names):
        raise ValueError(f"Expected distinct band names. Received: {names}")


def _check_legend(legend: Legend) -> None:
    if len(legend) < 2:
        raise ValueError("Expected at least two classes")
    for entry in legend:
        if not isinstance(entry.name, str) or not entry.name.strip() or not _is_line(entry.name):
            raise ValueError(f"Expected the name of class {entry.id} as one line of text. Received: {entry.name!r}")


def _is_line(text: str) -> bool:
    return text.splitlines() == [text]


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
