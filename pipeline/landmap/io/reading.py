"""Files whose blocks take long to decode stay open from one chunk's read to the next, with the blocks that GDAL knows.

Chunks read a margin around them, and their edges cut through blocks: with a file opened anew for each, every block of a
product in JPEG 2000 is decoded about three times. Other files are opened anew, which costs nothing worth keeping.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import rasterio
from rasterio.errors import RasterioError

from landmap.errors import ReadError, SceneError
from landmap.io.remote import advice, gdal_options, is_remote, redact_error, redacted, retry_pause, uncached
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset

CACHE_BYTES = 128 * 2**20
"""Of the blocks that GDAL remembers; its own default is a twentieth of all memory, a gigabyte on many machines."""
SLOW_CACHE_BYTES = 256 * 2**20
"""The same for files that stay open. A row of chunks meets three rows of blocks of a Sentinel-2 tile, 66 MB in each
band."""
MOST = 2
"""Files that stay open: a scene's, and those of its scene classification."""
ARCHIVE = re.compile(r"/vsizip/\{?(?P<path>.*?)(?:\}|(?<=\.zip)/).*")

Stamps = dict[str, tuple[int, int] | None]


def stays_open(path: str) -> bool:
    """Whether a file is worth keeping open: it lies on a disk, and decoding one of its blocks takes long.

    Args:
        path: What GDAL opens: of a file, or the text of a VRT over files.
    """
    return ".jp2" in path.lower() and not is_remote(path)


def cache_bytes(path: str) -> int:
    """Bytes of blocks that GDAL may remember while it reads a scene; `path` as in `stays_open`."""
    return SLOW_CACHE_BYTES if stays_open(path) else CACHE_BYTES


@dataclass
class _Open:
    """A file, and what it looked like when it was opened. One thread at a time reads it."""

    lock: Lock = field(default_factory=Lock)
    file: Any = None
    stamps: Stamps = field(default_factory=dict)

    def opened(self, path: str) -> Any:
        """The file, opened anew where one of those behind it has changed."""
        if self.file is not None and self.stamps != _stamps(self.stamps):
            self.close()
        if self.file is None:
            self.file = open_dataset(path)
            self.stamps = _stamps(self.file.files)
        return self.file

    def close(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            file.close()


_keeping: ContextVar[bool] = ContextVar("keeping", default=False)
_files: OrderedDict[str, _Open] = OrderedDict()
_guard = Lock()


@contextmanager
def keeping_open() -> Iterator[None]:
    """Slow files that are opened in here stay open, until `close_files` or for the sake of others."""
    token = _keeping.set(True)
    try:
        yield
    finally:
        _keeping.reset(token)


@contextmanager
def open_file(path: str) -> Iterator[Any]:
    """The open file. One that stays open is no other thread's meanwhile; after an error it does not.

    Args:
        path: What GDAL opens.

    Raises:
        RasterioError: It can't be opened.
    """
    if not _keeping.get() or not stays_open(path):
        with open_dataset(path) as file:
            yield file
        return
    kept = _kept(path)
    with kept.lock:
        try:
            yield kept.opened(path)
        except BaseException:
            kept.close()
            raise


def close_files() -> None:
    """Close what has stayed open, and free its blocks."""
    with _guard:
        left = list(_files.values())
        _files.clear()
    _close(left)


def _kept(path: str) -> _Open:
    with _guard:
        kept = _files.setdefault(path, _Open())
        _files.move_to_end(path)
        left = [_files.popitem(last=False)[1] for _ in range(len(_files) - MOST)]
    _close(left)
    return kept


def _close(files: list[_Open]) -> None:
    for kept in files:
        with kept.lock:
            kept.close()


def _stamps(names: Any) -> Stamps:
    """When the files were last written and how long they are, by name; None for what the system does not know."""
    return {name: _stamp(ARCHIVE.sub(r"\g<path>", name)) for name in names}


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


Found = TypeVar("Found")

LOOKS = 3
"""Further looks at what a remote file says of itself, until two in a row agree."""


def read_until_stable(path: str, find: Callable[[Any], Found], name: str = "") -> Found:
    """Read as `read_with_retries` does; a remote file is read until two reads in a row find the same, or fail alike.

    What a broken connection leaves of a header is to GDAL a file with fewer tags: reflectance without its offset.

    Raises:
        ReadError: It can't be read, or is another file each time.
    """
    if not is_remote(path):
        return read_with_retries(path, find, name)
    before = _outcome(path, find, name)
    for _ in range(LOOKS):
        with uncached():
            now = _outcome(path, find, name)
        if repr(now) == repr(before):
            if isinstance(now, SceneError):
                raise now
            return now
        before = now
    raise ReadError(
        f"{redacted(name or path)}: can't be read as a raster: its header differs each time{advice(path, '')}"
    )


def _outcome(path: str, find: Callable[[Any], Found], name: str) -> Found | SceneError:
    try:
        return read_with_retries(path, find, name)
    except ReadError:
        raise
    except SceneError as error:
        return error


def read_with_retries(path: str, find: Callable[[Any], Found], name: str = "", where: str = "") -> Found:
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
            with nullcontext() if attempt == 1 else uncached(), open_raster(path, name, where) as file:
                return find(file)
        except ReadError as error:
            pause = retry_pause(path, str(error), attempt)
            if pause is None:
                tried = f" ({attempt} attempts)" if attempt > 1 else ""
                raise ReadError(f"{error}{tried}{advice(path, str(error))}") from error
        time.sleep(pause)
        attempt += 1


@contextmanager
def open_raster(path: str | os.PathLike[str], name: str = "", where: str = "") -> Iterator[Any]:
    """Open a raster for reading; an error of GDAL's in here, too, is one line that names the file.

    The folder is not listed, which is slow for a URL. Sidecars (a mask, a world file, `.aux.xml`) are found by their
    names all the same ("TRUE", not "EMPTY_DIR"): without its mask, a scene's nodata would be classified.

    Args:
        path: What GDAL opens: the file, or the text of a VRT.
        name: Name of the file in messages; "" where that is `path`.
        where: Which part of the file is read, for messages, such as " (band 2)".

    Raises:
        ReadError: The file can't be opened or read.
    """
    path = os.fspath(path)
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_options()), open_file(path) as file:
            yield file
    except READ_ERRORS as error:
        raise read_error(name or path, error, where) from error


def read_error(path: str, error: RasterioError | UnicodeDecodeError, where: str = "") -> ReadError:
    """The error that says why GDAL can't read a file, in one line, without secrets."""
    redact_error(error, path)
    return ReadError(f"{redacted(path)}: can't be read as a raster: {first_cause(error)}{where}")


def first_cause(error: BaseException) -> str:
    """What went wrong at first, in one line: rasterio's own words are often "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
