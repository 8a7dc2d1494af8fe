"""What a batch has to do: scenes, each with its output and options, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from landmap.errors import SettingsError
from landmap.planning import with_choices
from landmap.remote import shown
from landmap.settings import Settings
from landmap.stac_file import split_address

SUFFIXES = (".tif", ".tiff")
"""Endings of a cover's name."""
ENDING = re.compile(r"(?<=.)\.[A-Za-z][^.]*$")
"""Of a scene's name; none of "HLS.S30.T33UUP.2023225T100559.v2.0"."""
SWITCHES = tuple(f.name for f in fields(Settings) if f.type == "bool")


@dataclass(frozen=True, slots=True)
class Job:
    """One scene of a batch."""

    scene: str
    """Anything that GDAL opens as one raster."""
    output: str
    """The cover's path inside the batch's folder, with "/" between: `a_cover.tif`, `2023/a.tif`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Settings` for this scene alone."""
    acquired: str | None = None
    """When the scene was taken, ISO 8601; None: look at its name and tags."""
    source: str | None = None
    """URL or path of a STAC Item that describes the scene."""

    @property
    def name(self) -> str:
        """The output without its ending: what its STAC Item is called."""
        return PurePosixPath(self.output).with_suffix("").as_posix().replace("/", "-")


class Jobs(list[Job]):
    """Jobs in their order."""

    def __init__(self, jobs: Iterable[Job], skipped: Iterable[str] = ()) -> None:
        super().__init__(jobs)
        self.skipped = tuple(skipped)
        """What lies in the folders that were named and is no scene, each with the reason, in words."""


def default_output(scene: str) -> str:
    """`<stem>_cover.tif` for a path or URL; what follows the last dot counts as an ending where it begins so."""
    name = PurePosixPath(shown(scene).rstrip("/").replace(chr(92), "/")).name
    return f"{ENDING.sub('', name) or name}_cover.tif"


def check_jobs(jobs: Sequence[Job], settings: Settings) -> tuple[Settings, ...]:
    """Settings of each job, which are sound taken together.

    Args:
        jobs: All of a batch.
        settings: What a job's own options are put on top of.

    Raises:
        SettingsError: There are none, two have one output, an output lies outside the folder, or an option or date
            can't be meant. Names the scene.
    """
    if not jobs:
        raise SettingsError("Expected at least one scene. Received an empty list")
    by_name: dict[str, Job] = {}
    for job in jobs:
        _check_output(job)
        other = by_name.setdefault(job.name.casefold(), job)  # some file systems take no notice of capitals
        if other is not job:
            raise SettingsError(
                f"Expected an output of its own for each scene. {shown(other.scene)} and {shown(job.scene)} would "
                f"both become {job.output}: name their outputs in a list (CSV: scene,output)"
            )
    return tuple(_settings(job, settings) for job in jobs)


def _check_output(job: Job) -> None:
    path = PurePosixPath(job.output)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in job.output
    hidden = any(part.startswith(".") for part in path.parts)
    if not inside or hidden or path.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            f"{shown(job.scene)}: expected as output a .tif inside the batch's folder, such as a.tif or 2023/a.tif. "
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
        return with_choices(settings, dict(job.options))
    except (SettingsError, TypeError) as error:
        raise SettingsError(f"{shown(job.scene)}: {error}") from error


def parse_time(text: str) -> datetime:
    """A time as ISO 8601 writes it, in UTC where it names no zone.

    Raises:
        SettingsError: It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"Expected a time such as 2023-08-13T10:00:31Z. Received: {text!r}") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def is_remote(scene: str) -> bool:
    """Whether a scene is read over a network: nothing cheap tells whether it has changed."""
    return "://" in scene or re.match(r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)", scene) is not None


def local_path(scene: str) -> Path | None:
    """A scene's file or folder, of a STAC Item in a list the list; None where there is none of this name.

    So it is with a URL, which may be too long for a name.
    """
    try:
        file = Path(split_address(scene)[0])
        return file if file.exists() else None
    except (OSError, ValueError):
        return None


def scene_path(text: str, folder: Path) -> str:
    """A scene as a list in `folder` names it: relative paths are relative to the list."""
    beside = str(folder / text)
    if local_path(beside):
        return beside
    named_otherwise = text.startswith("/") or ":" in text  # /vsizip/…, https://…, GTIFF_DIR:1:a.tif
    return text if named_otherwise else beside
