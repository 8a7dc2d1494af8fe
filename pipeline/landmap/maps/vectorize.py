"""The classes of a cover are written as polygons, and its cells as squares with their probabilities."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import rasterio

from landmap.errors import OutputError, SceneError, SettingsError
from landmap.geo.geobox import ground_pixel_sides, misplaced
from landmap.io.publish import Staged, locked, publish, staging
from landmap.io.qgis import STYLES_LAYER, style_rows
from landmap.io.reading import CACHE_BYTES
from landmap.io.vectors import Features, format_of, write_layer, write_table
from landmap.maps.cover import Cover, read_cover, side_raster
from landmap.maps.polygons import polygons, simplify, write_numbers
from landmap.maps.regions import Regions, find_regions
from landmap.products.files import check_outputs
from landmap_models.legend import NODATA


def cell_features(cover: Cover, probabilities: Path) -> Iterator[Features]:
    """Make a feature of each cell, with the class that most of its pixels have, and mean probabilities in percent.

    Cells at the right and lower edge end with the scene; cells without a valid pixel are left out.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        probabilities: Raster of probabilities from the run that wrote the cover.

    Raises:
        SceneError: A raster can't be read, or the two don't belong together.
    """
    percent = side_raster(probabilities, cover, "probabilities")
    if percent is None or percent.bands != len(cover.classes):
        raise SceneError(
            f"{probabilities}: expected a band for each of the {len(cover.classes)} classes of {cover.path}. Found "
            f"{percent.bands if percent else 0} bands"
        )
    for window, classes in cover.strips(cover.cell):
        features = _cell_rows(cover, window.row_off, classes, percent.read(window))
        if len(features.geometry):
            yield features


def _cell_rows(cover: Cover, row_off: int, classes: npt.NDArray[np.uint8], layers: npt.NDArray[np.uint8]) -> Features:
    import shapely

    legend, side = cover.legend, cover.cell
    valid = classes != NODATA
    pixels = _cell_sums(valid, side)
    counts = np.stack([_cell_sums(classes == c.id, side) for c in legend])
    row, col = np.nonzero(pixels)
    ids = np.array([c.id for c in legend], np.int32)
    columns: dict[str, Any] = {"class_id": ids[counts.argmax(axis=0)[row, col]]}
    columns["name"] = cover.names_by_id[columns["class_id"]]
    for c, layer in zip(cover.classes, layers, strict=True):
        total = _cell_sums(np.where(valid, layer, 0), side)
        columns[f"p_{c.name}"] = (total[row, col] / pixels[row, col]).astype(np.float32)
    left, top = col * side, row * side + row_off
    right, bottom = np.minimum(left + side, cover.geobox.width), np.minimum(top + side, cover.geobox.height)
    squares = shapely.box(left, top, right, bottom)
    return Features(columns, to_crs(squares, cover))


def _cell_sums(values: npt.NDArray[Any], side: int) -> npt.NDArray[np.int64]:
    """Sum values `(height, width)` over each cell, `(rows, cols)`; `side` is the pixels along a cell."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], side), axis=0, dtype=np.int64)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[1], side), axis=1))


def to_crs(geometry: npt.NDArray[Any], cover: Cover) -> npt.NDArray[Any]:
    """Bring geometry `(n,)` from pixel coordinates (column, row) to the cover's CRS."""
    import shapely

    t = cover.geobox.transform
    matrix, origin = np.array([[t.a, t.d], [t.b, t.e]]), (t.c, t.f)
    return np.asarray(shapely.transform(geometry, lambda corners: corners @ matrix + origin))


LAYER, CELLS_LAYER = "cover", "cells"
"""Names of the layers of polygons and cells."""


@dataclasses.dataclass(frozen=True, slots=True)
class VectorSettings:
    """How a cover becomes polygons."""

    min_area: float = 0.0
    """Area in hectares below which a polygon is joined to the neighbour with which it shares the longest border."""
    simplify: float = 0.0
    """About the square root of the area that may be cut off a border at each vertex, in metres; 0 keeps all."""
    cells: bool = False
    """Whether a layer of the cells with their probabilities is written, too."""

    def __post_init__(self) -> None:
        for name, unit in (("min_area", "hectares"), ("simplify", "metres")):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"Expected {name} as a number of {unit}, 0 or more. Received: {value}")


class VectorChoices(TypedDict, total=False):
    """The fields of `VectorSettings` as keyword arguments, such as `min_area=1`."""

    min_area: float
    simplify: float
    cells: bool


