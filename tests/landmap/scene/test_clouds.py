"""A product's own classification of clouds is used where there is one, in every form; what it leaves out is told."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import landmap
from landmap.cli import cli
from landmap.errors import ReadError, SceneError, SettingsError
from landmap.inference.plan import Plan
from landmap.run.outputs import Derived
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import NODATA

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SIZE = 180
CELLS = SIZE // 6
ALL = Window(0, 0, SIZE, SIZE)
UInt8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
WriteBand = Callable[..., Path]
Ordinary = Callable[..., npt.NDArray[np.uint16]]
MakeL1C = Callable[..., Path]
NAME = "S2B_MSIL1C_20230813T100559_N0509_R022_T33UUP_20230813T140000"
XML = """<?xml version="1.0"?><n1:Level-1C_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product">
<n1:General_Info><Product_Info><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL><PROCESSING_BASELINE>{baseline}\
</PROCESSING_BASELINE></Product_Info><Product_Image_Characteristics><QUANTIFICATION_VALUE>10000</QUANTIFICATION_VALUE>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
</Special_Values></Product_Image_Characteristics></n1:General_Info><n1:Quality_Indicators_Info>
<Cloud_Coverage_Assessment>23.4</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info></n1:Level-1C_User_Product>"""
GML = """<?xml version="1.0" encoding="UTF-8"?>
<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" xmlns:gml="http://www.opengis.net/gml/3.2" gml:id="S2A_OPER">
  <gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG:8.7:32633"><gml:lowerCorner>0 0</gml:lowerCorner>
  </gml:Envelope></gml:boundedBy><eop:maskMembers>{}</eop:maskMembers></eop:Mask>"""
FEATURE = """<eop:MaskFeature gml:id="{kind}.0"><eop:maskType codeSpace="urn:gs2:S2PDGS:maskType">{kind}</eop:maskType>
<eop:extentOf><gml:Polygon gml:id="{kind}.0_Polygon"><gml:exterior><gml:LinearRing><gml:posList srsDimension="2">{outer}
</gml:posList></gml:LinearRing></gml:exterior>{inner}</gml:Polygon></eop:extentOf></eop:MaskFeature>"""
HOLE = (
    """<gml:interior><gml:LinearRing><gml:posList srsDimension="2">{}</gml:posList></gml:LinearRing></gml:interior>"""
)


def flags() -> UInt8:
    """MSK_CLASSI of 60 m: opaque, cirrus, snow, which overlap here and there."""
    marks = np.zeros((3, CELLS, CELLS), np.uint8)
    marks[0, 2:9, 3:12] = 1
    marks[1, 7:15, 10:20] = 1
    marks[2, 12:20, 15:25] = 1
    return marks


def fine(cells: npt.NDArray[Any]) -> Bools:
    return np.asarray(cells.repeat(6, axis=0).repeat(6, axis=1) > 0)


def ring(top: int, left: int, bottom: int, right: int) -> str:
    """A rectangle of cells of 60 m, east before north."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return " ".join(f"{500_000 + 60 * col:g} {5_000_000 - 60 * row:g}" for col, row in corners)


def polygons() -> tuple[str, UInt8, UInt8]:
    """The text of a MSK_CLOUDS with a hole, and its opaque and cirrus cells."""
    opaque, cirrus = np.zeros((2, CELLS, CELLS), np.uint8)
    opaque[2:12, 3:15] = 1
    opaque[5:8, 6:9] = 0
    cirrus[10:20, 12:22] = 1
    text = FEATURE.format(kind="OPAQUE", outer=ring(2, 3, 12, 15), inner=HOLE.format(ring(5, 6, 8, 9)))
    return GML.format(text + FEATURE.format(kind="CIRRUS", outer=ring(10, 12, 20, 22), inner="")), opaque, cirrus


