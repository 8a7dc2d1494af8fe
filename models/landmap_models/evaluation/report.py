"""The folder that an evaluation leaves: numbers for programs, pictures, and one page for people."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.errors import ReportError
from landmap_models.evaluation import figures
from landmap_models.model_file.card import ModelCard, describe

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
"""All that a report may hold; `curves.png` is missing where the card has no training log."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a report is written from: predictions for n chips, and what was measured."""

    card: ModelCard
    """The model's."""
    metrics: Mapping[str, Any]
    """As `metrics.json` holds them."""
    files: tuple[str, ...]
    """Names of the chips, `(n,)`."""
    true: tuple[str, ...]
    """True class of each chip; several are separated by ";"."""
    predicted: tuple[str, ...]
    """Predicted class of each chip."""
    probability: npt.NDArray[np.float32]
    """Of what was predicted, `(n,)`."""
    right: npt.NDArray[np.bool_]
    """Whether it is true, `(n,)`."""
    shown: npt.NDArray[np.intp]
    """Chips of the gallery in its order, `(m,)`."""
    pictures: npt.NDArray[np.uint8]
    """They in red, green, blue, `(m, height, width, 3)`."""


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse a folder that can't or must not be written, before any work.

    Raises:
        ReportError: It is a file, holds what must not be replaced, lies in no folder, or a library is missing.
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
        output: The folder.
        findings: What to report.
        overwrite: Replace a report that is there.

    Returns:
        The files in it, in the order of `FILES`.

    Raises:
        ReportError: See `check_output`; or it can't be written.
    """
    check_output(output, overwrite=overwrite)
    final = output.resolve()
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        _fill(temporary, findings)
        _publish(temporary, final)
    except OSError as error:
        raise ReportError(f"{output}: can't be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return tuple(output / name for name in FILES if (output / name).is_file())


def _publish(temporary: Path, final: Path) -> None:
    """Rename; a report that is there steps aside first, and comes back if the renaming fails."""
    old = temporary.with_name(temporary.name + ".old")
    if final.exists():
        final.rename(old)
    try:
        temporary.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, findings: Findings) -> None:
    (folder / "metrics.json").write_text(json.dumps(findings.metrics, indent=1, allow_nan=False), "utf-8")
    _write_per_class(folder / "per_class.csv", findings.metrics["per_class"])
    _write_predictions(folder / "predictions.csv", findings)
    _draw(folder, findings)
    (folder / "report.html").write_text(_page(folder, findings), "utf-8")


def _write_per_class(path: Path, per_class: Mapping[str, Mapping[str, Any]]) -> None:
    columns = list(next(iter(per_class.values())))
    _write_csv(path, ["class", *columns], [[name, *row.values()] for name, row in per_class.items()])


def _write_predictions(path: Path, findings: Findings) -> None:
    rows = zip(
        findings.files, findings.true, findings.predicted, (f"{p:.4f}" for p in findings.probability), strict=True
    )
    _write_csv(path, ["file", "true", "predicted", "probability"], rows)


def _write_csv(path: Path, header: list[str], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _draw(folder: Path, findings: Findings) -> None:
    metrics, names = findings.metrics, findings.card.legend.names
    if metrics["task"] == "multi-label":
        figures.draw_decisions(folder / "confusion.png", metrics["confusion"], names)
    else:
        figures.draw_confusion(folder / "confusion.png", metrics["confusion"], names)
    figures.draw_reliability(folder / "reliability.png", metrics["reliability"])
    figures.draw_curves(folder / "curves.png", findings.card.training.get("log") or ())
    figures.draw_gallery(folder / "gallery.png", findings.pictures, captions(findings), findings.right[findings.shown])


def captions(findings: Findings) -> list[tuple[str, str]]:
    """For each chip of the gallery what was predicted and how surely; what is true, in brackets."""
    return [
        (f"{findings.predicted[i]} {100 * findings.probability[i]:.0f} %", f"[{findings.true[i]}]")
        for i in findings.shown
    ]


MEANINGS = {
    "accuracy": "share of chips whose class is right",
    "balanced_accuracy": "share that is right, each class counting the same",
    "subset_accuracy": "share of chips of which all classes are right",
    "hamming_loss": "share of wrong decisions; 0 is best",
    "precision": "share of the predicted that is true",
    "recall": "share of the true that is found",
    "f1": "harmonic mean of precision and recall",
    "cohen_kappa": "agreement beyond chance; 1 is best, 0 is chance",
    "matthews": "correlation of true and predicted; 1 is best, 0 is chance",
    "roc_auc": "chance that a chip of a class scores above one of another; 0.5 is chance",
    "average_precision": "area under precision and recall",
    "log_loss": "surprise at the true class in nats; 0 is best",
    "expected_calibration_error": "mean distance of confidence from accuracy; 0 is best",
}
PICTURES = (
    ("confusion.png", "Which classes are taken for which"),
    ("reliability.png", "Is it right as often as it is sure"),
    ("curves.png", "How it learned"),
    ("gallery.png", "Predictions, and in brackets what is true"),
)


def _page(folder: Path, findings: Findings) -> str:
    """The report as one HTML page that needs no other file."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(TEMPLATE).render(
        number=_number,
        title=f"{findings.card.name} on {findings.metrics['data']}",
        metrics=findings.metrics,
        intervals=_intervals(findings.metrics),
        card=describe(findings.card),
        mistakes=int((~findings.right).sum()),
        shown=len(findings.shown),
        pictures=[(text, _inlined(folder / name)) for name, text in PICTURES if (folder / name).is_file()],
    )


