"""What runs in the processes of a cluster: functions of small values, and what a process keeps between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import rasterio
from distributed import WorkerPlugin, get_worker

from landmap.errors import ClusterError
from landmap.executors.base import Engine, engine_of
from landmap.inference.plan import Plan
from landmap.inference.precision import choose_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, ModelFile, model_file
from landmap.pixels import Pixels
from landmap.tiling import Chunk
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier
from landmap_models.model_file.archive import read_card

Versions = dict[str, str]

_sent: dict[str, Path] = {}
"""Files of models that were sent to this process, by the sha256 of their weights."""
_predicting = Lock()
"""Prediction of one chunk uses all of a process's cores; its other threads read meanwhile."""


@lru_cache(maxsize=1)
def versions() -> Versions:
    """Of what decides the pixels of a cover, by name."""
    return {name: version(name) for name in ("landmap", "keras", "tensorflow")} | {"GDAL": rasterio.__gdal_version__}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a worker says of itself before any work starts."""

    versions: Versions
    """See `versions`."""
    has_model: bool
    """Whether it finds the model's file, and in it the weights that the plan names."""
    missing: tuple[str, ...]
    """Files of the scene that it does not find, or finds with another size."""
    gpus: float
    """How many `GPU` resources it announces."""


def report_findings(model: ModelFile | None, files: dict[str, int], dask_worker: Any = None) -> Findings:
    """See what this process finds.

    Args:
        model: The plan's; None for a classifier that is sent along.
        files: Bytes of the scene's files, by path.
        dask_worker: This worker; Dask fills it in.
    """
    return Findings(
        versions(),
        model is None or _model_path(model) is not None,
        tuple(name for name, size in files.items() if not _has(Path(name), size)),
        float(dask_worker.state.total_resources.get("GPU", 0)),
    )


def prepare(plan: Plan) -> Engine:
    """Choose a precision by this worker's device, and load the model in it."""
    assert plan.model_path is not None
    path = _found(model_file(plan, "float32"))
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
        work: What is done.
        chunk: To which one.
        pixels: What `read_chunk` returned.
        model: The file of a model, which a process loads once; or a classifier.
        wanted: Versions that this process must have, too: a worker may have come after the run began. None: any.

    Raises:
        ClusterError: It has others.
        ModelError: The model is not found here, or its answers are no probabilities.
    """
    if wanted is not None and (other := differing(wanted, versions())):
        raise ClusterError(f"worker {get_worker().address} has {other}. Install the same versions, or give --force")

    def load() -> Classifier:
        return model.load(_found(model)) if isinstance(model, ModelFile) else model

    classifier = work.named(chunk, load)  # an OSError would be taken for one of the scheduler's
    with _predicting:
        return work.predict(chunk, pixels, classifier)


def differing(wanted: Versions, found: Versions) -> str:
    """Which versions are others, in words; empty where none is."""
    return ", ".join(
        f"{name} {found.get(name, 'missing')}, not {wanted[name]}" for name in wanted if found.get(name) != wanted[name]
    )


class SentModel(WorkerPlugin):  # type: ignore[misc] # of a package without types
    """The file of a model, sent to every worker, those that come later included, that does not find it itself."""

    def __init__(self, model: ModelFile) -> None:
        """Read the file.

        Args:
            model: Found here.
        """
        self.name = f"landmap-{model.sha256}.keras"  # by which it is sent once, whatever the number of runs
        self._model, self._content = model, model.path.read_bytes()

    def setup(self, worker: Any) -> None:
        """Write the file into the worker's own folder."""
        if _model_path(self._model) is None:
            path = Path(worker.local_directory) / self.name
            path.write_bytes(self._content)
            _sent[self._model.sha256] = path
            _model_path.cache_clear()


def _found(model: ModelFile) -> Path:
    path = _model_path(model)
    if path is None:
        raise ModelError(
            f"{model.path}: worker {get_worker().address} does not find it, or finds other weights there. Put the file "
            "where all workers see it"
        )
    return path


@lru_cache(maxsize=4)
def _model_path(model: ModelFile) -> Path | None:
    """Where this process finds the weights: where the client does, among the packaged ones, or as they were sent."""
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
