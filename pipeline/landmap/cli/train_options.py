"""The options of the commands about models, in sections; their defaults are those of `TrainSettings`."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import click

from landmap.cli.help import Decorator, option_in
from landmap.cli.types import ListType, NumberOr
from landmap_models.architectures import ARCHITECTURES
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.inference.input_scale import INPUTS
from landmap_models.training.settings import OPTIMIZERS, PRECISIONS, SCHEDULES, TrainSettings, recommended

D = TrainSettings()
"""Where the options below have their defaults from."""


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
    _data("--file-bands", type=ListType(), help="The bands in the files, in order, where they don't say."),
    _data("--skip-bad", is_flag=True, help="Leave out files that can't be used, instead of stopping."),
)
DATA_OPTIONS = (
    _data("--bands", type=ListType(), help="Bands to use, such as B04,B03,B02.  [default: all]"),
    *FILE_OPTIONS,
    _data("--limit", type=click.IntRange(1), help="Use so many chips only, drawn class by class."),
)
SPLIT_OPTIONS = (
    _split(
        "--split",
        type=click.Choice(["stratified", "spatial"]),
        default=D.split,
        show_default=True,
        help="How chips are shared out, where the data do not say.",
    ),
    _split("--validation", type=float, default=D.validation, show_default=True, help="Share of the validation part."),
    _split("--test", type=float, default=D.test, show_default=True, help="Share of the test part."),
    _split("--coordinates", type=click.Path(), help="CSV file,latitude,longitude: where the chips lie."),
    _split("--block-km", type=float, default=D.block_km, show_default=True, help="Side of a block of a spatial split."),
    _split(
        "--buffer",
        type=float,
        default=D.buffer,
        show_default=True,
        metavar="CHIPS",
        help="Chips' sides between the parts of a spatial split; nearer chips are left out.",
    ),
    _split("--allow-overlap", is_flag=True, help="Split at random though chips of several parts then share ground."),
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
        default=D.architecture,
        show_default=True,
        metavar="NAME",
        help=f"Out of {', '.join(ARCHITECTURES)}.",
    ),
    *map(_declared, fields(ArchitectureOptions)),
    _network("--from", "start_from", metavar="MODEL", help='Fine-tune this model: "default", or a .keras file.'),
)
BUDGET_OPTIONS = (
    _budget("--epochs", type=click.IntRange(0), help=f"Passes over the training part.  {_both('epochs')}"),
    _budget(
        "--head-epochs",
        type=click.IntRange(0),
        help=f"Passes before these, which train the head on a frozen base.  {_both('head_epochs')}",
    ),
    _budget("--learning-rate", type=float, help=f"Peak of the schedule.  {_both('learning_rate')}"),
    _budget("--head-learning-rate", type=float, default=D.head_learning_rate, show_default=True, help="For the head."),
    _budget(
        "--unfreeze",
        type=NumberOr("all", number=int, shown="N"),
        default=D.unfreeze,
        show_default=True,
        help="How many of the base's last layers learn after the head.",
    ),
    _budget(
        "--frozen-norm/--no-frozen-norm",
        default=None,
        help="Keep batch normalisation in inference mode.  [default: only where --weights or --from is given]",
    ),
    _budget("--batch-size", type=click.IntRange(1), default=D.batch_size, show_default=True, help="Chips a step."),
    _budget("--optimizer", type=click.Choice(OPTIMIZERS), default=D.optimizer, show_default=True, help="Keras's."),
    _budget("--weight-decay", type=float, default=D.weight_decay, show_default=True, help="Of adamw."),
    _budget("--schedule", type=click.Choice(SCHEDULES), default=D.schedule, show_default=True, help="Of the rate."),
    _budget("--warmup-epochs", type=float, default=D.warmup_epochs, show_default=True, help="Of the cosine schedule."),
    _budget(
        "--label-smoothing",
        type=float,
        default=D.label_smoothing,
        show_default=True,
        help="Share of each label spread over all classes.",
    ),
    _budget(
        "--class-weights",
        type=click.Choice(["none", "balanced"]),
        default=D.class_weights,
        show_default=True,
        help="balanced: each class counts the same, however many chips it has.",
    ),
    _budget(
        "--ema",
        "ema_momentum",
        type=float,
        default=D.ema_momentum,
        show_default=True,
        help="Momentum of the averaged weights, which are kept; 0: no average.",
    ),
    _budget(
        "--patience",
        type=click.IntRange(0),
        default=D.patience,
        show_default=True,
        help="Stop after so many epochs without a lower validation loss, with the best weights; 0: never.",
    ),
    _budget(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=D.precision,
        show_default=True,
        help="While training; without bfloat16 in the processor the mixed one is slow.",
    ),
    _budget(
        "--augment",
        type=ListType(),
        default=",".join(D.augment),
        show_default=True,
        help="Random changes of chips, by name, or none; an unknown name lists them.",
    ),
    _budget("--seed", type=int, default=D.seed, show_default=True, help="Of split, weights and augmentation."),
    _budget("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that load chips."),
)
TEACHER_OPTIONS = (
    _teacher("--teacher", metavar="MODEL", help="Learn from this model's probabilities, too (distillation)."),
    _teacher(
        "--teacher-share", type=float, default=D.teacher_share, show_default=True, help="Of the labels; the rest: true."
    ),
    _teacher(
        "--teacher-temperature",
        type=float,
        default=D.teacher_temperature,
        show_default=True,
        help="Above 1 its probabilities are flatter.",
    ),
    _teacher(
        "--teacher-views",
        type=int,
        default=D.teacher_views,
        show_default=True,
        help="It judges so many augmented views of each chip; 0: each chip once, as it is.",
    ),
)
CARD_OPTIONS = (
    _card("--name", help="Of the model.  [default: the file's]"),
    _card("--description", help="What it is for, and what it is bad at."),
    _card("--level", type=click.Choice(["L1C", "L2A"]), default=D.level, show_default=True, help="Of the chips."),
    _card("--licence", default=D.licence, show_default=True, metavar="SPDX", help="Of the weights."),
)
_told = option_in("What you say of it")

TOLD_OPTIONS = (
    _told("--bands", type=ListType(), help="Of its input, in order, such as B04,B03,B02."),
    _told("--classes", type=ListType(), help="Of its outputs, in order."),
    _told("--colors", type=ListType(), metavar="#RRGGBB,…", help="Of the classes.  [default: landmap's]"),
    _told("--level", "levels", type=ListType(), metavar="L1C|L2A", help="Of what it was trained on, or both."),
    _told("--resolution", type=float, help="Metres a pixel.  [default: 10]"),
    _told(
        "--input",
        type=click.Choice(list(INPUTS)),
        help="The numbers that it takes; a scaling to them is put before it.  [default: by its first layer]",
    ),
    _told("--softmax", is_flag=True, help="It answers with logits: a softmax is put behind it."),
    _told("--template", metavar="CARD|MODEL", help="Take what is not said here from the card of a like model."),
    _told("--name", help="Of the model.  [default: the file's]"),
    _told("--version", help="Of the model.  [default: 1]"),
    _told("--description", help="What it is for, and what it is bad at."),
    _told("--licence", metavar="SPDX", help="Of the weights."),
)
CHIP_OPTIONS = (
    _data("--chips", type=click.Path(), help="Chips, labelled or not, on which bands and quality are measured."),
    *FILE_OPTIONS,
)
