"""A model of pixels is learnt from drawn labels: few places, so that none can be spared for a test alone.

The features are those of the packaged network of pixels, which saw much land before; what is learnt is one layer on
top, a multinomial logistic regression. It takes seconds, so its score comes from a cross-validation by place: each
place is answered by a layer that was learnt without it, and the layer that is written has learnt from all of them. A
random forest on the bands and their neighbours, the usual way, is measured on the same folds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import keras
import numpy as np
from keras import layers

from landmap_models.architectures.pixel_unet import MARGIN, STEP, for_bands
from landmap_models.architectures.shape import OUTPUT
from landmap_models.arrays import Doubles, Floats, Indices, Ints
from landmap_models.datasets.image_files import ImageSource, Window
from landmap_models.datasets.images import LabelledImages
from landmap_models.errors import DatasetError, ModelError
from landmap_models.inference.loading import load_further
from landmap_models.inference.whole_images import WholeImages
from landmap_models.legend import legend_for
from landmap_models.metrics.pixels import PIXEL_METRICS, measure_pixels, tally
from landmap_models.model_file.archive import read_card, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.publish import put_in_place
from landmap_models.training.calibration import fit_temperature, fold_temperature, logits_of
from landmap_models.training.card import band_profiles_of
from landmap_models.training.settings import TrainSettings

SIDE = 128
"""Side in pixels of the windows in which features are computed."""
EACH = 150
"""Most pixels of a shape that are learnt and scored, drawn by lot: neighbours tell the same again."""
FOLDS = 5
"""Most folds of the cross-validation."""
STRENGTH = 0.03
"""Inverse strength of the regularisation (C) of the regression."""
TREES = 100
"""Trees of the forest."""
FLATTERED = 0.03
"""Accuracy by which a score by pixels may exceed that by places before it is told."""
FEW = 5
"""Labels of a class below which a warning names it."""


class DrawnSource(ImageSource, Protocol):
    """Images of places, in which labels are numbered shapes."""

    def shape_numbers(self, name: str, window: Window) -> Ints:
        """Number of the shape at each pixel `(height, width)`, -1 where there is none."""

    def place_of(self, name: str) -> int:
        """Number of the place that an image shows; one place may be shown by several images."""


@dataclass(frozen=True, slots=True)
class LearntPixels:
    """Pixels that are learnt, m of them."""

    features: Floats
    """Features of the packaged network, `(m, features)`."""
    around: Floats
    """Reflectance of each and of its eight neighbours, `(m, 9 * bands)`."""
    classes: Indices
    """Class ids `(m,)`."""
    shapes: Indices
    """Number of the shape of each, `(m,)`."""
    places: Indices
    """Number of its place, `(m,)`."""

    def weights(self) -> Doubles:
        """Weight of each pixel, `(m,)`, 1 in the mean: shapes by the root of their size, all classes alike."""
        own: Doubles = 1 / np.sqrt(np.bincount(self.shapes)[self.shapes])
        found: Doubles = own / np.bincount(self.classes, own)[self.classes]
        return np.asarray(found * len(found) / found.sum())


@dataclass(frozen=True, slots=True)
class DrawnScores:
    """What a training on drawn labels is to print beside the card."""

    network: float
    """Balanced accuracy of the network by place, 0 to 1."""
    forest: float
    """The same of the forest."""
    by_pixel: float
    """Balanced accuracy of the network where pixels, not places, are dealt into folds: too high."""
    warnings: tuple[str, ...]
    """What makes scores loose or too high."""


def feature_network(model: str, bands: Sequence[str]) -> keras.Model:
    """The features of a packaged model's network of pixels: its last layer before the classes, and the scaled bands.

    Args:
        model: Name of a packaged model, or a model file with such a network.
        bands: Sentinel-2 names of the bands that are there, in the network's order.

    Returns:
        A network of reflectance `(n, height, width, bands)` with features `(n, height, width, features)`, whose sides
        are multiples of `STEP` and whose margin is `MARGIN`.

    Raises:
        ModelError: The model has no network of pixels, or that does not take these bands in this order.
    """
    path = find_model(model)
    part = read_card(path).pixels
    if part is None:
        raise ModelError(f"{model}: expected a model with a network for single pixels inside, such as default")
    known = tuple(name for name in part.bands if name in bands)
    if known != tuple(bands):
        raise ModelError(
            f"{model}: expected some of the bands {', '.join(part.bands)}, in this order. Received: {', '.join(bands)}"
        )
    network = for_bands(load_further(path, part), part.flags(bands), (None, None))
    joined = [_mean(network.get_layer("fine").output, "smooth"), network.get_layer("center").output]
    features = layers.Concatenate(name="features")(joined)
    return keras.Model(network.input, features, name="pixel-features")


def _mean(x: Any, name: str) -> Any:
    """Binomial mean of neighbours: it leaves nothing of the checkerboard that the doubling of a resolution leaves."""
    layer = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=name)
    made = layer(x)
    kernel = np.outer((0.25, 0.5, 0.25), (0.25, 0.5, 0.25))[..., None, None]
    layer.set_weights([np.repeat(kernel, x.shape[-1], axis=2)])
    return made


def learnt_pixels(images: LabelledImages, network: keras.Model, seed: int = 0) -> LearntPixels:
    """Compute features of labelled pixels, of each shape `EACH` at most.

    Args:
        images: Images of places, whose source is a `DrawnSource`.
        network: As `feature_network` makes it.
        seed: Seed of the draw.
    """
    source, whole = cast(DrawnSource, images.source), WholeImages(network, MARGIN, STEP)
    found: list[tuple[Any, ...]] = []
    for place, row, col in images.windows(SIDE):
        name = images.files[place]
        values, labels, inner = _with_margin(images, place, row, col)
        numbers = source.shape_numbers(name, (inner[0], inner[1], *labels.shape[:2]))
        known = labels.any(axis=-1) & (numbers >= 0)
        if not known.any():
            continue
        top, left = inner[2], inner[3]
        features = whole.predict(values[None])[0][top : top + known.shape[0], left : left + known.shape[1]]
        rows, cols = np.nonzero(known)
        around = _neighbours(values, rows + top, cols + left)
        ids = np.full(len(rows), source.place_of(name))
        found.append((features[known], around, labels[known].argmax(axis=-1), numbers[known], ids))
    features, around, classes, shapes, places = (np.concatenate(part) for part in zip(*found, strict=True))
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(shapes == shape))[:EACH] for shape in np.unique(shapes)]
    kept = np.sort(np.concatenate(drawn))
    return LearntPixels(features[kept], around[kept], classes[kept], shapes[kept], places[kept])


def _with_margin(images: LabelledImages, place: int, row: int, col: int) -> tuple[Floats, Floats, tuple[int, ...]]:
    """Reflectance of a window with a margin, labels of the window, and its corner in the image and in the margin."""
    height, width = images.sizes[place]
    bottom, right = min(row + SIDE, height), min(col + SIDE, width)
    top, left = max(0, row - MARGIN), max(0, col - MARGIN)
    window = top, left, min(bottom + MARGIN, height) - top, min(right + MARGIN, width) - left
    values, labels = images.read(place, window)
    inside = labels[row - top : bottom - top, col - left : right - left]
    return values, inside, (row, col, row - top, col - left)


def _neighbours(values: Floats, rows: Indices, cols: Indices) -> Floats:
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), "edge")
    return np.concatenate([padded[rows + i, cols + j] for i in range(3) for j in range(3)], axis=-1)


def _regression(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000, random_state=seed))


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed))


def _fitted(learner: Any, features: Floats, classes: Indices, weights: Doubles) -> Any:
    step = learner.steps[-1][0]
    return learner.fit(features, classes, **{f"{step}__sample_weight": weights})


def cross_validated(
    make: Callable[[], Any], features: Floats, learnt: LearntPixels, groups: Indices | None, count: int, seed: int
) -> Doubles:
    """Probabilities of all pixels, each by a learner that was fitted without its group.

    Args:
        make: Makes a learner of scikit-learn.
        features: What it learns from, `(m, features)`.
        learnt: Classes and weights of the pixels.
        groups: Group of each pixel, `(m,)`, none of which is divided; None: pixels are dealt one by one.
        count: Number of classes.
        seed: Seed of the folds.

    Returns:
        Probabilities `(m, classes)`; 0 for a class that a fold had nothing to learn of.
    """
    found = np.zeros((len(learnt.classes), count))
    weights = learnt.weights()
    for train, test in _folds(learnt.classes, groups, seed):
        learner = _fitted(make(), features[train], learnt.classes[train], weights[train])
        found[np.ix_(test, learner.classes_)] = learner.predict_proba(features[test])
    return found


def _folds(classes: Indices, groups: Indices | None, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Indices of the pixels to learn and to answer, of each fold; classes are shared out as evenly as can be."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        yield from StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(classes, classes)
        return
    number = min(FOLDS, *(len(np.unique(groups[classes == one])) for one in np.unique(classes)))
    yield from StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(classes, classes, groups)


def train_drawn(
    images: LabelledImages, output: str | Path, settings: TrainSettings, *, model: str = "default"
) -> tuple[ModelCard, DrawnScores]:
    """Learn a model of pixels from drawn labels, and write it with its card.

    Args:
        images: Images of places, whose source is a `DrawnSource`.
        output: The `.keras` file to write; an existing one is replaced.
        settings: Name, description, level, licence and seed.
        model: The packaged model whose features are used.

    Returns:
        The card, whose metrics are those of the cross-validation by place, and scores to print beside it.

    Raises:
        DatasetError: All labels of a class lie in one place.
        ModelError: The features don't take the bands of the images.
    """
    keras.utils.set_random_seed(settings.seed)
    base = feature_network(model, images.bands)
    learnt = learnt_pixels(images, base, settings.seed)
    _check_places(images, learnt)
    found, scores = _scored(images, learnt, settings)
    learner = _fitted(_regression(settings.seed), learnt.features, learnt.classes, learnt.weights())
    network = _network(base, learner, len(images.class_names))
    temperature = _temperature(found, learnt)
    fold_temperature(network, temperature)
    card = _card(
        images, learnt, settings, network, (model, temperature), _metrics(found, temperature, learnt, images), scores
    )
    with tempfile.TemporaryDirectory(prefix=".landmap-", dir=Path(output).parent) as folder:
        finished = Path(folder, "finished.keras")
        network.save(finished)
        card = write_card(finished, card)
        put_in_place(finished, Path(output))
    return card, scores


def _check_places(images: LabelledImages, learnt: LearntPixels) -> None:
    for number, name in enumerate(images.class_names):
        if len(np.unique(learnt.places[learnt.classes == number])) < 2:
            raise DatasetError(
                f"{images.root}: expected labels of each class in two places or more, one to train on and one to test "
                f"on. Received: one place of {name}. Draw some elsewhere"
            )


def _scored(images: LabelledImages, learnt: LearntPixels, settings: TrainSettings) -> tuple[Doubles, DrawnScores]:
    seed, count = settings.seed, len(images.class_names)
    network = cross_validated(lambda: _regression(seed), learnt.features, learnt, learnt.places, count, seed)
    forest = cross_validated(lambda: _forest(seed), learnt.around, learnt, learnt.places, count, seed)
    by_pixel = cross_validated(lambda: _regression(seed), learnt.features, learnt, None, count, seed)
    by_place, of_forest, flattered = (_balanced(each, learnt) for each in (network, forest, by_pixel))
    warnings = tuple(_warnings(images, learnt, by_place, of_forest, flattered))
    return network, DrawnScores(by_place, of_forest, flattered, warnings)


def _balanced(probabilities: Doubles, learnt: LearntPixels) -> float:
    """Share of pixels whose class is right, mean over classes."""
    right = probabilities.argmax(axis=1) == learnt.classes
    return float(np.mean([right[learnt.classes == one].mean() for one in np.unique(learnt.classes)]))


def _warnings(
    images: LabelledImages, learnt: LearntPixels, network: float, forest: float, by_pixel: float
) -> Iterator[str]:
    counts = _shape_counts(images, learnt)
    if few := [f"{name} {number}" for name, number in counts.items() if number < FEW]:
        yield f"Fewer than {FEW} labels of {', '.join(few)}: the scores of these classes are loose. Draw more"
    if by_pixel > network + FLATTERED:
        yield (
            f"Split by pixel, the score would be {100 * by_pixel:.1f} % and not {100 * network:.1f} %: neighbouring "
            "pixels are alike. On new land expect the lower one, or less"
        )
    if forest > network:
        yield (
            f"A random forest on the bands is no worse here ({100 * forest:.1f} % by place, the network "
            f"{100 * network:.1f} %): the features of the network earn nothing on these labels"
        )


def _shape_counts(images: LabelledImages, learnt: LearntPixels) -> dict[str, int]:
    return {
        name: len(np.unique(learnt.shapes[learnt.classes == number])) for number, name in enumerate(images.class_names)
    }


def _ground(images: LabelledImages) -> int:
    """Labelled pixels of all places; those of a place that several images show count once."""
    source, found = cast(DrawnSource, images.source), dict[int, int]()
    for name, counts in zip(images.files, images.class_pixels, strict=True):
        place = source.place_of(name)
        found[place] = max(found.get(place, 0), sum(counts))
    return sum(found.values())


def _network(base: keras.Model, learner: Any, count: int) -> keras.Model:
    """The features and a last layer that computes what the regression learnt, its standardisation included."""
    scaler, regression = (step for _, step in learner.steps)
    weights, bias = regression.coef_, regression.intercept_
    if count == 2:  # scikit-learn keeps the logit of the second class alone
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    kernel = (weights / scaler.scale_).T
    layer = layers.Dense(count, activation="softmax", dtype="float32", name=OUTPUT)
    made = keras.Model(base.input, layer(base.output), name="pixel-features")
    layer.set_weights([kernel.astype(np.float32), (bias - scaler.mean_ @ kernel).astype(np.float32)])
    return made


def _temperature(probabilities: Doubles, learnt: LearntPixels) -> float:
    """The temperature of the probabilities of the cross-validation; about ten pixels a shape, which are no more."""
    own = np.random.default_rng(0).permutation(len(learnt.classes))[: 10 * len(np.unique(learnt.shapes))]
    labels = np.eye(probabilities.shape[1])[learnt.classes]
    return fit_temperature(logits_of(probabilities)[own], labels[own])


def _metrics(
    probabilities: Doubles, temperature: float, learnt: LearntPixels, images: LabelledImages
) -> dict[str, Any]:
    """What the card records of the cross-validation, calibrated; intervals draw places."""
    scaled = logits_of(probabilities) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    answers = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    tallies = []
    for place in np.unique(learnt.places):
        here = learnt.places == place
        tallies.append(tally(learnt.classes[here][None], answers[here][None]))
    found = measure_pixels(tallies, images.class_names)
    chosen = [metric.name for metric in PIXEL_METRICS if metric.on_card]
    return {name: found[name] for name in ("n", "pixels", *chosen, "per_class", "confusion")}


def _card(
    images: LabelledImages,
    learnt: LearntPixels,
    settings: TrainSettings,
    network: keras.Model,
    how: tuple[str, float],
    metrics: dict[str, Any],
    scores: DrawnScores,
) -> ModelCard:
    backend = keras.backend.backend()
    places = len(np.unique(learnt.places))
    hectares = _ground(images) / 100
    description = settings.description or "The class of each pixel of 10 m, learnt from drawn labels."
    return ModelCard(
        name=settings.name,
        version="1",
        description=f"{description} Features of {how[0]}, {network.count_params():,} parameters.",
        bands=band_profiles_of(images.sample(settings.seed), images.bands),
        chip_size=SIDE,
        resolution=10.0,
        levels=(settings.level,),
        reflectance_range=(0.0, images.reflectance_max),
        legend=legend_for(images.class_names),
        licence=settings.licence,
        answers="pixel",
        margin=MARGIN,
        step=STEP,
        training={
            "data": images.root.name,
            "labels": _shape_counts(images, learnt),
            "places": places,
            "hectares": round(hectares, 1),
            "pixels": len(learnt.classes),
            "features_of": how[0],
            "temperature": round(how[1], 4),
            "split": {
                "method": "by place, cross-validated",
                "seed": settings.seed,
                "parts": {"places": {"chips": places}},
            },
            "baseline": {
                "random_forest_balanced_accuracy": round(scores.forest, 4),
                "balanced_accuracy": round(scores.network, 4),
                "balanced_accuracy_split_by_pixel": round(scores.by_pixel, 4),
            },
            "notes": [*images.notes, *scores.warnings],
        },
        metrics={"split": f"cross-validation by place, {places} places"} | metrics,
        versions={"keras": keras.__version__, backend: import_module(backend).__version__},
    )
