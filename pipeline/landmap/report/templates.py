"""Pages are filled in from the templates in `report/pages`, with their styles and script inside: each is one file."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Any

BASE_STYLE = "base.css"
"""Colours, letters and headings that all pages share."""


def fill(name: str, script: str = "", **content: Any) -> str:
    """Fill in a template and return the page as HTML.

    The template `<name>.html` gets `css`, which is the shared style and `<name>.css`.

    Args:
        name: Name of the template, without its ending.
        script: Name of the script that the page runs, of which the template gets the text as `script`, and as `policy`
            what a browser lets the page do; "" for a page without a script.
        **content: What the template shows.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=PackageLoader("landmap.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["breakable"] = _breakable
    content["css"] = Markup(_read(BASE_STYLE) + _read(f"{name}.css"))
    if script:
        text = _read(script)
        content |= {"script": Markup(text), "policy": _policy(text)}
    return pages.get_template(f"{name}.html").render(**content)


def _read(name: str) -> str:
    return (files("landmap.report") / "pages" / name).read_text("utf-8")


def _policy(script: str) -> str:
    """Return what a browser lets the page do: show what is inside it, and run this script and no other."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _breakable(name: str) -> str:
    """Let a name be broken where a capital follows: HerbaceousVegetation is wider than a phone's column."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", name))
