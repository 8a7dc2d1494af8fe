"""Imports point one way, heavy ones wait until they are needed, and the public names are those that are promised."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import landmap
import landmap_models

ROOT = Path(__file__).parents[1]
PIPELINE = (
    "errors left_out crosswalk",
    "settings tiling",
    "geo pixels fusion",
    "io radiometry",
    "products",
    "scene demo",
    "inference",
    "executors maps",
    "accuracy report",
    "run",
    "batch bench lazy",
    "cli",
    "__main__",
)
"""Packages of landmap in layers: each may import from the layers above it, not from its own or from those below."""
MODELS = (
    "arrays errors gdal_dataset publish",
    "legend sentinel2",
    "model_file",
    "architectures",
    "inference",
    "foreign metrics",
    "datasets",
    "augment",
    "training",
    "evaluation",
)
"""The same of landmap_models."""
HEAVY = {
    "tensorflow",
    "keras",
    "openvino",
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
}
WITH_KERAS = ("architectures", "training", "datasets/chips.py", "datasets/windows.py")
"""Where a network is built or fed: Keras may be imported at the top of these modules."""
LIGHT = {"options.py", "application_table.py", "npz_weights.py", "__init__.py"}
"""Of those, these stay light: the command line asks them for names."""
MODULES = sorted((ROOT / "pipeline/landmap").rglob("*.py"))
MODEL_MODULES = sorted((ROOT / "models/landmap_models").rglob("*.py"))


def imported(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Dotted names that a module imports, anywhere or at its top; not those for type checking."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def package_of(path: Path) -> str:
    """The package inside landmap or landmap_models to which a module belongs; a module at the top is one itself."""
    source_root = next(parent for parent in path.parents if parent.name in ("landmap", "landmap_models"))
    return path.relative_to(source_root).with_suffix("").parts[0]


def _layers(order: tuple[str, ...]) -> dict[str, int]:
    return {name: layer for layer, names in enumerate(order) for name in names.split()}


@pytest.mark.parametrize(
    ("source", "order"), [("pipeline/landmap", PIPELINE), ("models/landmap_models", MODELS)], ids=["landmap", "models"]
)
def test_packages_import_one_way(source: str, order: tuple[str, ...]) -> None:
    layers, wrong = _layers(order), []
    name = Path(source).name
    for path in sorted((ROOT / source).rglob("*.py")):
        mine = package_of(path)
        if mine == "__init__":  # the face, which shows what all the others have
            continue
        for module in imported(path):
            other = module.removeprefix(f"{name}.").split(".")[0]
            if module.startswith(f"{name}.") and other != mine and layers[other] >= layers[mine]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


@pytest.mark.parametrize("source", ["pipeline/landmap", "models/landmap_models"])
def test_every_package_has_its_layer(source: str) -> None:
    there = {package_of(path) for path in (ROOT / source).rglob("*.py")} - {"__init__"}
    assert there == set(_layers(PIPELINE if "pipeline" in source else MODELS))


def test_no_two_modules_import_each_other() -> None:
    """Inside a package, too, there is no circle."""
    graph = {module_name(path): set(imported(path, top_only=True)) for path in [*MODULES, *MODEL_MODULES]}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name] & graph.keys()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", [*MODULES, *MODEL_MODULES], ids=lambda path: module_name(path))
def test_no_module_gives_one_name_twice(path: Path) -> None:
    """Of two constants of one name the second would count for functions above it, too."""
    names: list[str] = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [inner.id for target in node.targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]
    assert not {name for name in names if names.count(name) > 1}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", MODEL_MODULES, ids=module_name)
def test_models_never_import_the_pipeline(path: Path) -> None:
    assert not {n for n in imported(path) if n == "landmap" or n.startswith("landmap.")}


@pytest.mark.parametrize("name", ["tiling", "pixels", "fusion", "inference/stitch"])
def test_the_arithmetic_needs_numpy_only(name: str) -> None:
    outside = {n.split(".")[0] for n in imported(ROOT / f"pipeline/landmap/{name}.py")} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "landmap", "landmap_models"}


@pytest.mark.parametrize("path", [*MODULES, *MODEL_MODULES], ids=module_name)
def test_heavy_imports_wait(path: Path) -> None:
    heavy = {n.split(".")[0] for n in imported(path, top_only=True)} & HEAVY
    where = path.relative_to(ROOT).as_posix()
    allowed = {"keras"} if any(f"/{part}" in where for part in WITH_KERAS) and path.name not in LIGHT else set()
    if where.endswith("executors/worker.py"):  # imported by workers, and by who sends them something
        allowed = {"distributed"}
    assert heavy <= allowed


def test_only_what_runs_chunks_imports_dask() -> None:
    with_dask = {package_of(p) for p in MODULES if {"dask", "distributed"} & {n.split(".")[0] for n in imported(p)}}
    assert with_dask == {"executors", "lazy"}


def test_importing_landmap_is_light() -> None:
    code = f"import sys, landmap, landmap.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_landmap_alone_imports_nothing_else() -> None:
    code = "import sys, landmap, landmap_models; print([m for m in sys.modules if m.startswith(('landmap.', 'numpy'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("face", [landmap, landmap_models], ids=["landmap", "landmap_models"])
def test_public_names_are_those_in_all(face: ModuleType) -> None:
    for name in face.__all__:
        assert getattr(face, name).__doc__, name
    assert set(face.__all__) < set(dir(face))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        face.nonsense  # noqa: B018


@pytest.mark.parametrize("face", [landmap, landmap_models], ids=["landmap", "landmap_models"])
def test_types_know_the_same_public_names(face: ModuleType) -> None:
    """Editors and mypy read the imports under TYPE_CHECKING, Python the table below them."""
    tree = ast.parse(Path(str(face.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    for_types = {
        a.asname: f"{node.module}:{a.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for a in node.names
    }
    assert for_types == {name: f"{face.__name__}.{where}" for name, where in face._PUBLIC.items()}


def test_no_public_function_has_the_name_of_a_module_beside_it() -> None:
    for face in (landmap, landmap_models):
        for name in face.__all__:
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(f"{face.__name__}.{name}")


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert landmap.__version__ == version("landmap")
