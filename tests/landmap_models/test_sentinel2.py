"""Which band is which, by description or by what the user tells."""

from __future__ import annotations

import pytest

from landmap_models.errors import DatasetError
from landmap_models.sentinel2 import EUROSAT_ORDER, SENTINEL2, band_name, described_bands, places_of, told_bands


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
        told_bands(names)


def test_told_bands_may_hold_others() -> None:
    assert told_bands(("b4", "SCL", "nir")) == ("B04", None, "B08")
