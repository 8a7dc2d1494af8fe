"""The jobs of a batch get all that decides their outputs, and it is decided which of them are to be done."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from landmap.batch.jobs import Job, check_jobs, local_path
from landmap.batch.ledger import (
    CLOUDY,
    DONE,
    FAILED,
    NAME,
    OUTDATED,
    RUNNING,
    WAITING,
    Record,
    changed_files,
    missing_files,
)
from landmap.batch.report import HTML_NAME, JSON_NAME
from landmap.batch.stac import COLLECTION, item_path
from landmap.errors import OutputError, SettingsError
from landmap.io.remote import redacted
from landmap.left_out import percent_words
from landmap.maps.vectorize import VectorSettings
from landmap.products.files import scene_stamp
from landmap.run.fingerprint import Fingerprint, comparable_settings, difference, model_identity
from landmap.run.outputs import Derived, Outputs
from landmap.settings import NEUTRAL_SETTINGS, Settings
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import first_same

NAMED_ELSEWHERE = (*NEUTRAL_SETTINGS, "model", "device", "force")
"""Settings that don't change the cover, or that are part of the fingerprint in another form."""


@dataclass(frozen=True, slots=True)
class Extras:
    """Files that are written for each scene of a batch besides its cover, named after the cover."""

    vector: str | None = None
    """Format of the polygons, by the ending of their file: "gpkg", "geojson" or "parquet". None: there are none."""
    vector_settings: VectorSettings = field(default_factory=VectorSettings)
    """How the polygons are made."""
    summary: str | None = None
    """Format of the table of areas, by the ending of its file: "csv", "json" or "parquet". None: there is none."""
    zones: Path | None = None
    """Vector file with polygons, for each of which the table is made; None: it is made for the whole map."""
    zone_id: str | None = None
    """Column of the zones' file that names them; None only without zones."""
    zone_layer: str | None = None
    """Layer of the zones in their file; None: the only layer of polygons."""
    report: bool = False
    """Whether a page about each map is written (HTML)."""
    quicklook: bool = False
    """Whether each scene is drawn beside its map (PNG)."""

    def names(self, cover: str) -> dict[str, str]:
        """Return the files of a scene by the name of their field in `Outputs` or `Derived`.

        Args:
            cover: Path of the cover.
        """
        endings = {
            "vector": f"_polygons.{self.vector}" if self.vector else "",
            "summary": f"_areas.{self.summary}" if self.summary else "",
            "report": "_report.html" if self.report else "",
            "quicklook": "_quicklook.png" if self.quicklook else "",
        }
        stem = PurePosixPath(cover).with_suffix("").as_posix()
        return {name: stem + ending for name, ending in endings.items() if ending}

    @property
    def inputs(self) -> list[str]:
        """Paths of the files that are read for these files besides the cover."""
        return [] if self.zones is None else [str(self.zones)]

    def text(self) -> str:
        """Return all that decides these files in words; "" where there are none."""
        given, default = ({f.name: getattr(e, f.name) for f in dataclasses.fields(e)} for e in (self, Extras()))
        given["zones"] = self.zones and self.zones.resolve()
        return ", ".join(f"{name} {value}" for name, value in given.items() if value != default[name])

    def outputs(self, folder: Path, cover: str, confidence: str | None) -> Outputs:
        """Return the files of a scene as `classify` writes them.

        Args:
            folder: Folder of the batch.
            cover: Path of the cover in the folder.
            confidence: Path of the raster of confidence in the folder; None where none is written.

        Raises:
            LandmapError: A library that one of the files needs is not installed, or options don't fit each other.
        """
        paths = {name: folder / path for name, path in self.names(cover).items()}
        how = {"vector_settings": self.vector_settings, "zones": self.zones, "zone_id": self.zone_id}
        derived = Derived(paths.get("vector"), summary=paths.get("summary"), zone_layer=self.zone_layer, **how)  # type: ignore[arg-type]
        percent = folder / confidence if confidence else None
        return Outputs(folder / cover, percent, None, derived, paths.get("report"), paths.get("quicklook"))


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A job, ready to be done."""

    job: Job
    """The job."""
    settings: Settings
    """Settings of the batch, with the job's own options in place of theirs."""
    confidence: str | None
    """Path of the raster of confidence in the batch's folder; None where none is written."""
    extras: Extras
    """Which files are written besides."""
    made_with: Fingerprint
    """All that decides the outputs: if it changes, so do they."""

    @property
    def maps(self) -> list[str]:
        """Paths of what `classify` writes, relative to the batch's folder."""
        rasters = [name for name in (self.job.output, self.confidence) if name]
        return [*rasters, *self.extras.names(self.job.output).values()]

    def outputs(self, folder: Path) -> Outputs:
        """Return the same as `classify` takes them, given the batch's folder."""
        return self.extras.outputs(folder, self.job.output, self.confidence)

    @property
    def files(self) -> list[str]:
        """Paths of all files to write except GDAL's sidecars, relative to the batch's folder."""
        return [*self.maps, item_path(self.job.output)]


