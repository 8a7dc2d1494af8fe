"""Batches for the pixel network: pieces of three sources, varied in light and air, with bands left out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from pixel_data import BANDS, TRUE_COLOR, Floats

from landmap_models.augment.radiometry import haze, radiometric_jitter

SIZE = 64
"""Height and width of a picture in pixels."""
COLOUR_LIMIT = 0.275
"""Reflectance at which true-colour chips saturate."""
RGB = np.isin(BANDS, TRUE_COLOR)
FOUR = np.isin(BANDS, (*TRUE_COLOR, "B08"))
ALL = np.ones(len(BANDS), bool)
BAND_SETS = {"ten": ALL, "four": FOUR, "three": RGB}
"""Which bands are there, `(10,)`, by name."""
CHANCES = (0.15, 0.35, 0.38, 0.12)
"""Of true colour, true colour with B08, all bands, and any bands beside true colour."""
PASTED = 0.25
"""Share of 13-band chips into which a rectangle of another one is pasted."""
PATCH_WEIGHT = 0.6
"""Of a pixel of WorldCover's patches in the loss: a map's label, not an expert's."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pictures of one source, with answers."""

    pictures: npt.NDArray[Any]
    """`(n, height, width, 10)` of reflectance, or `(n, 64, 64, 3)` of 8 bits: red, green, blue."""
    answers: npt.NDArray[Any]
    """`(n, height, width, 9)`: probabilities, or 255 times these in 8 bits."""


class PixelBatches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Batches `((pictures, flags), answers, weights)`, the same for the same seed, epoch and place."""

    def __init__(
        self,
        spectral: Part,
        patches: Part,
        colour: Part | None,
        counts: tuple[int, ...],
        steps: int,
        seed: int,
        canvases: Part | None = None,
    ):
        """Prepare the batches.

        Args:
            spectral: 13-band chips with the teacher's answers.
            patches: WorldCover's patches of 16x16 px, of which sixteen make a picture.
            colour: True-colour chips; None leaves them out.
            counts: Pictures of each source in a batch, in this order.
            steps: Batches an epoch.
            seed: Of everything that is random.
            canvases: Land put together at random, larger than a picture, with the teacher's answers; None leaves them
                out.
        """
        super().__init__(workers=1)
        self.canvases = canvases
        self.spectral, self.patches, self.colour, self.counts, self.steps, self.seed = (
            spectral,
            patches,
            colour,
            counts,
            steps,
            seed,
        )
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps

    def on_epoch_begin(self) -> None:
        """Nothing is drawn twice."""
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[tuple[Floats, Floats], Floats, Floats]:
        return self.draw(np.random.default_rng([self.seed, self.epoch, index]))

    def draw(self, rng: np.random.Generator) -> tuple[tuple[Floats, Floats], Floats, Floats]:
        """One batch."""
        spectral, patches, colour, wide = (*self.counts, 0)[:4]
        sources = [_pasted(*_some(self.spectral, spectral, rng), rng), _squares(self.patches, patches, rng)]
        flags = [_band_sets(spectral + patches, rng)]
        if self.colour is not None:
            sources.append(_spread(*_some(self.colour, colour, rng)))
            flags.append(np.repeat(RGB[None], colour, axis=0))
        if self.canvases is not None:
            sources.append(_cut(self.canvases, wide, rng))
            flags.append(_band_sets(wide, rng))
        pictures = np.concatenate([picture for picture, _ in sources])
        answers = np.concatenate([answer for _, answer in sources])
        there = np.concatenate(flags)
        pictures, answers = _turned(pictures, answers, rng)
        pictures = radiometric_jitter(haze(pictures, rng, strength=0.5, share=0.6, bands=BANDS), rng)
        clipped = (there.sum(axis=1) == RGB.sum()) & (rng.random(len(there)) < 0.5)
        pictures = np.where(clipped[:, None, None, None], np.minimum(pictures, COLOUR_LIMIT), pictures)
        weights = answers.sum(axis=-1)
        weights[spectral : spectral + patches] *= PATCH_WEIGHT
        return (pictures.astype(np.float32), there.astype(np.float32)), answers, weights


def _some(part: Part, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    index = rng.integers(len(part.pictures), size=count)
    return part.pictures[index], part.answers[index]


def _spread(colours: npt.NDArray[Any], answers: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """True-colour chips of 8 bits as pictures of all bands, of which the others are 0.1 and will be masked."""
    pictures = np.full((*colours.shape[:3], len(BANDS)), 0.1, np.float32)
    places = [BANDS.index(name) for name in TRUE_COLOR]
    pictures[..., places] = colours.astype(np.float32) * (COLOUR_LIMIT / 255)
    found = answers.astype(np.float32)
    return pictures, found / np.maximum(found.sum(axis=-1, keepdims=True), 1e-6)


def _cut(canvases: Part, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Pictures from anywhere on the canvases."""
    height, width = canvases.pictures.shape[1:3]
    places = zip(
        rng.integers(len(canvases.pictures), size=count),
        rng.integers(height - SIZE + 1, size=count),
        rng.integers(width - SIZE + 1, size=count),
        strict=True,
    )
    windows = [np.s_[i, row : row + SIZE, col : col + SIZE] for i, row, col in places]
    pictures = np.stack([canvases.pictures[window] for window in windows]).astype(np.float32)
    answers = np.stack([canvases.answers[window] for window in windows]).astype(np.float32)
    return pictures, answers / np.maximum(answers.sum(axis=-1, keepdims=True), 1)


def _pasted(pictures: Floats, answers: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A rectangle of the next picture in some of them: more borders between more kinds of land."""
    mixed, told = pictures.copy(), answers.copy()
    for i in np.flatnonzero(rng.random(len(pictures)) < PASTED):
        height, width = rng.integers(SIZE // 4, SIZE, size=2)
        row, col = rng.integers(SIZE - height + 1), rng.integers(SIZE - width + 1)
        window = np.s_[row : row + height, col : col + width]
        mixed[i][window], told[i][window] = pictures[i - 1][window], answers[i - 1][window]
    return mixed, told


def _squares(part: Part, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Pictures put together from sixteen patches each."""
    side = SIZE // part.pictures.shape[1]
    pictures, answers = _turned(*_some(part, count * side * side, rng), rng)
    return _assembled(pictures, side), _assembled(answers, side)


def _assembled(values: Floats, side: int) -> Floats:
    size, channels = values.shape[1], values.shape[-1]
    rows = values.reshape(-1, side, side, size, size, channels).transpose(0, 1, 3, 2, 4, 5)
    return rows.reshape(-1, side * size, side * size, channels)


def _band_sets(count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which bands are there in each picture, `(count, 10)`; true colour always is."""
    anything = RGB | (rng.random((count, len(BANDS))) < 0.5)
    choices = np.stack([np.repeat(flags[None], count, axis=0) for flags in (RGB, FOUR, ALL)] + [anything])
    return choices[rng.choice(len(CHANCES), size=count, p=CHANCES), np.arange(count)]


def _turned(pictures: Floats, answers: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Each by one of the eight symmetries of the square."""
    pictures, answers = pictures.copy(), answers.copy()
    for i, symmetry in enumerate(rng.integers(8, size=len(pictures))):
        for values in (pictures, answers):
            values[i] = np.rot90(values[i][:, ::-1] if symmetry >= 4 else values[i], symmetry % 4)
    return pictures, answers
