"""A product: the files of one scene, by band, and what their metadata state. Each reader of products returns one."""

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
"""GDAL's prefixes for remote files, by the scheme of the URL."""

SCL = "SCL"
"""Name of the scene classification among band files."""
_CLASSIFICATION = re.compile(r"(?<![0-9A-Z])SCL(?![0-9A-Z])|SCENE[ _-]CLASSIFICATION")


def names_classification(text: str) -> bool:
    """Whether a file or band is named as a scene classification: SCL, or SNAP's quality_scene_classification."""
    return _CLASSIFICATION.search(text.upper()) is not None


CLASSI, CLOUDS = "MSK_CLASSI", "MSK_CLOUDS"
"""Names of L1C's own cloud masks: three bands of 0 or 1 (opaque cloud, cirrus, snow), since baseline 04.00; polygons
(GML) before."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a raster by its metadata, which may speak of it at another resolution."""

    crs: str
    """Anything that rasterio takes for a coordinate reference system, such as "EPSG:32633"."""
    transform: Affine
    """Maps (column, row) to CRS coordinates, for a raster of `shape`."""
    shape: tuple[int, int]
    """Number of rows and columns."""


@dataclass(frozen=True, slots=True)
class BandFile:
    """The file of a band, and what the product's metadata state of its values; None where they state nothing."""

    name: str
    """Sentinel-2 name, SCL, MSK_CLASSI or MSK_CLOUDS."""
    file: str
    """What GDAL opens."""
    number: int | None = None
    """Number of the band in its file, from 1; None if the file holds this band alone."""
    resolution: float | None = None
    """Pixel size in metres, by its name or the metadata."""
    scale: float | None = None
    """Reflectance per unit."""
    offset: float | None = None
    """Number added before scaling, in the file's units."""
    disputed_offset: float | None = None
    """Another offset in the same metadata: one of the two is wrong."""
    nodata: float | None = None
    """Value of pixels without data."""
    place: Place | None = None
    """Where the raster lies, for a file without georeference."""

    @property
    def label(self) -> str:
        """Name of the file without folders; with the name of the variable in it, as in cube.nc:B04."""
        return self.file.split("?")[0].rsplit("/", 1)[-1].replace('"', "")


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one scene, by band, and what their metadata state. Small and picklable: no pixels, no open file."""

    path: str
    """What the user gave."""
    text: str
    """What it is, for the plan."""
    bands: tuple[BandFile, ...]
    """The files of all bands, in every resolution that is there."""
    scl: tuple[BandFile, ...] = ()
    """The files of its scene classification, in every resolution that is there."""
    clouds: tuple[BandFile, ...] = ()
    """The files of L1C's own cloud masks."""
    unread_clouds: tuple[str, ...] = ()
    """Names of files or assets that classify clouds in a format that landmap does not read, such as bits."""
    cloud_cover: float | None = None
    """Percent of cloud by its metadata; None if they don't state it."""
    level: Level | None = None
    """Product level; None if it is not stated."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """For "scale", "offset", "level" and "clouds" a text that says where the value comes from."""
    absent: tuple[str, ...] = ()
    """Files that the metadata list and that are not there."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about it."""
    files: tuple[str, ...] = ()
    """Local files of its metadata, without those of the bands."""

    def local_files(self) -> list[str]:
        """Local files that the product may be read from, some by names that only GDAL understands."""
        names = [*self.files, *(band.file for band in (*self.bands, *self.scl, *self.clouds))]
        return [name for name in names if not name.startswith(tuple(REMOTE.values()))]

    def choose(self, name: str, resolution: float) -> BandFile:
        """The file of a band whose pixel size is nearest to the one wanted, the finer of two as near.

        Args:
            name: Sentinel-2 name of the band.
            resolution: Pixel size wanted, in metres.

        Raises:
            BandError: There is no file, or several files without different resolutions.
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
        """Warn of bands that are interpolated because a finer file that the metadata list is missing."""
        finest = min((band.resolution for band in self.bands if band.resolution), default=0)
        return [
            f"{band.label} is interpolated: {absent[0].split('/')[-1]}, which the metadata list, is not there"
            for band in self.bands
            if (band.resolution or 0) > finest and (absent := self.absent_of(band.name))
        ]

    def absent_of(self, name: str) -> list[str]:
        """Names of the files of a band that the metadata list and that are missing, the finest first."""
        found = [file for file in self.absent if name in re.split("[/_.]", file)]
        return sorted(found, key=lambda file: int((re.findall(r"_(\d{2})m$", file) or [0])[0]))

    def stated(self, bands: Sequence[BandFile], settings: ReadingSettings) -> Stated:
        """What the metadata state of the values of some bands, without what the user gave instead.

        Args:
            bands: Bands of this product; the result has their order.
            settings: `scale` and `offset` are used.

        Raises:
            SceneError: The metadata state a value for some of the bands and not for others.
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
