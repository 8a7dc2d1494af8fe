"""Metrics of pixels against scikit-learn, brute force, and a bootstrap written another way."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from landmap_models.metrics.pixels import NEAR, Tally, labels_of, measure_pixels, near_border, tally

NAMES = ("a", "b", "c", "d")
Array = npt.NDArray[Any]


def draw(seed: int, height: int = 13, width: int = 17) -> tuple[Array, Array]:
    """Labels in patches, some missing, the last class never; and probabilities that are often right."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (5, 6)), np.ones((3, 3), int))[:height, :width]
    logits = rng.normal(size=(height, width, 4)) + 1.5 * np.eye(4)[labels]
    labels = np.where(rng.random((height, width)) < 0.2, -1, labels)
    scores = np.exp(logits)
    return labels, (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


IMAGES = [draw(seed) for seed in range(5)]
TALLIES = [tally(*image) for image in IMAGES]


def flat() -> tuple[Array, Array]:
    """All labelled pixels of all images."""
    known = [labels >= 0 for labels, _ in IMAGES]
    true = np.concatenate([labels[k] for (labels, _), k in zip(IMAGES, known, strict=True)])
    return true, np.concatenate([scores[k] for (_, scores), k in zip(IMAGES, known, strict=True)])


def brute_border(labels: Array, distance: int) -> Array:
    found = np.zeros(labels.shape, bool)
    for row, col in np.ndindex(labels.shape):
        around = labels[max(0, row - distance) : row + distance + 1, max(0, col - distance) : col + distance + 1]
        found[row, col] = labels[row, col] >= 0 and bool(((around >= 0) & (around != labels[row, col])).any())
    return found


def test_metrics_are_those_of_scikit_learn() -> None:
    found, (true, scores) = measure_pixels(TALLIES, NAMES, resamples=10), flat()
    predicted = scores.argmax(axis=1)
    there = np.unique(true)
    expected = {
        "mean_iou": sk.jaccard_score(true, predicted, labels=there, average="macro"),
        "accuracy": sk.accuracy_score(true, predicted),
        "balanced_accuracy": sk.recall_score(true, predicted, labels=there, average="macro"),
        "macro_f1": sk.f1_score(true, predicted, labels=there, average="macro"),
        "cohen_kappa": sk.cohen_kappa_score(true, predicted),
        "log_loss": -np.log(scores.astype(float)[np.arange(len(true)), true]).mean(),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-4), name
    ious = sk.jaccard_score(true, predicted, labels=range(4), average=None)
    for i, name in enumerate(NAMES[:3]):
        assert found["per_class"][name]["iou"] == pytest.approx(ious[i], abs=1e-4)
    assert found["per_class"]["d"]["iou"] is None, "no pixel is of the class"
    np.testing.assert_array_equal(found["confusion"], sk.confusion_matrix(true, predicted, labels=range(4)))
    assert (found["n"], found["pixels"]) == (5, len(true))
    json.dumps(found, allow_nan=False)


def test_calibration_is_that_of_bins() -> None:
    found, (true, scores) = measure_pixels(TALLIES, NAMES, resamples=10), flat()
    confidence, right = scores.max(axis=1).astype(float), scores.argmax(axis=1) == true
    error = 0.0
    for entry, (low, high) in zip(found["reliability"], itertools.pairwise(np.linspace(0, 1, 16)), strict=True):
        inside = (confidence > low) & (confidence <= high)
        assert entry["chips"] == inside.sum()
        if inside.any():
            assert entry["accuracy"] == pytest.approx(right[inside].mean(), abs=1e-4)
            assert entry["accuracy_low"] <= entry["accuracy"] + 1e-9
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found["expected_calibration_error"]["value"] == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("distance", NEAR)
def test_borders_are_where_another_class_is_near(distance: int) -> None:
    for labels, _ in IMAGES:
        np.testing.assert_array_equal(near_border(labels, distance), brute_border(labels, distance))


def test_accuracy_by_distance_from_a_border() -> None:
    found = measure_pixels(TALLIES, NAMES, resamples=10)
    true, scores = flat()
    right = scores.argmax(axis=1) == true
    zones = [np.concatenate([brute_border(labels, d)[labels >= 0] for labels, _ in IMAGES]) for d in NEAR]
    for name, zone in zip(("within_1_px", "within_2_px", "away"), (*zones, ~zones[1]), strict=True):
        assert found[f"accuracy_{name}"]["value"] == pytest.approx(right[zone].mean(), abs=1e-4)
        assert found["zones"][name] == zone.sum()


def test_intervals_draw_images_and_not_pixels() -> None:
    """Of images that are right or wrong as a whole, pixels tell no more than images do."""
    right, wrong = np.zeros((64, 64), int), np.eye(2, dtype=np.float32)[np.zeros((64, 64), int)]
    tallies = [tally(right, wrong if i < 6 else wrong[..., ::-1]) for i in range(10)]
    found = measure_pixels(tallies, ("a", "b"), resamples=2000)["accuracy"]
    drawn = np.random.default_rng(1).binomial(10, 0.6, 20_000) / 10
    assert found["value"] == 0.6
    assert found["low"] == pytest.approx(np.percentile(drawn, 2.5), abs=0.051)
    assert found["high"] == pytest.approx(np.percentile(drawn, 97.5), abs=0.051)
    assert found["high"] - found["low"] > 0.4, "40,960 pixels drawn one by one would give 0.01"


def test_images_without_labels_change_nothing() -> None:
    nothing = tally(np.full((3, 4), -1), np.full((3, 4, 4), 0.25, np.float32))
    assert nothing.pixels == 0
    values = [
        measure_pixels(tallies, NAMES, resamples=5)["mean_iou"]["value"] for tallies in (TALLIES, [*TALLIES, nothing])
    ]
    assert values[0] == values[1]
    with pytest.raises(ValueError, match="labelled pixel"):
        measure_pixels([nothing], NAMES)


def test_a_tally_of_an_image_is_the_sum_of_its_parts() -> None:
    """Borders aside, which parts can't know."""
    (labels, scores), whole = IMAGES[0], TALLIES[0]
    parts: list[Tally] = [tally(labels[:5], scores[:5]), tally(labels[5:], scores[5:])]
    np.testing.assert_array_equal(sum(p.confusion for p in parts), whole.confusion)
    np.testing.assert_allclose(sum(p.bins for p in parts), whole.bins)


def test_labels_of_probabilities() -> None:
    soft = np.array([[[0.2, 0.8], [0, 0]], [[0.6, 0.4], [1, 0]]])
    np.testing.assert_array_equal(labels_of(soft), [[1, -1], [0, 0]])
