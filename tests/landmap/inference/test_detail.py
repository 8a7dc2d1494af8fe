"""Maps of single pixels from two networks: what a pixel gets depends on the scene, never on how it was cut."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

import landmap
from landmap.errors import SettingsError
from landmap.inference.detail import detail_settings, pixel_factors
from landmap.inference.stitch import smooth_cover
from landmap.pixels import Pixels
from landmap.tiling import Grid
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.archive import PIXELS_MEMBER
from landmap_models.model_file.card import BandProfile, ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.model_file.pixels import PixelPart

Floats = npt.NDArray[np.float32]
CLASSES = len(FAKE_CARD.legend)
PART = PixelPart(
    bands=("B02", "B03", "B04", "B08"),
    middle=(0.1, 0.1, 0.1, 0.2),
    classes=("wet", "dry"),
    fits=tuple((1.0, 0.1) if i % 2 else (0.1, 1.0) for i in range(CLASSES)),
    margin=16,
    step=8,
    chip_exponent=0.5,
    pixel_exponent=1.0,
    floor=0.01,
    sha256="",
)
CARD = dataclasses.replace(FAKE_CARD, pixels=PART, weights_sha256="")


@dataclass(frozen=True)
class TwoNetworks:
    """Chips by their mean; pixels by neighbours as far away as the margin allows, and by their phase."""

    card: ModelCard = CARD

    def predict(self, chips: Floats) -> Floats:
        classes = (chips.mean(axis=(1, 2, 3), dtype=np.float64) * 20_000).astype(int) % CLASSES
        return np.eye(CLASSES, dtype=np.float32)[classes]

    def pixel_factors(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        assert values.shape[-1] == len(bands)
        phase = np.add.outer(np.arange(values.shape[0]) % 8, np.arange(values.shape[1]) % 8)
        total = values.sum(axis=-1) * (1 + phase / 10)
        for axis in (0, 1):
            for shift in (-15, 7, 15):
                total = total + shift * np.roll(values[..., 0], shift, axis=axis)
        return np.stack([1.5 + np.sin(total * (i + 3)) for i in range(CLASSES)]).astype(np.float32)


def whole(pixels: Pixels, grid: Grid) -> Floats:
    """Pixel factors of a scene in one chunk."""
    return factors(pixels, grid, grid.height, grid.width)


def factors(pixels: Pixels, grid: Grid, rows: int, cols: int) -> Floats:
    """Pixel factors of a scene in chunks of so many pixels, put together."""
    chunks = list(grid.chunks(rows, cols, margin=1))
    how = detail_settings(PART, ("B04", "B03", "B02"), [grid.owned_window(chunk) for chunk in chunks], 64)
    out = np.full((CLASSES, grid.height, grid.width), np.nan, np.float32)
    for chunk in chunks:
        read, own = grid.read_window(chunk), grid.owned_window(chunk)
        part = np.s_[read.row_off : read.row_off + read.height, read.col_off : read.col_off + read.width]
        cut = Pixels(pixels.values[part], pixels.valid[part])
        out[:, own.row_off : own.row_off + own.height, own.col_off : own.col_off + own.width] = pixel_factors(
            cut, grid, chunk, TwoNetworks(), how
        )
    return out


@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.sampled_from([8, 24, 56, 64]),
    st.sampled_from([8, 40, 64]),
    st.integers(0, 9),
)
def test_factors_are_those_of_the_scene_however_it_is_cut(
    height: int, width: int, rows: int, cols: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((height, width)) < 0.9
    pixels = Pixels(rng.random((height, width, 3), np.float32), valid)
    grid = Grid(height, width, 64, 8)
    np.testing.assert_array_equal(factors(pixels, grid, rows, cols), whole(pixels, grid))


def test_the_network_gets_its_bands_in_its_order_and_mirrors_beyond_every_edge() -> None:
    class Seen(TwoNetworks):
        def pixel_factors(self, values: Floats, bands: tuple[str, ...]) -> Floats:
            seen.append((values, bands))
            return np.ones((CLASSES, *values.shape[:2]), np.float32)

    seen: list[tuple[Floats, tuple[str, ...]]] = []
    rng = np.random.default_rng(0)
    values, valid = rng.random((40, 30, 3), np.float32), np.ones((40, 30), bool)
    valid[3, 4] = False
    spectrum = rng.random((40, 30, 3)).astype(np.float32)
    spectrum[5, 6, 2] = np.nan
    grid = Grid(40, 30, 64, 8)
    (chunk,) = grid.chunks(64, 64, margin=1)
    how = detail_settings(PART, ("B04", "B03", "B02", "B08"), [grid.owned_window(chunk)], 64)
    found = pixel_factors(Pixels(values, valid, spectrum), grid, chunk, Seen(), how)
    assert found.shape == (CLASSES, 40, 30)
    ((given_values, bands),) = seen
    assert bands == ("B02", "B03", "B04", "B08")
    wanted = np.concatenate([values[..., ::-1], spectrum[..., 2:]], axis=-1)
    wanted[3, 4], wanted[5, 6, 3] = PART.middle, PART.middle[3]
    mirrored = np.pad(wanted, ((16, 16), (16, 16), (0, 0)), "reflect")
    np.testing.assert_array_equal(given_values[: mirrored.shape[0], : mirrored.shape[1]], mirrored)
    assert not given_values[mirrored.shape[0] :].any()


def test_scores_are_the_product_of_both_factors_as_the_rule_says() -> None:
    rng = np.random.default_rng(1)
    cells, own = rng.random((3, 4, CLASSES), np.float32), rng.random((24, 32, CLASSES), np.float32)
    valid = rng.random((24, 32)) < 0.9
    found = smooth_cover(
        PART.chip_factor(cells), (0, 0), valid, 8, factors=np.moveaxis(own, -1, 0), keep_probabilities=True
    )
    factor = (cells.astype(np.float64) + PART.floor) ** PART.chip_exponent
    centres = [8 * np.arange(n) + 3.5 for n in (3, 4)]
    down = np.apply_along_axis(lambda v: np.interp(np.arange(24), centres[0], v), 0, factor)
    scores = np.apply_along_axis(lambda v: np.interp(np.arange(32), centres[1], v), 1, down) * own
    percent = 100 * scores / scores.sum(axis=-1, keepdims=True)
    assert found.probabilities is not None
    np.testing.assert_allclose(np.moveaxis(found.probabilities, 0, -1)[valid], percent[valid], atol=0.51)
    np.testing.assert_array_equal(found.classes, np.where(valid, scores.argmax(axis=-1), 255))
    np.testing.assert_array_equal(found.confidence, np.where(valid, found.probabilities.max(axis=0), 255))


def test_a_cell_of_which_nothing_is_known_has_no_chip_factor() -> None:
    assert not PART.chip_factor(np.zeros((2, CLASSES), np.float32)).any()


@pytest.fixture
def scene(write_scene: Any, ordinary: Any) -> Path:
    values = ordinary(150, 170)
    values[:, 30:60, 100:140] = 0
    path: Path = write_scene(values, nodata=0)
    return path


def pixel_map(scene: Path, name: str, **choices: Any) -> Path:
    output = scene.with_name(name)
    landmap.classify(scene, output, classifier=TwoNetworks(), detail="pixel", level="L1C", offset=0, **choices)
    return output


def test_a_file_is_the_same_however_it_was_cut(scene: Path) -> None:
    once, often = pixel_map(scene, "a.tif", chunk=200), pixel_map(scene, "b.tif", chunk=40, threads=1)
    assert once.read_bytes() == often.read_bytes()
    with rasterio.open(once) as cover, rasterio.open(scene) as read:
        classes, data = cover.read(1), read.read(1) != 0
        assert cover.tags()["LANDMAP_CELL"] == "1"
    assert ((classes != 255) == data).all()
    inner = classes[100:, :90]
    assert (inner[::2, ::2] != inner[1::2, 1::2]).mean() > 0.1  # finer than any cell


def test_detail_is_refused_or_left_out_where_it_can_not_be(scene: Path, sensitive: Any) -> None:
    with pytest.raises(SettingsError, match="network for pixels"):
        landmap.plan(scene, detail="pixel", card=sensitive.card)
    for other in ({"stride": 8}, {"smooth": True}):
        with pytest.raises(SettingsError, match=next(iter(other))):
            landmap.Settings(detail="pixel", **other)
        assert not landmap.plan(scene, card=CARD, **other).detail
    assert not landmap.plan(scene, card=CARD, detail="chip").detail


def test_a_file_without_the_network_that_its_card_tells_of_is_refused_by_the_plan(scene: Path, tmp_path: Path) -> None:
    without = tmp_path / "without.keras"
    with zipfile.ZipFile(find_model("default")) as old, zipfile.ZipFile(without, "w") as new:
        for name in old.namelist():
            if name != PIXELS_MEMBER:
                new.writestr(name, old.read(name))
    with pytest.raises(ModelError, match=r"expected a further network inside .*--detail chip"):
        landmap.plan(scene, model=str(without))
    assert not landmap.plan(scene, model=str(without), detail="chip").detail


@pytest.mark.parametrize(
    ("card", "text"),
    [
        (CARD, "B08: one of the further bands that the model can use"),
        (dataclasses.replace(CARD, pixels=None), "B08: not known to the model: true colour only"),
        (
            dataclasses.replace(CARD, pixels=None, bands=(*CARD.bands, BandProfile("B08", 0.1, 0.2, 0.4, 0.2))),
            "B08: one of the model's own bands",
        ),
        (
            dataclasses.replace(CARD, pixels=None, bands=(*CARD.bands, BandProfile("B11", 0.1, 0.2, 0.4, 0.2))),
            "B08: not known to the model",
        ),
    ],
)
def test_what_is_said_of_b08_is_true_of_the_model(card: ModelCard, text: str, write_scene: Any, ordinary: Any) -> None:
    values = ordinary(80, 80)
    path = write_scene(np.concatenate([values, values[:2]]), bands=("B04", "B03", "B02", "B08", "B11"))
    assert landmap.plan(path, card=card, level="L1C", offset=0, detail="auto").nir == text
