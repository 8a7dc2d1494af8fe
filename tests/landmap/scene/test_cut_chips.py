"""Chips around drawn labels are written as files that other programs, and landmap, read."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from landmap.cli import cli
from landmap.errors import LandmapError
from landmap.scene.cut_chips import cut_chips
from landmap.scene.labelled_places import open_labelled_places
from landmap_models.datasets.chips import open_chips
from landmap_models.datasets.images import LabelledImages, open_images

BANDS = ("B04", "B03", "B02")
ROWS = [("wood", 10, 0, 40, 40), ("lake", 10, 200, 70, 40), ("wood", 150, 10, 40, 40), ("lake", 160, 150, 10, 10)]
"""Class, first row and column, height and width of what is drawn, in pixels; the first touches the scene's edge."""


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    return write_scene(ordinary(210, 250) + 1000, tags={"BOA_ADD_OFFSET": "-1000", "PROCESSING_LEVEL": "Level-2A"})


@pytest.fixture
def labels(scene: Path, tmp_path: Path) -> Path:
    with rasterio.open(scene) as file:
        t, crs = file.transform, file.crs
    shapes = [
        shapely.Polygon([t @ p for p in ((c, r), (c + w, r), (c + w, r + h), (c, r + h))]) for _, r, c, h, w in ROWS
    ]
    geopandas.GeoDataFrame({"class": [row[0] for row in ROWS]}, geometry=shapes, crs=crs).to_file(tmp_path / "d.gpkg")
    return tmp_path / "d.gpkg"


@pytest.fixture
def images(scene: Path, labels: Path) -> LabelledImages:
    return open_labelled_places([scene], labels, BANDS, 32, 1)[0]


def drawn(shape: tuple[int, int]) -> Any:
    ids = np.full(shape, 255)
    for name, row, col, height, width in ROWS:
        ids[row : row + height, col : col + width] = int(name == "wood")
    return ids


def test_chips_with_masks_hold_every_label_once(images: LabelledImages, scene: Path, tmp_path: Path) -> None:
    counts = cut_chips(images, tmp_path / "chips", size=32)
    with rasterio.open(scene) as file:
        numbers = file.read().astype(int) - 1000
    expected, seen = drawn(numbers.shape[1:]), np.zeros(numbers.shape[1:], int)
    rows = list(csv.DictReader((tmp_path / "chips/chips.csv").read_text().splitlines()))
    for entry in rows:
        row, col = int(entry["row"]), int(entry["col"])
        here = np.s_[row : row + 32, col : col + 32]
        with rasterio.open(tmp_path / "chips" / entry["file"]) as image:
            np.testing.assert_array_equal(image.read(), numbers[:, *here])
            assert image.descriptions == BANDS
            assert image.transform @ (16, 16) == (float(entry["x"]), float(entry["y"]))
        with rasterio.open(tmp_path / "chips" / entry["file"].replace("images", "masks")) as mask:
            ids = mask.read(1)
        known = ids != 255
        np.testing.assert_array_equal(ids[known], expected[here][known])
        seen[here] += known
        names = {ROWS[int(shape) - 1][0] for shape in entry["shapes"].split(";")}
        assert entry["label"] == ";".join(sorted(names))
        assert entry["scene"] == "scene.tif"
    assert (seen[expected != 255] >= 1).all()
    assert not seen[expected == 255].any()
    assert counts == {"lake": sum("lake" in row["label"] for row in rows), "wood": 4 + 4}
    again = open_images(tmp_path / "chips", classes=("0=lake", "1=wood"))
    assert len(again) == len(rows)
    assert again.class_names == ("lake", "wood")


def test_a_chip_of_a_class_is_covered_by_it(images: LabelledImages, tmp_path: Path) -> None:
    """Of 64x64 px, 40x40 are 39 %; of the lake of 70 rows one chip, moved into the scene, holds 54. Ten px are none."""
    counts = cut_chips(images, tmp_path / "chips", size=64, answers="chip", min_share=0.35)
    assert counts == {"lake": 1, "wood": 2}
    counts = cut_chips(images, tmp_path / "chips", size=16, answers="chip", min_share=0.9, overwrite=True)
    assert min(counts.values()) > 2
    again = open_chips(tmp_path / "chips")
    assert again.counts() == counts
    for entry in csv.DictReader((tmp_path / "chips/chips.csv").read_text().splitlines()):
        here = np.s_[int(entry["row"]) : int(entry["row"]) + 16, int(entry["col"]) : int(entry["col"]) + 16]
        assert (drawn((210, 250))[here] == ("lake", "wood").index(entry["label"])).mean() >= 0.9


def test_nothing_is_left_of_what_fails(images: LabelledImages, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LandmapError, match="expected labels of one class that cover 90 % of 128x128 px"):
        cut_chips(images, tmp_path / "chips", size=128, answers="chip", min_share=0.9)
    with pytest.raises(LandmapError, match="expected 256 px or more on each side"):
        cut_chips(images, tmp_path / "chips", size=256)
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "chips").mkdir()
    with pytest.raises(LandmapError, match="exists already"):
        cut_chips(images, tmp_path / "chips")


def test_the_command(scene: Path, labels: Path, tmp_path: Path) -> None:
    typed = ["chips", str(scene), "--labels", str(labels), "-o", str(tmp_path / "chips"), "--size", "16"]
    done = CliRunner().invoke(cli, [*typed, "--bands", "B04"])
    assert done.exit_code == 0, done.output
    assert "wood: " in done.output
    with rasterio.open(next((tmp_path / "chips/images").iterdir())) as file:
        assert file.descriptions == ("B04",)
