"""Model cards inside .keras files."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.errors import CardError, ModelError
from landmap_models.legend import LandClass, Legend
from landmap_models.model_file.archive import CARD_MEMBER, WEIGHTS_MEMBER, read_card, weights_sha256, write_card
from landmap_models.model_file.card import SENTINEL_BAND, BandProfile, ModelCard, describe
from landmap_models.model_file.packaged import packaged_models
from landmap_models.model_file.transform import LogSigmoid

NAN, INF = float("nan"), float("inf")


def rewrite(path: Path, **changed: bytes) -> None:
    """Replace members of a zip file; "__" in a keyword stands for a dot."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {k.replace("__", "."): v for k, v in changed.items()}).items():
            archive.writestr(name, content)


def test_a_card_comes_back_as_it_was(small_card: ModelCard) -> None:
    assert ModelCard.from_json(small_card.to_json()) == small_card


@pytest.mark.parametrize("thresholds", [None, (0.3, 0.5, 0.75)])
def test_a_card_of_several_classes_a_chip_comes_back(
    thresholds: tuple[float, ...] | None, small_card: ModelCard
) -> None:
    card = dataclasses.replace(small_card, task="multi-label", thresholds=thresholds)
    assert ModelCard.from_json(card.to_json()) == card
    assert "multi-label" in describe(card)
    assert ("bright 0.3" in describe(card)) == (thresholds is not None)


def test_a_card_travels_inside_the_model(small_model: Path, small_card: ModelCard) -> None:
    card = read_card(small_model)
    assert dataclasses.replace(card, weights_sha256="") == small_card
    assert card.weights_sha256 == weights_sha256(small_model)


def test_keras_still_opens_the_file(small_model: Path, plain_model: Path, keras: Any) -> None:
    with_card, without = keras.models.load_model(small_model), keras.models.load_model(plain_model)
    for one, other in zip(with_card.get_weights(), without.get_weights(), strict=True):
        assert (one == other).all()


def test_writing_again_replaces_the_card(small_model: Path, small_card: ModelCard) -> None:
    write_card(small_model, dataclasses.replace(small_card, version="2"), {"landmap_split.csv": "file,split\n"})
    assert read_card(small_model).version == "2"
    with zipfile.ZipFile(small_model) as archive:
        assert archive.namelist().count(CARD_MEMBER) == 1
        assert archive.read("landmap_split.csv") == b"file,split\n"
    assert [p.name for p in small_model.parent.iterdir()] == ["small.keras"], "no temporary file is left"


def test_a_model_without_card_is_refused_with_the_way_out(plain_model: Path) -> None:
    with pytest.raises(CardError, match=r"landmap models describe .*plain.keras --bands B04,B03,B02 .*--chips"):
        read_card(plain_model)


