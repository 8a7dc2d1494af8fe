"""Where windows, cells and chunks lie. Integers only, no pixels, no I/O.

A scene of height x width pixels is covered by *cells* of stride x stride pixels; the last row and column of cells may
reach beyond the scene. A *window* (the place of one chip) starts at a cell's corner and covers reach x reach cells,
where reach = chip_size / stride. There are just enough windows that every cell lies in at least one, so that the last
ones may reach beyond the scene by less than a cell, or by more where the scene is smaller than a chip.

A *chunk* is a rectangle of cells: every cell is owned by exactly one chunk, and a chunk needs every window that covers
one of its cells. Windows on the border between chunks are therefore predicted by both, which is what makes the result
independent of the chunk size.

Models that answer for each pixel are given windows, too, and *margin* pixels around each: the windows lie side by side
where the margin is all that answers depend on, and overlap by half where nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from landmap.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels."""

    row_off: int
    """First row, counted from 0 at the scene's upper edge."""
    col_off: int
    """First column, counted from 0 at the scene's left edge."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def __str__(self) -> str:
        last_row, last_col = self.row_off + self.height - 1, self.col_off + self.width - 1
        return f"rows {self.row_off}-{last_row}, columns {self.col_off}-{last_col}"


@dataclass(frozen=True, slots=True)
class Span:
    """A range of whole numbers, from `start` up to and without `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Axis:
    """Rows or columns of a scene: one dimension of a `Grid`."""

    pixels: int
    """Length of the scene along this axis."""
    chip_size: int
    """Height or width of a window in pixels."""
    stride: int
    """Height or width of a cell in pixels."""
    margin: int = 0
    """Pixels before and behind a window that the model is given, too."""

    @property
    def reach(self) -> int:
        """Number of cells along a window."""
        return self.chip_size // self.stride

    @property
    def cells(self) -> int:
        """Number of cells; the last may reach beyond the scene."""
        return -(-self.pixels // self.stride)

    @property
    def windows(self) -> int:
        """Number of windows: window i covers the cells i to i + reach - 1."""
        return max(1, self.cells - self.reach + 1)

    def widened(self, cells: Span, margin: int) -> Span:
        """These cells and `margin` cells more on each side, as far as the scene has any."""
        return Span(max(0, cells.start - margin), min(self.cells, cells.stop + margin))

    def windows_over(self, cells: Span) -> Span:
        """The windows that cover any of these cells."""
        return Span(max(0, cells.start - self.reach + 1), min(self.windows, cells.stop))

    def pixels_of_cells(self, cells: Span) -> Span:
        """The pixels of these cells that lie in the scene."""
        return Span(cells.start * self.stride, min(self.pixels, cells.stop * self.stride))

    def pixels_of_windows(self, windows: Span) -> Span:
        """The pixels of these windows and of the margin around them, *including* those beyond the scene."""
        first, last = windows.start * self.stride, (windows.stop - 1) * self.stride + self.chip_size
        return Span(first - self.margin, last + self.margin)

    def pixels_to_read(self, windows: Span) -> Span:
        """The pixels of the scene from which those of these windows can be made.

        What lies beyond the scene mirrors what lies before its edge, which may be more than the windows hold.
        """
        wanted = self.pixels_of_windows(windows)
        before, beyond = max(0, -wanted.start), max(0, wanted.stop - self.pixels)
        mirrored = self.pixels - 1 - beyond if beyond else wanted.start
        last = max(before + 1, wanted.stop) if before else wanted.stop
        return Span(max(0, min(wanted.start, mirrored)), min(self.pixels, last))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One task: the cells it owns, and the windows it must predict for them."""

    index: int
    """Number of the chunk, in row-major order."""
    cell_rows: Span
    """Rows of cells that it owns."""
    cell_cols: Span
    """Columns of cells that it owns."""
    blended_rows: Span
    """Rows of cells whose probabilities it needs: those it owns, and some around them if the map is smoothed."""
    blended_cols: Span
    """Columns of cells whose probabilities it needs."""
    window_rows: Span
    """Rows of windows that cover one of these cells."""
    window_cols: Span
    """Columns of windows that cover one of these cells."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Windows, cells and chunks of one scene."""

    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    chip_size: int
    """Height and width of a window in pixels."""
    stride: int
    """Height and width of a cell in pixels; divides the chip size."""
    margin: int = 0
    """Pixels on each side of a window that the model is given, too."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise SettingsError(f"Expected a scene of at least 1x1 pixels. Received: {self.height}x{self.width}")
        if self.stride < 1 or self.chip_size % self.stride:
            raise SettingsError(
                f"Expected a stride that divides the chip size of {self.chip_size} pixels. Received: {self.stride}"
            )

    @property
    def rows(self) -> Axis:
        """The vertical axis."""
        return Axis(self.height, self.chip_size, self.stride, self.margin)

    @property
    def cols(self) -> Axis:
        """The horizontal axis."""
        return Axis(self.width, self.chip_size, self.stride, self.margin)

    @property
    def reach(self) -> int:
        """Number of cells along a window."""
        return self.chip_size // self.stride

    @property
    def num_windows(self) -> int:
        """Number of windows in the scene."""
        return self.rows.windows * self.cols.windows

    def chunks(self, chunk_height: int, chunk_width: int, margin: int = 0) -> Iterator[Chunk]:
        """Cut the cells into chunks of about the height and width wanted, row by row.

        Args:
            chunk_height: Height of a chunk in pixels; rounded up to whole cells.
            chunk_width: Width of a chunk in pixels; rounded up to whole cells.
            margin: Number of cells around its own whose probabilities a chunk needs, too.
        """
        rows = list(_cut(self.rows.cells, -(-chunk_height // self.stride)))
        cols = list(_cut(self.cols.cells, -(-chunk_width // self.stride)))
        for i, row_span in enumerate(rows):
            for j, col_span in enumerate(cols):
                around = self.rows.widened(row_span, margin), self.cols.widened(col_span, margin)
                yield Chunk(
                    index=i * len(cols) + j,
                    cell_rows=row_span,
                    cell_cols=col_span,
                    blended_rows=around[0],
                    blended_cols=around[1],
                    window_rows=self.rows.windows_over(around[0]),
                    window_cols=self.cols.windows_over(around[1]),
                )

    def owned_window(self, chunk: Chunk) -> Window:
        """The pixels that a chunk writes."""
        return _window(self.rows.pixels_of_cells(chunk.cell_rows), self.cols.pixels_of_cells(chunk.cell_cols))

    def blended_window(self, chunk: Chunk) -> Window:
        """The pixels of the cells whose probabilities a chunk needs."""
        return _window(self.rows.pixels_of_cells(chunk.blended_rows), self.cols.pixels_of_cells(chunk.blended_cols))

    def padded_window(self, chunk: Chunk) -> Window:
        """The pixels that a chunk's windows cover, with their margin; they may reach beyond the scene's edges."""
        return _window(self.rows.pixels_of_windows(chunk.window_rows), self.cols.pixels_of_windows(chunk.window_cols))

    def read_window(self, chunk: Chunk) -> Window:
        """The pixels that a chunk reads: inside the scene, and enough to fill `padded_window` by reflection."""
        return _window(self.rows.pixels_to_read(chunk.window_rows), self.cols.pixels_to_read(chunk.window_cols))


def _cut(length: int, size: int) -> Iterator[Span]:
    for start in range(0, length, size):
        yield Span(start, min(length, start + size))


def _window(rows: Span, cols: Span) -> Window:
    return Window(rows.start, cols.start, len(rows), len(cols))
