"""Landsat's own products are refused, as their band names are those of other bands of Sentinel-2."""

from __future__ import annotations

import re
from collections.abc import Iterable

from landmap.errors import BandError

NAME = re.compile(r"(?<![0-9A-Z])(L[COTEM]0[4-9]_L\w{3}_\d{6}_|L[COTEM][4-9]\d{13}[A-Z]{3}\d\d)", re.IGNORECASE)
"""Start of the names of Landsat's scenes: LC08_L2SP_193027_20230813, LC81930272023225LGN00."""
SURFACE = re.compile(r"(?<![0-9A-Z])SR_B\d", re.IGNORECASE)
"""Names of bands of surface reflectance: SR_B4."""

ADVICE = (
    "(red, green and blue are 4, 3, 2 of Landsat 8 and 9, and 3, 2, 1 of those before), and what its numbers mean: "
    "--scale 0.0000275 --offset -7272.73 --level L2A for Collection 2, Level 2. Landsat as HLS (L30) needs none of this"
)


def check_no_landsat(names: Iterable[str], path: str, how: str) -> None:
    """Refuse files or bands with Landsat's names: B5 is its near infrared, and B4 that of Landsat 7.

    Args:
        names: Names of files, or of bands in a file.
        path: What the user gave, for messages.
        how: How the user says which band is which, as the start of a sentence.

    Raises:
        BandError: A name is Landsat's.
    """
    for name in names:
        if NAME.search(name) or SURFACE.search(name):
            raise BandError(
                f"{path}: expected bands of Sentinel-2. Received: Landsat's, by the name {name}, whose numbers mean "
                f"other wavelengths. {how} {ADVICE}"
            )
