"""A map and its reference, or two maps, are compared though their legends differ: both in their common classes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from landmap.accuracy.reference import NO_CLASS, Points, Polygons, Raster, read_reference
from landmap.crosswalk import PRODUCTS, Common, Product, common, identify
from landmap.errors import ReferenceDataError, SceneError
from landmap.io.delimited import ENDINGS
from landmap.io.reading import open_raster
from landmap.io.vectors import VECTORS
from landmap.maps.cover import Cover, read_classes, read_cover, read_reference_map
from landmap.maps.legend import read_legend
from landmap.maps.raster_legend import own_legend
from landmap.tiling import Window
from landmap_models.arrays import Ints
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN_ID

Reference = Points | Polygons | Raster
SAMPLED = 1000
"""Rows and columns to which a raster is thinned to see which ids it has."""


def compared(one: Cover, other: Cover) -> Common | None:
    """How the classes of two maps are merged; None where they are the same, or no crosswalk knows them."""
    if (one.ids, one.names) == (other.ids, other.names):
        return None
    first, second = identify(one.classes), identify(other.classes)
    return common(first, second) if first and second and first.title != second.title else None


def open_map(path: str | os.PathLike[str], legend: str | os.PathLike[str] | None) -> tuple[Cover, str]:
    """Open a map for a comparison.

    Args:
        path: A cover that landmap wrote, or another raster of class ids.
        legend: What the ids of a map that does not say it mean; see `landmap.maps.legend.read_legend`.

    Returns:
        The map, and by what its legend was recognised, as a warning; "" where it was not.

    Raises:
        SceneError: The raster can't be opened, or nothing says what its ids mean.
    """
    name = os.fspath(path)
    if legend is None and (found := recognise(name)):
        product, sign = found
        if sign:
            return dataclasses.replace(read_reference_map(name), legend=product.classes), _taken(name, product, sign)
    if legend is not None and os.fspath(legend) in PRODUCTS:
        with open_raster(name) as file:
            legend = None if own_legend(file) else legend
    return read_cover(name, legend), ""


def read_across(
    path: str | os.PathLike[str],
    cover: Cover,
    legend: str | os.PathLike[str] | None,
    *,
    class_column: str,
    layer: str | None,
    warp: bool,
) -> tuple[Cover, Reference, Common | None, list[str]]:
    """Read reference data for a map, and bring both to common classes where their legends differ.

    Args:
        path: The reference, as for `read_reference`.
        cover: The map that is compared with the reference.
        legend: The reference's legend, by name or file; None where it has the map's, or is recognised.
        class_column: Name of the column with class names or ids, of points and polygons.
        layer: Name of the layer; None where the file has one layer of points or polygons.
        warp: Whether the nearest pixels of a raster are taken if it has another geobox.

    Returns:
        Map and reference in common classes; how they were merged, None where the legends are the same; and warnings.

    Raises:
        ReferenceDataError: The file can't be read, its classes are neither the map's nor of a legend that is known, or
            the map's own classes are of none.
    """
    read = partial(read_reference, path, class_column=class_column, layer=layer, warp=warp)
    name = os.fspath(path)
    if legend is not None:
        named = _named(legend)
        return _merged(name, cover, named, read(_with(cover, named)), [])
    if Path(name).suffix.lower() in (*ENDINGS, *VECTORS):
        found, product = _table(read, cover)
        sign = f"column {class_column}"
    else:
        product, sign = recognise(name) or (None, "")
        own = identify(cover.classes)
        if own is None or (product is not None and own.title == product.title and not product.accuracy):
            product = None
        found = read(cover if product is None else _with(cover, product))
    if product is None:
        return cover, found, None, []
    return _merged(name, cover, product, found, [_taken(name, product, sign)] if sign else [])


def _merged(
    name: str, cover: Cover, product: Product, found: Reference, signs: list[str]
) -> tuple[Cover, Reference, Common | None, list[str]]:
    """Map and reference in common classes; see `read_across`."""
    own = identify(cover.classes)
    if own is None:
        raise ReferenceDataError(
            f"{cover.path}: expected classes of EuroSAT or of {', '.join(p.title for p in PRODUCTS.values())}, to "
            f"compare them with those of {product.title}. Found {', '.join(cover.names)}: leave --reference-legend out"
        )
    shared = common(own, product)
    warnings = [*signs, shared.text(), *_about(name, found, shared)]
    return cover.recoded(shared.classes, shared.of_one), _recoded(found, shared), shared, warnings


def recognise(path: str) -> tuple[Product, str] | None:
    """The product of which a raster is, by its names, its palette or its ids; None where these don't tell.

    Args:
        path: Name of the raster.

    Returns:
        The product, and by what it was recognised, "" for its own names.
    """
    try:
        with open_raster(path) as file:
            return _recognised(file, path)
    except (SceneError, ValueError):  # who opens it next says what is wrong
        return None


def _recognised(file: Any, path: str) -> tuple[Product, str] | None:
    if own := own_legend(file):
        product = identify(tuple(c for c in own if c.id != UNKNOWN_ID))
        return None if product is None else (product, "")
    if file.count != 1:
        return None
    palette: dict[int, tuple[int, ...]] = {}
    with suppress(ValueError):  # it has none
        palette = {i: color[:3] for i, color in file.colormap(1).items()}
    for product in PRODUCTS.values():
        if palette and all(palette.get(c.id) == c.rgb for c in product.classes):
            return product, "palette"
    shape = min(file.height, SAMPLED), min(file.width, SAMPLED)
    ids = set(np.unique(read_classes(file, path, Window(0, 0, file.height, file.width), shape)).tolist()) - {NODATA}
    # Ids of the others, 0 to 8 and 1 to 5, may be anybody's.
    worldcover = PRODUCTS["worldcover"]
    return (worldcover, "ids") if len(ids) > 1 and ids <= {c.id for c in worldcover.classes} else None


def _taken(name: str, product: Product, sign: str) -> str:
    return f"{Path(name).name} is taken to have the classes of {product.title}, by its {sign}"


def _named(legend: str | os.PathLike[str]) -> Product:
    """The legend of a name or file."""
    if os.fspath(legend) in PRODUCTS:
        return PRODUCTS[os.fspath(legend)]
    classes = tuple(c for c in read_legend(legend) if c.id != UNKNOWN_ID)
    if found := identify(classes):
        return found
    raise ReferenceDataError(
        f"{os.fspath(legend)}: expected classes of EuroSAT or of a product that --reference-legend can name "
        f"({', '.join(PRODUCTS)}). Found {', '.join(c.name for c in classes)}"
    )


def _eurosat() -> Product:
    found = identify(tuple(EUROSAT))
    assert found is not None
    return found


def _with(cover: Cover, product: Product) -> Cover:
    """The map as if it had the classes of a legend, so that a reference is read in these."""
    return dataclasses.replace(cover, legend=product.classes)


def _table(read: Callable[[Cover], Reference], cover: Cover) -> tuple[Reference, Product | None]:
    """Points or polygons with the map's classes, or else with those of the one product that has them all."""
    try:
        return read(cover), None
    except ReferenceDataError:
        found = []
        if identify(cover.classes) is not None:
            for product in (*PRODUCTS.values(), _eurosat()):
                with suppress(ReferenceDataError):
                    found.append((read(_with(cover, product)), product))
        if len(found) != 1:
            raise
    return found[0]


