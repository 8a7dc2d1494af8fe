"""Labels from a teacher: a larger network's probabilities say more of a chip than the name of its class.

Hinton et al. 2015 (arXiv 1503.02531). A teacher is nearly certain of the chips that it was trained on; its logits are
divided by a temperature, so that what it holds for second best can be heard.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.augment import Augment
from landmap_models.datasets.chips import ChipBatches, ChipFolder
from landmap_models.errors import ModelError
from landmap_models.inference.keras_classifier import load_model
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import ModelCard, task_of
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import published
from landmap_models.training.calibration import logits_of

BATCH = 256


def check_teacher(teacher: str, chips: ChipFolder) -> ModelCard:
    """The card of a teacher that can teach these chips.

    Args:
        teacher: Packaged name or `.keras` file.
        chips: What is to be learnt.

    Raises:
        ModelError: It can't be read, or has other classes, another task, or bands or a size that the chips lack.
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
    """The teacher's probabilities, averaged over turned views, mixed with the true classes.

    Args:
        teacher: Packaged name or `.keras` file; see `check_teacher`.
        chips: The training part.
        share: Weight of the teacher; the rest is the true class.
        temperature: Above 1 the teacher's probabilities are flatter, for the rest of the classes too.
        views: Quarter turns that are averaged, 1 to 4.

    Returns:
        `(n, classes)`; rows sum to 1 where a chip has one class.

    Raises:
        ModelError: As `check_teacher`.
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
    """A teacher's probabilities at a temperature, in the chips' order of classes, mixed with their labels."""
    from scipy.special import expit, softmax

    logits = logits_of(probabilities, multi_label=chips.multi_label) / temperature
    softened = expit(logits) if chips.multi_label else softmax(logits, axis=1)
    order = [card.legend.names.index(name) for name in chips.class_names]
    blended: Floats = (share * softened[:, order] + (1 - share) * labels).astype(np.float32)
    return blended


class PatientTeacher:
    """Judges every augmented chip as the student sees it: both see the same picture (function matching).

    After Beyer et al. 2022 (arXiv 2106.05237): a teacher that judges the untouched chip knows it by heart; of mixed and
    changed ones it says more. Judging costs more than learning, so that there are `views` sets of augmented chips;
    each is judged when it is first needed, and then kept. Straddling windows are cut afterwards, and share the answers
    by area: a map needs the share of a class in a window, not the class that a teacher finds most striking in it.
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
            batches: The training part, augmented, without lessons; with the seed that the student's batches have.
            afterwards: What is done to chips and answers once they are judged.
            folder: Where answers are kept.
            views: Number of sets.
            share: See `soft_labels`.
            temperature: See `soft_labels`.
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
        """Labels of a set, `(n, classes)`, in the order of its batches. Any thread may ask."""
        with self._lock:
            if view not in self._kept:
                path = self._folder / f"teacher-{view}.npy"
                if not path.exists():
                    with published(path) as answers:
                        np.save(answers, self._judge(view))
                self._kept[view] = np.load(path)
            return self._kept[view]

    def _judge(self, view: int) -> Floats:
        chips = self._batches.chips
        card, model = check_teacher(self._teacher, chips), load_model(find_model(self._teacher))
        self._batches.start_epoch(view)
        said, labels = [], []
        for index in range(len(self._batches)):
            batch = self._batches[index]
            said.append(model.predict_on_batch(batch[0][..., _places(card, chips)]))
            labels.append(batch[1])
        return _blended(np.concatenate(said), np.concatenate(labels), card, chips, self._share, self._temperature)
