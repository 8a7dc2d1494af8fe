"""Several dates become one map, pixel by pixel as plain arithmetic on Python's numbers gives it."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

from landmap import fusion
from landmap.errors import SettingsError
from landmap.fusion import Fused, check_weights, fuse

IDS = (3, 7, 20, 41)


def dates(count: int = 5, shape: tuple[int, int] = (23, 31), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes `(dates, height, width)` and percentages `(classes, dates, height, width)`, a third of them missing."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(len(IDS), 0.4), (count, *shape))
    percents = np.rint(100 * np.moveaxis(shares, -1, 0)).astype(np.uint8)
    classes = np.array(IDS, np.uint8)[shares.argmax(-1)]
    missing = rng.random((count, *shape)) < 0.35
    missing[:, 0, :4] = True
    classes[missing], percents[:, missing] = 255, 255
    return classes, percents


def expected(classes: np.ndarray, percents: np.ndarray, weights: list[float], how: str) -> list[float] | None:
    """Scores of the classes of one pixel; None where no date has data."""
    seen = [t for t in range(len(classes)) if classes[t] != 255 and weights[t] > 0]
    if not seen:
        return None
    if how == "majority":
        votes = [sum(weights[t] for t in seen if classes[t] == i) for i in IDS]
        return [v / sum(votes) for v in votes]
    if len(seen) == 1:
        return [int(p) / 100 for p in percents[:, seen[0]]]
    whole = sum(weights[t] for t in seen)
    if how == "mean":
        scores = [math.prod((max(p[t], 0.5) / 100) ** (weights[t] / whole) for t in seen) for p in percents.tolist()]
    else:  # each date as often as its weight says
        scores = [statistics.median([p[t] for t in seen for _ in range(int(weights[t]))]) for p in percents.tolist()]
    return [score / sum(scores) for score in scores] if sum(scores) else scores


def by_pixel(found: Fused, classes: np.ndarray, percents: np.ndarray, weights: list[float], how: str) -> None:
    for row, col in np.ndindex(classes.shape[1:]):
        own, given = classes[:, row, col], percents[:, :, row, col]
        scores = expected(own, given, weights, how)
        pixel = [int(layer[row, col]) for layer in (found.classes, found.confidence, found.count, found.disagreement)]
        if scores is None:
            assert pixel == [255, 255, 0, 255]
            assert (found.probabilities[:, row, col] == 255).all()
            continue
        seen = [t for t in range(len(own)) if own[t] != 255 and weights[t] > 0]
        score = scores[IDS.index(pixel[0])]
        assert score == pytest.approx(max(scores), rel=1e-5)
        assert pixel[1] == pytest.approx(100 * score, abs=0.501)
        assert pixel[2] == len(seen)
        other = sum(weights[t] for t in seen if own[t] != pixel[0]) / sum(weights[t] for t in seen)
        assert pixel[3] == pytest.approx(100 * other, abs=0.501)
        np.testing.assert_allclose(found.probabilities[:, row, col], 100 * np.array(scores), atol=0.501)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1], [3, 1, 0, 2, 5]], ids=["alike", "weighted"])
@pytest.mark.parametrize("how", fusion.HOW)
def test_it_is_the_arithmetic_of_each_pixel(
    how: fusion.How, weights: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "STRIP_BYTES", 9000)  # several strips
    classes, percents = dates()
    found = fuse(classes, percents, check_weights(weights, 5), IDS, how)
    assert len(np.unique(found.classes)) == 5
    by_pixel(found, classes, percents, weights, how)


@pytest.mark.parametrize("how", fusion.HOW)
def test_a_pixel_does_not_depend_on_those_beside_it(how: fusion.How) -> None:
    classes, percents = dates(12)
    weights = check_weights(np.linspace(0.3, 1, 12).tolist(), 12)
    whole = fuse(classes, percents, weights, IDS, how)
    for row, col in [(0, 0), (5, 17), (22, 30)]:
        one = np.s_[..., row : row + 1, col : col + 1]
        alone = fuse(classes[one], percents[one], weights, IDS, how)
        for name in Fused.__slots__:
            np.testing.assert_array_equal(getattr(whole, name)[one], getattr(alone, name))


def test_where_a_single_date_counts_its_own_class_stays_though_another_is_equally_probable() -> None:
    classes = np.array([[[7]], [[255]]], np.uint8)
    percents = np.array([[44, 255], [44, 255], [12, 255], [0, 255]], np.uint8)[..., None, None]
    for how in fusion.HOW:
        found = fuse(classes, percents, check_weights(None, 2), IDS, how)
        assert (found.classes.item(), found.count.item(), found.disagreement.item()) == (7, 1, 0)
    assert fuse(classes, percents, check_weights(None, 2), IDS, "mean").confidence.item() == 44


def test_equal_votes_are_decided_by_probability() -> None:
    classes = np.array([[[3]], [[20]]], np.uint8)
    percents = np.array([[50, 5], [10, 5], [30, 90], [10, 0]], np.uint8)[..., None, None]
    found = fuse(classes, percents, check_weights(None, 2), IDS, "majority")
    assert (found.classes.item(), found.confidence.item(), found.disagreement.item()) == (20, 50, 50)


def test_a_class_that_a_date_excludes_is_hardly_chosen() -> None:
    classes = np.array([[[3]], [[7]]], np.uint8)
    percents = np.array([[95, 0], [5, 60], [0, 40], [0, 0]], np.uint8)[..., None, None]
    assert fuse(classes, percents, check_weights(None, 2), IDS).classes.item() == 7


def test_doubtful_pixels_are_unknown_and_unknown_dates_count_by_their_probabilities() -> None:
    classes, percents = dates()
    known = fuse(classes, percents, check_weights(None, 5), IDS)
    doubtful = (classes != 255) & (percents.max(axis=0) < 60)
    found = fuse(
        np.where(doubtful, np.uint8(254), classes), percents, check_weights(None, 5), IDS, "mean", unknown_below=60
    )
    below = (known.confidence < 60) & (known.count > 1)
    assert below.any()
    assert (found.classes[below] == 254).all()
    clear = (known.confidence >= 60) & (known.count > 1)
    np.testing.assert_array_equal(found.classes[clear], known.classes[clear])


@pytest.mark.parametrize("weights", [[1, 2], [1, 2, -1], [0, 0, 0], [1, 2, math.nan], [[1, 2, 3]]], ids=str)
def test_weights_that_mean_nothing_are_refused(weights: Any) -> None:
    with pytest.raises(SettingsError, match="expected a number from 0 for each of 3 dates"):
        check_weights(weights, 3)


@pytest.mark.parametrize("count", [0, 255])
def test_no_date_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(SettingsError, match="expected 1 to 254"):
        check_weights(None, count)
