"""Measures a classification: the whole of it in a process of its own, then each step alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window as RasterWindow

from landmap.bench.result import Bench, Machine, Steps, Whole
from landmap.demo.example import MIN_SIZE, TAGS, write_example
from landmap.errors import ChunkError, LandmapError, SceneError, SettingsError
from landmap.inference.methods import EachPixel
from landmap.inference.plan import Plan, make_plan, with_precision
from landmap.inference.precision import choose_precision
from landmap.inference.work import chunk_work, load
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import exists_error, new_file
from landmap.io.reading import CACHE_BYTES
from landmap.products.files import check_outputs
from landmap.run.classify import run_plan
from landmap.run.result import Progress
from landmap.settings import Choices, Settings, with_choices
from landmap.tiling import Chunk, Grid, Window
from landmap_models.inference.classifier import Classifier, PerPixelClassifier, WindowClassifier
from landmap_models.sentinel2 import TRUE_COLOR

if TYPE_CHECKING:  # it imports TensorFlow's start
    from landmap_models.inference.tensorflow import Precision


PART = 1024
"""Height and width in pixels of the example scene that is repeated; a multiple of the file's blocks."""
UNSEEN = 200
"""Number of columns at the example's right edge that may have no data, because they lie beyond the orbit's edge."""


def write_bench_scene(path: str | Path, size: int, *, overwrite: bool = False) -> Path:
    """Write a synthetic scene of any size in little time: uint16 DN of B04, B03 and B02, tiled, DEFLATE, Level-1C.

    It repeats an example, of which every other copy is mirrored, so that there are no edges between them. No pixel is
    nodata, although the file declares 0, as Sentinel-2 products do.

    Args:
        path: File of the scene (GeoTIFF).
        size: Height and width in pixels of 10 m, at least 64; 10,980 is a full Sentinel-2 product.
        overwrite: Replace a file that exists.

    Raises:
        SettingsError: The size is below 64.
        OutputError: The file exists already or can't be written; nothing is left half-written.
    """
    path = Path(path)
    if size < MIN_SIZE:
        raise SettingsError(f"Expected a size of at least {MIN_SIZE} pixels. Received: {size}")
    if path.exists() and not overwrite:
        raise exists_error(path)
    with new_file(path, overwrite=overwrite) as file:
        values, profile = _example(file.with_name("example.tif"))
        _repeat(file, values, profile | {"count": len(TRUE_COLOR), "height": size, "width": size})
    return path


def _example(path: Path) -> tuple[npt.NDArray[np.uint16], dict[str, object]]:
    """Values of the example `(bands, PART, PART)` without nodata, and the profile of its file."""
    with rasterio.open(write_example(path, PART).scene) as file:
        values = file.read([3, 2, 1])
        values[:, :, -UNSEEN:] = values[:, :, -2 * UNSEEN : -UNSEEN][:, :, ::-1]
        return values, dict(file.profile)


