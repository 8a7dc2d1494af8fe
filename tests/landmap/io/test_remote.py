"""What of an address may be shown, and how scenes behind addresses are told apart."""

from __future__ import annotations

import os

import pytest
import rasterio
from rasterio.errors import RasterioIOError

from landmap.io.remote import (
    DEFAULTS,
    advice,
    gdal_options,
    identity,
    is_remote,
    name_of,
    redact,
    redact_error,
    redacted,
    retry_pause,
)

SECRETS = ("alice", "pw", "X-Amz", "abc", "sv=")


@pytest.mark.parametrize(
    ("path", "expected", "why"),
    [
        ("https://h/a.tif", "https://h/a.tif", "nothing to hide"),
        ("https://h:8080/d/a.tif", "https://h:8080/d/a.tif", "a port is no password"),
        ("https://alice:pw@h:8080/a.tif", "https://h:8080/a.tif", "user and password"),
        ("https://alice@h/a.tif", "https://h/a.tif", "a user, or a token"),
        ("https://alice:pw/pw@h/a.tif", "https://h/a.tif", "a slash that should have been escaped"),
        ("https://alice:p?w#@h/a.tif?sv=1", "https://h/a.tif", "neither should these"),
        ("https://h/a.tif?X-Amz-Signature=abc", "https://h/a.tif", "presigned"),
        ("https://h/a b.tif?x=1&y= abc", "https://h/a b.tif", "spaces"),
        ("https://h/a.tif#abc", "https://h/a.tif", "a fragment"),
        ("/vsicurl/https://alice:pw@h/a.tif?sv=abc", "/vsicurl/https://h/a.tif", "GDAL's own notation"),
        ("/vsicurl?max_retry=2&url=https%3A%2F%2Falice%3Apw%40h%2Fa.tif%3Fsv%3Dabc", "/vsicurl/https://h/a.tif", "too"),
        ("/vsizip//vsicurl/https://h/a.zip?sv=abc/in.tif", "/vsizip//vsicurl/https://h/a.zip", "in an archive"),
        ("zip+https://alice:pw@h/a.zip!in.tif", "zip+https://h/a.zip!in.tif", "rasterio's notation of it"),
        ("s3://bucket/a@b:c.tif", "s3://bucket/a@b:c.tif", "signs in a name"),
        ("/vsis3/bucket/a@b.tif", "/vsis3/bucket/a@b.tif", "signs in a name"),
    ],
)
def test_an_address_is_shown_without_what_grants_access(path: str, expected: str, why: str) -> None:
    assert is_remote(path)
    assert redacted(path) == expected, why
    assert redacted(expected) == expected
    assert not any(secret in redacted(path) for secret in SECRETS)


@pytest.mark.parametrize("path", ["a?b#c.tif", "/data/x@y/a.tif", "C:\\a.tif", "/vsizip/a.zip/b?c.tif", "/vsimem/a?b"])
def test_a_local_path_is_shown_as_it_is(path: str) -> None:
    assert not is_remote(path)
    assert redacted(path) == identity(path) == path


def test_addresses_in_a_text_lose_their_secrets_and_the_text_stays() -> None:
    text = "'/vsicurl/http://alice:pw@h/a.tif?X-Amz-Signature=abc' does not exist; see https://h/b?sv=abc for more"
    assert redact(text) == "'/vsicurl/http://h/a.tif' does not exist; see https://h/b for more"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("https://alice:pw@h/a b.tif?sig=abc", "'/vsicurl/https://alice:pw@h/a b.tif?sig=abc' is no file", "whole"),
        ("https://h/d/a.tif?sig=pw/abc", "'a.tif?sig=pw/abc' not recognized", "by its last part alone, as GDAL does"),
        ("https://h/d/a.tif?next=/a.tif&sig=abc", "a.tif?next=/a.tif&sig=abc is no file", "its name once more"),
        ("zip+https://alice:pw@h/a.zip!in.tif", "zip+https://alice:pw@h/a.zip!in.tif is no file", "in an archive"),
    ],
)
def test_a_text_about_one_address_loses_its_secrets(path: str, text: str, expected: str) -> None:
    assert not any(secret in redact(text, path) for secret in SECRETS), expected


