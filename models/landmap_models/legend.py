"""The classes of a model: ids, names and colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CLASS_ID = 253
"""Highest class id of a model: 255 is nodata and 254 is kept for "Unknown"."""
UNKNOWN_ID = 254
"""Value of pixels of a map whose class is left open, as the model is not sure enough."""

COLOR = re.compile("#[0-9a-fA-F]{6}")
"""The form of a colour: red, green and blue as hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class LandClass:
    """One class of a legend."""

    id: int
    """Class id, 0 to 253, or 254 for "Unknown". 0 is a class like any other."""
    name: str
    """Name of the class on maps and in tables."""
    color: str
    """Colour of the class on maps, as "#rrggbb"."""

    def __post_init__(self) -> None:
        if not 0 <= self.id <= UNKNOWN_ID:
            raise ValueError(f"Expected a class id from 0 to {UNKNOWN_ID}. Received: {self.id}")
        if not self.name:
            raise ValueError(f"Expected a name for class {self.id}. Received an empty one")
        if not COLOR.fullmatch(self.color):
            raise ValueError(f"Expected a colour like #1f6b2e for class {self.name}. Received: {self.color!r}")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue of the colour, 0 to 255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a model, in the order of its outputs: class id i is output i."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        if [c.id for c in self.classes] != list(range(len(self.classes))):
            raise ValueError(f"Expected class ids 0, 1, 2 … in order. Received: {[c.id for c in self.classes]}")
        if len(self.classes) > MAX_CLASS_ID + 1:
            raise ValueError(f"Expected at most {MAX_CLASS_ID + 1} classes. Received: {len(self.classes)}")
        if len(set(self.names)) != len(self.classes):
            raise ValueError(f"Expected distinct class names. Received: {self.names}")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[LandClass]:
        return iter(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(c.name for c in self.classes)


UNKNOWN = LandClass(UNKNOWN_ID, "Unknown", "#8f8f8f")
"""The class of pixels that a map leaves open. It is no class of a model."""

EUROSAT = Legend(
    tuple(
        LandClass(i, name, color)
        for i, (name, color) in enumerate(
            (
                ("AnnualCrop", "#f2d16b"),
                ("Forest", "#1b6b35"),
                ("HerbaceousVegetation", "#9dbf5b"),
                ("Highway", "#5c5c66"),
                ("Industrial", "#a349a4"),
                ("Pasture", "#cfe8a0"),
                ("PermanentCrop", "#d98d3a"),
                ("Residential", "#d8463c"),
                ("River", "#4fb3e8"),
                ("SeaLake", "#1c4fa0"),
            )
        )
    )
)
"""EuroSAT's ten classes, alphabetical (Helber et al. 2019, arXiv 1709.00029)."""

# Colours of classes that are not EuroSAT's, in turn.
PALETTE = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f", "#bab0ac")


def legend_for(names: tuple[str, ...]) -> Legend:
    """The legend of class names, with EuroSAT's colours for its classes and a palette's for others.

    Args:
        names: Class names in the order of the model's outputs.
    """
    known = {c.name: c.color for c in EUROSAT}
    return Legend(tuple(LandClass(i, name, known.get(name, PALETTE[i % len(PALETTE)])) for i, name in enumerate(names)))


NODATA = 255
"""Value of pixels without data in every raster that landmap writes."""
