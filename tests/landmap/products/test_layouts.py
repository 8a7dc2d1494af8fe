"""Folders as HLS, Theia and SNAP deliver them, and those of Landsat, which are refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from landmap.cli import cli
from landmap.errors import BandError, SceneError
from landmap.inference.plan import make_plan
from landmap.products import find_product
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.tiling import Window
from landmap_models.inference.classifier import FAKE_CARD

WriteBand = Callable[..., Path]
HEIGHT, WIDTH = 70, 90
ALL = Window(0, 0, HEIGHT, WIDTH)
NAMES = ("B04", "B03", "B02")
THEIA = "SENTINEL2A_20230813-100559-024_L2A_T31TCJ_C_V1-0"
LANDSAT = "LC08_L2SP_193027_20230813_20230821_02_T1_SR_"


def values(name: str) -> npt.NDArray[np.int16]:
    """Another number in each pixel and band, and a hole that was not seen."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    return rng.integers(100, 4000, (HEIGHT, WIDTH)).astype(np.int16)


def opened(path: Path, **choices: Any) -> Scene:
    return open_scene(path, Settings(**choices), card=FAKE_CARD)


def check(scene: Scene, called: tuple[str, ...] = NAMES, scale: float = 1e-4, offset: float = 0) -> None:
    """The model's bands are those that were written under these names, as L2A."""
    assert scene.radiometry.level == "L2A"
    pixels = open_scene(scene.source.path, Settings(level="L1C"), card=FAKE_CARD).read(ALL)
    expected = np.stack([(values(name) + offset) * scale for name in called], axis=-1)
    np.testing.assert_allclose(pixels.values[pixels.valid], expected[pixels.valid], atol=1e-6)


def refusal(path: Path, **choices: Any) -> str:
    with pytest.raises(SceneError) as caught:
        make_plan(path, card=FAKE_CARD, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- HLS


def hls(folder: Path, write_band: WriteBand, kind: str = "S30", bands: tuple[str, ...] = (*NAMES, "B05")) -> Path:
    for name in (*bands, "SZA", "VAA", "Fmask"):
        drawn = values(name)
        drawn[:5] = -9999
        write_band(folder / f"HLS.{kind}.T33UUP.2023225T100559.v2.0.{name}.tif", drawn)
    return folder


@pytest.mark.parametrize("kind", ["S30", "L30"])
def test_hls(kind: str, tmp_path: Path, write_band: WriteBand) -> None:
    scene = opened(hls(tmp_path / "hls", write_band, kind))
    check(scene)
    assert not scene.read(ALL).valid[:5].any(), "-9999 is no data, though the files do not say so"
    assert not scene.radiometry.assumed
    assert scene.product
    assert scene.product.text.startswith(f"HLS {kind} (")
    assert "sensed 2023-08-13 10:05 UTC" in scene.product.text


def test_b05_of_l30_is_near_infrared(tmp_path: Path, write_band: WriteBand) -> None:
    product = find_product(str(hls(tmp_path / "hls", write_band, "L30", (*NAMES, "B05", "B06", "B10"))))
    assert product
    assert {band.label.split(".")[-2]: band.name for band in product.bands} == {
        **{name: name for name in NAMES},
        "B05": "B8A",
        "B06": "B11",
    }


def test_hls_of_both_satellites_is_no_scene(tmp_path: Path, write_band: WriteBand) -> None:
    hls(tmp_path / "hls", write_band, "S30", ("B04", "B03"))
    hls(tmp_path / "hls", write_band, "L30", ("B02",))
    assert "differ in satellite (L30 and S30)" in refusal(tmp_path / "hls")


# --- Theia

MTD = """<?xml version="1.0"?><Muscate_Metadata_Document><Radiometric_Informations>
<REFLECTANCE_QUANTIFICATION_VALUE>20000</REFLECTANCE_QUANTIFICATION_VALUE>
<Special_Values_List><SPECIAL_VALUE name="nodata">-5000</SPECIAL_VALUE></Special_Values_List>
</Radiometric_Informations></Muscate_Metadata_Document>"""


def theia(folder: Path, write_band: WriteBand, kinds: tuple[str, ...] = ("SRE", "FRE"), nodata: int = -10_000) -> Path:
    for kind in kinds:
        for name in NAMES:
            drawn = values(f"{kind}{name}")
            drawn[:5] = nodata
            write_band(folder / f"{THEIA}_{kind}_{name.replace('0', '')}.tif", drawn)
    write_band(folder / f"MASKS/{THEIA}_CLM_R1.tif", values("CLM"))
    write_band(folder / f"{THEIA}_ATB_R1.tif", values("ATB"))
    return folder


def test_theia_without_the_slope_is_preferred(tmp_path: Path, write_band: WriteBand) -> None:
    scene = opened(theia(tmp_path / THEIA, write_band))
    check(scene, tuple(f"FRE{name}" for name in NAMES))
    assert not scene.read(ALL).valid[:5].any()
    assert not scene.radiometry.assumed
    assert scene.product
    assert scene.product.text == "Theia L2A, of 2023-08-13, FRE rather than SRE, which is there, too, 3 band files"


def test_theia_as_it_is_where_there_is_no_other(tmp_path: Path, write_band: WriteBand) -> None:
    check(opened(theia(tmp_path / THEIA, write_band, ("SRE",))), tuple(f"SRE{name}" for name in NAMES))


def test_theias_kinds_are_not_mixed(tmp_path: Path, write_band: WriteBand) -> None:
    folder = theia(tmp_path / THEIA, write_band)
    (folder / f"{THEIA}_FRE_B3.tif").unlink()
    with pytest.raises(BandError, match="expected a file of band B03"):
        opened(folder)


def test_theias_metadata_and_zip(tmp_path: Path, write_band: WriteBand) -> None:
    folder = theia(tmp_path / "x" / THEIA, write_band, nodata=-5000)
    (folder / f"{THEIA}_MTD_ALL.xml").write_text(MTD)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "x"))
    for path in (folder, packed):
        scene = opened(path)
        check(scene, tuple(f"FRE{name}" for name in NAMES), scale=1 / 20_000)
        assert not scene.read(ALL).valid[:5].any()
    (folder / f"{THEIA}_MTD_ALL.xml").write_text("<a")
    assert "_MTD_ALL.xml: expected the metadata of a product of Theia" in refusal(folder)


