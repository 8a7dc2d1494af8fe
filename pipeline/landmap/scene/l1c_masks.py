"""The cloud masks of L1C products: rasters of flags (MSK_CLASSI) since processing baseline 04.00, polygons before.

The polygons (MSK_CLOUDS) are GML in metres of the product's CRS. Python's own XML parser reads them, as GDAL's driver
writes a file of its own beside each GML that it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import numpy as np

from landmap.errors import ReadError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.geo.longitudes import coordinates
from landmap.io.remote import name_of, redacted
from landmap.left_out import NOT_CLASSIFIED, Reasons
from landmap.products.product import SCL
from landmap.scene.aoi import PRECISION, AreaOfInterest
from landmap.scene.clouds import pixels_counted
from landmap.scene.mask_layers import Layer, Thin, thinned_layers
from landmap.scene.masks import Mask, MaskHeader, RasterMask, Rule, raster_on
from landmap.scene.source import Source
from landmap.tiling import Window
from landmap_models.arrays import Doubles

FLAGS: Mapping[str, tuple[int, ...]] = {
    "cloud": (0, 1),
    "cloud_medium": (0,),
    "cloud_high": (0,),
    "cirrus": (1,),
    "snow": (2,),
}
"""Bands of MSK_CLASSI, from 0 (opaque cloud, cirrus, snow), by the names in `SCL_CLASSES` that they stand for."""
FLAG_REASONS = ("cloud", "cloud", "snow")
"""The reason for which a pixel with a flag in each of these bands gets no class."""
POLYGON_TYPES: Mapping[str, tuple[str, ...]] = {
    "cloud": ("OPAQUE", "CIRRUS"),
    "cloud_medium": ("OPAQUE",),
    "cloud_high": ("OPAQUE",),
    "cirrus": ("CIRRUS",),
}
"""Types of polygons in MSK_CLOUDS by the names in `SCL_CLASSES` that they stand for."""
EDGE = 60.0
"""Metres: an edge that is brought to another CRS gets a corner at least this often. The masks are drawn at 60 m."""
TIMEOUT = 30
"""Seconds within which a server has to answer."""
IN_ZIP = re.compile(r"/vsizip/\{(.+?)\}/(.+)")


def find(path: str, scene: Source, header: MaskHeader | None) -> Flags | Polygons | None:
    """The cloud mask of an L1C product in a file, by its name or by three bands of 0 and 1; None if it is none.

    Args:
        path: File, URL or GDAL /vsi path.
        scene: The scene, on whose grid the mask is read.
        header: What the raster says of itself; None for a file of polygons.

    Raises:
        SceneError: The file can't be read, lies elsewhere, or scene or mask have no CRS.
    """
    if header is None:
        return _read_polygons(path, scene.geobox)
    if SCL in header.names:
        return None
    if has_word(name_of(path), "CLASSI") or (header.count == 3 and are_flags(path, scene)):
        return _read_flags(path, scene, header)
    return None


def has_word(name: str, word: str) -> bool:
    """Whether a file's name holds a word in capitals, set off by anything but letters and digits."""
    return word in re.split(r"[^0-9A-Z]+", name.upper())


def are_flags(path: str, scene: Source) -> bool:
    """Whether three bands hold only 0 and 1, and are not all the same, by every n-th pixel.

    If nothing is flagged, all three are 0, as those of a clear scene.
    """
    values, _, _ = thinned_layers(raster_on(path, scene, lambda _: (1, 2, 3)))
    return bool(np.isin(values, (0, 1)).all() and (not values.any() or (values != values[..., :1]).any()))


def _read_flags(path: str, scene: Source, header: MaskHeader) -> Flags:
    """If the file declares its zeros as nodata, that means that nothing is flagged there."""
    bands = tuple(range(1, min(header.count, 3) + 1))
    found = Flags(name_of(path), raster_on(path, scene, lambda _: bands))
    return replace(found, nodata_reason="") if header.nodata == 0 else found