def test_weights_that_are_not_those_of_the_card_are_refused(small_model: Path, small_card: ModelCard) -> None:
    other = dataclasses.replace(small_card, weights_sha256="0" * 64)
    with zipfile.ZipFile(small_model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(small_model, "w") as archive:
        for name, content in (members | {CARD_MEMBER: other.to_json().encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(CardError, match="weights are not those"):
        read_card(small_model)


@pytest.mark.parametrize("content", [None, b"not a zip", "empty zip"])
def test_what_is_no_model_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        zipfile.ZipFile(path, "w").close()
    with pytest.raises(ModelError, match=r"model.keras: (no such|expected a .keras)"):
        read_card(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("bands"), "lacks the entry 'bands'"),
        (lambda c: c.pop("schema"), "an entry 'schema'"),
        (lambda c: c.update(schema=99), "card of schema 1"),
        (lambda c: c.update(colour="red"), "not usable"),
        (lambda c: c.update(levels=["L3"]), "levels out of L1C and L2A"),
        (lambda c: c.update(levels=[["L1C"]]), "levels out of L1C and L2A"),
        (lambda c: c.update(task="segmentation"), "task 'single-label' or 'multi-label'"),
        (lambda c: c.update(thresholds=[0.5] * 3), "thresholds of a multi-label model only"),
        *(
            (lambda c, t=t: c.update(task="multi-label", thresholds=t), "thresholds between 0 and 1, one for each of 3")
            for t in ([0.5] * 2, [0.5, 0.5, 1], [0, 0.5, 0.5], [0.5, 0.5, NAN], "0.5", [0.5, "0.5", 0.5], [True] * 3)
        ),
        (lambda c: c.update(task="multi-label", thresholds=0.5), "not usable"),
        (lambda c: c.update(name=""), "Expected name as a text"),
        (lambda c: c.update(name="two\nlines"), "name on one line"),
        (lambda c: c.update(version=1), "Expected version as a text"),
        (lambda c: c.update(description=None), "Expected description as a text"),
        (lambda c: c.update(licence=" "), "Expected licence as a text"),
        (lambda c: c.update(weights_sha256=None), "Expected weights_sha256 as a text"),
        (lambda c: c.update(chip_size=True), "positive chip size"),
        (lambda c: c.update(chip_size=64.0), "positive chip size"),
        *((lambda c, r=r: c.update(resolution=r), "positive resolution") for r in (0, "10", None, NAN, INF, True)),
        *((lambda c, r=r: c.update(reflectance_range=r), "two numbers low < high") for r in ([0], [0, NAN], [0, "1"])),
        (lambda c: c.update(reflectance_range=[0, 10**400]), "two numbers low < high"),
        *((lambda c, n=n: c.update({n: ["a"]}), f"Expected {n} as") for n in ("training", "metrics", "versions")),
        *((lambda c, b=b: c["bands"][0].update(name=b), "Sentinel-2 band names") for b in ("B4", "red", "B13", 4, [])),
        *(
            (lambda c, n=n, v=v: c["bands"][0].update({n: v}), "finite p01, median, p99 and mean of band B04")
            for n in ("p01", "median", "p99", "mean")
            for v in (None, "0.1", NAN, INF, True)
        ),
        (lambda c: c["bands"][0].update(median=0.9), "p01 <= median <= p99"),
        (lambda c: c["legend"][0].update(name=" "), "name of class 0 as one line"),
        (lambda c: c["legend"][0].update(name="two\nlines"), "name of class 0 as one line"),
        (lambda c: c["legend"][0].update(name=7), "name of class 0 as one line"),
        (lambda c: c.update(chip_size=0), "positive chip size"),
        (lambda c: c.update(reflectance_range=[1, 0]), "low < high"),
        (lambda c: c["bands"].append(c["bands"][0]), "distinct band names"),
        (lambda c: c["bands"][0].pop("mean"), "not usable"),
        (lambda c: c["legend"].pop(0), "class ids 0, 1, 2"),
        (lambda c: c["legend"][0].update(color="blue"), "colour like"),
        (lambda c: c["legend"][0].update(name=c["legend"][1]["name"]), "distinct class names"),
    ],
)
def test_cards_that_can_not_be_meant_are_refused(change: Any, message: str, small_card: ModelCard) -> None:
    content = json.loads(small_card.to_json())
    change(content)
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(json.dumps(content), origin="card.json")


@pytest.fixture
def pixel_card(small_card: ModelCard) -> ModelCard:
    """A card of a model that answers for each pixel, with two bands that a scene may lack."""
    beside = tuple(BandProfile(name, 0.03, 0.2, 0.4, 0.2) for name in ("B08", "B11"))
    transform = LogSigmoid((1.7, 1.8, 1.9, 2.0, 2.1), (2.0, 2.1, 2.2, 2.3, 2.4))
    return dataclasses.replace(
        small_card, answers="pixel", margin=24, step=2, optional=beside, transform=transform, weights_sha256=""
    )


def test_a_card_of_a_model_of_pixels_comes_back(pixel_card: ModelCard) -> None:
    assert ModelCard.from_json(pixel_card.to_json()) == pixel_card
    assert pixel_card.input_names == ("B04", "B03", "B02", "B08", "B11")
    assert pixel_card.band_names == (
        "B04",
        "B03",
        "B02",
    )
    assert pixel_card.optional_bands == ("B08", "B11")
    assert pixel_card.per_pixel
    text = describe(pixel_card)
    assert "within 24 px, at offsets that are multiples of 2 px" in text
    assert "log-sigmoid" in text
    assert "B08, B11" in text
    endless = dataclasses.replace(pixel_card, margin=None)
    assert ModelCard.from_json(endless.to_json()) == endless
    assert "overlap by half" in describe(endless)


def test_a_card_of_chips_is_written_as_before(small_card: ModelCard) -> None:
    assert not {"answers", "margin", "step", "optional", "transform"} & json.loads(small_card.to_json()).keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(answers="field"), "answers 'chip' or 'pixel'"),
        (lambda c: c.update(answers=["pixel"]), "answers 'chip' or 'pixel'"),
        *((lambda c, m=m: c.update(margin=m), "margin in whole pixels") for m in (-1, 2.5, True, "24")),
        *((lambda c, s=s: c.update(step=s), "step in whole pixels") for s in (0, None, 1.0)),
        (lambda c: c.update(margin=23), "whole steps of 2 px"),
        (lambda c: c.update(margin=None, chip_size=66, step=4), "double steps of 4 px"),
        (lambda c: c.update(task="multi-label"), "single-label model without nir, pixels and chips"),
        (lambda c: c["optional"][0].update(name="B04"), "each band once among bands and optional"),
        (lambda c: c["optional"][0].update(name="red"), "Sentinel-2 band names"),
        (lambda c: c["optional"].pop(), "for each of 4 bands"),
        (lambda c: c.update(transform="log"), "transform as an object"),
        (lambda c: c["transform"].update(name="sqrt"), "'log-sigmoid', or none"),
        (lambda c: c["transform"].pop("low"), "'low' of transform"),
        (lambda c: c["transform"].update(low=3), "lists of numbers"),
        (lambda c: c["transform"].update(width=[0, 1, 1, 1, 1]), "positive ones as width"),
        (lambda c: c["transform"].update(low=[NAN, 1, 1, 1, 1]), "finite numbers as low"),
        (lambda c: c.pop("answers"), "Expected margin of models that answer for each pixel only"),
    ],
)
def test_cards_of_pixels_that_can_not_be_meant_are_refused(change: Any, message: str, pixel_card: ModelCard) -> None:
    content = json.loads(pixel_card.to_json())
    change(content)
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(json.dumps(content), origin="card.json")


