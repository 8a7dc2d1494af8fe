"""Reference data are read: points, polygons or a raster, each place with its true class."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.features import rasterize
from rasterio.windows import Window as RasterWindow
from rasterio.windows import bounds, transform

from landmap.errors import GeoreferenceError, ReferenceDataError
from landmap.geo.longitudes import coordinates
from landmap.geo.outlines import outlines
from landmap.io.delimited import ENDINGS, SEPARATORS, TableError, numbers_of, read_table
from landmap.io.vectors import VECTORS, read_shapes
from landmap.maps.cover import Cover, geobox_difference, raster_window, read_reference_map
from landmap_models.arrays import Bytes, Doubles, Ints
from landmap_models.legend import NODATA, UNKNOWN_ID

DEGREES = (("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("longitude", "latitude"))
"""Titles of columns with longitude and latitude (EPSG:4326)."""
IN_MAP_CRS = (("x", "y"), ("easting", "northing"), ("east", "north"), ("point_x", "point_y"), ("xcoord", "ycoord"))
"""Titles of columns with coordinates in the map's CRS."""
STRATUM, INCLUSION = "stratum", "inclusion_probability"
"""Columns of points that say how they were drawn; `landmap.accuracy.design` writes them."""
WGS84 = "EPSG:4326"
NO_CLASS = -1
"""Id of a place without a class."""
EDGE = 1e-3
"""Part of a pixel; a polygon that reaches no farther into the map only touches its border."""
LISTED = 8
"""Number of unknown class names that an error message lists."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How n points were drawn, as the columns `stratum` and `inclusion_probability` say."""

    names: tuple[str, ...]
    """Names of the strata."""
    strata: Ints
    """Place of each point's stratum in `names`, `(n,)`."""
    pixels: Doubles
    """Number of pixels of each stratum: its points by their inclusion probability."""


@dataclass(frozen=True, slots=True)
class Points:
    """n points with their classes."""

    rows: Ints
    """Row of the map's pixel in which each point lies, `(n,)`; it may lie outside the map."""
    cols: Ints
    """Column of that pixel, `(n,)`."""
    ids: Ints
    """Class ids, `(n,)`; -1 where a point has no class."""
    places: str = ""
    """How coordinates were read, in words; "" where the file has a CRS itself."""
    hint: str = ""
    """Why most of the points outside the map may lie there, in words; "" where no reason is found."""
    drawn: Drawn | None = None
    """How they were drawn; None where the file does not say it."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """Polygons of one class each."""

    frame: Any
    """GeoDataFrame in the map's CRS, with class ids in the column `id`."""
    without_class: int
    """Number of polygons that are left out, as they have no class."""
    outside: int = 0
    """Number of polygons of which no part lies on the map."""
    warnings: tuple[str, ...] = ()
    """How borders were read that could mean two areas, and which polygons are left out."""

    def strips(self, cover: Cover) -> Iterator[Bytes]:
        """Draw the polygons as class ids `(height, width)` for each of `cover.windows()`.

        A pixel has the class of the polygon in which its centre lies; 255 where there is none, and 254 where polygons
        of different classes overlap, as nothing says which is true.
        """
        for window in cover.windows():
            place = raster_window(window)
            here = self.frame.iloc[np.sort(self.frame.sindex.query(_box(place, cover)))]
            if here.empty:
                yield np.full(window.shape, NODATA, np.uint8)
                continue
            yield _burnt(here, window.shape, transform(place, cover.geobox.transform))


