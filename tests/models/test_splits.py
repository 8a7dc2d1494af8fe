"""Splits that data sets come with, of chips with several classes, and by the chips' own places."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from landmap_models.datasets import ChipFolder, open_chips
from landmap_models.errors import DatasetError
from landmap_models.splits import (
    Split,
    _deal,
    block_numbers,
    chip_coordinates,
    given_split,
    read_coordinates,
    spatial_split,
    stratified_split,
)

LABELS = ("a", "b", "c", "d")


def several(n: int, seed: int = 0, shares: tuple[float, ...] = (0.7, 0.4, 0.2, 0.05)) -> ChipFolder:
    """Made-up chips of several classes; no files are there."""
    rng = np.random.default_rng(seed)
    flags = rng.random((n, len(shares))) < shares
    flags[~flags.any(axis=1), 0] = True
    labels = tuple(tuple(int(k) for k in np.flatnonzero(row)) for row in flags)
    files = tuple(f"{i:05d}.png" for i in range(n))
    return ChipFolder(Path("made/up"), files, labels, LABELS[: len(shares)], multi_label=True)


def divided(parts: str, labels: str) -> ChipFolder:
    """Made-up chips, "t", "v" or "x" (test) each, and their classes."""
    names = {"t": "train", "v": "validation", "x": "test"}
    classes = tuple(sorted(set(labels)))
    files = tuple(f"{i:03d}.png" for i in range(len(parts)))
    ids = tuple(classes.index(label) for label in labels)
    return ChipFolder(Path("made/up"), files, ids, classes, parts=tuple(names[p] for p in parts))


def disjoint(split: Split, chips: ChipFolder) -> bool:
    files = [file for part in split.parts().values() for file in part.files]
    return sorted(files) == sorted(chips.files)


# As they come.


def test_a_given_split_is_kept() -> None:
    chips = divided("tvxtvx", "aaabbb")
    split = given_split(chips, seed=0)
    assert split.train.files == ("000.png", "003.png")
    assert split.validation.files == ("001.png", "004.png")
    assert split.test.files == ("002.png", "005.png")
    assert split.test.parts == ("test", "test")
    assert given_split(chips, seed=1) == split


def test_a_missing_validation_part_is_drawn_from_training() -> None:
    chips = divided("t" * 80 + "x" * 20, "ab" * 50)
    split = given_split(chips, seed=3, validation=0.25)
    assert disjoint(split, chips)
    assert split.test.files == chips.files[80:]
    assert split.validation.counts() == {"a": 10, "b": 10}
    assert given_split(chips, seed=3, validation=0.25) == split
    assert given_split(chips, seed=4, validation=0.25).validation != split.validation


@pytest.mark.parametrize(
    ("parts", "labels", "message"),
    [
        (
            "ttvv",
            "abab",
            r"expected chips for training and for testing\. Received: {'train': 2, 'validation': 2}\. Add",
        ),
        ("xxvv", "abab", "for training and for testing"),
        ("ttxxv", "aaabb", r"each class in the training part\. Received: too few, .* of b \(2\)"),
    ],
)
def test_given_splits_that_can_not_train_are_refused(parts: str, labels: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        given_split(divided(parts, labels), seed=0)


def test_undivided_data_have_no_split(chip_zip: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected a data set that comes divided .*Choose a random or spatial"):
        given_split(open_chips(chip_zip), seed=0)


# Several classes.


def test_several_classes_are_split_in_proportion() -> None:
    chips = several(2000)
    split = stratified_split(chips, seed=1)
    assert disjoint(split, chips)
    for part, share in zip(split.parts().values(), (0.8, 0.1, 0.1), strict=True):
        assert len(part) == pytest.approx(share * 2000, abs=20)
        for name, count in part.counts().items():
            assert count == pytest.approx(share * chips.counts()[name], rel=0.06, abs=2), name
    assert stratified_split(chips, seed=1) == split
    assert stratified_split(chips, seed=2) != split


def test_a_rare_class_is_in_every_part() -> None:
    """At random, three of 300 chips would all be in the training part more often than not."""
    for seed in range(20):
        chips = several(300, seed, (0.7, 0.4))
        chips = ChipFolder(
            chips.root, chips.files, ((2,), (0, 2), (1, 2), *chips.labels[3:]), ("a", "b", "rare"), multi_label=True
        )
        counts = [part.counts()["rare"] for part in stratified_split(chips, seed).parts().values()]
        assert counts == [1, 1, 1]


@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(0.05, 0.5))
def test_dealing_keeps_to_the_share(seed: int, n: int, share: float) -> None:
    """Whatever the classes: every class with two chips that shares them with none is on both sides."""
    flags = np.eye(4, dtype=bool)[np.random.default_rng(seed).integers(0, 4, n)]
    drawn = _deal(flags, share, seed)
    for column in flags.T:
        count = int(column.sum())
        assert abs(drawn[column].sum() - max(share * count, min(count - 1, 1))) <= 1
        assert count < 2 or 0 < drawn[column].sum() < count


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_that_are_none_are_refused(share: float) -> None:
    with pytest.raises(DatasetError, match=r"share of chips between 0 and 1"):
        stratified_split(several(100), 0, test=share, validation=0.0)


def test_a_class_that_is_too_rare_is_refused() -> None:
    labels = ((2,), *((0,), (1,)) * 50)
    files = tuple(f"{i}.png" for i in range(101))
    with pytest.raises(DatasetError, match=r"each class in every part\. Received: too few, .* of c \(1\)"):
        stratified_split(ChipFolder(Path("x"), files, labels, ("a", "b", "c"), multi_label=True), 0)
    single = ChipFolder(Path("x"), files, (2, 2, *(0, 1) * 49, 0), ("a", "b", "c"))
    with pytest.raises(DatasetError, match=r"can't be split into three parts"):
        stratified_split(single, 0)


# By place.


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([10.0, 50.0, 100.0]), st.booleans())
def test_no_block_is_in_two_parts(seed: int, block_km: float, multi: bool) -> None:
    rng = np.random.default_rng(seed)
    chips = several(100, seed)
    if not multi:
        single = tuple(label[0] if isinstance(label, tuple) else label for label in chips.labels)
        chips = ChipFolder(chips.root, chips.files, single, LABELS)
    places = rng.uniform((40, -5), (60, 25), (100, 2))
    try:
        split = spatial_split(chips, places, seed, block_km=block_km)
    except DatasetError as error:
        assert "in the training part" in str(error)  # noqa: PT017 # some draws have a class of one or two chips
        return
    assert disjoint(split, chips)
    block = dict(zip(chips.files, block_numbers(places, block_km).tolist(), strict=True))
    blocks = [{block[file] for file in part.files} for part in split.parts().values()]
    assert sum(map(len, blocks)) == len(set.union(*blocks))


def georeferenced(folder: Path, places: npt.NDArray[np.float64]) -> ChipFolder:
    """GeoTIFF chips at eastings and northings in UTM zones 32 and 33 in turn."""
    for i, (x, y) in enumerate(places):
        path = folder / "ab"[i % 2] / f"{i:02d}.tif"
        path.parent.mkdir(exist_ok=True)
        crs, transform = f"EPSG:{32632 + i % 2}", from_origin(x - 20, y + 20, 10, 10)
        shape = {"height": 4, "width": 4, "count": 13, "dtype": "uint16"}
        with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **shape):
            pass
    return open_chips(folder)


def test_chips_know_where_they_lie(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform((3e5, 5e6), (7e5, 6e6), (60, 2))
    places[0] = 500_000, 0
    chips = georeferenced(tmp_path, places)
    found = chip_coordinates(chips)
    assert found.shape == (60, 2)
    assert found[0] == pytest.approx((0, 9), abs=1e-9), "the central meridian of zone 32"
    assert disjoint(spatial_split(chips, None, seed=0, block_km=60), chips)
    assert spatial_split(chips, None, 0, block_km=60) == spatial_split(chips, found, 0, block_km=60)


def test_chips_without_a_place_are_listed(chip_zip: Path) -> None:
    with pytest.raises(DatasetError, match=r"90 of 90 files can't be used: data/bright/bright_0.jpg: expected a GeoT"):
        spatial_split(open_chips(chip_zip), None, seed=0)


def test_a_class_in_one_block_only_is_refused() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform((40, -5), (60, 25), (50, 2))
    labels = (1, *(0,) * 49)
    chips = ChipFolder(Path("x"), tuple(f"{i:03d}.png" for i in range(50)), labels, ("a", "b"))
    refused = 0
    for seed in range(15):
        try:
            split = spatial_split(chips, places, seed)
        except DatasetError as error:
            assert "too close together, of b (1)" in str(error)  # noqa: PT017 # the others must succeed
            refused += 1
        else:
            assert split.train.counts()["b"] == 1
    assert 0 < refused < 15


def test_classes_that_are_all_rarer_than_folds_are_refused() -> None:
    rng = np.random.default_rng(0)
    chips = ChipFolder(Path("x"), tuple(f"{i}.png" for i in range(30)), tuple([0, 1, 2] * 10), ("a", "b", "c"))
    with pytest.raises(DatasetError, match=r"can't be split by blocks of land"):
        spatial_split(chips, rng.uniform((40, -5), (60, 25), (30, 2)), 0)


def test_equal_names_in_other_parts_have_their_own_coordinates(tmp_path: Path) -> None:
    files = ("test/a/1.jpg", "train/a/1.jpg")
    chips = ChipFolder(Path("x"), files, (0, 0), ("a", "b"))
    table = tmp_path / "places.csv"
    table.write_text("file,latitude,longitude\ntrain/a/1.jpg,1,2\ntest/a/1.jpg,3,4\n")
    assert read_coordinates(table, chips).tolist() == [[3, 4], [1, 2]]
    table.write_text("file,latitude,longitude\nx/train/a/1.jpg,1,2\nx/test/a/1.jpg,3,4\n")
    with pytest.raises(DatasetError, match="no coordinates for 2 chips"):
        read_coordinates(table, chips)


@pytest.mark.real
def test_real_chips_lie_where_the_table_says(shared: Path) -> None:
    """The table has the middle of the pixel beyond the middle of the chip: half a pixel down and half to the right."""
    chips = open_chips(shared / "eurosat/eurosat-ms-sample.zip")
    with zipfile.ZipFile(shared / "eurosat/eurosat-rgb.zip") as archive:
        stems = {Path(name).stem for name in archive.namelist()}
    chips = chips.subset(np.array([i for i, file in enumerate(chips.files) if Path(file).stem in stems]))
    as_jpeg = ChipFolder(
        chips.root, tuple(str(Path(f).with_suffix(".jpg")) for f in chips.files), chips.labels, chips.class_names
    )
    told = read_coordinates(shared / "eurosat/coordinates.csv", as_jpeg)
    assert len(told) > 100
    found = chip_coordinates(chips)
    north, east = 111_195 * (found - told).T
    east *= np.cos(np.radians(told[:, 0]))
    assert np.hypot(north, east) == pytest.approx(np.hypot(5, 5), abs=0.2)
