"""Which band is which: every spelling that people use, and none that could mean something else."""

from __future__ import annotations

import pytest

from landmap.errors import BandError, SettingsError
from landmap.products.bands import FileBand, bands_called, find_bands, given_bands, parse_bands
from landmap_models.sentinel2 import COMMON_NAMES, SENTINEL2, band_name

RGB = ("B04", "B03", "B02")


def bands(*described: str, colors: tuple[str, ...] = (), tags: tuple[dict[str, str], ...] = ()) -> list[FileBand]:
    return [
        FileBand(
            index=i + 1,
            description=text,
            color=colors[i] if colors else "undefined",
            tags=tuple(tags[i].items()) if tags else (),
        )
        for i, text in enumerate(described)
    ]


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("B04", "B04", "ESA's"),
        ("B4", "B04", "without the zero"),
        ("b04", "B04", "small letters"),
        ("B004", "B04", "more zeros"),
        ("red", "B04", "STAC's common name"),
        ("Red", "B04", "and with a capital"),
        ("B04_10m", "B04", "with its resolution"),
        ("T33TVM_20241014T101021_B04_60m", "B04", "file name in a product: tile and date are no bands"),
        ("B04.jp2", "B04", "with a suffix"),
        ("sur_refl_B04", "B04", "within other words"),
        ("Band 4", "B04", "in words"),
        ("band_4", "B04", "in words"),
        ("band4", "B04", "in one word"),
        ("Band 04 (red)", "B04", "twice the same"),
        ("B4, central wavelength 665 nm", "B04", "GDAL's own SENTINEL2 driver: 665 is no band"),
        ("B8A", "B8A", "the narrow near infrared"),
        ("b08a", "B8A", "with a zero"),
        ("Band 8A", "B8A", "in words"),
        ("B08", "B08", "the wide near infrared is another band"),
        ("B8", "B08", "likewise"),
        ("nir", "B08", "STAC"),
        ("nir08", "B8A", "STAC: 08 is the wavelength (0.8 µm), not the band"),
        ("Narrow NIR", "B8A", "not the wide one"),
        ("B08, nir", "B08", "twice the same"),
        ("B8A (nir)", "B8A", "a code counts before a colour, which is vaguer"),
        ("B01, coastal blue", "B01", "a code counts before two colours"),
        ("coastal blue", None, "names two"),
        ("B12", "B12", "two figures"),
        ("B1", "B01", "not the start of B12"),
        ("swir16", "B11", "STAC"),
        ("Red Edge 1", "B05", "not red"),
        ("red-edge 2", "B06", "not red"),
        ("rededge3", "B07", "STAC"),
        ("Vegetation Red Edge", None, "which of three? and not red"),
        ("B05 - Vegetation Red Edge", "B05", "Sentinel-2's brochure"),
        ("B04, B03", None, "names two"),
        ("red green", None, "names two"),
        ("B4 B8A ratio", None, "names two"),
        ("B13", None, "Sentinel-2 has none"),
        ("B00", None, "Sentinel-2 has none"),
        ("B04A", None, "Sentinel-2 has none"),
        ("4", None, "a number alone is no name"),
        ("AB04", None, "within a word"),
        ("SCL", None, "a classification"),
        ("infrared", None, "within a word"),
        ("gray", None, "GDAL's colour of a first band"),
        ("undefined", None, "GDAL's colour of any other"),
        ("alpha", None, "opacity"),
        ("view_zenith_B4", None, "SNAP's angle"),
        ("view_azimuth_B8A", None, "SNAP's angle"),
        ("detector_footprint_B4", None, "SNAP's layer of quality"),
        ("MSK_QUALIT_B04", None, "ESA's layer of quality"),
        ("quality_scene_classification", None, "SNAP's name of the SCL"),
        ("", None, "nothing"),
    ],
)
def test_name_in_a_text(text: str, name: str | None, why: str) -> None:
    assert band_name(text) == name, why


def test_names_are_their_own_names() -> None:
    assert {name: band_name(name) for name in SENTINEL2} == {name: name for name in SENTINEL2}
    assert {word: band_name(word) for word in COMMON_NAMES} == COMMON_NAMES


