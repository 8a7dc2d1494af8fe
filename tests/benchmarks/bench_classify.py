"""Speed and memory as ratios measured in one run: `make bench`. LANDMAP_BENCH_SIZE=10980 for a full scene.

`landmap bench` prints the numbers behind them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import BruteForce, brute_force

from landmap.bench.result import Bench, Whole
from landmap.bench.run import bench, precision_of, run_whole, write_bench_scene
from landmap.cli.show import print_bench
from landmap.inference.plan import make_plan
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.inference.loading import load_model
from landmap_models.inference.tensorflow import fast_precision, find_device
from landmap_models.model_file.packaged import find_model

SIZE = int(os.environ.get("LANDMAP_BENCH_SIZE", "5490"))
FASTER_THAN_KERAS, FASTER_THAN_FUNCTION = 40, 25
"""Windows that the dense network predicts while each way of brute force does one, at least."""
OVERLAP = 1.35
"""The whole run in terms of its slowest step, at most."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


CROP = 512
"""Height and width in pixels of what brute force predicts: 3249 windows at a stride of 8; 160 MB of chips."""


@pytest.fixture(scope="module")
def measured(folder: Path) -> Bench:
    """The largest scene; it stays in the folder."""
    found = bench(size=SIZE, keep=folder)
    print()
    print_bench(found)
    return found


@pytest.fixture(scope="module")
def brute(measured: Bench, folder: Path) -> BruteForce:
    """The middle of the largest scene, chip by chip."""
    plan, rate = make_plan(folder / "scene.tif"), measured.steps.windows_per_second
    found = brute_force(plan, precision_of(measured.whole), CROP, rate)
    assert isinstance(found, BruteForce), found
    return found


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[int, Whole]:
    """Whole runs of scenes of a quarter, a half and all of the size, in the same precision."""
    precision, found = fast_precision(find_device("auto")), {}
    for size, tries in ((SIZE // 4, 2), (SIZE // 2, 2), (SIZE, 1)):
        plan = make_plan(write_bench_scene(folder / f"scene_{size}.tif", size), precision=precision)
        found[size] = min(
            (run_whole(plan, folder / "cover.tif", overwrite=True) for _ in range(tries)), key=lambda run: run.seconds
        )
    return found


def bench_cost_is_linear(runs: dict[int, Whole]) -> None:
    """Each Mpx more takes as long in a large scene as in a small one; what a run takes once, cancels out."""
    (small, quarter), (half, part), (large, whole) = runs.items()
    for size, run in runs.items():
        print(f"\n{size} px: {run.seconds:.1f} s, {run.seconds / (size**2 / 1e6):.3f} s/Mpx", end="")
    first = (part.seconds - quarter.seconds) / (half**2 - small**2) * 1e6
    second = (whole.seconds - part.seconds) / (large**2 - half**2) * 1e6
    print(f"\nseconds for each Mpx more: {first:.3f} up to {half} px, {second:.3f} up to {large} px")
    assert abs(second / first - 1) <= 0.15


def bench_memory_is_bounded_by_the_chunk(runs: dict[int, Whole]) -> None:
    """A scene of four times the pixels needs hardly more memory."""
    _, quarter, whole = runs.values()
    print(f"\npeak of {SIZE // 2} px: {quarter.peak_bytes / 1e6:.0f} MB, of {SIZE} px: {whole.peak_bytes / 1e6:.0f} MB")
    assert whole.peak_bytes < 1.3 * quarter.peak_bytes


def bench_dense_against_brute_force(brute: BruteForce) -> None:
    """The dense network against the same model on each window cut out, in two obvious ways."""
    print(f"\nagainst model.predict {brute.keras_ratio:.1f} ({brute.keras_chips_per_second:.0f} chips/s)")
    print(f"against a batched tf.function {brute.function_ratio:.1f} ({brute.function_chips_per_second:.0f} chips/s)")
    print(f"largest difference of a probability {brute.difference:.1e}; other class {100 * brute.other_class:.3f} %")
    assert brute.float32_difference < 1e-5
    assert brute.keras_ratio >= FASTER_THAN_KERAS
    assert brute.function_ratio >= FASTER_THAN_FUNCTION


def bench_steps_overlap(measured: Bench) -> None:
    """All else is hidden behind the slowest step."""
    print(f"\nthe whole is {measured.share:.2f} of {measured.steps.slowest} alone")
    assert measured.share <= OVERLAP


def bench_fixed_batches_against_keras_predict(benchmark: Any) -> None:
    """Chips a second of the classifier, as a multiple of `keras.Model.predict` on the same chips."""
    path = find_model("default")
    classifier, model = load_classifier(path), load_model(path)
    chips = np.random.default_rng(0).random((2048, 64, 64, 3), dtype=np.float32) * 0.3
    model.predict(chips[:256], batch_size=256, verbose=0)
    start = time.perf_counter()
    model.predict(chips, batch_size=256, verbose=0)
    slow = time.perf_counter() - start
    benchmark.pedantic(classifier.predict, (chips,), rounds=3, warmup_rounds=1)
    fast = benchmark.stats.stats.min
    print(f"\nclassifier {2048 / fast:.0f} chips/s, model.predict {2048 / slow:.0f} chips/s: ratio {slow / fast:.2f}")
