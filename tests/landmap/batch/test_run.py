"""Every scene of a batch is classified once, whatever fails, is killed or is started twice."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import landmap
from landmap import Job, batch_status, find_jobs, run_batch
from landmap.batch.ledger import NAME, Ledger, Record, sha256
from landmap.batch.run import batch_counts
from landmap.batch.tasks import Extras
from landmap.cli import cli
from landmap.errors import BatchError, ChunkError, LandmapError, OutputError, SettingsError
from landmap.executors.threads import ThreadExecutor
from landmap.run.classify import classify
from landmap.run.outputs import Derived
from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.classifier import ConstantClassifier

CLASSIFIER = ConstantClassifier(3)
L1C = {"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"}


@pytest.fixture
def scenes(tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Callable[[int], Path]:
    """A function that makes so many small scenes, `s00.tif`, `s01.tif` …, in a folder."""

    def make(number: int) -> Path:
        (tmp_path / "scenes").mkdir()
        for i in range(number):
            write_scene(ordinary(40, 50, i), f"scenes/s{i:02}.tif", nodata=0, tags=L1C)
        return tmp_path / "scenes"

    return make


def run(source: Path, **how: Any) -> landmap.BatchResult:
    return run_batch(find_jobs(source), source.parent / "maps", **{"classifier": CLASSIFIER} | how)


def states(records: tuple[Record, ...]) -> list[str]:
    return [record.state for record in records]


def attempts(folder: Path) -> list[int]:
    with Ledger(folder) as ledger:
        return [record.attempts for record in ledger.records()]


def test_all_good_ones_are_done_and_all_bad_ones_named(
    scenes: Callable[[int], Path], tmp_path: Path, hear: Callable[..., None]
) -> None:
    folder, told = scenes(20), []
    bad = [folder / "s03.tif", folder / "s11.tif"]
    bad[0].write_bytes(bad[0].read_bytes()[:5000])
    bad[1].write_text("no raster")
    hear(told.append, logging.WARNING)
    found = run(folder)
    assert found.counts == {"done": 18, "failed": 2}
    assert not found.all_done
    assert [Path(r.scene).name for r in found.records if r.state == "failed"] == ["s03.tif", "s11.tif"]
    assert len(told) == 2
    assert all("can't be read" in text and str(path) in text for text, path in zip(told, bad, strict=True))
    for record in found.records:
        cover = tmp_path / "maps" / record.output
        assert cover.exists() == (record.state == "done")
        if record.state == "done":
            assert record.sha256 == sha256(cover)
            with rasterio.open(cover) as file:
                assert (file.read(1) == 3).all()


def test_a_second_run_does_what_is_left(
    scenes: Callable[[int], Path], tmp_path: Path, hear: Callable[..., None]
) -> None:
    folder = scenes(3)
    good = (folder / "s01.tif").read_bytes()
    (folder / "s01.tif").write_text("no raster")
    assert states(run(folder).records) == ["done", "failed", "done"]
    told: list[str] = []
    hear(told.append, logging.WARNING)
    assert states(run(folder).records) == ["done", "failed", "done"]
    assert attempts(tmp_path / "maps") == [1, 1, 1], "what failed is left alone"
    assert len(told) == 1, "and named"
    assert "s01.tif: can't be read" in told[0]
    assert states(run(folder, retry_failed=True).records) == ["done", "failed", "done"]
    assert attempts(tmp_path / "maps") == [1, 2, 1]
    (folder / "s01.tif").write_bytes(good)
    assert run(folder).all_done, "it is no longer the scene that failed"
    assert attempts(tmp_path / "maps") == [1, 3, 1]


def test_the_cover_is_that_of_classify(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder = scenes(1)
    run(folder, settings=landmap.Settings(stride=16), confidence=True)
    classify(folder / "s00.tif", tmp_path / "alone.tif", classifier=CLASSIFIER, stride=16)
    assert (tmp_path / "maps/s00_cover.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()
    with rasterio.open(tmp_path / "maps/s00_cover_confidence.tif") as file:
        assert (file.read(1) == 100).all()


@pytest.fixture
def downloads(tmp_path: Path, write_band: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """As people keep them: a folder of bands, the same zipped, a list of STAC Items, and something else."""
    folder = tmp_path / "downloads"
    for name, values in zip(("B04", "B03", "B02"), ordinary(40, 50), strict=True):
        write_band(folder / f"S2B_33UUP_20230813/{name}.tif", values, tags=L1C)
    shutil.make_archive(str(folder / "packed"), "zip", folder / "S2B_33UUP_20230813")
    (folder / "notes.txt").write_text("to do")
    assets = {name: {"href": f"./S2B_33UUP_20230813/{name}.tif"} for name in ("B04", "B03", "B02")}
    item = {"type": "Feature", "stac_version": "1.0.0", "geometry": None, "links": [], "assets": assets}
    when = {"properties": {"datetime": "2023-08-13T10:00:31Z"}}
    items = [item | when | {"id": name} for name in ("one", "other")]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


def test_batch_takes_what_classify_takes(downloads: Path, tmp_path: Path, hear: Callable[..., None]) -> None:
    told: list[str] = []
    jobs = find_jobs([downloads, downloads / "items.json"])
    hear(told.append, logging.WARNING)
    found = run_batch(jobs, tmp_path / "maps", classifier=CLASSIFIER)
    assert found.all_done
    names = [f"{name}_cover.tif" for name in ("S2B_33UUP_20230813", "packed", "one", "other")]
    assert [record.output for record in found.records] == names
    for job in jobs:
        classify(job.scene, tmp_path / job.output, classifier=CLASSIFIER)
        assert (tmp_path / "maps" / job.output).read_bytes() == (tmp_path / job.output).read_bytes()
    described = json.loads((tmp_path / "maps/other_cover.json").read_text())
    assert described["properties"]["datetime"] == "2023-08-13T10:00:31Z"
    assert {"rel": "derived_from", "href": "../downloads/items.json"} in described["links"]


def test_what_is_skipped_is_told_and_reported(downloads: Path, tmp_path: Path, hear: Callable[..., None]) -> None:
    told: list[str] = []
    hear(told.append, logging.WARNING)
    run_batch(find_jobs(downloads), tmp_path / "maps", classifier=CLASSIFIER)
    report = json.loads((tmp_path / "maps/report.json").read_text())
    for text, file in zip(report["skipped"], ("items.json", "notes.txt"), strict=True):
        assert text.startswith(f"{downloads / file} (")
        assert f"skipped, as it is no scene: {text}" in told
        assert str(downloads / file) in (tmp_path / "maps/report.html").read_text()


def test_an_item_of_a_list_is_done_once_from_wherever_the_list_is_named(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_batch(find_jobs(downloads / "items.json"), tmp_path / "maps", classifier=CLASSIFIER)
    monkeypatch.chdir(downloads)
    assert run_batch(find_jobs("items.json"), tmp_path / "maps", classifier=CLASSIFIER).all_done
    assert attempts(tmp_path / "maps") == [1, 1]


def test_jobs_may_have_folders_and_options(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder = scenes(2)
    (tmp_path / "jobs.csv").write_text('scene,output,options\nscenes/s00.tif,a/x.tif,"{""stride"": 32}"\n')
    jobs = [*find_jobs(tmp_path / "jobs.csv"), *find_jobs(folder / "s01.tif")]
    assert run_batch(jobs, tmp_path / "maps", stride16(), classifier=CLASSIFIER).all_done
    found = []
    for name in ("a/x.tif", "s01_cover.tif"):
        with rasterio.open(tmp_path / "maps" / name) as file:
            found.append(file.tags()["LANDMAP_STRIDE"])
    assert found == ["32", "16"]


def stride16() -> landmap.Settings:
    return landmap.Settings(stride=16)


def test_what_was_made_otherwise_is_said_and_not_replaced_unasked(
    scenes: Callable[[int], Path], tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    folder = scenes(2)
    run(folder)
    before = (tmp_path / "maps/s00_cover.tif").read_bytes()
    found = run(folder, settings=stride16())
    assert states(found.records) == ["outdated", "outdated"]
    assert all("was made with other settings (stride). Give --overwrite" in r.error for r in found.records)
    assert (tmp_path / "maps/s00_cover.tif").read_bytes() == before
    assert run(folder).all_done, "as it was made, it is up to date"
    write_scene(ordinary(40, 50, 7), "scenes/s01.tif", nodata=0, tags=L1C)
    os.utime(folder / "s01.tif", ns=(1, 1))
    found = run(folder)
    assert states(found.records) == ["done", "outdated"]
    assert "was made before the scene was changed" in found.records[1].error
    assert attempts(tmp_path / "maps") == [1, 1]
    assert run(folder, overwrite=True).all_done
    assert attempts(tmp_path / "maps") == [1, 2], "what is up to date is not done again"
    other = dataclasses.replace(CLASSIFIER.card, version="2")
    assert "with another model" in run(folder, classifier=ConstantClassifier(3, other)).records[0].error


def test_lost_and_changed_outputs_are_noticed(
    scenes: Callable[[int], Path], tmp_path: Path, hear: Callable[..., None]
) -> None:
    folder, maps = scenes(3), tmp_path / "maps"
    run(folder)
    (maps / "s00_cover.tif").unlink()
    with (maps / "s01_cover.tif").open("ab") as file:
        file.write(b"more")
    os.utime(maps / "s02_cover.tif", ns=(1, 1))
    lost, changed, touched = batch_status(maps)
    assert (lost.state, lost.error) == ("outdated", "s00_cover.tif is gone")
    assert (changed.state, changed.error) == ("outdated", "s01_cover.tif was changed since")
    assert touched.state == "done", "its content is what it was"
    told: list[str] = []
    hear(told.append)
    found = run(folder)
    assert states(found.records) == ["done", "outdated", "done"]
    assert "s00_cover.tif is gone: doing it again" in told[0]
    assert (maps / "s01_cover.tif").read_bytes().endswith(b"more")
    assert run(folder, overwrite=True).all_done
    assert attempts(maps) == [2, 2, 1]


def test_a_file_that_is_no_batchs_is_never_replaced_unasked(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder, maps = scenes(2), tmp_path / "maps"
    maps.mkdir()
    (maps / "s00_cover.tif").write_text("precious")
    (maps / "s01_cover.json").write_text("precious")
    found = run(folder)
    assert states(found.records) == ["failed", "failed"]
    assert all("exists already" in record.error for record in found.records)
    assert (maps / "s00_cover.tif").read_text() == (maps / "s01_cover.json").read_text() == "precious"
    assert not (maps / "s01_cover.tif").exists()
    assert run(folder, overwrite=True, retry_failed=True).all_done
    (tmp_path / "other").mkdir()
    (tmp_path / "other/report.html").write_text("precious")
    with pytest.raises(OutputError, match=r"report.html: exists already, and is no batch's"):
        run_batch(find_jobs(folder), tmp_path / "other", classifier=CLASSIFIER)


def test_a_scene_whose_item_fails_leaves_nothing(
    scenes: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scenes(1)

    def full(*_: object, **__: object) -> None:
        raise OutputError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("landmap.batch.run.write_item", full)
        assert states(run(folder).records) == ["failed"]
    assert not list((tmp_path / "maps").glob("s00*"))
    assert run(folder, retry_failed=True).all_done


def test_any_error_of_a_scene_is_only_its_own(scenes: Callable[[int], Path]) -> None:
    class Broken(ConstantClassifier):
        def predict(self, chips: Floats) -> Floats:
            raise MemoryError("on purpose")

    folder = scenes(2)
    found = run(folder, classifier=Broken())
    assert states(found.records) == ["failed", "failed"]
    assert "MemoryError: on purpose" in found.records[0].error


def test_an_output_is_never_a_scene_of_the_batch(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    """A scene that lies below the batch's folder, by the name that another scene's cover is to get."""
    one, other = sorted(scenes(2).glob("*.tif"))[:2]
    (tmp_path / "maps/2023").mkdir(parents=True)
    there = one.rename(tmp_path / "maps/2023/a.tif")
    before = there.read_bytes()
    jobs = [Job(str(there), "a_cover.tif"), Job(str(other), "2023/a.tif")]
    with pytest.raises(OutputError, match=r"2023/a\.tif: is read by this batch itself"):
        run_batch(jobs, tmp_path / "maps", classifier=CLASSIFIER, overwrite=True)
    assert there.read_bytes() == before


def test_nothing_is_begun_where_the_whole_can_not_be_meant(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder = scenes(1)
    for how, error in (
        ({"settings": landmap.Settings(model="gone.keras"), "classifier": None}, ModelError),
        ({"settings": landmap.Settings(), "jobs": []}, SettingsError),
    ):
        jobs = how.pop("jobs", find_jobs(folder))
        with pytest.raises(error):
            run_batch(jobs, tmp_path / "maps", **{"classifier": CLASSIFIER} | how)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="of the scenes lies there"):
        run_batch(find_jobs(folder), folder, classifier=CLASSIFIER)
    jobs = [Job(str(folder / "s00.tif"), name) for name in ("a.tif", "a_confidence.tif")]
    with pytest.raises(SettingsError, match=r"Two would write a_confidence.tif"):
        run_batch(jobs, tmp_path / "maps", classifier=CLASSIFIER, confidence=True)
    assert not (tmp_path / "maps").exists()
    with pytest.raises(LandmapError, match="expected the folder of a batch"):
        batch_status(tmp_path)


def test_ctrl_c_leaves_the_rest_to_the_next_run(
    scenes: Callable[[int], Path], tmp_path: Path, hear: Callable[..., None]
) -> None:
    folder, told = scenes(3), []

    class Interrupted(ConstantClassifier):
        def predict(self, chips: Floats) -> Floats:
            raise KeyboardInterrupt

    assert run_batch(find_jobs(folder / "s00.tif"), tmp_path / "maps", classifier=CLASSIFIER).all_done
    with pytest.raises(KeyboardInterrupt):
        run(folder, classifier=Interrupted())
    assert json.loads((tmp_path / "maps/report.json").read_text())["states"]["done"] == 1
    now = batch_status(tmp_path / "maps")
    assert [(r.state, r.error) for r in now[1:]] == [("waiting", "its run was cut short"), ("waiting", "")]
    hear(told.append)
    assert run(folder).all_done
    assert "s01.tif: was cut short: doing it again" in told[0]
    assert attempts(tmp_path / "maps") == [1, 2, 1]


def test_the_executor_reaches_classify(scenes: Callable[[int], Path]) -> None:
    class Refusing(ThreadExecutor):
        def prepare(self, plan: object, classifier: object) -> NoReturn:
            raise ChunkError("nowhere to compute")

    assert run(scenes(1), executor=Refusing()).records[0].error == "nowhere to compute"


PROGRAM = """
import logging, sys, time
from pathlib import Path
from landmap import find_jobs, run_batch
from landmap_models.inference.classifier import ConstantClassifier

