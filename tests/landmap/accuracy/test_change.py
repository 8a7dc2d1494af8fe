"""Two maps of one place, compared pixel by pixel."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from rio_cogeo import cog_validate

from landmap.accuracy.change import change_classes, compare_maps
from landmap.cli import cli
from landmap.errors import GeoreferenceError, OutputError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN, LandClass, Legend

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHAPE = (530, 70)


def write_cover(path: Path, values: np.ndarray, transform: Affine = UTM, classes: Legend = EUROSAT) -> Path:
    place = GeoBox(*values.shape, transform, rasterio.CRS.from_epsg(32633).to_wkt())
    shown = (*classes, UNKNOWN)
    tags = {LAYER_TAG: "classes", LEGEND_TAG: legend_tag(shown)}
    with RasterWriter(path, place, Layers(("class",), tags, shown)) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=False)
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of more than a strip, `before.tif` and `after.tif`, and their values."""
    rng = np.random.default_rng(0)
    before = rng.choice(np.array([0, 1, 8, NODATA, UNKNOWN.id], np.uint8), SHAPE, p=[0.4, 0.3, 0.2, 0.05, 0.05])
    after = np.where(rng.random(SHAPE) < 0.3, rng.choice(np.array([0, 8, NODATA], np.uint8), SHAPE), before)
    write_cover(tmp_path / "before.tif", before)
    write_cover(tmp_path / "after.tif", after)
    return before, after


def test_the_matrix_counts_every_pixel(two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    before, after = two
    found = compare_maps(tmp_path / "before.tif", tmp_path / "after.tif")
    for i in range(10):
        for j in range(10):
            pixels = ((before == i) & (after == j)).sum()
            assert found.hectares()[i][j] == pytest.approx(pixels * 0.01)
    assert found.nodata_pixels == ((before == NODATA) | (after == NODATA)).sum()
    seen = (before != NODATA) & (after != NODATA)
    assert found.unknown_pixels == (seen & ((before == UNKNOWN.id) | (after == UNKNOWN.id))).sum()
    assert found.total + found.nodata_pixels + found.unknown_pixels == before.size
    assert found.changed == (seen & (before < 10) & (after < 10) & (before != after)).sum()
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}{e}" for n in ("before", "after") for e in (".tif", ".tif.aux.xml", ".qml")
    }


def test_the_raster_names_every_change(two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    before, after = two
    output = tmp_path / "change.tif"
    compare_maps(tmp_path / "before.tif", tmp_path / "after.tif", output)
    assert cog_validate(output, strict=True)[0]
    with rasterio.open(output) as file:
        values, colors = file.read(1), file.colormap(1)
        names = {int(i): name for i, name in json.loads(file.tags()[LEGEND_TAG]).items()}
        assert file.tags()[LAYER_TAG] == "change"
        assert (file.nodata, file.transform, file.crs.to_epsg()) == (NODATA, UTM, 32633)
    categories = [c.text or "" for c in ElementTree.parse(f"{output}.aux.xml").iter("Category")]
    for value, name in names.items():
        assert categories[value] == name
        here = values == value
        if name == "Unknown":
            assert ((before[here] == 254) | (after[here] == 254)).all()
        elif " → " in name:
            pair = [EUROSAT.names.index(part) for part in name.split(" → ")]
            assert here.any()
            np.testing.assert_array_equal(here, (before == pair[0]) & (after == pair[1]))
            assert colors[value][:3] == EUROSAT.classes[pair[1]].rgb
        else:
            np.testing.assert_array_equal(here, (before == value) & (after == value))
    np.testing.assert_array_equal(values == NODATA, (before == NODATA) | (after == NODATA))
    assert set(np.unique(values)) <= {*names, NODATA}


def test_the_command_writes_what_it_prints(two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    maps = [str(tmp_path / "before.tif"), str(tmp_path / "after.tif")]
    files = [str(tmp_path / name) for name in ("change.tif", "change.json", "change.csv")]
    given = ["compare-maps", *maps, "-o", files[0], "--json", files[1], "--csv", files[2]]
    done = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert "Forest" in done.output
    assert done.output.splitlines()[-3:] == files
    report = json.loads(Path(files[1]).read_text())
    with Path(files[2]).open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0][1:] == report["classes"] == list(EUROSAT.names)
    matrix = np.array(report["transitions_hectares"]["values"])
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), matrix)
    assert report["changed_hectares"] == pytest.approx(matrix.sum() - np.trace(matrix))
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(cli, given, catch_exceptions=False)
    with pytest.raises(OutputError, match="is the scene itself"):
        CliRunner().invoke(cli, ["compare-maps", *maps, "-o", maps[1], "--overwrite"], catch_exceptions=False)


def test_other_grids_are_refused_or_warped(two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    before, _ = two
    shifted = Affine(10, 0, 500_050, 0, -10, 4_999_970)  # 5 columns and 3 rows on
    write_cover(tmp_path / "shifted.tif", before[3:, 5:], shifted)
    with pytest.raises(GeoreferenceError, match=r"530x70 and 527x65 pixels; geotransform .*--warp"):
        compare_maps(tmp_path / "before.tif", tmp_path / "shifted.tif")
    found = compare_maps(tmp_path / "before.tif", tmp_path / "shifted.tif", tmp_path / "change.tif", warp=True)
    assert found.warped
    assert found.changed == 0
    assert found.total == (before[3:, 5:] < 10).sum()
    with rasterio.open(tmp_path / "change.tif") as file:
        assert (file.read(1)[:3] == NODATA).all()
        assert file.tags()["LANDMAP_WARPED"] == "nearest"


def test_other_classes_are_refused(two: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    few = Legend(EUROSAT.classes[:9])
    write_cover(tmp_path / "few.tif", np.zeros(SHAPE, np.uint8), classes=few)
    with pytest.raises(SceneError, match="two maps of the same classes"):
        compare_maps(tmp_path / "before.tif", tmp_path / "few.tif")


def test_more_changes_than_a_byte_holds_are_refused(tmp_path: Path) -> None:
    many = tuple(LandClass(i, f"class {i}", "#123456") for i in range(17))
    counts = np.zeros((256, 256), np.int64)
    counts[:17, :17] = 1
    with pytest.raises(OutputError, match=r"at most 237 kinds of change.* Found 272"):
        change_classes(many, counts)
    counts[0, 2:] = 0
    counts[14:17, :14] = 0
    codes, classes = change_classes(many, counts)
    assert len(classes) == 17 + (counts[:17, :17] > 0).sum() - 17
    assert codes[3, 3] == 3
    assert codes[0, 1] == 17
