"""Classifications of clouds on a scene's grid: what share of it they call cloud, and the mask that leaves it out.

Sentinel-2's products bring one of three: the scene classification of L2A (SCL), and the cloud masks of L1C, rasters
(MSK_CLASSI) since processing baseline 04.00 and polygons (MSK_CLOUDS) before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from landmap.left_out import percent_words
from landmap.scene.masks import Mask

TOLD = ("cloud", "shadow", "snow")
"""Shares that are told of every scene where they are known."""


@dataclass(frozen=True, slots=True)
class Clouds:
    """What is known of clouds in a scene, and whether it is used. Words and numbers only."""

    text: str
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

    def mask(self, names: Sequence[str], text: str) -> Mask:
        """The mask that leaves out classes by name; names that it does not know are passed over."""

    def shares(self) -> tuple[dict[str, float], str]:
        """Its share of those of `TOLD` that it knows, 0 to 1, and of what, in words."""


def pixels_counted(step: int) -> str:
    """A text that says of which pixels shares are, if one in `step` along each side was counted."""
    return "of its pixels" if step == 1 else f"of its pixels, one in {step} along each side"


def share_words(shares: Mapping[str, float]) -> str:
    """Shares as they are printed; what is not known is said, too."""
    known = [f"{percent_words(shares[name])} {name}" for name in TOLD if name in shares]
    return ", ".join([*known, *(f"{name} not told" for name in TOLD if name not in shares)])
