"""Single images and what a model says of them; the model is made up."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image

from landmap_models.errors import DatasetError, ModelError, ReportError
from landmap_models.evaluation import predict as module
from landmap_models.evaluation.predict import predict_chips
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import legend_for
from landmap_models.model_file.card import BandProfile, ModelCard

CARD = dataclasses.replace(FAKE_CARD, chip_size=16, legend=legend_for(("dark", "grey", "bright")))


@dataclasses.dataclass(frozen=True)
class ByRed:
    """Tells the class by the first band, 80 % sure, and keeps what it saw."""

    card: ModelCard = CARD
    seen: list[npt.NDArray[Any]] = dataclasses.field(default_factory=list)

    def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.seen.append(chips)
        return (0.1 + 0.7 * np.eye(3))[np.digitize(chips[..., 0].mean(axis=(1, 2)), (0.1, 0.2))].astype(np.float32)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ByRed:
    return use(monkeypatch, ByRed())


def use(monkeypatch: pytest.MonkeyPatch, made: ByRed) -> ByRed:
    monkeypatch.setattr(module, "load_chip_classifier", lambda *args: made)
    monkeypatch.setattr(module, "weights_sha256", lambda path: "")
    return made


def picture(path: Path, levels: tuple[int, int, int], size: int = 16) -> Path:
    Image.fromarray(np.tile(np.array(levels, np.uint8), (size, size, 1))).save(path)
    return path


def raster(path: Path, levels: tuple[int, ...], names: tuple[str, ...] = ()) -> Path:
    size = {"count": len(levels), "height": 16, "width": 16, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=Affine.scale(10, -10), **size) as file:
        file.write(np.tile(np.array(levels, np.uint16)[:, None, None], (1, 16, 16)))
        if names:
            file.descriptions = names
    return path


def test_pictures_and_rasters_are_read_alike(model: ByRed, tmp_path: Path) -> None:
    """Bands by name, whatever their order; 255 of 8 bits is 0.275, 10,000 of 16 bits is 1."""
    images = [
        picture(tmp_path / "a.png", (200, 100, 50)),
        picture(tmp_path / "b.jpg", (50, 50, 50)),
        raster(tmp_path / "c.tif", (300, 600, 1500), ("B02", "B03", "B04")),
        raster(tmp_path / "d.tif", (0, 3, 2, 2500, *(9999,) * 9)),
    ]
    found = predict_chips(images)
    assert [p.label for p in found] == ["bright", "dark", "grey", "bright"]
    assert [p.path for p in found] == images
    assert [p.probability for p in found] == pytest.approx([0.8] * 4)
    assert found[0].probabilities == {
        "dark": pytest.approx(0.1),
        "grey": pytest.approx(0.1),
        "bright": pytest.approx(0.8),
    }
    (chips,) = model.seen
    assert chips[2, 0, 0].tolist() == pytest.approx([0.15, 0.06, 0.03])
    assert chips[0, 0, 0].tolist() == pytest.approx([200 * 0.275 / 255, 100 * 0.275 / 255, 50 * 0.275 / 255])
    assert chips[3, 0, 0].tolist() == pytest.approx([0.25, 0.0002, 0.0003])
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".json"]


def test_bands_that_nothing_names_are_told(model: ByRed, tmp_path: Path) -> None:
    path = raster(tmp_path / "c.tif", (300, 600, 1500))
    with pytest.raises(DatasetError, match=r"c\.tif: nothing says which of the 3 bands is which.*--file-bands"):
        predict_chips([path])
    assert predict_chips([path], file_bands=("B02", "B03", "B04"))[0].label == "grey"
    with pytest.raises(DatasetError, match=r"c\.tif: expected the 4 bands that --file-bands names. Received: 3"):
        predict_chips([path], file_bands=("B08", "B02", "B03", "B04"))


def test_images_are_written_with_their_labels(model: ByRed, tmp_path: Path) -> None:
    images = [picture(tmp_path / "a.png", (200, 100, 50)), picture(tmp_path / "b.png", (20, 10, 5))]
    found = predict_chips(images, output=tmp_path / "out" / "pictures")
    assert [p.picture for p in found] == [tmp_path / "out" / "pictures" / name for name in ("a.png", "b.png")]
    means = []
    for prediction in found:
        assert prediction.picture
        with Image.open(prediction.picture) as drawn:
            assert min(drawn.size) > 200
            means.append(np.asarray(drawn.convert("RGB"))[drawn.height // 2, drawn.width // 2].mean())
    assert means[0] > 2 * means[1], "all are stretched alike"
    assert json.loads(json.dumps(found[0].to_dict()))["picture"] == str(found[0].picture)
    with pytest.raises(ReportError, match=r"a\.png: exists already.*--overwrite"):
        predict_chips(images, output=tmp_path / "out" / "pictures")
    predict_chips(images, output=tmp_path / "out" / "pictures", overwrite=True)


def test_two_images_of_one_name_are_refused(model: ByRed, tmp_path: Path) -> None:
    images = [picture(tmp_path / "a.png", (9, 9, 9)), picture(tmp_path / "a.jpg", (9, 9, 9))]
    assert len(predict_chips(images)) == 2
    with pytest.raises(ReportError, match=r"several images would be written as a\.png"):
        predict_chips(images, output=tmp_path / "out")


def test_several_classes_reach_thresholds_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (200, 100, 50))
    for thresholds, label, probability in (
        ((0.05, 0.5, 0.5), "dark;bright", 0.1),
        ((0.05, 0.05, 0.05), "dark;grey;bright", 0.1),
        ((0.9, 0.9, 0.9), "", 0.2),
        (None, "bright", 0.8),
    ):
        use(monkeypatch, ByRed(dataclasses.replace(CARD, task="multi-label", thresholds=thresholds)))
        (found,) = predict_chips([image], output=tmp_path / "out", overwrite=True)
        assert found.label == label
        assert found.probability == pytest.approx(probability)


def test_a_model_of_one_band_is_shown_in_grey(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, bands=(BandProfile("B08", 0, 0.1, 0.3, 0.1),))
    use(monkeypatch, ByRed(card))
    (found,) = predict_chips([raster(tmp_path / "a.tif", (2500,), ("B08",))], output=tmp_path / "out")
    assert found.label == "bright"
    assert found.picture
    assert found.picture.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.png", "can't be read"),
        ("text.jpg", "not a readable image"),
        ("large.png", r"expected a chip of 16x16 px\. Received: 32x32\. A scene is for landmap classify"),
        ("infrared.tif", "there is no band B03, B02"),
        ("chip.gif", "not a readable image"),
    ],
)
def test_an_image_that_can_not_be_read_stops_all(name: str, words: str, model: ByRed, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    picture(tmp_path / "large.png", (9, 9, 9), 32)
    Image.new("RGB", (16, 16)).save(tmp_path / "chip.gif")
    raster(tmp_path / "infrared.tif", (5, 6), ("B08", "B04"))
    good = picture(tmp_path / "good.png", (9, 9, 9))
    with pytest.raises(DatasetError, match=words):
        predict_chips([good, tmp_path / name], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_made_is_told(model: ByRed, tmp_path: Path) -> None:
    good = picture(tmp_path / "good.png", (9, 9, 9))
    with pytest.raises(ReportError, match="can't be written"):
        predict_chips([good], output=good)


def test_an_unknown_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nobody\.keras: no such file.*Packaged models"):
        predict_chips([picture(tmp_path / "a.png", (9, 9, 9))], "nobody.keras")
