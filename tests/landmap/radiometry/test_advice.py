"""Who does what a message says gets the right map: every option that a warning or an error names is tried here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine

import landmap
from landmap.errors import GeoreferenceError, SceneError
from landmap.inference.plan import Plan
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import BandProfile
from landmap_models.model_file.nir import NirPrior, Roles

Draw = Callable[..., npt.NDArray[np.uint16]]
WriteScene = Callable[..., Path]
CARD = replace(
    FAKE_CARD,
    bands=(
        BandProfile("B04", 0.035, 0.085, 0.25, 0.095),
        BandProfile("B03", 0.055, 0.100, 0.24, 0.105),
        BandProfile("B02", 0.080, 0.110, 0.22, 0.115),
    ),
    levels=("L1C",),
)
PRIOR = NirPrior(
    means=((0.7, -1.0), (-0.2, -3.4)),
    covariances=(((0.02, 0.0), (0.0, 0.1)), ((0.02, 0.0), (0.0, 0.3))),
    roles=Roles(water=(9,), road=(), open_land=(0,)),
)
BOTH = {"scale": 1e-4, "offset": 0}
RGBN = "B04=1,B03=2,B02=3,B08=4"
SIDE = 120
ALL = Window(0, 0, SIDE, SIDE)


@dataclass(frozen=True)
class Case:
    """A form in which the same reflectance is kept, and which option the message about it names."""

    name: str
    stored: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    """Digital numbers without offset → values as in the file."""
    advice: str
    """As the message has it; "" where the map is right by itself."""
    scale: float = 1.0
    offset: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)


def floats(factor: float, added: float = 0) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    return lambda dn: (dn * factor + added).astype(np.float32)


def holes(values: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    def with_holes(dn: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = values(dn)
        found[:, :5] = np.nan
        return found

    return with_holes


OFFSET = {"RADIO_ADD_OFFSET": "-1000", "QUANTIFICATION_VALUE": "10000"}
CASES = [
    # The same scene as integers and floats, with tags that hold.
    Case("scaled integers", lambda dn: dn, "", scale=1e-4),
    Case("scaled integers with an offset", lambda dn: dn + 1000, "", scale=1e-4, offset=-0.1),
    Case("float DN with tags", floats(1, 1000), "", scale=1e-4, offset=-0.1),
    Case("double DN with tags", lambda dn: dn + 1000.0, "", scale=1e-4, offset=-0.1),
    Case("16 bits over reflectance 0 to 1", lambda dn: np.rint(dn * 6.5535).astype(np.uint16), "", scale=1 / 65535),
    Case("CF's tags as text", lambda dn: dn + 1000, "", tags={"scale_factor": "0.0001", "add_offset": "-0.1"}),
    Case("an offset for each band in one tag", lambda dn: dn + 1000, "", tags={"BOA_ADD_OFFSET": "-1000,-1000,-1000"}),
    Case("percent with tags", floats(0.01), "", scale=0.01),
    # Tags that were left over when somebody scaled the values.
    Case("scale left over", floats(1e-4), "", scale=1e-4),
    Case("scale and offset left over", floats(1e-4), "", scale=1e-4, offset=-0.1),
    Case("the same, and it is said", floats(1e-4), "", scale=1e-4, offset=-0.1, choices={"scale": "reflectance"}),
    Case("the same, NaN being nodata", holes(floats(1e-4)), "", scale=1e-4, offset=-0.1, profile={"nodata": np.nan}),
    Case("CF's tags left over as text", floats(1e-4), "", tags={"scale_factor": "0.0001", "add_offset": "-0.1"}),
    Case("the product's tags left over", floats(1e-4), "", tags=OFFSET),
    Case("the product's offset left over", floats(1e-4), "", tags={"RADIO_ADD_OFFSET": "-1000"}),
    Case("scaled, offset left in, tags left over", floats(1e-4, 0.1), "--offset -0.1", scale=1e-4, offset=-0.1),
    Case("offset alone left over", floats(1e-4), "--offset 0", offset=-0.1),
    Case("percent, tags left over", floats(0.01), "--scale 0.01 --offset 0", scale=1e-4, offset=-0.1),
    # Nothing says what a unit is.
    Case("reflectance", floats(1e-4), "--scale reflectance"),
    Case("float DN", floats(1), "--scale dn"),
    Case("percent", floats(0.01), "--scale 0.01"),
    Case("thousandths", lambda dn: np.rint(dn / 10).astype(np.uint16), "--scale 0.001"),
    Case("8 bits in 16", lambda dn: np.rint(dn / 2750 * 255).astype(np.uint16), "--scale 8bit"),
    Case("an offset left in", lambda dn: dn + 1000, "--offset -1000"),
    Case("an offset left in reflectance", floats(1e-4, 0.1), "--offset -0.1"),
    Case("an offset subtracted twice", lambda dn: dn.astype(np.int16) - 1000, "--offset 1000"),
    # The user is wrong.
    Case("DN called reflectance", lambda dn: dn, "--scale dn", choices={"scale": "reflectance"}),
    Case("reflectance called DN", floats(1e-4), "--scale reflectance", choices={"scale": "dn"}),
    Case("offset taken twice", lambda dn: dn, "--offset 0", choices={"offset": -1000}),
    Case(
        "wrong scale and offset", floats(1e-4), "--scale reflectance --offset 0", choices={"scale": 1e-4, "offset": 9}
    ),
    # The file contradicts itself: the message asks for a number, and either is taken.
    Case("two offsets", lambda dn: dn + 1000, "--offset N", scale=1e-4, offset=-0.1, tags={"RADIO_ADD_OFFSET": "5"}),
]


def write(case: Case, dn: npt.NDArray[np.uint16], write_scene: WriteScene) -> Path:
    path = write_scene(case.stored(dn), tags=case.tags, **case.profile)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (case.scale,) * 3, (case.offset,) * 3
    return path


def plan(path: Path, **choices: Any) -> Plan:
    return landmap.plan(path, card=CARD, **{"level": "L1C"} | choices)


def is_right(made: Plan, dn: npt.NDArray[np.uint16]) -> bool:
    """Whether the model is given the reflectance that the digital numbers stand for; 8 bits are coarse."""
    found = made.scene.read(ALL)
    expected = np.moveaxis(dn, 0, -1)[found.valid] * 1e-4
    coarse = 0.275 / 255 if made.scene.source.dtype == "uint16" else 1e-5
    return bool(np.allclose(found.values[found.valid], expected, atol=coarse)) and found.valid.mean() > 0.9


def options(text: str) -> dict[str, Any]:
    """The options --scale and --offset in a text, as settings."""
    found: dict[str, Any] = {}
    for name, value in re.findall(r"--(scale|offset) (-?[a-z\d.]*\w)", text):
        found.setdefault(name, float(value) if re.fullmatch(r"-?[\d.]+", value) else value)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values(case: Case, write_scene: WriteScene, ordinary: Draw) -> None:
    dn = ordinary(SIDE, SIDE)
    path = write(case, dn, write_scene)
    choices = dict(case.choices)
    try:
        text = " ".join(plan(path, **choices).warnings)
    except SceneError as error:
        text = str(error)
    if not case.advice:
        assert is_right(plan(path, **choices), dn), text
        return
    assert case.advice in text
    obeyed = options(case.advice.replace("--offset N", "--offset -1000"))
    assert is_right(plan(path, **choices | obeyed), dn)


@pytest.mark.parametrize("case", [c for c in CASES if not c.choices and c.advice != "--offset N"], ids=lambda c: c.name)
def test_every_option_that_a_message_names_leads_to_the_right_scene(
    case: Case, write_scene: WriteScene, ordinary: Draw
) -> None:
    """All of them at once, as they stand in the warnings; a later one counts, as what is assumed is named first."""
    dn = ordinary(SIDE, SIDE)
    path = write(case, dn, write_scene)
    found: dict[str, Any] = {}
    for text in plan(path).warnings:
        found |= options(text)
    assert is_right(plan(path, **found), dn)


# --- floats of which too few are seen


@pytest.mark.parametrize(("factor", "name"), [(1, "dn"), (1e-4, "reflectance")])
def test_unknown_floats(factor: float, name: str, write_scene: WriteScene) -> None:
    values = np.full((3, SIDE, SIDE), np.nan, np.float32)
    values[:, 60, 60] = 900 * factor
    path = write_scene(values)
    with pytest.raises(SceneError) as caught:
        plan(path)
    assert f"--scale {name}" in str(caught.value)
    found = plan(path, scale=name).scene.read(ALL)
    assert found.values[found.valid] == pytest.approx(0.09)


# --- bands


def test_swapped_bands_are_given_as_the_message_says(write_scene: WriteScene, ordinary: Draw) -> None:
    dn = ordinary(SIDE, SIDE)
    path = write_scene(dn[::-1])
    text = " ".join(plan(path).warnings)
    (given,) = re.findall(r"the bands look swapped \(--bands (\S+)\)", text)
    assert is_right(plan(path, bands=given), dn)


NIR = replace(CARD, nir=PRIOR)


@pytest.mark.parametrize(
    ("change", "words", "obeyed"),
    [
        (lambda file: file.update_tags(4, BOA_ADD_OFFSET="none"), "Give --offset", {"offset": 0}),
        (lambda file: _set(file, offsets=(0, 0, 0, -0.1), scales=(1e-4,) * 4), "which holds: --scale, --offset", BOTH),
        (lambda file: _set(file, scales=(1e-4, 1e-4, 1e-4, 2e-4)), "which holds: --scale, --offset", BOTH),
        (lambda file: _set(file, descriptions=("B04", "B03", "B02", "B08", "nir")), "--bands B04=N", {"bands": RGBN}),
    ],
    ids=["no number", "offset", "scale", "twice"],
)
def test_near_infrared_is_used_as_the_message_says(
    change: Callable[[Any], None], words: str, obeyed: dict[str, Any], write_scene: WriteScene, ordinary: Draw
) -> None:
    dn = ordinary(SIDE, SIDE)
    path = write_scene(np.concatenate([dn, dn[:2] * 2]), bands=("B04", "B03", "B02", "B08", "x"))
    with rasterio.open(path, "r+") as file:
        change(file)
    made = landmap.plan(path, card=NIR, level="L1C")
    assert made.scene.nir is None
    assert words in made.nir
    obeying = landmap.plan(path, card=NIR, level="L1C", **obeyed)
    assert obeying.scene.nir is not None
    assert is_right(obeying, dn)


def _set(file: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(file, name, (*value, *([1.0] if name == "scales" else [0.0] if name == "offsets" else []))[:5])


# --- fill that nobody declared


def test_zeros_beside_another_nodata_are_left_out_as_the_message_says(write_scene: WriteScene, ordinary: Draw) -> None:
    values = ordinary(SIDE, SIDE)
    values[:, :30] = 0
    path = write_scene(values, nodata=65535)
    assert any("declare 0 (gdal_edit -a_nodata 0)" in text for text in plan(path).warnings)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
    made = plan(path)
    assert not any("declare 0" in text for text in made.warnings)
    np.testing.assert_array_equal(made.scene.read(ALL).valid, (values > 0).all(axis=0))


def test_declared_as_the_message_says_fill_is_left_out(write_scene: WriteScene, ordinary: Draw) -> None:
    values = ordinary(SIDE, SIDE).astype(np.int16)
    values[:, :40] = -5000
    path = write_scene(values)
    text = " ".join(plan(path).warnings)
    if match := re.search(r"gdal_edit -a_nodata (-?\d+)", text):
        with rasterio.open(path, "r+") as file:
            file.nodata = float(match[1])
    made = plan(path)
    valid = made.scene.read(ALL).valid
    assert not valid[:40].any()
    assert valid[40:].all()
    assert not any("darker than physics" in warning for warning in made.warnings)


# --- pixels of other sizes

UTM, MERCATOR, DEGREES, FEET = "EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:2264"


def at(x: float, y: float, size: float, down: float | None = None) -> Affine:
    return Affine(size, 0, x, 0, -(down or size), y)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        *((UTM, at(easting, 5_000_000, 30)) for easting in (170_000, 300_000, 500_000, 700_000, 830_000)),
        *((UTM, at(500_000, northing, 30)) for northing in (10_000, 4_000_000, 9_000_000)),
        (UTM, at(500_000, 5_000_000, 20)),
        (UTM, at(500_000, 5_000_000, 3)),
        (UTM, at(500_000, 5_000_000, 5, 20)),
        (MERCATOR, at(1_670_000, 0, 30)),
        (MERCATOR, at(1_670_000, 8_400_000, 60)),
        (MERCATOR, at(1_670_000, 8_800_000, 10)),
        (DEGREES, at(15, 0.1, 1 / 3600)),
        (DEGREES, at(15, 60, 1 / 3600)),
        (DEGREES, at(15, 70, 1e-4)),
        (FEET, at(2_000_000, 700_000, 10)),
        (FEET, at(2_000_000, 700_000, 98.4)),
        ("EPSG:3035", at(4_321_000, 3_210_000, 30)),
    ],
)
def test_a_scene_that_is_refused_for_its_pixels_is_taken_as_the_message_says(
    crs: str, transform: Affine, write_scene: WriteScene
) -> None:
    path = write_scene(np.full((3, SIDE, SIDE), 900, np.uint16), crs=crs, transform=transform)
    with pytest.raises(GeoreferenceError, match=r"Resample it \(--warp auto\), or go on with --force"):
        plan(path)
    scene = plan(path, warp="auto").scene
    assert scene.geobox.transform.a == 10
    assert scene.read(Window(scene.geobox.height // 2, scene.geobox.width // 2, 1, 1)).values == pytest.approx(0.09)
    assert plan(path, force=True).warnings


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        (UTM, at(500_000, 5_000_000, 33), "Take a scene of finer pixels"),
        (UTM, at(200_000, 5_000_000, 120), "Take a scene of finer pixels"),
        (MERCATOR, at(1_670_000, 0, 60), "Take a scene of finer pixels"),
        (DEGREES, at(15, 88, 2e-4, 1e-4), "with pixels of the model's size (gdalwarp -t_srs"),
    ],
)
def test_what_does_not_help_is_not_advised(crs: str, transform: Affine, words: str, write_scene: WriteScene) -> None:
    path = write_scene(np.full((3, SIDE, SIDE), 900, np.uint16), crs=crs, transform=transform)
    with pytest.raises(GeoreferenceError) as caught:
        plan(path)
    assert words in str(caught.value)
    assert "--warp" not in str(caught.value)
    with pytest.raises(GeoreferenceError):
        plan(path, warp="auto")


@pytest.mark.parametrize(
    ("crs", "transform"), [(UTM, at(500_000, 5_000_000, 7)), (MERCATOR, at(1_670_000, 6_600_000, 10))]
)
def test_a_scene_that_is_warned_of_is_better_as_the_warning_says(
    crs: str, transform: Affine, write_scene: WriteScene
) -> None:
    path = write_scene(np.full((3, SIDE, SIDE), 900, np.uint16), crs=crs, transform=transform)
    assert any("(--warp auto)" in text for text in plan(path).warnings)
    assert not any("on the ground" in text for text in plan(path, warp="auto").warnings)
