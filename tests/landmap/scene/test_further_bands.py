"""Bands beyond true colour and B08: found by name, understood like the others, never needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import landmap
from landmap.radiometry.conversion import HAZE
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import describe
from landmap_models.model_file.pixels import PixelPart

BANDS = ("B02", "B03", "B04", "B05", "B08", "B11")
PART = PixelPart(
    bands=BANDS,
    middle=(0.1,) * len(BANDS),
    classes=("wet", "dry"),
    fits=((0.5, 0.5),) * len(FAKE_CARD.legend),
    margin=8,
    step=8,
    chip_exponent=1.0,
    pixel_exponent=1.0,
    floor=0.01,
    sha256="",
)
CARD = dataclasses.replace(FAKE_CARD, pixels=PART, levels=("L1C",))
Values = npt.NDArray[np.uint16]


@pytest.fixture
def values(ordinary: Any) -> Values:
    """DN of B04, B03, B02, B11, B05, each band with a range of its own."""
    land = ordinary(80, 90)
    return np.concatenate([land, land[:1] * 2, land[:1] + 500])


def open_scene(path: Path, **choices: Any) -> Any:
    return landmap.open_scene(path, Settings(**({"level": "L1C", "offset": 0} | choices)), card=CARD)


def test_they_are_read_in_the_order_of_the_network(write_scene: Any, values: Values) -> None:
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05")))
    assert scene.further.names == ("B05", "B11")
    pixels = scene.read(Window(10, 20, 30, 40))
    wanted = values[[4, 3], 10:40, 20:60].astype(np.float64) / 10_000
    np.testing.assert_allclose(pixels.further, np.moveaxis(wanted, 0, -1), rtol=1e-6)
    assert "B05, B11 are used" in scene.further_text


def test_l2a_is_brought_to_the_models_level(write_scene: Any, values: Values) -> None:
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05")), level="L2A")
    found = scene.read(Window(0, 0, 80, 90)).further
    for place, (name, band) in enumerate({"B05": 4, "B11": 3}.items()):
        gain, bias = HAZE[name]
        np.testing.assert_allclose(found[..., place], values[band] / 10_000 * gain + bias, rtol=1e-5)


def test_a_pixel_without_data_in_them_keeps_its_class_and_0_in_one_alone_is_dark(
    write_scene: Any, values: Values
) -> None:
    values[3:, 5, 6] = 0
    values[3, 5, 7] = 0
    pixels = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05"))).read(Window(0, 0, 80, 90))
    assert np.isnan(pixels.further[5, 6]).all()
    assert pixels.further[5, 7, 1] == 0
    assert pixels.further[5, 7, 0] > 0
    assert pixels.valid[5, 6]


@pytest.mark.parametrize("choices", [{"detail": "chip"}, {"stride": 8}, {"smooth": True}, {"use_nir": False}])
def test_they_are_not_read_where_they_are_not_wanted(write_scene: Any, values: Values, choices: dict[str, Any]) -> None:
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05")), **choices)
    assert scene.further is None
    assert scene.further_text == ""


def test_they_can_be_given_by_number(write_scene: Any, values: Values) -> None:
    path = write_scene(values, bands=("", "", "", "", ""))
    scene = open_scene(path, bands="B04=1,B03=2,B02=3,B11=4")
    assert scene.further.names == ("B11",)


def test_what_is_not_like_reflectance_is_left_out_with_a_warning(write_scene: Any, values: Values) -> None:
    values[3] = 65_000
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05")))
    assert scene.further.names == ("B05",)
    (warning,) = [text for text in scene.warnings if "B11" in text]
    assert "B11 is not used: B11 is not like reflectance" in warning
    assert scene.further_text.startswith("B05 is used for single pixels; haze: none")
    assert scene.further_text.endswith(warning)


@pytest.mark.parametrize("value", [0, 65_535])
@pytest.mark.parametrize("columns", [45, 90])
def test_one_that_has_no_data_in_much_of_the_scene_is_left_out_and_the_others_are_used(
    write_scene: Any, values: Values, value: int, columns: int
) -> None:
    values[3, :, :columns] = value  # a hole that the network would take for water, or for land like any other
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05"), nodata=65_535))
    assert scene.further.names == ("B05",)
    (warning,) = [text for text in scene.warnings if "B11" in text]
    assert warning.startswith("B11 is not used: it has no data, or 0, in ")
    found = scene.read(Window(0, 0, 80, 90)).further
    np.testing.assert_allclose(found, values[4, ..., None] / 10_000, rtol=1e-6)
    assert f"no data, or 0, in {100 * columns / 90:.1f} % of the pixels" in warning


def test_none_is_used_where_none_can_be(write_scene: Any, values: Values) -> None:
    values[3:] = 65_000
    scene = open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05")))
    assert scene.further is None
    assert "B05, B11 are not used" in scene.further_text


def test_haze_of_the_bands_that_are_left_is_told(write_scene: Any, values: Values) -> None:
    values[3] = 65_000
    bands = np.concatenate([values, values[4:]])
    scene = open_scene(write_scene(bands, bands=("B04", "B03", "B02", "B11", "B05", "B08")), level="L2A")
    assert scene.further.names == ("B05", "B08")
    assert "B05 haze: typical haze added (L2A to L1C), computed and not measured for B05" in scene.further_text
    gain, bias = HAZE["B08"]
    found = scene.read(Window(0, 0, 80, 90)).further
    np.testing.assert_allclose(found[..., 1], values[4] / 10_000 * gain + bias, rtol=1e-5)


def test_pixels_without_data_in_any_band_do_not_count(write_scene: Any, values: Values) -> None:
    values[:, :, :45] = 0
    assert open_scene(write_scene(values, bands=("B04", "B03", "B02", "B11", "B05"))).further is not None


def test_a_coarser_band_of_a_folder_is_interpolated(write_band: Any, tmp_path: Path) -> None:
    land = np.random.default_rng(0).integers(300, 3000, (70, 70)).astype(np.uint16)
    folder = tmp_path / "bands"
    for name in ("B04", "B03", "B02"):
        write_band(folder / f"{name}.tif", land)
    write_band(folder / "B11.tif", land[::2, ::2].copy(), 20)
    scene = open_scene(folder)
    assert scene.further.names == ("B11",)  # interpolated to 10 m
    assert scene.read(Window(0, 0, 70, 70)).further.shape == (70, 70, 1)


def test_the_description_of_a_model_says_what_uses_which_bands() -> None:
    assert "optional  B05, B08, B11, by the network for single pixels" in describe(CARD)


def test_without_b08_the_plan_names_the_bands_that_are_used_all_the_same(write_scene: Any, values: Values) -> None:
    path = write_scene(values, bands=("B04", "B03", "B02", "B11", "B05"), nodata=0)
    plan = landmap.plan(path, model="default", level="L1C", offset=0)
    assert plan.detail
    assert plan.nir.startswith("B08: not in the scene: true colour and B05, B11 only. With B08")
    assert landmap.plan(path, level="L1C", offset=0, detail="chip").nir.startswith(
        "B08: not in the scene: true colour only."
    )
