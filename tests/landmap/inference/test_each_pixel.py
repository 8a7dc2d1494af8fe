"""Models that answer for each pixel by themselves: their map is that of the scene, however it was cut."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import landmap
from landmap.errors import SettingsError
from landmap.inference import methods, precision
from landmap.inference.methods import EachPixel, each_pixel
from landmap.inference.predict import ChunkSettings, chunk_windows, cover_chunk
from landmap.pixels import Pixels
from landmap.tiling import Grid
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.inference.per_pixel import KerasPixelModel
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.card import BandProfile, ModelCard

Floats = npt.NDArray[np.float32]
CLASSES = len(FAKE_CARD.legend)
CARD = dataclasses.replace(FAKE_CARD, name="pixels", answers="pixel", margin=6, step=2, chip_size=16)
ENDLESS = dataclasses.replace(CARD, margin=None)
FURTHER = tuple(BandProfile(name, 0.1, 0.2, 0.4, 0.25) for name in ("B08", "B11"))


@dataclass(frozen=True)
class Neighbours:
    """Answers by the pixel, by the one as far away as the margin allows, by its phase, and by what lies beyond."""

    card: ModelCard = CARD

    def predict(self, chips: Floats) -> Floats:
        raise NotImplementedError

    def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
        assert values.shape[-1] == len(bands)
        reach = self.card.margin if self.card.margin is not None else 3
        phase = np.add.outer(np.arange(values.shape[0]) % 2, 3 * (np.arange(values.shape[1]) % 2))
        total = values.sum(axis=-1) + phase
        for axis in (0, 1):
            for shift in (-reach, reach):
                total = total + (shift + 9) * np.roll(values[..., 0], shift, axis=axis)
        if self.card.margin is None:
            total = total + values.mean()
        scores = np.stack([1.5 + np.sin(total * (i + 3)) for i in range(CLASSES)], axis=-1)
        answers: Floats = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)
        return answers


def mapped(pixels: Pixels, model: Any, rows: int, cols: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Probabilities, and classes above confidence, of a scene in chunks of so many pixels, put together."""
    height, width = pixels.valid.shape
    names = tuple(band.name for band in model.card.optional) if pixels.further is not None else ()
    method = each_pixel(model.card, (*model.card.band_names, *names), height, width)
    grid = Grid(height, width, method.size, method.stride, model.card.margin or 0)
    probabilities = np.full((height, width, CLASSES), np.nan, np.float32)
    cover = np.full((2, height, width), 99, np.uint8)
    for chunk in grid.chunks(rows, cols):
        read, own = grid.read_window(chunk), grid.owned_window(chunk)
        part = np.s_[read.row_off : read.row_off + read.height, read.col_off : read.col_off + read.width]
        further = None if pixels.further is None else pixels.further[part]
        cut = Pixels(pixels.values[part], pixels.valid[part], further=further)
        place = np.s_[own.row_off : own.row_off + own.height, own.col_off : own.col_off + own.width]
        probabilities[place], _ = chunk_windows(cut, grid, chunk, model, ChunkSettings(method))
        found = cover_chunk(cut, grid, chunk, model, ChunkSettings(method))
        cover[(slice(None), *place)] = found.classes, found.confidence
    return probabilities, cover


def land(height: int, width: int, seed: int, bands: int = 3) -> Pixels:
    rng = np.random.default_rng(seed)
    return Pixels(rng.random((height, width, bands), np.float32) * 0.3, rng.random((height, width)) < 0.95)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 50), st.integers(1, 50), st.booleans(), st.integers(0, 9))
def test_a_map_of_pixels_is_that_of_the_scene_however_it_is_cut(
    height: int, width: int, rows: int, cols: int, finite: bool, seed: int
) -> None:
    model, pixels = Neighbours(CARD if finite else ENDLESS), land(height, width, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "LONGEST", 16)
        (_, whole), (_, cut) = mapped(pixels, model, height, width), mapped(pixels, model, rows, cols)
        np.testing.assert_array_equal(cut, whole)
    np.testing.assert_array_equal(whole[0] == 255, ~pixels.valid)


