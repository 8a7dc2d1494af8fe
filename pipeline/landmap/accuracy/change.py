"""Two maps of one place are compared pixel by pixel: how much of each class became which other class."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.accuracy.across import compared, open_map
from landmap.accuracy.confusion import PairCounter
from landmap.crosswalk import Common
from landmap.errors import GeoreferenceError, OutputError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter, check_raster
from landmap.io.publish import TABLES, TEXTS, check_ending, locked, publish_texts
from landmap.io.tables import csv_text
from landmap.maps.cover import VALUES, Cover, geobox_difference
from landmap.maps.legend import check_ids
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.products.files import check_outputs
from landmap.tiling import Window
from landmap_models.arrays import Bytes, Ints
from landmap_models.legend import MAX_CLASS_ID, NODATA, UNKNOWN, UNKNOWN_ID, LandClass

PALE = 0.75
"""How much unchanged classes are lightened, 0 to 1, so that changes stand out in the full colour of the new class."""


@dataclass(frozen=True, slots=True)
class Change:
    """The transitions between the classes of two maps."""

    before: Cover
    """The first map."""
    after: Cover
    """The second map, with the same classes."""
    warped: bool
    """Whether the second map was warped to the geobox of the first."""
    pixels: tuple[tuple[int, ...], ...]
    """Number of pixels by class before (row) and after (column), in the order of the legend."""
    transitions: tuple[tuple[float, ...], ...]
    """Area in hectares by class before (row) and after (column), in the order of the legend."""
    unknown_pixels: int
    """Number of pixels with data in both maps that are Unknown in one of them."""
    unknown_hectares: float
    """Area of these pixels in hectares."""
    nodata_pixels: int
    """Number of pixels without data in one of the maps."""
    nodata_hectares: float
    """Area of these pixels in hectares."""
    common: Common | None = None
    """How the classes of both maps were merged, where these are of different legends; None where they are the same."""
    warnings: tuple[str, ...] = ()
    """What the user should know of maps in different legends."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, by id."""
        return self.before.names

    @property
    def total(self) -> int:
        """Number of pixels that have a class in both maps."""
        return sum(map(sum, self.pixels))

    @property
    def changed(self) -> int:
        """Number of pixels whose class has changed."""
        return self.total - sum(row[i] for i, row in enumerate(self.pixels))

    def hectares(self) -> list[list[float]]:
        """Return the transition matrix in hectares: rows before, columns after."""
        return [list(row) for row in self.transitions]

    @property
    def compared_hectares(self) -> float:
        """Area that has a class in both maps, in hectares."""
        return math.fsum(n for row in self.transitions for n in row)

    @property
    def changed_hectares(self) -> float:
        """Area whose class has changed, in hectares."""
        return math.fsum(n for i, row in enumerate(self.transitions) for j, n in enumerate(row) if i != j)

    @property
    def changed_share(self) -> float | None:
        """Changed share of the compared area, 0 to 1; None where nothing was compared."""
        return self.changed_hectares / self.compared_hectares if self.total else None

    def to_dict(self) -> dict[str, Any]:
        """Return the change as values that JSON can hold."""
        return {
            "before": Path(self.before.path).name,
            "after": Path(self.after.path).name,
            "warped": self.warped,
            "classes": list(self.names),
            "transitions_hectares": {"rows": "before", "columns": "after", "values": self.hectares()},
            "compared_hectares": self.compared_hectares,
            "changed_hectares": self.changed_hectares,
            "changed_share": self.changed_share,
            "unknown_hectares": self.unknown_hectares,
            "nodata_hectares": self.nodata_hectares,
        } | (
            {"crosswalk": self.common.to_dict("before", "after"), "warnings": list(self.warnings)}
            if self.common
            else {}
        )

    def table(self) -> list[list[Any]]:
        """Return the transition matrix in hectares, with titles."""
        rows = zip(self.names, self.hectares(), strict=True)
        return [["before \\ after, ha", *self.names], *([name, *row] for name, row in rows)]


