"""Settings of a training: one value, which the card of the model records."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.errors import ModelError
from landmap_models.sentinel2 import Level


def recommended(pretrained: bool) -> dict[str, Any]:
    """Budget that usually works: epochs and learning rate.

    Args:
        pretrained: Whether the base of the network has been trained before, or starts from random weights.
    """
    if pretrained:
        return {"epochs": 10, "head_epochs": 2, "learning_rate": 2e-4}
    return {"epochs": 64, "head_epochs": 0, "learning_rate": 2e-3}


OPTIMIZERS = ("adam", "adamw", "adagrad", "rmsprop", "sgd")
"""Optimisers of Keras."""
SCHEDULES = ("constant", "exponential", "cosine", "plateau")
PRECISIONS = ("float32", "mixed_bfloat16")
CHOICES = {
    "level": ("L1C", "L2A"),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "class_weights": ("none", "balanced"),
    "split": ("stratified", "spatial"),
}
"""Words that a setting may have."""


def _counted(least: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {least} on", lambda v: isinstance(v, int) and least <= v < 2**32


_SHARE = "a number from 0 to below 1", lambda v: 0 <= v < 1
_NOT_NEGATIVE = "a number from 0 on", lambda v: 0 <= v < math.inf
_POSITIVE = "a number above 0", lambda v: 0 < v < math.inf
RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "epochs": _counted(0),
    "head_epochs": _counted(0),
    "batch_size": _counted(1),
    "patience": _counted(0),
    "seed": _counted(0),
    "limit": _counted(1),
    "unfreeze": _counted(0),
    "teacher_views": _counted(0),
    "label_smoothing": _SHARE,
    "ema_momentum": _SHARE,
    "teacher_share": ("a number from 0 to 1", lambda v: 0 <= v <= 1),
    "weight_decay": _NOT_NEGATIVE,
    "warmup_epochs": _NOT_NEGATIVE,
    "learning_rate": _POSITIVE,
    "head_learning_rate": _POSITIVE,
    "teacher_temperature": _POSITIVE,
    "block_km": _POSITIVE,
    "buffer": _NOT_NEGATIVE,
    "window": ("a multiple of 16 from 16 on", lambda v: isinstance(v, int) and v >= 16 and not v % 16),
    "validation": _POSITIVE,
    "test": _POSITIVE,
}
"""Range of each setting that is a number, in words and as a function; "all" and None are allowed besides."""


@dataclass(frozen=True, slots=True)
class TrainSettings(ArchitectureOptions):
    """Everything that a training depends on besides the chips; the card of the model records it.

    The options of the network are those of `ArchitectureOptions`.

    Raises:
        ModelError: A value can't be meant, or two contradict each other.
    """

    name: str = "compact"
    """Name of the model on its card."""
    description: str | None = None
    """Description on the card: what the model maps, and where it is weak; None: that of its kind of answers."""
    level: Level = "L1C"
    """Product level of the chips."""
    licence: str = "not stated"
    """Licence of the weights, as an SPDX identifier."""

    architecture: str = "compact"
    """Name of the architecture, one of `architectures.ARCHITECTURES`."""
    start_from: str | None = None
    """Packaged model or `.keras` file whose network is fine-tuned; None: a new network is built."""

    epochs: int = 64
    """Number of passes over the training part; those of the second phase if there are two."""
    head_epochs: int = 0
    """Number of passes of a first phase, which trains the head on a frozen base; 0: no such phase."""
    head_learning_rate: float = 1e-3
    """Highest learning rate of the first phase."""
    unfreeze: int | Literal["all"] = "all"
    """Number of the last layers of the base that the second phase trains; "all": the whole network."""
    frozen_norm: bool | None = None
    """Whether batch normalisation stays in inference mode; None: it does if the base has been trained before."""
    batch_size: int = 128
    """Number of chips in a step."""
    optimizer: Literal["adam", "adamw", "adagrad", "rmsprop", "sgd"] = "adamw"
    """Optimiser of Keras; sgd has a Nesterov momentum of 0.9."""
    learning_rate: float = 2e-3
    """Highest learning rate of the schedule."""
    schedule: Literal["constant", "exponential", "cosine", "plateau"] = "cosine"
    """Course of the learning rate. cosine: to zero after a warm-up; exponential: to a hundredth; plateau: a fifth after
    3 epochs without a lower validation loss."""
    warmup_epochs: float = 2.0
    """Number of epochs in which the cosine schedule rises to its highest rate."""
    weight_decay: float = 0.05
    """Weight decay of adamw."""
    label_smoothing: float = 0.05
    """Share of each label that is spread over all classes."""
    ema_momentum: float = 0.998
    """Momentum of the moving average of the weights, which the model gets; 0: no average. Short phases have less: see
    `fit.average_momentum`."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of classes in the loss. balanced: each class counts the same, however many chips it has."""
    patience: int = 0
    """Number of epochs without a lower validation loss after which the training stops with the best weights; 0: it
    never stops early, and keeps the last weights."""
    precision: str = "mixed_bfloat16"
    """Dtype policy of Keras in training: float32, or mixed_bfloat16, which is fast where the processor has bfloat16,
    and slow elsewhere. The written model is float32."""

    teacher: str | None = None
    """Packaged model or `.keras` file whose probabilities replace the labels (distillation); None: no teacher."""
    teacher_share: float = 1.0
    """Weight of the probabilities of the teacher in the labels; the rest is that of the true class."""
    teacher_temperature: float = 2.0
    """Number by which the logits of the teacher are divided."""
    teacher_views: int = 0
    """Number of augmented views of each chip that the teacher labels, and that epochs go through in turn; 0: the
    teacher labels each chip once, unchanged."""
    round_weights: bool = False
    """Whether batch normalisation is folded and weights are rounded to bfloat16, so that inference in bfloat16 agrees
    more often with float32: see `network.rounded`."""
    calibrate: bool = True
    """Whether logits are scaled by a temperature, fitted on the validation part and folded into the last layer."""

    augment: tuple[str, ...] = ("standard",)
    """Names of augmentations, as in `augment.compose`."""
    seed: int = 1
    """Seed of the split, the initial weights and the augmentation."""
    split: Literal["stratified", "spatial"] = "stratified"
    """Kind of split, unless the data come divided."""
    coordinates: str | None = None
    """CSV file with file, latitude, longitude of the chips, by which they are split; None: their own georeference."""
    block_km: float = 50.0
    """Height and width of the blocks of a spatial split, in kilometres."""
    buffer: float = 1.0
    """Least distance between two parts of a spatial split, in sides of a chip."""
    allow_overlap: bool = False
    """Whether a random split is allowed although chips of several parts share ground."""
    limit: int | None = None
    """Number of chips to use, drawn class by class; None: all."""
    bands: tuple[str, ...] | None = None
    """Bands to use, in the order of the input; None: all of the chips."""
    file_bands: tuple[str, ...] | None = None
    """Names of the bands in the files, in order; None: the files name them."""
    skip_bad: bool = False
    """Whether files that can't be used are left out, and not an error."""
    classes: tuple[str, ...] | None = None
    """Names of the classes in masks, as in `open_images`; None: the data name them."""
    ignore: tuple[int, ...] = ()
    """Ids in masks that are no label."""
    window: int = 64
    """Side of the windows of images with masks that are trained on, in pixels, a multiple of 16."""
    optional_bands: tuple[str, ...] = ()
    """Bands of images with masks that scenes may lack: the network is told which are there, and in training they are
    left out at random."""
    validation: float = 0.1
    """Share of the chips in the validation part."""
    test: float = 0.1
    """Share of the chips in the test part."""

    def __post_init__(self) -> None:
        _check_types(self)
        _check_words(self)
        _check_numbers(self)
        ArchitectureOptions.__post_init__(self)
        _check_together(self)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> TrainSettings:
        """Settings from entries as YAML or JSON has them; those that are missing have their defaults.

        Args:
            content: Values by name of the setting, with lists for tuples. A number may be given as a text: YAML takes
                1e-3 for one.

        Raises:
            ModelError: A name is no setting's, or a value can't be meant.
        """
        hints = get_type_hints(cls)
        for name in content:
            if name not in hints:
                close = get_close_matches(str(name), hints) or sorted(hints)
                raise ModelError(f"{name}: expected the name of a setting, such as {', '.join(close)}")
        return cls(**{name: _converted(value, hints[name]) for name, value in content.items()})

    @property
    def options(self) -> ArchitectureOptions:
        """The options of the network."""
        return ArchitectureOptions(**{field.name: getattr(self, field.name) for field in fields(ArchitectureOptions)})

    def to_content(self) -> dict[str, Any]:
        """The settings as a card holds them: lists for tuples."""
        return cast(dict[str, Any], json.loads(json.dumps(asdict(self))))

    @property
    def pretrained(self) -> bool:
        """Whether the base has been trained before."""
        return self.start_from is not None or self.weights != "none"

    @property
    def norm_is_frozen(self) -> bool:
        """Whether batch normalisation stays in inference mode."""
        return self.pretrained if self.frozen_norm is None else self.frozen_norm


