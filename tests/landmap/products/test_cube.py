"""NetCDF as xarray, openEO and odc-stac write it: the same pixels at the same place as in the GeoTIFF."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rioxarray  # noqa: F401 # gives datasets their `rio`
import xarray

from landmap.errors import SceneError
from landmap.inference.plan import make_plan
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

HEIGHT, WIDTH = 70, 90
ALL = Window(0, 0, HEIGHT, WIDTH)
NAMES = ("B04", "B03", "B02")
X, Y = 500_005 + 10.0 * np.arange(WIDTH), 4_999_995 - 10.0 * np.arange(HEIGHT)
DATES = np.array(["2023-08-13", "2023-08-23"], "datetime64[ns]")


@pytest.fixture
def values(ordinary: Callable[..., Any]) -> npt.NDArray[np.uint16]:
    drawn: npt.NDArray[np.uint16] = ordinary(HEIGHT, WIDTH)
    return drawn


@pytest.fixture
def cube(values: npt.NDArray[np.uint16]) -> xarray.Dataset:
    """A variable for each band; a CRS, and coordinates without the attributes of the CF conventions."""
    bands = {name: (("y", "x"), band) for name, band in zip(NAMES, values, strict=True)}
    made: xarray.Dataset = xarray.Dataset(bands, coords={"x": X, "y": Y}).rio.write_crs("EPSG:32633")
    return made


def stacked(cube: xarray.Dataset) -> xarray.DataArray:
    return cube.to_array("band").rename("reflectance")


def opened(path: Path) -> Scene:
    return open_scene(path, Settings(level="L1C", offset=0), card=FAKE_CARD)


FORMS: dict[str, Callable[[xarray.Dataset], Any]] = {
    "a variable a band": lambda cube: cube,
    "one date": lambda cube: cube.expand_dims(time=DATES[:1]),
    "the date alone": lambda cube: cube.assign_coords(t=DATES[0]),
    "the south first": lambda cube: cube.isel(y=slice(None, None, -1)),
    "attributes of the CF conventions": lambda cube: cube.rio.write_coordinate_system(),
    "these, the south first": lambda cube: cube.rio.write_coordinate_system().isel(y=slice(None, None, -1)),
    "GDAL's attributes": lambda cube: cube.rio.write_transform(),
    "whole numbers as coordinates": lambda cube: cube.assign_coords(x=X.astype(np.int32), y=Y.astype(np.int32)),
    "a dimension of bands": stacked,
    "one of bands and one of a date": lambda cube: stacked(cube).expand_dims(t=DATES[:1]),
    "bands in another order": lambda cube: stacked(cube).isel(band=[2, 0, 1]),
    "more variables": lambda cube: cube.assign(view_zenith_B4=cube.B04, NDVI=cube.B02 * 0.1, red_std=cube.B04),
}


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_pixels_at_the_same_place(
    form: str, engine: str, cube: xarray.Dataset, values: npt.NDArray[np.uint16], tmp_path: Path, write_scene: Any
) -> None:
    integers = np.int16 if engine == "scipy" else np.uint16  # NetCDF 3 has no unsigned ones
    FORMS[form](cube.astype(integers)).to_netcdf(tmp_path / "cube.nc", engine=engine)
    scene, expected = opened(tmp_path / "cube.nc"), opened(write_scene(values))
    assert (scene.geobox.transform, scene.geobox.height, scene.geobox.width) == (
        expected.geobox.transform,
        HEIGHT,
        WIDTH,
    )
    assert scene.geobox.crs == expected.geobox.crs
    np.testing.assert_array_equal(scene.read(ALL).values, expected.read(ALL).values)
    assert scene.read(ALL).valid.all()


def test_scale_offset_and_fill_are_respected(cube: xarray.Dataset, tmp_path: Path) -> None:
    """As odc-stac packs reflectance: value * scale_factor + add_offset."""
    reflectance = (cube * 1e-4).where(cube.B04[5, 5] != cube.B04)
    packing = {"dtype": "int16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": -9999}
    packed = dict.fromkeys(NAMES, packing)
    reflectance.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding=packed)
    scene = open_scene(tmp_path / "packed.nc", Settings(level="L1C"), card=FAKE_CARD)
    assert scene.radiometry.offset == pytest.approx((-1000, -1000, -1000))
    pixels = scene.read(ALL)
    wanted = np.stack([reflectance[name].values for name in NAMES], axis=-1)
    np.testing.assert_array_equal(pixels.valid, np.isfinite(wanted[..., 0]))
    assert not pixels.valid[5, 5]
    np.testing.assert_allclose(pixels.values[pixels.valid], wanted[pixels.valid], atol=1e-6)


def test_a_scene_classification_among_the_variables(cube: xarray.Dataset, tmp_path: Path) -> None:
    classes = np.full((HEIGHT, WIDTH), 4, np.uint8)
    classes[:9] = 9
    cube.assign(SCL=(("y", "x"), classes)).to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    scene = open_scene(tmp_path / "cube.nc", Settings(scl="auto"), card=FAKE_CARD)
    np.testing.assert_array_equal(scene.read(ALL).valid, classes == 4)
    assert scene.radiometry.level == "L2A"


def test_the_plan_names_file_variables_and_date(cube: xarray.Dataset, tmp_path: Path) -> None:
    cube.expand_dims(time=DATES[:1]).to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    said = make_plan(tmp_path / "cube.nc", card=FAKE_CARD).to_dict()["scene"]
    assert said["files"] == ["cube.nc:B04", "cube.nc:B03", "cube.nc:B02"]
    assert said["product"]["text"] == "nc file, 3 bands, 2023-08-13"


def refusal(path: Path) -> str:
    with pytest.raises(SceneError) as caught:
        make_plan(path, card=FAKE_CARD)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def obeyed(message: str, *changes: tuple[str, str]) -> Path:
    """Run the line that an error advises; the file that it wrote."""
    (code,) = re.findall(r'python -c "(.*)"', message)
    for old, new in changes:
        code = code.replace(old, new)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
    return Path(re.findall(r"to_netcdf\('(.*)'\)", code)[0])


@pytest.mark.parametrize("form", [lambda cube: cube, stacked], ids=["variables", "a dimension of bands"])
def test_of_several_dates_one_is_to_be_written(form: Any, cube: xarray.Dataset, tmp_path: Path) -> None:
    both = xarray.concat([cube, cube + 1], xarray.Variable("time", DATES))
    form(both).rio.write_crs("EPSG:32633").to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    message = refusal(tmp_path / "cube.nc")
    assert "expected one scene. Received: 2 along time (2023-08-13, 2023-08-23)" in message
    scene = opened(obeyed(message))
    np.testing.assert_allclose(scene.read(ALL).values[..., 0], cube.B04.values * 1e-4, atol=1e-7)


def test_rows_and_columns_come_last(cube: xarray.Dataset, tmp_path: Path) -> None:
    stacked(cube).transpose("x", "y", "band").to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    message = refusal(tmp_path / "cube.nc")
    assert "(y, x) as the last dimensions of reflectance. Received: x, y, band." in message
    scene = opened(obeyed(message))
    np.testing.assert_allclose(scene.read(ALL).values[..., 0], cube.B04.values * 1e-4, atol=1e-7)


def test_without_a_crs(cube: xarray.Dataset, tmp_path: Path) -> None:
    cube.drop_vars("spatial_ref").to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    message = refusal(tmp_path / "cube.nc")
    scene = opened(obeyed(message, ("EPSG:NUMBER", "EPSG:32633")))
    assert scene.geobox.transform.c == 500_000
    np.testing.assert_allclose(scene.read(ALL).values[..., 0], cube.B04.values * 1e-4, atol=1e-7)


def test_uneven_coordinates(cube: xarray.Dataset, tmp_path: Path) -> None:
    cube.assign_coords(y=Y + 3 * np.sin(Y)).to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    assert "expected evenly spaced pixels. Received: other steps along y" in refusal(tmp_path / "cube.nc")


def test_longitudes_and_latitudes_need_no_crs(cube: xarray.Dataset, tmp_path: Path) -> None:
    degrees = cube.drop_vars("spatial_ref").rename(x="lon", y="lat")
    degrees = degrees.assign_coords(lon=15 + 1e-4 * np.arange(WIDTH), lat=45 - 1e-4 * np.arange(HEIGHT))
    degrees.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    assert "GEOGCS" in (opened(tmp_path / "cube.nc").geobox.crs or "")


def test_what_is_damaged_is_told_in_one_line(cube: xarray.Dataset, tmp_path: Path) -> None:
    cube.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    content = (tmp_path / "cube.nc").read_bytes()
    for part in (b"", content[:100], content[: len(content) // 2], b"no cube"):
        (tmp_path / "cube.nc").write_bytes(part)
        assert "cube.nc" in refusal(tmp_path / "cube.nc")
