"""The settings of a map, in three groups. Each checks its values when it is made."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, TypedDict

from landmap.crosswalk import PRODUCTS
from landmap.errors import SettingsError
from landmap_models.sentinel2 import LEVELS, SCL_CLASSES, Level

DEFAULT_MEMORY = 2_000_000_000
"""Bytes of memory that a run may need by default: as many as a laptop or a worker of a cluster has to spare."""
STRIDES = (64, 32, 16, 8)
"""Strides in pixels from which the plan chooses, coarsest first."""

NEUTRAL_SETTINGS = ("chunk", "memory", "batch_size", "threads")
"""Settings that change no pixel. The tags of an output leave them out, so that its bytes do not depend on them."""

ScaleName = Literal["auto", "dn", "reflectance", "8bit"]
SCALE_NAMES: tuple[ScaleName, ...] = ("auto", "dn", "reflectance", "8bit")

CLOUDS = ("auto", "none", "s2cloudless")
MASKED_CLASSES = ("cloud", "shadow", "snow", "saturated")
"""Classes that are left out by default where a scene classification is used."""
AREA_FILES = ("scl", "mask", "aoi")
"""Names of the settings that hold the path of a file which decides what of a scene is mapped."""
FILE_SETTINGS = ("model", *AREA_FILES)
"""Names of the settings that may hold a path."""

DETAILS = ("auto", "chip", "pixel")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
ENGINES = ("auto", "tensorflow", "openvino")
DEVICE = re.compile(r"auto|cpu|gpu:\d{1,3}")


@dataclass(frozen=True)
class ReadingSettings:
    """How the bands and numbers of a scene are read, and for which model."""

    model: str = "default"
    """Name of a packaged model, or the path of a .keras file."""
    bands: str | Sequence[int] | Mapping[str, int] | None = None
    """Which band of the file is which: numbers from 1 in the model's order, "3,2,1"; pairs, "B04=3,B03=2,B02=1"; or the
    names of the file's bands in their order, "B02,B03,B04,B08". Python may give a sequence of numbers or a mapping.
    None finds them by the names in the file."""
    use_nir: bool = True
    """Whether near infrared (B08) is used where the scene has it and the model has a NIR prior."""
    scale: ScaleName | float = "auto"
    """What one unit of the file's values is: "dn" (1/10000 of a reflectance of 1), "reflectance", "8bit" (255 is the
    upper end of the model's range), or a number, the reflectance per unit. "auto" takes it from the file."""
    offset: Literal["auto"] | float = "auto"
    """Number that is added to the file's values before scaling, in the file's units; -1000 for baseline 04.00 and
    later. "auto" takes it from the file."""
    level: Literal["auto"] | Level = "auto"
    """Product level of the scene. "auto" takes it from the file, its name or its product."""

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
    """How clouds are found. "auto" leaves out cloud, shadow and snow by the product's own classification, if it has
    one; "none" maps them; "s2cloudless" leaves out cloud that the library of that name finds in an L1C scene of all
    bands."""
    scl: str | os.PathLike[str] | None = None
    """Scene classification by which pixels are left out: the path of a raster (SCL, or L1C's MSK_CLASSI), or "auto" for
    that of the product, which must have one. None uses none, except by `clouds` or `mask_classes`."""
    mask_classes: str | Sequence[str] | None = None
    """Names in `SCL_CLASSES` of the classes that are left out, such as "cloud,shadow". If it is given without `scl`,
    that is "auto". None leaves out `MASKED_CLASSES`."""
    mask: str | os.PathLike[str] | None = None
    """Path of a raster on any grid: pixels are left out where it has the values of `mask_values`, or no data."""
    mask_values: str | Sequence[float] | None = None
    """Values of `mask` that are left out, such as "0,3". None leaves out 0, or the flags of an MSK_CLASSI."""
    invert_mask: bool = False
    """Whether all other values of `mask` are left out instead: for masks whose 1 is cloud."""
    aoi: str | os.PathLike[str] | None = None
    """Path of a vector file with polygons: pixels outside of them are left out. None maps all."""
    aoi_layer: str | None = None
    """Name of the layer of `aoi`; None where the file has one layer of polygons."""
    window: Sequence[int] | None = None
    """Column, row, width and height in pixels of the part that is mapped, as a scene of its own. None maps all."""
    bbox: Sequence[float] | None = None
    """West, south, east and north of the part that is mapped, in the scene's CRS after `warp`, widened to whole pixels.

    In degrees west may be more than east: the part then goes over 180°. None maps all.
    """
    bbox_crs: str | None = None
    """CRS of `bbox`, such as "EPSG:4326"; None for the scene's."""
    warp: Literal["auto"] | None = None
    """Whether a scene in degrees or Web Mercator, or with other pixels than the model's, is warped to UTM and the
    model's pixel size ("auto"), or stays on its grid (None)."""

    def __post_init__(self) -> None:
        if self.clouds not in CLOUDS:
            raise SettingsError(f"clouds: expected {', '.join(CLOUDS)}. Received: {self.clouds!r}")
        self._check_files()
        self._check_masks()
        self._check_part()
        if self.warp not in (None, "auto"):
            raise SettingsError(f"warp: expected auto, or nothing. Received: {self.warp!r}")

    def _check_files(self) -> None:
        for name in AREA_FILES:
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
        """Path of the scene classification, or "auto"; None where none is asked for."""
        return os.fspath(self.scl) if self.scl else "auto" if self.mask_classes else None

    @property
    def area_files(self) -> list[str]:
        """Paths of the files besides the scene that decide which of its pixels are mapped."""
        return [path for name in AREA_FILES if (path := getattr(self, name)) and path != "auto"]


