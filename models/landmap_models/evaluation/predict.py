"""Single chips are predicted: a class and a probability for each image, and the image with its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.datasets.chips import to_reflectance
from landmap_models.datasets.files import ChipFile, decode, is_raster
from landmap_models.datasets.picture import true_color
from landmap_models.errors import DatasetError, ReportError
from landmap_models.evaluation import figures
from landmap_models.inference.chip_average import load_chip_classifier
from landmap_models.inference.classifier import check_answers
from landmap_models.model_file.archive import weights_sha256
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import first_same
from landmap_models.sentinel2 import EUROSAT_ORDER, TRUE_COLOR, BandNames, named_bands, places_of


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one image."""

    path: Path
    """Path of the image."""
    label: str
    """Its class; for a multi-label model all classes that reach their threshold, separated by ";", perhaps none."""
    probability: float
    """Probability of the class; for a multi-label model that of the least certain decision."""
    probabilities: dict[str, float]
    """Probability of each class."""
    picture: Path | None = None
    """Path of the image with its label; None if none was written."""

    def to_dict(self) -> dict[str, Any]:
        """The prediction as JSON holds it."""
        return {
            "image": str(self.path),
            "label": self.label,
            "probability": round(self.probability, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "picture": str(self.picture) if self.picture else None,
        }


def predict_chips(
    images: Sequence[str | Path],
    model: str | Path = "default",
    output: str | Path | None = None,
    *,
    file_bands: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Prediction]:
    """Predict each image, and write it with its label if there is an output folder.

    Args:
        images: JPEG, PNG or GeoTIFF files of the model's chip size.
        model: Packaged name or `.keras` file.
        output: Folder for the pictures, `<image>.png`, which is made if it does not exist; None: no pictures.
        file_bands: Names of the bands of the files, in order; None: the files name them.
        overwrite: Whether existing pictures may be replaced.

    Raises:
        DatasetError: An image can't be read, has another size, or lacks a band.
        ModelError: The model can't be read.
        ReportError: A picture exists already, or two would have the same name.
    """
    paths = [Path(image) for image in images]
    pictures = _pictures(paths, output, overwrite=overwrite)
    file = find_model(model)
    classifier = load_chip_classifier(file, weights_sha256(file))
    chips = np.stack([_read(path, classifier.card, file_bands) for path in paths])
    answers = classifier.predict(chips)
    check_answers(answers, len(chips), classifier.card)
    found = [
        _prediction(path, row, classifier.card, picture)
        for path, row, picture in zip(paths, answers, pictures, strict=True)
    ]
    drawn = true_color(chips, classifier.card.band_names)  # all stretched alike, so that they can be compared
    for picture, prediction in zip(drawn, found, strict=True):
        _draw(picture, prediction)
    return found


def _draw(picture: npt.NDArray[np.uint8], prediction: Prediction) -> None:
    path = prediction.picture
    if path is None:
        return
    title = f"{prediction.label or 'none'} {100 * prediction.probability:.0f} %"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figures.draw_chip(path, picture, title)
    except ImportError as error:
        raise ReportError("Pictures need matplotlib: pip install 'landmap[plot]'") from error
    except OSError as error:
        raise ReportError(f"{path}: can't be written ({error.strerror or error}). Choose another folder") from error


def _pictures(paths: list[Path], output: str | Path | None, *, overwrite: bool) -> list[Path | None]:
    """The paths of the pictures; none is written before all images are read."""
    if output is None:
        return [None] * len(paths)
    made = [Path(output) / f"{path.stem}.png" for path in paths]
    twice = sorted({p.name for p in made if made.count(p) > 1})
    if twice:
        raise ReportError(f"{output}: several images would be written as {twice[0]}. Predict them one after the other")
    if same := first_same(made, paths):
        raise ReportError(f"{same}: is one of the images themselves. Choose another folder")
    there = [p for p in made if p.exists()]
    if there and not overwrite:
        raise ReportError(f"{there[0]}: exists already. Choose another folder or give --overwrite")
    return list(made)


def _read(path: Path, card: ModelCard, file_bands: Sequence[str] | None) -> Floats:
    """Read the reflectance `(chip_size, chip_size, bands)` of the bands of the model."""
    given = named_bands(file_bands) if file_bands else None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror})") from error
    file = decode(content, path.name, len(given) if given else None)
    size = file.values.shape[:2]
    if size != (card.chip_size, card.chip_size):
        raise DatasetError(
            f"{path}: expected a chip of {card.chip_size}x{card.chip_size} px. Received: {size[0]}x{size[1]}. "
            "A scene is for landmap classify"
        )
    if given and len(given) != file.values.shape[2]:
        raise DatasetError(
            f"{path}: expected the {len(given)} bands that --file-bands names. Received: {file.values.shape[2]} bands"
        )
    _, places = places_of(card.band_names, given or _bands(file, path), str(path))
    return to_reflectance(file.values[..., places])


def _bands(file: ChipFile, path: Path) -> BandNames:
    """The names of the bands: by the descriptions in the file, or the usual ones."""
    count, picture = file.values.shape[2], not is_raster(path.name)
    if file.names:
        return file.names
    if picture and count == len(TRUE_COLOR) and file.values.dtype == np.uint8:
        return TRUE_COLOR
    if not picture and count == len(EUROSAT_ORDER):
        return EUROSAT_ORDER
    raise DatasetError(f"{path}: nothing says which of the {count} bands is which. Say it: --file-bands B04,B03,…")


def _prediction(path: Path, row: Floats, card: ModelCard, picture: Path | None) -> Prediction:
    names = card.legend.names
    probabilities = dict(zip(names, map(float, row), strict=True))
    if card.single_label:
        place = int(row.argmax())
        return Prediction(path, names[place], float(row[place]), probabilities, picture)
    chosen = row >= np.asarray(card.thresholds or 0.5)
    label = ";".join(name for name, flag in zip(names, chosen, strict=True) if flag)
    return Prediction(path, label, float(np.where(chosen, row, 1 - row).min()), probabilities, picture)