def _converted(value: Any, hint: Any) -> Any:
    """A value of JSON or YAML as the type of its setting has it, where it can be meant for one."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and float in (hint, *get_args(hint)):
        try:
            return float(value)
        except ValueError:
            return value
    return value


_TYPES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "nothing",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
}
"""Types of settings in words."""


def _check_types(settings: TrainSettings) -> None:
    """Refuse values of another type; `_check_words` and `_check_numbers` look at the settings that they list."""
    for name, hint in get_type_hints(TrainSettings).items():
        if name in CHOICES or name in RANGES:
            continue
        value, kinds = getattr(settings, name), get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if not any(_is_a(value, kind) for kind in kinds):
            words = " or ".join(_TYPES[kind] for kind in kinds)
            raise ModelError(f"{name}: expected {words}. Received: {value!r}")


def _is_a(value: object, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_a(item, get_args(kind)[0]) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _check_words(settings: TrainSettings) -> None:
    for name, words in CHOICES.items():
        value = getattr(settings, name)
        if value not in words:
            raise ModelError(f"{name}: expected one of {', '.join(words)}. Received: {value!r}")
    for name in ("name", "description"):
        value = getattr(settings, name)
        if (value is not None and not value.strip()) or (name == "name" and value.splitlines() != [value]):
            raise ModelError(f"{name}: expected a text{' on one line' * (name == 'name')}. Received: {value!r}")


def _check_numbers(settings: TrainSettings) -> None:
    for name, (words, fits) in RANGES.items():
        value = getattr(settings, name)
        if value is None or (name == "unfreeze" and value == "all"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise ModelError(f"{name}: expected {words}. Received: {value!r}")


def _check_together(settings: TrainSettings) -> None:
    if settings.epochs + settings.head_epochs < 1:
        raise ModelError("epochs: expected at least one epoch. Received: none")
    if settings.validation + settings.test >= 1:
        shares = f"{settings.validation:g} and {settings.test:g}"
        raise ModelError(f"validation, test: expected shares that leave chips for training. Received: {shares}")
    if settings.start_from is not None and settings.options != ArchitectureOptions():
        raise ModelError(
            "start_from: the model brings its own network. Leave out weights, filters, pool, dense, dropout and "
            "input_size"
        )
