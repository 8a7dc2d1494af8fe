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

from landmap.chips import Pixels
from landmap.fingerprint import fingerprint
from landmap.graph import run_chunks
from landmap.grid import Chunk
from landmap.journal import Journal
from landmap.lock import locked
from landmap.mosaic import ChunkCover
from landmap.outputs import check_outputs, publish, signals_held
from landmap.planning import Plan, make_plan, with_precision
from landmap.precision import choose_precision, load
from landmap.predict import cover_chunk
from landmap.raster import LAYER_TAG, LEGEND_TAG, Layers, RasterWriter, legend_tag
from landmap.settings import NEUTRAL_SETTINGS, Settings
from landmap.summary import ClassCounter, ClassShare
from landmap_models.classifier import Classifier

GDAL_CACHE_BYTES = 128 * 2**20
"""GDAL's own default is a twentieth of all memory, which is a gigabyte on many machines."""

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
    progress: Progress | None = None,
    say: Say | None = None,
    warn: Say | None = None,
    **choices: Any,
) -> Result:
    """Classify a scene and write its cover.

    Args:
        scene: Anything that GDAL opens as one raster.
        output: The cover: uint8 class ids on the scene's grid, nodata 255, as cloud-optimised GeoTIFF.
        settings: How.
        confidence: Also write the class's probability in percent.
        probabilities: Also write every class's probability in percent, one band a class.
        overwrite: Replace outputs that exist.
        resume: Reuse the chunks of a run for this output that was cut short; otherwise they are thrown away.
        classifier: Use this one in place of the model that the settings name. Its chunks can be reused where its card
            has `weights_sha256`.
        progress: Called after each chunk.
        say: Called with news: how many chunks are reused.
        warn: Called with each warning that is found on the way, at once; they are in the result, too.
        **choices: Fields of `Settings`, such as `stride=16`.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then, but what is finished, for the next run: see
            `landmap.journal`.
    """
    outputs = Outputs(Path(output), *(Path(p) if p is not None else None for p in (confidence, probabilities)))
    check_outputs(outputs.paths(), os.fspath(scene), overwrite=overwrite)
    plan = make_plan(scene, settings, card=classifier.card if classifier else None, **choices)
    how: dict[str, Any] = {"overwrite": overwrite, "resume": resume, "classifier": classifier}
    return run_plan(plan, outputs, **how, progress=progress, say=say, warn=warn)


def run_plan(
    plan: Plan,
    outputs: Outputs,
    *,
    overwrite: bool = False,
    resume: bool = True,
    classifier: Classifier | None = None,
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
        progress: Called after each chunk.
        say: Called with news: how many chunks are reused.
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
        plan, classifier, precision = _ready(plan, classifier)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
        journal = stack.enter_context(_journal(plan, outputs, classifier, resume=resume))
        for warning in journal.warnings:
            found(warning)
        if say and journal.reused:
            say(f"reusing {len(journal.reused)} of {plan.num_chunks} chunks")
        writers = _open_writers(stack, plan, outputs, precision)
        counter = _run(plan, classifier, journal, writers, progress)
        finished = [writer.finish() for writer in writers.values()]
        with signals_held():  # a journal beside a complete output would be in the way
            publish(finished, overwrite=overwrite)
            journal.discard()
    if counter.nodata == plan.scene.height * plan.scene.width:
        found("no pixel of the scene has data: the map is empty")
    return Result(
        outputs=outputs,
        plan=plan,
        classes=counter.shares(plan.card.legend, plan.hectares),
        nodata_pixels=counter.nodata,
        seconds=time.perf_counter() - start,
        precision=precision,
        warnings=tuple(warnings),
        reused=len(journal.reused),
    )


def _ready(plan: Plan, classifier: Classifier | None) -> tuple[Plan, Classifier, str]:
    """Plan and classifier in the chosen precision, and why that one, in words."""
    if classifier is not None:
        return plan, classifier, "float32: the classifier was passed in"
    choice = choose_precision(plan)
    plan = with_precision(plan, choice.precision)
    return plan, load(plan, choice.precision), choice.says


def _journal(plan: Plan, outputs: Outputs, classifier: Classifier, *, resume: bool) -> Journal:
    keep = outputs.probabilities is not None
    known = fingerprint(plan, classifier, keep_probabilities=keep) if plan.card.weights_sha256 else None
    layers = len(plan.card.legend) if keep else 0
    return Journal(outputs.cover, known, plan.grid, list(plan.chunks()), layers, resume=resume)


def _run(
    plan: Plan, classifier: Classifier, journal: Journal, writers: Mapping[str, RasterWriter], progress: Progress | None
) -> ClassCounter:
    """Every chunk from the journal, or from the scene by way of the journal, to the writers."""
    how = plan.chunk_settings(keep_probabilities="probabilities" in writers)
    counter, done = ClassCounter(), 0

    def read(chunk: Chunk) -> ChunkCover | Pixels | None:
        if kept := journal.load(chunk):
            return kept
        if plan.scene.is_empty(plan.grid.owned_window(chunk)):
            return None
        return plan.scene.read(plan.grid.read_window(chunk))

    def compute(chunk: Chunk, data: ChunkCover | Pixels | None) -> ChunkCover:
        return data if isinstance(data, ChunkCover) else cover_chunk(data, plan.grid, chunk, classifier, how)

    def write(chunk: Chunk, cover: ChunkCover) -> None:
        nonlocal done
        journal.keep(chunk, cover)  # here, not in `compute`: meanwhile the model is at the next chunk
        for name, writer in writers.items():
            writer.write(plan.grid.owned_window(chunk), getattr(cover, name))
        counter.add(cover.classes)
        done += cover.classes.size
        if progress:
            progress(done, plan.scene.height * plan.scene.width)

    run_chunks(plan.grid, plan.chunks(), read, compute, write, plan.settings.threads)
    return counter


def _open_writers(stack: ExitStack, plan: Plan, outputs: Outputs, precision: str) -> dict[str, RasterWriter]:
    """Writers by the name of the field of `ChunkCover` that they keep; the cover is published last."""
    tags = _tags(plan, precision)
    names = plan.card.legend.names
    wanted = {
        "probabilities": (outputs.probabilities, names, None, "AVERAGE"),
        "confidence": (outputs.confidence, ("confidence",), None, "AVERAGE"),
        "classes": (outputs.cover, ("class",), plan.card.legend, "NEAREST"),
    }
    return {
        name: stack.enter_context(
            RasterWriter(path, plan.scene, Layers(descriptions, tags | {LAYER_TAG: name}, legend, overviews))
        )
        for name, (path, descriptions, legend, overviews) in wanted.items()
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
        "LANDMAP_STRIDE": str(plan.grid.stride),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.card.legend),
    }


def _settings_tag(settings: Settings) -> str:
    """Settings as given, as JSON; of a model's path only the name."""
    given = dataclasses.asdict(settings) | {"model": Path(settings.model).name}
    return json.dumps({name: value for name, value in given.items() if name not in NEUTRAL_SETTINGS})
