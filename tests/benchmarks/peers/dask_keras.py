"""The map with Dask arrays: blocks with a margin of a chip, cut into chips and predicted by Keras, on threads."""

from __future__ import annotations

import sys

import dask.array as da
import keras
import numpy as np
import rasterio
from class_raster import write_classes

BLOCK = 512

scene, model_file, _, stride, output = sys.argv[1:]
step = int(stride)
model = keras.models.load_model(model_file, compile=False)


def classes(block: np.ndarray) -> np.ndarray:
    """Those of the windows that fit into a block and begin before its margin."""
    windows = np.lib.stride_tricks.sliding_window_view(block, (64, 64), axis=(0, 1))[::step, ::step]
    rows, cols = windows.shape[:2]
    chips = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 64, 64, block.shape[2])
    found = [model.predict_on_batch(chips[start : start + 256]).argmax(axis=1) for start in range(0, len(chips), 256)]
    return np.concatenate(found).astype(np.uint8).reshape(rows, cols)


with rasterio.open(scene) as file:
    values = file.read().transpose(1, 2, 0)
margin = 64 - step
whole = da.from_array(values, chunks=(BLOCK, BLOCK, -1)).astype(np.float32) / 10_000
depth = {0: (0, margin), 1: (0, margin), 2: 0}
blocks = da.overlap.overlap(whole, depth=depth, boundary="none", allow_rechunk=False)
sizes = [tuple((length - 64) // step + 1 for length in lengths) for lengths in blocks.chunks[:2]]
mapped = blocks.map_blocks(classes, dtype=np.uint8, drop_axis=2, chunks=tuple(sizes), meta=np.empty((0, 0), np.uint8))
write_classes(output, scene, mapped.compute(scheduler="threads"), step)
