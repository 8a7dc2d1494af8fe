"""Where the scenes of a batch are named: folders, globs, CSV, JSON lines, STAC ItemCollections."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from landmap.errors import SettingsError
from landmap.jobs import Job, default_output, scene_path
from landmap.remote import shown

SCENES = (".tif", ".tiff", ".jp2", ".vrt", ".safe")
"""Endings of what a folder is searched for."""
COLUMNS = ("scene", "output", "options", "datetime")
"""What an entry of a list may have; only the scene is needed."""


def find_jobs(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], asset: str | None = None
) -> list[Job]:
    """The jobs that some sources name, in their order.

    A source is a folder (its rasters, not those of folders in it), a glob, a scene, or a list: CSV with the columns
    scene,output,options,datetime, JSON lines with these keys, or a STAC ItemCollection. Relative paths in a list are
    relative to the list. `options` is a JSON object of fields of `Settings`. Where no output is named it is
    `<scene's stem>_cover.tif`.

    Args:
        sources: One or several.
        asset: Key of the asset that is the scene, in STAC Items that have several with data.

    Raises:
        SettingsError: A list can't be read or understood; names the line.
    """
    each = [sources] if isinstance(sources, str | os.PathLike) else sources
    return [job for source in each for job in _jobs(os.fspath(source), asset)]


def _jobs(source: str, asset: str | None) -> list[Job]:
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir() and suffix not in SCENES:
        return _plain(sorted(str(p) for p in path.iterdir() if _is_scene(p)), source)
    if suffix == ".csv":
        return _from_csv(path)
    if suffix in (".jsonl", ".ndjson"):
        return _from_json_lines(path)
    if suffix in (".json", ".geojson"):
        return _from_stac(path, asset)
    if glob.has_magic(source) and not path.exists() and "://" not in source:
        return _plain(sorted(glob.glob(source, recursive=True)), source)  # noqa: PTH207 # may be absolute
    return _plain([source], source)


def _is_scene(path: Path) -> bool:
    return path.suffix.lower() in SCENES and not path.name.startswith(".")


def _plain(scenes: Sequence[str], source: str) -> list[Job]:
    if not scenes:
        raise SettingsError(f"{source}: expected scenes ({', '.join(SCENES)}). Received none")
    return [Job(scene, default_output(scene)) for scene in scenes]


def _from_csv(path: Path) -> list[Job]:
    rows = csv.DictReader(_text(path).splitlines(), strict=True)
    try:
        entries = [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise SettingsError(f"{path}: can't be read as CSV: {error}") from error
    return _listed(path, entries)


def _from_json_lines(path: Path) -> list[Job]:
    lines = enumerate(_text(path).splitlines(), 1)
    return _listed(path, [(number, _json(line, f"{path}, line {number}")) for number, line in lines if line.strip()])


def _listed(path: Path, entries: Iterable[tuple[int, Any]]) -> list[Job]:
    jobs = [_entry(entry, path.parent, f"{path}, line {number}") for number, entry in entries]
    if not jobs:
        raise SettingsError(f"{path}: expected a line for each scene. Received none")
    return jobs


def _entry(entry: Any, folder: Path, where: str) -> Job:
    if isinstance(entry, Mapping):
        entry = {key: value for key, value in entry.items() if value not in (None, "")}
    if not isinstance(entry, Mapping) or not set(entry) <= set(COLUMNS) or "scene" not in entry:
        received = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else repr(entry)
        raise SettingsError(f"{where}: expected {','.join(COLUMNS)}, at least scene. Received: {received}")
    options = entry.get("options") or {}
    options = _json(options, f"{where}, options") if isinstance(options, str) else options
    texts = [entry.get(name) for name in ("scene", "output", "datetime")]
    if not isinstance(options, Mapping) or not all(text is None or isinstance(text, str) for text in texts):
        raise SettingsError(f'{where}: expected texts, and options such as {{"stride": 16}}. Received: {dict(entry)}')
    scene = scene_path(entry["scene"], folder)
    return Job(scene, entry.get("output") or default_output(scene), dict(options), entry.get("datetime"))


def _from_stac(path: Path, asset: str | None) -> list[Job]:
    content = _json(_text(path), str(path))
    items = content.get("features", [content]) if isinstance(content, Mapping) else None
    if not items or not isinstance(items, list):
        raise SettingsError(f"{path}: expected a STAC ItemCollection with items")
    return [_item(item, path, asset) for item in items]


def _item(item: Any, path: Path, asset: str | None) -> Job:
    """The job of one STAC Item; a relative link is relative to the Item itself, where that says where it lies."""
    try:
        name, assets, properties = str(item["id"]), item["assets"], item["properties"]
        scene = str(assets[_scene_asset(name, assets, asset)]["href"])
        at = next((str(link["href"]) for link in item.get("links", []) if link["rel"] == "self"), None)
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path}: expected STAC Items with id, properties and assets; {error} is missing"
        ) from error
    if at is not None and "://" in at and not ("://" in scene or scene.startswith("/")):
        from urllib.parse import urljoin

        scene = urljoin(at, scene)
    output = f"{name.replace('/', '-')}_cover.tif"
    source = shown(at) if at is not None else str(path)
    return Job(scene_path(scene, path.parent), output, {}, properties.get("datetime"), source)


def _scene_asset(name: str, assets: Mapping[str, Any], wanted: str | None) -> str:
    data = [key for key, value in assets.items() if "data" in value.get("roles", [])] or list(assets)
    if wanted in assets:
        return str(wanted)
    if wanted is not None or len(data) != 1:
        raise SettingsError(
            f"{name}: expected one asset that holds the scene, all bands in one raster. Received: {', '.join(data)}. "
            "Name it with --asset"
        )
    return data[0]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # spreadsheets put a mark before the first letter
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{where}: can't be read as JSON: {error}") from error
