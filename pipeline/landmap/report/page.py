"""A page that shows a map and says how it was made: one HTML file that needs no network."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from landmap.errors import OutputError
from landmap.geo.geobox import north
from landmap.inference.plan import Plan
from landmap.io.publish import new_file
from landmap.io.qgis import RAMP
from landmap.io.remote import name_of
from landmap.left_out import LEFT_OUT_TAG, NO_DATA, left_out_words, parse_left_out, percent_words
from landmap.maps.cover import Cover, read_cover
from landmap.maps.shares import ClassShare
from landmap.maps.summarize import count_cover
from landmap.maps.tags import tag_content
from landmap.products.files import check_outputs
from landmap.report.pictures import (
    check_cover,
    composite,
    hex_color,
    metres_per_pixel,
    palette_image,
    percent_colors,
    photo,
    thinned_classes,
    thinned_values,
)
from landmap.report.provenance import facts, plan_text, without_folder
from landmap.report.templates import fill
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap_models.legend import NODATA, LandClass

MAX_SIDE = 2048
"""Longest side of the pictures in pixels: up to 5 MB a page. Larger rasters are thinned out."""


@dataclass(frozen=True, slots=True)
class Map:
    """A map and its scene, of which a page is made."""

    scene: Scene
    """The scene that was classified."""
    cover: Path
    """Its cover; the file may have a temporary name."""
    confidence: Path | None = None
    """Raster of its confidence, which may have a temporary name; None where there is none."""
    legend: str | os.PathLike[str] | None = None
    """File with the meaning of the cover's ids; None where the cover has it itself."""
    plan: Plan | None = None
    """Plan by which the cover was made; None where it is not known, and the cover's tags are used."""
    warnings: Sequence[str] = ()
    """Warnings that are not in the cover's tags."""


def write_report(
    scene: str | os.PathLike[str],
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    confidence: str | os.PathLike[str] | None = None,
    legend: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a page about a cover: one HTML file.

    Args:
        scene: The scene that was classified.
        cover: The cover that `classify` wrote for it, or another raster of class ids with its geobox.
        output: The HTML file to write.
        settings: Settings that were given to `classify`, of which `bands`, `scale`, `offset` and `level` matter; None
            takes the defaults.
        confidence: Raster of confidence that `classify` wrote, too; None where there is none.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        overwrite: Whether a file that exists is replaced.

    Raises:
        SceneError: One of the rasters can't be read, or they don't belong together.
        OutputError: The page exists or can't be written, or jinja2 is not installed.
    """
    output = Path(output)
    check_report(output)
    settings = settings or Settings()
    check_outputs([output], scene, cover, confidence, legend, *settings.files, overwrite=overwrite)
    page = render(Map(open_scene(scene, settings), Path(cover), Path(confidence) if confidence else None, legend))
    with new_file(output, overwrite=overwrite) as file:
        file.write_text(page, "utf-8")


def check_report(output: Path) -> None:
    """Refuse what can't be written, before any work.

    Raises:
        OutputError: The name does not end in .html, or jinja2 is not installed.
    """
    if output.suffix.lower() != ".html":
        raise OutputError(f"{output}: expected a file name that ends in .html")
    if find_spec("jinja2") is None:
        raise OutputError("Reports need jinja2: pip install 'landmap[plot]'")


def render(made: Map) -> str:
    """Return the page about a map as HTML.

    Raises:
        SceneError: One of the rasters can't be read, or they don't belong together.
    """
    check_cover(made.scene, made.cover)
    return fill("report", "report.js", **_content(made))


def _content(made: Map) -> dict[str, Any]:
    """Return the values that the template shows."""
    scene, cover = made.scene, read_cover(made.cover, made.legend)
    legend, areas = cover.legend, _areas(made, cover)
    shown, classes = composite(scene, MAX_SIDE), thinned_classes(made.cover, MAX_SIDE)
    height, width = classes.shape
    warnings: list[str] = tag_content(cover.tags, "LANDMAP_WARNINGS", list[Any](), made.cover)
    step = north(scene.geobox)
    return {
        "scene": name_of(scene.source.path),
        "composite": shown.name,
        "width": width,
        "height": height,
        "picture": photo(shown.picture),
        "cover": palette_image(classes, {c.id: c.rgb for c in legend}),
        "confidence": made.confidence and palette_image(thinned_values(made.confidence, MAX_SIDE), percent_colors()),
        "ramp": ", ".join(f"{color} {percent}%" for percent, color in RAMP.items()),
        "north": step and round(math.degrees(math.atan2(step[0], -step[1])), 1),
        "warnings": [without_folder(text, scene) for text in dict.fromkeys((*warnings, *made.warnings))],
        "facts": facts(scene, cover, made.plan),
        "plan": made.plan and plan_text(made.plan),
        "data": _data(scene, legend, width, height),
        **areas,
    }


def _data(scene: Scene, legend: Sequence[LandClass], width: int, height: int) -> dict[str, Any]:
    """Return the values that the script reads, for a picture of some width and height in pixels."""
    metres = metres_per_pixel(scene)
    return {
        "width": width,
        "height": height,
        "metres": metres and metres * scene.geobox.width / width,
        "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in legend],
        "ramp": [hex_color(color) for color in percent_colors().values()],
    }


def _areas(made: Map, cover: Cover) -> dict[str, Any]:
    """Return the rows of the table of areas, and the text below it."""
    counter = count_cover(cover, made.confidence)
    shares = counter.shares(cover.legend)
    found = sorted((c for c in shares if c.pixels), key=lambda c: -c.pixels)
    most = max((c.share for c in found), default=1.0)
    colors = {c.id: c.color for c in cover.legend}
    pixels = sum(c.pixels for c in found)
    rows = [
        _numbers(c) | {"id": c.id, "name": c.name, "color": colors[c.id], "width": round(100 * c.share / most, 2)}
        for c in found
    ]
    left_out = parse_left_out(cover.tags.get(LEFT_OUT_TAG), counter.nodata)
    missing = left_out.get(NO_DATA, 0)
    hectares = sum(c.hectares or 0 for c in found) if found and found[0].hectares is not None else None
    mean = sum(c.pixels * (c.mean_confidence or 0) for c in found) / max(1, pixels)
    total = ClassShare(NODATA, "", pixels, 1.0, hectares, mean)
    return {
        "rows": rows,
        "total": _numbers(total),
        "has_hectares": hectares is not None,
        "has_means": made.confidence is not None,
        "absent": [c.name for c in shares if not c.pixels],
        "nodata": percent_words(missing / (pixels + counter.nodata)) if missing else None,
        "left_out": left_out_words(left_out, int(pixels) + counter.nodata),
        "has_gaps": counter.nodata > 0,
        "summary": _summary(made.scene, hectares, found),
    }


def _numbers(share: ClassShare) -> dict[str, str]:
    """Write the numbers of a row as they are printed."""
    return {
        "hectares": "" if share.hectares is None else f"{share.hectares:,.{0 if share.hectares >= 100 else 1}f}",
        "share": percent_words(share.share),
        "confidence": "" if share.mean_confidence is None else f"{share.mean_confidence:.0f} %",
    }


def _summary(scene: Scene, hectares: float | None, found: Sequence[ClassShare]) -> str:
    parts = [f"{scene.geobox.height:,} rows x {scene.geobox.width:,} columns"]
    if hectares is not None:
        parts.append(f"{hectares / 100:,.{0 if hectares >= 10_000 else 1}f} km² mapped")
    if found:
        parts.append(f"mostly {found[0].name} ({percent_words(found[0].share)})")
    return " · ".join(parts)
