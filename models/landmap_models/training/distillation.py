"""Distillation: the probabilities of a larger network, the teacher, are labels (Hinton et al. 2015, arXiv 1503.02531).

They hold more than the name of the class of a chip. A teacher is nearly certain of the chips that it was trained on;
its logits are divided by a temperature, so that its second choice counts, too.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.augment import Augment
from landmap_models.datasets.chips import ChipBatches, ChipFolder
from landmap_models.errors import ModelError
from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard, task_of
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import published
from landmap_models.training.calibration import logits_of

BATCH = 256


def check_teacher(teacher: str, chips: ChipFolder) -> ModelCard:
    """Read the card of a teacher, and check that it fits the chips.

    Args:
        teacher: Packaged name or `.keras` file.
        chips: The chips of the training part.

    Raises:
        ModelError: The teacher can't be read, or has other classes, another task, or bands or a size that the chips
            lack.
    """
    card = read_card(find_model(teacher))
    task = task_of(multi_label=chips.multi_label)
    if set(card.legend.names) != set(chips.class_names):
        raise ModelError(
            f"{teacher}: expected a teacher of the classes {', '.join(chips.class_names)}. "
            f"Received: {', '.join(card.legend.names)}"
        )
    if card.task != task:
        raise ModelError(f"{teacher}: expected a {task} teacher, as the chips are. Received: {card.task}")
    size = chips.subset(np.arange(1)).reflectance().shape[1:3]
    if size != (card.chip_size, card.chip_size) or not set(card.band_names) <= set(chips.bands):
        raise ModelError(
            f"{teacher}: expected a teacher of chips of {size[0]}x{size[1]} px and of bands out of "
            f"{', '.join(chips.bands)}. Received: {card.chip_size} px, {', '.join(card.band_names)}"
        )
    return card


def soft_labels(
    teacher: str, chips: ChipFolder, share: float = 1.0, temperature: float = 1.0, views: int = 4
) -> Floats:
    """Predict labels by a teacher, averaged over turned views, and mix them with the true classes.

    Args:
        teacher: Packaged name or `.keras` file; see `check_teacher`.
        chips: The chips of the training part.
        share: Weight of the teacher, 0 to 1; the rest is that of the true class.
        temperature: Number by which its logits are divided: above 1 its probabilities are flatter.
        views: Number of quarter turns that are averaged, 1 to 4.

    Returns:
        Labels `(n, classes)`; rows sum to 1 where a chip has one class.

    Raises:
        ModelError: The teacher does not fit, see `check_teacher`.
    """
    card, model = check_teacher(teacher, chips), load_model(find_model(teacher))
    out = np.empty((len(chips), len(card.legend)), np.float32)
    for start in range(0, len(chips), BATCH):
        part = np.arange(start, min(start + BATCH, len(chips)))
        values = chips.subset(part).reflectance()[..., _places(card, chips)]
        turned = [model.predict_on_batch(np.rot90(values, k, axes=(1, 2)).copy()) for k in range(views)]
        out[part] = np.mean(turned, axis=0)
    return _blended(out, chips.targets(), card, chips, share, temperature)


def _places(card: ModelCard, chips: ChipFolder) -> list[int]:
    return [chips.bands.index(name) for name in card.band_names]


def _blended(
    probabilities: Floats, labels: Floats, card: ModelCard, chips: ChipFolder, share: float, temperature: float
) -> Floats:
    """Mix the probabilities of a teacher at a temperature, in the order of the classes of the chips, with labels."""
    from scipy.special import expit, softmax

    logits = logits_of(probabilities, multi_label=chips.multi_label) / temperature
    softened = expit(logits) if chips.multi_label else softmax(logits, axis=1)
    order = [card.legend.names.index(name) for name in chips.class_names]
    blended: Floats = (share * softened[:, order] + (1 - share) * labels).astype(np.float32)
    return blended


class PatientTeacher:
    """A teacher that labels augmented chips as the student receives them (function matching).

    After Beyer et al. 2022 (arXiv 2106.05237): a teacher has learnt the original chips by heart, and its probabilities
    of augmented ones hold more. Labelling costs more than training, so that there are `views` sets of augmented chips;
    each is labelled when it is first needed, and kept. Straddling windows are cut afterwards and share labels by area:
    a map needs the share of a class in a window, not the class that a teacher finds most striking in it.
    """

    def __init__(
        self,
        teacher: str,
        batches: ChipBatches,
        afterwards: Augment,
        folder: Path,
        views: int,
        *,
        share: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        """Prepare the lessons.

        Args:
            teacher: Packaged name or `.keras` file; see `check_teacher`.
            batches: Batches of the training part, augmented, with the seed of the batches of the student.
            afterwards: Augmentation of chips and labels after they are labelled.
            folder: Folder that keeps the labels.
            views: Number of sets of augmented chips.
            share: Weight of the teacher, as in `soft_labels`.
            temperature: Temperature of its probabilities, as in `soft_labels`.
        """
        self.views = views
        self.afterwards = afterwards
        self._teacher = teacher
        self._batches = batches
        self._folder = folder
        self._share = share
        self._temperature = temperature
        self._lock = Lock()
        self._kept: dict[int, Floats] = {}

    def answers(self, view: int) -> Floats:
        """Labels of a set, `(n, classes)`, in the order of its batches. Several threads may call this at once."""
        with self._lock:
            if view not in self._kept:
                path = self._folder / f"teacher-{view}.npy"
                if not path.exists():
                    with published(path) as answers:
                        np.save(answers, self._labelled(view))
                self._kept[view] = np.load(path)
            return self._kept[view]

    def _labelled(self, view: int) -> Floats:
        chips = self._batches.chips
        card, model = check_teacher(self._teacher, chips), load_model(find_model(self._teacher))
        self._batches.start_epoch(view)
        predicted, labels = [], []
        for index in range(len(self._batches)):
            batch = self._batches[index]
            predicted.append(model.predict_on_batch(batch[0][..., _places(card, chips)]))
            labels.append(batch[1])
        return _blended(np.concatenate(predicted), np.concatenate(labels), card, chips, self._share, self._temperature)
