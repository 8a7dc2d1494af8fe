"""Maps of one place and several times: when each pixel's class changed, how often, and what stayed."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landmap.accuracy.confusion import PairCounter
from landmap.errors import GeoreferenceError, SettingsError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter, check_raster
from landmap.io.publish import TABLES, TEXTS, check_ending, locked, publish_texts
from landmap.io.tables import csv_text
from landmap.maps.cover import Cover, geobox_difference
from landmap.maps.legend import check_ids
from landmap.maps.several import check_whole, confidences_of, open_covers, read_confidence, time_of
from landmap.maps.shares import ClassCounter
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.products.files import check_outputs
from landmap.tiling import Window
from landmap_models.arrays import Bytes, Doubles
from landmap_models.legend import NODATA, UNKNOWN, UNKNOWN_ID

BANDS = "first_change", "last_change", "changes", "persistent_class"
"""Names of the bands of a raster of a series."""
MOST_MAPS = 254
"""Number of maps that a byte can count."""


@dataclass(frozen=True, slots=True)
class Series:
    """The changes between maps of one place and several times."""

    maps: tuple[Cover, ...]
    """The maps, from the earliest to the latest, with the same classes."""
    times: tuple[str, ...]
    """For each map the day of its scene, such as "2023-08-13", or the map's name where that is not known."""
    min_confidence: int
    """Confidence in percent below which a class does not count; 0 where all count."""
    warped: tuple[bool, ...]
    """Whether the nearest pixels of each map were taken, as it lies on another grid than the first."""
    transitions: tuple[tuple[tuple[float, ...], ...], ...]
    """For each map after the first: area in hectares by the last class before it (row) and the class in it (column), in
    the order of the legend."""
    by_changes: tuple[float, ...]
    """Area in hectares by number of changes, from 0 up."""
    first_changes: tuple[float, ...]
    """Area in hectares by the map in which the class changed for the first time; 0 for the first map."""
    last_changes: tuple[float, ...]
    """Area in hectares by the map in which the class changed for the last time; 0 for the first map."""
    persistent: tuple[float, ...]
    """Area in hectares that never changed, by class, in the order of the legend."""
    uncompared_hectares: float
    """Area in hectares that has a class in less than two maps."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, by id."""
        return self.maps[0].names

    def changed_hectares(self, step: int) -> float:
        """Area in hectares whose class changed in a map; step 0 is the second map."""
        matrix = np.array(self.transitions[step])
        return float(matrix.sum() - np.trace(matrix))

    def to_dict(self) -> dict[str, Any]:
        """Return the series as values that JSON can hold."""
        steps = [
            {
                "from": self.times[i],
                "to": self.times[i + 1],
                "transitions_hectares": {"rows": "before", "columns": "after", "values": [list(row) for row in rows]},
                "changed_hectares": self.changed_hectares(i),
            }
            for i, rows in enumerate(self.transitions)
        ]
        return {
            "maps": [
                {"file": Path(cover.path).name, "time": time, "warped": warped}
                for cover, time, warped in zip(self.maps, self.times, self.warped, strict=True)
            ],
            "min_confidence": self.min_confidence,
            "classes": list(self.names),
            "steps": steps,
            "hectares_by_changes": list(self.by_changes),
            "first_change_hectares": list(self.first_changes),
            "last_change_hectares": list(self.last_changes),
            "persistent_hectares": list(self.persistent),
            "uncompared_hectares": self.uncompared_hectares,
        }

    def table(self) -> list[list[Any]]:
        """Return the transitions that occur in each step, a row each, with titles."""
        rows: list[list[Any]] = [["from", "to", "before", "after", "hectares"]]
        for i, matrix in enumerate(self.transitions):
            for before, line in zip(self.names, matrix, strict=True):
                areas = zip(self.names, line, strict=True)
                rows += [[self.times[i], self.times[i + 1], before, after, area] for after, area in areas if area]
        return rows


