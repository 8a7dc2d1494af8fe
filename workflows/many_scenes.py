"""Many scenes are turned into a catalogue of maps and one table of areas.

    python workflows/many_scenes.py scenes/ results/

The first argument is a folder, a glob, or a list: CSV with the columns scene,output,options,datetime, JSON lines, or a
STAC ItemCollection. Started again, the script maps what is left; two that run at once share the work.
"""

from __future__ import annotations

import csv
import logging
import sys
from pathlib import Path

import landmap
from landmap.errors import LandmapError


def map_scenes(source: str, folder: Path) -> landmap.BatchResult:
    """Write covers, catalogue, reports and `areas.csv` into a folder."""
    result = landmap.run_batch(landmap.find_jobs(source), folder, retry_failed=True)
    with (folder / "areas.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["cover", "class", "share", "hectares"])
        for record in result.records:
            if record.state == "done":
                table.writerows(
                    [record.output, c["name"], f"{c['share']:.4f}", c["hectares"]] for c in record.result["classes"]
                )
    return result


def main() -> None:
    """Map the scenes of the command line."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("landmap").setLevel(logging.INFO)  # which scenes failed, and other news
    try:
        result = map_scenes(sys.argv[1], Path(sys.argv[2]))
    except LandmapError as error:
        sys.exit(f"error: {error}")
    print(Path(sys.argv[2], "collection.json"))
    if not result.all_done:
        sys.exit(f"{result.counts['done']} of {len(result.records)} scenes are done")


if __name__ == "__main__":
    main()
