"""From a file's numbers to the reflectance that a model was trained on.

    reflectance = (value + offset) * scale
    at the model's level = gain * reflectance + bias

`landmap.radiometry.resolve` finds the four numbers, `landmap.radiometry.checks` checks them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.sentinel2 import Level

LEAST_PIXELS = 100
"""Least number of pixels of which a percentile (their dark or bright ones) decides or checks anything."""
LEAST_FOR_UNIT = 10
"""Least number of pixels that decide what a unit is, which is a matter of powers of ten."""

DARKEST = -0.01
"""Least reflectance that atmospheric correction leaves in a band. Less means a wrong offset."""

ZERO_BELOW = 0.05
"""If an offset brings 0 this far below reflectance 0, a 0 is no measurement but stands for no data."""

HAZE: Mapping[str, tuple[float, float]] = {
    "B02": (0.84, 0.075),
    "B03": (0.86, 0.045),
    "B04": (0.88, 0.025),
    "B05": (0.885, 0.020),
    "B06": (0.90, 0.015),
    "B07": (0.91, 0.013),
    "B08": (0.90, 0.010),
    "B8A": (0.905, 0.010),
    "B11": (0.94, 0.002),
    "B12": (0.90, 0.001),
}
"""Per band, gain and bias of top-of-atmosphere = gain * bottom-of-atmosphere + bias, for a typical European haze.

Measured on the same pixels before and after atmospheric correction (0.77 to 0.90 in gain, 0.01 to 0.07 in bias; the
relation is linear within a scene, r > 0.99) and rounded towards what gives believable maps of other scenes. A scene's
own haze differs: classes of a converted scene are less certain than those of a scene at the model's own level.

Those of `MEASURED_HAZE` are measured. The others are computed, not measured: from the equations of SMAC (Rahman and
Dedieu 1994, doi 10.1080/01431169408954055) for neighbouring sensors' bands.
"""


MEASURED_HAZE = ("B02", "B03", "B04", "B08")
"""Bands whose haze was measured."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What the metadata of a product state of its files' values, one entry per model band; None if nothing."""

    scales: tuple[float, ...] | None = None
    """Reflectance per unit."""
    offsets: tuple[float, ...] | None = None
    """Added before scaling, in the files' units."""
    disputed: tuple[float, ...] | None = None
    """Other offsets in the same metadata, which contradict `offsets`."""
    level: Level | None = None
    """Product level."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """For "scale", "offset" and "level" a text that says where the value comes from."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file states of its radiometry, and a sample of its values. Tuples have one entry per model band."""

    path: str
    """Name of the file."""
    dtype: str
    """NumPy name of its data type."""
    band_names: tuple[str, ...]
    """Sentinel-2 names."""
    scales: tuple[float, ...]
    """GDAL's band scales; 1 where the file has none."""
    offsets: tuple[float, ...]
    """GDAL's band offsets, after scaling; 0 where the file has none."""
    tags: Mapping[str, str]
    """The file's tags, keys in capitals."""
    band_tags: tuple[Mapping[str, str], ...]
    """Each band's tags, keys in capitals."""
    has_scl: bool
    """Whether another band of the file is a scene classification."""
    sample: Floats
    """Values of valid pixels as they are in the file, `(n, bands)`, none 0 in every band; may be empty."""
    zero_share: float = 0.0
    """Share of the sampled pixels that are 0 in every band although declared valid, 0 to 1."""
    complete: bool = True
    """Whether every pixel was searched for data, so that the scene is empty if the sample is."""
    stated: Stated = field(default_factory=Stated)
    """What the metadata of a product state; nothing for a raster."""
    band_indexes: tuple[int, ...] = ()
    """Numbers of the bands in the file, from 1; empty for a product, whose names say which file is which."""
    band_count: int = 0
    """Number of bands in the file, also those that the model does not use; 0 if not known."""

    def tag_of_each_band(self, key: str) -> str | None:
        """The text of a tag of the file for each band: all of it, or the one entry of a list of equal entries."""
        text = self.tags.get(key)
        entries = re.split(r"[\s,;]+", text.strip()) if text else []
        return entries[0] if len(entries) == self.band_count and len(set(entries)) == 1 else text

    @property
    def is_float(self) -> bool:
        """Whether the values are floats, whose unit only their size tells."""
        return self.dtype.startswith("float")

    @property
    def is_empty(self) -> bool:
        """Whether the scene is known to have no pixel with data."""
        return self.complete and not len(self.sample)

    @property
    def is_enough(self) -> bool:
        """Whether the sample has enough pixels for percentiles (dark or bright pixels) to mean something."""
        return len(self.sample) >= LEAST_PIXELS

    @property
    def tells_unit(self) -> bool:
        """Whether the sample has enough pixels to tell digital numbers from reflectance."""
        return len(self.sample) >= LEAST_FOR_UNIT

    @property
    def too_few(self) -> str:
        """How many pixels were found, as a text, for a sample of too few pixels."""
        if not len(self.sample):
            return "no pixel was looked at"
        return f"only {len(self.sample)} pixels with data were found"

    @property
    def is_reflectance(self) -> bool:
        """Whether the values are floats of the size of reflectance, by the sample.

        Reflectance beyond 2 is rare even on snow; digital numbers start at hundreds.
        """
        return self.is_float and self.tells_unit and float(np.median(self.sample)) <= 2


@dataclass(frozen=True, slots=True)
class Radiometry:
    """How a scene's values become the model's input. One entry per model band."""

    scale: tuple[float, ...]
    """Reflectance per unit."""
    offset: tuple[float, ...]
    """Added before scaling, in the file's units."""
    level: Level
    """Product level of the scene."""
    haze: tuple[tuple[float, float], ...]
    """Gain and bias of each band that bring reflectance to the model's level; (1, 0) if the levels agree."""
    origins: Mapping[str, str]
    """For "scale", "offset", "level" and "haze" a text that says where the value comes from."""
    assumed: tuple[str, ...] = ()
    """Names of the values that neither the user nor the file gave."""
    warnings: tuple[str, ...] = ()
    """What looks wrong about it."""

    @property
    def has_dark_zeros(self) -> bool:
        """Whether 0 may be a dark pixel. It is none if an offset brings it far below any reflectance."""
        return all(offset * scale > -ZERO_BELOW for offset, scale in zip(self.offset, self.scale, strict=True))

    def to_model(self, values: npt.NDArray[np.generic]) -> Floats:
        """Convert values `(..., bands)` as they are in the file to reflectance at the model's level."""
        gain = [haze[0] * scale for scale, haze in zip(self.scale, self.haze, strict=True)]
        bias = [
            haze[0] * scale * offset + haze[1]
            for scale, offset, haze in zip(self.scale, self.offset, self.haze, strict=True)
        ]
        out = values.astype(np.float32)
        out *= np.asarray(gain, np.float32)  # in place: a chunk is hundreds of megabytes
        out += np.asarray(bias, np.float32)
        return out
