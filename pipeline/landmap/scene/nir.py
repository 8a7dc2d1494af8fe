"""Near infrared (B08) of a scene, for models with a NIR prior: whether it is used, or why not.

Near infrared is never needed: if anything is wrong with it, the map is made by true colour, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from landmap.errors import SceneError
from landmap.products.bands import FileBand, bands_called
from landmap.products.nodata import share_text
from landmap.radiometry.conversion import LEAST_PIXELS, Evidence, Radiometry
from landmap.radiometry.resolve import haze_between, is_stated, scale_and_offset
from landmap.scene.sample import PixelMask, PlaceMemory, Sample, sample, share_missing
from landmap.scene.source import Source
from landmap.settings import ReadingSettings
from landmap_models.arrays import Bools, Floats
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.nir import NirPrior
from landmap_models.sentinel2 import TRUE_COLOR

ONLY = "true colour only"
VISIBLE = ("B04", "B03")
"""Red and green."""
NOTICED = 0.05
"""Near infrared without data in more than this share of the sampled pixels is worth a warning."""


@dataclass(frozen=True, slots=True)
class NirInput:
    """What a model's NIR prior gets of a scene."""

    source: Source
    """Reads B08."""
    visible: tuple[int, int]
    """Indexes of red and green among the model's bands."""
    radiometry: Radiometry
    """How values of red, green and near infrared become reflectance at the prior's level."""

    def spectrum(self, values: npt.NDArray[np.generic], nir: npt.NDArray[np.generic], valid: Bools) -> Floats:
        """Reflectance of red, green and near infrared, `(height, width, 3)`.

        Args:
            values: Values of the model's bands as they are in the file, `(height, width, bands)`.
            nir: Values of B08 as they are in the file, `(height, width)`.
            valid: True where B08 has data by its file, `(height, width)`. 0 is no data, too: it is Sentinel-2's nodata
                value, and a hole that is taken for dark would be taken for water.
        """
        stacked = np.concatenate([values[..., list(self.visible)], nir[..., None]], axis=-1)
        out = self.radiometry.to_model(np.asarray(stacked))
        out[..., 2] = np.where(valid & (nir != 0), out[..., 2], np.nan)
        return out


def find_nir_band(
    bands: tuple[FileBand, ...], given: int | None, card: ModelCard, settings: ReadingSettings
) -> int | str:
    """Number of B08 in a file, from 1, or a text that says why it is not used.

    Args:
        bands: The bands of the file.
        given: Number of B08 by `--bands`; None if not given.
        card: Card of the model.
        settings: `use_nir` and `bands` are used.
    """
    if card.nir is None:
        return _without_prior(card)
    if not settings.use_nir:
        return f"not used, as asked (--no-nir): {ONLY}"
    if given is not None:
        return given
    if settings.bands is not None:
        return f"not among --bands: {ONLY}. Add {NIR_BAND}=N if the file has it"
    found = bands_called(bands, NIR_BAND)
    if not found:
        return f"not in the scene: {ONLY}. With {NIR_BAND} in the file, dark green fields are told from water"
    if len(found) > 1:
        hint = ",".join(f"{name}=N" for name in (*card.band_names, NIR_BAND))
        return f"there {len(found)} times: {ONLY}. Say which is which: --bands {hint}"
    return found[0]


def _without_prior(card: ModelCard) -> str:
    """What B08 is to a model without a NIR prior, in words."""
    if NIR_BAND in card.band_names:
        return "one of the model's own bands"
    if NIR_BAND in card.optional_bands:
        return "one of the further bands that the model can use"
    return f"not known to the model{f': {ONLY}' if set(card.band_names) <= set(TRUE_COLOR) else ''}"


def resolve_nir(
    source: Source, evidence: Evidence, radiometry: Radiometry, card: ModelCard, settings: ReadingSettings
) -> NirInput | str:
    """Resolve what the values of B08 mean, or return a text that says why it is not used.

    It is used only if its values are as certain as those of the other bands: reflectance of a known scale.

    Args:
        source: The source that reads near infrared (B08).
        evidence: What is stated of B08, with the sample of the model's bands.
        radiometry: Radiometry of the model's bands.
        card: Card of a model with a NIR prior.
        settings: As for the other bands.
    """
    assert card.nir is not None  # find_nir_band has checked it
    if source.dtype == "uint8" or settings.scale == "8bit":
        return f"8 bits, as of a picture: {ONLY}. Near infrared needs digital numbers or reflectance"
    if source.dtype != evidence.dtype:
        return f"of another data type ({source.dtype}, not {evidence.dtype}): {ONLY}"
    if "scale" in radiometry.assumed:
        return f"of a scale that is assumed: {ONLY}. Give --scale"
    try:
        scale, offset = scale_and_offset(evidence, card, settings)
        own = _radiometry(scale[0], offset[0], radiometry, card, card.nir, source.redacted_path)
    except SceneError as error:
        return f"not usable: {ONLY}. {str(error).removeprefix(f'{source.redacted_path}: ')}"
    if not (np.isclose(own.scale, own.scale[0]).all() and np.isclose(own.offset, own.offset[0]).all()):
        return f"of another scale or offset than red and green: {ONLY}. Say which holds: --scale, --offset"
    return NirInput(source, _visible(card), own)


