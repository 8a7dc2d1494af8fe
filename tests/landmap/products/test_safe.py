"""SAFE products put together here, in ESA's layouts old and new: read against the arrays that were written."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
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
from landmap.errors import BandError, LandmapError, OutputError, SceneError, SettingsError
from landmap.inference.plan import make_plan
from landmap.products.safe import parse_metadata
from landmap.run.fingerprint import difference, fingerprint
from landmap.scene.masks import layer_on
from landmap.scene.scene import Scene, open_scene
from landmap.scene.stack import classification
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.arrays import Floats
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import EUROSAT
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.nir import NirPrior, Roles
from landmap_models.model_file.packaged import packaged_models

UInt16 = npt.NDArray[np.uint16]
WriteBand = Callable[..., Path]
MakeSafe = Callable[..., Path]
SIZE = 180
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
"""In the order of the metadata's band ids."""
RESOLUTIONS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B8A": 20, "B11": 20, "B01": 60}
OFFSETS = {name: -1000 - number for number, name in enumerate(BANDS)}
"""A different one for each band, so that none is taken for another."""
ALL = Window(0, 0, SIZE, SIZE)
PRIOR = NirPrior(
    means=((0.7, -1.0),) * len(EUROSAT),
    covariances=(((0.02, 0.0), (0.0, 0.1)),) * len(EUROSAT),
    roles=Roles(water=(9,), road=(3,), open_land=(0,)),
)


