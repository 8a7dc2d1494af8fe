"""Near infrared on whole runs: when it is used, what it corrects, and that it is never needed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landmap
from landmap.errors import LandmapError
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import NODATA, LandClass, Legend
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.nir import NirPrior, Roles

WriteScene = Callable[..., Path]
Floats = npt.NDArray[np.float32]
FIELD, RIVER = range(2)
PRIOR = NirPrior(
    means=((0.7, -1.0), (-0.2, -3.4)),
    covariances=(((0.02, 0.0), (0.0, 0.1)), ((0.02, 0.0), (0.0, 0.3))),
    roles=Roles(water=(RIVER,), road=(), open_land=(FIELD,)),
)
PLAIN_CARD = replace(
    FAKE_CARD, legend=Legend((LandClass(0, "Field", "#cfe8a0"), LandClass(1, "River", "#4fb3e8"))), levels=("L1C",)
)
CARD = replace(PLAIN_CARD, nir=PRIOR)
RGBN = ("B04", "B03", "B02", "B08")
DARK_GREEN, NIR_OF_PLANTS, NIR_OF_WATER = (400, 700, 900), 4000, 300


@dataclass(frozen=True)
class DarkIsRiver:
    """True colour's mistake: what is dark and green is a river, the surer the darker."""

    card: ModelCard = CARD

    def predict(self, chips: Floats) -> Floats:
        river = 1 - 0.4 * chips.mean(axis=(1, 2, 3), dtype=np.float64).clip(0, 1).astype(np.float32)
        return np.stack([1 - river, river], axis=1)


@dataclass(frozen=True)
class Undecided:
    """Always 60 % field."""

    card: ModelCard = CARD

    def predict(self, chips: Floats) -> Floats:
        return np.tile(np.array([0.6, 0.4], np.float32), (len(chips), 1))


def field(height: int = 128, width: int = 192) -> npt.NDArray[np.uint16]:
    """A dark green field, with a river of 40 px across it, that only near infrared tells from it."""
    values = np.empty((4, height, width), np.uint16)
    values[:3] = np.array(DARK_GREEN)[:, None, None]
    values[3] = NIR_OF_PLANTS
    values[3, :, 64:104] = NIR_OF_WATER
    return values


def opened(path: Path, card: ModelCard = CARD, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=card)


def classified(scene: Path, output: Path, card: ModelCard = CARD, **choices: Any) -> npt.NDArray[np.uint8]:
    choices = {"level": "L1C", "offset": 0, "stride": 8} | choices
    landmap.classify(scene, output, classifier=DarkIsRiver(card), overwrite=True, **choices)
    with rasterio.open(output) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("stride", [8, 16, 64, 4])
def test_a_dark_green_field_is_no_river_where_near_infrared_says_so(
    stride: int, write_scene: WriteScene, tmp_path: Path
) -> None:
    scene = write_scene(field(), bands=RGBN)
    assert (classified(scene, tmp_path / "rgb.tif", use_nir=False, stride=stride) == RIVER).all()
    cover = classified(scene, tmp_path / "cover.tif", stride=stride)
    expected = np.full(cover.shape, FIELD)
    expected[:, 64:104] = RIVER
    np.testing.assert_array_equal(cover, expected)
    with rasterio.open(tmp_path / "cover.tif") as file:
        assert file.tags()["LANDMAP_NIR"] == "B08: used as NIR prior (band 4)"
        assert json.loads(file.tags()["LANDMAP_SETTINGS"])["use_nir"] is True
    with rasterio.open(tmp_path / "rgb.tif") as file:
        assert file.tags()["LANDMAP_NIR"] == "B08: not used, as asked (--no-nir): true colour only"


def test_a_scene_without_it_is_classified_as_ever(
    write_scene: WriteScene, tmp_path: Path, ordinary: Callable[..., npt.NDArray[np.uint16]]
) -> None:
    """By a model with a prior as by one without, to the last byte but for the tag that says so."""
    scene = write_scene(ordinary(150, 210))
    made = []
    for card in (PLAIN_CARD, CARD):
        landmap.classify(
            scene, tmp_path / "c.tif", probabilities=tmp_path / "p.tif", classifier=DarkIsRiver(card), overwrite=True
        )
        with rasterio.open(tmp_path / "c.tif") as cover, rasterio.open(tmp_path / "p.tif") as layers:
            made.append((cover.read().tobytes(), layers.read().tobytes(), cover.tags()))
    assert made[0][:2] == made[1][:2]
    assert {key for key in made[0][2] if made[0][2][key] != made[1][2][key]} == {"LANDMAP_NIR"}
    assert made[1][2]["LANDMAP_NIR"].startswith("B08: not in the scene: true colour only. With B08 in the file")
    assert made[0][2]["LANDMAP_NIR"] == "B08: not known to the model: true colour only"


