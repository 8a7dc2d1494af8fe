"""What leaves pixels of a scene out though it has data there: rasters, and areas of interest.

What is left out is nodata in the map. A raster hides it, too: as with any nodata, windows see the model's mean there,
and what lies beside a cloud may get another class than without the mask. An area hides nothing: inside it all is as
without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from landmap.errors import SceneError
from landmap.geo.geobox import GeoBox, extent, geobox_of
from landmap.geo.longitudes import touch
from landmap.io.reading import read_until_stable
from landmap.io.remote import redacted
from landmap.left_out import Reasons
from landmap.scene.mask_layers import Layer, Thin, are_parallel, read_layers, thinned_layers
from landmap.scene.mask_rules import Rule, apply_rules, reasons_of
from landmap.scene.raster_source import RasterSource, raster_source
from landmap.scene.source import Source
from landmap.scene.subset import warped
from landmap.scene.warp import onto
from landmap.tiling import Window
from landmap_models.arrays import Bools

Asked = Literal["clouds", "scl", "mask", "mask inverted", "mask of flags"]
"""What asked for a mask: `--clouds` or `--scl auto`, `--scl FILE`, `--mask`, that with `--invert-mask`, or that with a
file which looks like MSK_CLASSI."""


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

    @property
    def asked(self) -> str:
        """What asked for it: see `Asked`, or "aoi"."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What pixels that are left out count as."""

    def why(self, window: Window) -> Reasons:
        """For each pixel of a rectangle of the scene, `(height, width)`, the number of its reason, from 1, or 0."""

    def usable(self, window: Window) -> Bools:
        """Which pixels of a rectangle of the scene are left in, `(height, width)`."""

    def why_thinned(self, thin: Thin) -> Reasons:
        """The same of all of the scene, every so many pixels."""

    def misses(self, window: Window) -> bool:
        """Whether all of a rectangle is known to be left out, without reading anything; only of what hides nothing."""


@dataclass(frozen=True, slots=True)
class RasterMask:
    """Leaves out the pixels where rasters have certain values."""

    layers: tuple[Layer, ...]
    """The bands of the mask, each by itself."""
    rules: tuple[Rule, ...]
    """Which values are left out."""
    blank: str
    """What pixels without data in the mask count as; "" leaves them in."""
    says: str
    """What is left out, in words."""
    asked: Asked = "clouds"
    """What asked for it."""
    by_default: bool = False
    """Nobody said which of the raster's values are left out."""

    @property
    def files(self) -> tuple[str, ...]:
        """The rasters."""
        return tuple(dict.fromkeys(layer.source.path for layer in self.layers))

    @property
    def hides(self) -> bool:
        """Clouds and what is unknown are no land."""
        return True

    @property
    def reasons(self) -> tuple[str, ...]:
        """What pixels that are left out count as."""
        return reasons_of(self.rules, self.blank)

    def why(self, window: Window) -> Reasons:
        """See `Mask.why`.

        Raises:
            SceneError: The raster can't be read there.
        """
        return apply_rules(*read_layers(self.layers, window), self.rules, self.blank)

    def usable(self, window: Window) -> Bools:
        """Which pixels of a rectangle of the scene are left in, `(height, width)`."""
        return np.asarray(self.why(window) == 0, np.bool_)

    def why_thinned(self, thin: Thin) -> Reasons:
        """See `Mask.why_thinned`.

        Raises:
            SceneError: The raster can't be read.
        """
        values, valid, _ = thinned_layers(self.layers)
        return apply_rules(values, valid, self.rules, self.blank)

    def misses(self, window: Window) -> bool:
        """Never known without reading."""
        return False


def raster_on(path: str, scene: Source, choose: Callable[[Any], tuple[int, ...]]) -> tuple[Layer, ...]:
    """Bands of a raster on a scene's grid, by the nearest of its pixels; each by itself.

    Args:
        path: File or address of the mask's raster.
        scene: What they are brought to.
        choose: Says, of the open file, which bands, from 1.

    Raises:
        SceneError: It can't be read, has no place, or lies elsewhere.
    """

    def describe(file: Any) -> tuple[GeoBox, tuple[RasterSource, ...]]:
        found = tuple(
            raster_source(file, path, path, (f"mask {index}",), (index,), is_reflectance=False)
            for index in choose(file)
        )
        return geobox_of(file), found

    geobox, sources = read_until_stable(path, describe)
    if geobox != scene.geobox:
        _check_place(geobox, redacted(path), scene)
    return tuple(laid(source, scene) for source in sources)


def laid(source: RasterSource, scene: Source) -> Layer:
    """A band of a mask, on a grid of its own, on that of a scene."""
    here = scene.geobox
    return Layer(source if are_parallel(source.geobox, here) else warped(source, onto(here)), here)


def _check_place(geobox: GeoBox, path: str, scene: Source) -> None:
    """Refuse a raster that lies nowhere, or elsewhere than the scene."""
    if geobox.crs is None or scene.geobox.crs is None:
        raise SceneError(
            f"{path}: expected a mask on the scene's grid, or a CRS in both to bring it there. Received: no CRS in "
            f"{scene.redacted_path if scene.geobox.crs is None else 'the mask'}"
        )
    if not touch(geobox, scene.geobox):
        raise SceneError(
            f"{path}: expected a mask that touches the scene, which {extent(scene.geobox)}. Received: one that "
            f"{extent(geobox)}"
        )
