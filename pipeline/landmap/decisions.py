"""What a scene's numbers mean: scale, offset and product level, with every decision on record.

Each comes from the user, from the file, or is assumed; the plan says which. Nothing is ever inferred from an
acquisition date: products were reprocessed, and public archives differ in whether the offset is still in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from landmap.errors import SceneError
from landmap.plausibility import doubts
from landmap.radiometry import DARKEST, DN_SCALE, HAZE, Evidence, Floats, Level, Radiometry, Stated
from landmap.settings import Settings
from landmap_models.card import ModelCard

DARK_BLUE = 0.05
"""Air alone scatters more than this in B02 at the top of the atmosphere: darker pixels have been corrected (L2A)."""

FLAT = 0.015
"""The air makes B02 brighter than B04 in dark pixels by more than this at the top of the atmosphere."""

QUANTIFICATION_TAGS = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE")
OFFSET_TAGS = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
LEVEL_TAGS = ("PROCESSING_LEVEL", "PRODUCT_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI", "LEVEL", "PRODUCT")


def decide(evidence: Evidence, card: ModelCard, settings: Settings) -> Radiometry:
    """Decide scale, offset and level of a scene, and how it is brought to the model's level.

    Raises:
        SceneError: The file contradicts itself, or no haze model is known for a band.
    """
    scale, scale_origin = _scale(evidence, card, settings)
    offset, offset_origin = _offset(evidence, settings)
    reflectance = (evidence.sample + np.asarray(offset, np.float32)) * np.asarray(scale, np.float32)
    level, level_origin = _level(evidence, reflectance, card, settings)
    haze, haze_origin = haze_between(level, card.levels, card.band_names, evidence.path)
    origins = {"scale": scale_origin, "offset": offset_origin, "level": level_origin, "haze": haze_origin}
    radiometry = Radiometry(
        scale, offset, level, haze, origins, tuple(name for name, text in origins.items() if "assumed" in text)
    )
    return replace(radiometry, warnings=tuple(doubts(radiometry, evidence, card)))


def scale_and_offset(
    evidence: Evidence, card: ModelCard, settings: Settings
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Reflectance per unit, and what is added before, of each band that the evidence is of.

    Raises:
        SceneError: The file contradicts itself.
    """
    return _scale(evidence, card, settings)[0], _offset(evidence, settings)[0]


def _scale(evidence: Evidence, card: ModelCard, settings: Settings) -> tuple[tuple[float, ...], str]:
    eight_bit = card.reflectance_range[1] / 255
    fixed = {"dn": DN_SCALE, "reflectance": 1.0, "8bit": eight_bit}
    count = len(evidence.band_names)
    if not isinstance(settings.scale, str):
        return (float(settings.scale),) * count, "given with --scale"
    if settings.scale != "auto":
        return (fixed[settings.scale],) * count, "given with --scale"
    if (stated := evidence.stated).scales and _speaks_of_these(evidence):
        return _positive(stated.scales, "scales", evidence.path), stated.origins["scale"]
    if any(scale != 1 for scale in evidence.scales):
        return _positive(evidence.scales, "band scales", evidence.path), "the file's band scales"
    if quantification := _numbers(evidence, QUANTIFICATION_TAGS):
        divisors = _positive(quantification, "tag QUANTIFICATION_VALUE", evidence.path)
        return tuple(1 / divisor for divisor in divisors), "the file's QUANTIFICATION_VALUE"
    if evidence.dtype == "uint8":
        return (eight_bit,) * count, (f"assumed: 8bit, 255 being a reflectance of {card.reflectance_range[1]:g}")
    if evidence.dtype.startswith("float"):
        if evidence.is_reflectance:
            return (1.0,) * count, "assumed: reflectance, as it is floats"
        return (DN_SCALE,) * count, "assumed: dn, as the floats are too large for reflectance"
    if evidence.dtype not in ("uint16", "int16"):
        return (DN_SCALE,) * count, f"assumed: dn, as it is {evidence.dtype}"
    return (DN_SCALE,) * count, "Sentinel-2's DN/10000 for 16-bit integers"


def _positive(numbers: tuple[float, ...], what: str, path: str) -> tuple[float, ...]:
    if not all(0 < number < math.inf for number in numbers):
        raise SceneError(f"{path}: expected positive numbers as its {what}. Received: {numbers}. Give --scale")
    return numbers


def _offset(evidence: Evidence, settings: Settings) -> tuple[tuple[float, ...], str]:
    count = len(evidence.band_names)
    if settings.offset != "auto":
        return (float(settings.offset),) * count, "given with --offset"
    said = {name: numbers for name, (numbers, _) in _offsets_by_source(evidence).items() if numbers}
    for one, other in pairwise(said):
        if not np.allclose(said[one], said[other]):
            raise SceneError(
                f"{evidence.path}: its {one} ({said[one]}) and its {other} ({said[other]}) "
                "disagree. Say which holds: --offset N, in the file's own units"
            )
    for numbers, origin in _offsets_by_source(evidence).values():
        if numbers:
            return numbers, origin
    origin = evidence.stated.origins.get("offset", "")
    return (0.0,) * count, origin if origin.startswith("assumed") else "assumed: 0, as the file names none"


