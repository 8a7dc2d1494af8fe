"""Legends: what a raster says of its ids, what a user says, and that nothing is left out or mixed up without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.enums
import rasterio.shutil
import rasterio.vrt
from affine import Affine
from click.testing import CliRunner

import landmap
from landmap.accuracy.assess import assess
from landmap.accuracy.change import compare_maps
from landmap.cli import cli
from landmap.errors import SceneError
from landmap.io.qgis import class_style, vector_qml
from landmap.maps.cover import read_cover
from landmap.maps.legend import read_legend
from landmap_models.inference.classifier import FAKE_CARD, Classifier
from landmap_models.legend import EUROSAT, UNKNOWN, LandClass

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
WORLD_COVER = "10;Tree cover;#006400\n20;Shrubland;#ffbb22\n30;Grassland;#ffff4c\n80;Permanent water;#0064c8\n"
SHAPE = 80, 90
WriteRaster = Callable[..., Path]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """A function that writes values `(height, width)` as any program would: no tags, no palette."""

    def write(name: str, values: npt.NDArray[Any], **profile: Any) -> Path:
        place = {"crs": "EPSG:32633", "transform": UTM, "nodata": 255, "driver": "GTiff", "count": 1}
        shape = {"height": values.shape[0], "width": values.shape[1], "dtype": values.dtype.name}
        with rasterio.open(tmp_path / name, "w", **place | shape | profile) as file:
            file.write(values, 1)
        return tmp_path / name

    return write


@pytest.fixture
def mapped(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], sensitive: Classifier, tmp_path: Path
) -> tuple[Path, Path]:
    """A scene and its cover."""
    scene = write_scene(ordinary(*SHAPE))
    landmap.classify(scene, tmp_path / "cover.tif", classifier=sensitive, stride=8)
    return scene, tmp_path / "cover.tif"


def values_of(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def test_a_merged_map_asks_for_its_legend_and_every_command_takes_it(
    mapped: tuple[Path, Path], write_raster: WriteRaster, tmp_path: Path
) -> None:
    """A vote of two dates, written by the user's own program; the advice of each command is obeyed."""
    scene, cover = mapped
    merged = write_raster("merged.tif", np.where(np.indices(SHAPE)[0] < 40, values_of(cover), 3).astype(np.uint8))
    commands = (
        f"summarize {merged} -o {tmp_path}/a.csv",
        f"vectorize {merged} -o {tmp_path}/a.gpkg",
        f"assess {merged} {cover}",
        f"compare-maps {cover} {merged} --csv {tmp_path}/c.csv",
        f"quicklook {scene} {merged} -o {tmp_path}/a.png",
        f"report {scene} {merged} -o {tmp_path}/a.html",
    )
    for command in commands:
        refused = CliRunner().invoke(cli, command.split())
        assert isinstance(refused.exception, SceneError), command
        assert "--legend FILE (the cover it was made from" in str(refused.exception)
        CliRunner().invoke(cli, [*command.split(), "--legend", str(cover)], catch_exceptions=False)
    table = {row["name"]: row["pixels"] for row in landmap.summarize(merged, tmp_path / "b.csv", legend=cover)}
    assert table == {c.name: (values_of(merged) == c.id).sum() for c in EUROSAT}
    frame = geopandas.read_file(tmp_path / "a.gpkg", layer="cover")
    assert frame.hectares.sum() == pytest.approx(SHAPE[0] * SHAPE[1] * 0.01)
    assert "HerbaceousVegetation" in (tmp_path / "a.html").read_text().replace("<wbr>", "")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_mosaic_of_covers_is_read_by_what_its_sources_say(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    _, cover = mapped
    (tmp_path / "both.vrt").write_text(_vrt([cover, cover]))
    rows = landmap.summarize(tmp_path / "both.vrt", tmp_path / "a.json")
    assert {row["name"]: row["pixels"] for row in rows} == {
        c.name: 2 * (values_of(cover) == c.id).sum() for c in EUROSAT
    }
    assert read_cover(tmp_path / "both.vrt").legend == tuple(EUROSAT)


def test_a_mosaic_of_other_legends_is_refused(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    _, cover = mapped
    other = tmp_path / "other.tif"
    rasterio.shutil.copy(cover, other, driver="GTiff")
    with rasterio.open(other, "r+") as file:
        file.update_tags(LANDMAP_LEGEND=json.dumps({c.id: f"other {c.name}" for c in EUROSAT}))
    (tmp_path / "both.vrt").write_text(_vrt([cover, other]))
    with pytest.raises(SceneError, match=r"expected sources of one legend\. Those of .*cover\.tif and .*other\.tif"):
        landmap.summarize(tmp_path / "both.vrt", tmp_path / "a.json")
    assert landmap.summarize(tmp_path / "both.vrt", tmp_path / "a.json", legend=cover)


NODATA_END = "<NODATA>255</NODATA></ComplexSource>"
CHANGES = {
    "LUT": (NODATA_END, "<LUT>0:5,9:5</LUT></ComplexSource>"),
    "ScaleOffset": (NODATA_END, "<ScaleOffset>1</ScaleOffset><ScaleRatio>1</ScaleRatio></ComplexSource>"),
    "ScaleRatio": (NODATA_END, "<ScaleOffset>0</ScaleOffset><ScaleRatio>2</ScaleRatio></ComplexSource>"),
    "bilinear": ("<ComplexSource>", '<ComplexSource resampling="bilinear">'),
    "AveragedSource": ("ComplexSource", "AveragedSource"),
    "KernelFilteredSource": ("ComplexSource", "KernelFilteredSource"),
    "VRTDerivedRasterBand": (
        "band='1'>",
        "band='1' subClass='VRTDerivedRasterBand'><PixelFunctionType>inv</PixelFunctionType>",
    ),
    "mask": ("<SourceBand>1<", "<SourceBand>mask,1<"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_vrt_that_changes_ids_inherits_no_legend(change: str, mapped: tuple[Path, Path], tmp_path: Path) -> None:
    text = _vrt([mapped[1]]).replace(*CHANGES[change])
    if change == "KernelFilteredSource":
        kernel = "<Kernel><Size>3</Size><Coefs>0 0 0 0 1 0 0 0 0</Coefs></Kernel></KernelFilteredSource>"
        text = text.replace("</KernelFilteredSource>", kernel)
    with rasterio.open(mapped[1]) as file:
        tag = file.tags()["LANDMAP_LEGEND"]
    copied = f"<Metadata><MDI key='LANDMAP_LEGEND'>{tag}</MDI></Metadata><VRTRasterBand"  # as gdal_translate writes it
    for i, written in enumerate((text, text.replace("<VRTRasterBand", copied))):
        path = tmp_path / f"changed{i}.vrt"
        path.write_text(written)
        with pytest.raises(SceneError, match=rf"may not mean what they mean in its sources, as .*{change}.*--legend"):
            read_cover(path)
        assert read_cover(path, mapped[1]).legend == tuple(EUROSAT)


@pytest.mark.parametrize(("how", "inherits"), [("nearest", True), ("mode", True), ("bilinear", False)])
def test_a_warped_vrt_inherits_its_legend_where_it_makes_no_new_ids(
    how: str, inherits: bool, mapped: tuple[Path, Path], tmp_path: Path
) -> None:
    with (
        rasterio.open(mapped[1]) as file,
        rasterio.vrt.WarpedVRT(file, crs="EPSG:32634", resampling=rasterio.enums.Resampling[how]) as warped,
    ):
        rasterio.shutil.copy(warped, tmp_path / "warped.vrt", driver="VRT")
    if inherits:
        assert read_cover(tmp_path / "warped.vrt").legend == tuple(EUROSAT)
        return
    with pytest.raises(SceneError, match=r"as it resamples \(Bilinear\)"):
        read_cover(tmp_path / "warped.vrt")


def test_a_vrt_that_scales_by_one_keeps_its_legend(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    same = "<ScaleOffset>0</ScaleOffset><ScaleRatio>1</ScaleRatio></ComplexSource>"
    (tmp_path / "same.vrt").write_text(_vrt([mapped[1]]).replace(NODATA_END, same))
    assert read_cover(tmp_path / "same.vrt").legend == tuple(EUROSAT)


def test_a_vrt_names_the_source_that_is_missing(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone.tif"
    (tmp_path / "both.vrt").write_text(_vrt([mapped[1], gone]))
    with pytest.raises(SceneError, match=r"expected the file .*gone\.tif, a source of this VRT\. It is missing"):
        read_cover(tmp_path / "both.vrt")
    rasterio.shutil.copy(mapped[1], gone, driver="GTiff")
    assert read_cover(tmp_path / "both.vrt").legend == tuple(EUROSAT)


def test_a_legend_never_overrules_what_a_cover_says_itself(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    scene, cover = mapped
    lines = [f"{c.id},{c.name if c.id else 'Swamp'},{c.color}" for c in EUROSAT]
    (tmp_path / "other.csv").write_text("\n".join(["id,name,color", *lines]))
    for command in (
        f"summarize {cover} -o {tmp_path}/a.csv",
        f"vectorize {cover} -o {tmp_path}/a.gpkg",
        f"quicklook {scene} {cover} -o {tmp_path}/a.png",
        f"report {scene} {cover} -o {tmp_path}/a.html",
        f"assess {cover} {cover}",
        f"compare-maps {cover} {cover} --csv {tmp_path}/c.csv",
    ):
        refused = CliRunner().invoke(cli, [*command.split(), "--legend", str(tmp_path / "other.csv")])
        assert isinstance(refused.exception, SceneError), command
        assert f"(id 0: {EUROSAT.names[0]}), and otherwise than" in str(refused.exception)
        assert str(refused.exception).endswith("Leave it out")
        CliRunner().invoke(cli, command.split(), catch_exceptions=False)
    assert read_cover(cover, cover).legend == read_cover(cover).legend


def _vrt(paths: list[Path]) -> str:
    """A VRT of rasters below each other, as gdalbuildvrt writes one: without their tags."""
    height, width = SHAPE
    sources = "".join(
        f"<ComplexSource><SourceFilename relativeToVRT='0'>{path}</SourceFilename><SourceBand>1</SourceBand>"
        f"<SrcRect xOff='0' yOff='0' xSize='{width}' ySize='{height}'/>"
        f"<DstRect xOff='0' yOff='{i * height}' xSize='{width}' ySize='{height}'/><NODATA>255</NODATA></ComplexSource>"
        for i, path in enumerate(paths)
    )
    return (
        f"<VRTDataset rasterXSize='{width}' rasterYSize='{height * len(paths)}'><SRS>EPSG:32633</SRS>"
        "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
        f"<VRTRasterBand dataType='Byte' band='1'><NoDataValue>255</NoDataValue>{sources}</VRTRasterBand></VRTDataset>"
    )


def test_ids_of_other_programs_and_another_nodata(write_raster: WriteRaster, tmp_path: Path) -> None:
    """ESA WorldCover's way: ids 10, 20 …, nodata 0; also as signed numbers with -9999, and as floats."""
    (tmp_path / "legend.csv").write_text("code;label;colour\n" + WORLD_COVER)
    ids = np.array([0, 10, 20, 30, 80])[np.random.default_rng(0).integers(0, 5, SHAPE)]
    expected = {10: (ids == 10).sum(), 20: (ids == 20).sum(), 30: (ids == 30).sum(), 80: (ids == 80).sum()}
    for dtype, nodata in (("uint8", 0), ("int16", -9999), ("float32", -9999), ("float32", float("nan"))):
        values = np.where(ids == 0, nodata, ids).astype(dtype)
        path = write_raster("world.tif", values, nodata=nodata)
        rows = landmap.summarize(path, tmp_path / "a.csv", legend=tmp_path / "legend.csv", overwrite=True)
        assert {row["class_id"]: row["pixels"] for row in rows} == expected
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        landmap.vectorize(path, tmp_path / "a.gpkg", legend=tmp_path / "legend.csv", overwrite=True)
        areas = geopandas.read_file(tmp_path / "a.gpkg", layer="cover").groupby("name").hectares.sum()
        assert areas["Permanent water"] == pytest.approx(expected[80] * 0.01)


def test_maps_of_any_ids_are_judged_and_compared(write_raster: WriteRaster, tmp_path: Path) -> None:
    (tmp_path / "legend.csv").write_text("id;name;color\n" + WORLD_COVER)
    rng = np.random.default_rng(1)
    before, after = (np.array([0, 10, 20, 80])[rng.integers(0, 4, SHAPE)].astype(np.uint8) for _ in range(2))
    paths = write_raster("before.tif", before, nodata=0), write_raster("after.tif", after, nodata=0)
    for sample in (None, 50):
        found = assess(*paths, legend=tmp_path / "legend.csv", sample=sample)
        ids = [c.id for c in found.classes]
        assert ids == [10, 20, 30, 80]
        counts = [[((before == i) & (after == j)).sum() for j in ids] for i in ids]
        if sample is None:
            assert [list(row) for row in found.confusion] == counts
        both = (before > 0) & (after > 0)
        assert [c.mapped_hectares for c in found.classes] == pytest.approx(
            [((before == i) & both).sum() * 0.01 for i in ids]
        )
    change = compare_maps(*paths, tmp_path / "change.tif", legend=tmp_path / "legend.csv")
    assert [list(row) for row in change.pixels] == counts
    values = values_of(tmp_path / "change.tif")
    np.testing.assert_array_equal(values == 10, (before == 10) & (after == 10))
    names = {c.id: c.name for c in read_cover(tmp_path / "change.tif").legend}
    became = next(i for i, name in names.items() if name == "Tree cover → Permanent water")
    assert became > 80
    np.testing.assert_array_equal(values == became, (before == 10) & (after == 80))
    done = CliRunner().invoke(
        cli, ["assess", *map(str, paths), "--legend", str(tmp_path / "legend.csv")], catch_exceptions=False
    )
    assert "Permanent water" in done.output


def test_two_maps_that_say_otherwise_are_never_compared(
    mapped: tuple[Path, Path], write_raster: WriteRaster, tmp_path: Path
) -> None:
    _, cover = mapped
    (tmp_path / "other.csv").write_text("".join(["id,name\n", *(f"{c.id},other {c.name}\n" for c in EUROSAT)]))
    plain = write_raster("plain.tif", values_of(cover))
    with pytest.raises(SceneError, match=r"cover\.tif: says itself .*other AnnualCrop.*--legend is for maps"):
        compare_maps(cover, plain, legend=tmp_path / "other.csv")
    renamed = tmp_path / "renamed.tif"
    rasterio.shutil.copy(cover, renamed, driver="GTiff")
    with rasterio.open(renamed, "r+") as file:
        file.update_tags(LANDMAP_LEGEND=json.dumps({c.id: f"other {c.name}" for c in EUROSAT}))
    with pytest.raises(SceneError, match=r"Expected two maps of the same classes\. .*AnnualCrop.*other AnnualCrop"):
        compare_maps(cover, renamed)
    assert compare_maps(cover, plain, legend=cover).changed == 0


@pytest.mark.parametrize("command", ["summarize", "vectorize", "assess", "compare", "quicklook", "zones"])
def test_ids_that_the_legend_does_not_have_are_refused_with_their_number(
    command: str, mapped: tuple[Path, Path], write_raster: WriteRaster, tmp_path: Path
) -> None:
    scene, cover = mapped
    values = values_of(cover)
    values[10:12, :30] = 77
    odd = write_raster("odd.tif", values)
    geopandas.GeoDataFrame({"n": [1]}, geometry=geopandas.points_from_xy([500_400], [4_999_600]), crs=32633).buffer(
        5000
    ).to_frame("geometry").assign(n=1).to_file(tmp_path / "zones.gpkg")
    run: dict[str, Callable[[], Any]] = {
        "summarize": lambda: landmap.summarize(odd, tmp_path / "a.csv", legend=cover),
        "vectorize": lambda: landmap.vectorize(odd, tmp_path / "a.gpkg", legend=cover),
        "assess": lambda: assess(odd, cover, legend=cover),
        "compare": lambda: compare_maps(cover, odd, legend=cover),
        "quicklook": lambda: landmap.report.quicklook.write_quicklook(scene, odd, tmp_path / "a.png", legend=cover),
        "zones": lambda: landmap.summarize(
            odd, tmp_path / "a.csv", legend=cover, zones=tmp_path / "zones.gpkg", zone_id="n"
        ),
    }
    with pytest.raises(SceneError, match=r"odd\.tif: expected only ids of the legend\. Found 77 \(60 px\)"):
        run[command]()
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("kind", ["cover", "keras", "card", "qml", "vector.qml", "csv", "rgb.csv", "names.json", "vrt"])
def test_every_kind_of_file_gives_the_same_legend(kind: str, mapped: tuple[Path, Path], tmp_path: Path) -> None:
    _, cover = mapped
    path, expected = tmp_path / f"legend.{kind.split('.')[-1]}", tuple(EUROSAT)
    if kind == "cover":
        path = cover
    elif kind == "keras":
        from landmap_models.model_file.packaged import find_model

        path, expected = find_model("default"), (*EUROSAT, UNKNOWN)
    elif kind == "card":
        path, expected = tmp_path / "card.json", (*FAKE_CARD.legend, UNKNOWN)
        path.write_text(FAKE_CARD.to_json())
    elif kind == "qml":
        path.write_bytes(class_style(EUROSAT))
    elif kind == "vector.qml":
        path.write_text(vector_qml(tuple(EUROSAT)), "utf-8")
    elif kind == "csv":
        path.write_text("\n".join(["Value\tName\tHex", *(f"{c.id}\t{c.name}\t{c.color}" for c in EUROSAT)]))
    elif kind == "rgb.csv":
        rows = (f"{c.id};{c.name};{';'.join(map(str, c.rgb))}" for c in EUROSAT)
        path.write_text("\n".join(["id;class_name;red;green;blue", *rows]))
    elif kind == "names.json":
        path.write_text(json.dumps({c.id: c.name for c in EUROSAT}))
    else:
        rasterio.shutil.copy(cover, path, driver="VRT")
    assert read_legend(path) == expected


def test_category_names_of_gdal_are_a_legend(mapped: tuple[Path, Path], write_raster: WriteRaster) -> None:
    _, cover = mapped
    plain = write_raster("plain.tif", values_of(cover))
    plain.with_name("plain.tif.aux.xml").write_bytes(cover.with_name("cover.tif.aux.xml").read_bytes())
    assert [(c.id, c.name) for c in read_cover(plain).legend] == [(c.id, c.name) for c in EUROSAT]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.csv", "id,name\n1,a\n1,b\n", "each id once. Found '1'"),
        ("l.csv", "id,name\n1,a\n2,a\n", "each name once. Found 'a'"),
        ("l.csv", "id,name\n254,Snow\n", "254 is Unknown"),
        ("l.csv", "id,name\n300,Snow\n", "ids from 0 to 253"),
        ("l.csv", "id,name,color\n1,Snow,white\n", "colours such as #1f6b2e. Found 'white'"),
        ("l.csv", "number,title\n1,Snow\n", "columns id and name.* Found number, title"),
        ("l.csv", "id,name\none,Snow\n", "whole numbers in the column id. Found 'one'"),
        ("l.csv", "id,name\n", "no class"),
        ("l.qml", "<qgis/>", "no palette and no categories"),
        ("l.qml", "<qgis", "expected a legend"),
        ("l.json", "{}", "Expected a legend .*schema"),
        ("l.json", "[", "expected a legend"),
        ("l.keras", "no zip", "Expected a legend"),
        ("l.tif", "no raster", "can't be read"),
        ("missing.csv", None, "can't be read"),
    ],
)
def test_what_is_no_legend_is_told(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SceneError, match=words) as caught:
        read_legend(tmp_path / name)
    assert name in str(caught.value)


def test_a_raster_without_a_legend_gives_none(write_raster: WriteRaster, tmp_path: Path) -> None:
    plain = write_raster("plain.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(SceneError, match=r"says nothing of its ids.*--legend"):
        read_legend(plain)


def test_several_bands_and_other_layers_are_no_map(
    mapped: tuple[Path, Path], write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    scene, cover = mapped
    with pytest.raises(SceneError, match=r"one band of class ids\. Found 3 bands"):
        read_cover(scene, cover)
    percent = cover.with_name("percent.tif")
    rasterio.shutil.copy(cover, percent, driver="GTiff")
    with rasterio.open(percent, "r+") as file:
        file.update_tags(LANDMAP_LAYER="confidence")
    with pytest.raises(SceneError, match="It holds confidence"):
        read_cover(percent, cover)


def test_classes_without_a_colour_get_one(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,name,color\n7,Forest,\n3,Glacier,\n5,Town,ff0000\n")
    legend = read_legend(tmp_path / "l.csv")
    assert [c.id for c in legend] == [3, 5, 7]
    assert legend[1] == LandClass(5, "Town", "#ff0000")
    assert legend[2].color == EUROSAT.classes[1].color
