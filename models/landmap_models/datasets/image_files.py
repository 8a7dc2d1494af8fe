"""Images and their masks, read by windows: pairs of rasters in folders or a zip file, or arrays of an NPZ file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from affine import Affine

from landmap_models.arrays import Bools, Floats
from landmap_models.datasets.catalogue import PARTS
from landmap_models.datasets.files import CHIP_SUFFIXES, check_numbers, file_names, ground_of
from landmap_models.datasets.ground import Ground
from landmap_models.errors import ZIP_DAMAGE, DatasetError
from landmap_models.gdal_dataset import READ_ERRORS, open_dataset
from landmap_models.inference.input_scale import EIGHT_BIT_REFLECTANCE
from landmap_models.sentinel2 import EUROSAT_ORDER, TRUE_COLOR, BandNames, described_bands

Window = tuple[int, int, int, int]
"""First row, first column, height and width of a part of an image, in pixels."""
Mask = npt.NDArray[Any]
"""Class ids `(height, width)`, `UNLABELLED` where there is none; or class probabilities `(height, width, classes)`, all
zero where there is none."""

UNLABELLED = -1
"""Id of pixels without a label."""
MASK_SUFFIXES = CHIP_SUFFIXES - {".jpg", ".jpeg"}
"""Suffixes of masks, in small letters; JPEG changes numbers."""
SUM_TOLERANCE = 0.02
"""How far the probabilities of a pixel may be from summing to 1."""
DN_OF_1 = 10_000
"""Value of 16 bits that stands for a reflectance of 1."""
BRIGHTEST = 7.0
"""Reflectance that 16 bits do not hold: larger floats have another unit."""
GRID_TOLERANCE = 0.01
"""Share of a pixel by which corners of an image and its mask may differ."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """What is known of an image without reading its pixels."""

    name: str
    """Name of the image, by which a source reads it."""
    height: int
    """Height in pixels."""
    width: int
    """Width in pixels."""
    bands: BandNames
    """Names of its bands, None for those without one."""
    largest: float
    """Highest reflectance that its numbers distinguish: that of 8 bits, or 1."""
    classes: int | None
    """Number of classes whose probabilities the mask holds; None for a mask of class ids."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes in their order, where the data name them."""
    ground: Ground | None = None
    """Ground that it covers; None without a georeference."""
    part: str | None = None
    """"train", "validation" or "test", if the data set comes divided."""


class ImageSource(Protocol):
    """Reads images with masks by windows, from several threads at the same time."""

    def forms(self) -> tuple[Sequence[ImageForm], Mapping[str, str]]:
        """The images, and a message for each one that can't be used, by its name."""

    def read(self, name: str, window: Window) -> tuple[Floats, Bools, Mask]:
        """Read a window of an image.

        Returns:
            Reflectance `(height, width, bands)` of all bands, where it is valid `(height, width)`, and the mask.
        """


# Arrays.


