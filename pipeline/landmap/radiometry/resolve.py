"""What a scene's numbers mean: its scale, offset and product level, each with its origin.

Each comes from the user, from the file, or is assumed; the plan says which. Nothing is inferred from the date of
sensing, as products were reprocessed, and public archives differ in whether the offset is still in the values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from landmap.errors import SceneError
from landmap.radiometry.checks import radiometry_warnings
from landmap.radiometry.conversion import DARKEST, HAZE, MEASURED_HAZE, Evidence, Radiometry
from landmap.settings import ReadingSettings
from landmap_models.arrays import Floats
from landmap_models.model_file.card import ModelCard
from landmap_models.sentinel2 import (
    DN_SCALE,
    TCI_BLACK,
    Level,
    is_true_color,
    level_in,
    true_color_level,
    true_color_scale,
)

DARK_BLUE = 0.05
"""Reflectance in B02 that air alone scatters at the top of the atmosphere: darker pixels have been corrected (L2A)."""

FLAT = 0.015
"""Reflectance by which air makes B02 brighter than B04 in dark pixels at the top of the atmosphere, at least."""

QUANTIFICATION_TAGS = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE")
OFFSET_TAGS = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
SCALE_TAG, ADDED_TAG = "SCALE_FACTOR", "ADD_OFFSET"
"""Names of scale and offset in the CF conventions, where they are tags of a file."""
LEVEL_TAGS = ("PROCESSING_LEVEL", "PRODUCT_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI", "LEVEL", "PRODUCT")


LEFT_OVER = 50.0
"""If the user's scale is more than so many times that of the tags, the tags are left over from before scaling."""
UNSEEN = 0.005
"""If tags give the brightest pixels of floats less reflectance than this, they are left over from before scaling."""

BandNumbers = tuple[tuple[float, ...], str]
"""A number for each band, and a text that says where they come from."""


def decide(evidence: Evidence, card: ModelCard, settings: ReadingSettings) -> Radiometry:
    """Resolve scale, offset and level of a scene, and how it is brought to the model's level.

    Raises:
        SceneError: The file contradicts itself, what its floats mean is not known, or no haze model is known for a
            band.
    """
    scale, scale_origin = _scale(evidence, card, settings)
    offset, offset_origin = _offset(evidence, scale, card, settings)
    reflectance = (evidence.sample + np.asarray(offset, np.float32)) * np.asarray(scale, np.float32)
    level, level_origin = _level(evidence, reflectance, card, settings)
    haze, haze_origin = haze_between(level, card.levels, card.band_names, evidence.path)
    origins = {"scale": scale_origin, "offset": offset_origin, "level": level_origin, "haze": haze_origin}
    radiometry = Radiometry(
        scale, offset, level, haze, origins, tuple(name for name, text in origins.items() if "assumed" in text)
    )
    return replace(radiometry, warnings=tuple(radiometry_warnings(radiometry, evidence, card)))


