"""A raster file becomes a scene: where each band lies, what its numbers mean, and pixels on demand.

A `Scene` is a small picklable value. It holds no open file: each read opens the file anew, so that a scene can be sent
to any thread or process.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from landmap.bands import FileBand, find_bands, given_bands, parse_bands
from landmap.chips import Bools, Pixels
from landmap.decisions import decide
from landmap.errors import BandError, SceneError
from landmap.grid import Window
from landmap.radiometry import Evidence, Radiometry
from landmap.settings import Settings
from landmap_models.card import ModelCard, read_card
from landmap_models.packaged import find_model

# A missing georeference is an error of ours with better words (georeference.py), not a warning of rasterio's.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# A nodata value that hides an alpha band is dealt with in `_has_data`.
warnings.filterwarnings("ignore", category=NodataShadowWarning)

SAMPLE_PLACES = 5
"""A sample is read at this many places along each axis,"""
SAMPLE_SIZE = 64
"""each of this many pixels in height and width."""


@dataclass(frozen=True, slots=True)
class Source:
    """A raster file, and where in it the bands lie that a model needs."""

    path: str
    """File, URL or GDAL /vsi path."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    transform: Affine
    """From (column, row) to CRS coordinates."""
    crs: str | None
    """Coordinate reference system as WKT; None where the file has none."""
    band_names: tuple[str, ...]
    """Sentinel-2 names, in the model's order."""
    band_indexes: tuple[int, ...]
    """Their numbers in the file, from 1."""
    block_shape: tuple[int, int]
    """Rows and columns that the file stores together."""
    dtype: str
    """NumPy name of the file's data type."""
    masked: bool
    """The file has a nodata value, a mask or an alpha band for these bands."""

    @property
    def nodata_rule(self) -> str:
        """Which pixels have no data, in words."""
        rules = ["the file's nodata value, mask or alpha"] if self.masked else []
        if self.zero_is_nodata:
            rules.append("0 in every band (the file declares none)")
        if self.dtype.startswith("float"):
            rules.append("NaN")
        return " and ".join(rules) or "none"

    @property
    def zero_is_nodata(self) -> bool:
        """No nodata is declared: 0 in every band stands for it, as in Sentinel-2 products. One band alone may be 0."""
        return not self.masked and len(self.band_indexes) > 1

    def read_values(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[npt.NDArray[Any], Bools]:
        """Values as they are in the file `(height, width, bands)`, and validity `(height, width)`.

        A pixel is valid where every band has data: it is finite, and no nodata value, mask or alpha says otherwise. In
        a file of several bands that declares none of these it is not 0 in all of them, Sentinel-2's code for unseen.

        Args:
            window: Inside the scene.
            shape: Rows and columns wanted, if not all: every so many pixels are taken then.

        Raises:
            SceneError: The file can't be read there.
        """
        try:
            with _opened(self.path) as file:
                return _read(file, self, window, shape)
        except SceneError as error:
            raise SceneError(f"{error} ({window})") from error


@dataclass(frozen=True, slots=True)
class Scene(Source):
    """A raster file seen through the eyes of one model."""

    radiometry: Radiometry
    """How values become the model's input."""

    def read(self, window: Window) -> Pixels:
        """Read a rectangle.

        Args:
            window: Inside the scene.

        Returns:
            Reflectance at the model's level and which pixels are valid. A pixel is valid where every band has data.

        Raises:
            SceneError: The file can't be read there.
        """
        values, valid = self.read_values(window)
        return Pixels(self.radiometry.to_model(values), valid)


def open_scene(
    path: str | os.PathLike[str], settings: Settings | None = None, *, card: ModelCard | None = None
) -> Scene:
    """Open a raster file for a model: find its bands and decide its radiometry. Reads the header and a small sample.

    Args:
        path: Anything that GDAL opens as one raster: file, URL or /vsi path.
        settings: `model`, `bands`, `scale`, `offset` and `level` are used.
        card: Of a classifier that is not a file; `settings.model` is then not used.

    Raises:
        SceneError: It can't be opened, holds several rasters or complex numbers, or contradicts itself.
        BandError: A band that the model needs is not found.
    """
    path, settings = os.fspath(path), settings or Settings()
    card = card or read_card(find_model(settings.model))
    with _opened(path) as file:
        _check_kind(file, path)
        bands = _file_bands(file)
        indexes = _choose_bands(bands, card, settings, path)
        _check_one_dtype(file, indexes, path)
        source = _source(file, path, card.band_names, indexes)
        says = _what_the_file_says(file, bands, indexes)
    says |= sample(source)
    evidence = Evidence(path=path, dtype=source.dtype, band_names=card.band_names, **says)
    located = {field.name: getattr(source, field.name) for field in fields(source)}
    return Scene(**located, radiometry=decide(evidence, card, settings))


def _source(file: Any, path: str, names: tuple[str, ...], indexes: tuple[int, ...]) -> Source:
    masked = any(MaskFlags.all_valid not in file.mask_flag_enums[i - 1] for i in indexes)
    return Source(
        path=path,
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


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The open file; GDAL's words in one line where that fails.

    The folder is not listed, which is slow for a URL. Sidecars (a mask, a world file, `.aux.xml`) are looked for by
    name all the same ("TRUE", not "EMPTY_DIR"): without its mask, a scene's nodata would be classified.
    """
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"), rasterio.open(path) as file:
            yield file
    except RasterioError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: RasterioError, where: str = "") -> SceneError:
    return SceneError(f"{path}: can't be read as a raster: {first_cause(error)}{where}")


def first_cause(error: BaseException) -> str:
    """What went wrong at first, in one line: rasterio's own words are often "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


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


def _choose_bands(bands: tuple[FileBand, ...], card: ModelCard, settings: Settings, path: str) -> tuple[int, ...]:
    refused = BandError(f"{path}: expected reflectance. Received a palette of colours: already a map, or a picture")
    palettes = {band.index for band in bands if band.color == "palette"}
    if settings.bands is not None:
        found = given_bands(parse_bands(settings.bands, card.band_names), len(bands), path)
    elif len(palettes) == len(bands):
        raise refused
    else:
        found = find_bands(bands, card.band_names, path)
    if palettes & set(found.values()):  # numbers of colours are no reflectance, whatever band the user says they are
        raise refused
    return tuple(found[name] for name in card.band_names)


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


def _read(
    file: Any, source: Source, window: Window, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    place = RasterWindow(window.col_off, window.row_off, window.width, window.height)
    values = np.moveaxis(file.read(source.band_indexes, window=place, out_shape=shape), 0, -1)
    valid: Bools = np.isfinite(values).all(axis=-1)
    if source.masked:
        valid &= _has_data(file, source.band_indexes, place, shape)
    elif source.zero_is_nodata:
        valid &= (values != 0).any(axis=-1)
    return values, valid


def _has_data(file: Any, indexes: tuple[int, ...], place: RasterWindow, shape: tuple[int, int] | None) -> Bools:
    """Where no nodata value, mask or alpha says otherwise, `(height, width)`.

    GDAL leaves an alpha band out of account where there is a nodata value, too; here both count.
    """
    valid: Bools = (file.read_masks(indexes, window=place, out_shape=shape) > 0).all(axis=0)
    for index, color in zip(file.indexes, file.colorinterp, strict=True):
        if color is ColorInterp.alpha:
            valid &= file.read(index, window=place, out_shape=shape) > 0
    return valid


def sample(source: Source) -> dict[str, Any]:
    """Values of valid pixels at 25 places spread evenly, as they are in the file, for `Evidence`.

    Pixels that are 0 in every band, though declared valid, are counted apart: as values they would mislead.

    Returns:
        `sample`, `(n, bands)` float32, and `blank`, their share that is 0 in every band and was left out, 0 to 1.

    Raises:
        SceneError: The file can't be read there.
    """
    windows = [
        Window(row, col, min(SAMPLE_SIZE, source.height - row), min(SAMPLE_SIZE, source.width - col))
        for row in _places(source.height)
        for col in _places(source.width)
    ]
    with _opened(source.path) as file:
        found = np.concatenate([_sampled(file, source, window) for window in windows])
    seen = (found != 0).any(axis=-1)
    return {"sample": found[seen], "blank": float(1 - seen.mean()) if len(seen) else 0.0}


def _sampled(file: Any, source: Source, window: Window) -> npt.NDArray[np.float32]:
    try:
        values, valid = _read(file, source, window)
    except RasterioError as error:
        raise _unreadable(source.path, error, f" ({window})") from error
    return values[valid].astype(np.float32)


def _places(length: int) -> list[int]:
    """Where samples start along an axis."""
    last = max(0, length - SAMPLE_SIZE)
    return sorted({round(last * i / (SAMPLE_PLACES - 1)) for i in range(SAMPLE_PLACES)})
