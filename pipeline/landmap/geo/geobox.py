"""Where a raster lies: its geobox, the size of its pixels on the ground, the direction of north."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine

from landmap.tiling import Window

NORTHWARD = 1e-4
"""Degrees of latitude, about ten metres: the step by which the direction of north is found."""
LIKE_THE_MODELS = 0.8, 1.25
"""Smallest and largest pixel on the ground, in sizes of the model's, that the model takes as its own."""


@dataclass(frozen=True, slots=True)
class GeoBox:
    """The place of a raster: how many pixels it has, and which coordinates they have in which CRS."""

    height: int
    """Number of rows."""
    width: int
    """Number of columns."""
    transform: Affine
    """Maps (column, row) of a pixel's upper left corner to CRS coordinates (x, y)."""
    crs: str | None
    """Coordinate reference system as WKT; None where the raster has none."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of its corners, in CRS units."""
        corners = [self.transform @ (x, y) for x in (0, self.width) for y in (0, self.height)]
        (west, *_, east), (south, *_, north) = (sorted(corner[i] for corner in corners) for i in (0, 1))
        return west, south, east, north

    def crop(self, window: Window) -> GeoBox:
        """The part of it that a window covers."""
        corner = Affine.translation(window.col_off, window.row_off)
        return GeoBox(window.height, window.width, self.transform @ corner, self.crs)


def geobox_of(file: Any) -> GeoBox:
    """The geobox of an open rasterio dataset."""
    return GeoBox(file.height, file.width, file.transform, file.crs.to_wkt() if file.crs else None)


def misplaced(geobox: GeoBox) -> list[str]:
    """Explain why a raster has no place on the ground and what to do about it; empty if it has one."""
    if geobox.crs is None:
        return [
            "expected a coordinate reference system (CRS), found none: give it one (gdal_edit -a_srs EPSG:…), or "
            "--warp auto where it has control points"
        ]
    if geobox.transform == Affine.identity():
        return [
            "expected a geotransform, found none or only control points: georeference it (gdalwarp), or give "
            "--warp auto where it has control points"
        ]
    if not geobox.transform.determinant:
        return [f"expected a geotransform, found one of pixels without area ({_numbers(geobox)}): georeference it anew"]
    if not math.isfinite(ground_pixel_size(geobox)):
        return [
            f"expected a place on the Earth; its CRS and geotransform ({_numbers(geobox)}) give none: "
            "correct them (gdal_edit)"
        ]
    return []


def _numbers(geobox: GeoBox) -> str:
    return ", ".join(f"{number:.10g}" for number in geobox.transform[:6])


def pixel_sides(geobox: GeoBox) -> tuple[float, float]:
    """Width and height of a pixel in metres by the CRS.

    For a geographic CRS both are the side of a square with the area of a pixel on the ellipsoid: a pixel that is square
    in degrees is not square on the ground.
    """
    from pyproj import CRS

    crs = CRS.from_wkt(geobox.crs or "")
    if not crs.is_projected:
        return (ground_pixel_size(geobox),) * 2
    unit, t = crs.axis_info[0].unit_conversion_factor, geobox.transform
    # The area decides, not the sides alone: a sheared pixel is thinner than its sides are long.
    width = math.hypot(t.a, t.d)
    return float(unit * width), float(unit * abs(t.determinant) / width)


def ground_pixel_size(geobox: GeoBox) -> float:
    """Side in metres of a square with the area of the raster's middle pixel; NaN where that is not on the Earth."""
    return math.sqrt(math.prod(ground_pixel_sides(geobox)))


def ground_pixel_sides(geobox: GeoBox) -> tuple[float, float]:
    """Width and height in metres of the raster's middle pixel on the ellipsoid.

    NaN where that is nowhere on the Earth: in a local CRS, or at coordinates that its projection does not know.
    """
    from pyproj import CRS, Geod, Transformer

    crs = CRS.from_wkt(geobox.crs or "")
    if crs.geodetic_crs is None:
        return math.nan, math.nan
    geod = crs.get_geod() or Geod(ellps="WGS84")
    row, col = geobox.height / 2, geobox.width / 2
    ends = [geobox.transform @ (col + i, row + j) for i, j in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))]
    to_degrees = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = to_degrees.transform([x for x, _ in ends], [y for _, y in ends])
    if not all(abs(degrees) <= 90 for degrees in lat):  # infinite where the projection does not know the place
        return math.nan, math.nan
    return geod.line_length(lon[:2], lat[:2]), geod.line_length(lon[2:], lat[2:])


def are_square(sides: tuple[float, float]) -> bool:
    """Whether width and height of a pixel are equal within 1 %."""
    return math.isclose(*sides, rel_tol=0.01)


def sides_text(sides: tuple[float, float]) -> str:
    """Width and height of a pixel as a text without unit: "20" for a square, else "10 x 30"."""
    return f"{sides[0]:.3g}" if are_square(sides) else f"{sides[0]:.3g} x {sides[1]:.3g}"


def has_model_pixels(geobox: GeoBox, resolution: float) -> bool:
    """Whether width and height of a pixel on the ground are about the model's pixel size.

    Args:
        geobox: Where the raster lies.
        resolution: Pixel size of the model in metres.
    """
    low, high = LIKE_THE_MODELS
    return all(low <= side / resolution <= high for side in ground_pixel_sides(geobox))


def crs_name(wkt: str) -> str:
    """The code of a coordinate reference system, such as "EPSG:32633", or its name if it has none."""
    from pyproj import CRS

    crs = CRS.from_wkt(wkt)
    code = crs.to_authority(min_confidence=70)
    return ":".join(code) if code else crs.name


def place_text(geobox: GeoBox) -> str:
    """Where a raster lies, as the end of a sentence: "lies at 500000 to 509600, … in EPSG:32633"."""
    return f"lies at {bounds_text(*geobox.bounds)} in {crs_name(geobox.crs) if geobox.crs else 'an unknown CRS'}"


def bounds_text(west: float, south: float, east: float, north: float) -> str:
    """Bounds as a text: west to east, south to north."""
    return f"{west:.10g} to {east:.10g}, {south:.10g} to {north:.10g}"


def north(geobox: GeoBox) -> tuple[float, float] | None:
    """Direction of true north in the middle of a raster, as a step of length 1: right and down in pixels.

    None where the raster has no place on the Earth. Grid north is up to 3 degrees off true north in UTM, and more near
    a pole.
    """
    from pyproj import CRS, Transformer

    if misplaced(geobox):
        return None
    crs = CRS.from_wkt(geobox.crs or "")
    to_degrees = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    middle = geobox.width / 2, geobox.height / 2
    lon, lat = to_degrees.transform(*(geobox.transform @ middle))
    # Both ends of the step are brought back: beyond 180 degrees the middle comes back elsewhere.
    ends = to_degrees.transform([lon, lon], [lat, lat + NORTHWARD], direction="INVERSE")
    (col, end_col), (row, end_row) = ~geobox.transform @ (np.asarray(ends[0]), np.asarray(ends[1]))
    right, down = end_col - col, end_row - row
    length = math.hypot(right, down)
    return (right / length, down / length) if 0 < length < math.inf else None