def vectorize(
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: VectorSettings | None = None,
    *,
    confidence: str | os.PathLike[str] | None = None,
    legend: str | os.PathLike[str] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **choices: Unpack[VectorChoices],
) -> int:
    """Write the polygons of a cover and return their number.

    Args:
        cover: A cover that `classify` wrote, or another raster of class ids.
        output: The file to write: GeoPackage (.gpkg), GeoJSON (.geojson) or GeoParquet (.parquet). Its layer `cover`
            has `class_id`, `name`, `hectares` and `mean_confidence` (percent; null without `confidence`), in the
            cover's CRS, or as GeoJSON in longitude and latitude.
        settings: How the polygons are made; None takes the defaults.
        confidence: Raster of confidence from the run that wrote the cover; None leaves `mean_confidence` null.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        probabilities: Raster of probabilities from the run that wrote the cover, which cells need; None where there are
            no cells.
        overwrite: Whether an output that exists is replaced.
        **choices: Fields of `VectorSettings`, such as `min_area=1`.

    Raises:
        LandmapError: See `landmap.errors`. Nothing is left behind then.
    """
    output, settings = Path(output), dataclasses.replace(settings or VectorSettings(), **choices)
    format_of(output)  # refused before the cover is opened
    check_outputs([output], cover, confidence, legend, probabilities, overwrite=overwrite)
    drawn = read_cover(cover, legend)
    placed = not misplaced(drawn.geobox)
    check_vector(output, settings, with_probabilities=probabilities is not None, placed=placed)
    with locked([output]), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), staging(output) as folder:
        rasters = [None if path is None else Path(path) for path in (confidence, probabilities)]
        staged, count = stage_vector(drawn, output, folder, settings, *rasters)
        publish([staged], overwrite=overwrite)
    return count


def check_vector(output: Path, settings: VectorSettings, *, with_probabilities: bool, placed: bool) -> None:
    """Refuse what can't be written, before any work.

    Args:
        output: The file to write; its ending chooses the format.
        settings: How the polygons are made.
        with_probabilities: Whether there is, or will be, a raster of probabilities.
        placed: Whether the cover has a place on the ground.

    Raises:
        OutputError: The file's ending is unknown, pyarrow is missing, or the cover needs a place.
        SettingsError: Cells are wanted without probabilities, or in another format than GeoPackage.
    """
    format_ = format_of(output)
    if settings.cells and not with_probabilities:
        raise SettingsError("cells have probabilities: expected a raster of them, too (--probabilities)")
    if settings.cells and not format_.has_layers:
        raise SettingsError(f"cells are a second layer: expected a GeoPackage (.gpkg). Received: {output}")
    if not placed and (settings.min_area or settings.simplify or format_.in_degrees):
        raise OutputError(f"{output}: GeoJSON, hectares and metres need a cover with a CRS and geotransform")


def stage_vector(
    cover: Cover,
    output: Path,
    folder: Path,
    settings: VectorSettings,
    confidence: Path | None,
    probabilities: Path | None,
) -> tuple[Staged, int]:
    """Write the polygons under a temporary name.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        output: Name that the file is to get; its ending chooses the format.
        folder: Folder for this file and other temporary ones, on the disk of the output.
        settings: How the polygons are made.
        confidence: Raster of confidence with the cover's geobox; None where there is none.
        probabilities: Raster of probabilities with the cover's geobox; None where there is none.

    Returns:
        The finished file, to be published, and the number of its polygons.

    Raises:
        LandmapError: See `landmap.errors`.
    """
    file = folder / f"vector{output.suffix.lower()}"
    regions = find_regions(cover, confidence, settings.min_area)
    count = write_layer(file, LAYER, _features(cover, regions, folder, settings), cover.geobox.crs)
    if settings.cells and probabilities:
        write_layer(file, CELLS_LAYER, cell_features(cover, probabilities), cover.geobox.crs)
    if format_of(output).has_layers:
        layers = [LAYER, CELLS_LAYER] if settings.cells else [LAYER]
        write_table(file, STYLES_LAYER, style_rows(cover.legend, layers))
    return Staged(output, file), count


def _features(cover: Cover, regions: Regions, folder: Path, settings: VectorSettings) -> Iterator[Features]:
    """Make polygons in the cover's CRS, in batches; the first one is empty, for covers without data."""
    yield _rows(regions, cover, np.empty(0, np.int64), np.empty(0, object))
    numbers = folder / "numbers.tif"
    drawn = polygons(numbers, write_numbers(cover, regions, numbers))
    if settings.simplify:
        drawn = simplify(drawn, settings.simplify, ground_pixel_sides(cover.geobox))
    for batch in drawn:
        yield _rows(regions, cover, batch.number - 1, to_crs(batch.geometry, cover))


def _rows(regions: Regions, cover: Cover, index: Any, geometry: Any) -> Features:
    class_id = regions.class_id[index]
    columns = {
        "class_id": class_id.astype(np.int32),
        "name": cover.names_by_id[class_id],
        "hectares": regions.hectares[index],
        "mean_confidence": regions.confidence[index],
    }
    return Features(columns, geometry)
