"""A sample of a scene's values, by which its radiometry is resolved and checked.

An ordinary scene is sampled at 25 places. If those have few pixels with data, the whole scene is searched for data (an
overview first, if the file has one), and the sample is read where data are. It depends on the scene alone, never on
chunks, threads or the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from landmap.products.nodata import Fills, Nodata, has_data
from landmap.radiometry.conversion import LEAST_PIXELS
from landmap.scene.source import Source, Values
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats, Ints

PLACES = 5
"""Number of places along each axis at which a scene is sampled."""
SIZE = 64
"""Rows and columns of pixels in a place, or as many as the scene has."""
ENOUGH = SIZE * SIZE
"""Number of pixels with data below which the scene is searched for more."""
PLACES_WITH_DATA = 100
"""Most places that are sampled after a search."""
STRIP = 8192
"""Most columns that are searched together."""
SEARCHED = 500_000_000
"""Most pixels that are searched for data, those of four Sentinel-2 scenes; of a larger scene every n-th strip is."""
COARSE = 1024
"""Most rows and columns of the overview that is searched first."""


class PlaceMemory:
    """What was read at the places of a scene (a few MB), so that they are read once though several things ask for them.

    It is asked by source, and knows one by its identity.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: list[tuple[Source, list[Values], Fills]] = []

    def read(self, source: Source) -> tuple[list[Values], Fills]:
        """Values and validity at each place of a source, and the constants in them that mean "no data".

        Args:
            source: Reads some bands of the scene.

        Raises:
            SceneError: A place can't be read.
        """
        for known, values, fills in self._known:
            if known is source:
                return values, fills
        values, fills = source.read_many(_places(source), Fills())
        self._known.append((source, values, fills))
        return values, fills

    def with_nodata(self, source: Source, nodata: Nodata) -> Source:
        """The source with a stricter rule of nodata, by which pixels that were read are judged without reading them.

        Args:
            source: Reads some bands of the scene.
            nodata: A rule by which no pixel has data that has none by the source's own.
        """
        if nodata == source.nodata:
            return source
        strict = replace(source, nodata=nodata)
        if source.warp is None:  # which interpolates between pixels with data alone
            found, fills = self.read(source)
            judged = [(values, valid & has_data(np.moveaxis(values, -1, 0), nodata)) for values, valid in found]
            self._known.append((strict, judged, fills))
        return strict


class PixelMask(Protocol):
    """What the sample needs of a `landmap.scene.masks.Mask`."""

    def usable(self, window: Window) -> Bools:
        """Pixels of a window of the scene that are left in, `(height, width)`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of a scene's pixels with data."""

    values: Floats
    """Values as they are in the file, `(n, bands)`; none is 0 in every band."""
    zero_share: float
    """Share of the pixels with data that are 0 in every band and were left out, 0 to 1."""
    complete: bool
    """Whether every pixel of the scene was searched, so that the scene is empty if the sample is."""
    fills: Fills
    """Constants in the sample that are no data, though the file does not declare them."""


def sample(source: Source, masks: Sequence[PixelMask] = (), memory: PlaceMemory | None = None) -> Sample:
    """Read values of pixels with data from all over a scene.

    Pixels that are 0 in every band, though declared valid, are counted but left out of the values.

    Args:
        source: Reads the scene's bands.
        masks: Masks whose pixels are not sampled, unless there are no others.
        memory: What was read of the scene before; None: nothing was.

    Raises:
        SceneError: The file or a mask can't be read.
    """
    memory = memory or PlaceMemory()
    found = _kept(*memory.read(source), _places(source), masks)
    if len(found.values) < ENOUGH and source.sample_places is None:
        found = _search(source, masks, found)
    if masks and len(found.values) < LEAST_PIXELS:
        return sample(source, memory=memory)
    return found


def share_missing(source: Source, other: Source, masks: Sequence[PixelMask], memory: PlaceMemory) -> tuple[float, str]:
    """Share of a scene's pixels with data where one of some other bands has none, and the value that it has there.

    Args:
        source: Reads the scene's bands.
        other: Reads the other bands, on the same grid. Their zeros are no data.
        masks: Masks whose pixels do not count.
        memory: What was read of the scene before.

    Returns:
        The share of the sampled pixels, 0 to 1, or 0 if they are too few; and the value of most pixels without data as
        a text, empty if no value has the majority.

    Raises:
        SceneError: A file or a mask can't be read.
    """
    with_data, without, missing = 0, 0, []
    own, others = memory.read(source)[0], memory.read(other)[0]
    for place, (_, own_valid), (values, valid) in zip(_places(source), own, others, strict=True):
        with_value = _left_in(own_valid, masks, place)
        with_data += int(with_value.sum())
        gone = with_value & ~(valid & (values != 0).all(axis=-1))
        without += int(gone.sum())
        missing.append(values[gone].min(axis=-1))
    found, counts = np.unique(np.concatenate(missing), return_counts=True)
    if with_data < LEAST_PIXELS or not without:
        return 0.0, ""
    most = f"{found[counts.argmax()]:.7g}" if counts.max() > without / 2 else ""
    return without / with_data, most


def places_with_data(source: Source, masks: Sequence[PixelMask] = (), number: int = PLACES_WITH_DATA) -> list[Window]:
    """Places of a scene that hold data, spread evenly over its pixels with data; none if it has no data.

    Args:
        source: Reads the scene's bands.
        masks: Masks whose pixels do not count.
        number: Number of places to find, at most.

    Raises:
        SceneError: The file or a mask can't be read.
    """
    return _spread(_count(source, masks)[0], source, number)


