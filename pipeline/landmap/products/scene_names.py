"""What the name of a file or band states of its scene: date, place, satellite and level.

Bands of two dates or places are no scene: `check_one_scene` refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from landmap.errors import SceneError
from landmap_models.sentinel2 import band_name, level_in

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TIME = r"(?:[T_-]?(?P<time>[01]\d[0-5]\d[0-5]\d|2[0-3][0-5]\d[0-5]\d)(?!\d))?"
"""A time of day may follow a date: 20230813T100559, 20230813-100559, 20230813100559."""
YEAR = r"(?P<year>(?:19|20)\d\d)"
_FORMS = (
    # The date in an old name of Landsat, LC81930272023225LGN00, stands behind path and row.
    rf"(?<![0-9A-Z])L[COTEM]\d{{7}}{YEAR}(?P<ordinal>\d{{3}})(?=[A-Z]{{3}}\d\d)",
    rf"(?<!\d){YEAR}(?P<month>0[1-9]|1[0-2])(?P<day>[0-3]\d)(?:{TIME})(?!\d)",
    rf"(?<!\d){YEAR}-?(?P<ordinal>[0-3]\d\d)(?:{TIME})(?![0-9A-SU-Z])",
    rf"(?<!\d){YEAR}([-_.])(?P<month>\d\d?)\2(?P<day>\d\d?)(?![0-9A-SU-Z])",
    rf"(?<![0-9A-Z])(?P<day>\d\d?)([-_.])(?P<month>\d\d?)\2{YEAR}(?!\d)",
    rf"(?<!\d)(?P<day>\d\d?)[-_. ]?(?P<name>{'|'.join(MONTHS)})[a-z]*[-_. ]?{YEAR}(?!\d)",
    rf"(?<!\d){YEAR}[-_. ]?(?P<name>{'|'.join(MONTHS)})[a-z]*[-_. ]?(?P<day>\d\d?)(?!\d)",
    r"(?<![0-9A-Z])(?P<year>1[5-9]|2\d|3\d)(?P<month>0[1-9]|1[0-2])(?P<day>[0-3]\d)(?![0-9A-SU-Z])",
)
"""Forms of dates, all with a full year except the last, YYMMDD, which counts from 2015 on."""
DATE = tuple(re.compile(form, re.IGNORECASE) for form in _FORMS)
SQUARE = re.compile(r"T?(\d{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])")
"""A square of the MGRS grid, such as T33UUP or 33UUP; the letters I and O are not used."""
SATELLITE = re.compile(
    r"(?<![0-9A-Z])(?:(?:S2|SENTINEL-?2)(?P<msi>[A-D])(?:[12][AC])?|HLS[._](?P<hls>[SL]30)|(?P<landsat>L[COTEM]0[4-9]))"
    r"(?![0-9A-Z])"
)
"""Names of satellites, in capitals: S2A, SENTINEL2A, sen2r's S2A2A, HLS.S30, LC08."""


def dates_in(text: str) -> list[date]:
    """Dates in a name in their order, with the time of day (`datetime`) where it follows.

    The forms are 20230813, 2023-08-13, 2023_08_13, 13.08.2023, 13Aug2023, 2023225 (day of the year) and 230813, also
    inside longer names. Numbers that are no dates are ignored.
    """
    found: dict[int, date] = {}
    for form in DATE:
        for match in form.finditer(text):
            if when := _date_of(match):
                found.setdefault(match.start("year") if "day" not in match.groupdict() else match.start(), when)
                text = text[: match.start()] + "#" * len(match[0]) + text[match.end() :]
    return [found[start] for start in sorted(found)]


def _date_of(match: re.Match[str]) -> date | None:
    groups = match.groupdict()
    try:
        year = int(groups["year"]) + (2000 if len(groups["year"]) == 2 else 0)
        if ordinal := groups.get("ordinal"):
            day = date(year, 1, 1) + timedelta(int(ordinal) - 1)
            if day.year != year:
                return None
        else:
            day = date(year, *_month_and_day(groups))
        return datetime.strptime(f"{day:%Y%m%d}{groups['time']}", "%Y%m%d%H%M%S") if groups.get("time") else day
    except ValueError:
        return None


def _month_and_day(groups: dict[str, str]) -> tuple[int, int]:
    """In 08/13 the second number is the day, wherever the day comes first; in 08/05 the order does not matter here."""
    day = int(groups["day"])
    month = MONTHS.index(groups["name"].lower()) + 1 if groups.get("name") else int(groups["month"])
    return (day, month) if month > 12 >= day else (month, day)


def _squares_in(text: str) -> set[str]:
    words = re.split(r"[^0-9A-Z]+", text.upper())
    return {match[1] for word in words if (match := SQUARE.fullmatch(word))}


def _satellites_in(text: str) -> set[str]:
    return {match["msi"] or match["hls"] or match["landsat"] for match in SATELLITE.finditer(text.upper())}


def check_one_scene(names: Sequence[str], path: str, advice: str, beside: Sequence[str] = ()) -> None:
    """Refuse bands whose names state several dates, places, satellites or levels.

    Args:
        names: Names of the files of bands, or descriptions of the bands of one file.
        path: What the user gave, for messages.
        advice: What the user can do, as a sentence without its full stop.
        beside: Names of files that go with them, such as a scene classification; they may state less of the scene.

    Raises:
        SceneError: The bands are not of one scene; the message names two of them.
    """
    for number, name in enumerate((*names[1:], *beside), start=1):
        for what in _differences(names[0], name, strict=number < len(names)):
            raise SceneError(
                f"{path}: expected the bands of one scene. Received: {names[0]} and {name}, whose names differ in "
                f"{what}. {advice}"
            )


def name_warnings(names: Sequence[str]) -> list[str]:
    """Warn if bands may be of several scenes although no dates differ.

    Args:
        names: Names of the files of bands. If each has the same date, nothing else in them matters; otherwise they
            should differ in the band and its resolution alone.
    """
    if all(dates_in(name) for name in names):
        return []
    by_rest = {tuple(_rest_of(name)): name for name in names}
    if len(by_rest) < 2:
        return []
    one, other = list(by_rest.values())[:2]
    return [
        f"the names of the bands' files differ in more than the band ({one} and {other}): if they are of two dates or "
        "places, the map is of neither. Give each scene a folder of its own"
    ]


def _rest_of(name: str) -> list[str]:
    """Words of a file's name, without its ending, the band and a resolution."""
    words = re.split(r"[^0-9a-z]+", name.rpartition(".")[0].lower())
    return [word for word in words if word and not band_name(word) and not re.fullmatch(r"r?\d{2,3}m", word)]


def _differences(first: str, second: str, *, strict: bool) -> Iterator[str]:
    """Texts that say in what two names differ; if strict, also if only one has a date or a place."""
    for what, read, counts in (
        ("date", _times_in, strict),
        ("MGRS square", _squares_in, strict),
        ("satellite", _satellites_in, False),
        ("level", _levels_in, False),
    ):
        one, other = read(first), read(second)
        if what == "date" and any(len(text) == len("2023-08-13") for text in one | other):
            one, other = {text[:10] for text in one}, {text[:10] for text in other}
        if one != other and (counts or (one and other)):
            yield f"{what} ({_words(one)} and {_words(other)})"


def _times_in(text: str) -> set[str]:
    return {when.isoformat() for when in dates_in(text)}


def _levels_in(text: str) -> set[str]:
    found = level_in(text)
    return {found} if found else set()


def _words(found: set[str]) -> str:
    return ", ".join(sorted(found)) or "none"
