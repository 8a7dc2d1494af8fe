"""An area of interest: what lies outside is nodata and not read, and what lies inside is as without it."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.features import geometry_mask

import landmap
from landmap.cli import cli
from landmap.errors import OutputError, SceneError, SettingsError
from landmap.geo.geobox import GeoBox
from landmap.io.vectors import write_table
from landmap.run.fingerprint import fingerprint
from landmap.scene.aoi import AreaOfInterest, read_area
from landmap.scene.raster_source import RasterSource
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier
from landmap_models.legend import NODATA

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
HEIGHT, WIDTH = 150, 210
ALL = Window(0, 0, HEIGHT, WIDTH)
GRID = GeoBox(HEIGHT, WIDTH, UTM, rasterio.CRS.from_epsg(32633).to_wkt())
STAR = shapely.Polygon([(500_300, 4_999_800), (500_900, 4_999_500), (501_733, 4_999_911), (501_100, 4_999_050)])
POND = shapely.Point(500_250.3, 4_999_111.7).buffer(180)
HOLED = shapely.box(501_500, 4_998_700, 502_500, 4_998_950) - shapely.box(501_600, 4_998_750, 501_700, 4_998_850)


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    values = ordinary(HEIGHT, WIDTH)
    values[:, 30:50, 60:80] = 0
    return write_scene(values, nodata=0)


@pytest.fixture
def area(tmp_path: Path) -> Path:
    """Three polygons in the scene's CRS, one of which has a hole and reaches beyond the scene."""
    return write(tmp_path / "area.gpkg", [STAR, POND, HOLED])


def write(path: Path, shapes: list[Any], crs: Any = 32633) -> Path:
    geopandas.GeoDataFrame({"name": range(len(shapes))}, geometry=shapes, crs=crs).to_file(path)
    return path


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**{"level": "L1C", "offset": 0} | choices), card=FAKE_CARD)