def _intervals(metrics: Mapping[str, Any]) -> Sequence[tuple[str, str, Mapping[str, Any]]]:
    """Name, meaning and entry of every metric that has an interval."""
    return [
        (_spoken(name), _meaning(name), entry)
        for name, entry in metrics.items()
        if isinstance(entry, dict) and "value" in entry
    ]


def _number(value: float | int | None) -> str:
    """Four decimals for measures, none for counts, a dash for what is not defined."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _spoken(name: str) -> str:
    """As people write it: "Macro F1" for "macro_f1"."""
    known = {"auc": "AUC", "roc": "ROC", "cohen": "Cohen's"}
    words = [known.get(w, w.upper() if w[0] == "f" and w[1:2].isdigit() else w) for w in name.split("_")]
    text = " ".join(words)
    return text[0].upper() + text[1:]


def _meaning(name: str) -> str:
    kind, _, score = name.partition("_")
    averages = {
        "macro": "mean over classes",
        "weighted": "mean over classes, weighted by their chips",
        "micro": "all classes' chips together",
    }
    if kind not in averages:
        return MEANINGS.get(name, "")
    beta = f"like F1, recall counting {score[1:]} times as much"
    return f"{MEANINGS.get(score, beta)}, {averages[kind]}"


def _inlined(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1d1d1f; background: #fff; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.warnings { background: #fff4e0; border-left: .3rem solid #d98d3a; padding: .5rem 1rem .5rem 2rem; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
small { color: #5c5c66; display: block; }
img { max-width: 100%; height: auto; } img.wide { min-width: 40rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f6; padding: .8rem; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ "{:,}".format(metrics.n) }} chips{% if metrics.part %}, the model's {{ metrics.part }} part{% endif %};
{{ "{:,}".format(mistakes) }} predicted wrongly.</p>
{% if metrics.warnings %}
<ul class="warnings">
{% for warning in metrics.warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul>
{% endif %}
<h2>Metrics</h2>
<table>
<tr><th>metric</th><th class="number">value</th><th class="number">95 % interval</th></tr>
{% for name, meaning, entry in intervals %}
<tr><td>{{ name }}<small>{{ meaning }}</small></td>
<td class="number">{{ number(entry.value) }}</td>
<td class="number">{{ number(entry.low) }} to {{ number(entry.high) }}</td></tr>
{% endfor %}
</table>
<p><small>{{ metrics.method.intervals }}</small></p>
<h2>Classes</h2>
<div class="scroll"><table>
{% for name, row in metrics.per_class.items() %}
{% if loop.first %}
<tr><th>class</th>{% for key in row %}<th class="number">{{ key.replace("_", " ") }}</th>{% endfor %}</tr>
{% endif %}
<tr><td>{{ name }}</td>{% for value in row.values() %}<td class="number">{{ number(value) }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% for text, source in pictures %}
<h2>{{ text }}</h2>
{% if loop.last %}
<p>Mistakes first, the surest of them at the top; then what is right, the least sure first. {{ shown }} of
{{ "{:,}".format(metrics.n) }} chips.</p>
{% endif %}
<div class="scroll"><img src="{{ source }}" alt="{{ text }}"{% if loop.last %} class="wide"{% endif %}></div>
{% endfor %}
<h2>The model's card</h2>
<pre>{{ card }}</pre>
</body>
</html>
"""
