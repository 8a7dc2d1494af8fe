"""The choice of a precision: a reduced one is taken only if it gives the windows of the scene the same classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from landmap.errors import SettingsError
from landmap.inference.chunking import SMALLEST_TILE
from landmap.inference.engine import FEW_WINDOWS
from landmap.inference.plan import Plan
from landmap.inference.predict import chunk_windows, cover_chunk
from landmap.inference.work import load
from landmap.scene.sample import places_with_data
from landmap.tiling import Chunk, Window
from landmap_models.legend import NODATA
from landmap_models.model_file.archive import is_graph

if TYPE_CHECKING:  # it imports TensorFlow's start
    from landmap_models.inference.tensorflow import Precision

AGREEMENT = 0.999
"""Share of windows, from 0 to 1, whose class must be the same as in float32."""
WINDOWS = 6000
"""Number of windows in a sample, about."""
FEW_WITH_DATA = WINDOWS // 10
"""If fewer windows of the sample see data, another sample is taken where there are data."""
PIXELS_OF_A_WINDOW = 64
"""Where pixels are compared, so many of them count as a window in all three numbers."""
CHIPS_ONLY: dict[Precision, Precision] = {"bfloat16": "bfloat16-chips", "float16": "float16-chips"}
"""The precision in which only the network for chips computes, by that of both networks."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision, and why it was chosen."""

    precision: Precision
    """Number format in which the model computes."""
    reason: str
    """The precision and why it was chosen, in words."""


def choose_precision(plan: Plan) -> Choice:
    """The precision that the settings name, or for "auto" the fastest that changes hardly any class.

    Args:
        plan: The plan of the scene, from which windows are sampled; its model is a file.

    Raises:
        ModelError: The device is not there, or the model can't be loaded.
        SceneError: The scene can't be read.
    """
    if plan.engine.name != "tensorflow":
        return Choice("float32", f"float32 by {plan.engine}: {plan.engine_reason}")
    from landmap_models.inference.tensorflow import fast_precision, find_device

    wanted, device = plan.settings.precision, find_device(plan.settings.device)
    if plan.model_path and is_graph(plan.model_path):
        if wanted not in ("auto", "float32"):
            raise SettingsError(f"precision: expected float32, as {plan.card.name} is an imported graph: leave it out")
        return Choice("float32", "float32: an imported graph")
    if wanted != "auto":
        return Choice(wanted, f"{wanted}, as asked")
    shape = plan.grid.height, plan.grid.width
    if _answers([shape], plan.grid.num_windows, maps=plan.method.per_pixel) < FEW_WINDOWS:
        return Choice("float32", "float32: a small scene")
    fast = fast_precision(device)
    if fast == "float32":
        return Choice("float32", "float32: the device has nothing faster")
    found = ""
    for candidate, maps in _candidates(plan, fast):
        agreement, number = _agreement(plan, candidate, maps=maps)
        if not number:
            return Choice("float32", "float32: the sample has no data to try another on")
        what = "pixels" if maps else "windows"
        found += f"{'; ' if found else ''}{100 * agreement:.2f} % of {number:,} sampled {what} have the same class in "
        found += f"{candidate} as in float32"
        if agreement >= AGREEMENT:
            return Choice(candidate, f"{candidate}: {found}")
    return Choice("float32", f"float32: {found}")


def _candidates(plan: Plan, fast: Precision) -> list[tuple[Precision, bool]]:
    """Precisions to try, the fastest first, and whether maps are compared, or the classes of windows."""
    if not plan.detail:
        return [(fast, plan.method.per_pixel)]
    return [(fast, True), (CHIPS_ONLY[fast], False)]


def _agreement(plan: Plan, fast: Precision, *, maps: bool) -> tuple[float, int]:
    """Share of sampled windows, or pixels, with the same class in both precisions, and their number."""
    chunks = _small_chunks(plan)
    found = _same(plan, fast, _spread(plan, chunks, maps=maps), maps=maps)
    if _answers([found.shape], found.size, maps=maps) < FEW_WITH_DATA and len(chunks) > 1:
        found = _same(plan, fast, _spread(plan, _with_data(plan, chunks), maps=maps), maps=maps)
    return float(found.mean()) if found.size else 0.0, found.size


def _same(plan: Plan, fast: Precision, chunks: list[Chunk], *, maps: bool) -> npt.NDArray[np.bool_]:
    """Whether each window of some chunks that sees data, or each pixel of their map, has the same class in both."""
    if not chunks:
        return np.zeros(0, np.bool_)
    tile = _tile([plan.grid.padded_window(c) for c in chunks]) if plan.method.in_one_pass else None
    how = replace(plan.chunk_settings(), tile=tile, detail=plan.detail_settings(chunks))
    same: list[npt.NDArray[np.bool_]] = []
    for chunk in chunks:
        pixels = plan.scene.read(plan.grid.read_window(chunk))
        models = [load(plan, precision) for precision in ("float32", fast)]
        if plan.detail and maps:
            exact, reduced = (cover_chunk(pixels, plan.grid, chunk, model, how).classes for model in models)
            same.append((exact == reduced)[exact != NODATA])
        else:
            (one, weights), (other, _) = (chunk_windows(pixels, plan.grid, chunk, model, how) for model in models)
            same.append((one.argmax(axis=-1) == other.argmax(axis=-1))[weights > 0])
    return np.concatenate(same)


def _small_chunks(plan: Plan) -> list[Chunk]:
    """The scene in small chunks, without those that a mask is known to leave out."""
    side = plan.grid.stride if plan.method.per_pixel else SMALLEST_TILE - 2 * plan.grid.chip_size
    margin = 1 if plan.detail else 0
    return [
        c for c in plan.grid.chunks(side, side, margin=margin) if not plan.scene.left_out(plan.grid.owned_window(c))
    ]


def _with_data(plan: Plan, chunks: list[Chunk]) -> list[Chunk]:
    """Those chunks in which data were found that no mask hides."""
    places = places_with_data(plan.scene.source, [mask for mask in plan.scene.masks if mask.masks_input])
    middles = np.array([(p.row_off + p.height // 2, p.col_off + p.width // 2) for p in places]).reshape(-1, 2)

    def has_data(window: Window) -> bool:
        inside = (middles >= (window.row_off, window.col_off)) & (
            middles < (window.row_off + window.height, window.col_off + window.width)
        )
        return bool(inside.all(axis=1).any())

    return [chunk for chunk in chunks if has_data(plan.grid.owned_window(chunk))]


def _answers(shapes: Sequence[tuple[int, ...]], windows: int, *, maps: bool) -> int:
    """Number of windows whose answers count, or of as many pixels as are worth a window each.

    Args:
        shapes: Shapes of arrays of pixels.
        windows: Number of windows.
        maps: Whether pixels count.
    """
    return sum(map(math.prod, shapes)) // PIXELS_OF_A_WINDOW if maps else windows


def _spread(plan: Plan, chunks: list[Chunk], *, maps: bool) -> list[Chunk]:
    """Chunks that are spread evenly over all of them and together have about `WINDOWS` windows."""
    windows = max(
        (
            _answers([plan.grid.owned_window(c).shape], len(c.window_rows) * len(c.window_cols), maps=maps) or 1
            for c in chunks
        ),
        default=1,
    )
    number = min(len(chunks), -(-WINDOWS // windows))
    return [chunks[(2 * i + 1) * len(chunks) // (2 * number)] for i in range(number)]


def _tile(windows: list[Window]) -> tuple[int, int]:
    return max(w.height for w in windows), max(w.width for w in windows)
