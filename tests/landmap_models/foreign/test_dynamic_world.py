from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from landmap_models.architectures.dynamic_world import BANDS, MARGIN, TRANSFORM, build
from landmap_models.errors import ModelError
from landmap_models.foreign import dynamic_world
from landmap_models.inference.per_pixel import load_pixel_model
from landmap_models.model_file.packaged import FOLDER_VARIABLE, find_model

SAVED_MODEL = Path(os.environ.get("LANDMAP_SHARED", "")) / "data/weights/dynamicworld/forward"


def test_odd_windows_are_refused() -> None:
    with pytest.raises(ModelError, match="even"):
        build(64, 63)


def test_a_checkerboard_is_halved_to_its_mean() -> None:
    model = build(16, 16)
    kernel = model.get_layer("halved").get_weights()[0]
    assert kernel.shape == (4, 4, 64, 1)
    np.testing.assert_allclose(kernel.sum(axis=(0, 1)), 1, rtol=1e-6)
    np.testing.assert_allclose(kernel[0, 0], 1 / 64)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint"):
        dynamic_world.read_variables(tmp_path)


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    holder = tf.Module()
    holder.variables_list = [tf.Variable([1.0]), tf.Variable([2.0])]
    tf.saved_model.save(holder, str(tmp_path))
    with pytest.raises(ModelError, match="146 variables"):
        dynamic_world.read_variables(tmp_path)


@pytest.mark.real
@pytest.mark.skipif(not SAVED_MODEL.exists(), reason="LANDMAP_SHARED has no Dynamic World")
def test_logits_are_those_of_the_saved_model() -> None:
    import tensorflow as tf

    height, width, margin = 80, 96, MARGIN
    values = TRANSFORM.apply(np.random.default_rng(0).gamma(2, 0.09, (1, height, width, 9)).astype(np.float32))
    original = tf.saved_model.load(str(SAVED_MODEL)).signatures["serving_default"]
    (wanted,) = (answer.numpy() for answer in original(tf.constant(values)).values())
    found = np.asarray(dynamic_world.load(SAVED_MODEL, height, width)(values))
    inner = np.s_[:, margin:-margin, margin:-margin]
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-5)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.mark.parametrize("name", list(dynamic_world.FILES))
def test_files_of_another_content_are_refused(name: str, models: Path, tmp_path: Path) -> None:
    source = tmp_path / "copy"
    for each in dynamic_world.FILES:
        (source / each).parent.mkdir(parents=True, exist_ok=True)
        (source / each).write_bytes(b"something")
    with pytest.raises(ModelError, match=r"variables.index: expected that file of Dynamic World"):
        dynamic_world.fetch(source)
    (source / name).unlink()
    with pytest.raises(ModelError, match=r"Dynamic World|can't be read"):
        dynamic_world.fetch(source)
    assert not models.exists()


def test_without_a_network_the_other_way_is_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_world, "ADDRESS", "http://127.0.0.1:9/model/forward")
    with pytest.raises(ModelError, match=r"can't be downloaded .*--from FOLDER"):
        dynamic_world.fetch()


def test_another_network_than_the_checkpoint_says_is_refused() -> None:
    model = build(16, 16)
    variables = {layer.name: layer.get_weights() for layer in model.layers if layer.weights and layer.name != "halved"}
    dynamic_world._check_weights(model, variables)
    changed = {**variables, "conv2d_14": [variables["conv2d_14"][0] + 1e-6, variables["conv2d_14"][1]]}
    with pytest.raises(ModelError, match=r"other weights .* conv2d_14"):
        dynamic_world._check_weights(model, changed)
    with pytest.raises(ModelError, match="other layers"):
        dynamic_world._check_weights(model, {"conv2d": variables["conv2d"]})


@pytest.mark.real
@pytest.mark.skipif(not SAVED_MODEL.exists(), reason="LANDMAP_SHARED has no Dynamic World")
def test_the_fetched_model_is_known_by_name_and_answers_as_the_saved_model(models: Path) -> None:
    import tensorflow as tf

    path = dynamic_world.fetch(SAVED_MODEL)
    assert path == models / "dynamic-world.keras"
    assert find_model("dynamic-world") == path
    with pytest.raises(ModelError, match="--overwrite"):
        dynamic_world.fetch(SAVED_MODEL)
    assert "National Geographic" in (models / "dynamic-world.NOTICE.txt").read_text()
    with zipfile.ZipFile(path) as archive:
        assert archive.read("NOTICE").decode() == dynamic_world.NOTICE
    reflectance = np.random.default_rng(1).gamma(2, 0.09, (96, 80, 9)).astype(np.float32)
    original = tf.saved_model.load(str(SAVED_MODEL)).signatures["serving_default"]
    (logits,) = (answer.numpy()[0] for answer in original(tf.constant(TRANSFORM.apply(reflectance)[None])).values())
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = load_pixel_model(path).predict_pixels(reflectance, BANDS)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-5)