def test_a_text_about_a_local_file_stays() -> None:
    assert redact("what?x.tif is no file", "d/what?x.tif") == "what?x.tif is no file"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("folder/scene.tif", "scene.tif"),
        ("https://host/scene.tif?sig=KEY/of/mine", "scene.tif"),
        ("/vsizip/a.zip/scene.tif", "scene.tif"),
        ("scene.tif", "scene.tif"),
        ("folder/what?.tif", "what?.tif"),
    ],
)
def test_a_scene_is_called_by_its_name_alone(path: str, name: str) -> None:
    assert name_of(path) == name


def test_every_network_of_gdal_is_remote() -> None:
    """Nothing cheap tells whether a file there has changed."""
    assert all(
        map(is_remote, ("/vsihdfs/host/a.tif", "/vsiwebhdfs/http://h/a.tif", "zip+s3://b/a.zip", "gs://b/a.tif"))
    )


@pytest.mark.parametrize(
    ("one", "other", "same", "why"),
    [
        ("https://h/a?X-Amz-Signature=1&X-Amz-Date=2", "https://h/a?X-Amz-Signature=3&X-Amz-Date=4", True, "S3"),
        ("https://h/a?sv=1&sig=x&se=2", "https://h/a?sv=1&sig=y&se=3", True, "Azure"),
        ("https://u:1@h/a", "https://u:2@h/a", True, "another password"),
        ("https://h/a?id=1", "https://h/a?id=2", False, "the query names the file"),
        ("https://h/a?id=1&token=x", "https://h/a?token=y&id=1", True, "in another order, by another token"),
        ("https://h/a", "https://h/b", False, "another name"),
        ("https://h/a?size=1", "https://h/a?size=2", False, "no parameter of Azure's"),
    ],
)
def test_scenes_are_told_apart_without_their_secrets(one: str, other: str, same: bool, why: str) -> None:
    assert (identity(one) == identity(other)) is same, why


def test_tracebacks_hold_no_secret() -> None:
    path = "https://alice:pw@h/a b.tif?X-Amz-Signature=abc"
    error = RasterioIOError(f"'/vsicurl/{path}'")
    error.__cause__ = OSError(f"GET {path} failed")
    redact_error(error, path)
    assert str(error) == "'/vsicurl/https://h/a b.tif'"
    assert str(error.__cause__) == "GET https://h/a b.tif failed"


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    assert gdal_options() == DEFAULTS
    monkeypatch.setitem(os.environ, "GDAL_HTTP_MAX_RETRY", "9")
    with rasterio.Env(GDAL_HTTP_RETRY_DELAY=7):
        assert gdal_options().keys() == DEFAULTS.keys() - {"GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_RETRY_DELAY"}


def pauses(path: str, words: str) -> list[float]:
    return [pause for attempt in range(1, 9) if (pause := retry_pause(path, words, attempt)) is not None]


def test_how_long_is_waited() -> None:
    assert pauses("a.tif", "a.tif: No such file or directory") == []
    assert 0 < sum(pauses("a.tif", "Read error")) <= 0.5
    assert pauses("https://h/a.tif", "HTTP response code: 404") == [0.0], "GDAL may remember an old answer"
    assert 1 < sum(pauses("https://h/a.tif", "HTTP response code: 503")) < 5


def test_advice_is_for_remote_files() -> None:
    assert advice("a.tif", "Read error") == ""
    assert "AWS_ACCESS_KEY_ID" in advice("s3://b/a.tif", "HTTP response code: 403")
    assert "check the address" in advice("https://h/a.tif", "HTTP response code: 404")
