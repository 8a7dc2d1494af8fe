"""Labelled chips divided into three parts that share none: as they come, at random, or by where they lie.

A random split flatters a model of land cover: neighbouring chips show the same fields on the same day, and end up in
different parts. A spatial split keeps whole blocks of land together.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landmap_models.chip_checks import refuse
from landmap_models.chip_files import center
from landmap_models.chip_store import read_file
from landmap_models.datasets import ChipFolder
from landmap_models.errors import DatasetError

FOLDS = 20
"""A spatial split deals blocks into this many folds: parts are multiples of a twentieth."""

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts that share no chip."""

    train: ChipFolder
    validation: ChipFolder
    test: ChipFolder

    def parts(self) -> dict[str, ChipFolder]:
        """The parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def given_split(chips: ChipFolder, seed: int, validation: float = 0.1) -> Split:
    """The split that the data set comes with (`ChipFolder.parts`).

    Without a validation part, one is drawn from the training part as in `stratified_split`. The test part is never
    made up: numbers on it are to be compared with those of others.

    Args:
        chips: What to split.
        seed: Of a validation part that has to be drawn.
        validation: Its share of the training part.

    Raises:
        DatasetError: The data set comes undivided, without a training or a test part, or with a class that has no chip
            for training.
    """
    if chips.parts is None:
        raise DatasetError(
            f"{chips.root}: expected a data set that comes divided (folders train and test above the class folders, a "
            "column split, or lists in ImageSets/Main). Received: one without. Choose a random or spatial split"
        )
    there = Counter(chips.parts)
    if not there["train"] or not there["test"]:
        raise DatasetError(
            f"{chips.root}: expected chips for training and for testing. Received: {dict(there)}. Add what is missing, "
            "or choose a random or spatial split of all"
        )
    part = np.array(chips.parts)
    index = {name: np.flatnonzero(part == name) for name in ("train", "validation", "test")}
    if not len(index["validation"]):
        index["train"], index["validation"] = _drawn(chips, index["train"], validation, seed)
    return _checked_split(chips, index["train"], index["validation"], index["test"], everywhere=False)


def stratified_split(chips: ChipFolder, seed: int, validation: float = 0.1, test: float = 0.1) -> Split:
    """Split at random, with every class in the same proportion in each part.

    Chips of several classes are dealt class by class, the rarest of what is left first, each to the part that lacks
    most of its share of that class (iterative stratification, Sechidis et al. 2011): proportions are then near, not
    equal.

    Args:
        chips: What to split.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, 0 to 1.
        test: Share of the test part, 0 to 1.

    Raises:
        DatasetError: A class has too few chips to be in every part.
    """
    rest, test_index = _drawn(chips, np.arange(len(chips)), test, seed)
    train_index, validation_index = _drawn(chips, rest, validation / (1 - test), seed)
    return _checked_split(chips, train_index, validation_index, test_index, everywhere=True)


def _drawn(chips: ChipFolder, members: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """The members without and with a stratified share of them drawn at random, neither sorted."""
    from sklearn.model_selection import StratifiedShuffleSplit

    if chips.multi_label:
        drawn = _deal(chips.targets()[members] > 0, share, seed)
        return members[~drawn], members[drawn]
    labels = np.asarray(chips.labels)[members]
    try:
        rest, drawn = next(StratifiedShuffleSplit(1, test_size=share, random_state=seed).split(labels, labels))
    except ValueError as error:
        raise DatasetError(f"{chips.root}: can't be split into three parts: {error}") from error
    return members[rest], members[drawn]


def _deal(flags: npt.NDArray[np.bool_], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which of the chips `(n, classes)` are drawn, `(n,)`; both sides get one chip of a class that has two."""
    if not 0 < share < 1:
        raise DatasetError(f"expected a share of chips between 0 and 1. Received: {share:g}")
    rng = np.random.default_rng(seed)
    wanted = np.maximum(np.outer((1 - share, share), flags.sum(axis=0)), 1.0)
    had = np.zeros(wanted.shape)
    left, drawn = np.ones(len(flags), bool), np.zeros(len(flags), bool)
    while (counts := flags[left].sum(axis=0)).any():
        label = int(np.argmin(np.where(counts, counts, len(flags) + 1)))
        for i in rng.permutation(np.flatnonzero(left & flags[:, label])):
            side = int(np.argmin(had[:, label] / wanted[:, label]))
            had[side] += flags[i]
            drawn[i], left[i] = bool(side), False
    return drawn


