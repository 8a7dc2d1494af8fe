"""Evaluations and their reports, with classifiers and chips that are made up; no TensorFlow but in the last test."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import zipfile
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from landmap_models.errors import DatasetError, ModelError, ReportError
from landmap_models.evaluation import evaluate as module
from landmap_models.evaluation import report
from landmap_models.evaluation.evaluate import Evaluation, evaluate
from landmap_models.evaluation.leakage import Learnt, parts_of, read_split
from landmap_models.inference.classifier import FAKE_CARD, ConstantClassifier
from landmap_models.legend import legend_for
from landmap_models.model_file.archive import SPLIT_MEMBER
from landmap_models.model_file.card import ModelCard

NAMES = ("dark", "grey", "bright")
LOG = [{"epoch": i, "loss": 1 / (i + 1), "val_loss": 1.2 / (i + 1), "learning_rate": 0.1} for i in range(4)]
CARD = dataclasses.replace(
    FAKE_CARD,
    name="levels",
    chip_size=8,
    legend=legend_for(NAMES),
    reflectance_range=(0.0, 1.0),
    training={"log": LOG, "split": {"method": "stratified"}},
)


@dataclasses.dataclass(frozen=True)
class FakeChips:
    """Chips whose reflectance is that of their class; every seventh is one class brighter than its label says."""

    files: tuple[str, ...]
    labels: Sequence[Any]
    class_names: tuple[str, ...]
    root: Path = Path("made/up")

    def subset(self, indices: npt.NDArray[np.intp]) -> FakeChips:
        files, labels = tuple(self.files[i] for i in indices), tuple(self.labels[i] for i in indices)
        return dataclasses.replace(self, files=files, labels=labels)

    def reflectance(self) -> npt.NDArray[Any]:
        levels = [
            (NAMES.index(self.class_names[label]) + (int(file.split("_")[1][:-4]) % 7 == 0)) % 3
            for file, label in zip(self.files, self.labels, strict=True)
        ]
        return np.tile((0.1 + 0.4 * np.array(levels, np.float32))[:, None, None, None], (1, 8, 8, 3))


def chips_of(class_names: tuple[str, ...] = NAMES, each: int = 40) -> FakeChips:
    pairs = [(f"data/{name}/{name}_{i}.jpg", k) for k, name in enumerate(class_names) for i in range(each)]
    return FakeChips(tuple(f for f, _ in pairs), tuple(k for _, k in pairs), class_names)


@dataclasses.dataclass(frozen=True)
class LevelClassifier:
    """Tells the class from the mean reflectance, and is 80 % sure."""

    card: ModelCard = CARD

    def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        levels = ((chips.mean(axis=(1, 2, 3)) - 0.1) / 0.4).round().astype(int)
        return (0.1 + 0.7 * np.eye(3))[levels].astype(np.float32)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a page refers to, and the tags that are open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    folder = tmp_path_factory.mktemp("evaluation")
    return evaluate(LevelClassifier(), chips_of(), folder / "report"), folder


def test_the_folder_holds_the_whole_report_and_nothing_else(done: tuple[Evaluation, Path]) -> None:
    found, folder = done
    assert [p.name for p in folder.iterdir()] == ["report"]
    assert found.files == tuple(folder / "report" / name for name in report.FILES)
    assert sorted(p.name for p in (folder / "report").iterdir()) == sorted(report.FILES)
    for path in found.files:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
                assert min(picture.size) > 200


def test_the_numbers_are_those_of_counting(done: tuple[Evaluation, Path]) -> None:
    """Six of forty chips a class are wrong: numbers 0, 7, 14 … 35."""
    found, folder = done
    assert found.metrics["n"] == 120
    assert found.metrics["accuracy"]["value"] == round(102 / 120, 4)
    assert found.metrics["confusion"] == [[34, 6, 0], [0, 34, 6], [6, 0, 34]]
    assert found.metrics["expected_calibration_error"]["value"] == pytest.approx(102 / 120 - 0.8, abs=1e-4)
    assert json.loads((folder / "report/metrics.json").read_text()) == found.metrics
    table = rows_of(folder / "report/per_class.csv")
    assert [row["class"] for row in table] == list(NAMES)
    assert table[0] == {"class": "dark", "precision": "0.85", "recall": "0.85", "f1": "0.85", "support": "40"}
    predictions = rows_of(folder / "report/predictions.csv")
    assert [row["file"] for row in predictions] == list(chips_of().files)
    assert predictions[0] == {
        "file": "data/dark/dark_0.jpg",
        "true": "dark",
        "predicted": "grey",
        "probability": "0.8000",
    }


def test_the_page_stands_alone(done: tuple[Evaluation, Path]) -> None:
    text = (done[1] / "report/report.html").read_text()
    page = Page(text)
    assert not page.open
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.sources)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link", re.sub(r"base64,[^\"]*", "", text))
    for part in ("levels on up", "width=device-width", "Macro F1", "Cohen&#39;s kappa", "0.8500", "Weighted F2"):
        assert part in text, part


def test_the_gallery_begins_with_the_surest_mistakes() -> None:
    right = np.array([True, False, True, False, False])
    probability = np.array([0.9, 0.6, 0.4, 0.95, 0.7], np.float32)
    assert module.gallery_order(right, probability).tolist() == [3, 4, 1, 2, 0]


def test_captions_hold_the_true_class_in_brackets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(
        "landmap_models.evaluation.figures.draw_gallery", lambda *args: (drawn.extend(args), args[0].touch())
    )
    evaluate(LevelClassifier(), chips_of(), tmp_path / "report", resamples=5)
    _, pictures, captions, right = drawn
    assert len(pictures) == len(captions) == len(right) == 48
    assert captions[0] == ("grey 80 %", "[dark]")
    assert right.tolist() == [False] * 18 + [True] * 30


def test_the_order_of_class_folders_does_not_matter(done: tuple[Evaluation, Path], tmp_path: Path) -> None:
    found = evaluate(LevelClassifier(), chips_of(("bright", "dark", "grey")), tmp_path / "report")
    for name in ("accuracy", "per_class", "confusion"):
        assert found.metrics[name] == done[0].metrics[name]


def test_batches_are_bounded_and_change_nothing(
    done: tuple[Evaluation, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 50)
    seen: list[tuple[int, int]] = []
    found = evaluate(LevelClassifier(), chips_of(), tmp_path / "report", progress=lambda *x: seen.append(x))
    assert seen == [(50, 120), (100, 120), (120, 120)]
    assert found.metrics == done[0].metrics


def test_classes_that_the_model_does_not_know_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"class white\. Expected classes out of: dark, grey, bright\. Received: dark, w"
    ):
        evaluate(LevelClassifier(), chips_of(("dark", "white")), tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_classes_without_chips_and_with_few_are_told(tmp_path: Path) -> None:
    chips = chips_of(("bright", "dark"), each=10)
    found = evaluate(LevelClassifier(), chips, tmp_path / "report")
    assert "Fewer than 30 chips of dark 10, bright 10: the numbers of these classes are loose." in found.warnings
    assert "No chips of grey: averages leave these classes out." in found.warnings
    assert "No chips of grey" in (tmp_path / "report/report.html").read_text()
    assert rows_of(tmp_path / "report/per_class.csv")[1]["recall"] == ""


def test_one_chip_is_enough_for_a_report(tmp_path: Path) -> None:
    chips = chips_of().subset(np.array([1]))
    found = evaluate(LevelClassifier(), chips, tmp_path / "report")
    assert found.metrics["accuracy"]["value"] == 1
    assert found.metrics["roc_auc"] == {"value": None, "low": None, "high": None}


def several_classes() -> FakeChips:
    """Every chip has its folder's class, every fifth the first and the last."""
    chips = chips_of()
    labels = [(k,) if i % 5 else (0, 2) for i, k in enumerate(chips.labels)]
    return MidGrey(chips.files, labels, chips.class_names)


