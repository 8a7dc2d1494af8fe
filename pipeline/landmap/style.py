"""How QGIS shows a raster without a click: a QML file of the raster's own name beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from landmap_models.legend import LandClass

RAMP = {0: "#440154", 25: "#3b528b", 50: "#21918c", 75: "#5ec962", 100: "#fde725"}
"""Colours of confidence by percent (viridis): evenly spaced to the eye, and told apart by the colour-blind."""
QGIS_VERSION = "3.22.0"
"""The oldest that reads the files as they are written here."""


def style_path(raster: Path) -> Path:
    """Where QGIS looks for the style of a raster: `cover.qml` for `cover.tif`."""
    return raster.with_suffix(".qml")


def class_style(legend: Iterable[LandClass]) -> bytes:
    """QML that shows class ids by colour and name; nodata stays transparent."""
    root, renderer = _raster_style("paletted")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for c in legend:
        entry = {"value": str(c.id), "color": c.color, "label": c.name, "alpha": "255"}
        ElementTree.SubElement(palette, "paletteEntry", entry)
    return _text(root)


def percent_style(ramp: Mapping[int, str] = RAMP) -> bytes:
    """QML that shows percent, from 0 to 100, by a ramp of colours."""
    ends = {"classificationMin": "0", "classificationMax": "100"}
    root, renderer = _raster_style("singlebandpseudocolor", **ends)
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"),
        "colorrampshader",
        {"colorRampType": "INTERPOLATED", "classificationMode": "1", "minimumValue": "0", "maximumValue": "100"},
    )
    for value, color in ramp.items():
        ElementTree.SubElement(
            shader, "item", {"value": str(value), "color": color, "label": f"{value} %", "alpha": "255"}
        )
    return _text(root)


def _raster_style(kind: str, **attributes: str) -> tuple[ElementTree.Element, ElementTree.Element]:
    """The root of a style and the renderer in it."""
    root = ElementTree.Element("qgis", {"version": QGIS_VERSION, "styleCategories": "Symbology"})
    pipe = ElementTree.SubElement(root, "pipe")
    how = {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    return root, ElementTree.SubElement(pipe, "rasterrenderer", how | attributes)


def _text(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text = bytes(ElementTree.tostring(root, encoding="utf-8"))
    return b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + text
