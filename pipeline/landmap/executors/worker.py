"""Functions that run in the processes of a cluster, and what a process keeps from one call to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio
from distributed import WorkerPlugin, get_worker

from landmap.errors import ClusterError
from landmap.executors.base import Engine, engine_of
from landmap.inference.plan import Plan
from landmap.inference.precision import choose_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, ModelFile, model_file
from landmap.io.reading import keeping_open
from landmap.pixels import Pixels
from landmap.tiling import Chunk
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier
from landmap_models.model_file.archive import read_card

Versions = dict[str, str]

_sent: dict[str, Path] = {}
"""Files of models that were sent to this process, by the SHA-256 of their weights."""


@lru_cache(maxsize=1)
def versions() -> Versions:
    """Versions of the packages that decide the pixels of a cover, by their names."""
    return {name: version(name) for name in ("landmap", "keras", "tensorflow")} | {"GDAL": rasterio.__gdal_version__}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a worker finds, asked before any work starts."""

    versions: Versions
    """Its versions of packages; see `versions`."""
    has_model: bool
    """Whether it finds the model's file with the weights that the plan names."""
    missing: tuple[str, ...]
    """Files of the scene that it does not find, or finds with another size."""
    gpus: float
    """Number of `GPU` resources that it announces."""


def report_findings(model: ModelFile | None, files: dict[str, int], dask_worker: Any = None) -> Findings:
    """Report what this process finds.

    Args:
        model: The plan's model; None for a classifier that is sent with each task.
        files: Size in bytes of the scene's files, by path.
        dask_worker: This worker; Dask fills it in.
    """
    return Findings(
        versions(),
        model is None or _model_path(model) is not None,
        tuple(name for name, size in files.items() if not _has(Path(name), size)),
        float(dask_worker.state.total_resources.get("GPU", 0)),
    )


def prepare(plan: Plan) -> Engine:
    """Choose a precision for this worker's device, and load the model.

    Args:
        plan: The plan; it was made with a model's file.
    """
    assert plan.model_path is not None
    path = found_model(model_file(plan, "float32"))
    with keeping_open():
        choice = choose_precision(replace(plan, model_path=path))
    return engine_of(model_file(plan, choice.precision).load(path), choice.reason)


def read_chunk(work: ChunkWork, chunk: Chunk) -> Pixels | None:
    """See `ChunkWork.read`."""
    return work.read(chunk)


def predict_chunk(
    work: ChunkWork, chunk: Chunk, pixels: Pixels | None, model: ModelFile | Classifier, wanted: Versions | None
) -> ChunkCover:
    """See `ChunkWork.predict`.

    Args:
        work: The work on chunks.
        chunk: The chunk, whose cells and windows are those of the grid.
        pixels: What `read_chunk` returned for it.
        model: The file of a model, which a process loads once, or a classifier.
        wanted: Versions of packages that this process must have: a worker may have come after the run began. None: any.

    Raises:
        ClusterError: This process has other versions.
        ModelError: The model is not found here, or its answers are no probabilities.
    """
    if wanted is not None and (other := differing(wanted, versions())):
        raise ClusterError(
            f"worker {get_worker().address} has {other}. Install the same versions, or give force=True (--force)"
        )

    def load() -> Classifier:
        return model.load(found_model(model)) if isinstance(model, ModelFile) else model

    classifier = work.named(chunk, load)  # an OSError would be taken for one of the scheduler's
    return work.predict(chunk, pixels, classifier)


def differing(wanted: Versions, found: Versions) -> str:
    """The versions that differ, in words; "" if none does.

    Args:
        wanted: The client's versions.
        found: A worker's versions.
    """
    return ", ".join(
        f"{name} {found.get(name, 'missing')}, not {wanted[name]}" for name in wanted if found.get(name) != wanted[name]
    )


class SentModel(WorkerPlugin):  # type: ignore[misc] # of a package without types
    """Sends a model's file to every worker that does not find it, also to those that come later."""

    def __init__(self, model: ModelFile) -> None:
        """Read the file.

        Args:
            model: The model; its file lies in this process's file system.
        """
        self.name = f"landmap-{model.sha256}.keras"  # by which it is sent once, whatever the number of runs
        self._model, self._content = model, model.path.read_bytes()

    def setup(self, worker: Any) -> None:
        """Write the file into the worker's own folder. Dask calls this on each worker."""
        if _model_path(self._model) is None:
            path = Path(worker.local_directory) / self.name
            path.write_bytes(self._content)
            _sent[self._model.sha256] = path
            _model_path.cache_clear()


def found_model(model: ModelFile) -> Path:
    """The model's file in this process: at the client's path, packaged, or sent.

    Raises:
        ModelError: There is none with the same weights.
    """
    path = _model_path(model)
    if path is None:
        raise ModelError(
            f"{model.path}: worker {get_worker().address} does not find it, or finds other weights there. Put the file "
            "where all workers see it"
        )
    return path


@lru_cache(maxsize=4)
def _model_path(model: ModelFile) -> Path | None:
    """The file with the model's weights in this process: at the client's path, packaged, or sent; None: none."""
    from landmap_models.model_file.packaged import packaged_models

    for path in (model.path, packaged_models().get(model.path.stem), _sent.get(model.sha256)):
        try:
            if path is not None and path.is_file() and read_card(path).weights_sha256 == model.sha256:
                return path
        except (ModelError, OSError):
            continue
    return None


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
