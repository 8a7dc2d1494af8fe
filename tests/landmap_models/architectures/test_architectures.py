"""Every architecture keeps the contract: reflectance in, a flat network, a head by name, a file that loads safely."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from landmap_models import architectures
from landmap_models.architectures import ARCHITECTURES, OF_PIXELS, ArchitectureOptions, build
from landmap_models.architectures.application_table import APPLICATIONS
from landmap_models.architectures.layout import laid_out
from landmap_models.architectures.shape import OUTPUT, NetworkShape, is_head
from landmap_models.errors import ModelError
from landmap_models.inference.loading import load_model
from landmap_models.training.fit import choose_trainable

SLIM = {
    "compact": ArchitectureOptions(filters=(8, 8, 8, 8)),
    "vgg16-scratch": ArchitectureOptions(dense=16),
    "efficientnet-lite0": ArchitectureOptions(input_size=64),
    "mobilenetv2": ArchitectureOptions(dense=16, dropout=0.1),
}
"""Options that make a network quick to build."""
OWN = [name for name in ARCHITECTURES if name not in (*APPLICATIONS, *OF_PIXELS, "compact-d4")]
"""Networks of chips with a module of their own; `compact-d4`, which is written out before it is saved, has tests of its
own."""
QUICK = {name: SLIM.get(name, ArchitectureOptions()) for name in (*OWN, "mobilenet", "mobilenetv2", "efficientnetb0")}
"""The others of `APPLICATIONS` take too long to build in each run of the tests; the table of them is checked below."""
CHIPS = np.random.default_rng(0).random((2, 64, 64, 4), dtype=np.float32) * 0.5


def run(network: Any, chips: Any) -> Any:
    """What a network computes; `predict` would compile it first, which takes longer than two chips do."""
    return np.asarray(network(chips, training=False))


@pytest.fixture(scope="module", params=QUICK)
def network(request: pytest.FixtureRequest) -> Any:
    keras.utils.set_random_seed(7)
    return build(request.param, NetworkShape(5, num_bands=4), QUICK[request.param])


def test_a_network_is_flat_and_ends_in_its_head(network: Any) -> None:
    assert not [layer.name for layer in network.layers if isinstance(layer, keras.Model)]
    assert network.layers[-1].name == OUTPUT
    assert network.layers[-1].dtype_policy.name == "float32"
    after = network.layers[[layer.name for layer in network.layers].index("features") + 1 :]
    assert all(is_head(layer) for layer in after)
    assert not any(is_head(layer) for layer in network.layers if layer not in after)


def test_a_saved_network_loads_safely_and_predicts_the_same(network: Any, tmp_path: Path) -> None:
    network.save(tmp_path / "network.keras")
    loaded = load_model(tmp_path / "network.keras")
    expected = run(network, CHIPS)
    np.testing.assert_array_equal(run(loaded, CHIPS), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)


def test_reflectance_is_clipped_inside(network: Any) -> None:
    clipped = np.clip(CHIPS, 0, 0.275)
    np.testing.assert_array_equal(run(network, CHIPS), run(network, clipped))


def test_initial_weights_follow_from_the_seed(network: Any) -> None:
    keras.utils.set_random_seed(7)
    again = build(network.name, NetworkShape(5, num_bands=4), QUICK[network.name])
    for first, second in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_unfreezing_counts_real_layers() -> None:
    network = build("mobilenetv2", NetworkShape(5), QUICK["mobilenetv2"])
    choose_trainable(network, 2, frozen_norm=False)
    learning = [layer.name for layer in network.layers if layer.weights and layer.trainable]
    assert learning == ["Conv_1", "Conv_1_bn", "head_dense", OUTPUT]


def test_multi_label_networks_end_in_a_sigmoid() -> None:
    network = build("cnn", NetworkShape(5, activation="sigmoid"))
    assert network.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg16", {"filters": (16, 8)}, "vgg16 has no option --filters"),
        ("compact", {"weights": "imagenet"}, "compact has no option --weights"),
        ("cnn", {"input_size": 128}, "cnn has no option --input-size"),
        ("vgg16-scratch", {"pool": 2}, "no option --pool. Leave it away; it knows --dense, --dropout"),
        ("lenet", {}, "Expected an architecture out of cnn, compact, compact-d4.*Received: 'lenet'"),
        ("mobilenet", {"input_size": 32}, "mobilenet: expected --input-size of at least 64 px.*Received: 32"),
        ("xception", {"input_size": 70}, "xception: expected --input-size of at least 71 px.*Received: 70"),
    ],
)
def test_what_an_architecture_does_not_have_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(name, NetworkShape(5), ArchitectureOptions(**options))


@pytest.mark.parametrize(
    "options", [{"pool": 0}, {"dense": -1}, {"filters": ()}, {"filters": (8, 0)}, {"dropout": 1.0}, {"input_size": 0}]
)
def test_numbers_that_nothing_could_take_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"--{next(iter(options)).replace('_', '-')}: expected.*Received"):
        ArchitectureOptions(**options)


def test_a_new_file_is_a_new_architecture(tmp_path: Path) -> None:
    """In a copy of the package, which the command line then lists it from."""
    copy = shutil.copytree(Path(architectures.__file__).parents[1], tmp_path / "landmap_models")
    source = (copy / "architectures/cnn.py").read_text()
    (copy / "architectures/wide_net.py").write_text(source.replace('name="cnn"', 'name="wide-net"'))
    code = "from landmap_models.architectures import ARCHITECTURES; print(*ARCHITECTURES)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*OWN[:2], "compact-d4", *OWN[2:-1], *OF_PIXELS, OWN[-1], "wide-net", *APPLICATIONS]


def test_every_module_says_which_options_it_reads() -> None:
    fields = set(inspect.signature(ArchitectureOptions).parameters)
    for name in {*architectures._MODULES.values(), "applications"}:
        module = __import__(f"landmap_models.architectures.{name}", fromlist=["OPTIONS"])
        assert set(module.OPTIONS) <= fields
        assert all(f"options.{option}" in inspect.getsource(module) for option in module.OPTIONS)


# cnn and vgg16-scratch


def test_cnn_is_the_first_net_of_the_exercise() -> None:
    network = build("cnn", NetworkShape(10))
    assert [(layer.name, *layer.output.shape[1:]) for layer in network.layers[3:]] == [
        ("conv_1", 62, 62, 16),
        ("conv_2", 60, 60, 8),
        ("pool", 7, 7, 8),
        ("features", 392),
        ("head_dense", 32),
        (OUTPUT, 10),
    ]


def test_cnn_takes_what_the_command_line_gives() -> None:
    options = ArchitectureOptions(filters=(32, 64), pool=4, dense=256, dropout=0.2)
    network = build("cnn", NetworkShape(10), options)
    assert network.get_layer("features").output.shape == (None, 15 * 15 * 64)
    assert network.get_layer("head_dropout").rate == 0.2


def test_cnn_refuses_chips_that_its_pooling_does_not_fit() -> None:
    options = ArchitectureOptions(filters=(8, 8, 8), pool=12)
    assert build("cnn", NetworkShape(2, chip_size=18), options).get_layer("features").output.shape == (None, 8)
    with pytest.raises(ModelError, match="at least 18 px for 3 unpadded convolutions and a pooling of 12 px"):
        build("cnn", NetworkShape(2, chip_size=17), options)


def test_vgg16_scratch_is_vgg16() -> None:
    network = build("vgg16-scratch", NetworkShape(10))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("Conv2D") == 13
    assert [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)] == [4096, 4096, 10]
    assert network.get_layer("features").output.shape == (None, 2 * 2 * 512)
    assert network.count_params() == 39_929_674
    with pytest.raises(ModelError, match="at least 32 px"):
        build("vgg16-scratch", NetworkShape(10, chip_size=31))


# the table of keras.applications


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_keras_has_the_application_and_agrees_on_its_smallest_picture(application: Any) -> None:
    assert application.name in ARCHITECTURES
    assert callable(getattr(keras.applications, application.module).preprocess_input)
    function = getattr(keras.applications, application.function)
    side = application.minimum - 1
    with pytest.raises(ValueError, match=f"at least {application.minimum}x{application.minimum}"):
        function(include_top=False, weights=None, input_shape=(side, side, 3), **application.arguments())


def test_models_inside_a_model_are_laid_out() -> None:
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.layers.Conv2D(4, 3, name="a"), keras.layers.LayerNormalization(name="b")])
    x = inputs + keras.layers.Conv2D(3, 1, name="c")(inputs)
    nested = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="d")(inner(x)), name="whole")
    flat = laid_out(nested)
    assert [layer.name for layer in flat.layers][1:] == ["c", "a", "b", "d"]
    assert flat.name == "whole"
    chips = CHIPS[:, :8, :8, :3]
    np.testing.assert_array_equal(run(flat, chips), run(nested, chips))
    assert flat.get_layer("b").input.shape == (None, 6, 6, 4)
    assert laid_out(flat) is flat
