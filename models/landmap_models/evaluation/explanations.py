"""Labelled chips show whether the given bands, numbers or order of classes of a network are wrong.

One entry at a time is changed. An order of classes can be fitted to any outputs, so that a better one alone proves
nothing: a change is named only if it makes the network clearly good.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmap_models.arrays import Floats, Indices
from landmap_models.inference.input_scale import INPUTS
from landmap_models.metrics.metrics import wilson_interval
from landmap_models.model_file.card import ModelCard

PLAINLY_GOOD = 0.7
"""Share of right chips from which on a change is named."""
ALL_ORDERS = 4
"""Bands up to which every order of them is tried; of more, the reversed one and that with red and blue exchanged."""
DOUBT = "bands, classes, level or numbers do not fit these chips: look at --bands, --classes, --level and --input"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A change of a given entry that may explain wrong predictions."""

    right: int
    """Number of chips that are right with the change."""
    option: str
    """Option of the command line that makes the change."""
    given: str
    """The given entry, in words."""
    compare_with: str
    """What the user can compare the entry with."""


def fit_warnings(
    model: Any, card: ModelCard, number: str, values: Floats, labels: Indices, guessing: str | None
) -> list[str]:
    """Warn of the one change that explains most wrong predictions, or that no single change does.

    Args:
        model: Network as it was trained, which takes its own numbers.
        card: Card of the given entries.
        number: Name of the given numbers, one of `INPUTS`.
        values: Reflectance of chips, `(n, height, width, bands)`.
        labels: Class ids of the chips, `(n,)`.
        guessing: Warning of `guess_warning` about all chips; None without one.
    """
    outputs, n = _outputs(model, values, number), len(labels)
    right = int((outputs == labels).sum())
    if not _clearly_more(n, right, n):  # nothing could be
        return []
    found = [*_band_orders(model, card, number, values, labels), *_numbers(model, values, labels, number)]
    best = max(found, key=lambda one: one.right)
    order = _class_order(outputs, labels, card.legend.names)
    both = order.right >= PLAINLY_GOOD * n and not _clearly_more(best.right, order.right, n)
    if _clearly_more(order.right, best.right, n):  # of as good ones, the one with less freedom comes first
        best, both = order, False
    better = _clearly_more(best.right, right, n)
    if better and best.right >= PLAINLY_GOOD * n:
        return [
            f"only {right} of {n} chips are right {best.given}; {best.right} would be with {best.option}: "
            f"look at {best.compare_with}" + (f"; or {order.right} with {order.option} instead" if both else "")
        ]
    if guessing is not None:
        return [guessing]
    doubtful = better and right < PLAINLY_GOOD * n
    return [f"only {right} of {n} chips are right, and no single change makes the model good: {DOUBT}"] * doubtful


def guess_warning(outputs: Indices, labels: Indices) -> str | None:
    """Warn of a network that is no better than guessing; None where it is better.

    Guesses have the same number of each class as the predictions.

    Args:
        outputs: Predicted class ids, `(n,)`.
        labels: True class ids, `(n,)`.
    """
    n, classes = len(labels), int(max(outputs.max(), labels.max())) + 1
    given, wanted = np.bincount(outputs, minlength=classes), np.bincount(labels, minlength=classes)
    chance, right = float(given @ wanted) / n**2, int((outputs == labels).sum())
    low = wilson_interval(right, n)["low"]
    if right == n or low is None or low > chance:
        return None
    return (
        f"no better than guessing: {right} of {n} chips are right ({right / n:.0%}), and {chance:.0%} would be by "
        f"chance; maps would be, too. Either the network has not learnt these classes, or {DOUBT}"
    )


def _outputs(model: Any, values: Floats, number: str) -> Indices:
    scaled = values * np.float32(INPUTS[number])
    answers = np.asarray(model.predict(scaled, verbose=0, batch_size=64))
    classes: Indices = answers.argmax(axis=1)
    return classes


def _band_orders(model: Any, card: ModelCard, number: str, values: Floats, labels: Indices) -> Iterator[Explanation]:
    """Changes of the order of the bands."""
    for places in _orders(card.band_names):
        right = int((_outputs(model, values[..., list(places)], number) == labels).sum())
        option = f"--bands {','.join(card.band_names[i] for i in places)}"
        yield Explanation(right, option, "with the bands in the order told", "the order of the bands in its training")


def _orders(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Orders of bands to try, without the given one."""
    given = tuple(range(len(names)))
    if len(names) <= ALL_ORDERS:
        return [order for order in itertools.permutations(given) if order != given]
    orders = [given[::-1]]
    if "B02" in names and "B04" in names:
        exchanged, blue, red = list(given), names.index("B02"), names.index("B04")
        exchanged[blue], exchanged[red] = red, blue
        orders.append(tuple(exchanged))
    return orders


def _numbers(model: Any, values: Floats, labels: Indices, number: str) -> Iterator[Explanation]:
    """Changes of the numbers of the input."""
    for name in INPUTS:
        if name != number:
            right = int((_outputs(model, values, name) == labels).sum())
            given = f"where the network is given {number}"
            yield Explanation(right, f"--input {name}", given, "the numbers that it was trained on")


def _class_order(outputs: Indices, labels: Indices, names: Sequence[str]) -> Explanation:
    """The order of the classes under which most chips are right."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((len(names), len(names)), np.intp)
    np.add.at(counts, (outputs, labels), 1)
    _, best = linear_sum_assignment(-counts)
    right, option = int(counts[np.arange(len(names)), best].sum()), f"--classes {','.join(names[i] for i in best)}"
    return Explanation(right, option, "with the classes in the order told", "the order of the network's outputs")


def _clearly_more(one: int, other: int, n: int) -> bool:
    """Whether the 95 % intervals of two counts lie apart."""
    low, high = wilson_interval(one, n)["low"], wilson_interval(other, n)["high"]
    return low is not None and high is not None and low > high
