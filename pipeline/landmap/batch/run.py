"""Many scenes are classified: each once, even if runs are killed, and by however many runs at a time."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from landmap.batch.jobs import Job, Jobs
from landmap.batch.ledger import CLOUDY, DONE, OUTDATED, RUNNING, WAITING, Ledger, Record, describe_files
from landmap.batch.notify import Notifier
from landmap.batch.report import write_reports
from landmap.batch.stac import item_path, make_item, write_collection, write_item
from landmap.batch.tasks import Extras, Task, begin_folder, cloud_words, damage, decide, make_tasks
from landmap.errors import ClusterLostError, LandmapError, OutputError, SettingsError, warnings_only_collected
from landmap.executors.base import Executor
from landmap.executors.connect import Scheduler, connected
from landmap.inference.plan import Plan
from landmap.io.publish import with_sidecars
from landmap.io.remote import redact, redacted
from landmap.left_out import percent_words
from landmap.products.sensing_time import parse_time, sensing_time
from landmap.run.classify import classify
from landmap.run.result import Progress, Result
from landmap.settings import Settings
from landmap_models.inference.classifier import Classifier

LOG = logging.getLogger("landmap")

LISTED = 20
"""Number of skipped paths, and of scenes that failed before, that get a warning each."""
PAGE_SECONDS = 30
"""Least seconds from one writing of the reports to the next while a batch is at work."""
PAGE_SHARE = 0.05
"""Share of the time that the writing of reports may take: those of a country are of many megabytes."""
WATCH_SECONDS = 2
"""Seconds from one look at the ledger to the next."""


@dataclasses.dataclass(frozen=True, slots=True)
class BatchResult:
    """The state of the scenes of a batch after a run."""

    folder: Path
    """Folder of the batch."""
    records: tuple[Record, ...]
    """Record of each job of this run, in the order of the jobs."""
    files: tuple[Path, ...]
    """Reports and, if any scene is done, the Collection."""

    @property
    def counts(self) -> Counter[str]:
        """Number of scenes by state."""
        return Counter(record.state for record in self.records)

    @property
    def all_done(self) -> bool:
        """Whether all scenes are done, but for those that were skipped for their clouds."""
        return self.counts[DONE] + self.counts[CLOUDY] == len(self.records)


@dataclasses.dataclass(slots=True)
class _Run:
    folder: Path
    ledger: Ledger
    before: Mapping[str, Record]
    """Records as this run found them, by output."""
    overwrite: bool
    may_retry: dict[str, int]
    """Of failed jobs that this run may do again: how often each was started, by output; not by another run since."""
    max_cloud: float | None
    classifier: Classifier | None
    where: Mapping[str, Any]
    """Arguments of `classify` that say where chunks are executed."""
    notifier: Notifier
    skipped: Sequence[str]
    """What `find_jobs` skipped."""
    retries_left: int
    """Number of times that scenes which fail now will be tried again."""
    failed: list[Task] = dataclasses.field(default_factory=list)
    """Those that are to be tried again."""
    unsuited: int = 0
    """Number of scenes on which no work was done as they failed before or are outdated."""
    next_page: float = 0.0
    """Time, of `time.monotonic`, from which on the reports are written again."""


def run_batch(
    jobs: Sequence[Job],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    confidence: bool = False,
    extras: Extras | None = None,
    max_cloud: float | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    retries: int = 0,
    retry_after: float = 60.0,
    notify: str | None = None,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    """Classify many scenes into one folder, and describe them there as a STAC catalogue.

    The ledger `batch.sqlite` in the folder records what is done; a run does the rest. Several runs, on several
    machines, may share the work: each scene is done by one of them, and each run returns when all scenes are done. A
    scene that fails does not stop the others; later runs leave it out unless it has changed, or `retry_failed` is set.

    Each scene that fails, has failed before or is outdated is logged as a warning of the logger "landmap", with the
    reason; other news is logged at level INFO: a line for each scene with time, size, classes and
    warnings. What is to be known of each map is in its record and in the reports.

    Args:
        jobs: Jobs from `find_jobs`, or made by hand. What `find_jobs` skipped is logged, and listed in the reports.
        output: Folder of the batch, which may exist if it holds a batch. A catalogue or reports of others are refused.
        settings: Settings for all scenes, over which a job's options take precedence; None takes the defaults.
        confidence: Whether the probability of the class in percent is written, too, as `<cover>_confidence.tif`.
        extras: Which files are written besides: polygons, tables, pages, pictures; None: none.
        max_cloud: Scenes of more percent of cloud than this are skipped, by the classification that the scene has or
            that the settings ask for; a scene of which no classification is known is mapped, and a warning says so.
            None skips none.
        overwrite: Whether covers that were made in another way, or have changed, are made again, and files that exist
            are replaced.
        retry_failed: Whether scenes that failed in an earlier run are done again.
        retries: Number of times that scenes which fail in this run are done again, after all others.
        retry_after: Seconds of pause before they are.
        notify: Address to which a JSON object is posted at the end, and when scenes fail for good; see `Notifier`. That
            it can't be reached is a warning. None: nobody is told.
        classifier: Classifier that is used in place of the model that the settings name; None uses that model.
        executor: Executes the chunks; see `landmap.classify`.
        scheduler: Address, scheduler file or client of a Dask cluster; see `landmap.classify`.
        workers: Number of processes that are started for this batch; see `landmap.classify`.
        progress: Called after each scene with the number of scenes that were dealt with and of all; None: nothing is.

    Raises:
        SettingsError: The jobs or an option are not valid; before any work.
        ModelError: A model can't be found; before any work.
        OutputError: The folder can't be used.
    """
    folder = Path(output)
    _check_numbers(max_cloud, retries, retry_after)
    notifier = Notifier(notify, folder.resolve().name)
    card = classifier.card if classifier else None
    tasks = make_tasks(jobs, settings or Settings(), card, confidence=confidence, extras=extras or Extras())
    begin_folder(folder, tasks)
    skipped = jobs.skipped if isinstance(jobs, Jobs) else ()
    _log_skipped(skipped)
    with connected(scheduler, workers) as client, Ledger(folder, create=True) as ledger, ledger.at_work():
        ledger.enrol((task.job.output, redacted(task.job.scene)) for task in tasks)
        before = {record.output: record for record in ledger.records()}
        where: dict[str, Any] = {"executor": executor} if executor else {"scheduler": client}
        may_retry = {output: record.attempts for output, record in before.items() if retry_failed}
        run = _Run(
            folder, ledger, before, overwrite, may_retry, max_cloud, classifier, where, notifier, skipped, retries
        )
        try:
            _work(run, tasks, progress)
            _try_again(run, retries, retry_after)
        except BaseException as error:
            notifier.ended(ledger.counts(), redact(f"{type(error).__name__} {error}".strip()))
            raise
        finally:  # after Ctrl-C, too
            files = _publish(ledger, skipped)
        notifier.ended(ledger.counts())
        found = {record.output: record for record in ledger.records()}
    return BatchResult(folder, tuple(found[task.job.output] for task in tasks), files)


def _check_numbers(max_cloud: float | None, retries: int, retry_after: float) -> None:
    if max_cloud is not None and not 0 <= max_cloud <= 100:
        raise SettingsError(f"max_cloud: expected 0 to 100 percent. Received: {max_cloud!r}")
    if retries < 0 or not 0 <= retry_after < math.inf:
        raise SettingsError(f"Expected 0 or more retries, and seconds before. Received: {retries!r}, {retry_after!r}")


def _log_skipped(skipped: Sequence[str]) -> None:
    for text in skipped[:LISTED]:
        LOG.warning("skipped, as it is no scene: %s", text)
    if len(skipped) > LISTED:
        LOG.warning("skipped %d more, which the report lists", len(skipped) - LISTED)


def batch_status(output: str | os.PathLike[str]) -> tuple[Record, ...]:
    """Return the record of every job of a batch as it is now.

    A job whose run was killed is waiting, and one whose files are lost or changed is outdated.

    Args:
        output: Folder of the batch.

    Raises:
        OutputError: There is no batch in the folder.
    """
    folder = Path(output)
    with Ledger(folder) as ledger:
        return tuple(_as_it_is(ledger, record) for record in ledger.records())


def batch_counts(output: str | os.PathLike[str]) -> Iterator[dict[str, int]]:
    """Yield the number of scenes by state, every two seconds, for as long as a run is at work; at least once.

    Args:
        output: Folder of the batch.

    Raises:
        OutputError: There is no batch in the folder.
    """
    with Ledger(Path(output)) as ledger:
        while True:
            working = ledger.is_at_work()
            yield ledger.counts()
            if not working:
                return
            time.sleep(WATCH_SECONDS)


def _as_it_is(ledger: Ledger, record: Record) -> Record:
    if record.state == RUNNING:
        with suppress(OutputError), ledger.hold(record.id) as mine:  # no lock is to be had in a read-only folder
            if mine and ledger.get(record.output) == record:
                return dataclasses.replace(record, state=WAITING, error="its run was cut short")
    if record.state == DONE and (wrong := damage(record, ledger.folder)):
        return dataclasses.replace(record, state=OUTDATED, error=wrong)
    return record


def _work(run: _Run, tasks: Sequence[Task], progress: Progress | None) -> None:
    """Do all jobs that no other run is doing, then those of other runs if they have left them unfinished."""
    total, left = len(tasks), list(tasks)
    _refresh(run)
    for wait in (False, True):
        if wait and left:
            LOG.info("waiting for %d of the scenes, which another run has in work", len(left))
        for task in list(left):
            if _attempt(run, task, wait=wait):
                left.remove(task)
                _refresh(run)
                if progress:
                    progress(total - len(left), total)
    if run.unsuited > LISTED:
        LOG.warning("%d more failed before or are outdated, which the report lists", run.unsuited - LISTED)


def _try_again(run: _Run, retries: int, retry_after: float) -> None:
    """Do the jobs again that failed in this run, all others being done."""
    for number in range(1, retries + 1):
        failed, run.failed, run.retries_left = run.failed, [], retries - number
        if not failed:
            return
        LOG.info("trying %d failed scenes again in %g s (%d of %d)", len(failed), retry_after, number, retries)
        time.sleep(retry_after)
        for task in failed:
            _attempt(run, task, wait=True)
            _refresh(run)


def _refresh(run: _Run) -> None:
    """Write the reports while the batch is at work, unless they were written a moment ago, or another run does it."""
    if time.monotonic() < run.next_page:
        return
    with run.ledger.hold("publish") as mine:
        begin = time.monotonic()
        if mine:
            try:
                write_reports(run.folder, run.ledger.records(), run.skipped, at_work=True)
            except OutputError as error:  # at the end it is one
                LOG.warning("%s", error)
        end = time.monotonic()
        run.next_page = end + max(PAGE_SECONDS, (end - begin) / PAGE_SHARE)


def _attempt(run: _Run, task: Task, *, wait: bool) -> bool:
    """Do a job if it is to be done; return False where another run is doing it."""
    output = task.job.output
    with run.ledger.hold(run.before[output].id, wait=wait) as mine:
        if not mine:
            return False
        record = run.ledger.get(output)
        retry = record.attempts == run.may_retry.get(output)
        decision = decide(record, task, run.folder, overwrite=run.overwrite, retry=retry, max_cloud=run.max_cloud)
        if decision.state == WAITING:
            if decision.reason:
                LOG.info("%s: %s: doing it again", redacted(task.job.scene), decision.reason)
            _do(run, task, record, overwrite=decision.overwrite)
        else:
            if decision.state == CLOUDY:
                LOG.info("%s", _named(record.scene, decision.reason))
            elif decision.state != DONE:
                run.unsuited += 1
                if run.unsuited <= LISTED:
                    LOG.warning("%s", _named(record.scene, decision.reason))
            if (decision.state, decision.reason) != (record.state, record.error):
                run.ledger.mark(record, decision.state, decision.reason)
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
        files, found = _make(run, task, overwrite=overwrite, fresh=fresh)
    except ClusterLostError:  # not the scene's fault: it is left as a killed run leaves it, to be done again
        raise
    except _TooCloudy as error:
        run.ledger.skip(output, time.perf_counter() - begin, str(error), error.cloud)
        LOG.info("%s: %s", scene, error)
    except Exception as error:  # whatever is wrong with one scene, the others can be done
        words = str(error) if isinstance(error, LandmapError) else f"{type(error).__name__}: {error}"
        words = " ".join(redact(words, task.job.scene).split())
        run.ledger.fail(output, time.perf_counter() - begin, words)
        LOG.warning("%s", _named(scene, words))
        if run.retries_left:
            run.failed.append(task)
            run.may_retry[output] = record.attempts + 1
        else:
            run.notifier.failed(scene, words, run.ledger.counts())
    else:
        seconds = time.perf_counter() - begin
        run.ledger.finish(output, seconds, files, found)
        LOG.info("%s: %s", scene, _line(found, seconds, files))


class _TooCloudy(Exception):  # noqa: N818 # no error
    """A scene has more cloud than is allowed."""

    def __init__(self, cloud: float, max_cloud: float) -> None:
        super().__init__(cloud_words(cloud, max_cloud))
        self.cloud = cloud
        """Share of the scene, 0 to 1."""


def _cloud_warnings(plan: Plan, max_cloud: float | None) -> tuple[str, ...]:
    """Raise `_TooCloudy` for a scene of more percent of cloud; return a warning where that is not known."""
    if max_cloud is None:
        return ()
    clouds = plan.scene.clouds
    if (cloud := clouds.shares.get("cloud")) is None:
        return (f"not skipped by --max-cloud, as the scene's cloud is not known: {clouds.text}",)
    if 100 * cloud > max_cloud:
        raise _TooCloudy(cloud, max_cloud)
    return ()


def _line(found: Mapping[str, Any], seconds: float, files: Mapping[str, Any]) -> str:
    """Return the line of a finished scene in the log, given what the report says of it, its seconds and files."""
    classes = sorted((c for c in found["classes"] if c["pixels"]), key=lambda c: -c["pixels"])
    megabytes = sum(known["bytes"] for known in files.values()) / 1e6
    parts = (
        f"done in {seconds:.1f} s, {found['pixels'] / 1e6:.2f} Mpx, {megabytes:.2f} MB",
        ", ".join(f"{c['name']} {percent_words(c['share'])}" for c in classes) or "no class",
        f"left out: {found['left_out_text']}" if found["left_out_text"] else "",
        *(f"warning: {text}" for text in found["warnings"]),
    )
    return "; ".join(filter(None, parts))


def _make(run: _Run, task: Task, *, overwrite: bool, fresh: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the files of one scene; return those that are written, and what the report says of them."""
    folder, job = run.folder, task.job
    cover, item = folder / job.output, folder / item_path(job.output)
    cover.parent.mkdir(parents=True, exist_ok=True)
    if item.exists() and not overwrite:
        raise OutputError(f"{item}: exists already. Choose another name or give overwrite=True (--overwrite)")
    acquired = parse_time(job.acquired) if job.acquired else sensing_time(job.scene)
    outputs, warnings = task.outputs(folder), list[str]()

    def check_clouds(plan: Plan) -> None:
        warnings.extend(_cloud_warnings(plan, run.max_cloud))

    others = {name: getattr(outputs, name) for name in ("confidence", "derived", "report", "quicklook")}
    how = {"overwrite": overwrite, "classifier": run.classifier, "on_plan": check_clouds, **others}
    with warnings_only_collected():
        result = classify(job.scene, cover, task.settings, **how, **run.where)
    try:
        files = describe_files(folder, task.maps)
        described = make_item(result, job.name, folder, acquired=acquired, source=job.source, files=files)
        write_item(folder, job.output, described)
        report = _report(result, job, warnings) | {"footprint": described["geometry"]}
        return files | describe_files(folder, [item_path(job.output)]), report
    except Exception:
        for file in [f for name in task.maps for f in with_sidecars(folder / name)] if fresh else []:
            file.unlink(missing_ok=True)  # all of a job or nothing
        raise


def _report(result: Result, job: Job, warnings: Sequence[str]) -> dict[str, Any]:
    colors = {c.id: c.color for c in result.plan.map_classes}
    return {
        "classes": [dataclasses.asdict(c) | {"color": colors[c.id]} for c in result.classes],
        "pixels": result.plan.scene.geobox.height * result.plan.scene.geobox.width,
        "nodata_pixels": result.nodata_pixels,
        "left_out": dict(result.left_out),
        "left_out_text": result.left_out_text,
        "clouds": result.plan.scene.clouds.text,
        "precision": result.precision,
        "warnings": [redact(text, job.scene) for text in (*result.warnings, *warnings)],
    }


def _publish(ledger: Ledger, skipped: Sequence[str]) -> tuple[Path, ...]:
    """Write reports and Collection of all jobs in the ledger, one run at a time: the last run has the latest state."""
    with ledger.hold("publish", wait=True):
        records = ledger.records()
        reports = write_reports(ledger.folder, records, skipped)
        made = [record.output for record in records if record.state in (DONE, OUTDATED)]
        collection = write_collection(ledger.folder, made)
    return (*reports, collection) if collection else reports
