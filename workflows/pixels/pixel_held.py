"""What the pixel network is worth on what was held out, alone and together with the chip network."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from pixel_batches import BAND_SETS
from pixel_data import BANDS, TRUE_COLOR, Labelled
from pixel_fusion import averaged, chip_probabilities, fuse
from pixel_scores import GROUPS, OF_CHIP_CLASS, OF_PIXEL_CLASS, agreement, crosstab, interval, ious
from pixel_training import predict

from landmap_models.inference.keras_classifier import load_classifier

FARMLAND = (0, 2, 5, 6)
"""AnnualCrop, HerbaceousVegetation, Pasture, PermanentCrop."""
EXPONENTS = [(a, b) for a in (0.15, 0.25, 0.5, 0.75, 1.0) for b in (1.0, 1.5, 2.0)]
"""Of `fuse`, tried."""

Row = dict[str, Any]


def write_scores(model: keras.Model, taught: Labelled, land: Labelled, chips: Path, folder: Path) -> None:
    """Write scores.csv: a line for each set of bands, part, and way."""
    held = taught.subset(taught.held)
    reference = OF_PIXEL_CLASS[held.answers.argmax(axis=-1)]
    classifier = load_classifier(chips)
    places = [BANDS.index(name) for name in TRUE_COLOR]
    kinds = np.stack([chip_probabilities(picture[..., places], classifier) for picture in held.pictures])
    farm = np.isin(held.kinds, FARMLAND)
    rows = _both("", "chip network alone", reference, OF_CHIP_CLASS[kinds.argmax(axis=-1)], farm)
    for name, flags in BAND_SETS.items():
        pixels = predict(model, held.pictures, flags)
        rows += _both(name, "pixel network alone", reference, OF_PIXEL_CLASS[pixels.argmax(axis=-1)], farm)
        for a, b in EXPONENTS:
            fused = OF_CHIP_CLASS[fuse(kinds, averaged(pixels), a, b).argmax(axis=-1)]
            rows += _both(name, f"together, a {a:g}, b {b:g}", reference, fused, farm)
        rows.append(_patches(name, model, land.subset(land.held), flags))
    with (folder / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _both(
    bands: str, way: str, reference: npt.NDArray[Any], mapped: npt.NDArray[Any], farm: npt.NDArray[Any]
) -> list[Row]:
    """All held-out chips, and those of farmland alone."""
    return [
        score(bands, way, "13-band chips", reference, mapped),
        score(bands, way, "farmland chips", reference[farm], mapped[farm]),
    ]


def _patches(name: str, model: keras.Model, held: Labelled, flags: npt.NDArray[np.bool_]) -> Row:
    """WorldCover's patches, each reflected to 64 px, so that it has surroundings; unlabelled pixels do not count."""
    around = ((0, 0), (24, 24), (24, 24), (0, 0))
    pixels = predict(model, np.pad(held.pictures, around, "symmetric"), flags)[:, 24:40, 24:40]
    known = held.answers.sum(axis=-1) > 0
    reference, mapped = (OF_PIXEL_CLASS[values.argmax(axis=-1)] for values in (held.answers, pixels))
    return score(name, "pixel network alone", "WorldCover patches", reference, mapped, known)


def score(
    bands: str,
    way: str,
    part: str,
    reference: npt.NDArray[Any],
    mapped: npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None = None,
) -> Row:
    """One line of the table; groups `(n, height, width)`."""
    known = np.ones(reference.shape, bool) if known is None else known
    tables = np.stack([crosstab(r[k], m[k]) for r, m, k in zip(reference, mapped, known, strict=True)])
    counts = tables.sum(axis=0)
    low, high = interval(tables)
    row: Row = {"bands": bands, "way": way, "part": part, "pictures": len(reference)}
    row |= {"mean_iou": ious(counts).mean(), "low": low, "high": high, "agreement": agreement(counts)}
    row |= dict(zip(GROUPS, ious(counts), strict=True))
    return {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}
