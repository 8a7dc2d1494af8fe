"""A scene becomes a cover: planned, or by a plan that was made before."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import rasterio

from landmap.errors import issue_warnings
from landmap.executors.base import Engine, Executor
from landmap.executors.connect import START_SECONDS, Scheduler, open_executor
from landmap.geo.areas import pixel_areas
from landmap.geo.geobox import misplaced
from landmap.inference.chunking import reading_order
from landmap.inference.plan import Plan, make_plan, with_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import chunk_work
from landmap.io.cog import RasterWriter
from landmap.io.locks import signals_held
from landmap.io.publish import locked, publish
from landmap.io.reading import cache_bytes, sharing_files
from landmap.left_out import LEFT_OUT_TAG, ReasonCounter, left_out_tag
from landmap.maps.shares import ClassCounter, count_raster
from landmap.run.fingerprint import fingerprint
from landmap.run.journal import Journal
from landmap.run.outputs import Derived, Outputs, open_writers, stage_others
from landmap.run.result import Progress, Result
from landmap.settings import Choices, Settings, with_choices
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier

LOG = logging.getLogger("landmap")


@dataclass(frozen=True, slots=True)
class _Run:
    """How a plan is carried out; see `run_plan`."""

    overwrite: bool
    resume: bool
    classifier: Classifier | None
    executor: Executor | None
    scheduler: Scheduler
    workers: int | None
    progress: Progress | None


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
    executor: Executor | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Classify a scene and write its land-cover map.

    What the user should know is in `Result.warnings`, and issued as `LandmapWarning` when it is found. News, such as
    how many chunks are reused, goes to the logger "landmap" at level INFO.

    Args:
        scene: Anything that `landmap.open_scene` takes.
        output: File of the cover: uint8 class ids on the scene's grid, nodata 255, as cloud-optimised GeoTIFF.
        settings: The settings of the run; None: the defaults.
        confidence: File for the probability of each pixel's class in percent; None: it is not written.
        probabilities: File for the probability of every class in percent, one band a class; None: it is not written.
        derived: Polygons and tables that are made of the cover; None: none.
        report: File for an HTML page that shows the map and says how it was made; None: it is not written.
        quicklook: File for a picture of the scene beside its cover (PNG); None: it is not drawn.
        overwrite: Replace outputs that exist; otherwise they are refused before any work.
        resume: Reuse the finished chunks of a run for this output that was cut short; otherwise they are removed.
        classifier: Predicts in place of the model that the settings name. Its chunks can be reused if its card has
            `weights_sha256`. None: the model of the settings.
        executor: Executes the chunks; None: `scheduler`, `workers` or threads do.
        scheduler: Address or scheduler file of a Dask cluster, or a client of one, that executes the chunks. With none
            of `executor`, `scheduler` and `workers` the cluster of Dask's default client does, if the program has one,
            and else threads.
        workers: Number of processes that are started for this run and execute the chunks.
        progress: Called after each chunk with the number of pixels that are finished and of all; None: nothing is.
        on_plan: Called with the plan before any pixel is predicted, to show it or to stop by raising; None: nothing is.
        **choices: Fields of `Settings`, such as `stride=16`, in place of those in `settings`.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then, but finished chunks are kept for the next run
            in a folder beside the output, `cover.tif.landmap`.
    """
    others = confidence, probabilities, report, quicklook
    percent, each, page, picture = (None if path is None else Path(path) for path in others)
    outputs = Outputs(Path(output), percent, each, derived or Derived(), page, picture)
    settings = with_choices(settings, choices)
    outputs.check(scene, settings, overwrite=overwrite)
    with sharing_files():
        plan = make_plan(scene, settings, card=classifier.card if classifier else None)
        if on_plan:
            on_plan(plan)
        return _carry_out(plan, outputs, _Run(overwrite, resume, classifier, executor, scheduler, workers, progress))


