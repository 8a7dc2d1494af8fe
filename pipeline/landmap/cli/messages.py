"""Warnings and news of the library, as lines on stderr."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from landmap.errors import LandmapWarning
from landmap.io.publish import write_errors
from landmap.io.remote import RedactingFormatter

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
    """Print no news from now on, but warnings still; a log file has both."""
    for handler in LOG.handlers:
        if isinstance(handler, _Lines):
            handler.setLevel(logging.WARNING)


@contextmanager
def log_to(path: Path | None) -> Iterator[None]:
    """Within this context each record of the logger "landmap" is added to a file, with the time (UTC).

    Args:
        path: The file, which may exist; None: there is none.

    Raises:
        OutputError: It can't be written.
    """
    if path is None:
        yield
        return
    with write_errors(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    formatter = RedactingFormatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        handler.close()


def print_warnings(texts: Sequence[str]) -> None:
    """Print each warning as a line on stderr."""
    for text in texts:
        click.echo(f"landmap: warning: {text}", err=True)
