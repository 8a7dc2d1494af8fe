"""Images with a label for some or all of their pixels.

Labels may be sparse: windows are cut where there are labels, and pixels without one count nothing. An image may be as
large as a scene; only windows of it are in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bools, Floats, Ints
from landmap_models.datasets.checks import refuse
from landmap_models.datasets.ground import Ground
from landmap_models.datasets.image_files import (
    ArrayImages,
    ImageForm,
    ImageSource,
    PairedImages,
    Window,
)
from landmap_models.errors import DatasetError
from landmap_models.sentinel2 import named_bands, places_of

PRESENCE = 16
"""Side in pixels of the squares of which it is remembered whether they hold a label; windows are multiples of it."""
STRIP = 512
"""Rows of an image that are read at once when it is opened; a multiple of `PRESENCE`."""
HIGHEST_ID = 65_535
"""Highest class id in a mask."""
SAMPLED = 400
"""Most windows from which reflectance is drawn for the profile of bands."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images with masks. The fields that it shares with a `ChipFolder` mean the same, so that both are split alike."""

    root: Path
    """The file or folder that they come from."""
    source: ImageSource
    """What reads them."""
    files: tuple[str, ...]
    """Names of the images."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each image in pixels."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of the network's outputs."""
    ids: tuple[int, ...] | None
    """Id of each class in the masks; None where these hold probabilities."""
    class_pixels: tuple[tuple[int, ...], ...]
    """Number of labelled pixels of each class in each image; of probabilities, the largest counts."""
    presence: tuple[Bools, ...]
    """For each image whether squares of `PRESENCE` pixels hold a label, `(rows, columns)`."""
    bands: tuple[str, ...]
    """Sentinel-2 names of the bands that are read, in this order."""
    places: tuple[int, ...]
    """Positions of `bands` in what the source reads."""
    reflectance_max: float
    """Highest reflectance that the numbers of the images distinguish."""
    digests: tuple[str, ...]
    """Digest of the pixels of each image."""
    grounds: tuple[Ground | None, ...]
    """Ground that each image covers; None where it has no georeference."""
    parts: tuple[str, ...] | None = None
    """"train", "validation" or "test" of each image; None if they don't come divided."""
    skipped: tuple[str, ...] = ()
    """Messages about images that were left out."""
    notes: tuple[str, ...] = ()
    """What the user should know of the labels."""
    multi_label: bool = True
    """An image holds several classes."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> tuple[tuple[int, ...], ...]:
        """Places in `class_names` of the classes that each image holds."""
        return tuple(tuple(int(i) for i in np.flatnonzero(counts)) for counts in self.class_pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels, in the mean."""
        height, width = np.mean(self.sizes, axis=0).round().astype(int)
        return int(height), int(width)

    def subset(self, indices: npt.NDArray[np.intp]) -> LabelledImages:
        """The images at these positions, in this order."""
        each = ("files", "sizes", "class_pixels", "presence", "digests", "grounds")
        chosen: dict[str, Any] = {name: tuple(getattr(self, name)[i] for i in indices) for name in each}
        return replace(self, **chosen, parts=tuple(self.parts[i] for i in indices) if self.parts else None)

    def counts(self) -> dict[str, int]:
        """Number of images that hold a class, by its name."""
        held = (np.array(self.class_pixels) > 0).sum(axis=0)
        return dict(zip(self.class_names, held.tolist(), strict=True))

    def pixel_counts(self) -> Ints:
        """Number of labelled pixels of each class, `(classes,)`."""
        return np.asarray(np.array(self.class_pixels, np.int64).reshape(len(self), -1).sum(axis=0))

    def targets(self) -> Floats:
        """1 for the classes that an image holds, 0 for the others, `(n, classes)`."""
        return (np.array(self.class_pixels) > 0).astype(np.float32)

    def fingerprint(self) -> str:
        """Digest (sha256) of images, masks and classes in order."""
        texts = [*self.files, *self.digests, *self.class_names, str(self.ids), *self.bands]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()

    def read(self, place: int, window: Window | None = None) -> tuple[Floats, Floats]:
        """Read an image or a window of it.

        Args:
            place: Position of the image.
            window: The window, inside the image; None: all of it.

        Returns:
            Reflectance `(height, width, bands)`, the mean of the window where there are no data; and class
            probabilities `(height, width, classes)`, all zero where there is no label or where data are missing.

        Raises:
            DatasetError: It can't be read.
        """
        values, valid, mask = self.source.read(self.files[place], window or (0, 0, *self.sizes[place]))
        values = values[..., self.places]
        labels = _probabilities(mask, self.ids)
        if not valid.all():
            middle = values[valid].mean(axis=0) if valid.any() else np.zeros(len(self.places))
            values = np.where(valid[..., None], values, middle).astype(np.float32)
            labels = np.where(valid[..., None], labels, np.float32(0))
        return values, labels

    def windows(self, size: int) -> list[tuple[int, int, int]]:
        """Place of the image, first row and first column of windows that tile the images where there are labels.

        Args:
            size: Height and width of a window in pixels, a multiple of `PRESENCE`.
        """
        step = size // PRESENCE
        return [
            (place, row * PRESENCE, col * PRESENCE)
            for place, presence in enumerate(self.presence)
            for row in range(0, presence.shape[0], step)
            for col in range(0, presence.shape[1], step)
            if presence[row : row + step, col : col + step].any()
        ]

    def sample(self, seed: int = 0) -> Floats:
        """Reflectance of pixels of windows drawn where there are labels, `(m, bands)`."""
        windows = self.windows(2 * PRESENCE)
        chosen = np.random.default_rng(seed).permutation(len(windows))[:SAMPLED]
        found = []
        for place, row, col in (windows[i] for i in sorted(chosen)):
            values, _ = self.read(place, self.clipped(place, row, col, 2 * PRESENCE))
            found.append(values.reshape(-1, len(self.bands)))
        return np.concatenate(found)

    def clipped(self, place: int, row: int, col: int, size: int) -> Window:
        """The square window that begins there, moved into the image, or cut where the image is smaller."""
        height, width = self.sizes[place]
        rows, cols = min(size, height), min(size, width)
        return max(0, min(row, height - rows)), max(0, min(col, width - cols)), rows, cols


