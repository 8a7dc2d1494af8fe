"""SavedModels of others become model files, if their programs do nothing but compute."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.errors import CardError, ModelError, UnsafeModelError
from landmap_models.foreign import dynamic_world
from landmap_models.foreign.saved_model import import_saved_model
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.inference.graph_model import PURE, load_graph_model
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import GRAPH_MEMBER, read_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import FOLDER_VARIABLE, find_model

Floats = npt.NDArray[np.float32]
RGB = ("B04", "B03", "B02")
SAVED_MODEL = Path(os.environ.get("LANDMAP_SHARED", "")) / "data/weights/dynamicworld/forward"
CARD = dataclasses.replace(
    FAKE_CARD, name="other", answers="pixel", margin=2, chip_size=16, legend=legend_for(("a", "b", "c"))
)


def noise(height: int, width: int, bands: int = 3) -> Floats:
    return np.random.default_rng(0).random((height, width, bands), np.float32) * 0.3


def network(activation: str | None = "softmax") -> Any:
    """A network of pixels whose answers reach 2 px."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(5.0)(inputs))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    return keras.Model(inputs, layers.Conv2D(3, 1, activation=activation)(x))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder, model = tmp_path_factory.mktemp("exported") / "net", network()
    model.export(folder, verbose=False)
    return folder, model


def saved(folder: Path, function: Any, **variables: Any) -> Path:
    """A SavedModel of a function of values `(n, height, width, 3)`."""
    import tensorflow as tf

    module = tf.Module()
    for name, value in variables.items():
        setattr(module, name, value)
    module.serve = tf.function(function, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def test_an_exported_network_answers_as_before(exported: tuple[Path, Any], tmp_path: Path) -> None:
    folder, model = exported
    path = import_saved_model(folder, CARD, output=tmp_path / "net.keras")
    assert dataclasses.replace(read_card(path), weights_sha256="") == CARD
    found = load_graph_model(path)
    for shape in ((20, 24), (31, 17)):
        np.testing.assert_allclose(found.predict_pixels(noise(*shape), RGB), model(noise(*shape)[None])[0], atol=1e-6)
    with pytest.raises(ModelError, match="answers for each pixel"):
        load_classifier(path)


def test_the_same_folder_gives_the_same_bytes(exported: tuple[Path, Any], tmp_path: Path) -> None:
    graphs = []
    for name in ("a.keras", "b.keras"):
        with zipfile.ZipFile(import_saved_model(exported[0], CARD, output=tmp_path / name)) as archive:
            graphs.append(archive.read(GRAPH_MEMBER))
    assert graphs[0] == graphs[1]


def test_it_is_known_by_name_in_the_users_folder_and_not_replaced_unasked(
    exported: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "models"))
    path = import_saved_model(exported[0], CARD)
    assert find_model("other") == path
    with pytest.raises(ModelError, match="--overwrite"):
        import_saved_model(exported[0], CARD)
    assert import_saved_model(exported[0], CARD, overwrite=True) == path
    with pytest.raises(ModelError, match="name that a file can have"):
        import_saved_model(exported[0], dataclasses.replace(CARD, name="../other"))


def test_logits_are_refused_and_take_a_softmax(tmp_path: Path) -> None:
    model = network(None)
    model.export(tmp_path / "net", verbose=False)
    with pytest.raises(ModelError, match="End the model with a softmax"):
        import_saved_model(tmp_path / "net", CARD, output=tmp_path / "net.keras")
    path = import_saved_model(tmp_path / "net", CARD, softmax=True, output=tmp_path / "net.keras")
    logits = np.asarray(model(noise(16, 16)[None])[0])
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(load_graph_model(path).predict_pixels(noise(16, 16), RGB), wanted, atol=1e-6)


def test_variables_of_one_name_are_told_apart_and_functions_called_twice_get_their_own(tmp_path: Path) -> None:
    """By path and not by name: TensorFlow calls both of them Variable."""
    import tensorflow as tf

    one, other = tf.Variable(np.eye(3, dtype=np.float32)), tf.Variable(np.eye(3, dtype=np.float32)[::-1] * 2)

    @tf.function
    def times(values: Any, kernel: Any) -> Any:
        return tf.einsum("nhwb,bc->nhwc", values, kernel)

    def serve(values: Any) -> Any:
        return tf.nn.softmax(times(values, one) + times(values, other.read_value()))

    folder = saved(tmp_path / "net", serve, first=one, second=other)
    card = dataclasses.replace(CARD, margin=0)
    values = noise(8, 8)
    scores = values + 2 * values[..., ::-1]
    wanted = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    found = load_graph_model(import_saved_model(folder, card, output=tmp_path / "net.keras"))
    np.testing.assert_allclose(found.predict_pixels(values, RGB), wanted, atol=1e-6)


