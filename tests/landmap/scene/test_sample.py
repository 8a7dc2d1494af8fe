"""What decisions rest on: values from where data are, wherever in a scene that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import landmap
from landmap.errors import SceneError
from landmap.scene import sample as module
from landmap.scene.raster_source import RasterSource
from landmap.scene.sample import ENOUGH, PlaceMemory, places_with_data, sample
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

WriteScene = Callable[..., Path]
Draw = Callable[..., npt.NDArray[np.uint16]]
SIZE, AT, SIDE = 1600, 450, 300
"""A scene whose data lie between its 25 places, as a farm cut out of a tile that keeps the tile's extent."""


def farm(values: npt.NDArray[Any], fill: float, size: int = SIZE, at: int = AT) -> npt.NDArray[Any]:
    whole = np.full((len(values), size, size), fill, values.dtype)
    whole[:, at : at + values.shape[1], at : at + values.shape[2]] = values
    return whole


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**choices), card=FAKE_CARD)


def decided(path: Path, **choices: Any) -> tuple[Any, ...]:
    found = opened(path, **choices).radiometry
    return found.scale, found.offset, found.level, found.origins


def test_no_place_is_read_twice(write_scene: WriteScene, ordinary: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled, compared with near infrared and further bands, and judged by a rule of nodata that follows from it."""
    values = ordinary(700, 900)
    values[0, :200] = 0  # dark, or no data, as the offset says
    path = write_scene(np.concatenate([values, values[:2]]), bands=("B04", "B03", "B02", "B08", "B05"), nodata=0)
    asked: Counter[tuple[Any, ...]] = Counter()
    read, read_many = RasterSource.read, RasterSource.read_many

    def count(self: RasterSource, window: Window, *rest: Any) -> Any:
        asked[self.band_indexes, window] += 1
        return read(self, window, *rest)

    def count_many(self: RasterSource, windows: Any, fills: Any) -> Any:
        asked.update((self.band_indexes, window) for window in windows)
        return read_many(self, windows, fills)

    monkeypatch.setattr(RasterSource, "read", count)
    monkeypatch.setattr(RasterSource, "read_many", count_many)
    scene = open_scene(path, Settings(offset=-1000, scale="dn", level="L2A"))  # for the packaged model
    assert scene.nir is not None
    assert scene.further is not None
    assert not scene.source.nodata.has_dark_zeros
    assert {bands for bands, _ in asked} == {(1, 2, 3), (4,), (5,)}
    assert set(asked.values()) == {1}


def test_a_stricter_rule_is_that_of_reading_anew(write_scene: WriteScene, ordinary: Draw) -> None:
    values = ordinary(300, 300)
    values[0, 50:120] = 0
    source = opened(write_scene(values, nodata=0)).source
    strict = replace(source.nodata, has_dark_zeros=False)
    memory = PlaceMemory()
    memory.read(source)
    found = memory.read(memory.with_nodata(source, strict))[0]
    anew = PlaceMemory().read(replace(source, nodata=strict))[0]
    for one, other, lenient in zip(found, anew, memory.read(source)[0], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        assert (lenient[1] >= one[1]).all()
    assert not all(valid.all() for _, valid in found)


def test_an_ordinary_scene_is_read_at_25_places_and_nowhere_else(
    write_scene: WriteScene, ordinary: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = ordinary(700, 900)
    monkeypatch.setattr(module, "_search", lambda *_: pytest.fail("nothing is to be searched"))
    found = sample(opened(write_scene(values, nodata=0)).source)
    rows, cols = ([round((n - 64) * i / 4) for i in range(5)] for n in (700, 900))
    expected = [values[:, r : r + 64, c : c + 64].reshape(3, -1).T for r in rows for c in cols]
    np.testing.assert_array_equal(found.values, np.concatenate(expected))
    assert not found.complete


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("added", [0, 1000])
def test_data_between_the_places_decide_as_they_would_alone(
    dtype: str, added: int, write_scene: WriteScene, ordinary: Draw
) -> None:
    values = (ordinary(SIDE, SIDE) // 3 + added).astype(dtype)
    fill = np.nan if dtype == "float32" else 0
    alone, hidden = write_scene(values, "alone.tif"), write_scene(farm(values, fill), "hidden.tif")
    assert decided(hidden) == decided(alone)
    warnings = opened(alone).radiometry.warnings
    assert opened(hidden).radiometry.warnings == warnings
    assert any("--offset -1000" in text for text in warnings) == (added == 1000)


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True},
        {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"},
    ],
)
def test_data_are_found_in_any_layout(profile: dict[str, Any], write_scene: WriteScene, ordinary: Draw) -> None:
    values = ordinary(SIDE, SIDE) // 3
    path = write_scene(farm(values, np.uint16(0)), f"hidden.{'jp2' if 'QUALITY' in profile else 'tif'}", **profile)
    found = sample(opened(path, bands="1,2,3").source)
    wanted = {tuple(pixel) for pixel in values.reshape(3, -1).T.tolist()}
    assert len(found.values) >= ENOUGH
    assert {tuple(pixel) for pixel in found.values.astype(int).tolist()} <= wanted


def test_overviews_show_where_data_are_and_are_not_what_is_sampled(write_scene: WriteScene, ordinary: Draw) -> None:
    values = ordinary(SIDE, SIDE)
    path = write_scene(farm(values, np.uint16(0)), "hidden.tif")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    found = sample(opened(path).source)
    assert len(found.values) >= ENOUGH
    assert set(found.values[:, 0].tolist()) <= set(values[0].ravel().tolist())


@given(
    st.integers(321, 700), st.integers(321, 700), st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0, 1])
)
@settings(max_examples=25)
def test_every_pixel_with_data_counts_where_few_have_some(
    height: int, width: int, seed: int, side: int, extra: int
) -> None:
    """Against a plain search in NumPy; what there is comes out to the last pixel, in the scene's order of places."""
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    values = np.zeros((3, height, width), np.uint16)
    values[:, row : row + side, col : col + side] = rng.integers(1, 4000, (3, side, side))
    values[:, rng.integers(0, height), rng.integers(0, width)] = extra
    with rasterio.MemoryFile() as memory:
        place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
        with memory.open(driver="GTiff", count=3, height=height, width=width, dtype="uint16", **place) as file:
            file.write(values)
            file.descriptions = ("B04", "B03", "B02")
        found = sample(opened(Path(memory.name)).source)
    there = values.reshape(3, -1).T
    expected = there[there.any(axis=1)]
    assert sorted(map(tuple, found.values.tolist())) == sorted(map(tuple, expected.tolist()))
    assert found.complete


def test_a_scene_without_data_is_empty_and_not_unseen(write_scene: WriteScene) -> None:
    path = write_scene(np.full((3, 700, 700), np.nan, np.float32))
    found = sample(opened(path).source)
    assert found.complete
    assert not len(found.values)
    assert not any("no pixel was looked at" in text for text in landmap.plan(path, card=FAKE_CARD).warnings)


def test_what_was_not_looked_at_is_said_or_refused(
    write_scene: WriteScene, ordinary: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scene too large to be searched all over; here, of which one strip in two is."""
    monkeypatch.setattr(module, "SEARCHED", SIZE * SIZE // 2)
    values = farm(ordinary(60, 60), np.uint16(0), at=64 * 3 + 2)
    assert any("no pixel was looked at" in w for w in landmap.plan(write_scene(values), card=FAKE_CARD).warnings)
    floats = write_scene(np.where(values, values, np.nan).astype(np.float32))
    with pytest.raises(SceneError, match=r"no pixel was looked at\. Say which: --scale dn, or --scale reflectance"):
        opened(floats)
    assert opened(floats, scale="dn").radiometry.scale == (1e-4,) * 3


def test_a_few_pixels_decide_nothing(write_scene: WriteScene) -> None:
    values = farm(np.full((3, 7, 7), 300, np.uint16), np.uint16(0))
    made = landmap.plan(write_scene(values), card=replace(FAKE_CARD, levels=("L1C",)))
    assert made.scene.radiometry.origins["level"] == "assumed: L1C, the model's own"
    assert any("only 49 pixels with data were found" in text for text in made.warnings)
    one = write_scene(farm(np.full((3, 1, 1), 300, np.float32), np.nan))
    with pytest.raises(SceneError, match="only 1 pixels with data were found"):
        opened(one)


def test_what_a_mask_hides_is_not_sampled_unless_nothing_else_is_there(
    write_scene: WriteScene, write_band: Callable[..., Path], ordinary: Draw, tmp_path: Path
) -> None:
    values = np.full((3, SIZE, SIZE), 9000, np.uint16)
    land = ordinary(SIDE, SIDE) // 3
    values[:, AT : AT + SIDE, AT : AT + SIDE] = land
    path = write_scene(values)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[AT : AT + SIDE, AT : AT + SIDE] = 1
    masked = opened(path, mask=write_band(tmp_path / "mask.tif", mask))
    assert "darkest B02" in masked.radiometry.origins["level"]
    assert not any("brighter" in text for text in masked.radiometry.warnings)
    nothing = opened(path, mask=write_band(tmp_path / "nothing.tif", mask * 0))
    assert nothing.radiometry == opened(path).radiometry


def test_places_with_data_hold_data_from_the_first_row_to_the_last(write_scene: WriteScene) -> None:
    seen = np.zeros((1000, 700), bool)
    rows = np.arange(1000)
    seen[rows, rows * 600 // 1000] = True  # a line one pixel wide
    path = write_scene(np.where(seen, 500, 0).astype(np.uint16)[None].repeat(3, axis=0))
    places = places_with_data(opened(path).source)
    assert all(seen[p.row_off : p.row_off + p.height, p.col_off : p.col_off + p.width].any() for p in places)
    assert {p.row_off for p in places} == set(range(0, 1000, 64))


def test_window_is_used_by_reading_only_there(write_scene: WriteScene, ordinary: Draw) -> None:
    """A part is a scene of its own: what lies outside of it is not sampled."""
    values = np.full((3, 800, 800), 9000, np.uint16)
    values[:, 100:400, 100:400] = ordinary(300, 300)
    scene = opened(write_scene(values), window=(100, 100, 300, 300))
    assert sample(scene.source).values.max() < 9000
    assert scene.read(Window(0, 0, 8, 8)).valid.all()
