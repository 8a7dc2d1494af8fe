"""In which precision a scene is predicted, with models that agree as much as a test wants them to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import landmap
from landmap.errors import LandmapError
from landmap.inference import precision as module
from landmap.inference.plan import make_plan
from landmap.inference.precision import choose_precision
from landmap_models.inference import tensorflow as engine
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model

Floats = npt.NDArray[np.float32]


@dataclass
class Contrary:
    """Says class 0, but of every so many windows class 1."""

    every: int = 0
    card: ModelCard = FAKE_CARD
    windows: int = 0

    def predict_windows(self, values: Floats, stride: int) -> Floats:
        rows, cols = ((n - 64) // stride + 1 for n in values.shape[:2])
        answers = np.zeros((rows * cols, 10), np.float32)
        answers[:, 0] = 0.9
        answers[:, 1:] = 0.1 / 9
        if self.every:
            answers[:: self.every] = np.eye(10, dtype=np.float32)[1]
        self.windows += rows * cols
        return answers.reshape(rows, cols, 10)


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    return write_scene(ordinary(700, 900), tags={"PROCESSING_LEVEL": "L1C"}, nodata=0)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, Contrary]]:
    """A function that makes a processor with bfloat16, in which every so many windows have another class."""

    def make(every: int) -> dict[str, Contrary]:
        models = {"float32": Contrary(), "bfloat16": Contrary(every)}
        monkeypatch.setattr(module, "FEW_WINDOWS", 1000)
        monkeypatch.setattr(engine, "fast_precision", lambda device: "bfloat16")
        monkeypatch.setattr(module, "load", lambda plan, precision: models[precision])
        return models

    return make


@pytest.mark.parametrize(("every", "chosen"), [(0, "bfloat16"), (5000, "bfloat16"), (500, "float32")])
def test_reduced_where_the_classes_agree(
    every: int, chosen: str, scene: Path, processor: Callable[[int], dict[str, Contrary]]
) -> None:
    models = processor(every)
    found = choose_precision(make_plan(scene, engine="tensorflow", detail="chip"))
    assert found.precision == chosen
    assert found.reason.startswith(f"{chosen}: ")
    assert "sampled windows have the same class in bfloat16 as in float32" in found.reason
    assert models["float32"].windows == models["bfloat16"].windows >= 6000


@dataclass
class ContraryPixels(Contrary):
    """Also answers for pixels: every so many columns the other way."""

    pixels: int = 0

    def pixel_factors(self, values: Any, bands: tuple[str, ...]) -> Any:
        factors = np.full((10, *values.shape[:2]), 0.1, np.float32)
        factors[2] = 1
        if self.pixels:
            factors[3, :, :: self.pixels] = 2
        return factors


@pytest.mark.parametrize(
    ("windows", "pixels", "chosen"),
    [(0, 0, "bfloat16"), (0, 100, "bfloat16-chips"), (500, 100, "float32")],
)
def test_a_map_of_pixels_is_what_must_agree_or_else_its_windows(
    windows: int, pixels: int, chosen: str, scene: Path, processor: Any
) -> None:
    models = processor(0)
    card = read_card(find_model("default"))
    models["float32"] = ContraryPixels(card=card)
    models["bfloat16"] = ContraryPixels(windows, card, pixels=pixels)
    models["bfloat16-chips"] = ContraryPixels(windows, card)
    found = choose_precision(make_plan(scene, engine="tensorflow"))
    assert found.precision == chosen
    assert found.reason.startswith(f"{chosen}: ")
    assert "sampled pixels have the same class in bfloat16 as" in found.reason
    assert ("sampled windows have the same class in bfloat16-chips as" in found.reason) == (chosen != "bfloat16")


def test_what_is_asked_for_is_not_tried(scene: Path, processor: Callable[[int], dict[str, Contrary]]) -> None:
    models = processor(1)
    found = choose_precision(make_plan(scene, engine="tensorflow", detail="chip", precision="bfloat16"))
    assert (found.precision, found.reason) == ("bfloat16", "bfloat16, as asked")
    assert not models["float32"].windows


def test_windows_without_data_are_no_evidence(
    write_scene: Callable[..., Path], processor: Callable[[int], dict[str, Contrary]]
) -> None:
    processor(1)
    scene = write_scene(np.zeros((3, 600, 600), np.uint16), nodata=0)
    assert (
        choose_precision(make_plan(scene, engine="tensorflow", detail="chip")).reason
        == "float32: the sample has no data to try another on"
    )


def test_windows_are_tried_where_data_are(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], processor: Callable[[int], dict[str, Contrary]]
) -> None:
    """A corner of a large scene, which chunks spread evenly over all of it would miss."""
    models = processor(10)
    values = np.zeros((3, 1500, 1500), np.uint16)
    values[:, :70, 1420:] = ordinary(70, 80)
    scene = write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "L1C"})
    found = choose_precision(make_plan(scene, engine="tensorflow", detail="chip", stride=8))
    assert found.precision == "float32"
    assert "90.00 % of" in found.reason or "sampled windows have the same class" in found.reason
    assert models["bfloat16"].windows


def test_a_small_scene_is_not_worth_a_trial(scene: Path, processor: Callable[[int], dict[str, Contrary]]) -> None:
    models = processor(0)
    assert (
        choose_precision(make_plan(scene, engine="tensorflow", detail="chip", stride=32)).reason
        == "float32: a small scene"
    )
    assert not models["float32"].windows


def test_a_processor_without_anything_faster(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW_WINDOWS", 1000)
    monkeypatch.setattr(engine, "fast_precision", lambda device: "float32")
    assert (
        choose_precision(make_plan(scene, engine="tensorflow", detail="chip")).reason
        == "float32: the device has nothing faster"
    )


def test_the_cover_names_the_precision(scene: Path, tmp_path: Path) -> None:
    result = landmap.classify(scene, tmp_path / "cover.tif", precision="bfloat16", stride=64)
    assert result.precision == "bfloat16, as asked"
    with rasterio.open(tmp_path / "cover.tif") as file:
        assert file.tags()["LANDMAP_PRECISION"] == "bfloat16, as asked"


@pytest.mark.parametrize("choice", [{"precision": "int8"}, {"device": "tpu"}, {"memory": 0}, {"device": "gpu:x"}])
def test_settings_that_can_not_be_meant(choice: dict[str, Any], scene: Path) -> None:
    with pytest.raises(LandmapError, match=next(iter(choice))):
        make_plan(scene, engine="tensorflow", detail="chip", **choice)
