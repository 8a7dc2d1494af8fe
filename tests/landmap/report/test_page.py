"""The page about a map, read as HTML; whether it can be used is tested in integration/test_report_in_browser.py."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from PIL import Image

import landmap
from landmap.cli import cli
from landmap.errors import LandmapError, OutputError, SceneError
from landmap.io.publish import Staged
from landmap.report import page as report_page
from landmap.report.page import write_report
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import EUROSAT, LandClass, Legend

TAGS = {"PROCESSING_LEVEL": "Level-1C"}


class Page(HTMLParser):
    """Tags with their attributes, and the text of each kind of tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.html = path.read_text("utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.setdefault(self.tags[-1][0], []).append(data.strip())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def image(self, name: str) -> Image.Image:
        (source,) = (a["src"] for a in self.attributes("img") if a["id"] == name)
        return Image.open(io.BytesIO(base64.b64decode(str(source).split(",")[1])))

    def facts(self) -> dict[str, str]:
        names, texts = ([text for text in self.texts[tag] if text] for tag in ("dt", "dd"))
        return dict(zip(names, texts, strict=True))


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """90x130 px, the 30 in the west without data."""
    values = ordinary(90, 130)
    values[:, :, :30] = 0
    return write_scene(values, tags=TAGS)


@pytest.fixture
def page(scene: Path, tmp_path: Path) -> Page:
    """That of a whole run."""
    landmap.classify(
        scene, tmp_path / "cover.tif", report=tmp_path / "report.html", classifier=ConstantClassifier(1), stride=16
    )
    return Page(tmp_path / "report.html")


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    for tag, attributes in page.tags:
        assert not {"href", "srcset", "onclick", "onload", "action", "data"} & set(attributes), tag
        assert str(attributes.get("src", "data:image/")).startswith("data:image/")
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert "@import" not in page.html
    assert "url(" not in page.html
    assert "://" not in page.html
    (policy,) = (a["content"] for a in page.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert "http" not in str(policy)


def test_pictures_show_what_the_rasters_hold(page: Page, tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "cover.tif") as file:
        is_valid = file.read(1) != 255
    cover = np.asarray(page.image("cover").convert("RGBA"))
    assert (cover[is_valid] == (*EUROSAT.classes[1].rgb, 255)).all()
    assert (cover[~is_valid][:, 3] == 0).all(), "no data is transparent"
    photo = np.asarray(page.image("scene").convert("RGBA"))
    assert (photo[..., 3] == np.where(is_valid, 255, 0)).all()
    assert photo[is_valid][:, :3].std() > 5, "true colour has contrast"
    confidence = np.asarray(page.image("confidence").convert("RGBA"))
    assert (confidence[is_valid] == (0xFD, 0xE7, 0x25, 255)).all(), "the constant classifier is certain"


def test_numbers_are_those_of_the_cover(page: Page, tmp_path: Path) -> None:
    numbers = ["90.0", "100.0 %", "100 %"]
    assert [text for text in page.texts["td"] if text] == ["Forest", *numbers, "all classes", *numbers]
    assert "23.1 % of the scene has no data" in page.html
    assert "AnnualCrop, HerbaceousVegetation" in page.html
    facts = page.facts()
    assert facts["Model"] == "constant 1"
    assert facts["CRS"] == "WGS 84 / UTM zone 33N (EPSG:32633)"
    assert facts["Level"] == "L1C (the file's tag PROCESSING_LEVEL)"
    assert facts["Settings"] == "stride 16"
    assert str(tmp_path) not in page.html
    assert json.loads(page.texts["pre"][0])["scene"]["path"] == "scene.tif"


def test_only_what_is_asked_for_is_left(page: Page, tmp_path: Path) -> None:
    assert {p.name for p in tmp_path.iterdir()} == {
        "scene.tif",
        "cover.tif",
        "cover.tif.aux.xml",
        "cover.qml",
        "report.html",
    }


def test_a_report_from_files_says_the_same(page: Page, scene: Path, tmp_path: Path) -> None:
    """All but the plan and what only it knows."""
    landmap.classify(
        scene,
        tmp_path / "again.tif",
        confidence=tmp_path / "confidence.tif",
        classifier=ConstantClassifier(1),
        stride=16,
    )
    write_report(scene, tmp_path / "again.tif", tmp_path / "2.html", confidence=tmp_path / "confidence.tif")
    later = Page(tmp_path / "2.html")
    for name in ("scene", "cover", "confidence"):
        assert (np.asarray(later.image(name)) == np.asarray(page.image(name))).all()
    assert later.texts["td"] == page.texts["td"]
    assert later.facts().items() <= page.facts().items()
    assert "pre" not in later.texts
    write_report(scene, tmp_path / "again.tif", tmp_path / "3.html")
    assert "confidence" not in {a["id"] for a in Page(tmp_path / "3.html").attributes("img")}


def test_names_are_text(write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path) -> None:
    evil = "<script>alert(1)<\u2215script>&\"'"
    legend = Legend((LandClass(0, "</script><img src=x>", "#123456"), LandClass(1, "b", "#123457")))
    scene = write_scene(ordinary(70, 70), name=f"{evil}.tif", tags=TAGS)
    classifier = ConstantClassifier(0, replace(FAKE_CARD, name="<b>bold", legend=legend))
    landmap.classify(
        scene, tmp_path / "c.tif", report=tmp_path / "r.html", quicklook=tmp_path / "q.png", classifier=classifier
    )
    page = Page(tmp_path / "r.html")
    assert len(page.attributes("script")) == 2
    assert len(page.attributes("img")) == 3
    assert not page.attributes("b")
    assert page.texts["h1"][0] == f"Land cover of {evil}.tif"
    data = json.loads(page.texts["script"][0])
    assert data["classes"][0]["name"] == "</script><img src=x>"


def test_large_scenes_are_thinned_out(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "MAX_SIDE", 50)
    landmap.classify(scene, tmp_path / "c.tif", report=tmp_path / "r.html", classifier=ConstantClassifier(1))
    page = Page(tmp_path / "r.html")
    assert {page.image(name).size for name in ("scene", "cover", "confidence")} == {(50, 35)}
    colors = {tuple(c) for c in np.asarray(page.image("cover").convert("RGBA")).reshape(-1, 4).tolist()}
    assert colors == {(*EUROSAT.classes[1].rgb, 255), (0, 0, 0, 0)}, "classes are never mixed"
    assert json.loads(page.texts["script"][0])["metres"] == pytest.approx(26, rel=0.01)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_without_place_or_data_has_a_page(write_scene: Callable[..., Path], tmp_path: Path) -> None:
    nowhere = write_scene(np.zeros((3, 70, 70), np.uint16), crs=None, transform=Affine.identity(), tags=TAGS)
    result = landmap.classify(
        nowhere, tmp_path / "c.tif", report=tmp_path / "r.html", classifier=ConstantClassifier(), force=True
    )
    page = Page(tmp_path / "r.html")
    assert [text for text in page.texts["li"] if text] == list(result.warnings)
    assert "no pixel of the scene has data" in result.warnings[-1]
    assert {"north", "scale"}.isdisjoint(str(a.get("id")) for _, a in page.tags)
    assert "No pixel of the scene has data." in page.html


def test_a_model_without_true_colour_shows_its_own_bands(
    write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    bands = tuple(replace(band, name=name) for band, name in zip(FAKE_CARD.bands, ("B8A", "B11", "B04"), strict=True))
    scene = write_scene(ordinary(70, 70), bands=("B8A", "B11", "B04"), tags=TAGS)
    classifier = ConstantClassifier(1, replace(FAKE_CARD, bands=bands, levels=("L1C",)))
    landmap.classify(scene, tmp_path / "c.tif", report=tmp_path / "r.html", classifier=classifier)
    page = Page(tmp_path / "r.html")
    assert "The scene in B8A, B11, B04" in page.html
    assert np.asarray(page.image("scene"))[..., :3].std() > 20


def test_a_key_in_the_address_stays_out(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = landmap.open_scene(tmp_path / "scene.tif", card=FAKE_CARD)
    secret = replace(opened, source=replace(opened.source, path="https://host/folder/scene.tif?sig=SECRET"))
    monkeypatch.setattr(report_page, "composite", lambda scene, most: real(opened, most))
    made = report_page.Map(secret, tmp_path / "cover.tif", warnings=(f"{secret.source.path}: looks odd",))
    html = report_page.render(made)
    assert "SECRET" not in html
    assert "host" not in html
    assert "scene.tif: looks odd" in html


real = report_page.composite


@pytest.mark.parametrize(
    ("report", "message"),
    [("page.pdf", "ends in .html"), ("there.html", "exists already"), ("no/r.html", "folder that")],
)
def test_reports_that_can_not_be_written_are_refused_before_any_work(
    report: str, message: str, scene: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.html").write_text("precious")
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=message):
        landmap.classify(scene, tmp_path / "c.tif", report=tmp_path / report, classifier=ConstantClassifier())
    with pytest.raises(OutputError, match=message):
        write_report(scene, tmp_path / "c.tif", tmp_path / report)
    assert {p.name for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("quicklook", ["look.jpg", "there.png"])
def test_quicklooks_that_can_not_be_written_are_refused_before_any_work(
    quicklook: str, scene: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.png").write_text("precious")
    with pytest.raises(OutputError, match=r"ends in \.png|exists already"):
        landmap.classify(scene, tmp_path / "c.tif", quicklook=tmp_path / quicklook, classifier=ConstantClassifier())
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "there.png"}


def test_all_or_none(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the picture fails there is no cover either; the old page stays."""

    def fail(*arguments: object) -> Staged:
        raise OSError(28, "No space left on device")

    (tmp_path / "r.html").write_text("old")
    monkeypatch.setattr("landmap.run.outputs.draw_quicklook", fail)
    outputs = {"report": tmp_path / "r.html", "quicklook": tmp_path / "q.png", "overwrite": True}
    with pytest.raises(OutputError, match=r"q\.png: can't be written: No space left"):
        landmap.classify(scene, tmp_path / "c.tif", **outputs, classifier=ConstantClassifier())
    assert (tmp_path / "r.html").read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "r.html"}
    monkeypatch.undo()
    landmap.classify(scene, tmp_path / "c.tif", **outputs, classifier=ConstantClassifier())
    assert "Land cover of" in (tmp_path / "r.html").read_text()
    with Image.open(tmp_path / "q.png") as picture:
        assert picture.format == "PNG"


def test_the_command_line_says_where_the_page_lies(scene: Path, page: Page, tmp_path: Path) -> None:
    arguments = [str(scene), str(tmp_path / "cover.tif"), "-o", str(tmp_path / "cli.html")]
    done = CliRunner().invoke(cli, ["report", *arguments], catch_exceptions=False)
    assert done.output.strip() == str(tmp_path / "cli.html")
    assert Page(tmp_path / "cli.html").texts["td"][0] == "Forest"
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(cli, ["report", *arguments], catch_exceptions=False)
    CliRunner().invoke(cli, ["report", *arguments, "--overwrite"], catch_exceptions=False)


def test_rasters_that_do_not_belong_together_are_refused(
    scene: Path, page: Page, write_scene: Callable[..., Path], ordinary: Callable[..., Any], tmp_path: Path
) -> None:
    other = write_scene(ordinary(90, 131), name="other.tif", tags=TAGS)
    with pytest.raises(SceneError, match=r"expected the cover of .*other\.tif"):
        write_report(other, tmp_path / "cover.tif", tmp_path / "r.html")
    with pytest.raises(LandmapError, match="expected a cover written by landmap"):
        write_report(scene, scene, tmp_path / "r.html")
    with pytest.raises(LandmapError, match="expected a raster of confidence"):
        write_report(scene, tmp_path / "cover.tif", tmp_path / "r.html", confidence=tmp_path / "cover.tif")
    assert not (tmp_path / "r.html").exists()