def write_flags(path: Path, marks: UInt8, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"} if path.suffix == ".jp2" else {}
    place: dict[str, Any] = {"crs": "EPSG:32633", "transform": UTM @ Affine.scale(6)} | lossless | profile
    height, width = marks.shape[1:]
    with rasterio.open(path, "w", count=len(marks), height=height, width=width, dtype=marks.dtype.name, **place) as f:
        f.write(marks)
    return path


@pytest.fixture
def make_l1c(tmp_path: Path, write_band: WriteBand, ordinary: Ordinary) -> MakeL1C:
    """A function that writes an L1C product with or without masks, its left margin not seen."""

    def make(*, marks: UInt8 | None = None, gml: str | None = None, layout: str = "SAFE", old: bool = False) -> Path:
        root = tmp_path / (f"{NAME}.SAFE" if layout != "folder" else "bands")
        granule = root / "GRANULE/L1C_T33UUP_A033" if layout != "folder" else root
        values = ordinary(SIZE, SIZE)
        values[:, :, :10] = 0
        for band, array in zip(("B04", "B03", "B02"), values, strict=True):
            folder = granule / "IMG_DATA" if layout != "folder" else granule
            write_band(folder / f"T33UUP_20230813T100559_{band}.jp2", array)
        masks = granule / "QI_DATA" if layout != "folder" else granule
        masks.mkdir(exist_ok=True)
        if marks is not None:
            write_flags(masks / "MSK_CLASSI_B00.jp2", marks)
        if gml is not None:
            name = "S2A_OPER_MSK_CLOUDS_SGS__20160929T154211_A006640_T32TPP_B00_MSIL1C.gml" if old else None
            (masks / (name or "MSK_CLOUDS_B00.gml")).write_text(gml)
        if layout != "folder":
            (root / "MTD_MSIL1C.xml").write_text(XML.format(baseline="05.09" if gml is None else "02.08"))
        if layout != "zip":
            return root
        return Path(shutil.make_archive(str(root.with_suffix("")), "zip", root.parent, root.name))

    return make


def plan(scene: Path, **choices: Any) -> Plan:
    return landmap.plan(scene, card=FAKE_CARD, **{"level": "L1C", "offset": 0} | choices)


def left_in(scene: Path, **choices: Any) -> Bools:
    return plan(scene, **choices).scene.read(ALL).mapped


def seen() -> Bools:
    found = np.ones((SIZE, SIZE), bool)
    found[:, :10] = False
    return found


# --- L1C's own masks


@pytest.mark.parametrize("layout", ["SAFE", "zip", "folder"])
@pytest.mark.parametrize(
    ("names", "bands"), [(None, [0, 1, 2]), ("cloud", [0, 1]), ("cirrus", [1]), ("snow", [2]), ("cloud_high", [0])]
)
def test_the_classification_of_l1c_is_used(names: str | None, bands: list[int], layout: str, make_l1c: MakeL1C) -> None:
    scene = make_l1c(marks=flags(), layout=layout)
    expected = seen() & ~fine(flags()[bands].max(axis=0))
    np.testing.assert_array_equal(left_in(scene, mask_classes=names), expected)
    if names is None:
        np.testing.assert_array_equal(left_in(scene, scl="auto"), expected)


@pytest.mark.parametrize("layout", ["SAFE", "zip", "folder"])
@pytest.mark.parametrize("old", [False, True])
def test_the_polygons_of_older_products_are_used(layout: str, old: bool, make_l1c: MakeL1C) -> None:
    text, opaque, cirrus = polygons()
    scene = make_l1c(gml=text, layout=layout, old=old)
    np.testing.assert_array_equal(left_in(scene), seen() & ~fine(opaque) & ~fine(cirrus))
    np.testing.assert_array_equal(left_in(scene, mask_classes="cirrus"), seen() & ~fine(cirrus))
    shares = plan(scene).scene.clouds.shares
    assert shares == {"cloud": pytest.approx((opaque | cirrus).mean())}
    part = plan(scene, window=(31, 17, 60, 50)).scene
    expected = (seen() & ~fine(opaque) & ~fine(cirrus))[17:67, 31:91]
    np.testing.assert_array_equal(part.read(Window(0, 0, 50, 60)).mapped, expected)
    assert not list(scene.rglob("*.gfs") if scene.is_dir() else []), "nothing is written beside it"


def test_polygons_without_any_mean_a_clear_scene(make_l1c: MakeL1C) -> None:
    scene = make_l1c(gml=GML.format(""))
    np.testing.assert_array_equal(left_in(scene), seen())
    made = plan(scene)
    assert made.scene.clouds.text.startswith("MSK_CLOUDS_B00.gml says 0.0 % cloud, shadow not told, snow not told")
    assert made.warnings == plan(scene, clouds="none").warnings[1:]


def test_polygons_that_can_not_be_understood_are_named(make_l1c: MakeL1C, tmp_path: Path) -> None:
    text, *_ = polygons()
    for wrong in (text[:-30], text.replace("500180", "wide"), text.replace("posList", "curve")):
        (warning,) = plan(make_l1c(gml=wrong)).scene.clouds.warnings
        assert re.match(r"clouds are mapped as land, .*MSK_CLOUDS_B00\.gml: expected a cloud mask", warning)
        shutil.rmtree(tmp_path / f"{NAME}.SAFE")


def test_the_newer_mask_counts_and_what_it_does_not_know_is_said(make_l1c: MakeL1C) -> None:
    made = plan(make_l1c(marks=flags(), gml=polygons()[0]))
    clouds = made.scene.clouds
    cloud, snow = flags()[:2].max(axis=0).mean(), flags()[2].mean()
    assert clouds.shares == {"cloud": pytest.approx(cloud), "snow": pytest.approx(snow)}
    assert clouds.text == (
        f"MSK_CLASSI_B00.jp2 says {100 * cloud:.1f} % cloud, {100 * snow:.1f} % snow, shadow not told (of its pixels); "
        "cloud, snow are left out; shadow, saturated are not known to it"
    )
    assert made.masks == ["cloud, snow by MSK_CLASSI_B00.jp2"]
    assert not clouds.warnings


def test_names_that_it_does_not_know_leave_out_nothing_and_that_is_a_warning(make_l1c: MakeL1C) -> None:
    made = plan(make_l1c(marks=flags()), mask_classes="shadow,water")
    assert made.scene.clouds.warnings == (
        "MSK_CLASSI_B00.jp2 knows nothing of shadow, water: no pixel is left out by it",
    )
    assert made.scene.clouds.warnings[0] in made.warnings
    assert made.masks == []


def test_a_warped_scene_is_masked_where_the_clouds_lie(make_l1c: MakeL1C, tmp_path: Path) -> None:
    """The cloud is painted into the scene, too: where it is left out, no bright pixel is left."""
    text, opaque, cirrus = polygons()
    cloud = fine(opaque | cirrus)
    for mask in ({"marks": np.stack([opaque, cirrus, opaque * 0])}, {"gml": text}):
        scene = make_l1c(**mask)
        for path in scene.glob("GRANULE/*/IMG_DATA/*.jp2"):
            with rasterio.open(path) as file:
                values, profile = file.read(1), file.profile
            lossless: dict[str, Any] = {"QUALITY": "100", "REVERSIBLE": "YES", "crs": 32632}
            place = rasterio.warp.calculate_default_transform("EPSG:32633", "EPSG:32633", SIZE, SIZE, *bounds())
            profile |= lossless | {"crs": "EPSG:32633", "transform": place[0] @ Affine.scale(place[1] / SIZE)}
            with rasterio.open(path, "w", **profile) as file:
                file.write(np.where(cloud, 9000, values), 1)
        found = plan(scene, warp="auto").scene
        pixels = found.read(Window(0, 0, *found.geobox.shape))
        assert pixels.values[pixels.mapped].max() < 0.85
        shutil.rmtree(tmp_path / f"{NAME}.SAFE")


def bounds() -> tuple[float, float, float, float]:
    return 500_000, 5_000_000 - 10 * SIZE, 500_000 + 10 * SIZE, 5_000_000


# --- SCL, and its default


def scl_scene(write_scene: Callable[..., Path], ordinary: Ordinary, classes: npt.NDArray[Any]) -> Path:
    values = np.concatenate([ordinary(SIZE, SIZE), classes[None].astype(np.uint16)])
    return write_scene(values, bands=("B04", "B03", "B02", "SCL"))


def some_classes() -> UInt8:
    rows, cols = np.mgrid[:SIZE, :SIZE]
    return ((rows // 7 * 5 + cols // 9) % 12).astype(np.uint8)


def test_a_scene_classification_is_used_unless_told_otherwise(
    write_scene: Callable[..., Path], ordinary: Ordinary, write_band: WriteBand, tmp_path: Path
) -> None:
    classes = some_classes()
    scene = scl_scene(write_scene, ordinary, classes)
    np.testing.assert_array_equal(left_in(scene), ~np.isin(classes, [0, 1, 3, 8, 9, 10, 11]))
    assert left_in(scene, clouds="none").all()
    known = classes[classes > 0]
    told = plan(scene).scene.clouds
    numbers = {"cloud": [8, 9, 10], "shadow": [3], "snow": [11]}
    assert told.shares == {name: pytest.approx(np.isin(known, n).mean()) for name, n in numbers.items()}
    assert told.used
    assert not told.warnings
    without = plan(scene, clouds="none")
    assert without.scene.clouds.text.endswith("; not used (--clouds none)")
    (warning,) = without.scene.clouds.warnings
    assert warning.startswith(
        "clouds are mapped as land (--clouds none), though the scene has a classification: band 4"
    )
    assert warning in without.warnings
    clear = write_band(tmp_path / "clear.tif", (classes != 9).astype(np.uint8))
    instead = plan(scene, clouds="none", mask=clear)
    assert not instead.scene.clouds.warnings, "they are not mapped, but left out by a mask of the user's own"
    np.testing.assert_array_equal(instead.scene.read(ALL).mapped, classes != 9)


def test_a_scene_without_classification_is_mapped_as_ever_and_the_plan_says_so(
    write_scene: Callable[..., Path], ordinary: Ordinary, make_l1c: MakeL1C
) -> None:
    scene = write_scene(ordinary(SIZE, SIZE))
    done = CliRunner().invoke(cli, ["plan", str(scene)])
    assert "clouds   not known: the scene has no classification" in done.output
    made, told = plan(scene), plan(scene).to_dict()["clouds"]
    assert made.scene.masks == ()
    assert told == {"text": made.scene.clouds.text, "source": None, "used": False, "shares": {}}
    assert made.warnings == plan(scene, clouds="none").warnings
    assert plan(make_l1c()).scene.clouds.text == (
        "not known: the product has no classification; 23.4 % of all of it by MTD_MSIL1C.xml says "
        "Cloud_Coverage_Assessment; none is left out"
    )


def test_a_band_that_is_called_scl_and_is_none_is_a_warning(
    write_scene: Callable[..., Path], ordinary: Ordinary
) -> None:
    """It was mapped before; asked for by name it is an error."""
    scene = scl_scene(write_scene, ordinary, np.full((SIZE, SIZE), 1200))
    (warning,) = plan(scene).scene.clouds.warnings
    assert warning == (
        "clouds are mapped as land, for the scene's own classification can't be used: expected a scene classification, "
        "with classes from 0 to 11. Received: 1200 among its values (band 4)"
    )
    assert left_in(scene).all()
    with pytest.raises(SceneError, match="Received: 1200"):
        plan(scene, scl="auto")


def test_a_broken_classification_names_what_helps(make_l1c: MakeL1C) -> None:
    scene = make_l1c(marks=flags())
    (mask,) = scene.rglob("MSK_CLASSI_B00.jp2")
    mask.write_bytes(b"no raster")
    with pytest.raises(
        ReadError, match=r"MSK_CLASSI_B00.*can't be read.* To map the scene without it.*: --clouds none"
    ):
        plan(scene)
    assert left_in(scene, clouds="none").any()


def test_a_classification_that_a_product_lists_and_that_is_not_there_is_a_warning(
    make_l1c: MakeL1C, tmp_path: Path
) -> None:
    """As where somebody downloads the bands of a STAC Item and nothing else."""
    root, colors = make_l1c(), {"B04": "red", "B03": "green", "B02": "blue"}
    assets: dict[str, Any] = {
        color: {"href": str(path), "eo:bands": [{"name": color}]}
        for band, color in colors.items()
        for path in root.rglob(f"*_{band}.jp2")
    }
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "links": [], "bbox": None, "geometry": None}
    path = tmp_path / "item.json"
    item |= {"properties": {"datetime": "2023-08-13T10:05:59Z"}, "assets": assets | {"scl": {"href": "./SCL.tif"}}}
    path.write_text(json.dumps(item))
    made = plan(path)
    assert made.scene.clouds.warnings == (
        "clouds are mapped as land, for the scene's own classification can't be used: SCL.tif, which the product "
        "lists, is not there",
    )
    np.testing.assert_array_equal(left_in(path), seen())
    with pytest.raises(ReadError, match=r"SCL\.tif"):
        plan(path, scl="auto")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"clouds": "all"}, "clouds: expected auto, none, s2cloudless. Received: 'all'"),
        ({"clouds": "none", "scl": "auto"}, "clouds: none maps clouds, and scl leaves them out"),
        ({"clouds": "none", "mask_classes": "cloud"}, "mask_classes leaves them out"),
        ({"mask_values": "1"}, "mask_values: expected a mask that it speaks of, too: --mask FILE"),
        ({"invert_mask": True}, "invert_mask: expected a mask"),
        ({"mask": "a.tif", "mask_values": "cloud"}, "mask_values: expected numbers, such as 0 or 1,3. Received"),
        ({"mask": "a.tif", "mask_values": ()}, "mask_values: expected numbers"),
        ({"mask": "a.tif", "invert_mask": 1}, "invert_mask: expected true or false"),
    ],
)
def test_settings_that_can_not_be_meant(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        landmap.Settings(**choices)


# --- a STAC Item


def test_assets_that_are_cloud_masks_are_found(make_l1c: MakeL1C, tmp_path: Path) -> None:
    root = make_l1c(marks=flags())
    keys = {"B04": "red", "B03": "green", "B02": "blue"}
    assets = {
        keys[band]: {"href": str(path), "type": "image/jp2", "eo:bands": [{"name": keys[band]}]}
        for band in keys
        for path in root.rglob(f"*_{band}.jp2")
    }
    (mask,) = root.rglob("MSK_CLASSI_B00.jp2")
    item: dict[str, Any] = {"type": "Feature", "stac_version": "1.0.0", "id": "S2B_L1C", "links": [], "bbox": None}
    item |= {"geometry": None, "properties": {"datetime": "2023-08-13T10:05:59Z", "eo:cloud_cover": 31.25}}
    item["properties"] |= {"s2:product_type": "S2MSI1C"}
    for number, key in enumerate(("msk_classi_b00", "classification_mask")):
        path = tmp_path / f"item{number}.json"
        path.write_text(json.dumps(item | {"assets": assets | {key: {"href": str(mask)}}}))
        np.testing.assert_array_equal(left_in(path), seen() & ~fine(flags().max(axis=0)))
    path.write_text(json.dumps(item | {"assets": assets}))
    assert "31.2 % of all of it by the STAC item's eo:cloud_cover" in plan(path).scene.clouds.text


# --- masks of other products

THEIA = "SENTINEL2A_20230813-100559-024_L2A_T31TCJ_C_V1-0"


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("HLS.S30.T31TCJ.2023225T105031.v2.0.{}.tif", "HLS.S30.T31TCJ.2023225T105031.v2.0.Fmask.tif"),
        (f"{THEIA}_FRE_{{}}.tif", f"MASKS/{THEIA}_CLM_R1.tif"),
    ],
)
def test_a_mask_that_can_not_be_read_is_a_warning_that_helps(
    name: str, mask: str, tmp_path: Path, write_band: WriteBand, ordinary: Ordinary
) -> None:
    for band, values in zip(("B04", "B03", "B02"), ordinary(SIZE, SIZE), strict=True):
        write_band(tmp_path / "set" / name.format(band if "HLS" in name else band.replace("0", "")), values)
    bits = np.zeros((SIZE, SIZE), np.uint8)
    bits[20:60, 30:90] = 2  # cloud, in both formats
    write_band(tmp_path / "set" / mask, bits)
    made = plan(tmp_path / "set")
    (warning,) = made.scene.clouds.warnings
    assert warning.startswith(
        f"clouds are mapped as land: {Path(mask).name} tells of clouds in a form that is not read"
    )
    assert made.scene.clouds.text == "not known" + warning.removeprefix("clouds are mapped as land")
    clear = write_band(tmp_path / "clear.tif", (bits & 2 == 0).astype(np.uint8))
    mended = plan(tmp_path / "set", mask=clear)
    assert not mended.scene.clouds.warnings
    np.testing.assert_array_equal(mended.scene.read(ALL).mapped, bits == 0)


