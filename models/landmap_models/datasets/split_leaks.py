"""Chips in the training part that show what the test part shows: the same ground, or the same pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from landmap_models.arrays import Indices
from landmap_models.datasets.chips import ChipFolder
from landmap_models.datasets.ground import Ground, close_to

Parts = Mapping[str, Indices]
"""Places of the chips of "train", "validation" and "test"."""
HELD_OUT = ("validation", "test")


def overlaps(grounds: Sequence[Ground], parts: Parts) -> dict[str, int]:
    """How many chips of the validation and of the test part share ground with the training part."""
    train = [grounds[i] for i in parts["train"]]
    return {name: int(close_to([grounds[i] for i in parts[name]], train).sum()) for name in HELD_OUT}


def duplicates(digests: Sequence[str], parts: Parts) -> dict[str, int]:
    """How many chips of the validation and of the test part have the pixels of one in the training part."""
    train = {digests[i] for i in parts["train"]}
    return {name: sum(digests[i] in train for i in parts[name]) for name in HELD_OUT}


def leak_warnings(chips: ChipFolder, grounds: Sequence[Ground], parts: Parts) -> list[str]:
    """What makes scores lie in a split that the user made, or asked for in spite of it."""
    found = []
    if grounds and (told := _told(overlaps(grounds, parts), parts)):
        found.append(
            f"{told} share ground with chips of the training part: they were learnt, and scores on them say too much"
        )
    if not grounds and chips.digests and (told := _told(duplicates(chips.digests, parts), parts)):
        found.append(
            f"{told} have the very pixels of chips in the training part: they were learnt, and scores on them say too "
            "much"
        )
    return found


def contradictions(chips: ChipFolder) -> list[str]:
    """How many chips have the very pixels of one with another label, and two of them."""
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


def _told(counts: Mapping[str, int], parts: Parts) -> str:
    """Such as "3 of 90 validation chips and 5 of 90 test chips"; empty where there is none."""
    return " and ".join(f"{n:,} of {len(parts[name]):,} {name} chips" for name, n in counts.items() if n)


def refused_overlap(grounds: Sequence[Ground], parts: Parts) -> str:
    """Which chips of a random split share ground with its training part, in words; empty where none does."""
    return _told(overlaps(grounds, parts), parts) if grounds else ""


def without_duplicates(digests: Sequence[str], parts: Parts) -> tuple[dict[str, Indices], list[str]]:
    """The parts without chips whose pixels are in a stricter part, too, and what is to be said of them."""
    kept: dict[str, Indices] = {"test": parts["test"]}
    seen = {digests[i] for i in parts["test"]}
    for name in ("validation", "train"):
        kept[name] = np.array([i for i in parts[name] if digests[i] not in seen], np.intp)
        seen |= {digests[i] for i in kept[name]}
    return kept, list(_left_out(parts, kept, "they have the very pixels of chips in the other parts"))


def with_buffer(grounds: Sequence[Ground], parts: Parts, buffer: float) -> tuple[dict[str, Indices], list[str]]:
    """The parts without chips that lie too close to those of a stricter part, and what is to be said of them.

    Args:
        grounds: Of all chips.
        parts: Their places in it.
        buffer: Chips' sides that are to lie between the parts.
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
    counts = {name: len(parts[name]) - len(kept[name]) for name in ("train", "validation")}
    told = " and ".join(f"{n:,} of {len(parts[name]):,} {name} chips" for name, n in counts.items() if n)
    if told:
        yield f"{told} are left out: {reason}"