def values(name: str, metres: int) -> UInt16:
    """Numbers like those of a scene, others for every band, resolution and pixel; the corner was not seen."""
    seed = [ord(letter) for letter in name] + [metres]
    shape = (SIZE * 10 // metres,) * 2
    drawn = np.random.default_rng(seed).integers(1100, 4000, shape, dtype=np.uint16)
    drawn[: 600 // metres, : 300 // metres] = 0
    return drawn


def metadata(level: str, baseline: str, *, offsets: bool, images: list[str]) -> str:
    """What counts of MTD_MSIL1C.xml and MTD_MSIL2A.xml, as real ones have it."""
    tag = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}[level]
    quantification = {"L1C": "QUANTIFICATION_VALUE", "L2A": "BOA_QUANTIFICATION_VALUE"}[level]
    listed = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    added = "".join(f'<{tag} band_id="{i}">{OFFSETS[name]}</{tag}>' for i, name in enumerate(BANDS))
    physical = "".join(f'<Spectral_Information bandId="{i}" physicalBand="{name}"/>' for i, name in enumerate(BANDS))
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level[1:]}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2024-10-14T10:10:21.024Z</PRODUCT_START_TIME>
      <PROCESSING_LEVEL>Level-{level[1:]}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Product_Organisation><Granule_List><Granule>{listed}</Granule></Granule_List></Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <{quantification} unit="none">10000</{quantification}>
      {added if offsets else ""}
      <Spectral_Information_List>{physical}</Spectral_Information_List>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level[1:]}_User_Product>"""


@pytest.fixture
def make_safe(tmp_path: Path, write_band: WriteBand) -> MakeSafe:
    """A function that writes a product, and gives its path: the folder, or the zip of it."""

    def make(
        level: str = "L2A", *, layout: str = "R10m", offsets: bool = True, baseline: str = "05.11", zipped: bool = False
    ) -> Path:
        root = tmp_path / f"S2A_MSI{level}_20241014T101021_N0511_R022_T33TVM_20241014T142251.SAFE"
        files = band_files(root, level, layout)
        for path, array, metres in files:
            write_band(path, array, metres)
        images = [str(path.relative_to(root).with_suffix("")) for path, _, _ in files]
        old = "S2A_OPER_MTD_SAFL1C_PDMC_20160101T120000_R022_V20160101T101021_20160101T101021.xml"
        name = old if layout == "old" else f"MTD_MSI{level}.xml"
        (root / name).write_text(metadata(level, baseline, offsets=offsets, images=images))
        if not zipped:
            return root
        return Path(shutil.make_archive(str(root.with_suffix("")), "zip", root.parent, root.name))

    return make


def band_files(root: Path, level: str, layout: str) -> list[tuple[Path, UInt16, int]]:
    granule = (
        root
        / "GRANULE"
        / {"old": "S2A_OPER_MSI_L1C_TL_EPA__20160101T120000_A000001_T33TVM_N02.01"}.get(
            layout, f"{level}_T33TVM_A048639_20241014T101725"
        )
    )
    images = root if layout == "beside" else granule / "IMG_DATA"
    found = []
    for name, finest in RESOLUTIONS.items():
        for metres in [finest] if level == "L1C" else [m for m in (10, 20, 60) if m >= finest]:
            stem = f"S2A_OPER_MSI_L1C_TL_EPA__20160101T120000_A000001_T33TVM_{name}"
            if layout != "old":
                stem = f"T33TVM_20241014T101021_{name}" + (f"_{metres}m" if level == "L2A" else "")
            folder = images / f"R{metres}m" if layout == "R10m" and level == "L2A" else images
            found.append((folder / f"{stem}.jp2", values(name, metres), metres))
    return found


def opened(path: Path | str, card: ModelCard = FAKE_CARD, **choices: Any) -> Scene:
    return open_scene(path, Settings(**choices), card=card)


def expected(names: tuple[str, ...] = ("B04", "B03", "B02"), *, offsets: bool = True) -> Floats:
    """Reflectance at 10 m `(height, width, bands)` of what was written."""
    columns = []
    for name in names:
        offset = OFFSETS[name.replace("B0", "B")] if offsets else 0
        columns.append((values(name, 10).astype(np.float64) + offset) / 10_000)
    return np.stack(columns, axis=-1).astype(np.float32)


SEEN = values("B04", 10) > 0


@pytest.mark.parametrize(
    ("level", "choices", "why"),
    [
        ("L2A", {}, "as delivered"),
        ("L2A", {"layout": "flat"}, "all resolutions in one folder"),
        ("L2A", {"layout": "beside"}, "files of bands beside the metadata"),
        ("L2A", {"zipped": True}, "the zip as downloaded"),
        ("L2A", {"offsets": False, "baseline": "02.12"}, "before there were offsets"),
        ("L1C", {}, "as delivered"),
        ("L1C", {"zipped": True}, "the zip as downloaded"),
        ("L1C", {"layout": "old", "offsets": False, "baseline": "02.01"}, "named as until 2016"),
    ],
)
def test_a_product_is_read_as_it_was_written(
    level: str, choices: dict[str, Any], why: str, make_safe: MakeSafe
) -> None:
    offsets = choices.get("offsets", True)
    scene = opened(make_safe(level, **choices))
    assert (scene.geobox.height, scene.geobox.width, scene.geobox.transform) == (
        SIZE,
        SIZE,
        Affine(10, 0, 500_000, 0, -10, 5_000_000),
    )
    assert rasterio.CRS.from_wkt(scene.geobox.crs).to_epsg() == 32633
    pixels = scene.read(ALL)
    np.testing.assert_array_equal(pixels.valid, SEEN, err_msg=why)
    np.testing.assert_allclose(pixels.values[SEEN], expected(offsets=offsets)[SEEN], atol=1e-6, err_msg=why)
    assert scene.radiometry.level == level
    assert scene.radiometry.assumed == (), "the metadata say all"
    assert "MTD" in scene.radiometry.origins["level"]
    assert scene.product
    assert scene.product.text.startswith(
        f"SAFE {level}, baseline {choices.get('baseline', '05.11')}, sensed 2024-10-14"
    )


def test_a_hole_in_one_band_is_nodata_as_the_metadata_say(make_safe: MakeSafe, write_band: WriteBand) -> None:
    product = make_safe()
    green = values("B03", 10)
    green[100:110, 50:70] = 0
    write_band(next(product.rglob("*B03_10m.jp2")), green)
    np.testing.assert_array_equal(opened(product).read(ALL).valid, SEEN & (green > 0))


@pytest.mark.parametrize("zipped", [False, True])
def test_parts_are_read_as_the_whole_is_and_elsewhere_too(zipped: bool, make_safe: MakeSafe) -> None:
    scene = pickle.loads(pickle.dumps(opened(make_safe(zipped=zipped), replace(FAKE_CARD, bands=BAND_MIX))))
    whole = scene.read(ALL)
    for window in (Window(0, 0, 64, 64), Window(37, 51, 60, 71), Window(59, 29, 2, 2), Window(179, 0, 1, 180)):
        part = scene.read(window)
        place = np.s_[window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width]
        np.testing.assert_array_equal(part.values, whole.values[place])
        np.testing.assert_array_equal(part.valid, whole.valid[place])


BAND_MIX = (FAKE_CARD.bands[0], replace(FAKE_CARD.bands[0], name="B05"), replace(FAKE_CARD.bands[0], name="B01"))


def interpolated(array: UInt16, times: int) -> npt.NDArray[np.float64]:
    """Bilinear, by weights along each axis in turn; beyond the edge the edge."""
    out = array.astype(np.float64)
    for axis in (0, 1):
        at = ((np.arange(out.shape[axis] * times) + 0.5) / times - 0.5).clip(0, out.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, out.shape[axis] - 1)
        share = np.expand_dims(at - low, 1 - axis)
        out = out.take(low, axis) * (1 - share) + out.take(high, axis) * share
    return out


def test_coarser_bands_are_interpolated_onto_the_finest_grid(make_safe: MakeSafe) -> None:
    scene = opened(make_safe(), replace(FAKE_CARD, bands=BAND_MIX))
    assert scene.geobox.shape == (SIZE, SIZE)
    pixels = scene.read(ALL)
    inside = np.s_[120:, 120:]  # away from what was not seen
    for column, (name, metres) in enumerate([("B04", 10), ("B05", 20), ("B01", 60)]):
        stored = interpolated(values(name, metres), metres // 10)
        reflectance = (stored + OFFSETS[name.replace("B0", "B")]) / 10_000
        np.testing.assert_allclose(pixels.values[inside][..., column], reflectance[inside], atol=0.6e-4)
    near = pixels.values[..., 1][pixels.valid]
    assert near.min() > (1100 + OFFSETS["B5"]) / 10_000 - 1e-6, "what was not seen is not mixed in"


def test_near_infrared_is_found_and_understood(make_safe: MakeSafe) -> None:
    scene = opened(make_safe("L1C", offsets=False), replace(FAKE_CARD, levels=("L1C",), nir=PRIOR))
    assert scene.nir_text == "used as NIR prior (T33TVM_20241014T101021_B08.jp2)"
    spectrum = scene.read(ALL).spectrum
    assert spectrum is not None
    np.testing.assert_allclose(spectrum[SEEN], expected(("B04", "B03", "B08"), offsets=False)[SEEN], atol=1e-6)
    assert np.isnan(spectrum[~SEEN][:, 2]).all()


def test_broken_near_infrared_leaves_true_colour(make_safe: MakeSafe) -> None:
    product = make_safe("L1C")
    next(product.rglob("*B08.jp2")).write_bytes(b"broken")
    scene = opened(product, replace(FAKE_CARD, levels=("L1C",), nir=PRIOR))
    assert scene.nir is None
    assert "not usable: true colour only. band B08, T33TVM_20241014T101021_B08.jp2: " in scene.nir_text


def test_a_coarser_model_gets_the_bands_of_its_own_resolution(make_safe: MakeSafe) -> None:
    scene = opened(make_safe(), replace(FAKE_CARD, resolution=20.0))
    assert (scene.geobox.height, scene.geobox.width, scene.geobox.transform.a) == (90, 90, 20)
    assert scene.product
    assert [band.label for band in scene.product.bands] == [
        f"T33TVM_20241014T101021_{name}_20m.jp2" for name in ("B04", "B03", "B02")
    ]


class CornerClassifier:
    """Answers with the class that the reflectance in a chip's middle encodes."""

    card = FAKE_CARD

    def predict(self, chips: Floats) -> Floats:
        wanted = np.round(chips[:, 32, 32, 0] * 100).astype(int) % len(EUROSAT)
        return np.eye(len(EUROSAT), dtype=np.float32)[wanted]