# --- many scenes, and a cluster


def test_a_batch_maps_scenes_with_and_without_a_classification_and_says_so(
    make_l1c: MakeL1C, write_scene: Callable[..., Path], ordinary: Ordinary, tmp_path: Path
) -> None:
    """`--scl auto` fails those without, and names what maps them."""
    with_mask, without = make_l1c(marks=flags()), write_scene(ordinary(SIZE, SIZE), tags={"PROCESSING_LEVEL": "L1C"})
    jobs = [landmap.Job(str(scene), f"{number}.tif") for number, scene in enumerate((with_mask, without))]
    classifier = ConstantClassifier(4)
    demanding = landmap.run_batch(jobs, tmp_path / "scl", landmap.Settings(scl="auto"), classifier=classifier)
    assert [record.state for record in demanding.records] == ["done", "failed"]
    assert demanding.records[1].error.endswith("use one only where there is one: --clouds auto")
    found = landmap.run_batch(jobs, tmp_path / "maps", landmap.Settings(clouds="auto"), classifier=classifier)
    assert found.all_done
    first, second = json.loads((tmp_path / "maps/report.json").read_text())["jobs"]
    cloud, snow = fine(flags()[:2].max(axis=0)), fine(flags()[2])
    assert first["left_out"] == {
        "no data": (~seen()).sum(),
        "cloud": (seen() & cloud).sum(),
        "snow": (seen() & snow & ~cloud).sum(),
    }
    assert first["nodata_pixels"] == (~seen()).sum()
    assert first["clouds"].startswith("MSK_CLASSI_B00.jp2 says ")
    assert (second["left_out"], second["clouds"]) == ({}, "not known: the scene has no classification")
    page = (tmp_path / "maps/report.html").read_text()
    assert f"left out: {first['left_out_text']}" in page
    assert "clouds: not known: the scene has no classification" in page


