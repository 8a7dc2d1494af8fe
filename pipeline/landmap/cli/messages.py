"""Warnings and news of the library, as lines on stderr."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from landmap.errors import LandmapWarning

LOG = logging.getLogger("landmap")


class _Lines(logging.Handler):
    """Prints a record as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        click.echo(f"landmap: {'warning: ' if record.levelno >= logging.WARNING else ''}{text}", err=True)


@contextmanager
def messages() -> Iterator[None]:
    """Within this context each `LandmapWarning` and each record of the logger "landmap" is a line on stderr, once."""
    handler, level = _Lines(), LOG.level
    with warnings.catch_warnings():
        shown_otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, LandmapWarning):
                print_warnings([str(message)])
            else:
                shown_otherwise(message, category, *place, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", LandmapWarning)
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        try:
            yield
        finally:
            LOG.removeHandler(handler)
            LOG.setLevel(level)


def quieten() -> None:
    """Print no news from now on, but warnings still."""
    LOG.setLevel(logging.WARNING)


def print_warnings(texts: Sequence[str]) -> None:
    """Print each warning as a line on stderr."""
    for text in texts:
        click.echo(f"landmap: warning: {text}", err=True)
