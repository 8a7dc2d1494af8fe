"""Small regions of a map join their neighbours: a minimum mapping unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import sieve as gdal_sieve

from landmap.mosaic import NODATA


def sieve(path: Path, pixels: int) -> None:
    """Merge connected regions of fewer pixels into their largest neighbour, in place.

    Pixels are connected along their sides. Pixels without data stay so and take no region in, so a small region
    without any other neighbour stays, too. The whole raster is looked at at once, so no border between chunks shows.

    Args:
        path: A raster of one band, uint8, nodata 255. Needs two bytes of memory a pixel.
        pixels: Pixels of the smallest region that is kept.
    """
    with rasterio.open(path, "r+") as file:
        seen = np.empty(file.shape, np.uint8)
        for _, window in file.block_windows(1):
            seen[window.toslices()] = file.read(1, window=window) != NODATA
        file.write(gdal_sieve(rasterio.band(file, 1), pixels, mask=seen, connectivity=4), 1)
