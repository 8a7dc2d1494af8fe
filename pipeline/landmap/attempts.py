"""A raster file is opened and looked at, again where that fails: the only place where reads are repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import rasterio
from rasterio.errors import RasterioError

from landmap.errors import ReadError, SceneError
from landmap.open_files import open_file
from landmap.remote import advice, afresh, gdal_options, is_remote, scrub, shown, wait
from landmap_models.gdal_dataset import READ_ERRORS

Found = TypeVar("Found")

LOOKS = 3
"""Further looks at what a remote file says of itself, until two in a row agree."""


def look_surely(path: str, find: Callable[[Any], Found], name: str = "") -> Found:
    """As `look`; a remote file is looked at again until two looks in a row find the same, or refuse it alike.

    What a broken connection leaves of a header is to GDAL a file with fewer tags: reflectance without its offset.

    Raises:
        ReadError: It can't be read, or is another file each time.
    """
    if not is_remote(path):
        return look(path, find, name)
    before = _outcome(path, find, name)
    for _ in range(LOOKS):
        with afresh():
            now = _outcome(path, find, name)
        if repr(now) == repr(before):
            if isinstance(now, SceneError):
                raise now
            return now
        before = now
    raise ReadError(f"{shown(name or path)}: can't be read as a raster: its header differs each time{advice(path, '')}")


def _outcome(path: str, find: Callable[[Any], Found], name: str) -> Found | SceneError:
    try:
        return look(path, find, name)
    except ReadError:
        raise
    except SceneError as error:
        return error


def look(path: str, find: Callable[[Any], Found], name: str = "", where: str = "") -> Found:
    """What a function finds in the open file; tried again, after a while, where the file can't be read.

    Args:
        path: What GDAL opens: of the file, or the text of a VRT.
        find: Given the open file.
        name: Of the file in words, if that is not the path.
        where: What of the file is looked at, for the error.

    Raises:
        ReadError: It can't be read at any attempt.
    """
    attempt = 1
    while True:
        try:
            with nullcontext() if attempt == 1 else afresh(), opened(path, name, where) as file:
                return find(file)
        except ReadError as error:
            pause = wait(path, str(error), attempt)
            if pause is None:
                tried = f" ({attempt} attempts)" if attempt > 1 else ""
                raise ReadError(f"{error}{tried}{advice(path, str(error))}") from error
        time.sleep(pause)
        attempt += 1


@contextmanager
def opened(path: str, name: str = "", where: str = "") -> Iterator[Any]:
    """The open file; GDAL's words in one line where that fails, after its name if that is not the path.

    The folder is not listed, which is slow for a URL. Sidecars (a mask, a world file, `.aux.xml`) are looked for by
    name all the same ("TRUE", not "EMPTY_DIR"): without its mask, a scene's nodata would be classified.
    """
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_options()), open_file(path) as file:
            yield file
    except READ_ERRORS as error:
        raise unreadable(name or path, error, where) from error


def unreadable(path: str, error: RasterioError | UnicodeDecodeError, where: str = "") -> ReadError:
    """The error that says why GDAL can't read a file, in one line, without secrets."""
    scrub(error, path)
    return ReadError(f"{shown(path)}: can't be read as a raster: {first_cause(error)}{where}")


def first_cause(error: BaseException) -> str:
    """What went wrong at first, in one line: rasterio's own words are often "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