def _probabilities(mask: npt.NDArray[Any], ids: tuple[int, ...] | None) -> Floats:
    if ids is None:
        return np.asarray(mask, np.float32)
    return np.asarray(mask[..., None] == np.array(ids), np.float32)


def open_images(
    root: str | Path,
    *,
    classes: Sequence[str] | None = None,
    usual_classes: Sequence[str] | None = None,
    ignore: Sequence[int] = (),
    bands: Sequence[str] | None = None,
    file_bands: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> LabelledImages:
    """Open images with masks, and read each once, to check that it can be used.

    A data set is one of:

    - a folder or zip file with `images/NAME.tif` and `masks/NAME.tif`, of the same size and grid, perhaps below folders
      `train`, `validation` and `test`. PNG works, too, and JPEG for images;
    - an NPZ file with the arrays `images` `(n, height, width, bands)` and `masks`, perhaps `bands` and `classes`.

    A mask holds class ids, or, in a band for each class, probabilities that sum to 1. Nodata of a mask, negative ids,
    probabilities that are all 0, and pixels where the image has no data are without a label. Images are digital numbers
    of 16 bits (10,000 is a reflectance of 1), of 8 bits (255 is 0.275) or, in an NPZ file, reflectance as floats.

    Args:
        root: Folder, zip file or NPZ file.
        classes: Names of the classes: those of ids 0, 1, 2 …, or texts such as "10=trees"; of probabilities, in the
            order of the bands. None: the data name them.
        usual_classes: The same, for data that do not name them; None: such data are refused.
        ignore: Ids that are no label.
        bands: Sentinel-2 names of the bands to read, in this order; None: all of the images.
        file_bands: Names of the bands of the images in order, where these name them wrongly; None: they name them.
        skip_bad: Whether images that can't be used are left out.

    Raises:
        DatasetError: There are no images, some can't be used, masks hold ids without a name, fewer than two classes or
            no label at all, or bands are missing or have no name.
    """
    root = Path(root)
    given = named_bands(file_bands) if file_bands else None
    source: ImageSource = ArrayImages(root, given) if root.suffix.lower() == ".npz" else PairedImages(root, given)
    return labelled_images(
        root, source, classes=classes, usual_classes=usual_classes, ignore=ignore, bands=bands, skip_bad=skip_bad
    )


def labelled_images(
    root: Path,
    source: ImageSource,
    *,
    classes: Sequence[str] | None = None,
    usual_classes: Sequence[str] | None = None,
    ignore: Sequence[int] = (),
    bands: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> LabelledImages:
    """Open the images of a source; arguments and errors are those of `open_images`."""
    forms, found = source.forms()
    problems = dict(found)
    scans: dict[str, _Scan] = {}
    for form in forms:
        try:
            scans[form.name] = _scan(source, form, ignore)
        except DatasetError as error:
            problems[form.name] = str(error)
    if problems and (not skip_bad or not scans):
        raise refuse(root, problems, len(scans) + len(problems))
    if not scans:
        raise DatasetError(f"{root}: expected images in a folder images and masks in a folder masks. Received: none")
    forms = [form for form in forms if form.name in scans]
    first = _alike(forms)
    names, ids, notes = _classes(root, first, scans, classes or first.class_names or usual_classes)
    kept = [form for form in forms if scans[form.name].labelled]
    if len(kept) < len(forms):
        notes.append(f"{len(forms) - len(kept):,} of {len(forms):,} images hold no labelled pixel, and are left out")
    chosen, places = places_of(bands, first.bands, str(root))
    counts = tuple(tuple(scans[f.name].counts.get(i, 0) for i in ids or range(len(names))) for f in kept)
    return LabelledImages(
        root,
        source,
        tuple(form.name for form in kept),
        tuple((form.height, form.width) for form in kept),
        names,
        ids,
        counts,
        tuple(scans[form.name].presence for form in kept),
        chosen,
        places,
        first.largest,
        tuple(scans[form.name].digest for form in kept),
        tuple(form.ground for form in kept),
        _parts(kept, first),
        tuple(problems.values()),
        tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Scan:
    """What reading an image once says of it."""

    counts: dict[int, int]
    """Number of pixels by class id; of probabilities, by place of the largest."""
    presence: Bools
    digest: str

    @property
    def labelled(self) -> bool:
        return bool(self.counts)


def _scan(source: ImageSource, form: ImageForm, ignore: Sequence[int]) -> _Scan:
    counts: dict[int, int] = {}
    digest, rows = hashlib.blake2b(digest_size=8), []
    for window in _strips(form.height, form.width):
        values, valid, mask = source.read(form.name, window)
        digest.update(values.tobytes() + mask.tobytes())
        labelled: Bools
        if mask.ndim == 2:
            labelled = (mask >= 0) & ~np.isin(mask, ignore) & valid
            ids = mask[labelled]
            if ids.max(initial=0) > HIGHEST_ID:
                raise DatasetError(f"{form.name}: expected class ids up to {HIGHEST_ID}. Received: {ids.max()}")
        else:
            labelled = np.logical_and((mask > 0).any(axis=-1), valid)
            ids = mask[labelled].argmax(axis=-1)
        for number, count in zip(*np.unique(ids, return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
        rows.append(_any_of_squares(labelled))
    return _Scan(counts, np.concatenate(rows), digest.hexdigest())


def _strips(height: int, width: int) -> Iterator[Window]:
    for row in range(0, height, STRIP):
        yield row, 0, min(STRIP, height - row), width


def _any_of_squares(labelled: Bools) -> Bools:
    rows, cols = (-(-side // PRESENCE) for side in labelled.shape)
    padded = np.zeros((rows * PRESENCE, cols * PRESENCE), bool)
    padded[: labelled.shape[0], : labelled.shape[1]] = labelled
    return np.asarray(padded.reshape(rows, PRESENCE, cols, PRESENCE).any(axis=(1, 3)))


def _alike(forms: Sequence[ImageForm]) -> ImageForm:
    """The first image, if all others have its bands, its bits and its kind of mask."""
    first = forms[0]
    for form in forms:
        for what, mine, other in (
            ("bands", form.bands, first.bands),
            ("bits", form.largest, first.largest),
            ("a mask of as many classes", form.classes, first.classes),
        ):
            if mine != other:
                raise DatasetError(f"{form.name}: expected {what} like {first.name}: {other}. Received: {mine}")
    return first


def _parts(forms: Sequence[ImageForm], first: ImageForm) -> tuple[str, ...] | None:
    parts = [form.part for form in forms]
    if not any(parts):
        return None
    if None in parts:
        raise DatasetError(
            f"{forms[parts.index(None)].name}: expected it below a folder train, validation or test, like others"
        )
    return tuple(str(part) for part in parts)


def named_classes(texts: Sequence[str]) -> dict[int, str]:
    """Names by id: of texts such as "10=trees", or of names alone, which are those of ids from 0 on.

    Raises:
        DatasetError: Some texts have an id and others none, or an id or a name comes twice.
    """
    matches = [re.fullmatch(r"\s*(\d+)\s*=\s*(.*\S)\s*", text) for text in texts]
    if any(matches) and not all(matches):
        raise DatasetError(
            f"classes: expected an id before each name, as in 10=trees, or none. Received: {list(texts)}"
        )
    pairs = [(int(m[1]), m[2]) if m else (i, texts[i].strip()) for i, m in enumerate(matches)]
    if len({i for i, _ in pairs}) < len(pairs) or len({name for _, name in pairs} - {""}) < len(pairs):
        raise DatasetError(f"classes: expected each id and each name once. Received: {', '.join(texts)}")
    return dict(pairs)


def _classes(
    root: Path, first: ImageForm, scans: Mapping[str, _Scan], given: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...] | None, list[str]]:
    """Names and ids of the classes that have a pixel, and notes about the others."""
    found = {number: _first_with(number, scans) for scan in scans.values() for number in scan.counts}
    if not found:
        raise DatasetError(f"{root}: expected labelled pixels. Received: masks of nodata and ignored ids only")
    names = _legend(root, first, found, given)
    if unknown := sorted(found.keys() - names.keys()):
        number = unknown[0]
        raise DatasetError(
            f"{root}: expected masks of the ids {_listed(names)}. Received: {_listed(unknown)}, such as {number} in "
            f"{found[number]}. Name them in --classes, or leave them out with --ignore {','.join(map(str, unknown))}"
        )
    absent = [name for number, name in names.items() if number not in found]
    if len(found) < 2:
        raise DatasetError(
            f"{root}: expected labelled pixels of two classes or more. Received: "
            f"{', '.join(names[i] for i in found)} only"
        )
    if first.classes is not None:  # the order of the bands is that of the classes: none can be left out
        notes = [f"No pixel is most likely {' or '.join(absent)}"] if absent else []
        return tuple(names.values()), None, notes
    kept = {number: name for number, name in names.items() if number in found}
    notes = [f"No pixel of {', '.join(absent)}: the model won't know these"] if absent else []
    return tuple(kept.values()), tuple(kept), notes


def _first_with(number: int, scans: Mapping[str, _Scan]) -> str:
    return next(name for name, scan in scans.items() if number in scan.counts)


def _legend(root: Path, first: ImageForm, found: Mapping[int, str], given: Sequence[str] | None) -> dict[int, str]:
    if given is None:
        example = ",".join(f"{number}=NAME" for number in sorted(found)[:3])
        raise DatasetError(
            f"{root}: expected names of the classes with the ids {_listed(found)}. Received: none. Give --classes "
            f"{example if first.classes is None else 'NAME,NAME'}{',…' * (len(found) > 3 or first.classes is not None)}"
        )
    names = named_classes(given)
    if first.classes is not None and list(names) != list(range(first.classes)):
        raise DatasetError(
            f"{root}: expected the names of the {first.classes} classes of which masks hold probabilities, in the "
            f"order of the bands. Received: {', '.join(given)}"
        )
    return names


def _listed(numbers: Mapping[int, Any] | Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
