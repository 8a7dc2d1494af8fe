"""`landmap batch` as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

from landmap import find_jobs, run_batch
from landmap.cli import cli
from landmap.errors import BatchError, OutputError
from landmap_models.inference.classifier import ConstantClassifier
from landmap_models.model_file.packaged import packaged_models

needs_model = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
L1C = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}


def landmap(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from landmap.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def scenes(tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    (tmp_path / "scenes").mkdir()
    for name in ("a", "b"):
        write_scene(ordinary(70, 80), f"scenes/{name}.tif", nodata=0, tags=L1C)
    return tmp_path / "scenes"


@needs_model
def test_it_classifies_a_folder_and_says_when_not_all_is_done(scenes: Path, tmp_path: Path) -> None:
    """All in one process, so that the model is loaded once."""
    (scenes / "c.tif").write_text("no raster")
    maps = tmp_path / "maps"
    arguments = ["batch", str(scenes), "-o", str(maps), "--stride", "64"]
    first = CliRunner().invoke(cli, arguments)
    assert isinstance(first.exception, BatchError)
    assert str(first.exception) == "2 of 3 scenes are done: 1 failed"
    assert f"landmap: warning: {scenes / 'c.tif'}: can't be read" in first.stderr
    assert str(maps / "collection.json") in first.stdout
    assert (maps / "a_cover.tif").exists()
    (scenes / "c.tif").unlink()
    second = CliRunner().invoke(cli, arguments)
    assert second.exit_code == 0, second.output
    assert "2 scenes are done" in second.stdout
    log = tmp_path / "log.txt"
    assert (
        CliRunner().invoke(cli, [*arguments, "--quiet", "--overwrite", "--sieve", "2", "--log-file", log]).output == ""
    )
    lines = log.read_text().splitlines()
    assert [re.search(r"Z INFO .*/(\w).tif: (?!was made)", line)[1] for line in lines if "done in" in line] == [
        "a",
        "b",
    ]  # type: ignore[index]
    as_json = CliRunner().invoke(cli, [*arguments, "--sieve", "2", "--json"])
    found = json.loads(as_json.stdout)
    assert (found["scenes"], found["states"]["done"], len(found["jobs"])) == (2, 2, 2)


@needs_model
def test_the_maps_become_one_at_the_end(scenes: Path, tmp_path: Path) -> None:
    """The second scene lies beside the first, so that half of the map is of each."""
    with rasterio.open(scenes / "b.tif", "r+") as file:
        file.transform = file.transform @ Affine.translation(file.width, 0)
    line = ["batch", str(scenes), "-o", str(tmp_path / "maps"), "--stride", "64", "--mosaic", str(tmp_path / "map.tif")]
    done = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert "2 covers in EPSG:" in done.stdout
    covers = [rasterio.open(tmp_path / "maps" / f"{name}_cover.tif").read(1) for name in "ab"]
    np.testing.assert_array_equal(rasterio.open(tmp_path / "map.tif").read(1), np.hstack(covers))
    with pytest.raises(OutputError, match=r"map\.tif.*exists already"):
        CliRunner().invoke(cli, line, catch_exceptions=False)


@needs_model
def test_what_failed_is_one_line_and_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_text("no raster")
    done = landmap("batch", "-o", tmp_path / "maps", tmp_path / "bad.tif", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    warning, error = done.stderr.splitlines()
    assert warning.startswith(f"landmap: warning: {tmp_path / 'bad.tif'}: can't be read")
    assert error == "landmap: error: 0 of 1 scenes are done: 1 failed"


def test_a_list_that_can_not_be_meant_is_exit_status_2(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("file\na.tif\n")
    done = landmap("batch", tmp_path / "jobs.csv", "-o", tmp_path / "maps")
    assert done.returncode == 2
    assert done.stderr.startswith(f"landmap: error: {tmp_path / 'jobs.csv'}, line 2: expected")
    assert not (tmp_path / "maps").exists()


def test_status_says_what_is_wrong(scenes: Path, tmp_path: Path) -> None:
    (scenes / "c.tif").write_text("no raster")
    maps = tmp_path / "maps"
    run_batch(find_jobs(scenes), maps, classifier=ConstantClassifier())
    (maps / "a_cover.tif").unlink()
    found = CliRunner().invoke(cli, ["batch", "status", str(maps)])
    assert isinstance(found.exception, BatchError)
    assert str(found.exception) == "1 of 3 scenes are done: 1 failed, 1 outdated"
    lost, failed = found.stdout.splitlines()
    assert lost.split() == ["outdated", f"{scenes / 'a.tif'}:", "a_cover.tif", "is", "gone"]
    assert failed.startswith(f"failed    {scenes / 'c.tif'}: can't be read")
    as_json = CliRunner().invoke(cli, ["batch", "status", str(maps), "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["states"] == {
        "failed": 1,
        "outdated": 1,
        "running": 0,
        "waiting": 0,
        "cloudy": 0,
        "done": 1,
    }


def test_status_of_what_is_done_is_exit_status_0(scenes: Path, tmp_path: Path) -> None:
    run_batch(find_jobs(scenes), tmp_path / "maps", classifier=ConstantClassifier())
    found = CliRunner().invoke(cli, ["batch", "status", str(tmp_path / "maps")])
    assert (found.exit_code, found.output) == (0, "2 scenes are done; of 0 the report has warnings\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["status", "--help"]])
def test_it_explains_itself(arguments: list[str]) -> None:
    found = CliRunner().invoke(cli, ["batch", *arguments])
    assert "Usage: " in found.output
    assert "Exit status 0" in found.output or "run" in found.output
