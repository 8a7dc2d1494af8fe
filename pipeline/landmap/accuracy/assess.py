"""A map is assessed: with reference data it gives accuracies and areas with 95 % intervals."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmap.accuracy.across import read_across
from landmap.accuracy.assessment import CENSUS, POLYGONS, SAMPLE, Assessment, ClassAccuracy, Estimate, LeftOut, estimate
from landmap.accuracy.confusion import OfStrata, Tally, tally_areas, tally_points, tally_sample
from landmap.accuracy.estimators import CLASS_METRICS, MAP_METRICS, Estimates, Metric, StrataEstimates, stratified
from landmap.accuracy.reference import Points, Polygons, Raster
from landmap.crosswalk import Common
from landmap.errors import ReferenceDataError, SettingsError
from landmap.io.publish import TABLES, TEXTS, check_ending, locked, publish_texts
from landmap.io.tables import csv_text
from landmap.maps.cover import Cover, read_cover
from landmap.products.files import check_outputs
from landmap_models.arrays import Ints
from landmap_models.legend import NODATA, UNKNOWN_ID


def assess(
    cover: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    *,
    legend: str | os.PathLike[str] | None = None,
    reference_legend: str | os.PathLike[str] | None = None,
    class_column: str = "class",
    layer: str | None = None,
    warp: bool = False,
    sample: int | None = None,
    seed: int = 0,
) -> Assessment:
    """Estimate the accuracy of a map, and the area of its classes, by reference data.

    Points are taken to be a random sample, stratified by mapped class or simple; if they have the columns `stratum` and
    `inclusion_probability` that `design` writes, and these are not of this map's classes, they say how it was
    stratified. The pixels of polygons are counted,
    but give no intervals, as they are no independent sample. A raster is compared pixel by pixel, or by a sample of it.
    The estimators are in `landmap.accuracy.estimators`, with their source.

    A reference in another legend is compared in the finest classes into which both can be merged; see
    `landmap.crosswalk`.

    Args:
        cover: A cover that landmap wrote, or another raster of class ids.
        reference: CSV (x and y in the map's CRS, or lon and lat; any separator, decimal points or commas), GeoPackage,
            GeoJSON, Shapefile or Parquet of points or polygons, or a raster of class ids.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        reference_legend: Name of the product whose codes or class names the reference has, a key of
            `landmap.crosswalk.PRODUCTS`, or a file as for `legend`; None where it has the map's, or is recognised.
        class_column: Name of the column with class names or ids, of points and polygons.
        layer: Name of the reference's layer; None where it has one layer of points or polygons.
        warp: Whether the nearest pixels of a raster are taken if it has another geobox; otherwise that is an error.
        sample: Number of pixels to draw in each mapped class from a raster; None takes all pixels.
        seed: Seed of the random numbers by which the sample is drawn.

    Raises:
        SceneError: The cover can't be read, or is none.
        ReferenceDataError: The reference can't be read, its classes are not the map's, or no place of it is on the map.
        GeoreferenceError: The map or the reference has no place on the ground, or a raster has another geobox.
        SettingsError: A sample is wanted of something else than a raster.
    """
    opened = read_cover(cover, legend)
    opened.areas()  # a map without a place is refused before the reference is read
    opened, found, shared, across = read_across(
        reference, opened, reference_legend, class_column=class_column, layer=layer, warp=warp
    )
    if sample is not None and not (isinstance(found, Raster) and sample > 0):
        raise SettingsError(f"sample: expected a positive number, and a raster to draw from. Received: {sample}")
    design, tally = _counted(opened, found, sample, seed)
    if not tally.pairs[np.ix_(opened.ids, opened.ids)].any():
        left = _left_out(tally, opened.ids)
        raise ReferenceDataError(
            f"{os.fspath(reference)}: expected places with a class where {opened.path} has one. Found none: "
            f"{left.outside} lie outside, {left.on_nodata} on nodata, {left.on_unknown} on Unknown, "
            f"{left.without_class} have no class, {left.two_classes} have two. {tally.hint or 'Is the CRS right?'}"
        )
    warnings = (*across, *(found.warnings if isinstance(found, Polygons) else ()))
    return _assessment(opened, Path(reference).name, design, tally, warnings, shared)


def write_assessment(
    found: Assessment, report: Path | None = None, table: Path | None = None, *, overwrite: bool = False
) -> None:
    """Write an assessment as JSON, and its classes as CSV.

    Args:
        found: The assessment, as `assess` returns it.
        report: File for the assessment as JSON; None writes none.
        table: File for estimates and confusion matrix as CSV; None writes none.
        overwrite: Whether files that exist are replaced.

    Raises:
        OutputError: A file exists and `overwrite` is not set, or can't be written.
    """
    texts = {}
    check_assessment_outputs(report, table, overwrite=overwrite)
    if report is not None:
        texts[report] = json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n"
    if table is not None:
        texts[table] = csv_text(found.table())
    with locked(list(texts)):
        publish_texts(texts, overwrite=overwrite)


def check_assessment_outputs(
    report: Path | None, table: Path | None, *inputs: str | os.PathLike[str] | None, overwrite: bool = False
) -> None:
    """Refuse what can't or must not be written, before any work.

    Args:
        report: File for the assessment as JSON; None writes none.
        table: File for estimates and confusion matrix as CSV; None writes none.
        *inputs: Files that will be read, which no output may replace; None is passed over.
        overwrite: Whether files that exist are replaced.

    Raises:
        OutputError: See `check_outputs` and `check_ending`.
    """
    check_outputs([file for file in (report, table) if file is not None], *inputs, overwrite=overwrite)
    for file, endings, what in ((report, TEXTS, "JSON file"), (table, TABLES, "CSV file")):
        if file is not None:
            check_ending(file, endings, what)


def _counted(cover: Cover, reference: Points | Polygons | Raster, sample: int | None, seed: int) -> tuple[str, Tally]:
    if isinstance(reference, Points):
        return SAMPLE, tally_points(cover, reference)
    if isinstance(reference, Raster) and sample is not None:
        return SAMPLE, tally_sample(cover, reference, sample, seed)
    return POLYGONS if isinstance(reference, Polygons) else CENSUS, tally_areas(cover, reference)


def _assessment(
    cover: Cover, reference: str, design: str, tally: Tally, warnings: Sequence[str], shared: Common | None
) -> Assessment:
    square = np.ix_(cover.ids, cover.ids)
    counts = tally.pairs[square]
    places = counts.sum(axis=1)
    if design == CENSUS and tally.pair_hectares is not None:
        # The population is what was counted: the reference may cover a part of the map. Nothing is estimated.
        weights = tally.pair_hectares[square]
        mapped = weights.sum(axis=1)
    else:
        weights, mapped = counts.astype(np.float64), tally.mapped[cover.ids]
    found: Estimates | StrataEstimates
    if tally.of_strata is None:
        assessed = np.where(places > 0, mapped, 0.0)
        found, total = stratified(weights, assessed, independent=design == SAMPLE), float(assessed.sum())
    else:
        total = float(mapped.sum())
        found = _of_strata(tally.of_strata, cover.ids, total)
    by_class = [_estimates(metric, found, total) for metric in CLASS_METRICS]
    classes = tuple(
        ClassAccuracy(
            id=c.id,
            name=c.name,
            mapped_hectares=float(mapped[i]),
            samples=int(places[i]),
            reference_samples=int(counts[:, i].sum()),
            estimates={metric.key: estimates[i] for metric, estimates in zip(CLASS_METRICS, by_class, strict=True)},
        )
        for i, c in enumerate(cover.classes)
    )
    return Assessment(
        cover=Path(cover.path).name,
        reference=reference,
        design=design,
        estimates={metric.key: _estimates(metric, found, total)[0] for metric in MAP_METRICS},
        classes=classes,
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        left_out=_left_out(tally, cover.ids),
        hectares=total,
        unsampled=tuple(c.name for c in classes if c.mapped_hectares > 0 and not c.samples),
        unknown_hectares=float(tally.mapped[UNKNOWN_ID]),
        warnings=(*warnings, *_warnings(design, tally, classes, counts)),
        places=tally.places,
        common=shared,
    )


def _of_strata(sample: OfStrata, ids: list[int], hectares: float) -> StrataEstimates:
    """Estimates of a sample whose strata are not the classes of the map, given the area of the map."""
    # Strata whose points all lie on nodata or Unknown say nothing of the classes.
    there = np.bincount(sample.strata, minlength=len(sample.pixels)) > 0
    pixels = np.where(there, sample.pixels, 0)[there]
    mapped, true = (values[:, None] == np.array(ids) for values in (sample.mapped, sample.reference))
    return StrataEstimates((np.cumsum(there) - 1)[sample.strata], pixels / pixels.sum(), mapped, true, hectares)


def _estimates(metric: Metric, sample: Estimates | StrataEstimates, hectares: float) -> list[Estimate]:
    """Return a metric of the map, one estimate, or of each of its classes, given the area that is assessed."""
    found, most = metric.estimate(sample), hectares if metric.in_hectares else 1
    pairs = zip(np.atleast_1d(found.values), np.atleast_1d(found.errors), strict=True)
    return [estimate(value, error, most) for value, error in pairs]


def _left_out(tally: Tally, ids: list[int]) -> LeftOut:
    return LeftOut(
        outside=tally.outside,
        on_nodata=int(tally.pairs[NODATA, ids].sum()),
        on_unknown=int(tally.pairs[UNKNOWN_ID, ids].sum()),
        without_class=tally.without_class,
        two_classes=tally.two_classes,
    )


def _warnings(design: str, tally: Tally, classes: tuple[ClassAccuracy, ...], counts: Ints) -> list[str]:
    """Say what makes the numbers less certain than they look."""
    found = []
    left = _left_out(tally, [c.id for c in classes])
    total = int(counts.sum()) + left.outside + left.on_nodata + left.on_unknown + left.without_class
    if design == SAMPLE and left.outside + left.on_nodata + left.without_class:
        found.append(
            f"of {total} places {left.outside} lie outside the map, {left.on_nodata} on nodata, and "
            f"{left.without_class} have no class: they are left out{f'. {tally.hint}' if tally.hint else ''}"
        )
    if left.on_unknown:
        found.append(
            f"{left.on_unknown} places lie where the map says Unknown: they count neither as right nor as wrong"
        )
    if left.two_classes:
        found.append(
            f"{left.two_classes} pixels lie in polygons of different classes, which overlap: they are left out"
        )
    if tally.same_pixel:
        found.append(f"{tally.same_pixel} points lie in a pixel that another point is in: no independent sample")
    if design == POLYGONS:
        found.append(
            "the pixels of a polygon are no independent sample: no intervals are given. Draw points at random for them"
        )
    if tally.of_strata is not None:
        found.append(
            "the strata of the sample are not the classes of this map, so it was drawn for another: each place counts "
            "by its inclusion probability (Stehman 2014)"
        )
        return found
    return found + _thin_strata(design, classes)


def _thin_strata(design: str, classes: tuple[ClassAccuracy, ...]) -> list[str]:
    mapped = [c for c in classes if c.mapped_hectares > 0]
    found = []
    if missing := [f"{c.name} ({c.mapped_hectares:,.1f} ha)" for c in mapped if not c.samples]:
        found.append(
            f"no reference place lies in what is mapped as {', '.join(missing)}: the estimates are of the rest of the "
            "map"
        )
    if design == SAMPLE and (single := [c.name for c in mapped if c.samples == 1]):
        found.append(
            f"only one reference place lies in what is mapped as {', '.join(single)}: a standard error needs two. Add "
            "places"
        )
    certain = [c.name for c in mapped if c.samples > 1 and c.users.standard_error == 0]
    if certain:
        found.append(
            f"the user's accuracy of {', '.join(certain)} is 0 or 100 % in this sample: that its interval has no width "
            "says that places are few, not that it is sure"
        )
    return found
