"""Scenes stay open while they are read, are the same files still, and no block is decoded twice."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

import landmap
from landmap.inference.chunking import chunk_shape, reading_order
from landmap.inference.plan import make_plan
from landmap.inference.work import chunk_work
from landmap.io import reading as open_files
from landmap.io.reading import MOST, close_files, is_slow, keeping_open, open_file, sharing_files
from landmap.io.remote import uncached
from landmap.tiling import Chunk
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier

Values = npt.NDArray[np.uint16]
WriteBand = Callable[..., Path]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_files()


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened."""
    counted: Counter[str] = Counter()
    really = rasterio.open

    def count(path: str, *arguments: Any, **keywords: Any) -> Any:
        counted[str(path)] += 1
        return really(path, *arguments, **keywords)

    monkeypatch.setattr(rasterio, "open", count)
    return counted


def values(seed: int = 0, size: int = 200) -> Values:
    return np.random.default_rng(seed).integers(1, 3000, (size, size), np.uint16)


def read(path: object, row: int = 0, col: int = 0, size: int = 50) -> Values:
    with open_file(str(path)) as file:
        found: Values = file.read(1, window=RasterWindow(col, row, size, size))
        return found


def test_a_slow_file_is_opened_once(write_band: WriteBand, tmp_path: Path, opens: Counter[str]) -> None:
    written, path = values(), write_band(tmp_path / "B04.jp2", values())
    opens.clear()
    with keeping_open():
        for row in (0, 30, 150):
            np.testing.assert_array_equal(read(path, row, 20), written[row : row + 50, 20:70])
    assert opens[str(path)] == 1
    for _ in range(2):
        read(path)
    assert opens[str(path)] == 3, "kept only where that is asked for"


def test_other_files_stay_open_as_long_as_a_chunk_is_read(
    write_band: WriteBand, tmp_path: Path, opens: Counter[str]
) -> None:
    path = write_band(tmp_path / "B04.tif", values())
    opens.clear()
    for _ in range(2):
        with keeping_open():
            read(path), read(path)
            with open_file(str(path)) as file:
                assert not file.closed
        assert file.closed
    assert opens[str(path)] == 2


def test_shared_files_are_closed_at_the_end_of_the_outermost_context(write_band: WriteBand, tmp_path: Path) -> None:
    path = str(write_band(tmp_path / "B04.jp2", values()))
    with sharing_files():
        with sharing_files(), keeping_open(), open_file(path) as file:
            pass
        assert not file.closed, "a run goes on with what its plan has read"
    assert file.closed


def test_past_the_caches_it_is_opened_anew(write_band: WriteBand, tmp_path: Path) -> None:
    path = str(write_band(tmp_path / "B04.jp2", values()))
    with keeping_open():
        with open_file(path) as first:
            pass
        with uncached(), open_file(path) as other:
            pass
        with open_file(path) as kept:
            assert kept is other
    assert first.closed


