"""A scene with a raster of labels on its grid, cut into blocks, as images from which a model of pixels learns.

Between blocks lies a gap as wide as a network sees, so that no pixel of a block of the test part is seen in training.
Reflectance is that of the scene's own level: a model is trained on what it is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from landmap.errors import SceneError
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats
from landmap_models.datasets.ground import Ground, crs_name
from landmap_models.datasets.image_files import ImageForm, Mask, check_mask, check_same_grid, open_mask, read_mask
from landmap_models.datasets.image_files import Window as Rectangle
from landmap_models.datasets.images import LabelledImages, labelled_images
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.card import BandProfile
from landmap_models.sentinel2 import LEVELS, Level

SIDES = (512, 256, 128, 64)
"""Sides of blocks in pixels, of which the largest is taken that gives `ENOUGH` blocks."""
ENOUGH = 30
"""Number of blocks from which parts of a split are not a matter of one or two."""
LEAST_SIDE = 16
"""Least rows and columns of a block without its gap."""


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """Blocks of a scene; see `landmap_models.datasets.image_files.ImageSource`."""

    scene: Scene
    """The scene, opened for the bands that a network takes."""
    labels: str
    """Path of the raster of labels."""
    gap: int
    """Pixels between blocks."""

    def forms(self) -> tuple[Sequence[ImageForm], Mapping[str, str]]:
        """The blocks row by row, named by their first row and column."""
        with open_mask(self.labels) as mask:
            check_mask(mask, self.labels)
            classes = mask.count if mask.count > 1 else None
            titles = tuple(mask.descriptions) if classes and all(mask.descriptions) else None
        bands = self.scene.source.band_names
        return [
            ImageForm(_name(w), w.height, w.width, bands, 1.0, classes, titles, self._ground(w)) for w in self._blocks()
        ], {}

    def _blocks(self) -> list[Window]:
        height, width = self.scene.geobox.shape
        for side in SIDES:
            rows, cols = (_spans(length, side, self.gap) for length in (height, width))
            if len(rows) * len(cols) >= ENOUGH:
                break
        return [Window(row, col, bottom - row, right - col) for row, bottom in rows for col, right in cols]

    def _ground(self, window: Window) -> Ground | None:
        geobox = self.scene.geobox.crop(window)
        if geobox.crs is None:
            return None
        west, south, east, north = geobox.bounds
        return Ground(crs_name(geobox.crs), (west + east) / 2, (south + north) / 2, east - west, north - south)

    def read(self, name: str, window: Rectangle) -> tuple[Floats, Bools, Mask]:
        """Read a window of a block; see `ImageSource`."""
        row, col = map(int, name.split("-"))
        inside = Window(row + window[0], col + window[1], *window[2:])
        pixels = self.scene.read(inside)
        with open_mask(self.labels) as mask:
            labels = read_mask(mask, (inside.row_off, inside.col_off, *window[2:]), self.labels)
        return pixels.values, pixels.mapped, labels


def _name(window: Window) -> str:
    return f"{window.row_off:05}-{window.col_off:05}"


def _spans(length: int, side: int, gap: int) -> list[tuple[int, int]]:
    """First and last pixels, without a gap between one and the next, of blocks of about a side."""
    count = max(1, min(round(length / side), length // (LEAST_SIDE + gap)))
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    before, after = gap - gap // 2, gap // 2
    return [(a + before * (a > 0), b - after * (b < length)) for a, b in pairwise(edges)]


def open_labelled_scene(
    scene: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    bands: Sequence[str],
    gap: int,
    *,
    classes: Sequence[str] | None = None,
    usual_classes: Sequence[str] | None = None,
    ignore: Sequence[int] = (),
) -> tuple[LabelledImages, Level]:
    """Open a scene and its labels as images with masks.

    Args:
        scene: Anything that `open_scene` opens.
        labels: Raster of class ids, or of a band of probabilities for each class, on the scene's grid.
        bands: Sentinel-2 names of the bands that the network takes.
        gap: Pixels between blocks: the margin of the network.
        classes: Names of the classes; see `landmap_models.datasets.images.open_images`.
        usual_classes: The same, for labels that do not name them.
        ignore: Ids that are no label.

    Returns:
        The images, and the product level of the scene.

    Raises:
        SceneError: The scene can't be opened.
        BandError: A band is not there.
        DatasetError: The labels are on another grid, or can't be used.
    """
    profiles = tuple(BandProfile(name, 0.02, 0.1, 0.4, 0.12) for name in bands)
    card = replace(FAKE_CARD, name="training", bands=profiles, levels=LEVELS, reflectance_range=(0.0, 1.0))
    opened = open_scene(scene, Settings(), card=card)
    box = opened.geobox
    least = 2 * (LEAST_SIDE + gap)
    if min(box.shape) < least:
        raise SceneError(
            f"{scene}: expected {least} px or more on each side, of which blocks can be cut {gap} px apart. Received: "
            f"{box.height}x{box.width} px"
        )
    with open_mask(os.fspath(labels)) as mask:
        crs = CRS.from_wkt(box.crs) if box.crs else None
        check_same_grid((*box.shape, box.transform, crs), mask, os.fspath(scene), os.fspath(labels))
    source = LabelledScene(opened, os.fspath(labels), gap)
    images = labelled_images(
        Path(labels), source, classes=classes, usual_classes=usual_classes, ignore=ignore, bands=bands
    )
    return replace(images, notes=(*opened.warnings, *_radiometry(opened), *images.notes)), opened.radiometry.level


def _radiometry(scene: Scene) -> list[str]:
    """What was assumed of the scene's numbers."""
    radiometry = scene.radiometry
    return [f"{name} of the scene: {radiometry.origins[name]}" for name in radiometry.assumed]
