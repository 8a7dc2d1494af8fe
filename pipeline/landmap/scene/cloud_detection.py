"""Clouds found in the pixels of an L1C scene by the library s2cloudless.

It gets pixels of 60 m, the size that it was trained on, as means of the scene's own. The whole scene is read once,
before the run, and the result is part of the plan as bits: chunks, workers and a resumed run use the same mask.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rasterio

from landmap.errors import BandError, SceneError, SettingsError
from landmap.geo.geobox import ground_pixel_size, misplaced
from landmap.io.reading import cache_bytes, keeping_open
from landmap.left_out import Reasons
from landmap.scene.clouds import Clouds, share_words
from landmap.scene.mask_layers import Thin
from landmap.scene.masks import Mask
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats
from landmap_models.legend import EUROSAT
from landmap_models.model_file.card import BandProfile, ModelCard

if TYPE_CHECKING:
    from s2cloudless import S2PixelCloudDetector

BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The bands that the library needs, in its order."""
METRES = 60
"""Side of a cell on the ground: a pixel of the library."""
THRESHOLD, AVERAGED, WIDENED = 0.4, 4, 2
"""Probability above which a cell is cloud (the library's default), radius in cells of the disk over which probabilities
are averaged before, and by which clouds are widened after (as its documentation advises for 60 m)."""
TOGETHER = 170
"""Rows and columns of cells that are read at once: 1,020 pixels of 10 m."""

BAND_CARD = ModelCard(
    name="s2cloudless",
    version="",
    description="What s2cloudless looks at.",
    bands=tuple(BandProfile(name, 0.0, 0.1, 1.0, 0.1) for name in BANDS),
    chip_size=64,
    resolution=10.0,
    levels=("L1C",),
    reflectance_range=(0.0, 1.0),
    legend=EUROSAT,
    licence="",
)
"""A card with the library's bands, so that a scene can be opened for them."""


