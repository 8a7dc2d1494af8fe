"""Which band of a file is which: Sentinel-2 names in all the ways in which people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landmap.errors import BandError, SettingsError
from landmap_models.sentinel2 import band_code, band_name

NAME_TAGS = ("BANDNAME", "BAND_NAME", "NAME", "LONG_NAME", "COMMON_NAME", "EO:COMMON_NAME")
"""Tags of a band, in capitals, that may hold its name."""

ALPHA = re.compile(r"alpha|mask|opacity|transparen", re.IGNORECASE)
"""What the description of an alpha band may say."""
SHOWS_DATA = re.compile(r"alpha|data[ _-]?mask", re.IGNORECASE)
"""Descriptions of bands that are alpha whatever their colour; dataMask is Sentinel Hub's."""


@dataclass(frozen=True, slots=True)
class FileBand:
    """What a file states of one of its bands."""

    index: int
    """Number in the file, from 1."""
    description: str
    """GDAL's description; empty if there is none."""
    color: str
    """GDAL's colour interpretation in small letters, such as "red" or "undefined"."""
    tags: tuple[tuple[str, str], ...]
    """GDAL's metadata items of this band."""

    @property
    def name(self) -> str | None:
        """Sentinel-2 name by the description, else by the tags; None if neither has one."""
        tags = {key.upper(): value for key, value in self.tags}
        for text in (self.description, *(tags.get(key, "") for key in NAME_TAGS)):
            if name := band_name(text):
                return name
        return None

    @property
    def is_numbered(self) -> bool:
        """Whether the description only counts, as "Band 2" or "b2" of the second band does."""
        return re.fullmatch(rf"(band[ _-]?|b){self.index}", self.description.strip().lower()) is not None

    @property
    def is_alpha(self) -> bool:
        """Whether it is an alpha band by its description, or by its colour if it has no other name.

        GDAL's default colours make the fourth of four bands of 8 bits an alpha band, also near infrared.
        """
        if SHOWS_DATA.fullmatch(self.description.strip()):
            return True
        named = bool(self.description.strip()) and not self.is_numbered and not ALPHA.search(self.description)
        return self.color == "alpha" and not named and self.name is None

    def __str__(self) -> str:
        return f"{self.index}: {' '.join(self.description.split()) or self.color}"  # errors are one line


def file_bands(file: Any) -> tuple[FileBand, ...]:
    """What an open file states of each of its bands."""
    return tuple(
        FileBand(i, file.descriptions[i - 1] or "", file.colorinterp[i - 1].name, tuple(file.tags(i).items()))
        for i in file.indexes
    )


def parse_bands(
    given: str | Sequence[int] | Mapping[str, int],
    wanted: Sequence[str],
    optional: Sequence[str] = (),
    others: Sequence[str] = (),
) -> dict[str, int]:
    """Read `--bands`: "3,2,1" in the model's order, "B04=3,B03=2,B02=1", or "B02,B03,B04" in the file's order.

    Args:
        given: What the user gave: a text, or in Python a sequence or a mapping of numbers.
        wanted: Names of the model's bands in its order.
        optional: Names of bands that may be given, too; as bare numbers they come last.
        others: Names of bands that may be given by name only.

    Returns:
        Number in the file, from 1, by band name; of the optional bands those that were given.

    Raises:
        SettingsError: The text has another form, or not one number for each wanted band.
    """
    if isinstance(given, Mapping):
        text = ",".join(f"{name}={number}" for name, number in given.items())
    else:
        text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = [part.strip() for part in text.split(",")]
    named = all("=" in part for part in parts)
    pairs = [part.split("=", 1) for part in parts] if named else list(zip((*wanted, *optional), parts, strict=False))
    if all(band_code(part.lower()) or part in others for part in parts):
        pairs = [(part, str(number)) for number, part in enumerate(parts, start=1)]
    try:
        numbers = {band_name(name) or name.strip(): int(number) for name, number in pairs}
    except ValueError as error:
        raise SettingsError(f'--bands: expected "3,2,1" or "B04=3,B03=2,B02=1". Received: {text!r}') from error
    missing = [name for name in wanted if name not in numbers]
    if missing or len(numbers) != len(parts):
        raise SettingsError(f"--bands: expected one number for each of {', '.join(wanted)}. Received: {text!r}")
    return {name: numbers[name] for name in (*wanted, *optional, *others) if name in numbers}


def bands_called(bands: Sequence[FileBand], name: str) -> tuple[int, ...]:
    """Numbers in the file, from 1, of the bands with this Sentinel-2 name; never by their position."""
    if len(bands) > 1 and all(band.is_numbered for band in bands):
        return ()
    return tuple(band.index for band in bands if band.name == name)


def find_bands(bands: Sequence[FileBand], wanted: Sequence[str], path: str) -> dict[str, int]:
    """Find the model's bands in a file by their names.

    Never by position: bands that are only numbered ("Band 1", "Band 2" …) have no names, since a file's fourth band is
    seldom B04. Colours count if the file has exactly as many bands as are wanted, without alpha: a file of more bands
    is no picture, whatever default colours its writer gave it.

    Returns:
        Number in the file, from 1, by band name.

    Raises:
        BandError: A band is missing, or there twice; the message lists the bands of the file.
    """
    found: dict[str, list[int]] = {}
    numbered = len(bands) > 1 and all(band.is_numbered for band in bands)
    picture = sum(not band.is_alpha for band in bands) == len(wanted)
    for band in bands:
        name = (None if numbered else band.name) or (band_name(band.color) if picture else None)
        if name:
            found.setdefault(name, []).append(band.index)
    there = "; ".join(map(str, bands))
    hint = f"Say which is which: --bands {','.join(f'{name}=N' for name in wanted)}"
    if missing := [name for name in wanted if name not in found]:
        first, *more = missing
        others = f", nor {'is' if len(more) == 1 else 'are'} {', '.join(more)}" if more else ""
        raise BandError(
            f"{path}: the model needs band {first}, which is not named here{others}. Bands: {there}. {hint}"
        )
    for name in wanted:
        if len(found[name]) > 1:
            raise BandError(f"{path}: band {name} is there {len(found[name])} times: {there}. {hint}")
    return {name: found[name][0] for name in wanted}


def given_bands(given: dict[str, int], count: int, path: str) -> dict[str, int]:
    """Check the bands that the user gave against the file.

    Raises:
        BandError: The file has no band of a number, or a number is given twice.
    """
    for name, index in given.items():
        if not 1 <= index <= count:
            raise BandError(f"{path}: --bands gives {name}={index}; the file has bands 1 to {count}")
    if len(set(given.values())) < len(given):
        raise BandError(f"{path}: --bands gives the same band twice: {given}")
    return given
