"""The map with chips from xbatcher, predicted by Keras in batches."""

from __future__ import annotations

import sys
from itertools import islice

import keras
import numpy as np
import rioxarray
import xbatcher
from class_raster import write_classes

scene, model_file, _, stride, output = sys.argv[1:]
step = int(stride)
array = rioxarray.open_rasterio(scene).transpose("y", "x", "band").astype("float32").load() / 10_000
generator = xbatcher.BatchGenerator(
    array, input_dims={"y": 64, "x": 64}, input_overlap={"y": 64 - step, "x": 64 - step} if step < 64 else {}
)
model = keras.models.load_model(model_file, compile=False)
chips, found = iter(generator), []
while batch := [chip.values for chip in islice(chips, 256)]:
    found.append(model.predict_on_batch(np.stack(batch)).argmax(axis=1))
rows, cols = ((size - 64) // step + 1 for size in array.shape[:2])
write_classes(output, scene, np.concatenate(found).reshape(rows, cols), step)
