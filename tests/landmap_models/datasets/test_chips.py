"""Labelled chips: reading, splitting, batching."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from PIL import Image

from landmap_models.augment import d4, haze, radiometric_jitter, standard, straddle
from landmap_models.datasets.chips import ChipBatches, ChipFolder, open_chips, to_reflectance
from landmap_models.datasets.coordinates import read_coordinates
from landmap_models.datasets.files import decode
from landmap_models.datasets.splits import block_numbers, spatial_split, stratified_split
from landmap_models.errors import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_a_zip_and_its_folder_are_the_same(chip_zip: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(chip_zip).extractall(tmp_path)
    zipped, folder = open_chips(chip_zip), open_chips(tmp_path)
    assert zipped.files == folder.files
    assert zipped.labels == folder.labels
    assert zipped.class_names == ("bright", "dark", "striped")
    np.testing.assert_array_equal(zipped.reflectance(), folder.reflectance())


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
    jittered = radiometric_jitter(chips, np.random.default_rng(0), common_gain=0.08, band_gain=0.04, offset=0.006)
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
        open_chips(tmp_path).reflectance()


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
        open_chips(tmp_path).reflectance()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_images_of_eight_bits_are_read(mode: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / name / "1.png")
    chips = open_chips(tmp_path).reflectance()
    assert chips.shape == (2, 8, 8, 3)
    assert (chips == np.float32(0.275)).all()


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


# Files that don't fit together.


def write_tif(path: Path, values: npt.NDArray[Any], bands: tuple[str, ...] | None = None, **profile: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    shape = {"height": height, "width": width, "count": count, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as file:
        file.write(np.moveaxis(values, -1, 0))
        if bands:
            file.descriptions = bands


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Six GeoTIFF chips of 13 bands; band i of chip j has the value 100 * i + j."""
    for j in range(6):
        values = np.broadcast_to(100 * np.arange(1, 14) + j, (8, 8, 13)).astype(np.uint16)
        write_tif(tmp_path / f"deep/{'ab'[j % 2]}/{j}.tif", values)
    return tmp_path / "deep"


def first_pixels(chips: ChipFolder) -> list[list[float]]:
    return [[round(float(v), 5) for v in row] for row in chips.reflectance()[:, 0, 0]]


def test_thirteen_bands_are_in_eurosats_order(deep: Path) -> None:
    chips = open_chips(deep, bands=("B8A", "B04", "B09"))
    assert chips.bands == ("B8A", "B04", "B09")
    assert chips.files[:2] == ("a/0.tif", "a/2.tif")
    assert first_pixels(chips)[:2] == [[0.13, 0.04, 0.09], [0.1302, 0.0402, 0.0902]]
    assert (chips.bits, chips.reflectance_max) == (16, 1.0)
    assert open_chips(deep).reflectance().shape == (6, 8, 8, 13)
    with pytest.raises(DatasetError, match=r"deep: there is no band B13\. Bands: B01, B02"):
        open_chips(deep, bands=("B13",))


def test_a_zip_of_geotiffs_is_read_like_its_folder(deep: Path, tmp_path: Path) -> None:
    zipped = Path(shutil.make_archive(str(tmp_path / "deep"), "zip", deep))
    np.testing.assert_array_equal(open_chips(zipped).reflectance(), open_chips(deep).reflectance())
    assert open_chips(zipped).bands == open_chips(deep).bands


def test_bands_are_found_by_description(tmp_path: Path) -> None:
    for name in "ab":
        write_tif(tmp_path / name / "1.tif", np.array([[[2, 3, 8]]], np.uint16), ("B02", "green", "B8"))
    assert open_chips(tmp_path).bands == ("B02", "B03", "B08")
    assert first_pixels(open_chips(tmp_path, bands=("B08", "B02"))) == [[0.0008, 0.0002]] * 2
    told = open_chips(tmp_path, bands=("B08", "B02"), file_bands=("B08", "B04", "B02"))
    assert first_pixels(told) == [[0.0002, 0.0008]] * 2, "what the user tells counts before descriptions"