@dataclass(frozen=True, slots=True)
class Flags:
    """MSK_CLASSI: a band each for opaque cloud, cirrus and snow, in which anything but 0 is a flag."""

    name: str
    """Name of the file."""
    layers: tuple[Layer, ...]
    """Its bands, on the scene's grid."""
    nodata_reason: str = NOT_CLASSIFIED
    """The reason for which pixels without data get no class; empty if they are not left out."""

    @property
    def knows(self) -> frozenset[str]:
        """Names in `SCL_CLASSES` that its bands stand for."""
        return frozenset(name for name, bands in FLAGS.items() if min(bands) < len(self.layers))

    def mask(self, names: Sequence[str], text: str) -> Mask:
        """The mask that leaves out what has these flags, and what lies beyond the file's edge."""
        bands = sorted({band for name in names for band in FLAGS.get(name, ()) if band < len(self.layers)})
        rules = tuple(Rule(band, (0,), FLAG_REASONS[band], others=True) for band in bands)
        return RasterMask(self.layers, rules, self.nodata_reason, text=text)

    def shares(self) -> tuple[dict[str, float], str]:
        """Shares of the scene with cloud and snow, 0 to 1, and a text that says of which pixels."""
        values, valid, step = thinned_layers(self.layers)
        known = valid if self.nodata_reason else np.ones_like(valid)
        if not known.any():
            return {}, "it lies elsewhere"
        cloud = (values[..., :2] != 0).any(axis=-1)
        found = {"cloud": float(cloud[known].mean())}
        if "snow" in self.knows:
            found["snow"] = float((values[..., 2] != 0)[known].mean())
        return found, pixels_counted(step)


@dataclass(frozen=True, slots=True)
class Polygons:
    """MSK_CLOUDS: polygons around opaque cloud and cirrus."""

    name: str
    """Name of the file."""
    wkb: Mapping[str, bytes]
    """One MultiPolygon for each type (OPAQUE, CIRRUS), x in columns and y in rows of the scene."""
    shape: tuple[int, int]
    """Rows and columns of the scene."""

    @property
    def knows(self) -> frozenset[str]:
        """Names in `SCL_CLASSES` that its types stand for."""
        return frozenset(POLYGON_TYPES)

    def mask(self, names: Sequence[str], text: str) -> Mask:
        """The mask that leaves out the polygons of these types."""
        import shapely

        types = {kind for name in names for kind in POLYGON_TYPES.get(name, ())}
        parts = [shapely.get_parts(shapely.from_wkb(wkb)) for kind, wkb in self.wkb.items() if kind in types]
        together = shapely.MultiPolygon([polygon for kind in parts for polygon in kind])
        return PolygonMask(AreaOfInterest(shapely.to_wkb(together), text=text), text=text)

    def shares(self) -> tuple[dict[str, float], str]:
        """The share of the scene's area that the polygons cover together, 0 to 1."""
        import shapely

        parts = [shapely.make_valid(shapely.from_wkb(wkb)) for wkb in self.wkb.values()]
        rows, cols = self.shape
        covered = shapely.intersection(shapely.union_all(parts), shapely.box(0, 0, cols, rows))
        return {"cloud": float(shapely.area(covered) / (rows * cols))}, "of its area"


@dataclass(frozen=True, slots=True)
class PolygonMask(Mask):
    """Leaves out what lies in polygons."""

    area: AreaOfInterest
    """The polygons."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why pixels are left out."""
        return ("cloud",)

    def reason_numbers(self, window: Window) -> Reasons:
        """1 where the middle of a pixel lies in a polygon, else 0, `(height, width)`."""
        return 1 - self.area.reason_numbers(window)

    def reason_numbers_thinned(self, thin: Thin) -> Reasons:
        """The same of every n-th pixel of the whole scene."""
        return 1 - self.area.reason_numbers_thinned(thin)


