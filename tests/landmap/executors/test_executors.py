"""Chunks on Dask's threads."""

from __future__ import annotations

import threading
import time

import pytest

from landmap.errors import SceneError
from landmap.executors.threads import run_steps
from landmap.tiling import Chunk, Grid

GRID = Grid(640, 640, 64, 64)
CHUNKS = list(GRID.chunks(64, 64))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_chunk_is_read_computed_and_written_once(threads: int) -> None:
    written: list[int] = []
    run_steps(
        CHUNKS,
        read=lambda chunk: chunk.index,
        compute=lambda chunk, data: (chunk.index, data * 10),
        write=lambda chunk, result: written.append(result[1] - 9 * result[0] - chunk.index),
        threads=threads,
    )
    assert written == [0] * 100


@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_are_begun_in_the_order_in_which_they_are_given(threads: int) -> None:
    begun: list[int] = []
    given = [*CHUNKS[50:], *CHUNKS[:50]]
    run_steps(given, lambda chunk: begun.append(chunk.index), lambda chunk, data: data, lambda *_: None, threads)
    apart = [abs(begun.index(chunk.index) - place) for place, chunk in enumerate(given)]
    assert max(apart) < threads


def test_few_chunks_are_in_memory_at_once() -> None:
    alive, most, lock = 0, 0, threading.Lock()

    def read(chunk: Chunk) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return 0

    def write(chunk: Chunk, result: int) -> None:
        nonlocal alive
        with lock:
            alive -= 1

    run_steps(CHUNKS, read, lambda chunk, data: data, write, threads=2)
    assert alive == 0
    assert most <= 4, "read far ahead of what is written, memory grows with the scene"


def test_reading_overlaps_with_computing_but_writing_with_nothing_of_its_kind() -> None:
    reading, writing = threading.Event(), 0
    overlapped = False

    def read(chunk: Chunk) -> int:
        reading.set()
        time.sleep(0.002)
        reading.clear()
        return 0

    def compute(chunk: Chunk, data: int) -> int:
        nonlocal overlapped
        for _ in range(4):
            time.sleep(0.001)
            overlapped |= reading.is_set()
        return data

    def write(chunk: Chunk, result: int) -> None:
        nonlocal writing
        writing += 1
        assert writing == 1
        time.sleep(0.002)
        writing -= 1

    run_steps(CHUNKS, read, compute, write, threads=2)
    assert overlapped


def test_an_error_passes_as_it_is() -> None:
    def read(chunk: Chunk) -> int:
        raise SceneError("scene.tif: gone")

    with pytest.raises(SceneError, match=r"^scene.tif: gone$"):
        run_steps(CHUNKS, read, lambda chunk, data: data, lambda chunk, result: None, threads=2)
