"""Temperatures and thresholds against looking at all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from landmap_models.architectures.shape import NetworkShape, probabilities
from landmap_models.training.calibration import FEWEST, fit_temperature, fit_thresholds, fold_temperature, logits_of

RNG = np.random.default_rng(0)


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_one_class_a_chip_is_found(temperature: float) -> None:
    true = RNG.normal(0, 2, (20_000, 4))
    drawn = np.array([RNG.choice(4, p=row) for row in softmax(true)])
    assert fit_temperature(true * temperature, np.eye(4)[drawn]) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_temperature_of_several_classes_a_chip_is_found(temperature: float) -> None:
    true = RNG.normal(0, 2, (20_000, 3))
    drawn = RNG.random(true.shape) < 1 / (1 + np.exp(-true))
    found = fit_temperature(true * temperature, drawn.astype(float), multi_label=True)
    assert found == pytest.approx(temperature, rel=0.05)


def test_a_few_chips_that_are_all_right_make_no_certainty() -> None:
    logits = 4 * np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1, 2]]
    found = fit_temperature(logits, np.eye(3)[[0, 1, 2] * 3])
    assert 0.3 < found < 1


@pytest.mark.parametrize("multi_label", [False, True])
def test_logits_give_their_probabilities_back(multi_label: bool) -> None:
    logits = RNG.normal(0, 5, (50, 4))
    made = 1 / (1 + np.exp(-logits)) if multi_label else softmax(logits)
    found = logits_of(made, multi_label=multi_label)
    again = 1 / (1 + np.exp(-found)) if multi_label else softmax(found)
    assert again == pytest.approx(made, abs=1e-9)
    certain = logits_of(np.array([[0.0, 1.0]]), multi_label=multi_label)
    assert np.isfinite(certain).all()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_folded_temperature_divides_the_logits(activation: Any, keras: Any) -> None:
    inputs = keras.Input((5,))
    model = keras.Model(inputs, probabilities(inputs, NetworkShape(3, activation=activation)))
    model.layers[-1].set_weights([RNG.normal(0, 1, (5, 3)), RNG.normal(0, 1, 3)])
    features, several = RNG.normal(0, 1, (8, 5)).astype(np.float32), activation == "sigmoid"
    before = logits_of(model(features).numpy(), multi_label=several)
    fold_temperature(model, 2.5)
    after = logits_of(model(features).numpy(), multi_label=several)
    shift = 0 if several else before.max(axis=1, keepdims=True) / 2.5 - after.max(axis=1, keepdims=True)
    assert after + shift == pytest.approx(before / 2.5, abs=1e-4)


def test_no_other_threshold_is_better() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 3)) < (0.1, 0.5, 0.9)).astype(int)
    probabilities = 1 / (1 + np.exp(-(3 * labels - (4, 1, 0) + rng.normal(0, 1.5, labels.shape))))
    found = fit_thresholds(probabilities, labels)
    assert len(set(found)) == 3
    for p, y, threshold in zip(probabilities.T, labels.T, found, strict=True):
        best = max(f1_score(y, p >= t) for t in np.unique(p))
        assert f1_score(y, p >= threshold) == pytest.approx(best, abs=0.003), "rounded to four digits"


def test_a_threshold_lies_between_the_chips_that_it_parts() -> None:
    labels = np.repeat([0, 1], 10)[:, None]
    assert fit_thresholds(np.repeat([0.2, 0.6], 10)[:, None], labels) == (0.4,)


@pytest.mark.parametrize("positive", [0, FEWEST - 1, 21 - FEWEST, 20])
def test_a_class_of_few_chips_keeps_one_half(positive: int) -> None:
    labels = (np.arange(20) < positive).astype(int)[:, None]
    assert fit_thresholds(0.1 + 0.1 * labels, labels) == (0.5,)


def test_thresholds_are_such_as_a_card_may_hold() -> None:
    """None is 0 or 1, even where all probabilities are."""
    labels = np.repeat([0, 1], 10)[:, None]
    assert fit_thresholds(np.ones((20, 1)), labels) == (0.99,)
    assert fit_thresholds(np.zeros((20, 1)), labels) == (0.01,)
