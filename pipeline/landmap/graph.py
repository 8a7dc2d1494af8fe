"""Chunks on Dask: the only module that imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import TypeVar

from landmap.errors import ChunkError, LandmapError
from landmap.grid import Chunk, Grid

Read = TypeVar("Read")
Result = TypeVar("Result")


def run_chunks(
    grid: Grid,
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
        grid: Of the scene.
        chunks: What to do.
        read: Returns what `compute` needs; may run in several threads.
        compute: Returns what `write` needs.
        write: Keeps the result.
        threads: Chunks in work at once; 1 does one after the other.

    Raises:
        LandmapError: What a chunk raised, as it was.
        ChunkError: A chunk raised something else.
    """
    import dask

    computing, writing = Lock(), Lock()

    def locked_compute(chunk: Chunk, data: Read) -> Result:
        with computing:
            return compute(chunk, data)

    def locked_write(chunk: Chunk, result: Result) -> None:
        with writing:
            write(chunk, result)

    steps = [dask.delayed(_guarded(step, grid), pure=False) for step in (read, locked_compute, locked_write)]
    tasks = []
    for chunk in chunks:
        data = steps[0](chunk)
        tasks.append(steps[2](chunk, steps[1](chunk, data)))
    dask.compute(*tasks, scheduler="threads" if threads > 1 else "sync", num_workers=threads)


def _guarded(step: Callable[..., Result], grid: Grid) -> Callable[..., Result]:
    """Name the chunk in what goes wrong."""

    def guarded(chunk: Chunk, *data: object) -> Result:
        try:
            return step(chunk, *data)
        except LandmapError:
            raise
        except Exception as error:
            where = grid.owned_window(chunk)
            raise ChunkError(f"chunk {chunk.index} ({where}) failed: {type(error).__name__}: {error}") from error

    return guarded
