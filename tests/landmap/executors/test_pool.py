"""Chunks in a pool of `concurrent.futures`: the bytes of threads, and no more in work than is allowed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import landmap
from landmap.errors import ClusterError
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier, ConstantClassifier


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., np.ndarray]) -> Path:
    return write_scene(ordinary(320, 260))


class Counted(ThreadPoolExecutor):
    """Remembers how many calls were not finished at the same time, at most."""

    most, running = 0, 0

    def submit(self, *call: Any, **named: Any) -> Future[Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        future = super().submit(*call, **named)
        future.add_done_callback(lambda _: setattr(self, "running", self.running - 1))
        return future


def test_a_pool_gives_the_bytes_of_threads(scene: Path, tmp_path: Path, sensitive: Classifier) -> None:
    how: dict[str, Any] = {"classifier": sensitive, "stride": 32, "chunk": 64}
    landmap.classify(scene, tmp_path / "threads.tif", **how)
    with Counted(2) as pool:
        result = landmap.classify(scene, tmp_path / "pool.tif", executor=landmap.PoolExecutor(pool, most=3), **how)
    assert result.plan.num_chunks > 10
    assert pool.most <= 3
    assert (tmp_path / "pool.tif").read_bytes() == (tmp_path / "threads.tif").read_bytes()


class Wrong(ConstantClassifier):
    def predict(self, chips: Any) -> Any:
        return super().predict(chips)[:1]


def test_what_a_chunk_raises_ends_the_run(scene: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ModelError, match="expected probabilities"):
        landmap.classify(scene, tmp_path / "c.tif", executor=landmap.PoolExecutor(pool), classifier=Wrong(), stride=32)


class Broken(ThreadPoolExecutor):
    def submit(self, *call: Any, **named: Any) -> Future[Any]:
        raise BrokenExecutor("a child process terminated abruptly")


def test_a_broken_pool_is_named(scene: Path, tmp_path: Path, sensitive: Classifier) -> None:
    with Broken(1) as pool, pytest.raises(ClusterError, match=r"pool whose processes live.*abruptly"):
        landmap.classify(
            scene, tmp_path / "c.tif", executor=landmap.PoolExecutor(pool), classifier=sensitive, stride=32
        )
