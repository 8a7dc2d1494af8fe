"""Maps judged by references of every kind, where the answer is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from shapely.geometry import LineString, Point, box

from landmap.accuracy.assess import assess, write_assessment
from landmap.accuracy.assessment import Assessment
from landmap.cli import cli
from landmap.errors import GeoreferenceError, OutputError, ReferenceDataError, SceneError, SettingsError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps.cover import read_cover
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.legend import NODATA, UNKNOWN, LandClass, Legend

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
CLASSES = Legend((LandClass(0, "Water", "#0000ff"), LandClass(1, "Wood", "#00ff00"), LandClass(2, "Town", "#ff0000")))
Bytes = npt.NDArray[np.uint8]


def write_cover(
    path: Path, values: Bytes, transform: Affine = UTM, crs: str = "EPSG:32633", classes: Legend = CLASSES
) -> Path:
    wkt = rasterio.CRS.from_string(crs).to_wkt() if crs else None
    place = GeoBox(*values.shape, transform, wkt)
    shown = (*classes, UNKNOWN) if (values == UNKNOWN.id).any() else tuple(classes)
    tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag(shown)}
    with RasterWriter(path, place, Layers(("class",), tags, shown)) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=True)
    return path


@pytest.fixture
def land() -> tuple[Bytes, Bytes]:
    """Map and truth of 700x90 px, more than a strip: bands of classes, some mistaken; nodata and Unknown in the map."""
    rng = np.random.default_rng(3)
    truth = (np.arange(700)[:, None] // 9 % 3 + np.zeros((1, 90))).astype(np.uint8)
    cover = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 3, truth.shape), truth).astype(np.uint8)
    cover[:20, :30], cover[600:640, 50:] = NODATA, UNKNOWN.id
    return cover, truth


def points_of(rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]) -> list[Point]:
    return [Point(*(UTM @ (c + 0.3, r + 0.9))) for r, c in zip(rows, cols, strict=True)]


def drawn(land: tuple[Bytes, Bytes], n: int, seed: int = 0) -> tuple[geopandas.GeoDataFrame, npt.NDArray[np.int64]]:
    """Points at random with their true class, and the confusion of those on classes of the map, counted one by one."""
    cover, truth = land
    rng = np.random.default_rng(seed)
    places = rng.choice(cover.size, n, replace=False)
    rows, cols = np.unravel_index(places, cover.shape)
    counts = np.zeros((3, 3), np.int64)
    for r, c in zip(rows, cols, strict=True):
        if cover[r, c] < 3:
            counts[cover[r, c], truth[r, c]] += 1
    names = [CLASSES.names[truth[r, c]] for r, c in zip(rows, cols, strict=True)]
    return geopandas.GeoDataFrame({"class": names}, geometry=points_of(rows, cols), crs="EPSG:32633"), counts


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "shp", "parquet", "csv", "lonlat.csv", "ids.csv"])
def test_points_of_every_format(kind: str, land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    frame, counts = drawn(land, 400)
    path = tmp_path / f"points.{kind}"
    if kind.endswith("csv"):
        where = (frame.to_crs(4326) if kind == "lonlat.csv" else frame).geometry
        titles = ("Longitude", "Latitude") if kind == "lonlat.csv" else ("x", "y")
        label = frame["class"].map(CLASSES.names.index) if kind == "ids.csv" else frame["class"]
        rows = zip(where.x, where.y, label, strict=True)
        path.write_text("\n".join([",".join((*titles, "class")), *(f"{x!r},{y!r},{c}" for x, y, c in rows)]))
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_crs(4326 if kind == "geojson" else 3035).to_file(path)
    found = assess(cover, path)
    np.testing.assert_array_equal(found.confusion, counts)
    on_nodata = 400 - counts.sum() - found.left_out.on_unknown
    assert found.left_out.on_nodata == on_nodata > 0
    assert found.left_out.on_unknown > 0
    assert found.design == "stratified sample"
    mapped = np.bincount(land[0].ravel(), minlength=256)
    assert [c.mapped_hectares for c in found.classes] == pytest.approx(mapped[:3] * 0.01)
    assert found.unknown_hectares == pytest.approx(mapped[254] * 0.01)
    assert found.hectares == pytest.approx(mapped[:3].sum() * 0.01)
    assert found.overall.value == pytest.approx(1 - 0.2 * 2 / 3, abs=0.06)


def test_nothing_is_dropped_without_a_word(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    frame, _ = drawn(land, 100)
    frame.loc[0, "class"] = None
    frame = frame.set_geometry([Point(0, 0), *frame.geometry[1:-1], frame.geometry[2]])
    frame.loc[3, "class"] = ""
    frame.to_file(tmp_path / "points.gpkg")
    found = assess(cover, tmp_path / "points.gpkg")
    left = found.left_out
    assert (left.outside, left.without_class) == (1, 1)
    assert found.samples + left.outside + left.without_class + left.on_nodata + left.on_unknown == 100
    assert any("1 lie outside" in w and "1 have no class" in w for w in found.warnings)
    assert any("1 points lie in a pixel that another point is in" in w for w in found.warnings)
    assert any("Unknown" in w for w in found.warnings)


def test_strata_with_few_places_say_so(tmp_path: Path) -> None:
    values = np.zeros((30, 30), np.uint8)
    values[10:20], values[20:] = 1, 2
    cover = write_cover(tmp_path / "cover.tif", values)
    rows = ["x,y,class", *(f"{500_005 + 10 * i},4999995,{'Wood' if i < 2 else 'Water'}" for i in range(9))]
    (tmp_path / "few.csv").write_text("\n".join([*rows, "500005,4999895,Wood"]))
    found = assess(cover, tmp_path / "few.csv")
    assert found.unsampled == ("Town",)
    assert found.hectares == pytest.approx(6)  # without Town's 3 ha
    assert found.overall.standard_error is None
    assert found.overall.interval is None
    assert found.classes[0].users.value == pytest.approx(7 / 9)
    assert found.classes[0].users.interval is not None
    assert found.classes[2].users.value is None
    text = " ".join(found.warnings)
    assert "Town (3.0 ha)" in text
    assert "only one reference place lies in what is mapped as Wood" in text
    json.loads(json.dumps(found.to_dict(), allow_nan=False))


def test_a_raster_is_a_census(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    truth = land[1].copy()
    truth[:, 80:] = NODATA
    found = assess(cover, write_cover(tmp_path / "truth.tif", truth))
    both = (land[0] < 3) & (truth < 3)
    counts = np.array([[((land[0] == i) & (truth == j) & both).sum() for j in range(3)] for i in range(3)])
    np.testing.assert_array_equal(found.confusion, counts)
    assert found.design == "census"
    assert found.overall.value == pytest.approx((land[0] == truth)[both].mean())
    assert found.overall.interval is None
    assert [c.hectares.value for c in found.classes] == pytest.approx(counts.sum(axis=0) * 0.01)


def test_a_sample_of_a_raster_is_stratified_and_repeatable(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    """Over many seeds, the true area lies within the interval in about 95 of 100; the estimate is right on average."""
    cover = write_cover(tmp_path / "cover.tif", land[0])
    truth = write_cover(tmp_path / "truth.tif", land[1])
    exact = [c.hectares.value for c in assess(cover, truth).classes]
    held, values = [], []
    for seed in range(60):
        found = assess(cover, truth, sample=80, seed=seed)
        assert [sum(row) for row in found.confusion] == [80, 80, 80]
        areas = [c.hectares for c in found.classes]
        values.append([a.value for a in areas])
        held += [a.interval[0] <= e <= a.interval[1] for a, e in zip(areas, exact, strict=True) if a.interval]
    assert len(held) == 180
    assert 0.88 <= np.mean(held) <= 0.99
    np.testing.assert_allclose(np.mean(values, axis=0), exact, rtol=0.02)
    assert assess(cover, truth, sample=80, seed=1) == assess(cover, truth, sample=80, seed=1)
    everything = assess(cover, truth, sample=10**6)
    assert [c.hectares.value for c in everything.classes] == pytest.approx(exact)


def test_polygons_count_pixels_and_give_no_intervals(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    x, y = 500_000, 5_000_000
    shapes = [box(x + 400, y - 5200, x + 500, y - 5004), box(x + 406, y - 1000, x + 434, y - 900)]
    frame = geopandas.GeoDataFrame({"kind": [1, 2], "geometry": shapes}, crs="EPSG:32633")
    frame.to_file(tmp_path / "fields.gpkg")
    found = assess(cover, tmp_path / "fields.gpkg", class_column="kind")
    expected = np.zeros((3, 3), int)
    for values, j in ((land[0][500:520, 40:50], 1), (land[0][90:100, 41:43], 2)):  # centres inside
        expected[:, j] += np.bincount(values.ravel(), minlength=3)
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.overall.value is not None
    assert found.overall.interval is None
    assert any("no independent sample" in w for w in found.warnings)


def test_pixels_of_polygons_of_two_classes_are_left_out_and_counted(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover, (x, y) = write_cover(tmp_path / "cover.tif", land[0]), (500_000, 5_000_000)
    left, right, alike = (box(x + a, y - 5200, x + b, y - 5000) for a, b in ((400, 500), (450, 550), (400, 480)))
    frame = geopandas.GeoDataFrame({"class": [1, 2, 1], "geometry": [left, right, alike]}, crs="EPSG:32633")
    expected = np.zeros((3, 3), int)
    for values, j in ((land[0][500:520, 40:45], 1), (land[0][500:520, 50:55], 2)):
        expected[:, j] += np.bincount(values.ravel(), minlength=3)
    for order in ([0, 1, 2], [2, 1, 0]):
        frame.iloc[order].to_file(tmp_path / "fields.gpkg")
        found = assess(cover, tmp_path / "fields.gpkg")
        np.testing.assert_array_equal(found.confusion, expected)
        assert found.left_out.two_classes == found.to_dict()["samples"]["two_classes"] == 100
        assert any(w.startswith("100 pixels lie in polygons of different classes") for w in found.warnings)
    frame.iloc[[0, 2]].to_file(tmp_path / "fields.gpkg")
    alone = assess(cover, tmp_path / "fields.gpkg")
    assert alone.left_out.two_classes == 0
    assert not any("different classes" in w for w in alone.warnings)


def test_polygons_beside_the_map_are_counted(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover, (x, y) = write_cover(tmp_path / "cover.tif", land[0]), (500_000, 5_000_000)
    on, near, far = box(x + 400, y - 5200, x + 900, y - 5000), box(x + 900, y - 99, x + 950, y), box(0, 0, 9, 9)
    across, plain = box(x + 850, y - 5500, x + 950, y - 5400), box(x + 300, y - 5500, x + 350, y - 5400)
    shapes = {"on": (on, 1), "near": (near, 1), "far": (far, None), "across": (across, 2), "plain": (plain, None)}

    def judged(*names: str) -> Assessment:
        places, kinds = zip(*(shapes[name] for name in names), strict=True)
        frame = geopandas.GeoDataFrame({"class": list(kinds)}, geometry=list(places), crs="EPSG:32633")
        frame.to_crs(4326).to_file(tmp_path / "fields.gpkg")
        return assess(cover, tmp_path / "fields.gpkg")

    found = judged(*shapes)
    assert (found.left_out.outside, found.left_out.without_class) == (2, 1)
    text = " ".join(found.warnings)
    assert "of 5 polygons 2 lie outside the map, and 1 have no class" in text
    assert "1 polygons reach beyond the map: only their part on it is used" in text
    assert len(judged("on").warnings) == len(found.warnings) - 2
    with pytest.raises(ReferenceDataError, match=r"Found none: 2 lie outside"):
        judged("near", "far")


def test_a_raster_on_another_grid_needs_warp(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    finer = land[1].repeat(2, axis=0).repeat(2, axis=1)[40:, 20:]
    place = Affine(5, 0, 500_100, 0, -5, 4_999_800)
    truth = write_cover(tmp_path / "truth.tif", finer, place)
    with pytest.raises(GeoreferenceError, match=r"700x90 .*--warp"):
        assess(cover, truth)
    found = assess(cover, truth, warp=True)
    same = land[1].copy()
    same[:20], same[:, :10] = NODATA, NODATA
    assert found.confusion == assess(cover, write_cover(tmp_path / "same.tif", same)).confusion


def test_a_warped_raster_without_nodata_ends_at_its_border(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    profile = {"driver": "GTiff", "height": 100, "width": 50, "count": 1, "dtype": "int16", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "plain.tif", "w", transform=UTM, **profile) as file:
        file.write(np.ones((1, 100, 50), np.int16))
    found = assess(cover, tmp_path / "plain.tif", warp=True)
    assert found.samples == (land[0][:100, :50] < 3).sum()


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("x,y,class\n500005,4999995,Forst\n500005,4999995,Wood", "Water, Wood, Town.* Found Forst"),
        ("x,y,class\n500005,4999995,7", "Found 7"),
        ("x,y,kind\n500005,4999995,1", "expected a column class .* Found x, y, kind"),
        ("a,b,class\n1,2,1", "expected columns x and y"),
        ("x,y,class\neast,2,1", "expected numbers"),
        ("x,y,class\n", "no points"),
        ("x,y,class\n3,4,1", "1 lie outside"),
    ],
)
def test_references_that_are_refused(rows: str, match: str, land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    (tmp_path / "points.csv").write_text(rows)
    with pytest.raises(ReferenceDataError, match=match):
        assess(cover, tmp_path / "points.csv")


def test_of_several_layers_one_is_named(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    place, path = [Point(500_305, 4_999_995)], tmp_path / "seen.gpkg"
    for layer, number in (("first", int(land[0][0, 30])), ("other", 99)):
        frame = geopandas.GeoDataFrame({"class": [number]}, geometry=place, crs="EPSG:32633")
        frame.to_file(path, layer=layer)
    with pytest.raises(ReferenceDataError, match=r'several: first, other.*: --layer "first"'):
        assess(cover, path)
    assert np.array(assess(cover, path, layer="first").confusion).sum() == 1


def test_more_that_is_refused(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    lines = geopandas.GeoDataFrame({"class": [1]}, geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:32633")
    lines.to_file(tmp_path / "lines.gpkg")
    with pytest.raises(ReferenceDataError, match=r"layer of points or polygons. Received: lines \(LineString\)"):
        assess(cover, tmp_path / "lines.gpkg")
    with pytest.raises(ReferenceDataError, match="can't be read"):
        assess(cover, tmp_path / "missing.gpkg")
    (tmp_path / "p.csv").write_text("x,y,class\n500305,4999995,1")
    with pytest.raises(SettingsError, match="a raster to draw from"):
        assess(cover, tmp_path / "p.csv", sample=5)
    others = Legend(tuple(LandClass(i, f"other {i}", "#000000") for i in range(3)))
    with pytest.raises(ReferenceDataError, match="Found 0 other 0"):
        assess(cover, write_cover(tmp_path / "other.tif", land[1], classes=others))
    profile = {"driver": "GTiff", "height": 700, "width": 90, "count": 1, "crs": "EPSG:32633", "transform": UTM}
    with rasterio.open(tmp_path / "nine.tif", "w", dtype="uint8", **profile) as file:
        file.write(np.full((1, 700, 90), 9, np.uint8))
    with pytest.raises(ReferenceDataError, match=r"0 to 2, or nodata.* Found 9"):
        assess(cover, tmp_path / "nine.tif")
    with pytest.raises(SceneError, match="expected a cover written by landmap"):
        assess(tmp_path / "nine.tif", cover)
    with pytest.raises(GeoreferenceError, match="a place on the ground"):
        assess(write_cover(tmp_path / "nowhere.tif", land[0], crs=""), tmp_path / "p.csv")


def test_the_command_writes_json_and_csv(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    frame, counts = drawn(land, 300)
    frame.to_file(tmp_path / "points.gpkg")
    given = [
        str(cover),
        str(tmp_path / "points.gpkg"),
        "-o",
        str(tmp_path / "r.json"),
        "--csv",
        str(tmp_path / "t.csv"),
    ]
    done = CliRunner().invoke(cli, ["assess", *given], catch_exceptions=False)
    assert "overall accuracy" in done.output
    assert "Town" in done.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["confusion"]["counts"] == counts.tolist()
    town = report["classes"][2]["area_hectares"]
    assert town["low"] < town["value"] < town["high"]
    with (tmp_path / "t.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == list(CLASSES.names)
    assert float(rows[2]["area_hectares_low"]) == pytest.approx(town["low"], rel=1e-6)
    assert [int(row["reference Town"]) for row in rows] == counts[:, 2].tolist()
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(cli, ["assess", *given], catch_exceptions=False)
    wrong = ["--csv", str(tmp_path / "points.gpkg"), "--overwrite"]
    with pytest.raises(OutputError, match="read from"):
        CliRunner().invoke(cli, ["assess", *given[:2], *wrong], catch_exceptions=False)
    found = assess(cover, tmp_path / "points.gpkg")
    write_assessment(found, tmp_path / "r.json", overwrite=True)
    assert json.loads((tmp_path / "r.json").read_text()) == report
    assert {p.name for p in tmp_path.iterdir()} == {
        "cover.tif",
        "cover.tif.aux.xml",
        "cover.qml",
        "points.gpkg",
        "r.json",
        "t.csv",
    }


def test_a_covers_legend_comes_back(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    assert read_cover(write_cover(tmp_path / "cover.tif", land[0])).classes == CLASSES.classes


@pytest.mark.parametrize(
    ("titles", "separator", "comma", "encoding"),
    [
        (("x", "y", "class"), ";", False, "utf-8"),
        (("x", "y", "class"), ";", True, "utf-8-sig"),
        (("X", "Y", "Class"), ",", False, "utf-16"),
        (("Easting", "Northing", "CLASS"), "\t", True, "cp1252"),
        (("Lon", "Lat", "class"), "|", True, "utf-8"),
        (("longitude", "LATITUDE", "class"), ";", True, "utf-8"),
    ],
)
def test_tables_as_the_worlds_spreadsheets_write_them(
    titles: tuple[str, str, str], separator: str, comma: bool, encoding: str, land: tuple[Bytes, Bytes], tmp_path: Path
) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    frame, counts = drawn(land, 200)
    in_degrees = titles[0].lower().startswith("lon")
    where = (frame.to_crs(4326) if in_degrees else frame).geometry
    rows = [
        f"{x:.8f}{separator}{y:.8f}{separator}{c.upper()}"
        for x, y, c in zip(where.x, where.y, frame["class"], strict=True)
    ]
    text = "\r\n".join([separator.join(titles), *(row.replace(".", ",") if comma else row for row in rows)])
    (tmp_path / "points.csv").write_bytes(text.encode(encoding))
    found = assess(cover, tmp_path / "points.csv")
    np.testing.assert_array_equal(found.confusion, counts)
    assert found.places.startswith(f"{titles[0]} and {titles[1]} taken as ")
    assert ("EPSG:4326" in found.places) == in_degrees
    assert found.to_dict()["places"] == found.places


@pytest.mark.parametrize(
    ("given", "titles", "words", "right"),
    [
        ("y x", "x,y", "these columns had each other's titles", "y,x"),
        ("lon lat", "x,y", "these columns were called lon and lat", "lon,lat"),
        ("lat lon", "lon,lat", "these columns had each other's titles", "lat,lon"),
        ("x y", "lon,lat", "these columns were called x and y", "x,y"),
    ],
)
def test_coordinates_of_another_kind_are_recognised_and_the_advice_works(
    given: str, titles: str, words: str, right: str, land: tuple[Bytes, Bytes], tmp_path: Path
) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    frame, counts = drawn(land, 50)
    where = (frame.to_crs(4326) if "lon" in given else frame).geometry
    columns = dict(zip(("x", "y") if "x" in given else ("lon", "lat"), (where.x, where.y), strict=True))
    one, other = (columns[name] for name in given.split())
    rows = [f"{a!r},{b!r},{c}" for a, b, c in zip(one, other, frame["class"], strict=True)]
    (tmp_path / "points.csv").write_text("\n".join([f"{titles},class", *rows]))
    with pytest.raises(ReferenceDataError, match=f"50 lie outside.* 50 of them would lie on it if {words}"):
        assess(cover, tmp_path / "points.csv")
    (tmp_path / "points.csv").write_text("\n".join([f"{right},class", *rows]))
    np.testing.assert_array_equal(assess(cover, tmp_path / "points.csv").confusion, counts)


def test_some_exchanged_coordinates_are_a_warning_with_their_number(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    rows = [f"{500_405 + 10 * i},4999995,Wood" for i in range(4)] + ["4999995,500405,Wood"] * 3
    (tmp_path / "points.csv").write_text("\n".join(["x,y,class", *rows]))
    found = assess(cover, tmp_path / "points.csv")
    assert found.left_out.outside == 3
    assert any("of 7 places 3 lie outside the map" in w and "3 of them would lie on it" in w for w in found.warnings)


def test_an_ambiguous_number_is_refused_by_its_cell(land: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    cover = write_cover(tmp_path / "cover.tif", land[0])
    (tmp_path / "points.csv").write_text("x;y;class\n1,234;2,345;Wood\n")
    with pytest.raises(ReferenceDataError, match=r"points\.csv: .*'1,234', which is 1\.234 or 1234"):
        assess(cover, tmp_path / "points.csv")
