"""The picture of a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landmap_models.datasets.picture import batch_picture, caption, true_color
from landmap_models.errors import ReportError

NAMES = ("Forest", "River", "Land principally occupied by agriculture", "$x_2$")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ([1, 0, 0, 0], "Forest"),
        ([0.37, 0.63, 0, 0], "River 63 %\nForest 37 %"),
        ([0.2, 0.6, 0.1, 0.1], "River 60 %\nForest 20 % +2"),
        ([0.002, 0.998, 0, 0], "River"),
        ([0, 1, 0, 1], "River\n$x_2$"),
        ([1, 1, 1, 1], "Forest\nRiver +2"),
        ([0.5, 0, 0.5, 0], "Forest 50 %\nLand principally oc… 50 %"),
        ([0, 0, 0, 0], "no class"),
    ],
)
def test_captions(label: list[float], expected: str) -> None:
    assert caption(np.array(label, np.float32), NAMES) == expected


def test_colours_are_found_by_name_and_stretched_alike() -> None:
    chips = np.zeros((1, 4, 4, 4), np.float32)
    chips[..., :] = (0.1, 0.4, 0.2, 0.0)
    shown = true_color(chips, ("B02", "B08", "B04", "B03"))[0, 0, 0]
    assert shown[0] == 255
    assert shown[1] == 0
    assert shown[2] == pytest.approx(255 * 0.5**0.8, abs=1)
    grey = true_color(chips, ("B08", "B11", "B04", "B03"))
    assert (grey == grey[..., :1]).all()
    assert not true_color(np.zeros((1, 2, 2, 3), np.float32), ("B04", "B03", "B02")).any()


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (9, 2, 8), (70, 8, 8)])
def test_at_most_64_chips_are_drawn_each_in_its_place(n: int, rows: int, columns: int, tmp_path: Path) -> None:
    chips = np.zeros((n, 8, 8, 3), np.float32)
    chips[..., 0] = 0.2
    path = tmp_path / "batch.png"
    batch_picture(chips, np.eye(4, dtype=np.float32)[np.arange(n) % 4], NAMES, path)
    picture = np.asarray(Image.open(path).convert("RGB"))
    height, width = picture.shape[0] / rows, picture.shape[1] / columns
    assert height / width == pytest.approx(1.3, abs=0.05)
    for i in range(rows * columns):
        middle = picture[int((i // columns + 0.6) * height), int((i % columns + 0.5) * width)].tolist()
        assert middle == ([255, 0, 0] if i < min(n, 64) else [255, 255, 255])
    captions = picture[: int(0.2 * height)]
    assert (captions < 100).any(), "no caption"


@pytest.mark.parametrize(
    ("name", "n", "bands", "message"),
    [
        ("batch.jpg", 2, 3, "ends in .png"),
        ("batch.png", 0, 3, "expected some chips"),
        ("batch.png", 2, 4, r"expected some chips \(n, height, width, 3\).*Received: \(2, 8, 8, 4\)"),
        ("none/batch.png", 2, 3, "can't be written"),
    ],
)
def test_bad_batches_and_places_are_refused(name: str, n: int, bands: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=message):
        batch_picture(np.ones((n, 8, 8, bands), np.float32), np.ones((n, 4), np.float32), NAMES, tmp_path / name)
