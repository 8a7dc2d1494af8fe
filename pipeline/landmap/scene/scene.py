"""A scene: a raster or product opened for a model, which reads reflectance by windows.

A `Scene` is a small picklable value. It holds no open file: each read opens what it needs, so that a scene can be sent
to any thread or process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np

from landmap.geo.geobox import GeoBox
from landmap.io.reading import keeping_open, sharing_files
from landmap.io.remote import is_remote
from landmap.left_out import NO_DATA, Reasons, merge_reasons
from landmap.pixels import Pixels
from landmap.products.files import _stamps, named_files
from landmap.products.nodata import alpha_warning, constant_warnings
from landmap.products.product import Product
from landmap.radiometry.conversion import Evidence, Radiometry
from landmap.radiometry.resolve import decide
from landmap.scene.arrays import ArrayData, array_header
from landmap.scene.clouds import UNKNOWN_CLOUDS, Clouds
from landmap.scene.further_bands import FurtherBands, FurtherUse, decide_further_bands
from landmap.scene.header import SceneHeader, read_header
from landmap.scene.masks import Mask
from landmap.scene.nir import NirInput, NirUse, decide_nir, nir_not_used
from landmap.scene.sample import PlaceMemory, sample
from landmap.scene.scene_masks import find_masks
from landmap.scene.source import Source
from landmap.scene.to_xarray import scene_array
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Bools
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.packaged import find_model

if TYPE_CHECKING:
    from xarray import DataArray


@dataclass(frozen=True, slots=True)
class Scene:
    """A raster or product, opened for one model: which bands, what their numbers mean, what is masked."""

    source: Source
    """What reads the model's bands."""
    radiometry: Radiometry
    """How values become reflectance at the model's level."""
    nir: NirInput | None = None
    """Near infrared for the model's prior; None where it is not used."""
    nir_text: str = ""
    """Whether and how near infrared is used, or why not."""
    further: FurtherBands | None = None
    """Further bands for the model's pixel network; None where there are none, or none are used."""
    further_text: str = ""
    """Which further bands are used, or why not; empty where the model asks for none."""
    product: Product | None = None
    """The product that the scene is; None for a raster."""
    masks: tuple[Mask, ...] = ()
    """What leaves pixels out of the map though there is data."""
    clouds: Clouds = UNKNOWN_CLOUDS
    """What is known of clouds in the scene, and whether it is used."""
    warp_text: str = ""
    """From which grid to which it is warped, or why not; empty where that was not asked for."""
    warnings: tuple[str, ...] = ()
    """What the user should know of it, besides the warnings of its radiometry."""
    files: tuple[str, ...] = ()
    """Names, without folders, of the files that hold its bands."""

    @property
    def geobox(self) -> GeoBox:
        """Where its pixels lie, warped and cut out as the settings ask for."""
        return self.source.geobox

    def left_out(self, window: Window) -> bool:
        """Whether a mask is known to leave out all of a window without reading."""
        return any(mask.excludes(window) for mask in self.masks)

    def is_empty(self, window: Window) -> bool:
        """Whether a window is known to hold nothing that is mapped, so that it need not be read; see `Source.is_empty`.

        Raises:
            SceneError: The file can't be opened.
        """
        return self.left_out(window) or self.source.is_empty(window)

    def read(self, window: Window) -> Pixels:
        """Read a window.

        Args:
            window: A rectangle inside the scene.

        Returns:
            Reflectance at the model's level and valid pixels. A pixel is valid if every band of the model has data and
            no mask of clouds leaves it out; near infrared may be missing there.

        Raises:
            ReadError: The file can't be read there.
        """
        values, valid = self.source.read(window)
        numbers_by_mask = [(mask, mask.reason_numbers(window)) for mask in self.masks]
        why = self._merged([*numbers_by_mask, (None, (~valid).astype(np.uint8))])
        inside: Bools = np.ones(window.shape, np.bool_)
        for mask, numbers in numbers_by_mask:
            wanted = valid if mask.masks_input else inside
            wanted &= numbers == 0
        spectrum = None
        if self.nir is not None:
            nir, valid_nir = self.nir.source.read(window)
            spectrum = self.nir.spectrum(values, nir[..., 0], valid_nir)
        further = None if self.further is None else self.further.read(window)
        left_in = inside if self.masks else None
        return Pixels(self.radiometry.to_model(values), valid, spectrum, left_in, why, further)

    def to_xarray(self, chunks: int | Mapping[str, int] | Literal["auto"] | None = None) -> DataArray:
        """The model's bands as a lazy `xarray.DataArray` `(band, y, x)`: reflectance at the model's level, float32.

        NaN where a pixel has no data or a mask leaves it out. CRS and transform are in `.rio`. Windows are read as they
        are used.

        Args:
            chunks: Pixels along the sides of the chunks of a Dask array, as `DataArray.chunk` takes them; None: no
                Dask.
        """
        return scene_array(self, self.source.band_names, chunks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a pixel may get no class; of several reasons the first counts."""
        areas, clouds = ([m.reasons for m in self.masks if m.masks_input is wanted] for wanted in (False, True))
        return tuple(dict.fromkeys([*chain(*areas), NO_DATA, *chain(*clouds)]))

    def why_unread(self, window: Window) -> Reasons:
        """For a window that `is_empty`, the number in `reasons` of each pixel, `(height, width)`, without reading."""
        numbers_by_mask: list[tuple[Mask | None, Reasons]] = [
            (m, m.reason_numbers(window)) for m in self.masks if not m.masks_input
        ]
        return self._merged([*numbers_by_mask, (None, np.ones(window.shape, np.uint8))])

    def _merged(self, numbers_by_mask: Sequence[tuple[Mask | None, Reasons]]) -> Reasons:
        """Merge the reason numbers of each mask, and of the scene itself (None), into numbers of `reasons`."""
        order = self.reasons
        found = np.zeros(numbers_by_mask[0][1].shape, np.uint8)
        for mask, numbers in sorted(
            numbers_by_mask, key=lambda pair: 1 if pair[0] is None else 2 * pair[0].masks_input
        ):
            reasons = (NO_DATA,) if mask is None else mask.reasons
            found = merge_reasons(found, numbers, [order.index(reason) + 1 for reason in reasons])
        return found


def open_scene(
    path: str | os.PathLike[str] | ArrayData, settings: Settings | None = None, *, card: ModelCard | None = None
) -> Scene:
    """Open a scene for a model: find its bands and masks, resolve its radiometry.

    Only headers and a small sample of pixels are read.

    Clouds are not detected here (`clouds="s2cloudless"`), but by `make_plan`.

    Args:
        path: Anything that GDAL opens as one raster (file, URL or /vsi path), a SAFE product (folder or zip), a
            folder with a file for each band, or a STAC Item (file or URL); or bands in arrays, inside `reading`.
        settings: `model`, `bands`, `use_nir`, `scale`, `offset`, `level`, and those of the area: `clouds` to
            `warp`.
        card: Card of a classifier that is not a file; None for that of `settings.model`.

    Raises:
        SceneError: It can't be opened, holds several rasters or complex numbers, or contradicts itself.
        BandError: A band that the model needs is not found.
        SettingsError: `settings.bands` are given for a product.
    """
    settings = settings or Settings()
    card = card or read_card(find_model(settings.model))
    if isinstance(path, ArrayData):
        return scene_of_header(array_header(path, card, settings), card, settings)
    with sharing_files(), keeping_open():
        return scene_of_header(read_header(os.fspath(path), card, settings), card, settings)


def scene_of_header(header: SceneHeader, card: ModelCard, settings: Settings) -> Scene:
    """Find the masks of a scene and resolve its radiometry, by its header and a small sample of pixels.

    Args:
        header: What is known of the scene before pixels are read.
        card: Card of the model.
        settings: As in `open_scene`.

    Raises:
        SceneError: The scene can't be read, or contradicts itself.
    """
    source = header.bands.source
    masks, clouds = find_masks(source, header.own_clouds, header.product, settings)
    input_masks = [mask for mask in masks if mask.masks_input]
    memory = PlaceMemory()
    found = sample(source, input_masks, memory)
    evidence = replace(header.bands.evidence, sample=found.values, zero_share=found.zero_share, complete=found.complete)
    radiometry = decide(evidence, card, settings)
    source = memory.with_nodata(source, replace(source.nodata, has_dark_zeros=radiometry.has_dark_zeros))
    nir = _nir(header, (source, radiometry), evidence, input_masks, memory, card, settings)
    further = FurtherUse()
    if header.further is not None:
        together, *alone = (
            (found.source, replace(found.evidence, dtype=evidence.dtype))
            for found in (header.further, *header.further_alone)
        )
        scene = source, radiometry
        further = decide_further_bands(together, alone, scene, input_masks, memory, card, settings)
    warnings = [
        *found.fills.warnings(),
        *constant_warnings(found.values, source.nodata),
        *_alpha_warnings(header, card),
    ]
    return Scene(
        source=source,
        radiometry=radiometry,
        nir=nir.input,
        nir_text=nir.text,
        further=further.bands,
        further_text=further.text,
        product=header.product,
        masks=masks,
        clouds=clouds,
        warp_text=header.warp_text,
        files=header.files,
        warnings=(*warnings, *nir.warnings, *further.warnings),
    )


def _nir(
    header: SceneHeader,
    scene: tuple[Source, Radiometry],
    evidence: Evidence,
    masks: Sequence[Mask],
    memory: PlaceMemory,
    card: ModelCard,
    settings: Settings,
) -> NirUse:
    """Decide whether the scene's near infrared is used."""
    if isinstance(header.nir, str):
        return nir_not_used(header.nir) if header.nir_left_out else NirUse(None, header.nir)
    own, index = header.nir, header.nir.source.band_indexes[0]
    known = replace(
        own.evidence,
        dtype=evidence.dtype,
        has_scl=evidence.has_scl,
        sample=evidence.sample,
        zero_share=evidence.zero_share,
        complete=evidence.complete,
        band_indexes=evidence.band_indexes,
    )
    label = header.product.bands[index - 1].label if header.product else f"band {index}"
    return decide_nir(own.source, known, scene, masks, memory, label, card, settings)


def _alpha_warnings(header: SceneHeader, card: ModelCard) -> list[str]:
    """Warnings of bands that are taken as alpha and may be none."""
    bands, warnings = header.bands.source, []
    for alpha in header.alphas:
        number = alpha.band_indexes[0]
        named = zip((*card.band_names, NIR_BAND), (*bands.band_indexes, number), strict=True)
        hint = f"--bands {','.join(f'{name}={index}' for name, index in named)}"
        if NIR_BAND not in card.optional_bands:
            hint = f"take its colour away (gdal_edit.py -colorinterp_{number} undefined {bands.redacted_path})"
        found = sample(alpha)
        warnings.append(alpha_warning(number, found.values, found.zero_share, hint))
    return [text for text in warnings if text]


def files_read(scene: Scene) -> dict[str, list[int]]:
    """Size in bytes and time of the last change in ns of the local files of a scene and its masks, by absolute path."""
    own = [scene.source.path] if scene.product is None else scene.product.local_files()
    names = [*own, *(name for mask in scene.masks for name in mask.files)]
    return _stamps(named_files([name for name in names if not is_remote(name)]))
