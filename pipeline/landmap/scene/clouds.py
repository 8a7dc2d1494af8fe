"""What is known of clouds in a scene, and what a classification of clouds can do.

Sentinel-2's products bring one of three: the scene classification of L2A (SCL), and the cloud masks of L1C, rasters
(MSK_CLASSI) since processing baseline 04.00 and polygons (MSK_CLOUDS) before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from landmap.left_out import percent_words
from landmap.scene.masks import Mask

LISTED = ("cloud", "shadow", "snow")
"""Names whose shares the plan lists, if they are known."""


@dataclass(frozen=True, slots=True)
class Clouds:
    """What is known of clouds in a scene, and whether it is used; texts and numbers only."""

    text: str
    """All of it, for the plan."""
    source: str = ""
    """Name of the classification; empty if there is none."""
    used: bool = False
    """Whether it leaves pixels out."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Shares of the scene with "cloud", "shadow" and "snow", 0 to 1; those that are known."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""


UNKNOWN_CLOUDS = Clouds("not known: the scene has no classification")


class Classification(Protocol):
    """Classifies the pixels of a scene, on its grid. `landmap.scene.scene_masks` lists what reads one from a file."""

    @property
    def name(self) -> str:
        """Name of its file or band."""

    @property
    def knows(self) -> frozenset[str]:
        """Names in `SCL_CLASSES` that it distinguishes."""

    def mask(self, names: Sequence[str], text: str) -> Mask:
        """The mask that leaves out classes by name; names that it does not know are passed over."""

    def shares(self) -> tuple[dict[str, float], str]:
        """Shares, 0 to 1, of those of `LISTED` that it knows, and a text that says of which pixels."""


def pixels_counted(step: int) -> str:
    """A text that says of which pixels shares are, if one in `step` along each side was counted."""
    return "of its pixels" if step == 1 else f"of its pixels, one in {step} along each side"


def share_words(shares: Mapping[str, float]) -> str:
    """Shares as a text, which names also what is not known."""
    known = [f"{percent_words(shares[name])} {name}" for name in LISTED if name in shares]
    return ", ".join([*known, *(f"{name} not told" for name in LISTED if name not in shares)])