def test_pictures_are_red_green_blue_and_can_be_told_otherwise(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.array([[[51, 102, 255]]], np.uint8)).save(tmp_path / name / "1.png")
    assert open_chips(tmp_path).bands == ("B04", "B03", "B02")
    assert first_pixels(open_chips(tmp_path, bands=("B02", "B04"))) == [[0.275, 0.055]] * 2
    assert first_pixels(open_chips(tmp_path, bands=("B08",), file_bands=("B11", "B08", "B04"))) == [[0.11]] * 2
    assert open_chips(tmp_path).reflectance_max == 0.275
    with pytest.raises(DatasetError, match=r"a/1.png: expected the 2 bands that file_bands names\. Received: 3 bands"):
        open_chips(tmp_path, file_bands=("B08", "B04"))
    with pytest.raises(DatasetError, match=r"there is no band B08\. Bands: B04, B03, B02"):
        open_chips(tmp_path, bands=("B08",))


def test_grey_pictures_can_be_any_band(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), 20_000, np.uint16)).save(tmp_path / name / "1.png")
    chips = open_chips(tmp_path, file_bands=("B08",))
    assert chips.reflectance().shape == (2, 8, 8, 1)
    assert (chips.reflectance() == 2).all()


def test_bands_that_nothing_names_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write_tif(tmp_path / name / "1.tif", np.zeros((8, 8, 4), np.uint16))
    with pytest.raises(DatasetError, match=r"a/1.tif: .*Received: 4 bands without.*file_bands=B04,B08,…, 4 in all"):
        open_chips(tmp_path)
    assert open_chips(tmp_path, file_bands=("B04", "B03", "B02", "B08"), bands=("B08",)).places == (3,)


def test_descriptions_that_disagree_are_refused(tmp_path: Path) -> None:
    write_tif(tmp_path / "a/1.tif", np.zeros((8, 8, 2), np.uint16), ("B04", "B08"))
    write_tif(tmp_path / "b/1.tif", np.zeros((8, 8, 2), np.uint16), ("B08", "B04"))
    with pytest.raises(DatasetError, match=r"b/1.tif: expected the bands of a/1.tif, B04, B08 in .*Received: B08, B04"):
        open_chips(tmp_path, skip_bad=True)
    write_tif(tmp_path / "b/1.tif", np.zeros((8, 8, 2), np.uint16))
    with pytest.raises(DatasetError, match=r"Received: 2 without names in a GeoTIFF\. Separate them"):
        open_chips(tmp_path)
    assert len(open_chips(tmp_path, file_bands=("B04", "B08"))) == 2


def test_8_and_16_bits_do_not_mix(tmp_path: Path) -> None:
    write_tif(tmp_path / "a/1.tif", np.zeros((8, 8, 3), np.uint8), ("B04", "B03", "B02"))
    write_tif(tmp_path / "b/1.tif", np.zeros((8, 8, 3), np.uint16), ("B04", "B03", "B02"))
    with pytest.raises(DatasetError, match=r"b/1.tif: expected 8 bits like a/1.tif\. Received: 16"):
        open_chips(tmp_path, skip_bad=True)


