"""Faults in the content of a model card, each as a sentence, so that one message can name them all.

The content is that of the card's JSON; tuples count as lists. Its entries are the fields of the dataclasses in `card`,
`legend` and `nir`.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from landmap_models.legend import COLOR, MAX_CLASS_ID, LandClass
from landmap_models.model_file.chips import ChipPart
from landmap_models.model_file.nir import NirPrior, Roles
from landmap_models.model_file.pixels import PixelPart
from landmap_models.model_file.transform import LogSigmoid
from landmap_models.sentinel2 import LEVELS

SENTINEL_BAND = re.compile("B(0[1-9]|1[0-2]|8A)")
"""Names of Sentinel-2's bands."""

NIR_BAND = "B08"
"""Sentinel-2's band that a near-infrared prior reads."""

REFLECTANCE = (-1.0, 2.0)
"""Range of the reflectance of land, water and cloud; percent and digital numbers lie outside."""
WIDEST_RANGE = (-1.0, 7.0)
"""Widest range of reflectance that a network may distinguish: 65,535 digital numbers are 6.6."""

Content = Mapping[str, Any]
Task = Literal["single-label", "multi-label"]
"""What a model answers of a chip: its class, or any number of classes."""
Answers = Literal["chip", "pixel"]
"""What a model answers for: a chip, or each pixel."""


def is_number(value: object) -> bool:
    """Whether a value of a card is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN too, and for whole numbers that no float can hold


def card_faults(content: Content, card: type, band: type) -> list[str]:
    """Find every fault of a card.

    Args:
        content: Entries of the card without `schema`; optional ones may be None.
        card: Dataclass of a card, whose fields are the entries.
        band: Dataclass of one of the bands of a card.
    """
    content = {name: value for name, value in content.items() if value is not None or name not in OPTIONAL}
    found = list(_key_faults(content, card, ""))
    for name, check in CHECKS.items():
        if name in content:
            found += check(name, content[name])
    if "bands" in content:
        found += _band_faults(content["bands"], band)
    if content.get("optional"):
        found += _band_faults(content["optional"], band)
    return found + list(_together(content))


def _key_faults(content: Content, kind: type, where: str) -> Iterator[str]:
    """Faults of entries that are missing or unknown."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in content:
            yield f"lacks the entry {name!r}{where}"
    for name in content:
        if name not in fields:
            yield f"has an entry {name!r}{where}, which no card has. Remove it"


def _expected(what: str, value: object) -> str:
    return f"Expected {what}. Received: {value!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.splitlines() == [value]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _text(name: str, value: object) -> list[str]:
    return [] if _is_text(value) else [_expected(f"{name} as a text that is not empty", value)]


def _name(name: str, value: object) -> list[str]:
    return _text(name, value) or ([] if _is_line(value) else [_expected("a name on one line", value)])


def _digest(name: str, value: object) -> list[str]:
    return [] if isinstance(value, str) else [_expected(f"{name} as a text", value)]


def _mapping(name: str, value: object) -> list[str]:
    return [] if isinstance(value, Mapping) else [_expected(f"{name} as names with values", value)]


def _levels(name: str, value: Any) -> list[str]:
    fits = _is_list(value) and len(value) and all(level in LEVELS for level in value)
    return [] if fits and len(set(value)) == len(value) else [_expected(f"{name} out of L1C and L2A in a list", value)]


def _chip_size(name: str, value: Any) -> list[str]:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return [] if fits else [_expected("a positive chip size in whole pixels", value)]


def _resolution(name: str, value: Any) -> list[str]:
    return [] if is_number(value) and value > 0 else [_expected("a positive resolution in metres", value)]


def _range(name: str, value: Any) -> list[str]:
    if not (_is_list(value) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]):
        return [_expected(f"{name} as two numbers low < high", value)]
    low, high = WIDEST_RANGE
    if value[0] < low or value[1] > high:
        return [_expected(f"{name} in reflectance (10 % is 0.1, 1000 digital numbers are 0.1)", list(value))]
    return []


def _task(name: str, value: object) -> list[str]:
    tasks = get_args(Task)
    return [] if value in tasks else [_expected(f"the task {' or '.join(map(repr, tasks))}", value)]


def _answers(name: str, value: object) -> list[str]:
    return [] if value in get_args(Answers) else [_expected(f"{name} 'chip' or 'pixel'", value)]


def _pixels(name: str, value: Any) -> list[str]:
    least = 1 if name == "step" else 0
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return [] if fits else [_expected(f"{name} in whole pixels, at least {least}", value)]


