"""A scene with a raster of labels is cut into blocks that are images with masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from landmap.errors import LandmapError
from landmap.scene.labelled_scene import LEAST_SIDE, open_labelled_scene
from landmap_models.datasets.splits import stratified_split

BANDS = ("B04", "B03", "B02")
SHAPE = 330, 410


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """An L2A scene with an offset of -1000 DN, and no data in its first rows."""
    values = ordinary(*SHAPE) + 1000
    values[:, :20] = 0
    return write_scene(values, nodata=0, tags={"BOA_ADD_OFFSET": "-1000", "PROCESSING_LEVEL": "Level-2A"})


@pytest.fixture
def labels(write_scene: Callable[..., Path]) -> Path:
    ids = np.random.default_rng(0).choice([10, 20, 0], SHAPE).astype(np.uint8)
    return write_scene(ids[None], "labels.tif", nodata=0, bands=("",))


CLASSES = ("10=wood", "20=lake")


@pytest.mark.parametrize("gap", [3, 32])
def test_blocks_lie_apart_and_cover_the_rest(scene: Path, labels: Path, gap: int) -> None:
    """Brute force: how often each pixel is in a block, and how far the blocks are from each other."""
    images, _ = open_labelled_scene(scene, labels, BANDS, gap, classes=CLASSES)
    boxes = [(*map(int, name.split("-")), *size) for name, size in zip(images.files, images.sizes, strict=True)]
    count = np.zeros(SHAPE, int)
    for row, col, height, width in boxes:
        assert min(height, width) >= LEAST_SIDE
        count[row : row + height, col : col + width] += 1
    assert count.max() == 1
    rows, cols = (np.flatnonzero(count.any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], cols[0], cols[-1]) == (0, SHAPE[0] - 1, 0, SHAPE[1] - 1)
    assert set(np.diff(rows)) == set(np.diff(cols)) == {1, gap + 1}
    for (r, c, h, w), (r2, c2, h2, w2) in itertools.combinations(boxes, 2):
        assert max(r2 - r - h, r - r2 - h2, c2 - c - w, c - c2 - w2) >= gap
    split = stratified_split(images, 1, 0.2, 0.2, everywhere=False)
    assert not any("share ground" in text for text in split.warnings)
    assert all(len(part) > 2 for part in split.parts().values())


def test_blocks_hold_the_reflectance_of_the_scene_and_its_labels(scene: Path, labels: Path) -> None:
    import rasterio

    images, level = open_labelled_scene(scene, labels, ("B02", "B04"), 4, classes=CLASSES)
    assert (level, images.class_names, images.bands) == ("L2A", ("wood", "lake"), ("B02", "B04"))
    with rasterio.open(scene) as file, rasterio.open(labels) as mask:
        numbers, ids = file.read(), mask.read(1)
    place = len(images) // 2
    row, col = map(int, images.files[place].split("-"))
    window = np.s_[row + 2 : row + 9, col + 3 : col + 14]
    values, wanted = images.read(place, (2, 3, 7, 11))
    expected = (numbers[[2, 0]].astype(float) - 1000) / 10_000
    np.testing.assert_allclose(values, expected[:, *window].transpose(1, 2, 0), atol=1e-6)
    np.testing.assert_array_equal(wanted, np.stack([ids[window] == 10, ids[window] == 20], axis=-1))
    _, first = images.read(0)
    assert not first[:20].any(), "no data, no label"
    assert first[20:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transform": Affine(10, 0, 500_010, 0, -10, 5_000_000)}, "expected the grid of .*scene.tif.*gdalwarp"),
        ({"crs": "EPSG:32632"}, "expected the grid of .*EPSG:32633.*Received: EPSG:32632"),
        ({"shape": (330, 409)}, "expected 330x410 pixels.*Received: 330x409"),
        ({"dtype": np.float32}, "expected class ids as whole numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    scene: Path, write_scene: Callable[..., Path], change: dict[str, Any], message: str
) -> None:
    ids = np.full(change.pop("shape", SHAPE), 10, change.pop("dtype", np.uint8))
    ids[::2] = 20
    labels = write_scene(ids[None], "labels.tif", bands=("",), **change)
    with pytest.raises(LandmapError, match=message):
        open_labelled_scene(scene, labels, BANDS, 4, classes=CLASSES)


def test_a_scene_too_small_for_blocks_is_refused(scene: Path, labels: Path) -> None:
    with pytest.raises(LandmapError, match="expected 432 px or more on each side"):
        open_labelled_scene(scene, labels, BANDS, 200, classes=CLASSES)
