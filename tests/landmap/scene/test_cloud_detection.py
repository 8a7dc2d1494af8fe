"""s2cloudless leaves out what the library itself calls cloud on means of 60 m, whoever reads the scene, however cut."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import landmap
from landmap.cli import cli
from landmap.errors import BandError, SceneError, SettingsError
from landmap.run.fingerprint import fingerprint
from landmap.scene.cloud_detection import BANDS, cell_mask
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, Classifier
from landmap_models.legend import NODATA

ALL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""In the order of EuroSAT's chips."""
SIZE = 192
TAGS = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}
UInt16 = npt.NDArray[np.uint16]
LAND = (1300, 1050, 950, 800, 1200, 2200, 2600, 2500, 800, 12, 1800, 1000, 2800)
CLOUD = (5200, 5200, 5100, 5200, 5300, 5500, 5600, 5700, 2500, 250, 3800, 2800, 5700)
"""Digital numbers of each of them."""


def library() -> Any:
    return pytest.importorskip("s2cloudless").S2PixelCloudDetector(threshold=0.4, average_over=4, dilation_size=2)


def invented() -> UInt16:
    """Land with a cloud in it, `(13, height, width)`; the lower rows were not seen."""
    rng = np.random.default_rng(0)
    cloud = np.zeros((SIZE, SIZE), bool)
    cloud[40:100, 60:130] = True
    spectra = [np.where(cloud, bright, dark) for bright, dark in zip(CLOUD, LAND, strict=True)]
    found = (np.stack(spectra) * rng.normal(1, 0.03, (SIZE, SIZE))).astype(np.uint16)
    found[:, 170:] = 0
    return found


