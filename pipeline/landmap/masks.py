"""Which pixels of a scene are left out though it has data there: by its classification, a raster, or an area.

What is left out is nodata in the map. A raster hides it, too: as with any nodata, windows see the model's mean there,
and what lies beside a cloud may get another class than without the mask. An area hides nothing: inside it all is as
without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from landmap.aoi import read_area
from landmap.attempts import look_surely
from landmap.chips import Bools
from landmap.errors import SceneError
from landmap.grid import Window
from landmap.ground import RasterGrid, extent, raster_grid
from landmap.longitudes import touch
from landmap.product import SCL
from landmap.remote import shown
from landmap.sample import sample
from landmap.settings import MASKED_CLASSES, SCL_CLASSES, Settings
from landmap.source import Source, name_of, source_of
from landmap.view import View
from landmap.warp import onto

HIGHEST_CLASS = max(max(numbers) for numbers in SCL_CLASSES.values())


class Mask(Protocol):
    """What leaves pixels of a scene out. Small and picklable; no pixels, no open file."""

    @property
    def says(self) -> str:
        """What is left out, in words."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files that are opened for each window."""

    @property
    def hides(self) -> bool:
        """Whether windows do not see what is left out."""

    def usable(self, window: Window) -> Bools:
        """Which pixels of a rectangle of the scene are left in, `(height, width)`."""

    def misses(self, window: Window) -> bool:
        """Whether all of a rectangle is known to be left out, without reading anything."""


@dataclass(frozen=True, slots=True)
class RasterMask:
    """Leaves out the pixels where a raster has no data or certain values."""

    source: Source
    """The raster, on the scene's grid."""
    left_out: tuple[int, ...]
    """Values that are left out."""
    says: str
    """What is left out, in words."""

    @property
    def files(self) -> tuple[str, ...]:
        """The raster."""
        return (self.source.path,)

    @property
    def hides(self) -> bool:
        """Clouds and what is unknown are no land."""
        return True

    def usable(self, window: Window) -> Bools:
        """Which pixels are left in, `(height, width)`.

        Raises:
            SceneError: The raster can't be read there.
        """
        values, valid = self.source.read_values(window)
        return valid & ~np.isin(values[..., 0], self.left_out)

    def misses(self, window: Window) -> bool:
        """Never known without reading."""
        return False


def find_masks(scene: Source, own: Callable[[], Source | None], settings: Settings) -> tuple[Mask, ...]:
    """What the settings leave out of a scene.

    Args:
        scene: Which.
        own: Finds the scene's own classification, on its grid.
        settings: `scl`, `mask_classes`, `mask`, `aoi` and `aoi_layer` are used.

    Raises:
        SceneError: A file can't be read, or lies elsewhere; or the scene has no classification of its own.
    """
    found: list[Mask] = []
    if settings.classification is not None:
        found.append(_by_classes(scene, own, settings.classification, settings))
    if settings.mask is not None:
        source = _raster(str(settings.mask), scene, "")
        found.append(RasterMask(source, (0,), f"0 or no data in {name_of(str(settings.mask))}"))
    if settings.aoi is not None:
        found.append(read_area(str(settings.aoi), scene, scene.shown_path, settings.aoi_layer))
    return tuple(found)


def _by_classes(scene: Source, own: Callable[[], Source | None], file: str, settings: Settings) -> RasterMask:
    """By the scene classification. What that does not classify is left out in any case: nothing is known of it."""
    names = settings.mask_classes or MASKED_CLASSES
    source = own() if file == "auto" else _raster(file, scene, SCL)
    if source is None:
        raise SceneError(
            f"{scene.shown_path}: expected a scene classification, as masks by class need one. Received: no product "
            "that has it, and no band called SCL. Say where it is: --scl FILE, or --bands …,SCL=N"
        )
    highest = sample(source).values.max(initial=0)
    if highest > HIGHEST_CLASS:
        raise SceneError(
            f"{source.shown_path}: expected a scene classification, with classes from 0 to {HIGHEST_CLASS}. Received: "
            f"{highest:g} among its values (band {source.band_indexes[0]})"
        )
    numbers = {0} | {number for name in names for number in SCL_CLASSES[name]}
    where = "the scene's own classification" if file == "auto" else name_of(file)
    return RasterMask(source, tuple(sorted(numbers)), f"{', '.join(names)} by {where}, and what it does not classify")


def _raster(path: str, scene: Source, called: str) -> Source:
    """A raster on a scene's grid, by the nearest of its pixels: its band that is called so, or its first one."""
    here = RasterGrid(scene.height, scene.width, scene.transform, scene.crs)

    def describe(file: Any) -> tuple[RasterGrid, Source]:
        index = file.descriptions.index(called) + 1 if called in file.descriptions else 1
        name = file.descriptions[index - 1] or "mask"
        return raster_grid(file), source_of(file, path, path, (name,), (index,), is_reflectance=False)

    grid, source = look_surely(path, describe)
    if grid == here:
        return source
    _check_place(grid, shown(path), scene)
    return View(onto(scene), "", None).of(source)


def _check_place(grid: RasterGrid, path: str, scene: Source) -> None:
    """Refuse a raster that lies nowhere, or elsewhere than the scene."""
    if grid.crs is None or scene.crs is None:
        raise SceneError(
            f"{path}: expected a mask on the scene's grid, or a CRS in both to bring it there. Received: no CRS in "
            f"{scene.shown_path if scene.crs is None else 'the mask'}"
        )
    if not touch(grid, scene):
        raise SceneError(
            f"{path}: expected a mask that touches the scene, which {extent(scene)}. Received: one that {extent(grid)}"
        )
