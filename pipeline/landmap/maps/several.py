"""Several covers are opened together: with one legend, their confidences and the times of their scenes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from landmap.crosswalk import PRODUCTS, recode
from landmap.errors import GeoreferenceError, SceneError, SettingsError
from landmap.geo.geobox import misplaced
from landmap.io.reading import open_raster
from landmap.maps.cover import Cover, read_cover, side_raster
from landmap.maps.raster_legend import own_legend
from landmap.products.sensing_time import parse_time, time_in_name
from landmap.tiling import Window


def confidences_of(paths: Sequence[str], given: Sequence[str | os.PathLike[str]] | None) -> list[str]:
    """Paths of the rasters of confidence of covers.

    Args:
        paths: Files of the covers, in the order in which they were given.
        given: The rasters in the order of the covers; None or none takes those beside them, `<cover>_confidence.tif`.

    Raises:
        SettingsError: There are rasters, but not as many as covers.
        SceneError: There is none beside a cover.
    """
    if given:
        if len(given) != len(paths):
            raise SettingsError(
                f"Expected a raster of confidence for each of {len(paths)} covers. Received {len(given)}"
            )
        return [os.fspath(path) for path in given]
    found = [os.fspath(Path(path).with_name(f"{Path(path).stem}_confidence.tif")) for path in paths]
    for cover, path in zip(paths, found, strict=True):
        if not Path(path).is_file():
            raise SceneError(
                f"{cover}: expected its confidence beside it, {Path(path).name}, as confidences are asked for. Found "
                "none: classify with --confidence and that name, or name the rasters (--confidence)"
            )
    return found


def read_confidence(path: str | None, cover: Cover) -> Cover | None:
    """Read the header of a cover's raster of confidence: percent, 255 without data."""
    side = side_raster(path, cover, "confidence")
    return None if side is None else Cover(side.path, cover.geobox, ())


def open_covers(paths: Sequence[str], legend: str | os.PathLike[str] | None) -> tuple[list[Cover], bool]:
    """Read the headers of covers that have one legend and a place on the ground.

    Args:
        paths: Files of the covers, in the order in which they were given.
        legend: Name of a product's legend, into which all are recoded, or a file with the meaning of the ids of covers
            that don't say it; None: all say it.

    Returns:
        The covers, and whether any is recoded.

    Raises:
        SceneError: A cover can't be read, or the classes differ.
        GeoreferenceError: A cover has no place on the ground.
    """
    product = os.fspath(legend) if legend is not None and os.fspath(legend) in PRODUCTS else None
    found = [_recoded(path, product) if product else read_cover(path, legend) for path in paths]
    for cover in found:
        if problem := misplaced(cover.geobox):
            raise GeoreferenceError(f"{cover.path}: {problem[0]}")
    first = found[0]
    other = next((c for c in found if (c.ids, c.names) != (first.ids, first.names)), None)
    if other is not None and product is None:
        raise SceneError(
            f"Expected covers of the same classes. {first.path} has {_named(first)}; {other.path} has {_named(other)}: "
            f"recode all of them with --legend {' or '.join(PRODUCTS)}"
        )
    return found, any(cover.own for cover in found)


def _named(cover: Cover) -> str:
    return ", ".join(f"{c.id} {c.name}" for c in cover.classes)


def _recoded(path: str, product: str) -> Cover:
    """Read the header of a cover as it is with the classes of a product."""
    with open_raster(path) as file:
        has_own = bool(own_legend(file))
    cover = read_cover(path, None if has_own else product)
    codes = {c.id: c.name for c in PRODUCTS[product].classes}
    if all(codes.get(c.id) == c.name for c in cover.classes):
        return cover
    try:
        made = recode(cover.names, product)
    except ValueError as error:
        raise SceneError(f"{path}: can't be given the legend {product}: {error}") from error
    becomes = {c.id: made.classes[place].id for c, place in zip(cover.classes, made.places, strict=True)}
    return cover.recoded(made.classes, becomes)


def time_of(cover: Cover) -> datetime | None:
    """Time of a cover's scene by the Item that a batch wrote beside it, or by a name; None if nothing has it."""
    item = Path(cover.path).with_suffix(".json")
    with suppress(OSError, ValueError, AttributeError, TypeError, SettingsError):
        properties = json.loads(item.read_text("utf-8")).get("properties", {})
        text = properties.get("datetime") or (properties.get("start_datetime") if _is_day(properties) else None)
        if text:
            return parse_time(text)
    for name in (cover.tags.get("LANDMAP_SCENE", ""), Path(cover.path).name):
        when: date | None = time_in_name(name)
        if when is not None:
            return when if isinstance(when, datetime) else datetime(when.year, when.month, when.day, tzinfo=UTC)
    return None


def _is_day(properties: Mapping[str, Any]) -> bool:
    """Whether an Item's interval is one day; another one stands for a time that is not known."""
    return str(properties.get("start_datetime"))[:10] == str(properties.get("end_datetime"))[:10]


def check_whole(covers: Sequence[Cover]) -> None:
    """Read the last pixels of each cover, before any work: of a file that was cut short they are missing.

    Raises:
        SceneError: A cover can't be read.
    """
    for cover in covers:
        height, width = cover.geobox.shape
        for window in (Window(0, 0, 1, 1), Window(height - 1, width - 1, 1, 1)):
            cover.read(window)
