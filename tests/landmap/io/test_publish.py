"""No command destroys what it reads, by whatever name, or writes one format under the name of another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from click.testing import CliRunner

import landmap
from landmap.cli import cli
from landmap.demo.example import write_example
from landmap.errors import LandmapError, OutputError
from landmap.io.cog import check_raster
from landmap.products.files import check_outputs
from landmap_models.errors import ModelError, ReportError
from landmap_models.evaluation.predict import predict_chips
from landmap_models.inference.classifier import ConstantClassifier
from landmap_models.training.state import check_output

READERS = {
    "classify": "classify scene.tif -o {} --overwrite --mask mask.tif --model model.keras",
    "confidence": "classify scene.tif -o new.tif --confidence {} --overwrite --mask mask.tif",
    "vector of classify": "classify scene.tif -o new.tif --vector {} --overwrite --aoi zones.gpkg",
    "summary of classify": "classify scene.tif -o new.tif --summary {} --zones zones.gpkg --zone-id name --overwrite",
    "quicklook": "quicklook scene.tif cover.tif -o {} --overwrite --mask mask.tif",
    "report": "report scene.tif cover.tif -o {} --overwrite --confidence confidence.tif",
    "vectorize": "vectorize cover.tif -o {} --overwrite --confidence confidence.tif",
    "summarize": "summarize cover.tif -o {} --overwrite --zones zones.gpkg --zone-id name",
    "assess": "assess cover.tif points.csv -o {} --overwrite",
    "assess --csv": "assess cover.tif points.csv --csv {} --overwrite",
    "compare-maps": "compare-maps cover.tif before.tif -o {} --overwrite",
    "compare-maps --json": "compare-maps cover.tif before.tif --json {} --overwrite",
    "compare-maps --csv": "compare-maps cover.tif before.tif --csv {} --overwrite",
    "bench --json": "bench scene.tif --json {} --overwrite",
}
"""Commands that read files and write others."""
ENDINGS = {
    "vector of classify": ".gpkg",
    "summary of classify": ".csv",
    "quicklook": ".png",
    "report": ".html",
    "vectorize": ".gpkg",
    "summarize": ".csv",
    "assess": ".json",
    "assess --csv": ".csv",
    "compare-maps --json": ".json",
    "compare-maps --csv": ".csv",
    "bench --json": ".json",
}
"""Of what each writes; the rest are GeoTIFFs."""


@pytest.fixture
def folder(
    write_scene: Callable[..., Path],
    ordinary: Callable[..., npt.NDArray[np.uint16]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A scene, its cover and confidence, and some more, in the working directory."""
    scene = write_scene(ordinary(70, 80))
    landmap.classify(
        scene, tmp_path / "cover.tif", confidence=tmp_path / "confidence.tif", classifier=ConstantClassifier(1)
    )
    for name in ("before.tif", "mask.tif"):
        shutil.copy(tmp_path / "cover.tif", tmp_path / name)
    for name in ("zones.gpkg", "points.csv", "model.keras"):
        (tmp_path / name).write_text("precious")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", READERS)
def test_no_command_destroys_what_it_reads(command: str, folder: Path) -> None:
    """Each input, by another name that has the right ending for the output: a link of either kind."""
    line, ending = READERS[command], ENDINGS.get(command, ".tif")
    inputs = [word for word in line.split() if Path(word).is_file()]
    assert len(inputs) > 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for name in inputs:
        for make in (Path.hardlink_to, Path.symlink_to):
            link = folder / f"other name{ending}"
            make(link, folder / name)
            words = [str(link) if word == "{}" else word for word in line.split()]
            found = CliRunner().invoke(cli, words)
            assert isinstance(found.exception, OutputError), (name, found.exception)
            assert "other name" in str(found.exception)
            assert "choose another output" in str(found.exception)
            link.unlink()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_quicklook_does_not_replace_the_scene_itself(folder: Path) -> None:
    before = (folder / "scene.tif").read_bytes()
    found = CliRunner().invoke(cli, ["quicklook", "scene.tif", "cover.tif", "-o", "scene.tif", "--overwrite"])
    assert isinstance(found.exception, OutputError)
    assert (folder / "scene.tif").read_bytes() == before
    done = CliRunner().invoke(cli, ["quicklook", "scene.tif", "cover.tif", "-o", "scene.png"], catch_exceptions=False)
    assert done.exit_code == 0
    assert (folder / "scene.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", [".qml", ".tif.ovr", ".tif.aux.xml", ".tfw"])
