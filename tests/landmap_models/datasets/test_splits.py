"""Splits that data sets come with, of chips with several classes, and by the chips' own places."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from landmap_models.datasets.chips import ChipFolder, open_chips
from landmap_models.datasets.coordinates import chip_coordinates, read_coordinates
from landmap_models.datasets.ground import Ground, close_to, grounds_at
from landmap_models.datasets.splits import (
    Split,
    _deal,
    block_numbers,
    given_split,
    spatial_split,
    stratified_split,
)
from landmap_models.errors import DatasetError

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
    with pytest.raises(DatasetError, match=r"at least 3 chips of each class.*too few of c \(1\)"):
        stratified_split(ChipFolder(Path("x"), files, labels, ("a", "b", "c"), multi_label=True), 0)
    single = ChipFolder(Path("x"), files, (2, 2, *(0, 1) * 49, 0), ("a", "b", "c"))
    with pytest.raises(DatasetError, match=r"can't be split into three parts.*too few of c \(2\)"):
        stratified_split(single, 0)
    enough = ChipFolder(Path("x"), files, (2, 2, 2, *(0, 1) * 49), ("a", "b", "c"))
    for seed in range(5):
        assert [part.counts()["c"] for part in stratified_split(enough, seed).parts().values()] == [1, 1, 1]


def test_shares_too_small_for_the_classes_are_told_and_the_way_out_works() -> None:
    chips = ChipFolder(Path("x"), tuple(f"{i}.png" for i in range(90)), (0, 1, 2) * 30, ("a", "b", "c"))
    with pytest.raises(DatasetError, match=r"a share of which each of 3 classes.*0\.05 or more"):
        stratified_split(chips, 0, validation=0.01)
    assert len(stratified_split(chips, 0, validation=0.05).validation) >= 3


# Chips that lie on each other, or are equal.


def cut(side: int, stride: int) -> tuple[Ground, ...]:
    """Chips of 64 px at 10 m, cut every so many pixels from a square of so many rows of them."""
    places = [
        (500_000 + 10 * stride * col, 5_000_000 - 10 * stride * row) for row in range(side) for col in range(side)
    ]
    return tuple(Ground("EPSG:32633", x, y, 640.0, 640.0) for x, y in places)


def lying(grounds: tuple[Ground, ...]) -> ChipFolder:
    """Made-up chips of two classes at these places."""
    n = len(grounds)
    files = tuple(f"{i:05d}.tif" for i in range(n))
    return ChipFolder(Path("made/up"), files, tuple(i % 2 for i in range(n)), ("a", "b"), grounds=grounds)


def shares_ground(one: ChipFolder, other: ChipFolder, gap: float = 0) -> int:
    """How many of one lie nearer than a gap to any of the other: every pair, by the edges of the squares in metres."""
    some, others = (np.array([(g.x, g.y) for g in part.grounds if g]) for part in (one, other))
    apart = np.abs(some[:, None] - others[None]).max(axis=2)
    return int((apart < 640 * (1 + gap) - 10).any(axis=1).sum())


def test_a_random_split_of_overlapping_chips_is_refused_and_the_way_out_works() -> None:
    chips = lying(cut(60, 16))
    with pytest.raises(
        DatasetError, match=r"360 of 360 test chips share ground.*--split spatial --block-km \S+; or"
    ) as e:
        stratified_split(chips, 1)
    block_km = float(str(e.value).split("--block-km ")[1].split(";")[0])
    split = spatial_split(chips, None, 1, block_km=block_km)
    assert shares_ground(split.test, split.train, 1) == shares_ground(split.test, split.validation, 1) == 0
    assert shares_ground(split.validation, split.train, 1) == 0
    n = sum(map(len, split.parts().values()))
    assert 0 < n < len(chips)
    assert sum(int(k.replace(",", "")) for k in re.findall(r"([\d,]+) of", split.warnings[0])) == len(chips) - n


def test_overlap_is_allowed_aloud() -> None:
    split = stratified_split(lying(cut(20, 32)), 1, allow_overlap=True)
    assert "40 of 40 test chips share ground with chips of the training part" in split.warnings[0]


def test_chips_in_too_small_a_place_are_told_so() -> None:
    with pytest.raises(DatasetError, match=r"too close together for a split by place.*folders train and test"):
        stratified_split(lying(cut(8, 8)), 1)


def test_chips_that_only_touch_are_split_at_random() -> None:
    assert stratified_split(lying(cut(20, 64)), 1).warnings == ()


def test_a_split_that_the_user_made_is_kept_and_its_overlap_is_counted() -> None:
    chips = lying(cut(20, 60))
    parts = tuple("train" if i % 20 < 10 else "test" if i % 20 > 10 else "validation" for i in range(400))
    chips = dataclasses.replace(chips, parts=parts)
    split = given_split(chips, 0)
    assert (len(split.train), len(split.test)) == (200, 180)
    assert split.warnings[0].startswith("20 of 20 validation chips share ground with chips of the training part")


def test_one_place_for_all_is_no_georeference() -> None:
    """Chips that were cut without their own transform all claim the scene's corner."""
    chips = lying(cut(1, 1) * 100)
    assert stratified_split(chips, 0).warnings == ()


