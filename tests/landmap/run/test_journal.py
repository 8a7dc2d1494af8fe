"""A run that is cut short keeps its chunks; the next one goes on, to the same bytes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import landmap
from landmap.errors import ChunkError, LandmapWarning, OutputError
from landmap.inference.plan import make_plan
from landmap.io.publish import locked
from landmap.run.classify import run_plan
from landmap.run.fingerprint import REASONS, fingerprint
from landmap.run.journal import Journal
from landmap.run.outputs import Outputs
from landmap.scene.scene import Scene
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import ModelCard

Floats = npt.NDArray[np.float32]
CARD = replace(FAKE_CARD, weights_sha256="1" * 64)
CHOICES: dict[str, Any] = {"stride": 64, "chunk": 64, "threads": 1}
CHUNKS = 12
SQUARE = {f"chunk-{number}.z" for number in (0, 1, 2, 4, 5, 6)}
"""Those that the scene's edge does not cut, all of one shape."""


@dataclass
class Weak:
    """Answers by the brightness of a chip, and fails from the given call on."""

    fails_at: int = 10**6
    card: ModelCard = CARD
    calls: int = field(default=0, compare=False)
    pause: float = 0

    def predict(self, chips: Floats) -> Floats:
        self.calls += 1
        time.sleep(self.pause)
        if self.calls > self.fails_at:
            raise FloatingPointError("a cosmic ray")
        classes = (chips.mean(axis=(1, 2, 3)) * 1000).astype(int) % len(self.card.legend)
        return np.eye(len(self.card.legend), dtype=np.float32)[classes]


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """Of 3 x 4 chunks."""
    values = ordinary(150, 210)
    values[:, :20, :30] = 0
    return write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"})


@pytest.fixture
def cover(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "cover.tif"


@pytest.fixture
def whole(scene: Path, tmp_path: Path) -> bytes:
    """What an uninterrupted run writes."""
    landmap.classify(scene, tmp_path / "whole.tif", classifier=Weak(), **CHOICES)
    return (tmp_path / "whole.tif").read_bytes()


def cut_short(scene: Path, cover: Path, after: int = 5, **choices: Any) -> list[Path]:
    """A run that fails; the files of its chunks."""
    with pytest.raises(ChunkError, match="cosmic ray"):
        landmap.classify(scene, cover, classifier=Weak(after), **CHOICES | choices)
    return sorted(cover.with_name("cover.tif.landmap").glob("chunk-*.z"))


def names(cover: Path) -> set[str]:
    return {path.name for path in cover.parent.iterdir()}


def test_finished_chunks_are_neither_read_nor_predicted_again(
    scene: Path, cover: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, hear: Callable[..., None]
) -> None:
    assert len(cut_short(scene, cover)) == 5
    assert names(cover) == {"cover.tif.landmap"}, "no output, no temporary folder, no lock"
    reads: list[Window] = []
    read = Scene.read
    monkeypatch.setattr(Scene, "read", lambda self, window: reads.append(window) or read(self, window))
    weak, said, seen = Weak(), [], []
    hear(said.append)
    result = landmap.classify(
        scene,
        cover,
        classifier=weak,
        progress=lambda done, total: seen.append((done, total)),
        **CHOICES,
    )
    assert said == [f"reusing 5 of {CHUNKS} chunks"]
    assert (result.reused, weak.calls, len(reads)) == (5, CHUNKS - 5, CHUNKS - 5)
    assert len(seen) == CHUNKS
    assert seen[-1] == (150 * 210, 150 * 210)
    assert not result.warnings
    assert cover.read_bytes() == whole
    assert names(cover) == {"cover.tif", "cover.tif.aux.xml", "cover.qml"}


def test_it_may_be_cut_short_many_times(scene: Path, cover: Path, whole: bytes) -> None:
    for more in range(1, 4):
        assert len(cut_short(scene, cover, after=2)) == 2 * more
    assert landmap.classify(scene, cover, classifier=Weak(), **CHOICES | {"threads": 3}).reused == 6
    assert cover.read_bytes() == whole


def test_confidence_and_probabilities_come_back_too(scene: Path, tmp_path: Path, cover: Path) -> None:
    files = [cover, cover.with_name("confidence.tif"), cover.with_name("probabilities.tif")]
    more = {"confidence": files[1], "probabilities": files[2]}
    landmap.classify(scene, files[0], classifier=Weak(), **more, **CHOICES)
    made = [file.read_bytes() for file in files]
    for file in cover.parent.iterdir():
        file.unlink()
    cut_short(scene, cover, **more)
    assert landmap.classify(scene, cover, classifier=Weak(), **more, **CHOICES).reused == 5
    assert [file.read_bytes() for file in files] == made


def spoil(chunk: Path, other: Path) -> None:
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)


