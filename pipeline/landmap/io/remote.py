"""Scenes behind an address: how GDAL reads them, when a read is tried again, and what of an address may be shown.

GDAL reads `https://`, `s3://`, `gs://` and `az://` by ranges. Credentials come from its environment variables alone;
those that stand in an address (`https://user:password@…`, a signature) are used, and shown nowhere.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import PurePath
from urllib.parse import parse_qsl

import rasterio
from rasterio.env import getenv, hasenv

DEFAULTS = {
    "GDAL_HTTP_MAX_RETRY": "2",  # of one request, at 429 and 5xx
    "GDAL_HTTP_RETRY_DELAY": "0.3",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    # A limit of time for a whole request would refuse slow lines; this ends those that have come to a stop.
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # the header of most COGs in one request
    "CPL_VSIL_CURL_CACHE_SIZE": str(32 * 2**20),  # of all files together
}
"""What GDAL is told unless the user's environment says otherwise; times in seconds, sizes in bytes."""
NOT_REMEMBERED = "CPL_VSIL_CURL_NON_CACHED"
"""GDAL's option: names that start so are forgotten when their file is closed."""
WAITS = 0.5, 1.5
"""Seconds before each further attempt to read a remote file,"""
LOCAL_WAITS = 0.1, 0.3
"""and a local one, which may lie on a network's file system."""

REMOTE = re.compile(
    r"\b(?:https?|ftp|s3|gs|az|adls|oss|swift)://|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]"
)
ENCODED = re.compile(r"(/vsicurl(?:_streaming)?)\?(\S*)")
"""GDAL's `/vsicurl?max_retry=2&url=https%3A%2F%2F…`."""
USER = r"(?:(?<=://)(?:[^/\s:]*:(?!\d+(?:[/?#]|$))[^\s]*@|[^/\s?#]*@))?"
"""User and password, even one with a slash in it, which should have been escaped."""
STARTS = r"(\b[a-zA-Z][\w+.-]*://|/vsi(?!curl)[a-z]\w*/)" + USER
PATH = re.compile(STARTS + r"([^?#]*)(?:[?#].*)?", re.DOTALL)
"""An address that is all there is, from its scheme on; it may have spaces in it,"""
ADDRESS = re.compile(STARTS + r"([^\s'\"?#]*)(?:[?#][^\s'\"]*)?")
"""and one in a text."""
SECRETS = re.compile(
    r"x-(?:amz|goog|oss|obs)-.*|.*(?:signature|token|secret|password|credential|api[-_]?key|access[-_]?key).*"
    r"|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id|pwd|auth|s[eprstv]|sig|spr|srt|sip|sk[estv]|skoid|sktid",
    re.IGNORECASE,
)
"""Parameters of an address that grant access and say nothing of the file: presigned S3 and GCS, Azure's SAS, others."""

FINAL = re.compile(
    r"code: (?:40[1-7]|410)\b|No such file|Permission denied|not recognized as being in a supported file format"
    r"|Range downloading not supported|does not exist|[Aa]ccess ?[Dd]enied|NoSuch|InvalidCredentials|Forbidden"
    r"|not defined|not configured|blocks are missing"
)
"""Words for what no further attempt will change."""
ADVICE = {
    r"code: 40[13]|[Aa]ccess ?[Dd]enied|InvalidCredentials|Forbidden|SignatureDoesNotMatch|InvalidAccessKey"
    r"|not defined|not configured": "Access is refused. Credentials come from the environment: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_CONNECTION_STRING, GDAL_HTTP_USERPWD; for "
    "public data AWS_NO_SIGN_REQUEST=YES, GS_NO_SIGN_REQUEST=YES; a signed address may have expired",
    r"code: 404|NoSuch|does not exist": "Nothing is there: check the address",
    r"Could not resolve": "Check the address and the network",
    r"Range downloading not supported": "The server can't send parts of a file: download it first",
    r"": "The server or the connection failed: try again later, what is finished is kept",
}
"""What to do, by GDAL's words."""


