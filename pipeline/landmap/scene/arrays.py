"""Bands in arrays, such as those of an xarray object: described as a scene, and read from whatever holds their pixels.

What the bands are and what their numbers mean is decided as for a file. A source of arrays holds no array, so that it
can be sent to any process: where it is read, `reading` says from what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from landmap.errors import ReadError
from landmap.geo.geobox import GeoBox
from landmap.products.bands import FileBand
from landmap.products.nodata import Nodata, has_data
from landmap.products.product import SCL
from landmap.radiometry.conversion import Evidence, Stated
from landmap.scene.clouds import Classification
from landmap.scene.further_bands import find_further_bands, further_names
from landmap.scene.header import DescribedBands, SceneHeader, check_names, check_one_dtype, choose_bands, find_scl
from landmap.scene.mask_layers import Layer
from landmap.scene.nir import find_nir_band
from landmap.scene.raster_source import RasterSource
from landmap.scene.scl import Scl
from landmap.scene.source import Source, Values
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.model_file.card import NIR_BAND, ModelCard

BLOCK_SHAPE = 512, 512
"""Rows and columns that count as stored together: chunks of a map must not depend on those of its input."""

Read = Callable[[Sequence[int], Window], npt.NDArray[Any]]
"""Returns the values of some bands, by their numbers from 1, in a window: `(bands, height, width)`."""

_reader: ContextVar[Read] = ContextVar("landmap_reader")


@contextmanager
def reading(read: Read) -> Iterator[None]:
    """Let every `ArraySource` that is read in this context, and this thread, read its pixels from here."""
    token = _reader.set(read)
    try:
        yield
    finally:
        _reader.reset(token)


@dataclass(frozen=True, slots=True)
class ArrayBand:
    """What is known of a band without its pixels."""

    name: str
    """Its name in the data; empty where it has none."""
    dtype: str
    """NumPy name of the data type of what is read."""
    nodata: float | None
    """Value that stands for no data; None where none is declared."""
    scale: float = 1.0
    """Reflectance per unit by its attribute `scale_factor`."""
    offset: float = 0.0
    """What is added after scaling by its attribute `add_offset`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Its other attributes, keys in capitals."""
    is_scaled: bool = False
    """Whether scale and offset have been applied to the values already."""


@dataclass(frozen=True, slots=True)
class ArrayData:
    """Bands on one grid that lie in arrays, without the arrays."""

    name: str
    """What messages call it: the file it was opened from, or the name of the array."""
    geobox: GeoBox
    """Where its pixels lie."""
    bands: tuple[ArrayBand, ...]
    """Its bands."""
    tags: Mapping[str, str]
    """Attributes of the whole, keys in capitals."""
    sample_places: tuple[Window, ...] | None
    """The only places where it is sampled; None: wherever a file would be."""


@dataclass(frozen=True, slots=True)
class ArraySource(Source):
    """Bands of an `ArrayData`. It can be read inside `reading` only."""

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        """See `Source.read`."""
        assert shape is None  # nothing asks for it: masks are not thinned
        read = _reader.get(None)
        if read is None:
            raise ReadError(f"{self.path}: lies in arrays, which are read by landmap.predict alone")
        values = read(self.band_indexes, window)
        return np.moveaxis(values, 0, -1), has_data(values, self.nodata)


@dataclass(frozen=True, slots=True)
class _LazyScl(Scl):
    """A scene classification whose classes are not counted, as that would read all of it."""

    def shares(self) -> tuple[dict[str, float], str]:
        """See `Scl.shares`: none."""
        return {}, "its classes are not counted, as the data are lazy"


def array_header(data: ArrayData, card: ModelCard, settings: Settings) -> SceneHeader:
    """Describe arrays as a scene, by the rules for files.

    Args:
        data: The arrays of a date, a band each, on one grid.
        card: Card of the model for which the scene is opened.
        settings: `bands`, `use_nir`, `detail`, `stride` and `smooth` are used.

    Raises:
        BandError: A band that the model needs is not found.
        SceneError: The bands differ in their data type.
    """
    # The model's own first, as the count of bands decides whether colours are names, and these have names.
    bands = tuple(FileBand(i, band.name, "undefined", ()) for i, band in enumerate(data.bands, 1))
    found = choose_bands(bands, card, settings, data.name)
    if settings.bands is None:
        check_names(bands, found, data.name)
    scl = find_scl(bands, found)
    check_one_dtype([data.bands[found[name] - 1].dtype for name in card.band_names], data.name)
    source = _source(data, card.band_names, found)
    nir = find_nir_band(bands, found.get(NIR_BAND), card, settings)
    further = find_further_bands(bands, found, further_names(card, settings), by_name=settings.bands is None)

    def own_clouds() -> Classification | None:
        if scl is None:
            return None
        classes = _source(data, (SCL,), {SCL: scl}, is_reflectance=False)
        return _LazyScl(f"band {scl} (SCL)", (Layer(cast(RasterSource, classes), data.geobox),))

    return SceneHeader(
        bands=_described(data, source, has_scl=scl is not None),
        nir=nir if isinstance(nir, str) else _beside(data, {NIR_BAND: nir}),
        further=_beside(data, further) if further else None,
        further_alone=tuple(_beside(data, {name: number}) for name, number in further.items()),
        own_clouds=own_clouds,
    )


def _source(
    data: ArrayData, names: tuple[str, ...], found: Mapping[str, int], *, is_reflectance: bool = True
) -> ArraySource:
    """What reads some bands, by their names; `found` has their numbers from 1."""
    numbers = tuple(found[name] for name in names)
    bands = [data.bands[number - 1] for number in numbers]
    values = tuple(band.nodata for band in bands)
    undeclared = all(value is None for value in values) and len(bands) > 1
    rows, cols = (min(pair) for pair in zip(BLOCK_SHAPE, data.geobox.shape, strict=True))
    return ArraySource(
        path=data.name,
        opens="",
        geobox=data.geobox,
        band_names=names,
        band_indexes=numbers,
        block_shape=(rows, cols),
        dtype=bands[0].dtype,
        nodata=Nodata(values, is_reflectance=is_reflectance, has_zeros=undeclared or 0 in values),
        sample_places=data.sample_places,
    )


def _beside(data: ArrayData, numbers: Mapping[str, int]) -> DescribedBands:
    """Bands beside the model's own. A pixel that is 0 in all of them has no data, whatever is declared."""
    source = _source(data, tuple(numbers), numbers)
    return _described(data, replace(source, nodata=replace(source.nodata, has_zeros=True)))


def _described(data: ArrayData, source: ArraySource, *, has_scl: bool = False) -> DescribedBands:
    """Bands with what the data state of their values."""
    bands = [data.bands[number - 1] for number in source.band_indexes]
    count = len(bands)
    stated = Stated()
    if all(band.is_scaled for band in bands):
        text = "reflectance, as scale_factor and add_offset have been applied"
        stated = Stated((1.0,) * count, (0.0,) * count, origins={"scale": text, "offset": f"0: {text}"})
    evidence = Evidence(
        path=data.name,
        dtype=source.dtype,
        band_names=source.band_names,
        scales=tuple(band.scale for band in bands),
        offsets=tuple(band.offset for band in bands),
        tags=data.tags,
        band_tags=tuple(band.tags for band in bands),
        has_scl=has_scl,
        sample=np.zeros((0, count), np.float32),
        stated=stated,
        band_indexes=source.band_indexes,
        band_count=len(data.bands),
    )
    return DescribedBands(source, evidence)
