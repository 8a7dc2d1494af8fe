"""Blending, against plain loops over every window."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.grid import Chunk, Grid
from landmap.mosaic import NODATA, cell_probabilities, cover, empty_cover

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
