"""The map as a Keras user would draw it first: all chips in one array, `model.predict`."""

from __future__ import annotations

import sys

import numpy as np
import rasterio
from class_raster import write_classes

scene, model_file, _, stride, output = sys.argv[1:]
step = int(stride)

import keras  # noqa: E402 # a script reads its arguments first

with rasterio.open(scene) as file:
    values = file.read().transpose(1, 2, 0).astype(np.float32) / 10_000
windows = np.lib.stride_tricks.sliding_window_view(values, (64, 64), axis=(0, 1))[::step, ::step]
rows, cols = windows.shape[:2]
chips = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 64, 64, values.shape[2])
answers = keras.models.load_model(model_file, compile=False).predict(chips, batch_size=256, verbose=0)
write_classes(output, scene, answers.argmax(axis=1).reshape(rows, cols), step)
