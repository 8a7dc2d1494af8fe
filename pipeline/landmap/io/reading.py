"""Rasters are opened and read: scenes stay open, failed reads are retried, errors say in one line what went wrong.

The plan samples a scene, the trial of a precision reads parts of it, a chunk reads several groups of bands and a margin
around its pixels, and its edges cut through blocks. With a file opened anew for each, every block of a product in JPEG
2000 would be decoded, and every block behind an address fetched, several times. Such files stay open from the plan to
the last chunk, with the decoded blocks in GDAL's cache; others as long as one chunk is read.
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
from landmap.io.remote import (
    advice,
    gdal_options,
    is_remote,
    is_uncached,
    redact_error,
    redacted,
    retry_pause,
    uncached,
)
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset

CACHE_BYTES = 128 * 2**20
"""Size of GDAL's block cache in bytes; its own default is a twentieth of all memory, a gigabyte on many machines."""
SLOW_CACHE_BYTES = 256 * 2**20
"""The same for slow files, whose blocks stay in memory between chunks."""
MOST = 8
"""Number of slow files that stay open: the scene and its masks."""
ARCHIVE = re.compile(r"/vsizip/\{?(?P<path>.*?)(?:\}|(?<=\.zip)/).*")

Stamps = dict[str, tuple[int, int] | None]
"""Time of the last change in ns and size in bytes, by file; None for a file that the system does not know."""


def is_slow(path: str) -> bool:
    """Return whether decoding a block of a file takes long, as in JPEG 2000, or fetching it does.

    Args:
        path: What GDAL opens: the name of a file, or the text of a VRT over files.
    """
    return ".jp2" in path.lower() or is_remote(path)


def cache_bytes(path: str) -> int:
    """Return the size of GDAL's block cache in bytes while it reads a scene; `path` as in `is_slow`."""
    return SLOW_CACHE_BYTES if is_slow(path) else CACHE_BYTES


@dataclass
class _Open:
    """An open file, and the state of the files behind it when it was opened. One thread at a time reads it.

    What lies behind an address is taken to stay as it is while it is open.
    """

    lock: Lock = field(default_factory=Lock)
    file: Any = None
    stamps: Stamps = field(default_factory=dict)

    def opened(self, path: str) -> Any:
        """Return the open file; it is opened anew where one of the files behind it has changed, or in `uncached`."""
        if is_uncached() or self.stamps != _stamps(self.stamps):
            self.close()
        if self.file is None:
            self.file = open_dataset(path)
            self.stamps = {} if is_remote(path) else _stamps(self.file.files)  # whose names a server would be asked for
        return self.file

    def close(self) -> None:
        file, self.file, self.stamps = self.file, None, {}
        if file is not None:
            file.close()


_sharing: ContextVar[bool] = ContextVar("sharing", default=False)
_keeping: ContextVar[dict[str, _Open] | None] = ContextVar("keeping", default=None)
"""The files of the innermost `keeping_open` that are not slow."""
_slow_files: OrderedDict[str, _Open] = OrderedDict()
_guard = Lock()


@contextmanager
def keeping_open() -> Iterator[None]:
    """Keep files open that `open_file` opens in this context: to its end, and slow ones beyond it.

    Those stay open until `close_files`, or until others take their place. Of the others, the blocks of one chunk would
    be in memory while the next is predicted, for little use.
    """
    files: dict[str, _Open] = {}
    token = _keeping.set(files)
    try:
        yield
    finally:
        _keeping.reset(token)
        _close(list(files.values()))


@contextmanager
def sharing_files() -> Iterator[None]:
    """Close slow files at the end of this context, unless it lies in another one of these.

    What was read of them before a run, by its plan and the trial of a precision, is then not decoded or fetched anew.
    """
    if _sharing.get():
        yield
        return
    token = _sharing.set(True)
    try:
        with rasterio.Env(GDAL_CACHEMAX=SLOW_CACHE_BYTES):
            yield
    finally:
        _sharing.reset(token)
        close_files()


