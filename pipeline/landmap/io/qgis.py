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
FILL_IN = "class"
"""Column that is to be filled in with the name of a class; `train` and `assess` read it by default."""
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
    return _vector_text(root)


def _vector_text(root: ElementTree.Element) -> str:
    ElementTree.indent(root, " ")
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return doctype + ElementTree.tostring(root, encoding="unicode") + "\n"


def to_fill_in_qml(legend: Sequence[LandClass], kind: str, hidden: Sequence[str] = ()) -> str:
    """Return QML for features whose column `class` is empty, to be filled in.

    A form offers the classes by name; features get the colour of their class, and are white with a red outline before.

    Args:
        legend: Names and colours of the classes.
        kind: Geometry type: "Polygon" or "Point".
        hidden: Columns that the form does not show, such as those that would tell the mapped class.
    """
    categories = "Symbology|Fields|Forms"
    root = ElementTree.Element("qgis", version="3.22.0-Białowieża", styleCategories=categories)
    about = {
        "type": "categorizedSymbol",
        "attr": FILL_IN,
        "symbollevels": "0",
        "enableorderby": "0",
        "forceraster": "0",
    }
    renderer = ElementTree.SubElement(root, "renderer-v2", about)
    entries, symbols = (ElementTree.SubElement(renderer, name) for name in ("categories", "symbols"))
    open_ones = [("", "to fill in", "255,255,255,70" if kind == "Polygon" else "255,255,255,255")]
    for number, (value, label, color) in enumerate(
        [*((c.name, c.name, ",".join(map(str, (*c.rgb, 160)))) for c in legend), *open_ones]
    ):
        category = {"value": value, "symbol": str(number), "label": label, "render": "true", "type": "string"}
        ElementTree.SubElement(entries, "category", category)
        about = {"name": str(number), "type": "fill" if kind == "Polygon" else "marker", "alpha": "1"}
        symbol = ElementTree.SubElement(symbols, "symbol", about | {"clip_to_extent": "1", "force_rhr": "0"})
        look = {"color": color, "outline_color": "227,26,28,255", "outline_style": "solid", "outline_width": "0.4"}
        drawn = {"style": "solid"} if kind == "Polygon" else {"name": "circle", "size": "2.6"}
        _add_layer(symbol, "SimpleFill" if kind == "Polygon" else "SimpleMarker", look | drawn)
    fields = ElementTree.SubElement(root, "fieldConfiguration")
    for name, widget in ((FILL_IN, "ValueMap"), *((name, "Hidden") for name in hidden)):
        field = ElementTree.SubElement(fields, "field", name=name)
        config = ElementTree.SubElement(ElementTree.SubElement(field, "editWidget", type=widget), "config")
        options = ElementTree.SubElement(config, "Option", type="Map")
        if widget == "ValueMap":
            choices = ElementTree.SubElement(options, "Option", name="map", type="List")
            for c in legend:
                choice = ElementTree.SubElement(choices, "Option", type="Map")
                ElementTree.SubElement(choice, "Option", name=c.name, value=c.name, type="QString")
    ElementTree.SubElement(root, "layerGeometryType").text = "2" if kind == "Polygon" else "0"
    return _vector_text(root)


def _add_symbol(symbols: ElementTree.Element, c: LandClass) -> None:
    about = {"name": str(c.id), "type": "fill", "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    symbol = ElementTree.SubElement(symbols, "symbol", about)
    colour = ",".join(map(str, (*c.rgb, 255)))
    properties = {
        "color": colour,
        "outline_color": colour,
        "outline_style": "no",
        "style": "solid",
    }
    _add_layer(symbol, "SimpleFill", properties)


def _add_layer(symbol: ElementTree.Element, kind: str, properties: Mapping[str, str]) -> None:
    about = {"class": kind, "enabled": "1", "locked": "0", "pass": "0"}
    layer = ElementTree.SubElement(symbol, "layer", about)
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
    return _rows(vector_qml(legend), layers)


def to_fill_in_rows(
    legend: Sequence[LandClass], layer: str, kind: str, hidden: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Return the table `layer_styles` for one layer to fill in; see `to_fill_in_qml`."""
    return _rows(to_fill_in_qml(legend, kind, hidden), [layer])


def _rows(qml: str, layers: list[str]) -> dict[str, npt.NDArray[Any]]:
    count = len(layers)

    def same(text: str) -> npt.NDArray[np.object_]:
        return np.full(count, text, object)

    return {
        "f_table_catalog": same(""),
        "f_table_schema": same(""),
        "f_table_name": np.array(layers, object),
        "f_geometry_column": same("geom"),
        "styleName": same("landmap"),
        "styleQML": same(qml),
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
