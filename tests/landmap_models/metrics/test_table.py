"""What the tables of metrics list is what evaluations, cards and comparisons show."""

from __future__ import annotations

import numpy as np
import pytest

from landmap_models.metrics.metrics import measure, multi_label, single_label
from landmap_models.metrics.table import metrics_for

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("single", [True, False])
def test_every_metric_of_the_table_is_measured_in_its_order(single: bool) -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet((1, 1, 1), 20).astype(np.float32)
    labels = rng.integers(0, 3, 20) if single else rng.integers(0, 2, (20, 3))
    found = (single_label if single else multi_label)(labels, scores, NAMES, beta=0.5, resamples=5)
    table = metrics_for(single_label=single, beta=0.5)
    assert [name for name, entry in found.items() if "value" in str(entry)] == [metric.name for metric in table]
    assert all(metric.meaning for metric in table)
    on_card = [metric.name for metric in metrics_for(single_label=single) if metric.on_card]
    assert list(measure(labels, scores, NAMES)) == ["n", *on_card, "per_class", "confusion"]
    assert {"macro_f1"} < set(on_card) <= {metric.name for metric in metrics_for(single_label=single)}


def test_an_f_of_beta_1_is_listed_once() -> None:
    names = [metric.name for metric in metrics_for(single_label=True, beta=1.0)]
    assert len(names) == len(set(names))
