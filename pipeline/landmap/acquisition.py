"""When a scene was taken, as far as its name and tags say."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from landmap.attempts import opened
from landmap.errors import LandmapError
from landmap.jobs import parse_time
from landmap.remote import shown

PRODUCT = re.compile(r"(?:S2[A-D]_MSIL(?:1C|2A)|(?<![A-Z0-9])T\d{2}[A-Z]{3})_(\d{8}T\d{6})")
"""Names of Sentinel-2's products and of the files in them; the first time is that of sensing."""
TAGS = ("DATATAKE_1_DATATAKE_SENSING_START", "SENSING_TIME", "PRODUCT_START_TIME", "ACQUISITIONDATETIME")
"""Tags that say when light was caught, the most exact first. TIFFTAG_DATETIME is not among them: it says when the file
was written."""
LAUNCH = datetime(2015, 6, 23, tzinfo=UTC)
"""Sentinel-2A's: no scene is older."""


def sensing_time(scene: str) -> datetime | None:
    """The time of sensing by tags, else by name; None where neither tells."""
    return _by_tags(scene) or _by_name(scene)


def _by_tags(scene: str) -> datetime | None:
    try:
        with opened(scene) as file:
            tags = {key.upper(): value for key, value in (file.tags() | file.tags(ns="IMAGERY")).items()}
        return next((parse_time(tags[name]) for name in TAGS if name in tags), None)
    except LandmapError:  # a tag that is no time; whoever reads the scene says why it can't be read
        return None


def _by_name(scene: str) -> datetime | None:
    found = PRODUCT.search(shown(scene))
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