def _burnt(frame: Any, shape: tuple[int, int], place: Affine) -> Bytes:
    """Draw polygons as class ids of a shape and geotransform; 255 where there is none, 254 where classes overlap."""
    found = np.full(shape, NODATA, np.uint8)
    for class_id, alike in frame.groupby("id"):
        here = rasterize(alike.geometry, shape, transform=place, dtype=np.uint8) > 0
        found = np.where(here, np.where(found == NODATA, class_id, UNKNOWN_ID), found).astype(np.uint8)
    return found


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster of true classes."""

    map: Cover
    """The raster; it may have another geobox than the map."""

    def strips(self, cover: Cover) -> Iterator[Bytes]:
        """Read class ids `(height, width)` for each of `cover.windows()`; 255 where there is no data."""
        onto = cover.geobox if geobox_difference(self.map.geobox, cover.geobox) else None
        return (self.map.read(window, onto) for window in cover.windows())


def read_reference(
    path: str | os.PathLike[str],
    cover: Cover,
    *,
    class_column: str = "class",
    layer: str | None = None,
    warp: bool = False,
) -> Points | Polygons | Raster:
    """Read reference data for a map.

    Args:
        path: A table of points (CSV and the like), a vector file with an ending of `VECTORS`, or a raster of class ids.
        cover: The finished map, as `landmap.maps.cover` opened it.
        class_column: Name of the column with class names or ids, of points and polygons.
        layer: Name of the layer; None where the file has one layer of points or polygons.
        warp: Whether the nearest pixels of a raster are taken if it has another geobox; otherwise that is an error.

    Raises:
        ReferenceDataError: The file can't be read, or its classes are not those of the map.
        GeoreferenceError: A raster has another geobox, and `warp` is not set; or points or polygons have no CRS.
    """
    path = Path(path)
    if path.suffix.lower() in ENDINGS:
        return _table_points(path, cover, class_column)
    if path.suffix.lower() in VECTORS:
        return _vector(path, cover, class_column, layer)
    return _raster(os.fspath(path), cover, warp=warp)


def _raster(path: str, cover: Cover, *, warp: bool) -> Raster:
    found = read_reference_map(path)
    if found.classes and (found.ids, found.names) != (cover.ids, cover.names):
        raise ReferenceDataError(
            f"{path}: expected the classes of {cover.path} ({_listed(cover)}). Found {_listed(found)}"
        )
    difference = geobox_difference(found.geobox, cover.geobox)
    if difference and not warp:
        raise GeoreferenceError(
            f"{path}: expected the grid of {cover.path}, but they differ: {difference}. Go on with --warp, which takes "
            "the nearest pixels"
        )
    return Raster(found)


def _listed(cover: Cover) -> str:
    return ", ".join(f"{c.id} {c.name}" for c in cover.classes)


def _table_points(path: Path, cover: Cover, class_column: str) -> Points:
    try:
        table = read_table(path)
        if not table.rows:
            raise TableError("expected a line of titles and lines of points. Found no points")
        pair = next((names for names in (*DEGREES, *IN_MAP_CRS) if None not in map(table.find, names)), None)
        if pair is None:
            raise TableError(
                "expected columns x and y (in the map's CRS), or lon and lat. Found "
                f"{', '.join(table.titles)}, between {SEPARATORS.get(table.separator, repr(table.separator))}"
            )
        places = [place for name in pair if (place := table.find(name)) is not None]
        x, y = (np.array(column, np.float64) for column in numbers_of(*map(table.column, places)))
    except TableError as error:
        raise ReferenceDataError(f"{path}: {error}") from error
    ids = _class_ids(table.column(_place(class_column, table.titles, path)), class_column, path, cover)
    in_degrees = pair in DEGREES
    rows, cols = _pixels(x, y, WGS84 if in_degrees else cover.geobox.crs, cover)
    taken = f"longitude and latitude ({WGS84})" if in_degrees else "coordinates in the map's CRS"
    read_as = f"{table.titles[places[0]]} and {table.titles[places[1]]} taken as {taken}"
    hint = _hint(x, y, ~_inside(rows, cols, cover), cover, in_degrees=in_degrees)
    return Points(rows, cols, ids, read_as, hint, _drawn(table.titles, table.column, path))


def _drawn(titles: Sequence[str], column: Callable[[int], Iterable[Any]], path: Path) -> Drawn | None:
    """Read how points were drawn; None where one of the two columns is missing."""
    places = [list(titles).index(name) if name in titles else None for name in (STRATUM, INCLUSION)]
    if places[0] is None or places[1] is None:
        return None
    names, strata = np.unique([_text(value) for value in column(places[0])], return_inverse=True)
    try:
        chances = np.array([float(_text(value)) for value in column(places[1])])
    except ValueError as error:
        raise ReferenceDataError(f"{path}: expected numbers in column {INCLUSION}: {error}") from error
    if not ((chances > 0) & (chances <= 1)).all():
        raise ReferenceDataError(
            f"{path}: expected inclusion probabilities above 0 and up to 1 in column {INCLUSION}. Found "
            f"{chances[~((chances > 0) & (chances <= 1))][0]:g}"
        )
    least, most = (np.full(len(names), fill) for fill in (1.0, 0.0))
    np.minimum.at(least, strata, chances)
    np.maximum.at(most, strata, chances)
    if (uneven := most > least * 1.001).any():
        raise ReferenceDataError(
            f"{path}: expected one {INCLUSION} in each {STRATUM}. Found {least[uneven][0]:g} and {most[uneven][0]:g} "
            f"in {names[uneven][0]}: change the column {STRATUM}, or leave both columns out for a simple sample"
        )
    pixels = np.bincount(strata, 1 / chances, len(names)).astype(np.float64)
    return Drawn(tuple(names.tolist()), strata.astype(np.int64), pixels)


def _hint(x: Doubles, y: Doubles, outside: npt.NDArray[np.bool_], cover: Cover, *, in_degrees: bool) -> str:
    """Say what would bring most of the points outside the map onto it; "" where nothing would."""
    own, other = (WGS84, cover.geobox.crs) if in_degrees else (cover.geobox.crs, WGS84)
    titles = "x and y" if in_degrees else "lon and lat"
    for words, place in (
        ("these columns had each other's titles", (y, x, own)),
        (f"these columns were called {titles}", (x, y, other)),
    ):
        found = int((outside & _inside(*_pixels(*place, cover), cover)).sum())
        if found > outside.sum() / 2:
            return f"{found} of them would lie on it if {words}"
    return ""


def _pixels(x: Doubles, y: Doubles, crs: str | None, cover: Cover) -> tuple[Ints, Ints]:
    """Return rows and columns of the map's pixels in which points lie; -1 where a point has no coordinates."""
    x, y = coordinates(x, y, crs or "", cover.geobox)
    x, y = (np.where(np.isfinite(axis), axis, np.nan) for axis in (x, y))
    t = ~cover.geobox.transform
    cols, rows = t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f
    there = np.isfinite(rows) & np.isfinite(cols) & (np.abs(rows) < 2**31) & (np.abs(cols) < 2**31)
    row, col = (np.floor(np.where(there, axis, -1)).astype(np.int64) for axis in (rows, cols))
    return row, col


