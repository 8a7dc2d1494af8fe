"""Classes of one legend become those of another, and each line of the table is a decision."""

from __future__ import annotations

import pytest

from landmap.crosswalk import EUROSAT_KINDS, PRODUCTS, common, identify, recode
from landmap_models.legend import EUROSAT, LandClass

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


@pytest.mark.parametrize("legend", PRODUCTS)
def test_a_recoded_map_is_compared_as_the_map_that_it_was(legend: str) -> None:
    """A map in EuroSAT's classes and the same one recoded meet a reference in the same classes."""
    made = recode(EUROSAT.names, legend)
    known, own = identify(made.classes), identify(tuple(EUROSAT))
    assert known is not None
    assert own is not None
    assert known.accuracy == "", "landmap's own map"
    for product in PRODUCTS.values():
        direct, again = common(own, product), common(known, product)
        through = {
            old.id: again.of_one[made.classes[place].id] for old, place in zip(EUROSAT, made.places, strict=True)
        }
        partition = {frozenset(i for i in range(10) if direct.of_one[i] == c.id) for c in direct.classes}
        merged = {frozenset(i for i in range(10) if through[i] == c.id) for c in again.classes}
        if product is PRODUCTS[legend]:
            assert partition == merged


def test_common_classes_of_eurosat_and_worldcover() -> None:
    own = identify(tuple(EUROSAT))
    assert own is not None
    found = common(own, PRODUCTS["worldcover"])
    assert {c.name: (mine, others) for c, mine, others in found.rows()} == {
        "Tree cover": (["Forest"], ["Tree cover"]),
        "Shrubland / Grassland": (["HerbaceousVegetation", "Pasture"], ["Shrubland", "Grassland"]),
        "Cropland": (["AnnualCrop", "PermanentCrop"], ["Cropland"]),
        "Built-up": (["Highway", "Industrial", "Residential"], ["Built-up"]),
        "Permanent water bodies": (["River", "SeaLake"], ["Permanent water bodies"]),
    } | {
        name: ([], [name])
        for name in ("Bare / sparse vegetation", "Snow and ice", "Herbaceous wetland", "Mangroves", "Moss and lichen")
    }


@pytest.mark.parametrize("one", PRODUCTS)
@pytest.mark.parametrize("other", PRODUCTS)
def test_common_classes_are_the_finest(one: str, other: str) -> None:
    """Each kind of land is in one class of both, and two kinds are in one only where a chain of classes joins them."""
    first, second = PRODUCTS[one], PRODUCTS[other]
    found = common(first, second)
    where: dict[str, set[int]] = {}
    for product, becomes in ((first, found.of_one), (second, found.of_other)):
        for c in product.classes:
            for kind in product.kinds[c.id]:
                where.setdefault(kind, set()).add(becomes[c.id])
    assert all(len(ids) == 1 for ids in where.values())
    links = [set(held) for product in (first, second) for held in product.kinds.values()]
    reached, count = set[str](), 0
    for kind in where:
        if kind not in reached:
            count, chain = count + 1, {kind}
            while more := set().union(*(link for link in links if link & chain)) - chain:
                chain |= more
            reached |= chain
    assert len(found.classes) == count
    assert len({c.id for c in found.classes}) == count


def test_what_is_not_known_is_not_compared() -> None:
    assert identify(()) is None
    assert identify((LandClass(0, "Volcano", "#ff0000"),)) is None
    assert identify((LandClass(11, "Tree cover", "#006400"),)) is None, "a name with another code"