def _legend(name: str, value: Any) -> list[str]:
    if not _is_list(value) or not all(isinstance(entry, Mapping) for entry in value):
        return [_expected(f"{name} as a list of classes with id, name and color", value)]
    found = [fault for i, entry in enumerate(value) for fault in _class_faults(entry, i)]
    ids, names = [[entry.get(key) for entry in value] for key in ("id", "name")]
    if ids != list(range(len(value))):
        found.append(_expected("class ids 0, 1, 2 … in order", ids))
    twice = sorted({str(each) for each in names if names.count(each) > 1})
    if twice:
        found.append(f"Expected distinct class names. Received more than once: {', '.join(twice)}")
    if not 2 <= len(value) <= MAX_CLASS_ID + 1:
        found.append(f"Expected at least two classes, and at most {MAX_CLASS_ID + 1}. Received: {len(value)}")
    return found


def _class_faults(entry: Content, place: int) -> list[str]:
    found = list(_key_faults(entry, LandClass, f" of class {place}"))
    name, color = entry.get("name"), entry.get("color")
    if "name" in entry and not (_is_text(name) and _is_line(name)):
        found.append(_expected(f"the name of class {place} as one line of text", name))
    if "color" in entry and not (isinstance(color, str) and COLOR.fullmatch(color)):
        found.append(_expected(f"a colour like #1f6b2e for class {name}", color))
    return found


CHECKS: dict[str, Callable[[str, Any], list[str]]] = {
    "name": _name,
    **dict.fromkeys(("version", "description", "licence"), _text),
    "weights_sha256": _digest,
    **dict.fromkeys(("training", "metrics", "versions"), _mapping),
    "levels": _levels,
    "chip_size": _chip_size,
    "resolution": _resolution,
    "reflectance_range": _range,
    "task": _task,
    "answers": _answers,
    **dict.fromkeys(("margin", "step"), _pixels),
    "legend": _legend,
}
"""Check of each entry by itself."""
OPTIONAL = ("thresholds", "nir", "pixels", "chips", "margin", "transform")
"""Entries that may be null in the JSON."""


def _band_faults(bands: Any, kind: type) -> Iterator[str]:
    if not _is_list(bands) or not bands or not all(isinstance(band, Mapping) for band in bands):
        yield _expected("bands as a list of objects with name, p01, median, p99 and mean", bands)
        return
    for place, band in enumerate(bands):
        yield from _key_faults(band, kind, f" of band {band.get('name', place)}")
        if "name" in band and not (isinstance(band["name"], str) and SENTINEL_BAND.fullmatch(band["name"])):
            yield _expected("Sentinel-2 band names such as B02 or B8A", band["name"])
        if {"p01", "median", "p99", "mean"} <= band.keys():
            yield from _profile_faults(band)
    names = [band.get("name") for band in bands]
    if any(names.count(name) > 1 for name in names):
        yield _expected("distinct band names", names)


def _profile_faults(band: Content) -> Iterator[str]:
    numbers = [band[key] for key in ("p01", "median", "p99", "mean")]
    name = band.get("name")
    if not all(map(is_number, numbers)):
        yield f"Expected finite p01, median, p99 and mean of band {name}. Received: {numbers}"
    elif not numbers[0] <= numbers[1] <= numbers[2]:
        yield f"Expected p01 <= median <= p99 of band {name}. Received: {numbers[:3]}"
    elif min(numbers) < REFLECTANCE[0] or max(numbers) > REFLECTANCE[1]:
        yield (
            f"Expected p01, median, p99 and mean of band {name} in reflectance (10 % is 0.1, 1000 digital numbers are "
            f"0.1). Received: {numbers}"
        )


def _together(content: Content) -> Iterator[str]:
    """Faults of entries that contradict each other."""
    legend: Any = content.get("legend")
    task = content.get("task", "single-label")
    if "thresholds" in content:
        yield from _threshold_faults(content["thresholds"], task, len(legend) if _is_list(legend) else None)
    if "nir" in content:
        yield from _nir_faults(content, task)
    if "pixels" in content:
        yield from _pixel_faults(content, task)
    if "chips" in content:
        yield from _chip_faults(content["chips"], task)
    if "transform" in content:
        yield from _transform_faults(content)
    if content.get("answers") == "pixel":
        yield from _per_pixel_faults(content, task)
    else:
        for name in ("margin", "step", "optional", "transform"):
            if content.get(name) not in (None, (), [], 1 if name == "step" else None):
                yield f"Expected {name} of models that answer for each pixel only. This one answers for chips"


