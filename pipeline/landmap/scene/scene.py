"""A raster file or a product becomes a scene: where each band lies, what its numbers mean, and pixels on demand.

A `Scene` is a small picklable value. It holds no open file: each read opens what it needs, so that a scene can be sent
to any thread or process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain

import numpy as np

from landmap.io.remote import is_remote
from landmap.left_out import NO_DATA, Reasons, merge_reasons
from landmap.pixels import Pixels
from landmap.products import find_product
from landmap.products.files import _stamps, named_files
from landmap.products.nodata import alpha_doubt, constant_doubts, share_text
from landmap.products.product import Product
from landmap.radiometry.conversion import Evidence, Radiometry
from landmap.radiometry.resolve import decide, is_said
from landmap.scene.clouds import UNKNOWN_CLOUDS, Clouds
from landmap.scene.header import Said, SceneFile, read_scene_file
from landmap.scene.masks import Mask
from landmap.scene.nir import ONLY, NirInput, check_nir, resolve_nir
from landmap.scene.sample import look_beside, sample
from landmap.scene.scene_masks import find_masks
from landmap.scene.source import Source
from landmap.scene.stack import stack
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Bools
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.packaged import find_model

NOTICED = 0.05
"""Near infrared that misses in more of the sampled pixels than this is worth a warning."""


@dataclass(frozen=True, slots=True)
class Scene(Source):
    """A raster seen through the eyes of one model."""

    radiometry: Radiometry
    """How values become the model's input."""
    nir: NirInput | None = None
    """Near infrared for the model's prior; None where it is not used."""
    nir_text: str = ""
    """Whether and how near infrared is used, or why not, in words."""
    product: Product | None = None
    """What it was delivered as; None for a raster file."""
    masks: tuple[Mask, ...] = ()
    """What leaves pixels out of the map though there is data."""
    clouds: Clouds = UNKNOWN_CLOUDS
    """What is known of clouds in the scene, and whether it is used."""
    warp_says: str = ""
    """From which grid to which it is warped, or why it isn't, in words; "" where that was not asked for."""
    warnings: tuple[str, ...] = ()
    """What the user should know of it, besides what its radiometry warns of."""
    files: tuple[str, ...] = ()
    """Names of the files that its bands are read from, without folders."""

    def left_out(self, window: Window) -> bool:
        """Whether a mask is known to leave out all of a rectangle, without reading anything."""
        return any(mask.misses(window) for mask in self.masks)

    def is_empty(self, window: Window) -> bool:
        """Whether all of a rectangle is nodata and need not be read; see `Source.is_empty`.

        Raises:
            SceneError: The file can't be opened.
        """
        return self.left_out(window) or Source.is_empty(self, window)

    def read(self, window: Window) -> Pixels:
        """Read a rectangle.

        Args:
            window: Inside the scene.

        Returns:
            Reflectance at the model's level and which pixels are valid. A pixel is valid where every band of the model
            has data and no mask hides it; near infrared may be missing there.

        Raises:
            ReadError: The file can't be read there.
        """
        values, valid = self.read_values(window)
        told = [(mask, mask.why(window)) for mask in self.masks]
        why = self._merged([*told, (None, (~valid).astype(np.uint8))])
        inside: Bools = np.ones(window.shape, np.bool_)
        for mask, numbers in told:
            left_in = valid if mask.hides else inside
            left_in &= numbers == 0
        spectrum = None
        if self.nir is not None:
            nir, seen = self.nir.source.read_values(window)
            spectrum = self.nir.spectrum(values, nir[..., 0], seen)
        return Pixels(self.radiometry.to_model(values), valid, spectrum, inside if self.masks else None, why)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a pixel may get no class; of several the first counts."""
        areas, hiding = ([m.reasons for m in self.masks if m.hides is hides] for hides in (False, True))
        return tuple(dict.fromkeys([*chain(*areas), NO_DATA, *chain(*hiding)]))

    def why_unread(self, window: Window) -> Reasons:
        """Why the pixels of a rectangle that `is_empty` get no class, by number in `reasons`; nothing is read."""
        told: list[tuple[Mask | None, Reasons]] = [(m, m.why(window)) for m in self.masks if not m.hides]
        return self._merged([*told, (None, np.ones(window.shape, np.uint8))])

    def _merged(self, told: Sequence[tuple[Mask | None, Reasons]]) -> Reasons:
        """What each mask says of some pixels, and the scene itself (None), as one number by the order of `reasons`."""
        order = self.reasons
        found = np.zeros(told[0][1].shape, np.uint8)
        for mask, numbers in sorted(told, key=lambda pair: 1 if pair[0] is None else 2 * pair[0].hides):
            reasons = (NO_DATA,) if mask is None else mask.reasons
            found = merge_reasons(found, numbers, [order.index(reason) + 1 for reason in reasons])
        return found


def open_scene(
    path: str | os.PathLike[str], settings: Settings | None = None, *, card: ModelCard | None = None
) -> Scene:
    """Open a scene for a model: find its bands and decide its radiometry. Reads headers and a small sample.

    Clouds that `clouds` wants found (s2cloudless) are not looked for here, but by `make_plan`.

    Args:
        path: Anything that GDAL opens as one raster (file, URL or /vsi path), a SAFE product (folder or zip), a
            folder with a file for each band, or a STAC Item (file or URL).
        settings: `model`, `bands`, `use_nir`, `scale`, `offset`, `level`, and those of the area: `clouds` to
            `warp`.
        card: Of a classifier that is not a file; `settings.model` is then not used.

    Raises:
        SceneError: It can't be opened, holds several rasters or complex numbers, or contradicts itself.
        BandError: A band that the model needs is not found.
        SettingsError: `settings.bands` are given for a product.
    """
    path, settings = os.fspath(path), settings or Settings()
    card = card or read_card(find_model(settings.model))
    product = find_product(path)
    whole = stack(product, card, settings) if product else None
    file = read_scene_file(path, whole, card, settings)
    source, says = file.view.of(file.bands[0]), file.bands[1]
    masks, clouds = find_masks(source, file.own_clouds, whole.product if whole else None, settings)
    found = sample(source, [mask for mask in masks if mask.hides])
    evidence = Evidence(
        path=source.shown_path,
        dtype=source.dtype,
        band_names=card.band_names,
        **says,
        sample=found.values,
        blank=found.blank,
        complete=found.complete,
        band_indexes=() if whole else source.band_indexes,
    )
    radiometry = decide(evidence, card, settings)
    source = replace(source, nodata=replace(source.nodata, has_dark_zeros=radiometry.has_dark_zeros))
    scene = Scene(
        **{field.name: getattr(source, field.name) for field in fields(source)},
        radiometry=radiometry,
        product=whole.product if whole else None,
        masks=masks,
        clouds=clouds,
        warp_says=file.view.says,
        files=file.names,
        warnings=(*found.fills.says(), *constant_doubts(found.values, source.nodata), *_doubts_of_alpha(file, card)),
    )
    if isinstance(file.nir, str):
        return _without_nir(scene, file.nir, is_there=bool(whole and whole.without_nir))
    nir, says = file.nir
    return _with_nir(scene, (file.view.of(nir), says), evidence, card, settings)


def _doubts_of_alpha(file: SceneFile, card: ModelCard) -> list[str]:
    """Why a band that is taken as alpha may be none, in words."""
    bands, doubts = file.bands[0], []
    for alpha in file.alphas:
        number = alpha.band_indexes[0]
        named = zip((*card.band_names, NIR_BAND), (*bands.band_indexes, number), strict=True)
        hint = f"--bands {','.join(f'{name}={index}' for name, index in named)}"
        if NIR_BAND not in card.optional_bands:
            hint = f"take its colour away (gdal_edit.py -colorinterp_{number} undefined {bands.shown_path})"
        found = sample(file.view.of(alpha, nearest=True))
        doubts.append(alpha_doubt(number, found.values, found.blank, hint))
    return [doubt for doubt in doubts if doubt]


def _with_nir(scene: Scene, beside: Said, evidence: Evidence, card: ModelCard, settings: Settings) -> Scene:
    """The scene with near infrared where that is understood, else with the reason."""
    source, says = beside
    own = replace(evidence, band_names=(NIR_BAND,), **says)
    nir = resolve_nir(source, own, scene.radiometry, card, settings)
    if isinstance(nir, str):
        return _without_nir(scene, nir, is_there=True)
    found = sample(source, [mask for mask in scene.masks if mask.hides])
    doubt = check_nir(nir, found)
    if doubt and not (is_said(own) and len(found.values)):
        return _without_nir(scene, f"{doubt}: {ONLY}", is_there=True)
    told = (f"{NIR_BAND} is {doubt}, and used as its metadata say: leave it out with --no-nir",) if doubt else ()
    doubts = (*told, *_missing_nir(scene, source))
    says_so = f"used as NIR prior ({_where(scene, source)})"
    return replace(scene, nir=nir, nir_text=says_so, warnings=(*scene.warnings, *doubts))


def _missing_nir(scene: Scene, source: Source) -> tuple[str, ...]:
    """What of the scene is mapped without near infrared, in words, where that is much of it."""
    share, value = look_beside(scene, source, [mask for mask in scene.masks if mask.hides])
    if share < NOTICED:
        return ()
    stands = f" (it is {value} there)" if value else ""
    return (
        f"{NIR_BAND} has no data{stands} in {share_text(share)} of the pixels that were looked at and that the other "
        "bands show: these are mapped by true colour only",
    )


def _without_nir(scene: Scene, why: str, *, is_there: bool) -> Scene:
    """The scene without near infrared, which is a warning where the scene has it."""
    warnings = (f"{NIR_BAND} is not used: {why}",) if is_there else ()
    return replace(scene, nir_text=why, warnings=(*scene.warnings, *warnings))


def _where(scene: Scene, source: Source) -> str:
    index = source.band_indexes[0]
    return scene.product.bands[index - 1].label if scene.product else f"band {index}"


def files_read(scene: Scene) -> dict[str, list[int]]:
    """Local files that a scene and its masks are read from, by absolute path: bytes, time of the last change in ns."""
    own = [scene.path] if scene.product is None else scene.product.local_files()
    names = [*own, *(name for mask in scene.masks for name in mask.files)]
    return _stamps(named_files([name for name in names if not is_remote(name)]))
