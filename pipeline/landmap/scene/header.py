"""What the header of a scene's file says: which band is which, what numbers mean, how the file is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from landmap.errors import BandError, SceneError
from landmap.io.reading import read_until_stable
from landmap.io.remote import name_of, redacted
from landmap.products.bands import FileBand, file_bands, find_bands, given_bands, parse_bands
from landmap.products.landsat import check_no_landsat
from landmap.products.product import CLASSI, CLOUDS, SCL, names_classification
from landmap.products.scene_names import check_one_scene
from landmap.radiometry.conversion import Stated
from landmap.scene.clouds import Classification, Scl
from landmap.scene.masks import laid
from landmap.scene.nir import find_nir_band
from landmap.scene.scene_masks import classification_file
from landmap.scene.source import Source, source_of
from landmap.scene.stack import Stack, classification, finest
from landmap.scene.subset import View, find_view
from landmap.settings import ReadingSettings, Settings
from landmap_models.model_file.card import NIR_BAND, ModelCard

Said = tuple[Source, dict[str, Any]]
"""Where bands lie, on the file's own grid, and what the file says of them, and the product that it stands for."""


@dataclass(frozen=True, slots=True)
class SceneFile:
    """What was found out about a scene's file."""

    bands: Said
    """The model's."""
    nir: Said | str
    """B08, or why it is not used."""
    classes: Source | None
    """A band with the scene classification; None where the file has none."""
    alphas: tuple[Source, ...]
    """The bands that are taken as alpha, as numbers like any."""
    view: View
    """How the file is looked at."""
    whole: Stack | None
    """The product that the file stands for."""
    names: tuple[str, ...]
    """Names of the files that the bands are read from: of a product's, of a VRT itself and of what it is made of."""

    def own_clouds(self) -> Classification | None:
        """The scene's own classification of clouds, as the scene is looked at; None where it has none.

        L2A's counts before the masks of the L1C product that it was made from.

        Raises:
            SceneError: It can't be read, or lies elsewhere.
        """
        product, scene = self.whole.product if self.whole else None, self.view.of(self.bands[0])
        if self.classes is not None:
            name = f"band {self.classes.band_indexes[0]} (SCL)"
            return Scl(name, (laid(self.view.of(self.classes, nearest=True), scene),))
        if product and (found := classification(self.bands[0], product)):
            return Scl(finest(product.scl).label, (laid(found, scene),))
        masks = {band.name: band.file for band in product.clouds} if product else {}
        file = masks.get(CLASSI, masks.get(CLOUDS))
        return classification_file(file, scene) if file else None


def read_scene_file(path: str, whole: Stack | None, card: ModelCard, settings: Settings) -> SceneFile:
    """Open a scene's file for what its header says.

    Args:
        path: As the user gave it.
        whole: The product that it is, if it is one.
        card: The model's.
        settings: As in `open_scene`.

    Raises:
        SceneError: It can't be opened, holds several rasters or complex numbers, or contradicts itself.
        BandError: A band that the model needs is not found.
    """
    opens = whole.vrt if whole else path
    return read_until_stable(opens, lambda file: _look_at(file, path, whole, card, settings), path)


def _look_at(file: Any, path: str, whole: Stack | None, card: ModelCard, settings: Settings) -> SceneFile:
    name = redacted(path)
    _check_kind(file, name)
    bands = file_bands(file)
    found = _choose_bands(bands, card, settings, name)
    if settings.bands is None and not whole:
        _check_names(bands, found, path)
    indexes, scl = tuple(found[band] for band in card.band_names), _find_scl(bands, found)
    _check_one_dtype(file, indexes, name)
    source, says = _said(file, card.band_names, found, path, whole)
    nir = (whole and whole.without_nir) or find_nir_band(bands, found.get(NIR_BAND), card, settings)
    return SceneFile(
        bands=(source, says | {"has_scl": scl is not None}),
        nir=nir if isinstance(nir, str) else _nir(file, found | {NIR_BAND: nir}, path, whole),
        classes=source_of(file, path, path, (SCL,), (scl,), is_reflectance=False) if scl else None,
        alphas=tuple(
            source_of(file, path, source.opens, ("alpha",), (number,), is_reflectance=False)
            for number in source.nodata.alphas
        ),
        view=find_view(file, name, card, settings),
        whole=whole,
        names=_names(file, path, whole),
    )


