"""Findings as JSON and CSV files, published together with whatever else a command writes."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from landmap.errors import OutputError
from landmap.lock import hidden_prefix
from landmap.outputs import Staged, publish


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV, the titles first; None is an empty cell, and a float has what single precision would tell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return out.getvalue()


def publish_texts(texts: Mapping[Path, str], *, overwrite: bool, rasters: Sequence[Staged] = ()) -> None:
    """Write texts under temporary names and give them, and finished rasters, their own: all or none.

    The caller has checked the outputs and holds their locks.

    Raises:
        OutputError: One exists by now and `overwrite` is not set, or can't be written.
    """
    with ExitStack() as stack:
        staged = list(rasters)
        for path, text in texts.items():
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=hidden_prefix(path), dir=path.parent))
                file = Path(folder, "text")
                file.write_text(text, "utf-8")
            except OSError as error:
                raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
            staged.append(Staged(path, file, None))
        publish(staged, overwrite=overwrite)
