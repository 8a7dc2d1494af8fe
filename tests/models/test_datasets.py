"""Labelled chips: reading, splitting, batching."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from landmap_models.augment import d4, haze, radiometric_jitter, standard, straddle
from landmap_models.datasets import ChipBatches, ChipFolder, open_chips, to_reflectance
from landmap_models.errors import DatasetError
from landmap_models.splits import block_numbers, read_coordinates, spatial_split, stratified_split


def test_a_zip_and_its_folder_are_the_same(chip_zip: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(chip_zip).extractall(tmp_path)
    zipped, folder = open_chips(chip_zip), open_chips(tmp_path)
    assert zipped.files == folder.files
    assert zipped.labels == folder.labels
    assert zipped.class_names == ("bright", "dark", "striped")
    np.testing.assert_array_equal(zipped.read(), folder.read())


def test_a_split_is_stratified_disjoint_and_repeatable(chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    split = stratified_split(chips, seed=3)
    files = [set(part.files) for part in split.parts().values()]
    assert set.union(*files) == set(chips.files)
    assert sum(map(len, files)) == len(chips)
    assert split.test.counts() == {"bright": 3, "dark": 3, "striped": 3}
    assert split.train.counts() == {"bright": 24, "dark": 24, "striped": 24}
    assert stratified_split(chips, seed=3) == split
    assert stratified_split(chips, seed=4).test.fingerprint() != split.test.fingerprint()


def test_batches_hold_every_chip_once_with_its_label(chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    batches = ChipBatches(chips, 32, seed=5)
    values, labels = (np.concatenate(x) for x in zip(*(batches[i] for i in range(len(batches))), strict=True))
    assert values.shape == (90, 64, 64, 3)
    assert labels.sum(axis=0).tolist() == [30, 30, 30]
    means = values.mean(axis=(1, 2, 3))
    assert means[labels[:, 0] == 1].min() > means[labels[:, 2] == 1].max() > means[labels[:, 1] == 1].max()


def test_epochs_differ_and_repeat(chip_zip: Path) -> None:
    def first_epochs() -> list[bytes]:
        batches = ChipBatches(open_chips(chip_zip), 32, augment=standard, seed=5)
        out = []
        for epoch in range(2):
            batches.start_epoch(epoch)
            out.append(batches[0][0].tobytes())
        return out

    once = first_epochs()
    assert once[0] != once[1]
    assert once == first_epochs()


def test_reflectance_of_eight_bits() -> None:
    assert to_reflectance(np.array([0, 255], np.uint8)).tolist() == pytest.approx([0, 0.275])


def test_d4_reaches_all_eight_symmetries_and_no_other() -> None:
    chip = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    turned = d4(np.stack([chip] * 200), np.random.default_rng(0))
    seen = {t.tobytes() for t in turned}
    expected = {np.rot90(c, k).tobytes() for c in (chip, chip.swapaxes(0, 1)) for k in range(4)}
    assert seen == expected


def test_jitter_is_of_the_size_it_says() -> None:
    chips = np.full((4000, 2, 2, 3), 0.1, np.float32)
    jittered = radiometric_jitter(chips, np.random.default_rng(0))
    assert (jittered[:, 0, 0] == jittered[:, 1, 1]).all(), "a band of a chip changes as one"
    assert jittered.mean() == pytest.approx(0.1, abs=1e-3)
    assert jittered.std() == pytest.approx(0.1 * np.hypot(np.hypot(0.08, 0.04), 0.06), rel=0.05)
    assert jittered.dtype == np.float32


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/1.jpg": "text", "b/1.jpg": "text"}, "not a readable image"),
        ({"a/1.png": (8, 8), "b/1.png": (8, 9)}, "expected .8, 8. pixels like a/1.png"),
        ({"a/1.png": (8, 8)}, "at least two class folders"),
        ({"1.png": (8, 8)}, "at least two class folders"),
    ],
)
def test_bad_data_is_refused(files: dict[str, object], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, tuple):
            Image.fromarray(np.zeros((*content, 3), np.uint8)).save(path)
        else:
            path.write_text(str(content))
    with pytest.raises(DatasetError, match=message):
        open_chips(tmp_path).read()


def test_a_file_that_is_neither_folder_nor_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chips.txt").write_text("chips")
    with pytest.raises(DatasetError, match="expected a folder or a zip file"):
        open_chips(tmp_path / "chips.txt")


def test_too_few_chips_to_split_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name / "1.png")
    with pytest.raises(DatasetError, match="can't be split"):
        stratified_split(open_chips(tmp_path), seed=0)


def test_straddling_windows_share_their_label_by_area() -> None:
    chips = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None], (6, 8, 8, 1))
    mixed, labels = straddle(chips, np.eye(6, dtype=np.float32), np.random.default_rng(0), share=1.0)
    for chip, label in zip(mixed, labels, strict=True):
        np.testing.assert_allclose(np.bincount(chip.astype(int).ravel(), minlength=6) / 64, label, atol=1e-6)
    assert (labels.max(axis=1) < 1).any(), "none straddles a border"


def test_a_straddling_window_is_what_lies_across_a_corner() -> None:
    """Its pixels, put together from four chips, are those of a window on the scene that the four make."""
    ramp = np.add.outer(np.arange(8), 100 * np.arange(8)).astype(np.float32)[None, ..., None]
    mixed, _ = straddle(np.repeat(ramp, 4, axis=0), np.eye(4, dtype=np.float32), np.random.default_rng(2), share=1.0)
    scene = np.tile(ramp[0, ..., 0], (2, 2))
    windows = np.lib.stride_tricks.sliding_window_view(scene, (8, 8)).reshape(-1, 8, 8)
    for chip in mixed[..., 0]:
        assert (windows == chip).all(axis=(1, 2)).any()


def test_haze_is_strongest_in_the_blue_and_spares_some_chips() -> None:
    chips = np.full((2000, 2, 2, 3), 0.06, np.float32)
    hazy = haze(chips, np.random.default_rng(0))
    changed = np.abs(hazy - chips).max(axis=(0, 1, 2))
    assert changed[2] > changed[1] > changed[0] > 0
    untouched = (hazy == chips).all(axis=(1, 2, 3)).mean()
    assert 0.4 < untouched < 0.6


def scattered(chips: ChipFolder) -> npt.NDArray[np.float64]:
    """Places all over a piece of Europe, `(n, 2)`."""
    return np.random.default_rng(0).uniform((45, 5), (50, 12), (len(chips), 2))


def test_a_spatial_split_keeps_blocks_together(chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    places = scattered(chips)
    split = spatial_split(chips, places, seed=1)
    block_of = dict(zip(chips.files, block_numbers(places, 50), strict=True))
    parts = [{int(block_of[f]) for f in part.files} for part in split.parts().values()]
    assert sum(map(len, parts)) == len(set.union(*parts)), "a block lies in two parts"
    assert sum(len(part) for part in split.parts().values()) == len(chips)
    assert min(len(part) for part in split.parts().values()) >= 5
    assert spatial_split(chips, places, seed=1) == split


def test_blocks_are_as_large_as_they_say() -> None:
    """Two places in one block are at most a block's diagonal apart, at any latitude."""
    rng = np.random.default_rng(0)
    places = rng.uniform((-70, -170), (70, 170), (20_000, 2))
    numbers = block_numbers(places, 500)
    for number in rng.choice(numbers, 200):
        lat, lon = places[numbers == number].T
        assert np.ptp(lat) * 111.2 <= 500
        assert np.ptp(lon) * 111.2 * np.cos(np.radians(lat.mean())) <= 520


