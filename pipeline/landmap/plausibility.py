"""What looks wrong about a scene's radiometry, in plain words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from landmap.radiometry import DARKEST, DN_SCALE, Evidence, Floats, Radiometry, Stated
from landmap_models.card import ModelCard


def doubts(radiometry: Radiometry, evidence: Evidence, card: ModelCard) -> list[str]:
    """What was assumed, what costs certainty, and what does not look like anything the model was trained on."""
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
    if evidence.stated.disputed and radiometry.origins["offset"] == evidence.stated.origins["offset"]:
        found.append(_dispute(evidence.stated, evidence, radiometry))
    if len(evidence.sample):
        found += implausible(evidence.sample, radiometry, card)
    return found


def _dispute(stated: Stated, evidence: Evidence, radiometry: Radiometry) -> str:
    """What speaks for the offset that was taken: with the wrong one, dark pixels would be darker than black."""
    taken, other = radiometry.offset[0], (stated.disputed or (math.nan,))[0]
    text = f"the metadata contradict themselves: {radiometry.origins['offset']}, yet they give an offset of {other:g}"
    if len(evidence.sample):
        dark = (np.percentile(evidence.sample, 1, axis=0) + np.asarray(stated.disputed)) * np.asarray(radiometry.scale)
        if dark.min() < DARKEST:
            return f"{text}. Taken: {taken:g}; with the other, dark pixels would have a reflectance of {dark.min():.2f}"
    return f"{text}. Taken: {taken:g}; the pixels do not decide it. If it is the other: --offset {other:g}"


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
