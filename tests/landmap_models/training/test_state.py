"""What a training may write over, and go on with."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from landmap_models.datasets.chips import open_chips
from landmap_models.datasets.splits import stratified_split
from landmap_models.errors import ModelError
from landmap_models.training.checkpoints import HISTORY
from landmap_models.training.settings import TrainSettings
from landmap_models.training.state import check_folder, check_output, folder_of, open_folder, record_of

SETTINGS = TrainSettings()


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a training "one" with an epoch."""
    folder = folder_of(tmp_path / "m.keras")
    open_folder(folder, "one")
    (folder / "0-train").mkdir()
    (folder / "0-train" / HISTORY).write_text("[]")
    return folder


def test_names_that_can_not_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "old.keras").write_text("precious")
    (tmp_path / "half.history.csv").write_text("precious")
    for name, words in (
        ("m.h5", "ends in .keras"),
        ("no/m.keras", "in a folder that exists"),
        ("old.keras", "exists already"),
        ("half.keras", "half.history.csv: exists already"),
    ):
        with pytest.raises(ModelError, match=words):
            check_output(tmp_path / name)
    with pytest.raises(ModelError, match="exists already"):
        check_output(tmp_path / "folder.keras", overwrite=True)
    check_output(tmp_path / "old.keras", overwrite=True)
    check_output(tmp_path / "half.keras", resume=True)
    check_output(tmp_path / "new.keras")


def test_an_unfinished_training_is_gone_on_with_or_kept(begun: Path) -> None:
    check_folder(begun, "one", resume=True)
    with pytest.raises(ModelError, match="Give --resume to go on"):
        check_folder(begun, "one", resume=False)
    with pytest.raises(ModelError, match="unfinished training with other data or settings"):
        check_folder(begun, "two", resume=True)


def test_a_training_without_an_epoch_is_no_loss(begun: Path) -> None:
    (begun / "0-train" / HISTORY).unlink()
    (begun / "teacher.npy").write_text("of the training one")
    check_folder(begun, "two", resume=False)
    open_folder(begun, "two")
    assert [p.name for p in begun.iterdir()] == ["training.json"]
    (begun / "teacher.npy").write_text("of the training two")
    open_folder(begun, "two")
    assert (begun / "teacher.npy").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_other_peoples_files_are_left_alone(kind: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m.keras")
    if kind == "folder":
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
    else:
        folder.write_text("precious")
    with pytest.raises(ModelError, match="Received: something else"):
        check_folder(folder, "one", resume=True)


def test_the_record_tells_trainings_apart(chip_zip: Path, small_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chips.zip"
    copy.write_bytes(chip_zip.read_bytes())
    split = stratified_split(open_chips(copy), 1)
    records = [record_of(split, SETTINGS), record_of(split, dataclasses.replace(SETTINGS, epochs=65))]
    assert record_of(split, SETTINGS) == records[0]
    with zipfile.ZipFile(chip_zip) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(old.namelist()[0]))
    records.append(record_of(split, SETTINGS))  # the same names and sizes, other pixels
    taught = dataclasses.replace(SETTINGS, teacher=str(small_model))
    records.append(record_of(split, taught))
    assert len(set(records)) == len(records)
