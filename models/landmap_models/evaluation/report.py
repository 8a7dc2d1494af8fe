"""The report of an evaluation: a folder with numbers for programs, pictures, and one page for people."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from landmap_models.errors import ReportError
from landmap_models.evaluation import figures
from landmap_models.metrics.table import Metric, metrics_for
from landmap_models.model_file.card import ModelCard, describe
from landmap_models.publish import published

FILES = (
    "metrics.json",
    "per_class.csv",
    "predictions.csv",
    "confusion.png",
    "reliability.png",
    "curves.png",
    "gallery.png",
    "report.html",
)
"""Files of a report; `curves.png` is missing where the card has no log of the training."""


class Findings(Protocol):
    """Content of a report: metrics, and what they are of."""

    @property
    def card(self) -> ModelCard:
        """Card of the model."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Content of `metrics.json`."""

    @property
    def table(self) -> Sequence[Metric]:
        """Metrics that the page lists."""

    @property
    def headline(self) -> str:
        """What was evaluated, in words."""

    @property
    def gallery_text(self) -> str:
        """What the gallery shows, in words."""

    def predictions(self) -> tuple[list[str], Iterable[Sequence[Any]]]:
        """Header and rows of `predictions.csv`."""

    def draw(self, folder: Path) -> None:
        """Draw `confusion.png` and `gallery.png` into a folder."""


@dataclass(frozen=True, slots=True)
class ChipFindings:
    """Content of the report on a model of chips: predictions for n chips."""

    card: ModelCard
    """Card of the model."""
    metrics: Mapping[str, Any]
    """Content of `metrics.json`."""
    files: tuple[str, ...]
    """Names of the chips, `(n,)`."""
    true: tuple[str, ...]
    """True class of each chip; several classes are separated by ";"."""
    predicted: tuple[str, ...]
    """Predicted class of each chip."""
    probability: npt.NDArray[np.float32]
    """Probability of the predicted class, `(n,)`."""
    right: npt.NDArray[np.bool_]
    """Whether the predicted class is true, `(n,)`."""
    shown: npt.NDArray[np.intp]
    """Indices of the chips of the gallery in its order, `(m,)`."""
    pictures: npt.NDArray[np.uint8]
    """These chips in red, green and blue, `(m, height, width, 3)`."""

    @property
    def table(self) -> Sequence[Metric]:
        """The metrics."""
        return metrics_for(single_label=self.card.single_label, beta=self.metrics["method"]["beta"])

    @property
    def headline(self) -> str:
        """What was evaluated, in words."""
        part = f", the model's {self.metrics['part']} part" if self.metrics["part"] else ""
        return f"{self.metrics['n']:,} chips{part};\n{int((~self.right).sum()):,} predicted wrongly."

    @property
    def gallery_text(self) -> str:
        """What the gallery shows, in words."""
        return (
            "Mistakes first, the surest of them at the top; then what is right, the least sure first. "
            f"{len(self.shown)} of\n{self.metrics['n']:,} chips."
        )

    def predictions(self) -> tuple[list[str], Iterable[Sequence[Any]]]:
        """Header and rows of `predictions.csv`."""
        probability = (f"{p:.4f}" for p in self.probability)
        rows = zip(self.files, self.true, self.predicted, probability, strict=True)
        return ["file", "true", "predicted", "probability"], rows

    def draw(self, folder: Path) -> None:
        """Draw confusion and gallery into a folder."""
        draw = figures.draw_confusion if self.card.single_label else figures.draw_decisions
        draw(folder / "confusion.png", self.metrics["confusion"], self.card.legend.names)
        figures.draw_gallery(folder / "gallery.png", self.pictures, captions(self), self.right[self.shown])


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse a folder that can't or must not be written, before any work.

    Args:
        output: Folder of the report.
        overwrite: Whether an existing report may be replaced.

    Raises:
        ReportError: The path is a file, lies in no folder, or holds other files than those of a report, or a library is
            missing.
    """
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise ReportError(f"Reports need {' and '.join(missing)}: pip install 'landmap[plot]'")
    if not output.parent.is_dir() or (output.exists() and not output.is_dir()):
        raise ReportError(f"{output}: expected the name of a folder, in a folder that exists")
    held = sorted(p.name for p in output.iterdir()) if output.exists() else []
    if held and not overwrite:
        raise ReportError(f"{output}: exists already and is not empty. Choose another name or give --overwrite")
    if foreign := sorted(set(held) - set(FILES)):
        raise ReportError(
            f"{output}: expected only files of a report to replace. Received: {', '.join(foreign[:5])}. "
            "Choose another folder or move them away"
        )


def write_report(output: Path, findings: Findings, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the whole folder, or nothing of it.

    Args:
        output: Folder of the report.
        findings: Content of the report.
        overwrite: Whether an existing report may be replaced.

    Returns:
        The files in it, in the order of `FILES`.

    Raises:
        ReportError: The folder is refused by `check_output`, or can't be written.
    """
    check_output(output, overwrite=overwrite)
    try:
        with published(output.resolve()) as folder:
            folder.mkdir()
            _fill(folder, findings)
    except OSError as error:
        raise ReportError(f"{output}: can't be written: {error}") from error
    return tuple(output / name for name in FILES if (output / name).is_file())