def test_the_transform_is_that_of_the_paper() -> None:
    """Numbers worked out by hand for a digital number of 1000: ln(6) = 1.791759."""
    transform = LogSigmoid((1.7417268007636313,), (2.023298706048351,))
    (value,) = transform.apply(np.array([0.1], np.float32))
    wanted = 1 / (1 + math.exp(-(5 * (math.log(0.005 * 1000 + 1) - 1.7417268007636313) / 2.023298706048351 - 1)))
    assert value == pytest.approx(wanted, abs=1e-6)
    assert transform.apply(np.array([-0.1], np.float32)) == transform.apply(np.zeros(1, np.float32))


def test_all_faults_of_a_card_are_told_at_once(small_card: ModelCard) -> None:
    """None of them in the words of a Python constructor."""
    content = json.loads(small_card.to_json())
    del content["licence"], content["bands"][1]["mean"]
    content |= {"colour": "red", "levels": "L1C", "chip_size": "64", "nir": {"weight": 0.2}}
    content["bands"][0] |= {"p01": 3, "median": 9, "p99": 27, "mean": 10}  # percent
    content["bands"][2] = "B02"
    content["legend"][2] |= {"name": "dark", "color": "red", "ID": 7}
    with pytest.raises(CardError) as caught:
        ModelCard.from_json(json.dumps(content), origin="card.json")
    told = str(caught.value)
    for words in (
        "lacks the entry 'licence'",
        "has an entry 'colour'",
        "levels out of L1C and L2A in a list. Received: 'L1C'",
        "positive chip size in whole pixels. Received: '64'",
        "bands as a list of objects",
        "an entry 'ID' of class 2",
        "colour like #1f6b2e for class dark",
        "distinct class names. Received more than once: dark",
        "lacks the entry 'means' of nir",
    ):
        assert words in told, words
    assert "__init__" not in told
    assert "\n" not in told


@pytest.mark.parametrize("factor", [100, 255 / 0.275, 10_000])
def test_band_ranges_that_are_no_reflectance_are_refused(factor: float, small_card: ModelCard) -> None:
    content = json.loads(small_card.to_json())
    for band in content["bands"]:
        band |= {name: factor * band[name] for name in ("p01", "median", "p99", "mean")}
    with pytest.raises(CardError, match=r"of band B04 in reflectance .*of band B03 in reflectance"):
        ModelCard.from_json(json.dumps(content))


def test_a_card_is_bound_to_its_weights(small_model: Path, small_card: ModelCard) -> None:
    """Another model's card of the same form is refused, and the file stays as it is; this one's is written."""
    before, card = small_model.read_bytes(), read_card(small_model)
    with pytest.raises(CardError, match=r"describes other weights \(sha256 000000000000….*--template"):
        write_card(small_model, dataclasses.replace(card, weights_sha256="0" * 64))
    assert small_model.read_bytes() == before
    assert write_card(small_model, card) == card


