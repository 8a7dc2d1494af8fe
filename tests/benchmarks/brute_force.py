"""A part of a scene predicted chip by chip, as anyone would write it first, to compare prediction in one pass with."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap.inference.plan import Plan
from landmap.inference.predict import ChunkSettings, chunk_windows, cover_chunk
from landmap.inference.work import load
from landmap.pixels import Pixels
from landmap.tiling import Chunk, Grid, Window
from landmap_models.arrays import Floats
from landmap_models.inference.classifier import Classifier
from landmap_models.inference.tensorflow import Precision
from landmap_models.model_file.card import ModelCard


@dataclass(frozen=True, slots=True)
class BruteForce:
    """The same map of a part of the scene with each window cut out and predicted as a chip of its own, in float32.

    The time to cut them out is not counted, nor is the first batch of each way, which traces it.
    """

    height: int
    """Rows of the part, which lies in the middle of the scene."""
    width: int
    """Columns of the part."""
    chips: int
    """Predicted by each way."""
    batch_size: int
    """Chips predicted at once."""
    keras_seconds: float
    """By `keras.Model.predict`."""
    function_seconds: float
    """By a `tf.function` of the model, batch by batch."""
    dense_windows_per_second: float
    """What it is compared with: of the whole scene's prediction alone."""
    float32_difference: float
    """Largest between probabilities of brute force and of the dense network in float32."""
    difference: float
    """Largest between probabilities of brute force and of the dense network in the precision of the run."""
    other_class: float
    """Share of valid pixels, 0 to 1, with another class in the map made by the run's way than by brute force."""

    @property
    def keras_chips_per_second(self) -> float:
        """By `keras.Model.predict`."""
        return self.chips / self.keras_seconds

    @property
    def function_chips_per_second(self) -> float:
        """By the `tf.function`."""
        return self.chips / self.function_seconds

    @property
    def keras_ratio(self) -> float:
        """Windows that the dense network predicts while `keras.Model.predict` does one."""
        return self.dense_windows_per_second / self.keras_chips_per_second

    @property
    def function_ratio(self) -> float:
        """Windows that the dense network predicts while the `tf.function` does one."""
        return self.dense_windows_per_second / self.function_chips_per_second


def brute_force(plan: Plan, precision: Precision, crop: int, dense_windows_per_second: float) -> BruteForce | str:
    """Predict the middle of a scene chip by chip with the model as it is, and compare.

    Args:
        plan: Of the scene.
        precision: In which the scene is predicted.
        crop: Height and width of the middle in pixels; no more than the scene has.
        dense_windows_per_second: What the scene's prediction came to.

    Returns:
        What came of it; or why it was not tried.

    Raises:
        LandmapError: See `landmap.errors`.
    """
    if plan.tile is None:
        return f"the scene itself is predicted {plan.method.text}"
    part = _middle(plan, crop)
    if not part.pixels.mapped.any():
        return "the middle of the scene has no data"
    ways = _plain_ways(plan)
    one_by_one = ChunkSettings(batch_size=part.grid.num_windows, smooth=plan.settings.smooth)
    by_force, _ = [part.classes(way, one_by_one) for way in ways]
    as_run = dataclasses.replace(one_by_one, method=plan.method, tile=part.tile(plan.tile))
    other = part.classes(load(plan, precision), as_run) != by_force
    return BruteForce(
        height=part.grid.height,
        width=part.grid.width,
        chips=len(ways[0].answers),
        batch_size=plan.settings.batch_size,
        keras_seconds=ways[0].seconds,
        function_seconds=ways[1].seconds,
        dense_windows_per_second=dense_windows_per_second,
        float32_difference=part.difference(load(plan, "float32"), as_run, ways),
        difference=part.difference(load(plan, precision), as_run, ways),
        other_class=float(other[part.pixels.mapped].mean()),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A rectangle of a scene, as a scene of its own in one chunk."""

    pixels: Pixels
    grid: Grid

    @property
    def chunk(self) -> Chunk:
        return next(self.grid.chunks(self.grid.height, self.grid.width))

    def tile(self, of_scene: tuple[int, int]) -> tuple[int, int]:
        """The scene's, so that the same graph runs, if it is large enough."""
        needed = self.grid.padded_window(self.chunk)
        return max(needed.height, of_scene[0]), max(needed.width, of_scene[1])

    def classes(self, classifier: Classifier, how: ChunkSettings) -> npt.NDArray[np.uint8]:
        return cover_chunk(self.pixels, self.grid, self.chunk, classifier, how).classes

    def difference(self, classifier: Classifier, how: ChunkSettings, ways: tuple[_Way, ...]) -> float:
        """Largest between a classifier's probabilities of windows and those of brute force."""
        windows, weights = chunk_windows(self.pixels, self.grid, self.chunk, classifier, how)
        return max(float(np.abs(windows[weights > 0] - way.answers).max()) for way in ways)


def _middle(plan: Plan, crop: int) -> _Part:
    height, width = min(crop, plan.grid.height), min(crop, plan.grid.width)
    window = Window((plan.grid.height - height) // 2, (plan.grid.width - width) // 2, height, width)
    return _Part(plan.scene.read(window), dataclasses.replace(plan.grid, height=height, width=width))


class _Way:
    """A classifier that predicts chips in one plain way, and keeps its time and answers."""

    def __init__(self, card: ModelCard, batch_size: int, run: Callable[[Floats], Floats]) -> None:
        self.card, self.seconds = card, 0.0
        self.answers: Floats = np.empty((0, len(card.legend)), np.float32)
        self._batch_size, self._run = batch_size, run

    def predict(self, chips: Floats) -> Floats:
        self._run(chips[: self._batch_size + len(chips) % self._batch_size])  # traces a full batch and the last one
        start = time.perf_counter()
        self.answers = self._run(chips)
        self.seconds = time.perf_counter() - start
        return self.answers


def _plain_ways(plan: Plan) -> tuple[_Way, _Way]:
    """What anyone would write first: `keras.Model.predict`, and a `tf.function` called batch by batch."""
    from landmap_models.inference.loading import load_model
    from landmap_models.inference.tensorflow import find_device, tensorflow

    assert plan.model_path is not None  # or else the plan is not dense
    tf, device, size = tensorflow(), find_device(plan.settings.device), plan.settings.batch_size
    with tf.device(device):
        model = load_model(plan.model_path)
    traced = tf.function(lambda chips: model(chips, training=False), autograph=False)

    def keras(chips: Floats) -> Floats:
        with tf.device(device):
            return np.asarray(model.predict(chips, batch_size=size, verbose=0))

    def function(chips: Floats) -> Floats:
        with tf.device(device):
            batches = (tf.constant(chips[start : start + size]) for start in range(0, len(chips), size))
            return np.concatenate([traced(batch).numpy() for batch in batches])

    return _Way(plan.card, size, keras), _Way(plan.card, size, function)
