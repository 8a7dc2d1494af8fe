"""What a run asks of whatever executes its chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from landmap.inference.plan import Plan
from landmap.inference.precision import choose_precision
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, load
from landmap.io.reading import keeping_open
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier

Write = Callable[[Chunk, ChunkCover], None]
"""Keeps a chunk's part of the cover. It is called for one chunk at a time, in any order, in the process of the run."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The precision and device that compute probabilities: finished chunks of another engine are not reused."""

    precision: str
    """Number format in which the model computes, such as "bfloat16"."""
    device: str
    """TensorFlow's name of the device, that of another engine with its version, or "as passed in"."""
    reason: str
    """The precision and why it was chosen, in words."""


class Executor(Protocol):
    """Executes the chunks of one scene after the other.

    A new one needs these two methods and is given to `landmap.classify` or `landmap.run_plan`; no other file knows of
    it. The cover does not depend on the executor, to the last byte.
    """

    def prepare(self, plan: Plan, classifier: Classifier | None) -> Engine:
        """Choose a precision, and check that the plan's files are found where chunks are executed.

        Args:
            plan: What will be executed.
            classifier: Predicts in place of the plan's model; None where the plan's model does.

        Raises:
            LandmapError: A file is missing, or the model can't be loaded.
        """

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Read, predict and write chunks of the plan that was prepared last.

        Args:
            work: Its `read` and `predict` are called for each chunk. It is small and can be pickled.
            chunks: Those that are not finished yet.
            write: Called with each chunk and what `work.predict` returned for it.

        Raises:
            LandmapError: What a chunk raised. Chunks that were written before are kept.
        """


def load_engine(plan: Plan, classifier: Classifier | None) -> tuple[Classifier, Engine]:
    """The classifier that predicts in this process, loaded, and its engine.

    Args:
        plan: Names the model, the precision and the device.
        classifier: Predicts in place of the plan's model; None where the plan's model does.

    Raises:
        ModelError: The model can't be loaded, or the device is not there.
    """
    if classifier is not None:
        return classifier, engine_of(classifier, "float32: the classifier was passed in")
    with keeping_open():
        choice = choose_precision(plan)
    classifier = load(plan, choice.precision)
    return classifier, engine_of(classifier, choice.reason)


def engine_of(classifier: Classifier, reason: str) -> Engine:
    """The engine of a classifier that is loaded.

    Args:
        classifier: May have attributes `precision` and `device`.
        reason: Why this precision was chosen, in words.
    """
    precision, device = (str(getattr(classifier, name, "as passed in")) for name in ("precision", "device"))
    return Engine(precision, device, reason)