def _checked_split(chips: ChipFolder, train: Indices, validation: Indices, test: Indices, *, everywhere: bool) -> Split:
    """The split, once every class is in its training part, or `everywhere`."""
    split = Split(*(chips.subset(np.sort(index)) for index in (train, validation, test)))
    parts = list(split.parts().values()) if everywhere else [split.train]
    lacking = sorted({name for part in parts for name, n in part.counts().items() if not n})
    if lacking:
        counts = ", ".join(f"{name} ({chips.counts()[name]})" for name in lacking)
        where = "every part" if everywhere else "the training part"
        raise DatasetError(
            f"{chips.root}: can't be split into three parts: expected chips of each class in {where}. Received: too "
            f"few, or too close together, of {counts}. Add chips, leave these classes out, or choose another seed"
        )
    return split


def spatial_split(
    chips: ChipFolder,
    coordinates: npt.NDArray[np.float64] | None,
    seed: int,
    validation: float = 0.1,
    test: float = 0.1,
    block_km: float = 50.0,
) -> Split:
    """Split by blocks of land: no block has chips in two parts, classes are as even as blocks allow.

    Args:
        chips: What to split. Of a chip's classes, the one that is rarest in the whole set counts.
        coordinates: Latitude and longitude of each chip in degrees, `(n, 2)`; None takes those of `chip_coordinates`.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, in twentieths.
        test: Share of the test part, in twentieths.
        block_km: Height and width of a block in kilometres.

    Raises:
        DatasetError: There are fewer blocks than folds, a class has no block for training, or coordinates are missing.
    """
    blocks = block_numbers(chip_coordinates(chips) if coordinates is None else coordinates, block_km)
    if len(np.unique(blocks)) < FOLDS:
        raise DatasetError(
            f"{chips.root}: expected chips in at least {FOLDS} blocks of {block_km:g} km. "
            f"Received: {len(np.unique(blocks))}. Choose smaller blocks"
        )
    number = _folds(chips, blocks, seed)
    first, second = round(test * FOLDS), round((test + validation) * FOLDS)
    return _checked_split(
        chips,
        np.flatnonzero(number >= second),
        np.flatnonzero((number >= first) & (number < second)),
        np.flatnonzero(number < first),
        everywhere=False,
    )


def _folds(chips: ChipFolder, blocks: Indices, seed: int) -> Indices:
    """The fold of each chip, `(n,)`."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    number = np.zeros(len(chips), np.intp)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # blocks decide, not classes
            for i, (_, members) in enumerate(folds.split(blocks, _strata(chips), blocks)):
                number[members] = i
    except ValueError as error:
        raise DatasetError(f"{chips.root}: can't be split by blocks of land: {error}") from error
    return number


def _strata(chips: ChipFolder) -> Indices:
    """One class of each chip: its only one, or of several the one that is rarest in the whole set."""
    counts = list(chips.counts().values())
    return np.array([label if isinstance(label, int) else min(label, key=counts.__getitem__) for label in chips.labels])


def block_numbers(coordinates: npt.NDArray[np.float64], block_km: float) -> Indices:
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


def chip_coordinates(chips: ChipFolder) -> npt.NDArray[np.float64]:
    """Latitude and longitude of the middle of each chip by its own georeference (degrees, WGS84).

    Returns:
        `(n, 2)`, in the order of the chips.

    Raises:
        DatasetError: Chips have no georeference, as pictures have none; ten are listed, and how many there are.
    """
    places: list[tuple[float, float]] = []
    problems: dict[str, str] = {}
    for name in chips.files:
        try:
            places.append(center(read_file(chips.root, name), name))
        except DatasetError as error:
            problems[name] = str(error)
    if problems:
        raise refuse(chips.root, problems, len(chips))
    return np.array(places)


def read_coordinates(path: str | Path, chips: ChipFolder) -> npt.NDArray[np.float64]:
    """Latitude and longitude of chips from a CSV file with the columns file, latitude, longitude (degrees, WGS84).

    A chip is found by its whole name, or, where none is there by that, by class folder and file name, such as
    `Forest/Forest_12.jpg`, if these tell all rows apart.

    Returns:
        `(n, 2)`, in the order of the chips.

    Raises:
        DatasetError: The file can't be read, or has no coordinates for a chip.
    """
    try:
        with Path(path).open(newline="") as file:
            places = {row["file"]: (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: expected a CSV file with file, latitude, longitude: {error}") from error
    keys: Sequence[str] = chips.files
    short = {_short(name): place for name, place in places.items()}
    if places.keys().isdisjoint(keys) and len(short) == len(places):
        places, keys = short, [_short(name) for name in chips.files]
    missing = [name for name, key in zip(chips.files, keys, strict=True) if key not in places]
    if missing:
        raise DatasetError(f"{path}: has no coordinates for {len(missing)} chips, such as {missing[0]}")
    return np.array([places[key] for key in keys])


def _short(name: str) -> str:
    return "/".join(Path(name).parts[-2:])
