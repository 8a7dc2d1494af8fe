"""Model cards inside .keras files."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from landmap_models.card import CARD_MEMBER, ModelCard, read_card, weights_sha256, write_card
from landmap_models.errors import CardError, ModelError
from landmap_models.legend import LandClass, Legend


def test_a_card_comes_back_as_it_was(small_card: ModelCard) -> None:
    assert ModelCard.from_json(small_card.to_json()) == small_card


def test_a_card_travels_inside_the_model(small_model: Path, small_card: ModelCard) -> None:
    card = read_card(small_model)
    assert dataclasses.replace(card, weights_sha256="") == small_card
    assert card.weights_sha256 == weights_sha256(small_model)


def test_keras_still_opens_the_file(small_model: Path, plain_model: Path, keras: Any) -> None:
    with_card, without = keras.models.load_model(small_model), keras.models.load_model(plain_model)
    for one, other in zip(with_card.get_weights(), without.get_weights(), strict=True):
        assert (one == other).all()


def test_writing_again_replaces_the_card(small_model: Path, small_card: ModelCard) -> None:
    write_card(small_model, dataclasses.replace(small_card, version="2"), {"landmap_split.csv": "file,split\n"})
    assert read_card(small_model).version == "2"
    with zipfile.ZipFile(small_model) as archive:
        assert archive.namelist().count(CARD_MEMBER) == 1
        assert archive.read("landmap_split.csv") == b"file,split\n"
    assert [p.name for p in small_model.parent.iterdir()] == ["small.keras"], "no temporary file is left"


def test_a_model_without_card_is_refused_with_the_way_out(plain_model: Path) -> None:
    with pytest.raises(CardError, match=r"landmap models describe .*plain.keras --card card.json"):
        read_card(plain_model)


def test_weights_that_are_not_those_of_the_card_are_refused(small_model: Path, small_card: ModelCard) -> None:
    other = dataclasses.replace(small_card, weights_sha256="0" * 64)
    with zipfile.ZipFile(small_model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(small_model, "w") as archive:
        for name, content in (members | {CARD_MEMBER: other.to_json().encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(CardError, match="weights are not those"):
        read_card(small_model)


@pytest.mark.parametrize("content", [None, b"not a zip", "empty zip"])
def test_what_is_no_model_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        zipfile.ZipFile(path, "w").close()
    with pytest.raises(ModelError, match=r"model.keras: (no such|expected a .keras)"):
        read_card(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("bands"), "lacks the entry 'bands'"),
        (lambda c: c.pop("schema"), "an entry 'schema'"),
        (lambda c: c.update(schema=99), "card of schema 1"),
        (lambda c: c.update(colour="red"), "not usable"),
        (lambda c: c.update(levels=["L3"]), "levels out of L1C and L2A"),
        (lambda c: c.update(chip_size=0), "positive chip size"),
        (lambda c: c.update(reflectance_range=[1, 0]), "low < high"),
        (lambda c: c["bands"].append(c["bands"][0]), "distinct band names"),
        (lambda c: c["bands"][0].pop("mean"), "not usable"),
        (lambda c: c["legend"].pop(0), "class ids 0, 1, 2"),
        (lambda c: c["legend"][0].update(color="blue"), "colour like"),
        (lambda c: c["legend"][0].update(name=c["legend"][1]["name"]), "distinct class names"),
    ],
)
def test_cards_that_can_not_be_meant_are_refused(change: Any, message: str, small_card: ModelCard) -> None:
    content = json.loads(small_card.to_json())
    change(content)
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(json.dumps(content), origin="card.json")


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(CardError, match=r"card.json: expected a JSON object"):
        ModelCard.from_json("[1, 2]", origin="card.json")


def test_class_ids_leave_room_for_nodata() -> None:
    with pytest.raises(ValueError, match="0 to 253"):
        Legend(tuple(LandClass(i, str(i), "#000000") for i in range(255)))
