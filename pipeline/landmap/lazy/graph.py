"""The tasks of a lazy map: one a chunk, from the blocks of its input that it overlaps to its part of the cover.

A chunk's task gets the input's blocks as they are, and cuts its pixels with their margin out of them itself: no block
is read, copied or rechunked more than once, however the input is cut, and the graph has few tasks. What travels with a
task is small: where the scene lies and how it is read, the name of the model's file, and no pixel and no network.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.inference.plan import Plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, ModelFile, chunk_work
from landmap.lazy.xarray_bands import Encoded, LazyBand, LazyBands
from landmap.pixels import Pixels
from landmap.scene.arrays import reading
from landmap.tiling import Chunk, Window
from landmap_models.inference.classifier import Classifier

PREDICT = "landmap-predict"
"""Start of the names of the tasks that run the network; Dask's dashboard lists them by it."""

Array = npt.NDArray[Any]
Key = tuple[Any, ...]

_loading = Lock()


@dataclass(frozen=True, slots=True)
class Cut:
    """How the bands that share the blocks of one array are cut out of the blocks that a chunk overlaps."""

    top: int
    """First row of these blocks in the scene."""
    left: int
    """First column of these blocks in the scene."""
    bands: tuple[tuple[int, tuple[int, ...], Encoded | None], ...]
    """Of each band its number from 1, its place along the first dimensions of a block, and how its values are decoded
    back to those in a file (None: they are those)."""

    def window(self, blocks: Sequence[Sequence[Array]], place: tuple[int, ...], window: Window) -> Array:
        """A band's pixels in a window of the scene, `(height, width)`, out of blocks by row and column."""
        out = np.empty(window.shape, blocks[0][0].dtype)
        row = self.top
        for line in blocks:
            col = self.left
            for block in line:
                height, width = block.shape[-2:]
                into, rows = _overlap(row, height, window.row_off, window.height)
                onto, cols = _overlap(col, width, window.col_off, window.width)
                out[into, onto] = block[place][rows, cols]
                col += width
            row += height
        return out


def _overlap(start: int, length: int, first: int, wanted: int) -> tuple[slice, slice]:
    """Where a block lies in a window, and the window in the block, along an axis."""
    low, high = max(start, first), min(start + length, first + wanted)
    return slice(low - first, high - first), slice(low - start, high - start)


@dataclass(frozen=True, slots=True)
class DateTasks:
    """What the tasks of one date have in common."""

    work: ChunkWork
    """What is done to a chunk, as of a file."""
    model: ModelFile | Classifier
    """What predicts."""


def predict_chunk(date: DateTasks, chunk: Chunk, cuts: Sequence[Cut], blocks: Sequence[Any]) -> ChunkCover:
    """Read, predict and stitch a chunk, as an executor does with a file.

    Args:
        date: What the chunks of its date have in common.
        chunk: The chunk, whose cells and windows are those of the date's grid.
        cuts: For each array how its bands are cut out.
        blocks: For each array the blocks that the chunk overlaps, in rows.

    Raises:
        LandmapError: The model is not found here, or its answers are no probabilities.
    """
    pixels = _read(date.work, chunk, cuts, blocks)
    return date.work.predict(chunk, pixels, _classifier(date.model))


def _read(work: ChunkWork, chunk: Chunk, cuts: Sequence[Cut], blocks: Sequence[Any]) -> Pixels | None:
    """The pixels of a chunk; see `predict_chunk` and `ChunkWork.read`."""
    window = work.grid.read_window(chunk)
    arrays: dict[int, Array] = {}
    for cut, lines in zip(cuts, blocks, strict=True):
        for number, place, encoded in cut.bands:
            values = cut.window(lines, place, window)
            arrays[number] = values if encoded is None else encoded.stored(values)

    def read(numbers: Sequence[int], part: Window) -> Array:
        row, col = part.row_off - window.row_off, part.col_off - window.col_off
        return np.stack([arrays[n][row : row + part.height, col : col + part.width] for n in numbers])

    with reading(read):
        return work.read(chunk)


def _classifier(model: ModelFile | Classifier) -> Classifier:
    """The model, which this process loads once."""
    if not isinstance(model, ModelFile):
        return model
    with _loading:
        if model.path.is_file():
            return model.load()
        from landmap.executors.worker import found_model

        return model.load(found_model(model))


def cover_arrays(
    bands: LazyBands,
    plans: Sequence[Plan],
    encoded: Sequence[Mapping[int, Encoded]],
    model: ModelFile | Classifier,
    layers: Sequence[str],
) -> dict[str, Any]:
    """Dask arrays of a cover.

    Args:
        bands: The lazy arrays of all dates, by band.
        plans: The plan of each date.
        encoded: Of each date, how bands are decoded back, by number.
        model: The file of a model, which a process loads once, or a classifier.
        layers: Names of the fields of `ChunkCover` that are wanted.

    Returns:
        By layer, an array `(dates, rows, columns)`, without dates where the input has none; that of "probabilities" has
        classes as its first dimension.
    """
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    shape = tuple(min(lengths) for lengths in zip(*(plan.chunk_shape for plan in plans), strict=True))
    plans = [replace(plan, chunk_shape=shape) for plan in plans]
    keep = "probabilities" in layers
    dates = [DateTasks(chunk_work(plan, keep_probabilities=keep), model) for plan in plans]
    used = [_used(plan) for plan in plans]
    inputs = {id(b.array): b.array for date, numbers in zip(bands.dates, used, strict=True) for b in _of(date, numbers)}
    token = tokenize(pickle.dumps([dates, encoded]), [array.name for array in inputs.values()], layers)
    name = f"{PREDICT}-{token}"
    tasks: dict[Key, Any] = {}
    for t, (date, plan, numbers) in enumerate(zip(dates, plans, used, strict=True)):
        groups = _groups(bands.dates[t], numbers, encoded[t])
        for chunk, (i, j) in zip(plan.chunks(), np.ndindex(_counts(plan)), strict=True):
            window = plan.grid.read_window(chunk)
            cuts, keys = zip(*(group.over(window) for group in groups), strict=True)
            tasks[name, t, i, j] = (predict_chunk, date, chunk, cuts, list(keys))
    graph = HighLevelGraph.merge(*(array.dask for array in inputs.values()))
    graph = HighLevelGraph(
        {**graph.layers, name: tasks}, {**graph.dependencies, name: {array.name for array in inputs.values()}}
    )
    return {layer: _array(graph, name, layer, plans, dated=bands.has_time) for layer in layers}