class Slow(ConstantClassifier):
    def predict(self, chips):
        Path(sys.argv[3]).touch()
        time.sleep(float(sys.argv[4]))
        return super().predict(chips)

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
found = run_batch(find_jobs(sys.argv[1]), sys.argv[2], classifier=Slow(3))
sys.exit(not found.all_done)
"""


def start(folder: Path, sleep: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, folder, folder.parent / "maps", folder.parent / "begun", sleep]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def cloudy(tmp_path: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """Three scenes with a classification: a tenth cloud, half cloud, and one without a classification."""
    (tmp_path / "scenes").mkdir()
    for name, rows in (("few", 4), ("many", 20)):
        classes = np.full((40, 50), 4)  # vegetation
        classes[:rows] = 9  # cloud
        values = np.concatenate([ordinary(40, 50), classes[None].astype(np.uint16)])
        write_scene(values, f"scenes/{name}.tif", bands=("B04", "B03", "B02", "SCL"))
    write_scene(ordinary(40, 50), "scenes/none.tif", nodata=0, tags=L1C)
    return tmp_path / "scenes"


def test_scenes_of_more_cloud_are_skipped_and_said_so(cloudy: Path, tmp_path: Path, hear: Callable[..., None]) -> None:
    told: list[str] = []
    hear(told.append)
    found = run(cloudy, max_cloud=20)
    assert states(found.records) == ["done", "cloudy", "done"]
    assert found.all_done
    assert found.records[1].error == "50.0 % cloud, more than 20 % (--max-cloud): skipped"
    assert any("many.tif: 50.0 % cloud" in text for text in told)
    assert not list((tmp_path / "maps").glob("many*"))
    (warning,) = [text for text in found.records[2].result["warnings"] if "--max-cloud" in text]
    assert "the scene's cloud is not known" in warning
    assert states(run(cloudy, max_cloud=49.9).records) == ["done", "cloudy", "done"]
    assert attempts(tmp_path / "maps") == [1, 1, 1], "it need not be read again to know that"
    assert states(run(cloudy, max_cloud=50).records) == ["done"] * 3
    assert attempts(tmp_path / "maps") == [1, 2, 1]
    with pytest.raises(SettingsError, match="max_cloud: expected 0 to 100"):
        run(cloudy, max_cloud=101)


def test_each_scene_has_a_line_in_the_log(cloudy: Path, tmp_path: Path, hear: Callable[..., None]) -> None:
    told: list[str] = []
    hear(told.append)
    run(cloudy)
    few = next(text for text in told if "few.tif" in text)
    assert "done in " in few
    assert ", 0.00 Mpx, " in few
    assert f"; {CLASSIFIER.card.legend.names[3]} 100.0 %; left out: 10.0 % cloud" in few
    none = next(text for text in told if "none.tif" in text)
    assert "; warning: " in none


def test_polygons_tables_pages_and_pictures_of_each_scene(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    """They are the files that classify writes, in the catalogue, and part of what a scene's outputs are."""
    folder, maps = scenes(1), tmp_path / "maps"
    extras = Extras(vector="geojson", summary="csv", report=True, quicklook=True)
    assert run(folder, extras=extras).all_done
    derived = Derived(vector=tmp_path / "p.geojson", summary=tmp_path / "a.csv")
    classify(folder / "s00.tif", tmp_path / "s00_cover.tif", classifier=CLASSIFIER, derived=derived)
    assert (maps / "s00_cover_polygons.geojson").read_bytes() == (tmp_path / "p.geojson").read_bytes()
    assert (maps / "s00_cover_areas.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    assert "<html" in (maps / "s00_cover_report.html").read_text()
    assert (maps / "s00_cover_quicklook.png").read_bytes().startswith(b"\x89PNG")
    assets = json.loads((maps / "s00_cover.json").read_text())["assets"]
    assert {key: (maps / asset["href"]).is_file() for key, asset in assets.items()} == dict.fromkeys(
        ("cover", "vector", "summary", "report", "quicklook"), True
    )
    (maps / "s00_cover_quicklook.png").unlink()
    assert batch_status(maps)[0].error == "s00_cover_quicklook.png is gone"
    assert run(folder, extras=extras).all_done
    assert (maps / "s00_cover_quicklook.png").exists()
    assert "was made for other outputs" in run(folder).records[0].error


def test_what_the_files_of_a_scene_need_is_refused_before_any_work(
    scenes: Callable[[int], Path], tmp_path: Path
) -> None:
    for extras, error in (
        (Extras(summary="csv", zones=tmp_path / "gone.gpkg", zone_id="name"), "gone.gpkg"),
        (Extras(summary="xls"), "expected a file name that ends in"),
    ):
        with pytest.raises(LandmapError, match=error):
            run(scenes(1) if not (tmp_path / "scenes").exists() else tmp_path / "scenes", extras=extras)
    assert not (tmp_path / "maps").exists()


def test_a_scene_that_fails_for_a_while_is_tried_again(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    broken = [MemoryError("for a while")] * 2

    class Recovering(ConstantClassifier):
        def predict(self, chips: Floats) -> Floats:
            if broken:
                raise broken.pop()
            return CLASSIFIER.predict(chips)

    folder = scenes(2)
    begin = time.monotonic()
    assert run(folder, classifier=Recovering(), retries=2, retry_after=0.3).all_done
    assert time.monotonic() - begin >= 0.3
    assert attempts(tmp_path / "maps") == [2, 2], "after all others, in one round"
    (folder / "s01.tif").write_text("no raster")
    assert states(run(folder, overwrite=True, retries=2, retry_after=0).records) == ["done", "failed"]
    assert attempts(tmp_path / "maps") == [2, 5]
    assert states(run(folder).records) == ["done", "failed"]
    assert attempts(tmp_path / "maps") == [2, 5], "later runs leave it alone"


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    received: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204 if self.path == "/good" else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.received.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_hook_hears_of_failures_and_of_the_end(
    scenes: Callable[[int], Path], hook: str, hear: Callable[..., None]
) -> None:
    folder = scenes(4)
    for name in ("s01.tif", "s02.tif", "s03.tif"):
        (folder / name).write_text("no raster")
    run(folder, notify=f"{hook}/good", retries=1, retry_after=0)
    first, last = Hook.received
    assert (first["event"], last["event"]) == ("failed", "finished")
    assert first["failures"][0]["scene"].endswith("s01.tif")
    assert "can't be read" in first["failures"][0]["error"]
    assert [Path(f["scene"]).name for f in last["failures"]] == ["s02.tif", "s03.tif"], "those of the same minute"
    assert last["states"] == {"done": 1, "failed": 3}
    assert last["text"].startswith("landmap batch maps: finished (")
    told: list[str] = []
    hear(told.append, logging.WARNING)
    assert run(folder, notify=f"{hook}/secret").counts["done"] == 1, "a hook that refuses ends no batch"
    run(folder, notify="http://127.0.0.1:1/secret")
    refused = [text for text in told if "can't notify" in text]
    assert refused == [
        "can't notify http://127.0.0.1 that the batch finished: status 500",
        "can't notify http://127.0.0.1 that the batch finished: URLError",
    ]
    with pytest.raises(SettingsError, match="notify: expected an address that begins with http"):
        run(folder, notify="file:///etc/passwd")


def test_a_hook_hears_of_a_run_that_is_stopped(scenes: Callable[[int], Path], hook: str) -> None:
    class Interrupted(ConstantClassifier):
        def predict(self, chips: Floats) -> Floats:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenes(1), classifier=Interrupted(), notify=f"{hook}/good")
    assert [(m["event"], m["states"]) for m in Hook.received] == [("stopped", {"running": 1})]


def test_a_batch_at_work_is_seen_and_its_page_is_there(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    """What a run that was killed has left is no run at work."""
    process = start(scenes(2), 600)
    maps = tmp_path / "maps"
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.02)
    page = json.loads((maps / "report.json").read_text())
    assert (page["at_work"], page["states"]["waiting"]) == (True, 2)
    assert 'http-equiv="refresh"' in (maps / "report.html").read_text()
    seen = CliRunner().invoke(cli, ["batch", "status", str(maps)])
    assert (seen.exit_code, seen.exception) == (0, None)
    assert seen.stdout.splitlines()[-1] == "0 of 2 scenes are done: 1 running, 1 waiting"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert [*batch_counts(maps)] == [{"running": 1, "waiting": 1}]
    assert isinstance(CliRunner().invoke(cli, ["batch", "status", str(maps), "--watch"]).exception, BatchError)
    assert not list(maps.glob(".*run-*"))
    assert run(tmp_path / "scenes").all_done
    assert 'http-equiv="refresh"' not in (maps / "report.html").read_text()


def test_two_runs_at_once_share_the_work(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder = scenes(12)
    runs = [start(folder, 0.1) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    maps = tmp_path / "maps"
    assert attempts(maps) == [1] * 12
    with Ledger(maps) as ledger:
        assert len({record.runner for record in ledger.records()}) == 2, "both took part"
    assert json.loads((maps / "report.json").read_text())["all_done"]
    assert len([n for n in json.loads((maps / "collection.json").read_text())["links"] if n["rel"] == "item"]) == 12
    assert not [p.name for p in maps.iterdir() if p.name.startswith(".")], "no lock and no temporary file is left"


def test_a_killed_run_is_noticed_at_once(
    scenes: Callable[[int], Path], tmp_path: Path, hear: Callable[..., None]
) -> None:
    """Its scene is waited for as long as it lives, and done by the run that waits when it is killed."""
    folder = scenes(2)
    killed = start(folder, 600)
    while not (tmp_path / "begun").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    assert states(batch_status(tmp_path / "maps")) == ["running", "waiting"]
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        if "waiting for" in text:
            killed.send_signal(signal.SIGKILL)
            killed.communicate(timeout=10)

    hear(say)
    assert run(folder).all_done
    told = [text for text in told if "done in" not in text]
    assert "waiting for 1 of the scenes" in told[0]
    assert "was cut short" in told[1]
    assert attempts(tmp_path / "maps") == [2, 1]


def test_an_output_of_a_run_that_was_killed_before_it_said_so_is_its_own(
    scenes: Callable[[int], Path], tmp_path: Path
) -> None:
    """Between the cover's last rename and the ledger's line."""
    folder, maps = scenes(1), tmp_path / "maps"
    jobs = find_jobs(folder)
    run(folder)
    shutil.move(maps / "s00_cover.tif", tmp_path / "kept.tif")
    with Ledger(maps) as ledger:
        record = ledger.get("s00_cover.tif")
        (maps / "s00_cover.json").unlink()
        assert ledger.start(record, record.scene, record.made_with, owns=True)
        assert not ledger.start(record, record.scene, record.made_with, owns=True), "somebody has started it since"
    shutil.move(tmp_path / "kept.tif", maps / "s00_cover.tif")
    assert run_batch(jobs, maps, classifier=CLASSIFIER).all_done
    assert attempts(maps) == [3]


def test_what_was_to_be_replaced_still_is_after_a_kill(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    class Interrupted(ConstantClassifier):
        def predict(self, chips: Floats) -> Floats:
            raise KeyboardInterrupt

    folder = scenes(1)
    run(folder)
    with pytest.raises(KeyboardInterrupt):
        run(folder, settings=stride16(), overwrite=True, classifier=Interrupted())
    assert (tmp_path / "maps/s00_cover.tif").exists()
    assert run(folder, settings=stride16()).all_done
    with rasterio.open(tmp_path / "maps/s00_cover.tif") as file:
        assert file.tags()["LANDMAP_STRIDE"] == "16"


def test_a_damaged_item_is_named_and_healed(scenes: Callable[[int], Path], tmp_path: Path) -> None:
    folder, item = scenes(2), tmp_path / "maps/s00_cover.json"
    run(folder)
    item.write_text("{")
    with pytest.raises(OutputError, match=r"s00_cover.json: can't be read as a STAC Item. Remove it"):
        run(folder)
    item.unlink()
    assert run(folder).all_done
    assert json.loads(item.read_text())["id"] == "s00_cover"


@pytest.mark.usefixtures("interruptible")
def test_a_signal_waits_for_the_ledgers_line(tmp_path: Path) -> None:
    def jobs() -> Iterator[tuple[str, str]]:
        yield "a.tif", "a"
        signal.raise_signal(signal.SIGINT)
        yield "b.tif", "b"

    with Ledger(tmp_path, create=True) as ledger:
        with pytest.raises(KeyboardInterrupt):
            ledger.enrol(jobs())
        assert [record.output for record in ledger.records()] == ["a.tif", "b.tif"]


def test_no_secret_of_a_url_is_kept(tmp_path: Path, hear: Callable[..., None]) -> None:
    """Nobody listens at port 1."""
    job = Job("/vsicurl/http://me:secret@localhost:1/a.tif?sig=secret", "a.tif")
    told: list[str] = []
    hear(told.append, logging.WARNING)
    found = run_batch([job], tmp_path / "maps", classifier=CLASSIFIER)
    assert found.records[0].state == "failed"
    assert "/vsicurl/http://localhost:1/a.tif: can't be read" in told[0]
    for path in (tmp_path / "maps").iterdir():
        assert b"secret" not in path.read_bytes(), path.name


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "maps").mkdir()
    with sqlite3.connect(tmp_path / "maps" / NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(OutputError, match=r"expected version 1. Received: 99"):
        batch_status(tmp_path / "maps")
    (tmp_path / "maps" / NAME).write_bytes(np.random.default_rng(0).bytes(4096))
    with pytest.raises(OutputError, match="can't be used as a batch's ledger"):
        batch_status(tmp_path / "maps")
