"""Which pixels of some bands have data: what the file says of that, and what no reflectance can be.

The rule is one for each pixel by itself, so it does not depend on how a scene is cut. A pixel has no data where

- a band holds no number, or one that is infinite or as far from any reflectance as a netCDF file's fill value;
- a band holds its own nodata value, if that is not 0;
- a mask or an alpha band of the file says so;
- every band holds 0, where 0 is the nodata value of one of them, or where nothing is said of nodata at all. 0 in one
  band alone is dark; but where 0 is declared, 0 beside next to nothing is the edge of what was not seen, resampled or
  compressed;
- a band of reflectance holds a negative number that none can have (-9999), or every band the same one out of those that
  are written for "no data" (65535) or come of it (-1000, where an offset was taken off 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags

from landmap.products.bands import file_bands
from landmap_models.arrays import Bools

FARTHEST = 1e10
"""Floats at least as far from 0 are fill: 1e20, netCDF's 9.97e36, the largest and least of float32."""
LEAST = -2000
"""In DN; no band of reflectance has less. An offset of 1000 that is taken off twice leaves -2000."""
LEAST_OF_ALL = {"i": -900, "f": -0.09}
"""Whole numbers (DN) or floats (DN or reflectance): the same value, not above this, in every band is fill."""
WRITTEN = (32767, 32768, 55536, 55537, 64536, 65535, 2**31 - 1, 2**32 - 1)
"""In every band they are fill: the largest numbers of their types, and -32768, -10000, -9999 and -1000 as 16 bits
without a sign hold them."""
WRITTEN_AS_FLOATS = (3.2767, 6.5535, 32767.0, 65535.0)
FAINT = {"i": 5, "u": 5, "f": 5.0001e-4}
"""DN or, in floats, reflectance: a pixel of 0 and nothing more is the edge of an area of zeros, where 0 is declared.

Of 256 such pixels at the edge of a public L2A scene most held 0 and 1, some up to 5; no water is as dark in all bands.
"""
FAINT_PICTURE = 1
"""The same in 8 bits."""
SUSPECT = 0.05
"""Share of a sample that has one value in every band, from which on it may be fill,"""
RARE = 5
"""if any other colour is so many times as rare."""
LEAST_SAMPLE = 1000
"""A sample of fewer pixels shows no such thing."""

OPAQUE = 0.5
"""Share of what an alpha band shows that is wholly opaque, at least: all but soft edges."""
STRIP = 2**17
"""Pixels that are looked at together: so many stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Nodata:
    """What says that pixels of some bands have no data."""

    values: tuple[float | None, ...]
    """The nodata value of each band; None where it declares none that its data type can hold."""
    masks: tuple[int, ...] = ()
    """Numbers, from 1, of bands with a mask beside their values; one of those that share theirs."""
    alphas: tuple[int, ...] = ()
    """Numbers, from 1, of the file's alpha bands."""
    is_reflectance: bool = True
    """The bands hold reflectance in some unit; False: numbers of classes, or yes and no."""
    has_zeros: bool = False
    """0 in every band is no data."""
    has_dark_zeros: bool = True
    """0 in one band alone is dark; False: it is no data, as with the file's offset it would be far below 0."""

    @property
    def is_declared(self) -> bool:
        """Whether the file says anything of nodata for these bands."""
        return bool(self.masks or self.alphas) or any(value is not None for value in self.values)

    def describe(self, names: Sequence[str], dtype: str) -> str:
        """The rule in words.

        Args:
            names: Of the bands.
            dtype: NumPy name of their data type.
        """
        rules = [f"the file's {' and '.join(self._declared(names))}"] if self.is_declared else []
        if self.has_zeros:
            alone = "0 in one band alone is dark" if self.has_dark_zeros else "0 in one band alone, too, by the offset"
            more = ", or 0 beside next to nothing as at an edge" if self.is_declared else " (the file declares none)"
            rules.append(f"0 in every band{more}; {alone}")
        if dtype.startswith("float"):
            rules.append("NaN")
        if self.is_reflectance and dtype != "uint8":
            rules.append("constants that no reflectance can be (-9999, 65535 in every band)")
        return "; ".join(rules) or "none"

    def _declared(self, names: Sequence[str]) -> list[str]:
        listed = set(self.values) - {None}
        if len(listed) == 1 and None not in self.values:
            found = [f"nodata value {listed.pop():g}"]
        else:
            each = [f"{name} {value:g}" for name, value in zip(names, self.values, strict=True) if value is not None]
            found = [f"nodata values ({', '.join(each)})"] if each else []
        found += ["mask"] if self.masks else []
        return found + [f"alpha (band {', '.join(map(str, self.alphas))})"] * bool(self.alphas)


