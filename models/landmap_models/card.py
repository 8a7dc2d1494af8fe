"""The model card: what a model says of itself, kept inside its `.keras` file.

A `.keras` file is a zip; the card is one more member of it, `landmap.json`, which Keras ignores. So a model is one file
that can be mailed, and that knows which bands, which product level and which classes it was trained on. Here are the
values and their checks; `model_file` reads and writes them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from landmap_models.errors import CardError
from landmap_models.legend import LandClass, Legend
from landmap_models.nir import NirPrior

SCHEMA = 1

SENTINEL_BAND = re.compile("B(0[1-9]|1[0-2]|8A)")
"""Names of Sentinel-2's bands."""

NIR_BAND = "B08"
"""The band that a near-infrared prior reads."""

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
    task: Literal["single-label", "multi-label"] = "single-label"
    """One class a chip, or any number of them, each with a probability of its own."""
    thresholds: tuple[float, ...] | None = None
    """Of a multi-label model: the probability from which each class counts as there."""
    nir: NirPrior | None = None
    """What near infrared adds where a scene has it; None where it is of no use to the model."""
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

    @property
    def optional_bands(self) -> tuple[str, ...]:
        """Names of bands that the model can do without, and does better with."""
        return (NIR_BAND,) if self.nir else ()

    def to_json(self) -> str:
        """The card as JSON text; what it does not have is not there."""
        content = {"schema": SCHEMA} | dataclasses.asdict(self)
        content = {key: value for key, value in content.items() if value is not None}
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
                    "thresholds": _optional(tuple, content.get("thresholds")),
                    "nir": _optional(NirPrior.from_content, content.get("nir")),
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
        _check_texts(self)
        _check_bands(self.bands)
        _check_legend(self.legend)
        _check_task(self)
        _check_nir(self)
        _check_input(self)
        for name in ("training", "metrics", "versions"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"Expected {name} as names with values. Received: {getattr(self, name)!r}")


def _optional(make: Callable[[Any], Any], value: object) -> Any:
    return None if value is None else make(value)


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


def _check_input(card: ModelCard) -> None:
    if not card.levels or any(level not in ("L1C", "L2A") for level in card.levels):
        raise ValueError(f"Expected levels out of L1C and L2A. Received: {card.levels}")
    if not isinstance(card.chip_size, int) or isinstance(card.chip_size, bool) or card.chip_size < 1:
        raise ValueError(f"Expected a positive chip size in whole pixels. Received: {card.chip_size!r}")
    if not is_number(card.resolution) or card.resolution <= 0:
        raise ValueError(f"Expected a positive resolution in metres. Received: {card.resolution!r}")
    ends = card.reflectance_range
    if len(ends) != 2 or not all(map(is_number, ends)) or not ends[0] < ends[1]:
        raise ValueError(f"Expected reflectance_range as two numbers low < high. Received: {ends}")


def _check_task(card: ModelCard) -> None:
    if card.task not in ("single-label", "multi-label"):
        raise ValueError(f"Expected the task 'single-label' or 'multi-label'. Received: {card.task!r}")
    if card.thresholds is None:
        return
    if card.task != "multi-label":
        raise ValueError("Expected thresholds of a multi-label model only. This one is single-label")
    inside = [is_number(t) and 0 < t < 1 for t in card.thresholds]
    if len(inside) != len(card.legend) or not all(inside):
        raise ValueError(
            f"Expected thresholds between 0 and 1, one for each of {len(card.legend)} classes. "
            f"Received: {card.thresholds}"
        )


def _check_nir(card: ModelCard) -> None:
    if card.nir is None:
        return
    missing = [name for name in ("B04", "B03") if name not in card.band_names]
    if missing or NIR_BAND in card.band_names or card.task != "single-label":
        raise ValueError(
            f"Expected a nir prior with a single-label model of B04 and B03 without {NIR_BAND}. "
            f"Received: {card.task}, {', '.join(card.band_names)}"
        )
    card.nir.check(len(card.legend))
