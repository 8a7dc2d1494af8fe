"""Files and folders get their names once they are whole, and never replace what is read.

landmap's outputs of several files that belong together are published by `landmap.io.publish`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published(path: str | Path) -> Iterator[Path]:
    """A temporary name for a file or folder, which replaces `path` at the end of the block.

    An error inside the block leaves `path` as it was and removes what was written.

    Args:
        path: The file or folder to write.

    Yields:
        A name in the same folder with the same ending, under which nothing exists yet.

    Raises:
        OSError: The file or folder can't be renamed.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    _remove(temporary)  # of a process that was killed and had this number
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        _remove(temporary)


def put_in_place(finished: Path, path: Path) -> None:
    """Rename a file or folder to `path`, and remove what was there.

    A folder that is replaced is put aside first, and comes back if the other can't be renamed.

    Args:
        finished: A file or folder on the same disk.
        path: Its name from now on.

    Raises:
        OSError: It can't be renamed.
    """
    if not path.is_dir():
        finished.replace(path)
        return
    old = path.with_name(f".{os.getpid()}.old.{path.name}")
    path.rename(old)
    try:
        finished.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def first_same(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> Path | None:
    """The first output that exists and is one of the inputs, by whatever name or link; None where none is.

    Args:
        outputs: Files that would be replaced.
        inputs: Files that are read; names under which there is no file are passed over.
    """
    wanted = {path: number for path in map(Path, outputs) if (number := _number(path))}
    read = {_number(name) for name in inputs} if wanted else set()
    return next((path for path, number in wanted.items() if number in read), None)


def _number(name: str | Path) -> tuple[int, int] | None:
    """Disk and place on it, which all names of a file have in common; None where there is no such file."""
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
