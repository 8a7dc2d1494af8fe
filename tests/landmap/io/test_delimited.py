"""Tables as spreadsheets, GIS and field apps write them: read where that is certain, else refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.io.delimited import SEPARATORS, TableError, numbers_of, read_table

ROWS = [["x", "y", "class"], ["500005.5", "4999995.25", "Forest"], ["500015.5", "4999985", "Sea, lake"]]


def text_of(separator: str, *, comma: bool = False) -> str:
    rows = [[cell.replace(".", ",") if comma else cell for cell in row] for row in ROWS]
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in rows]
    return "".join(separator.join(row) + "\n" for row in quoted)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("comma", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_dialect_gives_the_same_table(
    separator: str, comma: bool, encoding: str, newline: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text_of(separator, comma=comma).replace("\n", newline).encode(encoding))
    table = read_table(path)
    assert (table.titles, table.separator) == (("x", "y", "class"), separator)
    assert table.column(2) == ["Forest", "Sea, lake"]
    assert numbers_of(table.column(0), table.column(1)) == [[500005.5, 500015.5], [4999995.25, 4999985]]


@pytest.mark.parametrize(
    ("text", "titles", "rows"),
    [
        ("sep=;\nx;y\n1;2\n", ("x", "y"), [("1", "2")]),
        ("x;y;class;\n1;2;a;\n\n3;4;b;;\n", ("x", "y", "class"), [("1", "2", "a"), ("3", "4", "b")]),
        ('"x";"y";"cl;ass"\n"1";"2";"a;b"\n', ("x", "y", "cl;ass"), [("1", "2", "a;b")]),
        ("x, y, class\n1, 2, a\n", ("x", "y", "class"), [("1", "2", "a")]),
        ("x;y;class, as seen\n1,5;2,5;a\n", ("x", "y", "class, as seen"), [("1,5", "2,5", "a")]),
        ("x,y,class\n1,2\n", ("x", "y", "class"), [("1", "2", "")]),
        ("Größe\tx\nä\t1\n", ("Größe", "x"), [("ä", "1")]),
    ],
)
def test_odd_but_certain_tables(
    text: str, titles: tuple[str, ...], rows: list[tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = read_table(tmp_path / "t.csv")
    assert (table.titles, list(table.rows)) == (titles, rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a line of titles"),
        ("x y class\n1 2 a\n", "with semicolons, tabs, bars, commas between them. Found 'x y class'"),
        ("x,y,class\n500005,5,4999995,5,Forest\n", "line 2: expected 3 cells between commas.*Found 5.*decimal commas"),
        ("x;y,class\n1;2,3\n", "Found semicolons and commas"),
        ('x,y\n"1,2\n', "can't be read as a table"),
    ],
)
def test_what_is_not_certain_is_refused_by_name(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=words):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234", "13,5"], [1.234, 13.5]),
        (["0,123", "-5,"], [0.123, -5]),
        (["500005,123", "1"], [500005.123, 1]),
        (["1.234", "", "NaN", "1e5"], [1.234, None, None, 1e5]),
        ([], []),
    ],
)
def test_numbers_are_read_in_one_way(cells: list[str], numbers: list[float | None]) -> None:
    assert numbers_of(cells) == [numbers]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1,234", "2"], r"Found '1,234', which is 1\.234 or 1234: write a decimal point"),
        (["1,234,567", "2"], "1,234,567"),
        (["1,234.5"], r"Found '1,234\.5'"),
        (["1.234,5"], r"Found '1\.234,5'"),
        (["13,5", "13.5"], "Found both: '13.5' and '13,5'"),
        (["500 005,5"], "500 005,5"),
        (["1_000"], "1_000"),
        (["47° 12'"], "47° 12'"),
        (["13,55", "1,234,567"], "1,234,567"),
    ],
)
def test_numbers_that_may_be_others_are_refused(cells: list[str], words: str) -> None:
    with pytest.raises(TableError, match=words):
        numbers_of(cells)


@given(st.lists(st.floats(-1e7, 1e7).map(lambda x: round(x, 5)), min_size=1, max_size=20), st.booleans())
def test_a_number_is_never_taken_for_another(values: list[float], comma: bool) -> None:
    cells = [f"{value:.5f}" for value in values]
    assert numbers_of([cell.replace(".", ",") if comma else cell for cell in cells]) == [values]
