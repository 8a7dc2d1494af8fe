"""The recipe for many scenes: each is classified once, whatever ends a run, and however many runs there are."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from landmap.batch.jobs import Job, Jobs
from landmap.batch.ledger import DONE, OUTDATED, RUNNING, WAITING, Ledger, Record, describe_files
from landmap.batch.report import write_reports
from landmap.batch.stac import item_path, make_item, write_collection, write_item
from landmap.batch.tasks import Task, begin_folder, damage, judge, make_tasks
from landmap.errors import ClusterLostError, LandmapError, OutputError, warnings_only_collected
from landmap.executors.base import Executor
from landmap.executors.connect import Scheduler, connected
from landmap.io.publish import with_sidecars
from landmap.io.remote import redact, redacted
from landmap.products.sensing_time import parse_time, sensing_time
from landmap.run.classify import classify
from landmap.run.result import Progress, Result
from landmap.settings import Settings
from landmap_models.inference.classifier import Classifier

LOG = logging.getLogger("landmap")

LISTED = 20
"""Things passed over that are each a warning."""


@dataclasses.dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the scenes of a run."""

    folder: Path
    """Where everything lies."""
    records: tuple[Record, ...]
    """A line of the ledger for each job of this run, in its order."""
    files: tuple[Path, ...]
    """Reports and, if anything is done, the Collection."""

    @property
    def counts(self) -> Counter[str]:
        """Scenes by state."""
        return Counter(record.state for record in self.records)

    @property
    def all_done(self) -> bool:
        """Whether nothing is left."""
        return self.counts[DONE] == len(self.records)


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    folder: Path
    ledger: Ledger
    before: Mapping[str, Record]
    """The jobs as this run found them."""
    overwrite: bool
    retry_failed: bool
    classifier: Classifier | None
    where: Mapping[str, Any]
    """Arguments of `classify` that say where chunks are executed."""


