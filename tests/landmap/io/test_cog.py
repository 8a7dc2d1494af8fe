"""The files landmap writes, reopened with rasterio and xarray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_AppDefinedError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from rio_cogeo import cog_validate

import landmap
from landmap.errors import OutputError, SceneError
from landmap.io.cog import Layers, RasterWriter
from landmap.io.publish import Staged, publish
from landmap.products.files import check_outputs
from landmap.tiling import Window
from landmap_models.inference.classifier import ConstantClassifier
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
    given = json.loads(tags["LANDMAP_SETTINGS"])
    assert given["stride"] is None
    assert given["level"] == "auto"
    assert not {"chunk", "threads", "batch_size"} & set(given), "they change no pixel, and must change no byte"
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
    with RasterWriter(tmp_path / "out.tif", scene.geobox, Layers(("class",), legend=EUROSAT)) as writer:
        writer.write(Window(0, 0, 80, 90), np.zeros((80, 90), np.uint8))
        writer.finish()
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_gone_is_an_output_error(
    write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    scene = landmap.open_scene(write_scene(ordinary(80, 90)), card=ConstantClassifier().card)
    with pytest.raises(OutputError, match="can't be written"):
        RasterWriter(tmp_path / "gone" / "out.tif", scene.geobox, Layers(("class",)))


@pytest.fixture
def writer(write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path) -> RasterWriter:
    scene = landmap.open_scene(write_scene(ordinary(80, 90)), card=ConstantClassifier().card)
    return RasterWriter(tmp_path / "out.tif", scene.geobox, Layers(("class",), legend=EUROSAT))


def test_two_writers_of_one_name_do_not_meet(writer: RasterWriter, tmp_path: Path) -> None:
    scene = landmap.open_scene(tmp_path / "scene.tif", card=ConstantClassifier().card)
    with writer, RasterWriter(writer.path, scene.geobox, Layers(("class",))) as other:
        one, two = writer.finish(), other.finish()
        assert one.file != two.file
        assert one.file.exists()
        assert two.file.exists()


def test_a_full_disk_is_named(writer: RasterWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        cause = OSError("No space left on device")
        raise RasterioIOError("Write failed. See previous exception for details.") from cause

    monkeypatch.setattr(rasterio.shutil, "copy", full)
    with writer, pytest.raises(OutputError, match="can't be written: No space left on device"):
        writer.finish()


@pytest.mark.parametrize(
    "error",
    [
        RasterioIOError("TIFFAppendToStrip:Write error at scanline 0"),
        CPLE_AppDefinedError(3, 1, "TIFFAppendToStrip:Write error at scanline 0"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_is_named_where_gdal_does_not(
    error: Exception, writer: RasterWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise error

    usage = shutil.disk_usage(writer.path.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    monkeypatch.setattr(rasterio.shutil, "copy", full)
    with writer, pytest.raises(OutputError, match=r"No space left on device \(TIFFAppendToStrip"):
        writer.finish()


def test_a_late_write_fails_cleanly(writer: RasterWriter, tmp_path: Path) -> None:
    with writer:
        pass
    with pytest.raises(OutputError, match="the run has ended"):
        writer.write(Window(0, 0, 80, 90), np.zeros((80, 90), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["scene.tif"]


def test_closing_waits_for_a_write(writer: RasterWriter) -> None:
    """Dask's threads write on for a while after an interrupt."""
    closing = threading.Thread(target=writer.__exit__, args=(None, None, None))
    with writer._lock:
        closing.start()
        closing.join(0.1)
        assert not writer._file.closed
    closing.join()
    assert writer._file.closed


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Staged]:
    """A function that stages a file with a sidecar for `tmp_path / name`."""
    folder = tmp_path / "work"

    def make(name: str, *, aux: bool = True) -> Staged:
        place = folder / name
        place.mkdir(parents=True)
        (place / "new").write_text("new")
        (place / "aux").write_text("new aux")
        (place / "style").write_text("new style")
        return Staged(tmp_path / name, place / "new", *((place / "aux", place / "style") if aux else ()))

    return make


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}


