"""Layers of vector files: polygons and points are written in three formats, and shapes are read from any."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import LandmapError, OutputError
from landmap.io.qgis import STYLES_LAYER
from landmap.io.remote import redact, redacted

VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet")
"""Endings of vector files that are taken for such without being opened."""
PARQUET = (".parquet", ".geoparquet")
"""Endings of files that GeoPandas reads by itself, without GDAL; they have one layer."""
NEEDS_PYARROW = "Parquet needs pyarrow: pip install 'landmap[parquet]'"
"""Message where the package is missing."""


def is_vector(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a vector file by its ending."""
    return PurePath(path).suffix.lower() in VECTORS


@dataclass(frozen=True, slots=True)
class Features:
    """Some of the features of a layer."""

    columns: Mapping[str, npt.NDArray[Any]]
    """Attributes by name, each `(n,)`; NaN is written as null."""
    geometry: npt.NDArray[Any]
    """Shapely's polygons or points `(n,)`, in the layer's CRS."""
    kind: str = "Polygon"
    """Geometry type: "Polygon" or "Point"."""


@dataclass(frozen=True, slots=True)
class VectorFormat:
    """A format in which polygons are written."""

    name: str
    """Name of the format in messages."""
    endings: tuple[str, ...]
    """Endings of its files, in small letters."""
    write: Callable[[Path, str, Iterable[Features], str | None], int]
    """Writes a layer and returns the number of its features, given file, layer, batches of features and CRS as WKT."""
    has_layers: bool = False
    """Whether a file may hold several layers, and tables without geometry."""
    in_degrees: bool = False
    """Whether coordinates are longitude and latitude whatever the CRS, so that there must be one."""
    needs_pyarrow: bool = False
    """Whether pyarrow, an optional package, writes it."""


def format_of(path: Path) -> VectorFormat:
    """Return the format that the ending of an output's name chooses.

    Raises:
        OutputError: No format has this ending, or the format needs a package that is not installed.
    """
    found = next((known for known in FORMATS if path.suffix.lower() in known.endings), None)
    if found is None:
        endings = ", ".join(ending for known in FORMATS for ending in known.endings)
        raise OutputError(f"{path}: expected a file name that ends in {endings}")
    if found.needs_pyarrow:
        need_pyarrow()
    return found


def need_pyarrow() -> None:
    """Refuse Parquet before any work where it can't be written.

    Raises:
        OutputError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 # only whether it is installed
    except ImportError as error:
        raise OutputError(NEEDS_PYARROW) from error


def write_layer(path: Path, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    """Write a layer in the format that the file's ending chooses, and return the number of its features.

    Args:
        path: A new file, or one with other layers in a format that has several.
        layer: Name of the layer.
        batches: Its features; the first batch may be empty, and is there even if nothing follows.
        crs: Coordinate reference system of the geometry as WKT; None where there is none.

    Raises:
        OutputError: The layer can't be written: the disk is full, or the like.
    """
    with _write_errors(path):
        return format_of(path).write(path, layer, batches, crs)


def write_table(path: Path, layer: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Add a table without geometry to a GeoPackage.

    Args:
        path: The GeoPackage, which is there already.
        layer: Name of the table.
        columns: Values by column, each `(n,)`.

    Raises:
        OutputError: The table can't be written.
    """
    from pyogrio.raw import write

    with _write_errors(path):
        write(path, None, list(columns.values()), list(columns), layer=layer, driver="GPKG", geometry_type=None)


