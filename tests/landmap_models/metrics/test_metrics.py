"""Metrics against counting by hand, against scikit-learn, and where they are not defined."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from landmap_models.metrics import weighted
from landmap_models.metrics.metrics import multi_label, reliability, single_label
from landmap_models.metrics.weighted import average_precision, roc_auc

NAMES = ("a", "b", "c", "d")
Array = npt.NDArray[Any]


def draw(n: int, seed: int = 0, strength: float = 1.5) -> tuple[Array, Array]:
    """Labels of four classes of unequal size, and probabilities that are often right; rounded, so that scores tie."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, n, p=(0.5, 0.3, 0.15, 0.05))
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), labels] += strength
    scores = np.exp(logits).round(1) + 0.1
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def draw_several(n: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < (0.6, 0.3, 0.2, 0.1)).astype(int)
    scores = (labels * 0.35 + rng.random((n, 4)) * 0.65).round(2)
    return labels, scores.astype(np.float32)


def value(found: dict[str, Any], name: str) -> float:
    return float(found[name]["value"])


def ranked(labels: Array, scores: Array, metric: Callable[..., float]) -> float:
    """Mean over the classes that occur."""
    return float(np.mean([metric(labels == k, scores[:, k]) for k in np.unique(labels)]))


def calibration_error(labels: Array, scores: Array) -> float:
    """Written another way: bin by bin."""
    confidence, right = scores.max(axis=1).astype(float), scores.argmax(axis=1) == labels
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def oracle(labels: Array, scores: Array, beta: float = 2.0) -> dict[str, float]:
    chosen, present = scores.argmax(axis=1), np.unique(labels)
    out = {
        "accuracy": sk.accuracy_score(labels, chosen),
        "balanced_accuracy": sk.recall_score(labels, chosen, labels=present, average="macro"),
        "cohen_kappa": sk.cohen_kappa_score(labels, chosen),
        "matthews": sk.matthews_corrcoef(labels, chosen),
        "roc_auc": ranked(labels, scores, sk.roc_auc_score),
        "log_loss": sk.log_loss(labels, scores, labels=range(4)),
        "expected_calibration_error": calibration_error(labels, scores),
    }
    for average in ("macro", "weighted"):
        options: dict[str, Any] = {"labels": present, "average": average, "zero_division": 0.0}
        out[f"{average}_precision"] = sk.precision_score(labels, chosen, **options)
        out[f"{average}_recall"] = sk.recall_score(labels, chosen, **options)
        out[f"{average}_f1"] = sk.f1_score(labels, chosen, **options)
        out[f"{average}_f{beta:g}"] = sk.fbeta_score(labels, chosen, beta=beta, **options)
    return out


@pytest.mark.parametrize("beta", [2.0, 0.5])
def test_single_label_values_are_scikit_learns(beta: float) -> None:
    labels, scores = draw(300)
    found = single_label(labels, scores, NAMES, beta=beta, resamples=10)
    for name, expected in oracle(labels, scores, beta).items():
        assert value(found, name) == pytest.approx(expected, abs=6e-5), name
    assert found["confusion"] == sk.confusion_matrix(labels, scores.argmax(axis=1)).tolist()
    report = sk.classification_report(labels, scores.argmax(axis=1), target_names=NAMES, output_dict=True)
    for name in NAMES:
        assert found["per_class"][name] == {
            "precision": pytest.approx(report[name]["precision"], abs=6e-5),
            "recall": pytest.approx(report[name]["recall"], abs=6e-5),
            "f1": pytest.approx(report[name]["f1-score"], abs=6e-5),
            "support": report[name]["support"],
        }


def test_the_bootstrap_is_that_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws, one by one through scikit-learn, in blocks that don't divide their number."""
    labels, scores = draw(80, seed=3)
    monkeypatch.setattr(weighted, "_BLOCK", 80 * 7)
    found = single_label(labels, scores, NAMES, resamples=60, seed=5)
    rng = np.random.default_rng(5)
    drawn = np.concatenate([rng.integers(0, 80, (size, 80)) for size in [7] * 8 + [4]])
    loops = [oracle(labels[chosen], scores[chosen]) for chosen in drawn]
    assert any(len(np.unique(labels[chosen])) < 4 for chosen in drawn), "a class is missing from some resamples"
    for name in loops[0].keys() - {"accuracy", "expected_calibration_error"}:
        low, high = np.percentile([loop[name] for loop in loops], (2.5, 97.5))
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((low, high), abs=6e-5), name
    errors = np.array([loop["expected_calibration_error"] for loop in loops])
    shifted = errors - errors.mean() + calibration_error(labels, scores)
    entry = found["expected_calibration_error"]
    assert (entry["low"], entry["high"]) == pytest.approx(tuple(np.percentile(shifted, (2.5, 97.5))), abs=6e-5)


