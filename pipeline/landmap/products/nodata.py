"""Which pixels of some bands have data: by what the file declares, and by values that no reflectance can have.

The rule holds for each pixel by itself, so it does not depend on how a scene is cut. A pixel has no data where

- a band holds no number, or one that is infinite or as far from any reflectance as a netCDF file's fill value;
- a band holds its own nodata value, if that is not 0;
- a mask or an alpha band of the file marks it so;
- every band holds 0, if 0 is the nodata value of one of them, or if nodata is not declared at all. 0 in one band alone
  is dark; but if 0 is declared, 0 beside tiny values is the edge of an area without data, resampled or compressed;
- a band of reflectance holds a negative number that none can have (-9999), or every band the same one out of those that
  are used for "no data" (65535) or result from it (-1000, if an offset was subtracted from 0).
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
"""Floats at least as far from 0 as this are fill values: 1e20, netCDF's 9.97e36, the limits of float32."""
LEAST = -2000
"""Least DN of a band of reflectance: an offset of 1000 that is subtracted twice leaves -2000."""
LEAST_OF_ALL = {"i": -900, "f": -0.09}
"""If every band has the same value and it is not above this, it is a fill value; for DN, and for floats."""
WRITTEN = (32767, 32768, 55536, 55537, 64536, 65535, 2**31 - 1, 2**32 - 1)
"""If every band has one of these values, it is a fill value: the largest numbers of the data types, and -32768, -10000,
-9999 and -1000 as unsigned 16 bits."""
WRITTEN_AS_FLOATS = (3.2767, 6.5535, 32767.0, 65535.0)
"""The same for floats."""
FAINT = {"i": 5, "u": 5, "f": 5.0001e-4}
"""Largest value, in DN or for floats in reflectance, beside a 0 that is the edge of an area of declared zeros.

Of 256 such pixels at the edge of a public L2A scene most held 0 and 1, some up to 5; no water is as dark in all bands.
"""
FAINT_PICTURE = 1
"""The same for 8 bits."""
SUSPECT = 0.05
"""Share of a sample with one value in every band above which that value may be fill."""
RARE = 5
"""Such a value must be so many times as frequent as any other colour."""
LEAST_SAMPLE = 1000
"""Least number of sampled pixels for this check."""

OPAQUE = 0.5
"""Least share of fully opaque pixels in the valid part of an alpha band, which may have soft edges."""
STRIP = 2**17
"""Number of pixels that are processed together: as many as fit in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Nodata:
    """The rule by which pixels of some bands have no data."""

    values: tuple[float | None, ...]
    """The nodata value of each band; None if it declares none, or one that its data type can't hold."""
    masks: tuple[int, ...] = ()
    """Numbers, from 1, of the bands with a mask; one of several bands that share a mask."""
    alphas: tuple[int, ...] = ()
    """Numbers, from 1, of the file's alpha bands."""
    is_reflectance: bool = True
    """Whether the bands hold reflectance in some unit; else they hold class numbers or flags."""
    has_zeros: bool = False
    """Whether 0 in every band is no data."""
    has_dark_zeros: bool = True
    """Whether 0 in one band alone is dark; else it is no data, as the offset brings it far below 0."""

    @property
    def is_declared(self) -> bool:
        """Whether the file declares any nodata for these bands."""
        return bool(self.masks or self.alphas) or any(value is not None for value in self.values)

    def describe(self, names: Sequence[str], dtype: str) -> str:
        """Describe the rule as a text.

        Args:
            names: Names of the bands.
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
    """The nodata rule of some bands of an open file.

    Args:
        file: The open rasterio dataset.
        indexes: Numbers of the bands, from 1.
        named: Numbers of all bands that are known by a name, which are no alpha bands whatever their colour.
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


def declares_same(file: Any, indexes: Sequence[int], nodata: Nodata) -> bool:
    """Whether a file still declares the same nodata for its bands."""
    # As words, in which NaN is like NaN. Colours are asked for only where they count: of a header that was cut short,
    # rasterio raises GDAL's own error at them.
    same = repr(_values(file, indexes)) == repr(nodata.values) and _masks(file, indexes) == nodata.masks
    return same and (not nodata.alphas or set(nodata.alphas) <= set(_alphas(file)))


