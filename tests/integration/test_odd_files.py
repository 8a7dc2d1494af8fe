"""Rasters that break programs: each ends in a correct map or in one clear line, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import landmap
from landmap.errors import LandmapError
from landmap.run.result import Result
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import NODATA

pytestmark = [
    pytest.mark.real,
    # rasterio warns of files without a georeference; landmap has its own words for it.
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

RGB = ConstantClassifier(5)
# For files of one band: a model of one band gets further into them than the refusal "B03 is not there".
RED = ConstantClassifier(5, replace(FAKE_CARD, bands=FAKE_CARD.bands[:1]))

TRUNCATED = "TRUNCATED_real_S2_T37_B08_10980.tif"
GCP = "odcgeo_au-gcp.tif"
ALL_NODATA = "rasterio_all-nodata.tif"
ALPHA = "rasterio_alpha.tif"
CORRUPT = "rasterio_corrupt.tif"
ROTATED = "rasterio_rotated.tif"
FLOAT = "riocogeo_image_float.tif"
PALETTE = "riotiler_cog_cmap.tif"
RADAR = "riotiler_cog_nodata_nan.tif"
MASK = "riotiler_cog_rgb_mask.tif"
INVERTED = "riotiler_inverted_lat.tif"
COMPLEX = "rioxarray_cint16.tif"
ONE_BAND = (TRUNCATED, GCP, ROTATED, FLOAT, PALETTE, RADAR, INVERTED, COMPLEX)
THREE_BANDS = (ALL_NODATA, ALPHA, CORRUPT, MASK)

ONE = {"classifier": RED, "bands": "1"}
FORCED = ONE | {"force": True}


@pytest.fixture
def odd(shared: Path) -> Path:
    """The folder of odd files."""
    return shared / "odd"


def has_data(path: Path, indexes: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Where the chosen bands have data, by rasterio's masked arrays: not by the masks that landmap asks for."""
    with rasterio.open(path) as file:
        values = file.read(list(indexes), masked=True)
        mask = np.ma.getmaskarray(values).any(axis=0)
        return np.asarray(~mask & np.isfinite(values.filled(1)).all(axis=0))


def assert_correct(result: Result, path: Path, output: Path, class_id: int) -> None:
    with rasterio.open(path) as scene, rasterio.open(output) as cover:
        assert (cover.shape, cover.crs, cover.transform) == (scene.shape, scene.crs, scene.transform)
        classes = cover.read(1)
    expected = np.where(has_data(path, result.plan.scene.source.band_indexes), class_id, NODATA)
    np.testing.assert_array_equal(classes, expected)
    assert result.nodata_pixels == (expected == NODATA).sum()


def assert_refused(path: Path, folder: Path, match: str, **options: Any) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(LandmapError, match=match) as caught:
        landmap.classify(path, folder / "out.tif", **{"classifier": RGB} | options)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert str(path) in text, "the message names the file"
    assert sorted(folder.iterdir()) == before, "nothing is left behind"


def test_every_odd_file_is_in_a_table_below(odd: Path) -> None:
    assert sorted(path.name for path in odd.iterdir() if path.suffix == ".tif") == sorted(ONE_BAND + THREE_BANDS)


