"""Why pixels of a scene get no class, and how many there are for each reason. NumPy only.

In the cover all of them are nodata (255). A pixel counts for the first reason that applies: it lies outside the area of
interest, it has no data, or a mask leaves it out, in the order in which the masks are given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

NO_DATA = "no data"
"""Reason: the scene has no data in the pixel."""
OUTSIDE = "outside the area"
"""Reason: the pixel lies outside the area of interest."""
MASKED = "mask"
"""Reason: a mask that the user gave leaves the pixel out."""
NOT_CLASSIFIED = "not classified"
"""Reason: the scene classification has no class for the pixel."""
LEFT_OUT_TAG = "LANDMAP_LEFT_OUT"
"""Tag of a cover with the number of pixels for each reason."""

Reasons = npt.NDArray[np.uint8]
"""Array `(height, width)`: 0 where a pixel gets a class, else the number of the reason, counted from 1."""


def count_reasons(why: Reasons) -> tuple[int, ...]:
    """Number of pixels for each reason, in the order of the reasons' numbers, up to the last that occurs."""
    return tuple(np.trim_zeros(np.bincount(why.ravel(), minlength=2)[1:], "b").tolist())


def merge_reasons(found: Reasons, more: Reasons, numbers: Sequence[int]) -> Reasons:
    """Add the reasons of one more mask, for pixels that have none yet.

    Args:
        found: Reasons so far, `(height, width)`.
        more: Reasons of the mask by its own numbers, `(height, width)`.
        numbers: The number in `found` for each of the mask's numbers, from its number 1 on.
    """
    return np.where(found == 0, np.array((0, *numbers), np.uint8)[more], found)


class ReasonCounter:
    """Adds up the pixels for each reason, chunk by chunk."""

    def __init__(self, names: Sequence[str]) -> None:
        """Start at zero.

        Args:
            names: Names of the reasons in the order of their numbers.
        """
        self._names, self._counts = tuple(names), [0] * len(names)

    def add(self, counts: Iterable[int]) -> None:
        """Add the numbers of pixels that `count_reasons` returned for a chunk."""
        for number, pixels in enumerate(counts):
            self._counts[number] += pixels

    def found(self) -> dict[str, int]:
        """Number of pixels by the name of the reason; only reasons that occur."""
        return {name: pixels for name, pixels in zip(self._names, self._counts, strict=True) if pixels}


def left_out_tag(found: Mapping[str, int]) -> str:
    """The content of the tag LANDMAP_LEFT_OUT: numbers of pixels by reason, as JSON."""
    return json.dumps(dict(found))


def parse_left_out(text: str | None, unmapped: int) -> dict[str, int]:
    """Number of pixels by reason, read from the tag of a cover.

    Args:
        text: Content of the tag; None if the cover has none.
        unmapped: Number of pixels without a class in the cover. If the numbers of the tag add up to another, the cover
            was changed after it was written: then all of these pixels count as `no data`.
    """
    try:
        found = json.loads(text or "{}")
        counts = {str(name): int(pixels) for name, pixels in found.items()}
    except (AttributeError, TypeError, ValueError):
        counts = {}
    return counts if sum(counts.values()) == unmapped else {NO_DATA: unmapped} if unmapped else {}


def left_out_words(found: Mapping[str, int], pixels: int) -> str:
    """The shares of a scene that are left out though they have data, with the reasons, the largest first.

    Args:
        found: Number of pixels by reason.
        pixels: Number of all pixels of the scene.

    Returns:
        Words, such as "12.3 % cloud, 0.4 % shadow"; "" if nothing is left out.
    """
    largest = sorted(((name, number) for name, number in found.items() if name != NO_DATA), key=lambda item: -item[1])
    return ", ".join(f"{percent_words(number / pixels)} {name}" for name, number in largest)


def percent_words(share: float) -> str:
    """A share from 0 to 1 in percent, as it is printed everywhere: 12.3 %, or < 0.1 %."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "< 0.1 %"
