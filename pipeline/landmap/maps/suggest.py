"""Squares of a map are suggested to be labelled next: where it is unsure, spread over its classes and the land.

They are drawn by lot, with chances in proportion to their uncertainty. The least sure squares of all were tried, too:
they are borders, small things and what no class fits, much alike, and labels there taught no more than those of random
squares.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from landmap.errors import SceneError, SettingsError, issue_warnings
from landmap.geo.geobox import ground_pixel_sides
from landmap.io.publish import Staged, locked, publish, staging
from landmap.io.qgis import STYLES_LAYER, to_fill_in_rows
from landmap.io.reading import CACHE_BYTES
from landmap.io.vectors import Features, format_of, write_layer, write_table
from landmap.maps.cover import Cover, SideRaster, read_cover, side_raster
from landmap.maps.vectorize import to_crs
from landmap.products.files import check_outputs
from landmap.tiling import Window
from landmap_models.arrays import Bytes, Doubles, Ints
from landmap_models.legend import NODATA

LAYER = "next"
"""Name of the layer of squares."""
LEAST = 0.01
"""Uncertainty in percent that a square has at least, so that a map that is sure everywhere can be drawn from, too."""
MOST = 5_000
"""Most squares; `train` reads no more labels."""
BINS = 4
"""Parts of the land for each square that is wanted; of each part and mapped class one square is a candidate."""
APART = 0.5
"""Least distance between squares, as a share of what would lie between them on an even grid."""
SHRINK = 0.7
"""Factor by which that distance is reduced where too few squares are so far apart."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """n squares of a map."""

    rows: Ints
    """First row of each, `(n,)`."""
    cols: Ints
    """First column of each, `(n,)`."""
    classes: Ints
    """Id of the class that most of its pixels are mapped as, `(n,)`."""
    confidence: Doubles
    """Mean confidence in percent, or 100 less the mean entropy in percent of the largest possible, `(n,)`."""
    side: int
    """Pixels along each."""


def suggest(
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    confidence: str | os.PathLike[str] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    count: int = 30,
    size: float = 50.0,
    legend: str | os.PathLike[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Write squares of a map in which labels are worth most, with a column to fill in; return their number.

    Squares are drawn by lot, with chances in proportion to their mean uncertainty: 100 % less the confidence. Each
    mapped class has one at least, if there are enough, and they keep a distance. Columns: `id`, `class` (empty, for the
    true class), `mapped` (name of the class that most of it is mapped as) and `confidence` (percent).

    Args:
        cover: A cover that `classify` wrote, or another raster of class ids.
        output: The file to write: GeoPackage (.gpkg, styled for QGIS), GeoJSON (.geojson) or GeoParquet (.parquet).
        confidence: Raster of confidence from the run that wrote the cover; None where there are probabilities.
        probabilities: Raster of probabilities from that run, of which the entropy is taken; None takes confidence.
        count: Number of squares.
        size: Side of a square in metres, at least a pixel.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        seed: Seed of the random numbers; equal seeds draw equal squares.
        overwrite: Whether an output that exists is replaced.

    Raises:
        LandmapError: See `landmap.errors`. Nothing is left behind then.
    """
    output = Path(output)
    format_of(output)
    check_outputs([output], cover, confidence, probabilities, legend, overwrite=overwrite)
    if not 0 < count <= MOST:
        raise SettingsError(f"count: expected 1 to {MOST:,} squares. Received: {count}")
    if (confidence is None) == (probabilities is None):
        raise SettingsError(
            "suggest: expected either a raster of confidence or one of probabilities, which classify --confidence or "
            f"--probabilities writes. Received: {'neither' if confidence is None else 'both'}"
        )
    opened = read_cover(cover, legend)
    opened.areas()  # a map without a place on the ground is refused
    side = _side(opened, size)
    sure = side_raster(confidence, opened, "confidence") or side_raster(probabilities, opened, "probabilities")
    assert sure is not None
    with locked([output]), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), staging(output) as folder:
        candidates = _candidates(opened, sure, side, count, np.random.default_rng(seed))
        found = choose(candidates, count, side, opened.geobox.shape)
        if not len(found.rows):
            raise SceneError(
                f"{opened.path}: expected squares of {side}x{side} pixels that all have a class. Found none"
            )
        file = folder / f"next{output.suffix.lower()}"
        write_layer(file, LAYER, [_features(opened, found)], opened.geobox.crs)
        if format_of(output).has_layers:
            write_table(file, STYLES_LAYER, to_fill_in_rows(opened.classes, LAYER, "Polygon"))
        publish([Staged(output, file)], overwrite=overwrite)
    if len(found.rows) < count:
        issue_warnings([f"only {len(found.rows)} squares of {side}x{side} pixels have room on the map, not {count}"])
    return len(found.rows)