@pytest.mark.parametrize("class_id", [FIELD, RIVER])
def test_a_constant_classifier_without_prior_gives_a_constant_cover(
    class_id: int, write_scene: WriteScene, tmp_path: Path
) -> None:
    scene = write_scene(field(), bands=RGBN)
    landmap.classify(scene, tmp_path / "c.tif", classifier=ConstantClassifier(class_id, PLAIN_CARD), level="L1C")
    with rasterio.open(tmp_path / "c.tif") as file:
        assert (file.read() == class_id).all()


def test_a_classifier_that_is_certain_of_land_is_believed(write_scene: WriteScene, tmp_path: Path) -> None:
    scene = write_scene(field(), bands=RGBN)
    landmap.classify(scene, tmp_path / "c.tif", classifier=ConstantClassifier(FIELD, CARD), level="L1C")
    with rasterio.open(tmp_path / "c.tif") as file:
        assert (file.read() == FIELD).all()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    stride=st.sampled_from([64, 16, 8, 4]),
    chunk=st.integers(1, 150),
    seed=st.integers(0, 99),
)
def test_chunks_and_threads_change_no_byte(
    height: int, width: int, stride: int, chunk: int, seed: int, write_scene: WriteScene, tmp_path: Path
) -> None:
    """And every pixel of the visible bands gets a class, whatever near infrared lacks."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 3000, (4, height, width), dtype=np.uint16)
    values[:, rng.random((height, width)) < 0.2] = 0
    values[3, rng.random((height, width)) < 0.5] = 0
    scene = write_scene(values, bands=RGBN)
    made = []
    for size, threads in ((1000, 1), (chunk, 2)):
        files = [tmp_path / name for name in ("cover.tif", "confidence.tif", "probabilities.tif")]
        landmap.classify(
            scene, files[0], confidence=files[1], probabilities=files[2], classifier=DarkIsRiver(), stride=stride,
            chunk=size, threads=threads, overwrite=True, level="L1C",
        )  # fmt: skip
        made.append([f.read_bytes() for f in files])
    assert made[0] == made[1]
    with rasterio.open(files[0]) as file:
        np.testing.assert_array_equal(file.read(1) == NODATA, (values[:3] == 0).all(axis=0))


@pytest.mark.parametrize(("profile", "hole"), [({}, 0), ({"nodata": 7}, 7)], ids=["0, undeclared", "declared"])
def test_holes_in_near_infrared_leave_the_answer_of_true_colour(
    profile: dict[str, Any], hole: int, write_scene: WriteScene, tmp_path: Path
) -> None:
    values = field()
    values[3, :64] = hole
    cover = classified(write_scene(values, bands=RGBN, **profile), tmp_path / "c.tif")
    assert (cover[:64] == RIVER).all(), "every pixel has a class, that of true colour"
    assert (cover[64:, :64] == FIELD).all()


def shares(scene: Path, folder: Path) -> npt.NDArray[np.uint8]:
    """Percent of field by near infrared, where true colour says 60 everywhere."""
    landmap.classify(
        scene, folder / "c.tif", probabilities=folder / "p.tif", classifier=Undecided(), level="L1C", overwrite=True
    )
    with rasterio.open(folder / "p.tif") as file:
        return np.asarray(file.read(1))


def test_a_hole_is_not_taken_for_darkness(write_scene: WriteScene, tmp_path: Path) -> None:
    values = field()
    values[3, :64] = 0
    found = shares(write_scene(values, bands=RGBN), tmp_path)
    assert (found[:64] == 60).all()
    assert (found[64:, :64] > 90).all()
    assert (found[64:, 64:104] < 10).all()


def test_near_infrared_where_true_colour_has_no_data_does_not_count(write_scene: WriteScene, tmp_path: Path) -> None:
    values = field()
    whole = shares(write_scene(values, "whole.tif", bands=RGBN, nodata=65535), tmp_path)
    missing = np.random.default_rng(0).random(values.shape[1:]) < 0.8
    values[:3, missing] = 65535
    found = shares(write_scene(values, "holes.tif", bands=RGBN, nodata=65535), tmp_path)
    np.testing.assert_array_equal(found, np.where(missing, NODATA, whole))


def test_a_mask_of_near_infrared_is_kept_to(write_scene: WriteScene) -> None:
    values = field()
    path = write_scene(values, bands=RGBN, nodata=NIR_OF_WATER)
    spectrum = opened(path).read(Window(0, 0, 128, 192)).spectrum
    assert spectrum is not None
    np.testing.assert_array_equal(np.isnan(spectrum[..., 2]), values[3] == NIR_OF_WATER)
    assert np.isfinite(spectrum[..., :2]).all()


def test_the_spectrum_is_reflectance_at_the_level_of_the_prior(write_scene: WriteScene) -> None:
    path = write_scene(field(), bands=RGBN)
    window = Window(0, 0, 8, 8)
    plain = opened(path).read(window).spectrum
    hazy = opened(path, level="L2A").read(window)
    assert plain is not None
    assert hazy.spectrum is not None
    np.testing.assert_allclose(plain[0, 0], (0.04, 0.07, 0.4), rtol=1e-6)
    np.testing.assert_allclose(hazy.spectrum[0, 0], (0.0602, 0.1052, 0.37), rtol=1e-5)
    np.testing.assert_array_equal(hazy.spectrum[..., :2], hazy.values[..., :2], "red and green as the model sees them")
    both = replace(CARD, levels=("L1C", "L2A"))
    other = opened(path, both, level="L2A").read(window)
    assert other.spectrum is not None
    np.testing.assert_array_equal(other.spectrum, hazy.spectrum, "the prior's level, not the model's")
    np.testing.assert_allclose(other.values[0, 0, 0], 0.04, rtol=1e-6)


def test_a_scene_with_near_infrared_is_small_and_picklable(write_scene: WriteScene) -> None:
    scene = opened(write_scene(field(), bands=RGBN))
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert len(pickle.dumps(scene)) < 10_000


# --- where it is used, and why not


@pytest.mark.parametrize(
    ("bands", "choices", "says"),
    [
        (RGBN, {}, "used as NIR prior (band 4)"),
        (("red", "green", "blue", "nir"), {}, "used as NIR prior (band 4)"),
        (("x", "y", "z", "w"), {"bands": "1,2,3,4"}, "used as NIR prior (band 4)"),
        (("x", "y", "z", "w"), {"bands": "B08=4,B04=1,B03=2,B02=3"}, "used as NIR prior (band 4)"),
        (("x", "y", "z", "w"), {"bands": "B04,B03,B02,B08"}, "used as NIR prior (band 4)"),
        (RGBN, {"scale": 1e-4}, "used as NIR prior (band 4)"),
        (RGBN, {"use_nir": False}, "not used, as asked (--no-nir): true colour only"),
        (RGBN, {"bands": "1,2,3"}, "not among --bands: true colour only. Add B08=N if the file has it"),
        (("B04", "B03", "B02", "B8A"), {}, "not in the scene: true colour only."),
        (("B04", "B03", "B02", "narrow nir"), {}, "not in the scene: true colour only."),
        (RGBN, {"scale": "8bit"}, "8 bits, as of a picture: true colour only."),
        (RGBN, {"scale": 1.0}, "not like reflectance (median 4e+03"),
    ],
)
def test_what_is_said_of_it(
    bands: tuple[str, ...], choices: dict[str, Any], says: str, write_scene: WriteScene
) -> None:
    scene = opened(write_scene(field(), bands=bands), **choices)
    assert scene.nir_text.startswith(says)
    assert (scene.nir is not None) == says.startswith("used")
    assert (scene.read(Window(0, 0, 8, 8)).spectrum is not None) == says.startswith("used")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.astype(np.uint8), "8 bits, as of a picture"),
        (lambda v: v.astype(np.float32) / 1e4, "of a scale that is assumed: true colour only. Give --scale"),
        (lambda v: v * (np.arange(4) < 3)[:, None, None].astype(v.dtype), "without data where it was looked at"),
        (lambda v: np.concatenate([v[:3], v[3:] // 4000]), "not like reflectance"),
    ],
    ids=["8 bits", "floats", "empty", "nearly black"],
)
def test_what_can_not_be_trusted_is_not_used(change: Any, says: str, write_scene: WriteScene) -> None:
    scene = opened(write_scene(change(field()), bands=RGBN))
    assert scene.nir is None
    assert scene.nir_text.startswith(says)


def test_what_is_there_and_not_used_is_a_warning(write_scene: WriteScene) -> None:
    floats = write_scene(field().astype(np.float32) / 1e4, bands=RGBN)
    made = landmap.plan(floats, card=CARD, level="L1C", offset=0)
    assert "B08 is not used: of a scale that is assumed: true colour only. Give --scale" in made.warnings
    obeyed = landmap.plan(floats, card=CARD, level="L1C", offset=0, scale="reflectance")
    assert (obeyed.scene.nir is not None, obeyed.warnings) == (True, ())
    for choices in ({"use_nir": False}, {"bands": "1,2,3"}):
        assert (
            landmap.plan(write_scene(field(), bands=RGBN), card=CARD, level="L1C", offset=0, **choices).warnings == ()
        )


@pytest.mark.parametrize("said", [True, False])
def test_near_infrared_is_found_where_its_data_are(said: bool, write_scene: WriteScene) -> None:
    """Between the places of a scene that are sampled; what metadata say of it never hangs on a sample."""
    values = np.zeros((4, 1600, 1600), np.uint16)
    values[:, 450:578, 450:642] = field()
    path = write_scene(values, bands=RGBN)
    if said:
        with rasterio.open(path, "r+") as file:
            file.scales = (1e-4,) * 4
    scene = opened(path)
    assert scene.nir_text == "used as NIR prior (band 4)"
    assert scene.warnings == ()


def test_what_metadata_say_of_it_is_doubted_aloud_and_not_overruled(write_scene: WriteScene) -> None:
    path = write_scene(np.concatenate([field()[:3], field()[3:] // 4000]), bands=RGBN)
    assert opened(path).nir is None
    with rasterio.open(path, "r+") as file:
        file.scales = (1e-4,) * 4
    scene = opened(path)
    assert scene.nir is not None
    assert scene.warnings[0].startswith("B08 is not like reflectance (median 0.0001, 99th percentile 0.0001), and used")
    assert opened(path, use_nir=False).warnings == (), "as the warning says"


@pytest.mark.parametrize(
    ("fill", "profile"), [(65_535, {}), (0, {"nodata": 0}), (0, {}), (-9999, {}), (7, {"nodata": 7})]
)
def test_much_that_is_mapped_without_near_infrared_is_told(
    fill: int, profile: dict[str, Any], write_scene: WriteScene
) -> None:
    values = field().astype(np.int16 if fill < 0 else np.uint16)
    assert not opened(write_scene(values, "whole.tif", bands=RGBN, **profile)).warnings
    values[3, :, 64:104] = fill
    scene = opened(write_scene(values, bands=RGBN, **profile))
    assert scene.nir is not None
    (told,) = scene.warnings
    share = float(told.split(" in ")[1].split(" %")[0])
    assert f"B08 has no data (it is {fill} there) in" in told
    assert abs(share - 100 * 40 / 192) < 8
    values[:3, :, 64:104] = fill  # where nothing has data, near infrared is not missed
    assert not any("B08" in text for text in opened(write_scene(values, "gap.tif", bands=RGBN, **profile)).warnings)


def test_two_bands_of_that_name_are_not_chosen_from(write_scene: WriteScene) -> None:
    values = np.concatenate([field(), field()[3:]])
    scene = opened(write_scene(values, bands=(*RGBN, "nir")))
    assert scene.nir_text == ("there 2 times: true colour only. Say which is which: --bands B04=N,B03=N,B02=N,B08=N")


def test_another_offset_than_that_of_red_is_not_believed(write_scene: WriteScene) -> None:
    path = write_scene(field(), bands=RGBN)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 4, (0, 0, 0, -0.1)
    assert opened(path, offset="auto").nir_text.startswith("of another scale or offset than red and green")
    with rasterio.open(path, "r+") as file:
        file.offsets = (-0.1,) * 4
    assert opened(path, offset="auto").nir is not None


def test_numbers_of_it_that_make_no_sense_cost_only_near_infrared(write_scene: WriteScene) -> None:
    path = write_scene(field(), bands=RGBN)
    with rasterio.open(path, "r+") as file:
        file.update_tags(4, BOA_ADD_OFFSET="none")
    scene = opened(path, offset="auto")
    assert scene.nir_text.startswith("not usable: true colour only. expected a number as its tag BOA_ADD_OFFSET")


def test_the_plan_says_it_in_words_and_in_json(write_scene: WriteScene) -> None:
    made = landmap.plan(write_scene(field(), bands=RGBN), card=CARD, level="L1C")
    assert made.to_dict()["nir"] == {"used": True, "band": 4, "text": "B08: used as NIR prior (band 4)"}
    without = landmap.plan(made.scene.source.path, card=CARD, level="L1C", use_nir=False)
    assert without.to_dict()["nir"]["used"] is False
    assert without.to_dict()["nir"]["band"] is None
    assert without.chunk_bytes < made.chunk_bytes


def test_a_model_of_several_classes_a_chip_makes_no_map(write_scene: WriteScene) -> None:
    several = replace(PLAIN_CARD, task="multi-label", thresholds=(0.4, 0.6))
    with pytest.raises(ModelError, match=r"constant: expected a single-label model.*Received: multi-label") as caught:
        landmap.plan(write_scene(field(), bands=RGBN), card=several)
    assert isinstance(caught.value, LandmapError)
