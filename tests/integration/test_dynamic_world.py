"""Dynamic World as landmap runs it, held against Google's SavedModel run whole, on real chips of 13 bands."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import landmap
from landmap.errors import BandError
from landmap.inference import methods
from landmap_models.architectures.dynamic_world import BANDS, MARGIN, TRANSFORM
from landmap_models.foreign import dynamic_world
from landmap_models.model_file.packaged import FOLDER_VARIABLE
from landmap_models.sentinel2 import EUROSAT_ORDER

pytestmark = pytest.mark.real
SIDE = 5
"""Chips along the side of a mosaic."""


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = shared / "weights" / "dynamicworld" / "forward"
    if not folder.is_dir():
        pytest.skip("LANDMAP_SHARED has no Dynamic World")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("models")))
        dynamic_world.fetch(folder)
        yield folder


@pytest.fixture
def mosaic(shared: Path) -> npt.NDArray[np.uint16]:
    """Digital numbers of chips of all classes side by side, `(13, height, width)` in EuroSAT's order."""
    path = shared / "eurosat" / "eurosat-ms-sample.zip"
    names = [name for name in zipfile.ZipFile(path).namelist() if name.endswith(".tif")]
    chosen = [names[i * len(names) // SIDE**2] for i in range(SIDE**2)]
    chips = []
    for name in chosen:
        with rasterio.open(f"/vsizip/{path}/{name}") as file:
            chips.append(file.read())
    rows = [np.concatenate(chips[i : i + SIDE], axis=2) for i in range(0, SIDE**2, SIDE)]
    return np.concatenate(rows, axis=1)


def test_classes_are_those_of_the_saved_model_away_from_the_edge(
    model: Path,
    mosaic: npt.NDArray[np.uint16],
    write_scene: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(methods, "LONGEST", 128)  # so that there are borders between windows
    scene = write_scene(mosaic, bands=EUROSAT_ORDER)
    places = [EUROSAT_ORDER.index(name) for name in BANDS]
    reflectance = np.moveaxis(mosaic[places], 0, -1).astype(np.float32) / 10_000
    original = tf.saved_model.load(str(model)).signatures["serving_default"]
    (logits,) = (answer.numpy()[0] for answer in original(tf.constant(TRANSFORM.apply(reflectance)[None])).values())
    result = landmap.classify(scene, tmp_path / "cover.tif", model="dynamic-world", level="L1C")
    assert result.plan.grid.num_windows > 4
    with rasterio.open(tmp_path / "cover.tif") as cover:
        classes = cover.read(1)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    same = classes[inner] == logits.argmax(axis=-1)[inner]
    assert same.mean() >= 0.999
    assert len(np.unique(classes)) >= 6


def test_a_scene_that_lacks_bands_is_refused_with_their_names(model: Path, shared: Path) -> None:
    with pytest.raises(BandError, match="needs band B05, which is not named here, nor are B06, B07, B11, B12") as error:
        landmap.plan(shared / "scenes" / "kempen" / "kempen_L2A.tif", model="dynamic-world")
    assert "\n" not in str(error.value)


def test_a_scene_of_level_2a_is_brought_to_1c_and_the_plan_says_what_was_not_measured(
    model: Path, mosaic: npt.NDArray[np.uint16], write_scene: Callable[..., Path]
) -> None:
    scene = write_scene(mosaic, bands=EUROSAT_ORDER, tags={"PROCESSING_LEVEL": "Level-2A"})
    plan = landmap.plan(scene, model="dynamic-world")
    text: Any = str(plan)
    assert "typical haze added (L2A to L1C), computed and not measured for B05, B06, B07, B11, B12" in text
    assert plan.scene.radiometry.haze[BANDS.index("B11")] == (0.94, 0.002)
