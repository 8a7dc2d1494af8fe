"""The recipe: a scene becomes a cover."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio

from landmap.companions import stage_companions
from landmap.derived import Derived
from landmap.fingerprint import fingerprint
from landmap.graph.cluster import ClusterExecutor
from landmap.graph.connect import Scheduler, connected
from landmap.graph.executor import Engine, Executor
from landmap.graph.threads import ThreadExecutor
from landmap.grid import Chunk
from landmap.journal import Journal
from landmap.lock import locked
from landmap.mosaic import ChunkCover
from landmap.outputs import Staged, check_outputs, publish, signals_held
from landmap.planning import Plan, make_plan, with_precision
from landmap.quicklook import check_quicklook
from landmap.raster import CELL_TAG, LAYER_TAG, LEGEND_TAG, STRIDE_TAG, Layers, RasterWriter, legend_tag
from landmap.report_page import Map, check_report
from landmap.settings import NEUTRAL_SETTINGS, Settings
from landmap.style import percent_style
from landmap.summary import ClassCounter, ClassShare, count_raster
from landmap.work import GDAL_CACHE_BYTES, chunk_work
from landmap.zones import Zones
from landmap_models.classifier import Classifier
from landmap_models.nir import CELL

Progress = Callable[[int, int], None]
"""Called after each chunk with the number of pixels done and of all."""
Say = Callable[[str], None]
"""Called with a line for the user."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results go.

    Raises:
        OutputError: A report or quicklook has another ending than it needs, or a library for it is missing.
    """

    cover: Path
    """Class ids."""
    confidence: Path | None = None
    """Probability of the class in percent."""
    probabilities: Path | None = None
    """Probability of every class in percent, one band a class."""
    derived: Derived = dataclasses.field(default_factory=Derived)
    """What is made of these."""
    report: Path | None = None
    """A page that shows the map and says how it was made."""
    quicklook: Path | None = None
    """A picture of the scene beside its cover."""

    def __post_init__(self) -> None:
        if self.report:
            check_report(self.report)
        if self.quicklook:
            check_quicklook(self.quicklook)

    def paths(self) -> list[Path]:
        """Those that are asked for."""
        own = self.cover, self.confidence, self.probabilities, self.report, self.quicklook
        return [*(p for p in own if p is not None), *self.derived.paths()]


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What was done."""

    outputs: Outputs
    """Files written."""
    plan: Plan
    """What they were made by."""
    classes: tuple[ClassShare, ...]
    """Share of each class."""
    nodata_pixels: int
    """Pixels without data."""
    seconds: float
    """Time from the plan to the last file."""
    precision: str
    """In which the model computed, and why, in words."""
    warnings: tuple[str, ...]
    """Those of the plan, and what was found on the way."""
    reused: int = 0
    """Chunks that a run before had finished."""


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
    **choices: Any,
) -> Result:
    """Classify a scene and write its cover.

    Args:
        scene: Anything that `landmap.scene.open_scene` takes.
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
            `landmap.journal`.
    """
    others = confidence, probabilities, report, quicklook
    percent, each, page, picture = (None if path is None else Path(path) for path in others)
    outputs = Outputs(Path(output), percent, each, derived or Derived(), page, picture)
    check_outputs(outputs.paths(), os.fspath(scene), overwrite=overwrite)
    plan = make_plan(scene, settings, card=classifier.card if classifier else None, **choices)
    how: dict[str, Any] = {"overwrite": overwrite, "resume": resume, "classifier": classifier}
    where: dict[str, Any] = {"scheduler": scheduler, "workers": workers}
    return run_plan(plan, outputs, **how, **where, progress=progress, say=say, warn=warn)