def test_all_bad_files_are_listed_or_left_out(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save(tmp_path / "a/0.png")  # the first is not always right
    for i in range(12):
        (tmp_path / f"b/bad{i:02d}.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/1.jpg").touch()
    with pytest.raises(DatasetError, match=r"14 of 18 files can't be used: .*; and 4 more\. Mend.*skip_bad") as caught:
        open_chips(tmp_path)
    assert "b/bad00.jpg: not a readable image" in str(caught.value)
    assert "\n" not in str(caught.value)
    chips = open_chips(tmp_path, skip_bad=True)
    assert chips.files == ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert chips.class_names == ("a", "b"), "of class c nothing is left"
    assert len(chips.skipped) == 14
    assert "a/0.png: expected (8, 8) pixels like a/1.png. Received: (9, 8)" in chips.skipped
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(DatasetError, match=r"two class folders.*Received: \('b',\)\. 13 files can't be used"):
        open_chips(tmp_path, skip_bad=True)


def test_files_with_another_number_of_bands_are_listed(tmp_path: Path) -> None:
    for name, count in (("a/1", 13), ("a/2", 13), ("b/1", 13), ("b/2", 12)):
        write_tif(tmp_path / f"{name}.tif", np.zeros((8, 8, count), np.uint16))
    with pytest.raises(DatasetError, match=r"1 of 4 .*b/2.tif: expected 13 bands like a/1.tif\. Received: 12"):
        open_chips(tmp_path)


def test_files_that_changed_since_are_refused(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    chips = open_chips(tmp_path)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "b/1.png")
    with pytest.raises(DatasetError, match=r"b/1.png: expected \(8, 8\) pixels like a/1.png"):
        chips.reflectance()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "b/1.png")
    with pytest.raises(DatasetError, match=r"b/1.png: was changed"):
        chips.reflectance()
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(DatasetError, match=r"a/1.png: can't be read"):
        chips.reflectance()


# Fingerprints.


