"""Checks of a scene's radiometry. Each returns warnings, as texts for the user."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from landmap.radiometry.conversion import DARKEST, Evidence, Radiometry, Stated
from landmap_models.arrays import Floats
from landmap_models.model_file.card import ModelCard
from landmap_models.sentinel2 import DN_SCALE

UNITS = (
    ("reflectance", 1.0, "scaled already"),
    ("dn", DN_SCALE, "like digital numbers"),
    ("0.01", 0.01, "like percent"),
    ("0.001", 0.001, "like thousandths"),
)
"""Usual units of a file besides 8 bits: the value of `--scale`, reflectance per unit, and a text for such values."""


def radiometry_warnings(radiometry: Radiometry, evidence: Evidence, card: ModelCard) -> list[str]:
    """Warn of what was assumed, what makes the map less sure, and what differs from the chips of the training."""
    assumed = [f"--{name} {radiometry.origins[name].removeprefix('assumed: ')}" for name in radiometry.assumed]
    found = [f"assumed, since the file does not say: {'; '.join(assumed)}"] if assumed else []
    if not evidence.is_enough and not evidence.is_empty:
        found.append(f"{evidence.too_few}: dark and bright pixels decide and check nothing")
    left_over = [f"--{name} {text}" for name, text in radiometry.origins.items() if "left over" in text]
    if left_over:
        found.append(f"not as the file says: {'; '.join(left_over)}")
    if radiometry.level not in card.levels:
        found.append(
            f"the scene is {radiometry.level}, the model was trained on {' and '.join(card.levels)}: reflectance is "
            "brought to its level by a typical haze, not this scene's own; expect some confusion of fields and towns"
        )
    if evidence.zero_share > 0.001:
        found.append(
            f"{100 * evidence.zero_share:.1f} % of the sampled pixels are 0 in every band, and the file declares "
            "another nodata: they get a class. If they were not seen, declare 0 (gdal_edit -a_nodata 0)"
        )
    if evidence.stated.disputed and radiometry.origins["offset"] == evidence.stated.origins["offset"]:
        found.append(_dispute(evidence.stated, evidence, radiometry))
    if evidence.is_enough:
        found += implausible(evidence.sample, radiometry, card, evidence.band_indexes)
    return found


def _dispute(stated: Stated, evidence: Evidence, radiometry: Radiometry) -> str:
    """Explain which of two offsets in the metadata was taken, as the other makes dark pixels darker than black."""
    taken, other = radiometry.offset[0], (stated.disputed or (math.nan,))[0]
    text = f"the metadata contradict themselves: {radiometry.origins['offset']}, yet they give an offset of {other:g}"
    if evidence.is_enough:
        dark = (np.percentile(evidence.sample, 1, axis=0) + np.asarray(stated.disputed)) * np.asarray(radiometry.scale)
        if dark.min() < DARKEST:
            return f"{text}. Taken: {taken:g}; with the other, dark pixels would have a reflectance of {dark.min():.2f}"
    return f"{text}. Taken: {taken:g}; the pixels do not decide it. If it is the other: --offset {other:g}"


def implausible(sample: Floats, radiometry: Radiometry, card: ModelCard, indexes: tuple[int, ...] = ()) -> list[str]:
    """Compare a sample with the chips that the model was trained on.

    Args:
        sample: Values of valid pixels as they are in the file, `(n, bands)`, at least one.
        radiometry: How they become reflectance.
        card: Card of the model, which has statistics of the chips.
        indexes: Numbers of the bands in the file, from 1, for the option in the warning; empty if it takes none.

    Returns:
        Warnings, one sentence each.
    """
    # Added haze would brighten a scene that is black, and make blue one whose bands are swapped.
    without_haze = _without_haze(radiometry, card).to_model(sample)
    return _wrong_scale(sample, radiometry, card) or [
        *_wrong_offset(sample, radiometry, card),
        *_one_offset(sample, radiometry, card),
        *_swapped(without_haze, radiometry, card, indexes),
    ]


def _without_haze(radiometry: Radiometry, card: ModelCard) -> Radiometry:
    return replace(radiometry, haze=((1.0, 0.0),) * len(card.bands))


def _wrong_scale(sample: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    own = _have_own_scales(radiometry)
    wrong = _brightness(sample, radiometry, card) or (_odd_bands(sample, radiometry, card) if own else "")
    if not wrong:
        return []
    if found := _better_scale(sample, radiometry, card):
        return [f"{wrong}: the values look {found[0]} ({found[1]})"]
    if own:
        return [f"{wrong}: no one unit suits all bands. Write each band's own into the file (gdal_edit -scale)"]
    return [f"{wrong}: say what a unit of the file is (--scale NUMBER, in reflectance)"]


def _have_own_scales(radiometry: Radiometry) -> bool:
    """Whether bands differ in scale, so that a single one may be wrong."""
    return len(set(radiometry.scale)) > 1


def _odd_bands(sample: Floats, radiometry: Radiometry, card: ModelCard) -> str:
    """Name the bands that are far too dark or bright at the scene's own level; empty if there are none.

    For bands of different scales. Clear water is dark in one band, so the limit is lower than that for all bands.
    """
    median, bright = np.percentile(_without_haze(radiometry, card).to_model(sample), (50, 99), axis=0)
    black = bright < 0.1 * np.array([b.p01 for b in card.bands])
    dazzling = median > 1.5
    found = []
    if black.any():
        found.append(f"{_names(card, black)} nearly black")
    if dazzling.any():
        found.append(f"a reflectance around {median.max():.0f} in {_names(card, dazzling)} can't be")
    scales = ", ".join(f"{scale:g}" for scale in radiometry.scale)
    return f"{' and '.join(found)}, at scales that differ from band to band ({scales})" if found else ""


def _names(card: ModelCard, chosen: npt.NDArray[np.bool_]) -> str:
    return ", ".join(name for name, is_chosen in zip(card.band_names, chosen, strict=True) if is_chosen)


def _brightness(sample: Floats, radiometry: Radiometry, card: ModelCard) -> str:
    """Explain why a scene is too dark or too bright at its own level; empty if it is neither."""
    median, bright = np.percentile(_without_haze(radiometry, card).to_model(sample), (50, 99), axis=0)
    black = 0.3 * np.array([b.p01 for b in card.bands])
    if radiometry.level == "L1C" or "level" in radiometry.assumed:
        # 8 bits taken for digital numbers stay below this and look like L2A; only a lake known to be L2A is so dark.
        black = np.maximum(black, 256 * DN_SCALE)
    if (median > 1.5).all():
        return f"reflectance around {median.max():.0f} can't be"
    return "nearly black" if (bright < black).all() else ""


def _better_scale(sample: Floats, radiometry: Radiometry, card: ModelCard) -> tuple[str, str] | None:
    """Find the unit that the values look like: a text, and the options for it; None if no usual unit fits.

    Of the units and offsets that fit, the one whose scene is about as bright as the chips of the training is taken.
    """
    usual = np.array([b.median for b in card.bands])
    units = (*UNITS, ("8bit", card.reflectance_range[1] / 255, "like 8 bits"))
    best: tuple[float, str, str] | None = None
    for name, scale, words in units:
        for offset in (0.0, -0.1 / scale):
            tried = replace(radiometry, scale=(scale,) * len(usual), offset=(offset,) * len(usual))
            if _brightness(sample, tried, card) or _shift(sample, tried, card):
                continue
            if _have_own_scales(radiometry) and _odd_bands(sample, tried, card):
                continue
            median = np.median(_without_haze(tried, card).to_model(sample), axis=0)
            off = float(np.abs(np.log(np.maximum(median, 1e-6) / usual)).mean())
            if best is None or off < best[0]:
                best = off, words, f"--scale {name}{_offset_option(offset, radiometry)}"
    return best[1:] if best else None


def _offset_option(offset: float, radiometry: Radiometry) -> str:
    """The option for an offset, to be given with another scale; empty if the default is the same."""
    return "" if offset == 0 and not any(radiometry.offset) else f" --offset {round(offset, 6) + 0.0:g}"


def _shift(sample: Floats, radiometry: Radiometry, card: ModelCard) -> str:
    """Whether dark pixels are "brighter" than those of the training by an offset, or "darker", or all are "bright"."""
    dark, median = np.percentile(radiometry.to_model(sample), (1, 50), axis=0)
    trained_dark = np.array([b.p01 for b in card.bands])
    trained_span = np.array([b.p99 - b.p01 for b in card.bands])
    brighter = dark - trained_dark
    if ((brighter > 0.06) & (brighter < 0.16)).all():
        return "brighter"
    if (median - trained_dark > 2 * trained_span).all():
        return "bright"
    return "darker" if (brighter < -0.06).all() else ""


def _wrong_offset(sample: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    shift = _shift(sample, radiometry, card)
    step = 0.1 / radiometry.scale[0]  # Sentinel-2's offset of 1000 digital numbers, in this file's units
    if shift == "brighter":
        trained = np.array([b.p01 for b in card.bands])
        by = (np.percentile(radiometry.to_model(sample), 1, axis=0) - trained).mean()
        return [
            f"the darkest pixels are {by:.2f} brighter in every band than those the model knows: looks like an offset "
            f"of {step:+.4g} was left in{_other_offset(sample, radiometry, card, -step)}, unless all is cloud, snow or "
            "sand"
        ]
    if shift == "bright":
        return ["far brighter than anything the model was trained on: cloud, snow, or the wrong scale"]
    if shift == "darker":
        if hint := _other_offset(sample, radiometry, card, step):
            return [f"darker than physics allows: looks like an offset was subtracted twice{hint}"]
        return [f"darker than physics allows: {_fill(sample)}"]
    return []


def _one_offset(sample: Floats, radiometry: Radiometry, card: ModelCard) -> list[str]:
    """Warn if Sentinel-2's offset was left in one band alone, whose dark pixels are brighter by that.

    Red is not checked, as red ground brightens it alone, nor a scene whose scale is assumed, as of a stretched picture.
    """
    if "scale" in radiometry.assumed:
        return []
    brighter = np.percentile(radiometry.to_model(sample), 1, axis=0) - np.array([b.p01 for b in card.bands])
    for band, (name, by) in enumerate(zip(card.band_names, brighter.tolist(), strict=True)):
        others = np.delete(brighter, band)
        if name in ("B02", "B03") and 0.07 < by < 0.16 and (np.abs(others) < 0.035).all():
            return [
                f"the darkest pixels of {name} alone are {by:.2f} brighter than those the model knows: looks like an "
                f"offset of {0.1 / radiometry.scale[band]:+.4g} was left in that band. If so, write each band's own "
                "into the file (gdal_edit -offset)"
            ]
    return []


def _other_offset(sample: Floats, radiometry: Radiometry, card: ModelCard, step: float) -> str:
    """The option for an offset that is higher by a step, in brackets; empty if that fits no better."""
    offset = tuple(number + step for number in radiometry.offset)
    tried = replace(radiometry, offset=offset)
    if len(set(offset)) > 1 or _shift(sample, tried, card) or _brightness(sample, tried, card):
        return ""
    return f" (--offset {round(offset[0], 6) + 0.0:g})"


def _fill(sample: Floats) -> str:
    """Advise on values that no offset explains."""
    low = sample.min(axis=0)
    share = float((sample == low).all(axis=1).mean())
    if share > 0.001 and len(set(low.tolist())) == 1:
        return f"{100 * share:.1f} % of the pixels are {low[0]:g}. If that is fill: gdal_edit -a_nodata {low[0]:g}"
    return f"the values begin at {low.min():g}. Say what is added to them first (--offset NUMBER)"


def _swapped(reflectance: Floats, radiometry: Radiometry, card: ModelCard, indexes: tuple[int, ...]) -> list[str]:
    """Warn if red is brighter than blue in dark pixels: at the top of the atmosphere haze makes blue brighter.

    A scene that is known to be L2A is not checked. If the level was assumed, only a large difference counts, as swapped
    bands themselves look corrected: B02 is as dark as red. Nothing follows from scenes without dark pixels (deserts).
    """
    names, assumed = card.band_names, "level" in radiometry.assumed
    if not {"B04", "B02"} <= set(names) or (radiometry.level == "L2A" and not assumed):
        return []
    red, blue = (float(np.percentile(reflectance[:, names.index(name)], 1)) for name in ("B04", "B02"))
    if blue > 0.1 or red - blue < (0.03 if assumed else 0.015):
        return []
    places = dict(zip(names, indexes, strict=False))
    other = places | {"B04": places.get("B02", 0), "B02": places.get("B04", 0)}
    hint = f" (--bands {','.join(f'{name}={i}' for name, i in other.items())})" if indexes else ""
    return [f"the darkest pixels are brighter in B04 than in B02, which air does not do: the bands look swapped{hint}"]