def _names(file: Any, path: str, whole: Stack | None) -> tuple[str, ...]:
    if whole:
        return tuple(dict.fromkeys(band.label for band in whole.product.bands))
    parts = file.files if file.driver == "VRT" else ()
    return tuple(dict.fromkeys([name_of(path), *map(name_of, parts)]))


def _find_scl(bands: tuple[FileBand, ...], found: Mapping[str, int]) -> int | None:
    """Number of the band with the scene classification, from 1, as the user gave it, or by its description."""
    named = (band.index for band in bands if names_classification(band.description))
    return found.get(SCL) or next(named, None)


def _said(file: Any, names: tuple[str, ...], found: Mapping[str, int], path: str, whole: Stack | None) -> Said:
    """Some bands of a file, and what is said of them by it and by the product that it stands for.

    Args:
        file: The open file.
        names: Of the bands.
        found: Numbers of these and of all others that are known by a name.
        path: As the user gave it.
        whole: The product that the file stands for; None for a raster file.
    """
    indexes = tuple(found[name] for name in names)
    source = source_of(file, path, whole.vrt if whole else path, names, indexes, found.values())
    if whole and whole.has_zeros:
        source = replace(source, nodata=replace(source.nodata, has_zeros=True))
    says = _what_the_file_says(file, indexes) | {"stated": whole.stated(indexes) if whole else Stated()}
    return source, says


def _nir(file: Any, found: Mapping[str, int], path: str, whole: Stack | None) -> Said:
    """As `_said`, of B08: its zeros are no data, whatever is declared, and so not mixed into others."""
    source, says = _said(file, (NIR_BAND,), found, path, whole)
    return replace(source, nodata=replace(source.nodata, has_zeros=True)), says


def _check_kind(file: Any, path: str) -> None:
    if not file.count:
        inside = ", ".join(file.subdatasets[:4]) or "nothing that GDAL reads"
        raise SceneError(f"{path}: expected one raster. It holds several: {inside}. {_advice(file, path)}")
    if any(dtype.startswith("complex") for dtype in file.dtypes):
        raise SceneError(f"{path}: expected optical bands. Received complex numbers ({file.dtypes[0]}), as of radar")


def _advice(file: Any, path: str) -> str:
    """What to do about a file that holds several rasters, as a sentence without its full stop."""
    if file.driver == "Zarr":
        source, made = repr(path), repr(f"{PurePath(path).stem}.nc")
        return f'Write it as NetCDF: python -c "import xarray; xarray.open_zarr({source}).to_netcdf({made})"'
    parts = " ".join(f"'{name}'" for name in file.subdatasets)
    return (
        "Give the one that holds all bands; or, if each holds one, put them together (gdalbuildvrt -separate scene.vrt "
        f"{parts}) and say which is which (--bands B04=1,…)"
    )


def _check_one_dtype(file: Any, indexes: tuple[int, ...], path: str) -> None:
    dtypes = [file.dtypes[i - 1] for i in indexes]
    if len(set(dtypes)) > 1:
        raise SceneError(
            f"{path}: expected the same data type in every band. Received: {', '.join(dtypes)}. "
            "Convert it (gdal_translate -ot)"
        )


def _choose_bands(bands: tuple[FileBand, ...], card: ModelCard, settings: ReadingSettings, path: str) -> dict[str, int]:
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


def _check_names(bands: tuple[FileBand, ...], found: Mapping[str, int], path: str) -> None:
    """Refuse bands of several dates, as in a stack of SNAP (B4_13Aug2023, B3_23Aug2023), and those of Landsat."""
    names = [bands[index - 1].description for index in found.values()]
    beside = [band.description for band in bands if band.name == NIR_BAND]
    given = f"--bands {','.join(f'{name}=N' for name in found)}"
    check_one_scene(names, path, f"Say which belong together: {given}", beside)
    check_no_landsat([name_of(path), *names], path, f"Say which is which: {given}")


def _what_the_file_says(file: Any, indexes: tuple[int, ...]) -> dict[str, Any]:
    def capitals(tags: Mapping[str, str]) -> dict[str, str]:
        return {key.upper(): value for key, value in tags.items()}

    return {
        "scales": tuple(file.scales[i - 1] for i in indexes),
        "offsets": tuple(file.offsets[i - 1] for i in indexes),
        "tags": capitals(file.tags()),
        "band_tags": tuple(capitals(file.tags(i)) for i in indexes),
        "band_count": file.count,
    }