def test_what_belongs_to_an_input_is_kept(ending: str, folder: Path) -> None:
    (folder / f"scene{ending}").write_text("precious")
    (folder / "other.tif").hardlink_to(folder / f"scene{ending}")
    with pytest.raises(OutputError, match="belongs to one"):
        check_outputs([folder / "other.tif"], folder / "scene.tif", overwrite=True)
    if ending == ".qml":  # an output's own style would take its place
        with pytest.raises(OutputError, match=r"scene\.qml: .*belongs to one"):
            check_outputs([folder / "scene.tiff"], folder / "scene.tif", overwrite=True)


def test_an_example_replaces_only_when_asked_and_whole(tmp_path: Path) -> None:
    (tmp_path / "scene.tif.ovr").write_text("of an older file")
    with pytest.raises(OutputError, match=r"scene\.tif\.ovr: exists already"):
        write_example(tmp_path / "scene.tif", 64)
    write_example(tmp_path / "scene.tif", 64, overwrite=True)
    assert not (tmp_path / "scene.tif.ovr").exists()


def test_pictures_of_chips_do_not_replace_the_chips(tmp_path: Path) -> None:
    chip = tmp_path / "chip.png"
    chip.write_bytes(b"precious")
    with pytest.raises(ReportError, match=r"chip\.png: is one of the images themselves"):
        predict_chips([chip], output=tmp_path, overwrite=True)
    assert chip.read_bytes() == b"precious"


def test_a_training_does_not_replace_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("precious")
    (tmp_path / "new.history.csv").write_text("file,label")
    for output, *inputs in (("model.keras", "model.keras"), ("new.keras", "new.history.csv")):
        with pytest.raises(ModelError, match="is read by this training itself"):
            check_output(tmp_path / output, *(tmp_path / name for name in inputs), None, overwrite=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("classify scene.tif -o e.png", r"e\.png: expected the name of a GeoTIFF, such as e\.tif\. .*--quicklook"),
        ("classify scene.tif -o e.jp2", r"such as e\.tif\. .*gdal_translate"),
        ("classify scene.tif -o e.shp", r"such as e\.tif\. .*--vector"),
        ("classify scene.tif -o e.JPG", r"such as e\.tif\. Received the ending \.JPG"),
        ("classify scene.tif -o e.tif --confidence c.png", r"c\.png: .*such as c\.tif"),
        ("classify scene.tif -o e.tif --probabilities p.nc", r"p\.nc: .*such as p\.tif"),
        ("classify scene.tif -o e.tif --vector v.shp", r"v\.shp"),
        ("classify scene.tif -o e.tif --summary s.xlsx", r"s\.xlsx"),
        ("classify scene.tif -o e.tif --report r.pdf", r"r\.pdf: expected a file name that ends in \.html"),
        ("classify scene.tif -o e.tif --quicklook q.jpg", r"q\.jpg: expected a file name that ends in \.png"),
        ("compare-maps cover.tif before.tif -o e.png", r"such as e\.tif"),
        ("compare-maps cover.tif before.tif --json e.csv", r"JSON file, such as e\.json"),
        ("compare-maps cover.tif before.tif --csv e.xlsx", r"CSV file, such as e\.csv"),
        ("assess cover.tif points.csv -o e.html", r"JSON file, such as e\.json"),
        ("assess cover.tif points.csv --csv e.json", r"CSV file, such as e\.csv"),
        ("bench scene.tif --json e.txt", r"JSON file, such as e\.json"),
        ("example e.png --size 64", r"such as e\.tif"),
    ],
)
def test_a_name_of_another_format_is_refused_with_what_helps(words: str, expected: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    found = CliRunner().invoke(cli, words.split())
    assert isinstance(found.exception, LandmapError), found.exception
    with pytest.raises(type(found.exception), match=expected):
        raise found.exception
    assert sorted(folder.iterdir()) == before


def test_the_names_that_are_advised_are_accepted(folder: Path) -> None:
    for name in ("e.tif", "f.TIFF", "bare"):
        check_raster(Path(name))
        landmap.classify("scene.tif", name, classifier=ConstantClassifier(2))
        with rasterio.open(name) as file:
            assert (file.driver, file.read(1).max()) == ("GTiff", 2)


def test_a_device_is_no_output(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(OutputError, match=r"pipe\.tif: expected the name of a file\. Received a device, a pipe"):
        check_outputs([tmp_path / "pipe.tif"], overwrite=True)
    assert (tmp_path / "pipe.tif").is_fifo()
