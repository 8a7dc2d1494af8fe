"""Real Sentinel-2 scenes: what is decided of them, and that nodata and georeference come through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine

import landmap
from landmap.errors import BandError, GeoreferenceError, SceneError
from landmap.geo.areas import pixel_hectares
from landmap.radiometry.conversion import HAZE
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import NODATA
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import BandProfile
from landmap_models.model_file.packaged import find_model, packaged_models

pytestmark = [
    pytest.mark.real,
    # 33TWM's files have no georeference, and are read here to give them one.
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

# The level and the percentiles of EuroSAT's chips, rounded.
CARD = replace(
    FAKE_CARD,
    bands=(
        BandProfile("B04", 0.035, 0.085, 0.25, 0.095),
        BandProfile("B03", 0.055, 0.100, 0.24, 0.105),
        BandProfile("B02", 0.080, 0.110, 0.22, 0.115),
    ),
    levels=("L1C",),
)
ANY_LEVEL = FAKE_CARD
OFFSET = "assumed, since the file does not say: --offset 0, as the file names none"
UP = tuple(HAZE[name] for name in CARD.band_names)
INN = ("inn/inn_date1_B04B03B02B08.tif", "inn/inn_date2_B04B03B02B08.tif")
CALAIS = "calais/calais_B04B03B02_SCL.tif"


@pytest.fixture
def scenes(shared: Path) -> Path:
    """The folder of real scenes."""
    return shared / "scenes"


def plan(path: Path, **choices: Any) -> landmap.Plan:
    return landmap.plan(path, card=CARD, **choices)


def implausible(made: landmap.Plan) -> list[str]:
    """Warnings beyond those of what was assumed, corrected, or stretched by a projection."""
    expected = ("assumed", "the scene is L2A", "a pixel is")
    return [text for text in made.warnings if not text.startswith(expected)]


def test_kempen_l1c_is_known_but_for_its_offset(scenes: Path) -> None:
    made = plan(scenes / "kempen/kempen_L1C.tif")
    radiometry = made.scene.radiometry
    assert (radiometry.level, radiometry.origins["level"]) == ("L1C", "the file's name")
    assert made.scene.source.band_indexes == (3, 2, 1)
    assert radiometry.haze == ((1.0, 0.0),) * 3
    assert made.warnings == (OFFSET,)
    assert plan(scenes / "kempen/kempen_L1C.tif", offset=0).warnings == ()
    assert pixel_hectares(made.scene.geobox) == 0.01


def test_kempen_l2a_is_brought_to_the_models_level(scenes: Path) -> None:
    made = plan(scenes / "kempen/kempen_L2A.tif")
    radiometry = made.scene.radiometry
    assert (radiometry.level, radiometry.origins["level"]) == ("L2A", "the file's name")
    assert radiometry.haze == UP
    assert made.warnings[0] == OFFSET
    assert made.warnings[1].startswith("the scene is L2A, the model was trained on L1C")
    assert implausible(made) == []


def test_haze_brings_kempen_l2a_closer_to_kempen_l1c(scenes: Path) -> None:
    names = ("kempen/kempen_L1C.tif", "kempen/kempen_L2A.tif")
    window = landmap.plan(scenes / names[0], card=CARD).grid.owned_window(next(plan(scenes / names[0]).chunks()))
    l1c, l2a = (plan(scenes / name).scene.read(window) for name in names)
    raw = landmap.open_scene(scenes / names[1], card=ANY_LEVEL).read(window)
    valid = l1c.valid & l2a.valid
    assert valid.mean() > 0.9

    def distance(values: np.ndarray[Any, Any]) -> Any:
        return np.abs(values[valid] - l1c.values[valid]).mean(axis=0)

    before, after = distance(raw.values), distance(l2a.values)
    assert (after[1:] < before[1:] / 2).all(), "in green and blue, where haze is"
    assert after.max() < 0.02, "in reflectance"


@pytest.mark.parametrize("name", INN)
def test_inn_is_recognised_as_l2a_by_its_dark_blue(scenes: Path, name: str) -> None:
    made = plan(scenes / name)
    radiometry = made.scene.radiometry
    assert radiometry.level == "L2A"
    assert radiometry.origins["level"].startswith("assumed: L2A, as the darkest B02 is 0.0")
    assert set(radiometry.assumed) == {"offset", "level"}
    assert radiometry.haze == UP
    assert implausible(made) == []
    assert made.scene.source.nodata_rule.startswith("0 in every band")


@pytest.mark.parametrize(
    ("name", "choices", "words", "why"),
    [
        ("kempen/kempen_L1C.tif", {"offset": 1000}, "offset of +1000 was left in (--offset 0)", "as if left in"),
        ("kempen/kempen_L2A.tif", {"offset": 1000}, "offset of +1000 was left in (--offset 0)", "through added haze"),
        ("kempen/kempen_L1C.tif", {"offset": -1000}, "subtracted twice (--offset 0)", "as if subtracted twice"),
        ("kempen/kempen_L2A.tif", {"offset": -1000}, "subtracted twice (--offset 0)", "through added haze"),
        ("kempen/kempen_L1C.tif", {"bands": "1,2,3"}, "bands look swapped", "B02 given as B04"),
        ("kempen/kempen_L1C.tif", {"scale": "reflectance"}, "look like digital numbers", "not scaled"),
        ("kempen/kempen_L1C.tif", {"scale": 1e-8}, "nearly black", "scaled twice"),
        ("kempen/kempen_L2A.tif", {"scale": 1e-8}, "nearly black", "through added haze"),
    ],
)
def test_what_is_wrong_on_purpose_is_told(
    scenes: Path, name: str, choices: dict[str, Any], words: str, why: str
) -> None:
    (text,) = implausible(plan(scenes / name, **choices))
    assert words in text, why


def test_calais_works_with_bands_and_tells_of_the_projection(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(BandError, match="needs band B04"):
        plan(scenes / CALAIS)
    result = landmap.classify(
        scenes / CALAIS, tmp_path / "out.tif", bands="1,2,3", classifier=ConstantClassifier(2, CARD)
    )
    assert "a pixel is 6.03 x 6.01 m on the ground, by its area 1/1.66 of the model's 10 m" in result.warnings[0]
    assert result.plan.scene.radiometry.level == "L2A"
    assert implausible(result.plan) == []
    assert pixel_hectares(result.plan.scene.geobox) == pytest.approx(6.02**2 / 1e4, rel=2e-3)
    with rasterio.open(scenes / CALAIS) as scene, rasterio.open(tmp_path / "out.tif") as cover:
        assert (cover.shape, cover.transform, cover.crs) == (scene.shape, scene.transform, scene.crs)
        expected = np.where((scene.read([1, 2, 3]) == 32767).any(axis=0), NODATA, 2)
        np.testing.assert_array_equal(cover.read(1), expected)
    assert 0 < result.nodata_pixels < expected.size


@pytest.fixture
def stacked(scenes: Path, tmp_path: Path) -> Path:
    """33TWM as one file, with the place that its granule metadata gives for 10 m pixels, at its own 120 m."""
    folder = scenes / "33TWM"
    geocoding = ElementTree.parse(folder / "granule_metadata.xml").getroot().find(".//Tile_Geocoding")
    assert geocoding is not None
    corner = geocoding.find("Geoposition[@resolution='10']")
    assert corner is not None
    west, north = (float(corner.findtext(key, "")) for key in ("ULX", "ULY"))
    values = []
    for name in CARD.band_names:
        with rasterio.open(folder / f"{name}.tif") as band:
            values.append(band.read(1))
    path = tmp_path / "33TWM.tif"
    profile = {"crs": geocoding.findtext("HORIZONTAL_CS_CODE"), "transform": Affine(120, 0, west, 0, -120, north)}
    shape = {"count": 3, "height": 915, "width": 915, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **profile, **shape) as file:
        file.write(np.stack(values))
        file.descriptions = CARD.band_names
    return path


def test_120_m_are_refused_as_12_times_and_work_with_force(stacked: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tif"
    with pytest.raises(GeoreferenceError, match=r"33TWM\.tif: its pixels are 120 m, 12 times those .*--force$"):
        landmap.classify(stacked, output, classifier=ConstantClassifier(7, CARD))
    assert [path.name for path in tmp_path.iterdir()] == ["33TWM.tif"]
    result = landmap.classify(stacked, output, force=True, classifier=ConstantClassifier(7, CARD))
    assert "its pixels are 120 m, 12 times those" in result.warnings[0]
    assert pixel_hectares(result.plan.scene.geobox) == pytest.approx(1.44)
    assert [text for text in implausible(result.plan) if not text.startswith("its pixels")] == []
    with rasterio.open(stacked) as scene, rasterio.open(output) as cover:
        assert (cover.shape, cover.transform, cover.crs) == (scene.shape, scene.transform, scene.crs)
        expected = np.where((scene.read() == 0).all(axis=0), NODATA, 7)
        np.testing.assert_array_equal(cover.read(1), expected)


# --- a product's metadata, through GDAL's SENTINEL2 driver


@pytest.fixture
def product(scenes: Path) -> Path:
    """MTD_MSIL2A.xml of the product of baseline 05.11."""
    (path,) = scenes.glob("safe/*/MTD_MSIL2A.xml")
    return path


def test_a_product_without_its_10_m_bands_is_refused_for_its_pixels(product: Path) -> None:
    with pytest.raises(SceneError, match=r"its pixels are 60 m.*finer files that are not there \(T33TVM_.*_B04_10m"):
        plan(product)


def test_offset_level_and_scale_of_a_product_are_read_from_its_tags(product: Path) -> None:
    card = replace(CARD, bands=(BandProfile("B01", 0.01, 0.05, 0.2, 0.05), BandProfile("B09", 0.01, 0.2, 0.5, 0.2)))
    scene = landmap.open_scene(f"SENTINEL2_L2A:{product}:60m:EPSG_32633", card=replace(card, levels=("L2A",)))
    assert scene.radiometry.offset == (-1000.0, -1000.0)
    assert scene.radiometry.scale == pytest.approx((1e-4, 1e-4))
    assert scene.radiometry.level == "L2A"
    assert scene.radiometry.assumed == ()
    assert scene.source.band_indexes == (1, 2)


def test_the_products_offset_is_not_put_on_its_8_bit_picture(product: Path) -> None:
    name = f"SENTINEL2_L2A:{product}:TCI:EPSG_32633"
    with rasterio.open(name) as picture:  # the tags of 16 bits, on 8: what landmap must not believe
        assert picture.tags()["BOA_QUANTIFICATION_VALUE"] == "10000"
        assert picture.tags(1)["BOA_ADD_OFFSET"] == "-1000"
    radiometry = landmap.open_scene(name, card=ANY_LEVEL).radiometry
    assert radiometry.scale == pytest.approx((0.2505 / 254,) * 3), "a stretch of its own, by its name"
    assert radiometry.offset == (-1.0, -1.0, -1.0)


def test_the_true_color_picture_shows_what_the_products_bands_hold(product: Path) -> None:
    """Where it is not saturated, within what 8 bits hold."""
    (folder,) = product.parent.glob("GRANULE/*/IMG_DATA")
    (picture,) = folder.glob("*_TCI_60m.jp2")
    scene = landmap.open_scene(picture, card=replace(ANY_LEVEL, levels=("L2A",)))
    found = scene.read(Window(0, 0, *scene.geobox.shape))
    for i, name in enumerate(scene.source.band_names):
        (band,) = folder.glob(f"*_{name}_60m.jp2")
        with rasterio.open(band) as file:
            reflectance = (file.read(1) - 1000.0) * 1e-4
        clear = found.valid & (reflectance > 0.002) & (reflectance < 0.249)
        np.testing.assert_allclose(found.values[..., i][clear], reflectance[clear], atol=0.0012)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["inn/inn_date1_B04B03B02B08.tif", "inn/inn_date2_B04B03B02B08.tif", "kempen/kempen_L2A.tif"]
)
def test_an_offset_left_in_is_noticed_without_any_tag(name: str, shared: Path, tmp_path: Path) -> None:
    """What a stack of granules of baseline 04.00 or later looks like when nobody took care."""
    with rasterio.open(shared / "scenes" / name) as file:
        values, profile, names = file.read(), file.profile, file.descriptions
    profile.update(nodata=None)
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as file:
        file.write(values + np.uint16(1000))
        file.descriptions = names
    scene = landmap.open_scene(tmp_path / "scene.tif", card=CARD)
    assert scene.radiometry.level == "L2A"
    assert any("--offset -1000" in text for text in scene.radiometry.warnings)


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
@pytest.mark.parametrize("name", INN)
def test_near_infrared_leaves_the_inn_in_its_bed(name: str, scenes: Path, tmp_path: Path) -> None:
    if read_card(find_model("default")).nir is None:
        pytest.skip("the packaged model has no near-infrared prior")
    landmap.classify(scenes / name, tmp_path / "cover.tif", stride=32)
    with rasterio.open(tmp_path / "cover.tif") as cover, rasterio.open(scenes / name) as scene:
        water = np.isin(cover.read(1), (8, 9))
        wet = scene.read(4) < scene.read(2)
    assert 0.12 < wet.mean() < 0.14
    assert 0.11 < water.mean() < 0.17
    assert water[wet].mean() > 0.9
    cells = water[:376, :576].reshape(47, 8, 72, 8).any(axis=(1, 3))
    with_water = wet[:376, :576].reshape(47, 8, 72, 8).any(axis=(1, 3))
    assert (cells & ~with_water).sum() <= 0.01 * cells.sum(), "next to no cell is water that holds no water"


@pytest.mark.parametrize("name", ["kempen/kempen_L1C.tif", "kempen/kempen_L2A.tif"])
def test_haze_of_near_infrared_brings_kempen_to_the_same_reflectance(name: str, scenes: Path) -> None:
    card = read_card(find_model("default"))
    if card.nir is None:
        pytest.skip("the packaged model has no near-infrared prior")
    window = Window(600, 0, 400, 512)
    found = landmap.open_scene(scenes / name, card=card).read(window).spectrum
    top = landmap.open_scene(scenes / "kempen/kempen_L1C.tif", card=card).read(window).spectrum
    assert found is not None
    assert top is not None
    assert np.nanpercentile(np.abs(found - top)[..., 2], 99) < 0.01, "all but the brightest clouds"
