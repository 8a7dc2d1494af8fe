"""Classifications of clouds on a scene's grid: what share of it they call cloud, and the mask that leaves it out.

Sentinel-2's products bring one of three: the scene classification of L2A (SCL), and the cloud masks of L1C, rasters
(MSK_CLASSI) since processing baseline 04.00 and polygons (MSK_CLOUDS) before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from landmap.errors import SceneError
from landmap.left_out import NOT_CLASSIFIED, percent_words
from landmap.scene.cloud_polygons import CloudPolygons, clouds_mask
from landmap.scene.mask_layers import Layer, thinned_layers
from landmap.scene.mask_rules import FLAGS, SCL_REASONS, flag_rules, scl_rules
from landmap.scene.masks import Mask, RasterMask
from landmap_models.sentinel2 import SCL_CLASSES

HIGHEST_CLASS = max(max(numbers) for numbers in SCL_CLASSES.values())
TOLD = ("cloud", "shadow", "snow")
"""Shares that are told of every scene where they are known."""
POLYGON_TYPES: Mapping[str, tuple[str, ...]] = {
    "cloud": ("OPAQUE", "CIRRUS"),
    "cloud_medium": ("OPAQUE",),
    "cloud_high": ("OPAQUE",),
    "cirrus": ("CIRRUS",),
}
"""Types of polygons in MSK_CLOUDS by the names of what is left out."""


@dataclass(frozen=True, slots=True)
class Clouds:
    """What is known of clouds in a scene, and whether it is used. Words and numbers only."""

    says: str
    """All of it, in words."""
    source: str = ""
    """The classification; "" where there is none."""
    used: bool = False
    """Whether it leaves pixels out."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Its share of "cloud", "shadow" and "snow", 0 to 1; those that it knows."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""


UNKNOWN_CLOUDS = Clouds("not known: the scene has no classification")


class Classification(Protocol):
    """What calls pixels of a scene cloud, or other names."""

    @property
    def name(self) -> str:
        """Which it is, in words."""

    @property
    def knows(self) -> frozenset[str]:
        """Names in `SCL_CLASSES` that it can tell."""

    def mask(self, names: Sequence[str], says: str) -> Mask:
        """What leaves out what is called so; names that it does not know say nothing."""

    def shares(self) -> tuple[dict[str, float], str]:
        """Its share of those of `TOLD` that it knows, 0 to 1, and of what, in words."""


@dataclass(frozen=True, slots=True)
class Scl:
    """A scene classification, as of L2A: one band of classes from 0 to 11."""

    name: str
    """Which it is, in words."""
    layers: tuple[Layer, ...]
    """Its band, on the scene's grid."""

    @property
    def knows(self) -> frozenset[str]:
        """All names."""
        return frozenset(SCL_CLASSES)

    def mask(self, names: Sequence[str], says: str) -> Mask:
        """What leaves out what is called so, and what is not classified: nothing is known of that."""
        return RasterMask(self.layers, scl_rules(names), NOT_CLASSIFIED, f"{says}, and what it does not classify")

    def shares(self) -> tuple[dict[str, float], str]:
        """Shares of what it classifies.

        Raises:
            SceneError: Its values are no classes.
        """
        values, valid, step = thinned_layers(self.layers)
        found = values[..., 0][valid]
        if found.size and not 0 <= found.min() <= found.max() <= HIGHEST_CLASS:
            source, odd = self.layers[0].source, found.max() if found.max() > HIGHEST_CLASS else found.min()
            raise SceneError(
                f"{source.redacted_path}: expected a scene classification, with classes from 0 to {HIGHEST_CLASS}. "
                f"Received: {odd:g} among its values (band {source.band_indexes[0]})"
            )
        counts = np.bincount(found.astype(np.intp), minlength=HIGHEST_CLASS + 1)
        counts[0] = 0
        total = int(counts.sum())
        if not total:
            return {}, "it classifies nothing"
        numbers = {name: [n for n, reason in SCL_REASONS.items() if reason == name] for name in TOLD}
        return {name: float(counts[n].sum() / total) for name, n in numbers.items()}, _of_what(step)


@dataclass(frozen=True, slots=True)
class Flags:
    """L1C's MSK_CLASSI: a band each for opaque cloud, cirrus and snow, in which anything but 0 is a mark."""

    name: str
    """Which it is, in words."""
    layers: tuple[Layer, ...]
    """Its bands, on the scene's grid."""
    blank: str = NOT_CLASSIFIED
    """What pixels without data count as; "" where the file calls its zeros so."""

    @property
    def knows(self) -> frozenset[str]:
        """Names of its bands."""
        return frozenset(name for name, bands in FLAGS.items() if min(bands) < len(self.layers))

    def mask(self, names: Sequence[str], says: str) -> Mask:
        """What leaves out what is marked so, and what lies beyond its edge."""
        return RasterMask(self.layers, flag_rules(names, len(self.layers)), self.blank, says)

    def shares(self) -> tuple[dict[str, float], str]:
        """Shares of all of it."""
        values, valid, step = thinned_layers(self.layers)
        known = valid if self.blank else np.ones_like(valid)
        if not known.any():
            return {}, "it lies elsewhere"
        cloud = (values[..., :2] != 0).any(axis=-1)
        found = {"cloud": float(cloud[known].mean())}
        if "snow" in self.knows:
            found["snow"] = float((values[..., 2] != 0)[known].mean())
        return found, _of_what(step)


@dataclass(frozen=True, slots=True)
class Polygons:
    """L1C's MSK_CLOUDS: polygons around opaque cloud and cirrus."""

    name: str
    """Which it is, in words."""
    polygons: CloudPolygons
    """On the scene's grid."""

    @property
    def knows(self) -> frozenset[str]:
        """Names of its types."""
        return frozenset(POLYGON_TYPES)

    def mask(self, names: Sequence[str], says: str) -> Mask:
        """What leaves out the polygons of these types."""
        return clouds_mask(self.polygons, {kind for name in names for kind in POLYGON_TYPES.get(name, ())}, says)

    def shares(self) -> tuple[dict[str, float], str]:
        """The area that they cover together."""
        return {"cloud": self.polygons.share()}, "of its area"


def _of_what(step: int) -> str:
    """Of which pixels shares are."""
    return "of its pixels" if step == 1 else f"of its pixels, one in {step} along each side"


def share_words(shares: Mapping[str, float]) -> str:
    """Shares as they are printed; what is not known is said, too."""
    known = [f"{percent_words(shares[name])} {name}" for name in TOLD if name in shares]
    return ", ".join([*known, *(f"{name} not told" for name in TOLD if name not in shares)])
