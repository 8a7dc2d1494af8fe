"""Speed and memory as ratios measured in one run: `make bench`. LANDMAP_BENCH_SIZE=10980 for a full scene."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from landmap.example import write_example
from landmap_models.keras_classifier import load_classifier, load_model
from landmap_models.packaged import find_model

SIZE = int(os.environ.get("LANDMAP_BENCH_SIZE", "5490"))
MEASURE = """
import resource, sys, time
from landmap import classify
start = time.perf_counter()
classify(sys.argv[1], sys.argv[2], stride=64, overwrite=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - start, peak)
"""


def mirrored(folder: Path, size: int) -> Path:
    """A tiled DEFLATE scene of any size: one example scene, mirrored side by side, so that the joints do not show."""
    small = write_example(folder / "small.tif", 1024, overwrite=True).scene
    with rasterio.open(small) as file:
        values, profile = file.read([3, 2, 1]), file.profile
    values[:, :, -200:] = values[:, :, -400:-200][:, :, ::-1]  # over the nodata wedge
    path = folder / f"scene_{size}.tif"
    profile.update(count=3, height=size, width=size, bigtiff="IF_SAFER")
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions = ("B04", "B03", "B02")
        file.update_tags(PROCESSING_LEVEL="Level-1C")
        for i, row in enumerate(range(0, size, 1024)):
            for j, col in enumerate(range(0, size, 1024)):
                tile = values[:, :: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
                height, width = min(1024, size - row), min(1024, size - col)
                file.write(tile[:, :height, :width], window=Window(col, row, width, height))
    return path


def run(scene: Path, cover: Path) -> tuple[float, float]:
    """Seconds (start of TensorFlow included) and peak resident memory in MB of a process that classifies a scene."""
    done = subprocess.run([sys.executable, "-c", MEASURE, scene, cover], capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def bench_memory_is_bounded_by_the_chunk(tmp_path: Path) -> None:
    """A scene of four times the pixels needs hardly more memory."""
    quarter, whole = (run(mirrored(tmp_path, size), tmp_path / "cover.tif") for size in (SIZE // 2, SIZE))
    for size, (seconds, peak) in ((SIZE // 2, quarter), (SIZE, whole)):
        print(f"\n{size} px: {seconds:.1f} s with the start of TensorFlow, peak {peak:.0f} MB")
    assert whole[1] < 1.3 * quarter[1]


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


@pytest.mark.parametrize("stride", [64, 16])
def bench_share_of_prediction(benchmark: Any, stride: int, tmp_path: Path) -> None:
    """How much of a whole run is prediction alone: 1 would be perfect overlap of everything else."""
    import landmap

    scene = mirrored(tmp_path, 2048)
    landmap.classify(scene, tmp_path / "cover.tif", stride=64)
    seconds = []

    class Timed:
        card = load_classifier(find_model("default")).card

        def predict(self, chips: Any) -> Any:
            start = time.perf_counter()
            try:
                return load_classifier(find_model("default")).predict(chips)
            finally:
                seconds.append(time.perf_counter() - start)

    def whole() -> None:
        seconds.clear()
        landmap.classify(scene, tmp_path / "cover.tif", stride=stride, classifier=Timed(), overwrite=True)

    benchmark.pedantic(whole, rounds=2)
    print(f"\nstride {stride}: prediction is {sum(seconds) / benchmark.stats.stats.data[-1]:.2f} of the whole")