@dataclass(frozen=True)
class ComputeSettings:
    """How classes are computed: how densely, in which precision and chunks, and how they are cleaned up."""

    stride: int | None = None
    """Pixels from one window of the model to the next; None lets the plan choose."""
    detail: Literal["auto", "chip", "pixel"] = "auto"
    """pixel gives a class to each pixel, by both networks of a model that has two; chip gives one to each cell of
    `stride` pixels, by its surroundings; auto means pixel where the model can and neither stride nor smooth is set."""
    chunk: int | None = None
    """Height and width of a chunk in pixels; None lets the plan choose. It changes the memory needed, never the map."""
    memory: int = DEFAULT_MEMORY
    """Bytes of memory that the process should need at most, about. They decide the chunks if `chunk` is None, never the
    map."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format in which the model computes. "auto" takes the fastest of the device, if it gives the same classes
    as float32 on 99.9 % of a sample of the scene's windows."""
    device: str = "auto"
    """Device on which the model computes: "cpu", "gpu:N" with N from 0, or "auto" for the first GPU, else the
    processor."""
    engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    """Library that computes the network's answers. "auto" takes OpenVINO, where it is installed and knows the model's
    layers, for scenes of so few windows that the start of TensorFlow would take longer than they do."""
    smooth: bool = False
    """Whether probabilities are interpolated between cells before each pixel gets its class: borders get rounder, not
    finer."""
    unknown_below: int | None = None
    """Percent of confidence below which a pixel becomes "Unknown" (254); None for never."""
    sieve: int | None = None
    """Number of pixels below which a connected region gets the class of its largest neighbour; None keeps all
    regions."""
    legend: Literal["worldcover", "dynamicworld", "corine1"] | None = None
    """Legend of another product to which the map's classes are recoded, with its codes, names and colours: a key of
    `landmap.crosswalk.PRODUCTS`. None keeps the model's classes."""
    batch_size: int = 256
    """Number of chips in a batch, for models that predict chip by chip."""
    threads: int = 2
    """Number of chunks that are processed at the same time: while one is predicted the next is read."""
    force: bool = False
    """Whether to go on without georeference, with another pixel size than the model's, or on workers of other
    versions."""

    def __post_init__(self) -> None:
        if self.detail not in DETAILS:
            raise SettingsError(f"detail: expected {', '.join(DETAILS)}. Received: {self.detail!r}")
        if self.detail == "pixel" and (self.stride is not None or self.smooth):
            told = "stride" if self.stride is not None else "smooth"
            raise SettingsError(f"{told}: expected no {told} with detail pixel, whose classes are of single pixels")
        if self.precision not in PRECISIONS:
            raise SettingsError(f"precision: expected {', '.join(PRECISIONS)}. Received: {self.precision!r}")
        if not (isinstance(self.device, str) and DEVICE.fullmatch(self.device)):
            raise SettingsError(f"device: expected auto, cpu or gpu:N, such as gpu:0. Received: {self.device!r}")
        if self.engine not in ENGINES:
            raise SettingsError(f"engine: expected {', '.join(ENGINES)}. Received: {self.engine!r}")
        if self.engine == "openvino" and not (self.precision in ("auto", "float32") and self.device in ("auto", "cpu")):
            raise SettingsError(
                f"engine: openvino computes in float32 on the processor. Received: {self.precision}, {self.device}"
            )
        if not _is_count(self.memory):
            raise SettingsError(f"memory: expected a positive number of bytes. Received: {self.memory!r}")
        if self.legend is not None and self.legend not in PRODUCTS:
            raise SettingsError(f"legend: expected {', '.join(PRODUCTS)}. Received: {self.legend!r}")
        if self.unknown_below is not None and not (_is_count(self.unknown_below) and self.unknown_below <= 100):
            raise SettingsError(f"unknown_below: expected 1 to 100 percent. Received: {self.unknown_below!r}")
        for name, value in (("stride", self.stride), ("chunk", self.chunk), ("sieve", self.sieve)):
            if value is not None and not _is_count(value):
                raise SettingsError(f"{name}: expected a positive number of pixels. Received: {value!r}")
        if not _is_count(self.batch_size) or not _is_count(self.threads):
            raise SettingsError(f"Expected at least one chip and thread: {self.batch_size!r}, {self.threads!r}")


@dataclass(frozen=True)
class Settings(ComputeSettings, AreaSettings, ReadingSettings):
    """All settings of a map. Functions that need less take one of the three groups."""

    def __post_init__(self) -> None:
        ReadingSettings.__post_init__(self)
        AreaSettings.__post_init__(self)
        ComputeSettings.__post_init__(self)

    @property
    def files(self) -> list[str]:
        """Paths of the files that are read besides the scene: the model (or its packaged name) and the masks."""
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
    detail: Literal["auto", "chip", "pixel"]
    chunk: int | None
    memory: int
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    device: str
    engine: Literal["auto", "tensorflow", "openvino"]
    smooth: bool
    unknown_below: int | None
    sieve: int | None
    legend: Literal["worldcover", "dynamicworld", "corine1"] | None
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
    """Replace some fields of settings, of the defaults if `settings` is None.

    Raises:
        SettingsError: There is no such field, or a value is not allowed.
    """
    known = [f.name for f in dataclasses.fields(Settings)]
    if unknown := set(choices) - set(known):
        raise SettingsError(f"Expected settings out of {', '.join(known)}. Received: {', '.join(sorted(unknown))}")
    return dataclasses.replace(settings or Settings(), **choices)
