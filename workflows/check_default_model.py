"""The packaged model is checked on whole scenes, for the numbers in docs/model.md.

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
from landmap.demo.example import write_example
from landmap_models import ChipFolder, find_model, open_chips
from landmap_models.augment import d4
from landmap_models.evaluation.leakage import parts_of, read_split

Classes = npt.NDArray[np.uint8]
WATER, FOREST, BUILT, FARMLAND = range(4)
GROUP = np.array([FARMLAND, FOREST, FARMLAND, BUILT, BUILT, FARMLAND, FARMLAND, BUILT, WATER, WATER])
"""Group of each class id of EuroSAT."""
SIDE, SMALLEST, LARGEST = 32, 4, 16
"""Side of the composed scenes, and of their smallest and largest fields, in chips."""


def classify(scene: Path, folder: Path, **choices: Any) -> Classes:
    """Map a scene at stride 8; class ids, `(height, width)`."""
    landmap.classify(scene, folder / "cover.tif", stride=8, overwrite=True, **choices)
    with rasterio.open(folder / "cover.tif") as file:
        return np.asarray(file.read(1))


def fields(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.intp]:
    """Draw class ids of rectangular fields, `(height, width)` in chips, by cutting the land in two at random."""
    longer, axis = max((height, 0), (width, 1))
    if longer < 2 * SMALLEST or (longer <= LARGEST and rng.random() < 0.5):
        return np.full((height, width), rng.integers(0, 10))
    cut = int(rng.integers(SMALLEST, longer - SMALLEST + 1))
    sizes = [(cut, width), (height - cut, width)] if axis == 0 else [(height, cut), (height, width - cut)]
    return np.concatenate([fields(rng, *size) for size in sizes], axis=axis)


def scene_of_chips(chips: ChipFolder, seed: int, folder: Path) -> tuple[Path, Classes]:
    """Compose a scene of fields from test chips, turned at random; its path and its true class ids."""
    rng = np.random.default_rng(seed)
    split, _ = read_split(find_model("default"))
    test = np.flatnonzero(np.array(parts_of(chips.files, split)) == "test")
    labels, truth = np.asarray(chips.labels), fields(rng, SIDE, SIDE)
    chosen = [int(rng.choice(test[labels[test] == label])) for label in truth.ravel()]
    values = d4(chips.subset(np.array(chosen)).reflectance(), rng).reshape(SIDE, SIDE, 64, 64, 3)
    size = SIDE * 64
    grid = {"height": size, "width": size, "crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(folder / "chips.tif", "w", driver="GTiff", count=3, dtype="uint16", **grid) as file:
        numbers = (values * 10_000).round().astype(np.uint16).clip(1)  # 0 would be nodata
        file.write(numbers.transpose(4, 0, 2, 1, 3).reshape(3, size, size))
        file.descriptions = ("B04", "B03", "B02")
    return folder / "chips.tif", truth.repeat(64, axis=0).repeat(64, axis=1).astype(np.uint8)


def check_fields(chips: ChipFolder, folder: Path) -> None:
    """Compare maps of composed scenes with the truth: share of right pixels and areas of the classes."""
    for seed in range(3):
        scene, truth = scene_of_chips(chips, seed, folder)
        cover = classify(scene, folder, level="L1C")
        there, found = (np.bincount(x.ravel(), minlength=10) for x in (truth, cover))
        ratio = found[there > 0] / there[there > 0]
        print(
            f"fields of test chips, layout {seed}: {(cover == truth).mean():.3f} right, areas {ratio.min():.2f} to "
            f"{ratio.max():.2f}, {found[there == 0].sum() / cover.size:.4f} of classes that are not there"
        )


def check_examples(folder: Path) -> None:
    """Compare maps of generated landscapes with the truth."""
    for seed in (0, 1):
        files = write_example(folder / "land.tif", 800, seed, overwrite=True)
        with rasterio.open(files.truth) as file:
            truth = file.read(1)
        right = classify(files.scene, folder) == truth
        print(f"invented land, seed {seed}: {right[truth < 255].mean():.3f} right")


def check_levels(scenes: Path, folder: Path) -> None:
    """Compare maps of the two product levels of one scene."""
    top = classify(scenes / "kempen/kempen_L1C.tif", folder)
    for name, choices in (("with haze", {}), ("as it is", {"level": "L1C"})):
        same = classify(scenes / "kempen/kempen_L2A.tif", folder, **choices) == top
        print(f"L2A {name} agrees with L1C: {same[top < 255].mean():.3f}")


def check_dates(scenes: Path, folder: Path) -> None:
    """Compare maps of two dates of one place by group, and their share of water."""
    one, two = (GROUP[classify(scenes / f"inn/inn_date{i}_B04B03B02B08.tif", folder)] for i in (1, 2))
    water = f"{(one == WATER).mean():.3f} and {(two == WATER).mean():.3f}"
    print(f"two dates agree by group: {(one == two).mean():.3f}, water {water}")


def main() -> None:
    """Run all checks for the arguments of the command line."""
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
