"""The SLURM recipe on a real SLURM: this machine as its one node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import landmap
from landmap.demo.example import write_example
from landmap_models.model_file.packaged import packaged_models

WORKFLOWS = Path(__file__).parents[2] / "workflows"
NODE = WORKFLOWS / "slurm" / "single_node.sh"
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not all(shutil.which(p, path=f"{os.environ['PATH']}:/usr/sbin") for p in PROGRAMS),
        reason="SLURM is not installed: apt-get install slurm-wlm munge",
    ),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a SLURM that runs."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([NODE, "start", folder], capture_output=True, text=True, check=False)
    if started.returncode:
        pytest.skip(f"SLURM can't be started here: {started.stderr.strip()}")
    yield os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "DASK_JOBQUEUE__SLURM__INTERFACE": "lo"}
    subprocess.run([NODE, "stop", folder], capture_output=True, check=True)


def queue(slurm: dict[str, str]) -> str:
    return subprocess.run(["squeue", "--noheader"], env=slurm, capture_output=True, text=True, check=True).stdout


def recipe(slurm: dict[str, str], folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, WORKFLOWS / "slurm.py", *command]
    return subprocess.run(list(map(str, words)), cwd=folder, env=slurm, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_a_queued_worker_makes_the_same_map(slurm: dict[str, str], tmp_path: Path) -> None:
    scene = write_example(tmp_path / "scene.tif", 200).scene
    landmap.classify(scene, tmp_path / "here.tif")
    done = recipe(slurm, tmp_path, "classify", scene, "-o", "there.tif")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
    assert list((tmp_path / "slurm-logs").glob("*.err")), "a job of SLURM leaves a log"
    while " CG " in (jobs := queue(slurm)):
        time.sleep(0.1)
    assert jobs == "", "no job goes on without its recipe"


def test_an_array_maps_each_scene_once(slurm: dict[str, str], tmp_path: Path) -> None:
    """With a stand-in for landmap: which scene each job takes is the script's affair."""
    program = tmp_path / "bin" / "landmap"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor word; do printf "%s|" "$word"; done >>"$2.call"\n')
    program.chmod(0o755)
    scenes = [tmp_path / name for name in ("a.tif", "b.tif", "c d.tif")]
    (tmp_path / "scenes.txt").write_text("".join(f"{scene}\n" for scene in scenes))
    (tmp_path / "slurm-logs").mkdir()
    environment = slurm | {"PATH": f"{program.parent}:{slurm['PATH']}"}
    array = ["sbatch", "--array=1-3", str(WORKFLOWS / "slurm" / "array.sbatch"), "scenes.txt", "covers"]
    subprocess.run(array, cwd=tmp_path, env=environment, capture_output=True, check=True)
    while queue(slurm):
        time.sleep(0.1)
    for scene in scenes:
        assert Path(f"{scene}.call").read_text() == f"batch|{scene}|-o|covers|--retry-failed|--quiet|"
