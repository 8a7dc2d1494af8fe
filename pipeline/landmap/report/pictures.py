"""Scenes and covers become pictures that are small enough to show, with a scale bar."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling

from landmap.errors import SceneError
from landmap.geo.geobox import ground_pixel_sides, misplaced
from landmap.io.qgis import RAMP
from landmap.io.reading import open_raster
from landmap.maps.cover import read_classes
from landmap.scene.scene import Scene
from landmap.tiling import Window
from landmap_models.arrays import Bools, Bytes
from landmap_models.sentinel2 import TRUE_COLOR

WHITE = 0.275
"""Reflectance that is drawn white in true colour."""
STRIP = 1024
"""Rows of a scene that are read at once."""
CACHE_BYTES = 256 * 2**20
"""Size of GDAL's block cache in bytes; it holds the blocks of a strip of a full scene."""


@dataclass(frozen=True, slots=True)
class Composite:
    """Three bands of a scene as a picture."""

    bands: tuple[str, ...]
    """Names of the bands that are drawn as red, green and blue; one name is drawn as grey."""
    picture: Bytes
    """Red, green, blue and opacity, `(height, width, 4)`; opacity is 0 where the scene has no data."""

    @property
    def name(self) -> str:
        """Name of the composite for people."""
        return "true colour" if self.bands == TRUE_COLOR else ", ".join(self.bands)


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A round length on the ground, to be drawn on a map."""

    metres: float
    """Length in metres: 1, 2 or 5 times a power of ten."""
    pixels: float
    """Length in pixels of the picture."""

    @property
    def label(self) -> str:
        """Text beside the bar, such as "5 km"."""
        return f"{self.metres / 1000:g} km" if self.metres >= 1000 else f"{self.metres:g} m"


def scale_bar(pixel: float, most: float) -> ScaleBar:
    """Return the longest scale bar that fits.

    Args:
        pixel: Width of a pixel of the picture in metres.
        most: Largest length of the bar in pixels.
    """
    power = 10 ** math.floor(math.log10(pixel * most))
    metres = max(factor * power for factor in (1, 2, 5) if factor * power <= pixel * most)
    return ScaleBar(metres, metres / pixel)


def metres_per_pixel(scene: Scene) -> float | None:
    """Return the width of a pixel in the middle of a scene in metres; None where it has no place on the ground."""
    return None if misplaced(scene.geobox) else ground_pixel_sides(scene.geobox)[0]


def composite(scene: Scene, most: int) -> Composite:
    """Draw a scene in true colour, with the range of reflectance that EuroSAT's pictures have.

    If the model does not use all of red, green and blue, its first bands are drawn, each stretched over the middle 96 %
    of its pixels.

    Args:
        scene: The scene that is classified.
        most: Largest number of pixels along the longer side; larger scenes are thinned to the nearest pixels.
    """
    is_true = set(TRUE_COLOR) <= set(scene.source.band_names)
    bands = (
        TRUE_COLOR
        if is_true
        else (scene.source.band_names[:3] if len(scene.source.band_names) > 2 else scene.source.band_names[:1])
    )
    order = [scene.source.band_names.index(name) for name in bands]
    values, valid = _thinned_scene(scene, most)
    reflectance = scene.radiometry.to_model(values)[..., order]
    if is_true or not valid.any():
        low, high = np.float32(0), np.float32(WHITE)
    else:
        low, high = np.percentile(reflectance[valid], (2, 98), axis=0).astype(np.float32)
    rgb = ((reflectance - low) / np.maximum(high - low, np.float32(1e-6))).clip(0, 1) ** np.float32(0.8) * 255
    picture = np.zeros((*valid.shape, 4), np.uint8)
    picture[valid] = 255
    picture[..., :3][valid] = rgb[valid]
    return Composite(bands, picture)


def _thinned_scene(scene: Scene, most: int) -> tuple[npt.NDArray[np.generic], Bools]:
    """Read values and validity of a whole scene, thinned to at most `most` pixels along the longer side.

    It is read strip by strip: values and the mask of each band are read one after the other, and blocks that are not
    in GDAL's cache any more would be decoded each time.
    """
    height, width = thinned(scene.geobox.height, scene.geobox.width, most)
    number = -(-scene.geobox.height // STRIP)
    edges = [round(height * i / number) for i in range(number + 1)]
    parts = []
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        for top, bottom in pairwise(edges):
            first, last = (round(scene.geobox.height * row / height) for row in (top, bottom))
            if top < bottom:
                parts.append(
                    scene.source.read(Window(first, 0, last - first, scene.geobox.width), (bottom - top, width))
                )
    values, valid = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(valid)


def check_cover(scene: Scene, cover: Path) -> None:
    """Refuse a cover that does not lie where the scene does.

    Raises:
        SceneError: The cover can't be read, lies elsewhere, or has another shape.
    """
    with open_raster(cover) as file:
        same = file.shape == scene.geobox.shape and file.transform.almost_equals(scene.geobox.transform)
    if not same:
        raise SceneError(f"{cover}: expected the cover of {scene.source.path}. It lies elsewhere, or has another shape")


def hex_color(rgb: Sequence[int]) -> str:
    """Return a colour as "#rrggbb", given red, green and blue, 0 to 255; an opacity after them is left out."""
    return "#{:02x}{:02x}{:02x}".format(*rgb[:3])


def thinned_classes(path: Path, most: int) -> Bytes:
    """Read class ids of a cover, thinned to the nearest pixels; 255 where it has no data.

    Args:
        path: The raster of class ids.
        most: Largest number of pixels along the longer side.

    Returns:
        Class ids, `(height, width)` of the picture.

    Raises:
        SceneError: The cover can't be read.
    """
    with open_raster(path) as file:
        whole = Window(0, 0, file.height, file.width)
        return read_classes(file, path, whole, thinned(file.height, file.width, most))


def thinned_values(path: Path, most: int) -> Bytes:
    """Read the first band of a raster, thinned to the nearest pixels.

    Args:
        path: The raster that is drawn.
        most: Largest number of pixels along the longer side.

    Returns:
        Values, `(height, width)` of the picture.

    Raises:
        SceneError: The raster can't be read.
    """
    with open_raster(path) as file:
        shape = thinned(file.height, file.width, most)
        return np.asarray(file.read(1, out_shape=shape, resampling=Resampling.nearest), np.uint8)


def thinned(height: int, width: int, most: int) -> tuple[int, int]:
    """Return height and width of a picture of a raster, of which no side is longer than `most` pixels."""
    shrink = max(1.0, max(height, width) / most)
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def photo(picture: Bytes) -> str:
    """Return a picture as an address that contains it as WebP, which has a tenth the size of a PNG.

    Args:
        picture: Red, green, blue and opacity, `(height, width, 4)`.
    """
    from PIL import Image

    return _address(Image.fromarray(picture), "webp", quality=82, method=4)


def palette_image(values: Bytes, colors: Mapping[int, tuple[int, int, int]]) -> str:
    """Return an address that contains values in their exact colours, as PNG.

    Args:
        values: Values `(height, width)`.
        colors: Red, green and blue by value; a value without a colour is transparent.
    """
    from PIL import Image

    image = Image.fromarray(values)
    image.putpalette([part for i in range(256) for part in colors.get(i, (0, 0, 0))])
    return _address(image, "png", transparency=bytes(255 if i in colors else 0 for i in range(256)))


def percent_colors() -> dict[int, tuple[int, int, int]]:
    """Return red, green and blue for each percentage from 0 to 100."""
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in RAMP.values()])
    parts = [np.interp(np.arange(101), list(RAMP), stops[:, i]).round().astype(int).tolist() for i in range(3)]
    return dict(enumerate(zip(*parts, strict=True)))


def _address(image: Any, kind: str, **how: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