def _inside(rows: Ints, cols: Ints, cover: Cover) -> npt.NDArray[np.bool_]:
    return (rows >= 0) & (rows < cover.geobox.height) & (cols >= 0) & (cols < cover.geobox.width)


def _vector(path: Path, cover: Cover, class_column: str, layer: str | None) -> Points | Polygons:
    frame = read_shapes(path, layer, option="--layer", kinds=("Point", "Polygon"), error=ReferenceDataError)
    if frame.crs is None:
        raise GeoreferenceError(f"{path}: expected a coordinate reference system (CRS), found none: give it one")
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    kinds = set(frame.geom_type)
    names = [str(name) for name in frame.columns if name != frame.geometry.name]
    column = names[_place(class_column, names, path)]
    try:
        if kinds <= {"Point", "MultiPoint"}:
            frame = frame.explode(ignore_index=True)
            ids = _class_ids(frame[column], class_column, path, cover)
            x, y = (np.asarray(axis, np.float64) for axis in (frame.geometry.x, frame.geometry.y))
            drawn = _drawn(names, lambda place: frame[names[place]], path)
            return Points(*_pixels(x, y, frame.crs.to_wkt(), cover), ids, drawn=drawn)
        if kinds <= {"Polygon", "MultiPolygon"}:
            return _polygons(frame, _class_ids(frame[column], class_column, path, cover), cover)
    except RuntimeError as error:  # pyproj's own
        raise GeoreferenceError(f"{path}: can't be brought to the CRS of {cover.path}: {error}") from error
    raise ReferenceDataError(f"{path}: expected points, or polygons, not both. Found {', '.join(sorted(kinds))}")


