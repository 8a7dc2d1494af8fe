"""The chip network and the pixel network of one model become one cover of 10 m: `landmap_models.model_file.pixels`.

What a pixel gets depends on the scene alone and not on the chunk: the pixel network is given each chunk with as many
pixels around it as its answers depend on, which mirror the scene beyond all its edges, at offsets that are multiples of
its step, in one shape for all chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from landmap.pixels import Pixels, reflect, take
from landmap.tiling import Chunk, Grid, Window
from landmap_models.arrays import Floats
from landmap_models.inference.classifier import Classifier
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.pixels import PixelPart


class PixelClassifier(Classifier, Protocol):
    """A `Classifier` whose model also answers for each pixel; its card has an entry `pixels`."""

    def pixel_factors(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        """The pixel factor of each class of the legend, `(classes, height, width)`; see `PixelPart`.

        Args:
            values: Reflectance of these bands, `(height, width, bands)`.
            bands: Names of the bands that are there, in the order of the card's `pixels.bands`.
        """


@dataclass(frozen=True, slots=True)
class DetailSettings:
    """How the pixel network is run; the same for all chunks of a scene."""

    bands: tuple[str, ...]
    """Names of the bands that the scene has, in the network's order."""
    shape: tuple[int, int]
    """Rows and columns of pixels that the network is given at once: those of the largest chunk with its margins."""


def detail_settings(part: PixelPart, available: tuple[str, ...], owned: list[Window], smallest: int) -> DetailSettings:
    """How the pixel network is run on a scene.

    Args:
        part: What the card says of the network.
        available: Names of the bands that the scene has.
        owned: Pixels that each chunk owns.
        smallest: Rows and columns of pixels that the network is given at least: TensorFlow's kernels may round
            otherwise for smaller arrays.
    """
    bands = tuple(name for name in part.bands if name in available)
    height, width = (max(lengths) for lengths in zip(*(window.shape for window in owned), strict=True))
    return DetailSettings(bands, (_given(height, part, smallest), _given(width, part, smallest)))


def part_of(card: ModelCard) -> PixelPart:
    """What a card says of the network for pixels; the plan has seen to it that there is one."""
    assert card.pixels is not None
    return card.pixels


def _given(length: int, part: PixelPart, smallest: int) -> int:
    """Pixels that the network is given for so many owned ones along an axis: whole steps."""
    return -(-max(smallest, length + 2 * part.margin) // part.step) * part.step


def pixel_factors(pixels: Pixels, grid: Grid, chunk: Chunk, classifier: PixelClassifier, how: DetailSettings) -> Floats:
    """The pixel factors of the pixels that a chunk owns, `(classes, height, width)`.

    Args:
        pixels: Those of `grid.read_window(chunk)`.
        grid: The scene's windows and cells.
        chunk: The chunk; it begins at a multiple of the network's step.
        classifier: The model that holds both networks.
        how: The same for all chunks of the scene.
    """
    part = part_of(classifier.card)
    window, read = grid.owned_window(chunk), grid.read_window(chunk)
    rows = _around(window.row_off, window.height, part, grid.height) - read.row_off
    cols = _around(window.col_off, window.width, part, grid.width) - read.col_off
    given = np.zeros((*how.shape, len(how.bands)), np.float32)
    for place, layer in enumerate(_layers(pixels, classifier.card.band_names, how, part)):
        given[: len(rows), : len(cols), place] = take(layer, rows, cols)
    inner = slice(part.margin, part.margin + window.height), slice(part.margin, part.margin + window.width)
    return classifier.pixel_factors(given, how.bands)[:, *inner]


def _around(start: int, length: int, part: PixelPart, size: int) -> npt.NDArray[np.intp]:
    """Positions of owned pixels along an axis and of a margin around them, mirrored at the scene's edges."""
    return reflect(start - part.margin, start + length + part.margin, size)


def _layers(pixels: Pixels, own: tuple[str, ...], how: DetailSettings, part: PixelPart) -> Iterator[Floats]:
    """Reflectance of each band that is there, `(height, width)`, without gaps."""
    further = [name for name in how.bands if name not in own and (name != NIR_BAND or pixels.spectrum is None)]
    complete = bool(pixels.valid.all())
    for name in how.bands:
        if name in own:
            layer, known = pixels.values[..., own.index(name)], pixels.valid
        else:
            layer = _beside(pixels, name, further)
            known = pixels.valid & np.isfinite(layer)
        if complete and name in own:
            yield layer
        else:
            yield np.where(known, layer, np.float32(part.middle[part.bands.index(name)]))


def _beside(pixels: Pixels, name: str, further: Sequence[str]) -> Floats:
    """Reflectance of a band that is none of the model's own, `(height, width)`."""
    beside = name == NIR_BAND and pixels.spectrum is not None
    array, place = (pixels.spectrum, 2) if beside else (pixels.further, further.index(name))
    assert array is not None  # the plan has seen to it
    return array[..., place]
