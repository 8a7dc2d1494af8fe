"""Reports of a batch: JSON for programs, and one page for people."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from landmap.batch.ledger import CLOUDY, DONE, FAILED, OUTDATED, RUNNING, WAITING, Record, now
from landmap.batch.stac import bounds
from landmap.geo.longitudes import span
from landmap.io.publish import write_text
from landmap.report.templates import fill

JSON_NAME, HTML_NAME = "report.json", "report.html"
"""Names of the reports in the batch's folder."""
ORDER = (FAILED, OUTDATED, RUNNING, WAITING, CLOUDY, DONE)
"""States in the order of the page: what needs attention comes first."""


def summarise(records: Sequence[Record], skipped: Sequence[str] = (), *, at_work: bool = False) -> dict[str, Any]:
    """Return a batch as values that JSON can hold: counts, areas of all covers that are done, and every scene.

    Args:
        records: Jobs in the ledger.
        skipped: Paths that are no scenes, each with the reason.
        at_work: Whether a run is at work on it.
    """
    states = Counter(record.state for record in records)
    return {
        "landmap": version("landmap"),
        "written": now(),
        "scenes": len(records),
        "states": {state: states[state] for state in ORDER},
        "all_done": states[DONE] + states[CLOUDY] == len(records),
        "at_work": at_work,
        "seconds_left": seconds_left(records) if at_work else None,
        "hectares": _hectares(records),
        "jobs": [_entry(record) for record in records],
        "skipped": list(skipped),
    }


def seconds_left(records: Sequence[Record]) -> float | None:
    """Return how long the rest of a batch will take in seconds, if scenes go on at their rate; None before the first.

    Args:
        records: Jobs in the ledger. As many as are running now are taken to be done at a time.
    """
    states = Counter(record.state for record in records)
    seconds = [record.seconds for record in records if record.state == DONE and record.seconds is not None]
    if not seconds:
        return None
    return (states[WAITING] + states[RUNNING]) * sum(seconds) / len(seconds) / max(1, states[RUNNING])


def time_words(seconds: float) -> str:
    """Return a time in words, such as 40 s, 12 min or 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def write_reports(
    folder: Path, records: Sequence[Record], skipped: Sequence[str] = (), *, at_work: bool = False
) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` in place of those that exist.

    Args:
        folder: Folder of the batch.
        records: Jobs in the ledger.
        skipped: Paths that are no scenes, each with the reason.
        at_work: Whether a run is at work on it; then a browser loads the page again from time to time.

    Raises:
        OutputError: The disk is full, or the like.
    """
    content = summarise(records, skipped, at_work=at_work)
    write_text(folder / JSON_NAME, json.dumps(content, indent=1) + "\n")
    write_text(folder / HTML_NAME, page(folder.resolve().name, content))
    return folder / JSON_NAME, folder / HTML_NAME


def _entry(record: Record) -> dict[str, Any]:
    columns = "scene", "output", "state", "attempts", "runner", "started", "seconds", "error", "sha256"
    return {name: getattr(record, name) for name in columns} | {"files": list(record.files)} | dict(record.result)


def _hectares(records: Sequence[Record]) -> dict[str, float]:
    """Sum the area of each class in hectares over the covers that are done, which may overlap."""
    found: dict[str, float] = {}
    for record in records:
        for c in record.result.get("classes", ()) if record.state == DONE else ():
            found[c["name"]] = found.get(c["name"], 0.0) + (c["hectares"] or 0.0)
    return found


def page(title: str, content: Mapping[str, Any]) -> str:
    """Return the report as one HTML page; of other files it shows only the pictures of scenes, where there are some.

    Args:
        title: Title of the page.
        content: Return value of `summarise`.
    """
    jobs = sorted(content["jobs"], key=lambda job: ORDER.index(job["state"]))
    shown = {state: number for state, number in content["states"].items() if number or state in (DONE, FAILED)}
    left = "" if content["seconds_left"] is None else time_words(content["seconds_left"])
    jobs = [job | {"row": f"scene-{number}"} for number, job in enumerate(jobs)]
    shapes = footprints(jobs)
    return fill(
        "batch", title=title, content=content, jobs=jobs, states=shown, areas=_areas, left=left, map=shapes, link=_link
    )


def _link(job: Mapping[str, Any], ending: str) -> str:
    """Return the address of a scene's file beside the page, given the end of its name; "" where there is none."""
    names = [name for name in job.get("files", ()) if name.endswith(ending)]
    return quote(names[0]) if names else ""


MAP_SIDE, MAP_MARGIN = 1000, 110
"""Longest side of the map of footprints without its margins, and their width, in units of its own."""
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
"""Degrees between two meridians or parallels of the map."""


def footprints(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a map of the scenes' outlines for SVG; None where the place of none is known.

    Degrees are drawn as if the Earth were a cylinder, with the scale of the middle parallel. Where scenes lie on both
    sides of 180°, longitudes go on beyond it.

    Args:
        jobs: Jobs of `summarise`, with the id of their `row` on the page.
    """
    placed = [job for job in jobs if job.get("footprint")]
    if not placed:
        return None
    boxes = [bounds(job["footprint"]) for job in placed]
    west, east = span(boxes)
    east += 360 if east < west else 0
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    squeeze = max(0.05, math.cos(math.radians((south + north) / 2)))
    scale = MAP_SIDE / max((east - west) * squeeze, north - south, 1e-6)

    def place(lon: float, lat: float) -> tuple[float, float]:
        lon += 360 if lon < west - 1e-9 else 0
        return round((lon - west) * squeeze * scale + MAP_MARGIN, 1), round((north - lat) * scale + MAP_MARGIN, 1)

    shapes = [
        {name: job[name] for name in ("row", "state", "scene")} | {"path": _path(job["footprint"], place)}
        for job in placed
    ]
    (width, height), sides = place(east, south), (west, south, east, north)
    return {
        "shapes": shapes,
        "width": width + MAP_MARGIN,
        "height": height + MAP_MARGIN,
        "meridians": [(place(lon, south)[0], _degrees(lon, "EW")) for lon in _ticks(sides[0], sides[2])],
        "parallels": [(place(west, lat)[1], _degrees(lat, "NS")) for lat in _ticks(sides[1], sides[3])],
        "elsewhere": len(jobs) - len(placed),
    }


def _path(geometry: Mapping[str, Any], place: Any) -> str:
    """Return the path in SVG of a GeoJSON polygon or several."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [ring for polygon in polygons for ring in polygon]
    return "".join(f"M{' '.join(f'{x:g},{y:g}' for x, y in (place(*point[:2]) for point in ring))}Z" for ring in rings)


def _ticks(low: float, high: float) -> Iterator[float]:
    """Yield round numbers between two, at most five."""
    step = next((step for step in STEPS if (high - low) / step <= 5), 60)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield round(number * step, 2)


def _degrees(value: float, letters: str) -> str:
    value = (value + 180) % 360 - 180 if letters == "EW" else value
    return f"{abs(value):g}°{letters[value < 0] if value else ''}"


def _areas(job: Mapping[str, Any]) -> list[tuple[str, str, float, str]]:
    """Return name, colour, share in percent and area of the classes of one scene, the largest first."""
    classes = sorted(job.get("classes", ()), key=lambda c: -c["pixels"])
    return [
        (c["name"], c["color"], 100 * c["share"], "" if c["hectares"] is None else f"{c['hectares']:,.1f} ha")
        for c in classes
        if c["pixels"]
    ]
