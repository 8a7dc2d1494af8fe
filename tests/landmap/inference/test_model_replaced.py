"""A model's file that is replaced by one of the same weights and another card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from landmap.inference.work import ModelFile, card_sha256
from landmap_models.errors import ModelError
from landmap_models.inference.engines import InferenceEngine
from landmap_models.model_file.archive import read_card, write_card
from landmap_models.model_file.packaged import find_model


def test_a_card_that_changed_after_the_plan_is_refused_in_the_middle_of_a_map(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    card = write_card(find_model("default"), read_card(find_model("default")), output=path)
    model = ModelFile(path, card.weights_sha256, 16, "float32", "cpu", InferenceEngine(), card_sha256=card_sha256(card))
    assert model.load().card == card
    write_card(path, dataclasses.replace(card, version="another"))
    with pytest.raises(ModelError, match="expected the card that the plan was made with"):
        model.load()
