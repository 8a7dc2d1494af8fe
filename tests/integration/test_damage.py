"""A damaged file of any kind that landmap reads is still understood, or refused in one line that names it.

Damage as it comes to files: a download that broke off, a bad disk, an editor, a program with other ideas. `make fuzz`
tries many more: LANDMAP_FUZZ says how many of each kind.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from click.testing import CliRunner

import landmap
from landmap.cli import cli
from landmap.errors import LandmapError
from landmap_models.datasets.chips import open_chips
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.model_file.archive import write_card

COUNT = int(os.environ.get("LANDMAP_FUZZ", "4"))
"""Damaged files of each kind."""
SIZE = 70
CLASSIFIER = ConstantClassifier(3, dataclasses.replace(FAKE_CARD, weights_sha256="5" * 64))
L1C = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}
METADATA = """<?xml version="1.0"?><n1:Level-1C_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/x.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-08-13T10:05:59.024Z</PRODUCT_START_TIME>
<PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL><PROCESSING_BASELINE>05.09</PROCESSING_BASELINE></Product_Info>
<Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE><Radiometric_Offset_List>
<RADIO_ADD_OFFSET band_id="1">-1000</RADIO_ADD_OFFSET><RADIO_ADD_OFFSET band_id="2">-1000</RADIO_ADD_OFFSET>
<RADIO_ADD_OFFSET band_id="3">-1000</RADIO_ADD_OFFSET></Radiometric_Offset_List></Product_Image_Characteristics>
</n1:General_Info></n1:Level-1C_User_Product>"""
ODD_TEXTS = (b"nan", b"-1", b"1e999", b"99999999999999999999", b'""', b"null", b"[]", b"{}", b"true", b"\xff\xfe", b"")
"""What a number or a word in a text may be replaced by."""
TOKEN = re.compile(rb"[A-Za-z_:]+|-?\d+(?:\.\d+)?")


def mutants(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of a file's content, each damaged in one way; the same ones for the same seed.

    Args:
        content: Of a sound file.
        count: How many.
        seed: Of the random numbers.
    """
    rng = random.Random(seed)
    ways = [_cut_off, _flipped, _zeroed, _scrambled, _removed, _doubled]
    if _is_text(content):
        ways += [_token_replaced] * 4
    if content[:2] == b"PK":
        ways += [_member_damaged] * 4
    for _ in range(count):
        yield rng.choice(ways)(content, rng)


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:4096] and content[:2] != b"PK"


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(content))
    return begin, min(len(content), begin + 2 ** rng.randrange(12))