@lru_cache(maxsize=2)
def _arrays(path: Path, changed: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file, by name; `changed` is the time of its last change."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (*ZIP_DAMAGE, OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a readable NPZ file ({error})") from error


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Arrays in an NPZ file: `images`, `masks`, and perhaps `bands` and `classes`, names of these.

    Images are `(n, height, width, bands)`, and masks `(n, height, width)`, or, of probabilities, `(n, height, width,
    classes)`.
    """

    path: Path
    """The file."""
    given: BandNames | None = None
    """Names of its bands that the user gives; None: the file names them."""

    def _array(self, name: str) -> npt.NDArray[Any]:
        found = _arrays(self.path, self.path.stat().st_mtime_ns)
        if name not in found:
            raise DatasetError(
                f"{self.path}: expected the arrays images (n, height, width, bands) and masks (n, height, width). "
                f"Received: {', '.join(found) or 'none'}"
            )
        return found[name]

    def _names(self, name: str) -> tuple[str, ...] | None:
        """The texts in an array; None where there is no such array."""
        found = _arrays(self.path, self.path.stat().st_mtime_ns).get(name)
        return None if found is None else tuple(str(text) for text in np.atleast_1d(found))

    def forms(self) -> tuple[Sequence[ImageForm], Mapping[str, str]]:
        """See `ImageSource`."""
        images, masks = self._array("images"), self._array("masks")
        if images.ndim != 4 or masks.ndim not in (3, 4) or images.shape[:3] != masks.shape[:3] or not len(images):
            raise DatasetError(
                f"{self.path}: expected images (n, height, width, bands) and masks of the same n, height and width. "
                f"Received: {images.shape} and {masks.shape}"
            )
        _check_dtype(images.dtype, str(self.path))
        _check_mask_dtype(masks.dtype, masks.shape[3] if masks.ndim == 4 else 1, f"{self.path}: masks")
        bands = image_bands(self.given or self._names("bands"), images.shape[3], images.dtype, str(self.path))
        largest = EIGHT_BIT_REFLECTANCE if images.dtype == np.uint8 else 1.0
        digits = len(str(len(images) - 1))
        classes = masks.shape[3] if masks.ndim == 4 else None
        height, width = images.shape[1:3]
        return [
            ImageForm(f"{i:0{digits}}", height, width, bands, largest, classes, self._names("classes"))
            for i in range(len(images))
        ], {}

    def read(self, name: str, window: Window) -> tuple[Floats, Bools, Mask]:
        """See `ImageSource`."""
        row, col, height, width = window
        place = int(name), slice(row, row + height), slice(col, col + width)
        values, mask = self._array("images")[place], self._array("masks")[place]
        reflectance = _reflectance(values, f"{self.path}, image {name}")
        valid = np.asarray(np.isfinite(reflectance).all(axis=-1))
        return reflectance, valid, _mask(mask, None, f"{self.path}, mask {name}")


# Pairs of rasters.


@dataclass(frozen=True, slots=True)
class PairedImages:
    """Rasters in a folder or zip file: `images/NAME.tif` with `masks/NAME.tif`, perhaps below a folder of each part."""

    root: Path
    """The folder or zip file."""
    given: BandNames | None = None
    """Names of the bands of the images that the user gives; None: the files name them."""

    def forms(self) -> tuple[Sequence[ImageForm], Mapping[str, str]]:
        """See `ImageSource`."""
        pairs, problems = _pairs(file_names(self.root))
        found: list[ImageForm] = []
        for name, mask in pairs.items():
            try:
                found.append(self._form(name, mask))
            except DatasetError as error:
                problems[name] = str(error)
        return found, problems

    def _form(self, name: str, mask_name: str) -> ImageForm:
        with self._open(name) as image, self._open(mask_name) as mask:
            check_numbers(image, name)
            check_same_grid((image.height, image.width, image.transform, image.crs), mask, name, mask_name)
            check_mask(mask, mask_name)
            described = described_bands(image.descriptions)
            bands = image_bands(self.given or described, image.count, np.dtype(image.dtypes[0]), name)
            several = mask.count > 1
            titles = tuple(mask.descriptions) if several and all(mask.descriptions) else None
            largest = EIGHT_BIT_REFLECTANCE if image.dtypes[0] == "uint8" else 1.0
            classes = mask.count if several else None
            shape, part = (image.height, image.width), _part(name)
            return ImageForm(name, *shape, bands, largest, classes, titles, ground_of(image), part)

    def _open(self, name: str) -> AbstractContextManager[Any]:
        path = f"{self.root}/{name}" if self.root.is_dir() else f"/vsizip/{self.root.resolve()}/{name}"
        return open_mask(path, name)

    def read(self, name: str, window: Window) -> tuple[Floats, Bools, Mask]:
        """See `ImageSource`."""
        row, col, height, width = window
        place = ((row, row + height), (col, col + width))
        with self._open(name) as image:
            values = np.moveaxis(image.read(window=place), 0, -1)
            valid = image.dataset_mask(window=place) > 0
        with self._open(mask_of(name)) as mask:
            return _reflectance(values, name), valid, read_mask(mask, window, mask_of(name))


@contextmanager
def open_mask(path: str, name: str | None = None) -> Iterator[Any]:
    """Open a raster of labels, or an image.

    Args:
        path: Path that GDAL opens.
        name: Name of the file in messages; None: the path.

    Raises:
        DatasetError: It can't be opened or read.
    """
    try:
        with open_dataset(path) as file:
            yield file
    except READ_ERRORS as error:
        raise DatasetError(f"{name or path}: not a readable raster ({' '.join(str(error).split())})") from error


def read_mask(mask: Any, window: Window, name: str) -> Mask:
    """Read a window of an open raster of labels.

    Raises:
        DatasetError: Its numbers are neither ids nor probabilities.
    """
    row, col, height, width = window
    values = mask.read(window=((row, row + height), (col, col + width)))
    return _mask(values[0] if mask.count == 1 else np.moveaxis(values, 0, -1), mask.nodata, name)


def has_masks(root: Path) -> bool:
    """Whether data are images with masks: an NPZ file, or a folder or zip file with folders images and masks."""
    if root.suffix.lower() == ".npz":
        return True
    if not root.is_dir() and not zipfile.is_zipfile(root):
        return False
    folders = {PurePosixPath(name).parts[-2:-1] for name in file_names(root)}
    return {("images",), ("masks",)} <= folders


def mask_of(name: str) -> str:
    """The name of the mask of an image, which lies in a folder masks beside the folder images."""
    path = PurePosixPath(name)
    return str(path.parent.parent / "masks" / path.name)


def _pairs(names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Mask by image, and messages for images without a mask and masks without an image."""
    suffixes = {"images": CHIP_SUFFIXES, "masks": MASK_SUFFIXES}
    found: dict[str, list[str]] = {"images": [], "masks": []}
    for name in sorted(names):
        folder = PurePosixPath(name).parent.name
        if folder in found and PurePosixPath(name).suffix.lower() in suffixes[folder]:
            found[folder].append(name)
    images, masks = set(found["images"]), set(found["masks"])
    problems = {n: f"{n}: expected its mask as {mask_of(n)}, found none" for n in images if mask_of(n) not in masks}
    wanted = {mask_of(name) for name in images}
    problems |= {n: f"{n}: a mask without its image in the folder images" for n in masks if n not in wanted}
    return {name: mask_of(name) for name in sorted(images) if name not in problems}, problems