def is_remote(path: str) -> bool:
    """Whether a path names something behind a network, in whatever notation of rasterio or GDAL."""
    return bool(REMOTE.search(path))


def gdal_options() -> dict[str, str]:
    """GDAL's options for remote files, without those that the user has set, in the environment or by `rasterio.Env`."""
    given = os.environ.keys() | (getenv().keys() if hasenv() else set())
    return {name: value for name, value in DEFAULTS.items() if name not in given}


def uncached() -> rasterio.Env:
    """In this context GDAL trusts nothing that it remembers of remote files, neither content nor that one is missing.

    It remembers what a broken connection left of a file as if that were the file.
    """
    return rasterio.Env(**{NOT_REMEMBERED: "/vsi"})


def is_uncached() -> bool:
    """Whether this is inside of `uncached`."""
    return hasenv() and NOT_REMEMBERED in getenv()


def retry_pause(path: str, words: str, attempt: int) -> float | None:
    """Seconds to wait before the next attempt to read a file; None where there is to be none.

    Args:
        path: Of the file.
        words: What went wrong. That nothing is there, say, is final, but for the first answer about a remote file: GDAL
            may remember it from before.
        attempt: How many have been made.
    """
    if FINAL.search(words):
        return 0.0 if is_remote(path) and attempt == 1 else None
    pauses = WAITS if is_remote(path) else LOCAL_WAITS
    return pauses[attempt - 1] if attempt <= len(pauses) else None


def advice(path: str, words: str) -> str:
    """What the user can do about a read of a remote file that failed, as a further sentence; none for a local one."""
    if not is_remote(path):
        return ""
    return ". " + next(text for pattern, text in ADVICE.items() if re.search(pattern, words))


def redacted(path: str) -> str:
    """A path without the user, password, query and fragment of an address: as it may be printed and stored."""
    return PATH.sub(r"\1\2", ENCODED.sub(_decoded, path)) if is_remote(path) else path


def redact(text: str, path: str = "") -> str:
    """Take what grants access out of the addresses in a text.

    Args:
        text: A message or log line.
        path: An address that the text may name: whole, perhaps with spaces in it, or by its last part alone, as GDAL's
            messages do; "" where none is known.

    Returns:
        The text, with each address as `redacted` gives it.
    """
    if is_remote(path):
        name = name_of(path)
        last_part = path[path.find(f"/{name}") + 1 :]
        text = text.replace(path, redacted(path)).replace(last_part, name)
    return ADDRESS.sub(r"\1\2", ENCODED.sub(_decoded, text)) if is_remote(text) else text


def _decoded(found: re.Match[str]) -> str:
    """`/vsicurl/https://…` for `/vsicurl?url=https%3A%2F%2F…`."""
    return f"{found[1]}/{dict(parse_qsl(found[2])).get('url', '')}"


def identity(path: str) -> str:
    """A path by which scenes are told apart and that holds no secret.

    A presigned address is the same scene under each signature; `?id=1` and `?id=2` are two.
    """
    _, _, query = ENCODED.sub(_decoded, path).partition("?")
    told = sorted((name, value) for name, value in parse_qsl(query) if not SECRETS.fullmatch(name))
    if not is_remote(path) or not told:
        return redacted(path)
    return f"{redacted(path)} {hashlib.sha256(repr(told).encode()).hexdigest()[:16]}"


def redact_error(error: BaseException, path: str) -> None:
    """Take secrets out of an exception's words, and of those of its causes, as a traceback shows them all."""
    link: BaseException | None = error
    while link is not None:
        if hasattr(link, "errmsg"):  # rasterio's CPLE errors, whose `args` can't be set
            link.errmsg = redact(link.errmsg, path)
        else:
            link.args = tuple(redact(value, path) if isinstance(value, str) else value for value in link.args)
        link = link.__cause__ or link.__context__


class RedactingFormatter(logging.Formatter):
    """Log lines without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter`, then without secrets."""
        return redact(super().format(record))


def name_of(path: str) -> str:
    """Name of a file or address, without its folder and what grants access to it."""
    return PurePath(redacted(path)).name