@contextmanager
def open_file(path: str) -> Iterator[Any]:
    """Open a file, or find it open. One that stays open is used by one thread at a time, and is closed after an error.

    Args:
        path: What GDAL opens: the name of a file, or the text of a VRT.

    Raises:
        RasterioError: The file can't be opened.
    """
    files = _keeping.get()
    if files is None:
        with open_dataset(path) as file:
            yield file
        return
    kept = _slow_file(path) if is_slow(path) else files.setdefault(path, _Open())
    with kept.lock:
        try:
            yield kept.opened(path)
        except BaseException:
            kept.close()
            raise


def close_files() -> None:
    """Close the slow files that have stayed open, and free their blocks."""
    with _guard:
        left = list(_slow_files.values())
        _slow_files.clear()
    _close(left)


def _slow_file(path: str) -> _Open:
    with _guard:
        kept = _slow_files.setdefault(path, _Open())
        _slow_files.move_to_end(path)
        left = [_slow_files.popitem(last=False)[1] for _ in range(len(_slow_files) - MOST)]
    _close(left)
    return kept


def _close(files: list[_Open]) -> None:
    for kept in files:
        with kept.lock:
            kept.close()


def _stamps(names: Any) -> Stamps:
    """Return when files were last changed and their sizes, by name."""
    return {name: _stamp(ARCHIVE.sub(r"\g<path>", name)) for name in names}


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


Found = TypeVar("Found")

REPEATED_READS = 3
"""Reads of a remote file's header after the first one, at most, until two in a row agree."""


def read_until_stable(path: str, find: Callable[[Any], Found], name: str = "") -> Found:
    """Read as `read_with_retries` does; a remote file is read until two reads in a row find the same, or fail alike.

    To GDAL, what a broken connection leaves of a header is a file with fewer tags: reflectance without its offset.

    Args:
        path: What GDAL opens: the name of a file, or the text of a VRT.
        find: Function that takes the open file and returns what is read.
        name: Name of the file in messages; "" where that is `path`.

    Raises:
        ReadError: The file can't be read, or its header differs each time.
    """
    if not is_remote(path):
        return read_with_retries(path, find, name)
    before = _outcome(path, find, name)
    for _ in range(REPEATED_READS):
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
    """Read from a file by a function; a read that fails is tried again after a pause.

    Args:
        path: What GDAL opens: the name of a file, or the text of a VRT.
        find: Function that takes the open file and returns what is read.
        name: Name of the file in messages; "" where that is `path`.
        where: Which part of the file is read, for messages, such as " (band 2)".

    Raises:
        ReadError: The file can't be read at any attempt.
    """
    attempt = 1
    while True:
        try:
            with nullcontext() if attempt == 1 else uncached(), open_raster(path, name, where, keep=True) as file:
                return find(file)
        except ReadError as error:
            pause = retry_pause(path, str(error), attempt)
            if pause is None:
                tried = f" ({attempt} attempts)" if attempt > 1 else ""
                raise ReadError(f"{error}{tried}{advice(path, str(error))}") from error
        time.sleep(pause)
        attempt += 1


@contextmanager
def open_raster(path: str | os.PathLike[str], name: str = "", where: str = "", *, keep: bool = False) -> Iterator[Any]:
    """Open a raster for reading; an error of GDAL's in here, too, is one line that names the file.

    The folder is not listed, which is slow for a URL. Sidecars (a mask, a world file, `.aux.xml`) are found by their
    names all the same ("TRUE", not "EMPTY_DIR"): without its mask, a scene's nodata would be classified.

    Args:
        path: What GDAL opens: the file, or the text of a VRT.
        name: Name of the file in messages; "" where that is `path`.
        where: Which part of the file is read, for messages, such as " (band 2)".
        keep: It may stay open, as in `open_file`; then it must not be opened again before this context ends.

    Raises:
        ReadError: The file can't be opened or read.
    """
    path, really_open = os.fspath(path), open_file if keep else open_dataset
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_options()), really_open(path) as file:
            yield file
    except READ_ERRORS as error:
        raise read_error(name or path, error, where) from error


def read_error(path: str, error: RasterioError | UnicodeDecodeError, where: str = "") -> ReadError:
    """Return the error that says why GDAL can't read a file, in one line, without secrets."""
    redact_error(error, path)
    return ReadError(f"{redacted(path)}: can't be read as a raster: {first_cause(error)}{where}")


def first_cause(error: BaseException) -> str:
    """Return the first cause of an error in one line: rasterio's own message is often "see previous exception"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