def test_intervals_repeat_and_hold_their_value() -> None:
    labels, scores = draw(500)
    found = single_label(labels, scores, NAMES, resamples=200)
    assert found == single_label(labels, scores, NAMES, resamples=200)
    assert found["macro_f1"] != single_label(labels, scores, NAMES, resamples=200, seed=1)["macro_f1"]
    for name, entry in found.items():
        if isinstance(entry, dict) and "low" in entry:
            assert entry["low"] < entry["value"] < entry["high"], name


def test_bootstrap_intervals_cover_as_often_as_they_promise() -> None:
    """Of 100 samples of a known population, about 95 intervals hold its accuracy's twin, the weighted recall."""
    truth = value(single_label(*draw(100_000, seed=99), NAMES, resamples=1), "weighted_recall")
    held = 0
    for seed in range(100):
        entry = single_label(*draw(200, seed=seed), NAMES, resamples=200)["weighted_recall"]
        held += entry["low"] <= truth <= entry["high"]
    assert 88 <= held <= 100


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], np.float32)
    found = single_label(labels, scores, ("a", "b"), resamples=10)
    assert value(found, "accuracy") == 0.75
    assert value(found, "balanced_accuracy") == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert value(found, "weighted_f2") == pytest.approx((3 * 10 / (4 * 3 + 2) + 5 / (4 + 2)) / 4, abs=1e-4)
    assert value(found, "cohen_kappa") == 0.5, "3/4 agree, 1/2 by chance"
    assert value(found, "roc_auc") == pytest.approx(2 / 3, abs=1e-4), "two of three are ranked below the only b"
    assert value(found, "log_loss") == pytest.approx(-np.log(0.9 * 0.8 * 0.3 * 0.6) / 4, abs=1e-4)
    assert value(found, "expected_calibration_error") == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4, abs=1e-4), (
        "each chip has a bin of its own"
    )


def entries(found: dict[str, Any]) -> dict[str, Any]:
    json.dumps(found, allow_nan=False)
    return {name: entry for name, entry in found.items() if isinstance(entry, dict) and "value" in entry}


