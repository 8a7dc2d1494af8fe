"""Squares that are suggested: whole, unsure, spread over classes and land, and read back as labels."""

from __future__ import annotations

import math
import sqlite3
import tracemalloc
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import landmap
from landmap.cli import cli
from landmap.errors import GeoreferenceError, LandmapWarning, OutputError, SceneError, SettingsError
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.legend import NODATA, LandClass

Bytes = npt.NDArray[np.uint8]
CLASSES = (LandClass(0, "Water", "#0000ff"), LandClass(1, "Wood", "#00ff00"), LandClass(2, "Town", "#ff0000"))


def write(path: Path, values: Bytes, layer: str, **profile: Any) -> Path:
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)} | profile
    bands = values if values.ndim == 3 else values[None]
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", nodata=NODATA, **place, **shape) as file:
        file.write(bands)
        file.update_tags(**{LAYER_TAG: layer, LEGEND_TAG: legend_tag(CLASSES)})
    return path


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, Path, Bytes, Bytes]:
    """Map of 1100x120 px, more than two strips, in three bands of classes with nodata; confidence at random."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.array([0, 1, 1, 1, 1, 2], np.uint8), 20)[None].repeat(1100, axis=0)
    classes[:100, :50] = NODATA
    confidence = rng.integers(40, 101, classes.shape).astype(np.uint8)
    confidence[classes == NODATA] = NODATA
    cover = write(tmp_path / "cover.tif", classes, "classes")
    return cover, write(tmp_path / "confidence.tif", confidence, "confidence"), classes, confidence


def suggested(path: Path) -> geopandas.GeoDataFrame:
    frame = geopandas.read_file(path, layer="next") if path.suffix == ".gpkg" else geopandas.read_file(path)
    return frame.to_crs(32633)


def pixels(frame: geopandas.GeoDataFrame) -> list[tuple[slice, slice]]:
    """Rows and columns of each square."""
    ends = np.rint((frame.bounds - [500_000, 5_000_000] * 2) / 10).astype(int)
    return [(slice(-e.maxy, -e.miny), slice(e.minx, e.maxx)) for e in ends.itertuples()]


@pytest.mark.parametrize("ending", ["gpkg", "geojson"])
def test_squares_are_whole_unsure_and_spread(ending: str, mapped: tuple[Path, Path, Bytes, Bytes]) -> None:
    cover, confidence, classes, percent = mapped
    path = cover.with_name(f"next.{ending}")
    assert landmap.suggest(cover, path, confidence=confidence) == 30
    frame = suggested(path)
    assert frame["class"].isna().all()
    assert frame["id"].tolist() == list(range(1, 31))
    assert set(frame["mapped"]) == {"Water", "Wood", "Town"}
    for place, name, sure in zip(pixels(frame), frame["mapped"], frame["confidence"], strict=True):
        assert classes[place].shape == (5, 5)
        assert (classes[place] == [c.name for c in CLASSES].index(name)).all()
        assert sure == pytest.approx(percent[place].mean(), abs=0.06)
    centres = frame.geometry.centroid
    apart = [centres.drop(i).distance(c).min() for i, c in centres.items()]
    assert min(apart) >= 100, "no two lie together"
    rows = np.histogram([place[0].start for place in pixels(frame)], 4, (0, 1100))[0]
    assert rows.min() >= 3, "each quarter of the map has some"


def test_chances_are_in_proportion_to_uncertainty(tmp_path: Path) -> None:
    """A chessboard of squares, unsure by 60 and by 20 %: three of the first are drawn for each of the others."""
    board = np.indices((100, 100)).sum(axis=0) % 2
    percent = np.where(board == 0, 40, 80).astype(np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    cover = write(tmp_path / "cover.tif", np.zeros_like(percent), "classes")
    confidence = write(tmp_path / "confidence.tif", percent, "confidence")
    landmap.suggest(cover, tmp_path / "next.gpkg", confidence=confidence, count=400)
    assert (suggested(tmp_path / "next.gpkg")["confidence"] == 40).mean() == pytest.approx(0.75, abs=0.08)


def test_rare_classes_and_maps_that_are_sure_have_squares_too(tmp_path: Path) -> None:
    classes, percent = np.zeros((100, 100), np.uint8), np.full((100, 100), 30, np.uint8)
    classes[50:55, 50:55], percent[50:55, 50:55] = 2, 100
    cover = write(tmp_path / "cover.tif", classes, "classes")
    confidence = write(tmp_path / "confidence.tif", percent, "confidence")
    landmap.suggest(cover, tmp_path / "next.gpkg", confidence=confidence, count=4)
    assert sorted(suggested(tmp_path / "next.gpkg")["mapped"]) == ["Town", "Water", "Water", "Water"]
    sure = write(tmp_path / "sure.tif", np.full_like(percent, 100), "confidence")
    assert landmap.suggest(cover, tmp_path / "sure.gpkg", confidence=sure, count=9) == 9


def test_equal_seeds_draw_equal_squares(mapped: tuple[Path, Path, Bytes, Bytes], tmp_path: Path) -> None:
    for name, seed in (("one", 4), ("same", 4), ("other", 5)):
        landmap.suggest(mapped[0], tmp_path / f"{name}.geojson", confidence=mapped[1], seed=seed)
    texts = [(tmp_path / f"{name}.geojson").read_bytes() for name in ("one", "same", "other")]
    assert texts[0] == texts[1] != texts[2]


def test_the_entropy_of_probabilities(tmp_path: Path) -> None:
    classes = np.zeros((10, 20), np.uint8)
    layers = np.zeros((3, 10, 20), np.uint8)
    layers[:, :, :10] = np.array([50, 50, 0])[:, None, None]
    layers[:, :, 10:] = np.array([50, 25, 25])[:, None, None]
    cover = write(tmp_path / "cover.tif", classes, "classes")
    chances = write(tmp_path / "probabilities.tif", layers, "probabilities")
    landmap.suggest(cover, tmp_path / "next.gpkg", probabilities=chances, count=2, size=100)
    frame = suggested(tmp_path / "next.gpkg")
    found = dict(zip(frame.bounds.minx.round(), frame["confidence"], strict=True))
    for column, shares in ((0, (0.5, 0.5)), (10, (0.5, 0.25, 0.25))):
        entropy = -sum(p * math.log(p) for p in shares) / math.log(3)
        assert found[500_000 + 10 * column] == pytest.approx(100 * (1 - entropy), abs=0.06)


def test_the_style_offers_the_classes(mapped: tuple[Path, Path, Bytes, Bytes], tmp_path: Path) -> None:
    landmap.suggest(mapped[0], tmp_path / "next.gpkg", confidence=mapped[1])
    with sqlite3.connect(tmp_path / "next.gpkg") as database:
        ((layer, qml),) = database.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall()
    root = ElementTree.fromstring(qml.split("\n", 1)[1])
    assert layer == "next"
    assert [c.attrib["value"] for c in root.iter("category")] == ["Water", "Wood", "Town", ""]
    assert [f.attrib["name"] for f in root.iter("field")] == ["class"]


def test_filled_squares_are_labels_for_train(mapped: tuple[Path, Path, Bytes, Bytes], tmp_path: Path) -> None:
    from landmap.scene.vector_labels import read_labels

    landmap.suggest(mapped[0], tmp_path / "next.gpkg", confidence=mapped[1])
    with sqlite3.connect(tmp_path / "next.gpkg") as database:  # as QGIS would, without the triggers of its index
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE next SET class = mapped WHERE id > 2")
    with rasterio.open(mapped[0]) as file:
        labels = read_labels(tmp_path / "next.gpkg", crs=file.crs.to_wkt())
    assert sum(labels.counts().values()) == 28
    assert labels.unusable == ("no class: 1, 2",)


def test_memory_does_not_grow_with_the_map(tmp_path: Path) -> None:
    """Four times the rows, the same strips."""
    peaks = []
    for height in (1024, 4096):
        classes = np.random.default_rng(0).integers(0, 3, (height, 300)).astype(np.uint8)
        cover = write(tmp_path / f"cover{height}.tif", classes, "classes")
        confidence = write(tmp_path / f"confidence{height}.tif", classes + np.uint8(40), "confidence")
        tracemalloc.start()
        landmap.suggest(cover, tmp_path / f"next{height}.geojson", confidence=confidence)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"count": 0}, SettingsError, "1 to 5,000"),
        ({"size": 2}, SettingsError, "from a pixel"),
        ({"size": 1e6}, SettingsError, "to the map"),
        ({"confidence": None}, SettingsError, "Received: neither"),
        ({"probabilities": "confidence.tif"}, SettingsError, "Received: both"),
        ({"confidence": "cover.tif"}, SceneError, "a raster of confidence"),
        ({"output": "next.shp"}, OutputError, "ends in .gpkg"),
        ({"output": "cover.tif"}, OutputError, "ends in .gpkg"),
    ],
)
def test_bad_input_is_one_clear_error(
    choices: dict[str, Any], error: type[Exception], message: str, mapped: tuple[Path, Path, Bytes, Bytes]
) -> None:
    cover, confidence, *_ = mapped
    given: dict[str, Any] = {"confidence": confidence, "output": "next.gpkg"} | choices
    output = cover.with_name(given.pop("output"))
    files = {k: cover.with_name(v) for k, v in given.items() if isinstance(v, str)}
    with pytest.raises(error, match=message):
        landmap.suggest(cover, output, **given | files)
    assert output == cover or not output.exists()


def test_maps_without_room_or_place(tmp_path: Path) -> None:
    speckled = np.full((20, 20), NODATA, np.uint8)
    speckled[:5, :10] = 1
    cover = write(tmp_path / "cover.tif", speckled, "classes")
    confidence = write(tmp_path / "confidence.tif", speckled, "confidence")
    with pytest.warns(LandmapWarning, match="only 2 squares of 5x5 pixels"):
        assert landmap.suggest(cover, tmp_path / "next.gpkg", confidence=confidence) == 2
    with pytest.raises(SceneError, match="all have a class"):
        landmap.suggest(cover, tmp_path / "none.gpkg", confidence=confidence, size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        nowhere = write(tmp_path / "nowhere.tif", speckled, "classes", crs=None, transform=Affine.identity())
        with pytest.raises(GeoreferenceError, match="place on the ground"):
            landmap.suggest(nowhere, tmp_path / "none.gpkg", confidence=confidence)
    assert not (tmp_path / "none.gpkg").exists()


def test_the_command_line(mapped: tuple[Path, Path, Bytes, Bytes], tmp_path: Path) -> None:
    arguments = ["suggest", str(mapped[0]), "--confidence", str(mapped[1]), "-o", str(tmp_path / "n.gpkg"), "-n", "5"]
    run = CliRunner().invoke(cli, arguments)
    assert run.exit_code == 0, run.output
    assert run.output.startswith("5 squares\n")
    assert len(suggested(tmp_path / "n.gpkg")) == 5
