"""Which band of a chip's file is which: Sentinel-2 names, from descriptions or told by the user."""

from __future__ import annotations

import re
from collections.abc import Sequence

from landmap_models.errors import DatasetError

SENTINEL2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Sentinel-2's bands by wavelength."""
EUROSAT_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""The bands of EuroSAT's GeoTIFF chips: B8A comes last."""
TRUE_COLOR = ("B04", "B03", "B02")
"""Red, green, blue."""

BandNames = tuple[str | None, ...]
"""Sentinel-2 name of each band of a file, None for a band that is none or isn't named."""

_WORDS = {
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
"""STAC's common names. They count only as the whole of a description: a "red mask" is not B04."""


def band_name(text: str) -> str | None:
    """The Sentinel-2 name in a description, or None.

    `B04`, `B4`, `b04_10m`, `Band 4`, `T33TVM_B04` and `red` are all B04. A text that names two bands, or the mask or
    quality of one, names none.
    """
    text = re.sub(r"\bband[ _-]?(?=\d)", "b", text.lower())
    words = re.split(r"[^0-9a-z]+", text)
    if {"mask", "qa", "scl", "std", "stddev", "cloud"} & set(words):
        return None
    codes = {f"B{int(m[1]):02d}" if not m[2] else f"B{m[1]}A" for w in words if (m := re.fullmatch(r"b0*(\d+)(a?)", w))}
    if not codes:
        return _WORDS.get("".join(words))
    code = codes.pop()
    return code if not codes and code in SENTINEL2 else None


def described_bands(descriptions: Sequence[str | None]) -> BandNames | None:
    """Names by a file's own descriptions; None if it describes no band, or only counts them ("Band 1", "Band 2" …)."""
    counted = [re.fullmatch(rf"(band[ _-]?|b){i}", (d or "").strip().lower()) for i, d in enumerate(descriptions, 1)]
    if len(counted) > 1 and all(counted):
        return None
    names = tuple(band_name(d or "") for d in descriptions)
    return names if any(names) else None


def told_bands(names: Sequence[str]) -> BandNames:
    """Names that the user gave, in order; what is no Sentinel-2 band stays unnamed.

    Raises:
        DatasetError: None is a Sentinel-2 band, or one is there twice.
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
    """The names and places (from 0) of the wanted bands, or of all if `wanted` is None.

    Raises:
        DatasetError: A wanted band isn't there, is there twice, or is asked for twice; or all are wanted and one has no
            name.
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
