"""Two pages are made from the code, so that they can't be out of date: commands and Python API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

import landmap
from landmap.cli import cli

WIDTH = 80


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the texts where a page has their mark; mkdocs calls this for each page."""
    for mark, lines in (("<!-- commands -->", _commands), ("<!-- landmap -->", _names)):
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(lines()))
    return markdown


def _commands() -> Iterator[str]:
    return _help(cli, "landmap", None)


def _help(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A heading and what `--help` prints for a command, then for those below it."""
    context = click.Context(command, parent, name, terminal_width=WIDTH, **command.context_settings)
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _help(command.commands[below], below, context)


def _names() -> Iterator[str]:
    """What mkdocstrings needs to describe each public name of landmap: functions first, then values."""
    for name in sorted(landmap.__all__, key=lambda name: (name[0].isupper(), name)):
        meant = getattr(landmap, name)  # named by its module: griffe takes landmap.classify for the module of that name
        yield f"::: {meant.__module__}.{meant.__qualname__}"
        yield f"    options:\n      heading: landmap.{name}\n      toc_label: {name}\n"
