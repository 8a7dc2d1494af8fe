"""The one small sample that is read of lazy arrays when a map of them is planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import ReadError
from landmap.geo.geobox import GeoBox
from landmap.lazy.xarray_bands import Encoded, LazyBand, LazyBands, scaling, short_name, tags
from landmap.radiometry.conversion import LEAST_FOR_UNIT
from landmap.scene.arrays import ArrayBand, ArrayData
from landmap.scene.sample import SIZE, spread_places
from landmap.tiling import Window

MOST_BLOCKS = 9
"""Blocks of a band that are computed for the sample, at most, as each is computed whole."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class SampledDate:
    """One date of lazy bands with its sample: all that a plan needs."""

    data: ArrayData
    """The bands without their arrays."""
    encoded: dict[int, Encoded]
    """How the values of a band become those in its file, by its number from 1; only of the bands that were found so."""
    values: dict[tuple[int, Window], Array]
    """Values of a band, by its number, in each place of the sample, `(height, width)`."""

    def read(self, numbers: Sequence[int], window: Window) -> Array:
        """See `landmap.scene.arrays.Read`: the places of the sample alone."""
        try:
            return np.stack([self.values[number, window] for number in numbers])
        except KeyError as error:  # a plan asks for nothing else
            raise ReadError(f"{self.data.name}: {window} is not in the sample") from error


def sampled_dates(bands: LazyBands, wanted: set[int]) -> list[SampledDate]:
    """Compute the sample of all dates, each block once.

    Args:
        bands: The lazy arrays of all dates, by band.
        wanted: Numbers, from 1, of the bands that may be used.
    """
    import dask

    first = bands.dates[0][0].array
    places = sample_places(bands.geobox, *first.chunks[-2:])
    parts = [
        {
            (number, place): band.array[(*band.lead, *_slices(place))]
            for number, band in enumerate(date, 1)
            if number in wanted
            for place in places
        }
        for date in bands.dates
    ]
    return [
        _sampled(bands, i, date, places, values)
        for i, (date, values) in enumerate(zip(bands.dates, dask.compute(parts)[0], strict=True))
    ]


def sample_places(geobox: GeoBox, rows: Sequence[int], cols: Sequence[int]) -> tuple[Window, ...]:
    """Places of the sample: those of a file, or as many in a few blocks where those lie in many.

    Args:
        geobox: Where the bands lie.
        rows: Height of each row of blocks.
        cols: Width of each column of blocks.
    """
    places = spread_places(*geobox.shape)
    tops, lefts = ([0, *accumulate(lengths)] for lengths in (rows, cols))
    touched = {(r, c) for place in places for r in _touched(place, tops, 0) for c in _touched(place, lefts, 1)}
    if len(touched) <= MOST_BLOCKS:
        return tuple(places)
    blocks = [Window(tops[r], lefts[c], rows[r], cols[c]) for r in _three(len(rows)) for c in _three(len(cols))]
    return tuple(place for block in blocks for place in _diagonal(block))


def _touched(place: Window, starts: Sequence[int], axis: int) -> range:
    """Numbers of the blocks along an axis in which a place lies, given where blocks start."""
    first = (place.row_off, place.col_off)[axis]
    last = first + place.shape[axis] - 1
    found = np.searchsorted(starts, [first, last], side="right") - 1
    return range(int(found[0]), int(found[1]) + 1)


def _three(count: int) -> list[int]:
    """Three numbers of blocks out of `count`, spread evenly; fewer where there are fewer."""
    return sorted({(2 * i + 1) * count // 6 for i in range(3)})


def _diagonal(block: Window) -> list[Window]:
    """Three places in a block, from its upper left to its lower right corner; fewer in a small one."""
    height, width = min(SIZE, block.height), min(SIZE, block.width)
    offsets = {(round((block.height - height) * i / 2), round((block.width - width) * i / 2)) for i in range(3)}
    return [Window(block.row_off + row, block.col_off + col, height, width) for row, col in sorted(offsets)]


def _slices(window: Window) -> tuple[slice, slice]:
    row, col = window.row_off, window.col_off
    return slice(row, row + window.height), slice(col, col + window.width)


def _sampled(
    bands: LazyBands,
    date: int,
    found: Sequence[LazyBand],
    places: tuple[Window, ...],
    values: dict[tuple[int, Window], Array],
) -> SampledDate:
    """Describe the bands of a date, by their attributes and the sample."""
    encoded = _encoded(found, values)
    stored = {key: encoded[key[0]].stored(array) if key[0] in encoded else array for key, array in values.items()}
    described = tuple(_described(band, encoded.get(number)) for number, band in enumerate(found, 1))
    name = bands.name
    if bands.has_time:
        name = (
            f"{short_name(name)}, {str(np.asarray(bands.coords[bands.dims[0]])[date])[:10]}"
            if (bands.dims[0] in bands.coords)
            else f"{short_name(name)}, date {date + 1}"
        )
    data = ArrayData(name, bands.geobox, described, tags(bands.attrs), places)
    return SampledDate(data, encoded, stored)


def _encoded(found: Sequence[LazyBand], values: dict[tuple[int, Window], Array]) -> dict[int, Encoded]:
    """The encodings that explain the sample of their bands, by number."""
    proven: dict[int, Encoded] = {}
    for number, band in enumerate(found, 1):
        samples = [array.ravel() for key, array in values.items() if key[0] == number]
        if band.encoded is None or not samples:
            continue
        sample = np.concatenate(samples)
        if np.isfinite(sample).sum() >= LEAST_FOR_UNIT and band.encoded.explains(sample):
            proven[number] = band.encoded
    return proven


def _described(band: LazyBand, encoded: Encoded | None) -> ArrayBand:
    scale, offset, nodata = scaling(band)
    if encoded is not None:
        if (encoded.scale, encoded.offset) != (1, 0):
            scale, offset = encoded.scale, encoded.offset
        return ArrayBand(band.name, encoded.dtype, encoded.fill, scale, offset, tags(band.attrs))
    is_scaled = band.encoded is not None and band.encoded.scale != 1
    return ArrayBand(band.name, band.array.dtype.name, nodata, scale, offset, tags(band.attrs), is_scaled)
