"""Scenes of one place on several dates become one map.

    python workflows/many_dates.py LEVEL cover.tif first.tif second.tif … [--points points.csv]

All scenes lie on one grid and are of one product level, L1C or L2A; each band is named in the files. Each date is
predicted lazily, and `landmap.combine` fuses their probabilities. Writes the map, and beside it `cover_count.tif`, how
many dates counted. With points (columns scene, row, col, group, of which those count whose scene is the first one) it
prints how many have their group of classes on each date alone, and on the map of all in each way of `combine`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import rioxarray
import xarray

import landmap
from landmap.errors import LandmapError
from landmap.fusion import HOW

GROUPS = {
    "water": ("River", "SeaLake"),
    "forest": ("Forest",),
    "built": ("Highway", "Industrial", "Residential"),
    "open": ("AnnualCrop", "HerbaceousVegetation", "Pasture", "PermanentCrop"),
}
"""Classes of the packaged model by the group of a drawn point."""


def predict_date(scene: Path, level: str) -> xarray.Dataset:
    """The lazy map of one date, with probabilities."""
    data: Any = rioxarray.open_rasterio(scene, chunks={"x": 1024, "y": 1024})
    names = data.attrs["long_name"]
    return landmap.predict(data.assign_coords(band=list(names)), level=level, probabilities=True)


def right_by_group(classes: xarray.DataArray, points: list[dict[str, str]]) -> dict[str, int]:
    """How many points have a class of their group, by group.

    Args:
        classes: A map, `(y, x)`, with names in its attributes.
        points: With row, column and group.
    """
    ids, names = classes.attrs["flag_values"], classes.attrs["flag_meanings"].split()
    name_of, values = dict(zip(map(int, ids), names, strict=True)), classes.to_numpy()
    right = dict.fromkeys(GROUPS, 0)
    for point in points:
        found = name_of.get(int(values[int(point["row"]), int(point["col"])]))
        right[point["group"]] += found in GROUPS[point["group"]]
    return right


def score(dates: xarray.Dataset, scenes: list[Path], points: list[dict[str, str]]) -> None:
    """Print how many points have their group, on each date and on the map of all."""
    here = [point for point in points if Path(point["scene"]).name == scenes[0].name]
    maps = {scene.name: dates.classes.isel(time=i) for i, scene in enumerate(scenes)}
    maps |= {f"all, {how}": landmap.combine(dates, how).classes for how in HOW}
    for name, classes in maps.items():
        right = right_by_group(classes, here)
        print(f"{name}: {sum(right.values())} of {len(here)} points have their group: {right}")


def main() -> None:
    """Map the scenes of the command line."""
    arguments, table = sys.argv[1:], None
    if "--points" in arguments:
        place = arguments.index("--points")
        table = Path(arguments[place + 1])
        del arguments[place : place + 2]
    if len(arguments) < 4:
        sys.exit(__doc__)
    level, output, scenes = arguments[0], Path(arguments[1]), [Path(text) for text in arguments[2:]]
    try:
        dates = xarray.concat([predict_date(scene, level) for scene in scenes], "time", join="exact").compute()
        cover = landmap.combine(dates)
    except LandmapError as error:
        sys.exit(f"error: {error}")
    cover.classes.rio.to_raster(output)
    cover["count"].rio.to_raster(output.with_name(f"{output.stem}_count.tif"))
    print(output)
    if table is not None:
        with table.open(encoding="utf-8", newline="") as file:
            score(dates, scenes, list(csv.DictReader(file)))


if __name__ == "__main__":
    main()
