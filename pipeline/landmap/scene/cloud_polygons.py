"""The cloud mask of L1C products before processing baseline 04.00: polygons in GML, in metres of the product's CRS.

They are read by Python's own XML parser: GDAL's driver writes a file of its own beside each GML that it opens.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from landmap.errors import ReadError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.geo.longitudes import coordinates
from landmap.io.remote import redacted
from landmap.left_out import Reasons
from landmap.scene.aoi import PRECISION, AreaOfInterest
from landmap.scene.mask_layers import Thin
from landmap.tiling import Window
from landmap_models.arrays import Bools

EDGE = 60.0
"""Metres: an edge that is brought to another CRS gets a corner at least this often. The masks are drawn at 60 m."""
TIMEOUT = 30
"""Seconds within which a server has to answer."""
IN_ZIP = re.compile(r"/vsizip/\{(.+?)\}/(.+)")


@dataclass(frozen=True, slots=True)
class CloudPolygons:
    """Polygons by type, on a scene's grid."""

    wkb: Mapping[str, bytes]
    """One MultiPolygon for each type (OPAQUE, CIRRUS), x in columns and y in rows of the scene."""
    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""

    def share(self) -> float:
        """The share of the scene that they cover, 0 to 1."""
        import shapely

        parts = [shapely.make_valid(shapely.from_wkb(wkb)) for wkb in self.wkb.values()]
        scene = shapely.box(0, 0, self.width, self.height)
        covered = shapely.intersection(shapely.union_all(parts), scene)
        return float(shapely.area(covered) / (self.height * self.width))


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """Leaves out what lies in polygons. Small and picklable; no open file."""

    area: AreaOfInterest
    """The polygons."""
    says: str
    """What is left out, in words."""
    asked: Literal["clouds", "scl"] = "clouds"
    """What asked for it."""

    @property
    def files(self) -> tuple[str, ...]:
        """None that reading needs."""
        return ()

    @property
    def hides(self) -> bool:
        """Clouds are no land."""
        return True

    @property
    def reasons(self) -> tuple[str, ...]:
        """What pixels that are left out count as."""
        return ("cloud",)

    def why(self, window: Window) -> Reasons:
        """1 where the middle of a pixel lies in a polygon, else 0, `(height, width)`."""
        return 1 - self.area.why(window)

    def usable(self, window: Window) -> Bools:
        """Which pixels of a rectangle of the scene are left in, `(height, width)`."""
        return ~self.area.usable(window)

    def why_thinned(self, thin: Thin) -> Reasons:
        """The same of all of the scene, every so many pixels."""
        return 1 - self.area.why_thinned(thin)

    def misses(self, window: Window) -> bool:
        """Never known without drawing."""
        return False


def clouds_mask(polygons: CloudPolygons, types: Collection[str], says: str) -> PolygonMask:
    """What leaves out the polygons of some types."""
    import shapely

    parts = [shapely.get_parts(shapely.from_wkb(wkb)) for kind, wkb in polygons.wkb.items() if kind in types]
    together = shapely.MultiPolygon([polygon for kind in parts for polygon in kind])
    return PolygonMask(AreaOfInterest(shapely.to_wkb(together), says), says)


def read_cloud_polygons(path: str, scene: GeoBox) -> CloudPolygons:
    """Read a cloud mask and bring it to a scene's grid.

    Args:
        path: The file, also inside a zip archive by GDAL's name, or behind a URL.
        scene: The scene, on whose grid the polygons are placed.

    Raises:
        ReadError: It can't be read.
        SceneError: It can't be understood, or scene or mask have no CRS.
    """
    crs, found = parse_gml(_read(path), redacted(path))
    return CloudPolygons({kind: _on(scene, rings, crs, path) for kind, rings in found.items()}, *_shape(scene))


def _shape(scene: GeoBox) -> tuple[int, int]:
    return scene.height, scene.width


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

    def to_pixels(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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
