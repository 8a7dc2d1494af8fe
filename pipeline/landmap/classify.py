"""The recipe: a scene becomes a cover."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio

from landmap.fingerprint import fingerprint
from landmap.graph.cluster import ClusterExecutor
from landmap.graph.connect import Scheduler, connected
from landmap.graph.executor import Engine, Executor
from landmap.graph.threads import ThreadExecutor
from landmap.grid import Chunk
from landmap.journal import Journal
from landmap.lock import locked
from landmap.mosaic import ChunkCover
from landmap.outputs import check_outputs, publish, signals_held
from landmap.planning import Plan, make_plan, with_choices, with_precision
from landmap.raster import LAYER_TAG, LEGEND_TAG, Layers, RasterWriter, legend_tag
from landmap.settings import FILE_SETTINGS, NEUTRAL_SETTINGS, Settings
from landmap.source import name_of
from landmap.summary import ClassCounter, ClassShare, count_raster
from landmap.work import GDAL_CACHE_BYTES, chunk_work
from landmap_models.classifier import Classifier

Progress = Callable[[int, int], None]
"""Called after each chunk with the number of pixels done and of all."""
Say = Callable[[str], None]
"""Called with a line for the user."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results go."""

    cover: Path
    """Class ids."""
    confidence: Path | None = None
    """Probability of the class in percent."""
    probabilities: Path | None = None
    """Probability of every class in percent, one band a class."""

    def paths(self) -> list[Path]:
        """Those that are asked for."""
        return [p for p in (self.cover, self.confidence, self.probabilities) if p is not None]


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
    outputs = Outputs(Path(output), *(Path(p) if p is not None else None for p in (confidence, probabilities)))
    settings = with_choices(settings, choices)
    check_outputs(outputs.paths(), os.fspath(scene), settings.area_files, overwrite=overwrite)
    plan = make_plan(scene, settings, card=classifier.card if classifier else None)
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
        finished = [writer.finish() for writer in writers.values()]
        if plan.settings.sieve is not None:
            counter = count_raster(finished[-1].raster)  # the cover comes last
        with signals_held():  # a journal beside a complete output would be in the way
            publish(finished, overwrite=overwrite)
            journal.discard()
    if counter.nodata == plan.scene.height * plan.scene.width:
        left = " and is left in by the masks" if plan.scene.masks else ""
        found(f"no pixel of the scene has data{left}: the map is empty")
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
        counter.add(cover.classes)
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


def _open_writers(stack: ExitStack, plan: Plan, outputs: Outputs, precision: str) -> dict[str, RasterWriter]:
    """Writers by the name of the field of `ChunkCover` that they keep; the cover is published last."""
    tags = _tags(plan, precision)
    names = plan.card.legend.names
    wanted = {
        "probabilities": (outputs.probabilities, names, None, "AVERAGE", None),
        "confidence": (outputs.confidence, ("confidence",), None, "AVERAGE", None),
        "classes": (outputs.cover, ("class",), plan.map_classes, "NEAREST", plan.settings.sieve),
    }
    return {
        name: stack.enter_context(
            RasterWriter(path, plan.scene, Layers(descriptions, tags | {LAYER_TAG: name}, legend, overviews, sieve))
        )
        for name, (path, descriptions, legend, overviews, sieve) in wanted.items()
        if path is not None
    }


def _tags(plan: Plan, precision: str) -> dict[str, str]:
    """What made the cover. No time and no folder: the same input gives the same bytes everywhere."""
    described = plan.to_dict()
    return {
        "LANDMAP_VERSION": version("landmap"),
        "LANDMAP_SCENE": name_of(plan.scene.path),
        "LANDMAP_MODEL": f"{plan.card.name} {plan.card.version}",
        "LANDMAP_MODEL_SHA256": plan.card.weights_sha256,
        "LANDMAP_BANDS": json.dumps(described["scene"]["bands"]),
        "LANDMAP_RADIOMETRY": json.dumps(described["radiometry"]),
        "LANDMAP_NIR": plan.nir,
        "LANDMAP_NODATA": plan.scene.nodata_rule,
        "LANDMAP_MASKS": json.dumps(described["masks"]),
        "LANDMAP_PRECISION": precision,
        "LANDMAP_STRIDE": str(plan.grid.stride),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.map_classes),
    } | ({"LANDMAP_WARP": plan.scene.warp_says} if plan.scene.warp_says else {})


def _settings_tag(settings: Settings) -> str:
    """Settings as given, as JSON; of the paths of files only the names."""
    given = dataclasses.asdict(settings)
    given |= {name: name_of(given[name]) for name in FILE_SETTINGS if given[name] is not None}
    return json.dumps({name: value for name, value in given.items() if name not in NEUTRAL_SETTINGS})
