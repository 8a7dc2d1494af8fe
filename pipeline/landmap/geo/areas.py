"""How large the pixels of a raster are on the ground: one answer for all that adds up areas.

Areas are kept as whole numbers of a unit, so that a sum does not depend on the order in which rectangles come, and
tables, polygons and pages of one run agree to the last digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap.geo.geobox import GeoBox, ground_pixel_size, misplaced, pixel_sides
from landmap.tiling import Window
from landmap_models.arrays import Doubles

TRUE_WITHIN = 0.005
"""A projection whose own areas differ by no more than this from those on the ellipsoid is true to the ground.

In UTM that is so throughout a zone and 60 km beyond (at most 0.3 %), and there a pixel of 10 m has the 100 m² that its
coordinates say, as in any GIS."""
BLOCK_METRES = 2000
"""Areas are measured over blocks of about this size, and interpolated linearly in between: right to 1e-7."""
FEWEST_BLOCKS, MOST_BLOCKS = 4, 1024
"""Along either axis: enough for a slope across a small raster, and bearable for one of the whole Earth."""
WHOLE = 2**24
"""Units in the largest pixel, where pixels differ: rounding to whole ones changes an area by less than 1e-7."""


@dataclass(frozen=True, slots=True)
class PixelAreas:
    """Areas of the pixels of one raster."""

    unit: float
    """Hectares in a unit."""
    units: Doubles
    """Units in a pixel at the centre of each block, `(block rows, block columns)`."""
    row_centres: Doubles
    """Where these centres lie, in rows from the upper edge, `(block rows,)`."""
    col_centres: Doubles
    """The same in columns, `(block columns,)`."""
    shared_columns: int
    """So many columns are given one area: less than 150 m, in which it does not change."""

    def of(self, window: Window) -> Doubles:
        """Area of each pixel of a rectangle in whole units, `(height, width)`; not to be written to."""
        rows = _interpolated(self.units, self.row_centres, window.row_off + np.arange(window.height) + 0.5)
        if len(self.col_centres) == 1:
            return np.broadcast_to(np.rint(rows).clip(0), window.shape)
        first, end = window.col_off // self.shared_columns, -(-(window.col_off + window.width) // self.shared_columns)
        middles = (np.arange(first, end) + 0.5) * self.shared_columns
        shared = np.rint(_interpolated(rows.T, self.col_centres, middles).T).clip(0)
        start = window.col_off - first * self.shared_columns
        return np.repeat(shared, self.shared_columns, axis=1)[:, start : start + window.width]

    def hectares(self, units: npt.NDArray[np.number]) -> Doubles:
        """Sums of units as hectares, of any shape."""
        return np.asarray(units * self.unit, np.float64)


def pixel_areas(geobox: GeoBox) -> PixelAreas | None:
    """Areas of a raster's pixels; None where it has no place on the ground.

    Where the CRS is projected and true to the ground (see `TRUE_WITHIN`) on the whole raster, all pixels have the area
    that the CRS says. Elsewhere (degrees, Web Mercator) each has its own, on the CRS's ellipsoid: the same for a row
    where rows follow the parallels.
    """
    from pyproj import CRS

    if misplaced(geobox):
        return None
    measured, rows, cols = _measured_blocks(geobox)
    if CRS.from_wkt(geobox.crs or "").is_projected:
        by_crs = math.prod(pixel_sides(geobox))
        known = measured[np.isfinite(measured)]
        if known.size and np.abs(by_crs / known - 1).max() <= TRUE_WITHIN:
            return PixelAreas(by_crs / 10_000, np.ones((1, 1)), np.zeros(1), np.zeros(1), 1)
    measured = np.nan_to_num(measured, nan=0.0, posinf=0.0)  # what lies nowhere on the Earth has no area
    unit = measured.max() / WHOLE
    shared = max(1, int(geobox.width / len(cols) / 16))
    if np.ptp(measured, axis=1).max() <= 1e-8 * measured.max():
        measured, cols = measured.mean(axis=1, keepdims=True), cols[:1]
    return PixelAreas(unit / 10_000, measured / unit, rows, cols, shared)


def pixel_hectares(geobox: GeoBox) -> float | None:
    """Area of a pixel in the middle of a raster; None where it has no place on the ground."""
    areas = pixel_areas(geobox)
    if areas is None:
        return None
    return float(areas.hectares(areas.of(Window(geobox.height // 2, geobox.width // 2, 1, 1)))[0, 0])


def _measured_blocks(geobox: GeoBox) -> tuple[Doubles, Doubles, Doubles]:
    """Mean area in m2 of the pixels of each block, and where their centres lie, in rows and in columns."""
    rows, cols = (_edges(length, ground_pixel_size(geobox)) for length in (geobox.height, geobox.width))
    points = _on_ellipsoid(geobox, rows, cols)
    # The area of a quadrangle by its diagonals, in space: neither 180° nor a pole is a border there. What lacks for
    # the Earth's curvature is (2 km / 6371 km)² / 24.
    falling, rising = points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:]
    area = np.linalg.norm(np.cross(falling, rising), axis=-1) / 2
    pixels = np.diff(rows)[:, None] * np.diff(cols)
    return area / pixels, (rows[1:] + rows[:-1]) / 2, (cols[1:] + cols[:-1]) / 2


def _edges(length: int, pixel: float) -> Doubles:
    """Where blocks begin and end along an axis, in pixels: not always whole ones."""
    wanted = max(FEWEST_BLOCKS, math.ceil(length * pixel / BLOCK_METRES))
    return np.linspace(0, length, min(wanted, MOST_BLOCKS, length) + 1)


def _on_ellipsoid(geobox: GeoBox, rows: Doubles, cols: Doubles) -> Doubles:
    """Where edges cross, in metres from the Earth's centre, `(rows, columns, 3)`; not finite off the Earth."""
    from pyproj import CRS, Geod, Transformer

    crs = CRS.from_wkt(geobox.crs or "")
    geodetic = crs.geodetic_crs or crs
    geod = crs.get_geod() or Geod(ellps="WGS84")
    t, row, col = geobox.transform, rows[:, None], cols[None, :]
    to_geodetic = Transformer.from_crs(crs, geodetic, always_xy=True)
    lon, lat = to_geodetic.transform(t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f)
    radians = geodetic.axis_info[0].unit_conversion_factor
    lon, lat = (np.where(np.isfinite(angle), angle, np.nan) * radians for angle in (lon, lat))
    normal = geod.a / np.sqrt(1 - geod.es * np.sin(lat) ** 2)
    flat = normal * np.cos(lat)
    return np.stack([flat * np.cos(lon), flat * np.sin(lon), normal * (1 - geod.es) * np.sin(lat)], axis=-1)


def _interpolated(values: Doubles, centres: Doubles, at: npt.NDArray[np.floating]) -> Doubles:
    """Values between, and in a straight line beyond, those at centres along the first axis."""
    if len(centres) == 1:
        return np.broadcast_to(values, (len(at), *values.shape[1:]))
    below = np.clip(np.searchsorted(centres, at) - 1, 0, len(centres) - 2)
    share = ((at - centres[below]) / (centres[below + 1] - centres[below]))[:, None]
    return np.asarray(values[below] * (1 - share) + values[below + 1] * share)
