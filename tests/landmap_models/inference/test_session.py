"""TensorFlow's C library gives the bytes of TensorFlow's own function, and Keras is not needed a second time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference import graphs as graphs_module
from landmap_models.inference import keras_classifier, session
from landmap_models.inference import tensorflow as engine
from landmap_models.inference.graphs import Graphs, graphs_of
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.inference.loading import load_model
from landmap_models.inference.session import Graph, Session
from landmap_models.inference.tensorflow import Precision
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import find_model

pytestmark = pytest.mark.skipif(session.c_library() is None, reason="TensorFlow's package has no C library here")
NAMES = ("B02", "B03", "B04")


@pytest.fixture(scope="module")
def answers() -> Callable[[Precision], list[bytes]]:
    """A function that gives the answers of the packaged model, by all its networks and two sizes, as bytes."""
    path = find_model("default")
    card, model = read_card(path), load_model(path)

    def answer(precision: Precision) -> list[bytes]:
        classifier = KerasClassifier(model, card, 4, precision, "cpu", path)
        random = np.random.default_rng(0)

        def pixels(*shape: int) -> Floats:
            return random.uniform(0, 0.3, (*shape, 3)).astype(np.float32)

        given = [classifier.predict(pixels(6, 64, 64))]
        given += [classifier.predict_windows(pixels(height, 512), 16) for height in (512, 576)]
        if precision == "float32":
            given.append(classifier.pixel_factors(pixels(512, 512), NAMES))
        return [array.tobytes() for array in given]

    return answer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_library_gives_the_bytes_of_a_function(
    answers: Callable[[Precision], list[bytes]], precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_session = answers(precision)
    monkeypatch.setattr(engine, "c_library", lambda: None)
    assert answers(precision) == with_session


@pytest.fixture
def frozen(small_model: Path) -> Graph:
    """A small network for chips in batches of two."""
    return engine._graph_of(engine._freeze(load_model(small_model), (2, 64, 64, 3), engine.CPU))


def test_a_session_has_one_shape(frozen: Graph) -> None:
    with pytest.raises(ValueError, match="Expected values of shape"):
        Session(frozen, (2, 64, 64, 3))(np.zeros((1, 64, 64, 3), np.float32))


def test_what_tensorflow_refuses_is_an_error(frozen: Graph) -> None:
    with pytest.raises(RuntimeError, match="TensorFlow: "):
        Session(Graph(b"no graph", frozen.input, frozen.output), (2, 64, 64, 3))
    with pytest.raises(RuntimeError, match="TensorFlow: "):
        Session(frozen, (2, 64, 64, 5))  # five bands


def test_a_second_process_needs_no_keras(small_model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from landmap_models.inference.keras_classifier import load_classifier\n"
        f"made = load_classifier({str(small_model)!r}, batch_size=2, device='cpu')\n"
        "print(made.predict(np.full((3, 64, 64, 3), 0.1, np.float32)).tobytes().hex())\n"
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"LANDMAP_CACHE": str(tmp_path)},
        )
        for _ in range(2)
    ]
    (first, with_keras), (second, without) = (done.stdout.splitlines() for done in runs)
    assert (first, with_keras, without) == (second, "['keras', 'tensorflow']", "[]")
    assert not runs[1].stderr  # no notes of TensorFlow's


def test_loading_first_says_nothing_either(tmp_path: Path) -> None:
    code = (
        "from landmap_models.inference import session\n"
        "session.load_in_background()\n"
        "from landmap_models.inference.tensorflow import find_device\n"
        "assert session.c_library() and find_device('cpu') == '/CPU:0'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout + done.stderr


def test_nothing_is_loaded_where_openvino_may_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.threading, "Thread", None)  # would fail to start
    monkeypatch.setattr("importlib.util.find_spec", lambda name: {"openvino": True}[name])
    session.load_in_background()


def test_other_lines_come_out(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import ctypes, sys\n"
        "from landmap_models.inference.session import notes_held\n"
        "c = ctypes.CDLL(None)\n"
        "with notes_held():\n"
        "    stream = ctypes.c_void_p.in_dll(c, 'stderr')\n"
        "    for line in (b'I0000 00:00:17.5 4 port.cc:153] a note\\n', b'a line of GDAL\\n'):\n"
        "        c.fputs(line, stream)\n"
        "    print('a line of Python', file=sys.stderr)\n"
        "c.fputs(b'after\\n', ctypes.c_void_p.in_dll(c, 'stderr'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert capfd.readouterr().err.splitlines() == ["a line of Python", "a line of GDAL", "after"]


GRAPH = Graph(b"\n a graph \n", "values", "Identity")


def no_making() -> Graph:
    raise AssertionError("it is there")


def test_a_graph_is_kept(tmp_path: Path) -> None:
    assert not Graphs(tmp_path / "made").any_stored
    Graphs(tmp_path / "made").get("one", lambda: GRAPH)
    assert Graphs(tmp_path / "made").any_stored
    assert Graphs(tmp_path / "made").get("one", no_making) == GRAPH


@pytest.mark.parametrize("content", [b"", b"short", b"0\nvalues Identity\n a graph \n"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.graph").write_bytes(content)
    assert Graphs(tmp_path).get("one", lambda: GRAPH) == GRAPH
    assert Graphs(tmp_path).get("one", no_making) == GRAPH


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Graphs(tmp_path / "file" / "inside").get("one", lambda: GRAPH) == GRAPH


def test_files_of_others_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Graphs(tmp_path).get("one", lambda: GRAPH)
    monkeypatch.setattr(graphs_module.os, "getuid", lambda: 12345)
    assert not Graphs(tmp_path).any_stored
    assert Graphs(tmp_path).get("one", lambda: Graph(b"mine", "a", "b")).content == b"mine"


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs_module, "MOST_BYTES", 250)
    for age, name in ((1, "c"), (3, "a"), (2, "b")):
        Graphs(tmp_path / name).get(name, lambda: GRAPH)
        os.utime(tmp_path / name / f"{name}.graph", (10_000 - age, 10_000 - age))
    Graphs(tmp_path / "d").get("d", lambda: GRAPH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]


@pytest.mark.parametrize("value", ["off", "", "0"])
def test_the_cache_can_be_turned_off(small_model: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LANDMAP_CACHE", value)
    graphs = graphs_of(small_model)
    graphs.get("one", lambda: GRAPH)
    assert not graphs_of(small_model).any_stored


def test_graphs_are_those_of_a_file(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDMAP_CACHE", str(tmp_path / "cache"))
    graphs_of(small_model).get("one", lambda: GRAPH)
    changed = tmp_path / "changed.keras"
    changed.write_bytes(small_model.read_bytes() + b"\0")
    assert graphs_of(small_model).any_stored
    assert not graphs_of(changed).any_stored
    monkeypatch.setattr(graphs_module, "_makers", lambda: "a newer TensorFlow")
    assert not graphs_of(small_model).any_stored


def test_other_weights_are_refused_also_from_the_cache(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDMAP_CACHE", str(tmp_path))
    chips = np.full((1, 64, 64, 3), 0.1, np.float32)
    load_classifier(small_model, batch_size=3, device="cpu").predict(chips)
    load_classifier.cache_clear()
    monkeypatch.setattr(keras_classifier, "load_model", None)
    load_classifier(small_model, batch_size=3, device="cpu").predict(chips)
    with pytest.raises(ModelError, match="expected weights 000000000000"):
        load_classifier(small_model, "0" * 64, device="cpu")
    load_classifier.cache_clear()