def _cut_off(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    # Headers decide most, and lie at the beginning, or in a zip archive at the end.
    reach = rng.choice([len(content), min(len(content), 512)])
    for _ in range(2 ** rng.randrange(5)):
        place = rng.randrange(reach)
        changed[place if rng.random() < 0.5 else -1 - place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _zeroed(content: bytes, rng: random.Random) -> bytes:
    begin, end = _span(content, rng)
    return content[:begin] + bytes(end - begin) + content[end:]


def _scrambled(content: bytes, rng: random.Random) -> bytes:
    begin, end = _span(content, rng)
    return content[:begin] + rng.randbytes(end - begin) + content[end:]


def _removed(content: bytes, rng: random.Random) -> bytes:
    begin, end = _span(content, rng)
    return content[:begin] + content[end:]


def _doubled(content: bytes, rng: random.Random) -> bytes:
    begin, end = _span(content, rng)
    return content[:end] + content[begin:]


def _token_replaced(content: bytes, rng: random.Random) -> bytes:
    tokens = list(TOKEN.finditer(content))
    if not tokens:
        return content[:-1]
    found = rng.choice(tokens)
    other = rng.choice([*ODD_TEXTS, rng.choice(tokens)[0]])
    return content[: found.start()] + other + content[found.end() :]


def _member_damaged(content: bytes, rng: random.Random) -> bytes:
    """The archive is whole, and one of its files damaged: no checksum notices."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    full = [info for info, inside in members.items() if inside]
    wanted = rng.choice(full)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for info, inside in members.items():
            changed = next(mutants(inside, 1, rng.randrange(2**32))) if info is wanted else inside
            archive.writestr(info.filename, changed, info.compress_type)
    return written.getvalue()


@dataclass(frozen=True)
class Workshop:
    """Makes sound files in a folder, as the fixtures of the other tests do."""

    folder: Path
    write_scene: Callable[..., Path]
    write_band: Callable[..., Path]
    ordinary: Callable[..., npt.NDArray[Any]]

    def scene(self, name: str = "scene.tif", **profile: Any) -> Path:
        """A small scene."""
        return self.write_scene(self.ordinary(SIZE, SIZE), name, nodata=0, tags=L1C, **profile)

    def classify(self, path: Path | str, output: str = "out.tif", **choices: Any) -> landmap.Result:
        """Classify anew."""
        how = {"classifier": CLASSIFIER, "overwrite": True, "stride": 32} | choices
        return landmap.classify(path, self.folder / output, **how)

    def cover(self) -> Path:
        """A cover with its confidence beside it."""
        self.classify(self.scene(), "cover.tif", confidence=self.folder / "confidence.tif")
        return self.folder / "cover.tif"

    def bands(self, folder: str) -> list[Path]:
        """A file for each band."""
        values = dict(zip(("B04", "B03", "B02"), self.ordinary(SIZE, SIZE), strict=True))
        return [
            self.write_band(self.folder / folder / f"T33UUP_20230813T100559_{name}.jp2", pixels, nodata=0)
            for name, pixels in values.items()
        ]

    def run(self, *arguments: object) -> None:
        """The command line, in this process; its own errors as they are raised."""
        done = CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception


Damaged = tuple[Path, Callable[[], object]]
"""The file that is damaged, and what reads it."""


def a_raster(shop: Workshop) -> Damaged:
    path = shop.scene(compress="deflate")
    return path, lambda: shop.classify(path)


def a_raster_in_jpeg_2000(shop: Workshop) -> Damaged:
    path = shop.bands("scene.bands")[0]
    return path, lambda: shop.classify(path.parent, level="L1C")


def a_vrt(shop: Workshop) -> Damaged:
    scene, path = shop.scene(), shop.folder / "scene.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{i}"><Description>{name}</Description><NoDataValue>0</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{scene.name}</SourceFilename><SourceBand>{i}</SourceBand>'
        f"</SimpleSource></VRTRasterBand>"
        for i, name in enumerate(("B04", "B03", "B02"), 1)
    )
    place = "<SRS>EPSG:32633</SRS><GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}">{place}{bands}</VRTDataset>')
    return path, lambda: shop.classify(path, level="L1C")


def a_zipped_product(shop: Workshop) -> Damaged:
    path, name = shop.folder / "product.zip", "S2B_MSIL1C_20230813T100559_N0509_R022_T33UUP_20230813T120000.SAFE"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/MTD_MSIL1C.xml", METADATA)
        for file in shop.bands("tmp"):
            archive.write(file, f"{name}/GRANULE/L1C_T33UUP_A033/IMG_DATA/{file.name}")
    return path, lambda: shop.classify(path)


def metadata_of_a_product(shop: Workshop) -> Damaged:
    root = shop.folder / "S2B_MSIL1C_20230813T100559_N0509_R022_T33UUP_20230813T120000.SAFE"
    shop.bands(f"{root.name}/GRANULE/L1C_T33UUP_A033/IMG_DATA")
    metadata = root / "MTD_MSIL1C.xml"
    metadata.write_text(METADATA)
    return metadata, lambda: shop.classify(root)


def a_zip_of_bands(shop: Workshop) -> Damaged:
    path = shop.folder / "bands.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in shop.bands("tmp"):
            archive.write(file, file.name)
    return path, lambda: shop.classify(path, level="L1C")


def a_stac_item(shop: Workshop) -> Damaged:
    band = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}], "proj:shape": [SIZE, SIZE]}
    assets = {
        file.stem[-3:]: {"href": f"./tmp/{file.name}", "type": "image/jp2", "eo:bands": [{"name": file.stem[-3:]}]}
        | band
        for file in shop.bands("tmp")
    }
    properties = {"datetime": "2023-08-13T10:07:53Z", "proj:epsg": 32633, "processing:level": "L1C"}
    head = {"type": "Feature", "stac_version": "1.0.0", "id": "item", "geometry": None, "links": []}
    path = shop.folder / "item.json"
    path.write_text(json.dumps(head | {"properties": properties, "assets": assets}))
    return path, lambda: shop.classify(path)


def a_mask(shop: Workshop) -> Damaged:
    scene, path = shop.scene(), shop.write_band(shop.folder / "mask.tif", np.ones((SIZE, SIZE), np.uint8))
    return path, lambda: shop.classify(scene, mask=path)


def a_classification(shop: Workshop) -> Damaged:
    scene, path = shop.scene(), shop.write_band(shop.folder / "scl.tif", np.full((SIZE, SIZE), 4, np.uint8))
    return path, lambda: shop.classify(scene, scl=path)


def polygons(number: int = 3) -> str:
    """Squares in the scene's south-east, as GeoJSON."""
    squares = [[[x, y], [x + 1e-3, y], [x + 1e-3, y + 1e-3], [x, y]] for x, y in [(15.002, 45.149)] * number]
    features = [
        {
            "type": "Feature",
            "properties": {"id": i, "class": "Forest"},
            "geometry": {"type": "Polygon", "coordinates": [s]},
        }
        for i, s in enumerate(squares)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def an_area(shop: Workshop) -> Damaged:
    scene, path = shop.scene(), shop.folder / "area.geojson"
    path.write_text(polygons())
    return path, lambda: shop.classify(scene, aoi=path)


def an_area_in_a_geopackage(shop: Workshop) -> Damaged:
    import geopandas

    scene, path = shop.scene(), shop.folder / "area.gpkg"
    (shop.folder / "area.geojson").write_text(polygons())
    geopandas.read_file(shop.folder / "area.geojson").to_file(path)
    return path, lambda: shop.classify(scene, aoi=path)


def zones(shop: Workshop) -> Damaged:
    cover, path = shop.cover(), shop.folder / "zones.geojson"
    path.write_text(polygons())
    return path, lambda: landmap.summarize(cover, shop.folder / "t.csv", zones=path, zone_id="id", overwrite=True)


def reference_polygons(shop: Workshop) -> Damaged:
    cover, path = shop.cover(), shop.folder / "reference.geojson"
    path.write_text(polygons())
    return path, lambda: landmap.assess(cover, path)


def reference_points(shop: Workshop) -> Damaged:
    cover, path = shop.cover(), shop.folder / "points.csv"
    path.write_text("x,y,class\n" + "".join(f"{500_000 + 10 * i},{4_999_900 - 9 * i},Forest\n" for i in range(40)))
    return path, lambda: landmap.assess(cover, path)


def a_cover(shop: Workshop) -> Damaged:
    path = shop.cover()

    def read() -> None:
        landmap.summarize(path, shop.folder / "table.csv", overwrite=True)
        landmap.vectorize(path, shop.folder / "polygons.gpkg", overwrite=True)
        landmap.open_cover(path).load()

    return path, read


def tags_of_a_cover(shop: Workshop) -> Damaged:
    """As another program may have written them: into the file beside it that GDAL reads them from."""
    path = shop.cover()
    with rasterio.open(path) as file:
        tags = file.tags()
    sidecar = path.with_name("cover.tif.aux.xml")
    items = "".join(f"<MDI key={json.dumps(k)}>{v.replace('<', '&lt;')}</MDI>" for k, v in tags.items())
    sidecar.write_text(f"<PAMDataset><Metadata>{items}</Metadata></PAMDataset>")

    def read() -> None:
        landmap.summarize(path, shop.folder / "table.csv", overwrite=True)
        landmap.compare_maps(path, path)
        landmap.vectorize(path, shop.folder / "polygons.gpkg", overwrite=True)
        shop.run("report", shop.folder / "scene.tif", path, "-o", shop.folder / "page.html", "--overwrite")
        landmap.open_cover(path).load()

    return sidecar, read


def a_confidence(shop: Workshop) -> Damaged:
    cover, path = shop.cover(), shop.folder / "confidence.tif"
    return path, lambda: landmap.summarize(cover, shop.folder / "table.csv", confidence=path, overwrite=True)


def a_list_of_jobs(shop: Workshop) -> Damaged:
    shop.scene("a.tif"), shop.scene("b.tif")
    path = shop.folder / "jobs.csv"
    path.write_text(
        'scene,output,options,datetime\na.tif,a_map.tif,"{""stride"": 64}",2023-08-13T10:00:00Z\nb.tif,b_map.tif,,\n'
    )
    return path, lambda: batch(shop, path)


def a_list_of_json_lines(shop: Workshop) -> Damaged:
    shop.scene("a.tif")
    path = shop.folder / "jobs.jsonl"
    path.write_text('{"scene": "a.tif", "output": "a_map.tif", "options": {"stride": 64}}\n')
    return path, lambda: batch(shop, path)


def an_item_collection(shop: Workshop) -> Damaged:
    item, _ = a_stac_item(shop)
    path = shop.folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [json.loads(item.read_text())]}))
    return path, lambda: batch(shop, path)


