"""The legend that a raster has itself: in a tag, in category names, or in the sources of a VRT."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rasterio.errors import RasterioError

from landmap.errors import SceneError
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG
from landmap_models.gdal_dataset import open_dataset
from landmap_models.legend import EUROSAT, MAX_CLASS_ID, NODATA, PALETTE, UNKNOWN, UNKNOWN_ID, LandClass

Classes = tuple[LandClass, ...]
"""Classes by ascending id."""

XML = "xml:VRT"
"""Domain of tags, and its only key, in which GDAL gives the text of a VRT."""
KEEPING = "near", "nearest", "nearestneighbour", "mode"
"""Resampling methods that give values of the source and no others."""
PLAIN_BANDS = "VRTSourcedRasterBand", "VRTWarpedRasterBand"
PLAIN_DATASETS = "VRTDataset", "VRTWarpedDataset"
"""Kinds of bands and of VRTs that pass on values of their sources."""
CHANGING = "LUT", "Exponent", "ColorTableComponent"
"""Elements of a source by which its values become others."""


NOT_CLASSES = "confidence", "probabilities"
"""Layers that landmap writes whose values are no classes."""


def own_legend(file: Any) -> Classes:
    """Return the legend that a raster has itself, "Unknown" among its classes; empty where it has none.

    It is in landmap's tag, in GDAL's category names or attribute table, or in the sources of a VRT if they all have the
    same legend and the VRT passes on their values unchanged.

    Args:
        file: Open rasterio dataset.

    Raises:
        SceneError: Its tag can't be understood, or the sources of a VRT disagree or can't be found.
    """
    if file.tags().get(LAYER_TAG) in NOT_CLASSES:
        return ()
    found = _of_header(file)
    if file.driver != "VRT":
        return found
    if not change_of_values(file):
        return found or _of_sources(file)
    # Programs copy names from a source into a VRT that changes its values: they are then not the VRT's own.
    return () if found in _by_source(file) else found


def _of_header(file: Any) -> Classes:
    """Return the legend in the header of a raster, or in the sidecar."""
    tags = file.tags()
    if LEGEND_TAG in tags:
        return _of_names(_tagged(tags[LEGEND_TAG], file.name), _palette(file))
    if names := _categories(file):
        return _of_names(names, _palette(file))
    return ()


def _of_sources(file: Any) -> Classes:
    """Return the legend of the sources of a VRT, if all have the same."""
    found = _by_source(file)
    if len(found) > 1 and () not in found:
        one, other = list(found.values())[:2]
        raise SceneError(f"{file.name}: expected sources of one legend. Those of {one} and {other} differ")
    return next(iter(found)) if len(found) == 1 else ()


def _by_source(file: Any) -> dict[Classes, str]:
    """Return the legends of the sources of a VRT, each with the first source that has it; some may be empty.

    Raises:
        SceneError: A source is missing.
    """
    found: dict[Classes, str] = {}
    for source in file.files[1:]:
        if source.lower().endswith((".aux.xml", ".ovr", ".msk")):
            continue
        try:
            with open_dataset(source) as other:
                legend = own_legend(other)
        except RasterioError as error:
            if not source.startswith("/vsi") and not Path(source).exists():
                raise SceneError(
                    f"{file.name}: expected the file {source}, a source of this VRT. It is missing: put it back, or "
                    "make the VRT anew"
                ) from error
            legend = ()
        found.setdefault(legend, source)
    return found


def _tagged(text: str, name: str) -> dict[int, str]:
    try:
        return {int(i): str(name) for i, name in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise SceneError(f"{name}: expected class names by id in its tag {LEGEND_TAG}: {error}") from error


def _palette(file: Any) -> Mapping[int, Sequence[int]]:
    try:
        return dict(file.colormap(1))
    except ValueError:
        return {}  # a map that other programs have written may have no palette


def _of_names(names: Mapping[int, str], palette: Mapping[int, Sequence[int]]) -> Classes:
    colors = {i: "#{:02x}{:02x}{:02x}".format(*palette[i][:3]) for i in names if i in palette}
    return make_classes([(i, name, colors.get(i)) for i, name in names.items()])


def _categories(file: Any) -> dict[int, str]:
    """Read GDAL's category names, or its attribute table, from a VRT or `.aux.xml`; rasterio reads neither."""
    beside = () if file.driver == "VRT" else file.files[:3]  # those of a VRT are its sources'
    for path in dict.fromkeys((file.name, f"{file.name}.aux.xml", *beside)):
        if not path.lower().endswith((".vrt", ".aux.xml")) or not Path(path).is_file():
            continue
        try:
            root = ElementTree.fromstring(Path(path).read_bytes())
        except (OSError, ElementTree.ParseError):
            continue
        names = [category.text or "" for category in root.findall(".//CategoryNames/Category")]
        if found := {i: name for i, name in enumerate(names) if name} or _attributes(root):
            return found
    return {}


