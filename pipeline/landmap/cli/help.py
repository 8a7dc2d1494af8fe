"""Help texts with sections: forty options, or sixteen commands, are hard to read in one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

REST = "Options"
"""Title of the section for options that are in no other."""


class Option(click.Option):
    """An option that stands in a section of the help text."""

    def __init__(self, *args: Any, section: str = REST, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.section = section


class Command(click.Command):
    """A command with its options in sections, and an example."""

    def __init__(self, *args: Any, example: str = "", **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.example = example

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections in the order of their first option; options without one come last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in sorted(self.get_params(context), key=lambda p: getattr(p, "section", REST) == REST):
            record = parameter.get_help_record(context)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", REST), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, as it is typed."""
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(click.Group):
    """A group with its commands in sections, each with the whole first sentence of its help text."""

    command_class = Command

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.sections = sections

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of commands for each section."""
        for title, names in (self.sections or {"Commands": self.list_commands(context)}).items():
            with formatter.section(title):
                formatter.write_dl([(name, _first_sentence(self.commands[name])) for name in names])


def _first_sentence(command: click.Command) -> str:
    paragraph = " ".join((command.help or "").split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".") + "."


def option_in(section: str) -> Callable[..., Decorator]:
    """As `click.option`, for options that stand in a section."""
    return partial(click.option, cls=Option, section=section)


def with_options(*groups: Sequence[Decorator]) -> Decorator:
    """Give a command all options of some groups."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
