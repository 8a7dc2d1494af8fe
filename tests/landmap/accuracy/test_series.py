"""A series of maps of one place, pixel by pixel in plain Python."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import landmap
from landmap.accuracy.change import compare_maps
from landmap.accuracy.series import compare_series
from landmap.cli import cli
from landmap.errors import GeoreferenceError, LandmapError, OutputError, SceneError, SettingsError
from landmap.geo.geobox import GeoBox
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import publish
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap.tiling import Window
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN, UNKNOWN_ID, LandClass

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHAPE = (530, 12)
Values = npt.NDArray[np.uint8]


def write(path: Path, values: Values, layer: str = "classes", transform: Affine = UTM, count: int = 10) -> Path:
    place = GeoBox(*values.shape, transform, rasterio.CRS.from_epsg(32633).to_wkt())
    shown: tuple[LandClass, ...] = (*EUROSAT.classes[:count], UNKNOWN)
    tags = {LAYER_TAG: layer, LEGEND_TAG: legend_tag(shown)}
    with RasterWriter(path, place, Layers(("one",), tags, shown if layer == "classes" else None)) as writer:
        writer.write(Window(0, 0, *values.shape), values)
        publish([writer.finish()], overwrite=False)
    return path


@pytest.fixture
def series(tmp_path: Path) -> tuple[list[Path], list[Values], list[Values]]:
    """Four maps of more than a strip, their values, and their confidences, which lie beside them."""
    rng = np.random.default_rng(0)
    ids = np.array([0, 1, 8, UNKNOWN_ID, NODATA], np.uint8)
    maps = [rng.choice(ids, SHAPE, p=[0.4, 0.2, 0.2, 0.1, 0.1])]
    for _ in range(3):
        maps.append(np.where(rng.random(SHAPE) < 0.5, maps[-1], rng.choice(ids, SHAPE)))
    sure = [np.where(m == NODATA, NODATA, rng.integers(0, 101, SHAPE)).astype(np.uint8) for m in maps]
    for i, (values, percent) in enumerate(zip(maps, sure, strict=True)):
        write(tmp_path / f"m{i}.tif", values)
        write(tmp_path / f"m{i}_confidence.tif", percent, "confidence")
    return [tmp_path / f"m{i}.tif" for i in range(4)], maps, sure


def by_hand(maps: list[Values], sure: list[Values], least: int) -> tuple[Values, npt.NDArray[np.int64]]:
    """The four bands, and the number of pixels by step, class before and class after; one pixel at a time."""
    bands, steps = np.full((4, *SHAPE), NODATA, np.uint8), np.zeros((len(maps) - 1, 10, 10), np.int64)
    for row in range(SHAPE[0]):
        for col in range(SHAPE[1]):
            known = [
                (i, int(m[row, col])) for i, m in enumerate(maps) if m[row, col] < 10 and sure[i][row, col] >= least
            ]
            if len(known) < 2:
                continue
            for (_, before), (i, after) in itertools.pairwise(known):
                steps[i - 1, before, after] += 1
            changed = [i for (_, before), (i, after) in itertools.pairwise(known) if before != after]
            first, last = (changed[0], changed[-1]) if changed else (0, 0)
            bands[:, row, col] = first, last, len(changed), UNKNOWN_ID if changed else known[0][1]
    return bands, steps


@pytest.mark.parametrize("least", [0, 40])
def test_every_pixel_and_step_is_that_of_a_count_by_hand(
    least: int, series: tuple[list[Path], list[Values], list[Values]], tmp_path: Path
) -> None:
    paths, maps, sure = series
    output = tmp_path / "series.tif"
    found = compare_series(paths, output, min_confidence=least)
    bands, steps = by_hand(maps, sure, least)
    with rasterio.open(output) as file:
        np.testing.assert_array_equal(file.read(), bands)
        assert file.descriptions == ("first_change", "last_change", "changes", "persistent_class")
        assert json.loads(file.tags()["LANDMAP_TIMES"]) == [f"m{i}.tif" for i in range(4)]
        assert (file.nodata, file.transform, file.tags()[LAYER_TAG]) == (NODATA, UTM, "series")
    hectare = 0.01 * found.by_changes[0] / (0.01 * (bands[2] == 0).sum())  # on the ellipsoid, about 0.01
    assert hectare == pytest.approx(0.01, rel=2e-3)
    np.testing.assert_allclose(found.transitions, steps * hectare, rtol=1e-4, atol=1e-9)
    for areas, band in zip((found.first_changes, found.last_changes), bands[:2], strict=True):
        np.testing.assert_allclose(areas[1:], [(band == i).sum() * hectare for i in (1, 2, 3)], rtol=1e-4)
    np.testing.assert_allclose(found.by_changes, [(bands[2] == i).sum() * hectare for i in range(4)], rtol=1e-4)
    np.testing.assert_allclose(found.persistent, [(bands[3] == i).sum() * hectare for i in range(10)], rtol=1e-4)
    assert found.uncompared_hectares == pytest.approx((bands[2] == NODATA).sum() * hectare, rel=1e-4)


def test_two_maps_give_what_compare_maps_gives(series: tuple[list[Path], list[Values], list[Values]]) -> None:
    paths, _, _ = series
    found, known = compare_series(paths[:2]), compare_maps(*paths[:2])
    np.testing.assert_allclose(found.transitions[0], known.hectares())
    assert found.changed_hectares(0) == pytest.approx(known.changed_hectares)


def test_the_command_writes_what_it_prints(
    series: tuple[list[Path], list[Values], list[Values]], tmp_path: Path
) -> None:
    paths = [str(path) for path in series[0]]
    files = [str(tmp_path / name) for name in ("s.tif", "s.json", "s.csv")]
    sure = [word for path in paths for word in ("--confidence", path.replace(".tif", "_confidence.tif"))]
    line = [
        "compare-maps",
        *paths,
        "-o",
        files[0],
        "--json",
        files[1],
        "--csv",
        files[2],
        "--min-confidence",
        "40",
        *sure,
    ]
    done = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert done.output.splitlines()[-3:] == files
    report = json.loads(Path(files[1]).read_text())
    with Path(files[2]).open() as stream:
        rows = list(csv.DictReader(stream))
    for i, step in enumerate(report["steps"]):
        matrix = np.array(step["transitions_hectares"]["values"])
        mine = [row for row in rows if row["from"] == f"m{i}.tif"]
        assert sum(float(row["hectares"]) for row in mine) == pytest.approx(matrix.sum())
        assert f"{step['changed_hectares']:,.1f}" in done.output
        assert step["changed_hectares"] == pytest.approx(matrix.sum() - np.trace(matrix))
    assert report["min_confidence"] == 40
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(cli, line, catch_exceptions=False)


def test_maps_on_another_grid_are_refused_or_warped(
    series: tuple[list[Path], list[Values], list[Values]], tmp_path: Path
) -> None:
    paths, maps, _ = series
    shifted = write(tmp_path / "shifted.tif", maps[3][7:, 2:], transform=UTM @ Affine.translation(2, 7))
    with pytest.raises(GeoreferenceError, match=r"maps on one grid.*shifted\.tif.*--warp"):
        compare_series([*paths[:3], shifted])
    found = compare_series([*paths[:3], shifted], tmp_path / "s.tif", warp=True)
    moved = np.full(SHAPE, NODATA, np.uint8)
    moved[7:, 2:] = maps[3][7:, 2:]
    full = [np.full(SHAPE, 100, np.uint8)] * 4
    with rasterio.open(tmp_path / "s.tif") as file:
        np.testing.assert_array_equal(file.read(), by_hand([*maps[:3], moved], full, 0)[0])
    assert found.warped == (False, False, False, True)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda p: p[:1], {}, SettingsError, "2 to 254 maps"),
        (
            lambda p: [*p[:2], write(p[0].parent / "few.tif", np.zeros(SHAPE, np.uint8), count=9)],
            {},
            SceneError,
            "same",
        ),
        (lambda p: p, {"confidence": ["a"]}, SettingsError, "--min-confidence"),
        (lambda p: p, {"min_confidence": 101}, SettingsError, "0 to 100"),
        (lambda p: [*p, p[0].parent / "none.tif"], {}, SceneError, r"none\.tif"),
    ],
)
def test_what_is_no_series_is_one_error(
    change: Any,
    options: dict[str, Any],
    error: type[LandmapError],
    message: str,
    series: tuple[list[Path], list[Values], list[Values]],
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        compare_series(change(series[0]), tmp_path / "new.tif", **options)
    assert not (tmp_path / "new.tif").exists()


def test_maps_in_another_order_than_their_dates_are_refused(tmp_path: Path) -> None:
    names = ("T33TVN_20240102T100601.tif", "T33TVN_20230102T100601.tif", "T33TVN_20250102T100601.tif")
    paths = [write(tmp_path / name, np.ones((4, 4), np.uint8)) for name in names]
    with pytest.raises(SettingsError, match=r"of 2024-01-02 before .* of 2023-01-02"):
        landmap.compare_series(paths)
    assert landmap.compare_series([paths[1], paths[0], paths[2]]).times == ("2023-01-02", "2024-01-02", "2025-01-02")
