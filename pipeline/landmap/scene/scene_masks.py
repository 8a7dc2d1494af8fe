"""The masks that the settings ask for: a classification of clouds, a raster, an area of interest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from landmap.errors import ReadError, SceneError
from landmap.io.remote import name_of
from landmap.left_out import MASKED, percent_words
from landmap.products.product import Product
from landmap.scene.aoi import read_area
from landmap.scene.clouds import UNKNOWN_CLOUDS, Classification, Clouds, share_words
from landmap.scene.l1c_masks import are_flags, has_word
from landmap.scene.l1c_masks import find as find_l1c_mask
from landmap.scene.masks import Mask, MaskHeader, RasterMask, Rule, raster_on, read_mask_header
from landmap.scene.scl import find as find_scl
from landmap.scene.source import Source
from landmap.settings import MASKED_CLASSES, AreaSettings

NOT_THERE = re.compile(r"No such file|does not exist|HTTP response code: 404")
"""GDAL's messages on a file that a product lists and that was not downloaded."""
READERS: tuple[Callable[[str, Source, MaskHeader | None], Classification | None], ...] = (find_l1c_mask, find_scl)
"""Readers of the classification in a file, the most special first. Each gets the path, the scene on whose grid it is
read, and the header of a raster (None for a file of polygons), and returns None for a file of another kind."""
Own = Callable[[], Classification | None]
"""Reads the scene's own classification on the scene's grid; the result is None if it has none."""


def find_masks(
    scene: Source, own: Own, product: Product | None, settings: AreaSettings
) -> tuple[tuple[Mask, ...], Clouds]:
    """Find the masks that settings ask for, and what is known of clouds in the scene.

    Args:
        scene: Reads the scene's bands.
        own: Reads the scene's own classification.
        product: The product that the scene is; None for a raster.
        settings: `clouds`, `scl`, `mask_classes`, `mask`, `mask_values`, `invert_mask`, `aoi` and `aoi_layer` are
            used.

    Raises:
        SceneError: A file can't be read, or lies elsewhere; or the scene has no classification of its own.
    """
    by_class, clouds = _by_class(scene, own, product, settings)
    found = list(by_class)
    if settings.mask is not None:
        found.append(_by_raster(str(settings.mask), scene, settings))
    if settings.aoi is not None:
        found.append(read_area(str(settings.aoi), scene.geobox, scene.redacted_path, settings.aoi_layer))
    return tuple(found), clouds


def _by_class(
    scene: Source, own: Own, product: Product | None, settings: AreaSettings
) -> tuple[tuple[Mask, ...], Clouds]:
    """The mask of a classification that is asked for, or that the scene has."""
    file = settings.classification
    if file not in (None, "auto"):
        return _used(classification_file(str(file), scene), settings, "scl")
    try:
        found = own()
        if found is None:
            return (), _none(scene, product, settings)
        if settings.clouds == "none":
            return (), _unused(found, settings)
        if settings.clouds == "s2cloudless" and file is None:
            return (), Clouds("", found.name)  # `without_clouds` fills it in
        return _used(found, settings, "clouds")
    except SceneError as error:
        if file == "auto":
            raise
        if product and isinstance(error, ReadError) and NOT_THERE.search(str(error)):
            listed = ", ".join(dict.fromkeys(band.label for band in (*product.scl, *product.clouds)))
            return (), _unusable(f"{listed}, which the product lists, is not there", settings)
        if isinstance(error, ReadError) and settings.clouds != "none":  # another time it may be readable
            what = str(error).rstrip(".")
            raise ReadError(f"{what}. To map the scene without it, clouds and all: --clouds none") from error
        return (), _unusable(str(error).removeprefix(f"{scene.redacted_path}: "), settings)


def _unusable(why: str, settings: AreaSettings) -> Clouds:
    """What is known of clouds if the scene's classification can't be used."""
    asked = " (--clouds none)" if settings.clouds == "none" else ""
    warning = f"clouds are mapped as land{asked}, for the scene's own classification can't be used: {why}"
    return Clouds(f"not used{asked}: {why}", warnings=(warning,))


def _used(found: Classification, settings: AreaSettings, asked: str) -> tuple[tuple[Mask, ...], Clouds]:
    """The mask of a classification, and what is known of clouds by it."""
    names = settings.mask_classes or MASKED_CLASSES
    known = [name for name in names if name in found.knows]
    others = [name for name in names if name not in found.knows]
    missing = f"; {', '.join(others)} {'is' if len(others) == 1 else 'are'} not known to it" if others else ""
    shares, of_what = found.shares()
    warnings = [] if known else [f"{found.name} knows nothing of {', '.join(others)}: no pixel is left out by it"]
    what = f"{', '.join(known) or 'nothing'} {'is' if len(known) < 2 else 'are'} left out{missing}"
    clouds = Clouds(f"{_summary(found, shares, of_what)}; {what}", found.name, bool(known), shares, tuple(warnings))
    if not known:
        return (), clouds
    mask = found.mask(known, f"{', '.join(known)} by {found.name}")
    return (replace(mask, option=asked),), clouds


