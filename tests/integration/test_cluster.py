"""Chunks in other processes: the same bytes, whatever happens to those."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from dask import config
from distributed import Client, LocalCluster

import landmap
from landmap.errors import ChunkError, ClusterError, SettingsError
from landmap.executors.cluster import ClusterExecutor
from landmap.inference.plan import make_plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, chunk_work
from landmap.pixels import Pixels
from landmap.tiling import Chunk
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model, packaged_models

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of processes that were killed

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # spawned workers inherit it, and import this module for its classes

Floats = npt.NDArray[np.float32]
CARD = replace(FAKE_CARD, weights_sha256="2" * 64)
CHOICES: dict[str, Any] = {"stride": 64, "chunk": 64}
L1C = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}
CHUNKS = 20


@dataclass
class Bright:
    """Answers by the brightness of a chip; leaves a note, and may do something at a certain one."""

    notes: Path
    """Folder for a file each call, named by process and number."""
    pause: float = 0
    """Seconds a call."""
    harm: Callable[[Path], None] | None = None
    """Called with `notes` once a call."""
    card: ModelCard = CARD
    calls: int = field(default=0, compare=False)

    def predict(self, chips: Floats) -> Floats:
        self.calls += 1
        (self.notes / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.pause)
        if self.harm:
            self.harm(self.notes)
        classes = (chips.mean(axis=(1, 2, 3)) * 1000).astype(int) % len(self.card.legend)
        return np.eye(len(self.card.legend), dtype=np.float32)[classes]


def pids(notes: Path) -> set[int]:
    return {int(path.name.split("-")[0]) for path in notes.iterdir() if path.name[0].isdigit()}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """Of 4 x 5 chunks."""
    values = ordinary(230, 290)
    values[:, :70, :30] = 0
    return write_scene(values, nodata=0, tags=L1C)


@pytest.fixture
def whole(scene: Path, tmp_path: Path, notes: Path) -> bytes:
    """What one thread writes."""
    landmap.classify(scene, tmp_path / "whole.tif", classifier=Bright(notes), threads=1, **CHOICES)
    for note in notes.iterdir():
        note.unlink()
    return (tmp_path / "whole.tif").read_bytes()


@contextmanager
def processes(number: int, **how: Any) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=number, threads_per_worker=2, dashboard_address=":0", silence_logs=50, **how) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two processes that the tests which harm none share."""
    with processes(2) as client:
        yield client


def dask(folder: Path, words: str, *more: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *words.split(), *map(str, more)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, **quiet)


