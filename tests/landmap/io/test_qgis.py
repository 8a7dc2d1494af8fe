"""The styles that QGIS reads beside a raster; whether it does is tested in integration/test_qgis.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import landmap
from landmap.errors import OutputError
from landmap.io.qgis import class_style, percent_style, style_path
from landmap.products.files import check_outputs
from landmap_models.inference.classifier import ConstantClassifier
from landmap_models.legend import EUROSAT, LandClass, Legend

ODD = Legend((LandClass(0, 'Wald & "Wiese" <1 ha', "#012345"), LandClass(1, "Gewässer", "#FEDCBA")))


@pytest.mark.parametrize("legend", [EUROSAT, ODD])
def test_a_style_says_what_the_legend_says(legend: Legend) -> None:
    renderer = ElementTree.fromstring(class_style(legend)).find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.attrib["type"] == "paletted"
    entries = [entry.attrib for entry in renderer.iterfind("colorPalette/paletteEntry")]
    assert [(int(e["value"]), e["label"], e["color"]) for e in entries] == [(c.id, c.name, c.color) for c in legend]
    assert {e["alpha"] for e in entries} == {"255"}


def test_percent_run_from_0_to_100() -> None:
    shader = ElementTree.fromstring(percent_style()).find("pipe/rasterrenderer/rastershader/colorrampshader")
    assert shader is not None
    values = [float(item.attrib["value"]) for item in shader]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0, 100)


@pytest.mark.parametrize(
    ("raster", "style"), [("cover.tif", "cover.qml"), ("map.2024.tif", "map.2024.qml"), ("cover", "cover.qml")]
)
def test_the_style_has_the_name_that_qgis_looks_for(raster: str, style: str) -> None:
    assert style_path(Path("folder", raster)) == Path("folder", style)


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    return write_scene(ordinary(70, 80), tags={"PROCESSING_LEVEL": "Level-1C"})


def test_covers_and_confidence_come_with_a_style(scene: Path, tmp_path: Path) -> None:
    rasters = {name: tmp_path / f"{name}.tif" for name in ("confidence", "probabilities")}
    (tmp_path / "probabilities.qml").write_text("of an older raster")
    landmap.classify(scene, tmp_path / "cover.tif", **rasters, overwrite=True, classifier=ConstantClassifier())
    assert (tmp_path / "cover.qml").read_bytes() == class_style(EUROSAT)
    assert (tmp_path / "confidence.qml").read_bytes() == percent_style()
    assert not (tmp_path / "probabilities.qml").exists()


def test_a_style_that_is_there_is_not_replaced_unasked(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "cover.qml").write_text("hours of work")
    with pytest.raises(OutputError, match=r"cover\.qml: exists already"):
        landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier())
    assert (tmp_path / "cover.qml").read_text() == "hours of work"
    landmap.classify(scene, tmp_path / "cover.tif", classifier=ConstantClassifier(), overwrite=True)
    assert (tmp_path / "cover.qml").read_bytes() == class_style(EUROSAT)


def test_two_rasters_can_not_have_one_style(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a file for each output"):
        check_outputs([tmp_path / "map.tif", tmp_path / "map.tiff"], "scene.tif", overwrite=True)
    check_outputs([tmp_path / "map.tif", tmp_path / "map.png", tmp_path / "map.html"], "scene.tif", overwrite=True)
