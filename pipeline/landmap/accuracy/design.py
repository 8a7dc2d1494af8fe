"""A sample for the assessment of a map is designed: how many places in each mapped class, and where they lie.

Sizes by Olofsson, Foody, Herold, Stehman, Woodcock and Wulder (2014): Good practices for estimating area and assessing
accuracy of land change. Remote Sensing of Environment 148, 42-57, doi:10.1016/j.rse.2014.02.015, section 5.1: the whole
sample by equation (13), a least number for rare classes, and the rest in proportion to area.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from landmap.accuracy.reference import INCLUSION, STRATUM
from landmap.errors import SceneError, SettingsError, issue_warnings
from landmap.io.publish import Staged, locked, publish, staging
from landmap.io.qgis import STYLES_LAYER, to_fill_in_rows
from landmap.io.reading import CACHE_BYTES
from landmap.io.vectors import Features, format_of, write_layer, write_table
from landmap.maps.cover import Cover, read_cover
from landmap.maps.legend import check_ids
from landmap.maps.shares import ClassCounter
from landmap.maps.vectorize import to_crs
from landmap.products.files import check_outputs
from landmap_models.arrays import Doubles, Ints
from landmap_models.legend import UNKNOWN, UNKNOWN_ID

LAYER = "sample"
"""Name of the layer of places."""
MOST = 1_000_000
"""Most places of a sample; more are a slip of the target."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One mapped class of which places are drawn."""

    id: int
    """Class id."""
    name: str
    """Class name."""
    pixels: int
    """Number of pixels that are mapped so."""
    hectares: float
    """Their area in hectares."""
    weight: float
    """Their share of the area of all strata, 0 to 1."""
    accuracy: float
    """User's accuracy that is expected, 0 to 1."""
    places: int
    """Number of places that are drawn."""

    @property
    def inclusion(self) -> float:
        """Probability that a pixel of the stratum is drawn, 0 to 1."""
        return self.places / self.pixels


@dataclass(frozen=True, slots=True)
class Design:
    """A stratified random sample of a map."""

    strata: tuple[Stratum, ...]
    """Mapped classes by id; classes that are mapped nowhere have no stratum."""
    wanted: float
    """Standard error of overall accuracy that was asked for, 0 to 1."""
    expected: float
    """Standard error of overall accuracy if the expected user's accuracies are true, 0 to 1."""

    @property
    def places(self) -> int:
        """Number of places in all strata."""
        return sum(stratum.places for stratum in self.strata)