@pytest.mark.parametrize("zipped", [False, True])
def test_the_map_lies_on_the_10_m_grid(zipped: bool, make_safe: MakeSafe, tmp_path: Path) -> None:
    landmap.classify(make_safe(zipped=zipped), tmp_path / "cover.tif", classifier=CornerClassifier(), stride=64)
    with rasterio.open(tmp_path / "cover.tif") as file:
        assert file.transform == Affine(10, 0, 500_000, 0, -10, 5_000_000)
        cover = file.read(1)
        assert file.tags()["LANDMAP_SCENE"].startswith("S2A_MSIL2A_20241014T101021")
        assert str(tmp_path) not in str(file.tags()), "the map says nothing of the machine"
    np.testing.assert_array_equal(cover == 255, ~SEEN)
    red = expected()[..., 0]
    for row, col in ((64, 0), (0, 64), (64, 64)):
        wanted = round(float(red[row + 32, col + 32]) * 100) % len(EUROSAT)
        assert (cover[row : row + 64, col : col + 64] == wanted).all()


def test_the_plan_says_what_it_is(make_safe: MakeSafe) -> None:
    product = make_safe(zipped=True)
    plan = make_plan(product, card=FAKE_CARD)
    told = plan.to_dict()["scene"]["product"]
    assert told["text"] == "SAFE L2A, baseline 05.11, sensed 2024-10-14 10:10 UTC, 19 band files"
    assert told["files"]["B04"].endswith("IMG_DATA/R10m/T33TVM_20241014T101021_B04_10m.jp2")
    assert plan.scene.radiometry.origins["offset"].startswith("MTD_MSIL2A.xml says BOA_ADD_OFFSET -1000")


