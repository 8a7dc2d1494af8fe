"""The files that an input is read from, and the check that no output is one of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import rasterio

from landmap.errors import OutputError, SceneError
from landmap.io.publish import SIDECARS, STEM_SIDECARS, exists_error, with_sidecars
from landmap.io.remote import gdal_options, is_remote
from landmap.products import find_product
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset
from landmap_models.publish import first_same


def check_outputs(paths: Sequence[Path], *inputs: str | os.PathLike[str] | None, overwrite: bool) -> None:
    """Refuse outputs that would destroy a file, before any work. Every command that writes files calls this.

    Args:
        paths: Paths of the outputs.
        *inputs: Everything that is read: scenes (with the files of a product and the sources of a VRT), covers, masks,
            zones, models. None and names of no file are ignored.
        overwrite: Whether outputs that exist are replaced.

    Raises:
        OutputError: An output or a sidecar of it exists and `overwrite` is not set; or it is a file that is read, or
            belongs to one; or it is named twice, or its folder does not exist.
    """
    real = [path.resolve() for path in paths]
    files = [file for path in real for file in with_sidecars(path)]
    if len(set(files)) < len(files):
        raise OutputError(f"Expected a file for each output. Received: {', '.join(map(str, paths))}")
    for path in paths:
        if path.is_dir() or not path.parent.is_dir():
            raise OutputError(f"{path}: expected a file name in a folder that exists")
        if os.path.lexists(path) and path.exists() and not path.is_file():
            raise OutputError(f"{path}: expected the name of a file. Received a device, a pipe or a socket")
    existing = [file for path in paths for file in with_sidecars(path) if os.path.lexists(file)]
    read = [os.fspath(name) for name in inputs if name is not None] if existing else []
    if same := first_same(existing, {file for name in read for file in _with_companions(name)}):
        raise OutputError(
            f"{same}: is the scene itself, or a file that it is read from or masked by, another input of this command, "
            "or a file that belongs to one; choose another output"
        )
    if existing and not overwrite:
        raise exists_error(existing[0])


def scene_files(scene: str) -> list[str]:
    """Local files that a scene may be read from, under any name, and also names that are no file."""
    try:
        product = find_product(scene)
    except SceneError:
        product = None  # whoever plans with it says why
    return named_files([scene, *(product.local_files() if product else [])])


def named_files(names: Sequence[str]) -> list[str]:
    """Local files that may be read when these names are opened, and also names that are no file."""
    waiting, known = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        if name in names or name.lower().endswith(".vrt"):  # a VRT names its sources, but not those of VRTs among them
            waiting += _dataset_files(name)
    return sorted({part for name in known for part in _parts(name)})


def scene_stamp(path: str) -> dict[str, list[int]]:
    """Size in bytes and time of the last change in ns of a scene's local files, by absolute path.

    The scene need not exist or be readable.
    """
    return {} if is_remote(path) else _stamps(scene_files(path))


def _stamps(names: Sequence[str]) -> dict[str, list[int]]:
    return {str(Path(name).resolve()): _stamp(name) for name in names if Path(name).is_file()}


def _stamp(name: str) -> list[int]:
    """Size in bytes and time of the last change in ns."""
    state = Path(name).stat()
    return [state.st_size, state.st_mtime_ns]


def _with_companions(name: str) -> Iterator[str]:
    """Local files that an input is read from, and the sidecars that are read with them."""
    for file in scene_files(name):
        yield file
        yield from (file + ending for ending in SIDECARS)
        stem = os.path.splitext(file)[0]  # noqa: PTH122 # what a name of GDAL's holds may be no path
        yield from (stem + ending for ending in STEM_SIDECARS)


def _dataset_files(name: str) -> list[str]:
    try:
        # to list the folder of a URL is slow
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_options()), open_dataset(name) as file:
            return list(file.files)
    except (*READ_ERRORS, OSError):
        return []  # whoever plans with it says why


def _parts(name: str) -> set[str]:
    """Paths that a GDAL name may contain: `GTIFF_DIR:1:a.tif`, `/vsizip/a.zip/b.tif`, `/vsisubfile/0_9,a.tif`."""
    starts = {0} | {match.end() for match in re.finditer(r'/vsi\w+/|[,=:{"]', name)}
    ends = {len(name)} | {match.start() for match in re.finditer(r'[/}&!?"]', name)}
    return {name[start:end] for start in starts for end in ends if start < end}