def test_a_cluster_counts_the_same(make_l1c: MakeL1C, tmp_path: Path) -> None:
    scene = make_l1c(gml=polygons()[0])
    how: dict[str, Any] = {"chunk": 64, "stride": 16, "classifier": ConstantClassifier(4)}
    here = landmap.classify(scene, tmp_path / "here.tif", **how)
    there = landmap.classify(scene, tmp_path / "there.tif", workers=1, **how)
    assert there.left_out == here.left_out
    assert set(here.left_out) == {"no data", "cloud"}
    assert (tmp_path / "here.tif").read_bytes() == (tmp_path / "there.tif").read_bytes()


# --- how much was left out, and why


def test_all_that_a_run_says_of_what_is_left_out_is_the_same(make_l1c: MakeL1C, tmp_path: Path) -> None:
    """Counted anew from the arrays that were written; the same in chunks, in one go, and as a raster tells."""
    scene = make_l1c(marks=flags())
    aoi = tmp_path / "aoi.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    corners = [(500_000, 4_999_000), (501_800, 4_999_000), (501_800, 5_000_000), (500_000, 5_000_000)]
    shape = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    aoi.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [
        {"type": "Feature", "properties": {}, "geometry": shape}]}))  # fmt: skip
    user = write_flags(tmp_path / "user.tif", np.pad(np.zeros((1, 10, 10), np.uint8), ((0, 0), (10, 10), (10, 10)),
                                                     constant_values=1))  # fmt: skip
    inside = np.zeros((SIZE, SIZE), bool)
    inside[:100] = True
    why = np.full((SIZE, SIZE), "", "U20")
    for name, where in (("outside the area", ~inside), ("no data", ~seen()), ("cloud", fine(flags()[:2].max(axis=0))),
                        ("snow", fine(flags()[2])), ("mask", inside * 0 == 1)):  # fmt: skip
        why[(why == "") & where] = name
    hidden = np.zeros((CELLS, CELLS), bool)
    hidden[10:20, 10:20] = True
    why[(why == "") & fine(hidden)] = "mask"
    expected = {
        str(name): int(number) for name, number in zip(*np.unique(why[why != ""], return_counts=True), strict=True)
    }
    assert set(expected) == {"outside the area", "no data", "cloud", "snow", "mask"}
    how: dict[str, Any] = {
        "aoi": aoi,
        "mask": user,
        "mask_values": "0",
        "stride": 16,
        "classifier": ConstantClassifier(4),
    }
    results = [
        landmap.classify(
            scene,
            tmp_path / f"{chunk}.tif",
            chunk=chunk,
            derived=Derived(summary=tmp_path / f"{chunk}.csv"),
            report=tmp_path / f"{chunk}.html",
            **how,
        )
        for chunk in (32, 64, 200)
    ]
    for result in results:
        assert result.left_out == expected
        assert result.nodata_pixels == expected["no data"]
        cover = result.outputs.cover
        with rasterio.open(cover) as file:
            assert (file.read(1) == NODATA).sum() == sum(expected.values())
            tags = file.tags()
        assert json.loads(tags["LANDMAP_LEFT_OUT"]) == expected
        assert tags["LANDMAP_CLOUDS"] == result.plan.scene.clouds.text
        with cover.with_suffix(".csv").open() as table:
            rows = {row["name"]: row for row in csv.DictReader(table)}
        for name, number in expected.items():
            assert rows[f"without a class: {name}"]["pixels"] == str(number)
            assert rows[f"without a class: {name}"]["class_id"] == "255"
        page = cover.with_suffix(".html").read_text()
        share = f"{100 * expected['no data'] / SIZE**2:.1f} %"
        assert f"; {share} of the scene has no data; left out of the scene: {result.left_out_text}." in page
        shares = [f"{100 * number / SIZE**2:.1f} % {name}" for name, number in expected.items() if name != "no data"]
        assert sorted(shares) == sorted(result.left_out_text.split(", "))
    assert (tmp_path / "32.tif").read_bytes() == (tmp_path / "200.tif").read_bytes()


