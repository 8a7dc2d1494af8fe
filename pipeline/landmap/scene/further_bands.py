"""Bands beyond true colour and near infrared (red edge, short-wave), for models whose pixel network knows them.

They help where they are there and are never needed: whatever is wrong with them leaves a map without them, and the plan
says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landmap.errors import SceneError
from landmap.products.bands import FileBand, bands_called
from landmap.products.nodata import share_text
from landmap.radiometry.conversion import LEAST_PIXELS, Evidence, Radiometry
from landmap.radiometry.resolve import haze_between, is_stated, scale_and_offset
from landmap.scene.sample import PixelMask, PlaceMemory, sample, share_missing
from landmap.scene.source import Source
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Floats
from landmap_models.model_file.card import NIR_BAND, ModelCard

Described = tuple[Source, Evidence]
"""What reads some bands, and what is stated of their values."""
DARK, BRIGHT = 0.001, 1.5
"""The 99th percentile of a band that holds reflectance lies above the first, its median below the second."""
MISSED = 0.05
"""Where more than this share of the sampled pixels has no data in a band, or 0, it is not used: where it is not there,
the network takes a stand-in for what was measured, and 0 for water."""


def maps_pixels(card: ModelCard, settings: Settings) -> bool:
    """Whether the settings let a model map single pixels, and it has a network for that."""
    if settings.detail == "chip" or card.pixels is None:
        return False
    return settings.detail == "pixel" or not (settings.stride or settings.smooth)


def further_names(card: ModelCard, settings: Settings) -> tuple[str, ...]:
    """Names of the bands beside those that the model must have and can use, in its order.

    B08 is not among them where it is read for a prior.
    """
    if not settings.use_nir or not (card.per_pixel or maps_pixels(card, settings)):
        return ()
    read = (*card.band_names, *([NIR_BAND] if card.nir else []))
    return tuple(name for name in (card.pixels.bands if card.pixels else card.input_names) if name not in read)


@dataclass(frozen=True, slots=True)
class FurtherBands:
    """What a pixel network gets of a scene beside the model's own bands and near infrared."""

    parts: tuple[tuple[Source, Radiometry], ...]
    """What reads some of them, and how their values become reflectance at the model's level; one part has them all,
    unless some of the scene's are not used."""

    @property
    def names(self) -> tuple[str, ...]:
        """Sentinel-2 names of the bands, in the pixel network's order."""
        return tuple(name for source, _ in self.parts for name in source.band_names)

    def read(self, window: Window) -> Floats:
        """Reflectance of a window, `(height, width, bands)`; NaN where one of the bands of a part has no data.

        Raises:
            ReadError: The window can't be read.
        """
        read = []
        for source, radiometry in self.parts:
            values, valid = source.read(window)
            read.append(np.where(valid[..., None], radiometry.to_model(values), np.float32(np.nan)))
        return read[0] if len(read) == 1 else np.concatenate(read, axis=-1)


@dataclass(frozen=True, slots=True)
class FurtherUse:
    """Whether a scene's further bands are used."""

    bands: FurtherBands | None = None
    """What the pixel network gets; None if none are used."""
    text: str = ""
    """Which are used, or why none are; empty where the model asks for none."""
    warnings: tuple[str, ...] = ()
    """What the user should know of them."""


def find_further_bands(
    bands: Sequence[FileBand], given: Mapping[str, int], wanted: Sequence[str], *, by_name: bool
) -> dict[str, int]:
    """Numbers in a file, from 1, of the further bands that it has, by name.

    Args:
        bands: Bands of the file.
        given: Numbers that the user gave, by band name.
        wanted: Names of the bands to look for.
        by_name: Look for what the user did not give by the names in the file, too.
    """
    found = {name: given[name] for name in wanted if name in given}
    if by_name:
        called = {name: bands_called(bands, name) for name in wanted if name not in found}
        found |= {name: numbers[0] for name, numbers in called.items() if len(numbers) == 1}
    return {name: found[name] for name in wanted if name in found}


