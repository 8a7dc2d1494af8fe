"""What the commands print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from landmap.classify import Progress as Report
from landmap.classify import Result
from landmap.planning import Plan
from landmap_models.evaluate import Evaluation

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(verb: str, unit: str, units: float = 1, *, quiet: bool) -> Iterator[Report]:
    """A bar with rate and time left on a terminal, and silence elsewhere.

    Args:
        verb: What is going on.
        unit: What the rate counts.
        units: How many of what is reported make one of these.
        quiet: No bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=quiet or not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(verb, total=None, rate="")

        def report(done: int, total: int) -> None:
            seconds = bar.tasks[task].elapsed or 0
            rate = f"{done / seconds / units:.3g} {unit}/s" if seconds else ""
            bar.update(task, completed=done, total=total, rate=rate)

        yield report


def print_warnings(warnings: tuple[str, ...]) -> None:
    """One line each, on stderr."""
    for text in warnings:
        err.print(f"landmap: warning: {text}", markup=False)


def print_plan(plan: Plan) -> None:
    """The plan, a line for each thing decided."""
    scene, grid, radiometry = plan.scene, plan.grid, plan.scene.radiometry
    for name, text in (
        ("scene", f"{scene.path}: {scene.height} rows x {scene.width} columns, {scene.dtype}"),
        ("bands", ", ".join(f"{n} is band {i}" for n, i in zip(scene.band_names, scene.band_indexes, strict=True))),
        ("nodata", scene.nodata_rule),
        ("scale", f"{_same(radiometry.scale)} ({radiometry.origins['scale']})"),
        ("offset", f"{_same(radiometry.offset)} ({radiometry.origins['offset']})"),
        ("level", f"{radiometry.level} ({radiometry.origins['level']})"),
        ("haze", radiometry.origins["haze"]),
        ("model", f"{plan.card.name} {plan.card.version}, {len(plan.card.legend)} classes"),
        ("grid", f"{grid.num_windows} windows of {grid.chip_size} px at a stride of {grid.stride} px"),
        (
            "chunks",
            f"{plan.num_chunks} of up to {plan.chunk_shape[0]}x{plan.chunk_shape[1]} px, "
            f"about {plan.chunk_bytes / 1e6:.0f} MB each",
        ),
        ("time", f"about {max(1, round(plan.seconds))} s here"),
        ("output", plan.to_dict()["output"]),
    ):
        out.print(f"{name:8} {text}", markup=False)


def _same(values: tuple[float, ...]) -> str:
    numbers = [f"{v:.6g}" for v in values]
    return numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)


def print_result(result: Result) -> None:
    """Classes with share and area, rates, and where the files lie."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("id", "class", "share", "hectares"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for c in sorted(result.classes, key=lambda c: -c.pixels):
        if c.pixels:
            area = "" if c.hectares is None else f"{c.hectares:,.1f}"
            table.add_row(str(c.id), c.name, f"{100 * c.share:.1f} %", area)
    out.print(table)
    scene, grid = result.plan.scene, result.plan.grid
    pixels = scene.height * scene.width
    out.print(
        f"{pixels / 1e6:.2f} Mpx, {100 * result.nodata_pixels / pixels:.1f} % nodata, in {result.seconds:.1f} s: "
        f"{pixels / 1e6 / result.seconds:.2f} Mpx/s, {grid.num_windows / result.seconds:.0f} chips/s",
        markup=False,
    )
    for path in result.outputs.paths():
        out.print(str(path), markup=False)


def print_evaluation(found: Evaluation) -> None:
    """Metrics with their intervals, and where the report lies."""
    for name, entry in found.metrics.items():
        if isinstance(entry, dict) and {"value", "low", "high"} <= set(entry) and entry["value"] is not None:
            interval = "" if entry["low"] is None else f" (95 %: {entry['low']:.4f} to {entry['high']:.4f})"
            out.print(f"{name.replace('_', ' '):28} {entry['value']:.4f}{interval}", markup=False)
    out.print(f"{found.metrics['n']} chips", markup=False)
    for path in found.files:
        out.print(str(path), markup=False)