def test_a_fingerprint_of_class_folders_is_what_it_always_was(chip_zip: Path) -> None:
    """Models record it: names, sizes and CRCs, one a line."""
    chips = open_chips(chip_zip)
    with zipfile.ZipFile(chip_zip) as archive:
        infos = [archive.getinfo(name) for name in chips.files]
    lines = [f"{info.filename} {info.file_size} {info.CRC:08x}" for info in infos]
    assert chips.fingerprint() == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_fingerprint_notices_changed_labels(chip_zip: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(chip_zip).extractall(tmp_path)
    folders, table = open_chips(tmp_path), tmp_path / "labels.csv"

    def labelled(*labels: str) -> str:
        rows = "".join(f"{file},{label}\n" for file, label in zip(folders.files, labels, strict=True))
        table.write_text(f"file,label\n{rows}")
        return open_chips(table).fingerprint()

    names = [folders.class_names[int(str(label))] for label in folders.labels]
    assert labelled(*names) == folders.fingerprint(), "equal labels of equal files"
    assert labelled("dark", *names[1:]) != folders.fingerprint()
    assert labelled("dark;bright", *names[1:]) == labelled("bright;dark", *names[1:]) != labelled("dark", *names[1:])


# Batches.


def all_batches(batches: ChipBatches) -> list[bytes]:
    """Each batch as bytes, through Keras' own workers, in the order in which they are trained with."""
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    adapter, out = PyDatasetAdapter(batches, shuffle=False), []
    for epoch in range(2):
        batches.start_epoch(epoch)
        adapter.on_epoch_begin()
        out += [b"".join(np.asarray(item).tobytes() for item in batch) for batch in adapter.get_numpy_iterator()]
        adapter.on_epoch_end()
    return out


@pytest.mark.parametrize("processes", [False, True])
def test_workers_give_the_batches_of_a_plain_loop(processes: bool, chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    chips.subset(np.arange(3)).reflectance()  # the zip file is open before processes are forked
    expected = all_batches(ChipBatches(chips, 4, standard, seed=5))
    assert len(expected) == len(set(expected)) == 46
    assert all_batches(ChipBatches(chips, 4, standard, seed=5, workers=2, use_multiprocessing=processes)) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fit_sees_each_epoch_in_its_own_order(workers: int, chip_zip: Path, keras: Any) -> None:
    """Also one that begins at the third epoch: a training that is continued sees what it would have seen."""
    chips = open_chips(chip_zip)
    seen: list[bytes] = []

    class Model(keras.Model):  # type: ignore[misc] # Keras ships no types
        def train_step(self, data: Any) -> dict[str, Any]:
            seen.append(data[0].numpy().tobytes() + data[1].numpy().tobytes())
            return {"loss": 0.0}

    def fit(first: int) -> list[bytes]:
        seen.clear()
        batches = ChipBatches(chips, 16, standard, 7, workers=workers)
        start = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch))
        model = Model()
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(batches, epochs=4, initial_epoch=first, shuffle=False, verbose=0, callbacks=[start])
        return list(seen)

    whole = fit(0)
    expected, batches = [], ChipBatches(chips, 16, standard, 7)
    for epoch in range(4):
        batches.start_epoch(epoch)
        expected += [b"".join(item.tobytes() for item in batches[i]) for i in range(len(batches))]
    assert whole == expected
    assert fit(2) == whole[len(whole) // 2 :]


def test_a_teacher_gives_labels(chip_zip: Path) -> None:
    chips = open_chips(chip_zip)
    soft = np.random.default_rng(0).dirichlet((1, 1, 1), 90).astype(np.float32)
    batches = ChipBatches(chips, 32, seed=5, labels=soft)
    own = ChipBatches(chips, 32, seed=5)
    order = np.random.default_rng((5, 0)).permutation(90)
    for i in range(3):
        np.testing.assert_array_equal(batches[i][1], soft[order[32 * i : 32 * i + 32]])
        np.testing.assert_array_equal(batches[i][0], own[i][0])


def test_chips_weigh_what_their_classes_weigh(chip_zip: Path) -> None:
    batches = ChipBatches(open_chips(chip_zip), 90, standard, 5, class_weights=(1, 2, 4))
    batch = batches[0]
    assert len(batch) == 3
    np.testing.assert_allclose(batch[2], batch[1] @ [1, 2, 4], rtol=1e-6)
    assert len(set(batch[2].tolist())) > 3, "windows across a border have weights between"


def test_chips_of_several_classes_weigh_their_mean(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,a;b\n2.png,a;b;c\n")
    batch = ChipBatches(open_chips(tmp_path / "labels.csv"), 3, class_weights=(1, 3, 8))[0]
    assert batch[1].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert len(batch) == 3
    assert batch[2].tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": np.zeros((90, 2), np.float32)}, r"labels: expected .* shape \(90, 3\).*Received: shape \(90, 2\)"),
        ({"class_weights": (1, 2)}, r"class_weights: expected .* shape \(3,\).*Received: shape \(2,\)"),
        ({"class_weights": (1, -2, 1)}, "none below 0.*-2 to 1"),
        ({"class_weights": (1, float("nan"), 1)}, "finite"),
    ],
)
def test_labels_and_weights_must_fit(wrong: dict[str, Any], message: str, chip_zip: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        ChipBatches(open_chips(chip_zip), 8, **wrong)


# Real chips.


@pytest.mark.real
def test_the_two_kinds_of_eurosat_are_the_same_land(shared: Path) -> None:
    """B04, B03, B02 of the GeoTIFFs, clipped at 2750, are the JPEGs of the same name, but for JPEG's noise."""
    deep = open_chips(shared / "eurosat/eurosat-ms-sample.zip", bands=("B04", "B03", "B02"))
    with zipfile.ZipFile(shared / "eurosat/eurosat-rgb.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        both = [(i, names[Path(f).stem]) for i, f in enumerate(deep.files) if Path(f).stem in names]
        jpeg = np.stack([decode(archive.read(name), name).values for _, name in both])
    assert len(both) > 100
    grey = deep.subset(np.array([i for i, _ in both])).reflectance().clip(0, 0.275) * (255 / 0.275)
    rmse = np.sqrt(((grey - jpeg) ** 2).mean(axis=(0, 1, 2)))
    assert (rmse < 4).all(), rmse
    swapped = np.sqrt(((grey[..., ::-1] - jpeg) ** 2).mean(axis=(0, 1, 2)))
    assert (swapped > 8).any(), "the test would not see bands out of order"
