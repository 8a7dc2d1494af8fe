"""Checkpoints of a training after each epoch, so that one that is killed loses only the current epoch."""

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
    """A callback that logs each epoch, saves the last state and the best weights, and stops early.

    `last.weights.h5` holds weights and optimiser, which counts its steps, so that one atomic replacement stores both
    the state and the number of epochs. The log, and the best weights under the number of their epoch, are written
    before it and used up to that number only: a kill between two files mixes nothing.

    Must come before `SwapEMAWeights`: at the end of a validation the averaged weights are then still in the model.
    """

    def __init__(self, folder: Path, patience: int = 0) -> None:
        """Prepare for one phase.

        Args:
            folder: Folder of the phase, which is made if it does not exist.
            patience: Number of epochs without a lower validation loss after which the training stops; 0: it never stops
                early, and no best weights are kept.
        """
        super().__init__()
        folder.mkdir(exist_ok=True)
        self.folder, self.patience = folder, patience
        self.log: list[LogRow] = []
        """Losses and metrics, one row for each whole epoch."""
        self._epoch = 0
        self._start = 0.0

    @property
    def losses(self) -> list[float]:
        """The validation loss of each whole epoch."""
        return [row["val_loss"] for row in self.log]

    @property
    def is_stalled(self) -> bool:
        """Whether the last `patience` epochs brought no lower loss."""
        return bool(self.patience and self.log) and len(self.log) - 1 - self._best_epoch() >= self.patience

    def restore(self, model: keras.Model, steps: int) -> int:
        """Restore the state of a killed training.

        Args:
            model: Compiled model, whose weights and optimiser are set.
            steps: Number of batches in an epoch.

        Returns:
            The number of whole epochs that are done.
        """
        if not (self.folder / LAST).exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / LAST)
        done = int(model.optimizer.iterations.numpy()) // steps
        self.log = json.loads((self.folder / HISTORY).read_text())[:done]
        return done

    def load_best(self, model: keras.Model) -> None:
        """Load the weights of the lowest validation loss into a compiled model."""
        model.load_weights(self._best_path(self._best_epoch()))

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start to measure the time of the epoch."""
        self._epoch, self._start = epoch, time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Save the validated weights, if their loss is the lowest so far."""
        if self.patience and (logs or {})["loss"] < min(self.losses, default=math.inf):
            self._save(self._best_path(self._epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the epoch, save the state, and stop the training if it is stalled.

        Raises:
            ModelError: The loss is not finite. Earlier checkpoints stay.
        """
        row = {name: float(value) for name, value in (logs or {}).items()}
        lost = [name for name in ("loss", "val_loss") if not math.isfinite(row[name])]
        if lost:
            raise ModelError(
                f"Epoch {epoch + 1}: expected a finite {lost[0]}. Received: {row[lost[0]]}. Train again with a lower "
                "learning rate"
            )
        rate = float(self.model.optimizer.learning_rate)
        self.log.append(row | {"learning_rate": rate, "seconds": time.monotonic() - self._start})
        self._write_log()
        self._save(self.folder / LAST)
        for path in self.folder.glob("best-*.weights.h5"):
            if path != self._best_path(self._best_epoch()):
                path.unlink()
        if self.is_stalled:
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
