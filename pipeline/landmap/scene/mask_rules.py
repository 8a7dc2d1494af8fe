"""Which values of a mask leave a pixel out, and why. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.left_out import NOT_CLASSIFIED, Reasons
from landmap_models.arrays import Bools
from landmap_models.sentinel2 import SCL_CLASSES

FLAGS: Mapping[str, tuple[int, ...]] = {
    "cloud": (0, 1),
    "cloud_medium": (0,),
    "cloud_high": (0,),
    "cirrus": (1,),
    "snow": (2,),
}
"""Bands of MSK_CLASSI (0 opaque cloud, 1 cirrus, 2 snow) by the names of what is left out."""
FLAG_REASONS = ("cloud", "cloud", "snow")
"""What a mark in each of these bands counts as."""
SCL_REASONS = {number: name for name, numbers in SCL_CLASSES.items() for number in numbers} | {0: NOT_CLASSIFIED}
"""What each class of a scene classification counts as: of several names the last, so that all clouds are cloud."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Leaves out the pixels where one band of a mask has certain values."""

    band: int
    """Place of the band in the mask, from 0."""
    values: tuple[float, ...]
    """Which values."""
    reason: str
    """What these pixels count as."""
    others: bool = False
    """Leave out all values but these."""

    def meets(self, values: npt.NDArray[Any]) -> Bools:
        """Where the values of a mask, `(height, width, bands)`, are those that are left out."""
        return np.asarray(np.isin(values[..., self.band], self.values, invert=self.others), np.bool_)


def scl_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """Rules for a scene classification (SCL).

    Args:
        names: Of what is left out, in `SCL_CLASSES`. What it does not classify (0) is left out in any case.
    """
    numbers: dict[str, list[float]] = {NOT_CLASSIFIED: [0]}
    for number in sorted({number for name in names for number in SCL_CLASSES[name]} - {0}):
        numbers.setdefault(SCL_REASONS[number], []).append(number)
    return tuple(Rule(0, tuple(values), reason) for reason, values in numbers.items())


def flag_rules(names: Sequence[str], bands: int) -> tuple[Rule, ...]:
    """Rules for the first so many bands of MSK_CLASSI, in which anything but 0 is a mark.

    Args:
        names: Of what is left out; those that it does not know say nothing.
        bands: How many of its three bands there are.
    """
    marked = sorted({band for name in names for band in FLAGS.get(name, ()) if band < bands})
    return tuple(Rule(band, (0,), FLAG_REASONS[band], others=True) for band in marked)


def reasons_of(rules: Sequence[Rule], blank: str) -> tuple[str, ...]:
    """What rules count pixels as, each once, and last what pixels without data count as, unless that is ""."""
    return tuple(dict.fromkeys([*(rule.reason for rule in rules), *([blank] if blank else [])]))


def apply_rules(values: npt.NDArray[Any], valid: Bools, rules: Sequence[Rule], blank: str) -> Reasons:
    """Why pixels are left out, by number in `reasons_of`; the first rule that meets a pixel counts.

    Args:
        values: Of the mask, `(height, width, bands)`.
        valid: Where it has data, `(height, width)`.
        rules: The mask's.
        blank: What pixels without data count as that no rule meets; "" leaves them in.
    """
    numbers = {reason: i for i, reason in enumerate(reasons_of(rules, blank), 1)}
    found = np.zeros(valid.shape, np.uint8)
    for rule in rules:
        found[(found == 0) & rule.meets(values)] = numbers[rule.reason]
    if blank:
        found[(found == 0) & ~valid] = numbers[blank]
    return found
