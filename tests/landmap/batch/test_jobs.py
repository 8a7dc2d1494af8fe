"""What names the scenes of a batch, and what is refused before any work."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap.batch.jobs import Job, check_jobs, default_output, find_jobs
from landmap.errors import SceneError, SettingsError
from landmap.io import remote
from landmap.maps.tags import LAYER_TAG
from landmap.products import find_product
from landmap.settings import Settings

BANDS = ("B04", "B03", "B02")
SIGNATURE = "x" * 300
"""Too long for the name of a file."""


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_gives_its_scenes_in_order_and_names_what_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "b.tif", "a.jp2", "a.tif.aux.xml", "notes.txt", ".hidden.tif", "deeper/c.tif")
    jobs = find_jobs(tmp_path)
    assert [(Path(j.scene).name, j.output) for j in jobs] == [("a.jp2", "a_cover.tif"), ("b.tif", "b_cover.tif")]
    deeper, notes = jobs.skipped
    assert deeper.startswith(f"{tmp_path / 'deeper'} (a folder with 1 scene in it; give it by itself")
    assert notes.startswith(f"{tmp_path / 'notes.txt'} (its ending is that of no scene")
    (job,) = find_jobs(tmp_path / "deeper")
    assert job.output == "c_cover.tif"


def test_a_folder_of_downloads(tmp_path: Path) -> None:
    """Whatever `classify` takes is a scene: a folder of bands, zips of one, an Item; and what is broken fails later."""
    touch(tmp_path, *(f"S2B_33UUP_20230813_0_L2A/{name}.tif" for name in BANDS), "x.SAFE/notes.txt", "cube.nc")
    touch(tmp_path, "HLS.v2.0/B04.tif", "s.dim", "s.data/B4.img")
    for name, inner in (("bands", "B04.tif"), ("inside", "S2/B04.tif"), ("texts", "notes.txt")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as file:
            file.writestr(inner, "")
    (tmp_path / "broken.zip").write_text("PK")
    touch(tmp_path, "around/S2_20230813/B04.tif", "several/S2_20230813/B04.tif", "several/notes.txt", "several/a.zip")
    touch(tmp_path, "mixed/B04_20230813.tif", "mixed/B03_20230901.tif")
    (tmp_path / "item.json").write_text(json.dumps(item("i", {"B04": {"href": "B04.tif"}})))
    (tmp_path / "shapes.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    jobs = find_jobs(tmp_path)
    assert [job.output for job in jobs] == [
        "HLS.v2.0_cover.tif",
        "S2B_33UUP_20230813_0_L2A_cover.tif",
        "around_cover.tif",
        "bands_cover.tif",
        "broken_cover.tif",
        "cube_cover.tif",
        "inside_cover.tif",
        "i_cover.tif",
        "mixed_cover.tif",
        "s_cover.tif",
        "x_cover.tif",
    ]
    assert [Path(text.split(" (")[0]).name for text in jobs.skipped] == ["several", "shapes.geojson", "texts.zip"]
    assert "a folder with 2 scenes in it; give it by itself" in jobs.skipped[0]


def test_a_folder_that_is_a_scene_is_that_scene(tmp_path: Path) -> None:
    touch(tmp_path, *(f"S2_20230813/{name}.tif" for name in BANDS))
    assert [job.scene for job in find_jobs(tmp_path / "S2_20230813")] == [str(tmp_path / "S2_20230813")]
    touch(tmp_path, "mixed/B04_20230813.tif", "mixed/B03_20230901.tif")
    with pytest.raises(SceneError, match="expected the bands of one scene"):
        find_jobs(tmp_path / "mixed")


def test_maps_are_no_scenes(tmp_path: Path, write_scene: Callable[..., Path]) -> None:
    write_scene(np.ones((3, 8, 8), np.uint16), "a.tif")
    write_scene(np.ones((3, 8, 8), np.uint16), "a_cover.tif", tags={LAYER_TAG: "classes"})
    jobs = find_jobs(tmp_path)
    assert [Path(job.scene).name for job in jobs] == ["a.tif"]
    assert not jobs.skipped


def test_a_glob_scenes_and_lists_can_be_mixed(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "y/b.tif", "c.tif")
    (tmp_path / "more.jsonl").write_text('{"scene": "x/d.tif"}\n\n{"scene": "e.tif", "options": {"stride": 16}}\n')
    jobs = find_jobs([f"{tmp_path}/**/[ab].tif", tmp_path / "c.tif", tmp_path / "more.jsonl"])
    assert [j.output for j in jobs] == ["a_cover.tif", "b_cover.tif", "c_cover.tif", "d_cover.tif", "e_cover.tif"]
    assert jobs[-1].options == {"stride": 16}


def test_a_csv_names_scenes_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path, "scenes/a.tif")
    (tmp_path / "jobs.csv").write_text(
        "\ufeffscene,output,options,datetime\r\n"
        'scenes/a.tif,2023/a.tif,"{""stride"": 16, ""bands"": ""3,2,1""}",2023-08-13T10:00:31Z\r\n'
        f"https://host/b.tif?sig={SIGNATURE},,,\r\n"
        "/vsizip/c.zip/c.tif,,,\r\n"
        "gone.tif,,,\r\n"
    )
    first, *others = find_jobs(tmp_path / "jobs.csv")
    assert first == Job(
        str(tmp_path / "scenes/a.tif"), "2023/a.tif", {"stride": 16, "bands": "3,2,1"}, "2023-08-13T10:00:31Z"
    )
    assert first.name == "2023-a"
    assert [(j.scene, j.output) for j in others] == [
        (f"https://host/b.tif?sig={SIGNATURE}", "b_cover.tif"),
        ("/vsizip/c.zip/c.tif", "c_cover.tif"),
        (str(tmp_path / "gone.tif"), "gone_cover.tif"),
    ]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_list_of_another_separator_is_read(mark: str, tmp_path: Path) -> None:
    rows = ["scene", "output", "options"], ["a.tif", "2023/a.tif", '"{""stride"": 16, ""bands"": ""3,2,1""}"']
    (tmp_path / "jobs.csv").write_text("".join(mark.join(row) + "\r\n" for row in rows))
    (job,) = find_jobs(tmp_path / "jobs.csv")
    assert job == Job(str(tmp_path / "a.tif"), "2023/a.tif", {"stride": 16, "bands": "3,2,1"})


def test_the_list_in_the_documents_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/scenes.md").read_text()
    (tmp_path / "jobs.csv").write_text(page.split("```csv\n")[1].split("```")[0])
    (job,) = find_jobs(tmp_path / "jobs.csv")
    (own,) = check_jobs([job], Settings())
    assert (job.output, own.stride, own.level) == ("2023/a.tif", 16, "L2A")


def item(name: str, assets: dict[str, Any], **more: Any) -> dict[str, Any]:
    properties = {"datetime": "2023-08-13T10:00:31Z"}
    return {"type": "Feature", "stac_version": "1.0.0", "id": name, "properties": properties, "assets": assets} | more


def test_items_of_one_raster_each(tmp_path: Path) -> None:
    bands = {"roles": ["data"], "href": "./scene.tif"}
    itself = [{"rel": "self", "href": "https://user:secret@host/items/b.json"}]
    items = [
        item("a", {"bands": bands, "thumbnail": {"href": "t.png", "roles": ["thumbnail"]}}),
        item("b", {"bands": bands, "mask": {"roles": ["data"], "href": "m.tif"}}, links=itself),
    ]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with pytest.raises(SettingsError, match=r"one that holds them all.*bands, mask.*--asset bands$"):
        find_jobs(path)
    a, b = find_jobs(path, asset="bands")
    assert a == Job(str(tmp_path / "scene.tif"), "a_cover.tif", {}, "2023-08-13T10:00:31Z", str(path))
    assert b.scene == "https://user:secret@host/items/scene.tif"
    assert b.source == "https://host/items/b.json"
    with pytest.raises(SettingsError, match=r"items.json#a: a: expected an asset mask. Received: bands, thumbnail"):
        find_jobs(path, asset="mask")


def test_items_of_an_asset_for_each_band_are_scenes_by_their_names(tmp_path: Path) -> None:
    """The name of an Item in a list is one that `classify` takes; its files are told apart by the Items' own place."""
    assets = {color: {"href": f"./{name}.tif"} for color, name in zip(("red", "green", "blue"), BANDS, strict=True)}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [item("a", assets), item("b/c", assets)]}))
    jobs = find_jobs(path)
    assert [(job.scene, job.output) for job in jobs] == [(f"{path}#a", "a_cover.tif"), (f"{path}#b/c", "b-c_cover.tif")]
    for job in jobs:
        product = find_product(job.scene)
        assert product
        assert [Path(band.file) for band in product.bands] == [tmp_path / f"{name}.tif" for name in BANDS]
        assert str(path) in product.local_files()
    with pytest.raises(SceneError, match=rf"one STAC Item.*: a, b/c\. Name one of them, such as {path}#a, or give all"):
        find_product(str(path))
    with pytest.raises(SceneError, match="one Item with the id d"):
        find_product(f"{path}#d")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "path\nx.tif\n", "line 2: expected scene,output,options,datetime.*Received: path"),
        ("a.csv", "scene,output\nx.tif\n,y.tif\n", "line 3: expected .* at least scene. Received: output"),
        ("a.csv", "scene\nx.tif,y.tif\n", "line 2: expected"),
        ("a.csv", "scene\n", "expected a line for each scene"),
        ("a.csv", 'scene,options\nx.tif,"{stride}"\n', "line 2, options: can't be read as JSON"),
        ("a.jsonl", '{"scene": "x.tif"}\n["y.tif"]\n', "line 2: expected .*Received: .'y.tif'."),
        ("a.jsonl", '{"scene": 3}', "line 1: expected texts"),
        (
            "a.json",
            '{"type": "FeatureCollection", "features": []}',
            "expected a STAC Item, or an ItemCollection with items",
        ),
        ("a.json", '{"scene": "x.tif"}', "expected a STAC Item"),
        ("a.json", "{", "expected JSON"),
        ("gone.csv", None, "No such file"),
        ("empty/*.tif", None, "expected scenes. Received none"),
        ("", None, "expected scenes. Received none"),
    ],
)
def test_what_is_no_list_is_refused(name: str, text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=says):
        find_jobs(tmp_path / name)


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        ([], "Expected at least one scene"),
        ([Job("x/a.tif", "a.tif"), Job("y/A.tif", "A.tif")], "x/a.tif and y/A.tif would both become A.tif"),
        ([Job("a", "b/c.tif"), Job("b", "b-c.tiff")], "an output of its own"),
        ([Job("a", "../a.tif")], "a: expected as output a .tif inside the batch's folder"),
        ([Job("a", "/tmp/a.tif")], "inside the batch's folder"),
        ([Job("a", ".a.tif")], "inside the batch's folder"),
        ([Job("a", "a.json")], "expected as output a .tif"),
        ([Job("a", "a.tif", {"strides": 8})], "a: Expected settings out of .*Received: strides"),
        ([Job("a", "a.tif", {"level": "L3"})], "a: level: expected"),
        ([Job("a", "a.tif", {"smooth": "no"})], "smooth: expected true or false. Received: 'no'"),
        ([Job("a", "a.tif", {"model": 3})], "model: expected a name"),
        ([Job("a", "a.tif", acquired="yesterday")], "Expected a time such as"),
    ],
)
def test_jobs_that_can_not_be_meant_are_refused(jobs: list[Job], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        check_jobs(jobs, Settings())


def test_options_are_put_on_top_of_the_settings() -> None:
    own, other = check_jobs([Job("a", "a.tif", {"stride": 16}), Job("b", "b.tif")], Settings(stride=32, smooth=True))
    assert (own.stride, own.smooth, other.stride) == (16, True, 32)


@pytest.mark.parametrize(
    ("scene", "told", "output"),
    [
        ("https://me:secret@host/x/a.tif?sig=secret", "https://host/x/a.tif", "a_cover.tif"),
        ("/vsicurl/https://me:secret@host/a.tif", "/vsicurl/https://host/a.tif", "a_cover.tif"),
        ("s3://bucket/a.b.tif", "s3://bucket/a.b.tif", "a.b_cover.tif"),
        ("what?.tif", "what?.tif", "what?_cover.tif"),
        ("x/S2A_MSIL1C.SAFE/", "x/S2A_MSIL1C.SAFE/", "S2A_MSIL1C_cover.tif"),
    ],
)
def test_names_hold_no_secret(scene: str, told: str, output: str) -> None:
    assert (remote.redacted(scene), default_output(scene)) == (told, output)
