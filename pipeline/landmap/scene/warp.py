"""Warps: reading a raster on another grid, and finding a grid that suits a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio.warp
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import from_gcps
from rasterio.vrt import WarpedVRT
from rasterio.warp import aligned_target, calculate_default_transform
from rasterio.windows import Window as RasterWindow

from landmap.errors import GeoreferenceError
from landmap.geo.geobox import (
    GeoBox,
    are_square,
    crs_name,
    geobox_of,
    ground_pixel_sides,
    ground_pixel_size,
    has_model_pixels,
    misplaced,
    pixel_sides,
    sides_text,
)
from landmap.geo.longitudes import degrees, near, turn, unbroken
from landmap_models.arrays import Bools, Doubles
from landmap_models.model_file.card import ModelCard

Read = Callable[[RasterWindow, tuple[int, int] | None], tuple[npt.NDArray[Any], Bools]]
"""Reads a window of a raster on its own grid, with every n-th pixel for a shape: values and validity."""
BLOCK_SHAPE = 128, 512
"""Rows and columns of a block that GDAL warps at once, unless the raster is smaller."""
GDAL_TOLERANCE = 0.01
"""Error in pixels with which GDAL may approximate where a pixel comes from."""
PROBES = 9
"""Number of places along each side of a block that are located in the source raster."""
MARGIN = 3
"""Pixels that are read around these places, besides those needed for interpolation."""


@dataclass(frozen=True, slots=True)
class Warp:
    """How a raster is warped to another grid."""

    geobox: GeoBox
    """The other grid."""
    resampling: Literal["nearest", "bilinear", "average"]
    """How values are interpolated; pixels without data are never used."""
    source: GeoBox | None = None
    """The raster's own grid, for a file that has only control points; None if the file has one."""
    pixel_sides: tuple[float, float] = (math.nan, math.nan)
    """Width and height of a pixel of the raster's own grid on the ground, in metres."""
    scale: float = 1.0
    """Side of a square as large as such a pixel, in pixels of the grid, at most 1.

    Bilinear interpolation takes in as many more of smaller pixels.
    """


def onto(geobox: GeoBox) -> Warp:
    """The warp of a raster of classes or flags to another grid, by the nearest pixel."""
    return Warp(geobox, "nearest")


