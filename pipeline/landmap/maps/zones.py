"""Zones such as districts are read, and the share of each class in each zone is computed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import SettingsError, ZoneError
from landmap.geo.areas import PixelAreas, pixel_areas
from landmap.geo.geobox import misplaced
from landmap.geo.outlines import outlines
from landmap.io.reading import open_raster
from landmap.io.vectors import read_shapes
from landmap.maps.cover import Cover, raster_window, read_classes, side_raster
from landmap.maps.legend import check_ids
from landmap.maps.shares import ClassShare, class_shares
from landmap.tiling import Window
from landmap_models.legend import NODATA

MAX_CELLS = 4_000_000
"""Pixels of a zone that are read at once."""
STEPS = 101
"""Number of values of confidence: 0 to 100 %."""
NO_CODE = 65535
"""Code of a pixel without data; see `_Codes`."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Named polygons; they may overlap."""

    path: str
    """Name of their file."""
    ids: tuple[Any, ...]
    """Names of the zones, each once: texts or numbers."""
    geometry: npt.NDArray[Any]
    """Shapely's polygons `(n,)`."""
    crs: str
    """Coordinate reference system as WKT."""
    warnings: tuple[str, ...]
    """What the user should know of them."""


def read_zones(path: str | os.PathLike[str], id_column: str, layer: str | None = None) -> Zones:
    """Read zones from a vector file.

    Args:
        path: Any file of polygons that GeoPandas reads.
        id_column: Name of the column with the name of each zone.
        layer: Name of the layer; None where the file has one layer of polygons.

    Raises:
        ZoneError: The file can't be opened, or holds something else than polygons with a CRS.
        SettingsError: There is no such column, or zones in it have no name or the same one.
    """
    import shapely

    frame = read_shapes(path, layer, option="--zone-layer", kinds=("Polygon",), error=ZoneError)
    if frame.crs is None:
        raise ZoneError(f"{path}: expected zones with a coordinate reference system (CRS), found none")
    kinds = sorted(set(frame.geom_type.fillna("no geometry")))
    if not len(frame) or set(kinds) - {"Polygon", "MultiPolygon"}:
        raise ZoneError(f"{path}: expected polygons as zones. Found: {', '.join(kinds) or 'none'}")
    ids = _ids(path, frame, id_column)
    geometry = frame.geometry.to_numpy()
    broken = [i for i, valid in zip(ids, shapely.is_valid(geometry), strict=True) if not valid]
    warnings = (f"{path}: the borders of {_few(broken)} cross themselves; taken as repaired",) if broken else ()
    return Zones(os.fspath(path), ids, shapely.make_valid(geometry), frame.crs.to_wkt(), warnings)


def _ids(path: str | os.PathLike[str], frame: Any, id_column: str) -> tuple[Any, ...]:
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if id_column not in columns:
        raise SettingsError(f"{path}: no column {id_column!r} for --zone-id. Its columns: {', '.join(columns)}")
    column = frame[id_column]
    if column.isna().any():
        raise SettingsError(f"{path}: {int(column.isna().sum())} zones have no {id_column}: choose another --zone-id")
    twice = column[column.duplicated()].unique().tolist()
    if twice:
        raise SettingsError(f"{path}: more than one zone is {_few(twice)}: choose another --zone-id, or dissolve them")
    return tuple(column.tolist())