def no_links(*args: object, **options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", ["b.tif", "b.tif.aux.xml", "b.tif.msk", "b.tif.ovr", "b.qml"])
def test_a_file_that_appears_meanwhile_is_kept(
    there: str, links: bool, stage: Callable[..., Staged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    staged = [stage("a.tif"), stage("b.tif")]
    (tmp_path / there).write_text("precious")
    with pytest.raises(OutputError, match=rf"{there}: exists already"):
        publish(staged, overwrite=False)
    assert contents(tmp_path) == {there: "precious"}


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_at_the_last_moment_is_kept(
    links: bool, stage: Callable[..., Staged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(file: Path, target: Path) -> None:
        target.write_text("precious")
        (link if links else no_links)(file, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(OutputError, match="exists already"):
        publish([stage("a.tif")], overwrite=False)
    assert contents(tmp_path) == {"a.tif": "precious"}


@pytest.mark.parametrize("links", [True, False])
def test_files_are_published_without_hard_links_too(
    links: bool, stage: Callable[..., Staged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "b.tif").write_text("old")
    publish([stage("a.tif")], overwrite=False)
    publish([stage("b.tif", aux=False)], overwrite=True)
    new = {"a.tif": "new", "a.tif.aux.xml": "new aux", "a.qml": "new style", "b.tif": "new"}
    assert contents(tmp_path) == new


def test_overwriting_removes_stale_sidecars(stage: Callable[..., Staged], tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        for ending in ("", ".aux.xml", ".msk", ".ovr"):
            (tmp_path / (name + ending)).write_text("old")
        (tmp_path / name).with_suffix(".qml").write_text("old")
    publish([stage("a.tif"), stage("b.tif", aux=False)], overwrite=True)
    new = {"a.tif": "new", "a.tif.aux.xml": "new aux", "a.qml": "new style", "b.tif": "new"}
    assert contents(tmp_path) == new


def test_all_or_none_is_published(stage: Callable[..., Staged], tmp_path: Path) -> None:
    """The last target became a folder meanwhile."""
    before = {"b.tif": "old", "b.tif.aux.xml": "old", "b.tif.msk": "old", "b.qml": "old"}
    for name in before:
        (tmp_path / name).write_text("old")
    (tmp_path / "c.tif").mkdir()
    with pytest.raises(OutputError, match=r"c\.tif: can't be written: Is a directory"):
        publish([stage("a.tif"), stage("b.tif"), stage("c.tif")], overwrite=True)
    assert contents(tmp_path) == before
    assert (tmp_path / "c.tif").is_dir()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_until_all_is_published(
    stage: Callable[..., Staged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def interrupted(file: Path, target: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        link(file, target)

    monkeypatch.setattr(os, "link", interrupted)
    staged = [stage("a.tif"), stage("b.tif")]
    with pytest.raises(KeyboardInterrupt):
        publish(staged, overwrite=False)
    assert len(contents(tmp_path)) == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_publishing_works_outside_the_main_thread(stage: Callable[..., Staged], tmp_path: Path) -> None:
    thread = threading.Thread(target=publish, args=([stage("a.tif")],), kwargs={"overwrite": False})
    thread.start()
    thread.join()
    assert len(contents(tmp_path)) == 3


@pytest.mark.parametrize(
    ("scene", "output"),
    [
        ("file://{}/scene.tif", "scene.tif"),
        ("{}/../{name}/scene.tif", "scene.tif"),
        ("GTIFF_DIR:1:{}/scene.tif", "scene.tif"),
        ("/vsizip/{}/scene.zip/scene.tif", "scene.zip"),
        ("zip://{}/scene.zip!scene.tif", "scene.zip"),
        ("/vsisubfile/0_99999,{}/scene.tif", "scene.tif"),
        ("{}/one.vrt", "scene.tif"),
        ("{}/two.vrt", "scene.tif"),
        ("{}/two.vrt", "one.vrt"),
        ("{}/link.tif", "scene.tif"),
        ("{}/scene.tif", "link.tif"),
        ("{}/scene.tif", "scene"),
    ],
)
def test_the_scene_is_recognised_by_any_name(
    scene: str, output: str, write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    path = write_scene(ordinary(80, 90))
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.write(path, "scene.tif")
    rasterio.shutil.copy(path, tmp_path / "one.vrt", driver="VRT")
    two = (tmp_path / "one.vrt").read_text().replace("scene.tif", "one.vrt")
    (tmp_path / "two.vrt").write_text(two)
    (tmp_path / "link.tif").symlink_to(path)
    (tmp_path / "scene.msk").hardlink_to(path)  # would be removed as the sidecar of an output named "scene"
    with pytest.raises(OutputError, match="is the scene itself, or a file that it is read from"):
        check_outputs([tmp_path / output], scene.format(tmp_path, name=tmp_path.name), overwrite=True)


def test_other_files_may_be_replaced(
    write_scene: Callable[..., Path], ordinary: Callable[..., object], tmp_path: Path
) -> None:
    scene = write_scene(ordinary(80, 90))
    (tmp_path / "old.tif").write_text("old")
    check_outputs([tmp_path / "old.tif"], str(scene), overwrite=True)
    check_outputs([tmp_path / "old.tif"], str(tmp_path / "missing.tif"), overwrite=True)


@pytest.mark.parametrize("ending", [".aux.xml", ".msk", ".ovr"])
def test_sidecars_count_as_outputs(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"new.tif{ending}").write_text("precious")
    with pytest.raises(OutputError, match=rf"new\.tif\{ending}: exists already"):
        check_outputs([tmp_path / "new.tif"], "scene.tif", overwrite=False)
    with pytest.raises(OutputError, match="a file for each output"):
        check_outputs([tmp_path / "a.tif", tmp_path / f"a.tif{ending}"], "scene.tif", overwrite=True)
