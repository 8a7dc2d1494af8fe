"""Blending, against plain loops over every window."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.inference.stitch import ChunkCover, cell_probabilities, cover, empty_cover, smooth_cover
from landmap.tiling import Chunk, Grid
from landmap_models.legend import NODATA

Floats = npt.NDArray[np.float32]


def oracle(windows: Floats, weights: Floats, grid: Grid) -> npt.NDArray[np.float64]:
    """For every cell of the scene, ask every window whether it covers it."""
    out = np.zeros((grid.rows.cells, grid.cols.cells, windows.shape[-1]))
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            total = 0.0
            for i in range(windows.shape[0]):
                for j in range(windows.shape[1]):
                    if i <= r < i + grid.reach and j <= c < j + grid.reach:
                        out[r, c] += windows[i, j].astype(float) * float(weights[i, j])
                        total += float(weights[i, j])
            if total:
                out[r, c] /= total
    return out


def part(array: Floats, chunk: Chunk) -> Floats:
    return array[chunk.window_rows.start : chunk.window_rows.stop, chunk.window_cols.start : chunk.window_cols.stop]


def blend(windows: Floats, weights: Floats, grid: Grid, chunk_size: int) -> Floats:
    out = np.full((grid.rows.cells, grid.cols.cells, windows.shape[-1]), np.nan, np.float32)
    for chunk in grid.chunks(chunk_size, chunk_size):
        rows, cols = chunk.cell_rows, chunk.cell_cols
        out[rows.start : rows.stop, cols.start : cols.stop] = cell_probabilities(
            part(windows, chunk), part(weights, chunk), grid, chunk
        )
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 2, 4, 8]))
def test_blending_equals_plain_loops(seed: int, height: int, width: int, stride: int) -> None:
    grid = Grid(height, width, 8, stride)
    rng = np.random.default_rng(seed)
    windows = rng.random((grid.rows.windows, grid.cols.windows, 3), dtype=np.float32)
    weights = rng.random((grid.rows.windows, grid.cols.windows), dtype=np.float32)
    weights[rng.random(weights.shape) < 0.3] = 0
    np.testing.assert_allclose(blend(windows, weights, grid, 1000), oracle(windows, weights, grid), atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([1, 2, 4, 8]))
def test_chunk_size_changes_no_bit(seed: int, chunk_size: int, stride: int) -> None:
    grid = Grid(29, 37, 8, stride)
    rng = np.random.default_rng(seed)
    windows = rng.random((grid.rows.windows, grid.cols.windows, 3), dtype=np.float32)
    weights = rng.random((grid.rows.windows, grid.cols.windows), dtype=np.float32)
    assert blend(windows, weights, grid, chunk_size).tobytes() == blend(windows, weights, grid, 1000).tobytes()


def test_a_window_without_weight_says_nothing() -> None:
    grid = Grid(8, 12, 8, 4)
    windows = np.array([[[1, 0], [0, 1]]], np.float32)
    weights = np.array([[1, 0]], np.float32)
    (chunk,) = grid.chunks(100, 100)
    blended = cell_probabilities(windows, weights, grid, chunk)
    np.testing.assert_array_equal(blended[:, :2], np.broadcast_to([1, 0], (2, 2, 2)))
    np.testing.assert_array_equal(blended[:, 2], np.zeros((2, 2)))


def test_cells_become_pixels_and_nodata_stays() -> None:
    probabilities = np.array([[[0.2, 0.8], [0.5, 0.5]]], np.float32)
    valid = np.ones((3, 5), bool)
    valid[2, 4] = False
    made = cover(probabilities, valid, 4, keep_probabilities=True)
    np.testing.assert_array_equal(made.classes, [[1, 1, 1, 1, 0]] * 2 + [[1, 1, 1, 1, NODATA]])
    np.testing.assert_array_equal(made.confidence, [[80, 80, 80, 80, 50]] * 2 + [[80, 80, 80, 80, NODATA]])
    assert made.probabilities is not None
    assert made.probabilities[:, 0, 0].tolist() == [20, 80]
    assert made.probabilities[:, 2, 4].tolist() == [NODATA, NODATA]


@pytest.mark.parametrize("keep", [True, False])
def test_an_empty_chunk_is_all_nodata(keep: bool) -> None:
    made = empty_cover(np.zeros((2, 3), bool), 4, keep_probabilities=keep)
    assert (made.classes == NODATA).all()
    assert made.classes.shape == (2, 3)
    assert (made.probabilities is not None) == keep


def smoothed(probabilities: Floats, valid: npt.NDArray[np.bool_], grid: Grid, chunk_size: int) -> ChunkCover:
    """A smooth cover, put together from its chunks."""
    classes, confidence = np.full(valid.shape, 99, np.uint8), np.full(valid.shape, 99, np.uint8)
    layers = np.full((probabilities.shape[-1], *valid.shape), 99, np.uint8)
    for chunk in grid.chunks(chunk_size, chunk_size, margin=1):
        own, around = grid.owned_window(chunk), grid.blended_window(chunk)
        rows, cols = chunk.blended_rows, chunk.blended_cols
        before = (own.row_off - around.row_off) // grid.stride, (own.col_off - around.col_off) // grid.stride
        part = probabilities[rows.start : rows.stop, cols.start : cols.stop]
        place = slice(own.row_off, own.row_off + own.height), slice(own.col_off, own.col_off + own.width)
        made = smooth_cover(part, before, valid[place], grid.stride, keep_probabilities=True)
        assert made.probabilities is not None
        classes[place], confidence[place] = made.classes, made.confidence
        layers[:, place[0], place[1]] = made.probabilities
    return ChunkCover(classes, confidence, layers)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([1, 2, 4, 8]))
def test_smoothing_interpolates_between_centres_whatever_the_chunks(seed: int, chunk_size: int, stride: int) -> None:
    grid = Grid(21, 27, 8, stride)
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), (grid.rows.cells, grid.cols.cells)).astype(np.float32)
    valid = rng.random((21, 27)) < 0.8
    made, whole = (smoothed(probabilities, valid, grid, size) for size in (chunk_size, 1000))
    assert made.classes.tobytes() == whole.classes.tobytes()
    assert made.confidence.tobytes() == whole.confidence.tobytes()
    # Another way to the same: SciPy's interpolation, as it is beyond the last centres.
    axes = [
        np.clip((np.arange(pixels) - (stride - 1) / 2) / stride, 0, cells - 1)
        for pixels, cells in zip(valid.shape, probabilities.shape[:2], strict=True)
    ]
    fine = interpolated(probabilities, np.meshgrid(*axes, indexing="ij"))
    assert whole.probabilities is not None
    assert (np.abs(whole.probabilities[:, valid] - 100 * fine[:, valid]) <= 0.51).all()
    assert (made.classes[~valid] == NODATA).all()
    assert (made.classes[valid] < 3).all()


def interpolated(probabilities: Floats, places: Any) -> Any:
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(layer, places, order=1) for layer in np.moveaxis(probabilities, -1, 0)])


def test_a_cell_without_probabilities_has_no_say_in_a_smooth_cover() -> None:
    probabilities = np.array([[[0, 0], [0.2, 0.8]]], np.float32)
    made = smooth_cover(probabilities, (0, 0), np.ones((4, 8), bool), 4)
    assert (made.classes[:, 2:] == 1).all()
    assert (made.confidence[:, 2:] == 80).all()
