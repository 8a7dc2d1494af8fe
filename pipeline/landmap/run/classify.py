"""The recipe: a scene becomes a cover."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

import rasterio

from landmap.executors.base import Engine, Executor
from landmap.executors.cluster import ClusterExecutor
from landmap.executors.connect import Scheduler, connected
from landmap.executors.threads import ThreadExecutor
from landmap.geo.areas import pixel_areas
from landmap.geo.geobox import misplaced
from landmap.inference.plan import Plan, make_plan, with_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import chunk_work
from landmap.io.cog import RasterWriter
from landmap.io.locks import signals_held
from landmap.io.publish import Staged, locked, publish
from landmap.io.reading import cache_bytes, close_files
from landmap.left_out import LEFT_OUT_TAG, ReasonCounter, left_out_tag
from landmap.maps.shares import ClassCounter, count_raster
from landmap.maps.zones import Zones
from landmap.report.page import Map
from landmap.run.derived import Derived, stage_companions
from landmap.run.fingerprint import fingerprint
from landmap.run.journal import Journal
from landmap.run.result import Listener, Outputs, Progress, Result, Say, open_writers
from landmap.settings import Choices, Settings, with_choices
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier


def classify(
    scene: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    confidence: str | os.PathLike[str] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    derived: Derived | None = None,
    report: str | os.PathLike[str] | None = None,
    quicklook: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = True,
    classifier: Classifier | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
    warn: Say | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Classify a scene and write its cover.

    Args:
        scene: Anything that `landmap.scene.scene.open_scene` takes.
        output: The cover: uint8 class ids on the scene's grid, nodata 255, as cloud-optimised GeoTIFF.
        settings: How.
        confidence: Also write the class's probability in percent.
        probabilities: Also write every class's probability in percent, one band a class.
        derived: Also write polygons, or a table of areas.
        report: Also write an HTML page that shows the map and says how it was made.
        quicklook: Also draw the scene beside its cover (PNG).
        overwrite: Replace outputs that exist.
        resume: Reuse the chunks of a run for this output that was cut short; otherwise they are thrown away.
        classifier: Use this one in place of the model that the settings name. Its chunks can be reused where its card
            has `weights_sha256`.
        scheduler: Do the chunks on this Dask cluster. With neither this nor `workers`, on the cluster of Dask's default
            client, if the program has one, and else in threads.
        workers: Do the chunks in so many processes, started for this run.
        progress: Called after each chunk.
        say: Called with news: how many chunks are reused, where the cluster's dashboard is.
        warn: Called with each warning that is found on the way, at once; they are in the result, too.
        **choices: Fields of `Settings`, such as `stride=16`.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then, but what is finished, for the next run: see
            `landmap.run.journal`.
    """
    others = confidence, probabilities, report, quicklook
    percent, each, page, picture = (None if path is None else Path(path) for path in others)
    outputs = Outputs(Path(output), percent, each, derived or Derived(), page, picture)
    settings = with_choices(settings, choices)
    outputs.check(scene, settings, overwrite=overwrite)
    plan = make_plan(scene, settings, card=classifier.card if classifier else None)
    how: dict[str, Any] = {"overwrite": overwrite, "resume": resume, "classifier": classifier}
    where: dict[str, Any] = {"scheduler": scheduler, "workers": workers}
    return run_plan(plan, outputs, **how, **where, listener=Listener(progress, say, warn))


def run_plan(
    plan: Plan,
    outputs: Outputs,
    *,
    overwrite: bool = False,
    resume: bool = True,
    classifier: Classifier | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    listener: Listener = Listener(),  # noqa: B008 # it is frozen
) -> Result:
    """Do what a plan says.

    Args:
        plan: What to do.
        outputs: Where the results go, once checked (`Outputs.check`).
        overwrite: Replace outputs that exist when all is done; otherwise they are refused then.
        resume: Reuse the chunks of a run for this output that was cut short; otherwise they are thrown away.
        classifier: Use this one in place of the plan's model. Its chunks can be reused where its card has
            `weights_sha256`.
        scheduler: Do the chunks on this Dask cluster. With neither this nor `workers`, on the cluster of Dask's default
            client, if the program has one, and else in threads.
        workers: Do the chunks in so many processes, started for this run.
        listener: Who hears of it.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then, but what is finished, for the next run: see
            `landmap.run.journal`.
    """
    start, warnings = time.perf_counter(), _Warnings(plan, listener)
    with_probabilities = outputs.probabilities is not None
    zones = outputs.derived.check(with_probabilities=with_probabilities, placed=not misplaced(plan.scene.geobox))
    with ExitStack() as stack:
        stack.enter_context(locked(outputs.paths()))
        executor = _executor(plan, classifier, stack.enter_context(connected(scheduler, workers)), listener)
        engine = executor.prepare(plan)
        if classifier is None:
            plan = with_precision(plan, engine.precision)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache_bytes(plan.scene.source.opens)))
        stack.callback(close_files)
        journal = stack.enter_context(_journal(plan, outputs, engine, resume=resume))
        warnings.add(*journal.warnings)
        if listener.say and journal.reused:
            listener.say(f"reusing {len(journal.reused)} of {plan.num_chunks} chunks")
        writers = open_writers(stack, plan, outputs, engine.says)
        counter, reasons = _run(plan, executor, journal, writers, listener.progress)
        tags = {LEFT_OUT_TAG: left_out_tag(reasons.found())}
        rasters = {name: writer.finish(tags) for name, writer in writers.items()}
        if plan.settings.sieve is not None:
            counter = count_raster(rasters["classes"].file, pixel_areas(plan.scene.geobox))
        warnings.add(*_empty(plan, counter))
        others = _others(stack, plan, outputs, rasters, zones, warnings)
        wanted = [staged for name, staged in rasters.items() if name != "confidence" or outputs.confidence]
        with signals_held():  # a journal beside a complete output would be in the way
            publish([*others, *wanted], overwrite=overwrite)
            journal.discard()
    return Result(
        outputs=outputs,
        plan=plan,
        classes=counter.shares(plan.map_classes),
        left_out=reasons.found(),
        seconds=time.perf_counter() - start,
        precision=engine.says,
        warnings=tuple(warnings.all),
        reused=len(journal.reused),
    )