def truncate(chunk: Path, other: Path) -> None:
    chunk.write_bytes(chunk.read_bytes()[:-1])


def empty(chunk: Path, other: Path) -> None:
    chunk.write_bytes(b"")


def swap(chunk: Path, other: Path) -> None:
    """Of the same shape, with a good checksum."""
    chunk.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [spoil, truncate, empty, swap])
def test_damaged_chunks_are_done_again(
    damage: Callable[[Path, Path], None], scene: Path, cover: Path, whole: bytes
) -> None:
    chunks = cut_short(scene, cover, after=9)  # Dask's order is not always the same; two of them are square in any
    one, other = [chunk for chunk in chunks if chunk.name in SQUARE][:2]
    damage(one, other)
    result = landmap.classify(scene, cover, classifier=Weak(), **CHOICES)
    assert result.reused == 8
    assert result.warnings == ("of the unfinished run of cover.tif, 1 finished chunk is damaged and done again",)
    assert cover.read_bytes() == whole


def test_a_chunk_that_is_damaged_after_the_start_is_done_again(
    scene: Path, cover: Path, whole: bytes, hear: Callable[..., None]
) -> None:
    chunks = cut_short(scene, cover)

    def late(text: str) -> None:
        truncate(chunks[3], chunks[0])

    hear(late)
    assert landmap.classify(scene, cover, classifier=Weak(), **CHOICES).reused == 4
    assert cover.read_bytes() == whole


def test_chunks_of_another_run_do_not_fit(scene: Path, cover: Path, tmp_path: Path, whole: bytes) -> None:
    """As a power cut may leave them: the fingerprint is new, the chunks are old."""
    other = cut_short(scene, cover, scale=0.0002)
    kept = {file.name: file.read_bytes() for file in other}
    for file in cut_short(scene, cover):
        file.unlink()
    for file in other:
        file.write_bytes(kept[file.name])
    assert landmap.classify(scene, cover, classifier=Weak(), **CHOICES).reused == 0
    assert cover.read_bytes() == whole


def test_a_journal_that_can_not_be_read_is_not_used(scene: Path, cover: Path, whole: bytes) -> None:
    cut_short(scene, cover)
    (cover.parent / "cover.tif.landmap/journal.json").write_bytes(b"\xff{")
    result = landmap.classify(scene, cover, classifier=Weak(), **CHOICES)
    assert (result.reused, cover.read_bytes()) == (0, whole)
    assert result.warnings[0].endswith("left a journal that can't be read: starting over")


@dataclass
class Other(Weak):
    precision: str = "bfloat16"
    device: str = "/GPU:0"


