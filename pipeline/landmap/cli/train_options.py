"""The options of the commands about models."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import click

from landmap.cli.help import Decorator, option_in
from landmap.cli.types import PATH, ListType, NumberOr
from landmap_models.architectures import ARCHITECTURES, OF_PIXELS
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.inference.input_scale import INPUTS
from landmap_models.training.settings import OPTIMIZERS, PRECISIONS, SCHEDULES, TrainSettings, recommended

PIXEL_DEFAULT = "pixel-unet"
"""The architecture of trainings on images with masks where none is chosen."""
D = TrainSettings()
"""The defaults of the options."""


def _both(name: str) -> str:
    """The default of a setting from scratch and in fine-tuning, for the help text."""
    return f"[default: {recommended(False)[name]:g}; {recommended(True)[name]:g} where --weights or --from is given]"


_data = option_in("Data")
_split = option_in("Split")
_network = option_in("Network")
_budget = option_in("Training")
_teacher = option_in("Teacher")
_card = option_in("Model card")

FILE_OPTIONS = (
    _data("--file-bands", type=ListType(), help="Name the bands of the files in their order, if the files don't say."),
    _data("--skip-bad", is_flag=True, help="Leave out files that can't be used, instead of stopping."),
)
DATA_OPTIONS = (
    _data("--bands", type=ListType(), help="Use these bands, such as B04,B03,B02.  [default: all]"),
    *FILE_OPTIONS,
    _data("--limit", type=click.IntRange(1), help="Use only so many chips, drawn class by class."),
)
ID_OPTIONS = (
    _data(
        "--classes",
        type=ListType(),
        metavar="NAME,…|ID=NAME,…",
        help="Name the classes in masks: those of ids 0, 1, 2 …, or each with its id.  [default: as the data say]",
    ),
    _data("--ignore", type=ListType(int, "ID,…"), help="Take these ids in masks for no label."),
)
LABEL_OPTIONS = (
    _data(
        "--labels",
        type=PATH,
        help="Take DATA for a scene, and this raster on its grid for the labels of its pixels.",
    ),
    *ID_OPTIONS,
)
DRAWN_OPTIONS = (
    _data(
        "--label-column",
        default="class",
        show_default=True,
        metavar="NAME",
        help="Take classes of drawn labels from this column.",
    ),
    _data("--labels-layer", metavar="NAME", help="Take drawn labels from this layer.  [default: the only one]"),
    _data(
        "--scene-column",
        metavar="NAME",
        help="Use each drawn label only on scenes whose name holds what this column says.  [default: on all scenes]",
    ),
    _data(
        "--label-buffer",
        type=click.FloatRange(0),
        default=0.0,
        show_default=True,
        metavar="METRES",
        help="Label so much around drawn lines and points, too; 0: the pixels that they meet.",
    ),
)
MASK_OPTIONS = (
    _data(
        "--labels",
        type=PATH,
        multiple=True,
        help="Take DATA for a scene, and this file for the labels of its pixels: a raster on its grid, or polygons, "
        "lines or points with a class. Drawn labels may be several files.",
    ),
    *ID_OPTIONS,
    _data(
        "--optional-bands",
        type=ListType(),
        help="Train on images with masks so that scenes may lack these of the bands.",
    ),
    _data(
        "--window",
        type=int,
        default=D.window,
        show_default=True,
        metavar="PIXELS",
        help="Cut windows of this side, a multiple of 16, out of images with masks.",
    ),
)
SPLIT_OPTIONS = (
    _split(
        "--split",
        type=click.Choice(["stratified", "spatial"]),
        default=D.split,
        show_default=True,
        help="Share chips out between training, validation and test in this way, if the data do not say.",
    ),
    _split(
        "--validation",
        type=float,
        default=D.validation,
        show_default=True,
        help="Share of the chips, from 0 to 1, in the validation part.",
    ),
    _split(
        "--test",
        type=float,
        default=D.test,
        show_default=True,
        help="Share of the chips, from 0 to 1, in the test part.",
    ),
    _split(
        "--coordinates",
        type=click.Path(),
        help="Take the places of the chips from this CSV file with columns file, latitude and longitude.",
    ),
    _split(
        "--block-km",
        type=float,
        default=D.block_km,
        show_default=True,
        help="Share out square blocks of land of this side in kilometres, in a spatial split.",
    ),
    _split(
        "--buffer",
        type=float,
        default=D.buffer,
        show_default=True,
        metavar="CHIPS",
        help="Leave chips out that are nearer to another part than so many sides of a chip, in a spatial split.",
    ),
    _split("--allow-overlap", is_flag=True, help="Split at random even if chips of different parts then share ground."),
)
_TYPES: dict[str, Any] = {
    "str": str,
    "float | None": float,
    "int | None": click.IntRange(1),
    "tuple[int, ...] | None": ListType(int, "N,N,…"),
}
"""Types of the options of a network, by their annotation in `ArchitectureOptions`."""


def _declared(field: Field[Any]) -> Decorator:
    """An option of a network as `ArchitectureOptions` declares it."""
    return _network(
        f"--{field.name.replace('_', '-')}",
        type=_TYPES[str(field.type)],
        default=field.default,
        show_default=field.default is not None,
        metavar=field.metadata["metavar"],
        help=field.metadata["help"],
    )


NETWORK_OPTIONS: tuple[Decorator, ...] = (
    _network(
        "--arch",
        "architecture",
        type=click.Choice(ARCHITECTURES),
        metavar="NAME",
        help=f"Train a network of this architecture: {', '.join(ARCHITECTURES)}. Those of masks are "
        f"{' and '.join(OF_PIXELS)}.  [default: {D.architecture}; {PIXEL_DEFAULT} for images with masks]",
    ),
    *map(_declared, fields(ArchitectureOptions)),
    _network(
        "--from",
        "start_from",
        metavar="MODEL",
        help="Fine-tune this model: the name of a packaged one, or a .keras file.",
    ),
)
BUDGET_OPTIONS = (
    _budget("--epochs", type=click.IntRange(0), help=f"Pass over the training part so many times.  {_both('epochs')}"),
    _budget(
        "--head-epochs",
        type=click.IntRange(0),
        help=f"Pass over it so many times before that, to train the head on a frozen base.  {_both('head_epochs')}",
    ),
    _budget("--learning-rate", type=float, help=f"Highest learning rate of the schedule.  {_both('learning_rate')}"),
    _budget(
        "--head-learning-rate",
        type=float,
        default=D.head_learning_rate,
        show_default=True,
        help="Learning rate while only the head is trained.",
    ),
    _budget(
        "--unfreeze",
        type=NumberOr("all", number=int, shown="N"),
        default=D.unfreeze,
        show_default=True,
        help="Number of the base's last layers that are trained after the head.",
    ),
    _budget(
        "--frozen-norm/--no-frozen-norm",
        default=None,
        help="Keep batch normalisation in inference mode.  [default: only where --weights or --from is given]",
    ),
    _budget(
        "--batch-size",
        type=click.IntRange(1),
        default=D.batch_size,
        show_default=True,
        help="Number of chips in a training step.",
    ),
    _budget(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        default=D.optimizer,
        show_default=True,
        help="Train with this optimizer of Keras.",
    ),
    _budget(
        "--weight-decay",
        type=float,
        default=D.weight_decay,
        show_default=True,
        help="Weight decay of the optimizer adamw.",
    ),
    _budget(
        "--schedule",
        type=click.Choice(SCHEDULES),
        default=D.schedule,
        show_default=True,
        help="Change the learning rate by this schedule.",
    ),
    _budget(
        "--warmup-epochs",
        type=float,
        default=D.warmup_epochs,
        show_default=True,
        help="Number of epochs in which the cosine schedule reaches its highest rate.",
    ),
    _budget(
        "--label-smoothing",
        type=float,
        default=D.label_smoothing,
        show_default=True,
        help="Share of each label, from 0 to 1, that is spread over all classes.",
    ),
    _budget(
        "--class-weights",
        type=click.Choice(["none", "balanced"]),
        default=D.class_weights,
        show_default=True,
        help="balanced gives each class the same weight in the loss, however many chips it has.",
    ),
    _budget(
        "--ema",
        "ema_momentum",
        type=float,
        default=D.ema_momentum,
        show_default=True,
        help="Keep weights that are averaged over the training with this momentum; 0 keeps the last ones.",
    ),
    _budget(
        "--patience",
        type=click.IntRange(0),
        default=D.patience,
        show_default=True,
        help="Stop after so many epochs without a lower validation loss, and keep the best weights; 0 never stops.",
    ),
    _budget(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=D.precision,
        show_default=True,
        help="Train in this number format; mixed_bfloat16 is slow on a processor without bfloat16.",
    ),
    _budget(
        "--augment",
        type=ListType(),
        default=",".join(D.augment),
        show_default=True,
        help="Change chips at random in these ways, or none; an unknown name lists them all.",
    ),
    _budget(
        "--seed",
        type=int,
        default=D.seed,
        show_default=True,
        help="Draw another split, other weights and other changes for another number.",
    ),
    _budget("--workers", type=click.IntRange(1), default=2, show_default=True, help="Load chips in so many threads."),
)
TEACHER_OPTIONS = (
    _teacher("--teacher", metavar="MODEL", help="Learn from this model's probabilities, too (knowledge distillation)."),
    _teacher(
        "--teacher-share",
        type=float,
        default=D.teacher_share,
        show_default=True,
        help="Share of the teacher in the labels, from 0 to 1; the rest are the true labels.",
    ),
    _teacher(
        "--teacher-temperature",
        type=float,
        default=D.teacher_temperature,
        show_default=True,
        help="Flatten the teacher's probabilities by this temperature, above 1.",
    ),
    _teacher(
        "--teacher-views",
        type=int,
        default=D.teacher_views,
        show_default=True,
        help="Ask the teacher about so many augmented views of each chip; 0 asks once about the chip as it is.",
    ),
)
CARD_OPTIONS = (
    _card("--name", help="Name of the model.  [default: the file's]"),
    _card("--description", help="Say what the model is for, and what it is bad at."),
    _card(
        "--level",
        type=click.Choice(["L1C", "L2A"]),
        default=D.level,
        show_default=True,
        help="Product level of the chips.",
    ),
    _card("--licence", default=D.licence, show_default=True, metavar="SPDX", help="Licence of the weights."),
)
_described = option_in("Description of the model")

DESCRIBE_OPTIONS = (
    _described("--bands", type=ListType(), help="Bands of the model's input in their order, such as B04,B03,B02."),
    _described("--classes", type=ListType(), help="Names of the model's outputs in their order."),
    _described(
        "--colors", type=ListType(), metavar="#RRGGBB,…", help="Colors of the classes on maps.  [default: landmap's]"
    ),
    _described(
        "--level",
        "levels",
        type=ListType(),
        metavar="L1C|L2A",
        help="Product level that the model was trained on, or both levels.",
    ),
    _described("--resolution", type=float, help="Size of a pixel of the chips in metres.  [default: 10]"),
    _described(
        "--input",
        type=click.Choice(list(INPUTS)),
        help="Put a scaling to these numbers, which the model takes, before it.  [default: by its first layer]",
    ),
    _described("--softmax", is_flag=True, help="Put a softmax behind a model that answers with logits."),
    _described(
        "--template", metavar="CARD|MODEL", help="Take what is not given here from the card of a similar model."
    ),
    _described("--name", help="Name of the model.  [default: the file's]"),
    _described("--version", help="Version of the model.  [default: 1]"),
    _described("--description", help="Say what the model is for, and what it is bad at."),
    _described("--licence", metavar="SPDX", help="Licence of the weights."),
)
CHIP_OPTIONS = (
    _data("--chips", type=click.Path(), help="Measure bands and quality on these chips, labelled or not."),
    *FILE_OPTIONS,
)
