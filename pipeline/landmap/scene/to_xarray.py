"""A scene as a lazy xarray object: reflectance that is read window by window when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from landmap.geo.geobox import GeoBox
from landmap.pixels import Pixels
from landmap.tiling import Window
from landmap_models.arrays import Floats

if TYPE_CHECKING:
    from xarray import DataArray


class Readable(Protocol):
    """What is needed of a scene."""

    @property
    def geobox(self) -> GeoBox:
        """Where its pixels lie."""

    def read(self, window: Window) -> Pixels:
        """Read a window."""


def scene_array(scene: Readable, bands: tuple[str, ...], chunks: Any) -> DataArray:
    """A scene's reflectance `(band, y, x)`, float32, NaN where it has no data.

    Args:
        scene: The opened scene, from which windows are read.
        bands: Names of its bands, in the order in which it reads them.
        chunks: As `DataArray.chunk` takes them; None: no Dask.
    """
    import rioxarray  # noqa: F401 # gives xarray's objects `.rio`
    from xarray import DataArray, Variable
    from xarray.backends import BackendArray
    from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

    class Reflectance(BackendArray):
        """Reads what an index asks for."""

        shape = len(bands), *scene.geobox.shape
        dtype = np.dtype(np.float32)

        def __getitem__(self, key: Any) -> Any:
            return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

        def _read(self, key: tuple[Any, ...]) -> Floats:
            places = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
            single = tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
            if not all(map(len, places)):
                return np.zeros([len(place) for place in places], np.float32)[single]
            (row, rows), (col, cols) = ((place.min(), np.ptp(place) + 1) for place in places[1:])
            pixels = scene.read(Window(int(row), int(col), int(rows), int(cols)))
            values = np.where(pixels.mapped[..., None], pixels.values, np.float32(np.nan))
            found = values[np.ix_(places[1] - row, places[2] - col, places[0])]
            return cast(Floats, found.transpose(2, 0, 1)[single])

    box = scene.geobox
    coords = {
        "band": list(bands),
        "y": box.transform.f + box.transform.e * (np.arange(box.height) + 0.5),
        "x": box.transform.c + box.transform.a * (np.arange(box.width) + 0.5),
    }
    values = Variable(("band", "y", "x"), LazilyIndexedArray(Reflectance()))
    found = DataArray(values, coords, name="reflectance")
    if box.transform.b or box.transform.d:  # then no pixel's place is that of its row or column alone
        found = found.drop_vars(["x", "y"]).rio.write_transform(box.transform)
    if box.crs:
        found = found.rio.write_crs(box.crs)
    return found if chunks is None else found.chunk(chunks)
