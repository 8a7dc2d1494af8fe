"""Masks: what leaves pixels of a scene out of the map though the scene has data there.

What is left out is nodata in the map. A mask of clouds also masks the input: as with any nodata, the windows of a model
get the model's mean there, and what lies beside a cloud may get another class than without the mask. An area of
interest does not: inside it the map is as it would be without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import SceneError
from landmap.geo.geobox import GeoBox, geobox_of, place_text
from landmap.geo.longitudes import touch
from landmap.io.reading import read_until_stable
from landmap.io.remote import redacted
from landmap.left_out import Reasons
from landmap.scene.mask_layers import Layer, Thin, are_parallel, read_layers, thinned_layers
from landmap.scene.raster_source import RasterSource, raster_source
from landmap.scene.source import Source
from landmap.scene.subset import warped
from landmap.scene.warp import onto
from landmap.tiling import Window
from landmap_models.arrays import Bools


@dataclass(frozen=True, slots=True)
class Rule:
    """Leaves out the pixels where one band of a mask has certain values."""

    band: int
    """Index of the band in the mask, from 0."""
    values: tuple[float, ...]
    """The values."""
    reason: str
    """Why these pixels are left out."""
    others: bool = False
    """Whether all values but these are left out instead."""

    def meets(self, values: npt.NDArray[Any]) -> Bools:
        """Mask of the pixels that are left out, `(height, width)`, given the values `(height, width, bands)`."""
        return np.asarray(np.isin(values[..., self.band], self.values, invert=self.others), np.bool_)


def reasons_of(rules: Sequence[Rule], nodata_reason: str) -> tuple[str, ...]:
    """The reasons of rules, each once, and last the reason of pixels without data, if that is not empty."""
    return tuple(dict.fromkeys([*(rule.reason for rule in rules), *([nodata_reason] if nodata_reason else [])]))


def apply_rules(values: npt.NDArray[Any], valid: Bools, rules: Sequence[Rule], nodata_reason: str) -> Reasons:
    """Number of the reason in `reasons_of` why a pixel is left out, `(height, width)`, by the first rule that meets it.

    Args:
        values: Values of the mask, `(height, width, bands)`.
        valid: True where the mask has data, `(height, width)`.
        rules: Rules of the mask.
        nodata_reason: Reason of pixels without data that no rule meets; empty if they are left in.
    """
    numbers = {reason: i for i, reason in enumerate(reasons_of(rules, nodata_reason), 1)}
    found = np.zeros(valid.shape, np.uint8)
    for rule in rules:
        found[(found == 0) & rule.meets(values)] = numbers[rule.reason]
    if nodata_reason:
        found[(found == 0) & ~valid] = numbers[nodata_reason]
    return found


@dataclass(frozen=True, slots=True)
class Mask(ABC):
    """What leaves pixels of a scene out. A small picklable value without pixels and without open files.

    A new kind of mask is a subclass with the reasons of its pixels, and a line in `landmap.scene.scene_masks`.
    """

    text: str = field(kw_only=True)
    """What is left out, for the plan."""
    warnings: tuple[str, ...] = field(default=(), kw_only=True)
    """How its file was read, where that was not certain."""
    option: str = field(default="clouds", kw_only=True)
    """Which option asked for it: "clouds" (`--clouds`, `--scl auto`), "scl" (`--scl FILE`), "aoi" or "mask"; "mask
    inverted" is `--mask` with `--invert-mask`, "mask of flags" is `--mask` with a file that looks like MSK_CLASSI."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files that are opened for each window."""
        return ()

    @property
    def masks_input(self) -> bool:
        """Whether the windows of a model get its mean in place of pixels that are left out; else they see the scene."""
        return True

    @property
    @abstractmethod
    def reasons(self) -> tuple[str, ...]:
        """Why pixels are left out: the texts for the numbers from 1 on."""

    @abstractmethod
    def reason_numbers(self, window: Window) -> Reasons:
        """For each pixel of a window of the scene, `(height, width)`, the number of its reason, or 0 if it is left in.

        Raises:
            SceneError: The mask can't be read there.
        """

    @abstractmethod
    def reason_numbers_thinned(self, thin: Thin) -> Reasons:
        """The same of every n-th pixel of the whole scene.

        Raises:
            SceneError: The mask can't be read.
        """

    def usable(self, window: Window) -> Bools:
        """Pixels of a window of the scene that are left in, `(height, width)`."""
        return np.asarray(self.reason_numbers(window) == 0, np.bool_)

    def excludes(self, window: Window) -> bool:
        """Whether all of a window is known to be left out without reading; never where the mask masks the input."""
        return False


@dataclass(frozen=True, slots=True)
class RasterMask(Mask):
    """Leaves out the pixels where rasters have certain values."""

    layers: tuple[Layer, ...]
    """The bands of the mask, each by itself."""
    rules: tuple[Rule, ...]
    """Which values are left out."""
    nodata_reason: str
    """The reason for which pixels without data in the mask are left out; empty if they are left in."""
    by_default: bool = False
    """Whether the values that are left out are a default, as neither the user nor the file named any."""

    @property
    def files(self) -> tuple[str, ...]:
        """The rasters."""
        return tuple(dict.fromkeys(layer.source.path for layer in self.layers))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the rules, each once, and last that of pixels without data."""
        return reasons_of(self.rules, self.nodata_reason)

    def reason_numbers(self, window: Window) -> Reasons:
        """See `Mask.reason_numbers`."""
        return apply_rules(*read_layers(self.layers, window), self.rules, self.nodata_reason)

    def reason_numbers_thinned(self, thin: Thin) -> Reasons:
        """See `Mask.reason_numbers_thinned`."""
        values, valid, _ = thinned_layers(self.layers)
        return apply_rules(values, valid, self.rules, self.nodata_reason)


