"""What will be done to a scene, decided before any pixel is computed."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from landmap.crosswalk import PRODUCTS, Recode, recode
from landmap.errors import SettingsError, issue_warnings
from landmap.inference.chunking import (
    bytes_per_pixel,
    chunk_shape,
    itemsize_of,
    large_blocks,
    remembered_bytes,
)
from landmap.inference.detail import DetailSettings, detail_settings, part_of
from landmap.inference.engine import choose_engine
from landmap.inference.methods import Method, check_task, choose_method, each_pixel
from landmap.inference.plan_text import plan_dict, plan_html, plan_text
from landmap.inference.predict import ChunkSettings
from landmap.io.reading import sharing_files
from landmap.scene.arrays import ArrayData
from landmap.scene.checks import check_georeference
from landmap.scene.cloud_detection import without_clouds
from landmap.scene.further_bands import maps_pixels
from landmap.scene.mask_checks import mask_warnings
from landmap.scene.nir import ONLY
from landmap.scene.scene import Scene, open_scene
from landmap.settings import STRIDES, Choices, Settings, with_choices
from landmap.tiling import Chunk, Grid
from landmap_models.inference.engines import InferenceEngine
from landmap_models.legend import UNKNOWN, LandClass
from landmap_models.model_file.archive import read_card, read_config, read_further
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.nir import CELL
from landmap_models.model_file.packaged import find_model

AUTO_WINDOWS = 40_000
"""The finest stride is chosen that needs no more windows than this: well under a minute on a laptop."""


DETAIL_PER_SECOND_AND_CORE = 1_400_000
"""Rough rate of the packaged network for pixels, in pixels a second."""
OTHER_WORK_PER_SECOND_AND_CORE = 2_000_000
"""Rough rate, in pixels a second, of all but the networks: reading, blending, choosing classes, writing."""


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Everything that decides a cover. It is small and can be pickled: no pixels, no model, no open file.

    `print(plan)` prints what `landmap plan` does.
    """

    scene: Scene
    """The scene that is read, and how its values are understood."""
    card: ModelCard
    """The model's card."""
    model_path: Path | None
    """The model's file; None for a classifier that was passed in."""
    grid: Grid
    """The scene's windows and cells."""
    chunk_shape: tuple[int, int]
    """Rows and columns of pixels that a chunk owns, at most."""
    settings: Settings
    """The settings as they were given."""
    method: Method
    """How the probabilities of windows are computed."""
    engine: InferenceEngine
    """The library that computes the networks' answers."""
    engine_reason: str
    """Why it is this one, in words; empty where there was nothing to choose."""
    detail: bool
    """Whether classes are those of single pixels, by both networks of the model; otherwise they are those of cells."""
    warnings: tuple[str, ...]
    """What the user should know before trusting the cover."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks row by row."""
        return self.grid.chunks(*self.chunk_shape, margin=1 if self.settings.smooth or self.detail else 0)

    @property
    def num_chunks(self) -> int:
        """Number of chunks."""
        return sum(1 for _ in self.chunks())

    @property
    def num_left_out(self) -> int:
        """Number of chunks that a mask is known to leave out, and that are not read therefore."""
        return sum(self.scene.left_out(self.grid.owned_window(chunk)) for chunk in self.chunks())

    @property
    def tile(self) -> tuple[int, int] | None:
        """Rows and columns of pixels of the largest chunk with its windows, to which all others are filled up.

        None where the method does not take a chunk in one pass.
        """
        if not self.method.in_one_pass:
            return None
        chip, stride = self.grid.chip_size, self.grid.stride
        windows = [self.grid.padded_window(chunk) for chunk in self.chunks()]
        least = chip + stride * math.ceil(max(0, self.engine.smallest_tile - chip) / stride)
        return max(least, *(w.height for w in windows)), max(least, *(w.width for w in windows))

    def chunk_settings(self, *, keep_probabilities: bool = False) -> ChunkSettings:
        """How each chunk is predicted.

        Args:
            keep_probabilities: The probabilities of every class are wanted, too.
        """
        chosen = self.settings
        return ChunkSettings(
            method=self.method,
            batch_size=chosen.batch_size,
            tile=self.tile,
            smooth=chosen.smooth,
            keep_probabilities=keep_probabilities,
            unknown_below=chosen.unknown_below,
            recode=self.recode,
            detail=self.detail_settings(self.chunks()),
        )

    def detail_settings(self, chunks: Iterable[Chunk]) -> DetailSettings | None:
        """How the model's network for pixels is run; None where it isn't.

        Args:
            chunks: All chunks that it is run on.
        """
        if not self.detail:
            return None
        available = (*self.card.band_names, *((NIR_BAND,) if self.scene.nir else ()))
        available += self.scene.further.names if self.scene.further else ()
        owned = [self.grid.owned_window(chunk) for chunk in chunks]
        return detail_settings(part_of(self.card), available, owned, self.engine.smallest_tile)

    @property
    def cell(self) -> int:
        """Pixels along the side of the smallest squares that get a class of their own."""
        if self.detail or self.card.per_pixel:
            return 1
        return math.gcd(self.grid.stride, CELL) if self.scene.nir else self.grid.stride

    @property
    def recode(self) -> Recode | None:
        """How the model's classes become those of the legend that the settings name; None where they name none."""
        legend = self.settings.legend
        return None if legend is None else recode(self.card.legend.names, legend)

    @property
    def legend(self) -> tuple[LandClass, ...]:
        """Classes that have probabilities: the model's, or what they become in the legend that the settings name."""
        return tuple(self.card.legend) if self.recode is None else self.recode.classes

    @property
    def map_classes(self) -> tuple[LandClass, ...]:
        """Classes that the cover may have: those of `legend`, and "Unknown" if `unknown_below` is set."""
        return (*self.legend, *([UNKNOWN] if self.settings.unknown_below is not None else []))

    @property
    def chunk_bytes(self) -> int:
        """Memory in bytes that one chunk needs, about: pixels, activations, probabilities, decoded blocks."""
        height, width = self.tile or max(
            (self.grid.padded_window(c).shape for c in self.chunks()), key=lambda shape: shape[0] * shape[1]
        )
        windows = max(len(c.window_rows) * len(c.window_cols) for c in self.chunks())
        itemsize = itemsize_of(self.settings.precision)
        return (
            int(height * width * bytes_per_pixel(self.scene, self.card, self.method, itemsize))
            + windows * len(self.card.legend) * 16
            + self.method.window_bytes(itemsize)
            + remembered_bytes(self.scene)
        )

    @property
    def seconds(self) -> float:
        """Rough time in seconds that the chunks take here, without a GPU; the start is not counted."""
        chunks = self.num_chunks - self.num_left_out
        share = chunks / self.num_chunks
        given = self.detail_settings(self.chunks())
        seconds_of_a_core = (
            self.method.seconds(share * self.grid.num_windows, chunks * math.prod(self.tile or (0, 0)))
            + (chunks * math.prod(given.shape) / DETAIL_PER_SECOND_AND_CORE if given else 0)
            + share * self.grid.height * self.grid.width / OTHER_WORK_PER_SECOND_AND_CORE
        )
        return seconds_of_a_core / (os.cpu_count() or 1)

    @property
    def nir(self) -> str:
        """Whether and how near infrared is used, or why not, in words."""
        text = f"{NIR_BAND}: {self.scene.nir_text}"
        further = ", ".join(self.scene.further.names) if self.scene.further else ""
        return text.replace(ONLY, f"true colour and {further} only") if further else text

    @property
    def masks(self) -> list[str]:
        """What the masks leave out though there is data, in words, one entry for each mask."""
        return [mask.text for mask in self.scene.masks]

    def to_dict(self) -> dict[str, Any]:
        """The plan as values that JSON has, as `landmap plan --json` prints it."""
        return plan_dict(self)

    def __str__(self) -> str:
        """The plan as `landmap plan` prints it, and its warnings."""
        return plan_text(self)

    def __repr__(self) -> str:
        path, windows = self.scene.source.redacted_path, self.grid.num_windows
        return f"<Plan of {path}: {windows} windows in {self.num_chunks} chunks>"

    def _repr_html_(self) -> str:
        return plan_html(self)


