"""Samples for an assessment: sizes as published, places as drawn by brute force, and an assessment by them."""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import landmap
from landmap.accuracy.design import Design, allocate, design, sample_size
from landmap.accuracy.estimators import StrataEstimates, stratified
from landmap.cli import cli
from landmap.errors import GeoreferenceError, LandmapWarning, OutputError, ReferenceDataError, SceneError, SettingsError
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.legend import NODATA, UNKNOWN_ID, LandClass

Bytes = npt.NDArray[np.uint8]
CLASSES = (LandClass(0, "Water", "#0000ff"), LandClass(1, "Wood", "#00ff00"), LandClass(2, "Town", "#ff0000"))
OLOFSSON = np.array([0.020, 0.015, 0.320, 0.645]), np.array([0.70, 0.60, 0.90, 0.95])
"""Olofsson et al. 2014, section 5.1: area and expected user's accuracy of deforestation, forest gain, stable forest and
stable non-forest, on 10 million pixels."""


def write_cover(path: Path, values: Bytes, **profile: object) -> Path:
    tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag(CLASSES)}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)} | profile
    shape = {"count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": "uint8", "nodata": NODATA}
    with rasterio.open(path, "w", driver="GTiff", **place, **shape) as file:
        file.write(values, 1)
        file.update_tags(**tags)
    return path