def test_chips_are_classified_too(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((16, 16, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled))
    model.export(tmp_path / "net", verbose=False)
    card = dataclasses.replace(CARD, answers="chip", margin=None)
    path = import_saved_model(tmp_path / "net", card, output=tmp_path / "net.keras")
    with pytest.raises(ModelError, match="imported TensorFlow graph"):
        load_classifier(path)
    found = load_graph_model(path)
    chips = np.stack([noise(16, 16), noise(16, 16)[::-1] * 2, noise(16, 16) / 2])
    np.testing.assert_allclose(found.predict(chips), model(chips), atol=1e-6)


def reads_a_file(values: Any) -> Any:
    import tensorflow as tf

    size = tf.strings.length(tf.io.read_file("/etc/hostname"))
    return tf.nn.softmax(values + tf.cast(size, tf.float32) * 0)


def writes_a_file(values: Any) -> Any:
    import tensorflow as tf

    with tf.control_dependencies([tf.io.write_file("written", "x")]):
        return tf.nn.softmax(values)


def calls_python(values: Any) -> Any:
    import tensorflow as tf

    answer = tf.numpy_function(lambda v: v, [values], tf.float32)
    return tf.nn.softmax(tf.reshape(answer, tf.shape(values)))


def draws(values: Any) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(values + tf.random.uniform(tf.shape(values)))


def prints(values: Any) -> Any:
    import tensorflow as tf

    tf.print("here")
    return tf.nn.softmax(values)


def loops(values: Any) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(tf.while_loop(lambda v: tf.reduce_sum(v) < 0, lambda v: [v + 1], [values])[0])


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (reads_a_file, "ReadFile"),
        (writes_a_file, "WriteFile"),
        (calls_python, "PyFunc"),
        (draws, "RandomUniform"),
        (prints, "PrintV2"),
        (loops, "While"),
    ],
    ids=["reads", "writes", "python", "random", "prints", "loops"],
)
def test_what_may_do_more_than_compute_is_refused_by_name_and_not_run(
    function: Any, operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    folder = saved(tmp_path / "net", lambda values: tf.function(function)(values))  # inside a function inside
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeModelError, match=operation) as error:
        import_saved_model(folder, dataclasses.replace(CARD, margin=0), output=tmp_path / "net.keras")
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net"]


def test_a_graph_that_was_changed_inside_a_model_file_is_checked_again(
    exported: tuple[Path, Any], tmp_path: Path
) -> None:
    import hashlib

    import tensorflow as tf

    path = import_saved_model(exported[0], CARD, output=tmp_path / "net.keras")
    with zipfile.ZipFile(path) as archive:
        graph = tf.compat.v1.GraphDef.FromString(archive.read(GRAPH_MEMBER))
    graph.node.add(name="more", op="WriteFile")
    content = graph.SerializeToString()
    card = dataclasses.replace(CARD, weights_sha256=hashlib.sha256(content).hexdigest())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GRAPH_MEMBER, content)
        archive.writestr("landmap.json", card.to_json())
    with pytest.raises(UnsafeModelError, match="WriteFile"):
        load_graph_model(path)


def test_tables_that_are_read_from_asset_files_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        0,
    )
    folder = saved(
        tmp_path / "net",
        lambda values: tf.nn.softmax(values + tf.cast(table.lookup(tf.constant("a")), tf.float32)),
        table=table,
    )
    with pytest.raises(ModelError, match="asset files"):
        import_saved_model(folder, CARD, output=tmp_path / "net.keras")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 1}, "margin of 1 px. They differ"),
        ({"legend": legend_for(("a", "b"))}, "Correct the card"),
        ({"bands": CARD.bands[:2]}, "can't be run on the card's input"),
    ],
    ids=["margin", "classes", "bands"],
)
def test_a_card_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, exported: tuple[Path, Any], tmp_path: Path
) -> None:
    with pytest.raises(CardError, match=message):
        import_saved_model(exported[0], dataclasses.replace(CARD, **change), output=tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_what_is_no_saved_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"saved_model.pb: (can't be read|expected a SavedModel)"):
        import_saved_model(tmp_path, CARD, output=tmp_path / "net.keras")


def test_a_signature_that_is_not_there_is_refused(exported: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no signature 'predict'. There are: .*serving_default"):
        import_saved_model(exported[0], CARD, signature="predict", output=tmp_path / "net.keras")


def test_all_pure_operations_are_known_to_tensorflow_and_none_has_a_state() -> None:
    from tensorflow.python.framework import op_def_registry

    for name in PURE:
        described = op_def_registry.get(name)
        assert described is not None, name
        assert not described.is_stateful, name


@pytest.mark.real
@pytest.mark.skipif(not SAVED_MODEL.exists(), reason="LANDMAP_SHARED has no Dynamic World")
def test_dynamic_world_can_be_imported_too_and_answers_as_the_rebuilt_one(tmp_path: Path) -> None:
    card: ModelCard = dynamic_world.card()
    path = import_saved_model(SAVED_MODEL, card, softmax=True, output=tmp_path / "net.keras")
    values = np.random.default_rng(1).gamma(2, 0.09, (64, 64, 9)).astype(np.float32)
    found = load_graph_model(path).predict_pixels(values, card.input_names)
    logits = dynamic_world.load(SAVED_MODEL, 64, 64)(card.transform.apply(values)[None])[0] if card.transform else None
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found[24:-24, 24:-24], wanted[24:-24, 24:-24], atol=2e-5)