def compare_series(
    maps: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    min_confidence: int = 0,
    confidence: Sequence[str | os.PathLike[str]] | None = None,
    legend: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    warp: bool = False,
    overwrite: bool = False,
) -> Series:
    """Compare maps of one place and several times.

    A pixel without a class in a map, or with one that is less sure than asked for, keeps the class that it had last: a
    change counts in the map that shows it. A pixel with a class in less than two maps is not compared.

    Args:
        maps: Two covers or more with the same classes, from the earliest to the latest.
        output: File for a raster (GeoTIFF, uint8) of four bands, 255 where a pixel is not compared: the number of the
            map in which the class changed first, and last, counted from 0, so that 0 means never; how often it changed;
            and its class if it never did, else 254. None writes none.
        min_confidence: Confidence in percent below which a class does not count; 0 counts all.
        confidence: Rasters of confidence for the maps, in their order; None takes those beside them,
            `<cover>_confidence.tif`. They are read for a `min_confidence` alone.
        legend: Name of a product's legend into which all maps are recoded, or a file with the meaning of ids, as for
            `mosaic`; None: all maps say it.
        report: File for all numbers as JSON; None writes none.
        table: File for the transitions of each step as CSV; None writes none.
        warp: Whether the nearest pixels of maps on another grid than the first are taken; otherwise they are an error.
        overwrite: Whether outputs that exist are replaced.

    Raises:
        SettingsError: Less than two maps, more than 254, or not in the order of their times.
        SceneError: A map can't be read, or has other classes.
        GeoreferenceError: The geoboxes differ, or a map has no place on the ground.
        OutputError: An output exists or can't be written.
    """
    paths = [os.fspath(path) for path in maps]
    if not 2 <= len(paths) <= MOST_MAPS:
        raise SettingsError(f"Expected 2 to {MOST_MAPS} maps of one place. Received {len(paths)}")
    if not 0 <= min_confidence <= 100:
        raise SettingsError(f"Expected a confidence from 0 to 100 percent. Received {min_confidence}")
    if confidence and not min_confidence:
        raise SettingsError("Rasters of confidence say which classes count: expected --min-confidence PERCENT, too")
    beside = confidences_of(paths, confidence) if min_confidence else [None] * len(paths)
    files = [Path(path) if path is not None else None for path in (output, report, table)]
    _check(files, [*paths, *beside, legend], overwrite=overwrite)
    covers, _ = open_covers(paths, legend)
    check_whole(covers)
    times = _ordered_times(covers)
    sure = [read_confidence(path, cover) for path, cover in zip(beside, covers, strict=True)]
    how = _Reading(covers, sure, [_onto(covers[0], cover, warp=warp) for cover in covers], min_confidence)
    with locked([file for file in files if file is not None]):
        return _compared(how, files, times, overwrite=overwrite)


def _check(files: Sequence[Path | None], inputs: Sequence[str | os.PathLike[str] | None], *, overwrite: bool) -> None:
    check_outputs([file for file in files if file is not None], *inputs, overwrite=overwrite)
    output, report, table = files
    if output is not None:
        check_raster(output)
    for file, endings, what in ((report, TEXTS, "JSON file"), (table, TABLES, "CSV file")):
        if file is not None:
            check_ending(file, endings, what)


def _onto(first: Cover, cover: Cover, *, warp: bool) -> GeoBox | None:
    """The grid to which a map is brought; None where it lies on it."""
    difference = geobox_difference(first.geobox, cover.geobox)
    if difference and not warp:
        raise GeoreferenceError(
            f"Expected maps on one grid. {first.path} and {cover.path} differ: {difference}. Go on with --warp, which "
            "takes the nearest pixels of those that differ from the first"
        )
    return first.geobox if difference else None


