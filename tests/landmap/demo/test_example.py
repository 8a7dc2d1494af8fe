"""The drawn example scene: its files, its truth and the physics of its reflectances."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from landmap.demo.example import BANDS, ExampleFiles, write_example
from landmap.errors import OutputError, SettingsError
from landmap_models.legend import EUROSAT

BLUE, GREEN, RED, NIR = range(4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    return write_example(tmp_path_factory.mktemp("example") / "scene.tif", size=600)


@pytest.fixture(scope="module")
def scene(files: ExampleFiles) -> np.ndarray:
    with rasterio.open(files.scene) as file:
        return file.read()


@pytest.fixture(scope="module")
def truth(files: ExampleFiles) -> np.ndarray:
    with rasterio.open(files.truth) as file:
        return file.read(1)


@pytest.fixture(scope="module")
def medians(scene: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    return {c.name: np.median(scene[:, truth == c.id], axis=1) for c in EUROSAT}


def test_scene_is_written_as_level_1c_digital_numbers(files: ExampleFiles) -> None:
    with rasterio.open(files.scene) as file:
        assert file.dtypes == ("uint16",) * 4
        assert file.shape == (600, 600)
        assert file.descriptions == BANDS == ("B02", "B03", "B04", "B08")
        assert file.nodata == 0
        assert file.crs.to_epsg() == 32633
        assert file.transform == from_origin(399960, 5400000, 10, 10)
        assert file.block_shapes == [(512, 512)] * 4
        assert file.compression.value == "DEFLATE"
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert file.tags()["PROCESSING_LEVEL"] == "Level-1C"
        assert file.tags()["PRODUCT"] == "landmap example (synthetic)"


def test_truth_lies_on_the_same_grid_with_the_legend_of_eurosat(files: ExampleFiles) -> None:
    with rasterio.open(files.scene) as scene, rasterio.open(files.truth) as truth:
        assert files.truth.name == "scene_truth.tif"
        assert (truth.crs, truth.transform, truth.shape) == (scene.crs, scene.transform, scene.shape)
        assert truth.dtypes == ("uint8",)
        assert truth.nodata == 255
        assert [truth.colormap(1)[c.id][:3] for c in EUROSAT] == [c.rgb for c in EUROSAT]
        assert [truth.tags(1)[f"CLASS_{c.id}"] for c in EUROSAT] == list(EUROSAT.names)


def test_nodata_is_a_wedge_of_five_percent_in_all_bands_and_the_truth(scene: np.ndarray, truth: np.ndarray) -> None:
    nodata = truth == 255
    for band in scene:
        np.testing.assert_array_equal(band == 0, nodata)
    assert 0.04 < nodata.mean() < 0.06
    assert (np.diff(nodata.astype(int), axis=1) >= 0).all(), "nodata lies east of the data in each row"
    assert (np.diff(nodata.sum(axis=1)) >= 0).all(), "and reaches further in each row"


@pytest.mark.parametrize("seed", range(4))
def test_each_class_is_there_from_600_pixels_on(tmp_path: Path, seed: int) -> None:
    with rasterio.open(write_example(tmp_path / "scene.tif", 600, seed).truth) as file:
        shares = np.bincount(file.read(1).ravel(), minlength=256)[: len(EUROSAT)] / 600**2
    assert (shares > 0.01).all(), dict(zip(EUROSAT.names, shares.round(3), strict=True))


def test_the_same_size_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (write_example(tmp_path / f"{i}.tif", 150, seed) for i, seed in enumerate((7, 7, 8)))
    assert first.scene.read_bytes() == again.scene.read_bytes() != other.scene.read_bytes()
    assert first.truth.read_bytes() == again.truth.read_bytes()


@pytest.mark.parametrize("size", [64, 65, 150])
def test_small_and_odd_sizes(tmp_path: Path, size: int) -> None:
    files = write_example(tmp_path / "scene.tif", size)
    with rasterio.open(files.scene) as scene, rasterio.open(files.truth) as truth:
        assert scene.shape == truth.shape == (size, size)
        np.testing.assert_array_equal(scene.read(1) == 0, truth.read(1) == 255)
        assert set(np.unique(truth.read(1))) <= {*range(len(EUROSAT)), 255}


def test_a_size_below_one_chip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"at least 64 pixels\. Received: 63"):
        write_example(tmp_path / "scene.tif", 63)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scene.tif", "scene_truth.tif"])
def test_existing_files_stay_as_they_are_unless_asked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_example(tmp_path / "scene.tif", 64)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "mine")]
    write_example(tmp_path / "scene.tif", 64, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scene.tif", "scene_truth.tif"]


def test_a_missing_folder_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing/scene\.tif: expected a file name in a folder that exists"):
        write_example(tmp_path / "missing" / "scene.tif", 64)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("landmap.demo.example._expose", fail)  # the truth is complete by then
    with pytest.raises(OutputError, match="No space left"):
        write_example(tmp_path / "scene.tif", 64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("darker", "brighter", "band"),
    [
        pytest.param("SeaLake", "Forest", NIR, id="water absorbs near infrared"),
        pytest.param("River", "Pasture", NIR, id="rivers too"),
        pytest.param("Industrial", "Forest", NIR, id="roofs reflect less of it than leaves"),
        pytest.param("Residential", "Pasture", NIR, id="and so do towns"),
        pytest.param("Forest", "Pasture", RED, id="a canopy shades itself"),
        pytest.param("Pasture", "AnnualCrop", RED, id="chlorophyll absorbs red, bare soil doesn't"),
        pytest.param("Forest", "PermanentCrop", RED, id="soil shows between orchard rows"),
        pytest.param("SeaLake", "River", RED, id="rivers carry silt"),
        pytest.param("Residential", "Industrial", GREEN, id="halls have bright roofs"),
        pytest.param("Forest", "HerbaceousVegetation", GREEN, id="dry grass is brighter than trees"),
    ],
)
def test_reflectances_are_in_the_order_that_physics_demands(
    medians: dict[str, np.ndarray], darker: str, brighter: str, band: int
) -> None:
    assert medians[darker][band] < medians[brighter][band]


@pytest.mark.parametrize("name", ["Forest", "SeaLake"])
def test_haze_makes_blue_the_brightest_visible_band_over_dark_ground(medians: dict[str, np.ndarray], name: str) -> None:
    assert medians[name][BLUE] > medians[name][GREEN] > medians[name][RED]


def test_towns_are_rougher_than_forest_and_forest_than_water(scene: np.ndarray, truth: np.ndarray) -> None:
    step = np.abs(np.diff(scene[RED].astype(float), axis=1))
    town, forest, lake = (
        np.median(step[truth[:, 1:] == EUROSAT.names.index(name)]) for name in ("Residential", "Forest", "SeaLake")
    )
    assert town > 3 * forest > 3 * lake
