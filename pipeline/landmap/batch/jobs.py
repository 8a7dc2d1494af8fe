"""The jobs of a batch are read from folders, globs, CSV, JSON lines and STAC ItemCollections, and checked."""

from __future__ import annotations

import csv
import glob
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from landmap.batch.scene_folder import scenes_in
from landmap.errors import SceneError, SettingsError
from landmap.io.cog import RASTER_ENDINGS
from landmap.io.delimited import SEPARATORS
from landmap.io.remote import name_of, redacted
from landmap.products.sensing_time import parse_time
from landmap.products.stac import asset_path, data_assets, item_bands
from landmap.products.stac_file import address, is_url, read_items, split_address
from landmap.settings import Choices, Settings, with_choices

if TYPE_CHECKING:
    from pystac import Item


ENDING = re.compile(r"(?<=.)\.[A-Za-z][^.]*$")
"""Pattern of the ending of a scene's name; "HLS.S30.T33UUP.2023225T100559.v2.0" has none."""
SWITCHES = tuple(f.name for f in fields(Settings) if f.type == "bool")


@dataclass(frozen=True, slots=True)
class Job:
    """One scene of a batch."""

    scene: str
    """The scene: anything that `classify` takes."""
    output: str
    """Path of the cover inside the batch's folder, with "/" between its parts: `a_cover.tif`, `2023/a.tif`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Settings` for this scene alone."""
    acquired: str | None = None
    """Time when the scene was taken, ISO 8601; None takes it from the scene's name and tags."""
    source: str | None = None
    """URL or path of a STAC Item that describes the scene; None where there is none."""

    @property
    def name(self) -> str:
        """Id of the cover's STAC Item: the output without its ending."""
        return PurePosixPath(self.output).with_suffix("").as_posix().replace("/", "-")


class Jobs(list[Job]):
    """A list of jobs, and what was skipped when it was made."""

    def __init__(self, jobs: Iterable[Job], skipped: Iterable[str] = ()) -> None:
        super().__init__(jobs)
        self.skipped = tuple(skipped)
        """Paths in the given folders that are no scenes, each with the reason."""


def default_output(scene: str) -> str:
    """Return the output of a scene for which none is named: `<stem>_cover.tif`.

    What follows the last dot of the name is an ending only if it begins with a letter.
    """
    name = name_of(scene.replace("\\", "/"))  # a list may come from Windows
    return f"{ENDING.sub('', name) or name}_cover.tif"


def check_jobs(jobs: Sequence[Job], settings: Settings) -> tuple[Settings, ...]:
    """Check the jobs of a batch, and return the settings of each.

    Args:
        jobs: All jobs of a batch.
        settings: Settings of the batch, over which a job's own options take precedence.

    Raises:
        SettingsError: There are no jobs, two have the same output, an output lies outside the folder, or an option or
            date is not valid. The message names the scene.
    """
    if not jobs:
        raise SettingsError("Expected at least one scene. Received an empty list")
    by_name: dict[str, Job] = {}
    for job in jobs:
        _check_output(job)
        other = by_name.setdefault(
            job.name.casefold(), job
        )  # on some file systems a capital is the same as a small letter
        if other is not job:
            raise SettingsError(
                f"Expected an output of its own for each scene. {redacted(other.scene)} and {redacted(job.scene)} "
                f"would both become {job.output}: name their outputs in a list (CSV: scene,output)"
            )
    return tuple(_settings(job, settings) for job in jobs)


def _check_output(job: Job) -> None:
    path = PurePosixPath(job.output)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in job.output
    hidden = any(part.startswith(".") for part in path.parts)
    if not inside or hidden or path.suffix.lower() not in RASTER_ENDINGS:
        raise SettingsError(
            f"{redacted(job.scene)}: expected as output a .tif inside the batch's folder, such as a.tif or 2023/a.tif. "
            f"Received: {job.output!r}"
        )


def _settings(job: Job, settings: Settings) -> Settings:
    try:
        for name in SWITCHES:
            if not isinstance(job.options.get(name, False), bool):
                raise SettingsError(f"{name}: expected true or false. Received: {job.options[name]!r}")
        if not isinstance(job.options.get("model", ""), str):
            raise SettingsError(f"model: expected a name. Received: {job.options['model']!r}")
        if job.acquired is not None:
            parse_time(job.acquired)
        return with_choices(settings, cast(Choices, dict(job.options)))
    except (SettingsError, TypeError) as error:
        raise SettingsError(f"{redacted(job.scene)}: {error}") from error


def local_path(scene: str) -> Path | None:
    """Return the file or folder of a scene, or the file of the ItemCollection that it is in; None where there is none.

    A URL has none; it may even be too long for the name of a file.
    """
    try:
        file = Path(split_address(scene)[0])
        return file if file.exists() else None
    except (OSError, ValueError):
        return None


def scene_path(text: str, folder: Path) -> str:
    """Return the path of a scene that a list in `folder` names: relative paths are relative to the list."""
    beside = str(folder / text)
    if local_path(beside):
        return beside
    named_otherwise = text.startswith("/") or ":" in text  # /vsizip/…, https://…, GTIFF_DIR:1:a.tif
    return text if named_otherwise else beside


COLUMNS = ("scene", "output", "options", "datetime")
"""Columns, or keys, that an entry of a list may have; only the scene is needed."""


def find_jobs(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], asset: str | None = None) -> Jobs:
    """Find the jobs of a batch.

    A source is a folder (all scenes in it, or the scene whose bands it holds), a glob, a scene, or a list: CSV (with
    any separator) with the columns scene,output,options,datetime, JSON lines with these keys, or a STAC ItemCollection.
    Relative paths in a list are relative to the list. `options` is a JSON object of fields of `Settings`. The output is
    `<scene's stem>_cover.tif` where none is named; for a STAC Item it is `<its id>_cover.tif`.

    Args:
        sources: One source or several.
        asset: Key of the asset of STAC Items that holds all bands in one raster; None takes the assets that are one
            band each, or the only asset with data.

    Returns:
        The jobs in the order of the sources, and what was skipped in folders.

    Raises:
        SettingsError: A list can't be read or understood; the message names the line.
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
    """Make the job of one STAC Item: of the Item if its assets are bands, or of the raster that holds them all."""
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
    source = redacted(at) if is_url(at) else split_address(name)[0]
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
