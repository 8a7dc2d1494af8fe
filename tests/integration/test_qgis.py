"""QGIS itself opens what landmap wrote, and shows colours and names without a click."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import landmap
from landmap.io.qgis import RAMP
from landmap.maps.vectorize import vectorize
from landmap_models.inference.classifier import ConstantClassifier
from landmap_models.legend import EUROSAT

pytestmark = pytest.mark.qgis

PYTHON = os.environ.get("LANDMAP_QGIS_PYTHON", "/usr/bin/python3")
"""QGIS has its modules in the system's Python (Debian: apt install python3-qgis)."""
SCRIPT = Path(__file__).with_name("qgis_looks.py")
FOREST, RIVER = EUROSAT.classes[1], EUROSAT.classes[8]


def qgis(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"QT_QPA_PLATFORM": "offscreen"}
    command = [PYTHON, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def looks() -> Callable[..., Any]:
    """A function that has QGIS open files and draw them into a picture; skipped where there is none."""
    try:
        missing = qgis("-c", "import qgis.core").returncode != 0
    except OSError:
        missing = True
    if missing:
        pytest.skip(f"{PYTHON} has no qgis.core: apt install python3-qgis, or set LANDMAP_QGIS_PYTHON")

    def look(picture: Path, *layers: Path) -> Any:
        done = qgis(SCRIPT, picture, *layers)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return look


@pytest.fixture
def mapped(write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path) -> Path:
    """A cover of 90x120 px that is forest everywhere but in its western quarter, where it has no data."""
    values = ordinary(90, 120)
    values[:, :, :30] = 0
    scene = write_scene(values, tags={"PROCESSING_LEVEL": "Level-1C"})
    landmap.classify(
        scene, tmp_path / "cover.tif", confidence=tmp_path / "confidence.tif", classifier=ConstantClassifier(FOREST.id)
    )
    return tmp_path / "cover.tif"


def test_a_cover_opens_with_colours_and_names(looks: Callable[..., Any], mapped: Path, tmp_path: Path) -> None:
    (found,) = looks(tmp_path / "map.png", mapped)
    assert found["valid"]
    assert found["renderer"] == "paletted"
    assert [tuple(c) for c in found["classes"]] == [(c.id, c.name, c.color) for c in EUROSAT]
    drawn = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert (drawn[:, 160:] == FOREST.rgb).all()
    assert (drawn[:, :140] == 255).all(), "no data is transparent"


def test_colours_are_the_styles_own(looks: Callable[..., Any], mapped: Path, tmp_path: Path) -> None:
    """Not the palette's in the raster: names come from the style alone, so it must be what QGIS reads."""
    style = mapped.with_suffix(".qml")
    style.write_text(style.read_text().replace(FOREST.color, RIVER.color).replace(FOREST.name, "Urwald"))
    (found,) = looks(tmp_path / "map.png", mapped)
    assert found["classes"][FOREST.id] == [FOREST.id, "Urwald", RIVER.color]


def test_confidence_opens_as_a_ramp(looks: Callable[..., Any], mapped: Path, tmp_path: Path) -> None:
    (found,) = looks(tmp_path / "map.png", mapped.with_name("confidence.tif"))
    assert found["renderer"] == "singlebandpseudocolor"
    assert found["classes"] == [[value, f"{value} %", color] for value, color in RAMP.items()]
    drawn = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    yellow = tuple(int(RAMP[100][i : i + 2], 16) for i in (1, 3, 5))
    assert (drawn[:, 160:] == yellow).all(), "the constant classifier is certain"


def test_polygons_open_with_the_same_colours(looks: Callable[..., Any], mapped: Path, tmp_path: Path) -> None:
    """By the style inside the GeoPackage, although the raster's own lies beside it under the same name."""
    vectorize(mapped, mapped.with_suffix(".gpkg"))
    (found,) = looks(tmp_path / "map.png", mapped.with_suffix(".gpkg"))
    assert found["renderer"] == "categorizedSymbol"
    assert [c[1:] for c in found["classes"]] == [[c.name, c.color] for c in EUROSAT]
    drawn = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert (drawn[50:400, 50:550] == FOREST.rgb).all()
