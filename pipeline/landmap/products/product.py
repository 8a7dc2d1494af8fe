"""A product that is delivered as many files, and what its metadata say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from affine import Affine

from landmap.errors import BandError, SceneError
from landmap.radiometry.conversion import Stated
from landmap.settings import ReadingSettings
from landmap_models.sentinel2 import Level

REMOTE = {"http": "/vsicurl/", "https": "/vsicurl/", "s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
"""How the names begin under which GDAL reads what lies elsewhere, by the scheme of a URL."""

SCL = "SCL"
"""Name of the scene classification among band files."""
_CLASSIFICATION = re.compile(r"(?<![0-9A-Z])SCL(?![0-9A-Z])|SCENE[ _-]CLASSIFICATION")


def names_classification(text: str) -> bool:
    """Whether a name is that of a scene classification: SCL, as ESA has it, or SNAP's quality_scene_classification."""
    return _CLASSIFICATION.search(text.upper()) is not None


CLASSI, CLOUDS = "MSK_CLASSI", "MSK_CLOUDS"
"""Names of L1C's own cloud masks: three bands of 0 or 1 (opaque cloud, cirrus, snow), since baseline 04.00; polygons
(GML) before."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where metadata say that a raster lies."""

    crs: str
    """Anything that rasterio takes for a coordinate reference system, such as "EPSG:32633"."""
    transform: Affine
    """From (column, row) to CRS coordinates, at the shape below."""
    shape: tuple[int, int]
    """Rows and columns."""


@dataclass(frozen=True, slots=True)
class BandFile:
    """A band's file, and what the product's metadata say of its values: None where they say nothing."""

    name: str
    """Sentinel-2 name, SCL, MSK_CLASSI or MSK_CLOUDS."""
    file: str
    """What GDAL opens."""
    number: int | None = None
    """Of the band in a file of several, from 1; None: the file holds this band alone."""
    resolution: float | None = None
    """Metres, by its name or the metadata."""
    scale: float | None = None
    """Reflectance per unit."""
    offset: float | None = None
    """Added before scaling, in the file's units."""
    disputed_offset: float | None = None
    """Another offset, which the same metadata give, too: one of the two is wrong."""
    nodata: float | None = None
    """Value of pixels that were not seen."""
    place: Place | None = None
    """Where it lies, for a file that does not say."""

    @property
    def label(self) -> str:
        """Name of the file alone; of a variable in a file with its name, as in cube.nc:B04."""
        return self.file.split("?")[0].rsplit("/", 1)[-1].replace('"', "")


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one scene, by band, and what their metadata say. Small and picklable: no pixels, no open file."""

    path: str
    """As the user gave it."""
    text: str
    """What it is, in words."""
    bands: tuple[BandFile, ...]
    """Every band's file; of a band that comes in several resolutions each."""
    scl: tuple[BandFile, ...] = ()
    """Its scene classification, in every resolution that is there."""
    clouds: tuple[BandFile, ...] = ()
    """L1C's own cloud masks."""
    unread_clouds: tuple[str, ...] = ()
    """Names of files or assets that classify clouds in a form that landmap does not read, such as bits."""
    cloud_cover: float | None = None
    """Percent of cloud by its metadata; `origins` say where, as "clouds"."""
    level: Level | None = None
    """Product level."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where "scale", "offset", "level" and "clouds" come from, in words."""
    absent: tuple[str, ...] = ()
    """Files that the metadata list and that are not there."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about it, in words."""
    files: tuple[str, ...] = ()
    """Local files of metadata; those of the bands aside."""

    def local_files(self) -> list[str]:
        """Files on this machine that the product may be read from; names that GDAL alone understands among them."""
        names = [*self.files, *(band.file for band in (*self.bands, *self.scl, *self.clouds))]
        return [name for name in names if not name.startswith(tuple(REMOTE.values()))]

    def choose(self, name: str, resolution: float) -> BandFile:
        """The file of a band whose resolution is nearest to the one wanted, the finer of two as near.

        Args:
            name: Sentinel-2 name.
            resolution: Metres wanted.

        Raises:
            BandError: There is none, or several between which nothing decides.
        """
        there = [band for band in self.bands if band.name == name]
        if not there:
            raise BandError(f"{self.path}: {self._missing(name)}")
        if len(there) == 1:
            return there[0]
        known = {band.resolution: band for band in there if band.resolution is not None}
        if len(known) < len(there):
            listed = ", ".join(sorted(band.label for band in there))
            raise BandError(f"{self.path}: expected one file of band {name}. Received: {listed}. Move the others away")
        return known[min(known, key=lambda metres: (max(metres / resolution, resolution / metres), metres))]

    def _missing(self, name: str) -> str:
        there = ", ".join(sorted({band.name for band in self.bands})) or "no band"
        found = f"expected a file of band {name}, which the model needs. There: {there}"
        if listed := self.absent_of(name):
            return f"{found}. Its metadata list {listed[0]}, which is not there: get the complete product"
        return f"{found} ({self.text})"

    def interpolated(self) -> list[str]:
        """What is interpolated because a finer file is missing that the metadata list, in words."""
        finest = min((band.resolution for band in self.bands if band.resolution), default=0)
        return [
            f"{band.label} is interpolated: {absent[0].split('/')[-1]}, which the metadata list, is not there"
            for band in self.bands
            if (band.resolution or 0) > finest and (absent := self.absent_of(band.name))
        ]

    def absent_of(self, name: str) -> list[str]:
        """Names of the files of a band that the metadata list and that are not there, the finest first."""
        found = [file for file in self.absent if name in re.split("[/_.]", file)]
        return sorted(found, key=lambda file: int((re.findall(r"_(\d{2})m$", file) or [0])[0]))

    def stated(self, bands: Sequence[BandFile], settings: ReadingSettings) -> Stated:
        """What the metadata say of the values of these bands, in this order; nothing of what the user gave.

        Args:
            bands: Of this product.
            settings: `scale` and `offset` are used.

        Raises:
            SceneError: They speak of some of the bands and not of others.
        """
        disputed = [band.disputed_offset for band in bands if band.disputed_offset is not None]
        return Stated(
            scales=self._each("scale", bands) if settings.scale == "auto" else None,
            offsets=self._each("offset", bands) if settings.offset == "auto" else None,
            disputed=tuple(disputed) if len(disputed) == len(bands) else None,
            level=self.level,
            origins=self.origins,
        )

    def _each(self, what: str, bands: Sequence[BandFile]) -> tuple[float, ...] | None:
        numbers = {band.name: getattr(band, what) for band in bands}
        silent = [name for name, number in numbers.items() if number is None]
        if silent and len(silent) < len(numbers):
            raise SceneError(
                f"{self.path}: its metadata name the {what} of {', '.join(n for n in numbers if n not in silent)}, and "
                f"none for {', '.join(silent)}. Say which holds: --{what}"
            )
        return None if silent else tuple(numbers.values())
