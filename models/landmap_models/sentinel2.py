"""What is known of Sentinel-2 and its products: bands, levels, numbers, classes, and how all these are named.

The source is ESA's product specification (Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD) where nothing
else is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from landmap_models.errors import DatasetError

SENTINEL2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Sentinel-2's bands by wavelength."""
EUROSAT_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""The bands of EuroSAT's GeoTIFF chips: B8A comes last."""
TRUE_COLOR = ("B04", "B03", "B02")
"""Red, green and blue."""

Level = Literal["L1C", "L2A"]
"""Product level: L1C is reflectance at the top of the atmosphere, L2A at the ground."""
LEVELS: tuple[Level, ...] = ("L1C", "L2A")

DN_SCALE = 1e-4
"""Reflectance in a digital number (DN): 10,000 is a reflectance of 1."""
OFFSET_BASELINE = "04.00"
"""Processing baseline since which products have an offset: -1000 DN, to be added before scaling.

It is in force since 2022-01-25, and in older scenes that were processed again since.
"""

SCL_CLASSES: Mapping[str, tuple[int, ...]] = {
    "no_data": (0,),
    "saturated": (1,),
    "dark": (2,),
    "shadow": (3,),
    "vegetation": (4,),
    "bare": (5,),
    "water": (6,),
    "unclassified": (7,),
    "cloud_medium": (8,),
    "cloud_high": (9,),
    "cirrus": (10,),
    "snow": (11,),
    "cloud": (8, 9, 10),
}
"""Class numbers of L2A's scene classification (SCL) by name; the last name stands for three classes."""

TCI_BRIGHTEST: Mapping[Level, float] = {"L1C": 0.3558, "L2A": 0.2505}
"""Reflectance at 255 in the true-colour image (TCI) of 8 bits, by level; see `TCI_BLACK`.

L1C: as ESA documents it ("a level of 3558"). L2A: measured on a product of baseline 05.11 against its own bands
(r = 0.99997); ESA's documents say 0.2.
"""
TCI_BLACK = 1
"""Value of a reflectance of 0 in the true-colour image; 0 is no data."""

BandNames = tuple[str | None, ...]
"""Sentinel-2 name of each band of a file; None for a band without such a name."""

COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
"""Sentinel-2 names by the band names of the STAC extension "eo" and of the catalogue earth-search."""

_JOINED = (
    (r"\bband[ _-]?(?=\d)", "b"),
    # Neither red nor the wide near infrared: without these, "Red Edge 1" would pass for B04 and "Narrow NIR" for B08.
    (r"red[ _-]edge[ _-]?", "rededge"),
    (r"narrow[ _-]nir|nir[ _-]narrow", "nir08"),
)
"""Patterns of names of several words, and the word that replaces them."""
_ANGLES = "zenith", "azimuth", "angle", "angles", "incidence", "sza", "saa", "vza", "vaa"
"""Words with which SNAP and HLS name angles: view_zenith_B4 is not B04."""
_QUALITY = (
    *("qa", "mask", "msk", "scl", "cloud", "snow", "qualit", "quality", "flag", "flags", "uncertainty"),
    *("lost", "nodata"),
    *("detfoo", "detector", "footprint", "defect", "defective", "degraded", "crosstalk"),
    *("satura", "saturated", "saturation"),
)
"""Words with which ESA and SNAP name layers of quality: MSK_QUALIT_B04, detector_footprint_B4."""
_NO_BANDS = frozenset((*_ANGLES, *_QUALITY, "std", "stddev", "variance", "count", "ndvi", "index"))
"""Words that mark a layer that is no band: the mask of B04 is not B04."""
_NO_COLORS = frozenset(("not", "non", "inf", "infra", "near", "thermal"))
"""Words beside which a colour does not name a band: "near infra red"."""


def band_name(text: str) -> str | None:
    """Find the Sentinel-2 name in a description; None if it has none.

    `B04`, `B4`, `b04`, `red`, `B04_10m`, `T33TVM_20241014T101021_B04_60m`, `Band 4`, `sur_refl_B04` and
    `B4, central wavelength 665 nm` are all B04. A text with two bands has no name. A code counts before colours,
    which are vaguer: `B8A (nir)` is B8A, and `B01, coastal blue` is B01.
    """
    text = text.lower()
    for spelling, word in _JOINED:
        text = re.sub(spelling, word, text)
    words = re.split(r"[^0-9a-z]+", text)
    if _NO_BANDS & set(words):
        return None
    names = {name for word in words if (name := band_code(word))}
    if not names and not _NO_COLORS & set(words):
        names = {COMMON_NAMES[word] for word in words if word in COMMON_NAMES}
    return names.pop() if len(names) == 1 else None


