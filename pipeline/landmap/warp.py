"""A raster as it looks on another grid. Nothing is written: GDAL warps what is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from landmap.chips import Bools, finite
from landmap.ground import Grounded, RasterGrid

BLOCK_SHAPE = 128, 512
"""Rows and columns that GDAL warps together, unless the raster is smaller."""
TOLERANCE = 0.01
"""Pixels by which GDAL may misplace one."""


@dataclass(frozen=True, slots=True)
class Warp:
    """To which grid a raster is brought, and how."""

    grid: RasterGrid
    """Where its pixels come to lie."""
    resampling: Literal["nearest", "bilinear", "average"]
    """How values between pixels are found; those without data are never mixed in."""
    blank: float | None = None
    """What stands for no data where every band has it, in a file that declares none."""
    source: RasterGrid | None = None
    """Where its pixels lay before, for a file that has nothing but control points; None: where it says."""
    pixel_size: float = math.nan
    """Side in metres that a pixel had before, about."""
    scale: float = 1.0
    """That side in pixels of the grid, at most 1: bilinear interpolation takes in as many more of smaller pixels."""

    def over(self, file: Any) -> WarpedVRT:
        """An open file as it looks on the grid.

        Where the file has a nodata value, so has this, band by band; otherwise it has an alpha band.
        """
        if file.nodata is not None:
            how: dict[str, Any] = {"UNIFIED_SRC_NODATA": "NO"}
        else:
            has_alpha = ColorInterp.alpha in file.colorinterp
            how = {"src_nodata": self.blank, "nodata": None, "add_alpha": not has_alpha}
        if self.source is not None:
            how |= {"src_crs": CRS.from_wkt(self.source.crs), "src_transform": self.source.transform}
        return WarpedVRT(
            file,
            crs=CRS.from_wkt(self.grid.crs),
            transform=self.grid.transform,
            height=self.grid.height,
            width=self.grid.width,
            resampling=Resampling[self.resampling],
            tolerance=TOLERANCE,
            XSCALE=self.scale,  # or else GDAL takes it anew for each block, and what is averaged over changes there
            YSCALE=self.scale,
            **how,
        )


def onto(grid: Grounded) -> Warp:
    """How a raster of classes or of yes and no is brought to a grid: by the nearest pixel."""
    return Warp(RasterGrid(grid.height, grid.width, grid.transform, grid.crs), "nearest")


def read_warped(
    file: WarpedVRT, indexes: Sequence[int], place: RasterWindow, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """Values of a rectangle `(height, width, bands)`, and where all bands have data `(height, width)`.

    It is put together from GDAL's own blocks: GDAL approximates where pixels come from, over what it warps at once.
    Were that the rectangle, a pixel would depend on it, and so a cover on its chunks.

    Args:
        file: As `Warp.over` gives it.
        indexes: Numbers of the bands, from 1.
        place: The rectangle.
        shape: Rows and columns wanted, if not all: every so many pixels are taken then.

    Raises:
        RasterioError: It can't be read there.
    """
    if shape is not None:
        return _read(file, indexes, place, shape)
    height, width = file.block_shapes[0]
    rows = range(place.row_off // height * height, place.row_off + place.height, height)
    cols = range(place.col_off // width * width, place.col_off + place.width, width)
    blocks = [
        [
            _read(file, indexes, RasterWindow(col, row, min(width, file.width - col), min(height, file.height - row)))
            for col in cols
        ]
        for row in rows
    ]
    values, valid = (np.concatenate([np.concatenate([b[i] for b in row], axis=1) for row in blocks]) for i in (0, 1))
    top, left = place.row_off - rows[0], place.col_off - cols[0]
    wanted = slice(top, top + place.height), slice(left, left + place.width)
    return values[wanted], valid[wanted]


def _read(
    file: WarpedVRT, indexes: Sequence[int], place: RasterWindow, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[Any], Bools]:
    """Both from one reading: what GDAL warps twice need not come out the same."""
    alpha = [i for i, color in zip(file.indexes, file.colorinterp, strict=True) if color is ColorInterp.alpha]
    read = np.moveaxis(file.read([*indexes, *alpha], window=place, out_shape=shape), 0, -1)
    values, alphas = read[..., : len(indexes)], read[..., len(indexes) :]
    valid = finite(values) & (alphas > 0).all(axis=-1)
    if file.nodata is not None:
        valid &= (values != file.nodata).all(axis=-1)
    return values, valid
