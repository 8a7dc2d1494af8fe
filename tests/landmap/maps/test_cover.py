"""A finished map is read by one class: strip by strip, in its own pixels or in those of another geobox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps import cover as covers
from landmap.maps.cover import Cover, read_cover, side_raster
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.arrays import Bytes
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN

PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
CRS = rasterio.CRS.from_epsg(32633).to_wkt()


def written(path: Path, values: Bytes) -> Cover:
    geobox = GeoBox(*values.shape, PLACE, CRS)
    tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag((*EUROSAT, UNKNOWN))}
    with RasterWriter(path, geobox, Layers(("class",), tags, (*EUROSAT, UNKNOWN))) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=False)
    return read_cover(path)


@pytest.fixture
def values() -> Bytes:
    found = np.random.default_rng(0).integers(0, 10, (70, 50)).astype(np.uint8)
    found[3, 4] = NODATA
    return found


@pytest.mark.parametrize(("rows", "multiple"), [(512, 1), (7, 1), (7, 8), (20, 8)])
def test_strips_make_up_the_map(
    rows: int, multiple: int, values: Bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover = written(tmp_path / "cover.tif", values)
    monkeypatch.setattr(covers, "STRIP_ROWS", rows)
    strips = list(cover.strips(multiple))
    assert all(window.row_off % multiple == 0 for window, _ in strips)
    assert [window for window, _ in strips] == list(cover.windows(multiple))
    np.testing.assert_array_equal(np.concatenate([classes for _, classes in strips]), values)


def test_several_maps_are_read_in_turn(values: Bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (written(tmp_path / f"{name}.tif", values) for name in ("one", "other"))
    monkeypatch.setattr(covers, "STRIP_ROWS", 9)
    for (_, first), (_, second) in zip(one.strips(), other.strips(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_map_is_read_in_the_pixels_of_another_geobox(values: Bytes, tmp_path: Path) -> None:
    cover = written(tmp_path / "cover.tif", values)
    onto = GeoBox(70, 50, PLACE @ Affine.translation(5, 2), CRS)
    found = cover.read(Window(0, 0, 70, 50), onto)
    np.testing.assert_array_equal(found[:68, :45], values[2:, 5:])
    assert (found[68:] == NODATA).all()
    assert (found[:, 45:] == NODATA).all()


def test_the_legend_is_told_apart_from_the_classes(values: Bytes, tmp_path: Path) -> None:
    cover = written(tmp_path / "cover.tif", values)
    assert cover.legend == (*EUROSAT, UNKNOWN)
    assert cover.ids == list(range(10))
    assert cover.names == tuple(c.name for c in EUROSAT)
    assert cover.names_by_id[UNKNOWN.id] == UNKNOWN.name
    assert cover.geobox == GeoBox(70, 50, PLACE, CRS)


def test_no_side_raster_is_none(values: Bytes, tmp_path: Path) -> None:
    assert side_raster(None, written(tmp_path / "cover.tif", values), "confidence") is None
