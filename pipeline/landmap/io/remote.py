"""Remote files: GDAL's options for them, retries of reads that fail, and addresses without their secrets.

GDAL reads `https://`, `s3://`, `gs://` and `az://` by ranges. Credentials come from its environment variables alone;
those that stand in an address (`https://user:password@…`, a signature) are used, and printed and stored nowhere.
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
"""GDAL's options for remote files, unless the user has set them; times in seconds, sizes in bytes."""
NOT_CACHED = "CPL_VSIL_CURL_NON_CACHED"
"""GDAL's option with the first letters of names whose cached content is dropped when their file is closed."""
PAUSES = 0.5, 1.5
"""Seconds before each retry of a read of a remote file."""
LOCAL_PAUSES = 0.1, 0.3
"""Seconds before each retry of a read of a local file, which may lie on a network's file system."""

REMOTE = re.compile(
    r"\b(?:https?|ftp|s3|gs|az|adls|oss|swift)://|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]"
)
ENCODED = re.compile(r"(/vsicurl(?:_streaming)?)\?(\S*)")
"""GDAL's `/vsicurl?max_retry=2&url=https%3A%2F%2F…`."""
USER = r"(?:(?<=://)(?:[^/\s:]*:(?!\d+(?:[/?#]|$))[^\s]*@|[^/\s?#]*@))?"
"""Pattern of user and password, even one with a slash in it, which should have been escaped."""
STARTS = r"(\b[a-zA-Z][\w+.-]*://|/vsi(?!curl)[a-z]\w*/)" + USER
PATH = re.compile(STARTS + r"([^?#]*)(?:[?#].*)?", re.DOTALL)
"""Pattern of a text that is an address from its scheme to its end; the address may have spaces in it."""
ADDRESS = re.compile(STARTS + r"([^\s'\"?#]*)(?:[?#][^\s'\"]*)?")
"""Pattern of an address inside a text; it ends at the first space or quotation mark."""
SECRETS = re.compile(
    r"x-(?:amz|goog|oss|obs)-.*|.*(?:signature|token|secret|password|credential|api[-_]?key|access[-_]?key).*"
    r"|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id|pwd|auth|s[eprstv]|sig|spr|srt|sip|sk[estv]|skoid|sktid",
    re.IGNORECASE,
)
"""Pattern of the names of parameters that grant access and don't name the file: S3's, GCS's, Azure's SAS, others."""

FINAL = re.compile(
    r"code: (?:40[1-7]|410)\b|No such file|Permission denied|not recognized as being in a supported file format"
    r"|Range downloading not supported|does not exist|[Aa]ccess ?[Dd]enied|NoSuch|InvalidCredentials|Forbidden"
    r"|not defined|not configured|blocks are missing"
)
"""Pattern of messages about errors that a retry will not mend."""
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
"""What the user can do, by a pattern of GDAL's message."""


def is_remote(path: str) -> bool:
    """Return whether a path names something behind a network, in any notation of rasterio or GDAL."""
    return bool(REMOTE.search(path))


def gdal_options() -> dict[str, str]:
    """Return GDAL's options for remote files, except those that the user has set by environment or `rasterio.Env`."""
    given = os.environ.keys() | (getenv().keys() if hasenv() else set())
    return {name: value for name, value in DEFAULTS.items() if name not in given}


def uncached() -> rasterio.Env:
    """Return an environment in which GDAL uses nothing that it has cached of remote files.

    GDAL caches that a file is missing, and what a broken connection has left of a file as if that were the file.
    """
    return rasterio.Env(**{NOT_CACHED: "/vsi"})


def is_uncached() -> bool:
    """Return whether this runs inside an environment of `uncached`."""
    return hasenv() and NOT_CACHED in getenv()


def retry_pause(path: str, words: str, attempt: int) -> float | None:
    """Return the pause before the next attempt to read a file, in seconds; None where there is to be no other.

    Args:
        path: Name or address of the file.
        words: Message of the error. That a file is missing, for example, is final, except for the first attempt at a
            remote file: GDAL may have cached that answer.
        attempt: Number of attempts that have been made.
    """
    if FINAL.search(words):
        return 0.0 if is_remote(path) and attempt == 1 else None
    pauses = PAUSES if is_remote(path) else LOCAL_PAUSES
    return pauses[attempt - 1] if attempt <= len(pauses) else None


def advice(path: str, words: str) -> str:
    """Return a further sentence on what the user can do about a failed read; "" for a local file.

    Args:
        path: Name or address of the file.
        words: Message of the error.
    """
    if not is_remote(path):
        return ""
    return ". " + next(text for pattern, text in ADVICE.items() if re.search(pattern, words))


def redacted(path: str) -> str:
    """Return a path as it may be printed and stored: an address without user, password, query and fragment."""
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
    """Return `/vsicurl/https://…` for `/vsicurl?url=https%3A%2F%2F…`."""
    return f"{found[1]}/{dict(parse_qsl(found[2])).get('url', '')}"


def identity(path: str) -> str:
    """Return a text that identifies a scene and holds no secret.

    A presigned address is the same scene under each signature; `?id=1` and `?id=2` are two scenes.
    """
    _, _, query = ENCODED.sub(_decoded, path).partition("?")
    kept = sorted((name, value) for name, value in parse_qsl(query) if not SECRETS.fullmatch(name))
    if not is_remote(path) or not kept:
        return redacted(path)
    return f"{redacted(path)} {hashlib.sha256(repr(kept).encode()).hexdigest()[:16]}"


def redact_error(error: BaseException, path: str) -> None:
    """Take secrets out of the messages of an exception and of its causes, all of which a traceback prints.

    Args:
        error: The exception, whose messages are changed in place.
        path: The address that it is about.
    """
    link: BaseException | None = error
    while link is not None:
        if hasattr(link, "errmsg"):  # rasterio's CPLE errors, whose `args` can't be set
            link.errmsg = redact(link.errmsg, path)
        else:
            link.args = tuple(redact(value, path) if isinstance(value, str) else value for value in link.args)
        link = link.__cause__ or link.__context__


class RedactingFormatter(logging.Formatter):
    """Formats log lines without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as `logging.Formatter` does, then take out secrets."""
        return redact(super().format(record))


def name_of(path: str) -> str:
    """Return the name of a file or address, without its folder and without what grants access to it."""
    return PurePath(redacted(path)).name
