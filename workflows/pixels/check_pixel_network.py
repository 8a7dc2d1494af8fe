"""What the pixel network does on whole scenes, alone and with the chip network: drawn points, dates, levels, pictures.

    python workflows/pixels/check_pixel_network.py pixel-unet.keras scenes/ tests/data/drawn_points.csv pictures/ [a b]

`scenes/` holds inn/, kempen/ and calais/ as the points name them; a and b are the exponents of `pixel_fusion.fuse`.
Prints how many of the points are right, and how far two dates and two levels agree by group; writes a picture of each
map beside the scene's own: the scene, the chip network, the pixel network, both.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from pixel_data import BANDS, TRUE_COLOR, Floats
from pixel_fusion import chip_probabilities, fuse, pixel_probabilities
from pixel_scores import GROUPS, OF_CHIP_CLASS, OF_PIXEL_CLASS, agreement, crosstab, ious

from landmap_models.augment.radiometry import atmosphere
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.legend import EUROSAT
from landmap_models.model_file.packaged import find_model

SCENES = {
    "inn/inn_date1_B04B03B02B08.tif": (("B04", "B03", "B02", "B08"), "L2A"),
    "inn/inn_date2_B04B03B02B08.tif": (("B04", "B03", "B02", "B08"), "L2A"),
    "kempen/kempen_L1C.tif": (("B02", "B03", "B04", "B08", "B8A", "B11"), "L1C"),
    "kempen/kempen_L2A.tif": (("B02", "B03", "B04", "B08"), "L2A"),
    "calais/calais_B04B03B02_SCL.tif": (("B04", "B03", "B02"), "L2A"),
}
"""Bands as they lie in each file, and its level."""
PAIRS = (
    ("inn/inn_date1_B04B03B02B08.tif", "inn/inn_date2_B04B03B02B08.tif"),
    ("kempen/kempen_L1C.tif", "kempen/kempen_L2A.tif"),
)
"""Of which the groups should agree."""
CLASS_COLOURS = ("#419bdf", "#397d49", "#88b053", "#7a87c6", "#e49635", "#dfc35a", "#c4281b", "#a59b8f", "#b39fe1")
WAYS = ("chip network", "pixel network", "both")

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Map:
    """What the networks say of a scene."""

    picture: npt.NDArray[np.uint8]
    """True colour."""
    valid: Flags
    groups: dict[str, Ints]
    """By way, `(height, width)`."""
    colours: dict[str, npt.NDArray[np.uint8]]
    """By way, `(height, width, 3)`."""


def read(path: Path, bands: tuple[str, ...], level: str) -> tuple[Floats, Flags]:
    """Reflectance at the top of the atmosphere of the network's bands that are there, and which pixels have data."""
    order = [bands.index(name) + 1 for name in BANDS if name in bands]
    with rasterio.open(path) as file:
        values = np.moveaxis(file.read(order), 0, -1).astype(np.float32)
        valid = np.ones(values.shape[:2], bool) if file.nodata is None else (values != file.nodata).all(axis=-1)
    picture = np.where(valid[..., None], values, np.median(values[valid], axis=0)) / 10_000
    if level == "L2A":
        loss, bias = atmosphere([name for name in BANDS if name in bands])
        picture = picture * (1 - loss) + bias
    return picture.astype(np.float32), valid


def make_map(path: Path, name: str, model: keras.Model, classifier: KerasClassifier, a: float, b: float) -> Map:
    """Of one scene."""
    bands, level = SCENES[name]
    picture, valid = read(path, bands, level)
    there = [band for band in BANDS if band in bands]
    colour = picture[..., [there.index(band) for band in TRUE_COLOR]]
    chips = chip_probabilities(colour, classifier)
    pixels = pixel_probabilities(picture, model, np.isin(BANDS, there))
    kinds, covers, both = (values.argmax(axis=-1) for values in (chips, pixels, fuse(chips, pixels, a, b)))
    of_kinds = np.array([_rgb(land.color) for land in EUROSAT], np.uint8)
    of_covers = np.array([_rgb(text) for text in CLASS_COLOURS], np.uint8)
    groups = dict(zip(WAYS, (OF_CHIP_CLASS[kinds], OF_PIXEL_CLASS[covers], OF_CHIP_CLASS[both]), strict=True))
    colours = dict(zip(WAYS, (of_kinds[kinds], of_covers[covers], of_kinds[both]), strict=True))
    return Map(_stretched(colour, valid), valid, groups, colours)


def _rgb(text: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(text.removeprefix("#")))


def _stretched(colour: Floats, valid: Flags) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(colour[valid], (1, 99), axis=0)
    shown: npt.NDArray[np.uint8] = (np.clip((colour - low) / (high - low), 0, 1) ** 0.8 * 255).astype(np.uint8)
    return shown


def score_points(points: list[dict[str, str]], maps: dict[str, Map]) -> None:
    """Print the share of the drawn points that have their group, and the IoU of each group."""
    for scene in sorted({point["scene"] for point in points}):
        here = [point for point in points if point["scene"] == scene]
        drawn = np.array([GROUPS.index(point["group"]) for point in here])
        rows, cols = (np.array([int(point[key]) for point in here]) for key in ("row", "col"))
        for way in WAYS:
            _tell(f"{scene} {way}: {len(here)} points", crosstab(drawn, maps[scene].groups[way][rows, cols]))


def score_pairs(maps: dict[str, Map]) -> None:
    """Print how far maps of the same land agree by group."""
    for first, second in PAIRS:
        both = maps[first].valid & maps[second].valid
        for way in WAYS:
            counts = crosstab(maps[first].groups[way][both], maps[second].groups[way][both])
            _tell(f"{first} and {second}, {way}", counts)


def _tell(what: str, counts: npt.NDArray[np.int64]) -> None:
    by_group = ", ".join(f"{name} {value:.2f}" for name, value in zip(GROUPS, ious(counts), strict=True))
    print(f"{what}: {agreement(counts):.3f} agree; IoU {by_group}")


def pictures(maps: dict[str, Map]) -> Iterator[tuple[str, Image.Image]]:
    """File name and picture of each scene: the scene, and its map by each way, side by side."""
    for name, found in maps.items():
        parts = [found.picture, *(np.where(found.valid[..., None], found.colours[way], 255) for way in WAYS)]
        yield f"{Path(name).stem}.png", Image.fromarray(np.concatenate(parts, axis=1).astype(np.uint8))


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) not in (5, 7):
        sys.exit(__doc__)
    model_path, scenes, points_path, folder = map(Path, sys.argv[1:5])
    a, b = (float(text) for text in sys.argv[5:]) if len(sys.argv) == 7 else (0.5, 1.0)
    model: Any = keras.models.load_model(model_path, compile=False)
    classifier = load_classifier(find_model("default"))
    maps = {name: make_map(scenes / name, name, model, classifier, a, b) for name in SCENES}
    with points_path.open(encoding="utf-8", newline="") as file:
        score_points(list(csv.DictReader(file)), maps)
    score_pairs(maps)
    folder.mkdir(exist_ok=True)
    for name, picture in pictures(maps):
        picture.save(folder / name)


if __name__ == "__main__":
    main()
