"""Batches of windows of images with masks, for Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from landmap_models.arrays import Bools, Doubles, Floats, Indices
from landmap_models.datasets.chips import Augment
from landmap_models.datasets.images import LabelledImages


class PixelBatches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Batches of windows for `model.fit`: `(inputs, probabilities (n, size, size, classes), weights (n, size, size))`.

    Weights are 0 where there is no label; their mean over a batch is 1, so that the loss is one of labelled pixels.
    Inputs are reflectance `(n, size, size, bands)`, or a pair of that and flags `(n, bands)` of the bands that are
    there.

    As in `ChipBatches`, order, places and augmentation depend on `(seed, epoch, batch)` alone.
    """

    def __init__(
        self,
        images: LabelledImages,
        size: int,
        batch_size: int,
        augment: Augment | None = None,
        seed: int | None = None,
        *,
        optional: Sequence[str] | None = None,
        class_weights: Sequence[float] | None = None,
        **keywords: object,
    ) -> None:
        """Prepare the batches.

        Args:
            images: Images to read.
            size: Height and width of a window in pixels, a multiple of `images.PRESENCE`. An image that is smaller is
                continued by its mirror image, without labels.
            batch_size: Number of windows in a batch; the last may have fewer.
            augment: Function that changes windows and labels at random; None: they stay as they are.
            seed: Seed of order, places, augmentation and bands left out; None: windows tile the images in order, and
                all bands are there.
            optional: Names of bands that are left out at random; inputs are pairs then. None: inputs are reflectance
                alone.
            class_weights: Weight of each class in the loss, `(classes,)`; None: all alike.
            keywords: `workers`, `use_multiprocessing` and `max_queue_size` of Keras.
        """
        super().__init__(**keywords)
        self.images, self.size, self.batch_size, self.augment, self.seed = images, size, batch_size, augment, seed
        self.optional = None if optional is None else np.isin(images.bands, list(optional))
        self.class_weights = np.ones(len(images.class_names)) if class_weights is None else np.array(class_weights)
        self._windows = images.windows(size)
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self._windows) // self.batch_size)

    def start_epoch(self, epoch: int) -> None:
        """Set order and places of an epoch, counted from 0, before its first batch."""
        self.epoch = epoch
        self._order: Indices = np.arange(len(self._windows))
        if self.seed is not None:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self._windows))

    def __getitem__(self, index: int) -> tuple[Any, Floats, Floats]:
        rng = None if self.seed is None else np.random.default_rng((self.seed, self.epoch, index))
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        pieces = [self._piece(self._windows[i], rng) for i in chosen]
        values, labels = (np.stack(arrays) for arrays in zip(*pieces, strict=True))
        if self.augment is not None and rng is not None:
            values, labels = self.augment(values, labels, rng)
        sums = labels.sum(axis=-1)
        weights = sums * (labels @ self.class_weights / np.maximum(sums, 1e-6))
        weights = (weights / max(float(weights.mean()), 1e-6)).astype(np.float32)
        labels = (labels / np.maximum(sums, 1e-6)[..., None]).astype(np.float32)
        if self.optional is None:
            return values, labels, weights
        there = _flags(len(values), self.optional, rng)
        return (values, there), labels, weights

    def _piece(self, corner: tuple[int, int, int], rng: np.random.Generator | None) -> tuple[Floats, Floats]:
        """A window and its labels; with randomness, moved by up to half its size if labels are there, too."""
        place, row, col = corner
        if rng is not None:
            down, right = rng.integers(-self.size // 2, self.size // 2 + 1, 2).tolist()
            values, labels = self._read(place, row + down, col + right)
            if labels.any():
                return self._filled(values, labels)
        return self._filled(*self._read(place, row, col))

    def _read(self, place: int, row: int, col: int) -> tuple[Floats, Floats]:
        return self.images.read(place, self.images.clipped(place, row, col, self.size))

    def _filled(self, values: Floats, labels: Floats) -> tuple[Floats, Floats]:
        lacking = [(0, self.size - side) for side in values.shape[:2]]
        if not any(after for _, after in lacking):
            return values, labels
        return np.pad(values, [*lacking, (0, 0)], "symmetric"), np.pad(labels, [*lacking, (0, 0)])


def _flags(count: int, optional: Bools, rng: np.random.Generator | None) -> Floats:
    """Flags of the bands that are there `(count, bands)`: all, those that must be, or these and any, each a third."""
    there = np.ones((count, len(optional)), np.float32)
    if rng is None:
        return there
    kind = rng.integers(3, size=count)
    there[kind == 1] = ~optional
    some: Doubles = rng.random((count, len(optional)))
    there[kind == 2] = (~optional | (some < 0.5))[kind == 2]
    return there
