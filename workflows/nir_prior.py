"""A near-infrared prior is fitted on 13-band chips and written into the card of a model of true colour.

    python workflows/nir_prior.py eurosat-ms.zip model.keras

The zip file holds EuroSAT's GeoTIFF chips, `<Class>/<Class>_<n>.tif`, 13 bands of L1C digital numbers. The
script prints the effect of the prior on chips that it was not fitted on (10 folds), then fits it on all. Weights stay
as they are; an existing prior is replaced. The numbers of the model alone are too high where it was trained on some of
these chips.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from landmap_models import load_classifier, open_chips
from landmap_models.arrays import AnyFloats, Ints
from landmap_models.legend import EUROSAT
from landmap_models.model_file.archive import attach_nir_prior
from landmap_models.model_file.nir import EUROSAT_ROLES, NirPrior, cell_statistics
from landmap_models.training.nir import fit_nir_prior

BANDS = ("B04", "B03", "B08", "B02")
"""Red, green and near infrared for the prior, and blue for the model."""
FOLDS = 10
"""Number of folds of the cross-validation."""


def read_chips(path: Path) -> tuple[AnyFloats, Ints]:
    """Read reflectance `(n, 64, 64, 4)` of `BANDS`, and class ids `(n,)`."""
    chips = open_chips(path, bands=BANDS)
    if chips.class_names != EUROSAT.names or chips.bits != 16:
        sys.exit(f"{path}: expected EuroSAT's ten classes of 16 bits. Received: {', '.join(chips.class_names)}")
    return chips.reflectance(), np.array(chips.labels)


def folds(labels: Ints) -> Ints:
    """Number the fold of each chip, `(n,)`; every class is spread over all folds."""
    order = np.lexsort((np.random.default_rng(0).random(len(labels)), labels))
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) % FOLDS
    return found


def updated(prior: NirPrior, probabilities: AnyFloats, chips: AnyFloats) -> AnyFloats:
    """Update probabilities of chips `(n, classes)` in each of their cells, `(n, 8, 8, classes)`."""
    found = []
    for chip, whole in zip(chips[..., :3], probabilities, strict=True):
        cells = cell_statistics(chip)
        found.append(prior.update(np.broadcast_to(whole, (*cells.ndvi.shape, len(whole))), cells))
    return np.stack(found)


def cross_validate(chips: AnyFloats, labels: Ints, probabilities: AnyFloats) -> tuple[AnyFloats, AnyFloats]:
    """Apply to each chip a prior that was fitted on the other folds.

    Returns:
        Log likelihoods and updated probabilities of the cells, both `(n, 8, 8, classes)`.
    """
    fold = folds(labels)
    alone = np.empty((len(labels), 8, 8, probabilities.shape[1]))
    after = np.empty_like(alone)
    for number in range(FOLDS):
        rest, here = fold != number, fold == number
        prior = fit_nir_prior(chips[rest][..., :3], labels[rest], probabilities.shape[1])
        cells = cell_statistics(chips[here][..., :3])
        alone[here] = prior.log_likelihood(cells.ndvi, cells.log_nir)
        after[here] = updated(prior, probabilities[here], chips[here])
    return alone, after


def print_table(labels: Ints, before: AnyFloats, alone: AnyFloats, after: AnyFloats) -> None:
    """Print for each class the share of right chips, by the mean of their cells, and of right cells."""
    print(f"{'class':24}{'chips':>6}{'model':>8}{'NIR alone':>11}{'with NIR':>10}{'cells kept':>12}")
    land = ~np.isin(labels, EUROSAT_ROLES.water)
    rows = [(name, labels == i) for i, name in enumerate(EUROSAT.names)]
    for name, those in (*rows, ("all but water", land), ("all", labels >= 0)):
        model, nir, both = (
            float((p[those].argmax(axis=-1) == labels[those]).mean())
            for p in (before, alone.mean(axis=(1, 2)), after.mean(axis=(1, 2)))
        )
        kept = float((after[those].argmax(axis=-1) == labels[those][:, None, None]).mean())
        print(f"{name:24}{those.sum():6d}{model:8.3f}{nir:11.3f}{both:10.3f}{kept:12.3f}")


def print_water(labels: Ints, after: AnyFloats, chips: AnyFloats) -> None:
    """Print the share of cells mapped as water. The banks of a river are not, which lowers the share of right chips."""
    wet = cell_statistics(chips[..., :3]).water
    called = np.isin(after.argmax(axis=-1), EUROSAT_ROLES.water)
    river = np.broadcast_to((labels == EUROSAT.names.index("River"))[:, None, None], wet.shape)
    full, dry = called[river & (wet >= 0.5)].mean(), called[river & (wet == 0)].mean()
    print(f"cells called water, in River chips: {full:.3f} of those full of it, {dry:.3f} of those without any;")
    print(f"in chips of land: {called[~np.isin(labels, EUROSAT_ROLES.water)].mean():.4f}")


def add_prior(path: Path, model: Path) -> None:
    """Print the effect of a prior by cross-validation, then fit one on all chips and write it into a card."""
    chips, labels = read_chips(path)
    classifier = load_classifier(model)
    places = [BANDS.index(name) for name in classifier.card.band_names]
    before = classifier.predict(np.ascontiguousarray(chips[..., places], np.float32))
    alone, after = cross_validate(chips, labels, before)
    print_table(labels, before, alone, after)
    print_water(labels, after, chips)
    origin = f"{len(labels)} L1C chips of {path.name}"
    card = attach_nir_prior(model, fit_nir_prior(chips[..., :3], labels, len(EUROSAT), origin=origin))
    print(f"{model}: {card.name} {card.version} has a near-infrared prior now, fitted on {origin}")


def main() -> None:
    """Fit the prior for the arguments of the command line."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    add_prior(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