def test_the_split_of_other_weights_goes_with_their_card(small_model: Path, small_card: ModelCard) -> None:
    write_card(small_model, small_card, {"landmap_split.csv": "file,split\n"})
    write_card(small_model, small_card)
    with zipfile.ZipFile(small_model) as archive:
        assert "landmap_split.csv" in archive.namelist()
    other = dataclasses.replace(small_card, weights_sha256="0" * 64).to_json()
    rewrite(small_model, landmap__json=other.encode())
    write_card(small_model, small_card)
    with zipfile.ZipFile(small_model) as archive:
        assert "landmap_split.csv" not in archive.namelist()


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(CardError, match=r"card.json: expected a JSON object"):
        ModelCard.from_json("[1, 2]", origin="card.json")


def test_class_ids_leave_room_for_nodata() -> None:
    with pytest.raises(ValueError, match="at most 254"):
        Legend(tuple(LandClass(i, str(i), "#000000") for i in range(255)))


def test_names_of_sentinel_bands() -> None:
    assert all(SENTINEL_BAND.fullmatch(f"B{i:02}") for i in range(1, 13))
    assert SENTINEL_BAND.fullmatch("B8A")
    assert not any(SENTINEL_BAND.fullmatch(name) for name in ("B00", "B13", "B9A", "b02", "B02 "))


def test_packaged_cards_pass_their_check() -> None:
    for path in packaged_models().values():
        read_card(path).check()


@pytest.mark.parametrize(
    "odd",
    [
        {"training": {"split": "random", "data": 7}},
        {"training": {"split": {"parts": ["train"]}}},
        {"training": {"split": {"parts": {"train": 80, "test": {"n": 3}}}}},
        {"metrics": {"accuracy": 0.9, "loss": None, "f1": {"value": "good", "low": None, "high": NAN}}},
        {"metrics": {"accuracy": {"value": 0.9}, "n": [1], "split": {}}},
        {"versions": {"keras": None, "tensorflow": [2, 21]}},
    ],
)
def test_a_card_that_passed_its_check_can_be_described(odd: dict[str, Any], small_card: ModelCard) -> None:
    card = ModelCard.from_json(dataclasses.replace(small_card, **odd).to_json())
    assert "classes   0 bright, 1 dark, 2 striped" in describe(card)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: dataclasses.replace(c, bands=c.bands[:2]), r"\[64, 64, 2\].*takes \[64, 64, 3\]"),
        (lambda c: dataclasses.replace(c, chip_size=32), r"\[32, 32, 3\].*takes \[64, 64, 3\]"),
        (lambda c: dataclasses.replace(c, legend=Legend(c.legend.classes[:2])), "2 classes. The model has 3"),
    ],
)
def test_a_card_of_another_model_is_not_written(
    change: Any, message: str, small_model: Path, small_card: ModelCard
) -> None:
    before = small_model.read_bytes()
    with pytest.raises(CardError, match=message):
        write_card(small_model, change(small_card))
    assert small_model.read_bytes() == before


@pytest.mark.parametrize(
    "config", [b"{}", b'{"config": {"layers": [1, {"config": 2}]}}', b'{"config": {"layers": []}}']
)
def test_a_configuration_of_another_build_is_left_to_keras(
    config: bytes, small_model: Path, small_card: ModelCard
) -> None:
    rewrite(small_model, config__json=config)
    assert write_card(small_model, small_card).name == "small"


@pytest.mark.parametrize("config", [b"\xff", b"{", b"[1]", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(config: bytes, small_model: Path, small_card: ModelCard) -> None:
    rewrite(small_model, config__json=config)
    with pytest.raises(ModelError, match=r"config\.json"):
        write_card(small_model, small_card)


def test_a_card_that_is_not_text_is_refused(small_model: Path) -> None:
    rewrite(small_model, landmap__json=b"\xff\xfe")
    with pytest.raises(CardError, match="UTF-8"):
        read_card(small_model)


@pytest.mark.parametrize("member", [CARD_MEMBER, WEIGHTS_MEMBER])
def test_a_damaged_member_is_one_line(member: str, small_model: Path) -> None:
    with zipfile.ZipFile(small_model) as archive:
        info = archive.getinfo(member)
    content = bytearray(small_model.read_bytes())
    middle = info.header_offset + 30 + len(member) + info.compress_size // 2
    content[middle : middle + 40] = bytes(b ^ 0xFF for b in content[middle : middle + 40])
    small_model.write_bytes(content)
    with pytest.raises(ModelError, match="found damage") as caught:
        read_card(small_model)
    assert "\n" not in str(caught.value)
