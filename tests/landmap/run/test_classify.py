"""The laws of the design on whole runs, with classifiers whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.env
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

import landmap
from landmap.demo.example import write_example
from landmap.errors import ChunkError, LandmapError, LandmapWarning, OutputError, SettingsError
from landmap.executors.base import Engine, Write, load_engine
from landmap.geo.geobox import GeoBox
from landmap.inference.methods import ChipByChip
from landmap.inference.plan import Plan, make_plan
from landmap.inference.work import ChunkWork
from landmap.products.nodata import Nodata
from landmap.run.classify import run_plan
from landmap.run.outputs import Outputs
from landmap.scene.raster_source import RasterSource
from landmap.scene.scene import Scene
from landmap.tiling import Chunk
from landmap.tiling import Window as LandmapWindow
from landmap_models.inference.classifier import FAKE_CARD, Classifier, ConstantClassifier
from landmap_models.legend import NODATA, LandClass, Legend
from landmap_models.model_file.card import ModelCard

Floats = npt.NDArray[np.float32]
MANY = Legend(tuple(LandClass(i, f"class {i}", "#123456") for i in range(250)))
MANY_CARD = replace(FAKE_CARD, legend=MANY)
TWO_CARD = replace(FAKE_CARD, legend=Legend(MANY.classes[:2]))


@dataclass(frozen=True)
class PositionClassifier:
    """Answers with the number that the chip's first pixel holds: which window it is."""

    card: ModelCard = MANY_CARD

    def predict(self, chips: Floats) -> Floats:
        number = np.rint(chips[:, 0, 0, 0] * 10_000).astype(int)
        return np.eye(250, dtype=np.float32)[number % 250]


@dataclass(frozen=True)
class MeanClassifier:
    """Probabilities that depend on every pixel of a chip: two classes by its mean."""

    card: ModelCard = TWO_CARD

    def predict(self, chips: Floats) -> Floats:
        bright = np.clip(chips.mean(axis=(1, 2, 3), dtype=np.float64) / 0.2, 0, 1).astype(np.float32)
        return np.stack([1 - bright, bright], axis=1)


@dataclass(frozen=True)
class BrokenClassifier:
    """Fails once it has been asked often enough."""

    calls: list[int]
    card: ModelCard = FAKE_CARD

    def predict(self, chips: Floats) -> Floats:
        self.calls.append(len(chips))
        if len(self.calls) > 2:
            raise FloatingPointError("a cosmic ray")
        return ConstantClassifier().predict(chips)


