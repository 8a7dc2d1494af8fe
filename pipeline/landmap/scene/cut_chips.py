"""Drawn labels are cut out of scenes as files: images with masks, or chips in a folder for each class."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import rasterio

from landmap.errors import OutputError, ReferenceDataError, SceneError
from landmap.scene.labelled_places import LabelledPlaces
from landmap.tiling import Window
from landmap_models.arrays import Ints
from landmap_models.datasets.images import LabelledImages
from landmap_models.legend import NODATA
from landmap_models.publish import published

DN_OF_1 = 10_000
"""Value that stands for a reflectance of 1 in the files; 0 is no data."""
COLUMNS = ("file", "label", "scene", "row", "col", "place", "shapes", "x", "y", "crs")
"""Columns of the table of the chips. `shapes` are the ids of the labels on a chip, `x` and `y` its middle."""
Answers = Literal["pixel", "chip"]


@dataclass(frozen=True, slots=True)
class _Chip:
    """A window of a scene, and the number of the shape at each of its pixels."""

    scene: int
    place: int
    window: Window
    numbers: Ints
    label: str
    """Class of the whole chip; "" where its mask says more."""

    @property
    def name(self) -> str:
        return f"{self.scene}_{self.window.row_off:05}_{self.window.col_off:05}_{self.place}.tif"


def cut_chips(
    images: LabelledImages,
    output: Path,
    *,
    size: int = 64,
    answers: Answers = "pixel",
    min_share: float = 0.5,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write chips around drawn labels, and a table that says where each comes from.

    Files are GeoTIFFs of 16 bits, 10,000 for a reflectance of 1 and 0 for no data.

    Args:
        images: Scenes and labels, as `open_labelled_places` opens them; places that lie a chip apart share no pixel.
        output: The folder to write: `images/` and `masks/` of one name, with 255 where there is no label; or, for
            chips, a folder for each class. `chips.csv` in it has `COLUMNS`, and `classes.csv` the ids in masks.
        size: Height and width of a chip in pixels.
        answers: "pixel": chips with masks. "chip": chips of one class.
        min_share: Least share of a chip, 0 to 1, that its class covers; other chips are left out.
        overwrite: Whether a folder that exists may be replaced.

    Returns:
        Number of chips of each class, by name; with masks, of chips that hold it.

    Raises:
        OutputError: The folder exists or can't be written. Nothing is left behind then.
        SceneError: A scene is smaller than a chip.
        ReferenceDataError: No chip is covered enough.
    """
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already. Choose another name or give --overwrite")
    source = replace(cast(LabelledPlaces, images.source), margin=0, step=1)
    counts = dict.fromkeys(source.labels.class_names, 0)
    try:
        with published(output.resolve()) as folder:
            folder.mkdir()
            rows = [_written(folder, source, chip) for chip in _chips(source, size, answers, min_share)]
            if not rows:
                raise ReferenceDataError(
                    f"{images.root}: expected labels of one class that cover {100 * min_share:g} % of {size}x{size} "
                    "px. Received: none so large. Choose a smaller --size or --min-share, or chips with masks "
                    "(--answers pixel)"
                )
            for row in rows:
                for name in row.pop("classes"):
                    counts[name] += 1
            _write_table(folder / "chips.csv", COLUMNS, [list(row.values()) for row in rows])
            _write_table(folder / "classes.csv", ("id", "class"), [list(each) for each in enumerate(counts)])
    except OSError as error:
        raise OutputError(f"{output}: can't be written: {error}") from error
    return counts


def _chips(source: LabelledPlaces, size: int, answers: Answers, min_share: float) -> Iterator[_Chip]:
    """Chips that tile the labels of each place, around the middle of these."""
    for name, own in source.windows.items():
        scene = int(name.split("-")[0])
        height, width = source.scenes[scene].geobox.shape
        if min(height, width) < size:
            raise SceneError(
                f"{source.scenes[scene].source.path}: expected {size} px or more on each side, as a chip has. "
                f"Received: {height}x{width} px"
            )
        for row in _starts(own.row_off, own.height, size, height):
            for col in _starts(own.col_off, own.width, size, width):
                numbers = source.shape_numbers(name, (row - own.row_off, col - own.col_off, size, size))
                label = _label(source, numbers, min_share) if answers == "chip" else ""
                if (numbers >= 0).any() and label is not None:
                    yield _Chip(scene, source.place_of(name), Window(row, col, size, size), numbers, label)


def _starts(first: int, length: int, size: int, limit: int) -> list[int]:
    """First rows or columns of chips that cover a stretch and stay in the scene."""
    count = -(-length // size)
    start = first + (length - count * size) // 2
    return sorted({min(max(0, start + i * size), limit - size) for i in range(count)})


def _label(source: LabelledPlaces, numbers: Ints, min_share: float) -> str | None:
    """The class that covers enough of a chip; None without one."""
    counts = np.bincount(source.labels.classes[numbers[numbers >= 0]], minlength=len(source.labels.class_names))
    largest = int(counts.argmax())
    return source.labels.class_names[largest] if counts[largest] >= min_share * numbers.size else None


def _written(folder: Path, source: LabelledPlaces, chip: _Chip) -> dict[str, Any]:
    """Write a chip, and return its row of the table, with the classes on it."""
    scene = source.scenes[chip.scene]
    pixels = scene.read(chip.window)
    box = scene.geobox.crop(chip.window)
    values = np.clip(np.round(pixels.values * DN_OF_1), 1, 65_535) * pixels.mapped[..., None]
    above = "images" if not chip.label else _folder_name(chip.label)
    profile = {"driver": "GTiff", "height": box.height, "width": box.width, "crs": box.crs, "transform": box.transform}
    (folder / above).mkdir(exist_ok=True)
    with rasterio.open(
        folder / above / chip.name,
        "w",
        count=values.shape[-1],
        dtype="uint16",
        nodata=0,
        compress="deflate",
        **profile,
    ) as file:
        file.write(np.moveaxis(values, -1, 0).astype(np.uint16))
        file.descriptions = scene.source.band_names
    classes = np.append(source.labels.classes, NODATA)[chip.numbers]
    if not chip.label:
        (folder / "masks").mkdir(exist_ok=True)
        with rasterio.open(
            folder / "masks" / chip.name, "w", count=1, dtype="uint8", nodata=NODATA, compress="deflate", **profile
        ) as file:
            file.write(classes.astype(np.uint8), 1)
    names = source.labels.class_names
    there = [names[i] for i in np.unique(classes[classes != NODATA]).tolist()]
    shapes = dict.fromkeys(source.labels.ids[i] for i in np.unique(chip.numbers[chip.numbers >= 0]).tolist())
    west, south, east, north = box.bounds
    entries = (
        f"{above}/{chip.name}",
        chip.label or ";".join(there),
        Path(scene.source.path).name,
        chip.window.row_off,
        chip.window.col_off,
        chip.place,
        ";".join(shapes),
        (west + east) / 2,
        (south + north) / 2,
        rasterio.crs.CRS.from_wkt(box.crs).to_string() if box.crs else "",
    )
    return dict(zip(COLUMNS, entries, strict=True)) | {"classes": [chip.label] if chip.label else there}


def _folder_name(name: str) -> str:
    """A class as the name of a folder."""
    return re.sub(r'[\\/:*?"<>|]', "_", name).strip(". ") or "_"


def _write_table(path: Path, titles: tuple[str, ...], rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([titles, *rows])
