"""A product that SNAP saved as BEAM-DIMAP: `name.dim` describes the files in the folder `name.data`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landmap.errors import SceneError
from landmap.products.folder import level_of
from landmap.products.product import SCL, BandFile, Product, names_classification
from landmap_models.sentinel2 import band_name, level_in

ENDING, FOLDER = ".dim", ".data"


def find(entry: Traversable, path: str) -> Product | None:
    """The product that a .dim file, or the one beside a .data folder, describes; None if there is none.

    SPOT's and Pleiades' .dim files are not SNAP's.

    Angles and layers of quality are no bands; SNAP's `quality_scene_classification` is the SCL.

    Args:
        entry: A file or folder on a disk; in a zip archive there is no such product.
        path: What the user gave, for messages.

    Raises:
        SceneError: It can't be understood, or its folder is not there.
    """
    if not isinstance(entry, Path) or entry.suffix.lower() not in (ENDING, FOLDER):
        return None
    file = entry.with_suffix(ENDING) if entry.is_dir() else entry
    if file.suffix.lower() != ENDING or not file.is_file():
        return None
    try:
        root = ElementTree.fromstring(file.read_bytes())
        if root.find(".//Spectral_Band_Info/BAND_NAME") is None:
            return None
        found = tuple(_bands(root, file))
    except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
        raise SceneError(f"{path}: expected a product of SNAP (BEAM-DIMAP): {error}") from error
    bands = tuple(band for band in found if band.name != SCL)
    if not file.with_suffix(FOLDER).is_dir():
        raise SceneError(f"{path}: expected its folder {file.stem}{FOLDER} beside it, which holds the bands")
    name = root.findtext("Dataset_Id/DATASET_NAME") or ""
    level = level_in(name) or level_in(root.findtext(".//PRODUCT_TYPE") or "")
    numbers = dict.fromkeys(("scale", "offset"), f"{file.name}, by its scaling factor and offset")
    info: dict[str, Any] = (
        {"level": level, "origins": {"level": f"{file.name}, of {name}"}} if level else level_of(found)
    )
    return Product(
        path=path,
        text=f"SNAP product{f', {level}' if level else ''}, {len(bands)} band files",
        bands=bands,
        scl=tuple(band for band in found if band.name == SCL),
        files=(str(file.absolute()),),
        **info | {"origins": numbers | info.get("origins", {})},
    )


def _bands(root: ElementTree.Element, file: Path) -> Iterator[BandFile]:
    files = {part.findtext("BAND_INDEX"): part.find("DATA_FILE_PATH") for part in root.iter("Data_File")}
    for info in root.iter("Spectral_Band_Info"):
        text = info.findtext("BAND_NAME") or ""
        name = SCL if names_classification(text) else band_name(text)
        place = files.get(info.findtext("BAND_INDEX"))
        header = place.get("href", "") if place is not None else f"{file.stem}{FOLDER}/{text}.hdr"
        if name:
            image = (file.parent / header).with_suffix(".img")
            yield _band(name, str(image.absolute()), info)


def _band(name: str, image: str, info: ElementTree.Element) -> BandFile:
    """A band with what is stated of its values; a factor of 1 states nothing."""
    factor, added = float(info.findtext("SCALING_FACTOR") or 1), float(info.findtext("SCALING_OFFSET") or 0)
    is_stated = factor != 1 and name != SCL
    used = (info.findtext("NO_DATA_VALUE_USED") or "").strip().lower() == "true"
    return BandFile(
        name,
        image,
        scale=factor if is_stated else None,
        offset=added / factor if is_stated else None,
        nodata=float(info.findtext("NO_DATA_VALUE") or 0) if used else None,
    )
