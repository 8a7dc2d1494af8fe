"""Classes of one legend become those of another, and each line of the table is a decision."""

from __future__ import annotations

import pytest

from landmap.crosswalk import EUROSAT_KINDS, PRODUCTS, recode
from landmap_models.legend import EUROSAT

BECOMES = {
    "worldcover": (40, 10, 30, 50, 50, 30, 40, 50, 80, 80),
    "dynamicworld": (4, 1, 2, 6, 6, 2, 4, 6, 0, 0),
    "corine1": (2, 3, 3, 1, 1, 2, 2, 1, 5, 5),
}
"""Codes of EuroSAT's ten classes, in their order."""


@pytest.mark.parametrize("legend", PRODUCTS)
def test_the_table_says_what_each_class_becomes(legend: str) -> None:
    found = recode(EUROSAT.names, legend)
    assert tuple(found.classes[place].id for place in found.places) == BECOMES[legend]
    assert [c.id for c in found.classes] == sorted(set(BECOMES[legend]))
    assert {name for names in found.sources(EUROSAT.names).values() for name in names} == set(EUROSAT.names)


def test_each_class_of_a_model_is_in_the_table() -> None:
    assert tuple(EUROSAT_KINDS) == EUROSAT.names


@pytest.mark.parametrize("legend", PRODUCTS)
def test_the_kinds_of_land_are_shared_out_among_the_classes_of_a_product(legend: str) -> None:
    """A kind in two classes would make what a class becomes a matter of order."""
    kinds = [kind for held in PRODUCTS[legend].kinds.values() for kind in held]
    assert len(kinds) == len(set(kinds))
    known = {kind for product in PRODUCTS.values() for held in product.kinds.values() for kind in held}
    assert set(kinds) <= known
    assert {kind for text in EUROSAT_KINDS.values() for kind in text.split(", ")} <= set(kinds)


def test_a_model_with_some_of_the_classes_in_another_order() -> None:
    found = recode(("SeaLake", "Residential", "Forest"), "dynamicworld")
    assert [c.name for c in found.classes] == ["water", "trees", "built"]
    assert found.places == (0, 2, 1)


def test_a_model_with_the_classes_of_a_product() -> None:
    names = tuple(c.name for c in PRODUCTS["dynamicworld"].classes)
    assert [c.id for c in recode(names, "dynamicworld").classes] == list(range(9))
    found = recode(names, "worldcover")
    assert [found.classes[place].id for place in found.places] == [80, 10, 30, 90, 40, 20, 50, 60, 70]


def test_classes_without_a_counterpart_are_named() -> None:
    with pytest.raises(ValueError, match="Volcano has no counterpart there"):
        recode(("Forest", "Volcano"), "worldcover")
    with pytest.raises(ValueError, match="a, b have no counterpart there"):
        recode(("a", "b"), "corine1")
