"""What goes along with a cover for people to look at: a page and a picture, made from rasters without a name yet."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from landmap.errors import OutputError
from landmap.lock import staging
from landmap.outputs import Staged
from landmap.quicklook import draw_quicklook
from landmap.report_page import Map, render


def stage_companions(
    stack: ExitStack, made: Map, *, name: str, report: Path | None = None, quicklook: Path | None = None
) -> list[Staged]:
    """Make those that are asked for, under temporary names.

    Args:
        stack: Leaving it removes what was not published.
        made: The map.
        name: What the cover will be called.
        report: Where the page is to go.
        quicklook: Where the picture is to go.

    Raises:
        SceneError: The scene can't be read.
        OutputError: The disk is full, or the like.
    """
    staged = []
    for path in filter(None, (report, quicklook)):
        file = stack.enter_context(staging(path)) / path.name
        try:
            if path == report:
                file.write_text(render(made), "utf-8")
            else:
                draw_quicklook(made.scene, made.cover, file, name)
        except OSError as error:
            raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
        staged.append(Staged(path, file))
    return staged