def _write_geopackage(path: Path, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    """Write batch by batch, beside other layers."""
    count = 0
    for number, batch in enumerate(batches):
        _write(path, batch, crs, driver="GPKG", layer=layer, append=number > 0)
        count += len(batch.geometry)
    return count


def _write_geojson(path: Path, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    """Write all at once, in longitude and latitude (RFC 7946), which knows no layers."""
    whole = _together(batches)
    _write(path, whole, crs, driver="GeoJSON", RFC7946="YES", WRITE_NAME="NO")
    return len(whole.geometry)


def _write_parquet(path: Path, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    """Write all at once; GeoParquet knows no layers."""
    import geopandas

    whole = _together(batches)
    frame = geopandas.GeoDataFrame(dict(whole.columns), geometry=whole.geometry, crs=_short(crs))
    frame.to_parquet(path, index=False, write_covering_bbox=True, schema_version="1.1.0")
    return len(whole.geometry)


FORMATS = (
    VectorFormat("GeoPackage", (".gpkg",), _write_geopackage, has_layers=True),
    VectorFormat("GeoJSON", (".geojson", ".json"), _write_geojson, in_degrees=True),
    VectorFormat("GeoParquet", (".parquet", ".geoparquet"), _write_parquet, needs_pyarrow=True),
)
"""Formats of output polygons. To add one, write its function and add it here."""


def _write(path: Path, features: Features, crs: str | None, **options: Any) -> None:
    import shapely
    from pyogrio.raw import write

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)  # a forced scene may have none
        write(
            path,
            shapely.to_wkb(features.geometry),
            list(features.columns.values()),
            list(features.columns),
            geometry_type=features.kind,
            crs=_short(crs),
            **options,
        )


def _together(batches: Iterable[Features]) -> Features:
    parts = list(batches)
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Features(columns, np.concatenate([part.geometry for part in parts]), parts[0].kind)


def _short(crs: str | None) -> str | None:
    """Return the code of a CRS, such as EPSG:32633, where it has one, otherwise its WKT."""
    from pyproj import CRS

    if crs is None:
        return None
    known = CRS.from_wkt(crs).to_authority(min_confidence=90)
    return ":".join(known) if known else crs


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError) as error:  # pyogrio's own are RuntimeErrors
        raise OutputError(f"{path}: can't be written: {' '.join(str(error).split())}") from error


def read_shapes(
    path: str | os.PathLike[str], layer: str | None, *, option: str, kinds: Sequence[str], error: type[LandmapError]
) -> Any:
    """Read a layer as GeoDataFrame: the one that is named, or the only one that may hold the wanted geometries.

    Tables of attributes, and QGIS's table of styles, are not layers.

    Args:
        path: Any vector file that GeoPandas reads.
        layer: Name of the layer; None where the file has only one of the wanted kinds.
        option: Option by which the user names the layer, such as "--aoi-layer".
        kinds: Geometry types that are wanted, such as "Polygon", which stands for MultiPolygon, too.
        error: Class of the error that is raised where the file can't be used.

    Raises:
        LandmapError: Of class `error`: the file can't be read, has no such layer, or has several and none is named.
    """
    import geopandas

    try:
        if PurePath(path).suffix.lower() in PARQUET:
            frame = geopandas.read_parquet(path)
        else:
            chosen = _choose(path, layer, option, kinds, error)
            with warnings.catch_warnings():  # GDAL's about dimensions that are not used, and the like
                warnings.simplefilter("ignore")
                frame = geopandas.read_file(path, layer=chosen)
    except ImportError as cause:
        raise error(f"{redacted(os.fspath(path))}: {NEEDS_PYARROW}") from cause
    except (RuntimeError, OSError, ValueError) as cause:  # GDAL's, pyogrio's and Arrow's own are among these
        words = redact(" ".join(str(cause).split()))
        raise error(f"{redacted(os.fspath(path))}: can't be read as a vector file: {words}") from cause
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise error(f"{redacted(os.fspath(path))}: expected {_wanted(kinds)}. Its table has no geometries")
    return frame


def _choose(
    path: str | os.PathLike[str], layer: str | None, option: str, kinds: Sequence[str], error: type[LandmapError]
) -> str:
    from pyogrio import list_layers

    there = {str(name): kind for name, kind in list_layers(path) if kind is not None and name != STYLES_LAYER}
    if layer is not None and layer not in there:
        raise error(f"{redacted(os.fspath(path))}: has no layer {layer!r} for {option}. Its layers: {_listed(there)}")
    if layer is not None:
        return layer
    meant = [name for name, kind in there.items() if _may_hold(kind, kinds)]
    if len(meant) > 1:
        raise error(
            f"{redacted(os.fspath(path))}: expected one layer of {_wanted(kinds)}. Received several: {_listed(meant)}. "
            f'Name the one that is meant: {option} "{meant[0]}"'
        )
    if not meant:
        found = _listed(f"{name} ({kind})" for name, kind in there.items())
        raise error(f"{redacted(os.fspath(path))}: expected a layer of {_wanted(kinds)}. Received: {found}")
    return meant[0]


def _may_hold(kind: str, wanted: Sequence[str]) -> bool:
    """Return whether a layer may hold wanted geometries; its type may be mixed or unknown."""
    return any(name in kind for name in (*wanted, "Unknown", "Collection", "Surface"))


def _wanted(kinds: Sequence[str]) -> str:
    return " or ".join(f"{kind.lower()}s" for kind in kinds)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
