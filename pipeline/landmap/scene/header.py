"""What is known of a scene before pixels are read: which band is which, what is stated of it, which part is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np

from landmap.errors import BandError, SceneError
from landmap.io.reading import read_until_stable
from landmap.io.remote import name_of, redacted
from landmap.products import find_product
from landmap.products.bands import FileBand, file_bands, find_bands, given_bands, parse_bands
from landmap.products.landsat_names import check_no_landsat
from landmap.products.product import CLASSI, CLOUDS, SCL, Product, names_classification
from landmap.products.scene_names import check_one_scene
from landmap.radiometry.conversion import Evidence, Stated
from landmap.scene.clouds import Classification
from landmap.scene.further_bands import find_further_bands, further_names
from landmap.scene.masks import layer_on
from landmap.scene.nir import find_nir_band
from landmap.scene.raster_source import RasterSource, raster_source
from landmap.scene.scene_masks import classification_file
from landmap.scene.scl import Scl
from landmap.scene.source import Source
from landmap.scene.stack import Stack, classification, finest, stack
from landmap.scene.subset import Subset, find_subset
from landmap.settings import ReadingSettings, Settings
from landmap_models.model_file.card import NIR_BAND, ModelCard


@dataclass(frozen=True, slots=True)
class DescribedBands:
    """Some bands, and what is known of their numbers before any pixel is read."""

    source: Source
    """What reads them."""
    evidence: Evidence
    """What the file and its product state of their values; without a sample."""


@dataclass(frozen=True, slots=True)
class SceneHeader:
    """All that opening a scene finds out before it reads pixels."""

    bands: DescribedBands
    """The model's bands."""
    nir: DescribedBands | str
    """Near infrared (B08), or the reason why it is not used."""
    further: DescribedBands | None = None
    """Further bands that the model's pixel network can use; None where there are none."""
    further_alone: tuple[DescribedBands, ...] = ()
    """The same, each by itself."""
    own_clouds: Callable[[], Classification | None] = lambda: None
    """Reads the scene's own classification of clouds, on the scene's grid; the result is None if it has none.

    Raises SceneError where it can't be read, or lies elsewhere."""
    alphas: tuple[Source, ...] = ()
    """Bands that are taken as alpha, as sources of numbers."""
    warp_text: str = ""
    """From which grid to which the scene is warped, or why it is not, as a text; empty if no warp was asked for."""
    product: Product | None = None
    """The product that the scene is; None for a raster."""
    nir_left_out: bool = False
    """Whether the product has near infrared that is not used."""
    files: tuple[str, ...] = ()
    """Names, without folders, of the files that hold the bands: a product's, or a VRT and the files behind it."""


def read_header(path: str, card: ModelCard, settings: Settings) -> SceneHeader:
    """Read the header of a raster or of the files of a product.

    Args:
        path: What the user gave.
        card: Card of the model for which the scene is opened.
        settings: As in `landmap.scene.scene.open_scene`.

    Raises:
        SceneError: It can't be opened, holds several rasters or complex numbers, or contradicts itself.
        BandError: A band that the model needs is not found.
        SettingsError: `bands` are given for a product.
    """
    product = find_product(path)
    whole = stack(product, card, settings) if product else None
    opens = whole.vrt if whole else path
    return read_until_stable(opens, lambda file: _describe(file, path, whole, card, settings), path)


def _describe(file: Any, path: str, whole: Stack | None, card: ModelCard, settings: Settings) -> SceneHeader:
    name = redacted(path)
    _check_kind(file, name)
    bands = file_bands(file)
    found = choose_bands(bands, card, settings, name)
    if settings.bands is None and not whole:
        check_names(bands, found, path)
    indexes, scl = tuple(found[band] for band in card.band_names), find_scl(bands, found)
    check_one_dtype([file.dtypes[i - 1] for i in indexes], name)
    subset = find_subset(file, name, card, settings)
    source = _source(file, card.band_names, found, path, whole)
    classes = raster_source(file, path, path, (SCL,), (scl,), is_reflectance=False) if scl else None
    alphas = [
        raster_source(file, path, source.opens, ("alpha",), (number,), is_reflectance=False)
        for number in source.nodata.alphas
    ]
    beside = partial(_beside, file, path, whole, subset, found)
    nir = (whole and whole.without_nir) or find_nir_band(bands, found.get(NIR_BAND), card, settings)
    further = find_further_bands(bands, found, further_names(card, settings), by_name=settings.bands is None)
    return SceneHeader(
        bands=_described(file, source, subset, whole, has_scl=scl is not None),
        nir=nir if isinstance(nir, str) else beside({NIR_BAND: nir}),
        further=beside(further) if further else None,
        further_alone=tuple(beside({name: number}) for name, number in further.items()),
        own_clouds=partial(_own_clouds, source, classes, whole.product if whole else None, subset),
        alphas=tuple(subset.apply(alpha, nearest=True) for alpha in alphas),
        warp_text=subset.warp_text,
        product=whole.product if whole else None,
        nir_left_out=bool(whole and whole.without_nir),
        files=_names(file, path, whole),
    )


def _beside(
    file: Any, path: str, whole: Stack | None, subset: Subset, found: Mapping[str, int], numbers: Mapping[str, int]
) -> DescribedBands:
    """Bands beside the model's own, by name. A pixel that is 0 in all of them has no data, whatever is declared.

    So no 0 is ever averaged into its neighbours.
    """
    source = _source(file, tuple(numbers), {**found, **numbers}, path, whole)
    source = replace(source, nodata=replace(source.nodata, has_zeros=True))
    return _described(file, source, subset, whole)