def touch(scene: Path) -> None:
    state = scene.stat()
    os.utime(scene, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"smooth": True}, "with other settings (smooth)"),
        ({"stride": 32}, "with other settings (stride)"),
        ({"scale": 0.0002, "offset": 3.0}, "with other settings (offset, scale)"),
        ({"chunk": 128}, "in other chunks"),
        ({"probabilities": "p.tif"}, "for other outputs (confidence)"),
        ({"classifier": Weak(card=replace(CARD, weights_sha256="2" * 64))}, "with another model (constant 1)"),
        ({"classifier": Weak(card=replace(CARD, licence="MIT"))}, "with another model (constant 1)"),
        ({"classifier": Other()}, "in another precision (as passed in) and on another device (as passed in)"),
        ({"classifier": Weak(card=FAKE_CARD)}, None),
        ({"scene": touch}, "before the scene was changed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_changes_a_pixel_starts_afresh_and_says_why(
    change: dict[str, Any], reason: str | None, scene: Path, cover: Path
) -> None:
    cut_short(scene, cover)
    if "scene" in change:
        change.pop("scene")(scene)
    if "probabilities" in change:
        change = {"probabilities": cover.with_name("p.tif")}
    with pytest.warns(LandmapWarning) as issued:
        result = landmap.classify(scene, cover, **{"classifier": Weak()} | CHOICES | change)
    assert result.reused == 0
    warned = [str(warning.message) for warning in issued]
    assert tuple(warned) == result.warnings
    if reason:
        assert warned == [f"the unfinished run of cover.tif was made {reason}: starting over"]
    else:
        assert "without a checksum of its weights" in warned[0]
    assert not cover.with_name("cover.tif.landmap").exists()


def test_another_scene_starts_afresh(scene: Path, cover: Path, tmp_path: Path) -> None:
    cut_short(scene, cover)
    (tmp_path / "other.tif").write_bytes(scene.read_bytes())
    result = landmap.classify(tmp_path / "other.tif", cover, classifier=Weak(), **CHOICES)
    expected = f"the unfinished run of cover.tif was made of another scene ({scene}): starting over"
    assert result.warnings == (expected,)


