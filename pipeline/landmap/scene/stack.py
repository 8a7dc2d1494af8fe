"""The band stack of a product: the files that a model needs as one raster, on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from affine import Affine
from rasterio.crs import CRS

from landmap.errors import SceneError, SettingsError
from landmap.products.nodata import Nodata
from landmap.products.product import BandFile, Product
from landmap.products.vrt import Header, read_header, vrt_text
from landmap.radiometry.conversion import Stated
from landmap.scene.further_bands import further_names
from landmap.scene.nir import ONLY
from landmap.scene.raster_source import RasterSource
from landmap.settings import ReadingSettings, Settings
from landmap_models.model_file.card import NIR_BAND, ModelCard


@dataclass(frozen=True, slots=True)
class Stack:
    """The bands of a product that a model needs, as one raster."""

    vrt: str
    """What GDAL opens: a VRT as text."""
    product: Product
    """The product with these bands alone, in the order of the raster."""
    without_nir: str
    """Why near infrared is not used although the product has it; empty if it is used or not there."""
    settings: ReadingSettings
    """The settings of the user."""

    @property
    def has_zeros(self) -> bool:
        """Whether 0 is no data by the product's metadata, whatever its files declare."""
        return any(band.nodata == 0 for band in self.product.bands)

    def stated(self, indexes: Sequence[int]) -> Stated:
        """What the metadata state of bands, given by their numbers in the raster, from 1."""
        return self.product.stated([self.product.bands[index - 1] for index in indexes], self.settings)


def stack(product: Product, card: ModelCard, settings: Settings) -> Stack:
    """Choose the files that a model needs and read their headers.

    Of a band in several resolutions the one nearest to the model's is taken. The grid is that of the finest band that
    the model needs; near infrared is interpolated to it.

    Args:
        product: The product whose files are read.
        card: Card of the model.
        settings: `bands` and `use_nir` are used.

    Raises:
        SettingsError: `bands` are given although a product names its bands.
        BandError: A band has no file, or several.
        SceneError: A file can't be read, holds several bands, or lies elsewhere than the others.
    """
    if settings.bands is not None:
        raise SettingsError(f"{product.path}: expected no --bands for a product, whose bands have names: leave it out")
    headers = [read_header(product.choose(name, card.resolution), product.path) for name in card.band_names]
    finest = min(headers, key=lambda header: abs(header.geobox.transform.determinant))
    for header in headers:
        _check_place(header, finest, product.path)
    nir = _nir(product, card, settings, finest)
    headers += [nir] if isinstance(nir, Header) else []
    headers += _further(product, card, settings, finest)
    return Stack(
        vrt=vrt_text(headers, finest),
        product=replace(product, bands=tuple(header.band for header in headers)),
        without_nir=nir if isinstance(nir, str) else "",
        settings=settings,
    )


def classification(source: RasterSource, product: Product) -> RasterSource | None:
    """The scene classification (SCL) of a product, on its own grid.

    Args:
        source: Reads the model's bands of the product.
        product: The product whose files are read.

    Returns:
        A source of one band of classes 0 to 11, where 0 is nodata if the metadata state it; None if the product has no
        classification.

    Raises:
        SceneError: It can't be read, or lies elsewhere than the scene.
    """
    if not product.scl:
        return None
    header = read_header(finest(product.scl), product.path)
    _check_place(header, replace(header, band=product.bands[0], geobox=source.geobox), product.path)
    return RasterSource(
        path=source.path,
        opens=vrt_text([header], header),  # which says where it lies, where the file itself does not
        geobox=replace(header.geobox, crs=source.geobox.crs),
        band_names=(header.band.name,),
        band_indexes=(1,),
        block_shape=header.block_shape,
        dtype=header.dtype,
        nodata=Nodata(
            values=(header.nodata,),
            masks=(1,) if header.masked else (),
            is_reflectance=False,
            has_zeros=header.nodata == 0,
        ),
    )


def finest(bands: Sequence[BandFile]) -> BandFile:
    """The file with the smallest pixels of several files of one band."""
    return min(bands, key=lambda band: band.resolution or math.inf)


def _nir(product: Product, card: ModelCard, settings: ReadingSettings, grid: Header) -> Header | str | None:
    """Header of B08 if model and user want it; None if it is not there; a text if it can't be used."""
    unused = card.nir is None or not settings.use_nir or NIR_BAND in card.band_names
    if unused or all(band.name != NIR_BAND for band in product.bands):
        return None
    try:
        header = read_header(product.choose(NIR_BAND, card.resolution), product.path)
        _check_place(header, grid, product.path)
    except SceneError as error:
        return f"not usable: {ONLY}. {str(error).removeprefix(f'{product.path}: ')}"
    return header


def _further(product: Product, card: ModelCard, settings: Settings, grid: Header) -> list[Header]:
    """The bands that the model's pixel network can use; one that is not there, or not usable, is left out."""
    headers = []
    for name in further_names(card, settings):
        if all(band.name != name for band in product.bands):
            continue
        with suppress(SceneError):
            header = read_header(product.choose(name, card.resolution), product.path)
            _check_place(header, grid, product.path)
            headers.append(header)
    return headers


def _check_place(header: Header, grid: Header, path: str) -> None:
    """Refuse a band in another CRS, or whose corners differ by more than half a pixel from those of the grid."""
    two = f"band {header.band.name}, {header.band.label}, and band {grid.band.name}, {grid.band.label}"
    one, other = (CRS.from_wkt(h.geobox.crs) if h.geobox.crs else None for h in (header, grid))
    if one != other:
        raise SceneError(
            f"{path}: expected the same coordinate reference system in every band. Received: {_name(one)} and "
            f"{_name(other)} in {two}. Warp one of them (gdalwarp)"
        )
    own, wanted = header.geobox, grid.geobox
    to_pixels = ~wanted.transform if wanted.transform.determinant else Affine.identity()
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = to_pixels @ (own.transform @ (col * own.width, row * own.height))
        if abs(x - col * wanted.width) > 0.5 or abs(y - row * wanted.height) > 0.5:
            raise SceneError(f"{path}: expected bands of the same extent. Received: two that differ, {two}")


def _name(crs: CRS | None) -> str:
    return crs.to_string() if crs else "none"