def scale_and_offset(
    evidence: Evidence, card: ModelCard, settings: ReadingSettings
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Resolve the scale (reflectance per unit) and the offset (added before scaling) of each band.

    Raises:
        SceneError: The file contradicts itself.
    """
    scale, _ = _scale(evidence, card, settings)
    return scale, _offset(evidence, scale, card, settings)[0]


def is_stated(evidence: Evidence) -> bool:
    """Whether metadata or tags state the scale of the values."""
    return _stated_scale(evidence) is not None


def _scale(evidence: Evidence, card: ModelCard, settings: ReadingSettings) -> BandNumbers:
    count = len(evidence.band_names)
    if (given := _given_scale(card, settings)) is not None:
        return (given,) * count, "given with --scale"
    numbers = _stated_scale(evidence)
    if numbers and _is_left_over(evidence, card, settings):
        left_over = f"left over: {numbers[1]}, {numbers[0][0]:g}"
        return (1.0,) * count, f"reflectance, as the floats are scaled already ({left_over})"
    if numbers:
        return numbers
    if stretch := _stretch(evidence, card, settings):
        return (stretch[0],) * count, stretch[1]
    if evidence.dtype == "uint8":
        brightest = card.reflectance_range[1]
        return (brightest / 255,) * count, f"assumed: 8bit, 255 being a reflectance of {brightest:g}"
    if evidence.is_float:
        return _scale_of_floats(evidence, count)
    if evidence.dtype not in ("uint16", "int16"):
        return (DN_SCALE,) * count, f"assumed: dn, as it is {evidence.dtype}"
    return (DN_SCALE,) * count, "Sentinel-2's DN/10000 for 16-bit integers"


def _given_scale(card: ModelCard, settings: ReadingSettings) -> float | None:
    """The scale that the user gave, in reflectance per unit; None if none was given."""
    if not isinstance(settings.scale, str):
        return float(settings.scale)
    return {"dn": DN_SCALE, "reflectance": 1.0, "8bit": card.reflectance_range[1] / 255}.get(settings.scale)


def _stated_scale(evidence: Evidence) -> BandNumbers | None:
    """The scale that metadata or tags state, the most trusted first; None if none does.

    The product's speak of digital numbers, and so of no 8 bits: a picture of a product keeps the tags of the product.
    """
    of_product = evidence.dtype != "uint8"
    if (stated := evidence.stated).scales and of_product:
        return _positive(stated.scales, "scales", evidence.path), stated.origins["scale"]
    if any(scale != 1 for scale in evidence.scales):
        return _positive(evidence.scales, "band scales", evidence.path), "the file's band scales"
    if factors := _numbers(evidence, (SCALE_TAG,)):
        return _positive(factors, f"tag {SCALE_TAG.lower()}", evidence.path), f"the file's tag {SCALE_TAG.lower()}"
    if of_product and (quantification := _numbers(evidence, QUANTIFICATION_TAGS)):
        divisors = _positive(quantification, "tag QUANTIFICATION_VALUE", evidence.path)
        return tuple(1 / divisor for divisor in divisors), "the file's QUANTIFICATION_VALUE"
    return None


def _sane_scale(evidence: Evidence) -> BandNumbers | None:
    """As `_stated_scale`, but None where tags make no sense, for scenes whose scale the user gave."""
    try:
        return _stated_scale(evidence)
    except SceneError:
        return None


def _is_left_over(evidence: Evidence, card: ModelCard, settings: ReadingSettings) -> bool:
    """Whether the stated scale and offset are left over from before somebody scaled the values.

    By the user's word where there is one, else by the values: floats of the size of reflectance, of which the tags
    would leave next to nothing.
    """
    if not evidence.is_float:
        return False
    given = _given_scale(card, settings)
    numbers = _stated_scale(evidence) if given is None else _sane_scale(evidence)
    if numbers is None:
        return False
    if given is not None:
        return given > LEFT_OVER * max(numbers[0])
    bright = np.percentile(evidence.sample, 99, axis=0) if evidence.is_reflectance else np.zeros(1)
    return bool((bright >= UNSEEN).all() and (bright * max(numbers[0]) < UNSEEN).all())


def _scale_of_floats(evidence: Evidence, count: int) -> BandNumbers:
    """The scale of floats for which none is stated, by their size.

    Raises:
        SceneError: The sample has too few pixels.
    """
    if evidence.tells_unit and not evidence.is_reflectance:
        return (DN_SCALE,) * count, "assumed: dn, as the floats are too large for reflectance"
    if evidence.tells_unit or evidence.is_empty:
        return (1.0,) * count, "assumed: reflectance, as it is floats"
    raise SceneError(
        f"{evidence.path}: expected to know what its floats are, digital numbers or reflectance. Received: no tag that "
        f"says so, and {evidence.too_few}. Say which: --scale dn, or --scale reflectance"
    )


def _stretch(evidence: Evidence, card: ModelCard, settings: ReadingSettings) -> tuple[float, str] | None:
    """The scale of ESA's true-colour image, and where it comes from; None if the scene is none."""
    name = re.split(r"[/\\]", evidence.path)[-1]
    if settings.scale != "auto" or evidence.dtype != "uint8" or not is_true_color(name):
        return None
    stated = _stated_level(evidence, settings)
    level, assumed = (stated[0], "") if stated else (card.levels[0], "assumed: ")
    scale = true_color_scale(level)
    return scale, f"{assumed}{scale:.6g}, ESA's stretch of {level}'s true-colour image (TCI)"


def _positive(numbers: tuple[float, ...], what: str, path: str) -> tuple[float, ...]:
    if not all(0 < number < math.inf for number in numbers):
        raise SceneError(f"{path}: expected positive numbers as its {what}. Received: {numbers}. Give --scale")
    return numbers


def _offset(evidence: Evidence, scale: tuple[float, ...], card: ModelCard, settings: ReadingSettings) -> BandNumbers:
    count = len(evidence.band_names)
    if settings.offset != "auto":
        return (float(settings.offset),) * count, "given with --offset"
    stated = {name: numbers for name, numbers in _offsets_by_source(evidence).items() if numbers[0]}
    kept = {name: numbers for name, numbers in stated.items() if not _is_of_numbers(numbers[0], scale, evidence)}
    if stated and (not kept or _is_left_over(evidence, card, settings)):
        numbers, origin = next(iter(stated.values()))
        return (0.0,) * count, f"0, as the floats are scaled already (left over: {origin}, {numbers[0]:g})"
    for one, other in pairwise(kept):
        if not np.allclose(kept[one][0], kept[other][0]):
            raise SceneError(
                f"{evidence.path}: its {one} ({kept[one][0]}) and its {other} ({kept[other][0]}) "
                "disagree. Say which holds: --offset N, in the file's own units"
            )
    if kept:
        return next(iter(kept.values()))
    if _stretch(evidence, card, settings):
        return (-float(TCI_BLACK),) * count, f"ESA's true-colour images (TCI) have {TCI_BLACK} where it is black"
    origin = evidence.stated.origins.get("offset", "")
    return (0.0,) * count, origin if origin.startswith("assumed") else "assumed: 0, as the file names none"


def _is_of_numbers(offset: tuple[float, ...], scale: tuple[float, ...], evidence: Evidence) -> bool:
    """Whether an offset is in digital numbers though the floats are not: its reflectance would be more than 2."""
    return evidence.is_float and max(abs(o * s) for o, s in zip(offset, scale, strict=True)) > 2


def _offsets_by_source(evidence: Evidence) -> dict[str, BandNumbers]:
    """Offsets by the place where they are stated, the most trusted first; empty tuples where there are none."""
    of_bands = _band_offsets(evidence)
    found = {"band offsets": (of_bands if any(of_bands) else (), "the file's band offsets")}
    if evidence.dtype == "uint8":  # a picture of a product keeps the tags of the product
        return found
    stated, of_tags = evidence.stated, _numbers(evidence, OFFSET_TAGS) or ()
    tag = next((key for key in OFFSET_TAGS if of_tags and _numbers(evidence, (key,))), "")
    return {
        "metadata": (stated.offsets or (), stated.origins.get("offset", "")),
        **found,
        f"tags {' or '.join(OFFSET_TAGS)}": (of_tags, f"the file's tag {tag}"),
    }


def _band_offsets(evidence: Evidence) -> tuple[float, ...]:
    """GDAL's or CF's offsets, which are added after scaling, as offsets that are added before, in the file's units."""
    offsets, scales = evidence.offsets, evidence.scales
    if not any(offsets) and (added := _numbers(evidence, (ADDED_TAG,))):
        offsets = added
    if not any(offsets):
        return (0.0,) * len(offsets)
    if all(scale == 1 for scale in scales):
        scales = _numbers(evidence, (SCALE_TAG,)) or scales
    if not all(map(math.isfinite, offsets)) or not all(0 < scale < math.inf for scale in scales):
        raise SceneError(
            f"{evidence.path}: can't make sense of its band offsets {offsets} at scales {scales}. "
            "Say which offset holds: --offset N, in the file's own units"
        )
    return tuple(offset / scale for offset, scale in zip(offsets, scales, strict=True))


def _numbers(evidence: Evidence, keys: Sequence[str]) -> tuple[float, ...] | None:
    """A number for each band by the first of several tags of the band, else of the file; None if there is none."""
    for key in keys:
        texts = [tags.get(key, evidence.tag_of_each_band(key)) for tags in evidence.band_tags]
        if any(text is not None for text in texts):
            return tuple(_number(text, key, evidence.path) for text in texts)
    return None


def _number(text: str | None, key: str, path: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        option = "--offset" if key in (*OFFSET_TAGS, ADDED_TAG) else "--scale"
        raise SceneError(
            f"{path}: expected a number as its tag {key} for every band. Received: {text!r}. Give {option}"
        )
    return number


def _level(evidence: Evidence, reflectance: Floats, card: ModelCard, settings: ReadingSettings) -> tuple[Level, str]:
    if stated := _stated_level(evidence, settings):
        return stated
    dark = _dark(evidence, reflectance)
    if "B02" in dark and dark["B02"] < DARK_BLUE:
        return "L2A", (
            f"assumed: L2A, as the darkest B02 is {dark['B02']:.3f}, and uncorrected scenes have at least "
            f"{DARK_BLUE:g} from the air"
        )
    if {"B02", "B04"} <= dark.keys() and 0.09 < dark["B04"] < 0.16 and dark["B02"] - dark["B04"] < FLAT:
        return "L2A", "assumed: L2A, as the darkest pixels are as bright in B04 as in B02, but for an offset left in"
    return card.levels[0], f"assumed: {card.levels[0]}, the model's own"


def _stated_level(evidence: Evidence, settings: ReadingSettings) -> tuple[Level, str] | None:
    """The product level that the user, metadata, tags or names state, and which of them; None if none does."""
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
    if level := level_in(" ".join(folder for folder in folders if _is_product(folder))):
        return level, "the name of the product it lies in"
    if evidence.has_scl:
        return "L2A", "the scene classification (SCL) beside its bands: only L2A has one"
    if level := true_color_level(name):
        return level, f"the form of its name, which is that of {level}'s true-colour images (TCI)"
    return None


def _is_product(folder: str) -> bool:
    """Whether a folder has the name of a product: ESA's SAFE, or "S2A_33UUP_20230813_0_L2A" as on AWS."""
    return folder.upper().endswith(".SAFE") or re.match(r"S2[A-D]_", folder.upper()) is not None


def _dark(evidence: Evidence, reflectance: Floats) -> dict[str, float]:
    """1st percentile of reflectance by band; empty for few pixels and for 8 bits, which were stretched."""
    if evidence.dtype == "uint8" or not evidence.is_enough:
        return {}
    dark = np.percentile(reflectance, 1, axis=0)
    return dict(zip(evidence.band_names, dark.tolist(), strict=True)) if dark.min() > DARKEST else {}


def haze_between(
    level: Level, wanted: Sequence[Level], names: Sequence[str], path: str
) -> tuple[tuple[tuple[float, float], ...], str]:
    """Gain and bias of each band that bring a scene to one of the levels wanted, and a text that says what they do.

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
        return up, f"typical haze added (L2A to L1C){_computed(names)}"
    return tuple((1 / gain, -bias / gain) for gain, bias in up), f"typical haze removed (L1C to L2A){_computed(names)}"


def _computed(names: Sequence[str]) -> str:
    """Which of these bands have a haze that was computed and not measured, in words; empty where none has."""
    computed = [name for name in names if name not in MEASURED_HAZE]
    return f", computed and not measured for {', '.join(computed)}" if computed else ""
