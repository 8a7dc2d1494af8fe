"""Pictures of a scene beside its cover."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

import landmap
from landmap.errors import LandmapError, OutputError, SceneError
from landmap.report.quicklook import write_quicklook
from landmap_models.inference.classifier import ConstantClassifier


@pytest.fixture
def mapped(write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path) -> tuple[Path, Path]:
    """A scene of 90x130 px and its cover."""
    values = ordinary(90, 130)
    values[:, :, :30] = 0
    scene = write_scene(values, tags={"PROCESSING_LEVEL": "Level-1C"})
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(1))
    return scene, tmp_path / "cover.tif"


def test_nodata_is_not_drawn(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    write_quicklook(*mapped, tmp_path / "map.png")
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    forest = (np.abs(pixels - (0x1B, 0x6B, 0x35)).max(axis=-1) < 8).sum()
    assert forest > 0.05 * pixels[..., 0].size
    assert (pixels.max(axis=-1) < 10).sum() < 0.02 * pixels[..., 0].size, "fill is drawn black"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"shape": (90, 131)}, "another shape"),
        ({"transform": Affine(10, 0, 600_000, 0, -10, 5_000_000)}, "another place"),
    ],
)
def test_a_cover_of_another_scene_is_refused(
    change: dict[str, Any],
    why: str,
    mapped: tuple[Path, Path],
    write_scene: Callable[..., Path],
    ordinary: Callable[..., Any],
    tmp_path: Path,
) -> None:
    values = ordinary(*change.pop("shape", (90, 130)))
    other = write_scene(values, name="other.tif", **change)
    with pytest.raises(SceneError, match=r"expected the cover of .*other.tif"):
        write_quicklook(other, mapped[1], tmp_path / "map.png")
    assert not (tmp_path / "map.png").exists(), why


@pytest.mark.parametrize(("name", "error"), [("map.xyz", "ends in .png"), ("there.png", "exists already")])
def test_outputs_are_checked(name: str, error: str, mapped: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "there.png").write_text("precious")
    with pytest.raises(OutputError, match=error):
        write_quicklook(*mapped, tmp_path / name)


def test_what_is_no_cover_is_refused(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(LandmapError, match="expected a cover written by landmap"):
        write_quicklook(mapped[0], mapped[0], tmp_path / "map.png")


def test_the_scale_bar_is_as_long_as_it_says(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    """130 px of 10 m are 1300 m: a third of them holds a bar of 200 m."""
    scene = write_scene(ordinary(90, 130), tags={"PROCESSING_LEVEL": "Level-1C"})
    outputs = {"quicklook": tmp_path / "map.png", "classifier": ConstantClassifier(1)}
    landmap.classify(scene, tmp_path / "cover.tif", **outputs)
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    forest = (np.abs(pixels - (0x1B, 0x6B, 0x35)).max(axis=-1) < 8).sum(axis=1)
    black = (pixels.max(axis=-1) < 40)[:, pixels.shape[1] // 2 :].sum(axis=1)
    assert black.max() / forest.max() == pytest.approx(200 / 1300, rel=0.05)
