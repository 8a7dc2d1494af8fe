"""From a file's numbers to the reflectance that a model was trained on, with every decision on record.

    reflectance = (value + offset) * scale
    at the model's level = gain * reflectance + bias

Each of the four comes from the user, from the file, or is assumed; the plan says which. Nothing is ever inferred from
an acquisition date: products were reprocessed, and public archives differ in whether the offset is still in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from landmap.errors import SceneError
from landmap.settings import Settings
from landmap_models.card import ModelCard

Level = Literal["L1C", "L2A"]
Floats = npt.NDArray[np.float32]

DN_SCALE = 1e-4
"""Sentinel-2's quantification: 10,000 is a reflectance of 1."""

HAZE: Mapping[str, tuple[float, float]] = {
    "B02": (0.84, 0.075),
    "B03": (0.86, 0.045),
    "B04": (0.88, 0.025),
    "B08": (0.90, 0.010),
}
"""Per band, gain and bias of top-of-atmosphere = gain * bottom-of-atmosphere + bias, for a typical European haze.

Measured on the same pixels before and after atmospheric correction (0.77 to 0.90 in gain, 0.01 to 0.07 in bias; the
relation is linear within a scene, r > 0.99) and rounded towards what gives believable maps of other scenes. A scene's
own haze differs: classes of a converted scene are less certain than those of a scene at the model's own level.
"""

DARK_BLUE = 0.05
"""Air alone scatters more than this in B02 at the top of the atmosphere: darker pixels have been corrected (L2A)."""

FLAT = 0.015
"""The air makes B02 brighter than B04 in dark pixels by more than this at the top of the atmosphere."""

DARKEST = -0.01
"""Correction hardly leaves less than this in any band. Darker means a wrong offset, and tells nothing of the level."""

QUANTIFICATION_TAGS = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE")
OFFSET_TAGS = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
LEVEL_TAGS = ("PROCESSING_LEVEL", "PRODUCT_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI", "LEVEL", "PRODUCT")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file says of its radiometry, and a sample of its values. One entry per model band throughout."""

    path: str
    """Name of the file."""
    dtype: str
    """NumPy name of its data type."""
    band_names: tuple[str, ...]
    """Sentinel-2 names."""
    scales: tuple[float, ...]
    """GDAL's band scales; 1 where the file has none."""
    offsets: tuple[float, ...]
    """GDAL's band offsets, after scaling; 0 where the file has none."""
    tags: Mapping[str, str]
    """The file's tags, keys in capitals."""
    band_tags: tuple[Mapping[str, str], ...]
    """Each band's tags, keys in capitals."""
    has_scl: bool
    """Whether another band of the file is a scene classification."""
    sample: Floats
    """Values of valid pixels as they are in the file, `(n, bands)`, none 0 in every band; may be empty."""
    blank: float = 0.0
    """Share of the sampled pixels that are 0 in every band, and yet declared valid."""

    @property
    def is_reflectance(self) -> bool:
        """Whether the values are floats of the size of reflectance.

        Reflectance beyond 2 is rare even on snow; digital numbers start at hundreds.
        """
        return self.dtype.startswith("float") and not (self.sample.size and float(np.median(self.sample)) > 2)


@dataclass(frozen=True, slots=True)
class Radiometry:
    """How a scene's values become the model's input. One entry per model band."""

    scale: tuple[float, ...]
    """Reflectance per unit."""
    offset: tuple[float, ...]
    """Added before scaling, in the file's units."""
    level: Level
    """Product level of the scene."""
    haze: tuple[tuple[float, float], ...]
    """Gain and bias that bring the reflectance to the model's level; (1, 0) where the levels agree."""
    origins: Mapping[str, str]
    """Where "scale", "offset", "level" and "haze" come from, in words."""
    assumed: tuple[str, ...] = ()
    """Those that neither the user nor the file gave."""
    warnings: tuple[str, ...] = ()
    """What looks wrong, in plain words."""

    def to_model(self, values: npt.NDArray[np.generic]) -> Floats:
        """Reflectance at the model's level of values `(..., bands)` as they are in the file."""
        gain = [haze[0] * scale for scale, haze in zip(self.scale, self.haze, strict=True)]
        bias = [
            haze[0] * scale * offset + haze[1]
            for scale, offset, haze in zip(self.scale, self.offset, self.haze, strict=True)
        ]
        return values.astype(np.float32) * np.asarray(gain, np.float32) + np.asarray(bias, np.float32)