def nodata_of(file: Any, indexes: Sequence[int], named: Collection[int] = (), *, is_reflectance: bool = True) -> Nodata:
    """What an open file says of pixels without data in some of its bands.

    Args:
        file: The open file.
        indexes: Numbers of the bands, from 1.
        named: Numbers of all bands that are known by a name, and so are no alpha whatever their colour.
        is_reflectance: As in `Nodata`.
    """
    found = Nodata(
        values=_values(file, indexes),
        masks=_masks(file, indexes),
        alphas=tuple(i for i in _alphas(file) if i not in {*indexes, *named}),
        is_reflectance=is_reflectance,
    )
    unsaid = not found.is_declared and len(indexes) > 1  # a single band must declare it
    return replace(found, has_zeros=unsaid or 0 in found.values)


def says_so(file: Any, indexes: Sequence[int], nodata: Nodata) -> bool:
    """Whether a file still says of its bands what it said before."""
    # As words, in which NaN is like NaN. Colours are asked for only where they count: of a header that was cut short,
    # rasterio raises GDAL's own error at them.
    same = repr(_values(file, indexes)) == repr(nodata.values) and _masks(file, indexes) == nodata.masks
    return same and (not nodata.alphas or set(nodata.alphas) <= set(_alphas(file)))


def _masks(file: Any, indexes: Sequence[int]) -> tuple[int, ...]:
    """Bands with a mask beside their values; one of those that share theirs."""
    flags = file.mask_flag_enums
    masked = [i for i in indexes if not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[i - 1])]
    masks = [i for i in masked if flags[i - 1] != [MaskFlags.nodata]]
    shared = [i for i in masks if MaskFlags.per_dataset in flags[i - 1]]
    return tuple(i for i in masks if i not in shared[1:])


def _alphas(file: Any) -> tuple[int, ...]:
    return tuple(band.index for band in file_bands(file) if band.is_alpha)


