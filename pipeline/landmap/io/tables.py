"""Rows with named columns are written as CSV, JSON or Parquet, by the ending of the file's name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from landmap.errors import OutputError
from landmap.io.publish import write_errors
from landmap.io.vectors import need_pyarrow

Row = dict[str, Any]
"""A row of a table: values by column."""


def check_table(path: Path) -> None:
    """Refuse a table that can't be written, before any work.

    Args:
        path: The table's name.

    Raises:
        OutputError: No format has this ending, or the format needs a package that is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: expected a file name that ends in {', '.join(FORMATS)}")
    if path.suffix.lower() == ".parquet":
        need_pyarrow()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table; None becomes an empty cell in CSV, and null elsewhere.

    Args:
        path: The file to write; its ending chooses the format.
        rows: At least one row; all have the same columns.

    Raises:
        OutputError: The table can't be written: the disk is full, or the like.
    """
    with write_errors(path):
        FORMATS[path.suffix.lower()](path, rows)


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps(rows, indent=1, default=str) + "\n", "utf-8")


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(list(rows))
    for i, field in enumerate(table.schema):  # a column of nothing but None has no type of its own
        if pyarrow.types.is_null(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pyarrow.float64()))
    pyarrow.parquet.write_table(table, path)


FORMATS = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}
"""Functions that write a table, by the ending of its name. To add a format, add its function here."""


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as the text of a CSV file.

    Args:
        rows: Cells row by row, the titles first. None becomes an empty cell, and a float has seven digits.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return out.getvalue()
