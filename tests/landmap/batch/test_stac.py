"""A batch's folder is a STAC catalogue: valid, relocatable, true to the covers, and free of secrets."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from jsonschema import Draft7Validator
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation.local_validator import get_local_schema_cache
from rasterio.warp import transform_bounds
from referencing import Registry, Resource

from landmap import Job, run_batch
from landmap.batch.ledger import Record, describe_files, sha256
from landmap.batch.report import footprints, page, seconds_left, summarise
from landmap.batch.stac import bounds, footprint, make_item
from landmap.inference.plan import make_plan
from landmap.products.sensing_time import LAUNCH, sensing_time
from landmap.run.classify import classify, run_plan
from landmap.run.outputs import Outputs
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.model_file.packaged import packaged_models

CLASSIFIER = ConstantClassifier(3)
L1C = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}
PRODUCT = "S2A_MSIL1C_20230813T100031_N0509_R122_T33TWM_20230813T120000"


def validate(path: Path) -> dict[str, Any]:
    """Hold a file against STAC's core schemas, which pystac brings along."""
    content = json.loads(path.read_text())
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(s)) for uri, s in schemas.items()])
    kind = "item" if content["type"] == "Feature" else "collection"
    (schema,) = (s for uri, s in schemas.items() if uri.endswith(f"/{kind}.json"))
    errors = [error.message for error in Draft7Validator(schema, registry=registry).iter_errors(content)]
    assert not errors, errors
    return dict(content)


@pytest.fixture
def maps(tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """The folder of a batch of three scenes in UTM 33N, one of them in a folder of its own."""
    values = ordinary(40, 50)
    values[:, :10] = 0
    jobs = [
        Job(str(write_scene(values, f"{PRODUCT}.tif", nodata=0, tags=L1C)), "product.tif"),
        Job(str(write_scene(values, "nameless.tif", nodata=0, tags=L1C)), "deeper/nameless.tif"),
        Job(
            str(write_scene(values, "item.tif", nodata=0, tags=L1C)),
            "item.tif",
            acquired="2022-05-01T12:00:00+02:00",
            source="https://host/item.json",
        ),
    ]
    assert run_batch(jobs, tmp_path / "maps", classifier=CLASSIFIER, confidence=True).all_done
    return tmp_path / "maps"


def test_pystac_opens_it_wherever_it_is_moved(maps: Path, tmp_path: Path) -> None:
    moved = shutil.move(maps, tmp_path / "elsewhere")
    collection = pystac.Collection.from_file(str(Path(moved) / "collection.json"))
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {"product", "deeper-nameless", "item"}
    for item in items.values():
        assert item.get_collection() is collection
        assert item.get_parent() is collection
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href() or "").is_file()
    assert items["item"].get_single_link("derived_from").target == "https://host/item.json"  # type: ignore[union-attr]
    (link,) = items["deeper-nameless"].get_links("derived_from")
    assert link.target == "../../nameless.tif"
    assert collection.extent.temporal.intervals[0][0] == LAUNCH
    assert collection.extent.spatial.bboxes[0] == items["item"].bbox


def test_it_is_valid_and_holds_no_absolute_path(maps: Path) -> None:
    for path in [maps / "collection.json", maps / "product.json", maps / "deeper/nameless.json", maps / "item.json"]:
        validate(path)
        assert str(maps.parent) not in path.read_text()