def _polygons(frame: Any, ids: Ints, cover: Cover) -> Polygons:
    """Bring polygons to the CRS of a map, and keep those that lie on it and have a class."""
    import geopandas
    import shapely

    found = outlines(frame.geometry.to_numpy(), frame.crs.to_wkt(), cover.geobox)
    placed = geopandas.GeoDataFrame({"id": ids}, geometry=found.shapes, crs=cover.geobox.crs)
    shapes, pixel = placed.geometry.to_numpy(), abs(cover.geobox.transform.determinant) ** 0.5
    inside = shapely.intersects(shapes, _whole(cover, -EDGE * pixel))
    # What lies beyond by less than half a pixel has no pixel's centre.
    beyond = int((inside & ~shapely.covered_by(shapes, _whole(cover, pixel / 2))).sum())
    kept = placed[(ids != NO_CLASS) & inside].reset_index(drop=True)
    outside, without = int((~inside).sum()), int((inside & (ids == NO_CLASS)).sum())
    return Polygons(kept, without, outside, (*found.warnings, *_left_out(len(ids), outside, without, beyond)))


def _left_out(polygons: int, outside: int, without_class: int, beyond: int) -> list[str]:
    """Say which polygons are not used, or only in part."""
    found = []
    if outside or without_class:
        found.append(
            f"of {polygons} polygons {outside} lie outside the map, and {without_class} have no class: they are left "
            "out"
        )
    if beyond:
        found.append(f"{beyond} polygons reach beyond the map: only their part on it is used")
    return found


def _whole(cover: Cover, more: float) -> Any:
    """Return the outline of a map as a polygon in its CRS, moved outwards by a number of CRS units."""
    from shapely import Polygon

    corners = (0, 0), (cover.geobox.width, 0), (cover.geobox.width, cover.geobox.height), (0, cover.geobox.height)
    return Polygon([cover.geobox.transform @ corner for corner in corners]).buffer(more, join_style="mitre")


def _place(column: str, columns: Sequence[str], path: Path) -> int:
    """Return the index of the column with the classes, in capitals or small letters."""
    if column in columns:
        return list(columns).index(column)
    found = [i for i, name in enumerate(columns) if name.casefold() == column.casefold()]
    if len(found) != 1:
        names = ", ".join(columns)
        raise ReferenceDataError(f"{path}: expected a column {column} with the classes. Found {names}: --class-column")
    return found[0]


def _class_ids(values: Iterable[Any], column: str, path: Path, cover: Cover) -> Ints:
    """Read cells of a table as class ids, by name (in capitals or small letters) or by number; -1 for empty cells."""
    known = {c.name.casefold(): c.id for c in cover.classes} if _distinct(cover.names) else {}
    known |= {str(c.id): c.id for c in cover.classes} | {c.name: c.id for c in cover.classes} | {"": NO_CLASS}
    texts = [_text(value) for value in values]
    ids = [known.get(text, known.get(text.casefold())) for text in texts]
    strange = list(dict.fromkeys(text for text, id_ in zip(texts, ids, strict=True) if id_ is None))
    if strange:
        more = f" and {len(strange) - LISTED} more" if len(strange) > LISTED else ""
        raise ReferenceDataError(
            f"{path}: expected classes of the map ({', '.join(cover.names)}, or their ids). Found "
            f"{', '.join(strange[:LISTED])}{more} in column {column}"
        )
    return np.array(ids, np.int64)


def _distinct(names: Sequence[str]) -> bool:
    """Return whether names differ by more than capitals."""
    return len({name.casefold() for name in names}) == len(names)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN and NA are not equal to themselves
        return ""
    text = str(value).strip()
    return text[:-2] if re.fullmatch(r"\d+\.0", text) else text


def _box(place: RasterWindow, cover: Cover) -> Any:
    from shapely import box

    return box(*bounds(place, cover.geobox.transform))
