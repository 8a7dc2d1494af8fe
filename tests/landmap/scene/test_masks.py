"""Masks: what is left out is nodata exactly where an oracle says, and nothing else changes."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from pyproj import Transformer

import landmap
from landmap.cli import cli
from landmap.errors import OutputError, SceneError, SettingsError
from landmap.geo.areas import pixel_hectares
from landmap.run.fingerprint import comparable_settings, fingerprint
from landmap.scene.scene import Scene, files_read, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier, ConstantClassifier
from landmap_models.legend import NODATA

Floats = npt.NDArray[np.float32]
WriteScene = Callable[..., Path]
MakeCover = Callable[..., npt.NDArray[np.uint8]]
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
HEIGHT, WIDTH = 150, 210
ALL = Window(0, 0, HEIGHT, WIDTH)
ALL_33TWM = Window(0, 0, 915, 915)


@pytest.fixture
def scene(write_scene: WriteScene, ordinary: Callable[..., Any]) -> Path:
    values = ordinary(HEIGHT, WIDTH)
    values[:, :20, :30] = 0
    return write_scene(values, nodata=0)


def classes(height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.uint8]:
    """A scene classification with every class in rectangles of 7 x 9 pixels."""
    rows, cols = np.mgrid[:height, :width]
    return ((rows // 7 * 5 + cols // 9) % 12).astype(np.uint8)


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=FAKE_CARD)


def mapped(path: Path, **choices: Any) -> npt.NDArray[np.bool_]:
    return opened(path, **choices).read(ALL).mapped


@pytest.fixture
def cover(sensitive: Classifier) -> MakeCover:
    """A function that classifies a scene, and reads the cover."""

    def make(scene: Path, output: Path, **choices: Any) -> npt.NDArray[np.uint8]:
        landmap.classify(scene, output, **{"classifier": sensitive, "level": "L1C", "offset": 0} | choices)
        with rasterio.open(output) as file:
            return np.asarray(file.read(1))

    return make


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (None, {0, 1, 3, 8, 9, 10, 11}),
        ("cloud", {0, 8, 9, 10}),
        ("cloud_high, snow", {0, 9, 11}),
        (("shadow", "dark", "cloud_medium"), {0, 2, 3, 8}),
        ("no_data", {0}),
        ("vegetation,bare,water,unclassified,saturated,cirrus", {0, 1, 4, 5, 6, 7, 10}),
    ],
)
def test_classes_are_left_out_by_name(
    names: Any, numbers: set[int], scene: Path, write_band: Callable[..., Path], tmp_path: Path, cover: MakeCover
) -> None:
    scl = write_band(tmp_path / "classes.tif", classes())
    with rasterio.open(scene) as file:
        seen = file.read(1) != 0
    expected = seen & ~np.isin(classes(), list(numbers))
    assert 0 < expected.sum() < seen.sum()
    made = cover(scene, tmp_path / "cover.tif", scl=scl, mask_classes=names, stride=16)
    np.testing.assert_array_equal(made != NODATA, expected)


def test_a_classification_of_other_pixels_and_crs_is_looked_up(scene: Path, tmp_path: Path) -> None:
    """By the middle of each pixel, brought there by pyproj; those within 1/20 pixel of a border may go either way."""
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    west, north = to_degrees.transform(499_900, 5_000_100)
    across, down = 0.00021, 0.00017
    numbers = classes(200, 220)
    place = Affine(across, 0, west, 0, -down, north)
    profile: dict[str, Any] = {"driver": "GTiff", "height": 200, "width": 220, "count": 2, "dtype": "uint8"}
    with rasterio.open(tmp_path / "scl.tif", "w", crs=4326, transform=place, **profile) as file:
        file.write(np.full_like(numbers, 200), 1)
        file.write(numbers, 2)
        file.descriptions = ("quality", "SCL")
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    lon, lat = to_degrees.transform(*(UTM @ (cols.ravel(), rows.ravel())))
    col, row = (lon - west) / across, (north - lat) / down
    sure = (np.abs(col - np.rint(col)) > 0.05) & (np.abs(row - np.rint(row)) > 0.05)
    expected = ~np.isin(numbers[row.astype(int), col.astype(int)], [0, 8, 9, 10])
    found = mapped(scene, scl=tmp_path / "scl.tif", mask_classes="cloud").ravel()
    with rasterio.open(scene) as file:
        seen = file.read(1).ravel() != 0
    assert sure.mean() > 0.7
    np.testing.assert_array_equal(found[sure], (expected & seen)[sure])


def test_beyond_a_mask_raster_nothing_is_known(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    half = write_band(tmp_path / "half.tif", np.full((HEIGHT, 100), 4, np.uint8))
    for choice in ({"scl": half}, {"mask": half}):
        found = mapped(scene, **choice)
        assert not found[:, 100:].any()
        assert found[20:, :100].all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_mask_leaves_out_zero_and_no_data(
    dtype: str, scene: Path, write_band: Callable[..., Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (HEIGHT, WIDTH)).astype(dtype)
    mask = write_band(tmp_path / "mask.tif", values, nodata=3)
    with rasterio.open(scene) as file:
        seen = file.read(1) != 0
    np.testing.assert_array_equal(mapped(scene, mask=mask), seen & np.isin(values, [1, 2]))


def test_masks_are_taken_together(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    scl, mask = write_band(tmp_path / "a.tif", classes()), write_band(tmp_path / "b.tif", classes().T[:150, :150])
    both = mapped(scene, scl=scl, mask=mask)
    np.testing.assert_array_equal(both, mapped(scene, scl=scl) & mapped(scene, mask=mask))


def test_what_is_masked_is_like_nodata_in_the_file(
    write_scene: WriteScene,
    ordinary: Callable[..., Any],
    write_band: Callable[..., Path],
    tmp_path: Path,
    cover: MakeCover,
) -> None:
    """Windows do not see it: clouds are no land."""
    values = ordinary(HEIGHT, WIDTH)
    cloud = np.zeros((HEIGHT, WIDTH), bool)
    cloud[40:90, 60:120] = True
    bright = write_scene(np.where(cloud, 9000, values).astype(np.uint16), nodata=0)
    holed = write_scene(np.where(cloud, 0, values).astype(np.uint16), "holed.tif", nodata=0)
    mask = write_band(tmp_path / "clear.tif", (~cloud).astype(np.uint8))
    masked = cover(bright, tmp_path / "masked.tif", mask=mask, stride=8)
    np.testing.assert_array_equal(masked, cover(holed, tmp_path / "other.tif", stride=8))
    plain = cover(bright, tmp_path / "plain.tif", stride=8)
    far = np.zeros_like(cloud)
    far[:, 120 + 72 :] = True  # windows of 64 px that reach over cells of 8 px
    np.testing.assert_array_equal(masked[far], plain[far])
    assert (masked != plain)[~cloud].any()


# --- the scene's own classification


def test_a_band_of_the_scene_by_its_name_or_by_number(write_scene: WriteScene, ordinary: Callable[..., Any]) -> None:
    values = np.concatenate([ordinary(HEIGHT, WIDTH), classes()[None].astype(np.uint16)])
    named = write_scene(values, bands=("B04", "B03", "B02", "SCL"))
    silent = write_scene(values, "silent.tif", bands=("", "", "", ""))
    expected = ~np.isin(classes(), [0, 3, 1, 8, 9, 10, 11])
    np.testing.assert_array_equal(mapped(named, scl="auto"), expected)
    np.testing.assert_array_equal(mapped(silent, scl="auto", bands="B04,B03,B02,SCL"), expected)
    np.testing.assert_array_equal(mapped(silent, scl="auto", bands="SCL=4,B04=1,B03=2,B02=3"), expected)
    cloudless = mapped(named, mask_classes="cloud")  # given alone it means the scene's own
    np.testing.assert_array_equal(cloudless, ~np.isin(classes(), [0, 8, 9, 10]))
    assert open_scene(silent, Settings(bands="B04,B03,B02,SCL", offset=0), card=FAKE_CARD).radiometry.level == "L2A"
    with pytest.raises(SettingsError, match="--bands"):
        mapped(silent, bands="1,2,3,4")  # a bare fourth number is no classification


def test_a_products_own_of_20_metres(
    tmp_path: Path, write_band: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    for name, values in zip(("B04", "B03", "B02"), ordinary(HEIGHT, WIDTH), strict=True):
        write_band(tmp_path / f"set/{name}.tif", values)
    coarse = classes(HEIGHT // 2, WIDTH // 2)
    write_band(tmp_path / "set/SCL.tif", coarse, metres=20)
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
    expected = ~np.isin(fine, [0, 1, 3, 8, 9, 10, 11])
    np.testing.assert_array_equal(mapped(tmp_path / "set", scl="auto"), expected)
    part = opened(tmp_path / "set", scl="auto", window=(31, 17, 60, 50))
    np.testing.assert_array_equal(part.read(Window(0, 0, 50, 60)).mapped, expected[17:67, 31:91])


# --- chunks, processes, runs


def test_chunks_change_nothing(scene: Path, write_band: Callable[..., Path], tmp_path: Path, cover: MakeCover) -> None:
    scl = write_band(tmp_path / "scl.tif", classes(80, 110), metres=20)
    whole = cover(scene, tmp_path / "whole.tif", scl=scl, stride=16)
    cut = cover(scene, tmp_path / "cut.tif", scl=scl, stride=16, chunk=32)
    np.testing.assert_array_equal(whole, cut)
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "cut.tif").read_bytes()


def test_a_masked_scene_is_small_and_can_be_sent(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    made = opened(scene, scl=write_band(tmp_path / "scl.tif", classes(80, 110), metres=20))
    sent = pickle.dumps(made)
    assert len(sent) < 10_000
    np.testing.assert_array_equal(pickle.loads(sent).read(ALL).mapped, made.read(ALL).mapped)


def test_a_changed_mask_starts_afresh(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    mask = write_band(tmp_path / "mask.tif", classes())

    def known() -> dict[str, Any]:
        plan = landmap.plan(scene, card=FAKE_CARD, level="L1C", offset=0, mask=mask)
        assert str(mask) in files_read(plan.scene)
        return fingerprint(plan, "float32", "cpu", keep_probabilities=False)

    before = known()
    assert known() == before
    os.utime(mask, ns=(1, 1))
    assert known()["files"] != before["files"]


def test_no_signature_of_a_masks_address_is_kept() -> None:
    secret = "https://user:pass@example.com/mask.tif?id=7&X-Amz-Signature=abc"
    told = json.dumps(comparable_settings(Settings(mask=secret, aoi=secret, scl=secret)))
    assert "pass" not in told
    assert "abc" not in told
    assert told != json.dumps(comparable_settings(Settings(mask=secret.replace("7", "8"), aoi=secret, scl=secret)))
    assert told == json.dumps(comparable_settings(Settings(mask=secret.replace("abc", "xyz"), aoi=secret, scl=secret)))


def test_a_changed_mask_makes_a_batch_outdated(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    from landmap.batch.jobs import Job
    from landmap.batch.tasks import Extras, make_tasks

    mask = write_band(tmp_path / "mask.tif", classes())

    def made_with() -> dict[str, Any]:
        jobs, settings = [Job(str(scene), "a.tif")], Settings(mask=mask)
        (task,) = make_tasks(jobs, settings, FAKE_CARD, confidence=False, extras=Extras())
        return dict(task.made_with)

    before = made_with()
    os.utime(mask, ns=(1, 1))
    assert made_with() != before


def test_a_mask_is_not_overwritten(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    mask = write_band(tmp_path / "mask.tif", classes())
    content = mask.read_bytes()
    for name in ("mask", "scl"):
        with pytest.raises(OutputError, match=r"mask\.tif: is the scene itself, or a file that it is .* another input"):
            landmap.classify(scene, mask, classifier=ConstantClassifier(), overwrite=True, **{name: mask})
    assert mask.read_bytes() == content


def test_a_scene_without_a_pixel_left_in_says_so(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    mask = write_band(tmp_path / "mask.tif", np.zeros((HEIGHT, WIDTH), np.uint8))
    result = landmap.classify(scene, tmp_path / "c.tif", classifier=ConstantClassifier(), mask=mask, offset=0)
    assert result.warnings[-1] == "no pixel of the scene has data and is left in by the masks: the map is empty"


def test_plan_and_tags_say_what_is_left_out(
    scene: Path, write_band: Callable[..., Path], tmp_path: Path, cover: MakeCover
) -> None:
    scl = write_band(tmp_path / "classes.tif", classes())
    done = CliRunner().invoke(cli, ["plan", str(scene), "--scl", str(scl), "--mask-classes", "cloud,snow"])
    words = "cloud, snow by classes.tif, and what it does not classify"
    assert done.exit_code == 0, done.output
    assert f"masks    {words}" in done.output
    cover(scene, tmp_path / "cover.tif", scl=scl, mask_classes=["cloud", "snow"])
    with rasterio.open(tmp_path / "cover.tif") as file:
        tags = file.tags()
    assert json.loads(tags["LANDMAP_MASKS"]) == [words]
    assert json.loads(tags["LANDMAP_SETTINGS"])["scl"] == "classes.tif"
    assert str(tmp_path) not in json.dumps(tags)


# --- refused


def test_what_is_no_classification_is_refused(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    wrong = write_band(tmp_path / "wrong.tif", np.full((HEIGHT, WIDTH), 1200, np.uint16))
    with pytest.raises(SceneError, match=r"wrong\.tif: expected a scene classification, .* Received: 1200"):
        mapped(scene, scl=wrong)
    with pytest.raises(SceneError, match=r"no product that has it \(SCL, .*\), and no band called SCL.* --clouds auto"):
        mapped(scene, scl="auto")
    with pytest.raises(SceneError, match=r"missing\.tif: can't be read as a raster"):
        mapped(scene, mask=tmp_path / "missing.tif")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"transform": Affine(10, 0, 700_000, 0, -10, 5_000_000)}, "touches the scene, which lies at 500000 to 502100"),
        ({"crs": "EPSG:32613"}, "touches the scene"),
        ({"crs": None}, "CRS in both"),
    ],
)
def test_a_mask_that_lies_elsewhere_is_refused(
    place: dict[str, Any], words: str, scene: Path, write_band: Callable[..., Path], tmp_path: Path
) -> None:
    mask = write_band(tmp_path / "mask.tif", classes(), **place)
    with pytest.raises(SceneError, match=words):
        mapped(scene, mask=mask)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"mask_classes": "clouds"}, "mask_classes: expected names out of no_data, saturated, .* 'clouds'"),
        ({"mask_classes": ""}, "mask_classes"),
        ({"mask_classes": 3}, "mask_classes"),
        ({"scl": ""}, "scl: expected a file"),
        ({"mask": 3}, "mask: expected a file"),
    ],
)
def test_settings_that_can_not_be_meant(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(**choices)


def test_settings_have_one_form_however_they_are_given() -> None:
    one = Settings(scl=Path("a.tif"), mask_classes="cloud, snow", window=[1, 2, 3, 4])
    other = Settings(scl="a.tif", mask_classes=["cloud", "snow"], window=(1, 2, 3, 4))
    assert one == other
    json.dumps(dataclasses.asdict(one))


@pytest.mark.real
def test_calais_with_its_own_classification(shared: Path, tmp_path: Path) -> None:
    scene = shared / "scenes/calais/calais_B04B03B02_SCL.tif"
    with rasterio.open(scene) as file:
        values = file.read()
    expected = (values[:3] != 32767).all(axis=0) & ~np.isin(values[3], [0, 1, 3, 8, 9, 10, 11, 32767])
    choices: dict[str, Any] = {"bands": "B04,B03,B02,SCL", "scl": "auto", "offset": 0}
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(4), **choices)
    with rasterio.open(tmp_path / "cover.tif") as file:
        np.testing.assert_array_equal(file.read(1) == 4, expected)
    result = landmap.classify(scene, tmp_path / "w.tif", classifier=ConstantClassifier(4), warp="auto", **choices)
    with rasterio.open(tmp_path / "w.tif") as file:
        assert (file.crs.to_epsg(), file.res, file.shape) == (32631, (10, 10), (515, 489))
        hectares = (file.read(1) == 4).sum() / 100
    # The same ground, by the size of a pixel in the middle.
    assert pixel_hectares(result.plan.scene.geobox) == 0.01
    assert hectares == pytest.approx(expected.sum() * 6.03 * 6.01 / 10_000, rel=0.01)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_without_a_place_have_their_items(shared: Path) -> None:
    """The classification too: its item says where it lies, as of the bands."""
    scene = opened(shared / "scenes/33TWM", mask_classes="cloud", level="L2A")
    with rasterio.open(shared / "scenes/33TWM/SCL.tif") as file:
        expected = ~np.isin(file.read(1), [0, 8, 9, 10])
    found = scene.read(ALL_33TWM)
    np.testing.assert_array_equal(found.mapped, expected & replace(scene, masks=()).read(ALL_33TWM).valid)
    assert 0.05 < found.mapped.mean() < 0.999
