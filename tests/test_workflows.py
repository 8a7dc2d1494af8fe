"""The recipes run as their documentation says."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from landmap.demo.example import write_example
from landmap_models.model_file.packaged import packaged_models

WORKFLOWS = Path(__file__).parents[1] / "workflows"


def run(recipe: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(WORKFLOWS / recipe), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_one_scene(tmp_path: Path) -> None:
    scene = write_example(tmp_path / "scene.tif", 300).scene
    done = run("one_scene.py", scene, tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "results" / "scene_cover.tif")
    with (tmp_path / "results" / "scene_areas.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-3)


def test_one_scene_stops_at_assumptions(write_scene, ordinary, tmp_path) -> None:  # type: ignore[no-untyped-def]
    done = run("one_scene.py", write_scene(ordinary(100, 100)), tmp_path / "results")
    assert done.returncode == 1
    assert "stopped at warnings" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_many_scenes(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    for seed in range(2):
        write_example(tmp_path / f"s{seed}.tif", 100, seed).scene.rename(tmp_path / f"scenes/s{seed}.tif")
    (tmp_path / "scenes/bad.tif").write_text("no raster")
    done = run("many_scenes.py", tmp_path / "scenes", tmp_path / "results")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "2 of 3 scenes are done"
    assert "bad.tif" in done.stderr
    with (tmp_path / "results" / "areas.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cover"] for row in rows] == ["s0_cover.tif"] * 10 + ["s1_cover.tif"] * 10
    assert sum(float(row["hectares"]) for row in rows[:10]) == pytest.approx(100, abs=10), "1 km² but for the margin"


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_many_dates(tmp_path: Path) -> None:
    scenes = [write_example(tmp_path / f"{seed}.tif", 128, seed).scene for seed in range(2)]
    (tmp_path / "points.csv").write_text(
        "scene,row,col,group\na/0.tif,5,5,water\na/0.tif,9,9,open\nother.tif,1,1,built\n"
    )
    done = run("many_dates.py", "L1C", tmp_path / "cover.tif", *scenes, "--points", tmp_path / "points.csv")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "cover.tif") as cover, rasterio.open(tmp_path / "cover_count.tif") as count:
        classes, dates = cover.read(1), count.read(1)
    assert classes.shape == (128, 128)
    assert ((classes == 255) == (dates == 0)).all(), "a place has no class only where no date has data"
    assert dates.max() == 2
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["0.tif", "1.tif", "all, mean", "all, median", "all, majority"]
    assert all(" of 2 points" in line for line in lines[1:]), "those of other scenes do not count"


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_a_pool_of_processes(tmp_path: Path) -> None:
    scene = write_example(tmp_path / "scene.tif", 200).scene
    done = run("pools.py", scene, tmp_path / "cover.tif")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cover.tif").is_file()


RECIPES = sorted(path.name for path in WORKFLOWS.glob("*.py"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_explain_themselves(recipe: str) -> None:
    done = run(recipe)
    assert done.returncode == 1
    assert f"python workflows/{recipe}" in done.stderr


def test_every_recipe_is_in_the_readme() -> None:
    text = (WORKFLOWS / "README.md").read_text()
    for path in WORKFLOWS.glob("*.py"):
        assert f"`{path.name} " in text
    for path in WORKFLOWS.glob("*/*.*"):
        if path.suffix != ".pyc":
            assert re.search(rf"`({path.parent.name}/)?{path.name}[` ]", text), path.name


def test_a_cluster_is_started_for_a_command(tmp_path: Path) -> None:
    """With a stand-in for landmap that says what it was given, and fails."""
    (tmp_path / "landmap").mkdir()
    (tmp_path / "landmap" / "__init__.py").touch()
    (tmp_path / "landmap" / "__main__.py").write_text("import sys\nprint(*sys.argv[1:])\nsys.exit(3)\n")
    done = run("cluster.py", "local", "batch", "scenes", "-o", "covers", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    *command, address = done.stdout.split()
    assert command == ["batch", "scenes", "-o", "covers", "--scheduler"]
    assert re.fullmatch(r"tcp://127.0.0.1:\d+", address)