def _masks(file: Any, indexes: Sequence[int]) -> tuple[int, ...]:
    """Numbers of the bands with a mask; one of several bands that share a mask."""
    flags = file.mask_flag_enums
    masked = [i for i in indexes if not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[i - 1])]
    masks = [i for i in masked if flags[i - 1] != [MaskFlags.nodata]]
    shared = [i for i in masks if MaskFlags.per_dataset in flags[i - 1]]
    return tuple(i for i in masks if i not in shared[1:])


def _alphas(file: Any) -> tuple[int, ...]:
    return tuple(band.index for band in file_bands(file) if band.is_alpha)


def _values(file: Any, indexes: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(_representable(file.nodatavals[i - 1], file.dtypes[i - 1]) for i in indexes)


def _representable(value: float | None, dtype: str) -> float | None:
    """A nodata value if the data type can hold it; rasterio drops those that are too large."""
    whole = value is None or np.dtype(dtype).kind == "f" or float(value).is_integer()
    return value if whole else None


def has_data(values: npt.NDArray[Any], nodata: Nodata) -> Bools:
    """Mask of the pixels that have data by their values alone, `(height, width)`.

    Args:
        values: Values as they are in the file, `(bands, height, width)`.
        nodata: The nodata rule of these bands.
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
        if value:  # zeros are handled together below
            valid &= band != values.dtype.type(value)
    if nodata.has_zeros:
        valid &= ~_zeros(low, high, nodata)
        if not nodata.has_dark_zeros:
            valid &= (values != 0).all(axis=0)
    if nodata.is_reflectance:
        valid &= ~_fill(low, high)
    return valid


class Fills:
    """Counts the pixels that have no data by a constant that the file does not declare."""

    def __init__(self) -> None:
        self.pixels = 0
        self.constants: Counter[float] = Counter()

    def count(self, values: npt.NDArray[Any], nodata: Nodata, unmasked: Bools) -> None:
        """Count in a window.

        Args:
            values: Values as they are in the file, `(bands, height, width)`.
            nodata: The nodata rule of these bands.
            unmasked: Pixels that are valid by masks and alpha bands, `(height, width)`.
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
        """Warn of the constants that were found, with their shares."""
        if not self.constants:
            return []
        listed = sorted(f"{value:.7g} ({share_text(n / self.pixels)})" for value, n in self.constants.most_common(3))
        more = f" and {len(self.constants) - 3} more" if len(self.constants) > 3 else ""
        return [
            "what no reflectance can be is left out as nodata, though the file does not declare it: "
            f"{', '.join(listed)}{more}, of the pixels that were looked at"
        ]


def constant_warnings(values: npt.NDArray[np.float32], nodata: Nodata) -> list[str]:
    """Warn of constants that may be fill although reflectance can have them; they are mapped like any value.

    In a file of few different numbers, such as percent, grey pixels are no fill, as other colours are as frequent.

    Args:
        values: A sample of pixels with data, with values as they are in the file, `(n, bands)`.
        nodata: The nodata rule of these bands.
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
    """Advise on a constant: declare it as nodata, or mask it if another nodata value is declared."""
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
    """A share, 0 to 1, as a text in percent; never 0 % for a share above 0."""
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _numbers(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Bools:
    """Mask of the pixels whose bands all hold plausible numbers, by their least and largest."""
    if low.dtype.kind != "f":
        return np.ones(low.shape, np.bool_)
    return np.asarray((low > -FARTHEST) & (high < FARTHEST))  # NaN is neither


def _zeros(low: npt.NDArray[Any], high: npt.NDArray[Any], nodata: Nodata) -> Bools:
    """Mask of the pixels that are 0 in every band, or tiny beside a 0."""
    faint = (
        0.0 if not nodata.is_declared else FAINT_PICTURE if low.dtype.itemsize == 1 else FAINT.get(low.dtype.kind, 0)
    )
    return np.asarray((low == 0) & (high <= faint))


def _fill(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Bools:
    """Mask of the pixels with a value that no reflectance can have, by their least and largest band."""
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
    """Warn that a band which is taken as alpha may be none; None if it looks like an alpha band.

    Args:
        number: Number of the band in the file, from 1.
        values: A sample of its values without zeros, `(n, 1)`.
        zero_share: Share of the sampled pixels that are 0, 0 to 1.
        hint: What the user can do if it is none.
    """
    if not len(values) or (values == values.max()).mean() >= OPAQUE:
        return None
    return (
        f"band {number} is taken as alpha, as its colour or its description says: where it is 0 "
        f"({share_text(zero_share)} of the pixels that were looked at) there is no data. Its values look like those of "
        f"a band. If it is one: {hint}"
    )
