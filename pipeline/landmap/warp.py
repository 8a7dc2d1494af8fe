"""A raster on another grid: which one suits a model, and the raster as it looks there.

Nothing is written: GDAL warps what is read, in blocks of one fixed size, so that a pixel does not depend on the
rectangle that it is read in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError
from rasterio.vrt import WarpedVRT
from rasterio.warp import aligned_target, calculate_default_transform

from landmap.errors import GeoreferenceError
from landmap.ground import (
    Grounded,
    RasterGrid,
    crs_name,
    ground_pixel_sides,
    ground_pixel_size,
    has_model_pixels,
    misplaced,
    pixel_sides,
    raster_grid,
)
from landmap_models.card import ModelCard

MAX_ENLARGEMENT = 3.0
"""Pixels of more than so many times the model's size are refused: no interpolation shows what they do not hold."""
AVERAGED = 2.0
"""Where pixels become this much larger their values are averaged; bilinear would skip some."""
BLOCK_SHAPE = 128, 512
"""Rows and columns that GDAL warps together, unless the raster is smaller."""
TOLERANCE = 0.01
"""Pixels by which GDAL may misplace one."""


@dataclass(frozen=True, slots=True)
class Warp:
    """To which grid a raster is brought, and how."""

    grid: RasterGrid
    """Where its pixels come to lie."""
    resampling: Literal["nearest", "bilinear", "average"]
    """How values between pixels are found; those without data are never mixed in."""
    blank: float | None = None
    """What stands for no data where every band has it, in a file that declares none."""
    pixel_size: float = math.nan
    """Side in metres that a pixel had before, about."""

    def over(self, file: Any) -> WarpedVRT:
        """An open file as it looks on the grid.

        Where the file has a nodata value, so has this, band by band; otherwise it has an alpha band.
        """
        if file.nodata is not None:
            nodata: dict[str, Any] = {"UNIFIED_SRC_NODATA": "NO"}
        else:
            has_alpha = ColorInterp.alpha in file.colorinterp
            nodata = {"src_nodata": self.blank, "nodata": None, "add_alpha": not has_alpha}
        return WarpedVRT(
            file,
            crs=CRS.from_wkt(self.grid.crs),
            transform=self.grid.transform,
            height=self.grid.height,
            width=self.grid.width,
            resampling=Resampling[self.resampling],
            tolerance=TOLERANCE,
            **nodata,
        )


def find_warp(file: Any, path: str, card: ModelCard) -> tuple[Warp | None, str]:
    """How a scene is brought to a grid that suits a model.

    The grid is north-up, has the model's resolution, and its lines are at multiples of that. It is in the scene's own
    CRS where that is true to the ground, else in the UTM zone of the scene's middle.

    Args:
        file: The scene, open.
        path: Its name, for messages.
        card: The model's.

    Returns:
        None where its own grid suits; and what is done, or why nothing is, in words.

    Raises:
        GeoreferenceError: It has no place on the ground, lies beyond UTM, or has far too large pixels.
    """
    points, points_crs = file.gcps
    grid, metres = raster_grid(file), card.resolution
    if points and (grid.crs is None or grid.transform == Affine.identity()):
        source: dict[str, Any] = {"gcps": points}
        crs, own = points_crs, f"control points in {crs_name(points_crs.to_wkt())}"
        target = _utm(*_middle([(point.x, point.y) for point in points], crs), path)
    else:
        if problem := misplaced(grid):
            raise GeoreferenceError(f"{path}: can't be warped: {problem[0]}")
        source = dict(zip(("left", "bottom", "right", "top"), file.bounds, strict=True))
        crs, own = file.crs, f"{crs_name(file.crs.to_wkt())}, {_size(grid)}"
        if crs.is_projected and has_model_pixels(grid, metres):
            return None, f"not needed: {own}"
        target = crs if _is_true(grid) else _utm(*_middle([grid.transform @ _center(grid)], crs), path)
    transform, _, _ = calculate_default_transform(crs, target, grid.width, grid.height, **source)
    size = float(transform.a)
    _check_enlargement(size, metres, path)
    place, width, height = calculate_default_transform(
        crs, target, grid.width, grid.height, **source, resolution=metres
    )
    place, width, height = aligned_target(place, width, height, metres)
    resampling: Literal["bilinear", "average"] = "average" if metres >= AVERAGED * size else "bilinear"
    warp = Warp(RasterGrid(height, width, place, target.to_wkt()), resampling, _blank(file), size)
    return warp, f"from {own} to {crs_name(target.to_wkt())}, {metres:g} m, {resampling}"


def onto(grid: Grounded) -> Warp:
    """How a raster of classes or of yes and no is brought to a grid: by the nearest pixel."""
    return Warp(RasterGrid(grid.height, grid.width, grid.transform, grid.crs), "nearest")


def _check_enlargement(size: float, metres: float, path: str) -> None:
    if size > MAX_ENLARGEMENT * metres:
        raise GeoreferenceError(
            f"{path}: its pixels are about {size:.3g} m, {size / metres:.3g} times the model's {metres:g} m: expected "
            f"at most {MAX_ENLARGEMENT:g} times, as interpolation shows nothing that they do not hold. Get finer ones"
        )


def _blank(file: Any) -> float | None:
    """0, Sentinel-2's code for unseen, where a file of several bands says nothing of nodata."""
    silent = all(flags == [MaskFlags.all_valid] for flags in file.mask_flag_enums)
    return 0.0 if silent and file.count > 1 else None


def _is_true(grid: RasterGrid) -> bool:
    """Whether the CRS's metres are metres on the ground, within 1 %."""
    crs = CRS.from_wkt(grid.crs)
    metres = crs.is_projected and crs.linear_units_factor[1] == 1
    return metres and abs(math.sqrt(math.prod(pixel_sides(grid))) / ground_pixel_size(grid) - 1) < 0.01


def _center(grid: RasterGrid) -> tuple[float, float]:
    return grid.width / 2, grid.height / 2


def _middle(places: list[tuple[float, float]], crs: CRS) -> tuple[float, float]:
    """Longitude and latitude in degrees of the middle of places given in a CRS."""
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(crs.to_wkt(), "EPSG:4326", always_xy=True)
    x, y = (sum(values) / len(places) for values in zip(*places, strict=True))
    lon, lat = to_degrees.transform(x, y)
    return lon, lat


def _utm(lon: float, lat: float, path: str) -> CRS:
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    zones = query_utm_crs_info("WGS 84", AreaOfInterest(lon, lat, lon, lat)) if math.isfinite(lon + lat) else []
    if not zones:
        raise GeoreferenceError(
            f"{path}: can't be warped: expected a place in one of UTM's zones. Received: longitude {lon:.4g}, latitude "
            f"{lat:.4g}. Warp it to a projection that suits (gdalwarp -t_srs)"
        )
    try:
        return CRS.from_epsg(zones[0].code)
    except CRSError as error:
        raise GeoreferenceError(f"{path}: can't be warped: {error}") from error


def _size(grid: RasterGrid) -> str:
    sides = ground_pixel_sides(grid)
    return f"{sides[0]:.3g} x {sides[1]:.3g} m on the ground"
