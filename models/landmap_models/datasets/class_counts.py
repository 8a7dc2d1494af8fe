"""Whether there are chips enough of each class, told by their names alone: before any is decoded, and Keras started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from landmap_models.datasets.catalogue import find_catalogue
from landmap_models.errors import DatasetError

LEAST = 3
"""Chips of a class at least: one for each part of a split."""


def check_data(data: Path) -> None:
    """Look at the classes of a data set that comes undivided and is to be split at random.

    Raises:
        DatasetError: It is none, or a class has too few chips; each of them is named.
    """
    catalogue = find_catalogue(data)
    if catalogue.parts is None and not catalogue.problems:
        check_counts(data, Counter(name for names in catalogue.labels for name in names))


def check_counts(root: Path, counts: Mapping[str, int]) -> None:
    """Refuse classes that can't be in every part of a split.

    Args:
        root: The data set, for the error.
        counts: Number of chips by class name.

    Raises:
        DatasetError: A class has too few; each of them is named.
    """
    few = [f"{name} ({n})" for name, n in sorted(counts.items()) if n < LEAST]
    if few:
        raise DatasetError(
            f"{root}: can't be split into three parts: expected at least {LEAST} chips of each class, one for each "
            f"part. Received: too few of {', '.join(few)}. Add chips, or leave these classes out: move their folders "
            "(or rows) out of the data"
        )
