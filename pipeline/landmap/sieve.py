"""Small regions of a map join their neighbours: a minimum mapping unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.features import sieve as gdal_sieve

from landmap.mosaic import NODATA
from landmap_models.gdal_dataset import open_dataset


def sieve(path: Path, pixels: int) -> None:
    """Merge connected regions of fewer pixels into their largest neighbour, in place.

    Pixels are connected along their sides. Pixels without data stay so and take no region in, so a small region
    without any other neighbour stays, too. The whole raster is looked at at once, so no border between chunks shows.

    Args:
        path: A raster of one band, uint8, nodata 255. Needs a byte of memory a pixel, and for a while a file beside it.
        pixels: Pixels of the smallest region that is kept.
    """
    seen = path.with_name(path.name + ".seen")
    try:
        with open_dataset(path, "r+") as file:
            pixels = min(pixels, file.height * file.width - 1)  # GDAL takes no more; a region of all has no neighbour
            if pixels < 2:
                return
            _write_seen(file, seen)
            with open_dataset(seen) as mask:
                # Bands, not arrays: each would be 120 MB of a full scene. rasterio can't write into one, though.
                merged = gdal_sieve(rasterio.band(file, 1), pixels, mask=rasterio.band(mask, 1), connectivity=4)
            for _, window in file.block_windows(1):  # all at once would be copied
                file.write(merged[window.toslices()], 1, window=window)
    finally:
        seen.unlink(missing_ok=True)


def _write_seen(file: Any, path: Path) -> None:
    """Write 1 where a raster has data, and 0 where it has none."""
    with open_dataset(path, "w", **file.profile | {"driver": "GTiff", "nodata": None}) as mask:
        for _, window in file.block_windows(1):
            mask.write((file.read(1, window=window) != NODATA).astype(np.uint8), 1, window=window)
