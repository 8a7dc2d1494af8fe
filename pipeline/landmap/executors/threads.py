"""Chunks in threads of this process: one is predicted while the next is read and the last is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import TypeVar

from landmap.executors.base import Engine, Write, load_engine
from landmap.inference.plan import Plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork
from landmap.pixels import Pixels
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier

LAST = 10**9 - 1
"""A number that is larger than that of any chunk, and of as many digits."""

Read = TypeVar("Read")
Result = TypeVar("Result")


class ThreadExecutor:
    """An `Executor` on Dask's threads."""

    def __init__(self, threads: int = 2) -> None:
        """Keep the number of threads; nothing is loaded yet.

        Args:
            threads: Number of chunks in work at the same time; 1 executes one after the other.
        """
        self._threads = threads
        self._classifier: Classifier | None = None

    def prepare(self, plan: Plan, classifier: Classifier | None) -> Engine:
        """Load the model in this process. See `Executor`."""
        self._classifier, engine = load_engine(plan, classifier)
        return engine

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Execute chunks in threads. See `Executor`."""
        classifier = self._classifier
        assert classifier is not None  # `prepare` has been called

        def predict(chunk: Chunk, pixels: Pixels | None) -> ChunkCover:
            return work.predict(chunk, pixels, classifier)

        run_steps(chunks, work.read, predict, write, self._threads)


def run_steps(
    chunks: Iterable[Chunk],
    read: Callable[[Chunk], Read],
    compute: Callable[[Chunk, Read], Result],
    write: Callable[[Chunk, Result], None],
    threads: int,
) -> None:
    """Read, compute and write every chunk, on Dask's threaded scheduler if several can be in work.

    Each chunk is three tasks. One chunk at a time is written, as GDAL wants. A classifier sees to it by itself that its
    network runs on one chunk at a time, if that uses all cores; another chunk is read or blended meanwhile. Dask takes
    up a chunk's next task before it starts another chunk, so that about `threads` chunks are in memory at once. Chunks
    are begun in the order in which they are given, as neighbours share blocks of the file.

    Args:
        chunks: Each is executed once.
        read: Returns what `compute` needs; may run in several threads.
        compute: Returns what `write` needs; may run in several threads.
        write: Keeps the result.
        threads: Number of chunks in work at the same time; 1 executes one after the other.
    """
    chunks = list(chunks)
    if min(threads, len(chunks)) <= 1:  # nothing to schedule: a small scene starts without Dask
        for chunk in chunks:
            write(chunk, compute(chunk, read(chunk)))
        return

    import dask
    import dask.threaded

    writing = Lock()

    def locked_write(chunk: Chunk, result: Result) -> None:
        with writing:
            write(chunk, result)

    steps = [dask.delayed(step, pure=False) for step in (read, compute, locked_write)]
    tasks = []
    for number, chunk in enumerate(chunks):
        # Of tasks that could start, Dask takes the one with the last name. Names that aren't given are drawn by lot.
        read_name, compute_name, write_name = (f"{step}-{LAST - number}" for step in ("read", "compute", "write"))
        data = steps[0](chunk, dask_key_name=read_name)
        tasks.append(steps[2](chunk, steps[1](chunk, data, dask_key_name=compute_name), dask_key_name=write_name))
    # named by a word, Dask would import distributed to look it up
    dask.compute(*tasks, scheduler=dask.threaded.get, num_workers=threads)
