"""Models that were trained elsewhere get a card: told, measured, or refused."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmap_models.datasets.chips import open_chips
from landmap_models.errors import CardError, LandmapError, ModelError, UnsafeModelError
from landmap_models.evaluation.describe import describe_file, put_card
from landmap_models.evaluation.described_card import Described, Given
from landmap_models.inference.keras_classifier import load_classifier
from landmap_models.model_file.archive import read_card, weights_sha256
from landmap_models.model_file.card import ModelCard, describe
from landmap_models.model_file.packaged import packaged_models

NAMES = ("bright", "dark", "striped")
TOLD = Given("mine", bands=("B04", "B03", "B02"), classes=NAMES, levels=("L1C",))


@pytest.fixture
def write(judge: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """A function that saves a network that tells the classes of `chip_zip`."""

    def save(*, name: str = "mine.keras", **how: Any) -> Path:
        path = tmp_path / name
        judge(**how).save(path)
        return path

    return save


def described(path: Path, told: Given, chips: Path | None, **how: Any) -> Described:
    return describe_file(path, told, chips=chips, output=path.with_name("out put ü.keras"), **how)


# What is told, measured, derived.


def test_a_network_of_bytes_is_measured_and_draws_as_it_should(write: Callable[..., Path], chip_zip: Path) -> None:
    """Its numbers are read off its first layer; the card's profiles and scores are those of the chips."""
    path = write()
    before = path.read_bytes()
    found = described(path, TOLD, chip_zip)
    assert path.read_bytes() == before
    assert found.warnings == ()
    card = read_card(path.with_name("out put ü.keras"))
    assert card == found.card
    chips = open_chips(chip_zip)
    values = chips.reflectance()
    assert [band.mean for band in card.bands] == pytest.approx(values.mean(axis=(0, 1, 2)), abs=1e-4)
    assert card.bands[0].p99 == pytest.approx(np.percentile(values[..., 0], 99), abs=1e-4)
    assert card.chip_size == 64
    assert card.reflectance_range == (0.0, 0.275)
    assert card.metrics["accuracy"]["value"] == 1
    assert card.metrics["n"] == 90
    assert card.nir is None
    assert set(card.versions) == {"keras"}
    assert "input: 8bit by its layer" in describe(card)
    answers = load_classifier(path.with_name("out put ü.keras")).predict(values).argmax(axis=1)
    assert (answers == np.asarray(chips.labels)).all()


def test_a_network_of_reflectance_stays_as_it_is(write: Callable[..., Path], chip_zip: Path) -> None:
    path = write(scale=1 / 0.275)
    digest = weights_sha256(path)
    assert describe_file(path, TOLD, chips=chip_zip).card.weights_sha256 == digest == weights_sha256(path)
    with pytest.raises(ModelError, match=r"has a card of its weights already.*--card card.json.*--overwrite"):
        describe_file(path, TOLD, chips=chip_zip)
    assert describe_file(path, TOLD, chips=chip_zip, overwrite=True).card == read_card(path)


def test_unlabelled_chips_give_profiles_and_no_scores(
    write: Callable[..., Path], chip_zip: Path, tmp_path: Path
) -> None:
    import zipfile

    (tmp_path / "flat").mkdir()
    with zipfile.ZipFile(chip_zip) as archive:
        for name in archive.namelist():
            (tmp_path / "flat" / Path(name).name).write_bytes(archive.read(name))
    card = described(write(), TOLD, tmp_path / "flat").card
    assert card.metrics == {}
    assert 0.1 < card.bands[0].mean < 0.2
    assert "not recorded" in describe(card)


def test_numbers_that_nobody_says_are_assumed_aloud_and_the_way_out_works(
    write: Callable[..., Path], chip_zip: Path
) -> None:
    path = write(scale=None)
    found = described(path, TOLD, chip_zip)
    assert "reflectance is assumed" in found.warnings[0]
    hint = re.search(r"only 30 of 90 chips are right .* 90 would be with --input (\S+):", found.warnings[1])
    assert hint is not None
    found = described(path, dataclasses.replace(TOLD, input=hint[1]), chip_zip, overwrite=True)
    assert (found.warnings, found.card.metrics["accuracy"]["value"]) == ((), 1)


def test_classes_in_another_order_are_told_and_the_way_out_works(write: Callable[..., Path], chip_zip: Path) -> None:
    path = write(classes=("striped", "bright", "dark"))
    found = described(path, TOLD, chip_zip)
    (hint,) = re.findall(r"only 0 of 90 chips are right .*; 90 would be with --classes (\S+):", found.warnings[0])
    found = described(path, dataclasses.replace(TOLD, classes=tuple(hint.split(","))), chip_zip, overwrite=True)
    assert (found.warnings, found.card.metrics["accuracy"]["value"]) == ((), 1)


