"""Lists of networks to compare are read from files, and what can't be meant in them is refused by its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from landmap_models.errors import ModelError
from landmap_models.evaluation.networks import networks_of

YAML = """\
- {name: small net, architecture: cnn, filters: [16, 8], dense: 32, dropout: 0.2, unfreeze: all, class_weights: none}
- architecture: mobilenet
  weights: a/b.npz
  unfreeze: 20
  learning_rate: 1e-3 # a text to YAML
  augment: [d4, standard]
"""


def test_a_yaml_file_lists_networks_with_their_settings(tmp_path: Path) -> None:
    path = tmp_path / "networks.yaml"
    path.write_text(YAML)
    small, mobilenet = networks_of((), path).values()
    assert (small.name, small.filters, small.dense, small.dropout) == ("small net", (16, 8), 32, 0.2)
    assert (small.unfreeze, small.epochs, small.head_epochs) == ("all", 64, 0)
    assert (mobilenet.name, mobilenet.weights, mobilenet.unfreeze) == ("mobilenet", "a/b.npz", 20)
    assert (mobilenet.learning_rate, mobilenet.augment) == (0.001, ("d4", "standard"))
    assert (mobilenet.epochs, mobilenet.head_epochs) == (10, 2)  # as its base was trained before


def test_json_is_read_too_and_architectures_come_first(tmp_path: Path) -> None:
    path = tmp_path / "networks.json"
    path.write_text(json.dumps([{"start_from": "models/mine.keras", "epochs": 3}]))
    networks = networks_of(("compact", "cnn"), path, {"batch_size": 16, "epochs": 5})
    assert list(networks) == ["compact", "cnn", "mine"]
    assert [(s.epochs, s.batch_size) for s in networks.values()] == [(5, 16), (5, 16), (3, 16)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "Expected some networks to compare. Received: none"),
        ("a: [", "networks.yaml: expected YAML or JSON"),
        ("architecture: cnn", "expected a list of networks, each a mapping of settings. Received: a map"),
        ("- cnn", "networks.yaml, entry 1: expected a mapping of settings. Received: 'cnn'"),
        ("- architecture: cnn\n- depth: 3", "entry 2: depth: expected the name of a setting, such as "),
        ("- dropuot: 0.1", "entry 1: dropuot: expected the name of a setting, such as dropout"),
        ("- filters: [a]", "entry 1: filters: expected a list of whole numbers or nothing. Received: ('a',)"),
        ("- filters: 16-8", "filters: expected a list of whole numbers or nothing. Received: '16-8'"),
        ("- dense: true", "dense: expected a whole number or nothing. Received: True"),
        ("- dropout: half", "dropout: expected a number or nothing. Received: 'half'"),
        ("- calibrate: maybe", "calibrate: expected true or false. Received: 'maybe'"),
        ("- learning_rate: -1", "learning_rate: expected a number above 0. Received: -1"),
        ("- optimizer: lion", "optimizer: expected one of adam, adamw"),
        ("- weights: 3", "weights: expected a text. Received: 3"),
        ("- name: ../cnn", "name: expected letters, digits"),
        ("- name: 3", "name: expected a text. Received: 3"),
        ("- architecture: cnn\n- {name: CNN, dense: 3}", "entry 2: name: expected another for each network"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_its_place(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "networks.yaml"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        networks_of((), path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.yaml: can't be read"):
        networks_of((), tmp_path / "no.yaml")
