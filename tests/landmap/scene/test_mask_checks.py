"""Masks whose 0 and 1 may be the other way round are noticed; obeying the warning gives the right map."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine

import landmap
from landmap.errors import SceneError
from landmap.inference.plan import Plan
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SIZE = 180
ALL = Window(0, 0, SIZE, SIZE)
Bools = npt.NDArray[np.bool_]
WriteBand = Callable[..., Path]


def cloud(share: float = 0.16) -> Bools:
    """A cloud over such a share of the scene, in the middle."""
    side = round(SIZE * share**0.5)
    found = np.zeros((SIZE, SIZE), bool)
    first = (SIZE - side) // 2
    found[first : first + side, first : first + side] = True
    return found


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    return write_scene(ordinary(SIZE, SIZE), nodata=0)


@pytest.fixture
def cloudy(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    return write_scene(np.where(cloud(0.4), 6000, ordinary(SIZE, SIZE)).astype(np.uint16), "cloudy.tif", nodata=0)


def plan(scene: Path, **choices: Any) -> Plan:
    return landmap.plan(scene, card=FAKE_CARD, **{"level": "L1C", "offset": 0} | choices)


def left_in(made: Plan) -> Bools:
    return made.scene.read(ALL).mapped


def doubts(made: Plan) -> list[str]:
    return [text for text in made.warnings if "leaves in" in text or "inverted" in text]


@pytest.mark.parametrize("marked", [1, 255])
def test_a_mask_of_a_small_cloud_that_is_marked_is_a_warning(
    marked: int, scene: Path, write_band: WriteBand, tmp_path: Path
) -> None:
    mask = write_band(tmp_path / "mask.tif", (cloud() * marked).astype(np.uint8))
    (warning,) = doubts(plan(scene, mask=mask))
    assert warning == (
        "0 or no data in mask.tif: leaves in 16.0 % of the pixels with data: if its 1 marks what is to be left out, "
        "such as cloud: --invert-mask; if it is meant so: --mask-values 0"
    )
    mended = plan(scene, mask=mask, invert_mask=True)
    assert not doubts(mended)
    np.testing.assert_array_equal(left_in(mended), ~cloud())
    meant = plan(scene, mask=mask, mask_values="0")
    assert not doubts(meant)
    np.testing.assert_array_equal(left_in(meant), cloud())


def test_a_mask_that_takes_cloud_for_ground_is_a_warning_however_large_the_cloud_is(
    cloudy: Path, write_band: WriteBand, tmp_path: Path
) -> None:
    marks = write_band(tmp_path / "clouds.tif", cloud(0.4).astype(np.uint8))
    (warning,) = doubts(plan(cloudy, mask=marks))
    assert warning.startswith("0 or no data in clouds.tif: what it leaves in (40.1 %) is as bright as cloud, and what")
    assert "--invert-mask" in warning
    mended = plan(cloudy, mask=marks, invert_mask=True)
    assert not doubts(mended)
    np.testing.assert_array_equal(left_in(mended), ~cloud(0.4))
    clear = write_band(tmp_path / "clear.tif", (~cloud(0.4)).astype(np.uint8))
    assert not doubts(plan(cloudy, mask=clear))
    (warning,) = doubts(plan(cloudy, mask=clear, invert_mask=True))
    assert warning.endswith("it looks inverted; without --invert-mask it leaves out the other pixels")


def test_sound_masks_give_no_warning(
    scene: Path, write_scene: Callable[..., Path], write_band: WriteBand, tmp_path: Path
) -> None:
    values = np.zeros((SIZE, SIZE), np.uint8)
    values[: SIZE // 2] = 1
    assert not doubts(plan(scene, mask=write_band(tmp_path / "half.tif", values)))
    values[:20], values[20:40] = 3, 7
    several = write_band(tmp_path / "several.tif", values)
    assert not doubts(plan(scene, mask=several, mask_values="1,0"))
    # Of a strip of data in an empty scene, the mask leaves in all.
    strip = np.zeros((3, SIZE, SIZE), np.uint16)
    strip[:, :, 90:92] = 800
    narrow = write_scene(strip, "strip.tif", nodata=0)
    assert not doubts(plan(narrow, mask=write_band(tmp_path / "strip_mask.tif", (strip[0] > 0).astype(np.uint8))))


def test_a_mask_that_leaves_nothing_is_a_warning(scene: Path, write_band: WriteBand, tmp_path: Path) -> None:
    mask = write_band(tmp_path / "clear_sky.tif", np.zeros((SIZE, SIZE), np.uint8))
    (warning,) = doubts(plan(scene, mask=mask))
    assert warning.startswith("0 or no data in clear_sky.tif: leaves in no pixel with data: if its 1 marks")
    mended = plan(scene, mask=mask, invert_mask=True)
    assert left_in(mended).all()
    assert not doubts(mended)
    (warning,) = doubts(plan(scene, scl=mask))
    assert "leaves in no pixel with data (100.0 % not classified)" in warning
    assert "--mask FILE --invert-mask" in warning
    overcast = write_band(tmp_path / "scl.tif", np.full((SIZE, SIZE), 9, np.uint8))
    (warning,) = doubts(plan(scene, scl=overcast))
    assert "(100.0 % cloud)" in warning


@pytest.mark.parametrize(("values", "told"), [((4, 9), "4, 9"), ((20, 80), "20, 80")])
def test_a_mask_that_leaves_out_nothing_is_a_warning_and_its_hints_help(
    values: tuple[int, int], told: str, scene: Path, write_band: WriteBand, tmp_path: Path
) -> None:
    mask = write_band(tmp_path / "mask.tif", np.where(cloud(), values[1], values[0]).astype(np.uint8))
    (warning,) = (text for text in plan(scene, mask=mask).warnings if "leaves out no pixel" in text)
    assert f"leaves out no pixel: its values are {told}; " in warning
    assert ("--scl FILE" in warning) == (values == (4, 9))
    (other,) = (text for text in plan(scene, mask=mask, mask_values="81").warnings if "leaves out no pixel" in text)
    assert "--scl" not in other
    assert "name what is left out: --mask-values NUMBERS" in other
    mends: list[dict[str, Any]] = [{"mask": mask, "mask_values": str(values[1])}]
    for mend in [*mends, {"scl": mask}][: 1 + (values == (4, 9))]:
        mended = plan(scene, **mend)
        assert not any("leaves out no pixel" in text for text in mended.warnings)
        np.testing.assert_array_equal(left_in(mended), ~cloud())


def test_a_mask_of_a_clear_scene_and_one_with_a_spot_are_no_doubt(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], write_band: WriteBand, tmp_path: Path
) -> None:
    wide = write_scene(ordinary(100, 1100), "wide.tif", nodata=0)
    clear = np.ones((100, 1100), np.uint8)
    spot = clear.copy()
    spot[0, :600], spot[50, 1001] = 2, 0  # where every third pixel is looked at, this one is not
    for made in (
        plan(wide, mask=write_band(tmp_path / "clear.tif", clear)),
        plan(wide, mask=write_band(tmp_path / "spot.tif", spot)),
        plan(wide, mask=write_band(tmp_path / "none.tif", 1 - clear), invert_mask=True),
    ):
        assert not any("leaves out no pixel" in text for text in made.warnings)


def test_an_overcast_scene_is_told_how_to_be_mapped(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    classes = np.full((1, SIZE, SIZE), 9, np.uint16)
    scene = write_scene(np.concatenate([ordinary(SIZE, SIZE), classes]), bands=("B04", "B03", "B02", "SCL"))
    (warning,) = doubts(plan(scene))
    assert warning.endswith(
        "by band 4 (SCL), and what it does not classify: leaves in no pixel with data (100.0 % cloud): "
        "--clouds none maps it, clouds and all"
    )
    assert left_in(plan(scene, clouds="none")).all()


def test_an_area_of_interest_may_be_small(scene: Path, write_band: WriteBand, tmp_path: Path) -> None:
    import geopandas
    import shapely

    box = shapely.box(500_100, 4_999_800, 500_180, 4_999_880)
    geopandas.GeoSeries([box], crs=32633).to_file(tmp_path / "aoi.gpkg")
    mask = write_band(tmp_path / "clear.tif", (~cloud()).astype(np.uint8))
    assert not doubts(plan(scene, aoi=tmp_path / "aoi.gpkg", mask=mask))


# --- values, and what counts as no data


def test_values_that_are_left_out(scene: Path, write_band: WriteBand, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 5, (SIZE, SIZE)).astype(np.uint8)
    mask = write_band(tmp_path / "qa.tif", values, nodata=4)
    made = plan(scene, mask=mask, mask_values="1, 3")
    np.testing.assert_array_equal(left_in(made), np.isin(values, [0, 2]))
    assert made.masks == ["1 or 3 or no data in qa.tif"]
    inverted = plan(scene, mask=mask, mask_values=[1, 3], invert_mask=True)
    np.testing.assert_array_equal(left_in(inverted), np.isin(values, [1, 3]))
    assert inverted.masks == ["all but 1 or 3, and no data, in qa.tif (--invert-mask)"]


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_an_inverted_mask_leaves_in_its_zeros_even_if_they_are_called_no_data(
    nodata: int | None, scene: Path, write_band: WriteBand, tmp_path: Path
) -> None:
    """As rasters of polygons are: 1 is burnt, the rest is the nodata value."""
    values = cloud().astype(np.uint8)
    values[:5] = 255
    mask = write_band(tmp_path / "clouds.tif", values, nodata=nodata)
    np.testing.assert_array_equal(left_in(plan(scene, mask=mask, invert_mask=True)), values == 0)


# --- masks that are a product's own, given as files


def flags(path: Path, marks: npt.NDArray[np.uint8], **profile: Any) -> Path:
    place: dict[str, Any] = {"crs": "EPSG:32633", "transform": UTM @ Affine.scale(SIZE / marks.shape[1])}
    shape = {"count": len(marks), "height": marks.shape[1], "width": marks.shape[2], "dtype": "uint8"}
    with rasterio.open(path, "w", **place | shape | profile) as file:
        file.write(marks)
    return path


def marked() -> npt.NDArray[np.uint8]:
    marks = np.zeros((3, SIZE // 6, SIZE // 6), np.uint8)
    marks[0, 2:9, 3:12] = marks[1, 7:15, 10:20] = marks[2, 12:20, 15:25] = 1
    return marks


@pytest.mark.parametrize("option", ["scl", "mask"])
@pytest.mark.parametrize("name", ["MSK_CLASSI_B00.tif", "tmp_classi.tif", "T33_msk-classi.tif"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_l1cs_classification_in_a_file_is_understood(
    option: str, name: str, nodata: int | None, scene: Path, tmp_path: Path
) -> None:
    path = flags(tmp_path / name, marked(), nodata=nodata)
    made = plan(scene, **{option: path})
    expected = ~(marked().max(axis=0).repeat(6, 0).repeat(6, 1) > 0)
    np.testing.assert_array_equal(left_in(made), expected)
    assert not doubts(made)


def test_three_bands_of_zero_and_one_are_one_by_any_name(scene: Path, tmp_path: Path) -> None:
    path = flags(tmp_path / "clouds.tif", marked())
    expected = ~(marked().max(axis=0).repeat(6, 0).repeat(6, 1) > 0)
    np.testing.assert_array_equal(left_in(plan(scene, scl=path)), expected)
    (warning,) = doubts(plan(scene, mask=path))
    assert warning.startswith("0 or no data in clouds.tif (band 1 of 3): leaves in 7.0 %")
    assert "--scl FILE" in warning


def test_a_mask_of_zero_and_one_is_no_scene_classification(scene: Path, write_band: WriteBand, tmp_path: Path) -> None:
    path = write_band(tmp_path / "cloud.tif", cloud().astype(np.uint8))
    with pytest.raises(SceneError, match=re.escape("If its 1 is cloud: --mask FILE --invert-mask; if its 1 is clear")):
        plan(scene, scl=path)
    np.testing.assert_array_equal(left_in(plan(scene, mask=path, invert_mask=True)), ~cloud())


def test_a_classification_that_is_called_so_and_is_another_is_a_mask(
    scene: Path, write_band: WriteBand, tmp_path: Path
) -> None:
    """Only MSK_CLASSI's own word counts: classification.tif is anybody's."""
    path = write_band(tmp_path / "classification.tif", (~cloud()).astype(np.uint8))
    np.testing.assert_array_equal(left_in(plan(scene, mask=path)), ~cloud())