@pytest.mark.parametrize(
    ("band", "name", "why"),
    [
        (FileBand(1, "B02", "red", (("BANDNAME", "B3"),)), "B02", "the description comes first"),
        (FileBand(1, "foo", "red", (("BANDNAME", "B3"),)), "B03", "then tags"),
        (FileBand(1, "", "gray", (("bandname", "B3"),)), "B03", "in small letters, too"),
        (FileBand(1, "", "gray", (("eo:common_name", "green"),)), "B03", "STAC's tag"),
        (FileBand(1, "", "gray", (("COMMENT", "B3"),)), None, "any other tag is prose"),
        (FileBand(1, "", "red", ()), None, "colours are judged for the file as a whole"),
        (FileBand(1, "B8A (nir)", "nir", ()), "B8A", "GDAL's nir is B08's, but the code is clear"),
        (FileBand(1, "", "alpha", ()), None, "no colour"),
        (FileBand(1, "", "undefined", ()), None, "no colour"),
    ],
)
def test_name_of_a_band(band: FileBand, name: str | None, why: str) -> None:
    assert band.name == name, why


@pytest.mark.parametrize(
    ("there", "found", "why"),
    [
        (bands("B02", "B03", "B04", "B08"), (3, 2, 1), "in the model's order, not the file's"),
        (bands("B04", "B03", "B02", "B08", "B8A"), (1, 2, 3), "others are left alone"),
        (bands("", "", "", colors=("red", "green", "blue")), (1, 2, 3), "a colour picture"),
        (bands("", "", "", "", colors=("red", "green", "blue", "alpha")), (1, 2, 3), "with opacity"),
        (bands("", "", "", colors=("blue", "green", "red")), (3, 2, 1), "colours are read, not counted"),
        (bands("Band 4", "Band 3", "Band 2"), (1, 2, 3), "numbers that do not just count are names"),
        (bands("B01", "B02", "B03", "B04"), (4, 3, 2), "ESA's names in order"),
        (bands("B8A", "red edge 1", "B4", "B3", "B2"), (3, 4, 5), "red edge is not red"),
        (bands("B04", "B03", "B02", "B11", "B11"), (1, 2, 3), "twice there, but not needed"),
    ],
)
def test_found(there: list[FileBand], found: tuple[int, ...], why: str) -> None:
    assert find_bands(there, RGB, "s.tif") == dict(zip(RGB, found, strict=True)), why


@pytest.mark.parametrize(
    ("there", "name", "why"),
    [
        (bands("", "", ""), "B04", "the right count is no name: never by position"),
        (bands("", "", "", colors=("gray", "undefined", "undefined")), "B04", "what GDAL says of any three bands"),
        (bands("", "", "", colors=("gray", "alpha", "undefined")), "B04", "opacity is no band"),
        (bands("", "", colors=("red", "green")), "B04", "one too few for a picture"),
        (bands("", "", "", "", colors=("red", "green", "blue", "undefined")), "B04", "one too many for a picture"),
        (bands("Band 1", "Band 2", "Band 3", "Band 4"), "B04", "only numbered, as by ENVI: the fourth may be NIR"),
        (bands("b1", "b2", "b3", "b4", "b5"), "B04", "only numbered"),
        (bands("red_mask", "green", "blue"), "B04", "a mask is no band"),
        (bands("near infra red", "green", "blue"), "B04", "not red"),
        (bands("QA_B04", "B03", "B02"), "B04", "quality of a band is no band"),
        (bands("B04", "B03", "B08"), "B02", "another one instead"),
        (bands("B8A", "B03", "B02"), "B04", "8A is not 8, nor 4"),
        (bands("B04, B03", "B03", "B02"), "B04", "a description of two bands names none"),
        (bands(), "B04", "nothing there"),
    ],
)
def test_missing_band_lists_what_is_there(there: list[FileBand], name: str, why: str) -> None:
    with pytest.raises(BandError) as caught:
        find_bands(there, RGB, "s.tif")
    text = str(caught.value)
    assert f"s.tif: the model needs band {name}, which is not named here" in text, why
    assert all(f"{band.index}: {band.description or band.color}" in text for band in there)
    assert "--bands B04=N,B03=N,B02=N" in text


def test_all_missing_bands_are_named() -> None:
    with pytest.raises(BandError, match=r"needs band B04, which is not named here, nor is B02\."):
        find_bands(bands("B03", "B08"), RGB, "s.tif")


def test_band_twice_is_an_error_that_lists_both() -> None:
    with pytest.raises(BandError, match=r"band B03 is there 2 times: 1: red; 2: B03; 3: green; 4: B02"):
        find_bands(bands("red", "B03", "green", "B02"), RGB, "s.tif")


