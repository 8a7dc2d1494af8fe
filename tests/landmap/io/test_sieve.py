"""The minimum mapping unit: on small rasters whose answer is plain, and against an oracle of connected regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from scipy import ndimage

import landmap
from landmap.io.cog import sieve
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import NODATA
from landmap_models.model_file.card import ModelCard

Bytes = npt.NDArray[np.uint8]


def sieved(values: Bytes, pixels: int, tmp_path: Path) -> Bytes:
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "map.tif", "w", **profile, nodata=NODATA, tiled=True, blockxsize=16, blockysize=16, crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
    ) as file:  # fmt: skip
        file.write(values, 1)
    sieve(tmp_path / "map.tif", pixels)
    with rasterio.open(tmp_path / "map.tif") as file:
        return np.asarray(file.read(1))


def sizes(values: Bytes) -> Bytes:
    """Pixels of the region that each pixel belongs to, by sides."""
    out = np.zeros(values.shape, int)
    for value in np.unique(values):
        labels, _ = ndimage.label(values == value)
        out[values == value] = np.bincount(labels.ravel())[labels[values == value]]
    return out


def test_small_regions_join_their_largest_neighbour(tmp_path: Path) -> None:
    values = np.full((20, 30), 1, np.uint8)
    values[:, 20:] = 0  # the smaller of the two neighbours, and a class like any other
    values[5:7, 19:22] = 7  # six pixels between them
    expected = values.copy()
    expected[5:7, 19:22] = 1
    np.testing.assert_array_equal(sieved(values, 7, tmp_path), expected)
    np.testing.assert_array_equal(sieved(values, 6, tmp_path), values)


def test_corners_do_not_connect(tmp_path: Path) -> None:
    values = np.zeros((8, 8), np.uint8)
    values[2, 2] = values[3, 3] = 5
    assert (sieved(values, 2, tmp_path) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 7)])
def test_more_pixels_than_the_map_has(shape: tuple[int, int], tmp_path: Path) -> None:
    values = np.zeros(shape, np.uint8)
    values[0, 0] = 3
    expected = np.zeros(shape, np.uint8) if shape == (5, 7) else values
    np.testing.assert_array_equal(sieved(values, 10_000, tmp_path), expected)


def test_nodata_neither_changes_nor_takes_in(tmp_path: Path) -> None:
    values = np.full((20, 20), NODATA, np.uint8)
    values[10:, :] = 3
    values[2, 2] = 4  # alone in nodata: it has no neighbour
    values[9, 5] = 4  # its only neighbour with data is 3
    values[15, 15] = NODATA  # a hole of one pixel
    expected = values.copy()
    expected[9, 5] = 3
    np.testing.assert_array_equal(sieved(values, 10, tmp_path), expected)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_is_large(seed: int, tmp_path: Path) -> None:
    """On noise with nodata: large regions grow only, no class is invented, and small ones stay only where cut off."""
    rng = np.random.default_rng(seed)
    values = ndimage.median_filter(rng.integers(0, 4, (60, 70), dtype=np.uint8), 3)
    values[rng.random((60, 70)) < 0.02] = NODATA
    after = sieved(values, 12, tmp_path)
    np.testing.assert_array_equal(after == NODATA, values == NODATA)
    large = sizes(values) >= 12
    np.testing.assert_array_equal(after[large], values[large])
    assert (after != values).sum() > 50
    for row, col in np.argwhere((sizes(after) < 12) & (after != NODATA)):
        around = after[max(0, row - 1) : row + 2, col].tolist() + after[row, max(0, col - 1) : col + 2].tolist()
        assert set(around) <= {after[row, col], NODATA}


class Speckle:
    """A class by the chip's own brightness, so that neighbours differ; confidence by it, too."""

    card: ModelCard = FAKE_CARD

    def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        level = (chips.mean(axis=(1, 2, 3)) * 1e6).astype(np.int64)
        sure = 0.2 + 0.6 * ((level * 7919) % 101) / 100
        out = np.repeat((1 - sure[:, None]) / 9, 10, axis=1)
        out[np.arange(len(chips)), level % 10] = sure
        return out.astype(np.float32)


def test_a_run_sieves_whatever_its_chunks(
    write_scene: Callable[..., Path], ordinary: Callable[..., npt.NDArray[np.uint16]], tmp_path: Path
) -> None:
    values = ordinary(330, 290)
    values[:, 100:140, 30:90] = 0
    scene = write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "Level-1C"})
    settings = {"stride": 8, "sieve": 200, "unknown_below": 15, "classifier": Speckle(), "overwrite": True}
    made = []
    for chunk in (64, 136, 1000):
        path = tmp_path / f"{chunk}.tif"
        result = landmap.classify(scene, path, chunk=chunk, **settings)
        made.append(path.read_bytes())
    assert made[0] == made[1] == made[2]
    raw = landmap.classify(scene, tmp_path / "raw.tif", confidence=tmp_path / "c.tif", **settings | {"sieve": None})
    with rasterio.open(path) as after, rasterio.open(tmp_path / "raw.tif") as before:
        cover, untouched = after.read(1), before.read(1)
        assert '"sieve": 200' in after.tags()["LANDMAP_SETTINGS"]
    assert sizes(cover)[cover != NODATA].min() >= 200 > sizes(untouched)[untouched != NODATA].min()
    np.testing.assert_array_equal(cover == NODATA, untouched == NODATA)
    counted = {c.id: c.pixels for c in result.classes if c.pixels}
    assert counted == {int(i): int((cover == i).sum()) for i in np.unique(cover) if i != NODATA}
    assert counted != {c.id: c.pixels for c in raw.classes if c.pixels}
    assert result.nodata_pixels == (cover == NODATA).sum()