@pytest.mark.parametrize(
    ("name", "options", "match", "why"),
    [
        *[
            (name, {}, "needs band B04", "one band without a name")
            for name in ONE_BAND
            if name not in (PALETTE, COMPLEX)
        ],
        *[
            (name, {"force": True}, "needs band B04", "force is for the georeference")
            for name in ONE_BAND
            if name not in (PALETTE, COMPLEX)
        ],
        *[(name, {"bands": "1,2,3"}, "bands 1 to 1", "there is one") for name in ONE_BAND if name != COMPLEX],
        *[
            (name, {"bands": "1,1,1"}, "same band twice", "a model of three bands")
            for name in ONE_BAND
            if name != COMPLEX
        ],
        *[(name, {"bands": "1,1,1"}, "same band twice", "a slip") for name in THREE_BANDS],
        *[
            (COMPLEX, options, "complex numbers", "radar")
            for options in ({}, {"force": True}, {"bands": "1,1,1"}, FORCED)
        ],
        *[(PALETTE, options, "palette of colours", "a map already") for options in ({}, {"force": True}, ONE, FORCED)],
        (TRUNCATED, ONE, r"can't be read as a raster: .* \(rows .*, columns .*\)", "its blocks are missing"),
        (TRUNCATED, FORCED, r"can't be read as a raster: .* \(rows .*, columns .*\)", "force does not mend it"),
        (CORRUPT, {}, r"can't be read as a raster: .* \(rows .*, columns .*\)", "its blocks are damaged"),
        (CORRUPT, {"force": True}, r"can't be read as a raster: .* \(rows ", "force does not mend it"),
        (CORRUPT, {"bands": "1,2,3", "force": True}, r"can't be read as a raster: .* \(rows ", "nor do bands"),
        (GCP, ONE, "expected a coordinate reference system", "points of control alone"),
        (ROTATED, ONE, "expected a coordinate reference system", "a transform without CRS"),
        (FLOAT, ONE, "its pixels are 157 m", "thousandths of a degree"),
        (RADAR, ONE, "its pixels are 200 m", "far too coarse"),
        (INVERTED, ONE, "its pixels are 5.5.e.04 m", "the globe, south-up"),
        (ALL_NODATA, {}, "its pixels are 3 m", "another satellite"),
        (ALPHA, {}, "its pixels are 3.09 m", "a picture from the air: 4 m of Web Mercator"),
        (MASK, {}, "its pixels are 0.15 m", "a picture from the air"),
    ],
)
def test_refused(odd: Path, tmp_path: Path, name: str, options: dict[str, Any], match: str, why: str) -> None:
    assert_refused(odd / name, tmp_path, match, **options)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        (GCP, FORCED, "points of control: a map without a place"),
        (ROTATED, FORCED, "rotated, 15x10 px, without CRS"),
        (FLOAT, FORCED, "float64 with undeclared NaN"),
        (RADAR, FORCED, "nodata 0 is declared, NaN is there"),
        (INVERTED, FORCED, "south-up, -9999 everywhere"),
        (ALL_NODATA, {"force": True}, "no pixel at all"),
        (ALL_NODATA, {"force": True, "bands": "1,2,3"}, "no pixel at all"),
        (ALPHA, {"force": True}, "most of it is transparent"),
        (ALPHA, {"force": True, "bands": "1,2,3"}, "most of it is transparent"),
        (MASK, {"force": True}, "a mask band"),
        (MASK, {"force": True, "bands": "3,2,1"}, "a mask band"),
    ],
)
def test_correct_map_where_forced(odd: Path, tmp_path: Path, name: str, options: dict[str, Any], why: str) -> None:
    output = tmp_path / "out.tif"
    result = landmap.classify(odd / name, output, **{"classifier": RGB} | options)
    assert_correct(result, odd / name, output, class_id=5)
    assert result.warnings, "what was forced is told"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.qml", "out.tif", "out.tif.aux.xml"]


def test_the_oracle_sees_data_and_none_in_these_files(odd: Path) -> None:
    shares = {name: float(has_data(odd / name, (1,)).mean()) for name in (RADAR, ALPHA, MASK, FLOAT)}
    assert all(0 < share < 1 for share in shares.values()), shares
    assert not has_data(odd / ALL_NODATA, (1, 2, 3)).any()
    assert not has_data(odd / INVERTED, (1,)).any()


def test_a_scene_without_any_data_is_told_of(odd: Path, tmp_path: Path) -> None:
    result = landmap.classify(odd / ALL_NODATA, tmp_path / "out.tif", force=True, classifier=RGB)
    assert "no pixel of the scene has data: the map is empty" in result.warnings
    assert not any(share.pixels for share in result.classes)


def run_classify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from landmap.cli import main; main()", "classify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("name", "options", "match", "why"),
    [
        (TRUNCATED, [], "needs band B04", "as it is given first"),
        (CORRUPT, ["--force", "-v"], "can't be read as a raster", "GDAL itself prints nothing"),
        (COMPLEX, [], "complex numbers", "without a georeference, of which rasterio warns"),
        (ALL_NODATA, [], "its pixels are 3 m", "refused after it was sampled"),
    ],
)
def test_command_line_ends_in_one_line_and_status_1(
    odd: Path, tmp_path: Path, name: str, options: list[str], match: str, why: str
) -> None:
    done = run_classify(odd / name, "-o", tmp_path / "out.tif", *options)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"landmap: error: {odd / name}: "), why
    assert match in line
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
