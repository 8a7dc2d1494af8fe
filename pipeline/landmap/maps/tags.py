"""Tags of the rasters that landmap writes are named, written and read here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args

from landmap.errors import SceneError
from landmap_models.legend import LandClass

LEGEND_TAG = "LANDMAP_LEGEND"
"""Class names by id, as JSON."""
RECODED_TAG = "LANDMAP_RECODED"
"""Which classes of the model became which of another product's legend, in words; only where they did."""
MOSAIC_TAG = "LANDMAP_MOSAIC"
"""The rule by which overlaps of several covers were decided; only where a map is made of several."""
LAYER_TAG = "LANDMAP_LAYER"
"""What the pixels hold: "classes", "confidence", "probabilities", "change" or "series"."""
STRIDE_TAG = "LANDMAP_STRIDE"
"""Pixels between two windows of the model."""
CELL_TAG = "LANDMAP_CELL"
"""Pixels along a cell, the smallest square that has probabilities of its own."""
Rule = Literal["first", "confidence", "date"]
"""Which cover decides where several have a class: the first, the one that is surest there, or the latest."""
RULES: tuple[Rule, ...] = get_args(Rule)
"""All rules."""

Content = TypeVar("Content", dict[str, Any], list[Any])


def class_names(tags: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, str]:
    """Read class names by id from the tags of a cover.

    Args:
        tags: Tags of the file.
        path: Name of the file, for the error.

    Raises:
        SceneError: The tags are not those of a cover that landmap wrote.
    """
    if tags.get(LAYER_TAG) != "classes" or LEGEND_TAG not in tags:
        raise SceneError(f"{path}: expected a cover written by landmap (its tag {LAYER_TAG} says classes)")
    return {i: str(name) for i, name in tag_content(tags, LEGEND_TAG, dict[str, Any](), path).items() if i.isdecimal()}


def tag_content(tags: Mapping[str, str], name: str, otherwise: Content, path: str | os.PathLike[str]) -> Content:
    """Read a tag of a cover that holds JSON.

    Args:
        tags: Tags of the file.
        name: Name of the tag.
        otherwise: A dict or a list, as the tag must hold one; it is returned where there is no such tag.
        path: Name of the file, for the error.

    Raises:
        SceneError: The tag holds something else: it is damaged, or another program's.
    """
    if name not in tags:
        return otherwise
    try:
        found = json.loads(tags[name])
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{path}: expected JSON as its tag {name}: {error}. Classify the scene again") from error
    if not isinstance(found, type(otherwise)):
        kind = "an object" if isinstance(otherwise, dict) else "a list"
        raise SceneError(f"{path}: expected {kind} as its tag {name}. Received: {tags[name][:40]}")
    return found


def legend_tag(legend: Iterable[LandClass]) -> str:
    """Return class names by id as the JSON text of the tag LANDMAP_LEGEND."""
    return json.dumps({str(c.id): c.name for c in legend})
