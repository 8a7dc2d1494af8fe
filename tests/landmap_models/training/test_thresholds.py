"""Thresholds against looking at all of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from landmap_models.training.calibration import FEWEST, fit_thresholds


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
