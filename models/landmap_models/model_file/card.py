"""The model card: what a model says of itself, kept inside its `.keras` file.

A `.keras` file is a zip; the card is one more member of it, `landmap.json`, which Keras ignores. So a model is one file
that can be mailed, and that knows which bands, which product level and which classes it was trained on. This
module holds its values; `card_checks` finds their faults, `archive` reads and writes them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landmap_models.errors import CardError
from landmap_models.legend import LandClass, Legend
from landmap_models.model_file.card_checks import NIR_BAND as NIR_BAND
from landmap_models.model_file.card_checks import SENTINEL_BAND as SENTINEL_BAND
from landmap_models.model_file.card_checks import Answers, Task, card_faults, is_number
from landmap_models.model_file.chips import ChipPart
from landmap_models.model_file.nir import NirPrior
from landmap_models.model_file.pixels import PixelPart
from landmap_models.model_file.transform import LogSigmoid
from landmap_models.sentinel2 import Level

SCHEMA = 1
LATER = ("answers", "step", "optional")
"""Entries that older versions do not know; a card that does without them is written as before."""


@dataclass(frozen=True, slots=True)
class BandProfile:
    """An input band, with the distribution of its reflectance in the training chips."""

    name: str
    """Sentinel-2 name, such as "B04"."""
    p01: float
    """1st percentile."""
    median: float
    """50th percentile."""
    p99: float
    """99th percentile."""
    mean: float
    """Mean; fills pixels without data inside a window, as the least surprising value."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model maps, which input it takes, and how good it is."""

    name: str
    """Short name, such as "compact-eurosat-rgb"."""
    version: str
    """Version of the model, not of landmap."""
    description: str
    """What the model maps, and where it is weak."""
    bands: tuple[BandProfile, ...]
    """Input bands in the order of the input, without optional ones."""
    chip_size: int
    """Height and width in pixels of a chip; of a model that answers for each pixel, those of its training chips, which
    are the windows that it is given where its margin is not finite."""
    resolution: float
    """Ground sampling distance of the training chips, in metres."""
    levels: tuple[Level, ...]
    """Product levels of the training chips."""
    reflectance_range: tuple[float, float]
    """Lowest and highest reflectance that the model distinguishes; it clips and scales its input itself."""
    legend: Legend
    """Classes in the order of the outputs."""
    licence: str
    """SPDX identifier of the weights' licence."""
    answers: Answers = "chip"
    """What a row of probabilities is for: a chip, `(n, classes)`, or each pixel, `(n, height, width, classes)`."""
    margin: int | None = None
    """Pixels from the edge of what a model of pixels is given within which its answers depend on what lies beyond; None
    where that is not finite, and for models of chips."""
    step: int = 1
    """Pixels of which sides and offsets of what a model of pixels is given are multiples."""
    optional: tuple[BandProfile, ...] = ()
    """Bands that a model of pixels uses where a scene has them, behind `bands` in the order of its input. A network
    with such bands has a second input `(n, bands)`: 1 for each of all bands that is there, 0 for one that is not."""
    transform: LogSigmoid | None = None
    """What is done to reflectance before the network gets it, a value a band of `input_names`; None: nothing is."""
    weights_sha256: str = ""
    """sha256 of the member model.weights.h5 as hexadecimal text; filled in when the card is written."""
    task: Task = "single-label"
    """One class a chip, or any number of classes, each with a probability of its own."""
    thresholds: tuple[float, ...] | None = None
    """Probability of each class from which a multi-label model finds it, `(classes,)`; None is one half."""
    nir: NirPrior | None = None
    """Prior that near infrared gives where a scene has it; None where the model has no use for it."""
    pixels: PixelPart | None = None
    """Network for single pixels in the same file, and how both make one map; None where the file has none."""
    chips: ChipPart | None = None
    """Further network for single chips in the same file, which maps do not use; None where the file has none."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Record of the training: data, split, seed, settings and log."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measured quality: split, number of chips, and the value and 95 % interval of each metric."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Keras and its backend that wrote the file."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the input bands in the order of the input, without optional ones: those that a scene must have."""
        return tuple(b.name for b in self.bands)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of all input bands, the optional ones included, in the order of the input."""
        return tuple(b.name for b in (*self.bands, *self.optional))

    @property
    def per_pixel(self) -> bool:
        """Whether the model by itself answers for each pixel, and not for chips."""
        return self.answers == "pixel"

    @property
    def single_label(self) -> bool:
        """Whether every chip has one class, so that its probabilities add up to 1; only such models draw maps."""
        return self.task == "single-label"

    @property
    def optional_bands(self) -> tuple[str, ...]:
        """Names of bands that the model does not need, but uses where a scene has them."""
        further = [name for name in self.pixels.bands if name not in self.band_names] if self.pixels else []
        own = [band.name for band in self.optional]
        return tuple(dict.fromkeys([*([NIR_BAND] if self.nir else []), *further, *own]))

    def to_json(self) -> str:
        """The card as JSON text; entries without a value are left out."""
        return json.dumps({"schema": SCHEMA} | self._content(), indent=1)

    @classmethod
    def from_json(cls, text: str, origin: str = "card") -> ModelCard:
        """Read a card.

        Args:
            text: JSON as `to_json` writes it.
            origin: Name of the file, for messages.

        Raises:
            CardError: The text is no JSON or has another schema, or entries are missing, unknown or of another kind.
                The message names all of them.
        """
        content = read_content(text, origin)
        faults = content_faults(content)
        if faults:
            raise CardError(f"{origin}: the model card is not usable: {'; '.join(faults)}")
        return cls.from_content(content)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> ModelCard:
        """Make a card of entries without faults (`content_faults`)."""
        thresholds, nir, pixels, chips, transform = (
            content.get(name) for name in ("thresholds", "nir", "pixels", "chips", "transform")
        )
        made = {
            "bands": tuple(BandProfile(**band) for band in content["bands"]),
            "optional": tuple(BandProfile(**band) for band in content.get("optional", ())),
            "transform": None if transform is None else LogSigmoid.from_content(transform),
            "legend": Legend(tuple(LandClass(**entry) for entry in content["legend"])),
            "levels": tuple(content["levels"]),
            "reflectance_range": tuple(content["reflectance_range"]),
            "thresholds": None if thresholds is None else tuple(thresholds),
            "nir": None if nir is None else NirPrior.from_content(nir),
            "pixels": None if pixels is None else PixelPart.from_content(pixels),
            "chips": None if chips is None else ChipPart.from_content(chips),
        }
        return cls(**{**content, **made})

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: Values can't be meant; the message names all of them.
        """
        faults = content_faults(self._content())
        if faults:
            raise ValueError("; ".join(faults))

    def _content(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        content["legend"] = [dataclasses.asdict(entry) for entry in self.legend]
        usual = {field.name: field.default for field in dataclasses.fields(self) if field.name in LATER}
        return {name: value for name, value in content.items() if value is not None and value != usual.get(name, ...)}


def task_of(*, multi_label: bool) -> Task:
    """The task of models of chips that may have several classes, or have one each."""
    return "multi-label" if multi_label else "single-label"


def read_content(text: str, origin: str) -> dict[str, Any]:
    """The entries of a card's JSON, without its schema, unchecked.

    Raises:
        CardError: Not a JSON object, or of another schema.
    """
    try:
        content = json.loads(text)
        schema = content.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CardError(f"{origin}: expected a JSON object with an entry 'schema', as `show --json` prints") from error
    if schema != SCHEMA:
        raise CardError(f"{origin}: expected a card of schema {SCHEMA}. Received: {schema}. Update landmap")
    return dict(content)


def content_faults(content: Mapping[str, Any]) -> list[str]:
    """The faults of the entries of a card, each as a sentence."""
    return card_faults(content, ModelCard, BandProfile)


def describe(card: ModelCard) -> str:
    """Describe a card in a few lines of text.

    The entries of training and metrics are free, and may be odd in cards from elsewhere: these count as not recorded.
    """
    lines = [
        f"{card.name} {card.version}",
        f"  {card.description}",
        f"  input     {card.chip_size}x{card.chip_size} px chips of {', '.join(card.band_names)}, "
        f"{card.resolution:g} m, {' or '.join(card.levels)}, "
        f"reflectance {card.reflectance_range[0]:g} to {card.reflectance_range[1]:g}"
        f"{f', by {card.transform.name}' if card.transform else ''}",
        *([f"  answers   for each pixel, {margin_text(card)}"] if card.per_pixel else []),
        f"  optional  {_further_bands(card)}",
        *([f"  chips     {_further_chips(card.chips)}"] if card.chips else []),
        f"  classes   {', '.join(f'{c.id} {c.name}' for c in card.legend)}",
        f"  task      {_task(card)}",
        f"  training  {card.training.get('data', 'not recorded')}, {_parts(_mapping(card.training.get('split')))}",
        *_described(_mapping(card.training.get("described"))),
        f"  metrics   {_metrics(card)}",
        f"  weights   {card.weights_sha256}, {card.licence}",
        f"  written   {', '.join(f'{name} {number}' for name, number in card.versions.items()) or 'not recorded'}",
    ]
    return "\n".join(lines)


def margin_text(card: ModelCard) -> str:
    """How far the answers of a model of pixels depend on their surroundings, in words."""
    if card.margin is None:
        return f"by all of a window of {card.chip_size} px: windows overlap by half and are blended"
    steps = f", at offsets that are multiples of {card.step} px" if card.step > 1 else ""
    return f"by what lies within {card.margin} px{steps}"


def _described(sources: Mapping[str, Any]) -> list[str]:
    """The sources of the entries, for the card of a model that was trained elsewhere."""
    return [f"  described {'; '.join(f'{name}: {origin}' for name, origin in sources.items())}"] if sources else []


def _task(card: ModelCard) -> str:
    if card.thresholds is None:
        return card.task
    limits = zip(card.legend.names, card.thresholds, strict=True)
    return f"{card.task}, there from {', '.join(f'{name} {limit:g}' for name, limit in limits)}"


def _further_bands(card: ModelCard) -> str:
    uses = []
    if card.nir is not None:
        uses.append(f"{NIR_BAND}, as near-infrared prior fitted on {card.nir.origin or 'chips not recorded'}")
    if card.pixels is not None:
        further = ", ".join(name for name in card.pixels.bands if name not in card.band_names) or "none"
        uses.append(f"{further}, by the network for single pixels")
    if card.optional:
        uses.append(f"{', '.join(band.name for band in card.optional)}, of which the network is told which are there")
    return "; ".join(uses) or "no further bands"


def _further_chips(part: ChipPart) -> str:
    return f"single chips are answered by a further network, too, with a share of {part.weight:g}: {part.origin}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parts(split: Mapping[str, Any]) -> str:
    parts = _mapping(split.get("parts"))
    if not parts:
        return "split not recorded"
    chips = ", ".join(f"{name} {_mapping(part).get('chips', '?')}" for name, part in parts.items())
    return f"{split.get('method', '')} split, seed {split.get('seed')} ({chips})"


def _metrics(card: ModelCard) -> str:
    measured = [
        f"{name} {100 * entry['value']:.1f} % (95 %: {100 * entry['low']:.1f} to {100 * entry['high']:.1f})"
        for name, entry in card.metrics.items()
        if all(is_number(_mapping(entry).get(key)) for key in ("value", "low", "high"))
    ]
    if not measured:
        return "not recorded"
    return f"{', '.join(measured)} on {card.metrics.get('n', '?')} chips, {card.metrics.get('split', 'split unknown')}"
