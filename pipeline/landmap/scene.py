"""A raster file or a product becomes a scene: where each band lies, what its numbers mean, and pixels on demand.

A `Scene` is a small picklable value. It holds no open file: each read opens the file anew, so that a scene can be sent
to any thread or process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from rasterio.enums import MaskFlags

from landmap.bands import FileBand, find_bands, given_bands, parse_bands
from landmap.chips import Pixels
from landmap.decisions import decide
from landmap.errors import BandError, SceneError
from landmap.grid import Window
from landmap.infrared import Infrared, doubt_infrared, find_infrared, understand_infrared
from landmap.masks import Mask, find_masks
from landmap.product import SCL, Product
from landmap.radiometry import Evidence, Radiometry, Stated
from landmap.recognise import find_product
from landmap.settings import Settings
from landmap.source import Source, opened, sample
from landmap.stack import Stack, classification, stack
from landmap.view import View, find_view
from landmap_models.card import NIR_BAND, ModelCard
from landmap_models.model_file import read_card
from landmap_models.packaged import find_model

Said = dict[str, Any]
"""What a file says of some bands: fields of `Evidence`."""


@dataclass(frozen=True, slots=True)
class Scene(Source):
    """A raster seen through the eyes of one model."""

    radiometry: Radiometry
    """How values become the model's input."""
    infrared: Infrared | None = None
    """Near infrared for the model's prior; None where it is not used."""
    infrared_says: str = ""
    """Whether and how near infrared is used, or why not, in words."""
    product: Product | None = None
    """What it was delivered as; None for a raster file."""
    masks: tuple[Mask, ...] = ()
    """What leaves pixels out though there is data; they are not valid."""
    warp_says: str = ""
    """From which grid to which it is warped, or why it isn't, in words; "" where that was not asked for."""

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
            has data and no mask leaves it out; near infrared may be missing there.

        Raises:
            SceneError: The file can't be read there.
        """
        values, valid = self.read_values(window)
        for mask in self.masks:
            valid &= mask.usable(window)
        spectrum = None
        if self.infrared is not None:
            nir, seen = self.infrared.source.read_values(window)
            spectrum = self.infrared.spectrum(values, nir[..., 0], seen)
        return Pixels(self.radiometry.to_model(values), valid, spectrum)


def open_scene(
    path: str | os.PathLike[str], settings: Settings | None = None, *, card: ModelCard | None = None
) -> Scene:
    """Open a scene for a model: find its bands and decide its radiometry. Reads headers and a small sample.

    Args:
        path: Anything that GDAL opens as one raster (file, URL or /vsi path), a SAFE product (folder or zip), a
            folder with a file for each band, or a STAC Item (file or URL).
        settings: `model`, `bands`, `use_nir`, `scale`, `offset`, `level`, and those of the area: `scl` to `warp`.
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
    look = _look(path, whole, card, settings)
    source, nir = look.view.of(look.bands), look.infrared
    evidence = Evidence(path=path, dtype=source.dtype, band_names=card.band_names, **look.says, **sample(source))
    scene = Scene(
        **{field.name: getattr(source, field.name) for field in fields(source)},
        radiometry=decide(evidence, card, settings),
        product=whole.product if whole else None,
        masks=find_masks(source, lambda: _own_classes(look, whole), settings),
        warp_says=look.view.says,
    )
    if isinstance(nir, str):
        return replace(scene, infrared_says=nir)
    return _with_infrared(scene, (look.view.of(nir[0]), nir[1]), evidence, card, settings)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the header of a scene's file says."""

    bands: Source
    """The model's, on the file's own grid."""
    says: Said
    """Of these."""
    infrared: tuple[Source, Said] | str
    """B08 and what is said of it, or why it is not used."""
    classes: Source | None
    """A band with the scene classification; None where the file has none."""
    view: View
    """How the file is looked at."""


def _look(path: str, whole: Stack | None, card: ModelCard, settings: Settings) -> _Look:
    with opened(whole.vrt if whole else path, path) as file:
        _check_kind(file, path)
        bands = _file_bands(file)
        found = _choose_bands(bands, card, settings, path)
        indexes, scl = tuple(found[name] for name in card.band_names), _find_scl(bands, found)
        _check_one_dtype(file, indexes, path)
        source, says = _look_at(file, card.band_names, indexes, path, whole)
        nir = (whole and whole.without_nir) or find_infrared(bands, found.get(NIR_BAND), card, settings)
        return _Look(
            bands=source,
            says=says | {"has_scl": scl is not None},
            infrared=nir if isinstance(nir, str) else _look_at(file, (NIR_BAND,), (nir,), path, whole),
            classes=_source(file, path, path, (SCL,), (scl,)) if scl else None,
            view=find_view(file, path, card, settings),
        )


