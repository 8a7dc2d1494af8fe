"""A network that answers for each pixel is run on whole images, by Keras itself, with any backend.

Images are continued by reflection at their edges, as scenes are when they are mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmap_models.arrays import Floats

TILE = 256
"""Most rows and columns that are answered at once."""
QUANTUM = 32
"""Pixels of which sides of tiles are multiples, so that images of many sizes need few graphs."""


@dataclass(frozen=True, slots=True)
class WholeImages:
    """Runs a network on images of any size."""

    model: Any
    """`keras.Model` of reflectance `(n, height, width, bands)`, or of that and flags of the bands `(n, bands)`."""
    margin: int
    """Pixels from the edge of what it is given within which its answers depend on what lies beyond."""
    step: int
    """Pixels of which sides of what it is given are multiples."""

    def predict(self, images: Floats) -> Floats:
        """Predict images of one size.

        Args:
            images: Reflectance, `(n, height, width, bands)`, all bands there.

        Returns:
            Class probabilities, `(n, height, width, classes)`.
        """
        height, width = images.shape[1:3]
        inner = self._inner(height), self._inner(width)
        grown = [-(-side // own) * own for side, own in zip((height, width), inner, strict=True)]
        padded = _reflected(images, self.margin, (grown[0] - height, grown[1] - width))
        rows = [
            np.concatenate([self._tile(padded, row, col, inner) for col in range(0, grown[1], inner[1])], axis=2)
            for row in range(0, grown[0], inner[0])
        ]
        return np.concatenate(rows, axis=1)[:, :height, :width]

    def _inner(self, side: int) -> int:
        """Height or width of a tile without its margin."""
        multiple = max(self.step, QUANTUM)
        return min(TILE, -(-side // multiple) * multiple)

    def _tile(self, padded: Floats, row: int, col: int, inner: tuple[int, int]) -> Floats:
        margin = self.margin
        values = padded[:, row : row + inner[0] + 2 * margin, col : col + inner[1] + 2 * margin]
        several = len(self.model.inputs) > 1
        there = np.ones((len(values), values.shape[-1]), np.float32)
        answers = np.asarray(self.model.predict_on_batch([values, there] if several else values))
        return answers[:, margin : margin + inner[0], margin : margin + inner[1]]


def _reflected(images: Floats, margin: int, further: tuple[int, int]) -> Floats:
    mode: Any = "reflect" if min(images.shape[1:3]) > 1 else "edge"
    return np.pad(images, ((0, 0), *((margin, margin + more) for more in further), (0, 0)), mode)


def batches_of(sizes: tuple[tuple[int, int], ...], pixels: int = TILE**2) -> Iterator[list[int]]:
    """Group places of images that follow one another and have one size, with so many pixels in a group at most."""
    group: list[int] = []
    for place, size in enumerate(sizes):
        if group and (size != sizes[group[0]] or (len(group) + 1) * size[0] * size[1] > pixels):
            yield group
            group = []
        group.append(place)
    if group:
        yield group
