"""Scenes with drawn labels, cut into one image for each place: labels that lie together, and what surrounds them.

A network sees some pixels around each pixel, so labels that lie nearer together than that are no independent witnesses.
They make one place, whatever their class, and a place is trained on or tested on as a whole, on all of its dates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize

from landmap.errors import BandError, GeoreferenceError, ReferenceDataError
from landmap.geo.geobox import GeoBox, pixel_sides
from landmap.scene.scene import Scene, open_scene
from landmap.scene.vector_labels import VectorLabels, read_labels, without_overlaps
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Bools, Floats, Ints
from landmap_models.datasets.image_files import UNLABELLED, ImageForm, Mask
from landmap_models.datasets.image_files import Window as Rectangle
from landmap_models.datasets.images import LabelledImages, labelled_images
from landmap_models.datasets.splits import stratified_split
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import BandProfile, ModelCard
from landmap_models.model_file.packaged import find_model
from landmap_models.sentinel2 import LEVELS, Level

LEAST_PLACES = 3
"""Places of each class below which labels are taken for places that lie nearer together."""
NARROWER = 1, 0.5, 0.25, 0
"""Shares of what a network sees that are tried for the distance between places, until each class has enough of them."""
STRIP = 512
"""Rows of an image that are read at once when labels are checked."""


@dataclass(frozen=True)
class LabelledPlaces:
    """Places of some scenes; see `landmap_models.datasets.image_files.ImageSource`."""

    scenes: tuple[Scene, ...]
    """The scenes, opened for the bands that a network takes."""
    labels: VectorLabels
    """What is drawn, all of it usable."""
    places: Ints
    """Place of each shape of `labels`, `(n,)`."""
    margin: int
    """Pixels around labels that belong to an image."""
    step: int
    """Pixels of which first rows and columns of images are multiples."""

    @cached_property
    def _shapes(self) -> tuple[npt.NDArray[Any], ...]:
        """The shapes in the CRS of each scene."""
        return tuple(self.labels.in_crs(scene.geobox.crs or "") for scene in self.scenes)

    @cached_property
    def _boxes(self) -> tuple[Ints, ...]:
        """First and last column and row of each shape on each scene: `(n, 4)`, as left, top, right, bottom."""
        import shapely

        pairs = zip(self._shapes, self.scenes, strict=True)
        return tuple(np.floor(shapely.bounds(_in_pixels(*pair))).astype(np.int64) for pair in pairs)

    @cached_property
    def _members(self) -> dict[int, Ints]:
        """Numbers of the shapes of each place."""
        order = np.argsort(self.places, kind="stable")
        places, first = np.unique(self.places[order], return_index=True)
        return dict(zip(places.tolist(), np.split(order, first[1:]), strict=True))

    @cached_property
    def windows(self) -> dict[str, Window]:
        """The window of each image on its scene, by name: number of the scene and of the place."""
        found = {}
        for number, scene in enumerate(self.scenes):
            height, width = scene.geobox.shape
            boxes = self._boxes[number]
            inside = (boxes[:, 2] >= 0) & (boxes[:, 3] >= 0) & (boxes[:, 0] < width) & (boxes[:, 1] < height)
            inside &= self._drawn_on[number]
            for place, members in self._members.items():
                box = boxes[members[inside[members]]]
                if not len(box):
                    continue
                (left, top), (right, bottom) = box[:, :2].min(axis=0), box[:, 2:].max(axis=0) + 1
                row, col = (max(0, (v - self.margin) // self.step * self.step) for v in (int(top), int(left)))
                last = min(height, int(bottom) + self.margin), min(width, int(right) + self.margin)
                found[f"{number}-{place}"] = Window(row, col, last[0] - row, last[1] - col)
        return found

    @cached_property
    def _drawn_on(self) -> tuple[Bools, ...]:
        """Which shapes are drawn on each scene, `(n,)`."""
        names = [Path(scene.source.path).name.casefold() for scene in self.scenes]
        return tuple(np.array([text.casefold() in name for text in self.labels.scenes], bool) for name in names)

    def forms(self) -> tuple[Sequence[ImageForm], Mapping[str, str]]:
        """The images, scene by scene."""
        bands, names = self.scenes[0].source.band_names, self.labels.class_names
        return [
            ImageForm(name, window.height, window.width, bands, 1.0, None, names)
            for name, window in self.windows.items()
        ], {}

    def read(self, name: str, window: Rectangle) -> tuple[Floats, Bools, Mask]:
        """Read a window of a place; see `ImageSource`."""
        number = int(name.split("-")[0])
        numbers = self.shape_numbers(name, window)
        pixels = self.scenes[number].read(self._inside(name, window))
        classes = np.append(self.labels.classes, UNLABELLED)  # -1, no shape, is the last one
        return pixels.values, pixels.mapped, classes[numbers]

    def _inside(self, name: str, window: Rectangle) -> Window:
        own = self.windows[name]
        return Window(own.row_off + window[0], own.col_off + window[1], *window[2:])

    def shape_numbers(self, name: str, window: Rectangle) -> Ints:
        """Number of the shape in which each pixel's centre lies, `(height, width)`; -1 without one, or of two classes.

        Args:
            name: Name of an image.
            window: A window of it.
        """
        scene, place = map(int, name.split("-"))
        inside, boxes = self._inside(name, window), self._boxes[scene]
        row, col, (height, width) = inside.row_off, inside.col_off, inside.shape
        members = self._members[place]
        box = boxes[members]
        near = (box[:, 2] >= col) & (box[:, 3] >= row) & (box[:, 0] < col + width) & (box[:, 1] < row + height)
        here = members[near & self._drawn_on[scene][members]]
        found = np.full((height, width), UNLABELLED, np.int64)
        twice = np.zeros((height, width), bool)
        for one in np.unique(self.labels.classes[here]):
            alike = here[self.labels.classes[here] == one]
            burnt = _burnt(self._shapes[scene][alike], alike, self.scenes[scene].geobox.crop(inside))
            twice |= (found >= 0) & (burnt >= 0)
            found = np.where(burnt >= 0, burnt, found)
        return np.where(twice, UNLABELLED, found)

    def place_of(self, name: str) -> int:
        """The place that an image shows."""
        return int(name.split("-")[1])

    def without(self, wrong: Bools, reason: str) -> LabelledPlaces:
        """All but some of the shapes, `(n,)`, which are listed as unusable for a reason."""
        return replace(self, labels=self.labels.without(wrong, reason), places=self.places[~wrong])


def _burnt(shapes: npt.NDArray[Any], numbers: Ints, onto: GeoBox) -> Ints:
    """Numbers of shapes at the pixels whose centres lie inside, -1 at others."""
    pairs = list(zip(shapes, (numbers + 1).tolist(), strict=True))
    return np.asarray(rasterize(pairs, onto.shape, transform=onto.transform, dtype=np.int32), np.int64) - 1


def _in_pixels(shapes: npt.NDArray[Any], scene: Scene) -> npt.NDArray[Any]:
    """Shapes in the CRS of a scene in its pixels: x are columns, y are rows."""
    import shapely

    t = ~scene.geobox.transform
    placed: npt.NDArray[Any] = shapely.transform(
        shapes, lambda p: np.stack([t.a * p[:, 0] + t.b * p[:, 1] + t.c, t.d * p[:, 0] + t.e * p[:, 1] + t.f], axis=1)
    )
    return placed


def places_apart(shapes: npt.NDArray[Any], distance: float) -> Ints:
    """Number the places of shapes `(n,)`: what lies nearer together than a distance, in their unit, is one place."""
    import shapely

    if not distance:
        distance = 1e-6  # what overlaps or touches is one place
    around = shapely.buffer(shapes, distance / 2, quad_segs=4)
    areas = shapely.get_parts(shapely.union_all(around))
    found: Ints = np.full(len(shapes), -1, np.int64)
    shape, area = shapely.STRtree(areas).query(shapes, predicate="intersects")
    found[shape] = area
    return found


def usual_bands(scenes: Sequence[str | os.PathLike[str]], model: str = "default") -> tuple[str, ...]:
    """The bands of a packaged model's network of pixels that all scenes have, in its order.

    Raises:
        SceneError: A scene can't be opened, or lacks the model's own bands.
    """
    card = replace(read_card(find_model(model)), nir=None)  # near infrared is a band like others here
    wanted = card.pixels.bands if card.pixels else card.band_names
    there = set(wanted)
    for path in scenes:
        further = open_scene(path, Settings(), card=card).further
        there &= {*card.band_names, *(further.names if further else ())}
    return tuple(name for name in wanted if name in there)


def open_labelled_places(
    scenes: Sequence[str | os.PathLike[str]],
    labels: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    bands: Sequence[str],
    margin: int,
    step: int,
    *,
    column: str = "class",
    layer: str | None = None,
    scene_column: str | None = None,
    buffer: float = 0.0,
) -> tuple[LabelledImages, Level]:
    """Open scenes and what is drawn on them as images with masks, one for each place on each scene.

    Args:
        scenes: Anything that `open_scene` opens, one or more.
        labels: Polygons, lines or points, of one file or several; see `read_labels`, which has the other arguments.
        bands: Sentinel-2 names of the bands that the network takes.
        margin: Pixels that the network sees around a pixel, by which places lie apart.
        step: Pixels of which first rows and columns of its input are multiples.
        column: Name of the column with the classes.
        layer: Name of the layer; None where the file has one.
        scene_column: Name of the column that says on which scene a label is drawn; None: on all.
        buffer: Metres around lines and points that are labelled, too.

    Returns:
        The images, whose source is a `LabelledPlaces`, and the product level of the scenes. Their notes list what is
        left out.

    Raises:
        SceneError: A scene can't be opened, or scenes are of several levels.
        BandError: A band is not there.
        ReferenceDataError: The labels can't be used; see `read_labels`. Fewer than two classes, or two labels of each,
            can be used.
    """
    opened = tuple(open_scene(path, Settings(), card=_card(bands)) for path in scenes)
    level = _level(opened, scenes)
    if (crs := opened[0].geobox.crs) is None or any(scene.geobox.crs is None for scene in opened):
        raise GeoreferenceError(f"{scenes[0]}: expected a scene with a coordinate reference system (CRS), found none")
    drawn = read_labels(labels, column, crs=crs, layer=layer, scene_column=scene_column, buffer=buffer)
    drawn = without_overlaps(_on_scenes(drawn, opened))
    source = LabelledPlaces(opened, drawn, np.zeros(len(drawn), np.int64), margin, step)
    source = _with_pixels(source)
    _check_enough(source.labels)
    source, notes = _placed(source)
    images = labelled_images(drawn.path, source, bands=bands)
    warnings = dict.fromkeys(text for scene in opened for text in (*scene.warnings, *scene.radiometry.warnings))
    unusable = [f"Left out, {text}" for text in source.labels.unusable]
    return replace(images, notes=(*warnings, *unusable, *notes, *images.notes)), level


def _card(bands: Sequence[str]) -> ModelCard:
    """A card that asks a scene for these bands, at its own level."""
    profiles = tuple(BandProfile(name, 0.02, 0.1, 0.4, 0.12) for name in bands)
    return replace(FAKE_CARD, name="training", bands=profiles, levels=LEVELS, reflectance_range=(0.0, 1.0))


def _level(opened: Sequence[Scene], names: Sequence[str | os.PathLike[str]]) -> Level:
    levels = [scene.radiometry.level for scene in opened]
    if len(set(levels)) > 1:
        listed = ", ".join(f"{os.fspath(name)} {level}" for name, level in zip(names, levels, strict=True))
        raise BandError(f"expected scenes of one product level, as a model learns one. Received: {listed}")
    return levels[0]


def _on_scenes(drawn: VectorLabels, opened: Sequence[Scene]) -> VectorLabels:
    """Leave out what lies outside all scenes that it may be drawn on."""
    import shapely

    inside = np.zeros(len(drawn), bool)
    source = LabelledPlaces(tuple(opened), drawn, np.zeros(len(drawn), np.int64), 0, 1)
    for number, scene in enumerate(opened):
        height, width = scene.geobox.shape
        inside |= source._drawn_on[number] & shapely.intersects(
            _in_pixels(source._shapes[number], scene), shapely.box(0, 0, width, height)
        )
    if not inside.any():
        raise ReferenceDataError(
            f"{drawn.path}: expected labels on the scene. Received: {len(drawn):,}, all of which lie outside "
            f"{', '.join(Path(scene.source.path).name for scene in opened)}. Do they have the right CRS?"
        )
    return drawn.without(~inside, "outside the scene")


def _with_pixels(source: LabelledPlaces) -> LabelledPlaces:
    """Leave out shapes in which no pixel's centre lies, and those where no scene has data or all is masked."""
    count = len(source.labels)
    apart = replace(source, places=np.arange(count), margin=0)  # each shape by itself
    drawn, usable = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for name, window in apart.windows.items():
        for row in range(0, window.height, STRIP):
            part = row, 0, min(STRIP, window.height - row), window.width
            numbers = apart.shape_numbers(name, part)
            known = numbers >= 0
            drawn += np.bincount(numbers[known], minlength=count)
            if known.any():
                mapped = apart.scenes[int(name.split("-")[0])].read(apart._inside(name, part)).mapped
                usable += np.bincount(numbers[known & mapped], minlength=count)
    found = source.without((drawn > 0) & (usable == 0), "no data there, or clouds")
    slivers = (drawn == 0)[(drawn == 0) | (usable > 0)]
    return found.without(slivers, "too small or thin: the centre of no pixel lies inside")