def inside(shapes: list[Any]) -> Bools:
    """Whether the middle of each pixel lies inside, by shapely."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = UTM @ (cols, rows)
    return np.asarray(shapely.contains_xy(shapely.union_all(shapes), x, y))


def test_outside_is_nodata_and_inside_is_as_without(
    scene: Path, area: Path, tmp_path: Path, sensitive: Classifier
) -> None:
    how: dict[str, Any] = {"classifier": sensitive, "level": "L1C", "offset": 0, "stride": 8, "chunk": 64}
    landmap.classify(scene, tmp_path / "all.tif", **how)
    landmap.classify(scene, tmp_path / "part.tif", aoi=area, **how)
    with rasterio.open(tmp_path / "all.tif") as one, rasterio.open(tmp_path / "part.tif") as other:
        assert one.profile == other.profile
        whole, part = one.read(1), other.read(1)
    expected = inside([STAR, POND, HOLED])
    assert 0.1 < expected.mean() < 0.5
    np.testing.assert_array_equal(part, np.where(expected, whole, NODATA))
    assert len(np.unique(part)) > 3


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb"])
def test_any_format_and_crs(name: str, scene: Path, tmp_path: Path) -> None:
    """Those within 1/50 pixel of a border may go either way: its corners were brought to degrees and back."""
    degrees = geopandas.GeoSeries([STAR, POND], crs=32633).segmentize(10).to_crs(4326)
    path = write(tmp_path / name, list(degrees), 4326)
    found = opened(scene, aoi=path).read(ALL).inside
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    border = shapely.union_all([STAR.boundary, POND.boundary])
    sure = shapely.distance(border, shapely.points(*(UTM @ (cols, rows)))) > 0.2
    assert sure.mean() > 0.95
    assert found is not None
    np.testing.assert_array_equal(found[sure], inside([STAR, POND])[sure])


def test_long_edges_follow_their_own_crs(tmp_path: Path) -> None:
    """A parallel is no straight line in UTM: over 110 km it is 300 m off."""
    west, north = 600_000, 5_200_000
    place = Affine(10, 0, west, 0, -10, north)
    grid = GeoBox(10_980, 10_980, place, rasterio.CRS.from_epsg(32633).to_wkt())
    middle = 46.5
    area = read_area(str(write(tmp_path / "a.gpkg", [shapely.box(10, 40, 20, middle)], 4326)), grid, "scene.tif")
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    for col in (5, 3000, 7777, 10_970):
        column = area.usable(Window(0, col, 10_980, 1))[:, 0]
        _, lat = to_degrees.transform(*(place @ (np.full(10_980, col + 0.5), np.arange(10_980) + 0.5)))
        assert 0 < column.mean() < 1
        assert (column != (lat < middle)).sum() <= 1


@settings(max_examples=60)
@given(data=st.data())
def test_a_window_is_that_part_of_the_whole(data: st.DataObject) -> None:
    """Also where corners and edges lie on middles of pixels, and where edges are shared."""
    number = st.integers(0, 60).map(lambda half: half / 2)
    corners = data.draw(st.lists(st.tuples(number, number), min_size=3, max_size=6, unique=True))
    shape = shapely.make_valid(shapely.Polygon(corners))
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    area = AreaOfInterest(shapely.to_wkb(shapely.MultiPolygon(parts)), text="")
    whole = area.usable(Window(0, 0, 30, 30))
    if parts:
        np.testing.assert_array_equal(whole, geometry_mask(parts, (30, 30), Affine.identity(), invert=True))
    row, col = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 29))
    height, width = data.draw(st.integers(1, 30 - row)), data.draw(st.integers(1, 30 - col))
    window = Window(row, col, height, width)
    np.testing.assert_array_equal(area.usable(window), whole[row : row + height, col : col + width])
    if area.excludes(window):
        assert not area.usable(window).any()


def test_only_chunks_that_touch_it_are_read(
    scene: Path, area: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sensitive: Classifier
) -> None:
    plan = landmap.plan(scene, card=FAKE_CARD, level="L1C", offset=0, aoi=area, chunk=32, stride=32)
    boxes = [plan.grid.owned_window(chunk) for chunk in plan.chunks()]
    shapes = [shapely.affinity.affine_transform(s, (~UTM).to_shapely()) for s in (STAR, POND, HOLED)]
    touched = [
        any(s.intersects(shapely.box(w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height)) for s in shapes)
        for w in boxes
    ]
    assert 5 < sum(touched) < len(boxes) - 5
    assert plan.num_left_out == len(boxes) - sum(touched)
    read = []
    before = RasterSource.read
    monkeypatch.setattr(RasterSource, "read", lambda self, window, *a: read.append(window) or before(self, window, *a))
    landmap.classify(
        scene, tmp_path / "c.tif", classifier=sensitive, level="L1C", offset=0, aoi=area, chunk=32, stride=32
    )
    wanted = [plan.grid.read_window(c) for c, touch in zip(plan.chunks(), touched, strict=True) if touch]
    assert sorted(map(str, read)) == sorted(map(str, wanted))


def test_plan_says_so(scene: Path, area: Path) -> None:
    done = CliRunner().invoke(cli, ["plan", str(scene), "--aoi", str(area), "--chunk", "32", "--stride", "32"])
    assert done.exit_code == 0, done.output
    assert "masks    outside of area.gpkg, 3 polygons" in done.output
    assert "of them are left out by a mask" in done.output


def test_it_is_small_and_can_be_sent(scene: Path, area: Path) -> None:
    made = opened(scene, aoi=area)
    sent = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) < 20_000
    np.testing.assert_array_equal(sent.read(ALL).mapped, made.read(ALL).mapped)


def test_another_area_starts_afresh_though_the_file_looks_the_same(scene: Path, area: Path) -> None:
    def known() -> dict[str, Any]:
        plan = landmap.plan(scene, card=FAKE_CARD, level="L1C", offset=0, aoi=area)
        return fingerprint(plan, "float32", "cpu", keep_probabilities=False)

    before = known()
    assert known() == before
    write(area, [STAR])
    assert known()["reading"] != before["reading"]


def test_with_a_window_and_a_warp(write_scene: Callable[..., Path], ordinary: Callable[..., Any], area: Path) -> None:
    values = ordinary(HEIGHT, WIDTH)
    path = write_scene(values, transform=UTM @ Affine.scale(0.5), nodata=0)
    made = opened(path, aoi=write(area, [STAR]), warp="auto", window=(10, 5, 80, 60))
    expected = inside([STAR])[5:65, 10:90]
    np.testing.assert_array_equal(made.read(Window(0, 0, 60, 80)).inside, expected)


# --- refused


@pytest.mark.parametrize(
    ("shapes", "crs", "words"),
    [
        ([shapely.Point(500_500, 4_999_500)], 32633, r"expected a layer of polygons. Received: area \(Point\)"),
        ([STAR, shapely.LineString([(0, 0), (1, 1)])], 32633, "Received: LineString, Polygon"),
        ([STAR], None, "with a CRS. Received: none"),
        ([shapely.box(14, 45, 14.5, 45.05)], 4326, r"It lies at 14 to 14\.5, 45 to 45\.05, the scene at 15 to 15\.02"),
        ([shapely.box(-120, -40, -110, -30)], 4326, "touches the scene"),
    ],
)
def test_what_is_no_area_of_the_scene(
    shapes: list[Any], crs: int | None, words: str, scene: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / ("area.gpkg" if crs else "area.shp"), shapes, crs or 32633)
    if crs is None:
        path.with_suffix(".prj").unlink()
    with pytest.raises(SceneError, match=words):
        opened(scene, aoi=path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As QGIS has it: two layers of polygons, one of points, a table of attributes and one of styles."""
    path = tmp_path / "project.gpkg"
    for layer, shapes in (("country", [HOLED]), ("study area", [STAR, POND]), ("places", [shapely.Point(0, 0)])):
        geopandas.GeoDataFrame(geometry=shapes, crs=32633).to_file(path, layer=layer)
    for layer in ("notes", "layer_styles"):
        write_table(path, layer, {"text": np.array(["a"], object)})
    return path


