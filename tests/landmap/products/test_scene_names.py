"""What names of files say of their scene: dates in every form that people write, and numbers that are none."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.errors import SceneError
from landmap.products.scene_names import check_one_scene, dates_in, name_warnings

DAY = date(2023, 8, 13)
FORMS = (
    "%Y%m%d",
    "%Y-%m-%d",
    "%Y_%m_%d",
    "%Y.%m.%d",
    "%Y%j",
    "%Y-%j",
    "%d%b%Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%Y%b%d",
    "%y%m%d",
)


@given(st.dates(date(2015, 6, 23), date(2039, 12, 31)), st.sampled_from(FORMS), st.sampled_from(["{}", "x_{}_B04.tif"]))
def test_every_form_of_every_date(day: date, form: str, around: str) -> None:
    assert dates_in(around.format(day.strftime(form))) == [day]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("S2_33UUP_B04_20230813.tif", [DAY]),
        ("SENTINEL-2_MSI_20LKP_B03_2020-06-04.jp2", [date(2020, 6, 4)]),
        ("HLS.S30.T33UUP.2023225T100559.v2.0.B04.tif", [datetime(2023, 8, 13, 10, 5, 59)]),
        ("SENTINEL2A_20230813-100559-024_L2A_T31TCJ_C_V1-0_FRE_B4.tif", [datetime(2023, 8, 13, 10, 5, 59)]),
        ("LC08_L2SP_193027_20230813_20230821_02_T1_SR_B4.TIF", [DAY, date(2023, 8, 21)]),
        ("LC81930272023225LGN00_B4.TIF", [DAY]),
        ("2023-08-13-00:00_2023-08-13-23:59_Sentinel-2_L2A_B04_(Raw).tiff", [DAY, DAY]),
        ("13-08-2023_B04", [DAY]),
        ("08-13-2023_B04", [DAY]),
        ("B04_2023-8-3.tif", [date(2023, 8, 3)]),
        ("20230813100559.tif", [datetime(2023, 8, 13, 10, 5, 59)]),
        # numbers that are no dates
        ("S2A_OPER_MSI_L1C_TL_SGS__A033602_T33TUN_B04.jp2", []),
        ("N0509_R022_T33UUP_193027_B04_665nm", []),
        ("mosaic_2023_10_20m_B04.tif", []),
        ("20231345_20230931_2023366_2023_13_40", []),
        ("120230813", []),
        ("B04", []),
    ],
)
def test_names_of_products(name: str, found: list[date]) -> None:
    assert dates_in(name) == found


def test_two_ways_to_write_one_day_are_no_two_days() -> None:
    names = ["a_20230813_B04", "b_2023-08-13_B03", "T1_20230813T100559_B02"]
    check_one_scene(names, "x", "")
    with pytest.raises(SceneError, match="2023-08-14"):
        check_one_scene([*names, "c_20230814_B08"], "x", "")


def test_the_two_are_named_and_what_to_do() -> None:
    with pytest.raises(SceneError, match=r"^x: .*Received: S2A_B04 and S2B_B02, .* satellite \(A and B\). Mend it$"):
        check_one_scene(["S2A_B04", "S2A_B03", "S2B_B02"], "x", "Mend it")


@pytest.mark.parametrize(
    ("one", "other"),
    [("2023 08 13", "2023 08 18"), ("13082023", "18082023"), ("doy225", "doy230"), ("2023-08", "2023-03"),
     ("2022", "2023"), ("Aug13", "Aug18"), ("1691920000", "1692352000"), ("summer", "winter")],
)  # fmt: skip
def test_names_that_differ_in_more_than_the_band_are_told(one: str, other: str) -> None:
    (doubt,) = name_warnings([f"S2_{one}_B04.tif", f"S2_{one}_B03.tif", f"S2_{other}_B08.tif"])
    assert f"S2_{one}_B0" in doubt
    assert f"S2_{other}_B08.tif" in doubt


@pytest.mark.parametrize(
    "names",
    [["B04.tif", "B03.tif", "B08.tif"], ["red.tif", "green.tif", "nir.tif"], ["a_B4_10m.jp2", "a_B11_20m.jp2"],
     ["T33UUP_20230813T100559_B04_x1.jp2", "T33UUP_20230813T100559_B08_y2.jp2"]],
)  # fmt: skip
def test_names_of_one_scene_raise_no_doubt(names: list[str]) -> None:
    assert name_warnings(names) == []
