"""What an assessment found: estimates with 95 % intervals, of the map and of each class, as JSON and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from landmap.accuracy.estimators import CLASS_METRICS, Z


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
    estimates: Mapping[str, Estimate]
    """The estimates of `CLASS_METRICS`, by key."""

    @property
    def users(self) -> Estimate:
        """User's accuracy: of what is mapped as this class, the share that is of it."""
        return self.estimates["users_accuracy"]

    @property
    def producers(self) -> Estimate:
        """Producer's accuracy: of the true area of this class, the share that is mapped so."""
        return self.estimates["producers_accuracy"]

    @property
    def hectares(self) -> Estimate:
        """True area in hectares."""
        return self.estimates["area_hectares"]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "id": self.id,
            "name": self.name,
            "mapped_hectares": self.mapped_hectares,
            "samples": self.samples,
            "reference_samples": self.reference_samples,
            **{key: found.to_dict() for key, found in self.estimates.items()},
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
    estimates: Mapping[str, Estimate]
    """The estimates of `MAP_METRICS`, by key."""
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
    def overall(self) -> Estimate:
        """Overall accuracy: share of the area that is mapped right."""
        return self.estimates["overall_accuracy"]

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
            **{key: found.to_dict() for key, found in self.estimates.items()},
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
        metrics = [metric.key + part for metric in CLASS_METRICS for part in ("", "_low", "_high")]
        titles = ["id", "class", "mapped_hectares", "samples", *metrics]
        rows: list[list[Any]] = [[*titles, *(f"reference {name}" for name in names)]]
        for c, counts in zip(self.classes, self.confusion, strict=True):
            numbers = [n for e in c.estimates.values() for n in (e.value, *(e.interval or (None, None)))]
            rows.append([c.id, c.name, c.mapped_hectares, c.samples, *numbers, *counts])
        return rows


SAMPLE, POLYGONS, CENSUS = "stratified sample", "polygons", "census"
