"""Which of the chips at hand a model was trained on: what makes an evaluation look better than the model is."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from landmap_models.card import ModelCard
from landmap_models.errors import ModelError
from landmap_models.model_file import SPLIT_MEMBER

Part = Literal["train", "validation", "test"]


def read_split(path: Path) -> dict[str, str]:
    """Part by file name, as a model file records it; empty if it records none.

    Raises:
        ModelError: The record is not a table of `file` and `split`.
    """
    with zipfile.ZipFile(path) as archive:
        if SPLIT_MEMBER not in archive.namelist():
            return {}
        rows = csv.DictReader(io.StringIO(archive.read(SPLIT_MEMBER).decode()))
        try:
            return {row["file"]: row["split"] for row in rows}
        except KeyError as error:
            raise ModelError(
                f"{path}: expected the columns file and split in {SPLIT_MEMBER}. Received: {rows.fieldnames}"
            ) from error


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


def random_split(card: ModelCard) -> list[str]:
    """What a split at random hides."""
    method = card.training.get("split", {}).get("method")
    if not str(method).startswith("stratified"):
        return []
    return [
        "The parts were split at random: neighbouring chips are in several of them, and that flatters. Chips of "
        "another region, or a spatial split, tell more."
    ]