def _about(name: str, found: Reference, shared: Common) -> list[str]:
    """What such a reference is worth, and what of it the map can't have."""
    product, warnings = shared.other, []
    if product.accuracy and isinstance(found, Raster):
        warnings.append(
            f"{Path(name).name} is itself a map ({product.title}: {product.accuracy}): this is agreement with it, not "
            "accuracy"
        )
    elif product.accuracy:
        warnings.append(
            f"if the classes of {Path(name).name} were taken from {product.title} and not seen on the ground, this is "
            f"agreement with a map ({product.accuracy})"
        )
    if alone := [c.name for c, mine, _ in shared.rows() if not mine]:
        warnings.append(f"the map can't have {', '.join(alone)}: where the reference has it, the map counts as wrong")
    return warnings


def _recoded(found: Reference, shared: Common) -> Reference:
    if isinstance(found, Raster):
        known = dataclasses.replace(found.map, legend=shared.other.classes)
        return Raster(known.recoded(shared.classes, shared.of_other))
    if isinstance(found, Points):
        return dataclasses.replace(found, ids=_ids(found.ids, shared))
    frame = found.frame.assign(id=_ids(found.frame["id"].to_numpy(), shared))
    return dataclasses.replace(found, frame=frame)


def _ids(ids: Ints, shared: Common) -> Ints:
    return np.array([shared.of_other.get(int(i), NO_CLASS) for i in ids], np.int64)
