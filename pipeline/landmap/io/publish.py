"""Outputs are written under temporary names and get their own names when all are finished: all of them or none."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from landmap.errors import OutputError
from landmap.io.locks import held, signals_held
from landmap.io.qgis import style_path

SIDECARS = (".aux.xml", ".msk", ".ovr")
"""Endings of files that GDAL reads beside a raster: those of an old map would mask or mislabel a new one."""
OTHER_SIDECARS = {".gpkg": ("-wal", "-shm", "-journal")} | dict.fromkeys(
    (".geojson", ".json", ".csv", ".parquet", ".geoparquet", ".html", ".png"), ()
)
"""The same for files that are no rasters, by ending: SQLite would apply an old journal to a new GeoPackage."""
STEM_SIDECARS = (".qml", ".tfw", ".wld", ".prj", ".dbf", ".shx", ".cpg")
"""Endings of files that belong to a raster or a Shapefile whose name differs in the ending alone."""
TEXTS, TABLES = (".json",), (".csv",)
"""Endings of the names of reports and tables, in small letters."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A finished file in a temporary folder on the disk of its target."""

    path: Path
    """Name that it is to get."""
    file: Path
    """Its temporary name; files that it replaces are kept in the same folder until all outputs have their names."""
    aux: Path | None = None
    """Its `.aux.xml` under a temporary name; None where it has none."""
    style: Path | None = None
    """Its `.qml` under a temporary name; None where it has none."""


def with_sidecars(path: Path) -> list[Path]:
    """Return the file of an output, and the files that would be read with it."""
    endings = OTHER_SIDECARS.get(path.suffix.lower(), SIDECARS)
    styles = [style_path(path)] if endings is SIDECARS else []
    return [path, *(path.with_name(path.name + ending) for ending in endings), *styles]


def check_ending(path: Path, endings: Sequence[str], what: str, advice: Mapping[str, str] | None = None) -> None:
    """Refuse the name of an output whose ending is that of another format. A name without an ending is accepted.

    Args:
        path: The output's name.
        endings: Endings of the format that is written, in small letters.
        what: Name of that format, such as "GeoTIFF".
        advice: What the user can do who wants another format, by its ending; None has no advice.

    Raises:
        OutputError: The name has another ending.
    """
    ending = path.suffix.lower()
    if ending and ending not in endings:
        instead = f"; {advice[ending]}" if advice and ending in advice else ""
        raise OutputError(
            f"{path}: expected the name of a {what}, such as {path.with_suffix(endings[0]).name}. Received the ending "
            f"{path.suffix}{instead}"
        )


def publish(files: Sequence[Staged], *, overwrite: bool) -> None:
    """Give finished files their names. If one fails, those before it are taken back.

    Ctrl-C and SIGTERM wait until this is done (`signals_held`).

    Args:
        files: The finished files, in the order in which they get their names.
        overwrite: Whether files that exist are replaced.

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
                raise write_error(staged.path, error) from error
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
    """Move a file; without `overwrite` it never replaces another, even one that appears at this moment."""
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
    """Return the error that refuses to replace a file unasked."""
    return OutputError(f"{path}: exists already. Choose another name or give overwrite=True (--overwrite)")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors while an output is written into one that names the output.

    Args:
        path: The output's name.

    Raises:
        OutputError: The disk is full, the folder is not writable, or the like.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error that says which output can't be written, and why."""
    return OutputError(f"{path}: can't be written: {error.strerror or error}")


def write_text(path: Path, text: str) -> None:
    """Write a text as a file, in place of one that is there; a crash leaves the old file or the new one.

    Raises:
        OutputError: The disk is full, or the like.
    """
    with write_errors(path):
        write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in place of one that is there; a crash leaves the old file or the new one.

    The content is on the disk (fsync) before the file gets its name. What a crash leaves beside it ends in ".part".

    Raises:
        OSError: The disk is full, or the like.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def hidden_prefix(path: Path) -> str:
    """Return the first part of the names of hidden files and folders that a run makes beside an output."""
    return f".{path.name}.landmap-"


def make_folder(path: Path) -> Path:
    """Make a hidden temporary folder beside an output; if the run is killed, the next `locked` removes it.

    Raises:
        OSError: The folder around the output is missing or not writable.
    """
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=hidden_prefix(path)))


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Give a hidden temporary folder beside an output, which is removed at the end.

    Args:
        path: The output's name.

    Raises:
        OutputError: The folder around the output is missing or not writable.
    """
    with write_errors(path):
        folder = make_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary file to write, and publish it as an output at the end; an error leaves no output.

    The folder around the temporary file may hold other temporary files.

    Args:
        path: The output's name.
        overwrite: Whether a file of this name is replaced.

    Raises:
        OutputError: The output exists by now and `overwrite` is not set, is being written by another run, or can't be
            written.
    """
    with locked([path]), staging(path) as folder:
        with write_errors(path):
            yield folder / path.name
        publish([Staged(path, folder / path.name)], overwrite=overwrite)


def publish_texts(texts: Mapping[Path, str], *, overwrite: bool, rasters: Sequence[Staged] = ()) -> None:
    """Write texts under temporary names and publish them together with finished rasters: all of them or none.

    The caller has checked the outputs and holds their locks.

    Args:
        texts: Content by output.
        overwrite: Whether files that exist are replaced.
        rasters: Finished rasters, in temporary folders.

    Raises:
        OutputError: An output exists by now and `overwrite` is not set, or can't be written.
    """
    with ExitStack() as stack:
        staged = list(rasters)
        for path, text in texts.items():
            file = stack.enter_context(staging(path)) / path.name
            with write_errors(path):
                file.write_text(text, "utf-8")
            staged.append(Staged(path, file))
        publish(staged, overwrite=overwrite)


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Hold outputs for this run alone, and remove the temporary folders that killed runs have left beside them.

    The lock is a hidden file beside the output, which is removed at the end. The system drops the lock when its process
    ends, however it ends; a lock file that a killed run has left means nothing. Two names are the same output where
    they have the same real folder; a link in place of the output is replaced, not followed.

    Args:
        paths: The output files that a run is going to write.

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
            raise write_error(path, error) from error
        yield


def _sweep(path: Path) -> None:
    """Remove what `make_folder` has made for an output; its lock is held."""
    name = re.compile(re.escape(hidden_prefix(path)) + r"\w{8}")  # as tempfile.mkdtemp ends it
    with suppress(OSError):  # a folder that may be written to, but not listed
        for folder in path.parent.iterdir():
            if name.fullmatch(folder.name) and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