def read(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return np.asarray(file.read())


def leftovers(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


@pytest.mark.parametrize("shape", [(1, 1), (10, 300), (64, 64), (65, 63), (150, 210), (512, 130)])
@pytest.mark.parametrize("stride", [64, 8])
def test_a_constant_classifier_gives_a_constant_cover(
    shape: tuple[int, int], stride: int, write_scene: Callable[..., Path], tmp_path: Path
) -> None:
    scene = write_scene(np.full((3, *shape), 900, np.uint16))
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(7), stride=stride)
    assert (read(tmp_path / "cover.tif") == 7).all()
    assert result.classes[7].pixels == shape[0] * shape[1]
    assert result.classes[7].hectares == pytest.approx(shape[0] * shape[1] * 0.01)


def test_positions_come_back(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    """Each window of a stride-64 grid answers with its own number, and only there."""
    rows, cols = 5, 7
    numbers = np.arange(1, rows * cols + 1, dtype=np.uint16).reshape(rows, cols)
    values = numbers.repeat(64, axis=0).repeat(64, axis=1)[: 4 * 64 + 30, : 6 * 64 + 1]
    scene = write_scene(np.stack([values] * 3))
    landmap.classify(scene, tmp_path / "cover.tif", classifier=PositionClassifier(), stride=64, chunk=130)
    np.testing.assert_array_equal(read(tmp_path / "cover.tif")[0], values)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    stride=st.sampled_from([64, 32, 16, 8]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_chunks_and_threads_change_no_byte_and_nodata_stays(
    height: int,
    width: int,
    stride: int,
    seed: int,
    data: st.DataObject,
    write_scene: Callable[..., Path],
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 3000, (3, height, width), dtype=np.uint16)
    missing = rng.random((height, width)) < data.draw(st.sampled_from([0, 0.3, 0.97]))
    values[:, missing] = 0
    scene = write_scene(values, nodata=0)
    made = []
    for chunk, threads in ((1000, 1), (data.draw(st.integers(1, 150)), 2)):
        files = [tmp_path / name for name in ("cover.tif", "confidence.tif", "probabilities.tif")]
        landmap.classify(
            scene,
            files[0],
            confidence=files[1],
            probabilities=files[2],
            classifier=MeanClassifier(),
            stride=stride,
            chunk=chunk,
            threads=threads,
            overwrite=True,
        )
        made.append([f.read_bytes() for f in files])
        for file in files:
            np.testing.assert_array_equal((read(file) == NODATA).all(axis=0), missing)
            np.testing.assert_array_equal((read(file) == NODATA).any(axis=0), missing)
    assert made[0] == made[1]


def test_every_window_counts_by_its_valid_share(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    """The whole way from file to probabilities, against loops over windows and pixels."""
    rng = np.random.default_rng(3)
    values = rng.integers(300, 2000, (3, 100, 90), dtype=np.uint16)
    missing = rng.random((100, 90)) < 0.2
    values[:, missing] = 0
    scene = write_scene(values, nodata=0)
    landmap.classify(
        scene, tmp_path / "c.tif", probabilities=tmp_path / "p.tif", classifier=MeanClassifier(), stride=32, chunk=64
    )
    filled = np.where(missing, np.float32(0.1), values * np.float32(1e-4)).astype(np.float64)
    padded = np.pad(filled, ((0, 0), (0, 28), (0, 6)), mode="reflect")
    total, weight = np.zeros((128, 96)), np.zeros((128, 96))
    for row in range(0, 128 - 63, 32):
        for col in range(0, 96 - 63, 32):
            share = (~missing[row : row + 64, col : col + 64]).sum() / 64**2
            bright = min(1, padded[:, row : row + 64, col : col + 64].mean() / 0.2)
            total[row : row + 64, col : col + 64] += share * bright
            weight[row : row + 64, col : col + 64] += share
    expected = np.rint(100 * total / weight)[:100, :90]
    np.testing.assert_allclose(read(tmp_path / "p.tif")[1][~missing], expected[~missing], atol=1)


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633"),
        (Affine(10, 0, 500_000, 0, 10, 5_000_000), "EPSG:32733"),
        (Affine(8, 6, 500_000, 6, -8, 5_000_000), "EPSG:32633"),
        (Affine(9e-5, 0, 11.0, 0, -9e-5, 0.1), "EPSG:4326"),
    ],
    ids=["north-up", "south-up", "rotated", "degrees"],
)
def test_the_cover_lies_where_the_scene_lies(
    transform: Affine, crs: str, write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    scene = write_scene(ordinary(150, 210), transform=transform, crs=crs)
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier())
    with rasterio.open(scene) as one, rasterio.open(tmp_path / "cover.tif") as other:
        assert one.shape == other.shape
        assert one.crs == other.crs
        assert one.transform.almost_equals(other.transform)


def test_a_scene_without_data_gives_an_empty_map_and_a_warning(
    write_scene: Callable[..., Path], tmp_path: Path
) -> None:
    scene = write_scene(np.zeros((3, 70, 80), np.uint16), nodata=0)
    broken = BrokenClassifier([])
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=broken)
    assert (read(tmp_path / "cover.tif") == NODATA).all()
    assert not broken.calls, "nothing to predict"
    assert any("no pixel of the scene has data" in w for w in result.warnings)


def test_windows_without_data_are_not_predicted(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    values = np.zeros((3, 64, 64 * 5), np.uint16)
    values[:, 10, 70] = 900
    counting = BrokenClassifier([])
    landmap.classify(write_scene(values, nodata=0), tmp_path / "cover.tif", classifier=counting, stride=64)
    assert counting.calls == [1]


def test_a_failing_chunk_leaves_nothing_and_says_where(
    write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    scene = write_scene(ordinary(200, 200))
    before = leftovers(tmp_path)
    with pytest.raises(ChunkError, match=r"rows \d+-\d+, columns \d+-\d+.*cosmic ray"):
        landmap.classify(scene, tmp_path / "cover.tif", classifier=BrokenClassifier([]), stride=64, chunk=64)
    assert leftovers(tmp_path) == before


def test_an_existing_cover_survives_a_failure(
    write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    scene = write_scene(ordinary(200, 200))
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(3))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ChunkError):
        landmap.classify(
            scene, tmp_path / "cover.tif", classifier=BrokenClassifier([]), stride=64, chunk=64, overwrite=True
        )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_output_that_appears_meanwhile_is_kept(
    write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    scene = write_scene(ordinary(100, 100))
    cover = tmp_path / "cover.tif"

    def appear(done: int, total: int) -> None:
        cover.write_text("precious")

    with pytest.raises(OutputError, match="exists already"):
        landmap.classify(
            scene, cover, confidence=tmp_path / "other.tif", classifier=ConstantClassifier(), progress=appear
        )
    assert leftovers(tmp_path) == {"scene.tif", "cover.tif"}
    assert cover.read_text() == "precious"


def test_gdal_has_a_cache_during_a_run(
    write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    """GDAL takes the number for bytes; without a cache, a block is decoded for each of its rows."""
    seen: list[int] = []

    def look(done: int, total: int) -> None:
        seen.append(rasterio.env.get_gdal_config("GDAL_CACHEMAX"))

    scene = write_scene(ordinary(100, 100))
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(), threads=1, progress=look)
    assert seen == [128 * 2**20]


def test_the_settings_tag_names_no_folder(
    write_scene: Callable[..., Path], tmp_path: Path, ordinary: Callable[..., object]
) -> None:
    scene = write_scene(ordinary(100, 100))
    landmap.classify(
        scene, tmp_path / "cover.tif", classifier=ConstantClassifier(), model=str(tmp_path / "mine.keras"), stride=32
    )
    with rasterio.open(tmp_path / "cover.tif") as file:
        given = json.loads(file.tags()["LANDMAP_SETTINGS"])
    assert given["model"] == "mine.keras"
    assert given["stride"] == 32


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"output": "scene.tif", "overwrite": True}, "is the scene itself"),
        ({"output": "there.tif"}, "exists already"),
        ({"output": "new.tif", "confidence": "there.tif"}, "exists already"),
        ({"output": "new.tif", "confidence": "new.tif"}, "a file for each output"),
        ({"output": "no/such/folder.tif"}, "folder that exists"),
        ({"output": "."}, "folder that exists"),
    ],
)
def test_outputs_that_would_destroy_something_are_refused(
    outputs: dict[str, object], message: str, write_scene: Callable[..., Path], tmp_path: Path
) -> None:
    scene = write_scene(np.full((3, 70, 70), 900, np.uint16))
    (tmp_path / "there.tif").write_text("precious")
    placed = {k: tmp_path / v if isinstance(v, str) else v for k, v in outputs.items()}
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=message):
        landmap.classify(scene, classifier=ConstantClassifier(), **placed)  # type: ignore[arg-type]
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"stride": 7}, "divides the chip size"),
        ({"stride": -8}, "positive number of pixels"),
        ({"chunk": 0}, "positive number of pixels"),
        ({"scale": "percent"}, "scale: expected"),
        ({"scale": -1.0}, "scale: expected"),
        ({"level": "L3"}, "level: expected"),
        ({"offset": "none"}, "offset: expected"),
        ({"offset": float("nan")}, "offset: expected"),
        ({"scale": float("inf")}, "scale: expected"),
        ({"strid": 8}, "Expected settings out of"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(
    choices: dict[str, object], message: str, write_scene: Callable[..., Path], tmp_path: Path
) -> None:
    scene = write_scene(np.full((3, 70, 70), 900, np.uint16))
    with pytest.raises(SettingsError, match=message):
        landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(), **choices)


