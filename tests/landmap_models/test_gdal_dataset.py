"""Rasters without a place are opened in silence, and the process keeps its warnings."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from landmap_models.gdal_dataset import open_dataset, ungeoreferenced_allowed


@pytest.fixture
def placeless(tmp_path: Path) -> Path:
    path = tmp_path / "placeless.tif"
    with open_dataset(path, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8") as file:
        file.write(np.ones((1, 4, 4), np.uint8))
    return path


def test_it_is_opened_in_silence_and_nothing_else_is(placeless: Path) -> None:
    before = list(warnings.filters)
    with open_dataset(placeless) as file:
        assert file.read().all()
    assert list(warnings.filters) == before
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(placeless):
        pass
    with ungeoreferenced_allowed(), pytest.warns(UserWarning, match="something else"):
        warnings.warn("something else", UserWarning, stacklevel=1)


def test_other_threads_are_warned_meanwhile(placeless: Path) -> None:
    found: list[str] = []

    def user() -> None:
        try:
            with rasterio.open(placeless):
                found.append("silence")
        except NotGeoreferencedWarning:
            found.append("a warning")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ungeoreferenced_allowed():
            thread = threading.Thread(target=user)
            thread.start()
            thread.join()
    assert found == ["a warning"]


def test_threads_that_overlap_leave_the_filters_as_they_were(placeless: Path) -> None:
    before = list(warnings.filters)
    second, first_left = threading.Event(), threading.Event()

    def late() -> None:
        with ungeoreferenced_allowed():
            second.set()
            first_left.wait(20)
            with rasterio.open(placeless):
                pass

    thread = threading.Thread(target=late)
    with ungeoreferenced_allowed():
        thread.start()
        second.wait(20)
    first_left.set()
    thread.join()
    assert list(warnings.filters) == before


def test_a_users_own_context_is_put_back(placeless: Path) -> None:
    """Entered within ours and left after it, it puts back the list that ours was in."""
    before = list(warnings.filters)
    users = warnings.catch_warnings()
    with ungeoreferenced_allowed():
        users.__enter__()
    assert list(warnings.filters) == before
    users.__exit__(None, None, None)
    assert list(warnings.filters) == before


LIGHT = """
import warnings
import numpy, rasterio, affine, click, PIL.Image, pyproj
before = list(warnings.filters)
import landmap.cli, landmap.scene.source, landmap.batch.run, landmap.accuracy.assess, landmap.maps.summarize
import landmap.maps.regions, landmap.run.classify
import landmap_models.datasets.files
assert list(warnings.filters) == before, set(map(str, warnings.filters)) ^ set(map(str, before))
"""
ALL = """
import importlib, pkgutil, warnings
import landmap, landmap_models
from rasterio.errors import NotGeoreferencedWarning
for package in (landmap, landmap_models):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
warnings.simplefilter("error", append=True)
try:
    warnings.warn("no place", NotGeoreferencedWarning)
except NotGeoreferencedWarning:
    print("told")
"""


@pytest.mark.parametrize("code", [LIGHT, ALL])
def test_importing_silences_nothing(code: str) -> None:
    """Keras, SciPy and others add filters of their own, so of all modules only ours are asked for."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert code == LIGHT or done.stdout.strip() == "told"