def run_plan(
    plan: Plan,
    outputs: Outputs | str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = True,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Carry out a plan that `landmap.plan` made, and write its map.

    Args:
        plan: The plan; its warnings were issued when it was made.
        outputs: The files to write, or that of the cover alone.
        overwrite: Replace outputs that exist; see `landmap.classify`.
        resume: Reuse finished chunks of a run that was cut short; see `landmap.classify`.
        classifier: The classifier whose card the plan was made with; None where it was made with a model's file.
        executor: Computes the chunks; see `landmap.classify`.
        scheduler: A running Dask cluster; see `landmap.classify`.
        workers: Number of processes to start; see `landmap.classify`.
        progress: Called after each chunk; see `landmap.classify`.

    Raises:
        LandmapError: See `landmap.classify`.
    """
    outputs = outputs if isinstance(outputs, Outputs) else Outputs(Path(outputs))
    outputs.check(plan.scene.source.path, plan.settings, overwrite=overwrite)
    return _carry_out(plan, outputs, _Run(overwrite, resume, classifier, executor, scheduler, workers, progress))


def _carry_out(plan: Plan, outputs: Outputs, run: _Run) -> Result:
    """Predict and write everything, once the outputs are checked."""
    start, warnings = time.perf_counter(), list(plan.warnings)

    def warn(*texts: str) -> None:
        warnings.extend(texts)
        issue_warnings(texts)

    with_probabilities = outputs.probabilities is not None
    zones = outputs.derived.check(with_probabilities=with_probabilities, placed=not misplaced(plan.scene.geobox))
    with ExitStack() as stack:
        stack.enter_context(sharing_files())
        stack.enter_context(locked(outputs.paths()))
        if run.workers and plan.seconds < START_SECONDS:
            LOG.info(
                "about %.0f s of work is less than the start of worker processes takes (about %d s): threads, without "
                "workers, have it sooner",
                plan.seconds,
                START_SECONDS,
            )
        opened = open_executor(run.executor, run.scheduler, run.workers, plan.settings.threads)
        executor = stack.enter_context(opened)
        engine = executor.prepare(plan, run.classifier)
        if run.classifier is None:
            plan = with_precision(plan, engine.precision)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache_bytes(plan.scene.source.opens)))
        journal = stack.enter_context(_journal(plan, outputs, engine, resume=run.resume))
        warn(*journal.warnings)
        if journal.reused:
            LOG.info("reusing %d of %d chunks", len(journal.reused), plan.num_chunks)
        writers = open_writers(stack, plan, outputs, engine.reason)
        counter, reasons = _execute(plan, executor, journal, writers, run.progress)
        tags = {LEFT_OUT_TAG: left_out_tag(reasons.found())}
        rasters = {name: writer.finish(tags) for name, writer in writers.items()}
        if plan.settings.sieve is not None:
            counter = count_raster(rasters["classes"].file, pixel_areas(plan.scene.geobox))
        warn(*_empty(plan, counter))
        files = {name: staged.file for name, staged in rasters.items()}
        others = stage_others(stack, plan, outputs, files, zones, warnings)
        wanted = [staged for name, staged in rasters.items() if name != "confidence" or outputs.confidence]
        with signals_held():  # a journal beside a complete output would be in the way
            publish([*others, *wanted], overwrite=run.overwrite)
            journal.discard()
    return Result(
        outputs=outputs,
        plan=plan,
        classes=counter.shares(plan.map_classes),
        left_out=reasons.found(),
        seconds=time.perf_counter() - start,
        precision=engine.reason,
        warnings=tuple(warnings),
        reused=len(journal.reused),
    )


def _empty(plan: Plan, counter: ClassCounter) -> list[str]:
    """The warning about a map without a single class."""
    if counter.nodata < plan.scene.geobox.height * plan.scene.geobox.width:
        return []
    left = " and is left in by the masks" if plan.scene.masks else ""
    return [f"no pixel of the scene has data{left}: the map is empty"]


def _journal(plan: Plan, outputs: Outputs, engine: Engine, *, resume: bool) -> Journal:
    keep, known = outputs.probabilities is not None, None
    if plan.card.weights_sha256:
        known = fingerprint(plan, engine.precision, engine.device, keep_probabilities=keep)
    layers = len(plan.legend) if keep else 0
    return Journal(outputs.cover, known, plan.grid, list(plan.chunks()), layers, resume=resume)


def _execute(
    plan: Plan, executor: Executor, journal: Journal, writers: Mapping[str, RasterWriter], progress: Progress | None
) -> tuple[ClassCounter, ReasonCounter]:
    """Write every chunk: those in the journal from there, the others as the executor finishes them."""
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
    executor.run(work, reading_order(missing, plan.scene, plan.grid), write)
    return counter, reasons
