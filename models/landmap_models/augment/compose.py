"""Augmentations are combined by name, in a fixed order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.augment.geometry import LIMITS, affine, d4, flips, quarter_turns
from landmap_models.augment.mixing import UNION_AREA, mixup, straddle
from landmap_models.augment.radiometry import atmosphere, brightness, contrast, haze, radiometric_jitter
from landmap_models.errors import DatasetError

Augment = Callable[[Floats, Floats, np.random.Generator], tuple[Floats, Floats]]
"""A function that changes chips `(n, height, width, bands)` and labels `(n, classes)` at random."""

AUGMENTATIONS = {
    "flips": "mirrored upside down and left to right",
    "quarter-turns": "turned by 0, 90, 180 or 270 degrees",
    "d4": "flips and quarter-turns",
    "rotation": f"turned by up to {LIMITS['rotation']:g} degrees either way",
    "shift": f"moved by up to {100 * LIMITS['shift']:g} % of the chip",
    "zoom": f"magnified or shrunk by up to {100 * LIMITS['zoom']:g} %",
    "shear": f"leaning by up to {LIMITS['shear']:g} degrees",
    "haze": "clearer or hazier air, part of the way between L1C and L2A",
    "brightness": "more or less light, all bands alike",
    "contrast": "more or less contrast, the mean of each band kept",
    "jitter": "each band a little brighter or darker",
    "straddle": "windows across the corner of four chips, label shared by area",
    "mixup": "two chips blended, and their labels",
}
"""Augmentations with a description of each, in the order in which they are applied.

Geometry comes first: beyond the edge of a chip then lies the mirror image of that chip, and not of a mixture. The
radiometry of one scene applies to one chip, so it comes before chips are mixed. Mixing is last, so that labels are
shares of the final chip."""

GROUPS: dict[str, tuple[str, ...]] = {"none": (), "standard": ("d4", "haze", "jitter", "straddle")}
"""Names that stand for several augmentations, or for none."""

_OF_CHIPS: dict[str, Callable[..., Floats]] = {
    "flips": flips,
    "quarter-turns": quarter_turns,
    "d4": d4,
    "affine": affine,
    "haze": haze,
    "brightness": brightness,
    "contrast": contrast,
    "jitter": radiometric_jitter,
}
_OF_PLACES = ("flips", "quarter-turns", "d4", "affine", "straddle")
"""Functions that move pixels, and with them labels of pixels."""
_OF_BOTH: dict[str, Callable[..., tuple[Floats, Floats]]] = {"straddle": straddle, "mixup": mixup}


@dataclass(frozen=True, slots=True)
class Augmentation:
    """An `Augment` made of augmentations by name. It is small and picklable; `str()` lists its steps with settings."""

    names: tuple[str, ...]
    """Names out of `AUGMENTATIONS`, in their order."""
    band_names: tuple[str, ...]
    """Names of the bands of the chips."""
    multi_label: bool = False
    """Whether a label names every class in the chip, and not the one that fills it."""

    def __call__(self, chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Augment a batch; the given arrays are not changed.

        Args:
            chips: Reflectance, `(n, height, width, bands)`.
            labels: Labels of chips, `(n, classes)`, or of their pixels, `(n, height, width, classes)`, which move with
                these; what a resampling blends has the sum of labels that it blends.
            rng: Source of randomness; equal ones give equal batches.
        """
        for name, settings in self._steps():
            if labels.ndim == 4:
                chips, labels = _of_pixels(name, chips, labels, rng, settings)
            elif name in _OF_BOTH:
                chips, labels = _OF_BOTH[name](chips, labels, rng, **settings)
            else:
                chips = _OF_CHIPS[name](chips, rng, **settings)
        return chips, labels

    def split_at(self, name: str) -> tuple[Augmentation, Augmentation]:
        """Split it in two: all other augmentations, and the one of this name, if it is there."""
        others = tuple(other for other in self.names if other != name)
        return replace(self, names=others), replace(self, names=tuple(n for n in self.names if n == name))

    def __str__(self) -> str:
        return "; ".join(_described(name, settings) for name, settings in self._steps()) or "none"

    def _steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name of each function, with the settings that are not its defaults."""
        limits = {name: limit for name, limit in LIMITS.items() if name in self.names}
        own: dict[str, dict[str, Any]] = {"affine": limits, "haze": {"bands": self.band_names}}
        if self.multi_label:
            own["straddle"] = {"union": UNION_AREA}
        for name in dict.fromkeys("affine" if name in LIMITS else name for name in self.names):
            yield name, own.get(name, {})


def _of_pixels(
    name: str, chips: Floats, labels: Floats, rng: np.random.Generator, settings: dict[str, Any]
) -> tuple[Floats, Floats]:
    """Apply a step to chips and the labels of their pixels."""
    if name not in _OF_PLACES:
        return _OF_CHIPS[name](chips, rng, **settings), labels
    both = np.concatenate([chips, labels], axis=-1)
    if name == "straddle":
        both, _ = straddle(both, np.zeros((len(both), 1), np.float32), rng)
    else:
        both = _OF_CHIPS[name](both, rng, **settings)
    return both[..., : chips.shape[-1]], both[..., chips.shape[-1] :]


def _described(name: str, settings: dict[str, Any]) -> str:
    """Describe a step with all its numbers, defaults included."""
    function = _OF_CHIPS.get(name) or _OF_BOTH[name]
    values = {key: p.default for key, p in inspect.signature(function).parameters.items()} | settings
    numbers = [f"{key} {value:g}" for key, value in values.items() if isinstance(value, float) and value]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def compose(
    names: Sequence[str], *, band_names: Sequence[str], multi_label: bool = False, per_pixel: bool = False
) -> Augmentation:
    """Combine augmentations; their order does not depend on that of the names.

    Args:
        names: Names out of `AUGMENTATIONS` and `GROUPS`; repeated ones count once, `flips` with `quarter-turns` is
            `d4`, and `none` stands alone.
        band_names: Names of the bands of the chips, such as `("B04", "B03", "B02")`.
        multi_label: Whether a label names every class in the chip: `straddle` then unites labels.
        per_pixel: Whether each pixel has a label of its own, for which there is no `mixup`.

    Raises:
        DatasetError: A name is unknown, `none` is not alone, `haze` is asked for bands that are not Sentinel-2's, or
            `mixup` for labels of pixels.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS and name not in GROUPS]
    if unknown:
        known = ", ".join((*AUGMENTATIONS, *GROUPS))
        raise DatasetError(f"Expected augmentations out of {known}. Received: {', '.join(map(repr, unknown))}")
    if "none" in names and set(names) != {"none"}:
        raise DatasetError(f"Expected none alone, or other augmentations without it. Received: {', '.join(names)}")
    chosen = {single for name in names for single in GROUPS.get(name, (name,))}
    if "d4" in chosen or chosen >= {"flips", "quarter-turns"}:
        chosen = chosen - {"flips", "quarter-turns"} | {"d4"}
    if per_pixel and "mixup" in chosen:
        raise DatasetError("Expected augmentations other than mixup, which blends what lies at a place. Leave it out")
    if "haze" in chosen:
        atmosphere(band_names)  # refused here, and not in the first batch
    return Augmentation(tuple(name for name in AUGMENTATIONS if name in chosen), tuple(band_names), multi_label)
