"""STAC items, loaded lazily by odc-stac, become Zarr and a cloud-optimised GeoTIFF in the processes of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import xarray as xr
from distributed import Client, LocalCluster, Lock
from odc.geo.cog import write_cog
from pystac.extensions.projection import ProjectionExtension
from rio_cogeo.cogeo import cog_validate

import landmap
from landmap.lazy.graph import PREDICT

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning"),  # odc-geo's
]

BANDS = ("B04", "B03", "B02", "B08")
CHUNK = {"chunks": 200, "detail": "chip", "level": "L1C", "offset": 0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def item(write_band: Callable[..., Path], ordinary: Callable[..., np.ndarray], tmp_path: Path) -> pystac.Item:
    """An item of 500x640 px with an asset for each band."""
    values = np.concatenate([ordinary(500, 640), 3 * ordinary(500, 640, seed=1)[:1]])
    values = (values * np.linspace(0.4, 2.5, 640)).astype(np.uint16)
    values[:, :60, :90] = 0
    found = pystac.Item("scene", None, None, datetime(2023, 8, 13, tzinfo=UTC), {})
    for name, band in zip(BANDS, values, strict=True):
        path = write_band(tmp_path / f"{name}.tif", band, nodata=0, tiled=True, blockxsize=128, blockysize=128)
        asset = pystac.Asset(str(path), media_type=pystac.MediaType.COG, roles=["data"])
        found.add_asset(name, asset)
        with rasterio.open(path) as file:
            place = ProjectionExtension.ext(asset, add_if_missing=True)
            place.epsg, place.shape, place.transform = 32633, list(file.shape), list(file.transform)[:6]
            west, south, east, north = rasterio.warp.transform_bounds(file.crs, 4326, *file.bounds)
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    found.bbox, found.geometry = [west, south, east, north], {"type": "Polygon", "coordinates": [corners]}
    return found


def loaded(item: pystac.Item) -> xr.Dataset:
    return odc.stac.load(pystac.ItemCollection([item]), bands=BANDS, chunks={"x": 150, "y": 170}, nodata=0)


def expected(item: pystac.Item, tmp_path: Path) -> np.ndarray:
    """What `classify` makes of the same bands in one file."""
    layers = []
    for name in BANDS:
        with rasterio.open(item.assets[name].href) as file:
            layers.append(file.read(1))
            profile = file.profile
    profile |= {"count": len(BANDS)}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as file:
        file.write(np.stack(layers))
        file.descriptions = BANDS
    how: dict[str, Any] = {"detail": "chip", "level": "L1C", "offset": 0, "precision": "float32"}
    landmap.classify(tmp_path / "scene.tif", tmp_path / "cover.tif", executor=None, **how)
    with rasterio.open(tmp_path / "cover.tif") as file:
        return file.read(1)


def test_items_to_zarr_and_geotiff(cluster: Client, item: pystac.Item, tmp_path: Path) -> None:
    found = landmap.predict(loaded(item), **CHUNK)
    with landmap.annotate_inference(retries=2):
        found.to_zarr(tmp_path / "cover.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "cover.zarr", consolidated=False, mask_and_scale=False, decode_coords="all")
    found.classes.isel(time=0).rio.to_raster(tmp_path / "written.tif", tiled=True, lock=Lock("written", cluster))
    write_cog(again.classes.isel(time=0).load(), tmp_path / "cog.tif", blocksize=256)
    written = []
    for name in ("written", "cog"):
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            written.append(file.read(1))
            assert file.nodata == 255
    wanted = expected(item, tmp_path)
    assert len(np.unique(wanted)) > 1
    np.testing.assert_array_equal(again.classes.values[0], wanted)
    np.testing.assert_array_equal(written, [wanted, wanted])
    assert again.rio.crs == "EPSG:32633"
    assert again.classes.attrs["flag_meanings"] == found.classes.attrs["flag_meanings"]
    assert cog_validate(tmp_path / "cog.tif")[0]


def test_annotations_reach_the_tasks_of_the_network_alone(cluster: Client, item: pystac.Item) -> None:
    """Whatever Dask fuses: on a scheduler without such a resource these tasks wait, and nothing else does."""
    found = landmap.predict(loaded(item), **CHUNK)
    with landmap.annotate_inference(resources={"GPU": 1}, retries=3):
        future = cluster.compute((found.classes == 1).sum())

    def waiting(dask_scheduler: Any = None) -> dict[str, tuple[dict[str, float], int]]:
        return {
            str(key): (dict(task.resource_restrictions or {}), task.retries)
            for key, task in dask_scheduler.tasks.items()
            if task.state in ("no-worker", "waiting", "queued", "processing", "memory")
        }

    def restricted() -> dict[str, tuple[dict[str, float], int]]:
        return {key: how for key, how in cluster.run_on_scheduler(waiting).items() if PREDICT in key}

    try:
        tasks, end = restricted(), time.monotonic() + 60
        while not tasks and time.monotonic() < end:  # the scheduler has the graph some time later
            time.sleep(0.1)
            tasks = restricted()
        assert set(map(str, tasks.values())) == {"({'GPU': 1}, 3)"}
        others = {key: how for key, how in cluster.run_on_scheduler(waiting).items() if PREDICT not in key}
        assert others
        assert not any(how[0] or how[1] for how in others.values())
        assert not future.done()
    finally:
        future.cancel()


def test_a_process_loads_the_model_once(cluster: Client, item: pystac.Item) -> None:
    def loads() -> tuple[int, int]:
        from landmap_models.inference.keras_classifier import load_classifier

        return os.getpid(), load_classifier.cache_info().misses

    found = landmap.predict(loaded(item), **(CHUNK | {"chunks": 100}))
    found.compute()
    misses = [count for _, count in cluster.run(loads).values()]
    assert max(misses) == 1
