"""A folder, on a disk or in a zip archive, becomes band files: which is which is told by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from zipfile import Path as ZipPath

from landmap.decisions import level_in
from landmap.product import CLASSI, CLOUDS, SCL, BandFile, names_classification
from landmap_models.band_names import band_name

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
    """What lies in a folder, by name, so that nothing depends on the order in which a disk lists it."""
    return sorted(folder.iterdir(), key=lambda entry: entry.name)


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
    """Level of a product and where it comes from, as fields of `Product`, by its bands alone; empty where unknown.

    It is in their names, or there is a scene classification, which only L2A has.
    """
    levels = {level for band in found if (level := level_in(band.label))}
    if len(levels) == 1:
        return {"level": levels.pop(), "origins": {"level": "the names of the bands' files"}}
    if any(band.name == SCL for band in found):
        origin = "the scene classification (SCL) beside its bands: only L2A has one"
        return {"level": "L2A", "origins": {"level": origin}}
    return {}


def cloud_files(folder: Traversable) -> tuple[BandFile, ...]:
    """L1C's own cloud masks in a folder, and in the folder for masks in it."""
    folders = [folder, *(inner for name in QUALITY_FOLDERS if (inner := folder / name).is_dir())]
    return tuple(
        BandFile(name, gdal_path(entry))
        for place in folders
        for entry in entries(place)
        if (name := cloud_file(entry.name)) and entry.is_file()
    )


def cloud_file(name: str) -> str | None:
    """Which of L1C's own cloud masks a file is by its name, MSK_CLASSI or MSK_CLOUDS; None where it is none."""
    stem, dot, ending = name.upper().rpartition(".")
    if CLASSI in stem and (dot + ending).lower() in RASTERS:
        return CLASSI
    return CLOUDS if CLOUDS in stem and ending == "GML" else None
