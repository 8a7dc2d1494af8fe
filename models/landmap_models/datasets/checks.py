"""The files of a data set are checked to fit together.

Each is decoded once: 21,600 JPEG chips of 64x64 px take about 3 s.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from landmap_models.datasets.files import decode, is_raster, read_file
from landmap_models.datasets.ground import Ground
from landmap_models.errors import DatasetError
from landmap_models.sentinel2 import EUROSAT_ORDER, TRUE_COLOR, BandNames

LISTED = 10
"""Most names that an error lists."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is compared between files; size, bands and bits must be equal in all files of a data set."""

    height: int
    width: int
    bands: int
    bits: int
    """Bits of a value: 8 or 16."""
    names: BandNames | None
    """Names of the bands by the descriptions in the file; None without any."""
    raster: bool
    """Whether it is a GeoTIFF."""
    digest: str
    """Digest of the pixels: equal chips have equal digests."""
    ground: Ground | None
    """Ground that the chip covers; None without a georeference."""


def check_files(root: Path, files: Iterable[str], bands: int | None) -> tuple[dict[str, Form], dict[str, str]]:
    """Decode every file. The most common size is taken for the right one.

    Args:
        root: The data set.
        files: Names of its files.
        bands: Number of bands that the user names; None: that of the file. See `files.decode`.

    Returns:
        Forms of the files that can be used, and messages for the others, both by name.
    """
    forms: dict[str, Form] = {}
    problems: dict[str, str] = {}
    for name in files:
        try:
            forms[name] = _form(root, name, bands)
        except DatasetError as error:
            problems[name] = str(error)
    problems |= _odd_sizes(forms)
    return {name: form for name, form in forms.items() if name not in problems}, problems


def _form(root: Path, name: str, bands: int | None) -> Form:
    chip = decode(read_file(root, name), name, bands)
    height, width, count = chip.values.shape
    digest = hashlib.blake2b(chip.values.tobytes(), digest_size=8).hexdigest()
    return Form(height, width, count, 8 * chip.values.itemsize, chip.names, is_raster(name), digest, chip.ground)


def _odd_sizes(forms: Mapping[str, Form]) -> dict[str, str]:
    sizes = {name: (form.height, form.width, form.bands) for name, form in forms.items()}
    if not sizes:
        return {}
    usual = Counter(sizes.values()).most_common(1)[0][0]
    example = next(name for name, size in sizes.items() if size == usual)
    return {
        name: f"{name}: expected {usual[:2]} pixels like {example}. Received: {size[:2]}"
        if size[:2] != usual[:2]
        else f"{name}: expected {usual[2]} bands like {example}. Received: {size[2]}"
        for name, size in sizes.items()
        if size != usual
    }


def refuse(root: Path, problems: Mapping[str, str], total: int) -> DatasetError:
    """Make an error that lists files that can't be used.

    Args:
        root: The data set.
        problems: Messages by name of the file.
        total: Number of all files.
    """
    return DatasetError(
        f"{root}: {len(problems):,} of {total:,} files can't be used: {listed(problems)}. Mend or remove them, or "
        "leave them out: --skip-bad (skip_bad=True)"
    )


def listed(problems: Mapping[str, str]) -> str:
    """The first messages, and the number of the others."""
    first = "; ".join(list(problems.values())[:LISTED])
    return first + (f"; and {len(problems) - LISTED:,} more" if len(problems) > LISTED else "")


def common_bands(forms: Mapping[str, Form], given: BandNames | None) -> BandNames:
    """Find the names of the bands of all files: the given ones, those of descriptions, or the usual ones.

    Args:
        forms: Forms of the files by name.
        given: Names that the user gives, in order; None: the files name their bands.

    Raises:
        DatasetError: The files contradict each other or the given names, or nothing names the bands.
    """
    first, form = next(iter(forms.items()))
    for name, other in forms.items():
        if other.bits != form.bits:
            raise DatasetError(f"{name}: expected {form.bits} bits like {first}. Received: {other.bits}. Separate them")
        if given is None and (other.names, other.raster) != (form.names, form.raster):
            raise DatasetError(
                f"{name}: expected the bands of {first}, {_bands_of(form)}. Received: {_bands_of(other)}. Separate "
                "them, or say with file_bands that they are the same"
            )
    return _given_bands(form, given, first) if given else form.names or _usual_bands(form, first)


def _bands_of(form: Form) -> str:
    names = ", ".join(name or "(no name)" for name in form.names or ()) or f"{form.bands} without names"
    return f"{names} in a {'GeoTIFF' if form.raster else 'picture'}"


def _given_bands(form: Form, given: BandNames, name: str) -> BandNames:
    if len(given) != form.bands:
        raise DatasetError(
            f"{name}: expected the {len(given)} bands that file_bands names. Received: {form.bands} bands"
        )
    return given


def _usual_bands(form: Form, name: str) -> BandNames:
    hint = f"Say which is which: file_bands={'B04,B03,B02' if form.bands == 3 else 'B04,B08,…'}, {form.bands} in all"
    if form.raster:
        if form.bands == len(EUROSAT_ORDER):
            return EUROSAT_ORDER
        raise DatasetError(
            f"{name}: expected bands with descriptions such as B04, or the 13 bands of EuroSAT. Received: "
            f"{form.bands} bands without. {hint}"
        )
    if (form.bands, form.bits) == (3, 8):
        return TRUE_COLOR
    raise DatasetError(
        f"{name}: expected 8 bits a channel, or to be told the bands. Received: an image of {form.bands} bands, "
        f"{form.bits} bits each. {hint}"
    )