def _unused(found: Classification, settings: AreaSettings) -> Clouds:
    """What is known of clouds by a classification that is not used; without warning if another mask is given."""
    try:
        shares, of_what = found.shares()
    except SceneError as error:
        shares, of_what = {}, f"but {error}"
    summary = _summary(found, shares, of_what)
    warning = f"clouds are mapped as land (--clouds none), though the scene has a classification: {summary}"
    warnings = () if settings.mask is not None else (warning,)
    return Clouds(f"{summary}; not used (--clouds none)", found.name, False, shares, warnings)


def _summary(found: Classification, shares: dict[str, float], of_what: str) -> str:
    return f"{found.name} says {share_words(shares)} ({of_what})" if shares else f"{found.name}: {of_what}"


def _none(scene: Source, product: Product | None, settings: AreaSettings) -> Clouds:
    """What is known of a scene without classification.

    Raises:
        SceneError: One is asked for.
    """
    if settings.classification == "auto":
        raise SceneError(
            f"{scene.redacted_path}: expected a scene classification, as masks by class need one. Received: no product "
            "that has it (SCL, MSK_CLASSI or MSK_CLOUDS), and no band called SCL. Say where it is: --scl FILE, or "
            "--bands …,SCL=N; or use one only where there is one: --clouds auto"
        )
    if product is None:
        return UNKNOWN_CLOUDS
    if product.unread_clouds:
        return _unread(product.unread_clouds, settings)
    text = "not known: the product has no classification"
    if product.cloud_cover is None:
        return Clouds(text)
    share = percent_words(product.cloud_cover / 100)
    return Clouds(f"{text}; {share} of all of it by {product.origins.get('clouds', 'its metadata')}; none is left out")


def _unread(names: Sequence[str], settings: AreaSettings) -> Clouds:
    """What is known of clouds if the product has only cloud masks that landmap can't read."""
    text = (
        f"{', '.join(names)} tells of clouds in a form that is not read (SCL, MSK_CLASSI and MSK_CLOUDS are): make a "
        "raster of it that is 0 where there is cloud, and give it as --mask"
    )
    warnings = () if settings.mask is not None else (f"clouds are mapped as land: {text}",)
    return Clouds(f"not known: {text}", warnings=warnings)


def classification_file(path: str, scene: Source) -> Classification:
    """The classification in a file of its own, of a kind in `READERS`.

    Raises:
        SceneError: The file can't be read, lies elsewhere, or holds no classification.
    """
    header = None if path.lower().endswith(".gml") else read_mask_header(path)
    found = next((found for read in READERS if (found := read(path, scene, header))), None)
    assert found is not None  # find_scl takes or refuses all that is left
    return found


def _by_raster(path: str, scene: Source, settings: AreaSettings) -> Mask:
    """The mask of a raster: leaves out the values that are given, else 0, and no data in any case."""
    name, given = name_of(path), settings.mask_values
    by_default = given is None and not settings.invert_mask
    if by_default and (name.lower().endswith(".gml") or has_word(name, "CLASSI")):
        found = classification_file(path, scene)
        names = [known for known in MASKED_CLASSES if known in found.knows]
        mask = found.mask(names, f"{', '.join(names)} by {name}, as it is a product's own cloud mask")
        return replace(mask, option="scl")
    header = read_mask_header(path)
    values = tuple(float(value) for value in given) if given is not None else (0.0,)
    option = "mask inverted" if settings.invert_mask else "mask"
    if by_default and header.count == 3 and are_flags(path, scene):
        option = "mask of flags"
    listed = " or ".join(f"{value:g}" for value in values)
    is_blank = header.nodata is not None and header.nodata in values
    which = f" (band 1 of {header.count})" if header.count > 1 else ""
    text = f"{listed} or no data in {name}{which}"
    if settings.invert_mask:
        text = f"all but {listed}{'' if is_blank else ', and no data,'} in {name}{which} (--invert-mask)"
    return RasterMask(
        raster_on(path, scene, lambda _: (1,)),
        (Rule(0, values, MASKED, others=settings.invert_mask),),
        "" if settings.invert_mask and is_blank else MASKED,
        by_default=by_default,
        text=text,
        option=option,
    )
