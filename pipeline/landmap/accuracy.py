"""What an assessment found, with its numbers as people read them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from landmap.olofsson import Z


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was estimated from a sample, and how sure it is."""

    value: float | None
    """None where nothing is known."""
    standard_error: float | None
    """None where it is not defined."""
    most: float
    """The largest value that is possible; the least is 0."""

    @property
    def half_width(self) -> float | None:
        """Half of the 95 % interval, before it is cut at what is possible."""
        return None if self.standard_error is None else Z * self.standard_error

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval, cut at what is possible."""
        if self.value is None or self.half_width is None:
            return None
        return max(0.0, self.value - self.half_width), min(self.most, self.value + self.half_width)

    def to_dict(self) -> dict[str, float | None]:
        """`value`, `standard_error`, and `low` and `high` of the 95 % interval."""
        low, high = self.interval or (None, None)
        return {"value": self.value, "standard_error": self.standard_error, "low": low, "high": high}


def estimate(value: float, error: float, most: float) -> Estimate:
    """An estimate of which NaN is not known."""
    known = not math.isnan(value)
    return Estimate(
        float(value) if known else None, None if math.isnan(error) or not known else float(error), float(most)
    )


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One class: how it was mapped, and how much of it there is."""

    id: int
    name: str
    mapped_hectares: float
    """Area that shows this class on the map."""
    samples: int
    """Reference places there."""
    reference_samples: int
    """Reference places that are of this class, wherever."""
    users: Estimate
    """User's accuracy: of what is mapped as this class, the share that is of it."""
    producers: Estimate
    """Producer's accuracy: of the true area of this class, the share that is mapped so."""
    hectares: Estimate
    """True area."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "id": self.id,
            "name": self.name,
            "mapped_hectares": self.mapped_hectares,
            "samples": self.samples,
            "reference_samples": self.reference_samples,
            "users_accuracy": self.users.to_dict(),
            "producers_accuracy": self.producers.to_dict(),
            "area_hectares": self.hectares.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Reference places that say nothing of the map's classes, by the reason."""

    outside: int
    """Points, or whole polygons, beyond the map's border."""
    on_nodata: int
    """Where the map has no data."""
    on_unknown: int
    """Where the map says that it does not know."""
    without_class: int
    """Points or polygons without a class."""
    two_classes: int
    """Pixels in polygons of different classes."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A map judged by reference data."""

    cover: str
    """File name of the map."""
    reference: str
    """File name of the reference."""
    design: str
    """Where the reference places come from, and whether that allows intervals: "stratified sample", "polygons" (no
    intervals), "census" (all pixels; there is nothing to estimate)."""
    overall: Estimate
    """Share of the area that is mapped right."""
    classes: tuple[ClassAccuracy, ...]
    """Every class of the map's legend, by id."""
    confusion: tuple[tuple[int, ...], ...]
    """Reference places by mapped class (row) and reference class (column)."""
    left_out: LeftOut
    """Reference places that were not used."""
    hectares: float
    """Area that the estimates are of."""
    unsampled: tuple[str, ...]
    """Mapped classes without any reference place: the estimates are not of their area."""
    unknown_hectares: float
    """Area where the map says that it does not know; no estimate is of it."""
    warnings: tuple[str, ...]
    """What to know before the numbers are trusted."""
    places: str = ""
    """How places were read where the reference does not say it itself, in words; empty where it does."""

    @property
    def samples(self) -> int:
        """Reference places that were used."""
        return sum(map(sum, self.confusion))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return {
            "cover": self.cover,
            "reference": self.reference,
            "places": self.places,
            "design": self.design,
            "samples": {"used": self.samples, **asdict(self.left_out)},
            "hectares": self.hectares,
            "unknown_hectares": self.unknown_hectares,
            "unsampled": list(self.unsampled),
            "overall_accuracy": self.overall.to_dict(),
            "classes": [c.to_dict() for c in self.classes],
            "confusion": {
                "rows": "map",
                "columns": "reference",
                "classes": [c.name for c in self.classes],
                "counts": [list(row) for row in self.confusion],
            },
            "warnings": list(self.warnings),
        }

    def table(self) -> list[list[Any]]:
        """A line for each class, the titles first: estimates, then its row of the confusion matrix."""
        names = [c.name for c in self.classes]
        measures = "users_accuracy", "producers_accuracy", "area_hectares"
        parts = "", "_low", "_high"
        titles = ["id", "class", "mapped_hectares", "samples", *(m + part for m in measures for part in parts)]
        rows: list[list[Any]] = [[*titles, *(f"reference {name}" for name in names)]]
        for c, counts in zip(self.classes, self.confusion, strict=True):
            numbers = [n for e in (c.users, c.producers, c.hectares) for n in (e.value, *(e.interval or (None, None)))]
            rows.append([c.id, c.name, c.mapped_hectares, c.samples, *numbers, *counts])
        return rows
