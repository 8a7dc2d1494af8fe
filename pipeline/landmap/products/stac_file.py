"""Reads the STAC Items in a JSON file or behind a URL, and names each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from landmap.errors import SceneError

if TYPE_CHECKING:
    from pystac import Item

TIMEOUT = 30
"""Seconds within which a server has to answer."""
LISTED = 5
"""Number of Items that an error lists."""


def may_be_item(path: str) -> bool:
    """Whether a path has the ending of JSON, or is the URL of an Item in a catalogue."""
    parts = urlsplit(path)
    ending = parts.path.lower().endswith((".json", ".geojson"))
    return ending or (parts.scheme in ("http", "https") and re.search(r"/items/[^/]+/?$", parts.path) is not None)


def is_url(path: str) -> bool:
    """Whether a path is a URL with http or https."""
    return urlsplit(path).scheme in ("http", "https")


def address(file: str, item: Item) -> str:
    """The name of one Item of an ItemCollection: `items.json#S2B_33UUP_20230813_0_L2A`."""
    return f"{file}#{item.id}"


def split_address(path: str) -> tuple[str, str]:
    """Split a path into the file and the id of an Item in it; the id is empty if the path names none."""
    file, separator, name = path.rpartition("#")
    return (file, name) if separator and (is_url(path) or not Path(path).exists()) else (path, "")


def read_item(path: str) -> Item | None:
    """Read the one STAC Item that a path names; None if there is no file, or other JSON.

    Args:
        path: A JSON file or a URL; for one Item of an ItemCollection its `address`.

    Raises:
        SceneError: It can't be read, is no JSON, is another STAC object, or holds several Items and none is named.
    """
    file, name = split_address(path)
    if not is_url(file) and not Path(file).is_file():
        return None
    found = read_items(file)
    chosen = [item for item in found if name in ("", item.id)]
    if len(chosen) > 1 or (found and not chosen):
        wanted = f"one Item with the id {name}" if name else "one STAC Item, which is one scene"
        raise SceneError(
            f"{file}: expected {wanted}. Received an ItemCollection: {_listed(found)}. Name one of them, such as "
            f"{address(file, found[0])}, or give all to landmap batch"
        )
    return chosen[0] if chosen else None


def read_items(file: str) -> list[Item]:
    """Read the STAC Items in a JSON file or behind a URL: one, or those of an ItemCollection; none of other JSON.

    Relative links of an Item in a collection are relative to its own "self" link, if it has one, else to the file.

    Raises:
        SceneError: It can't be read, is no JSON, or is another STAC object.
    """
    content, href = _json(_read(file), file), file if is_url(file) else str(Path(file).absolute())
    if parts := _features(content):
        return [_item(part, _own_address(part) or href, file) for part in parts]
    item = _checked(content, href, file)
    return [item] if item else []


def parse_item(text: bytes, href: str, where: str) -> Item | None:
    """Parse the STAC Item in the content of a file; None if it is other JSON.

    Args:
        text: The file's content, JSON in UTF-8.
        href: Absolute path or URL of the file, to which its links are relative.
        where: Name of the file, for messages.

    Raises:
        SceneError: It is no JSON, or another STAC object.
    """
    return _checked(_json(text, where), href, where)


def _features(content: object) -> list[Mapping[str, Any]]:
    """The Items of an ItemCollection; none of anything else, such as a GeoJSON file of shapes."""
    parts = content.get("features") if isinstance(content, Mapping) else None
    are_items = isinstance(parts, list) and all(isinstance(part, Mapping) and "assets" in part for part in parts)
    return list(parts) if are_items and parts else []


def _own_address(item: Mapping[str, Any]) -> str | None:
    links = (link for link in item.get("links") or () if isinstance(link, Mapping) and link.get("rel") == "self")
    return next((str(link["href"]) for link in links if is_url(str(link.get("href")))), None)


def _read(file: str) -> bytes:
    try:
        if is_url(file):
            with urlopen(file, timeout=TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        return Path(file).read_bytes()
    except (OSError, HTTPException) as error:
        raise SceneError(f"{file}: can't be read: {getattr(error, 'reason', None) or error}") from error


def _json(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SceneError(f"{where}: expected JSON, such as a STAC Item: {error}") from error


def _checked(content: object, href: str, where: str) -> Item | None:
    if not isinstance(content, dict) or "stac_version" not in content:
        return None
    if content.get("type") != "Feature":
        raise SceneError(f"{where}: expected a STAC Item, which is one scene. Received: a {content.get('type')}")
    return _item(content, href, where)


def _item(content: Mapping[str, Any], href: str, where: str) -> Item:
    from pystac import Item, STACError

    try:
        return Item.from_dict(dict(content), href=href)
    except (STACError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SceneError(f"{where}: expected a STAC Item; it can't be understood: {error!r}") from error


def _listed(items: Sequence[Item]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return ", ".join(item.id for item in items[:LISTED]) + more
