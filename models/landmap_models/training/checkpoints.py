"""What a training keeps on disk after every epoch, so that a kill costs no more than the epoch it is in."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import keras

from landmap_models.errors import ModelError
from landmap_models.publish import published

LogRow = dict[str, Any]
LAST = "last.weights.h5"
HISTORY = "history.json"


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
    """Logs each epoch, saves the last state and the best weights, and stops when waiting is in vain.

    `last.weights.h5` has weights and optimiser, which counts its steps, so that one atomic replacement says both what
    was learnt and up to which epoch. The log, and the best weights by their epoch's number, are written before it, and
    believed up to that epoch only: a kill between two files mixes nothing.

    Must come before `SwapEMAWeights`: at the end of a validation the averaged weights are then still in the model.
    """

    def __init__(self, folder: Path, patience: int = 0) -> None:
        """Prepare for one phase.

        Args:
            folder: Of the phase; made if it is not there.
            patience: Stop after so many epochs without a lower validation loss; 0: never, and keep no best weights.
        """
        super().__init__()
        folder.mkdir(exist_ok=True)
        self.folder, self.patience = folder, patience
        self.log: list[LogRow] = []
        """One row of losses and metrics for each whole epoch."""
        self._epoch = 0
        self._start = 0.0

    @property
    def losses(self) -> list[float]:
        """The validation loss of each whole epoch."""
        return [row["val_loss"] for row in self.log]

    @property
    def in_vain(self) -> bool:
        """Whether the last `patience` epochs brought no lower loss."""
        return bool(self.patience and self.log) and len(self.log) - 1 - self._best_epoch() >= self.patience

    def restore(self, model: keras.Model, steps: int) -> int:
        """Bring a compiled model to where a killed training was.

        Args:
            model: Gets weights and optimiser.
            steps: Batches an epoch.

        Returns:
            The number of whole epochs.
        """
        if not (self.folder / LAST).exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / LAST)
        done = int(model.optimizer.iterations.numpy()) // steps
        self.log = json.loads((self.folder / HISTORY).read_text())[:done]
        return done

    def load_best(self, model: keras.Model) -> None:
        """Give a compiled model the weights of the lowest validation loss."""
        model.load_weights(self._best_path(self._best_epoch()))

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start the clock."""
        self._epoch, self._start = epoch, time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Save the weights that were validated, if none were better."""
        if self.patience and (logs or {})["loss"] < min(self.losses, default=math.inf):
            self._save(self._best_path(self._epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the epoch, save the state, and say whether to stop.

        Raises:
            ModelError: The loss is no number any more. What was saved before stays.
        """
        row = {name: float(value) for name, value in (logs or {}).items()}
        lost = [name for name in ("loss", "val_loss") if not math.isfinite(row[name])]
        if lost:
            raise ModelError(
                f"Epoch {epoch + 1}: expected a finite {lost[0]}. Received: {row[lost[0]]}. Train anew with a lower "
                "learning rate"
            )
        rate = float(self.model.optimizer.learning_rate)
        self.log.append(row | {"learning_rate": rate, "seconds": time.monotonic() - self._start})
        self._write_log()
        self._save(self.folder / LAST)
        for path in self.folder.glob("best-*.weights.h5"):
            if path != self._best_path(self._best_epoch()):
                path.unlink()
        if self.in_vain:
            self.model.stop_training = True

    def _best_epoch(self) -> int:
        return self.losses.index(min(self.losses))

    def _best_path(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.weights.h5"

    def _write_log(self) -> None:
        with published(self.folder / HISTORY) as history:
            history.write_text(json.dumps(self.log))

    def _save(self, path: Path) -> None:
        with published(path) as weights:
            self.model.save_weights(weights)
