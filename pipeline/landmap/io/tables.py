"""Rows with named columns → CSV, JSON or Parquet, by the ending of the name."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from landmap.errors import OutputError
from landmap.io.publish import Staged, hidden_prefix, publish
from landmap.io.vectors import need_pyarrow

ENDINGS = (".csv", ".json", ".parquet")
Row = dict[str, Any]


def check_table(path: Path) -> None:
    """Refuse a table that can't be written, before any work.

    Raises:
        OutputError: The name ends otherwise, or the format needs a package that is not installed.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"{path}: expected a file name that ends in {', '.join(ENDINGS)}")
    if path.suffix.lower() == ".parquet":
        need_pyarrow()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table; None is an empty field, or null.

    Args:
        path: To write; its ending is the format.
        rows: At least one, all with the same columns.

    Raises:
        OutputError: It can't be written: the disk is full, or the like.
    """
    try:
        if path.suffix.lower() == ".parquet":
            _write_parquet(path, rows)
        elif path.suffix.lower() == ".json":
            path.write_text(json.dumps(rows, indent=1, default=str) + "\n", "utf-8")
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(list(rows))
    for i, field in enumerate(table.schema):  # a column of nothing but None has no type of its own
        if pyarrow.types.is_null(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pyarrow.float64()))
    pyarrow.parquet.write_table(table, path)


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
