"""ESA's own true-colour image (TCI): 8 bits of B04, B03 and B02, known by its name, with a stretch of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from landmap.radiometry.conversion import Level

BRIGHTEST: Mapping[Level, float] = {"L1C": 0.3558, "L2A": 0.2505}
"""Reflectance at 255, by level; 1 is a reflectance of 0, and 0 is no data.

L1C: as ESA documents it ("a level of 3558"). L2A: measured on a product of baseline 05.11 against its own bands
(r = 0.99997); ESA's documents say 0.2.
"""
BLACK = 1
"""Value of a reflectance of 0."""

_NAME = re.compile(r"(?<![a-z0-9])tci(?![a-z0-9])")
_SIZED = re.compile(r"(?<![a-z0-9])tci_[126]0m(?![a-z0-9])")
_PLAIN = re.compile(r"t\d{2}[a-z]{3}_\d{8}t\d{6}_tci(?![a-z0-9_])")


def is_true_color(name: str) -> bool:
    """Whether a file's name is that of a true-colour image: "T31UFS_20190212T105141_TCI_10m.jp2", "TCI.tif"."""
    return _NAME.search(name.lower()) is not None


def level_of_name(name: str) -> Level | None:
    """The product level by the form of a true-colour image's name, or None: L2A's names have the size of its pixels."""
    if _SIZED.search(name.lower()):
        return "L2A"
    return "L1C" if _PLAIN.search(name.lower()) else None


def scale_of(level: Level) -> float:
    """Reflectance per unit of a true-colour image of this level."""
    return BRIGHTEST[level] / (255 - BLACK)