def _search(source: Source, masks: Sequence[PixelMask], first: Sample) -> Sample:
    """A sample from places with data; the first sample if there are no more."""
    coarse = _spread(_count_coarse(source), source, PLACES_WITH_DATA)
    if coarse and len((found := _read(source, coarse, masks, first.fills)).values) >= ENOUGH:
        return replace(found, zero_share=max(first.zero_share, found.zero_share))
    counts, complete = _count(source, masks)
    found = _read(source, _spread(counts, source, PLACES_WITH_DATA), masks, first.fills)
    values = found.values if complete or len(found.values) > len(first.values) else first.values
    return Sample(values, max(first.zero_share, found.zero_share), complete, found.fills)


def _places(source: Source) -> list[Window]:
    """Places spread evenly over a scene, or those that its source names."""
    if source.sample_places is not None:
        return list(source.sample_places)
    return spread_places(*source.geobox.shape)


def spread_places(height: int, width: int) -> list[Window]:
    """Places spread evenly over a scene of so many rows and columns."""
    return [
        Window(row, col, min(SIZE, height - row), min(SIZE, width - col))
        for row in _starts(height)
        for col in _starts(width)
    ]


def _starts(length: int) -> list[int]:
    """First rows, or columns, of the places along an axis."""
    last = max(0, length - SIZE)
    return sorted({round(last * i / (PLACES - 1)) for i in range(PLACES)})


def _read(source: Source, places: Sequence[Window], masks: Sequence[PixelMask], fills: Fills) -> Sample:
    """The sample at some places; fill values are counted in addition to those counted before."""
    if not places:
        return Sample(np.zeros((0, len(source.band_indexes)), np.float32), 0.0, complete=False, fills=fills)
    return _kept(*source.read_many(places, fills), places, masks)


def _kept(read: Sequence[Values], counted: Fills, places: Sequence[Window], masks: Sequence[PixelMask]) -> Sample:
    """The sample of what was read at some places."""
    kept = [values[_left_in(valid, masks, place)] for (values, valid), place in zip(read, places, strict=True)]
    found = np.concatenate(kept).astype(np.float32)
    with_value = (found != 0).any(axis=-1)
    zero_share = float(1 - with_value.mean()) if len(with_value) else 0.0
    return Sample(found[with_value], zero_share, complete=False, fills=counted)


def _left_in(valid: Bools, masks: Sequence[PixelMask], place: Window) -> Bools:
    """Pixels of a place that have data and are left in by all masks."""
    for mask in masks:
        if valid.any():
            valid = valid & mask.usable(place)
    return valid


def _count_coarse(source: Source) -> Ints:
    """As `_count`, by an overview in the file; all 0 if there is none. Its values are not used."""
    step = -(-max(source.geobox.shape) // COARSE)
    shape = -(-source.geobox.height // step), -(-source.geobox.width // step)
    counts: Ints = np.zeros(_cells(source), np.int64)

    overview = source.read_overview(shape) if step > 1 else None
    if overview is not None:
        values, valid = overview
        with_value = np.nonzero(valid & (values != 0).any(axis=-1))
        rows, cols = (with_value[i] * size // shape[i] // SIZE for i, size in enumerate(source.geobox.shape))
        np.add.at(counts, (rows, cols), 1)
    return counts


def _count(source: Source, masks: Sequence[PixelMask]) -> tuple[Ints, bool]:
    """Number of pixels with data in each place, without masked ones, and whether the whole scene was searched.

    Places lie edge to edge from the scene's first pixel on; the counts are `(rows, columns)` of them.
    """
    counts: Ints = np.zeros(_cells(source), np.int64)
    strips = _strips(source)
    every = -(-source.geobox.height * source.geobox.width // SEARCHED)
    for strip in strips[::every]:
        values, valid = source.read(strip)
        with_value = _left_in(np.asarray(valid & (values != 0).any(axis=-1)), masks, strip)
        if with_value.any():
            top, left = strip.row_off // SIZE, strip.col_off // SIZE
            found = _in_places(with_value)
            counts[top : top + found.shape[0], left : left + found.shape[1]] += found
    return counts, every == 1


def _strips(source: Source) -> list[Window]:
    """Windows that cover the scene, as high as the file's blocks or a place."""
    rows = min(-(-source.block_shape[0] // SIZE) * SIZE, COARSE)
    return [
        Window(row, col, min(rows, source.geobox.height - row), min(STRIP, source.geobox.width - col))
        for row in range(0, source.geobox.height, rows)
        for col in range(0, source.geobox.width, STRIP)
    ]


def _in_places(with_value: Bools) -> Ints:
    """Number of true pixels in each place of a window that starts at one."""
    rows, cols = (np.arange(0, length, SIZE) for length in with_value.shape)
    return np.add.reduceat(np.add.reduceat(with_value.astype(np.int64), rows, axis=0), cols, axis=1)


def _spread(counts: Ints, source: Source, number: int) -> list[Window]:
    """Places spread evenly over the pixels that were counted, from the first row to the last."""
    chosen = np.flatnonzero(counts)
    if len(chosen) > number:
        upto = counts.ravel().cumsum()
        chosen = np.unique(np.searchsorted(upto, (np.arange(number) + 0.5) / number * upto[-1], side="right"))
    places = [divmod(int(i), counts.shape[1]) for i in chosen]
    return [
        Window(
            row * SIZE,
            col * SIZE,
            min(SIZE, source.geobox.height - row * SIZE),
            min(SIZE, source.geobox.width - col * SIZE),
        )
        for row, col in places
    ]


def _cells(source: Source) -> tuple[int, int]:
    """Rows and columns of places that cover a scene."""
    return -(-source.geobox.height // SIZE), -(-source.geobox.width // SIZE)