def _visible(card: ModelCard) -> tuple[int, int]:
    return card.band_names.index(VISIBLE[0]), card.band_names.index(VISIBLE[1])


def _radiometry(
    scale: float, offset: float, visible: Radiometry, card: ModelCard, prior: NirPrior, path: str
) -> Radiometry:
    """Radiometry of red, green and near infrared at the prior's level."""
    places = _visible(card)
    haze, _ = haze_between(visible.level, (prior.level,), (*VISIBLE, NIR_BAND), path)
    return replace(
        visible,
        scale=(*(visible.scale[i] for i in places), scale),
        offset=(*(visible.offset[i] for i in places), offset),
        haze=haze,
        warnings=(),
    )


def check_nir(nir: NirInput, found: Sample) -> str | None:
    """A text that says what is wrong with the values of B08; None if nothing is, or too few are known.

    Args:
        nir: How they become reflectance.
        found: A sample of its values.
    """
    values = found.values[:, 0]
    if found.complete and not len(values):
        return "without data where it was looked at"
    if len(values) < LEAST_PIXELS:
        return None
    # At the scene's own level, as added haze would brighten a band that is black.
    own_level = (values + nir.radiometry.offset[2]) * nir.radiometry.scale[2]
    middle, bright = np.percentile(own_level, (50, 99))
    if middle > 1.5 or bright < 0.005:
        return f"not like reflectance (median {middle:.3g}, 99th percentile {bright:.3g})"
    return None


@dataclass(frozen=True, slots=True)
class NirUse:
    """Whether a scene's near infrared is used."""

    input: NirInput | None
    """What the model's prior gets; None if near infrared is not used."""
    text: str
    """How it is used, or why not."""
    warnings: tuple[str, ...] = ()
    """What the user should know of it."""


def decide_nir(
    source: Source,
    evidence: Evidence,
    scene: tuple[Source, Radiometry],
    masks: Sequence[PixelMask],
    memory: PlaceMemory,
    label: str,
    card: ModelCard,
    settings: ReadingSettings,
) -> NirUse:
    """Decide whether a scene's near infrared is used, by what is stated of it and by a sample of its values.

    Args:
        source: The source that reads near infrared (B08).
        evidence: What is stated of its values, with the sample of the scene's other bands.
        scene: The scene's bands and their radiometry.
        masks: Masks that mask the input of the model.
        memory: What was read of the scene before.
        label: Where B08 lies, for the text: "band 4", or the name of its file.
        card: Card of a model with a NIR prior.
        settings: As for the other bands.
    """
    bands, radiometry = scene
    nir = resolve_nir(source, evidence, radiometry, card, settings)
    if isinstance(nir, str):
        return nir_not_used(nir)
    found = sample(source, masks, memory)
    problem = check_nir(nir, found)
    if problem and not (is_stated(evidence) and len(found.values)):
        return nir_not_used(f"{problem}: {ONLY}")
    warnings = [f"{NIR_BAND} is {problem}, and used as its metadata say: leave it out with --no-nir"] if problem else []
    return NirUse(nir, f"used as NIR prior ({label})", (*warnings, *_missing_nir(bands, source, masks, memory)))


def nir_not_used(reason: str) -> NirUse:
    """The decision not to use a near infrared that the scene has, which is worth a warning."""
    return NirUse(None, reason, (f"{NIR_BAND} is not used: {reason}",))


def _missing_nir(bands: Source, nir: Source, masks: Sequence[PixelMask], memory: PlaceMemory) -> tuple[str, ...]:
    """The warning that much of the scene is mapped without near infrared, as it has no data there."""
    share, value = share_missing(bands, nir, masks, memory)
    if share < NOTICED:
        return ()
    stands = f" (it is {value} there)" if value else ""
    return (
        f"{NIR_BAND} has no data{stands} in {share_text(share)} of the pixels that were looked at and that the other "
        "bands show: these are mapped without it",
    )
