"""Chips of the validation and test part that share ground or pixels with the training part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats, Indices
from landmap_models.datasets.ground import Ground, close_to

Parts = Mapping[str, Indices]
"""Indices of the chips of "train", "validation" and "test"."""
HELD_OUT = ("validation", "test")


class LabelledData(Protocol):
    """What is split: a `datasets.chips.ChipFolder`, or a `datasets.images.LabelledImages`."""

    @property
    def root(self) -> Path:
        """The file or folder that it comes from."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the chips or images, `(n,)`."""

    @property
    def labels(self) -> Sequence[Any]:
        """Class id of each, or, if `multi_label`, a tuple of ids."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by id."""

    @property
    def multi_label(self) -> bool:
        """Whether one may have several classes."""

    @property
    def parts(self) -> tuple[str, ...] | None:
        """Part of each, if the data come divided."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Digest of the pixels of each."""

    @property
    def grounds(self) -> tuple[Ground | None, ...]:
        """Ground that each covers."""

    def __len__(self) -> int:
        """Their number."""

    def subset(self, indices: npt.NDArray[np.intp]) -> Self:
        """Those at these positions, in this order."""

    def counts(self) -> dict[str, int]:
        """Their number by class name."""

    def targets(self) -> Floats:
        """1 for the classes of each, 0 for the others, `(n, classes)`."""

    def fingerprint(self) -> str:
        """Digest of all of them and their labels."""


def overlaps(grounds: Sequence[Ground], parts: Parts) -> dict[str, int]:
    """Count the chips of the validation and of the test part that share ground with the training part."""
    train = [grounds[i] for i in parts["train"]]
    return {name: int(close_to([grounds[i] for i in parts[name]], train).sum()) for name in HELD_OUT}


def duplicates(digests: Sequence[str], parts: Parts) -> dict[str, int]:
    """Count the chips of the validation and of the test part whose pixels are those of a training chip."""
    train = {digests[i] for i in parts["train"]}
    return {name: sum(digests[i] in train for i in parts[name]) for name in HELD_OUT}


def leak_warnings(chips: LabelledData, grounds: Sequence[Ground], parts: Parts) -> list[str]:
    """Warn of chips of other parts that were learnt, in a split that the user made or allowed."""
    found = []
    if grounds and (words := _counted(overlaps(grounds, parts), parts)):
        found.append(
            f"{words} share ground with chips of the training part: they were learnt, and scores on them say too much"
        )
    if not grounds and chips.digests and (words := _counted(duplicates(chips.digests, parts), parts)):
        found.append(
            f"{words} have the very pixels of chips in the training part: they were learnt, and scores on them say too "
            "much"
        )
    return found


def contradictions(chips: LabelledData) -> list[str]:
    """Warn of chips that have the same pixels and different labels."""
    same: dict[str, list[int]] = {}
    for i, digest in enumerate(chips.digests):
        same.setdefault(digest, []).append(i)
    groups = [found for found in same.values() if len({chips.labels[i] for i in found}) > 1]
    if not groups:
        return []
    one = groups[0][0]
    other = next(i for i in groups[0] if chips.labels[i] != chips.labels[one])
    return [
        f"{sum(map(len, groups)):,} of {len(chips):,} chips have the very pixels of a chip with another label, such as "
        f"{chips.files[one]} and {chips.files[other]}: at most one of the labels is right. Remove the wrong ones"
    ]


def _counted(counts: Mapping[str, int], parts: Parts) -> str:
    """Words such as "3 of 90 validation chips and 5 of 90 test chips"; empty where there is none."""
    return " and ".join(f"{n:,} of {len(parts[name]):,} {name} chips" for name, n in counts.items() if n)


def refused_overlap(grounds: Sequence[Ground], parts: Parts) -> str:
    """Count chips of a random split that share ground with its training part, in words; empty where none does."""
    return _counted(overlaps(grounds, parts), parts) if grounds else ""


def without_duplicates(digests: Sequence[str], parts: Parts) -> tuple[dict[str, Indices], list[str]]:
    """Remove chips whose pixels are in another part, too: from the training part first, never from the test part.

    Args:
        digests: Digest of the pixels of each chip.
        parts: Indices of the chips of each part.

    Returns:
        The parts without them, and warnings that count them.
    """
    kept: dict[str, Indices] = {"test": parts["test"]}
    seen = {digests[i] for i in parts["test"]}
    for name in ("validation", "train"):
        kept[name] = np.array([i for i in parts[name] if digests[i] not in seen], np.intp)
        seen |= {digests[i] for i in kept[name]}
    return kept, list(_left_out(parts, kept, "they have the very pixels of chips in the other parts"))


def with_buffer(grounds: Sequence[Ground], parts: Parts, buffer: float) -> tuple[dict[str, Indices], list[str]]:
    """Remove chips that lie close to another part: from the training part first, never from the test part.

    Args:
        grounds: Ground of each chip.
        parts: Indices of the chips of each part.
        buffer: Distance that must lie between the parts, in sides of a chip.

    Returns:
        The parts without them, and warnings that count them.
    """
    kept: dict[str, Indices] = {"test": parts["test"]}
    held_out = [grounds[i] for i in parts["test"]]
    for name in ("validation", "train"):
        near = close_to([grounds[i] for i in parts[name]], held_out, buffer)
        kept[name] = parts[name][~near]
        held_out += [grounds[i] for i in kept[name]]
    reason = (
        f"they lie within {buffer:g} chips' sides of chips in the other parts" if buffer else "they overlap others'"
    )
    return kept, list(_left_out(parts, kept, reason))


def _left_out(parts: Parts, kept: Parts, reason: str) -> Iterator[str]:
    words = _counted({name: len(parts[name]) - len(kept[name]) for name in ("train", "validation")}, parts)
    if words:
        yield f"{words} are left out: {reason}"
