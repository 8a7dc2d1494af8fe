"""A product of Theia as downloaded, MAJA's L2A or a synthesis of a month (L3A): a file for each band in one folder."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable
from xml.etree import ElementTree

from landmap.errors import SceneError
from landmap.products.folder import entries, gdal_path
from landmap.products.product import BandFile, Product
from landmap.products.scene_names import check_one_scene, dates_in
from landmap_models.sentinel2 import band_code

NAME = re.compile(r"SENTINEL2\w_[0-9-]+_L[23]A_T\w{5}_\w_V[0-9-]+_(FRE|SRE|FRC)_(B\w+)\.tiff?", re.IGNORECASE)
CLOUD_MASK = re.compile(r"SENTINEL2\w_.*_CLM_R\d\.tiff?", re.IGNORECASE)
METADATA = re.compile(r"SENTINEL2\w_.*_MTD_ALL\.xml", re.IGNORECASE)
KINDS = ("FRE", "FRC", "SRE")
"""Kinds of reflectance, the preferred first: corrected for slopes (of a date, of a month), and not corrected."""
QUANTIFICATION, NODATA = 10_000.0, -10_000.0
"""Digital numbers for a reflectance of 1 and nodata value by Theia's format, as the metadata may be missing."""


def find(entry: Traversable, path: str) -> Product | None:
    """The Theia product whose bands a folder holds; None if it holds none.

    Args:
        entry: A file or folder on a disk or in a zip archive.
        path: What the user gave, for messages.

    Raises:
        SceneError: There are bands of several products, or the metadata file can't be understood.
    """
    there = entries(entry)
    found = [(file, match) for file in there if (match := NAME.fullmatch(file.name))]
    if not found:
        return None
    check_one_scene([file.name for file, _ in found], path, "Give each product a folder of its own")
    kinds = [kind for kind in KINDS if any(match[1].upper() == kind for _, match in found)]
    metadata = next((file for file in there if METADATA.fullmatch(file.name)), None)
    quantification, nodata = _metadata(metadata, path) if metadata else (QUANTIFICATION, NODATA)
    bands = tuple(
        BandFile(name, gdal_path(file), scale=1 / quantification, offset=0.0, nodata=nodata)
        for file, match in found
        if match[1].upper() == kinds[0] and (name := band_code(match[2].lower()))
    )
    origin = metadata.name if metadata else "Theia's format (its *_MTD_ALL.xml is not there)"
    return Product(
        path=path,
        text=_words(found[0][0].name, kinds, len(bands)),
        bands=bands,
        unread_clouds=_cloud_masks(entry),
        level="L2A",
        origins={"level": "Theia's are L2A", "scale": origin, "offset": "Theia's format has none"},
        files=(gdal_path(metadata),) if metadata else (),
    )


def _cloud_masks(folder: Traversable) -> tuple[str, ...]:
    """Names of the masks of cloud and shadow (CLM, as bits) in the folder of bands or in that of masks."""
    places = [folder, *([folder / "MASKS"] if (folder / "MASKS").is_dir() else [])]
    return tuple(entry.name for place in places for entry in entries(place) if CLOUD_MASK.fullmatch(entry.name))


def _words(name: str, kinds: list[str], count: int) -> str:
    sensed = dates_in(name)
    when = f", of {sensed[0]:%Y-%m-%d}" if sensed else ""
    left = f" rather than {' or '.join(kinds[1:])}, which is there, too" if len(kinds) > 1 else ""
    return f"Theia L2A{when}, {kinds[0]}{left}, {count} band files"


def _metadata(file: Traversable, path: str) -> tuple[float, float]:
    """Digital numbers for a reflectance of 1, and the nodata value."""
    try:
        root = ElementTree.fromstring(file.read_bytes())
        quantification = float(root.findtext(".//REFLECTANCE_QUANTIFICATION_VALUE") or QUANTIFICATION)
        nodata = float(root.findtext(".//SPECIAL_VALUE[@name='nodata']") or NODATA)
    except (ElementTree.ParseError, ValueError) as error:
        raise SceneError(f"{path}: {file.name}: expected the metadata of a product of Theia: {error}") from error
    if not quantification > 0:
        raise SceneError(f"{path}: {file.name}: expected a positive quantification value. Received: {quantification}")
    return quantification, nodata