def _few(names: Sequence[Any]) -> str:
    """List the first names, and say how many more there are."""
    shown = ", ".join(map(str, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def zone_shares(
    cover: Cover, confidence: Path | None, zones: Zones
) -> tuple[list[tuple[Any, tuple[ClassShare, ...]]], list[str]]:
    """Compute the share of every class in each zone.

    A pixel on a border counts by the part of it that lies in the zone (exactextract), so that the zones of a partition
    add up to the cover.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        confidence: Raster of confidence from the run that wrote the cover; None where there is none.
        zones: The zones, in any CRS.

    Returns:
        The id of each zone with the shares of its classes, and warnings.

    Raises:
        SceneError: A raster can't be read, or the two don't belong together.
        ZoneError: The cover has no place on the ground, or the zones can't be brought to its CRS.
    """
    placed, says = _pixel_coordinates(zones, cover)
    inside = np.flatnonzero(_touching(placed, cover))
    nothing = np.zeros((3, 256))
    sums = dict.fromkeys(range(len(zones.ids)), nothing) | dict(
        zip(inside.tolist(), _sums(cover, confidence, placed[inside]), strict=True)
    )
    found = []
    for i, zone in enumerate(zones.ids):
        pixels, percent, hectares = sums[i]
        found.append((zone, class_shares(cover.legend, pixels.tolist(), hectares, percent if confidence else None)))
    check_ids(cover.path, cover.legend, np.ceil(sum(found_in[0] for found_in in sums.values())).astype(np.int64))
    outside = [zone for i, zone in enumerate(zones.ids) if i not in set(inside.tolist())]
    warnings = [*zones.warnings, *(f"{zones.path}: {words}" for words in says)]
    return found, [*warnings, *([f"{zones.path}: {_few(outside)} lie outside the cover"] if outside else [])]


def _pixel_coordinates(zones: Zones, cover: Cover) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Bring zones to columns from the left and rows from the *bottom*, which works for any geotransform.

    Returns:
        The zones around the cover, and in words how borders were read that could mean two areas.
    """
    import shapely

    if cover.geobox.crs is None or misplaced(cover.geobox):
        raise ZoneError(f"{cover.path}: zones need a cover with a place on the ground (CRS and geotransform)")
    try:
        found = outlines(zones.geometry, zones.crs, cover.geobox)
    except RuntimeError as error:  # pyproj's own
        raise ZoneError(f"{zones.path}: can't be brought to the CRS of {cover.path}: {error}") from error
    t = ~cover.geobox.transform
    matrix, origin = np.array([[t.a, -t.d], [t.b, -t.e]]), (t.c, cover.geobox.height - t.f)

    return np.asarray(shapely.transform(found.shapes, lambda points: points @ matrix + origin)), found.warnings


def _touching(geometry: npt.NDArray[Any], cover: Cover) -> npt.NDArray[np.bool_]:
    """Return which geometries, in pixel coordinates, lie at least in part on the cover, `(n,)`."""
    import shapely

    return np.asarray(shapely.intersects(geometry, shapely.box(0, 0, cover.geobox.width, cover.geobox.height)))


def _sums(cover: Cover, confidence: Path | None, geometry: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """Compute pixels, sum of percent, and hectares by class, `(3, 256)`, of each zone.

    exactextract gives the share of each distinct value. A value here is a code of class and confidence together, so
    that pixels are read once.
    """
    from exactextract import exact_extract
    from exactextract.feature import JSONFeatureSource
    from exactextract.raster import NumPyRasterSource
    from shapely.geometry import mapping

    areas = pixel_areas(cover.geobox)
    if not len(geometry) or areas is None:
        return
    side = side_raster(confidence, cover, "confidence")
    with ExitStack() as stack:  # files stay open, with their blocks, as zones may be many and small
        file = stack.enter_context(open_raster(cover.path))
        percent = stack.enter_context(open_raster(side.path)) if side else None
        found = exact_extract(
            NumPyRasterSource(_Codes(cover, file, percent), nodata=NO_CODE),
            JSONFeatureSource([{"type": "Feature", "geometry": mapping(zone)} for zone in geometry]),
            ["unique", "frac", "count", "weighted_frac", "weighted_sum", "weighted_mean"],
            weights=NumPyRasterSource(_Weights(areas, (cover.geobox.height, cover.geobox.width))),
            max_cells_in_memory=MAX_CELLS,
        )
    for zone in found:
        yield _by_class(zone["properties"], areas)


def _by_class(zone: dict[str, Any], areas: PixelAreas) -> npt.NDArray[np.float64]:
    """Turn shares of codes into pixels, sum of percent and hectares by class, `(3, 256)`."""
    codes = np.asarray(zone["unique"], np.int64) - 1
    if not len(codes):
        return np.zeros((3, 256))
    classes, steps = codes // STEPS, codes % STEPS
    pixels = np.asarray(zone["frac"]) * zone["count"]
    # As no code is 0, the sum by the mean is the area of all valid pixels.
    hectares = areas.hectares(np.asarray(zone["weighted_frac"]) * (zone["weighted_sum"] / zone["weighted_mean"]))
    return np.stack([np.bincount(classes, values, minlength=256) for values in (pixels, pixels * steps, hectares)])


class _Codes:
    """Codes 1 + class id * 101 + percent of a cover, read when exactextract takes a rectangle of this array."""

    def __init__(self, cover: Cover, classes: Any, percent: Any) -> None:
        self._path, self._classes, self._percent, self.shape = cover.path, classes, percent, cover.geobox.shape

    def __getitem__(self, place: tuple[slice, slice]) -> npt.NDArray[np.uint16]:
        rows, cols = place
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        classes, percent = read_classes(self._classes, self._path, window), np.zeros(window.shape, np.uint8)
        if self._percent:
            percent = self._percent.read(1, window=raster_window(window))
        codes = 1 + classes.astype(np.uint16) * STEPS + np.minimum(percent, STEPS - 1)
        return np.where(classes == NODATA, np.uint16(NO_CODE), codes)


class _Weights:
    """Areas of the pixels of a cover, computed when exactextract takes a rectangle of this array."""

    def __init__(self, areas: PixelAreas, shape: tuple[int, int]) -> None:
        self._areas, self.shape = areas, shape

    def __getitem__(self, place: tuple[slice, slice]) -> npt.NDArray[np.float64]:
        rows, cols = place
        return self._areas.of(Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start))