def decide(evidence: Evidence, card: ModelCard, settings: Settings) -> Radiometry:
    """Decide scale, offset and level of a scene, and how it is brought to the model's level.

    Raises:
        SceneError: The file contradicts itself, or no haze model is known for a band.
    """
    scale, scale_origin = _scale(evidence, card, settings)
    offset, offset_origin = _offset(evidence, settings)
    reflectance = (evidence.sample + np.asarray(offset, np.float32)) * np.asarray(scale, np.float32)
    level, level_origin = _level(evidence, reflectance, card, settings)
    haze, haze_origin = _haze(level, card, evidence.path)
    origins = {"scale": scale_origin, "offset": offset_origin, "level": level_origin, "haze": haze_origin}
    radiometry = Radiometry(
        scale, offset, level, haze, origins, tuple(name for name, text in origins.items() if "assumed" in text)
    )
    return replace(radiometry, warnings=tuple(_warnings(radiometry, evidence, card)))


def _scale(evidence: Evidence, card: ModelCard, settings: Settings) -> tuple[tuple[float, ...], str]:
    eight_bit = card.reflectance_range[1] / 255
    fixed = {"dn": DN_SCALE, "reflectance": 1.0, "8bit": eight_bit}
    count = len(evidence.band_names)
    if not isinstance(settings.scale, str):
        return (float(settings.scale),) * count, "given with --scale"
    if settings.scale != "auto":
        return (fixed[settings.scale],) * count, "given with --scale"
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
    of_bands = _band_offsets(evidence)
    of_tags = _numbers(evidence, OFFSET_TAGS)
    if any(of_bands) and of_tags and not np.allclose(of_bands, of_tags):
        raise SceneError(
            f"{evidence.path}: its band offsets ({of_bands}) and its tags {' or '.join(OFFSET_TAGS)} ({of_tags}) "
            "disagree. Say which holds: --offset N, in the file's own units"
        )
    if any(of_bands):
        return of_bands, "the file's band offsets"
    if of_tags:
        return of_tags, f"the file's tag {next(key for key in OFFSET_TAGS if _numbers(evidence, (key,)))}"
    return (0.0,) * count, "assumed: 0, as the file names none"


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

    None for 8 bits and for reflectance: a picture or a conversion of a product keeps the tags of the product, which
    speak of its digital numbers.
    """
    if evidence.dtype == "uint8" or evidence.is_reflectance:
        return None
    for key in keys:
        texts = [tags.get(key, evidence.tags.get(key)) for tags in evidence.band_tags]
        if any(text is not None for text in texts):
            return tuple(_number(text, key, evidence.path) for text in texts)
    return None


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
    for key in LEVEL_TAGS:
        if key in evidence.tags and (level := level_in(evidence.tags[key])):
            return level, f"the file's tag {key}"
    if level := level_in(re.split(r"[/\\]", evidence.path)[-1]):
        return level, "the file's name"
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
    """The product level that a tag or a file name speaks of, or None: "S2MSI1C", "Level-2A", "kempen_L2A.tif"."""
    found = {
        match.upper()
        for match in re.findall(r"(?:level[-_ ]?|msi_?l?|(?<![a-z0-9])l)(1c|2a)(?![a-z0-9])", text.lower())
    }
    return "L1C" if found == {"1C"} else "L2A" if found == {"2A"} else None


def _dark(evidence: Evidence, reflectance: Floats) -> dict[str, float]:
    """1st percentile by band, where that means something: not of 8-bit pictures, which were stretched."""
    if evidence.dtype == "uint8" or not len(reflectance):
        return {}
    dark = np.percentile(reflectance, 1, axis=0)
    return dict(zip(evidence.band_names, dark.tolist(), strict=True)) if dark.min() > DARKEST else {}


def _haze(level: Level, card: ModelCard, path: str) -> tuple[tuple[tuple[float, float], ...], str]:
    if level in card.levels:
        return ((1.0, 0.0),) * len(card.bands), "none: the model was trained on this level"
    missing = [name for name in card.band_names if name not in HAZE]
    if missing:
        raise SceneError(
            f"{path}: it is {level} and the model was trained on {' and '.join(card.levels)}; no haze model is "
            f"known for {', '.join(missing)}. Use a scene of the model's level, or feed it as it is with "
            f"--level {card.levels[0]}"
        )
    up = tuple(HAZE[name] for name in card.band_names)
    if level == "L2A":
        return up, "typical haze added (L2A to L1C)"
    return tuple((1 / gain, -bias / gain) for gain, bias in up), "typical haze removed (L1C to L2A)"


def _warnings(radiometry: Radiometry, evidence: Evidence, card: ModelCard) -> list[str]:
    assumed = [f"--{name} {radiometry.origins[name].removeprefix('assumed: ')}" for name in radiometry.assumed]
    found = [f"assumed, since the file does not say: {'; '.join(assumed)}"] if assumed else []
    corrected = radiometry.level not in card.levels
    if corrected:
        found.append(
            f"the scene is {radiometry.level}, the model was trained on {' and '.join(card.levels)}: reflectance is "
            "brought to its level by a typical haze, not this scene's own; expect some confusion of fields and towns"
        )
    if evidence.blank > 0.001:
        found.append(
            f"{100 * evidence.blank:.1f} % of the sampled pixels are 0 in every band, and the file declares another "
            "nodata: they get a class. If they were not seen, declare 0 (gdal_edit -a_nodata 0)"
        )
    if len(evidence.sample):
        found += implausible(evidence.sample, radiometry, card)
    return found


def implausible(sample: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    """Compare a sample with what the model was trained on.

    Args:
        sample: Values of valid pixels as they are in the file, `(n, bands)`, at least one.
        radiometry: What was decided for them.
        card: The model's.

    Returns:
        One plain sentence for each thing that looks wrong.
    """
    # Haze that was added would lend light to a scene that is black, and blue to one whose bands are swapped.
    plain = replace(radiometry, haze=((1.0, 0.0),) * len(card.bands)).to_model(sample)
    return _wrong_scale(plain, radiometry, card) or [
        *_wrong_offset(radiometry.to_model(sample), radiometry, card),
        *_swapped(plain, radiometry, card),
    ]


def _wrong_scale(reflectance: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    median, bright = np.percentile(reflectance, (50, 99), axis=0)
    black = 0.3 * np.array([b.p01 for b in card.bands])
    if radiometry.level == "L1C" or "level" in radiometry.assumed:
        # 8 bits read as digital numbers stay below this, and look like L2A; only a lake that is known to be L2A may.
        black = np.maximum(black, 256 * DN_SCALE)
    if (median > 1.5).all():
        return [f"reflectance around {median.max():.0f} can't be: the values look like digital numbers (--scale dn)"]
    if (bright < black).all():
        return ["nearly black: the values look scaled already (--scale reflectance), or like 8 bits (--scale 8bit)"]
    return []


def _wrong_offset(at_model: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    dark, median = np.percentile(at_model, (1, 50), axis=0)
    trained_dark = np.array([b.p01 for b in card.bands])
    trained_span = np.array([b.p99 - b.p01 for b in card.bands])
    brighter = dark - trained_dark
    step = 0.1 / radiometry.scale[0]  # Sentinel-2's offset of 1000 digital numbers, in this file's units
    less, more = (f"--offset {round(radiometry.offset[0] + sign * step, 6) + 0.0:g}" for sign in (-1, 1))
    if ((brighter > 0.06) & (brighter < 0.16)).all():
        return [
            f"the darkest pixels are {brighter.mean():.2f} brighter in every band than those the model "
            f"knows: looks like an offset of {step:+.4g} was left in ({less}), unless all is cloud, snow or sand"
        ]
    if (median - trained_dark > 2 * trained_span).all():
        return ["far brighter than anything the model was trained on: cloud, snow, or the wrong scale"]
    if (brighter < -0.06).all():
        return [f"darker than physics allows: looks like an offset was subtracted twice ({more})"]
    return []


def _swapped(reflectance: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    """Whether red outshines blue in dark pixels; haze does the opposite at the top of the atmosphere.

    Not asked of a scene that is known to be corrected. Where the level was assumed, a large difference counts: swapped
    bands themselves look corrected, having red's darkness in B02. Scenes without dark pixels (deserts) tell nothing.
    """
    names, assumed = card.band_names, "level" in radiometry.assumed
    if not {"B04", "B02"} <= set(names) or (radiometry.level == "L2A" and not assumed):
        return []
    red, blue = (float(np.percentile(reflectance[:, names.index(name)], 1)) for name in ("B04", "B02"))
    if blue > 0.1 or red - blue < (0.03 if assumed else 0.015):
        return []
    return [
        "the darkest pixels are brighter in B04 than in B02, which air does not do: the bands look swapped (--bands)"
    ]