def _own_classes(look: _Look, whole: Stack | None) -> Source | None:
    """The scene's own classification, as the scene is looked at."""
    found = classification(look.bands, whole.product) if whole else look.classes
    return look.view.of(found, nearest=True) if found else None


def _find_scl(bands: tuple[FileBand, ...], found: Mapping[str, int]) -> int | None:
    """Number of the band with the scene classification, from 1, as the user gave it, or by its description."""
    named = (band.index for band in bands if SCL in re.split(r"[^0-9A-Z]+", band.description.upper()))
    return found.get(SCL) or next(named, None)


def _with_infrared(
    scene: Scene, beside: tuple[Source, Said], evidence: Evidence, card: ModelCard, settings: Settings
) -> Scene:
    """The scene with near infrared where that is understood, else with the reason."""
    source, says = beside
    own = replace(evidence, band_names=(NIR_BAND,), **says)
    infrared = understand_infrared(source, own, scene.radiometry, card, settings)
    if isinstance(infrared, str):
        return replace(scene, infrared_says=infrared)
    if doubt := doubt_infrared(infrared, sample(source)["sample"]):
        return replace(scene, infrared_says=doubt)
    return replace(scene, infrared=infrared, infrared_says=f"used as NIR prior ({_where(scene, source)})")


def _look_at(
    file: Any, names: tuple[str, ...], indexes: tuple[int, ...], path: str, whole: Stack | None
) -> tuple[Source, Said]:
    """Some bands of a file, and what is said of them by it and by the product that it stands for."""
    says = _what_the_file_says(file, indexes) | {"stated": whole.stated(indexes) if whole else Stated()}
    return _source(file, path, whole.vrt if whole else path, names, indexes), says


def _where(scene: Scene, source: Source) -> str:
    index = source.band_indexes[0]
    return scene.product.bands[index - 1].label if scene.product else f"band {index}"


def _source(file: Any, path: str, opens: str, names: tuple[str, ...], indexes: tuple[int, ...]) -> Source:
    masked = any(MaskFlags.all_valid not in file.mask_flag_enums[i - 1] for i in indexes)
    return Source(
        path=path,
        opens=opens,
        height=file.height,
        width=file.width,
        transform=file.transform,
        crs=file.crs.to_wkt() if file.crs else None,
        band_names=names,
        band_indexes=indexes,
        block_shape=file.block_shapes[indexes[0] - 1],
        dtype=file.dtypes[indexes[0] - 1],
        masked=masked,
    )


def _check_kind(file: Any, path: str) -> None:
    if not file.count:
        inside = ", ".join(file.subdatasets[:4]) or "nothing that GDAL reads"
        raise SceneError(f"{path}: expected one raster. It holds several: {inside}. Give one of them")
    if any(dtype.startswith("complex") for dtype in file.dtypes):
        raise SceneError(f"{path}: expected optical bands. Received complex numbers ({file.dtypes[0]}), as of radar")


def _check_one_dtype(file: Any, indexes: tuple[int, ...], path: str) -> None:
    dtypes = [file.dtypes[i - 1] for i in indexes]
    if len(set(dtypes)) > 1:
        raise SceneError(
            f"{path}: expected the same data type in every band. Received: {', '.join(dtypes)}. "
            "Convert it (gdal_translate -ot)"
        )


def _file_bands(file: Any) -> tuple[FileBand, ...]:
    return tuple(
        FileBand(i, file.descriptions[i - 1] or "", file.colorinterp[i - 1].name, tuple(file.tags(i).items()))
        for i in file.indexes
    )


def _choose_bands(bands: tuple[FileBand, ...], card: ModelCard, settings: Settings, path: str) -> dict[str, int]:
    """Numbers in the file, from 1, of the model's bands, and of its optional ones if the user gave them."""
    refused = BandError(f"{path}: expected reflectance. Received a palette of colours: already a map, or a picture")
    palettes = {band.index for band in bands if band.color == "palette"}
    if settings.bands is not None:
        found = given_bands(parse_bands(settings.bands, card.band_names, card.optional_bands, (SCL,)), len(bands), path)
    elif len(palettes) == len(bands):
        raise refused
    else:
        found = find_bands(bands, card.band_names, path)
    if palettes & {
        index for name, index in found.items() if name != SCL
    }:  # numbers of colours are no reflectance, whatever band the user says they are
        raise refused
    return found


def _what_the_file_says(file: Any, indexes: tuple[int, ...]) -> Said:
    def capitals(tags: Mapping[str, str]) -> dict[str, str]:
        return {key.upper(): value for key, value in tags.items()}

    return {
        "scales": tuple(file.scales[i - 1] for i in indexes),
        "offsets": tuple(file.offsets[i - 1] for i in indexes),
        "tags": capitals(file.tags()),
        "band_tags": tuple(capitals(file.tags(i)) for i in indexes),
    }
