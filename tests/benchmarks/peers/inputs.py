"""What all peers are given, made by landmap: `python inputs.py FOLDER SIZE` writes scene.tif and network.npz there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from landmap.bench.run import write_bench_scene
from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.packaged import find_model

folder, size = Path(sys.argv[1]), int(sys.argv[2])
write_bench_scene(folder / "scene.tif", size, overwrite=True)
path = find_model("default")
weights = [values for layer in load_model(path).layers for values in layer.get_weights()]
upper = read_card(path).reflectance_range[1]
np.savez(folder / "network.npz", *weights, upper=np.float32(upper))