def _attributes(root: ElementTree.Element) -> dict[int, str]:
    """Read ids and names of a raster attribute table; empty where it has no column of names."""
    usages = [field.findtext("Usage") for field in root.findall(".//GDALRasterAttributeTable/FieldDefn")]
    ids = next((usages.index(usage) for usage in ("5", "3") if usage in usages), None)  # MinMax, Min
    if ids is None or "2" not in usages:
        return {}
    rows = [[cell.text or "" for cell in row] for row in root.findall(".//GDALRasterAttributeTable/Row")]
    pairs = [(row[ids], row[usages.index("2")]) for row in rows]
    return {int(float(i)): name for i, name in pairs if name and re.fullmatch(r"\d+(\.0*)?", i)}


def make_classes(entries: Sequence[tuple[int, str, str | None]]) -> Classes:
    """Make the classes of a legend, by ascending id.

    Args:
        entries: Id, name and colour of each class, such as "#1f6b2e"; None where it has no colour, and gets one.

    Raises:
        ValueError: An id is out of range or occurs twice, a name is missing or occurs twice, or a colour can't be read.
    """
    found = [(i, name.strip(), color) for i, name, color in sorted(entries, key=lambda entry: entry[0]) if i != NODATA]
    if not found:
        raise ValueError("there is no class in it")
    for kind, values in (("id", [str(i) for i, _, _ in found]), ("name", [name for _, name, _ in found])):
        if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
            raise ValueError(f"expected each {kind} once. Found {twice[0]!r} more often")
    for i, name, _ in found:
        if i > UNKNOWN_ID or (i == UNKNOWN_ID and name != UNKNOWN.name):
            raise ValueError(
                f"expected ids from 0 to {MAX_CLASS_ID}; {UNKNOWN_ID} is Unknown and {NODATA} nodata. Found {i} "
                f"({name}): give the raster other ids (gdal_calc)"
            )
    known = {c.name: c.color for c in EUROSAT} | {UNKNOWN.name: UNKNOWN.color}
    return tuple(
        LandClass(i, name, _color(color) if color else known.get(name, PALETTE[at % len(PALETTE)]))
        for at, (i, name, color) in enumerate(found)
    )


def _color(text: str) -> str:
    """Return a colour as "#rrggbb"; it may lack the "#", and may have an opacity, which is left out."""
    bare = text.strip().lstrip("#")
    if not re.fullmatch(r"[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", bare):
        raise ValueError(f"expected colours such as #1f6b2e. Found {text!r}")
    return f"#{bare[:6].lower()}"


def change_of_values(file: Any) -> str:
    """Say what a VRT does to the values of its sources, so that ids don't mean the same any more; "" where nothing.

    Args:
        file: Open rasterio dataset of a VRT.
    """
    text = file.tags(ns=XML).get(XML, "")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return "its text can't be read"
    kind = root.get("subClass", PLAIN_DATASETS[0])
    if kind not in PLAIN_DATASETS:
        return f"it computes its values ({kind})"
    how = root.findtext(".//ResampleAlg", KEEPING[0])
    if kind == PLAIN_DATASETS[1] and how.lower() not in KEEPING:
        return f"it resamples ({how})"
    return next((words for band in root.findall("VRTRasterBand") if (words := _of_band(band))), "")


def _of_band(band: ElementTree.Element) -> str:
    kind = band.get("subClass", PLAIN_BANDS[0])
    if kind not in PLAIN_BANDS:
        return f"it computes its values ({kind})"
    sources = [element for element in band if element.tag.endswith("Source")]
    return next((words for source in sources if (words := _of_source(source))), "")


def _of_source(source: ElementTree.Element) -> str:
    if source.tag not in ("SimpleSource", "ComplexSource"):
        return f"it computes its values ({source.tag})"
    if changing := [name for name in CHANGING if source.find(name) is not None]:
        return f"it changes values ({changing[0]})"
    for name, same in (("ScaleOffset", 0.0), ("ScaleRatio", 1.0)):
        if _number(source.findtext(name), same) != same:
            return f"it changes values ({name})"
    if (how := source.get("resampling", KEEPING[0])).lower() not in KEEPING:
        return f"it resamples ({how})"
    if (number := source.findtext("SourceBand", "1").strip()) != "1":
        return f"it takes another band than the first (SourceBand {number})"
    return ""


def _number(text: str | None, missing: float) -> float:
    """Read a number; NaN, which equals no number, where the text is none."""
    try:
        return missing if text is None else float(text)
    except ValueError:
        return float("nan")