def run_batch(
    jobs: Sequence[Job],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    confidence: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    """Classify many scenes into one folder, and describe them there as a STAC catalogue.

    The ledger `batch.sqlite` in the folder knows what is done; a run does the rest. Several runs, on several machines,
    may share the work: each scene is done by one of them, and each returns when all are done. A scene that fails stops
    nothing; it is left alone from then on unless it has changed, or `retry_failed`.

    Each scene that fails, has failed before or is outdated is logged as a warning of the logger "landmap", with the
    reason; other news is logged at level INFO. What is to be known of each map is in its record and in the reports.

    Args:
        jobs: From `find_jobs`, or made by hand. What `find_jobs` passed over is logged, and listed in the reports.
        output: The folder. It may have a catalogue and reports only if they are a batch's.
        settings: For all scenes; a job's options are put on top.
        confidence: Also write the class's probability in percent, as `<cover>_confidence.tif`.
        overwrite: Do again what was made otherwise, or changed since, and replace files that exist.
        retry_failed: Do again what failed.
        classifier: Use this one in place of the model that the settings name.
        executor: Executes the chunks; see `landmap.classify`.
        scheduler: Address, scheduler file or client of a Dask cluster; see `landmap.classify`.
        workers: Number of processes that are started for this batch; see `landmap.classify`.
        progress: Called after each scene with the number of scenes that were dealt with and of all; None: nothing is.

    Raises:
        SettingsError: The list or an option can't be meant; before any work.
        ModelError: A model can't be found; before any work.
        OutputError: The folder can't be used.
    """
    folder = Path(output)
    tasks = make_tasks(jobs, settings or Settings(), classifier.card if classifier else None, confidence=confidence)
    begin_folder(folder, tasks)
    skipped = jobs.skipped if isinstance(jobs, Jobs) else ()
    _log_skipped(skipped)
    with connected(scheduler, workers) as client, Ledger(folder, create=True) as ledger:
        ledger.enrol((task.job.output, redacted(task.job.scene)) for task in tasks)
        before = {record.output: record for record in ledger.records()}
        where: dict[str, Any] = {"executor": executor} if executor else {"scheduler": client}
        run = _Run(folder, ledger, before, overwrite, retry_failed, classifier, where)
        try:
            _work(run, tasks, progress)
        finally:  # after Ctrl-C, too
            files = _publish(ledger, skipped)
        found = {record.output: record for record in ledger.records()}
    return BatchResult(folder, tuple(found[task.job.output] for task in tasks), files)


def _log_skipped(skipped: Sequence[str]) -> None:
    for text in skipped[:LISTED]:
        LOG.warning("skipped, as it is no scene: %s", text)
    if len(skipped) > LISTED:
        LOG.warning("skipped %d more, which the report lists", len(skipped) - LISTED)


def batch_status(output: str | os.PathLike[str]) -> tuple[Record, ...]:
    """Every job of a batch as it is now: what was cut short is waiting, and lost or changed files are noticed.

    Raises:
        OutputError: There is no batch in the folder.
    """
    folder = Path(output)
    with Ledger(folder) as ledger:
        return tuple(_as_it_is(ledger, record) for record in ledger.records())


def _as_it_is(ledger: Ledger, record: Record) -> Record:
    if record.state == RUNNING:
        with suppress(OutputError), ledger.hold(record.id) as mine:  # a folder that is not ours to write in tells less
            if mine and ledger.get(record.output) == record:
                return dataclasses.replace(record, state=WAITING, error="its run was cut short")
    if record.state == DONE and (wrong := damage(record, ledger.folder)):
        return dataclasses.replace(record, state=OUTDATED, error=wrong)
    return record


def _work(run: _Run, tasks: Sequence[Task], progress: Progress | None) -> None:
    """Everything that nobody else has in work, then what others had, should they have left it unfinished."""
    total, left = len(tasks), list(tasks)
    for wait in (False, True):
        if wait and left:
            LOG.info("waiting for %d of the scenes, which another run has in work", len(left))
        for task in list(left):
            if _attempt(run, task, wait=wait):
                left.remove(task)
                if progress:
                    progress(total - len(left), total)


def _attempt(run: _Run, task: Task, *, wait: bool) -> bool:
    """Do a job if there is something to do; False where another run has it in work."""
    output = task.job.output
    with run.ledger.hold(run.before[output].id, wait=wait) as mine:
        if not mine:
            return False
        record = run.ledger.get(output)
        retry = run.retry_failed and record.attempts == run.before[output].attempts  # not by another run since
        verdict = judge(record, task, run.folder, overwrite=run.overwrite, retry=retry)
        if verdict.state == WAITING:
            if verdict.why:
                LOG.info("%s: %s: doing it again", redacted(task.job.scene), verdict.why)
            _do(run, task, record, overwrite=verdict.overwrite)
        else:
            if verdict.state != DONE:
                LOG.warning("%s", _named(record.scene, verdict.why))
            if (verdict.state, verdict.why) != (record.state, record.error):
                run.ledger.mark(record, verdict.state, verdict.why)
    return True


def _named(scene: str, text: str) -> str:
    return text if scene in text else f"{scene}: {text}"


def _do(run: _Run, task: Task, record: Record, *, overwrite: bool) -> None:
    fresh = not any(os.path.lexists(run.folder / name) for name in task.files)
    scene, output = redacted(task.job.scene), task.job.output
    if not run.ledger.start(record, scene, task.made_with, owns=fresh or overwrite):
        return
    begin = time.perf_counter()
    try:
        files, result = _make(run, task, overwrite=overwrite, fresh=fresh)
    except ClusterLostError:  # no fault of this scene's: it is left as by a killed run, to be done again
        raise
    except Exception as error:  # whatever is wrong with one scene, the others can be done
        words = str(error) if isinstance(error, LandmapError) else f"{type(error).__name__}: {error}"
        words = " ".join(redact(words, task.job.scene).split())
        run.ledger.fail(output, time.perf_counter() - begin, words)
        LOG.warning("%s", _named(scene, words))
    else:
        run.ledger.finish(output, time.perf_counter() - begin, files, result)


def _make(run: _Run, task: Task, *, overwrite: bool, fresh: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cover and Item of one scene: the files written, and what the report says of them."""
    folder, job = run.folder, task.job
    cover, item = folder / job.output, folder / item_path(job.output)
    cover.parent.mkdir(parents=True, exist_ok=True)
    if item.exists() and not overwrite:
        raise OutputError(f"{item}: exists already. Choose another name or give overwrite=True (--overwrite)")
    acquired = parse_time(job.acquired) if job.acquired else sensing_time(job.scene)
    confidence = folder / task.confidence if task.confidence else None
    how: dict[str, Any] = {"confidence": confidence, "overwrite": overwrite, "classifier": run.classifier}
    with warnings_only_collected():
        result = classify(job.scene, cover, task.settings, **how, **run.where)
    try:
        files = describe_files(folder, task.rasters)
        described = make_item(result, job.name, folder, acquired=acquired, source=job.source, files=files)
        write_item(folder, job.output, described)
        return files | describe_files(folder, [item_path(job.output)]), _report(result, job)
    except Exception:
        for file in [f for name in task.rasters for f in with_sidecars(folder / name)] if fresh else []:
            file.unlink(missing_ok=True)  # all of a job or nothing
        raise


def _report(result: Result, job: Job) -> dict[str, Any]:
    colors = {c.id: c.color for c in result.plan.map_classes}
    return {
        "classes": [dataclasses.asdict(c) | {"color": colors[c.id]} for c in result.classes],
        "nodata_pixels": result.nodata_pixels,
        "left_out": dict(result.left_out),
        "left_out_text": result.left_out_text,
        "clouds": result.plan.scene.clouds.text,
        "precision": result.precision,
        "warnings": [redact(text, job.scene) for text in result.warnings],
    }


def _publish(ledger: Ledger, skipped: Sequence[str]) -> tuple[Path, ...]:
    """Reports and Collection of all that the ledger knows, one run at a time: who comes last knows most."""
    with ledger.hold("publish", wait=True):
        records = ledger.records()
        reports = write_reports(ledger.folder, records, skipped)
        made = [record.output for record in records if record.state in (DONE, OUTDATED)]
        collection = write_collection(ledger.folder, made)
    return (*reports, collection) if collection else reports
