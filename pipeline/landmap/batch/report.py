"""What became of a batch: numbers for programs, and one page for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landmap.batch.ledger import DONE, FAILED, OUTDATED, RUNNING, WAITING, Record, now
from landmap.io.publish import write_text

JSON_NAME, HTML_NAME = "report.json", "report.html"
ORDER = (FAILED, OUTDATED, RUNNING, WAITING, DONE)
"""What needs somebody's attention comes first."""


def summarise(records: Sequence[Record], skipped: Sequence[str] = ()) -> dict[str, Any]:
    """A batch as JSON-able values: counts, areas of all that is done, every scene, and what was skipped as none."""
    states = Counter(record.state for record in records)
    return {
        "landmap": version("landmap"),
        "written": now(),
        "scenes": len(records),
        "states": {state: states[state] for state in ORDER},
        "all_done": states[DONE] == len(records),
        "hectares": _hectares(records),
        "jobs": [_entry(record) for record in records],
        "skipped": list(skipped),
    }


def write_reports(folder: Path, records: Sequence[Record], skipped: Sequence[str] = ()) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` in place of those that are there.

    Raises:
        OutputError: The disk is full, or the like.
    """
    content = summarise(records, skipped)
    write_text(folder / JSON_NAME, json.dumps(content, indent=1) + "\n")
    write_text(folder / HTML_NAME, page(folder.resolve().name, content))
    return folder / JSON_NAME, folder / HTML_NAME


def _entry(record: Record) -> dict[str, Any]:
    columns = "scene", "output", "state", "attempts", "runner", "started", "seconds", "error", "sha256"
    return {name: getattr(record, name) for name in columns} | dict(record.result)


def _hectares(records: Sequence[Record]) -> dict[str, float]:
    """Area of each class in the covers that are done, which may overlap."""
    found: dict[str, float] = {}
    for record in records:
        for c in record.result.get("classes", ()) if record.state == DONE else ():
            found[c["name"]] = found.get(c["name"], 0.0) + (c["hectares"] or 0.0)
    return found


def page(title: str, content: Mapping[str, Any]) -> str:
    """The report as one HTML page that needs no other file."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jobs = sorted(content["jobs"], key=lambda job: ORDER.index(job["state"]))
    shown = {state: number for state, number in content["states"].items() if number or state in (DONE, FAILED)}
    return made.from_string(TEMPLATE).render(title=title, content=content, jobs=jobs, states=shown, areas=_areas)


def _areas(job: Mapping[str, Any]) -> list[tuple[str, str, float, str]]:
    """Name, colour, share in percent and area of the classes of one scene, the largest first."""
    classes = sorted(job.get("classes", ()), key=lambda c: -c["pixels"])
    return [
        (c["name"], c["color"], 100 * c["share"], "" if c["hectares"] is None else f"{c['hectares']:,.1f} ha")
        for c in classes
        if c["pixels"]
    ]


TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1d1d1f; background: #fff; }
body { max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.counts { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
.counts li { border-left: .3rem solid #9c9ca6; padding: .2rem .8rem; background: #f4f4f6; }
.counts b { font-size: 1.4rem; display: block; }
.counts .done { border-color: #1b6b35; } .counts .failed { border-color: #d8463c; }
.counts .outdated { border-color: #d98d3a; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.path { overflow-wrap: anywhere; } td.failed { color: #b3261e; font-weight: 600; }
td.outdated { color: #8a5200; font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.bar { display: flex; height: .8rem; min-width: 12rem; border: 1px solid #ddd; }
.scroll { overflow-x: auto; } small { color: #5c5c66; display: block; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ "{:,}".format(content.scenes) }} scenes by landmap {{ content.landmap }}, {{ content.written }}.
{{ "All are done." if content.all_done else "Not all are done." }}</p>
<ul class="counts">
{% for state, number in states.items() %}
<li class="{{ state }}"><b>{{ "{:,}".format(number) }}</b>{{ state }}</li>
{% endfor %}
</ul>
{% if content.hectares %}
<h2>Area of each class</h2>
<table>
<tr><th>class</th><th class="number">hectares</th></tr>
{% for name, hectares in content.hectares.items() %}
<tr><td>{{ name }}</td><td class="number">{{ "{:,.1f}".format(hectares) }}</td></tr>
{% endfor %}
</table>
<p><small>Of all covers that are done, added up; ground that several cover is counted as often.</small></p>
{% endif %}
<h2>Scenes</h2>
<div class="scroll"><table>
<tr><th>scene</th><th>state</th><th class="number">seconds</th><th>classes, error and warnings</th></tr>
{% for job in jobs %}
<tr><td class="path">{{ job.scene }}<small>{{ job.output }}</small></td>
<td class="{{ job.state }}">{{ job.state }}{% if job.attempts > 1 %}<small>attempt {{ job.attempts }}</small>{% endif %}
</td>
<td class="number">{{ "" if job.seconds is none else "{:.1f}".format(job.seconds) }}</td>
<td>{% if job.error %}{{ job.error }}{% endif %}
{% if job.state == "done" %}
<div class="bar">
{% for name, color, percent, area in areas(job) %}
<span style="width: {{ "%.2f"|format(percent) }}%; background: {{ color }}"
 title="{{ name }} {{ "%.1f"|format(percent) }} % {{ area }}"></span>
{% endfor %}
</div>
<small>{% for name, color, percent, area in areas(job) %}{{ name }} {{ "%.1f"|format(percent) }} %
{%- if area %} ({{ area }}){% endif %}{{ "" if loop.last else ", " }}{% endfor %}</small>
{% if job.get("left_out_text") %}<small>left out: {{ job.left_out_text }}</small>{% endif %}
{% if job.get("clouds") %}<small>clouds: {{ job.clouds }}</small>{% endif %}
{% for warning in job.warnings %}<small>warning: {{ warning }}</small>{% endfor %}
{% endif %}
</td></tr>
{% endfor %}
</table></div>
{% if content.skipped %}
<h2>Skipped, as they are no scenes</h2>
<ul>
{% for text in content.skipped %}<li>{{ text }}</li>
{% endfor %}
</ul>
{% endif %}
</body>
</html>
"""
