"""Imports point one way, heavy ones wait until they are needed, and the public names are those that are promised."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import landmap

ROOT = Path(__file__).parents[1]
ORDER = (
    "errors",
    "delimited",
    "settings",
    "grid",
    "left_out",
    "chips",
    "mosaic",
    "bands",
    "nodata",
    "radiometry",
    "true_color",
    "plausibility",
    "decisions",
    "scene_names",
    "remote",
    "open_files",
    "attempts",
    "ground",
    "areas",
    "longitudes",
    "outlines",
    "warp",
    "warp_target",
    "source",
    "sample",
    "infrared",
    "product",
    "band_files",
    "cube",
    "stac_file",
    "stac_item",
    "landsat",
    "band_set",
    "hls",
    "theia",
    "dimap",
    "safe",
    "recognise",
    "vrt",
    "stack",
    "view",
    "mask_layers",
    "vector_files",
    "vector_layers",
    "aoi",
    "mask_rules",
    "masks",
    "cloud_polygons",
    "clouds",
    "scene_masks",
    "scene_file",
    "scene",
    "mask_checks",
    "cloud_detection",
    "georeference",
    "predict",
    "style",
    "outputs",
    "lock",
    "sieve",
    "raster",
    "vrt_values",
    "map_legend",
    "cover",
    "regions",
    "small_regions",
    "region_map",
    "polygonize",
    "vector_style",
    "cells",
    "vector",
    "summary",
    "zones",
    "tables",
    "summarize",
    "derived",
    "pictures",
    "inline_images",
    "quicklook",
    "landscape",
    "example",
    "bench_scene",
    "chunking",
    "planning",
    "work",
    "precision",
    "fingerprint",
    "journal",
    "graph",
    "provenance",
    "report_page",
    "companions",
    "result",
    "layers",
    "classify",
    "jobs",
    "scene_folder",
    "job_lists",
    "ledger",
    "acquisition",
    "cover_item",
    "catalog",
    "batch_report",
    "batch_tasks",
    "batch_verdict",
    "batch",
    "map_file",
    "reference",
    "tally",
    "olofsson",
    "text_files",
    "accuracy",
    "assess",
    "change",
    "bench_result",
    "brute_force",
    "bench",
    "terminal",
    "terminal_maps",
    "cli_scene",
    "cli_options",
    "cli_batch",
    "cli_models",
    "cli_gis",
    "cli_maps",
    "cli_report",
    "cli",
    "__main__",
)
HEAVY = {
    "tensorflow",
    "keras",
    "dask",
    "distributed",
    "matplotlib",
    "exactextract",
    "geopandas",
    "pyarrow",
    "pyogrio",
    "shapely",
    "sklearn",
    "scipy",
    "rioxarray",
    "xarray",
    "pystac",
    "s2cloudless",
}
GRAPH_ORDER = ("executor", "threads", "connect", "worker", "cluster")
MODULES = sorted((ROOT / "pipeline/landmap").rglob("*.py"))
MODEL_MODULES = sorted((ROOT / "models/landmap_models").rglob("*.py"))
WITH_KERAS = (
    {"train.py", "trained_card.py", "fit.py", "checkpoints.py", "network.py", "datasets.py", "rounding.py", "unroll.py"}
    | {"dynamic_world.py"}
    | {path.name for path in (ROOT / "models/landmap_models/architectures").glob("*.py")}
) - {"__init__.py", "options.py", "application_table.py", "npz_weights.py"}
"""The command line asks for the names of architectures, so these four stay light."""


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """Dotted names that a module imports, anywhere or at its top; not those for type checking."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_the_pipeline_imports_one_way(path: Path) -> None:
    if path.stem == "__init__":
        return
    for name in imported(path):
        if name.startswith("landmap."):
            assert place(name.split(".")[1:]) < place(module_of(path)), (
                f"{path.stem} imports {name}, which comes after it"
            )


def module_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT / "pipeline/landmap").with_suffix("").parts


def place(module: Sequence[str]) -> tuple[int, int]:
    """Where a module stands in the reading order; inside a package, where in that one's."""
    return ORDER.index(module[0]), GRAPH_ORDER.index(module[1]) if len(module) > 1 else -1


@pytest.mark.parametrize("path", MODEL_MODULES, ids=lambda p: p.stem)
def test_models_never_import_the_pipeline(path: Path) -> None:
    assert not {n for n in imported(path) if n == "landmap" or n.startswith("landmap.")}


@pytest.mark.parametrize("name", ["grid", "left_out", "chips", "mosaic"])
def test_the_arithmetic_needs_numpy_only(name: str) -> None:
    outside = {n.split(".")[0] for n in imported(ROOT / f"pipeline/landmap/{name}.py")} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "landmap"}


@pytest.mark.parametrize("path", [*MODULES, *MODEL_MODULES], ids=lambda p: p.stem)
def test_heavy_imports_wait(path: Path) -> None:
    heavy = {n.split(".")[0] for n in imported(path, top_only=True)} & HEAVY
    allowed = {"keras"} if path.name in WITH_KERAS else set()
    if path.parts[-2:] == ("graph", "worker.py"):  # imported by workers, and by who sends them something
        allowed = {"distributed"}
    assert heavy <= allowed


def test_only_graph_imports_dask() -> None:
    with_dask = {module_of(p)[0] for p in MODULES if {"dask", "distributed"} & {n.split(".")[0] for n in imported(p)}}
    assert with_dask == {"graph"}


def test_importing_landmap_is_light() -> None:
    code = f"import sys, landmap, landmap.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_those_in_all() -> None:
    for name in landmap.__all__:
        assert getattr(landmap, name).__doc__, name
    assert callable(landmap.classify)
    assert callable(landmap.plan)
