"""Scenes made for tests, and where the real ones lie."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

from landmap_models.inference.classifier import FAKE_CARD, Classifier
from landmap_models.model_file.card import ModelCard

# Machines differ in speed; examples are the same in every run, so that a failure is never a matter of luck.
settings.register_profile("landmap", deadline=None, derandomize=True)
settings.load_profile("landmap")

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
WriteScene = Callable[..., Path]
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the cache, in place of the user's own: one for all the processes of pytest-xdist and of tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDMAP_CACHE", str(folder))
        yield folder


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """A function that writes `values (bands, height, width)` as a GeoTIFF in the test's own folder."""

    def write(values: npt.NDArray[Any], name: str = "scene.tif", **profile: Any) -> Path:
        bands = profile.pop("bands", ("B04", "B03", "B02"))
        tags = profile.pop("tags", {})
        path = tmp_path / name
        defaults = {"driver": "GTiff", "crs": "EPSG:32633", "transform": UTM, "dtype": values.dtype.name}
        shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2]}
        with rasterio.open(path, "w", **defaults | shape | profile) as file:
            file.write(values)
            file.descriptions = bands[: values.shape[0]]
            file.update_tags(**tags)
        return path

    return write


@pytest.fixture
def write_band() -> Callable[..., Path]:
    """A function that writes `values (height, width)` as a file of one band, without loss; JPEG2000 if named so."""

    def write(path: Path, values: npt.NDArray[Any], metres: float = 10, **profile: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        lossless = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "blockxsize": 64, "blockysize": 64}
        defaults = lossless if path.suffix == ".jp2" else {"driver": "GTiff"}
        tags, description = profile.pop("tags", {}), profile.pop("description", "")
        place = {"crs": "EPSG:32633", "transform": UTM @ Affine.scale(metres / 10)} | profile
        shape = {"count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": values.dtype.name}
        with rasterio.open(path, "w", **defaults | place | shape) as file:
            file.write(values, 1)
            if tags:
                file.update_tags(**tags)
            if description:
                file.descriptions = [description]
        return path

    return write


@pytest.fixture
def ordinary() -> Callable[..., npt.NDArray[np.uint16]]:
    """A function that draws DN like those of an L1C scene, `(3, height, width)` in the order B04, B03, B02."""

    def draw(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint16]:
        rng = np.random.default_rng(seed)
        land = rng.gamma(4, 120, (1, height, width))
        return (land + np.array([350, 550, 800])[:, None, None] + rng.normal(0, 20, (3, height, width))).astype(
            np.uint16
        )

    return draw


@dataclass(frozen=True)
class _Sensitive:
    """The classifier of `sensitive`."""

    card: ModelCard = FAKE_CARD

    def predict(self, chips: Floats) -> Floats:
        classes = (chips.mean(axis=(1, 2, 3), dtype=np.float64) * 20_000).astype(int) % len(self.card.legend)
        return np.eye(len(self.card.legend), dtype=np.float32)[classes]


@pytest.fixture
def sensitive() -> Classifier:
    """A classifier whose classes depend on every pixel of a chip."""
    return _Sensitive()


class _Listener(logging.Handler):
    """Passes each line on, as it comes."""

    def __init__(self, listener: Callable[[str], Any], level: int) -> None:
        super().__init__(level)
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        self._listener(record.getMessage())


@pytest.fixture
def hear() -> Iterator[Callable[..., None]]:
    """A function that has a listener called with each line that landmap logs from level INFO on, or another level."""
    log, handlers = logging.getLogger("landmap"), list[logging.Handler]()
    before = log.level

    def listen(listener: Callable[[str], Any], level: int = logging.INFO) -> None:
        handlers.append(_Listener(listener, level))
        log.addHandler(handlers[-1])
        log.setLevel(logging.INFO)

    yield listen
    log.setLevel(before)
    for handler in handlers:
        log.removeHandler(handler)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, as in a program of its own; a process of pytest-xdist ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; the test is skipped where it is missing."""
    folder = Path(os.environ.get("LANDMAP_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data not found: LANDMAP_SHARED does not point to a folder with data/ ({folder})")
    return folder / "data"
