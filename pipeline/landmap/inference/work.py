"""The work on the chunks of a scene, as a small value that can be sent to any thread or process."""

from __future__ import annotations

import hashlib
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
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier
from landmap_models.inference.engines import InferenceEngine
from landmap_models.model_file.card import ModelCard

if TYPE_CHECKING:  # it imports TensorFlow's start
    from landmap_models.inference.tensorflow import Precision

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The model that predicts, and how it is loaded: the same in every process that has its file."""

    path: Path
    """Absolute path of the `.keras` file."""
    sha256: str
    """SHA-256 of its weights, in hexadecimal digits."""
    batch_size: int
    """Number of chips that are predicted at once, where they are predicted one by one."""
    precision: Precision
    """Number format in which it computes."""
    device: str
    """Device on which it computes, as in `Settings`."""
    engine: InferenceEngine
    """Library that computes its answers."""
    per_pixel: bool = False
    """Whether it answers for each pixel, and not for chips."""
    card_sha256: str = ""
    """SHA-256 of the card that it must have, in hexadecimal digits; empty takes any."""

    def load(self, path: Path | None = None) -> Classifier:
        """Load the model; a process loads it once.

        Args:
            path: Path of its file in this process, if that is another one; None: `self.path`.

        Raises:
            ModelError: It can't be loaded, or has changed since the plan was made.
        """
        found = self._load(path or self.path)
        if self.card_sha256 not in ("", card_sha256(found.card)):
            raise ModelError(
                f"{path or self.path}: expected the card that the plan was made with. It has changed: make the map anew"
            )
        return found

    def _load(self, path: Path) -> Classifier:
        from landmap_models.model_file.archive import is_graph

        if is_graph(path):
            from landmap_models.inference.graph_model import load_graph_model

            return load_graph_model(path, self.sha256, self.batch_size, self.device)
        if self.per_pixel:
            from landmap_models.inference.per_pixel import load_pixel_model

            return load_pixel_model(path, self.sha256, self.precision, self.device)
        return self.engine.load(path, self.sha256, self.batch_size, self.precision, self.device)


def card_sha256(card: ModelCard) -> str:
    """SHA-256 of a card, in hexadecimal digits."""
    return hashlib.sha256(card.to_json().encode()).hexdigest()


def model_file(plan: Plan, precision: Precision) -> ModelFile:
    """The model of a plan that was made with a model's file.

    Args:
        plan: The plan of the scene's classification.
        precision: Number format in which the model computes.
    """
    assert plan.model_path is not None
    settings = plan.settings
    path = plan.model_path.resolve()
    card, engine, device = plan.card, plan.engine, settings.device
    return ModelFile(
        path, card.weights_sha256, settings.batch_size, precision, device, engine, card.per_pixel, card_sha256(card)
    )


def load(plan: Plan, precision: Precision) -> Classifier:
    """Load a plan's model in this process; a process loads it once.

    Args:
        plan: The plan; it was made with a model's file.
        precision: Number format in which the model computes.

    Raises:
        ModelError: It can't be loaded, or has changed since the plan was made.
    """
    return model_file(plan, precision).load()


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """Reads and predicts the chunks of a scene. It is small and can be pickled: no pixels, no model, no open file."""

    scene: Scene
    """The scene that is read."""
    grid: Grid
    """Windows and cells of the scene."""
    how: ChunkSettings
    """How chunks are predicted."""

    def read(self, chunk: Chunk) -> Pixels | None:
        """Read the pixels that a chunk needs.

        Args:
            chunk: The chunk, whose cells and windows are those of the grid.

        Returns:
            The pixels; None if it is known without reading that none of the chunk's own pixels gets a class.

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
        """Predict a chunk's part of the cover.

        Args:
            chunk: The chunk, whose cells and windows are those of the grid.
            pixels: What `read` returned for it.
            classifier: The model that predicts, as the plan names it or as it was passed in.

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
        """The error that names a chunk.

        Args:
            chunk: The chunk, whose cells and windows are those of the grid.
            why: What went wrong.
        """
        return ChunkError(f"chunk {chunk.index} ({self.grid.owned_window(chunk)}) failed: {why}")

    def named(self, chunk: Chunk, step: Callable[[], Made]) -> Made:
        """Call a function, and name the chunk in its error unless that is landmap's own.

        Args:
            chunk: The chunk, whose cells and windows are those of the grid.
            step: The function to call; it takes no arguments.

        Raises:
            LandmapError: What the function raised.
            ChunkError: The function raised an error of another kind.
        """
        try:
            return step()
        except LandmapError:
            raise
        except Exception as error:
            raise self.failed(chunk, f"{type(error).__name__}: {error}") from error


def chunk_work(plan: Plan, *, keep_probabilities: bool) -> ChunkWork:
    """The work that a plan asks for.

    Args:
        plan: The plan, after `with_precision`.
        keep_probabilities: The probabilities of every class are wanted, too.
    """
    return ChunkWork(plan.scene, plan.grid, plan.chunk_settings(keep_probabilities=keep_probabilities))
