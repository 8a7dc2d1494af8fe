"""Checks of masks: warnings of those that leave in almost nothing, or all, or take clouds for the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap.left_out import percent_words
from landmap.scene.mask_layers import STRIP, thinned, thinned_layers
from landmap.scene.masks import Mask, RasterMask
from landmap.scene.sample import SEARCHED
from landmap.scene.scene import Scene
from landmap.scene.scl import SCL_REASONS
from landmap.tiling import Window
from landmap_models.arrays import Bools

ALMOST_ALL = 0.99
"""Share of a scene's data above which a mask that leaves it out is worth a warning."""
A_THIRD = 1 / 3
"""Share below which a mask of 0 and 1 is worth a warning, if it is not certain which of the two is left out."""
FEW = 200
"""Least number of sampled pixels for a check."""
BRIGHT = 0.25
"""Least reflectance of clouds in visible light, also of thin ones."""
TWICE = 2
"""Least ratio of the reflectance of clouds to that of the ground beside them."""
MOST_VALUES = 12
"""Number of values of a mask that a warning lists."""
ADVICE = {
    "clouds": "--clouds none maps it, clouds and all",
    "scl": "is it the classification of this scene? Without --scl the scene's own is used, if it has one; if the "
    "file's 1 is cloud and its 0 is clear: --mask FILE --invert-mask",
    "mask": "if its 1 marks what is to be left out, such as cloud: --invert-mask",
    "mask of flags": "it has three bands of 0 and 1, as L1C's MSK_CLASSI, whose 1 is cloud, cirrus or snow: --scl FILE "
    "takes it so; if its first band alone is meant: --mask-values 0",
    "mask inverted": "without --invert-mask it leaves out the other pixels",
}
"""Advice on a mask that leaves out too much, by `Mask.option`."""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a mask does to every n-th pixel with data inside the area of interest."""

    left_in: Bools
    """True for pixels that the mask leaves in, `(n,)`."""
    bright: npt.NDArray[np.float32]
    """Reflectance of the scene's darkest visible band, `(n,)`."""
    reasons: str
    """Why it leaves pixels out, with shares, as a text in brackets; empty for masks without classes."""


def mask_warnings(scene: Scene) -> list[str]:
    """Warn of masks of a scene that look wrong.

    Raises:
        SceneError: The scene or a mask can't be read.
    """
    if scene.source.sample_places is not None:  # this would read all of it
        return []
    return [warning for mask in scene.masks if mask.masks_input and (warning := _warning(scene, mask))]


def _warning(scene: Scene, mask: Mask) -> str:
    why = mask.reason_numbers_thinned(thinned(scene.geobox))
    by_user = mask.option.startswith("mask")
    if by_user and not why.any():
        return _leaves_nothing_out(scene, mask)
    if not by_user and (why > 0).mean() <= ALMOST_ALL:
        return ""  # so that no pixel of most scenes is read for it
    effect = _effect(scene, mask, why)
    if len(effect.left_in) < FEW:
        return ""
    share = float(effect.left_in.mean())
    if 1 - share > ALMOST_ALL:
        return f"{_left_in(mask, share, effect)}: {ADVICE[mask.option]}"
    if by_user and _takes_cloud_for_ground(effect):
        return (
            f"{mask.text}: what it leaves in ({percent_words(share)}) is as bright as cloud, and what it leaves out "
            f"is not: it looks inverted; {ADVICE[mask.option]}"
        )
    if mask.option == "mask of flags":
        return f"{_left_in(mask, share, effect)}: {ADVICE[mask.option]}"
    if mask.option == "mask" and share < A_THIRD and _is_ambiguous(scene, mask):
        return f"{_left_in(mask, share, effect)}: {ADVICE['mask']}; if it is meant so: --mask-values 0"
    return ""


def _leaves_nothing_out(scene: Scene, mask: Mask) -> str:
    """Warn of a mask of the user that leaves out nothing, by every n-th pixel and then by all.

    A mask of one value may be that of a scene without clouds, which is correct.
    """
    if not isinstance(mask, RasterMask):
        return ""
    values, valid, _ = thinned_layers(mask.layers)
    found = np.unique(values[valid]).tolist()
    if any(rule.others for rule in mask.rules) or (mask.by_default and len(found) < 2):
        return ""
    if any(mask.reason_numbers(strip).any() for strip in _strips(scene)):
        return ""
    listed = ", ".join(f"{value:g}" for value in found[:MOST_VALUES])
    if len(found) > MOST_VALUES:
        listed = f"{len(found)} from {found[0]:g} to {found[-1]:g}"
    is_scl = mask.by_default and set(found) <= set(SCL_REASONS)
    scl = "if it is a scene classification: --scl FILE; else " if is_scl else ""
    return (
        f"{mask.text}: leaves out no pixel: its values are {listed}; {scl}name what is left out: --mask-values NUMBERS"
    )


def _strips(scene: Scene) -> list[Window]:
    """Windows of a few rows that cover a scene, or of a very large scene every n-th of them."""
    every = -(-scene.geobox.height * scene.geobox.width // SEARCHED)
    return [
        Window(row, 0, min(STRIP, scene.geobox.height - row), scene.geobox.width)
        for row in range(0, scene.geobox.height, STRIP * every)
    ]


def _left_in(mask: Mask, share: float, effect: _Effect) -> str:
    left = f"leaves in {percent_words(share)} of the pixels with data" if share else "leaves in no pixel with data"
    return f"{mask.text}: {left}{effect.reasons}"


def _effect(scene: Scene, mask: Mask, why: npt.NDArray[np.uint8]) -> _Effect:
    thin = thinned(scene.geobox)
    values, valid = scene.source.read(thin.window, thin.shape)
    for other in scene.masks:
        if not other.masks_input:
            valid &= other.reason_numbers_thinned(thin) == 0
    found = why[valid]
    reflectance = scene.radiometry.to_model(values)[valid]
    visible = [i for i, name in enumerate(scene.source.band_names) if name in ("B02", "B03", "B04")]
    bright = reflectance[:, visible].min(axis=-1) if visible else np.full(len(found), np.nan, np.float32)
    names = [(float((found == i).mean()), name) for i, name in enumerate(mask.reasons, 1)]
    listed = ", ".join(f"{percent_words(share)} {name}" for share, name in sorted(names, reverse=True) if share)
    is_class = listed and mask.option in ("clouds", "scl")
    return _Effect(found == 0, bright, f" ({listed})" if is_class else "")


def _takes_cloud_for_ground(effect: _Effect) -> bool:
    """Whether pixels that are left in are as bright as cloud, and those left out as dark as ground."""
    inside, outside = effect.bright[effect.left_in], effect.bright[~effect.left_in]
    if min(len(inside), len(outside)) < FEW // 4:
        return False
    kept, dropped = float(np.median(inside)), float(np.median(outside))
    return kept > BRIGHT and kept > TWICE * max(dropped, 0.0)


def _is_ambiguous(scene: Scene, mask: Mask) -> bool:
    """Whether a mask holds only 0 and one other value, and nothing says which of them is left out."""
    if not isinstance(mask, RasterMask) or not mask.by_default:
        return False
    values, valid, _ = thinned_layers(mask.layers)
    return len(set(np.unique(values[valid]).tolist()) - {0}) <= 1
