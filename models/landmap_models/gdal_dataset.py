"""Rasters are opened without rasterio's warning of those that have no place on the ground.

That is an error of ours with better words where a place is needed. The process's warnings are left as they are: the
filter is there only while something is opened, and matches in the thread that opens it alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, cast

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

READ_ERRORS = (RasterioError, CPLE_BaseError, UnicodeDecodeError)
"""What rasterio raises where a file can't be read: its own errors, some of GDAL's that it lets through, and
UnicodeDecodeError where names or tags are damaged."""

_allowed: ContextVar[bool] = ContextVar("allowed", default=False)


class _Here(type):
    """Asked by `warnings` whether the category of a filter is that of a warning."""

    def __subclasscheck__(cls, category: type) -> bool:
        return _allowed.get() and issubclass(category, NotGeoreferencedWarning)


class _NotGeoreferencedHere(Warning, metaclass=_Here):
    """`NotGeoreferencedWarning`, where this thread allows rasters without a place."""


class _Filter:
    """Put among the process's filters by the first thread that comes, and taken away by the last one that goes."""

    entry = "ignore", None, _NotGeoreferencedHere, None, 0

    def __init__(self) -> None:
        self.guard = Lock()
        self.threads = 0
        self.lists: list[list[Any]] = []

    def __enter__(self) -> None:
        with self.guard:
            self.threads += 1
            filters = cast("list[Any]", warnings.filters)
            if self.entry not in filters:
                filters.insert(0, self.entry)
                self.lists.append(filters)

    def __exit__(self, *_: object) -> None:
        with self.guard:
            self.threads -= 1
            if self.threads:
                return
            # Meanwhile others may have put another list there: a copy of this one, which is back when they are done.
            for filters in (*self.lists, cast("list[Any]", warnings.filters)):
                if self.entry in filters:
                    filters.remove(self.entry)
            self.lists.clear()


_filter = _Filter()


@contextmanager
def ungeoreferenced_allowed() -> Iterator[None]:
    """Within, rasterio does not warn of rasters that have no place on the ground; in other threads it does."""
    token = _allowed.set(True)
    try:
        with _filter:
            yield
    finally:
        _allowed.reset(token)


def open_dataset(path: Any, mode: str = "r", **profile: Any) -> Any:
    """As `rasterio.open`, for a raster that need not have a place on the ground.

    Args:
        path: What GDAL opens, or an object like a file.
        mode: "r", "r+" or "w".
        **profile: As rasterio takes it.

    Raises:
        RasterioError: It can't be opened.
    """
    with ungeoreferenced_allowed():
        return rasterio.open(path, mode, **profile)
