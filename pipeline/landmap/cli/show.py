"""What the commands print on a terminal."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from landmap.inference.plan import Plan
from landmap.inference.plan_text import plan_lines
from landmap.io.remote import RedactingFormatter
from landmap.run.result import Progress as Report
from landmap.run.result import Result, align_columns, result_lines

if TYPE_CHECKING:  # what one command needs, the others need not import
    from landmap.accuracy.assessment import Assessment, Estimate
    from landmap.accuracy.change import Change
    from landmap.accuracy.design import Design
    from landmap.accuracy.estimators import Metric
    from landmap.accuracy.series import Series
    from landmap.bench.result import Bench
    from landmap_models.evaluation.compare import Comparison
    from landmap_models.evaluation.evaluate import Evaluation
    from landmap_models.evaluation.predict import Prediction


out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show_gdal_messages() -> None:
    """Print GDAL's warnings on stderr, without secrets."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(RedactingFormatter())
    log = logging.getLogger("rasterio")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(handler)


@contextmanager
def progress_bar(verb: str, unit: str, units: float = 1, *, quiet: bool) -> Iterator[Report]:
    """A bar with rate and time left on a terminal, and silence elsewhere.

    Args:
        verb: Word before the bar, such as "classifying".
        unit: Name of the unit of the rate, such as "Mpx".
        units: Number of reported items in one such unit.
        quiet: Show no bar.

    Returns:
        A function to be called with the number of items that are finished and of all.
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


def training_lines() -> int:
    """Keras's `verbose`: a bar on a terminal (1), elsewhere one line for each epoch (2)."""
    return 1 if sys.stdout.isatty() else 2


def print_plan(plan: Plan) -> None:
    """Print the plan, a line for each decision."""
    for name, text in plan_lines(plan):
        out.print(Text(f"{name:8} ", "bold") + Text(text))


