"""Which grid suits a model, where a scene's own does not."""

from __future__ import annotations

import math
from typing import Any, Literal

from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_gcps
from rasterio.warp import aligned_target, calculate_default_transform

from landmap.errors import GeoreferenceError
from landmap.ground import (
    Grounded,
    RasterGrid,
    are_square,
    bounds,
    crs_name,
    ground_pixel_sides,
    ground_pixel_size,
    has_model_pixels,
    misplaced,
    pixel_sides,
    raster_grid,
    shown_sides,
)
from landmap.longitudes import degrees, near, unbroken
from landmap.warp import Warp
from landmap_models.card import ModelCard

MAX_ENLARGEMENT = 3.0
"""Pixels of more than so many times the model's size are refused: no interpolation shows what they do not hold."""
TOLERANCE = 1.05
"""They may be so much larger on the ground: 30 m of UTM are 30.01 m in the middle of a zone, an arc second 30.9 m."""
AVERAGED = 2.0
"""Where pixels become this much larger their values are averaged; bilinear would skip some."""
MAX_MISFIT = 0.5
"""Pixels by which a control point may be off the grid that fits all of them best."""


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
    grid, metres = raster_grid(file), card.resolution
    points = _by_points(file, path) if file.gcps[0] and misplaced(grid) else None
    grid = points or grid
    if problem := misplaced(grid):
        raise GeoreferenceError(f"{path}: can't be warped: {problem[0]}")
    assert grid.crs is not None
    own = f"{'control points in ' if points else ''}{crs_name(grid.crs)}, {_sides(grid)}"
    is_true, size = _is_true(grid), ground_pixel_size(grid)
    if is_true and not points and has_model_pixels(grid, metres):
        return None, f"not needed: {own}"
    _check_enlargement(grid, metres, path)
    target = CRS.from_wkt(grid.crs) if is_true else _utm(grid, path)
    resampling: Literal["bilinear", "average"] = "average" if metres >= AVERAGED * size else "bilinear"
    warp = Warp(
        grid=_around(grid, target, metres),
        resampling=resampling,
        source=points,
        pixel_sides=ground_pixel_sides(grid),
        scale=min(1.0, size / metres),
    )
    return warp, f"from {own} to {crs_name(target.to_wkt())}, {metres:g} m, {resampling}"


def _by_points(file: Any, path: str) -> RasterGrid:
    """The grid that a file's control points lie on."""
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
    return RasterGrid(file.height, file.width, transform, crs.to_wkt())


def _around(grid: RasterGrid, target: CRS, metres: float) -> RasterGrid:
    """A north-up grid in a CRS that covers another one; its lines are at multiples of the size of its pixels."""
    grid = unbroken(grid)
    crs, size = CRS.from_wkt(grid.crs), (grid.width, grid.height)
    found = calculate_default_transform(crs, target, *size, *bounds(grid), resolution=metres)
    transform, width, height = aligned_target(*found, metres)
    return RasterGrid(height, width, transform, target.to_wkt())


def is_too_coarse(grid: Grounded, metres: float) -> bool:
    """Whether pixels are too wide or too high on the ground to be interpolated to a model's, of so many metres."""
    return max(ground_pixel_sides(grid)) > MAX_ENLARGEMENT * TOLERANCE * metres


def can_be_warped(grid: Grounded) -> bool:
    """Whether there is a projection to which `find_warp` brings a grid that has a place on the ground."""
    return _is_true(grid) or _utm_zone(grid)[0] is not None


def _check_enlargement(grid: RasterGrid, metres: float, path: str) -> None:
    if is_too_coarse(grid, metres):
        sides = ground_pixel_sides(grid)
        side = "" if are_square(sides) else "the longer side "
        raise GeoreferenceError(
            f"{path}: its pixels are about {shown_sides(sides)} m, {side}{max(sides) / metres:.3g} times the model's "
            f"{metres:g} m: expected at most {MAX_ENLARGEMENT:g} times, as interpolation shows nothing that they do "
            "not hold. Get finer ones"
        )


def _is_true(grid: Grounded) -> bool:
    """Whether the CRS's metres are metres on the ground, within 1 %."""
    crs = CRS.from_wkt(grid.crs or "")
    metres = crs.is_projected and crs.linear_units_factor[1] == 1
    return metres and abs(math.sqrt(math.prod(pixel_sides(grid))) / ground_pixel_size(grid) - 1) < 0.01


def _utm(grid: RasterGrid, path: str) -> CRS:
    """The UTM zone of a grid's middle."""
    zone, (lon, lat) = _utm_zone(grid)
    if zone is None:
        raise GeoreferenceError(
            f"{path}: can't be warped: expected a place in one of UTM's zones. Received: longitude {lon:.4g}, latitude "
            f"{lat:.4g}. Warp it to a projection that suits (gdalwarp -t_srs)"
        )
    return zone


def _utm_zone(grid: Grounded) -> tuple[CRS | None, tuple[float, float]]:
    """The UTM zone of a grid's middle, None beyond all zones; and the middle's longitude and latitude."""
    from pyproj import Transformer
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    to_degrees = Transformer.from_crs(grid.crs or "", degrees(), always_xy=True)
    lon, lat = to_degrees.transform(*(grid.transform @ (grid.width / 2, grid.height / 2)))
    lon = float(near(lon, 0, degrees()))
    zones = query_utm_crs_info("WGS 84", AreaOfInterest(lon, lat, lon, lat))
    return CRS.from_epsg(zones[0].code) if zones else None, (lon, lat)


def _sides(grid: RasterGrid) -> str:
    sides = ground_pixel_sides(grid)
    return f"{sides[0]:.3g} x {sides[1]:.3g} m on the ground"
