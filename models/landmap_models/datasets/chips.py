"""Labelled chips on disk, and batches of them for Keras.

Reading is lazy: a `ChipFolder` is a list of names and labels, and `ChipBatches` reads the files of one batch when Keras
asks for it. `open_chips` describes the kinds of data sets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.datasets.catalogue import Catalogue, all_chips, find_catalogue
from landmap_models.datasets.checks import check_files, common_bands, listed, refuse
from landmap_models.datasets.files import decode, identities, read_file
from landmap_models.datasets.ground import Ground
from landmap_models.errors import DatasetError
from landmap_models.inference.input_scale import EIGHT_BIT_REFLECTANCE
from landmap_models.sentinel2 import TRUE_COLOR, named_bands, places_of

DIGITAL_NUMBERS = 10_000
"""Value of 16 bits that stands for a reflectance of 1."""

Augment = Callable[[Floats, Floats, np.random.Generator], tuple[Floats, Floats]]
"""A function that changes chips `(n, height, width, bands)` and labels `(n, classes)` at random."""
Label = int | tuple[int, ...]
"""Class id of a chip, or ids of its classes."""


@dataclass(frozen=True, slots=True)
class ChipFolder:
    """Labelled chips below one folder, inside one zip file, or listed in one CSV file."""

    root: Path
    """The folder, zip file or CSV file."""
    files: tuple[str, ...]
    """Paths of the chips relative to `root` or to the folder of the CSV file, sorted, with "/" between parts."""
    labels: tuple[Label, ...]
    """Class id of each file, its place in `class_names`; in a multi-label set a tuple of ids, never empty."""
    class_names: tuple[str, ...]
    """Names of the classes, in alphabetical order."""
    parts: tuple[str, ...] | None = None
    """"train", "validation" or "test" of each file; None if the data set doesn't come divided."""
    multi_label: bool = False
    """Whether a chip may have several classes."""
    bands: tuple[str, ...] = TRUE_COLOR
    """Sentinel-2 names of the bands that are read, in this order."""
    places: tuple[int, ...] = (0, 1, 2)
    """Positions of `bands` in the files, counted from 0."""
    bits: int = 8
    """Bits of a value in the files: 8 or 16."""
    file_band_count: int | None = None
    """Number of bands in the files that the user names; None: that of the files. See `files.decode`."""
    skipped: tuple[str, ...] = ()
    """Messages about the files that `open_chips` left out."""
    shape: tuple[int, int] = (64, 64)
    """Height and width of the chips in pixels."""
    digests: tuple[str, ...] = ()
    """Digest of the pixels of each file: equal chips have equal digests."""
    grounds: tuple[Ground | None, ...] = ()
    """Ground that each chip covers by its own georeference; None where it has none."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def reflectance_max(self) -> float:
        """Highest reflectance that 8 bits can hold, or, for 16 bits, 1, which land seldom exceeds."""
        return EIGHT_BIT_REFLECTANCE if self.bits == 8 else 1.0

    def subset(self, indices: npt.NDArray[np.intp]) -> ChipFolder:
        """The chips at these positions, in this order."""
        return replace(
            self,
            files=tuple(self.files[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            parts=tuple(self.parts[i] for i in indices) if self.parts else None,
            digests=tuple(self.digests[i] for i in indices) if self.digests else (),
            grounds=tuple(self.grounds[i] for i in indices) if self.grounds else (),
        )

    def counts(self) -> dict[str, int]:
        """Number of chips by class name; a chip of several classes counts in each."""
        counted = Counter(i for label in self.labels for i in _ids(label))
        return {name: counted[i] for i, name in enumerate(self.class_names)}

    def targets(self) -> Floats:
        """Labels as a model predicts them, `(n, classes)`: 1 for the classes of a chip, 0 for the others."""
        flags = np.zeros((len(self), len(self.class_names)), np.float32)
        for row, label in zip(flags, self.labels, strict=True):
            row[list(_ids(label))] = 1
        return flags

    def fingerprint(self) -> str:
        """Digest (sha256) of files and labels in order: equal splits of the same data have equal fingerprints.

        It depends on names, sizes and, in a zip file, recorded CRCs, and on labels that differ from the name of
        the file's folder. No pixel is read: in a folder, a change that keeps a file's size goes unseen.
        """
        lines = map(self._identity, identities(self.root, self.files), self.files, self.labels)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _identity(self, identity: str, name: str, label: Label) -> str:
        if isinstance(label, int) and self.class_names[label] == PurePosixPath(name).parent.name:
            return identity  # the name holds the label
        return f"{identity}\t{';'.join(sorted(self.class_names[i] for i in _ids(label)))}"

    def reflectance(self) -> Floats:
        """Read all chips as reflectance, `(n, height, width, bands)`: 255 of 8 bits is 0.275, 10,000 of 16 bits is 1.

        Raises:
            DatasetError: A file can't be read any more, or is not of the first one's size.
        """
        return to_reflectance(self._values())

    def _values(self) -> npt.NDArray[Any]:
        chips: list[npt.NDArray[Any]] = []
        for name in self.files:
            chip = decode(read_file(self.root, name), name, self.file_band_count).values
            if chips and chip.shape[:2] != chips[0].shape[:2]:
                raise DatasetError(
                    f"{name}: expected {chips[0].shape[:2]} pixels like {self.files[0]}. Received: {chip.shape[:2]}"
                )
            if 8 * chip.itemsize != self.bits or chip.shape[2] <= max(self.places):
                raise DatasetError(f"{name}: was changed since the data set was opened. Open it again")
            chips.append(chip[..., self.places])
        return np.stack(chips)


def _ids(label: Label) -> tuple[int, ...]:
    return (label,) if isinstance(label, int) else label


def open_chips(
    root: str | Path,
    *,
    bands: Sequence[str] | None = None,
    file_bands: Sequence[str] | None = None,
    skip_bad: bool = False,
    labelled: bool = True,
) -> ChipFolder:
    """List labelled chips and decode each once, to check that all can be used.

    A data set is one of:

    - a folder or zip file of `<class>/<file>`, below any folders. Folders `train`, `validation` (or `val`, `valid`) and
      `test` right above the class folders divide it;
    - a CSV file with the columns `file` (relative to the CSV file), `label` and perhaps `split`. One label with ";"
      makes a multi-label set of all;
    - a folder or zip file with Pascal VOC's `Annotations` and `JPEGImages`: a multi-label set, divided by the lists in
      `ImageSets/Main` if they are there. Difficult and truncated objects count.

    Chips are JPEG, PNG or GeoTIFF files of 8 or 16 bits. Three bands of 8 bits in a JPEG or PNG file are B04, B03, B02;
    a GeoTIFF names its bands by their descriptions, or has the 13 of EuroSAT in EuroSAT's order.

    Args:
        root: Folder, zip file or CSV file.
        bands: Sentinel-2 names of the bands to read, in this order; None: all of the files.
        file_bands: Names of the bands of the files, in order, where the files name them wrongly; None: the files name
            them.
        skip_bad: Whether files that can't be used (unreadable, of another size than most, unlabelled, with gaps) are
            left out.
        labelled: Whether chips have labels; False takes all chips of a folder or zip file, and `class_names` is empty.

    Raises:
        DatasetError: There are no chips, fewer than two classes, files that can't be used (ten are listed, and their
            number), 8 and 16 bits mixed, or bands that are missing or that nothing names.
    """
    root = Path(root)
    given = named_bands(file_bands) if file_bands else None
    catalogue = find_catalogue(root) if labelled else all_chips(root)
    if labelled:
        _require_classes(root, catalogue, catalogue.problems)
    forms, problems = check_files(root, catalogue.files, len(given) if given else None)
    problems = {**catalogue.problems, **problems}
    if problems and (not skip_bad or not forms):
        raise refuse(root, problems, len(forms) + len(problems))
    kept = catalogue.only(forms.keys())
    if labelled:
        _require_classes(root, kept, problems)
    names, places = places_of(bands, common_bands(forms, given), str(root))
    form = next(iter(forms.values()))
    return ChipFolder(
        root,
        kept.files,
        kept.ids(),
        kept.class_names,
        kept.parts,
        kept.multi_label,
        names,
        places,
        bits=form.bits,
        file_band_count=len(given) if given else None,
        skipped=tuple(problems.values()),
        shape=(form.height, form.width),
        digests=tuple(forms[name].digest for name in kept.files),
        grounds=tuple(forms[name].ground for name in kept.files),
    )


def _require_classes(root: Path, catalogue: Catalogue, problems: Mapping[str, str]) -> None:
    if len(catalogue.class_names) < 2:
        left_out = f". {len(problems):,} files can't be used: {listed(problems)}" if problems else ""
        raise DatasetError(
            f"{root}: expected at least {catalogue.expected}. Received: {catalogue.class_names}{left_out}"
        )


def to_reflectance(chips: npt.NDArray[Any]) -> Floats:
    """Reflectance of chips: 0 to 255 of 8 bits stand for 0 to 0.275, 10,000 of 16 bits for 1; floats stay."""
    if chips.dtype == np.uint8:
        return chips.astype(np.float32) * np.float32(EIGHT_BIT_REFLECTANCE / 255)
    if chips.dtype.kind in "iu":
        return chips.astype(np.float32) / np.float32(DIGITAL_NUMBERS)
    return chips.astype(np.float32, copy=False)


class Lessons(Protocol):
    """The labels that a teacher gives augmented chips."""

    @property
    def views(self) -> int:
        """Number of sets of augmented chips that the teacher labels; epochs go through the sets in turn."""

    def answers(self, view: int) -> Floats:
        """Labels of a set, `(n, classes)`, in the order of its batches."""

    def afterwards(self, chips: Floats, labels: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Augment a batch and its labels after the teacher has labelled it."""


