"""An area of interest: polygons of a vector file, outside of which a scene is not mapped.

Its polygons are kept in pixels of the scene, at multiples of 1/4096: so a window's share of them can be drawn with the
window's corner as origin, and is exactly that part of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import geometry_mask

from landmap.errors import SceneError
from landmap.geo.geobox import GeoBox, bounds_text, crs_name
from landmap.geo.longitudes import as_written, boxes_in
from landmap.geo.outlines import outlines
from landmap.io.remote import name_of, redacted
from landmap.io.vectors import read_shapes
from landmap.left_out import OUTSIDE, Reasons
from landmap.scene.mask_layers import Thin
from landmap.scene.masks import Mask
from landmap.tiling import Window
from landmap_models.arrays import Bools

PRECISION = 1 / 4096
"""Share of a pixel to which corners of polygons are rounded: millimetres."""

_DRAWING = Lock()
"""Lets one thread draw at a time: rasterio suppresses a warning meanwhile, which is not safe in several threads."""


@dataclass(frozen=True, slots=True)
class AreaOfInterest(Mask):
    """Polygons on a scene's grid. Small and picklable, unless the polygons have very many corners."""

    wkb: bytes
    """Polygons as one MultiPolygon, x in columns and y in rows of the scene."""
    option: str = field(default="aoi", kw_only=True)
    """See `Mask.option`."""

    @property
    def masks_input(self) -> bool:
        """False: the land outside is like that inside, and helps to classify what lies at the border."""
        return False

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why pixels are left out."""
        return (OUTSIDE,)

    def reason_numbers(self, window: Window) -> Reasons:
        """1 where the middle of a pixel lies outside, else 0, `(height, width)`."""
        return (~self.usable(window)).astype(np.uint8)

    def reason_numbers_thinned(self, thin: Thin) -> Reasons:
        """The same of every n-th pixel of the whole scene."""
        return (~self.usable(thin.window, thin.shape)).astype(np.uint8)

    def usable(self, window: Window, shape: tuple[int, int] | None = None) -> Bools:
        """Pixels whose middle lies inside, `(height, width)`; with a shape, of as many larger pixels."""
        near, (rows, cols) = _touching(self.wkb, window), shape or window.shape
        if not len(near):
            return np.zeros((rows, cols), np.bool_)
        place = Affine.translation(window.col_off, window.row_off)
        place @= Affine.scale(window.width / cols, window.height / rows)
        with _DRAWING:
            return np.asarray(geometry_mask(near, (rows, cols), place, invert=True), np.bool_)

    def excludes(self, window: Window) -> bool:
        """Whether no polygon touches a window."""
        return not len(_touching(self.wkb, window))


def read_area(path: str, geobox: GeoBox, scene: str, layer: str | None = None) -> AreaOfInterest:
    """Read polygons and transform them to pixels of a scene.

    Args:
        path: Any vector file that GeoPandas reads, in any CRS.
        geobox: Where the scene lies.
        scene: Name of the scene, for messages.
        layer: Name of the file's layer; None if it has one layer of polygons.

    Raises:
        SceneError: The file can't be read, has no polygons or no CRS, or does not touch the scene.
    """
    import shapely

    if geobox.crs is None:
        raise SceneError(f"{scene}: expected a CRS, to place the area of interest {redacted(path)}. The scene has none")
    polygons = _polygons_of(path, layer)
    try:
        found = outlines(polygons.to_numpy(), polygons.crs.to_wkt(), geobox)
    except RuntimeError as error:  # pyproj's own
        raise SceneError(f"{redacted(path)}: can't be brought to the CRS of {scene}: {error}") from error
    pixels = shapely.transform(found.shapes, lambda corners: np.stack((~geobox.transform) @ corners.T, axis=1))
    pixels = shapely.set_precision(shapely.make_valid(pixels), PRECISION)
    if found.joined:  # or else pixels could be lost between two parts that meet at 180 degrees
        pixels = np.array([shapely.union_all(pixels, grid_size=PRECISION)])
    if not shapely.intersects(pixels, shapely.box(0, 0, geobox.width, geobox.height)).any():
        raise _elsewhere(polygons, geobox, path)
    parts = [part for part in shapely.get_parts(shapely.get_parts(pixels)) if part.geom_type == "Polygon"]
    number = f"{len(polygons)} polygon{'s' * (len(polygons) > 1)}"
    where = f"{name_of(path)}{f' (layer {layer})' if layer else ''}"
    warnings = tuple(f"{redacted(path)}: {words}" for words in found.warnings)
    return AreaOfInterest(
        shapely.to_wkb(shapely.MultiPolygon(parts)), text=f"outside of {where}, {number}", warnings=warnings
    )


def _polygons_of(path: str, layer: str | None) -> Any:
    """The polygons of a file as a GeoSeries of single polygons."""
    shapes = read_shapes(path, layer, option="--aoi-layer", kinds=("Polygon",), error=SceneError).geometry
    if shapes.crs is None:
        raise SceneError(
            f"{redacted(path)}: expected a vector file with a CRS. Received: none. Give it one (ogr2ogr -a_srs)"
        )
    shapes = shapes[~(shapes.isna() | shapes.is_empty)].explode(ignore_index=True)
    kinds = sorted(shapes.geom_type.unique())
    if kinds != ["Polygon"]:
        raise SceneError(
            f"{path}: expected polygons, as an area of interest. Received: {', '.join(kinds) or 'nothing'}"
        )
    return shapes


def _elsewhere(polygons: Any, geobox: GeoBox, path: str) -> SceneError:
    crs = polygons.crs.to_wkt()
    there = [bounds_text(*as_written(box, crs)) for box in boxes_in(geobox.bounds, geobox.crs or "", crs)]
    return SceneError(
        f"{redacted(path)}: expected an area that touches the scene. It lies at {bounds_text(*polygons.total_bounds)}, "
        f"the scene at {' and '.join(there) or 'no place that is known there'} (in {crs_name(crs)})"
    )


@lru_cache(maxsize=4)
def _polygons(wkb: bytes) -> Any:
    import shapely

    return shapely.get_parts(shapely.from_wkb(wkb))


def _touching(wkb: bytes, window: Window) -> Any:
    """The polygons that touch a window."""
    import shapely

    polygons, (height, width) = _polygons(wkb), window.shape
    box = shapely.box(window.col_off, window.row_off, window.col_off + width, window.row_off + height)
    return polygons[shapely.intersects(polygons, box)]