def _repeat(path: Path, values: npt.NDArray[np.uint16], profile: dict[str, object]) -> None:
    with rasterio.open(path, "w", **profile, bigtiff="IF_SAFER") as file:
        file.descriptions = TRUE_COLOR
        file.update_tags(**TAGS)
        for i, row in enumerate(range(0, file.height, PART)):
            for j, col in enumerate(range(0, file.width, PART)):
                part = values[:, :: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
                height, width = min(PART, file.height - row), min(PART, file.width - col)
                file.write(part[:, :height, :width], window=RasterWindow(col, row, width, height))


FULL_SIZE = 10_980
"""Height and width in pixels of a Sentinel-2 product."""


def bench(
    scene: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    size: int = FULL_SIZE,
    keep: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Bench:
    """Measure a classification: the whole of it in a process of its own, then each step alone.

    The process is started by multiprocessing: a script calls this under `if __name__ == "__main__":`. Memory is needed
    for what `settings.memory` says, and a byte for each pixel of the scene.

    Args:
        scene: Anything that `landmap.open_scene` takes; None: a synthetic scene is made.
        settings: The settings of the classification; None: the defaults.
        size: Height and width of the synthetic scene in pixels.
        keep: Folder for `cover.tif`, and for `scene.tif` if it is made; None: a temporary one.
        overwrite: Replace these files if they exist.
        progress: Called after each of the three steps with their number and 3; None: nothing is.
        **choices: Fields of `Settings`, in place of those in `settings`.

    Raises:
        SettingsError: A setting or the size can't be meant.
        LandmapError: See `landmap.errors`.
    """
    settings, report = with_choices(settings, choices), progress or (lambda done, total: None)
    with nullcontext(keep) if keep is not None else tempfile.TemporaryDirectory(prefix="landmap-bench-") as folder:
        path = os.fspath(scene) if scene is not None else str(Path(folder, "scene.tif"))
        cover = Path(folder, "cover.tif")
        check_outputs([cover], path, *settings.files, overwrite=overwrite)
        if scene is None:
            write_bench_scene(path, size, overwrite=overwrite)
        report(1, 3)
        plan = make_plan(path, settings)
        whole = run_whole(plan, cover, overwrite=overwrite)
        report(2, 3)
        precision = precision_of(whole)
        plan = with_precision(plan, precision)
        steps = measure_steps(plan, precision, Path(folder))
        report(3, 3)
    return _gathered(plan, whole, steps, "synthetic" if scene is None else plan.scene.source.redacted_path)


def _gathered(plan: Plan, whole: Whole, steps: Steps, scene: str) -> Bench:
    """What was measured, with what was planned."""
    grid = plan.grid
    return Bench(
        scene=scene,
        height=grid.height,
        width=grid.width,
        chip_size=grid.chip_size,
        stride=grid.stride,
        windows=grid.num_windows,
        chunks=plan.num_chunks,
        chunk_shape=plan.chunk_shape,
        tile=plan.tile,
        threads=plan.settings.threads,
        model=f"{plan.card.name} {plan.card.version}",
        method=plan.method.text,
        whole=whole,
        steps=steps,
        machine=_machine(plan.settings.device),
    )


def precision_of(whole: Whole) -> Precision:
    """The precision of a run, with the name of which its text begins."""
    return cast("Precision", re.split("[ :,]", whole.precision)[0])


def run_whole(plan: Plan, cover: Path, *, overwrite: bool = False) -> Whole:
    """Carry out a plan in a new process, so that its memory and start are those of the run.

    Args:
        plan: The plan of the scene's classification.
        cover: File of the cover.
        overwrite: Replace it if it exists.

    Raises:
        LandmapError: See `landmap.errors`; also if the process is killed, for example for its memory.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_whole, args=(sender, plan, cover, overwrite, time.time()))
    process.start()
    sender.close()  # so that the end of the process, which has the other one, is seen
    try:
        found = receiver.recv()
    except EOFError:
        found = None
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()
    if found is None:
        raise ChunkError(
            f"{plan.scene.source.redacted_path}: the run's process ended with status {process.exitcode}: out of memory?"
        )
    if isinstance(found, LandmapError):
        raise found
    return cast(Whole, found)


def _send_whole(sender: Connection, plan: Plan, cover: Path, overwrite: bool, began: float) -> None:
    """Run in the new process, and send the result or the error. Ctrl-C is ignored: the parent ends it by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    try:
        _start(plan)
        start_seconds = time.time() - began
        result = run_plan(plan, cover, overwrite=overwrite, resume=False)
        sender.send(Whole(start_seconds, result.seconds, _peak_bytes(), result.precision))
    except LandmapError as error:
        sender.send(error)


def _start(plan: Plan) -> None:
    """Import the library that computes, which is measured apart."""
    if plan.engine.name == "tensorflow":
        from landmap_models.inference.tensorflow import tensorflow

        tensorflow()


def _peak_bytes() -> int:
    """Highest resident memory of this process in bytes.

    On Linux `getrusage` would also count the process that this one was forked from.
    """
    status = Path("/proc/self/status")
    if found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""):
        return int(found[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_steps(plan: Plan, precision: Precision, folder: Path) -> Steps:
    """Time each step of a plan for all chunks, without overlap.

    Args:
        plan: The plan; it was made with a model's file.
        precision: Number format in which the model computes.
        folder: Folder for a temporary file.

    Raises:
        LandmapError: See `landmap.errors`.
    """
    _start(plan)  # no part of the preparation
    seconds = dict.fromkeys(("prepare", "read", "predict", "write"), 0.0)
    with _timed(seconds, "prepare"):
        choose_precision(plan)
        classifier = load(plan, precision)
        _warm_up(plan, classifier)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        parts, windows = _read_and_predict(plan, classifier, seconds)
        layers = Layers(("class",), legend=plan.map_classes)
        with _timed(seconds, "write"), RasterWriter(folder / "steps.tif", plan.scene.geobox, layers) as writer:
            for window, classes in parts:
                writer.write(window, classes)
            writer.finish()
    return Steps(seconds["prepare"], seconds["read"], seconds["predict"], seconds["write"], windows)


def _warm_up(plan: Plan, classifier: Classifier) -> None:
    """Predict once, which makes TensorFlow's graph."""
    bands, size = len(plan.card.bands), plan.card.chip_size
    if isinstance(plan.method, EachPixel):
        shape = plan.method.given, plan.method.given, len(plan.method.bands)
        cast(PerPixelClassifier, classifier).predict_pixels(np.zeros(shape, np.float32), plan.method.bands)
        return
    if plan.tile is None:
        classifier.predict(np.zeros((1, size, size, bands), np.float32))
        return
    cast(WindowClassifier, classifier).predict_windows(np.zeros((*plan.tile, bands), np.float32), plan.grid.stride)


def _read_and_predict(
    plan: Plan, classifier: Classifier, seconds: dict[str, float]
) -> tuple[list[tuple[Window, npt.NDArray[np.uint8]]], int]:
    """Classes of all chunks with their windows in the scene, and the number of windows that were predicted.

    Nothing is written meanwhile: GDAL writes its cache at any time, which would count as reading.
    """
    work, parts, windows = chunk_work(plan, keep_probabilities=False), [], 0
    for chunk in plan.chunks():
        with _timed(seconds, "read"):
            pixels = work.read(chunk)
        with _timed(seconds, "predict"):
            found = work.predict(chunk, pixels, classifier)
        parts.append((plan.grid.owned_window(chunk), found.classes))
        windows += _windows_begun(plan.grid, chunk) if pixels else 0
    if not windows:
        raise SceneError(f"{plan.scene.source.redacted_path}: expected a scene with data. Received: none in any chunk")
    return parts, windows


def _windows_begun(grid: Grid, chunk: Chunk) -> int:
    """Number of windows whose first cell a chunk owns: each window of the scene begins in one chunk."""
    rows, cols = (
        max(0, min(cells.stop, axis.windows) - cells.start)
        for cells, axis in ((chunk.cell_rows, grid.rows), (chunk.cell_cols, grid.cols))
    )
    return rows * cols


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


def _machine(device: str) -> Machine:
    from landmap_models.inference.tensorflow import find_device, tensorflow

    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text() if info.exists() else "")
    return Machine(
        cpu=named[1].strip() if named else platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        device=find_device(device),
        landmap=version("landmap"),
        tensorflow=str(tensorflow().__version__),
        python=platform.python_version(),
    )
