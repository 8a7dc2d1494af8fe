"""Which of the chips at hand a model was trained on: what makes an evaluation look better than the model is."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from landmap_models.datasets.ground import Ground, close_to, usable_grounds
from landmap_models.datasets.labelled import LabelledChips
from landmap_models.errors import ModelError
from landmap_models.model_file.archive import SPLIT_MEMBER
from landmap_models.model_file.card import ModelCard

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a model file records of the chips of its training part."""

    pixels: frozenset[str] = frozenset()
    """Digests of their pixels."""
    grounds: tuple[Ground, ...] = ()
    """What they cover, where that is known."""


def read_split(path: Path) -> tuple[dict[str, str], Learnt]:
    """Part by file name, as a model file records it, and what was learnt; empty if it records none.

    Raises:
        ModelError: The record is not a table of `file` and `split`.
    """
    with zipfile.ZipFile(path) as archive:
        if SPLIT_MEMBER not in archive.namelist():
            return {}, Learnt()
        table = csv.DictReader(io.StringIO(archive.read(SPLIT_MEMBER).decode()))
        rows = list(table)
    try:
        learnt = [row for row in rows if row["split"] == "train"]
        pixels = frozenset(row["pixels"] for row in learnt if row.get("pixels"))
        return {row["file"]: row["split"] for row in rows}, Learnt(pixels, tuple(_grounds(learnt)))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: expected the columns file and split in {SPLIT_MEMBER}, and numbers where chips lie. "
            f"Received: {table.fieldnames}"
        ) from error


def _grounds(rows: Sequence[Mapping[str, str]]) -> Iterator[Ground]:
    for row in rows:
        if row.get("crs"):
            yield Ground(row["crs"], *(float(row[name]) for name in ("x", "y", "width", "height")))


def known_again(chips: LabelledChips, parts: Sequence[str | None], learnt: Learnt) -> list[str]:
    """Chips that the model was not trained on by their names, but by their pixels or the ground that they cover.

    Args:
        chips: Those that are evaluated.
        parts: The part of each by its name, None for those that the split doesn't list.
        learnt: What the model was trained on.
    """
    digests: Sequence[str] = getattr(chips, "digests", ())
    grounds = usable_grounds(getattr(chips, "grounds", ()))
    others = np.array([part != "train" for part in parts], bool)
    found = []
    if digests and (n := int((others & [digest in learnt.pixels for digest in digests]).sum())):
        found.append(f"{n:,} of these {len(parts):,} chips have the very pixels of chips in the model's training part")
    elif grounds and learnt.grounds and (n := int((others & close_to(grounds, learnt.grounds)).sum())):
        found.append(f"{n:,} of these {len(parts):,} chips share ground with chips of the model's training part")
    return [f"{text}, so the numbers look better than the model is on new land." for text in found]


def parts_of(files: Sequence[str], split: Mapping[str, str]) -> list[str | None]:
    """The part of each file, None for those that the split doesn't list.

    The data may have been unpacked or packed differently since: where no name matches as it stands, class folder and
    file name decide, if they are enough to tell the files of the split apart.
    """
    exact = [split.get(file) for file in files]
    short = {_short(file): part for file, part in split.items()}
    if any(exact) or len(short) < len(split):
        return exact
    return [short.get(_short(file)) for file in files]


def _short(file: str) -> str:
    return "/".join(PurePosixPath(file).parts[-2:])


def leakage(parts: Sequence[str | None], split: Mapping[str, str]) -> list[str]:
    """What to say when all chips are evaluated: how many of them the model knows."""
    if not split:
        return ["The model doesn't say which chips it was trained on, so some of these may have been among them."]
    seen = parts.count("train")
    if not seen:
        return []
    return [
        f"{seen:,} of these {len(parts):,} chips were in the model's training part, so the numbers look better than "
        "the model is on new chips. Evaluate its test part instead (--part test)."
    ]


def cautions(part: Part, chips: int, recorded: int, data: str) -> list[str]:
    """What to say when one part is evaluated."""
    told = {
        "train": ["The model was trained on these chips: the numbers say nothing about new ones."],
        "validation": ["These chips may have helped to choose the model: its test part is the stricter measure."],
        "test": [],
    }[part]
    if chips < recorded:
        told.append(f"Only {chips:,} of the {recorded:,} chips of the {part} part are in {data}.")
    return told


def recorded(card: ModelCard) -> list[str]:
    """What a split at random hides, and what the training was warned of."""
    split = card.training.get("split", {})
    told = split.get("warnings", [])
    warned = [str(text) for text in told] if isinstance(told, list) else []
    if not str(split.get("method")).startswith("stratified"):
        return warned
    return [
        *warned,
        "The parts were split at random: neighbouring chips are in several of them, and that flatters. Chips of "
        "another region, or a spatial split, tell more.",
    ]
