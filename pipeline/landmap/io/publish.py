"""Which files may be written, and how finished ones get their names: all of them or none."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from landmap.errors import OutputError
from landmap.io.qgis import style_path

SIDECARS = (".aux.xml", ".msk", ".ovr")
"""Endings of files that GDAL reads beside a raster: a stale one blanks or mislabels a new map."""
OTHER_SIDECARS = {".gpkg": ("-wal", "-shm", "-journal")} | dict.fromkeys(
    (".geojson", ".json", ".csv", ".parquet", ".geoparquet", ".html", ".png"), ()
)
"""The same of files that are no rasters: SQLite would play a stale journal into a new GeoPackage."""
STEM_SIDECARS = (".qml", ".tfw", ".wld", ".prj", ".dbf", ".shx", ".cpg")
"""Endings of files that belong to a raster or a Shapefile of the same name but for the ending."""
RASTERS, TEXTS, TABLES = (".tif", ".tiff"), (".json",), (".csv",)
"""Endings of the names of GeoTIFFs, reports and tables, in small letters."""
OTHERWISE = {
    ".png": "a picture of the map is drawn by --quicklook",
    ".html": "a page about the map is written by --report",
    ".gpkg": "polygons are written by --vector or landmap vectorize",
    ".geojson": "polygons are written by --vector or landmap vectorize",
    ".shp": "polygons are written by --vector or landmap vectorize, as .gpkg, which Shapefile's readers read, too",
    ".csv": "a table of areas is written by --summary or landmap summarize",
    ".jp2": "convert the GeoTIFF with gdal_translate",
}
"""What helps who wants another format than the one that is written."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A finished file in a temporary folder on the disk of its target."""

    path: Path
    """Where it is to go."""
    file: Path
    """Where it is; files that it replaces are kept in the same folder until all is done."""
    aux: Path | None = None
    """Its `.aux.xml`, if it has one."""
    style: Path | None = None
    """Its `.qml`, if it has one."""


def with_sidecars(path: Path) -> list[Path]:
    """An output's file, and those that would be read beside it."""
    endings = OTHER_SIDECARS.get(path.suffix.lower(), SIDECARS)
    styles = [style_path(path)] if endings is SIDECARS else []
    return [path, *(path.with_name(path.name + ending) for ending in endings), *styles]


def check_ending(path: Path, endings: Sequence[str], what: str) -> None:
    """Refuse a name that says another format than the one that is written. No ending says nothing.

    Args:
        path: The file that is to be written.
        endings: Those that are right, in small letters.
        what: Is written: "GeoTIFF".

    Raises:
        OutputError: It has another ending.
    """
    ending = path.suffix.lower()
    if ending and ending not in endings:
        instead = f"; {OTHERWISE[ending]}" if endings == RASTERS and ending in OTHERWISE else ""
        raise OutputError(
            f"{path}: expected the name of a {what}, such as {path.with_suffix(endings[0]).name}. Received the ending "
            f"{path.suffix}{instead}"
        )


def publish(files: Sequence[Staged], *, overwrite: bool) -> None:
    """Move finished files to their names. If one fails, those before it are taken back.

    Ctrl-C and SIGTERM wait until this is done (`signals_held`).

    Raises:
        OutputError: A file exists by now and `overwrite` is not set, or can't be moved.
    """
    with signals_held(), ExitStack() as undo:
        for staged in files:
            try:
                _publish(staged, undo, overwrite=overwrite)
            except FileExistsError as error:
                raise exists_error(Path(error.filename2 or error.filename)) from error
            except OSError as error:
                raise OutputError(f"{staged.path}: can't be written: {error.strerror or error}") from error
        undo.pop_all()