def a_ledger(shop: Workshop) -> Damaged:
    shop.scene("a.tif")
    batch(shop, shop.folder / "a.tif")
    path = shop.folder / "maps" / "batch.sqlite"

    def read() -> None:
        landmap.batch_status(path.parent)
        batch(shop, shop.folder / "a.tif")

    return path, read


@dataclass
class Tired:
    """A classifier that fails after some chunks, so that a run is cut short."""

    left: int = 5
    card: Any = CLASSIFIER.card

    def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("tired")
        return CLASSIFIER.predict(chips)


def of_a_journal(shop: Workshop, name: str) -> Damaged:
    """A file of what a run left that was cut short; the run after it must end in the same bytes."""
    scene, chunks = shop.scene(), {"stride": 16, "chunk": 32, "threads": 1}
    shop.classify(scene, "whole.tif", **chunks)
    whole = (shop.folder / "whole.tif").read_bytes()
    with pytest.raises(LandmapError, match="tired"):
        shop.classify(scene, "cut.tif", **chunks | {"classifier": Tired()})
    shutil.copytree(shop.folder / "cut.tif.landmap", shop.folder / "left")

    def read() -> None:
        shutil.rmtree(shop.folder / "cut.tif.landmap", ignore_errors=True)
        shutil.copytree(shop.folder / "left", shop.folder / "cut.tif.landmap")
        shop.classify(scene, "cut.tif", **chunks)
        assert (shop.folder / "cut.tif").read_bytes() == whole

    return min((shop.folder / "left").glob(name)), read


