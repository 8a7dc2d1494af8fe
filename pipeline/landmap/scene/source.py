"""What a scene reads its pixels from: the seam behind which a raster file, or anything else, may lie.

A new kind of input is a subclass of `Source` with `read`, a function that describes it as a `SceneHeader` (see
`landmap.scene.header`), and a line in `landmap.scene.scene.open_scene`. That function also restricts it to the window
that the settings ask for (`landmap.scene.subset.find_window`), and refuses what it does not do, such as a warp.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.geo.geobox import GeoBox
from landmap.io.remote import redacted
from landmap.products.nodata import Fills, Nodata
from landmap.scene.warp import Warp
from landmap.tiling import Window
from landmap_models.arrays import Bools

Values = tuple[npt.NDArray[Any], Bools]
"""Values `(height, width, bands)`, and where they are valid `(height, width)`."""


@dataclass(frozen=True, slots=True)
class Source(ABC):
    """Some bands on one grid, in the order that a model wants, and how their pixels are read.

    A small picklable value without pixels and without open files, so that it can be sent to any thread or process.
    """

    path: str = field(repr=False)
    """What the user gave: file, URL, GDAL /vsi path or product, with the keys that grant access to it. Messages and
    outputs name `redacted_path`."""
    opens: str = field(repr=False)
    """What GDAL opens for it: the path, or the text of a VRT over a product's files. Empty if GDAL does not read it."""
    geobox: GeoBox
    """Where its pixels lie."""
    band_names: tuple[str, ...]
    """Sentinel-2 names of the bands, in the model's order."""
    band_indexes: tuple[int, ...]
    """Numbers of these bands in the file, from 1."""
    block_shape: tuple[int, int]
    """Rows and columns that are stored together."""
    dtype: str
    """NumPy name of the data type."""
    nodata: Nodata
    """Which values and masks say that a pixel has no data."""
    warp: Warp | None = field(default=None, kw_only=True)
    """How it is warped to another grid when it is read; None if it is read as it is."""
    corner: tuple[int, int] = field(default=(0, 0), kw_only=True)
    """Row and column of its first pixel in the whole raster, of which it may be a subset."""
    sample_places: tuple[Window, ...] | None = field(default=None, kw_only=True)
    """The only places where it is sampled, if reading more would take long; None: any."""

    @property
    def redacted_path(self) -> str:
        """The path without secrets, as it may be printed and stored."""
        return redacted(self.path)

    @property
    def nodata_rule(self) -> str:
        """The rule by which pixels have no data, as a text."""
        return self.nodata.describe(self.band_names, self.dtype)

    @abstractmethod
    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Values:
        """Read a window, with the values as they are stored.

        A pixel is valid where every band has data, by the rule of `landmap.products.nodata`.

        Args:
            window: A rectangle inside the source.
            shape: Rows and columns of the result, for a result of every n-th pixel; None for all pixels.

        Raises:
            ReadError: The window can't be read.
        """

    def read_many(self, windows: Sequence[Window], fills: Fills) -> tuple[list[Values], Fills]:
        """Read several windows.

        Args:
            windows: Rectangles inside the source.
            fills: Constants counted so far that mean "no data" although nothing declares them.

        Returns:
            What `read` returns for each window, and the constants counted so far and in these windows.

        Raises:
            ReadError: A window can't be read.
        """
        counted, found = deepcopy(fills), [self.read(window) for window in windows]
        for values, valid in found:
            counted.count(np.moveaxis(values, -1, 0), self.nodata, np.ones_like(valid))
        return found, counted

    def read_overview(self, shape: tuple[int, int]) -> Values | None:
        """Read all of it at a coarser resolution that is stored beside the pixels; None if there is none.

        Args:
            shape: Rows and columns of the result.
        """
        return None

    def is_empty(self, window: Window) -> bool:
        """Tell whether a window is known to hold nothing but nodata, so that it need not be read."""
        return False
