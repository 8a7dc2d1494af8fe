"""Tables of classes, for the whole and by zones: zones that share out the cover add up to it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import shapely
from affine import Affine
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.affinity import translate

import landmap
from landmap.cli import cli
from landmap.errors import OutputError, SceneError, SettingsError, ZoneError
from landmap.geo.areas import pixel_hectares
from landmap.maps.cover import read_cover
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.legend import EUROSAT, NODATA

Bytes = npt.NDArray[np.uint8]
WriteCover = Callable[..., tuple[Path, Path]]
COLUMNS = ["class_id", "name", "pixels", "hectares", "share", "mean_confidence"]
DEGREES = {"crs": "EPSG:4326", "transform": Affine(0.0002, 0, 13.0, 0, -0.0001, 60.0)}
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def land(height: int, width: int, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Class ids in fields, with a corner of nodata, and percent."""
    rng = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(rng.random((height, width)), 2) for _ in range(10)]).argmax(axis=0)
    percent = rng.integers(0, 101, (height, width))
    for values in (fields, percent):
        values[: height // 4, : width // 5] = NODATA
    return fields.astype(np.uint8), percent.astype(np.uint8)


@pytest.fixture
def write_cover(write_scene: Callable[..., Path]) -> WriteCover:
    """A function that writes class ids and percent as `classify` would."""

    def write(classes: Bytes, percent: Bytes, **profile: Any) -> tuple[Path, Path]:
        tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag(EUROSAT)}
        how = {"nodata": NODATA, "bands": ("x",)} | profile
        cover = write_scene(classes[None], "cover.tif", tags=tags, **how)
        return cover, write_scene(percent[None], "confidence.tif", tags=tags | {LAYER_TAG: "confidence"}, **how)

    return write


def write_zones(path: Path, geometry: list[Any], crs: str | None = "EPSG:32633", **columns: Any) -> Path:
    columns = columns or {"district": [f"d{i}" for i in range(len(geometry))]}
    geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs).to_file(path)
    return path


