"""The folder of an unfinished training, `<output>.training`, and which training may resume from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from landmap_models.datasets.splits import Split
from landmap_models.errors import ModelError
from landmap_models.model_file.archive import weights_sha256
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import first_same, published
from landmap_models.training.checkpoints import HISTORY
from landmap_models.training.settings import TrainSettings

RECORD = "training.json"


def check_output(output: Path, *inputs: str | Path | None, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse names under which a training could not write, before it begins.

    Args:
        output: The `.keras` file that the training will write.
        *inputs: Files that are read: data, a model to start from, a teacher. None is ignored.
        overwrite: Whether a model and its history may be replaced.
        resume: Whether a killed training is resumed.

    Raises:
        ModelError: The name does not end in .keras, its folder does not exist, it is one of the inputs, or the model or
            its history exists.
    """
    if output.suffix != ".keras":
        raise ModelError(f"{output}: expected a file name that ends in .keras")
    if not output.parent.is_dir():
        raise ModelError(f"{output}: expected a file in a folder that exists. Make {output.parent} first")
    history = history_path(output)
    if same := first_same((output, history), [name for name in inputs if name is not None]):
        raise ModelError(f"{same}: is read by this training itself. Choose another name")
    for path, replaced in ((output, overwrite), (history, overwrite or resume)):
        if path.is_dir() or (path.exists() and not replaced):
            raise ModelError(f"{path}: exists already. Choose another name or give --overwrite")


def history_path(output: Path) -> Path:
    """The path of the log of a model, beside it."""
    return output.with_suffix(".history.csv")


def folder_of(output: Path) -> Path:
    """The folder of an unfinished training, beside its output."""
    return output.with_name(f"{output.name}.training")


def record_of(split: Split[Any], settings: TrainSettings) -> str:
    """The record of settings, chips and models as text: a training resumes one of the same record."""
    models = {"start_from": settings.start_from, "teacher": settings.teacher}
    return json.dumps(
        settings.to_content()
        | {"parts": {name: part.fingerprint() for name, part in split.parts().items()}}
        | {"models": {key: weights_sha256(find_model(name)) for key, name in models.items() if name}},
        indent=1,
    )


def check_folder(folder: Path, record: str, *, resume: bool) -> None:
    """Check that a training may begin or resume in a folder.

    Args:
        folder: Folder of an unfinished training, which need not exist.
        record: Record of the training, see `record_of`.
        resume: Whether a killed training is resumed.

    Raises:
        ModelError: The folder holds epochs of a training with other data or settings, or of one that `resume` does not
            allow, or something else than a training.
    """
    if not folder.exists():
        return
    found = _read_record(folder)
    if found is None and not (folder.is_dir() and all(p.name.endswith(RECORD) for p in folder.iterdir())):
        raise ModelError(f"{folder}: expected the folder of an unfinished training. Received: something else. Move it")
    if not any(folder.glob(f"*/{Path(HISTORY).stem}.*")):
        return  # no epoch would be lost
    if found != record:
        raise ModelError(
            f"{folder}: holds an unfinished training with other data or settings. Remove it, or give the same "
            "arguments and --resume"
        )
    if not resume:
        raise ModelError(f"{folder}: holds an unfinished training. Give --resume to go on with it, or remove it")


def open_folder(folder: Path, record: str) -> None:
    """Make the folder of a training, or empty one with another record, which has no whole epoch."""
    if folder.exists() and _read_record(folder) != record:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    with published(folder / RECORD) as new:
        new.write_text(record)


def _read_record(folder: Path) -> str | None:
    path = folder / RECORD
    return path.read_text() if path.is_file() else None