def bytes_read() -> int:
    """Bytes that this process has read from files so far."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        pytest.skip("the system does not count what a process reads")
    return int(counts.read_text().split()[1])


@pytest.mark.parametrize(("ending", "least", "most"), [("jp2", 1.0, 1.25), ("tif", 3.0, 12.0)])
def test_blocks_are_decoded_once_from_the_plan_to_the_last_chunk(
    write_band: WriteBand, tmp_path: Path, ordinary: Callable[..., Any], ending: str, least: float, most: float
) -> None:
    """A block is read from the disk each time that it is decoded; 25 chunks overlap by as much as they own.

    By its name the file is JPEG 2000, in which GDAL would read more than a block at a time; by its content it is not.
    """
    tiled = {"driver": "GTiff", "tiled": True, "blockxsize": 128, "blockysize": 128}
    for name, band in zip(("B04", "B03", "B02"), ordinary(640, 640), strict=True):
        write_band(tmp_path / "set" / f"T33TWM_20210813T100031_{name}.{ending}", band, **tiled)
    stored = sum(file.stat().st_size for file in (tmp_path / "set").iterdir())

    def read_all() -> int:
        before = bytes_read()
        with sharing_files():
            plan = make_plan(tmp_path / "set", card=FAKE_CARD, level="L1C", offset=0, chunk=128)
            work = chunk_work(plan, keep_probabilities=False)
            for chunk in plan.chunks():
                work.read(chunk)
        return bytes_read() - before

    read_all()  # and modules
    assert least < read_all() / stored < most


@pytest.mark.parametrize(
    ("path", "slow"),
    [
        ("/data/T33TWM_B04_10m.JP2", True),
        ("/vsizip/{/data/product.SAFE.zip}/IMG_DATA/B04.jp2", True),
        ("<VRTDataset><SourceFilename>/data/B04.jp2</SourceFilename></VRTDataset>", True),
        ("/data/scene.tif", False),
        ("/vsicurl/https://host/scene.tif", True),
        ("s3://bucket/B04.jp2", True),
    ],
)
def test_slow_files_are_known_by_their_names(path: str, slow: bool) -> None:
    assert is_slow(path) is slow


def test_a_file_that_has_changed_is_read_anew(write_band: WriteBand, tmp_path: Path) -> None:
    path, other = write_band(tmp_path / "B04.jp2", values(0)), write_band(tmp_path / "other.jp2", values(1, 220))
    with keeping_open():
        read(path)
        shutil.copy(other, path)
        np.testing.assert_array_equal(read(path, 160, 160), values(1, 220)[160:210, 160:210])


def test_in_an_archive_the_archive_counts(write_band: WriteBand, tmp_path: Path, opens: Counter[str]) -> None:
    archive = tmp_path / "product.SAFE.zip"
    name = f"/vsizip/{{{archive}}}/IMG_DATA/B04.jp2"
    for seed in (0, 1):
        band = write_band(tmp_path / "B04.jp2", values(seed))
        with zipfile.ZipFile(archive, "w") as into:
            into.write(band, "IMG_DATA/B04.jp2")
            into.writestr("longer", "x" * seed)
        opens.clear()
        with keeping_open():
            read(name)
            np.testing.assert_array_equal(read(name), values(seed)[:50, :50])
        assert opens[name] == 1


def test_after_an_error_it_is_opened_anew(write_band: WriteBand, tmp_path: Path, opens: Counter[str]) -> None:
    path = write_band(tmp_path / "B04.jp2", values())
    opens.clear()
    with keeping_open():
        with pytest.raises(IndexError), open_file(str(path)) as file:
            file.read(7)
        assert file.closed
        read(path)
        path.write_bytes(b"no picture")
        with pytest.raises(RasterioError):
            read(path)
    assert opens[str(path)] == 3


def test_only_the_last_few_stay_open(write_band: WriteBand, tmp_path: Path) -> None:
    kept = []
    with keeping_open():
        for number in range(MOST + 2):
            with open_file(str(write_band(tmp_path / f"{number}.jp2", values()))) as file:
                kept.append(file)
    assert [file.closed for file in kept] == [True, True, *[False] * MOST]
    close_files()
    assert all(file.closed for file in kept)


def test_threads_take_turns(write_band: WriteBand, tmp_path: Path) -> None:
    paths = [write_band(tmp_path / f"{seed}.jp2", values(seed)) for seed in range(MOST + 1)]

    def one(number: int) -> bool:
        seed, row, col = number % len(paths), number * 7 % 150, number * 13 % 150
        with keeping_open():
            return np.array_equal(read(paths[seed], row, col), values(seed)[row : row + 50, col : col + 50])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(120)))


@pytest.fixture
def product(write_band: WriteBand, tmp_path: Path, ordinary: Callable[..., Any]) -> Path:
    for name, band in zip(("B04", "B03", "B02"), ordinary(300, 300), strict=True):
        write_band(tmp_path / "set" / f"T33TWM_20210813T100031_{name}.jp2", band)
    return tmp_path / "set"


def test_a_run_opens_a_product_once_and_closes_it(product: Path, tmp_path: Path, opens: Counter[str]) -> None:
    how: dict[str, Any] = {"classifier": ConstantClassifier(), "level": "L1C", "offset": 0, "chunk": 64, "threads": 2}
    plan = make_plan(product, card=FAKE_CARD, **{key: how[key] for key in ("level", "offset", "chunk")})
    opens.clear()
    result = landmap.classify(product, tmp_path / "cover.tif", **how)
    assert plan.num_chunks == 25
    for_planning = 10
    assert sum(number for path, number in opens.items() if ".jp2" in path) < for_planning
    assert not open_files._slow_files
    assert result.nodata_pixels == 0


def test_what_stays_in_memory_is_part_of_the_plan(product: Path) -> None:
    plan = make_plan(product, level="L1C", offset=0)
    source = replace(plan.scene.source, geobox=replace(plan.scene.geobox, height=9000, width=9000))
    shapes = [
        chunk_shape(replace(plan.scene, source=s), plan.grid, plan.card, plan.method, plan.settings, itemsize=4)
        for s in (source, replace(source, opens="scene.tif"))
    ]
    assert max(shapes[0]) < min(shapes[1])


def met(chunks: list[Chunk], plan: Any, remembered: int) -> int:
    """Number of blocks that are decoded if so many of those that were met last are remembered."""
    rows, cols = plan.scene.source.block_shape
    cache: OrderedDict[tuple[int, int], None] = OrderedDict()
    decoded = 0
    for chunk in chunks:
        window = plan.grid.read_window(chunk)
        for row in range(window.row_off // rows, -(-(window.row_off + window.height) // rows)):
            for col in range(window.col_off // cols, -(-(window.col_off + window.width) // cols)):
                decoded += (row, col) not in cache
                cache[row, col] = None
                cache.move_to_end((row, col))
                while len(cache) > remembered:
                    cache.popitem(last=False)
    return decoded


def test_chunks_are_read_in_strips_as_wide_as_memory_allows(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(product, card=FAKE_CARD, level="L1C", offset=0, chunk=128)
    source = replace(
        plan.scene.source, geobox=replace(plan.scene.geobox, height=1280, width=2560), block_shape=(64, 64)
    )
    plan = replace(plan, scene=replace(plan.scene, source=source), grid=replace(plan.grid, height=1280, width=2560))
    chunks, block = list(plan.chunks()), 64 * 64 * 2 * 3
    everything = 20 * 40
    assert reading_order(chunks, plan.scene, plan.grid) == chunks, "a whole row fits"
    for blocks, most in ((200, 1.0), (80, 1.25)):
        monkeypatch.setattr(open_files, "SLOW_CACHE_BYTES", blocks * block)
        ordered = reading_order(chunks, plan.scene, plan.grid)
        assert sorted(ordered, key=lambda chunk: chunk.index) == chunks
        assert met(ordered, plan, blocks) <= most * everything
    assert met(chunks, plan, 80) > 1.6 * everything
    local = replace(plan.scene, source=replace(source, opens="scene.tif"))
    assert reading_order(chunks, local, plan.grid) == chunks
