"""An xarray object is a scene for each date: which array is which band, where it lies, what its attributes say.

Names of dimensions and attributes are those of CF, rioxarray, odc-stac and stackstac. What is wrong with an object is
said here, when it is given, and not by a worker.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from landmap.errors import BandError, GeoreferenceError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.products.cube import BANDS, COLUMNS, ROWS, even_axis
from landmap.products.product import SCL, names_classification
from landmap_models.sentinel2 import band_name

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

TIMES = ("time", "t", "date")
"""Names of a dimension of dates, in small letters."""
NODATA = ("_FillValue", "nodata", "missing_value")
"""Names of attributes that hold the nodata value."""
APPLIED = ("scale_factor", "add_offset", "_FillValue", "missing_value", "nodata", "grid_mapping", "long_name")
"""Names of attributes that are read in a way of their own."""
LEAST_BLOCK = 256
"""Least number of pixels in a block of the data, on average: smaller ones make more tasks than Dask can bear."""
MOST_SMALL = 64
"""Number of such blocks that is accepted all the same."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """How whole numbers in a file became the floats of an array, by the array's encoding."""

    dtype: str
    """NumPy name of their data type."""
    fill: float
    """The number that became NaN."""
    scale: float
    """What they were multiplied by."""
    offset: float
    """What was added then."""

    def stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers as they are in the file, of floats that `explains`."""
        numbers = np.rint((values.astype(np.float64) - self.offset) / self.scale)
        return np.where(np.isnan(numbers), self.fill, numbers).astype(self.dtype)

    def explains(self, values: npt.NDArray[Any]) -> bool:
        """Whether values, `(n,)`, are such numbers indeed, and nobody has computed others since."""
        numbers = (values[np.isfinite(values)].astype(np.float64) - self.offset) / self.scale
        limits = np.iinfo(self.dtype)
        inside = (numbers > limits.min - 0.5) & (numbers < limits.max + 0.5)
        return bool((inside & (np.abs(numbers - np.rint(numbers)) < 0.02)).all())


@dataclass(frozen=True, slots=True)
class LazyBand:
    """One band: its place in a Dask array whose last dimensions are rows, from the north, and columns."""

    name: str
    """Its name in the data; empty where it has none."""
    array: Any
    """The Dask array."""
    lead: tuple[int, ...]
    """Its place along the first dimensions of the array."""
    attrs: Mapping[str, Any]
    """Attributes of its array."""
    encoded: Encoded | None
    """What its values were in a file, if its encoding says so."""


@dataclass(frozen=True, slots=True)
class LazyBands:
    """All bands of an xarray object."""

    name: str
    """What messages call it."""
    geobox: GeoBox
    """Where its pixels lie, north up."""
    dates: tuple[tuple[LazyBand, ...], ...]
    """The bands of each date; of one date where there is no dimension of dates."""
    dims: tuple[Hashable, ...]
    """Names of the dimensions of the cover: dates, if there are, rows, columns."""
    coords: Mapping[Hashable, Any]
    """Coordinates of the cover."""
    attrs: Mapping[str, Any]
    """Attributes of the whole."""
    south_up: bool
    """Whether rows begin in the south, so that they are turned before and after."""

    @property
    def has_time(self) -> bool:
        """Whether there is a dimension of dates."""
        return len(self.dims) > 2


def lazy_bands(data: Any, *, numbered: bool) -> LazyBands:
    """Find the bands of an xarray object.

    Args:
        data: DataArray with a dimension of bands, or Dataset with a variable a band, of Dask arrays.
        numbered: Whether bands are told by number, so that they need no names.

    Raises:
        SceneError: It is no xarray object of Dask arrays with rows and columns, or its chunks are tiny.
        BandError: Its bands have no names.
        GeoreferenceError: It has no CRS.
    """
    import xarray

    if not isinstance(data, xarray.DataArray | xarray.Dataset):
        raise SceneError(
            f"Expected an xarray.DataArray or Dataset. Received: {type(data).__name__}. Of a file: landmap.classify, "
            "or rioxarray.open_rasterio(path, chunks={'x': 1024, 'y': 1024})"
        )
    variables = _variables(data)
    name = _name(data, variables)
    rows, cols, time = _dimensions(variables, name)
    variables = [variable.squeeze(_single(variable, rows, cols, time), drop=True) for variable in variables]
    for variable in variables:
        _check_values(variable, rows, cols, name)
    south_up, geobox = _geobox(data, variables[0], rows, cols, name)
    if south_up:
        variables = [variable.isel({rows: slice(None, None, -1)}) for variable in variables]
    count = variables[0].sizes[time] if time is not None else 1
    dates = tuple(
        tuple(band for variable in variables for band in _bands(variable, (time, i), rows, cols, name, numbered))
        for i in range(count)
    )
    dims = (*([time] if time is not None else []), rows, cols)
    coords = {key: value for key, value in variables[0].coords.items() if set(value.dims) <= set(dims)}
    return LazyBands(name, geobox, dates, dims, coords, dict(data.attrs), south_up)


def _variables(data: DataArray | Dataset) -> list[DataArray]:
    """The arrays with rows and columns."""
    import xarray

    found = list(data.data_vars.values()) if isinstance(data, xarray.Dataset) else [data]
    with_both = [a for a in found if _dim(a, ROWS) is not None and _dim(a, COLUMNS) is not None]
    if not with_both:
        dims = ", ".join(map(str, data.dims)) or "none"
        raise SceneError(
            f"Expected dimensions of rows and columns, such as y and x. Received: {dims}. Name them: "
            "data.rename(OLD='y', …)"
        )
    return with_both


def _name(data: DataArray | Dataset, variables: Sequence[DataArray]) -> str:
    """The file that it was opened from, as its name may say what level it has; else the name of the array."""
    sources = {str(a.encoding["source"]) for a in (data, *variables) if a.encoding.get("source")}
    own = getattr(data, "name", None)
    return sources.pop() if len(sources) == 1 else str(own) if own is not None else type(data).__name__


def _dim(array: DataArray, names: Sequence[str]) -> Hashable | None:
    return next((dim for dim in array.dims if str(dim).lower() in names), None)


def _dimensions(variables: Sequence[DataArray], name: str) -> tuple[Hashable, Hashable, Hashable | None]:
    """Names of the dimensions of rows, columns and dates (None without), the same for all variables."""
    found = {tuple(_dim(a, names) for names in (ROWS, COLUMNS, TIMES)) for a in variables}
    if len(found) > 1:
        raise SceneError(
            f"{name}: expected all bands on the same dimensions. Received: {' and '.join(map(str, sorted(found)))}. "
            "Select those that belong together: data[['red', 'green', 'blue']]"
        )
    rows, cols, time = found.pop()
    assert rows is not None
    assert cols is not None
    return rows, cols, time


def _single(variable: DataArray, rows: Hashable, cols: Hashable, time: Hashable | None) -> list[Hashable]:
    """Dimensions of length 1 that are none of rows, columns, dates and bands."""
    kept = {rows, cols, time, _dim(variable, BANDS)}
    return [dim for dim in variable.dims if dim not in kept and variable.sizes[dim] == 1]


def _check_values(variable: DataArray, rows: Hashable, cols: Hashable, name: str) -> None:
    """Refuse what is no lazy array of numbers, or is cut into tiny blocks."""
    chunk = f"data.chunk({{'{rows}': 1024, '{cols}': 1024}})"
    what = f"{name}: {variable.name}" if variable.name not in (None, name) else name
    if 0 in variable.shape:
        raise SceneError(f"{what}: expected pixels. Received: {dict(variable.sizes)}")
    known = {rows, cols, _dim(variable, TIMES), _dim(variable, BANDS)}
    if more := [dim for dim in variable.dims if dim not in known]:
        raise SceneError(
            f"{what}: expected dimensions of bands, dates, rows and columns. Received {variable.sizes[more[0]]} along "
            f"{more[0]}, too: choose one: data.isel({more[0]}=0)"
        )
    if variable.chunks is None:
        raise SceneError(
            f"{what}: expected Dask arrays, as the map is lazy. Received: an array in memory, or one that is loaded "
            f"whole. Cut it into chunks: {chunk}"
        )
    if variable.dtype.kind not in "iuf":
        raise SceneError(f"{what}: expected numbers, as reflectance is. Received: {variable.dtype}")
    row_blocks, col_blocks = (len(variable.chunksizes[dim]) for dim in (rows, cols))
    pixels = variable.sizes[rows] * variable.sizes[cols] / (row_blocks * col_blocks)
    if pixels < LEAST_BLOCK and row_blocks * col_blocks > MOST_SMALL:
        raise SceneError(
            f"{what}: expected chunks of at least {math.isqrt(LEAST_BLOCK)}x{math.isqrt(LEAST_BLOCK)} pixels, better "
            f"of 1000x1000. Received: {row_blocks}x{col_blocks} chunks of {pixels:.3g} pixels: {chunk}"
        )


def _geobox(
    data: DataArray | Dataset, variable: DataArray, rows: Hashable, cols: Hashable, name: str
) -> tuple[bool, GeoBox]:
    """Whether rows begin in the south, and where the pixels lie once they begin in the north."""
    import rioxarray  # noqa: F401 # gives xarray's objects `.rio`

    crs = data.rio.crs or variable.rio.crs
    if crs is None:
        raise GeoreferenceError(
            f"{name}: expected a coordinate reference system (CRS). Received: none. Give it the right one: "
            "data.rio.write_crs('EPSG:NUMBER')"
        )
    shape = variable.sizes[rows], variable.sizes[cols]
    if rows not in variable.coords or cols not in variable.coords:
        raise GeoreferenceError(
            f"{name}: expected coordinates along {rows} and {cols}. Received: none. Give it the middles of its pixels: "
            f"data.assign_coords({cols}=…, {rows}=…)"
        )
    stored = variable.rio.transform()
    (west, width), (north, height) = (
        even_axis(variable[dim], name, alone) for dim, alone in ((cols, stored.a), (rows, stored.e))
    )
    if south_up := height > 0:
        north, height = north + height * shape[0], -height
    return south_up, GeoBox(*shape, Affine(width, 0, west, 0, height, north), crs.to_wkt())


def _bands(
    variable: DataArray, at: tuple[Hashable | None, int], rows: Hashable, cols: Hashable, name: str, numbered: bool
) -> Iterator[LazyBand]:
    """The bands in a variable at one date, given by its dimension (None without) and place."""
    along, (time, date) = _dim(variable, BANDS), at
    names = _names(variable, along, name, numbered)
    encoded = _encoded(variable)
    lead = [dim for dim in (time, along) if dim is not None]
    array = variable.transpose(*lead, rows, cols).data
    for number, label in enumerate(names):
        place = {time: date, along: number}
        yield LazyBand(label, array, tuple(place[dim] for dim in lead), variable.attrs, encoded)


def _names(variable: DataArray, along: Hashable | None, name: str, numbered: bool) -> list[str]:
    """Names of a variable's bands: its own, or labels along its dimension of bands.

    Raises:
        BandError: There is such a dimension, and nothing along it is a name.
    """
    if along is None:
        return [str(variable.name)]
    count = variable.sizes[along]
    labels = [variable[along]] if along in variable.coords else []
    labels += [c for key, c in variable.coords.items() if c.dims == (along,) and key != along]
    candidates = [[str(label) for label in c.values] for c in labels if c.dtype.kind in "OUST"]
    long_names = variable.attrs.get("long_name")
    if isinstance(long_names, str) and count == 1:
        candidates.append([long_names])
    elif isinstance(long_names, Sequence) and len(long_names) == count:
        candidates.append([str(label) for label in long_names])
    best = max(candidates, key=lambda names: sum(is_band(label) for label in names), default=[])
    if any(map(is_band, best)) or (best and not numbered):
        return best
    if numbered:
        return [""] * count
    raise BandError(
        f"{name}: expected names of bands along {along}. Received: {count} without. Name them: "
        f"data.assign_coords({along}=['B04', 'B03', …]), or say which is which: bands={{'B04': 1, 'B03': 2, …}}"
    )


def is_band(label: str) -> bool:
    """Whether a name is that of a band of Sentinel-2, or of its scene classification."""
    return names_classification(label) or band_name(label) is not None


def standard_name(label: str) -> str | None:
    """The name of a band as landmap writes it; None where it is none."""
    return SCL if names_classification(label) else band_name(label)


def _encoded(variable: DataArray) -> Encoded | None:
    """What floats were in a file, by the encoding that xarray and rioxarray keep beside them."""
    encoding = variable.encoding
    fill = next((encoding[key] for key in NODATA if encoding.get(key) is not None), None)
    if variable.dtype.kind != "f" or fill is None or "dtype" not in encoding:
        return None
    dtype = np.dtype(encoding["dtype"])
    scale, offset = (_number(encoding.get(key), default) for key, default in (("scale_factor", 1), ("add_offset", 0)))
    if dtype.kind not in "iu" or not scale or not np.isfinite(float(fill)):
        return None
    return Encoded(dtype.name, float(fill), scale, offset)


def _number(value: Any, default: float) -> float:
    try:
        return float(np.asarray(value).item()) if value is not None else float(default)
    except (TypeError, ValueError):
        return float(default)


def scaling(band: LazyBand) -> tuple[float, float, float | None]:
    """Scale, offset and nodata value of a band by its attributes; 1, 0 and None where they say nothing."""
    attrs = band.attrs
    nodata = next((attrs[key] for key in NODATA if attrs.get(key) is not None), None)
    value = None if nodata is None else _number(nodata, math.nan)
    return _number(attrs.get("scale_factor"), 1), _number(attrs.get("add_offset"), 0), value


def tags(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as the tags of a file, keys in capitals, without those that are read in a way of their own."""
    kept = {key: value for key, value in attrs.items() if key not in APPLIED and np.ndim(value) == 0}
    return {str(key).upper(): str(value) for key, value in kept.items()}


def short_name(path: str) -> str:
    """The last part of a path."""
    return PurePath(path).name or path
