"""Where the scenes of a batch are named: folders, globs, CSV, JSON lines, STAC ItemCollections."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmap.delimited import SEPARATORS
from landmap.errors import SceneError, SettingsError
from landmap.jobs import Job, Jobs, default_output, scene_path
from landmap.remote import shown
from landmap.scene_folder import scenes_in
from landmap.stac_file import address, is_url, read_items, split_address
from landmap.stac_item import asset_path, data_assets, item_bands

if TYPE_CHECKING:
    from pystac import Item

COLUMNS = ("scene", "output", "options", "datetime")
"""What an entry of a list may have; only the scene is needed."""


def find_jobs(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], asset: str | None = None) -> Jobs:
    """The jobs that some sources name, in their order.

    A source is a folder (all in it that `classify` takes, or the scene whose bands it holds), a glob, a scene, or a
    list: CSV (of any separator) with the columns scene,output,options,datetime, JSON lines with these keys, or a STAC
    ItemCollection. Relative paths in a list are relative to the list. `options` is a JSON object of fields of
    `Settings`. Where no output is named it is `<scene's stem>_cover.tif`, of a STAC Item `<its id>_cover.tif`.

    Args:
        sources: One or several.
        asset: Key of the asset that is the scene, all bands in one raster, for STAC Items; None: an asset for each
            band, or the only one with data.

    Raises:
        SettingsError: A list can't be read or understood; names the line.
        SceneError: A folder holds bands of several scenes.
    """
    each = [sources] if isinstance(sources, str | os.PathLike) else sources
    skipped: list[str] = []
    return Jobs([job for source in each for job in _jobs(os.fspath(source), asset, skipped)], skipped)


def _jobs(source: str, asset: str | None, skipped: list[str]) -> list[Job]:
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        found = scenes_in(path)
        skipped += found.skipped
        if not found.scenes:
            raise SettingsError(f"{source}: expected scenes. Received none{_few(found.skipped)}")
        return [job for scene in found.scenes for job in _scene(str(scene), asset)]
    if suffix == ".csv":
        return _from_csv(path)
    if suffix in (".jsonl", ".ndjson"):
        return _from_json_lines(path)
    if suffix in (".json", ".geojson"):
        return _from_stac(source, asset)
    if glob.has_magic(source) and not path.exists() and "://" not in source:
        scenes = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 # may be absolute
        if not scenes:
            raise SettingsError(f"{source}: expected scenes. Received none")
        return [job for scene in scenes for job in _scene(scene, asset)]
    return _scene(source, asset)


def _scene(scene: str, asset: str | None) -> list[Job]:
    if scene.lower().endswith((".json", ".geojson")):
        return _from_stac(scene, asset)
    return [Job(scene, default_output(scene))]


def _few(skipped: Sequence[str]) -> str:
    return f": {'; '.join(skipped[:3])}{' …' if len(skipped) > 3 else ''}" if skipped else ""


def _from_csv(path: Path) -> list[Job]:
    lines = _text(path).splitlines()
    marks = [mark for mark in SEPARATORS if lines and mark in lines[0]]
    rows = csv.DictReader(lines, delimiter=marks[0] if len(marks) == 1 else ",", strict=True)
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


def _from_stac(path: str, asset: str | None) -> list[Job]:
    try:
        items = read_items(path)
        if not items:
            raise SettingsError(f"{path}: expected a STAC Item, or an ItemCollection with items")
        return [_item(item, path if len(items) == 1 else address(path, item), asset) for item in items]
    except SceneError as error:
        raise SettingsError(str(error)) from error


def _item(item: Item, name: str, asset: str | None) -> Job:
    """The job of one STAC Item: by its bands, as `classify` takes it, or by the raster that holds them all."""
    where = f"{name}: {item.id}"
    rasters = data_assets(item)
    if asset is not None:
        if asset not in item.assets:
            raise SettingsError(f"{where}: expected an asset {asset}. Received: {', '.join(item.assets) or 'none'}")
        scene = asset_path(item.assets[asset])
    elif item_bands(item, where):
        scene = name
    elif len(rasters) == 1:
        scene = next(iter(rasters.values()))
    else:
        first = next(iter(rasters), "KEY")
        raise SettingsError(
            f"{where}: expected an asset for each band, or one that holds them all. Received: "
            f"{', '.join(item.assets) or 'none'}. Name the one that holds them all: --asset {first}"
        )
    acquired = item.properties.get("datetime")
    at = item.get_self_href() or name
    source = shown(at) if is_url(at) else split_address(name)[0]
    return Job(scene, f"{item.id.replace('/', '-')}_cover.tif", {}, acquired, source)


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