def _part(name: str) -> str | None:
    above = PurePosixPath(name).parent.parent.name
    return PARTS.get(above.lower())


Grid = tuple[int, int, Affine, Any]
"""Height, width, geotransform and CRS (None without one) of an image."""


def check_same_grid(image: Grid, mask: Any, name: str, mask_name: str) -> None:
    """Refuse a mask, an open raster, that does not lie on the grid of its image.

    Raises:
        DatasetError: It has another size, CRS or geotransform.
    """
    height, width, place, crs = image
    if (height, width) != (mask.height, mask.width):
        raise DatasetError(
            f"{mask_name}: expected {height}x{width} pixels like {name}. Received: {mask.height}x{mask.width}"
        )
    if crs is None or mask.crs is None:
        return
    apart = np.abs(np.subtract(tuple(place)[:6], tuple(mask.transform)[:6])).max() / np.hypot(place.a, place.d)
    if crs != mask.crs or apart > GRID_TOLERANCE:
        raise DatasetError(
            f"{mask_name}: expected the grid of {name} ({_grid(crs, place)}). Received: "
            f"{_grid(mask.crs, mask.transform)}. Bring the mask to it: gdalwarp -r near -t_srs … -te … -ts …"
        )


def _grid(crs: Any, place: Affine) -> str:
    return f"{crs}, corner {place.c:.10g} {place.f:.10g}, pixels of {place.a:g} by {place.e:g}"


def check_mask(mask: Any, name: str) -> None:
    """Refuse an open raster that holds neither class ids nor probabilities.

    Raises:
        DatasetError: Its type or number of bands is that of something else.
    """
    _check_mask_dtype(np.dtype(mask.dtypes[0]), mask.count, name)


def image_bands(named: BandNames | Sequence[str] | None, count: int, dtype: np.dtype[Any], name: str) -> BandNames:
    """The names of the bands of an image: those that are given or described, or the usual ones.

    Raises:
        DatasetError: Their number is another, or nothing names them.
    """
    if named:
        if len(named) != count:
            raise DatasetError(f"{name}: expected {len(named)} bands, as are named. Received: {count} bands")
        return tuple(named)
    if count == len(EUROSAT_ORDER):
        return EUROSAT_ORDER
    if count == 3 and dtype == np.uint8:
        return TRUE_COLOR
    raise DatasetError(
        f"{name}: expected bands with names such as B04. Received: {count} bands without. Say which is which: "
        f"--file-bands {'B04,B03,B02' if count == 3 else 'B04,B08,…'}, {count} in all"
    )


def _check_dtype(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "uif" or (dtype.kind in "iu" and dtype.itemsize > 2):
        raise DatasetError(f"{name}: expected images of 8 or 16 bits, or reflectance as floats. Received: {dtype}")


def _check_mask_dtype(dtype: np.dtype[Any], bands: int, name: str) -> None:
    if bands == 1 and dtype.kind not in "iub":
        raise DatasetError(
            f"{name}: expected class ids as whole numbers, or a band of probabilities for each class. Received: one "
            f"band of {dtype}. Convert it to uint8, with nodata for pixels without a label"
        )
    if bands > 1 and dtype.kind != "f":
        raise DatasetError(
            f"{name}: expected one band of class ids, or probabilities as floats, a band for each class. Received: "
            f"{bands} bands of {dtype}"
        )


def _reflectance(values: npt.NDArray[Any], name: str) -> Floats:
    if values.dtype == np.uint8:
        return values.astype(np.float32) * np.float32(EIGHT_BIT_REFLECTANCE / 255)
    if values.dtype.kind in "iu":
        return values.astype(np.float32) / np.float32(DN_OF_1)
    largest = float(np.nanmax(values, initial=0))
    if largest > BRIGHTEST:
        raise DatasetError(
            f"{name}: expected reflectance as floats (10 % is 0.1). Received: up to {largest:g}. Write digital numbers "
            "as uint16, or divide them"
        )
    return cast(Floats, values.astype(np.float32))


def _mask(values: npt.NDArray[Any], nodata: float | None, name: str) -> Mask:
    """Ids, or probabilities, in the form of `Mask`."""
    if values.ndim == 2:
        ids = values.astype(np.int64)
        return ids if nodata is None else np.where(values == nodata, UNLABELLED, ids)
    missing = ~np.isfinite(values).all(axis=-1)
    if nodata is not None:
        missing |= (values == nodata).all(axis=-1)
    probabilities = np.where(missing[..., None], 0, values).astype(np.float32)
    sums = probabilities.sum(axis=-1)
    wrong = (sums != 0) & (np.abs(sums - 1) > SUM_TOLERANCE)
    if wrong.any() or probabilities.min(initial=0) < 0:
        raise DatasetError(
            f"{name}: expected class probabilities from 0 on that sum to 1 in each pixel, or are all 0 without a "
            f"label. Received: sums from {sums.min():g} to {sums.max():g}"
        )
    return probabilities