def test_coordinates_are_found_by_class_and_file(chip_zip: Path, tmp_path: Path) -> None:
    chips, table = open_chips(chip_zip), tmp_path / "places.csv"
    lines = [f"{name.removeprefix('data/')},{i},{-i}" for i, name in enumerate(chips.files)]
    table.write_text("\n".join(["file,latitude,longitude", *reversed(lines)]))
    assert read_coordinates(table, chips)[:, 0].tolist() == list(range(90))
    table.write_text("\n".join(["file,latitude,longitude", *lines[1:]]))
    with pytest.raises(DatasetError, match=r"no coordinates for 1 chips, such as data/bright/bright_0.jpg"):
        read_coordinates(table, chips)
    table.write_text("name,lat,lon\n")
    with pytest.raises(DatasetError, match="no coordinates for 90 chips"):
        read_coordinates(table, chips)
    with pytest.raises(DatasetError, match="expected a CSV file"):
        read_coordinates(tmp_path / "none.csv", chips)


def test_too_few_blocks_are_refused(chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    with pytest.raises(DatasetError, match="at least 20 blocks of 5000 km"):
        spatial_split(chips, scattered(chips), seed=1, block_km=5000)


@pytest.mark.real
def test_eurosat_splits_by_land(shared: Path) -> None:
    chips = open_chips(shared / "eurosat/eurosat-rgb.zip")
    split = spatial_split(chips, read_coordinates(shared / "eurosat/coordinates.csv", chips), seed=1)
    for part, share in zip(split.parts().values(), (0.8, 0.1, 0.1), strict=True):
        assert len(part) / len(chips) == pytest.approx(share, abs=0.03)
        assert min(part.counts().values()) > 0


@pytest.mark.parametrize("mode", ["I;16", "LA", "1"])
def test_images_without_eight_bits_are_refused(mode: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new(mode, (8, 8)).save(tmp_path / name / "1.png")
    with pytest.raises(DatasetError, match=r"a/1.png: expected 8 bits a channel.*Received: an image of"):
        open_chips(tmp_path).read()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_images_of_eight_bits_are_read(mode: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / name / "1.png")
    chips = open_chips(tmp_path).read()
    assert chips.shape == (2, 8, 8, 3)
    assert (chips == 255).all()


def test_a_fingerprint_notices_changed_files(chip_zip: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(chip_zip).extractall(tmp_path / "folder")
    folder, copy = open_chips(tmp_path / "folder"), tmp_path / "copy.zip"
    shutil.copy(chip_zip, copy)
    zipped = open_chips(copy)
    assert zipped.fingerprint() == open_chips(chip_zip).fingerprint(), "a copy is the same data"
    before = folder.fingerprint(), zipped.fingerprint()
    changed = tmp_path / "folder" / folder.files[3]
    content = bytearray(changed.read_bytes())
    content[-10] ^= 1
    with zipfile.ZipFile(chip_zip) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, bytes(content) if name == folder.files[3] else old.read(name))
    assert zipped.fingerprint() != before[1], "a CRC differs"
    changed.write_bytes(content + b"x")
    assert folder.fingerprint() != before[0], "a size differs"
