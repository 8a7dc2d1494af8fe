"""What the user can choose, checked where it is set."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, TypedDict

from landmap.errors import SettingsError
from landmap_models.sentinel2 import LEVELS, SCL_CLASSES, Level

DEFAULT_MEMORY = 2_000_000_000
"""Bytes that a run may need unless told otherwise: a laptop has them, and a worker of a cluster, too."""
STRIDES = (64, 32, 16, 8)
"""Strides that `auto` chooses from, in pixels, coarsest first."""

NEUTRAL_SETTINGS = ("chunk", "memory", "batch_size", "threads")
"""Settings that change no pixel; the output does not name them, so that it is the same byte for byte."""

ScaleName = Literal["auto", "dn", "reflectance", "8bit"]
SCALE_NAMES: tuple[ScaleName, ...] = ("auto", "dn", "reflectance", "8bit")

CLOUDS = ("auto", "none", "s2cloudless")
MASKED_CLASSES = ("cloud", "shadow", "snow", "saturated")
"""Left out where a scene classification is used and nothing else is said."""
FILE_SETTINGS = ("model", "scl", "mask", "aoi")
"""Settings that may name files."""

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DEVICE = re.compile(r"auto|cpu|gpu:\d{1,3}")


@dataclass(frozen=True)
class ReadingSettings:
    """How a scene's bands and numbers are understood, and for which model."""

    model: str = "default"
    """Name of a packaged model, or the path of a .keras file."""
    bands: str | Sequence[int] | Mapping[str, int] | None = None
    """Band numbers, "3,2,1" in the model's order, "B04=3,B03=2,B02=1", or the names of the file's bands in its order,
    "B02,B03,B04,B08" (or the like in Python); None: by name."""
    use_nir: bool = True
    """Use near infrared (B08) where the scene has it and the model knows what to do with it."""
    scale: ScaleName | float = "auto"
    """What a unit of the file means: DN/10000, reflectance, 8 bits over the model's range, or reflectance per unit."""
    offset: Literal["auto"] | float = "auto"
    """Added to the file's values before scaling, in the file's own units (-1000 for baseline 04.00 and later)."""
    level: Literal["auto"] | Level = "auto"
    """Product level of the scene."""

    def __post_init__(self) -> None:
        if isinstance(self.scale, str) and self.scale not in SCALE_NAMES:
            raise SettingsError(f"scale: expected {', '.join(SCALE_NAMES)} or a number. Received: {self.scale!r}")
        if not isinstance(self.scale, str) and not (_is_number(self.scale) and self.scale > 0):
            raise SettingsError(f"scale: expected a positive number. Received: {self.scale!r}")
        if not isinstance(self.offset, str) and not _is_number(self.offset):
            raise SettingsError(f"offset: expected a number. Received: {self.offset!r}")
        if isinstance(self.offset, str) and self.offset != "auto":
            raise SettingsError(f"offset: expected auto or a number. Received: {self.offset!r}")
        if self.level not in ("auto", *LEVELS):
            raise SettingsError(f"level: expected auto, L1C or L2A. Received: {self.level!r}")


