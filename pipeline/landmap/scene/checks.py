"""Checks that a scene has a place on the ground, and pixels of about the model's size."""

from __future__ import annotations

import math

from landmap.errors import GeoreferenceError
from landmap.geo.geobox import ground_pixel_sides, ground_pixel_size, has_model_pixels, misplaced, sides_text
from landmap.scene.scene import Scene
from landmap.scene.warp import can_be_warped, is_too_coarse
from landmap_models.model_file.card import ModelCard

SIZES = 0.499, 1.501
"""Smallest and largest side of a pixel on the ground, in pixel sizes of the model, that are accepted: half to one and a
half, with 0.1 % tolerance, as a metre of UTM is 1.0004 m in the middle of a zone."""


def check_georeference(scene: Scene, card: ModelCard, *, force: bool) -> list[str]:
    """Refuse a scene that can't be placed on the ground, or whose pixels are not the model's.

    Args:
        scene: The scene that is classified.
        card: Card of the model.
        force: Whether to warn instead of raising an error.

    Returns:
        Warnings.

    Raises:
        GeoreferenceError: The scene has no place, or other pixels than the model's.
    """
    found = misplaced(scene.geobox)
    if not found:
        found = _wrong_size(scene, card)
    if found and not force:
        raise GeoreferenceError(f"{scene.source.redacted_path}: {found[0]}, or go on with --force")
    return found or _interpolated(scene, card) or _ground_warning(scene, card)


def _wrong_size(scene: Scene, card: ModelCard) -> list[str]:
    sides = ground_pixel_sides(scene.geobox)
    worst = max(sides, key=lambda side: abs(math.log(side / card.resolution)))
    ratio = worst / card.resolution
    if SIZES[0] <= ratio <= SIZES[1]:
        return []
    return [
        f"its pixels are {sides_text(sides)} m, {_times(ratio)} those the model was trained on "
        f"({card.resolution:g} m); a class would mean something else. {_better_pixels(scene, card)}"
    ]


def _better_pixels(scene: Scene, card: ModelCard) -> str:
    """Advise on a scene with other pixels than the model's."""
    absent = [file for name in scene.source.band_names if scene.product for file in scene.product.absent_of(name)[:1]]
    if absent:
        names = ", ".join(file.rsplit("/", 1)[-1] for file in absent)
        return f"Its metadata list finer files that are not there ({names}): get the complete product"
    if is_too_coarse(scene.geobox, card.resolution):  # finer pixels would hold nothing finer
        return "Take a scene of finer pixels"
    if not can_be_warped(scene.geobox):
        return "Warp it to a projection that suits, with pixels of the model's size (gdalwarp -t_srs … -tr …)"
    return "Resample it (--warp auto)"


def _interpolated(scene: Scene, card: ModelCard) -> list[str]:
    if scene.source.warp is None or max(scene.source.warp.pixel_sides) <= SIZES[1] * card.resolution:
        return []
    sides = sides_text(scene.source.warp.pixel_sides)
    return [
        f"its pixels of {sides} m are interpolated to the model's {card.resolution:g} m: "
        "what is smaller than them stays unseen"
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio > 1 else f"1/{1 / ratio:.3g} of"


def _ground_warning(scene: Scene, card: ModelCard) -> list[str]:
    """Warn if pixels on the ground are not of the model's size, as in Web Mercator, or not square, as in degrees."""
    if has_model_pixels(scene.geobox, card.resolution):
        return []
    sides = ground_pixel_sides(scene.geobox)
    ratio = ground_pixel_size(scene.geobox) / card.resolution
    better = (
        "warp the scene to UTM (--warp auto) for a better map" if can_be_warped(scene.geobox) else "expect a worse map"
    )
    return [
        f"a pixel is {sides[0]:.3g} x {sides[1]:.3g} m on the ground, by its area {_times(ratio)} the model's "
        f"{card.resolution:g} m: {better}"
    ]
