"""Pixels of too little confidence: 254, with a name and a colour of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import landmap
from landmap.errors import SettingsError
from landmap.inference.plan import make_plan
from landmap.report.quicklook import write_quicklook
from landmap.run.fingerprint import difference, fingerprint
from landmap.settings import Settings
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN, UNKNOWN_ID, LandClass, Legend
from landmap_models.model_file.card import ModelCard


class Doubtful:
    """Forest or Highway, the surer the brighter the chip."""

    card: ModelCard = FAKE_CARD

    def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        out = np.zeros((len(chips), 10), np.float32)
        out[:, 1] = np.clip(chips[..., 0].mean(axis=(1, 2)) * 5, 0, 1)
        out[:, 3] = 1 - out[:, 1]
        return out


@pytest.fixture
def scene(write_scene: Callable[..., Path]) -> Path:
    """Brightness rises along the columns; a corner without data."""
    values = np.broadcast_to(np.linspace(100, 1900, 210), (3, 150, 210)).astype(np.uint16)
    values[:, :40, 100:130] = 0
    return write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "Level-1C"})


def read(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("percent", [60, 100])
def test_unknown_is_where_confidence_is_below(smooth: bool, percent: int, scene: Path, tmp_path: Path) -> None:
    how = {"stride": 8, "smooth": smooth, "classifier": Doubtful()}
    landmap.classify(scene, tmp_path / "all.tif", confidence=tmp_path / "all_c.tif", **how)
    result = landmap.classify(
        scene, tmp_path / "cover.tif", confidence=tmp_path / "c.tif", unknown_below=percent, chunk=72, **how
    )
    everything, confidence, cover = (read(tmp_path / name) for name in ("all.tif", "c.tif", "cover.tif"))
    np.testing.assert_array_equal(confidence, read(tmp_path / "all_c.tif"))
    doubtful = (confidence < percent) & (everything != NODATA)
    assert 0 < doubtful.sum() < doubtful.size
    np.testing.assert_array_equal(cover, np.where(doubtful, UNKNOWN_ID, everything))
    shares = {c.name: c for c in result.classes}
    assert shares["Unknown"].pixels == doubtful.sum()
    assert sum(c.pixels for c in result.classes) + result.nodata_pixels == cover.size
    assert sum(c.share for c in result.classes) == pytest.approx(1)


def test_unknown_has_a_name_and_a_colour(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "cover.tif"
    landmap.classify(scene, path, classifier=Doubtful(), unknown_below=60)
    with rasterio.open(path) as file:
        assert file.colormap(1)[UNKNOWN_ID] == (*UNKNOWN.rgb, 255)
        assert file.nodata == NODATA
        assert '"unknown_below": 60' in file.tags()["LANDMAP_SETTINGS"]
    band = ElementTree.parse(f"{path}.aux.xml").find("PAMRasterBand")
    assert band is not None
    names = [c.text or "" for c in band.findall("CategoryNames/Category")]
    assert names == [*EUROSAT.names, *[""] * 244, "Unknown"]
    rows = [[f.text for f in row][:2] for row in band.findall("GDALRasterAttributeTable/Row")]
    assert rows == [*([str(c.id), c.name] for c in EUROSAT), ["254", "Unknown"]]
    attributes = landmap.open_cover(path).attrs
    assert attributes["flag_values"] == (*range(10), 254)
    assert attributes["class_names"] == (*EUROSAT.names, "Unknown")
    write_quicklook(scene, path, tmp_path / "cover.png")


def test_a_cover_without_it_does_not_speak_of_it(scene: Path, tmp_path: Path) -> None:
    result = landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(2))
    assert "Unknown" not in {c.name for c in result.classes}
    assert "Unknown" not in (tmp_path / "cover.tif.aux.xml").read_text()


@pytest.mark.parametrize("setting", [{"unknown_below": 40}, {"sieve": 20}])
def test_another_setting_is_another_run(setting: dict[str, int], scene: Path) -> None:
    classifier = ConstantClassifier(2)
    before, now = (
        fingerprint(make_plan(scene, card=classifier.card, **chosen), "float32", "/CPU:0", keep_probabilities=False)
        for chosen in ({}, setting)
    )
    (name,) = setting
    assert difference(before, now) == f"with other settings ({name})"


@pytest.mark.parametrize("wrong", [{"unknown_below": 0}, {"unknown_below": 101}, {"unknown_below": 40.5}, {"sieve": 0}])
def test_what_can_not_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_model_can_not_have_unknown_as_a_class() -> None:
    with pytest.raises(ValueError, match="at most 254"):
        Legend(tuple(LandClass(i, f"class {i}", "#123456") for i in range(255)))
    with pytest.raises(ValueError, match="0 to 254"):
        LandClass(255, "none", "#000000")
