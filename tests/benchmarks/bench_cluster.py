"""What a cluster costs, and whether it survives: `make bench`, real processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from landmap.bench.run import write_bench_scene
from landmap.executors.connect import connected
from landmap.run.classify import classify

SIZE = int(os.environ.get("LANDMAP_BENCH_SIZE", "5490"))
OVERHEAD = 1.15
"""A cluster of one process in terms of threads, at most."""
KILLS = 20
SCRIPT = Path(__file__).with_name("slow_run.py")


def bench_one_process_against_threads(tmp_path: Path) -> None:
    """The same scene twice each way, models loaded before; the better time counts."""
    scene = write_bench_scene(tmp_path / "scene.tif", SIZE)
    seconds: dict[str, list[float]] = {"threads": [], "process": []}
    with connected(None, 1) as client:
        for number in range(3):
            for name, where in (("threads", {}), ("process", {"scheduler": client})):
                start = time.perf_counter()
                classify(scene, tmp_path / f"{name}.tif", precision="float32", overwrite=True, **where)
                if number:  # the first loads the model
                    seconds[name].append(time.perf_counter() - start)
    assert (tmp_path / "threads.tif").read_bytes() == (tmp_path / "process.tif").read_bytes()
    threads, process = min(seconds["threads"]), min(seconds["process"])
    print(f"\n{SIZE} px: threads {threads:.1f} s, a cluster of one process {process:.1f} s: {process / threads:.2f}")
    assert process / threads <= OVERHEAD


def bench_kills_at_random_moments(tmp_path: Path) -> None:
    """A run of 225 chunks is killed (SIGKILL), or a worker of it, and gives the same file all the same."""
    scene, rng = write_bench_scene(tmp_path / "scene.tif", 960), random.Random(0)
    whole, seconds = tmp_path / "whole.tif", 0.0
    for _ in range(2):
        start = time.perf_counter()
        run(scene, whole).wait()
        seconds = time.perf_counter() - start
        expected = whole.read_bytes()
        whole.unlink()
        whole.with_name("whole.tif.aux.xml").unlink()
    hit = 0
    for number in range(KILLS):
        cover = tmp_path / f"cover-{number}.tif"
        process = run(scene, cover, *(["2"] if number % 2 else []))
        time.sleep(rng.uniform(0.3, 1) * seconds)
        hit += kill_worker(process, rng) if number % 2 else kill_run(process)
        process.wait()
        if not cover.exists():  # a run may be killed when its output is complete
            assert run(scene, cover).wait() == 0
        assert cover.read_bytes() == expected
    print(f"\n{KILLS} kills, {hit} of them while chunks were in work: {KILLS} identical files")
    assert hit >= KILLS // 2, "most came too early or too late"


def run(scene: Path, cover: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(scene), str(cover), *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_run(process: subprocess.Popen[bytes]) -> bool:
    cover = Path(process.args[3])  # type: ignore[index]
    in_work = any(cover.with_name(cover.name + ".landmap").glob("chunk-*"))
    process.kill()
    return in_work


def kill_worker(process: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """A process of the cluster, once there is one that works."""
    cover = Path(process.args[3])  # type: ignore[index]
    while process.poll() is None and not any(cover.with_name(cover.name + ".landmap").glob("chunk-*")):
        time.sleep(0.05)
    time.sleep(rng.uniform(0, 1))
    with suppress(psutil.NoSuchProcess, IndexError):  # it ended at this moment
        family = psutil.Process(process.pid).children(recursive=True)
        rng.choice([child for child in family if "spawn_main" in " ".join(child.cmdline())]).kill()
        return True
    return False