@dataclass(frozen=True)
class AreaSettings:
    """Which part of a scene is mapped, on which grid, and what is left out of it.

    Values are kept in one form, however they were given.
    """

    clouds: Literal["auto", "none", "s2cloudless"] = "auto"
    """auto: leave out what the product's own classification calls cloud, shadow or snow, if it has one; none: map that,
    too; s2cloudless: leave out what the library of that name takes for cloud in an L1C scene with the bands for it."""
    scl: str | os.PathLike[str] | None = None
    """Scene classification by which pixels are left out: a raster (SCL, or L1C's MSK_CLASSI), or auto for the scene's
    own, which then must have one."""
    mask_classes: str | Sequence[str] | None = None
    """Names in `SCL_CLASSES` of what is left out, such as "cloud,shadow"; given alone, `scl` is auto. None:
    `MASKED_CLASSES`."""
    mask: str | os.PathLike[str] | None = None
    """Raster by which pixels are left out: where it has certain values or no data; of any grid."""
    mask_values: str | Sequence[float] | None = None
    """Values of `mask` that are left out, such as "0,3"; None: 0, or what MSK_CLASSI marks, if it is one."""
    invert_mask: bool = False
    """Leave out what `mask` would leave in, and the other way round: for masks whose 1 is cloud."""
    aoi: str | os.PathLike[str] | None = None
    """Vector file with polygons, outside of which all is left out."""
    aoi_layer: str | None = None
    """Name of its layer, where it has several of polygons."""
    window: Sequence[int] | None = None
    """Column, row, width and height of the part that is mapped, as if the scene had been cut out."""
    bbox: Sequence[float] | None = None
    """West, south, east and north of that part, in the scene's CRS (after `warp`), widened to whole pixels.

    In degrees west may be more than east: over 180°.
    """
    bbox_crs: str | None = None
    """Another CRS that `bbox` is in, such as EPSG:4326."""
    warp: Literal["auto"] | None = None
    """auto: bring a scene that lies in degrees or Web Mercator, or has other pixels, to UTM and the model's pixels."""

    def __post_init__(self) -> None:
        if self.clouds not in CLOUDS:
            raise SettingsError(f"clouds: expected {', '.join(CLOUDS)}. Received: {self.clouds!r}")
        self._check_files()
        self._check_masks()
        self._check_part()
        if self.warp not in (None, "auto"):
            raise SettingsError(f"warp: expected auto, or nothing. Received: {self.warp!r}")

    def _check_files(self) -> None:
        for name in ("scl", "mask", "aoi"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, _path(name, path))
        if self.aoi_layer is not None and (self.aoi is None or not isinstance(self.aoi_layer, str)):
            raise SettingsError(f"aoi_layer: expected the name of a layer of aoi, a file. Received: {self.aoi_layer!r}")
        if self.mask_classes is not None:
            object.__setattr__(self, "mask_classes", _class_names(self.mask_classes))

    def _check_masks(self) -> None:
        if self.clouds == "none" and (self.scl is not None or self.mask_classes is not None):
            option = "scl" if self.scl is not None else "mask_classes"
            raise SettingsError(f"clouds: none maps clouds, and {option} leaves them out: expected one of the two")
        if self.mask_values is not None:
            object.__setattr__(self, "mask_values", _mask_values(self.mask_values))
        if not isinstance(self.invert_mask, bool):
            raise SettingsError(f"invert_mask: expected true or false. Received: {self.invert_mask!r}")
        if self.mask is None and (self.mask_values is not None or self.invert_mask):
            option = "mask_values" if self.mask_values is not None else "invert_mask"
            raise SettingsError(f"{option}: expected a mask that it speaks of, too: --mask FILE")

    def _check_part(self) -> None:
        for name, is_kind, kind in (("window", _is_integer, "whole numbers"), ("bbox", _is_number, "numbers")):
            if (numbers := getattr(self, name)) is not None:
                if not isinstance(numbers, list | tuple) or len(numbers) != 4 or not all(map(is_kind, numbers)):
                    raise SettingsError(f"{name}: expected four {kind}. Received: {numbers!r}")
                object.__setattr__(self, name, tuple(int(n) if name == "window" else float(n) for n in numbers))
        if self.window is not None and not (min(self.window[:2]) >= 0 and min(self.window[2:]) > 0):
            raise SettingsError(f"window: expected column, row, width and height. Received: {self.window!r}")
        if self.bbox is not None and not (self.bbox[0] != self.bbox[2] and self.bbox[1] < self.bbox[3]):
            raise SettingsError(f"bbox: expected west, south, east and north. Received: {self.bbox!r}")
        if self.window is not None and self.bbox is not None:
            raise SettingsError("Expected a window or a bbox. Received: both")
        if self.bbox_crs is not None and self.bbox is None:
            raise SettingsError(f"bbox_crs: expected a bbox, too. Received: {self.bbox_crs!r} alone")

    @property
    def classification(self) -> str | None:
        """Where the scene classification lies, or auto; None where none is asked for."""
        return os.fspath(self.scl) if self.scl else "auto" if self.mask_classes else None

    @property
    def area_files(self) -> list[str]:
        """Files besides the scene that say which of its pixels are mapped."""
        return [os.fspath(name) for name in (self.scl, self.mask, self.aoi) if name and name != "auto"]


