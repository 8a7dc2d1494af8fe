"""A scene as a lazy xarray object has the pixels that the scene reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import landmap
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD


@pytest.mark.parametrize("chunks", [None, 64, {"x": 100, "y": 30}], ids=str)
def test_it_has_the_pixels_of_the_scene(
    write_scene: Callable[..., Path], ordinary: Callable[..., np.ndarray], chunks: Any
) -> None:
    values = ordinary(150, 210)
    values[:, 20:40, 30:90] = 0
    scene = landmap.open_scene(write_scene(values, nodata=0), card=FAKE_CARD)
    found = scene.to_xarray(chunks)
    assert (found.chunks is not None) == (chunks is not None)
    assert found.dims == ("band", "y", "x")
    assert found.rio.crs == "EPSG:32633"
    assert found.rio.transform() == scene.geobox.transform
    pixels = scene.read(Window(0, 0, 150, 210))
    assert not pixels.valid.all()
    expected = np.where(pixels.valid[..., None], pixels.values, np.nan)
    np.testing.assert_array_equal(found.transpose("y", "x", "band").values, expected)
    np.testing.assert_array_equal(found.sel(band="B02").values, expected[..., 2])
    np.testing.assert_array_equal(found[1, 50, 100:20:-7].values, expected[50, 100:20:-7, 1])
    assert found[:, 5:5].shape == (3, 0, 210)
    assert found[:, 5:5].values.size == 0
