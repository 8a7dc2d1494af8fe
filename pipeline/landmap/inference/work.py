"""What is done to each chunk of a scene, as a small value that any thread or process can be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import rasterio

from landmap.errors import ChunkError, LandmapError
from landmap.inference.plan import Plan
from landmap.inference.predict import ChunkSettings, cover_chunk
from landmap.inference.stitch import ChunkCover
from landmap.io.reading import cache_bytes, keeping_open
from landmap.left_out import count_reasons
from landmap.pixels import Pixels
from landmap.scene.scene import Scene
from landmap.tiling import Chunk, Grid
from landmap_models.inference.classifier import Classifier

if TYPE_CHECKING:  # it imports TensorFlow's start
    from landmap_models.inference.tensorflow import Precision

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Which model predicts, and how: `load` finds the same one in any process that has its file."""

    path: Path
    """The `.keras` file, absolute."""
    sha256: str
    """Of its weights."""
    batch_size: int
    """Chips predicted at once, where they are predicted one by one."""
    precision: Precision
    """In which it computes."""
    device: str
    """As in `Settings`."""

    def load(self, path: Path | None = None) -> Classifier:
        """The model; a process loads it once.

        Args:
            path: Where its file lies in this process, if elsewhere.

        Raises:
            ModelError: It can't be loaded, or has changed since the plan was made.
        """
        from landmap_models.inference.keras_classifier import load_classifier

        return load_classifier(path or self.path, self.sha256, self.batch_size, self.precision, self.device)


def model_file(plan: Plan, precision: Precision) -> ModelFile:
    """The plan's model; the plan was not made for a classifier that is passed in."""
    assert plan.model_path is not None
    settings = plan.settings
    path = plan.model_path.resolve()
    return ModelFile(path, plan.card.weights_sha256, settings.batch_size, precision, settings.device)


def load(plan: Plan, precision: Precision) -> Classifier:
    """The plan's model in this process, which loads it once.

    Raises:
        ModelError: It can't be loaded, or has changed since the plan was made.
    """
    return model_file(plan, precision).load()


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """Reads and predicts the chunks of a scene. The same for all of them; no pixels, no model, no open file."""

    scene: Scene
    """What is read."""
    grid: Grid
    """Windows and cells."""
    how: ChunkSettings
    """How chunks are predicted."""

    def read(self, chunk: Chunk) -> Pixels | None:
        """The pixels that a chunk needs; None where the file stores none.

        Raises:
            SceneError: The scene can't be read there.
            ChunkError: Something else went wrong.
        """

        def read() -> Pixels | None:
            with rasterio.Env(GDAL_CACHEMAX=cache_bytes(self.scene.source.opens)), keeping_open():
                if self.scene.is_empty(self.grid.owned_window(chunk)):
                    return None
                return self.scene.read(self.grid.read_window(chunk))

        return self.named(chunk, read)

    def predict(self, chunk: Chunk, pixels: Pixels | None, classifier: Classifier) -> ChunkCover:
        """A chunk's part of the cover.

        Args:
            chunk: Which one.
            pixels: What `read` returned.
            classifier: Which model.

        Raises:
            ModelError: The model's answers are no probabilities.
            ChunkError: Something else went wrong.
        """

        def predict() -> ChunkCover:
            found = cover_chunk(pixels, self.grid, chunk, classifier, self.how)
            if pixels is not None:
                return found
            why = self.scene.why_unread(self.grid.owned_window(chunk))
            return replace(found, left_out=count_reasons(why))

        return self.named(chunk, predict)

    def failed(self, chunk: Chunk, why: str) -> ChunkError:
        """The error that names a chunk."""
        return ChunkError(f"chunk {chunk.index} ({self.grid.owned_window(chunk)}) failed: {why}")

    def named(self, chunk: Chunk, step: Callable[[], Made]) -> Made:
        """Name the chunk in what goes wrong, where the error does not say by itself what it is about."""
        try:
            return step()
        except LandmapError:
            raise
        except Exception as error:
            raise self.failed(chunk, f"{type(error).__name__}: {error}") from error


def chunk_work(plan: Plan, *, keep_probabilities: bool) -> ChunkWork:
    """The work that a plan asks for.

    Args:
        plan: In its precision.
        keep_probabilities: Also return those of every class.
    """
    return ChunkWork(plan.scene, plan.grid, plan.chunk_settings(keep_probabilities=keep_probabilities))
