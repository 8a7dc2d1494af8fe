"""Where a file grows until it may have its name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landmap.errors import OutputError
from landmap.lock import hidden_prefix


@contextmanager
def staging_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside an output, on its disk. It goes at the end; `locked` sweeps up those of killed runs.

    Raises:
        OutputError: The folder is not writable.
    """
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=hidden_prefix(path), ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
    with folder as name:
        yield Path(name)
