"""The model card: what a model says of itself, kept inside its `.keras` file.

A `.keras` file is a zip; the card is one more member of it, `landmap.json`, which Keras ignores. So a model is one file
that can be mailed, and that knows which bands, which product level and which classes it was trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from landmap_models.errors import CardError, ModelError
from landmap_models.legend import LandClass, Legend

CARD_MEMBER = "landmap.json"
SPLIT_MEMBER = "landmap_split.csv"
WEIGHTS_MEMBER = "model.weights.h5"
SCHEMA = 1

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
        except (ValueError, KeyError, TypeError, AttributeError) as error:
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
        if not self.bands or len(set(self.band_names)) != len(self.bands):
            raise ValueError(f"Expected distinct band names. Received: {self.band_names}")
        if len(self.legend) < 2:
            raise ValueError("Expected at least two classes")
        if not self.levels or not set(self.levels) <= {"L1C", "L2A"}:
            raise ValueError(f"Expected levels out of L1C and L2A. Received: {self.levels}")
        if not isinstance(self.chip_size, int) or self.chip_size < 1 or self.resolution <= 0:
            raise ValueError(f"Expected a positive chip size and resolution: {self.chip_size}, {self.resolution}")
        low, high = self.reflectance_range
        if not low < high:
            raise ValueError(f"Expected reflectance_range low < high. Received: {self.reflectance_range}")


def weights_sha256(path: str | Path) -> str:
    """sha256 of the weights in a `.keras` file, as hexadecimal text.

    Raises:
        ModelError: The file is not a `.keras` file.
    """
    with _open_archive(Path(path)) as archive, archive.open(WEIGHTS_MEMBER) as weights:
        return hashlib.file_digest(cast(Any, weights), "sha256").hexdigest()


def read_card(path: str | Path) -> ModelCard:
    """The card inside a `.keras` file, checked against its weights.

    Raises:
        ModelError: The file is not a `.keras` file.
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
        ModelError: The file is not a `.keras` file.
    """
    path = Path(path)
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


def _open_archive(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file. `landmap models` lists the packaged models")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: expected a .keras file (Keras 3); this is not one") from error
    if WEIGHTS_MEMBER not in archive.namelist():
        archive.close()
        raise ModelError(f"{path}: expected a .keras file with {WEIGHTS_MEMBER} inside; this zip file has none")
    return archive
