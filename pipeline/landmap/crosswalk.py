"""Legends of other land-cover products, and the crosswalk by which classes of one legend become those of another.

Each class lists the kinds of land that it holds. Two legends are compared in the finest classes into which both can be
merged: classes that share a kind of land belong together. The first kind of a class decides what it becomes where a map
is recoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landmap_models.legend import MAX_CLASS_ID, LandClass

Classes = tuple[LandClass, ...]
"""Classes by ascending id."""
Kinds = Mapping[int, tuple[str, ...]]
"""Kinds of land that each class holds, by its id; the first decides what it becomes."""


@dataclass(frozen=True, slots=True)
class Product:
    """The legend of a land-cover product."""

    title: str
    """Name of the product for people."""
    classes: Classes
    """The product's own codes, names and colours."""
    kinds: Kinds
    """Kinds of land of each class."""
    accuracy: str = ""
    """How often the product's maps are right, with sources; empty for a legend alone."""


def _product(title: str, *lines: tuple[int, str, str, str], accuracy: str = "") -> Product:
    """Make a product of lines: code, name, colour, and kinds of land with commas between."""
    kinds = {code: tuple(listed.split(", ")) for code, _, _, listed in lines}
    return Product(title, tuple(LandClass(code, name, color) for code, name, color, _ in lines), kinds, accuracy)


# Of "natural grass, shrub": labels are Urban Atlas polygons, whose herbaceous vegetation has heath and scrub in it.
# Pasture is grass to a satellite, and agriculture to CORINE, which maps use. A highway is built in all three.
EUROSAT_KINDS = {
    "AnnualCrop": "annual crop",
    "Forest": "trees",
    "HerbaceousVegetation": "natural grass, shrub",
    "Highway": "built",
    "Industrial": "built",
    "Pasture": "pasture",
    "PermanentCrop": "permanent crop",
    "Residential": "built",
    "River": "water",
    "SeaLake": "water",
}
PRODUCTS = {
    # Codes, names and colours: Product User Manual (esa-worldcover.org). By it woody crops are trees or shrubs;
    # PermanentCrop becomes cropland all the same, as most of EuroSAT's is vineyards and rows between which soil shows.
    "worldcover": _product(
        "ESA WorldCover",
        (10, "Tree cover", "#006400", "trees"),
        (20, "Shrubland", "#ffbb22", "shrub"),
        (30, "Grassland", "#ffff4c", "natural grass, pasture"),
        (40, "Cropland", "#f096ff", "annual crop, permanent crop"),
        (50, "Built-up", "#fa0000", "built"),
        (60, "Bare / sparse vegetation", "#b4b4b4", "bare"),
        (70, "Snow and ice", "#f0f0f0", "snow"),
        (80, "Permanent water bodies", "#0064c8", "water"),
        (90, "Herbaceous wetland", "#0096a0", "wetland"),
        (95, "Mangroves", "#00cf75", "mangrove"),
        (100, "Moss and lichen", "#fae6a0", "moss"),
        accuracy="right on 74.4 % (2020, v100) and 76.7 % (2021, v200) of the land by its validation reports, on 65 % "
        "by Venter et al. 2022 (doi:10.3390/rs14164101)",
    ),
    # Brown et al. 2022, doi:10.1038/s41597-022-01307-4. Flooded mangroves are flooded vegetation there.
    "dynamicworld": _product(
        "Dynamic World",
        (0, "water", "#419bdf", "water"),
        (1, "trees", "#397d49", "trees"),
        (2, "grass", "#88b053", "natural grass, pasture"),
        (3, "flooded_vegetation", "#7a87c6", "wetland, mangrove"),
        (4, "crops", "#e49635", "annual crop, permanent crop"),
        (5, "shrub_and_scrub", "#dfc35a", "shrub"),
        (6, "built", "#c4281b", "built"),
        (7, "bare", "#a59b8f", "bare"),
        (8, "snow_and_ice", "#b39fe1", "snow"),
        accuracy="agrees with experts on 73.8 % of pixels by Brown et al. 2022 (doi:10.1038/s41597-022-01307-4), right "
        "on 72 % by Venter et al. 2022 (doi:10.3390/rs14164101)",
    ),
    # CORINE has colours for level 3 alone: these are of 111, 211, 311, 411 and 511, the first of each group.
    "corine1": _product(
        "CORINE Land Cover, level 1",
        (1, "Artificial surfaces", "#e6004d", "built"),
        (2, "Agricultural areas", "#ffffa8", "annual crop, permanent crop, pasture"),
        (3, "Forest and semi natural areas", "#80ff00", "trees, natural grass, shrub, bare, snow, moss"),
        (4, "Wetlands", "#a6a6ff", "wetland, mangrove"),
        (5, "Water bodies", "#00ccf2", "water"),
        accuracy="a map of areas of at least 25 ha, each of which has the class of most of it",
    ),
}
"""Products whose legends a map can be given, by the name of the option."""


