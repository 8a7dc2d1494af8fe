"""A lazy map equals the file that `classify` writes, whatever its input is cut into and whatever holds it."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr

import landmap
from landmap.errors import BandError, GeoreferenceError, LandmapWarning, SceneError, SettingsError
from landmap.lazy.graph import PREDICT
from landmap_models.inference.classifier import Classifier

BANDS = ("B04", "B03", "B02", "B08")
L1C = {"PROCESSING_LEVEL": "Level-1C"}
UNEVEN = {"x": (100, 7, 193, 150), "y": (64, 236, 50)}
CUT: dict[str, Any] = {"stride": 16, "chunk": 96}


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., np.ndarray]) -> Path:
    """350 rows x 450 columns with a hole, of four bands."""
    values = np.concatenate([ordinary(350, 450), 3 * ordinary(350, 450, seed=1)[:1]])
    values = (values * np.linspace(0.4, 2.5, 450)).astype(np.uint16)
    values[:, :40, 100:180] = 0
    return write_scene(values, nodata=0, bands=BANDS, tags=L1C)


def rasters(scene: Path, **how: Any) -> dict[str, np.ndarray]:
    """What `classify` writes."""
    files = {name: scene.with_name(f"{name}.tif") for name in ("classes", "confidence", "probabilities")}
    others = {name: files[name] for name in ("confidence", "probabilities")}
    landmap.classify(scene, files["classes"], precision="float32", overwrite=True, **others, **how)
    found = {}
    for name, path in files.items():
        with rasterio.open(path) as file:
            found[name] = file.read() if name == "probabilities" else file.read(1)
    return found


def opened(scene: Path, chunks: Any = 128, **how: Any) -> xr.DataArray:
    return rioxarray.open_rasterio(
        scene, chunks=chunks if isinstance(chunks, dict) else {"x": chunks, "y": chunks}, **how
    )


def as_dataset(data: xr.DataArray) -> xr.Dataset:
    """A variable a band, as `odc.stac.load` gives."""
    found = xr.Dataset({name: data.isel(band=i, drop=True) for i, name in enumerate(("red", "green", "blue", "nir"))})
    for variable in found.data_vars.values():
        variable.attrs = {"nodata": 0}
    return found.assign_attrs(L1C)


def equal(found: xr.Dataset, expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        if name in found:
            np.testing.assert_array_equal(found[name].values, values, err_msg=name)


@pytest.mark.parametrize("how", [{"detail": "chip"}, {}], ids=["chip", "pixel"])
def test_it_equals_the_file_of_the_packaged_model(scene: Path, how: dict[str, Any]) -> None:
    expected = rasters(scene, **how)
    assert len(np.unique(expected["confidence"])) > 10
    found = landmap.predict(opened(scene, UNEVEN), probabilities=True, chunks=200, **how)
    equal(found.compute(), expected)


@pytest.mark.parametrize("chunks", [64, 256, 1000, UNEVEN], ids=str)
def test_chunks_of_the_input_change_nothing(scene: Path, sensitive: Classifier, chunks: Any) -> None:
    expected = rasters(scene, classifier=sensitive, stride=16)
    found = landmap.predict(opened(scene, chunks), classifier=sensitive, probabilities=True, **CUT)
    assert found.classes.chunks == ((96, 96, 96, 62), (96, 96, 96, 96, 66))
    equal(found.compute(), expected)


def test_a_dataset_or_turned_dimensions_give_the_same(scene: Path, sensitive: Classifier) -> None:
    data, expected = opened(scene), rasters(scene, classifier=sensitive, stride=16)
    for form in (
        as_dataset(data),
        data.assign_coords(band=list(BANDS)).transpose("y", "x", "band"),
        data.assign_coords(common_name=("band", ["red", "green", "blue", "nir"])).isel(band=[3, 2, 0, 1]),
        as_dataset(data).rename(x="longitude", y="latitude").rename(longitude="easting", latitude="northing"),
        data.expand_dims(version=1),
    ):
        equal(landmap.predict(form, classifier=sensitive, **CUT).compute(), expected)


def test_rows_from_the_south_stay_where_they_are(scene: Path, sensitive: Classifier) -> None:
    data = opened(scene).isel(y=slice(None, None, -1))
    found = landmap.predict(data, classifier=sensitive, **CUT)
    np.testing.assert_array_equal(found.y, data.y)
    equal(found.isel(y=slice(None, None, -1)).compute(), rasters(scene, classifier=sensitive, stride=16))


@pytest.mark.parametrize("how", [{"masked": True}, {"mask_and_scale": True}], ids=["masked", "scaled"])
def test_decoded_values_are_those_of_the_file(scene: Path, sensitive: Classifier, how: dict[str, bool]) -> None:
    with rasterio.open(scene, "r+") as file:
        file.scales, file.offsets = (0.0001,) * 4, (-0.01,) * 4
    data = opened(scene, **how)
    assert data.dtype.kind == "f"
    assert data.isnull().any()
    equal(landmap.predict(data, classifier=sensitive, **CUT).compute(), rasters(scene, classifier=sensitive, stride=16))


def test_values_that_were_computed_are_taken_as_they_are(scene: Path, sensitive: Classifier) -> None:
    """What an encoding says holds of the values of its file alone."""
    data = opened(scene, masked=True)
    other = (data / 7).assign_attrs(data.attrs)
    other.encoding = data.encoding
    found = landmap.predict(other, classifier=sensitive, scale=7e-4, **CUT)
    assert '"scale": [0.0007' in found.attrs["LANDMAP_RADIOMETRY"]
    expected = rasters(scene, classifier=sensitive, stride=16)
    assert (found.classes.values == expected["classes"]).mean() > 0.95, "but for rounding"


def test_a_classification_leaves_out_clouds_as_in_a_file(
    write_scene: Callable[..., Path], ordinary: Callable[..., np.ndarray], sensitive: Classifier
) -> None:
    scl = np.full((1, 200, 260), 4, np.uint16)
    scl[:, 30:70, 50:90] = 9
    values = np.concatenate([ordinary(200, 260), scl])
    path = write_scene(values, nodata=0, bands=("B04", "B03", "B02", "SCL"))
    expected = rasters(path, classifier=sensitive, stride=16)
    assert (expected["classes"][40:60, 60:80] == 255).all()
    found = landmap.predict(opened(path), classifier=sensitive, **CUT)
    equal(found.compute(), expected)
    assert "not counted" in found.attrs["LANDMAP_CLOUDS"]
    assert (
        not (landmap.predict(opened(path), classifier=sensitive, clouds="none", **CUT).classes == 255).any().compute()
    )


def test_each_date_is_a_map(scene: Path, sensitive: Classifier) -> None:
    one = as_dataset(opened(scene))
    times = np.array(["2023-08-13", "2023-08-18"], "datetime64[ns]")
    both = xr.concat([one, one + np.uint16(300)], "time", combine_attrs="override").assign_coords(time=times)
    both = both.assign_attrs(L1C)
    found = landmap.predict(both, classifier=sensitive, probabilities=True, **CUT)
    assert found.classes.dims == ("time", "y", "x")
    assert found.probabilities.dims == ("class", "time", "y", "x")
    for i in (0, 1):
        alone = landmap.predict(both.isel(time=i, drop=True), classifier=sensitive, probabilities=True, **CUT)
        equal(found.isel(time=i).compute(), {name: array.values for name, array in alone.data_vars.items()})


def test_the_map_says_what_it_is(scene: Path, sensitive: Classifier, tmp_path: Path) -> None:
    found = landmap.predict(opened(scene), classifier=sensitive, **CUT)
    assert found.rio.crs == "EPSG:32633"
    assert found.classes.attrs["flag_meanings"].split()[:2] == ["AnnualCrop", "Forest"]
    assert list(found.classes.attrs["flag_values"]) == list(range(10))
    assert all(array.chunks is not None and array.dtype == np.uint8 for array in found.data_vars.values())
    found.classes.rio.to_raster(tmp_path / "cover.tif")
    again = landmap.open_cover(tmp_path / "cover.tif", chunks=100)
    assert again.chunks is not None
    assert again.rio.nodata == 255
    assert again.attrs["class_names"] == found.classes.attrs["class_names"]
    np.testing.assert_array_equal(again.values, found.classes.values)


def test_it_warns_as_of_a_file(scene: Path, sensitive: Classifier) -> None:
    with pytest.warns(LandmapWarning, match="--offset 0"):
        landmap.predict(opened(scene), classifier=sensitive, **CUT)


class Counting:
    """Counts how often each block of an array is computed."""

    def __init__(self, values: np.ndarray, chunks: int) -> None:
        self.counts: Counter[Any] = Counter()
        self._lock = Lock()
        blocks = da.from_array(values, chunks=(values.shape[0], chunks, chunks))
        self.array = blocks.map_blocks(self._count, dtype=values.dtype, meta=np.empty((0, 0, 0), values.dtype))

    def _count(self, block: np.ndarray, block_info: Any = None) -> np.ndarray:
        with self._lock:
            self.counts[tuple(block_info[0]["chunk-location"])] += 1
        return block


def lazily(array: Any, band: tuple[str, ...] = BANDS[:3], metres: float = 10) -> xr.DataArray:
    """An array of bands with a place."""
    height, width = array.shape[-2:]
    coords = {
        "band": list(band),
        "y": 5_000_000 - metres * (np.arange(height) + 0.5),
        "x": 500_000 + metres * (np.arange(width) + 0.5),
    }
    return xr.DataArray(array, coords, ("band", "y", "x"), name="array", attrs=L1C).rio.write_crs("EPSG:32633")


def test_blocks_are_read_once_for_the_sample_and_once_for_the_map(
    ordinary: Callable[..., np.ndarray], sensitive: Classifier
) -> None:
    counting = Counting(ordinary(640, 640), 64)
    found = landmap.predict(lazily(counting.array), classifier=sensitive, **CUT)
    assert set(counting.counts.values()) == {1}
    assert len(counting.counts) <= 9, "a small sample"
    counting.counts.clear()
    dask.compute(found, scheduler="threads")
    assert counting.counts == {(0, i, j): 1 for i in range(10) for j in range(10)}


def test_a_whole_scene_is_a_small_graph_without_a_model() -> None:
    zeros = da.full((4, 10980, 10980), 1500, np.uint16, chunks=(1, 1024, 1024))
    data = lazily(zeros, BANDS)
    landmap.predict(data.isel(x=slice(0, 600), y=slice(0, 600)))  # imports
    start = time.process_time()
    found = landmap.predict(data, probabilities=True)
    assert time.process_time() - start < 6, "two seconds, on a machine that has nothing else to do"
    graph = dict(found.__dask_graph__())
    assert len(graph) < 3000
    inference = [task for key, task in graph.items() if str(key[0]).startswith(PREDICT)]
    assert len(inference) == found.classes.data.npartitions
    assert max(len(pickle.dumps(task)) for task in inference) < 50_000


def test_bad_input_is_refused_when_it_is_given(scene: Path, sensitive: Classifier) -> None:
    data = opened(scene)
    tiny = lazily(da.zeros((3, 12, 12), chunks=(3, 1, 1), dtype=np.uint16))
    cases: list[tuple[Any, type[Exception], str]] = [
        ("scene.tif", SceneError, "expected an xarray|Expected an xarray"),
        (data.drop_vars("spatial_ref"), GeoreferenceError, r"CRS.*write_crs"),
        (data.drop_vars(["x", "y"]), GeoreferenceError, "coordinates along"),
        (data.isel(band=[0, 1]).assign_coords(band=["B04", "B03"]).assign_attrs(long_name=""), BandError, "B02"),
        (data.assign_attrs(long_name=()), BandError, r"expected names of bands.*assign_coords"),
        (data.compute(), SceneError, r"expected Dask arrays.*data\.chunk"),
        (data.rename(x="a", y="b"), SceneError, "rows and columns"),
        (data.expand_dims(run=[1, 2]).transpose("run", ...), SceneError, r"2 along run"),
        (lazily(da.full((3, 300, 300), 900, np.uint16), metres=30), GeoreferenceError, r"30 m.*rio\.reproject"),
        (tiny, SceneError, "chunks of at least 16x16"),
        (data.isel(x=slice(0, 0)), SceneError, "expected pixels"),
        (data.astype(bool), SceneError, "expected numbers"),
        (data.isel(x=[0, 1, 2, 50, 60]), SceneError, "evenly spaced"),
    ]
    for given, error, text in cases:
        with pytest.raises(error, match=text) as caught:
            landmap.predict(given, classifier=sensitive, **CUT)
        assert "\n" not in str(caught.value)


def test_pixels_of_15_m_are_warned_of_as_in_a_file(sensitive: Classifier) -> None:
    with pytest.warns(LandmapWarning, match=r"15 x 15 m on the ground"):
        landmap.predict(lazily(da.full((3, 300, 300), 900, np.uint16), metres=15), classifier=sensitive)


@pytest.mark.parametrize(
    "how",
    [{"window": (0, 0, 9, 9)}, {"sieve": 4}, {"mask": "m.tif"}, {"warp": "auto"}, {"clouds": "s2cloudless"}, {"a": 1}],
)
def test_settings_that_xarray_has_itself_are_refused(how: dict[str, Any], scene: Path, sensitive: Classifier) -> None:
    with pytest.raises(SettingsError, match=next(iter(how))):
        landmap.predict(opened(scene), classifier=sensitive, **how)
