"""What a file's numbers mean: every source of scale, offset and level, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landmap.errors import SceneError, SettingsError
from landmap.radiometry.conversion import HAZE, Evidence, Radiometry
from landmap.radiometry.resolve import decide, haze_between
from landmap.settings import Settings
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import BandProfile, ModelCard
from landmap_models.sentinel2 import Level

Floats = npt.NDArray[np.float32]

BANDS = ("B04", "B03", "B02")
# Like EuroSAT's L1C chips: the air lights blue most.
L1C_CARD = replace(
    FAKE_CARD,
    bands=(
        BandProfile("B04", 0.035, 0.085, 0.25, 0.095),
        BandProfile("B03", 0.055, 0.100, 0.24, 0.105),
        BandProfile("B02", 0.080, 0.110, 0.22, 0.115),
    ),
    levels=("L1C",),
)
L2A_CARD = replace(
    FAKE_CARD,
    bands=(
        BandProfile("B04", 0.010, 0.070, 0.25, 0.080),
        BandProfile("B03", 0.015, 0.065, 0.22, 0.075),
        BandProfile("B02", 0.008, 0.045, 0.18, 0.055),
    ),
    levels=("L2A",),
)
CARDS = {"L1C": L1C_CARD, "L2A": L2A_CARD, "both": FAKE_CARD}


def typical(card: ModelCard, size: int = 4000) -> Floats:
    """Reflectance `(n, bands)` with the percentiles that the card tells of."""
    at = np.linspace(0, 1, size)
    columns = [np.interp(at, (0, 0.01, 0.5, 0.99, 1), (b.p01, b.p01, b.median, b.p99, b.p99)) for b in card.bands]
    return np.stack(columns, axis=1).astype(np.float32)


def evidence(sample: Floats | None = None, **changes: Any) -> Evidence:
    """A file that says nothing: 16 bits, no tags."""
    plain = Evidence(
        path="scene.tif",
        dtype="uint16",
        band_names=BANDS,
        scales=(1.0, 1.0, 1.0),
        offsets=(0.0, 0.0, 0.0),
        tags={},
        band_tags=({}, {}, {}),
        has_scl=False,
        band_indexes=(3, 2, 1),
        sample=np.zeros((0, 3), np.float32) if sample is None else sample,
    )
    return replace(plain, **changes)


def decided(found: Evidence | None = None, card: ModelCard = FAKE_CARD, **choices: Any) -> Radiometry:
    return decide(found or evidence(), card, Settings(**choices))


# --- scale


EIGHT_BIT = FAKE_CARD.reflectance_range[1] / 255
DN = np.full((10, 3), 800, np.float32)
THIRD = ({}, {}, {"QUANTIFICATION_VALUE": "20000"})


@pytest.mark.parametrize(
    ("changes", "given", "scale", "origin", "assumed", "why"),
    [
        ({}, "auto", 1e-4, "Sentinel-2's DN/10000", False, "16 bits"),
        ({"dtype": "int16"}, "auto", 1e-4, "Sentinel-2's DN/10000", False, "16 bits"),
        ({"dtype": "int32"}, "auto", 1e-4, "assumed: dn, as it is int32", True, "unusual"),
        ({"dtype": "uint8"}, "auto", EIGHT_BIT, "assumed: 8bit", True, "a picture"),
        ({"dtype": "float32"}, "auto", 1.0, "assumed: reflectance", True, "no pixel says otherwise"),
        ({"dtype": "float32", "sample": DN / 1e4}, "auto", 1.0, "assumed: reflectance", True, "small floats"),
        ({"dtype": "float64", "sample": DN}, "auto", 1e-4, "assumed: dn", True, "large floats"),
        ({"scales": (2e-5,) * 3}, "auto", 2e-5, "the file's band scales", False, "GDAL's"),
        ({"scales": (2e-5,) * 3}, "dn", 1e-4, "given with --scale", False, "the user knows better"),
        ({"dtype": "uint8"}, "reflectance", 1.0, "given with --scale", False, "the user knows better"),
        ({"dtype": "uint16"}, "8bit", EIGHT_BIT, "given with --scale", False, "8 bits in 16"),
        ({"dtype": "uint8"}, 0.004, 0.004, "given with --scale", False, "a number"),
        ({"tags": {"QUANTIFICATION_VALUE": "20000"}}, "auto", 5e-5, "QUANTIFICATION_VALUE", False, "L1C's tag"),
        ({"tags": {"BOA_QUANTIFICATION_VALUE": "20000"}}, "auto", 5e-5, "QUANTIFICATION_VALUE", False, "L2A's tag"),
        (
            {"scales": (2e-5,) * 3, "tags": {"QUANTIFICATION_VALUE": "20000"}},
            "auto",
            2e-5,
            "the file's band scales",
            False,
            "what the file does comes before what its product did",
        ),
        (
            {"dtype": "uint8", "tags": {"BOA_QUANTIFICATION_VALUE": "10000"}},
            "auto",
            EIGHT_BIT,
            "assumed: 8bit",
            True,
            "GDAL gives a product's true-colour picture the product's tags",
        ),
    ],
)
def test_scale(changes: dict[str, Any], given: Any, scale: float, origin: str, assumed: bool, why: str) -> None:
    made = decided(evidence(**changes), scale=given)
    assert made.scale == pytest.approx((scale,) * 3), why
    assert origin in made.origins["scale"]
    assert ("scale" in made.assumed) == assumed


def test_each_band_has_its_own_scale() -> None:
    assert decided(evidence(scales=(1e-4, 2e-4, 1.0))).scale == (1e-4, 2e-4, 1.0)
    tags = ({}, {"QUANTIFICATION_VALUE": "5000"}, {})
    made = decided(evidence(tags={"QUANTIFICATION_VALUE": "10000"}, band_tags=tags))
    assert made.scale == pytest.approx((1e-4, 2e-4, 1e-4)), "a band's tag comes before the file's"


@pytest.mark.parametrize(
    ("changes", "message", "why"),
    [
        ({"scales": (1e-4, 0.0, 1e-4)}, "expected positive numbers as its band scales", "black"),
        ({"scales": (1e-4, -1e-4, 1e-4)}, "expected positive numbers as its band scales", "negative light"),
        ({"scales": (float("nan"),) * 3}, "expected positive numbers as its band scales", "not a number"),
        ({"tags": {"QUANTIFICATION_VALUE": "0"}}, "expected positive numbers as its tag", "no division by 0"),
        ({"tags": {"QUANTIFICATION_VALUE": "1e4 DN"}}, "expected a number as its tag", "with a unit"),
        ({"tags": {"QUANTIFICATION_VALUE": "nan"}}, "expected a number as its tag", "not a number"),
        ({"band_tags": THIRD}, "expected a number as its tag QUANTIFICATION_VALUE for every band", "one of three"),
    ],
)
def test_scale_that_cannot_be_meant_is_an_error_unless_given(changes: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(SceneError, match=message) as caught:
        decided(evidence(**changes))
    assert "scene.tif" in str(caught.value)
    assert "--scale" in str(caught.value)
    assert decided(evidence(**changes), scale="dn").scale == (1e-4,) * 3, "as the message says"


# --- offset


MINUS = {"RADIO_ADD_OFFSET": "-1000"}


@pytest.mark.parametrize(
    ("changes", "offset", "origin", "why"),
    [
        ({}, 0, "assumed: 0", "says nothing"),
        ({"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3}, -1000, "the file's band offsets", "GDAL adds after scaling"),
        ({"offsets": (-1000.0,) * 3}, -1000, "the file's band offsets", "without a scale it is in the file's units"),
        ({"tags": MINUS}, -1000, "the file's tag RADIO_ADD_OFFSET", "L1C's tag of the file"),
        ({"tags": {"BOA_ADD_OFFSET": "-1000.0"}}, -1000, "the file's tag BOA_ADD_OFFSET", "L2A's tag of the file"),
        ({"band_tags": (MINUS,) * 3}, -1000, "the file's tag RADIO_ADD_OFFSET", "of the bands, as GDAL gives it"),
        ({"band_tags": (MINUS,) * 3, "tags": {"RADIO_ADD_OFFSET": "7"}}, -1000, "RADIO_ADD_OFFSET", "bands' own first"),
        (
            {"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3, "tags": MINUS},
            -1000,
            "the file's band offsets",
            "both say the same",
        ),
        (
            {"tags": {"BOA_ADD_OFFSET": "-1000,-1000,-1000,-1000"}, "band_count": 4},
            -1000,
            "the file's tag BOA_ADD_OFFSET",
            "a list of one for each band of the file, B08 included",
        ),
        ({"tags": {"BOA_ADD_OFFSET": "-1000; -1000 -1000"}, "band_count": 3}, -1000, "BOA_ADD_OFFSET", "as a list"),
        ({"tags": {"RADIO_ADD_OFFSET": "0"}}, 0, "the file's tag RADIO_ADD_OFFSET", "known, not assumed"),
        (
            {"tags": {"PRODUCT_START_TIME": "2024-06-01", "PROCESSING_BASELINE": "05.11"}},
            0,
            "assumed: 0",
            "never by date nor baseline",
        ),
        ({"path": "S2A_MSIL2A_20241014T101021_N0511.tif"}, 0, "assumed: 0", "nor by the date in a name"),
        (
            {"dtype": "uint8", "tags": MINUS},
            0,
            "assumed: 0",
            "a product's tags do not hold for its true-colour picture",
        ),
    ],
)
def test_offset(changes: dict[str, Any], offset: float, origin: str, why: str) -> None:
    made = decided(evidence(**changes))
    assert made.offset == pytest.approx((offset,) * 3), why
    assert origin in made.origins["offset"]
    assert ("offset" in made.assumed) == ("assumed" in origin)
    assert decided(evidence(**changes), offset=-37).offset == (-37.0,) * 3, "what the user gives wins"
    assert decided(evidence(**changes), offset=0).origins["offset"] == "given with --offset", "0 included"


def test_offset_is_added_before_scaling_in_the_files_units() -> None:
    made = decided(evidence(scales=(1e-4,) * 3, offsets=(-0.1, -0.1, 0.0)))
    assert made.to_model(np.array([[1500, 1000, 1500]])) == pytest.approx(np.array([[0.05, 0.0, 0.15]]), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message", "why"),
    [
        ({"offsets": (-0.1,) * 3, "scales": (1e-4,) * 3, "tags": {"BOA_ADD_OFFSET": "1000"}}, "disagree", "sign"),
        ({"offsets": (-0.1,) * 3, "scales": (1e-4,) * 3, "tags": {"BOA_ADD_OFFSET": "0"}}, "disagree", "0 counts"),
        ({"tags": {"BOA_ADD_OFFSET": "none"}}, "expected a number as its tag BOA_ADD_OFFSET", "no number"),
        (
            {"tags": {"BOA_ADD_OFFSET": "-9,-9,-9"}, "band_count": 4},
            "expected a number as its tag BOA",
            "of other bands",
        ),
        ({"tags": {"BOA_ADD_OFFSET": "-9,-9,0"}, "band_count": 3}, "expected a number as its tag BOA", "of which band"),
        ({"band_tags": (MINUS, MINUS, {})}, "expected a number as its tag RADIO_ADD_OFFSET for every band", "a gap"),
        ({"offsets": (float("nan"),) * 3}, "can't make sense of its band offsets", "not a number"),
    ],
)
def test_contradicting_offsets_are_an_error_unless_given(changes: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(SceneError, match=message) as caught:
        decided(evidence(**changes))
    assert "scene.tif" in str(caught.value)
    assert "--offset" in str(caught.value)
    assert decided(evidence(**changes), offset=-1000).offset == (-1000.0,) * 3, "as the message says"


# --- level


DARK, AIRY = (np.full((100, 3), value, np.float32) for value in (300, 900))


@pytest.mark.parametrize(
    ("changes", "level", "origin", "why"),
    [
        ({"tags": {"PROCESSING_LEVEL": "Level-2A"}}, "L2A", "the file's tag PROCESSING_LEVEL", "GDAL's tag"),
        ({"tags": {"PRODUCT_TYPE": "S2MSI1C"}}, "L1C", "the file's tag PRODUCT_TYPE", "ESA's tag"),
        (
            {"tags": {"PROCESSING_LEVEL": "Level-2A"}, "path": "a_L1C.tif"},
            "L2A",
            "the file's tag",
            "a tag comes before a name",
        ),
        ({"path": "/data/kempen_L2A.tif"}, "L2A", "the file's name", "as people name files"),
        ({"path": "/data/L2A/kempen_L1C.tif"}, "L1C", "the file's name", "the folder does not count"),
        ({"path": "/d/S2A_MSIL2A_2024.SAFE/T33_TCI.jp2"}, "L2A", "the product it lies in", "but a product's does"),
        ({"path": r"C:\L2A\kempen_l1c.tif"}, "L1C", "the file's name", "Windows and small letters"),
        ({"path": "a_L1C.tif", "sample": DARK}, "L1C", "the file's name", "a name comes before darkness"),
        ({"has_scl": True}, "L2A", "SCL", "only L2A has one"),
        ({"has_scl": True, "path": "a_L1C.tif"}, "L1C", "the file's name", "a name comes before SCL"),
        ({"sample": DARK}, "L2A", "assumed: L2A, as the darkest B02 is 0.030", "darker than air"),
        ({"sample": AIRY}, "L1C", "assumed: L1C, the model's own", "could be either"),
        ({"sample": DARK, "dtype": "uint8"}, "L1C", "assumed: L1C, the model's own", "pictures are stretched"),
        ({"sample": DARK - 900}, "L1C", "the model's own", "below zero is a wrong offset, and no level"),
        ({"tags": {"PRODUCT_START_TIME": "2024-06-01"}}, "L1C", "the model's own", "a date says nothing"),
        ({}, "L1C", "assumed: L1C, the model's own", "no pixel"),
    ],
)
def test_level(changes: dict[str, Any], level: Level, origin: str, why: str) -> None:
    made = decided(evidence(**changes), L1C_CARD)
    assert made.level == level, why
    assert origin in made.origins["level"]
    assert ("level" in made.assumed) == ("assumed" in made.origins["level"])
    for given in ("L1C", "L2A"):
        assert decided(evidence(**changes), L1C_CARD, level=given).level == given, "what the user gives wins"


def test_darkness_is_judged_after_the_offset() -> None:
    left_in = decided(evidence(DARK + 1000), L1C_CARD)
    assert left_in.level == "L2A", "as bright in red as in blue: no air, but an offset"
    assert any("--offset -1000" in text for text in left_in.warnings)
    assert decided(evidence(DARK + 1000), L1C_CARD, offset=-1000).level == "L2A"


def test_darkness_is_judged_in_blue_alone() -> None:
    sample = np.tile(np.array([[300, 300, 900]], np.float32), (100, 1))
    assert decided(evidence(sample), L1C_CARD).level == "L1C"
    assert decided(evidence(sample[:, ::-1]), L1C_CARD).level == "L2A"


def test_level_of_an_l2a_model_is_assumed_for_its_scenes() -> None:
    made = decided(evidence(AIRY), L2A_CARD)
    assert (made.level, made.origins["level"]) == ("L2A", "assumed: L2A, the model's own")


# --- haze


def test_no_haze_where_levels_agree() -> None:
    for card, level in ((L1C_CARD, "L1C"), (L2A_CARD, "L2A"), (FAKE_CARD, "L1C"), (FAKE_CARD, "L2A")):
        made = decided(card=card, level=level)
        assert made.haze == ((1.0, 0.0),) * 3
        assert made.to_model(np.array([[500, 1000, 2000]])) == pytest.approx(np.array([[0.05, 0.1, 0.2]]))


def test_haze_is_added_and_removed_by_the_documented_line() -> None:
    values = np.array([[500, 1000, 2000]])
    up = decided(card=L1C_CARD, level="L2A").to_model(values)[0]
    for found, name, reflectance in zip(up, BANDS, (0.05, 0.1, 0.2), strict=True):
        gain, bias = HAZE[name]
        assert found == pytest.approx(gain * reflectance + bias)
        assert found > reflectance, "the air lights land as dark as this"
    assert HAZE["B02"][1] > HAZE["B03"][1] > HAZE["B04"][1] > HAZE["B08"][1], "and blue most"


def test_there_and_back_is_the_identity() -> None:
    values = np.random.default_rng(1).uniform(0, 4000, (50, 3))
    up = decided(card=L1C_CARD, level="L2A").to_model(values)
    back = decided(evidence(dtype="float32"), L2A_CARD, scale="reflectance", level="L1C").to_model(up)
    assert back == pytest.approx(values / 1e4, abs=1e-6)


def test_haze_follows_band_names_not_positions() -> None:
    card = replace(L1C_CARD, bands=L1C_CARD.bands[::-1])
    found = replace(evidence(), band_names=BANDS[::-1])
    made = decided(found, card, level="L2A")
    assert made.haze == tuple(HAZE[name] for name in BANDS[::-1])


def test_unknown_haze_is_an_error_that_names_the_band_and_the_way_out() -> None:
    card = replace(L1C_CARD, bands=(*L1C_CARD.bands, BandProfile("B09", 0.02, 0.1, 0.4, 0.1)))
    four = {"band_names": card.band_names, "scales": (1.0,) * 4, "offsets": (0.0,) * 4, "band_tags": ({},) * 4}
    found = evidence(np.zeros((0, 4), np.float32), **four)
    with pytest.raises(SceneError, match=r"scene\.tif: it is L2A .* no haze model is known for B09.*--level L1C"):
        decided(found, card, level="L2A")
    assert decided(found, card, level="L1C").haze == ((1.0, 0.0),) * 4


def test_a_computed_haze_is_told_from_a_measured_one() -> None:
    _, measured = haze_between("L2A", ("L1C",), ("B04", "B08"), "scene.tif")
    _, computed = haze_between("L2A", ("L1C",), ("B04", "B8A", "B11"), "scene.tif")
    assert "computed" not in measured
    assert computed.endswith("computed and not measured for B8A, B11")


def test_to_model_is_the_written_formula_in_float32() -> None:
    made = Radiometry((1e-4, 2e-4), (-1000.0, 5.0), "L2A", ((0.9, 0.01), (0.8, 0.02)), {})
    values = np.random.default_rng(2).integers(0, 10_000, (3, 4, 2)).astype(np.uint16)
    scaled = (values + np.array([-1000.0, 5.0])) * np.array([1e-4, 2e-4])
    found = made.to_model(values)
    assert found.dtype == np.float32
    assert found == pytest.approx(scaled * np.array([0.9, 0.8]) + np.array([0.01, 0.02]), abs=1e-6)


# --- warnings


def test_nothing_is_warned_of_where_everything_is_known() -> None:
    known: Mapping[str, Any] = {"tags": MINUS | {"PROCESSING_LEVEL": "Level-1C"}}
    assert decided(evidence(**known), L1C_CARD).warnings == ()
    assert decided(evidence(), L1C_CARD, offset=0, level="L1C").warnings == ()


def test_what_was_assumed_is_warned_of_in_one_line_of_options() -> None:
    made = decided(evidence(dtype="uint8"), L1C_CARD)
    assert made.assumed == ("scale", "offset", "level")
    (text,) = made.warnings
    assert text.startswith("assumed, since the file does not say: ")
    assert all(option in text for option in ("--scale 8bit", "--offset 0", "--level L1C"))
    (text,) = decided(evidence(dtype="uint8"), L1C_CARD, level="L1C", scale="8bit").warnings
    assert "--offset 0" in text
    assert "--level" not in text
    assert "--scale" not in text


def test_correction_of_the_level_is_warned_of() -> None:
    (text,) = decided(card=L1C_CARD, level="L2A", offset=0).warnings
    assert "the scene is L2A, the model was trained on L1C" in text
    assert "typical haze" in text


# --- plausibility: samples with the card's own percentiles, and what goes wrong with them

# A scene of each level, as reflectance, for each card.
SCENES = {"L1C": typical(L1C_CARD), "L2A": typical(L2A_CARD), "both": typical(FAKE_CARD)}
WRONG = {
    "added": "looks like an offset of",
    "twice": "looks like an offset was subtracted twice",
    "dn": "the values look like digital numbers",
    "black": "nearly black",
    "swapped": "the bands look swapped",
    "bright": "far brighter",
}


def found_wrong(made: Radiometry) -> set[str]:
    """Which of the sentences a decision warns with."""
    return {key for key, words in WRONG.items() if any(words in text for text in made.warnings)}


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("level", ["L1C", "L2A", "auto"])
@pytest.mark.parametrize("scene", ["L1C", "L2A"])
def test_ordinary_scenes_look_right(card: str, level: str, scene: str) -> None:
    if {level, scene} == {"L1C", "L2A"}:
        return  # the user is wrong about the level; nothing to hold
    made = decided(evidence(SCENES[scene] * 10_000), CARDS[card], level=level)
    assert found_wrong(made) == set()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: r * 0.7, "a forest in winter"),
        (lambda r: r[r[:, 0] > np.median(r[:, 0])], "a town: no dark pixel"),
        (lambda r: r[: len(r) // 50], "a lake: no bright pixel"),
        (lambda r: np.concatenate([r, np.full((len(r) // 3, 3), 0.8)]), "a third is cloud"),
        (lambda r: r + 0.02, "a hazy day"),
        (lambda r: np.clip(r - 0.015, 0, None), "a very clear one"),
    ],
)
@pytest.mark.parametrize("scene", ["L1C", "L2A"])
def test_unusual_but_true_scenes_look_right(scene: str, change: Any, why: str) -> None:
    sample = change(SCENES[scene]).astype(np.float32) * 10_000
    assert found_wrong(decided(evidence(sample), L1C_CARD, level=scene)) == set(), why


@pytest.mark.parametrize(
    ("card", "level", "change", "wrong", "advice", "why"),
    [
        ("L1C", "L1C", lambda r: r + 0.1, "added", "--offset -1000", "the offset of baseline 04.00 left in"),
        ("L1C", "auto", lambda r: r + 0.1, "added", "--offset -1000", "and the level unknown"),
        ("L2A", "L2A", lambda r: r + 0.1, "added", "--offset -1000", "for a model of L2A"),
        ("L1C", "L2A", lambda r: r + 0.1, "added", "--offset -1000", "seen through added haze"),
        ("both", "L1C", lambda r: r + 0.1, "added", "--offset -1000", "for a model of both"),
        ("L1C", "L1C", lambda r: r - 0.1, "twice", "--offset 1000", "the file's values are too low as they are"),
        ("L1C", "auto", lambda r: r - 0.1, "twice", "--offset 1000", "and no evidence of L2A"),
        ("L2A", "L2A", lambda r: r - 0.1, "twice", "--offset 1000", "for a model of L2A"),
        ("L1C", "L2A", lambda r: r - 0.1, "twice", "--offset 1000", "seen through added haze"),
        ("L1C", "L1C", lambda r: r / 1e4, "black", "--scale reflectance", "scaled twice"),
        ("L1C", "auto", lambda r: r / 1e4, "black", "--scale reflectance", "seen as L2A"),
        ("L1C", "L2A", lambda r: r / 1e4, "black", "--scale reflectance", "added haze lends no light"),
        ("L1C", "auto", lambda r: r / 0.275 * 255 / 1e4, "black", "--scale 8bit", "8 bits in 16"),
        ("L1C", "L1C", lambda r: r[:, ::-1], "swapped", "--bands B04=1,B03=2,B02=3", "blue given as red"),
        (
            "L1C",
            "auto",
            lambda r: r[:, ::-1],
            "swapped",
            "--bands B04=1,B03=2,B02=3",
            "which looks like L2A, but for that",
        ),
        ("both", "L1C", lambda r: r[:, ::-1], "swapped", "--bands B04=1,B03=2,B02=3", "for a model of both"),
        ("L1C", "L1C", lambda r: r + 0.8, "bright", "cloud, snow", "all is cloud"),
    ],
)
def test_wrong_radiometry_is_told_and_nothing_else(
    card: str, level: str, change: Any, wrong: str, advice: str, why: str
) -> None:
    scene = SCENES["L1C" if level == "auto" else level]
    made = decided(evidence(change(scene).astype(np.float32) * 10_000), CARDS[card], level=level, scale="dn")
    assert found_wrong(made) == {wrong}, why
    assert any(WRONG[wrong] in text and advice in text for text in made.warnings)


@pytest.mark.parametrize(
    ("choices", "change", "advice", "why"),
    [
        ({"offset": -1000}, -0.1, "(--offset 0)", "the user subtracted what the archive had subtracted already"),
        ({"offset": 1000}, 0.1, "(--offset 0)", "and added what was not missing"),
        ({"scale": 1e-5}, 0.1, "(--offset -10000)", "in the file's units: hundred-thousandths"),
        ({"scale": "reflectance"}, 0.1, "(--offset -0.1)", "in the file's units: reflectance"),
        ({"scale": "reflectance"}, -0.1, "(--offset 0.1)", "in the file's units: reflectance"),
    ],
)
def test_advice_on_offsets_follows_what_was_decided(
    choices: dict[str, Any], change: float, advice: str, why: str
) -> None:
    scale = {"reflectance": 1.0}.get(choices.get("scale", ""), choices.get("scale", 1e-4))
    stored = (SCENES["L1C"] + change) / scale - choices.get("offset", 0)
    made = decided(
        evidence(stored.astype(np.float32), dtype="float32"), L1C_CARD, level="L1C", **{"scale": "dn"} | choices
    )
    (text,) = [text for text in made.warnings if "looks like an offset" in text]
    assert advice in text, why
    follow = float(advice.removeprefix("(--offset ").removesuffix(")"))
    right = decided(
        evidence(stored.astype(np.float32), dtype="float32"),
        L1C_CARD,
        level="L1C",
        **{"scale": "dn"} | choices | {"offset": follow},
    )
    assert found_wrong(right) == set(), "who follows the advice gets a plausible scene"


@pytest.mark.parametrize(
    ("unit", "scales", "words", "advice"),
    [
        ("float32", (1e-4, 1.0, 1.0), "B04 nearly black, at scales that differ", "--scale reflectance"),
        ("float32", (1.0, 1.0, 1e-4), "B02 nearly black, at scales that differ", "--scale reflectance"),
        ("uint16", (1e-4, 1.0, 1.0), "in B03, B02 can't be, at scales that differ", "--scale dn"),
        ("uint16", (1.0, 1e-4, 1e-4), "in B04 can't be, at scales that differ", "--scale dn"),
        ("uint16", (1e-4, 1e-4, 1e-8), "B02 nearly black, at scales that differ", "--scale dn"),
    ],
)
@pytest.mark.parametrize("level", ["L1C", "L2A", "auto"])
def test_a_scale_that_is_wrong_for_some_bands_is_told_with_the_option_for_all(
    unit: str, scales: tuple[float, ...], words: str, advice: str, level: str
) -> None:
    sample = SCENES["L2A" if level == "L2A" else "L1C"] * (1 if unit == "float32" else 10_000)
    found = evidence(sample, dtype=unit, scales=scales)
    (text,) = [text for text in decided(found, L1C_CARD, level=level).warnings if "scales that differ" in text]
    assert words in text
    assert f"({advice})" in text
    right = decided(found, L1C_CARD, level=level, scale=advice.removeprefix("--scale "))
    assert not any("scales that differ" in text for text in right.warnings)
    assert found_wrong(right) == set()
    assert right.scale == ((1.0 if unit == "float32" else 1e-4),) * 3


def test_bands_that_are_of_different_units_are_scaled_in_the_file_as_the_warning_says() -> None:
    units = np.array([1, 10_000, 10_000])
    found = evidence(SCENES["L1C"] * units.astype(np.float32), dtype="float32", scales=(1e-4, 1.0, 1.0))
    (text,) = [text for text in decided(found, L1C_CARD, level="L1C").warnings if "scales that differ" in text]
    assert "Write each band's own into the file (gdal_edit -scale)" in text
    assert "--scale" not in text
    right = decided(replace(found, scales=tuple((1 / units).tolist())), L1C_CARD, level="L1C")
    assert not any("scales that differ" in text for text in right.warnings)
    assert found_wrong(right) == set(), "scales that differ are right where units do"


@pytest.mark.parametrize("band", [1, 2])
@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_an_offset_left_in_one_band_is_told_and_mended_in_the_file(band: int, level: str) -> None:
    found = evidence(SCENES[level] * 10_000 + 1000 * np.eye(3, dtype=np.float32)[band])
    (text,) = [text for text in decided(found, L1C_CARD, level=level).warnings if "alone are" in text]
    assert f"the darkest pixels of {BANDS[band]} alone" in text
    assert "offset of +1000 was left in that band" in text
    assert "(gdal_edit -offset)" in text
    right = decided(replace(found, offsets=tuple((-1000 * np.eye(3)[band]).tolist())), L1C_CARD, level=level)
    assert not any("alone are" in text for text in right.warnings)
    assert found_wrong(right) == set()


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("added", [(0, 0, 0), (0.02, 0.02, 0.02), (0.025, 0.045, 0.08), (0.12, 0.05, 0.03), (0.1,) * 3])
def test_haze_and_red_ground_are_no_offset_of_one_band(added: tuple[float, ...], level: str) -> None:
    sample = (SCENES[level] + np.array(added, np.float32)) * 10_000
    assert not any("alone are" in text for text in decided(evidence(sample), L1C_CARD, level=level).warnings)


def test_red_deserts_and_known_l2a_are_not_called_swapped() -> None:
    desert = np.tile(np.array([[3500, 2600, 1700]], np.float32), (100, 1))
    assert "swapped" not in found_wrong(decided(evidence(desert), L1C_CARD, level="L1C"))
    assert "swapped" not in found_wrong(decided(evidence(SCENES["L1C"][:, ::-1] * 10_000), L1C_CARD, level="L2A"))


def test_no_sample_no_judgement() -> None:
    assert found_wrong(decided(evidence(), L1C_CARD)) == set()


# --- settings


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({"scale": "DN"}, "names are small"),
        ({"scale": 0}, "nothing"),
        ({"scale": -1e-4}, "negative light"),
        ({"scale": float("nan")}, "not a number"),
        ({"offset": "none"}, "no number"),
        ({"level": "L3"}, "no such level"),
    ],
)
def test_settings_that_cannot_be_meant(choices: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=next(iter(choices))):
        Settings(**choices)


def test_tags_of_a_product_do_not_hold_for_reflectance_made_from_it() -> None:
    tags = {"BOA_ADD_OFFSET": "-1000", "QUANTIFICATION_VALUE": "10000"}
    made = decided(evidence((DARK * 1e-4).astype(np.float32), dtype="float32", tags=tags), L1C_CARD)
    assert made.scale == (1.0, 1.0, 1.0)
    assert made.offset == (0.0, 0.0, 0.0)