def test_an_item_is_true_to_its_cover(maps: Path) -> None:
    item = pystac.Item.from_file(str(maps / "product.json"))
    with rasterio.open(maps / "product.tif") as file:
        expected = transform_bounds(file.crs, "EPSG:4326", *file.bounds, densify_pts=21)
        np.testing.assert_allclose(item.bbox, expected, atol=2e-6)
        projection = ProjectionExtension.ext(item)
        assert projection.code == "EPSG:32633"
        assert projection.shape == list(file.shape)
        assert projection.transform == list(file.transform)[:6]
        palette = file.colormap(1)
        shares = np.bincount(file.read(1)[10:].ravel(), minlength=10) / (30 * 50)
    cover = item.assets["cover"]
    assert cover.media_type == pystac.MediaType.COG
    assert cover.extra_fields["file:checksum"] == "1220" + sha256(maps / "product.tif")
    (band,) = RasterExtension.ext(cover).bands or []
    assert (band.nodata, band.data_type, band.spatial_resolution) == (255, "uint8", 10)
    classes = ClassificationExtension.ext(cover).classes or []
    assert [c.name for c in classes] == list(CLASSIFIER.card.legend.names)
    for c in classes:
        assert tuple(bytes.fromhex(c.color_hint or "")) == palette[c.value][:3]
        assert c.percentage == pytest.approx(100 * shares[c.value])
    assert item.assets["confidence"].href == "./product_confidence.tif"
    assert "mlm:name" not in item.properties, "a classifier that is no file has no asset of a model"


def test_a_scenes_time_is_told_only_where_it_is_known(maps: Path) -> None:
    product, item, nameless = (
        pystac.Item.from_file(str(maps / name)) for name in ("product.json", "item.json", "deeper/nameless.json")
    )
    assert product.datetime == datetime(2023, 8, 13, 10, 0, 31, tzinfo=UTC)
    assert item.datetime == datetime(2022, 5, 1, 10, tzinfo=UTC)
    assert nameless.datetime is None
    assert nameless.common_metadata.start_datetime == LAUNCH
    assert nameless.common_metadata.end_datetime == nameless.common_metadata.created


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [
        (f"{PRODUCT}.SAFE/GRANULE/x.jp2", {}, datetime(2023, 8, 13, 10, 0, 31, tzinfo=UTC)),
        ("T33TWM_20230813T100031_B04.jp2", {}, datetime(2023, 8, 13, 10, 0, 31, tzinfo=UTC)),
        ("HLS.S30.T33UUP.2023225T100559.v2.0.tif", {}, datetime(2023, 8, 13, 10, 5, 59, tzinfo=UTC)),
        ("SENTINEL2A_20230813-100559-024_L2A_T31TCJ_C_V1-0", {}, datetime(2023, 8, 13, 10, 5, 59, tzinfo=UTC)),
        ("S2B_33TWM_20230813_0_L2A.tif", {}, date(2023, 8, 13)),
        ("S2A_MSIL1C_20231313T100031.tif", {}, None),
        ("map_20230813T100031.tif", {}, None),
        ("a.tif", {"TIFFTAG_DATETIME": "2023:08:13 10:00:31"}, None),
        ("a.tif", {"product_start_time": "2023-08-13T10:00:31.024Z"}, datetime(2023, 8, 13, 10, 0, 31, 24000, UTC)),
        ("a.tif", {"SENSING_TIME": "noon"}, None),
    ],
)
def test_what_tells_the_time(
    name: str, tags: dict[str, str], expected: date | None, write_scene: Callable[..., Path]
) -> None:
    scene = write_scene(np.ones((3, 8, 8), np.uint16), tags=tags)
    assert sensing_time(str(scene) if tags else name) == expected


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Scene:
    return open_scene(write_scene(ordinary(1000, 1000), nodata=0, tags=L1C), card=FAKE_CARD)


def test_a_footprint_is_bent_as_the_ground_is(scene: Scene) -> None:
    """A full-size scene at 70° north: its upper edge is not straight in degrees."""
    wide = dataclasses.replace(scene.geobox, transform=Affine(110, 0, 450_000, 0, -110, 7_800_000))
    geometry = footprint(wide)
    assert geometry is not None
    (ring,) = geometry["coordinates"]
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2
    assert area > 0, "counter-clockwise, as RFC 7946 wants"
    assert 5 < len(ring) <= 81
    expected = transform_bounds(wide.crs, "EPSG:4326", 450_000, 7_690_000, 560_000, 7_800_000, densify_pts=21)
    np.testing.assert_allclose(bounds(geometry), expected, atol=2e-6)


