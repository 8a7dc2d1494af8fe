"""A NetCDF or HDF5 file with a variable for each band, as xarray, openEO and odc-stac write it.

xarray reads its header, with dates and names of bands; GDAL reads its pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from landmap.errors import SceneError
from landmap.products.folder import level_of
from landmap.products.product import SCL, BandFile, Place, Product, names_classification
from landmap.products.scene_names import check_one_scene
from landmap_models.sentinel2 import band_name

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

ENDINGS = (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5")
COLUMNS = ("x", "lon", "longitude", "easting")
"""Names of the dimension of columns, in small letters."""
ROWS = ("y", "lat", "latitude", "northing")
"""Names of the dimension of rows, in small letters."""
BANDS = ("band", "bands", "variable", "wavelength", "spectral")
"""Names of a dimension of bands, in small letters."""
# GDAL's own default takes only dimensions with the attributes of the CF conventions for places, and turns a raster
# without a place upside down.
BY_GDAL = 'vrt://NETCDF:"{}":{}?oo=IGNORE_XY_AXIS_NAME_CHECKS=YES'
"""What GDAL opens for a variable, given file and name."""
CRS = ("crs_wkt", "spatial_ref", "crs")
"""Names of attributes that hold a coordinate reference system."""
UNEVEN = 1e-3
"""Share of a pixel by which coordinates may differ from an even grid."""


def find(entry: Traversable, path: str) -> Product | None:
    """The scene whose bands are variables of a NetCDF file, or lie along a dimension of one; None if none is named.

    Args:
        entry: A file or folder; files in zip archives are not read.
        path: What the user gave.

    Raises:
        SceneError: It holds several dates, or its variables don't lie on an even grid of rows and columns.
    """
    if not isinstance(entry, Path) or entry.suffix.lower() not in ENDINGS or not entry.is_file():
        return None
    import xarray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # xarray's, of what its writer left out
            cube = xarray.open_dataset(path, decode_coords="all", mask_and_scale=False)
        with cube:
            return _product(cube, path)
    except SceneError:
        raise
    except Exception:  # whatever is wrong with the file or its coordinates, GDAL's words for it follow
        return None


def _product(cube: Dataset, path: str) -> Product | None:
    found = list(_bands(cube, path))
    bands = tuple(band for band in found if band.name != SCL)
    if not bands:
        return None
    check_one_scene([band.label for band in found], path, "Give each scene a file of its own")
    return Product(
        path=path,
        text=f"{Path(path).suffix[1:]} file, {len(bands)} bands{_date(cube)}",
        bands=bands,
        scl=tuple(band for band in found if band.name == SCL),
        files=(str(Path(path).absolute()),),
        **level_of(found),
    )


def _bands(cube: Dataset, path: str) -> Iterator[BandFile]:
    for name, values in cube.data_vars.items():
        along = next((dim for dim in values.dims if str(dim).lower() in BANDS), None)
        for number, band in _names(values, along).items():
            if band:
                _check_dimensions(values, along, path)
                file = BY_GDAL.format(Path(path).absolute(), name)
                yield BandFile(band, file, number, place=_place(cube, values, path))


def _names(values: DataArray, along: Any) -> dict[int, str | None]:
    """Names of a variable's bands by number from 1: along a dimension of bands, else the variable's own."""
    if along is None or (along not in values.coords and values.sizes[along] == 1):
        return {1: _named(str(values.name))}
    labels = values[along].values if along in values.coords else ()
    return {number: _named(str(label)) for number, label in enumerate(labels, start=1)}


def _named(text: str) -> str | None:
    return SCL if names_classification(text) else band_name(text)


def _check_dimensions(values: DataArray, along: Any, path: str) -> None:
    """Refuse what GDAL would misread, rows and columns that are not the last dimensions, and several dates."""
    *others, rows, cols = values.dims if values.ndim > 1 else (None, None, None)
    name, turned = Path(path), "transpose(..., 'y', 'x')"
    if str(rows).lower() not in ROWS or str(cols).lower() not in COLUMNS:
        raise SceneError(
            f"{path}: expected rows and columns (y, x) as the last dimensions of {values.name}. Received: "
            f"{', '.join(map(str, values.dims))}. Turn them: {_line(name, turned, 'yx')}"
        )
    for other in others:
        if other != along and values.sizes[other] > 1:
            received = ", ".join(str(label)[:10] for label in values[other].values[:4])
            raise SceneError(
                f"{path}: expected one scene. Received: {values.sizes[other]} along {other} ({received}). "
                f"Write the first to a file of its own: {_line(name, f'isel({other}=[0])', f'{other}0')}"
            )


def _line(path: Path, step: str, suffix: str, package: str = "xarray") -> str:
    """A shell command that writes a file after a step in xarray, for an error message."""
    made = path.with_name(f"{path.stem}_{suffix}.nc")
    read = f"xarray.open_dataset({str(path)!r}, decode_coords='all')"
    imports = "xarray" if package == "xarray" else f"xarray, {package}"
    return f'python -c "import {imports}; {read}.{step}.to_netcdf({str(made)!r})"'


def _place(cube: Dataset, values: DataArray, path: str) -> Place | None:
    """The place of a variable by its coordinates, north up; None if it has none."""
    rows, cols = values.dims[-2:]
    if rows not in values.coords or cols not in values.coords:
        return None
    (west, width), (north, height) = even_axis(values[cols], path), even_axis(values[rows], path)
    if height > 0:  # GDAL turns it
        north, height = north + height * values.sizes[rows], -height
    shape = values.sizes[rows], values.sizes[cols]
    return Place(_crs(cube, values, path), Affine(width, 0, west, 0, height, north), shape)


def even_axis(coordinates: DataArray, path: str, alone: float = 0) -> tuple[float, float]:
    """Edge of the first pixel along an axis, and the size of a pixel.

    Args:
        coordinates: Middles of the pixels.
        path: What messages call the file.
        alone: The size of a pixel that has no neighbour.

    Raises:
        SceneError: The coordinates are not evenly spaced.
    """
    numbers = coordinates.values.astype(float)
    step = (numbers[-1] - numbers[0]) / (len(numbers) - 1) if len(numbers) > 1 else alone
    if np.abs(numbers - (numbers[0] + step * np.arange(len(numbers)))).max() > UNEVEN * abs(step):
        raise SceneError(f"{path}: expected evenly spaced pixels. Received: other steps along {coordinates.name}")
    return numbers[0] - step / 2, step


def _crs(cube: Dataset, values: DataArray, path: str) -> str:
    """The CRS that any variable names; degrees if coordinates are longitudes and latitudes.

    Writers often lose which variable has the CRS, but there is only one.
    """
    for attrs in (values.attrs, *(variable.attrs for variable in cube.variables.values()), cube.attrs):
        if text := next((attrs[key] for key in CRS if isinstance(attrs.get(key), str) and attrs[key].strip()), ""):
            return str(text)
    if str(values.dims[-1]).lower() in ("lon", "longitude"):
        return "EPSG:4326"
    name = Path(path)
    step = "rio.write_crs('EPSG:NUMBER')"
    raise SceneError(
        f"{path}: expected a coordinate reference system (CRS). Received: none. Give it the right one: "
        f"{_line(name, step, 'crs', 'rioxarray')}"
    )


def _date(cube: Dataset) -> str:
    dates = [values.values for values in cube.coords.values() if values.dtype.kind == "M" and values.size == 1]
    return f", {np.datetime_as_string(dates[0].ravel()[0], unit='D')}" if dates else ""
