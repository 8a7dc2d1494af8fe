"""Where the files of a data set lie: in a folder, in a zip file, or beside a CSV file that lists them."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from landmap_models.errors import ZIP_DAMAGE, DatasetError

_kept = threading.local()


def file_names(root: Path) -> list[str]:
    """Names of all files below a folder or in a zip file, "/" between parts; hidden ones aside.

    Raises:
        DatasetError: `root` is neither, or is damaged.
    """
    if root.is_dir():
        return _visible(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    if zipfile.is_zipfile(root):
        try:
            with zipfile.ZipFile(root) as archive:
                return _visible(name for name in archive.namelist() if not name.endswith("/"))
        except (*ZIP_DAMAGE, OSError) as error:
            raise DatasetError(f"{root}: expected a whole zip file, found damage: {error}. Get it anew") from error
    raise DatasetError(
        f"{root}: expected a folder or a zip file of chips, one folder per class, a Pascal VOC folder, or a CSV file "
        f"with the columns file and label. Received: {'another file' if root.exists() else 'nothing is there'}"
    )


def folder_names(root: Path) -> list[str]:
    """Names of all folders below a folder or in a zip file, "/" between parts; hidden ones aside."""
    if root.is_dir():
        return _visible(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_dir())
    with zipfile.ZipFile(root) as archive:
        names = archive.namelist()
    found = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    found |= {name.rstrip("/") for name in names if name.endswith("/")}
    return _visible(sorted(found - {"."}))


def read_file(root: Path, name: str) -> bytes:
    """The content of one file. Any thread and any process may call this.

    Raises:
        DatasetError: It can't be read.
    """
    folder = _folder(root)
    try:
        return (folder / name).read_bytes() if folder else _archive(root).read(name)
    except (*ZIP_DAMAGE, OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{name}: can't be read ({error})") from error


def read_paths(root: Path, names: Sequence[str]) -> list[Path]:
    """The files on the disk that chips are read from: each its own, or the zip file; and the list of them, if any."""
    folder = _folder(root)
    own = [] if folder is None else [folder / name for name in names]
    return own if root.is_dir() else [root, *own]


def identities(root: Path, names: Sequence[str]) -> list[str]:
    """What tells a file from another without reading its pixels: name, size and, in a zip file, the CRC."""
    folder = _folder(root)
    if folder:
        return [f"{name} {(folder / name).stat().st_size}" for name in names]
    with zipfile.ZipFile(root) as archive:
        found = map(archive.getinfo, names)
        return [f"{info.filename} {info.file_size} {info.CRC:08x}" for info in found]


def _visible(names: Iterable[str]) -> list[str]:
    """Without what file managers leave behind: .DS_Store, __MACOSX/._chip.jpg."""
    return [n for n in names if not any(p.startswith(".") or p == "__MACOSX" for p in n.split("/"))]


def _folder(root: Path) -> Path | None:
    """The folder that names are relative to; None for a zip file."""
    if root.suffix.lower() == ".csv":
        return root.parent
    return root if root.is_dir() else None


def _archive(path: Path) -> zipfile.ZipFile:
    """Kept open: reading the directory of a large zip file takes longer than reading a batch from it.

    Each thread has its own, and a forked process opens it anew: the place in the file is shared between the processes
    that share a handle. A file that was replaced is opened again.
    """
    stat = path.stat()
    key = os.getpid(), path, stat.st_mtime_ns, stat.st_size
    if getattr(_kept, "key", None) != key:
        _kept.archive, _kept.key = zipfile.ZipFile(path), key
    archive: zipfile.ZipFile = _kept.archive
    return archive
