"""How large chunks are: as large as memory allows, or whole blocks of the file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from landmap.inference.methods import Method
from landmap.io.reading import SLOW_CACHE_BYTES, cache_bytes, is_slow
from landmap.scene.scene import Scene
from landmap.settings import ComputeSettings
from landmap.tiling import Chunk, Grid, Window
from landmap_models.inference.engines import InferenceEngine
from landmap_models.model_file.card import ModelCard

CHUNK_PIXELS = 1024 * 1024
"""Number of pixels that a chunk owns, about, where chips are predicted one by one and `chunk` is not set."""
BASE_BYTES = 1_050_000_000
"""Memory that Python, TensorFlow, GDAL and the model need before the first chunk: the most that was measured in whole
runs on two kinds of processors (Intel with AMX, AMD Zen 5), without their chunk."""
SMALLEST_TILE = InferenceEngine().smallest_tile
"""Height and width in pixels of the smallest tile that TensorFlow predicts in one pass: see `InferenceEngine`."""
LONGEST_CHUNK = 1024
"""Most pixels along a chunk's side for models that answer for each pixel: larger ones would save little reading."""
LARGE_BLOCKS = 200e6
"""Size in bytes of decoded blocks above which the plan warns."""


def itemsize_of(precision: str) -> int:
    """Bytes of a number in a precision; for "auto" those of the largest that may be chosen."""
    return 2 if precision in ("bfloat16", "float16") else 4


