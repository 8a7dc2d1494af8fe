"""The commands that learn from labels, or make training data of them: train and chips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from landmap.cli.help import OVERWRITE, Command, with_options
from landmap.cli.messages import print_warnings
from landmap.cli.train_options import (
    BUDGET_OPTIONS,
    CARD_OPTIONS,
    DATA_OPTIONS,
    DRAWN_OPTIONS,
    MASK_OPTIONS,
    NETWORK_OPTIONS,
    PIXEL_DEFAULT,
    SPLIT_OPTIONS,
    TEACHER_OPTIONS,
)
from landmap.cli.types import PATH, ListType
from landmap.errors import SettingsError
from landmap.io.vectors import is_vector
from landmap_models.errors import ModelError
from landmap_models.training.settings import TrainSettings, recommended

RUN = ("resume", "tensorboard", "workers")
"""Options of how a training runs, which change no model."""
DRAWN = ("label_column", "labels_layer", "scene_column", "label_buffer")
"""Options of drawn labels."""
OF_FEATURES = (*DRAWN, "output", "overwrite", "labels", "bands", "start_from", "seed", "name", "description", "licence")
"""Options that are used where one layer is learnt on the features of a model."""


@click.command(cls=Command, example="landmap train chips/ -o model.keras --arch compact --epochs 30")
@click.argument("data", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, help="Write the model to this .keras file.")
@OVERWRITE
@click.option(
    "--resume", is_flag=True, help="Go on with a training that was interrupted, after its last finished epoch."
)
@click.option("--show-batch", type=PATH, help="Draw one augmented batch to this picture (PNG).")
@click.option("--tensorboard", type=PATH, help="Write logs for TensorBoard to this folder.")
@click.option(
    "--round-weights",
    is_flag=True,
    help="Round the weights to what bfloat16 can hold, so that maps in bfloat16 are the same.",
)
@click.option("--no-calibration", is_flag=True, help="Do not calibrate the probabilities with a temperature.")
@with_options(
    DATA_OPTIONS,
    MASK_OPTIONS,
    DRAWN_OPTIONS,
    SPLIT_OPTIONS,
    NETWORK_OPTIONS,
    BUDGET_OPTIONS,
    TEACHER_OPTIONS,
    CARD_OPTIONS,
)
def train(
    data: tuple[Path, ...],
    output: Path | None,
    show_batch: Path | None,
    labels: tuple[Path, ...],
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a model on labelled chips, and write it with its card inside and the log of its epochs beside it.

    DATA is a folder or zip file with one folder of chips a class, a CSV file (file,label[,split]; several labels with
    ";" between), or a folder in Pascal VOC's layout.

    A model that answers for each pixel is trained on images with masks: a folder or zip file with images/NAME.tif and
    masks/NAME.tif, an NPZ file with the arrays images and masks, or a scene with --labels, a raster.

    With --labels that are drawn, polygons, lines or points with a class, DATA is one scene or several. What is learnt
    then is one layer on the features of the packaged model (--from), in seconds, or all of a network (--arch).
    --from with a model that was made so learns anew from all labels, on the same features.
    """
    if output is None and show_batch is None:
        raise click.UsageError("Missing option '-o' / '--output', or '--show-batch'.")
    how_drawn = {name: options.pop(name) for name in DRAWN}
    drawn = [is_vector(path) for path in labels]
    if any(drawn) and all(drawn):
        _train_drawn(data, labels, how_drawn, output, show_batch, options, overwrite=overwrite)
        return
    if len(labels) > 1:
        raise click.UsageError(
            f"Expected one raster as --labels, or vector files alone. Received: {', '.join(map(str, labels))}"
        )
    if len(data) > 1:
        raise click.UsageError(
            "Expected one DATA: only drawn labels (--labels polygons.gpkg) may lie on several scenes."
        )
    _train(data[0], output, show_batch, next(iter(labels), None), overwrite, options)


def _train(
    data: Path,
    output: Path | None,
    show_batch: Path | None,
    labels: Path | None,
    overwrite: bool,
    options: dict[str, Any],
) -> None:
    """Train on chips, on images with masks, or on a scene with a raster of labels."""
    from landmap_models.datasets.catalogue import check_data
    from landmap_models.datasets.image_files import has_masks

    given = {name: options.pop(name) for name in RUN}
    masks = labels is not None or has_masks(data)
    if masks and options["architecture"] is None and options["start_from"] is None:
        options["architecture"] = PIXEL_DEFAULT
    settings = _train_settings(options, output)
    if settings.split == "stratified" and not masks:
        check_data(data)  # before Keras is started, and all chips are looked at
    start_keras()
    from landmap_models.training import train as training
    from landmap_models.training.state import check_output

    if output is not None:
        inputs = data, settings.start_from, settings.teacher, labels
        check_output(output, *inputs, overwrite=overwrite, resume=given["resume"])  # before all chips are looked at
    if labels is None:
        chips = training.open_data(data, settings)
    else:
        chips, settings = _labelled_scene(data, labels, settings)
    _train_opened(chips, output, show_batch, settings, given, overwrite=overwrite)