@pytest.mark.parametrize("ending", ["/", "/MTD_MSIL2A.xml", "/GRANULE/L2A_T33TVM_A048639_20241014T101725", "/.."])
def test_other_ways_to_name_a_product(ending: str, make_safe: MakeSafe) -> None:
    scene = opened(f"{make_safe()}{ending}")
    assert scene.radiometry.offset == (-1003, -1002, -1001)


def test_a_scene_classification_is_known(make_safe: MakeSafe, write_band: WriteBand) -> None:
    product = make_safe()
    images = next(product.glob("GRANULE/*/IMG_DATA"))
    classes = np.random.default_rng(0).integers(1, 12, (90, 90), dtype=np.uint8)
    scl = write_band(images / "R20m/T33TVM_20241014T101021_SCL_20m.jp2", classes, 20)
    write_band(images / "R60m/T33TVM_20241014T101021_SCL_60m.jp2", np.ones((30, 30), np.uint8), 60)
    scene = opened(product)
    assert scene.product
    assert [(band.file, band.resolution) for band in scene.product.scl[:1]] == [(str(scl), 20)]
    source = classification(scene.source, scene.product)
    assert source
    found, valid = layer_on(source, scene.source).read(Window(3, 50, 90, 77))
    np.testing.assert_array_equal(found, classes.repeat(2, axis=0).repeat(2, axis=1)[3:93, 50:127])
    assert valid.all()
    assert opened(make_safe("L1C")).product.scl == ()


# --- refusals


def refusal(path: Path | str, kind: type[LandmapError] = SceneError, **choices: Any) -> str:
    with pytest.raises(kind) as caught:
        make_plan(path, Settings(**choices), card=FAKE_CARD)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_a_missing_band_is_named(make_safe: MakeSafe) -> None:
    product = make_safe("L1C")
    next(product.rglob("*_B03.jp2")).unlink()
    message = refusal(product, BandError)
    assert "expected a file of band B03" in message
    assert "IMG_DATA/T33TVM_20241014T101021_B03, which is not there: get the complete product" in message


def test_a_coarser_file_is_interpolated_aloud_where_the_finest_is_missing(make_safe: MakeSafe) -> None:
    product = make_safe()
    next(product.rglob("*_B03_10m.jp2")).unlink()
    plan = make_plan(product, card=FAKE_CARD)
    assert (plan.scene.geobox.height, plan.scene.geobox.transform.a) == (SIZE, 10)
    assert plan.warnings[0] == (
        "T33TVM_20241014T101021_B03_20m.jp2 is interpolated: T33TVM_20241014T101021_B03_10m, which the metadata list, "
        "is not there"
    )


def test_a_product_of_coarse_bands_is_refused_for_what_is_missing(make_safe: MakeSafe) -> None:
    product = make_safe()
    for path in [*product.rglob("*_10m.jp2"), *product.rglob("*_20m.jp2")]:
        path.unlink()
    message = refusal(product)
    assert "its pixels are 60 m, 6 times those the model was trained on (10 m)" in message
    assert (
        "list finer files that are not there (T33TVM_20241014T101021_B04_10m, T33TVM_20241014T101021_B03_10m" in message
    )
    forced = make_plan(product, card=FAKE_CARD, force=True)
    assert (forced.scene.geobox.height, forced.scene.geobox.transform.a) == (30, 60)


