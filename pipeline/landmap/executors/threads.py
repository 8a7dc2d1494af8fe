"""Chunks in this process: one is predicted while the next is read and the last is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import TypeVar

from landmap.executors.base import Engine, Write
from landmap.inference.plan import Plan
from landmap.inference.precision import choose_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, load
from landmap.pixels import Pixels
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier

Read = TypeVar("Read")
Result = TypeVar("Result")


class ThreadExecutor:
    """An `Executor` on Dask's threads."""

    def __init__(self, threads: int, classifier: Classifier | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            threads: Chunks in work at once; 1 does one after the other.
            classifier: Use this one in place of the plan's model.
        """
        self._threads, self._classifier = threads, classifier

    def prepare(self, plan: Plan) -> Engine:
        """Load the model. See `Executor`."""
        if self._classifier is not None:
            return engine_of(self._classifier, "float32: the classifier was passed in")
        choice = choose_precision(plan)
        self._classifier = load(plan, choice.precision)
        return engine_of(self._classifier, choice.says)

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Do these chunks. See `Executor`."""
        classifier = self._classifier
        assert classifier is not None  # `prepare` has been called

        def predict(chunk: Chunk, pixels: Pixels | None) -> ChunkCover:
            return work.predict(chunk, pixels, classifier)

        run_steps(chunks, work.read, predict, write, self._threads)


def engine_of(classifier: Classifier, says: str) -> Engine:
    """What a loaded classifier computes by."""
    return Engine(
        str(getattr(classifier, "precision", "as passed in")), str(getattr(classifier, "device", "as passed in")), says
    )


def run_steps(
    chunks: Iterable[Chunk],
    read: Callable[[Chunk], Read],
    compute: Callable[[Chunk, Read], Result],
    write: Callable[[Chunk, Result], None],
    threads: int,
) -> None:
    """Read, compute and write every chunk on Dask's threaded scheduler.

    Each chunk is three tasks. Computing happens one chunk at a time, because TensorFlow uses all cores by itself;
    reading of the next chunk overlaps with it. Writing happens one at a time, as GDAL wants. Dask takes up a chunk's
    next task before it starts another chunk, so that about `threads` chunks are in memory at once.

    Args:
        chunks: What to do.
        read: Returns what `compute` needs; may run in several threads.
        compute: Returns what `write` needs.
        write: Keeps the result.
        threads: Chunks in work at once; 1 does one after the other.
    """
    import dask
    import dask.local
    import dask.threaded

    computing, writing = Lock(), Lock()

    def locked_compute(chunk: Chunk, data: Read) -> Result:
        with computing:
            return compute(chunk, data)

    def locked_write(chunk: Chunk, result: Result) -> None:
        with writing:
            write(chunk, result)

    steps = [dask.delayed(step, pure=False) for step in (read, locked_compute, locked_write)]
    tasks = []
    for chunk in chunks:
        data = steps[0](chunk)
        tasks.append(steps[2](chunk, steps[1](chunk, data)))
    # named by a word, Dask would import distributed to look it up
    get = dask.threaded.get if threads > 1 else dask.local.get_sync
    dask.compute(*tasks, scheduler=get, num_workers=threads)