class _Warnings:
    """Those of the plan, and what is found on the way, which the listener hears at once."""

    def __init__(self, plan: Plan, listener: Listener) -> None:
        self.all, self.listener = list(plan.warnings), listener

    def add(self, *texts: str) -> None:
        """Keep them, and tell them."""
        for text in texts:
            self.all.append(text)
            if self.listener.warn:
                self.listener.warn(text)


def _executor(plan: Plan, classifier: Classifier | None, client: Any, listener: Listener) -> Executor:
    if client is None:
        return ThreadExecutor(plan.settings.threads, classifier)
    return ClusterExecutor(client, classifier, force=plan.settings.force, say=listener.say)


def _empty(plan: Plan, counter: ClassCounter) -> list[str]:
    """The warning for a map that shows nothing."""
    if counter.nodata < plan.scene.geobox.height * plan.scene.geobox.width:
        return []
    left = " and is left in by the masks" if plan.scene.masks else ""
    return [f"no pixel of the scene has data{left}: the map is empty"]


def _journal(plan: Plan, outputs: Outputs, engine: Engine, *, resume: bool) -> Journal:
    keep, known = outputs.probabilities is not None, None
    if plan.card.weights_sha256:
        known = fingerprint(plan, engine.precision, engine.device, keep_probabilities=keep)
    layers = len(plan.card.legend) if keep else 0
    return Journal(outputs.cover, known, plan.grid, list(plan.chunks()), layers, resume=resume)


def _run(
    plan: Plan, executor: Executor, journal: Journal, writers: Mapping[str, RasterWriter], progress: Progress | None
) -> tuple[ClassCounter, ReasonCounter]:
    """Every chunk from the journal, or from the scene by way of the journal, to the writers."""
    work = chunk_work(plan, keep_probabilities="probabilities" in writers)
    counter, reasons = ClassCounter(pixel_areas(plan.scene.geobox)), ReasonCounter(plan.scene.reasons)
    done, missing = 0, list[Chunk]()

    def keep(chunk: Chunk, cover: ChunkCover) -> None:
        nonlocal done
        journal.keep(chunk, cover)  # here, not where it is predicted: meanwhile the model is at the next chunk
        window = plan.grid.owned_window(chunk)
        for name, writer in writers.items():
            writer.write(window, getattr(cover, name))
        counter.add(window, cover.classes, cover.confidence)
        reasons.add(cover.left_out)
        done += cover.classes.size
        if progress:
            progress(done, plan.scene.geobox.height * plan.scene.geobox.width)

    def write(chunk: Chunk, cover: ChunkCover) -> None:
        work.named(chunk, lambda: keep(chunk, cover))

    for chunk in plan.chunks():
        if kept := journal.load(chunk):
            write(chunk, kept)
        else:
            missing.append(chunk)
    executor.run(work, missing, write)
    return counter, reasons


def _others(
    stack: ExitStack,
    plan: Plan,
    outputs: Outputs,
    rasters: Mapping[str, Staged],
    zones: Zones | None,
    warnings: _Warnings,
) -> list[Staged]:
    """What is made of the finished rasters, where it is asked for: polygons, tables, page and picture."""
    files, derived = {name: staged.file for name, staged in rasters.items()}, list[Staged]()
    if outputs.derived.paths():
        derived, odd = outputs.derived.stage(stack, files, zones, warnings.listener.say)
        warnings.add(*odd)
    made = Map(plan.scene, files["classes"], files.get("confidence"), plan=plan, warnings=tuple(warnings.all))
    names = {"report": outputs.report, "quicklook": outputs.quicklook}
    return [*derived, *stage_companions(stack, made, name=outputs.cover.name, **names)]
