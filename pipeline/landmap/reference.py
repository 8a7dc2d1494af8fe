"""What was seen on the ground: points, polygons or a raster, each place with its class."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from rasterio.windows import Window as RasterWindow
from rasterio.windows import bounds, transform

from landmap.errors import GeoreferenceError, ReferenceDataError
from landmap.map_file import STRIP, Bytes, MapFile, grid_difference, open_map
from landmap.mosaic import NODATA
from landmap.vector_layers import read_shapes

VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet")
"""Endings of files of points or polygons."""
PLACES = (("lon", "lat"), ("longitude", "latitude"), ("x", "y"))
"""Names of a CSV file's columns with coordinates: degrees (WGS84), but for x and y, which are in the map's CRS."""
NO_CLASS = -1
LISTED = 8
"""Strange values that an error message lists."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """Single places: the sample itself."""

    rows: Ints
    """Row of the map's pixel that each lies in, `(n,)`; anywhere, also outside the map."""
    cols: Ints
    """Column likewise."""
    ids: Ints
    """Class ids, `(n,)`; -1 where none is given."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """Areas of one class each."""

    frame: Any
    """GeoDataFrame in the map's CRS with a column `id`."""
    without_class: int
    """Polygons that were left out as they have none."""

    def strips(self, cover: MapFile) -> Iterator[Bytes]:
        """Class ids on the map's grid, as `MapFile.strips` cuts it: pixels whose centre is inside, elsewhere 255.

        Where polygons overlap the last one counts.
        """
        for row in range(0, cover.height, STRIP):
            place = RasterWindow(0, row, cover.width, min(STRIP, cover.height - row))
            here = self.frame.iloc[np.sort(self.frame.sindex.query(_box(place, cover)))]
            shape = place.height, place.width
            if here.empty:
                yield np.full(shape, NODATA, np.uint8)
                continue
            pairs = zip(here.geometry, here["id"], strict=True)
            yield rasterize(pairs, shape, fill=NODATA, transform=transform(place, cover.transform), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Raster:
    """A map of the truth."""

    map: MapFile

    def strips(self, cover: MapFile) -> Iterator[Bytes]:
        """Class ids on the map's grid, as `MapFile.strips` cuts it; 255 where there is no data."""
        onto = cover if grid_difference(self.map, cover) else None
        return (values for _, values in self.map.strips(onto))


def read_reference(
    path: str | os.PathLike[str],
    cover: MapFile,
    *,
    class_column: str = "class",
    layer: str | None = None,
    warp: bool = False,
) -> Points | Polygons | Raster:
    """Open reference data for a map.

    Args:
        path: CSV, anything of `VECTORS`, or a raster of class ids.
        cover: The map.
        class_column: Has class names, or ids, of points and polygons.
        layer: Name of its layer; None where it has one of points or polygons.
        warp: Take a raster on another grid from its nearest pixels.

    Raises:
        ReferenceDataError: It can't be read, or its classes are not those of the map.
        GeoreferenceError: A raster lies on another grid, and `warp` is not set; or something has no CRS.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _csv_points(path, cover, class_column)
    if path.suffix.lower() in VECTORS:
        return _vector(path, cover, class_column, layer)
    return _raster(os.fspath(path), cover, warp=warp)


def _raster(path: str, cover: MapFile, *, warp: bool) -> Raster:
    found = open_map(path)
    if found.classes and found.names != cover.names:
        raise ReferenceDataError(
            f"{path}: expected the classes of {cover.path} ({', '.join(cover.names)}). Found {', '.join(found.names)}"
        )
    difference = grid_difference(found, cover)
    if difference and not warp:
        raise GeoreferenceError(
            f"{path}: expected the grid of {cover.path}, but they differ: {difference}. Go on with --warp, which takes "
            "the nearest pixels"
        )
    return Raster(found)


def _csv_points(path: Path, cover: MapFile, class_column: str) -> Points:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReferenceDataError(f"{path}: can't be read as CSV: {error}") from error
    if not rows:
        raise ReferenceDataError(f"{path}: expected a line of titles and lines of points. Found no points")
    known = {str(name).strip().lower(): name for name in rows[0]}
    pair = next((pair for pair in PLACES if set(pair) <= set(known)), None)
    if pair is None:
        raise ReferenceDataError(
            f"{path}: expected columns x and y (in the map's CRS), or lon and lat. Found {', '.join(known)}"
        )
    places = [np.array([_number(row[known[name]], path) for row in rows]) for name in pair]
    if pair != ("x", "y"):
        places = _from_degrees(places, cover)
    _check_column(class_column, [str(name) for name in rows[0]], path)
    return _points(places, _class_ids([row[class_column] for row in rows], class_column, path, cover), cover)


def _number(text: str | None, path: Path) -> float:
    """A coordinate; NaN where there is none, so that the point counts as outside."""
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise ReferenceDataError(f"{path}: expected numbers as coordinates. Found {text!r}") from error


def _from_degrees(places: list[npt.NDArray[np.float64]], cover: MapFile) -> list[npt.NDArray[np.float64]]:
    from pyproj import Transformer

    lon, lat = places
    return list(Transformer.from_crs("EPSG:4326", cover.crs, always_xy=True).transform(lon, lat))


def _points(places: Sequence[npt.NDArray[np.float64]], ids: Ints, cover: MapFile) -> Points:
    cols, rows = ~cover.transform @ (np.asarray(places[0]), np.asarray(places[1]))
    there = np.isfinite(rows) & np.isfinite(cols) & (np.abs(rows) < 2**31) & (np.abs(cols) < 2**31)
    row, col = (np.floor(np.where(there, axis, -1)).astype(np.int64) for axis in (rows, cols))
    return Points(row, col, ids)


def _vector(path: Path, cover: MapFile, class_column: str, layer: str | None) -> Points | Polygons:
    frame = read_shapes(path, layer, option="--layer", kinds=("Point", "Polygon"), error=ReferenceDataError)
    if frame.crs is None:
        raise GeoreferenceError(f"{path}: expected a coordinate reference system (CRS), found none: give it one")
    try:
        frame = frame.to_crs(cover.crs)
    except (RuntimeError, ValueError) as error:  # pyproj's own are RuntimeErrors
        raise GeoreferenceError(f"{path}: can't be brought to the CRS of {cover.path}: {error}") from error
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)].explode(ignore_index=True)
    kinds = set(frame.geom_type)
    _check_column(class_column, list(frame.columns), path)
    ids = _class_ids(frame[class_column], class_column, path, cover)
    if kinds <= {"Point"}:
        return _points([frame.geometry.x.to_numpy(), frame.geometry.y.to_numpy()], ids, cover)
    if kinds <= {"Polygon"}:
        classed = frame[["geometry"]].assign(id=ids)[ids != NO_CLASS]
        return Polygons(classed.reset_index(drop=True), int((ids == NO_CLASS).sum()))
    raise ReferenceDataError(f"{path}: expected points, or polygons, not both. Found {', '.join(sorted(kinds))}")


def _check_column(column: str, columns: Sequence[str], path: Path) -> None:
    if column not in columns:
        names = ", ".join(name for name in columns if name != "geometry")
        raise ReferenceDataError(f"{path}: expected a column {column} with the classes. Found {names}: --class-column")


def _class_ids(values: Iterable[Any], column: str, path: Path, cover: MapFile) -> Ints:
    """Class ids of cells of a table, by name or by number; -1 where the cell is empty."""
    known = {str(c.id): c.id for c in cover.classes} | {c.name: c.id for c in cover.classes} | {"": NO_CLASS}
    texts = [_text(value) for value in values]
    strange = [text for text in dict.fromkeys(texts) if text not in known]
    if strange:
        more = f" and {len(strange) - LISTED} more" if len(strange) > LISTED else ""
        raise ReferenceDataError(
            f"{path}: expected classes of the map ({', '.join(cover.names)}, or their ids). Found "
            f"{', '.join(strange[:LISTED])}{more} in column {column}"
        )
    return np.array([known[text] for text in texts], np.int64)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN and NA are not equal to themselves
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _box(place: RasterWindow, cover: MapFile) -> Any:
    from shapely import box

    return box(*bounds(place, cover.transform))
