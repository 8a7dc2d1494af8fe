"""Chips of an evaluation on which the model was trained, which make it look better than it is."""

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
    """The record of the training part in a model file."""

    pixels: frozenset[str] = frozenset()
    """Digests of the pixels of its chips."""
    grounds: tuple[Ground, ...] = ()
    """Ground of its chips, where that is known."""


def read_split(path: Path) -> tuple[dict[str, str], Learnt]:
    """Read the part of each file and the record of the training part from a model file; empty if it holds none.

    Raises:
        ModelError: The record is no table with `file` and `split`.
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
    """Warn of chips whose pixels or ground are in the training part, though their names are not.

    Args:
        chips: Chips that are evaluated.
        parts: Part of each by its name; None for those that the split does not list.
        learnt: Record of the training part.
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
    """Find the part of each file; None for those that the split does not list.

    The data may have been packed in another way since: where no whole name matches, class folder and file name decide,
    if these differ between all files of the split.

    Args:
        files: Names of the files.
        split: Part by name of the file.
    """
    exact = [split.get(file) for file in files]
    short = {_short(file): part for file, part in split.items()}
    if any(exact) or len(short) < len(split):
        return exact
    return [short.get(_short(file)) for file in files]


def _short(file: str) -> str:
    return "/".join(PurePosixPath(file).parts[-2:])


def leakage(parts: Sequence[str | None], split: Mapping[str, str]) -> list[str]:
    """Warn of training chips where all chips are evaluated, or that these are not recorded."""
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
    """Warn of the limits of an evaluation of one part.

    Args:
        part: Name of the part of the split that is measured.
        chips: Number of its chips that are evaluated.
        recorded: Number of its chips that the model file records.
        data: Name of the data set.
    """
    found = {
        "train": ["The model was trained on these chips: the numbers say nothing about new ones."],
        "validation": ["These chips may have helped to choose the model: its test part is the stricter measure."],
        "test": [],
    }[part]
    if chips < recorded:
        found.append(f"Only {chips:,} of the {recorded:,} chips of the {part} part are in {data}.")
    return found


def recorded(card: ModelCard) -> list[str]:
    """Warnings that the card records, and one about a split at random."""
    split = card.training.get("split", {})
    texts = split.get("warnings", [])
    warned = [str(text) for text in texts] if isinstance(texts, list) else []
    if not str(split.get("method")).startswith("stratified"):
        return warned
    return [
        *warned,
        "The parts were split at random: neighbouring chips are in several of them, and that flatters. Chips of "
        "another region, or a spatial split, tell more.",
    ]