def test_chips_may_have_several_classes(tmp_path: Path) -> None:
    model = LevelClassifier(dataclasses.replace(CARD, task="multi-label"))
    found = evaluate(model, several_classes(), tmp_path / "report", resamples=50)
    assert found.metrics["task"] == "multi-label"
    assert found.metrics["subset_accuracy"]["value"] == round(32 / 120, 4)
    assert found.metrics["hamming_loss"]["value"] == round((24 * 3 + 64 * 2) / 360, 4)
    assert len(found.files) == len(report.FILES)
    assert rows_of(tmp_path / "report/predictions.csv")[0]["true"] == "dark;bright"
    assert "Hamming loss" in (tmp_path / "report/report.html").read_text()


def test_thresholds_of_the_card_decide(tmp_path: Path) -> None:
    """The model gives 0.1, 0.8, 0.1: with these thresholds that is the first class and the last."""
    card = dataclasses.replace(CARD, task="multi-label", thresholds=(0.05, 0.9, 0.05))
    found = evaluate(LevelClassifier(card), several_classes(), tmp_path / "report", resamples=5)
    assert found.metrics["subset_accuracy"]["value"] == round(24 / 120, 4)
    assert {row["predicted"] for row in rows_of(tmp_path / "report/predictions.csv")} == {"dark;bright"}


