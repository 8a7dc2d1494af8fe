"""Polygons and tables in the run that classifies: the same files as later ones, all or none with the rasters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner

import landmap
from landmap.cli import cli
from landmap.errors import LandmapError, OutputError, SettingsError, ZoneError
from landmap.maps.vectorize import VectorSettings
from landmap.run.outputs import Derived
from landmap_models.inference.classifier import ConstantClassifier


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    values = ordinary(150, 210)
    values[:, :20, :30] = 0
    return write_scene(values, nodata=0)


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    boxes = [shapely.box(499_000, 4_000_000, 501_005, 6_000_000), shapely.box(501_005, 4_000_000, 600_000, 6_000_000)]
    path = tmp_path / "zones.gpkg"
    geopandas.GeoDataFrame({"side": ["west", "east"]}, geometry=boxes, crs=32633).to_file(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_one_run_makes_what_later_commands_make(
    scene: Path, zones: Path, tmp_path: Path, hear: Callable[..., None]
) -> None:
    derived = Derived(tmp_path / "cover.parquet", VectorSettings(min_area=1), tmp_path / "out.csv", zones, "side")
    how: dict[str, Any] = {"classifier": ConstantClassifier(4), "stride": 64}
    heard: list[str] = []
    hear(heard.append)
    result = landmap.classify(scene, tmp_path / "cover.tif", derived=derived, **how)
    assert names(tmp_path) == [
        "cover.parquet",
        "cover.qml",
        "cover.tif",
        "cover.tif.aux.xml",
        "out.csv",
        "scene.tif",
        "zones.gpkg",
    ], "the confidence was needed, but not wanted"
    assert heard == ["writing cover.parquet", "writing out.csv"]
    assert tmp_path / "out.csv" in result.outputs.paths()
    (row,) = geopandas.read_parquet(tmp_path / "cover.parquet").to_dict("records")
    assert (row["class_id"], row["mean_confidence"]) == (4, 100)
    assert row["hectares"] == pytest.approx((150 * 210 - 600) * 0.01)
    landmap.classify(scene, tmp_path / "again.tif", confidence=tmp_path / "confidence.tif", **how)
    confidence = tmp_path / "confidence.tif"
    landmap.vectorize(tmp_path / "again.tif", tmp_path / "again.parquet", confidence=confidence, min_area=1)
    landmap.summarize(
        tmp_path / "again.tif", tmp_path / "again.csv", confidence=confidence, zones=zones, zone_id="side"
    )
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "cover.parquet").read_bytes()
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "cover.tif").read_bytes()


def test_the_result_knows_the_mean_confidence(scene: Path, tmp_path: Path) -> None:
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(4), stride=64)
    assert result.classes[4].mean_confidence == 100
    assert result.classes[3].mean_confidence is None


def test_all_or_none(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table can't be written when all else is done."""

    def full(*args: object) -> None:
        raise OutputError("No space left on device")

    monkeypatch.setattr("landmap.run.outputs.stage_summary", full)
    derived = Derived(vector=tmp_path / "cover.gpkg", summary=tmp_path / "out.csv")
    with pytest.raises(OutputError, match="No space left"):
        landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(), derived=derived, stride=64)
    assert names(tmp_path) == ["scene.tif"]


@pytest.mark.parametrize(
    ("derived", "error", "words"),
    [
        (lambda f: Derived(vector=f / "polygons.shp"), OutputError, "ends in"),
        (lambda f: Derived(summary=f / "out.xlsx"), OutputError, "ends in"),
        (lambda f: Derived(vector_settings=VectorSettings(min_area=1)), SettingsError, "--vector"),
        (lambda f: Derived(zones=f / "z.gpkg", zone_id="a"), SettingsError, "--summary"),
        (lambda f: Derived(summary=f / "a.csv", zones=f / "none.gpkg", zone_id="a"), ZoneError, "can't be read"),
        (lambda f: Derived(vector=f / "a.gpkg", vector_settings=VectorSettings(cells=True)), SettingsError, "--prob"),
        (lambda f: Derived(vector=f / "cover.shp"), OutputError, r"cover\.shp: expected .* ends in \.gpkg"),
        (lambda f: Derived(summary=f / "cover.xlsx"), OutputError, r"cover\.xlsx: expected .* ends in \.csv"),
        (lambda f: Derived(vector=f / "a.parquet", summary=f / "a.parquet"), OutputError, "a file for each output"),
    ],
)
def test_what_can_not_be_done_is_refused_before_any_work(
    derived: Callable[[Path], Derived], error: type[LandmapError], words: str, scene: Path, tmp_path: Path
) -> None:
    def progress(done: int, total: int) -> None:
        raise AssertionError("nothing should be predicted")

    how: dict[str, Any] = {"classifier": ConstantClassifier(), "progress": progress}
    with pytest.raises(error, match=words):
        landmap.classify(scene, tmp_path / "cover.tif", derived=derived(tmp_path), **how)
    assert names(tmp_path) == ["scene.tif"]


def test_a_scene_without_a_place_has_no_zones(
    zones: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    scene = write_scene(ordinary(70, 80), crs=None)
    how: dict[str, Any] = {"classifier": ConstantClassifier(), "force": True, "stride": 64}
    for derived in (
        Derived(summary=tmp_path / "out.csv", zones=zones, zone_id="side"),
        Derived(vector=tmp_path / "cover.geojson"),
    ):
        with pytest.raises((ZoneError, OutputError), match="CRS and geotransform"):
            landmap.classify(scene, tmp_path / "cover.tif", derived=derived, **how)
    landmap.classify(scene, tmp_path / "cover.tif", derived=Derived(summary=tmp_path / "out.csv"), **how)
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "0,AnnualCrop,5600,,1.0,100.0"


def test_the_commands(scene: Path, zones: Path, tmp_path: Path) -> None:
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(4), stride=64)
    cover = str(tmp_path / "cover.tif")
    done = CliRunner().invoke(cli, ["vectorize", cover, "-o", str(tmp_path / "a.gpkg"), "--min-area", "0.5"])
    assert (done.exit_code, done.output) == (0, f"1 polygon\n{tmp_path / 'a.gpkg'}\n")
    options = ["--zones", str(zones), "--zone-id", "side"]
    done = CliRunner().invoke(cli, ["summarize", cover, "-o", str(tmp_path / "a.csv"), *options])
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'a.csv'}\n")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "zone,class_id,name,pixels,hectares,share,mean_confidence"
    assert len(lines) == 21
    with rasterio.open(cover) as file:
        valid = (file.read(1) != 255).sum()
    assert sum(float(line.split(",")[3]) for line in lines[1:]) == pytest.approx(np.int64(valid), rel=1e-6)