def test_message_stays_one_line_whatever_the_file_says() -> None:
    with pytest.raises(BandError) as caught:
        find_bands(bands("first\nsecond\r\n  third"), RGB, "s.tif")
    assert "1: first second third" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "numbers", "why"),
    [
        ("3,2,1", (3, 2, 1), "in the model's order"),
        (" 3, 2 ,1 ", (3, 2, 1), "blanks"),
        ("B04=3,B03=2,B02=1", (3, 2, 1), "by name"),
        ("B02=1,B03=2,B04=3", (3, 2, 1), "by name in any order"),
        ("red=3,b3=2,Band 2=1", (3, 2, 1), "names as in files"),
        ("B04 = 3, B03 = 2, B02 = 1", (3, 2, 1), "blanks"),
        ("B04=3,B03=2,B02=1,B08=4", (3, 2, 1), "one more than needed, by name"),
    ],
)
def test_bands_option(text: str, numbers: tuple[int, ...], why: str) -> None:
    parsed = parse_bands(text, RGB)
    assert parsed == dict(zip(RGB, numbers, strict=True)), why
    assert tuple(parsed) == RGB, "the model's order"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("3,2", "one too few"),
        ("3,2,1,4", "one too many: which?"),
        ("3,2,1,", "a comma too many"),
        ("3;2;1", "another sign"),
        ("3,2,x", "no number"),
        ("3,2,1.5", "no whole number"),
        ("B04=3,B03=2", "one too few"),
        ("B04=3,2,1", "half by name"),
        ("B04=3,B03=2,B08=1", "another band"),
        ("B04=3,B03=2,B02=", "no number"),
        ("B04=3,red=3,B03=2,B02=1", "red is B04"),
        ("B04=3,B03=2,=1", "no name"),
    ],
)
def test_malformed_bands_option_shows_both_forms_or_what_is_wanted(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=r"--bands: expected (\"3,2,1\" or|one number for each of B04, B03, B02)"):
        parse_bands(text, RGB)


@pytest.mark.parametrize(
    ("given", "message", "why"),
    [
        ({"B04": 5, "B03": 2, "B02": 1}, "B04=5; the file has bands 1 to 4", "beyond the last"),
        ({"B04": 3, "B03": 0, "B02": 1}, "B03=0; the file has bands 1 to 4", "numbers start at 1"),
        ({"B04": 3, "B03": 2, "B02": -1}, "B02=-1; the file has bands 1 to 4", "nor from the end"),
        ({"B04": 3, "B03": 3, "B02": 1}, "the same band twice", "a slip"),
    ],
)
def test_given_bands_are_checked_against_the_file(given: dict[str, int], message: str, why: str) -> None:
    with pytest.raises(BandError, match=message):
        given_bands(given, 4, "s.tif")


def test_given_bands_may_be_the_first_and_the_last() -> None:
    assert given_bands({"B04": 4, "B02": 1}, 4, "s.tif") == {"B04": 4, "B02": 1}


def test_bands_in_python() -> None:
    for given in ("3,2,1", [3, 2, 1], (3, 2, 1), {"B02": 1, "B03": 2, "B04": 3}):
        assert parse_bands(given, RGB) == {"B04": 3, "B03": 2, "B02": 1}


@pytest.mark.parametrize(
    ("text", "parsed", "why"),
    [
        ("3,2,1", {"B04": 3, "B03": 2, "B02": 1}, "can be left out"),
        ("3,2,1,7", {"B04": 3, "B03": 2, "B02": 1, "B08": 7}, "comes last as a number"),
        ("B08=7,B04=3,B03=2,B02=1", {"B04": 3, "B03": 2, "B02": 1, "B08": 7}, "by name"),
        ("B02,B03,B04,B08", {"B04": 3, "B03": 2, "B02": 1, "B08": 4}, "names in the file's order"),
        ("b2, B3 ,B04", {"B04": 3, "B03": 2, "B02": 1}, "as people write them"),
        ("B01,B02,B03,B04,B8A", {"B04": 4, "B03": 3, "B02": 2}, "bands that nobody wants do not matter"),
    ],
)
def test_bands_option_with_an_optional_band(text: str, parsed: dict[str, int], why: str) -> None:
    assert parse_bands(text, RGB, ("B08",)) == parsed, why


@pytest.mark.parametrize("text", ["B04,B03", "B04,B03,B04", "B04,B03,B02,B04", "3,2,1,4,5", "B04,B03,1"])
def test_malformed_bands_option_with_an_optional_band(text: str) -> None:
    with pytest.raises(SettingsError, match="--bands: expected"):
        parse_bands(text, RGB, ("B08",))


def test_bands_called_by_a_name() -> None:
    assert bands_called(bands("B04", "nir", "B8A"), "B08") == (2,)
    assert bands_called(bands("B08", "nir"), "B08") == (1, 2)
    assert bands_called(bands("B04", "narrow nir", "NDVI of B08"), "B08") == ()
    assert bands_called(bands(*(f"B{i}" for i in range(1, 9))), "B08") == (), "the eighth band is seldom B08"
