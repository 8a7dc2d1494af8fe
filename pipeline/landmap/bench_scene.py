"""A scene of any size to measure on: one drawn example, mirrored side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window as RasterWindow

from landmap.errors import OutputError, SettingsError
from landmap.example import MIN_SIZE, TAGS, write_example

PART = 1024
"""Height and width in pixels of the example that is repeated; a multiple of the file's blocks."""
NAMES = ("B04", "B03", "B02")
UNSEEN = 200
"""Columns at the example's right side that may lie beyond the orbit's edge."""


def write_bench_scene(path: str | Path, size: int, *, overwrite: bool = False) -> Path:
    """Write a scene as large as wanted in little time: uint16 DN of B04, B03 and B02, tiled, DEFLATE, Level-1C.

    Every other copy of the example is mirrored, so that the joints do not show. No pixel is nodata, though the file
    declares 0, as Sentinel-2 products do.

    Args:
        path: The GeoTIFF to write.
        size: Height and width in pixels of 10 m, at least 64; 10,980 is a full Sentinel-2 product.
        overwrite: Replace a file that exists.

    Raises:
        SettingsError: The size is below 64.
        OutputError: The file exists already or can't be written; nothing is left half-written.
    """
    path = Path(path)
    if size < MIN_SIZE:
        raise SettingsError(f"Expected a size of at least {MIN_SIZE} pixels. Received: {size}")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already. Choose another name or allow overwriting")
    try:
        with tempfile.TemporaryDirectory(prefix=".landmap-bench-", dir=path.parent) as folder:
            values, profile = _example(Path(folder, "example.tif"))
            scene = Path(folder, "scene.tif")
            _repeat(scene, values, profile | {"count": len(NAMES), "height": size, "width": size})
            scene.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error}") from error
    return path


def _example(path: Path) -> tuple[npt.NDArray[np.uint16], dict[str, object]]:
    """Values `(bands, PART, PART)` without the nodata wedge, and how the file is laid out."""
    with rasterio.open(write_example(path, PART).scene) as file:
        values = file.read([3, 2, 1])
        values[:, :, -UNSEEN:] = values[:, :, -2 * UNSEEN : -UNSEEN][:, :, ::-1]
        return values, dict(file.profile)


def _repeat(path: Path, values: npt.NDArray[np.uint16], profile: dict[str, object]) -> None:
    with rasterio.open(path, "w", **profile, bigtiff="IF_SAFER") as file:
        file.descriptions = NAMES
        file.update_tags(**TAGS)
        for i, row in enumerate(range(0, file.height, PART)):
            for j, col in enumerate(range(0, file.width, PART)):
                part = values[:, :: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
                height, width = min(PART, file.height - row), min(PART, file.width - col)
                file.write(part[:, :height, :width], window=RasterWindow(col, row, width, height))