def test_chips_of_one_class_can_try_a_model_of_several(tmp_path: Path) -> None:
    card = dataclasses.replace(CARD, task="multi-label")
    found = evaluate(LevelClassifier(card), chips_of(), tmp_path / "report", resamples=5)
    assert found.metrics["subset_accuracy"]["value"] == round(102 / 120, 4)


def test_chips_of_several_classes_are_nothing_for_a_model_of_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected one class a chip, as levels knows"):
        evaluate(LevelClassifier(), several_classes(), tmp_path / "report")


def test_files_that_were_left_out_are_told(tmp_path: Path) -> None:
    found = evaluate(LevelClassifier(), Skipping(**vars(chips_of())), tmp_path / "report", resamples=5)
    assert "2 files were left out: a.jpg: broken; b.jpg: broken" in found.warnings


def test_land_of_16_bits_is_not_shown_in_the_dark() -> None:
    """Such a card says 0 to 1; land is 0.1 and its training chips seldom above 0.27."""
    chips = np.full((1, 2, 2, 3), 0.1, np.float32)
    assert module.true_color(chips, CARD).mean() > 100
    assert module.true_color(chips * 2.7, CARD).mean() > 250


# Parts of the model's own data.


def model_with_split(path: Path, split: dict[str, str], header: str = "file,split") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(SPLIT_MEMBER, header + "\n" + "".join(f"{f},{p}\n" for f, p in split.items()))
    return path


