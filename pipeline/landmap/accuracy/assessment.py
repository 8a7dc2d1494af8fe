"""What an assessment found: estimates with 95 % intervals, of the map and of each class, as JSON and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from landmap.accuracy.estimators import CLASS_METRICS, Z
from landmap.crosswalk import Common


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that is estimated from a sample, with its standard error."""

    value: float | None
    """The estimate; None where it is not defined."""
    standard_error: float | None
    """Its standard error; None where it is not defined."""
    most: float
    """The largest possible value; the smallest is 0."""

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % interval, before it is cut; None where it is not defined."""
        return None if self.standard_error is None else Z * self.standard_error

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end of the 95 % interval, cut at the possible values; None where it is not defined."""
        if self.value is None or self.half_width is None:
            return None
        return max(0.0, self.value - self.half_width), min(self.most, self.value + self.half_width)

    def to_dict(self) -> dict[str, float | None]:
        """Return `value`, `standard_error`, and `low` and `high` of the 95 % interval."""
        low, high = self.interval or (None, None)
        return {"value": self.value, "standard_error": self.standard_error, "low": low, "high": high}


def estimate(value: float, error: float, most: float) -> Estimate:
    """Make an estimate of a value and its standard error, where NaN means that it is not defined."""
    known = not math.isnan(value)
    return Estimate(
        float(value) if known else None, None if math.isnan(error) or not known else float(error), float(most)
    )


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """Accuracies and area of one class."""

    id: int
    """Class id."""
    name: str
    """Class name."""
    mapped_hectares: float
    """Area that is mapped as this class, in hectares."""
    samples: int
    """Number of reference places that are mapped as this class."""
    reference_samples: int
    """Number of reference places that are of this class by the reference."""
    estimates: Mapping[str, Estimate]
    """The estimates of `CLASS_METRICS`, by key."""

    @property
    def users(self) -> Estimate:
        """User's accuracy: of the area mapped as this class, the share that is of it."""
        return self.estimates["users_accuracy"]

    @property
    def producers(self) -> Estimate:
        """Producer's accuracy: of the true area of this class, the share that is mapped so."""
        return self.estimates["producers_accuracy"]

    @property
    def hectares(self) -> Estimate:
        """True area of this class in hectares."""
        return self.estimates["area_hectares"]

    def to_dict(self) -> dict[str, Any]:
        """Return the class as values that JSON can hold."""
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
    """Numbers of reference places that can't be used, by reason."""

    outside: int
    """Points, or whole polygons, outside the map."""
    on_nodata: int
    """Places where the map has no data."""
    on_unknown: int
    """Places where the map's class is Unknown."""
    without_class: int
    """Points or polygons without a class."""
    two_classes: int
    """Pixels in polygons of different classes."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Accuracies and areas of a map, estimated by reference data."""

    cover: str
    """File name of the map."""
    reference: str
    """File name of the reference."""
    design: str
    """Kind of reference places: "stratified sample", "polygons" (which allow no intervals), or "census" (all pixels, so
    that nothing is estimated)."""
    estimates: Mapping[str, Estimate]
    """The estimates of `MAP_METRICS`, by key."""
    classes: tuple[ClassAccuracy, ...]
    """Every class of the map's legend, by id."""
    confusion: tuple[tuple[int, ...], ...]
    """Number of reference places by mapped class (row) and reference class (column)."""
    left_out: LeftOut
    """Numbers of reference places that were not used."""
    hectares: float
    """Area to which the estimates apply, in hectares."""
    unsampled: tuple[str, ...]
    """Mapped classes without any reference place; the estimates don't apply to their area."""
    unknown_hectares: float
    """Area where the map's class is Unknown, in hectares; the estimates don't apply to it."""
    warnings: tuple[str, ...]
    """What the user should know before trusting the numbers."""
    places: str = ""
    """How coordinates of points were read, in words; "" where the reference has a CRS itself."""
    common: Common | None = None
    """How the classes of the map and of the reference were merged, where these are of different legends."""

    @property
    def overall(self) -> Estimate:
        """Overall accuracy: share of the area that is mapped right, 0 to 1."""
        return self.estimates["overall_accuracy"]

    @property
    def samples(self) -> int:
        """Number of reference places that were used."""
        return sum(map(sum, self.confusion))

    def to_dict(self) -> dict[str, Any]:
        """Return the assessment as values that JSON can hold."""
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
        } | ({"crosswalk": self.common.to_dict("cover", "reference")} if self.common else {})

    def table(self) -> list[list[Any]]:
        """Return a row for each class, the titles first: its estimates, then its row of the confusion matrix."""
        names = [c.name for c in self.classes]
        metrics = [metric.key + part for metric in CLASS_METRICS for part in ("", "_low", "_high")]
        titles = ["id", "class", "mapped_hectares", "samples", *metrics]
        rows: list[list[Any]] = [[*titles, *(f"reference {name}" for name in names)]]
        for c, counts in zip(self.classes, self.confusion, strict=True):
            numbers = [n for e in c.estimates.values() for n in (e.value, *(e.interval or (None, None)))]
            rows.append([c.id, c.name, c.mapped_hectares, c.samples, *numbers, *counts])
        return rows


SAMPLE, POLYGONS, CENSUS = "stratified sample", "polygons", "census"
"""Kinds of reference places, see `Assessment.design`."""
