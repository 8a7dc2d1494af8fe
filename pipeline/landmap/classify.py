"""The recipe: a scene becomes a cover."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio

from landmap.chips import Pixels
from landmap.graph import run_chunks
from landmap.grid import Chunk
from landmap.mosaic import ChunkCover
from landmap.outputs import check_outputs, publish
from landmap.planning import Plan, make_plan, with_precision
from landmap.precision import choose_precision, load
from landmap.predict import cover_chunk
from landmap.raster import LAYER_TAG, LEGEND_TAG, Layers, RasterWriter, legend_tag
from landmap.settings import Settings
from landmap.summary import ClassCounter, ClassShare
from landmap_models.classifier import Classifier

GDAL_CACHE_BYTES = 128 * 2**20
"""GDAL's own default is a twentieth of all memory, which is a gigabyte on many machines."""
NEUTRAL_SETTINGS = ("chunk", "memory", "batch_size", "threads")
"""Settings that change no pixel; the output does not name them, so that it is the same byte for byte."""

Progress = Callable[[int, int], None]
"""Called after each chunk with the number of pixels done and of all."""


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


def classify(
    scene: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    confidence: str | os.PathLike[str] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    classifier: Classifier | None = None,
    progress: Progress | None = None,
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
        classifier: Use this one in place of the model that the settings name.
        progress: Called after each chunk.
        **choices: Fields of `Settings`, such as `stride=16`.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then.
    """
    outputs = Outputs(Path(output), *(Path(p) if p is not None else None for p in (confidence, probabilities)))
    check_outputs(outputs.paths(), os.fspath(scene), overwrite=overwrite)
    plan = make_plan(scene, settings, card=classifier.card if classifier else None, **choices)
    return run_plan(plan, outputs, overwrite=overwrite, classifier=classifier, progress=progress)


def run_plan(
    plan: Plan,
    outputs: Outputs,
    *,
    overwrite: bool = False,
    classifier: Classifier | None = None,
    progress: Progress | None = None,
) -> Result:
    """Do what a plan says.

    Args:
        plan: What to do.
        outputs: Where the results go; `check_outputs` has seen them.
        overwrite: Replace outputs that exist when all is done; otherwise they are refused then.
        classifier: Use this one in place of the plan's model.
        progress: Called after each chunk.

    Raises:
        LandmapError: See `landmap.errors`. No output is left behind then.
    """
    start = time.perf_counter()
    precision = "float32: the classifier was passed in"
    if classifier is None:
        choice = choose_precision(plan)
        plan = with_precision(plan, choice.precision)
        classifier, precision = load(plan, choice.precision), choice.says
    counter = ClassCounter()
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), ExitStack() as stack:
        writers = _open_writers(stack, plan, outputs, precision)
        how = plan.chunk_settings(keep_probabilities=outputs.probabilities is not None)
        done = 0

        def read(chunk: Chunk) -> Pixels | None:
            if plan.scene.is_empty(plan.grid.owned_window(chunk)):
                return None
            return plan.scene.read(plan.grid.read_window(chunk))

        def compute(chunk: Chunk, pixels: Pixels | None) -> ChunkCover:
            return cover_chunk(pixels, plan.grid, chunk, classifier, how)

        def write(chunk: Chunk, cover: ChunkCover) -> None:
            nonlocal done
            window = plan.grid.owned_window(chunk)
            for name, writer in writers.items():
                writer.write(window, getattr(cover, name))
            counter.add(cover.classes)
            done += cover.classes.size
            if progress:
                progress(done, plan.scene.height * plan.scene.width)

        run_chunks(plan.grid, plan.chunks(), read, compute, write, plan.settings.threads)
        publish([writer.finish() for writer in writers.values()], overwrite=overwrite)
    found = ("no pixel of the scene has data: the map is empty",) if counter.nodata == done else ()
    return Result(
        outputs=outputs,
        plan=plan,
        classes=counter.shares(plan.card.legend, plan.hectares),
        nodata_pixels=counter.nodata,
        seconds=time.perf_counter() - start,
        precision=precision,
        warnings=(*plan.warnings, *found),
    )


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
        "LANDMAP_SCENE": Path(plan.scene.path).name,
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