SPLIT = {file: ("train", "train", "validation", "test")[i % 4] for i, file in enumerate(chips_of().files)}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model file that records a split and is opened as `LevelClassifier`."""
    path = model_with_split(tmp_path / "model.keras", SPLIT)
    monkeypatch.setattr(
        "landmap_models.inference.chip_average.load_chip_classifier", lambda path, sha256: LevelClassifier()
    )
    monkeypatch.setattr(module, "weights_sha256", lambda path: "")
    return path


def test_a_part_is_the_chips_that_the_model_records(model: Path, tmp_path: Path) -> None:
    found = evaluate(model, chips_of(), tmp_path / "report", part="test", resamples=10)
    files = [row["file"] for row in rows_of(tmp_path / "report/predictions.csv")]
    assert files == [file for file, part in SPLIT.items() if part == "test"]
    assert found.metrics["part"] == "test"
    assert not any("training part" in warning for warning in found.warnings)
    assert any("split at random" in warning for warning in found.warnings)


def test_leakage_is_told(model: Path, tmp_path: Path) -> None:
    found = evaluate(model, chips_of(), tmp_path / "report", resamples=10)
    assert found.warnings[0].startswith("60 of these 120 chips were in the model's training part")
    assert "60 of these 120 chips" in (tmp_path / "report/report.html").read_text()


def test_leakage_is_seen_through_another_folder(model: Path, tmp_path: Path) -> None:
    chips = dataclasses.replace(chips_of(), files=tuple(f.replace("data/", "elsewhere/x/") for f in SPLIT))
    found = evaluate(model, chips, tmp_path / "report", resamples=10)
    assert found.warnings[0].startswith("60 of these 120")


def test_new_chips_are_no_leakage(model: Path, tmp_path: Path) -> None:
    chips = dataclasses.replace(
        chips_of(), files=tuple(f.replace("/dark_", "/new_").replace("/grey_", "/new_") for f in SPLIT)
    )
    chips = chips.subset(np.arange(80))
    assert not any("train" in w for w in evaluate(model, chips, tmp_path / "report", resamples=10).warnings)


def test_a_classifier_without_a_record_is_told(tmp_path: Path) -> None:
    found = evaluate(LevelClassifier(), chips_of(), tmp_path / "report", resamples=10)
    assert found.warnings == (
        "The model doesn't say which chips it was trained on, so some of these may have been among them.",
    )
    with pytest.raises(ModelError, match="records no split"):
        evaluate(LevelClassifier(), chips_of(), tmp_path / "other", part="test")


def test_missing_and_training_chips_are_told(model: Path, tmp_path: Path) -> None:
    few = chips_of().subset(np.arange(60))
    found = evaluate(model, few, tmp_path / "report", part="train", resamples=10)
    assert found.metrics["n"] == 30
    assert "numbers say nothing about new ones" in found.warnings[0]
    assert found.warnings[1] == "Only 30 of the 60 chips of the train part are in up."


def test_a_part_of_other_data_is_refused(model: Path, tmp_path: Path) -> None:
    chips = dataclasses.replace(chips_of(), files=tuple(f.replace("_", "-_") for f in SPLIT))
    with pytest.raises(
        DatasetError, match=r"none of the chips of the model's test part.*data/dark/dark_0.jpg.*dark-_0"
    ):
        evaluate(model, chips, tmp_path / "report", part="test")


def test_short_names_that_are_not_unique_match_nothing() -> None:
    split = {"train/a/1.jpg": "train", "test/a/1.jpg": "test", "test/a/2.jpg": "test"}
    assert parts_of(["x/a/1.jpg", "x/a/2.jpg"], split) == [None, None]
    assert parts_of(["test/a/1.jpg"], split) == ["test"]


def test_a_split_without_its_columns_is_refused(tmp_path: Path) -> None:
    path = model_with_split(tmp_path / "m.keras", {"a": "train"}, header="name,part")
    with pytest.raises(ModelError, match=r"columns file and split.*\['name', 'part'\]"):
        read_split(path)
    with zipfile.ZipFile(tmp_path / "none.keras", "w") as archive:
        archive.writestr("other", "")
    assert read_split(tmp_path / "none.keras") == ({}, Learnt())


# What must not happen to folders.


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    evaluate(LevelClassifier(), chips_of(), tmp_path / "report", resamples=5)
    before = (tmp_path / "report/metrics.json").read_text()
    with pytest.raises(ReportError, match=r"not empty.*--overwrite"):
        evaluate(ConstantClassifier(0, CARD), chips_of(), tmp_path / "report", resamples=5)
    assert (tmp_path / "report/metrics.json").read_text() == before
    evaluate(ConstantClassifier(0, CARD), chips_of(), tmp_path / "report", overwrite=True, resamples=5)
    assert (tmp_path / "report/metrics.json").read_text() != before
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_other_peoples_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ReportError, match=r"only files of a report to replace\. Received: thesis\.txt"):
        evaluate(LevelClassifier(), chips_of(), tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["file", "no/such/folder"])
def test_outputs_that_can_not_be_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ReportError, match="in a folder that exists"):
        evaluate(LevelClassifier(), chips_of(), tmp_path / name, overwrite=True)


@pytest.mark.parametrize(
    "function", ["landmap_models.evaluation.figures.draw_gallery", "landmap_models.evaluation.report.describe"]
)
def test_a_failure_leaves_nothing_and_keeps_the_old(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(LevelClassifier(), chips_of(), tmp_path / "report", resamples=5)
    before = (tmp_path / "report/metrics.json").read_text()

    def full(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(function, full)
    with pytest.raises(ReportError, match="can't be written: No space left"):
        evaluate(ConstantClassifier(0, CARD), chips_of(), tmp_path / "report", overwrite=True, resamples=5)
    assert [p.name for p in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report/metrics.json").read_text() == before


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(ReportError, match=r"Reports need jinja2: pip install 'landmap\[plot\]'"):
        evaluate(LevelClassifier(), chips_of(), tmp_path / "report")


def test_broken_predictions_are_refused(tmp_path: Path) -> None:
    class Broken(LevelClassifier):
        def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return np.full((len(chips), 3), np.nan, np.float32)

    with pytest.raises(ModelError, match="expected probabilities from 0 to 1"):
        evaluate(Broken(), chips_of(), tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_chips_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"\(64, 64, 3\).*B04, B03, B02\. Received: \(8, 8, 3\)"):
        evaluate(LevelClassifier(dataclasses.replace(CARD, chip_size=64)), chips_of(), tmp_path / "report")


# Odd cards.


def test_a_card_without_a_log_has_no_curves(tmp_path: Path) -> None:
    found = evaluate(
        ConstantClassifier(1, dataclasses.replace(CARD, training={})), chips_of(), tmp_path / "r", resamples=5
    )
    assert [p.name for p in found.files] == [name for name in report.FILES if name != "curves.png"]


def test_names_are_text_not_markup_nor_formulas(tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", "$x^$ & co", "plain")
    card = dataclasses.replace(CARD, legend=legend_for(names), name="<b>")
    chips = chips_of()
    evaluate(ConstantClassifier(0, card), Renamed(chips.files, chips.labels, names), tmp_path / "r", resamples=5)
    text = (tmp_path / "r/report.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


class MidGrey(FakeChips):
    """Chips of one level, whatever their labels."""

    def reflectance(self) -> npt.NDArray[Any]:
        return np.full((len(self.files), 8, 8, 3), 0.5, np.float32)


class Skipping(FakeChips):
    """Chips of a set that had broken files."""

    skipped = ("a.jpg: broken", "b.jpg: broken")


class Renamed(FakeChips):
    """Black chips, whatever their names."""

    def reflectance(self) -> npt.NDArray[Any]:
        return np.zeros((len(self.files), 8, 8, 3), np.float32)


def test_a_folder_of_jpegs_from_end_to_end(chip_zip: Path, tmp_path: Path) -> None:
    """Through `open_chips`, which imports Keras: 8-bit chips become reflectance, and their folders the labels."""
    card = dataclasses.replace(FAKE_CARD, legend=legend_for(("striped", "bright", "dark")))

    class ByLevel(ConstantClassifier):
        def predict(self, chips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            means = chips.mean(axis=(1, 2, 3)) / 0.275 * 255
            nearest = np.abs(means[:, None] - np.array([120, 190, 50])).argmin(axis=1)
            return np.eye(3, dtype=np.float32)[nearest]

    found = evaluate(ByLevel(card=card), chip_zip, tmp_path / "report", resamples=10)
    assert found.metrics["accuracy"]["value"] == 1.0
    assert found.metrics["data"] == "chips.zip"
    assert rows_of(tmp_path / "report/predictions.csv")[0]["file"] == "data/bright/bright_0.jpg"