def chunk_shape(
    scene: Scene, grid: Grid, card: ModelCard, method: Method, settings: ComputeSettings, itemsize: int
) -> tuple[int, int]:
    """Rows and columns of pixels that a chunk owns at most. They change memory and time, never the result.

    Args:
        scene: The scene that is read.
        grid: Its windows and cells.
        card: The model's card.
        method: How windows are predicted.
        settings: `chunk` and `memory` are used.
        itemsize: Bytes of a number in the precision that is computed in.
    """
    if settings.chunk is not None:
        height, width = settings.chunk, settings.chunk
    elif method.per_pixel:
        free = settings.memory - BASE_BYTES - remembered_bytes(scene) - method.window_bytes(itemsize)
        side = math.isqrt(max(0, int(free / bytes_per_pixel(scene, card, method, itemsize))))
        height = width = max(1, min(LONGEST_CHUNK, side) // grid.stride) * grid.stride
    elif not method.in_one_pass:
        height, width = _by_blocks(scene, grid)
    else:
        free = settings.memory - BASE_BYTES - remembered_bytes(scene)
        tile = math.isqrt(max(0, int(free / bytes_per_pixel(scene, card, method, itemsize))))
        # Without the windows that reach over its border; a chunk smaller than the smallest tile would save nothing.
        side = max(grid.stride, max(tile, SMALLEST_TILE) - 2 * grid.chip_size)
        height, width = _even(scene.geobox.height, side, grid.stride), _even(scene.geobox.width, side, grid.stride)
    return min(height, scene.geobox.height), min(width, scene.geobox.width)


def _even(length: int, most: int, stride: int) -> int:
    """Length of a chunk in pixels when a length is cut into equal chunks, so that none leaves its tile half empty.

    Args:
        length: Length of the scene in pixels.
        most: Length of a chunk in pixels that must not be exceeded.
        stride: Pixels of a cell, of which a chunk owns whole ones.
    """
    cells = -(-length // stride)
    number = -(-cells // max(1, most // stride))
    return -(-cells // number) * stride


def _by_blocks(scene: Scene, grid: Grid) -> tuple[int, int]:
    """Rows and columns of about a million pixels in whole blocks of the file, so that none is decoded twice.

    A file in strips is cut into whole rows. Blocks that are larger than four chunks are disregarded: memory is worth
    more than time.
    """
    rows, cols = scene.source.block_shape
    if rows * cols > 4 * CHUNK_PIXELS:
        rows, cols = 1, min(cols, scene.geobox.width)
    side = math.isqrt(CHUNK_PIXELS)
    if cols >= scene.geobox.width:
        return max(side * side // scene.geobox.width, grid.chip_size, rows), scene.geobox.width
    return _whole_blocks(side, rows), _whole_blocks(side, cols)


def bytes_per_pixel(scene: Scene, card: ModelCard, method: Method, itemsize: int) -> float:
    """Bytes for each pixel of a chunk: values and reflectance of two chunks, one of which is read, and the network."""
    bands = len(card.input_names) + (4 if scene.nir else 0)
    answers = 13 * len(card.legend) if method.per_pixel else 0  # as floats twice, multiplied by 100, and as bytes
    return bands * 36 + answers + method.bytes_per_pixel(itemsize)


def block_bytes(scene: Scene) -> int:
    """Bytes of the blocks that GDAL decodes at the same time, one for each band."""
    return math.prod(scene.source.block_shape) * np.dtype(scene.source.dtype).itemsize * len(scene.source.band_names)


def remembered_bytes(scene: Scene) -> int:
    """Bytes of the decoded blocks that are kept between chunks, or that reading one chunk needs if that is more."""
    return max(SLOW_CACHE_BYTES if is_slow(scene.source.opens) else 0, block_bytes(scene))


def _decoded_bytes(scene: Scene) -> float:
    """Bytes that GDAL has decoded for each pixel of a scene's grid once all bands that are used have been read."""
    number = len(scene.source.band_names) + bool(scene.nir) + len(scene.further.names if scene.further else ())
    sizes = [1.0] * number
    if scene.product is not None:  # whose coarser bands have fewer pixels
        sizes = [band.resolution or scene.product.bands[0].resolution or 1.0 for band in scene.product.bands[:number]]
    return sum((min(sizes) / size) ** 2 for size in sizes) * np.dtype(scene.source.dtype).itemsize


def reading_order(chunks: Sequence[Chunk], scene: Scene, grid: Grid) -> list[Chunk]:
    """Chunks in the order in which few blocks of a slow file are decoded twice.

    Chunks below each other share the blocks under their margins. They find them decoded if all that is read in between
    fits in GDAL's cache. Where a whole row of chunks is too much, the scene is read in strips of columns, one after the
    other, and only blocks at the borders of strips are decoded twice.

    Args:
        chunks: Chunks of one scene, row by row.
        scene: The scene that is read.
        grid: Its windows and cells.
    """
    if not is_slow(scene.source.opens):
        return list(chunks)
    columns = sorted({chunk.cell_cols.start for chunk in chunks})
    for number in range(1, len(columns) + 1):
        width = -(-len(columns) // number)
        strips = {column: i // width for i, column in enumerate(columns)}
        if _met_together(chunks, strips, scene, grid) <= cache_bytes(scene.source.opens):
            break
    return sorted(chunks, key=lambda chunk: (strips[chunk.cell_cols.start], chunk.index))


def _met_together(chunks: Sequence[Chunk], strips: dict[int, int], scene: Scene, grid: Grid) -> float:
    """Bytes of the decoded blocks that the chunks of one row in one strip meet, at most.

    Args:
        chunks: Chunks of one scene.
        strips: The number of a chunk's strip, by its first column of cells.
        scene: The scene that is read.
        grid: Its windows and cells.
    """
    met: dict[tuple[int, int], list[Window]] = {}
    for chunk in chunks:
        place = strips[chunk.cell_cols.start], chunk.cell_rows.start
        met.setdefault(place, []).append(grid.read_window(chunk))
    (top, left), (rows, cols) = scene.source.corner, scene.source.block_shape
    most = 0
    for windows in met.values():
        row, col = windows[0].row_off + top, windows[0].col_off + left
        end_row, end_col = row + windows[0].height, windows[-1].col_off + windows[-1].width + left
        most = max(most, (-(-end_row // rows) - row // rows) * (-(-end_col // cols) - col // cols))
    return most * rows * cols * _decoded_bytes(scene)


def large_blocks(scene: Scene) -> list[str]:
    """The warning about a file of huge blocks, each of which is decoded whole whenever a part of it is read."""
    if block_bytes(scene) < LARGE_BLOCKS:
        return []
    rows, cols = scene.source.block_shape
    return [
        f"the file is stored in blocks of {rows}x{cols} pixels, {block_bytes(scene) / 1e6:.0f} MB each time one is "
        "read: rewrite it for less memory and time (gdal_translate -co TILED=YES)"
    ]


def _whole_blocks(length: int, block: int) -> int:
    return max(1, round(length / block)) * block