def choose(candidates: npt.NDArray[np.void], count: int, side: int, shape: tuple[int, int]) -> Suggested:
    """Choose squares among candidates by their lot: first one of each class, then any; all keep a distance.

    Args:
        candidates: Squares with the fields of `FIELDS`, `(n,)`.
        count: Number of squares that are wanted.
        side: Pixels along a square.
        shape: Height and width of the map in pixels.
    """
    candidates = candidates[np.argsort(-candidates["lot"], kind="stable")]
    _, first = np.unique(candidates["id"], return_index=True)
    waiting = [*np.sort(first).tolist(), *np.setdiff1d(np.arange(len(candidates)), first).tolist()]
    places = np.stack([candidates["row"], candidates["col"]], axis=1).astype(np.float64)
    distance = APART * math.sqrt(shape[0] * shape[1] / count)
    taken: list[int] = []
    while len(taken) < count and waiting:
        left: list[int] = []
        for n in waiting:
            near = bool(taken) and np.hypot(*(places[taken] - places[n]).T).min() < distance
            (left if near or len(taken) == count else taken).append(n)
        waiting, distance = left, distance * SHRINK
    chosen = candidates[taken]
    return Suggested(chosen["row"], chosen["col"], chosen["id"], chosen["sure"], side)


def _side(cover: Cover, size: float) -> int:
    pixel = max(ground_pixel_sides(cover.geobox))
    most = min(cover.geobox.shape)
    if not (math.isfinite(size) and pixel / 2 <= size and round(size / pixel) <= most):
        raise SettingsError(
            f"size: expected the side of a square in metres, from a pixel ({pixel:g}) to the map ({most * pixel:g}). "
            f"Received: {size}"
        )
    return max(1, round(size / pixel))


FIELDS = np.dtype([("row", "i8"), ("col", "i8"), ("id", "i8"), ("lot", "f8"), ("sure", "f8")])
"""Fields of a candidate: first row and column, mapped class, its lot (the highest is drawn first), and confidence."""


def _candidates(
    cover: Cover, sure: SideRaster, side: int, count: int, rng: np.random.Generator
) -> npt.NDArray[np.void]:
    """The square of each class in each part of the land that is drawn first; what is kept does not grow with the map.

    Lots are times of events that happen at the rate of the uncertainty: the first ones are a draw in proportion to it,
    in each part and on the whole (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003).
    """
    height, width = cover.geobox.shape
    part = max(side, math.sqrt(height * width / (BINS * count)))
    best: dict[tuple[int, ...], npt.NDArray[np.void]] = {}
    for window, classes in cover.strips(side):
        squares = _squares(window, classes, sure, side, cover)
        squares["lot"] = -rng.exponential(size=len(squares)) / np.maximum(100 - squares["sure"], LEAST)
        squares = squares[np.argsort(-squares["lot"], kind="stable")]
        keys = np.stack([squares["row"] // part, squares["col"] // part, squares["id"]], axis=1).astype(np.int64)
        for n in np.unique(keys, axis=0, return_index=True)[1].tolist():
            key = tuple(keys[n].tolist())
            if key not in best or squares["lot"][n] > best[key]["lot"]:
                best[key] = squares[n].copy()  # else it keeps the whole strip
    return np.array([best[key] for key in sorted(best)], FIELDS)


def _squares(window: Window, classes: Bytes, sure: SideRaster, side: int, cover: Cover) -> npt.NDArray[np.void]:
    """Whole squares of a strip of which every pixel has a class; their lots are not drawn yet."""
    rows, cols = classes.shape[0] // side, classes.shape[1] // side
    cut = slice(rows * side), slice(cols * side)
    percent = _percent(sure.read(window))[cut]
    classes = classes[cut]
    pixels = side * side
    most = np.stack([_sums(classes == c.id, side) for c in cover.legend]).argmax(axis=0)
    whole = _sums(classes != NODATA, side) == pixels
    mean = _sums(percent, side) / pixels
    row, col = np.nonzero(whole)
    found = np.empty(len(row), FIELDS)
    found["row"], found["col"] = row * side + window.row_off, col * side
    found["id"] = np.array([c.id for c in cover.legend])[most[row, col]]
    found["sure"] = mean[row, col]
    return found


def _percent(layers: Bytes) -> Doubles:
    """How sure the map is, in percent `(height, width)`: its confidence, or 100 less the entropy of probabilities."""
    if len(layers) == 1:
        return np.asarray(layers[0], np.float64)
    shares = layers / np.maximum(layers.sum(axis=0, dtype=np.float64), 1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=0)
    return np.asarray(100 * (1 - entropy / math.log(len(layers))), np.float64)


def _sums(values: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.float64]:
    """Sum values `(height, width)` over each square, `(rows, cols)`."""
    height, width = values.shape
    cut = values.reshape(height // side, side, width // side, side)
    return np.asarray(cut.sum(axis=(1, 3), dtype=np.float64))


def _features(cover: Cover, found: Suggested) -> Features:
    import shapely

    squares = shapely.box(found.cols, found.rows, found.cols + found.side, found.rows + found.side)
    columns = {
        "id": np.arange(1, len(squares) + 1, dtype=np.int32),
        "class": np.full(len(squares), None, object),
        "mapped": cover.names_by_id[found.classes],
        "confidence": found.confidence.round(1),
    }
    return Features(columns, to_crs(squares, cover))