def _names(content: Content, *entries: str) -> list[str]:
    """Names of the bands in some entries of a card, as far as these are bands."""
    lists: list[Any] = [content.get(entry) for entry in entries]
    return [str(band.get("name")) for bands in lists if _is_list(bands) for band in bands if isinstance(band, Mapping)]


def _per_pixel_faults(content: Content, task: object) -> Iterator[str]:
    if task != "single-label" or not {"nir", "pixels", "chips"}.isdisjoint(content):
        yield "Expected a single-label model without nir, pixels and chips where it answers for each pixel"
    names = _names(content, "bands", "optional")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"Expected each band once among bands and optional. Received more than once: {', '.join(twice)}"
    step, margin, size = (content.get(name, 1 if name == "step" else None) for name in ("step", "margin", "chip_size"))
    if not isinstance(step, int) or isinstance(step, bool) or step < 1:
        return
    if isinstance(margin, int) and margin % step:
        yield f"Expected a margin in whole steps of {step} px. Received: {margin}"
    if margin is None and isinstance(size, int) and size % (2 * step):
        yield f"Expected a chip_size in double steps of {step} px where the margin is not finite. Received: {size}"


def _transform_faults(content: Content) -> Iterator[str]:
    value = content["transform"]
    if not isinstance(value, Mapping):
        yield _expected("transform as an object with name, low and width", value)
        return
    keys = list(_key_faults(value, LogSigmoid, " of transform"))
    yield from keys
    if keys:
        return
    try:
        LogSigmoid.from_content(value).check(len(_names(content, "bands", "optional")))
    except (TypeError, ValueError) as error:
        own = str(error).startswith("Expected")
        yield (str(error) if own else _expected("low and width of transform as lists of numbers", value))


def _threshold_faults(value: Any, task: object, classes: int | None) -> Iterator[str]:
    if task != "multi-label":
        yield "Expected thresholds of a multi-label model only. This one is single-label"
        return
    inside = _is_list(value) and all(is_number(t) and 0 < t < 1 for t in value)
    if not inside or (classes is not None and len(value) != classes):
        yield _expected(f"thresholds between 0 and 1, one for each of {classes} classes", value)


def _nir_faults(content: Content, task: object) -> Iterator[str]:
    bands: Any = content.get("bands")
    legend: Any = content.get("legend")
    names = [band.get("name") for band in bands if isinstance(band, Mapping)] if _is_list(bands) else []
    if {"B04", "B03"} - set(map(str, names)) or NIR_BAND in names or task != "single-label":
        yield (
            f"Expected a nir prior with a single-label model of B04 and B03 without {NIR_BAND}. "
            f"Received: {task}, {', '.join(map(str, names))}"
        )
    yield from _prior_faults(content["nir"], len(legend) if _is_list(legend) else 0)


def _pixel_faults(content: Content, task: object) -> Iterator[str]:
    bands: Any = content.get("bands")
    legend: Any = content.get("legend")
    names = [str(band.get("name")) for band in bands if isinstance(band, Mapping)] if _is_list(bands) else []
    part: Any = content["pixels"]
    if not isinstance(part, Mapping) or task != "single-label":
        yield _expected("pixels of a single-label model, as an object with bands, classes, fits and more", part)
        return
    keys = list(_key_faults(part, PixelPart, " of pixels"))
    yield from keys
    if keys:
        return
    try:
        PixelPart.from_content(part).check(names, len(legend) if _is_list(legend) else 0)
    except (TypeError, ValueError) as error:
        own = str(error).startswith("Expected")
        yield (str(error) if own else _expected("numbers, names and lists of these in pixels", part))


def _chip_faults(part: Any, task: object) -> Iterator[str]:
    if not isinstance(part, Mapping) or task != "single-label":
        yield _expected("chips of a single-label model, as an object with weight, sha256 and origin", part)
        return
    keys = list(_key_faults(part, ChipPart, " of chips"))
    yield from keys
    if not keys:
        try:
            ChipPart.from_content(part).check()
        except ValueError as error:
            yield str(error)


def _prior_faults(nir: Any, classes: int) -> Iterator[str]:
    if not isinstance(nir, Mapping) or not isinstance(nir.get("roles", {}), Mapping):
        yield _expected("nir as an object with means, covariances and roles", nir)
        return
    keys = [*_key_faults(nir, NirPrior, " of nir"), *_key_faults(nir.get("roles", {}), Roles, " of nir's roles")]
    yield from keys
    if keys:
        return
    try:
        NirPrior.from_content(nir).check(classes)
    except (TypeError, ValueError) as error:
        own = str(error).startswith("Expected")
        yield (str(error) if own else _expected("nir's means as pairs, covariances as 2x2, roles as lists", nir))
