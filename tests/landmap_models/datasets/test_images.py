"""Images with masks: what is read, what is refused, and the windows that networks get."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine

from landmap_models.augment import compose
from landmap_models.datasets.image_files import has_masks
from landmap_models.datasets.images import LabelledImages, named_classes, open_images
from landmap_models.datasets.splits import stratified_split
from landmap_models.datasets.windows import PixelBatches
from landmap_models.errors import DatasetError

BANDS = ("B04", "B03", "B02", "B08")
SIZE = (40, 56)
Array = npt.NDArray[Any]


def raster(path: Path, values: Array, **profile: Any) -> None:
    """Write `(bands, height, width)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptions = profile.pop("descriptions", ())
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)} | profile
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    with rasterio.open(path, "w", driver="GTiff", dtype=values.dtype.name, **shape, **place) as file:
        file.write(values)
        if descriptions:
            file.descriptions = descriptions


def arrays(n: int = 6) -> tuple[Array, Array]:
    """Digital numbers `(n, height, width, 4)`, and ids 3, 5 and 9 with 255 where there is no label."""
    rng = np.random.default_rng(0)
    ids = rng.choice([3, 5, 9], (n, *SIZE)).astype(np.uint8)
    images = (rng.integers(200, 400, (n, *SIZE, 4)) + 300 * (ids[..., None] == 5)).astype(np.uint16)
    ids[:, :20] = 255
    return images, ids


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs of GeoTIFFs side by side on the ground."""
    images, ids = arrays()
    for i, (image, mask) in enumerate(zip(images, ids, strict=True)):
        place = {"transform": Affine(10, 0, 500_000 + 1000 * i, 0, -10, 5_000_000)}
        raster(tmp_path / f"data/images/{i}.tif", image.transpose(2, 0, 1), descriptions=BANDS, **place)
        raster(tmp_path / f"data/masks/{i}.tif", mask[None], nodata=255, **place)
    return tmp_path / "data"


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    images, ids = arrays()
    path = tmp_path / "data.npz"
    np.savez(path, images=images, masks=np.where(ids == 255, -1, ids.astype(int)), bands=BANDS)
    return path


CLASSES = ("3=field", "5=wood", "9=lake")


def test_folder_zip_and_arrays_say_the_same(folder: Path, npz: Path, tmp_path: Path) -> None:
    packed = tmp_path / "data.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.tif")):
            archive.write(path, path.relative_to(folder))
    opened = [open_images(root, classes=CLASSES, bands=("B08", "B04")) for root in (folder, packed, npz)]
    images, ids = arrays()
    for data in opened:
        assert (data.class_names, data.ids, data.bands) == (("field", "wood", "lake"), (3, 5, 9), ("B08", "B04"))
        assert data.pixel_counts().tolist() == [int((ids == i).sum()) for i in (3, 5, 9)]
        values, labels = data.read(2)
        np.testing.assert_allclose(values, images[2][..., [3, 0]] / 10_000, rtol=1e-6)
        np.testing.assert_array_equal(labels.argmax(axis=-1)[20:], np.searchsorted([3, 5, 9], ids[2, 20:]))
        assert not labels[:20].any()
        part, _ = data.read(2, (5, 7, 11, 13))
        np.testing.assert_array_equal(part, values[5:16, 7:20])
    assert opened[0].grounds[1] is not None
    assert all(has_masks(root) for root in (folder, packed, npz))
    assert opened[0].fingerprint() != open_images(folder, classes=CLASSES, bands=("B04",)).fingerprint()


def test_ids_that_are_ignored_are_no_label(npz: Path) -> None:
    data = open_images(npz, classes=("3=field", "5=wood"), ignore=(9,))
    _, ids = arrays()
    _, labels = data.read(0)
    np.testing.assert_array_equal(labels.any(axis=-1), np.isin(ids[0], (3, 5)))


def test_probabilities_are_labels(tmp_path: Path) -> None:
    images, _ = arrays(2)
    soft = np.random.default_rng(1).dirichlet((1, 1, 1), (2, *SIZE)).astype(np.float32)
    soft[:, :4] = 0
    np.savez(tmp_path / "soft.npz", images=images, masks=soft, bands=BANDS, classes=["a", "b", "c"])
    for i in range(2):
        raster(tmp_path / f"pairs/images/{i}.tif", images[i].transpose(2, 0, 1), descriptions=BANDS)
        raster(tmp_path / f"pairs/masks/{i}.tif", soft[i].transpose(2, 0, 1), descriptions=("a", "b", "c"))
    for root in (tmp_path / "soft.npz", tmp_path / "pairs"):
        data = open_images(root)
        assert (data.class_names, data.ids) == (("a", "b", "c"), None)
        np.testing.assert_array_equal(data.read(1)[1], soft[1])


def test_pixels_without_data_have_no_label(folder: Path) -> None:
    images, ids = arrays()
    image = images[0].transpose(2, 0, 1).copy()
    image[:, 30:, :10] = 0
    raster(folder / "images/0.tif", image, descriptions=BANDS, nodata=0)
    values, labels = open_images(folder, classes=CLASSES).read(0)
    assert not labels[30:, :10].any()
    assert labels[30:, 10:].all(axis=None) == (ids[0, 30:, 10:] == -1).all()
    np.testing.assert_allclose(
        values[30, 0],
        (images[0][:30].sum(axis=(0, 1)) + images[0][30:, 10:].sum(axis=(0, 1))) / (SIZE[0] * SIZE[1] - 100) / 10_000,
        rtol=1e-4,
    )


def test_parts_are_folders(folder: Path, tmp_path: Path) -> None:
    for i, part in enumerate(("train", "train", "train", "val", "test", "test")):
        for kind in ("images", "masks"):
            (tmp_path / f"parts/{part}/{kind}").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / f"{kind}/{i}.tif", tmp_path / f"parts/{part}/{kind}/{i}.tif")
    data = open_images(tmp_path / "parts", classes=CLASSES)
    assert data.parts == ("test", "test", "train", "train", "train", "validation")


def without_mask(folder: Path) -> None:
    (folder / "masks/3.tif").unlink()


def without_image(folder: Path) -> None:
    (folder / "images/3.tif").unlink()


def other_size(folder: Path) -> None:
    raster(folder / "masks/3.tif", np.full((1, 40, 55), 3, np.uint8))


def other_grid(folder: Path) -> None:
    raster(folder / "masks/3.tif", np.full((1, *SIZE), 3, np.uint8))  # that of image 0


def float_mask(folder: Path) -> None:
    raster(
        folder / "masks/3.tif", np.full((1, *SIZE), 3, np.float32), transform=Affine(10, 0, 503_000, 0, -10, 5_000_000)
    )


def bad_probabilities(folder: Path) -> None:
    raster(
        folder / "masks/3.tif",
        np.full((3, *SIZE), 0.5, np.float32),
        transform=Affine(10, 0, 503_000, 0, -10, 5_000_000),
    )


def unreadable(folder: Path) -> None:
    (folder / "images/3.tif").write_bytes(b"nothing")


def all_unlabelled(folder: Path) -> None:
    for i in range(6):
        raster(folder / f"masks/{i}.tif", np.full((1, *SIZE), 255, np.uint8), nodata=255, crs=None)


def one_class(folder: Path) -> None:
    for i in range(6):
        raster(folder / f"masks/{i}.tif", np.full((1, *SIZE), 5, np.uint8), crs=None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_mask, r"images/3\.tif: expected its mask as masks/3\.tif, found none"),
        (without_image, r"masks/3\.tif: a mask without its image"),
        (other_size, r"masks/3\.tif: expected 40x56 pixels like images/3\.tif\. Received: 40x55"),
        (other_grid, r"masks/3\.tif: expected the grid of images/3\.tif .*503000.*Received: .*500000.*gdalwarp"),
        (float_mask, r"masks/3\.tif: expected class ids as whole numbers.*Received: one band of float32"),
        (bad_probabilities, r"expected a mask of as many classes|expected class probabilities .* sum to 1"),
        (unreadable, r"images/3\.tif: not a readable raster"),
        (all_unlabelled, r"expected labelled pixels\. Received: masks of nodata"),
        (one_class, r"expected labelled pixels of two classes or more\. Received: wood only"),
    ],
)
def test_bad_input_is_refused(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(folder)
    with pytest.raises(DatasetError, match=message) as caught:
        open_images(folder, classes=CLASSES)
    assert "\n" not in str(caught.value)


def test_bad_images_can_be_left_out(folder: Path) -> None:
    without_mask(folder)
    data = open_images(folder, classes=CLASSES, skip_bad=True)
    assert len(data) == 5
    assert "masks/3.tif" in data.skipped[0]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "expected names of the classes with the ids 3, 5, 9.*--classes 3=NAME,5=NAME,9=NAME"),
        ({"classes": ("3=a", "5=b")}, r"masks of the ids 3, 5\. Received: 9, such as 9 in .*--ignore 9"),
        ({"classes": ("a", "b", "c")}, r"masks of the ids 0, 1, 2\. Received: 3, 5, 9"),
        ({"classes": ("3=a", "b")}, "an id before each name"),
        ({"classes": ("3=a", "5=a", "9=b")}, "each id and each name once"),
        ({"classes": CLASSES, "bands": ("B11",)}, "B11"),
        ({"classes": CLASSES, "file_bands": ("B04", "B03")}, "expected 2 bands, as are named. Received: 4"),
    ],
)
def test_names_that_do_not_fit_are_refused(npz: Path, how: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_images(npz, **how)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": np.zeros((2, 8, 8, 4), np.uint16)}, "arrays images .* and masks"),
        ({"images": np.zeros((2, 8, 8, 4), np.uint16), "masks": np.zeros((2, 8, 9), int)}, r"\(2, 8, 9\)"),
        ({"images": np.full((2, 8, 8, 4), 900.0), "masks": np.zeros((2, 8, 8), int)}, "reflectance as floats"),
        ({"images": np.zeros((2, 8, 8, 4), np.uint16), "masks": np.zeros((2, 8, 8))}, "one band of float64"),
        ({"images": np.zeros((2, 8, 8, 5), np.uint16), "masks": np.zeros((2, 8, 8), int)}, "4 bands.*Received: 5"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, content: dict[str, Array], message: str) -> None:
    np.savez(tmp_path / "bad.npz", bands=BANDS, **content)
    with pytest.raises(DatasetError, match=message):
        open_images(tmp_path / "bad.npz", classes=("a", "b"))


def test_classes_by_name_and_by_id() -> None:
    assert named_classes(("water", "trees")) == {0: "water", 1: "trees"}
    assert named_classes(("10=tree cover", " 80 = water ")) == {10: "tree cover", 80: "water"}


# Windows.


@pytest.fixture
def sparse(tmp_path: Path) -> LabelledImages:
    """A large image with labels in one corner and along one line, and one that is smaller than a window."""
    rng = np.random.default_rng(0)
    for name, (height, width) in {"large": (150, 210), "small": (20, 24)}.items():
        mask = np.full((height, width), 255, np.uint8)
        mask[3, :10], mask[height - 1, width - 5 :] = 0, 1
        values = (rng.random((4, height, width)) * 3000).astype(np.uint16)
        raster(tmp_path / f"data/images/{name}.tif", values, descriptions=BANDS, crs=None)
        raster(tmp_path / f"data/masks/{name}.tif", mask[None], nodata=255, crs=None)
    return open_images(tmp_path / "data", classes=("a", "b"))


def test_windows_lie_where_labels_are(sparse: LabelledImages) -> None:
    assert sparse.windows(32) == [(0, 0, 0), (0, 128, 192), (1, 0, 0)]
    assert sparse.clipped(0, 128, 192, 32) == (118, 178, 32, 32)
    assert sparse.clipped(1, 0, 0, 32) == (0, 0, 20, 24)


def test_batches_weigh_labelled_pixels_only(sparse: LabelledImages) -> None:
    batches = PixelBatches(sparse, 32, 2)
    assert len(batches) == 2
    values, labels, weights = batches[0]
    assert (values.shape, labels.shape, weights.shape) == ((2, 32, 32, 4), (2, 32, 32, 2), (2, 32, 32))
    np.testing.assert_array_equal(weights > 0, labels.any(axis=-1))
    assert weights.mean() == pytest.approx(1)
    assert (weights > 0).sum() == 15
    (small, *_), last = batches[1], sparse.read(1)[0]
    np.testing.assert_array_equal(small[0, :20, :24], last)
    np.testing.assert_array_equal(small[0, 20, :24], last[-1])


def test_batches_repeat_themselves_and_epochs_differ(sparse: LabelledImages) -> None:
    augment = compose(("d4", "haze", "jitter", "straddle"), band_names=BANDS, per_pixel=True)
    batches, again = (PixelBatches(sparse, 32, 3, augment, 7, optional=("B08",)) for _ in range(2))
    (values, there), labels, weights = batches[0]
    (other, flags), *_ = again[0]
    np.testing.assert_array_equal(values, other)
    np.testing.assert_array_equal(there, flags)
    assert (weights > 0).any()
    np.testing.assert_allclose(labels.sum(axis=-1)[weights > 0], 1, rtol=1e-5)
    again.start_epoch(1)
    assert not np.array_equal(values, again[0][0][0])


def test_optional_bands_are_left_out_in_training_only(sparse: LabelledImages) -> None:
    batches = PixelBatches(sparse, 32, 3, None, 0, optional=("B03", "B08"))
    seen = set()
    for epoch in range(40):
        batches.start_epoch(epoch)
        seen |= {tuple(row) for row in batches[0][0][1].astype(int).tolist()}
    assert seen == {(1, a, 1, b) for a in (0, 1) for b in (0, 1)}
    assert PixelBatches(sparse, 32, 3, optional=("B08",))[0][0][1].all()


def test_classes_are_weighted(sparse: LabelledImages) -> None:
    _, labels, weights = PixelBatches(sparse, 32, 3, class_weights=(1.0, 2.0))[0]
    known = labels.any(axis=-1)
    assert (weights[known & (labels[..., 1] == 1)] / weights[known & (labels[..., 0] == 1)].mean()).round(
        5
    ).tolist() == [2.0] * 10


def test_labels_move_with_their_pixels() -> None:
    """A band that holds the class id goes where the label goes, through every change of place."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (8, 32, 32))
    chips, labels = ids[..., None].astype(np.float32), np.eye(3, dtype=np.float32)[ids]
    moved, told = compose(("d4", "straddle"), band_names=("B04",), per_pixel=True)(chips, labels, rng)
    assert not np.array_equal(moved, chips)
    np.testing.assert_array_equal(moved[..., 0], told.argmax(axis=-1))
    blended, shares = compose(("rotation", "zoom"), band_names=("B04",), per_pixel=True)(chips, labels, rng)
    np.testing.assert_allclose(blended[..., 0], shares @ np.arange(3), atol=1e-4)
    with pytest.raises(DatasetError, match="mixup"):
        compose(("mixup",), band_names=("B04",), per_pixel=True)


def test_a_class_need_not_be_in_every_part_of_a_split_of_images(npz: Path, tmp_path: Path) -> None:
    images, ids = arrays(12)
    ids[1:][ids[1:] == 9] = 3
    np.savez(tmp_path / "rare.npz", images=images, masks=np.where(ids == 255, -1, ids.astype(int)), bands=BANDS)
    split = stratified_split(open_images(tmp_path / "rare.npz", classes=CLASSES), 1, 0.2, 0.2, everywhere=False)
    assert split.train.counts()["lake"] == 1
    assert any("No test chips of lake" in text for text in split.warnings)
    assert sum(len(part) for part in split.parts().values()) == 12