@dataclass(frozen=True, slots=True)
class Recode:
    """How the classes of a model become those of another legend, many to one. It is small and can be pickled."""

    name: str
    """Name of the legend in `PRODUCTS`."""
    classes: Classes
    """Classes of the legend that the model can give, by ascending id."""
    places: tuple[int, ...]
    """For each class of the model, in its order, the place of its new class in `classes`."""

    def sources(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Names of the model's classes that become each new class, by the new name."""
        pairs = list(zip(names, self.places, strict=True))
        return {c.name: [name for name, place in pairs if place == i] for i, c in enumerate(self.classes)}


def recode(names: Sequence[str], legend: str) -> Recode:
    """How classes of these names become classes of a product's legend.

    Args:
        names: Names of a model's classes, in its order: EuroSAT's, or those of one of the products.
        legend: Name of the legend in `PRODUCTS`.

    Raises:
        ValueError: A class has no counterpart; the message names it.
    """
    target = PRODUCTS[legend]
    held = {kind: c.id for c in target.classes for kind in target.kinds[c.id]}
    best = max(_by_name().values(), key=lambda known: len(set(names) & known.keys()))
    new = {name: held.get(best[name][0]) if name in best else None for name in names}
    if missing := [name for name in names if new[name] is None]:
        raise ValueError(f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} no counterpart there")
    classes = tuple(c for c in target.classes if c.id in new.values())
    order = [c.id for c in classes]
    return Recode(legend, classes, tuple(order.index(new[name] or 0) for name in names))


def _by_name() -> dict[str, dict[str, tuple[str, ...]]]:
    """Kinds of land by class name, for each legend that is known."""
    found = {"eurosat": {name: tuple(kinds.split(", ")) for name, kinds in EUROSAT_KINDS.items()}}
    for name, product in PRODUCTS.items():
        found[name] = {c.name: product.kinds[c.id] for c in product.classes}
    return found


def identify(classes: Classes) -> Product | None:
    """The legend that a map's classes are of, with these classes; None where it is not known.

    Where landmap gave EuroSAT's classes the codes of a product, each holds the land of the classes that became it.

    Args:
        classes: Classes of a map, without "Unknown".
    """
    names = [c.name for c in classes]
    if classes and set(names) <= EUROSAT_KINDS.keys():
        return Product("EuroSAT", classes, {c.id: tuple(EUROSAT_KINDS[c.name].split(", ")) for c in classes})
    for name, product in PRODUCTS.items():
        known = {(c.id, c.name): product.kinds[c.id] for c in product.classes}
        if not classes or not {(c.id, c.name) for c in classes} <= known.keys():
            continue
        made = recode(tuple(EUROSAT_KINDS), name)
        if [c.id for c in classes] != [c.id for c in made.classes]:
            return Product(product.title, classes, {c.id: known[c.id, c.name] for c in classes}, product.accuracy)
        sources = made.sources(tuple(EUROSAT_KINDS))
        kinds = {c.id: tuple(k for s in sources[c.name] for k in EUROSAT_KINDS[s].split(", ")) for c in classes}
        return Product(f"{product.title}, recoded from EuroSAT", classes, kinds)
    return None


@dataclass(frozen=True, slots=True)
class Common:
    """The finest classes into which two legends can be merged, the first legend's and the second's."""

    one: Product
    """The first legend."""
    other: Product
    """The second legend."""
    classes: Classes
    """The common classes, by ascending id."""
    of_one: Mapping[int, int]
    """Id of the common class of each class of the first legend, by id."""
    of_other: Mapping[int, int]
    """The same of the second legend."""

    def rows(self) -> list[tuple[LandClass, list[str], list[str]]]:
        """Each common class, and the names of the classes of both legends that are merged into it."""
        return [
            (
                c,
                [own.name for own in self.one.classes if self.of_one[own.id] == c.id],
                [own.name for own in self.other.classes if self.of_other[own.id] == c.id],
            )
            for c in self.classes
        ]

    def to_dict(self, one: str, other: str) -> dict[str, Any]:
        """The table as values that JSON has.

        Args:
            one: Key of what belongs to the first legend.
            other: Key of what belongs to the second.
        """
        rows = [{"id": c.id, "name": c.name, one: mine, other: others} for c, mine, others in self.rows()]
        return {one: self.one.title, other: self.other.title, "classes": rows}

    def text(self) -> str:
        """The table in one line."""
        listed = "; ".join(
            f"{c.name}: {', '.join(mine) or 'nothing'} = {', '.join(others) or 'nothing'}"
            for c, mine, others in self.rows()
        )
        return f"compared in the finest classes that {self.one.title} and {self.other.title} have in common: {listed}"


def common(one: Product, other: Product) -> Common:
    """Merge the classes of two legends until each kind of land lies in one class of both.

    Ids, names and colours are those of the legend with fewer classes for the same land; a class whose land it does not
    know stays alone, with its own id if that is free. In two of one legend classes of the same name belong together.

    Args:
        one: The first legend.
        other: The second legend.
    """
    groups: list[tuple[set[str], Classes, Classes]] = []
    for side, product in enumerate((one, other)):
        for c in product.classes:
            kinds = {c.name} if one.title == other.title else set(product.kinds[c.id])
            mine, others = (c,) * (1 - side), (c,) * side
            for group in [group for group in groups if group[0] & kinds]:
                groups.remove(group)
                kinds, mine, others = kinds | group[0], group[1] + mine, group[2] + others
            groups.append((kinds, mine, others))
    shared = [(mine, others) for _, mine, others in groups if mine and others]
    sides = [sum(len(group[side]) for group in shared) for side in (0, 1)]
    lead = int(sides[1] <= sides[0])
    free = set(range(MAX_CLASS_ID + 1)) - {c.id for c in (one, other)[lead].classes}
    merged = []
    for _, mine, others in groups:
        own = (mine, others)[lead]
        names = sorted(own or mine or others, key=lambda c: c.id)
        id_ = names[0].id if own or names[0].id in free else min(free)
        free.discard(id_)
        merged.append((LandClass(id_, " / ".join(c.name for c in names), names[-1].color), mine, others))
    return Common(
        one,
        other,
        tuple(sorted((new for new, _, _ in merged), key=lambda c: c.id)),
        {c.id: new.id for new, mine, _ in merged for c in mine},
        {c.id: new.id for new, _, others in merged for c in others},
    )