def _train_opened(
    chips: Any,
    output: Path | None,
    show_batch: Path | None,
    settings: TrainSettings,
    given: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    from landmap.cli.show import training_lines
    from landmap_models.model_file.card import describe
    from landmap_models.training import train as training

    print_warnings([f"{len(chips.skipped)} files were left out: {', '.join(chips.skipped[:5])}"] * bool(chips.skipped))
    if show_batch is not None:
        training.show_batch(chips, show_batch, settings, overwrite=overwrite)
        click.echo(str(show_batch))
    if output is not None:
        how = given | {"verbose": training_lines(), "warn": lambda text: print_warnings([text])}
        card = training.train(chips, output, settings, overwrite=overwrite, **how)
        click.echo(describe(card))


def _train_drawn(
    scenes: tuple[Path, ...],
    labels: tuple[Path, ...],
    how: dict[str, Any],
    output: Path | None,
    show_batch: Path | None,
    options: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Train on drawn labels: a layer on the features of the packaged model, or all of a network if one is chosen."""
    from landmap.scene.labelled_places import open_labelled_places, parts_by_place

    given = {name: options.pop(name) for name in RUN}
    if options["architecture"] is None and options["start_from"] is not None:
        options = options | {"start_from": _base_of(options["start_from"], labels)}
    features = options["architecture"] is None and _has_features(options["start_from"])
    if options["classes"] or options["ignore"]:
        raise click.UsageError("--classes and --ignore name ids of masks: drawn labels have names, in --label-column.")
    if features:
        _check_given()
        options = options | {"start_from": options["start_from"] or "default"}
    settings = _train_settings(options, output)
    start_keras()
    from landmap_models.training.state import check_output

    if output is not None:
        check_output(output, *scenes, *labels, settings.start_from, overwrite=overwrite, resume=given["resume"])
    bands = settings.bands or _bands(scenes, settings.start_from, features=features)
    margin, step = _reach(settings, features=features)
    images, level = open_labelled_places(scenes, labels, bands, margin, step, **_of_labels(how))
    print_warnings(list(images.notes))
    settings = replace(settings, level=level, bands=tuple(bands))
    if not features:
        images = parts_by_place(images, settings.seed, settings.validation, settings.test)
        _train_opened(images, output, show_batch, settings, given, overwrite=overwrite)
    elif output is not None:
        _print_drawn(images, output, settings)


def _base_of(model: str, labels: tuple[Path, ...]) -> str:
    """The model whose features to use: of one that was learnt from drawn labels, that on whose features it rests.

    One layer that is learnt in seconds is learnt anew, from all labels. So those that the model has learnt from are
    needed again, and the model is refused without them.
    """
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.packaged import find_model

    training = read_card(find_model(model)).training
    if not isinstance(base := training.get("features_of"), str):
        return model
    names = [path.name for path in labels]
    if missing := [name for name in str(training.get("data", "")).split(" + ") if name not in names]:
        given = " ".join(f"--labels {name}" for name in (*missing, *map(str, labels)))
        raise click.UsageError(
            f"--from {model}: it has learnt from {', '.join(missing)}, too, and is learnt anew from all labels: that "
            f"takes seconds, and a layer that saw only the new labels would forget the others. Give them all: {given}"
        )
    print_warnings([f"{model} rests on the features of {base}: the new model does, too, learnt anew from all labels"])
    return base


def _of_labels(options: dict[str, Any]) -> dict[str, Any]:
    """The options of drawn labels as `open_labelled_places` calls them."""
    names = {
        "label_column": "column",
        "labels_layer": "layer",
        "scene_column": "scene_column",
        "label_buffer": "buffer",
    }
    return {names[name]: value for name, value in options.items()}


def _bands(scenes: tuple[Path, ...], model: str | None, *, features: bool) -> tuple[str, ...]:
    """The bands to learn from: those of the model that is trained on, or those of its features that all scenes have."""
    from landmap.scene.labelled_places import usual_bands
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.packaged import find_model

    if model is not None and not features:
        return read_card(find_model(model)).input_names
    return usual_bands(scenes, model or "default")


def _has_features(model: str | None) -> bool:
    """Whether a model, or the default one, has a network of pixels inside whose features drawn labels can use."""
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.packaged import find_model

    return read_card(find_model(model or "default")).pixels is not None


def _check_given() -> None:
    """Refuse options that a layer on fixed features has no use for."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    used = [p for p in context.command.params if p.name and context.get_parameter_source(p.name) == source]
    idle = [p.opts[0] for p in used if p.name not in OF_FEATURES and isinstance(p, click.Option)]
    if idle:
        raise click.UsageError(
            f"{', '.join(idle)}: not used where one layer is learnt on the features of a model. Choose a network to "
            "train with --arch, such as pixel-field, or leave it out."
        )


def _reach(settings: TrainSettings, *, features: bool) -> tuple[int, int]:
    if features:
        from landmap_models.architectures.pixel_unet import MARGIN, STEP

        return MARGIN, STEP
    from landmap_models.training.pixels import reach

    return reach(settings)


def _print_drawn(images: Any, output: Path, settings: TrainSettings) -> None:
    from landmap_models.model_file.card import describe
    from landmap_models.training.drawn import train_drawn

    card, scores = train_drawn(images, output, settings, model=settings.start_from or "default")
    print_warnings(list(scores.warnings))
    click.echo(describe(card))
    labels = ", ".join(f"{name} {count}" for name, count in card.training["labels"].items())
    click.echo(f"labels: {labels}; {card.training['hectares']:g} ha in {card.training['places']} places")
    click.echo("balanced accuracy, cross-validated by place:")
    click.echo(f"  this model     {100 * scores.network:.1f} %")
    click.echo(f"  random forest  {100 * scores.forest:.1f} % (bands and neighbours)")


def _labelled_scene(scene: Path, labels: Path, settings: TrainSettings) -> tuple[Any, TrainSettings]:
    """A scene with labels as images with masks, and settings with its product level."""
    from landmap.scene.labelled_scene import open_labelled_scene
    from landmap_models.training.pixels import reach

    if settings.bands is None:
        raise SettingsError("--bands: expected the bands of the scene that the network takes, such as B04,B03,B02,B08")
    margin, _ = reach(settings)
    images, level = open_labelled_scene(
        scene, labels, settings.bands, margin, classes=settings.classes, ignore=settings.ignore
    )
    return images, replace(settings, level=level)


def _train_settings(options: dict[str, Any], output: Path | None) -> TrainSettings:
    """The settings that options ask for; an option that was not given has the default of this kind of training."""
    before = options["start_from"] is not None or options["weights"] != "none"
    options["calibrate"] = not options.pop("no_calibration")
    chosen = recommended(before) | {name: value for name, value in options.items() if value is not None}
    with refused_as_settings():
        return TrainSettings(**{"name": output.stem if output else "none"} | chosen)


def start_keras() -> None:
    """Import Keras and let it find its devices, without the messages of its backend."""
    import landmap_models.inference.keras_classifier  # noqa: F401 # sets the log level, which counts when the backend is imported
    from landmap_models.inference.tensorflow import quietly

    with quietly():
        import keras

        keras.distribution.list_devices()


@contextmanager
def refused_as_settings() -> Iterator[None]:
    """Turn an error of the models about a setting into one with the exit status of a wrong command line."""
    try:
        yield
    except ModelError as error:
        raise SettingsError(str(error)) from error


@click.command(cls=Command, example="landmap chips scene.tif --labels drawn.gpkg -o chips/")
@click.argument("scenes", nargs=-1, required=True, type=PATH)
@click.option(
    "--labels",
    required=True,
    type=PATH,
    multiple=True,
    help="Take the polygons, lines or points of this vector file, or of several.",
)
@click.option("-o", "--output", required=True, type=PATH, help="Write the chips to this folder.")
@OVERWRITE
@click.option("--bands", type=ListType(), help="Cut out these bands.  [default: of B02 to B12 those that are there]")
@click.option(
    "--size", type=click.IntRange(8), default=64, show_default=True, help="Cut chips of this side, in pixels."
)
@click.option(
    "--answers",
    type=click.Choice(["pixel", "chip"]),
    default="pixel",
    show_default=True,
    help="Write chips with masks, or a folder of chips for each class.",
)
@click.option(
    "--min-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Take a chip for one of a class that covers at least this share of it; leave others out.",
)
@with_options(DRAWN_OPTIONS)
def chips(
    scenes: tuple[Path, ...], labels: tuple[Path, ...], output: Path, bands: tuple[str, ...] | None, **options: Any
) -> None:
    """Cut SCENES into chips where labels are drawn, for `train` and for other programs.

    chips.csv says of each chip its scene, its place, its position, and the ids of its labels. Labels nearer together
    than a chip have one number of place: chips of one place belong into one part of a split.
    """
    from landmap.scene.cut_chips import cut_chips
    from landmap.scene.labelled_places import open_labelled_places, usual_bands

    if other := [path for path in labels if not is_vector(path)]:
        raise click.UsageError(f"--labels: expected a vector file, such as drawn.gpkg. Received: {other[0]}")
    how = _of_labels({name: options.pop(name) for name in DRAWN})
    images, _ = open_labelled_places(scenes, labels, bands or usual_bands(scenes), options["size"], 1, **how)
    print_warnings(list(images.notes))
    for name, count in cut_chips(images, output, **options).items():
        click.echo(f"{name}: {count} chips")
    click.echo(str(output))


COMMANDS = (chips, train)