def run_plan(
    plan: Plan,
    outputs: Outputs,
    *,
    overwrite: bool = False,
    resume: bool = True,
    classifier: Classifier | None = None,
    scheduler: Scheduler = None,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
    warn: Say | None = None,
) -> Result:
    """Do what a plan says.

    Args:
        plan: What to do.
        outputs: Where the results go; `check_outputs` has seen them.
        overwrite: Replace outputs that exist when all is done; otherwise they are refused then.
        resume: Reuse the chunks of a run for this output that was cut short; otherwise they are thrown away.
        classifier: Use this one in place of the plan's model. Its chunks can be reused where its card has
            `weights_sha256`.
        scheduler: Do the chunks on this Dask cluster. With neither this nor `workers`, on the cluster of Dask's default
            client, if the program has one, and else in threads.
        workers: Do the chunks in so many processes, started for this run.
        progress: Called after each chunk.
        say: Called with news: how many chunks are reused, where the cluster's dashboard is.
        warn: Called with each warning that is found on the way, at once; they are in the result, too.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then, but what is finished, for the next run: see
            `landmap.journal`.
    """
    start, warnings = time.perf_counter(), list(plan.warnings)
    zones = outputs.derived.check(
        with_probabilities=outputs.probabilities is not None, placed=plan.hectares is not None
    )

    def found(warning: str) -> None:
        warnings.append(warning)
        if warn:
            warn(warning)

    with ExitStack() as stack:
        stack.enter_context(locked(outputs.paths()))
        client = stack.enter_context(connected(scheduler, workers))
        executor: Executor = (
            ClusterExecutor(client, classifier, force=plan.settings.force, say=say)
            if client
            else ThreadExecutor(plan.settings.threads, classifier)
        )
        engine = executor.prepare(plan)
        if classifier is None:
            plan = with_precision(plan, engine.precision)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
        journal = stack.enter_context(_journal(plan, outputs, engine, resume=resume))
        for warning in journal.warnings:
            found(warning)
        if say and journal.reused:
            say(f"reusing {len(journal.reused)} of {plan.num_chunks} chunks")
        writers = _open_writers(stack, plan, outputs, engine.says)
        counter = _run(plan, executor, journal, writers, progress)
        if counter.nodata == plan.scene.height * plan.scene.width:
            found("no pixel of the scene has data: the map is empty")
        rasters = {name: writer.finish() for name, writer in writers.items()}
        if plan.settings.sieve is not None:
            counter = count_raster(rasters["classes"].file)
        derived, odd = _derived(stack, outputs, rasters, zones, say)
        for warning in odd:
            found(warning)
        companions = _companions(stack, plan, outputs, rasters, warnings)
        wanted = [staged for name, staged in rasters.items() if name != "confidence" or outputs.confidence]
        with signals_held():  # a journal beside a complete output would be in the way
            publish([*derived, *companions, *wanted], overwrite=overwrite)
            journal.discard()
    return Result(
        outputs=outputs,
        plan=plan,
        classes=counter.shares(plan.map_classes, plan.hectares),
        nodata_pixels=counter.nodata,
        seconds=time.perf_counter() - start,
        precision=engine.says,
        warnings=tuple(warnings),
        reused=len(journal.reused),
    )


def _journal(plan: Plan, outputs: Outputs, engine: Engine, *, resume: bool) -> Journal:
    keep, known = outputs.probabilities is not None, None
    if plan.card.weights_sha256:
        known = fingerprint(plan, engine.precision, engine.device, keep_probabilities=keep)
    layers = len(plan.card.legend) if keep else 0
    return Journal(outputs.cover, known, plan.grid, list(plan.chunks()), layers, resume=resume)


