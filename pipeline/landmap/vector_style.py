"""How QGIS is to draw the polygons of a legend: QML, as QGIS 3.22 writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from landmap_models.legend import LandClass

ATTRIBUTE = "class_id"
"""The column that decides the colour."""
STYLES_LAYER = "layer_styles"
"""The table of a GeoPackage in which QGIS looks for styles."""


def vector_qml(legend: Sequence[LandClass], attribute: str = ATTRIBUTE) -> str:
    """QML of a categorised renderer: each class in its colour, under its name, without outlines.

    Args:
        legend: Ids, names and colours.
        attribute: The column with the class id.
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
    """Rows of the table `layer_styles`, one for each layer, with the columns that QGIS gives it."""
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
