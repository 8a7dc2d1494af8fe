"""The Items of a batch become one STAC Collection, beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from landmap.cover_item import COLLECTION
from landmap.errors import OutputError
from landmap.longitudes import span
from landmap.outputs import write_text

if TYPE_CHECKING:
    import pystac

WORLD = [-180.0, -90.0, 180.0, 90.0]
"""The extent where no Item has a place."""


def item_path(output: str) -> str:
    """Where the Item of a cover lies, both relative to the batch's folder."""
    return PurePosixPath(output).with_suffix(".json").as_posix()


def write_item(folder: Path, output: str, item: Mapping[str, Any]) -> None:
    """Write an Item beside its cover.

    Raises:
        OutputError: The disk is full, or the like.
    """
    write_text(folder / item_path(output), json.dumps(item, indent=1) + "\n")


def write_collection(folder: Path, outputs: Sequence[str]) -> Path | None:
    """Write the Collection of some covers, anew from their Items; None where there are none.

    Raises:
        OutputError: The disk is full, or the like; or an Item is damaged.
    """
    import pystac

    items = {}
    for output in outputs:
        path = folder / item_path(output)
        if path.is_file():
            items[item_path(output)] = _read(path)
    if not items:
        return None
    name = Path(os.path.abspath(folder)).name  # noqa: PTH100 # a link is not followed
    collection = pystac.Collection(
        id=name,
        title=f"Land cover: {name}",
        description=(
            f"{len(items)} land-cover maps made by landmap {version('landmap')}. "
            "Contains modified Copernicus Sentinel data."
        ),
        extent=_extent(list(items.values())),
        license="other",  # landmap can't know what its user allows
        keywords=["land cover", "Sentinel-2"],
    )
    for place, item in items.items():
        link = pystac.Link("item", f"./{place}", media_type=pystac.MediaType.GEOJSON, title=item.id)
        collection.add_link(link)
    content = collection.to_dict(include_self_link=False, transform_hrefs=False)
    content["links"] = [link for link in content["links"] if link["rel"] != "root"]
    content["links"].insert(0, {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"})
    write_text(folder / COLLECTION, json.dumps(content, indent=1) + "\n")
    return folder / COLLECTION


def _read(path: Path) -> pystac.Item:
    import pystac

    try:
        return pystac.Item.from_dict(json.loads(path.read_text("utf-8")), migrate=False)
    except (OSError, ValueError, KeyError, TypeError, pystac.STACError) as error:
        raise OutputError(f"{path}: can't be read as a STAC Item. Remove it, and its scene is done again") from error


def _extent(items: Sequence[pystac.Item]) -> pystac.Extent:
    import pystac

    boxes = [item.bbox for item in items if item.bbox] or [WORLD]
    west, east = span(boxes)
    box = [west, min(box[1] for box in boxes), east, max(box[3] for box in boxes)]
    return pystac.Extent(pystac.SpatialExtent([box]), _times(items))


def _times(items: Sequence[pystac.Item]) -> pystac.TemporalExtent:
    import pystac

    starts = [item.datetime or item.common_metadata.start_datetime for item in items]
    ends = [item.datetime or item.common_metadata.end_datetime for item in items]
    return pystac.TemporalExtent([[min(t for t in starts if t), max(t for t in ends if t)]])