def design(
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    standard_error: float = 0.01,
    min_per_class: int = 50,
    accuracy: float = 0.8,
    accuracies: Mapping[str, float] | None = None,
    legend: str | os.PathLike[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Design:
    """Draw a stratified random sample of places for the assessment of a map, and write it with a column to fill in.

    Each place is the centre of a pixel. Columns: `id` (from 1, in random order, so that the first places alone are a
    smaller sample), `class` (empty, for the true class), `stratum` (name of the mapped class) and
    `inclusion_probability`. Once `class` is filled in, `assess` takes the file as its reference.

    Args:
        cover: A cover that landmap wrote, or another raster of class ids.
        output: The file to write: GeoPackage (.gpkg, styled for QGIS), GeoJSON (.geojson) or GeoParquet (.parquet).
        standard_error: Standard error of overall accuracy to reach, between 0 and 0.5.
        min_per_class: Number of places in each mapped class, at least; all pixels of a class that has fewer.
        accuracy: User's accuracy that is expected of each class, 0 to 1.
        accuracies: User's accuracies that are expected of some classes instead, by name; None for none.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        seed: Seed of the random numbers; equal seeds draw equal places.
        overwrite: Whether an output that exists is replaced.

    Raises:
        LandmapError: See `landmap.errors`. Nothing is left behind then.
    """
    output = Path(output)
    format_of(output)
    check_outputs([output], cover, legend, overwrite=overwrite)
    _check_target(standard_error, min_per_class)
    opened = read_cover(cover, legend)
    expected = _expected(opened, accuracy, accuracies or {})
    with locked([output]), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), staging(output) as folder:
        found, unknown = _strata(opened, expected, standard_error, min_per_class)
        features = _features(opened, found.strata, np.random.default_rng(seed))
        file = folder / f"sample{output.suffix.lower()}"
        write_layer(file, LAYER, [features], opened.geobox.crs)
        if format_of(output).has_layers:
            styles = to_fill_in_rows(opened.classes, LAYER, "Point", hidden=(STRATUM, INCLUSION))
            write_table(file, STYLES_LAYER, styles)
        publish([Staged(output, file)], overwrite=overwrite)
    issue_warnings(_warnings(found, unknown, min_per_class))
    return found


def sample_size(weights: Doubles, accuracies: Doubles, standard_error: float, pixels: int) -> int:
    """Number of places for a target standard error of overall accuracy, rounded up: equation (13).

    Args:
        weights: Shares of the strata in the area, `(q,)`.
        accuracies: Expected user's accuracies, `(q,)`, 0 to 1.
        standard_error: The target, 0 to 1.
        pixels: Number of pixels of all strata.
    """
    variances = accuracies * (1 - accuracies)
    size = (weights @ np.sqrt(variances)) ** 2 / (standard_error**2 + weights @ variances / pixels)
    return math.ceil(size)


def allocate(size: int, weights: Doubles, least: int, pixels: Ints) -> Ints:
    """Share out places to strata, `(q,)`: a least number for rare ones, and the rest in proportion to area.

    Where the least numbers alone are more than the sample, the sample is as large as they are. No stratum gets more
    places than it has pixels.

    Args:
        size: Number of places.
        weights: Shares of the strata in the area, `(q,)`.
        least: Least number of places of a stratum.
        pixels: Numbers of pixels of the strata, `(q,)`.
    """
    floor = np.minimum(least, pixels)
    fixed, places = np.zeros(len(weights), bool), floor.astype(np.int64)
    while not fixed.all():
        rest = max(0, size - int(floor[fixed].sum()))
        shares = rest * weights[~fixed] / weights[~fixed].sum()
        if (below := shares < floor[~fixed]).any():
            fixed[np.flatnonzero(~fixed)[below]] = True
            continue
        whole = np.floor(shares + 1e-9).astype(np.int64)
        most = np.argsort(whole - shares, kind="stable")[: rest - int(whole.sum())]
        whole[most] += 1
        places[~fixed] = whole
        break
    return np.minimum(places, pixels)


def _check_target(standard_error: float, min_per_class: int) -> None:
    if not 0 < standard_error < 0.5:
        raise SettingsError(
            "standard_error: expected that of overall accuracy, between 0 and 0.5, such as 0.01 for 1 %. "
            f"Received: {standard_error}"
        )
    if min_per_class < 2:
        raise SettingsError(
            f"min_per_class: expected 2 places of each class or more, as a standard error needs two. Received: "
            f"{min_per_class}"
        )


def _expected(cover: Cover, accuracy: float, accuracies: Mapping[str, float]) -> dict[int, float]:
    """Expected user's accuracy of each class, by id."""
    known = {c.name.casefold(): c.id for c in cover.classes}
    if strange := [name for name in accuracies if name.casefold() not in known]:
        raise SettingsError(
            f"accuracies: expected classes of {cover.path} ({', '.join(cover.names)}). Received: {', '.join(strange)}"
        )
    found = dict.fromkeys(cover.ids, accuracy) | {known[name.casefold()]: u for name, u in accuracies.items()}
    if wrong := [u for u in (accuracy, *found.values()) if not 0 < u <= 1]:
        raise SettingsError(
            f"accuracy: expected user's accuracies above 0 and up to 1, such as 0.8. Received: {wrong[0]}"
        )
    return found


def _strata(cover: Cover, expected: Mapping[int, float], target: float, least: int) -> tuple[Design, int]:
    """Measure the mapped classes and share out places; also the number of pixels mapped as Unknown."""
    areas = cover.areas()
    counter = ClassCounter(areas)
    for window, values in cover.strips():
        counter.add(window, values)
    check_ids(cover.path, (*cover.classes, UNKNOWN), counter.pixels)
    mapped = [c for c in cover.classes if counter.pixels[c.id]]
    if not mapped:
        raise SceneError(f"{cover.path}: expected a map with pixels that have a class, to draw from. Found none")
    ids = [c.id for c in mapped]
    assert counter.hectares is not None
    pixels, hectares = counter.pixels[ids], counter.hectares[ids]
    weights, accuracies = hectares / hectares.sum(), np.array([expected[i] for i in ids])
    size = sample_size(weights, accuracies, target, int(pixels.sum()))
    if size > MOST:
        raise SettingsError(
            f"standard_error: expected a target that {MOST:,} places reach. Received: {target}, which needs {size:,}"
        )
    places = allocate(size, weights, least, pixels)
    error = math.sqrt(float((weights**2 * accuracies * (1 - accuracies) / np.maximum(places - 1, 1)).sum()))
    rows = zip(mapped, pixels, hectares, weights, accuracies, places, strict=True)
    strata = tuple(Stratum(c.id, c.name, int(n), float(a), float(w), float(u), int(k)) for c, n, a, w, u, k in rows)
    return Design(strata, target, error), int(counter.pixels[UNKNOWN_ID])


def _features(cover: Cover, strata: Sequence[Stratum], rng: np.random.Generator) -> Features:
    """Draw the places of all strata, in random order."""
    import shapely

    rows, cols = _drawn(cover, strata, rng)
    stratum = np.repeat(np.arange(len(strata)), [s.places for s in strata])
    order = rng.permutation(len(stratum))
    stratum, rows, cols = stratum[order], rows[order], cols[order]
    columns = {
        "id": np.arange(1, len(order) + 1, dtype=np.int32),
        "class": np.full(len(order), None, object),
        STRATUM: np.array([s.name for s in strata], object)[stratum],
        INCLUSION: np.array([s.inclusion for s in strata])[stratum],
    }
    return Features(columns, to_crs(shapely.points(cols + 0.5, rows + 0.5), cover), "Point")


def _drawn(cover: Cover, strata: Sequence[Stratum], rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Rows and columns of pixels that are drawn in each stratum, one stratum after the other."""
    # What is drawn are ranks among the pixels of the class, counted row by row from the top.
    ranks = [np.sort(rng.choice(s.pixels, s.places, replace=False, shuffle=False)) for s in strata]
    passed = np.zeros(len(strata), np.int64)
    rows: list[list[Ints]] = [[] for _ in strata]
    cols: list[list[Ints]] = [[] for _ in strata]
    for window, values in cover.strips():
        for i, stratum in enumerate(strata):
            there = np.flatnonzero(values == stratum.id)
            first, last = np.searchsorted(ranks[i], (passed[i], passed[i] + len(there)))
            row, col = np.divmod(there[ranks[i][first:last] - passed[i]], window.width)
            rows[i].append(row + window.row_off)
            cols[i].append(col)
            passed[i] += len(there)
    return np.concatenate([n for part in rows for n in part]), np.concatenate([n for part in cols for n in part])


def _warnings(found: Design, unknown: int, least: int) -> list[str]:
    texts = []
    if unknown:
        texts.append(f"{unknown:,} pixels are mapped as Unknown: no places are drawn there")
    if whole := [f"{s.name} ({s.places})" for s in found.strata if s.places == s.pixels]:
        texts.append(f"all pixels of {', '.join(whole)} are in the sample: there are no more, and {least} were wanted")
    if found.expected > found.wanted * 1.05:
        texts.append(
            f"the expected standard error is {found.expected:.4f}, above the target of {found.wanted}: places that "
            "rare classes need are taken from common ones. For the target, lower --standard-error or --min-per-class"
        )
    return texts
