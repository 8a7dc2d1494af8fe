"""What a VRT does to the values of its sources: passes them on as they are, or makes others of them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

XML = "xml:VRT"
"""Domain, and its only key, in which GDAL shows a VRT's own text."""
KEEPING = "near", "nearest", "nearestneighbour", "mode"
"""Ways of resampling that give values of the source and no others."""
PLAIN_BANDS = "VRTSourcedRasterBand", "VRTWarpedRasterBand"
PLAIN_DATASETS = "VRTDataset", "VRTWarpedDataset"
CHANGING = "LUT", "Exponent", "ColorTableComponent"
"""Elements of a source by which its values become others."""


def change_of_values(file: Any) -> str:
    """What an open VRT does by which ids don't mean what they mean in its sources, in words; empty: nothing."""
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
    """NaN where it is none: equal to no number."""
    try:
        return missing if text is None else float(text)
    except ValueError:
        return float("nan")
