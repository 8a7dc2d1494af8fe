"""A vector file → the shapes of one of its layers, which the user names where there are several."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from landmap.errors import LandmapError
from landmap.io.remote import redact, redacted
from landmap.io.vectors import NEEDS_PYARROW

PARQUET = (".parquet", ".geoparquet")
"""Endings of files that GeoPandas reads by itself, without GDAL; they have one layer."""
STYLES = "layer_styles"
"""QGIS's table of styles in a GeoPackage."""


def read_shapes(
    path: str | os.PathLike[str], layer: str | None, *, option: str, kinds: Sequence[str], error: type[LandmapError]
) -> Any:
    """The GeoDataFrame of a layer: of the one that is named, else of the only one that may hold what is wanted.

    Tables of attributes, and QGIS's of styles, are no layers.

    Args:
        path: Any vector file that GeoPandas reads.
        layer: Name of the layer; None where the file leaves no choice.
        option: By which the user names it, such as "--aoi-layer".
        kinds: Geometry types of layers that may be meant, such as "Polygon", which stands for MultiPolygon, too.
        error: What is raised where the file can't be used.

    Raises:
        LandmapError: `error`: it can't be read, has no such layer, or has several and none is named.
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

    there = {str(name): kind for name, kind in list_layers(path) if kind is not None and name != STYLES}
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
    """Whether a layer of a geometry type may hold shapes that are wanted; it may be of mixed or unknown types."""
    return any(name in kind for name in (*wanted, "Unknown", "Collection", "Surface"))


def _wanted(kinds: Sequence[str]) -> str:
    return " or ".join(f"{kind.lower()}s" for kind in kinds)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
