"""Labelled chips on disk: one folder per class, in a folder or a zip file.

Reading is lazy: a `ChipFolder` is a list of names and labels, and `ChipBatches` reads the files of one batch when Keras
asks for it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from landmap_models.errors import DatasetError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
EIGHT_BIT_MODES = {"RGB", "RGBA", "L", "P"}
"""Pillow's names for what has 8 bits a channel."""
EIGHT_BIT_REFLECTANCE = 0.275
"""Reflectance that EuroSAT's JPEG chips code as 255: the digital numbers 0 to 2750, stretched to 8 bits."""

Floats = npt.NDArray[np.float32]
Augment = Callable[[Floats, Floats, np.random.Generator], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class ChipFolder:
    """Labelled chips below one folder or inside one zip file."""

    root: Path
    """The folder or zip file."""
    files: tuple[str, ...]
    """Paths below `root`, sorted, "/" between parts."""
    labels: tuple[int, ...]
    """Class id of each file: its place in `class_names`."""
    class_names: tuple[str, ...]
    """Names of the class folders, alphabetical."""

    def __len__(self) -> int:
        return len(self.files)

    def subset(self, indices: npt.NDArray[np.intp]) -> ChipFolder:
        """The chips at these positions, in this order."""
        return replace(
            self,
            files=tuple(self.files[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
        )

    def counts(self) -> dict[str, int]:
        """Number of chips by class name."""
        counted = Counter(self.labels)
        return {name: counted[i] for i, name in enumerate(self.class_names)}

    def fingerprint(self) -> str:
        """sha256 over the files in order: two equal splits of the same files have equal fingerprints.

        Counts the names and sizes and, in a zip file, the CRCs that it records. No pixel is read: in a folder, a change
        that keeps a file's size goes unseen.
        """
        return hashlib.sha256("\n".join(self._identities()).encode()).hexdigest()

    def _identities(self) -> list[str]:
        if self.root.is_dir():
            return [f"{name} {(self.root / name).stat().st_size}" for name in self.files]
        with zipfile.ZipFile(self.root) as archive:  # not the one kept open: the file may have been replaced since
            found = map(archive.getinfo, self.files)
            return [f"{info.filename} {info.file_size} {info.CRC:08x}" for info in found]

    def read(self) -> npt.NDArray[np.uint8]:
        """All chips, `(n, height, width, 3)`, red, green, blue.

        Raises:
            DatasetError: A file is not an image, or not of the first one's size.
        """
        if self.root.is_dir():
            return _stack([_decode(self.root / name, name) for name in self.files], self.files)
        archive = _archive(self.root)
        return _stack([_decode(io.BytesIO(archive.read(name)), name) for name in self.files], self.files)


def open_chips(root: str | Path) -> ChipFolder:
    """List the chips below `root`: `<any folders>/<class>/<file>.jpg` (or png), in a folder or a zip file.

    Raises:
        DatasetError: Nothing is there, or fewer than two classes.
    """
    root = Path(root)
    if root.is_dir():
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    else:
        raise DatasetError(f"{root}: expected a folder or a zip file of chips, one folder per class")
    files = tuple(sorted(n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES and "/" in n))
    class_names = tuple(sorted({Path(n).parent.name for n in files}))
    if len(class_names) < 2:
        raise DatasetError(
            f"{root}: expected at least two class folders with JPEG or PNG chips. Received: {class_names}"
        )
    ids = {name: i for i, name in enumerate(class_names)}
    return ChipFolder(root, files, tuple(ids[Path(n).parent.name] for n in files), class_names)


@functools.lru_cache(maxsize=4)
def _archive(path: Path) -> zipfile.ZipFile:
    """Kept open: reading the directory of a large zip file takes longer than reading a batch from it."""
    return zipfile.ZipFile(path)


def _decode(file: Path | io.BytesIO, name: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            if image.mode not in EIGHT_BIT_MODES:  # convert would clip 16 bits without a word
                raise DatasetError(
                    f"{name}: expected 8 bits a channel (RGB or grey). Received: an image of Pillow's mode "
                    f"{image.mode}. Stretch the chips to 8 bits first"
                )
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetError(f"{name}: not a readable image ({error})") from error


def _stack(chips: list[npt.NDArray[np.uint8]], names: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    for chip, name in zip(chips, names, strict=True):
        if chip.shape != chips[0].shape:
            raise DatasetError(
                f"{name}: expected {chips[0].shape[:2]} pixels like {names[0]}. Received: {chip.shape[:2]}"
            )
    return np.stack(chips)


def to_reflectance(chips: npt.NDArray[np.uint8]) -> Floats:
    """Reflectance of 8-bit chips: 0 to 255 codes 0 to 0.275."""
    return chips.astype(np.float32) * np.float32(EIGHT_BIT_REFLECTANCE / 255)


class ChipBatches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Batches of `(reflectance (n, height, width, 3), one-hot labels (n, classes))` for `model.fit`.

    The order and the augmentation of epoch e depend on `(seed, e, batch)` alone, so that a training can be repeated
    with any number of workers.
    """

    def __init__(
        self,
        chips: ChipFolder,
        batch_size: int,
        augment: Augment | None = None,
        seed: int | None = None,
        **keywords: object,
    ) -> None:
        """Prepare the batches; `seed` None keeps the order of the files."""
        super().__init__(**keywords)
        self.chips = chips
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed
        self._labels = np.asarray(chips.labels)
        self._order = np.arange(len(chips))
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.chips) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        values = to_reflectance(self.chips.subset(chosen).read())
        labels = np.eye(len(self.chips.class_names), dtype=np.float32)[self._labels[chosen]]
        if self.augment is None:
            return values, labels
        return self.augment(values, labels, np.random.default_rng((self.seed or 0, self.epoch, index)))

    def start_epoch(self, epoch: int) -> None:
        """Order and augmentation of this epoch, counted from 0; to be called before its first batch."""
        self.epoch = epoch
        if self.seed is not None:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.chips))