def _own_clouds(
    bands: RasterSource, classes: RasterSource | None, product: Product | None, subset: Subset
) -> Classification | None:
    """The scene's own classification of clouds. L2A's (SCL) counts before the masks of the L1C product behind it."""
    scene = subset.apply(bands)
    if classes is not None:
        name = f"band {classes.band_indexes[0]} (SCL)"
        return Scl(name, (layer_on(subset.apply(classes, nearest=True), scene),))
    if product and (found := classification(bands, product)):
        return Scl(finest(product.scl).label, (layer_on(found, scene),))
    masks = {band.name: band.file for band in product.clouds} if product else {}
    file = masks.get(CLASSI, masks.get(CLOUDS))
    return classification_file(file, scene) if file else None


def _names(file: Any, path: str, whole: Stack | None) -> tuple[str, ...]:
    if whole:
        return tuple(dict.fromkeys(band.label for band in whole.product.bands))
    parts = file.files if file.driver == "VRT" else ()
    return tuple(dict.fromkeys([name_of(path), *map(name_of, parts)]))


def find_scl(bands: tuple[FileBand, ...], found: Mapping[str, int]) -> int | None:
    """Number, from 1, of the band with the scene classification, as given or by its description; None if none."""
    named = (band.index for band in bands if names_classification(band.description))
    return found.get(SCL) or next(named, None)


def _source(
    file: Any, names: tuple[str, ...], found: Mapping[str, int], path: str, whole: Stack | None
) -> RasterSource:
    """Make the source of some bands of a file, on the file's own grid.

    Args:
        file: The open rasterio dataset.
        names: Names of the bands.
        found: Numbers, from 1, of these bands and of all others that are known by a name.
        path: What the user gave.
        whole: The product that the file stands for; None for a raster.
    """
    indexes = tuple(found[name] for name in names)
    source = raster_source(file, path, whole.vrt if whole else path, names, indexes, found.values())
    if whole and whole.has_zeros:
        source = replace(source, nodata=replace(source.nodata, has_zeros=True))
    return source


def _described(
    file: Any, source: RasterSource, subset: Subset, whole: Stack | None, *, has_scl: bool = False
) -> DescribedBands:
    """Bands of a file restricted to a subset, with what the file and its product state of their values."""
    indexes = source.band_indexes
    evidence = Evidence(
        path=source.redacted_path,
        dtype=source.dtype,
        band_names=source.band_names,
        scales=tuple(file.scales[i - 1] for i in indexes),
        offsets=tuple(file.offsets[i - 1] for i in indexes),
        tags=_capitals(file.tags()),
        band_tags=tuple(_capitals(file.tags(i)) for i in indexes),
        has_scl=has_scl,
        sample=np.zeros((0, len(indexes)), np.float32),
        stated=whole.stated(indexes) if whole else Stated(),
        band_indexes=() if whole else indexes,
        band_count=file.count,
    )
    return DescribedBands(subset.apply(source), evidence)


def _capitals(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.upper(): value for key, value in tags.items()}


def _check_kind(file: Any, path: str) -> None:
    if not file.count:
        inside = ", ".join(file.subdatasets[:4]) or "nothing that GDAL reads"
        raise SceneError(f"{path}: expected one raster. It holds several: {inside}. {_advice(file, path)}")
    if any(dtype.startswith("complex") for dtype in file.dtypes):
        raise SceneError(f"{path}: expected optical bands. Received complex numbers ({file.dtypes[0]}), as of radar")


def _advice(file: Any, path: str) -> str:
    """Advise on a file that holds several rasters, in a sentence without its full stop."""
    if file.driver == "Zarr":
        source, made = repr(path), repr(f"{PurePath(path).stem}.nc")
        return f'Write it as NetCDF: python -c "import xarray; xarray.open_zarr({source}).to_netcdf({made})"'
    parts = " ".join(f"'{name}'" for name in file.subdatasets)
    return (
        "Give the one that holds all bands; or, if each holds one, put them together (gdalbuildvrt -separate scene.vrt "
        f"{parts}) and say which is which (--bands B04=1,…)"
    )


def check_one_dtype(dtypes: Sequence[str], path: str) -> None:
    """Refuse bands of several data types, given by their NumPy names.

    Raises:
        SceneError: The bands are of several data types.
    """
    if len(set(dtypes)) > 1:
        raise SceneError(
            f"{path}: expected the same data type in every band. Received: {', '.join(dtypes)}. "
            "Convert it (gdal_translate -ot)"
        )


def choose_bands(bands: tuple[FileBand, ...], card: ModelCard, settings: ReadingSettings, path: str) -> dict[str, int]:
    """Numbers in the file, from 1, of the model's bands, and of its optional bands if the user gave them."""
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


def check_names(bands: tuple[FileBand, ...], found: Mapping[str, int], path: str) -> None:
    """Refuse bands of several dates, as in a stack of SNAP (B4_13Aug2023, B3_23Aug2023), and those of Landsat."""
    names = [bands[index - 1].description for index in found.values()]
    beside = [band.description for band in bands if band.name == NIR_BAND]
    given = f"--bands {','.join(f'{name}=N' for name in found)}"
    check_one_scene(names, path, f"Say which belong together: {given}", beside)
    check_no_landsat([name_of(path), *names], path, f"Say which is which: {given}")
