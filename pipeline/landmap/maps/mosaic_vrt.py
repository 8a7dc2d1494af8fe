"""A VRT that shows covers on one grid as one raster of classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers
from landmap.io.publish import Staged, staging, write_errors
from landmap.io.qgis import class_style
from landmap.io.remote import is_remote
from landmap.tiling import Window
from landmap_models.legend import NODATA

OVERVIEWS = 512
"""Rows and columns down to which a VRT has overviews, each half as large as the one before."""


@contextmanager
def stage_vrt(path: Path, grid: GeoBox, layers: Layers, sources: Sequence[tuple[str, Window]]) -> Iterator[Staged]:
    """Write a VRT under a temporary name, which is gone after this context unless it was published.

    Args:
        path: The output's name; local covers are named relative to its folder.
        grid: Place of the pixels.
        layers: The one band's name, the tags and the legend.
        sources: Names of covers with nodata 255, and their windows of the grid; the first is on top.
    """
    text = _text(path, grid, layers, sources)
    with staging(path) as folder:
        file, style = folder / path.name, folder / "style.qml"
        with write_errors(path):
            file.write_bytes(text)
            if layers.legend:
                style.write_bytes(class_style(layers.legend))
        yield Staged(path, file, style=style if layers.legend else None)


def _text(path: Path, grid: GeoBox, layers: Layers, sources: Sequence[tuple[str, Window]]) -> bytes:
    root = ElementTree.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    _add(root, "SRS", grid.crs or "")
    _add(root, "GeoTransform", ", ".join(repr(float(number)) for number in grid.transform.to_gdal()))
    metadata = ElementTree.SubElement(root, "Metadata")
    for key, value in layers.tags.items():
        _add(metadata, "MDI", value).set("key", key)
    band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    _add(band, "Description", layers.descriptions[0])
    _add(band, "NoDataValue", str(NODATA))
    _add(band, "ColorInterp", "Palette")
    by_id = {c.id: c for c in layers.legend or ()}
    names, colors = ElementTree.SubElement(band, "CategoryNames"), ElementTree.SubElement(band, "ColorTable")
    for i in range(NODATA + 1):  # both are counted from 0
        rgb = by_id[i].rgb if i in by_id else (0, 0, 0)
        entry = {f"c{n}": str(part) for n, part in enumerate((*rgb, 0 if i == NODATA else 255), 1)}
        ElementTree.SubElement(colors, "Entry", entry)
        if i <= max(by_id, default=-1):
            _add(names, "Category", by_id[i].name if i in by_id else "")
    for name, window in reversed(sources):  # the last one is on top
        _add_source(band, path, name, window)
    levels = [2**n for n in range(1, 20) if max(grid.shape) >= OVERVIEWS * 2**n]
    if levels:
        _add(root, "OverviewList", " ".join(map(str, levels))).set("resampling", "nearest")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _add(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child


def _add_source(band: ElementTree.Element, path: Path, name: str, window: Window) -> None:
    """Add a cover, of which nodata is left out."""
    source = ElementTree.SubElement(band, "ComplexSource", resampling="near")
    local = not is_remote(name) and Path(name).exists()
    shown = os.path.relpath(Path(name).resolve(), path.parent.resolve()) if local else name
    _add(source, "SourceFilename", shown).set("relativeToVRT", str(int(local)))
    _add(source, "SourceBand", "1")
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0"} | size)
    ElementTree.SubElement(source, "DstRect", {"xOff": str(window.col_off), "yOff": str(window.row_off)} | size)
    _add(source, "NODATA", str(NODATA))