def make_plan(
    path: str | os.PathLike[str] | ArrayData,
    settings: Settings | None = None,
    *,
    card: ModelCard | None = None,
    **choices: Unpack[Choices],
) -> Plan:
    """Plan the classification of a scene: read headers and a small sample of pixels, and compute nothing.

    What the user should know is in `Plan.warnings`, and issued as `LandmapWarning`.

    Args:
        path: Anything that `landmap.open_scene` takes.
        settings: The settings of the run; None: the defaults.
        card: The card of a classifier that will be passed in; `settings.model` is then not used. None: the model is
            that of the settings.
        **choices: Fields of `Settings`, such as `stride=16`, in place of those in `settings`.

    Raises:
        SettingsError: A setting has a value that can't be meant.
        SceneError: The scene can't be opened or used; see `landmap.errors`.
        ModelError: The model can't be found, has no card, or gives a chip several classes.
    """
    settings = with_choices(settings, choices)
    model_path = None if card else find_model(settings.model)
    card = card or read_card(find_model(settings.model))
    check_task(card)
    _check_legend(card, settings)
    _check_per_pixel(card, settings)
    with sharing_files():
        scene = open_scene(path, settings, card=card)
        if settings.clouds == "s2cloudless":
            scene = without_clouds(scene, settings)
    placed = check_georeference(scene, card, force=settings.force)
    config = read_config(model_path) if model_path else None
    detail = _detail(card, settings, config)
    if detail and model_path:
        read_further(model_path, part_of(card))  # refused here where it is not there
    if not (detail or card.per_pixel):
        scene = dataclasses.replace(scene, further=None, further_text="")
    grid, method = _windows(scene, card, settings, config, detail=detail)
    engine, engine_reason = choose_engine(settings, config, grid, card)
    warnings = (*placed, *large_blocks(scene), *_smaller_than_a_chip(scene, card), *_warnings_of(scene))
    issue_warnings(warnings)
    return Plan(
        scene=scene,
        card=card,
        model_path=model_path,
        grid=grid,
        chunk_shape=chunk_shape(scene, grid, card, method, settings, itemsize_of(settings.precision)),
        settings=settings,
        method=method,
        engine=engine,
        engine_reason=engine_reason,
        detail=detail,
        warnings=warnings,
    )


