"""A folder with a file for each band, as downloaded from a catalogue, understood by file names and a STAC Item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import Path as ZipPath

from landmap.errors import SceneError
from landmap.products.landsat_names import check_no_landsat
from landmap.products.product import CLASSI, CLOUDS, SCL, BandFile, Product, names_classification
from landmap.products.scene_names import check_one_scene, name_warnings
from landmap.products.stac import item_product
from landmap.products.stac_file import parse_item
from landmap_models.sentinel2 import band_name, level_in

if TYPE_CHECKING:
    from pystac import Item


RASTERS = (".jp2", ".tif", ".tiff", ".img", ".vrt")
"""Endings of files that may hold a band."""
QUALITY_FOLDERS = ("QI_DATA", "qi")
"""Folders of a granule that hold its masks, by ESA and on AWS."""
RESOLUTION_FOLDERS = re.compile(r"R(10|20|60)m")


def gdal_path(entry: Traversable) -> str:
    """The name under which GDAL finds a file on a disk or in a zip archive."""
    if isinstance(entry, ZipPath):
        return f"/vsizip/{{{Path(str(entry.root.filename)).absolute()}}}/{entry.at}"
    return str(Path(str(entry)).absolute())


def entries(folder: Traversable) -> list[Traversable]:
    """The entries of a folder sorted by name, so that nothing depends on the disk's order; none of a file."""
    return sorted(folder.iterdir(), key=lambda entry: entry.name) if folder.is_dir() else []


def band_files(folder: Traversable) -> list[BandFile]:
    """The files of bands in a folder and in its folders R10m, R20m and R60m; the scene classification as SCL.

    A resolution is known where the name of the file (`B04_10m`) or of its folder says it.
    """
    found = []
    for entry in entries(folder):
        if entry.is_dir() and (match := RESOLUTION_FOLDERS.fullmatch(entry.name)):
            found += [band for inner in entries(entry) if (band := _band_file(inner, float(match[1])))]
        elif band := _band_file(entry, None):
            found.append(band)
    return found


def _band_file(entry: Traversable, resolution: float | None) -> BandFile | None:
    stem, dot, ending = entry.name.rpartition(".")
    if (dot + ending).lower() not in RASTERS or not entry.is_file():
        return None
    name = SCL if names_classification(stem) else band_name(stem)
    by_name = re.search(r"_(\d{2,3})m$", stem, re.IGNORECASE)
    return BandFile(name, gdal_path(entry), resolution=float(by_name[1]) if by_name else resolution) if name else None


def level_of(found: Sequence[BandFile]) -> dict[str, Any]:
    """Level of a product and its origin, as fields of `Product`, by its band files; empty if unknown.

    The level is in their names, or follows from a scene classification, which only L2A has.
    """
    levels = {level for band in found if (level := level_in(band.label))}
    if len(levels) == 1:
        return {"level": levels.pop(), "origins": {"level": "the names of the bands' files"}}
    if any(band.name == SCL for band in found):
        origin = "the scene classification (SCL) beside its bands: only L2A has one"
        return {"level": "L2A", "origins": {"level": origin}}
    return {}


def cloud_files(folder: Traversable) -> tuple[BandFile, ...]:
    """L1C's own cloud masks in a folder and in its folder for quality data."""
    folders = [folder, *(inner for name in QUALITY_FOLDERS if (inner := folder / name).is_dir())]
    return tuple(
        BandFile(name, gdal_path(entry))
        for place in folders
        for entry in entries(place)
        if (name := cloud_file(entry.name)) and entry.is_file()
    )


def cloud_file(name: str) -> str | None:
    """MSK_CLASSI or MSK_CLOUDS, if a file's name is that of one of L1C's own cloud masks; else None."""
    stem, dot, ending = name.upper().rpartition(".")
    if CLASSI in stem and (dot + ending).lower() in RASTERS:
        return CLASSI
    return CLOUDS if CLOUDS in stem and ending == "GML" else None


def find(entry: Traversable, path: str) -> Product | None:
    """The scene whose bands a folder holds, one file each; None if it holds none.

    A STAC Item beside them describes them as it describes its own assets; its links are not followed.

    Args:
        entry: A file or folder on a disk or in a zip archive.
        path: What the user gave, for messages.

    Raises:
        SceneError: There are bands of several scenes, or several items.
        BandError: The bands are Landsat's.
    """
    found = band_files(entry)
    bands = tuple(band for band in found if band.name != SCL)
    if not bands:
        return None
    item, file = _item(entry, path)
    beside = [band.label for band in found if band.name == SCL] + ([item.id] if item else [])
    check_one_scene([band.label for band in bands], path, "Give each scene a folder of its own", beside)
    check_no_landsat([band.label for band in bands], path, "Name copies of the files red.tif, green.tif and blue.tif")
    own = Product(
        path=path,
        text=f"{len(bands)} band files",
        bands=bands,
        scl=tuple(band for band in found if band.name == SCL),
        clouds=cloud_files(entry),
        warnings=tuple(name_warnings([band.label for band in bands])),
        **level_of(found),
    )
    return _with_item(own, item_product(item, file)) if item else own


def _item(folder: Traversable, path: str) -> tuple[Item | None, str]:
    """The STAC Item in a folder and its file; None and "" if there is none."""
    found = []
    for entry in entries(folder):
        if entry.name.lower().endswith(".json") and entry.is_file():
            file = gdal_path(entry)
            if item := parse_item(entry.read_bytes(), file, f"{path}: {entry.name}"):
                found.append((item, file))
    if len(found) > 1:
        names = ", ".join(file.rsplit("/", 1)[-1] for _, file in found)
        raise SceneError(f"{path}: expected one STAC Item beside the bands. Received: {names}. Move the others away")
    return found[0] if found else (None, "")


def _with_item(own: Product, item: Product) -> Product:
    """Add to the files of a folder what an Item states of its assets."""
    return replace(
        own,
        text=f"{own.text}, beside them {item.text.rpartition(', ')[0]}",
        bands=tuple(_with_asset(band, item.bands) for band in own.bands),
        scl=tuple(_with_asset(band, item.scl) for band in own.scl),
        level=item.level or own.level,
        cloud_cover=item.cloud_cover,
        origins={**own.origins, **item.origins},
        files=item.files,
    )


def _with_asset(band: BandFile, assets: tuple[BandFile, ...]) -> BandFile:
    """Add to a file what is stated of the asset with its name, else of an asset of the same band."""
    same = [asset for asset in assets if asset.name == band.name]
    asset = next((asset for asset in same if asset.label == band.label), same[0] if same else band)
    return replace(asset, file=band.file, resolution=band.resolution)