def decide_further_bands(
    together: Described,
    alone: Sequence[Described],
    scene: tuple[Source, Radiometry],
    masks: Sequence[PixelMask],
    memory: PlaceMemory,
    card: ModelCard,
    settings: Settings,
) -> FurtherUse:
    """Decide which of a scene's further bands are used, by what is stated of them and by a sample of their values.

    Args:
        together: What reads all of them, and what is stated of their values.
        alone: The same for each band by itself; these are used where something is wrong with one of them.
        scene: The scene's own bands and their radiometry.
        masks: Masks that the model does not see through.
        memory: What was read of the scene before.
        card: Card of the model.
        settings: As for the scene's own bands.
    """
    found = _decide(*together, scene, masks, memory, card, settings)
    if found.bands is not None or len(alone) < 2:
        return found
    each = [_decide(*described, scene, masks, memory, card, settings) for described in alone]
    used = [use for use in each if use.bands is not None]
    if not used:
        return found
    bands = FurtherBands(tuple(part for use in used if use.bands for part in use.bands.parts))
    names, haze = ", ".join(bands.names), used[0].text.partition("; ")[2]
    if any(use.text.partition("; ")[2] != haze for use in used):  # each by its own text: some haze was not measured
        haze = "; ".join(f"{use.text.split()[0]} {use.text.partition('; ')[2]}" for use in used)
    unused = tuple(use.text for use in each if use.bands is None)
    text = "; ".join([f"{_are(names)} used for single pixels; {haze}", *unused])
    return FurtherUse(bands, text, tuple(text for use in each for text in use.warnings))


def _decide(
    source: Source,
    evidence: Evidence,
    scene: tuple[Source, Radiometry],
    masks: Sequence[PixelMask],
    memory: PlaceMemory,
    card: ModelCard,
    settings: Settings,
) -> FurtherUse:
    """Decide whether some bands are used, all or none."""
    names, (bands, radiometry) = ", ".join(source.band_names), scene
    if reason := _untrusted(source, bands, radiometry, settings):
        return _not_used(names, reason)
    try:
        scale, offset = scale_and_offset(evidence, card, settings)
        haze, haze_text = haze_between(radiometry.level, card.levels, source.band_names, source.redacted_path)
    except SceneError as error:
        return _not_used(names, str(error).removeprefix(f"{source.redacted_path}: "))
    share, _ = share_missing(bands, source, masks, memory)
    if share > MISSED:
        what = "one of them has" if len(source.band_names) > 1 else "it has"
        return _not_used(
            names,
            f"{what} no data, or 0, in {share_text(share)} of the pixels that were looked at and that the model's "
            "bands show",
        )
    own = replace(radiometry, scale=scale, offset=offset, haze=haze, warnings=())
    found = sample(source, masks, memory)
    reason = _implausible(found.values, source.band_names, own)
    if reason and not is_stated(evidence):
        return _not_used(names, reason)
    warnings = (f"{reason}, and used as metadata state: leave such bands out with --no-nir",) if reason else ()
    how = f"{_are(names)} used for single pixels; haze: {haze_text}"
    return FurtherUse(FurtherBands(((source, own),)), how, warnings)


def _untrusted(source: Source, bands: Source, radiometry: Radiometry, settings: Settings) -> str:
    """Why the numbers of further bands can't be trusted as those of the scene's own bands; empty if they can."""
    if source.dtype == "uint8" or settings.scale == "8bit":
        return "8 bits, as of a picture"
    if source.dtype != bands.dtype:
        return f"of another data type ({source.dtype}, not {bands.dtype})"
    return "of a scale that is assumed. Give --scale" if "scale" in radiometry.assumed else ""


def _implausible(values: Floats, names: Sequence[str], radiometry: Radiometry) -> str:
    """Why sampled values are not like reflectance; empty where they are, or where too few were sampled."""
    if len(values) < LEAST_PIXELS:
        return ""
    reflectance = (values + np.array(radiometry.offset, np.float32)) * np.array(radiometry.scale, np.float32)
    middle, bright = np.percentile(reflectance, (50, 99), axis=0)
    for name, low, high in zip(names, middle, bright, strict=True):
        if low > BRIGHT or high < DARK:
            return f"{name} is not like reflectance (median {low:.3g}, 99th percentile {high:.3g})"
    return ""


def _not_used(names: str, reason: str) -> FurtherUse:
    text = f"{_are(names)} not used: {reason}"
    return FurtherUse(text=text, warnings=(text,))


def _are(names: str) -> str:
    return f"{names} {'are' if ',' in names else 'is'}"