@dataclass(frozen=True)
class ComputeSettings:
    """How densely, in what and in which pieces classes are computed, and what is done to them afterwards."""

    stride: int | None = None
    """Pixels between windows; None lets the plan choose."""
    chunk: int | None = None
    """Height and width of a chunk in pixels; None lets the plan choose. Changes memory, never the result."""
    memory: int = DEFAULT_MEMORY
    """Bytes that the whole process may need, about; decides the chunks where `chunk` does not. Never the result."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """In which the model computes. auto: the fastest that the device has, if it gives the same classes as float32 on
    99.9 % of a sample of the scene's windows."""
    device: str = "auto"
    """auto (the first GPU, else the processor), cpu, or gpu:N, counted from 0."""
    smooth: bool = False
    """Take the class of each pixel from probabilities interpolated between cells: rounder borders, no finer ones."""
    unknown_below: int | None = None
    """Pixels whose confidence is below so many percent become "Unknown" (254); None: none does."""
    sieve: int | None = None
    """Connected regions of fewer pixels get the class of their largest neighbour; None: all are kept."""
    batch_size: int = 256
    """Chips predicted at once, where they are predicted one by one."""
    threads: int = 2
    """Chunks in work at the same time: while one is predicted the next is read."""
    force: bool = False
    """Go on without georeference, with a pixel size that is not the model's, or on workers with other versions."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise SettingsError(f"precision: expected {', '.join(PRECISIONS)}. Received: {self.precision!r}")
        if not (isinstance(self.device, str) and DEVICE.fullmatch(self.device)):
            raise SettingsError(f"device: expected auto, cpu or gpu:N, such as gpu:0. Received: {self.device!r}")
        if not _is_count(self.memory):
            raise SettingsError(f"memory: expected a positive number of bytes. Received: {self.memory!r}")
        if self.unknown_below is not None and not (_is_count(self.unknown_below) and self.unknown_below <= 100):
            raise SettingsError(f"unknown_below: expected 1 to 100 percent. Received: {self.unknown_below!r}")
        for name, value in (("stride", self.stride), ("chunk", self.chunk), ("sieve", self.sieve)):
            if value is not None and not _is_count(value):
                raise SettingsError(f"{name}: expected a positive number of pixels. Received: {value!r}")
        if not _is_count(self.batch_size) or not _is_count(self.threads):
            raise SettingsError(f"Expected at least one chip and thread: {self.batch_size!r}, {self.threads!r}")


@dataclass(frozen=True)
class Settings(ComputeSettings, AreaSettings, ReadingSettings):
    """All that can be chosen about a map. Functions that need less take one of its groups."""

    def __post_init__(self) -> None:
        ReadingSettings.__post_init__(self)
        AreaSettings.__post_init__(self)
        ComputeSettings.__post_init__(self)

    @property
    def files(self) -> list[str]:
        """Files that are read besides the scene: the model, unless it is a packaged one, and what masks it."""
        return [os.fspath(self.model), *self.area_files]


class Choices(TypedDict, total=False):
    """The fields of `Settings` as keyword arguments, such as `stride=16`: editors and mypy know them."""

    model: str
    bands: str | Sequence[int] | Mapping[str, int] | None
    use_nir: bool
    scale: ScaleName | float
    offset: Literal["auto"] | float
    level: Literal["auto"] | Level
    clouds: Literal["auto", "none", "s2cloudless"]
    scl: str | os.PathLike[str] | None
    mask_classes: str | Sequence[str] | None
    mask: str | os.PathLike[str] | None
    mask_values: str | Sequence[float] | None
    invert_mask: bool
    aoi: str | os.PathLike[str] | None
    aoi_layer: str | None
    window: Sequence[int] | None
    bbox: Sequence[float] | None
    bbox_crs: str | None
    warp: Literal["auto"] | None
    stride: int | None
    chunk: int | None
    memory: int
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    device: str
    smooth: bool
    unknown_below: int | None
    sieve: int | None
    batch_size: int
    threads: int
    force: bool


def _path(name: str, path: object) -> str:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise SettingsError(f"{name}: expected a file. Received: {path!r}")
    return str(os.fspath(path))


def _class_names(given: str | Sequence[str]) -> tuple[str, ...]:
    listed = given.split(",") if isinstance(given, str) else given
    names = tuple(str(name).strip() for name in listed) if isinstance(listed, Sequence) else ()
    if not names or set(names) - set(SCL_CLASSES):
        raise SettingsError(f"mask_classes: expected names out of {', '.join(SCL_CLASSES)}. Received: {given!r}")
    return names


def _mask_values(given: object) -> tuple[float, ...]:
    try:
        listed = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
        values = tuple(float(value) for value in listed)
    except (TypeError, ValueError):
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise SettingsError(f"mask_values: expected numbers, such as 0 or 1,3. Received: {given!r}")
    return values


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return _is_integer(value) and value > 0  # type: ignore[operator]


def with_choices(settings: Settings | None, choices: Choices) -> Settings:
    """Settings with some fields replaced.

    Raises:
        SettingsError: A field that settings do not have, or a value that can't be meant.
    """
    known = [f.name for f in dataclasses.fields(Settings)]
    if unknown := set(choices) - set(known):
        raise SettingsError(f"Expected settings out of {', '.join(known)}. Received: {', '.join(sorted(unknown))}")
    return dataclasses.replace(settings or Settings(), **choices)
