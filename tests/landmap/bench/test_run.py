"""What is measured adds up, whatever the machine; how fast it is, is for `make bench` to judge."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from landmap.bench.run import PART, bench, write_bench_scene
from landmap.cli import cli
from landmap.errors import OutputError, SettingsError
from landmap.tiling import Grid
from landmap_models.model_file.packaged import packaged_models

needs_model = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene alone in its folder, a bit larger than the example that it repeats."""
    return write_bench_scene(tmp_path_factory.mktemp("synthetic") / "scene.tif", PART + 100)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@needs_model
def test_the_numbers_are_consistent(temporary: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = bench(size=600, chunk=256, precision="float32", progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert not list(temporary.glob("landmap-*"))
    whole, steps = found.whole, found.steps
    assert (found.scene, found.height, found.width, found.stride, found.chunks) == ("synthetic", 600, 600, 8, 9)
    assert found.windows == steps.windows == Grid(600, 600, 64, 8).num_windows
    assert whole.precision == "float32, as asked"
    assert found.share == whole.seconds / max(steps.read_seconds, steps.predict_seconds, steps.write_seconds)
    assert getattr(steps, f"{steps.slowest}_seconds") == steps.slowest_seconds
    assert found.mpx_per_second == pytest.approx(0.36 / whole.seconds)
    assert 50e6 < whole.peak_bytes < 20e9
    assert json.loads(json.dumps(found.to_dict()))["steps"]["windows_per_second"] == steps.windows_per_second


@needs_model
def test_the_command_prints_and_writes_what_it_measured(synthetic: Path, tmp_path: Path, temporary: Path) -> None:
    """On a scene of the user's that has no data in one half, and windows that do not overlap."""
    scene, kept, numbers = tmp_path / "scene.tif", tmp_path / "kept", tmp_path / "bench.json"
    kept.mkdir()
    shutil.copy(synthetic, scene)
    with rasterio.open(scene, "r+") as file:
        file.write(np.zeros((3, PART + 100, PART // 2), np.uint16), window=((0, PART + 100), (0, PART // 2)))
    options = ["--stride", "64", "--chunk", "512", "--json", str(numbers), "--keep", str(kept)]
    done = CliRunner().invoke(cli, ["bench", str(scene), *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr == "", "no bar where stderr is not a terminal"
    for text in (str(scene), "prediction alone", "the whole takes", "overlap"):
        assert text in done.stdout
    found = json.loads(numbers.read_text())
    assert (found["scene"], found["windows"], found["chunks"]) == (str(scene), 324, 9)
    assert found["machine"]["tensorflow"]
    assert sorted(file.name for file in kept.iterdir()) == ["cover.qml", "cover.tif", "cover.tif.aux.xml"]
    assert not list(temporary.glob("landmap-*"))
    for refused in (options, options[:-2]):
        again = CliRunner().invoke(cli, ["bench", str(scene), *refused])
        assert isinstance(again.exception, OutputError)
        assert "--overwrite" in str(again.exception)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    for name in ("cover.tif", "scene.tif"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(OutputError, match=f"{name}.*exists already"):
            bench(size=64, keep=tmp_path)
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()


@pytest.mark.parametrize("wrong", [{"size": 63}, {"stride": 0}])
def test_what_can_not_be_meant_is_refused(wrong: dict[str, int], temporary: Path) -> None:
    with pytest.raises(SettingsError, match=r"Received: (0|63)"):
        bench(**wrong)  # type: ignore[arg-type]
    assert not list(temporary.glob("landmap-*"))


def test_a_scene_of_any_size_has_no_joints_and_no_nodata(synthetic: Path) -> None:
    with rasterio.open(synthetic) as file:
        values = file.read()
        assert file.profile["compress"] == "deflate"
        assert (file.dtypes[0], file.block_shapes[0], file.nodata) == ("uint16", (512, 512), 0)
        assert file.descriptions == ("B04", "B03", "B02")
        assert file.tags()["PROCESSING_LEVEL"] == "Level-1C"
    assert values.min() > 0
    assert values.shape == (3, PART + 100, PART + 100)
    np.testing.assert_array_equal(values[:, PART:], values[:, PART - 100 : PART][:, ::-1])
    np.testing.assert_array_equal(values[:, :, PART:], values[:, :, PART - 100 : PART][:, :, ::-1])
    assert list(synthetic.parent.iterdir()) == [synthetic]
