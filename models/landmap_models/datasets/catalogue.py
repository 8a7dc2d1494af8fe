"""Lists of the chips of a data set with their labels, from class folders, a CSV file, or Pascal VOC annotations."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from landmap_models.datasets.files import CHIP_SUFFIXES, file_names, folder_names, read_file
from landmap_models.errors import DatasetError

PARTS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
"""Part of a split by the name of a folder, in small letters, or in the column `split`."""

OTHER_PICTURES = {".bmp", ".gif", ".webp", ".jp2", ".j2k", ".heic", ".npy"}
"""Suffixes, in small letters, of pictures that can't be read as chips."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The labelled chips of a data set, before any file is decoded."""

    files: tuple[str, ...]
    """Names of the files, sorted."""
    labels: tuple[tuple[str, ...], ...]
    """Class names of each file: one, or several if `multi_label`; none for those of `all_chips`."""
    parts: tuple[str, ...] | None
    """"train", "validation" or "test" of each file, if the data set comes divided."""
    multi_label: bool
    """Whether a chip may have several classes."""
    problems: Mapping[str, str]
    """Message for each file that can't be used, such as one without a label, by the name of the file."""
    expected: str
    """What this kind of data set must hold, for messages."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes, in alphabetical order."""
        return tuple(sorted({name for several in self.labels for name in several}))

    def only(self, files: Collection[str]) -> Catalogue:
        """The catalogue of these files only, without classes that only others have."""
        kept = [i for i, name in enumerate(self.files) if name in files]
        return replace(
            self,
            files=tuple(self.files[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
            parts=tuple(self.parts[i] for i in kept) if self.parts else None,
        )

    def ids(self) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
        """Class id of each file, its place in `class_names`; ascending ids of its classes if `multi_label`."""
        place = {name: i for i, name in enumerate(self.class_names)}
        several = tuple(tuple(sorted(place[name] for name in names)) for names in self.labels)
        return several if self.multi_label else tuple(one for (one,) in several)


def find_catalogue(root: Path) -> Catalogue:
    """List the labelled chips in a folder, a zip file or a CSV file.

    Raises:
        DatasetError: `root` is none of these, or its table or annotations contradict themselves.
    """
    if root.suffix.lower() == ".csv" and root.is_file():
        return _from_table(root)
    names = file_names(root)
    if any(re.search(r"(^|/)Annotations/[^/]+\.xml$", name) for name in names):
        return _from_voc(root, names)
    return _from_folders(names, folder_names(root))


def all_chips(root: Path) -> Catalogue:
    """List the chips in a folder or a zip file, whatever their folders, without labels.

    Raises:
        DatasetError: `root` is neither, or holds no chip.
    """
    files = tuple(sorted(filter(_is_chip, file_names(root))))
    if not files:
        raise DatasetError(f"{root}: expected JPEG, PNG or GeoTIFF chips. Received: none")
    return Catalogue(files, ((),) * len(files), None, True, {}, "chips")


def _catalogue(
    labels: Mapping[str, Sequence[str]],
    parts: Mapping[str, str],
    problems: Mapping[str, str],
    expected: str,
    multi_label: bool = False,
) -> Catalogue:
    files = tuple(sorted(labels.keys() - problems.keys()))
    return Catalogue(
        files,
        tuple(tuple(labels[name]) for name in files),
        tuple(parts[name] for name in files) if parts else None,
        multi_label,
        problems,
        expected,
    )


def _is_chip(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in CHIP_SUFFIXES


def _from_folders(names: Sequence[str], folders: Sequence[str]) -> Catalogue:
    """List files of the form `<any folders>/[<part>/]<class>/<file>`."""
    places = {name: PurePosixPath(name).parts for name in names if _is_chip(name)}
    parts = {name: PARTS[p[-3].lower()] for name, p in places.items() if len(p) > 2 and p[-3].lower() in PARTS}
    problems = {name: f"{name}: lies in no class folder" for name, p in places.items() if len(p) < 2}
    if parts:
        problems |= {
            name: f"{name}: expected <part>/<class>/<file> like {next(iter(parts))}"
            for name in places
            if name not in parts
        }
    labels = {name: p[-2:-1] for name, p in places.items()}
    problems |= {
        folder: f"{folder}: a class folder without JPEG, PNG or GeoTIFF chips"
        for folder in _empty_classes(list(places), names, folders)
    }
    return _catalogue(labels, parts, problems, "two class folders with JPEG, PNG or GeoTIFF chips")


def _empty_classes(chips: Sequence[str], names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Folders beside class folders that are empty or hold only other kinds of pictures: a class would be missed."""
    filled = {str(parent) for name in chips for parent in PurePosixPath(name).parents}
    beside = {str(PurePosixPath(name).parent.parent) for name in chips if "/" in name}
    other = {
        str(parent): PurePosixPath(name).suffix.lower() in OTHER_PICTURES
        for name in names
        for parent in PurePosixPath(name).parents
        if str(parent) not in filled
    }
    return [
        name
        for name in folders
        if name not in filled and str(PurePosixPath(name).parent) in beside and other.get(name, True)
    ]


# A table.


def _from_table(path: Path) -> Catalogue:
    """Read a table with the columns file, label and perhaps split; ";" separates labels."""
    rows = _read_table(path)
    labels: dict[str, Sequence[str]] = {}
    parts: dict[str, str] = {}
    problems: dict[str, str] = {}
    divided = any(row.get("split") for row in rows)
    for row in rows:
        name = PurePosixPath(row["file"]).as_posix()
        found = _distinct(row["label"].split(";"))
        part = PARTS.get(row.get("split", "").lower())
        if reason := _row_problem(name, found, divided and part is None, name in labels):
            problems[name] = f"{name}: {reason}"
        labels[name], parts[name] = found, part or ""
    several = any(";" in row["label"] for row in rows)
    return _catalogue(labels, parts if divided else {}, problems, "two classes in the column label", several)


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin their UTF-8 with a mark
            table = csv.DictReader(file)
            columns = [(name or "").strip() for name in table.fieldnames or ()]
            if not {"file", "label"} <= set(columns):
                raise DatasetError(
                    f"{path}: expected the columns file and label, and perhaps split, with commas between. "
                    f"Received: {', '.join(columns) or 'nothing'}"
                )
            table.fieldnames = columns
            return [{key: (row[key] or "").strip() for key in columns} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a readable CSV file in UTF-8 ({error})") from error


def _row_problem(name: str, labels: Sequence[str], lacks_part: bool, listed: bool) -> str | None:
    if listed:
        return 'is listed twice. Several labels go into one row, with ";" between'
    if not _is_chip(name):
        return f"expected a name that ends in {', '.join(sorted(CHIP_SUFFIXES))}"
    if PurePosixPath(name).is_absolute():
        return "expected a path relative to the CSV file"
    if not labels:
        return "has no label"
    return f"expected a split out of {', '.join(PARTS)}" if lacks_part else None


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


# Pascal VOC.


class _Tree(ET.TreeBuilder):
    """A parser of XML without document types, whose entities can exhaust memory or read other files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DatasetError("expected plain XML. Received: a DOCTYPE, which no annotation needs. Remove it")


def _from_voc(root: Path, names: Sequence[str]) -> Catalogue:
    """List `JPEGImages/<stem>.jpg` with `Annotations/<stem>.xml`, perhaps with `ImageSets/Main/train.txt`."""
    base = _voc_folder(root, names)
    images = {name: PurePosixPath(name).stem for name in names if name.startswith(f"{base}JPEGImages/")}
    images = {name: stem for name, stem in sorted(images.items()) if _is_chip(name)}
    labels: dict[str, Sequence[str]] = {}
    problems: dict[str, str] = {}
    for name, stem in images.items():
        labels[name], problem = _voc_labels(root, f"{base}Annotations/{stem}.xml")
        if problem:
            problems[name] = f"{name}: {problem}"
    stems = set(images.values())
    for name in names:
        if name.startswith(f"{base}Annotations/") and name.endswith(".xml") and PurePosixPath(name).stem not in stems:
            problems[name] = f"{name}: there is no such image in JPEGImages"
    parts = _voc_parts(root, names, base)
    if parts:
        problems |= {n: f"{n}: is in no list of ImageSets/Main" for n, s in images.items() if s not in parts}
    found = {name: parts.get(stem, "") for name, stem in images.items()} if parts else {}
    return _catalogue(labels, found, problems, "two names of objects in Annotations", multi_label=True)


def _voc_folder(root: Path, names: Sequence[str]) -> str:
    """The folder that holds Annotations: "" or a path that ends in "/"."""
    found = {m[1] for name in names if (m := re.match(r"((?:.*/)?)Annotations/[^/]+\.xml$", name))}
    if len(found) > 1:
        raise DatasetError(f"{root}: expected one folder Annotations. Received: one in each of {sorted(found)}")
    return found.pop()


def _voc_labels(root: Path, name: str) -> tuple[list[str], str | None]:
    """The names of the objects, each once, and a message if the annotation can't be used."""
    try:
        tree = ET.fromstring(read_file(root, name), ET.XMLParser(target=_Tree()))
    except DatasetError as error:
        return [], f"no usable annotation ({error})"
    except (ET.ParseError, ValueError, LookupError) as error:
        return [], f"{name} is not readable XML ({error})"
    labels = _distinct([found.text or "" for found in tree.iterfind("object/name")])
    return labels, None if labels else f"{name} names no object"


def _voc_parts(root: Path, names: Sequence[str], base: str) -> dict[str, str]:
    """The part of each stem by the lists that exist; `trainval` counts where there is neither train nor val."""
    lists = {n: f"{base}ImageSets/Main/{n}.txt" for n in ("train", "val", "test", "trainval")}
    there = [n for n, path in lists.items() if path in set(names)]
    if {"train", "val"} & set(there):
        there = [n for n in there if n != "trainval"]
    parts: dict[str, str] = {}
    for list_name in there:
        part = "train" if list_name == "trainval" else PARTS[list_name]
        for line in read_file(root, lists[list_name]).decode(errors="replace").splitlines():
            stem = line.split()[0] if line.strip() else None
            if stem and parts.setdefault(stem, part) != part:
                raise DatasetError(f"{lists[list_name]}: {stem} is also in the {parts[stem]} list. Expected it in one")
    return parts


LEAST = 3
"""Chips of a class at least: one for each part of a split."""


def check_data(data: Path) -> None:
    """Refuse a data set to be split at random whose classes have too few chips, before chips are decoded.

    Data that come divided into parts, or have files with problems, are left to `open_chips`.

    Args:
        data: A folder, zip file or CSV file.

    Raises:
        DatasetError: It is no data set, or a class has too few chips; each such class is named.
    """
    catalogue = find_catalogue(data)
    if catalogue.parts is None and not catalogue.problems:
        check_counts(data, Counter(name for names in catalogue.labels for name in names))


def check_counts(root: Path, counts: Mapping[str, int]) -> None:
    """Refuse classes that can't be in every part of a split.

    Args:
        root: The data set, for the message.
        counts: Number of chips by class name.

    Raises:
        DatasetError: A class has too few chips; each such class is named.
    """
    few = [f"{name} ({n})" for name, n in sorted(counts.items()) if n < LEAST]
    if few:
        raise DatasetError(
            f"{root}: can't be split into three parts: expected at least {LEAST} chips of each class, one for each "
            f"part. Received: too few of {', '.join(few)}. Add chips, or leave these classes out: move their folders "
            "(or rows) out of the data"
        )