def compare_maps(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    legend: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    warp: bool = False,
    overwrite: bool = False,
) -> Change:
    """Compare two covers pixel by pixel.

    Maps in different legends are compared in the finest classes that both can be merged into, if both legends are in
    `landmap.crosswalk`. One that does not say what its ids mean is recognised by its palette or its ids.

    Args:
        before: A cover that landmap wrote, or another raster of class ids.
        after: A later map with the same classes.
        output: File for a raster of changes, see `change_classes`; None writes none.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of a map that does not
            have it itself, or the name of a product's legend; None where both maps have it.
        report: File for the transition matrix as JSON; None writes none.
        table: File for the transition matrix as CSV; None writes none.
        warp: Whether the nearest pixels of the second map are taken if it has another geobox; otherwise that is an
            error.
        overwrite: Whether outputs that exist are replaced.

    Raises:
        GeoreferenceError: The geoboxes differ, or the maps have no place on the ground.
        SceneError: A map can't be read or is no cover, or their classes differ.
        OutputError: An output exists, can't be written, or would need more than 254 values.
    """
    files = [Path(path) if path is not None else None for path in (output, report, table)]
    wanted = [file for file in files if file is not None]
    check_outputs(wanted, before, after, legend, overwrite=overwrite)
    if files[0] is not None:
        check_raster(files[0])
    for file, endings, what in ((files[1], TEXTS, "JSON file"), (files[2], TABLES, "CSV file")):
        if file is not None:
            check_ending(file, endings, what)
    (one, why_one), (other, why_other) = (open_map(path, legend) for path in (before, after))
    shared = compared(one, other)
    if shared is not None:
        one, other = one.recoded(shared.classes, shared.of_one), other.recoded(shared.classes, shared.of_other)
    onto = one.geobox if _differ(one, other, warp=warp) else None
    counter = PairCounter(one.areas())
    for strip in _strips(one, other, onto):
        counter.add(*strip)
    found = _change(one, other, counter, warped=onto is not None)
    if shared is not None:
        accuracies = [f"{p.title}: {p.accuracy}" for p in (shared.one, shared.other) if p.accuracy]
        mistaken = f"much of what differs is no change but mistakes and other definitions ({'; '.join(accuracies)})"
        warnings = (*filter(None, (why_one, why_other)), shared.text(), *([mistaken] if accuracies else []))
        found = dataclasses.replace(found, common=shared, warnings=warnings)
    with locked(wanted):
        _write(found, onto, counter.pixels, files, overwrite=overwrite)
    return found


def _differ(one: Cover, other: Cover, *, warp: bool) -> bool:
    """Return whether the second map must be warped."""
    if (one.ids, one.names) != (other.ids, other.names):
        raise SceneError(
            f"Expected two maps of the same classes. {one.path} has {_listed(one)}; {other.path} has {_listed(other)}"
        )
    difference = geobox_difference(one.geobox, other.geobox)
    if difference and not warp:
        raise GeoreferenceError(
            f"Expected two maps on one grid. {one.path} and {other.path} differ: {difference}. Go on with --warp, "
            "which takes the nearest pixels of the second"
        )
    return bool(difference)


def _listed(cover: Cover) -> str:
    """List class names, with their ids unless these are 0, 1, 2 and so on."""
    counted = cover.ids == list(range(len(cover.ids)))
    return ", ".join(c.name if counted else f"{c.id} {c.name}" for c in cover.classes)


def _strips(one: Cover, other: Cover, onto: GeoBox | None) -> Iterator[tuple[Window, Bytes, Bytes]]:
    for window, before in one.strips():
        yield window, before, other.read(window, onto)


