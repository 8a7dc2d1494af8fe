"""What is compared adds up, whatever the machine; how fast it is, is for `make bench` to tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from brute_force import BruteForce, brute_force

from landmap.bench.run import write_bench_scene
from landmap.inference.plan import make_plan
from landmap_models.model_file.packaged import packaged_models

pytestmark = pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bench_scene(tmp_path_factory.mktemp("synthetic") / "scene.tif", 600)


def test_the_map_by_brute_force_is_that_in_one_pass(scene: Path) -> None:
    found = brute_force(make_plan(scene, chunk=256), "float32", crop=128, dense_windows_per_second=5000)
    assert isinstance(found, BruteForce)
    assert (found.height, found.width, found.chips) == (128, 128, 81)
    assert found.float32_difference == found.difference < 1e-5
    assert found.other_class == 0
    assert found.keras_ratio == pytest.approx(5000 / (found.chips / found.keras_seconds))
    assert found.function_ratio == pytest.approx(5000 / (found.chips / found.function_seconds))


def test_without_overlap_there_is_nothing_to_compare(scene: Path) -> None:
    found = brute_force(make_plan(scene, stride=64), "float32", crop=128, dense_windows_per_second=1)
    assert found == "the scene itself is predicted chip by chip: windows do not overlap"
