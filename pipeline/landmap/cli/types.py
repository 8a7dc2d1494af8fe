"""Types of the values that options take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
"""A file or folder on this machine."""
FILE_OR_NAME = click.Path(readable=False)
"""A string that is passed on as it is typed (it may be a URL, or a model's name); shells complete it as a file."""
MEMORY = re.compile(r"(\d+\.?\d*(?:e\d+)?) ?((?:[kmgt]i?b?|b?))", re.IGNORECASE)
UNITS = {"": 1, "B": 1} | {
    unit: base**power
    for power, letter in enumerate("KMGT", 1)
    for unit, base in ((letter, 1000), (f"{letter}B", 1000), (f"{letter}I", 1024), (f"{letter}IB", 1024))
}
"""Bytes of a unit, in capitals."""


class NumberOr(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """A number, or one of some names."""

    def __init__(self, *names: str, number: Callable[[str], float] = float, shown: str = "NUMBER") -> None:
        """Keep the names.

        Args:
            *names: Values that are kept as they are.
            number: Makes the number of any other value.
            shown: What the help text calls the number.
        """
        self.names, self.number, self.name = names, number, "|".join((*names, shown))

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Keep a name, and make a number of anything else."""
        try:
            return value if value in self.names else self.number(value)
        except ValueError:
            self.fail(f"expected {self.name}, not {value!r}", param, context)


class MemoryType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """A number of bytes, with a unit or without."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Make bytes of "2GB", "1500 MB", "2GiB" or "2e9"."""
        found = MEMORY.fullmatch(str(value).strip())
        bytes_ = float(found[1]) * UNITS[found[2].upper()] if found else 0
        if not 1 <= bytes_ < 2**63:
            self.fail(f"expected bytes, such as 2GB or 1500MB, not {value!r}", param, context)
        return int(bytes_)


class ListType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """Values with commas between, as a tuple."""

    def __init__(self, item: Callable[[str], Any] = str, name: str = "A,B,…") -> None:
        """Keep the type of the values.

        Args:
            item: Makes a value of its text.
            name: What the help text calls the list.
        """
        self.item, self.name = item, name

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Split the text at commas, and convert each part."""
        if not isinstance(value, str):
            return value
        try:
            return self._values([part.strip() for part in value.split(",")])
        except ValueError:
            self.fail(f"expected {self.name}, not {value!r}", param, context)

    def _values(self, parts: Sequence[str]) -> tuple[Any, ...]:
        return tuple(self.item(part) for part in parts if part)


class FourType(ListType):
    """Four numbers with commas between; how many there are is checked with the other settings."""

    def _values(self, parts: Sequence[str]) -> tuple[Any, ...]:
        return tuple(self.item(part) for part in parts)


class ShareByName(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """A name and a number, as in "Forest=0.95"."""

    name = "NAME=SHARE"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Split at the last sign of equality."""
        if isinstance(value, tuple):
            return value
        name, _, number = str(value).rpartition("=")
        try:
            return name.strip(), float(number)
        except ValueError:
            self.fail(f"expected NAME=SHARE, such as Forest=0.95. Received: {value!r}", param, context)
