"""What will be done to a scene, decided and printed before any pixel is computed."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from landmap.inference.chunking import (
    SMALLEST_TILE,
    bytes_per_pixel,
    chunk_shape,
    itemsize_of,
    large_blocks,
    remembered_bytes,
)
from landmap.inference.predict import ChunkSettings
from landmap.scene.checks import check_georeference
from landmap.scene.cloud_detection import without_clouds
from landmap.scene.mask_checks import mask_warnings
from landmap.scene.scene import Scene, open_scene
from landmap.settings import STRIDES, Choices, Settings, with_choices
from landmap.tiling import Chunk, Grid
from landmap_models.errors import ModelError
from landmap_models.inference.dense import Dense, analyse
from landmap_models.legend import UNKNOWN, LandClass
from landmap_models.model_file.archive import read_card, read_config
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.packaged import find_model

AUTO_WINDOWS = 40_000
"""The finest stride is chosen that needs no more windows than this: well under a minute on a laptop."""
CHIPS_PER_SECOND_AND_CORE = 800
"""Rough rate of the packaged model one by one, for the estimate."""
PIXELS_PER_SECOND_AND_CORE = 1_500_000
"""Rough rate of the packaged model in one pass."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a cover. Small and picklable: no pixels, no model, no open file."""

    scene: Scene
    """What is read, and how its values are understood."""
    card: ModelCard
    """Of the model."""
    model_path: Path | None
    """File of the model; None for a classifier that was passed in."""
    grid: Grid
    """Windows and cells."""
    chunk_shape: tuple[int, int]
    """Rows and columns of pixels that a chunk owns, at most."""
    settings: Settings
    """As given."""
    dense: Dense | str
    """The network that predicts all windows of a chunk in one pass; or why chips are predicted one by one."""
    warnings: tuple[str, ...]
    """What the user should know before trusting the cover."""

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, row by row."""
        return self.grid.chunks(*self.chunk_shape, margin=1 if self.settings.smooth else 0)

    @property
    def num_chunks(self) -> int:
        """Number of chunks."""
        return sum(1 for _ in self.chunks())

    @property
    def num_left_out(self) -> int:
        """Number of chunks that a mask is known to leave out: they are not read."""
        return sum(self.scene.left_out(self.grid.owned_window(chunk)) for chunk in self.chunks())

    @property
    def masks(self) -> list[str]:
        """What is left out though there is data, in words."""
        return [mask.text for mask in self.scene.masks]

    @property
    def tile(self) -> tuple[int, int] | None:
        """Rows and columns of pixels of the largest chunk with its windows, all of which are predicted in one pass.

        None where chips are predicted one by one.
        """
        if isinstance(self.dense, str):
            return None
        chip, stride = self.grid.chip_size, self.grid.stride
        windows = [self.grid.padded_window(chunk) for chunk in self.chunks()]
        least = chip + stride * math.ceil((SMALLEST_TILE - chip) / stride)
        return max(least, *(w.height for w in windows)), max(least, *(w.width for w in windows))

    def chunk_settings(self, *, keep_probabilities: bool = False) -> ChunkSettings:
        """How each chunk is predicted."""
        chosen = self.settings
        return ChunkSettings(chosen.batch_size, self.tile, chosen.smooth, keep_probabilities, chosen.unknown_below)

    @property
    def map_classes(self) -> tuple[LandClass, ...]:
        """What the cover may show: the model's classes, and "Unknown" where that was asked for."""
        return (*self.card.legend, *([UNKNOWN] if self.settings.unknown_below is not None else []))

    @property
    def afterwards(self) -> str:
        """What is done to the classes once they are known, in words."""
        settings = self.settings
        steps = [f"confidence below {settings.unknown_below} % is Unknown"] * (settings.unknown_below is not None)
        steps += [f"regions under {settings.sieve} px join their largest neighbour"] * (settings.sieve is not None)
        return ", then ".join(steps) or "nothing"

    @property
    def method(self) -> str:
        """How windows are predicted, in words."""
        if isinstance(self.dense, str):
            return f"chip by chip: {self.dense}"
        return "dense: every window of a chunk in one pass"

    @property
    def chunk_bytes(self) -> int:
        """Memory that one chunk needs, about: pixels in several copies, activations, probabilities, decoded blocks."""
        height, width = self.tile or max(
            (self.grid.padded_window(c).shape for c in self.chunks()), key=lambda shape: shape[0] * shape[1]
        )
        windows = max(len(c.window_rows) * len(c.window_cols) for c in self.chunks())
        itemsize = itemsize_of(self.settings.precision)
        return (
            int(height * width * bytes_per_pixel(self.scene, self.card, self.dense, itemsize))
            + windows * len(self.card.legend) * 16
            + remembered_bytes(self.scene)
        )

    @property
    def seconds(self) -> float:
        """Rough estimate of the time that prediction takes here, without a GPU."""
        cores, chunks = os.cpu_count() or 1, self.num_chunks - self.num_left_out
        if self.tile is None:
            return self.grid.num_windows * chunks / self.num_chunks / (CHIPS_PER_SECOND_AND_CORE * cores)
        return chunks * math.prod(self.tile) / (PIXELS_PER_SECOND_AND_CORE * cores)

    @property
    def nir(self) -> str:
        """Whether and how near infrared is used, or why not, in words."""
        return f"{NIR_BAND}: {self.scene.nir_text}"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-able values."""
        scene, grid, radiometry = self.scene, self.grid, self.scene.radiometry
        return {
            "scene": {
                "path": scene.source.redacted_path,
                "height": scene.geobox.height,
                "width": scene.geobox.width,
                "dtype": scene.source.dtype,
                "crs": scene.geobox.crs,
                "transform": list(scene.geobox.transform)[:6],
                "bands": dict(zip(scene.source.band_names, scene.source.band_indexes, strict=True)),
                "product": _product(scene),
                "files": list(scene.files),
                "nodata": scene.source.nodata_rule,
                "corner": list(scene.source.corner),
                "warp": scene.warp_text or None,
            },
            "clouds": {
                "text": scene.clouds.text,
                "source": scene.clouds.source or None,
                "used": scene.clouds.used,
                "shares": dict(scene.clouds.shares),
            },
            "masks": self.masks,
            "nir": {
                "used": scene.nir is not None,
                "band": scene.nir.source.band_indexes[0] if scene.nir else None,
                "text": self.nir,
            },
            "radiometry": dataclasses.asdict(dataclasses.replace(radiometry, warnings=())),
            "model": {
                "name": self.card.name,
                "version": self.card.version,
                "levels": list(self.card.levels),
                "sha256": self.card.weights_sha256,
                "classes": list(self.card.legend.names),
            },
            "grid": {
                "chip_size": grid.chip_size,
                "stride": grid.stride,
                "windows": grid.num_windows,
                "cells": [grid.rows.cells, grid.cols.cells],
                "method": self.method,
            },
            "chunks": {"number": self.num_chunks, "shape": list(self.chunk_shape), "bytes": self.chunk_bytes}
            | {"left_out": self.num_left_out},
            "afterwards": {"unknown_below": self.settings.unknown_below, "sieve": self.settings.sieve},
            "estimated_seconds": round(self.seconds, 1),
            "output": "uint8 cloud-optimised GeoTIFF on the scene's grid, nodata 255, palette, overviews",
            "warnings": list(self.warnings),
        }


def _product(scene: Scene) -> dict[str, Any] | None:
    """What a scene was delivered as, and its files, without the signatures of addresses; None for a raster file."""
    if scene.product is None:
        return None
    return {
        "text": scene.product.text,
        "files": {band.name: band.file.split("?")[0] for band in scene.product.bands},
        "scl": [band.file.split("?")[0] for band in scene.product.scl],
    }


def make_plan(
    path: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    card: ModelCard | None = None,
    **choices: Unpack[Choices],
) -> Plan:
    """Plan the classification of a scene. Reads headers and a small sample.

    Args:
        path: Anything that `landmap.scene.scene.open_scene` takes.
        settings: How.
        card: Of a classifier that is not a file; `settings.model` is then not used.
        **choices: Fields of `Settings`, in place of those in `settings`.

    Raises:
        SettingsError: A setting can't be meant.
        SceneError: The scene can't be opened or used; see `landmap.errors`.
        ModelError: The model can't be found, has no card, or gives a chip several classes.
    """
    settings = with_choices(settings, choices)
    model_path = None if card else find_model(settings.model)
    card = card or read_card(find_model(settings.model))
    _check_task(card)
    scene = open_scene(path, settings, card=card)
    if settings.clouds == "s2cloudless":
        scene = without_clouds(scene, settings)
    warnings = check_georeference(scene, card, force=settings.force) + large_blocks(scene)
    warnings += _smaller_than_a_chip(scene, card)
    config = read_config(model_path) if model_path else None
    stride = settings.stride or _stride(scene, card, config)
    grid, dense = Grid(scene.geobox.height, scene.geobox.width, card.chip_size, stride), _dense(config, card, stride)
    warnings += [text for mask in scene.masks for text in mask.warnings]
    interpolated = [*scene.product.warnings, *scene.product.interpolated()] if scene.product else []
    return Plan(
        scene=scene,
        card=card,
        model_path=model_path,
        grid=grid,
        chunk_shape=chunk_shape(scene, grid, card, dense, settings, itemsize_of(settings.precision)),
        settings=settings,
        dense=dense,
        warnings=(
            *warnings,
            *interpolated,
            *scene.warnings,
            *scene.clouds.warnings,
            *mask_warnings(scene),
            *scene.radiometry.warnings,
        ),
    )


def _smaller_than_a_chip(scene: Scene, card: ModelCard) -> list[str]:
    """The warning for a scene that mirrors have to fill up: the model sees less of the land than it was trained to."""
    chip = card.chip_size
    share = min(scene.geobox.height, chip) * min(scene.geobox.width, chip) / chip**2
    if share == 1:
        return []
    percent = f"{100 * share:.0f} %" if share >= 0.005 else "less than 1 %"
    rows, cols = scene.geobox.shape
    return [
        f"{rows} rows x {cols} columns are less than a chip of {chip}x{chip} px: {percent} of what the "
        "model sees is the scene, the rest its mirror image, and classes are less sure. Take a larger part of the land"
    ]


def _check_task(card: ModelCard) -> None:
    if not card.single_label:
        raise ModelError(
            f"{card.name}: expected a single-label model, as a pixel of a map has one class. Received: {card.task}. "
            "Such a model tells which classes are in a chip: landmap evaluate measures it"
        )


def _dense(config: Mapping[str, Any] | None, card: ModelCard, stride: int) -> Dense | str:
    if config is None:
        return "the classifier is no file of a Keras model"
    if stride >= card.chip_size:
        return "windows do not overlap"
    return analyse(config, card.chip_size, stride)


def _stride(scene: Scene, card: ModelCard, config: Mapping[str, Any] | None) -> int:
    """The finest stride at which windows come in one pass, or else with a bearable number of windows.

    Depends on the scene's shape and the model, not on the machine.
    """
    possible = [s for s in STRIDES if card.chip_size % s == 0] or [card.chip_size]
    fine = [
        s
        for s in possible
        if not isinstance(_dense(config, card, s), str)
        or Grid(scene.geobox.height, scene.geobox.width, card.chip_size, s).num_windows <= AUTO_WINDOWS
    ]
    return min(fine, default=possible[0])


def with_precision(plan: Plan, precision: str) -> Plan:
    """The plan for a run in this precision: the fewer bytes a number has, the larger its chunks may be."""
    itemsize = itemsize_of(precision)
    shape = chunk_shape(plan.scene, plan.grid, plan.card, plan.dense, plan.settings, itemsize)
    return dataclasses.replace(plan, chunk_shape=shape)
