"""Areas of the pixels of a raster on the ground, for everything that adds up areas.

Areas are whole numbers of a unit, so that a sum does not depend on the order of windows, and tables, polygons and pages
of one run agree to the last digit.
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
"""Share by which a projection's areas may differ from those on the ellipsoid and still be used as they are.

In UTM that is so throughout a zone and 60 km beyond (at most 0.3 %), and there a pixel of 10 m has the 100 m² that its
coordinates say, as in any GIS."""
BLOCK_METRES = 2000
"""Side in metres of the blocks whose areas are measured; between them areas are interpolated, exact to 1e-7."""
FEWEST_BLOCKS, MOST_BLOCKS = 4, 1024
"""Number of blocks along either axis: enough for a small raster, not too many for one of the whole Earth."""
WHOLE = 2**24
"""Units in the largest pixel, if pixels differ: rounding to whole units changes an area by less than 1e-7."""


@dataclass(frozen=True, slots=True)
class PixelAreas:
    """Areas of the pixels of one raster."""

    unit: float
    """Hectares in a unit."""
    units: Doubles
    """Units in a pixel at the centre of each block, `(block rows, block columns)`."""
    row_centres: Doubles
    """Positions of these centres in rows from the upper edge, `(block rows,)`."""
    col_centres: Doubles
    """Positions of these centres in columns from the left edge, `(block columns,)`."""
    shared_columns: int
    """Number of neighbouring columns that share one area: less than 150 m, over which it does not change."""

    def of(self, window: Window) -> Doubles:
        """Area of each pixel of a window in whole units, `(height, width)`, as a read-only array."""
        rows = _interpolated(self.units, self.row_centres, window.row_off + np.arange(window.height) + 0.5)
        if len(self.col_centres) == 1:
            return np.broadcast_to(np.rint(rows).clip(0), window.shape)
        first, end = window.col_off // self.shared_columns, -(-(window.col_off + window.width) // self.shared_columns)
        middles = (np.arange(first, end) + 0.5) * self.shared_columns
        shared = np.rint(_interpolated(rows.T, self.col_centres, middles).T).clip(0)
        start = window.col_off - first * self.shared_columns
        return np.repeat(shared, self.shared_columns, axis=1)[:, start : start + window.width]

    def hectares(self, units: npt.NDArray[np.number]) -> Doubles:
        """Convert sums of units, an array of any shape, to hectares."""
        return np.asarray(units * self.unit, np.float64)


def pixel_areas(geobox: GeoBox) -> PixelAreas | None:
    """Measure the pixels of a raster; None if it has no place on the ground.

    If the CRS is projected and its areas are true within `TRUE_WITHIN` on the whole raster, all pixels have the area
    that the CRS gives. Otherwise (degrees, Web Mercator) each has its own area on the CRS's ellipsoid, the same in a
    row if rows follow the parallels.
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
    """Area of a raster's middle pixel in hectares; None if it has no place on the ground."""
    areas = pixel_areas(geobox)
    if areas is None:
        return None
    return float(areas.hectares(areas.of(Window(geobox.height // 2, geobox.width // 2, 1, 1)))[0, 0])


def _measured_blocks(geobox: GeoBox) -> tuple[Doubles, Doubles, Doubles]:
    """Mean pixel area of each block in m², `(block rows, block columns)`, and its centre in rows and columns."""
    rows, cols = (_edges(length, ground_pixel_size(geobox)) for length in (geobox.height, geobox.width))
    points = _on_ellipsoid(geobox, rows, cols)
    # The area of a quadrangle by its diagonals, in space: neither 180° nor a pole is a border there. What lacks for
    # the Earth's curvature is (2 km / 6371 km)² / 24.
    falling, rising = points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:]
    area = np.linalg.norm(np.cross(falling, rising), axis=-1) / 2
    pixels = np.diff(rows)[:, None] * np.diff(cols)
    return area / pixels, (rows[1:] + rows[:-1]) / 2, (cols[1:] + cols[:-1]) / 2


def _edges(length: int, pixel: float) -> Doubles:
    """Edges of the blocks along an axis, in pixels, not always whole."""
    wanted = max(FEWEST_BLOCKS, math.ceil(length * pixel / BLOCK_METRES))
    return np.linspace(0, length, min(wanted, MOST_BLOCKS, length) + 1)


def _on_ellipsoid(geobox: GeoBox, rows: Doubles, cols: Doubles) -> Doubles:
    """Corners of the blocks in metres from the Earth's centre, `(rows, columns, 3)`; not finite off the Earth."""
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
    """Values at positions along the first axis, linear between the centres and beyond them."""
    if len(centres) == 1:
        return np.broadcast_to(values, (len(at), *values.shape[1:]))
    below = np.clip(np.searchsorted(centres, at) - 1, 0, len(centres) - 2)
    share = ((at - centres[below]) / (centres[below + 1] - centres[below]))[:, None]
    return np.asarray(values[below] * (1 - share) + values[below + 1] * share)
