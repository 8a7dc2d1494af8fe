"""Facts of how a cover was made, from its tags and its plan, without folders and secrets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from landmap.geo.geobox import ground_pixel_sides, misplaced
from landmap.inference.plan import Plan
from landmap.io.remote import name_of
from landmap.maps.cover import Cover
from landmap.maps.tags import MOSAIC_TAG, RECODED_TAG, tag_content
from landmap.scene.scene import Scene
from landmap.settings import Settings
from landmap_models.model_file.card import margin_text

FACTS = (
    ("LANDMAP_MODEL", "Model"),
    ("LANDMAP_MODEL_SHA256", "Its weights (SHA-256)"),
    ("LANDMAP_PRECISION", "Precision"),
    ("LANDMAP_STRIDE", "Stride in pixels"),
    ("LANDMAP_NODATA", "No data"),
    ("LANDMAP_CLOUDS", "Clouds"),
    ("LANDMAP_NIR", "Near infrared"),
    (RECODED_TAG, "Legend"),
    ("LANDMAP_COVERS", "Covers of which the map is made"),
    (MOSAIC_TAG, "Where they overlap, decides"),
    ("LANDMAP_VERSION", "landmap"),
)
"""Tags of a cover, and their names for people."""


def facts(scene: Scene, cover: Cover, plan: Plan | None) -> list[tuple[str, str]]:
    """Return how a cover was made, as names of facts and their texts.

    Args:
        scene: The scene that was classified.
        cover: The finished map, as `landmap.maps.cover` opened it.
        plan: The plan by which the map was made; None where it is not known.

    Raises:
        SceneError: A tag is damaged.
    """
    tags, nothing = cover.tags, dict[str, Any]()
    bands, files = (
        tag_content(tags, "LANDMAP_BANDS", nothing, cover.path),
        tag_content(tags, "LANDMAP_FILES", list[Any](), cover.path),
    )
    found = [
        ("Scene", scene.source.path),
        *([("Files", ", ".join(files))] if len(files) > 1 else []),
        ("Bands in the file", ", ".join(f"{name} is band {i}" for name, i in bands.items())),
    ]
    found += _place(scene) + _radiometry(tag_content(tags, "LANDMAP_RADIOMETRY", nothing, cover.path))
    found += [(title, tags[tag]) for tag, title in FACTS if tags.get(tag)]
    if plan:
        found.append(("Seen at once", _seen(plan)))
    found.append(("Settings", _given(tag_content(tags, "LANDMAP_SETTINGS", nothing, cover.path))))
    return [(name, without_folder(text, scene)) for name, text in found]


def _seen(plan: Plan) -> str:
    """How much of the scene a class depends on, in words."""
    if plan.card.per_pixel:
        return f"a class is that of a pixel, {margin_text(plan.card)}"
    side = plan.grid.chip_size
    return f"{side} x {side} px: a class is what that neighbourhood is, not a pixel"


def plan_text(plan: Plan) -> str:
    """Return a plan as JSON that people read."""
    return without_folder(json.dumps(plan.to_dict(), indent=1, ensure_ascii=False), plan.scene)


def without_folder(text: str, scene: Scene) -> str:
    """Replace the path of a scene in a text by its name, without folder and without secrets in its address."""
    for path in (scene.source.path, json.dumps(scene.source.path, ensure_ascii=False)[1:-1]):
        text = text.replace(path, name_of(scene.source.path))
    return text


def _place(scene: Scene) -> list[tuple[str, str]]:
    from pyproj import CRS

    if scene.geobox.crs is None:
        return []
    crs = CRS.from_wkt(scene.geobox.crs)
    epsg = crs.to_epsg()
    place = [("CRS", f"{crs.name} (EPSG:{epsg})" if epsg else crs.name)]
    if not misplaced(scene.geobox):
        place.append(("Pixel on the ground", "{:.4g} x {:.4g} m".format(*ground_pixel_sides(scene.geobox))))
    return place


def _radiometry(decided: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name.capitalize(), origin if name == "haze" else f"{_short(decided.get(name))} ({origin})")
        for name, origin in decided.get("origins", {}).items()
    ]


def _short(value: Any) -> str:
    """Write a value, or one number where all bands have the same."""
    if not isinstance(value, list):
        return str(value)
    numbers = [f"{number:.6g}" for number in value]
    return numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)


def _given(settings: Mapping[str, Any]) -> str:
    """List the settings that differ from the defaults."""
    default = dataclasses.asdict(Settings())
    return ", ".join(f"{k} {v}" for k, v in settings.items() if v != default.get(k)) or "as by default"