def test_rows_are_counted_by_class(write_cover: WriteCover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap.maps.cover.STRIP_ROWS", 7)
    classes, percent = land(50, 60)
    cover, confidence = write_cover(classes, percent)
    rows = landmap.summarize(cover, tmp_path / "out.csv", confidence=confidence)
    assert [row["class_id"] for row in rows] == list(range(10))
    for row, c in zip(rows, EUROSAT, strict=True):
        here = classes == c.id
        assert (row["name"], row["pixels"]) == (c.name, here.sum())
        assert row["hectares"] == pytest.approx(here.sum() * 0.01)
        assert row["share"] == pytest.approx(here.sum() / (classes != NODATA).sum())
        assert row["mean_confidence"] == (pytest.approx(percent[here].mean()) if here.any() else None)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_the_formats_hold_the_same(ending: str, write_cover: WriteCover, tmp_path: Path) -> None:
    cover, _ = write_cover(*land(20, 30))
    path = tmp_path / f"out.{ending}"
    rows = landmap.summarize(cover, path)
    if ending == "csv":
        with path.open(newline="") as file:
            found = [[row[name] for name in COLUMNS] for row in csv.DictReader(file)]
        assert found == [[("" if row[name] is None else str(row[name])) for name in COLUMNS] for row in rows]
    elif ending == "json":
        assert json.loads(path.read_text()) == rows
    else:
        frame = pd.read_parquet(path)
        assert list(frame.columns) == COLUMNS
        assert frame.mean_confidence.dtype == np.float64
        assert frame.drop(columns="mean_confidence").to_dict("records") == [
            {name: row[name] for name in COLUMNS[:-1]} for row in rows
        ]


@pytest.mark.parametrize("profile", [{}, DEGREES, {"transform": Affine(8, 3, 500_000, 3, -8, 5_000_000)}])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_zones_that_share_out_the_cover_add_up_to_it(
    seed: int, count: int, profile: dict[str, Any], write_cover: WriteCover, tmp_path: Path
) -> None:
    """Random borders cut pixels anyhow."""
    cover, confidence = write_cover(*land(40, 50, seed), **profile)
    transform = profile.get("transform", UTM)
    points = shapely.MultiPoint(np.random.default_rng(seed).random((count, 2)) * (50, 40))
    parts = shapely.voronoi_polygons(points, extend_to=shapely.box(-5, -5, 60, 60)).geoms if count > 1 else None
    matrix = np.array([[transform.a, transform.d], [transform.b, transform.e]])
    zones = shapely.transform(
        np.array(list(parts) if parts else [shapely.box(-5, -5, 60, 60)]),
        lambda corners: corners @ matrix + (transform.c, transform.f),
    )
    path = write_zones(tmp_path / "zones.gpkg", list(zones), profile.get("crs", "EPSG:32633"))
    how = {"confidence": confidence, "overwrite": True}
    whole = pd.DataFrame(landmap.summarize(cover, tmp_path / "whole.json", **how))
    found = pd.DataFrame(landmap.summarize(cover, tmp_path / "zones.csv", zones=path, zone_id="district", **how))
    assert len(found) == 10 * len(zones)
    found["percent"] = found.pixels * found.mean_confidence.astype(float)
    sums = found.groupby("class_id")[["pixels", "hectares", "percent"]].sum()
    np.testing.assert_allclose(sums.pixels, whole.pixels, rtol=1e-6)
    np.testing.assert_allclose(sums.hectares, whole.hectares, rtol=1e-6)
    np.testing.assert_allclose(sums.percent, whole.pixels * whole.mean_confidence.astype(float).fillna(0), rtol=1e-6)
    shares = found.groupby("zone").share.sum()
    assert all(share == pytest.approx(1) or share == 0 for share in shares)


def test_a_cut_pixel_counts_in_part(write_cover: WriteCover, tmp_path: Path) -> None:
    classes = np.array([[1, 1], [2, NODATA]], np.uint8)
    cover, confidence = write_cover(classes, np.array([[40, 80], [30, NODATA]], np.uint8))
    zones = write_zones(tmp_path / "zones.gpkg", [shapely.box(500_000, 4_999_985, 500_015, 5_000_000)], id=[7])
    rows = landmap.summarize(cover, tmp_path / "out.json", confidence=confidence, zones=zones, zone_id="id")
    one, two = rows[1], rows[2]
    assert (one["zone"], one["name"]) == (7, "Forest")
    assert one["pixels"] == pytest.approx(1.5)
    assert one["hectares"] == pytest.approx(0.015)
    assert one["mean_confidence"] == pytest.approx((40 + 0.5 * 80) / 1.5)
    assert two["pixels"] == pytest.approx(0.5)
    assert one["share"] == pytest.approx(0.75)


def test_zones_in_another_crs_are_brought_to_the_covers(write_cover: WriteCover, tmp_path: Path) -> None:
    cover, _ = write_cover(*land(40, 50))
    square = geopandas.GeoSeries([shapely.box(500_100, 4_999_750, 500_333, 4_999_921)], crs=32633)
    own = write_zones(tmp_path / "own.gpkg", list(square))
    other = write_zones(tmp_path / "other.geojson", list(square.to_crs(4326)), "EPSG:4326")
    one, two = (
        landmap.summarize(cover, tmp_path / f"{path.stem}.json", zones=path, zone_id="district")
        for path in (own, other)
    )
    np.testing.assert_allclose([r["pixels"] for r in one], [r["pixels"] for r in two], atol=1e-3)
    assert sum(r["pixels"] for r in one) == pytest.approx(23.3 * 17.1, rel=1e-5)


def test_zones_outside_have_nothing_and_are_named(write_cover: WriteCover, tmp_path: Path) -> None:
    cover, _ = write_cover(*land(40, 50))
    boxes = [shapely.box(500_000, 4_999_900, 500_100, 5_000_000), shapely.box(0, 0, 10, 10), shapely.box(0, 9, 9, 12)]
    zones = write_zones(tmp_path / "zones.gpkg", boxes)
    heard: list[str] = []
    rows = landmap.summarize(cover, tmp_path / "out.csv", zones=zones, zone_id="district", warn=heard.append)
    assert heard == [f"{zones}: d1, d2 lie outside the cover"]
    assert {r["pixels"] for r in rows if r["zone"] != "d0"} == {0.0}
    assert len(rows) == 30


def test_a_pole_away_is_outside_too(write_cover: WriteCover, tmp_path: Path) -> None:
    """The projection does not know every place."""
    cover, _ = write_cover(*land(40, 50))
    zones = write_zones(tmp_path / "zones.gpkg", [shapely.box(-170, -90, -80, -80)], "EPSG:4326")
    heard: list[str] = []
    landmap.summarize(cover, tmp_path / "out.csv", zones=zones, zone_id="district", warn=heard.append)
    assert heard == [f"{zones}: d0 lie outside the cover"]


def test_crossing_borders_are_repaired_and_told(write_cover: WriteCover, tmp_path: Path) -> None:
    cover, _ = write_cover(np.ones((10, 10), np.uint8), np.ones((10, 10), np.uint8))
    bow = shapely.Polygon([(0, 0), (100, -100), (100, 0), (0, -100)])
    zones = write_zones(tmp_path / "z.gpkg", [translate(bow, 500_000, 5_000_000)])
    heard: list[str] = []
    rows = landmap.summarize(cover, tmp_path / "out.csv", zones=zones, zone_id="district", warn=heard.append)
    assert "cross themselves" in heard[0]
    assert rows[1]["pixels"] == pytest.approx(50)


BOX = shapely.box(500_000, 4_999_900, 500_100, 5_000_000)


@pytest.mark.parametrize(
    ("geometry", "columns", "crs", "zone_id", "error", "words"),
    [
        ([BOX], {"name": ["a"], "code": [1]}, "EPSG:32633", "id", SettingsError, "Its columns: name, code"),
        ([BOX, BOX], {"name": ["a", "a"]}, "EPSG:32633", "name", SettingsError, "more than one zone is a:"),
        ([BOX, BOX], {"name": ["a", None]}, "EPSG:32633", "name", SettingsError, "1 zones have no name"),
        (
            [shapely.LineString(BOX.exterior)],
            {"name": ["a"]},
            "EPSG:32633",
            "name",
            ZoneError,
            "Received: zones .LineString",
        ),
        ([BOX], {"name": ["a"]}, "EPSG:32633", None, SettingsError, "--zone-id"),
    ],
)
def test_zones_that_can_not_be_used_are_refused(
    geometry: list[Any],
    columns: dict[str, Any],
    crs: str,
    zone_id: str | None,
    error: type[Exception],
    words: str,
    write_cover: WriteCover,
    tmp_path: Path,
) -> None:
    cover, _ = write_cover(*land(10, 10))
    zones = write_zones(tmp_path / "zones.gpkg", geometry, crs, **columns)
    with pytest.raises(error, match=words):
        landmap.summarize(cover, tmp_path / "out.csv", zones=zones, zone_id=zone_id)
    assert not (tmp_path / "out.csv").exists()


def test_files_that_are_no_zones_are_refused(write_cover: WriteCover, tmp_path: Path) -> None:
    cover, _ = write_cover(*land(10, 10))
    for path, words in ((tmp_path / "none.gpkg", "can't be read"), (cover, "can't be read")):
        with pytest.raises(ZoneError, match=words):
            landmap.summarize(cover, tmp_path / "out.csv", zones=path, zone_id="name")
    landmap.vectorize(cover, tmp_path / "two.gpkg")
    write_zones(tmp_path / "more.gpkg", [BOX])
    geopandas.GeoDataFrame(geometry=[BOX], crs=32633).to_file(tmp_path / "more.gpkg", layer="other")
    with pytest.raises(ZoneError, match=r'expected one layer of polygons\..*: more, other\. .*--zone-layer "more"'):
        landmap.summarize(cover, tmp_path / "out.csv", zones=tmp_path / "more.gpkg", zone_id="district")
    arguments = ["summarize", str(cover), "-o", str(tmp_path / "out.csv"), "--zones", str(tmp_path / "more.gpkg")]
    done = CliRunner().invoke(cli, [*arguments, "--zone-id", "district", "--zone-layer", "more"])
    assert done.exit_code == 0, done.output


def test_other_files_are_not_destroyed(write_cover: WriteCover, tmp_path: Path) -> None:
    cover, confidence = write_cover(*land(10, 10))
    with pytest.raises(OutputError, match=r"ends in \.csv"):
        landmap.summarize(cover, cover, overwrite=True)
    zones = write_zones(tmp_path / "zones.geojson", [BOX])
    (tmp_path / "zones.json").hardlink_to(zones)
    with pytest.raises(OutputError, match="is the scene itself"):
        landmap.summarize(cover, tmp_path / "zones.json", zones=zones, zone_id="district", overwrite=True)
    with pytest.raises(SceneError, match="expected a cover"):
        landmap.summarize(confidence, tmp_path / "out.csv")


def test_web_mercator_areas_are_those_of_the_map(write_cover: WriteCover, tmp_path: Path) -> None:
    """The ones that `classify` prints: the ground, not the inflated metres of the projection."""
    classes, percent = land(30, 40)
    profile = {"crs": "EPSG:3857", "transform": Affine(16, 0, 1_500_000, 0, -16, 6_600_000)}
    cover, _ = write_cover(classes, percent, **profile)
    rows = landmap.summarize(cover, tmp_path / "out.json")
    each = pixel_hectares(read_cover(cover).geobox)
    assert each is not None
    assert each < 0.7 * 0.0256
    assert sum(r["hectares"] for r in rows) == pytest.approx((classes != NODATA).sum() * each)
