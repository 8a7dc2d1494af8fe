"""One scene is turned into a map and a table of areas.

    python workflows/one_scene.py scene.tif results/ [--accept-warnings]

landmap warns of what it had to assume about a scene. An unattended job should not rely on assumptions: this one stops
at warnings, unless --accept-warnings is given.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import landmap
from landmap.errors import LandmapError


def map_scene(scene: Path, folder: Path, *, accept_warnings: bool) -> Path:
    """Write `<scene>_cover.tif` and `<scene>_areas.csv` into a folder; the path of the cover."""
    plan = landmap.plan(scene)
    for warning in plan.warnings:
        print(f"{scene}: {warning}", file=sys.stderr)
    if plan.warnings and not accept_warnings:
        sys.exit("stopped at warnings: settle them with the options of landmap.classify, or give --accept-warnings")
    folder.mkdir(parents=True, exist_ok=True)
    result = landmap.classify(scene, folder / f"{scene.stem}_cover.tif", overwrite=True)
    with (folder / f"{scene.stem}_areas.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "class", "pixels", "share", "hectares"])
        table.writerows([c.id, c.name, c.pixels, f"{c.share:.4f}", c.hectares] for c in result.classes)
    return result.outputs.cover


def main() -> None:
    """Map the scene of the command line."""
    arguments = [a for a in sys.argv[1:] if a != "--accept-warnings"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    try:
        print(map_scene(Path(arguments[0]), Path(arguments[1]), accept_warnings="--accept-warnings" in sys.argv))
    except LandmapError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