def _values(file: Any, indexes: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(_held(file.nodatavals[i - 1], file.dtypes[i - 1]) for i in indexes)


def _held(value: float | None, dtype: str) -> float | None:
    """A nodata value where the data type can hold it; rasterio has seen to those that are too large."""
    whole = value is None or np.dtype(dtype).kind == "f" or float(value).is_integer()
    return value if whole else None


def has_data(values: npt.NDArray[Any], nodata: Nodata) -> Bools:
    """Where pixels have data by their values alone, `(height, width)`.

    Args:
        values: As they are in the file, `(bands, height, width)`.
        nodata: Of these bands.
    """
    _, height, width = values.shape
    valid = np.empty((height, width), np.bool_)
    rows = max(1, STRIP // width)
    for row in range(0, height, rows):
        part = slice(row, row + rows)
        valid[part] = _has_data(values[:, part], nodata)
    return valid


def _has_data(values: npt.NDArray[Any], nodata: Nodata) -> Bools:
    low, high = values.min(axis=0), values.max(axis=0)
    valid = _numbers(low, high)
    for band, value in zip(values, nodata.values, strict=True):
        if value:  # zeros are looked at together
            valid &= band != values.dtype.type(value)
    if nodata.has_zeros:
        valid &= ~_blank(low, high, nodata)
        if not nodata.has_dark_zeros:
            valid &= (values != 0).all(axis=0)
    if nodata.is_reflectance:
        valid &= ~_fill(low, high)
    return valid


class Fills:
    """Counts the pixels that are without data by a constant which the file does not declare."""

    def __init__(self) -> None:
        self.pixels = 0
        self.constants: Counter[float] = Counter()

    def count(self, values: npt.NDArray[Any], nodata: Nodata, unmasked: Bools) -> None:
        """Count in a rectangle.

        Args:
            values: As they are in the file, `(bands, height, width)`.
            nodata: Of these bands.
            unmasked: Which pixels no mask and no alpha band hides, `(height, width)`.
        """
        low, high = values.min(axis=0), values.max(axis=0)
        found = ~_numbers(low, high) & ~np.isnan(low)
        if nodata.is_reflectance:
            found |= _fill(low, high)
        found &= unmasked
        for band, value in zip(values, nodata.values, strict=True):
            if value is not None:
                found &= band != values.dtype.type(value)
        self.pixels += found.size
        self.constants.update(np.where(low < 0, low, high)[found].tolist())

    def warnings(self) -> list[str]:
        """What was found, in words; nothing where nothing was."""
        if not self.constants:
            return []
        listed = sorted(f"{value:.7g} ({share_text(n / self.pixels)})" for value, n in self.constants.most_common(3))
        more = f" and {len(self.constants) - 3} more" if len(self.constants) > 3 else ""
        return [
            "what no reflectance can be is left out as nodata, though the file does not declare it: "
            f"{', '.join(listed)}{more}, of the pixels that were looked at"
        ]


def constant_warnings(values: npt.NDArray[np.float32], nodata: Nodata) -> list[str]:
    """Constants that may be fill though reflectance can be so, in words; they are mapped like any value.

    Where a file holds few different numbers, as one of percent, grey pixels are no fill: others are as frequent.

    Args:
        values: A sample of pixels with data, as they are in the file, `(n, bands)`.
        nodata: Of these bands.
    """
    if values.shape[0] < LEAST_SAMPLE or values.shape[1] < 2:
        return []
    is_grey = values.min(axis=1) == values.max(axis=1)
    if is_grey.mean() < SUSPECT:
        return []
    found, counts = np.unique(values[is_grey, 0], return_counts=True)
    others = np.unique(values[~is_grey], axis=0, return_counts=True)[1]
    least = max(SUSPECT * len(values), RARE * others.max(initial=0))
    often = counts > least
    return [
        _constant_warning(value, n / len(values), nodata) for value, n in zip(found[often], counts[often], strict=True)
    ]


def _constant_warning(constant: np.float32, share: float, nodata: Nodata) -> str:
    """What to do about a constant; to declare it as well as another nodata value is not possible."""
    value = f"{constant:.0f}" if float(constant).is_integer() else str(constant)
    declared = any(known is not None and np.isfinite(known) for known in nodata.values)
    mend = f"declare it (gdal_edit -a_nodata {value})"
    if declared:
        mend = f"leave it out (--mask SCENE --mask-values {value})"
    return (
        f"{share_text(share)} of the pixels that were looked at have the value {value} in every band, and get a class: "
        f"if that is no data, {mend}"
    )


def share_text(share: float) -> str:
    """A share, 0 to 1, in percent; never 0 % where there is some."""
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _numbers(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Bools:
    """Where every band holds a number that is not absurd, by the least and largest of them."""
    if low.dtype.kind != "f":
        return np.ones(low.shape, np.bool_)
    return np.asarray((low > -FARTHEST) & (high < FARTHEST))  # NaN is neither


def _blank(low: npt.NDArray[Any], high: npt.NDArray[Any], nodata: Nodata) -> Bools:
    """Where every band is 0, or as good as 0 in a pixel that has a 0."""
    faint = (
        0.0 if not nodata.is_declared else FAINT_PICTURE if low.dtype.itemsize == 1 else FAINT.get(low.dtype.kind, 0)
    )
    return np.asarray((low == 0) & (high <= faint))


def _fill(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Bools:
    """Where no reflectance can be what a band holds, or all of them alike, by the least and largest of them."""
    kind = low.dtype.kind
    if low.dtype.itemsize == 1 or kind not in "iuf":
        return np.zeros(low.shape, np.bool_)
    found = np.zeros(low.shape, np.bool_) if kind == "u" else np.asarray(low < LEAST)
    written = WRITTEN_AS_FLOATS if kind == "f" else tuple(n for n in WRITTEN if n <= np.iinfo(low.dtype).max)
    suspect = high >= low.dtype.type(written[0])
    if kind != "u":
        suspect |= low <= LEAST_OF_ALL[kind]
    suspect &= low == high
    if suspect.any():
        same = low[suspect]
        constants = np.asarray(written, low.dtype)
        found[suspect] |= (same[:, None] == constants).any(axis=1)
        if kind != "u":
            found[suspect] |= same <= LEAST_OF_ALL[kind]
    return found


def alpha_warning(number: int, values: npt.NDArray[np.float32], zero_share: float, hint: str) -> str | None:
    """Why an alpha band may be none, in words; None where it looks like one.

    Args:
        number: Of the band, from 1.
        values: A sample of it, `(n, 1)`, none 0.
        zero_share: Share of the sampled pixels that are 0.
        hint: What to do if it is none.
    """
    if not len(values) or (values == values.max()).mean() >= OPAQUE:
        return None
    return (
        f"band {number} is taken as alpha, as its colour or its description says: where it is 0 "
        f"({share_text(zero_share)} of the pixels that were looked at) there is no data. Its values look like those of "
        f"a band. If it is one: {hint}"
    )
