"""Scenes behind real servers, sound ones and broken ones: the map of the local file, or one clear line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.io
import rasterio.shutil

import landmap
from landmap.errors import LandmapError, ReadError
from landmap.io import remote
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

# rasterio warns of what it takes for a file without georeference; landmap looks again.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 200, 230
WHOLE = "scene_L1C.tif"
LARGE = "large_L1C.tif"
"""The same, followed by what nobody needs."""
SECRETS = ("alice", "pa55word", "X-Amz", "5ignature")
RESUMABLE = ConstantClassifier(5, replace(FAKE_CARD, weights_sha256="5" * 64))
"""A classifier whose chunks are kept."""
SERVER = Path(__file__).with_name("range_server.py")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "pa55word"}


@dataclass(frozen=True)
class Web:
    """A folder, and the server of its files."""

    folder: Path
    port: int

    def at(self, fault: str, times: int = 1, *, name: str = WHOLE, secret: bool = False) -> str:
        """The address of a file that is served by a fault; see `range_server`."""
        user, query = ("alice:pa55word@", "?X-Amz-Signature=5ignature") if secret else ("", "")
        return f"http://{user}127.0.0.1:{self.port}/{fault}/{times}/{name}{query}"

    def log(self) -> list[dict[str, str]]:
        """Requests so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log") as answer:
            return list(json.load(answer))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A COG of one band's worth of gaps: pixels without data, many tags, a directory of several kB."""
    folder = tmp_path_factory.mktemp("web")
    rng = np.random.default_rng(1)
    values = rng.integers(300, 3000, (3, HEIGHT, WIDTH)).astype("uint16")
    values[:, 40:70, 50:100] = 0
    with rasterio.open(
        folder / "plain.tif", "w", driver="GTiff", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6),
        dtype="uint16", count=3, height=HEIGHT, width=WIDTH, nodata=0,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = ("B04", "B03", "B02")
        file.update_tags(BOA_ADD_OFFSET="-1000", **{f"NOTE_{i}": "word " * 40 for i in range(20)})
    rasterio.shutil.copy(folder / "plain.tif", folder / WHOLE, driver="COG", blocksize=64, compress="deflate")
    (folder / LARGE).write_bytes((folder / WHOLE).read_bytes() + bytes(2**21))
    server = subprocess.Popen([sys.executable, SERVER, folder], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    yield Web(folder, int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, and no credentials but those that a test sets."""
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.01))
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    for name in [name for name in os.environ if name.startswith(("AWS_", "GS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CPL_AWS_AUTODETECT_EC2", "NO")
    monkeypatch.setenv("CPL_MACHINE_IS_GCE", "NO")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


Draw = Callable[..., bytes]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A function that classifies a scene in several chunks and returns the bytes of cover and confidence."""

    def of(scene: str | Path, **options: Any) -> bytes:
        output, confidence = tmp_path / "cover.tif", tmp_path / "confidence.tif"
        landmap.classify(scene, output, confidence=confidence, classifier=ConstantClassifier(5), chunk=64, **options)
        files = sorted(tmp_path.iterdir())
        drawn = b"".join(file.name.encode() + file.read_bytes() for file in files)
        for file in files:
            file.unlink()
        return drawn

    return of


@pytest.mark.parametrize(
    ("fault", "times", "why"),
    [
        ("ok", 0, "a sound server"),
        ("503", 2, "out of order twice"),
        ("429", 1, "too many requests"),
        ("drop", 2, "half of a body, twice"),
        ("reset", 2, "no answer, twice"),
        ("whole", 999, "ranges are ignored"),
        ("404", 1, "an answer that GDAL would remember"),
    ],
)
def test_the_map_is_that_of_the_local_file(web: Web, draw: Draw, fault: str, times: int, why: str) -> None:
    assert draw(web.at(fault, times)) == draw(web.folder / WHOLE), why


def test_each_block_is_fetched_once(web: Web, draw: Draw) -> None:
    """By the plan's sample, 36 chunks and their margins, which overlap by as much as they own."""
    size, name = 768, "blocks.tif"
    values = np.random.default_rng(2).integers(300, 3000, (3, size, size)).astype("uint16")
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "interleave": "band"}
    with rasterio.open(
        web.folder / name, "w", driver="GTiff", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6),
        dtype="uint16", count=3, height=size, width=size, nodata=0, **tiled,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = ("B04", "B03", "B02")
    expected = draw(web.folder / name, level="L1C", offset=0)
    assert draw(web.at("ok", 0, name=name), level="L1C", offset=0) == expected
    asked = [r["Range"].removeprefix("bytes=") for r in web.log() if r["path"].endswith(name) and "Range" in r]
    ranges = [range(int(first), int(last) + 1) for first, _, last in (text.partition("-") for text in asked)]
    stored = (web.folder / name).stat().st_size
    fetched = np.zeros(stored + 2**20, np.uint8)
    for part in ranges:
        fetched[part.start : part.stop] += 1
    assert (fetched[:stored] > 0).all(), "the whole map was made"
    assert sum(map(len, ranges)) < 1.25 * stored, "whole kilobytes around a block, and the header twice"
    assert len(ranges) < 2 * 27, "27 blocks"


def test_a_header_cut_short_anywhere_changes_nothing(web: Web) -> None:
    """GDAL takes what came of a directory, or of the table of its blocks, for the whole: fewer tags, zero blocks."""
    local = landmap.open_scene(web.folder / WHOLE, card=FAKE_CARD)
    everything = Window(0, 0, HEIGHT, WIDTH)
    expected = local.read(everything)
    for size in range(100, 6300, 350):
        scene = landmap.open_scene(web.at(f"cut-{size}"), card=FAKE_CARD)
        source = replace(scene.source, path=local.source.path, opens=local.source.opens)
        assert replace(scene, source=source) == local, size
        got = scene.read(everything)
        np.testing.assert_array_equal(got.values, expected.values)
        np.testing.assert_array_equal(got.valid, expected.valid)


def wrong_reads(web: Web, attempt: int) -> list[int]:
    """Sizes of a header that was cut short by which pixels are read wrong, on a worker that has not planned.

    Args:
        web: The server.
        attempt: Another number, other addresses.
    """
    window = Window(0, 0, HEIGHT, WIDTH)
    local = landmap.open_scene(web.folder / WHOLE, card=FAKE_CARD)
    expected, wrong = local.read(window), []
    for size in (*range(100, 5800, 300), *range(5800, 6300, 16)):
        address = web.at(f"cut-{size}").replace("/1/", f"/{'0' * attempt}1/")
        got = replace(local, source=replace(local.source, path=address, opens=address)).read(window)
        if not (np.array_equal(got.values, expected.values) and np.array_equal(got.valid, expected.valid)):
            wrong.append(size)
    return wrong


def test_a_chunk_read_by_a_cut_header_is_right(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong_reads(web, 1) == []
    monkeypatch.setattr("landmap.scene.raster_source._check_blocks", lambda *_: None)
    assert wrong_reads(web, 2), "without the check, blocks whose place was not delivered are taken for nodata"


def test_a_mask_that_is_no_longer_there_is_told_of(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LOCAL_PAUSES", (0.0,))
    path = tmp_path / "masked.tif"
    with rasterio.open(web.folder / "plain.tif") as file:
        profile, values = file.profile | {"nodata": None}, file.read()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "w", **profile) as file:
        file.write(values)
        file.descriptions = ("B04", "B03", "B02")
        file.write_mask((values[0] > 0).astype("uint8") * 255)
    scene, window = landmap.open_scene(path, card=FAKE_CARD), Window(0, 0, HEIGHT, WIDTH)
    assert not scene.read(window).valid.all()
    path.with_name("masked.tif.msk").unlink()
    with pytest.raises(ReadError, match="it has changed since it was planned with"):
        scene.read(window)


@pytest.mark.parametrize(
    ("fault", "match", "why"),
    [
        ("404", r"404.*check the address$", "nothing there"),
        ("403", r"403.*AWS_ACCESS_KEY_ID.*AWS_NO_SIGN_REQUEST", "no access"),
        ("401", r"401.*GDAL_HTTP_USERPWD", "no access"),
        ("500", r"500.*\(3 attempts\)\. The server or the connection failed: try again later", "out of order"),
        ("503", r"503.*\(3 attempts\)\. The server", "out of order"),
        ("drop", r"\(3 attempts\)\. The server or the connection failed", "half of each body"),
        ("reset", r"Empty reply from server \(3 attempts\)\. The server", "no answer"),
        ("stall", r"(?i)(too slow|timed? ?out).*The server or the connection failed", "silence"),
    ],
)
def test_one_clear_line(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, match: str, why: str
) -> None:
    if fault == "stall":
        monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
        monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with pytest.raises(ReadError, match=match) as caught:
        landmap.classify(web.at(fault, 999, secret=True), tmp_path / "cover.tif", classifier=ConstantClassifier(5))
    text = str(caught.value)
    assert text.startswith(web.at(fault, 999)), why
    assert len(text.splitlines()) == 1
    assert not [secret for secret in SECRETS if secret in text]
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ranges(web: Web, tmp_path: Path) -> None:
    """A small file comes whole, as above; of a large one GDAL will not take all for the sake of a part."""
    with pytest.raises(ReadError, match=r"can't send parts of a file: download it first$"):
        landmap.classify(web.at("whole", 999, name=LARGE), tmp_path / "cover.tif", classifier=ConstantClassifier(5))
    assert list(tmp_path.iterdir()) == []


def test_no_such_host(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"Could not resolve host.*Check the address and the network$"):
        landmap.classify("https://nowhere.invalid/a.tif", tmp_path / "cover.tif", classifier=ConstantClassifier(5))
    assert list(tmp_path.iterdir()) == []


class StopError(Exception):
    """Ends a run in the middle."""


def stop(done: int, total: int) -> None:
    """After half of the pixels."""
    if done > total / 2:
        raise StopError


def test_secrets_are_used_and_stored_nowhere(web: Web, tmp_path: Path) -> None:
    address = web.at("ok", secret=True)
    output = tmp_path / "cover.tif"
    how: dict[str, Any] = {"classifier": RESUMABLE, "chunk": 64, "probabilities": tmp_path / "all.tif"}
    with pytest.raises((StopError, LandmapError)):
        landmap.classify(address, output, progress=stop, **how)
    kept = list((tmp_path / "cover.tif.landmap").iterdir())
    assert len(kept) > 1
    assert_no_secret(tmp_path)
    result = landmap.classify(address.replace("5ignature", "renewed"), output, **how)
    assert result.reused, "the same scene by another signature"
    assert_no_secret(tmp_path)
    told = json.dumps(result.plan.to_dict()) + repr(result)
    assert not [secret for secret in SECRETS if secret in told]
    with rasterio.open(output) as file:
        assert file.tags()["LANDMAP_SCENE"] == WHOLE
    mine = [request for request in web.log() if request["path"].endswith("X-Amz-Signature=renewed")]
    assert mine, "the signature was sent"
    assert all(request["Authorization"].startswith("Basic ") for request in mine), "user and password were sent"


def assert_no_secret(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [secret for secret in (*SECRETS, "renewed") if secret.encode() in content], file


def test_the_command_line_shows_no_secret(web: Web, tmp_path: Path) -> None:
    """The plan works; the other scene is broken, and even GDAL's messages and a traceback show nothing."""
    code = "from landmap.cli import main; main()"
    found = []
    for arguments in (
        ("plan", web.at("ok", secret=True), "--json"),
        ("--debug", "classify", "-v", web.at("503", 999, secret=True), "-o", tmp_path / "cover.tif"),
    ):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        found.append(subprocess.run(command, capture_output=True, text=True, timeout=100, check=False))
    planned, failed = found
    assert json.loads(planned.stdout)["scene"]["path"] == web.at("ok")
    assert failed.returncode == 1
    assert "ReadError" in failed.stderr
    shown = "".join(done.stdout + done.stderr for done in found)
    assert not [secret for secret in SECRETS if secret in shown]
    assert list(tmp_path.iterdir()) == []


def test_s3_by_gdals_own_environment(web: Web, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without boto3, against a server that speaks as much of S3 as GDAL reads by: paths, ranges, signed requests."""
    monkeypatch.setenv("AWS_S3_ENDPOINT", f"127.0.0.1:{web.port}")
    monkeypatch.setenv("AWS_HTTPS", "NO")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "FALSE")
    with pytest.raises(ReadError, match=r"^s3://bucket/scene_L1C\.tif: .*AWS_ACCESS_KEY_ID"):
        draw(f"s3://bucket/{WHOLE}")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    drawn = draw(f"s3://bucket/{WHOLE}")
    assert drawn == draw(web.folder / WHOLE)
    assert KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in drawn
    assert KEYS["AWS_ACCESS_KEY_ID"].encode() not in drawn
    signed = [r["Authorization"] for r in web.log() if r["path"].startswith("/bucket/") and "Authorization" in r]
    assert signed
    assert all(s.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") and "Signature=" in s for s in signed)


def test_gs_by_gdals_own_environment(web: Web, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("CPL_GS_ENDPOINT", f"http://127.0.0.1:{web.port}/")
    with pytest.raises(ReadError, match=r"403.*GS_NO_SIGN_REQUEST"):
        draw(f"gs://bucket/{WHOLE}")
    monkeypatch.delenv("GS_NO_SIGN_REQUEST")
    monkeypatch.setenv("GS_ACCESS_KEY_ID", "GOOGEXAMPLE")
    monkeypatch.setenv("GS_SECRET_ACCESS_KEY", "pa55word")
    assert draw(f"gs://bucket/{WHOLE}") == draw(web.folder / WHOLE)


@pytest.fixture
def s3(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Moto's server with the scene in a bucket."""
    program = os.environ.get("MOTO_SERVER") or shutil.which("moto_server")
    if not program:
        pytest.skip("moto's server is not installed: pip install 'moto[server]'")
    with subprocess.Popen([program, "-p", "0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr
        port = next(line.rsplit(":", 1)[1].strip() for line in server.stderr if "Running on" in line)
        for key, body in (("", b""), (f"/{WHOLE}", (web.folder / WHOLE).read_bytes())):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/bucket{key}", body, {"Content-Type": "image/tiff"}, method="PUT"
            )
            urllib.request.urlopen(request, timeout=20).close()
        reach = {"AWS_S3_ENDPOINT": f"127.0.0.1:{port}", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
        for name, value in (KEYS | reach).items():
            monkeypatch.setenv(name, value)
        yield
        server.kill()


@pytest.mark.usefixtures("s3")
def test_s3_of_moto(web: Web, draw: Draw) -> None:
    assert draw(f"s3://bucket/{WHOLE}") == draw(web.folder / WHOLE)
    with pytest.raises(ReadError, match="check the address"):
        draw("s3://bucket/missing.tif")


def test_a_local_read_that_fails_twice_and_then_works(web: Web, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network's file system that stumbles, here in the middle of the run."""
    expected = draw(web.folder / WHOLE)
    monkeypatch.setattr(remote, "LOCAL_PAUSES", (0.0, 0.0))
    read, failures = rasterio.io.DatasetReader.read, []

    def stumbling(self: Any, *args: Any, **options: Any) -> Any:
        if failures and failures.pop():
            raise rasterio.errors.RasterioIOError("Input/output error")
        return read(self, *args, **options)

    def stumble_once(done: int, total: int) -> None:
        if not told:
            failures.extend([True, True])
        told.append(done)

    told: list[int] = []
    monkeypatch.setattr(rasterio.io.DatasetReader, "read", stumbling)
    assert draw(web.folder / WHOLE, progress=stumble_once, threads=1) == expected
    assert len(told) > 2
    assert not failures, "it has stumbled"
