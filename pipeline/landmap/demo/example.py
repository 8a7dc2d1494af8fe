"""An invented scene that resembles Sentinel-2 Level-1C, with its true classes, for the demo, documents and tests.

`landmap.demo.landscape` draws the land; here its reflectance is computed and written as a scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin

from landmap.demo.landscape import BANDS, PIXEL, SURFACES, Land, draw_land
from landmap.errors import SettingsError
from landmap.io.cog import check_raster
from landmap.io.publish import Staged, locked, publish, staging, write_errors
from landmap.products.files import check_outputs
from landmap_models.arrays import Bytes
from landmap_models.legend import EUROSAT

UInt16 = npt.NDArray[np.uint16]

TAGS = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0", "PRODUCT": "landmap example (synthetic)"}
MIN_SIZE = 64
NODATA, TRUTH_NODATA = 0, 255

_WEDGE_SLOPE = 0.1  # the orbit's edge moves west by this much per row: 5 % of a square
_HAZE = (28, 19, 12, 4)  # DN of each band per unit of haze, which scatters blue most
_SENSOR_NOISE = 6  # DN, as in EuroSAT's open water
_SENSOR_BLUR = 0.5  # standard deviation of the point spread, in pixels


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """The two GeoTIFFs that `write_example` writes, with the same geobox."""

    scene: Path
    """The scene: uint16 DN of `BANDS`, nodata 0."""
    truth: Path
    """The true classes: uint8 ids of EuroSAT's legend, nodata 255."""


def write_example(path: str | Path, size: int = 2000, seed: int = 0, *, overwrite: bool = False) -> ExampleFiles:
    """Write a drawn scene and, beside it as `<stem>_truth.tif`, its true classes.

    Objects have fixed sizes in metres, so a larger scene shows more land. The same size and seed give the same bytes on
    the same machine; another processor may round a pixel differently.

    Args:
        path: The GeoTIFF to write the scene to.
        size: Height and width in pixels of 10 m, at least 64. From 600 on, all ten classes occur.
        seed: Seed of the random numbers; each draws another land.
        overwrite: Whether files that exist are replaced.

    Raises:
        SettingsError: The size is below 64.
        OutputError: A file exists already or can't be written; nothing is left half-written.
    """
    if size < MIN_SIZE:
        raise SettingsError(f"Expected a size of at least {MIN_SIZE} pixels. Received: {size}")
    scene = Path(path)
    files = ExampleFiles(scene, scene.with_name(f"{scene.stem}_truth.tif"))
    check_raster(scene)
    check_outputs([files.scene, files.truth], overwrite=overwrite)
    with locked([files.scene, files.truth]), staging(scene) as folder, write_errors(scene):
        staged = _write_both(files, folder, size, np.random.default_rng(seed))
        publish(staged, overwrite=overwrite)
    return files


def _write_both(files: ExampleFiles, folder: Path, size: int, rng: np.random.Generator) -> list[Staged]:
    """Write both rasters into a temporary folder."""
    scene, truth = folder / "scene.tif", folder / "truth.tif"
    row, col = np.ogrid[:size, :size]
    seen = col + 0.5 < size - _WEDGE_SLOPE * (row + 0.5)
    land = draw_land(size, rng)
    _write(truth, np.where(seen, land.truth, np.uint8(TRUTH_NODATA))[None], TRUTH_NODATA, ("class",))
    _write(scene, np.where(seen, _expose(land), np.uint16(NODATA)), NODATA, BANDS)
    return [Staged(files.truth, truth), Staged(files.scene, scene)]


def _write(path: Path, values: Bytes | UInt16, nodata: int, names: tuple[str, ...]) -> None:
    """Write (bands, height, width); 8 bits are classes, with their colours and names."""
    count, height, width = values.shape
    place = {"crs": "EPSG:32633", "transform": from_origin(399960, 5400000, PIXEL, PIXEL), "nodata": nodata}
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    with rasterio.open(path, "w", driver="GTiff", **place, **shape, **layout) as file:
        if values.dtype == np.uint8:
            file.write_colormap(1, {c.id: (*c.rgb, 255) for c in EUROSAT})
            file.update_tags(1, **{f"CLASS_{c.id}": c.name for c in EUROSAT})
        file.update_tags(**TAGS)
        file.descriptions = names
        file.write(values)


def _expose(land: Land) -> UInt16:
    """Compute DN `(bands, height, width)` of a land, with texture, light, blur, haze and noise."""
    from scipy.ndimage import gaussian_filter

    table = np.array([(*s.mean, *s.spread, s.coarse, s.fine) for s in SURFACES.values()], np.float32).T
    mean, spread, coarse, fine = table[:4], table[4:8], table[8], table[9]
    tone = land.tone + 0.7 * (land.noise(180) + land.noise(50)) * coarse[land.surface]
    tone += land.rng.standard_normal(tone.shape, np.float32) * fine[land.surface]
    light, haze = 1 + 0.02 * land.noise(3000), land.noise(5000)
    dn = np.empty((len(BANDS), *tone.shape), np.uint16)
    for i, scatter in enumerate(_HAZE):
        ground = gaussian_filter((mean[i][land.surface] + spread[i][land.surface] * tone) * light, _SENSOR_BLUR)
        ground += scatter * haze + _SENSOR_NOISE * land.rng.standard_normal(tone.shape, np.float32)
        dn[i] = ground.clip(1, 15000).round()
    return dn
