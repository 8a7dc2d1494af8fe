"""Finished chunks beside an output that is not: a run that was cut short goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from landmap.errors import OutputError
from landmap.inference.stitch import ChunkCover
from landmap.io.publish import write_bytes, write_errors
from landmap.run.fingerprint import Fingerprint, difference, digest
from landmap.tiling import Chunk, Grid

NAME = "journal.json"
COUNTS = "<i8"
"""How counts of pixels are kept behind those, by NumPy's name."""
SEAL = 32
"""Bytes of a checksum (SHA-256)."""


class Journal:
    """The folder `cover.tif.landmap` beside `cover.tif`: a fingerprint, and a file for each finished chunk.

    A file is written under another name, brought to the disk (fsync) and renamed: a killed process leaves it whole or
    not at all. After a power cut the rename may be missing, or on file systems that reorder writes the content: the
    checksum tells, and the chunk is done again. The checksum is also of the fingerprint and of the chunk's number, so
    that a file of another run or another chunk is noticed, too.

    The caller holds the output's lock. Leaving the context keeps the folder if a chunk is in it; `discard` removes it.
    Any thread may load, and keep.
    """

    def __init__(
        self,
        output: Path,
        found: Fingerprint | None,
        grid: Grid,
        chunks: Sequence[Chunk],
        layers: int,
        *,
        resume: bool = True,
    ) -> None:
        """Look at nothing yet; entering the context does.

        Args:
            output: The cover.
            found: Of this run; None where nothing tells its classifier from another, and nothing can be kept.
            grid: Of the scene.
            chunks: All of them. A single one is not worth keeping.
            layers: Classes whose probabilities are kept, too; 0 without.
            resume: Use what is there; otherwise it is removed.
        """
        self.folder = output.with_name(output.name + ".landmap")
        self.reused: set[int] = set()
        """Numbers of the chunks that need not be done."""
        self.warnings: tuple[str, ...] = ()
        """Why chunks that are there are not used, in plain words."""
        self._output, self._found, self._key, self._resume = output, found, digest(found or {}), resume
        self._grid, self._chunks, self._layers = grid, chunks, layers
        self._lock = threading.Lock()  # Dask's threads go on for a while after an interrupt
        self._ended = False

    def load(self, chunk: Chunk) -> ChunkCover | None:
        """The kept part of the cover; None where there is none, or one that is damaged, which is removed then."""
        if chunk.index not in self.reused:
            return None
        sealed = self._sealed(chunk)
        if sealed is None:
            self.reused.discard(chunk.index)
            return None
        content, shape = zlib.decompress(sealed), self._shape(chunk)
        values = np.frombuffer(content, np.uint8, math.prod(shape)).reshape(shape)
        left_out = np.frombuffer(content, COUNTS, offset=values.size).tolist()
        return ChunkCover(values[0], values[1], values[2:] if self._layers else None, tuple(left_out))

    def keep(self, chunk: Chunk, cover: ChunkCover) -> None:
        """Keep a chunk's part of the cover, unless it comes from here.

        Raises:
            OutputError: The disk is full, or the like; or the run has ended.
        """
        with self._lock, self._told():
            if self._ended:
                raise OutputError(f"{self.folder}: can't be written: the run has ended")
            if self._found is None or len(self._chunks) == 1 or chunk.index in self.reused:
                return
            self.folder.mkdir(exist_ok=True)
            if not (self.folder / NAME).exists():
                write_bytes(self.folder / NAME, json.dumps(self._found, indent=1).encode())
            parts = [
                cover.classes[None],
                cover.confidence[None],
                *([] if cover.probabilities is None else [cover.probabilities]),
            ]
            packed = zlib.compress(np.concatenate(parts).tobytes() + np.array(cover.left_out, COUNTS).tobytes(), 1)
            write_bytes(self._file(chunk), self._seal(chunk, packed) + packed)

    def discard(self) -> None:
        """Remove the folder, but for files that are not the journal's. Nothing can be kept from now on."""
        with self._lock:
            self._ended = True
            with suppress(OSError):  # the output is complete; what is left over is swept up another time
                self._empty()

    def __enter__(self) -> Journal:
        with self._told():
            if self.folder.is_dir():
                self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
            with suppress(OSError):
                if not any(self.folder.glob("chunk-*.z")):
                    self._empty()

    def _open(self) -> None:
        """Find out what can be used, and remove the rest."""
        reason = self._refusal()
        if reason or not self._resume:
            if self._resume and any(self.folder.glob("chunk-*.z")):
                self.warnings = (f"the unfinished run of {self._output.name} {reason}: starting afresh",)
            self._empty()
            return
        for file in self.folder.glob("*.part"):
            file.unlink()
        stored = [chunk for chunk in self._chunks if self._file(chunk).exists()]
        self.reused = {chunk.index for chunk in stored if self._sealed(chunk) is not None}
        if damaged := len(stored) - len(self.reused):
            how = "chunk is" if damaged == 1 else "chunks are"
            run = f"of the unfinished run of {self._output.name}"
            self.warnings = (f"{run}, {damaged} finished {how} damaged and done again",)

    def _refusal(self) -> str:
        """Why the run before can't be gone on with, in words; empty where it can."""
        before = _read(self.folder / NAME)
        if before is None:
            return "left a journal that can't be read"
        if self._found is None:
            return "can't be gone on with by a classifier that is passed in without a checksum of its weights"
        reason = difference(before, self._found)
        return reason and f"was made {reason}"

    def _empty(self) -> None:
        """Remove what is the journal's; its own file last, so that chunks are never without it."""
        for pattern in ("*.part", "chunk-*.z", NAME):
            for file in self.folder.glob(pattern):
                file.unlink()
        with suppress(OSError):  # not there, or something else is in it
            self.folder.rmdir()

    def _sealed(self, chunk: Chunk) -> bytes | None:
        """The packed content of a chunk's file if its checksum is right; otherwise the file is removed."""
        file = self._file(chunk)
        with suppress(OSError):
            content = file.read_bytes()
            if content[:SEAL] == self._seal(chunk, content[SEAL:]):
                return content[SEAL:]
            file.unlink()
        return None

    def _seal(self, chunk: Chunk, packed: bytes) -> bytes:
        about = json.dumps([chunk.index, self._shape(chunk)]).encode()
        return hashlib.sha256(self._key + about + packed).digest()

    def _shape(self, chunk: Chunk) -> tuple[int, int, int]:
        return (2 + self._layers, *self._grid.owned_window(chunk).shape)

    def _file(self, chunk: Chunk) -> Path:
        return self.folder / f"chunk-{chunk.index}.z"

    @contextmanager
    def _told(self) -> Iterator[None]:
        with write_errors(self.folder):
            yield


def _read(file: Path) -> Fingerprint | None:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
