"""A part of a scene is mapped as if it had been cut out first."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from pyproj import Transformer
from rasterio.windows import Window as RasterWindow

import landmap
from landmap.cli import cli
from landmap.errors import SceneError, SettingsError
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NodataShadowWarning")

HEIGHT, WIDTH = 150, 210
COL, ROW, ACROSS, DOWN = 37, 21, 101, 83
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


Floats = npt.NDArray[np.float32]


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=FAKE_CARD)


def holed(values: npt.NDArray[Any], fill: int) -> npt.NDArray[Any]:
    values = values.copy()
    values[:, 40:60, 20:90] = fill
    return values


def write_kind(kind: str, write_scene: Callable[..., Path], values: npt.NDArray[Any]) -> Path:
    """A scene that tells of its holes in one of the ways there are."""
    if kind == "zero":
        return write_scene(holed(values, 0))
    if kind == "nodata":
        return write_scene(holed(values, 65535), nodata=65535, tiled=True, blockxsize=64, blockysize=32)
    seen = holed(np.ones_like(values), 0)[0] > 0
    if kind == "alpha":
        alpha = np.where(seen, 65535, 0)[None].astype(values.dtype)
        return write_scene(
            np.concatenate([values, alpha]), bands=("B04", "B03", "B02", ""), photometric="RGB", alpha="YES"
        )
    path = write_scene(values)
    with rasterio.open(path, "r+") as file:  # a file beside it: .msk
        file.write_mask(seen)
    return path


@pytest.mark.parametrize("kind", ["zero", "nodata", "alpha", "mask"])
def test_a_window_is_as_if_cut_out_first(
    kind: str, write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path, sensitive: Classifier
) -> None:
    path = write_kind(kind, write_scene, ordinary(HEIGHT, WIDTH))
    (tmp_path / "cut").mkdir()
    cut = tmp_path / "cut" / path.name
    part = RasterWindow(COL, ROW, ACROSS, DOWN)
    with rasterio.open(path) as file:
        profile = file.profile | {"width": ACROSS, "height": DOWN, "transform": file.window_transform(part)}
        with rasterio.open(cut, "w", **profile) as out:
            out.write(file.read(window=part))
            out.descriptions, out.colorinterp = file.descriptions, file.colorinterp
            if kind == "mask":
                out.write_mask(file.dataset_mask(window=part) > 0)
    how: dict[str, Any] = {"classifier": sensitive, "level": "L1C", "offset": 0, "stride": 8}
    landmap.classify(path, tmp_path / "a.tif", window=(COL, ROW, ACROSS, DOWN), **how)
    landmap.classify(cut, tmp_path / "b.tif", **how)
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as other:
        assert one.profile == other.profile
        assert one.shape == (DOWN, ACROSS)
        assert one.transform == UTM @ Affine.translation(COL, ROW)
        np.testing.assert_array_equal(one.read(), other.read())
        assert len(np.unique(one.read())) > 3
        tags, others = one.tags(), other.tags()
    assert {name for name in tags if tags[name] != others[name]} == {"LANDMAP_SETTINGS"}
    assert json.loads(tags["LANDMAP_SETTINGS"])["window"] == [COL, ROW, ACROSS, DOWN]


def test_blocks_that_a_sparse_file_leaves_out_are_known_in_a_part(write_scene: Callable[..., Path]) -> None:
    values = np.zeros((3, 256, 256), np.uint16)
    values[:, 128:192, 64:128] = 900
    path = write_scene(values, nodata=0, tiled=True, blockxsize=64, blockysize=64, sparse_ok=True)
    scene = opened(path, window=(60, 100, 150, 120))
    assert scene.is_empty(Window(0, 68, 28, 40))  # rows 100 to 128 of the file
    assert not scene.is_empty(Window(0, 0, 29, 40))  # one row of block (2, 1)
    assert not scene.is_empty(Window(91, 0, 10, 5))
    assert scene.is_empty(Window(92, 4, 10, 60))
    assert scene.read(Window(28, 4, 64, 64)).valid.all()


def test_a_box_is_widened_to_whole_pixels(write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16))
    west, north = UTM @ (COL, ROW)
    exact = opened(path, bbox=(west, north - DOWN * 10, west + ACROSS * 10, north))
    inner = opened(path, bbox=(west + 3, north - DOWN * 10 + 9, west + ACROSS * 10 - 1, north - 0.5))
    for scene in (exact, inner):
        assert (scene.source.corner, scene.geobox.height, scene.geobox.width) == ((ROW, COL), DOWN, ACROSS)
        assert scene.geobox.transform == UTM @ Affine.translation(COL, ROW)
    beyond = opened(path, bbox=(0, 4_999_000, west, 9e6))
    assert (beyond.source.corner, beyond.geobox.height, beyond.geobox.width) == ((0, 0), 100, COL)


def test_a_box_in_degrees(write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16))
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    (west, east), (south, north) = to_degrees.transform([500_400, 501_200], [4_999_000, 4_999_500])
    scene = opened(path, bbox=(west, south, east, north), bbox_crs="EPSG:4326")
    (row, col), (rows, cols) = scene.source.corner, scene.geobox.shape
    # At least the box, and hardly more: degrees and metres are turned by less than a pixel here.
    assert col <= 40
    assert col + cols >= 120
    assert row <= 50
    assert row + rows >= 100
    assert (rows, cols) <= (53, 83)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"window": (200, 0, 20, 10)}, "210 columns and 150 rows. Received: columns 200 to 220, rows 0 to 10"),
        ({"bbox": (0, 0, 1, 1)}, "which lies at 500000 to 502100, 4998500 to 5000000 in EPSG:32633. Received: 0 to 1"),
        ({"bbox": (50, 1, 51, 2), "bbox_crs": "EPSG:4326"}, "touches the scene"),
    ],
)
def test_a_part_outside_is_refused(choices: dict[str, Any], words: str, write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16))
    with pytest.raises(SceneError, match=words):
        opened(path, **choices)


@pytest.mark.parametrize(
    "choices",
    [
        {"window": (0, 0, 10)},
        {"window": (0, 0, 10, 0)},
        {"window": (-1, 0, 10, 10)},
        {"window": "0,0,10,10"},
        {"window": 10},
        {"window": (0, 0, 1.5, 2)},
        {"bbox": (1, 1, 1, 2)},
        {"bbox": (0, 2, 1, 1)},
        {"bbox": (0, 0, 1, float("nan"))},
        {"bbox": (0, 0, 1, 1), "window": (0, 0, 1, 1)},
        {"bbox_crs": "EPSG:4326"},
        {"warp": "EPSG:4326"},
    ],
)
def test_settings_that_can_not_be_meant(choices: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="xpected"):
        Settings(**choices)


def test_a_crs_that_is_none_is_refused(write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16))
    with pytest.raises(SettingsError, match=r"bbox_crs: expected a CRS, .* 'degrees'"):
        opened(path, bbox=(0, 0, 1, 1), bbox_crs="degrees")


def test_the_command_line(write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.full((3, HEIGHT, WIDTH), 900, np.uint16), nodata=0)
    done = CliRunner().invoke(cli, ["plan", str(path), "--window", "37,21,101,83", "--level", "L1C", "--offset", "0"])
    assert done.exit_code == 0, done.output
    assert "83 rows x 101 columns" in done.output
    assert "part     cut out from column 37 and row 21 on" in done.output
    wrong = CliRunner().invoke(cli, ["plan", str(path), "--bbox", "a,b"])
    assert wrong.exit_code == 2
    assert "expected W,S,E,N" in wrong.output


def test_near_infrared_and_the_classification_are_cut_out_too(write_scene: Callable[..., Path]) -> None:
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    values = np.stack([rows * 7 + cols + 500] * 4 + [np.where(cols % 2, 8, 4)]).astype(np.uint16)
    path = write_scene(values, bands=("B04", "B03", "B02", "B08", "SCL"))
    settings = Settings(offset=0, level="L1C", scl="auto")
    whole = open_scene(path, settings).read(Window(ROW, COL, DOWN, ACROSS))
    part = open_scene(path, replace(settings, window=(COL, ROW, ACROSS, DOWN))).read(Window(0, 0, DOWN, ACROSS))
    assert whole.spectrum is not None
    assert part.spectrum is not None
    np.testing.assert_array_equal(part.values, whole.values)
    np.testing.assert_array_equal(part.spectrum, whole.spectrum)
    np.testing.assert_array_equal(part.mapped, whole.mapped)
    assert 0.4 < part.mapped.mean() < 0.6