@pytest.fixture
def colours(tmp_path: Path) -> tuple[Path, Callable[..., Path]]:
    """120 chips of four classes by colour, and a function that writes a network that tells some of them."""
    from PIL import Image

    rows = {"blue": (50, 90, 200), "green": (60, 200, 90), "red": (200, 90, 60), "yellow": (200, 200, 60)}
    rng = np.random.default_rng(0)
    for name, color in rows.items():
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(30):
            chip = rng.normal(color, 5, (64, 64, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(chip).save(tmp_path / "colours" / name / f"{i}.png")

    def save(order: tuple[int, int, int] = (0, 1, 2), weight: float = 40) -> Path:
        import keras

        inputs = keras.Input((64, 64, 3))
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="classes")(x))
        means = np.array(list(rows.values()))[:, order] / 255
        bias = -weight / 2 * (means**2).sum(axis=1)
        model.get_layer("classes").set_weights([weight * means.T, bias if weight else np.array([1, 0, 0, 0])])
        path = tmp_path / "colours.keras"
        model.save(path)
        return path

    return tmp_path / "colours", save


COLOURS = dataclasses.replace(TOLD, classes=("blue", "green", "red", "yellow"))


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_bands_in_another_order_are_told_as_such_and_the_way_out_works(
    order: tuple[int, int, int], colours: tuple[Path, Callable[..., Path]]
) -> None:
    """Another order of classes would be right for many chips, too, and is not offered."""
    chips, save = colours
    path = save(order)
    found = described(path, COLOURS, chips)
    (hint,) = re.findall(r"chips are right with the bands in .*; 120 would be with --bands (\S+):", found.warnings[0])
    assert hint == ",".join(("B04", "B03", "B02")[i] for i in order)
    assert "--classes" not in found.warnings[0]
    found = described(path, dataclasses.replace(COLOURS, bands=tuple(hint.split(","))), chips, overwrite=True)
    assert (found.warnings, found.card.metrics["accuracy"]["value"]) == ((), 1)


def test_where_bands_or_classes_may_be_in_another_order_both_are_told(
    colours: tuple[Path, Callable[..., Path]],
) -> None:
    """Without yellow, red and blue exchanged are two bands or two classes: the chips can't tell."""
    chips, save = colours
    for file in (chips / "yellow").iterdir():
        file.unlink()
    (chips / "yellow").rmdir()
    found = described(save((2, 1, 0)), COLOURS, chips)
    (hint,) = [text for text in found.warnings if "chips are right" in text]
    options = re.findall(r"(?:be|or 90) with --(bands|classes) ([^\s:]+)", hint)
    assert [name for name, _ in options] == ["bands", "classes"]
    for name, value in options:
        told = dataclasses.replace(COLOURS, **{name: tuple(value.split(","))})
        assert (
            described(chips.parent / "colours.keras", told, chips, overwrite=True).card.metrics["accuracy"]["value"]
            == 1
        )


def test_guessing_is_told_with_its_numbers(colours: tuple[Path, Callable[..., Path]]) -> None:
    chips, save = colours
    (warning,) = described(save(weight=0), COLOURS, chips).warnings
    assert warning.startswith("no better than guessing: 30 of 120 chips are right (25%), and 25% would be by chance")


def test_no_order_of_classes_is_offered_that_leaves_the_model_bad(colours: tuple[Path, Callable[..., Path]]) -> None:
    """Half of the chips are right at best, as every chip lies in the folder of one of two classes, by turns."""
    chips, save = colours
    for i in range(0, 30, 2):
        for one, other in (("blue", "green"), ("red", "yellow")):
            for name, to in ((one, other), (other, one)):
                (chips / name / f"{i}.png").rename(chips / to / f"moved_{i}.png")
    told = dataclasses.replace(COLOURS, classes=("red", "yellow", "blue", "green"))
    (warning,) = described(save(), told, chips).warnings
    assert "do not fit these chips" in warning
    assert "with --classes" not in warning


def test_a_softmax_of_probabilities_is_refused_and_the_way_out_works(
    write: Callable[..., Path], chip_zip: Path
) -> None:
    for activation in ("softmax", "sigmoid"):
        path = write(activation=activation)
        with pytest.raises(CardError, match=r"expected logits.*probabilities already.*Leave out --softmax") as caught:
            described(path, dataclasses.replace(TOLD, softmax=True), chip_zip, overwrite=True)
        assert "\n" not in str(caught.value)
        described(path, TOLD, chip_zip, overwrite=True)


