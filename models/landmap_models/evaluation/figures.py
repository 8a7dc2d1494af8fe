"""Pictures of an evaluation as PNG files, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bytes, Indices
from landmap_models.legend import Legend
from landmap_models.metrics.metrics import wilson_interval

DPI = 110
COLUMNS = 6
"""Number of columns of the gallery."""
INCHES, ROW = 1.75, 1.22
"""Width of a column of the gallery in inches, and height of a row with its caption, in widths of a column."""
MAX_NUMBERS = 25
"""Most classes for which counts are written into a confusion matrix."""
MANY = 100_000
"""Count from which a confusion matrix has percents of its rows written into it."""
RIGHT, WRONG = "#2a7f3f", "#b3261e"


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Make a figure of a size in inches, which is saved at the end; names are never read as formulas."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False, "font.size": 9}):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
        yield figure
        figure.savefig(path)


def draw_confusion(path: Path, confusion: Sequence[Sequence[int]], names: tuple[str, ...]) -> None:
    """Draw chips by true (rows) and predicted class (columns), coloured by their share of the row.

    Args:
        path: The PNG file.
        confusion: Counts `(c, c)`.
        names: Class names by id.
    """
    from matplotlib.colors import PowerNorm

    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(14.0, 2.6 + 0.52 * len(names))
    with _figure(path, side + 1, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # few mistakes are to be seen, too
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        if len(names) <= MAX_NUMBERS:
            _write_counts(axes, counts, shares)


def _write_counts(axes: Any, counts: npt.NDArray[Any], shares: npt.NDArray[Any]) -> None:
    for row, column in np.argwhere(counts):
        color = "white" if shares[row, column] > 0.35 else "black"
        text = str(counts[row, column]) if counts.max() < MANY else f"{100 * shares[row, column]:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=color)


def draw_decisions(path: Path, confusion: Sequence[Sequence[Sequence[int]]], names: tuple[str, ...]) -> None:
    """Draw for each class of a multi-label model the chips that are found, missed and falsely found.

    Args:
        path: The PNG file.
        confusion: For each class `[[true negatives, false positives], [false negatives, true positives]]`.
        names: Class names by id.
    """
    cells = np.asarray(confusion)
    rows, left = np.arange(len(names)), np.zeros(len(names))
    parts = {"found": (cells[:, 1, 1], RIGHT), "missed": (cells[:, 1, 0], "#e0a030"), "false": (cells[:, 0, 1], WRONG)}
    with _figure(path, 7, min(16.0, 1.6 + 0.34 * len(names))) as figure:
        axes = figure.subplots()
        for label, (chips, color) in parts.items():
            axes.barh(rows, chips, left=left, color=color, label=label)
            left = left + chips
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set_xlabel("chips")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)


def draw_reliability(path: Path, bins: Sequence[Mapping[str, Any]]) -> None:
    """Draw accuracy against confidence, and below the number of chips of each confidence.

    Args:
        path: The PNG file.
        bins: Bins of confidence, as `metrics.reliability` returns them.
    """
    lows, chips = np.array([b["low"] for b in bins]), np.array([b["chips"] for b in bins])
    with _figure(path, 5.6, 6.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), "--", color="grey", linewidth=1, label="as sure as it is right")
        _plot_bins(upper, [b for b in bins if b["chips"]])
        upper.set_ylabel("share that is right")
        upper.set_xlim(0, 1)
        upper.set_ylim(0, 1.02)
        upper.legend(loc="upper left", frameon=False)
        lower.bar(lows, chips, width=1 / len(bins), align="edge", color="#9db7dd", edgecolor="white")
        lower.set_yscale("symlog", linthresh=10)
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.set_ylabel("predictions")
        lower.set_xlabel("confidence")


def _plot_bins(axes: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    """Plot the bins that hold predictions, with their own intervals or Wilson's, which are wide where these are few."""
    right = np.array([b["accuracy"] for b in bins])
    ends = np.array([_ends(b) for b in bins], float).T
    arms = np.maximum([right - ends[0], ends[1] - right], 0)
    axes.errorbar(
        [b["confidence"] for b in bins], right, arms, fmt="o-", color="#1c4fa0", elinewidth=1, label="model, 95 %"
    )


