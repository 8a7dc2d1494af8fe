"""A scene reads from any `Source`: here from an array in memory, which gives the pixels that its file gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from landmap.geo.geobox import GeoBox, geobox_of
from landmap.products.nodata import Nodata, has_data
from landmap.radiometry.conversion import Evidence
from landmap.scene.header import DescribedBands, SceneHeader
from landmap.scene.scene import Scene, open_scene, scene_of_header
from landmap.scene.source import Source, Values
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

TAGS = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "-1000"}


@dataclass(frozen=True, slots=True)
class ArraySource(Source):
    """Bands `(bands, height, width)` in memory."""

    array: Any = field(kw_only=True, repr=False)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        assert shape is None
        rows = slice(window.row_off, window.row_off + window.height)
        values = self.array[:, rows, window.col_off : window.col_off + window.width]
        return np.moveaxis(values, 0, -1), has_data(values, self.nodata)


def array_scene(array: np.ndarray, geobox: GeoBox) -> Scene:
    count, dtype = len(array), str(array.dtype)
    names, numbers = FAKE_CARD.band_names, tuple(range(1, count + 1))
    rule = Nodata((0.0,) * count, has_zeros=True)
    source = ArraySource("array", "", geobox, names, numbers, (256, 256), dtype, rule, array=array)
    evidence = Evidence(
        path="array",
        dtype=dtype,
        band_names=names,
        scales=(1.0,) * count,
        offsets=(0.0,) * count,
        tags=TAGS,
        band_tags=({},) * count,
        has_scl=False,
        sample=np.zeros((0, count), np.float32),
    )
    header = SceneHeader(DescribedBands(source, evidence), nir="not in the array")
    return scene_of_header(header, FAKE_CARD, Settings())


def test_an_array_gives_the_pixels_of_its_file(
    write_scene: Callable[..., Path], ordinary: Callable[..., np.ndarray]
) -> None:
    values = ordinary(300, 420)
    values[:, :40, 100:] = 0
    path = write_scene(values, nodata=0, tags=TAGS)
    with rasterio.open(path) as file:
        numbers = [file.descriptions.index(name) + 1 for name in FAKE_CARD.band_names]
        found = array_scene(file.read(numbers), geobox_of(file))
    expected, window = open_scene(path, card=FAKE_CARD), Window(7, 50, 250, 333)
    assert found.geobox == expected.geobox
    assert found.radiometry == expected.radiometry
    one, other = found.read(window), expected.read(window)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.valid, other.valid)
    assert not one.valid.all()
