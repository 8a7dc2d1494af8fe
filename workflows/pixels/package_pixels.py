"""The pixel network becomes part of a model file: the packaged model, as `landmap classify` uses it.

    python workflows/pixels/package_pixels.py folder/pixel-unet.keras model.keras [a b]

`model.keras` is a chip classifier with its card, and is replaced; a and b are the exponents of `pixel_fusion.fuse`, as
`folder/scores.csv` speaks for them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import keras
from pixel_data import BANDS, CLASSES
from pixel_fusion import FLOOR, fit_table

from landmap_models.architectures.pixel_unet import MARGIN, STEP
from landmap_models.model_file.archive import attach_network, read_card, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.pixels import SCALE, PixelPart

EXPONENTS = 0.25, 1.5
"""Chosen on what was held out in training and on the drawn points: docs/model.md."""
ORIGIN = (
    "Answers of Dynamic World (Google, Apache-2.0) to 13-band chips of EuroSAT, patches of ESA WorldCover 2020 "
    "(CC-BY 4.0, © ESA WorldCover project 2020 / Contains modified Copernicus Sentinel data (2020) processed by ESA "
    "WorldCover consortium), true-colour chips of EuroSAT (Helber et al. 2019, MIT)"
)


VERSION = "7"
DESCRIPTION = (
    "Two networks. One tells the class of a 64x64 px chip from true colour, corrected by near infrared where a "
    "scene has B08; the other tells what lies on each pixel of 10 m, from true colour and whichever of B05, B06, "
    "B07, B08, B8A, B11 and B12 a scene has. Trained on European L1C chips without cloud or snow, on Dynamic "
    "World's answers and on patches of ESA WorldCover. What is wrong with its maps: clouds are built or "
    "HerbaceousVegetation, their shadows water or Forest; dark and very green crops pass for Forest, the more so "
    "the fewer bands there are; hedges, narrow roads and single houses are too small; orchards are fields or "
    "woods; a lake may have a rim of River, as its surroundings decide which water it is. Not made for places "
    "outside Europe, nor for winter."
)


def package(network: Path, model: Path, chip_exponent: float, pixel_exponent: float) -> ModelCard:
    """Put the network into a model file.

    Args:
        network: As `pixel_network.py` writes it.
        model: A model of EuroSAT's ten classes with its card.
        chip_exponent: Of the chip network's say.
        pixel_exponent: Of the pixel network's.
    """
    scale = keras.models.load_model(network, compile=False).get_layer(SCALE).scale
    part = PixelPart(
        bands=BANDS,
        middle=tuple(round(1 / float(value), 4) for value in scale),
        classes=CLASSES,
        fits=tuple(tuple(round(float(fit), 3) for fit in row) for row in fit_table()),
        margin=MARGIN,
        step=STEP,
        chip_exponent=chip_exponent,
        pixel_exponent=pixel_exponent,
        floor=FLOOR,
        sha256="",
        origin=ORIGIN,
    )
    write_card(model, replace(read_card(model), version=VERSION, description=DESCRIPTION))
    return attach_network(model, network, part)


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    exponents = tuple(map(float, sys.argv[3:])) or EXPONENTS
    card = package(Path(sys.argv[1]), Path(sys.argv[2]), *exponents)
    print(f"{card.name} {card.version}: {Path(sys.argv[2]).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
