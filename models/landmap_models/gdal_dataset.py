"""Rasters without georeference are opened without rasterio's warning about them.

Where a georeference is needed, landmap raises an error of its own. The warning filters of the process stay as they are:
ours is among them only while a raster is opened, and matches only in the thread that opens it.
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
"""Errors that rasterio raises where a file can't be read: its own, some of GDAL's, and UnicodeDecodeError for damaged
names and tags."""

_allowed: ContextVar[bool] = ContextVar("allowed", default=False)


class _Here(type):
    """The type of a warning category that matches in one thread only."""

    def __subclasscheck__(cls, category: type) -> bool:
        return _allowed.get() and issubclass(category, NotGeoreferencedWarning)


class _NotGeoreferencedHere(Warning, metaclass=_Here):
    """`NotGeoreferencedWarning` in a thread that allows rasters without georeference."""


class _Filter:
    """A warning filter that the first thread to enter adds to the process, and the last one to leave removes."""

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
            # `warnings.catch_warnings` elsewhere may have put a copy of the list in its place meanwhile.
            for filters in (*self.lists, cast("list[Any]", warnings.filters)):
                if self.entry in filters:
                    filters.remove(self.entry)
            self.lists.clear()


_filter = _Filter()


@contextmanager
def ungeoreferenced_allowed() -> Iterator[None]:
    """Rasterio does not warn about rasters without georeference inside this block, in this thread."""
    token = _allowed.set(True)
    try:
        with _filter:
            yield
    finally:
        _allowed.reset(token)


def open_dataset(path: Any, mode: str = "r", **profile: Any) -> Any:
    """Open a raster with `rasterio.open`, whether or not it has a georeference.

    Args:
        path: A path or address that GDAL opens, or a file object.
        mode: "r", "r+" or "w".
        **profile: Further arguments of `rasterio.open`, such as driver and dtype.

    Raises:
        RasterioError: The raster can't be opened.
    """
    with ungeoreferenced_allowed():
        return rasterio.open(path, mode, **profile)