def _of(date: Sequence[LazyBand], numbers: Sequence[int]) -> list[LazyBand]:
    return [date[number - 1] for number in numbers]


def _used(plan: Plan) -> list[int]:
    """Numbers, from 1, of the bands that a plan reads."""
    scene = plan.scene
    sources = [scene.source, *([scene.nir.source] if scene.nir else [])]
    sources += [source for source, _ in (scene.further.parts if scene.further else ())]
    sources += [layer.source for mask in scene.masks for layer in getattr(mask, "layers", ())]
    return sorted({number for source in sources for number in source.band_indexes})


def _counts(plan: Plan) -> tuple[int, int]:
    """Number of rows and of columns of chunks."""
    rows, cols = _lengths(plan)
    return len(rows), len(cols)


def _lengths(plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Height of each row, and width of each column of chunks."""
    windows = [plan.grid.owned_window(chunk) for chunk in plan.chunks()]
    rows = {window.row_off: window.height for window in windows}
    cols = {window.col_off: window.width for window in windows}
    return tuple(rows.values()), tuple(cols.values())


@dataclass(frozen=True, slots=True)
class _Group:
    """Bands that lie in the same blocks of one array."""

    name: str
    """Name of the array in the graph."""
    lead: tuple[int, ...]
    """Place of these blocks along the first dimensions."""
    starts: tuple[list[int], list[int]]
    """First row of each row of blocks, and first column of each column, and where the last ones end."""
    bands: tuple[tuple[int, tuple[int, ...], Encoded | None], ...]
    """See `Cut.bands`."""

    def over(self, window: Window) -> tuple[Cut, list[list[Key]]]:
        """How a window is cut out, and the keys of the blocks that it overlaps, in rows."""
        rows = _overlapped(self.starts[0], window.row_off, window.height)
        cols = _overlapped(self.starts[1], window.col_off, window.width)
        keys = [[(self.name, *self.lead, i, j) for j in cols] for i in rows]
        return Cut(self.starts[0][rows[0]], self.starts[1][cols[0]], self.bands), keys


def _overlapped(starts: Sequence[int], first: int, length: int) -> range:
    low, high = (int(i) for i in np.searchsorted(starts, [first, first + length - 1], side="right") - 1)
    return range(low, high + 1)


def _groups(date: Sequence[LazyBand], numbers: Sequence[int], encoded: Mapping[int, Encoded]) -> list[_Group]:
    """Bands by the blocks that they share."""
    found: dict[tuple[str, tuple[int, ...]], list[tuple[int, tuple[int, ...], Encoded | None]]] = {}
    starts = {}
    for number, band in zip(numbers, _of(date, numbers), strict=True):
        chunks = band.array.chunks
        places = [_place(lengths, at) for lengths, at in zip(chunks, band.lead, strict=False)]
        key = band.array.name, tuple(block for block, _ in places)
        starts[key] = [0, *accumulate(chunks[-2])], [0, *accumulate(chunks[-1])]
        found.setdefault(key, []).append((number, tuple(inner for _, inner in places), encoded.get(number)))
    return [_Group(*key, starts[key], tuple(members)) for key, members in found.items()]


def _place(lengths: Sequence[int], at: int) -> tuple[int, int]:
    """Number of the block along a dimension that holds a place, and the place in the block."""
    ends = list(accumulate(lengths))
    block = int(np.searchsorted(ends, at, side="right"))
    return block, at - (ends[block] - lengths[block])


def _array(graph: Any, predicted: str, layer: str, plans: Sequence[Plan], *, dated: bool) -> Any:
    """One layer of the cover as a Dask array."""
    import dask.array
    from dask.highlevelgraph import HighLevelGraph

    name = f"landmap-{layer}-{predicted.removeprefix(f'{PREDICT}-')}"
    rows, cols = _lengths(plans[0])
    first = (0,) if layer == "probabilities" else ()
    tasks = {
        (name, *first, *((t,) if dated else ()), i, j): (layer_of, (predicted, t, i, j), layer, dated)
        for t, i, j in np.ndindex(len(plans), len(rows), len(cols))
    }
    chunks: tuple[tuple[int, ...], ...] = (*(((1,) * len(plans),) if dated else ()), rows, cols)
    if first:
        chunks = ((len(plans[0].legend),), *chunks)
    whole = HighLevelGraph({**graph.layers, name: tasks}, {**graph.dependencies, name: {predicted}})
    return dask.array.Array(whole, name, chunks, dtype=np.uint8)


def layer_of(cover: ChunkCover, name: str, dated: bool) -> Array:
    """One of the arrays of a chunk's cover, in a dimension of one date if it is dated."""
    array: Array = getattr(cover, name)
    return np.expand_dims(array, -3) if dated else array
