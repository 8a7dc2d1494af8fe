"""What the pixel network learns from: Dynamic World's answers on 13-band chips, WorldCover's patches, labelled chips.

All pictures are reflectance at the top of the atmosphere in the order of `BANDS`. Parts are divided by place: blocks of
50 km of the chips (13-band and true colour alike), and runs of patches in the file's order, whose places nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from landmap_models.architectures import dynamic_world
from landmap_models.datasets.chips import ChipFolder, open_chips
from landmap_models.datasets.coordinates import chip_coordinates, read_coordinates
from landmap_models.foreign.dynamic_world import load

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Inputs of the network in order."""
CLASSES = dynamic_world.CLASSES
TRUE_COLOR = ("B04", "B03", "B02")
BLOCK_KM = 50.0
FOLDS = 4
"""One of so many folds of the blocks is held out,"""
RUN = 25
"""and one of so many runs of so many patches:"""
RUNS = 6
PADDING = 32
"""Pixels of reflection around a chip when Dynamic World judges it: more than its margin."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures with an answer for each pixel."""

    pictures: Floats
    """Reflectance, `(n, height, width, 10)`."""
    answers: Floats
    """Probabilities, `(n, height, width, 9)`."""
    kinds: Ints
    """Class of the chip, `(n,)`; -1 where nobody says."""
    held: Flags
    """Not to be trained on, `(n,)`."""

    def subset(self, members: Flags) -> Labelled:
        """Those of these."""
        return Labelled(self.pictures[members], self.answers[members], self.kinds[members], self.held[members])


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the data lie."""

    colour: Path
    """EuroSAT's true-colour chips, a zip file."""
    coordinates: Path
    """Their places: CSV with file, latitude, longitude."""
    spectral: Path
    """EuroSAT's 13-band chips, a zip file of GeoTIFFs."""
    worldcover: Path
    """Patches with ESA WorldCover in Dynamic World's numbers, an NPZ file."""
    dynamic_world: Path
    """Google's SavedModel, a folder."""


def sources(data: Path) -> Sources:
    """The files where `data/README.md` of the material has them."""
    chips = data / "eurosat"
    return Sources(
        chips / "eurosat-rgb.zip",
        chips / "coordinates.csv",
        chips / "eurosat-ms-sample.zip",
        data / "worldcover" / "gcp_worldcover_16px.npz",
        data / "weights" / "dynamicworld" / "forward",
    )


def spectral_chips(where: Sources) -> Labelled:
    """The 13-band chips with Dynamic World's answers; blocks of land are held out together."""
    chips = open_chips(where.spectral, bands=BANDS)
    kinds = np.array(chips.labels)
    held = np.isin(_blocks(where, chips), list(held_blocks(where)))
    pictures = chips.reflectance()
    return Labelled(pictures, teach(where.dynamic_world, pictures), kinds, held)


def colour_chips(where: Sources) -> tuple[ChipFolder, Flags]:
    """The true-colour chips, and which of them lie in blocks that are held out."""
    chips = open_chips(where.colour)
    places = read_coordinates(where.coordinates, chips)
    return chips, np.isin(_block_names(places), list(held_blocks(where)))


def patches(where: Sources) -> Labelled:
    """WorldCover's patches; a pixel without a label has probabilities of 0."""
    with np.load(where.worldcover) as file:
        names = [str(name) for name in file["bands"]]
        pictures = file["x"][..., [names.index(b) for b in BANDS]].astype(np.float32) / 10_000
        classes = file["y"]
    answers = (classes[..., None] == np.arange(len(CLASSES))).astype(np.float32)
    index = np.arange(len(pictures))
    return Labelled(pictures, answers, np.full(len(index), -1), index // RUN % RUNS == 0)


def held_blocks(where: Sources) -> frozenset[str]:
    """Names of the blocks of land that are held out, drawn among those of the 13-band chips, all classes alike."""
    chips = open_chips(where.spectral, bands=BANDS)
    blocks, kinds = _blocks(where, chips), np.array(chips.labels)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    _, members = next(iter(folds.split(blocks, kinds, blocks)))
    return frozenset(blocks[members])


def _blocks(where: Sources, chips: ChipFolder) -> npt.NDArray[np.str_]:
    return _block_names(chip_coordinates(chips))


def _block_names(places: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """The block of each place by a name that does not depend on what other places there are."""
    km = np.pi * 6371.0088 / 180
    rows = np.floor(places[:, 0] * km / BLOCK_KM)
    middle = np.radians((rows + 0.5) * BLOCK_KM / km)
    cols = np.floor(places[:, 1] * km * np.cos(middle) / BLOCK_KM)
    return np.array([f"{row:.0f} {col:.0f}" for row, col in zip(rows, cols, strict=True)])


def teach(folder: Path, pictures: Floats) -> Floats:
    """Dynamic World's probabilities, `(n, height, width, 9)`, of pictures reflected at their edges."""
    places = [BANDS.index(b) for b in dynamic_world.BANDS]
    values = np.pad(pictures[..., places], ((0, 0), (PADDING,) * 2, (PADDING,) * 2, (0, 0)), "reflect")
    network = load(folder, *values.shape[1:3])
    logits = network.predict(dynamic_world.TRANSFORM.apply(values), batch_size=8, verbose=0)
    inner = logits[:, PADDING:-PADDING, PADDING:-PADDING].astype(np.float64)
    return softmax(inner).astype(np.float32)


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
