"""A picture of a scene beside its cover."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from landmap.errors import OutputError, SceneError
from landmap.grid import Window
from landmap.mosaic import NODATA
from landmap.raster import open_cover
from landmap.scene import Scene, open_scene
from landmap.settings import Settings

RGB = ("B04", "B03", "B02")
WHITE = 0.275
"""Reflectance that is drawn white."""
MAX_SIDE = 1000
"""Longest side of either half in pixels; larger rasters are thinned out."""


def write_quicklook(
    scene: str | os.PathLike[str],
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Draw a scene in true colour beside its cover with a legend, as PNG.

    Args:
        scene: What was classified.
        cover: What `classify` wrote for it.
        output: The PNG file.
        settings: `bands`, `scale`, `offset` and `level`, if they were given to `classify`.
        overwrite: Replace a file that exists.

    Raises:
        SceneError: One of the rasters can't be read, or they don't belong together.
        OutputError: The picture exists, is no PNG, or matplotlib is not installed.
    """
    output = Path(output)
    if output.suffix.lower() != ".png":
        raise OutputError(f"{output}: expected a file name that ends in .png")
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already. Choose another name or give --overwrite")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("Pictures need matplotlib: pip install 'landmap[plot]'") from error
    opened = open_scene(scene, settings)
    _check_match(opened, Path(cover))
    picture, classes = _true_color(opened), _thinned(cover)
    height, width = classes.shape
    figure = Figure(figsize=(12, 12 * height / width / 2 + 0.9), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    left.imshow(picture, interpolation="none")
    left.set_title(f"{Path(opened.shown_path).name}, true colour", fontsize=10)
    _draw_cover(figure, right, Path(cover), classes)
    for axes in (left, right):
        axes.set_axis_off()
    temporary = output.with_name(f".{output.name}.{os.getpid()}.png")
    try:
        figure.savefig(temporary)
        temporary.replace(output)
    except OSError as error:
        raise OutputError(f"{output}: can't be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _draw_cover(figure: Any, axes: Any, cover: Path, classes: npt.NDArray[np.uint8]) -> None:
    from matplotlib.patches import Patch

    names = open_cover(cover).attrs["class_names"]
    with rasterio.open(cover) as file:
        colors = np.array([file.colormap(1)[i] for i in range(256)], np.uint8)
    counts = np.bincount(classes.ravel(), minlength=256)
    axes.imshow(colors[classes], interpolation="none")
    axes.set_title(f"{cover.name}", fontsize=10)
    present = [i for i in np.argsort(-counts) if i != NODATA and counts[i]]
    valid = max(1, counts[:NODATA].sum())
    labels = [Patch(color=colors[i] / 255, label=f"{names[i]} {100 * counts[i] / valid:.0f} %") for i in present]
    figure.legend(handles=labels, loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _true_color(scene: Scene) -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity, `(height, width, 4)`, stretched over what EuroSAT's pictures show."""
    order = [scene.band_names.index(name) for name in RGB]
    whole = Window(0, 0, scene.height, scene.width)
    values, valid = scene.read_values(whole, _shape(scene.height, scene.width))
    reflectance = np.where(valid[..., None], scene.radiometry.to_model(values), 0)[..., order]
    picture = (reflectance / WHITE).clip(0, 1) ** 0.8 * 255
    return np.dstack([picture, 255 * valid]).astype(np.uint8)


def _check_match(scene: Scene, cover: Path) -> None:
    """Refuse a cover that is not this scene's, and a scene without true colour."""
    missing = [name for name in RGB if name not in scene.band_names]
    if missing:
        raise SceneError(
            f"{scene.shown_path}: a picture needs {', '.join(RGB)}; the model does not use {', '.join(missing)}"
        )
    try:
        with rasterio.open(cover) as file:
            same = file.shape == (scene.height, scene.width) and file.transform.almost_equals(scene.transform)
    except RasterioError as error:
        raise SceneError(f"{cover}: can't be read: {error}") from error
    if not same:
        raise SceneError(f"{cover}: expected the cover of {scene.shown_path}. It lies elsewhere, or has another shape")


def _thinned(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Class ids `(height, width)`, at most `MAX_SIDE` along each side."""
    try:
        with rasterio.open(path) as file:
            shape = _shape(file.height, file.width)
            return np.asarray(file.read(1, out_shape=shape, resampling=Resampling.nearest), np.uint8)
    except RasterioError as error:
        raise SceneError(f"{path}: can't be read: {error}") from error


def _shape(height: int, width: int) -> tuple[int, int]:
    shrink = max(1.0, max(height, width) / MAX_SIDE)
    return max(1, round(height / shrink)), max(1, round(width / shrink))