@given(st.integers(3, 60), st.integers(3, 60), st.integers(8, 40), st.integers(0, 9))
def test_windows_of_a_finite_margin_give_what_the_whole_mirrored_scene_gives(
    height: int, width: int, longest: int, seed: int
) -> None:
    pixels = land(height, width, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "LONGEST", longest)
        found, _ = mapped(pixels, Neighbours(), 20, 24)
    mean = np.array([band.mean for band in CARD.bands], np.float32)
    filled = np.where(pixels.valid[..., None], pixels.values, mean)
    around = np.pad(filled, ((6, 7), (6, 7), (0, 0)), "reflect")
    whole = Neighbours().predict_pixels(around, CARD.band_names)[6 : 6 + height, 6 : 6 + width]
    np.testing.assert_allclose(found[pixels.valid], whole[pixels.valid], atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_windows_that_are_blended_leave_no_gap(height: int, width: int, rows: int) -> None:
    """Windows that answer alike give just that, wherever and however often a pixel lies in one."""

    class Same(Neighbours):
        def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
            answers = np.zeros((*values.shape[:2], CLASSES), np.float32)
            answers[..., 2], answers[..., 7] = 0.25, 0.75
            return answers

    found, cover = mapped(land(height, width, 1), Same(ENDLESS), rows, rows)
    valid = land(height, width, 1).valid
    np.testing.assert_allclose(found[valid].sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(found[valid][:, 7], 0.75, atol=1e-6)
    assert (cover[0] == np.where(valid, 7, 255)).all()
    assert (cover[1] == np.where(valid, 75, 255)).all()


def test_bands_that_may_be_missing_are_told_by_name_and_filled_by_their_mean() -> None:
    class Seen(Neighbours):
        def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
            seen.append((values, bands))
            return super().predict_pixels(values, bands)

    seen: list[tuple[Floats, tuple[str, ...]]] = []
    rng = np.random.default_rng(0)
    further = rng.random((20, 18, 2)).astype(np.float32)
    further[3, 4, 1] = np.nan
    pixels = dataclasses.replace(land(20, 18, 2), further=further)
    mapped(pixels, Seen(dataclasses.replace(CARD, optional=FURTHER)), 99, 99)
    values, bands = seen[0]
    assert bands == ("B04", "B03", "B02", "B08", "B11")
    inner = values[6:26, 6:24]
    wanted = np.where(pixels.valid[..., None] & np.isfinite(further), further, np.float32(0.25))
    np.testing.assert_array_equal(inner[..., 3:], wanted)
    mapped(dataclasses.replace(pixels, further=None), Seen(dataclasses.replace(CARD, optional=FURTHER)), 99, 99)
    assert seen[-1][1] == ("B04", "B03", "B02")


def small_network(seed: int, *, pooled: bool) -> Any:
    """A network of random weights that halves and doubles its pixels, and of which answers reach 4 px."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(5, 3, padding="same", activation="relu")(layers.Rescaling(5.0)(inputs))
    y = layers.Conv2D(6, 2, strides=2, activation="relu")(x)
    y = layers.UpSampling2D(interpolation="bilinear")(layers.DepthwiseConv2D(3, padding="same")(y))
    x = layers.Concatenate()([x, y])
    if pooled:
        x = layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax")(x))


@settings(max_examples=4, phases=[Phase.generate])
@given(st.integers(0, 99), st.integers(5, 60), st.integers(5, 60), st.integers(4, 40), st.booleans())
def test_a_map_of_a_random_network_is_the_same_to_the_byte_however_it_is_cut(
    seed: int, height: int, width: int, side: int, pooled: bool
) -> None:
    card, pixels = ENDLESS if pooled else CARD, land(height, width, seed)
    model = KerasPixelModel(small_network(seed, pooled=pooled), card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "LONGEST", 16)
        (_, whole), (_, cut) = mapped(pixels, model, height, width), mapped(pixels, model, side, side)
    np.testing.assert_array_equal(cut, whole)
    assert len(np.unique(whole[0])) > 1


def test_a_run_by_a_file_is_gone_on_with_after_it_was_stopped(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "LONGEST", 40)
    model = tmp_path / "net.keras"
    small_network(3, pooled=False).save(model)
    write_card(model, dataclasses.replace(CARD, weights_sha256=""))
    how: dict[str, Any] = {"model": str(model), "level": "L1C", "chunk": 40, "threads": 1}

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    once, again = tmp_path / "once.tif", tmp_path / "again.tif"
    landmap.classify(scene, once, **how)
    with pytest.raises(KeyboardInterrupt):
        landmap.classify(scene, again, progress=stop, **how)
    assert landmap.classify(scene, again, **how).reused > 2
    assert once.read_bytes() == again.read_bytes()


def test_windows_are_chosen_by_the_scene_alone_and_waste_little() -> None:
    card = dataclasses.replace(CARD, margin=24)
    assert each_pixel(card, ["B04"], 10980, 10980).size == 500
    assert each_pixel(card, ["B04"], 100, 37).size == 100
    assert each_pixel(dataclasses.replace(card, step=8), ["B04"], 3, 5).size == 8
    assert each_pixel(dataclasses.replace(card, step=600, margin=600), ["B04"], 9000, 9000).size == 600
    assert each_pixel(ENDLESS, ["B04"], 9000, 9000) == EachPixel(16, None, ("B04",))


def test_answers_that_are_no_probabilities_are_refused() -> None:
    class Logits(Neighbours):
        def predict_pixels(self, values: Floats, bands: tuple[str, ...]) -> Floats:
            return super().predict_pixels(values, bands) * 9

    with pytest.raises(ModelError, match="probabilities from 0 to 1"):
        mapped(land(9, 9, 0), Logits(), 9, 9)


@pytest.fixture
def scene(write_scene: Any, ordinary: Any) -> Path:
    values = ordinary(150, 170)
    values[:, 30:60, 100:140] = 0
    path: Path = write_scene(values, nodata=0)
    return path


def test_all_outputs_have_cells_of_a_pixel_and_are_the_same_however_cut(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "LONGEST", 40)
    files = []
    for chunk, threads in ((200, 2), (40, 1)):
        folder = scene.parent / str(chunk)
        folder.mkdir()
        result = landmap.classify(
            scene,
            folder / "cover.tif",
            classifier=Neighbours(dataclasses.replace(CARD, weights_sha256="0" * 64)),
            confidence=folder / "confidence.tif",
            probabilities=folder / "probabilities.tif",
            derived=landmap.Derived(vector=folder / "cover.gpkg", summary=folder / "areas.csv"),
            report=folder / "report.html",
            level="L1C",
            offset=0,
            sieve=4,
            chunk=chunk,
            threads=threads,
        )
        files.append([folder / f"{name}.tif" for name in ("cover", "confidence", "probabilities")])
        assert result.plan.cell == 1
        assert (result.plan.num_chunks > 1) == (chunk == 40)
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    with rasterio.open(files[0][0]) as cover, rasterio.open(scene) as read:
        classes, data = cover.read(1), read.read(1) != 0
        assert cover.tags()["LANDMAP_CELL"] == "1"
    assert ((classes != 255) == data).all()
    assert "a class is what that neighbourhood is" not in (scene.parent / "200/report.html").read_text()


def test_settings_of_cells_are_refused(scene: Path) -> None:
    for choice in ({"stride": 8}, {"smooth": True}, {"detail": "chip"}):
        with pytest.raises(SettingsError, match=f"no {next(iter(choice))} with pixels"):
            landmap.plan(scene, card=CARD, **choice)
    assert "6 px around" in str(landmap.plan(scene, card=CARD, detail="pixel"))


def test_a_reduced_precision_is_tried_on_pixels(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landmap_models.inference import tensorflow

    monkeypatch.setattr(methods, "LONGEST", 64)
    monkeypatch.setattr(precision, "FEW_WINDOWS", 1)
    monkeypatch.setattr(tensorflow, "fast_precision", lambda device: "bfloat16")
    model = tmp_path / "net.keras"
    small_network(3, pooled=False).save(model)
    write_card(model, dataclasses.replace(CARD, weights_sha256=""))
    found = precision.choose_precision(landmap.plan(scene, model=str(model), level="L1C"))
    words = re.fullmatch(
        r"(\w+): ([\d.]+) % of ([\d,]+) sampled pixels have the same class in bfloat16 as .*", found.reason
    )
    assert words
    assert (words[1] == "bfloat16") == (float(words[2]) >= 99.9)
    assert int(words[3].replace(",", "")) == 150 * 170 - 30 * 40