def test_a_sigmoid_on_chips_of_one_label_is_told_and_the_way_out_works(
    write: Callable[..., Path], chip_zip: Path, keras: Any, tmp_path: Path
) -> None:
    path = write(activation="sigmoid")
    (warning,) = described(path, TOLD, chip_zip).warnings
    (code,) = re.findall(r"by Python: (.*)\.save\('softmax.keras'\)", warning)
    assert code == "model.layers[-1].activation = keras.activations.softmax; model"
    model = keras.models.load_model(path)
    model.layers[-1].activation = keras.activations.softmax
    model.save(tmp_path / "softmax.keras")
    found = described(tmp_path / "softmax.keras", TOLD, chip_zip, overwrite=True)
    assert (found.warnings, found.card.task) == ((), "single-label")


def test_logits_are_refused_and_the_way_out_works(write: Callable[..., Path], chip_zip: Path) -> None:
    path = write(activation=None)
    for chips, told in ((chip_zip, TOLD), (None, TOLD)):
        template = {} if chips else {"template": next(iter(packaged_models().values()))}
        with pytest.raises(ModelError, match=r"sum to 1 .*--softmax"):
            described(path, told, chips, **template)
    found = described(path, dataclasses.replace(TOLD, softmax=True), chip_zip)
    assert found.card.metrics["accuracy"]["value"] == 1


def test_a_sigmoid_makes_several_classes_a_chip(write: Callable[..., Path], chip_zip: Path) -> None:
    card = described(write(activation="sigmoid"), TOLD, chip_zip).card
    assert (card.task, card.thresholds) == ("multi-label", None)
    assert 0 < card.metrics["subset_accuracy"]["value"] < 1


def test_all_that_is_not_said_is_asked_for_at_once(write: Callable[..., Path], chip_zip: Path) -> None:
    with pytest.raises(CardError, match=r"--bands B04.*--classes A,B.*--level L1C"):
        described(write(), Given("mine"), chip_zip)
    with pytest.raises(CardError, match=r"what its bands look like .*--chips CHIPS.*--template"):
        described(write(), TOLD, None)
    wrong = Given("mine", bands=("B04", "B4"), classes=("a", "a"), colors=("red",), levels=("L3",))
    with pytest.raises(CardError) as caught:
        described(write(), wrong, chip_zip)
    for words in (
        "takes 3 bands",
        "has 3 outputs",
        "a colour a class",
        "levels out of",
        "distinct class",
        "distinct band",
    ):
        assert words in str(caught.value), words


def test_colors_are_those_that_are_told(write: Callable[..., Path], chip_zip: Path) -> None:
    colors = ("#000001", "#000002", "#000003")
    card = described(write(), dataclasses.replace(TOLD, colors=colors), chip_zip).card
    assert tuple(entry.color for entry in card.legend) == colors


# Templates and cards.


def test_a_template_gives_what_it_says_of_input_and_classes_alone(
    write: Callable[..., Path], small_card: ModelCard, tmp_path: Path
) -> None:
    claims = {"metrics": {"accuracy": {"value": 0.97}}, "training": {"data": "x"}, "weights_sha256": "0" * 64}
    other = dataclasses.replace(small_card, description="Theirs.", licence="MIT", **claims)
    (tmp_path / "card.json").write_text(other.to_json())
    card = described(write(), Given("mine"), None, template=tmp_path / "card.json").card
    assert (card.legend, card.bands, card.levels) == (other.legend, other.bands, other.levels)
    assert (card.name, card.metrics, card.licence) == ("mine", {}, "not stated")
    assert "Theirs" not in card.description
    assert card.training["described"]["classes"] == "template small"


def test_a_card_comes_back_through_a_pipe(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = read_card(small_model)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(card.to_json().encode(encoding))))
        assert put_card(small_model, "-") == card


def test_a_card_of_other_weights_is_refused_and_the_way_out_works(
    plain_model: Path, small_card: ModelCard, tmp_path: Path
) -> None:
    """Also one without its digest, as long as it claims what is true of one set of weights only."""
    model, card, before = tmp_path / "m.keras", tmp_path / "card.json", plain_model.read_bytes()
    model.write_bytes(before)
    content = json.loads(small_card.to_json()) | {"metrics": {"n": 7}, "weights_sha256": "0" * 64}
    for digest, words in (("0" * 64, "describes other weights"), ("", "does not say of which weights")):
        card.write_text(json.dumps(content | {"weights_sha256": digest}))
        with pytest.raises(CardError, match=f"{words}.*--template in place of --card"):
            put_card(model, card)
        assert model.read_bytes() == before
    describe_file(model, Given("m"), template=card)
    assert read_card(model).metrics == {}


