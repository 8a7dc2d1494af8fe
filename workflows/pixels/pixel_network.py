"""The pixel network, trained from Dynamic World's answers, WorldCover's patches and labels of whole chips.

    python workflows/pixels/pixel_network.py data/ folder/

`data/` is laid out as `pixel_data.sources` says. Writes to the folder, each step once: a killed run goes on after the
last epoch when the script is started again:

    taught.npz          13-band chips, Dynamic World's answers to them, and which are held out
    first.keras, .csv   a network of these and WorldCover's patches, and what it was worth after each epoch
    weak.npz            its answers to true-colour chips, fitted to the composition of each chip's class
    second.keras, .csv  the network trained further on all three
    canvases-*.npy      land put together at random of what may be trained on, and Dynamic World's answers to it
    third.keras, .csv   the network trained further on all four
    pixel-unet.keras    the mean of the weights of second and third, rounded to 16 bits
    scores.csv          what it is worth on what was held out, alone and with the chip network

Equal seeds give equal batches. About 110 minutes on two cores that are shared with other work. Labels made by
Dynamic World (Google, Apache-2.0) and ESA WorldCover (CC-BY 4.0) are behind these weights: docs/pixels.md has the
credits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from pixel_batches import Part, PixelBatches
from pixel_canvases import canvases
from pixel_data import BANDS, CLASSES, Labelled, Sources, colour_chips, patches, sources, spectral_chips
from pixel_held import write_scores
from pixel_training import Stage, compositions, fit, part_of, weak_answers

from landmap_models.architectures import pixel_unet
from landmap_models.model_file.packaged import find_model

FIRST = Stage(epochs=20, steps=150, learning_rate=2.5e-3, counts=(10, 6, 0), seed=1)
SECOND = Stage(epochs=50, steps=150, learning_rate=2.0e-3, counts=(7, 4, 5), seed=2)
THIRD = Stage(epochs=30, steps=150, learning_rate=1.2e-3, counts=(4, 2, 3, 7), seed=4)
PER_CLASS = 1000
"""True-colour chips of each class that get answers."""
BEFORE = {"second": "first", "third": "second"}
"""Stage whose network a stage begins with."""
SIZE = (64, 64)


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    where, folder = sources(Path(sys.argv[1])), Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    taught, land = _taught(where, folder / "taught.npz"), patches(where)
    train(where, folder, taught, land)
    final = folder / "pixel-unet.keras"
    if not final.exists():
        average_and_round([folder / "second.keras", folder / "third.keras"], final)
    write_scores(keras.models.load_model(final, compile=False), taught, land, find_model("default"), folder)


def _taught(where: Sources, kept: Path) -> Labelled:
    if not kept.exists():
        chips = spectral_chips(where)
        np.savez(kept, pictures=chips.pictures, answers=chips.answers, kinds=chips.kinds, held=chips.held)
    with np.load(kept) as file:
        return Labelled(file["pictures"], file["answers"], file["kinds"], file["held"])


def train(where: Sources, folder: Path, taught: Labelled, land: Labelled) -> None:
    """All stages, one after the other."""
    keras.utils.set_random_seed(FIRST.seed)
    held, spectral, wide = taught.subset(taught.held), part_of(taught), part_of(land)
    if not (folder / "first.keras").exists():
        middle = np.median(spectral.pictures.reshape(-1, len(BANDS)), axis=0).round(4)
        model = pixel_unet.with_flags([float(value) for value in middle], len(CLASSES), SIZE)
        fit(
            model,
            PixelBatches(spectral, wide, None, FIRST.counts, FIRST.steps, FIRST.seed),
            FIRST,
            held,
            folder,
            "first",
        )
    colour = None
    for name, stage in (("second", SECOND), ("third", THIRD)):
        if (folder / f"{name}.keras").exists():
            continue
        model = keras.models.load_model(folder / f"{BEFORE[name]}.keras", compile=False)
        colour = colour or _weak(where, folder, taught)
        drawn = _canvases(where, taught, land, folder) if len(stage.counts) > 3 else None
        fit(
            model,
            PixelBatches(spectral, wide, colour, stage.counts, stage.steps, stage.seed, drawn),
            stage,
            held,
            folder,
            name,
        )


def _canvases(where: Sources, taught: Labelled, land: Labelled, folder: Path) -> Part:
    """Land put together of what is not held out."""
    pictures, answers = folder / "canvases-pictures.npy", folder / "canvases-answers.npy"
    if not answers.exists():
        made = canvases(taught.subset(~taught.held), land.subset(~land.held), where.dynamic_world)
        np.save(pictures, made[0])
        np.save(answers, made[1])
    return Part(np.load(pictures), np.load(answers))


def _weak(where: Sources, folder: Path, taught: Labelled) -> Part:
    """True-colour chips that are not held out, and what the network of the first stage says of them."""
    kept = folder / "weak.npz"
    if not kept.exists():
        model = keras.models.load_model(folder / "first.keras", compile=False)
        chips, held = colour_chips(where)
        kinds, rng = np.array(chips.labels), np.random.default_rng(FIRST.seed)
        free = rng.permutation(np.flatnonzero(~held))
        chosen = np.sort(np.concatenate([free[kinds[free] == kind][:PER_CLASS] for kind in range(10)]))
        colours = np.round(chips.subset(chosen).reflectance() * (255 / chips.reflectance_max)).astype(np.uint8)
        answers = weak_answers(model, colours, kinds[chosen], compositions(taught))
        np.savez(kept, colours=colours, answers=answers)
    with np.load(kept) as file:
        return Part(file["colours"], file["answers"])


def average_and_round(networks: Sequence[Path], rounded: Path) -> None:
    """Write the network of their mean weights, which 16 bits hold, without what only a training needs.

    A network that was trained further, averaged with what it began with, keeps what the earlier stage knew (Wortsman et
    al. 2022, arXiv 2109.01903): here water all over the world, of which canvases have little.
    """
    models = [keras.models.load_model(path, compile=False) for path in networks]
    weights = zip(*(model.get_weights() for model in models), strict=True)
    models[0].set_weights([np.mean(same, axis=0).astype(np.float16).astype(np.float32) for same in weights])
    models[0].save(rounded)


if __name__ == "__main__":
    main()