class ChipBatches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Batches of `(reflectance (n, height, width, bands), labels (n, classes))` for `model.fit`.

    With `class_weights` there is a third item, the weight of each chip `(n,)`: the mean weight of its classes by its
    label after augmentation.

    The order and the augmentation of epoch e depend on `(seed, e, batch)` alone, so that a training can be repeated
    with any number of workers. `model.fit` must be told `shuffle=False`, or it shuffles the batches once more.
    """

    def __init__(
        self,
        chips: ChipFolder,
        batch_size: int,
        augment: Augment | None = None,
        seed: int | None = None,
        *,
        labels: Floats | None = None,
        lessons: Lessons | None = None,
        class_weights: Sequence[float] | None = None,
        **keywords: object,
    ) -> None:
        """Prepare the batches.

        Args:
            chips: Chips to read.
            batch_size: Number of chips in a batch; the last batch may have fewer.
            augment: Function that changes chips and labels at random; None: they stay as they are.
            seed: Seed of order and augmentation; None keeps the order of the files.
            labels: Labels `(n, classes)` in place of those of the chips, such as the probabilities of a teacher; None:
                those of the chips.
            lessons: Labels that a teacher gives the augmented chips, in place of `labels`; None: no teacher.
            class_weights: Weight of each class in the loss, `(classes,)`, 0 or more; None: all alike.
            keywords: `workers`, `use_multiprocessing` and `max_queue_size` of Keras.

        Raises:
            DatasetError: Labels or weights have another shape, or weights are negative or not finite.
        """
        super().__init__(**keywords)
        self.chips = chips
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed
        shape = len(chips), len(chips.class_names)
        self._labels = chips.targets() if labels is None else _checked("labels", labels, shape)
        self._weights = None if class_weights is None else _checked("class_weights", class_weights, shape[1:])
        self._lessons = lessons
        self._order = np.arange(len(chips))
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.chips) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Floats, Floats] | tuple[Floats, Floats, Floats]:
        batch = slice(index * self.batch_size, (index + 1) * self.batch_size)
        chosen = self._order[batch]
        values, labels = self.chips.subset(chosen).reflectance(), self._labels[chosen]
        if self.augment is not None:
            values, labels = self.augment(values, labels, np.random.default_rng((self.seed or 0, self._view, index)))
        if self._lessons is not None:
            labels = self._lessons.answers(self._view)[batch]
            values, labels = self._lessons.afterwards(
                values, labels, np.random.default_rng((self.seed or 0, self.epoch, index, 1))
            )
        if self._weights is None:
            return values, labels
        return values, labels, _mean_weights(labels, self._weights)

    def start_epoch(self, epoch: int) -> None:
        """Set order and augmentation of an epoch, counted from 0, before its first batch."""
        self.epoch = epoch
        if self.seed is not None:
            self._order = np.random.default_rng((self.seed, self._view)).permutation(len(self.chips))

    @property
    def _view(self) -> int:
        """Number of the order and augmentation of this epoch: its own, or that of a set that a teacher labels."""
        return self.epoch if self._lessons is None else self.epoch % self._lessons.views


def _checked(name: str, given: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    values = np.asarray(given, np.float32)
    if values.shape != shape or not np.isfinite(values).all() or (values < 0).any():
        raise DatasetError(
            f"{name}: expected finite numbers of shape {shape}, none below 0. Received: shape {values.shape}, "
            f"{values.min(initial=0):g} to {values.max(initial=0):g}"
        )
    return values


def _mean_weights(labels: Floats, weights: Floats) -> Floats:
    """The weight of each chip; labels of one class sum to 1, so that this is `labels @ weights` for them."""
    weighted, sums = labels @ weights, labels.sum(axis=1)
    means: Floats = np.divide(weighted, sums, out=np.ones_like(weighted), where=sums > 0)
    return means
