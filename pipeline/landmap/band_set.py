"""A folder with a file for each band, as downloads from catalogues have it: what their names and a STAC Item say."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from landmap.band_files import band_files, cloud_files, entries, gdal_path, level_of
from landmap.errors import SceneError
from landmap.landsat import check_no_landsat
from landmap.product import SCL, BandFile, Product
from landmap.scene_names import check_one_scene, doubt_names
from landmap.stac_file import parse_item
from landmap.stac_item import item_product

if TYPE_CHECKING:
    from pystac import Item


def band_set(folder: Traversable, path: str) -> Product | None:
    """The scene of which a folder holds the bands; None where it holds none.

    A STAC Item beside them says what it would say of its own assets; its addresses are not followed.

    Args:
        folder: On a disk or in a zip archive.
        path: What the user gave, for messages.

    Raises:
        SceneError: There are bands of several scenes, or several items.
        BandError: The bands are Landsat's.
    """
    found = band_files(folder)
    bands = tuple(band for band in found if band.name != SCL)
    if not bands:
        return None
    item, file = _item(folder, path)
    beside = [band.label for band in found if band.name == SCL] + ([item.id] if item else [])
    check_one_scene([band.label for band in bands], path, "Give each scene a folder of its own", beside)
    check_no_landsat([band.label for band in bands], path, "Name copies of the files red.tif, green.tif and blue.tif")
    own = Product(
        path=path,
        says=f"{len(bands)} band files",
        bands=bands,
        scl=tuple(band for band in found if band.name == SCL),
        clouds=cloud_files(folder),
        doubts=tuple(doubt_names([band.label for band in bands])),
        **level_of(found),
    )
    return _with_item(own, item_product(item, file)) if item else own


def _item(folder: Traversable, path: str) -> tuple[Item | None, str]:
    """The STAC Item in a folder, and its file; None and "" where there is none."""
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
    """The files of a folder with what an item says of its assets."""
    return replace(
        own,
        says=f"{own.says}, beside them {item.says.rpartition(', ')[0]}",
        bands=tuple(_told(band, item.bands) for band in own.bands),
        scl=tuple(_told(band, item.scl) for band in own.scl),
        level=item.level or own.level,
        cloud_cover=item.cloud_cover,
        origins={**own.origins, **item.origins},
        files=item.files,
    )


def _told(band: BandFile, assets: tuple[BandFile, ...]) -> BandFile:
    """A file with what is said of the asset of its name, else of one of the same band."""
    same = [asset for asset in assets if asset.name == band.name]
    asset = next((asset for asset in same if asset.label == band.label), same[0] if same else band)
    return replace(asset, file=band.file, resolution=band.resolution)