def test_what_changes_no_pixel_does_not_matter(scene: Path, cover: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(scene, cover)
    monkeypatch.chdir(cover.parent)
    more = {"threads": 2, "batch_size": 3, "memory": 10**9, "force": True, "confidence": "confidence.tif"}
    result = landmap.classify("../scene.tif", "cover.tif", classifier=Weak(), **CHOICES | more)
    assert result.reused == 5
    assert not result.warnings


def test_the_sources_of_a_vrt_are_part_of_the_scene(scene: Path, tmp_path: Path) -> None:
    from rasterio.shutil import copy

    copy(str(scene), str(tmp_path / "scene.vrt"), driver="VRT")
    plan = make_plan(tmp_path / "scene.vrt", card=CARD, **CHOICES)
    before = fingerprint(plan, "float32", "/CPU:0", keep_probabilities=False)
    touch(scene)
    after = fingerprint(plan, "float32", "/CPU:0", keep_probabilities=False)
    assert set(before) == set(REASONS)
    assert [name for name in before if before[name] != after[name]] == ["files"]


def test_no_resume_removes_what_is_there(scene: Path, cover: Path, whole: bytes) -> None:
    cut_short(scene, cover)
    result = landmap.classify(scene, cover, classifier=Weak(), resume=False, **CHOICES)
    assert (result.reused, result.warnings) == (0, ())
    assert cover.read_bytes() == whole
    assert names(cover) == {"cover.tif", "cover.tif.aux.xml", "cover.qml"}


def test_nothing_is_kept_where_nothing_could_be_reused(scene: Path, cover: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise ValueError("too late")

    for how in ({"chunk": 1000, "classifier": Weak()}, {"chunk": 64, "classifier": Weak(card=FAKE_CARD)}):
        with pytest.raises(ChunkError, match="too late"):
            landmap.classify(scene, cover, stride=64, progress=stop, **how)
        assert names(cover) == set()


def test_a_full_disk_is_one_error_and_what_is_finished_stays(
    scene: Path, cover: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, []

    def full(number: int) -> None:
        calls.append(number)
        if len(calls) > 4:  # the journal's own file and three chunks
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"cover\.tif\.landmap: can't be written: No space left on device$"):
            landmap.classify(scene, cover, classifier=Weak(), **CHOICES)
    kept = {path.name for path in cover.with_name("cover.tif.landmap").iterdir()}
    assert len(kept) == 4
    assert {Path(name).suffix for name in kept} == {".json", ".z"}
    assert landmap.classify(scene, cover, classifier=Weak(), **CHOICES).reused == 3
    assert cover.read_bytes() == whole


def test_what_is_not_ours_stays(scene: Path, cover: Path) -> None:
    cut_short(scene, cover)
    folder = cover.with_name("cover.tif.landmap")
    (folder / "mine.txt").write_text("precious")
    (folder / "chunk-9.z.part").write_text("left by kill -9")
    landmap.classify(scene, cover, classifier=Weak(), **CHOICES)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_late_chunk_is_not_kept(scene: Path, cover: Path) -> None:
    """Dask's threads go on for a while after an interrupt."""
    plan = make_plan(scene, card=CARD, **CHOICES)
    with Journal(cover, {}, plan.grid, list(plan.chunks()), 0) as journal:
        pass
    with pytest.raises(OutputError, match="the run has ended"):
        journal.keep(next(plan.chunks()), None)  # type: ignore[arg-type]
    assert names(cover) == set()


# Real processes: killed by a signal that none can catch, and two at once.

SLOW = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]
import landmap
from test_journal import CHOICES, Weak
landmap.classify(sys.argv[1], sys.argv[2], classifier=Weak(pause=0.3), **CHOICES)
"""


def begin(scene: Path, cover: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SLOW, str(scene), str(cover)], stderr=subprocess.PIPE, text=True)


def wait_for_chunks(cover: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(cover.parent.glob("cover.tif.landmap/chunk-*.z"))) < number and time.monotonic() < deadline:
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def test_three_kills_at_different_moments_change_no_byte(scene: Path, cover: Path, whole: bytes) -> None:
    for number in (1, 4, 8):
        process = begin(scene, cover)
        wait_for_chunks(cover, number)
        kill(process)
        left = names(cover)
        assert "cover.tif" not in left
        assert len([name for name in left if len(name) == len(".cover.tif.landmap-12345678")]) == 1
    (cover.parent / ".cover.tif.landmap-of my own").mkdir()
    weak = Weak()
    result = landmap.classify(scene, cover, classifier=weak, **CHOICES)
    assert result.reused >= 8
    assert weak.calls == CHUNKS - result.reused
    assert not result.warnings
    assert cover.read_bytes() == whole
    assert names(cover) == {"cover.tif", "cover.tif.aux.xml", "cover.qml", ".cover.tif.landmap-of my own"}


def test_two_runs_for_one_output_refuse_each_other(
    scene: Path, cover: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin(scene, cover)
    wait_for_chunks(cover, 1)
    (tmp_path / "link").symlink_to(cover.parent)
    monkeypatch.chdir(tmp_path)
    weak = Weak()
    for same in (cover, Path("out/cover.tif"), Path("link/cover.tif")):
        with pytest.raises(OutputError, match=r"cover\.tif: another run is writing it"):
            landmap.classify(scene, same, classifier=weak, **CHOICES)
    with pytest.raises(OutputError, match=r"cover\.tif: another run is writing it"):
        landmap.classify(scene, tmp_path / "new.tif", confidence=cover, classifier=weak, **CHOICES)
    assert weak.calls == 0
    assert process.poll() is None, "the first goes on"
    kill(process)
    assert landmap.classify(scene, cover, classifier=weak, **CHOICES).reused >= 1, "its lock went with it"


def test_a_run_refuses_another_in_the_same_process(cover: Path) -> None:
    with locked([cover]):
        with pytest.raises(OutputError, match="another run"), locked([cover]):
            pass
        with pytest.raises(OutputError, match="another run"), locked([cover]):
            pass
    with locked([cover]):
        pass
    assert names(cover) == set()


def test_the_real_model_goes_on_to_the_same_bytes(scene: Path, cover: Path, tmp_path: Path) -> None:
    """With classifier, precision and device as the command line finds them."""

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    plan = make_plan(scene, chunk=64, stride=16)
    run_plan(plan, Outputs(tmp_path / "whole.tif"))
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, Outputs(cover), progress=stop)
    assert names(cover) == {"cover.tif.landmap"}
    result = run_plan(plan, Outputs(cover))
    assert 0 < result.reused < plan.num_chunks
    assert cover.read_bytes() == (tmp_path / "whole.tif").read_bytes()
