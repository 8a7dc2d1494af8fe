"""Splits of labelled chips into three parts that share none: as the data come, at random, or by place.

A random split overestimates the accuracy of a model of land cover: neighbouring chips contain the same fields on the
same day, and lie in different parts. A spatial split keeps whole blocks of land together.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Doubles, Indices
from landmap_models.datasets.catalogue import check_counts
from landmap_models.datasets.coordinates import chip_coordinates
from landmap_models.datasets.ground import Ground, grounds_at, usable_grounds
from landmap_models.datasets.split_leaks import (
    LabelledData,
    contradictions,
    leak_warnings,
    refused_overlap,
    with_buffer,
    without_duplicates,
)
from landmap_models.errors import DatasetError

FOLDS = 20
"""Number of folds into which a spatial split divides blocks: parts are multiples of a twentieth."""

BLOCKS_KM = (50, 20, 10, 5, 2, 1, 0.5, 0.2)
"""Sides of blocks in kilometres that are tried to suggest a split by place."""
PARTS = ("train", "validation", "test")
Data = TypeVar("Data", bound=LabelledData)
"""Chips, or images with masks."""


@dataclass(frozen=True, slots=True)
class Split(Generic[Data]):
    """Three parts that share no chip."""

    train: Data
    """Chips to train on."""
    validation: Data
    """Chips to choose epochs, temperature and thresholds by."""
    test: Data
    """Chips to measure the trained model on."""
    warnings: tuple[str, ...] = ()
    """Warnings of chips that were left out, and of what makes scores on the parts too high."""

    def parts(self) -> dict[str, Data]:
        """The parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def given_split(chips: Data, seed: int, validation: float = 0.1, coordinates: Doubles | None = None) -> Split[Data]:
    """Make the split that the data set comes with (`LabelledData.parts`).

    Without a validation part, one is drawn from the training part as in `stratified_split`. A test part is never drawn,
    since numbers on it are to be compared with published ones.

    Args:
        chips: Chips to split.
        seed: Seed of a validation part that has to be drawn.
        validation: Share of the training part that it gets.
        coordinates: Latitude and longitude of each chip in degrees, `(n, 2)`; None takes their own georeference.

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
    return _checked_split(chips, index, leak_warnings(chips, _grounds(chips, coordinates), index), everywhere=False)


def stratified_split(
    chips: Data,
    seed: int,
    validation: float = 0.1,
    test: float = 0.1,
    coordinates: Doubles | None = None,
    *,
    allow_overlap: bool = False,
    everywhere: bool = True,
) -> Split[Data]:
    """Split at random, with every class in the same proportion in each part.

    Chips of several classes are assigned class by class, the rarest of the remaining classes first, each chip to the
    part that lacks most of its share of that class (iterative stratification, Sechidis et al. 2011): proportions are
    then nearly equal.

    Args:
        chips: Chips to split.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, 0 to 1.
        test: Share of the test part, 0 to 1.
        coordinates: Latitude and longitude of each chip in degrees, `(n, 2)`; None takes their own georeference.
        allow_overlap: Whether chips of several parts may share ground; a warning counts them.
        everywhere: Whether each class must be in every part; False: in the training part, and a warning names those
            that another part lacks.

    Raises:
        DatasetError: A class has too few chips to be in every part, or chips of several parts share ground.
    """
    if everywhere:
        check_counts(chips.root, chips.counts())
    rest, test_index = _drawn(chips, np.arange(len(chips)), test, seed)
    train_index, validation_index = _drawn(chips, rest, validation / (1 - test), seed)
    parts = {"train": train_index, "validation": validation_index, "test": test_index}
    if not chips.multi_label:
        parts = _with_every_class(chips, parts, seed)
    grounds = _grounds(chips, coordinates)
    warnings: list[str] = []
    if not grounds and chips.digests:
        parts, warnings = without_duplicates(chips.digests, parts)
    shared = refused_overlap(grounds, parts)
    if shared and not allow_overlap:
        raise DatasetError(
            f"{chips.root}: expected chips that share no ground, as a random split deals neighbours into several "
            f"parts. Received: {shared} share ground with chips of the training part, and scores on them would lie. "
            f"{_suggested_split(chips, seed, validation, test, coordinates)}"
        )
    return _checked_split(chips, parts, [*warnings, *leak_warnings(chips, grounds, parts)], everywhere=everywhere)


def _suggested_split(
    chips: LabelledData, seed: int, validation: float, test: float, coordinates: Doubles | None
) -> str:
    """Advice on a split by place that is possible with these chips, with blocks as large as possible."""
    for block_km in BLOCKS_KM:
        try:
            spatial_split(chips, coordinates, seed, validation, test, block_km)
        except DatasetError:
            continue
        return f"Split by place: --split spatial --block-km {block_km:g}; or give --allow-overlap"
    return (
        "They lie too close together for a split by place: take the test chips from other land (folders train and test "
        "above the class folders), or give --allow-overlap"
    )


def _with_every_class(chips: LabelledData, parts: Mapping[str, Indices], seed: int) -> dict[str, Indices]:
    """The parts, after a class that is missing from one gets a chip there from the part with most of its chips."""
    labels, rng = np.asarray(chips.labels), np.random.default_rng(seed)
    part = np.empty(len(chips), np.intp)
    for number, name in enumerate(PARTS):
        part[parts[name]] = number
    for label in range(len(chips.class_names)):
        members = np.flatnonzero(labels == label)
        for number in range(len(PARTS)):
            counts = np.bincount(part[members], minlength=len(PARTS))
            if not counts[number]:
                part[rng.choice(members[part[members] == counts.argmax()])] = number
    return {name: np.flatnonzero(part == number) for number, name in enumerate(PARTS)}


def _grounds(chips: LabelledData, coordinates: Doubles | None) -> tuple[Ground, ...]:
    """The ground of each chip; empty unless it is known for all chips and differs."""
    return usable_grounds(chips.grounds if coordinates is None else grounds_at(coordinates, chips.shape))


def _drawn(chips: LabelledData, members: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Draw a stratified share of some chips at random; the others and the drawn ones, both unsorted."""
    from sklearn.model_selection import StratifiedShuffleSplit

    if chips.multi_label:
        drawn = _deal(chips.targets()[members] > 0, share, seed)
        return members[~drawn], members[drawn]
    labels = np.asarray(chips.labels)[members]
    least, wanted = len(chips.class_names), math.ceil(share * len(members))
    if wanted < least:
        raise DatasetError(
            f"{chips.root}: can't be split into three parts: expected a share of which each of {least} classes can "
            f"have a chip. Received: {share:.3g} of {len(members):,} chips, which are {wanted}. Choose larger shares "
            f"with --validation and --test, {math.ceil(100 * least / len(members) + 1) / 100:g} or more"
        )
    try:
        rest, drawn = next(StratifiedShuffleSplit(1, test_size=share, random_state=seed).split(labels, labels))
    except ValueError as error:
        raise DatasetError(
            f"{chips.root}: can't be split into three parts: expected shares that leave chips of each class for the "
            f"other parts. Received: {share:.3g} of {len(members):,} chips. Choose smaller shares with --validation "
            "and --test"
        ) from error
    return members[rest], members[drawn]