def a_chunk_of_a_journal(shop: Workshop) -> Damaged:
    return of_a_journal(shop, "chunk-*.z")


def the_head_of_a_journal(shop: Workshop) -> Damaged:
    return of_a_journal(shop, "journal.json")


def batch(shop: Workshop, source: Path) -> None:
    jobs = [dataclasses.replace(job, options={}) for job in landmap.find_jobs(source)]
    landmap.run_batch(jobs, shop.folder / "maps", classifier=CLASSIFIER, overwrite=True)


def a_model(shop: Workshop) -> Damaged:
    path = shop.folder / "model.keras"
    keras_model(path)
    return path, lambda: load_classifier(path)


def keras_model(path: Path) -> None:
    """A tiny network for the classes of `FAKE_CARD`, with its card."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((64, 64, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, "softmax")]
    keras.Sequential(layers).save(path)
    write_card(path, FAKE_CARD)


def a_card(shop: Workshop) -> Damaged:
    model, path = shop.folder / "model.keras", shop.folder / "card.json"
    keras_model(model)
    path.write_text(FAKE_CARD.to_json())
    return path, lambda: shop.run("models", "describe", model, "--card", path)


def a_chip(shop: Workshop) -> Damaged:
    from PIL import Image

    for name in ("bright", "dark"):
        (shop.folder / "chips" / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((64, 64, 3), 200 if name == "bright" else 20, np.uint8)
            Image.fromarray(pixels).save(shop.folder / "chips" / name / f"{i}.png")
    path = shop.folder / "chips" / "dark" / "1.png"
    return path, lambda: open_chips(shop.folder / "chips").reflectance()


def a_list_of_chips(shop: Workshop) -> Damaged:
    a_chip(shop)
    path = shop.folder / "chips" / "labels.csv"
    path.write_text("file,label\n" + "".join(f"{k}/{i}.png,{k}\n" for k in ("bright", "dark") for i in range(2)))
    return path, lambda: open_chips(path).reflectance()


def a_zip_of_chips(shop: Workshop) -> Damaged:
    a_chip(shop)
    path = Path(shutil.make_archive(str(shop.folder / "archive"), "zip", shop.folder / "chips"))
    return path, lambda: open_chips(path).reflectance()


KINDS = (
    a_raster,
    a_raster_in_jpeg_2000,
    a_vrt,
    a_zipped_product,
    metadata_of_a_product,
    a_zip_of_bands,
    a_stac_item,
    a_mask,
    a_classification,
    an_area,
    an_area_in_a_geopackage,
    zones,
    reference_polygons,
    reference_points,
    a_cover,
    tags_of_a_cover,
    a_confidence,
    a_list_of_jobs,
    a_list_of_json_lines,
    an_item_collection,
    a_ledger,
    a_chunk_of_a_journal,
    the_head_of_a_journal,
    a_model,
    a_card,
    a_chip,
    a_list_of_chips,
    a_zip_of_chips,
)


@pytest.mark.timeout(7200)
# rasterio passes GDAL's messages on, and can't where they are not UTF-8; the command line leaves those out.
@pytest.mark.filterwarnings("ignore:.*rasterio._env.log_error:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damage_is_understood_or_refused(
    kind: Callable[[Workshop], Damaged],
    tmp_path: Path,
    write_scene: Callable[..., Path],
    write_band: Callable[..., Path],
    ordinary: Callable[..., Any],
) -> None:
    path, read = kind(Workshop(tmp_path, write_scene, write_band, ordinary))
    read()  # sound as it is
    sound = path.read_bytes()
    faults = []
    for number, content in enumerate(mutants(sound, COUNT, seed=7)):
        path.write_bytes(content)
        if fault := _fault(read):
            keep = os.environ.get("LANDMAP_FUZZ_KEEP")
            if keep:
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / f"{kind.__name__}-{number}{path.suffix}").write_bytes(content)
            faults.append(f"{number}: {fault}")
    assert not faults, f"{len(faults)} of {COUNT}\n" + "\n".join(faults[:20])


def _fault(read: Callable[[], object]) -> str:
    """What a user would have to complain of; "" where there is nothing."""
    try:
        read()
    except LandmapError as error:
        return "" if len(str(error).splitlines()) == 1 else f"not one line: {error}"
    except OSError as error:  # the command line says these in one line, too
        return "" if error.filename else f"OSError without a file: {error}"
    except Exception as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "landmap" in f.filename][-3:]
        return f"{type(error).__name__}: {str(error)[:200]!r} at {' '.join(own)}"
    return ""
