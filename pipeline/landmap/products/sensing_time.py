"""The time at which a scene was sensed, by its name and tags."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from landmap.errors import LandmapError, SettingsError
from landmap.io.reading import open_raster
from landmap.io.remote import redacted
from landmap.products.scene_names import dates_in

PRODUCT = re.compile(
    r"S2[A-D]_MSIL(?:1C|2A)_|(?<![A-Z0-9])T\d{2}[A-Z]{3}_|S2[A-D]_\d{1,2}[A-Z]{3}_|HLS\.[SL]30\.T\d{2}[A-Z]{3}\."
    r"|SENTINEL2[A-D]_"
)
"""Start of the names of Sentinel-2 products and their files: ESA's, earth-search's, HLS and Theia. The date that
follows is that of sensing; in other names it may be another one."""
LONGEST = len("20230813T100559")
"""Length of a date with its time."""
TAGS = ("DATATAKE_1_DATATAKE_SENSING_START", "SENSING_TIME", "PRODUCT_START_TIME", "ACQUISITIONDATETIME")
"""Tags with the time of sensing, the most exact first. TIFFTAG_DATETIME is the time at which a file was written."""
LAUNCH = datetime(2015, 6, 23, tzinfo=UTC)
"""Launch of Sentinel-2A: no scene is older."""


def sensing_time(scene: str) -> date | None:
    """Time at which a scene was sensed, by its tags, else its name: a `datetime` or a day; None if neither has it."""
    return _by_tags(scene) or time_in_name(scene)


def _by_tags(scene: str) -> datetime | None:
    try:
        with open_raster(scene) as file:
            tags = {key.upper(): value for key, value in (file.tags() | file.tags(ns="IMAGERY")).items()}
        return next((parse_time(tags[name]) for name in TAGS if name in tags), None)
    except LandmapError:  # a tag that is no time; whoever reads the scene says why it can't be read
        return None


def time_in_name(scene: str) -> date | None:
    """Time of sensing in the name of a product or one of its files: a `datetime` or a day; None if it has none."""
    name = redacted(scene)
    found = PRODUCT.search(name)
    when = next(iter(dates_in(name[found.end() :][:LONGEST])), None) if found else None
    return when.replace(tzinfo=UTC) if isinstance(when, datetime) else when


def parse_time(text: str) -> datetime:
    """Parse a time in ISO 8601, which is UTC if it names no zone.

    Raises:
        SettingsError: The text is no time.
    """
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"Expected a time such as 2023-08-13T10:00:31Z. Received: {text!r}") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