# --- SNAP


def dim(folder: Path, factor: str = "1.0E-4", added: str = "-0.1") -> Path:
    names = ("B2", "B3", "B4", "view_zenith_B4", "quality_scene_classification")
    info = "".join(
        f"<Spectral_Band_Info><BAND_INDEX>{i}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME>"
        f"<SCALING_FACTOR>{factor}</SCALING_FACTOR><SCALING_OFFSET>{added}</SCALING_OFFSET>"
        "<NO_DATA_VALUE_USED>true</NO_DATA_VALUE_USED><NO_DATA_VALUE>0.0</NO_DATA_VALUE></Spectral_Band_Info>"
        for i, name in enumerate(names)
    )
    files = "".join(
        f'<Data_File><DATA_FILE_PATH href="s.data/{name}.hdr"/><BAND_INDEX>{i}</BAND_INDEX></Data_File>'
        for i, name in enumerate(names)
    )
    (folder / "s.dim").write_text(
        f"<Dimap_Document><Dataset_Id><DATASET_NAME>S2A_MSIL2A_20230813T100559_resampled</DATASET_NAME></Dataset_Id>"
        f"<Data_Access>{files}</Data_Access><Image_Interpretation>{info}</Image_Interpretation></Dimap_Document>"
    )
    return folder / "s.dim"


@pytest.fixture
def snap(tmp_path: Path, write_band: WriteBand) -> Path:
    """Big-endian, as SNAP writes; an angle of a band, and the SCL under SNAP's name."""
    for name in NAMES:
        drawn = values(name).astype(np.uint16)
        drawn[:5] = 0
        write_band(tmp_path / f"s.data/{name.replace('0', '')}.img", drawn, driver="ENVI")
    write_band(tmp_path / "s.data/view_zenith_B4.img", values("x").astype(np.float32), driver="ENVI")
    classes = np.where(np.arange(HEIGHT) < 9, 9, 4)[:, None].repeat(WIDTH, 1).astype(np.uint8)
    write_band(tmp_path / "s.data/quality_scene_classification.img", classes, driver="ENVI")
    return tmp_path


