"""What came of a run."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from landmap.inference.plan import Plan
from landmap.inference.plan_text import detail_text
from landmap.left_out import NO_DATA, left_out_words
from landmap.maps.shares import ClassShare
from landmap.run.outputs import Outputs

Progress = Callable[[int, int], None]
"""Called after each chunk with the number of pixels that are finished and of all."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What came of the classification of a scene. `print(result)` prints what `landmap classify` does."""

    outputs: Outputs
    """The files that were written."""
    plan: Plan
    """The plan by which they were made."""
    classes: tuple[ClassShare, ...]
    """Pixels, share and area of each class, in the order of the legend."""
    left_out: Mapping[str, int]
    """Number of pixels without a class by reason, such as "no data", "cloud", "outside the area"; only reasons that
    occur."""
    seconds: float
    """Time in seconds from the plan to the last file."""
    precision: str
    """The precision in which the model computed, and why it was chosen, in words."""
    warnings: tuple[str, ...]
    """What the user should know before trusting the map: the plan's warnings, and those of the run."""
    reused: int = 0
    """Number of chunks that an earlier run had finished."""

    @property
    def nodata_pixels(self) -> int:
        """Number of pixels in which the scene has no data, without those that masks leave out."""
        return self.left_out.get(NO_DATA, 0)

    @property
    def left_out_text(self) -> str:
        """The share of the scene that is left out though it has data, and the reasons, in words; "" if nothing is."""
        return left_out_words(self.left_out, self.plan.scene.geobox.height * self.plan.scene.geobox.width)

    def __str__(self) -> str:
        """The result as `landmap classify` prints it, and its warnings."""
        return "\n".join([*result_lines(self), *(f"warning: {text}" for text in self.warnings)])

    def __repr__(self) -> str:
        return f"<Result: {self.outputs.cover} of {self.plan.scene.source.redacted_path}>"

    def _repr_html_(self) -> str:
        return result_html(self)


def result_lines(result: Result) -> list[str]:
    """A line for each class that occurs, the largest first; then rates, how classes were predicted, and the files."""
    return [*align_columns(_class_table(result), "rlrr"), *_facts(result)]


def result_html(result: Result) -> str:
    """The same as a table for notebooks, with the colors of the classes."""
    colors = {str(c.id): c.color for c in result.plan.map_classes}
    titles, *rows = _class_table(result)
    lines = [f"<tr><th></th>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"]
    for row in rows:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        lines.append(f'<tr><td style="background: {html.escape(colors[row[0]])}"></td>{cells}</tr>')
    below = [*_facts(result), *(f"warning: {text}" for text in result.warnings)]
    return f"<table>{''.join(lines)}</table>{'<br>'.join(map(html.escape, below))}"


def _class_table(result: Result) -> list[list[str]]:
    found = sorted((c for c in result.classes if c.pixels), key=lambda c: -c.pixels)
    areas = ["" if c.hectares is None else f"{c.hectares:,.1f}" for c in found]
    rows = [[str(c.id), c.name, f"{100 * c.share:.1f} %", area] for c, area in zip(found, areas, strict=True)]
    return [["id", "class", "share", "hectares"], *rows]


def _facts(result: Result) -> list[str]:
    plan, seconds = result.plan, result.seconds
    pixels = plan.scene.geobox.height * plan.scene.geobox.width
    left_out = f"left out: {result.left_out_text}, " if result.left_out_text else ""
    return [
        f"{pixels / 1e6:.2f} Mpx, {100 * result.nodata_pixels / pixels:.1f} % nodata, {left_out}in {seconds:.1f} s: "
        f"{pixels / 1e6 / seconds:.2f} Mpx/s"
        f"{'' if plan.card.per_pixel else f', {plan.grid.num_windows / seconds:.0f} chips/s'}",
        "; ".join(filter(None, (plan.nir, plan.method.text, detail_text(plan), result.precision))),
        *map(str, result.outputs.paths()),
    ]


def align_columns(lines: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Lines of text in columns that are as wide as their longest cell.

    Args:
        lines: The cells of each line, the titles first; of equal length.
        sides: For each column "l" or "r": on which side its cells are flush.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(line, widths, sides, strict=True)
        ).rstrip()
        for line in lines
    ]
