"""Finished chunks are kept beside an unfinished output, so that a run which was cut short is resumed."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
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
"""NumPy's name of the type in which counts of pixels are stored, behind the classes."""
SEAL = 32
"""Length of a checksum (SHA-256) in bytes."""


class Journal:
    """The folder `cover.tif.landmap` beside `cover.tif`: a fingerprint, and a file for each finished chunk.

    A file is written under another name, brought to the disk (fsync) and renamed: a killed process leaves it whole or
    not at all. After a power cut the rename may be missing, or, on file systems that reorder writes, the content: the
    checksum is wrong then, and the chunk is predicted again. The checksum covers the fingerprint and the chunk's
    number, too, so that a file of another run or of another chunk is not used.

    The caller holds the output's lock. Leaving the context keeps the folder if there is a chunk in it; `discard`
    removes it. Any thread may load and keep chunks.
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
        """Keep the arguments; the folder is read when the context is entered.

        Args:
            output: File of the cover.
            found: Fingerprint of this run; None if its classifier can't be identified, and nothing can be kept.
            grid: Windows and cells of the scene.
            chunks: All chunks of the scene. A single one is not kept.
            layers: Number of classes whose probabilities are kept, too; 0 if none are.
            resume: Reuse finished chunks; otherwise they are removed.
        """
        self.folder = output.with_name(output.name + ".landmap")
        self.reused: set[int] = set()
        """Numbers of the chunks that an earlier run finished."""
        self.warnings: tuple[str, ...] = ()
        """Why finished chunks are not reused, in words."""
        self._output, self._found, self._key, self._resume = output, found, digest(found or {}), resume
        self._grid, self._chunks, self._layers = grid, chunks, layers
        self._lock = threading.Lock()  # Dask's threads go on for a while after an interrupt
        self._ended = False

    def load(self, chunk: Chunk) -> ChunkCover | None:
        """A chunk's part of the cover; None if it is not kept, or damaged. A damaged one is removed."""
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
        """Keep a chunk's part of the cover, unless it was loaded from here.

        Raises:
            OutputError: The disk is full, or the like; or the run has ended.
        """
        with self._lock, write_errors(self.folder):
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
        """Remove the journal's files, and its folder if nothing else is in it. Nothing can be kept from now on."""
        with self._lock:
            self._ended = True
            with suppress(OSError):  # the output is complete; what is left is removed by the next run
                self._empty()

    def __enter__(self) -> Journal:
        with write_errors(self.folder):
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
        """Find the chunks that can be reused, and remove the others."""
        reason = self._why_not()
        if reason or not self._resume:
            if self._resume and any(self.folder.glob("chunk-*.z")):
                self.warnings = (f"the unfinished run of {self._output.name} {reason}: starting over",)
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

    def _why_not(self) -> str:
        """Why the earlier run can't be resumed, in words; "" if it can."""
        before = _read(self.folder / NAME)
        if before is None:
            return "left a journal that can't be read"
        if self._found is None:
            return "can't be gone on with by a classifier that is passed in without a checksum of its weights"
        reason = difference(before, self._found)
        return reason and f"was made {reason}"

    def _empty(self) -> None:
        """Remove the journal's files; the fingerprint last, so that chunks are never without it."""
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


def _read(file: Path) -> Fingerprint | None:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