def _ordered_times(covers: Sequence[Cover]) -> tuple[str, ...]:
    """The day of each map, or its name; maps whose days are known and in another order are refused."""
    days = [time_of(cover) for cover in covers]
    known = [(day, c) for day, c in zip(days, covers, strict=True) if day is not None]
    for (before, one), (after, other) in itertools.pairwise(known):
        if after < before:
            raise SettingsError(
                f"Expected maps from the earliest to the latest. Received {one.path} of {before:%Y-%m-%d} before "
                f"{other.path} of {after:%Y-%m-%d}: give them in the order of their dates"
            )
    return tuple(f"{day:%Y-%m-%d}" if day else Path(c.path).name for day, c in zip(days, covers, strict=True))


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the maps are read: classes that are not sure enough are Unknown."""

    covers: Sequence[Cover]
    sure: Sequence[Cover | None]
    grids: Sequence[GeoBox | None]
    min_confidence: int

    def classes(self, i: int, window: Window) -> Bytes:
        """Class ids of a map in a window of the first map; 254 where a class is not sure enough."""
        values, sure = self.covers[i].read(window, self.grids[i]), self.sure[i]
        if sure is None:
            return values
        percent = sure.read(window, self.grids[i])
        return np.where((percent < self.min_confidence) & (values != NODATA), np.uint8(UNKNOWN_ID), values)


class _Counters:
    """Areas by pair of classes of each step, and by value of each band."""

    def __init__(self, covers: Sequence[Cover]) -> None:
        areas = covers[0].areas()
        self.steps = [PairCounter(areas) for _ in covers[1:]]
        self.bands = {name: ClassCounter(areas) for name in BANDS}

    def hectares(self, band: str) -> Doubles:
        """Area by value of a band, `(256,)`."""
        found = self.bands[band].hectares
        assert found is not None  # each map has a place on the ground
        return found


def _compared(how: _Reading, files: Sequence[Path | None], times: tuple[str, ...], *, overwrite: bool) -> Series:
    """Count, and write the outputs, in one pass over the maps."""
    output, report, table = files
    first, counters = how.covers[0], _Counters(how.covers)
    tags = {
        LAYER_TAG: "series",
        LEGEND_TAG: legend_tag((*first.classes, UNKNOWN)),
        "LANDMAP_COVERS": ", ".join(Path(c.path).name for c in how.covers),
        "LANDMAP_TIMES": json.dumps(times),
        "LANDMAP_MIN_CONFIDENCE": str(how.min_confidence),
    }
    with nullcontext() if output is None else RasterWriter(output, first.geobox, Layers(BANDS, tags)) as writer:
        for window in first.windows():
            bands = _bands(how, window, counters)
            for counter, band in zip(counters.bands.values(), bands, strict=True):
                counter.add(window, band)
            if writer:
                writer.write(window, bands)
        found, texts = _series(how, counters, times), {}
        if report is not None:
            texts[report] = json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n"
        if table is not None:
            texts[table] = csv_text(found.table())
        publish_texts(texts, overwrite=overwrite, rasters=[writer.finish()] if writer else [])
    return found


def _bands(how: _Reading, window: Window, counters: _Counters) -> Bytes:
    """The bands of a window `(4, height, width)`; the transitions of each step are counted."""
    last, seen = np.full(window.shape, NODATA, np.uint8), np.zeros(window.shape, np.uint8)
    first_change, last_change, changes = (np.zeros(window.shape, np.uint8) for _ in range(3))
    for i in range(len(how.covers)):
        values = how.classes(i, window)
        known = values < UNKNOWN_ID
        if i:
            counters.steps[i - 1].add(window, last, values)
        changed = known & (last != NODATA) & (values != last)
        first_change[changed & (changes == 0)] = i
        last_change[changed] = i
        changes += changed
        seen += known
        last = np.where(known, values, last)
    bands = np.stack([first_change, last_change, changes, np.where(changes == 0, last, np.uint8(UNKNOWN_ID))])
    bands[:, seen < 2] = NODATA
    return bands


def _series(how: _Reading, counters: _Counters, times: tuple[str, ...]) -> Series:
    first, count = how.covers[0], len(how.covers)
    known = (*first.classes, UNKNOWN)
    check_ids(first.path, known, counters.steps[0].pixels.sum(axis=1))
    for cover, step in zip(how.covers[1:], counters.steps, strict=True):
        check_ids(cover.path, known, step.pixels.sum(axis=0))
    by_changes, square = counters.hectares("changes"), np.ix_(first.ids, first.ids)
    first_changes, last_changes = (counters.hectares(name)[1:count].tolist() for name in BANDS[:2])
    return Series(
        maps=tuple(how.covers),
        times=times,
        min_confidence=how.min_confidence,
        warped=tuple(grid is not None for grid in how.grids),
        transitions=tuple(tuple(tuple(row) for row in step.hectares[square].tolist()) for step in counters.steps),
        by_changes=tuple(by_changes[:count].tolist()),
        first_changes=(0.0, *first_changes),
        last_changes=(0.0, *last_changes),
        persistent=tuple(counters.hectares("persistent_class")[first.ids].tolist()),
        uncompared_hectares=float(by_changes[NODATA]),
    )
