"""Which library computes: by the scene's windows, the settings and what is installed; and maps of two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import landmap
from landmap.demo.example import write_example
from landmap.errors import SettingsError
from landmap.inference.engine import choose_engine
from landmap.inference.plan import make_plan
from landmap.settings import Settings
from landmap.tiling import Grid
from landmap_models.inference.engines import InferenceEngine
from landmap_models.inference.openvino import installed
from landmap_models.model_file.archive import read_card, read_config
from landmap_models.model_file.packaged import find_model, packaged_models

pytestmark = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
needs_openvino = pytest.mark.skipif(installed() is None, reason="OpenVINO is not installed")

SMALL, LARGE = Grid(200, 300, 64, 8), Grid(2000, 2000, 64, 8)
TENSORFLOW, OPENVINO = InferenceEngine(), InferenceEngine("openvino", "2026.1")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO counts as installed, and there is no GPU."""
    import landmap_models.inference.openvino as module
    import landmap_models.inference.tensorflow as tensorflow

    monkeypatch.setattr(module, "installed", lambda: "2026.1")
    monkeypatch.setattr(tensorflow, "may_have_gpu", lambda: False)


def chosen(grid: Grid, **settings: Any) -> tuple[InferenceEngine, str]:
    path = find_model("default")
    return choose_engine(Settings(**settings), read_config(path), grid, read_card(path))


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("grid", "settings", "engine", "reason"),
    [
        (SMALL, {}, OPENVINO, "a small scene"),
        (SMALL, {"precision": "float32", "device": "cpu"}, OPENVINO, "a small scene"),
        (LARGE, {}, TENSORFLOW, "a large scene"),
        (LARGE, {"engine": "openvino"}, OPENVINO, "as asked"),
        (SMALL, {"engine": "tensorflow"}, TENSORFLOW, ""),
        (SMALL, {"precision": "bfloat16"}, TENSORFLOW, "bfloat16 is asked for"),
        (SMALL, {"device": "gpu:0"}, TENSORFLOW, "gpu:0 is asked for"),
    ],
)
def test_small_scenes_get_openvino(grid: Grid, settings: dict[str, Any], engine: InferenceEngine, reason: str) -> None:
    assert chosen(grid, **settings) == (engine, reason)


@pytest.mark.usefixtures("there")
def test_a_gpu_is_left_to_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import landmap_models.inference.tensorflow as tensorflow

    monkeypatch.setattr(tensorflow, "may_have_gpu", lambda: True)
    assert chosen(SMALL) == (TENSORFLOW, "there may be a GPU")


def test_without_openvino_nothing_is_said_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import landmap_models.inference.openvino as module

    monkeypatch.setattr(module, "installed", lambda: None)
    assert chosen(SMALL) == (TENSORFLOW, "")
    with pytest.raises(SettingsError, match=r"pip install 'landmap\[openvino\]'. Give --engine tensorflow"):
        chosen(SMALL, engine="openvino")
    card = read_card(find_model("default"))
    assert choose_engine(Settings(), None, SMALL, card) == (TENSORFLOW, "")
    with pytest.raises(SettingsError, match="OpenVINO runs model files only"):
        choose_engine(Settings(engine="openvino"), None, SMALL, card)


@pytest.mark.parametrize("choice", [{"precision": "bfloat16"}, {"device": "gpu:0"}])
def test_openvino_with_what_it_has_not_is_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="openvino computes in float32 on the processor"):
        Settings(engine="openvino", **choice)
    with pytest.raises(SettingsError, match="engine: expected auto, tensorflow, openvino"):
        Settings(engine="jax")  # type: ignore[arg-type]


def read(path: Path) -> tuple[Any, dict[str, str]]:
    with rasterio.open(path) as file:
        return file.read(), file.tags()


@needs_openvino
def test_a_map_by_openvino_has_the_classes_of_one_by_tensorflow(tmp_path: Path) -> None:
    scene = write_example(tmp_path / "scene.tif", 280).scene
    for engine in ("openvino", "tensorflow"):
        landmap.classify(scene, tmp_path / f"{engine}.tif", engine=engine)
    (ours, our_tags), (theirs, their_tags) = (read(tmp_path / f"{name}.tif") for name in ("openvino", "tensorflow"))
    assert (ours == theirs).mean() >= 0.999
    assert our_tags.pop("LANDMAP_PRECISION") == f"float32 by OpenVINO {installed()}: as asked"
    assert their_tags.pop("LANDMAP_PRECISION") == "float32: a small scene"
    assert our_tags == their_tags
    plan = make_plan(scene, engine="openvino")
    assert f"engine   OpenVINO {installed()}: as asked" in str(plan)
    assert plan.to_dict()["engine"] == {"name": f"OpenVINO {installed()}", "reason": "as asked"}


@needs_openvino
@pytest.mark.parametrize("detail", ["chip", "pixel"])
def test_chunks_change_no_byte(tmp_path: Path, detail: str) -> None:
    scene = write_example(tmp_path / "scene.tif", 280).scene
    for chunk in (96, 280):
        landmap.classify(scene, tmp_path / f"{chunk}.tif", engine="openvino", detail=detail, chunk=chunk)
    assert (tmp_path / "96.tif").read_bytes() == (tmp_path / "280.tif").read_bytes()
    assert len(np.unique(read(tmp_path / "96.tif")[0])) > 3


@needs_openvino
def test_finished_chunks_of_another_engine_are_not_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import landmap.executors.threads as threads

    scene = write_example(tmp_path / "scene.tif", 280).scene
    cover, ordinary = tmp_path / "cover.tif", threads.run_steps

    def cut_short(chunks: Any, *steps: Any) -> None:
        ordinary(chunks[:2], *steps)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threads, "run_steps", cut_short)
        with pytest.raises(KeyboardInterrupt):
            landmap.classify(scene, cover, engine="openvino", chunk=96)
    result = landmap.classify(scene, cover, engine="tensorflow", chunk=96)
    assert result.reused == 0
    assert any("on another device (OpenVINO" in text for text in result.warnings)