def _check_legend(card: ModelCard, settings: Settings) -> None:
    """Refuse a legend in which not every class of the model has a counterpart."""
    if settings.legend is None:
        return
    try:
        recode(card.legend.names, settings.legend)
    except ValueError as error:
        raise SettingsError(
            f"legend: expected a model whose classes can become those of {PRODUCTS[settings.legend].title}. Of "
            f"{card.name}'s, {error}: leave --legend out, and recode the finished map"
        ) from error


def _check_per_pixel(card: ModelCard, settings: Settings) -> None:
    """Refuse settings that mean nothing to a model that answers for each pixel.

    Raises:
        SettingsError: There is one.
    """
    given = {"stride": settings.stride is not None, "smooth": settings.smooth, "detail": settings.detail == "chip"}
    if card.per_pixel and (names := [name for name, set_ in given.items() if set_]):
        raise SettingsError(
            f"{names[0]}: expected no {' and no '.join(names)} with {card.name}, which gives a class to each pixel: "
            "leave it out"
        )


def _windows(
    scene: Scene, card: ModelCard, settings: Settings, config: Mapping[str, Any] | None, *, detail: bool
) -> tuple[Grid, Method]:
    """Where the model's windows lie, and how it answers for them."""
    shape = scene.geobox.shape
    if card.per_pixel:
        further = scene.further.names if scene.further else ()
        pixels = each_pixel(card, {*card.band_names, *further}, *shape)
        return Grid(*shape, pixels.size, pixels.stride, card.margin or 0), pixels
    stride = part_of(card).step if detail else settings.stride or _stride(scene, card, config)
    return Grid(*shape, card.chip_size, stride), choose_method(config, card, stride)


def _warnings_of(scene: Scene) -> Iterator[str]:
    """What the parts of a scene warn of, in the order in which the plan lists them."""
    for mask in scene.masks:
        yield from mask.warnings
    if scene.product:
        yield from (*scene.product.warnings, *scene.product.interpolated())
    yield from (*scene.warnings, *scene.clouds.warnings, *mask_warnings(scene), *scene.radiometry.warnings)


def _smaller_than_a_chip(scene: Scene, card: ModelCard) -> list[str]:
    """The warning about a scene smaller than a chip, which is filled up with its mirror image."""
    chip = 1 if card.per_pixel and card.margin is not None else card.chip_size
    share = min(scene.geobox.height, chip) * min(scene.geobox.width, chip) / chip**2
    if share == 1:
        return []
    percent = f"{100 * share:.0f} %" if share >= 0.005 else "less than 1 %"
    rows, cols = scene.geobox.shape
    return [
        f"{rows} rows x {cols} columns are less than a chip of {chip}x{chip} px: {percent} of what the "
        "model sees is the scene, the rest its mirror image, and classes are less sure. Take a larger part of the land"
    ]


def _detail(card: ModelCard, settings: Settings, config: Mapping[str, Any] | None) -> bool:
    """Whether classes are to be those of single pixels."""
    if card.per_pixel:
        return False
    if settings.detail == "pixel" and card.pixels is None:
        raise SettingsError(
            f"detail: expected a model with a network for pixels, as {card.name} has none: --detail chip"
        )
    if not maps_pixels(card, settings):
        return False
    return settings.detail == "pixel" or choose_method(config, card, part_of(card).step).in_one_pass


def _stride(scene: Scene, card: ModelCard, config: Mapping[str, Any] | None) -> int:
    """The finest stride whose windows are predicted in one pass, or else are few enough.

    It depends on the scene's shape and the model, and not on the machine.
    """
    possible = [s for s in STRIDES if card.chip_size % s == 0] or [card.chip_size]
    fine = [
        s
        for s in possible
        if choose_method(config, card, s).in_one_pass
        or Grid(scene.geobox.height, scene.geobox.width, card.chip_size, s).num_windows <= AUTO_WINDOWS
    ]
    return min(fine, default=possible[0])


def with_precision(plan: Plan, precision: str) -> Plan:
    """The plan for a run in a precision: the fewer bytes a number has, the larger its chunks may be.

    Args:
        plan: The plan of the scene's classification.
        precision: Name of the number format, such as "bfloat16".
    """
    itemsize = itemsize_of(precision)
    shape = chunk_shape(plan.scene, plan.grid, plan.card, plan.method, plan.settings, itemsize)
    return dataclasses.replace(plan, chunk_shape=shape)