def land(seed: int = 0) -> tuple[Bytes, Bytes]:
    """Map and truth of 1200x100 px, more than two strips: much Wood, little Town, nodata; a tenth is mistaken."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, (1200, 100), p=[0.2, 0.77, 0.03]).astype(np.uint8)
    mapped = np.where(rng.random(truth.shape) < 0.1, rng.integers(0, 3, truth.shape), truth).astype(np.uint8)
    mapped[:30, :40] = NODATA
    return mapped, truth


def quiet(cover: Path, output: Path, **choices: object) -> Design:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LandmapWarning)
        return design(cover, output, **choices)  # type: ignore[arg-type]


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="sample" if path.suffix == ".gpkg" else None)


def filled(path: Path, truth: Bytes, cover: Path) -> geopandas.GeoDataFrame:
    """The places with the class that the truth has there."""
    frame = read(path)
    with rasterio.open(cover) as file:
        cols, rows = ~file.transform @ (frame.geometry.x.to_numpy(), frame.geometry.y.to_numpy())
    names = np.array([c.name for c in CLASSES], object)
    return frame.assign(**{"class": names[truth[rows.astype(int), cols.astype(int)]]})


def test_the_size_of_the_published_example() -> None:
    """Section 5.1.1: n = 641 for a standard error of 0.01."""
    assert sample_size(*OLOFSSON, 0.01, 10_000_000) == 641


@pytest.mark.parametrize(
    ("least", "published"), [(100, (100, 100, 149, 292)), (75, (75, 75, 165, 325)), (50, (50, 50, 182, 359))]
)
def test_the_allocations_of_the_published_example(least: int, published: tuple[int, ...]) -> None:
    """Table 5. Rare classes get the least number; the common ones are published within 4 of proportional to area."""
    pixels = (OLOFSSON[0] * 10_000_000).astype(np.int64)
    found = allocate(641, OLOFSSON[0], least, pixels)
    assert found.sum() == 641
    assert found[:2].tolist() == [least, least]
    assert np.abs(found - published).max() <= 4
    assert found[2] / found[3] == pytest.approx(0.320 / 0.645, abs=0.005)


def test_without_a_least_number_places_are_in_proportion_to_area() -> None:
    assert allocate(641, OLOFSSON[0], 2, np.full(4, 10**6)).tolist() == [13, 10, 205, 413]


def test_the_smallest_strata_are_drawn_whole_and_the_least_numbers_may_be_all() -> None:
    weights = np.array([0.5, 0.4999, 0.0001])
    assert allocate(100, weights, 50, np.array([5000, 4999, 7])).tolist() == [50, 50, 7]
    assert allocate(100, weights, 20, np.array([5000, 4999, 7])).tolist() == [47, 46, 7]


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "parquet"])
def test_places_are_pixels_of_their_stratum(ending: str, tmp_path: Path) -> None:
    mapped, _ = land()
    cover = write_cover(tmp_path / "cover.tif", mapped)
    path = tmp_path / f"sample.{ending}"
    found = quiet(cover, path, standard_error=0.02)
    frame = (geopandas.read_parquet(path) if ending == "parquet" else read(path)).to_crs(32633)
    counts = np.bincount(mapped.ravel(), minlength=256)
    assert [s.pixels for s in found.strata] == counts[:3].tolist()
    assert len(frame) == found.places
    assert not frame.geometry.duplicated().any()
    assert frame["class"].isna().all()
    assert frame["id"].tolist() == list(range(1, found.places + 1))
    names = [
        CLASSES[i].name
        for i in mapped[
            ((5_000_000 - frame.geometry.y) // 10).astype(int), ((frame.geometry.x - 500_000) // 10).astype(int)
        ]
    ]
    assert frame["stratum"].tolist() == names
    for s in found.strata:
        chances = frame.loc[frame["stratum"] == s.name, "inclusion_probability"]
        assert len(chances) == s.places
        assert chances.tolist() == pytest.approx([s.places / s.pixels] * s.places)
    first = frame["stratum"][: found.places // 2].value_counts()
    assert (first > 0).sum() == 3, "the order is random, so that the first half is a sample, too"


def test_every_pixel_has_the_same_chance(tmp_path: Path) -> None:
    """Drawn 20 times, no column of pixels is drawn more often than luck allows."""
    mapped = np.tile(np.array([0, 1, 1, 1], np.uint8), (20, 5))
    cover, path = write_cover(tmp_path / "cover.tif", mapped), tmp_path / "sample.geojson"
    times = np.zeros(mapped.shape)
    for seed in range(20):
        quiet(cover, path, standard_error=0.2, min_per_class=20, seed=seed, overwrite=True)
        frame = read(path).to_crs(32633)
        rows = ((5_000_000 - frame.geometry.y) // 10).astype(int)
        np.add.at(times, (rows, ((frame.geometry.x - 500_000) // 10).astype(int)), 1)
    for c, pixels in ((0, 100), (1, 300)):
        chance = 20 / pixels
        mean = times[:, mapped[0] == c].mean(axis=0) / 20
        assert mean.mean() == pytest.approx(chance)
        assert (np.abs(mean - chance) < 4 * np.sqrt(chance * (1 - chance) / 400)).all()


def test_equal_seeds_draw_equal_places(tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land()[0])
    for name, seed in (("one", 4), ("same", 4), ("other", 5)):
        quiet(cover, tmp_path / f"{name}.geojson", seed=seed)
    texts = [(tmp_path / f"{name}.geojson").read_bytes() for name in ("one", "same", "other")]
    assert texts[0] == texts[1] != texts[2]


def test_the_filled_sample_is_assessed_with_the_areas_of_the_map(tmp_path: Path) -> None:
    mapped, truth = land()
    cover, path = write_cover(tmp_path / "cover.tif", mapped), tmp_path / "sample.gpkg"
    found = quiet(cover, path, standard_error=0.02)
    frame = filled(path, truth, cover)
    frame.to_file(tmp_path / "filled.gpkg")
    assessed = landmap.assess(cover, tmp_path / "filled.gpkg")
    counts = np.zeros((3, 3), int)
    index = [c.name for c in CLASSES].index
    for stratum, true in zip(frame["stratum"], frame["class"], strict=True):
        counts[index(stratum), index(true)] += 1
    expected = stratified(counts, np.array([s.hectares for s in found.strata]))
    assert assessed.overall.value == pytest.approx(float(expected.overall.values))
    assert assessed.overall.standard_error == pytest.approx(float(expected.overall.errors))
    right = (mapped == truth)[mapped != NODATA].mean()
    assert assessed.overall.value == pytest.approx(right, abs=3 * found.expected)


# Stehman 2014, table 2: 40 samples, 10 in each of the strata of 40,000, 30,000, 20,000 and 10,000 pixels.
STRATA = "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD"
MAPPED = "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
TRUE = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"


def marks(text: str) -> npt.NDArray[np.bool_]:
    return np.array([[letter == name for name in "ABCD"] for letter in text])


def test_the_example_of_strata_that_are_not_the_classes() -> None:
    """Stehman 2014, section 4."""
    strata = np.array(["ABCD".index(letter) for letter in STRATA])
    found = StrataEstimates(strata, np.array([0.4, 0.3, 0.2, 0.1]), marks(MAPPED), marks(TRUE), 1.0)
    assert found.areas.values[[0, 2]].round(2).tolist() == [0.35, 0.20]
    assert found.areas.errors[[0, 2]].round(3).tolist() == [0.082, 0.064]
    assert (found.overall.values.round(2), found.overall.errors.round(3)) == (0.63, 0.085)
    assert (found.users.values[1].round(3), found.users.errors[1].round(3)) == (0.574, 0.125)
    assert found.producers.values[1].round(3) == 0.794
    assert found.producers.errors[1] == pytest.approx(0.1165, abs=5e-4)


def test_where_strata_are_the_classes_both_estimators_agree() -> None:
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped, true = np.nonzero(counts)
    times = counts[mapped, true]
    mapped, true = np.repeat(mapped, times), np.repeat(true, times)
    hectares = np.array([200.0, 150, 3200, 6450])
    one = stratified(counts, hectares)
    classes = np.arange(4)
    other = StrataEstimates(
        mapped, hectares / 10_000, mapped[:, None] == classes, true[:, None] == classes, hectares.sum()
    )
    for name in ("overall", "users", "producers", "areas"):
        np.testing.assert_allclose(getattr(other, name).values, getattr(one, name).values)
        np.testing.assert_allclose(getattr(other, name).errors, getattr(one, name).errors)


def test_a_sample_of_an_older_map_counts_by_its_inclusion_probabilities(tmp_path: Path) -> None:
    """A stratum of many places and few pixels would count too much if the new map's classes were the strata."""
    mapped, truth = land()
    cover, path = write_cover(tmp_path / "old.tif", mapped), tmp_path / "sample.gpkg"
    quiet(cover, path, standard_error=0.01, min_per_class=400)
    filled(path, truth, cover).to_file(tmp_path / "filled.gpkg")
    newer = np.where(mapped == 2, 1, mapped).astype(np.uint8)
    newer[np.random.default_rng(1).random(newer.shape) < 0.1] = 0
    newer[mapped == NODATA] = NODATA
    new = write_cover(tmp_path / "new.tif", newer)
    found = landmap.assess(new, tmp_path / "filled.gpkg")
    there = newer != NODATA
    true_hectares = np.bincount(truth[there], minlength=3) * 0.01
    for c, hectares in zip(found.classes, true_hectares, strict=True):
        assert c.hectares.interval is not None
        assert c.hectares.interval[0] < hectares < c.hectares.interval[1]
    assert found.overall.value == pytest.approx((newer == truth)[there].mean(), abs=0.03)
    assert "by its inclusion probability" in " ".join(found.warnings)
    assert found.classes[2].users.value is None
    frame = geopandas.read_file(tmp_path / "filled.gpkg")
    frame.drop(columns=["stratum"]).to_file(tmp_path / "plain.gpkg")
    plain = landmap.assess(new, tmp_path / "plain.gpkg")
    assert plain.classes[2].hectares.value > true_hectares[2] * 2, "what the columns protect from"
    lines = [
        f"{p.x!r},{p.y!r},{c},{s},{i!r}"
        for p, c, s, i in zip(
            *(frame[k] for k in ("geometry", "class", "stratum", "inclusion_probability")), strict=True
        )
    ]
    (tmp_path / "filled.csv").write_text("\n".join(["x,y,class,stratum,inclusion_probability", *lines]))
    assert landmap.assess(new, tmp_path / "filled.csv").estimates == found.estimates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inclusion_probability": 0.0}, "inclusion probabilities above 0 and up to 1"),
        ({"inclusion_probability": "much"}, "expected numbers in column inclusion_probability"),
        ({"stratum": "all"}, "one inclusion_probability in each stratum"),
    ],
)
def test_columns_of_a_design_that_can_not_be_used(change: dict[str, object], message: str, tmp_path: Path) -> None:
    mapped, truth = land()
    cover, path = write_cover(tmp_path / "cover.tif", mapped), tmp_path / "sample.gpkg"
    quiet(cover, path, min_per_class=400)
    filled(path, truth, cover).assign(**change).to_file(tmp_path / "filled.gpkg")
    with pytest.raises(ReferenceDataError, match=message):
        landmap.assess(cover, tmp_path / "filled.gpkg")


