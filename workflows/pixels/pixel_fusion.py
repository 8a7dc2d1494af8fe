"""Two networks, one map: the chip network says the kind of land, the pixel network where water, trees, buildings lie.

score(class) = (chip probability + FLOOR) ** a * (sum over pixel classes of fit * pixel probability) ** b

`FITS` says how well a class of pixels fits a class of chips; a and b are chosen on what was held out
(`pixel_network.py`).
"""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt
from pixel_data import CLASSES, Floats, softmax
from scipy.ndimage import convolve1d

from landmap_models.architectures.pixel_unet import MARGIN, STEP, for_bands
from landmap_models.inference.keras_classifier import KerasClassifier
from landmap_models.inference.pixel_network import BINOMIAL
from landmap_models.legend import EUROSAT

FLOOR = 0.005
"""Added to the probabilities of the chip network: it never quite forbids a class."""
LEAST_FIT = 0.02
"""Of a class of pixels that does not belong to a class of chips."""
FITS: dict[str, dict[str, float]] = {
    "AnnualCrop": {"crops": 1.0, "bare": 0.7, "grass": 0.5},
    "Forest": {"trees": 1.0},
    "HerbaceousVegetation": {
        "shrub_and_scrub": 1.0,
        "grass": 0.6,
        "bare": 0.6,
        "flooded_vegetation": 0.5,
        "snow_and_ice": 0.3,
    },
    "Highway": {"built": 1.0},
    "Industrial": {"built": 1.0},
    "Pasture": {"grass": 1.0, "crops": 0.5},
    "PermanentCrop": {"crops": 1.0, "shrub_and_scrub": 0.6, "trees": 0.3},
    "Residential": {"built": 1.0},
    "River": {"water": 1.0},
    "SeaLake": {"water": 1.0},
}
"""By class of chips."""
CELL = 8
"""Pixels between the windows of the chip network."""
CHIP = 64


def fit_table() -> Floats:
    """`FITS` as `(10, 9)`."""
    table = np.full((len(EUROSAT), len(CLASSES)), LEAST_FIT, np.float32)
    for name, fits in FITS.items():
        for pixel_class, fit in fits.items():
            table[EUROSAT.names.index(name), CLASSES.index(pixel_class)] = fit
    return table


def averaged(pixels: Floats) -> Floats:
    """Average probabilities `(..., height, width, 9)` over neighbours as maps do; the border mirrors itself."""
    along_rows = convolve1d(pixels, BINOMIAL, axis=-3, mode="reflect")
    found: Floats = convolve1d(along_rows, BINOMIAL, axis=-2, mode="reflect").astype(np.float32)
    return found


def fuse(chips: Floats, pixels: Floats, a: float, b: float) -> Floats:
    """Scores of EuroSAT's classes, which sum to 1.

    Args:
        chips: Probabilities `(..., 10)`.
        pixels: Probabilities `(..., 9)`.
        a: Exponent of the chip network's say.
        b: Exponent of the pixel network's.
    """
    scores = (chips + FLOOR) ** a * (pixels @ fit_table().T) ** b
    found: Floats = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)
    return found


def chip_probabilities(picture: Floats, classifier: KerasClassifier) -> Floats:
    """The chip network's probabilities at each pixel, `(height, width, 10)`.

    Those of a cell of 8x8 px are the mean over all windows that cover it.

    Args:
        picture: Reflectance of B04, B03, B02, `(height, width, 3)`; reflected at its edges.
        classifier: The packaged one.
    """
    height, width = (-(-side // CELL) * CELL for side in picture.shape[:2])
    before = CHIP - CELL
    pads = [(before, before + full - side) for full, side in zip((height, width), picture.shape, strict=False)]
    windows = classifier.predict_windows(np.pad(picture, (*pads, (0, 0)), "symmetric"), CELL)
    reach = CHIP // CELL
    rows, cols = height // CELL, width // CELL
    covering = [windows[i : i + rows, j : j + cols] for i in range(reach) for j in range(reach)]
    cells = np.mean(covering, axis=0, dtype=np.float32)
    return np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1)[: picture.shape[0], : picture.shape[1]]


def pixel_probabilities(picture: Floats, model: keras.Model, flags: npt.NDArray[np.bool_]) -> Floats:
    """The pixel network's probabilities, `(height, width, 9)`.

    Args:
        picture: Reflectance of the bands that are there, in the network's order, `(height, width, bands)`.
        model: As `pixel_unet.with_flags` makes it.
        flags: Which of its bands are there.
    """
    pads = [(MARGIN, MARGIN + -side % STEP) for side in picture.shape[:2]]
    padded = np.pad(picture, (*pads, (0, 0)), "symmetric").astype(np.float32)
    network = for_bands(model, list(flags), padded.shape[:2])
    logits = network.predict(padded[None], verbose=0)[0]
    inner: Floats = softmax(logits[MARGIN : MARGIN + picture.shape[0], MARGIN : MARGIN + picture.shape[1]])
    return inner
