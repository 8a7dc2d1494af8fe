"""Training needs no TensorFlow: the same networks learn where Keras runs on JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TRAINING = """
import sys
from pathlib import Path

import keras
import numpy as np
from landmap_models.architectures import ArchitectureOptions
from landmap_models.architectures.layout import in_precision
from landmap_models.architectures.shape import NetworkShape
from landmap_models.training.fit import fit
from landmap_models.training.network import make_network
from landmap_models.training.settings import TrainSettings


class Batches(keras.utils.PyDataset):
    class_weights = None

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
        return (rng.random((4, 64, 64, 3), dtype=np.float32) * 0.3), labels

    def start_epoch(self, epoch):
        pass


settings = TrainSettings(epochs=1, head_epochs=1, unfreeze=1, patience=1, **SETTINGS)
keras.utils.set_random_seed(1)
network = make_network(NetworkShape(3), settings, ("B04", "B03", "B02"), ("a", "b", "c"))
learner = in_precision(network, "mixed_bfloat16")
log = fit(learner, Batches(), Batches(), settings, Path(sys.argv[1]), verbose=0)
assert [row["phase"] for row in log] == ["head", "fine-tune"], log
assert all(np.isfinite(row["loss"]) for row in log), log
network.set_weights(learner.get_weights())
network.save(Path(sys.argv[1]) / "network.keras")
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""
NETWORKS = {
    "compact": {"architecture": "compact", "filters": (8, 8, 8, 8)},
    "compact-d4": {"architecture": "compact-d4", "filters": (1, 2, 2, 2, 3)},
    "cnn": {"architecture": "cnn", "dropout": 0.2},
}


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed: it is no dependency, only a choice")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_on_jax(name: str, tmp_path: Path) -> None:
    code = f"SETTINGS = {NETWORKS[name]!r}\n{TRAINING}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["jax", "False"]
    assert (tmp_path / "network.keras").is_file()