def test_a_file_that_can_not_be_read_is_named_with_its_band(make_safe: MakeSafe) -> None:
    product = make_safe("L1C")
    next(product.rglob("*_B02.jp2")).write_bytes(b"not JPEG2000")
    assert "band B02, T33TVM_20241014T101021_B02.jp2: can't be read as a raster" in refusal(product)


def test_several_granules_are_listed(make_safe: MakeSafe) -> None:
    product = make_safe("L1C", layout="old", offsets=False, baseline="02.01")
    granule = next(product.glob("GRANULE/*"))
    other = granule.with_name(granule.name.replace("T33TVM", "T33TWM"))
    shutil.copytree(granule, other)
    message = refusal(product)
    assert f"expected one granule. Received: 2: {granule.name}, {other.name}. Give the folder of one" in message
    np.testing.assert_array_equal(opened(other).read(ALL).valid, SEEN)


def test_several_products_in_a_folder_are_listed(make_safe: MakeSafe, tmp_path: Path) -> None:
    make_safe("L1C"), make_safe("L2A")
    assert "expected one product. Received: 2: S2A_MSIL1C" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "MTD_MSIL2A.xml: expected the metadata of a Sentinel-2 product"),
        (lambda text: text.replace("Level-2A<", "Level-3A<"), "no product level known in PROCESSING_LEVEL 'Level-3A'"),
        (lambda text: text.replace(">-1003<", ">none<"), "could not convert string to float: 'none'"),
        (lambda text: text.replace(">10000<", ">0<"), "no quantification value: 0"),
        (
            lambda text: text.replace('physicalBand="B4"', 'physicalBand="B8A"'),
            "name the offset of B03, B02, and none for B04",
        ),
    ],
)
def test_broken_metadata(change: Callable[[str], str], words: str, make_safe: MakeSafe) -> None:
    product = make_safe()
    file = product / "MTD_MSIL2A.xml"
    file.write_text(change(file.read_text()))
    assert words in refusal(product)


def test_an_offset_that_is_given_needs_none_in_the_metadata(make_safe: MakeSafe) -> None:
    product = make_safe()
    file = product / "MTD_MSIL2A.xml"
    file.write_text(file.read_text().replace('physicalBand="B4"', 'physicalBand="B8A"'))
    assert opened(product, offset=-7).radiometry.offset == (-7, -7, -7)


def test_an_offset_that_should_be_there_is_assumed_aloud(make_safe: MakeSafe) -> None:
    plan = make_plan(make_safe(offsets=False), card=FAKE_CARD)
    assert "as MTD_MSIL2A.xml names none, though baseline 05.11 has one" in plan.warnings[0]


@pytest.mark.parametrize("bytes_left", [0.5, 0.99])
def test_a_zip_that_was_cut_short(bytes_left: float, make_safe: MakeSafe) -> None:
    archive = make_safe(zipped=True)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * bytes_left)])
    assert "expected a whole zip archive. Received: one that can't be read" in refusal(archive)


