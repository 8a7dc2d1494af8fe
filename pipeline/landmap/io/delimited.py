"""Tables in text files are read as spreadsheets, GIS and field apps write them in any country: CSV and the like."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
"""Characters that may separate cells, and their names in messages."""
ENDINGS = (".csv", ".tsv", ".tab", ".txt")
"""Endings of tables in text files."""
POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
COMMA = re.compile(r"[-+]?(\d+,\d*|,\d+)(e[-+]?\d+)?", re.IGNORECASE)
EITHER = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
"""A number whose comma may stand before decimals or after thousands."""
EMPTY = ("", "nan", "na", "null", "none")
"""Texts of cells that hold no number, in small letters."""


class TableError(ValueError):
    """A table can't be read for certain; the message names the line or cell, and what to do."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """The cells of a table."""

    titles: tuple[str, ...]
    """Titles of the columns, as they are written."""
    rows: tuple[tuple[str, ...], ...]
    """Cells without the blanks around them, as many in each row as there are titles."""
    separator: str
    """Character that separates cells, a key of `SEPARATORS`, or another that the file's own first line names."""

    def find(self, *names: str) -> int | None:
        """Find the first column with one of these titles, in capitals or small letters.

        A title that is written exactly so is preferred to one in other letters.

        Args:
            *names: Titles, the most wanted first.

        Returns:
            Index of the column, from 0; None where no column has such a title.
        """
        small = [title.casefold() for title in self.titles]
        for name in names:
            for titles, wanted in ((self.titles, name), (small, name.casefold())):
                if wanted in titles:
                    return titles.index(wanted)
        return None

    def column(self, place: int) -> list[str]:
        """Return the cells of a column, given its index."""
        return [row[place] for row in self.rows]


def read_table(path: Path) -> TextTable:
    """Read a table; its separator is found by the titles and confirmed by every row.

    The standard library's `csv.Sniffer` guesses from letters that repeat, and is misled by decimal commas.

    Raises:
        TableError: The table can't be read, or its separator is not certain.
    """
    try:
        text = _text(path.read_bytes())
    except OSError as error:
        raise TableError(f"can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"can't be read as text: {error}") from error
    if first := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE):  # Excel's own line
        return _table(text[first.end() :], first[1])
    titles = next((line for line in text.splitlines() if line.strip()), "")
    found = [mark for mark in SEPARATORS if _fits(titles, mark)]
    if not found:
        raise TableError(
            f"expected a line of titles with {', '.join(SEPARATORS.values())} between them. Found {titles[:80]!r}"
        )
    if len(found) > 1:  # such as a comma inside a title: every row must fit, too
        found = [mark for mark in found if _fits(text, mark)] or found
    if len(found) > 1:
        names = " and ".join(SEPARATORS[mark] for mark in found)
        raise TableError(f"expected one kind of separator between titles. Found {names} in {titles[:80]!r}")
    return _table(text, found[0])


def _text(content: bytes) -> str:
    """Decode what spreadsheets write: UTF-8 or UTF-16 with or without byte order mark, otherwise Windows-1252."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content[:200]:
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _cells(text: str, separator: str) -> list[list[str]]:
    """Split a table into rows of cells, without blanks around them and without empty cells at the end of a row."""
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        rows = [[cell.strip() for cell in line] for line in lines]
    except csv.Error as error:
        raise TableError(f"can't be read as a table: {error}") from error
    for row in rows:
        while row and not row[-1]:
            row.pop()
    return rows


def _fits(text: str, separator: str) -> bool:
    """Return whether all rows have several cells, as many as there are titles."""
    try:
        numbers = {len(row) for row in _cells(text, separator) if row}
    except TableError:
        return False
    return len(numbers) == 1 and numbers != {1}


def _table(text: str, separator: str) -> TextTable:
    filled = [(number, row) for number, row in enumerate(_cells(text, separator), 1) if row]
    (_, titles), *rows = filled
    for number, row in rows:
        if len(row) > len(titles):
            why = " (decimal commas? Then put semicolons between the cells)" if separator == "," else ""
            raise TableError(
                f"line {number}: expected {len(titles)} cells between {SEPARATORS.get(separator, repr(separator))}, as "
                f"there are titles. Found {len(row)}{why}"
            )
    padded = tuple(tuple(row + [""] * (len(titles) - len(row))) for _, row in rows)
    return TextTable(tuple(titles), padded, separator)


def numbers_of(*columns: Sequence[str]) -> list[list[float | None]]:
    """Read cells as numbers, all written in one way: with a decimal point, or with a decimal comma.

    Args:
        *columns: The cells of each column, as texts.

    Returns:
        The columns as numbers; None where a cell is empty.

    Raises:
        TableError: A cell is no number, or can be read in two ways: "1,234" may be 1.234 or 1234.
    """
    filled = [cell for column in columns for cell in column if cell.casefold() not in EMPTY]
    commas = [cell for cell in filled if "," in cell]
    for cell in filled:
        if not (COMMA if cell in commas else POINT).fullmatch(cell) and not EITHER.fullmatch(cell):
            raise TableError(f"expected numbers such as 500123.5 or 500123,5. Found {cell!r}")
    certain = [cell for cell in commas if not EITHER.fullmatch(cell)]
    if commas and not certain:
        raise TableError(
            f"expected numbers that can be read in one way. Found {commas[0]!r}, which is "
            f"{commas[0].replace(',', '.', 1)} or {commas[0].replace(',', '')}: write a decimal point"
        )
    if commas and (mixed := [cell for cell in filled if "." in cell]):
        raise TableError(f"expected decimal points or decimal commas. Found both: {mixed[0]!r} and {certain[0]!r}")
    return [[_number(cell) for cell in column] for column in columns]


def _number(cell: str) -> float | None:
    if cell.casefold() in EMPTY:
        return None
    if cell.count(",") > 1:
        raise TableError(f"expected numbers such as 500123.5 or 500123,5. Found {cell!r}")
    return float(cell.replace(",", "."))