def _offsets_by_source(evidence: Evidence) -> dict[str, tuple[tuple[float, ...] | None, str]]:
    """Offsets by where they stand, and that in words, the most trusted first; None where there are none."""
    of_bands = _band_offsets(evidence)
    stated = evidence.stated if _speaks_of_these(evidence) else Stated()
    tag = next((key for key in OFFSET_TAGS if _numbers(evidence, (key,))), "")
    return {
        "metadata": (stated.offsets, stated.origins.get("offset", "")),
        "band offsets": (of_bands if any(of_bands) else None, "the file's band offsets"),
        f"tags {' or '.join(OFFSET_TAGS)}": (_numbers(evidence, OFFSET_TAGS), f"the file's tag {tag}"),
    }


def _band_offsets(evidence: Evidence) -> tuple[float, ...]:
    """GDAL's offsets in the file's own units: GDAL adds them after scaling, Sentinel-2 before."""
    if not any(evidence.offsets):
        return (0.0,) * len(evidence.offsets)
    if not all(map(math.isfinite, evidence.offsets)) or not all(0 < scale < math.inf for scale in evidence.scales):
        raise SceneError(
            f"{evidence.path}: can't make sense of its band offsets {evidence.offsets} at scales {evidence.scales}. "
            "Say which offset holds: --offset N, in the file's own units"
        )
    return tuple(offset / scale for offset, scale in zip(evidence.offsets, evidence.scales, strict=True))


def _numbers(evidence: Evidence, keys: Sequence[str]) -> tuple[float, ...] | None:
    """One number a band from the band's tags, else the file's, by the first key that is there.

    None where they speak of other numbers.
    """
    if not _speaks_of_these(evidence):
        return None
    for key in keys:
        texts = [tags.get(key, evidence.tags.get(key)) for tags in evidence.band_tags]
        if any(text is not None for text in texts):
            return tuple(_number(text, key, evidence.path) for text in texts)
    return None


def _speaks_of_these(evidence: Evidence) -> bool:
    """Whether a product's metadata speak of the values at hand: of digital numbers.

    Not of 8 bits, nor of reflectance: a picture or a conversion of a product keeps the tags of the product.
    """
    return evidence.dtype != "uint8" and not evidence.is_reflectance


def _number(text: str | None, key: str, path: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        option = "--offset" if key in OFFSET_TAGS else "--scale"
        raise SceneError(
            f"{path}: expected a number as its tag {key} for every band. Received: {text!r}. Give {option}"
        )
    return number


def _level(evidence: Evidence, reflectance: Floats, card: ModelCard, settings: Settings) -> tuple[Level, str]:
    if settings.level != "auto":
        return settings.level, "given with --level"
    if evidence.stated.level:
        return evidence.stated.level, evidence.stated.origins["level"]
    for key in LEVEL_TAGS:
        if key in evidence.tags and (level := level_in(evidence.tags[key])):
            return level, f"the file's tag {key}"
    *folders, name = re.split(r"[/\\]", evidence.path)
    if level := level_in(name):
        return level, "the file's name"
    # Of folders only a product's own counts: others are named for what somebody keeps in them.
    if level := level_in(" ".join(folder for folder in folders if folder.upper().endswith(".SAFE"))):
        return level, "the name of the product it lies in"
    if evidence.has_scl:
        return "L2A", "the scene classification (SCL) beside its bands: only L2A has one"
    dark = _dark(evidence, reflectance)
    if "B02" in dark and dark["B02"] < DARK_BLUE:
        return "L2A", (
            f"assumed: L2A, as the darkest B02 is {dark['B02']:.3f}, and uncorrected scenes have at least "
            f"{DARK_BLUE:g} from the air"
        )
    if {"B02", "B04"} <= dark.keys() and 0.09 < dark["B04"] < 0.16 and dark["B02"] - dark["B04"] < FLAT:
        return "L2A", "assumed: L2A, as the darkest pixels are as bright in B04 as in B02, but for an offset left in"
    return card.levels[0], f"assumed: {card.levels[0]}, the model's own"


def level_in(text: str) -> Level | None:
    """The product level that a tag or a name speaks of, or None: "S2MSI1C", "Level-2A", "kempen_L2A.tif", "S2A2A"."""
    words = re.findall(r"(?:level[-_ ]?|msi_?l?|(?<![a-z0-9])(?:l|s2[a-d]))(1c|2a)(?![a-z0-9])", text.lower())
    found = {word.upper() for word in words}
    return "L1C" if found == {"1C"} else "L2A" if found == {"2A"} else None


def _dark(evidence: Evidence, reflectance: Floats) -> dict[str, float]:
    """1st percentile by band, where that means something: not of 8-bit pictures, which were stretched."""
    if evidence.dtype == "uint8" or not len(reflectance):
        return {}
    dark = np.percentile(reflectance, 1, axis=0)
    return dict(zip(evidence.band_names, dark.tolist(), strict=True)) if dark.min() > DARKEST else {}


def haze_between(
    level: Level, wanted: Sequence[Level], names: Sequence[str], path: str
) -> tuple[tuple[tuple[float, float], ...], str]:
    """Gain and bias of each band that bring a scene's level to one of those wanted, and what that is, in words.

    Raises:
        SceneError: No haze model is known for a band.
    """
    if level in wanted:
        return ((1.0, 0.0),) * len(names), "none: the model was trained on this level"
    missing = [name for name in names if name not in HAZE]
    if missing:
        raise SceneError(
            f"{path}: it is {level} and the model was trained on {' and '.join(wanted)}; no haze model is "
            f"known for {', '.join(missing)}. Use a scene of the model's level, or feed it as it is with "
            f"--level {wanted[0]}"
        )
    up = tuple(HAZE[name] for name in names)
    if level == "L2A":
        return up, "typical haze added (L2A to L1C)"
    return tuple((1 / gain, -bias / gain) for gain, bias in up), "typical haze removed (L1C to L2A)"