def _fill(folder: Path, findings: Findings) -> None:
    (folder / "metrics.json").write_text(json.dumps(findings.metrics, indent=1, allow_nan=False), "utf-8")
    _write_per_class(folder / "per_class.csv", findings.metrics["per_class"])
    _write_csv(folder / "predictions.csv", *findings.predictions())
    _draw(folder, findings)
    (folder / "report.html").write_text(_page(folder, findings), "utf-8")


def _write_per_class(path: Path, per_class: Mapping[str, Mapping[str, Any]]) -> None:
    columns = list(next(iter(per_class.values())))
    _write_csv(path, ["class", *columns], [[name, *row.values()] for name, row in per_class.items()])


def _write_csv(path: Path, header: list[str], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _draw(folder: Path, findings: Findings) -> None:
    figures.draw_reliability(folder / "reliability.png", findings.metrics["reliability"])
    figures.draw_curves(folder / "curves.png", findings.card.training.get("log") or ())
    findings.draw(folder)


def captions(findings: ChipFindings) -> list[tuple[str, str]]:
    """Two lines for each chip of the gallery: predicted class with its probability, and the true class in brackets."""
    return [
        (f"{findings.predicted[i]} {100 * findings.probability[i]:.0f} %", f"[{findings.true[i]}]")
        for i in findings.shown
    ]


PICTURES = (
    ("confusion.png", "Which classes are taken for which"),
    ("reliability.png", "Is it right as often as it is sure"),
    ("curves.png", "How it learned"),
    ("gallery.png", "Predictions, and in brackets what is true"),
)


def _page(folder: Path, findings: Findings) -> str:
    """The report as one HTML page that needs no other file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("landmap_models.evaluation", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("report.html").render(
        number=_number,
        title=f"{findings.card.name} on {findings.metrics['data']}",
        metrics=findings.metrics,
        intervals=_intervals(findings),
        card=describe(findings.card),
        headline=findings.headline,
        gallery_text=findings.gallery_text,
        pictures=[(text, _inlined(folder / name)) for name, text in PICTURES if (folder / name).is_file()],
    )


def _intervals(findings: Findings) -> Sequence[tuple[str, str, Mapping[str, Any]]]:
    """Name, meaning and entry of every metric."""
    return [(_spoken(metric.name), metric.meaning, findings.metrics[metric.name]) for metric in findings.table]


def _number(value: float | int | None) -> str:
    """Write a number: measures with four decimals, counts with none, and a dash where it is not defined."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _spoken(name: str) -> str:
    """Write the name of a metric for people: "Macro F1" for "macro_f1"."""
    known = {"auc": "AUC", "iou": "IoU", "px": "px", "roc": "ROC", "cohen": "Cohen's"}
    words = [known.get(w, w.upper() if w[0] == "f" and w[1:2].isdigit() else w) for w in name.split("_")]
    text = " ".join(words)
    return text[0].upper() + text[1:]


def _inlined(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