def test_of_several_layers_one_is_named(scene: Path, project: Path, area: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"one layer of polygons.*: country, study area\. .*--aoi-layer"):
        opened(scene, aoi=project)
    with pytest.raises(SceneError, match=r"no layer 'notes' for --aoi-layer. Its layers: country, study area, places"):
        opened(scene, aoi=project, aoi_layer="notes")
    found = opened(scene, aoi=project, aoi_layer="study area")
    alone = opened(scene, aoi=write(tmp_path / "alone.gpkg", [STAR, POND]))
    np.testing.assert_array_equal(found.read(ALL).inside, alone.read(ALL).inside)
    assert found.masks[0].text == "outside of project.gpkg (layer study area), 2 polygons"


def test_what_the_error_advises_works_and_nothing_else_is_printed(scene: Path, project: Path) -> None:
    arguments = ["plan", str(scene), "--level", "L1C", "--offset", "0", "--aoi", str(project)]
    refused = CliRunner().invoke(cli, arguments)
    advised = re.search(r'(--aoi-layer) "(.*?)"', str(refused.exception))
    assert advised is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = CliRunner().invoke(cli, [*arguments, *advised.groups()])
    assert done.exit_code == 0, done.output
    assert "layer country" in done.output


def test_a_single_layer_of_polygons_beside_tables_and_points_needs_no_name(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.gpkg"
    write(path, [STAR])
    geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=32633).to_file(path, layer="places")
    write_table(path, "layer_styles", {"text": np.array(["a"], object)})
    np.testing.assert_array_equal(opened(scene, aoi=path).read(ALL).inside, inside([STAR]))


def test_a_layer_without_a_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="aoi_layer: expected the name of a layer of aoi"):
        Settings(aoi_layer="a")


def test_files_that_are_none(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gpkg").write_text("no database")
    pandas.DataFrame({"a": [1]}).to_csv(tmp_path / "table.csv", index=False)
    for name, words in (
        ("missing.gpkg", "can't be read as a vector file"),
        ("bad.gpkg", "can't be read as a vector file"),
        ("table.csv", "expected a layer of polygons. Received: none"),
    ):
        with pytest.raises(SceneError, match=f"{name}: {words}"):
            opened(scene, aoi=tmp_path / name)


def test_it_is_not_overwritten(scene: Path, area: Path, sensitive: Classifier) -> None:
    with pytest.raises(OutputError, match="another input"):
        landmap.classify(scene, area, classifier=sensitive, aoi=area, overwrite=True)


def test_the_world_will_do(scene: Path, tmp_path: Path) -> None:
    """What lies far off has no place in UTM, and does not matter."""
    path = write(tmp_path / "world.gpkg", [shapely.box(-180, -90, 180, 90)], 4326)
    found = opened(scene, aoi=path).read(ALL).inside
    assert found is not None
    assert found.all()