def test_a_zip_without_bands_is_left_to_gdal(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "can't be read as a raster" in refusal(tmp_path / "a.zip")


def test_band_numbers_are_refused(make_safe: MakeSafe) -> None:
    assert "expected no --bands for a product" in refusal(make_safe(), SettingsError, bands="3,2,1")


def test_no_output_destroys_a_file_of_the_product(make_safe: MakeSafe) -> None:
    product = make_safe()
    band, archive = next(product.rglob("*B02_10m.jp2")), make_safe("L1C", zipped=True)
    for scene, file in ((product, band), (product, product / "MTD_MSIL2A.xml"), (archive, archive)):
        before = file.read_bytes()
        with pytest.raises(OutputError, match="is the scene itself, or a file that it is read from"):
            landmap.classify(scene, file, classifier=ConstantClassifier(), overwrite=True)
        assert file.read_bytes() == before


@pytest.mark.parametrize("zipped", [False, True])
def test_a_changed_file_makes_it_another_scene(zipped: bool, make_safe: MakeSafe) -> None:
    """So that a run that was cut short starts afresh; a band that the model does not use is no matter."""

    def known() -> dict[str, Any]:
        return fingerprint(make_plan(product, card=FAKE_CARD), "float32", "/CPU:0", keep_probabilities=False)

    product = make_safe(zipped=zipped)
    before = known()
    if not zipped:
        os.utime(next(product.rglob("*B11_20m.jp2")), ns=(1, 1))
        assert known() == before
    os.utime(product if zipped else next(product.rglob("*B04_10m.jp2")), ns=(1, 1))
    assert difference(before, known()) == "before the scene was changed"


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_the_command_line_says_what_it_is(make_safe: MakeSafe) -> None:
    done = CliRunner().invoke(cli, ["plan", str(make_safe("L1C", offsets=False, baseline="03.01"))])
    assert done.exit_code == 0, done.output
    assert "product  SAFE L1C, baseline 03.01, sensed 2024-10-14 10:10 UTC, 8 band files\n" in done.output
    assert "bands    B04 is T33TVM_20241014T101021_B04.jp2, B03 is " in done.output
    assert "offset   0 (MTD_MSIL1C.xml names none, as is right for baseline 03.01)" in done.output


# --- real metadata


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "level", "baseline", "offset", "band"),
    [
        ("s2meta/S2A_MSIL1C_20210908*", "L1C", "03.01", None, "T46RER_20210908T042701_B04"),
        ("s2meta/S2A_MSIL2A_20190212*", "L2A", "02.12", None, "T07HFE_20190212T192651_B04_10m"),
        ("s2meta/S2B_MSIL2A_20220413*", "L2A", "04.00", -1000, "T33XWJ_20220413T150759_B04_10m"),
        ("scenes/safe/*", "L2A", "05.11", -1000, "T33TVM_20241014T101021_B04_10m"),
    ],
)
def test_real_metadata(folder: str, level: str, baseline: str, offset: float | None, band: str, shared: Path) -> None:
    file = next(shared.glob(f"{folder}/MTD_MSIL*.xml"))
    found = parse_metadata(file.read_bytes(), file.name, str(file))
    assert (found.level, found.baseline, found.nodata) == (level, baseline, 0)
    assert found.quantification is not None
    assert found.quantification[1] == 10_000
    assert set(found.offsets.values()) == (set() if offset is None else {offset})
    assert len(found.offsets) in (0, 13)
    assert band in {image.rsplit("/", 1)[-1] for image in found.images}


@pytest.mark.real
def test_real_metadata_without_images_are_refused(shared: Path) -> None:
    for product in sorted((shared / "s2meta").glob("*.SAFE")):
        message = refusal(product, BandError)
        assert "There: no band. Its metadata list GRANULE/" in message


@pytest.mark.real
def test_the_real_product_lacks_10_m_bands(shared: Path) -> None:
    product = next((shared / "scenes/safe").glob("*.SAFE"))
    assert "its pixels are 60 m" in refusal(product)
    scene = opened(product, clouds="none")
    assert scene.radiometry.offset == (-1000, -1000, -1000)
    assert scene.product
    assert [band.resolution for band in scene.product.scl] == [20, 60]
    window = Window(0, 0, 192, 1830)
    image = next(product.rglob("*B02_60m.jp2"))
    with rasterio.open(image) as file:
        stored = file.read(1)[:192]
    pixels = scene.read(window)
    np.testing.assert_array_equal(pixels.valid, stored > 0)
    np.testing.assert_allclose(pixels.values[..., 2][pixels.valid], (stored[stored > 0] - 1000.0) / 10_000, atol=1e-6)
    assert 0.1 < pixels.valid.mean() < 0.9
    with rasterio.open(scene.product.scl[0].file) as file:
        classes = file.read(1)[1::3, 1::3]  # those of 20 m around the middles of 60 m
    masked, left_out = opened(product), np.isin(classes[:192], [0, 1, 3, 8, 9, 10, 11])
    np.testing.assert_array_equal(masked.read(window).valid, pixels.valid & ~left_out)
    assert masked.clouds.shares["cloud"] == pytest.approx(0.9925, abs=0.003), "as MTD_TL.xml says"
    assert any("leaves in" in text for text in make_plan(product, Settings(force=True), card=FAKE_CARD).warnings)
