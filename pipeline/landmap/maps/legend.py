"""The legend of a raster of class ids: its own, or one from a file that the user names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError

from landmap.crosswalk import PRODUCTS
from landmap.errors import SceneError
from landmap.io.delimited import ENDINGS, TableError, read_table
from landmap.io.reading import first_cause
from landmap.maps.raster_legend import NOT_CLASSES, Classes, change_of_values, make_classes, own_legend
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG
from landmap_models.errors import LandmapError
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import NODATA, UNKNOWN, UNKNOWN_ID, LandClass
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard

IDS = "id", "class_id", "classid", "value", "code", "class"
NAMES = "name", "class_name", "label", "description", "category", "class"
COLORS = "color", "colour", "hex", "html"
PARTS = ("red", "r"), ("green", "g"), ("blue", "b")
"""Titles that the columns of a legend in a table may have, the most wanted first."""
HELP = (
    "name a file that says what the ids mean: --legend FILE (the cover it was made from, a model or its card, QML, or "
    "CSV with the columns id,name,color), or --legend "
    f"{' or '.join(PRODUCTS)}"
)


def legend_or_refuse(file: Any, given: str | os.PathLike[str] | None) -> Classes:
    """Return the legend that the user gives for a raster, or the raster's own.

    Args:
        file: Open rasterio dataset.
        given: File with the legend, see `read_legend`; None takes the raster's own.

    Raises:
        SceneError: There is no legend, or the given one differs from the raster's own; the raster has several bands, or
            holds no classes.
    """
    if file.tags().get(LAYER_TAG) in NOT_CLASSES:
        raise SceneError(
            f"{file.name}: expected a cover written by landmap (its tag {LAYER_TAG} says classes). It holds "
            f"{file.tags()[LAYER_TAG]}"
        )
    if file.count != 1:
        raise SceneError(
            f"{file.name}: expected a cover written by landmap, or another raster of one band of class ids. Found "
            f"{file.count} bands"
        )
    try:
        found = read_legend(given) if given is not None else own_legend(file)
    except ValueError as error:
        raise SceneError(f"{file.name}: expected a legend that can be used: {error}") from error
    if not found:
        change = change_of_values(file) if file.driver == "VRT" else ""
        why = f"a VRT whose ids may not mean what they mean in its sources, as {change}" if change else "none"
        raise SceneError(
            f"{file.name}: expected a cover written by landmap (its tag {LAYER_TAG} says classes), or another raster "
            f"that says what its ids mean. Found {why}: {HELP}"
        )
    if given is not None and LEGEND_TAG in file.tags():
        _refuse_other(file, found, given)
    return found


def _refuse_other(file: Any, found: Classes, given: str | os.PathLike[str]) -> None:
    """Refuse a legend that names an id of a cover otherwise than the cover's own tag."""
    own, other = ({c.id: c.name for c in classes if c.id != UNKNOWN_ID} for classes in (own_legend(file), found))
    if own and own != other:
        differ = next(i for i in sorted(own | other) if own.get(i) != other.get(i))
        raise SceneError(
            f"{file.name}: says itself what its ids mean (id {differ}: {own.get(differ, 'no class')}), and otherwise "
            f"than {os.fspath(given)} ({other.get(differ, 'no class')}): --legend is for maps that don't say it. Leave "
            "it out"
        )


def read_legend(path: str | os.PathLike[str]) -> Classes:
    """Read a legend from a cover, a model (.keras) or its card (.json), a style of QGIS (.qml), or a table.

    Args:
        path: The file; its ending says what it is. What has another ending is opened as a raster. Or the name of a
            product's legend, a key of `landmap.crosswalk.PRODUCTS`.

    Returns:
        Classes by ascending id, "Unknown" among them where the file has it.

    Raises:
        SceneError: The file can't be read, or holds no legend that can be used.
    """
    name = os.fspath(path)
    if name in PRODUCTS:
        return PRODUCTS[name].classes
    ending = Path(name).suffix.lower()
    try:
        if ending == ".keras":
            return (*read_card(name).legend, UNKNOWN)
        if ending == ".json":
            return _of_json(_text(name), name)
        if ending == ".qml":
            return _of_qml(_text(name))
        if ending in ENDINGS:
            return _of_table(Path(name))
        return _of_raster(name)
    except (TableError, ValueError, ElementTree.ParseError) as error:
        raise SceneError(f"{name}: expected a legend: {error}") from error
    except SceneError:
        raise
    except LandmapError as error:
        raise SceneError(f"Expected a legend (a cover, a model or its card, QML, CSV). {error}") from error