def test_the_style_offers_the_classes_and_hides_what_is_mapped(tmp_path: Path) -> None:
    quiet(write_cover(tmp_path / "cover.tif", land()[0]), tmp_path / "sample.gpkg")
    with sqlite3.connect(tmp_path / "sample.gpkg") as database:
        ((layer, qml),) = database.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall()
    root = ElementTree.fromstring(qml.split("\n", 1)[1])
    assert layer == "sample"
    assert [c.attrib["value"] for c in root.iter("category")] == ["Water", "Wood", "Town", ""]
    widgets = {f.attrib["name"]: f.find("editWidget") for f in root.iter("field")}
    assert {name: w.attrib["type"] for name, w in widgets.items() if w is not None} == {
        "class": "ValueMap",
        "stratum": "Hidden",
        "inclusion_probability": "Hidden",
    }
    choices = [o.attrib["value"] for o in widgets["class"].iter("Option") if "value" in o.attrib]  # type: ignore[union-attr]
    assert choices == ["Water", "Wood", "Town"]


def test_what_is_left_out_and_missed_is_said(tmp_path: Path) -> None:
    mapped, _ = land()
    mapped[100:120], mapped[mapped == 2] = UNKNOWN_ID, 1
    mapped[500, :7] = 2
    with pytest.warns(LandmapWarning) as said:
        found = design(write_cover(tmp_path / "cover.tif", mapped), tmp_path / "sample.gpkg")
    text = " ".join(str(w.message) for w in said)
    assert "2,000 pixels are mapped as Unknown" in text
    assert "all pixels of Town (7)" in text
    assert found.strata[2].places == 7


