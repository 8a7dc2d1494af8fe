"""The lazy maps of several dates become one, on the same grid, by the arithmetic of `fusion`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401 # gives xarray's objects `.rio`
import xarray as xr

import landmap
from landmap.errors import SceneError, SettingsError
from landmap.fusion import check_weights, fuse
from landmap_models.inference.classifier import Classifier

TIMES = np.array(["2023-08-13", "2023-08-18", "2023-08-23"], "datetime64[ns]")


def scene(ordinary: Callable[..., np.ndarray]) -> xr.Dataset:
    """Three dates of 180 rows x 220 columns, each with a hole; one place has no data on any date."""
    values = (
        np.stack([ordinary(180, 220, seed=seed) for seed in range(3)]) + np.arange(0, 900, 300)[:, None, None, None]
    )
    for date in range(3):
        values[date, :, :60, 60 * date : 60 * date + 90] = 0
    values[:, :, 150:, :40] = 0
    coords = {"time": TIMES, "y": 5_200_000 - 10.0 * np.arange(180), "x": 600_000 + 10.0 * np.arange(220)}
    dims = ("time", "y", "x")
    bands = {
        name: (dims, da.from_array(values[:, i].astype(np.uint16), (1, 64, 100)), {"nodata": 0})
        for i, name in enumerate(("red", "green", "blue"))
    }
    return xr.Dataset(bands, coords, {"PROCESSING_LEVEL": "Level-1C"}).rio.write_crs("EPSG:32633")


@pytest.fixture
def dates(ordinary: Callable[..., np.ndarray], sensitive: Classifier) -> xr.Dataset:
    return landmap.predict(scene(ordinary), classifier=sensitive, probabilities=True, stride=16, chunk=96)


@pytest.mark.parametrize("how", ["mean", "median", "majority"])
def test_it_fuses_the_dates_and_is_lazy(dates: xr.Dataset, how: Any) -> None:
    found = landmap.combine(dates, how, weights=[1, 2, 0.5], probabilities=True)
    assert found.classes.dims == found["count"].dims == ("y", "x")
    assert found.classes.chunks == dates.classes.chunks[1:], "a block of all dates at once, and no more"
    assert found.rio.crs == dates.rio.crs
    assert "time" not in found.coords
    each = dates.compute()
    ids = [i for i in each.classes.attrs["flag_values"] if i != 254]
    expected = fuse(each.classes.values, each.probabilities.values, check_weights([1, 2, 0.5], 3), ids, how)
    computed = found.compute()
    for name in ("classes", "confidence", "count", "disagreement", "probabilities"):
        assert found[name].dtype == np.uint8
        np.testing.assert_array_equal(computed[name].values, getattr(expected, name), err_msg=name)
    nowhere = (each.classes == 255).all("time")
    assert nowhere.any()
    np.testing.assert_array_equal(computed.classes == 255, nowhere)
    assert set(np.unique(computed["count"])) == {0, 1, 2, 3}


def test_one_date_stays_as_it_is(dates: xr.Dataset) -> None:
    one = dates.isel(time=[1]).compute()
    found = landmap.combine(one, probabilities=True).compute()
    for name in ("classes", "confidence", "probabilities"):
        np.testing.assert_array_equal(found[name], one[name].isel(time=0), err_msg=name)
    weighted = landmap.combine(dates, weights=[0, 1, 0]).compute()
    np.testing.assert_array_equal(weighted.classes, found.classes)


def test_maps_that_were_written_or_put_together_are_taken(dates: xr.Dataset, tmp_path: Path) -> None:
    expected = landmap.combine(dates).compute()
    together = xr.concat([dates.isel(time=i, drop=True) for i in range(3)], "date", combine_attrs="override")
    xr.testing.assert_equal(landmap.combine(together).compute(), expected)
    dates.to_zarr(tmp_path / "dates.zarr", zarr_format=2)
    stored = landmap.combine(xr.open_zarr(tmp_path / "dates.zarr", mask_and_scale=False))
    np.testing.assert_array_equal(stored.classes, expected.classes)


def test_the_map_says_how_it_was_made(dates: xr.Dataset) -> None:
    found = landmap.combine(dates, "median", unknown_below=40)
    assert found.attrs["LANDMAP_FUSION"] == "weighted median of probabilities of 3 dates"
    assert found["count"].attrs["LANDMAP_LAYER"] == "count"
    assert found.classes.attrs["flag_values"] == (*dates.classes.attrs["flag_values"], 254)
    assert '"254": "Unknown"' in found.classes.attrs["LANDMAP_LEGEND"]
    assert (found.classes == 254).any().compute()


def test_what_can_not_be_combined_is_refused_at_once(dates: xr.Dataset) -> None:
    for wrong, match in (
        (dates.drop_vars("probabilities"), "probabilities=True"),
        (dates.isel(time=0), "expected a dimension of dates"),
        (dates.isel({"class": slice(2)}), "with 2 classes"),
    ):
        with pytest.raises(SceneError, match=match):
            landmap.combine(wrong)
    bare = dates.copy()
    bare["classes"] = bare.classes.drop_attrs()
    with pytest.raises(SceneError, match="flag_values"):
        landmap.combine(bare)
    with pytest.raises(SettingsError, match="expected mean, median, majority"):
        landmap.combine(dates, "mode")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="each of 3 dates"):
        landmap.combine(dates, weights=[1, 2])
    with pytest.raises(SettingsError, match="unknown_below"):
        landmap.combine(dates, unknown_below=0)