@dataclass(frozen=True, slots=True)
class CellMask(Mask):
    """Leaves out square cells of a scene."""

    bits: bytes
    """Cells that are left out, row by row, as packed and compressed bits."""
    shape: tuple[int, int]
    """Rows and columns of cells."""
    side: int
    """Rows and columns of pixels in a cell."""
    digest: str
    """SHA-256 of the bits."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why pixels are left out."""
        return ("cloud",)

    def reason_numbers(self, window: Window) -> Reasons:
        """1 where a pixel lies in one of the cells, else 0, `(height, width)`."""
        rows = (window.row_off + np.arange(window.height)) // self.side
        cols = (window.col_off + np.arange(window.width)) // self.side
        return np.asarray(_cells(self.bits, self.shape)[np.ix_(rows, cols)], np.uint8)

    def reason_numbers_thinned(self, thin: Thin) -> Reasons:
        """The same of every n-th pixel of the whole scene."""
        rows, cols = (np.arange(0, length, thin.step) for length in (thin.window.height, thin.window.width))
        return np.asarray(_cells(self.bits, self.shape)[np.ix_(rows // self.side, cols // self.side)], np.uint8)


@lru_cache(maxsize=4)
def _cells(bits: bytes, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    packed = np.frombuffer(zlib.decompress(bits), np.uint8)
    return np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape)


def cell_mask(cells: Bools, side: int, text: str) -> CellMask:
    """Make the mask that leaves out cells.

    Args:
        cells: True for cells that are left out, `(rows, columns)`.
        side: Rows and columns of pixels in a cell.
        text: What is left out.
    """
    packed = np.packbits(cells).tobytes()
    rows, cols = cells.shape
    return CellMask(zlib.compress(packed, 9), (rows, cols), side, hashlib.sha256(packed).hexdigest(), text=text)


def without_clouds(scene: Scene, settings: Settings) -> Scene:
    """Add a mask of the clouds that s2cloudless finds to a scene. All of its ten bands are read once.

    Args:
        scene: The scene as opened for a model.
        settings: The settings with which it was opened.

    Raises:
        SettingsError: The library is not installed.
        SceneError: The scene is no L1C, lacks bands, or can't be read.
    """
    found = _bands_of(scene, settings)
    metres = ground_pixel_size(scene.geobox) if not misplaced(scene.geobox) else BAND_CARD.resolution
    side = max(1, round(METRES / metres))
    cells, has_data = _detect(found, side)
    share = float(cells[has_data].mean()) if has_data.any() else 0.0
    name = f"s2cloudless {version('s2cloudless')}"
    found_by = f"{name} says {share_words({'cloud': share})} (of cells of {side}x{side} pixels)"
    own = f"; {scene.clouds.source} is there and not used" if scene.clouds.source else ""
    text = f"{found_by}; cloud is left out; shadow and snow are not known to it{own}"
    mask = cell_mask(cells, side, f"cloud by {name} (probability above {THRESHOLD:g})")
    return replace(scene, masks=(*scene.masks, mask), clouds=Clouds(text, name, True, {"cloud": share}))


def _bands_of(scene: Scene, settings: Settings) -> Scene:
    """Open the library's ten bands of a scene on the scene's grid, as top-of-atmosphere reflectance."""
    if find_spec("s2cloudless") is None:
        raise SettingsError(
            "clouds: s2cloudless finds clouds by the library of that name, which is not installed: "
            "pip install 'landmap[s2cloudless]'"
        )
    level, origin = scene.radiometry.level, scene.radiometry.origins["level"]
    if level != "L1C":
        raise SceneError(
            f"{scene.source.redacted_path}: expected an L1C scene for --clouds s2cloudless, which was trained on "
            f"these. Received: {level} ({origin}). L2A brings a classification of its own: --clouds auto"
        )
    names = settings.bands if isinstance(settings.bands, str) and "B10" in settings.bands.upper() else None
    masks: dict[str, Any] = {"scl": None, "mask_classes": None, "mask": None, "mask_values": None, "invert_mask": False}
    area: dict[str, Any] = {"aoi": None, "aoi_layer": None, "use_nir": False, "bands": names, "level": "L1C"}
    try:
        found = open_scene(scene.source.path, replace(settings, clouds="none", **masks, **area), card=BAND_CARD)
    except BandError as error:
        raise BandError(
            f"{error}. --clouds s2cloudless looks at {', '.join(BANDS)}, all of them in one scene; map it without: "
            "--clouds auto"
        ) from error
    if (found.geobox.height, found.geobox.width, found.geobox.transform) != (
        scene.geobox.height,
        scene.geobox.width,
        scene.geobox.transform,
    ):
        raise SceneError(f"{scene.source.redacted_path}: its ten bands for --clouds s2cloudless lie on another grid")
    return found


def _detect(scene: Scene, side: int) -> tuple[Bools, Bools]:
    """Masks of the cells that are cloud, and of those with data, `(rows, columns)`."""
    from s2cloudless import S2PixelCloudDetector

    detector = S2PixelCloudDetector(threshold=THRESHOLD, average_over=AVERAGED, dilation_size=WIDENED)
    shape = -(-scene.geobox.height // side), -(-scene.geobox.width // side)
    probability, has_data = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    with rasterio.Env(GDAL_CACHEMAX=cache_bytes(scene.source.opens)), keeping_open():
        for rows, cols in _rectangles(shape):
            values, there = _cell_means(scene, rows, cols, side)
            found = _probability(detector, values)
            probability[rows, cols], has_data[rows, cols] = np.where(there, found, 0), there
    cloud = detector.get_mask_from_prob(probability[None])[0] > 0
    return np.asarray(cloud & has_data), has_data


def _probability(detector: S2PixelCloudDetector, values: Floats) -> Floats:
    """Cloud probability of each cell, `(rows, columns)`, given its reflectance `(rows, columns, bands)`."""
    return np.asarray(detector.get_cloud_probability_maps(values[None])[0], np.float32)


def _rectangles(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], TOGETHER):
        for col in range(0, shape[1], TOGETHER):
            yield slice(row, min(row + TOGETHER, shape[0])), slice(col, min(col + TOGETHER, shape[1]))


def _cell_means(scene: Scene, rows: slice, cols: slice, side: int) -> tuple[Floats, Bools]:
    """Mean reflectance of the valid pixels of each cell, `(rows, columns, bands)`, and a mask of cells with any."""
    top, left = rows.start * side, cols.start * side
    window = Window(
        top, left, min(rows.stop * side, scene.geobox.height) - top, min(cols.stop * side, scene.geobox.width) - left
    )
    pixels = scene.read(window)
    shape = rows.stop - rows.start, cols.stop - cols.start
    values = np.where(pixels.valid[..., None], pixels.values, 0)
    total = _summed(values, shape, side)
    count = _summed(pixels.valid[..., None].astype(np.float32), shape, side)
    return np.asarray(total / np.maximum(count, 1), np.float32), count[..., 0] > 0


def _summed(values: Floats, shape: tuple[int, int], side: int) -> Floats:
    """Sums of pixels by cell, `(rows, columns, bands)`; the last cells may be incomplete."""
    whole = np.zeros((shape[0] * side, shape[1] * side, values.shape[-1]), np.float32)
    whole[: values.shape[0], : values.shape[1]] = values
    return np.asarray(whole.reshape(shape[0], side, shape[1], side, -1).sum(axis=(1, 3)), np.float32)
