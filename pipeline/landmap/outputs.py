"""Which files may be written, and how finished ones get their names: all of them or none."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import rasterio

from landmap.errors import OutputError, SceneError
from landmap.recognise import find_product
from landmap.remote import gdal_options
from landmap.style import style_path
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset
from landmap_models.same_file import first_same

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


def check_outputs(paths: Sequence[Path], *inputs: str | os.PathLike[str] | None, overwrite: bool) -> None:
    """Refuse outputs that would destroy something, before any work. Every command that writes files asks here.

    Args:
        paths: The outputs.
        *inputs: All that is read: scenes, with the files of a product and the sources of a VRT, covers, masks, zones,
            models. None and names of no file are passed over.
        overwrite: Replace outputs that exist.

    Raises:
        OutputError: One (or a sidecar of it) exists and `overwrite` is not set, is a file that is read, or belongs to
            one, is named twice, or has no folder.
    """
    real = [path.resolve() for path in paths]
    files = [file for path in real for file in with_sidecars(path)]
    if len(set(files)) < len(files):
        raise OutputError(f"Expected a file for each output. Received: {', '.join(map(str, paths))}")
    for path in paths:
        if path.is_dir() or not path.parent.is_dir():
            raise OutputError(f"{path}: expected a file name in a folder that exists")
        if os.path.lexists(path) and path.exists() and not path.is_file():
            raise OutputError(f"{path}: expected the name of a file. Received a device, a pipe or a socket")
    existing = [file for path in paths for file in with_sidecars(path) if os.path.lexists(file)]
    read = [os.fspath(name) for name in inputs if name is not None] if existing else []
    if same := first_same(existing, {file for name in read for file in _with_companions(name)}):
        raise OutputError(
            f"{same}: is the scene itself, or a file that it is read from or masked by, another input of this command, "
            "or a file that belongs to one; choose another output"
        )
    if existing and not overwrite:
        raise _exists(existing[0])


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
                raise _exists(Path(error.filename2 or error.filename)) from error
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


def _exists(path: Path) -> OutputError:
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


def _with_companions(name: str) -> Iterator[str]:
    """Local files that an input is read from, and those beside them that would be read with them."""
    for file in scene_files(name):
        yield file
        yield from (file + ending for ending in SIDECARS)
        stem = os.path.splitext(file)[0]  # noqa: PTH122 # what a name of GDAL's holds may be no path
        yield from (stem + ending for ending in STEM_SIDECARS)


def scene_files(scene: str) -> list[str]:
    """Local files that a scene may be read from, by any of their names, and names of no file at all."""
    try:
        product = find_product(scene)
    except SceneError:
        product = None  # whoever plans with it says why
    return named_files([scene, *(product.local_files() if product else [])])


def named_files(names: Sequence[str]) -> list[str]:
    """Local files that may be read where these names are opened, and names of no file at all."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in names or name.lower().endswith(".vrt"):  # a VRT names its sources, but not those of VRTs among them
            waiting += _dataset_files(name)
    return sorted({part for name in seen for part in _parts(name)})


def _dataset_files(name: str) -> list[str]:
    try:
        # to list the folder of a URL is slow
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_options()), open_dataset(name) as file:
            return list(file.files)
    except (*READ_ERRORS, OSError):
        return []  # whoever plans with it says why


def _parts(name: str) -> set[str]:
    """Paths that a name of GDAL's may hold: `GTIFF_DIR:1:a.tif`, `/vsizip/a.zip/b.tif`, `/vsisubfile/0_9,a.tif`."""
    starts = {0} | {match.end() for match in re.finditer(r'/vsi\w+/|[,=:{"]', name)}
    ends = {len(name)} | {match.start() for match in re.finditer(r'[/}&!?"]', name)}
    return {name[start:end] for start in starts for end in ends if start < end}


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