def make_tasks(
    jobs: Sequence[Job],
    settings: Settings,
    card: ModelCard | None,
    *,
    confidence: bool,
    extras: Extras,
) -> tuple[Task, ...]:
    """Make the tasks of a batch; only headers of models, and times and sizes of files, are read.

    Args:
        jobs: All jobs of a batch.
        settings: Settings of the batch, over which a job's own options take precedence.
        card: Card of a classifier that is used in place of the settings' model; None uses that model.
        confidence: Whether rasters of confidence are written, too.
        extras: Which files are written besides.

    Raises:
        LandmapError: Files that are asked for can't be written, see `Extras.outputs`; or zones can't be read.
        SettingsError: See `check_jobs`; or two jobs would write the same file.
        ModelError: A model can't be found or has no card.
    """
    models: dict[str, str] = {}
    tasks = []
    for job, own in zip(jobs, check_jobs(jobs, settings), strict=True):
        if own.model not in models:
            models[own.model] = model_identity(card or read_card(find_model(own.model)))
        beside = f"{PurePosixPath(job.output).with_suffix('')}_confidence.tif" if confidence else None
        tasks.append(Task(job, own, beside, extras, _made_with(job, own, models[own.model], beside, extras)))
    derived = tasks[0].outputs(Path()).derived
    derived.check_names()
    derived.check(with_probabilities=False, placed=True)
    files = [name.casefold() for task in tasks for name in task.files]
    if len(set(files)) < len(files):
        (name, _), *_ = Counter(files).most_common(1)
        raise SettingsError(f"Expected files of its own for each scene. Two would write {name}: name other outputs")
    return tuple(tasks)


def _made_with(job: Job, settings: Settings, model: str, confidence: str | None, extras: Extras) -> Fingerprint:
    options = {name: value for name, value in comparable_settings(settings).items() if name not in NAMED_ELSEWHERE}
    local = local_path(job.scene)  # a URL counts without its query: signatures change from day to day
    found = {
        "scene": str(local.resolve()) if local else redacted(job.scene),
        "files": _stamp(job.scene)
        | {name: found for file in [*settings.area_files, *extras.inputs] for name, found in _stamp(file).items()},
        "model": model,
        "settings": options | {"datetime": job.acquired},
        "layers": ", ".join(filter(None, ("confidence" if confidence else "classes", extras.text()))),
    }
    return dict(json.loads(json.dumps(found, default=str)))


def _stamp(scene: str) -> dict[str, list[int]]:
    try:
        return scene_stamp(scene)
    except (OSError, ValueError):  # when the scene is read, an error says why it can't be
        return {}


def begin_folder(folder: Path, tasks: Sequence[Task]) -> None:
    """Make the folder of a batch.

    Args:
        folder: The folder of the batch, which may exist.
        tasks: The tasks of the batch.

    Raises:
        OutputError: The folder around it is missing; it holds scenes of the batch, or a catalogue or report that is not
            a batch's; or an output is a file that is read.
    """
    if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: expected the name of a folder, in a folder that exists")
    for task in tasks:
        path = local_path(task.job.scene)
        if path and path.parent.resolve() == folder.resolve():
            raise OutputError(
                f"{folder}: {path.name} of the scenes lies there. Choose a folder that has none for covers"
            )
    outputs = [folder / name for task in tasks for name in task.files]
    if same := first_same(
        outputs,
        {name for task in tasks for name in (task.job.scene, *task.settings.files, *task.extras.inputs)},
    ):
        raise OutputError(f"{same}: is read by this batch itself. Choose another folder, or name other outputs")
    with suppress(FileExistsError):
        folder.mkdir()
    foreign = [name for name in (COLLECTION, JSON_NAME, HTML_NAME) if (folder / name).exists()]
    if foreign and not (folder / NAME).exists():
        raise OutputError(f"{folder / foreign[0]}: exists already, and is no batch's. Choose another folder")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a job is to be done."""

    state: str
    """`waiting` where the job is to be done, otherwise the state in which it stays."""
    reason: str = ""
    """Why, in words; "" where there is nothing to say."""
    overwrite: bool = False
    """Whether the job may replace files."""


def decide(
    record: Record, task: Task, folder: Path, *, overwrite: bool, retry: bool, max_cloud: float | None = None
) -> Decision:
    """Decide whether a job that this run holds is to be done.

    Args:
        record: The job in the ledger.
        task: The job as it is wanted now.
        folder: Folder of the batch.
        overwrite: Whether the user allows to replace files.
        retry: Whether the job is to be done again if it has failed.
        max_cloud: Percent of cloud above which a scene is skipped; None skips none.
    """
    if record.state == WAITING:
        return Decision(WAITING, overwrite=overwrite)
    if record.state == RUNNING:  # and no process holds it: a killed run has left it, and files of its own
        return Decision(WAITING, "was cut short", overwrite or bool(record.owns))
    changed = difference(record.made_with, task.made_with)
    if record.state == FAILED:
        why = f"was tried {changed}" if changed else "failed before"
        return Decision(WAITING, why, overwrite) if changed or retry else Decision(FAILED, record.error)
    if record.state == CLOUDY:
        cloud = record.result.get("cloud", 0.0)
        if changed or max_cloud is None or 100 * cloud <= max_cloud:
            return Decision(WAITING, "was skipped for its clouds", overwrite)
        return Decision(CLOUDY, cloud_words(cloud, max_cloud))
    why = f"was made {changed}" if changed else damage(record, folder)
    if not why:
        return Decision(DONE)
    is_ours = not changed and not changed_files(record, folder)  # what is missing is made again, the same as it was
    if overwrite or is_ours:
        return Decision(WAITING, why, overwrite=True)
    return Decision(OUTDATED, f"{why}. Give --overwrite to make it anew, or choose another folder")


def cloud_words(cloud: float, max_cloud: float) -> str:
    """Say that a scene is skipped, given its share of cloud, 0 to 1, and the percent that are allowed."""
    return f"{percent_words(cloud)} cloud, more than {max_cloud:g} % (--max-cloud): skipped"


def damage(record: Record, folder: Path) -> str:
    """Say what is wrong with the files of a job; "" where all are as they were written."""
    if gone := missing_files(record, folder):
        return f"{gone[0]} is gone"
    if changed := changed_files(record, folder):
        return f"{changed[0]} was changed since"
    return ""