@pytest.fixture
def tcp(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a scheduler with two workers, all started from the command line."""
    file = tmp_path / "scheduler.json"
    scheduler = dask(tmp_path, "scheduler --host 127.0.0.1 --port 0 --no-dashboard --scheduler-file", file)
    worker = dask(tmp_path, "worker --nworkers 2 --nthreads 2 --no-dashboard --scheduler-file", file)
    try:
        with Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = str(client.scheduler.address)
        yield address, scheduler
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()


def test_the_same_bytes_in_threads_and_processes(scene: Path, tmp_path: Path, notes: Path, whole: bytes) -> None:
    for name, how in {"threads": {"threads": 3}, "one process": {"workers": 1}, "four": {"workers": 4}}.items():
        landmap.classify(scene, tmp_path / f"{name}.tif", classifier=Bright(notes, 0.05), **how, **CHOICES)
        assert (tmp_path / f"{name}.tif").read_bytes() == whole, name
    assert len(pids(notes)) == 6


def test_the_same_bytes_with_masks_on_another_grid(
    write_scene: Callable[..., Path],
    ordinary: Callable[..., Any],
    write_band: Callable[..., Path],
    tmp_path: Path,
    notes: Path,
    cluster: Client,
) -> None:
    place = {"crs": "EPSG:4326", "transform": Affine(0.00011, 0, 14.99, 0, -0.00008, 45.16)}
    scene = write_scene(ordinary(230, 290), nodata=0, tags=L1C, **place)
    mask = write_band(tmp_path / "mask.tif", np.indices((170, 300)).sum(axis=0).astype(np.uint8) // 40 % 3)
    area = tmp_path / "area.geojson"
    ring = [[14.99, 45.15], [15.01, 45.16], [15.02, 45.145], [14.99, 45.15]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    made, counted = [], []
    for name, how in {"threads": {}, "cluster": {"scheduler": cluster}}.items():
        parts = {"mask": mask, "aoi": area, "warp": "auto"}
        result = landmap.classify(scene, tmp_path / f"{name}.tif", classifier=Bright(notes), **how, **parts, **CHOICES)
        made.append((tmp_path / f"{name}.tif").read_bytes())
        counted.append(result.left_out)
    assert made[0] == made[1]
    assert counted[0] == counted[1]
    pixels = result.plan.scene.geobox.height * result.plan.scene.geobox.width
    assert 0.1 < sum(result.left_out.values()) / pixels < 0.95


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_the_same_bytes_over_tcp_with_the_packaged_model(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path, tcp: tuple[str, Any]
) -> None:
    """All windows at once, in chunks of which each process does some; confidence, too."""
    scene, made = write_scene(ordinary(260, 400), tags=L1C), []
    for name, how in {"serial": {"threads": 1}, "threads": {}, "over TCP": {"scheduler": tcp[0]}}.items():
        cover, confidence = tmp_path / f"{name}.tif", tmp_path / f"{name}-confidence.tif"
        landmap.classify(scene, cover, confidence=confidence, chunk=136, **how)
        made.append((cover.read_bytes(), confidence.read_bytes()))
    assert made == [made[0]] * 3


def test_the_default_client_is_used(scene: Path, tmp_path: Path, notes: Path, whole: bytes, cluster: Client) -> None:
    with cluster.as_current():
        landmap.classify(scene, tmp_path / "cover.tif", classifier=Bright(notes), **CHOICES)
    assert os.getpid() not in pids(notes)
    assert len(list(notes.iterdir())) == CHUNKS
    assert (tmp_path / "cover.tif").read_bytes() == whole


def test_what_is_said(scene: Path, tmp_path: Path, notes: Path, cluster: Client, hear: Callable[..., None]) -> None:
    said: list[str] = []
    seen: list[tuple[int, int]] = []
    hear(said.append)
    landmap.classify(
        scene,
        tmp_path / "cover.tif",
        classifier=Bright(notes),
        scheduler=cluster,
        progress=lambda done, total: seen.append((done, total)),
        **CHOICES,
    )
    assert said[0].startswith("dashboard: ")
    assert len(seen) == CHUNKS
    assert seen[-1] == (230 * 290, 230 * 290)


def test_a_killed_worker(scene: Path, tmp_path: Path, notes: Path, whole: bytes) -> None:
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if not killed:
            killed.append(max(pids(notes)))
            os.kill(killed[0], signal.SIGKILL)

    with processes(2) as client:
        landmap.classify(
            scene, tmp_path / "cover.tif", classifier=Bright(notes, 0.05), scheduler=client, progress=kill, **CHOICES
        )
    assert killed
    assert pids(notes) > set(killed)
    assert (tmp_path / "cover.tif").read_bytes() == whole


def swallow_once(notes: Path) -> None:
    try:
        (notes / "swallowed").touch(exist_ok=False)
    except FileExistsError:
        return
    swallow(notes)


def swallow(notes: Path) -> None:
    kept = []
    for _ in range(100):
        kept.append(np.ones(10_000_000, np.uint8))
        time.sleep(0.02)


def test_a_worker_that_runs_out_of_memory_once(scene: Path, tmp_path: Path, notes: Path, whole: bytes) -> None:
    with processes(2, memory_limit="500MB") as client:
        landmap.classify(
            scene, tmp_path / "cover.tif", classifier=Bright(notes, harm=swallow_once), scheduler=client, **CHOICES
        )
    assert (notes / "swallowed").exists()
    assert len(pids(notes)) >= 2
    assert (tmp_path / "cover.tif").read_bytes() == whole


def die_at_the_tenth(notes: Path) -> None:
    if len(list(notes.iterdir())) >= 10:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_chunk_that_kills_each_worker_is_named_and_the_others_are_kept(
    scene: Path, tmp_path: Path, notes: Path, whole: bytes
) -> None:
    cover = tmp_path / "cover.tif"
    with (
        config.set({"distributed.scheduler.allowed-failures": 1}),  # fewer deaths to wait for
        processes(1) as client,
        pytest.raises(ChunkError, match=r"chunk \d+ \(rows .*, columns .*\) failed: each worker .* memory"),
    ):
        landmap.classify(scene, cover, classifier=Bright(notes, harm=die_at_the_tenth), scheduler=client, **CHOICES)
    assert not cover.exists()
    result = landmap.classify(scene, cover, classifier=Bright(notes), **CHOICES)
    assert 1 <= result.reused < CHUNKS
    assert cover.read_bytes() == whole


def test_a_scheduler_that_goes_away(
    scene: Path, tmp_path: Path, notes: Path, whole: bytes, tcp: tuple[str, subprocess.Popen[bytes]]
) -> None:
    cover = tmp_path / "cover.tif"

    def kill(done: int, total: int) -> None:
        if done > total / 3:
            tcp[1].kill()

    with pytest.raises(ClusterError, match=r"went away.*kept: give the same command again"):
        landmap.classify(scene, cover, classifier=Bright(notes, 0.05), scheduler=tcp[0], progress=kill, **CHOICES)
    assert not cover.exists()
    assert landmap.classify(scene, cover, classifier=Bright(notes), **CHOICES).reused >= CHUNKS // 3
    assert cover.read_bytes() == whole


@dataclass(frozen=True)
class Flaky(ChunkWork):
    """Reading fails so many times for each chunk."""

    notes: Path = Path()
    failures: int = 0

    def read(self, chunk: Chunk) -> Pixels | None:
        def read() -> Pixels | None:
            earlier = len(list(self.notes.glob(f"read-{chunk.index}-*")))
            (self.notes / f"read-{chunk.index}-{earlier}").write_text(str(os.getpid()))
            if earlier < self.failures:
                raise OSError("the network is down")
            return ChunkWork.read(self, chunk)

        return self.named(chunk, read)


def flaky(scene: Path, notes: Path, failures: int) -> tuple[Flaky, list[Chunk]]:
    plan = make_plan(scene, card=CARD, **CHOICES)
    work = chunk_work(plan, keep_probabilities=False)
    return Flaky(work.scene, work.grid, work.how, notes, failures), list(plan.chunks())


def prepared(client: Client, scene: Path, classifier: Bright) -> ClusterExecutor:
    executor = ClusterExecutor(client)
    executor.prepare(make_plan(scene, card=CARD, **CHOICES), classifier)
    return executor


def test_a_read_that_fails_twice_and_then_works(scene: Path, notes: Path, cluster: Client) -> None:
    work, chunks = flaky(scene, notes, 2)
    written: dict[int, ChunkCover] = {}
    executor = prepared(cluster, scene, Bright(notes))
    executor.run(work, chunks, lambda chunk, cover: written.setdefault(chunk.index, cover) and None)
    plain = ChunkWork(work.scene, work.grid, work.how)
    for chunk in chunks:
        expected = plain.predict(chunk, plain.read(chunk), Bright(notes))
        np.testing.assert_array_equal(written[chunk.index].classes, expected.classes)
    assert len(list(notes.glob("read-7-*"))) == 3


def test_a_read_that_keeps_failing_names_its_window_and_cause(scene: Path, notes: Path, cluster: Client) -> None:
    work, chunks = flaky(scene, notes, 9)
    with pytest.raises(ChunkError, match=r"chunk 7 \(rows 64-127, columns 128-191\) failed: OSError: the n"):
        prepared(cluster, scene, Bright(notes)).run(work, chunks[7:8], lambda chunk, cover: None)
    assert len(list(notes.glob("read-7-*"))) == 3


def test_few_chunks_are_in_work_at_once(scene: Path, notes: Path, cluster: Client) -> None:
    work, chunks = flaky(scene, notes, 0)
    most = written = 0

    def write(chunk: Chunk, cover: ChunkCover) -> None:
        nonlocal most, written
        time.sleep(0.05)
        most = max(most, len(list(notes.glob("read-*"))) - written)
        written += 1

    prepared(cluster, scene, Bright(notes)).run(work, chunks, write)
    assert written == CHUNKS
    assert most <= 9, "two for each of four threads, and the one that is written"


def test_prediction_takes_a_gpu_and_reading_does_not(scene: Path, tmp_path: Path, notes: Path) -> None:
    work, chunks = flaky(scene, notes, 0)

    def about(dask_worker: Any) -> tuple[int, float]:
        return os.getpid(), dask_worker.state.total_resources.get("GPU", 0)

    with processes(1) as client:
        with_gpu = dask(tmp_path, "worker --resources GPU=1 --nthreads 2 --no-dashboard", client.scheduler.address)
        try:
            client.wait_for_workers(2, timeout=60)
            gpus = dict(client.run(about).values())
            executor = prepared(client, scene, Bright(notes, 0.1))
            executor.run(work, chunks, lambda chunk, cover: None)
        finally:
            with_gpu.terminate()
            with_gpu.wait()
    assert sorted(gpus.values()) == [0, 1]
    assert {gpus[pid] for pid in pids(notes)} == {1}
    assert {gpus[int(note.read_text())] for note in notes.glob("read-*")} == {0, 1}


def test_workers_with_other_versions_are_refused(scene: Path, tmp_path: Path, notes: Path, cluster: Client) -> None:
    def lie() -> None:
        import landmap.executors.worker as module

        module.truth = module.versions
        module.versions = lambda: {**module.truth(), "keras": "2.0"}

    def repent() -> None:
        import landmap.executors.worker as module

        module.versions = module.truth

    cluster.run(lie)
    try:
        with pytest.raises(ClusterError, match=r"worker tcp://.* has keras 2.0, not 3.*--force"):
            landmap.classify(scene, tmp_path / "cover.tif", classifier=Bright(notes), scheduler=cluster, **CHOICES)
        assert not (tmp_path / "cover.tif").exists()
        landmap.classify(
            scene, tmp_path / "cover.tif", classifier=Bright(notes), scheduler=cluster, force=True, **CHOICES
        )
    finally:
        cluster.run(repent)


def test_files_that_workers_do_not_find_are_named_at_once(
    scene: Path, tmp_path: Path, notes: Path, cluster: Client
) -> None:
    def blind() -> None:
        import landmap.executors.worker as module

        module.truth = module._has
        module._has = lambda path, size: False

    def see() -> None:
        import landmap.executors.worker as module

        module._has = module.truth

    cluster.run(blind)
    try:
        with pytest.raises(ClusterError, match=r"scene.tif: expected to be found by all workers.* tcp://.*, tcp://"):
            landmap.classify(scene, tmp_path / "cover.tif", classifier=Bright(notes), scheduler=cluster, **CHOICES)
    finally:
        cluster.run(see)
    assert not list(notes.iterdir()), "no work has begun"


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_a_model_is_sent_to_workers_that_do_not_see_it(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    scene, model = write_scene(ordinary(100, 130), tags=L1C), tmp_path / "mine.keras"
    model.write_bytes(find_model("default").read_bytes())
    landmap.classify(scene, tmp_path / "here.tif", model=str(model), stride=64)

    def blind(path: str) -> None:
        """The worker's disk is another one."""
        import pathlib

        is_file = pathlib.Path.is_file
        pathlib.Path.is_file = lambda self: str(self) != path and is_file(self)  # type: ignore[method-assign]

    with processes(1) as client:
        client.run(blind, str(model))
        landmap.classify(scene, tmp_path / "there.tif", model=str(model), stride=64, scheduler=client)
    assert (tmp_path / "there.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()


def test_a_scheduler_that_does_not_answer(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap.executors.connect.CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:1: expected the address of a Dask scheduler that answers"):
        landmap.classify(scene, tmp_path / "cover.tif", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match="both"):
        landmap.classify(scene, tmp_path / "cover.tif", scheduler="tcp://127.0.0.1:1", workers=2)


def test_a_cluster_without_workers(scene: Path, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landmap.executors.cluster.WORKER_SECONDS", 1)
    with processes(0) as client, pytest.raises(ClusterError, match="expected at least one worker"):
        landmap.classify(scene, tmp_path / "cover.tif", classifier=Bright(notes), scheduler=client, **CHOICES)
