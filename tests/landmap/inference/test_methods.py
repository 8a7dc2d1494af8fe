"""Answers of a model are looked at before they become a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from landmap.inference.methods import ChipByChip
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.model_file.card import ModelCard

Floats = npt.NDArray[np.float32]
FAIR = np.full((6, 10), 0.1, np.float32)


@dataclass(frozen=True)
class FixedClassifier:
    """Answers with these rows."""

    answers: Floats
    card: ModelCard = FAKE_CARD

    def predict(self, chips: Floats) -> Floats:
        return self.answers


def predict(answers: Floats) -> Floats:
    """Of 2x3 windows in one batch."""
    values = np.zeros((128, 192, 3), np.float32)
    ones = np.ones((2, 3), np.float32)
    return ChipByChip().predict(values, ones, FixedClassifier(answers), 64, batch_size=256, tile=None)


def with_value(row: int, column: int, value: float) -> Floats:
    answers = FAIR.copy()
    answers[row, column] = value
    return answers


def test_probabilities_pass() -> None:
    np.testing.assert_array_equal(predict(FAIR), FAIR.reshape(2, 3, 10))


def test_what_half_precision_rounds_passes() -> None:
    rough = np.zeros((6, 10), np.float32)
    rough[:, 0] = 1.0005
    rough[:, 1] = -0.0005
    for answers in (rough, (FAIR * 1.004).astype(np.float16).astype(np.float32)):
        np.testing.assert_array_equal(predict(answers), answers.reshape(2, 3, 10))


def test_windows_without_weight_are_zero_and_batches_come_in_order() -> None:
    weights = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    values = np.zeros((128, 192, 3), np.float32)
    found = ChipByChip().predict(values, weights, ConstantClassifier(4), 64, batch_size=3, tile=None)
    np.testing.assert_array_equal(found[..., 4], weights)
    assert found.sum() == 4


@pytest.mark.parametrize("answers", [FAIR[:1], FAIR[:5], FAIR[:, :9], FAIR[0], FAIR[..., None], np.float32(0.1)])
def test_answers_of_another_shape_are_refused(answers: Floats) -> None:
    with pytest.raises(ModelError, match=r"constant: expected probabilities of shape \(6, 10\).*Received: \("):
        predict(answers)


@pytest.mark.parametrize(
    "answers",
    [
        with_value(5, 9, np.nan),
        with_value(0, 0, np.inf),
        with_value(2, 3, -np.inf),
        with_value(2, 3, 0.2),
        FAIR * 0,
        np.linspace(-244, 244, 60, dtype=np.float32).reshape(6, 10),
        np.tile(np.array([1.5, -0.5, *[0] * 8], np.float32), (6, 1)),
    ],
    ids=["nan", "inf", "-inf", "sum", "zeros", "logits", "range"],
)
def test_answers_that_are_no_probabilities_are_refused(answers: Floats) -> None:
    with pytest.raises(ModelError, match=r"constant: expected probabilities from 0 to 1.*softmax") as caught:
        predict(answers)
    assert "\n" not in str(caught.value)
