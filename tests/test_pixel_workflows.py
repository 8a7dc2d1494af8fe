"""The arithmetic of the recipe for the pixel network."""

from __future__ import annotations

import csv
import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
POINTS = ROOT / "tests" / "data" / "drawn_points.csv"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A function that imports a module of the recipe."""
    monkeypatch.syspath_prepend(str(ROOT / "workflows/pixels"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_iou_by_hand(recipe) -> None:  # type: ignore[no-untyped-def]
    scores = recipe("pixel_scores")
    counts = scores.crosstab(np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 1, 2, 3, 2]))
    assert scores.ious(counts).tolist() == [1 / 2, 1 / 2, 1 / 2, 1 / 2]
    assert scores.agreement(counts) == pytest.approx(4 / 6)


def test_the_interval_holds_the_value(recipe) -> None:  # type: ignore[no-untyped-def]
    scores = recipe("pixel_scores")
    tables = np.random.default_rng(0).integers(0, 50, (30, 4, 4)) + 200 * np.eye(4, dtype=int)
    low, high = scores.interval(tables)
    assert low < scores.ious(tables.sum(axis=0)).mean() < high


def test_each_network_can_outvote_the_other(recipe) -> None:  # type: ignore[no-untyped-def]
    """Of two kinds of water the chip network chooses; that it is water, the pixel network says."""
    fusion, legend = recipe("pixel_fusion"), recipe("landmap_models.legend").EUROSAT
    chip = np.full(10, 0.01)
    chip[legend.names.index("SeaLake")], chip[legend.names.index("Forest")] = 0.1, 0.82
    pixel = np.full(9, 0.005)
    pixel[recipe("pixel_data").CLASSES.index("water")] = 0.96
    scores = fusion.fuse(chip, pixel, 0.5, 1.0)
    assert legend.names[int(scores.argmax())] == "SeaLake"
    assert scores.sum() == pytest.approx(1, abs=1e-6)
    by_hand = (0.1 + 0.005) ** 0.5 * (0.96 + 0.02 * 0.04)
    forest = (0.82 + 0.005) ** 0.5 * (0.005 + 0.02 * 0.995)
    assert scores[legend.names.index("Forest")] / scores.max() == pytest.approx(forest / by_hand, rel=1e-4)


def test_groups_of_both_legends(recipe) -> None:  # type: ignore[no-untyped-def]
    scores, data = recipe("pixel_scores"), recipe("pixel_data")
    legend = recipe("landmap_models.legend").EUROSAT
    of_pixels = {name: scores.GROUPS[g] for name, g in zip(data.CLASSES, scores.OF_PIXEL_CLASS, strict=True)}
    assert (of_pixels["water"], of_pixels["trees"], of_pixels["built"]) == ("water", "forest", "built")
    assert set(Counter(of_pixels.values()).values()) == {1, 6}
    of_chips = {name: scores.GROUPS[g] for name, g in zip(legend.names, scores.OF_CHIP_CLASS, strict=True)}
    assert [name for name, group in of_chips.items() if group == "built"] == ["Highway", "Industrial", "Residential"]
    assert [name for name, group in of_chips.items() if group == "water"] == ["River", "SeaLake"]


def test_patches_make_squares(recipe) -> None:  # type: ignore[no-untyped-def]
    batches = recipe("pixel_batches")
    values = np.arange(16 * 4 * 4, dtype=np.float32).reshape(16, 4, 4, 1)
    square = batches._assembled(values, 4)
    assert square.shape == (1, 16, 16, 1)
    for i in range(16):
        row, col = divmod(i, 4)
        assert np.array_equal(square[0, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4], values[i])


def test_batches_come_again(recipe) -> None:  # type: ignore[no-untyped-def]
    batches = recipe("pixel_batches")
    rng = np.random.default_rng(0)
    chips = batches.Part(rng.random((5, 64, 64, 10), np.float32), np.full((5, 64, 64, 9), 1 / 9, np.float32))
    patches = batches.Part(rng.random((40, 16, 16, 10), np.float32), np.zeros((40, 16, 16, 9), np.float32))
    colour = batches.Part(
        rng.integers(0, 256, (5, 64, 64, 3), np.uint8), rng.integers(0, 256, (5, 64, 64, 9), np.uint8)
    )
    first, again = (batches.PixelBatches(chips, patches, colour, (2, 2, 2), 3, seed=4)[1] for _ in range(2))
    (pictures, there), answers, weights = first
    for one, other in zip((pictures, there, answers, weights), (*again[0], *again[1:]), strict=True):
        assert np.array_equal(one, other)
    assert pictures.shape == (6, 64, 64, 10)
    assert np.array_equal(there[4:], [batches.RGB] * 2), "true-colour chips have no other bands"
    assert (there[:, batches.RGB] == 1).all()
    np.testing.assert_allclose(answers[4:].sum(axis=-1), 1, atol=1e-5)
    assert (weights[2:4] == 0).all(), "pixels without a label do not count"


def test_canvases_come_again_and_hold_only_what_is_given(recipe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    made, data = recipe("pixel_canvases"), recipe("pixel_data")
    asked: list[np.ndarray] = []

    def teach(folder: Path, pictures: np.ndarray) -> np.ndarray:
        asked.append(pictures)
        return np.full((*pictures.shape[:3], 9), 1 / 9, np.float32)

    monkeypatch.setattr(made, "teach", teach)
    rng = np.random.default_rng(0)
    unlabelled = [np.zeros(0), np.zeros(0), np.zeros(0)]
    chips = data.Labelled(rng.uniform(0.1, 0.3, (3, 64, 64, 10)).astype(np.float32), *unlabelled)
    patches = data.Labelled(rng.uniform(0.1, 0.3, (9, 16, 16, 10)).astype(np.float32), *unlabelled)
    (pictures, answers), (again, _) = (made.canvases(chips, patches, Path("no"), 3, seed=5) for _ in range(2))
    assert np.array_equal(pictures, again)
    assert pictures.shape == (3, 256, 256, 10)
    assert answers.shape == (3, 256, 256, 9)
    assert (answers == 28).all(), "255 times a ninth"
    assert np.array_equal(np.concatenate(asked[: len(asked) // 2]), pictures.astype(np.float32)), "of these it is asked"
    assert 0.1 * 0.6 * 0.8 < pictures.min() <= pictures.max() < 0.3 * 1.5 * 1.2, "nothing but them, their gains varied"


def test_pieces_of_canvases_keep_their_answers(recipe) -> None:  # type: ignore[no-untyped-def]
    batches = recipe("pixel_batches")
    place = np.arange(80 * 80, dtype=np.float32).reshape(1, 80, 80, 1)
    canvases = batches.Part(np.repeat(place, 10, axis=-1), (place % 200 + np.arange(9)).astype(np.uint8))
    pictures, answers = batches._cut(canvases, 4, np.random.default_rng(1))
    assert pictures.shape == (4, 64, 64, 10)
    told = pictures[..., :1] % 200 + np.arange(9)
    np.testing.assert_allclose(answers, told / told.sum(axis=-1, keepdims=True), rtol=1e-5)


def test_weights_are_averaged_and_rounded(recipe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import keras

    network = recipe("pixel_network")
    paths = [tmp_path / "one.keras", tmp_path / "two.keras"]
    kept = []
    for seed, path in enumerate(paths):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.save(path)
        kept.append(model.get_weights())
    network.average_and_round(paths, tmp_path / "mean.keras")
    for found, one, two in zip(keras.models.load_model(tmp_path / "mean.keras").get_weights(), *kept, strict=True):
        assert np.array_equal(found, found.astype(np.float16))
        np.testing.assert_allclose(found, (one + two) / 2, rtol=1e-3)


def test_the_drawn_points() -> None:
    with POINTS.open(encoding="utf-8", newline="") as file:
        points = list(csv.DictReader(file))
    assert len(points) == len({(p["scene"], p["row"], p["col"]) for p in points})
    assert Counter(p["group"] for p in points) == {"open": 142, "forest": 57, "built": 55, "water": 33}
    assert Counter(p["drawn"] for p in points) == {"grid": 213, "box": 74}