def test_equal_chips_stay_out_of_the_looser_part() -> None:
    """Ten chips come three times, under other names: no part has one of another, and the test part keeps all."""
    digests = tuple(str(i) for i in range(90)) + tuple(str(i // 2) for i in range(20))
    files = tuple(f"{i:03d}.png" for i in range(110))
    chips = ChipFolder(Path("x"), files, tuple(int(d) % 2 for d in digests), ("a", "b"), digests=digests)
    split = stratified_split(chips, 0)
    seen = [set(part.digests) for part in split.parts().values()]
    assert sum(map(len, seen)) == len(set.union(*seen))
    assert len(split.test) == 11
    assert "are left out: they have the very pixels" in split.warnings[0]
    parts = ("validation",) * 10 + ("train",) * 80 + ("test",) * 20
    told = given_split(dataclasses.replace(chips, parts=parts), 0).warnings
    assert told == ()
    told = given_split(dataclasses.replace(chips, parts=parts[10:] + ("validation",) * 10), 0).warnings
    assert told[0].startswith("10 of 10 validation chips and 10 of 20 test chips have the very pixels")


@pytest.mark.parametrize("several", [False, True])
def test_the_same_pixels_with_two_labels_are_told_and_the_way_out_works(several: bool) -> None:
    """Chips 88 and 89, one of each class, have the pixels of chip 0; chip 2 is there twice with one label."""
    digests = (*map(str, range(87)), "2", "0", "0")
    labels: tuple[int, ...] = (0, 1) * 43 + (0, 0, 0, 1)
    own = tuple((label,) for label in labels) if several else labels
    files = tuple(f"{'ab'[label]}/{i:02d}.png" for i, label in enumerate(labels))
    chips = ChipFolder(Path("x"), files, own, ("a", "b"), digests=digests, multi_label=several)
    (told,) = [text for text in stratified_split(chips, 0).warnings if "another label" in text]
    assert told.startswith("3 of 90 chips have the very pixels of a chip with another label, such as a/00.png and b/89")
    left = stratified_split(chips.subset(np.arange(89)), 0)
    assert not [text for text in left.warnings if "another label" in text]


def test_a_part_that_lacks_a_class_is_told() -> None:
    split = given_split(divided("tttvvxx", "abcabab"), 0)
    assert split.warnings == ("No validation chips of c.", "No test chips of c.")


def test_scores_on_overlapping_chips_no_longer_lie() -> None:
    """Classes of 8x8 chips are drawn by lot: a model that learns pixels by heart is right where chips overlap alone."""
    rng, side, stride, n = np.random.default_rng(0), 16, 4, 61
    grounds = tuple(dataclasses.replace(ground, width=160.0, height=160.0) for ground in cut(n, stride))
    land = rng.integers(0, 2, (8, 8)).repeat(8, axis=0).repeat(8, axis=1)[:n, :n].ravel()
    files = tuple(f"{i:05d}.tif" for i in range(n * n))
    chips = ChipFolder(Path("x"), files, tuple(land.tolist()), ("a", "b"), grounds=grounds)

    def pixels(file: str) -> tuple[slice, slice]:
        row, col = divmod(int(file[:5]), n)
        return slice(row * stride, row * stride + side), slice(col * stride, col * stride + side)

    def accuracy(split: Split) -> float:
        """Of the class that most training chips had that a pixel was in, or a coin where none was."""
        votes = np.zeros((n * stride + side,) * 2)
        for file, label in zip(split.train.files, split.train.labels, strict=True):
            votes[pixels(file)] += 1 if label else -1
        found = np.array([votes[pixels(file)].sum() for file in split.test.files])
        chosen = np.where(found == 0, rng.integers(0, 2, len(found)), found > 0)
        return float((chosen == np.asarray(split.test.labels)).mean())

    assert accuracy(stratified_split(chips, 1, allow_overlap=True)) > 0.85
    assert accuracy(spatial_split(chips, None, 1, block_km=0.5)) == pytest.approx(0.5, abs=0.1)


@given(st.integers(0, 1000), st.sampled_from([0.0, 1.0, 2.5]))
@settings(max_examples=20)
def test_close_chips_are_those_of_brute_force(seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    some, others = (
        tuple(Ground("EPSG:32633", *(500_000 + 10 * rng.integers(0, 1000, 2)), 640.0, 640.0) for _ in range(40))
        for _ in range(2)
    )
    x, y = (np.array([(g.x, g.y) for g in each]) for each in (some, others))
    expected = (np.abs(x[:, None] - y[None]).max(axis=2) < 640 * (1 + gap) - 10).any(axis=1)
    np.testing.assert_array_equal(close_to(some, others, gap), expected)


@pytest.mark.parametrize(("east", "overlaps"), [(0, True), (500, True), (700, False)])
@pytest.mark.parametrize("longitude", [12.0, 15.0, 180.0, -180.0])
def test_chips_of_other_zones_and_in_degrees_are_compared(longitude: float, east: float, overlaps: bool) -> None:
    """At the border of two UTM zones, within one, and over the 180th meridian."""
    metre = 1 / (111_195 * np.cos(np.radians(50)))
    one = Ground("EPSG:4326", longitude - 300 * metre, 50, 640 * metre, 640 / 111_195)
    (other,) = grounds_at(np.array([[50.0, (longitude + (east - 300) * metre + 180) % 360 - 180]]), (64, 64))
    assert close_to([one], [other]).tolist() == [overlaps]
    assert close_to([other], [one]).tolist() == [overlaps]


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
