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

from landmap.attempts import look_surely
from landmap.bands import FileBand, find_bands, given_bands, parse_bands
from landmap.chips import Pixels
from landmap.decisions import decide
from landmap.errors import BandError, SceneError
from landmap.grid import Window
from landmap.infrared import Infrared, doubt_infrared, find_infrared, understand_infrared
from landmap.product import Product
from landmap.radiometry import Evidence, Radiometry, Stated
from landmap.recognise import find_product
from landmap.remote import shown
from landmap.settings import Settings
from landmap.source import Source, is_masked, sample
from landmap.stack import Stack, stack
from landmap_models.card import NIR_BAND, ModelCard
from landmap_models.model_file import read_card
from landmap_models.packaged import find_model


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

    def read(self, window: Window) -> Pixels:
        """Read a rectangle.

        Args:
            window: Inside the scene.

        Returns:
            Reflectance at the model's level and which pixels are valid. A pixel is valid where every band of the model
            has data; near infrared may be missing there.

        Raises:
            ReadError: The file can't be read there.
        """
        values, valid = self.read_values(window)
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
        settings: `model`, `bands`, `use_nir`, `scale`, `offset` and `level` are used.
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
    opens = whole.vrt if whole else path
    source, says, nir = look_surely(opens, lambda file: _look_at(file, path, card, settings, whole), path)
    evidence = Evidence(
        path=source.shown_path, dtype=source.dtype, band_names=card.band_names, **says, **sample(source)
    )
    located = {field.name: getattr(source, field.name) for field in fields(source)}
    radiometry = decide(evidence, card, settings)
    scene = Scene(**located, radiometry=radiometry, product=whole.product if whole else None)
    if isinstance(nir, str):
        return replace(scene, infrared_says=nir)
    return _with_infrared(scene, nir, evidence, card, settings)


Said = tuple[Source, dict[str, Any]]
"""Where bands lie, and what the file says of them, and the product that it stands for."""


def _look_at(
    file: Any, path: str, card: ModelCard, settings: Settings, whole: Stack | None
) -> tuple[Source, dict[str, Any], Said | str]:
    """The model's bands, what is said of them, and the same of B08, or why it is not used."""
    name = shown(path)
    _check_kind(file, name)
    bands = _file_bands(file)
    found = _choose_bands(bands, card, settings, name)
    indexes = tuple(found[band] for band in card.band_names)
    _check_one_dtype(file, indexes, name)
    nir = (whole and whole.without_nir) or find_infrared(bands, found.get(NIR_BAND), card, settings)
    beside = nir if isinstance(nir, str) else _said(file, bands, (NIR_BAND,), (nir,), path, whole)
    return (*_said(file, bands, card.band_names, indexes, path, whole), beside)


def _with_infrared(scene: Scene, beside: Said, evidence: Evidence, card: ModelCard, settings: Settings) -> Scene:
    """The scene with near infrared where that is understood, else with the reason."""
    source, says = beside
    own = replace(evidence, band_names=(NIR_BAND,), **says)
    infrared = understand_infrared(source, own, scene.radiometry, card, settings)
    if isinstance(infrared, str):
        return replace(scene, infrared_says=infrared)
    if doubt := doubt_infrared(infrared, sample(source)["sample"]):
        return replace(scene, infrared_says=doubt)
    return replace(scene, infrared=infrared, infrared_says=f"used as NIR prior ({_where(scene, source)})")


def _said(
    file: Any,
    bands: tuple[FileBand, ...],
    names: tuple[str, ...],
    indexes: tuple[int, ...],
    path: str,
    whole: Stack | None,
) -> Said:
    """Some bands of a file, and what is said of them by it and by the product that it stands for."""
    says = _what_the_file_says(file, bands, indexes) | {"stated": whole.stated(indexes) if whole else Stated()}
    return _source(file, path, whole.vrt if whole else path, names, indexes), says


def _where(scene: Scene, source: Source) -> str:
    index = source.band_indexes[0]
    return scene.product.bands[index - 1].label if scene.product else f"band {index}"


def _source(file: Any, path: str, opens: str, names: tuple[str, ...], indexes: tuple[int, ...]) -> Source:
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
        masked=is_masked(file, indexes),
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
        found = given_bands(parse_bands(settings.bands, card.band_names, card.optional_bands), len(bands), path)
    elif len(palettes) == len(bands):
        raise refused
    else:
        found = find_bands(bands, card.band_names, path)
    if palettes & set(found.values()):  # numbers of colours are no reflectance, whatever band the user says they are
        raise refused
    return found


def _what_the_file_says(file: Any, bands: tuple[FileBand, ...], indexes: tuple[int, ...]) -> dict[str, Any]:
    def capitals(tags: Mapping[str, str]) -> dict[str, str]:
        return {key.upper(): value for key, value in tags.items()}

    return {
        "scales": tuple(file.scales[i - 1] for i in indexes),
        "offsets": tuple(file.offsets[i - 1] for i in indexes),
        "tags": capitals(file.tags()),
        "band_tags": tuple(capitals(file.tags(i)) for i in indexes),
        "has_scl": any("SCL" in re.split(r"[^0-9A-Z]+", band.description.upper()) for band in bands),
    }