@dataclass(frozen=True, slots=True)
class MaskHeader:
    """The header of the raster of a mask."""

    count: int
    """Number of bands."""
    names: tuple[str, ...]
    """Descriptions of the bands; empty where there is none."""
    nodata: float | None
    """Its nodata value, if it declares one."""


def read_mask_header(path: str) -> MaskHeader:
    """Read the header of the raster of a mask.

    Raises:
        SceneError: The file can't be read.
    """

    def describe(file: Any) -> MaskHeader:
        return MaskHeader(file.count, tuple(name or "" for name in file.descriptions), file.nodata)

    return read_until_stable(path, describe)


def raster_on(path: str, scene: Source, choose: Callable[[Any], tuple[int, ...]]) -> tuple[Layer, ...]:
    """Layers of some bands of a raster on a scene's grid, by the nearest of its pixels.

    Args:
        path: Path or URL of the raster.
        scene: The scene that is classified.
        choose: Returns the numbers of the bands, from 1, given the open file.

    Raises:
        SceneError: The raster can't be read, has no place, or lies elsewhere.
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
    return tuple(layer_on(source, scene) for source in sources)


def layer_on(source: RasterSource, scene: Source) -> Layer:
    """The layer of a band of a mask, on any grid, for a scene."""
    here = scene.geobox
    return Layer(source if are_parallel(source.geobox, here) else warped(source, onto(here)), here)


def _check_place(geobox: GeoBox, path: str, scene: Source) -> None:
    """Refuse a raster without a place, or one that does not touch the scene."""
    if geobox.crs is None or scene.geobox.crs is None:
        raise SceneError(
            f"{path}: expected a mask on the scene's grid, or a CRS in both to bring it there. Received: no CRS in "
            f"{scene.redacted_path if scene.geobox.crs is None else 'the mask'}"
        )
    if not touch(geobox, scene.geobox):
        raise SceneError(
            f"{path}: expected a mask that touches the scene, which {place_text(scene.geobox)}. Received: one that "
            f"{place_text(geobox)}"
        )
