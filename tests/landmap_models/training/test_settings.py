"""What can't be meant is refused, in words."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from landmap_models.errors import ModelError
from landmap_models.training.settings import RANGES, TrainSettings, recommended

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"learning_rate": -1e-3}, "learning_rate: expected a number above 0. Received: -0.001"),
    ({"learning_rate": math.nan}, "Received: nan"),
    ({"head_learning_rate": 0}, "head_learning_rate: expected a number above 0"),
    ({"learning_rate": math.inf}, "above 0. Received: inf"),
    ({"unfreeze": -1}, "unfreeze: expected a whole number from 0 on. Received: -1"),
    ({"unfreeze": "some"}, "Received: 'some'"),
    ({"precision": "mixed_float16"}, "precision: expected one of float32, mixed_bfloat16. Received: 'mixed_float16'"),
    ({"teacher_share": 1.5}, "teacher_share: expected a number from 0 to 1"),
    ({"teacher_temperature": 0}, "teacher_temperature: expected a number above 0"),
    ({"dropout": 1.0}, "dropout: expected a share from 0 to below 1"),
    ({"label_smoothing": 1.0}, "label_smoothing: expected a number from 0 to below 1"),
    ({"ema_momentum": 1.0}, "ema_momentum: expected a number from 0 to below 1"),
    ({"weight_decay": -0.1}, "weight_decay: expected a number from 0 on"),
    ({"warmup_epochs": -1}, "warmup_epochs: expected a number from 0 on"),
    ({"epochs": 2.5}, "epochs: expected a whole number from 0 on. Received: 2.5"),
    ({"epochs": True}, "epochs: expected a whole number"),
    ({"epochs": 0}, "epochs: expected at least one epoch"),
    ({"batch_size": 0}, "batch_size: expected a whole number from 1 on"),
    ({"patience": -1}, "patience: expected a whole number from 0 on"),
    ({"seed": -1}, "seed: expected a whole number from 0 on"),
    ({"limit": 0}, "limit: expected a whole number from 1 on"),
    ({"block_km": 0}, "block_km: expected a number above 0"),
    ({"validation": 0.0}, "validation: expected a number above 0"),
    ({"validation": 0.6, "test": 0.4}, "expected shares that leave chips for training. Received: 0.6 and 0.4"),
    ({"optimizer": "lion"}, "optimizer: expected one of adam, adamw, adagrad, rmsprop, sgd. Received: 'lion'"),
    ({"schedule": "linear"}, "schedule: expected one of constant"),
    ({"split": "random"}, "split: expected one of stratified, spatial"),
    ({"class_weights": "equal"}, "class_weights: expected one of none, balanced"),
    ({"level": "L1"}, "level: expected one of L1C, L2A"),
    ({"name": " "}, "name: expected a text on one line"),
    ({"name": "a\nb"}, "name: expected a text on one line"),
    ({"description": ""}, "description: expected a text. Received: ''"),
    ({"buffer": -1.0}, "buffer: expected a number from 0 on"),
    ({"start_from": "default", "filters": (8, 8)}, "the model brings its own network. Leave out weights, filters"),
    ({"start_from": "default", "weights": "imagenet"}, "the model brings its own network"),
)


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=lambda x: str(x)[:40])
def test_what_can_not_be_meant_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        TrainSettings(**fields)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_number_is_looked_at() -> None:
    numbers = {f.name for f in dataclasses.fields(TrainSettings) if isinstance(f.default, int | float)}
    numbers -= {f.name for f in dataclasses.fields(TrainSettings) if isinstance(f.default, bool)}
    assert numbers <= set(RANGES)


@pytest.mark.parametrize("pretrained", [True, False])
def test_what_is_recommended_can_be_meant(pretrained: bool) -> None:
    chosen = recommended(pretrained)
    settings = TrainSettings(**chosen, weights="imagenet" if pretrained else "none")
    assert settings.pretrained == pretrained
    assert {name: getattr(settings, name) for name in chosen} == chosen


def test_a_base_that_was_trained_before_keeps_its_norms() -> None:
    assert not TrainSettings().norm_is_frozen
    assert TrainSettings(weights="imagenet").norm_is_frozen
    assert TrainSettings(start_from="default").norm_is_frozen
    assert not TrainSettings(start_from="default", frozen_norm=False).norm_is_frozen


def test_content_is_as_a_card_is_read() -> None:
    content = TrainSettings(filters=(8, 8)).to_content()
    assert content["filters"] == [8, 8]
    assert json.loads(json.dumps(content)) == content