def band_code(word: str) -> str | None:
    """The Sentinel-2 name of a code in small letters, such as b4 or b8a; None if a word is no code of a band."""
    match = re.fullmatch(r"b0*(\d{1,2})(a?)", word)
    if not match:
        return None
    name = f"B{int(match[1])}A" if match[2] else f"B{int(match[1]):02d}"
    return name if name in SENTINEL2 else None


def level_in(text: str) -> Level | None:
    """The product level in a tag or a name such as "S2MSI1C", "Level-2A" or "kempen_L2A.tif"; None for none or two."""
    words = re.findall(r"(?:level[-_ ]?|msi_?l?|(?<![a-z0-9])(?:l|s2[a-d]))(1c|2a)(?![a-z0-9])", text.lower())
    found = {word.upper() for word in words}
    return "L1C" if found == {"1C"} else "L2A" if found == {"2A"} else None


def is_true_color(name: str) -> bool:
    """Whether a file's name is that of a true-colour image: "T31UFS_20190212T105141_TCI_10m.jp2", "TCI.tif"."""
    return re.search(r"(?<![a-z0-9])tci(?![a-z0-9])", name.lower()) is not None


def true_color_level(name: str) -> Level | None:
    """The product level by the form of a true-colour image's name, or None: L2A's names have the size of its pixels."""
    if re.search(r"(?<![a-z0-9])tci_[126]0m(?![a-z0-9])", name.lower()):
        return "L2A"
    return "L1C" if re.search(r"t\d{2}[a-z]{3}_\d{8}t\d{6}_tci(?![a-z0-9_])", name.lower()) else None


def true_color_scale(level: Level) -> float:
    """Reflectance per unit of a true-colour image of this level."""
    return TCI_BRIGHTEST[level] / (255 - TCI_BLACK)


def described_bands(descriptions: Sequence[str | None]) -> BandNames | None:
    """Names by a file's descriptions; None if none names a band, or if they only count ("Band 1", "Band 2" …)."""
    counted = [re.fullmatch(rf"(band[ _-]?|b){i}", (d or "").strip().lower()) for i, d in enumerate(descriptions, 1)]
    if len(counted) > 1 and all(counted):
        return None
    names = tuple(band_name(d or "") for d in descriptions)
    return names if any(names) else None


def named_bands(names: Sequence[str]) -> BandNames:
    """Sentinel-2 names of the bands that the user listed, in order; None for other bands.

    Raises:
        DatasetError: None is a Sentinel-2 band, or one is listed twice.
    """
    found = tuple(band_name(name) for name in names)
    named = [name for name in found if name]
    if not named or len(set(named)) < len(named):
        raise DatasetError(
            f"file_bands: expected the bands of the files in their order, each once, such as B04,B03,B02. "
            f"Received: {','.join(names)}"
        )
    return found


def places_of(wanted: Sequence[str] | None, there: BandNames, where: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Find bands among those of a file.

    Args:
        wanted: Names of the bands; None for all bands of the file.
        there: Names of the file's bands in their order.
        where: The file, for messages.

    Returns:
        Names and indexes, from 0, of the bands wanted.

    Raises:
        DatasetError: A wanted band is missing, there twice, or wanted twice; or all are wanted and one has no name.
    """
    listed = ", ".join(name or "(no name)" for name in there)
    twice = sorted({name for name in there if name and there.count(name) > 1})
    if twice:
        raise DatasetError(f"{where}: {' and '.join(twice)} named twice. Bands: {listed}. Name them with file_bands")
    if wanted is None:
        names = tuple(name for name in there if name)
        if len(names) < len(there):
            raise DatasetError(f"{where}: some bands have no Sentinel-2 name: {listed}. Choose some with bands")
        return names, tuple(range(len(names)))
    names = tuple(band_name(name) or name for name in wanted)
    missing = [name for name in names if name not in there]
    if missing or not names:
        raise DatasetError(f"{where}: there is no band {', '.join(missing) or '(none asked for)'}. Bands: {listed}")
    if len(set(names)) < len(names):
        raise DatasetError(f"bands: expected each band once. Received: {', '.join(wanted)}")
    return names, tuple(there.index(name) for name in names)
