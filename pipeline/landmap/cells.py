"""The squares of a cover that have probabilities of their own, one polygon each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.cover import Cover, open_companion, open_raster, raster_window, read_classes
from landmap.errors import SceneError
from landmap.mosaic import NODATA
from landmap.vector_files import Features
from landmap_models.legend import UNKNOWN_ID


def cell_features(cover: Cover, probabilities: Path) -> Iterator[Features]:
    """Cells with the class that most of their pixels have, and the mean probability of each class in percent.

    Those at the right and lower edge end with the scene; those without a valid pixel are left out.

    Args:
        cover: Of the scene.
        probabilities: Raster of the run that wrote it.

    Raises:
        SceneError: A raster can't be read, or they don't belong together.
    """
    with open_raster(cover.path) as file, open_companion(probabilities, cover, "probabilities") as percent:
        if percent.count != (number := sum(c.id != UNKNOWN_ID for c in cover.legend)):
            raise SceneError(
                f"{probabilities}: expected a band for each of the {number} classes of {cover.path}. Found "
                f"{percent.count} bands"
            )
        for window in cover.strips(cover.cell):
            classes, layers = read_classes(file, window), percent.read(window=raster_window(window))
            features = _features(cover, window.row_off, classes, layers)
            if len(features.geometry):
                yield features


def _features(cover: Cover, row_off: int, classes: npt.NDArray[np.uint8], layers: npt.NDArray[np.uint8]) -> Features:
    import shapely

    legend, side = cover.legend, cover.cell
    valid = classes != NODATA
    pixels = _cell_sums(valid, side)
    counts = np.stack([_cell_sums(classes == c.id, side) for c in legend])
    row, col = np.nonzero(pixels)
    ids = np.array([c.id for c in legend], np.int32)
    columns: dict[str, Any] = {"class_id": ids[counts.argmax(axis=0)[row, col]]}
    columns["name"] = cover.names[columns["class_id"]]
    for c, layer in zip((c for c in legend if c.id != UNKNOWN_ID), layers, strict=True):
        total = _cell_sums(np.where(valid, layer, 0), side)
        columns[f"p_{c.name}"] = (total[row, col] / pixels[row, col]).astype(np.float32)
    left, top = col * side, row * side + row_off
    right, bottom = np.minimum(left + side, cover.width), np.minimum(top + side, cover.height)
    squares = shapely.box(left, top, right, bottom)
    return Features(columns, to_crs(squares, cover))


def _cell_sums(values: npt.NDArray[Any], side: int) -> npt.NDArray[np.int64]:
    """Sum over each cell, `(rows, cols)`."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], side), axis=0, dtype=np.int64)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[1], side), axis=1))


def to_crs(geometry: npt.NDArray[Any], cover: Cover) -> npt.NDArray[Any]:
    """From pixel coordinates (column, row) to those of the cover's CRS."""
    import shapely

    t = cover.transform
    matrix, origin = np.array([[t.a, t.d], [t.b, t.e]]), (t.c, t.f)
    return np.asarray(shapely.transform(geometry, lambda corners: corners @ matrix + origin))
