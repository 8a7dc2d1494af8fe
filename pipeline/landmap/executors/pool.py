"""Chunks in any pool that has the interface of `concurrent.futures.Executor`: processes, loky, MPI, Ray and others."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from concurrent.futures import Executor as Pool
from itertools import islice
from typing import Any

from landmap.errors import ClusterError
from landmap.executors.base import Engine, Write, load_engine
from landmap.inference.plan import Plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, ModelFile, model_file
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier


class PoolExecutor:
    """An `Executor` on a pool of `concurrent.futures`, or of a library with that interface.

    Each chunk is one call. What is sent is small and can be pickled: each process loads the model from its file once.
    """

    def __init__(self, pool: Pool, most: int = 8) -> None:
        """Keep the pool, which is not shut down.

        Args:
            pool: Its `submit` is called, and must return futures of `concurrent.futures`.
            most: Number of chunks that are submitted and not written, at most: twice the number of processes, so that
                none waits, and no more, as results wait in memory.
        """
        self._pool, self._most = pool, most
        self._model: ModelFile | Classifier | None = None

    def prepare(self, plan: Plan, classifier: Classifier | None) -> Engine:
        """Choose the precision in this process. See `Executor`."""
        _, engine = load_engine(plan, classifier)
        precision: Any = engine.precision
        self._model = classifier or model_file(plan, precision)
        return engine

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Execute chunks in the pool. See `Executor`.

        Raises:
            ClusterError: The pool broke, as when one of its processes was killed.
        """
        assert self._model is not None  # `prepare` has been called
        waiting = iter(chunks)
        running: dict[Future[ChunkCover], Chunk] = {}
        try:
            while True:
                for chunk in islice(waiting, self._most - len(running)):
                    running[self._pool.submit(compute_chunk, work, chunk, self._model)] = chunk
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    write(running.pop(future), future.result())
        except BrokenExecutor as error:
            raise ClusterError(
                f"expected a pool whose processes live. Received: {error}. Finished chunks are kept: make a new pool, "
                "with fewer processes if memory ran out, and give the same command again"
            ) from error
        finally:
            for future in running:
                future.cancel()


def compute_chunk(work: ChunkWork, chunk: Chunk, model: ModelFile | Classifier) -> ChunkCover:
    """Read and predict a chunk in a process of the pool.

    Args:
        work: The work on chunks.
        chunk: The chunk, whose cells and windows are those of the work's grid.
        model: The file of a model, which a process loads once, or a classifier.

    Raises:
        LandmapError: What a chunk raised.
    """
    pixels = work.read(chunk)
    return work.predict(chunk, pixels, model.load() if isinstance(model, ModelFile) else model)
