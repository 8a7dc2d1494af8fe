"""Coordinates of labelled chips, from their own georeference or from a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landmap_models.datasets.checks import refuse
from landmap_models.datasets.files import is_raster
from landmap_models.datasets.ground import middles
from landmap_models.datasets.split_leaks import LabelledData
from landmap_models.errors import DatasetError


def chip_coordinates(chips: LabelledData) -> npt.NDArray[np.float64]:
    """Read latitude and longitude of the middle of each chip from its own georeference (degrees, WGS84).

    Returns:
        Coordinates `(n, 2)` in the order of the chips.

    Raises:
        DatasetError: Chips have no georeference, as pictures have none; ten are listed, and their number.
    """
    own = [ground for ground in chips.grounds if ground is not None]
    if len(own) < len(chips):
        without = {
            name: f"{name}: expected a GeoTIFF with a georeference. Received: "
            f"{'one without' if is_raster(name) else 'a picture'}"
            for name, ground in zip(chips.files, chips.grounds or [None] * len(chips), strict=True)
            if ground is None
        }
        raise refuse(chips.root, without, len(chips))
    return middles(own)


def read_coordinates(path: str | Path, chips: LabelledData) -> npt.NDArray[np.float64]:
    """Read latitude and longitude of chips from a CSV file with file, latitude, longitude (degrees, WGS84).

    A chip is found by its whole name; where no chip is, by class folder and file name, such as `Forest/Forest_12.jpg`,
    if these differ between all rows.

    Args:
        path: The CSV file.
        chips: Chips to find in it.

    Returns:
        Coordinates `(n, 2)` in the order of the chips.

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
