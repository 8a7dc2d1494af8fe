"""Styles for QGIS: rasters and polygons in the colours of a legend, as QML that QGIS 3.22 writes and reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from landmap_models.legend import LandClass

ATTRIBUTE = "class_id"
"""Column of the polygons whose value decides the colour."""
STYLES_LAYER = "layer_styles"
"""Table of a GeoPackage in which QGIS looks for styles."""


def vector_qml(legend: Sequence[LandClass], attribute: str = ATTRIBUTE) -> str:
    """Return QML of a categorised renderer: each class in its colour, under its name, without outlines.

    Args:
        legend: Ids, names and colours of the classes.
        attribute: Name of the column with the class id.
    """
    root = ElementTree.Element("qgis", version="3.22.0-Białowieża", styleCategories="Symbology")
    renderer = ElementTree.SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": attribute, "symbollevels": "0", "enableorderby": "0", "forceraster": "0"},
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for c in legend:
        about = {"value": str(c.id), "symbol": str(c.id), "label": c.name, "render": "true", "type": "integer"}
        ElementTree.SubElement(categories, "category", about)
        _add_symbol(symbols, c)
    ElementTree.SubElement(root, "layerGeometryType").text = "2"  # polygons
    ElementTree.indent(root, " ")
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return doctype + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_symbol(symbols: ElementTree.Element, c: LandClass) -> None:
    about = {"name": str(c.id), "type": "fill", "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    symbol = ElementTree.SubElement(symbols, "symbol", about)
    fill = {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    layer = ElementTree.SubElement(symbol, "layer", fill)
    colour = ",".join(map(str, (*c.rgb, 255)))
    properties = {
        "color": colour,
        "outline_color": colour,
        "outline_style": "no",
        "style": "solid",
    }
    options = ElementTree.SubElement(layer, "Option", type="Map")
    for name, value in properties.items():
        ElementTree.SubElement(options, "Option", name=name, value=value, type="QString")
    for name, value in properties.items():  # what QGIS before 3.18 reads
        ElementTree.SubElement(layer, "prop", k=name, v=value)


def style_rows(legend: Sequence[LandClass], layers: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the table `layer_styles` by column, with the columns that QGIS gives it.

    Args:
        legend: Ids, names and colours of the classes.
        layers: Names of the layers; each has a row.
    """
    count = len(layers)

    def same(text: str) -> npt.NDArray[np.object_]:
        return np.full(count, text, object)

    return {
        "f_table_catalog": same(""),
        "f_table_schema": same(""),
        "f_table_name": np.array(layers, object),
        "f_geometry_column": same("geom"),
        "styleName": same("landmap"),
        "styleQML": same(vector_qml(legend)),
        "styleSLD": same(""),
        "useAsDefault": np.ones(count, np.bool_),
        "description": same("Colours and names of the classes"),
        "owner": same(""),
        "ui": same(""),
        "update_time": np.full(count, np.datetime64("now", "ms")),
    }


RAMP = {0: "#440154", 25: "#3b528b", 50: "#21918c", 75: "#5ec962", 100: "#fde725"}
"""Colours of confidence by percent (viridis): evenly spaced to the eye, and distinct to the colour-blind."""
QGIS_VERSION = "3.22.0"
"""Oldest version of QGIS that reads the files as they are written here."""


def style_path(raster: Path) -> Path:
    """Return the file in which QGIS looks for the style of a raster: `cover.qml` for `cover.tif`."""
    return raster.with_suffix(".qml")


def class_style(legend: Iterable[LandClass]) -> bytes:
    """Return QML that shows class ids by colour and name; nodata stays transparent."""
    root, renderer = _raster_style("paletted")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for c in legend:
        entry = {"value": str(c.id), "color": c.color, "label": c.name, "alpha": "255"}
        ElementTree.SubElement(palette, "paletteEntry", entry)
    return _text(root)


def percent_style(ramp: Mapping[int, str] = RAMP) -> bytes:
    """Return QML that shows percent, from 0 to 100, by a ramp of colours.

    Args:
        ramp: Colours by percent, between which QGIS interpolates.
    """
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
    """Make the root of a style and the renderer in it."""
    root = ElementTree.Element("qgis", {"version": QGIS_VERSION, "styleCategories": "Symbology"})
    pipe = ElementTree.SubElement(root, "pipe")
    how = {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    return root, ElementTree.SubElement(pipe, "rasterrenderer", how | attributes)


def _text(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text = bytes(ElementTree.tostring(root, encoding="utf-8"))
    return b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + text
