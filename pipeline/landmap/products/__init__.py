"""What the user gave becomes a `Product`: the files of one scene, by band, and what their metadata say.

Each kind of product is a module with a function `find(entry, path)`, and one line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import Path as ZipPath
from zipfile import ZipFile

from landmap.errors import SceneError
from landmap.io.remote import redacted
from landmap.products.cube import find as find_cube
from landmap.products.dimap import find as find_dimap
from landmap.products.folder import entries
from landmap.products.folder import find as find_band_folder
from landmap.products.hls import find as find_hls
from landmap.products.product import Product
from landmap.products.safe import find as find_safe
from landmap.products.safe import product_folder
from landmap.products.stac import data_assets, item_product
from landmap.products.stac_file import may_be_item, read_item
from landmap.products.theia import find as find_theia
from landmap_models.errors import ZIP_DAMAGE

if TYPE_CHECKING:
    from pystac import Item

READERS: tuple[Callable[[Traversable, str], Product | None], ...] = (
    find_safe,
    find_dimap,
    find_cube,
    find_hls,
    find_theia,
    find_band_folder,
)
"""Find the product that a file or folder is, if it is one of their kind; the most special first.

Each gets the entry, on a disk or in a zip archive, and what the user gave, for messages. It raises a `SceneError` for a
product that it can't understand.
"""
BY_GDAL = (".zarr", ".gdb")
"""Endings of folders that are one raster to GDAL."""


def find_product(path: str) -> Product | None:
    """The product at a path, of any kind in `READERS`, alone in a folder or zip archive; or the one of a STAC Item.

    Returns:
        None for anything else, which GDAL opens.

    Raises:
        SceneError: It is a product that can't be understood.
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
    local = product_folder(Path(path))
    if _is_folder(local):
        return _in_folder(local.absolute(), path)
    if not _is_file(local):
        return None
    return _in_archive(local, path) if local.suffix.lower() == ".zip" else _itself(local.absolute(), path)


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


def product_at(entry: Path) -> Product | None:
    """The product that a folder itself is: a .SAFE folder, or one with a file for each band; not one that lies in it.

    Raises:
        SceneError: It is one, and can't be understood.
    """
    return _itself(entry.absolute(), str(entry))


def _itself(entry: Traversable, path: str) -> Product | None:
    return next((product for find in READERS if (product := find(entry, path))), None)


def product_in(entry: Path) -> Product | None:
    """The product that a folder is, or the only one of the folders in it.

    Raises:
        SceneError: It can't be understood, or there are several.
    """
    return _inside(entry.absolute(), str(entry))


def is_raster_folder(entry: Path) -> bool:
    """Whether a folder is one raster to GDAL."""
    return entry.suffix.lower() in BY_GDAL or any(entry.glob("*.adf"))


def _inside(entry: Traversable, path: str) -> Product | None:
    if product := _itself(entry, path):
        return product
    there = entries(entry)
    found = {inner.name: product for inner in there if inner.is_dir() and (product := _itself(inner, path))}
    if len(found) > 1:
        advice = "Unpack it, and give" if isinstance(entry, ZipPath) else "Give"
        raise SceneError(
            f"{path}: expected one product. Received: {len(found)}: {', '.join(found)}. {advice} the folder of one, or "
            "all to landmap batch"
        )
    which = f", in {next(iter(found), '')}" if len(there) > 1 else ""
    return next((replace(product, text=f"{product.text}{which}") for product in found.values()), None)


def _in_folder(entry: Path, path: str) -> Product | None:
    if product := _inside(entry, path):
        return product
    if is_raster_folder(entry):
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