def test_a_product_of_snap_by_either_name(snap: Path) -> None:
    """It keeps digital numbers, and says in the .dim what they mean."""
    file = dim(snap)
    for path in (file, snap / "s.data"):
        scene = opened(path)
        check(scene, offset=-1000)
        assert not scene.read(ALL).valid[:5].any()
        assert "S2A_MSIL2A" in scene.radiometry.origins["level"]
        valid = opened(path, scl="auto").read(ALL).valid
        assert not valid[:9].any()
        assert valid[9:].all()


def test_a_folder_of_snap_alone(snap: Path) -> None:
    check(opened(snap / "s.data"))


def test_what_is_wrong_with_a_product_of_snap(snap: Path) -> None:
    file = dim(snap)
    shutil.rmtree(snap / "s.data")
    assert refusal(file).endswith("expected its folder s.data beside it, which holds the bands")
    file.write_text("<a")
    assert "expected a product of SNAP (BEAM-DIMAP)" in refusal(file)


# --- Landsat


@pytest.mark.parametrize("name", [f"{LANDSAT}{{}}.TIF", "LC81930272023225LGN00_{}.tif", "SR_{}.tif"])
def test_landsats_bands_are_not_taken_for_sentinels(name: str, tmp_path: Path, write_band: WriteBand) -> None:
    for band in ("B4", "B3", "B2", "B5"):
        write_band(tmp_path / "l" / name.format(band), values(band))
    with pytest.raises(BandError, match=r"Received: Landsat's, by the name .*numbers mean other wavelengths"):
        make_plan(tmp_path / "l", card=FAKE_CARD)


def test_landsat_by_colours_and_its_scale_as_advised(tmp_path: Path, write_band: WriteBand) -> None:
    folder = tmp_path / LANDSAT
    for color, name in zip(("red", "green", "blue"), NAMES, strict=True):
        write_band(folder / f"{color}.tif", values(name).astype(np.uint16) + 8000)
        write_band(tmp_path / "l" / f"{LANDSAT}{name.replace('0', '')}.TIF", values(name))
    advised = re.search(r"--scale (\S+) --offset (\S+) --level (\S+) for", refusal(tmp_path / "l"))
    assert advised
    scale, offset, level = advised.groups()
    told = {"scale": float(scale), "offset": float(offset)}
    assert opened(folder, level=level, **told).radiometry.level == "L2A"
    pixels = opened(folder, level="L1C", **told).read(ALL)
    expected = np.stack([(values(name) + 8000.0) * 2.75e-5 - 0.2 for name in NAMES], axis=-1)
    np.testing.assert_allclose(pixels.values, expected, atol=1e-6)


def test_landsat_in_one_file(write_scene: Callable[..., Path]) -> None:
    stack = np.stack([values(name).astype(np.uint16) + 8000 for name in NAMES])
    path = write_scene(stack, bands=("SR_B4", "SR_B3", "SR_B2"))
    message = refusal(path)
    assert "Say which is which: --bands B04=N,B03=N,B02=N" in message
    given = ["--bands", "B04=1,B03=2,B02=3", "--scale", "0.0000275", "--offset", "-7272.73", "--level", "L2A"]
    assert CliRunner().invoke(cli, ["plan", str(path), *given]).exit_code == 0
    assert "Landsat" in refusal(write_scene(stack, "LC08_L2SP_193027_20230813_x.tif"))


# --- other names


@pytest.mark.parametrize(
    "pattern",
    [
        "2023-08-13-00:00_2023-08-13-23:59_Sentinel-2_L2A_{}_(Raw).tiff",  # Copernicus Browser
        "20230813T100559_20230813T101102_T33UUP.{}.tif",  # Google Earth Engine
        "SENTINEL-2_MSI_20LKP_{}_2023-08-13.tif",  # sits
        "S2A2A_20230813_022_Vienna_{}_10.tif",  # sen2r
        "s2a_30PYT_2023-08-13_final_{}.tif",  # Digital Earth Africa
    ],
)
def test_names_of_other_tools(pattern: str, tmp_path: Path, write_band: WriteBand) -> None:
    for name in (*NAMES, "QA60", "MSK_CLDPRB"):
        write_band(tmp_path / "set" / pattern.format(name).replace(":", "_"), values(name))
    check(opened(tmp_path / "set", level="L2A"))