def test_a_run_that_was_cut_short_counts_the_same(make_l1c: MakeL1C, tmp_path: Path, hear: Callable[..., None]) -> None:
    scene, told = make_l1c(marks=flags()), list[str]()
    classifier = ConstantClassifier(4, replace(FAKE_CARD, weights_sha256="7" * 64))
    how: dict[str, Any] = {"chunk": 64, "stride": 16, "threads": 1, "classifier": classifier}

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise RuntimeError("enough")

    with pytest.raises(Exception, match="enough"):
        landmap.classify(scene, tmp_path / "a.tif", progress=stop, **how)
    hear(told.append)
    resumed = landmap.classify(scene, tmp_path / "a.tif", **how)
    whole = landmap.classify(scene, tmp_path / "b.tif", **how)
    assert "reusing" in told[0]
    assert resumed.left_out == whole.left_out
    assert sum(whole.left_out.values()) == (~seen() | fine(flags().max(axis=0))).sum()
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_of_a_cover_that_was_changed_since_nothing_is_said(make_l1c: MakeL1C, tmp_path: Path) -> None:
    landmap.classify(make_l1c(marks=flags()), tmp_path / "a.tif", classifier=ConstantClassifier(4))
    with rasterio.open(tmp_path / "a.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        values = file.read(1)
        values[:100] = NODATA
        file.write(values, 1)
    names = [row["name"] for row in landmap.summarize(tmp_path / "a.tif", tmp_path / "a.csv")]
    assert not [name for name in names if name.startswith("without")], "the tag speaks of another raster"