def check_ids(path: str, legend: Iterable[LandClass], counts: npt.NDArray[np.integer]) -> None:
    """Refuse a map with ids that its legend does not have: their pixels would be in no row of a table.

    Args:
        path: Name of the map.
        legend: Classes that the map may have.
        counts: Number of pixels by id, `(256,)`.

    Raises:
        SceneError: The map has other ids; the message names them and the number of their pixels.
    """
    known = {c.id for c in legend} | {NODATA}
    strange = [i for i in np.flatnonzero(counts).tolist() if i not in known]
    if strange:
        listed = ", ".join(f"{i} ({int(counts[i]):,} px)" for i in strange[:8])
        more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
        raise SceneError(
            f"{path}: expected only ids of the legend. Found {listed}{more}: give a legend that has them "
            "(--legend FILE, such as CSV with the columns id,name,color), or say which is nodata (gdal_edit -a_nodata)"
        )


def class_ids(path: str, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Turn values of a raster of any type into class ids; 255 where the raster has no data.

    Args:
        path: Name of the raster, for the error.
        values: Values, of any shape.
        valid: Where the raster has data, of the same shape.

    Raises:
        SceneError: A value is no class id.
    """
    whole = np.where(valid, values, NODATA)
    if whole.dtype != np.uint8:
        strange = whole[(whole != np.floor(whole)) | (whole < 0) | (whole > NODATA)]
        if strange.size:
            raise SceneError(f"{path}: expected class ids from 0 to {UNKNOWN_ID}. Found {strange[0]:g}")
    return whole.astype(np.uint8)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error


def _of_raster(path: str) -> Classes:
    try:
        with open_dataset(path) as file:
            found = own_legend(file)
    except RasterioError as error:
        raise SceneError(f"{path}: can't be read: {first_cause(error)}") from error
    if not found:
        raise SceneError(f"{path}: expected a legend. This raster says nothing of its ids: {HELP}")
    return found


def _of_json(text: str, origin: str) -> Classes:
    """Read a card's legend, or names by id as in the tag of a cover."""
    content = json.loads(text)
    if isinstance(content, dict) and content and all(re.fullmatch(r"\d+", key) for key in content):
        return make_classes([(int(i), str(name), None) for i, name in content.items()])
    return (*ModelCard.from_json(text, origin).legend, UNKNOWN)


def _of_qml(text: str) -> Classes:
    """Read the palette of a raster's style, or the categories of a vector layer's style."""
    root = ElementTree.fromstring(text)
    entries = [(e.get("value"), e.get("label"), e.get("color")) for e in root.iter("paletteEntry")]
    if not entries:
        colors = {symbol.get("name"): _symbol_color(symbol) for symbol in root.findall(".//symbols/symbol")}
        found = root.findall(".//categories/category")
        entries = [(c.get("value"), c.get("label"), colors.get(c.get("symbol"))) for c in found]
    if not entries:
        raise ValueError("this style has no palette and no categories")
    whole = [(value, label, color) for value, label, color in entries if re.fullmatch(r"\d+(\.0*)?", value or "")]
    return make_classes([(int(float(value or 0)), label or "", color) for value, label, color in whole])


def _symbol_color(symbol: ElementTree.Element) -> str | None:
    for option in (*symbol.iter("Option"), *symbol.iter("prop")):
        if "color" in (option.get("name"), option.get("k")):
            parts = (option.get("value") or option.get("v") or "").split(",")[:3]
            return "#{:02x}{:02x}{:02x}".format(*map(int, parts))
    return None


def _of_table(path: Path) -> Classes:
    """Read the columns of a table with ids, names and perhaps colours."""
    table = read_table(path)
    ids = table.find(*IDS)
    names = next((place for name in NAMES if (place := table.find(name)) is not None and place != ids), None)
    if ids is None or names is None:
        raise TableError(f"expected the columns id and name, and perhaps color. Found {', '.join(table.titles)}")
    color, parts = table.find(*COLORS), [table.find(*titles) for titles in PARTS]
    entries = []
    for row in table.rows:
        if not re.fullmatch(r"\d+(\.0*)?", row[ids]):
            raise TableError(f"expected whole numbers in the column {table.titles[ids]}. Found {row[ids]!r}")
        value = row[color] if color is not None else None
        if None not in parts:
            value = "#{:02x}{:02x}{:02x}".format(*(int(row[place]) for place in parts if place is not None))
        entries.append((int(float(row[ids])), row[names], value or None))
    return make_classes(entries)
