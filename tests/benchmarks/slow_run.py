"""A run that takes a few seconds, to be killed: `python slow_run.py SCENE COVER [WORKERS]`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import landmap
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import ModelCard

CARD = replace(FAKE_CARD, weights_sha256="3" * 64)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Slow:
    """Answers by the brightness of a chip, after a while."""

    card: ModelCard = CARD

    def predict(self, chips: Floats) -> Floats:
        """A class for each chip."""
        time.sleep(0.01)
        classes = (chips.mean(axis=(1, 2, 3)) * 1000).astype(int) % len(self.card.legend)
        return np.eye(len(self.card.legend), dtype=np.float32)[classes]


if __name__ == "__main__":
    scene, cover, *workers = sys.argv[1:]
    where = {"workers": int(workers[0])} if workers else {}
    print(landmap.classify(scene, cover, classifier=Slow(), stride=64, chunk=64, **where).reused)