def _publish(staged: Staged, undo: ExitStack, *, overwrite: bool) -> None:
    beside = {staged.path.with_name(staged.path.name + ".aux.xml"): staged.aux, style_path(staged.path): staged.style}
    for number, file in enumerate(with_sidecars(staged.path)):
        if not os.path.lexists(file):
            continue
        if not overwrite:
            raise FileExistsError(None, "exists", str(file))
        kept = staged.file.with_name(f"replaced-{number}")
        with suppress(OSError):  # without hard links a file that is replaced can't be brought back
            os.link(file, kept, follow_symlinks=False)
            undo.callback(kept.replace, file)
    _place(staged.file, staged.path, undo, overwrite=overwrite)
    for target, finished in beside.items():
        if finished:
            _place(finished, target, undo, overwrite=overwrite)
    if overwrite:
        for file in with_sidecars(staged.path)[1:]:
            if not beside.get(file):
                file.unlink(missing_ok=True)


def _place(file: Path, target: Path, undo: ExitStack, *, overwrite: bool) -> None:
    """Move a file; without `overwrite`, never onto another, not even one that appears at this moment."""
    is_new = not os.path.lexists(target)
    if overwrite:
        file.replace(target)
    else:
        try:
            os.link(file, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError(None, "exists", str(target)) from None
            file.replace(target)
    if is_new:
        undo.callback(target.unlink, missing_ok=True)


def exists_error(path: Path) -> OutputError:
    """The error that refuses to replace a file unasked."""
    return OutputError(f"{path}: exists already. Choose another name or give --overwrite")


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM until the end.

    The handlers are exchanged, not the signals blocked: blocking concerns one thread, and TensorFlow has others that
    would receive them for Python's main thread. Only that one can set handlers, and only it runs them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in before.items() if handler is not None}
    for number in ours:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for caught in dict.fromkeys(received):
            signal.raise_signal(caught)


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all, in place of one that is there.

    Raises:
        OutputError: The disk is full, or the like.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def hidden_prefix(path: Path) -> str:
    """How the names of hidden files and folders begin that a run makes beside its output."""
    return f".{path.name}.landmap-"


def make_folder(path: Path) -> Path:
    """Make a hidden temporary folder beside an output; `locked` sweeps it up should the run be killed.

    Raises:
        OSError: The folder around it is not there or not writable.
    """
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=hidden_prefix(path)))


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """A folder of `make_folder` that is removed at the end.

    Raises:
        OutputError: The folder around it is not there or not writable.
    """
    try:
        folder = make_folder(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Hold outputs for this run alone, and remove the temporary folders of runs of them that were killed.

    The system drops a lock when its process ends, however it ends. A hidden file beside the output carries it; that is
    removed at the end, and means nothing where a killed run left it. Names are told apart as they would be written: by
    the real folder, while a link in place of the output is replaced, not followed.

    Raises:
        OutputError: Another run is writing one of them, or the folder is not writable.
    """
    real = [path.parent.resolve() / path.name for path in paths]
    with ExitStack() as stack:
        for path in real:
            stack.enter_context(_locked(path))
        for path in real:
            _sweep(path)
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path.with_name(hidden_prefix(path) + "lock")))
        except Timeout as error:
            raise OutputError(
                f"{path}: another run is writing it. Wait for its end, or choose another output"
            ) from error
        except OSError as error:
            raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
        yield


@contextmanager
def held(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which is removed at the end. The system drops the lock when its process ends, however it ends.

    Args:
        file: Whose existence alone means nothing.
        wait: Until it is free.

    Raises:
        Timeout: Somebody holds it, and `wait` is not set.
        OSError: It can't be made.
    """
    lock = FileLock(file, blocking=wait)
    lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        # While it is held: who opened it before finds that it has no name any more, and tries again (filelock 4).
        with suppress(OSError):
            file.unlink()
        lock.release()


def _sweep(path: Path) -> None:
    """Remove what `make_folder` made for an output whose lock is held."""
    name = re.compile(re.escape(hidden_prefix(path)) + r"\w{8}")  # as tempfile.mkdtemp ends it
    with suppress(OSError):  # a folder that may be written to, but not listed
        for folder in path.parent.iterdir():
            if name.fullmatch(folder.name) and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