def test_progress_ends_at_the_whole(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    scene = write_scene(np.full((3, 130, 100), 900, np.uint16))
    seen: list[tuple[int, int]] = []
    landmap.classify(
        scene,
        tmp_path / "cover.tif",
        classifier=ConstantClassifier(),
        chunk=64,
        stride=64,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (13_000, 13_000)
    assert len(seen) == 6
    assert seen == sorted(seen)


def test_every_error_is_a_landmap_error() -> None:
    import landmap.errors as errors

    for name in errors.__all__:
        assert issubclass(getattr(errors, name), (LandmapError, LandmapWarning))
        assert name in (errors.__doc__ or "")


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An invented scene with a corner without data."""
    return write_example(tmp_path_factory.mktemp("land") / "scene.tif", 420, seed=3).scene


@pytest.mark.parametrize("stride", [8, 32])
def test_the_dense_map_is_the_map_of_chips_one_by_one(stride: int, land: Path, tmp_path: Path) -> None:
    """Law 5, on a whole run of the packaged model."""
    dense = make_plan(land, stride=stride, precision="float32")
    assert dense.method.text == "dense: every window of a chunk in one pass"
    for name, plan in (("dense", dense), ("brute", replace(dense, method=ChipByChip("as this test wants it")))):
        run_plan(plan, Outputs(tmp_path / f"{name}.tif", confidence=tmp_path / f"{name}_confidence.tif"))
    np.testing.assert_array_equal(read(tmp_path / "dense.tif"), read(tmp_path / "brute.tif"))
    percent = [read(tmp_path / f"{name}_confidence.tif").astype(int) for name in ("dense", "brute")]
    assert np.abs(percent[0] - percent[1]).max() <= 1, "but for the rounding to whole percent"


@pytest.mark.parametrize(
    "choices", [{"precision": "float32"}, {"precision": "bfloat16"}, {"precision": "float32", "smooth": True}]
)
def test_chunks_and_memory_change_no_byte_of_a_dense_map(choices: dict[str, Any], land: Path, tmp_path: Path) -> None:
    made = []
    for size in ({}, {"chunk": 100, "threads": 1}, {"chunk": 261}, {"memory": 10**6}):
        files = [tmp_path / name for name in ("cover.tif", "probabilities.tif")]
        landmap.classify(land, files[0], probabilities=files[1], overwrite=True, **choices, **size)
        made.append([file.read_bytes() for file in files])
    assert all(other == made[0] for other in made[1:])


def test_less_memory_makes_smaller_chunks_but_none_smaller_than_a_tile(tmp_path: Path) -> None:
    scene = write_example(tmp_path / "large.tif", 1500).scene
    plans = [make_plan(scene, memory=memory) for memory in (3 * 10**9, 15 * 10**8, 10**6)]
    sides = [plan.chunk_shape[0] for plan in plans]
    assert sides[0] == 1500
    assert 1500 > sides[1] > sides[2] >= 300
    assert plans[2].tile == (512, 512)
    assert [plan.chunk_bytes for plan in plans] == sorted((plan.chunk_bytes for plan in plans), reverse=True)


def test_a_smooth_cover_keeps_nodata_and_the_constant(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    values = np.full((3, 150, 170), 900, np.uint16)
    values[:, 20:90, 30:60] = 0
    scene = write_scene(values, nodata=0)
    classifier = ConstantClassifier(7)
    landmap.classify(scene, tmp_path / "cover.tif", classifier=classifier, stride=16, chunk=48, smooth=True)
    np.testing.assert_array_equal(read(tmp_path / "cover.tif")[0], np.where(values[0] == 0, NODATA, 7))


def test_chunks_that_a_sparse_file_leaves_out_are_not_read(
    write_scene: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = tmp_path / "sparse.tif"
    profile = {"crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 5e6), "nodata": 0, "dtype": "uint16"}
    with rasterio.open(
        scene,
        "w",
        height=512,
        width=512,
        count=3,
        tiled=True,
        blockxsize=128,
        blockysize=128,
        SPARSE_OK=True,
        **profile,
    ) as file:
        file.descriptions = ("B04", "B03", "B02")
        file.write(np.full((3, 128, 128), 900, np.uint16), window=Window(256, 128, 128, 128))
    reads = []
    read_scene = Scene.read
    monkeypatch.setattr(Scene, "read", lambda self, window: reads.append(window) or read_scene(self, window))
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(7), stride=64, chunk=128)
    assert len(reads) == 1
    assert (read(tmp_path / "cover.tif")[0] == 7).sum() == 128 * 128
    assert (read(tmp_path / "cover.tif")[0] == NODATA).sum() == 512 * 512 - 128 * 128


def test_a_sparse_file_in_which_zero_may_be_data_is_read(write_scene: Callable[..., Path]) -> None:
    path = write_scene(np.zeros((1, 128, 128), np.uint16), bands=("B04",), tiled=True, SPARSE_OK=True)
    source = RasterSource(
        path=str(path),
        opens=str(path),
        geobox=GeoBox(128, 128, Affine.identity(), None),
        block_shape=(256, 256),
        band_names=("B04",),
        band_indexes=(1,),
        dtype="uint16",
        nodata=Nodata((None,)),
    )
    assert not source.is_empty(LandmapWindow(0, 0, 128, 128))


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (40, 40, "40 rows x 40 columns are less than a chip of 64x64 px: 39 % of what the model sees"),
        (63, 200, "63 rows x 200 columns are less than a chip of 64x64 px: 98 %"),
        (1, 1, "less than 1 %"),
        (3, 570, ": 5 %"),
        (64, 64, ""),
        (65, 65, ""),
    ],
)
def test_a_scene_smaller_than_a_chip_gets_its_map_and_a_warning(
    height: int, width: int, words: str, write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    scene = write_scene(ordinary(height, width))
    planned = make_plan(scene, card=FAKE_CARD)
    told = [text for text in planned.warnings if "less than a chip" in text]
    assert len(told) == bool(words)
    assert words in "".join(told)
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(3))
    assert [text for text in result.warnings if "less than a chip" in text] == told
    with rasterio.open(tmp_path / "cover.tif") as file:
        assert (file.read(1) == np.full((height, width), 3)).all()
        assert json.loads(file.tags()["LANDMAP_WARNINGS"]) == list(planned.warnings)
    part = make_plan(write_scene(ordinary(80, 600), "large.tif"), card=FAKE_CARD, window=(0, 0, width, height))
    assert [text for text in part.warnings if "less than a chip" in text] == told


class OneAfterTheOther:
    """The shortest executor: what a new one has to do."""

    def prepare(self, plan: Plan, classifier: Classifier | None) -> Engine:
        self.classifier, engine = load_engine(plan, classifier)
        return engine

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        self.chunks = len(chunks)
        for chunk in chunks:
            write(chunk, work.predict(chunk, work.read(chunk), self.classifier))


def test_an_executor_of_ones_own(land: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"classifier": MeanClassifier(), "stride": 32, "chunk": 128}
    landmap.classify(land, tmp_path / "threads.tif", **how)
    executor = OneAfterTheOther()
    result = landmap.classify(land, tmp_path / "own.tif", executor=executor, **how)
    assert executor.chunks == result.plan.num_chunks > 1
    assert (tmp_path / "own.tif").read_bytes() == (tmp_path / "threads.tif").read_bytes()
    with pytest.raises(SettingsError, match="Expected an executor, a scheduler or a number of workers"):
        landmap.classify(land, tmp_path / "both.tif", executor=executor, workers=1, **how)


@pytest.mark.parametrize(("seconds", "workers", "said"), [(1, 2, True), (60, 2, False), (1, None, False)])
def test_a_small_scene_says_that_workers_do_not_pay(
    seconds: int,
    workers: int | None,
    said: bool,
    land: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("landmap.run.classify.open_executor", lambda *which: nullcontext(OneAfterTheOther()))
    monkeypatch.setattr(Plan, "seconds", seconds)
    with caplog.at_level("INFO", "landmap"):
        landmap.classify(land, tmp_path / "c.tif", classifier=MeanClassifier(), stride=64, chunk=128, workers=workers)
    assert ("less than the start of worker processes takes" in caplog.text) == said


def test_a_plan_that_was_shown_can_be_run(land: Path, tmp_path: Path) -> None:
    classifier = MeanClassifier()
    plan = landmap.plan(land, card=classifier.card, stride=32)
    shown: list[Plan] = []
    landmap.classify(land, tmp_path / "a.tif", classifier=classifier, stride=32, on_plan=shown.append)
    assert shown == [plan]
    landmap.run_plan(plan, tmp_path / "b.tif", classifier=classifier)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with pytest.raises(OutputError, match=r"overwrite=True \(--overwrite\)"):
        landmap.run_plan(plan, tmp_path / "b.tif", classifier=classifier)
    with pytest.raises(OutputError, match="is the scene itself"):
        landmap.run_plan(plan, land, classifier=classifier, overwrite=True)


def test_warnings_point_at_the_line_that_called(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    scene = write_scene(np.zeros((3, 70, 80), np.uint16), nodata=0)
    with pytest.warns(LandmapWarning) as issued:
        result = landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier())
    assert [str(warning.message) for warning in issued] == list(result.warnings)
    assert {warning.filename for warning in issued} == {__file__}
    assert len(result.warnings) > len(result.plan.warnings) > 0
    with pytest.warns(LandmapWarning) as issued:
        plan = landmap.plan(scene, card=FAKE_CARD)
    assert ([str(warning.message) for warning in issued], issued[0].filename) == ([*plan.warnings], __file__)


def test_a_result_is_printed_as_the_command_prints_it(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    scene = write_scene(np.full((3, 70, 80), 900, np.uint16))
    legend = Legend((LandClass(0, "a <b>", "#000000"), LandClass(1, "c", "#123456")))
    classifier = ConstantClassifier(0, replace(FAKE_CARD, legend=legend))
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=classifier, stride=64)
    lines = str(result).splitlines()
    assert lines[:2] == ["id  class    share  hectares", " 0  a <b>  100.0 %      56.0"]
    assert str(tmp_path / "cover.tif") in lines
    assert lines[-1] == f"warning: {result.warnings[-1]}"
    html = result._repr_html_()
    assert "<td>a &lt;b&gt;</td><td>100.0 %</td>" in html
    assert 'style="background: #000000"' in html
    assert len(repr(result)) < 300
