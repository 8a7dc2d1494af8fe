"""Memory of polygons and tables on a full-size cover: `make bench`. LANDMAP_BENCH_COVER=5490 for a smaller one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from scipy.ndimage import gaussian_filter

from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.legend import EUROSAT

SIZE = int(os.environ.get("LANDMAP_BENCH_COVER", "10980"))
CELL = 8
MAX_GIGABYTES = 2.5
MEASURED = """
import json, resource, sys, time
import landmap
name, arguments, choices = json.loads(sys.argv[1])
start = time.perf_counter()
found = getattr(landmap, name)(*arguments, **choices)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([time.perf_counter() - start, peak, found if isinstance(found, int) else len(found)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a cover of some 100,000 polygons in cells of 8 px, its confidence, and 40 zones."""
    folder, rng, side = tmp_path_factory.mktemp("bench"), np.random.default_rng(0), -(-SIZE // CELL)
    fields = np.stack([gaussian_filter(rng.standard_normal((side, side), np.float32), 2) for _ in EUROSAT])
    percent = (np.clip(fields.max(axis=0) / fields.max(), 0, 1) * 100).astype(np.uint8)
    for name, layer, cells in (("cover", "classes", fields.argmax(axis=0)), ("confidence", "confidence", percent)):
        values = cells.astype(np.uint8).repeat(CELL, axis=0).repeat(CELL, axis=1)[:SIZE, :SIZE]
        values[:, : SIZE // 10] = 255
        _write(folder / f"{name}.tif", layer, values)
    points = shapely.MultiPoint(rng.random((40, 2)) * SIZE * 10 + (500_000, 5_000_000 - SIZE * 10))
    parts = list(shapely.voronoi_polygons(points, extend_to=points.buffer(10_000)).geoms)
    geopandas.GeoDataFrame({"zone": range(len(parts))}, geometry=parts, crs=32633).to_file(folder / "zones.gpkg")
    return folder


def _write(path: Path, layer: str, values: np.ndarray) -> None:
    profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 255, "count": 1, "height": SIZE, "width": SIZE}
    blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "DEFLATE", "zlevel": 1}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", **profile, **blocks, **place) as file:
        file.write(values, 1)
        file.update_tags(**{LAYER_TAG: layer, LEGEND_TAG: legend_tag(EUROSAT), CELL_TAG: str(CELL)})


@pytest.mark.parametrize(
    ("name", "output", "choices"),
    [
        ("vectorize", "plain.gpkg", {}),
        ("vectorize", "simple.gpkg", {"min_area": 2, "simplify": 60}),
        ("vectorize", "plain.geojson", {}),
        ("vectorize", "plain.parquet", {}),
        ("summarize", "whole.csv", {}),
        ("summarize", "zones.csv", {"zones": "zones.gpkg", "zone_id": "zone"}),
    ],
)
def bench_memory_is_bounded(name: str, output: str, choices: dict[str, object], folder: Path) -> None:
    """Each in a process of its own, whose peak is measured."""
    given = {k: str(folder / v) if k == "zones" else v for k, v in choices.items()}
    given |= {"confidence": str(folder / "confidence.tif")}
    call = json.dumps([name, [str(folder / "cover.tif"), str(folder / output)], given])
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, call], capture_output=True, text=True, check=True)
    seconds, peak, count = json.loads(done.stdout)
    whole = time.perf_counter() - start
    print(f"\n{name} {output} of {SIZE} px: {count:,} rows, {seconds:.1f} s ({whole:.1f} s), peak {peak:.2f} GB")
    assert peak < MAX_GIGABYTES