def test_a_footprint_is_cut_at_the_antimeridian(scene: Scene) -> None:
    fiji = dataclasses.replace(
        scene.geobox,
        crs=rasterio.crs.CRS.from_epsg(32760).to_wkt(),
        transform=Affine(110, 0, 790_000, 0, -110, 8_100_000),
    )
    geometry = footprint(fiji)
    assert geometry is not None
    assert geometry["type"] == "MultiPolygon"
    west, south, east, north = bounds(geometry)
    assert 179 < west < 180
    assert -180 < east < -179
    assert -19 < south < north < -16


def test_a_scene_without_a_place_has_an_item_without_one(
    tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    path = write_scene(ordinary(40, 50), crs=None, nodata=0, tags=L1C)
    jobs = [Job(str(path), "a.tif")]
    assert run_batch(jobs, tmp_path / "maps", Settings(force=True), classifier=CLASSIFIER).all_done
    item = validate(tmp_path / "maps/a.json")
    assert (item["geometry"], "bbox" in item) == (None, False)
    assert validate(tmp_path / "maps/collection.json")["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]


def test_no_link_tells_a_password(scene: Scene, tmp_path: Path) -> None:
    cover = tmp_path / "cover.tif"
    result = classify(scene.source.path, cover, classifier=CLASSIFIER, stride=64)
    url = "https://me:secret@host/scene.tif?sig=secret"
    plan = dataclasses.replace(
        result.plan, scene=dataclasses.replace(scene, source=dataclasses.replace(scene.source, path=url))
    )
    result = dataclasses.replace(result, plan=plan)
    files = describe_files(tmp_path, ["cover.tif"])
    item = make_item(result, "cover", tmp_path, acquired=None, source=None, files=files)
    assert "secret" not in json.dumps(item)
    assert "https://host/scene.tif" in json.dumps(item["links"])


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_a_model_that_is_a_file_is_described(tmp_path: Path, scene: Scene) -> None:
    plan = make_plan(scene.source.path, stride=64)
    result = run_plan(plan, Outputs(tmp_path / "cover.tif"), classifier=ConstantClassifier(3, plan.card))
    files = describe_files(tmp_path, ["cover.tif"])
    content = make_item(result, "cover", tmp_path, acquired=None, source=None, files=files)
    (tmp_path / "item.json").write_text(json.dumps(content))
    validate(tmp_path / "item.json")
    item = pystac.Item.from_file(str(tmp_path / "item.json"))
    model = MLMExtension.ext(item)
    assert (model.mlm_name, model.architecture, model.framework) == (plan.card.name, "compact", "Keras")
    assert model.input[0].bands == ["B04", "B03", "B02"]
    assert [c.title for c in model.output[0].classes or []] == list(plan.card.legend.names)
    asset = item.assets["model"]
    assert (asset.roles, asset.extra_fields["mlm:artifact_type"]) == (["mlm:model"], "keras.Model.save")
    assert not asset.href.startswith("/")
    assert Path(asset.get_absolute_href() or "").samefile(plan.model_path or "")


def test_the_report_tells_everything_and_runs_nothing() -> None:
    areas = [{"id": 0, "name": "Forest<b>", "color": "#1b6b35", "pixels": 3, "share": 1.0, "hectares": 0.03}]
    result = {"classes": areas, "nodata_pixels": 0, "precision": "float32", "warnings": ["looks <odd>"]}
    records = [
        Record(1, "a.tif", "<script>alert(1)</script>.tif", "done", 1, seconds=1.25, result=result),
        Record(2, "b.tif", "b.tif", "failed", 2, error='can\'t be read: "<img>"'),
        Record(3, "c.tif", "c.tif"),
    ]
    content = summarise(records)
    assert content["states"] == {"failed": 1, "outdated": 0, "running": 0, "waiting": 1, "cloudy": 0, "done": 1}
    assert (content["scenes"], content["all_done"], content["hectares"]) == (3, False, {"Forest<b>": 0.03})
    assert json.loads(json.dumps(content))["jobs"][1]["error"] == 'can\'t be read: "<img>"'
    html = page("maps & more", content)
    for text in (
        "&lt;script&gt;",
        "Forest&lt;b&gt;",
        "&lt;img&gt;",
        "looks &lt;odd&gt;",
        "1.2",
        "attempt 2",
        "maps &amp;",
    ):
        assert text in html
    assert "<script" not in html
    assert "http" not in html, "it needs no other file"
    assert html.index("b.tif") < html.index("a.tif"), "what failed comes first"


def square(west: float, south: float, side: float) -> list[list[float]]:
    east, north = west + side, south + side
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def corners(path: str) -> tuple[float, float, float, float]:
    """Least x, least y, greatest x and greatest y of a path in SVG."""
    points = [tuple(map(float, pair.split(","))) for pair in path.strip("MZ").replace("ZM", " ").split()]
    x, y = zip(*points, strict=True)
    return min(x), min(y), max(x), max(y)


def test_the_map_has_scenes_where_they_lie() -> None:
    """North is up, east is right, a degree east is half a degree north at 60°; 180° is no border."""
    west = {"type": "Polygon", "coordinates": [square(178, 59.5, 1)]}
    across = {"type": "MultiPolygon", "coordinates": [[square(179.5, 60, 0.5)], [square(-180, 60, 0.5)]]}
    jobs = [{"row": "a", "state": "done", "scene": "a", "footprint": west}]
    jobs += [{"row": "b", "state": "failed", "scene": "b", "footprint": across}, {"row": "c"}]
    found = footprints(jobs)
    assert found is not None
    a, b = (corners(shape["path"]) for shape in found["shapes"])
    assert found["elsewhere"] == 1
    degree = (a[2] - a[0], a[3] - a[1])
    assert degree[0] / degree[1] == pytest.approx(0.5, abs=0.01)
    assert b[0] - a[0] == pytest.approx(1.5 * degree[0], abs=0.3)
    assert b[2] - b[0] == pytest.approx(degree[0], abs=0.3)
    assert b[1] == pytest.approx(a[1], abs=0.3), "both end at 60.5°"
    assert b[3] == pytest.approx(a[1] + 0.5 * degree[1], abs=0.3)
    assert [name for _, name in found["meridians"]] == ["178°E", "178.5°E", "179°E", "179.5°E", "180°W", "179.5°W"]
    assert footprints([{"row": "c"}]) is None


def test_the_page_of_a_batch_at_work_has_pictures_and_the_time_left() -> None:
    files = {"2023/a_cover.tif": {}, "2023/a b_quicklook.png": {}, "2023/a_report.html": {}}
    result = {"classes": [], "warnings": [], "footprint": {"type": "Polygon", "coordinates": [square(11, 48, 1)]}}
    records = [Record(i, f"{i}.tif", "s", "done", seconds=s, files=files, result=result) for i, s in ((1, 30), (2, 90))]
    records += [Record(i, f"{i}.tif", "s", "running") for i in (3, 4)] + [
        Record(5, "5.tif", "s"),
        Record(6, "6.tif", "s"),
    ]
    assert seconds_left(records) == 120, "four scenes of a minute, two at a time"
    html = page("maps", summarise(records, at_work=True))
    assert "about 2 min left" in html
    assert 'src="2023/a%20b_quicklook.png" loading="lazy"' in html
    assert 'href="2023/a_report.html"' in html
    assert html.count('<path class="done"') == 2
    assert 'href="#scene-4"' in html and 'id="scene-4"' in html  # noqa: PT018
    assert " left" not in page("maps", summarise(records)).split("<body>")[1].split("</p>")[0]
