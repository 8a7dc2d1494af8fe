"""The map that a peer writes: a pixel for each window."""

from __future__ import annotations

from typing import Any

import rasterio
from rasterio.transform import Affine


def write_classes(path: str, scene: str, classes: Any, stride: int) -> None:
    """A GeoTIFF of classes `(rows, cols)` of windows, where the windows' upper left corners lie."""
    with rasterio.open(scene) as file:
        profile = {"crs": file.crs, "transform": file.transform @ Affine.scale(stride)}
    height, width = classes.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, height=height, width=width, **profile
    ) as file:
        file.write(classes.astype("uint8"), 1)