def _read_polygons(path: str, scene: GeoBox) -> Polygons:
    """Read a GML file, also inside a zip archive or behind a URL, and bring its polygons to a scene's grid.

    Raises:
        ReadError: It can't be read.
        SceneError: It can't be understood, or scene or mask have no CRS.
    """
    crs, found = parse_gml(_read(path), redacted(path))
    return Polygons(name_of(path), {kind: _on(scene, rings, crs, path) for kind, rings in found.items()}, scene.shape)


def parse_gml(text: bytes, name: str) -> tuple[str | None, dict[str, list[Any]]]:
    """The CRS of a mask, such as EPSG:32633, if it names one, and its polygons by type.

    Args:
        text: Content of the file.
        name: Of the file, for messages.

    Raises:
        SceneError: It is no XML, or a polygon can't be understood.
    """
    try:
        root = ElementTree.fromstring(text)
        places = [element.get("srsName", "") for element in root.iter()]
        codes = {match[1] for place in places if (match := re.search(r"(\d{4,6})$", place))}
        if len(codes) > 1:
            raise ValueError(f"several coordinate reference systems: {', '.join(sorted(codes))}")
        found: dict[str, list[Any]] = {}
        for feature in _called(root, "MaskFeature"):
            kind = next((element.text or "" for element in _called(feature, "maskType")), "").strip().upper()
            found.setdefault(kind, []).extend(map(_polygon, _called(feature, "Polygon")))
    except (ElementTree.ParseError, ValueError) as error:
        raise SceneError(f"{name}: expected a cloud mask (GML) of a Sentinel-2 product: {error}") from error
    return (f"EPSG:{codes.pop()}" if codes else None), found


def _called(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Elements by name, whatever their namespace."""
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _polygon(element: ElementTree.Element) -> Any:
    """A polygon with its holes."""
    import shapely

    rings = {name: [_ring(ring) for ring in _called(element, name)] for name in ("exterior", "interior")}
    if len(rings["exterior"]) != 1:
        raise ValueError(f"a polygon with {len(rings['exterior'])} outer rings")
    return shapely.Polygon(rings["exterior"][0], rings["interior"])


def _ring(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Corners, east and north: ESA writes them so whatever the order of the CRS's axes."""
    for positions in _called(element, "posList"):
        size = int(positions.get("srsDimension", "2"))
        numbers = [float(word) for word in (positions.text or "").split()]
        return list(zip(numbers[::size], numbers[1::size], strict=True))
    raise ValueError("a ring without posList")


def _on(scene: GeoBox, polygons: list[Any], crs: str | None, path: str) -> bytes:
    """Polygons in pixels of a scene, as one MultiPolygon."""
    import shapely

    if polygons and (crs is None or scene.crs is None):
        raise SceneError(f"{redacted(path)}: expected a coordinate reference system in both cloud mask and scene")

    def to_pixels(corners: Doubles) -> Doubles:
        x, y = coordinates(corners[:, 0], corners[:, 1], crs or "", scene)
        return np.column_stack(~scene.transform @ (x, y))

    bent = shapely.segmentize(np.array([shapely.make_valid(polygon) for polygon in polygons], object), EDGE)
    pixels = shapely.set_precision(shapely.make_valid(shapely.transform(bent, to_pixels)), PRECISION)
    parts = [part for part in shapely.get_parts(shapely.get_parts(pixels)) if part.geom_type == "Polygon"]
    return bytes(shapely.to_wkb(shapely.MultiPolygon(parts)))


def _read(path: str) -> bytes:
    """Content of a file on a disk, in a zip archive, or behind a URL."""
    try:
        if match := IN_ZIP.fullmatch(path):
            with ZipFile(match[1]) as archive:
                return archive.read(match[2])
        if path.startswith("/vsicurl/"):
            with urlopen(path.removeprefix("/vsicurl/"), timeout=TIMEOUT) as answer:
                return bytes(answer.read())
        return Path(path).read_bytes()
    except (OSError, HTTPException, KeyError, BadZipFile) as error:
        raise ReadError(f"{redacted(path)}: the cloud mask can't be read: {error}") from error
