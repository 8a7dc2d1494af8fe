"""What kind of thing the user gave: a product of many files, or one raster that GDAL opens by itself."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import Path as ZipPath
from zipfile import ZipFile

from landmap.errors import SceneError
from landmap.io.remote import redacted
from landmap.products.cube import ENDINGS as CUBES
from landmap.products.cube import cube_product
from landmap.products.dimap import ENDING, FOLDER, dimap_product
from landmap.products.folder import band_set, entries
from landmap.products.hls import hls_product
from landmap.products.product import Product
from landmap.products.safe import METADATA, find_metadata, safe_product
from landmap.products.stac import data_assets, item_product
from landmap.products.stac_file import may_be_item, read_item
from landmap.products.theia import theia_product
from landmap_models.errors import ZIP_DAMAGE

if TYPE_CHECKING:
    from pystac import Item

READERS = hls_product, theia_product, band_set
"""What reads a folder with a file for each band, the most special first."""
BY_GDAL = (".zarr", ".gdb")
"""Endings of folders that are one raster to GDAL."""


def find_product(path: str) -> Product | None:
    """The product at a path: a .SAFE folder or its zip, a granule of one, band files in a folder, a STAC Item, a cube.

    Returns:
        None for anything else, which is GDAL's to open.

    Raises:
        SceneError: It is one, and can't be understood.
    """
    if may_be_item(path):
        item = read_item(path)
        return _described(item, path) if item else None
    try:
        return _local_product(path)
    except OSError as error:
        raise SceneError(f"{path}: can't be read: {error}") from error


def _described(item: Item, path: str) -> Product:
    """The scene that an item describes; refused where only the raster itself can say which bands an asset has."""
    product = item_product(item, path)
    if item.assets and not product.bands:
        raster = redacted(next(iter(data_assets(item).values())))
        raise SceneError(
            f"{path}: expected an asset for each band, or one that names its bands (eo:bands). Received: "
            f"{', '.join(item.assets)}. Give the raster itself, such as {raster}"
        )
    return product


def _local_product(path: str) -> Product | None:
    local = Path(path)
    if METADATA.fullmatch(local.name) or local.name == "manifest.safe":
        local = local.parent
    if _is_folder(local):
        return _in_folder(local.absolute(), path)
    if local.suffix.lower() in CUBES and _is_file(local):
        return cube_product(path)
    if local.suffix.lower() == ENDING and _is_file(local):
        return dimap_product(local, path)
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


def product_at(folder: Path) -> Product | None:
    """The product that a folder itself is: a .SAFE folder, or one with a file for each band; not one that lies in it.

    Raises:
        SceneError: It is one, and can't be understood.
    """
    return _itself(folder.absolute(), str(folder))


def _itself(folder: Traversable, path: str) -> Product | None:
    if metadata := find_metadata(folder):
        return safe_product(folder, metadata, path)
    if isinstance(folder, Path) and folder.suffix.lower() == FOLDER and folder.with_suffix(ENDING).is_file():
        return dimap_product(folder.with_suffix(ENDING), path)
    return next((product for read in READERS if (product := read(folder, path))), None)


def product_in(folder: Path) -> Product | None:
    """The product that a folder is, or the only one of the folders in it.

    Raises:
        SceneError: It can't be understood, or there are several.
    """
    return _inside(folder.absolute(), str(folder))


def is_raster_folder(folder: Path) -> bool:
    """Whether a folder is one raster to GDAL."""
    return folder.suffix.lower() in BY_GDAL or any(folder.glob("*.adf"))


def _inside(folder: Traversable, path: str) -> Product | None:
    if product := _itself(folder, path):
        return product
    there = entries(folder)
    found = {entry.name: product for entry in there if entry.is_dir() and (product := _itself(entry, path))}
    if len(found) > 1:
        advice = "Unpack it, and give" if isinstance(folder, ZipPath) else "Give"
        raise SceneError(
            f"{path}: expected one product. Received: {len(found)}: {', '.join(found)}. {advice} the folder of one, or "
            "all to landmap batch"
        )
    which = f", in {next(iter(found), '')}" if len(there) > 1 else ""
    return next((replace(product, says=f"{product.says}{which}") for product in found.values()), None)


def _in_folder(folder: Path, path: str) -> Product | None:
    root = folder.parent.parent
    if folder.parent.name == "GRANULE" and (metadata := find_metadata(root)):
        return safe_product(root, metadata, path, folder.name)
    if product := _inside(folder, path):
        return product
    if is_raster_folder(folder):
        return None
    raise SceneError(
        f"{path}: expected a raster, a .SAFE product with its metadata (MTD_MSIL1C.xml or MTD_MSIL2A.xml), or a folder "
        "with a file for each band (B02.tif, B03.tif …). Received: a folder without these"
    )


def _in_archive(archive: Path, path: str) -> Product | None:
    try:
        with ZipFile(archive) as file:
            return _inside(ZipPath(file), path)
    except (*ZIP_DAMAGE, OSError) as error:
        words = " ".join(str(error).split())
        raise SceneError(
            f"{path}: expected a whole zip archive. Received: one that can't be read ({words}). Get it anew, or unpack "
            "it and give the folder"
        ) from error
