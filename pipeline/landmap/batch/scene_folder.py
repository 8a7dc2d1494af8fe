"""The scenes in a folder are found, and what is skipped, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

from rasterio.errors import RasterioError

from landmap.errors import SceneError
from landmap.io.publish import SIDECARS
from landmap.maps.tags import LAYER_TAG
from landmap.products import find_product, is_raster_folder, product_at, product_in
from landmap.products.stac_file import read_items
from landmap_models.gdal_dataset import open_dataset

RASTERS = frozenset(
    (
        *(".tif", ".tiff", ".gtiff", ".jp2", ".j2k", ".img", ".vrt", ".nc", ".nc4", ".h5", ".hdf5", ".he5", ".dim"),
        *(".dat", ".bil", ".bip", ".bsq", ".ers", ".pix", ".kea"),
    )
)
"""Endings of files that are taken for scenes; a scene with another ending must be named by itself."""
BESIDE = frozenset((*SIDECARS, ".qml", ".hdr", ".tfw", ".tifw", ".jgw", ".j2w", ".wld", ".prj", ".md5", ".sha256"))
"""Endings of files that belong to a raster beside them, or to an archive."""
WORKING = ".landmap"
"""Ending of the folder that an unfinished map keeps beside it."""


@dataclass(frozen=True, slots=True)
class SceneFolder:
    """The content of a folder."""

    scenes: tuple[Path, ...]
    """Scenes for `classify`, by name."""
    skipped: tuple[str, ...]
    """Paths that are no scenes, each with the reason. Hidden files, sidecars and landmap's own maps are not listed."""


def scenes_in(folder: Path) -> SceneFolder:
    """Find the scenes in a folder, but not in the folders inside it: one that holds the bands of a scene is that scene.

    Raises:
        SceneError: The folder itself holds bands, and they are not of one scene.
    """
    if product_at(folder):
        return SceneFolder((folder,), ())
    scenes, skipped = [], []
    for entry in sorted(folder.iterdir()):
        reason = _reason(entry)
        if reason is None:
            scenes.append(entry)
        elif reason:
            skipped.append(f"{entry} ({reason})")
    return SceneFolder(tuple(scenes), tuple(skipped))


def _reason(entry: Path) -> str | None:
    """Say why an entry of a folder is no scene; None where it is one, and "" where the reason need not be listed."""
    suffix = entry.suffix.lower()
    if entry.name.startswith(".") or suffix in BESIDE or suffix == WORKING or entry.name.lower().endswith(".aux.xml"):
        return ""
    if suffix == ".data" and entry.with_suffix(".dim").is_file():
        return ""  # SNAP's: the scene is the .dim
    if suffix == ".safe":
        return None  # a damaged one, too: it fails later, with a message
    try:
        if suffix in (".json", ".geojson"):
            return _reason_of_json(entry)
        if entry.is_dir():
            return _reason_of_folder(entry)
        if suffix == ".zip":
            return _reason_of_archive(entry)
    except SceneError as error:
        # What is meant as a scene and is none is not skipped: it fails later, with a message.
        return None if entry.is_dir() or suffix == ".zip" else str(error).removeprefix(f"{entry}: ")
    if suffix not in RASTERS:
        return "its ending is that of no scene; give it by itself if it is one"
    return "" if _is_own(entry) else None


def _reason_of_json(entry: Path) -> str | None:
    items = read_items(str(entry))
    if len(items) == 1:
        return None
    return f"an ItemCollection of {len(items)} scenes; give it by itself" if items else "no STAC Item"


def _reason_of_folder(entry: Path) -> str | None:
    if is_raster_folder(entry) or product_at(entry):
        return None
    inside = scenes_in(entry).scenes
    if len(inside) == 1 and product_in(entry):  # a folder around a product, as archives have it
        return None
    return f"a folder with {len(inside) or 'no'} scene{'s' * (len(inside) != 1)} in it; give it by itself"


def _reason_of_archive(entry: Path) -> str | None:
    if not is_zipfile(entry) or find_product(str(entry)):
        return None
    return "an archive without a product or the bands of one"


def _is_own(entry: Path) -> bool:
    """Return whether a raster is a map that landmap made."""
    try:
        with open_dataset(entry) as file:
            return LAYER_TAG in file.tags()
    except (RasterioError, OSError):
        return False
