"""Why pixels of a scene get no class, and how many there are of each kind. NumPy only.

In the cover all of them are nodata (255). Each counts for one reason: lying outside the area of interest before having
no data, and that before what a mask says, in the order in which masks are given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

NO_DATA = "no data"
"""The scene has no data there."""
OUTSIDE = "outside the area"
"""It lies outside the area of interest."""
MASKED = "mask"
"""A mask that the user gave leaves it out."""
NOT_CLASSIFIED = "not classified"
"""The classification of clouds says nothing of it."""
LEFT_OUT_TAG = "LANDMAP_LEFT_OUT"

Reasons = npt.NDArray[np.uint8]
"""For each pixel `(height, width)` 0 where it gets a class, else the number of its reason, counted from 1."""


def count_reasons(why: Reasons) -> tuple[int, ...]:
    """Pixels of each reason, in the order of their numbers; reasons at the end that do not occur are left away."""
    return tuple(np.trim_zeros(np.bincount(why.ravel(), minlength=2)[1:], "b").tolist())


def merge_reasons(found: Reasons, more: Reasons, numbers: Sequence[int]) -> Reasons:
    """Reasons with those of one more mask where there was none yet.

    Args:
        found: What is known so far.
        more: The mask's, by its own numbers.
        numbers: What each of these is called in `found`, from the mask's number 1 on.
    """
    return np.where(found == 0, np.array((0, *numbers), np.uint8)[more], found)


class ReasonCounter:
    """Adds up pixels by reason, chunk by chunk."""

    def __init__(self, names: Sequence[str]) -> None:
        """Start from nothing.

        Args:
            names: Of the reasons, in the order of their numbers.
        """
        self._names, self._counts = tuple(names), [0] * len(names)

    def add(self, counts: Iterable[int]) -> None:
        """Add what `count_reasons` gave for a chunk."""
        for number, pixels in enumerate(counts):
            self._counts[number] += pixels

    def found(self) -> dict[str, int]:
        """Pixels by reason; those that do not occur are left away."""
        return {name: pixels for name, pixels in zip(self._names, self._counts, strict=True) if pixels}


def left_out_tag(found: Mapping[str, int]) -> str:
    """Pixels by reason as the JSON text of the tag LANDMAP_LEFT_OUT."""
    return json.dumps(dict(found))


def parse_left_out(text: str | None, unmapped: int) -> dict[str, int]:
    """Pixels by reason, out of the tag of a cover.

    Args:
        text: The tag; None where the cover has none.
        unmapped: Pixels without a class that the cover has. Where the tag speaks of another number, the cover was
            changed since: then all of them count as `no data`.
    """
    try:
        found = json.loads(text or "{}")
        told = {str(name): int(pixels) for name, pixels in found.items()}
    except (AttributeError, TypeError, ValueError):
        told = {}
    return told if sum(told.values()) == unmapped else {NO_DATA: unmapped} if unmapped else {}


def left_out_words(found: Mapping[str, int], pixels: int) -> str:
    """What share of a scene's pixels is left out though it has data there, and why, the largest first; "" for none.

    Args:
        found: Pixels by reason.
        pixels: All of the scene.
    """
    largest = sorted(((name, number) for name, number in found.items() if name != NO_DATA), key=lambda item: -item[1])
    return ", ".join(f"{percent_words(number / pixels)} {name}" for name, number in largest)


def percent_words(share: float) -> str:
    """A share as it is printed everywhere: 12.3 %, or < 0.1 %."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "< 0.1 %"