def test_faults_of_a_card_and_of_its_fit_are_told_together(
    plain_model: Path, small_card: ModelCard, tmp_path: Path
) -> None:
    content = json.loads(small_card.to_json()) | {"chip_size": 32, "licence": 7, "weights_sha256": "0" * 64}
    del content["legend"][2]
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(CardError, match=r"licence as a text.*other weights.*\[32, 32, 3\].*2 classes. The model has 3"):
        put_card(plain_model, tmp_path / "card.json", output=tmp_path / "out.keras")
    assert not (tmp_path / "out.keras").exists()


def test_the_name_of_a_packaged_model_is_that_of_its_weights(write: Callable[..., Path], chip_zip: Path) -> None:
    name = next(iter(packaged_models()))
    with pytest.raises(CardError, match=r"packaged model's name.*--name"):
        described(write(scale=1 / 0.275), dataclasses.replace(TOLD, name=name), chip_zip)


def test_the_packaged_model_stays_as_it_is(tmp_path: Path) -> None:
    packaged = next(iter(packaged_models().values()))
    card = dataclasses.replace(read_card(packaged), name="renamed")
    (tmp_path / "card.json").write_text(card.to_json())
    with pytest.raises(ModelError, match=r"stays as it is.*-o"):
        put_card("default", tmp_path / "card.json")
    assert put_card("default", tmp_path / "card.json", output=tmp_path / "renamed.keras") == card


def test_a_template_is_not_written_over(write: Callable[..., Path], small_model: Path, chip_zip: Path) -> None:
    before = small_model.read_bytes()
    for output in (small_model, next(iter(packaged_models().values()))):
        with pytest.raises(ModelError, match="stays as it is"):
            describe_file(write(), TOLD, template=small_model, chips=chip_zip, output=output, overwrite=True)
    assert small_model.read_bytes() == before


# What maps can't be drawn with.


def odd_networks(keras: Any) -> dict[str, tuple[Any, type[LandmapError], str]]:
    layers, image, number = keras.layers, keras.Input((64, 64, 3)), keras.Input((4,))
    pooled = layers.GlobalAveragePooling2D()(image)
    free = keras.Input((None, None, 3))
    three, broken = layers.Dense(3, activation="softmax"), keras.initializers.Constant(np.nan)
    doubled = layers.GlobalAveragePooling2D()(layers.Lambda(lambda x: x * 2)(image))
    return {
        "lambda": (keras.Model(image, layers.Dense(3)(doubled)), UnsafeModelError, "Lambda layer"),
        "inputs": (
            keras.Model([image, number], layers.Dense(3)(layers.Concatenate()([pooled, number]))),
            ModelError,
            "one input and one output. Received: 2 inputs",
        ),
        "outputs": (keras.Model(image, {"a": three(pooled), "b": layers.Dense(2)(pooled)}), ModelError, "2 outputs"),
        "pixels": (keras.Model(image, layers.Conv2D(3, 1)(image)), ModelError, "one row of probabilities a chip"),
        "anysize": (
            keras.Model(free, layers.Dense(3)(layers.GlobalAveragePooling2D()(free))),
            ModelError,
            "fixed square size",
        ),
        "classes": (keras.Model(image, layers.Dense(4)(pooled)), CardError, "4"),
        "nan": (keras.Model(image, layers.Dense(3, kernel_initializer=broken)(pooled)), ModelError, "chips not finite"),
    }


@pytest.mark.parametrize("name", ["lambda", "inputs", "outputs", "pixels", "anysize", "classes", "nan"])
def test_what_classify_refuses_is_refused_with_a_card_and_without(
    name: str, keras: Any, chip_zip: Path, small_card: ModelCard, tmp_path: Path
) -> None:
    model, error, words = odd_networks(keras)[name]
    path, card = tmp_path / f"{name}.keras", tmp_path / "card.json"
    model.save(path)
    card.write_text(small_card.to_json())
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        describe_file(path, TOLD, chips=chip_zip)
    with pytest.raises(LandmapError, match=words):
        put_card(path, card)
    assert path.read_bytes() == before