def _ends(of_bin: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if "accuracy_low" in of_bin:
        return of_bin["accuracy_low"], of_bin["accuracy_high"]
    found = wilson_interval(round(of_bin["accuracy"] * of_bin["chips"]), of_bin["chips"])
    return found["low"], found["high"]


def draw_curves(path: Path, log: Sequence[Mapping[str, Any]]) -> bool:
    """Draw learning curves: each quantity of the training and of the validation part, by epoch.

    Args:
        path: The PNG file.
        log: One mapping an epoch, such as `{"epoch": 0, "loss": 1.6, "val_loss": 2.8}`.

    Returns:
        Whether there was a quantity to draw.
    """
    names = sorted({k for row in log for k in row if f"val_{k}" in row}, key=lambda k: (k != "loss", k))
    if not names:
        return False
    with _figure(path, 7, 0.4 + 2.6 * len(names)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                points = [(row.get("epoch", i) + 1, row[key]) for i, row in enumerate(log) if _is_number(row.get(key))]
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "", label=label)
            axes.set_ylabel(name.replace("_", " "))
            axes.grid(alpha=0.3)
        panels[0].legend(frameon=False)
        panels[-1].set_xlabel("epoch")
        panels[-1].locator_params(axis="x", integer=True)
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def draw_comparison(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the quality of several networks against their speed: up and to the right is better.

    Args:
        path: The PNG file.
        rows: Fields of `compare.Row` for each network; the first of the metrics is drawn, with its interval.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    name = next(iter(rows[0]["metrics"]))
    with _figure(path, 8, 5) as figure:
        axes = figure.subplots()
        for number, row in enumerate(rows):
            entry, color = row["metrics"][name], f"C{number % 10}"
            arms = [[100 * (entry["value"] - entry["low"])], [100 * (entry["high"] - entry["value"])]]
            label = f"{row['name']}: {100 * entry['value']:.1f} %, {row['parameters']:,} parameters"
            place = row["chips_per_second"], 100 * entry["value"]
            axes.errorbar(*place, arms, fmt="o", color=color, capsize=3, label=_shortened(label, 70))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))  # matplotlib's own is a formula
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("chips per second on this machine")
        axes.set_ylabel(f"{name.replace('_', ' ')} in percent, with 95 % interval")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", frameon=False, fontsize=8)


def draw_gallery(
    path: Path, pictures: npt.NDArray[np.uint8], captions: Sequence[tuple[str, str]], right: npt.NDArray[np.bool_]
) -> None:
    """Draw chips with their predicted and, in brackets, true class; frames are green where the prediction is right.

    Args:
        path: The PNG file.
        pictures: Chips in red, green and blue, `(m, height, width, 3)`.
        captions: Two lines for each chip.
        right: Whether the prediction is true, for each chip, `(m,)`.
    """
    rows = -(-len(pictures) // COLUMNS)
    with _figure(path, INCHES * COLUMNS, INCHES * ROW * rows) as figure:
        figure.set_layout_engine("none")  # one pair of axes for all, in columns: laying out 48 pairs takes a second
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, COLUMNS), ylim=(ROW * rows, 0))
        axes.set_axis_off()
        for i, (picture, lines, fine) in enumerate(zip(pictures, captions, right, strict=True)):
            _draw_chip(axes, picture, lines, RIGHT if fine else WRONG, i)
        axes.set(xlim=(0, COLUMNS), ylim=(ROW * rows, 0))


def _draw_chip(axes: Any, picture: npt.NDArray[np.uint8], lines: tuple[str, str], color: str, place: int) -> None:
    from matplotlib.patches import Rectangle

    left, top = place % COLUMNS + 0.04, ROW * (place // COLUMNS) + ROW - 0.94
    axes.imshow(picture, interpolation="nearest", extent=(left, left + 0.92, top + 0.92, top), aspect="auto")
    axes.add_patch(Rectangle((left, top), 0.92, 0.92, fill=False, edgecolor=color, linewidth=2.5))
    text = "\n".join(map(_shortened, lines))
    axes.text(left + 0.46, top - 0.03, text, fontsize=7.5, color=color, ha="center", va="bottom")


def draw_masks(
    path: Path,
    triples: Sequence[tuple[Bytes, Indices, Indices]],
    captions: Sequence[str],
    legend: Legend,
) -> None:
    """Draw images beside their masks and the classes that are predicted, two images a row, with a legend below.

    Args:
        path: The PNG file.
        triples: Picture `(height, width, 3)`, true and predicted classes `(height, width)`, -1 without a label.
        captions: A line for each image.
        legend: Classes with their colours.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    rows, colors = -(-len(triples) // 2), ListedColormap(["#000000", *(c.color for c in legend)])
    with _figure(path, 12, 2.3 * rows + 0.8) as figure:
        axes = figure.subplots(rows, 6, squeeze=False).ravel()
        for panel in axes:
            panel.set_axis_off()
        for i, ((picture, true, predicted), text) in enumerate(zip(triples, captions, strict=True)):
            axes[3 * i].imshow(picture, interpolation="nearest")
            for panel, classes in zip(axes[3 * i + 1 : 3 * i + 3], (true, predicted), strict=True):
                panel.imshow(classes, colors, vmin=-1.5, vmax=len(legend) - 0.5, interpolation="nearest")
            titles = _shortened(text, 30), "mask", "answer"
            for panel, title in zip(axes[3 * i : 3 * i + 3], titles, strict=True):
                panel.set_title(title, fontsize=7.5)
        patches = [Patch(color=c.color, label=c.name) for c in legend]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(8, len(patches)), frameon=False)


def draw_chip(path: Path, picture: npt.NDArray[np.uint8], title: str) -> None:
    """Draw one chip with a title.

    Args:
        path: The PNG file.
        picture: The chip in red, green and blue, `(height, width, 3)`.
        title: The title, which is shortened if it is long.
    """
    with _figure(path, 3, 3.3) as figure:
        axes = figure.subplots()
        axes.imshow(picture, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(_shortened(title, 36), fontsize=11)


def _shortened(text: str, limit: int = 26) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
