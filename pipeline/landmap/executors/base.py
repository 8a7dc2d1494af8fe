"""Where chunks are done: what a recipe needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from landmap.inference.plan import Plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork
from landmap.tiling import Chunk

Write = Callable[[Chunk, ChunkCover], None]
"""Keeps a chunk's part of the cover; called for one chunk at a time, in any order."""


@dataclass(frozen=True, slots=True)
class Engine:
    """By what probabilities are computed: chunks of another one are not mixed in."""

    precision: str
    """In which the model computes."""
    device: str
    """TensorFlow's name of the device, or "as passed in"."""
    says: str
    """Precision and why that one, in words."""


class Executor(Protocol):
    """Runs the chunks of one scene after the other."""

    def prepare(self, plan: Plan) -> Engine:
        """Choose a precision, and see that what the plan names can be found where chunks are done.

        Raises:
            LandmapError: It can't.
        """

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Read, predict and write these chunks by what `prepare` chose.

        Raises:
            LandmapError: What a chunk raised. Chunks that were written before stay so.
        """
