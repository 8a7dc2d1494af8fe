"""Polygons with attributes → GeoPackage, GeoJSON or GeoParquet, by the ending of the name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import OutputError

FORMATS = {
    ".gpkg": "GeoPackage",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
}
NEEDS_PYARROW = "Parquet needs pyarrow: pip install 'landmap[parquet]'"


@dataclass(frozen=True, slots=True)
class Features:
    """Some rows of a layer."""

    columns: Mapping[str, npt.NDArray[Any]]
    """Attributes by name, each `(n,)`; NaN is written as null."""
    geometry: npt.NDArray[Any]
    """Shapely's polygons `(n,)`, in the layer's CRS."""


def format_of(path: Path) -> str:
    """GeoPackage, GeoJSON or GeoParquet.

    Raises:
        OutputError: The name ends otherwise, or the format needs a package that is not installed.
    """
    try:
        found = FORMATS[path.suffix.lower()]
    except KeyError:
        raise OutputError(f"{path}: expected a file name that ends in {', '.join(FORMATS)}") from None
    if found == "GeoParquet":
        need_pyarrow()
    return found


def need_pyarrow() -> None:
    """Refuse Parquet before any work where it can't be written.

    Raises:
        OutputError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 # only whether it is there
    except ImportError as error:
        raise OutputError(NEEDS_PYARROW) from error


def write_layer(path: Path, format_: str, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    """Write a layer and return the number of its features.

    A GeoPackage takes it batch by batch, and beside other layers. GeoJSON is turned to longitude and latitude (RFC
    7946), and like GeoParquet is written at once.

    Args:
        path: A file of its own, or a GeoPackage to add the layer to.
        format_: One of the values of `FORMATS`.
        layer: Name of the layer.
        batches: Its features; there may be none.
        crs: As WKT.

    Raises:
        OutputError: It can't be written: the disk is full, or the like.
    """
    with _told(path):
        if format_ == "GeoPackage":
            return _write_batches(path, layer, batches, crs)
        whole = _together(batches)
        if format_ == "GeoJSON":
            _write(path, whole, crs, driver="GeoJSON", RFC7946="YES", WRITE_NAME="NO")
        else:
            _write_parquet(path, whole, crs)
        return len(whole.geometry)


def write_table(path: Path, layer: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Add a table without geometry to a GeoPackage.

    Raises:
        OutputError: It can't be written.
    """
    from pyogrio.raw import write

    with _told(path):
        write(path, None, list(columns.values()), list(columns), layer=layer, driver="GPKG", geometry_type=None)


def _write_batches(path: Path, layer: str, batches: Iterable[Features], crs: str | None) -> int:
    count = 0
    for number, batch in enumerate(batches):
        _write(path, batch, crs, driver="GPKG", layer=layer, append=number > 0)
        count += len(batch.geometry)
    return count


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
            geometry_type="Polygon",
            crs=_short(crs),
            **options,
        )


def _write_parquet(path: Path, features: Features, crs: str | None) -> None:
    import geopandas

    frame = geopandas.GeoDataFrame(dict(features.columns), geometry=features.geometry, crs=_short(crs))
    frame.to_parquet(path, index=False, write_covering_bbox=True, schema_version="1.1.0")


def _together(batches: Iterable[Features]) -> Features:
    parts = list(batches)
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Features(columns, np.concatenate([part.geometry for part in parts]))


def _short(crs: str | None) -> str | None:
    """EPSG:32633 rather than the same spelt out, where it is one."""
    from pyproj import CRS

    if crs is None:
        return None
    known = CRS.from_wkt(crs).to_authority(min_confidence=90)
    return ":".join(known) if known else crs


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError) as error:  # pyogrio's own are RuntimeErrors
        raise OutputError(f"{path}: can't be written: {' '.join(str(error).split())}") from error