def test_a_target_that_only_all_pixels_reach_draws_all(tmp_path: Path) -> None:
    mapped = np.tile(np.array([0, 1, 2], np.uint8), (5, 4))
    found = quiet(write_cover(tmp_path / "cover.tif", mapped), tmp_path / "sample.gpkg", standard_error=1e-6)
    assert found.places == mapped.size


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"standard_error": 0}, SettingsError, "between 0 and 0.5"),
        ({"min_per_class": 1}, SettingsError, "2 places of each class"),
        ({"accuracy": 80}, SettingsError, "above 0 and up to 1"),
        ({"accuracies": {"Wald": 0.9}}, SettingsError, "Received: Wald"),
        ({"output": "sample.shp"}, OutputError, "ends in .gpkg"),
    ],
)
def test_bad_input_is_one_clear_error(
    choices: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    cover = write_cover(tmp_path / "cover.tif", land()[0])
    output = tmp_path / str(choices.pop("output", "sample.gpkg"))
    with pytest.raises(error, match=message):
        quiet(cover, output, **choices)
    assert not output.exists()


def test_maps_that_can_not_be_drawn_from(tmp_path: Path) -> None:
    empty = write_cover(tmp_path / "empty.tif", np.full((20, 20), NODATA, np.uint8))
    with pytest.raises(SceneError, match="pixels that have a class"):
        quiet(empty, tmp_path / "sample.gpkg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        nowhere = write_cover(tmp_path / "nowhere.tif", land()[0], crs=None, transform=Affine.identity())
        with pytest.raises(GeoreferenceError, match="place on the ground"):
            quiet(nowhere, tmp_path / "sample.gpkg")
    assert not (tmp_path / "sample.gpkg").exists()


def test_the_command_line(tmp_path: Path) -> None:
    cover = str(write_cover(tmp_path / "cover.tif", land()[0]))
    out = str(tmp_path / "sample.gpkg")
    run = CliRunner().invoke(
        cli, ["design", cover, "-o", out, "--class-accuracy", "wood=0.95", "--standard-error", ".02"]
    )
    assert run.exit_code == 0, run.output
    assert "95 %" in run.output
    assert "places; expected standard error of overall accuracy" in run.output
    again = CliRunner().invoke(cli, ["design", cover, "-o", out])
    assert isinstance(again.exception, OutputError)
    assert CliRunner().invoke(cli, ["design", cover, "-o", out, "--class-accuracy", "wood"]).exit_code == 2