def test_one_chip_has_what_can_be_said_of_one_chip() -> None:
    found = entries(single_label(np.array([1]), np.array([[0.25, 0.75]], np.float32), ("a", "b")))
    assert found["accuracy"]["value"] == 1
    assert found["accuracy"]["low"] < 0.3
    assert found["macro_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    undefined = {"value": None, "low": None, "high": None}
    assert found["roc_auc"] == found["cohen_kappa"] == found["matthews"] == undefined
    assert found["log_loss"]["value"] == pytest.approx(-np.log(0.75), abs=1e-4)


def test_all_right_and_certain() -> None:
    labels = np.arange(40) % 4
    found = entries(single_label(labels, np.eye(4, dtype=np.float32)[labels], NAMES, resamples=100))
    for name, entry in found.items():
        best = 0.0 if name in ("log_loss", "expected_calibration_error") else 1.0
        assert entry["value"] == best, name
        assert "-0.0" not in str(entry)
    assert found["accuracy"]["low"] == pytest.approx(40 / (40 + 1.96**2), abs=1e-3), "Wilson's is not certain"


def test_a_class_without_chips_is_left_out_of_averages() -> None:
    labels = np.array([0, 0, 1, 1])
    scores = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    found = single_label(labels, scores, ("a", "b", "never"), resamples=50)
    entries(found)
    assert found["per_class"]["never"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert value(found, "macro_recall") == value(found, "balanced_accuracy") == 0.75
    assert value(found, "macro_precision") == 1.0
    assert found["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_class_that_is_never_predicted_scores_zero() -> None:
    found = single_label(np.array([0, 1]), np.eye(2, dtype=np.float32)[[0, 0]], ("a", "b"), resamples=50)
    assert found["per_class"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert value(found, "matthews") == value(found, "cohen_kappa") == 0.0
    assert value(found, "log_loss") == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], np.zeros((0, 2)), "at least one chip"),
        ([0, 1], np.zeros((3, 2)), "of shape"),
        ([0], np.zeros((1, 3)), "of shape"),
        ([2], np.zeros((1, 2)), "labels from 0 to 1"),
        ([0], np.full((1, 2), np.nan), "finite probabilities"),
    ],
)
def test_what_does_not_fit_is_refused(labels: list[int], scores: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        single_label(np.array(labels, int), scores.astype(np.float32), ("a", "b"))


def test_ranks_with_ties_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    positive, scores = rng.random(200) < 0.3, rng.integers(0, 12, 200) / 12
    weights = rng.integers(0, 4, (3, 200)).astype(float)
    for metric, expected in ((roc_auc, sk.roc_auc_score), (average_precision, sk.average_precision_score)):
        loops = [expected(positive, scores, sample_weight=row) for row in weights]
        assert metric(positive, scores, weights).tolist() == pytest.approx(loops)


def oracle_several(labels: Array, scores: Array, thresholds: Array) -> dict[str, float]:
    chosen, present = (scores >= thresholds).astype(int), np.flatnonzero(labels.any(axis=0))
    mixed = present[~labels[:, present].all(axis=0)]
    out = {
        "subset_accuracy": sk.accuracy_score(labels, chosen),
        "hamming_loss": sk.hamming_loss(labels, chosen),
        "roc_auc": sk.roc_auc_score(labels[:, mixed], scores[:, mixed]),
        "average_precision": sk.average_precision_score(labels[:, present], scores[:, present]),
    }
    for average in ("micro", "macro", "weighted"):
        options: dict[str, Any] = {"labels": present, "average": average, "zero_division": 0.0}
        if average == "micro":
            options |= {"labels": None}
        out[f"{average}_precision"] = sk.precision_score(labels, chosen, **options)
        out[f"{average}_recall"] = sk.recall_score(labels, chosen, **options)
        out[f"{average}_f1"] = sk.f1_score(labels, chosen, **options)
        out[f"{average}_f2"] = sk.fbeta_score(labels, chosen, beta=2, **options)
    return out


THRESHOLDS = np.array([0.5, 0.6, 0.45, 0.5])


def test_multi_label_values_are_scikit_learns() -> None:
    labels, scores = draw_several(300)
    found = multi_label(labels, scores, NAMES, thresholds=THRESHOLDS, resamples=10)
    for name, expected in oracle_several(labels, scores, THRESHOLDS).items():
        assert value(found, name) == pytest.approx(expected, abs=6e-5), name
    chosen = scores >= THRESHOLDS
    assert found["confusion"] == sk.multilabel_confusion_matrix(labels, chosen).tolist()
    for k, name in enumerate(NAMES):
        row = found["per_class"][name]
        assert row["support"] == labels[:, k].sum()
        assert row["threshold"] == THRESHOLDS[k]
        assert row["f1"] == pytest.approx(sk.f1_score(labels[:, k], chosen[:, k]), abs=6e-5)
        assert row["roc_auc"] == pytest.approx(sk.roc_auc_score(labels[:, k], scores[:, k]), abs=6e-5)
        assert row["average_precision"] == pytest.approx(
            sk.average_precision_score(labels[:, k], scores[:, k]), abs=6e-5
        )


def test_the_multi_label_bootstrap_is_that_of_plain_loops() -> None:
    labels, scores = draw_several(40, seed=2)
    found = multi_label(labels, scores, NAMES, thresholds=THRESHOLDS, resamples=60, seed=1)
    drawn = np.random.default_rng(1).integers(0, 40, (60, 40))
    loops = [oracle_several(labels[chosen], scores[chosen], THRESHOLDS) for chosen in drawn]
    for name in loops[0].keys() - {"subset_accuracy"}:
        low, high = np.percentile([loop[name] for loop in loops], (2.5, 97.5))
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((low, high), abs=6e-5), name


def test_multi_label_without_any_label_is_undefined_not_wrong() -> None:
    found = multi_label(np.zeros((3, 2), int), np.full((3, 2), 0.1, np.float32), ("a", "b"), resamples=20)
    assert entries(found)["subset_accuracy"]["value"] == 1.0
    assert found["hamming_loss"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    undefined = {"value": None, "low": None, "high": None}
    assert found["micro_f1"] == found["macro_recall"] == found["roc_auc"] == found["average_precision"] == undefined


def test_multi_label_labels_are_zero_or_one() -> None:
    with pytest.raises(ValueError, match="labels of 0 and 1"):
        multi_label(np.array([[0, 2]]), np.zeros((1, 2), np.float32), ("a", "b"))


def test_reliability_counts_every_prediction_in_its_bin() -> None:
    confidence = np.array([0.0, 1 / 15, 0.5, 0.52, 1.0])
    right = np.array([False, True, True, False, True])
    bins = reliability(confidence, right)
    assert [b["chips"] for b in bins] == [2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]
    assert bins[7] == {"low": 0.4667, "high": 0.5333, "chips": 2, "confidence": 0.51, "accuracy": 0.5}
    assert bins[1]["accuracy"] is None
