"""A Sentinel-2 product in ESA's layout (SAFE), L1C or L2A, with old or compact names, in a folder or a zip archive."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from xml.etree import ElementTree

from landmap.errors import SceneError
from landmap.products.folder import band_files, cloud_files, entries, gdal_path
from landmap.products.product import SCL, BandFile, Product
from landmap.products.scene_names import check_one_scene
from landmap_models.sentinel2 import OFFSET_BASELINE, SENTINEL2, Level, band_code

METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml|S2\w_\w{4}_MTD_SAFL(1C|2A)_.*\.xml")
"""Names of the file that describes a product: compact names, and those of products until 2016."""
OFFSETS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
QUANTIFICATIONS = ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
COVERAGE = "Cloud_Coverage_Assessment"
IMAGES = ("IMAGE_FILE", "IMAGE_ID", "IMAGE_FILE_2A", "IMAGE_ID_2A")


@dataclass(frozen=True, slots=True)
class SafeMetadata:
    """What the metadata file of a product states."""

    name: str
    """Name of the file."""
    level: Level
    """Product level."""
    baseline: str
    """Processing baseline, such as "05.11"; empty if it is not stated."""
    sensed: str
    """Start of sensing in ISO 8601; empty if it is not stated."""
    quantification: tuple[str, float] | None
    """Name of the metadata element and digital numbers for a reflectance of 1; None if they are not stated."""
    offsets: Mapping[str, float]
    """Number added before scaling, by band; empty if there is none."""
    offset_name: str
    """Name of the metadata element of the offsets."""
    nodata: float | None
    """Value of pixels without data; None if it is not stated."""
    images: tuple[str, ...]
    """The files of bands that are listed, without their endings."""
    cloud_cover: float | None = None
    """Percent of cloud; None if it is not stated."""

    def origins(self) -> dict[str, str]:
        """Texts that say where scale, offset, level and clouds come from."""
        found = {"level": f"{self.name} says Level-{self.level.removeprefix('L')}"}
        if self.quantification:
            found["scale"] = f"{self.name} says {self.quantification[0]} {self.quantification[1]:g}"
        if self.offsets:
            numbers = sorted({f"{offset:g}" for offset in self.offsets.values()})
            found["offset"] = f"{self.name} says {self.offset_name} {' or '.join(numbers)}"
        elif "" < self.baseline < OFFSET_BASELINE:
            found["offset"] = f"{self.name} names none, as is right for baseline {self.baseline}"
        else:
            found["offset"] = f"assumed: 0, as {self.name} names none, though baseline {self.baseline or '?'} has one"
        if self.cloud_cover is not None:
            found["clouds"] = f"{self.name} says {COVERAGE}"
        return found

    def describe(self, band: BandFile) -> BandFile:
        """Add to a band what the metadata state of its values."""
        scale = 1 / self.quantification[1] if self.quantification else None
        offset = self.offsets.get(band.name) if self.offsets else 0.0
        return replace(band, scale=scale, offset=offset, nodata=self.nodata)


def product_folder(path: Path) -> Path:
    """The product's folder, if the user gave one of the files that describe it; else the path itself."""
    return path.parent if METADATA.fullmatch(path.name) or path.name == "manifest.safe" else path


def find_metadata(folder: Traversable) -> Traversable | None:
    """The file in a folder that describes a product; None if there is none."""
    return next((entry for entry in entries(folder) if METADATA.fullmatch(entry.name)), None)


def find(entry: Traversable, path: str) -> Product | None:
    """The SAFE product that a folder is, or one granule of it; None if it is neither.

    Args:
        entry: A file or folder on a disk or in a zip archive.
        path: What the user gave, for messages.

    Raises:
        SceneError: The metadata can't be understood, or there are several granules.
    """
    if metadata := find_metadata(entry):
        return _product(entry, metadata, path)
    if not (isinstance(entry, Path) and entry.parent.name == "GRANULE" and entry.is_dir()):
        return None
    root = entry.parent.parent
    metadata = find_metadata(root)
    return _product(root, metadata, path, entry.name) if metadata else None


