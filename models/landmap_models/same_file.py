"""Whether a file that is to be written is one that is read: by any of its names, links included."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def first_same(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> Path | None:
    """The first output that exists and is one of the inputs; None where none is.

    Args:
        outputs: Files that would be replaced.
        inputs: Files that are read; names of no file at all are welcome.
    """
    wanted = {path: number for path in map(Path, outputs) if (number := _number(path))}
    read = {_number(name) for name in inputs} if wanted else set()
    return next((path for path, number in wanted.items() if number in read), None)


def _number(name: str | Path) -> tuple[int, int] | None:
    """Disk and place on it, which all names of one file have in common; None where there is no such file."""
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
