"""Which band is which, by description or by what the user tells."""

from __future__ import annotations

import pytest

from landmap_models.errors import DatasetError
from landmap_models.sentinel2 import (
    EUROSAT_ORDER,
    SENTINEL2,
    Level,
    band_name,
    described_bands,
    is_true_color,
    level_in,
    named_bands,
    places_of,
    true_color_level,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B04", "B04"),
        ("b4", "B04"),
        ("B04_10m", "B04"),
        ("Band 4", "B04"),
        ("T33TVM_20241014T101021_B8A", "B8A"),
        ("b08a", "B8A"),
        ("Red", "B04"),
        ("Red Edge 1", "B05"),
        ("nir", "B08"),
        ("B8A (nir)", "B8A"),
        ("B04 mask", None),
        ("B04/B08", None),
        ("B13", None),
        ("B4A", None),
        ("SCL", None),
        ("", None),
    ],
)
def test_names_are_recognised_as_people_write_them(text: str, name: str | None) -> None:
    assert band_name(text) == name


def test_descriptions_that_only_count_name_nothing() -> None:
    assert described_bands(["Band 1", "Band 2", "Band 3"]) is None
    assert described_bands(["b1", "b2"]) is None
    assert described_bands([None, "", "SCL"]) is None
    assert described_bands(["Band 4", "Band 3"]) == ("B04", "B03")
    assert described_bands(["B02", "SCL"]) == ("B02", None)


def test_eurosats_order_is_all_bands_with_8a_last() -> None:
    assert sorted(EUROSAT_ORDER) == sorted(SENTINEL2)
    assert EUROSAT_ORDER[7:] == ("B08", "B09", "B10", "B11", "B12", "B8A")


def test_wanted_bands_are_found_in_their_order() -> None:
    there = ("B02", None, "B04")
    assert places_of(("B4", "blue"), there, "x") == (("B04", "B02"), (2, 0))
    assert places_of(None, ("B02", "B04"), "x") == (("B02", "B04"), (0, 1))


@pytest.mark.parametrize(
    ("wanted", "there", "message"),
    [
        (("B04", "B08", "B11"), ("B04", "B03"), r"x: there is no band B08, B11\. Bands: B04, B03"),
        ((), ("B04",), "no band"),
        (("B04", "red"), ("B04", "B03"), r"each band once\. Received: B04, red"),
        (None, ("B04", None), r"no Sentinel-2 name: B04, \(no name\)\. Choose"),
        (("B04",), ("B04", "B04"), "B04 named twice"),
    ],
)
def test_bands_that_are_not_there_are_refused(
    wanted: tuple[str, ...] | None, there: tuple[str | None, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        places_of(wanted, there, "x")


@pytest.mark.parametrize("names", [("B04", "B04"), ("VV", "VH")])
def test_told_bands_must_be_bands(names: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError, match=r"file_bands: expected.*Received: "):
        named_bands(names)


def test_told_bands_may_hold_others() -> None:
    assert named_bands(("b4", "SCL", "nir")) == ("B04", None, "B08")


@pytest.mark.parametrize(
    ("name", "known", "level"),
    [
        ("T31UFS_20190212T105141_TCI_10m.jp2", True, "L2A"),
        ("L2A_T31UFS_20170212T105141_TCI_20m.jp2", True, "L2A"),
        ("T31UFS_20190212T105141_TCI.jp2", True, "L1C"),
        ("T31UFS_20190212T105141_TCI_clip.tif", True, None),
        ("TCI.tif", True, None),
        ("my-town-tci.tif", True, None),
        ("MTD_MSIL2A.xml:TCI:EPSG_32633", True, None),
        ("T31UFS_20190212T105141_B04_10m.jp2", False, None),
        ("tcity.tif", False, None),
    ],
)
def test_names_of_true_color_images(name: str, known: bool, level: str | None) -> None:
    assert is_true_color(name) == known
    assert true_color_level(name) == level


@pytest.mark.parametrize(
    ("text", "level", "why"),
    [
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE", "L1C", "product"),
        ("S2MSI2A", "L2A", "product type"),
        ("Level-1C", "L1C", "GDAL"),
        ("level 2a", "L2A", "in words"),
        ("LEVEL_2A", "L2A", "with an underscore"),
        ("inn-l2a-2020.tif", "L2A", "between dashes"),
        ("L1C and L2A", None, "both"),
        ("L1TP", None, "Landsat's"),
        ("tile_31U_2A", None, "2A alone could be anything"),
        ("model1c.tif", None, "within a word"),
        ("L2Abc.tif", None, "within a word"),
        ("T33TVM_20241014.tif", None, "a date"),
        ("", None, "nothing"),
    ],
)
def test_level_in_a_text(text: str, level: Level | None, why: str) -> None:
    assert level_in(text) == level, why