def _deal(flags: npt.NDArray[np.bool_], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Draw a share of chips of several classes; both sides get a chip of a class that has two.

    Args:
        flags: Classes of the chips, `(n, classes)`.
        share: Share of the chips that is drawn, 0 to 1.
        seed: Seed of the draw.

    Returns:
        True for chips that are drawn, `(n,)`.
    """
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


def _checked_split(
    chips: Data, parts: Mapping[str, Indices], warnings: Sequence[str], *, everywhere: bool
) -> Split[Data]:
    """Make the split, if every class is in its training part, or, if `everywhere`, in each part."""
    if empty := [name for name in PARTS if not len(parts[name])]:
        raise DatasetError(
            f"{chips.root}: can't be split into three parts: expected something for each. Received: nothing for "
            f"{' and '.join(empty)} out of {len(chips):,}. Add data, or choose another seed, shares or blocks"
        )
    made = {name: chips.subset(np.sort(parts[name])) for name in PARTS}
    must = list(made.values()) if everywhere else [made["train"]]
    lacking = sorted({name for part in must for name, n in part.counts().items() if not n})
    if lacking:
        counts = ", ".join(f"{name} ({chips.counts()[name]})" for name in lacking)
        where = "every part" if everywhere else "the training part"
        left_out = f" {'; '.join(warnings)}." if warnings else ""
        raise DatasetError(
            f"{chips.root}: can't be split into three parts: expected chips of each class in {where}. Received: too "
            f"few, or too close together, of {counts}.{left_out} Add chips, leave these classes out, or choose another "
            "seed or other blocks"
        )
    absent = [f"No {name} chips of {', '.join(found)}." for name in PARTS if (found := _absent(made[name]))]
    return Split(made["train"], made["validation"], made["test"], (*warnings, *absent, *contradictions(chips)))


def _absent(part: LabelledData) -> list[str]:
    return [name for name, n in part.counts().items() if not n]


def spatial_split(
    chips: Data,
    coordinates: npt.NDArray[np.float64] | None,
    seed: int,
    validation: float = 0.1,
    test: float = 0.1,
    block_km: float = 50.0,
    buffer: float = 1.0,
) -> Split[Data]:
    """Split by blocks of land: no block has chips in two parts, and proportions of classes are as equal as possible.

    Chips at the edges of blocks that lie too close to those of another part are left out: of the training part beside
    the others, of the validation part beside the test part.

    Args:
        chips: Chips to split. Of several classes of a chip, the one that is rarest in the whole set counts.
        coordinates: Latitude and longitude of each chip in degrees, `(n, 2)`; None takes those of `chip_coordinates`.
        seed: Equal seeds give equal splits.
        validation: Share of the validation part, in twentieths.
        test: Share of the test part, in twentieths.
        block_km: Height and width of a block in kilometres.
        buffer: Distance between chips of two parts, in sides of a chip; 0: they only share no ground.

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
    parts = {
        "train": np.flatnonzero(number >= second),
        "validation": np.flatnonzero((number >= first) & (number < second)),
        "test": np.flatnonzero(number < first),
    }
    grounds = _grounds(chips, coordinates)
    kept, warnings = with_buffer(grounds, parts, buffer) if grounds else (parts, [])
    return _checked_split(chips, kept, warnings, everywhere=False)


def _folds(chips: LabelledData, blocks: Indices, seed: int) -> Indices:
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


def _strata(chips: LabelledData) -> Indices:
    """One class of each chip, `(n,)`: of several classes the one that is rarest in the whole set."""
    counts = list(chips.counts().values())
    return np.array([label if isinstance(label, int) else min(label, key=counts.__getitem__) for label in chips.labels])


def block_numbers(coordinates: npt.NDArray[np.float64], block_km: float) -> Indices:
    """Number the blocks in which places lie, `(n,)`.

    Args:
        coordinates: Latitude and longitude in degrees, `(n, 2)`.
        block_km: Height and width of a block in kilometres; rows of blocks follow the parallels.
    """
    km_per_degree = math.pi * 6371.0088 / 180
    row = np.floor(coordinates[:, 0] * km_per_degree / block_km)
    middle = np.radians((row + 0.5) * block_km / km_per_degree)
    col = np.floor(coordinates[:, 1] * km_per_degree * np.cos(middle) / block_km)
    return np.unique(np.stack([row, col]), axis=1, return_inverse=True)[1].ravel()