def print_result(result: Result) -> None:
    """Print classes with share and area, rates, and the files that were written."""
    print_lines(result_lines(result))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are, however narrow the terminal is."""
    for line in lines:
        out.print(line, markup=False)


def print_bench(found: Bench) -> None:
    """Print seconds and rates of the run and its steps, and how well they overlap."""
    whole, steps, rows = found.whole, found.steps, found.chunk_shape
    out.print(
        f"{found.scene}: {found.height}x{found.width} px, {found.windows:,} windows of {found.chip_size} px at a "
        f"stride of {found.stride} px, {found.chunks} chunks of up to {rows[0]}x{rows[1]} px",
        markup=False,
    )
    out.print(f"{found.model}; {found.method}; {whole.precision}", markup=False)
    lines = [["", "seconds", "Mpx/s", "windows/s"]]
    for name, seconds in (
        ("read alone", steps.read_seconds),
        ("prediction alone", steps.predict_seconds),
        ("write alone", steps.write_seconds),
        ("the whole", whole.seconds),
    ):
        lines.append([name, f"{seconds:.2f}", f"{found.mpx / seconds:,.2f}", f"{steps.windows / seconds:,.0f}"])
    print_lines(align_columns(lines, "l" + "r" * (len(lines[0]) - 1)))
    out.print(
        f"the whole takes {found.share:.2f} times its slowest step ({steps.slowest}), with {steps.prepare_seconds:.1f} "
        f"s for model, precision and graph; before it, {whole.start_seconds:.1f} s for the start of Python and "
        f"TensorFlow; peak memory {whole.peak_bytes / 1e6:,.0f} MB",
        markup=False,
    )
    machine = found.machine
    out.print(
        f"{machine.cpu}, {machine.cores} cores, on {machine.device}; landmap {machine.landmap}, "
        f"TensorFlow {machine.tensorflow}, Python {machine.python}",
        markup=False,
    )


def print_evaluation(found: Evaluation) -> None:
    """Print metrics with their intervals, and the files of the report."""
    for name, entry in found.metrics.items():
        if isinstance(entry, dict) and {"value", "low", "high"} <= set(entry) and entry["value"] is not None:
            interval = "" if entry["low"] is None else f" (95 %: {entry['low']:.4f} to {entry['high']:.4f})"
            out.print(f"{name.replace('_', ' '):28} {entry['value']:.4f}{interval}", markup=False)
    pixels = found.metrics.get("pixels")
    unit = "chips" if pixels is None else f"images, {pixels:,} labelled pixels"
    out.print(f"{found.metrics['n']} {unit}", markup=False)
    for path in found.files:
        out.print(str(path), markup=False)


def print_comparison(found: Comparison) -> None:
    """Print a line for each network, and the folder of the comparison."""
    names = list(found.rows[0].metrics)
    lines = [["network", *(name.replace("_", " ") for name in names), "parameters", "MB", "chips/s", "minutes"]]
    for row in found.rows:
        values = [row.metrics[name]["value"] for name in names]
        measured = ["" if value is None else f"{value:.4f}" for value in values]
        size = f"{row.parameters:,}", f"{row.megabytes:.2f}"
        lines.append([row.name, *measured, *size, f"{row.chips_per_second:,.0f}", f"{row.minutes:.1f}"])
    print_lines(align_columns(lines, "l" + "r" * (len(lines[0]) - 1)))
    out.print(str(found.output), markup=False)


def print_predictions(found: Sequence[Prediction], *, as_json: bool) -> None:
    """Print a line for each image: its class with the probability."""
    if as_json:
        out.print(json.dumps([p.to_dict() for p in found], indent=2), markup=False)
        return
    lines = [["image", "class", "probability"]]
    lines += [[str(p.path), p.label or "none", f"{100 * p.probability:.1f} %"] for p in found]
    print_lines(align_columns(lines, "llr"))
    for prediction in found:
        if prediction.picture:
            out.print(str(prediction.picture), markup=False)


def print_design(found: Design) -> None:
    """Print a line for each stratum of a sample, and the standard error that is expected."""
    lines = [["class", "mapped ha", "share", "expected user's accuracy", "places"]]
    for s in found.strata:
        shares = f"{100 * s.weight:.1f} %", f"{100 * s.accuracy:.0f} %"
        lines.append([s.name, f"{s.hectares:,.1f}", *shares, f"{s.places:,}"])
    print_lines(align_columns(lines, "lrrrr"))
    out.print(
        f"{found.places:,} places; expected standard error of overall accuracy {100 * found.expected:.2f} %",
        markup=False,
    )


def print_assessment(found: Assessment) -> None:
    """Print overall accuracy, a line for each class, and the confusion matrix."""
    from landmap.accuracy.assessment import CENSUS
    from landmap.accuracy.estimators import CLASS_METRICS, MAP_METRICS

    kind = "all pixels, nothing to estimate" if found.design == CENSUS else found.design
    read = f"; {found.places}" if found.places else ""
    out.print(f"{found.cover} against {found.reference}: {found.samples:,} places ({kind}){read}", markup=False)
    of_map = "; ".join(f"{m.title} {_value(m, found.estimates[m.key])}" for m in MAP_METRICS)
    out.print(f"{of_map}; ± is the 95 % interval", markup=False)
    classes = [c for c in found.classes if c.samples or c.reference_samples or c.mapped_hectares]
    shares, areas = ([m for m in CLASS_METRICS if m.in_hectares is is_area] for is_area in (False, True))
    lines = [["class", "samples", *(m.title for m in shares), "mapped ha", *(m.title for m in areas)]]
    for c in classes:
        before, after = ([_value(m, c.estimates[m.key]) for m in metrics] for metrics in (shares, areas))
        lines.append([c.name, f"{c.samples:,}", *before, f"{c.mapped_hectares:,.1f}", *after])
    print_lines(align_columns(lines, "l" + "r" * (len(lines[0]) - 1)))
    out.print("\nplaces by class of the map (rows) and of the reference (columns)")
    lines = [["", *(c.name for c in classes)]]
    place = {c.id: i for i, c in enumerate(found.classes)}
    lines += [[c.name, *(f"{found.confusion[place[c.id]][place[other.id]]:,}" for other in classes)] for c in classes]
    print_lines(align_columns(lines, "l" + "r" * (len(lines[0]) - 1)))


def _value(metric: Metric, e: Estimate) -> str:
    """Write an estimate in percent or hectares, with half the width of its interval."""
    if e.value is None:
        return "-"
    factor, unit = (1, "") if metric.in_hectares else (100, " %")
    return f"{factor * e.value:,.1f}{unit}" + ("" if e.half_width is None else f" ± {factor * e.half_width:,.1f}")


def print_change(found: Change) -> None:
    """Print the transition matrix in hectares, and how much has changed."""
    present = [i for i, row in enumerate(found.pixels) if any(row) or any(other[i] for other in found.pixels)]
    matrix = found.hectares()
    lines = [["before \\ after, ha", *(found.names[i] for i in present)]]
    lines += [[found.names[i], *(f"{matrix[i][j]:,.1f}" for j in present)] for i in present]
    print_lines(align_columns(lines, "l" + "r" * (len(lines[0]) - 1)))
    share = "" if found.changed_share is None else f" ({100 * found.changed_share:.1f} %)"
    out.print(
        f"{found.changed_hectares:,.1f} of {found.compared_hectares:,.1f} ha have another class{share}; Unknown in "
        f"one {found.unknown_hectares:,.1f} ha, no data in one {found.nodata_hectares:,.1f} ha",
        markup=False,
    )


def print_series(found: Series) -> None:
    """Print how much changed from map to map, and how often."""
    lines = [["from", "to", "changed, ha", "share", "most of it"]]
    for i, matrix in enumerate(found.transitions):
        total, changed = math.fsum(map(math.fsum, matrix)), found.changed_hectares(i)
        pairs = ((area, a, b) for a, row in enumerate(matrix) for b, area in enumerate(row) if a != b)
        most, a, b = max(pairs, default=(0.0, 0, 0))
        words = f"{found.names[a]} → {found.names[b]}, {most:,.1f} ha" if most else ""
        share = f"{100 * changed / total:.1f} %" if total else ""
        lines.append([found.times[i], found.times[i + 1], f"{changed:,.1f}", share, words])
    print_lines(align_columns(lines, "llrrl"))
    counts = [f"{area:,.1f} ha {n} times" for n, area in enumerate(found.by_changes) if n and area]
    out.print(
        f"changed: {'; '.join(counts) or 'nothing'}; never: {found.by_changes[0]:,.1f} ha; a class in less than two "
        f"maps: {found.uncompared_hectares:,.1f} ha",
        markup=False,
    )
