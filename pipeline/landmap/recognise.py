"""What kind of thing the user gave: a product of many files, or one raster that GDAL opens by itself."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path
from zipfile import BadZipFile, ZipFile
from zipfile import Path as ZipPath

from landmap.band_files import entries
from landmap.band_set import band_set
from landmap.errors import SceneError
from landmap.product import Product
from landmap.safe import METADATA, find_metadata, safe_product
from landmap.stac_item import is_url, item_product, may_be_item, read_item

BY_GDAL = (".zarr", ".gdb")
"""Endings of folders that are one raster to GDAL."""


def find_product(path: str) -> Product | None:
    """The product at a path: a .SAFE folder or its zip, a granule of one, band files in a folder, a STAC Item.

    Returns:
        None for anything else, which is GDAL's to open.

    Raises:
        SceneError: It is one, and can't be understood.
    """
    if may_be_item(path):
        item = read_item(path) if is_url(path) or _is_file(Path(path)) else None
        return item_product(item, path) if item else None
    try:
        return _local_product(path)
    except OSError as error:
        raise SceneError(f"{path}: can't be read: {error}") from error


def _local_product(path: str) -> Product | None:
    local = Path(path)
    if METADATA.fullmatch(local.name) or local.name == "manifest.safe":
        local = local.parent
    if _is_folder(local):
        return _in_folder(local.absolute(), path)
    if local.suffix.lower() == ".zip" and _is_file(local):
        return _in_archive(local, path)
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # the text of a VRT is too long for a name
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _in_folder(folder: Path, path: str) -> Product | None:
    root = folder.parent.parent
    if folder.parent.name == "GRANULE" and (metadata := find_metadata(root)):
        return safe_product(root, metadata, path, folder.name)
    if product := _safe(folder, path) or band_set(folder, path):
        return product
    if folder.suffix.lower() in BY_GDAL or any(folder.glob("*.adf")):
        return None
    raise SceneError(
        f"{path}: expected a raster, a .SAFE product with its metadata (MTD_MSIL1C.xml or MTD_MSIL2A.xml), or a folder "
        "with a file for each band (B02.tif, B03.tif …). Received: a folder without these"
    )


def _in_archive(archive: Path, path: str) -> Product | None:
    try:
        with ZipFile(archive) as file:
            root = ZipPath(file)
            return _safe(root, path) or band_set(root, path)
    except (BadZipFile, OSError) as error:
        raise SceneError(f"{path}: expected a whole zip archive. Received: a broken one ({error})") from error


def _safe(folder: Traversable, path: str) -> Product | None:
    """The SAFE product that a folder is, or that lies in it as the only one."""
    there = [folder, *(entry for entry in entries(folder) if entry.is_dir())]
    found = [(root, metadata) for root in there if (metadata := find_metadata(root))]
    if found and found[0][0] is folder:
        return safe_product(*found[0], path)
    if len(found) > 1:
        names = ", ".join(root.name for root, _ in found)
        raise SceneError(f"{path}: expected one product. Received: {len(found)}: {names}. Give one of them")
    return safe_product(*found[0], path) if found else None
