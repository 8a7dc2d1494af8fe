"""Labels from a teacher that is made up: what it says of a chip is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.datasets.chips import ChipBatches, ChipFolder, open_chips
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import legend_for
from landmap_models.model_file.card import ModelCard
from landmap_models.training import distillation as module
from landmap_models.training.distillation import PatientTeacher, check_teacher, soft_labels

Floats = npt.NDArray[np.float32]
CARD = dataclasses.replace(FAKE_CARD, name="teacher", legend=legend_for(("striped", "dark", "bright")))


class Teacher:
    """Sure of "dark" by how dark the upper left corner is; the rest is shared by the others."""

    def __init__(self) -> None:
        self.seen: list[npt.NDArray[Any]] = []

    def predict_on_batch(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.seen.append(chips)
        dark = 0.8 - chips[:, 0, 0, 0]
        return np.stack([(1 - dark) / 4, dark, 3 * (1 - dark) / 4], axis=1).astype(np.float32)


@pytest.fixture
def chips(chip_zip: Path) -> ChipFolder:
    return open_chips(chip_zip).subset(np.arange(0, 90, 10))


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Teacher:
    made = Teacher()
    monkeypatch.setattr(module, "find_model", Path)
    monkeypatch.setattr(module, "read_card", lambda path: CARD)
    monkeypatch.setattr(module, "load_model", lambda path: made)
    monkeypatch.setattr(module, "BATCH", 4)
    return made


def turned_means(chips: ChipFolder) -> npt.NDArray[np.float32]:
    """What the teacher says on average of the four corners, in the chips' order of classes: bright, dark, striped."""
    corners = chips.reflectance()[:, [0, 0, -1, -1], [0, -1, 0, -1], 0]
    dark = 0.8 - corners.mean(axis=1)
    return np.stack([3 * (1 - dark) / 4, dark, (1 - dark) / 4], axis=1)


def test_views_are_averaged_and_classes_matched_by_name(teacher: Teacher, chips: ChipFolder) -> None:
    found = soft_labels("t.keras", chips)
    assert found == pytest.approx(turned_means(chips), abs=1e-5)
    assert found.dtype == np.float32
    assert len(teacher.seen) == 3 * 4, "three batches, four views"
    assert not np.array_equal(teacher.seen[0], teacher.seen[1])


def test_the_share_of_the_teacher_and_its_temperature(teacher: Teacher, chips: ChipFolder) -> None:
    p = turned_means(chips)
    flat = np.sqrt(p) / np.sqrt(p).sum(axis=1, keepdims=True)
    found = soft_labels("t.keras", chips, share=0.7, temperature=2.0)
    assert found == pytest.approx(0.7 * flat + 0.3 * chips.targets(), abs=1e-5)
    assert soft_labels("t.keras", chips, share=0.0) == pytest.approx(chips.targets(), abs=1e-6)


def test_several_classes_a_chip_keep_probabilities_of_their_own(
    teacher: Teacher, chips: ChipFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_card", lambda path: dataclasses.replace(CARD, task="multi-label"))
    several = dataclasses.replace(chips, labels=tuple((0, 1) for _ in chips.files), multi_label=True)
    odds = turned_means(chips) / (1 - turned_means(chips))
    found = soft_labels("t.keras", several, temperature=2.0)
    assert found == pytest.approx(np.sqrt(odds) / (1 + np.sqrt(odds)), abs=1e-5)


def test_a_teacher_sees_its_own_bands_only(
    teacher: Teacher, chips: ChipFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = dataclasses.replace(CARD, bands=(CARD.bands[2], CARD.bands[0]))
    monkeypatch.setattr(module, "read_card", lambda path: red)
    soft_labels("t.keras", chips)
    assert np.array_equal(teacher.seen[0], chips.reflectance()[:4, :, :, [2, 0]])


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (dataclasses.replace(CARD, legend=legend_for(("a", "b"))), r"classes bright, dark, striped. Received: a, b"),
        (dataclasses.replace(CARD, task="multi-label"), "expected a single-label teacher.*Received: multi-label"),
        (dataclasses.replace(CARD, chip_size=32), r"64x64 px and of bands out of B04, B03, B02. Received: 32 px"),
        (dataclasses.replace(CARD, bands=(*CARD.bands, dataclasses.replace(CARD.bands[0], name="B08"))), "B02, B08"),
    ],
)
def test_a_teacher_of_something_else_is_refused(
    card: ModelCard, words: str, teacher: Teacher, chips: ChipFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_card", lambda path: card)
    with pytest.raises(ModelError, match=words):
        check_teacher("t.keras", chips)


# A teacher that sees what the student sees.


def brighter(chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Random light; labels are spoilt, so that it shows where they are used."""
    return chips + rng.random((len(chips), 1, 1, 1), dtype=np.float32) * 0.1, labels * 0 + 1 / 3


def halved(chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    return chips / 2, labels / 2


@pytest.fixture
def lesson(teacher: Teacher, chips: ChipFolder, tmp_path: Path) -> Callable[..., tuple[ChipBatches, PatientTeacher]]:
    """A function that makes the student's batches and the teacher of two views."""

    def make(**settings: Any) -> tuple[ChipBatches, PatientTeacher]:
        judged = ChipBatches(chips, 4, brighter, seed=5)
        patient = PatientTeacher("t.keras", judged, halved, tmp_path, 2, **settings)
        return ChipBatches(chips, 4, brighter, seed=5, lessons=patient), patient

    return make


def test_the_teacher_judges_the_very_pictures_that_the_student_sees(
    lesson: Callable[..., tuple[ChipBatches, PatientTeacher]], teacher: Teacher
) -> None:
    batches, _ = lesson()
    for epoch in (0, 1, 2, 3):
        batches.start_epoch(epoch)
        for index in range(3):
            values, labels = batches[index][:2]
            dark = 0.8 - 2 * values[:, 0, 0, 0]  # what was done afterwards, undone
            expected = np.stack([3 * (1 - dark) / 4, dark, (1 - dark) / 4], axis=1) / 2
            assert labels == pytest.approx(expected, abs=1e-5)
    assert len(teacher.seen) == 2 * 3, "two views of three batches, each judged once"


def test_epochs_go_through_the_views_again_and_again(
    lesson: Callable[..., tuple[ChipBatches, PatientTeacher]],
) -> None:
    batches, _ = lesson()
    first = []
    for epoch in range(4):
        batches.start_epoch(epoch)
        first.append(batches[0][0])
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[1], first[3])
    assert not np.array_equal(first[0], first[1])


def test_answers_are_kept_and_mixed_with_the_labels(
    lesson: Callable[..., tuple[ChipBatches, PatientTeacher]], teacher: Teacher
) -> None:
    (_, patient), (_, again) = lesson(), lesson(share=0.0)
    assert np.array_equal(patient.answers(1), again.answers(1)), "from the first's file"
    assert again.answers(0) == pytest.approx(1 / 3), "the labels as they were augmented"
    assert len(teacher.seen) == 2 * 3