def expected(values: UInt16) -> npt.NDArray[np.bool_]:
    """What the library leaves in, of the whole scene at once."""
    order = [ALL_BANDS.index(name) for name in BANDS]
    height, width = (length // 6 for length in values.shape[1:])
    seen = (values != 0).any(axis=0)
    sums = (values[order] * seen).reshape(10, height, 6, width, 6).sum(axis=(2, 4), dtype=np.float64)
    count = seen.reshape(height, 6, width, 6).sum(axis=(1, 3))
    means = (sums / np.maximum(count, 1) / 10_000).transpose(1, 2, 0)
    detector = library()
    found = detector.get_cloud_probability_maps(means[None].astype(np.float32))
    cells = detector.get_mask_from_prob(np.where(count > 0, found, 0).astype(np.float32))[0] > 0
    return seen & ~cells.repeat(6, axis=0).repeat(6, axis=1)


@pytest.fixture
def scene(write_scene: Callable[..., Path]) -> Path:
    return write_scene(invented(), bands=ALL_BANDS, tags=TAGS)


def left_in(plan: landmap.inference.plan.Plan) -> npt.NDArray[np.bool_]:
    return plan.scene.read(Window(0, 0, *plan.scene.geobox.shape)).mapped


def test_what_the_library_calls_cloud_is_left_out(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = expected(invented())
    plan = landmap.plan(scene, card=FAKE_CARD, clouds="s2cloudless")
    np.testing.assert_array_equal(left_in(plan), wanted)
    assert not wanted[40:100, 60:130].any()
    assert wanted[:170].mean() > 0.7
    clouds = plan.scene.clouds
    assert clouds.used
    assert clouds.text.startswith("s2cloudless 1.")
    assert "shadow and snow are not known to it" in clouds.text
    monkeypatch.setattr("landmap.scene.cloud_detection.TOGETHER", 5)
    again = landmap.plan(scene, card=FAKE_CARD, clouds="s2cloudless")
    assert again.scene.masks == plan.scene.masks, "the same however it is read"


def test_a_run_is_the_same_in_chunks_and_says_how_much_was_cloud(
    scene: Path, tmp_path: Path, sensitive: Classifier
) -> None:
    wanted, files = expected(invented()), []
    for chunk in (32, 64, 192):
        files.append(tmp_path / f"{chunk}.tif")
        how: dict[str, Any] = {"chunk": chunk, "stride": 16, "classifier": sensitive, "clouds": "s2cloudless"}
        result = landmap.classify(scene, files[-1], **how)
        seen = 170 * SIZE
        assert result.left_out == {"no data": SIZE * SIZE - seen, "cloud": seen - wanted.sum()}
    with rasterio.open(files[0]) as file:
        np.testing.assert_array_equal(file.read(1) != NODATA, wanted)
        assert json.loads(file.tags()["LANDMAP_LEFT_OUT"]) == dict(result.left_out)
    assert len({file.read_bytes() for file in files}) == 1


def test_what_it_came_to_is_part_of_the_fingerprint_and_can_be_sent(scene: Path) -> None:
    library()
    plan = landmap.plan(scene, card=FAKE_CARD, clouds="s2cloudless")
    assert len(pickle.dumps(plan.scene)) < 10_000
    np.testing.assert_array_equal(left_in(pickle.loads(pickle.dumps(plan))), left_in(plan))
    (mask,) = plan.scene.masks
    told = json.dumps(fingerprint(plan, "float32", "cpu", keep_probabilities=False))
    assert mask.digest in told  # type: ignore[attr-defined]
    assert len(told) < 20_000


def test_a_part_and_other_masks(scene: Path, write_band: Callable[..., Path], tmp_path: Path) -> None:
    part = invented()[:, 12:162, 30:180]
    plan = landmap.plan(scene, card=FAKE_CARD, clouds="s2cloudless", window=(30, 12, 150, 150))
    np.testing.assert_array_equal(left_in(plan), expected(part))
    mask = np.ones((SIZE, SIZE), np.uint8)
    mask[:30] = 0
    both = landmap.plan(scene, card=FAKE_CARD, clouds="s2cloudless", mask=write_band(tmp_path / "m.tif", mask))
    np.testing.assert_array_equal(left_in(both), expected(invented()) & (mask > 0))


@given(seed=st.integers(0, 10**6), side=st.integers(1, 9))
def test_cells_are_looked_up_for_any_window(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.random(tuple(rng.integers(1, 12, 2))) < 0.5
    fine = cells.repeat(side, axis=0).repeat(side, axis=1)
    top, left = (int(rng.integers(0, length)) for length in fine.shape)
    height, width = int(rng.integers(1, fine.shape[0] - top + 1)), int(rng.integers(1, fine.shape[1] - left + 1))
    mask, window = cell_mask(cells, side, ""), Window(top, left, height, width)
    np.testing.assert_array_equal(mask.reason_numbers(window) == 1, fine[top : top + height, left : left + width])


# --- refused


def test_what_it_can_not_be_asked_of_is_refused_with_what_helps(
    scene: Path, write_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    three = write_scene(invented()[[3, 2, 1]], "three.tif", tags=TAGS)
    with pytest.raises(BandError, match=r"B01.* --clouds s2cloudless looks at B01, B02, .*: --clouds auto"):
        landmap.plan(three, card=FAKE_CARD, clouds="s2cloudless")
    assert left_in(landmap.plan(three, card=FAKE_CARD, clouds="auto")).any()
    corrected = write_scene(invented(), "corrected.tif", bands=ALL_BANDS, tags={"PROCESSING_LEVEL": "Level-2A"})
    with pytest.raises(SceneError, match=r"expected an L1C scene for --clouds s2cloudless.* Received: L2A .*auto"):
        landmap.plan(corrected, card=FAKE_CARD, clouds="s2cloudless")
    monkeypatch.setattr("landmap.scene.cloud_detection.find_spec", lambda name: None)
    done = CliRunner().invoke(cli, ["plan", str(scene), "--clouds", "s2cloudless"])
    assert isinstance(done.exception, SettingsError)
    assert "pip install 'landmap[s2cloudless]'" in str(done.exception)


# --- real pixels


@pytest.mark.real
def test_real_land_is_left_in_and_a_cloud_painted_on_it_is_not(shared: Path, tmp_path: Path) -> None:
    """Nine of EuroSAT's chips side by side, of classes that are not bright; a cloud over one of them."""
    with zipfile.ZipFile(shared / "eurosat/eurosat-ms-sample.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".tif") and ("Forest" in n or "Pasture" in n))[:9]
        chips = []
        for name in names:
            with rasterio.open(io.BytesIO(archive.read(name))) as file:
                chips.append(file.read())
    values = np.concatenate([np.concatenate(chips[i : i + 3], axis=2) for i in (0, 3, 6)], axis=1)
    values[:, 66:126, 66:126] = np.array(CLOUD, np.uint16)[:, None, None]
    path = tmp_path / "mosaic.tif"
    shape: dict[str, Any] = {"count": 13, "height": SIZE, "width": SIZE, "dtype": "uint16", "crs": 32632}
    with rasterio.open(path, "w", transform=Affine(10, 0, 500_000, 0, -10, 5_000_000), **shape) as file:
        file.write(values)
        file.descriptions = ALL_BANDS
        file.update_tags(**TAGS)
    plan = landmap.plan(path, card=FAKE_CARD, clouds="s2cloudless")
    found = left_in(plan)
    np.testing.assert_array_equal(found, expected(values))
    cloud = np.zeros((SIZE, SIZE), bool)
    cloud[66:126, 66:126] = True
    assert not found[cloud].any()
    far = ~cloud
    far[30:162, 30:162] = False  # it is averaged over and widened by six cells
    assert found[far].mean() > 0.99