def read_warped(
    read: Read, source: GeoBox, warp: Warp, place: RasterWindow, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """Read a window on the other grid: values `(height, width, bands)`, and their validity `(height, width)`.

    It is put together from blocks at fixed places of the grid: GDAL approximates where pixels come from over the block
    that it warps at once. If that were the window, pixels would depend on the window, and so a map on its chunks.

    Args:
        read: Reads the raster on its own grid.
        source: The raster's own grid, unless the warp has one.
        warp: The other grid, and how values are interpolated.
        place: The window on the other grid.
        shape: Rows and columns of the result, for every n-th pixel; None for all pixels.

    Raises:
        RasterioError: The raster can't be read there.
    """
    source = unbroken(warp.source or source)
    warp = replace(warp, geobox=unbroken(warp.geobox))
    if shape is not None:
        return _block(read, source, warp, place, shape)
    height, width = BLOCK_SHAPE
    rows = range(place.row_off // height * height, place.row_off + place.height, height)
    cols = range(place.col_off // width * width, place.col_off + place.width, width)
    geobox = warp.geobox
    blocks = [
        [
            _block(
                read,
                source,
                warp,
                RasterWindow(col, row, min(width, geobox.width - col), min(height, geobox.height - row)),
            )
            for col in cols
        ]
        for row in rows
    ]
    values, valid = (np.concatenate([np.concatenate([b[i] for b in row], axis=1) for row in blocks]) for i in (0, 1))
    top, left = place.row_off - rows[0], place.col_off - cols[0]
    wanted = slice(top, top + place.height), slice(left, left + place.width)
    return values[wanted], valid[wanted]


def _block(
    read: Read, source: GeoBox, warp: Warp, place: RasterWindow, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """A block of the other grid, which GDAL warps at once; see `read_warped`."""
    parts = [_warped(read, source, warp, place, shape, part) for part in _source_windows(source, warp, place)]
    found, dtype = parts[0]
    for other, _ in parts[1:]:
        found = np.where(np.isnan(found), other, found)
    return _without_gaps(found, dtype)


def _warped(
    read: Read, source: GeoBox, warp: Warp, place: RasterWindow, shape: tuple[int, int] | None, part: RasterWindow
) -> tuple[npt.NDArray[Any], np.dtype[Any]]:
    """Warp a window of the source to one of the other grid: floats, NaN without data, and the source's data type."""
    every = 1 if shape is None else max(1, min(place.height // shape[0], place.width // shape[1]))
    thin = None if every == 1 else (-(-part.height // every), -(-part.width // every))
    values, valid = read(part, thin)
    rows, cols = shape or (place.height, place.width)
    bands = _with_gaps(values, valid)
    with MemoryFile() as memory:
        _store(bands, memory, _within(source.transform, part, valid.shape))
        with (
            memory.open() as file,
            WarpedVRT(
                file,
                src_crs=CRS.from_wkt(source.crs),  # a GeoTIFF can't hold each
                crs=CRS.from_wkt(warp.geobox.crs),
                transform=_within(warp.geobox.transform, place, (rows, cols)),
                height=rows,
                width=cols,
                resampling=Resampling.nearest if shape else Resampling[warp.resampling],
                tolerance=GDAL_TOLERANCE,
                UNIFIED_SRC_NODATA="NO",
                XSCALE=warp.scale,  # or else GDAL takes it anew for each block, and what is averaged over changes there
                YSCALE=warp.scale,
            ) as warped,
        ):
            return np.moveaxis(warped.read(), 0, -1), values.dtype


def _store(bands: npt.NDArray[Any], memory: MemoryFile, transform: Affine) -> None:
    """Write bands `(bands, height, width)` with NaN for no data to a file in memory, without CRS."""
    count, height, width = bands.shape
    place = {"transform": transform, "nodata": math.nan}
    with memory.open(driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **place) as file:
        file.write(bands)


def _within(transform: Affine, place: RasterWindow, shape: tuple[int, int]) -> Affine:
    """The transform of a window of a raster of which every n-th pixel is read."""
    corner = transform @ Affine.translation(place.col_off, place.row_off)
    return corner @ Affine.scale(place.width / shape[1], place.height / shape[0])


def _with_gaps(values: npt.NDArray[Any], valid: Bools) -> npt.NDArray[Any]:
    """Values `(height, width, bands)` as floats that hold them exactly, `(bands, height, width)`; NaN without data."""
    exact = np.result_type(values.dtype, np.float32)
    bands = np.array(np.moveaxis(values, -1, 0), exact, order="C")
    bands[:, ~valid] = np.nan
    return bands


def _without_gaps(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], Bools]:
    """Round floats to a data type, with 0 for no data, and return where all bands are valid."""
    valid: Bools = ~np.isnan(values).any(axis=-1)
    if dtype.kind in "iu":
        values = np.floor(values + 0.5)
    return np.where(valid[..., None], values, 0).astype(dtype), valid


def _source_windows(source: GeoBox, warp: Warp, place: RasterWindow) -> list[RasterWindow]:
    """The windows of the source that are read for one of the other grid.

    One window of at least a pixel; two at both ends of a raster that goes round the Earth, if the seam between them
    lies in the window that is asked for.
    """
    rows, cols = (
        np.linspace(start, start + length, PROBES)
        for start, length in ((place.row_off, place.height), (place.col_off, place.width))
    )
    x, y = _transformed(warp.geobox, source, np.tile(cols, PROBES), np.repeat(rows, PROBES))
    col, row = ~source.transform @ (x, y)
    reach = MARGIN + math.ceil(1 / warp.scale)
    top, bottom = _clipped(row, reach, source.height)
    left, right = _clipped(col, reach, source.width)
    half = (turn(source.crs) or math.inf) / 2
    known = np.isfinite(x) & np.isfinite(col)
    if not known.any() or np.ptp(x[known]) <= half:
        return [RasterWindow(left, top, right - left, bottom - top)]
    is_end = known & (col > source.width / 2)
    start, _ = _clipped(col[is_end], reach, source.width)
    _, end = _clipped(col[known & ~is_end], reach, source.width)
    sides = [(start, source.width), (0, end)] if end < start else [(0, source.width)]
    return [RasterWindow(a, top, b - a, bottom - top) for a, b in sides]


def _clipped(places: Doubles, reach: int, size: int) -> tuple[int, int]:
    """First pixel, and the one after the last, of places along an axis with a margin; at least one pixel."""
    known = places[np.isfinite(places)]
    if not len(known):
        return 0, size
    start = min(max(0, math.floor(known.min()) - reach), size - 1)
    return start, max(start + 1, min(size, math.ceil(known.max()) + reach))


def _transformed(geobox: GeoBox, source: GeoBox, cols: Doubles, rows: Doubles) -> tuple[Doubles, Doubles]:
    """Coordinates of pixels of a grid in the CRS of the source, on its side of 180°; infinite where it has none."""
    places = CRS.from_wkt(geobox.crs), CRS.from_wkt(source.crs)
    try:
        found = rasterio.warp.transform(*places, *(geobox.transform @ (cols, rows)))  # type: ignore[operator] # arrays
    except RasterioError:
        return np.full_like(cols, np.inf), np.full_like(rows, np.inf)
    x, y = map(np.asarray, found)
    middle, _ = source.transform @ (source.width / 2, source.height / 2)
    return near(x, middle, source.crs), y


MAX_ENLARGEMENT = 3.0
"""Largest pixel, in pixel sizes of the model, that is interpolated: interpolation adds no detail."""
SIZE_TOLERANCE = 1.05
"""Factor by which they may be larger on the ground: 30 m of UTM are 30.01 m in mid-zone, an arc second is 30.9 m."""
AVERAGED = 2.0
"""Factor by which pixels become larger from which on values are averaged, as bilinear would skip some."""
MAX_MISFIT = 0.5
"""Largest distance in pixels of a control point from the grid that fits all of them best."""


def find_warp(file: Any, path: str, card: ModelCard) -> tuple[Warp | None, str]:
    """Find the warp of a scene to a grid that suits a model.

    The grid is north-up, has the model's resolution, and its lines are at multiples of that. It is in the scene's own
    CRS where that is true to the ground, else in the UTM zone of the scene's middle.

    Args:
        file: The scene as an open rasterio dataset.
        path: Name of the scene, for messages.
        card: Card of the model.

    Returns:
        The warp, or None if the scene's own grid suits; and a text that says what is done, or why nothing is.

    Raises:
        GeoreferenceError: It has no place on the ground, lies beyond UTM, or has far too large pixels.
    """
    geobox, metres = geobox_of(file), card.resolution
    points = _by_points(file, path) if file.gcps[0] and misplaced(geobox) else None
    geobox = points or geobox
    if problem := misplaced(geobox):
        raise GeoreferenceError(f"{path}: can't be warped: {problem[0]}")
    assert geobox.crs is not None
    own = f"{'control points in ' if points else ''}{crs_name(geobox.crs)}, {_sides(geobox)}"
    is_true, size = _is_true(geobox), ground_pixel_size(geobox)
    if is_true and not points and has_model_pixels(geobox, metres):
        return None, f"not needed: {own}"
    _check_enlargement(geobox, metres, path)
    target = CRS.from_wkt(geobox.crs) if is_true else _utm(geobox, path)
    resampling: Literal["bilinear", "average"] = "average" if metres >= AVERAGED * size else "bilinear"
    warp = Warp(
        geobox=_around(geobox, target, metres),
        resampling=resampling,
        source=points,
        pixel_sides=ground_pixel_sides(geobox),
        scale=min(1.0, size / metres),
    )
    return warp, f"from {own} to {crs_name(target.to_wkt())}, {metres:g} m, {resampling}"


def _by_points(file: Any, path: str) -> GeoBox:
    """The grid that fits the control points of a file."""
    points, crs = file.gcps
    # All on one side of 180 degrees, where some may be written to lie on the other.
    x = near([point.x for point in points], points[0].x, crs.to_wkt()).tolist()
    points = [GroundControlPoint(p.row, p.col, east, p.y, p.z) for p, east in zip(points, x, strict=True)]
    transform = from_gcps(points)
    to_pixels = ~transform
    off = max(math.dist(to_pixels @ (point.x, point.y), (point.col, point.row)) for point in points)
    if off > MAX_MISFIT:
        raise GeoreferenceError(
            f"{path}: can't be warped: expected control points on an even grid. Received: some that are {off:.1f} "
            "pixels off the best one. Georeference it first (gdalwarp -tps)"
        )
    return GeoBox(file.height, file.width, transform, crs.to_wkt())


def _around(geobox: GeoBox, target: CRS, metres: float) -> GeoBox:
    """A north-up grid in a CRS that covers another grid, aligned to multiples of its pixel size."""
    geobox = unbroken(geobox)
    crs, size = CRS.from_wkt(geobox.crs), (geobox.width, geobox.height)
    found = calculate_default_transform(crs, target, *size, *geobox.bounds, resolution=metres)
    transform, width, height = aligned_target(*found, metres)
    return GeoBox(height, width, transform, target.to_wkt())


def is_too_coarse(geobox: GeoBox, metres: float) -> bool:
    """Whether pixels are too large on the ground to be interpolated to a pixel size in metres."""
    return max(ground_pixel_sides(geobox)) > MAX_ENLARGEMENT * SIZE_TOLERANCE * metres


def can_be_warped(geobox: GeoBox) -> bool:
    """Whether `find_warp` knows a projection for a grid that has a place on the ground."""
    return _is_true(geobox) or _utm_zone(geobox)[0] is not None


def _check_enlargement(geobox: GeoBox, metres: float, path: str) -> None:
    if is_too_coarse(geobox, metres):
        sides = ground_pixel_sides(geobox)
        side = "" if are_square(sides) else "the longer side "
        raise GeoreferenceError(
            f"{path}: its pixels are about {sides_text(sides)} m, {side}{max(sides) / metres:.3g} times the model's "
            f"{metres:g} m: expected at most {MAX_ENLARGEMENT:g} times, as interpolation shows nothing that they do "
            "not hold. Get finer ones"
        )


def _is_true(geobox: GeoBox) -> bool:
    """Whether the CRS's metres are metres on the ground, within 1 %."""
    crs = CRS.from_wkt(geobox.crs or "")
    metres = crs.is_projected and crs.linear_units_factor[1] == 1
    return metres and abs(math.sqrt(math.prod(pixel_sides(geobox))) / ground_pixel_size(geobox) - 1) < 0.01


def _utm(geobox: GeoBox, path: str) -> CRS:
    """CRS of the UTM zone of a grid's middle."""
    zone, (lon, lat) = _utm_zone(geobox)
    if zone is None:
        raise GeoreferenceError(
            f"{path}: can't be warped: expected a place in one of UTM's zones. Received: longitude {lon:.4g}, latitude "
            f"{lat:.4g}. Warp it to a projection that suits (gdalwarp -t_srs)"
        )
    return zone


def _utm_zone(geobox: GeoBox) -> tuple[CRS | None, tuple[float, float]]:
    """CRS of the UTM zone of a grid's middle, None beyond all zones, and the middle's longitude and latitude."""
    from pyproj import Transformer
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    to_degrees = Transformer.from_crs(geobox.crs or "", degrees(), always_xy=True)
    lon, lat = to_degrees.transform(*(geobox.transform @ (geobox.width / 2, geobox.height / 2)))
    lon = float(near(lon, 0, degrees()))
    zones = query_utm_crs_info("WGS 84", AreaOfInterest(lon, lat, lon, lat))
    return CRS.from_epsg(zones[0].code) if zones else None, (lon, lat)


def _sides(geobox: GeoBox) -> str:
    sides = ground_pixel_sides(geobox)
    return f"{sides[0]:.3g} x {sides[1]:.3g} m on the ground"
