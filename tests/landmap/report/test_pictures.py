"""What pictures of a map are made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landmap
from landmap.report import pictures
from landmap.report.pictures import composite, scale_bar
from landmap_models.inference.classifier import FAKE_CARD

TAGS = {"PROCESSING_LEVEL": "Level-1C"}


@given(st.floats(1e-3, 1e4), st.floats(10, 4000))
def test_a_scale_bar_is_round_and_as_long_as_fits(metres: float, most: float) -> None:
    bar = scale_bar(metres, most)
    assert f"{bar.metres:e}"[0] in "125"
    assert float(f"{bar.metres:.0e}") == pytest.approx(bar.metres)
    assert bar.pixels * metres == pytest.approx(bar.metres)
    assert most / 2.5 * 0.999 <= bar.pixels <= most * 1.001


@pytest.mark.parametrize(
    ("metres", "most", "label"), [(10, 130, "1 km"), (10, 99, "500 m"), (0.01, 70, "0.5 m"), (100, 600, "50 km")]
)
def test_lengths_are_written_as_people_do(metres: float, most: float, label: str) -> None:
    assert scale_bar(metres, most).label == label


@pytest.mark.parametrize("most", [1000, 60])
def test_strips_make_no_difference(
    most: int,
    write_scene: Callable[..., Path],
    ordinary: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = ordinary(240, 150)
    values[:, :40, :30] = 0
    scene = landmap.open_scene(write_scene(values, nodata=0, tags=TAGS), card=FAKE_CARD)
    whole = composite(scene, most).picture
    monkeypatch.setattr(pictures, "STRIP", 80)  # 240 and 60 rows come out even
    assert (composite(scene, most).picture == whole).all()
    monkeypatch.setattr(pictures, "STRIP", 1)
    assert composite(scene, most).picture.shape == whole.shape == ((240, 150, 4) if most == 1000 else (60, 38, 4))


def test_true_colour_is_reflectance(write_scene: Callable[..., Path]) -> None:
    """Red, green, blue in this order; 0.275 and more is white, 0 is black, in between it gets brighter."""
    values = np.zeros((3, 70, 70), np.uint16)
    values[:] = np.array([2750, 1200, 600])[:, None, None]
    values[:, 0, 0], values[:, 0, 1] = 9000, 1
    scene = landmap.open_scene(write_scene(values, nodata=0, tags=TAGS), card=FAKE_CARD)
    found = composite(scene, 100)
    assert found.name == "true colour"
    assert found.picture[0, 0].tolist() == [255, 255, 255, 255]
    assert found.picture[0, 1, :3].max() <= 1
    red, green, blue, opacity = found.picture[5, 5].tolist()
    assert (red, opacity) == (255, 255)
    assert red > green > blue > 60