def _check_enough(labels: VectorLabels) -> None:
    counts = labels.counts()
    why = f" Left out: {'; '.join(labels.unusable)}." if labels.unusable else ""
    if len(counts) < 2:
        raise ReferenceDataError(
            f"{labels.path}: expected labels of two classes or more. Received: {', '.join(counts) or 'none'}.{why}"
        )
    if few := [name for name, number in counts.items() if number < 2]:
        raise ReferenceDataError(
            f"{labels.path}: expected two labels of each class or more, one to train on and one to test on. Received: "
            f"1 of {', '.join(few)}. Draw more, five or more of each if you can.{why}"
        )


def _placed(source: LabelledPlaces) -> tuple[LabelledPlaces, list[str]]:
    """Number the places, with as much distance between them as leaves enough of them for each class."""
    side = max(pixel_sides(source.scenes[0].geobox))
    for share in NARROWER:
        places = places_apart(source.labels.shapes, share * source.margin * side)
        each = [len(set(places[source.labels.classes == one].tolist())) for one in np.unique(source.labels.classes)]
        if min(each) >= LEAST_PLACES:
            break
    if min(each) < 2:
        places = np.arange(len(source.labels))
        share = 0
    notes = []
    if share < 1:
        pixels = f"{share * source.margin:g}" if share else "0"
        notes.append(
            f"Labels lie close together: parts are only {pixels} px apart, and a network sees {source.margin} px "
            "around a pixel. Scores are too high; draw labels in more places"
        )
    return replace(source, places=places), notes


def parts_by_place(images: LabelledImages, seed: int, validation: float, test: float) -> LabelledImages:
    """Deal places into training, validation and test part, all images of a place into the same one.

    Args:
        images: As `open_labelled_places` opens them.
        seed: Equal seeds give equal parts.
        validation: Share of places in the validation part, 0 to 1.
        test: Share of places in the test part, 0 to 1.

    Raises:
        DatasetError: There are too few places for three parts.
    """
    source: Any = images.source
    places = [source.place_of(name) for name in images.files]
    _, first = np.unique(places, return_index=True)
    split = stratified_split(images.subset(first), seed, validation, test, everywhere=False)
    part = {source.place_of(name): kind for kind, own in split.parts().items() for name in own.files}
    if lost := len(set(places) - set(part)):
        images = images.subset(np.flatnonzero([place in part for place in places]))
        images = replace(
            images, notes=(*images.notes, f"{lost} places have the very pixels of others, and are left out")
        )
    return replace(images, parts=tuple(part[source.place_of(name)] for name in images.files))
