"""Labelled chips divided into three parts that share none: at random, or by where they lie.

A random split flatters a model of land cover: neighbouring chips show the same fields on the same day, and end up in
different parts. A spatial split keeps whole blocks of land together.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landmap_models.datasets import ChipFolder
from landmap_models.errors import DatasetError

FOLDS = 20
"""A spatial split deals blocks into this many folds: parts are multiples of a twentieth."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts that share no chip."""

    train: ChipFolder
    validation: ChipFolder
    test: ChipFolder

    def parts(self) -> dict[str, ChipFolder]:
        """The parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def stratified_split(chips: ChipFolder, seed: int, validation: float = 0.1, test: float = 0.1) -> Split:
    """Split at random, with every class in the same proportion in each part.

    Args:
        chips: What to split.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, 0 to 1.
        test: Share of the test part, 0 to 1.

    Raises:
        DatasetError: A class has too few chips to be in every part.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    labels = np.asarray(chips.labels)
    try:
        outer = StratifiedShuffleSplit(1, test_size=test, random_state=seed)
        rest, test_index = next(outer.split(labels, labels))
        inner = StratifiedShuffleSplit(1, test_size=validation / (1 - test), random_state=seed)
        train_index, validation_index = next(inner.split(labels[rest], labels[rest]))
    except ValueError as error:
        raise DatasetError(f"{chips.root}: can't be split into three parts: {error}") from error
    return Split(
        train=chips.subset(np.sort(rest[train_index])),
        validation=chips.subset(np.sort(rest[validation_index])),
        test=chips.subset(np.sort(test_index)),
    )


def spatial_split(
    chips: ChipFolder,
    coordinates: npt.NDArray[np.float64],
    seed: int,
    validation: float = 0.1,
    test: float = 0.1,
    block_km: float = 50.0,
) -> Split:
    """Split by blocks of land: no block has chips in two parts, classes are as even as blocks allow.

    Args:
        chips: What to split.
        coordinates: Latitude and longitude of each chip in degrees, `(n, 2)`.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, in twentieths.
        test: Share of the test part, in twentieths.
        block_km: Height and width of a block in kilometres.

    Raises:
        DatasetError: There are fewer blocks than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    blocks = block_numbers(coordinates, block_km)
    if len(np.unique(blocks)) < FOLDS:
        raise DatasetError(
            f"{chips.root}: expected chips in at least {FOLDS} blocks of {block_km:g} km. "
            f"Received: {len(np.unique(blocks))}. Choose smaller blocks"
        )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    number = np.zeros(len(chips), int)
    for i, (_, members) in enumerate(folds.split(blocks, np.asarray(chips.labels), blocks)):
        number[members] = i
    first, second = round(test * FOLDS), round((test + validation) * FOLDS)
    return Split(
        train=chips.subset(np.flatnonzero(number >= second)),
        validation=chips.subset(np.flatnonzero((number >= first) & (number < second))),
        test=chips.subset(np.flatnonzero(number < first)),
    )


def block_numbers(coordinates: npt.NDArray[np.float64], block_km: float) -> npt.NDArray[np.intp]:
    """The number of the block that each place lies in, `(n,)`.

    Args:
        coordinates: Latitude and longitude in degrees, `(n, 2)`.
        block_km: Height and width of a block in kilometres; rows of blocks follow the parallels.
    """
    km_per_degree = math.pi * 6371.0088 / 180
    row = np.floor(coordinates[:, 0] * km_per_degree / block_km)
    middle = np.radians((row + 0.5) * block_km / km_per_degree)
    col = np.floor(coordinates[:, 1] * km_per_degree * np.cos(middle) / block_km)
    return np.unique(np.stack([row, col]), axis=1, return_inverse=True)[1].ravel()


def read_coordinates(path: str | Path, chips: ChipFolder) -> npt.NDArray[np.float64]:
    """Latitude and longitude of chips from a CSV file with the columns file, latitude, longitude (degrees, WGS84).

    A chip is found by its class folder and file name, such as `Forest/Forest_12.jpg`.

    Returns:
        `(n, 2)`, in the order of the chips.

    Raises:
        DatasetError: The file can't be read, or has no coordinates for a chip.
    """
    try:
        with Path(path).open(newline="") as file:
            places = {
                _key(row["file"]): (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(file)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: expected a CSV file with file, latitude, longitude: {error}") from error
    missing = [name for name in chips.files if _key(name) not in places]
    if missing:
        raise DatasetError(f"{path}: has no coordinates for {len(missing)} chips, such as {missing[0]}")
    return np.array([places[_key(name)] for name in chips.files])


def _key(name: str) -> str:
    return "/".join(Path(name).parts[-2:])
