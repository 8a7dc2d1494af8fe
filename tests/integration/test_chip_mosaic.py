"""A scene put together from chips gives back what the model says of the chips themselves."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import landmap
from landmap.demo.example import write_example
from landmap_models.datasets.chips import ChipFolder, open_chips, to_reflectance
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.model_file.archive import SPLIT_MEMBER
from landmap_models.model_file.packaged import find_model, packaged_models

pytestmark = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")


def assemble(chips: npt.NDArray[np.uint8], rows: int, cols: int) -> npt.NDArray[np.uint8]:
    """Chips `(n, 64, 64, bands)` side by side, as `(bands, rows * 64, cols * 64)`."""
    bands = chips.shape[-1]
    return chips.reshape(rows, cols, 64, 64, bands).transpose(4, 0, 2, 1, 3).reshape(bands, rows * 64, cols * 64)


def per_cell(path: Path) -> npt.NDArray[np.uint8]:
    """The one value of each 64x64 cell, `(bands, rows, cols)`."""
    with rasterio.open(path) as file:
        values = file.read()
    cells = values[:, ::64, ::64]
    np.testing.assert_array_equal(values, cells.repeat(64, axis=1).repeat(64, axis=2))
    return np.asarray(cells)


def check(chips: npt.NDArray[np.uint8], scene: Path, folder: Path, chunk: int) -> npt.NDArray[np.intp]:
    """Classify the scene made of 100 chips; its cells must be the model's answers to the chips. Returns the classes."""
    expected = load_classifier(find_model("default")).predict(to_reflectance(chips)).reshape(10, 10, -1)
    outputs = folder / "cover.tif", folder / "probabilities.tif"
    result = landmap.classify(scene, outputs[0], probabilities=outputs[1], stride=64, chunk=chunk)
    assert result.plan.scene.radiometry.scale == (0.275 / 255,) * 3
    np.testing.assert_array_equal(per_cell(outputs[0])[0], expected.argmax(axis=-1))
    np.testing.assert_array_equal(per_cell(outputs[1]), np.rint(100 * expected).transpose(2, 0, 1))
    return np.asarray(expected.argmax(axis=-1).ravel())


@pytest.mark.parametrize("chunk", [64, 200, 10_000])
def test_invented_chips(chunk: int, write_scene: Callable[..., Any], tmp_path: Path) -> None:
    with rasterio.open(write_example(tmp_path / "land.tif", 800).scene) as file:
        land = np.moveaxis(file.read([3, 2, 1], window=((0, 640), (0, 640))), 0, -1)
    chips = (land * (255 / 2750)).clip(0, 255).astype(np.uint8).reshape(10, 64, 10, 64, 3).swapaxes(1, 2)
    chips = np.random.default_rng(0).permutation(chips.reshape(100, 64, 64, 3))
    scene = write_scene(assemble(chips, 10, 10), bands=("red", "green", "blue"))
    assert len(np.unique(check(chips, scene, tmp_path, chunk))) > 2, "the chips should not all look alike"


@pytest.mark.real
def test_held_out_chips_of_known_class(shared: Path, write_scene: Callable[..., Any], tmp_path: Path) -> None:
    """100 chips of the packaged model's own test part, ten of each class."""
    chips = held_out(open_chips(shared / "eurosat/eurosat-rgb.zip"))
    values = (chips.reflectance() * (255 / 0.275)).round().astype(np.uint8)
    classes = check(values, write_scene(assemble(values, 10, 10)), tmp_path, 256)
    assert (classes == np.asarray(chips.labels)).mean() > 0.9


def held_out(chips: ChipFolder) -> ChipFolder:
    """The first ten chips of each class in the test part that travels with the model."""
    with zipfile.ZipFile(find_model("default")) as archive:
        rows = csv.DictReader(io.StringIO(archive.read(SPLIT_MEMBER).decode()))
        test = {row["file"] for row in rows if row["split"] == "test"}
    chosen: list[int] = []
    for label in range(10):
        of_class = [i for i, f in enumerate(chips.files) if f in test and chips.labels[i] == label]
        chosen += of_class[:10]
    return chips.subset(np.array(chosen))
