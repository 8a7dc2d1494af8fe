"""ESA's true-colour image: known by its name, read by its own stretch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rasterio.enums import ColorInterp

import landmap
from landmap.scene.scene import open_scene
from landmap.settings import Settings
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.sentinel2 import TCI_BRIGHTEST

CARD = replace(FAKE_CARD, levels=("L1C",))
GRANULE = "S2A_MSIL2A_20190212T105141_N0207_R051_T31UFS_20190212T110000.SAFE/GRANULE/X/IMG_DATA"
ARCHIVE = "S2A_33UUP_20230813_0_L2A"


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a picture of some bytes `(3, height, width)`, in red, green and blue."""

    def write(name: str, values: npt.NDArray[np.uint8], **profile: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(655360, 5686280, 10, 10)}
        shape = {"count": 3, "height": values.shape[1], "width": values.shape[2], "dtype": "uint8"}
        with rasterio.open(path, "w", driver="GTiff", photometric="RGB", **place, **shape, **profile) as file:
            file.write(values)
            assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "level", "origin"),
    [
        (f"{GRANULE}/T31UFS_20190212T105141_TCI_10m.tif", "L2A", "the name of the product it lies in"),
        (f"{ARCHIVE}/TCI.tif", "L2A", "the name of the product it lies in"),
        ("T31UFS_20190212T105141_TCI_10m.tif", "L2A", "the form of its name"),
        ("T31UFS_20190212T105141_TCI.tif", "L1C", "the form of its name"),
        ("town_L2A_TCI.tif", "L2A", "the file's name"),
        ("TCI.tif", "L1C", "assumed: L1C, the model's own"),
    ],
)
def test_reflectance_is_that_of_the_digital_numbers(
    name: str, level: Any, origin: str, picture: Callable[..., Path]
) -> None:
    """Made as ESA makes it of known reflectance; 8 bits leave half a step of error."""
    top = TCI_BRIGHTEST[level]
    reflectance = np.random.default_rng(0).uniform(0.01, top, (3, 100, 120))
    values = np.rint(reflectance / top * 254 + 1).astype(np.uint8)
    values[:, :20] = 0
    scene = open_scene(picture(name, values), Settings(), card=replace(CARD, levels=(level,)))
    found = scene.read(landmap.tiling.Window(0, 0, 100, 120))
    assert scene.radiometry.level == level
    assert scene.radiometry.origins["level"].startswith(origin.replace("L1C", level))
    assert not found.valid[:20].any()
    assert found.valid[20:].all()
    np.testing.assert_allclose(np.moveaxis(found.values, -1, 0)[:, 20:], reflectance[:, 20:], atol=top / 254 / 2 + 1e-6)


def test_what_is_assumed_of_it_is_said_with_options_that_do_the_same(picture: Callable[..., Path]) -> None:
    values = np.random.default_rng(0).integers(1, 255, (3, 100, 120), dtype=np.uint8)
    path = picture("TCI.tif", values)
    made = landmap.plan(path, card=CARD)
    (text,) = [text for text in made.warnings if text.startswith("assumed")]
    scale = text.split("--scale ")[1].split(",")[0]
    assert "--level L1C" in text
    obeyed = landmap.plan(path, card=CARD, scale=float(scale), offset=-1, level="L1C")
    assert obeyed.scene.radiometry.scale == pytest.approx(made.scene.radiometry.scale, rel=1e-5)
    assert obeyed.scene.radiometry.offset == made.scene.radiometry.offset


def test_the_user_knows_better(picture: Callable[..., Path]) -> None:
    values = np.random.default_rng(0).integers(1, 255, (3, 100, 120), dtype=np.uint8)
    path = picture("T31UFS_20190212T105141_TCI_10m.tif", values)
    given = landmap.plan(path, card=FAKE_CARD, scale="8bit").scene.radiometry
    assert (given.scale, given.offset) == (pytest.approx((0.275 / 255,) * 3), (0.0,) * 3)


def test_other_pictures_are_read_as_ever(picture: Callable[..., Path]) -> None:
    values = np.random.default_rng(0).integers(1, 255, (3, 100, 120), dtype=np.uint8)
    radiometry = landmap.plan(picture("town.tif", values), card=FAKE_CARD).scene.radiometry
    assert (radiometry.scale, radiometry.offset) == (pytest.approx((0.275 / 255,) * 3), (0.0,) * 3)
