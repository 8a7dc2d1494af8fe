"""The grid, against an oracle that asks every pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.errors import SettingsError
from landmap.tiling import Axis, Grid, Span, Window

STRIDES = st.sampled_from([(64, 64), (64, 32), (64, 16), (64, 8), (12, 4), (6, 1), (5, 5), (1, 1)])
LENGTHS = st.integers(1, 300)
CHUNKS = st.integers(20, 200)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    chip_size, stride = draw(STRIDES)
    return Grid(draw(LENGTHS), draw(LENGTHS), chip_size, stride)


@given(grids(), CHUNKS, CHUNKS)
def test_every_pixel_is_owned_by_exactly_one_chunk(grid: Grid, height: int, width: int) -> None:
    owners = np.zeros((grid.height, grid.width), int)
    for chunk in grid.chunks(height, width):
        w = grid.owned_window(chunk)
        assert w.height >= 1
        assert w.width >= 1
        owners[w.row_off : w.row_off + w.height, w.col_off : w.col_off + w.width] += 1
    assert (owners == 1).all()


@given(LENGTHS, STRIDES)
def test_every_pixel_lies_in_a_window_and_every_window_in_reach_of_the_scene(
    pixels: int, sizes: tuple[int, int]
) -> None:
    axis = Axis(pixels, *sizes)
    starts = [i * axis.stride for i in range(axis.windows)]
    covered = {p for start in starts for p in range(start, start + axis.chip_size)}
    assert set(range(pixels)) <= covered
    assert starts[-1] < pixels, "a window wholly outside the scene is wasted"
    assert max(covered) < max(pixels + axis.stride, axis.chip_size), "padding is less than a cell, or up to a chip"


@given(LENGTHS, STRIDES, st.data())
def test_windows_over_are_those_that_touch_the_cells(pixels: int, sizes: tuple[int, int], data: st.DataObject) -> None:
    axis = Axis(pixels, *sizes)
    start = data.draw(st.integers(0, axis.cells - 1))
    stop = data.draw(st.integers(start + 1, axis.cells))
    touching = [
        i
        for i in range(axis.windows)
        if i * axis.stride < stop * axis.stride and i * axis.stride + axis.chip_size > start * axis.stride
    ]
    span = axis.windows_over(Span(start, stop))
    assert list(range(span.start, span.stop)) == touching


@given(grids(), CHUNKS, CHUNKS)
def test_a_chunk_reads_inside_the_scene_and_holds_what_it_owns(grid: Grid, height: int, width: int) -> None:
    for chunk in grid.chunks(height, width):
        owned, read, padded = grid.owned_window(chunk), grid.read_window(chunk), grid.padded_window(chunk)
        assert 0 <= read.row_off <= owned.row_off
        assert 0 <= read.col_off <= owned.col_off
        assert owned.row_off + owned.height <= read.row_off + read.height <= grid.height
        assert owned.col_off + owned.width <= read.col_off + read.width <= grid.width
        assert read.row_off <= padded.row_off
        assert read.col_off <= padded.col_off


@given(LENGTHS, STRIDES, st.data())
def test_what_is_read_suffices_for_reflection_and_is_no_more_than_needed(
    pixels: int, sizes: tuple[int, int], data: st.DataObject
) -> None:
    axis = Axis(pixels, *sizes)
    start = data.draw(st.integers(0, axis.windows - 1))
    windows = Span(start, data.draw(st.integers(start + 1, axis.windows)))
    wanted, read = axis.pixels_of_windows(windows), axis.pixels_to_read(windows)
    sources = np.pad(np.arange(pixels), (0, max(0, wanted.stop - pixels)), mode="reflect" if pixels > 1 else "edge")
    needed = sources[wanted.start : wanted.stop]
    assert (read.start, read.stop - 1) == (needed.min(), needed.max())


@given(grids(), CHUNKS, CHUNKS)
def test_chunks_are_numbered_in_row_major_order(grid: Grid, height: int, width: int) -> None:
    chunks = list(grid.chunks(height, width))
    assert [c.index for c in chunks] == list(range(len(chunks)))
    offsets = [(c.cell_rows.start, c.cell_cols.start) for c in chunks]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize(
    ("pixels", "stride", "windows", "reason"),
    [
        (10980, 64, 172, "171 whole chips and a part"),
        (10980, 8, 1366, "cells 0 to 1372, less the seven that a window reaches further"),
        (64, 8, 1, "one chip"),
        (65, 8, 2, "one pixel more needs one window more"),
        (1, 64, 1, "a scene of one pixel still has a window"),
    ],
)
def test_number_of_windows(pixels: int, stride: int, windows: int, reason: str) -> None:
    assert Axis(pixels, 64, stride).windows == windows, reason


def test_a_full_scene_has_the_windows_of_the_design() -> None:
    assert Grid(10980, 10980, 64, 64).num_windows == 172 * 172
    assert Grid(10980, 10980, 64, 8).num_windows == 1366 * 1366


@pytest.mark.parametrize(("height", "stride"), [(0, 8), (10, 0), (10, 24), (10, 128)])
def test_impossible_grids_are_refused(height: int, stride: int) -> None:
    with pytest.raises(SettingsError, match="Expected"):
        Grid(height, 10, 64, stride)


def test_a_window_says_where_it_is() -> None:
    assert str(Window(64, 0, 10, 20)) == "rows 64-73, columns 0-19"


@given(grids(), CHUNKS, CHUNKS, st.integers(0, 3))
def test_a_margin_adds_neighbours_and_their_windows_and_moves_nothing(
    grid: Grid, height: int, width: int, margin: int
) -> None:
    for plain, wide in zip(grid.chunks(height, width), grid.chunks(height, width, margin), strict=True):
        assert (wide.cell_rows, wide.cell_cols) == (plain.cell_rows, plain.cell_cols)
        assert wide.blended_rows.start == max(0, plain.cell_rows.start - margin)
        assert wide.blended_cols.stop == min(grid.cols.cells, plain.cell_cols.stop + margin)
        assert wide.window_cols == grid.cols.windows_over(wide.blended_cols)
        owned, around = grid.owned_window(wide), grid.blended_window(wide)
        assert around.row_off <= owned.row_off
        assert around.row_off + around.height >= owned.row_off + owned.height
        assert grid.blended_window(plain) == grid.owned_window(plain)