def _run(
    plan: Plan, executor: Executor, journal: Journal, writers: Mapping[str, RasterWriter], progress: Progress | None
) -> ClassCounter:
    """Every chunk from the journal, or from the scene by way of the journal, to the writers."""
    work = chunk_work(plan, keep_probabilities="probabilities" in writers)
    counter, done, missing = ClassCounter(), 0, list[Chunk]()

    def keep(chunk: Chunk, cover: ChunkCover) -> None:
        nonlocal done
        journal.keep(chunk, cover)  # here, not where it is predicted: meanwhile the model is at the next chunk
        for name, writer in writers.items():
            writer.write(plan.grid.owned_window(chunk), getattr(cover, name))
        counter.add(cover.classes, cover.confidence)
        done += cover.classes.size
        if progress:
            progress(done, plan.scene.height * plan.scene.width)

    def write(chunk: Chunk, cover: ChunkCover) -> None:
        work.named(chunk, lambda: keep(chunk, cover))

    for chunk in plan.chunks():
        if kept := journal.load(chunk):
            write(chunk, kept)
        else:
            missing.append(chunk)
    executor.run(work, missing, write)
    return counter


def _derived(
    stack: ExitStack, outputs: Outputs, rasters: Mapping[str, Staged], zones: Zones | None, say: Say | None
) -> tuple[list[Staged], list[str]]:
    """Polygons and tables of the finished rasters, where they are asked for, and warnings."""
    if not outputs.derived.paths():
        return [], []
    return outputs.derived.stage(stack, {name: staged.file for name, staged in rasters.items()}, zones, say)


def _companions(
    stack: ExitStack, plan: Plan, outputs: Outputs, rasters: Mapping[str, Staged], warnings: Sequence[str]
) -> list[Staged]:
    """Page and picture of the finished rasters, where they are asked for."""
    confidence = rasters["confidence"].file if "confidence" in rasters else None
    made = Map(plan.scene, rasters["classes"].file, confidence, plan, tuple(warnings))
    return stage_companions(stack, made, name=outputs.cover.name, report=outputs.report, quicklook=outputs.quicklook)


def _open_writers(stack: ExitStack, plan: Plan, outputs: Outputs, precision: str) -> dict[str, RasterWriter]:
    """Writers by the name of the field of `ChunkCover` that they keep; the cover is published last."""
    tags = _tags(plan, precision)
    # Polygons, tables and the report need it; if it is not asked for, it goes with the cover's working files.
    confidence = outputs.confidence or (outputs.cover if outputs.derived.paths() or outputs.report else None)
    wanted = {
        "probabilities": (outputs.probabilities, Layers(plan.card.legend.names, overviews="AVERAGE")),
        "confidence": (confidence, Layers(("confidence",), overviews="AVERAGE", style=percent_style())),
        "classes": (outputs.cover, Layers(("class",), legend=plan.map_classes, sieve=plan.settings.sieve)),
    }
    return {
        name: stack.enter_context(
            RasterWriter(path, plan.scene, dataclasses.replace(layers, tags=tags | {LAYER_TAG: name}))
        )
        for name, (path, layers) in wanted.items()
        if path is not None
    }


def _tags(plan: Plan, precision: str) -> dict[str, str]:
    """What made the cover. No time and no folder: the same input gives the same bytes everywhere."""
    described = plan.to_dict()
    return {
        "LANDMAP_VERSION": version("landmap"),
        "LANDMAP_SCENE": Path(plan.scene.shown_path).name,
        "LANDMAP_MODEL": f"{plan.card.name} {plan.card.version}",
        "LANDMAP_MODEL_SHA256": plan.card.weights_sha256,
        "LANDMAP_BANDS": json.dumps(described["scene"]["bands"]),
        "LANDMAP_RADIOMETRY": json.dumps(described["radiometry"]),
        "LANDMAP_NIR": plan.nir,
        "LANDMAP_NODATA": plan.scene.nodata_rule,
        "LANDMAP_PRECISION": precision,
        STRIDE_TAG: str(plan.grid.stride),
        CELL_TAG: str(math.gcd(plan.grid.stride, CELL) if plan.scene.infrared else plan.grid.stride),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.map_classes),
    }


def _settings_tag(settings: Settings) -> str:
    """Settings as given, as JSON; of a model's path only the name."""
    given = dataclasses.asdict(settings) | {"model": Path(settings.model).name}
    return json.dumps({name: value for name, value in given.items() if name not in NEUTRAL_SETTINGS})