def _product(root: Traversable, metadata: Traversable, path: str, granule: str | None = None) -> Product:
    """The product in a folder.

    Args:
        root: The product's folder.
        metadata: The file in it that describes it.
        path: What the user gave, for messages.
        granule: Name of the granule that is wanted of several; None for the only one.

    Raises:
        SceneError: The metadata can't be understood, or there are several granules.
    """
    found = parse_metadata(metadata.read_bytes(), metadata.name, path)
    inside = _granule(root, granule, path)
    folder = _image_folder(root, inside)
    bands = [found.describe(band) if band.name != SCL else band for band in (band_files(folder) if folder else [])]
    optical = tuple(band for band in bands if band.name != SCL)
    check_one_scene([band.label for band in bands], path, "Get the product anew")
    sensed = f", sensed {found.sensed[:16].replace('T', ' ')} UTC" if found.sensed else ""
    return Product(
        path=path,
        text=f"SAFE {found.level}, baseline {found.baseline or '?'}{sensed}, {len(optical)} band files",
        bands=optical,
        scl=tuple(band for band in bands if band.name == SCL),
        clouds=cloud_files(inside) if inside else (),
        cloud_cover=found.cloud_cover,
        level=found.level,
        origins=found.origins(),
        absent=_absent(found.images, bands) if granule is None else (),
        files=(gdal_path(metadata),),
    )


def _granule(root: Traversable, granule: str | None, path: str) -> Traversable | None:
    """The folder of the granule; the product's own if it has no folder of granules; None if that is empty."""
    granules = root / "GRANULE"
    if not granules.is_dir():
        return root
    there = [entry for entry in entries(granules) if entry.is_dir() and granule in (None, entry.name)]
    if len(there) > 1:
        names = ", ".join(entry.name for entry in there)
        raise SceneError(f"{path}: expected one granule. Received: {len(there)}: {names}. Give the folder of one")
    return there[0] if there else None


def _image_folder(root: Traversable, granule: Traversable | None) -> Traversable | None:
    """The folder of the bands: IMG_DATA of the granule, or that of the metadata if there is no granule."""
    if granule is root or granule is None:
        return granule
    images = granule / "IMG_DATA"
    return images if images.is_dir() else None


def _absent(images: tuple[str, ...], bands: list[BandFile]) -> tuple[str, ...]:
    there = {band.label.rsplit(".", 1)[0] for band in bands}
    return tuple(image for image in images if image.rsplit("/", 1)[-1] not in there)


def parse_metadata(text: bytes, name: str, path: str) -> SafeMetadata:
    """Parse a product's metadata file.

    Args:
        text: Content of the file.
        name: Name of the file.
        path: What the user gave, for messages.

    Raises:
        SceneError: It is no XML, or lacks what it must state.
    """
    try:
        return _parse(ElementTree.fromstring(text), name)
    except (ElementTree.ParseError, ValueError) as error:
        raise SceneError(f"{path}: {name}: expected the metadata of a Sentinel-2 product: {error}") from error


def _parse(root: ElementTree.Element, name: str) -> SafeMetadata:
    text = dict(_texts(root))
    level = re.search("1C|2A", text.get("PROCESSING_LEVEL", "") or name)
    if level is None:
        raise ValueError(f"no product level known in PROCESSING_LEVEL {text.get('PROCESSING_LEVEL')!r}")
    quantification = next((key for key in QUANTIFICATIONS if key in text), None)
    offset_name = next((key for key in OFFSETS if key in text), "")
    baseline = re.fullmatch(r"\d{2}\.\d{2}", text.get("PROCESSING_BASELINE", ""))
    return SafeMetadata(
        name=name,
        level="L1C" if level[0] == "1C" else "L2A",
        baseline=baseline[0] if baseline else "",
        sensed=text.get("PRODUCT_START_TIME", ""),
        quantification=(quantification, _positive(text[quantification])) if quantification else None,
        offsets=_offsets(root, offset_name),
        offset_name=offset_name,
        nodata=_special_value(root, "NODATA"),
        images=tuple(value for key, value in _texts(root) if key in IMAGES),
        cloud_cover=float(text[COVERAGE]) if COVERAGE in text else None,
    )


def _positive(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise ValueError(f"no quantification value: {text}")
    return float(text)


def _texts(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Names, without namespace, and texts of all elements that have some."""
    for element in root.iter():
        if element.text and element.text.strip():
            yield element.tag.rpartition("}")[2], element.text.strip()


def _offsets(root: ElementTree.Element, tag: str) -> dict[str, float]:
    """Offsets by band. The metadata number the bands by wavelength, and state which number is which band."""
    names = {str(number): name for number, name in enumerate(SENTINEL2)}
    for element in root.iter("Spectral_Information"):
        names[element.get("bandId", "")] = band_code(element.get("physicalBand", "").lower()) or ""
    return {names.get(e.get("band_id", ""), ""): float(e.text or "") for e in root.iter(tag)} if tag else {}


def _special_value(root: ElementTree.Element, wanted: str) -> float | None:
    for element in root.iter("Special_Values"):
        if (element.findtext("SPECIAL_VALUE_TEXT") or "").strip() == wanted:
            return float(element.findtext("SPECIAL_VALUE_INDEX") or "")
    return None