def _change(one: Cover, other: Cover, counter: PairCounter, *, warped: bool) -> Change:
    counts, areas, square = counter.pixels, counter.hectares, np.ix_(one.ids, one.ids)
    for cover, seen in ((one, counts.sum(axis=1)), (other, counts.sum(axis=0))):
        check_ids(cover.path, (*cover.classes, UNKNOWN), seen)
    pixels, matrix = counts[square], areas[square]
    return Change(
        before=one,
        after=other,
        warped=warped,
        pixels=tuple(tuple(row) for row in pixels.tolist()),
        transitions=tuple(tuple(row) for row in matrix.tolist()),
        unknown_pixels=int(counts[:NODATA, :NODATA].sum() - pixels.sum()),
        unknown_hectares=float(areas[:NODATA, :NODATA].sum() - matrix.sum()),
        nodata_pixels=int(counts[NODATA].sum() + counts[:NODATA, NODATA].sum()),
        nodata_hectares=float(areas[NODATA].sum() + areas[:NODATA, NODATA].sum()),
    )


def _write(found: Change, onto: GeoBox | None, counts: Ints, files: list[Path | None], *, overwrite: bool) -> None:
    output, report, table = files
    texts = {}
    if report is not None:
        texts[report] = json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n"
    if table is not None:
        texts[table] = csv_text(found.table())
    if output is None:
        publish_texts(texts, overwrite=overwrite)
        return
    codes, classes = change_classes(found.before.classes, counts)
    tags = {
        LAYER_TAG: "change",
        LEGEND_TAG: legend_tag(classes),
        "LANDMAP_BEFORE": Path(found.before.path).name,
        "LANDMAP_AFTER": Path(found.after.path).name,
        "LANDMAP_WARPED": "nearest" if found.warped else "no",
    }
    with RasterWriter(output, found.before.geobox, Layers(("change",), tags, classes)) as writer:
        for window, before, after in _strips(found.before, found.after, onto):
            writer.write(window, codes[before, after])
        publish_texts(texts, overwrite=overwrite, rasters=[writer.finish()])


def change_classes(classes: tuple[LandClass, ...], counts: Ints) -> tuple[npt.NDArray[np.uint8], tuple[LandClass, ...]]:
    """Return the values of a raster of changes, and what they mean.

    A class that stays keeps its id. Changes that occur have the ids after the last class's, ordered by class before,
    then after, and names such as "Forest → River". 254 means that one of the maps is Unknown, 255 that one has no data.

    Args:
        classes: Classes of both maps.
        counts: Number of pixels by value before (row) and after (column), `(256, 256)`.

    Returns:
        Value of each pair, `(256, 256)` uint8, and names and colours of the values.

    Raises:
        OutputError: More changes occur than a byte has values.
    """
    ids = np.array([c.id for c in classes])
    first = int(ids.max()) + 1
    codes = np.full((VALUES, VALUES), UNKNOWN_ID, np.uint8)
    codes[NODATA], codes[:, NODATA] = NODATA, NODATA
    codes[ids, ids] = ids
    pairs = [(i, j) for i, j in np.argwhere(counts[np.ix_(ids, ids)]) if i != j]
    if first + len(pairs) > MAX_CLASS_ID + 1:
        raise OutputError(
            f"Expected at most {MAX_CLASS_ID + 1 - first} kinds of change in a raster of bytes. Found {len(pairs)}: "
            "write the table alone, or compare maps with --sieve"
        )
    legend = [LandClass(c.id, c.name, _pale(c)) for c in classes]
    for value, (i, j) in enumerate(pairs, first):
        codes[ids[i], ids[j]] = value
        legend.append(LandClass(value, f"{classes[i].name} → {classes[j].name}", classes[j].color))
    return codes, (*legend, *([UNKNOWN] if _unknown(counts) else []))


def _unknown(counts: Ints) -> bool:
    return bool(counts[UNKNOWN_ID, :NODATA].any() or counts[:NODATA, UNKNOWN_ID].any())


def _pale(c: LandClass) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(round(part + PALE * (255 - part)) for part in c.rgb))
