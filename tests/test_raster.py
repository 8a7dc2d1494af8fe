"""The files landmap writes, reopened with rasterio and xarray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

import landmap
from landmap.errors import OutputError, SceneError
from landmap.grid import Window
from landmap.raster import Layers, RasterWriter
from landmap_models.classifier import ConstantClassifier
from landmap_models.legend import EUROSAT


@pytest.fixture
def made(write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path) -> Path:
    """A folder with a scene of 1100x1300 px and all its outputs."""
    scene = write_scene(ordinary(1100, 1300), nodata=0, tags={"PROCESSING_LEVEL": "Level-1C"})
    landmap.classify(
        scene,
        tmp_path / "cover.tif",
        confidence=tmp_path / "confidence.tif",
        probabilities=tmp_path / "probabilities.tif",
        classifier=ConstantClassifier(4),
    )
    return tmp_path


@pytest.mark.parametrize("name", ["cover.tif", "confidence.tif", "probabilities.tif"])
def test_outputs_are_strict_cloud_optimised_geotiffs(made: Path, name: str) -> None:
    valid, errors, warnings = cog_validate(made / name, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(made / name) as file:
        assert set(file.dtypes) == {"uint8"}
        assert set(file.nodatavals) == {255}
        assert file.overviews(1) == [2, 4]
        assert file.compression.value == "DEFLATE"


@pytest.mark.parametrize("shape", [(600, 512), (512, 512), (513, 511), (1030, 512), (5, 7)])
def test_awkward_widths_are_valid_too(
    shape: tuple[int, int], write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    landmap.classify(write_scene(ordinary(*shape)), tmp_path / "cover.tif", classifier=ConstantClassifier())
    assert cog_validate(tmp_path / "cover.tif", strict=True)[0]


def test_the_cover_has_palette_names_and_table(made: Path) -> None:
    with rasterio.open(made / "cover.tif") as file:
        assert file.colorinterp == (ColorInterp.palette,)
        colors = file.colormap(1)
        for c in EUROSAT:
            assert colors[c.id] == (*c.rgb, 255)
        assert colors[255][3] == 0
        assert file.descriptions == ("class",)
    band = ElementTree.parse(made / "cover.tif.aux.xml").find("PAMRasterBand")
    assert band is not None
    assert [c.text for c in band.findall("CategoryNames/Category")] == list(EUROSAT.names)
    rows = band.findall("GDALRasterAttributeTable/Row")
    assert [[f.text for f in row][:2] for row in rows] == [[str(c.id), c.name] for c in EUROSAT]


def test_gdal_reads_the_sidecar(made: Path) -> None:
    """The names come back through GDAL itself: a VRT of the cover carries them."""
    import rasterio.shutil

    rasterio.shutil.copy(made / "cover.tif", made / "cover.vrt", driver="VRT")
    text = (made / "cover.vrt").read_text()
    assert "<Category>SeaLake</Category>" in text
    assert "GDALRasterAttributeTable" in text


def test_tags_say_how_the_cover_was_made(made: Path) -> None:
    with rasterio.open(made / "cover.tif") as file:
        tags = file.tags()
    assert tags["LANDMAP_SCENE"] == "scene.tif"
    assert tags["LANDMAP_STRIDE"] == "8"
    assert json.loads(tags["LANDMAP_BANDS"]) == {"B04": 1, "B03": 2, "B02": 3}
    radiometry = json.loads(tags["LANDMAP_RADIOMETRY"])
    assert radiometry["level"] == "L1C"
    assert radiometry["scale"] == [1e-4] * 3
    assert radiometry["assumed"] == ["offset"]
    assert tags["LANDMAP_MODEL"] == "constant 1"
    assert str(made) not in json.dumps(tags), "no folder of this machine in a file that travels"


def test_probabilities_have_a_band_for_each_class(made: Path) -> None:
    with rasterio.open(made / "probabilities.tif") as file:
        assert file.descriptions == EUROSAT.names
        assert (file.read(5) == 100).all()
        assert (file.read(1) == 0).all()
    with rasterio.open(made / "confidence.tif") as file:
        assert (file.read(1) == 100).all()


def test_open_cover_gives_a_georeferenced_array(made: Path) -> None:
    cover = landmap.open_cover(made / "cover.tif")
    assert cover.dims == ("y", "x")
    assert cover.dtype == np.uint8
    assert cover.rio.crs.to_epsg() == 32633
    assert cover.rio.nodata == 255
    assert cover.attrs["class_names"] == EUROSAT.names
    assert cover.attrs["flag_values"] == tuple(range(10))
    assert (cover == 4).all()


def test_open_cover_refuses_other_rasters(made: Path) -> None:
    with pytest.raises(SceneError, match="expected a cover written by landmap"):
        landmap.open_cover(made / "confidence.tif")
    with pytest.raises(SceneError, match="can't be read"):
        landmap.open_cover(made / "missing.tif")


def test_a_writer_that_is_not_published_leaves_nothing(
    write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    scene = landmap.open_scene(write_scene(ordinary(80, 90)), card=ConstantClassifier().card)
    before = sorted(tmp_path.iterdir())
    with RasterWriter(tmp_path / "out.tif", scene, Layers(("class",), legend=EUROSAT)) as writer:
        writer.write(Window(0, 0, 80, 90), np.zeros((80, 90), np.uint8))
        writer.finish()
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_gone_is_an_output_error(
    write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    scene = landmap.open_scene(write_scene(ordinary(80, 90)), card=ConstantClassifier().card)
    with pytest.raises(OutputError, match="can't be written"):
        RasterWriter(tmp_path / "gone" / "out.tif", scene, Layers(("class",)))
