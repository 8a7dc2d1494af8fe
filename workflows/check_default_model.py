"""What the packaged model does on whole scenes: the numbers in the README.

    python workflows/check_default_model.py eurosat-rgb.zip scenes/

`scenes/` holds kempen/kempen_L1C.tif and kempen_L2A.tif, the same pixels before and after atmospheric correction, and
inn/inn_date1_B04B03B02B08.tif and inn_date2_…, two dates of one place. Takes about a minute.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin

import landmap
from landmap.example import write_example
from landmap_models.datasets import ChipFolder, open_chips
from landmap_models.leakage import parts_of, read_split
from landmap_models.packaged import find_model

Classes = npt.NDArray[np.uint8]
WATER, FOREST, BUILT, FARMLAND = range(4)
GROUP = np.array([FARMLAND, FOREST, FARMLAND, BUILT, BUILT, FARMLAND, FARMLAND, BUILT, WATER, WATER])
"""Group of each of EuroSAT's class ids."""
FIELDS, CHIPS_A_FIELD = 4, 4
"""Fields along a side of the scene made of chips, and chips along a side of a field."""


def classify(scene: Path, folder: Path, **choices: Any) -> Classes:
    """Class ids at stride 8, `(height, width)`."""
    landmap.classify(scene, folder / "cover.tif", stride=8, overwrite=True, **choices)
    with rasterio.open(folder / "cover.tif") as file:
        return np.asarray(file.read(1))


def scene_of_chips(chips: ChipFolder, folder: Path) -> tuple[Path, Classes]:
    """A scene of fields of test chips at random, and its true class ids."""
    rng, side = np.random.default_rng(0), FIELDS * CHIPS_A_FIELD
    test = np.flatnonzero(np.array(parts_of(chips.files, read_split(find_model("default")))) == "test")
    labels = np.asarray(chips.labels)
    fields = rng.integers(0, 10, (FIELDS, FIELDS))
    truth = fields.repeat(CHIPS_A_FIELD, axis=0).repeat(CHIPS_A_FIELD, axis=1)
    chosen = [int(rng.choice(test[labels[test] == label])) for label in truth.ravel()]
    values = chips.subset(np.array(chosen)).read().reshape(side, side, 64, 64, 3)
    size = side * 64
    grid = {"height": size, "width": size, "crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(folder / "chips.tif", "w", driver="GTiff", count=3, dtype="uint8", **grid) as file:
        file.write(values.transpose(4, 0, 2, 1, 3).reshape(3, size, size))
        file.descriptions = ("B04", "B03", "B02")
    return folder / "chips.tif", truth.repeat(64, axis=0).repeat(64, axis=1).astype(np.uint8)


def check_fields(chips: ChipFolder, folder: Path) -> None:
    """Are borders between fields where they are?"""
    scene, truth = scene_of_chips(chips, folder)
    cover = classify(scene, folder)
    there = np.bincount(truth.ravel(), minlength=10)
    ratio = np.bincount(cover.ravel(), minlength=10)[there > 0] / there[there > 0]
    print(f"fields of test chips: {(cover == truth).mean():.3f} right, areas {ratio.min():.2f} to {ratio.max():.2f}")


def check_examples(folder: Path) -> None:
    """Are invented lands recognised?"""
    for seed in (0, 1):
        files = write_example(folder / "land.tif", 800, seed, overwrite=True)
        with rasterio.open(files.truth) as file:
            truth = file.read(1)
        right = classify(files.scene, folder) == truth
        print(f"invented land, seed {seed}: {right[truth < 255].mean():.3f} right")


def check_levels(scenes: Path, folder: Path) -> None:
    """Does the product level change the map?"""
    top = classify(scenes / "kempen/kempen_L1C.tif", folder)
    for name, choices in (("with haze", {}), ("as it is", {"level": "L1C"})):
        same = classify(scenes / "kempen/kempen_L2A.tif", folder, **choices) == top
        print(f"L2A {name} agrees with L1C: {same[top < 255].mean():.3f}")


def check_dates(scenes: Path, folder: Path) -> None:
    """Do two dates give the same groups, and how much is water?"""
    one, two = (GROUP[classify(scenes / f"inn/inn_date{i}_B04B03B02B08.tif", folder)] for i in (1, 2))
    water = f"{(one == WATER).mean():.3f} and {(two == WATER).mean():.3f}"
    print(f"two dates agree by group: {(one == two).mean():.3f}, water {water}")


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    scenes = Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        check_fields(open_chips(sys.argv[1]), Path(folder))
        check_examples(Path(folder))
        check_levels(scenes, Path(folder))
        check_dates(scenes, Path(folder))


if __name__ == "__main__":
    main()
